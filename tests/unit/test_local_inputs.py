from pathlib import Path

import pytest

from services.common.errors import InputError
from services.local.inputs import expand, out_folders


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for name in ("a.mp4", "b.MOV", "notes.txt", "sub/a.webm", "sub/c.gif"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"x")
    return tmp_path


def test_one_file_goes_to_out_itself(tree: Path) -> None:
    inputs = expand([str(tree / "a.mp4")])
    assert inputs.uris == (str(tree / "a.mp4"),)
    assert out_folders(inputs, Path("o")) == [Path("o")]


def test_a_folder_is_searched_for_videos_only(tree: Path) -> None:
    inputs = expand([str(tree)])
    assert [Path(u).name for u in inputs.uris] == ["a.mp4", "b.MOV", "a.webm", "c.gif"]
    assert out_folders(inputs, Path("o")) == [Path("o/a"), Path("o/b"), Path("o/a-2"), Path("o/c")]


def test_a_stem_that_looks_numbered_takes_no_folder_twice(tmp_path: Path) -> None:
    names = ["a.mp4", "a-2.mp4", "a.mov"]
    for name in names:
        (tmp_path / name).touch()
    folders = out_folders(expand([str(tmp_path / n) for n in names]), Path("o"))
    assert len(set(folders)) == 3


def test_globs_match_and_repeats_are_taken_once(tree: Path) -> None:
    inputs = expand([str(tree / "*.mp4"), str(tree / "a.mp4")])
    assert inputs.uris == (str(tree / "a.mp4"),)


def test_a_file_whose_name_looks_like_a_pattern_is_a_file(tmp_path: Path) -> None:
    odd = tmp_path / "set[1].mp4"
    odd.touch()
    assert expand([str(odd)]).uris == (str(odd),)


def test_urls_pass_through() -> None:
    inputs = expand(["rtsp://127.0.0.1/cam/1?x=y", "http://127.0.0.1/gym.mp4"])
    assert out_folders(inputs, Path("o")) == [Path("o/1"), Path("o/gym")]


@pytest.mark.parametrize("name", ["missing.mp4", "none/*.mp4", "empty", "nothing*.avi"])
def test_what_names_nothing_is_refused_by_name(tmp_path: Path, name: str) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=name.replace("*", r"\*")):
        expand([str(tmp_path / name)])

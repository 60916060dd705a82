from pathlib import Path

import pytest

from services.common.errors import InputError
from services.local.outputs import whole_files, write_whole


def test_files_appear_at_the_end(tmp_path: Path) -> None:
    folder = tmp_path / "x" / "y"
    with whole_files(folder) as scratch:
        (scratch / "report.json").write_text("{}")
        assert not (folder / "report.json").exists()
    assert [p.name for p in folder.iterdir()] == ["report.json"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
def test_an_error_leaves_nothing(tmp_path: Path, error: type[BaseException]) -> None:
    folder = tmp_path / "x" / "y"

    def half_way() -> None:
        with whole_files(folder) as scratch:
            (scratch / "report.json").write_text("{")
            raise error

    with pytest.raises(error):
        half_way()
    assert list(tmp_path.iterdir()) == []


def test_an_error_leaves_older_results_alone(tmp_path: Path) -> None:
    (tmp_path / "report.json").write_text("old")

    def half_way() -> None:
        with whole_files(tmp_path) as scratch:
            (scratch / "report.json").write_text("{")
            raise ValueError

    with pytest.raises(ValueError):
        half_way()
    assert [(p.name, p.read_text()) for p in tmp_path.iterdir()] == [("report.json", "old")]


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="file/out"), whole_files(tmp_path / "file" / "out"):
        pass
    with pytest.raises(InputError, match="x.json"):
        write_whole(tmp_path / "file" / "x.json", "{}")


def test_write_whole_replaces(tmp_path: Path) -> None:
    target = tmp_path / "deep" / "x.json"
    write_whole(target, "1")
    write_whole(target, "2")
    assert [(p.name, p.read_text()) for p in target.parent.iterdir()] == [("x.json", "2")]

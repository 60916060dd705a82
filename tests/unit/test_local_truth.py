import json
from pathlib import Path

import pytest

from services.common.errors import InputError
from services.local.truth import load_truth

TABLE = {"clips": {"gym/a b.mp4": {"reps": [{"start": 0, "peak": 1.5, "end": 2, "form": "wrong"}], "ignore": [[3, 4]]}}}


@pytest.mark.parametrize("table", [TABLE, TABLE["clips"]])
@pytest.mark.parametrize("uri", ["/videos/gym__a_b.mov", "gym__a b.mp4"])
def test_names_are_matched_as_the_scorer_does(tmp_path: Path, table: dict, uri: str) -> None:
    path = tmp_path / "labels.json"
    path.write_text(json.dumps(table))
    truth = load_truth(path, uri)
    assert truth is not None
    assert (truth.repetitions[0].peak_s, truth.repetitions[0].form, truth.ignore) == (1.5, "wrong", ((3.0, 4.0),))


def test_a_clip_that_is_not_there_has_no_truth(tmp_path: Path) -> None:
    path = tmp_path / "labels.json"
    path.write_text(json.dumps(TABLE))
    assert load_truth(path, "other.mp4") is None


@pytest.mark.parametrize(
    "text", ["", "[]", '{"clips": []}', '{"clips": {"a": {"reps": [{"start": "x"}]}}}', '{"a": 1}']
)
def test_other_files_are_refused_by_name(tmp_path: Path, text: str) -> None:
    path = tmp_path / "labels.json"
    path.write_text(text)
    with pytest.raises(InputError, match=r"labels\.json"):
        load_truth(path, "a.mp4")
    with pytest.raises(InputError, match=r"none\.json"):
        load_truth(tmp_path / "none.json", "a.mp4")

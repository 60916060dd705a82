"""The exercise files: complete, valid, and refused with a sentence when wrong."""

import shutil
from pathlib import Path

import pytest
import yaml

from services.common.errors import ConfigError, InputError
from services.errors.adapters.catalogue import SHIPPED, load_catalogue
from services.errors.adapters.tables import update

TABLE = {
    "bicep_curl hammer_curl zottman_curl": "ELBOW_DRIFT INCOMPLETE_CONTRACTION INCOMPLETE_EXTENSION TORSO_SWING "
    "UNCONTROLLED_LOWERING OUT_OF_SYNC SHOULDER_SHRUG",
    "shoulder_press arnold_press": "LEAN_BACK NO_LOCKOUT START_TOO_HIGH UNEVEN_ARMS ELBOWS_FLARED "
    "FOREARM_NOT_VERTICAL KNEE_DIP",
    "lateral_raise": "ABOVE_SHOULDER RANGE_TOO_SHORT TORSO_SWING ELBOWS_BENT HAND_ABOVE_ELBOW SHOULDER_SHRUG DROPPED "
    "TOO_FAST UNEVEN_ARMS",
    "front_raise": "TORSO_SWING ABOVE_SHOULDER ELBOWS_BENT MOMENTUM DROPPED UNEVEN_ARMS RANGE_TOO_SHORT",
    "shrug": "ELBOWS_BENT RANGE_TOO_SHORT ROLLING_SHOULDERS HEAD_JUT BOUNCE",
    "bent_over_row one_arm_row": "TORSO_RISES BACK_ROUNDED SHORT_PULL SHOULDER_SHRUG TORSO_TWIST BODY_ENGLISH",
    "triceps_kickback": "UPPER_ARM_SWINGS INCOMPLETE_EXTENSION TORSO_TOO_UPRIGHT",
    "overhead_triceps_extension": "UPPER_ARM_SWINGS INCOMPLETE_EXTENSION ELBOW_FLARE BACK_ARCH",
    "lunge": "KNEE_PAST_TOE KNEE_CAVES_IN TOO_SHALLOW TORSO_LEAN SHORT_STEP WOBBLE",
    "squat goblet_squat": "TOO_SHALLOW KNEES_CAVE_IN TORSO_COLLAPSES HEELS_LIFT WEIGHT_SHIFT",
    "romanian_deadlift": "SQUATTING TOO_SHALLOW BACK_ROUNDED WEIGHTS_FAR OVEREXTENDED",
    "chest_press": "ELBOWS_FLARED RANGE_TOO_SHORT BOUNCE UNEVEN_ARMS",
    "chest_fly": "RANGE_TOO_SHORT BOUNCE UNEVEN_ARMS FLY_BECOMES_PRESS",
}
CATALOGUE = load_catalogue()


@pytest.mark.parametrize(("exercises", "codes"), TABLE.items(), ids=list(TABLE))
def test_every_exercise_has_the_errors_that_coaches_name(exercises: str, codes: str) -> None:
    for exercise in exercises.split():
        have = {e.code for e in CATALOGUE[exercise].errors}
        assert set(codes.split()) <= have
        assert {"TEMPO_UNEVEN", "RANGE_LOST"} <= have
        assert {"ECCENTRIC_TOO_FAST", "JERKY"} <= have or exercise == "shrug"


def test_unknown_has_no_errors() -> None:
    assert CATALOGUE["unknown"].errors == ()
    assert CATALOGUE.get("swimming").id == "unknown"


@pytest.mark.parametrize(("name", "exercise"), [
    ("bicep", "bicep_curl"), ("Dumbbell bicep curl", "bicep_curl"), ("hammer-curl", "hammer_curl"),
    ("shoulderpress", "shoulder_press"), ("frontraise", "front_raise"), ("RDL", "romanian_deadlift"),
    ("lunges", "lunge"), ("front squats", "squat"), ("shouldershrug", "shrug"), ("bench press", "chest_press"),
    ("dumbbell row", "bent_over_row"), ("GOBLET_SQUAT", "goblet_squat"),
])  # fmt: skip
def test_aliases(name: str, exercise: str) -> None:
    assert CATALOGUE.resolve(name) == exercise


def test_an_unknown_name_is_refused_with_the_known_ones() -> None:
    with pytest.raises(InputError, match=r"'swimming'.*bicep_curl"):
        CATALOGUE.resolve("swimming")


def test_what_the_skeleton_cannot_show_says_why() -> None:
    hidden = [e for spec in CATALOGUE for e in spec.errors if e.measure is None]
    assert {"WRIST_CURL", "WRIST_ROTATION"} <= {e.code for e in hidden}
    assert all(len(e.hidden_because) > 10 for e in hidden)


def edited(tmp_path: Path, change: object) -> Path:
    """A copy of the shipped folder with one file changed by ``change(document)``."""
    folder = tmp_path / "exercises"
    shutil.copytree(SHIPPED, folder)
    path = folder / "bicep_curl.yaml"
    document = yaml.safe_load(path.read_text())
    change(document)  # type: ignore[operator]
    path.write_text(yaml.safe_dump(document))
    return folder


@pytest.mark.parametrize(("change", "message"), [
    (lambda d: d.update(colour="red"), "colour"),
    (lambda d: d["errors"][0].update(limit=3), r"errors\.0\.limit"),
    (lambda d: d.update(version=2), "version"),
    (lambda d: d.update(id="curl"), "id: is curl"),
    (lambda d: d["movement"].update(primary_angle="ankle"), r"movement\.primary_angle"),
    (lambda d: d["errors"][0].update(measure="beauty_deg"), "beauty_deg"),
    (lambda d: d["errors"][0].update(above=[20, 30, 40]), "lenient to strict"),
    (lambda d: d["errors"][0].update(severe=1), "severe"),
    (lambda d: d["errors"][0].update(below=[3, 4, 5]), "either above or below"),
    (lambda d: d["errors"][0].update(joints=["tail"]), "tail"),
    (lambda d: d["errors"][0].update(views=["top"]), r"errors\.0\.views"),
    (lambda d: d["errors"][0].pop("cue"), r"errors\.0\.cue"),
    (lambda d: d["errors"][0].pop("noise"), "noise missing"),
    (lambda d: d["errors"][0].update(hidden_because="no reason at all"), "hidden_because excludes"),
    (lambda d: d["errors"].append(d["errors"][0]), "there twice"),
    (lambda d: d.update(without=["NO_SUCH"]), "NO_SUCH"),
    (lambda d: d.update(same_errors_as="bicep_curl"), "same_errors_as"),
    (lambda d: d["aliases"].append("squat"), "already a name"),
])  # fmt: skip
def test_a_wrong_file_is_refused_by_name_and_key(tmp_path: Path, change: object, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as refused:
        load_catalogue(edited(tmp_path, change))
    assert ".yaml" in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("text", ["a: [", "- 1\n- 2\n", "", "\x00"])
def test_a_broken_file_is_refused_in_one_line(tmp_path: Path, text: str) -> None:
    folder = edited(tmp_path, lambda d: None)
    (folder / "squat.yaml").write_text(text)
    with pytest.raises(ConfigError, match=r"squat\.yaml") as refused:
        load_catalogue(folder)
    assert "\n" not in str(refused.value)


def test_a_folder_without_unknown_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"unknown\.yaml"):
        load_catalogue(tmp_path)


def test_the_document_matches_the_files() -> None:
    document = Path(__file__).resolve().parents[2] / "docs" / "exercises.md"
    assert document.read_text(encoding="utf-8") == update(document, CATALOGUE), "run training.errors.document"


def test_a_document_without_marks_is_refused(tmp_path: Path) -> None:
    (tmp_path / "d.md").write_text("# nothing")
    with pytest.raises(ConfigError, match=r"d\.md"):
        update(tmp_path / "d.md", CATALOGUE)

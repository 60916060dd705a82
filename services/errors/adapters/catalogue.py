"""Reads the exercises' YAML files, checks them, and gives the core plain data.

A file that says something unknown, contradictory or impossible is refused with a sentence that names file and key.
"""

from collections.abc import Mapping
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Final, Literal, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from services.common.errors import ConfigError
from services.common.skeleton import INDEX
from services.errors.adapters.weights import load_learned
from services.errors.core.catalogue import ABOVE, BELOW, UNKNOWN, Catalogue, ErrorSpec, ExerciseSpec
from services.errors.core.curves import Movement
from services.errors.core.learned import Learned
from services.errors.core.measures import REGISTRY
from services.errors.core.registry import SET_MEASURES, UNITS

SHIPPED: Final = Path(__file__).resolve().parent.parent / "exercises"
_LOADER: Final = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # libyaml's, ten times as fast, where it is built in
GENERAL_FILE: Final = "_all.yaml"
_JOINTS: Final = {*INDEX, *(n.partition("_")[2] for n in INDEX if "_" in n)}
_PLURALS: Final = {f"{j}s" for j in _JOINTS if j != "nose"}

M = TypeVar("M", bound=BaseModel)
Id = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]
Code = Annotated[str, Field(pattern=r"^[A-Z][A-Z0-9_]*$")]
Text = Annotated[str, Field(min_length=3)]
Share = Annotated[float, Field(ge=0.0, le=1.0)]
Limits = Annotated[list[float], Field(min_length=3, max_length=3)]
ViewName = Literal["front", "three_quarter", "side", "back"]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ErrorFile(_Strict):
    """One error as written. Either a measure with its limits, or ``hidden_because``."""

    code: Code
    title: Text
    cue: Text
    praise: Text
    evidence: Text
    measure: str | None = None
    above: Limits | None = None
    below: Limits | None = None
    noise: Annotated[float, Field(gt=0)] | None = None
    severe: float | None = None
    views: Annotated[list[ViewName], Field(min_length=1)] | None = None
    joints: Annotated[list[str], Field(min_length=1)] | None = None
    min_visible: Share = 0.6
    precision_floor: Annotated[float, Field(ge=0.5, lt=1.0)] = 0.8
    weight: Annotated[float, Field(gt=0.0, lt=1.0)] = 0.3
    yields_to: list[Code] = []
    both_arms: bool = False
    hidden_because: Text | None = None

    @model_validator(mode="after")
    def _consistent(self) -> "ErrorFile":
        needed = {k: getattr(self, k) for k in ("measure", "noise", "severe", "views", "joints")}
        if self.hidden_because is not None:
            present = sorted(k for k, v in needed.items() if v is not None)
            if present or self.above or self.below:
                raise ValueError(f"{self.code}: hidden_because excludes limits and {', '.join(present) or 'measures'}")
            return self
        missing = sorted(k for k, v in needed.items() if v is None)
        if missing:
            raise ValueError(f"{self.code}: {', '.join(missing)} missing (or say hidden_because)")
        if (self.above is None) == (self.below is None):
            raise ValueError(f"{self.code}: give either above or below, with three limits")
        self._check_measure()
        return self

    def _check_measure(self) -> None:
        if self.measure not in REGISTRY and self.measure not in SET_MEASURES:
            raise ValueError(f"{self.code}: no measure is called {self.measure!r}")
        unknown = [j for j in self.joints or [] if j not in _JOINTS and j not in _PLURALS]
        if unknown:
            raise ValueError(f"{self.code}: joints {unknown} are not joints of the skeleton")
        limits = self.above or self.below or []
        sign = 1 if self.above else -1
        steps = [sign * (b - a) for a, b in pairwise(limits)]
        if any(step > 0 for step in steps):
            raise ValueError(f"{self.code}: limits must go from lenient to strict, not {limits}")
        if sign * (float(self.severe or 0.0) - limits[1]) <= 0:
            raise ValueError(f"{self.code}: severe ({self.severe}) must lie beyond the middle limit ({limits[1]})")

    def spec(self) -> ErrorSpec:
        common: dict[str, Any] = {
            k: getattr(self, k) for k in ("code", "title", "cue", "praise", "evidence", "weight", "both_arms")
        }
        common["yields_to"] = tuple(self.yields_to)
        if self.measure is None:
            return ErrorSpec(**common, hidden_because=self.hidden_because or "")
        low, middle, strict = self.above or self.below or [0.0, 0.0, 0.0]
        return ErrorSpec(
            **common,
            measure=self.measure,
            direction=ABOVE if self.above else BELOW,
            limits=(low, middle, strict),
            noise=float(self.noise or 0.0),
            severe=float(self.severe or 0.0),
            unit=UNITS[self.measure.rsplit("_", 1)[-1]],
            views=frozenset(self.views or []),
            joints=tuple(self.joints or []),
            min_visible=self.min_visible,
            precision_floor=self.precision_floor,
        )


class MovementFile(_Strict):
    """How the repetition moves (``core.curves.Movement``)."""

    primary_angle: Literal["elbow", "arm", "arm_level", "knee", "hip", "lean", "shoulder_height"]
    turn_high: bool
    plane: Literal["sagittal", "frontal", "any"] = "any"
    load_point: Literal["wrist", "elbow", "shoulder", "hip"] = "wrist"
    lowering_first: bool = False
    legs: bool = False
    one_side: bool = False
    both_sides: bool = False


class RepetitionFile(_Strict):
    starts: Text
    turn: Text


class ExerciseFile(_Strict):
    """One exercise's file. ``same_errors_as``: takes over another exercise's own errors, then its own are added."""

    version: Literal[1]
    id: Id
    title: Text
    aliases: list[Text] = []
    repetition: RepetitionFile
    movement: MovementFile
    same_errors_as: Id | None = None
    general_errors: bool = True
    without: list[Code] = []
    errors: list[ErrorFile] = []


class GeneralFile(_Strict):
    """Errors that every exercise has unless its file says ``without``."""

    version: Literal[1]
    errors: list[ErrorFile]


def _read(path: Path) -> Any:
    try:
        loaded = yaml.load(path.read_text(encoding="utf-8"), Loader=_LOADER)
    except (OSError, UnicodeDecodeError) as broken:
        raise ConfigError(f"{path}: cannot be read ({broken}).") from None
    except yaml.YAMLError as broken:
        raise ConfigError(f"{path}: is not valid YAML ({' '.join(str(broken).split())}).") from None
    if not isinstance(loaded, Mapping):
        raise ConfigError(f"{path}: holds no keys; it must describe one exercise.")
    return loaded


def _validated(model: type[M], path: Path) -> M:
    try:
        return model.model_validate(_read(path))
    except ValidationError as broken:
        first = broken.errors()[0]
        key = ".".join(str(part) for part in first["loc"]) or "file"
        raise ConfigError(f"{path}: {key}: {first['msg']}.") from None


def _own(files: Mapping[str, tuple[Path, ExerciseFile]], name: str, seen: tuple[str, ...] = ()) -> list[ErrorFile]:
    """An exercise's own errors with those that it takes over; its own wording of a code wins."""
    path, file = files[name]
    if file.same_errors_as is None:
        return list(file.errors)
    if file.same_errors_as not in files or file.same_errors_as in (*seen, name):
        raise ConfigError(f"{path}: same_errors_as: {file.same_errors_as} is no other exercise with errors of its own.")
    codes = {e.code for e in file.errors}
    taken = [e for e in _own(files, file.same_errors_as, (*seen, name)) if e.code not in codes]
    return [*taken, *file.errors]


def _errors(
    files: Mapping[str, tuple[Path, ExerciseFile]], name: str, general: list[ErrorFile]
) -> tuple[ErrorSpec, ...]:
    path, file = files[name]
    own = _own(files, name)
    codes = {e.code for e in own}
    for code in file.without:
        if code not in {e.code for e in general}:
            raise ConfigError(f"{path}: without: {code} is not among the errors of {GENERAL_FILE}.")
    more = [e for e in general if e.code not in codes and e.code not in file.without] if file.general_errors else []
    chosen = [*own, *more]
    duplicates = sorted({e.code for e in chosen if sum(e.code == o.code for o in chosen) > 1})
    if duplicates:
        raise ConfigError(f"{path}: errors: {', '.join(duplicates)} is there twice.")
    return tuple(e.spec() for e in chosen)


def load_catalogue(folder: Path = SHIPPED, weights: Path | None = None) -> Catalogue:
    """Read every exercise of a folder, and, if asked, what was learned of their errors.

    Args:
        weights: file of the learned part (``weights.SHIPPED``); None: the rules alone, which blame clean
            repetitions less often.
    Raises:
        ConfigError: naming the file and the key that is wrong.
        ModelError: the weights cannot be read.
    """
    files: dict[str, tuple[Path, ExerciseFile]] = {}
    names: dict[str, Path] = {}
    for path in sorted(folder.glob("*.yaml")):
        if path.name == GENERAL_FILE:
            continue
        file = _validated(ExerciseFile, path)
        if file.id != path.stem:
            raise ConfigError(f"{path}: id: is {file.id}, but the file is called {path.stem}.")
        for name in (file.id, *file.aliases):
            if name.lower() in names:
                raise ConfigError(f"{path}: aliases: {name} is already a name in {names[name.lower()]}.")
            names[name.lower()] = path
        files[file.id] = (path, file)
    if UNKNOWN not in files:
        raise ConfigError(f"{folder}: {UNKNOWN}.yaml is missing; it says how unknown movements are measured.")
    shared = folder / GENERAL_FILE
    general = _validated(GeneralFile, shared).errors if shared.exists() else []
    learned = None if weights is None else load_learned(weights)
    return Catalogue({name: _narrowed(_exercise(files, name, general), learned) for name in files}, learned)


def _narrowed(exercise: ExerciseSpec, learned: Learned | None) -> ExerciseSpec:
    """The exercise with only those views of each error from which it was learned to be told."""
    heads = learned.heads if learned else {}
    errors = tuple(
        replace(error, views=error.views & head.views) if (head := heads.get((exercise.id, error.code))) else error
        for error in exercise.errors
    )
    return replace(exercise, errors=errors)


def _exercise(files: Mapping[str, tuple[Path, ExerciseFile]], name: str, general: list[ErrorFile]) -> ExerciseSpec:
    file = files[name][1]
    return ExerciseSpec(
        id=file.id,
        version=file.version,
        title=file.title,
        aliases=tuple(file.aliases),
        starts=file.repetition.starts,
        turn=file.repetition.turn,
        movement=Movement(**file.movement.model_dump()),
        errors=_errors(files, name, general),
    )

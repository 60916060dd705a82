"""What exercises and errors are, once read and checked: plain data that the rules work on."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from services.common.errors import InputError
from services.errors.core.curves import Movement
from services.errors.core.learned import Learned

UNKNOWN: Final = "unknown"
ABOVE, BELOW = "above", "below"


@dataclass(frozen=True, slots=True)
class ErrorSpec:
    """One error of an exercise.

    ``measure`` None: the camera's keypoints cannot show it, it is always NOT_OBSERVABLE; ``hidden_because`` says why.
    ``limits``: at strictness 0, 0.5 (the published one) and 1. ``noise``: standard deviation of the measured value,
    network and bodies together, in the measure's unit. ``severe``: value at which the severity is 1.
    ``joints``: what must be seen: ``elbow`` of the side judged, ``elbows`` of at least one side.
    ``yields_to``: errors that explain this one: it is not named beside them.
    ``both_arms``: says nothing where arms alternate.
    """

    code: str
    title: str
    cue: str
    praise: str
    evidence: str
    measure: str | None = None
    direction: str = ABOVE
    limits: tuple[float, float, float] = (0.0, 0.0, 0.0)
    noise: float = 1.0
    severe: float = 1.0
    unit: str = ""
    views: frozenset[str] = frozenset()
    joints: tuple[str, ...] = ()
    min_visible: float = 0.6
    precision_floor: float = 0.9
    weight: float = 0.3
    yields_to: tuple[str, ...] = ()
    both_arms: bool = False
    hidden_because: str = ""

    def limit(self, strictness: float) -> float:
        """The limit at a strictness in [0, 1], linear between the three given."""
        lenient, standard, strict = self.limits
        if strictness <= 0.5:
            return lenient + (standard - lenient) * strictness / 0.5
        return standard + (strict - standard) * (strictness - 0.5) / 0.5

    def beyond(self, value: float, limit: float) -> bool:
        """Whether a measured value is on the wrong side of a limit."""
        return value > limit if self.direction == ABOVE else value < limit


@dataclass(frozen=True, slots=True)
class ExerciseSpec:
    """One exercise: how it moves, and everything that can be wrong with it (its own errors first)."""

    id: str
    version: int
    title: str
    aliases: tuple[str, ...]
    starts: str
    turn: str
    movement: Movement
    errors: tuple[ErrorSpec, ...]

    def measures(self) -> tuple[str, ...]:
        """Names of the measures that its errors need, each once."""
        return tuple(dict.fromkeys(e.measure for e in self.errors if e.measure))


class Catalogue:
    """Exercises by id or alias. Iterating gives the exercises in the order of their ids.

    ``learned``: what was learned of their errors, if anything.
    """

    def __init__(self, exercises: Mapping[str, ExerciseSpec], learned: Learned | None = None) -> None:
        self.learned = learned
        self._by_id = {key: exercises[key] for key in sorted(exercises)}
        self._by_name = {name.lower(): spec.id for spec in self for name in (spec.id, *spec.aliases)}

    def __getitem__(self, exercise_id: str) -> ExerciseSpec:
        return self._by_id[exercise_id]

    def __iter__(self) -> Iterator[ExerciseSpec]:
        return iter(self._by_id.values())

    def __len__(self) -> int:
        return len(self._by_id)

    def resolve(self, name: str) -> str:
        """The id of the exercise with that id or alias.

        Raises:
            InputError: no exercise is called that.
        """
        found = self._find(name)
        if found is None:
            raise InputError(f"No exercise is called {name!r}; known are: {', '.join(self._by_id)}.")
        return found

    def get(self, name: str) -> ExerciseSpec:
        """The exercise of that id or alias, or ``unknown``."""
        return self._by_id[self._find(name) or UNKNOWN]

    def _find(self, name: str) -> str | None:
        key = name.strip().lower()
        spaced = key.replace("_", " ").replace("-", " ")
        return self._by_name.get(key) or self._by_name.get(spaced) or self._by_name.get(spaced.replace(" ", "_"))

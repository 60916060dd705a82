"""The documents that formcheck writes: ``formcheck.report/1``, ``formcheck.segment/1``, ``formcheck.assess/1``.

Every number names its unit in the JSON Schema (key ``unit``): s, px, deg, 1/s, 1 (a ratio, a probability, an ordinal).
None (null) means "not known" or "cannot be seen"; NaN and infinities are refused.
"""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field


def _quantity(
    unit: str, description: str, *, ge: float | None = None, gt: float | None = None, le: float | None = None
) -> Any:
    return Field(description=description, json_schema_extra={"unit": unit}, ge=ge, gt=gt, le=le)


_BY_SUFFIX = "by the suffix of its name"

Probability = Annotated[float, Field(ge=0.0, le=1.0)]


class Model(BaseModel):
    """Unknown keys are refused, values never change, keys are written as the schema spells them."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, allow_inf_nan=False, validate_by_name=True, serialize_by_alias=True
    )


class Source(Model):
    """The analysed video."""

    uri: str = Field(description="File or address as it was given.")
    duration_s: float | None = _quantity("s", "Length of what was decoded; null where unknown.", ge=0.0)
    fps: float = _quantity("1/s", "Frames per second of the source, on average.", ge=0.0)
    width_px: int = _quantity("px", "Width of the picture after rotation.", ge=0)
    height_px: int = _quantity("px", "Height of the picture after rotation.", ge=0)


class Warning_(Model):  # noqa: N801 - Warning is a builtin
    """Something the reader should know of the input or the result."""

    code: str = Field(description="Kind of warning, upper snake case.")
    text: str = Field(description="One plain sentence.")


class PhaseDurations(Model):
    """Tempo of one repetition; null where it was not determined."""

    concentric_s: float | None = _quantity("s", "The lifting part: against the weight.", ge=0.0)
    hold_s: float | None = _quantity("s", "Stay at the far end.", ge=0.0)
    eccentric_s: float | None = _quantity("s", "The lowering part: giving way to the weight.", ge=0.0)
    rest_s: float | None = _quantity("s", "Pause at rest before it, since the last offset.", ge=0.0)


class SidePair(Model):
    """One angle for each side of the body; null where that side is hidden or does not take part."""

    left: float | None = _quantity("deg", "Left side.")
    right: float | None = _quantity("deg", "Right side.")


class Error(Model):
    """One mistake: the measured quantity against its limit."""

    code: str = Field(description="Error code, upper snake case.")
    severity: Probability = _quantity("1", "0 = just over the limit, 1 = as bad as it gets.")
    probability: Probability = _quantity("1", "How certain it is that this is a mistake.")
    value: float | None = _quantity("as `unit` says", "What was measured.")
    limit: float | None = _quantity("as `unit` says", "What would have been right.")
    unit: str = Field(description="Unit of `value` and `limit`.")
    side: Literal["left", "right", "both"] | None = Field(description="Side of the body, where one is meant.")
    at_s: float | None = _quantity("s", "Time of the worst frame in the source.")


class Verdict(Model):
    """The assessment of one confirmed repetition. Any entry in ``errors`` means that it was done wrong."""

    score: float = _quantity("1", "0 to 100; 100 = clean.", ge=0.0, le=100.0)
    errors: list[Error] = Field(description="Mistakes, the worst first.")
    not_observable: list[str] = Field(description="Codes of errors that this view hides.")
    cue: str | None = Field(description="The one next thing to fix, or praise; null where nothing is to be said.")


class Repetition(Model):
    """One final repetition: counted (confirmed) or an attempt with the reason why it does not count."""

    id: str = Field(description="Deterministic identifier: the same input gives the same one.")
    index: int | None = _quantity("1", "Ordinal in its set, from 1; null for an attempt.", ge=1)
    set: int = _quantity("1", "Ordinal of its set in the track.", ge=0)
    exercise: str = Field(description="Exercise id; `unknown` where none fits.")
    exercise_probability: Probability = _quantity("1", "Probability of that exercise.")
    status: Literal["confirmed", "attempt"] = Field(description="Whether it counts.")
    reason: str | None = Field(description="Why an attempt does not count; null for confirmed ones.")
    onset_s: float = _quantity("s", "Start of the movement.")
    turn_s: float | None = _quantity("s", "The far end; null where it was not reached.")
    offset_s: float | None = _quantity("s", "Back at rest; null where that was not seen.")
    phases: PhaseDurations = Field(description="Durations of its parts.")
    range_of_motion_deg: SidePair = Field(description="Range of the exercise's main joint angle.")
    asymmetry: float | None = _quantity("1", "Difference of left and right relative to their mean; 0 = alike.")
    measures: dict[str, Annotated[float | None, _quantity(_BY_SUFFIX, "A measured quantity.")]] = Field(
        description="Further measured quantities by name. The name's suffix is the unit: deg, s, ratio (1), "
        "norm (torso lengths; of a velocity, torso lengths per s)."
    )
    assessment: Verdict | None = Field(description="The verdict; null for attempts.")


class SequenceRepetition(Repetition):
    """A repetition of a pose sequence, with its boundaries as frame numbers too (from 0)."""

    onset_frame: int = _quantity("frame", "Frame of the onset.", ge=0)
    turn_frame: int | None = _quantity("frame", "Frame of the far end.", ge=0)
    offset_frame: int | None = _quantity("frame", "Frame of the offset.", ge=0)
    whole_sequence: bool = Field(
        default=False,
        exclude_if=lambda value: not value,
        description="True where no complete repetition was found and all was assessed as one.",
    )


class SetReport(Model):
    """One set: consistency, symmetry, fatigue; null where the view hides it or there are too few repetitions."""

    set: int = _quantity("1", "Ordinal of the set in the track.", ge=0)
    exercise: str = Field(description="Exercise id.")
    repetitions: int = _quantity("1", "Number of confirmed repetitions.", ge=0)
    onset_s: float | None = _quantity("s", "Onset of its first repetition.")
    offset_s: float | None = _quantity("s", "Offset of its last repetition.")
    tempo_s: float | None = _quantity("s", "Mean duration of a repetition.", ge=0.0)
    tempo_cv: float | None = _quantity("1", "Standard deviation of the durations / their mean.", ge=0.0)
    range_of_motion_deg: float | None = _quantity("deg", "Mean range of motion over repetitions and sides.")
    symmetry: float | None = _quantity("1", "1 = left and right alike, 0 = one side does nothing.")
    velocity_loss: float | None = _quantity("1", "Share of speed lost: last third against the best of the first three.")
    range_loss: float | None = _quantity("1", "Share of range lost: last third against the best of the first three.")
    tempo_drift: float | None = _quantity("1", "Share by which the last third takes longer (> 0) than the first.")


class Person(Model):
    """One tracked person."""

    track_id: int = _quantity("1", "Number of the track, unique within the video.", ge=0)
    first_s: float = _quantity("s", "First seen.")
    last_s: float = _quantity("s", "Last seen.")
    repetitions: list[Repetition] = Field(description="Confirmed repetitions and attempts, by onset.")
    sets: list[SetReport] = Field(description="Sets, by onset.")


class Report(Model):
    """``formcheck analyze``: everything found in one video."""

    schema_: Literal["formcheck.report/1"] = Field(
        default="formcheck.report/1", alias="schema", description="Name and version of this format."
    )
    source: Source
    warnings: list[Warning_]
    people: list[Person]
    timings: dict[str, Annotated[float, _quantity(_BY_SUFFIX, "A duration, rate or size of the run.")]] = Field(
        description="How long the analysis took, by name; the suffix of the name is the unit."
    )


class SegmentDocument(Model):
    """``formcheck segment``: the repetitions of a pose sequence, not assessed."""

    schema_: Literal["formcheck.segment/1"] = Field(
        default="formcheck.segment/1", alias="schema", description="Name and version of this format."
    )
    fps: float = _quantity("1/s", "Frames per second of the pose sequence, as given.", gt=0.0)
    repetitions: list[SequenceRepetition] = Field(description="Confirmed repetitions and attempts, by onset.")


class AssessDocument(Model):
    """``formcheck assess``: the repetitions of a pose sequence, assessed."""

    schema_: Literal["formcheck.assess/1"] = Field(
        default="formcheck.assess/1", alias="schema", description="Name and version of this format."
    )
    fps: float = _quantity("1/s", "Frames per second of the pose sequence, as given.", gt=0.0)
    repetitions: list[SequenceRepetition] = Field(description="Confirmed repetitions and attempts, by onset.")


DOCUMENTS: tuple[type[Report | SegmentDocument | AssessDocument], ...] = (Report, SegmentDocument, AssessDocument)


def json_schema() -> dict[str, Any]:
    """One JSON Schema (2020-12) for the three documents; each is told by its key ``schema``."""
    definitions: dict[str, Any] = {}
    for document in DOCUMENTS:
        schema = document.model_json_schema(by_alias=True, mode="serialization", ref_template="#/$defs/{model}")
        definitions.update(schema.pop("$defs"))
        definitions[document.__name__] = schema
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "formcheck documents",
        "oneOf": [{"$ref": f"#/$defs/{document.__name__}"} for document in DOCUMENTS],
        "$defs": dict(sorted(definitions.items())),
    }

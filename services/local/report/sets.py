"""What the page says of each set: the summary in numbers, and small charts with a column per repetition."""

from dataclasses import dataclass

from services.common.types import Repetition, Status
from services.local.report.charts import Column, column_chart
from services.local.report.plots import Markup
from services.local.report.words import clock, count, exercise_words, percent, phases_in_order, quantity
from services.local.results import PersonResult, SetSummary


@dataclass(frozen=True, slots=True)
class Metric:
    """One number of a set with a remark that says how to read it. ``alarm``: worth the coach's attention."""

    name: str
    value: str
    remark: str
    alarm: bool = False


@dataclass(frozen=True, slots=True)
class Chart:
    """One small chart. ``legend``: (CSS class, text)."""

    title: str
    svg: Markup
    legend: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class SetView:
    """One set."""

    title: str
    detail: str
    metrics: tuple[Metric, ...]
    charts: tuple[Chart, ...]


_VELOCITY = "concentric_mean_velocity_norm"
_VELOCITY_LOSS_ALARM = 0.2  # coaches end a strength set at about a fifth of the speed lost
_RANGE_LOSS_ALARM = 0.1
_SYMMETRY_ALARM = 0.85
_CV_ALARM = 0.2


def build_sets(person: PersonResult, track: str) -> list[SetView]:
    """``track``: a prefix that keeps test ids of several people apart."""
    counted = [r for r in person.final_repetitions() if r.status is Status.CONFIRMED]
    views = []
    for summary in person.sets:
        mine = [r for r in counted if r.set_index == summary.set_index]
        detail = (
            f"{exercise_words(summary.exercise)}, {count(summary.repetitions, 'repetition')}, "
            f"{clock(summary.onset_s)}–{clock(summary.offset_s)}"
        )
        charts = _charts(person, mine, f"{track}-set{summary.set_index}")
        views.append(SetView(f"Set {summary.set_index}", detail, _metrics(summary), charts))
    return views


def _metrics(summary: SetSummary) -> tuple[Metric, ...]:
    def over(value: float | None, limit: float) -> bool:
        return value is not None and value > limit

    symmetry = summary.symmetry
    return (
        Metric("Tempo", quantity(summary.tempo_s, "s"), _if_known("varies by {}", summary.tempo_cv),
               over(summary.tempo_cv, _CV_ALARM)),
        Metric("Range of motion", quantity(summary.range_of_motion_deg, "deg"),
               _if_known("{} lost over the set", summary.range_loss), over(summary.range_loss, _RANGE_LOSS_ALARM)),
        Metric("Symmetry", percent(symmetry), "100 % = both sides alike",
               symmetry is not None and symmetry < _SYMMETRY_ALARM),
        Metric("Velocity loss", percent(summary.velocity_loss), "last third against the fastest",
               over(summary.velocity_loss, _VELOCITY_LOSS_ALARM)),
        Metric("Tempo drift", percent(summary.tempo_drift, signed=True), "+ longer, − shorter at the end"),
    )  # fmt: skip


def _if_known(sentence: str, share: float | None) -> str:
    return "too few repetitions to compare" if share is None else sentence.format(percent(share))


def _charts(person: PersonResult, repetitions: list[Repetition], key: str) -> tuple[Chart, ...]:
    if not repetitions:
        return ()
    charts = [_tempo_chart(repetitions, key), _range_chart(person, repetitions, key)]
    difference = _measure_chart(
        person, repetitions, "asymmetry", "Left–right difference", f"{key}-asymmetry", "bar-asymmetry", as_percent=True
    )
    speed = _measure_chart(
        person, repetitions, _VELOCITY, "Lifting speed, torso lengths/s", f"{key}-velocity", "bar-velocity"
    )
    return tuple(c for c in (*charts, difference, speed) if c is not None)


def _tempo_chart(repetitions: list[Repetition], key: str) -> Chart:
    columns = []
    order = phases_in_order(repetitions[0].exercise)
    for r in repetitions:
        if r.phases is None:
            columns.append(Column(str(r.index), (), "", ""))
            continue
        durations = {"concentric": r.phases.concentric_s, "hold": r.phases.hold_s, "eccentric": r.phases.eccentric_s}
        parts = tuple((durations[phase], f"phase-{phase}") for phase, _ in order)
        title = ", ".join(f"{verb} {durations[phase]:.1f} s" for phase, verb in order)
        columns.append(Column(str(r.index), parts, f"{sum(durations.values()):.1f}", f"Repetition {r.index}: {title}"))
    legend = tuple((f"phase-{phase}", verb) for phase, verb in order)
    drawn = column_chart(columns, label="Tempo of each repetition in s", testid=f"chart-{key}-tempo")
    return Chart("Tempo, s", drawn, legend)


def _range_chart(person: PersonResult, repetitions: list[Repetition], key: str) -> Chart | None:
    columns = []
    for r in repetitions:
        assessment = person.assessment_of(r.id)
        ranges = assessment.range_of_motion_deg if assessment else {}
        parts = tuple((v, f"s-{side}") for side in ("left", "right") if (v := ranges.get(side)) is not None and v == v)
        best = max((v for v, _ in parts), default=0.0)
        title = ", ".join(f"{css[2:]} {v:.0f}°" for v, css in parts)
        columns.append(Column(str(r.index), parts, f"{best:.0f}", f"Repetition {r.index}: {title}"))
    sides = {css for c in columns for _, css in c.parts}
    if not sides:
        return None
    drawn = column_chart(
        columns, label="Range of motion of each repetition in degrees", testid=f"chart-{key}-range", side_by_side=True
    )
    return Chart("Range of motion, °", drawn, tuple((s, s[2:]) for s in ("s-left", "s-right") if s in sides))


def _measure_chart(
    person: PersonResult,
    repetitions: list[Repetition],
    name: str,
    title: str,
    key: str,
    css: str,
    as_percent: bool = False,
) -> Chart | None:
    columns = []
    for r in repetitions:
        a = person.assessment_of(r.id)
        value = None if a is None else a.asymmetry if name == "asymmetry" else a.measures.get(name)
        if value is None or value != value:
            columns.append(Column(str(r.index), (), "", ""))
            continue
        text = percent(value).replace(" ", "") if as_percent else f"{value:.{1 if abs(value) >= 1 else 2}f}"
        columns.append(Column(str(r.index), ((abs(value), css),), text, f"Repetition {r.index}: {text}"))
    if not any(c.parts for c in columns):
        return None
    return Chart(title, column_chart(columns, label=f"{title} of each repetition", testid=f"chart-{key}"))

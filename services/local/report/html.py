"""``report.html``: one self-contained page, readable without scripts, nothing loaded from anywhere."""

import base64
import hashlib
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path, PurePath
from typing import Final

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from services.common.types import Repetition, Status
from services.local.report.sets import SetView, build_sets
from services.local.report.timeline import Timeline, build_timeline
from services.local.report.view import Card, Headline, MatrixRow, cards, headline, matrix
from services.local.report.words import clock, count
from services.local.results import AnalysisResult, PersonResult

_TEMPLATES: Final = Path(__file__).parent / "templates"


@dataclass(frozen=True, slots=True)
class PersonView:
    """All that the template shows of one person."""

    key: str
    name: str
    seen: str
    headline: Headline
    counted: list[Repetition]
    scores: list[int | None]
    anchors: dict[str, str]
    rows: list[MatrixRow]
    timeline: Timeline
    cards: list[Card]
    sets: list[SetView]


def render_html(result: AnalysisResult, *, video: str | None = None) -> str:
    """The page of one analysis. ``video``: name of the annotated video beside it, to link to; None = no link."""
    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    script = (_TEMPLATES / "report.js").read_text("utf-8")
    digest = base64.b64encode(hashlib.sha256(script.encode("utf-8")).digest()).decode("ascii")
    source = result.source
    shown = _by_work(result.people)
    return environment.get_template("report.html.j2").render(
        title=PurePath(source.uri).name or source.uri,
        source=source,
        facts=_source_facts(result),
        warnings=result.warnings,
        people=[_person(result, person, shown) for person in shown],
        video=video,
        timings=_timings(result.timings),
        version=_version(),
        style=Markup((_TEMPLATES / "report.css").read_text("utf-8")),
        script=Markup(script),
        script_digest=digest,
    )


def _by_work(people: list[PersonResult]) -> list[PersonResult]:
    """Who trained first, then bystanders; each by track."""

    def repetitions(person: PersonResult) -> int:
        return sum(r.status is Status.CONFIRMED for r in person.final_repetitions())

    return sorted(people, key=lambda p: (not repetitions(p), p.track_id))


def _person(result: AnalysisResult, person: PersonResult, shown: list[PersonResult]) -> PersonView:
    key = f"p{person.track_id}"
    anchors = {r.id: f"{key}-r{i}" for i, r in enumerate(person.final_repetitions(), 1)}
    counted, rows = matrix(person)
    verdicts = [person.assessment_of(r.id) for r in counted]
    truth = result.truth
    if truth is not None and truth.track_id not in (None, person.track_id):
        truth = None
    if truth is not None and truth.track_id is None and person is not _busiest(shown):
        truth = None
    return PersonView(
        key=key,
        name=f"Person {person.track_id}",
        seen=f"{clock(person.first_s)}–{clock(person.last_s)}",
        headline=headline(person),
        counted=counted,
        scores=[None if a is None else round(a.score) for a in verdicts],
        anchors=anchors,
        rows=rows,
        timeline=build_timeline(person, result.source.duration_s or 0.0, truth, anchors),
        cards=cards(person, result.thumbnails, anchors),
        sets=build_sets(person, key),
    )


def _busiest(people: list[PersonResult]) -> PersonResult:
    def work(person: PersonResult) -> tuple[int, int]:
        return (sum(r.status is Status.CONFIRMED for r in person.final_repetitions()), len(person.times_s))

    return max(people, key=work)


def _source_facts(result: AnalysisResult) -> list[str]:
    source = result.source
    facts = [clock(source.duration_s)] if source.duration_s is not None else []
    facts += [f"{source.width_px} × {source.height_px}", f"{source.fps:.3g} frames/s"]
    return [*facts, count(len(result.people), "person", "people")]


def _timings(timings: dict[str, float]) -> list[tuple[str, str]]:
    """Names with their unit suffix taken apart: ``decode_s`` → (``decode``, ``1.30 s``)."""
    shown = []
    for name, value in timings.items():
        if name.endswith("_per_s"):
            shown.append((name.removesuffix("_per_s").replace("_", " "), f"{value:.1f} /s"))
            continue
        stem, _, unit = name.rpartition("_")
        known = {"s": "s", "ms": "ms", "fps": "frames/s", "mb": "MB"}.get(unit)
        text = f"{value:.2f} {known}" if known and stem else f"{value:,.0f}" if value == int(value) else f"{value:.2f}"
        shown.append(((stem if known and stem else name).replace("_", " "), text))
    return shown


def _version() -> str:
    try:
        return version("formcheck")
    except PackageNotFoundError:
        return "unknown"

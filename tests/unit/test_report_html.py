"""The page: complete, self-contained, escaped, small."""

import dataclasses
import re
from html.parser import HTMLParser

import pytest

from services.common.types import ErrorFinding
from services.local.report.html import render_html
from services.local.results import AnalysisResult, SourceResult, WarningResult
from tests.report_factory import make_result

VOID = {"meta", "link", "br", "img", "input", "hr"}


class _Page(HTMLParser):
    """Collects test ids, ids, addresses and text; fails on tags that do not nest."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.testids: list[str] = []
        self.ids: list[str] = []
        self.addresses: list[str] = []
        self.tags: list[str] = []
        self.text = ""
        self._open: list[str] = []
        self.feed(text)
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        self.tags.append(tag)
        self.testids += [found["data-testid"] or ""] if "data-testid" in found else []
        self.ids += [found["id"] or ""] if "id" in found else []
        self.addresses += [v or "" for k, v in attrs if k in ("href", "src", "xlink:href", "action")]
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.handle_endtag(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if not self._open or self._open[-1] not in ("style", "script"):
            self.text += data


@pytest.fixture(scope="module")
def result() -> AnalysisResult:
    return make_result(people=2)


@pytest.fixture(scope="module")
def page(result: AnalysisResult) -> _Page:
    return _Page(render_html(result))


def test_all_parts_are_there(page: _Page) -> None:
    lanes = [
        "phase",
        "progress",
        "events",
        "provisional",
        "final",
        "angle-elbow",
        "angle-shoulder",
        "angle-hip",
        "angle-knee",
    ]
    for lane in lanes:
        assert page.testids.count(f"plot-{lane}") == 2
    assert page.testids.count("person") == 2
    assert page.testids.count("card") == 14
    assert page.testids.count("attempt") == 2
    assert page.testids.count("thumbnail") == 16
    assert page.testids.count("set") == 4
    assert page.testids.count("matrix") == 2
    for chart in ("tempo", "range", "asymmetry", "velocity"):
        assert f"chart-p1-set1-{chart}" in page.testids


def test_truth_is_shown_for_its_person_only(page: _Page) -> None:
    assert page.testids.count("plot-truth") == 1


def test_without_truth_there_is_no_lane_for_it(result: AnalysisResult) -> None:
    assert "plot-truth" not in _Page(render_html(dataclasses.replace(result, truth=None))).testids


def test_the_coach_reads_what_is_wrong_and_what_to_do(page: _Page) -> None:
    text = " ".join(page.text.split())
    assert "Work on this first: elbow drifts" in text
    assert "Pin your elbows to your sides" in text
    assert "47°" in text
    assert "limit 35°" in text
    assert "Only part of the range." in text
    assert "The picture changes abruptly" in text


def test_nothing_is_loaded_from_anywhere(page: _Page, result: AnalysisResult) -> None:
    assert all(a.startswith(("#", "data:")) for a in page.addresses)
    text = render_html(result)
    assert not re.search(r"https?://(?!www\.w3\.org)", text)
    assert "default-src 'none'" in text
    assert "annotated.mp4" in _Page(render_html(result, video="annotated.mp4")).addresses


def test_links_lead_somewhere_and_ids_are_unique(page: _Page) -> None:
    assert len(set(page.ids)) == len(page.ids)
    targets = {a[1:] for a in page.addresses if a.startswith("#")}
    assert targets <= set(page.ids)


def test_hostile_text_is_escaped(result: AnalysisResult) -> None:
    evil = "\"><script>alert(1)</script>'<img src=x onerror=alert(2)>"
    person = result.people[0]
    first = person.assessments[0]
    finding = ErrorFinding(evil, 0.5, 0.9, 1.0, 2.0, evil, "left", first.repetition.onset_s)
    verdict = dataclasses.replace(first, errors=(finding,), cue=evil, not_observable=(evil,))
    hostile = AnalysisResult(
        SourceResult(evil, 10.0, 30.0, 640, 480),
        [WarningResult(evil, evil)],
        [dataclasses.replace(person, assessments=[verdict])],
        timings={evil: 1.0},
    )
    page = _Page(render_html(hostile))
    assert page.tags.count("script") == 1
    assert "img" not in page.tags
    assert page.text.count("alert(1)") >= 5


def test_nobody_in_sight_gives_a_page_that_says_so() -> None:
    empty = AnalysisResult(SourceResult("empty.mp4", 3.0, 25.0, 320, 240))
    assert "nobody" in _Page(render_html(empty)).testids


def test_a_bystander_has_a_page_of_their_own_but_comes_last(result: AnalysisResult) -> None:
    quiet = dataclasses.replace(result.people[0], events=[], assessments=[], sets=[])
    page = _Page(render_html(dataclasses.replace(result, people=[quiet, result.people[1]], thumbnails={}, truth=None)))
    assert [i for i in page.ids if i in ("p1", "p2")] == ["p2", "p1"]
    assert "No complete repetition was seen." in page.text


def test_a_minute_stays_small() -> None:
    result = make_result(repetitions=19)
    assert (result.source.duration_s or 0) > 55
    assert len(render_html(result).encode("utf-8")) < 1_500_000

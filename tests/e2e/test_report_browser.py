"""The page and the video in a real browser, on a desk and on a phone."""

import dataclasses
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, ViewportSize, expect, sync_playwright

from services.local.report.annotate import annotate_video
from services.local.report.html import render_html
from tests.report_factory import make_result, write_video

pytestmark = pytest.mark.browser

CHROMIUM = os.environ.get("FORMCHECK_CHROMIUM") or shutil.which("chromium") or "/usr/bin/chromium"
ARGS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--autoplay-policy=no-user-gesture-required",
]  # fmt: skip
DESK, PHONE = ViewportSize(width=1440, height=900), ViewportSize(width=390, height=844)
PLOTS = [
    "plot-phase", "plot-progress", "plot-events", "plot-provisional", "plot-final", "plot-truth", "plot-angle-elbow",
    "plot-angle-shoulder", "plot-angle-hip", "plot-angle-knee", "plot-axis", "matrix", "chart-p1-set1-tempo",
    "chart-p1-set1-range", "chart-p1-set2-asymmetry", "chart-p1-set2-velocity",
]  # fmt: skip


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    if not Path(CHROMIUM).exists():
        pytest.skip("no Chromium: install the Debian package chromium")
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGS)
        yield running
        running.close()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report of two people with its annotated video."""
    place = tmp_path_factory.mktemp("report")
    result = make_result(people=2, repetitions=5)
    write_video(result, place / "source.mp4", frames=75)
    result = dataclasses.replace(result, source=dataclasses.replace(result.source, uri=str(place / "source.mp4")))
    annotate_video(result, place / "annotated.mp4")
    (place / "report.html").write_text(render_html(result, video="annotated.mp4"), "utf-8")
    return place


def _open(browser: Browser, path: Path, size: ViewportSize, scheme: str, **more: bool) -> tuple[Page, list[str]]:
    page = browser.new_page(viewport=size, color_scheme=scheme, **more)  # type: ignore[arg-type]
    trouble: list[str] = []
    page.on("console", lambda message: trouble.append(f"{message.type}: {message.text}"))
    page.on("pageerror", lambda error: trouble.append(str(error)))
    page.on("requestfailed", lambda request: trouble.append(f"failed: {request.url}"))
    page.goto(path.as_uri())
    return page, trouble


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [DESK, PHONE], ids=["desk", "phone"])
def test_all_plots_show_and_the_page_never_scrolls_sideways(
    browser: Browser, folder: Path, tmp_path: Path, size: ViewportSize, scheme: str
) -> None:
    page, trouble = _open(browser, folder / "report.html", size, scheme)
    for plot in PLOTS:
        box = page.get_by_test_id(plot).first.bounding_box()
        assert box is not None, plot
        assert box["width"] > 100, plot
        assert box["height"] > 15, plot
    scrolled, width = page.evaluate("[document.documentElement.scrollWidth, innerWidth]")
    assert scrolled <= width
    timeline = page.get_by_test_id("timeline").first
    inside, outside = timeline.evaluate("e => [e.scrollWidth, e.clientWidth]")
    assert (inside > outside) == (size is PHONE)
    shot = tmp_path / "report.png"
    page.screenshot(path=shot, full_page=True)
    assert shot.stat().st_size > 50_000
    assert trouble == []
    page.close()


def test_tabs_switch_people_and_links_open_the_right_one(browser: Browser, folder: Path) -> None:
    page, trouble = _open(browser, folder / "report.html", DESK, "light")
    first, second = page.locator("#p1"), page.locator("#p2")
    assert (first.is_visible(), second.is_visible()) == (True, False)
    page.locator('[data-tab="p2"]').click()
    assert (first.is_visible(), second.is_visible()) == (False, True)
    page.locator('#p2 [data-testid="matrix"] a').nth(2).click()
    assert page.url.endswith("#p2-r3")
    expect(page.locator("#p2-r3")).to_be_in_viewport(ratio=0.95)
    assert trouble == []
    page.close()


def test_pointing_at_the_timeline_reads_the_curves(browser: Browser, folder: Path) -> None:
    page, trouble = _open(browser, folder / "report.html", DESK, "light")
    plot = page.locator('#p1 [data-testid="plot-angle-elbow"]')
    plot.scroll_into_view_if_needed()
    plot.hover(position={"x": 60, "y": 30})
    outputs = page.locator("#p1 .lane-angle-elbow output").all_inner_texts()
    assert len(outputs) == 2
    assert all(text.endswith("°") and 140 < int(text[:-1]) <= 180 for text in outputs)
    assert page.locator("#p1 .cursor").is_visible()
    assert trouble == []
    page.close()


def test_the_page_reads_without_scripts(browser: Browser, folder: Path) -> None:
    page, _ = _open(browser, folder / "report.html", PHONE, "light", java_script_enabled=False)
    assert page.locator("#p1").is_visible()
    assert page.locator("#p2").is_visible()
    page.close()


def test_text_has_contrast_in_both_schemes(browser: Browser, folder: Path) -> None:
    """WCAG AA for what is read: ink, soft text, links and verdict colours on the card."""
    script = """names => { const s = getComputedStyle(document.documentElement);
      const lum = h => { const v = [1, 3, 5].map(i => parseInt(h.slice(i, i + 2), 16) / 255)
        .map(c => c <= .03928 ? c / 12.92 : ((c + .055) / 1.055) ** 2.4);
        return .2126 * v[0] + .7152 * v[1] + .0722 * v[2]; };
      const card = lum(s.getPropertyValue('--card').trim());
      return names.map(n => { const l = lum(s.getPropertyValue(n).trim());
        return (Math.max(l, card) + .05) / (Math.min(l, card) + .05); }); }"""
    names = ["--ink", "--soft", "--accent", "--good", "--fair", "--wrong"]
    for scheme in ("light", "dark"):
        page, _ = _open(browser, folder / "report.html", DESK, scheme)
        ratios = dict(zip(names, page.evaluate(script, names), strict=True))
        assert min(ratios.values()) >= 4.5, (scheme, ratios)
        page.close()


def test_the_annotated_video_plays(browser: Browser, folder: Path) -> None:
    player = folder / "player.html"
    player.write_text('<!doctype html><video id="v" muted autoplay src="annotated.mp4"></video>', "utf-8")
    page, trouble = _open(browser, player, DESK, "light")
    page.wait_for_function("document.getElementById('v').readyState >= 2", timeout=20000)
    page.wait_for_function("document.getElementById('v').currentTime > 0.5", timeout=20000)
    state = page.evaluate("(v => [v.videoWidth, v.videoHeight, v.duration, v.error])(document.getElementById('v'))")
    assert state[:2] == [640, 480]
    assert state[2] == pytest.approx(2.5, abs=0.05)
    assert state[3] is None
    assert trouble == []
    page.close()

"""Logs: one JSON object a line, bound to a stream, without secrets."""

import io
import json
import logging
from collections.abc import Iterator

import pytest
import structlog
from hypothesis import given, settings
from hypothesis import strategies as st

from services.common.telemetry.logs import configure_logging, get_logger, stream_context
from services.common.telemetry.redact import HIDDEN, redact, redact_value
from services.common.types import StreamKey

KEY = StreamKey("gym", "cam-1", "s1")


@pytest.fixture
def out() -> Iterator[io.StringIO]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    text = io.StringIO()
    configure_logging("pose", out=text)
    yield text
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


def _lines(out: io.StringIO) -> list[dict[str, object]]:
    return [json.loads(line) for line in out.getvalue().splitlines()]


def test_a_line_says_when_who_and_what(out: io.StringIO) -> None:
    get_logger("services.pose.x").info("camera lost", after_s=3.5)
    (line,) = _lines(out)
    assert line["event"] == "camera lost"
    assert line["after_s"] == 3.5
    assert (line["level"], line["service"], line["logger"]) == ("info", "pose", "services.pose.x")
    assert str(line["time"]).endswith("Z")
    assert "stream_id" not in line


def test_lines_inside_a_stream_name_it(out: io.StringIO) -> None:
    log = get_logger("x")
    with stream_context(KEY):
        log.info("in")
        logging.getLogger("kafka.something").warning("from a library: %d", 7)
    log.info("out")
    inside, library, outside = _lines(out)
    for line in (inside, library):
        assert (line["tenant"], line["stream_id"], line["session_id"]) == ("gym", "cam-1", "s1")
    assert library["event"] == "from a library: 7"
    assert library["service"] == "pose"
    assert "stream_id" not in outside


def test_levels_are_kept(out: io.StringIO) -> None:
    get_logger("x").debug("quiet")
    logging.getLogger("kafka.coordinator").info("chatter")
    assert out.getvalue() == ""


def test_a_library_repeats_itself_once_in_ten_seconds() -> None:
    root, out, now_s = logging.getLogger(), io.StringIO(), [0.0]
    handlers, level = root.handlers[:], root.level
    try:
        configure_logging("pose", out=out, clock=lambda: now_s[0])
        for _ in range(25):
            logging.getLogger("kafka.net").warning("no broker")
            get_logger("services.x").warning("ours")
            now_s[0] += 1.0
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)
        structlog.reset_defaults()
    lines = _lines(out)
    assert sum(line["event"] == "ours" for line in lines) == 25
    assert [line.get("suppressed") for line in lines if line["event"] == "no broker"] == [None, 9, 9]


def test_passwords_are_cut_from_events_values_and_tracebacks(out: io.StringIO) -> None:
    log = get_logger("x")
    log.warning("cannot open rtsp://admin:hunter2@10.0.0.5/live", uri="rtsp://a:hunter2@h/1?token=hunter2&x=1")
    log.info("source", settings={"password": "hunter2", "urls": ["http://u:hunter2@h"]}, api_key="hunter2")
    try:
        raise OSError("no answer of rtsp://admin:hunter2@10.0.0.5/live")
    except OSError:
        log.exception("failed")
    logging.getLogger("lib").warning("Authorization: Bearer hunter2hunter2")
    text = out.getvalue()
    assert "hunter2" not in text
    lines = _lines(out)
    assert lines[0]["event"] == f"cannot open rtsp://{HIDDEN}@10.0.0.5/live"
    assert lines[0]["uri"] == f"rtsp://{HIDDEN}@h/1?token={HIDDEN}&x=1"
    assert "OSError" in str(lines[2]["exception"])


def test_console_format_redacts_too() -> None:
    text = io.StringIO()
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    try:
        configure_logging("pose", format="console", out=text)
        get_logger("x").info("open rtsp://a:hunter2@h/1", n=1)
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)
        structlog.reset_defaults()
    assert "hunter2" not in text.getvalue()
    assert "open rtsp://***@h/1" in text.getvalue()


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("rtsp://user:pa:ss@w/ord@cam.example:554/a", f"rtsp://{HIDDEN}@cam.example:554/a"),
        ("http://127.0.0.1:8101/metrics?name=x", "http://127.0.0.1:8101/metrics?name=x"),
        ("password=abc, user=x", f"password={HIDDEN}, user=x"),
        ("sasl_plain_password='a b'", f"sasl_plain_password={HIDDEN}"),
        ("https://s3/x?X-Amz-Signature=abc&y=2", f"https://s3/x?X-Amz-Signature={HIDDEN}&y=2"),
        ("Basic dXNlcjpwYXNz", f"Basic {HIDDEN}"),
        ("stream gym/cam-1 lost after 3 s", "stream gym/cam-1 lost after 3 s"),
    ],
)
def test_what_is_cut_and_what_is_kept(text: str, kept: str) -> None:
    assert redact(text) == kept


_USER = st.from_regex(r"[a-z]{1,8}", fullmatch=True)
_SECRET = st.text(st.characters(exclude_categories=["Z", "C"], exclude_characters="'\"<>\\@"), min_size=8, max_size=20)


@settings(deadline=None, max_examples=60)
@given(
    user=st.from_regex(r"[a-z]{1,8}", fullmatch=True),
    secret=_SECRET.map(lambda s: "§" + s),
    around=st.text(max_size=20),
)
def test_no_password_of_a_url_survives(user: str, secret: str, around: str) -> None:
    text = f"{around} rtsp://{user}:{secret}@camera.example/stream"
    assert secret not in redact(text)
    assert secret not in json.dumps(redact_value({"a": [text]}), ensure_ascii=False)

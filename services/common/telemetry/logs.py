"""Structured logs: one JSON object a line on stdout, from structlog and from libraries that use ``logging`` alike.

Every line has ``time``, ``level``, ``service``, ``logger``, ``event``; inside ``stream_context`` also ``tenant``,
``stream_id``, ``session_id``; inside a traced span also ``trace_id`` and ``span_id``. Secrets are redacted.
"""

import logging
import math
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final, Literal, TextIO

import structlog
from opentelemetry import trace
from structlog.types import EventDict, Processor, WrappedLogger

from services.common.telemetry.redact import redact_value
from services.common.types import StreamKey

Format = Literal["json", "console"]
_QUIET: Final = {"kafka": logging.WARNING, "opentelemetry": logging.ERROR, "asyncio": logging.WARNING}
"""Libraries that tell too much at INFO (kafka: each rebalance step; opentelemetry: a collector that is away)."""
_THROTTLE_S: Final = 10.0


def get_logger(name: str) -> structlog.stdlib.BoundLogger:
    """The logger of a module: ``log = get_logger(__name__)``; ``log.info("camera lost", after_s=3.0)``."""
    logger: structlog.stdlib.BoundLogger = structlog.get_logger(name)
    return logger


@contextmanager
def stream_context(stream: StreamKey) -> Iterator[None]:
    """Every line logged inside names the stream."""
    with structlog.contextvars.bound_contextvars(
        tenant=stream.tenant, stream_id=stream.stream_id, session_id=stream.session_id
    ):
        yield


class _AddService:
    def __init__(self, service: str) -> None:
        self._service = service

    def __call__(self, logger: WrappedLogger, method: str, event: EventDict) -> EventDict:
        event.setdefault("service", self._service)
        return event


def _add_trace(logger: WrappedLogger, method: str, event: EventDict) -> EventDict:
    context = trace.get_current_span().get_span_context()
    if context.is_valid:
        event["trace_id"] = trace.format_trace_id(context.trace_id)
        event["span_id"] = trace.format_span_id(context.span_id)
    return event


def _redact(logger: WrappedLogger, method: str, event: EventDict) -> EventDict:
    return {name: redact_value(value, name) for name, value in event.items()}


class _Throttle(logging.Filter):
    """A library says the same (one place in its source) at most once in ten seconds: a broker that is away would be
    four lines a second. The next line that passes tells how many did not (``suppressed``).
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        super().__init__()
        self._clock = clock
        self._passed_s: dict[tuple[str, int], float] = {}
        self._held: dict[tuple[str, int], int] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        if record.name.split(".")[0] not in _QUIET:
            return True
        place, now_s = (record.pathname, record.lineno), self._clock()
        if now_s - self._passed_s.get(place, -math.inf) < _THROTTLE_S:
            self._held[place] = self._held.get(place, 0) + 1
            return False
        self._passed_s[place] = now_s
        held = self._held.pop(place, 0)
        if held:
            record.suppressed = held
        return True


def configure_logging(
    service: str,
    *,
    level: str = "INFO",
    format: Format = "json",
    out: TextIO | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> None:
    """Send all logs of this process to ``out`` (default stdout). Calling it again replaces what was set."""
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.PositionalArgumentsFormatter(),
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
        _AddService(service),
        _add_trace,
    ]
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )
    renderer: Processor = (
        structlog.processors.JSONRenderer(ensure_ascii=False)
        if format == "json"
        else structlog.dev.ConsoleRenderer(colors=False, exception_formatter=structlog.dev.plain_traceback)
    )
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[*shared, structlog.stdlib.ExtraAdder()],
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            structlog.processors.StackInfoRenderer(),
            structlog.processors.format_exc_info,
            _redact,  # after tracebacks became text: they show arguments, too
            renderer,
        ],
    )
    handler = logging.StreamHandler(out or sys.stdout)
    handler.setFormatter(formatter)
    handler.addFilter(_Throttle(clock))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    for name, least in _QUIET.items():
        logging.getLogger(name).setLevel(max(least, logging.getLevelName(level.upper())))

"""One OpenTelemetry trace from a camera's frame to its assessment, carried by Kafka headers.

Only the first stage (``frame``) decides, by share, whether a frame is traced; the later stages (``stage``) go on with
a trace that a record brings in its W3C ``traceparent`` header, and do nothing for all other records.
"""

import threading
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from types import TracebackType
from typing import Final

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.propagators.textmap import Getter, Setter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SimpleSpanProcessor, SpanExporter
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased
from opentelemetry.trace import INVALID_SPAN, Span, SpanKind, Status, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from services.common.telemetry.redact import redact
from services.common.types import StreamKey

Headers = list[tuple[str, bytes]]
_EXPORT_TIMEOUT_S: Final = 2.0  # a collector that is away must not hold up the drain
_PROPAGATOR: Final = TraceContextTextMapPropagator()


class _HeaderSetter(Setter[Headers]):
    def set(self, carrier: Headers, key: str, value: str) -> None:
        carrier[:] = [(k, v) for k, v in carrier if k != key]
        carrier.append((key, value.encode("ascii")))


class _HeaderGetter(Getter[Sequence[tuple[str, bytes]]]):
    def get(self, carrier: Sequence[tuple[str, bytes]], key: str) -> list[str] | None:
        # Header values come from outside: what is no ASCII is no trace context.
        found = [v.decode("ascii", "replace") for k, v in carrier if k.lower() == key and v is not None]
        return found or None

    def keys(self, carrier: Sequence[tuple[str, bytes]]) -> list[str]:
        return [k for k, _ in carrier]


_SETTER: Final = _HeaderSetter()
_GETTER: Final = _HeaderGetter()


def inject(headers: Headers, span: Span) -> None:
    """Put ``span`` into ``headers`` as ``traceparent``, in the place of one that is there; nothing if not sampled."""
    if span.get_span_context().trace_flags.sampled:
        _PROPAGATOR.inject(headers, trace.set_span_in_context(span, Context()), _SETTER)


def extract(headers: Sequence[tuple[str, bytes]]) -> Context | None:
    """The sampled trace that ``headers`` carry; None if there is none or it is malformed."""
    context = _PROPAGATOR.extract(headers, Context(), _GETTER)
    return context if trace.get_current_span(context).get_span_context().trace_flags.sampled else None


class StageSpan:
    """The work of one stage on one record. Costs next to nothing when the record is not traced.

    As a context manager it is the current span inside (log lines name it) and ends with the block; work that is
    finished elsewhere (in another thread, after an inference) keeps it and calls ``end``.
    """

    def __init__(self, span: Span) -> None:
        self.span = span
        self._current: AbstractContextManager[object] = nullcontext()

    @property
    def traced(self) -> bool:
        return self.span.is_recording()

    def headers(self) -> Headers:
        """What an output made from this record takes along: ``[("traceparent", …)]``, or ``[]``."""
        headers: Headers = []
        inject(headers, self.span)
        return headers

    def note(self, name: str, value: str | int | float | bool) -> None:
        self.span.set_attribute(name, redact(value) if isinstance(value, str) else value)

    def active(self) -> AbstractContextManager[object]:
        """Makes it the current span inside (log lines name it), without ending it."""
        if not self.traced:
            return nullcontext()
        return trace.use_span(self.span, record_exception=False, set_status_on_exception=False)

    def end(self, error: BaseException | None = None) -> None:
        if error is not None and self.span.is_recording():
            self.span.set_status(Status(StatusCode.ERROR, redact(f"{type(error).__name__}: {error}")))
        self.span.end()

    def __enter__(self) -> "StageSpan":
        self._current = self.active()
        self._current.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        current, self._current = self._current, nullcontext()
        current.__exit__(kind, error, where)
        self.end(error)


_UNTRACED: Final = INVALID_SPAN


class Tracing:
    """The tracer of one service. Without an exporter nothing is recorded, yet traces of others are passed on."""

    def __init__(
        self, service: str, *, share: float = 0.0, exporter: SpanExporter | None = None, batched: bool = True
    ) -> None:
        """``share`` of frames that are traced, in [0, 1]. ``batched=False`` exports each span as it ends (tests)."""
        self._provider: TracerProvider | None = None
        self._tracer: trace.Tracer = trace.NoOpTracer()
        if exporter is not None:
            self._provider = TracerProvider(
                sampler=ParentBased(TraceIdRatioBased(share)),
                resource=Resource.create({"service.name": f"formcheck-{service}"}),
                shutdown_on_exit=False,
            )
            self._provider.add_span_processor(
                BatchSpanProcessor(exporter) if batched else SimpleSpanProcessor(exporter)
            )
            self._tracer = self._provider.get_tracer("formcheck")

    def frame(self, stream: StreamKey, sequence: int, time_s: float) -> StageSpan:
        """The beginning of a trace, for a share of frames: what ingest does with one frame."""
        if self._provider is None:
            return StageSpan(_UNTRACED)
        attributes: dict[str, str | int | float] = {
            **_attributes(stream),
            "formcheck.sequence": sequence,
            "formcheck.time_s": time_s,
        }
        # An empty context: a frame is always a trace of its own, whatever span is current.
        return StageSpan(self._tracer.start_span("frame", Context(), kind=SpanKind.PRODUCER, attributes=attributes))

    def stage(self, name: str, headers: Sequence[tuple[str, bytes]], stream: StreamKey | None = None) -> StageSpan:
        """The next part of the trace that a record's ``headers`` carry; ``name`` says what is done (``pose``)."""
        if not any(key == "traceparent" for key, _ in headers):
            return StageSpan(_UNTRACED)
        context = extract(headers)
        if context is None:
            return StageSpan(_UNTRACED)
        # NoOpTracer gives a span of the parent's context: a service without an exporter passes the trace on.
        return StageSpan(self._tracer.start_span(name, context, kind=SpanKind.CONSUMER, attributes=_attributes(stream)))

    def part(self, name: str, of: Iterable[StageSpan]) -> list[StageSpan]:
        """A span inside each traced one of ``of``: one inference that serves crops of many frames at once."""
        return [
            StageSpan(self._tracer.start_span(name, trace.set_span_in_context(stage.span, Context())))
            for stage in of
            if stage.traced
        ]

    def close(self, timeout_s: float = _EXPORT_TIMEOUT_S) -> None:
        """Export what is left; after ``timeout_s`` the rest is given up (the SDK itself would take up to 30 s)."""
        if self._provider is not None:
            closing = threading.Thread(target=self._provider.shutdown, name="tracing-close", daemon=True)
            closing.start()
            closing.join(timeout_s)


def _attributes(stream: StreamKey | None) -> dict[str, str]:
    if stream is None:
        return {}
    return {
        "formcheck.tenant": stream.tenant,
        "formcheck.stream_id": stream.stream_id,
        "formcheck.session_id": stream.session_id,
    }


def make_tracing(service: str, *, otlp_endpoint: str | None, share: float) -> Tracing:
    """Traces go to the OTLP/gRPC collector at ``otlp_endpoint`` (http://host:4317, https for TLS); None = nowhere."""
    if not otlp_endpoint:
        return Tracing(service)
    from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter

    exporter = OTLPSpanExporter(
        endpoint=otlp_endpoint, insecure=otlp_endpoint.startswith("http://"), timeout=_EXPORT_TIMEOUT_S
    )
    return Tracing(service, share=share, exporter=exporter)

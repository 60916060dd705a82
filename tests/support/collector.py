"""An OpenTelemetry collector that keeps what it gets."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc


@dataclass(frozen=True, slots=True)
class SeenSpan:
    """``service`` as the span's resource names it; ids in hex, ``parent_id`` empty for a root."""

    service: str
    name: str
    trace_id: str
    span_id: str
    parent_id: str
    start_ns: int
    end_ns: int
    attributes: dict[str, str]


class Collector(trace_service_pb2_grpc.TraceServiceServicer):
    """``spans`` so far; ``endpoint`` as FORMCHECK_TRACE_ENDPOINT wants it."""

    def __init__(self) -> None:
        self.spans: list[SeenSpan] = []
        self.endpoint = ""

    def Export(self, request: Any, context: Any) -> Any:  # noqa: N802 - gRPC's name
        for of_resource in request.resource_spans:
            names = {a.key: a.value.string_value for a in of_resource.resource.attributes}
            for scope in of_resource.scope_spans:
                self.spans += [self._seen(names["service.name"], span) for span in scope.spans]
        return trace_service_pb2.ExportTraceServiceResponse()

    @staticmethod
    def _seen(service: str, span: Any) -> SeenSpan:
        return SeenSpan(
            service,
            span.name,
            span.trace_id.hex(),
            span.span_id.hex(),
            span.parent_span_id.hex(),
            span.start_time_unix_nano,
            span.end_time_unix_nano,
            {a.key: a.value.string_value for a in span.attributes},
        )

    def way_to(self, span_id: str) -> list[SeenSpan]:
        """The span and those before it, the root first; empty while one is missing.

        What was done twice, as after an aborted transaction, has two spans; only one is on the way.
        """
        by_id = {s.span_id: s for s in list(self.spans)}
        way: list[SeenSpan] = []
        while span_id:
            if span_id not in by_id:
                return []
            way.insert(0, by_id[span_id])
            span_id = way[0].parent_id
        return way


@contextmanager
def collecting() -> Iterator[Collector]:
    collector = Collector()
    server = grpc.server(ThreadPoolExecutor(2))
    trace_service_pb2_grpc.add_TraceServiceServicer_to_server(collector, server)
    collector.endpoint = f"http://127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    server.start()
    try:
        yield collector
    finally:
        server.stop(1.0).wait()

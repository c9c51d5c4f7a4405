"""Takes the spans of other processes, by OTLP over HTTP on 127.0.0.1, for the recorders here."""

import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.trace.v1.trace_pb2 import Span as Sent
from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.trace import SpanContext, SpanKind, Status, StatusCode, TraceFlags

PATH = "/v1/traces"
LARGEST = 4_000_000
"""Bytes that one message may have."""


class Receiver:
    """Calls `on_span` with each span that is sent to `url`, in a thread of the receiver.

    A span that has not ended has the end time None.
    """

    def __init__(self, on_span: Callable[[ReadableSpan], None]) -> None:
        self._server = _Server(on_span)
        self.url = f"http://127.0.0.1:{self._server.server_port}{PATH}"
        self._thread = threading.Thread(
            target=self._server.serve_forever,
            kwargs={"poll_interval": 0.05},
            name="course_app.lab spans",
            daemon=True,
        )
        self._thread.start()

    def close(self) -> None:
        """Free the port and end the thread."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(1.0)


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, on_span: Callable[[ReadableSpan], None]) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.on_span = on_span

    def handle_error(self, *_: object) -> None:
        """Say nothing: it would stand in whatever cell is running."""


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    timeout = 5.0

    def do_POST(self) -> None:
        length = self.headers.get("Content-Length", "")
        if self.path != PATH or not length.isdigit() or int(length) > LARGEST:
            return self.answer(400)
        try:
            spans = list(spans_of(self.rfile.read(int(length))))
        except (DecodeError, ValueError):
            return self.answer(400)
        for span in spans:
            self.server.on_span(span)
        return self.answer(200)

    def answer(self, status: int) -> None:
        body = ExportTraceServiceResponse().SerializeToString()
        self.send_response(status)
        self.send_header("Content-Type", "application/x-protobuf")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing, either."""


def spans_of(message: bytes) -> Iterator[ReadableSpan]:
    """The spans of an OTLP message; raises DecodeError or ValueError if it is none."""
    for resource in ExportTraceServiceRequest.FromString(message).resource_spans:
        for scope in resource.scope_spans:
            yield from map(span_of, scope.spans)


def span_of(sent: Sent) -> ReadableSpan:
    parent = context_of(sent.trace_id, sent.parent_span_id) if sent.parent_span_id else None
    return ReadableSpan(
        name=sent.name,
        context=context_of(sent.trace_id, sent.span_id),
        parent=parent,
        kind=SpanKind(max(sent.kind - 1, 0)),
        attributes=attributes_of(sent.attributes),
        events=[Event(event.name, attributes_of(event.attributes)) for event in sent.events],
        status=Status(StatusCode(sent.status.code)),
        start_time=sent.start_time_unix_nano,
        end_time=sent.end_time_unix_nano or None,
    )


def context_of(trace_id: bytes, span_id: bytes) -> SpanContext:
    return SpanContext(
        int.from_bytes(trace_id), int.from_bytes(span_id), True, TraceFlags(TraceFlags.SAMPLED)
    )


def attributes_of(sent: Any) -> dict[str, Any]:
    """The attributes that are a string, a boolean or a number; the others are of no use here."""
    found = {}
    for pair in sent:
        kind = pair.value.WhichOneof("value")
        if kind in ("string_value", "bool_value", "int_value", "double_value"):
            found[pair.key] = getattr(pair.value, kind)
    return found

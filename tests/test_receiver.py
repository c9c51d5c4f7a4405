"""Spans of other processes, sent to this one by OTLP over HTTP."""

import socket
from urllib.parse import urlsplit

import httpx
import pytest
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.trace import SpanKind, StatusCode

from course_app.lab.receiver import LARGEST, PATH, Receiver
from tests.support.answers import nothing_left_behind

HEADERS = {"Content-Type": "application/x-protobuf"}


def post(url: str, content: bytes) -> int:
    return httpx.post(url, content=content, headers=HEADERS, trust_env=False).status_code


def test_a_span_arrives_as_it_was() -> None:
    got: list[ReadableSpan] = []
    with nothing_left_behind():
        receiver = Receiver(got.append)
        provider = TracerProvider()
        exporter = OTLPSpanExporter(endpoint=receiver.url, timeout=1)
        provider.add_span_processor(SimpleSpanProcessor(exporter))
        tracer = provider.get_tracer("test")
        attributes = {"text": "é", "number": 7, "yes": True, "list": ["a"]}
        with (
            pytest.raises(ValueError, match="no such"),
            tracer.start_as_current_span("outer"),
            tracer.start_as_current_span(
                "inner", kind=SpanKind.CONSUMER, attributes=attributes
            ) as sent,
        ):
            raise ValueError("no such")
        provider.shutdown()
        receiver.close()
    inner, outer = got
    assert inner.name == "inner"
    assert inner.kind is SpanKind.CONSUMER
    assert inner.context.trace_id == sent.get_span_context().trace_id
    assert inner.parent is not None
    assert inner.parent.span_id == outer.context.span_id
    assert outer.parent is None
    assert dict(inner.attributes or {}) == {"text": "é", "number": 7, "yes": True}
    assert inner.status.status_code is StatusCode.ERROR
    assert inner.events[0].attributes
    assert inner.events[0].attributes["exception.message"] == "no such"
    assert inner.start_time == sent.start_time  # type: ignore[attr-defined]
    assert inner.end_time == sent.end_time  # type: ignore[attr-defined]


def test_what_is_no_message_is_refused_and_harms_nothing(
    capsys: pytest.CaptureFixture[str],
) -> None:
    got: list[ReadableSpan] = []
    receiver = Receiver(got.append)
    try:
        assert post(receiver.url, b"\xff\xff\xff") == 400
        assert post(receiver.url.replace("traces", "metrics"), b"") == 400
        assert post(receiver.url, b"") == 200
        address = urlsplit(receiver.url)
        with socket.create_connection((address.hostname, address.port)) as client:
            client.sendall(
                f"POST {PATH} HTTP/1.1\r\nContent-Length: {LARGEST + 1}\r\n\r\n".encode()
            )
            assert b" 400 " in client.recv(100)
        assert httpx.get(receiver.url, trust_env=False).status_code == 501
    finally:
        receiver.close()
    assert got == []
    assert capsys.readouterr() == ("", "")


def test_an_error_of_the_one_who_takes_them_is_not_printed(
    capsys: pytest.CaptureFixture[str],
) -> None:
    def fail(span: ReadableSpan) -> None:
        raise RuntimeError

    receiver = Receiver(fail)
    provider = TracerProvider()
    exporter = OTLPSpanExporter(endpoint=receiver.url, timeout=0.5)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    provider.get_tracer("test").start_span("one").end()
    receiver.close()
    assert capsys.readouterr().out == ""

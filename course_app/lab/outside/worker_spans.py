"""Loaded by a worker of the lab: tells the kernel, by OTLP over HTTP, what each job does.

A job's trace goes on in the worker: the span of its run is a child of the span that sent it.
COURSE_SPANS is the kernel's address for spans, COURSE_WORKER the worker's name.
"""

import contextlib
import os

from celery import current_task
from celery.signals import worker_process_init
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.instrumentation.celery import CeleryInstrumentor
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_ON

JOB = "messaging.message.id"
WORKER = "course_app.worker"
TIMEOUT = 1.0
"""Seconds that the kernel may take. A span that does not arrive is lost; the job goes on."""


class Reporter(SpanProcessor):
    """Sends a span when it starts and again when it ends, so that a running job can be drawn."""

    def __init__(self, url: str, worker: str) -> None:
        self._exporter = OTLPSpanExporter(endpoint=url, timeout=TIMEOUT)
        self._worker = worker

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        span.set_attribute(WORKER, self._worker)
        span.set_attribute("process.pid", os.getpid())
        if job := current_task and current_task.request.id:
            span.set_attribute(JOB, job)
        self._send(span)

    def on_end(self, span: ReadableSpan) -> None:
        self._send(span)

    def _send(self, span: ReadableSpan) -> None:
        with contextlib.suppress(Exception):  # the kernel may be gone
            self._exporter.export([span])


# After the fork: a lock that was held at its moment would stay locked.
@worker_process_init.connect(weak=False)  # type: ignore[untyped-decorator]
def report_spans(**_: object) -> None:
    """Called in each process of the worker's pool before its first job."""
    provider = TracerProvider(sampler=ALWAYS_ON, resource=Resource({}))
    provider.add_span_processor(Reporter(os.environ["COURSE_SPANS"], os.environ["COURSE_WORKER"]))
    trace.set_tracer_provider(provider)
    CeleryInstrumentor().instrument()  # type: ignore[no-untyped-call]

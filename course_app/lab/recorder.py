"""Collects the OpenTelemetry spans of one bench's requests.

FastAPI reports spans of its own once the process has a tracer provider, so the app under
observation needs no change. A learner's own spans join in: they belong to the same trace.
"""

import sys
import threading
import time
from collections.abc import Callable
from functools import partial
from itertools import islice
from types import FrameType
from typing import Any, TypeVar
from weakref import WeakSet

from opentelemetry import context, trace
from opentelemetry.context import Context
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_ON
from opentelemetry.trace import Link, SpanContext
from starlette.background import BackgroundTasks

from course_app.lab.job_runs import LOST, WORKER, Jobs
from course_app.lab.spans import attribute
from course_app.lab.story import TASK, Story, tell
from course_app.lab.trace import Trace

T = TypeVar("T")
_OWNER = context.create_key("course_app.lab.recorder")
_recorders: "WeakSet[SpanRecorder]" = WeakSet()
_providers: "WeakSet[TracerProvider]" = WeakSet()
_lock = threading.RLock()
workers: set[str] = set()
"""The names of the worker processes that send their spans to this process."""


class SpanRecorder(SpanProcessor):
    """Keeps the newest `keep` requests of one bench, and those that are not finished.

    `on_change` is called, in the thread where it happens, whenever a span starts or ends.
    """

    def __init__(self, keep: int = 100, on_change: Callable[[], None] = lambda: None) -> None:
        self.on_change = on_change
        self._keep = keep
        self._stories: dict[int, Story] = {}
        self._outer: dict[int, BaseException | None] = {}
        watch_process()
        self.tracer = trace.get_tracer("course_app.lab")
        _recorders.add(self)

    def new_request(self) -> tuple[Context, list[Link]]:
        """A context in which the next span starts a request of this recorder, and a link to the
        span that is current now: two requests made inside one span must not merge into one.
        """
        current = trace.get_current_span().get_span_context()
        links = [Link(current)] if current.is_valid else []
        return context.set_value(_OWNER, self, Context()), links

    def awaits(self, sender: SpanContext) -> bool:
        """Whether this span is a client's of this recorder whose request has not arrived yet.

        A traceparent header that an app or a learner copied belongs to one that has.
        """
        with _lock:
            story = self._stories.get(sender.trace_id)
            return (
                story is not None
                and story.spans[0].context.span_id == sender.span_id
                and story.call is None
            )

    def traces(self, newest: int = 0) -> list[Trace]:
        """The requests so far, oldest first; only the last `newest` of them unless that is 0."""
        with _lock:
            return [tell(story, time.time_ns()) for story in list(self._stories.values())[-newest:]]

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        trace_id, span_id = span.context.trace_id, span.context.span_id
        with _lock:
            story = self._stories.get(trace_id)
            if story is None:
                if context.get_value(_OWNER, parent_context) is not self:
                    return
                self._forget()
                story = self._stories[trace_id] = Story()
            story.spans.append(span)
            self._outer[span_id] = sys.exception()
            if span.name == TASK and (tasks := caller(BackgroundTasks)) is not None:
                place = story.started.get(id(tasks), 0)
                story.started[id(tasks)] = place + 1
                for task in tasks.tasks[place : place + 1]:
                    story.names[span_id] = name_of(task.func)
                    story.where[span_id] = "event loop" if task.is_async else "worker thread"
        self.on_change()

    def on_end(self, span: ReadableSpan) -> None:
        with _lock:
            outer = self._outer.pop(span.context.span_id, None)
            story = self._stories.get(span.context.trace_id)
            if story is None:
                return
            # A span ends in a `finally`: an exception that passes through it is current here.
            raised = sys.exception()
            if raised is not None and raised is not outer:
                story.errors[span.context.span_id] = described(raised)
                if span.name == TASK and (tasks := caller(BackgroundTasks)) is not None:
                    waiting = tasks.tasks[story.started.get(id(tasks), 0) :]
                    story.skipped += tuple(name_of(task.func) for task in waiting)
        self.on_change()

    def receive(self, span: ReadableSpan) -> None:
        """Take a span of another process, if it belongs to a request of this recorder.

        It may come twice: when it starts, and when it ends.
        """
        with _lock:
            story = self._stories.get(span.context.trace_id)
            if story is None:
                return
            for place, known in enumerate(story.spans):
                if known.context.span_id == span.context.span_id:
                    if known.end_time is None:
                        story.spans[place] = span
                    break
            else:
                story.spans.append(span)
        self.on_change()

    def worker_gone(self, worker: str) -> None:
        """The process of this worker has ended: what it was doing will not go on."""
        with _lock:
            for story in self._stories.values():
                for place, span in enumerate(story.spans):
                    if span.end_time is None and attribute(span, WORKER) == worker:
                        story.spans[place] = ended(span)
        self.on_change()

    @property
    def elsewhere(self) -> bool:
        """Whether a job that a request gave to a broker is not done, and a worker is there."""
        with _lock:
            return bool(workers) and any(Jobs(s.spans).open for s in self._stories.values())

    def _forget(self) -> None:
        """Make room for one more request. One that is not finished is never forgotten."""
        surplus = len(self._stories) - self._keep + 1
        if surplus > 0:
            done = (trace_id for trace_id, story in self._stories.items() if story.finished)
            for trace_id in list(islice(done, surplus)):
                del self._stories[trace_id]


def receive(span: ReadableSpan) -> None:
    """Hand a span of another process to the recorder that it belongs to."""
    for recorder in list(_recorders):
        recorder.receive(span)


def worker_gone(worker: str) -> None:
    """Tell every recorder that the process of this worker has ended."""
    workers.discard(worker)
    for recorder in list(_recorders):
        recorder.worker_gone(worker)


def ended(span: ReadableSpan) -> ReadableSpan:
    """The same span, ended now and lost."""
    return ReadableSpan(
        span.name,
        span.context,
        parent=span.parent,
        kind=span.kind,
        attributes={**(span.attributes or {}), LOST: True},
        start_time=span.start_time,
        end_time=time.time_ns(),
    )


class _Watcher(SpanProcessor):
    """Hands every span to the recorders that live: a provider's processors cannot be removed."""

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        for recorder in list(_recorders):
            recorder.on_start(span, parent_context)

    def on_end(self, span: ReadableSpan) -> None:
        for recorder in list(_recorders):
            recorder.on_end(span)


def watch_process() -> None:
    """Make sure that this process has an SDK tracer provider, and that it feeds the recorders."""
    with _lock:
        provider = trace.get_tracer_provider()
        if not isinstance(provider, TracerProvider):
            provider = TracerProvider(sampler=ALWAYS_ON, resource=Resource({}))
            trace.set_tracer_provider(provider)
        if provider not in _providers:
            provider.add_span_processor(_Watcher())
            _providers.add(provider)


def caller(kind: type[T]) -> T | None:
    """The nearest object of this kind whose method is on the stack of this call.

    A span tells when a task ran, not which tasks wait behind it. The object that runs them does,
    and while it runs them it is on the stack.
    """
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        if frame.f_code.co_varnames[:1] == ("self",):
            found = frame.f_locals.get("self")
            if isinstance(found, kind):
                return found
        frame = frame.f_back
    return None


def name_of(function: Callable[..., Any]) -> str:
    """The name a reader knows the function by: a partial's is that of the function inside it."""
    while isinstance(function, partial):
        function = function.func
    return getattr(function, "__name__", None) or type(function).__name__


def described(error: BaseException) -> str:
    """An exception as "ValueError: no such address", on one line of at most 200 characters."""
    try:
        lines = str(error).strip().splitlines()
    except Exception:  # its own `__str__` fails
        lines = []
    text = f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__
    return text if len(text) <= 200 else text[:199] + "…"

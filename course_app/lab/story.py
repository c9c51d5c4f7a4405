"""One request's spans, and the `Trace` that they tell."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import SpanKind

from course_app.lab.job_runs import Jobs, is_run
from course_app.lab.spans import attribute, since
from course_app.lab.trace import AFTER_RESPONSE, Detail, TaskRun, Trace

CALL = "course_app.call"
"""Name of the bench's span around one ASGI call: it ends when the background tasks have."""
SENT = "response sent"
"""Event on that span: the last byte of the response was handed to the transport."""
WORK = "course_app.work"
"""Attribute on that span: the functions that the response's own `background` will call."""
FAILURE = "course_app.failure"
"""Attribute on the client's span: why no response came."""
TASK = "fastapi.background_task"
STATUS = "http.response.status_code"
QUIET = 0.1
"""Seconds. Work after the response that has no name and no span counts from here on: below it,
it cannot be told from the time that a call takes to return."""


@dataclass
class Story:
    """The spans of one request in start order, and what could be seen only while they ran."""

    spans: list[ReadableSpan] = field(default_factory=list)
    names: dict[int, str] = field(default_factory=dict)
    where: dict[int, str] = field(default_factory=dict)
    errors: dict[int, str] = field(default_factory=dict)
    started: dict[int, int] = field(default_factory=dict)
    """How many tasks each list of background tasks has started, by the list's id."""
    skipped: tuple[str, ...] = ()

    @property
    def client(self) -> ReadableSpan | None:
        """The bench's client, which sent the request; None if another client did."""
        return self.spans[0] if self.spans[0].kind is SpanKind.CLIENT else None

    @property
    def call(self) -> ReadableSpan | None:
        """The bench's span around the ASGI call; None if the request has not arrived."""
        return next((span for span in self.spans if span.name == CALL), None)

    @property
    def finished(self) -> bool:
        """The server is done with the request, or the client is and it never arrived."""
        last = self.call or self.client
        return last is not None and last.end_time is not None

    def error_of(self, span: ReadableSpan | None) -> str | None:
        """The exception that passed through this span."""
        return self.errors.get(span.context.span_id) if span is not None else None


def tell(story: Story, now: int) -> Trace:
    """The story as far as it has come; `now` in nanoseconds since the epoch, as in the spans."""
    first, client, call = story.spans[0], story.client, story.call
    zero = first.start_time or now
    sent = sent_at(call)

    answered = client.end_time if client is not None else sent
    status = attribute(client or call, STATUS)
    has_response = answered is not None and isinstance(status, int)
    failure = attribute(client, FAILURE)
    if client is None and story.finished and sent is None:
        failure = "the app ended without a complete response"

    jobs = Jobs(story.spans)
    tasks = [task_run(story, span, zero) for span in story.spans if span.name == TASK]
    # What left the ASGI call is what a task raised, if one did.
    raised = None if any(task.error for task in tasks) else story.error_of(call)
    if call is not None and sent is not None:
        before = attribute(call, STATUS) == 500  # then it was raised before the response
        tasks += unspanned_work(story, call, sent, zero, now, None if before else raised)
    tasks += jobs.runs(zero)
    return Trace(
        method=str(attribute(first, "http.request.method") or ""),
        path=str(attribute(first, "url.path") or ""),
        status=status if isinstance(status, int) and has_response else None,
        response=since(zero, answered) if has_response else None,
        tasks=tuple(tasks),
        skipped=story.skipped,
        queued=jobs.queued,
        details=tuple(details(story, zero)),
        failure=str(failure) if failure else None,
        error=None if any(task.error for task in tasks) else raised,
        finished=story.finished,
        sent_at=zero / 1e9,
    )


def task_run(story: Story, span: ReadableSpan, zero: int) -> TaskRun:
    span_id = span.context.span_id
    return TaskRun(
        name=story.names.get(span_id) or function_of(span) or span.name,
        started=since(zero, span.start_time) or 0.0,
        ended=since(zero, span.end_time),
        error=story.error_of(span),
        where=story.where.get(span_id),
    )


def unspanned_work(
    story: Story, call: ReadableSpan, sent: int, zero: int, now: int, raised: str | None
) -> Iterator[TaskRun]:
    """Work after the response that FastAPI reported no span for, if there was any."""
    spanned = [span for span in story.spans if span.name == TASK]
    if any(span.end_time is None for span in spanned):
        return
    name = None if spanned else attribute(call, WORK)
    begun = max([sent, *(span.end_time for span in spanned if span.end_time is not None)])
    if name or (call.end_time or now) - begun > QUIET * 1e9:
        yield TaskRun(
            name=str(name or AFTER_RESPONSE),
            started=since(zero, begun) or 0.0,
            ended=since(zero, call.end_time),
            error=raised,
        )


def details(story: Story, zero: int) -> Iterator[Detail]:
    """Every other span: what FastAPI did before the response, and the learner's own spans."""
    for span in story.spans[1:]:
        shown_otherwise = span.name in (CALL, TASK) or is_run(span)
        if span.kind is not SpanKind.SERVER and not shown_otherwise:
            name = f"{span.name.removeprefix('fastapi.')} {function_of(span)}".strip()
            started = since(zero, span.start_time) or 0.0
            yield Detail(name, started, since(zero, span.end_time), story.error_of(span))


def function_of(span: ReadableSpan) -> str:
    """The last part of `code.function.name`: "main.create.<locals>.work" is "work"."""
    return str(attribute(span, "code.function.name") or "").rpartition(".")[2]


def sent_at(call: ReadableSpan | None) -> int | None:
    """When the response had been handed to the transport, in nanoseconds since the epoch."""
    events = call.events if call is not None else ()
    return next((event.timestamp for event in events if event.name == SENT), None)

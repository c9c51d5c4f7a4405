"""One request's spans, and the `Trace` that they tell."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import SpanKind

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
    skipped: tuple[str, ...] = ()


def tell(story: Story, now: int) -> Trace:
    """The story as far as it has come; `now` in nanoseconds since the epoch, as in the spans."""
    first = story.spans[0]
    zero = first.start_time or now
    client = first if first.kind is SpanKind.CLIENT else None
    call = next((span for span in story.spans if span.name == CALL), None)
    sent = sent_at(call)

    answered = client.end_time if client is not None else sent
    status = attribute(client or call, "http.response.status_code")
    has_response = answered is not None and isinstance(status, int)
    failure = attribute(client, FAILURE)
    if client is None and call is not None and call.end_time is not None and sent is None:
        failure = "the app ended without a complete response"

    spanned = [span for span in story.spans if span.name == TASK]
    tasks = [task_run(story, span, zero) for span in spanned]
    if call is not None and sent is not None:
        tasks += unspanned_work(story, call, sent, spanned, zero, now)
    return Trace(
        method=str(attribute(first, "http.request.method") or ""),
        path=str(attribute(first, "url.path") or ""),
        status=status if isinstance(status, int) and has_response else None,
        response=since(zero, answered) if has_response else None,
        tasks=tuple(tasks),
        skipped=story.skipped,
        details=tuple(details(story, zero)),
        failure=str(failure) if failure else None,
        error=raised_before_response(story, call, spanned),
        finished=call is not None and call.end_time is not None,
        sent_at=zero / 1e9,
    )


def task_run(story: Story, span: ReadableSpan, zero: int) -> TaskRun:
    span_id = span.context.span_id
    return TaskRun(
        name=story.names.get(span_id) or function_of(span) or span.name,
        started=since(zero, span.start_time) or 0.0,
        ended=since(zero, span.end_time),
        error=story.errors.get(span_id),
        where=story.where.get(span_id),
    )


def unspanned_work(
    story: Story,
    call: ReadableSpan,
    sent: int,
    spanned: list[ReadableSpan],
    zero: int,
    now: int,
) -> Iterator[TaskRun]:
    """Work after the response that FastAPI reported no span for, if there was any."""
    name = None if spanned else attribute(call, WORK)
    if any(span.end_time is None for span in spanned):
        return
    begun = max([sent, *(span.end_time for span in spanned if span.end_time is not None)])
    if name or (call.end_time or now) - begun > QUIET * 1e9:
        error = story.errors.get(call.context.span_id)
        yield TaskRun(
            name=str(name or AFTER_RESPONSE),
            started=since(zero, begun) or 0.0,
            ended=since(zero, call.end_time),
            error=error if not spanned else None,
        )


def raised_before_response(
    story: Story, call: ReadableSpan | None, spanned: list[ReadableSpan]
) -> str | None:
    """The exception that left the app, unless a background task raised it."""
    if call is None or spanned or attribute(call, WORK):
        return None
    return story.errors.get(call.context.span_id)


def details(story: Story, zero: int) -> Iterator[Detail]:
    """Every other span: what FastAPI did before the response, and the learner's own spans."""
    for span in story.spans:
        if span.kind is SpanKind.INTERNAL and span.name not in (CALL, TASK):
            name = f"{span.name.removeprefix('fastapi.')} {function_of(span)}".strip()
            error = story.errors.get(span.context.span_id)
            yield Detail(
                name,
                since(zero, span.start_time) or 0.0,
                since(zero, span.end_time),
                error,
            )


def function_of(span: ReadableSpan) -> str:
    """The last part of `code.function.name`: "main.create.<locals>.work" is "work"."""
    return str(attribute(span, "code.function.name") or "").rpartition(".")[2]


def sent_at(call: ReadableSpan | None) -> int | None:
    """When the response had been handed to the transport, in nanoseconds since the epoch."""
    events = call.events if call is not None else ()
    return next((event.timestamp for event in events if event.name == SENT), None)


def attribute(span: ReadableSpan | None, name: str) -> object:
    return (span.attributes or {}).get(name) if span is not None else None


def since(zero: int, moment: int | None) -> float | None:
    """Nanoseconds since the epoch as seconds since `zero`."""
    return None if moment is None else (moment - zero) / 1e9

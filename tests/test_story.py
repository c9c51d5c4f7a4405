"""A story is told from recorded spans alone: no server, no clock."""

from typing import Any

from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.trace import SpanContext, SpanKind

from course_app.lab import Detail, TaskRun, Trace
from course_app.lab.story import CALL, FAILURE, SENT, STATUS, TASK, WORK, Story, tell
from course_app.lab.trace import AFTER_RESPONSE

ZERO = 1_700_000_000 * 10**9
METHOD, PATH = "http.request.method", "url.path"


def at(seconds: float | None) -> int | None:
    return None if seconds is None else ZERO + round(seconds * 1e9)


def span(
    number: int,
    name: str,
    started: float,
    ended: float | None = None,
    kind: SpanKind = SpanKind.INTERNAL,
    sent: float | None = None,
    **attributes: Any,
) -> ReadableSpan:
    events = [] if sent is None else [Event(SENT, timestamp=at(sent))]
    return ReadableSpan(
        name,
        context=SpanContext(1, number, is_remote=False),
        kind=kind,
        events=events,
        attributes={key.replace("__", "."): value for key, value in attributes.items()},
        start_time=at(started),
        end_time=at(ended),
    )


def client(ended: float | None, **attributes: Any) -> ReadableSpan:
    given = {METHOD: "GET", PATH: "/", **attributes}
    return span(1, "GET /", 0.0, ended, SpanKind.CLIENT, **given)


def call(ended: float | None, sent: float | None = None, **attributes: Any) -> ReadableSpan:
    given = {METHOD: "GET", PATH: "/", **attributes}
    return span(2, CALL, 0.001, ended, sent=sent, **given)


def task(number: int, started: float, ended: float | None = None) -> ReadableSpan:
    return span(
        number, TASK, started, ended, code__function__name=f"app.make.<locals>.task_{number}"
    )


def told(*spans: ReadableSpan, now: float = 9.0, **seen: Any) -> Trace:
    return tell(Story(list(spans), **seen), at(now) or 0)


def test_a_request_that_has_just_been_sent() -> None:
    trace = told(client(None))
    assert (trace.method, trace.path, trace.status, trace.response) == ("GET", "/", None, None)
    assert not trace.finished
    assert trace.sent_at == ZERO / 1e9


def test_a_response_and_a_task() -> None:
    trace = told(
        client(0.01, **{STATUS: 200}), call(3.01, 0.008, **{STATUS: 200}), task(3, 0.009, 3.009)
    )
    assert (trace.status, trace.response, trace.finished) == (200, 0.01, True)
    assert trace.tasks == (TaskRun("task_3", 0.009, 3.009),)
    assert trace.order == ("response", "task_3")


def test_the_task_still_runs() -> None:
    trace = told(client(0.01, **{STATUS: 200}), call(None, 0.008, **{STATUS: 200}), task(3, 0.009))
    assert trace.tasks == (TaskRun("task_3", 0.009),)
    assert not trace.finished


def test_what_was_seen_while_the_spans_ran() -> None:
    trace = told(
        client(0.01, **{STATUS: 200}),
        call(0.6, 0.008, **{STATUS: 200}),
        task(3, 0.009, 0.5),
        names={3: "partial's own"},
        where={3: "worker thread"},
        errors={3: "ValueError: no", 2: "ValueError: no"},
        skipped=("next",),
    )
    assert trace.tasks == (TaskRun("partial's own", 0.009, 0.5, "ValueError: no", "worker thread"),)
    assert trace.skipped == ("next",)
    assert trace.error is None, "it is the task's, not the app's"


def test_the_app_raised() -> None:
    trace = told(
        client(0.01, **{STATUS: 500}), call(0.009, 0.008, **{STATUS: 500}), errors={2: "OSError: x"}
    )
    assert (trace.status, trace.error, trace.tasks) == (500, "OSError: x", ())


def test_the_app_raised_and_then_took_its_time() -> None:
    """Exit code of a dependency, slow, after the 500: that work did not raise."""
    trace = told(
        client(0.01, **{STATUS: 500}), call(0.9, 0.008, **{STATUS: 500}), errors={2: "OSError: x"}
    )
    assert trace.error == "OSError: x"
    assert trace.tasks == (TaskRun(AFTER_RESPONSE, 0.008, 0.9),)


def test_exit_code_raised_after_tasks_that_went_well() -> None:
    trace = told(
        client(0.01, **{STATUS: 200}),
        call(0.52, 0.008, **{STATUS: 200}),
        task(3, 0.009, 0.5),
        errors={2: "OSError: no commit"},
    )
    assert trace.tasks == (TaskRun("task_3", 0.009, 0.5),)
    assert trace.error == "OSError: no commit"


def test_work_without_a_span() -> None:
    sent = {"sent": 0.008, STATUS: 200}
    named = told(client(0.01, **{STATUS: 200}), call(0.02, **sent, **{WORK: "send_mail"}))
    assert named.tasks == (TaskRun("send_mail", 0.008, 0.02),)
    unnamed = told(client(0.01, **{STATUS: 200}), call(0.5, **sent))
    assert unnamed.tasks == (TaskRun(AFTER_RESPONSE, 0.008, 0.5),)
    short = told(client(0.01, **{STATUS: 200}), call(0.02, **sent))
    assert short.tasks == (), "an ASGI call takes a moment to return; that is no work"
    running = told(client(0.01, **{STATUS: 200}), call(None, **sent), now=0.3)
    assert running.tasks == (TaskRun(AFTER_RESPONSE, 0.008),)
    failed = told(client(0.01, **{STATUS: 200}), call(0.5, **sent), errors={2: "E: x"})
    assert failed.tasks == (TaskRun(AFTER_RESPONSE, 0.008, 0.5, "E: x"),)
    assert failed.error is None


def test_work_after_the_tasks() -> None:
    """Slow exit code of a dependency comes after the tasks that FastAPI reported."""
    trace = told(
        client(0.01, **{STATUS: 200}), call(1.5, 0.008, **{STATUS: 200}), task(3, 0.009, 0.5)
    )
    assert trace.tasks == (TaskRun("task_3", 0.009, 0.5), TaskRun(AFTER_RESPONSE, 0.5, 1.5))


def test_another_client() -> None:
    trace = told(call(0.5, 0.008, **{STATUS: 200}), task(3, 0.009, 0.499))
    assert trace.response == 0.007, "when the response had been handed to the transport"
    assert (trace.method, trace.path, trace.status) == ("GET", "/", 200)
    broken = told(call(0.5, **{STATUS: 200}))
    assert broken.failure == "the app ended without a complete response"
    assert broken.status is None


def test_a_request_that_never_arrived_is_finished() -> None:
    """Otherwise the timeline would wait for it, and redraw, for ever."""
    trace = told(client(0.01, **{FAILURE: "nothing listens"}))
    assert trace.finished
    assert trace.failure == "nothing listens"


def test_the_client_gave_up_and_the_app_goes_on() -> None:
    trace = told(client(0.5, **{FAILURE: "no response"}), call(None), task(3, 0.009))
    assert not trace.finished
    assert trace.status is None


def test_every_other_span_is_a_detail() -> None:
    trace = told(
        client(0.01, **{STATUS: 200}),
        call(0.02, 0.008, **{STATUS: 200}),
        span(3, "GET /", 0.002, 0.008, SpanKind.SERVER),
        span(4, "fastapi.endpoint", 0.003, 0.004, code__function__name="main.read_root"),
        span(5, "connect", 0.005, 0.006),
        span(6, "publish", 0.006, None, SpanKind.PRODUCER),
        errors={5: "OSError: x"},
    )
    assert trace.details == (
        Detail("endpoint read_root", 0.003, 0.004),
        Detail("connect", 0.005, 0.006, "OSError: x"),
        Detail("publish", 0.006, None),
    )

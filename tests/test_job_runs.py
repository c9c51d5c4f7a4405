"""A request's jobs, from the spans that tell of them: waiting, running, lost, run again, failed."""

import itertools
from typing import Any

import pytest
from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.trace import SpanContext, SpanKind, Status, StatusCode, TraceFlags

from course_app.lab.drawing import draw, image
from course_app.lab.job_runs import GONE, Jobs
from course_app.lab.recorder import SpanRecorder, ended, workers
from course_app.lab.trace import TaskRun, Trace

SECOND = 10**9
ids = itertools.count(1)


def span(name: str, kind: SpanKind, start: float, end: float | None, **attributes: Any) -> Any:
    return ReadableSpan(
        name,
        SpanContext(1, next(ids), False, TraceFlags(1)),
        kind=kind,
        attributes={key.replace("_", ".", 1): value for key, value in attributes.items()},
        start_time=int(start * SECOND),
        end_time=None if end is None else int(end * SECOND),
    )


def sent(job: str, at: float = 0.0) -> ReadableSpan:
    found = span("apply_async/shop.tasks.pack", SpanKind.PRODUCER, at, at + 0.01)
    found._attributes = {"messaging.message.id": job, "celery.task_name": "shop.tasks.pack"}
    return found  # type: ignore[no-any-return]


def run(job: str, worker: str, start: float, end: float | None) -> ReadableSpan:
    found = span("run/shop.tasks.pack", SpanKind.CONSUMER, start, end)
    found._attributes = {"messaging.message.id": job, "course_app.worker": worker}
    return found  # type: ignore[no-any-return]


def test_a_job_that_no_worker_has_begun_waits() -> None:
    jobs = Jobs([sent("a")])
    assert jobs.queued == ("pack",)
    assert jobs.open == ("pack",)
    assert jobs.runs(0) == []


def test_a_job_that_a_worker_has_begun_runs_and_ends() -> None:
    begun = Jobs([sent("a"), run("a", "ada", 1, None)])
    assert begun.queued == ()
    assert begun.open == ("pack on ada",)
    done = Jobs([sent("a"), run("a", "ada", 1, 3)])
    assert done.open == ()
    assert done.runs(0) == [TaskRun("pack", 1, 3, None, "worker process", "ada")]


def test_a_job_whose_worker_is_gone_waits_again() -> None:
    lost = Jobs([sent("a"), ended(run("a", "ada", 1, None))])
    assert lost.queued == lost.open == ("pack",)
    assert [run.error for run in lost.runs(0)] == [GONE]


def test_a_job_that_is_run_again_was_lost_before() -> None:
    jobs = Jobs([sent("a"), run("a", "ada", 1, None), run("a", "bob", 4, 6)])
    first, second = jobs.runs(0)
    assert (first.label, first.ended, first.error) == ("pack on ada", 4, GONE)
    assert (second.label, second.ended, second.error) == ("pack on bob", 6, None)
    assert jobs.open == ()


def test_the_runs_of_two_jobs_are_not_mixed_up() -> None:
    jobs = Jobs([sent("a"), sent("b"), run("a", "ada", 1, None), run("b", "bob", 2, 3)])
    assert jobs.open == ("pack on ada",)
    assert [run.error for run in jobs.runs(0)] == [None, None]


def test_a_failed_run_says_why() -> None:
    failed = run("a", "ada", 1, 2)
    failed._status = Status(StatusCode.ERROR, "no such number")
    failed._events = [
        Event(
            "exception",
            {"exception.type": "shop.Missing", "exception.message": "no such number\nat all"},
        )
    ]
    assert Jobs([failed]).runs(0)[0].error == "Missing: no such number"
    failed._events = []
    assert Jobs([failed]).runs(0)[0].error == "it failed"


LOST = TaskRun("pack", 0.2, 1.0, GONE, "worker process", "ada")
AGAIN = TaskRun("pack", 2.0, 3.0, None, "worker process", "bob")
TRACES = {
    "waits": (
        Trace("POST", "/", 202, 0.1, queued=("pack",)),
        "POST /\n  1  response 202 arrived\n  -  pack waits for a worker",
        "The response arrived; pack waits for a worker.",
    ),
    "runs": (
        Trace("POST", "/", 202, 0.1, (TaskRun("pack", 0.2, worker="ada"),)),
        "POST /\n  1  response 202 arrived\n  -  pack on ada is still running",
        "The response arrived; pack on ada is still running.",
    ),
    "done": (
        Trace("POST", "/", 202, 0.1, (AGAIN,)),
        "POST /\n  1  response 202 arrived\n  2  pack on bob finished",
        "The response arrived first; pack on bob finished after it.",
    ),
    "lost, and waits": (
        Trace("POST", "/", 202, 0.1, (LOST,), queued=("pack",)),
        "POST /\n  1  response 202 arrived\n  2  pack on ada failed: its worker is gone\n"
        "  -  pack waits for a worker",
        "The response arrived; pack waits for a worker.",
    ),
    "run again": (
        Trace("POST", "/", 202, 0.1, (LOST, AGAIN)),
        "POST /\n  1  response 202 arrived\n  2  pack on ada failed: its worker is gone\n"
        "  3  pack on bob finished",
        "The client has its 202; pack on ada failed, because its worker is gone. "
        "pack on bob finished.",
    ),
}


@pytest.mark.parametrize(("trace", "table", "sentence"), TRACES.values(), ids=TRACES.keys())
def test_a_trace_says_it_in_words_and_in_its_picture(
    trace: Trace, table: str, sentence: str
) -> None:
    assert str(trace) == table
    assert trace.sentence == sentence
    for picture in (draw(trace, 5.0), image(trace)):
        assert sentence in picture
    for task in trace.tasks:
        assert task.label in draw(trace)


def test_a_run_in_a_worker_keeps_a_trace_running_though_the_server_is_done() -> None:
    running = TRACES["runs"][0]
    assert running.finished
    assert running.running
    assert "running 3.8 s" in draw(running, 4.0)
    assert not TRACES["waits"][0].running
    assert not TRACES["done"][0].running


def recorded(recorder: SpanRecorder) -> SpanContext:
    """A request of this recorder, which has sent a job; the context of the span that sent it."""
    context, links = recorder.new_request()
    with recorder.tracer.start_as_current_span(
        "POST /", context=context, links=links, kind=SpanKind.CLIENT
    ):
        attributes = {"messaging.message.id": "a", "celery.task_name": "shop.tasks.pack"}
        with recorder.tracer.start_as_current_span(
            "apply_async/shop.tasks.pack", kind=SpanKind.PRODUCER, attributes=attributes
        ) as span:
            return span.get_span_context()


def remote(parent: SpanContext, span_id: int, end: int | None, worker: str = "ada") -> ReadableSpan:
    return ReadableSpan(
        "run/shop.tasks.pack",
        SpanContext(parent.trace_id, span_id, True, TraceFlags(1)),
        parent=parent,
        kind=SpanKind.CONSUMER,
        attributes={"messaging.message.id": "a", "course_app.worker": worker},
        start_time=1,
        end_time=end,
    )


def test_a_recorder_takes_the_spans_of_its_own_requests_alone() -> None:
    recorder, other = SpanRecorder(), SpanRecorder()
    mine, theirs = recorded(recorder), recorded(other)
    recorder.receive(remote(theirs, 7, None))
    assert recorder.traces()[0].queued == ("pack",)
    recorder.receive(remote(mine, 7, None))
    assert recorder.traces()[0].running
    recorder.receive(remote(mine, 7, 5))
    recorder.receive(remote(mine, 7, None))  # late: it has ended before
    (trace,) = recorder.traces()
    assert [task.label for task in trace.tasks] == ["pack on ada"]
    assert not trace.running


def test_a_recorder_is_told_when_a_worker_is_gone() -> None:
    recorder = SpanRecorder()
    recorder.receive(remote(recorded(recorder), 7, None))
    recorder.worker_gone("bob")
    assert recorder.traces()[0].running
    recorder.worker_gone("ada")
    (trace,) = recorder.traces()
    assert not trace.running
    assert trace.tasks[0].error == GONE
    assert trace.queued == ("pack",)


def test_jobs_are_waited_for_only_while_a_worker_is_there() -> None:
    recorder = SpanRecorder()
    recorded(recorder)
    assert not recorder.elsewhere
    workers.add("somebody")
    try:
        assert recorder.elsewhere
    finally:
        workers.discard("somebody")

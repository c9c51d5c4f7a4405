"""What became of the jobs that a request gave to a broker: their runs in worker processes."""

from collections.abc import Iterable

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import SpanKind, StatusCode

from course_app.lab.spans import attribute, since
from course_app.lab.trace import TaskRun

JOB = "messaging.message.id"
"""Attribute: the job's id, of the span that sent it and of each that ran it."""
NAME = "celery.task_name"
WORKER = "course_app.worker"
"""Attribute of every span of a worker of the lab: the worker's name."""
LOST = "course_app.lost"
"""Attribute that the kernel adds to the span of a run whose worker is gone."""
GONE = "its worker is gone"


class Jobs:
    """The jobs among a request's spans. A job can be run more than once."""

    def __init__(self, spans: Iterable[ReadableSpan]) -> None:
        spans = list(spans)
        self._sent = {attribute(s, JOB): s for s in spans if s.kind is SpanKind.PRODUCER}
        self._runs = sorted(filter(is_run, spans), key=lambda span: span.start_time or 0)

    @property
    def queued(self) -> tuple[str, ...]:
        """The names of those that no worker has begun, or whose only workers are gone."""
        begun = {attribute(span, JOB) for span in self._runs if self._lost(span) is None}
        return tuple(
            last_part(attribute(span, NAME)) for job, span in self._sent.items() if job not in begun
        )

    @property
    def open(self) -> tuple[str, ...]:
        """The names of those that are not done."""
        runs = self.runs(0)
        return (*self.queued, *(run.label for run in runs if run.ended is None))

    def runs(self, zero: int) -> list[TaskRun]:
        """Every run, by its start; `zero` in nanoseconds since the epoch."""
        return [
            TaskRun(
                name=last_part(span.name),
                started=since(zero, span.start_time) or 0.0,
                ended=since(zero, self._lost(span) or span.end_time),
                error=GONE if self._lost(span) is not None else error_of(span),
                where="worker process",
                worker=str(attribute(span, WORKER)),
            )
            for span in self._runs
        ]

    def _lost(self, run: ReadableSpan) -> int | None:
        """When it was known that this run will not end: the job was run again, or its worker died.

        None if it has ended, or goes on.
        """
        if run.end_time is not None:
            return run.end_time if attribute(run, LOST) else None
        return next(
            (
                again.start_time
                for again in self._runs
                if (again.start_time or 0) > (run.start_time or 0)
                and attribute(again, JOB) == attribute(run, JOB)
            ),
            None,
        )


def is_run(span: ReadableSpan) -> bool:
    """Whether it is the run of a job in a worker process."""
    return span.kind is SpanKind.CONSUMER and attribute(span, WORKER) is not None


def error_of(span: ReadableSpan) -> str | None:
    """The exception that a run ended with, as "ValueError: no such number"."""
    if span.status.status_code is not StatusCode.ERROR:
        return None
    for event in span.events:
        if event.name == "exception":
            kind, said = (
                str((event.attributes or {}).get(f"exception.{part}") or "")
                for part in ("type", "message")
            )
            text = ": ".join(filter(None, [kind.rpartition(".")[2], *said.splitlines()[:1]]))
            return text if len(text) <= 200 else text[:199] + "…"
    return "it failed"


def last_part(name: object) -> str:
    """The function's name in a task's: "shop.tasks.make_invoice" is "make_invoice"."""
    return str(name or "").rpartition("/")[2].rpartition(".")[2]

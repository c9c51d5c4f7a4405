"""Lesson 01: a background task is a plain function."""

from pathlib import Path
from typing import Any

from course_app.exercises.checking import Wrong, ask, exercise, running
from course_app.exercises.predicting import outcome
from course_app.exercises.written import (
    Witness,
    failed_task,
    lines_of,
    no_task,
    nothing_written,
    send,
)
from course_app.lab import Bench, RequestError, Trace

REPORTS = Path("outbox/reports.txt")
VISITS = Path("outbox/visits.txt")
NAMES = ["Ada", "Grace", "Hedy", "Joan", "Mary"]
SLOW = 1.5
"""Seconds. A response that takes longer waits for something that takes as long as the report."""


@outcome("01.p1")
def which_comes_first(trace: Trace) -> str:
    return "response" if trace.response_first else "task"


@exercise("01.1")
async def answer_before_the_report(app: Any) -> list[str]:
    """An app whose POST /report/{name} answers first, then writes the report as a task."""
    REPORTS.unlink(missing_ok=True)
    async with running(app) as bench:
        seen = await send(bench, Witness(bench, REPORTS), "POST", "/report/check")
        took = about(seen.trace.response)
        if failure := failed_task([seen.trace], "write_report, name"):
            raise Wrong(f"The response took {took}, and then {failure}")
        if len(seen.lines) > 1:
            raise Wrong(
                f"One request left {said(seen.lines)} in {REPORTS}. Is the function called as well?"
            )
        if seen.early:
            raise Wrong(
                f"The response took {took}: the report is written before it, not after it."
                f"{no_task(seen.trace)}"
            )
        if not seen.lines:
            raise await nothing_written(seen.request, seen.trace, REPORTS, [], patience=3.0)
    if (seen.trace.response or 0.0) > SLOW:
        raise Wrong(
            f"A background task wrote the report, but the response took {took}: "
            "something in the path operation still takes its time."
        )
    return ["The response arrived first; the report was written after it, by a background task."]


@exercise("01.2")
async def five_lines_in_the_log(app: Any) -> list[str]:
    """An app whose POST /visit/{name} logs a line per request, in a background task."""
    VISITS.unlink(missing_ok=True)
    async with running(app) as bench:
        await five_visits(bench)
    found = [line for line in lines_of(VISITS) if any(name in line for name in NAMES)]
    if not found:
        raise Wrong(f"Five tasks ran, but {VISITS} does not hold the names that were sent.")
    if any(sum(name in line for name in NAMES) > 1 for line in found):
        raise Wrong(
            "All visits stand on one line of the file. A line ends with a newline, "
            r"and `write` adds none: write f'{name}\n'."
        )
    if len(found) < len(NAMES):
        raise Wrong(
            f"Five requests left {said(found)} in {VISITS}. What does mode='w' do to a file?"
        )
    if len(found) > len(NAMES):
        raise Wrong(f"Five requests left {said(found)} in {VISITS}: some visits are written twice.")
    return ["Five requests, five lines in the log, and each response came before its line."]


async def five_visits(bench: Bench) -> None:
    """Send the names; raises Wrong if a task fails, or if a line is not written by a task."""
    witness = Witness(bench, VISITS)
    try:
        await ask(bench, "POST", f"/visit/{NAMES[0]}")
        early = witness.lines
        for name in NAMES[1:]:
            await ask(bench, "POST", f"/visit/{name}")
        await bench.finished()
    except RequestError:  # the server drops the connection on which a task has failed
        if failure := failed_task(bench.traces, "write_log, name"):
            raise Wrong(f"A visit was answered, but then {failure}") from None
        raise
    first, traces = bench.traces[0], bench.traces
    if failure := failed_task(traces, "write_log, name"):
        raise Wrong(f"A visit was answered, but then {failure}")
    if early:
        raise Wrong(
            f"The line of a visit is written before its response, not after it.{no_task(first)}"
        )
    followed = [trace for trace in traces if trace.tasks]
    if not followed:
        raise await nothing_written(f"POST /visit/{NAMES[0]}", first, VISITS, [])
    if len(followed) < len(traces):
        raise Wrong(
            f"Five visits were answered, but only {len(followed)} of them ran a background task."
        )


def about(seconds: float | None) -> str:
    """A time in seconds so coarse that it does not change from run to run."""
    seconds = seconds or 0.0
    return f"about {seconds:.0f} s" if seconds >= 0.95 else f"about {seconds:.1f} s"


def said(lines: list[str]) -> str:
    return "1 line" if len(lines) == 1 else f"{len(lines)} lines"

"""Lesson 01: a background task is a plain function."""

import asyncio
from pathlib import Path
from typing import Any

from course_app.exercises.checking import Wrong, ask, exercise, running
from course_app.exercises.predicting import outcome
from course_app.lab import Trace

REPORTS = Path("outbox/reports.txt")
VISITS = Path("outbox/visits.txt")


@outcome("01.p1")
def which_comes_first(trace: Trace) -> str:
    return "response" if trace.response_first else "task"


@exercise("01.1")
async def answer_before_the_report(app: Any) -> list[str]:
    """An app whose POST /report/{name} answers first, then writes the report as a task."""
    REPORTS.unlink(missing_ok=True)
    async with running(app) as bench:
        await ask(bench, "POST", "/report/check")
        trace = await bench.finished()
    failed = [task for task in trace.tasks if task.error is not None]
    written = lines_of(REPORTS)
    took = f"about {trace.response or 0:.0f} s"
    if failed and "callable" in str(failed[0].error):
        raise Wrong(
            f"add_task was given the result of a call ({failed[0].error}). With write_report(name) "
            "the function runs at once; give add_task the function and its arguments, "
            "separated by commas."
        )
    if failed:
        raise Wrong(f"The response came, but then the task failed: {failed[0].error}.")
    if written and not trace.tasks:
        raise Wrong(
            f"The response took {took}: the report is written before it, not after it. "
            "No background task ran."
        )
    if len(written) > 1:
        raise Wrong(f"One request wrote {len(written)} reports. Is the function also called?")
    if not written and not trace.tasks:
        await asyncio.sleep(4)  # work that the server does not wait for would be done by then
        if lines_of(REPORTS):
            raise Wrong(
                "The response came first, but the report is written by work that the server does "
                "not know of, and would not wait for when it stops. Use background_tasks.add_task."
            )
        raise Wrong("The response came, but no background task ran and no report was written.")
    if not written:
        raise Wrong(f"A background task ran, but {REPORTS} is not there. Does it write the file?")
    if not trace.response_first:
        raise Wrong(f"A background task ran, but the response took {took}: something still waits.")
    return ["The response arrived first; the report was written after it, by a background task."]


@exercise("01.2")
async def five_lines_in_the_log(app: Any) -> list[str]:
    """An app whose POST /visit/{name} logs a line per request, in a background task."""
    names = ["Ada", "Grace", "Hedy", "Joan", "Mary"]
    VISITS.unlink(missing_ok=True)
    async with running(app) as bench:
        for name in names:
            await ask(bench, "POST", f"/visit/{name}")
        await bench.finished()
        traces = bench.traces
    failed = [task for trace in traces for task in trace.tasks if task.error is not None]
    if failed:
        raise Wrong(f"Five requests, and a task failed: {failed[0].error}.")
    if not all(trace.tasks for trace in traces):
        raise Wrong("Five responses came, but not every request ran a background task.")
    found = [line for line in lines_of(VISITS) if any(name in line for name in names)]
    if not found:
        raise Wrong(f"Five tasks ran, but {VISITS} does not hold the names that were sent.")
    if any(sum(name in line for name in names) > 1 for line in found):
        raise Wrong(
            "All visits stand on one line of the file. A line ends with a newline, "
            r"and `write` adds none: write f'{name}\n'."
        )
    if len(found) < len(names):
        raise Wrong(
            f"Five requests left {said(found)} in {VISITS}. What does mode='w' do to a file?"
        )
    if len(found) > len(names):
        raise Wrong(f"Five requests left {said(found)} in {VISITS}: some visits are written twice.")
    if not all(trace.response_first for trace in traces):
        raise Wrong("Five lines are there, but a response waited until its line was written.")
    return ["Five requests, five lines in the log, and each response came before its line."]


def lines_of(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").splitlines() if path.exists() else []


def said(lines: list[str]) -> str:
    return "1 line" if len(lines) == 1 else f"{len(lines)} lines"

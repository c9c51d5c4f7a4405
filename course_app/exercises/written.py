"""For exercises whose tasks write lines to a file: what each request left there, and when."""

import asyncio
from dataclasses import dataclass
from pathlib import Path

import httpx

from course_app.exercises.checking import Wrong, ask
from course_app.lab import Bench, Trace

STRAGGLERS = 1.5
"""Seconds in which work that the server does not know of would have written its line."""

QUICK = 0.25
"""Seconds. The response of a path operation that only adds tasks is there long before; the tasks
of the exercises take longer. A task that takes no time may write before the response is read."""


@dataclass(frozen=True)
class Written:
    """One request, its response, and the lines that it added to the file."""

    request: str
    response: httpx.Response
    trace: Trace
    at_response: list[str]
    """The lines it had added when its response was read."""
    lines: list[str]
    """The lines it had added when its background tasks had finished."""
    kept: bool
    """Whether the lines that were there before still are."""


async def send(bench: Bench, method: str, path: str, file: Path) -> Written:
    """Send a request and wait for its tasks; raises Wrong if it is not answered with 2xx."""
    before = lines_of(file)
    response = await ask(bench, method, path)
    early = lines_of(file)[len(before) :]
    trace = await bench.finished()
    after = lines_of(file)
    kept = after[: len(before)] == before
    lines = after[len(before) :] if kept else after
    return Written(f"{method} {path}", response, trace, early, lines, kept)


def by_a_task(seen: Written, file: Path, what: str) -> None:
    """Raise Wrong unless the request's lines were written by background tasks that succeeded.

    `what` is the function that writes a line, called as it is in a right answer: it is shown as
    the example of what `add_task` takes.
    """
    failed = next((task for task in seen.trace.tasks if task.error is not None), None)
    if failed is not None and "callable" in str(failed.error):
        raise Wrong(
            f"{seen.request}: add_task was given the result of a call ({failed.error}). Give it "
            f"the function and its arguments, separated by commas: add_task({what})."
        )
    if failed is not None:
        raise Wrong(f"{seen.request} was answered, but then a task failed: {failed.error}.")
    if not seen.kept:
        raise Wrong(
            f"{seen.request} has wiped out the lines that stood in {file} before. "
            "What does mode='w' do to a file?"
        )
    waited = (seen.trace.response or 0.0) > QUICK
    if seen.at_response and (waited or not seen.trace.tasks):
        none = "" if seen.trace.tasks else " No background task ran."
        raise Wrong(
            f"{seen.request}: {quoted(seen.at_response)} is written before the response, "
            f"not after it.{none}"
        )


async def nothing_written(seen: Written, file: Path) -> Wrong:
    """The sentence for a request that should have left a line and had left none."""
    if seen.trace.tasks:
        ran = seen.trace.tasks[0].name
        return Wrong(f"After {seen.request} the task {ran} ran, but it left no line in {file}.")
    before = lines_of(file)
    await asyncio.sleep(STRAGGLERS)
    if lines_of(file) != before:
        return Wrong(
            f"{seen.request} left its line by work that the server does not know of, and would "
            "not wait for when it stops. Use background_tasks.add_task."
        )
    return Wrong(
        f"{seen.request} left no line in {file}, and no background task ran. "
        "Was the task added to the background_tasks that FastAPI passes in?"
    )


def lines_of(path: Path) -> list[str]:
    """The lines of a text file; none if it is not there."""
    if not path.is_file():
        return []
    return path.read_text(encoding="utf-8", errors="replace").splitlines()


def quoted(lines: list[str]) -> str:
    """Lines as a phrase: “a”, “b”."""
    return ", ".join(f"“{line}”" for line in lines)

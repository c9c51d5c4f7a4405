"""For exercises whose tasks write lines to a file: what each request left there, and when."""

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import httpx
from starlette.types import Message, Receive, Scope, Send

from course_app.exercises.checking import OTHER_LOOP, RUN_AGAIN, Wrong, ask
from course_app.lab import Bench, Trace

UNKNOWN_WORK = (
    "{} left its line by work that the server does not know of, and would not wait for when it "
    "stops. Use background_tasks.add_task."
)


class Witness:
    """Reads the file when a response begins to leave the app: what stands there by then was
    written before the response. A look from the client's side could come too late.
    """

    def __init__(self, bench: Bench, file: Path) -> None:
        self.file = file
        self.lines: list[str] = []
        """What the file held when the newest response began."""
        self._app = bench.server.app.app
        bench.server.app.app = self

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def witnessed_send(message: Message) -> None:
            if message["type"] == "http.response.start":
                self.lines = lines_of(self.file)
            await send(message)

        await self._app(scope, receive, witnessed_send)


@dataclass(frozen=True)
class Written:
    """One request, its response, and the lines that it added to the file."""

    request: str
    response: httpx.Response
    trace: Trace
    before: list[str]
    """The lines that were there before."""
    early: list[str]
    """The lines that it had added when its response began."""
    lines: list[str]
    """The lines that it had added when its background tasks had finished."""
    kept: bool
    """Whether the lines of before are still there."""


async def send(bench: Bench, witness: Witness, method: str, path: str) -> Written:
    """Send a request and wait for its tasks; raises Wrong if it is not answered with 2xx."""
    before = lines_of(witness.file)
    response = await ask(bench, method, path)
    early = witness.lines[len(before) :]
    trace = await bench.finished()
    after = lines_of(witness.file)
    kept = after[: len(before)] == before
    lines = after[len(before) :] if kept else after
    return Written(f"{method} {path}", response, trace, before, early, lines, kept)


def by_a_task(seen: Written, what: str, file: Path) -> None:
    """Raise Wrong unless the request's lines were written by background tasks that succeeded.

    `what` is an example of what `add_task` takes, such as "write_report, name".
    """
    if failure := failed_task([seen.trace], what):
        raise Wrong(f"{seen.request} was answered, but then {failure}")
    if not seen.kept:
        raise Wrong(
            f"{seen.request} has wiped out the lines that stood in {file} before. "
            "What does mode='w' do to a file?"
        )
    if seen.early:
        raise Wrong(
            f"{seen.request}: {quoted(seen.early)} is written before the response, "
            f"not after it.{no_task(seen.trace)}"
        )


def must_answer(seen: Written, body: Mapping[str, str | None], end: str) -> None:
    """Raise Wrong unless the body of the response is this one; `end` ends the sentence."""
    try:
        found = seen.response.json()
    except ValueError:
        found = seen.response.text
    if found != body:
        raise Wrong(
            f"{seen.request} was answered with {found!r:.80}, and should be answered with "
            f"{body}{end}"
        )


def failed_task(traces: list[Trace], what: str) -> str:
    """What is to be said of the first task that failed, or an empty string."""
    failed = [str(task.error) for trace in traces for task in trace.tasks if task.error]
    if not failed:
        return ""
    if OTHER_LOOP in failed[0]:
        return f"a task failed: {RUN_AGAIN}"
    if "must be callable" in failed[0]:  # functools.partial's words about add_task(None)
        return (
            f"a task failed ({failed[0]}): add_task was given the result of a call. Give it the "
            f"function and its arguments, separated by commas: add_task({what})."
        )
    return f"a task failed: {failed[0].rstrip('.')}."


def no_task(trace: Trace) -> str:
    """A sentence to be added where no background task ran."""
    return "" if trace.tasks else " No background task ran."


async def nothing_written(
    request: str, trace: Trace, file: Path, before: list[str], patience: float = 1.5
) -> Wrong:
    """The sentence for a request that left no line by a task; `before` stood in the file.

    `patience` is how many seconds work that the server does not know of may take.
    """
    if trace.tasks:
        return Wrong(
            f"After {request} the task {trace.tasks[0].name} ran, but it left no line in {file}."
        )
    deadline = time.monotonic() + patience
    while lines_of(file) == before:
        if time.monotonic() > deadline:
            return Wrong(
                f"{request} left no line in {file}, and no background task ran. "
                "Was the task added to the background_tasks that FastAPI passes in?"
            )
        await asyncio.sleep(0.05)
    return Wrong(UNKNOWN_WORK.format(request))


def lines_of(path: Path) -> list[str]:
    """The lines of a text file; none if it is not there."""
    if not path.is_file():
        return []
    return path.read_text(encoding="utf-8", errors="replace").splitlines()


def quoted(lines: list[str]) -> str:
    """Lines as a phrase: “a”, “b”."""
    return ", ".join(f"“{line}”" for line in lines)

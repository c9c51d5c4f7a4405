"""Lesson 02: an async function shares the event loop."""

import asyncio
import contextlib
import inspect
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from fastapi import BackgroundTasks, FastAPI

from course_app.exercises.checking import Wrong, ask, exercise, running
from course_app.exercises.predicting import outcome
from course_app.exercises.written import lines_of
from course_app.lab import Bench, OpenLoop, Pulse, Trace
from course_app.lab.pulse import LATE, SLOW

WELCOME = Path("outbox/welcome.txt")
TASKS = Path("outbox/tasks.txt")


@outcome("02.p1")
def what_happens_to_others(pulse: Pulse) -> str:
    return "refused" if pulse.problem else "waits" if pulse.stalled else "answered"


@exercise("02.1")
async def others_are_answered_meanwhile(app: Any) -> list[str]:
    """An app whose POST /signup/{email} sends a mail of 2 s while GET /ping is answered."""
    WELCOME.unlink(missing_ok=True)
    with no_warnings():
        async with running(app) as bench:
            await ask(bench, "GET", "/ping")
            trace, pulse = await watched(bench, "POST", "/signup/ada@example.com")
            written = written_late = lines_of(WELCOME)
            if not written:
                await asyncio.sleep(2.2)  # work that nobody waits for would be done by then
                written_late = lines_of(WELCOME)
    failed = [task for task in trace.tasks if task.error is not None]
    if failed and "running event loop" in str(failed[0].error):
        raise Wrong(
            f"The response came, but then the task failed: {failed[0].error}. The server's loop is "
            "running already, so the task can await."
        )
    if failed:
        raise Wrong(f"The response came, but then the task failed: {failed[0].error}.")
    if (trace.response or 0) > LATE:
        raise Wrong(
            f"The response took about {trace.response:.0f} s: the mail is sent before it, and not "
            "by a background task."
        )
    if not written and written_late:
        raise Wrong(
            "The server took its work for done before the mail was sent: a thread or an asyncio "
            "task that nobody waits for would be lost when the server stops."
        )
    if not written:
        ran = "A background task ran" if trace.tasks else "The response came"
        raise Wrong(
            f"{ran}, but {WELCOME} was not written. Is an async function called, and never awaited?"
        )
    ended = max((task.ended or 0 for task in trace.tasks), default=0)
    if ended - (trace.response or 0) < LATE:
        raise Wrong(
            "The mail was sent at once: its two seconds are gone. They stand for a slow mail "
            "server, so keep them. An `asyncio.sleep` without `await` does not wait."
        )
    if pulse.stalled:
        raise Wrong(
            "The response arrived at once, but then GET /ping waited about "
            f"{pulse.longest:.0f} s for its answer: the task holds the event loop."
        )
    if sum(beat.waited(pulse.now) > SLOW for beat in pulse.beats) > len(pulse.beats) / 4:
        raise Wrong(
            "The response arrived at once, but then GET /ping had to wait again and again: the "
            "task holds the event loop, if only for a while at a time."
        )
    if len(written) > 1:
        raise Wrong(f"One request sent {len(written)} mails.")
    return ["The response arrived first. GET /ping was answered at once while the mail was sent."]


@exercise("02.2")
async def a_decorator_for_both_kinds(logged: Any) -> list[str]:
    """A decorator that logs a task's start and end, and changes nothing else about it."""
    if not callable(logged):
        raise Wrong(f"Give the check the decorator itself: {logged!r:.60} cannot be called.")
    TASKS.unlink(missing_ok=True)
    seen: dict[str, dict[str, Any]] = {}
    with no_warnings():
        async with running(decorated_app(logged, seen)) as bench:
            for path in ("/async", "/def"):
                await ask(bench, "POST", path)
                trace = await bench.finished()
                must_have_run(trace, seen, bench)
    return [
        "The async def task ran on the server's event loop, the def task in a worker thread, and "
        "each has its two lines in the log."
    ]


def decorated_app(logged: Callable[..., Any], seen: dict[str, dict[str, Any]]) -> FastAPI:
    """An app with an async def and a def task, both decorated; they note how they ran in `seen`."""

    def note(name: str, email: str, message: str) -> dict[str, Any]:
        seen[name] = {"thread": threading.current_thread(), "before": lines_of(TASKS)}
        return seen[name]

    async def send_mail(email: str, message: str) -> None:
        run = note("send_mail", email, message)
        await asyncio.sleep(0.3)
        run["during"] = lines_of(TASKS)

    def write_report(email: str, message: str) -> None:
        run = note("write_report", email, message)
        time.sleep(0.3)
        run["during"] = lines_of(TASKS)

    app = FastAPI()

    @app.post("/async")
    async def start_async(background_tasks: BackgroundTasks) -> None:
        background_tasks.add_task(decorated(logged, send_mail), "ada@example.com", message="hello")

    @app.post("/def")
    async def start_def(background_tasks: BackgroundTasks) -> None:
        task = decorated(logged, write_report)
        background_tasks.add_task(task, "ada@example.com", message="hello")

    return app


def decorated(logged: Callable[..., Any], task: Callable[..., Any]) -> Callable[..., Any]:
    made = logged(task)
    if inspect.iscoroutine(made):
        made.close()
    if not callable(made):
        raise TypeError(f"logged({task.__name__}) gave {made!r:.40}, which cannot be called")
    return made  # type: ignore[no-any-return]


def must_have_run(trace: Trace, seen: dict[str, dict[str, Any]], bench: Bench) -> None:
    """Raise Wrong unless the task that the trace is about ran as it would without decorator."""
    name, kind = ("send_mail", "async def") if trace.path == "/async" else ("write_report", "def")
    task, run, log = f"{name}, the {kind} task,", seen.get(name), lines_of(TASKS)
    error = next((task.error for task in trace.tasks if task.error), None)
    on_loop = run is not None and run["thread"] is bench.server.thread.thread
    if run is not None and kind == "def" and on_loop:
        raise Wrong(
            f"{task} ran on the event loop, where its pause holds up every request. Undecorated, "
            "it runs in a worker thread."
        )
    if error is not None:
        raise Wrong(f"{task} failed once it was decorated: {error}.")
    if run is None:
        raise Wrong(
            f"{task} never ran: its wrapper called it, and nobody awaited what this call gave."
            if kind == "async def"
            else f"{task} never ran. Its wrapper must call it."
        )
    if kind == "async def" and not on_loop:
        raise Wrong(
            f"{task} ran on an event loop of its own, in another thread. Undecorated, it runs on "
            "the server's, which it may share connections and locks with."
        )
    if "during" not in run:
        raise Wrong(f"{task} was still running when its wrapper had returned: nobody awaited it.")
    begun, ended = f"{name} starts", f"{name} ends"
    if begun not in log or ended not in log:
        missing = begun if begun not in log else ended
        raise Wrong(f"{task} ran, but {TASKS} has no line {missing!r}.")
    if begun not in run["before"]:
        raise Wrong(f"{task} ran before the line {begun!r} was written.")
    if ended in run["during"]:
        raise Wrong(f"The line {ended!r} was written before {name} had ended.")


async def watched(bench: Bench, method: str, path: str) -> tuple[Trace, Pulse]:
    """What a request did, and how GET /ping was answered meanwhile."""
    loop = OpenLoop(bench.url)
    try:
        await asyncio.sleep(0.2)
        await ask(bench, method, path)
        trace = await bench.finished()
        end = loop.now
        while any(beat.answered is None and beat.due < end for beat in loop.beats()):
            await asyncio.sleep(0.02)
        return trace, Pulse("/ping", loop.beats(), now=loop.now)
    finally:
        loop.stop()


@contextlib.contextmanager
def no_warnings() -> Iterator[None]:
    """Drop Python's "never awaited": the check says it in a sentence of its own."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        yield

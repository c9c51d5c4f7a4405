"""Lesson 04: the lines of Starlette that do it."""

from typing import Any

from fastapi import BackgroundTasks, FastAPI
from starlette.background import BackgroundTask
from starlette.responses import Response

from course_app.exercises import lesson_04_tasks  # noqa: F401  (registers 04.1)
from course_app.exercises.checking import Wrong, ask, exercise, running
from course_app.exercises.observing import (
    APP,
    SENT,
    Seen,
    must_have_waited,
    no_warnings_of_coroutines,
    settle,
)
from course_app.exercises.predicting import outcome

ROWS = ["name,mails", "Ada,3", "Grace,5"]
SECONDS = 0.4


@outcome("04.p1")
def who_calls_the_task(walk: Any) -> str:
    """Whose line runs first, once the response is sent; `walk` is what `step_through` returns."""
    first = next(step for step in walk.steps if step.sent)
    return "response" if first.function.name == "Response.__call__" else "other"


@exercise("04.2")
async def response_in_parts(answer: Any) -> list[str]:
    """A response class with a `__call__` of its own that runs its background tasks."""
    if not isinstance(answer, type):
        raise Wrong(
            f"check needs the class itself, without parentheses, and got {answer!r:.60}: "
            'check("04.2", CsvResponse).'
        )
    with no_warnings_of_coroutines():
        seen = await asked(answer, "/own")
        must_have_run_after_the_response(seen)
        seen = await asked(answer, "/none")
        if seen.escaped is not None:
            raise Wrong(
                f"Without a background task, {raised(seen)}. `self.background` is None then."
            )
        seen = await asked(answer, "/injected")
        if not seen.started():
            raise Wrong(
                "A task given to CsvResponse(rows, background=...) runs. One from FastAPI's "
                "`background_tasks` does not: FastAPI sets `background` on the response when the "
                "endpoint has returned, so read it when the response is sent, not before."
            )
        must_have_run_after_the_response(seen)
    return [
        "The client had all lines first; then the background task ran, and the server waited for "
        "it: with a task of the response's own, with FastAPI's tasks, and without any."
    ]


async def asked(answer: type, path: str) -> Seen:
    """Send one request; raises Wrong if the client does not get its lines."""
    seen = Seen()
    task = seen.plain("write_log", SECONDS)
    app = FastAPI()

    @app.get("/own")
    async def own() -> Response:
        response: Response = answer(ROWS, background=BackgroundTask(task, "Ada"))
        return response

    @app.get("/none")
    async def none() -> Response:
        response: Response = answer(ROWS)
        return response

    @app.get("/injected")
    async def injected(background_tasks: BackgroundTasks) -> Response:
        background_tasks.add_task(task, "Ada")
        response: Response = answer(ROWS)
        return response

    async with running(seen.observing(app)) as bench:
        response = await ask(bench, "GET", path)
        await settle(bench, seen, 0 if path == "/none" else 1)
    if response.text.splitlines() != ROWS:
        raise Wrong(f"The client got {response.text!r:.80} instead of the lines {ROWS}.")
    return seen


def must_have_run_after_the_response(seen: Seen) -> None:
    if seen.escaped is not None:
        raise Wrong(f"The client has its lines, but then {raised(seen)}.")
    if not seen.started():
        raise Wrong(
            "The client has its lines, but the background task never ran: after the last `send` "
            "nobody awaits `self.background`."
        )
    if not seen.before((APP, SENT), ("write_log", "started")):
        raise Wrong(
            "The task started before the last part of the response was sent: the client waits "
            f"for it, here {SECONDS:g} s. Await it after the last `send`."
        )
    if seen.runs("write_log") > 1:
        raise Wrong(f"The task was given once and ran {seen.runs('write_log')} times.")
    must_have_waited(seen)


def raised(seen: Seen) -> str:
    return f"the response raised {type(seen.escaped).__name__}: {seen.escaped}"

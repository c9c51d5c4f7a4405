"""Exercise 04.1: a BackgroundTasks of your own."""

import inspect
from itertools import pairwise
from typing import Any

import fastapi
from starlette.background import BackgroundTask, BackgroundTasks
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from course_app.exercises.checking import Wrong, exercise, running
from course_app.exercises.lesson_04_app import added, app_of, made, ran
from course_app.exercises.observing import (
    APP,
    Seen,
    must_have_waited,
    no_warnings_of_coroutines,
)


@exercise("04.1")
async def background_tasks_of_your_own(answer: Any) -> list[str]:
    """A class with the constructor and the `add_task` of Starlette's BackgroundTasks."""
    must_be_a_class(answer)
    with no_warnings_of_coroutines():
        await runs_in_order(answer)
        await takes_tasks_at_its_making(answer)
        await stops_at_an_error(answer)
    return [
        "In a Starlette app, as a response's `background`: three tasks ran in order, each with its "
        "arguments, the `def` functions in a worker thread.",
        "The constructor took a list of tasks, and left that list as it was.",
        "An error ended the run, and was not hidden.",
    ]


def must_be_a_class(answer: Any) -> None:
    """Raise Wrong unless the answer is a class that defines what a response needs."""
    if not inspect.isclass(answer):
        raise Wrong(
            f"check needs the class itself, without parentheses, and got {answer!r:.60}: "
            'check("04.1", MiniBackgroundTasks).'
        )
    for name, why in [
        ("add_task", "the endpoint calls it with a function and its arguments"),
        ("__call__", "a response ends with `await self.background()`, which calls the object"),
    ]:
        found = next((vars(kind)[name] for kind in answer.__mro__ if name in vars(kind)), None)
        if found is None:
            raise Wrong(f"{answer.__name__} has no `{name}`: {why}.")
        theirs = [
            vars(kind).get(name) for kind in (*BackgroundTasks.__mro__, fastapi.BackgroundTasks)
        ]
        if any(found is their for their in theirs):
            raise Wrong(
                f"`{name}` of {answer.__name__} is the library's own. Write it yourself: the "
                "lesson shows how few lines it takes."
            )


async def runs_in_order(answer: type) -> None:
    seen = Seen()
    first, second, third = seen.plain("first"), seen.awaited("second"), seen.plain("third", 0.0)

    async def endpoint(request: Request) -> Response:
        tasks = made(answer)
        added(tasks, first, "Ada", punctuation="!")
        added(tasks, second, "Grace")
        added(tasks, third)
        if seen.started():
            raise Wrong(
                f"add_task ran {seen.started()[0]} at once, while the client was still waiting. "
                "Keep the function and its arguments; `__call__` uses them after the response."
            )
        return JSONResponse({}, background=tasks)

    async with running(app_of(seen, endpoint)) as bench:
        await ran(bench, seen, answer, expected=3)
    names = ["first", "second", "third"]
    for name in names:
        if seen.runs(name) > 1:
            raise Wrong(f"{name} was added once and ran {seen.runs(name)} times.")
    must_have_waited(seen)
    for earlier, later in pairwise(seen.started()):
        if not seen.before((earlier, "ended"), (later, "started")):
            raise Wrong(
                f"{later} started before {earlier} had ended: the tasks ran at the same time, "
                "and Starlette runs them one after another."
            )
    if seen.started() != names:
        missing = [name for name in names if name not in seen.started()]
        if missing == ["second"]:
            raise Wrong(
                "first and third ran, but second, an `async def` function, did not: calling it "
                "makes a coroutine, and nothing runs until that is awaited."
            )
        if missing:
            raise Wrong(f"Of three tasks, {' and '.join(missing)} did not run.")
        raise Wrong(f"The tasks were added as first, second, third, and ran as {order(seen)}.")
    must_have_arguments(seen, "first", "Ada", ("punctuation", "!"))
    must_have_arguments(seen, "second", "Grace")
    must_have_arguments(seen, "third")
    loop = seen.threads[APP]
    if seen.threads["first"] is loop:
        raise Wrong(
            "first is a `def` function, and it ran on the event loop itself: as long as it takes, "
            "the server answers nobody. Starlette hands it to a worker thread."
        )
    if seen.threads["second"] is not loop:
        raise Wrong(
            "second is an `async def` function, and it ran in another thread, on another event "
            "loop: what belongs to the app's loop cannot be used there. Await it."
        )


async def takes_tasks_at_its_making(answer: type) -> None:
    seen = Seen()
    given = [BackgroundTask(seen.plain("given", 0.0), "Ada")]
    called = f"{answer.__name__}([BackgroundTask(given, 'Ada')])"

    async def endpoint(request: Request) -> Response:
        tasks = made(answer, given)
        added(tasks, seen.plain("fourth", 0.0), "Grace")
        if len(given) > 1:
            raise Wrong(
                f"After tasks = {called}, add_task changed the list that was passed in. Its owner "
                "may use it again: keep a copy, list(tasks)."
            )
        return JSONResponse({}, background=tasks)

    async with running(app_of(seen, endpoint)) as bench:
        await ran(bench, seen, answer, expected=2)
    if seen.started() != ["given", "fourth"]:
        raise Wrong(
            f"{called}, and then add_task(fourth, 'Grace'), ran {order(seen) or 'nothing'}. "
            "The constructor's tasks come first, then the added ones."
        )
    must_have_arguments(seen, "given", "Ada")


async def stops_at_an_error(answer: type) -> None:
    seen = Seen()

    async def endpoint(request: Request) -> Response:
        other, tasks = made(answer), made(answer)
        added(other, seen.awaited("other", 0.0))
        added(tasks, seen.awaited("before", 0.0))
        added(tasks, seen.failing("failing", ValueError("no such address")))
        added(tasks, seen.awaited("after", 0.0))
        return JSONResponse({}, background=tasks)

    async with running(app_of(seen, endpoint)) as bench:
        await ran(bench, seen, answer, expected=1, failing="no such address")
    if "other" in seen.started():
        raise Wrong(
            "Two objects share one list: a task that was added to one of them ran with the other. "
            "Make a new list in `__init__`, for each object."
        )
    if "after" in seen.started():
        raise Wrong(
            "The second of three tasks raised ValueError, and the third ran all the same. "
            "In Starlette an error ends the run."
        )
    if seen.started() != ["before", "failing"]:
        raise Wrong(f"Of three tasks the second raises. These ran: {order(seen)}.")
    if seen.escaped is None:
        raise Wrong(
            "The second of three tasks raised ValueError, and `__call__` hid it: the server's log "
            "would show nothing. Let the error through."
        )


def must_have_arguments(seen: Seen, name: str, *expected: Any) -> None:
    got = seen.arguments[name]
    if got != expected:
        raise Wrong(f"{name} was called with {spelled(got)} instead of {spelled(expected)}.")


def spelled(arguments: tuple[Any, ...]) -> str:
    parts = [f"{a[0]}={a[1]!r}" if isinstance(a, tuple) else repr(a) for a in arguments]
    return f"({', '.join(parts)})"


def order(seen: Seen) -> str:
    return ", ".join(seen.started())

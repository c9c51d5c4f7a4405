"""Exercise 04.1: the Starlette app that an answer is put into, and how it is used there."""

import inspect
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from course_app.exercises.checking import Wrong, ask
from course_app.exercises.observing import Seen, settle
from course_app.lab import Bench


def app_of(seen: Seen, endpoint: Any) -> Any:
    """A Starlette app with one path, POST /run; what the endpoint finds wrong is kept in `seen`."""

    async def guarded(request: Request) -> Response:
        try:
            response: Response = await endpoint(request)
        except Wrong as wrong:
            seen.problem = str(wrong)
            response = Response()
        return response

    return seen.observing(Starlette(routes=[Route("/run", guarded, methods=["POST"])]))


def made(answer: type, *tasks: Any) -> Any:
    """An object of the class; raises Wrong if the class cannot be called so."""
    try:
        return answer(*tasks)
    except Exception as error:
        how = "([BackgroundTask(...)])" if tasks else "()"
        raise Wrong(
            f"{answer.__name__}{how} raised {type(error).__name__}: {error}. Starlette's "
            "constructor takes one argument, a list of tasks, which may be left out."
        ) from None


def added(tasks: Any, function: Any, *args: Any, **kwargs: Any) -> None:
    try:
        result = tasks.add_task(function, *args, **kwargs)
    except Exception as error:
        shown = ", ".join(
            [function.__name__, *map(repr, args), *(f"{k}={v!r}" for k, v in kwargs.items())]
        )
        raise Wrong(f"add_task({shown}) raised {type(error).__name__}: {error}.") from None
    if inspect.iscoroutine(result):
        result.close()
        raise Wrong("add_task is an `async def` method, so calling it adds nothing. Make it `def`.")


async def ran(
    bench: Bench, seen: Seen, answer: type, expected: int, failing: str | None = None
) -> None:
    """Send the request, and raise Wrong unless the tasks could be run at all."""
    await ask(bench, "POST", "/run")
    if seen.problem:
        raise Wrong(seen.problem)
    await settle(bench, seen, expected)
    error = seen.escaped
    if error is not None and str(error) != failing:
        call = getattr(answer, "__call__")  # noqa: B004 B009
        what = f"{type(error).__name__}: {error}"
        said = f"The response was sent; then `await background()` raised {what}."
        if not inspect.iscoroutinefunction(call) and isinstance(error, TypeError):
            said += " The response awaits what `__call__` returns: make it `async def`."
        elif isinstance(error, TypeError) and "await" in str(error):
            said += (
                " A `def` function returns no awaitable: only `async def` functions are awaited."
            )
        raise Wrong(said)
    if not seen.started():
        raise Wrong(
            "The response was sent, but no task ran: `await background()` ended without calling "
            "a function that was added."
        )

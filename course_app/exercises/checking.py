"""`check`: runs an answer on a private server and says, in sentences, what happened."""

import asyncio
import contextlib
import importlib
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import httpx

from course_app.lab import AppError, Bench, LabError, StillRunning

LIMIT = 6.5
"""Seconds an answer may take. To close a server that it has stuck takes up to 3.5 more."""
GRACE = 0.5
"""Seconds in which a thread that was told to end does so, also on a busy machine."""
UNFINISHED = "Your answer had not finished after {:g} seconds, and was stopped."
OTHER_LOOP = "different event loop"
"""Part of what asyncio says when a lock, an event or a queue of the app has another loop."""
RUN_AGAIN = "the app still belongs to another server. Run the app's cell again."
RESTART = (
    "Your code is still running in a thread that cannot be stopped. "
    "Restart the kernel (Kernel > Restart) before you go on."
)

Checker = Callable[[Any], Awaitable[list[str]]]
_checkers: dict[str, tuple[Checker, float]] = {}


@dataclass(frozen=True)
class Result:
    """True if the exercise is solved; `str` of it is what was seen, in sentences."""

    solved: bool
    sentences: tuple[str, ...]

    def __bool__(self) -> bool:
        return self.solved

    def __str__(self) -> str:
        return "\n".join([*self.sentences, "Solved." if self.solved else "Not solved yet."])

    def _ipython_display_(self) -> None:
        """Show nothing: `check` has printed the sentences."""


class Wrong(Exception):
    """The first thing about an answer that is not right, as a sentence with what was seen."""


class UnknownExercise(LabError, ValueError):
    """There is no exercise, or no prediction, of this id."""


def exercise(number: str, *, limit: float = LIMIT) -> Callable[[Checker], Checker]:
    """Register the checker of an exercise.

    A checker returns sentences about what was right, or raises Wrong. After `limit` seconds it is
    cancelled; one that has to start processes needs more than LIMIT on a busy machine.
    """

    def register(checker: Checker) -> Checker:
        _checkers[number] = checker, limit
        return checker

    return register


async def check(number: str, answer: Any) -> Result:
    """Check an answer to the exercise, print what was seen, and return whether it is solved.

    `answer` is what the exercise asks for: an app, a function, a class or a path. A wrong answer
    is no error: it gives a sentence, within the exercise's limit. Raises UnknownExercise, a
    ValueError, for a number that no lesson has.
    """
    load_lesson(number)
    if number not in _checkers:
        known = ", ".join(sorted(_checkers)) or "none"
        raise UnknownExercise(
            f"There is no exercise {number!r} here. Known to its lesson: {known}."
        )
    checker, limit = _checkers[number]
    try:
        async with asyncio.timeout(limit):
            result = Result(True, tuple(await checker(answer)))
    except (Wrong, LabError) as wrong:
        result = Result(False, (str(wrong),))
    except TimeoutError:
        result = Result(False, (UNFINISHED.format(limit),))
    print(result)
    return result


def load_lesson(number: str) -> None:
    """Import the module of the lesson, which registers its exercises and predictions."""
    lesson = str(number)[:2]
    if lesson.isdigit():
        with contextlib.suppress(ModuleNotFoundError):
            importlib.import_module(f"course_app.exercises.lesson_{lesson}")


@contextlib.asynccontextmanager
async def running(app: Any) -> AsyncIterator[Bench]:
    """A private server for an answer, closed afterwards, whatever the answer does."""
    try:
        bench = Bench(app)
    except AppError as error:
        raise Wrong(str(error)) from None
    try:
        yield bench
    finally:
        bench.close()
        if bench.server.stuck or workers_left(bench):
            seen = sys.exception()
            first = f"{seen} " if isinstance(seen, Wrong | LabError) else ""
            raise Wrong(f"{first or UNFINISHED.format(LIMIT) + ' '}{RESTART}")


def workers_left(bench: Bench) -> bool:
    """Whether threads of a closed server go on; one that was told to end gets a moment for it."""
    deadline = time.monotonic() + GRACE
    while bench.server.thread.workers() and time.monotonic() < deadline:
        time.sleep(0.01)
    return bool(bench.server.thread.workers())


async def ask(bench: Bench, method: str, path: str, **options: Any) -> httpx.Response:
    """Send a request that a right answer answers with 2xx; raises Wrong otherwise."""
    response = await bench.request(method, path, **options)
    if response.is_success:
        return response
    said = f"{method} {path} was answered with {response.status_code}"
    with contextlib.suppress(StillRunning):  # an app's exception leaves it after the response
        await bench.finished(timeout=1)
    error = bench.traces[-1].error
    if error is not None and OTHER_LOOP in error:
        raise Wrong(f"{said}: {RUN_AGAIN}")
    if error is not None:
        raise Wrong(f"{said}: the app raised {error}.")
    reasons = {
        404: "the app has no such path",
        405: "the app has this path, but not for this method",
        422: f"a parameter has another name or type than the exercise says{unwanted(response)}",
    }
    reason = reasons.get(response.status_code)
    raise Wrong(f"{said}: {reason}." if reason else f"{said}.")


def unwanted(response: httpx.Response) -> str:
    """Which parameter FastAPI's 422 is about, as the rest of a sentence."""
    try:
        place, name = response.json()["detail"][0]["loc"][:2]
    except (ValueError, LookupError, TypeError):
        return ""
    if place == "query" and "task" in str(name):
        return f" ({name} needs the annotation BackgroundTasks)"
    return f" (the {place} parameter {name})" if place != "body" else f" ({name} in the body)"

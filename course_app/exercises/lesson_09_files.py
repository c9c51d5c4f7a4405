"""For exercises whose answer is a file that a Celery worker runs."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

from course_app.exercises.checking import Wrong
from course_app.lab.broker import Broker
from course_app.lab.child_process import ChildError
from course_app.lab.processes import Worker

LIMIT = 75.0
"""Seconds that a check may take: it starts three processes, on a machine that may be busy."""
STARTING = 25.0
"""Seconds that each of an answer's processes may take to start."""


def module_of(answer: Any, example: str) -> str:
    """The name under which the file can be imported from the current folder.

    Raises Wrong if it is no path of a Python file below it, or cannot be parsed.
    """
    if not isinstance(answer, str | Path):
        kind = answer.__name__ if isinstance(answer, type) else type(answer).__name__
        raise Wrong(f"The answer is the path of a file, such as {example}. Given was: {kind}.")
    path = Path(answer)
    if path.suffix != ".py" or not path.is_file():
        raise Wrong(f"There is no Python file {path}. Run the cell that writes it.")
    try:
        relative = path.resolve().relative_to(Path.cwd())
    except ValueError:
        raise Wrong(f"The file must be below the current folder, as {example} is.") from None
    try:
        compile(path.read_text(encoding="utf-8"), path.name, "exec")
    except SyntaxError as error:
        raise Wrong(f"{path.name}, line {error.lineno}: {error.msg}.") from None
    except ValueError as error:
        raise Wrong(f"{path.name} cannot be read as Python: {error}.") from None
    return ".".join(relative.with_suffix("").parts)


@contextlib.contextmanager
def processes_of(name: str) -> Iterator[None]:
    """A process that does not start becomes a sentence with the reason, from the end of its log."""
    try:
        yield
    except ChildError as error:
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        if "was not ready after" in lines[0]:
            raise Wrong(
                f"{name} did not start within {STARTING:g} seconds. Does something in it go on "
                "for ever when it is imported?"
            ) from None
        raise Wrong(f"{name} cannot be started. The last line of its log: {lines[-1]}") from None


@contextlib.asynccontextmanager
async def broker() -> AsyncIterator[Broker]:
    """A broker with a queue of its own; with its workers it is closed in a thread."""
    opened = await asyncio.to_thread(Broker)
    try:
        yield opened
    finally:
        await asyncio.shield(asyncio.to_thread(opened.close))


async def start_worker(broker: Broker, module: str) -> Worker:
    with processes_of(f"A worker with {module}:celery"):
        return await asyncio.to_thread(
            Worker, broker, "ada", app=f"{module}:celery", traced=False, within=STARTING
        )


async def becomes(wanted: Callable[[], Any], seconds: float) -> bool:
    """Whether this comes true within so many seconds."""
    deadline = time.monotonic() + seconds
    while not wanted():
        if time.monotonic() > deadline:
            return False
        await asyncio.sleep(0.02)
    return True

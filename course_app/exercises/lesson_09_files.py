"""For exercises whose answer is a file that a Celery worker runs."""

import asyncio
import contextlib
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

from course_app.exercises.checking import Wrong
from course_app.lab.broker import Broker
from course_app.lab.child_process import ChildError
from course_app.lab.processes import Worker

T = TypeVar("T")
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


async def in_a_thread(function: Callable[[], T]) -> T:
    """What the function returns, called in a thread that ends with it.

    asyncio.to_thread would keep the thread for later.
    """
    loop = asyncio.get_running_loop()
    future: asyncio.Future[T] = loop.create_future()

    def tell(result: T | None, error: Exception | None) -> None:
        if future.done():  # nobody waits any more
            return
        if error is not None:
            future.set_exception(error)
        else:
            future.set_result(result)  # type: ignore[arg-type]

    def run() -> None:
        try:
            result, error = function(), None
        except Exception as raised:
            result, error = None, raised
        with contextlib.suppress(RuntimeError):  # the loop is closed
            loop.call_soon_threadsafe(tell, result, error)

    threading.Thread(target=run, name="course_app check", daemon=True).start()
    return await future


@contextlib.asynccontextmanager
async def broker() -> AsyncIterator[Broker]:
    """A broker with a queue of its own; with its workers it is closed in a thread."""
    opened = await in_a_thread(Broker)
    try:
        yield opened
    finally:
        await asyncio.shield(in_a_thread(opened.close))


async def start_worker(broker: Broker, module: str) -> Worker:
    with processes_of(f"A worker with {module}:celery"):
        return await in_a_thread(
            lambda: Worker(broker, app=f"{module}:celery", traced=False, within=STARTING)
        )


async def becomes(wanted: Callable[[], Any], seconds: float) -> bool:
    """Whether this comes true within so many seconds."""
    deadline = time.monotonic() + seconds
    while not wanted():
        if time.monotonic() > deadline:
            return False
        await asyncio.sleep(0.02)
    return True

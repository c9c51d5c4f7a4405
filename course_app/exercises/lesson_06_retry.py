"""Lesson 06, exercise 06.3: a task that tries again, and gives up."""

import asyncio
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fastapi import BackgroundTasks, FastAPI

from course_app.exercises.checking import Wrong, ask, exercise, running
from course_app.exercises.observing import no_warnings_of_coroutines
from course_app.exercises.written import lines_of, quoted
from course_app.lab import Bench, StillRunning

RETRIES = Path("outbox/retries.txt")
PAUSES = (0.1, 0.2, 0.4)
"""Seconds at least between two attempts."""
CLOCK = 0.02
"""Seconds that a timer may be early: the clocks of some systems are as coarse as that."""
PATIENCE = 3.0
"""Seconds for one task; a right one takes 0.7."""
DOWN = ConnectionError("the mail server is down")
WRONG = ValueError("no such address")


@dataclass
class Sender:
    """An async `send` whose attempts raise `errors`, the last of them for ever; None succeeds."""

    email: str
    says: str
    """What its errors are, as the end of a sentence that begins with "when"."""
    attempts: int
    """How often a right answer tries."""
    errors: Sequence[Exception | None]
    begun: list[float] = field(default_factory=list)
    """When each attempt began, in seconds of the event loop's clock."""
    ended: list[float] = field(default_factory=list)
    threads: list[threading.Thread] = field(default_factory=list)
    over: float = 0.0
    """When the task had ended, by the same clock."""
    given: list[Any] = field(default_factory=list)
    """What it was called with."""
    loop_held: bool = False
    """Whether nothing else could run on the event loop between two attempts."""
    _free: bool = True

    async def __call__(self, email: str) -> None:
        loop = asyncio.get_running_loop()
        self.loop_held |= not self._free
        self.given.append(email)
        self.threads.append(threading.current_thread())
        error = self.errors[min(len(self.begun), len(self.errors) - 1)]
        self.begun.append(loop.time())
        await asyncio.sleep(0.01)
        self.ended.append(loop.time())
        if error is not None:
            self._free = False
            loop.call_later(PAUSES[0] / 4, self._set_free)
            raise type(error)(*error.args)

    async def note_end(self) -> None:
        """A task that runs when the one before it has ended."""
        self.over = asyncio.get_running_loop().time()

    def _set_free(self) -> None:
        self._free = True

    @property
    def pauses(self) -> list[float]:
        """Seconds between the end of an attempt and the start of the next."""
        return [begun - ended for begun, ended in zip(self.begun[1:], self.ended, strict=False)]

    @property
    def gives_up(self) -> bool:
        """Whether a right answer gives up."""
        return self.errors[min(self.attempts, len(self.errors)) - 1] is not None


def senders() -> list[Sender]:
    return [
        Sender("ada@example.com", "send succeeds at once", 1, [None]),
        Sender("grace@example.com", "send succeeds at the third attempt", 3, [DOWN, DOWN, None]),
        Sender("hedy@example.com", "send succeeds at the fourth attempt", 4, [DOWN] * 3 + [None]),
        Sender("joan@example.com", "send always raises ConnectionError", 4, [DOWN]),
        Sender("mary@example.com", "send raises ValueError", 1, [WRONG]),
        Sender(
            "rosa@example.com", "send raises ConnectionError, then ValueError", 2, [DOWN, WRONG]
        ),
    ]


@exercise("06.3")
async def give_up_at_last(try_again: Any) -> list[str]:
    """An async function that awaits send(email) up to four times, then leaves a line."""
    if not callable(try_again):
        raise Wrong(f"Give the check the function itself: {try_again!r:.60} cannot be called.")
    RETRIES.unlink(missing_ok=True)
    sending = senders()
    with no_warnings_of_coroutines():
        async with running(app_with(try_again, sending)) as bench:
            for place, sender in enumerate(sending):
                await ask(bench, "POST", f"/send/{place}")
                await must_end(bench, sender)
                must_have_tried(sender, bench)
                must_have_said(sender)
    return [
        "It stopped at the first success, paused longer each time, tried no wrong address again, "
        "and gave up after four attempts with a line."
    ]


def app_with(try_again: Any, sending: list[Sender]) -> FastAPI:
    app = FastAPI()

    @app.post("/send/{place}")
    async def start(place: int, background_tasks: BackgroundTasks) -> None:
        background_tasks.add_task(try_again, sending[place], sending[place].email)
        background_tasks.add_task(sending[place].note_end)

    return app


async def must_end(bench: Bench, sender: Sender) -> None:
    """Wait for the task; raises Wrong if it goes on and on, or raises."""
    try:
        trace = await bench.finished(PATIENCE)
    except StillRunning:
        often = len(sender.begun)
        raise Wrong(
            f"When {sender.says}, the task had not ended after {PATIENCE:g} seconds"
            + (", and tried more than four times." if often > 4 else ".")
        ) from None
    error = next((task.error for task in trace.tasks if task.error), None)
    if error is not None:
        raise Wrong(f"When {sender.says}, the task raised {error.rstrip('.')}. It should end.")


def must_have_tried(sender: Sender, bench: Bench) -> None:
    """Raise Wrong unless it was tried as often as it should, on the loop, with pauses."""
    when, tries = f"When {sender.says}", len(sender.begun)
    if tries == 0 or sender.begun[0] > sender.over:
        raise Wrong(f"{when}: the task ended, and send had not been awaited.")
    if len(sender.ended) < tries or sender.ended[-1] > sender.over:
        raise Wrong(f"{when}: the task ended while send was still at work. Await it.")
    if any(thread is not bench.server.thread.thread for thread in sender.threads):
        raise Wrong(
            "send ran on an event loop of its own, in another thread. Await it in an async "
            "function, so that it runs on the server's, which connections belong to."
        )
    if any(given != sender.email for given in sender.given):
        raise Wrong(f"{when}: send was called with {sender.given[0]!r:.40}, not with the address.")
    if tries != sender.attempts:
        raise Wrong(f"{when}, there should be {times(sender.attempts)}, and there {was(tries)}.")
    for place, (pause, least) in enumerate(zip(sender.pauses, PAUSES, strict=False), start=1):
        if pause < least - CLOCK:
            raise Wrong(
                f"{when}, the pause after attempt {place} was shorter than {least:g} seconds."
            )
    if sender.loop_held:
        raise Wrong(
            "While it paused, nothing else could run on the event loop: every other request waits. "
            "Pause with `await asyncio.sleep(...)`."
        )


def must_have_said(sender: Sender) -> None:
    """Raise Wrong unless the line is there where it gave up, and only there."""
    line, lines = f"gave up on {sender.email}", lines_of(RETRIES)
    found = [each for each in lines if sender.email in each]
    if not sender.gives_up and found:
        raise Wrong(f"When {sender.says}, the mail was sent, but {RETRIES} has {quoted(found)}.")
    if sender.gives_up and found != [line]:
        raise Wrong(
            f"When {sender.says}, {RETRIES} should have the line {quoted([line])}, and has "
            f"{quoted(found or lines) or 'none'}."
        )


def times(tries: int) -> str:
    return "one attempt" if tries == 1 else f"{tries} attempts"


def was(tries: int) -> str:
    return "was one" if tries == 1 else f"were {tries}"

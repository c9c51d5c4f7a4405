"""A thread with an event loop of its own that can be stopped, whatever runs on it."""

import asyncio
import concurrent.futures
import contextlib
import ctypes
import logging
import queue
import threading
import time
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")
TICK = 0.1
"""Seconds between two signs of life of the loop."""


class LoopThread:
    """Runs coroutines on an event loop in a daemon thread. It ends with the main thread."""

    def __init__(self, name: str) -> None:
        self.loop = asyncio.new_event_loop()
        self.loop.set_exception_handler(log)
        self._stopping = False
        self._alive_at = time.monotonic()
        self.thread = threading.Thread(target=self._run, name=name, daemon=True)
        self.thread.start()

    def submit(self, work: Coroutine[Any, Any, T]) -> concurrent.futures.Future[T]:
        """Start a coroutine on the loop; the future can be waited for in any thread."""
        return asyncio.run_coroutine_threadsafe(work, self.loop)

    @property
    def blocked_for(self) -> float:
        """Seconds since the loop last came round; above a second or so, something blocks it."""
        return max(0.0, time.monotonic() - self._alive_at - TICK) if self.thread.is_alive() else 0.0

    @property
    def blocked(self) -> bool:
        """Whether it makes no sense to wait for the loop: nothing on it has moved for a second."""
        return self.blocked_for > 1.0

    def stop(self, patience: float = 1.0) -> bool:
        """Cancel what runs on the loop, end the thread, and say whether that worked.

        Waits `patience` seconds for the cancelled coroutines; then raises SystemExit inside
        whatever Python code holds the thread, or a worker thread of its loop, twice at most.
        A single long call into C, such as `time.sleep(60)`, cannot be ended.
        """
        self._stopping = True
        if threading.current_thread() is self.thread:
            return False
        with contextlib.suppress(RuntimeError):  # closed: the thread is ending by itself
            self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(0.1 if self.blocked else patience)
        for _ in range(2):
            for worker in self.workers():  # first: they keep the loop from its own end
                interrupt(worker)
            self.thread.join(patience / 4)
            if self.thread.is_alive():
                interrupt(self.thread)
            self.thread.join(patience / 4)
        if not self.thread.is_alive():
            for worker in self.workers():  # the loop may have ended before it told them to
                with contextlib.suppress(queue.Full):  # it has, and they have not come to it yet
                    worker.stop()
        return not self.thread.is_alive()

    def workers(self) -> list[Any]:
        """The threads in which AnyIO runs `def` functions for this loop: its WorkerThread."""
        return [t for t in threading.enumerate() if getattr(t, "loop", None) is self.loop]

    def _run(self) -> None:
        asyncio.set_event_loop(self.loop)
        ticker = self.loop.create_task(self._tick())
        while not self._stopping:
            try:
                self.loop.run_forever()
            except (SystemExit, KeyboardInterrupt):  # an app's sys.exit() ends its task, not us
                continue
        try:
            ticker.cancel()
            self._cancel_all()
        except (SystemExit, KeyboardInterrupt, RuntimeError):
            pass  # stopped once more while it waited
        finally:
            asyncio.set_event_loop(None)
            self.loop.close()

    async def _tick(self) -> None:
        while threading.main_thread().is_alive():
            self._alive_at = time.monotonic()
            await asyncio.sleep(TICK)
        # The interpreter ends, and would wait for ever for the worker threads of this loop.
        self._stopping = True
        self.loop.stop()

    def _cancel_all(self) -> None:
        tasks = asyncio.all_tasks(self.loop)
        for task in tasks:
            task.cancel()
        if tasks:
            self.loop.run_until_complete(asyncio.wait(tasks, timeout=0.5))
        self.loop.run_until_complete(self.loop.shutdown_asyncgens())


def log(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """What asyncio would print into whatever cell is running goes where uvicorn's errors go."""
    if not loop.is_closed():
        logging.getLogger("uvicorn.error").error(
            context["message"], exc_info=context.get("exception")
        )


def interrupt(thread: threading.Thread) -> None:
    """Raise SystemExit in a thread, at its next step in Python code (CPython only)."""
    if thread.ident is not None:
        ctypes.pythonapi.PyThreadState_SetAsyncExc(
            ctypes.c_ulong(thread.ident), ctypes.py_object(SystemExit)
        )

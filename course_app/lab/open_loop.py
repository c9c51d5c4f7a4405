"""Asks an app a question ten times a second, from outside its server's event loop."""

import asyncio
import contextlib
import itertools
import time
from dataclasses import replace

import httpx

from course_app.lab.asgi import HEARTBEAT
from course_app.lab.client import certificates
from course_app.lab.loop_thread import LoopThread
from course_app.lab.pulse import INTERVAL, Beat

KEPT = 600
"""Questions remembered: those of the last minute."""
PATIENCE = 30.0
"""Seconds to wait for one answer."""


class OpenLoop:
    """Asks GET `path` every INTERVAL seconds, answered or not, until it is stopped.

    It starts at once, in a daemon thread with an event loop of its own, so that neither a blocked
    server nor a busy kernel keeps it from asking.
    """

    def __init__(self, url: str, path: str = "/ping") -> None:
        self._url, self._path = url, path
        self._beats: dict[int, Beat] = {}
        self._asked: set[asyncio.Task[None]] = set()
        self.began_at = time.time()
        """When it began, in seconds since the epoch."""
        self._zero = time.monotonic()
        self._thread = LoopThread("course_app.lab heartbeat")
        self._asking = self._thread.submit(self._ask())

    @property
    def now(self) -> float:
        """Seconds since it began."""
        return time.monotonic() - self._zero

    @property
    def running(self) -> bool:
        """Whether it still asks; it gives up when nothing listens at the address any more."""
        return not self._asking.done()

    def beats(self) -> tuple[Beat, ...]:
        """The questions of the last minute, in the order in which they were due."""
        return tuple(self._beats.copy().values())

    def stop(self) -> None:
        """End the thread and its connections, open questions included."""
        self._asking.cancel()
        self._thread.stop()

    async def _ask(self) -> None:
        async with httpx.AsyncClient(
            base_url=self._url,
            headers={HEARTBEAT: "1"},
            limits=httpx.Limits(max_connections=None),
            timeout=PATIENCE,
            trust_env=False,
            verify=certificates(),
        ) as client:
            for number in itertools.count():
                due = number * INTERVAL
                await asyncio.sleep(due - self.now)
                self._beats[number] = Beat(due)
                self._beats.pop(number - KEPT, None)
                task = asyncio.create_task(self._beat(client, number))
                self._asked.add(task)
                task.add_done_callback(self._asked.discard)

    async def _beat(self, client: httpx.AsyncClient, number: int) -> None:
        status, failure = None, None
        try:
            status = (await client.get(self._path)).status_code
        except httpx.HTTPError as error:
            failure = str(error) or type(error).__name__
            if isinstance(error, httpx.ConnectError):
                failure = "nothing listens there any more"
                self._asking.cancel()
        with contextlib.suppress(KeyError):  # too old to be remembered
            asked = self._beats[number]
            self._beats[number] = replace(asked, answered=self.now, status=status, failure=failure)

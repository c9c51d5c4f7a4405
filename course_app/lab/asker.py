"""Another client of a server, in a process of its own: how long does it wait for its answers?"""

import asyncio
import statistics
import sys
import time
from pathlib import Path

from course_app.lab.child_process import ChildProcess
from course_app.lab.errors import LabError, stoppable
from course_app.lab.outside.asker import RATE

PATIENCE = 30.0
"""Seconds to wait for the answers to the questions of one measurement."""


class Asker(ChildProcess):
    """Asks GET `url` 50 times a second, whether or not it gets answers, until it is stopped.

    Raises ChildError if the first question is not answered within 15 seconds.
    """

    def __init__(self, url: str) -> None:
        script = Path(__file__).with_name("outside") / "asker.py"
        super().__init__(
            [sys.executable, str(script), url], "the asker", ready=lambda log: "\n" in log
        )
        self._zero = float(self.log.split("\n", 1)[0])

    async def median(self, seconds: float = 2.0) -> float:
        """How long the answers to the questions of the next `seconds` take, in seconds.

        Raises LabError if they are not all there 30 seconds later.
        """
        first = int((time.time() - self._zero) * RATE) + 1
        wanted = range(first, first + int(seconds * RATE))
        with stoppable("You stopped the measurement."):
            await asyncio.sleep(seconds)
            deadline = time.monotonic() + PATIENCE
            while len(delays := self._delays(wanted)) < len(wanted):
                if time.monotonic() > deadline or not self.running:
                    raise LabError(
                        f"Only {len(delays)} of {len(wanted)} questions were answered. "
                        "Is the server still there?"
                    )
                await asyncio.sleep(0.05)
        return statistics.median(delays)

    def _delays(self, wanted: range) -> list[float]:
        rows = [line.split() for line in self.log.splitlines(keepends=True) if line.endswith("\n")]
        return [float(row[1]) for row in rows if len(row) == 2 and int(row[0]) in wanted]

"""Reports: work for the processor, in a background task or in a Celery worker."""

import time

from course_app.tasks import OUTBOX

LEDGER = OUTBOX / "ledger.txt"
"""Which reports were begun and done, a line each, whichever process made them."""

made: list[int] = []
"""The reports made by this process. Another process has a list of its own."""


def make_report(number: int, computing: float = 1.0, waiting: float = 0.0) -> str:
    """Wait for the figures, compute, and note the beginning and the end in the ledger.

    `waiting` is how many seconds a slow database takes, `computing` the processor time of the rest.
    """
    write(f"{number} begun")
    time.sleep(waiting)
    compute(computing)
    write(f"{number} done")
    made.append(number)
    return f"report {number}"


def compute(seconds: float) -> None:
    """Keep the processor busy. It is time at work that counts, not waiting for other threads."""
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        sum(range(1000))


def write(line: str) -> None:
    OUTBOX.mkdir(exist_ok=True)
    with open(LEDGER, mode="a", encoding="utf-8") as file:
        file.write(f"{line}\n")

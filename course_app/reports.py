"""Work for the processor: the same function, for a background task and for a Celery worker."""

import time

from course_app.tasks import OUTBOX

LEDGER = OUTBOX / "reports.txt"
"""Which reports were begun and done, a line each, whichever process made them."""

made: list[int] = []
"""The reports made by this process. Another process has a list of its own."""


def make_report(number: int, seconds: float = 1.0) -> str:
    """Compute for `seconds` of processor time, and note the beginning and the end in the ledger."""
    write(f"{number} begun")
    compute(seconds)
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

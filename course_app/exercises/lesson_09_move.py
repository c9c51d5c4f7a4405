"""Exercise 09.1: a background task becomes a Celery task."""

import asyncio
import time
from pathlib import Path
from typing import Any

import httpx

from course_app.exercises.checking import Wrong, exercise
from course_app.exercises.lesson_09_files import (
    LIMIT,
    becomes,
    broker,
    in_a_thread,
    module_of,
    processes_of,
    start_worker,
)
from course_app.exercises.written import lines_of, quoted
from course_app.lab.processes import Api

INVOICES = Path("outbox/invoices.txt")
NUMBERS = (1, 2)
RECEIVED, RAISED, UNKNOWN = " received", " raised unexpected: ", "Received unregistered task"
"""What a worker logs."""


@exercise("09.1", limit=LIMIT)
async def move_it_over(answer: Any) -> list[str]:
    """A file with `app` and `celery`, whose invoices are written though the server is killed."""
    module = module_of(answer, "outbox/invoices.py")
    INVOICES.unlink(missing_ok=True)
    async with broker() as jobs:
        worker = await start_worker(jobs, module)
        with processes_of(f"The server with {module}:app"):
            api = await in_a_thread(lambda: Api(jobs, f"{module}:app"))
        for number in NUMBERS:
            await ordered(api, number)
        api.kill()
        api.wait(5)
        wanted = sorted(f"invoice {number}" for number in NUMBERS)
        if await becomes(lambda: RECEIVED in worker.log, 3.0):
            await becomes(lambda: ended(worker.log, wanted), 15.0)
            await asyncio.sleep(0.2)
        found = sorted(lines_of(INVOICES))
        if found != wanted:
            raise wrong_invoices(found, wanted, worker.log)
    return [
        "Both orders were answered with 202, and the server was killed right after that. "
        "A worker wrote both invoices."
    ]


async def ordered(api: Api, number: int) -> None:
    begun = time.monotonic()
    request = f"POST /orders/{number}"
    try:
        response = await in_a_thread(lambda: api.post(f"/orders/{number}"))
    except httpx.HTTPError:
        raise Wrong(
            f"{request} got no answer: the server is gone, or busy for over a minute."
        ) from None
    took = time.monotonic() - begun
    if response.status_code == 500:
        await becomes(lambda: last_error(api.log), 2.0)  # it is logged after the response
        said = last_error(api.log) or "nothing"
        raise Wrong(f"{request} was answered with 500. The server says: {said}")
    if response.status_code != 202:
        raise Wrong(f"{request} was answered with {response.status_code}, and should be with 202.")
    if lines_of(INVOICES).count(f"invoice {number}"):
        raise Wrong(
            f"{request} was answered after {took:.1f} s, and its invoice was written before that. "
            "Is write_invoice called, or sent?"
        )
    try:
        body = response.json()
    except ValueError:
        body = response.text
    if body != {"ordered": number}:
        raise Wrong(
            f"{request} was answered with {body!r:.80}, and should be with {{'ordered': {number}}}."
        )


def ended(log: str, wanted: list[str]) -> bool:
    return RAISED in log or UNKNOWN in log or set(wanted) <= set(lines_of(INVOICES))


def wrong_invoices(found: list[str], wanted: list[str], log: str) -> Wrong:
    if RAISED in log:
        return Wrong(f"The worker had an error: {log.split(RAISED)[1].splitlines()[0]}.")
    if UNKNOWN in log:
        return Wrong("A job was sent that the worker does not know. Is it the same Celery app?")
    if len(found) > len(wanted):
        return Wrong(f"There should be one invoice an order. The file has {quoted(found)}.")
    if RECEIVED in log:
        return Wrong(
            f"The worker received a job, but outbox/invoices.txt has {quoted(found) or 'no line'}, "
            f"and should have {quoted(wanted)}."
        )
    return Wrong(
        f"Both orders were answered with 202. Then the server was killed, and of 2 invoices "
        f"{len(found)} were written. The worker got no job: write_invoice still runs in the "
        "server's process."
    )


def last_error(log: str) -> str:
    """The last line of a log that is an exception's, or an empty string."""
    lines = [line.strip() for line in log.splitlines() if line and not line[0].isspace()]
    errors = [
        line for line in lines if "Error" in line.split(":")[0] and not line.startswith("ERROR")
    ]
    return errors[-1] if errors else ""

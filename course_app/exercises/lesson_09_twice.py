"""Exercise 09.2: a task that may be run twice."""

import asyncio
import os
import signal
from pathlib import Path
from typing import Any

import psutil

from course_app.exercises.checking import Wrong, exercise
from course_app.exercises.lesson_09_files import (
    LIMIT,
    becomes,
    broker,
    module_of,
    start_worker,
)
from course_app.exercises.written import lines_of, quoted
from course_app.lab.broker import Broker
from course_app.lab.processes import Worker

CHARGED = Path("outbox/charged.txt")
RECEIPTS = Path("outbox/receipts.txt")
DONE, RAISED = " succeeded in ", " raised unexpected: "
"""What a worker logs at the end of a job."""
MAILING = 0.3
"""Seconds from a job's first line to its end by force, while its mail takes a second."""


@exercise("09.2", limit=LIMIT)
async def pay_once(answer: Any) -> list[str]:
    """A file whose task `charge` is killed in the middle, run again, and sent a second time."""
    module = module_of(answer, "outbox/charges.py")
    for file in (CHARGED, RECEIPTS):
        file.unlink(missing_ok=True)
    async with broker() as jobs:
        worker = await start_worker(jobs, module)
        if f"{module}.charge" not in worker.log:
            raise Wrong(f"The worker finds no task `charge` in {module}.")
        send(jobs, module, 1, 20)
        if not await becomes(lambda: begun(worker), 10.0) or RAISED in worker.log:
            raise failed(worker, "The job of order 1 has left no line in either file")
        await asyncio.sleep(MAILING)
        kill_pool(worker)
        seen = "The process was killed in the middle of order 1, and the job was run again"
        await becomes(lambda: receipts(1) or RAISED in worker.log or DONE in worker.log, 15.0)
        if not receipts(1):
            raise failed(worker, f"{seen}. The customer has no receipt")
        must_be_charged(1, 20, seen)
        send(jobs, module, 1, 20)
        send(jobs, module, 2, 20)
        await becomes(lambda: sum(map(worker.log.count, (DONE, RAISED))) >= 3, 15.0)
        must_be_charged(1, 20, "The job of order 1 was sent once more")
        must_be_charged(2, 20, "Then order 2 came, of the same amount")
        if not receipts(2):
            raise failed(worker, "Order 2 has no receipt")
    return ["Order 1 was killed, run again and sent again, and charged once. So was order 2."]


def send(jobs: Broker, module: str, *arguments: int) -> None:
    """Send a job by the task's name: the answer itself is never imported here."""
    from celery import Celery

    sender = Celery("check", broker=jobs.url, set_as_current=False)
    sender.conf.update(task_default_queue=jobs.queue, task_ignore_result=True)
    if jobs.kind == "filesystem":
        folder = jobs.url.removeprefix("filesystem://")
        sender.conf.broker_transport_options = dict.fromkeys(
            ("data_folder_in", "data_folder_out", "control_folder"), folder
        )
    with sender.connection_for_write() as connection:
        sender.send_task(f"{module}.charge", arguments, connection=connection)


def begun(worker: Worker) -> bool:
    """Whether the first job has left a line, or has ended without one."""
    log = worker.log
    return bool(lines_of(CHARGED) or lines_of(RECEIPTS)) or DONE in log or RAISED in log


def kill_pool(worker: Worker) -> None:
    """Kill the process that runs the job, as a lack of memory would; the worker starts another."""
    for child in psutil.Process(worker.pid).children():
        os.kill(child.pid, signal.SIGKILL)


def must_be_charged(order: int, amount: int, seen: str) -> None:
    lines = lines_of(CHARGED)
    times = lines.count(f"order {order} pays {amount}")
    if times != 1:
        raise Wrong(
            f"{seen}. Order {order} is charged {times} times, and should be once: {CHARGED} has "
            f"{quoted(lines) or 'no line'}."
        )


def receipts(order: int) -> int:
    return lines_of(RECEIPTS).count(f"receipt for order {order}")


def failed(worker: Worker, seen: str) -> Wrong:
    """What was seen, and the task's exception if there was one."""
    _, raised, rest = worker.log.rpartition(RAISED)
    return Wrong(f"{seen}: the task raised {rest.splitlines()[0]}." if raised else f"{seen}.")

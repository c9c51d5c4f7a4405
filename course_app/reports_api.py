"""Reports on request: by a background task of this process, or by Celery's workers."""

from typing import Annotated

from celery.backends.base import DisabledBackend
from celery.exceptions import BackendError
from fastapi import APIRouter, BackgroundTasks, HTTPException, Query, Response
from kombu.exceptions import OperationalError
from kombu.utils.uuid import uuid
from redis.exceptions import RedisError

from course_app import reports
from course_app.worker import celery, make_report

Computing = Annotated[float, Query(gt=0, le=5, description="processor time in seconds")]
Waiting = Annotated[float, Query(ge=0, le=5, description="seconds until the figures are there")]
NO_ANSWER = (OperationalError, RedisError, BackendError, OSError, RuntimeError)
"""What Celery raises where its broker, or the store of its results, does not answer."""
WORDS = {"SENT": "waiting", "STARTED": "running", "SUCCESS": "done", "FAILURE": "failed"}

# A client waits for this process, so it gives up early. A worker is patient.
celery.conf.redis_socket_timeout = celery.conf.broker_transport_options["socket_timeout"] = 0.4

router = APIRouter(prefix="/reports", tags=["reports"])


@router.get("/ping")
async def ping() -> dict[str, bool]:
    """Asked by others, to see how long they wait while reports are made."""
    return {"pong": True}


@router.post("/{number}/here", status_code=202)
def make_here(
    number: int,
    background_tasks: BackgroundTasks,
    computing: Computing = 1.0,
    waiting: Waiting = 0.0,
) -> dict[str, int]:
    """Make the report after the response, in this process."""
    background_tasks.add_task(reports.make_report, number, computing, waiting)
    return {"accepted": number}


@router.post("/{number}", status_code=202)
def send_to_worker(
    number: int, response: Response, computing: Computing = 1.0, waiting: Waiting = 0.0
) -> dict[str, str]:
    """Give the report to a worker. A `def` function, because sending waits for the broker."""
    job = uuid()
    try:
        celery.backend.store_result(job, None, "SENT")  # so that an unknown job can be told
        make_report.apply_async((number, computing, waiting), task_id=job, confirm_timeout=0.2)
    except NO_ANSWER:
        raise HTTPException(
            503, "The broker does not answer, so nothing was accepted. Try again later."
        ) from None
    response.headers["Location"] = f"/reports/jobs/{job}"
    response.headers["Retry-After"] = "1"
    return {"job": job}


@router.get("/jobs/{job}")
def read_job(job: str) -> dict[str, str | None]:
    """How far a job is: waiting, running, done or failed."""
    if isinstance(celery.backend, DisabledBackend):
        raise HTTPException(503, "No results are kept. Set COURSE_RESULTS to a Redis server.")
    try:
        found = celery.backend.get_task_meta(job)
    except NO_ANSWER:
        raise HTTPException(503, "The store of the results does not answer.") from None
    if found["status"] == "PENDING":  # Celery's word for a job that it knows nothing about
        raise HTTPException(404, "There is no such job, or its result has expired.")
    status = WORDS.get(found["status"], found["status"].lower())
    result = None if found["result"] is None else str(found["result"])
    return {
        "job": job,
        "status": status,
        "result": result if status in ("done", "failed") else None,
    }

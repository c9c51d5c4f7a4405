"""202 Accepted: a text file whose words are counted slowly, and the jobs that tell how it goes.

The status codes are those of RFC 9110; it says that the answer to an accepted request ought to
point to where its status can be watched (15.3.3).
"""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, BinaryIO
from uuid import uuid4

from fastapi import (
    APIRouter,
    BackgroundTasks,
    Depends,
    FastAPI,
    HTTPException,
    Request,
    Response,
    UploadFile,
)

from course_app.job_store import Job, JobStore
from course_app.tasks import OUTBOX

FOLDER = OUTBOX / "jobs"
"""Where the jobs and the uploaded files are kept, below the folder in which the app starts."""
LIMIT = 1_000_000
"""Bytes that a file may have."""
PIECE = 64 * 1024
"""Bytes that are read at once."""
DIED = "The task ended before the work was done."


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[dict[str, JobStore]]:
    """Open the store when the app starts; fail what is not done when it stops."""
    store = JobStore(FOLDER)
    try:
        yield {"job_store": store}
    finally:
        store.close()


def get_store(request: Request) -> JobStore:
    """The store that the app has opened at its start."""
    store: JobStore = request.state.job_store
    return store


Store = Annotated[JobStore, Depends(get_store)]


async def watched_jobs(store: Store) -> AsyncIterator[list[str]]:
    """A list for the ids of the jobs that a request begins.

    What follows `yield` runs after the request's background tasks (FastAPI since 0.118), also if
    one of them was cancelled, or never started: a job that has not ended by then never will.
    """
    begun: list[str] = []
    try:
        yield begun
    finally:
        for job_id in begun:
            store.fail(job_id, DIED)


router = APIRouter(lifespan=lifespan)


@router.post("/files", status_code=202, response_model_exclude_none=True)
def accept_file(
    file: UploadFile,
    background_tasks: BackgroundTasks,
    answer: Response,
    store: Store,
    begun: Annotated[list[str], Depends(watched_jobs)],
) -> Job:
    """Answer at once; the words of the text file are counted after the response.

    `Location` says where to ask for the job, and `Retry-After` in how many seconds.
    """
    if (file.content_type or "").partition(";")[0].strip().lower() != "text/plain":
        given = file.content_type or "a file without a type"
        raise HTTPException(415, f"Send a text file (text/plain), not {given}.")
    job_id = uuid4().hex
    upload = store.upload_of(job_id)
    try:
        keep(file.file, upload)
        job = store.add(job_id)
    except BaseException:
        upload.unlink(missing_ok=True)
        raise
    begun.append(job_id)
    background_tasks.add_task(count_words, store, job_id, upload)
    answer.headers["Location"] = f"/jobs/{job_id}"
    answer.headers["Retry-After"] = "1"
    return job


@router.get("/jobs/{job_id}", response_model_exclude_none=True)
def read_job(job_id: str, store: Store) -> Job:
    """A job's state, and its progress, its result or the reason why it failed."""
    job = store.read(job_id)
    if job is None:
        raise HTTPException(404, "There is no such job.")
    return job


def keep(file: BinaryIO, path: Path) -> None:
    """Copy an uploaded file. Raises HTTPException if it is empty (400) or too large (413).

    By then the server has received all of it: a limit on that belongs in the proxy in front of it.
    """
    size = 0
    with path.open("wb") as copy:
        while piece := file.read(PIECE):
            size += len(piece)
            if size > LIMIT:
                raise HTTPException(413, f"The file has more than {LIMIT:,} bytes.")
            copy.write(piece)
    if size == 0:
        raise HTTPException(400, "The file is empty.")


def count_words(store: JobStore, job_id: str, upload: Path) -> None:
    """Count a text's words, slowly: 0.2 seconds a line."""
    number = words = 0
    try:
        lines = upload.read_bytes().splitlines()
        for number, line in enumerate(lines):
            store.report(job_id, 100 * number // len(lines))
            time.sleep(0.2)
            words += len(line.decode().split())
        store.finish(job_id, {"words": words})
    except FileNotFoundError:
        store.fail(job_id, "The uploaded file is gone.")
    except UnicodeDecodeError:
        store.fail(job_id, f"Line {number + 1} is not UTF-8.")
    except Exception as error:
        store.fail(job_id, f"{type(error).__name__} in line {number + 1}")

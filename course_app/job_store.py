"""Where the jobs of the app are kept: a SQLite file that all threads and worker processes share.

Each process holds a lock on a small file of its own for as long as it lives. The operating system
lets go of the lock with the process, however it ends, so a job that is not done and whose process
holds no lock has no task any more.
"""

import contextlib
import json
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal
from uuid import uuid4

State = Literal["queued", "running", "done", "failed"]
STOPPED = "The server was stopped before the work was done."
BUSY = 10.0
"""Seconds to wait while another thread or process writes."""
TABLES = """
    CREATE TABLE IF NOT EXISTS workers (worker TEXT PRIMARY KEY);
    CREATE TABLE IF NOT EXISTS jobs (
        id TEXT PRIMARY KEY, worker TEXT, state TEXT, progress INTEGER, result TEXT, reason TEXT
    );
"""
UNFINISHED = "state IN ('queued', 'running')"


@dataclass(frozen=True)
class Job:
    """What is known of a job."""

    state: State
    progress: int | None = None
    """Per cent, from 0 to 100; None if the job has failed."""
    result: dict[str, Any] | None = None
    """What came out, once the job is done."""
    reason: str | None = None
    """Why the job has failed."""


class JobStore:
    """The jobs below a folder, and their uploaded files. Any thread may use it.

    A job that is done or failed stays so: what its task reports later changes nothing. Every
    method raises sqlite3.OperationalError if the file cannot be read or written.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder.absolute()
        self._worker = uuid4().hex
        self._closed = False
        self._folder.mkdir(parents=True, exist_ok=True)
        self._lock = locked(self._lock_of(self._worker))
        with self._database() as database:
            database.executescript(TABLES)
            database.execute("INSERT INTO workers VALUES (?)", [self._worker])
        self.fail_orphans()

    def upload_of(self, job_id: str) -> Path:
        """Where the job's uploaded file belongs."""
        return self._folder / f"{job_id}.upload"

    def add(self, job_id: str) -> Job:
        """Keep a new job, which this process is going to work on."""
        with self._database() as database:
            database.execute(
                "INSERT INTO jobs VALUES (?, ?, 'queued', 0, NULL, NULL)", [job_id, self._worker]
            )
        return Job("queued", 0)

    def read(self, job_id: str) -> Job | None:
        """The job, or None if it is unknown. One whose process is gone has failed."""
        with self._database() as database:
            query = "SELECT state, progress, result, reason, worker FROM jobs WHERE id = ?"
            row = database.execute(query, [job_id]).fetchone()
        if row is None:
            return None
        state, progress, result, reason, worker = row
        if state in ("queued", "running") and not self._lives(worker):
            self._bury(worker)
            return self.read(job_id)
        return Job(state, progress, json.loads(result) if result else None, reason)

    def report(self, job_id: str, progress: int) -> None:
        """The task is at work and has come so far, in per cent."""
        self._change(job_id, "state = 'running', progress = ?", progress)

    def finish(self, job_id: str, result: dict[str, Any]) -> None:
        """The job is done; its uploaded file is removed."""
        self._change(job_id, "state = 'done', progress = 100, result = ?", json.dumps(result))
        self._remove(self.upload_of(job_id))

    def fail(self, job_id: str, reason: str) -> None:
        """The job has failed; its uploaded file is removed."""
        self._change(job_id, "state = 'failed', progress = NULL, reason = ?", reason)
        self._remove(self.upload_of(job_id))

    def fail_orphans(self) -> None:
        """Fail the jobs of all processes that are gone, and forget these processes."""
        with self._database() as database:
            workers = [worker for (worker,) in database.execute("SELECT worker FROM workers")]
        for worker in workers:
            if not self._lives(worker):
                self._bury(worker)

    def close(self) -> None:
        """Fail what this process has not done, and let go of its lock; idempotent."""
        if not self._closed:
            self._closed = True
            self._lock.close()
            self._bury(self._worker)

    def _change(self, job_id: str, what: str, value: str | int) -> None:
        with self._database() as database:
            database.execute(
                f"UPDATE jobs SET {what} WHERE id = ? AND {UNFINISHED}", [value, job_id]
            )

    def _lives(self, worker: str) -> bool:
        """Whether this process, or another one, holds the lock of that name."""
        lock = self._lock_of(worker)
        if worker == self._worker:
            return not self._closed
        if not lock.exists():
            return False
        try:
            locked(lock).close()
        except sqlite3.OperationalError:  # database is locked
            return True
        return False

    def _bury(self, worker: str) -> None:
        with self._database() as database:
            query = f"SELECT id FROM jobs WHERE worker = ? AND {UNFINISHED}"
            orphans = [job_id for (job_id,) in database.execute(query, [worker])]
        for job_id in orphans:
            self.fail(job_id, STOPPED)
        with self._database() as database:
            database.execute("DELETE FROM workers WHERE worker = ?", [worker])
        self._remove(self._lock_of(worker))

    def _remove(self, file: Path) -> None:
        with contextlib.suppress(OSError):  # where an open file cannot be removed, it stays
            file.unlink(missing_ok=True)

    def _lock_of(self, worker: str) -> Path:
        return self._folder / f"{worker}.lives"

    @contextlib.contextmanager
    def _database(self) -> Iterator[sqlite3.Connection]:
        """A connection for one change, which is written as a whole or not at all."""
        path = self._folder / "jobs.sqlite3"
        with contextlib.closing(sqlite3.connect(path, timeout=BUSY)) as database, database:
            yield database


def locked(file: Path) -> sqlite3.Connection:
    """A connection that has locked the file, until it is closed or its process has ended.

    Raises sqlite3.OperationalError if another connection has.
    """
    connection = sqlite3.connect(file, timeout=0, isolation_level=None, check_same_thread=False)
    try:
        connection.execute("PRAGMA journal_mode = MEMORY")  # no second file beside it
        connection.execute("BEGIN EXCLUSIVE")
    except BaseException:
        connection.close()
        raise
    return connection

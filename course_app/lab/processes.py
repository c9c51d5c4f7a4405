"""Celery workers and servers of the app, as processes of their own beside the kernel."""

import contextlib
import os
import signal
import sys
from collections.abc import Mapping
from pathlib import Path

from course_app.lab.broker import Broker
from course_app.lab.child_process import ChildProcess
from course_app.lab.uvicorn_process import UvicornProcess


class Worker(ChildProcess):
    """`celery -A APP worker`, with a name of its own and `processes` pool processes.

    It stops with its broker. Raises ChildError if it is not ready after 20 seconds.
    """

    def __init__(
        self,
        broker: Broker,
        name: str = "ada",
        *,
        app: str = "course_app.worker",
        processes: int = 1,
        folder: Path | str | None = None,
        env: Mapping[str, str] | None = None,
    ) -> None:
        command = [sys.executable, "-m", "celery", "-A", app, "worker", "--hostname", f"{name}@%h"]
        command += ["--concurrency", str(processes), "--loglevel", "INFO"]
        command += ["--without-mingle", "--without-gossip"]
        super().__init__(
            command,
            f"the worker {name}",
            ready=lambda log: " ready." in log,
            within=20.0,
            env={**broker.env, **(env or {})},
            folder=folder,
        )
        broker.close_first(self)

    def kill(self) -> None:
        """Kill it and its pool by SIGKILL, as a power cut would."""
        with contextlib.suppress(OSError):
            os.killpg(self.pid, signal.SIGKILL) if hasattr(os, "killpg") else super().kill()


class Api(UvicornProcess):
    """The finished app, or another one, served by uvicorn; it stops with its broker.

    Raises ChildError if it does not start within 15 seconds.
    """

    def __init__(
        self,
        broker: Broker,
        app: str = "course_app.main:app",
        *,
        folder: Path | str | None = None,
    ) -> None:
        super().__init__(app, folder=folder, env=broker.env, name="the API")
        broker.close_first(self)

"""A uvicorn server in a process of its own, which signals can end as they end one in production."""

import os
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from course_app.lab.child_process import ChildProcess

ADDRESS = re.compile(r"Uvicorn running on (http://127\.0\.0\.1:\d+)")


class UvicornProcess(ChildProcess):
    """`uvicorn APP`, started with `folder` as its current folder, on 127.0.0.1 and a free port.

    `graceful` is uvicorn's --timeout-graceful-shutdown in seconds: how long it waits for open
    requests and their tasks when it is told to end. None waits for as long as they take. Raises
    ChildError if the app does not start within `within` seconds.
    """

    def __init__(
        self,
        app: str,
        folder: Path | str | None = None,
        graceful: int | None = None,
        workers: int = 1,
        options: Sequence[str] = (),
        env: Mapping[str, str] | None = None,
        name: str = "uvicorn",
        within: float = 40.0,
    ) -> None:
        command = [sys.executable, "-m", "uvicorn", app, "--host", "127.0.0.1", "--port", "0"]
        command += ["--loop", "asyncio", "--workers", str(workers)]
        if graceful is not None:
            command += ["--timeout-graceful-shutdown", str(graceful)]
        super().__init__(
            [*command, *options],
            name,
            ready=lambda log: (
                bool(ADDRESS.search(log)) and log.count("Application startup complete.") >= workers
            ),
            env={**(os.environ if env is None else env), "PYTHONDONTWRITEBYTECODE": "1"},
            folder=folder,
            within=within,
        )
        found = ADDRESS.search(self.log)
        self.url = found[1] if found else ""
        """Where it serves: http://127.0.0.1:PORT."""

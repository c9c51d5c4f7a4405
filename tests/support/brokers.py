"""Real brokers from the operating system's packages, each a process of the test's own."""

import contextlib
import os
import random
import shutil
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from course_app.lab.child_process import ChildProcess, remove_folder, temporary_folder

RABBITMQ = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")
"""The server's own script: the one in /usr/sbin changes to another user and to its folders."""


def redis_missing() -> str:
    """Why no Redis can be started here; empty if it can."""
    return "" if shutil.which("redis-server") else "redis-server is not installed"


def rabbitmq_missing() -> str:
    """Why no RabbitMQ can be started here; empty if it can."""
    return "" if RABBITMQ.exists() and shutil.which("epmd") else "rabbitmq-server is not installed"


class Broker:
    """A running broker: its address for COURSE_BROKER, and a way to end it at once."""

    def __init__(self, url: str, process: ChildProcess) -> None:
        self.url = url
        self.process = process

    def kill(self) -> None:
        """End it by SIGKILL, and wait until it is gone."""
        self.process.kill()
        self.process.wait(5)


@contextmanager
def redis(address: str = "127.0.0.1", inside: Sequence[str] = ()) -> Iterator[Broker]:
    """A Redis with its append-only file on, listening on `address` alone.

    `inside` is put in front of its command: what moves it into a network namespace.
    """
    folder, port = temporary_folder("course-redis-"), free_port()
    command = ["redis-server", "--bind", address, "--port", str(port), "--appendonly", "yes"]
    command += ["--dir", str(folder), "--protected-mode", "no", "--save", ""]
    try:
        with ChildProcess(
            [*inside, *command], "redis-server", lambda log: "Ready to accept" in log, within=20
        ) as process:
            yield Broker(f"redis://{address}:{port}/0", process)
    finally:
        remove_folder(folder)


@contextmanager
def rabbitmq(address: str = "127.0.0.1", inside: Sequence[str] = ()) -> Iterator[Broker]:
    """A RabbitMQ with nothing from the machine's own configuration, listening on `address` alone.

    Its cookie, data and logs are in a folder of its own, and so is its port mapper, epmd: both
    listen on loopback, and end with it. `inside` is as for `redis`.
    """
    folder, (port, distribution, mapper) = temporary_folder("course-rabbitmq-"), free_ports(3)
    settings = folder / "rabbitmq.conf"
    settings.write_text(f"listeners.tcp.1 = {address}:{port}\nloopback_users = none\n")
    (folder / "plugins").write_text("[].\n")
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("RABBITMQ_", "ERL_"))
    } | {
        "HOME": str(folder),
        "ERL_EPMD_ADDRESS": "127.0.0.1",
        "ERL_EPMD_PORT": str(mapper),
        "RABBITMQ_CONFIG_FILE": str(settings),
        "RABBITMQ_CONF_ENV_FILE": str(folder / "none"),
        "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "plugins"),
        "RABBITMQ_NODENAME": "course@localhost",
        "RABBITMQ_DIST_PORT": str(distribution),
        "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1}",
        "RABBITMQ_MNESIA_BASE": str(folder),
        "RABBITMQ_LOG_BASE": str(folder),
        "RABBITMQ_PID_FILE": str(folder / "pid"),
        "RABBITMQ_LOGS": "-",
        "RUNNING_UNDER_SYSTEMD": "true",  # its script becomes the server instead of waiting for it
    }
    try:
        with (
            ChildProcess([*inside, "epmd"], "epmd", env=environment),
            ChildProcess(
                [*inside, str(RABBITMQ)],
                "rabbitmq-server",
                lambda log: "Server startup complete" in log,
                within=40,
                env=environment,
                folder=folder,
            ) as process,
        ):
            try:
                yield Broker(f"amqp://guest:guest@{address}:{port}//", process)
            finally:
                process.kill()  # nothing in it is worth the seconds of an orderly end
    finally:
        remove_folder(folder)


KINDS = {"redis": (redis, redis_missing), "rabbitmq": (rabbitmq, rabbitmq_missing)}


def free_port() -> int:
    return free_ports(1)[0]


def free_ports(count: int) -> list[int]:
    """As many ports of 127.0.0.1, below those that the system gives to clients."""
    found: set[int] = set()
    while len(found) < count:
        port = random.randint(20_000, 32_000)
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)):
            found.add(port)
    return list(found)

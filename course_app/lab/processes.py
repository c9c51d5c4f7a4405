"""Celery workers and servers of the app, as processes of their own beside the kernel."""

import contextlib
import os
import signal
import sys
import threading
from pathlib import Path

import httpx

from course_app.lab import recorder
from course_app.lab.broker import Broker
from course_app.lab.child_process import ChildProcess, remove_folder, temporary_folder
from course_app.lab.client import certificates
from course_app.lab.receiver import Receiver
from course_app.lab.uvicorn_process import UvicornProcess

OUTSIDE = Path(__file__).with_name("outside")
_receiver: Receiver | None = None
_subscribed: list[str] = []
_lock = threading.RLock()


def _subscribe(worker: str) -> str:
    """The address for a worker's spans; the first worker starts the receiver."""
    global _receiver
    with _lock:
        if _receiver is None:
            _receiver = Receiver(recorder.receive)
        _subscribed.append(worker)
        recorder.workers.add(worker)
        return _receiver.url


def _unsubscribe(worker: str) -> None:
    """The worker is gone; the last one ends the receiver."""
    global _receiver
    with _lock:
        recorder.worker_gone(worker)
        _subscribed.remove(worker)
        if not _subscribed and _receiver is not None:
            _receiver.close()
            _receiver = None


class Worker(ChildProcess):
    """`celery -A APP worker`, with a name of its own and `processes` pool processes.

    If it is `traced`, its jobs appear in the traces of the requests that sent them. It stops with
    its broker. Raises ChildError if it is not ready after `within` seconds.
    """

    def __init__(
        self,
        broker: Broker,
        name: str = "ada",
        *,
        app: str = "course_app.worker",
        processes: int = 1,
        traced: bool = True,
        within: float = 40.0,
        folder: Path | str | None = None,
    ) -> None:
        command = [sys.executable, "-m", "celery", "-A", app, "worker", "--hostname", f"{name}@%h"]
        command += ["--concurrency", str(processes), "--loglevel", "INFO"]
        command += ["--without-mingle", "--without-gossip"]
        self.worker = name
        """Its name, as the traces have it."""
        self._temporary = temporary_folder("course-worker-")  # a killed pool leaves its files
        env = {**broker.env, "TMPDIR": str(self._temporary)}
        self._traced = traced
        if traced:
            command += ["--include", "worker_spans"]
            path = filter(None, [str(OUTSIDE), os.environ.get("PYTHONPATH")])
            env |= {"COURSE_SPANS": _subscribe(name), "COURSE_WORKER": name}
            env["PYTHONPATH"] = os.pathsep.join(path)
        super().__init__(
            command,
            f"the worker {name}",
            ready=lambda log: " ready." in log,
            within=within,
            env=env,
            folder=folder,
        )
        broker.close_first(self)

    def kill(self) -> None:
        """Kill it and its pool by SIGKILL, as a power cut would."""
        with contextlib.suppress(OSError):
            os.killpg(self.pid, signal.SIGKILL) if hasattr(os, "killpg") else super().kill()
        with contextlib.suppress(TimeoutError):
            self.wait(2.0)
        if self._traced:
            recorder.worker_gone(self.worker)

    def stop(self, grace: float = 3.0) -> None:
        super().stop(grace)
        remove_folder(self._temporary)
        with _lock:
            traced, self._traced = self._traced, False
            if traced:
                _unsubscribe(self.worker)


class Api(UvicornProcess):
    """The finished app, or another one, served by uvicorn; it stops with its broker.

    Raises ChildError if it does not start within 40 seconds.
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

    def get(self, path: str) -> httpx.Response:
        """Send a request and wait for the response; raises httpx.HTTPError if none comes."""
        return self._send("GET", path)

    def post(self, path: str) -> httpx.Response:
        """Send a request and wait for the response; raises httpx.HTTPError if none comes."""
        return self._send("POST", path)

    def _send(self, method: str, path: str) -> httpx.Response:
        url, verify = self.url + path, certificates()
        return httpx.request(method, url, timeout=60, trust_env=False, verify=verify)

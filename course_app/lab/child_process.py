"""A process of its own beside the kernel: started with a time limit, and never left behind."""

import atexit
import collections
import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO, Self

from course_app.lab.errors import LabError

LINES = 1000
"""How many lines of its log a child keeps."""
_guard: "subprocess.Popen[str] | None" = None
_lock = threading.RLock()
_owner = os.getpid()
_alive: "list[ChildProcess]" = []
_folders: list[Path] = []


class ChildError(LabError):
    """A child process did not start; the text ends with the last lines of its log."""


class ChildProcess:
    """A process in a session of its own, so that a kernel's interrupt does not reach it.

    The constructor waits until `ready`, which is given the log so far, says yes. It raises
    ChildError if the process ends before that, or is not ready after `within` seconds. The process
    and what it has started end with `stop`, at the kernel's exit, and when the kernel is killed.
    """

    def __init__(
        self,
        command: Sequence[str],
        name: str,
        ready: Callable[[str], bool] = lambda log: True,
        within: float = 15.0,
        env: Mapping[str, str] | None = None,
        folder: Path | str | None = None,
    ) -> None:
        self.name = name
        self._lines: collections.deque[str] = collections.deque(maxlen=LINES)
        with _lock:
            tell_guard("+")  # starts it: from the first moment on the child has a guard
            try:
                self._process = subprocess.Popen(
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.STDOUT,
                    env=None if env is None else dict(env),
                    cwd=folder,
                    text=True,
                    encoding="utf-8",
                    errors="replace",
                    start_new_session=True,
                )
            except OSError as error:
                dismiss_guard()
                raise ChildError(f"{name} could not be started: {error}") from None
            _alive.append(self)
            tell_guard(f"+{self.pid}")
        self._reader = threading.Thread(
            target=self._read, name=f"course_app log of {name}", daemon=True
        )
        self._reader.start()
        try:
            self._wait_until(ready, within)
        except BaseException:  # an interrupted cell leaves no process either
            self.stop(grace=0.5)
            raise

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def running(self) -> bool:
        return self.returncode is None

    @property
    def returncode(self) -> int | None:
        """None while it runs; the negative number of the signal that killed it."""
        return self._process.poll()

    @property
    def log(self) -> str:
        """What it has written to its standard output and error so far: its last LINES lines."""
        return "".join(self._lines.copy())

    def send(self, number: int) -> None:
        """Send a signal to the process alone; nothing happens if it has ended."""
        self._process.send_signal(number)

    def kill(self) -> None:
        """Kill the process alone, by SIGKILL: it cannot prepare for it."""
        self._process.kill()

    def wait(self, timeout: float) -> int:
        """The return code, once it has ended; raises TimeoutError after `timeout` seconds."""
        try:
            return self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            raise TimeoutError(f"{self.name} had not ended after {timeout:g} seconds") from None

    def stop(self, grace: float = 3.0) -> None:
        """End it and what it has started: by SIGTERM, and after `grace` seconds by SIGKILL."""
        if self not in _alive:
            return
        try:
            if self.running:
                self._process.terminate()
                with contextlib.suppress(TimeoutError):
                    self.wait(grace)
        finally:  # also when the wait is interrupted
            with contextlib.suppress(OSError):
                os.killpg(self.pid, signal.SIGKILL) if hasattr(os, "killpg") else self.kill()
            self._process.wait()
            with _lock, contextlib.suppress(ValueError):  # another thread may stop it too
                _alive.remove(self)
                tell_guard(f"-{self.pid}")
                dismiss_guard()
            self._reader.join(1.0)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _read(self) -> None:
        output: IO[str] = self._process.stdout  # type: ignore[assignment]
        with output:
            for line in output:
                self._lines.append(line)

    def _wait_until(self, ready: Callable[[str], bool], within: float) -> None:
        deadline = time.monotonic() + within
        while not ready(self.log):
            if not self.running:
                self._reader.join(1.0)
                raise ChildError(f"{self.name} ended before it was ready.{self._last_lines()}")
            if time.monotonic() > deadline:
                raise ChildError(
                    f"{self.name} was not ready after {within:g} seconds.{self._last_lines()}"
                )
            time.sleep(0.02)

    def _last_lines(self) -> str:
        lines = self.log.splitlines()[-15:]
        return "\n".join([" The end of its log:", *lines]) if lines else " It wrote nothing."


def temporary_folder(prefix: str) -> Path:
    """A folder for this user alone, which goes when the kernel does, however the kernel ends."""
    folder = Path(tempfile.mkdtemp(prefix=prefix))
    with _lock:
        _folders.append(folder)
        tell_guard(f"+{folder}")
    return folder


def remove_folder(folder: Path) -> None:
    """Remove a folder of `temporary_folder` before the kernel ends."""
    with _lock:
        shutil.rmtree(folder, ignore_errors=True)
        if folder in _folders:
            _folders.remove(folder)
            tell_guard(f"-{folder}")
            dismiss_guard()


def tell_guard(line: str) -> None:
    """Send a line to the guard process, which is there while there is something to guard."""
    global _guard
    with _lock:
        if _guard is None or _guard.poll() is not None:
            script = str(Path(__file__).with_name("guard.py"))
            _guard = subprocess.Popen(
                [sys.executable, "-I", "-S", script],
                stdin=subprocess.PIPE,
                text=True,
                start_new_session=True,
            )
            held = [f"+{child.pid}" for child in _alive] + [f"+{folder}" for folder in _folders]
            line = "\n".join([*held, line])
        pipe: IO[str] = _guard.stdin  # type: ignore[assignment]
        pipe.write(f"{line}\n")
        pipe.flush()


def dismiss_guard() -> None:
    """End the guard process, if there is nothing left to guard."""
    global _guard
    with _lock:
        if _guard is not None and not _alive and not _folders:
            with contextlib.suppress(OSError):
                _guard.communicate(timeout=5)
            _guard = None


@atexit.register
def stop_all() -> None:
    """Stop every child and remove every folder: called at the kernel's exit."""
    if os.getpid() != _owner:  # a forked copy of the kernel ends, not the kernel
        return
    with _lock:
        children, folders = list(_alive), list(_folders)
    for child in children:
        with contextlib.suppress(OSError):
            child._process.terminate()  # all at once, so that they end side by side
    for child in children:
        child.stop()
    for folder in folders:
        remove_folder(folder)

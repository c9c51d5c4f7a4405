"""Ends what a process has started once that process is gone, also if it was killed by SIGKILL.

`child_process` runs this file as a script, with the standard library alone. It reads lines: `+PID`
and `-PID` for the process groups to watch over, `+PATH` and `-PATH` for folders. At the end of its
input, or when another process has become its parent (a forked child may still hold the input
open), it ends the groups, removes the folders, and ends.
"""

import contextlib
import os
import shutil
import signal
import sys
import threading
import time

GRACE = 1.5
"""Seconds between SIGTERM and SIGKILL."""
LOOK = 0.25
"""Seconds between two looks at the parent."""

held: set[str] = set()
ending = threading.Lock()


def end_all() -> None:
    """End every group and remove every folder that is still held; then this process."""
    ending.acquire()  # never released: the other thread waits here until the process is gone
    groups = [int(name) for name in held if name.isdigit()]
    send(groups, signal.SIGTERM)
    deadline = time.monotonic() + GRACE
    while any(map(alive, groups)) and time.monotonic() < deadline:
        time.sleep(0.05)
    send(groups, getattr(signal, "SIGKILL", signal.SIGTERM))
    for name in held:
        if not name.isdigit():
            shutil.rmtree(name, ignore_errors=True)
    os._exit(0)


def send(groups: list[int], number: int) -> None:
    for group in groups:
        with contextlib.suppress(OSError):
            os.killpg(group, number) if hasattr(os, "killpg") else os.kill(group, number)


def alive(group: int) -> bool:
    if not hasattr(os, "killpg"):
        return False
    try:
        os.killpg(group, 0)
    except OSError:
        return False
    return True


def watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(LOOK)
    end_all()


if __name__ == "__main__":
    threading.Thread(target=watch, args=[os.getppid()], daemon=True).start()
    for line in sys.stdin:
        what, name = line[0], line[1:].rstrip("\n")
        if name:
            held.add(name) if what == "+" else held.discard(name)
    end_all()

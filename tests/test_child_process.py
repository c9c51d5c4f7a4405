"""Processes beside the kernel: started with a time limit, and ended with it, however it ends."""

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import httpx
import pytest

from course_app.lab import ChildError, ChildProcess, UvicornProcess
from course_app.lab.child_process import remove_folder, temporary_folder
from tests.support.benches import ROOT, becomes, holdings

SLEEPER = [sys.executable, "-c", "import time; print('ready', flush=True); time.sleep(60)"]
STUBBORN = [
    sys.executable,
    "-c",
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN);"
    "print('ready', flush=True); time.sleep(60)",
]
PARENT = [  # its own child is as stubborn as it is
    sys.executable,
    "-c",
    "import os, signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN);"
    "pid = os.fork();"
    'os.write(1, f\'{"ready" if pid else "forked"} {os.getpid()}\\n\'.encode());'
    "time.sleep(60)",
]


def ready(log: str) -> bool:
    return "ready" in log


def gone(pid: int) -> bool:
    """Whether the process has ended; one that nobody has waited for yet counts as ended."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except OSError:
        return True
    return state == "Z"


def forked(child: ChildProcess) -> int:
    assert becomes(lambda: "forked" in child.log)
    return next(int(line.split()[1]) for line in child.log.splitlines() if "forked" in line)


def test_a_child_is_ready_when_its_log_says_so_and_stops() -> None:
    with ChildProcess(SLEEPER, "the sleeper", ready) as child:
        assert child.running
        assert child.log == "ready\n"
    assert child.returncode == -signal.SIGTERM
    child.stop()


def test_a_child_that_ends_early_is_an_error_with_the_end_of_its_log() -> None:
    command = [sys.executable, "-c", "print('no such broker'); raise SystemExit(3)"]
    with pytest.raises(ChildError) as error:
        ChildProcess(command, "the worker", ready=lambda log: False)
    assert str(error.value) == (
        "the worker ended before it was ready. The end of its log:\nno such broker"
    )


def test_a_child_that_is_not_ready_in_time_is_stopped() -> None:
    begun = time.monotonic()
    with pytest.raises(ChildError, match=r"the worker was not ready after 0\.5 seconds"):
        ChildProcess(STUBBORN, "the worker", ready=lambda log: False, within=0.5)
    assert time.monotonic() - begun < 5


def test_a_command_that_does_not_exist_is_an_error() -> None:
    with pytest.raises(ChildError, match="redis-sorcerer could not be started: "):
        ChildProcess(["redis-sorcerer"], "redis-sorcerer")


def test_stop_ends_a_child_that_ignores_sigterm_and_what_it_has_started() -> None:
    child = ChildProcess(PARENT, "the parent", ready)
    grandchild = forked(child)
    child.stop(grace=0.3)
    assert child.returncode == -signal.SIGKILL
    assert becomes(lambda: gone(grandchild))


def test_kill_ends_the_child_alone() -> None:
    with ChildProcess(PARENT, "the parent", ready) as child:
        grandchild = forked(child)
        child.kill()
        assert child.wait(5) == -signal.SIGKILL
        assert not gone(grandchild)
    assert becomes(lambda: gone(grandchild))


def test_wait_has_a_limit() -> None:
    with (
        ChildProcess(SLEEPER, "the sleeper", ready) as child,
        pytest.raises(TimeoutError, match=r"the sleeper had not ended after 0\.1 seconds"),
    ):
        child.wait(0.1)


def test_nothing_is_left_once_the_last_child_and_folder_are_gone() -> None:
    before = holdings()
    folder = temporary_folder("course-test-")
    with ChildProcess(SLEEPER, "the sleeper", ready):
        assert holdings() != before
    remove_folder(folder)
    with pytest.raises(ChildError):
        ChildProcess(["redis-sorcerer"], "redis-sorcerer")
    assert holdings() == before


def test_a_folder_is_this_users_alone_and_goes() -> None:
    folder = temporary_folder("course-test-")
    assert folder.stat().st_mode & 0o777 == 0o700
    (folder / "file").write_text("full")
    remove_folder(folder)
    assert not folder.exists()


KERNEL = f"""
import os, sys, time
from course_app.lab import ChildProcess
from course_app.lab.child_process import temporary_folder
one = ChildProcess({PARENT!r}, "one", lambda log: "ready" in log and "forked" in log)
two = ChildProcess({SLEEPER!r}, "two", lambda log: "ready" in log)
pids = [str(one.pid), *(l.split()[1] for l in one.log.splitlines() if "forked" in l), str(two.pid)]
folder = temporary_folder("course-test-")
(folder / "file").write_text("full")
"""


@pytest.mark.parametrize(
    ("end", "status"),
    [
        ("os.kill(os.getpid(), 9)", -9),
        ("sys.exit(0)", 0),
        ("raise ValueError", 1),
        # a forked child that holds every descriptor of the killed process
        ("os.fork() or [os.close(1), os.close(2), time.sleep(20)]; os.kill(os.getpid(), 9)", -9),
    ],
)
def test_nothing_is_left_of_a_process_that_ends_or_is_killed(end: str, status: int) -> None:
    code = f"{KERNEL}\nprint(*pids, folder, flush=True)\n{end}\n"
    ended = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    assert ended.returncode == status, ended.stderr
    *pids, folder = ended.stdout.split()
    assert len(pids) == 3
    assert becomes(lambda: all(gone(int(pid)) for pid in pids), seconds=5)
    assert becomes(lambda: not Path(folder).exists(), seconds=5)


def test_the_end_of_a_forked_copy_ends_nothing() -> None:
    code = f"""{KERNEL}
if os.fork() == 0:
    sys.exit(0)
os.wait()
time.sleep(0.5)
print(one.running, two.running, folder.exists())
"""
    ended = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert ended.stdout == "True True True\n", ended.stderr


def test_an_interrupted_start_leaves_no_process() -> None:
    code = f"""
import os, signal, threading
from course_app.lab import ChildProcess
from course_app.lab import child_process
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background ignores it
threading.Timer(0.7, os.kill, [os.getpid(), signal.SIGINT]).start()
try:
    ChildProcess({SLEEPER!r}, "the sleeper", ready=lambda log: False)
except KeyboardInterrupt:
    print(len(child_process._alive))
"""
    ended = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert ended.stdout == "0\n", ended.stderr


APP = """
import time
from fastapi import FastAPI

app = FastAPI()


@app.get("/")
def read() -> str:
    return "here"
"""


def test_uvicorn_serves_the_app_of_a_folder(tmp_path: Path) -> None:
    (tmp_path / "small.py").write_text(textwrap.dedent(APP))
    with (
        UvicornProcess("small:app", folder=tmp_path) as api,
        httpx.Client(trust_env=False) as client,
    ):
        for _ in range(1100):  # more lines than the log keeps
            assert client.get(f"{api.url}/").json() == "here"
        assert api.log.count("\n") <= 1000
        assert client.get(f"{api.url}/").json() == "here"
        os.kill(api.pid, signal.SIGTERM)
        assert api.wait(10) in (0, -signal.SIGTERM)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["small.py"]


def test_uvicorn_has_as_many_workers_as_it_is_told(tmp_path: Path) -> None:
    (tmp_path / "small.py").write_text(textwrap.dedent(APP))
    with UvicornProcess("small:app", folder=tmp_path, workers=2) as api:
        assert api.log.count("Started server process") == 2


def test_an_app_that_does_not_start_is_an_error_with_its_reason(tmp_path: Path) -> None:
    (tmp_path / "small.py").write_text("raise RuntimeError('no database')")
    with pytest.raises(ChildError, match="no database"):
        UvicornProcess("small:app", folder=tmp_path)

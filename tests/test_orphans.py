"""A kernel is killed while its workers are busy: nothing of what it has started is left."""

import contextlib
import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support import cells
from tests.support.benches import becomes
from tests.support.marked import MARK, marked

START = """
import os, time
from pathlib import Path
import httpx
from course_app.lab.broker import Broker
from course_app.lab.processes import Api, Worker

broker = Broker()
workers = [Worker(broker, name, processes=2, folder={folder!r}) for name in ("ada", "grace")]
api = Api(broker, folder={folder!r})
ledger = Path({folder!r}, "outbox", "ledger.txt")
with httpx.Client(base_url=api.url, trust_env=False) as client:
    for number in range(8):
        answer = client.post(f"/reports/{{number}}", params={{"computing": 5}})
        assert answer.status_code == 202, answer.text
    client.post("/reports/8/here", params={{"computing": 5}})
deadline = time.monotonic() + 20
while not ledger.exists() or ledger.read_text().count("begun") < 5:
    assert time.monotonic() < deadline, [worker.log for worker in workers]
    time.sleep(0.05)
assert "done" not in ledger.read_text()
print(os.getpid(), api.pid, *[worker.pid for worker in workers])
"""


def test_nothing_is_left_5_seconds_after_the_kernel_is_killed_with_its_workers_busy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, temporary = tmp_path / "work", tmp_path / "temporary"
    folder.mkdir()
    temporary.mkdir()
    mark = f"orphans-{os.getpid()}"
    monkeypatch.setenv(MARK, mark)
    monkeypatch.setenv("TMPDIR", str(temporary))
    monkeypatch.delenv("COURSE_BROKER", raising=False)
    with cells.kernel(tmp_path) as kernel, nothing_of(mark, temporary):
        shown = kernel.run(START.format(folder=str(folder)), timeout=60)
        assert not shown.error, shown.error
        pid, *started = map(int, shown.text.split())
        before = marked(mark, temporary)
        assert set(started) < set(before)
        # the kernel, its guard, a broker, the API, two workers of two processes each
        assert len(before) >= 10, before
        assert list(temporary.glob("course-*"))

        os.kill(pid, signal.SIGKILL)
        killed = time.monotonic()
        assert becomes(lambda: not marked(mark, temporary), seconds=5), marked(mark, temporary)
        assert becomes(lambda: not list(temporary.iterdir()), seconds=1), list(temporary.iterdir())
        assert time.monotonic() - killed < 5


@contextmanager
def nothing_of(mark: str, folder: Path) -> Iterator[None]:
    """What is left when the test has failed is ended here."""
    try:
        yield
    finally:
        for pid in marked(mark, folder):
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)

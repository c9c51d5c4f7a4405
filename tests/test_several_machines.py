"""Broker, API and two workers on machines of their own, and a cable taken out in the middle.

The broker is Redis, which starts in a moment, RabbitMQ in 5 seconds. Redis gives a job out again
when nobody has said within the `visibility_timeout` that it is done. RabbitMQ does so when it has
missed two heartbeats of the worker, which it expects every 60 seconds unless its settings say less:
with `heartbeat = 2` all was done 6 seconds after the cable was out, as with Redis and a timeout of
4; with its own settings, the job of the worker that was cut off still waited after 50.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path

import pytest

from course_app.lab.child_process import ChildProcess
from tests.support import brokers, namespaces
from tests.support.benches import ROOT, becomes
from tests.support.marked import MARK, marked

pytestmark = pytest.mark.skipif(bool(namespaces.missing()), reason=namespaces.missing())

REPORTS = range(3)
SECONDS = 1.0
"""Processor time of a report: the cable is out long before the report is done."""

SEND = f"""
import json, sys, httpx
with httpx.Client(base_url=sys.argv[1], trust_env=False) as client:
    answers = [client.post(f"/reports/{{n}}", params={{"computing": {SECONDS}}}) for n in {REPORTS}]
    print(json.dumps([[answer.status_code, answer.headers["Location"]] for answer in answers]))
"""
WAIT = """
import json, sys, time, httpx
jobs, deadline = json.loads(sys.argv[2]), time.monotonic() + float(sys.argv[3])
with httpx.Client(base_url=sys.argv[1], trust_env=False) as client:
    while True:
        states = [client.get(job).json() for job in jobs]
        if all(s["status"] in ("done", "failed") for s in states) or time.monotonic() > deadline:
            break
        time.sleep(0.2)
print(json.dumps([[state["status"], state["result"]] for state in states]))
"""
REACH = "import socket, sys; socket.create_connection((sys.argv[1], 8000), 0.5)"


def test_every_job_is_done_although_a_worker_loses_its_network(tmp_path: Path) -> None:
    if brokers.redis_missing():
        pytest.skip(brokers.redis_missing())
    begun = time.monotonic()
    with ExitStack() as stack:
        machines = stack.enter_context(namespaces.network("broker", "api", "alpha", "beta"))
        broker = machines["broker"]
        redis = stack.enter_context(brokers.redis(broker.address, broker.inside))
        settings = {"COURSE_BROKER": redis.url, "COURSE_RESULTS": redis.url}
        api = stack.enter_context(serve(machines["api"], settings, tmp_path))
        workers = {
            name: stack.enter_context(work(machines[name], settings, tmp_path))
            for name in ("alpha", "beta")
        }
        both = workers.values()
        assert becomes(lambda: all("ready." in worker.log for worker in both), seconds=30)

        client = machines["switch"]
        url = f"http://{machines['api'].address}:8000"
        answers = json.loads(client.run(sys.executable, "-c", SEND, url, timeout=20))
        assert [status for status, _ in answers] == [202] * len(REPORTS)

        assert becomes(lambda: "begun" in ledger(tmp_path, "alpha"), seconds=20)
        machines.cut("alpha")
        assert "done" not in ledger(tmp_path, "alpha"), "the cable was taken out too late"
        (in_work,) = numbers(tmp_path, "alpha", "begun")
        with pytest.raises(RuntimeError, match=r"timed out|No route"):
            machines["alpha"].run(sys.executable, "-c", REACH, machines["api"].address)

        jobs = json.dumps([job for _, job in answers])
        states = json.loads(client.run(sys.executable, "-c", WAIT, url, jobs, "35", timeout=45))
        assert states == [["done", f"report {n}"] for n in REPORTS], workers["beta"].log
        # alpha went on with what it had; nobody heard of it, and beta did it again
        assert sorted(numbers(tmp_path, "beta", "done")) == list(REPORTS)
        assert numbers(tmp_path, "alpha", "begun") == [in_work]
        pids = [machine.holder.pid for machine in machines.values()]
        pids += [worker.pid for worker in workers.values()] + [api.pid]
    assert not [pid for pid in pids if Path(f"/proc/{pid}").exists()]
    assert time.monotonic() - begun < 60


def serve(
    machine: namespaces.Machine, settings: dict[str, str], folder: Path
) -> AbstractContextManager[ChildProcess]:
    command = ["-m", "uvicorn", "course_app.main:app", "--host", machine.address, "--port", "8000"]
    return start_on(machine, command, settings, folder, "Uvicorn running on")


def work(
    machine: namespaces.Machine, settings: dict[str, str], folder: Path
) -> AbstractContextManager[ChildProcess]:
    """A worker; it is given the time to be ready while others start, too."""
    command = ["-m", "celery", "-A", "course_app.worker", "worker"]
    command += ["--concurrency", "1", "--loglevel", "info", "--without-mingle", "--without-gossip"]
    return start_on(machine, command, settings, folder, "")


@contextmanager
def start_on(
    machine: namespaces.Machine,
    command: list[str],
    settings: dict[str, str],
    folder: Path,
    ready: str,
) -> Iterator[ChildProcess]:
    own = folder / machine.name
    own.mkdir()
    process = ChildProcess(
        [*machine.inside, sys.executable, *command],
        f"what runs on {machine.name}",
        ready=lambda log: ready in log,
        within=30,
        env={**os.environ, **settings},
        folder=own,
    )
    try:
        yield process
    finally:
        process.stop(grace=0)  # a worker without a network would take its time


def ledger(folder: Path, machine: str) -> str:
    """What the worker on this machine has noted of its reports, a line each."""
    file = folder / machine / "outbox" / "ledger.txt"
    return file.read_text() if file.exists() else ""


def numbers(folder: Path, machine: str, what: str) -> list[int]:
    lines = [line.split() for line in ledger(folder, machine).splitlines()]
    return [int(number) for number, noted in lines if noted == what]


KILLED = """
import os, signal, sys
from contextlib import ExitStack
from course_app.lab.child_process import ChildProcess
from tests.support.namespaces import network

with ExitStack() as stack:
    machines = stack.enter_context(network("one", "two"))
    for machine in machines.values():
        ChildProcess([*machine.inside, "sh", "-c", "sleep 60 & echo ready; wait"], machine.name,
                     lambda log: "ready" in log)
    print(machines["one"].run("ip", "-brief", "address"), flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_nothing_is_left_of_the_machines_of_a_test_that_is_killed() -> None:
    here = subprocess.run(["ip", "-brief", "link"], capture_output=True, text=True).stdout
    mark = f"machines-{os.getpid()}"
    ended = subprocess.run(
        [sys.executable, "-c", KILLED],
        cwd=ROOT,
        env={**os.environ, MARK: mark},
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert "10.77.0.2/24" in ended.stdout, ended.stderr
    assert becomes(lambda: not marked(mark), seconds=5), marked(mark)
    now = subprocess.run(["ip", "-brief", "link"], capture_output=True, text=True).stdout
    assert now == here

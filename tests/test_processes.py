"""Workers and servers of the app as processes: their traces, their names, and their end."""

import asyncio
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from fastapi import FastAPI

from course_app import reports, worker
from course_app.lab import Bench, ChildError, LabError
from course_app.lab.asker import Asker
from course_app.lab.broker import Broker
from course_app.lab.processes import Api, Worker
from tests.support.answers import nothing_left_behind
from tests.support.benches import becomes

app = FastAPI()


@app.post("/reports/{number}", status_code=202)
def send(number: int, waiting: float = 0.3) -> None:
    worker.make_report.delay(number, computing=0.01, waiting=waiting)


@pytest.fixture
def broker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Broker]:
    monkeypatch.chdir(tmp_path)
    with nothing_left_behind(), Broker() as opened:
        opened.use(worker.celery)
        yield opened


def noted(what: str) -> list[str]:
    if not reports.LEDGER.exists():
        return []
    return [line for line in reports.LEDGER.read_text().splitlines() if line.endswith(what)]


def pool_of(process: Worker) -> list[psutil.Process]:
    return list(psutil.Process(process.pid).children())


def test_one_trace_has_the_request_and_the_work_in_another_process(broker: Broker) -> None:
    async def play(bench: Bench) -> None:
        await bench.post("/reports/1")
        waiting = bench.traces[-1]
        assert waiting.status == 202
        trace = await bench.finished()
        assert str(trace) == (
            "POST /reports/1\n  1  response 202 arrived\n  2  make_report on ada finished"
        )
        (run,) = trace.tasks
        assert run.worker == "ada"
        assert run.ended is not None
        assert 0.3 < run.ended - run.started < 3
        assert run.started > 0
        assert any(detail.name.startswith("apply_async/") for detail in trace.details)
        await bench.post("/reports/2")
        assert (await bench.finished()).tasks[0].name == "make_report"

    with Worker(broker, name="ada"):
        bench = Bench(app)
        asyncio.run(play(bench))
        bench.close()
    assert reports.made == []


def test_two_workers_share_the_jobs_and_a_killed_ones_is_seen(broker: Broker) -> None:
    async def play(bench: Bench) -> None:
        for number in range(2):
            await bench.post(f"/reports/{number}", params={"waiting": 2})
        assert await asyncio.to_thread(becomes, lambda: len(noted("begun")) == 2)
        ada.kill()
        errors = {run.worker: run.error for trace in bench.traces for run in trace.tasks}
        assert errors == {"ada": "its worker is gone", "bob": None}
        assert [trace.queued for trace in bench.traces if trace.tasks[0].worker == "ada"] == [
            ("make_report",)
        ]

    ada, bob = Worker(broker, name="ada"), Worker(broker, name="bob")
    pool = pool_of(ada)
    assert len(pool) == 1
    bench = Bench(app)
    asyncio.run(play(bench))
    bench.close()
    assert not ada.running
    assert becomes(lambda: not any(child.is_running() for child in pool))
    bob.stop()


def test_a_job_whose_pool_process_is_killed_is_run_again_at_once(broker: Broker) -> None:
    async def play(bench: Bench) -> None:
        await bench.post("/reports/1", params={"waiting": 1})
        assert await asyncio.to_thread(becomes, lambda: len(noted("begun")) == 1)
        os.kill(pool_of(ada)[0].pid, signal.SIGKILL)
        trace = await bench.finished()
        assert [run.error for run in trace.tasks] == ["its worker is gone", None]
        assert trace.queued == ()

    ada = Worker(broker, name="ada")
    bench = Bench(app)
    asyncio.run(play(bench))
    bench.close()
    assert (len(noted("begun")), len(noted("done"))) == (2, 1)


def test_a_killed_worker_loses_no_job_and_a_killed_api_loses_its_background_tasks(
    broker: Broker,
) -> None:
    query = "?waiting=1&computing=0.01"
    api = Api(broker)
    assert [api.post(f"/reports/{n}/here{query}").status_code for n in range(3)] == [202] * 3
    api.kill()
    api.wait(5)
    assert not becomes(lambda: noted("done") != [], seconds=1.5)
    reports.LEDGER.unlink()

    api, ada = Api(broker), Worker(broker, name="ada")
    assert [api.post(f"/reports/{n}{query}").status_code for n in range(3)] == [202] * 3
    api.kill()
    assert becomes(lambda: noted("begun") != [])
    ada.kill()
    Worker(broker, name="bob")
    assert becomes(lambda: len(set(noted("done"))) == 3, seconds=40)
    assert len(noted("begun")) > len(set(noted("begun")))


def test_a_worker_that_does_not_start_says_why(broker: Broker) -> None:
    with pytest.raises(ChildError, match="The module no_such_module was not found"):
        Worker(broker, app="no_such_module")
    with pytest.raises(ChildError, match=r"the worker ada was not ready after 0\.3 seconds"):
        Worker(broker, within=0.3)


def test_a_broker_stops_what_hangs_on_it(broker: Broker) -> None:
    ada, api = Worker(broker, name="ada"), Api(broker)
    broker.close()
    assert not ada.running
    assert not api.running


def test_the_asker_sees_a_server_that_is_kept_busy(broker: Broker) -> None:
    api = Api(broker)
    with Asker(f"{api.url}/reports/ping") as asker:
        idle = asyncio.run(asker.median(0.6))
        for number in range(4):
            api.post(f"/reports/{number}/here?computing=0.5")
        busy = asyncio.run(asker.median(0.6))
        assert busy > 3 * idle
        api.kill()
        with pytest.raises(LabError, match="Is the server still there"):
            asyncio.run(impatient(asker))


async def impatient(asker: Asker) -> float:
    asyncio.get_running_loop().call_later(0.6, asker.kill)
    return await asker.median(0.4)

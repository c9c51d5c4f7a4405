"""Requests, waiting, and closing: whatever the app does, a sentence and no hang."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import httpx
import pytest
from fastapi import BackgroundTasks, FastAPI
from fastapi.responses import StreamingResponse

from course_app.lab import Bench, LabError, RequestError, StillRunning
from course_app.lab import bench as bench_module
from tests.support.benches import becomes, holdings, on_a_bench


def app_with(*tasks: Callable[..., Any]) -> FastAPI:
    app = FastAPI()

    @app.get("/")
    def read_root() -> int:
        return 1

    @app.get("/task")
    async def add_tasks(background_tasks: BackgroundTasks) -> None:
        for task in tasks:
            background_tasks.add_task(task)

    @app.get("/slow")
    async def read_slowly() -> int:
        await asyncio.sleep(1.5)
        return 2

    @app.get("/stream")
    async def stream() -> StreamingResponse:
        async def chunks() -> AsyncIterator[str]:
            while True:
                yield "x"
                await asyncio.sleep(0.05)

        return StreamingResponse(chunks())

    return app


@pytest.fixture
def bench() -> Iterator[Bench]:
    bench = Bench(app_with())
    yield bench
    bench.close()


# Requests


def test_methods_and_options(bench: Bench) -> None:
    async def story() -> None:
        for method in (bench.get, bench.post, bench.put, bench.patch, bench.delete):
            response = await method("/", params={"q": "a b"}, headers={"x": "y"})
            name = method.__name__.upper()
            assert response.request.method == name
            assert response.status_code == (200 if name == "GET" else 405)
            assert str(response.url) == f"{bench.url}/?q=a+b"
        assert (await bench.request("OPTIONS", "/")).status_code == 405
        assert (await bench.get("")).json() == 1, "a path without a slash"
        assert (await bench.get(f"{bench.url}/")).json() == 1, "a whole address"
        assert (await bench.get("/", auth=("ada", "x"))).request.headers["authorization"]

    asyncio.run(story())


async def broken_body() -> AsyncIterator[bytes]:
    yield b"x"
    raise ValueError("not the bench's error")


CANNOT_BE_BUILT: dict[str, tuple[Any, dict[str, Any]]] = {
    "a number for a path": (42, {}),
    "no path": (None, {}),
    "a control character": ("/\x00", {}),
    "half a character": ("/\udcff", {}),
    "no JSON": ("/", {"json": {1, 2}}),
    "no mapping": ("/", {"params": 5}),
    "no option": ("/", {"body": "x"}),
    "no content": ("/", {"content": 5}),
    "no ASCII": ("/", {"headers": {"x": "ä"}}),
}


@pytest.mark.parametrize(("path", "options"), CANNOT_BE_BUILT.values(), ids=CANNOT_BE_BUILT.keys())
def test_what_is_no_request(bench: Bench, path: Any, options: dict[str, Any]) -> None:
    with pytest.raises(RequestError, match="This request cannot be built: "):
        asyncio.run(bench.post(path, **options))
    assert bench.traces == []


def test_what_cannot_be_sent(bench: Bench) -> None:
    async def story() -> None:
        for method, path, options, reason in [
            ("GET", "http://127.0.0.1:1/", {}, "nothing listens at this address"),
            ("GET", "ftp://127.0.0.1/", {}, "unsupported protocol"),
            ("GE T", "/", {}, "Illegal method"),
            ("GET", "/", {"headers": {"x": "a\r\nb: c"}}, "Illegal header value"),
        ]:
            with pytest.raises(RequestError, match=reason):
                await bench.request(method, path, **options)
            trace = await bench.finished(2)
            assert reason in str(trace)
            assert trace.status is None
        with pytest.raises(ValueError, match="not the bench's error"):
            await bench.post("/", content=broken_body())
        assert "no response: ValueError" in str(await bench.finished(2))

    asyncio.run(story())


def test_no_response_in_time(bench: Bench) -> None:
    async def story() -> None:
        for path in ("/slow", "/stream"):
            begun = time.monotonic()
            with pytest.raises(
                RequestError, match=f"GET {path}: no complete response within 0.3 s"
            ):
                await bench.get(path, timeout=0.3)
            assert time.monotonic() - begun < 1.4
        assert (await bench.get("/", timeout=None)).status_code == 200

    asyncio.run(story())


def test_a_request_that_never_arrived_is_sent_again(bench: Bench) -> None:
    async def story() -> None:
        send, failures = bench._client._http.send, [httpx.ReadError(""), httpx.WriteError("")]

        async def flaky(request: httpx.Request, **options: Any) -> httpx.Response:
            if failures:
                raise failures.pop()
            return await send(request, **options)

        bench._client._http.send = flaky  # type: ignore[method-assign]
        with pytest.raises(RequestError, match="the server closed the connection"):
            await bench.get("/")
        failures.append(httpx.ReadError(""))
        assert (await bench.get("/")).status_code == 200
        assert [trace.status for trace in bench.traces] == [None, 200]

    asyncio.run(story())


def test_a_request_that_arrived_is_not_sent_again() -> None:
    seen = []

    async def half(scope: Any, receive: Any, send: Any) -> None:
        assert scope["type"] == "http"
        seen.append(scope["path"])
        await send({"type": "http.response.start", "status": 200, "headers": []})

    async def story(bench: Bench) -> None:
        with pytest.raises(RequestError, match="GET /half: the response broke off before its end"):
            await bench.get("/half")
        assert seen == ["/half"]

    on_a_bench(half, story)


def test_the_request_after_a_failed_task() -> None:
    """The server closes the connection after it; the next request must not run into that."""

    def fail() -> None:
        raise ValueError

    async def story(bench: Bench) -> None:
        for _ in range(30):
            await bench.get("/task")
            await bench.finished()
            assert (await bench.get("/")).status_code == 200

    on_a_bench(app_with(fail), story)


# Waiting


def test_finished_past_its_limit() -> None:
    def write_log() -> None:
        time.sleep(1.2)

    async def story(bench: Bench) -> None:
        await bench.get("/task")
        slow = asyncio.create_task(bench.get("/slow"))
        await asyncio.sleep(0.1)
        begun = time.monotonic()
        with pytest.raises(StillRunning) as raised:
            await bench.finished(timeout=0.2)
        assert time.monotonic() - begun < 0.8
        assert isinstance(raised.value, TimeoutError)
        assert str(raised.value) == (
            "Still running after 0.2 seconds: write_log, started by GET /task; GET /slow."
        )
        assert (await slow).json() == 2
        assert (await bench.finished()).path == "/slow"

    on_a_bench(app_with(write_log), story)


def test_finished_without_a_request(bench: Bench) -> None:
    with pytest.raises(LabError, match="No request has been sent yet"):
        asyncio.run(bench.finished())


def test_finished_returns_the_newest_request(bench: Bench) -> None:
    async def story() -> None:
        await bench.get("/")
        await bench.get("/other")
        assert (await bench.finished()).path == "/other"
        assert (await bench.finished()).path == "/other"

    asyncio.run(story())


def test_many_event_loops_one_bench(bench: Bench) -> None:
    """A script may call asyncio.run again and again."""
    for _ in range(3):
        assert asyncio.run(bench.get("/")).status_code == 200
        assert asyncio.run(bench.finished()).finished


def test_a_waiting_request_is_canceled(bench: Bench) -> None:
    async def story() -> None:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(bench.get("/slow"), 0.2)
        assert becomes(lambda: bench.traces[0].failure == "the client stopped waiting")
        assert (await bench.finished()).sentence == "No response: the client stopped waiting."

    asyncio.run(story())


# Closing


def test_after_close() -> None:
    bench = Bench(app_with())
    url = bench.url
    bench.close()
    bench.close()

    async def story() -> None:
        for attempt in (bench.get("/"), bench.finished()):
            with pytest.raises(LabError, match="This Lab is closed, so its server is gone"):
                await attempt
        async with httpx.AsyncClient(trust_env=False) as client:
            with pytest.raises(httpx.ConnectError):
                await client.get(url)

    asyncio.run(story())


def test_closed_while_a_request_waits(bench: Bench) -> None:
    async def story() -> None:
        waiting = asyncio.create_task(bench.get("/slow"))
        finishing = asyncio.create_task(bench.finished())
        await asyncio.sleep(0.1)
        await asyncio.to_thread(bench.close)
        with pytest.raises(RequestError, match="the Lab was closed before the response came"):
            await waiting
        with pytest.raises(LabError, match="This Lab is closed"):
            await finishing

    asyncio.run(story())


def test_nothing_is_left() -> None:
    def write_log() -> None:
        time.sleep(0.1)

    async def write_log_async() -> None:
        await asyncio.to_thread(time.sleep, 0.05)

    async def story(bench: Bench) -> None:
        await asyncio.gather(*(bench.get("/task") for _ in range(5)), bench.get("/"))
        await bench.finished()

    on_a_bench(app_with(), story)  # what a process keeps for good is there before we count
    before = holdings()
    for _ in range(2):
        on_a_bench(app_with(write_log, write_log_async), story)
        assert becomes(lambda: holdings() == before), (holdings(), before)


def test_a_close_that_was_interrupted_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    before = holdings()
    bench = Bench(app_with())
    wait = bench.server._wait_for_end
    monkeypatch.setattr(
        bench.server, "_wait_for_end", lambda _: (_ for _ in ()).throw(KeyboardInterrupt)
    )
    with pytest.raises(KeyboardInterrupt):
        bench.close()
    monkeypatch.setattr(bench.server, "_wait_for_end", wait)
    bench.close()
    assert becomes(lambda: holdings() == before), (holdings(), before)


# Apps that cannot be stopped politely


def spin() -> None:
    while True:
        pass


def spin_stubbornly() -> None:
    while True:
        try:
            spin()
        except BaseException:
            continue


async def spin_async() -> None:
    spin()


async def spin_stubbornly_async() -> None:
    try:
        spin()
    except BaseException:
        spin()


async def wait_deafly() -> None:
    for _ in range(1000):  # for ever would be deaf to the garbage collector too
        try:
            await asyncio.sleep(60)
        except BaseException:
            continue


async def block() -> None:
    time.sleep(6)


def refused(url: str) -> bool:
    try:
        httpx.get(url, timeout=0.5, trust_env=False)
    except httpx.ConnectError:
        return True
    return False


@pytest.mark.parametrize(
    "task", [spin_async, spin_stubbornly_async], ids=lambda task: task.__name__
)
def test_an_endless_loop_on_the_event_loop(
    task: Callable[[], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert bench_module.BLOCKED_LIMIT == 10
    monkeypatch.setattr(bench_module, "BLOCKED_LIMIT", 1.0)
    before = holdings()

    async def story(bench: Bench) -> None:
        assert (await bench.get("/task")).status_code == 200
        begun = time.monotonic()
        with pytest.raises(
            LabError, match=f"At work: {task.__name__}, started by GET /task"
        ) as raised:
            await bench.finished()
        assert time.monotonic() - begun < 1 + 4.5
        assert str(raised.value).endswith("Mend the function and make a new Lab.")
        assert refused(bench.url)

    on_a_bench(app_with(task), story)
    assert becomes(lambda: holdings() == before), (holdings(), before)


def test_an_endless_loop_in_an_endpoint(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench_module, "BLOCKED_LIMIT", 1.0)
    app = FastAPI()
    app.get("/")(spin_async)

    async def story(bench: Bench) -> None:
        with pytest.raises(LabError, match=r"blocked for . seconds?: an async function"):
            await bench.get("/")
        assert bench.server.closed
        with pytest.raises(LabError, match="closed"):
            await bench.get("/")

    on_a_bench(app, story)


def test_a_blocked_thread_that_cannot_be_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench_module, "BLOCKED_LIMIT", 1.0)

    async def story(bench: Bench) -> None:
        await bench.get("/task")
        with pytest.raises(LabError, match=r"cannot be ended: restart the kernel\.$"):
            await bench.finished()
        assert bench.server.stuck
        assert refused(bench.url)

    on_a_bench(app_with(block), story)
    assert becomes(lambda: not any("course_app.lab" in name for name in holdings()[0]), 10)


@pytest.mark.parametrize("task", [spin, spin_async, wait_deafly, block], ids=lambda t: t.__name__)
def test_close_is_bounded(task: Callable[[], Any]) -> None:
    bench = Bench(app_with(task))
    asyncio.run(bench.get("/task"))
    begun = time.monotonic()
    bench.close()
    assert time.monotonic() - begun < 4.5 + 1
    begun = time.monotonic()
    bench.close()
    assert time.monotonic() - begun < 0.1
    assert refused(bench.url)
    # `block` ends by itself; the others have been ended.
    assert becomes(lambda: not any("course_app.lab" in name for name in holdings()[0]), 10)


def test_a_thread_that_ignores_everything_does_not_hang_the_close() -> None:
    """In a worker thread it goes on; nothing can be done about that but to say so."""
    stop = []

    def ignore() -> None:
        while not stop:
            try:
                time.sleep(0.01)
            except BaseException:
                continue

    bench = Bench(app_with(ignore))
    asyncio.run(bench.get("/task"))
    begun = time.monotonic()
    bench.close()
    assert time.monotonic() - begun < 4.5 + 1
    assert bench.server.thread.workers() != []
    for _ in range(3):  # AnyIO's queue to a worker thread has two places
        bench.server.thread.stop()
    stop.append(True)
    assert becomes(lambda: bench.server.thread.workers() == [])

"""The recorder: which spans belong to which request, what is kept, and what is let go."""

import asyncio
import functools
import urllib.request

from fastapi import BackgroundTasks, FastAPI, Request
from opentelemetry import trace

from course_app.lab import Bench
from course_app.lab.recorder import SpanRecorder, described, name_of
from tests.support.benches import on_a_bench

tracer = trace.get_tracer("a learner")


def app() -> FastAPI:
    app = FastAPI()

    def connect() -> None:
        with tracer.start_as_current_span("connect"):
            pass

    @app.get("/")
    async def read_root(request: Request) -> str:
        return request.headers["traceparent"]

    @app.get("/task")
    async def add_task(background_tasks: BackgroundTasks) -> None:
        with tracer.start_as_current_span("query", kind=trace.SpanKind.CLIENT):
            background_tasks.add_task(connect)

    @app.get("/slow")
    async def read_slowly() -> None:
        await asyncio.sleep(0.7)

    return app


def test_requests_inside_one_span_of_the_learner_do_not_merge() -> None:
    async def story(bench: Bench) -> None:
        with tracer.start_as_current_span("all of it"):
            await bench.get("/")
            await asyncio.gather(bench.get("/task"), bench.get("/slow"))
        await bench.finished()
        assert sorted(found.path for found in bench.traces) == ["/", "/slow", "/task"]
        assert all(found.finished and found.status == 200 for found in bench.traces)

    on_a_bench(app(), story)


def test_a_copied_or_foreign_traceparent_does_not_merge() -> None:
    async def story(bench: Bench) -> None:
        copied = (await bench.get("/")).json()
        foreign = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
        for header in (copied, foreign, "nonsense"):
            request = urllib.request.Request(f"{bench.url}/", headers={"traceparent": header})
            await asyncio.to_thread(lambda: urllib.request.urlopen(request).close())  # noqa: B023
        assert (await bench.get("/", headers={"traceparent": copied})).status_code == 200
        await bench.finished()
        assert len(bench.traces) == 5
        assert all(found.finished and found.status == 200 for found in bench.traces)

    on_a_bench(app(), story)


def test_other_clients_appear() -> None:
    async def story(bench: Bench) -> None:
        def ask() -> None:
            with urllib.request.urlopen(f"{bench.url}/task") as response:
                assert response.status == 200

        await asyncio.to_thread(ask)
        found = await bench.finished()
        assert (found.path, found.status, len(found.tasks)) == ("/task", 200, 1)
        assert found.response is not None

    on_a_bench(app(), story)


def test_the_learners_own_spans_are_details() -> None:
    async def story(bench: Bench) -> None:
        await bench.get("/task")
        found = await bench.finished()
        names = [detail.name for detail in found.details]
        assert "query" in names
        assert "connect" in names
        assert "endpoint add_task" in names

    on_a_bench(app(), story)


def test_the_history_is_bounded_and_an_unfinished_request_is_never_forgotten() -> None:
    async def story(bench: Bench) -> None:
        bench.recorder._keep = 5
        slow = asyncio.create_task(bench.get("/slow"))
        await asyncio.sleep(0.1)
        for _ in range(12):
            await bench.get("/")
        assert len(bench.traces) == 5
        assert bench.traces[0].path == "/slow"
        await slow
        await bench.finished()
        for _ in range(12):
            await bench.get("/")
        await bench.finished()
        assert [found.path for found in bench.traces] == ["/"] * 5
        assert bench.recorder._outer == {}

    on_a_bench(app(), story)


def test_more_requests_at_once_than_the_history_holds() -> None:
    async def story(bench: Bench) -> None:
        bench.recorder._keep = 5
        await asyncio.gather(*(bench.get("/slow") for _ in range(20)))
        await bench.finished()
        assert len(bench.traces) == 20
        assert all(found.status == 200 and found.finished for found in bench.traces)
        await bench.get("/")
        assert len(bench.traces) == 5

    on_a_bench(app(), story)


def test_two_benches_see_their_own_requests_only() -> None:
    async def story(bench: Bench) -> None:
        async def other_story(other: Bench) -> None:
            await other.get("/task")
            await other.finished()
            assert len(other.traces) == 1
            assert bench.traces == []

        other = Bench(app())
        try:
            await other_story(other)
        finally:
            other.close()

    on_a_bench(app(), story)


def test_a_recorder_can_be_forgotten() -> None:
    """A closed bench that nobody holds must not be held, or called, by the provider."""
    import gc
    import weakref

    recorder = weakref.ref(SpanRecorder())
    gc.collect()
    assert recorder() is None


def test_names() -> None:
    class Mailer:
        def __call__(self) -> None: ...
        def send(self) -> None: ...

    def write_log() -> None: ...

    assert name_of(write_log) == "write_log"
    assert name_of(functools.partial(functools.partial(write_log))) == "write_log"
    assert name_of(Mailer()) == "Mailer"
    assert name_of(Mailer().send) == "send"
    assert name_of(lambda: None) == "<lambda>"
    assert name_of(None) == "NoneType"  # type: ignore[arg-type]


def test_exceptions_on_one_line() -> None:
    class Bad(Exception):
        def __str__(self) -> str:
            raise RuntimeError

    assert described(ValueError("no such address")) == "ValueError: no such address"
    assert described(ValueError("one\ntwo")) == "ValueError: one"
    assert described(ValueError("\n\n one \n")) == "ValueError: one"
    assert described(ValueError()) == "ValueError"
    assert described(ValueError("  ")) == "ValueError"
    assert described(Bad()) == "Bad"
    assert len(described(ValueError("x" * 1000))) == 200

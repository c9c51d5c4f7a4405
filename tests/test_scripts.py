"""Outside a notebook: a script that makes a Lab ends when it ends, and only it prints."""

import time

import pytest

from tests.support.benches import script

APP = """
import asyncio, time
from fastapi import BackgroundTasks, FastAPI
from course_app.lab import Lab

app = FastAPI()

@app.get("/{work}")
async def start(work: str, background_tasks: BackgroundTasks) -> None:
    background_tasks.add_task({
        "sleep": lambda: time.sleep(30), "short": lambda: time.sleep(0.3), "wait": wait,
        "block": block, "spin": spin, "fail": fail, "deaf": deaf,
    }[work])

async def wait():
    await asyncio.sleep(30)

async def block():
    time.sleep(30)

def spin():
    while True: pass

def fail():
    raise ValueError("no such address")

async def deaf():
    while True:
        try:
            await asyncio.sleep(30)
        except BaseException:
            pass

async def main(work):
    print((await lab.get(f"/{work}")).status_code)
    if work in ("short", "fail"):
        print(await lab.finished())

lab = Lab(app)
"""


def test_two_event_loops_and_no_close() -> None:
    """Also with an idle worker thread of AnyIO, which the interpreter would wait for."""
    run = script(APP + "asyncio.run(main('short')); asyncio.run(main('short')); print('end')")
    short = "200\nGET /short\n  1  response 200 arrived\n  2  <lambda> finished\n"
    assert run.stdout == 2 * short + "end\n"
    assert run.stderr == ""
    assert run.returncode == 0


@pytest.mark.parametrize("work", ["sleep", "wait", "spin", "block", "deaf"])
def test_with_a_task_in_flight(work: str) -> None:
    """No limit of a race: the tasks take 30 seconds or for ever, a close 4.5 at most."""
    begun = time.monotonic()
    run = script(APP + f"asyncio.run(main('{work}')); print('end')", timeout=25)
    assert run.stdout == "200\nend\n"
    assert time.monotonic() - begun < 15
    assert run.returncode == 0
    assert run.stderr == ""


def test_the_end_of_the_client_s_thread_while_it_closes_its_connections() -> None:
    """The thread ends with the main thread, which at exit is before or after the close."""
    slow = "async def slow(): await asyncio.sleep(10)\nlab._client._http.aclose = slow\n"
    run = script(f"{APP}{slow}asyncio.run(main('short')); print('end')")
    assert run.stdout.endswith("end\n")
    assert run.stderr == ""


def test_the_exit_code_is_the_scripts() -> None:
    run = script(APP + "asyncio.run(main('wait')); raise SystemExit(3)")
    assert run.returncode == 3


def test_what_the_server_logs_is_not_printed() -> None:
    """In a notebook it would land in whatever cell is running. A handler gets it."""
    created = """
@app.get("/create/task")
async def create() -> None:
    asyncio.create_task(asyncio.to_thread(fail))

async def both():
    await main("fail")
    await lab.get("/create/task")
    await asyncio.sleep(0.3)

asyncio.run(both())
"""
    run = script(APP + created)
    assert run.stderr == ""
    assert "fail failed: ValueError: no such address" in run.stdout
    handled = script(f"import logging; logging.basicConfig(level='ERROR'){APP}{created}")
    assert "ERROR:uvicorn.error:Exception in ASGI application" in handled.stderr
    assert "ERROR:uvicorn.error:Task exception was never retrieved" in handled.stderr


@pytest.mark.parametrize("first", [True, False], ids=["before the Lab", "after it"])
def test_with_nest_asyncio(first: bool) -> None:
    apply = "import nest_asyncio; nest_asyncio.apply()\n"
    nested = """
async def inner():
    asyncio.run(main("short"))  # inside a running loop: what nest_asyncio is for
    await main("short")
asyncio.run(inner())
asyncio.run(main("short"))
lab.close()
lab = Lab(app)
asyncio.run(main("short"))
lab.close()
"""
    run = script((apply + APP if first else APP + apply) + nested)
    assert run.stdout.count("2  <lambda> finished") == 4, run.stderr
    assert run.stderr == ""


def test_with_a_tracer_provider_of_the_learners_own() -> None:
    own = """
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
exporter, provider = InMemorySpanExporter(), TracerProvider()
provider.add_span_processor(SimpleSpanProcessor(exporter))
trace.set_tracer_provider(provider)
"""
    end = "asyncio.run(main('short')); print([s.name for s in exporter.get_finished_spans()])"
    run = script(own + APP + end)
    assert "2  <lambda> finished" in run.stdout
    assert "fastapi.background_task" in run.stdout
    assert run.stderr == ""

"""In a real kernel: Stop stops, errors are one sentence, and everything works afterwards."""

from collections.abc import Iterator

import pytest

from tests.support.cells import Kernel, Shown, kernel

SET_UP = """
import asyncio, contextlib, threading, time
from fastapi import BackgroundTasks, FastAPI
from course_app.lab import Lab

app = FastAPI()

@app.get("/")
def read_root() -> int:
    return 1

@app.get("/slow")
async def read_slowly() -> None:
    await asyncio.sleep(4)

@app.get("/task")
def add_task(background_tasks: BackgroundTasks) -> None:
    background_tasks.add_task(time.sleep, 4)

@app.get("/fail")
def add_failing(background_tasks: BackgroundTasks) -> None:
    def fail() -> None:
        raise ValueError("no such address")
    background_tasks.add_task(fail)

@contextlib.asynccontextmanager
async def never(app):
    await asyncio.sleep(60)
    yield

def threads():
    return sorted(t.name.split(" http")[0] for t in threading.enumerate() if "course_app" in t.name)

lab = Lab(app)
lab
"""
ALIVE = "(await lab.get('/')).status_code"
STOPPED = "You stopped the waiting. The app goes on with what it has begun."


@pytest.fixture(scope="module")
def cells(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kernel]:
    with kernel(tmp_path_factory.mktemp("kernel")) as started:
        yield started


@pytest.fixture
def fresh(cells: Kernel) -> Kernel:
    shown = cells.run(SET_UP)
    assert shown.error == shown.stderr == ""
    assert cells.run(ALIVE).text == "200"
    return cells


def stopped(shown: Shown, sentence: str) -> None:
    assert shown.error == sentence
    assert shown.stderr == ""
    assert shown.seconds < 2, "interrupted within about a second"


@pytest.mark.parametrize("cell", ["await lab.get('/slow')", "await lab.finished()"])
def test_stop_while_a_cell_awaits_the_lab(fresh: Kernel, cell: str) -> None:
    fresh.run("await lab.get('/task')")
    stopped(fresh.run(cell, interrupt_after=0.7), f"CancelledError: {STOPPED}")
    assert fresh.run(ALIVE).text == "200"
    assert fresh.run("(await lab.finished()).order").text == "('response',)"


def test_stop_also_reaches_a_cell_that_awaits_something_else(fresh: Kernel) -> None:
    shown = fresh.run("await asyncio.sleep(30)", interrupt_after=0.7)
    assert "CancelledError" in shown.error
    assert shown.seconds < 2
    fresh.run("other = Lab(app)")
    assert fresh.run("await asyncio.sleep(30)", interrupt_after=0.7).seconds < 2
    fresh.run("other.close()")


def test_stop_while_a_lab_starts_or_closes(fresh: Kernel) -> None:
    sentence = "KeyboardInterrupt: You stopped this cell before its Lab was ready. Run it again."
    shown = fresh.run("lab = Lab(FastAPI(lifespan=never))", interrupt_after=1.5)
    assert shown.error == sentence
    assert shown.seconds < 3.5
    assert fresh.run("threads()").text == "[]"
    fresh.run("lab = Lab(app)\nawait lab.get('/task')")
    shown = fresh.run("lab = Lab(FastAPI(lifespan=never))", interrupt_after=0.5)
    assert shown.error == sentence
    fresh.run("lab = Lab(app)")
    assert fresh.run(ALIVE).text == "200"
    fresh.run("lab.close()")
    assert fresh.run("threads()").text == "[]"


@pytest.mark.parametrize(
    ("cell", "sentence"),
    [
        ("Lab(42)", "AppError: The Lab needs an ASGI app such as FastAPI(), and got 42 (int)."),
        (
            "Lab(FastAPI)",
            "AppError: FastAPI is a class. Give the Lab an app made with it: FastAPI()",
        ),
        ("await lab.get(42)", "RequestError: This request cannot be built: Invalid type for url."),
        ("await lab.get('http://127.0.0.1:1/')", "RequestError: GET /: nothing listens at this"),
        (
            "await lab.get('/task')\nawait lab.finished(0.1)",
            "StillRunning: Still running after 0.1 seconds: sleep, started by GET /task.",
        ),
        ("lab.close()\nawait lab.get('/')", "LabError: This Lab is closed, so its server is gone."),
    ],
)
def test_an_error_of_the_bench_is_its_sentence(fresh: Kernel, cell: str, sentence: str) -> None:
    shown = fresh.run(cell)
    assert shown.error.startswith(sentence)
    assert "\n" not in shown.error
    assert shown.stderr == ""


def test_a_task_that_raises_shows_no_traceback_in_any_cell(fresh: Kernel) -> None:
    shown = fresh.run("await lab.get('/fail')\nprint(await lab.finished())")
    assert "fail failed: ValueError: no such address" in shown.text
    after = fresh.run("import gc; gc.collect(); await asyncio.sleep(0.3)")
    assert shown.error + shown.stderr + after.error + after.stderr == ""


def test_cells_again_and_out_of_order(fresh: Kernel) -> None:
    for _ in range(2):
        shown = fresh.run("lab = Lab(app)\nlab")
        assert shown.data[0].keys() >= {"text/plain", "application/vnd.jupyter.widget-view+json"}
        assert fresh.run(ALIVE).text == "200"
    assert fresh.run("old = lab\nlab = Lab(app)\n(await lab.get('/')).status_code").text == "200"
    assert "This Lab is closed" in fresh.run("await old.get('/')").error
    assert fresh.run("threads()").text == "['course_app.lab client', 'course_app.lab server']"


def test_after_nest_asyncio(cells: Kernel) -> None:
    """The last test of this kernel: what is patched stays patched."""
    cells.run(SET_UP)
    cells.run("import nest_asyncio; nest_asyncio.apply()")
    for make in ("", "lab = Lab(app)\n"):
        assert cells.run(f"{make}{ALIVE}").text == "200"
        assert cells.run("(await lab.finished()).order").text == "('response',)"
        assert cells.run("asyncio.run(lab.get('/')).status_code").text == "200"
        shown = cells.run("await lab.get('/slow')", interrupt_after=0.7)
        stopped(shown, f"CancelledError: {STOPPED}")
    cells.run("lab.close()")
    assert cells.run("threads()").text == "[]"

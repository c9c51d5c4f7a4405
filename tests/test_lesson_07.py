"""Lesson 07: its facts, measured apart from it and falsified in it; and what it leaves behind."""

import os
import signal
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import httpx
import nbformat
import psutil
import pytest
from fastapi import BackgroundTasks, Depends, FastAPI
from nbclient import NotebookClient

from course_app.exercises import predict
from course_app.lab import Bench, ChildProcess, UvicornProcess
from course_app.lab.uvicorn_process import ADDRESS
from tests.support import namespaces
from tests.support.benches import becomes, on_a_bench
from tests.support.cells import Kernel, kernel
from tests.support.kernels import fresh_kernel
from tests.support.lesson_code import definitions
from tests.support.mutants import Mutant, survivors
from tests.support.run_all import ask, code_cells

NOTEBOOK = Path(__file__).parent.parent / "notebooks" / "07_sessions_and_shutdown.ipynb"

ROUNDS: list[dict[str, Mutant]] = [
    {
        "the task is given an object of no session": (
            {"print_label, session.get_one(Order, order_id)": 'print_label, Order(item="tea")'},
            'lab.post("/v2/labels/1")',
        ),
        "SIGTERM does not wait": (
            {
                'term = end_by("SIGTERM", ["async def", "def"])': (
                    'term = end_by("SIGTERM", ["async def", "def"], graceful=1)'
                )
            },
            "term = end_by",
        ),
        "the async task notes nothing": (
            {'        note(f"{kind} cancelled")\n': ""},
            "limit = end_by",
        ),
        "SIGKILL is polite": (
            {'kill = end_by("SIGKILL"': 'kill = end_by("SIGTERM"'},
            "kill = end_by",
        ),
        "create_task is given to FastAPI": (
            {
                "async def start_past_fastapi() -> None:\n"
                '    started.add(asyncio.create_task(async_task("create_task")))': (
                    "async def start_past_fastapi(background_tasks: BackgroundTasks) -> None:\n"
                    '    background_tasks.add_task(async_task, "create_task")'
                )
            },
            "beside = {",
        ),
        "the database takes orders without an item": (
            {"    item: Mapped[str]\n\n\nBase": "    item: Mapped[str | None]\n\n\nBase"},
            '"/v2/blank"]',
        ),
    },
    {
        "the path operation commits": (
            {"    session.flush()  # the data": "    session.commit()  #"},
            'lab.post("/orders/tea")',
        ),
        "the failing task is caught": (
            {'        raise ConnectionError("the mail server does not answer")': "        return"},
            'lab.post("/orders/coffee")',
        ),
        "a third connection": ({"pool_size=2": "pool_size=3"}, 'lab.post("/parcels/1")'),
        "the second app has the first scope": (
            {', scope="function")]\n\n\n@app': ")]\n\n\n@app"},
            'lab.post("/v2/orders/water")',
        ),
    },
    {
        "the first app has the other scope": (
            {
                "RequestSession = Annotated[Session, Depends(get_session)]": (
                    'RequestSession = Annotated[Session, Depends(get_session, scope="function")]'
                )
            },
            'lab.post("/orders/tea")',
        ),
    },
]


@pytest.mark.parametrize("mutants", ROUNDS, ids="; ".join)
def test_falsified_facts_turn_the_notebook_red(mutants: dict[str, Mutant]) -> None:
    assert survivors(NOTEBOOK, mutants) == []


@pytest.mark.parametrize(
    ("scope", "fails", "order"),
    [
        (None, False, ["response", "task", "exit: None"]),
        (None, True, ["response", "task", "exit: OSError"]),
        ("function", False, ["exit: None", "response", "task"]),
        ("function", True, ["exit: None", "response", "task"]),
    ],
)
def test_when_the_exit_code_of_a_dependency_runs(scope: Any, fails: bool, order: list[str]) -> None:
    seen: list[str] = []

    def resource() -> Iterator[None]:
        try:
            yield
        except OSError:
            seen.append("exit: OSError")
            raise
        seen.append("exit: None")

    def task() -> None:
        time.sleep(0.3)
        seen.append("task")
        if fails:
            raise OSError

    class Notes:
        def __init__(self, app: Any) -> None:
            self.app = app

        async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
            async def noting(message: Any) -> None:
                await send(message)
                if message["type"] == "http.response.body":
                    seen.append("response")

            await self.app(scope, receive, noting)

    app = FastAPI()
    app.add_middleware(Notes)

    @app.get("/")
    def read(
        background_tasks: BackgroundTasks, _: Annotated[None, Depends(resource, scope=scope)]
    ) -> None:
        background_tasks.add_task(task)

    async def story(bench: Bench) -> None:
        assert (await bench.get("/")).status_code == 200
        await bench.finished()

    on_a_bench(app, story)
    assert seen == order


APP = """
import asyncio, contextlib, time
from fastapi import BackgroundTasks, FastAPI

@contextlib.asynccontextmanager
async def lifespan(app):
    yield
    note("lifespan ended")

app = FastAPI(lifespan=lifespan)
held = []

def note(line):
    with open("ledger", "a") as file:
        file.write(line + "\\n")

async def waits(name):
    note(name + " started")
    try:
        await asyncio.sleep(3)
        note(name + " done")
    except asyncio.CancelledError:
        note(name + " cancelled")
        raise

def sleeps():
    note("def started")
    try:
        time.sleep(3)
        note("def done")
    finally:
        note("def finally")

@app.post("/tasks")
async def tasks(background_tasks: BackgroundTasks) -> None:
    background_tasks.add_task(waits, "async")

@app.post("/def")
async def def_tasks(background_tasks: BackgroundTasks) -> None:
    background_tasks.add_task(sleeps)

@app.post("/create")
async def create() -> None:
    held.append(asyncio.create_task(waits("created")))
"""


@pytest.mark.parametrize(
    ("paths", "number", "graceful", "ended"),
    [
        (["/tasks", "/def"], signal.SIGTERM, None, ["async done", "def done", "def finally"]),
        (["/tasks", "/def"], signal.SIGTERM, 1, ["async cancelled"]),
        (["/tasks", "/def"], signal.SIGKILL, None, None),
        (["/create"], signal.SIGTERM, None, []),
    ],
)
def test_what_becomes_of_tasks_when_a_server_ends(
    paths: list[str], number: int, graceful: int | None, ended: list[str] | None, tmp_path: Path
) -> None:
    (tmp_path / "shop.py").write_text(APP)
    ledger = tmp_path / "ledger"
    with UvicornProcess("shop:app", tmp_path, graceful) as server:
        for path in paths:
            httpx.post(f"{server.url}{path}", trust_env=False).raise_for_status()
        assert becomes(lambda: ledger.exists() and ledger.read_text().count("\n") == len(paths))
        server.send(number)
        assert server.wait(15) == -number
    lines = Counter(ledger.read_text().splitlines())
    started = {"async started", "def started", "created started", "lifespan ended"}
    assert lines["lifespan ended"] == (ended is not None)
    assert sorted(line for line in lines.elements() if line not in started) == (ended or [])


@pytest.mark.skipif(bool(namespaces.missing()), reason=namespaces.missing())
def test_as_process_number_1_a_server_waits_for_its_threads_and_cancels_the_rest(
    tmp_path: Path,
) -> None:
    (tmp_path / "shop.py").write_text(APP)
    ledger = tmp_path / "ledger"
    command = ["unshare", "--pid", "--fork", "--kill-child", sys.executable, "-m", "uvicorn"]
    command += ["shop:app", "--port", "0", "--timeout-graceful-shutdown", "1"]
    with ChildProcess(
        command, "uvicorn", lambda log: bool(ADDRESS.search(log)), within=40, folder=tmp_path
    ) as outer:
        found = ADDRESS.search(outer.log)
        assert found
        for path in ["/tasks", "/def", "/create"]:
            httpx.post(f"{found[1]}{path}", trust_env=False).raise_for_status()
        assert becomes(lambda: ledger.exists() and ledger.read_text().count("\n") == 3)
        (server,) = psutil.Process(outer.pid).children()
        server.terminate()
        assert outer.wait(15) == 0
    ended = [line for line in ledger.read_text().splitlines() if "started" not in line]
    assert ended[:2] == ["async cancelled", "lifespan ended"]
    assert sorted(ended[2:]) == ["created cancelled", "def done", "def finally"]


def test_the_commits_place_is_scored() -> None:
    choices = {"first": "1", "between": "2", "last": "3"}
    for chosen, events in {
        "last": ["response sent", "the task sees no order", "committed"],
        "between": ["response sent", "committed", "the task sees tea"],
        "first": ["committed", "response sent", "the task sees tea"],
    }.items():
        asked = predict("07.p1", "When?", choices)
        asked.prediction = chosen
        assert predict.score("07.p1", events).endswith("and so it was.")
        asked.prediction = "between" if chosen == "first" else "first"
        assert predict.score("07.p1", events).endswith(f"It was: “{choices[chosen]}”.")
    assert "cannot be scored" in predict.score("07.p1", [])


def test_the_ledger_is_scored() -> None:
    asked = predict("07.p2", "Which?", {"all": "1", "async": "2", "none": "3"})
    asked.prediction = "all"
    accepted = Counter({"async def accepted": 3, "def accepted": 3})
    done = Counter({"async def done": 3, "def done": 3})
    assert predict.score("07.p2", accepted + done).endswith("and so it was.")
    assert predict.score("07.p2", accepted).endswith("It was: “3”.")
    assert predict.score("07.p2", accepted + Counter({"async def done": 3})).endswith("“2”.")
    assert "cannot be scored" in predict.score("07.p2", Counter())


WINDOWS = """
import os, signal, subprocess
del os.killpg, signal.SIGKILL
subprocess.Popen.kill = lambda self: os.kill(self.pid, 9)
"""


def test_without_posix_signals_the_lesson_says_so_and_goes_on(tmp_path: Path) -> None:
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    notebook.cells.insert(0, nbformat.v4.new_code_cell(WINDOWS))
    NotebookClient(
        notebook, timeout=60, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}
    ).execute()
    shown = "".join(
        output.get("text", "") for cell in notebook.cells for output in cell.get("outputs", [])
    )
    assert "This system has no POSIX signals: no server is started below" in shown
    assert "SIGKILL                0 of 0       0 of 0       0 of 0" in shown
    assert "accepted" not in shown


SERVERS = ["TASKS = ", "MAIN = ", "import signal", "def end_by"]
RUN = 'end_by("SIGTERM", ["async def", "def"])'
HELD = "print(child_process._alive, child_process._folders, child_process._guard)"


def set_up(run: Any) -> None:
    """Run the cells that `end_by` needs."""
    cells = [code for code in code_cells(NOTEBOOK) if code.startswith(tuple(SERVERS))]
    assert len(cells) == len(SERVERS)
    for code in [*cells, "from course_app.lab import child_process"]:
        run(code)


@pytest.fixture(scope="module")
def cells(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kernel]:
    with kernel(tmp_path_factory.mktemp("kernel")) as started:
        set_up(started.run)
        yield started


@pytest.mark.parametrize("after", [0.3, 3.0])
def test_an_interrupted_run_leaves_no_server(cells: Kernel, after: float) -> None:
    shown = cells.run(RUN, interrupt_after=after)
    assert "KeyboardInterrupt" in shown.error
    assert shown.seconds < 6
    assert cells.run(HELD).text == "[] [] None\n"


def test_an_interrupted_check_leaves_no_server(cells: Kernel) -> None:
    code = "from course_app.exercises import check\nfrom pathlib import Path\n"
    text = next(code for code in code_cells(NOTEBOOK) if code.startswith("report_app = "))
    cells.run(f"{code}OUTBOX = Path('outbox')\nOUTBOX.mkdir(exist_ok=True)\n{text}")
    cells.run('await check("07.2", report_app)', interrupt_after=2.5)
    assert becomes(lambda: cells.run(HELD).text == "[] [] None\n", seconds=10)


def servers() -> dict[int, Path]:
    """The processes that run in a folder of the lesson, each with its folder."""
    found = {}
    for process in Path("/proc").iterdir():
        if process.name.isdigit():
            try:
                folder = (process / "cwd").readlink()
            except OSError:
                continue
            if folder.name.startswith("sessions-and-shutdown-"):
                found[int(process.name)] = folder
    return found


def test_a_killed_kernel_leaves_no_server(tmp_path: Path) -> None:
    before = set(servers())
    with fresh_kernel(tmp_path) as (_, client):
        set_up(lambda code: client.execute_interactive(code, timeout=60))
        pid = ask(client, "__import__('os').getpid()")
        client.execute(RUN)
        assert becomes(lambda: bool(set(servers()) - before), seconds=20)
        started = {pid: folder for pid, folder in servers().items() if pid not in before}
        os.kill(pid, signal.SIGKILL)
        assert becomes(lambda: not set(servers()) & set(started), seconds=10)
        assert becomes(lambda: not any(map(Path.exists, started.values())), seconds=10)


def test_every_definition_of_the_lesson_can_be_pasted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    app = definitions(NOTEBOOK, until="TASKS = ")["app"]

    async def story(bench: Bench) -> Any:
        await bench.post("/v2/orders/tea")
        await bench.finished()
        return (await bench.get("/orders")).json()

    assert on_a_bench(app, story) == ["tea"]

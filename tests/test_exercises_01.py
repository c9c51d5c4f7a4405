"""Exercises 01.1 and 01.2: any right answer passes, and a wrong one gets its sentence."""

import asyncio
import contextlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI

from course_app.exercises import UnknownExercise, check
from course_app.lab import Lab
from tests.support.answers import checked
from tests.support.lesson_code import definitions

NOTEBOOK = Path(__file__).parent.parent / "notebooks" / "01_plain_function.ipynb"
SOLVED = NOTEBOOK.parent / "solutions" / NOTEBOOK.name
APPS = {"01.1": "report_app", "01.2": "visit_app"}
PAUSE = "time.sleep(2)"
"""How long a report takes; most of these tests make it shorter."""


pytestmark = pytest.mark.usefixtures("own_folder")


def answer(number: str, changes: dict[str, str] | None = None) -> Any:
    """The app of an exercise, solved, with the changes that a learner has made to it."""
    changes = changes or {}
    if number == "01.1" and not any(PAUSE in old for old in changes):
        changes = {PAUSE: "time.sleep(0.4)", **changes}
    return definitions(SOLVED, until=f'check("{number}"', changes=changes)[APPS[number]]


STUBS = {
    "01.1": "The response took about 2 s: the report is written before it, not after it. "
    "No background task ran.",
    "01.2": "Five requests left 1 line in outbox/visits.txt. What does mode='w' do to a file?",
}


@pytest.mark.parametrize("number", APPS)
def test_the_stub_is_not_solved_yet(number: str) -> None:
    stub = definitions(NOTEBOOK, until=f'check("{number}"')[APPS[number]]
    result = checked(number, stub)
    assert not result
    assert str(result) == f"{STUBS[number]}\nNot solved yet."


def test_the_solutions_are_right_as_they_stand() -> None:
    for number, name in APPS.items():
        assert checked(number, definitions(SOLVED, until=f'check("{number}"')[name])


@pytest.mark.parametrize("number", APPS)
def test_a_solution_is_right_also_when_it_is_checked_twice(number: str) -> None:
    app = answer(number)
    assert checked(number, app)
    assert checked(number, app)


REPORT = "    background_tasks.add_task(write_report, name)\n"
CREATE = "def create_report(name: str, background_tasks: BackgroundTasks) -> dict[str, str]:\n"
SAY_REPORT = '    return {"message": f"The report for {name} is being written"}'
WRITE_REPORT = 'with open(OUTBOX / "reports.txt", mode="a") as file:\n        '
VISIT = "    background_tasks.add_task(write_log, name)\n"
SLEEP = "    time.sleep(0.3)  # a slow disk\n"
LINE = 'file.write(f"{name} was here\\n")'
RESPOND = (
    "    from fastapi.responses import JSONResponse\n"
    "    from starlette.background import BackgroundTask\n"
    '    return JSONResponse({"message": "yes"}, background=BackgroundTask(write_report, name))'
)
DEPEND = (
    "def write_later(name: str, background_tasks: BackgroundTasks) -> None:\n"
    f"{REPORT}\n\n"
    '@report_app.post("/report/{name}", dependencies=[Depends(write_later)])\n'
    "def create_report(name: str) -> dict[str, str]:\n"
)
LOCK = (
    "import asyncio\n"
    "lock = asyncio.Lock()\n\n\n"
    "async def write_log(name: str) -> None:\n"
    "    async with lock:\n"
    "        await asyncio.sleep(0.3)\n"
    '        with open(OUTBOX / "visits.txt", mode="a") as file:\n'
    '            file.write(f"{name} was here\\n")\n\n\n'
)
WITH_LOCK = {'@visit_app.post("/visit/{name}")\n': f'{LOCK}@visit_app.post("/visit/{{name}}")\n'}

RIGHT = {
    "01.1: an async path operation": ("01.1", {"def create_report": "async def create_report"}),
    "01.1: an async task": (
        "01.1",
        {
            "def write_report": "async def write_report",
            "    time.sleep(2)\n": "    import asyncio\n    await asyncio.sleep(0.4)\n",
        },
    ),
    "01.1: a BackgroundTask on a response": (
        "01.1",
        {CREATE: "def create_report(name: str):\n", REPORT: "", SAY_REPORT: RESPOND},
    ),
    "01.1: a dependency that adds the task": (
        "01.1",
        {
            "@report_app.post": "from fastapi import Depends\n\n\n@report_app.post",
            f'@report_app.post("/report/{{name}}")\n{CREATE}{REPORT}': DEPEND,
        },
    ),
    "01.1: keyword arguments": ("01.1", {"write_report, name)": "write_report, name=name)"}),
    "01.1: a lambda": ("01.1", {"write_report, name)": "lambda: write_report(name))"}),
    "01.1: a task that takes no time": ("01.1", {"    time.sleep(2)\n": ""}),
    "01.2: an async path operation": ("01.2", {"def visit(": "async def visit("}),
    "01.2: a task that takes no time": ("01.2", {SLEEP: ""}),
    "01.2: an async task with a lock": ("01.2", WITH_LOCK),
    "01.2: print into the file": ("01.2", {LINE: 'print(f"{name} was here", file=file)'}),
    "01.2: the newline first": ("01.2", {LINE: 'file.write(f"\\n{name} was here")'}),
    "01.2: mode r+": (
        "01.2",
        {
            SLEEP: f"{SLEEP}    (OUTBOX / 'visits.txt').touch()\n",
            f'mode="a") as file:\n        {LINE}': (
                f'mode="r+", buffering=1) as file:\n        file.seek(0, 2)\n        {LINE}'
            ),
            # five threads that seek and write at once would be a wrong answer
            "def write_log": "async def write_log",
        },
    ),
    "01.2: pathlib": ("01.2", {LINE: 'Path(file.name).open("a").write(f"{name} was here\\n")'}),
}


@pytest.mark.parametrize(("number", "changes"), RIGHT.values(), ids=RIGHT.keys())
def test_another_right_answer_is_right(number: str, changes: dict[str, str]) -> None:
    result = checked(number, answer(number, changes))
    assert result, str(result)


BY_HAND = "    background_tasks = BackgroundTasks()\n"
THREAD = "    import threading\n    threading.Thread(target=write_report, args=[name]).start()\n"
NO_TASK = (
    "left no line in {}, and no background task ran. Was the task added to the background_tasks "
    "that FastAPI passes in?"
)
UNKNOWN = (
    "left its line by work that the server does not know of, and would not wait for when it "
    "stops. Use background_tasks.add_task."
)
CALLED = (
    "a task failed (TypeError: the first argument must be callable): add_task was given the "
    "result of a call. Give it the function and its arguments, separated by commas: add_task({})."
)
UNFINISHED = "Your answer had not finished after 6.5 seconds, and was stopped."

WRONG = {
    "01.1: another path": (
        "01.1",
        {'"/report/{name}"': '"/reports/{name}"'},
        "POST /report/check was answered with 404: the app has no such path.",
    ),
    "01.1: another method": (
        "01.1",
        {"report_app.post": "report_app.get"},
        "POST /report/check was answered with 405: the app has this path, but not for this method.",
    ),
    "01.1: another parameter": (
        "01.1",
        {"name: str, background": "title: str, background", "name)": "title)", "{name} is": "is"},
        "POST /report/check was answered with 422: a parameter has another name or type than the "
        "exercise says (the query parameter title).",
    ),
    "01.1: a parameter of another type": (
        "01.1",
        {"name: str, background": "name: int, background"},
        "POST /report/check was answered with 422: a parameter has another name or type than the "
        "exercise says (the path parameter name).",
    ),
    "01.1: no annotation": (
        "01.1",
        {"background_tasks: BackgroundTasks": "background_tasks"},
        "POST /report/check was answered with 422: a parameter has another name or type than the "
        "exercise says (background_tasks needs the annotation BackgroundTasks).",
    ),
    "01.1: the function is called": (
        "01.1",
        {REPORT: "    write_report(name)\n"},
        "The response took about N s: the report is written before it, not after it. "
        "No background task ran.",
    ),
    "01.1: add_task is given the result": (
        "01.1",
        {REPORT: "    background_tasks.add_task(write_report(name))\n"},
        "The response took about N s, and then " + CALLED.format("write_report, name"),
    ),
    "01.1: the tasks are made by hand": (
        "01.1",
        {CREATE: f"def create_report(name: str) -> dict[str, str]:\n{BY_HAND}"},
        f"POST /report/check {NO_TASK.format('outbox/reports.txt')}",
    ),
    "01.1: a thread": ("01.1", {REPORT: THREAD}, f"POST /report/check {UNKNOWN}"),
    "01.1: create_task": (
        "01.1",
        {
            "def create_report": "async def create_report",
            REPORT: "    import asyncio\n"
            "    asyncio.create_task(asyncio.to_thread(write_report, name))\n",
        },
        f"POST /report/check {UNKNOWN}",
    ),
    "01.1: nothing is done": (
        "01.1",
        {REPORT: ""},
        f"POST /report/check {NO_TASK.format('outbox/reports.txt')}",
    ),
    "01.1: called and added": (
        "01.1",
        {REPORT: f"{REPORT}    write_report(name)\n"},
        "One request left 2 lines in outbox/reports.txt. Is the function called as well?",
    ),
    "01.1: called, and another task": (
        "01.1",
        {REPORT: "    write_report(name)\n    background_tasks.add_task(len, name)\n"},
        "The response took about N s: the report is written before it, not after it.",
    ),
    "01.1: the pause stays in the path operation": (
        "01.1",
        {REPORT: f"{REPORT}    time.sleep(1.8)\n"},
        "A background task wrote the report, but the response took about N s: something in the "
        "path operation still takes its time.",
    ),
    "01.1: the task raises": (
        "01.1",
        {WRITE_REPORT: 'raise ValueError("no such printer")\n'
         f"    {WRITE_REPORT}"},
        "The response took about N s, and then a task failed: ValueError: no such printer.",
    ),
    "01.1: the task calls what is no function": (
        "01.1",
        {WRITE_REPORT: f"name()\n    {WRITE_REPORT}"},
        "The response took about N s, and then a task failed: TypeError: 'str' object is not "
        "callable.",
    ),
    "01.1: the path operation raises": (
        "01.1",
        {REPORT: f'{REPORT}    raise KeyError("name")\n'},
        "POST /report/check was answered with 500: the app raised KeyError: 'name'.",
    ),
    "01.1: another file": (
        "01.1",
        {'"reports.txt"': '"report.txt"'},
        "After POST /report/check the task write_report ran, but it left no line in "
        "outbox/reports.txt.",
    ),
    "01.1: an endless loop": ("01.1", {REPORT: "    while True: pass\n"}, UNFINISHED),
    "01.1: an endless task": (
        "01.1",
        {"def write_report": "async def write_report", "time.sleep(2)": "while True: pass"},
        UNFINISHED,
    ),
    "01.1: the response waits for ever": (
        "01.1",
        {
            "def create_report": "async def create_report",
            REPORT: "    import asyncio\n    await asyncio.Event().wait()\n",
        },
        UNFINISHED,
    ),
    "01.2: each visit is written twice": (
        "01.2",
        {VISIT: VISIT * 2},
        "Five requests left 10 lines in outbox/visits.txt: some visits are written twice.",
    ),
    "01.2: no newline": (
        "01.2",
        {" was here\\n": " was here "},
        "All visits stand on one line of the file. A line ends with a newline, and `write` adds "
        "none: write f'{name}\\n'.",
    ),
    "01.2: mode w": (
        "01.2",
        {'"visits.txt", mode="a"': '"visits.txt", mode="w"'},
        "Five requests left 1 line in outbox/visits.txt. What does mode='w' do to a file?",
    ),
    "01.2: mode x": (
        "01.2",
        {'"visits.txt", mode="a"': '"visits.txt", mode="x"'},
        "A visit was answered, but then a task failed: FileExistsError: [Errno 17] File exists: "
        "'outbox/visits.txt'.",
    ),
    "01.2: the task raises at once": (
        "01.2",
        {SLEEP: '    raise OSError("disk full")\n'},
        "A visit was answered, but then a task failed: OSError: disk full.",
    ),
    "01.2: the name is missing": (
        "01.2",
        {"{name} was here": "somebody was here"},
        "Five tasks ran, but outbox/visits.txt does not hold the names that were sent.",
    ),
    "01.2: the function is called": (
        "01.2",
        {VISIT: "    write_log(name)\n"},
        "The line of a visit is written before its response, not after it. "
        "No background task ran.",
    ),
    "01.2: called, and another task": (
        "01.2",
        {VISIT: "    write_log(name)\n    background_tasks.add_task(len, name)\n"},
        "The line of a visit is written before its response, not after it.",
    ),
    "01.2: add_task is given the result": (
        "01.2",
        {VISIT: "    background_tasks.add_task(write_log(name))\n"},
        "A visit was answered, but then " + CALLED.format("write_log, name"),
    ),
    "01.2: threads": (
        "01.2",
        {VISIT: THREAD.replace("report", "log")},
        f"POST /visit/Ada {UNKNOWN}",
    ),
    "01.2: the tasks are made by hand": (
        "01.2",
        {VISIT: f"{BY_HAND}{VISIT}"},
        f"POST /visit/Ada {NO_TASK.format('outbox/visits.txt')}",
    ),
    "01.2: only some visits": (
        "01.2",
        {VISIT: f"    if len(name) == 4:\n    {VISIT}"},
        "Five visits were answered, but only 3 of them ran a background task.",
    ),
    "01.2: an endless loop": (
        "01.2",
        {SLEEP: "    while True: pass\n"},
        UNFINISHED,
    ),
    "01.2: another path": (
        "01.2",
        {'"/visit/{name}"': '"/visits/{name}"'},
        "POST /visit/Ada was answered with 404: the app has no such path.",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("number", "changes", "sentence"), WRONG.values(), ids=WRONG.keys())
def test_a_wrong_answer_gets_its_sentence(
    number: str, changes: dict[str, str], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    result = checked(number, answer(number, changes))
    assert not result
    assert re.sub(r"about [\d.]+ s", "about N s", str(result)) == f"{sentence}\nNot solved yet."
    assert capsys.readouterr().out == f"{result}\n"


def factory() -> FastAPI:
    return FastAPI()


@pytest.mark.parametrize("number", APPS)
@pytest.mark.parametrize(
    ("given", "words"),
    [
        (None, "got None (NoneType)"),
        (42, "got 42 (int)"),
        ("report_app", "got 'report_app' (str)"),
        ({}, "(dict)"),
        (FastAPI, "FastAPI is a class"),
        (factory, "factory() is no ASGI app"),
        (lambda name: name, "is no ASGI app"),
    ],
    ids=["None", "a number", "a string", "a dict", "a class", "a factory", "a function"],
)
def test_what_is_no_app_gets_a_sentence(number: str, given: Any, words: str) -> None:
    result = checked(number, given)
    assert not result
    assert len(result.sentences) == 1
    assert words in result.sentences[0]


def test_an_app_that_does_not_start_gets_its_reason() -> None:
    async def lifespan(app: FastAPI) -> Any:
        raise OSError("no such database")
        yield

    app = FastAPI(lifespan=contextlib.asynccontextmanager(lifespan))
    assert "no such database" in checked("01.1", app).sentences[0]


@pytest.fixture
def bound_app() -> Iterator[FastAPI]:
    """An app whose lock was waited for on the loop of a Lab: it belongs to that loop now."""
    app = answer("01.2", WITH_LOCK)

    async def use() -> None:
        lab = Lab(app)
        try:
            await asyncio.gather(*(lab.post(f"/visit/{name}") for name in ("Ada", "Mary")))
            assert (await lab.finished()).tasks[0].error is None
        finally:
            lab.close()

    asyncio.run(use())
    return app


def test_a_task_that_belongs_to_another_server(bound_app: FastAPI) -> None:
    assert checked("01.2", bound_app).sentences == (
        "A visit was answered, but then a task failed: the app still belongs to another server. "
        "Run the app's cell again.",
    )


def test_a_path_operation_that_belongs_to_another_server() -> None:
    queue: asyncio.Queue[int] = asyncio.Queue()
    app = FastAPI()

    @app.post("/report/{name}")
    async def create_report(name: str) -> dict[str, int]:
        asyncio.get_running_loop().call_later(0.05, queue.put_nowait, 1)
        return {"got": await queue.get()}

    async def use() -> None:
        lab = Lab(app)
        try:
            assert (await lab.post("/report/Ada")).status_code == 200
        finally:
            lab.close()

    asyncio.run(use())
    assert checked("01.1", app).sentences == (
        "POST /report/check was answered with 500: the app still belongs to another server. "
        "Run the app's cell again.",
    )


@pytest.mark.parametrize("number", ["01.9", "99.1", "", "one", "00.1", "../01.1"])
def test_an_unknown_exercise_is_a_value_error(number: str) -> None:
    with pytest.raises(UnknownExercise, match="There is no exercise") as raised:
        asyncio.run(check(number, FastAPI()))
    assert isinstance(raised.value, ValueError)


def test_the_learners_lab_stays_open_whatever_is_checked() -> None:
    async def play() -> list[Any]:
        lab = Lab(answer("01.2"))
        try:
            found = [bool(await check("01.2", answer("01.2")))]
            found.append(bool(await check("01.2", None)))
            found.append((await lab.post("/visit/Ada")).status_code)
            await lab.finished()
            return found
        finally:
            lab.close()

    assert asyncio.run(play()) == [True, False, 200]


def test_old_lines_of_the_learner_do_not_count() -> None:
    app = answer("01.2", {VISIT: ""})
    Path("outbox/visits.txt").write_text("Ada was here\n" * 5)
    assert not checked("01.2", app)

"""Lesson 07: its exercises take right answers only, say what is wrong, and leave nothing behind."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from course_app.exercises import check
from course_app.exercises import lesson_07_reports as reports
from course_app.lab import child_process
from tests.support import answers
from tests.support.answers import checked
from tests.support.lesson_code import definitions

NOTEBOOK = Path(__file__).parent.parent / "notebooks" / "07_sessions_and_shutdown.ipynb"
SOLVED = NOTEBOOK.parent / "solutions" / NOTEBOOK.name
ANSWERS = {"07.1": "shop_app", "07.2": "report_app"}


@pytest.fixture(autouse=True)
def nothing_left(own_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """No process and no folder is left by a test.

    A server's start takes a second, and several where four tests run on two cores.
    """
    monkeypatch.setattr(answers, "LIMIT", 10 + reports.START)
    yield
    assert (child_process._alive, child_process._folders, child_process._guard) == ([], [], None)


def answer(number: str, changes: dict[str, str] | None = None, notebook: Path = SOLVED) -> Any:
    """The answer of an exercise, solved, or with the changes that a learner has made to it."""
    return definitions(notebook, until=f'check("{number}"', changes=changes)[ANSWERS[number]]


STUBS = {
    "07.1": "When POST /parcels/tea was answered, there was no parcel 1 in the database: what the "
    "dependency commits after the tasks, nobody can see before.",
    "07.2": "Somebody looked, and report.csv was empty: neither "
    "yesterday's report nor today's 20 rows.",
}


@pytest.mark.parametrize("number", ANSWERS)
def test_the_stub_is_not_solved_yet(number: str) -> None:
    result = checked(number, answer(number, notebook=NOTEBOOK))
    assert str(result) == f"{STUBS[number]}\nNot solved yet."


@pytest.mark.parametrize("number", ANSWERS)
def test_the_solution_is_right_also_when_it_is_checked_twice(number: str) -> None:
    given = answer(number)
    for _ in range(2):
        result = checked(number, given)
        assert result, str(result)


FUNCTION = 'Depends(get_shop_session, scope="function")'
DEFAULT = "Depends(get_shop_session)"
TASK = "def pack_parcel(parcel_id: int) -> None:\n"
READ = (
    "    with Session(shop) as session:\n        item = session.get_one(Parcel, parcel_id).item\n"
)
PACK = "    pack(item)\n"
SET = '        session.get_one(Parcel, parcel_id).status = "packed"\n'
COMMIT = "        session.commit()\n"
WRITE = f"    with Session(shop) as session:\n{SET}{COMMIT}"
FLUSH = "    session.flush()\n"
ADD = "background_tasks.add_task(pack_parcel, parcel.id)"
RETURN = '    return {"id": parcel.id}\n'
BODY = f"{READ}{PACK}{WRITE}"

REPORT = 'draft = REPORT.with_suffix(".draft")'
DRAFT = (
    "    try:\n"
    '        with draft.open("w") as file:\n'
    "            for number in range(1, 21):\n"
    "                await asyncio.sleep(0.1)  # a slow database\n"
    '                file.write(f"row {number}\\n")\n'
    "        os.replace(draft, REPORT)\n"
    "    finally:\n"
    "        draft.unlink(missing_ok=True)\n"
)
MOVE = "    draft.replace(REPORT)\n"
IN_MEMORY = (
    "    rows = []\n"
    "    for number in range(1, 21):\n"
    "        await asyncio.sleep(0.1)\n"
    '        rows.append(f"row {number}\\n")\n'
    '    draft.write_text("".join(rows))\n' + MOVE
)
IN_A_THREAD = IN_MEMORY.replace("await asyncio", "import time; time")
SLEEP = "await asyncio.sleep(0.1)"
BACKGROUND = "background_tasks.add_task(write_report)"

RIGHT: dict[str, tuple[str, dict[str, str]]] = {
    "the path operation commits and closes": (
        "07.1",
        {
            FUNCTION: DEFAULT,
            FLUSH: "    session.commit()\n    number = parcel.id\n    session.close()\n",
            ADD: "background_tasks.add_task(pack_parcel, number)",
            RETURN: '    return {"id": number}\n',
        },
    ),
    "no dependency": (
        "07.1",
        {
            "background_tasks: BackgroundTasks, session: ShopSession\n)": (
                "background_tasks: BackgroundTasks\n)"
            ),
            "    parcel = Parcel(item=item)\n    session.add(parcel)\n": "",
            FLUSH: "    with Session(shop, expire_on_commit=False) as session:\n"
            "        parcel = Parcel(item=item)\n"
            "        session.add(parcel)\n"
            "        session.commit()\n",
        },
    ),
    "the task is given the item too": (
        "07.1",
        {
            TASK: "def pack_parcel(parcel_id: int, item: str) -> None:\n",
            READ: "",
            ADD: "background_tasks.add_task(pack_parcel, parcel.id, item)",
        },
    ),
    "the task logs its error": (
        "07.1",
        {PACK: "    try:\n        pack(item)\n    except RuntimeError:\n        return\n"},
    ),
    "an async task": (
        "07.1",
        {
            TASK: f"async {TASK}",
            PACK: "    import asyncio\n    await asyncio.to_thread(pack, item)\n",
        },
    ),
    "an update": (
        "07.1",
        {
            SET: "        from sqlalchemy import update\n"
            "        packed = update(Parcel).where(Parcel.id == parcel_id)\n"
            '        session.execute(packed.values(status="packed"))\n'
        },
    ),
    "the request's session in the task, used again": (
        "07.1",
        {
            TASK: "def pack_parcel(parcel_id: int, session: Session) -> None:\n",
            BODY: "    item = session.get_one(Parcel, parcel_id).item\n"
            "    session.close()\n"
            f"{PACK}{SET[4:]}{COMMIT[4:]}",
            ADD: "background_tasks.add_task(pack_parcel, parcel.id, session)",
        },
    ),
    "rows in memory": ("07.2", {DRAFT: IN_MEMORY}),
    "rows in memory, in a worker thread": (
        "07.2",
        {"async def write_report": "def write_report", DRAFT: IN_A_THREAD},
    ),
    "cancellation is caught": (
        "07.2",
        {"    finally:\n": "    except asyncio.CancelledError:\n"},
    ),
    "a temporary file with a name of its own": (
        "07.2",
        {
            REPORT: "import tempfile\n    draft = Path(tempfile.mkstemp(dir='.')[1])",
            "        os.replace(draft, REPORT)\n": "        draft.rename(REPORT)\n",
        },
    ),
}


@pytest.mark.parametrize(("number", "changes"), RIGHT.values(), ids=RIGHT.keys())
def test_another_right_answer_is_right(number: str, changes: dict[str, str]) -> None:
    result = checked(number, answer(number, changes))
    assert result, str(result)


WAITED = (
    "GET /parcels/2 was not answered before the parcel was packed: it had to wait for the only "
    "connection. Which session was open while `pack` was at work?"
)
EMPTY = STUBS["07.2"]
LEFT = (
    "When the task had been cancelled, there was another file beside report.csv: report.draft. "
    "Who removes it?"
)
WRONG: dict[str, tuple[str, dict[str, str], str]] = {
    "the default scope": ("07.1", {FUNCTION: DEFAULT}, STUBS["07.1"]),
    "the task is given the parcel": (
        "07.1",
        {
            TASK: "def pack_parcel(parcel: Parcel) -> None:\n",
            BODY: '    pack(parcel.item)\n    parcel.status = "packed"\n',
            ADD: "background_tasks.add_task(pack_parcel, parcel)",
        },
        "POST /parcels/tea was answered, but then a task failed: DetachedInstanceError: Instance "
        "<Parcel at *> is not bound to a Session; attribute refresh operation cannot proceed. "
        "Pass the id.",
    ),
    "the path operation commits, and its session stays open": (
        "07.1",
        {
            FUNCTION: DEFAULT,
            TASK: "def pack_parcel(parcel: Parcel) -> None:\n",
            BODY: '    pack(parcel.item)\n    parcel.status = "packed"\n',
            FLUSH: "    session.commit()\n",
            ADD: "background_tasks.add_task(pack_parcel, parcel)",
        },
        WAITED,
    ),
    "the task's session is open while it packs": (
        "07.1",
        {
            BODY: "    with Session(shop) as session:\n"
            "        parcel = session.get_one(Parcel, parcel_id)\n"
            "        pack(parcel.item)\n"
            '        parcel.status = "packed"\n'
            "        session.commit()\n"
        },
        WAITED,
    ),
    "nobody commits": (
        "07.1",
        {WRITE: f"    with Session(shop) as session:\n{SET}"},
        "When the task had ended, parcel 1 was 'new' in the database, not 'packed'. Who commits "
        "what the task has changed?",
    ),
    "packed before it is packed": (
        "07.1",
        {BODY: f"{READ}{WRITE}{PACK}"},
        "While the parcel was packed, GET /parcels/1 said 'packed', not 'new'.",
    ),
    "packed at the response": (
        "07.1",
        {"    parcel = Parcel(item=item)": '    parcel = Parcel(item=item, status="packed")'},
        "When POST /parcels/tea was answered, parcel 1 was 'tea' with the status 'packed'. It "
        "should be 'tea' and 'new': it is packed after the response.",
    ),
    "packed in the path operation": (
        "07.1",
        {PACK: "", FLUSH: f"{FLUSH}{PACK}"},
        "POST /parcels/honey was answered with 500: the app raised RuntimeError: the jar is "
        "broken.",
    ),
    "packed in any case": (
        "07.1",
        {f"{PACK}": "    try:\n        pack(item)\n    except RuntimeError:\n        pass\n"},
        "Packing the honey has failed, and yet parcel 2 is 'packed'. It should still be 'new'.",
    ),
    "deleted when packing fails": (
        "07.1",
        {
            PACK: "    try:\n        pack(item)\n    except RuntimeError:\n"
            "        with Session(shop) as session:\n"
            "            session.delete(session.get_one(Parcel, parcel_id))\n"
            "            session.commit()\n"
            "        return\n"
        },
        "When packing the honey had failed, parcel 2 was gone. The client was told of it, so it "
        "should be there, and 'new'.",
    ),
    "a thread": (
        "07.1",
        {ADD: "threading.Timer(0.2, pack_parcel, [parcel.id]).start()"},
        "The parcel was packed by work that the server does not know of, and would not wait for "
        "when it stops. Use background_tasks.add_task.",
    ),
    "no task": (
        "07.1",
        {ADD: "pass"},
        "POST /parcels/tea was answered, but no background task ran. Was the task added to the "
        "background_tasks that FastAPI passes in?",
    ),
    "add_task is given a result": (
        "07.1",
        {ADD: "background_tasks.add_task(pack(item))"},
        "POST /parcels/tea was answered, but then a task failed (TypeError: the first argument "
        "must be callable): add_task was given the result of a call. Give it the function and its "
        "arguments, separated by commas: add_task(pack_parcel, parcel.id).",
    ),
    "the first session is never closed": (
        "07.1",
        {READ: "    session = Session(shop)\n    item = session.get_one(Parcel, parcel_id).item\n"},
        "GET /parcels/1 was answered with 500 while the parcel was packed: it got no connection. "
        "Which session had the only one?",
    ),
    "a failure leaves a session open": (
        "07.1",
        {
            PACK: "    try:\n        pack(item)\n    except RuntimeError:\n"
            "        found.append(Session(shop))\n"
            "        found[-1].get_one(Parcel, parcel_id)\n"
            "        return\n",
            TASK: f"found: list[Session] = []\n\n\n{TASK}",
        },
        "When all tasks had ended, GET /parcels/1 was answered with 500. Has every session given "
        "its connection back? `with Session(shop) as session:` sees to it.",
    ),
    "the last session is never closed": (
        "07.1",
        {
            WRITE: "    session = Session(shop)\n"
            '    session.get_one(Parcel, parcel_id).status = "packed"\n'
            "    session.commit()\n"
            "    found.append(session)\n"
            "    session.get_one(Parcel, parcel_id)\n",
            TASK: f"found: list[Session] = []\n\n\n{TASK}",
        },
        "POST /parcels/honey was answered with 500: the app raised TimeoutError: QueuePool limit *",
    ),
    "an endless loop": (
        "07.1",
        {PACK: "    while True: pass\n"},
        "Still running after 4 seconds: pack_parcel, started by POST /parcels/tea.",
    ),
    "no id": (
        "07.1",
        {RETURN: "    return {}\n"},
        "POST /parcels/tea should answer with the parcel's id, as it did.",
    ),
    "no database": (
        "07.1",
        {"ShopBase.metadata.create_all(shop)": "pass"},
        "The shop's database, outbox/shop.db, cannot be used (unable to open database file). Run "
        "the cell that makes it again, and then the one with the answer.",
    ),
    "nobody removes the draft": ("07.2", {"draft.unlink(missing_ok=True)": "pass"}, LEFT),
    "a worker thread cannot clean up": (
        "07.2",
        {"async def write_report": "def write_report", SLEEP: "import time; time.sleep(0.1)"},
        LEFT,
    ),
    "the half report is removed": (
        "07.2",
        {REPORT: "draft = REPORT", "        os.replace(draft, REPORT)\n": ""},
        EMPTY,
    ),
    "the rows are collected, and yesterday's is written over": (
        "07.2",
        {DRAFT: IN_MEMORY.replace("draft.write", "REPORT.write").replace(MOVE, "")},
        "report.csv was written over where it stands: for a moment it is empty or cut off, and "
        "somebody may look just then. Write another file, and let that one take its place in a "
        "single step.",
    ),
    "yesterday's is removed first": (
        "07.2",
        {REPORT: f"REPORT.unlink()\n    {REPORT}"},
        "Somebody looked, and report.csv was gone. Yesterday's should stay until today's is whole.",
    ),
    "the request waits": (
        "07.2",
        {BACKGROUND: "await write_report()"},
        "When POST /report was answered, report.csv was complete already. Leave it to a "
        "background task, and let the rows take their time.",
    ),
    "create_task": (
        "07.2",
        {BACKGROUND: "app.state.task = asyncio.create_task(write_report())"},
        "Told to end, the server did not wait: the report is written by work that it does not "
        "know of. Use background_tasks.add_task.",
    ),
    "the task fails": (
        "07.2",
        {"os.replace(draft, REPORT)": "os.replace(REPORT, 1 / 0)"},
        "4 seconds after POST /report report.csv was still yesterday's. It said: "
        "ZeroDivisionError: division by zero",
    ),
    "a row is missing": (
        "07.2",
        {"range(1, 21)": "range(1, 20)"},
        "Somebody looked, and report.csv was 19 lines long: neither yesterday's report nor "
        "today's 20 rows.",
    ),
    "a task that does not end when it is cancelled": (
        "07.2",
        {
            "    finally:\n": "    finally:\n"
            "        import time; not draft.exists() or time.sleep(60)\n"
        },
        "3 seconds after SIGTERM, with a time limit of 1 second, the server had not ended. A "
        "cancelled task should be quick, and pass CancelledError on.",
    ),
    "an endless loop that holds the event loop": (
        "07.2",
        {SLEEP: "\n                while True: pass"},
        "4 seconds after POST /report report.csv was still yesterday's.",
    ),
    "a start without an end": (
        "07.2",
        {"app = FastAPI()\nREPORT": "while True: pass\napp = FastAPI()\nREPORT"},
        "The app had not started after 8 seconds.",
    ),
    "an answer without an end": (
        "07.2",
        {BACKGROUND: "await asyncio.Event().wait()"},
        "POST /report got no answer: ReadTimeout.",
    ),
    "no path": (
        "07.2",
        {'@app.post("/report"': '@app.post("/reports"'},
        "POST /report was answered with 404.",
    ),
    "the path operation raises": (
        "07.2",
        {BACKGROUND: "raise KeyError('row')"},
        "POST /report was answered with 500. It said: KeyError: 'row'",
    ),
    "it does not parse": (
        "07.2",
        {"app = FastAPI()\nREPORT": "app = = FastAPI()\nREPORT"},
        "The app did not start. It said: SyntaxError: invalid syntax",
    ),
    "no app": (
        "07.2",
        {"\napp = FastAPI()\nREPORT": "\napi = app = FastAPI()\nREPORT", '""")': 'del app\n""")'},
        'The app did not start. It said: ERROR:    Error loading ASGI app. Attribute "app" not '
        'found in module "report_app".',
    ),
}


@pytest.mark.parametrize(("number", "changes", "sentence"), WRONG.values(), ids=WRONG.keys())
def test_a_wrong_answer_gets_its_sentence(
    number: str, changes: dict[str, str], sentence: str
) -> None:
    result = checked(number, answer(number, changes))
    assert not result
    begin, _, end = f"{sentence}\nNot solved yet.".partition("*")
    assert str(result).startswith(begin)
    assert str(result).endswith(end)
    assert len(result.sentences) == 1


@pytest.mark.parametrize("number", ANSWERS)
@pytest.mark.parametrize("given", [None, 42, "shop_app", print, Path(), dict, "a\0b"])
def test_what_is_no_answer_gets_a_sentence(number: str, given: Any) -> None:
    result = checked(number, given)
    assert not result
    assert len(result.sentences) == 1
    assert "Traceback" not in str(result)


def test_without_posix_signals_the_report_is_judged_without_a_shutdown(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(reports, "POSIX", False)
    result = checked("07.2", answer("07.2"))
    assert str(result) == (
        "Whoever looked found yesterday's report or today's, whole.\n"
        "This system has no POSIX signals, so no shutdown was tried.\nSolved."
    )
    assert not checked("07.2", answer("07.2", notebook=NOTEBOOK))


def test_a_check_that_is_cancelled_leaves_no_process() -> None:
    async def cancelled() -> None:
        checking = asyncio.create_task(check("07.2", answer("07.2")))
        while not child_process._alive:
            await asyncio.sleep(0.01)
        checking.cancel()
        await asyncio.wait([checking])

    asyncio.run(cancelled())

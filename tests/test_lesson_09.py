"""Lesson 09: falsified, its facts turn the notebook red; its exercises take right answers only."""

import asyncio
import os
import time
from pathlib import Path
from typing import Any

import pytest

from course_app.exercises import Result, check, predict
from tests.support.answers import nothing_left_behind
from tests.support.mutants import Mutant, survivors
from tests.support.written_files import file_cell

NOTEBOOK = Path(__file__).parent.parent / "notebooks" / "09_outgrowing.ipynb"
SOLVED = NOTEBOOK.parent / "solutions" / NOTEBOOK.name
FILES = {"09.1": "outbox/invoices.py", "09.2": "outbox/charges.py"}

ROUNDS: list[dict[str, Mutant]] = [
    {
        "nothing computes in the server's process": (
            {'api.post(f"/reports/{number}/here?waiting=1")': 'api.post(f"/reports/{number}")'},
            "in_the_app = await asker.median()",
        ),
        "there is no second worker": (
            {'bob = Worker(broker, name="bob")': "bob = None"},
            'await lab.post(f"/worker/{number}")',
        ),
        "the server is not killed": ({"api.kill()": "pass"}, "await until_done(4, patience=2)"),
    },
    {
        "the job is called, not sent": (
            {
                "job = worker.make_report.delay(number, computing=0.1, waiting=0.5)": (
                    "worker.make_report(number, computing=0.1, waiting=0.5)"
                ),
                "job.id": '"7"',
            },
            'await lab.post("/here/1")',
        ),
        "the worker is not killed": ({"ada.kill()": "pass"}, "for name, counted in table.items():"),
    },
]


@pytest.mark.parametrize("mutants", ROUNDS, ids="; ".join)
def test_falsified_facts_turn_the_notebook_red(mutants: dict[str, Mutant]) -> None:
    assert survivors(NOTEBOOK, mutants) == []


pytestmark = pytest.mark.usefixtures("own_folder")


def checked(number: str, answer: Any, limit: float = 75) -> Result:
    """The result of a check, which leaves no thread, socket or process behind."""
    before, begun = children(), time.monotonic()
    with nothing_left_behind():
        result = asyncio.run(check(number, answer))
    assert time.monotonic() - begun < limit
    assert children() - before <= guards()
    return result


def children() -> set[int]:
    return {
        int(pid)
        for task in Path("/proc/self/task").iterdir()
        for pid in (task / "children").read_text().split()
    }


def guards() -> set[int]:
    """The one process that stays: it ends what is left when this process is killed."""
    from course_app.lab import child_process

    return {child_process._guard.pid} if child_process._guard else set()


def answer(number: str, changes: dict[str, str] | None = None, notebook: Path = SOLVED) -> Path:
    """The file of an exercise, solved, or with the changes that a learner has made to it."""
    path = Path(FILES[number])
    path.parent.mkdir(exist_ok=True)
    path.write_text(file_cell(notebook, FILES[number], changes))
    return path


STUBS = {
    "09.1": "Both orders were answered with 202. Then the server was killed, and of 2 invoices "
    "0 were written. The worker got no job: write_invoice still runs in the server's process.",
    "09.2": "The process was killed in the middle of order 1, and the job was run again. Order 1 "
    "is charged 2 times, and should be once: outbox/charged.txt has “order 1 pays 20”, "
    "“order 1 pays 20”.",
}


@pytest.mark.parametrize("number", FILES)
def test_the_stub_is_not_solved_yet(number: str) -> None:
    result = checked(number, answer(number, notebook=NOTEBOOK))
    assert str(result) == f"{STUBS[number]}\nNot solved yet."


@pytest.mark.parametrize("number", FILES)
def test_the_solution_is_right_also_when_it_is_checked_twice(number: str) -> None:
    path = answer(number)
    assert checked(number, path)
    assert checked(number, str(path.resolve()))


IF = """    charged = CHARGED.read_text().splitlines() if CHARGED.exists() else []
    if f"order {order} pays {amount}" not in charged:
        with open(CHARGED, mode="a") as file:
            file.write(f"order {order} pays {amount}\\n")
"""
WRITE = 'with open(CHARGED, mode="a") as file:\n    file.write(f"order {order} pays {amount}\\n")\n'


def indented(code: str, spaces: int) -> str:
    return "".join(f"{' ' * spaces}{line}\n" for line in code.splitlines())


RIGHT = {
    "a task with a name and a limit": (
        "09.1",
        {"@celery.task\n": '@celery.task(name="invoice", ignore_result=True)\n'},
    ),
    "sent with apply_async": (
        "09.1",
        {"write_invoice.delay(number)": "write_invoice.apply_async([number])"},
    ),
    "an async path operation that sends in a thread": (
        "09.1",
        {
            "def order(number": "async def order(number",
            "write_invoice.delay(number)": (
                "import asyncio\n    await asyncio.to_thread(write_invoice.delay, number)"
            ),
        },
    ),
    "a key in a database": (
        "09.2",
        {
            IF: "    import sqlite3\n"
            '    with sqlite3.connect("outbox/orders.db") as db:\n'
            '        db.execute("CREATE TABLE IF NOT EXISTS paid (id INTEGER PRIMARY KEY)")\n'
            '        new = db.execute("INSERT OR IGNORE INTO paid VALUES (?)", [order]).rowcount\n'
            f"        if new:\n{indented(WRITE, 12)}"
        },
    ),
    "the whole file is written anew": (
        "09.2",
        {
            IF: "    lines = set(CHARGED.read_text().splitlines()) if CHARGED.exists() else set()\n"
            '    lines.add(f"order {order} pays {amount}")\n'
            '    CHARGED.write_text("\\n".join(sorted(lines)) + "\\n")\n'
        },
    ),
}


@pytest.mark.parametrize(("number", "changes"), RIGHT.values(), ids=RIGHT.keys())
def test_another_right_answer_passes(number: str, changes: dict[str, str]) -> None:
    result = checked(number, answer(number, changes))
    assert result, str(result)


WRONG = {
    "the function is called": (
        "09.1",
        {"write_invoice.delay(number)": "write_invoice(number)"},
        "POST /orders/1 was answered after",
    ),
    "the function is no task": (
        "09.1",
        {"@celery.task\n": ""},
        "POST /orders/1 was answered with 500. The server says: AttributeError: 'function' object "
        "has no attribute 'delay'",
    ),
    "nothing is sent": (
        "09.1",
        {"    write_invoice.delay(number)\n": ""},
        "Both orders were answered with 202. Then the server was killed, and of 2 invoices 0 were "
        "written. The worker got no job: write_invoice still runs in the server's process.",
    ),
    "a thread": (
        "09.1",
        {
            "    write_invoice.delay(number)\n": "    import threading\n"
            "    threading.Thread(target=write_invoice, args=[number]).start()\n"
        },
        "Both orders were answered with 202. Then the server was killed, and of 2 invoices 0 were "
        "written. The worker got no job: write_invoice still runs in the server's process.",
    ),
    "the argument is forgotten": (
        "09.1",
        {"delay(number)": "delay()"},
        "POST /orders/1 was answered with 500. The server says: TypeError: ",
    ),
    "an argument that JSON does not have": (
        "09.1",
        {"delay(number)": "delay({number})"},
        "POST /orders/1 was answered with 500. The server says: ",
    ),
    "the task raises": (
        "09.1",
        {"    time.sleep(1)\n": "    time.sleep(1 + 'a')\n"},
        "The worker had an error: TypeError",
    ),
    "sent twice": (
        "09.1",
        {"    write_invoice.delay(number)\n": "    write_invoice.delay(number)\n" * 2},
        "There should be one invoice an order. The file has ",
    ),
    "the status is 200": (
        "09.1",
        {", status_code=202": ""},
        "POST /orders/1 was answered with 200, and should be with 202.",
    ),
    "another body": (
        "09.1",
        {'{"ordered": number}': '{"ordered": 0}'},
        "POST /orders/1 was answered with {'ordered': 0}, and should be with {'ordered': 1}.",
    ),
    "an app of its own for the jobs": (
        "09.1",
        {"from course_app.worker import celery": "celery = None"},
        "A worker with outbox.invoices:celery cannot be started. The last line of its log: ",
    ),
    "it raises when it is imported": (
        "09.1",
        {"app = FastAPI()": "app = FastAPI()\nraise ValueError('no')"},
        "A worker with outbox.invoices:celery cannot be started. The last line of its log: "
        "ValueError: Couldn't import 'outbox.invoices:celery': no",
    ),
    "it does not parse": (
        "09.1",
        {"app = FastAPI()": "app = FastAPI("},
        "invoices.py, line 7: '(' was never closed.",
    ),
    "a tenth that cannot be told apart": (
        "09.2",
        {'f"order {order} pays {amount}" not in charged': 'f"pays {amount}" not in str(charged)'},
        "Then order 2 came, of the same amount. Order 2 is charged 0 times, and should be once: "
        "outbox/charged.txt has “order 1 pays 20”.",
    ),
    "noted as done at the end": (
        "09.2",
        {
            "    charged = CHARGED.read_text().splitlines() if CHARGED.exists() else []\n": (
                '    done = Path(f"outbox/done_{order}")\n'
            ),
            'f"order {order} pays {amount}" not in charged': "not done.exists()",
            "    time.sleep(1)  # a slow mail server\n": "    time.sleep(1)\n    done.touch()\n",
        },
        STUBS["09.2"],
    ),
    "the second run leaves everything out": (
        "09.2",
        {
            'f"order {order} pays {amount}" not in charged:\n': (
                'f"order {order} pays {amount}" in charged:\n        return\n    if True:\n'
            )
        },
        "The process was killed in the middle of order 1, and the job was run again. The customer "
        "has no receipt.",
    ),
    "a variable of the process": (
        "09.2",
        {
            "CHARGED = ": "orders = set()\nCHARGED = ",
            'f"order {order} pays {amount}" not in charged:\n': (
                "order not in orders:\n        orders.add(order)\n"
            ),
        },
        STUBS["09.2"],
    ),
    "the payment comes last": (
        "09.2",
        {
            IF: "",
            'file.write(f"receipt for order {order}\\n")\n': (
                f'file.write(f"receipt for order {{order}}\\n")\n{indented(WRITE, 4)}'
            ),
        },
        "The job of order 1 was sent once more. Order 1 is charged 2 times, and should be once: ",
    ),
    "nobody is charged": (
        "09.2",
        {IF: ""},
        "The process was killed in the middle of order 1, and the job was run again. Order 1 is "
        "charged 0 times",
    ),
    "no receipt": (
        "09.2",
        {'    with open("outbox/receipts.txt", mode="a") as file:\n': "    if False:\n"},
        "The process was killed in the middle of order 1, and the job was run again. The customer "
        "has no receipt.",
    ),
    "the task has another name": (
        "09.2",
        {"def charge(": "def pay("},
        "The worker finds no task `charge` in outbox.charges.",
    ),
    "the function raises": (
        "09.2",
        {IF: "    raise ValueError('no such order')\n"},
        "The job of order 1 has left no line in either file: the task raised ValueError",
    ),
}


@pytest.mark.parametrize(("number", "changes", "sentence"), WRONG.values(), ids=WRONG.keys())
def test_a_wrong_answer_gets_its_sentence(
    number: str, changes: dict[str, str], sentence: str
) -> None:
    result = checked(number, answer(number, changes))
    assert str(result).startswith(sentence)
    assert str(result).endswith("\nNot solved yet.")
    assert len(result.sentences) == 1
    assert "Traceback" not in str(result)
    assert "\n" not in result.sentences[0]


@pytest.mark.parametrize("number", FILES)
def test_an_answer_that_never_ends_its_import_gets_a_sentence(
    number: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from course_app.exercises import lesson_09_files

    monkeypatch.setattr(lesson_09_files, "STARTING", 3.0)
    path = answer(number)
    path.write_text("while True: pass\n")
    result = checked(number, path)
    assert "did not start within 3 seconds" in str(result)
    assert len(result.sentences) == 1


@pytest.mark.parametrize("number", FILES)
@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        (None, "Given was: NoneType."),
        (42, "Given was: int."),
        (Path, "Given was: Path."),
        (print, "Given was: builtin_function_or_method."),
        ("outbox/nothing.py", "There is no Python file outbox/nothing.py."),
        (Path(), "There is no Python file ."),
        (__file__, "The file must be below the current folder, as outbox/"),
    ],
)
def test_what_is_no_file_gets_a_sentence(number: str, given: Any, sentence: str) -> None:
    result = checked(number, given)
    assert not result
    assert sentence in str(result)
    assert len(result.sentences) == 1


@pytest.mark.parametrize(
    ("row", "chosen", "sentence"),
    [
        ({"done": 0, "lost": 4}, "none", "You predicted “none of them”, and so it was."),
        ({"done": 0, "lost": 4}, "all", "You predicted “every one”. It was: “none of them”."),
        ({"done": 1, "lost": 3}, "none", "You predicted “none of them”. It was: “a few”."),
        ({"done": 4, "lost": 0}, "all", "You predicted “every one”, and so it was."),
    ],
)
def test_the_prediction_is_scored_by_the_ledger(
    row: dict[str, int], chosen: str, sentence: str
) -> None:
    asked = predict(
        "09.p1", "How many?", {"all": "every one", "some": "a few", "none": "none of them"}
    )
    asked.prediction = chosen
    assert predict.score("09.p1", row) == sentence


def test_a_prediction_without_a_row_is_a_sentence() -> None:
    asked = predict("09.p1", "How many?", {"all": "every one", "none": "none of them"})
    asked.prediction = "all"
    assert "cannot be scored" in predict.score("09.p1", None)


def test_a_check_changes_no_environment() -> None:
    before = dict(os.environ)
    checked("09.1", answer("09.1", {"delay(number)": "delay()"}))
    assert dict(os.environ) == before

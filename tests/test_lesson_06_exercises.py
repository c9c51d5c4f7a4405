"""Lesson 06: its exercises take every right answer, and name what is wrong with another."""

import asyncio
from pathlib import Path
from typing import Any

import nbformat
import pytest

from course_app.exercises import check
from course_app.lab import Lab
from tests.support.answers import checked

NOTEBOOK = Path(__file__).parent.parent / "notebooks" / "06_what_gets_lost.ipynb"
SOLVED = NOTEBOOK.parent / "solutions" / NOTEBOOK.name
ANSWERS = {"06.1": "welcome_app", "06.2": "receipt_app", "06.3": "try_again"}


@pytest.fixture(autouse=True)
def outbox(own_folder: Path) -> None:
    (own_folder / "outbox").mkdir()


IMPORTS = """
import asyncio, time
from pathlib import Path
from typing import Annotated
from fastapi import BackgroundTasks, Depends, FastAPI, HTTPException, Request
from fastapi.responses import JSONResponse
from starlette.background import BackgroundTask
OUTBOX = Path("outbox")
"""


def answer(number: str, changes: dict[str, str] | None = None, notebook: Path = SOLVED) -> Any:
    """The answer to an exercise, solved, or with the changes that a learner has made to it.

    `changes` maps pieces of the exercise's code to what stands there instead.
    """
    cells = iter(nbformat.read(notebook, as_version=4).cells)
    while f"### {number} " not in next(cells).source:
        pass
    code = ""
    while not (cell := next(cells)).source.startswith("await check("):
        code += f"{cell.source}\n\n\n" * (cell.cell_type == "code")
    for old, new in (changes or {}).items():
        assert old in code, f"nothing to change: {old!r}"
        code = code.replace(old, new)
    namespace: dict[str, Any] = {"__name__": "__main__"}
    exec(compile(IMPORTS + code, notebook.name, "exec"), namespace)
    return namespace[ANSWERS[number]]


STUBS = {
    "06.1": "POST /welcome/grace was answered, but then send_welcome failed: ConnectionError: the "
    "mail server is down. count_welcome did not run.",
    "06.2": "POST /orders/tea left “receipt for tea” in outbox/orders.txt, but not “audit of tea”.",
    "06.3": "When send succeeds at the third attempt, the task raised ConnectionError: the mail "
    "server is down. It should end.",
}


@pytest.mark.parametrize("number", ANSWERS)
def test_the_stub_is_not_solved_yet(number: str) -> None:
    result = checked(number, answer(number, notebook=NOTEBOOK))
    assert not result
    assert str(result) == f"{STUBS[number]}\nNot solved yet."


@pytest.mark.parametrize("number", ANSWERS)
def test_the_solution_is_right_also_when_it_is_checked_twice(number: str) -> None:
    solution = answer(number)
    assert checked(number, solution)
    assert checked(number, solution)


EACH = (
    "    for task in [write_copy, send_welcome, count_welcome]:\n"
    "        background_tasks.add_task(survive, task, name)\n"
)
THREE = "".join(
    f"    background_tasks.add_task({task}, name)\n"
    for task in ["write_copy", "send_welcome", "count_welcome"]
)
SURVIVE = "def survive(task, *args) -> None:\n"
LINE = '        write_line(f"{task.__name__} failed: {error}")\n'
COPY = '        raise ValueError("the copy has no address")\n'
COUNTER = '        raise OSError("the counter is stuck")\n'
MAIL = '        raise ConnectionError("the mail server is down")\n    write_line(f"mail'
SLEEP_MAIL = "def send_welcome(name: str) -> None:\n    time.sleep(0.3)\n"
NONE = "    if confirmation.background is not None:\n    "
ADD = "    background_tasks.add_task(confirmation.background)\n"
ATTACH = "    confirmation.background = background_tasks\n"
AUDIT = '    background_tasks.add_task(write_order, f"audit of {item}")\n'
CREATE = "def create_order(item: str, background_tasks: BackgroundTasks) -> JSONResponse:\n"
PAUSE = "                await asyncio.sleep(pause)\n"
BREAK = "        except Exception:\n            break\n"

RIGHT = {
    "a decorator": (
        "06.1",
        {
            EACH: "    for task in [write_copy, send_welcome, count_welcome]:\n"
            "        background_tasks.add_task(surviving(task), name)\n",
            SURVIVE: "def surviving(task):\n"
            "    import functools\n"
            "    return functools.wraps(task)(functools.partial(survive, task))\n\n\n" + SURVIVE,
        },
    ),
    "each task catches its own": (
        "06.1",
        {
            EACH: THREE,
            COPY: '        write_line("write_copy failed: the copy has no address")\n'
            "        return\n",
            COUNTER: '        write_line("count_welcome failed: the counter is stuck")\n'
            "        return\n",
            SLEEP_MAIL: "def send_welcome(name: str) -> None:\n"
            "    try:\n"
            "        send_welcome_boldly(name)\n"
            "    except ConnectionError as error:\n"
            '        write_line(f"send_welcome failed: {error}")\n\n\n'
            "def send_welcome_boldly(name: str) -> None:\n    time.sleep(0.3)\n",
        },
    ),
    "one runner for all": (
        "06.1",
        {
            EACH: "    background_tasks.add_task(\n"
            "        survive_all, [write_copy, send_welcome, count_welcome], name)\n",
            SURVIVE: "def survive_all(tasks, *args) -> None:\n"
            "    for task in tasks:\n"
            "        survive(task, *args)\n\n\n" + SURVIVE,
        },
    ),
    "a kind of BackgroundTasks that survives": (
        "06.1",
        {
            EACH: "    tasks = Surviving()\n"
            "    for task in [write_copy, send_welcome, count_welcome]:\n"
            "        tasks.add_task(task, name)\n"
            '    return JSONResponse({"welcome": name}, background=tasks)\n',
            SURVIVE: "class Surviving(BackgroundTasks):\n"
            "    def add_task(self, task, *args):\n"
            "        super().add_task(survive, task, *args)\n\n\n" + SURVIVE,
        },
    ),
    "all at once": (
        "06.1",
        {
            EACH: "    background_tasks.add_task(together, name)\n",
            SURVIVE: "def together(name):\n"
            "    from concurrent.futures import ThreadPoolExecutor\n"
            "    with ThreadPoolExecutor() as pool:\n"
            "        for task in [write_copy, send_welcome, count_welcome]:\n"
            "            pool.submit(survive, task, name)\n\n\n" + SURVIVE,
        },
    ),
    "a list of both": (
        "06.2",
        {
            NONE + ADD: "    own = [confirmation.background] if confirmation.background else []\n"
            "    background_tasks = BackgroundTasks([*background_tasks.tasks, *own])\n",
        },
    ),
    "a list with the own one first": (
        "06.2",
        {
            NONE + ADD: "    if confirmation.background:\n"
            "        background_tasks.tasks.insert(0, confirmation.background)\n",
        },
    ),
    "the function of the own task is added": (
        "06.2",
        {
            ADD: "    background_tasks.add_task(\n"
            "            confirmation.background.func, *confirmation.background.args)\n",
        },
    ),
    "one function runs both": (
        "06.2",
        {
            NONE + ADD + ATTACH: "    own = confirmation.background\n\n"
            "    async def both() -> None:\n"
            "        await background_tasks()\n"
            "        if own:\n"
            "            await own()\n\n"
            "    confirmation.background = BackgroundTask(both)\n",
        },
    ),
    "the place is left free": (
        "06.2",
        {ATTACH: "    confirmation.background = None\n"},
    ),
    "a while loop": (
        "06.3",
        {
            "    for pause in [0.1, 0.2, 0.4, None]:\n": "    pauses = [0.1, 0.2, 0.4, None]\n"
            "    while pauses:\n"
            "        pause = pauses.pop(0)\n",
        },
    ),
    "a pause in a thread": (
        "06.3",
        {
            PAUSE: "                import time\n"
            "                await asyncio.to_thread(time.sleep, pause)\n"
        },
    ),
    "longer pauses": ("06.3", {"[0.1, 0.2, 0.4, None]": "[0.2, 0.3, 0.5, None]"}),
}


@pytest.mark.parametrize(("number", "changes"), RIGHT.values(), ids=RIGHT.keys())
def test_another_right_answer_is_right(number: str, changes: dict[str, str]) -> None:
    result = checked(number, answer(number, changes))
    assert result, str(result)


WRONG: dict[str, tuple[str, dict[str, str], str]] = {
    "only the expected error is caught": (
        "06.1",
        {"except Exception as error": "except ConnectionError as error"},
        "POST /welcome/hedy was answered, but then survive failed: ValueError: the copy has no "
        "address. survive and survive did not run.",
    ),
    "two errors are expected, and not the third": (
        "06.1",
        {"except Exception as error": "except (ConnectionError, ValueError) as error"},
        "POST /welcome/joan was answered, but then survive failed: OSError: the counter is stuck.",
    ),
    "the error is swallowed": (
        "06.1",
        {LINE: "        pass\n"},
        "POST /welcome/grace left “copy for grace”, “grace is counted” in outbox/welcome.txt, but "
        "not “send_welcome failed: the mail server is down”: the error of send_welcome is lost.",
    ),
    "the line has the wrapper's name": (
        "06.1",
        {"{task.__name__} failed": "{survive.__name__} failed"},
        "POST /welcome/grace left “copy for grace”, “survive failed: the mail server is down”, "
        "“grace is counted” in outbox/welcome.txt. The line about the error should be "
        "“send_welcome failed: the mail server is down”.",
    ),
    "the error is only printed": (
        "06.1",
        {"    except Exception as error:\n" + LINE: "    finally:\n        pass\n"},
        "POST /welcome/grace was answered, but then survive failed: ConnectionError: the mail "
        "server is down. survive did not run.",
    ),
    "the error is logged and raised again": (
        "06.1",
        {LINE: LINE + "        raise\n"},
        "POST /welcome/grace was answered, but then survive failed: ConnectionError: the mail "
        "server is down. survive did not run.",
    ),
    "the tasks are called": (
        "06.1",
        {"background_tasks.add_task(survive, task, name)": "survive(task, name)"},
        "POST /welcome/ada: “copy for ada”, “mail to ada”, “ada is counted” is written before the "
        "response, not after it. No background task ran.",
    ),
    "add_task is given a result": (
        "06.1",
        {"add_task(survive, task, name)": "add_task(survive(task, name))"},
        "POST /welcome/ada was answered, but then a task failed (TypeError: the first argument "
        "must be callable): add_task was given the result of a call. Give it the function and its "
        "arguments, separated by commas: add_task(function, argument).",
    ),
    "one try around all": (
        "06.1",
        {
            EACH: "    background_tasks.add_task(all_of_them, name)\n",
            SURVIVE: "def all_of_them(name):\n"
            "    try:\n"
            "        for task in [write_copy, send_welcome, count_welcome]:\n"
            "            task(name)\n"
            "    except Exception as error:\n"
            '        write_line(f"{task.__name__} failed: {error}")\n\n\n' + SURVIVE,
        },
        "POST /welcome/grace left “copy for grace”, “send_welcome failed: the mail server is "
        "down” in outbox/welcome.txt, but not “grace is counted”.",
    ),
    "a handler for exceptions": (
        "06.1",
        {
            EACH: THREE,
            "welcome_app = FastAPI()\n": "welcome_app = FastAPI(exception_handlers={\n"
            "    Exception: lambda request, error: write_line('send_welcome failed: no')})\n",
        },
        "POST /welcome/grace was answered, but then send_welcome failed: ConnectionError: the "
        "mail server is down. count_welcome did not run.",
    ),
    "the mail never fails": (
        "06.1",
        {MAIL: '        pass\n    write_line(f"mail'},
        "POST /welcome/grace left “copy for grace”, “mail to grace”, “grace is counted” in "
        "outbox/welcome.txt, but not “send_welcome failed: the mail server is down”: the error of "
        "send_welcome is lost.",
    ),
    "a success is reported as a failure": (
        "06.1",
        {
            "    except Exception as error:\n" + LINE: "    except Exception as error:\n"
            + LINE
            + "    else:\n        write_line(f'{task.__name__} failed: no')\n"
        },
        "POST /welcome/ada left one line too many in outbox/welcome.txt: “write_copy failed: no”, "
        "“send_welcome failed: no”, “count_welcome failed: no”.",
    ),
    "threads that nobody waits for": (
        "06.1",
        {
            "background_tasks.add_task(survive, task, name)": "import threading\n"
            "        threading.Thread(target=survive, args=[task, name]).start()"
        },
        "POST /welcome/ada left its line by work that the server does not know of, and would not "
        "wait for when it stops. Use background_tasks.add_task.",
    ),
    "the file is opened anew": (
        "06.1",
        {'"welcome.txt", mode="a"': '"welcome.txt", mode="w"'},
        "POST /welcome/ada left “ada is counted” in outbox/welcome.txt, but not “copy for ada”.",
    ),
    "the own task is thrown away": (
        "06.2",
        {NONE + ADD: ""},
        "POST /orders/tea left “audit of tea” in outbox/orders.txt, but not “receipt for tea”.",
    ),
    "None is added": (
        "06.2",
        {NONE + ADD: ADD},
        "POST /orders/sample was answered, but then a task failed (TypeError: the first argument "
        "must be callable): add_task was given the result of a call. Give it the function and its "
        "arguments, separated by commas: add_task(function, argument).",
    ),
    "added, and not attached": (
        "06.2",
        {ATTACH: ""},
        "POST /orders/tea left “receipt for tea” in outbox/orders.txt, but not “audit of tea”.",
    ),
    "both, and the receipt twice": (
        "06.2",
        {ATTACH: '    background_tasks.add_task(write_order, f"receipt for {item}")\n' + ATTACH},
        "POST /orders/tea left “receipt for tea” 2 times in outbox/orders.txt. It should be there "
        "once.",
    ),
    "a sample gets a receipt": (
        "06.2",
        {NONE + ADD: '    background_tasks.add_task(write_order, f"receipt for {item}")\n'},
        "POST /orders/sample left one line too many in outbox/orders.txt: “receipt for sample”.",
    ),
    "the audit is written in the dependency": (
        "06.2",
        {AUDIT: '    write_order(f"audit of {item}")\n'},
        "POST /orders/tea: “audit of tea” is written before the response, not after it.",
    ),
    "another answer": (
        "06.2",
        {"    return confirmation\n": '    return JSONResponse({"item": item})\n'},
        "POST /orders/tea was answered with {'item': 'tea'}, and should be answered with "
        "{'ordered': 'tea'}, as confirm does.",
    ),
    "a list by hand": (
        "06.2",
        {ATTACH: "    confirmation.background = BackgroundTasks()\n"},
        "POST /orders/tea left no line in outbox/orders.txt, and no background task ran. Was the "
        "task added to the background_tasks that FastAPI passes in?",
    ),
    "tasks in the background of tasks": (
        "06.2",
        {ATTACH: "    background_tasks.add_task(background_tasks)\n" + ATTACH},
        "Your answer had not finished after 6.5 seconds, and was stopped.",
    ),
    "no BackgroundTasks annotation": (
        "06.2",
        {CREATE: "def create_order(item: str, background_tasks) -> JSONResponse:\n"},
        "POST /orders/tea was answered with 422: a parameter has another name or type than the "
        "exercise says (background_tasks needs the annotation BackgroundTasks).",
    ),
    "another method": (
        "06.2",
        {"@receipt_app.post": "@receipt_app.get"},
        "POST /orders/tea was answered with 405: the app has this path, but not for this method.",
    ),
    "three attempts": (
        "06.3",
        {"[0.1, 0.2, 0.4, None]": "[0.1, 0.2, None]"},
        "When send succeeds at the fourth attempt, there should be 4 attempts, and there were 3.",
    ),
    "for ever": (
        "06.3",
        {"    for pause in [0.1, 0.2, 0.4, None]:": "    while pause := 0.1:"},
        "When send succeeds at the third attempt, the pause after attempt 2 was shorter than 0.2 "
        "seconds.",
    ),
    "for ever, with pauses": (
        "06.3",
        {
            "    for pause in [0.1, 0.2, 0.4, None]:": "    import itertools\n"
            "    for pause in itertools.chain([0.1, 0.2, 0.4], itertools.repeat(0.1)):"
        },
        "When send always raises ConnectionError, the task had not ended after 3 seconds, and "
        "tried more than four times.",
    ),
    "no pause": (
        "06.3",
        {PAUSE: "                pass\n"},
        "When send succeeds at the third attempt, the pause after attempt 1 was shorter than 0.1 "
        "seconds.",
    ),
    "the loop is held": (
        "06.3",
        {PAUSE: "                import time; time.sleep(pause)\n"},
        "While it paused, nothing else could run on the event loop: every other request waits. "
        "Pause with `await asyncio.sleep(...)`.",
    ),
    "a wrong address is tried again": (
        "06.3",
        {"except ConnectionError": "except Exception"},
        "When send raises ValueError, there should be one attempt, and there were 4.",
    ),
    "another error escapes": (
        "06.3",
        {BREAK: ""},
        "When send raises ValueError, the task raised ValueError: no such address. It should end.",
    ),
    "another error ends without a word": (
        "06.3",
        {"            break\n": "            return None\n"},
        "When send raises ValueError, outbox/retries.txt should have the line “gave up on "
        "mary@example.com”, and has “gave up on joan@example.com”.",
    ),
    "a success is given up too": (
        "06.3",
        {"return await send(email)": "await send(email)\n            break"},
        "When send succeeds at once, the mail was sent, but outbox/retries.txt has “gave up on "
        "ada@example.com”.",
    ),
    "a success does not end it": (
        "06.3",
        {"return await send(email)": "await send(email)"},
        "When send succeeds at once, there should be one attempt, and there were 4.",
    ),
    "send is not awaited": (
        "06.3",
        {"return await send(email)": "return send(email)"},
        "When send succeeds at once: the task ended, and send had not been awaited.",
    ),
    "send is sent away": (
        "06.3",
        {
            "return await send(email)": "asyncio.create_task(send(email)); "
            "await asyncio.sleep(0); return"
        },
        "When send succeeds at once: the task ended while send was still at work. Await it.",
    ),
    "a def with a loop of its own": (
        "06.3",
        {
            "async def": "def",
            "await send(email)": "asyncio.run(send(email))",
            "await asyncio.sleep(pause)": "__import__('time').sleep(pause)",
        },
        "send ran on an event loop of its own, in another thread. Await it in an async function, "
        "so that it runs on the server's, which connections belong to.",
    ),
    "another address": (
        "06.3",
        {"return await send(email)": 'return await send("")'},
        "When send succeeds at once: send was called with '', not with the address.",
    ),
    "an endless loop": (
        "06.3",
        {"return await send(email)": "while True: pass"},
        "When send succeeds at once, the task had not ended after 3 seconds.",
    ),
}


@pytest.mark.parametrize(("number", "changes", "sentence"), WRONG.values(), ids=WRONG.keys())
def test_a_wrong_answer_gets_its_sentence(
    number: str, changes: dict[str, str], sentence: str
) -> None:
    result = checked(number, answer(number, changes))
    assert not result
    assert str(result) == f"{sentence}\nNot solved yet."


@pytest.mark.parametrize("number", ANSWERS)
@pytest.mark.parametrize("given", [None, 42, "welcome_app", dict, print, Path()])
def test_what_is_no_answer_gets_a_sentence(number: str, given: Any) -> None:
    result = checked(number, given)
    assert not result
    assert len(result.sentences) == 1


def test_the_learners_lab_stays_open() -> None:
    async def play() -> int:
        lab = Lab(answer("06.2"))
        try:
            assert await check("06.2", answer("06.2"))
            return (await lab.post("/orders/tea")).status_code
        finally:
            lab.close()

    assert asyncio.run(play()) == 200

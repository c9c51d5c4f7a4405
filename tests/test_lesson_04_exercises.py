"""The exercises of lesson 04: right answers pass, and each wrong one gets its own sentence."""

import asyncio
import sys
from pathlib import Path
from typing import Any

import pytest

from course_app.exercises import check
from course_app.exercises.checking import Result

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "notebooks" / "source"))

import build  # noqa: E402

SOURCE = ROOT / "notebooks" / "source" / "04_starlette_source.md"
IMPORTS = """
from fastapi import BackgroundTasks
from starlette.background import BackgroundTask
from starlette.responses import Response, StreamingResponse
import asyncio
"""


def exercise_cell(beginning: str, *, solved: bool) -> str:
    """The code of an exercise's cell, as it stands in one of the two notebooks."""
    cells = build.notebook_of(SOURCE, solved=solved).cells
    return IMPORTS + next(
        c.source for c in cells if c.cell_type == "code" and beginning in c.source
    )


def made(code: str, name: str) -> Any:
    namespace: dict[str, Any] = {}
    exec(code, namespace)
    return namespace[name]


def judged(number: str, answer: Any) -> Result:
    return asyncio.run(check(number, answer))


OWN = """
from starlette.background import BackgroundTask
from starlette.concurrency import run_in_threadpool
import asyncio, functools, inspect


class MiniBackgroundTasks:
    def __init__(self, tasks=None):
        self.tasks = list(tasks or [])

    def add_task(self, func, *args, **kwargs):
        self.tasks.append(functools.partial(func, *args, **kwargs))

    async def __call__(self):
        for task in self.tasks:
            await self.run(task)

    async def run(self, task):
        func = task.func if isinstance(task, functools.partial) else task
        if any(map(inspect.iscoroutinefunction, [func, func.__call__])):
            await task()
        else:
            await run_in_threadpool(task)
"""
LOOP = """        for task in self.tasks:
            await self.run(task)
"""
PASSED_OVER = """            try:
                await self.run(task)
            except Exception:
                pass
"""
HIDDEN = """        try:
            for task in self.tasks:
                await self.run(task)
        except Exception:
            pass
"""
ADD = "        self.tasks.append(functools.partial(func, *args, **kwargs))\n"
RIGHT: dict[str, dict[str, str]] = {
    "partials": {},
    "asyncio.to_thread": {"run_in_threadpool(task)": "asyncio.to_thread(task)"},
    "a plain executor": {
        "run_in_threadpool(task)": "asyncio.get_running_loop().run_in_executor(None, task)"
    },
    "Starlette's BackgroundTask inside": {
        ADD: "        self.tasks.append(BackgroundTask(func, *args, **kwargs))\n",
        "await self.run(task)": "await task()",
    },
    "a subclass of BackgroundTask, as in Starlette": {
        "class MiniBackgroundTasks:": "class MiniBackgroundTasks(BackgroundTask):",
        ADD: "        self.tasks.append(BackgroundTask(func, *args, **kwargs))\n",
        "await self.run(task)": "await task()",
    },
    "a queue that empties": {
        LOOP: "        while self.tasks:\n            await self.run(self.tasks.pop(0))\n"
    },
    "def __call__ that returns a coroutine": {
        "async def __call__(self):\n" + LOOP: "def __call__(self):\n        return self.all()\n\n"
        "    async def all(self):\n" + LOOP
    },
    "everything in a thread, then awaited if it must be": {
        OWN[OWN.index("        if any") :]: (
            "        result = await run_in_threadpool(task)\n"
            "        if inspect.isawaitable(result):\n            await result\n"
        )
    },
    "tuples, and a name of its own for the list": {
        "self.tasks": "self._waiting",
        ADD.replace("self.tasks", "self._waiting"): (
            "        self._waiting.append((func, args, kwargs))\n"
        ),
        "async def run(self, task):\n": "async def run(self, task):\n"
        "        if isinstance(task, tuple):\n"
        "            task = functools.partial(task[0], *task[1], **task[2])\n",
    },
}
WRONG: dict[str, tuple[dict[str, str], str]] = {
    "add_task calls": (
        {ADD: "        func(*args, **kwargs)\n"},
        "add_task ran first at once, while the client was still waiting.",
    ),
    "add_task forgets": ({ADD: "        pass\n"}, "no task ran"),
    "add_task is async": (
        {"    def add_task": "    async def add_task"},
        "add_task is an `async def` method, so calling it adds nothing.",
    ),
    "add_task takes no keywords": (
        {"func, *args, **kwargs)": "func, *args)"},
        "add_task(first, 'Ada', punctuation='!') raised TypeError",
    ),
    "the arguments are lost": (
        {ADD: "        self.tasks.append(functools.partial(func))\n"},
        "first was called with () instead of ('Ada', punctuation='!').",
    ),
    "keyword arguments are lost": (
        {ADD: "        self.tasks.append(functools.partial(func, *args))\n"},
        "first was called with ('Ada') instead of ('Ada', punctuation='!').",
    ),
    "__call__ is missing": (
        {"async def __call__": "async def call"},
        "MiniBackgroundTasks has no `__call__`",
    ),
    "__call__ is def": (
        {"async def __call__(self):\n" + LOOP: "def __call__(self):\n        pass\n"},
        "make it `async def`.",
    ),
    "def tasks are awaited": (
        {"await run_in_threadpool(task)": "await task()"},
        "only `async def` functions are awaited.",
    ),
    "async tasks are not awaited": (
        {"await self.run(task)": "await run_in_threadpool(task)"},
        "first and third ran, but second, an `async def` function, did not",
    ),
    "def tasks block the loop": (
        {"await run_in_threadpool(task)": "task()"},
        "it ran on the event loop itself",
    ),
    "async tasks run on a loop of their own": (
        {"    await task()": "    await asyncio.to_thread(asyncio.run, task())"},
        "in another thread, on another event loop",
    ),
    "in reverse": (
        {"for task in self.tasks:": "for task in self.tasks[::-1]:"},
        "and ran as third, second, first.",
    ),
    "all at once": (
        {LOOP: "        await asyncio.gather(*map(self.run, self.tasks))\n"},
        "had ended: the tasks ran at the same time",
    ),
    "not waited for": (
        {"await self.run(task)": "asyncio.get_running_loop().create_task(self.run(task))"},
        "`await background()` came back before",
    ),
    "each task twice": (
        {"await self.run(task)\n": "await self.run(task)\n            await self.run(task)\n"},
        "first was added once and ran 2 times.",
    ),
    "for ever": (
        {"for task in self.tasks:": "while self.tasks:\n            task = self.tasks[0]"},
        "it goes on: what ends the loop?",
    ),
    "waits for something that never comes": (
        {LOOP: "        await asyncio.Event().wait()\n"},
        "After 3 seconds the app was not done with the request. Functions called by then: none.",
    ),
    "only the first": ({"self.run(task)\n": "self.run(task)\n            break\n"}, "did not run."),
    "an error is passed over": (
        {"            await self.run(task)": PASSED_OVER},
        "and the third ran all the same.",
    ),
    "an error is hidden": ({LOOP: HIDDEN}, "`__call__` hid it"),
    "the constructor takes nothing": (
        {"tasks=None": "", "list(tasks or [])": "[]"},
        "MiniBackgroundTasks([BackgroundTask(...)]) raised TypeError",
    ),
    "the constructor needs tasks": (
        {"tasks=None": "tasks"},
        "MiniBackgroundTasks() raised TypeError",
    ),
    "the constructor forgets its tasks": (
        {"list(tasks or [])": "[]"},
        "ran fourth. The constructor's tasks come first",
    ),
    "the passed list is changed": (
        {"list(tasks or [])": "tasks or []"},
        "add_task changed the list that was passed in.",
    ),
    "one list for all objects": (
        {"        self.tasks = list(tasks or [])\n": "        self.tasks.extend(tasks or [])\n\n"
         "    tasks = []\n"},
        "Two objects share one list",
    ),
}  # fmt: skip


def changed(code: str, changes: dict[str, str]) -> str:
    for old, new in changes.items():
        assert old in code, old
        code = code.replace(old, new)
    return code


@pytest.mark.parametrize("changes", RIGHT.values(), ids=RIGHT.keys())
def test_right_background_tasks_pass(changes: dict[str, str]) -> None:
    result = judged("04.1", made(changed(OWN, changes), "MiniBackgroundTasks"))
    assert result, result


@pytest.mark.parametrize(("changes", "said"), WRONG.values(), ids=WRONG.keys())
def test_wrong_background_tasks_get_their_sentence(
    changes: dict[str, str], said: str, capfd: pytest.CaptureFixture[str]
) -> None:
    result = judged("04.1", made(changed(OWN, changes), "MiniBackgroundTasks"))
    assert not result
    assert len(result.sentences) == 1
    assert said in result.sentences[0]
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("MiniBackgroundTasks = None", "check needs the class itself, without parentheses"),
        (OWN + "MiniBackgroundTasks = MiniBackgroundTasks()", "without parentheses"),
        (
            "from fastapi import BackgroundTasks as MiniBackgroundTasks",
            "`add_task` of BackgroundTasks is the library's own.",
        ),
        (
            "from starlette.background import BackgroundTasks\n"
            "class MiniBackgroundTasks(BackgroundTasks): pass",
            "`add_task` of MiniBackgroundTasks is the library's own.",
        ),
    ],
    ids=["None", "an object", "FastAPI's own", "inherited"],
)
def test_what_is_no_class_of_your_own_gets_a_sentence(code: str, said: str) -> None:
    result = judged("04.1", made(code, "MiniBackgroundTasks"))
    assert not result
    assert said in result.sentences[0]


CSV = exercise_cell("class CsvResponse", solved=True)
AWAIT = """        if self.background is not None:
            await self.background()
"""
SEND_ROWS = "        for row in self.rows:\n"
RIGHT_CSV: dict[str, dict[str, str]] = {
    "the solution": {},
    "without `is not None`": {"if self.background is not None:": "if self.background:"},
    "by the base class": {
        CSV[CSV.index("        headers =") :]: (
            "        lines = [row + chr(10) for row in self.rows]\n"
            "        response = StreamingResponse(lines, background=self.background)\n"
            "        await response(scope, receive, send)"
        )
    },
    "even if the client leaves": {
        SEND_ROWS: "        try:\n            await self.send_rows(send)\n        finally:\n"
        "            if self.background:\n                await self.background()\n\n"
        "    async def send_rows(self, send):\n" + SEND_ROWS,
        AWAIT.rstrip(): "",
    },
}
WRONG_CSV: dict[str, tuple[dict[str, str], str]] = {
    "awaited first": (
        {AWAIT.rstrip(): "", SEND_ROWS: AWAIT + SEND_ROWS},
        "The task started before the last part of the response was sent",
    ),
    "awaited before the last part": (
        {
            AWAIT.rstrip(): "",
            '        await send({"type": "http.response.body", "body": b""})': AWAIT
            + '        await send({"type": "http.response.body", "body": b""})',
        },
        "The task started before the last part of the response was sent",
    ),
    "no `if`": (
        {AWAIT.rstrip(): "        await self.background()"},
        "Without a background task, the response raised TypeError",
    ),
    "called, not awaited": (
        {"await self.background()": "self.background()"},
        "the background task never ran",
    ),
    "not waited for": (
        {"await self.background()": "asyncio.get_running_loop().create_task(self.background())"},
        "`await background()` came back before write_log had ended.",
    ),
    "twice": (
        {"            await self.background()": "            await self.background()\n" * 2},
        "The task was given once and ran 2 times.",
    ),
    "sent once more": (
        {AWAIT.rstrip(): "        await super().__call__(scope, receive, send)"},
        "The client has its lines, but then the response raised RuntimeError",
    ),
    "read too early": (
        {
            "        self.rows = rows": "        self.rows, self.task = rows, background",
            AWAIT.rstrip(): AWAIT.rstrip().replace("self.background", "self.task"),
        },
        "FastAPI sets `background` on the response when the endpoint has returned",
    ),
    "a row is missing": (
        {SEND_ROWS: "        for row in self.rows[1:]:\n"},
        "The client got 'Ada,3",
    ),
}


@pytest.mark.parametrize("changes", RIGHT_CSV.values(), ids=RIGHT_CSV.keys())
def test_right_responses_pass(changes: dict[str, str]) -> None:
    result = judged("04.2", made(changed(CSV, changes), "CsvResponse"))
    assert result, result


@pytest.mark.parametrize(("changes", "said"), WRONG_CSV.values(), ids=WRONG_CSV.keys())
def test_wrong_responses_get_their_sentence(
    changes: dict[str, str], said: str, capfd: pytest.CaptureFixture[str]
) -> None:
    result = judged("04.2", made(changed(CSV, changes), "CsvResponse"))
    assert not result
    assert len(result.sentences) == 1
    assert said in result.sentences[0]
    assert capfd.readouterr().err == ""


def test_no_class_gets_a_sentence() -> None:
    result = judged("04.2", made(CSV + "\nCsvResponse = CsvResponse([])", "CsvResponse"))
    assert "without parentheses" in result.sentences[0]


@pytest.mark.parametrize(
    ("number", "name", "said"),
    [
        ("04.1", "MiniBackgroundTasks", "no task ran"),
        ("04.2", "CsvResponse", "the background task never ran"),
    ],
)
def test_the_stub_fails_and_the_solution_passes(number: str, name: str, said: str) -> None:
    stub = judged(number, made(exercise_cell(f"class {name}", solved=False), name))
    assert not stub
    assert said in stub.sentences[0]
    assert judged(number, made(exercise_cell(f"class {name}", solved=True), name))

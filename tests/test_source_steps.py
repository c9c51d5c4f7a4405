"""The lines that ran, as steps; the picture of a class tree; assertions on a source's shape."""

import asyncio
import base64
import re
import sys
import threading
import time
from typing import Any

import pytest
from fastapi import BackgroundTasks, FastAPI
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from course_app.lab import AppError, LabError, RequestError
from course_app.lab.class_tree import svg
from course_app.lab.source import SourceChanged, class_tree, in_source, step_through
from course_app.lab.source_steps import (
    Function,
    Step,
    about_tasks,
    draw,
    sentence,
    shown,
    table,
)
from course_app.lab.source_tracer import FILES
from course_app.lab.source_view import StepView, Walk
from tests.support.answers import unwatched_threads

CALL = Function(
    "starlette/responses.py",
    "Response.__call__",
    168,
    (
        "async def __call__(self, scope, receive, send):",
        '    await send({"type": "http.response.body", "body": b"<&>"})',
        "    await self.background()",
    ),
)
RENDER = Function(
    "starlette/responses.py", "Response.render", 50, ("def render(self):", "    pass")
)
TASK = Function(
    "starlette/background.py",
    "BackgroundTask.__call__",
    19,
    ("async def __call__(self):", "    await self.func()"),
)
LOOP, WORKER = "on the event loop", "in a worker thread"


def steps() -> tuple[Step, ...]:
    return (
        Step(CALL, 169, LOOP, sent=False, owner=1),
        Step(CALL, 170, LOOP, sent=True, owner=1),
        Step(TASK, 20, LOOP, sent=True, owner=2, holds="write_log"),
    )


def walk(app: Any, method: str = "POST", path: str = "/run", **options: Any) -> Walk:
    return asyncio.run(step_through(app, method, path, **options))


def fastapi_app(task: Any) -> FastAPI:
    app = FastAPI()

    @app.post("/run")
    def run(background_tasks: BackgroundTasks) -> dict[str, str]:
        background_tasks.add_task(task)
        return {}

    @app.post("/async")
    async def run_async(background_tasks: BackgroundTasks) -> dict[str, str]:
        background_tasks.add_task(task)
        return {}

    return app


def left_behind(before: tuple[Any, Any, int]) -> tuple[Any, Any, int]:
    """The trace functions and the number of threads, once ending threads have ended."""
    deadline = time.monotonic() + 3
    while threading.active_count() > before[2] and time.monotonic() < deadline:
        time.sleep(0.01)
    return sys.gettrace(), threading.gettrace(), threading.active_count()


def plain() -> None:
    time.sleep(0.05)


async def awaited() -> None:
    await asyncio.sleep(0.05)


# Pure: recorded steps in words and as a drawing


def test_the_table_says_when_and_where_each_line_runs() -> None:
    assert table(steps()).splitlines() == [
        "before the response is sent, on the event loop",
        "   1  starlette  Response.__call__"
        '         await send({"type": "http.response.body", "bod…',
        "after the response is sent, on the event loop",
        "   2  starlette  Response.__call__         await self.background()",
        "   3  starlette  BackgroundTask.__call__   await self.func()",
    ]


def test_the_sentence_names_line_file_and_function() -> None:
    assert sentence(steps(), 3) == (
        "Step 3 of 3, after the response is sent, on the event loop: line 20 of "
        "starlette/background.py, in BackgroundTask.__call__. Its function is write_log."
    )


def test_the_drawing_marks_one_line_and_escapes_the_source() -> None:
    html = draw(steps()[0])
    marked = re.findall(r'<div aria-current="step".*?</div>', html)
    assert len(marked) == 1
    assert "&lt;&amp;&gt;" in marked[0]
    assert "▶ 169" in marked[0]
    assert html.count("▶") == 1
    assert "<&>" not in html


def test_a_long_function_is_cut_around_the_marked_line_but_keeps_its_name() -> None:
    long = Function("a/b.py", "f", 10, ("def f():", *(f"    line{n}" for n in range(40))))
    rows = shown(Step(long, 35, LOOP, sent=False))
    assert rows[:2] == [(10, "def f():"), (None, "")]
    assert [number for number, _ in rows[2:-1]] == list(range(27, 44))
    assert rows[-1] == (None, "")
    assert [number for number, _ in shown(Step(long, 10, LOOP, sent=False))][:2] == [10, 11]
    assert shown(Step(long, 50, LOOP, sent=False))[-1] == (50, "    line39")


def test_other_responses_and_functions_without_a_background_are_left_out() -> None:
    noise = [
        Step(CALL, 168, LOOP, sent=False, owner=1),
        Step(RENDER, 51, LOOP, sent=False, owner=1),
        Step(
            Function("starlette/responses.py", "Response.__init__", 1, ("background",)),
            1, LOOP, sent=False, owner=9,
        ),
        Step(TASK, 20, LOOP, sent=True, owner=2),
    ]  # fmt: skip
    assert [step.function.name for step in about_tasks(noise)] == [
        "Response.__call__",
        "BackgroundTask.__call__",
    ]


# The tracer, on real requests


def test_the_lines_of_a_fastapi_request_in_their_order() -> None:
    seen = walk(fastapi_app(plain))
    after = [f"{s.function.package} {s.function.name}: {s.code}" for s in seen.steps if s.sent]
    assert after == [
        "starlette Response.__call__: if self.background is not None:",
        "starlette Response.__call__: await self.background()",
        "fastapi BackgroundTasks.__call__: for task in self.tasks:",
        "fastapi BackgroundTasks.__call__: "
        'with _operation(name="background_task", function=task.func):',
        "fastapi BackgroundTasks.__call__: await task()",
        "starlette BackgroundTask.__call__: if self.is_async:",
        "starlette BackgroundTask.__call__: "
        "await run_in_threadpool(self.func, *self.args, **self.kwargs)",
        "fastapi BackgroundTasks.__call__: "
        'with _operation(name="background_task", function=task.func):',
        "fastapi BackgroundTasks.__call__: for task in self.tasks:",
    ]
    before = [step for step in seen.steps if not step.sent]
    assert before[-1].code.startswith('await send({"type": "http.response.body"')
    assert {s.where for s in before if s.function.name.endswith("add_task")} == {WORKER}
    assert {s.holds for s in seen.steps if s.function.name == "BackgroundTask.__call__"} == {
        "plain"
    }


def test_the_kinds_of_endpoint_and_task_are_seen() -> None:
    seen = walk(fastapi_app(awaited), path="/async")
    assert {step.where for step in seen.steps} == {LOOP}
    assert "await self.func(*self.args, **self.kwargs)" in seen.lines
    assert not any("run_in_threadpool" in line for line in seen.lines)


def test_only_the_three_files_are_recorded_and_each_line_is_the_file_s_own() -> None:
    files = {"/".join(file.replace("\\", "/").split("/")[-2:]): file for file in FILES}
    assert len(files) == 3
    for step in walk(fastapi_app(plain)).steps:
        with open(files[step.function.file], encoding="utf-8") as file:
            assert file.read().splitlines()[step.number - 1].strip() == step.code


def test_a_response_of_starlettes_and_one_in_parts() -> None:
    async def one(request: Request) -> Response:
        return JSONResponse({}, background=BackgroundTask(plain))

    async def parts(request: Request) -> Response:
        return StreamingResponse(iter(["a", "b"]), background=BackgroundTask(plain))

    app = Starlette(routes=[Route("/one", one), Route("/parts", parts)])
    for path in ["/one", "/parts"]:
        seen = walk(app, "GET", path)
        sent = [step.code for step in seen.steps if step.sent]
        assert "if self.background is not None:" in sent
        assert "if self.background is not None:" not in [s.code for s in seen.steps if not s.sent]
        assert seen.steps[-1].holds == "plain"
        assert not any(step.function.package == "fastapi" for step in seen.steps)


def test_an_error_in_the_task_ends_the_steps_and_leaves_nothing_behind() -> None:
    def fail() -> None:
        raise ValueError("no such address")

    before = sys.gettrace(), threading.gettrace(), threading.active_count()
    seen = walk(fastapi_app(fail))
    assert seen.lines[-2:] == (
        "await run_in_threadpool(self.func, *self.args, **self.kwargs)",
        'with _operation(name="background_task", function=task.func):',
    )
    assert left_behind(before) == before


def test_a_walk_that_is_stopped_midway_leaves_nothing_behind() -> None:
    async def for_long() -> None:
        await asyncio.sleep(60)

    async def stopped() -> None:
        async with asyncio.timeout(0.5):
            await step_through(fastapi_app(for_long), "POST", "/run")

    before = sys.gettrace(), threading.gettrace(), threading.active_count()
    with unwatched_threads(), pytest.raises(TimeoutError):
        asyncio.run(stopped())
    assert left_behind(before) == before


def test_the_same_request_gives_the_same_words_each_time() -> None:
    app = fastapi_app(plain)
    assert len({str(walk(app)) for _ in range(5)}) == 1


def test_what_cannot_be_stepped_through_says_why() -> None:
    async def bare(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    with pytest.raises(LabError, match="served without a line of Starlette's responses"):
        walk(bare)
    with pytest.raises(AppError):
        walk(42)
    with pytest.raises(RequestError):
        walk(fastapi_app(plain), nonsense=1)
    assert threading.gettrace() is None


# The view


def test_the_slider_and_the_list_mark_the_same_line() -> None:
    view = StepView(steps())
    assert "▶ 169" in view.source.value
    view.slider.value = 2
    assert "▶ 170" in view.source.value
    assert view.choice.value == 2
    view.choice.value = 3
    assert view.slider.value == 3
    assert "▶ 20" in view.source.value
    assert "Its function is write_log." in view.words.value
    assert 'role="status"' in view.words.value


def test_a_failing_drawing_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    view = StepView(steps())
    monkeypatch.setattr("course_app.lab.source_view.draw", lambda step: 1 / 0)
    view.slider.value = 2
    assert "The step cannot be shown: ZeroDivisionError" in view.words.value


def test_a_stored_walk_is_its_words() -> None:
    bundle = Walk(steps())._repr_mimebundle_()
    assert bundle["text/plain"] == table(steps())
    assert "application/vnd.jupyter.widget-view+json" in bundle


# The class tree


class Base:
    def method(self, one: int, *rest: int, **named: int) -> None: ...


class Derived(Base):
    attribute = 1


def test_the_tree_is_read_from_the_classes() -> None:
    words = str(class_tree(Derived)).splitlines()
    assert words[0].endswith("test_source_steps.Base: method(one, *rest, **named)")
    assert words[1].startswith("└─ ")
    assert words[1].endswith("test_source_steps.Derived: ")


def test_the_picture_holds_every_class_and_its_words_say_the_same() -> None:
    tree = class_tree(BackgroundTasks)
    html = tree._repr_mimebundle_()["text/html"]
    alt = re.search('alt="(.*?)"', html)
    assert alt is not None
    assert (
        "starlette.background.BackgroundTasks is a starlette.background.BackgroundTask"
        in alt.group(1)
    )
    data = re.search('base64,(.*?)"', html)
    assert data is not None
    assert base64.b64decode(data.group(1)).decode() == svg(tree)
    assert svg(tree).count(">is a<") == 2
    assert "add_task(func, *args, **kwargs)" in svg(tree)


def test_a_class_with_two_bases_is_no_line() -> None:
    class Other: ...

    class Both(Base, Other): ...

    with pytest.raises(ValueError, match="Both inherits from several classes"):
        class_tree(Both)


# The shape of the source


class Changed:
    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await self.background()  # type: ignore[attr-defined]
        # await send({"type": "http.response.body"}) stands here in a comment alone
        await send({"type": "http.response.start"})


def test_quotes_line_breaks_and_comments_do_not_count() -> None:
    def function(value: Any) -> None:
        print(
            'a',  # a comment
            value,
        )  # fmt: skip

    in_source(function, 'print("a", value)')
    with pytest.raises(SourceChanged):
        in_source(function, "a comment")


@pytest.mark.parametrize(
    ("pieces", "said"),
    [
        (
            ['send({"type": "http.response.start"', "await self.background()"],
            "it does not say `await self.background()` after "
            '`send({"type": "http.response.start"`.',
        ),
        (["http.response.body"], "it does not say `http.response.body`. Believe the source"),
    ],
)
def test_a_changed_source_gets_a_sentence(pieces: list[str], said: str) -> None:
    with pytest.raises(AssertionError) as caught:
        in_source(Changed.__call__, *pieces)
    assert said in str(caught.value)
    assert "Changed.__call__ in " in str(caught.value)
    # In a notebook the sentence stands alone, without a traceback.
    assert isinstance(caught.value, SourceChanged)
    assert caught.value._render_traceback_() == [f"SourceChanged: {caught.value}"]


def test_the_sentence_names_the_package_and_its_version() -> None:
    import fastapi.routing

    with pytest.raises(SourceChanged, match=r"Response.__call__ in starlette \d+\.\d+\S* has"):
        in_source(Response.__call__, "await self.background()", "await send(")
    with pytest.raises(SourceChanged, match=r"fastapi.routing in fastapi \d+\.\d+\S* has changed"):
        in_source(fastapi.routing, "no such line")

"""Lesson 02: a falsified fact turns it red; its checks accept what is right, name what is not."""

import asyncio
import functools
import inspect
import os
import threading
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fastapi import BackgroundTasks, FastAPI
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse
from starlette.background import BackgroundTask

from course_app.exercises import Result, check, predict
from course_app.lab import Beat, Pulse
from tests.support.mutants import Mutant, survivors

NOTEBOOK = Path(__file__).parent.parent / "notebooks" / "02_async_function.ipynb"
ROUNDS: list[dict[str, Mutant]] = [
    {
        "the async task is a def": (
            {
                "async def push_notification": "def push_notification",
                '["async def task"] = threading.current_thread()\n    await asyncio.sleep(0.5)': (
                    '["async def task"] = threading.current_thread()\n    time.sleep(0.5)'
                ),
            },
            "for task in trace.tasks:",
        ),
        "the blocking task is awaited before the response": (
            {"    background_tasks.add_task(write_slowly, email)": "    await write_slowly(email)"},
            "asks while this block runs",
        ),
        "a repair blocks": ({"def make_it_def": "async def make_it_def"}, "for repair in REPAIRS:"),
        "one worker thread is free": ({"range(40)": "range(39)"}, "lab = Lab(crowd_app)"),
        "the lambda's coroutine is awaited": (
            {
                '"lambda": lambda message: notify("ada@example.com", message)': (
                    '"lambda": partial(notify, "ada@example.com")'
                )
            },
            "lab = Lab(kinds_app)",
        ),
        "nest_asyncio is its successor": (
            {'"nest_asyncio", "nest': '"nest_asyncio2", "nest'},
            'print(package, run, sep="\\n")',
        ),
    },
    {
        "the two tasks change places": (
            {
                'add_task(write_notification, email, message="hello")\n'
                "    background_tasks.add_task(push_notification, email,": (
                    'add_task(push_notification, email, message="hello")\n'
                    "    background_tasks.add_task(write_notification, email,"
                )
            },
            'response = await lab.post("/email/ada@example.com")\ntrace = await lab.finished()',
        ),
        "the blocking task awaits": (
            {"    time.sleep(2)  # should be: await": "    await asyncio.sleep(2)  # as it should"},
            "heartbeat.pulse",
        ),
    },
]


@pytest.mark.parametrize("mutants", ROUNDS, ids="; ".join)
def test_falsified_facts_turn_the_notebook_red(mutants: dict[str, Mutant]) -> None:
    assert survivors(NOTEBOOK, mutants) == []


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "outbox").mkdir()
    monkeypatch.chdir(tmp_path)


def checked(number: str, answer: Any) -> Result:
    """The result of a check, which leaves no thread and takes 10 seconds at most."""
    before = time.monotonic()
    result = asyncio.run(check(number, answer))
    assert time.monotonic() - before < 10
    assert not [t.name for t in threading.enumerate() if "course_app" in t.name]
    return result


# 02.1


def mail(email: str) -> None:
    with open("outbox/welcome.txt", mode="a") as file:
        file.write(f"welcome, {email}\n")


def signup_app(
    task: Callable[..., Any] | None, endpoint: Callable[..., Any] | None = None
) -> FastAPI:
    """The exercise's app with this task, or with an endpoint of its own."""
    app = FastAPI()

    @app.get("/ping")
    async def ping() -> None:
        pass

    async def sign_up(email: str, background_tasks: BackgroundTasks) -> None:
        background_tasks.add_task(task or mail, email)

    app.post("/signup/{email}")(endpoint or sign_up)
    return app


async def stub(email: str) -> None:
    time.sleep(2)
    mail(email)


async def awaiting(email: str) -> None:
    await asyncio.sleep(2)
    mail(email)


def plain(email: str) -> None:
    time.sleep(2)
    mail(email)


async def in_a_thread(email: str) -> None:
    await asyncio.to_thread(time.sleep, 2)
    mail(email)


async def in_starlettes_thread(email: str) -> None:
    await run_in_threadpool(plain, email)


async def in_an_awaited_executor(email: str) -> None:
    await asyncio.get_running_loop().run_in_executor(None, plain, email)


async def in_a_joined_thread(email: str) -> None:
    thread = threading.Thread(target=plain, args=(email,))
    thread.start()
    while thread.is_alive():
        await asyncio.sleep(0.05)


async def two_tasks(email: str, background_tasks: BackgroundTasks) -> None:
    background_tasks.add_task(time.sleep, 2)
    background_tasks.add_task(mail, email)


async def own_background(email: str) -> JSONResponse:
    return JSONResponse({}, background=BackgroundTask(plain, email))


def with_a_loop_of_its_own(email: str) -> None:
    asyncio.run(awaiting(email))


RIGHT_1 = {
    "awaiting": signup_app(awaiting),
    "a def": signup_app(plain),
    "a partial of a def": signup_app(functools.partial(plain)),
    "to_thread": signup_app(in_a_thread),
    "run_in_threadpool": signup_app(in_starlettes_thread),
    "run_in_executor": signup_app(in_an_awaited_executor),
    "a thread that is waited for": signup_app(in_a_joined_thread),
    "a loop of its own in a worker thread": signup_app(with_a_loop_of_its_own),
    "two tasks": signup_app(None, two_tasks),
    "the response's own background": signup_app(None, own_background),
}


@pytest.mark.parametrize("answer", RIGHT_1.values(), ids=RIGHT_1.keys())
def test_02_1_accepts_every_right_repair(answer: FastAPI) -> None:
    result = checked("02.1", answer)
    assert result, str(result)
    assert "The response arrived first. GET /ping was answered at once" in str(result)


async def forgotten_await(email: str) -> None:
    asyncio.sleep(2)  # type: ignore[unused-coroutine]
    mail(email)


async def never_written(email: str) -> None:
    await asyncio.sleep(2)


async def fire_and_forget(email: str) -> None:
    kept.append(asyncio.create_task(awaiting(email)))


kept: list[Any] = []


async def a_thread_nobody_waits_for(email: str) -> None:
    threading.Thread(target=plain, args=(email,), daemon=True).start()


async def nested_run(email: str) -> None:
    coroutine = awaiting(email)
    try:
        asyncio.run(coroutine)
    finally:
        coroutine.close()


async def in_pieces(email: str) -> None:
    for _ in range(3):
        time.sleep(0.7)
        await asyncio.sleep(0.05)
    mail(email)


async def raising(email: str) -> None:
    await asyncio.sleep(0.1)
    raise OSError("no such\nserver")


async def endless(email: str) -> None:
    while True:
        pass


async def twice(email: str) -> None:
    await asyncio.sleep(2)
    mail(email)
    mail(email)


async def before_the_response(email: str) -> None:
    await asyncio.sleep(2)
    mail(email)


async def at_once_and_no_task(email: str) -> None:
    mail(email)


async def nothing(email: str) -> None:
    pass


async def another_parameter(address: str, background_tasks: BackgroundTasks) -> None:
    background_tasks.add_task(plain, address)


def without_ping() -> FastAPI:
    app = FastAPI()

    @app.post("/signup/{email}")
    async def sign_up(email: str, background_tasks: BackgroundTasks) -> None:
        background_tasks.add_task(plain, email)

    return app


WRONG_1 = {
    "the stub": (
        signup_app(stub),
        "The response arrived at once, but then GET /ping waited about 2 s for its answer: the "
        "task holds the event loop.",
    ),
    "no await before asyncio.sleep": (
        signup_app(forgotten_await),
        "The mail was sent at once: its two seconds are gone. They stand for a slow mail server, "
        "so keep them. An `asyncio.sleep` without `await` does not wait.",
    ),
    "the pause is taken out": (signup_app(mail), "The mail was sent at once: its two seconds"),
    "no mail": (
        signup_app(never_written),
        "A background task ran, but outbox/welcome.txt was not written.",
    ),
    "a lambda around the async function": (
        signup_app(lambda email: awaiting(email)),
        "A background task ran, but outbox/welcome.txt was not written. Is an async function "
        "called, and never awaited?",
    ),
    "create_task": (
        signup_app(fire_and_forget),
        "The server took its work for done before the mail was sent: a thread or an asyncio task "
        "that nobody waits for would be lost when the server stops.",
    ),
    "a thread that nobody waits for": (
        signup_app(a_thread_nobody_waits_for),
        "The server took its work for done before the mail was sent",
    ),
    "asyncio.run in the loop": (
        signup_app(nested_run),
        "The response came, but then the task failed: RuntimeError: asyncio.run() cannot be "
        "called from a running event loop. The server's loop is running already, so the task can "
        "await.",
    ),
    "blocking in pieces": (
        signup_app(in_pieces),
        "The response arrived at once, but then GET /ping had to wait again and again",
    ),
    "a task that raises": (
        signup_app(raising),
        "The response came, but then the task failed: OSError: no such",
    ),
    "a task that never ends": (
        signup_app(endless),
        "Your answer had not finished after 6.5 seconds, and was stopped.",
    ),
    "two mails": (signup_app(twice), "One request sent 2 mails."),
    "before the response": (
        signup_app(None, before_the_response),
        "The response took about 2 s: the mail is sent before it, and not by a background task.",
    ),
    "at once, without a task": (signup_app(None, at_once_and_no_task), "The mail was sent at once"),
    "nothing at all": (
        signup_app(None, nothing),
        "The response came, but outbox/welcome.txt was not written.",
    ),
    "a parameter of another name": (
        signup_app(None, another_parameter),
        "POST /signup/ada@example.com was answered with 422",
    ),
    "no /ping": (without_ping(), "GET /ping was answered with 404: the app has no such path."),
    "no app": (42, "The Lab needs an ASGI app such as FastAPI(), and got 42 (int)."),
}


@pytest.mark.parametrize(("answer", "sentence"), WRONG_1.values(), ids=WRONG_1.keys())
def test_02_1_says_what_is_not_right(answer: Any, sentence: str) -> None:
    result = checked("02.1", answer)
    assert not result
    assert sentence in str(result)
    assert "Traceback" not in str(result)


# 02.2


def write_line(line: str) -> None:
    with open("outbox/tasks.txt", mode="a") as file:
        file.write(line + "\n")


def stub_logged(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> None:
        write_line(f"{function.__name__} starts")
        function(*args, **kwargs)
        write_line(f"{function.__name__} ends")

    return wrapper


def two_wrappers(function: Callable[..., Any]) -> Callable[..., Any]:
    if not inspect.iscoroutinefunction(function):
        return stub_logged(function)

    async def wrapper(*args: Any, **kwargs: Any) -> None:
        write_line(f"{function.__name__} starts")
        await function(*args, **kwargs)
        write_line(f"{function.__name__} ends")

    return wrapper


def one_async_wrapper(function: Callable[..., Any]) -> Callable[..., Any]:
    async def wrapper(*args: Any, **kwargs: Any) -> None:
        write_line(f"{function.__name__} starts")
        if inspect.iscoroutinefunction(function):
            await function(*args, **kwargs)
        else:
            await asyncio.to_thread(function, *args, **kwargs)
        write_line(f"{function.__name__} ends")

    return wrapper


class AsObject:
    """A decorator that is a class: Starlette's own BackgroundTask knows both kinds."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function = function

    async def __call__(self, *args: Any, **kwargs: Any) -> None:
        write_line(f"{self.function.__name__} starts")
        await BackgroundTask(self.function, *args, **kwargs)()
        write_line(f"{self.function.__name__} ends")


@pytest.mark.parametrize("answer", [two_wrappers, one_async_wrapper, AsObject])
def test_02_2_accepts_every_right_decorator(answer: Any) -> None:
    result = checked("02.2", answer)
    assert result, str(result)
    assert "each has its two lines" in str(result)


def wrapping(body: Callable[..., Any]) -> Callable[..., Any]:
    """A decorator whose wrapper is async and does what `body` says."""

    def decorator(function: Callable[..., Any]) -> Callable[..., Any]:
        async def wrapper(*args: Any, **kwargs: Any) -> None:
            await body(function, *args, **kwargs)

        return wrapper

    return decorator


async def always_awaited(function: Callable[..., Any], *args: Any, **kwargs: Any) -> None:
    write_line(f"{function.__name__} starts")
    await function(*args, **kwargs)
    write_line(f"{function.__name__} ends")


async def called_on_the_loop(function: Callable[..., Any], *args: Any, **kwargs: Any) -> None:
    write_line(f"{function.__name__} starts")
    result = function(*args, **kwargs)
    if inspect.isawaitable(result):
        await result
    write_line(f"{function.__name__} ends")


async def not_waited_for(function: Callable[..., Any], *args: Any, **kwargs: Any) -> None:
    write_line(f"{function.__name__} starts")
    kept.append(asyncio.create_task(BackgroundTask(function, *args, **kwargs)()))
    await asyncio.sleep(0.1)
    write_line(f"{function.__name__} ends")


async def arguments_lost(function: Callable[..., Any], *args: Any, **kwargs: Any) -> None:
    write_line(f"{function.__name__} starts")
    await BackgroundTask(function)()
    write_line(f"{function.__name__} ends")


async def no_last_line(function: Callable[..., Any], *args: Any, **kwargs: Any) -> None:
    write_line(f"{function.__name__} starts")
    await BackgroundTask(function, *args, **kwargs)()


async def both_lines_first(function: Callable[..., Any], *args: Any, **kwargs: Any) -> None:
    write_line(f"{function.__name__} starts")
    write_line(f"{function.__name__} ends")
    await BackgroundTask(function, *args, **kwargs)()


async def both_lines_last(function: Callable[..., Any], *args: Any, **kwargs: Any) -> None:
    await BackgroundTask(function, *args, **kwargs)()
    write_line(f"{function.__name__} starts")
    write_line(f"{function.__name__} ends")


async def never_called(function: Callable[..., Any], *args: Any, **kwargs: Any) -> None:
    write_line(f"{function.__name__} starts")
    write_line(f"{function.__name__} ends")


def loop_of_its_own(function: Callable[..., Any]) -> Callable[..., Any]:
    def wrapper(*args: Any, **kwargs: Any) -> None:
        write_line(f"{function.__name__} starts")
        result = function(*args, **kwargs)
        if inspect.iscoroutine(result):
            asyncio.run(result)
        write_line(f"{function.__name__} ends")

    return wrapper


def not_returned(function: Callable[..., Any]) -> None:
    stub_logged(function)


def a_def_that_is_dropped(function: Callable[..., Any]) -> Callable[..., Any]:
    if inspect.iscoroutinefunction(function):
        return two_wrappers(function)
    return lambda *args, **kwargs: write_line(f"{function.__name__} starts")


async def an_async_decorator(function: Callable[..., Any]) -> Callable[..., Any]:
    return two_wrappers(function)


WRONG_2 = {
    "the stub": (
        stub_logged,
        "send_mail, the async def task, never ran: its wrapper called it, and nobody awaited what "
        "this call gave.",
    ),
    "always awaited": (
        wrapping(always_awaited),
        "write_report, the def task, ran on the event loop",
    ),
    "the def runs on the loop": (
        wrapping(called_on_the_loop),
        "write_report, the def task, ran on the event loop, where its pause holds up every "
        "request. Undecorated, it runs in a worker thread.",
    ),
    "not waited for": (
        wrapping(not_waited_for),
        "send_mail, the async def task, was still running when its wrapper had returned: nobody "
        "awaited it.",
    ),
    "the arguments are lost": (
        wrapping(arguments_lost),
        "send_mail, the async def task, failed once it was decorated: TypeError: ",
    ),
    "no last line": (
        wrapping(no_last_line),
        "send_mail, the async def task, ran, but outbox/tasks.txt has no line 'send_mail ends'.",
    ),
    "both lines before": (
        wrapping(both_lines_first),
        "The line 'send_mail ends' was written before send_mail had ended.",
    ),
    "both lines after": (
        wrapping(both_lines_last),
        "send_mail, the async def task, ran before the line 'send_mail starts' was written.",
    ),
    "never called": (wrapping(never_called), "send_mail, the async def task, never ran"),
    "a loop of its own": (
        loop_of_its_own,
        "send_mail, the async def task, ran on an event loop of its own, in another thread.",
    ),
    "the wrapper is not returned": (
        not_returned,
        "POST /async was answered with 500: the app raised TypeError: logged(send_mail) gave "
        "None, which cannot be called.",
    ),
    "a def task is dropped": (a_def_that_is_dropped, "write_report, the def task, never ran."),
    "an async decorator": (an_async_decorator, "which cannot be called"),
    "no decorator at all": ("logged", "Give the check the decorator itself: 'logged' cannot"),
}


@pytest.mark.parametrize(("answer", "sentence"), WRONG_2.values(), ids=WRONG_2.keys())
def test_02_2_says_what_is_not_right(answer: Any, sentence: str) -> None:
    result = checked("02.2", answer)
    assert not result
    assert sentence in str(result)
    assert "Traceback" not in str(result)


def test_checks_say_nothing_but_their_sentences(capfd: pytest.CaptureFixture[str]) -> None:
    """Python's "never awaited" carries the paths of the machine."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.filterwarnings("always", message="coroutine")
        results = [checked("02.1", signup_app(forgotten_await)), checked("02.2", stub_logged)]
    out, err = capfd.readouterr()
    assert out == "".join(f"{result}\n" for result in results)
    assert err == ""
    assert [warning.message for warning in caught] == []


def test_the_learners_other_files_are_left_alone() -> None:
    Path("outbox/notifications.txt").write_text("mine\n")
    checked("02.1", signup_app(plain))
    assert sorted(os.listdir("outbox")) == ["notifications.txt", "welcome.txt"]  # noqa: PTH208


# The prediction


@pytest.fixture
def stalled() -> Pulse:
    return Pulse("/ping", (Beat(0.0, 1.9, 200),), (), 2.0)


def test_the_prediction_is_scored_by_what_the_heartbeat_saw(stalled: Pulse) -> None:
    choices = {"answered": "at once", "waits": "it waits", "refused": "an error"}
    question = predict("02.p1", "What happens?", choices)
    assert predict.score("02.p1", stalled) == "No prediction made."
    question.prediction = "waits"
    assert "and so it was" in predict.score("02.p1", stalled)
    assert "“at once”" in predict.score("02.p1", Pulse("/ping", (Beat(0.0, 0.01, 200),), (), 1.0))
    assert "“an error”" in predict.score("02.p1", Pulse("/ping", (Beat(0.0, 0.1, 404),), (), 1.0))

"""What is no app, or does not start: one error that names the cause, and nothing is left behind."""

import asyncio
import contextlib
import sys
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from fastapi import FastAPI

from course_app.lab import AppError, Bench, server
from tests.support.benches import becomes, holdings


def wsgi(environ: Any, start_response: Any) -> list[bytes]:
    return []


def make_app() -> FastAPI:
    return FastAPI()


def plain(scope: Any, receive: Any, send: Any) -> None: ...


async def asgi2(scope: Any) -> None: ...


class Unspeakable:
    def __repr__(self) -> str:
        raise RuntimeError


NO_APP = {
    "a number": (42, "got 42 (int)"),
    "None": (None, "got None (NoneType)"),
    "a string": ("main:app", "got 'main:app' (str)"),
    "a dict": ({}, "got an object (dict)"),
    "no repr": (Unspeakable(), "got an object (Unspeakable)"),
    "a built-in": (max, "got an object (builtin_function_or_method)"),
    "the class": (FastAPI, "FastAPI is a class. Give the Lab an app made with it: FastAPI()"),
    "WSGI": (wsgi, "wsgi(environ: Any, start_response: Any) -> list[bytes] is no ASGI app"),
    "a factory": (make_app, "make_app() is no ASGI app. If it is a function that makes the app"),
    "ASGI 2": (asgi2, "asgi2(scope: Any) -> None is no ASGI app"),
    "def": (plain, "plain must be async, and its call returned NoneType"),
    "lambda": (lambda *_: 42, "<lambda> must be async, and its call returned int"),
}


def lifespan(before: Callable[[], Any]) -> FastAPI:
    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        if asyncio.iscoroutine(waiting := before()):
            await waiting
        yield

    return FastAPI(lifespan=lifespan)


def fail() -> None:
    raise ValueError("no database\non this machine")


def fail_silently() -> None:
    raise ValueError


def stop() -> None:
    raise KeyboardInterrupt


def spin() -> None:
    while True:
        pass


@contextlib.asynccontextmanager
async def without_yield(app: FastAPI) -> AsyncIterator[None]:
    if app is None:
        yield


NO_START = {
    "raises": (lifespan(fail), "ValueError: no database"),
    "raises without a word": (lifespan(fail_silently), "ValueError"),
    "exits": (lifespan(lambda: sys.exit("no database")), "SystemExit: no database"),
    "exits without a word": (lifespan(sys.exit), "SystemExit"),
    "is interrupted": (lifespan(stop), "KeyboardInterrupt"),
    "never yields": (FastAPI(lifespan=without_yield), "RuntimeError: generator didn't yield"),
    "is no context manager": (
        FastAPI(lifespan=lambda app: None),  # type: ignore[arg-type, return-value]
        "TypeError: 'NoneType' object does not support the asynchronous context manager protocol",
    ),
}


def refused(app: Any) -> str:
    """The one error that an app gets. Nothing of its server is left."""
    before = holdings()
    with pytest.raises(AppError) as raised:
        Bench(app)
    assert becomes(lambda: holdings() == before), (holdings(), before)
    assert raised.value.__cause__ is None
    return str(raised.value)


@pytest.mark.parametrize(("app", "reason"), NO_APP.values(), ids=NO_APP.keys())
def test_what_is_no_app(app: Any, reason: str) -> None:
    assert reason in refused(app)


@pytest.mark.parametrize(("app", "reason"), NO_START.values(), ids=NO_START.keys())
def test_what_does_not_start(app: Any, reason: str) -> None:
    assert refused(app) == f"The app did not start: {reason}"


@pytest.mark.parametrize("wait", [lambda: asyncio.sleep(60), spin], ids=["waits", "spins"])
def test_a_start_that_takes_for_ever(wait: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    assert server.START_TIMEOUT == 6
    monkeypatch.setattr(server, "START_TIMEOUT", 1.0)
    started = time.monotonic()
    said = refused(lifespan(wait))
    assert said == "The app did not start: its lifespan has not reached `yield` after 1 seconds"
    assert time.monotonic() - started < 1 + 4


def test_a_start_that_blocks_the_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """`time.sleep` cannot be ended: the port is free all the same, and the error says it."""
    monkeypatch.setattr(server, "START_TIMEOUT", 1.5)
    with pytest.raises(AppError, match=r"its lifespan .* restart the kernel\.$"):
        Bench(lifespan(lambda: time.sleep(5)))
    # The thread ends by itself once it can.
    assert becomes(lambda: not any("course_app.lab" in name for name in holdings()[0]), 10)


def test_an_app_that_knows_no_lifespan_starts() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        assert scope["type"] == "http"

    Bench(app).close()

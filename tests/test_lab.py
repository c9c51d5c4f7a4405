"""The learner's Lab: one at a time, a picture that stays, and the words of a saved notebook."""

import asyncio
from collections.abc import Iterator

import pytest
from fastapi import BackgroundTasks, FastAPI
from ipywidgets.widgets.widget import _instances

from course_app.lab import AppError, Bench, Lab, LabError
from course_app.lab import lab as lab_module
from tests.support.benches import becomes, holdings
from tests.support.pictures import Elements


@pytest.fixture(autouse=True)
def _closed_afterwards() -> Iterator[None]:
    yield
    if lab_module._open is not None:
        lab_module._open.close()


def app() -> FastAPI:
    app, lock = FastAPI(), asyncio.Lock()

    @app.get("/")
    async def read_root(background_tasks: BackgroundTasks) -> int:
        background_tasks.add_task(asyncio.sleep, 0.3)
        return 1

    @app.get("/lock")
    async def use_lock() -> None:
        async with lock:
            await asyncio.sleep(0.1)

    return app


def picture(lab: Lab) -> str:
    return Elements(lab._timeline._picture.value).text


def test_a_new_lab_closes_the_one_before() -> None:
    first = Lab(app())
    asyncio.run(first.get("/"))
    second = Lab(app())
    assert asyncio.run(second.get("/")).json() == 1
    with pytest.raises(LabError, match="This Lab is closed"):
        asyncio.run(first.get("/"))
    assert "a newer Lab has taken over" in picture(first)
    assert "GET /" in picture(first), "the picture stays"
    assert "losed" not in picture(second)
    assert repr(first) == "<Lab closed>"
    assert repr(second) == f"<Lab {second.url}>"


def test_close_is_said_once_and_marks_the_picture() -> None:
    lab = Lab(app())
    assert "No request yet" in picture(lab)
    lab.close()
    lab.close("again")
    assert picture(lab).startswith("Closed.")


def test_a_check_closes_no_lab_and_is_not_seen() -> None:
    lab = Lab(app())
    bench = Bench(app())
    asyncio.run(bench.get("/"))
    bench.close()
    assert asyncio.run(lab.get("/")).status_code == 200
    assert len(lab.traces) == 1


def test_the_same_app_twice() -> None:
    """Its lock in use belongs to the first server's loop: the second says so in words."""
    same = app()

    async def both() -> None:
        await asyncio.gather(lab.get("/lock"), lab.get("/lock"))

    lab = Lab(same)
    asyncio.run(both())
    lab = Lab(same)
    assert asyncio.run(lab.get("/")).status_code == 200
    asyncio.run(both())
    trace = asyncio.run(lab.finished())
    assert trace.status == 500
    assert "different event loop" in (trace.error or "")


def test_out_of_order() -> None:
    """Cells run again, in another order: the Lab of the cell that ran last is open."""
    labs = [Lab(app()) for _ in range(3)]
    open_ones = [lab for lab in labs if not lab.server.closed]
    assert open_ones == [labs[-1]]
    labs[-1].close()
    for lab in labs:
        lab.close()
    assert lab_module._open is None


def test_an_app_that_does_not_start_leaves_nothing() -> None:
    Lab(app()).close()
    before = holdings()
    widgets = len(_instances)
    with pytest.raises(AppError):
        Lab(42)
    assert becomes(lambda: holdings() == before)
    assert len(_instances) == widgets
    assert lab_module._open is None


def test_nothing_is_left_after_close() -> None:
    async def use(lab: Lab) -> None:
        await asyncio.gather(*(lab.get("/") for _ in range(3)))
        await lab.finished()

    def once() -> None:
        lab = Lab(app())
        asyncio.run(use(lab))
        lab.close()

    once()
    before = holdings()
    once()
    once()
    assert becomes(lambda: holdings() == before), (holdings(), before)


def test_what_a_notebook_stores() -> None:
    lab = Lab(app())
    shown = lab._repr_mimebundle_()
    assert shown["text/plain"] == lab_module.WORDS
    assert lab.url not in str(shown)
    assert set(shown) == {"text/plain", "application/vnd.jupyter.widget-view+json"}


def test_a_stuck_server_asks_for_a_restart(capsys: pytest.CaptureFixture[str]) -> None:
    import time

    stuck = FastAPI()

    @stuck.get("/")
    async def read_root(background_tasks: BackgroundTasks) -> None:
        async def block() -> None:
            time.sleep(5)

        background_tasks.add_task(block)

    lab = Lab(stuck)
    asyncio.run(lab.get("/"))
    lab.close()
    words = "Its thread is blocked and cannot be ended: restart the kernel."
    assert capsys.readouterr().out == f"The server is closed. {words}\n"
    assert f"Closed. {words}" in picture(lab)
    assert becomes(lambda: not any("course_app.lab" in name for name in holdings()[0]), 10)

"""The live view draws on events, at most ten times a second, and never while nothing runs."""

import asyncio
import threading
import time
from collections.abc import Callable
from dataclasses import replace

import pytest

from course_app.lab import TaskRun, Trace
from course_app.lab import timeline as timeline_module
from course_app.lab.timeline import INTERVAL, NEWEST, Timeline, page
from tests.support.pictures import Elements

RUNNING = Trace("GET", "/run", 200, 0.1, (TaskRun("a", 0.1),), finished=False)
DONE = Trace("GET", "/done", 200, 0.1, (TaskRun("a", 0.1, 0.5),))


class Source:
    """Stands in for a recorder: what it holds is what is drawn, and each drawing is counted."""

    def __init__(self, *traces: Trace) -> None:
        self.held = list(traces)
        self.draws = 0

    def __call__(self, newest: int = 0) -> list[Trace]:
        self.draws += 1
        return self.held[-newest:]


def words(timeline: Timeline) -> str:
    return Elements(timeline._picture.value).text


async def drawn(source: Source, seconds: float) -> int:
    before = source.draws
    await asyncio.sleep(seconds)
    return source.draws - before


def test_it_draws_while_something_runs_and_never_while_nothing_does() -> None:
    async def story() -> None:
        source = Source()
        timeline = Timeline(source)
        timeline.attach()
        assert await drawn(source, 0.3) == 0
        source.held.append(RUNNING)
        timeline.changed()
        assert 3 <= await drawn(source, 1.0) <= 11
        assert "running" in words(timeline)
        source.held[-1] = replace(DONE, path="/run")
        timeline.changed()
        await asyncio.sleep(0.4)
        assert "done" in words(timeline)
        assert await drawn(source, 0.5) == 0

    asyncio.run(story())


def test_a_burst_of_changes_is_drawn_at_most_ten_times_a_second() -> None:
    async def story() -> None:
        source = Source(DONE)
        timeline = Timeline(source)
        timeline.attach()
        before, begun = source.draws, time.monotonic()
        while time.monotonic() - begun < 0.6:
            for _ in range(20):
                timeline.changed()
            await asyncio.sleep(0.002)
        assert source.draws - before <= 0.6 / INTERVAL + 2

    asyncio.run(story())


def test_a_change_just_after_a_drawing_is_not_missed() -> None:
    """A short request right after another one: both are in the picture at the end."""

    async def story() -> None:
        source = Source()
        timeline = Timeline(source)
        timeline.attach()
        for place in range(8):
            source.held.append(replace(DONE, path=f"/{place}"))
            timeline.changed()
            await asyncio.sleep(INTERVAL / 3)
        await asyncio.sleep(3 * INTERVAL)
        assert "GET /7" in words(timeline)

    asyncio.run(story())


def test_changes_may_come_from_any_thread() -> None:
    async def story() -> None:
        source = Source()
        timeline = Timeline(source)
        timeline.attach()
        errors: list[BaseException] = []

        def change(place: int) -> None:
            try:
                for number in range(200):
                    source.held.append(replace(DONE, path=f"/{place}-{number}"))
                    timeline.changed()
                    if number % 50 == 0:
                        timeline.draw()
            except BaseException as error:
                errors.append(error)

        threads = [threading.Thread(target=change, args=(place,)) for place in range(4)]
        for thread in threads:
            thread.start()
        while any(thread.is_alive() for thread in threads):
            await asyncio.sleep(0.01)
        source.held.append(replace(DONE, path="/last"))
        timeline.changed()
        await asyncio.sleep(3 * INTERVAL)
        assert errors == []
        assert "GET /last" in words(timeline)

    asyncio.run(story())


def test_a_change_while_it_closes_raises_nothing() -> None:
    """It would be raised in the app that is being observed."""
    for _ in range(30):
        source = Source(RUNNING)
        timeline = Timeline(source)

        async def story(timeline: Timeline) -> None:
            timeline.attach()
            timeline.changed()
            await asyncio.sleep(0)

        asyncio.run(story(timeline))
        timeline.changed()  # its loop is closed
        timeline.close("Closed.")
        timeline.changed()
        assert words(timeline).startswith("Closed.")


def test_after_another_event_loop() -> None:
    """asyncio.run twice: what was on its way when the first loop ended is drawn in the second."""
    source = Source(RUNNING)
    timeline = Timeline(source)

    async def story(path: str) -> None:
        timeline.attach()
        source.held.append(replace(RUNNING, path=path))
        timeline.changed()
        await asyncio.sleep(0)

    async def rest() -> None:
        timeline.attach()
        timeline.changed()
        await asyncio.sleep(2 * INTERVAL)

    asyncio.run(story("/one"))
    asyncio.run(rest())
    assert "GET /one" in words(timeline)


def test_only_the_newest_are_drawn_and_the_cost_does_not_grow() -> None:
    source = Source(*(replace(DONE, path=f"/{number}") for number in range(500)))
    timeline = Timeline(source)
    shown = [f"GET /{number}" for number in range(500) if f"GET /{number}T" in words(timeline)]
    assert len(shown) <= NEWEST
    assert words(timeline).count("The response arrived first") == NEWEST

    def cost(traces: list[Trace]) -> float:
        begun = time.perf_counter()
        for _ in range(20):
            page(traces[-NEWEST:], 1.0, "", details=True)
        return time.perf_counter() - begun

    few = min(cost(source.held[:NEWEST]) for _ in range(3))
    many = min(cost(source.held) for _ in range(3))
    assert many < 10 * few


def test_a_drawing_that_raises_says_so() -> None:
    def broken(newest: int) -> list[Trace]:
        raise KeyError("<img src=x onerror=alert(1)>")

    timeline = Timeline(broken)
    assert "The picture cannot be drawn: KeyError" in words(timeline)
    assert Elements(timeline._picture.value).tags == {"p"}

    async def story() -> None:
        timeline.attach()
        timeline.changed()
        await asyncio.sleep(2 * INTERVAL)
        assert timeline._drawing is not None
        assert timeline._drawing.done()
        assert timeline._drawing.exception() is None

    asyncio.run(story())


def test_close_marks_the_picture_and_ends_the_drawing() -> None:
    async def story() -> None:
        source = Source(RUNNING)
        timeline = Timeline(source)
        timeline.attach()
        timeline.changed()
        await asyncio.sleep(2 * INTERVAL)
        timeline.close("Closed: <b>gone</b>.")
        assert words(timeline).startswith("Closed: <b>gone</b>.")
        assert "GET /run" in words(timeline)
        await asyncio.sleep(2 * INTERVAL)
        assert await drawn(source, 0.3) == 0
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(story())


def test_details_are_switched_on_by_the_box() -> None:
    timeline = Timeline(Source(replace(DONE, tasks=(TaskRun("a", 0.1, 0.5, where="event loop"),))))
    assert "(event loop)" not in words(timeline)
    timeline._details.value = True
    assert "(event loop)" in words(timeline)


def test_a_loop_in_another_thread_is_not_drawn_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """An endpoint may send requests too: drawing stays with the kernel's loop."""
    timeline = Timeline(Source())

    async def attach() -> None:
        timeline.attach()

    run: Callable[[], None] = lambda: asyncio.run(attach())  # noqa: E731
    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert timeline._loop is None
    assert timeline_module.INTERVAL == 0.1

"""The heartbeat: it sees a stall, says in order what it saw, and leaves nothing behind."""

import asyncio
import base64
import contextlib
import re
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from html import unescape
from pathlib import Path

import pytest
from fastapi import BackgroundTasks, FastAPI

from course_app.lab import Beat, Heartbeat, Lab, OpenLoop, Pulse, TaskRun, Trace, Work, heartbeat
from course_app.lab.pulse import INTERVAL, work_of
from course_app.lab.pulse_drawing import draw_pulse, image
from tests.support.benches import becomes

BLOCK = 1.6


def make_app() -> FastAPI:
    app = FastAPI()

    async def block() -> None:
        time.sleep(BLOCK)

    async def wait() -> None:
        await asyncio.sleep(BLOCK)

    @app.get("/ping")
    async def ping() -> None:
        pass

    @app.post("/block")
    async def start_block(background_tasks: BackgroundTasks) -> None:
        background_tasks.add_task(block)

    @app.post("/wait")
    async def start_wait(background_tasks: BackgroundTasks) -> None:
        background_tasks.add_task(wait)

    return app


@pytest.fixture
def lab() -> Iterator[Lab]:
    made = Lab(make_app())
    yield made
    made.close()


def counts() -> dict[str, int]:
    drawing = [task for task in asyncio.all_tasks() if "Heartbeat" in repr(task)]
    descriptors = list(Path("/proc/self/fd").iterdir())
    asking = [t for t in threading.enumerate() if "heartbeat" in t.name]
    return {"descriptors": len(descriptors), "asking": len(asking), "drawing": len(drawing)}


@asynccontextmanager
async def leaving_nothing() -> AsyncIterator[None]:
    """What the block starts is gone after it, once the server has had time to see it go."""
    before = counts()
    yield
    deadline = time.monotonic() + 4
    while counts() != before and time.monotonic() < deadline:
        await asyncio.sleep(0.02)
    assert counts() == before
    assert before["asking"] == before["drawing"] == 0


def blocked(started: float = 0.45, ended: float = 2.45, until: float = 3.0) -> Pulse:
    """What a heartbeat sees of a task that holds the event loop between two moments."""
    beats = []
    for number in range(round(until / INTERVAL)):
        due = number * INTERVAL
        answered = ended if started < due < ended else due
        beats.append(Beat(due, answered + 0.003, 200))
    work = Work("write_slowly", started, ended, started, "event loop")
    return Pulse("/ping", tuple(beats), (work,), until)


def flowing(*work: Work, until: float = 3.0) -> Pulse:
    beats = [Beat(n * INTERVAL, n * INTERVAL + 0.003, 200) for n in range(round(until / INTERVAL))]
    return Pulse("/ping", tuple(beats), work, until)


# What it saw, as data


def test_a_blocked_loop_is_told_in_three_phases() -> None:
    pulse = blocked()
    assert str(pulse).splitlines() == [
        "GET /ping, ten times a second",
        "  1  answered within a second",
        "  2  no answer for over a second, while write_slowly ran on the event loop",
        "  3  answered within a second",
    ]
    assert pulse.stalled
    assert 1.9 < pulse.longest < 2.0
    assert pulse.sentence == "The longest answer took 2.0 s: none came while write_slowly ran."


def test_tasks_that_hold_nothing_up_are_told_in_one() -> None:
    pulse = flowing(
        Work("await_it", 0.5, 2.0, 0.5, "event loop"), Work("a_def", 0.5, 2.0, 0.5, "worker thread")
    )
    assert str(pulse).splitlines()[1:] == [
        "  1  answered within a second, also while await_it ran on the event loop and a_def ran in "
        "a worker thread",
    ]
    assert not pulse.stalled
    assert pulse.sentence == "Every answer came at once: the longest took 3 ms."


def test_a_brief_task_and_one_of_another_time_are_not_named() -> None:
    brief, earlier = Work("brief", 1.0, 1.1), Work("earlier", -3.0, 0.05)
    assert "ran" not in str(flowing(brief, earlier))


def test_two_blocks_with_answers_between_them_are_two_silences() -> None:
    first, second = blocked(until=2.9), blocked(0.15, 2.0, 2.5)
    moved = [Beat(b.due + 2.9, (b.answered or 0) + 2.9, 200) for b in second.beats]
    pulse = Pulse("/ping", first.beats + tuple(moved), (), 5.4)
    assert [phase.silent for phase in pulse.phases] == [False, True, False, True, False]


def test_two_blocks_in_a_row_are_one_silence() -> None:
    first = [Beat(n * INTERVAL, 1.5, 200) for n in range(15)]
    second = [Beat(1.45, 3.0, 200), *(Beat(1.5 + n * INTERVAL, 3.0, 200) for n in range(15))]
    pulse = Pulse("/ping", (*first, *second), (), 3.1)
    assert [phase.silent for phase in pulse.phases] == [True]
    assert pulse.phases[0].ended == 3.0


def test_an_open_question_counts_as_far_as_it_has_waited() -> None:
    work = Work("write_slowly", 0.4, None, 0.4, "event loop")
    beats = (Beat(0.0, 0.01, 200), *(Beat(0.5 + n * INTERVAL) for n in range(13)))
    pulse = Pulse("/ping", beats, (work,), 1.75)
    assert pulse.stalled
    assert pulse.sentence == "No answer for 1.2 s, while write_slowly runs."
    assert [phase.silent for phase in pulse.phases] == [False, True]


def test_an_app_without_the_path_is_told_so() -> None:
    pulse = Pulse("/ping", (Beat(0.0, 0.01, 404),), (), 0.1)
    assert pulse.problem == "GET /ping is answered with 404. Does the app have it?"
    assert pulse.problem in str(pulse)
    assert pulse.sentence == pulse.problem


def test_a_failed_question_is_no_silence() -> None:
    pulse = Pulse("/ping", (Beat(0.0, 0.01, failure="nothing listens there any more"),), (), 9.0)
    assert not pulse.stalled
    assert pulse.sentence == "GET /ping got no answer: nothing listens there any more"


def test_before_the_first_question_there_is_nothing_to_tell() -> None:
    assert str(Pulse("/ping")).endswith("not asked yet")
    assert Pulse("/ping").sentence == "Nothing asked yet."


def test_the_work_is_read_from_traces() -> None:
    trace = Trace(
        "POST", "/a", 200, 0.01, (TaskRun("a", 0.1, 0.9, "ValueError: x", "event loop"),),
        sent_at=100.0,
    )  # fmt: skip
    old = Trace("POST", "/b", 200, 0.01, (TaskRun("b", 0.1, 0.9),), sent_at=50.0)
    (work,) = work_of([old, trace], began_at=99.0)
    assert work == Work("a", 1.1, 1.9, 1.01, "event loop", failed=True)


# The picture


def decoded(html: str) -> str:
    found = re.search(r"base64,([^\"]+)", html)
    assert found
    return base64.b64decode(found[1]).decode()


def heights(svg: str, color: str) -> list[float]:
    found = re.findall(rf'y="([\d.]+)" height="([\d.]+)" style="fill: {color}"', svg)
    return [float(height) for _, height in found]


def test_a_question_is_drawn_as_tall_as_it_waited() -> None:
    red = heights(draw_pulse(blocked()), "#d64545")
    assert len(red) > 10
    assert red == sorted(red, reverse=True)
    assert red[0] > 2 * red[len(red) // 2 + 2]
    assert heights(draw_pulse(flowing()), "#d64545") == []


def test_an_open_question_is_marked_besides_its_color() -> None:
    drawn = draw_pulse(Pulse("/ping", (Beat(0.0), Beat(0.1)), (), 0.9))
    assert drawn.count("stroke-dasharray: 3 2") == 2


def test_the_saved_picture_is_the_same_for_every_timing_of_the_same_phases() -> None:
    one, other = blocked(), blocked(0.31, 2.93, 4.0)
    assert draw_pulse(one) != draw_pulse(other)
    assert image(one) == image(other)
    assert image(one) != image(flowing())
    drawn = decoded(image(one))
    assert not re.search(r">\d[\d.]* m?s<", drawn)
    assert "in order, not to scale" in drawn


def test_every_picture_has_its_words() -> None:
    pulse = blocked()
    bundle = pulse._repr_mimebundle_()
    assert bundle["text/plain"] == str(pulse)
    assert f'alt="{pulse}"' in unescape(bundle["text/html"])
    assert str(pulse) in unescape(draw_pulse(pulse))


def test_text_from_outside_is_escaped() -> None:
    pulse = flowing(Work("<b>&", 0.5, 2.0, 0.5, "event loop"))
    hostile = Pulse("/<script>", pulse.beats, pulse.work, pulse.now)
    for drawn in (draw_pulse(hostile), decoded(image(hostile)), image(hostile)):
        assert "<script>" not in drawn
        assert "<b>" not in drawn


def test_line_breaks_from_outside_do_not_break_the_table() -> None:
    trace = Trace("POST", "/", 200, 0.5, (TaskRun("a\nb", 0.5, 2.0),), sent_at=0.0)
    pulse = Pulse("/a\nb", flowing().beats, work_of([trace], 0.0), 3.0)
    assert str(pulse).splitlines() == [
        "GET /a\\nb, ten times a second",
        "  1  answered within a second, also while a\\nb ran",
    ]


def test_a_long_heartbeat_shows_its_last_ten_seconds() -> None:
    drawn = draw_pulse(flowing(Work("early", 1.0, 2.0), Work("late", 58.0, 59.0), until=60.0))
    assert "late: ✓ done" in drawn
    assert "early: " not in drawn
    assert ">60 s<" in drawn
    assert drawn.count("<rect") < 150


def test_a_failed_task_is_not_drawn_as_done() -> None:
    drawn = draw_pulse(flowing(Work("a", 0.5, 2.0, 0.5, failed=True)))
    assert "✕ failed" in drawn
    assert "done" not in drawn


# Asking


@contextmanager
def asking(lab: Lab) -> Iterator[OpenLoop]:
    """A loop that has asked twice; on a busy machine its client takes a while to be made."""
    loop = OpenLoop(lab.url)
    try:
        assert becomes(lambda: len(loop.beats()) >= 2, 20)
        yield loop
    finally:
        loop.stop()


def silences(loop: OpenLoop) -> list[bool]:
    pulse = Pulse("/ping", loop.beats(), (), loop.now)
    return [phase.silent for phase in pulse.phases]


def test_it_asks_on_while_nobody_answers(lab: Lab) -> None:
    """A client that waits for its answers would ask once, and see one slow answer."""

    async def scenario() -> list[bool]:
        with asking(lab) as loop:
            await lab.post("/block")
            began = loop.now
            await asyncio.sleep(BLOCK / 2)
            meanwhile = [beat for beat in loop.beats() if beat.due > began + 0.1]
            assert len(meanwhile) >= 3
            assert all(beat.answered is None for beat in meanwhile)
            await lab.finished()
            assert becomes(lambda: silences(loop)[1:] == [True, False], 20)
        return silences(loop)

    assert asyncio.run(scenario()) == [False, True, False]


def test_its_requests_are_in_no_trace_and_nobody_waits_for_them() -> None:
    app = FastAPI()

    @app.get("/ping")
    async def ping() -> None:
        await asyncio.sleep(30)

    async def scenario(lab: Lab) -> None:
        with asking(lab):
            await lab.get("/openapi.json")
            trace = await lab.finished(timeout=5)
            assert trace.path == "/openapi.json"
            assert len(lab.traces) == 1

    lab = Lab(app)
    asyncio.run(scenario(lab))
    lab.close()


def test_it_gives_up_when_the_server_is_gone(lab: Lab) -> None:
    with asking(lab) as loop:
        lab.close()
        assert becomes(lambda: not loop.running)
    problem = Pulse("/ping", loop.beats(), (), loop.now).problem
    assert problem is not None
    assert problem.startswith("GET /ping got no answer: ")


def test_it_remembers_the_last_minute_only(monkeypatch: pytest.MonkeyPatch, lab: Lab) -> None:
    monkeypatch.setattr("course_app.lab.open_loop.KEPT", 3)
    with asking(lab) as loop:
        assert becomes(lambda: loop.beats()[0].due > 0.2)
    assert len(loop.beats()) == 3


# The live view


def test_a_stall_is_seen_and_drawn_and_nothing_is_left(lab: Lab) -> None:
    async def scenario() -> None:
        view = Heartbeat(lab)
        assert "Nothing asked yet" in view._picture.value
        await lab.post("/block")  # connections and first imports are there before we count
        await lab.finished()
        async with leaving_nothing(), view:
            await lab.post("/block")
            await asyncio.sleep(BLOCK * 0.75)
            assert "No answer for 1." in view._picture.value
            assert "stroke-dasharray: 3 2" in view._picture.value
            assert view._button.disabled
            await lab.finished()
        assert str(view.pulse).splitlines()[2] == (
            "  2  no answer for over a second, while block ran on the event loop"
        )
        assert "none came while block ran" in view._picture.value
        assert not view._button.disabled
        assert [trace.path for trace in lab.traces] == ["/block", "/block"]

    asyncio.run(scenario())


def test_a_task_that_awaits_is_no_stall(lab: Lab) -> None:
    async def scenario() -> Heartbeat:
        view = Heartbeat(lab)
        async with view:
            await lab.post("/wait")
            await lab.finished()
        return view

    assert str(asyncio.run(scenario()).pulse).splitlines()[1:] == [
        "  1  answered within a second, also while wait ran on the event loop"
    ]


def test_a_block_that_raises_ends_it_at_once(lab: Lab) -> None:
    async def scenario() -> float:
        view = Heartbeat(lab)
        await lab.get("/ping")
        async with leaving_nothing():
            raised = time.monotonic()
            with contextlib.suppress(ZeroDivisionError):
                async with view:
                    await lab.post("/block")
                    raised = time.monotonic()
                    _ = 1 / 0
            return time.monotonic() - raised

    assert asyncio.run(scenario()) < BLOCK / 2


@pytest.mark.parametrize("moment", [0.05, 0.2, 0.6, 1.2])
def test_an_interrupted_cell_leaves_nothing(lab: Lab, moment: float) -> None:
    async def scenario() -> None:
        view = Heartbeat(lab)

        async def cell() -> None:
            async with view:
                await lab.post("/block")
                await lab.finished()

        await lab.get("/ping")
        async with leaving_nothing():
            running = asyncio.create_task(cell())
            await asyncio.sleep(moment)
            running.cancel()
            with pytest.raises(asyncio.CancelledError):
                await running

    asyncio.run(scenario())


def test_the_button_asks_for_a_while(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heartbeat, "BY_HAND", 1.0)

    async def scenario() -> Heartbeat:
        view = Heartbeat(lab)
        await lab.get("/ping")
        async with leaving_nothing():
            view._button.click()
            assert view._button.disabled
            deadline = time.monotonic() + 5
            while "Nothing asked yet" in view._picture.value and time.monotonic() < deadline:
                await asyncio.sleep(0.02)
            assert view._button.disabled
            while view._button.disabled and time.monotonic() < deadline:
                await asyncio.sleep(0.02)
        return view

    view = asyncio.run(scenario())
    assert 4 <= len(view.pulse.beats) < 30
    assert "Every answer came at once" in view._picture.value


def test_the_button_of_a_closed_lab_says_why_nothing_is_answered(lab: Lab) -> None:
    async def scenario() -> str:
        view = Heartbeat(lab)
        lab.close()
        async with leaving_nothing():
            view._button.click()
            deadline = time.monotonic() + 5
            while view._button.disabled and time.monotonic() < deadline:
                await asyncio.sleep(0.02)
        return str(view._picture.value)

    assert "nothing listens there any more" in asyncio.run(scenario())


def test_closing_is_idempotent_and_keeps_the_picture(lab: Lab) -> None:
    async def scenario() -> None:
        view = Heartbeat(lab)
        async with view:
            pass
        seen = view._picture.value
        view.close()
        view.close()
        assert view._picture.value == seen
        assert len(view.pulse.beats) >= 3

    asyncio.run(scenario())


def test_it_displays_as_words_and_a_widget(lab: Lab) -> None:
    bundle = Heartbeat(lab, "/other")._repr_mimebundle_()
    assert bundle["text/plain"] == (
        "A heartbeat: how long GET /other waits for its answer, drawn live when you run this cell."
    )
    assert "application/vnd.jupyter.widget-view+json" in bundle


def test_a_picture_that_cannot_be_drawn_says_so(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(pulse: Pulse) -> str:
        raise ZeroDivisionError("<oh>")

    monkeypatch.setattr(heartbeat, "draw_pulse", broken)
    assert "cannot be drawn: ZeroDivisionError(&#x27;&lt;oh&gt;" in Heartbeat(lab)._picture.value

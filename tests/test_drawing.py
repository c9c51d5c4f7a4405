"""The drawing is a pure function: a Trace goes in, well-formed SVG comes out."""

import itertools
import os
from dataclasses import replace

import pytest

from course_app.lab import Detail, TaskRun, Trace
from course_app.lab.drawing import WIDTH, draw, image, room_to_grow, ticks
from course_app.lab.svg import duration, ems, fitted
from course_app.lab.timeline import page
from tests.support.browser import CHROMIUM
from tests.support.pictures import (
    RECT,
    TEXT,
    Elements,
    empty_page,
    outside,
    parsed,
    svg_in,
    texts,
)

EVIL = "<img src=x onerror=\"alert('x')\">&amp;"
RUNNING = Trace("GET", "/", 200, 0.1, (TaskRun("a", 0.1),), finished=False)
DETAILED = Trace(
    "GET", "/", 200, 0.1, (TaskRun("a", 0.1, 0.5, where="worker thread"),),
    details=(
        Detail("dependencies read", 0.001, 0.002),
        Detail("endpoint read", 0.002, 0.05, "KeyError: 'a'"),
        Detail("connect", 0.2, None),
    ),
)  # fmt: skip
STATES = {
    "waiting": Trace("GET", "/slow", finished=False),
    "no task": Trace("GET", "/", 200, 0.1),
    "running": RUNNING,
    "finished": Trace("POST", "/email/ada", 200, 0.01, (TaskRun("write_notification", 0.01, 3.0),)),
    "a mark at the edge": Trace("GET", "/", 200, 0.1, (TaskRun("a", 0.1, 2.384),)),
    "at once": Trace("GET", "/", 200, 0.0, (TaskRun("a", 0.0, 0.0),)),
    "failed": Trace("GET", "/", 200, 0.1, (TaskRun("a", 0.1, 0.5, "ValueError: no"),), ("b",)),
    "500": Trace("GET", "/", 500, 0.1, error="ValueError: no"),
    "no response": Trace("GET", "/", failure="the server closed the connection"),
    "details": DETAILED,
    "20 tasks": Trace(
        "GET", "/", 200, 0.1, tuple(TaskRun(f"write_{i}", i / 2, i / 2 + 0.5) for i in range(20))
    ),
    "long": Trace(
        "DELETE", "/a_rather_long_piece_of_a_path" * 20, 418, 2.9,
        (TaskRun("a_name_that_goes_on" * 9, 0.1, 3.0, "Error: " + "WM mm " * 60, "event loop"),),
        ("MW" * 200,), (Detail("W" * 300, 0.0, 1.0),),
    ),
    "digits": Trace("GET", "/" + "0" * 300, 299, 0.1, (TaskRun("0" * 300, 0.1, 0.5),)),
    "wide characters": Trace("GET", "/名前" * 90, 200, 0.1, (TaskRun("送信" * 90, 0.1, 0.5),)),
    "emoji": Trace("GET", "/" + "🎉" * 99, 200, 0.1, (TaskRun("🎉" * 99, 0.1, 0.5),)),
    "hostile": Trace(
        "GET", f"/{EVIL}", 200, 0.1, (TaskRun(EVIL, 0.1, 0.5, f"ValueError: {EVIL}"),), (EVIL,),
        (Detail(EVIL, 0.0, 0.1, EVIL),), failure=EVIL,
    ),
    "control characters": Trace(
        "GET", "/\x00\x1b\n\udcff\ufffe", 200, 0.1,
        (TaskRun("\x00", 0.1, 0.5, "E: \x08"),), ("\x7f",),
    ),
}  # fmt: skip


def pictures_of(trace: Trace) -> list[str]:
    live = [draw(trace, trace.sent_at + 1.0, details=details) for details in (False, True)]
    return [*live, draw(trace), svg_in(image(trace))]


@pytest.mark.parametrize("trace", STATES.values(), ids=STATES.keys())
def test_every_picture_is_well_formed_and_holds_only_what_it_is_made_of(trace: Trace) -> None:
    for svg in pictures_of(trace):
        tags = {element.tag.rpartition("}")[2] for element in parsed(svg).iter()}
        assert tags <= {"svg", "rect", "text", "title"}
        attributes = {name for element in parsed(svg).iter() for name in element.attrib}
        assert not any(name.startswith("on") for name in attributes)


@pytest.mark.parametrize("trace", STATES.values(), ids=STATES.keys())
def test_every_picture_says_its_words(trace: Trace) -> None:
    """They are what a screen reader reads."""
    words = f"{trace}. {trace.sentence}"
    for svg in pictures_of(trace):
        label = parsed(svg).get("aria-label") or ""
        assert label.split() == words.split()
    (element,) = Elements(image(trace)).found
    assert element[0] == "img"
    assert (element[1]["alt"] or "").split() == words.split()


def test_the_states_are_told_apart_without_their_colors() -> None:
    def shown(name: str) -> list[str]:
        return texts(draw(STATES[name], 1.0))

    assert "client: waiting for the response" in shown("waiting")
    assert "client: waited for the response" in shown("finished")
    assert "client: ✕ no response" in shown("no response")
    assert "response 500 after 100 ms" in shown("500")
    assert "a: running 0.9 s" in shown("running")
    assert "write_notification: ✓ done in 3.0 s" in shown("finished")
    assert "a: ✕ ValueError: no" in shown("failed")
    assert "b: did not run" in shown("failed")
    dashes = ["stroke-dasharray" in draw(STATES[name], 1.0) for name in ("running", "finished")]
    assert dashes == [True, False]


def test_without_times_the_picture_says_the_same() -> None:
    shown = texts(svg_in(image(STATES["finished"])))
    assert "write_notification: ✓ done" in shown
    assert "response 200" in shown
    assert "in order, not to scale" in shown
    assert not any(text.endswith((" s", " ms")) for text in shown)
    assert "a: running" in texts(svg_in(image(RUNNING)))


def test_details_appear_when_they_are_asked_for() -> None:
    plain, detailed = texts(draw(DETAILED)), texts(draw(DETAILED, details=True))
    assert not any("endpoint" in text or "worker thread" in text for text in plain)
    assert "dependencies read: 1 ms" in detailed
    assert "endpoint read: ✕ KeyError: 'a'" in detailed
    assert "connect: running" in detailed
    assert "a (worker thread): ✓ done in 400 ms" in detailed


def test_each_task_has_a_row_of_its_own() -> None:
    svg = draw(STATES["20 tasks"])
    places = [float(element.get("y") or 0) for element in parsed(svg).iter(TEXT)]
    rows = [text for text in texts(svg) if text.startswith("write_")]
    assert len(rows) == 20
    assert max(places) < float(parsed(svg).get("height") or 0)


def test_a_running_bar_grows() -> None:
    def width(now: float) -> float:
        bars = [
            rect for rect in parsed(draw(RUNNING, now)).iter(RECT) if rect.get("height") == "12"
        ]
        return float((bars[-1].get("width") or "").rstrip("%"))

    widths = [width(now) for now in (0.3, 0.5, 0.7, 0.9)]
    assert widths == sorted(widths)
    assert widths[0] < widths[-1] / 2


def test_hostile_text_is_text_everywhere() -> None:
    trace = STATES["hostile"]
    for html in [*pictures_of(trace), image(trace), page([trace], 1.0, EVIL, details=True)]:
        parts = Elements(html)
        assert "<img src=x" not in html
        assert not any(
            name.startswith("on") for _, attributes in parts.found for name in attributes
        )
        images = [attributes for tag, attributes in parts.found if tag == "img"]
        assert all(
            (found["src"] or "").startswith("data:image/svg+xml;base64,") for found in images
        )
    live = page([trace], 1.0, EVIL, details=True)
    assert Elements(live).text.count(EVIL) >= 6
    assert Elements(live).tags <= {
        *("p", "em", "figure", "figcaption", "strong", "div"),
        *("svg", "rect", "text", "title"),
    }


def estimated_width(element: object) -> float:
    text, size = list(element.itertext())[-1], float(element.get("font-size"))  # type: ignore[attr-defined]
    return sum(map(ems, text)) * size


@pytest.mark.parametrize("trace", STATES.values(), ids=STATES.keys())
def test_no_text_is_wider_than_the_picture(trace: Trace) -> None:
    for svg in pictures_of(trace):
        for element in parsed(svg).iter(TEXT):
            assert estimated_width(element) <= WIDTH - 16, list(element.itertext())


@pytest.mark.skipif(
    CHROMIUM is None and os.environ.get("CI") != "true", reason="no Chromium on PATH"
)
def test_nothing_reaches_over_the_edge_in_a_browser() -> None:
    with empty_page(WIDTH) as browser_page:
        assert outside(browser_page, draw(RUNNING).replace('x="4"', 'x="700"', 1)) != []
        for name, trace in STATES.items():
            for svg in pictures_of(trace):
                assert outside(browser_page, svg) == [], name


def test_fitted() -> None:
    assert fitted("short", 600, 13) == "short"
    cut = fitted("a" * 1000, 600, 13)
    assert cut.endswith("a…")
    assert 50 < len(cut) < 100
    assert fitted("W" * 1000, 600, 13) < cut
    assert fitted("", 600, 13) == ""


def test_the_axis() -> None:
    for end in (0.011, 0.05, 0.3, 1.05, 2.1, 9, 45, 500, 9000):
        marks = ticks(end)
        assert marks[0] == 0
        assert 2 <= len(marks) <= 6
        assert marks[-1] <= end
        gaps = [b - a for a, b in itertools.pairwise(marks)]
        assert max(gaps) == pytest.approx(min(gaps))
    assert room_to_grow(0.5) == room_to_grow(0.9) < room_to_grow(1.0)


def test_duration() -> None:
    shown = [duration(seconds) for seconds in (0.0001, 0.0123, 0.9994, 0.9996, 3.04, 61)]
    assert shown == ["0.1 ms", "12 ms", "999 ms", "1.0 s", "3.0 s", "61.0 s"]


def test_the_newest_request_is_on_top() -> None:
    html = page(
        [replace(RUNNING, path="/old"), replace(RUNNING, path="/new")], 1.0, "", details=False
    )
    assert html.index("GET /new") < html.index("GET /old")
    assert "No request yet" in page([], 1.0, "", details=False)
    assert Elements(page([], 1.0, "Closed.", details=False)).text.startswith("Closed.")

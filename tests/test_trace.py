"""A Trace is plain data: what it says follows from what it holds, with no server and no clock."""

import random
from dataclasses import replace

import pytest

from course_app.lab import TaskRun, Trace
from course_app.lab.trace import listed

DONE = Trace("POST", "/email/ada", 200, 0.01, (TaskRun("write_notification", 0.01, 3.0),))
TWO = Trace("GET", "/", 200, 0.1, (TaskRun("a", 0.1, 0.5), TaskRun("b", 0.5, 0.9)))
FAILED = Trace(
    "GET", "/", 200, 0.1, (TaskRun("a", 0.1, 0.5, "ValueError: no such address"),), ("b", "c")
)
STATES = {
    "waiting": (
        Trace("GET", "/slow", finished=False),
        ["GET /slow", "  -  no response yet"],
        "The client waits for the response.",
    ),
    "response, app not done": (
        Trace("GET", "/", 200, 0.1, finished=False),
        ["GET /", "  1  response 200 arrived"],
        "The response arrived. The app is not done yet.",
    ),
    "no task": (
        Trace("GET", "/", 200, 0.1),
        ["GET /", "  1  response 200 arrived"],
        "The response arrived. No background task ran.",
    ),
    "running": (
        Trace("GET", "/", 200, 0.1, (TaskRun("a", 0.1),), finished=False),
        ["GET /", "  1  response 200 arrived", "  -  a is still running"],
        "The response arrived; a is still running.",
    ),
    "two running": (
        Trace("GET", "/", 200, 0.1, (TaskRun("a", 0.1), TaskRun("b", 0.1)), finished=False),
        [
            "GET /",
            "  1  response 200 arrived",
            "  -  a is still running",
            "  -  b is still running",
        ],
        "The response arrived; a and b are still running.",
    ),
    "finished": (
        DONE,
        ["POST /email/ada", "  1  response 200 arrived", "  2  write_notification finished"],
        "The response arrived first; write_notification finished after it.",
    ),
    "task before response": (
        Trace("GET", "/", 200, 0.6, (TaskRun("a", 0.1, 0.5), TaskRun("b", 0.5, 0.9))),
        ["GET /", "  1  a finished", "  2  response 200 arrived", "  3  b finished"],
        "a finished before the client had read the response.",
    ),
    "failed": (
        FAILED,
        [
            "GET /",
            "  1  response 200 arrived",
            "  2  a failed: ValueError: no such address",
            "  -  b did not run",
            "  -  c did not run",
        ],
        "The client has its 200; then a failed: ValueError: no such address. b and c did not run.",
    ),
    "500": (
        Trace("GET", "/", 500, 0.1, error="ValueError: no"),
        ["GET /", "  1  response 500 arrived", "  -  the app raised ValueError: no"],
        "The app raised ValueError: no. The client got 500.",
    ),
    "raised after the response": (
        Trace("GET", "/", 200, 0.1, (TaskRun("a", 0.1, 0.5),), error="OSError: no commit."),
        [
            "GET /",
            "  1  response 200 arrived",
            "  2  a finished",
            "  -  the app raised OSError: no commit.",
        ],
        "The client has its 200; then the app raised OSError: no commit.",
    ),
    "no response": (
        Trace("GET", "/", failure="the server closed the connection"),
        ["GET /", "  -  no response: the server closed the connection"],
        "No response: the server closed the connection.",
    ),
    "no response, task running": (
        Trace("GET", "/", None, None, (TaskRun("a", 0.1),), failure="stopped", finished=False),
        ["GET /", "  -  no response: stopped", "  -  a is still running"],
        "No response: stopped.",
    ),
}


@pytest.mark.parametrize(("trace", "table", "sentence"), STATES.values(), ids=STATES.keys())
def test_every_state_in_words(trace: Trace, table: list[str], sentence: str) -> None:
    assert str(trace).splitlines() == table
    assert trace.sentence == sentence
    assert repr(trace) == str(trace)


def test_order_is_by_the_moment_of_the_end() -> None:
    assert DONE.order == ("response", "write_notification")
    assert TWO.order == ("response", "a", "b")
    assert replace(TWO, response=0.6).order == ("a", "response", "b")
    assert replace(TWO, response=2.0).order == ("a", "b", "response")
    assert FAILED.order == ("response", "a")
    overlapping = replace(TWO, tasks=(TaskRun("a", 0.1, 0.9), TaskRun("b", 0.2, 0.5)))
    assert overlapping.order == ("response", "b", "a")
    assert Trace("GET", "/", 200, 0.1, (TaskRun("a", 0.1),)).order == ("response",)
    assert Trace("GET", "/").order == ()


def test_response_first() -> None:
    assert DONE.response_first is True
    assert FAILED.response_first is True
    assert replace(TWO, response=0.6).response_first is False
    assert Trace("GET", "/", 200, 0.1, (TaskRun("a", 0.05),)).response_first is True
    at_once = Trace("GET", "/", 200, 0.5, (TaskRun("a", 0.1, 0.5),))
    assert at_once.order == ("response", "a")
    assert at_once.response_first is True


def test_response_first_is_none_where_there_is_nothing_to_compare() -> None:
    assert Trace("GET", "/").response_first is None
    assert Trace("GET", "/", 200, 0.1).response_first is None
    assert Trace("GET", "/", None, None, (TaskRun("a", 0.1, 0.5),)).response_first is None
    assert Trace("GET", "/", failure="gone", tasks=(TaskRun("a", 0.1),)).response_first is None


@pytest.mark.parametrize("trace", [state[0] for state in STATES.values()], ids=STATES.keys())
def test_what_is_stored_does_not_depend_on_the_times(trace: Trace) -> None:
    """The same order of events at other moments: the same text and the same picture."""
    moments = sorted(
        {
            trace.response or 0,
            *(t.started for t in trace.tasks),
            *(t.ended or 0 for t in trace.tasks),
        }
    )
    random_number = random.Random(1)
    for _ in range(20):
        later = dict(
            zip(moments, sorted(random_number.uniform(0, 99) for _ in moments), strict=True)
        )
        moved = replace(
            trace,
            response=later[trace.response] if trace.response is not None else None,
            tasks=tuple(
                replace(
                    task,
                    started=later[task.started],
                    ended=later[task.ended] if task.ended is not None else None,
                )
                for task in trace.tasks
            ),
            sent_at=random_number.uniform(0, 1e9),
        )
        assert moved.by_order() == trace.by_order()
        assert moved._repr_mimebundle_() == trace._repr_mimebundle_()


def test_when_a_task_began_is_not_stored() -> None:
    """A task may start before the client has read the response: a race that nobody can win."""
    before = replace(DONE, tasks=(TaskRun("write_notification", 0.005, 3.0),))
    after = replace(DONE, tasks=(TaskRun("write_notification", 0.02, 3.0),))
    assert before._repr_mimebundle_() == after._repr_mimebundle_()


def test_another_order_is_another_picture() -> None:
    assert replace(TWO, response=0.6)._repr_mimebundle_() != TWO._repr_mimebundle_()


def test_by_order_of_tasks_that_are_equal() -> None:
    task = TaskRun("write_log", 0.1, 0.5)
    twice = Trace("GET", "/", 200, 0.1, (task, replace(task)))
    assert [run.ended for run in twice.by_order().tasks] == [2.0, 3.0]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("/a\nb", r"/a\nb"),
        ("/\x1b[31mred", r"/\x1b[31mred"),
        ("/\x00", r"/\x00"),
        ("/\u202eelif", r"/\u202eelif"),
        ("/\udcff", r"/\udcff"),
        ("/naïve 名前", "/naïve 名前"),
    ],
)
def test_text_that_would_break_a_line_is_shown_as_an_escape(text: str, shown: str) -> None:
    trace = Trace("GET", text, 200, 0.1, (TaskRun(text, 0.1, 0.5, f"ValueError: {text}"),), (text,))
    assert str(trace).splitlines() == [
        f"GET {shown}",
        "  1  response 200 arrived",
        f"  2  {shown} failed: ValueError: {shown}",
        f"  -  {shown} did not run",
    ]
    assert "\n" not in trace.sentence
    assert shown in trace.sentence
    assert trace.path == text, "the data itself is not changed"


def test_listed() -> None:
    assert [listed(names) for names in ([], ["a"], ["a", "b"], ["a", "b", "c"])] == [
        "",
        "a",
        "a and b",
        "a, b and c",
    ]

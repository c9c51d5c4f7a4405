"""Lesson 08: what a test of a background task can see."""

from typing import Any

from course_app.exercises.checking import exercise
from course_app.exercises.lesson_08_judging import BENCH, CLIENT, LIMIT, judge
from course_app.exercises.lesson_08_shops import WHAT_IS_SENT, WHEN_IT_IS_SENT
from course_app.exercises.predicting import outcome


@outcome("08.p1")
def when_the_test_client_comes_back(events: list[str]) -> str:
    if "task ended" not in events:
        return "never"
    return "after" if events.index("task ended") < events.index("response here") else "before"


@outcome("08.p2")
def which_test_turns_red(failed: list[str]) -> str:
    files = {name.partition("::")[0] for name in failed}
    known = {
        frozenset(): "none",
        frozenset({"test_main.py"}): "client",
        frozenset({"test_order.py"}): "socket",
    }
    return known.get(frozenset(files), "all")


@exercise("08.1", limit=LIMIT)
async def a_test_that_catches_bugs(answer: Any) -> list[str]:
    """A test file that passes on right shops and fails on those that send something else."""
    await judge(answer, WHAT_IS_SENT, CLIENT, 5.0)
    return [passed_and_failed(WHAT_IS_SENT)]


@exercise("08.2", limit=LIMIT)
async def a_test_over_a_socket(answer: Any) -> list[str]:
    """A test file that tells a shop that answers first from one that sends its receipt first."""
    await judge(answer, WHEN_IT_IS_SENT, BENCH, 6.0)
    return [passed_and_failed(WHEN_IT_IS_SENT)]


def passed_and_failed(shops: list[Any]) -> str:
    right = sum(shop.right for shop in shops)
    return (
        f"Your tests pass on {right} apps that are right and fail on {len(shops) - right} with a "
        "bug each."
    )

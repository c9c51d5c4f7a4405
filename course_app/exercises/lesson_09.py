"""Lesson 09: outgrowing one process. Its exercises' answers are files, run by other processes."""

from typing import Any

from course_app.exercises import lesson_09_move, lesson_09_twice
from course_app.exercises.predicting import outcome

__all__ = ["how_many_survive", "lesson_09_move", "lesson_09_twice"]


@outcome("09.p1")
def how_many_survive(row: Any) -> str:
    if row["done"] == 0:
        return "none"
    return "all" if row["lost"] == 0 else "some"

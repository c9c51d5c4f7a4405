"""Lesson 00: the response does not wait."""

from course_app.exercises.predicting import outcome
from course_app.lab import Trace


@outcome("00.p1")
def when_the_response_arrives(trace: Trace) -> str:
    return "before" if trace.response_first else "after"

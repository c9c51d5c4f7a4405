"""The exercises: `check` runs an answer and says what it saw; `predict` asks before a run.

One module a lesson registers its checkers and the outcomes of its predictions.
"""

from course_app.exercises.checking import Result, UnknownExercise, check
from course_app.exercises.predicting import predict

__all__ = ["Result", "UnknownExercise", "check", "predict"]

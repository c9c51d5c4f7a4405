"""For lesson 04: a library's own source, read, checked and stepped through.

from course_app.lab.source import class_tree, in_source, step_through
class_tree(BackgroundTasks)                      # the classes that it inherits from, drawn
in_source(Response.__call__, "send(", "await")   # SourceChanged, a sentence, if they are gone
walk = await step_through(app, "POST", "/email/ada@example.com")
walk                                             # a slider over the lines that ran
"""

from course_app.lab.class_tree import class_tree
from course_app.lab.source_shape import SourceChanged, in_source
from course_app.lab.source_view import step_through

__all__ = ["SourceChanged", "class_tree", "in_source", "step_through"]

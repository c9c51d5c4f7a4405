"""What path operations are given: a dependency can add background tasks of its own."""

from typing import Annotated

from fastapi import BackgroundTasks, Depends

from course_app import tasks


def get_query(background_tasks: BackgroundTasks, q: str | None = None) -> str | None:
    """The query `q`; if there is one, a line about it goes to the log after the response.

    FastAPI passes the same `background_tasks` to the path operation. This function is called
    before it, so its task runs first.
    """
    if q:
        background_tasks.add_task(tasks.write_log, f"found query: {q}")
    return q


Query = Annotated[str | None, Depends(get_query)]
"""The type of a path operation's parameter that is given what `get_query` returns."""

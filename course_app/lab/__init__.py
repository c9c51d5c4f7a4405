"""The bench: runs any ASGI app in the notebook's kernel and shows what its requests do.

    from course_app.lab import Lab
    lab = Lab(app)                         # starts the server
    lab                                    # last in a cell: the form and the live timeline
    response = await lab.post("/email/ada@example.com")
    trace = await lab.finished()           # waits for the background tasks; what happened

Read the modules in this order: trace, drawing, story, recorder, asgi, loop_thread, server, client,
bench, timeline, console, lab; then, for the heartbeat, pulse, pulse_drawing, open_loop, heartbeat;
for the source of lesson 04, source_steps, source_tracer, class_tree, source_view; for processes
beside the kernel, child_process, guard, uvicorn_process, progress; and, for Celery, broker,
used_app, processes, asker, receiver, job_runs, and what runs in those processes, in outside.
"""

from course_app.lab.bench import Bench
from course_app.lab.child_process import ChildError, ChildProcess
from course_app.lab.errors import AppError, LabError, RequestError, StillRunning
from course_app.lab.heartbeat import Heartbeat
from course_app.lab.lab import Lab
from course_app.lab.open_loop import OpenLoop
from course_app.lab.pulse import Beat, Pulse, Work
from course_app.lab.trace import Detail, TaskRun, Trace
from course_app.lab.uvicorn_process import UvicornProcess

__all__ = [
    "AppError",
    "Beat",
    "Bench",
    "ChildError",
    "ChildProcess",
    "Detail",
    "Heartbeat",
    "Lab",
    "LabError",
    "OpenLoop",
    "Pulse",
    "RequestError",
    "StillRunning",
    "TaskRun",
    "Trace",
    "UvicornProcess",
    "Work",
]

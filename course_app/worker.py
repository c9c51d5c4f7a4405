"""The Celery app: `celery -A course_app.worker worker` starts a worker, on any machine.

The environment says where: COURSE_BROKER, COURSE_RESULTS (a Redis or Valkey broker keeps results
as well), and COURSE_QUEUE. A job that runs for over 10 seconds would be given to a second worker.
"""

import os

from celery import Celery

from course_app import reports

BROKER = os.environ.get("COURSE_BROKER", "redis://127.0.0.1:6379/0")
RESULTS = os.environ.get("COURSE_RESULTS") or (BROKER if BROKER.startswith("redis") else None)
FOLDER = BROKER.removeprefix("filesystem://")  # the last resort: a folder in place of a server
BRIEF = {"max_retries": 1, "interval_start": 0, "interval_step": 0.1, "interval_max": 0.1}

celery = Celery("course_app", broker=BROKER, backend=RESULTS)
celery.conf.update(
    task_default_queue=os.environ.get("COURSE_QUEUE", "course_app"),
    accept_content=["json"],  # never pickle: whoever can write to the broker could run any code
    task_acks_late=True,  # a job leaves the broker when it is done, not when it begins
    task_reject_on_worker_lost=True,  # if its process dies, it is given out again
    worker_prefetch_multiplier=1,  # a busy worker keeps no job that another one could do
    task_track_started=True,
    result_expires=3600,
    broker_connection_retry_on_startup=True,
    broker_connection_timeout=0.4,  # a dead broker is known at once, not after 19 seconds
    task_publish_retry_policy=BRIEF,
    broker_transport_options={"visibility_timeout": 10, "unacked_restore_interval": 1, **BRIEF}
    | {"unacked_restore_throttle": 1, "socket_connect_timeout": 0.4}
    | {"confirm_publish": True}  # RabbitMQ: a job is sent when the broker says that it has it
    | {"data_folder_in": FOLDER, "data_folder_out": FOLDER, "control_folder": FOLDER},
    result_backend_transport_options={"retry_policy": BRIEF},
    redis_socket_connect_timeout=0.4,
)
make_report = celery.task(reports.make_report)

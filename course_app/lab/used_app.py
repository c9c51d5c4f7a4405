"""A Celery app of this process, pointed at a broker and away from it again."""

import contextlib
import gc
import threading
from typing import Any

from kombu import pools
from kombu.exceptions import OperationalError
from opentelemetry.instrumentation.celery import CeleryInstrumentor

from course_app.lab.errors import LabError
from course_app.lab.recorder import watch_process

NOWHERE = "redis://127.0.0.1:1/0"
"""An address where no broker answers."""


class UsedApp:
    """A Celery app that sends to a broker, until it is closed. `celery` is a celery.Celery.

    Raises LabError if the broker does not answer.
    """

    def __init__(self, celery: Any, url: str, results: str, queue: str) -> None:
        self._celery, self._queue = celery, queue
        watch_process()
        instrumentor = CeleryInstrumentor()  # type: ignore[no-untyped-call]
        if not instrumentor.is_instrumented_by_opentelemetry:
            instrumentor.instrument()
        forget(celery)
        point(celery, url, results)
        celery.conf.update(
            task_default_queue=queue, task_default_exchange=None, task_default_routing_key=None
        )
        folder = url.removeprefix("filesystem://")
        for name in ("data_folder_in", "data_folder_out", "control_folder"):
            celery.conf.broker_transport_options[name] = folder
        celery.set_default()  # the server's threads look for its tasks there
        try:
            with celery.producer_or_acquire() as producer:  # the first message takes its time
                celery.amqp.queues[queue](producer.channel).declare()
        except (OperationalError, OSError) as error:
            self.close()
            raise LabError(
                f"The broker does not answer: {error} If COURSE_BROKER is set, is it right, and "
                "does that server run?"
            ) from None

    def close(self) -> None:
        """Leave the app without a broker, unless it has another one by now."""
        if self._celery.conf.task_default_queue == self._queue:
            forget(self._celery)
            point(self._celery, NOWHERE, NOWHERE)


def point(celery: Any, url: str, results: str) -> None:
    celery.conf.update(
        broker_url=url, broker_write_url=url, broker_read_url=url, result_backend=results
    )


def forget(celery: Any) -> None:
    """Close a Celery app's connections and drop what it keeps of its broker and results."""
    with contextlib.suppress(Exception):  # the broker may be gone
        pools.reset()  # type: ignore[no-untyped-call]
    with contextlib.suppress(Exception):
        consumer = celery.backend.result_consumer
        consumer.stop()
        consumer.cancel_for = lambda task: None  # or it complains when a result is let go later
    with contextlib.suppress(Exception):
        celery.backend.client.close()
        celery.backend.client.connection_pool.disconnect()
    celery._pool = celery._backend_cache = None
    celery._local = threading.local()
    if amqp := celery.__dict__.pop("amqp", None):
        amqp._producer_pool = None  # it is still referred to, and would keep a connection's poller
    gc.collect()  # connections of other threads, which only their objects' end closes

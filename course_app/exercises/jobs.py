"""For exercises whose apps answer 202 and keep a job: send, poll, and judge what a poll says."""

import asyncio
import time
from typing import Any

import httpx

from course_app.exercises.checking import Wrong, ask
from course_app.lab import Bench, RequestError, Trace

ENDED = ("done", "failed", "cancelled")
UNKNOWN = "/jobs/unknown"
AT_ONCE = 1.0
"""Seconds that a response may take whose work is done after it."""


async def accepted(bench: Bench, path: str) -> str:
    """Send a POST and return its Location; raises Wrong unless it is a quick 202 with one."""
    begun = time.monotonic()
    response = await ask(bench, "POST", path)
    if time.monotonic() - begun > AT_ONCE:
        raise Wrong(
            f"The response to POST {path} took more than a second: the work is done before it, "
            "and not by a background task."
        )
    if response.status_code != 202:
        raise Wrong(
            f"POST {path} was answered with {response.status_code}. The status that says "
            "“accepted, not done yet” is 202."
        )
    if "location" not in response.headers:
        raise Wrong(f"POST {path} was answered with 202, but without a Location header.")
    return response.headers["location"]


async def poll(bench: Bench, location: str, whose: str) -> dict[str, Any]:
    """What the app says of a job; `whose` names it, such as "the job of POST /exports/7".

    Raises Wrong unless it is a JSON object with a state.
    """
    try:
        response = await bench.get(location)
    except RequestError:  # a task that raises has the server close the connection: use another one
        response = await bench.get(location)
    said = f"The GET of {whose} was answered with"
    if not response.is_success:
        raise Wrong(
            f"{said} {response.status_code}{because(bench, response)}. It should tell its state."
        )
    job = body_of(response)
    if not isinstance(job, dict) or not isinstance(job.get("state"), str):
        raise Wrong(f"{said} {shown(job)}. It should be a JSON object with a “state”.")
    return job


async def must_be_404(bench: Bench, method: str) -> None:
    """Raise Wrong unless a job that was never there gives a 404."""
    response = await bench.request(method, UNKNOWN)
    said = f"{method} {UNKNOWN} was answered with {response.status_code}"
    if response.status_code != 404:
        raise Wrong(
            f"{said}{because(bench, response)}. There is no such job, so it should be a 404."
        )


def because(bench: Bench, response: httpx.Response) -> str:
    """The app's exception, as the rest of a sentence."""
    error = bench.traces[-1].error if response.status_code == 500 else None
    return f": the app raised {error.split(':')[0]}" if error else ""


def trace_of(bench: Bench, path: str) -> Trace:
    """The trace of the newest POST to this path."""
    return [trace for trace in bench.traces if (trace.method, trace.path) == ("POST", path)][-1]


def body_of(response: httpx.Response) -> Any:
    try:
        return response.json()
    except ValueError:
        return response.text


def shown(value: Any) -> str:
    return f"{value!r:.80}"


def said(job: dict[str, Any]) -> str:
    return f"“{job['state']}”{', because of ' + shown(job['reason']) if 'reason' in job else ''}."


async def until_ended(
    bench: Bench, location: str, whose: str, timeout: float
) -> list[dict[str, Any]]:
    """Every poll of a job, until it has ended, or its request's tasks have, or time is up.

    `timeout` is in seconds. A job whose task is over is asked once more.
    """
    polls: list[dict[str, Any]] = []
    deadline = time.monotonic() + timeout
    while True:
        over = trace_of(bench, whose.rpartition(" ")[2]).finished
        polls.append(await poll(bench, location, whose))
        if polls[-1]["state"] in ENDED or over or time.monotonic() > deadline:
            return polls
        await asyncio.sleep(0.1)

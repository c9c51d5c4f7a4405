"""Exercise 07.1: a session that a task can use, judged by what is in the database and when."""

import asyncio
import contextlib
import sqlite3
import time
from pathlib import Path
from typing import Any

from starlette.types import Message, Receive, Scope, Send

from course_app.exercises.checking import Wrong, ask, exercise, running
from course_app.exercises.written import failed_task
from course_app.lab import Bench, LabError

SHOP = Path("outbox/shop.db")
ADD = "pack_parcel, parcel.id"


class Shop:
    """Looks into the shop's database, and does so when a response begins to leave the app."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        self.seen: dict[int, tuple[str, str]] = {}
        """The parcels, each with its item and status, when the newest response began."""
        self.at_work = (0, 0)
        """Other requests in flight, when the newest request came and when its response began."""
        self.waited = 0.0
        """Seconds between the two."""
        self._app = bench.server.app.app
        bench.server.app.app = self

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        came, begun = self.bench.server.in_flight - 1, time.monotonic()

        async def watching_send(message: Message) -> None:
            if message["type"] == "http.response.start":
                self.seen = parcels()
                self.at_work = came, self.bench.server.in_flight - 1
                self.waited = time.monotonic() - begun
            await send(message)

        await self._app(scope, receive, watching_send)


@exercise("07.1")
async def a_session_that_a_task_can_use(app: Any) -> list[str]:
    """An app whose POST /parcels/{item} saves a parcel before its response and packs it after."""
    parcels(empty=True)
    async with running(app) as bench:
        try:
            number = await serve_orders(bench)
            await must_have_given_back(bench, number)
        except Wrong:
            with contextlib.suppress(LabError):  # a server that ends in time ends its lifespan too
                await bench.finished(timeout=1.5)
            raise
    return [
        "The parcel was in the database before the response, and could be read while it was "
        "packed. It was packed in the end, and the one that could not be packed is still there."
    ]


async def serve_orders(bench: Bench) -> int:
    """Order tea, which can be packed, and honey, which cannot; the tea's id."""
    shop = Shop(bench)
    for last in (False, True):
        number = await order(bench, shop, "tea")
        if await read_meanwhile(bench, shop, number, last):
            break
    await must_be_packed(bench, number)
    await must_survive_honey(bench, shop)
    return number


async def must_have_given_back(bench: Bench, number: int) -> None:
    response = await bench.get(f"/parcels/{number}")
    if not response.is_success:
        raise Wrong(
            f"When all tasks had ended, GET /parcels/{number} was answered with "
            f"{response.status_code}. Has every session given its connection back? "
            "`with Session(shop) as session:` sees to it."
        )


async def order(bench: Bench, shop: Shop, item: str) -> int:
    """Order a parcel and return its id; raises Wrong unless it was there with the response."""
    request = f"POST /parcels/{item}"
    # A task that raises closes its connection, and the next request should not be on it.
    response = await ask(bench, "POST", f"/parcels/{item}", headers={"connection": "close"})
    try:
        number = response.json()["id"]
    except (ValueError, LookupError, TypeError):
        raise Wrong(f"{request} should answer with the parcel's id, as it did.") from None
    found = shop.seen.get(number)
    if found is None:
        raise Wrong(
            f"When {request} was answered, there was no parcel {number} in the database: what "
            "the dependency commits after the tasks, nobody can see before."
        )
    if found != (item, "new"):
        raise Wrong(
            f"When {request} was answered, parcel {number} was {found[0]!r} with the status "
            f"{found[1]!r}. It should be {item!r} and 'new': it is packed after the response."
        )
    return int(number)


async def read_meanwhile(bench: Bench, shop: Shop, number: int, last: bool) -> bool:
    """Whether the parcel was read while it was packed. False if the clients came too late.

    Raises Wrong if the request had to wait; unless it is the `last` try, the next one tells.
    """
    request = f"GET /parcels/{number}"
    response = await bench.get(f"/parcels/{number}")
    came, answered = shop.at_work
    if response.status_code == 404:
        raise Wrong(f"{request} was answered with 404 while the parcel was packed.")
    if not response.is_success:
        raise Wrong(
            f"{request} was answered with {response.status_code} while the parcel was packed: "
            "it got no connection. Which session had the only one?"
        )
    if came and not answered and last and shop.waited > 0.3:  # pack takes a second
        raise Wrong(
            f"{request} was not answered before the parcel was packed: it had to wait for the "
            "only connection. Which session was open while `pack` was at work?"
        )
    if response.json() != "new" and answered:
        raise Wrong(f"While the parcel was packed, {request} said {response.json()!r}, not 'new'.")
    if not answered:
        await bench.finished(timeout=3)
    return bool(answered) or last


async def must_be_packed(bench: Bench, number: int) -> None:
    trace = await bench.finished(timeout=4)
    if error := failed_task(bench.traces, ADD):
        hint = " Pass the id." if "DetachedInstance" in error else ""
        raise Wrong(f"POST /parcels/tea was answered, but then {without_link(error)}{hint}")
    if not any(known.tasks for known in [*bench.traces, trace]):
        await packed_later(number)
        raise Wrong(
            "POST /parcels/tea was answered, but no background task ran. Was the task added to "
            "the background_tasks that FastAPI passes in?"
        )
    status = parcels().get(number, ("", "gone"))[1]
    if status != "packed":
        raise Wrong(
            f"When the task had ended, parcel {number} was {status!r} in the database, not "
            "'packed'. Who commits what the task has changed?"
        )


async def packed_later(number: int) -> None:
    """Raise Wrong if the parcel gets packed by work that the server does not know of."""
    deadline = time.monotonic() + 1.5
    while time.monotonic() < deadline:
        if parcels().get(number, ("", ""))[1] == "packed":
            raise Wrong(
                "The parcel was packed by work that the server does not know of, and would not "
                "wait for when it stops. Use background_tasks.add_task."
            )
        await asyncio.sleep(0.05)


async def must_survive_honey(bench: Bench, shop: Shop) -> None:
    number = await order(bench, shop, "honey")
    await bench.finished(timeout=3)
    found = parcels().get(number)
    if found is None:
        raise Wrong(
            f"When packing the honey had failed, parcel {number} was gone. The client was told of "
            "it, so it should be there, and 'new'."
        )
    if found[1] != "new":
        raise Wrong(
            f"Packing the honey has failed, and yet parcel {number} is {found[1]!r}. It should "
            "still be 'new'."
        )


def parcels(*, empty: bool = False) -> dict[int, tuple[str, str]]:
    """What is committed to the shop's database, read by a connection of our own.

    Raises Wrong if it cannot be read, or, if it is to be emptied, not be written.
    """
    try:
        with contextlib.closing(sqlite3.connect(f"file:{SHOP}?mode=rw", uri=True)) as connection:
            if empty:
                connection.execute("DELETE FROM parcels")
                connection.commit()
            rows = connection.execute("SELECT id, item, status FROM parcels").fetchall()
    except sqlite3.Error as error:
        raise Wrong(
            f"The shop's database, {SHOP}, cannot be used ({error}). Run the cell that makes it "
            "again, and then the one with the answer."
        ) from None
    return {number: (item, status) for number, item, status in rows}


def without_link(error: str) -> str:
    """What is said of an error, without SQLAlchemy's link at its end."""
    return error.partition(" (Background on this error")[0].rstrip(".") + "."

"""Asks a server the same question RATE times a second, answered or not, until it is stopped.

A script for a process of its own, so that nothing that computes elsewhere keeps it from asking. It
speaks plain HTTP/1.1 over sockets, since a client library would take ten times the processor time.
Its first line is the moment of question 0, in seconds since the epoch; then each line is the number
of a question that was answered, and the seconds from the moment it was due to its answer.
"""

import asyncio
import contextlib
import itertools
import sys
import time
from urllib.parse import urlsplit

RATE = 50
KEPT = 5
"""Connections kept for the next question; a stalled server has hundreds of them open."""
Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Client:
    """Sends GET requests, each over a connection that no other request waits on."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._address = parts.hostname, parts.port
        self._request = f"GET {parts.path} HTTP/1.1\r\nHost: {parts.netloc}\r\n\r\n".encode()
        self._idle: list[Connection] = []

    async def get(self) -> None:
        """Return when the response has been read; raises OSError or EOFError if none comes."""
        while self._idle:
            connection = self._idle.pop()
            if connection[0].at_eof():  # the server has closed it, since it was idle
                connection[1].close()
                continue
            with contextlib.suppress(OSError, EOFError):  # or closes it at this very moment
                return await self._ask(connection)
        return await self._ask(await asyncio.open_connection(*self._address))

    async def _ask(self, connection: Connection) -> None:
        reader, writer = connection
        try:
            writer.write(self._request)
            head = await reader.readuntil(b"\r\n\r\n")
            length = head.lower().partition(b"content-length:")[2].split(b"\r\n")[0]
            await reader.readexactly(int(length))
        except BaseException:
            writer.close()
            raise
        if len(self._idle) < KEPT:
            self._idle.append(connection)
        else:
            writer.close()


async def ask(url: str) -> None:
    client = Client(url)
    await client.get()
    zero, started = time.time(), time.monotonic()
    print(zero, flush=True)

    async def question(number: int) -> None:
        try:
            await client.get()
        except (OSError, EOFError):
            return
        print(number, time.monotonic() - started - number / RATE, flush=True)

    questions: set[asyncio.Task[None]] = set()
    for number in itertools.count():
        await asyncio.sleep(started + number / RATE - time.monotonic())
        questions.add(asking := asyncio.create_task(question(number)))
        asking.add_done_callback(questions.discard)


if __name__ == "__main__":
    asyncio.run(ask(sys.argv[1]))

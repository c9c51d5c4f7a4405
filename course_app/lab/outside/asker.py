"""Asks a server the same question RATE times a second, answered or not, until it is stopped.

A script for a process of its own, so that nothing that computes elsewhere keeps it from asking. Its
first line is the moment of question 0, in seconds since the epoch; then each line is the number of
a question that was answered, and the seconds from the moment it was due to its answer.
"""

import asyncio
import itertools
import sys
import time

import httpx

RATE = 50


async def ask(url: str) -> None:
    limits = httpx.Limits(max_connections=None)
    async with httpx.AsyncClient(limits=limits, timeout=30, trust_env=False) as client:
        await client.get(url)  # the first connection takes its time
        zero, started = time.time(), time.monotonic()
        print(zero, flush=True)

        async def question(number: int) -> None:
            try:
                await client.get(url)
            except httpx.HTTPError:
                return
            print(number, time.monotonic() - started - number / RATE, flush=True)

        questions: set[asyncio.Task[None]] = set()
        for number in itertools.count():
            await asyncio.sleep(started + number / RATE - time.monotonic())
            questions.add(asking := asyncio.create_task(question(number)))
            asking.add_done_callback(questions.discard)


if __name__ == "__main__":
    asyncio.run(ask(sys.argv[1]))

"""A process has one wake-up descriptor: all benches share it, and the last gives it back."""

import asyncio
import signal
import socket
import threading
from collections.abc import Iterator

import pytest

from course_app.lab import interrupt
from tests.support.benches import holdings


@pytest.fixture
def previous() -> Iterator[int]:
    """Somebody else's descriptor, which was set before."""
    pair = socket.socketpair()
    for end in pair:
        end.setblocking(False)
    outer = signal.set_wakeup_fd(pair[1].fileno())
    yield pair[1].fileno()
    signal.set_wakeup_fd(outer)
    for end in pair:
        end.close()


class Bench:
    """Stands in for a bench, of which only the identity matters."""


def current() -> int:
    found = signal.set_wakeup_fd(-1)
    signal.set_wakeup_fd(found)
    return found


def test_the_last_user_gives_it_back(previous: int) -> None:
    async def story() -> None:
        before = holdings()
        first, second = Bench(), Bench()
        for user in (first, second, first):
            interrupt.arm(user)
            assert current() != previous
        for user in (first, first):
            interrupt.disarm(user)
            assert current() != previous
        interrupt.disarm(second)
        assert current() == previous
        assert holdings() == before

    asyncio.run(story())


def test_another_event_loop_and_another_descriptor(previous: int) -> None:
    user = Bench()

    async def arm() -> int:
        interrupt.arm(user)
        return current()

    assert asyncio.run(arm()) != previous
    assert asyncio.run(arm()) != previous
    interrupt.disarm(user)
    assert current() == previous


def test_outside_the_main_thread_nothing_happens(previous: int) -> None:
    user = Bench()

    async def arm() -> None:
        interrupt.arm(user)

    thread = threading.Thread(target=lambda: asyncio.run(arm()))
    thread.start()
    thread.join()
    assert current() == previous

    async def disarm_elsewhere() -> None:
        interrupt.arm(user)
        await asyncio.to_thread(interrupt.disarm, user)
        assert current() != previous, "only the main thread can give it back"
        interrupt.arm(user)
        interrupt.disarm(user)
        assert current() == previous

    asyncio.run(disarm_elsewhere())


def test_a_signal_wakes_the_loop(previous: int) -> None:
    async def story() -> None:
        user, seen = Bench(), asyncio.Event()
        loop = asyncio.get_running_loop()
        handler = signal.signal(signal.SIGUSR1, lambda *_: seen.set())
        interrupt.arm(user)
        # From a thread, as in a kernel: the main thread sleeps in `select` meanwhile.
        threading.Timer(
            0.2, lambda: signal.pthread_kill(threading.get_ident(), signal.SIGUSR1)
        ).start()
        begun = loop.time()
        await asyncio.wait_for(seen.wait(), 5)
        assert loop.time() - begun < 3
        interrupt.disarm(user)
        signal.signal(signal.SIGUSR1, handler)

    asyncio.run(story())

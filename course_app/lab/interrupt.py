"""Makes JupyterLab's Stop button reach a cell that awaits.

ipykernel 7 turns SIGINT into a cancelled cell, but the signal may be delivered to another thread
while the main thread sleeps in `select`, and then nothing happens until something else wakes it
(ipykernel issue 881). A wake-up descriptor ends that sleep. A process has only one, so all benches
share it.
"""

import asyncio
import contextlib
import signal
import socket
import threading
from weakref import WeakSet

_users: "WeakSet[object]" = WeakSet()
_sockets: tuple[socket.socket, socket.socket] | None = None
_loop: asyncio.AbstractEventLoop | None = None
_previous = -1


def arm(user: object) -> None:
    """Wake the running loop when a signal arrives, until every user has called `disarm`.

    Call it in the cell's own loop, at each request: others may have taken the descriptor. Does
    nothing outside the main thread, or on a loop that cannot watch a socket.
    """
    global _previous
    if threading.current_thread() is not threading.main_thread():
        return
    loop = asyncio.get_running_loop()
    if _loop is not loop:
        _close()
        _open(loop)
    if _sockets is not None:
        _users.add(user)
        ours = _sockets[1].fileno()
        previous = signal.set_wakeup_fd(ours, warn_on_full_buffer=False)
        if previous != ours:
            _previous = previous


def disarm(user: object) -> None:
    """The user needs no waking any more."""
    _users.discard(user)
    if not _users:
        _close()


def _open(loop: asyncio.AbstractEventLoop) -> None:
    global _sockets, _loop
    reader, writer = socket.socketpair()
    reader.setblocking(False)
    writer.setblocking(False)
    try:
        loop.add_reader(reader, _drain, reader)
    except NotImplementedError:
        reader.close()
        writer.close()
    else:
        _sockets, _loop = (reader, writer), loop


def _close() -> None:
    global _sockets, _loop
    if _sockets is None or _loop is None:
        return
    if threading.current_thread() is not threading.main_thread():
        return  # only the main thread may give the descriptor back: the next `_close` there does
    reader, writer = _sockets
    current = signal.set_wakeup_fd(-1)
    restored = _previous if current == writer.fileno() else current
    with contextlib.suppress(ValueError, OSError):  # it may have been closed meanwhile
        signal.set_wakeup_fd(restored, warn_on_full_buffer=False)
    if not _loop.is_closed():
        _loop.remove_reader(reader)
    reader.close()
    writer.close()
    _sockets = _loop = None


def _drain(reader: socket.socket) -> None:
    with contextlib.suppress(BlockingIOError):
        while reader.recv(4096):
            pass

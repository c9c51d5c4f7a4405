"""Makes JupyterLab's Stop button reach a cell that awaits.

ipykernel 7 turns SIGINT into a cancelled cell, but the signal may be delivered to another thread
while the main thread sleeps in `select`, and then nothing happens until something else wakes it
(ipykernel issue 881). A wake-up descriptor ends that sleep.
"""

import asyncio
import contextlib
import signal
import socket
import threading


class WakeOnSignal:
    """Wakes the running event loop when a signal arrives, between `arm` and `close`."""

    def __init__(self) -> None:
        self._sockets: tuple[socket.socket, socket.socket] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._previous = -1

    def arm(self) -> None:
        """Call it in the cell's own loop, at each request: others may have disarmed it.

        Does nothing outside the main thread, or on a loop that cannot watch a socket.
        """
        if threading.current_thread() is not threading.main_thread():
            return
        loop = asyncio.get_running_loop()
        if self._loop is not loop:
            self.close()
            reader, writer = socket.socketpair()
            reader.setblocking(False)
            writer.setblocking(False)
            try:
                loop.add_reader(reader, self._drain, reader)
            except NotImplementedError:
                reader.close()
                writer.close()
                return
            self._sockets, self._loop = (reader, writer), loop
        if self._sockets is not None:
            ours = self._sockets[1].fileno()
            previous = signal.set_wakeup_fd(ours, warn_on_full_buffer=False)
            if previous != ours:
                self._previous = previous

    def close(self) -> None:
        if self._sockets is None or self._loop is None:
            return
        reader, writer = self._sockets
        if threading.current_thread() is threading.main_thread():
            current = signal.set_wakeup_fd(-1)
            restored = self._previous if current == writer.fileno() else current
            with contextlib.suppress(ValueError, OSError):  # it may have been closed meanwhile
                signal.set_wakeup_fd(restored, warn_on_full_buffer=False)
        if not self._loop.is_closed():
            self._loop.remove_reader(reader)
        reader.close()
        writer.close()
        self._sockets = self._loop = None

    @staticmethod
    def _drain(reader: socket.socket) -> None:
        with contextlib.suppress(BlockingIOError):
            while reader.recv(4096):
                pass

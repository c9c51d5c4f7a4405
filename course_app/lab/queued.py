"""Runs cells in a kernel of their own, all sent at once as JupyterLab's Run All does.

Some experiments would spoil the notebook that they are made in. Here they spoil a process that is
thrown away.
"""

import asyncio
import contextlib
import queue
import subprocess
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any

from jupyter_client.asynchronous.client import AsyncKernelClient
from jupyter_client.manager import AsyncKernelManager

from course_app.lab.errors import stoppable

PATIENCE = 0.5
"""Seconds without a reply after which one more cell is sent, to see whether it gets one."""

STOPPED = "You stopped the experiment, and its kernel is gone."


@dataclass(frozen=True)
class CellRun:
    """What became of one queued cell."""

    ran: bool
    printed: str = ""
    error: str | None = None
    """None, or the exception as "RuntimeError: ..."."""

    def __str__(self) -> str:
        if not self.ran:
            return "never ran"
        said = self.error or (f"printed {self.printed.strip()!r}" if self.printed else "")
        return f"ran, {said}" if said else "ran"


class QueuedRun(tuple[CellRun, ...]):
    """The cells' fates, in the order of the queue; printed, one line each."""

    __slots__ = ()

    def __str__(self) -> str:
        return "\n".join(f"  {place}  {cell}" for place, cell in enumerate(self, start=1))

    __repr__ = __str__


async def run_queued(cells: Sequence[str], timeout: float = 30) -> QueuedRun:
    """Send every cell to a new kernel before the first has ended, and see what each does.

    A cell that has no reply although a cell that was sent after it has one will never run: a
    kernel takes cells in order. Raises TimeoutError after `timeout` seconds.
    """
    with stoppable(STOPPED):
        async with asyncio.timeout(timeout), fresh_kernel() as client:
            return await sent_to(client, cells)


async def sent_to(client: AsyncKernelClient, cells: Sequence[str]) -> QueuedRun:
    sent = [client.execute(code, stop_on_error=False) for code in cells]
    later: list[str] = []
    replies: dict[str, dict[str, Any]] = {}
    while not (replies.keys() >= set(sent) or replies.keys() & set(later)):
        try:
            reply = await client.get_shell_msg(timeout=PATIENCE)
        except queue.Empty:
            later.append(client.execute("", store_history=False))
        else:
            replies[reply["parent_header"].get("msg_id", "")] = reply["content"]
    printed = await streams(client)
    return QueuedRun(
        CellRun(cell in replies, printed.get(cell, ""), error_in(replies.get(cell)))
        for cell in sent
    )


async def streams(client: AsyncKernelClient) -> dict[str, str]:
    """What each cell has printed so far, by the id of its message."""
    printed: dict[str, str] = {}
    last = client.execute("", store_history=False)
    while True:
        message = await client.get_iopub_msg()
        cell, content = message["parent_header"].get("msg_id", ""), message["content"]
        if message["msg_type"] == "stream" and content["name"] == "stdout":
            printed[cell] = printed.get(cell, "") + content["text"]
        if cell == last and content.get("execution_state") == "idle":
            return printed


def error_in(reply: dict[str, Any] | None) -> str | None:
    if reply is None or reply["status"] == "ok":
        return None
    return f"{reply.get('ename')}: {reply.get('evalue')}"


@contextlib.asynccontextmanager
async def fresh_kernel() -> AsyncIterator[AsyncKernelClient]:
    """A kernel that is gone when the block is left, also if the cell is interrupted."""
    manager = AsyncKernelManager(kernel_name="python3")
    client = None
    try:
        # What it writes to its descriptors would land in whatever cell is running.
        await manager.start_kernel(stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        client = manager.client()
        client.start_channels(stdin=False, hb=False, control=False)
        await client.wait_for_ready(timeout=30)
        yield client
    finally:
        if client is not None:
            client.stop_channels()
        await asyncio.shield(manager.shutdown_kernel(now=True))

"""A kernel whose cells can be interrupted, and what each cell shows."""

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from queue import Empty
from typing import Any

from jupyter_client.blocking.client import BlockingKernelClient
from jupyter_client.manager import KernelManager

from tests.support.kernels import fresh_kernel

COLORS = re.compile(r"\x1b\[[0-9;]*m")


@dataclass
class Shown:
    """What a cell showed, and how long it took in seconds."""

    text: str = ""
    """Its standard output and the text of its results."""
    stderr: str = ""
    error: str = ""
    """Its traceback, as the notebook shows it, without colors."""
    seconds: float = 0.0
    data: list[dict[str, Any]] = field(default_factory=list)


class Kernel:
    """Runs cells one after the other."""

    def __init__(self, manager: KernelManager, client: BlockingKernelClient) -> None:
        self._manager = manager
        self._client = client

    def run(self, code: str, *, interrupt_after: float | None = None, timeout: float = 60) -> Shown:
        """Run a cell. Its `seconds` count from the interrupt, if there is one."""
        request = self._client.execute(code, stop_on_error=False)
        if interrupt_after is not None:
            time.sleep(interrupt_after)
            self._manager.interrupt_kernel()
        shown, begun = Shown(), time.monotonic()
        while time.monotonic() - begun < timeout:
            try:
                message = self._client.get_iopub_msg(timeout=0.5)
            except Empty:
                continue
            if message["parent_header"].get("msg_id") != request:
                continue
            content, kind = message["content"], message["msg_type"]
            if kind == "stream" and content["name"] == "stderr":
                shown.stderr += content["text"]
            elif kind == "stream":
                shown.text += content["text"]
            elif kind in ("execute_result", "display_data"):
                shown.data.append(content["data"])
                shown.text += content["data"].get("text/plain", "")
            elif kind == "error":
                shown.error = COLORS.sub("", "\n".join(content["traceback"]))
            elif kind == "status" and content["execution_state"] == "idle":
                shown.seconds = time.monotonic() - begun
                return shown
        raise TimeoutError(code)


@contextmanager
def kernel(folder: Path) -> Iterator[Kernel]:
    with fresh_kernel(folder) as (manager, client):
        yield Kernel(manager, client)

"""Runs a notebook as JupyterLab's Run All does: every cell is sent before the first has ended."""

import time
from pathlib import Path
from typing import Any

import nbformat
from jupyter_client.blocking.client import BlockingKernelClient

COUNT = """
import asyncio, json, os, threading, time
def counts():
    descriptors = sorted(os.readlink(f"/proc/self/fd/{fd}") for fd in os.listdir("/proc/self/fd")
                         if os.path.exists(f"/proc/self/fd/{fd}"))
    listening = set()
    for table in ("/proc/self/net/tcp", "/proc/self/net/tcp6"):
        listening |= {line.split()[9] for line in open(table).readlines()[1:]
                      if line.split()[3] == "0A"}
    sockets = [name for name in descriptors if name.startswith("socket:")]
    return {
        "threads": sorted(t.name.split(" http")[0] for t in threading.enumerate()),
        "descriptors": len(descriptors),
        "listening": sum(name[8:-1] in listening for name in sockets),
        "tasks": len(asyncio.all_tasks()),
    }
"""


def code_cells(path: Path) -> list[str]:
    cells = nbformat.read(path, as_version=4).cells
    return [cell.source for cell in cells if cell.cell_type == "code"]


def run_all(
    client: BlockingKernelClient, cells: list[str], timeout: float = 180
) -> list[dict[str, Any]]:
    """Queue every cell at once and return the replies, in the order in which they came.

    Raises TimeoutError, naming the cells, if a reply is missing.
    """
    sent = [client.execute(code, stop_on_error=False) for code in cells]
    replies: list[dict[str, Any]] = []
    deadline = time.monotonic() + timeout
    while len(replies) < len(sent):
        left = deadline - time.monotonic()
        if left <= 0:
            answered = {reply["parent_header"]["msg_id"] for reply in replies}
            missing = [
                code for code, request in zip(cells, sent, strict=True) if request not in answered
            ]
            raise TimeoutError(f"{len(missing)} cells were never run, the first is: {missing[0]}")
        try:
            reply = client.get_shell_msg(timeout=min(left, 1.0))
        except Exception:  # queue.Empty, or zmq's own word for it
            continue
        if reply["parent_header"].get("msg_id") in sent:
            replies.append(reply)
    return replies


def ask(client: BlockingKernelClient, expression: str, timeout: float = 60) -> Any:
    """The value of an expression in the kernel."""
    request = client.execute("", user_expressions={"value": expression}, silent=True)
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        reply = client.get_shell_msg(timeout=timeout)
        if reply["parent_header"].get("msg_id") == request:
            value = reply["content"]["user_expressions"]["value"]
            assert value["status"] == "ok", value
            import ast

            return ast.literal_eval(value["data"]["text/plain"])
    raise TimeoutError(expression)

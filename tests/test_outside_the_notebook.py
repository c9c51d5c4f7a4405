"""Lesson 01's last section, done as it says: the file, the command, the request."""

import re
import shlex
import socket
import subprocess
import sys
import time
from pathlib import Path

import nbformat
import pytest

from tests.support.brokers import free_port

LESSON = Path(__file__).parent.parent / "notebooks" / "01_plain_function.ipynb"


def blocks(kind: str) -> list[str]:
    cells = nbformat.read(LESSON, as_version=4).cells
    (section,) = (cell.source for cell in cells if "Save this as `main.py`" in cell.source)
    return re.findall(rf"~~~{kind}\n(.*?)~~~", section, flags=re.DOTALL)


def test_main_py_served_by_the_lessons_command_answers_the_lessons_request(tmp_path: Path) -> None:
    (code,), (serve, request) = blocks("python"), blocks("sh")
    (tmp_path / "main.py").write_text(code)
    port = free_port()
    command = [sys.executable, "-m", *shlex.split(serve), "--port", str(port)]
    log = (tmp_path / "log.txt").open("w")
    server = subprocess.Popen(command, cwd=tmp_path, stdout=log, stderr=log)
    try:
        wait_for(port, server, tmp_path / "log.txt")
        curl = shlex.split(request.replace(":8000", f":{port}"))
        assert curl[0] == "curl"
        answer = subprocess.run(
            [*curl, "--silent", "--max-time", "2"], capture_output=True, text=True, check=True
        )
        assert answer.stdout == '{"message":"Notification sent in the background"}'
        written = tmp_path / "notifications.txt"
        assert not written.exists()
        deadline = time.monotonic() + 15
        while not written.exists() and time.monotonic() < deadline:
            time.sleep(0.1)
        time.sleep(0.2)
        assert written.read_text() == "notification for ada@example.com: hello\n"
    finally:
        server.terminate()
        try:
            server.wait(10)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait(5)
        log.close()


def wait_for(port: int, server: "subprocess.Popen[bytes]", log: Path) -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        if server.poll() is not None:
            break
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.1)
        else:
            return
    pytest.fail(f"the server does not answer:\n{log.read_text()}")

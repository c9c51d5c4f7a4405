"""Most tests wait, so four run at once; and where CI runs them, none may be left out."""

import os
import random
import socket
from contextlib import suppress

import pytest
from jupyter_client.connect import LocalPortCache
from xdist.scheduler import LoadScopeScheduling


class ByNotebook(LoadScopeScheduling):  # type: ignore[misc]
    """Gives a worker a whole notebook, whose cells need their order, or a single other test."""

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        return file if file.endswith(".ipynb") else nodeid


class KernelPorts(LocalPortCache):  # type: ignore[misc]
    """Gives kernels the ports 10 000 to 17 999, a quarter to each of four workers.

    jupyter_client looks for a free port, closes it and hands its number to the kernel, which binds
    it a second later. From the system's own range, any client of the tests beside may have it by
    then: "Address already in use", and the kernel is dead.
    """

    def find_available_port(self, ip: str) -> int:
        worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
        while True:
            port = 10_000 + 2_000 * (worker % 4) + random.randrange(2_000)
            with suppress(OSError), socket.create_server((ip, port)):
                if port not in self.currently_used_ports:
                    self.currently_used_ports.add(port)
                    return port


def pytest_configure() -> None:
    KernelPorts.instance()  # the one that every kernel manager of this process asks


def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> ByNotebook:
    return ByNotebook(config, log)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if os.environ.get("CI") == "true":
        for report in terminalreporter.getreports("skipped"):
            terminalreporter.write_line(f"skipped, which CI does not allow: {report.nodeid}")


def pytest_sessionfinish(session: pytest.Session) -> None:
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if os.environ.get("CI") == "true" and reporter and reporter.getreports("skipped"):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED

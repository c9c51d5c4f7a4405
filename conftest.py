"""Most tests wait, so four run at once; and where CI runs them, none may be left out."""

import os

import pytest
from xdist.scheduler import LoadScopeScheduling


class ByNotebook(LoadScopeScheduling):  # type: ignore[misc]
    """Gives a worker a whole notebook, whose cells need their order, or a single other test."""

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        return file if file.endswith(".ipynb") else nodeid


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

"""Drives JupyterLab in Chromium: a server with throw-away settings, a page with one notebook."""

import json
import os
import secrets
import shutil
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
READY = """() => {
    const context = window.jupyterapp?.shell.currentWidget?.sessionContext;
    const kernel = context?.session?.kernel;
    return context?.isReady && kernel?.connectionStatus === 'connected'
        && kernel?.status === 'idle';
}"""
SETTINGS = {
    "@jupyterlab/apputils-extension:notification": {
        "fetchNews": "false",
        "checkForUpdates": False,
        "doNotDisturbMode": True,
    },
    # Cells out of sight would not be in the page.
    "@jupyterlab/notebook-extension:tracker": {"windowingMode": "none"},
    "@jupyterlab/docmanager-extension:plugin": {"autosave": False},
}


@contextmanager
def jupyterlab(
    root: Path, scratch: Path, theme: str = "JupyterLab Light"
) -> Iterator[tuple[str, str]]:
    """A JupyterLab server on a free port, with `root` as its folder: its URL and its token."""
    token = secrets.token_hex(16)
    settings = {**SETTINGS, "@jupyterlab/apputils-extension:themes": {"theme": theme}}
    overrides = scratch / "config" / "labconfig" / "default_setting_overrides.json"
    overrides.parent.mkdir(parents=True)
    overrides.write_text(json.dumps(settings))
    (scratch / "settings").mkdir()
    environment = {
        **os.environ,
        "JUPYTER_CONFIG_DIR": str(scratch / "config"),
        "JUPYTER_RUNTIME_DIR": str(scratch / "run"),
        "JUPYTERLAB_SETTINGS_DIR": str(scratch / "settings"),
        "JUPYTERLAB_WORKSPACES_DIR": str(scratch / "workspaces"),
        "IPYTHONDIR": str(scratch / "ipython"),
        "JUPYTER_PREFER_ENV_PATH": "1",
    }
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--ip=127.0.0.1", "--port=0"]
    command += ["--ServerApp.port_retries=0", "--allow-root", f"--IdentityProvider.token={token}"]
    command += [f"--ServerApp.root_dir={root}", "--LabApp.expose_app_in_browser=True"]
    with (scratch / "lab.log").open("w") as log:
        server = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
        try:
            yield address(server, scratch, token), token
        finally:
            server.terminate()
            try:
                server.wait(15)
            except subprocess.TimeoutExpired:
                server.kill()
                server.wait(5)


def address(server: subprocess.Popen[bytes], scratch: Path, token: str) -> str:
    """The server's URL, once it answers; raises RuntimeError with its log if it ends first."""
    deadline = time.monotonic() + 90
    while time.monotonic() < deadline:
        if server.poll() is not None:
            raise RuntimeError((scratch / "lab.log").read_text())
        for file in (scratch / "run").glob("jpserver-*.json"):
            try:
                url = str(json.loads(file.read_text())["url"])
                urllib.request.urlopen(f"{url}api/status?token={token}", timeout=2).close()
            except (OSError, ValueError):
                continue
            return url
        time.sleep(0.1)
    raise RuntimeError("JupyterLab did not answer within 90 seconds")


@contextmanager
def page_of(
    notebook: Path,
    scratch: Path,
    *,
    width: int = 1280,
    height: int = 900,
    theme: str = "JupyterLab Light",
) -> Iterator[Page]:
    """The notebook, open in JupyterLab with an idle kernel."""
    with (
        jupyterlab(notebook.parent, scratch, theme) as (url, token),
        sync_playwright() as playwright,
    ):
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        try:
            page = browser.new_page(viewport={"width": width, "height": height})
            page.goto(f"{url}lab/tree/{notebook.name}?token={token}")
            page.locator(".jp-NotebookPanel:visible .jp-Notebook").wait_for(timeout=90_000)
            # The status light is idle before a kernel is there: ask the application.
            page.wait_for_function(READY, timeout=90_000)
            yield page
        finally:
            browser.close()


def run_all(page: Page) -> None:
    """Run > Run All Cells."""
    page.evaluate("() => window.jupyterapp.commands.execute('runmenu:run-all')")


def error_outputs(page: Page) -> list[str]:
    """The texts of all error and stderr outputs on the page."""
    found = page.locator(
        ".jp-OutputArea-output[data-mime-type='application/vnd.jupyter.stderr'], "
        ".jp-OutputArea-output[data-mime-type='application/vnd.jupyter.error']"
    )
    return found.all_inner_texts()


def all_have_run(page: Page, timeout: float = 120) -> None:
    """Wait until every code cell has a number and none is queued or running."""
    page.wait_for_function(
        """() => [...document.querySelectorAll('.jp-CodeCell .jp-InputPrompt')]
                 .every(prompt => /^\\[\\d+\\]:$/.test(prompt.textContent))""",
        timeout=timeout * 1000,
    )

"""The functions that run in the background, after the response."""

import time
from pathlib import Path

OUTBOX = Path("outbox")
"""Folder of the files that tasks write, below the current folder; git ignores it."""

sent: list[str] = []
"""The addresses notified so far: a task changes the same list that the app's requests read."""


def write_notification(email: str, message: str = "") -> None:
    """Send a notification, slowly: 3 seconds, then a line in `outbox/notifications.txt`."""
    time.sleep(3)
    OUTBOX.mkdir(exist_ok=True)
    with open(OUTBOX / "notifications.txt", mode="a", encoding="utf-8") as file:
        file.write(f"notification for {email}: {message}\n")
    sent.append(email)


def write_log(message: str) -> None:
    """Log a message on a slow disk: half a second, then a line in `outbox/log.txt`."""
    time.sleep(0.5)
    OUTBOX.mkdir(exist_ok=True)
    with open(OUTBOX / "log.txt", mode="a", encoding="utf-8") as file:
        file.write(f"{message}\n")

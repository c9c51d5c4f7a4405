"""Processes that a test has started, found by what they carry with them."""

from pathlib import Path

MARK = "COURSE_TEST_MARK"
"""Name of an environment variable: children inherit it, whatever session they are in."""


def marked(mark: str, folder: Path | None = None) -> dict[int, str]:
    """The command of every living process with this mark, or at work below the folder, by its id.

    A Redis or Valkey server writes its title over its environment, so it is known by its folder.
    """
    found = {}
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            environment = (entry / "environ").read_bytes().split(b"\0")
            command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode().strip()
            current = str((entry / "cwd").readlink())
        except OSError:  # it has ended meanwhile, or is another user's
            continue
        if f"{MARK}={mark}".encode() in environment or (folder and f"{folder}/" in current):
            found[int(entry.name)] = command
    return found

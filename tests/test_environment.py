"""One set of versions, however the course is installed; and nothing tracked that must not be."""

import re
import subprocess
import tomllib
from importlib.metadata import version
from pathlib import Path

import yaml
from packaging.requirements import Requirement

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
LINES = (ROOT / "requirements.txt").read_text().splitlines()
PINNED = [Requirement(line) for line in LINES if re.match(r"[a-z0-9]", line)]


def test_requirements_are_what_uv_exports() -> None:
    command = ["uv", "export", "--no-hashes", "--no-header", "--quiet"]
    exported = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert exported.splitlines() == LINES


def test_requirements_install_the_project_first_and_name_no_address() -> None:
    assert LINES[0] == "-e ."
    assert not any("://" in line for line in LINES)


def test_uv_is_held_to_the_same_pins() -> None:
    """A registry may show a file days after the date that it bears, so the date alone is no pin."""
    held = [Requirement(line) for line in PROJECT["tool"]["uv"]["constraint-dependencies"]]
    assert sorted(map(str, held)) == sorted(map(str, PINNED))


def test_what_is_installed_is_what_requirements_pin() -> None:
    here = [r for r in PINNED if r.marker is None or r.marker.evaluate()]
    assert len(here) > 50
    wrong = [str(r) for r in here if not r.specifier.contains(version(r.name))]
    assert wrong == []


def test_every_declared_dependency_is_pinned_within_its_range() -> None:
    pins = {r.name: next(iter(r.specifier)).version for r in PINNED}
    declared = PROJECT["project"]["dependencies"] + PROJECT["dependency-groups"]["dev"]
    for requirement in map(Requirement, declared):
        assert requirement.specifier.contains(pins[requirement.name]), requirement


def test_conda_takes_python_and_pip_and_leaves_the_rest_to_the_requirements() -> None:
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    assert environment["channels"] == ["conda-forge"]
    floor = PROJECT["project"]["requires-python"]
    assert environment["dependencies"] == [
        f"python{floor}",
        "pip",
        {"pip": ["-r requirements.txt"]},
    ]


def test_git_holds_no_lock_file_and_nothing_that_a_task_wrote() -> None:
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True).stdout
    assert "uv.lock" not in tracked
    assert "outbox" not in tracked
    assert ".ipynb_checkpoints" not in tracked

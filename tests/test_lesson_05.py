"""Lesson 05: its facts, measured apart from the notebook; falsified, they turn it red."""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpx
import nbformat
import pytest
from fastapi import BackgroundTasks, FastAPI, Request, UploadFile

from course_app.exercises import predict
from course_app.lab import Bench, UvicornProcess
from course_app.lab.progress import WORDS, ProgressBar, drawn
from tests.support.benches import on_a_bench
from tests.support.lesson_code import definitions
from tests.support.mutants import Mutant, survivors
from tests.support.pictures import Elements

NOTEBOOK = Path(__file__).parent.parent / "notebooks" / "05_accepted.ipynb"

ROUNDS: list[dict[str, Mutant]] = [
    {
        "the answer is a 200": (
            {'@app.post("/files", status_code=202)': '@app.post("/files")'},
            'location = response.headers["Location"]',
        ),
        "the progress falls": (
            {"progress=100 * number // len(lines)": "progress=-number"},
            'progress = [poll["progress"] for poll in polls]',
        ),
        "the failing task says that it is done": (
            {'save(job_id, "failed", reason=f"Line': 'save(job_id, "done", reason=f"Line'},
            'bar = ProgressBar("café.txt")',
        ),
        "the request is read before the answer": (
            {
                "    background_tasks.add_task(read_request, request)": (
                    "    await request.body()\n    background_tasks.add_task(read_request, request)"
                )
            },
            "lab = Lab(late_app)",
        ),
        "there is one worker": (
            {"workers=2": "workers=1"},
            'folder = temporary_folder("accepted-")',
        ),
        "nobody looks for unfinished jobs": (
            {'end="fail_the_unfinished()"': 'end=""'},
            'write_main(folder, *functions, end="fail_the_unfinished()")',
        ),
    },
    {
        "the task is called": (
            {
                "    background_tasks.add_task(count_words, job_id, content)": (
                    "    count_words(job_id, content)"
                )
            },
            "trace = await lab.finished()",
        ),
        "the database is in memory": (
            {'sqlite3.connect("outbox/jobs.sqlite3", timeout=10)': 'sqlite3.connect(":memory:")'},
            'print("a new one per poll:", await ask_around(api.url, connections=0))',
        ),
    },
]


@pytest.mark.parametrize("mutants", ROUNDS, ids="; ".join)
def test_falsified_facts_turn_the_notebook_red(mutants: dict[str, Mutant]) -> None:
    assert survivors(NOTEBOOK, mutants) == []


# Facts


late_app = FastAPI()
late_read: list[int] = []


async def read_request(request: Request) -> None:
    late_read.append(len(await request.body()))


async def read_form(request: Request) -> None:
    late_read.append(len(await request.form()))


async def read_upload(file: UploadFile) -> None:
    late_read.append(len(await file.read()))


@late_app.post("/body")
@late_app.post("/form")
async def hand_on(request: Request, background_tasks: BackgroundTasks) -> None:
    task = read_form if request.url.path == "/form" else read_request
    background_tasks.add_task(task, request)
    await asyncio.sleep(0.3)  # or the server may close the connection while the body is on its way


@late_app.post("/upload")
async def hand_on_upload(file: UploadFile, background_tasks: BackgroundTasks) -> None:
    background_tasks.add_task(read_upload, file)


@pytest.mark.parametrize(
    ("path", "size", "error"),
    [
        ("/body", 10, "ClientDisconnect"),
        ("/form", 10, "ClientDisconnect"),
        ("/upload", 10, None),
        ("/upload", 3_000_000, None),  # more than is kept in memory
    ],
)
def test_what_a_task_can_still_read_of_an_upload(path: str, size: int, error: str | None) -> None:
    late_read.clear()

    async def story(bench: Bench) -> str | None:
        await bench.post(path, files={"file": ("a.txt", b"x" * size)})
        return (await bench.finished()).tasks[0].error

    assert on_a_bench(late_app, story) == error
    assert late_read == ([] if error else [size])


IN_A_DICTIONARY = """
from fastapi import FastAPI, HTTPException

app = FastAPI()
jobs = {}


@app.post("/jobs/{name}")
def add(name: str) -> None:
    jobs[name] = True


@app.get("/jobs/{name}")
def look(name: str) -> None:
    if name not in jobs:
        raise HTTPException(404)
"""


@pytest.mark.parametrize(("workers", "kept"), [(2, False), (2, True), (1, False)])
def test_a_dictionary_is_one_workers_own(tmp_path: Path, workers: int, kept: bool) -> None:
    (tmp_path / "main.py").write_text(IN_A_DICTIONARY)
    limits = httpx.Limits(max_keepalive_connections=int(kept))
    with (
        UvicornProcess("main:app", folder=tmp_path, workers=workers) as api,
        httpx.Client(base_url=api.url, limits=limits, trust_env=False) as client,
    ):
        client.post("/jobs/a")
        statuses = [client.get("/jobs/a").status_code for _ in range(100)]
    missed = statuses.count(404)
    if workers == 2 and not kept:
        assert 10 <= missed <= 90, "the polls go to both workers"
    else:
        assert missed == 0


def test_a_job_is_found_by_a_worker_that_has_not_begun_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The lesson's SQLite functions, called in two places that share no variable."""
    monkeypatch.chdir(tmp_path)
    here, there = definitions(NOTEBOOK), definitions(NOTEBOOK)
    here["save"]("a", "running", progress=40)
    assert there["load"]("a") == {"state": "running", "progress": 40}
    assert there["load"]("b") is None
    there["fail_the_unfinished"]()
    assert here["load"]("a")["state"] == "failed"
    here["save"]("a", "done", progress=100)
    there["fail_the_unfinished"]()
    assert here["load"]("a") == {"state": "done", "progress": 100}


@pytest.mark.parametrize(
    ("chosen", "statuses", "sentence"),
    [
        ("some", [200, 404], "You predicted “some”, and so it was."),
        ("all", {200, 404}, "You predicted “all”. It was: “some”."),
        ("none", [200], "You predicted “none”. It was: “all”."),
        ("all", [404], "You predicted “all”. It was: “none”."),
    ],
)
def test_the_prediction_is_scored_by_what_happened(
    chosen: str, statuses: Sequence[int], sentence: str
) -> None:
    asked = predict("05.p1", "Found?", {key: key for key in ("all", "some", "none")})
    asked.prediction = chosen
    assert predict.score("05.p1", statuses) == sentence


@pytest.mark.parametrize("seen", [None, [], 7])
def test_what_is_no_list_of_statuses_cannot_be_scored(seen: Any) -> None:
    asked = predict("05.p1", "Found?", {"all": "all"})
    asked.prediction = "all"
    assert predict.score("05.p1", seen).startswith("This cannot be scored")


# The progress bar


def attributes(html: str) -> dict[str, str | None]:
    """Those of the one element that screen readers take for a progress bar."""
    [found] = [attrs for _, attrs in Elements(html).found if attrs.get("role") == "progressbar"]
    return found


def test_a_screen_reader_is_told_name_and_value() -> None:
    found = attributes(drawn("rain.txt", "running", 40))
    assert found["aria-label"] == "rain.txt: progress"
    assert (found["aria-valuemin"], found["aria-valuenow"], found["aria-valuemax"]) == (
        "0",
        "40",
        "100",
    )
    assert found["aria-valuetext"] == "rain.txt: running, 40 %"
    assert "40 %" in Elements(drawn("rain.txt", "running", 40)).text


def test_each_new_state_is_announced_and_not_each_per_cent() -> None:
    bar = ProgressBar("rain.txt")
    said = []
    words = bar.widget.children[1]
    words.observe(lambda change: said.append(Elements(change["new"]).text), names="value")
    for percent in (0, 20, 40):
        bar.show("running", percent)
    bar.show("failed")
    assert said == ["rain.txt: running", "rain.txt: failed"]
    assert ("span", {"role": "status"}) in Elements(words.value).found
    assert attributes(bar.widget.children[0].value)["aria-valuenow"] == "40"


@pytest.mark.parametrize(("given", "shown"), [(-5, "0"), (130, "100"), (33.4, "33")])
def test_a_bar_is_never_longer_than_its_frame(given: float, shown: str) -> None:
    bar = ProgressBar("rain.txt")
    bar.show("running", given)
    assert attributes(bar.widget.children[0].value)["aria-valuenow"] == shown
    assert f"width: {shown}%" in bar.widget.children[0].value


def test_what_comes_from_outside_is_escaped() -> None:
    bar = ProgressBar('<img src=x>"&\n')
    bar.show('<b>"', 10)
    for part in bar.widget.children:
        assert {"img", "b"} & Elements(part.value).tags == set()
    assert attributes(bar.widget.children[0].value)["aria-label"] == '<img src=x>"&\\n: progress'


def test_a_saved_notebook_shows_words() -> None:
    assert repr(ProgressBar("a")) == WORDS
    assert ProgressBar("a")._repr_mimebundle_()["text/plain"] == WORDS


class Silent:
    """A Lab whose job never ends."""

    polls = 0

    async def get(self, path: str) -> httpx.Response:
        self.polls += 1
        return httpx.Response(200, json={"state": "running", "progress": 40})


def test_the_lessons_client_gives_up_on_a_job_that_does_not_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    slept: list[float] = []

    async def note(seconds: float) -> None:
        slept.append(seconds)

    monkeypatch.setattr(asyncio, "sleep", note)
    lab = Silent()
    names: dict[str, Any] = {"lab": lab, "asyncio": asyncio, "ProgressBar": ProgressBar, "Any": Any}
    cells = nbformat.read(NOTEBOOK, as_version=4).cells
    exec(next(cell.source for cell in cells if cell.source.startswith("async def follow")), names)
    with pytest.raises(TimeoutError, match="neither done nor failed"):
        asyncio.run(names["follow"]("/jobs/a", ProgressBar("a")))
    assert len(slept) == lab.polls == 150
    assert sum(slept) == pytest.approx(30)

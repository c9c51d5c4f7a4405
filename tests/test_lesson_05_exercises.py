"""Lesson 05's exercises: solutions and other right answers pass, wrong ones are told why."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from course_app.exercises import check
from course_app.lab import Lab
from tests.support.answers import checked
from tests.support.lesson_code import definitions

NOTEBOOK = Path(__file__).parent.parent / "notebooks" / "05_accepted.ipynb"
SOLVED = NOTEBOOK.parent / "solutions" / NOTEBOOK.name
APPS = {"05.1": "export_app", "05.2": "scan_app"}


pytestmark = pytest.mark.usefixtures("own_folder")


def answer(number: str, changes: dict[str, str] | None = None, notebook: Path = SOLVED) -> Any:
    """The app of an exercise, solved, or with the changes that a learner has made to it."""
    return definitions(notebook, until=f'check("{number}"', changes=changes)[APPS[number]]


STUBS = {
    "05.1": "The task of POST /exports/10 has died at row 7, and the job still says 'running'. "
    "Who notes the failure when write_row raises?",
    "05.2": "The DELETE of a running job was answered with 405: does the app have "
    '@scan_app.delete("/jobs/{job_id}")?',
}


@pytest.mark.parametrize("number", APPS)
def test_the_stub_is_not_solved_yet(number: str) -> None:
    result = checked(number, answer(number, notebook=NOTEBOOK))
    assert not result
    assert str(result) == f"{STUBS[number]}\nNot solved yet."


@pytest.mark.parametrize("number", APPS)
def test_the_solution_is_right_also_when_it_is_checked_twice(number: str) -> None:
    app = answer(number)
    assert checked(number, app)
    assert checked(number, app)


RUNNING = '            exports[job_id] = {"state": "running", "progress": 100 * number // rows}\n'
FAILED = '        exports[job_id] = {"state": "failed", "reason": str(error)}\n'
EXCEPT = "    except Exception as error:\n" + FAILED
ADD_EXPORT = "    background_tasks.add_task(export, job_id, rows)\n"
NO_EXPORT = (
    '    if job_id not in exports:\n        raise HTTPException(404, "There is no such export.")\n'
)
EXPORT_DONE = '        exports[job_id] = {"state": "done", "progress": 100}\n'

LOOK = (
    "        if job_id in unwanted:\n"
    '            scans[job_id] = {"state": "cancelled"}\n'
    "            return\n"
)
SCANNING = '        scans[job_id] = {"state": "running", "progress": 100 * page // pages}\n'
SCAN = "def scan(job_id: str, pages: int) -> None:\n"
WISH = "    unwanted.add(job_id)"
GATE = (
    '    if read_scan(job_id)["state"] not in ("queued", "running"):\n'
    '        raise HTTPException(409, "This scan has ended.")\n'
)

RIGHT = {
    "an async task": (
        "05.1",
        {
            "def export(": "async def export(",
            "  write_row(number)\n": "  await asyncio.to_thread(write_row, number)\n",
        },
    ),
    "the error goes on to the server's log": ("05.1", {FAILED: FAILED + "        raise\n"}),
    "a reason with the exception's type": ("05.1", {"str(error)}": "repr(error)}"}),
    "progress as a fraction of per cents": (
        "05.1",
        {"100 * number // rows": "100 * number / rows"},
    ),
    "one job object is changed": (
        "05.1",
        {
            RUNNING: RUNNING.replace('] = {"state": "running", "progress": ', "].update(")
            .replace("rows}", 'rows, state="running")')
            .replace("update(", "update(progress="),
            FAILED: '        exports[job_id].update(state="failed", reason=str(error))\n',
        },
    ),
    "an absolute Location": (
        "05.1",
        {
            "def start_export(rows": "def start_export(request: Request, rows",
            'f"/jobs/{job_id}"': 'str(request.url_for("read_export", job_id=job_id))',
        },
    ),
    "a background task of one's own response": (
        "05.1",
        {
            ADD_EXPORT: "",
            "rows: int, background_tasks: BackgroundTasks, answer: Response) -> None": "rows: int)",
            '    answer.headers["Location"] = f"/jobs/{job_id}"\n': (
                "    from starlette.background import BackgroundTask\n"
                '    return Response(status_code=202, headers={"Location": f"/jobs/{job_id}"},\n'
                "                    background=BackgroundTask(export, job_id, rows))\n"
            ),
        },
    ),
    "an event for each job": (
        "05.2",
        {
            "unwanted: set[str] = set()": "import threading\nwishes: dict[str, Any] = {}",
            "        if job_id in unwanted:": "        if wishes[job_id].is_set():",
            WISH: "    wishes[job_id].set()",
            "    background_tasks.add_task(scan": (
                "    wishes[job_id] = threading.Event()\n    background_tasks.add_task(scan"
            ),
        },
    ),
    "a wish in the job itself": (
        "05.2",
        {
            "        if job_id in unwanted:": '        if scans[job_id].get("unwanted"):',
            SCANNING: '        scans[job_id].update(state="running", progress=4 * page)\n',
            WISH: '    scans[job_id]["unwanted"] = True',
        },
    ),
    "cancelled at once, and a 204": (
        "05.2",
        {
            LOOK: "        if job_id in unwanted:\n            return\n",
            SCANNING: "        if job_id not in unwanted:\n    " + SCANNING,
            WISH: WISH + '\n    scans[job_id] = {"state": "cancelled"}',
            '@scan_app.delete("/jobs/{job_id}", status_code=202': (
                '@scan_app.delete("/jobs/{job_id}", status_code=204'
            ),
        },
    ),
    "an exception ends the task": (
        "05.2",
        {"            return\n": '            raise RuntimeError("cancelled")\n'},
    ),
    "an async task that is cancelled": (
        "05.2",
        {
            SCAN: (
                "running: dict[str, asyncio.Task] = {}\n\n\n"
                "async def scan(job_id: str, pages: int) -> None:\n"
                "    running[job_id] = asyncio.create_task(scan_all(job_id, pages))\n"
                "    await asyncio.wait([running[job_id]])\n\n\n"
                "async def scan_all(job_id: str, pages: int) -> None:\n"
            ),
            LOOK: "",
            "  scan_page(job_id, page)\n": "  await asyncio.to_thread(scan_page, job_id, page)\n",
            "def cancel_scan(": "async def cancel_scan(",
            WISH: '    running[job_id].cancel()\n    scans[job_id] = {"state": "cancelled"}',
        },
    ),
}


@pytest.mark.parametrize(("number", "changes"), RIGHT.values(), ids=RIGHT.keys())
def test_another_right_answer_is_right(number: str, changes: dict[str, str]) -> None:
    result = checked(number, answer(number, changes))
    assert result, str(result)


WRONG = {
    "a 200": (
        "05.1",
        {'"/exports/{rows}", status_code=202': '"/exports/{rows}"'},
        "POST /exports/10 was answered with 200. The status that says “accepted, not done yet” is "
        "202.",
    ),
    "no Location": (
        "05.1",
        {'    answer.headers["Location"] = f"/jobs/{job_id}"\n': ""},
        "POST /exports/10 was answered with 202, but without a Location header.",
    ),
    "a Location that leads nowhere": (
        "05.1",
        {'f"/jobs/{job_id}"': 'f"/job/{job_id}"'},
        "The GET of the job of POST /exports/10 was answered with 404. It should tell its state.",
    ),
    "the error is swallowed": (
        "05.1",
        {EXCEPT: "    except Exception:\n        pass\n"},
        "The task of POST /exports/10 has ended, and the job still says 'running'.",
    ),
    "done in any case": (
        "05.1",
        {EXCEPT: "    except Exception:\n" + EXPORT_DONE},
        "The job of POST /exports/10 should be “failed”: row 7 was not written. It says “done”.",
    ),
    "no reason": (
        "05.1",
        {', "reason": str(error)}': "}"},
        "The job of POST /exports/10 has failed, and gives no “reason”.",
    ),
    "a reason of its own": (
        "05.1",
        {"str(error)}": '"something went wrong"}'},
        "The job of POST /exports/10 has failed with the reason 'something went wrong', without "
        "the words of the exception: row 7 is broken.",
    ),
    "no progress": (
        "05.1",
        {', "progress": 100 * number // rows}': "}"},
        "The job of POST /exports/7 was “running” without a number as its “progress”.",
    ),
    "progress that stays": (
        "05.1",
        {"100 * number // rows": "0"},
        "The job of POST /exports/7 ran for more than a second, and all it told was 0.",
    ),
    "progress in rows": (
        "05.1",
        {"100 * number // rows": "number"},
        "The progress of POST /exports/7 did not even come to 20. It is told in per cent, from 0 "
        "to 100.",
    ),
    "progress that falls": (
        "05.1",
        {"100 * number // rows": "80 - 40 * (number // 4)"},
        "The progress of POST /exports/7 fell: it was told as 80, 40.",
    ),
    "an unknown job raises": (
        "05.1",
        {NO_EXPORT: ""},
        "GET /jobs/unknown was answered with 500: the app raised KeyError. There is no such job, "
        "so it should be a 404.",
    ),
    "an unknown job is None": (
        "05.1",
        {NO_EXPORT: "", "    return exports[job_id]": "    return exports.get(job_id) or {}"},
        "GET /jobs/unknown was answered with 200. There is no such job, so it should be a 404.",
    ),
    "everything has failed": (
        "05.1",
        {EXPORT_DONE: '        raise ValueError("row 7 is broken")\n'},
        "The job of POST /exports/7 should be “done”: its rows can be written. It says “failed”, "
        "because of 'row 7 is broken'.",
    ),
    "the export is called": (
        "05.1",
        {ADD_EXPORT: "    export(job_id, rows)\n"},
        "The response to POST /exports/10 took more than a second: the work is done before it, and "
        "not by a background task.",
    ),
    "a thread of its own": (
        "05.1",
        {
            ADD_EXPORT: "    import threading\n"
            "    threading.Thread(target=export, args=[job_id, rows]).start()\n"
        },
        "POST /exports/10 was answered, and no background task ran. Work that the server does not "
        "know of is lost when it stops: use background_tasks.add_task.",
    ),
    "a job without a state": (
        "05.1",
        {"    return exports[job_id]": '    return {"job": job_id[:0]}'},
        "The GET of the job of POST /exports/10 was answered with {'job': ''}. It should be a JSON "
        "object with a “state”.",
    ),
    "an endless export": (
        "05.1",
        {RUNNING: RUNNING + "            while True: pass\n"},
        "Four seconds after POST /exports/10 its task still runs, and the job still says "
        "'running'.",
    ),
    "cancelled is written over": (
        "05.2",
        {LOOK: "", WISH: '    scans[job_id] = {"state": "cancelled"}'},
        "The job said “cancelled” for a moment, and then “running”: the task went on.",
    ),
    "nobody looks at the wish": (
        "05.2",
        {LOOK: ""},
        "More than a second after the DELETE the job still says “running”. A wish that the task "
        "does not look at changes nothing.",
    ),
    "the state alone is changed": (
        "05.2",
        {
            LOOK: "",
            SCANNING: "        if job_id not in unwanted:\n    " + SCANNING,
            WISH: WISH + '\n    scans[job_id] = {"state": "cancelled"}',
        },
        "The job says “cancelled”, but its task goes on: more pages were scanned meanwhile.",
    ),
    "it ends without a word": (
        "05.2",
        {'            scans[job_id] = {"state": "cancelled"}\n': ""},
        "More than a second after the DELETE the job still says “running”. A wish that the task "
        "does not look at changes nothing.",
    ),
    "all scans are cancelled": (
        "05.2",
        {"        if job_id in unwanted:": "        if unwanted:"},
        "Nobody cancelled the job of POST /scans/5, but it says “cancelled”.",
    ),
    "a job that is done is cancelled": (
        "05.2",
        {
            GATE: "    read_scan(job_id)\n",
            WISH: WISH + '\n    scans[job_id] = {"state": "cancelled"}',
        },
        "A job that was done says “cancelled” after a DELETE. It should stay done.",
    ),
    "a job that is done gives a 202": (
        "05.2",
        {GATE: "    read_scan(job_id)\n"},
        "The DELETE of a job that is done was answered with 202. It should be a 409: the job's "
        "state does not allow it.",
    ),
    "an unknown job is accepted": (
        "05.2",
        {
            GATE: '    if scans.get(job_id, {}).get("state") == "done":\n'
            "        raise HTTPException(409)\n"
        },
        "DELETE /jobs/unknown was answered with 202. There is no such job, so it should be a 404.",
    ),
    "the job is deleted": (
        "05.2",
        {WISH: "    del scans[job_id]"},
        "The GET of the cancelled job was answered with 404. It should tell its state.",
    ),
    "the DELETE raises": (
        "05.2",
        {WISH: "    unwanted[job_id] = True"},
        "The DELETE of a running job was answered with 500: the app raised TypeError. It should be "
        "a 2xx.",
    ),
    "the scan raises": (
        "05.2",
        {"        scan_page(job_id, page)\n": "        scan_page(job_id)\n"},
        "POST /scans/25 was answered, but then a task failed: TypeError: scan_page() missing 1 "
        "required positional argument: 'page'.",
    ),
}


@pytest.mark.parametrize(("number", "changes", "sentence"), WRONG.values(), ids=WRONG.keys())
def test_a_wrong_answer_gets_its_sentence(
    number: str, changes: dict[str, str], sentence: str
) -> None:
    result = checked(number, answer(number, changes))
    assert not result
    assert str(result) == f"{sentence}\nNot solved yet."


@pytest.mark.parametrize("number", APPS)
@pytest.mark.parametrize("given", [None, 42, "export_app", print, Path()])
def test_what_is_no_app_gets_a_sentence(number: str, given: Any) -> None:
    result = checked(number, given)
    assert not result
    assert len(result.sentences) == 1


def test_the_learners_lab_stays_open() -> None:
    async def play() -> int:
        lab = Lab(answer("05.2"))
        try:
            assert await check("05.2", answer("05.2"))
            return (await lab.get("/jobs/unknown")).status_code
        finally:
            lab.close()

    assert asyncio.run(play()) == 404

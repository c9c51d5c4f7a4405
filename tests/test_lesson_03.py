"""Lesson 03: its facts, falsified, turn its notebook red; its exercises take right answers only."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from course_app.exercises import predict
from course_app.lab import Lab, TaskRun, Trace
from tests.support.answers import checked
from tests.support.lesson_code import definitions
from tests.support.mutants import Mutant, survivors

NOTEBOOK = Path(__file__).parent.parent / "notebooks" / "03_dependency_injected.ipynb"
SOLVED = NOTEBOOK.parent / "solutions" / NOTEBOOK.name
APPS = {"03.1": "orders_app", "03.2": "search_app"}

ROUNDS: list[dict[str, Mutant]] = [
    {
        "the dependency logs in any case": (
            {"    if q:\n": "    if True:\n"},
            'await lab.post("/email_depends/ada@example.com")',
        ),
        "the sub-dependency's task goes to the end": (
            {
                "    background_tasks.add_task(from_sub_dependency)\n": "",
                "    background_tasks.add_task(from_path_operation)\n": (
                    "    background_tasks.add_task(from_path_operation)\n"
                    "    background_tasks.add_task(from_sub_dependency)\n"
                ),
            },
            'await lab.post("/order")',
        ),
        "the router's dependency comes last": (
            {
                "router = APIRouter(dependencies=[Depends(log_request)])": "router = APIRouter()",
                "def delete_item(item: str)": "def delete_item(item: str, _=Depends(log_request))",
            },
            "lab = Lab(items_app)",
        ),
        "the short task is awaited in the path operation": (
            {"    background_tasks.add_task(count_visit)": '    events.append("task")'},
            "early = 0",
        ),
        "the forgetful dependency returns the query": (
            {
                'add_task(write_log, f"found query: {q}")\n\n\nforgetful': (
                    'add_task(write_log, f"found query: {q}")\n    return q\n\n\nforgetful'
                )
            },
            "lab = Lab(forgetful_app)",
        ),
    },
    {
        "the dependency calls its task": (
            {
                '        background_tasks.add_task(write_log, f"found query: {q}")\n    return q': (
                    '        write_log(f"found query: {q}")\n    return q'
                )
            },
            "trace = await lab.finished()\ntrace",
        ),
    },
    {
        "the dependency's task is dropped": (
            {
                'background_tasks.add_task(write_log, f"found query: {q}")\n    return q': (
                    'BackgroundTasks().add_task(write_log, f"found query: {q}")\n    return q'
                )
            },
            "trace = await lab.finished()\ntrace",
        ),
    },
]


@pytest.mark.parametrize("mutants", ROUNDS, ids="; ".join)
def test_falsified_facts_turn_the_notebook_red(mutants: dict[str, Mutant]) -> None:
    assert survivors(NOTEBOOK, mutants) == []


pytestmark = pytest.mark.usefixtures("own_folder")


def answer(number: str, changes: dict[str, str] | None = None, notebook: Path = SOLVED) -> Any:
    """The app of an exercise, solved, or with the changes that a learner has made to it."""
    return definitions(notebook, until=f'check("{number}"', changes=changes)[APPS[number]]


STUBS = {
    "03.1": "POST /orders/7 left no line in outbox/audit.txt, and no background task ran. "
    "Was the task added to the background_tasks that FastAPI passes in?",
    "03.2": "GET /search?user=ada&words=tea left “words tea” in outbox/searches.txt, and should "
    "leave “user ada”, “words tea”.",
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


IF = '    if request.method != "GET":\n        background_tasks.add_task('
ADD = 'background_tasks.add_task(write_audit, f"{request.method} {request.url.path}")'
AUDIT = "def audit(request: Request, background_tasks: BackgroundTasks) -> None:"
INCLUDE = "orders_app.include_router(orders, dependencies=[Depends(audit)])"
CREATE = "def create_order(number: int) -> dict[str, int]:\n"
SLEEP = "    time.sleep(0.3)  # a slow disk\n"
USER = '    background_tasks.add_task(write_search, f"user {user}")\n'
WORDS = '        background_tasks.add_task(write_search, f"words {words}")\n'
GET_USER = 'def get_user(background_tasks: BackgroundTasks, user: str = "guest") -> str:\n'

RIGHT = {
    "an async dependency": ("03.1", {"def audit": "async def audit"}),
    "an async task": (
        "03.1",
        {
            "def write_audit": "async def write_audit",
            SLEEP: "    import asyncio\n    await asyncio.sleep(0.3)\n",
        },
    ),
    "the dependency of the whole app": (
        "03.1",
        {
            "orders_app = FastAPI()\n\n\n": "",
            INCLUDE: "orders_app = FastAPI(dependencies=[Depends(audit)])\n"
            "orders_app.include_router(orders)",
        },
    ),
    "a dependency of the dependency": (
        "03.1",
        {
            INCLUDE: "def outer(_: Annotated[None, Depends(audit)]) -> None: ...\n\n\n"
            "orders_app.include_router(orders, dependencies=[Depends(outer)])"
        },
    ),
    "a class": (
        "03.1",
        {
            AUDIT: "class audit:\n"
            "  def __init__(self, request: Request, background_tasks: BackgroundTasks) -> None:"
        },
    ),
    "each line opens and appends at once": ("03.1", {SLEEP: ""}),
    "a middleware that adds to the response": (
        "03.1",
        {
            INCLUDE: "orders_app.include_router(orders)\n\n\n"
            '@orders_app.middleware("http")\n'
            "async def add_audit(request: Request, call_next):\n"
            "    from starlette.background import BackgroundTask\n"
            "    response = await call_next(request)\n"
            '    if request.method != "GET":\n'
            '        line = f"{request.method} {request.url.path}"\n'
            "        response.background = BackgroundTask(write_audit, line)\n"
            "    return response"
        },
    ),
    "one task writes both lines": (
        "03.2",
        {
            USER: "",
            WORDS: "        pass\n",
            "    return words\n": "    def write_both() -> None:\n"
            "        write_search(f'user {user}')\n"
            "        if words:\n"
            "            write_search(f'words {words}')\n\n"
            "    background_tasks.add_task(write_both)\n"
            "    return words\n",
        },
    ),
    "a class that holds the tasks": (
        "03.2",
        {
            USER: "    Searches(background_tasks).write('user', user)\n",
            WORDS: "        Searches(background_tasks).write('words', words)\n",
            GET_USER: "class Searches:\n"
            "    def __init__(self, background_tasks: BackgroundTasks) -> None:\n"
            "        self.tasks = background_tasks\n\n"
            "    def write(self, what: str, who: str) -> None:\n"
            "        self.tasks.add_task(write_search, f'{what} {who}')\n\n\n" + GET_USER,
        },
    ),
    "everything in get_words": (
        "03.2",
        {
            USER: "",
            "    if words:\n": USER + "    if words:\n",
        },
    ),
    "async dependencies": (
        "03.2",
        {"def get_user": "async def get_user", "def get_words": "async def get_words"},
    ),
}


@pytest.mark.parametrize(("number", "changes"), RIGHT.values(), ids=RIGHT.keys())
def test_another_right_answer_is_right(number: str, changes: dict[str, str]) -> None:
    result = checked(number, answer(number, changes))
    assert result, str(result)


WRONG = {
    "GET is audited too": (
        "03.1",
        {IF: "    if True:\n        background_tasks.add_task("},
        "GET /orders/7 changes nothing, but it left “GET /orders/7” in outbox/audit.txt. Add the "
        "task only for the methods that change something.",
    ),
    "only POST is audited": (
        "03.1",
        {'request.method != "GET"': 'request.method == "POST"'},
        "DELETE /orders/7 left no line in outbox/audit.txt, and no background task ran. Was the "
        "task added to the background_tasks that FastAPI passes in?",
    ),
    "the line is written in the dependency": (
        "03.1",
        {ADD: 'write_audit(f"{request.method} {request.url.path}")'},
        "POST /orders/7: “POST /orders/7” is written before the response, not after it. "
        "No background task ran.",
    ),
    "add_task is given a result": (
        "03.1",
        {ADD: 'background_tasks.add_task(write_audit(f"{request.method} {request.url.path}"))'},
        "POST /orders/7 was answered, but then a task failed (TypeError: the first argument must "
        "be callable): add_task was given the result of a call. Give it the function and its "
        'arguments, separated by commas: add_task(write_audit, "POST /orders/7").',
    ),
    "the tasks are made by hand": (
        "03.1",
        {AUDIT: "def audit(request: Request) -> None:\n    background_tasks = BackgroundTasks()"},
        "POST /orders/7 left no line in outbox/audit.txt, and no background task ran. Was the "
        "task added to the background_tasks that FastAPI passes in?",
    ),
    "the file is opened anew for each line": (
        "03.1",
        {'"audit.txt", mode="a"': '"audit.txt", mode="w"'},
        "DELETE /orders/7 has wiped out the lines that stood in outbox/audit.txt before. "
        "What does mode='w' do to a file?",
    ),
    "the line has the path alone": (
        "03.1",
        {'f"{request.method} {request.url.path}"': "request.url.path"},
        "POST /orders/7 left “/orders/7” in outbox/audit.txt, and should leave “POST /orders/7”.",
    ),
    "the line is added twice": (
        "03.1",
        {ADD: f"{ADD}\n        {ADD}"},
        "POST /orders/7 left 2 lines in outbox/audit.txt: “POST /orders/7”, “POST /orders/7”. It "
        "should leave one.",
    ),
    "a thread writes the line": (
        "03.1",
        {
            ADD: "import threading\n"
            '        line = f"{request.method} {request.url.path}"\n'
            "        threading.Thread(target=write_audit, args=[line]).start()"
        },
        "POST /orders/7 left its line by work that the server does not know of, and would not "
        "wait for when it stops. Use background_tasks.add_task.",
    ),
    "the task raises": (
        "03.1",
        {'f"{line}\\n"': "line + 1"},
        "POST /orders/7 was answered, but then a task failed: "
        'TypeError: can only concatenate str (not "int") to str.',
    ),
    "the task writes elsewhere": (
        "03.1",
        {'"audit.txt"': '"audits.txt"'},
        "After POST /orders/7 the task write_audit ran, but it left no line in outbox/audit.txt.",
    ),
    "the request is not annotated": (
        "03.1",
        {"request: Request": "request"},
        "GET /orders/7 was answered with 422: a parameter has another name or type than the "
        "exercise says (the query parameter request).",
    ),
    "the router is not included": (
        "03.1",
        {INCLUDE: ""},
        "GET /orders/7 was answered with 404: the app has no such path.",
    ),
    "the dependency raises": (
        "03.1",
        {AUDIT: f"{AUDIT}\n    raise ValueError('no')"},
        "GET /orders/7 was answered with 500: the app raised ValueError: no.",
    ),
    "get_words returns nothing": (
        "03.2",
        {"    return words\n": ""},
        "GET /search?user=ada&words=tea was answered with {'words': None}, and should be answered "
        "with {'words': 'tea'}. What a dependency returns is what the path operation gets.",
    ),
    "words are logged if there are none": (
        "03.2",
        {"    if words:": "    if True:"},
        "GET /search searches for nothing, but it left “user guest”, “words None”. Add the words' "
        "task only if there are words.",
    ),
    "the user is logged last": (
        "03.2",
        {USER: "", "    return words\n": f"{USER}    return words\n"},
        "GET /search?user=ada&words=tea left its lines in the order “words tea”, “user ada”. Tasks "
        "run in the order of add_task, so the user's must be added first.",
    ),
    "get_user is called as a function": (
        "03.2",
        {
            "    user: Annotated[str, Depends(get_user)],\n": "",
            "    if words:": "    get_user(background_tasks)\n    if words:",
        },
        "GET /search?user=ada&words=tea left “user guest”, “words tea” in outbox/searches.txt, and "
        "should leave “user ada”, “words tea”.",
    ),
    "a user is asked for": (
        "03.2",
        {'user: str = "guest"': "user: str"},
        "GET /search was answered with 422: a parameter has another name or type than the "
        "exercise says (the query parameter user).",
    ),
    "no user is None": (
        "03.2",
        {'user: str = "guest"': "user: str | None = None"},
        "GET /search left “user None” in outbox/searches.txt, and should leave “user guest”.",
    ),
    "get_user writes at once": (
        "03.2",
        {USER: '    write_search(f"user {user}")\n'},
        "GET /search?user=ada&words=tea: “user ada” is written before the response, not after it.",
    ),
    "an endless loop": (
        "03.2",
        {SLEEP: "    while True: pass\n"},
        "Your answer had not finished after 6.5 seconds, and was stopped.",
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
@pytest.mark.parametrize("given", [None, 42, "orders_app", print, Path()])
def test_what_is_no_app_gets_a_sentence(number: str, given: Any) -> None:
    result = checked(number, given)
    assert not result
    assert len(result.sentences) == 1


def test_the_learners_lab_stays_open() -> None:
    async def play() -> int:
        lab = Lab(answer("03.1"))
        try:
            from course_app.exercises import check

            assert await check("03.1", answer("03.1"))
            return (await lab.get("/orders/7")).status_code
        finally:
            lab.close()

    assert asyncio.run(play()) == 200


def traced(*runs: tuple[str, float, float]) -> Trace:
    return Trace("POST", "/order", 200, 0.01, tuple(TaskRun(*run) for run in runs))


@pytest.mark.parametrize(
    ("chosen", "trace", "sentence"),
    [
        (
            "inside",
            traced(("from_sub_dependency", 0.01, 0.4), ("from_path_operation", 0.4, 0.8)),
            "You predicted “sub”, and so it was.",
        ),
        (
            "outside",
            traced(("from_sub_dependency", 0.01, 0.4), ("from_path_operation", 0.4, 0.8)),
            "You predicted “path”. It was: “sub”.",
        ),
        (
            "inside",
            traced(("from_path_operation", 0.01, 0.4), ("from_sub_dependency", 0.4, 0.8)),
            "You predicted “sub”. It was: “path”.",
        ),
        (
            "inside",
            traced(("from_sub_dependency", 0.01, 0.4), ("from_path_operation", 0.01, 0.4)),
            "You predicted “sub”. It was: “all”.",
        ),
    ],
)
def test_the_prediction_is_scored_by_what_happened(
    chosen: str, trace: Trace, sentence: str
) -> None:
    asked = predict(
        "03.p1", "Which is first?", {"outside": "path", "inside": "sub", "together": "all"}
    )
    asked.prediction = chosen
    assert predict.score("03.p1", trace) == sentence

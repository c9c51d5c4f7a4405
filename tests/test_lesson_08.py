"""Lesson 08: its facts, falsified, turn its notebook red; its exercises take right tests only."""

import asyncio
import contextlib
import os
import re
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path
from typing import Any

import httpx
import nbformat
import psutil
import pytest
from fastapi import BackgroundTasks, FastAPI
from fastapi.testclient import TestClient

from course_app.exercises import check, predict
from course_app.exercises.lesson_08_judging import LIMIT
from course_app.exercises.lesson_08_shops import SHOP, WHAT_IS_SENT, WHEN_IT_IS_SENT
from course_app.lab import child_process
from tests.support import answers
from tests.support.answers import checked
from tests.support.benches import becomes, on_a_bench
from tests.support.mutants import Mutant, survivors

NOTEBOOK = Path(__file__).parent.parent / "notebooks" / "08_testing.ipynb"
SOLVED = NOTEBOOK.parent / "solutions" / NOTEBOOK.name
FILES = {"08.1": "test_shop.py", "08.2": "test_shop_order.py"}

ROUNDS: list[dict[str, Mutant]] = [
    {
        "the first app calls its task": (
            {
                '    background_tasks.add_task(write_notification, email, message="hello")': (
                    '    write_notification(email, message="hello")'
                )
            },
            "trace = await lab.finished()",
        ),
        "the broken task is none": (
            {'background_tasks.add_task(int, "seven")': "pass"},
            'response = TestClient(app, raise_server_exceptions=False).post("/broken")',
        ),
        "the app's task does not catch": (
            {
                "        mailer.send(email, message)\n    except OSError:": (
                    "        mailer.send(email, message)\n    except ValueError:"
                )
            },
            'failed = run_tests("test_main.py")',
        ),
    },
    {
        "the copy is not sent": (
            {
                "    background_tasks.add_task(write_notification, mailer, "
                '"archive@example.com", message)\n': ""
            },
            'failed = run_tests("test_main.py")',
        ),
    },
    {
        "the test over a socket asks nothing": (
            {"assert mailer.seen == [True, True]": "assert True"},
            '"write_notification(mailer, email, message)",',
        ),
        "the stream is read in either case": (
            {"        if read:\n": "        if True:\n"},
            "seconds = 0",
        ),
    },
    {
        "bug three is none": (
            {
                'mailer, email, message)",\n    "write_notification': (
                    'mailer, email, message)",\n    '
                    '"background_tasks.add_task(write_notification, mailer, email, message) or str'
                )
            },
            '"write_notification(mailer, email, message)",',
        ),
    },
]


@pytest.mark.parametrize("mutants", ROUNDS, ids="; ".join)
def test_falsified_facts_turn_the_notebook_red(mutants: dict[str, Mutant]) -> None:
    assert survivors(NOTEBOOK, mutants) == []


def slow_app() -> tuple[FastAPI, list[str]]:
    app, events = FastAPI(), list[str]()

    def task() -> None:
        time.sleep(1)
        events.append("task")

    @app.post("/")
    def start(background_tasks: BackgroundTasks) -> None:
        background_tasks.add_task(task)

    return app, events


@pytest.mark.filterwarnings("error")
def test_the_test_client_comes_back_after_the_task() -> None:
    app, events = slow_app()
    assert TestClient(app).post("/").status_code == 200
    assert events == ["task"]


def test_the_asgi_transport_comes_back_after_the_task() -> None:
    app, events = slow_app()

    async def post() -> None:
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            await client.post("/")

    asyncio.run(post())
    assert events == ["task"]


def test_over_a_socket_the_response_comes_before_the_task() -> None:
    app, events = slow_app()

    async def story(bench: Any) -> list[str]:
        await bench.post("/")
        first = list(events)
        await bench.finished()
        return first

    assert on_a_bench(app, story) == []
    assert events == ["task"]


def test_no_deprecation_warning_comes_with_the_test_client() -> None:
    code = (
        "from fastapi.testclient import TestClient; import fastapi; TestClient(fastapi.FastAPI())"
    )
    run = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, timeout=60
    )
    assert (run.returncode, run.stdout, run.stderr) == (0, "", "")


def written(notebook: Path, name: str) -> str:
    """The text that the notebook writes into a file."""
    text = ""
    for cell in nbformat.read(notebook, as_version=4).cells:
        command, _, rest = cell.source.partition("\n")
        if re.fullmatch(rf"%%writefile( -a)? outbox/testing/{re.escape(name)}", command):
            text += rest + "\n"
    assert text, f"{name} is in no cell of {notebook.name}"
    return text


def test_the_notebooks_shop_is_the_one_that_the_check_knows() -> None:
    assert written(NOTEBOOK, "shop.py") == SHOP


@pytest.mark.parametrize("shop", WHAT_IS_SENT + WHEN_IT_IS_SENT, ids=lambda shop: shop.does)
def test_every_shop_answers_an_order(shop: Any) -> None:
    """A bug must be in the mails: a test could see any other at once."""
    namespace: dict[str, Any] = {}
    exec(compile(shop.code, "shop.py", "exec", dont_inherit=True), namespace)
    sent: list[tuple[str, str]] = []

    class Mailer:
        def send(self, email: str, text: str) -> None:
            sent.append((email, text))

    namespace["app"].dependency_overrides[namespace["get_mailer"]] = Mailer
    client = TestClient(namespace["app"])
    for coupon in ["", "&coupon=SPRING"]:
        response = client.post(f"/orders/7?email=ada@example.com{coupon}")
        assert response.json() == {"ordered": 7}
    right = [("ada@example.com", "receipt for order 7")] * 2
    right.append(("sales@example.com", "coupon SPRING"))
    assert (sent == right) == (shop.right or shop in WHEN_IT_IS_SENT)


@pytest.fixture(autouse=True)
def a_busy_machine_has_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """These checks start a process and import FastAPI there: two seconds, or ten where others
    work. How long they take is compared with that, in a test of its own.
    """
    monkeypatch.setattr(answers, "LIMIT", LIMIT + 3)


def test_an_endless_loop_is_stopped_in_time() -> None:
    modules = "import pytest, fastapi.testclient"
    begun = time.monotonic()
    subprocess.run([sys.executable, "-c", modules], check=True, timeout=60)
    start = time.monotonic() - begun
    begun = time.monotonic()
    assert not checked("08.1", "def test_it():\n    while True:\n        pass\n")
    assert time.monotonic() - begun < 6 + 4 * start


@pytest.fixture(autouse=True)
def nothing_is_left() -> Any:
    """No process, and no folder of a check."""
    before = children()
    yield
    assert becomes(lambda: children() <= before, seconds=10)
    assert (child_process._alive, child_process._folders) == ([], [])


def children() -> set[int]:
    return {child.pid for child in psutil.Process().children(recursive=True)}


def answer(number: str, changes: dict[str, str] | None = None, notebook: Path = SOLVED) -> str:
    """The test file of an exercise, solved, or with the changes that a learner has made to it."""
    text = written(notebook, FILES[number])
    for old, new in (changes or {}).items():
        assert old in text, f"nothing to change: {old!r}"
        text = text.replace(old, new)
    return text


STUBS = {
    "08.1": "Your tests pass on an app that never sends the receipt. Does a test look at what the "
    "fake mailer was given?",
    "08.2": "Your tests pass on an app that sends the receipt before it answers. Which was there "
    "first, the mail or the answer? Only a request over a socket can tell.",
}
PASSED = {
    "08.1": "Your tests pass on 2 apps that are right and fail on 6 with a bug each.\nSolved.",
    "08.2": "Your tests pass on 2 apps that are right and fail on 2 with a bug each.\nSolved.",
}


@pytest.mark.parametrize("number", FILES)
def test_the_stub_is_not_solved_yet(number: str) -> None:
    result = checked(number, answer(number, notebook=NOTEBOOK))
    assert str(result) == f"{STUBS[number]}\nNot solved yet."


@pytest.mark.parametrize("number", FILES)
def test_the_solution_is_right_also_when_it_is_checked_twice(number: str, tmp_path: Path) -> None:
    file = tmp_path / "any_name.py"
    file.write_text(answer(number))
    assert str(checked(number, file)) == PASSED[number]
    assert str(checked(number, str(file))) == PASSED[number]


def code(text: str) -> str:
    return textwrap.dedent(text).lstrip()


HEAD = code("""
    import asyncio
    import threading
    import time
    from unittest import TestCase
    from unittest.mock import Mock, call

    import pytest
    from fastapi.testclient import TestClient
    from shop import app, get_mailer

    URL = "/orders/7?email=ada@example.com"
    RECEIPT = ("ada@example.com", "receipt for order 7")
    SALES = ("sales@example.com", "coupon SPRING")


    class Fake:
        def __init__(self, seconds=0):
            self.sent = []
            self.seconds = seconds

        def send(self, *mail):
            time.sleep(self.seconds)
            self.sent.append(mail)


    def faked(seconds=0):
        fake = Fake(seconds)
        app.dependency_overrides[get_mailer] = lambda: fake
        return fake


    def posted():
        from course_app.lab import Bench

        async def post():
            response = await bench.post(URL)
            return response, list(fake.sent), await bench.finished()

        bench = Bench(app)
        fake = app.dependency_overrides[get_mailer]()
        try:
            return asyncio.run(post())
        finally:
            bench.close()


    """)

RIGHT = {
    "a mock, and a class of unittest": (
        "08.1",
        """
        class TestShop(TestCase):
            def setUp(self):
                self.mailer = Mock()
                app.dependency_overrides[get_mailer] = lambda: self.mailer

            def test_receipt(self):
                TestClient(app).post(URL)
                self.mailer.send.assert_called_once_with(*RECEIPT)

            def test_coupon(self):
                TestClient(app).post(URL + "&coupon=SPRING")
                assert self.mailer.send.mock_calls == [call(*RECEIPT), call(*SALES)]
        """,
    ),
    "a patched mailer, and all in one test": (
        "08.1",
        """
        def test_both(monkeypatch):
            sent = []
            monkeypatch.setattr("shop.Mailer.send", lambda self, *mail: sent.append(mail))
            with TestClient(app) as client:
                client.post(URL)
                client.post(URL, params={"email": "ada@example.com", "coupon": "SPRING"})
            print("this is what was sent", sent)
            assert sent == [RECEIPT, RECEIPT, SALES]
        """,
    ),
    "async tests": (
        "08.1",
        """
        @pytest.mark.anyio
        @pytest.mark.parametrize(
            ("coupon", "mails"), [("", [RECEIPT]), ("&coupon=SPRING", [RECEIPT, SALES])]
        )
        async def test_mails(coupon, mails):
            import httpx

            mailer = faked()
            transport = httpx.ASGITransport(app=app)
            async with httpx.AsyncClient(transport=transport, base_url="http://shop") as client:
                await client.post(URL + coupon)
            assert mailer.sent == mails
        """,
    ),
    "a slow mail that is not there with the answer": (
        "08.2",
        """
        def test_order():
            faked(seconds=1.5)
            response, sent, trace = posted()
            assert response.status_code == 200
            assert sent == []
        """,
    ),
    "no order of its own, but that of the trace and the mail": (
        "08.2",
        """
        from course_app.lab import Bench

        def test_order():
            events = []

            class Slow:
                def send(self, email, text):
                    time.sleep(1.5)
                    events.append("mail")

            async def post():
                await bench.post(URL)
                events.append("answer")
                await bench.finished()

            app.dependency_overrides[get_mailer] = Slow
            bench = Bench(app)
            try:
                asyncio.run(post())
            finally:
                bench.close()
            assert events == ["answer", "mail"]
        """,
    ),
}


@pytest.mark.parametrize(("number", "tests"), RIGHT.values(), ids=RIGHT.keys())
def test_another_right_answer_is_right(number: str, tests: str) -> None:
    assert str(checked(number, HEAD + code(tests))) == PASSED[number]


AS_IT_IS = "On the shop as it is, "
THAT_APP_IS_RIGHT = ". That app is right, so the test is not."
NO_TEST = (
    "pytest ran no test of your file. It looks for functions whose names begin with test_, and "
    "stops where something calls pytest.exit or sys.exit."
)
SKIPPED = " is skipped, or expected to fail. Such a test tells nothing: take the mark away."
ENDED_PYTHON = (
    "your tests ended Python itself, so pytest could not report. A test ends by returning, or by "
    "an assert that fails."
)
NO_END = "had not ended after"
SECOND = answer("08.1")[answer("08.1").index("def test_a_coupon") :]

CHANGED = {
    "no order with a coupon": (
        "08.1",
        {SECOND: ""},
        "Your tests pass on an app that never sends the coupon's mail. Does a test order "
        "something with a coupon?",
    ),
    "no order without one": (
        "08.1",
        {"assert mailer.sent == [RECEIPT]": "assert RECEIPT in mailer.sent"},
        "Your tests pass on an app that sends the coupon's mail without a coupon too. What must "
        "not be sent when there is no coupon?",
    ),
    "mails too many are not seen": (
        "08.1",
        {"mailer.sent == [": "list(dict.fromkeys(mailer.sent)) == ["},
        "Your tests pass on an app that sends the receipt twice. Compare the whole list of mails: "
        "one that is too many is a bug as well.",
    ),
    "order number 1": (
        "08.1",
        {"order 7": "order 1", "/orders/7": "/orders/1"},
        "Your tests pass on an app that sends every receipt for order 1. Order something else than "
        "number 1, and compare the text.",
    ),
    "mails are counted only": (
        "08.1",
        {
            "mailer.sent == [RECEIPT]": "len(mailer.sent) == 1",
            'mailer.sent == [RECEIPT, ("sales@example.com", "coupon SPRING")]': (
                "len(mailer.sent) == 2"
            ),
        },
        "Your tests pass on an app that mixes up the arguments: it sends to the text, and the "
        "address as the text. Compare the address and the text with what the exercise says.",
    ),
    "the real mailer": (
        "08.1",
        {"    app.dependency_overrides[get_mailer] = lambda: fake\n": ""},
        f"{AS_IT_IS}test_an_order_sends_one_receipt fails with OSError: this course has no mail "
        f"server: override get_mailer{THAT_APP_IS_RIGHT}",
    ),
    "another text than the exercise says": (
        "08.1",
        {"receipt for order 7": "order 7"},
        f"{AS_IT_IS}test_an_order_sends_one_receipt fails with assert "
        "[('ada@example.com', 'receipt for order 7')] == [('ada@example.com', 'order 7')]"
        + THAT_APP_IS_RIGHT,
    ),
    "no timeout": (
        "08.2",
        {"wait(timeout=2)": "wait()"},
        "On an app that sends the receipt before it answers, your tests had not ended after",
    ),
    "TestClient": (
        "08.2",
        {
            "import asyncio\n": "from fastapi.testclient import TestClient\n",
            "        asyncio.run(place_order())\n": (
                "        mailer.response_is_here.set()\n"
                '        TestClient(app).post("/orders/7?email=ada@example.com")\n'
            ),
        },
        STUBS["08.2"],
    ),
    "the event is never set": (
        "08.2",
        {"        mailer.response_is_here.set()\n": ""},
        f"{AS_IT_IS}test_the_answer_does_not_wait_for_the_receipt fails with assert [False] == "
        f"[True]{THAT_APP_IS_RIGHT}",
    ),
}


@pytest.mark.parametrize(("number", "changes", "sentence"), CHANGED.values(), ids=CHANGED.keys())
def test_a_wrong_change_of_the_solution_gets_its_sentence(
    number: str, changes: dict[str, str], sentence: str
) -> None:
    must_be_wrong(checked(number, answer(number, changes)), sentence)


WRONG = {
    "assert False": (
        "08.1",
        "def test_it():\n    assert False, 'to be written'\n",
        f"{AS_IT_IS}test_it fails with AssertionError: to be written{THAT_APP_IS_RIGHT}",
    ),
    "an endless loop": (
        "08.1",
        "def test_it():\n    while True:\n        pass\n",
        f"{AS_IT_IS}your tests had not ended after",
    ),
    "an endless loop outside a test": (
        "08.1",
        "while True:\n    pass\n",
        f"{AS_IT_IS}your tests had not ended after",
    ),
    "os._exit": (
        "08.1",
        "import os\ndef test_it():\n    os._exit(0)\n",
        AS_IT_IS + ENDED_PYTHON,
    ),
    "sys.exit": (
        "08.1",
        "import sys\ndef test_it():\n    sys.exit(0)\n",
        f"{AS_IT_IS}test_it fails with SystemExit: 0{THAT_APP_IS_RIGHT}",
    ),
    "sys.exit outside a test": ("08.1", "import sys\nsys.exit(0)\n", NO_TEST),
    "pytest.exit": ("08.1", "import pytest\ndef test_it():\n    pytest.exit('no')\n", NO_TEST),
    "pytest.skip": (
        "08.1",
        "import pytest\ndef test_it():\n    pytest.skip('later')\n",
        f"test_it{SKIPPED}",
    ),
    "a file that is skipped": (
        "08.1",
        "import pytest\npytest.skip('later', allow_module_level=True)\n",
        f"the whole file{SKIPPED}",
    ),
    "an expected failure": (
        "08.1",
        "import pytest\n@pytest.mark.xfail\ndef test_it():\n    assert False\n",
        f"test_it{SKIPPED}",
    ),
    "no test": ("08.1", "def check_it():\n    assert True\n", NO_TEST),
    "an unknown module": (
        "08.1",
        "import shops\ndef test_it():\n    assert True\n",
        "pytest could not load your file: ModuleNotFoundError: No module named 'shops'.",
    ),
    "prints, and an assert that is always true": (
        "08.1",
        'import sys\nprint("{}\\n" * 9)\n\ndef test_it():\n    print("{}", file=sys.stderr)\n'
        "    assert (1, 2)\n",
        STUBS["08.1"],
    ),
    "a thread that does not end": (
        "08.1",
        "import threading, time\ndef test_it():\n"
        "    threading.Thread(target=time.sleep, args=[60]).start()\n",
        STUBS["08.1"],
    ),
    "tasks are counted": (
        "08.1",
        HEAD
        + code("""
        from fastapi import BackgroundTasks
        from shop import order

        def test_it():
            tasks = BackgroundTasks()
            order(7, "ada@example.com", tasks, faked(), "SPRING")
            assert len(tasks.tasks) == 2
        """),
        "On an app that does the same by one async task, test_it fails with assert 1 == 2",
    ),
    "a time limit": (
        "08.2",
        HEAD
        + code("""
        def test_it():
            faked(seconds=1)
            _, _, trace = posted()
            assert trace.response < 0.75
        """),
        "On an app that is right but slow (its answer and its mails take most of a second each), "
        "test_it fails with assert ",
    ),
    "a sleep": (
        "08.2",
        HEAD
        + code("""
        from course_app.lab import Bench

        def test_it():
            async def post():
                await bench.post(URL)
                await asyncio.sleep(0.4)
                return list(mailer.sent)

            mailer, bench = faked(), Bench(app)
            try:
                assert asyncio.run(post()) == [RECEIPT]
            finally:
                bench.close()
        """),
        "On an app that is right but slow (its answer and its mails take most of a second each), "
        "test_it fails with assert [] == [('ada@example.com', 'receipt for order "
        "7')]. Ask what came first, not how long it took.",
    ),
    "any task": (
        "08.2",
        HEAD
        + code("""
        def test_it():
            faked(seconds=1)
            _, _, trace = posted()
            assert trace.response_first
        """),
        "Your tests pass on an app that sends the receipt before it answers, and then has a "
        "background task write a log. Ask about the mail, not about any task: "
        "trace.response_first is true here too.",
    ),
}


@pytest.mark.parametrize(("number", "tests", "sentence"), WRONG.values(), ids=WRONG.keys())
def test_a_wrong_answer_gets_its_sentence(number: str, tests: str, sentence: str) -> None:
    must_be_wrong(checked(number, tests), sentence)


def must_be_wrong(result: Any, sentence: str) -> None:
    assert not result
    assert len(result.sentences) == 1
    assert str(result).startswith(sentence)
    if sentence.endswith("."):
        assert str(result) == f"{sentence}\nNot solved yet."


def test_a_file_that_does_not_parse_gets_a_sentence(tmp_path: Path) -> None:
    file = tmp_path / "test_shop.py"
    file.write_text("def test_it(:\n    pass\n")
    must_be_wrong(checked("08.1", file), "Your file is no Python: invalid syntax (line 1).")
    file.write_bytes(b"\x00\xff\xfe")
    sentence = "'test_shop.py' cannot be read as a file: it is no text in UTF-8."
    must_be_wrong(checked("08.1", file), sentence)
    must_be_wrong(checked("08.1", "\x00\n"), "Your file is no Python: ")
    must_be_wrong(checked("08.1", "(" * 5000 + "\n"), "Your file is no Python: ")


@pytest.mark.parametrize("number", FILES)
@pytest.mark.parametrize("given", [None, 42, ["test_shop.py"], FastAPI, print, FastAPI()])
def test_what_is_no_file_gets_a_sentence(number: str, given: Any) -> None:
    must_be_wrong(checked(number, given), "This check takes the path of your test file, and got a ")


def test_a_path_without_a_file_gets_a_sentence(tmp_path: Path) -> None:
    sentence = "There is no file 'test_shop.py'. Run the cell that writes it."
    must_be_wrong(checked("08.1", tmp_path / "test_shop.py"), sentence)
    must_be_wrong(checked("08.1", "outbox/test_shop.py"), sentence)
    must_be_wrong(checked("08.1", ""), "'' cannot be read as a file: Is a directory.")
    must_be_wrong(checked("08.1", tmp_path), f"'{tmp_path.name}' cannot be read as a file: ")


def test_a_check_that_is_stopped_leaves_nothing() -> None:
    """What is left is looked for by the fixture above."""

    async def stop() -> None:
        checking = asyncio.create_task(check("08.2", answer("08.2")))
        await asyncio.sleep(2)
        checking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await checking

    asyncio.run(stop())
    assert not [thread for thread in threading.enumerate() if "pytest" in thread.name]


def test_a_check_whose_kernel_is_killed_leaves_nothing(tmp_path: Path) -> None:
    """The folder of the check is in tmp_path, and so its processes work there."""
    code = "import asyncio; from course_app.exercises import check\n"
    code += "asyncio.run(check('08.1', 'while True:\\n    pass\\n'))"
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    kernel = subprocess.Popen([sys.executable, "-c", code], env=environment)
    try:
        assert becomes(lambda: len(working_in(tmp_path)) > 1, seconds=40)  # it has forked
    finally:
        kernel.kill()
        kernel.wait()
    assert becomes(lambda: not working_in(tmp_path), seconds=10)
    assert becomes(lambda: not list(tmp_path.glob("tests-of-a-shop-*")), seconds=10)


def working_in(folder: Path) -> list[int]:
    """The processes whose current folder is below this one."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if Path(process.cwd()).is_relative_to(folder):
                found.append(process.pid)
    return found


@pytest.mark.parametrize(
    ("number", "chosen", "seen", "sentence"),
    [
        ("08.1", "after", ["task ended", "response here"], "You predicted “A”, and so it was."),
        ("08.1", "before", ["task ended", "response here"], "You predicted “B”. It was: “A”."),
        ("08.1", "after", ["response here", "task ended"], "You predicted “A”. It was: “B”."),
        ("08.1", "before", ["response here"], "You predicted “B”. It was: “N”."),
        ("08.2", "socket", ["test_order.py::test_x"], "You predicted “S”, and so it was."),
        ("08.2", "client", ["test_order.py::test_x"], "You predicted “C”. It was: “S”."),
        ("08.2", "none", ["test_main.py::a", "test_main.py::b"], "You predicted “-”. It was: “C”."),
        ("08.2", "none", [], "You predicted “-”, and so it was."),
        (
            "08.2",
            "none",
            ["test_main.py::a", "test_order.py::b"],
            "You predicted “-”. It was: “*”.",
        ),
    ],
)
def test_a_prediction_is_scored_by_what_happened(
    number: str, chosen: str, seen: list[str], sentence: str
) -> None:
    first = {"after": "A", "before": "B", "never": "N"}
    second = {"socket": "S", "client": "C", "none": "-", "all": "*"}
    asked = predict(number.replace(".", ".p"), "Which?", first if number == "08.1" else second)
    asked.prediction = chosen
    assert predict.score(number.replace(".", ".p"), seen) == sentence

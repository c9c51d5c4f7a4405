"""The form: what it is filled with is what is sent, and whatever happens stands in its badge."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Annotated, Any

import httpx
from fastapi import BackgroundTasks, Cookie, FastAPI, Header, Query, Request
from fastapi.responses import Response
from pydantic import BaseModel

from course_app.lab import Bench
from course_app.lab.console import OTHER, Console, filled_in
from tests.support.benches import on_a_bench
from tests.support.pictures import Elements

EVIL = "<img src=x onerror=alert(1)>"


class Mail(BaseModel):
    subject: str


def app() -> FastAPI:
    app = FastAPI()

    @app.post("/email/{email}")
    async def send(
        email: str,
        mail: Mail,
        background_tasks: BackgroundTasks,
        tags: Annotated[list[str], Query()] = [],  # noqa: B006
        note: str | None = None,
        x_token: Annotated[str | None, Header()] = None,
        session: Annotated[str | None, Cookie()] = None,
    ) -> list[Any]:
        background_tasks.add_task(asyncio.sleep, 0.5)
        return [email, mail.subject, tags, note, x_token, session]

    @app.get("/hostile")
    def hostile() -> str:
        return EVIL

    @app.get("/bytes")
    def read_bytes() -> Response:
        return Response(bytes(range(256)) * 1000, media_type="image/png")

    @app.get("/slow")
    async def slow() -> str:
        await asyncio.sleep(0.4)
        return "slow"

    @app.post("/upload")
    async def upload(request: Request) -> str:
        return (await request.body()).decode("latin-1")

    return app


def badge(console: Console) -> str:
    return Elements(console._badge.value).text


def choose(console: Console, label: str) -> dict[str, Any]:
    """Choose an operation; its inputs by name."""
    console._choice.value = [name for name, _ in console._choice.options].index(label)
    return {field.name: box for field, box in console._inputs}


async def send(console: Console) -> str:
    """Press Send, and wait for what the badge says."""
    console._button.click()
    await asyncio.sleep(0)
    await asyncio.gather(*console._sending)
    return badge(console)


def with_console(story: Callable[[Console, Bench], Awaitable[None]], the_app: Any = None) -> None:
    the_app = the_app or app()

    async def on_bench(bench: Bench) -> None:
        await story(Console(bench, the_app), bench)

    on_a_bench(the_app, on_bench)


def test_every_field_arrives_and_empty_ones_are_left_out() -> None:
    async def story(console: Console, bench: Bench) -> None:
        boxes = choose(console, "POST /email/{email}")
        assert console._body is not None
        said = await send(console)
        assert said == 'response 200 ["ada@example.com","subject",[],null,null,null]'
        boxes["email"].value = "a b?c#d%e&é@x"
        boxes["tags"].value = "one, two"
        boxes["note"].value = "a&b=c"
        boxes["x-token"].value = "secret"
        boxes["session"].value = "abc"
        console._body.value = '{"subject": "hello"}'
        said = await send(console)
        assert said == (
            'response 200 ["a b?c#d%e&é@x","hello",["one","two"],"a&b=c","secret","abc"]'
        )
        await bench.finished()
        assert [len(trace.tasks) for trace in bench.traces] == [1, 1]

    with_console(story)


def test_the_badge_says_what_is_wrong() -> None:
    async def story(console: Console, bench: Bench) -> None:
        boxes = choose(console, "POST /email/{email}")
        assert console._body is not None
        console._body.value = "{"
        assert (await send(console)).startswith("The body is no JSON: ")
        boxes["email"].value = ""
        assert (await send(console)).strip() == "Fill in email: it is a part of the path."
        boxes["email"].value = "a"
        console._body.value = ""
        assert (await send(console)).startswith("response 422")
        boxes["x-token"].value = "ä"
        assert (await send(console)).startswith("This request cannot be built: ")
        bench.close()
        boxes["x-token"].value = ""
        assert (await send(console)).startswith("This Lab is closed")

    with_console(story)


def test_any_other_path() -> None:
    async def story(console: Console, bench: Bench) -> None:
        boxes = choose(console, OTHER.label)
        assert await send(console) == 'response 404 {"detail":"Not Found"}'
        boxes["path"].value = "/hostile"
        assert (await send(console)).startswith("response 200")
        boxes["method"].value = "DELETE"
        assert (await send(console)).startswith("response 405")
        boxes["method"].value = boxes["path"].value = ""
        assert (await send(console)).startswith("response 404")
        boxes["method"].value = "GE T"
        assert "Illegal method" in await send(console)
        boxes["method"].value, boxes["path"].value = "GET", "http://127.0.0.1:1/"
        assert "nothing listens" in await send(console)

    with_console(story)


def test_an_app_without_a_description() -> None:
    async def plain(scope: Any, receive: Any, send: Any) -> None:
        assert scope["type"] == "http"
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": scope["path"].encode()})

    async def story(console: Console, bench: Bench) -> None:
        assert [label for label, _ in console._choice.options] == [OTHER.label]
        boxes = choose(console, OTHER.label)
        boxes["path"].value = "/hello"
        assert await send(console) == "response 200 /hello"

    with_console(story, plain)


def test_the_address_of_what_was_accepted_is_said() -> None:
    shop = FastAPI()

    @shop.post("/files", status_code=202)
    async def accept(response: Response) -> None:
        response.headers["Location"] = f"/jobs/{EVIL}"

    async def story(console: Console, bench: Bench) -> None:
        assert await send(console) == f"response 202 Location: /jobs/{EVIL} null"
        assert Elements(console._badge.value).tags == {"span", "code"}

    with_console(story, shop)


def test_hostile_and_unreadable_answers_are_text() -> None:
    async def story(console: Console, bench: Bench) -> None:
        choose(console, "GET /hostile")
        assert await send(console) == f'response 200 "{EVIL}"'
        assert Elements(console._badge.value).tags == {"span", "code"}
        boxes = choose(console, OTHER.label)
        boxes["method"].value, boxes["path"].value = EVIL, f"/{EVIL}"
        await send(console)
        assert Elements(console._badge.value).tags == {"span"}
        choose(console, "GET /bytes")
        said = await send(console)
        assert said.startswith("response 200 ")
        assert said.isprintable()
        assert len(said) < 600

    with_console(story)


def test_switching_shows_other_fields_and_keeps_no_old_ones() -> None:
    from ipywidgets.widgets.widget import _instances

    async def story(console: Console, bench: Bench) -> None:
        choose(console, "GET /slow")
        before = len(_instances)
        for _ in range(5):
            assert set(choose(console, "POST /email/{email}")) == {
                *("email", "tags", "note", "x-token", "session")
            }
            assert len(console._form.children) == 6
            assert choose(console, "GET /slow") == {}
            assert console._form.children == ()
            assert console._body is None
        assert len(_instances) - before <= 5 * 6, "styles and layouts at most"

    with_console(story)


def test_two_quick_clicks_are_two_requests() -> None:
    async def story(console: Console, bench: Bench) -> None:
        choose(console, "GET /slow")
        console._button.click()
        await asyncio.sleep(0.05)
        assert badge(console).startswith("waiting for the response")
        console._button.click()
        await asyncio.sleep(0.05)
        assert len(console._sending) == 2
        begun = time.monotonic()
        await asyncio.gather(*console._sending)
        assert time.monotonic() - begun < 1.5
        await bench.finished()
        assert [trace.status for trace in bench.traces] == [200, 200]
        assert badge(console) == 'response 200 "slow"'

    with_console(story)


def test_an_error_that_nobody_thought_of_is_shown() -> None:
    class Broken:
        async def request(self, *_: Any, **__: Any) -> httpx.Response:
            raise KeyError(EVIL)

    async def story() -> None:
        console = Console(Broken(), None)  # type: ignore[arg-type]
        assert await send(console) == f"KeyError: {EVIL!r} "

    asyncio.run(story())


def test_a_file() -> None:
    class Upload:
        name, content, type = "a.txt", memoryview(b"hello"), "text/plain"

    class Box:
        value = (Upload(),)

    from course_app.lab.operations import Field, Operation

    operation = Operation("POST", "/upload", (Field("file", "file", required=True),))

    async def story(bench: Bench) -> None:
        method, path, options = filled_in(operation, [(operation.fields[0], Box())], None)
        sent = (await bench.request(method, path, **options)).json()
        assert 'name="file"; filename="a.txt"' in sent
        assert "hello" in sent

    on_a_bench(app(), story)

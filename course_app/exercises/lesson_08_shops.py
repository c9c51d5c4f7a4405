"""The shop of lesson 08's exercises: as it is, in other right ways, and with bugs."""

from dataclasses import dataclass

HEAD = """\
from typing import Annotated

from fastapi import BackgroundTasks, Depends, FastAPI

app = FastAPI()


class Mailer:
    def send(self, email: str, text: str) -> None:
        raise OSError("this course has no mail server: override get_mailer")


def get_mailer() -> Mailer:
    return Mailer()


"""
ORDER = """\
@app.post("/orders/{number}")
def order(
    number: int,
    email: str,
    background_tasks: BackgroundTasks,
    mailer: Annotated[Mailer, Depends(get_mailer)],
    coupon: str | None = None,
) -> dict[str, int]:
"""
RECEIPT = '    background_tasks.add_task(mailer.send, email, f"receipt for order {number}")\n'
COUPON = (
    "    if coupon:\n"
    '        background_tasks.add_task(mailer.send, "sales@example.com", f"coupon {coupon}")\n'
)
ANSWER = '    return {"ordered": number}\n'
SHOP = HEAD + ORDER + RECEIPT + COUPON + ANSWER
"""The shop as it is: the notebook writes the same text to shop.py."""


@dataclass(frozen=True)
class Shop:
    """An app to run a learner's test file against."""

    does: str
    """What it does, to follow "an app that", such as "never sends the receipt"."""
    code: str
    right: bool = False
    hint: str = ""
    """A sentence for who takes it for right, or, if it is right, for wrong."""


def shop(*body: str, before: str = "", order: str = ORDER) -> str:
    """The code of a shop whose path operation has this body."""
    return "import asyncio\nimport time\n" + HEAD + before + order + "".join(body) + ANSWER


SENDS_BOTH = """\
async def send_mails(mailer: Mailer, email: str, number: int, coupon: str | None) -> None:
    await asyncio.to_thread(mailer.send, email, f"receipt for order {number}")
    if coupon:
        await asyncio.to_thread(mailer.send, "sales@example.com", f"coupon {coupon}")


"""
SENDS_SLOWLY = """\
async def send_slowly(mailer: Mailer, email: str, text: str) -> None:
    await asyncio.sleep(0.8)
    await asyncio.to_thread(mailer.send, email, text)


"""
LOGS = """\
def write_log(line: str) -> None:
    time.sleep(0.8)


"""
SENDS_AT_ONCE = '    mailer.send(email, f"receipt for order {number}")\n'

RIGHT = Shop("is right", SHOP, right=True)
OTHERWISE = Shop(
    "does the same by one async task",
    shop(
        "    background_tasks.add_task(send_mails, mailer, email, number, coupon)\n",
        before=SENDS_BOTH,
    ),
    right=True,
    hint="Ask for what the exercise says, and for nothing else.",
)
SLOW = Shop(
    "is right but slow (its answer and its mails take most of a second each)",
    shop(
        "    time.sleep(0.8)\n",
        (RECEIPT + COUPON).replace("mailer.send,", "send_slowly, mailer,"),
        before=SENDS_SLOWLY,
    ),
    right=True,
    hint="Ask what came first, not how long it took.",
)

WHAT_IS_SENT = [
    RIGHT,
    OTHERWISE,
    Shop(
        "never sends the receipt",
        shop(COUPON),
        hint="Does a test look at what the fake mailer was given?",
    ),
    Shop(
        "mixes up the arguments: it sends to the text, and the address as the text",
        shop(RECEIPT.replace('email, f"receipt for order {number}"', 'f"{number}", email'), COUPON),
        hint="Compare the address and the text with what the exercise says.",
    ),
    Shop(
        "sends every receipt for order 1",
        shop(RECEIPT.replace("order {number}", "order 1"), COUPON),
        hint="Order something else than number 1, and compare the text.",
    ),
    Shop(
        "sends the receipt twice",
        shop(RECEIPT, RECEIPT, COUPON),
        hint="Compare the whole list of mails: one that is too many is a bug as well.",
    ),
    Shop(
        "never sends the coupon's mail",
        shop(RECEIPT),
        hint="Does a test order something with a coupon?",
    ),
    Shop(
        "sends the coupon's mail without a coupon too",
        shop(RECEIPT, COUPON.replace("if coupon", "if True")),
        hint="What must not be sent when there is no coupon?",
    ),
]
"""For 08.1: bugs that TestClient can see."""

FIRST = "Which was there first, the mail or the answer? Only a request over a socket can tell."
WHEN_IT_IS_SENT = [
    RIGHT,
    SLOW,
    Shop("sends the receipt before it answers", shop(SENDS_AT_ONCE, COUPON), hint=FIRST),
    Shop(
        "sends the receipt before it answers, and then has a background task write a log",
        shop(
            SENDS_AT_ONCE,
            COUPON,
            '    background_tasks.add_task(write_log, f"order {number}")\n',
            before=LOGS,
        ),
        hint="Ask about the mail, not about any task: trace.response_first is true here too.",
    ),
]
"""For 08.2: bugs that only a real socket shows."""

"""Reads the pictures that the bench draws: as XML, as text, and as Chromium lays them out."""

import base64
import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from contextlib import contextmanager
from html.parser import HTMLParser

from playwright.sync_api import Page, sync_playwright

from tests.support.browser import ARGUMENTS, CHROMIUM

TEXT = "{http://www.w3.org/2000/svg}text"
RECT = "{http://www.w3.org/2000/svg}rect"


def parsed(svg: str) -> ElementTree.Element:
    """The SVG; raises ParseError unless it is well-formed XML."""
    return ElementTree.fromstring(svg)


def texts(svg: str) -> list[str]:
    """What stands in the picture, piece by piece, without the titles that only hovering shows."""
    return [list(element.itertext())[-1] for element in parsed(svg).iter(TEXT)]


def svg_in(image: str) -> str:
    """The SVG inside an `<img>` with a data URI."""
    found = re.search(r'src="data:image/svg\+xml;base64,([^"]+)"', image)
    assert found is not None
    return base64.b64decode(found[1]).decode()


class Elements(HTMLParser):
    """Every element of a piece of HTML with its attributes, and all its text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data

    @property
    def tags(self) -> set[str]:
        return {tag for tag, _ in self.found}


@contextmanager
def empty_page(width: int) -> Iterator[Page]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        try:
            yield browser.new_page(viewport={"width": width + 16, "height": 900})
        finally:
            browser.close()


OUTSIDE = """() => {
    const svg = document.querySelector('svg'), frame = svg.getBoundingClientRect();
    return [...svg.querySelectorAll('text, rect')].filter(element => {
        const box = element.getBoundingClientRect();
        return box.left < frame.left - 1 || box.right > frame.right + 1
            || box.top < frame.top - 1 || box.bottom > frame.bottom + 1;
    }).map(element => element.outerHTML);
}"""


def outside(page: Page, svg: str) -> list[str]:
    """The texts and bars that reach over the edge of the picture, as Chromium lays it out."""
    page.set_content(f'<body style="margin: 8px">{svg}</body>')
    found: list[str] = page.evaluate(OUTSIDE)
    return found

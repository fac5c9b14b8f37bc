"""Example 1 for tests: its page, and a file sent with the ticket that is in it."""

from __future__ import annotations

from contextlib import ExitStack
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import urljoin

import example_apps
import requests
from example_apps import Example, wait_until_finished
from servers import Server

__all__ = ["Page", "Simple", "backend", "start"]

NAME = "1-simple"


class Page(HTMLParser):
    """What a person and the script find in the page."""

    def __init__(self, html: str, url: str) -> None:
        super().__init__()
        self.ticket = ""
        self.script_url = ""
        self.links: dict[str, str] = {}  # text → address
        self._url = url
        self._href: str | None = None
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = {name: value or "" for name, value in attrs}
        if tag == "input":
            self.ticket = attributes["data-upload-id"]
        if tag == "script" and "src" in attributes:
            self.script_url = urljoin(self._url, attributes["src"])
        if tag == "a":
            self._href = urljoin(self._url, attributes["href"])

    def handle_data(self, data: str) -> None:
        if self._href is not None:
            self.links[data] = self._href

    def handle_endtag(self, tag: str) -> None:
        if tag == "a":
            self._href = None


class Simple(Example):
    def open_page(self) -> Page:
        answer = requests.get(self.app.url + "/", timeout=30)
        assert answer.status_code == 200, answer.text
        return Page(answer.text, self.app.url + "/")

    def upload(self, content: bytes, filename: str) -> None:
        """Send a file with the ticket of a new page, and wait until the app has taken it."""
        page = self.open_page()
        url = urljoin(page.script_url, f"uploads/{page.ticket}")
        example_apps.send(url, content, filename)
        wait_until_finished(url)

    def call_back(self, **fields: str) -> requests.Response:
        """With the secret of all tickets."""
        secret = (self.folder / "secret").read_text()
        return super().call_back(signalFinishSecret=secret, **fields)


def backend(folder: Path, *options: str) -> Server:
    return example_apps.backend(NAME, folder, *options)


def start(way: str, folder: Path, stack: ExitStack) -> Simple:
    """`way`: beside, or mounted under gunicorn or wsgiref; ended with `stack`."""
    return example_apps.start(Simple, NAME, way, folder, stack)

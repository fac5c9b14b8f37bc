"""Example 1 for tests: started in each way it can be, and used as a browser would."""

from __future__ import annotations

import sys
from contextlib import ExitStack
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import urljoin

import requests
from servers import Server, free_port, gunicorn
from waiting import wait_until

__all__ = ["EXAMPLE", "Example", "Page", "backend", "stand_alone", "start", "state"]

EXAMPLE = Path(__file__).parents[1] / "examples" / "1-simple"
# What every process here must get by with: a leaked file or socket would be seen in its log.
STRICT = {"PYTHONWARNINGS": "error,ignore:'cgi' is deprecated:DeprecationWarning"}


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


@dataclass
class Example:
    """The running app; `incoming` is the server beside it, or the app itself if that is mounted."""

    app: Server
    incoming: Server
    folder: Path

    @property
    def uploads(self) -> Path:
        return self.folder / "uploads"

    def open_page(self) -> Page:
        answer = requests.get(self.app.url + "/", timeout=30)
        assert answer.status_code == 200, answer.text
        return Page(answer.text, self.app.url + "/")

    def send(self, content: bytes, filename: str) -> str:
        """Send a file with the ticket of a new page, in two chunks; the address of the upload."""
        page = self.open_page()
        url = urljoin(page.script_url, f"uploads/{page.ticket}")
        facts = {"filename": filename, "length": len(content)}
        requests.post(url, json=facts, timeout=30).raise_for_status()
        middle = len(content) // 2
        for start, stop in ((0, middle), (middle, len(content))):
            if start < stop:
                headers = {"Content-Range": f"bytes {start}-{stop - 1}/{len(content)}"}
                answer = requests.put(url, content[start:stop], headers=headers, timeout=30)
                answer.raise_for_status()
        return url

    def upload(self, content: bytes, filename: str) -> None:
        """Send a file and wait until the app has taken it."""
        url = self.send(content, filename)
        wait_until(lambda: state(url) == "FINISHED", "the handover")

    def call_back(self, **fields: str) -> requests.Response:
        """Call the app as the Incoming server does, with its secret."""
        secret = (self.folder / "secret").read_text()
        form = {"signalFinishSecret": secret, "cancelled": "no", **fields}
        return requests.post(self.app.url + "/api/backend/upload_finished", data=form, timeout=30)


def state(url: str) -> str:
    return str(requests.get(url, timeout=30).json()["state"])


def backend(folder: Path, *options: str) -> Server:
    port = free_port()
    command = [sys.executable, str(EXAMPLE / "backend.py"), "--port", str(port)]
    command += ["--folder", str(folder / "example"), *options]
    return Server(command, port=port, folder=folder, environ=STRICT)


def stand_alone(folder: Path, **settings: str) -> Server:
    environ = {**STRICT, "INCOMING_STORAGE_DIR": str(folder / "incoming"), **settings}
    return gunicorn("incoming_wsgi.wsgi:application", folder=folder, environ=environ)


def start(way: str, folder: Path, stack: ExitStack) -> Example:
    """`way`: beside, or mounted under gunicorn or wsgiref; ended with `stack`."""
    if way != "beside":
        app = stack.enter_context(backend(folder, "--server", way))
        return Example(app, incoming=app, folder=folder / "example")
    server = stack.enter_context(stand_alone(folder))
    app = backend(folder, "--internal_incoming_host", f"127.0.0.1:{server.port}")
    return Example(stack.enter_context(app), incoming=server, folder=folder / "example")

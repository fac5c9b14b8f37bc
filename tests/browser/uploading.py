"""The page of uploading_app.py for tests: files are chosen, uploaders made and looked at."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from playwright.sync_api import Page, Route
from servers import Server, gunicorn
from waiting import wait_until

__all__ = ["App", "Uploads", "chunks_held", "make_file", "running_app"]

HERE = Path(__file__).parent
MIB = 1 << 20


def make_file(folder: Path, name: str, length: int, seed: int = 0) -> Path:
    path = folder / name
    path.write_bytes(random.Random(seed).randbytes(length))
    return path


@contextmanager
def chunks_held(page: Page, position: int) -> Iterator[None]:
    """Chunks that begin at `position` or after it do not leave the browser.

    However slow or fast the machine is, an upload is so caught in the middle.
    """

    def hold(route: Route) -> None:
        found = re.match(r"bytes (\d+)-", route.request.headers.get("content-range", ""))
        if found is None or int(found[1]) < position:
            route.continue_()

    pattern = "**/frontend/uploads/*"
    page.route(pattern, hold)
    yield
    page.unroute(pattern, hold)


@dataclass
class App:
    server: Server
    folder: Path

    @property
    def arrived(self) -> Path:
        return self.folder / "arrived"


@contextmanager
def running_app(folder: Path, *arguments: str) -> Iterator[App]:
    home = folder / "app"
    home.mkdir(exist_ok=True)
    environ = {"UPLOADING_FOLDER": str(home)}
    server = gunicorn(
        "uploading_app:application",
        *("--workers", "2", "--pythonpath", str(HERE), *arguments),
        folder=folder,
        environ=environ,
    )
    with server:
        yield App(server, home)


class Uploads:
    """Uploaders in a page, by names of ours: each is a property of its window."""

    def __init__(self, page: Page, url: str) -> None:
        self.page = page
        self.violations: list[str] = []
        page.on("console", self._note)
        page.goto(url)

    def _note(self, message: Any) -> None:
        if "Content Security Policy" in message.text:
            self.violations.append(message.text)

    def choose(self, *paths: Path) -> None:
        self.page.locator("#file").set_input_files(list(paths))

    def make(self, name: str, *, file: int = 0, ticket: str | None = None) -> None:
        """An uploader for a chosen file; without a ticket it gets one from the app."""
        self.page.evaluate(
            """([name, file, ticket]) => {
                const get = async () => (await fetch("/ticket", { method: "POST" })).text();
                const { files } = document.getElementById("file");
                const uploader = incoming.Uploader(ticket ?? get, files[file]);
                window[name] = uploader;
                uploader.told = [];
                for (const what of ["progress", "finished", "cancelled", "error"]) {
                  uploader.addEventListener(what, () => uploader.told.push(what));
                }
            }""",
            [name, file, ticket],
        )

    def start(self, path: Path, *, name: str = "upload", ticket: str | None = None) -> None:
        self.choose(path)
        self.make(name, ticket=ticket)
        self.run(f"{name}.start()")

    def run(self, script: str) -> Any:
        return self.page.evaluate(f"() => {{ {script} }}")

    def get(self, expression: str) -> Any:
        return self.page.evaluate(f"() => {expression}")

    def wait_for(self, expression: str, timeout_s: float = 60.0) -> None:
        """How it stands is said if it does not come true."""
        try:
            wait_until(lambda: self.get(f"Boolean({expression})"), expression, timeout_s)
        except AssertionError as exc:
            raise AssertionError(f"{exc}; it is {self.state()}") from None

    def state(self, name: str = "upload") -> Any:
        return self.get(f"""window.{name} && [{name}.phase, {name}.state_msg, {name}.error_msg]""")

    def wait_until_arrived(
        self, app: App, path: Path, *, name: str = "upload", timeout_s: float = 60.0
    ) -> None:
        self.wait_for(f"{name}.finished || {name}.cancelled", timeout_s)
        assert self.get(f"{name}.finished"), self.state(name)
        assert (app.arrived / path.name).read_bytes() == path.read_bytes()

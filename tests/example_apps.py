"""The examples for tests: started in each way they can be, and sent files as a browser would."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import requests
from servers import Server, free_port, gunicorn
from waiting import wait_until

__all__ = [
    "EXAMPLES",
    "STRICT",
    "Example",
    "backend",
    "send",
    "stand_alone",
    "start",
    "state",
    "wait_until_finished",
]

EXAMPLES = Path(__file__).parents[1] / "examples"
# What every process here must get by with: a leaked file or socket would be seen in its log.
STRICT = {"PYTHONWARNINGS": "error,ignore:'cgi' is deprecated:DeprecationWarning"}


@dataclass
class Example:
    """The running app; `incoming` is the server beside it, or the app itself if that is mounted."""

    app: Server
    incoming: Server
    folder: Path

    @property
    def uploads(self) -> Path:
        return self.folder / "uploads"

    def call_back(self, **fields: str) -> requests.Response:
        """Call the app as the Incoming server does."""
        form = {"cancelled": "no", **fields}
        return requests.post(self.app.url + "/api/backend/upload_finished", data=form, timeout=30)


def send(url: str, content: bytes, filename: str) -> None:
    """Send a file to an upload, in two chunks."""
    facts = {"filename": filename, "length": len(content)}
    requests.post(url, json=facts, timeout=30).raise_for_status()
    middle = len(content) // 2
    for start, stop in ((0, middle), (middle, len(content))):
        if start < stop:
            headers = {"Content-Range": f"bytes {start}-{stop - 1}/{len(content)}"}
            answer = requests.put(url, content[start:stop], headers=headers, timeout=30)
            answer.raise_for_status()


def state(url: str) -> str:
    return str(requests.get(url, timeout=30).json()["state"])


def wait_until_finished(url: str) -> None:
    wait_until(lambda: state(url) == "FINISHED", "the handover")


def backend(name: str, folder: Path, *options: str) -> Server:
    """The app of the example in the folder `name`, not yet started."""
    port = free_port()
    command = [sys.executable, str(EXAMPLES / name / "backend.py"), "--port", str(port)]
    command += ["--folder", str(folder / "example"), *options]
    return Server(command, port=port, folder=folder, environ=STRICT)


def stand_alone(folder: Path, **settings: str) -> Server:
    environ = {**STRICT, "INCOMING_STORAGE_DIR": str(folder / "incoming"), **settings}
    return gunicorn("incoming_wsgi.wsgi:application", folder=folder, environ=environ)


AnyExample = TypeVar("AnyExample", bound=Example)


def start(
    kind: Callable[..., AnyExample], name: str, way: str, folder: Path, stack: ExitStack
) -> AnyExample:
    """`way`: beside, or mounted under gunicorn or wsgiref; ended with `stack`."""
    if way != "beside":
        app = stack.enter_context(backend(name, folder, "--server", way))
        return kind(app, incoming=app, folder=folder / "example")
    server = stack.enter_context(stand_alone(folder))
    app = backend(name, folder, "--internal_incoming_host", f"127.0.0.1:{server.port}")
    return kind(stack.enter_context(app), incoming=server, folder=folder / "example")

"""Example 3 for tests: tickets as the element asks for them, and what has arrived."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

import example_apps
import requests
from example_apps import Example, wait_until_finished
from servers import Server

__all__ = ["Widget", "backend", "start"]

NAME = "3-widget"


class Widget(Example):
    def upload(self, content: bytes, relative_path: str) -> None:
        """Send a file of a chosen folder, in one piece, and wait until the app has taken it."""
        filename = relative_path.rpartition("/")[2]
        form = {"filename": filename, "length": len(content), "relative_path": relative_path}
        ticket = requests.post(f"{self.app.url}/tickets", data=form, timeout=30).text
        url = f"{self.incoming.url}/incoming/0.1/frontend/uploads/{ticket}"
        facts = {"filename": filename, "length": len(content), "relative_path": relative_path}
        requests.post(url, json=facts, timeout=30).raise_for_status()
        if content:
            length = len(content)
            headers = {"Content-Range": f"bytes 0-{length - 1}/{length}"}
            requests.put(url, content, headers=headers, timeout=30).raise_for_status()
        wait_until_finished(url)

    def arrived(self) -> set[str]:
        files = [path for path in self.uploads.rglob("*") if path.is_file()]
        return {path.relative_to(self.uploads).as_posix() for path in files}


def backend(folder: Path, *options: str) -> Server:
    return example_apps.backend(NAME, folder, *options)


def start(way: str, folder: Path, stack: ExitStack) -> Widget:
    """`way`: mounted under gunicorn or wsgiref; ended with `stack`."""
    return example_apps.start(Widget, NAME, way, folder, stack)

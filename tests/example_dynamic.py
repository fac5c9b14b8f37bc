"""Example 2 for tests: tickets by request, and what has arrived."""

from __future__ import annotations

import sqlite3
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import example_apps
import requests
from example_apps import Example, wait_until_finished
from servers import Server

__all__ = ["Dynamic", "backend", "start"]

NAME = "2-dynamic"


class Dynamic(Example):
    def request_upload(self, filename: str) -> str:
        """A ticket."""
        address = f"{self.app.url}/api/frontend/request_upload"
        answer = requests.get(address, params={"filename": filename}, timeout=30)
        assert answer.status_code == 200, answer.text
        return answer.text

    def upload_url(self, ticket: str) -> str:
        return f"{self.incoming.url}/incoming/0.1/frontend/uploads/{ticket}"

    def upload(self, content: bytes, filename: str) -> str:
        """Send a file and wait until the app has taken it; its ticket."""
        ticket = self.request_upload(filename)
        example_apps.send(self.upload_url(ticket), content, filename)
        wait_until_finished(self.upload_url(ticket))
        return ticket

    def arrived(self) -> list[dict[str, Any]]:
        found = requests.get(f"{self.app.url}/api/frontend/uploads", timeout=30).json()["uploads"]
        assert isinstance(found, list)
        return found

    def secret(self, ticket: str) -> str:
        """What only the app and Incoming know."""
        return self._noted(ticket, "secret")

    def incoming_path(self, ticket: str) -> Path:
        """Where the file was that the app was told of."""
        return Path(self._noted(ticket, "incoming_path"))

    def _noted(self, ticket: str, column: str) -> str:
        with closing(sqlite3.connect(self.folder / "uploads.db")) as db:
            db.row_factory = sqlite3.Row
            row = db.execute("SELECT * FROM uploads WHERE id = ?", (ticket,)).fetchone()
        return str(row[column])


def backend(folder: Path, *options: str) -> Server:
    return example_apps.backend(NAME, folder, *options)


def start(way: str, folder: Path, stack: ExitStack) -> Dynamic:
    """`way`: beside, or mounted under gunicorn or wsgiref; ended with `stack`."""
    return example_apps.start(Dynamic, NAME, way, folder, stack)

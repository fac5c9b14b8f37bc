"""A server with fault points, its web app, and what a test asks them: all on one folder.

    with house(tmp_path) as here:
        ticket = here.ticket(way="url")
        here.points.arm("record.before", ticket)
        ...

The server is gunicorn with two workers on `faulty_app`; the web app is called by URL in this
process, or as a function in the workers. Both do what the ticket says (`instructions.py`) and
write down what they were told (`deliveries.py`).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import requests
from deliveries import Deliveries
from instructions import Instructions
from points import Points
from servers import Server, gunicorn
from webapp import Handover, Reply, WebApp, reply, web_app

from incoming_wsgi.client import IncomingClient
from incoming_wsgi.errors import IncomingError

__all__ = ["House", "house"]

LEASE_S = 2.0


class House:
    def __init__(
        self, folder: Path, server: Server, points: Points, deliveries: Deliveries, app: WebApp
    ) -> None:
        self.server = server
        self.points = points
        self.deliveries = deliveries
        self.client = IncomingClient(server.url, timeout_s=10)
        self._files = folder / "storage" / "files"
        self._app = app

    def ticket(
        self, way: str = "url", *, remove: bool = True, moves: bool = False, answers: str = "done"
    ) -> str:
        """A new upload's id; `way`: its app is called by "url" or as a "function"."""
        query = Instructions.query(moves=moves, answers=answers, remove=remove)
        if way == "url":
            return self.client.new_upload(
                signal_finish_url=f"{self._app.url}?{query}", remove_file_when_finished=remove
            )
        response = requests.post(f"{self.server.url}/ticket?{query}", timeout=10)
        response.raise_for_status()
        return response.text

    def url(self, upload_id: str) -> str:
        return f"{self.server.url}/frontend/uploads/{upload_id}"

    def file(self, upload_id: str) -> Path:
        return self._files / upload_id

    def state(self, upload_id: str) -> str | None:
        """What the page and the backend say, as soon as both say the same; None until then, and as
        long as one of them is not answered."""
        try:
            page = requests.get(self.url(upload_id), timeout=10)
            backend = self.client.status(upload_id).state.value
        except (requests.RequestException, IncomingError):
            return None
        if page.status_code != 200 or page.json()["state"] != backend:
            return None
        return backend

    def revive(self) -> None:
        """After everything has been killed."""
        self.server.kill()
        self.server.start()


@contextmanager
def house(folder: Path, **settings: object) -> Iterator[House]:
    """`settings` as `Incoming` has them."""
    points, deliveries = Points(folder), Deliveries(folder)
    environ = {
        "FAULTS_FOLDER": str(folder),
        "FAULTS_LEASE_S": str(LEASE_S),
        "INCOMING_STORAGE_DIR": str(folder / "storage"),
        "INCOMING_HANDOVER_RETRY_S": "0.1",
    }
    environ |= {f"INCOMING_{name.upper()}": str(value) for name, value in settings.items()}
    arguments = ("--workers", "2", "--graceful-timeout", "3")
    with (
        web_app(_taking(deliveries)) as app,
        gunicorn("faulty_app:application", *arguments, folder=folder, environ=environ) as server,
    ):
        yield House(folder, server, points, deliveries, app)


def _taking(deliveries: Deliveries) -> Reply:
    def take(handover: Handover, handler: object) -> None:
        form = handover.form
        instructions = Instructions(urlsplit(handover.path).query)
        path = Path(form["filename"]) if form["cancelled"] == "no" else None
        with deliveries.taking(form["id"], form["deliveryId"], int(form["attempt"]), path):
            if instructions.moves and path is not None:
                deliveries.move_away(form["id"], path)
            answer = instructions.answer(len(deliveries.of(form["id"])))
        status = 200 if answer in ("done", "wait") else int(answer)
        reply(status, answer.encode())(handover, handler)  # type: ignore[arg-type]

    return take

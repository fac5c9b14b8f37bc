"""The other side of a client under test: a server with Incoming, asked as an app's backend asks."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler
from typing import Any

import requests
from proxy import Proxy
from servers import Server
from waiting import wait_until
from webapp import Handover, Reply, WebApp

__all__ = ["Held", "Site", "assert_delivered", "id_of", "user"]

TIMEOUT_S = 60


@dataclass(frozen=True)
class Site:
    server: Server
    prefix: str = "/incoming"

    @property
    def uploads(self) -> str:
        """The URL where uploads are created."""
        return f"{self.server.url}{self.prefix}/frontend/uploads/"

    def is_up(self) -> bool:
        try:
            return requests.get(f"{self.server.url}{self.prefix}/health", timeout=TIMEOUT_S).ok
        except requests.ConnectionError:
            return False

    def new_ticket(self, callback: str, **parameters: object) -> str:
        """The URL of a new ticket; `callback` is told of the finished file, which stays."""
        response = requests.post(
            f"{self.server.url}{self.prefix}/backend/new_upload",
            params={"signalFinishURL": callback, "removeFileWhenFinished": "false", **parameters},
            timeout=TIMEOUT_S,
        )
        response.raise_for_status()
        return self.uploads + response.text

    def through(self, proxy: Proxy, url: str) -> str:
        """The same URL by way of a proxy."""
        return url.replace(self.server.url, proxy.url)

    def cancel(self, ticket: str) -> None:
        """As the app's backend does."""
        response = requests.post(
            f"{self.server.url}{self.prefix}/backend/cancel_upload",
            params={"id": id_of(ticket)},
            timeout=TIMEOUT_S,
        )
        response.raise_for_status()

    def facts(self, ticket: str) -> dict[str, Any]:
        """The upload as native clients see it."""
        return requests.get(self.uploads + id_of(ticket), timeout=TIMEOUT_S).json()

    def record(self, ticket: str) -> dict[str, Any]:
        """The upload as the app's backend sees it."""
        url = f"{self.server.url}{self.prefix}/backend/uploads/{id_of(ticket)}"
        return requests.get(url, timeout=TIMEOUT_S).json()

    def wait_for_state(self, ticket: str, state: str) -> dict[str, Any]:
        return wait_until(
            lambda: (f := self.facts(ticket))["state"] == state and f, state, TIMEOUT_S
        )

    def wait_for_bytes(self, ticket: str, count: int) -> dict[str, Any]:
        """Until at least so many bytes have been recorded."""
        return wait_until(
            lambda: (f := self.facts(ticket))["bytes_received"] >= count and f,
            f"{count} bytes of the upload",
            TIMEOUT_S,
        )


def user(app: WebApp) -> dict[str, str]:
    """The headers of somebody whom `creating_app` lets create uploads."""
    return {"X-User": "zoe", "X-Callback": app.url}


class Held:
    """An answer of the app that it gives only when it is told to: `app.replies = [held.answer]`."""

    def __init__(self, answer: Reply) -> None:
        self._answer = answer
        self._let_go = threading.Event()

    def answer(self, handover: Handover, handler: BaseHTTPRequestHandler) -> None:
        assert self._let_go.wait(TIMEOUT_S)
        self._answer(handover, handler)

    def let_go(self) -> None:
        self._let_go.set()


def id_of(ticket: str) -> str:
    return ticket.rpartition("/")[2]


def assert_delivered(app: WebApp, ticket: str, content: bytes) -> Handover:
    """The app has been given the file: once, whole, under the ticket's id."""
    app.wait_for(1)
    (handover,) = app.handovers
    assert (handover.form["id"], handover.form["cancelled"]) == (id_of(ticket), "no")
    assert handover.content == content, "other bytes"
    return handover

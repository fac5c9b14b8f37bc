"""The WSGI application: routing, and errors to answers.

    backend/…                 the web app's backend    backend_api.py
    frontend/uploads/{id}     browsers and clients     dialects/, one address for all protocols
    frontend/uploads/         clients that create uploads
    frontend/incoming.js …    browsers                 assets.py
    health                    operators

each with and without `0.1/`, relative to wherever the app is mounted; SCRIPT_NAME and PATH_INFO are
read and never changed. Every IncomingError ends here as an answer, after what is left of the
request's body has been drained, so that it reaches the client.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import TYPE_CHECKING

from .assets import Assets
from .backend_api import BackendAPI
from .body import Body
from .concatenation import Concatenation
from .config import Settings
from .cors import CORS
from .dialects.choice import Dialect, Dialects
from .dialects.request import Request
from .engine import Engine
from .errors import IncomingError, MethodNotAllowed, NotFound, StorageFull
from .in_flight import InFlight, RequestInFlight
from .responses import Answer, Headers, error_answer, json_answer, last_answer
from .rights import Rights
from .storage.base import Storage
from .tickets.base import TicketStore

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

__all__ = ["Web"]

log = logging.getLogger("incoming_wsgi")

VERSION_SEGMENT = "0.1/"
NOSNIFF: Headers = (("X-Content-Type-Options", "nosniff"),)


class Web:
    def __init__(
        self,
        *,
        engine: Engine,
        concatenation: Concatenation,
        tickets: TicketStore,
        storage: Storage,
        settings: Settings,
        rights: Rights,
    ) -> None:
        self._tickets = tickets
        self._storage = storage
        self._settings = settings
        self._in_flight = InFlight(
            max_requests_per_upload=settings.requests_per_upload,
            min_rate_bytes_s=settings.min_rate_bytes_s,
            stall_timeout_s=settings.stall_timeout_s,
        )
        self._assets = Assets()
        self._cors = CORS(settings.allow_origins)
        self._dialects = Dialects(engine, concatenation, settings, rights)
        self._backend = BackendAPI(engine, settings)

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        # uWSGI calls with almost nothing after a request line that it could not read.
        environ.setdefault("REQUEST_METHOD", "")
        path = environ.get("PATH_INFO", "").removeprefix("/").removeprefix(VERSION_SEGMENT)
        in_flight = self._in_flight.begin(environ)
        try:
            answer = self._answer(environ, in_flight, path)
        finally:
            in_flight.leave()
        headers = NOSNIFF
        if path.startswith("frontend/"):
            headers += self._cors.headers(environ)
        parts = answer.with_headers(headers)(environ, start_response)
        return last_answer(parts) if in_flight.is_cut_off else parts

    def _answer(self, environ: WSGIEnvironment, in_flight: RequestInFlight, path: str) -> Answer:
        body: Body | None = None
        dialect = self._dialects.find(environ) if _is_about_uploads(path) else None
        try:
            try:
                body = Body(environ, in_flight, fast_reading=self._settings.fast_reading)
                body.check_framing()
                answer = self._route(environ, in_flight, body, path, dialect)
            except IncomingError as exc:
                if exc.status >= 500:
                    method = environ["REQUEST_METHOD"]
                    log.error("event=%s method=%s error=%s", exc.code, method, exc)
                answer = _refuse(exc, path, dialect)
            except Exception:
                log.exception("event=internal_error method=%s", environ["REQUEST_METHOD"])
                answer = _refuse(IncomingError(), path, dialect)
            if body is not None and answer.status >= 400:
                body.drain(self._settings.max_chunk_bytes)
        finally:
            if body is not None:
                body.close()
        return answer

    def _route(
        self,
        environ: WSGIEnvironment,
        in_flight: RequestInFlight,
        body: Body,
        path: str,
        dialect: Dialect | None,
    ) -> Answer:
        area, _, rest = path.partition("/")
        if area == "frontend":
            if environ["REQUEST_METHOD"] == "OPTIONS":
                return self._dialects.discover(environ, _find_upload_id(rest))
            if dialect is not None:
                method = self._dialects.find_method(environ)
                return dialect.answer(
                    Request(environ, method, _find_upload_id(rest), body, in_flight)
                )
            return self._find_asset(environ, rest)
        if area == "backend":
            return self._backend.answer(environ, body, rest)
        if path == "health":
            return self._health(environ)
        raise NotFound

    def _find_asset(self, environ: WSGIEnvironment, path: str) -> Answer:
        asset = self._assets.find(path, environ)
        if asset is None:
            raise NotFound
        if environ["REQUEST_METHOD"] not in ("GET", "HEAD"):
            raise MethodNotAllowed(allowed=("GET", "HEAD"))
        return asset

    def _health(self, environ: WSGIEnvironment) -> Answer:
        if environ["REQUEST_METHOD"] not in ("GET", "HEAD"):
            raise MethodNotAllowed(allowed=("GET", "HEAD"))
        self._tickets.next_due_at(in_process=True)  # raises if the ticket store does not answer
        room = self._storage.find_room()
        if room is not None and room.free <= 0:
            raise StorageFull(
                f"The disk is full: {room.free} bytes are left beside min_free_bytes."
            )
        return json_answer({"status": "ok"})


def _is_about_uploads(path: str) -> bool:
    return path == "frontend/uploads" or path.startswith("frontend/uploads/")


def _find_upload_id(path: str) -> str | None:
    """Of what follows `frontend/`; None where uploads are created."""
    return path.removeprefix("uploads").removeprefix("/") or None


def _refuse(error: IncomingError, path: str, dialect: Dialect | None) -> Answer:
    if dialect is not None:
        return dialect.refuse(error)
    # The original's functions are answered in plain text.
    plain = path.startswith("backend/") and not path.startswith("backend/uploads/")
    return error_answer(error, plain=plain)

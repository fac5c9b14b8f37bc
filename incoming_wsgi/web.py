"""The WSGI application: routing, and errors to answers.

    backend/…                 the web app's backend    backend_api.py
    frontend/uploads/{id}     browsers and clients     dialects/
    frontend/incoming.js …    browsers                 assets.py
    health                    operators

each with and without `0.1/`, relative to wherever the app is mounted; SCRIPT_NAME and PATH_INFO are
read and never changed. Every IncomingError ends here as an answer, after what is left of the
request's body has been drained, so that it reaches the client.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from .assets import Assets
from .backend_api import BackendAPI
from .body import Body
from .config import Settings
from .cors import CORS
from .dialects.native import ALLOWED_METHODS, NativeDialect
from .engine import Engine
from .errors import Forbidden, IncomingError, MethodNotAllowed, NotFound, StorageFull
from .in_flight import InFlight, RequestInFlight
from .responses import Answer, Headers, error_answer, json_answer, last_answer, text_answer
from .storage.base import Storage
from .tickets.base import TicketStore
from .uploads import Upload

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

__all__ = ["Authorize", "Web"]

log = logging.getLogger("incoming_wsgi")

Authorize = Callable[[dict[str, Any], Upload, str], bool]
"""(environ, upload, action) → whether this client may; actions: query, declare, store, cancel. And
once more before each handover, which no client asks for: hand_over, with an empty environ."""

VERSION_SEGMENT = "0.1/"
ACTIONS = {
    "GET": "query",
    "HEAD": "query",
    "POST": "declare",
    "PUT": "store",
    "DELETE": "cancel",
}
BRINGS_BYTES = ("POST", "PUT")
NOSNIFF: Headers = (("X-Content-Type-Options", "nosniff"),)


class Web:
    def __init__(
        self,
        *,
        engine: Engine,
        tickets: TicketStore,
        storage: Storage,
        settings: Settings,
        authorize: Authorize | None,
    ) -> None:
        self._engine = engine
        self._tickets = tickets
        self._storage = storage
        self._settings = settings
        self._authorize = authorize
        self._in_flight = InFlight(
            max_requests_per_upload=settings.requests_per_upload,
            min_rate_bytes_s=settings.min_rate_bytes_s,
            stall_timeout_s=settings.stall_timeout_s,
        )
        self._assets = Assets()
        self._cors = CORS(settings.allow_origins, ALLOWED_METHODS)
        self._native = NativeDialect(engine, settings)
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
        try:
            try:
                body = Body(environ, in_flight, fast_reading=self._settings.fast_reading)
                body.check_framing()
                answer = self._route(environ, in_flight, body, path)
            except IncomingError as exc:
                if exc.status >= 500:
                    method = environ["REQUEST_METHOD"]
                    log.error("event=%s method=%s error=%s", exc.code, method, exc)
                answer = error_answer(exc, plain=_is_plain(path))
            except Exception:
                log.exception("event=internal_error method=%s", environ["REQUEST_METHOD"])
                answer = error_answer(IncomingError(), plain=_is_plain(path))
            if body is not None and answer.status >= 400:
                body.drain(self._settings.max_chunk_bytes)
        finally:
            if body is not None:
                body.close()
        return answer

    def _route(
        self, environ: WSGIEnvironment, in_flight: RequestInFlight, body: Body, path: str
    ) -> Answer:
        area, _, rest = path.partition("/")
        if area == "frontend":
            return self._route_frontend(environ, in_flight, body, rest)
        if area == "backend":
            return self._backend.answer(environ, body, rest)
        if path == "health":
            return self._health(environ)
        raise NotFound

    def _route_frontend(
        self, environ: WSGIEnvironment, in_flight: RequestInFlight, body: Body, path: str
    ) -> Answer:
        method = environ["REQUEST_METHOD"]
        if method == "OPTIONS":
            # 200, not 204: preflights are refused with a 204 by some old browsers.
            return text_answer("", headers=(("Allow", ", ".join(ALLOWED_METHODS)),))
        kind, _, upload_id = path.partition("/")
        if kind == "uploads" and upload_id:
            if self._authorize is not None:
                self._check_right(environ, upload_id, self._authorize)
            # Not before: whoever has no right must not end the requests of those who have.
            if method in BRINGS_BYTES:
                in_flight.join(upload_id)
            return self._native.answer(environ, body, upload_id)
        asset = self._assets.find(path, environ)
        if asset is None:
            raise NotFound
        if method not in ("GET", "HEAD"):
            raise MethodNotAllowed(allowed=("GET", "HEAD"))
        return asset

    def _check_right(self, environ: WSGIEnvironment, upload_id: str, authorize: Authorize) -> None:
        action = ACTIONS.get(environ["REQUEST_METHOD"])
        if action is None:
            raise MethodNotAllowed(allowed=ALLOWED_METHODS)
        if not authorize(environ, self._engine.load(upload_id), action):
            raise Forbidden("you may not do this with this upload; sign in again and go on")

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


def _is_plain(path: str) -> bool:
    """Whether errors are plain text there: the original's functions."""
    return path.startswith("backend/") and not path.startswith("backend/uploads/")

"""Which protocol a request speaks: all of them have one address for an upload."""

from __future__ import annotations

from typing import Any, Protocol

from ..concatenation import Concatenation
from ..config import Settings
from ..engine import Engine
from ..errors import Forbidden, IncomingError, UploadNotFound
from ..responses import Answer, Headers, text_answer
from ..rights import Rights
from . import ietf
from .native import NativeDialect
from .request import Request
from .tus import OFFSET_STREAM, TusDialect

__all__ = ["Dialect", "Dialects"]

# Nobody else means it: a field that anybody can set must not make a DELETE of every POST.
MARKS_OF_OVERRIDE = (
    "HTTP_TUS_RESUMABLE",
    "HTTP_UPLOAD_DRAFT_INTEROP_VERSION",
    "HTTP_UPLOAD_COMPLETE",
    "HTTP_UPLOAD_INCOMPLETE",
)
METHODS = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"


class Dialect(Protocol):
    def answer(self, request: Request) -> Answer: ...

    def refuse(self, error: IncomingError) -> Answer: ...


class Dialects:
    def __init__(
        self, engine: Engine, concatenation: Concatenation, settings: Settings, rights: Rights
    ) -> None:
        self._engine = engine
        self._settings = settings
        self._rights = rights
        self._native = NativeDialect(engine, settings, rights)
        self._tus = TusDialect(engine, concatenation, settings, rights)

    def find(self, environ: dict[str, Any]) -> Dialect:
        """By what only the requests of one protocol have."""
        method = self.find_method(environ)
        is_tus = "HTTP_TUS_RESUMABLE" in environ
        if not is_tus and self._settings.ietf_draft and ietf.is_marked(environ):
            version = ietf.find_version(environ)
            return ietf.DraftDialect(self._engine, self._settings, self._rights, version)
        if method == "GET":
            return self._native
        media_type = environ.get("CONTENT_TYPE", "").partition(";")[0].strip().lower()
        is_stream = media_type == OFFSET_STREAM and method == "POST"
        if is_tus or is_stream or method == "PATCH":
            return self._tus
        return self._native

    def find_method(self, environ: dict[str, Any]) -> str:
        """What the client wants: some of tus can send nothing but GET and POST."""
        method: str = environ["REQUEST_METHOD"]
        if method == "POST" and any(mark in environ for mark in MARKS_OF_OVERRIDE):
            wanted: str = environ.get("HTTP_X_HTTP_METHOD_OVERRIDE", method)
            return wanted.upper()
        return method

    def discover(self, environ: dict[str, Any], upload_id: str | None) -> Answer:
        """What is possible here. 200, not 204: preflights are refused with a 204 by some old
        browsers. It is the same for uploads that do not exist: a browser would never send the
        request whose 404 the page needs to see."""
        upload = None
        is_preflight = "HTTP_ACCESS_CONTROL_REQUEST_METHOD" in environ
        if upload_id is not None and not is_preflight:
            try:
                self._rights.check(environ, upload_id, "query")
                upload = self._engine.load(upload_id)
            except (Forbidden, UploadNotFound):
                pass
        limit = self._engine.find_limit(upload)
        headers: Headers = (("Allow", METHODS), *self._tus.discover(limit))
        if self._settings.ietf_draft:
            headers += ietf.discover(limit, None if upload is None else upload.expires_at)
        return text_answer("", headers=headers)

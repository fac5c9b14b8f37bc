"""What the web app's backend may ask over HTTP: the original's functions, and more about an upload.

Parameters come as form values or in the query; answers and errors are plain text, as the original's
apps expect them, except those of `uploads/{id}`: JSON, and problems as everywhere else. Who may ask
is decided here too: a peer on this machine that comes without any sign of a proxy or a browser, or
whoever has the token.
"""

from __future__ import annotations

import hmac
import io
import ipaddress
import re
from collections.abc import Callable
from typing import Any

from webob import Request, Response

from .admission import MAX_LENGTH
from .body import Body, parse_length
from .config import Settings, parse_bool
from .engine import CANCELLED_BY_BACKEND, Engine
from .errors import (
    BadRequest,
    Forbidden,
    MethodNotAllowed,
    NotFound,
    TooLate,
    UploadNotFound,
    WrongState,
)
from .responses import json_response
from .uploads import public_facts

__all__ = ["BackendAPI"]

MAX_FORM_BYTES = 1024 * 1024
DESTINATIONS = ("file",)
# Forms are UTF-8 whatever they say: some HTTP clients name another charset by default.
CHARSET = re.compile(r";\s*charset=[^;]*", re.IGNORECASE)


class BackendAPI:
    def __init__(self, engine: Engine, settings: Settings) -> None:
        self._engine = engine
        self._settings = settings
        self._functions: dict[str, Callable[[_Parameters], str]] = {
            "new_upload": self.new_upload,
            "cancel_upload": self.cancel_upload,
            "finish_upload": self.finish_upload,
        }

    def answer(self, request: Request, body: Body, path: str) -> Response:
        """`path` is what follows `backend/`. Raises NotFound where there is nothing."""
        if not self._settings.backend_api:
            raise NotFound
        self._check_access(request.environ)
        if path in self._functions:
            if request.method != "POST":
                raise MethodNotAllowed(allowed=("POST",))
            text = self._functions[path](_Parameters(request, body))
            # No newline at the end: apps take the body as it is.
            return Response(text, content_type="text/plain", charset="UTF-8")
        kind, _, rest = path.partition("/")
        upload_id, _, action = rest.partition("/")
        if kind != "uploads" or not upload_id or action not in ("", "retry"):
            raise NotFound
        return self._answer_upload(request, upload_id, action)

    def _answer_upload(self, request: Request, upload_id: str, action: str) -> Response:
        if action == "retry":
            if request.method != "POST":
                raise MethodNotAllowed(allowed=("POST",))
            return json_response(public_facts(self._engine.retry_handover(upload_id)))
        if request.method not in ("GET", "HEAD"):
            raise MethodNotAllowed(allowed=("GET", "HEAD"))
        return json_response(public_facts(self._engine.load(upload_id)))

    def new_upload(self, parameters: _Parameters) -> str:
        destination = parameters.get("destType") or "file"
        if destination not in DESTINATIONS:
            raise BadRequest(f"destType is {destination!r}; it must be {' or '.join(DESTINATIONS)}")
        remove = parameters.get("removeFileWhenFinished") or "true"
        try:
            remove_file_when_finished = parse_bool(remove)
        except ValueError as exc:
            raise BadRequest(f"removeFileWhenFinished is {remove!r}: {exc}") from exc
        return self._engine.new_upload(
            signal_finish_url=parameters.get("signalFinishURL"),
            remove_file_when_finished=remove_file_when_finished,
            secret=parameters.get_secret(),
            owner=parameters.get("owner") or None,
            max_length_bytes=parameters.get_length("maxLengthBytes"),
            accept=parameters.get("accept") or None,
            idle_timeout_s=parameters.get_length("idleTimeoutS"),
            length=parameters.get_length("length"),
            filename=parameters.get("filename") or None,
        ).id

    def cancel_upload(self, parameters: _Parameters) -> str:
        upload_id = self._check_upload(parameters)
        try:
            self._engine.cancel(upload_id, reason=CANCELLED_BY_BACKEND, tell_app=False)
        except WrongState as exc:
            raise TooLate(f"too late to cancel: the upload is {exc.state}") from exc
        return "ok"

    def finish_upload(self, parameters: _Parameters) -> str:
        upload_id = self._check_upload(parameters)
        try:
            self._engine.confirm(upload_id)
        except WrongState as exc:
            raise TooLate(f"nothing to finish: the upload is {exc.state}") from exc
        return "ok"

    def _check_upload(self, parameters: _Parameters) -> str:
        """The id comes before the secret: 400, then 403."""
        upload_id = parameters.get("id")
        if not upload_id:
            raise BadRequest("id not given")
        try:
            self._engine.check_secret(upload_id, parameters.get_secret())
        except UploadNotFound as exc:
            raise BadRequest("id unknown") from exc
        return upload_id

    def _check_access(self, environ: dict[str, Any]) -> None:
        token = self._settings.backend_token
        scheme, _, given = environ.get("HTTP_AUTHORIZATION", "").partition(" ")
        if (
            token is not None
            and scheme.lower() == "bearer"
            # WSGI spells header bytes as Latin-1.
            and hmac.compare_digest(given.strip().encode("latin-1"), token.encode())
        ):
            return
        if not _is_loopback(environ.get("REMOTE_ADDR", "")):
            raise Forbidden("only this machine, or a bearer token, may use backend/")
        for name in environ:
            if name in FOREIGN_HEADERS or name.startswith("HTTP_X_FORWARDED_"):
                header = name.removeprefix("HTTP_").replace("_", "-").title()
                raise Forbidden(
                    f"the request came through a proxy or from a browser ({header}); only this "
                    "machine, or a bearer token, may use backend/"
                )


# What a reverse proxy on this machine adds, and what every browser sends with a POST: a page must
# not reach the backend of whoever looks at it.
FOREIGN_HEADERS = frozenset(
    {
        "HTTP_FORWARDED",
        "HTTP_VIA",
        "HTTP_X_REAL_IP",
        "HTTP_X_CLIENT_IP",
        "HTTP_CF_CONNECTING_IP",
        "HTTP_TRUE_CLIENT_IP",
        "HTTP_ORIGIN",
        "HTTP_SEC_FETCH_SITE",
    }
)


def _is_loopback(address: str) -> bool:
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:  # a Unix socket has none; who connects there is a proxy
        return False
    if isinstance(parsed, ipaddress.IPv6Address) and parsed.ipv4_mapped:
        return parsed.ipv4_mapped.is_loopback
    return parsed.is_loopback


class _Parameters:
    """Form values and the query; a form value wins. Raises BadRequest for what cannot be read."""

    def __init__(self, request: Request, body: Body) -> None:
        content = body.read_all(MAX_FORM_BYTES)
        form = {
            **request.environ,
            "wsgi.input": io.BytesIO(content),
            "CONTENT_LENGTH": str(len(content)),
            "CONTENT_TYPE": CHARSET.sub("", request.environ.get("CONTENT_TYPE", "")),
        }
        # Of a parameter that is there twice the first value counts. A file is no value, nor is a
        # form in the form.
        self._values: dict[str, str] = {}
        for name, value in _parse(Request(form)):
            if isinstance(value, str):
                self._values.setdefault(name, value)
            elif (file := getattr(value, "file", None)) is not None:
                file.close()

    def get(self, name: str) -> str:
        return self._values.get(name, "")

    def get_secret(self) -> str:
        """Under the name of either generation."""
        return self.get("backendSecret") or self.get("signalFinishSecret")

    def get_length(self, name: str) -> int | None:
        text = self.get(name)
        if not text:
            return None
        length = parse_length(name, text)
        if length > MAX_LENGTH:
            raise BadRequest(f"{name} is {length}; it must be at most {MAX_LENGTH}")
        return length


def _parse(request: Request) -> list[tuple[str, Any]]:
    """Names and values of the form, then those of the query."""
    try:
        return [*request.POST.items(), *request.GET.items()]
    except Exception as exc:
        # A multipart body may name charsets and boundaries that trip the parser in many ways.
        raise BadRequest(f"the parameters cannot be read: {exc}") from exc

"""What the web app's backend may ask over HTTP: the original's functions, and more about an upload.

Parameters come as form values or in the query; answers and errors are plain text, as the original's
apps expect them, except those of `uploads/{id}`: JSON, and problems as everywhere else. Who may ask
is decided here too: a peer on this machine that comes without any sign of a proxy or a browser, or
whoever has the token. A proxy that shows no sign at all cannot be told from a program; docs/http.md
says what to do about it.
"""

from __future__ import annotations

import hmac
import io
import ipaddress
import re
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qsl

from webob import Request

from .body import MAX_TEXT, Body, parse_length, shown
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
from .issuing import Terms
from .responses import Answer, json_answer, text_answer
from .uploads import MAX_LENGTH, public_facts

__all__ = ["BackendAPI"]

MAX_FORM_BYTES = 1024 * 1024
DESTINATIONS = ("file",)
# Forms are UTF-8 whatever they say: some HTTP clients name another charset by default.
CHARSET = re.compile(r";\s*charset=[^;]*", re.IGNORECASE)
REPLACEMENT = "\ufffd".encode()


class BackendAPI:
    def __init__(self, engine: Engine, settings: Settings) -> None:
        self._engine = engine
        self._settings = settings
        self._functions: dict[str, Callable[[_Parameters], str]] = {
            "new_upload": self.new_upload,
            "cancel_upload": self.cancel_upload,
            "finish_upload": self.finish_upload,
        }

    def answer(self, environ: dict[str, Any], body: Body, path: str) -> Answer:
        """`path` is what follows `backend/`. Raises NotFound where there is nothing."""
        if not self._settings.backend_api:
            raise NotFound
        self._check_access(environ)
        method = environ["REQUEST_METHOD"]
        if path in self._functions:
            if method != "POST":
                raise MethodNotAllowed(allowed=("POST",))
            # No newline at the end: apps take the body as it is.
            return text_answer(self._functions[path](_Parameters(environ, body)))
        kind, _, rest = path.partition("/")
        upload_id, _, action = rest.partition("/")
        if kind != "uploads" or not upload_id or action not in ("", "retry"):
            raise NotFound
        return self._answer_upload(method, upload_id, action)

    def _answer_upload(self, method: str, upload_id: str, action: str) -> Answer:
        if action == "retry":
            if method != "POST":
                raise MethodNotAllowed(allowed=("POST",))
            return json_answer(public_facts(self._engine.retry_handover(upload_id)))
        if method not in ("GET", "HEAD"):
            raise MethodNotAllowed(allowed=("GET", "HEAD"))
        return json_answer(public_facts(self._engine.load(upload_id)))

    def new_upload(self, parameters: _Parameters) -> str:
        destination = parameters.get("destType") or "file"
        if destination not in DESTINATIONS:
            raise BadRequest(
                f"destType is {shown(destination)}; it must be {' or '.join(DESTINATIONS)}"
            )
        terms = Terms(
            signal_finish_url=parameters.get("signalFinishURL"),
            remove_file_when_finished=parameters.get_bool("removeFileWhenFinished", default=True),
            secret=parameters.get_secret(),
            owner=parameters.get("owner") or None,
            max_length_bytes=parameters.get_length("maxLengthBytes"),
            accept=parameters.get("accept") or None,
            idle_timeout_s=parameters.get_length("idleTimeoutS"),
            length=parameters.get_length("length"),
            filename=parameters.get("filename") or None,
            expected_sha256=parameters.get("sha256") or None,
            wants_sha256=parameters.get_bool("wantsSha256", default=False),
        )
        return self._engine.new_upload(terms).id

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
        trace = _find_trace_of_others(environ)
        if trace is not None:
            raise Forbidden(f"{trace}; only this machine, or a bearer token, may use backend/")


# What proxies, load balancers and content networks add to a request, and what every browser sends
# with a POST: a page must not reach the backend of whoever looks at it. Headers that the HTTP
# clients of apps send too are no sign: traceparent, X-Amzn-Trace-Id, X-Request-Id, Sec-Fetch-Mode.
FOREIGN_HEADERS = frozenset(
    {
        "HTTP_FORWARDED",  # RFC 7239
        "HTTP_VIA",  # RFC 9110, 7.6.3; Varnish, Caddy, Squid, Google
        "HTTP_MAX_FORWARDS",
        "HTTP_X_FORWARDED",
        "HTTP_X_REAL_IP",  # recipes for nginx; Traefik
        "HTTP_X_REAL_PORT",
        "HTTP_X_NGINX_PROXY",
        "HTTP_X_CLIENT_IP",
        "HTTP_X_CLUSTER_CLIENT_IP",
        "HTTP_X_REMOTE_IP",
        "HTTP_X_REMOTE_ADDR",
        "HTTP_CLIENT_IP",
        "HTTP_X_VARNISH",
        "HTTP_X_REWRITE_URL",
        "HTTP_X_APPGW_TRACE_ID",  # Azure
        "HTTP_CDN_LOOP",  # RFC 8586; Cloudflare, Fastly, Akamai
        "HTTP_TRUE_CLIENT_IP",  # Cloudflare, Akamai
        "HTTP_ORIGIN",
        "HTTP_REFERER",
        "HTTP_SEC_FETCH_SITE",
    }
)
FOREIGN_PREFIXES = (
    "HTTP_X_FORWARDED_",  # Apache, HAProxy, Caddy, Traefik, Envoy, AWS, Google and most others
    "HTTP_X_ORIGINAL_",  # ingress-nginx, Azure
    "HTTP_X_ENVOY_",
    "HTTP_X_AZURE_",
    "HTTP_X_ARR_",  # IIS
    "HTTP_X_AKAMAI_",
    "HTTP_CF_",  # Cloudflare
    "HTTP_FASTLY_",
    "HTTP_FLY_",
)
HOST = re.compile(r"(\[[^\]]*\]|[^:]*)(?::\d*)?", re.ASCII)


def _find_trace_of_others(environ: dict[str, Any]) -> str | None:
    """What shows that a request does not come straight from a program on this machine, None if
    nothing does.

    A proxy on this machine is a peer on this machine, and a bare one adds no header. But nginx
    before 1.29.7 speaks HTTP/1.0 to what is behind it, and passes its name for that as the Host;
    others pass the Host that the client has asked for.
    """
    if not _is_loopback(environ.get("REMOTE_ADDR", "")):
        return "the request comes from elsewhere"
    for name in environ:
        if name in FOREIGN_HEADERS or name.startswith(FOREIGN_PREFIXES):
            header = name.removeprefix("HTTP_").replace("_", "-").title()
            return f"the request came through a proxy or from a browser ({header})"
    if environ.get("SERVER_PROTOCOL") in ("HTTP/1.0", "HTTP/0.9"):
        return (
            "the request is in HTTP/1.0, which proxies speak to what is behind them: speak HTTP/1.1"
        )
    host = environ.get("HTTP_HOST", "")
    if not _is_own_host(host):
        return (
            f"the request asks for the host {host!r}, as one that came through a proxy does: "
            "ask for localhost or 127.0.0.1"
        )
    return None


def _is_own_host(host: str) -> bool:
    """Whether `host`, a Host field, always means this machine, or is missing.

    No name that somebody has to point here does: it may be that of a site which a proxy passes on,
    or a proxy's own for its upstream; and a page of such a name would be of the same origin as
    backend/ (DNS rebinding).
    """
    match = HOST.fullmatch(host)
    if match is None:
        return False
    name = match[1].lower().removesuffix(".")
    return (
        name in ("", "localhost")
        or name.endswith(".localhost")  # RFC 6761, 6.3
        or _is_loopback(name.removeprefix("[").removesuffix("]"))
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

    def __init__(self, environ: dict[str, Any], body: Body) -> None:
        content = body.read_all(MAX_FORM_BYTES)
        kind = environ.get("CONTENT_TYPE", "").partition(";")[0]
        form: list[tuple[str, str]] = []
        if kind == "multipart/form-data":
            form = _parse_multipart(environ, content)
        elif kind in ("", "application/x-www-form-urlencoded"):
            form = _parse_urlencoded(content)
        query = environ.get("QUERY_STRING", "").encode("latin-1")
        # Of a parameter that is there twice the first value counts.
        self._values: dict[str, str] = {}
        for name, value in (*form, *_parse_urlencoded(query)):
            self._values.setdefault(name, value)

    def get(self, name: str) -> str:
        """Empty if it is not there. Raises BadRequest if it is too long."""
        value = self._values.get(name, "")
        if len(value) > MAX_TEXT:
            raise BadRequest(
                f"{name} has {len(value)} characters, at most {MAX_TEXT} are possible: "
                f"{shown(value)}"
            )
        return value

    def get_secret(self) -> str:
        """Under the name of either generation."""
        return self.get("backendSecret") or self.get("signalFinishSecret")

    def get_bool(self, name: str, *, default: bool) -> bool:
        value = self.get(name)
        try:
            return parse_bool(value) if value else default
        except ValueError as exc:
            raise BadRequest(f"{name} is {shown(value)}: {exc}") from exc

    def get_length(self, name: str) -> int | None:
        text = self.get(name)
        if not text:
            return None
        length = parse_length(name, text)
        if length > MAX_LENGTH:
            raise BadRequest(f"{name} is {length}; it must be at most {MAX_LENGTH}")
        return length


def _parse_urlencoded(text: bytes) -> list[tuple[str, str]]:
    try:
        return parse_qsl(text.decode(), keep_blank_values=True, errors="strict")
    except UnicodeDecodeError as exc:
        raise BadRequest(f"the parameters must be UTF-8: {exc}") from exc


def _parse_multipart(environ: dict[str, Any], content: bytes) -> list[tuple[str, str]]:
    """A file is no value, nor is a form in the form."""
    form_alone = {
        **environ,
        "wsgi.input": io.BytesIO(content),
        "CONTENT_LENGTH": str(len(content)),
        "CONTENT_TYPE": CHARSET.sub("", environ["CONTENT_TYPE"]),
        "webob.is_body_seekable": True,  # else it is copied to a file that nobody closes
    }
    parts: list[tuple[str | None, Any]]  # a part may have no name, whatever the stubs say
    try:
        parts = list(Request(form_alone).POST.items())
    except Exception as exc:
        # It may name charsets and boundaries that trip the parser in many ways.
        raise BadRequest(f"the parameters cannot be read: {exc}") from exc
    values = []
    for name, value in parts:
        if name is not None and isinstance(value, str):
            values.append((name, value))
        elif (file := getattr(value, "file", None)) is not None:
            file.close()
    # The parser puts U+FFFD in place of bytes that are not UTF-8.
    if any("\ufffd" in text for pair in values for text in pair) and REPLACEMENT not in content:
        raise BadRequest("the parameters must be UTF-8")
    return values

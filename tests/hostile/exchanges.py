"""One request of the corpus and its answer: over a socket, byte for byte, or by calling the app."""

from __future__ import annotations

import io
import socket
import sys
import warnings
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from http.client import parse_headers
from typing import TYPE_CHECKING, Any, BinaryIO
from urllib.parse import unquote_to_bytes

from cases import Case
from webtest import lint

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

__all__ = ["Answer", "call", "send"]

LONGEST_S = 10.0  # a server that needs longer hangs
OWN_NAMES = ("CONTENT_TYPE", "CONTENT_LENGTH")


@dataclass(frozen=True)
class Answer:
    """`status` None: the connection was closed without one. `rest`: bytes after the answer."""

    status: int | None
    headers: Mapping[str, str]
    body: bytes
    rest: bytes = b""


CLOSED = Answer(None, {}, b"")


def send(port: int, case: Case, values: Mapping[str, str]) -> Answer:
    """Raises TimeoutError if the server hangs."""
    with socket.create_connection(("127.0.0.1", port), timeout=LONGEST_S) as line:
        try:
            line.sendall(case.request(values))
            if case.stops:
                line.shutdown(socket.SHUT_WR)
        except TimeoutError:
            raise
        except OSError:
            pass  # a server may refuse by closing before it has read everything
        with line.makefile("rb") as file:
            try:
                return _read_answer(file, case)
            except ConnectionResetError:
                return CLOSED


def _read_answer(file: BinaryIO, case: Case) -> Answer:
    status = 100
    while status < 200:  # 100 Continue
        version, _, line = file.readline().partition(b" ")
        if not version.startswith(b"HTTP/1."):
            return CLOSED
        status = int(line[:3])
        fields = parse_headers(file)
    headers = {name.lower(): value for name, value in fields.items()}
    assert "transfer-encoding" not in headers
    length = 0 if case.method({}) == b"HEAD" else int(headers.get("content-length", -1))
    body = file.read(length)
    rest = b""
    if case.stops or length < 0 or headers.get("connection", "").lower() == "close":
        with suppress(ConnectionResetError):
            rest = file.read()
    return Answer(status, headers, body, rest)


def call(app: WSGIApplication, case: Case, values: Mapping[str, str]) -> Answer:
    """As a server calls it that passes on what it gets: with `webtest.lint`, unless that says that
    no server could send such a request."""
    environ = _environ(case, values)
    if _is_possible(environ):
        app = lint.middleware(app)
    started: list[tuple[str, list[tuple[str, str]]]] = []

    def start_response(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Any:
        started.append((status, headers))
        return lambda _: None

    parts = app(environ, start_response)
    try:
        body = b"".join(parts)
    finally:
        if hasattr(parts, "close"):
            parts.close()
    (status, headers) = started[-1]
    return Answer(int(status[:3]), {name.lower(): value for name, value in headers}, body)


def _environ(case: Case, values: Mapping[str, str]) -> dict[str, Any]:
    path, _, query = case.path(values).partition(b"?")
    environ: dict[str, Any] = {
        "REQUEST_METHOD": case.method(values).decode("latin-1"),
        "SCRIPT_NAME": "",
        "PATH_INFO": unquote_to_bytes(path).decode("latin-1"),
        "QUERY_STRING": query.decode("latin-1"),
        "SERVER_NAME": "127.0.0.1",
        "SERVER_PORT": "80",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "REMOTE_ADDR": "127.0.0.1",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(case.body(values)),
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
    }
    for name, value in case.headers(values):
        key = name.decode("latin-1").upper().replace("-", "_")
        key = key if key in OWN_NAMES else f"HTTP_{key}"
        text = value.decode("latin-1")
        environ[key] = f"{environ[key]},{text}" if key in environ else text
    return environ


def _is_possible(environ: dict[str, Any]) -> bool:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            lint.check_environ(environ)
        except (AssertionError, ValueError, lint.WSGIWarning):
            return False
    return True

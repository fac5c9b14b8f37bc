"""Two ways to a house: the app called through webtest, with lint, and gunicorn over a socket."""

from __future__ import annotations

import io
import socket
import sys
import urllib.parse
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO
from wsgiref.validate import validator

from webtest import TestApp, TestRequest
from wire_houses import make_incoming

from incoming_wsgi import Incoming

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

__all__ = ["Answer", "Called", "Over", "Request"]

LONGEST_S = 60.0  # a server that needs longer hangs


@dataclass(frozen=True)
class Request:
    """`body` is what is sent of it. With `announced` that many bytes are promised; `chunked` are
    the chunks of one without a length. `ends` if the client is gone after that, `hangs` if it sends
    no more but stays."""

    method: str
    path: str
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""
    announced: int | None = None
    chunked: tuple[bytes, ...] | None = None
    ends: bool = False
    hangs: bool = False

    @property
    def all_headers(self) -> list[tuple[str, str]]:
        """With what frames the body."""
        if self.chunked is not None:
            return [*self.headers, ("Transfer-Encoding", "chunked")]
        if self.announced is None:
            return list(self.headers)
        return [*self.headers, ("Content-Length", str(self.announced))]


@dataclass(frozen=True)
class Answer:
    status: int
    phrase: str
    headers: tuple[tuple[str, str], ...]
    body: bytes


class Called:
    """The app, called as a server does that ends bodies itself."""

    name = "webtest"

    def __init__(self) -> None:
        self._open: dict[str, tuple[Incoming, TestApp]] = {}

    def send(self, folder: Path, mount: str, request: Request) -> Answer:
        if mount not in self._open:
            incoming = make_incoming(folder)
            self._open[mount] = incoming, TestApp(_until_cut_off(validator(incoming)))
        environ = _environ(mount, request)
        answer = self._open[mount][1].do_request(TestRequest(environ), expect_errors=True)
        assert answer.errors == "", answer.errors
        status, _, phrase = answer.status.partition(" ")
        headers = tuple((str(name), str(value)) for name, value in answer.headerlist)
        return Answer(int(status), phrase, headers, answer.body)

    def close(self) -> None:
        for incoming, _ in self._open.values():
            incoming.close()


def _until_cut_off(app: WSGIApplication) -> WSGIApplication:
    """As a server does it, whose connection then ends."""

    def cut_off(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        parts = app(environ, start_response)
        try:
            with suppress(ConnectionResetError):
                yield from parts
        finally:
            parts.close()  # type: ignore[attr-defined]

    return cut_off


def _environ(mount: str, request: Request) -> dict[str, Any]:
    path, _, query = request.path.removeprefix(mount).partition("?")
    body = request.body if request.chunked is None else b"".join(request.chunked)
    environ: dict[str, Any] = {
        "REQUEST_METHOD": request.method,
        "SCRIPT_NAME": mount,
        "PATH_INFO": urllib.parse.unquote_to_bytes(path).decode("latin-1"),
        "QUERY_STRING": query,
        "SERVER_NAME": "127.0.0.1",
        "SERVER_PORT": "80",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "REMOTE_ADDR": "127.0.0.1",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(body),
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
        "wsgi.input_terminated": True,
    }
    for name, value in request.all_headers:
        key = name.upper().replace("-", "_")
        if key == "WSGI_INPUT_TERMINATED":  # of no client: what this server is like
            del environ["wsgi.input_terminated"]
            continue
        key = key if key in ("CONTENT_TYPE", "CONTENT_LENGTH") else f"HTTP_{key}"
        # Latin-1, as WSGI spells bytes.
        text = value.encode().decode("latin-1")
        environ[key] = f"{environ[key]},{text}" if key in environ else text
    return environ


class Over:
    """One gunicorn, a new connection for each request, byte for byte."""

    name = "gunicorn"

    def __init__(self, port: int) -> None:
        self._port = port
        self._hanging: list[socket.socket] = []

    def send(self, folder: Path, mount: str, request: Request) -> Answer | None:
        """None for a request that hangs: its answer is for nobody."""
        line = socket.create_connection(("127.0.0.1", self._port), timeout=LONGEST_S)
        line.sendall(_bytes_of(request))
        if request.hangs:
            self._hanging.append(line)
            return None
        with line, line.makefile("rb") as file:
            if request.ends:
                line.shutdown(socket.SHUT_WR)
            return _read_answer(file, request.method)

    def let_go(self) -> None:
        """Of the connections that hang."""
        while self._hanging:
            self._hanging.pop().close()

    def close(self) -> None:
        self.let_go()


def _bytes_of(request: Request) -> bytes:
    lines = [f"{request.method} {request.path} HTTP/1.1", "Host: localhost", "Connection: close"]
    lines += [f"{name}: {value}" for name, value in request.all_headers]
    head = "\r\n".join([*lines, "", ""]).encode()
    if request.chunked is None:
        return head + request.body
    return head + b"".join(b"%x\r\n%s\r\n" % (len(c), c) for c in (*request.chunked, b""))


def _read_answer(file: BinaryIO, method: str) -> Answer:
    version, _, line = file.readline().decode("latin-1").strip().partition(" ")
    assert version == "HTTP/1.1", f"no answer but {version!r}"
    status, _, phrase = line.partition(" ")
    headers = []
    while header := file.readline().decode("latin-1").rstrip("\r\n"):
        name, _, value = header.partition(": ")
        headers.append((name, value))
    # `Connection: close` was asked for: all that comes is of this answer.
    body = file.read()
    lengths = [int(value) for name, value in headers if name.lower() == "content-length"]
    if method == "HEAD" or int(status) in (204, 304):
        assert body == b""
    else:
        assert [len(body)] == lengths
    own = ("server", "date", "connection")  # gunicorn's
    return Answer(int(status), phrase, tuple(h for h in headers if h[0].lower() not in own), body)

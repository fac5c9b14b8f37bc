"""How each kind of server is told what it is sent.

A dialect may make its uploads before the clock starts (`prepare`), and says which files must be
there in the end.
"""

from __future__ import annotations

import http.client
import itertools
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from plan import HOST, KEEP_BODY, KEEP_LOCATION, KEPT, Piece, Request
from source import Source

__all__ = [
    "CreateAndSend",
    "Dialect",
    "Form",
    "Incoming",
    "IncomingInThree",
    "IncomingWhole",
    "Put",
    "Run",
    "Tus",
    "TusWithUpload",
]

PATIENCE_S = 60
TUS = "Tus-Resumable: 1.0.0\r\n"
PATCH = TUS + "Content-Type: application/offset+octet-stream\r\n"
SERIAL = itertools.count()


@dataclass(frozen=True)
class Run:
    port: int
    pieces: Sequence[Piece]
    source: Source


class Dialect(ABC):
    @abstractmethod
    def prepare(self, run: Run) -> list[Request]:
        """Before the clock: what is to be sent."""

    def finish(self, run: Run) -> None:  # noqa: B027 - most have nothing to complete
        """After the clock: complete what is to be compared."""

    def drop(self, run: Run) -> None:  # noqa: B027 - the same
        """After the clock: what is not to be compared need not be completed."""

    def parts(self, pieces: Iterable[Piece]) -> Iterator[tuple[int, int]]:
        """(offset in the source, length) of each file that will be stored."""
        for piece in pieces:
            yield piece.offset, piece.length

    def is_file(self, path: Path) -> bool:
        """Whether that is what was sent and not a note of the server's."""
        return path.is_file()


@dataclass(frozen=True)
class Put(Dialect):
    """A PUT of each chunk, with its place in the file, or with `apart` to a file of its own; with
    `whole` of the file in one request."""

    apart: bool = False
    whole: bool = False

    def prepare(self, run: Run) -> list[Request]:
        requests = []
        for piece in run.pieces:
            name = f"/files/{next(SERIAL)}"
            for position, length in self._chunks(piece):
                if self.apart:
                    name = f"/files/{next(SERIAL)}"
                fields = "" if self.apart else _content_range(position, length, piece.length)
                offset = piece.offset + position
                requests.append(Request(piece.connection, f"PUT {name}", fields, offset, length))
        return requests

    def _chunks(self, piece: Piece) -> Iterable[tuple[int, int]]:
        return [(0, piece.length)] if self.whole else piece.chunks()

    def parts(self, pieces: Iterable[Piece]) -> Iterator[tuple[int, int]]:
        for piece in pieces:
            if self.apart:
                for position, length in self._chunks(piece):
                    yield piece.offset + position, length
            else:
                yield piece.offset, piece.length


@dataclass(frozen=True)
class Form(Dialect):
    """A form with the whole file in it."""

    def prepare(self, run: Run) -> list[Request]:
        before = (
            b'--boundary\r\nContent-Disposition: form-data; name="file"; filename="file"\r\n'
            b"Content-Type: application/octet-stream\r\n\r\n"
        )
        after = b"\r\n--boundary--\r\n"
        fields = "Content-Type: multipart/form-data; boundary=boundary\r\n"
        return [
            Request(
                piece.connection, "POST /form", fields, piece.offset, piece.length, before, after
            )
            for piece in run.pieces
        ]


@dataclass(frozen=True)
class Tus(Dialect):
    """tus 1.0.0, created before the clock starts."""

    def prepare(self, run: Run) -> list[Request]:
        requests = []
        for piece in run.pieces:
            path = _ask(run.port, "/files/", {"Upload-Length": str(piece.length)}).location
            for position, length in piece.chunks():
                fields = f"{PATCH}Upload-Offset: {position}\r\n"
                offset = piece.offset + position
                requests.append(Request(piece.connection, f"PATCH {path}", fields, offset, length))
        return requests

    def is_file(self, path: Path) -> bool:
        return path.is_file() and path.suffix not in (".json", ".info", ".lock")


@dataclass(frozen=True)
class CreateAndSend(Tus):
    """tus: creation and PATCH, both on the clock."""

    def prepare(self, run: Run) -> list[Request]:
        requests = []
        for piece in run.pieces:
            fields = f"{TUS}Upload-Length: {piece.length}\r\n"
            create = Request(piece.connection, "POST /files/", fields, keep=KEEP_LOCATION)
            fields = f"{PATCH}Upload-Offset: 0\r\n"
            send = Request(piece.connection, f"PATCH {KEPT}", fields, piece.offset, piece.length)
            requests += [create, send]
        return requests


@dataclass(frozen=True)
class TusWithUpload(Tus):
    """tus: creation-with-upload."""

    def prepare(self, run: Run) -> list[Request]:
        return [
            Request(
                piece.connection,
                "POST /files/",
                f"{PATCH}Upload-Length: {piece.length}\r\n",
                piece.offset,
                piece.length,
            )
            for piece in run.pieces
        ]


class Incoming(Dialect):
    """Our native dialect; the tickets are made before the clock starts.

    Unless `complete`, each file has one byte more, which is sent after the clock: the bytes go into
    the page cache then, as they do with everybody else. With the last byte the file is written to
    the disk before it is acknowledged.
    """

    def __init__(self, *, complete: bool = False, digests: bool = False) -> None:
        self.complete = complete
        self.digests = digests
        self._last: list[Request] = []

    def prepare(self, run: Run) -> list[Request]:
        requests, self._last = [], []
        for piece in run.pieces:
            whole = piece.length + (not self.complete)
            path = _upload_path(_ask(run.port, f"/ticket?length={whole}", {}).body)
            for position, length in piece.chunks():
                requests.append(self._put(piece, path, position, length, whole, run.source))
            if not self.complete:
                self._last.append(self._put(piece, path, piece.length, 1, whole, run.source))
        return requests

    def _put(
        self, piece: Piece, path: str, position: int, length: int, whole: int, source: Source
    ) -> Request:
        fields = _content_range(position, length, whole)
        offset = piece.offset + position
        if self.digests:
            fields += f"Content-Digest: {source.content_digest(offset, length)}\r\n"
        return Request(piece.connection, f"PUT {path}", fields, offset, length)

    def finish(self, run: Run) -> None:
        for request in self._last:
            fields = dict(line.split(": ") for line in request.fields.splitlines())
            body = run.source.part(request.offset, request.body_bytes)
            _ask(run.port, request.path, fields, method="PUT", body=body)

    def drop(self, run: Run) -> None:
        for request in self._last:
            _ask(run.port, request.path, {}, method="DELETE")

    def parts(self, pieces: Iterable[Piece]) -> Iterator[tuple[int, int]]:
        for piece in pieces:
            yield piece.offset, piece.length + (not self.complete)


class IncomingWhole(Dialect):
    """One request, to a view of the app that makes the ticket and passes the body on."""

    def prepare(self, run: Run) -> list[Request]:
        return [
            Request(piece.connection, "PUT /whole/file", "", piece.offset, piece.length)
            for piece in run.pieces
        ]


class IncomingInThree(Dialect):
    """As a page does it: a ticket from the app, a declaration, and the file in one chunk."""

    def prepare(self, run: Run) -> list[Request]:
        requests = []
        for piece in run.pieces:
            ticket = f"POST /ticket?length={piece.length}"
            declaration = b'{"filename": "file", "length": %d}' % piece.length
            path = _upload_path(KEPT)
            requests += [
                Request(piece.connection, ticket, keep=KEEP_BODY),
                Request(
                    piece.connection,
                    f"POST {path}",
                    "Content-Type: application/json\r\n",
                    before=declaration,
                ),
                Request(
                    piece.connection,
                    f"PUT {path}",
                    _content_range(0, piece.length, piece.length),
                    piece.offset,
                    piece.length,
                ),
            ]
        return requests


def _content_range(position: int, length: int, whole: int) -> str:
    return f"Content-Range: bytes {position}-{position + length - 1}/{whole}\r\n"


def _upload_path(ticket: str) -> str:
    return f"/incoming/0.1/frontend/uploads/{ticket}"


@dataclass(frozen=True)
class _Answer:
    body: str
    location: str


def _ask(
    port: int, path: str, fields: Mapping[str, str], *, method: str = "POST", body: bytes = b""
) -> _Answer:
    """Raises RuntimeError for a refusal, OSError if there is no answer."""
    connection = http.client.HTTPConnection(HOST, port, timeout=PATIENCE_S)
    try:
        if method != "PUT":  # which is of the native protocol
            fields = {"Tus-Resumable": "1.0.0", **fields}
        connection.request(method, path, body, dict(fields))
        response = connection.getresponse()
        answer = response.read().decode()
    finally:
        connection.close()
    if response.status >= 300:
        raise RuntimeError(f"{response.status} {response.reason}: {answer}")
    return _Answer(answer, urlsplit(response.getheader("Location", "")).path)

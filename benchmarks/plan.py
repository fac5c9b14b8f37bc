"""What load.c replays: files on their way, in requests written before the clock starts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

__all__ = ["HOST", "KEEP_BODY", "KEEP_LOCATION", "KEPT", "Piece", "Request", "deal_out", "to_plan"]

HOST = "127.0.0.1"
KEEP_NOTHING, KEEP_LOCATION, KEEP_BODY = range(3)
KEPT = "\x01"  # load.c puts here what it kept of the answer before


@dataclass(frozen=True)
class Piece:
    """One file."""

    connection: int
    offset: int
    length: int
    chunk_bytes: int

    def chunks(self) -> Iterator[tuple[int, int]]:
        """(position in the file, length)"""
        for position in range(0, self.length, self.chunk_bytes):
            yield position, min(self.chunk_bytes, self.length - position)


@dataclass(frozen=True)
class Request:
    connection: int
    line: str
    fields: str = ""
    offset: int = 0
    body_bytes: int = 0
    before: bytes = b""
    after: bytes = b""
    """What stands in the body around the part of the source."""
    keep: int = KEEP_NOTHING

    @property
    def path(self) -> str:
        return self.line.partition(" ")[2]

    def to_plan(self) -> bytes:
        length = len(self.before) + self.body_bytes + len(self.after)
        head = (
            f"{self.line} HTTP/1.1\r\nHost: {HOST}\r\n{self.fields}Content-Length: {length}\r\n\r\n"
        ).encode("latin-1") + self.before
        line = (
            self.connection,
            len(head),
            self.offset,
            self.body_bytes,
            len(self.after),
            self.keep,
        )
        return " ".join(map(str, line)).encode() + b"\n" + head + self.after


def deal_out(count: int, length: int, *, connections: int, chunk_bytes: int) -> list[Piece]:
    """So many files of that length, one behind the other in the source."""
    return [
        Piece(number % connections, number * length, length, chunk_bytes) for number in range(count)
    ]


def to_plan(connections: int, requests: Iterable[Request]) -> bytes:
    parts = (request.to_plan() for request in requests)
    return b"connections %d\n" % connections + b"".join(parts)

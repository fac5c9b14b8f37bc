"""The contract of a reader, and the one that every server can have."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from typing import Any

from ..storage.base import Block, Piped
from .pipes import Pipe

__all__ = [
    "CHUNKED_PIECE_BYTES",
    "LONG_S",
    "FillingReader",
    "PieceReader",
    "PipingReader",
    "PlainReader",
    "Reader",
    "is_soon_after",
]

PIECE_BYTES = 64 * 1024
CHUNKED_PIECE_BYTES = 4 * 1024
LONG_S = 0.25  # for one block: then what has come of it is looked after, however little it is


def is_soon_after(began: float) -> bool:
    """Whether a block that was begun then may go on."""
    return time.monotonic() - began < LONG_S


class Reader(ABC):
    """Reads one body, of which nobody else has read anything. Nothing to close."""

    @abstractmethod
    def read(self, buffer: memoryview) -> Block:
        """The next bytes, as many as `buffer` has if the body goes on and they do not take long;
        empty at its end.

        They may be in `buffer` or elsewhere. Never asks for more than that: behind the body may be
        another request. Raises whatever the server has for a client that is gone, after everything
        that had arrived has been returned, if the server gives it out.
        """


class PlainReader(Reader):
    """`wsgi.input.read`, as PEP 3333 has it: always right."""

    def __init__(self, source: Any) -> None:
        self._source = source

    def read(self, buffer: memoryview) -> Block:
        block: bytes = self._source.read(len(buffer))
        return block


class FillingReader(Reader):
    """Fills the buffer, piece by piece as they arrive, so that a failure costs none of them."""

    def __init__(self) -> None:
        self._failure: BaseException | None = None

    @abstractmethod
    def fill(self, buffer: memoryview) -> int:
        """Put what comes next into `buffer`, at least a byte of it; how many. 0 at the end."""

    def read(self, buffer: memoryview) -> Block:
        if self._failure is not None:
            raise self._failure
        filled = 0
        began = time.monotonic()
        while filled < len(buffer) and (not filled or is_soon_after(began)):
            try:
                size = self.fill(buffer[filled:])
            except BaseException as exc:
                # Also the end of the worker: what it has in its hands is kept first.
                if not filled:
                    raise
                self._failure = exc
                break
            if not size:
                break
            filled += size
        return buffer[:filled]


class PieceReader(FillingReader):
    """`wsgi.input.read` for servers that lose the bytes of the read that is running when the client
    goes away: in small pieces, which are put together, for small blocks are dear to store."""

    def __init__(self, source: Any, piece_bytes: int = PIECE_BYTES) -> None:
        super().__init__()
        self._source = source
        self._piece_bytes = piece_bytes

    def fill(self, buffer: memoryview) -> int:
        piece: bytes = self._source.read(min(len(buffer), self._piece_bytes))
        buffer[: len(piece)] = piece
        return len(piece)


class PipingReader(FillingReader):
    @abstractmethod
    def read_into_pipe(self, pipe: Pipe, size: int) -> Block | Piped | None:
        """As `read`, but into an empty pipe, at most `size` bytes; fewer also if it is full. What
        the server has in memory already comes in memory, which is nobody else's. None if there is
        no such way: then `read`."""

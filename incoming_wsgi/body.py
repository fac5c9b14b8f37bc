"""The body of one request, read with exactly the bounds that it announced; how, say readers/.

WebOb's own reader raises on a short read and loses what had arrived, and junk in Content-Length
reads as "no length" there; so lengths are parsed and bodies read here. What ends a body early, be
it a clean end, an exception of the server, a time-out or a line that is too slow, is one thing:
IncompleteBody.
"""

from __future__ import annotations

import reprlib
import time
from collections.abc import Iterator
from itertools import cycle
from typing import Any

from .errors import BadRequest, IncompleteBody, LengthRequired, TooLarge
from .in_flight import RequestInFlight
from .readers.base import LONG_S, PipingReader
from .readers.buffers import BUFFER_BYTES, Buffers
from .readers.choice import find_reader
from .readers.pipes import Pipe, Pipes
from .storage.base import Block, Piped, in_memory

__all__ = ["MAX_TEXT", "Body", "parse_length", "shown"]

KIB = 1024
# Big blocks are cheap, small ones lose little: the size follows the line, so that a block takes
# some tenths of a second at most.
FIRST_BLOCK_BYTES = 64 * KIB
MIN_BLOCK_BYTES = 4 * KIB
MAX_BLOCK_BYTES = BUFFER_BYTES
FAST_S = 0.05
MAX_DIGITS = 19  # of 2**63 - 1; int() takes its time for thousands
MAX_TEXT = 4096  # characters of a file name, a relative path, a type, a reason, a parameter

_buffers = Buffers()
_pipes = Pipes()

_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxother = _SHORT.maxlong = 100


class Body:
    """To be closed when its blocks are not needed any more. Raises BadRequest at construction for a
    Content-Length that is not a plain number."""

    def __init__(
        self, environ: dict[str, Any], in_flight: RequestInFlight, *, fast_reading: bool = True
    ) -> None:
        announced = environ.get("CONTENT_LENGTH") or None
        self.length: int | None = (
            None if announced is None else parse_length("Content-Length", announced)
        )
        self._coding: str | None = environ.get("HTTP_TRANSFER_ENCODING")
        self._reader = find_reader(environ, self.length, fast=fast_reading)
        self._in_flight = in_flight
        # Without a length only a server that ends the body itself can be read safely: others would
        # hand over the raw chunked framing, or wait for ever.
        self._terminated = bool(environ.get("wsgi.input_terminated"))
        self._chunked = self._coding is not None and self.length is None
        self._borrowed: list[bytearray] = []
        self._pipe: Pipe | None = None
        self._may_have_pipe = True
        self._arrived = 0
        self._ended = False
        self._broke_off = False

    def check_framing(self) -> None:
        """Raises BadRequest for a request that has a length and a transfer coding, or another
        coding than chunked.

        RFC 9112 6.1 forbids clients to send both. One server takes the one, another the other, and
        what frames the chunks would be stored as a part of the file. No server undoes gzip.
        """
        if self._coding is None:
            return
        if self.length is not None:
            raise BadRequest(
                f"Content-Length is {self.length} and Transfer-Encoding is {shown(self._coding)}; "
                "send the Content-Length alone"
            )
        if self._coding.lower() != "chunked":
            raise BadRequest(f"Transfer-Encoding is {shown(self._coding)}; it may be chunked")

    @property
    def size(self) -> int | None:
        """How many bytes will come; None for a body in chunks, which say where it ends. What has
        neither a length nor a coding has no body. Raises LengthRequired for chunks on a server that
        leaves them to the application."""
        if self.length is not None or not self._chunked:
            return self.length or 0
        if not self._terminated:
            raise LengthRequired
        return None

    def blocks(self, *, keep: int = 1, piped: bool = False) -> Iterator[Block | Piped]:
        """All of the body, a block at a time; each stays as it is until `keep` more are asked for.
        With `piped` they may be such, to be taken out before the next is asked for.

        Raises LengthRequired before the first if nobody can say where it ends, IncompleteBody after
        the last if it ended before that.
        """
        length = self.size
        size = FIRST_BLOCK_BYTES
        for number in cycle(range(keep)):
            if self._arrived == length:
                return
            began = time.monotonic()
            wanted = size if length is None else min(size, length - self._arrived)
            block = self._read(wanted, number, piped=piped)
            if not block:
                if length is None and not self._broke_off and not self._in_flight.is_ended:
                    return
                raise IncompleteBody(announced=length, arrived=self._arrived)
            yield block
            del block  # where each is new memory, the next one can have this
            took_s = time.monotonic() - began
            if took_s < FAST_S:
                size = min(size * 4, MAX_BLOCK_BYTES)
            elif took_s > LONG_S:
                size = max(size // 4, MIN_BLOCK_BYTES)

    def read_all(self, max_bytes: int) -> bytes:
        """A small body as a whole. Raises TooLarge, LengthRequired, IncompleteBody."""
        size = self.size
        if size is None:
            body = self._read_terminated(max_bytes + 1)
            if self._broke_off:
                raise BadRequest(f"The body broke off, or its chunks cannot be read: {shown(body)}")
        else:
            if size > max_bytes:
                raise TooLarge(f"This body may have {max_bytes} bytes; it has {size}.")
            body = b"".join(bytes(in_memory(block)) for block in self.blocks())
        if len(body) > max_bytes:
            raise TooLarge(f"This body may have {max_bytes} bytes; it has more.")
        return body

    def drain(self, max_bytes: int) -> None:
        """Read and forget what is left, at most `max_bytes`. An answer that is given while the
        client still sends becomes a 502 or a reset connection behind most proxies."""
        self._in_flight.hurry()
        if self.length is None and not (self._chunked and self._terminated):
            return
        left = max_bytes
        if self.length is not None:
            left = min(self.length - self._arrived, max_bytes)
        while left > 0 and (block := self._read(min(left, MAX_BLOCK_BYTES))):
            left -= len(block)

    def close(self) -> None:
        """The blocks are not needed any more."""
        while self._borrowed:
            _buffers.give_back(self._borrowed.pop())
        if self._pipe is not None:
            _pipes.give_back(self._pipe)
            self._pipe = None

    def _read_terminated(self, max_bytes: int) -> bytes:
        parts = []
        left = max_bytes
        while left > 0 and (block := self._read(min(left, MAX_BLOCK_BYTES))):
            parts.append(bytes(in_memory(block)))
            left -= len(block)
        return b"".join(parts)

    def _read(self, size: int, number: int = 0, *, piped: bool = False) -> Block | Piped:
        """Into the buffer of that number, or a pipe; empty at the end, however that came."""
        # For one that was ended before its first read something may have come all the same.
        if self._ended or (self._in_flight.is_ended and self._arrived):
            return b""
        block: Block | Piped | None = None
        self._in_flight.expect(size)
        try:
            if piped and isinstance(self._reader, PipingReader):
                block = self._read_into_pipe(self._reader, size)
            if block is None:
                block = self._reader.read(self._buffer(number)[:size])
        except Exception:  # noqa: BLE001 - every server has its own for a client that is gone
            block = b""
            self._broke_off = True
        self._in_flight.arrived(len(block))
        self._arrived += len(block)
        self._ended = not block
        return block

    def _read_into_pipe(self, reader: PipingReader, size: int) -> Block | Piped | None:
        if self._pipe is None and self._may_have_pipe:
            self._pipe = _pipes.take()
            self._may_have_pipe = self._pipe is not None  # it is not asked for with each block
        return None if self._pipe is None else reader.read_into_pipe(self._pipe, size)

    def _buffer(self, number: int) -> memoryview:
        while len(self._borrowed) <= number:
            self._borrowed.append(_buffers.take())
        return memoryview(self._borrowed[number])


def parse_length(name: str, text: str) -> int:
    """A number of bytes, in plain ASCII digits. Raises BadRequest with `name` for anything else."""
    if not (text.isascii() and text.isdigit() and len(text) <= MAX_DIGITS):
        raise BadRequest(f"{name} is {shown(text)}; it must be a number of bytes")
    return int(text)


def shown(value: object) -> str:
    """`value` as a message repeats it: a hundred characters are enough to know it by."""
    return _SHORT.repr(value)

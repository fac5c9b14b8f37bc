"""Bodies in objects of the standard library, which say by their type what they can do."""

from __future__ import annotations

import io
from typing import Any

from ..storage.base import Block
from .base import FillingReader, Reader

__all__ = ["MemoryReader", "StreamReader", "find_standard_reader"]


class MemoryReader(Reader):
    """A body that the server holds in memory: nothing is copied.

    waitress up to its `inbuf_overflow`, test clients.
    """

    def __init__(self, source: io.BytesIO) -> None:
        self._source = source

    def read(self, buffer: memoryview) -> Block:
        start = self._source.tell()
        block = self._source.getbuffer()[start : start + len(buffer)]
        self._source.seek(start + len(block))
        return block


class StreamReader(FillingReader):
    """A connection (wsgiref, Werkzeug) or a temporary file (waitress), buffered by Python.

    One raw read at a time: of more than one the bytes are lost when the second fails.
    """

    def __init__(self, source: io.BufferedReader | io.BufferedRandom) -> None:
        super().__init__()
        self._source = source

    def fill(self, buffer: memoryview) -> int:
        return self._source.readinto1(buffer)


def find_standard_reader(source: Any) -> Reader | None:
    """None for anything else, and for subclasses, whose `read` may do more."""
    if type(source) is io.BytesIO:
        return MemoryReader(source)
    if type(source) in (io.BufferedReader, io.BufferedRandom):
        return StreamReader(source)
    return None

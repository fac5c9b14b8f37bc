"""Which reader a body gets: the fastest that is right for what the server hands over."""

from __future__ import annotations

import logging
from typing import Any

from .base import CHUNKED_PIECE_BYTES, PieceReader, PlainReader, Reader
from .gunicorn import find_gunicorn_reader
from .standard import find_standard_reader

__all__ = ["find_reader"]

log = logging.getLogger("incoming_wsgi")

# Those that lose the bytes of the read that is running when the client goes away.
LOSSY_SERVERS = ("uwsgi.version", "mod_wsgi.version")


def find_reader(environ: dict[str, Any], length: int | None, *, fast: bool) -> Reader:
    """For a body of `length` bytes, None if only its end will tell. Without `fast`, `wsgi.input` is
    read as PEP 3333 has it and nothing else."""
    source = environ["wsgi.input"]
    reader: Reader | None = None
    if fast and length is not None:
        reader = find_gunicorn_reader(environ, source, length) or find_standard_reader(source)
    if length is None:
        # What undoes the chunks gives nothing before it has all that was asked for, and loses that
        # when the line breaks: a slow line would never get on.
        reader = PieceReader(source, CHUNKED_PIECE_BYTES)
    if reader is None:
        is_lossy = any(name in environ for name in LOSSY_SERVERS)
        reader = PieceReader(source) if is_lossy else PlainReader(source)
    _say_once(type(reader).__name__, type(source), fast)
    return reader


_said: set[tuple[str, type]] = set()


def _say_once(reader: str, source: type, fast: bool) -> None:
    """Once in a process, for whoever wonders how fast it can be."""
    if (reader, source) not in _said:
        _said.add((reader, source))
        name = f"{source.__module__}.{source.__qualname__}"
        log.info("event=reading input=%s reader=%s fast_reading=%s", name, reader, fast)

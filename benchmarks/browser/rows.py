"""The rows of the table: which page, against which server, with which options of the client."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

__all__ = ["ROWS", "Row"]

CHUNK_BYTES = 8 << 20  # what incoming.js comes to by itself on a quick line
GIB = 1 << 30


@dataclass(frozen=True)
class Row:
    key: str
    title: str
    page: str
    server: str
    options: dict[str, Any] = field(default_factory=dict)
    is_secure: bool = True
    """Whether the page is a secure context, without which browsers have no SHA-256."""


def _incoming(chunks_at_once: int, *, is_secure: bool) -> Row:
    digests = "each with its SHA-256" if is_secure else "without digests"
    many = "1 chunk" if chunks_at_once == 1 else f"{chunks_at_once} chunks"
    default = ", as it comes" if chunks_at_once == 4 and is_secure else ""
    key = f"incoming-{'sha256' if is_secure else 'plain'}-{chunks_at_once}"
    title = f"incoming.js, {many} at once, {digests}{default}"
    options = {"chunks_at_once": chunks_at_once}
    return Row(key, title, "incoming", "incoming", options, is_secure)


def _tus(key: str, page: str, client: str) -> list[Row]:
    chunks = {"chunk_bytes": CHUNK_BYTES}
    return [
        Row(key, f"{client}, one request, as it comes", page, "tus"),
        Row(f"{key}-chunks", f"{client}, chunks of 8 MiB", page, "tus", chunks),
    ]


def _bare(key: str, how: str, chunk_bytes: int, chunks_at_once: int) -> Row:
    options = {"chunk_bytes": chunk_bytes, "chunks_at_once": chunks_at_once}
    return Row(key, f"XMLHttpRequest alone, {how}, thrown away", "bare", "sink", options)


ROWS = (
    *(_incoming(number, is_secure=True) for number in (1, 2, 3, 4)),
    *(_incoming(number, is_secure=False) for number in (1, 2, 3, 4)),
    *_tus("tus-js-client", "tus", "tus-js-client"),
    *_tus("uppy", "uppy", "Uppy"),
    _bare("bare-1", "chunks of 8 MiB, 1 at once", CHUNK_BYTES, 1),
    _bare("bare-4", "chunks of 8 MiB, 4 at once", CHUNK_BYTES, 4),
    _bare("bare-whole", "one request", 1024 * GIB, 1),
)

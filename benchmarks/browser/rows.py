"""The rows of the table: which page, against which server, with which options of the client."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

__all__ = ["ROWS", "Row"]

CHUNK_BYTES = 8 << 20  # what incoming.js comes to by itself on a quick line
GIB = 1 << 30


@dataclass(frozen=True)
class Row:
    name: str
    page: str
    server: str
    options: dict[str, Any] = field(default_factory=dict)
    is_secure: bool = True
    """Whether the page is a secure context, without which browsers have no SHA-256."""


def _incoming(chunks_at_once: int, *, is_secure: bool) -> Row:
    digests = "each with its SHA-256" if is_secure else "without digests"
    many = "1 chunk" if chunks_at_once == 1 else f"{chunks_at_once} chunks"
    default = ", as it comes" if chunks_at_once == 4 and is_secure else ""
    options = {"chunks_at_once": chunks_at_once}
    name = f"incoming.js, {many} at once, {digests}{default}"
    return Row(name, "incoming", "incoming", options, is_secure)


ROWS = [
    *(_incoming(number, is_secure=True) for number in (1, 2, 3, 4)),
    *(_incoming(number, is_secure=False) for number in (1, 2, 3, 4)),
    Row("tus-js-client, one request, as it comes", "tus", "tus"),
    Row("tus-js-client, chunks of 8 MiB", "tus", "tus", {"chunk_bytes": CHUNK_BYTES}),
    Row("Uppy, one request, as it comes", "uppy", "tus"),
    Row("Uppy, chunks of 8 MiB", "uppy", "tus", {"chunk_bytes": CHUNK_BYTES}),
    *(
        Row(
            f"XMLHttpRequest alone, chunks of 8 MiB, {number} at once, thrown away",
            "bare",
            "sink",
            {"chunk_bytes": CHUNK_BYTES, "chunks_at_once": number},
        )
        for number in (1, 4)
    ),
    Row(
        "XMLHttpRequest alone, one request, thrown away",
        "bare",
        "sink",
        {"chunk_bytes": 1024 * GIB, "chunks_at_once": 1},
    ),
]

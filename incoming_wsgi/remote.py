"""A file on this machine, and the upload it goes to: the native dialect seen from the other end.

Bytes are read twice, for the digest and for the line. Between the two the file's size and time are
looked at, so that what is sent is what the file was when the upload began, or nothing at all.
See `dialects/native.py` for the requests; `sending.py` decides which of them to make.
"""

from __future__ import annotations

import base64
import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any, BinaryIO

from .errors import FileChanged
from .exchange import Exchange, not_incoming
from .ranges import RangeSet
from .states import UploadState
from .uploads import log_id

__all__ = ["LocalFile", "Part", "RemoteUpload", "SentUpload"]

BLOCK_BYTES = 64 * 1024  # one must get through within the time-out of the line, however slow


class LocalFile:
    """The file as it was when it was opened; reading it later raises FileChanged if it is not."""

    def __init__(self, file: BinaryIO, name: str) -> None:
        self._file = file
        self._first = os.fstat(file.fileno())
        self.name = name

    @property
    def length(self) -> int:
        return self._first.st_size

    @property
    def last_modified(self) -> int:
        """Milliseconds, as browsers count: an upload begun in one can be ended here."""
        return self._first.st_mtime_ns // 1_000_000

    def check_unchanged(self) -> None:
        now = os.fstat(self._file.fileno())
        for what, attribute in (("length", "st_size"), ("last_modified", "st_mtime_ns")):
            expected, provided = getattr(self._first, attribute), getattr(now, attribute)
            if expected != provided:
                raise FileChanged(what=what, expected=expected, provided=provided)

    def part(self, start: int, stop: int) -> Part:
        return Part(self, start, stop)

    def blocks(self, start: int, stop: int) -> Iterator[bytes]:
        self._file.seek(start)
        while start < stop:
            block = self._file.read(min(BLOCK_BYTES, stop - start))
            if not block:
                raise FileChanged(what="length", expected=self.length, provided=start)
            yield block
            start += len(block)


class Part:
    """`[start, stop)` of a file as the body of a request: one block in memory at a time."""

    def __init__(self, file: LocalFile, start: int, stop: int) -> None:
        self._file = file
        self.start = start
        self.stop = stop

    def __iter__(self) -> Iterator[bytes]:
        return self._file.blocks(self.start, self.stop)

    def __len__(self) -> int:
        return self.stop - self.start

    def sha256(self) -> bytes:
        digest = hashlib.sha256()
        for block in self:
            digest.update(block)
        self._file.check_unchanged()
        return digest.digest()


@dataclass(frozen=True, slots=True)
class SentUpload:
    """An upload as the server describes it to its client. Lengths are bytes; `file_tag` stands for
    what was declared."""

    id: str
    state: UploadState
    filename: str | None
    length: int
    received: RangeSet
    reason: str | None
    file_tag: str = field(repr=False)
    chunk_bytes: int = field(repr=False)
    max_chunk_bytes: int = field(repr=False)

    @property
    def missing(self) -> tuple[tuple[int, int], ...]:
        return self.received.missing(0, self.length)


class RemoteUpload:
    """The requests of the native dialect."""

    def __init__(self, exchange: Exchange, url: str) -> None:
        self.exchange = exchange
        self.log_id = log_id(url.rpartition("/")[2])
        self._url = url
        self._seen: SentUpload | None = None  # the last answer to `query`
        self._etag: str | None = None  # its entity tag

    def declare(self, file: LocalFile) -> SentUpload:
        said = {
            "filename": file.name,
            "length": file.length,
            "last_modified": file.last_modified,
        }
        return self._describe(self.exchange.facts("POST", self._url, json=said))

    def store(self, part: Part, upload: SentUpload) -> SentUpload:
        """`upload` as it was declared: should somebody declare another file with the same ticket,
        the two are never mixed. Raises FileChanged then."""
        digest = base64.b64encode(part.sha256()).decode()
        headers = {
            "Content-Type": "application/octet-stream",
            "Content-Range": f"bytes {part.start}-{part.stop - 1}/{upload.length}",
            "Content-Digest": f"sha-256=:{digest}:",
            "If-Match": f'"{upload.file_tag}"',
        }
        facts = self.exchange.facts("PUT", self._url, data=part, headers=headers)
        stored = self._describe(facts)
        if not stored.received.covers(part.start, part.stop):
            raise not_incoming(self._url)
        if "received_near" in facts:  # of very many ranges those near the part
            return replace(stored, received=RangeSet.of((*upload.received, *stored.received)))
        return stored

    def query(self) -> SentUpload:
        """How things stand; costs little as long as nothing changes."""
        facts = self.exchange.changed_facts(self._url, self._etag)
        if facts is not None:
            self._seen, self._etag = self._describe(facts), self.exchange.etag
        assert self._seen is not None, "there was a tag, so there was an answer"
        return self._seen

    def find_digests(self) -> list[tuple[int, int, str]]:
        """Start, stop and SHA-256 (hex) of stored chunks, as far as the server knows any."""
        facts = self.exchange.facts("GET", f"{self._url}?digests=1")
        try:
            return [(d["start"], d["stop"], d["sha256"]) for d in facts.get("digests", ())]
        except (KeyError, TypeError) as exc:
            raise not_incoming(self._url) from exc

    def _describe(self, facts: dict[str, Any]) -> SentUpload:
        try:
            return SentUpload(
                id=facts["id"],
                state=UploadState(facts["state"]),
                filename=facts["filename"],
                length=facts["length"],
                received=RangeSet.of((start, stop) for start, stop in facts["received"]),
                reason=facts["reason"],
                file_tag=facts["file_tag"],
                chunk_bytes=facts["chunk_bytes"],
                max_chunk_bytes=facts["max_chunk_bytes"],
            )
        except (KeyError, TypeError, ValueError) as exc:
            raise not_incoming(self._url) from exc

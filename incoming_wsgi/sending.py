"""Send one file to an upload, chunk after chunk, until it has arrived and the web app has it.

The native dialect, seen from the other end (`dialects/native.py`). All that this end remembers is
the ticket: what is stored, and what to send next, the server says. So a new process goes on where
an old one was killed, and after any trouble the next step is the same: declare the file again, for
the answer tells what is missing.

Bytes are read twice, for the digest and for the line. Between the two the file's size and time are
looked at, so that what is sent is what the file was when the upload began, or nothing at all.
"""

from __future__ import annotations

import base64
import hashlib
import logging
import os
import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from .errors import (
    DigestMismatch,
    FileChanged,
    IncomingError,
    IncompleteBody,
    Superseded,
    TooLarge,
    UploadGone,
)
from .exchange import Exchange, Session, check_url, not_incoming
from .ranges import RangeSet
from .states import UploadState, takes_bytes
from .uploads import log_id

__all__ = ["HandoverFailed", "OnRetry", "Progress", "SentUpload", "upload_file"]

log = logging.getLogger("incoming_wsgi")

BLOCK_BYTES = 64 * 1024  # one must get through within the time-out of the line, however slow
MIN_CHUNK_BYTES = 64 * 1024
QUICK_S = 1.0  # a chunk that took less may grow
FIRST_PAUSE_S = 0.25
LONGEST_PAUSE_S = 30.0
FIRST_LOOK_S = 0.05
LONGEST_LOOK_S = 2.0
COMPARED_CHUNKS = 5

Progress = Callable[[int, int], object]
"""(bytes stored by the server, bytes of the file), after the declaration and after each chunk."""

OnRetry = Callable[[IncomingError, float], object]
"""(what happened, seconds until the next attempt)."""


class HandoverFailed(IncomingError):
    """The file has arrived, but the web app would not take it; `reason` says why. The server keeps
    it, and can hand it over again."""

    code = "handover_failed"
    status = 502

    def __init__(self, *, reason: str) -> None:
        super().__init__(
            f"The file has arrived, but could not be handed over: {reason}. It is kept; whoever "
            "runs the server can have it handed over again."
        )
        self.reason = reason


@dataclass(frozen=True, slots=True)
class SentUpload:
    """An upload as the server describes it to its client. Lengths are bytes."""

    id: str
    state: UploadState
    filename: str | None
    length: int
    received: RangeSet
    reason: str | None
    chunk_bytes: int = field(repr=False)
    max_chunk_bytes: int = field(repr=False)

    @property
    def missing(self) -> tuple[tuple[int, int], ...]:
        return self.received.missing(0, self.length)


def upload_file(
    path: str | os.PathLike[str],
    upload_url: str,
    *,
    progress: Progress | None = None,
    on_retry: OnRetry | None = None,
    chunk_bytes: int | None = None,
    timeout_s: float = 60.0,
    give_up_s: float = 600.0,
    wait: bool = True,
    session: Session | None = None,
) -> SentUpload:
    """Send the file at `path` to `upload_url` (…/frontend/uploads/{ticket}).

    It may be called again after any failure, in any process: it goes on where the server is.
    `chunk_bytes`: the size of every chunk; by default it begins with the server's and follows the
    speed of the line, between 64 KiB and what the server takes.
    `timeout_s`: how long one request may show no sign of life.
    `give_up_s`: how long nothing may get on, for lost connections, full disks or a server that is
    down, before the last trouble is raised; each is tried again with growing pauses before.
    `wait`: return when the web app has taken the file, which takes as long as the server tries
    (its `handover_give_up_s`); otherwise as soon as all bytes are stored.
    `session`: a `requests.Session` of your own, for proxies, certificates or cookies.

    Raises FileChanged if the file changes meanwhile, or is not the one that the upload was begun
    with; UploadNotFound and UploadGone if there is no such upload any more; FileTooLarge;
    HandoverFailed; Unavailable and other IncomingErrors after `give_up_s`; OSError if the file
    cannot be read; ValueError for a URL, size or time that cannot be.
    """
    if chunk_bytes is not None and chunk_bytes < 1:
        raise ValueError(f"chunk_bytes is {chunk_bytes!r}; it must be 1 or more")
    url = check_url(upload_url)
    with open(path, "rb") as file, Exchange(timeout_s=timeout_s, session=session) as exchange:
        sender = _Sender(
            _File(file, Path(path).name),
            _Resource(exchange, url),
            _Patience(give_up_s, on_retry),
            chunk_bytes,
        )
        upload = sender.send(progress or _show_nothing)
        return sender.wait(upload) if wait else upload


def _show_nothing(bytes_stored: int, bytes_total: int) -> None:  # noqa: ARG001
    """The `Progress` of a caller who does not want to know."""


class _File:
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

    def part(self, start: int, stop: int) -> _Part:
        return _Part(self, start, stop)

    def blocks(self, start: int, stop: int) -> Iterator[bytes]:
        self._file.seek(start)
        while start < stop:
            block = self._file.read(min(BLOCK_BYTES, stop - start))
            if not block:
                raise FileChanged(what="length", expected=self.length, provided=start)
            yield block
            start += len(block)


class _Part:
    """`[start, stop)` of a file as the body of a request: one block in memory at a time."""

    def __init__(self, file: _File, start: int, stop: int) -> None:
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


class _Resource:
    """The requests of the native dialect."""

    def __init__(self, exchange: Exchange, url: str) -> None:
        self.exchange = exchange
        self.log_id = log_id(url.rpartition("/")[2])
        self._url = url

    def declare(self, file: _File) -> SentUpload:
        said = {
            "filename": file.name,
            "length": file.length,
            "last_modified": file.last_modified,
        }
        return self._describe(self.exchange.facts("POST", self._url, json=said))

    def store(self, part: _Part, length: int) -> SentUpload:
        digest = base64.b64encode(part.sha256()).decode()
        headers = {
            "Content-Type": "application/octet-stream",
            "Content-Range": f"bytes {part.start}-{part.stop - 1}/{length}",
            "Content-Digest": f"sha-256=:{digest}:",
        }
        upload = self._describe(self.exchange.facts("PUT", self._url, data=part, headers=headers))
        if not upload.received.covers(part.start, part.stop):
            raise not_incoming(self._url)
        return upload

    def query(self) -> SentUpload:
        return self._describe(self.exchange.facts("GET", self._url))

    def find_digests(self) -> list[tuple[int, int, str]]:
        """Start, stop and SHA-256 (hex) of stored chunks, as far as the server knows any."""
        facts = self.exchange.facts("GET", self._url)
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
                chunk_bytes=facts["chunk_bytes"],
                max_chunk_bytes=facts["max_chunk_bytes"],
            )
        except (KeyError, TypeError, ValueError) as exc:
            raise not_incoming(self._url) from exc


class _Patience:
    """Pauses after trouble, the longer the more of it, until nothing got on for `give_up_s`."""

    def __init__(self, give_up_s: float, on_retry: OnRetry | None) -> None:
        self._give_up_s = give_up_s
        self._on_retry = on_retry
        self.restore()

    def restore(self) -> None:
        """Something got on."""
        self._since = time.monotonic()
        self._pause_s = FIRST_PAUSE_S

    def bear(self, trouble: IncomingError, retry_after_s: float | None) -> None:
        """Wait, or raise `trouble` if that will not help, or has not helped for too long."""
        if not _may_pass(trouble):
            raise trouble
        pause_s = max(self._pause_s * random.uniform(0.5, 1.0), retry_after_s or 0)
        if time.monotonic() + pause_s > self._since + self._give_up_s:
            raise trouble
        self._pause_s = min(self._pause_s * 2, LONGEST_PAUSE_S)
        if self._on_retry is not None:
            self._on_retry(trouble, pause_s)
        time.sleep(pause_s)


def _may_pass(trouble: IncomingError) -> bool:
    """Whether the same request can succeed later."""
    return trouble.status >= 500 or isinstance(
        trouble, (Superseded, DigestMismatch, IncompleteBody)
    )


class _ChunkSize:
    """Follows the speed of the line, unless it is `fixed`; gives way to 413 and to lost lines."""

    def __init__(self, fixed: int | None) -> None:
        self._fixed = fixed
        self._limit = fixed
        self._bytes = fixed or 0

    def get(self, upload: SentUpload) -> int:
        if self._limit is None:
            self._limit = upload.max_chunk_bytes
            self._bytes = upload.chunk_bytes
        return max(1, min(self._bytes, self._limit, upload.max_chunk_bytes))

    def took(self, seconds: float) -> None:
        if self._fixed is None and seconds < QUICK_S and self._limit is not None:
            self._bytes = min(self._bytes * 2, self._limit)

    def failed(self, trouble: IncomingError) -> bool:
        """Become smaller; whether a refusal of this size is answered by that."""
        refused = isinstance(trouble, TooLarge)
        if self._bytes <= MIN_CHUNK_BYTES:
            return False
        if refused or self._fixed is None:
            self._bytes = max(self._bytes // 2, MIN_CHUNK_BYTES)
        if refused:
            self._limit = self._bytes  # a proxy's limit, such as nginx's client_max_body_size
        return refused


class _Sender:
    def __init__(
        self, file: _File, resource: _Resource, patience: _Patience, chunk_bytes: int | None
    ) -> None:
        self._file = file
        self._resource = resource
        self._patience = patience
        self._chunk_size = _ChunkSize(chunk_bytes)

    def send(self, progress: Progress) -> SentUpload:
        """Until nothing is missing."""
        upload = self._persist(self._begin)
        self._patience.restore()
        progress(upload.received.total_bytes, upload.length)
        while upload.missing and takes_bytes(upload.state):
            before = upload.received.total_bytes
            upload = self._store_next(upload)
            if upload.received.total_bytes > before:
                self._patience.restore()
                progress(upload.received.total_bytes, upload.length)
        return self._check_outcome(upload)

    def wait(self, upload: SentUpload) -> SentUpload:
        """Until the web app has answered for good."""
        pause_s = FIRST_LOOK_S
        while upload.state is not UploadState.FINISHED:
            time.sleep(pause_s)
            pause_s = min(pause_s * 1.5, LONGEST_LOOK_S)
            upload = self._check_outcome(self._persist(self._resource.query))
            self._patience.restore()
        return upload

    def _begin(self) -> SentUpload:
        upload = self._resource.declare(self._file)
        if upload.received.ranges and takes_bytes(upload.state):
            self._check_same_content()
        return upload

    def _check_same_content(self) -> None:
        """Compare a few of the chunks that the server has: another file may have this one's name,
        length and time."""
        known = self._resource.find_digests()
        if not known:
            return
        last = len(known) - 1
        for index in sorted({last * i // (COMPARED_CHUNKS - 1) for i in range(COMPARED_CHUNKS)}):
            start, stop, expected = known[index]
            provided = self._file.part(start, stop).sha256().hex()
            if provided != expected:
                what = f"SHA-256 of the bytes from {start} to {stop}"
                raise FileChanged(what=what, expected=expected, provided=provided)

    def _store_next(self, upload: SentUpload) -> SentUpload:
        """Send a chunk; the upload as it is afterwards, also where that went wrong."""
        start, gap_stop = upload.missing[0]
        stop = min(gap_stop, start + self._chunk_size.get(upload))
        began = time.monotonic()
        try:
            upload = self._resource.store(self._file.part(start, stop), upload.length)
        except IncomingError as trouble:
            if not self._chunk_size.failed(trouble):
                self._bear(trouble)
            return self._persist(lambda: self._resource.declare(self._file))
        self._chunk_size.took(time.monotonic() - began)
        return upload

    def _persist(self, step: Callable[[], SentUpload]) -> SentUpload:
        while True:
            try:
                return step()
            except IncomingError as trouble:  # noqa: PERF203
                self._bear(trouble)

    def _bear(self, trouble: IncomingError) -> None:
        log.info("upload=%s event=delayed error=%s", self._resource.log_id, type(trouble).__name__)
        self._patience.bear(trouble, self._resource.exchange.retry_after_s)

    def _check_outcome(self, upload: SentUpload) -> SentUpload:
        if upload.state is UploadState.CANCELLED:
            raise UploadGone(reason=upload.reason or "")
        if upload.state is UploadState.FAILED:
            raise HandoverFailed(reason=upload.reason or "no reason given")
        return upload

"""Send one file to an upload, chunk after chunk, until it has arrived and the web app has it.

The native dialect, seen from the other end (`dialects/native.py`). All that this end remembers is
the ticket: what is stored, and what to send next, the server says. So a new process goes on where
an old one was killed, and after any trouble the next step is the same: declare the file again, for
the answer tells what is missing.
"""

from __future__ import annotations

import logging
import os
import random
import time
from collections.abc import Callable
from pathlib import Path

from .errors import (
    DigestMismatch,
    FileChanged,
    IncomingError,
    IncompleteBody,
    Superseded,
    TooLarge,
    UploadGone,
)
from .exchange import Exchange, Session, check_url
from .remote import LocalFile, RemoteUpload, SentUpload
from .states import UploadState, takes_bytes

__all__ = ["HandoverFailed", "OnRetry", "OnWait", "Progress", "upload_file"]

log = logging.getLogger("incoming_wsgi")

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

OnWait = Callable[[str | None], object]
"""(why the web app has not taken the file yet; None: it has not answered, or said "wait"). When all
bytes are stored, and whenever the reason is another one."""


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


def upload_file(
    path: str | os.PathLike[str],
    upload_url: str,
    *,
    progress: Progress | None = None,
    on_retry: OnRetry | None = None,
    on_wait: OnWait | None = None,
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
    `wait`: return when the web app has taken the file, which takes as long as the server tries (its
    `handover_give_up_s`, a day), whatever `give_up_s` is: for so long the server is well and only
    the app is not; otherwise as soon as all bytes are stored.
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
            LocalFile(file, Path(path).name),
            RemoteUpload(exchange, url),
            _Patience(give_up_s, on_retry),
            chunk_bytes,
        )
        upload = sender.send(progress or _show_nothing)
        return sender.wait(upload, on_wait or _show_nothing) if wait else upload


def _show_nothing(*_: object) -> None:
    """For a caller who does not want to know."""


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
        self, file: LocalFile, remote: RemoteUpload, patience: _Patience, chunk_bytes: int | None
    ) -> None:
        self._file = file
        self._remote = remote
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

    def wait(self, upload: SentUpload, on_wait: OnWait) -> SentUpload:
        """Until the web app has answered for good."""
        pause_s = FIRST_LOOK_S
        said: tuple[str | None, ...] = ()
        while upload.state is not UploadState.FINISHED:
            if said != (upload.reason,):
                said = (upload.reason,)
                on_wait(upload.reason)
            time.sleep(pause_s)
            pause_s = min(pause_s * 1.5, LONGEST_LOOK_S)
            upload = self._check_outcome(self._persist(self._remote.query))
            self._patience.restore()
        return upload

    def _begin(self) -> SentUpload:
        upload = self._remote.declare(self._file)
        if upload.received.ranges and takes_bytes(upload.state):
            self._check_same_content()
        return upload

    def _check_same_content(self) -> None:
        """Compare a few of the chunks that the server has: another file may have this one's name,
        length and time."""
        known = self._remote.find_digests()
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
            upload = self._remote.store(self._file.part(start, stop), upload)
        except IncomingError as trouble:
            if not self._chunk_size.failed(trouble):
                self._bear(trouble)
            return self._persist(lambda: self._remote.declare(self._file))
        self._chunk_size.took(time.monotonic() - began)
        if not upload.missing and takes_bytes(upload.state):
            # What several answers have said together may not hold any more: after a crash of its
            # machine a server asks for some of it again.
            return self._persist(self._remote.query)
        return upload

    def _persist(self, step: Callable[[], SentUpload]) -> SentUpload:
        while True:
            try:
                return step()
            except IncomingError as trouble:
                self._bear(trouble)

    def _bear(self, trouble: IncomingError) -> None:
        log.info("upload=%s event=trouble error=%s", self._remote.log_id, type(trouble).__name__)
        self._patience.bear(trouble, self._remote.exchange.retry_after_s)

    def _check_outcome(self, upload: SentUpload) -> SentUpload:
        if upload.state is UploadState.CANCELLED:
            raise UploadGone(reason=upload.reason or "")
        if upload.state is UploadState.FAILED:
            raise HandoverFailed(reason=upload.reason or "no reason given")
        return upload

"""Receive the bytes of one request into storage.

Order of trust: bytes stored, then range recorded, then acknowledged. A crash between two steps
costs the client a retransmission, never a hole. What arrived is recorded however the request ends,
by its end, by a cut line, a full disk or the death of the worker's request; a slow line's bytes are
recorded while it goes on. HTTP is unknown here; see dialects/.

Only the gaps of the claim are written: what is recorded never changes. Each block asks first
whether a newer request has taken the range over.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass

from .digesting import Digester, ExpectedDigest
from .errors import DigestMismatch, NotSynced, Superseded
from .ranges import Range
from .states import takes_bytes
from .storage.base import Block, Piped, Storage, Writer, in_memory
from .tickets.base import Decide, Then, TicketStore, WriteClaim
from .uploads import ChunkDigest, Upload

__all__ = ["Receiving"]

RECORD_EVERY_S = 1.0  # what a killed worker loses of a slow line at most


@dataclass(frozen=True, slots=True)
class Receiving:
    """The way from a body to storage; one for all requests."""

    tickets: TicketStore
    storage: Storage
    sync: bool
    activity: Decide
    """What every record of progress changes besides: the idle clock."""

    def receive(
        self,
        claim: WriteClaim,
        start: int,
        blocks: Iterable[Block | Piped],
        digest: ExpectedDigest | None,
        seal: Callable[[], Then] | None = None,
    ) -> Upload:
        """Store `blocks`, the bytes from `start` on, as far as they fill gaps of `claim`.

        `blocks` is read to its end, or until somebody else takes over; with a digest each must stay
        as it is until two more have been read. Returns the upload with what was recorded. Raises
        Superseded, DigestMismatch (nothing recorded), and whatever `blocks`, storage or ticket
        store raise; what had been stored by then is recorded, except what a digest that has proved
        wrong covers, or one that has all or nothing, and what the disk has not taken.

        `seal`, for a claim that has all that is missing of the upload, is called when all of it is
        stored; what it returns follows the record.
        """
        with Digester(digest.algorithm) if digest else nullcontext() as digester:
            return self._receive(claim, start, blocks, digest, digester, seal)

    def _receive(
        self,
        claim: WriteClaim,
        start: int,
        blocks: Iterable[Block | Piped],
        digest: ExpectedDigest | None,
        digester: Digester | None,
        seal: Callable[[], Then] | None,
    ) -> Upload:
        if not claim.gaps:
            for block in blocks:
                memory = in_memory(block)
                if digester:
                    digester.update(memory)
            _verify(digester, digest)
            return claim.upload
        create = not claim.upload.received.total_bytes
        with self.storage.open_writer(claim.upload.id, create=create) as writer:
            if create:
                self._check_not_late(claim, writer)
            if claim.displaced:
                writer.fence()
            progress = _Progress(self, claim, writer, provisional=digester is not None)
            position = start
            try:
                for block in blocks:
                    if digester:
                        block = in_memory(block)
                        digester.update(block)
                    progress.store(position, block)
                    position += len(block)
                    del block  # see `Body.blocks`
                    progress.record_now_and_then()
                _verify(digester, digest)
                then = seal() if seal and position >= claim.gaps[-1][1] else None
            except (DigestMismatch, NotSynced):  # another sync would seem to succeed
                progress.forget()
                raise
            except BaseException:
                if digest is not None and digest.all_or_nothing:
                    progress.forget()
                else:
                    progress.record(release=True)
                raise
            # What was stored before, or by somebody else, is not what this digest was made of.
            is_whole = claim.gaps[0][0] <= start and position <= claim.gaps[0][1]
            upload = progress.record(
                release=True,
                digest=_to_keep(digest, start, position) if is_whole else None,
                then=then,
            )
        # What a newer request took away before the record is not stored, nor to be called so.
        if takes_bytes(upload.state) and not upload.received.covers(start, position):
            raise Superseded
        return upload

    def _check_not_late(self, claim: WriteClaim, writer: Writer) -> None:
        """Between its claim and now this request may have stood still while others completed the
        upload, and the app took the file away: then it has just made another, an empty one."""
        upload = self.tickets.find(claim.upload.id)
        if upload is None or not takes_bytes(upload.state):
            writer.take_back()
            raise Superseded


class _Progress:
    """What this request has written and not yet recorded."""

    def __init__(
        self, receiving: Receiving, claim: WriteClaim, writer: Writer, *, provisional: bool
    ) -> None:
        self._receiving = receiving
        self._claim = claim
        self._writer = writer
        self._provisional = provisional
        self._written: list[Range] = []
        self._recorded_at = time.monotonic()

    def store(self, position: int, block: Block | Piped) -> None:
        for start, part in _parts_in(self._claim.gaps, position, block):
            stop = start + len(part)
            if not self._writer.write(start, part, self._permit(start, stop)):
                raise Superseded
            if self._written and self._written[-1][1] == start:
                self._written[-1] = (self._written[-1][0], stop)
            else:
                self._written.append((start, stop))

    def _permit(self, start: int, stop: int) -> Callable[[], bool]:
        return lambda: self._receiving.tickets.may_write(self._claim, start, stop)

    def record_now_and_then(self) -> None:
        if time.monotonic() - self._recorded_at >= RECORD_EVERY_S:
            self._recorded_at = time.monotonic()
            self.record(release=False)

    def record(
        self, *, release: bool, digest: ChunkDigest | None = None, then: Then | None = None
    ) -> Upload:
        """Record what has been written, or, while a digest is still to be checked and the request
        goes on, only that there is life. With `then` it has been sealed."""
        ranges = () if self._provisional and not release else tuple(self._written)
        if ranges and self._receiving.sync and then is None:
            try:
                self._writer.flush()
            except BaseException:
                self._written.clear()  # another flush would seem to succeed
                raise
        upload = self._receiving.tickets.record_ranges(
            self._claim,
            ranges,
            self._receiving.activity,
            release=release,
            synced=self._receiving.sync,
            digest=digest,
            then=then,
        )
        if ranges:
            self._written.clear()
        return upload

    def forget(self) -> None:
        """Give the claim back without a record."""
        self._written.clear()
        self.record(release=True)


def _parts_in(
    gaps: tuple[Range, ...], start: int, block: Block | Piped
) -> Iterator[tuple[int, Block | Piped]]:
    """What of a block that begins at `start` falls into `gaps`, and where. If it was in a pipe, it
    is taken out in any case."""
    stop = start + len(block)
    if any(gap_start <= start and stop <= gap_stop for gap_start, gap_stop in gaps):
        yield start, block
        return
    view = memoryview(in_memory(block))
    for gap_start, gap_stop in gaps:
        first, last = max(start, gap_start), min(stop, gap_stop)
        if first < last:
            yield first, view[first - start : last - start]


def _verify(digester: Digester | None, digest: ExpectedDigest | None) -> None:
    if digester is None or digest is None:
        return
    computed = digester.digest()
    if computed != digest.value:
        raise DigestMismatch(
            algorithm=digest.algorithm, expected=digest.value.hex(), computed=computed.hex()
        )


def _to_keep(digest: ExpectedDigest | None, start: int, stop: int) -> ChunkDigest | None:
    if digest is None or digest.algorithm != "sha256":
        return None
    return ChunkDigest(start, stop, digest.value.hex())

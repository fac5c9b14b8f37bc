"""What uploads mean: tickets, declarations, ranges, cancellation, confirmation.

One engine serves every dialect and every door. It is handed its storage, its ticket store and the
completion; it knows neither HTTP nor SQL. All of its methods can be repeated: the second time they
answer what the repeat needs to know.
"""

from __future__ import annotations

import hmac
import logging
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any

from .admission import Admission, Allowance
from .agreement import (
    Append,
    Declaration,
    agree_on_extent,
    check_can_be_written,
    check_not_gone,
    check_not_shorter,
    check_offset,
    check_same_file,
    declared_anew,
    declared_besides,
    said_length,
)
from .completion import Completion
from .config import Settings
from .digesting import ExpectedDigest
from .errors import (
    FileChanged,
    FileTooLarge,
    InconsistentLength,
    OffsetMismatch,
    RangeNotSatisfiable,
    WrongSecret,
    WrongState,
)
from .issuing import Terms, make_upload
from .last_bytes import Caller
from .outcomes import Outcomes
from .receiving import Receiving
from .states import Event, UploadState, takes_bytes
from .storage.base import Block, Piped, Storage
from .storing import Storing
from .tickets.base import TicketStore, Usage, WriteClaim
from .uploads import (
    ChunkDigest,
    Upload,
    log_id,
    now,
)

__all__ = ["CANCELLED_BY_BACKEND", "Engine"]

log = logging.getLogger("incoming_wsgi")

# How long the request that brought the last byte has for sealing before others may try it.
SEALING_S = 60.0
# How long who wants to know the offset waits for those who write to record it. Whoever is alive and
# not waiting for his client has one block in his hands.
SETTLE_S = 0.5
CANCELLED_BY_BACKEND = "Cancelled by request"


class Engine:
    def __init__(
        self,
        *,
        tickets: TicketStore,
        storage: Storage,
        completion: Completion,
        settings: Settings,
        caller: Caller | None = None,
    ) -> None:
        self._tickets = tickets
        self._storage = storage
        self._completion = completion
        self._settings = settings
        self._caller = caller
        self.takes_pipes = storage.takes_pipes
        self._outcomes = Outcomes(tickets=tickets, calls=caller is not None)
        self._admission = Admission(storage=storage, settings=settings)
        self._storing = Storing(
            tickets=tickets,
            storage=storage,
            completion=completion,
            receiving=Receiving(
                tickets=tickets,
                storage=storage,
                sync=settings.durability == "disk" or not tickets.notices_restarts(),
                activity=self._activity,
            ),
            caller=caller,
        )

    # tickets: what the web app asks for

    def new_upload(self, terms: Terms) -> Upload:
        """Issue a ticket. Raises what `make_upload` raises, FileTooLarge, TooManyUploads,
        StorageFull."""
        upload = make_upload(terms, self._settings)
        if upload.length is not None:
            self._admission.check_length(upload.length, terms.max_length_bytes)
        self._tickets.create(upload, admit=self._admission.admit_ticket)
        log.info("upload=%s event=created owner=%r", log_id(upload.id), upload.owner)
        return upload

    def load(self, upload_id: str) -> Upload:
        """The record. Raises UploadNotFound."""
        return self._tickets.load(upload_id)

    def check_secret(self, upload_id: str, secret: str) -> None:
        """Raises WrongSecret; a secret for a ticket that has none is wrong too."""
        expected = self._tickets.load(upload_id).secret
        # Half of a surrogate pair is no text, and no ticket's secret has one.
        if not hmac.compare_digest(expected.encode(), secret.encode("utf-8", "surrogatepass")):
            raise WrongSecret

    def confirm(self, upload_id: str) -> Upload:
        """The app that answered "wait", or is being asked, has taken the file.

        Raises WrongState if it was not asked, has refused or has answered for good.
        """
        upload = self._tickets.transition(upload_id, Event.CONFIRM, self._completion.finished)
        self._completion.clear_away(upload)
        log.info("upload=%s event=confirmed", log_id(upload_id))
        return upload

    def retry_handover(self, upload_id: str) -> Upload:
        """Hand a FAILED upload over again, at once. Raises WrongState for any other."""
        upload = self._tickets.transition(upload_id, Event.RETRY, self._completion.due_again)
        log.info("upload=%s event=retry", log_id(upload_id))
        return self._announce(upload)

    # the client

    def declare(self, upload_id: str, declaration: Declaration) -> Upload:
        """The first time say which file will come, later make sure that it is the same.

        Until a request has brought bytes, kept or not, another file may be declared. Raises
        FileChanged, FileTooLarge, TypeNotAllowed, StorageFull, UploadGone.
        """

        def decide(upload: Upload) -> Mapping[str, Any]:
            check_can_be_written(upload)
            is_new = upload.state is UploadState.CREATED
            said = (declared_anew if is_new else declared_besides)(upload, declaration)
            if is_new or upload.length is None:
                self._admission.check_length(declaration.length or 0, upload.max_length_bytes)
            declared = replace(upload, **said)
            if is_new:
                self._admission.check_type(declared)
            return {**said, **self._activity(declared)}

        try:
            # Of an empty file there is no more to come.
            event = Event.STORE if declaration.length == 0 else Event.DECLARE
            upload = self._tickets.transition(
                upload_id, event, decide, admit=self._admission.admit_length
            )
        except WrongState:
            upload = self._tickets.load(upload_id)
            check_not_gone(upload)
            check_same_file(upload, declaration)
        return self._announce(self._storing.complete_if_nothing_is_missing(upload))

    def store(
        self,
        upload_id: str,
        *,
        start: int,
        stop: int,
        length: int,
        blocks: Iterable[Block | Piped],
        digest: ExpectedDigest | None = None,
        file_tag: str | None = None,
    ) -> Upload:
        """Receive the bytes [start, stop) of a file of `length` bytes.

        An upload whose length was unknown has this one from now on. With `file_tag` only as long as
        the upload still has it: another page may have declared another file. Raises
        RangeNotSatisfiable, FileChanged, InconsistentLength, FileTooLarge, TypeNotAllowed,
        StorageFull, UploadGone before a block is read, and what `Receiving.receive` raises.
        """

        def decide(upload: Upload) -> Mapping[str, Any]:
            check_can_be_written(upload)
            if upload.length is None:
                check_not_shorter(upload, length)
                self._admission.check_length(length, upload.max_length_bytes)
            elif upload.length != length:
                raise FileChanged(what="length", expected=upload.length, provided=length)
            if file_tag not in (None, upload.file_tag):
                raise FileChanged(what="tag", expected=upload.file_tag, provided=file_tag)
            if not start < stop <= length:
                raise RangeNotSatisfiable(start=start, stop=stop, length=length)
            self._admission.check_type(upload)  # it may not have been declared at all
            return {"length": length, **said_length(upload), **self._activity(upload)}

        claim = self._tickets.claim_range(
            upload_id, start, stop, decide, admit=self._admission.admit_length
        )
        return self._announce(self._storing.receive(claim, start, blocks, digest))

    def append(
        self,
        upload_id: str,
        said: Append,
        blocks: Iterable[Block | Piped],
        *,
        digest: ExpectedDigest | None = None,
    ) -> Upload:
        """Receive the bytes that follow on what is stored without a gap. The newest such request
        has all that is missing: what else writes to the upload stops.

        Raises OffsetMismatch, InconsistentLength, LengthUnknown, FileTooLarge, TypeNotAllowed,
        StorageFull, UploadGone, Forbidden before a block is read, and what `Receiving.receive`
        raises.
        """
        allowance: Allowance | None = None  # the length was known before, and was let in

        def decide(upload: Upload) -> Mapping[str, Any]:
            check_can_be_written(upload)
            check_offset(upload, said)
            changes = agree_on_extent(upload, said)
            if upload.length is None:
                longest = max(changes["length"] or 0, said.end or 0)
                self._admission.check_length(longest, upload.max_length_bytes)
            self._admission.check_type(upload)
            return {**changes, **self._activity(replace(upload, **changes))}

        def admit(upload: Upload, usage: Usage) -> None:
            nonlocal allowance
            allowance = self._admission.find_allowance(upload, usage)
            allowance.check(said.end or 0 if upload.length is None else upload.length)

        def claim_rest() -> WriteClaim:
            return self._tickets.claim_range(upload_id, said.offset, None, decide, admit=admit)

        try:
            claim = claim_rest()
        except OffsetMismatch:
            # The client goes on at the offset that the answer tells: nobody may move it meanwhile.
            self.settle(upload_id)
            claim = claim_rest()
        if said.size is None:
            blocks = _up_to(claim.upload.length, allowance, said.offset, blocks)
        upload = self._storing.receive(claim, said.offset, blocks, digest)
        is_all = said.is_last and said.size is None
        return self._announce(self._end_here(upload) if is_all else upload)

    def _end_here(self, upload: Upload) -> Upload:
        """The client has said that this is all, and what had come by then was not known before."""

        def decide(upload: Upload) -> Mapping[str, Any]:
            offset = upload.received.prefix_bytes
            if upload.length not in (None, offset):
                raise InconsistentLength(expected=upload.length, provided=offset)
            return {"length": offset, **self._activity(replace(upload, length=offset))}

        if not takes_bytes(upload.state) or upload.is_complete:
            return upload
        try:
            upload = self._tickets.transition(upload.id, Event.STORE, decide)
        except WrongState:  # another request was faster
            return self._tickets.load(upload.id)
        return self._storing.complete_if_nothing_is_missing(upload)

    def settle(self, upload_id: str, *, appends: bool = False) -> Upload:
        """The upload when nobody writes to it any more: what its prefix is then, stays so until the
        next request that brings bytes. `appends`: when nobody appends to it; others go on.

        Those who write at this moment are stopped, and given another to record what they have
        written. Who does not in that time, because it is dead or waits for its client, records
        nothing any more. Raises what `Completion.complete` raises.
        """
        writers = self._tickets.find_writers(upload_id, appends=appends)
        deadline = time.monotonic() + SETTLE_S
        pause_s = 0.002
        while writers:
            is_over = time.monotonic() >= deadline
            writers = self._tickets.stop_writers(upload_id, writers, at_once=is_over)
            if writers:
                time.sleep(pause_s)
                pause_s = min(pause_s * 2, 0.05)
        upload = self._tickets.load(upload_id)
        if upload.state is UploadState.UPLOADING:
            # Who has brought the last bytes may have died before that; to a client that is told
            # its length as the offset it is over.
            upload = self._announce(self._storing.complete_if_nothing_is_missing(upload))
        return upload

    def is_written_to(self, upload_id: str, *, appends: bool = False) -> bool:
        return bool(self._tickets.find_writers(upload_id, appends=appends))

    def cancel(self, upload_id: str, *, reason: str, tell_app: bool) -> Upload:
        """End an upload without delivery; a cancelled one stays as it is. Raises WrongState when it
        is being handed over or is finished, or another is made of it."""

        def decide(upload: Upload) -> Mapping[str, Any]:
            if upload.is_part and not takes_bytes(upload.state):
                # It belongs to the upload that is made of it: cancel that.
                raise WrongState(state=upload.state.value, event=Event.CANCEL.value)
            return self._completion.cancelled(upload, reason=reason, tell_app=tell_app)

        try:
            upload = self._tickets.transition(upload_id, Event.CANCEL, decide)
        except WrongState:
            upload = self._tickets.load(upload_id)
            if upload.state is not UploadState.CANCELLED:
                raise
            self._storage.delete(upload_id)  # whoever cancelled it may have died before that
            return upload
        self._storage.delete(upload_id)
        log.info("upload=%s event=cancelled", log_id(upload_id))
        return self._announce(upload)

    def invalidate(self, upload_id: str, *, reason: str) -> None:
        """End an upload for which its client has sent what cannot be true of one file; the web app
        is told. One in which nothing is missing stays as it is."""

        def decide(upload: Upload) -> Mapping[str, Any]:
            return self._completion.cancelled(upload, reason=reason, tell_app=True)

        with suppress(WrongState):
            # Unlike CANCEL it has no way from COMPLETE, which a newer request may have reached.
            upload = self._tickets.transition(upload_id, Event.EXPIRE, decide)
            self._storage.delete(upload_id)
            log.info("upload=%s event=invalidated reason=%r", log_id(upload_id), reason)
            self._announce(upload)

    def wait_for_outcome(
        self, upload: Upload, wait_s: float, *, asks: bool = False
    ) -> Upload | None:
        """See `Outcomes.wait`."""
        return self._outcomes.wait(upload, wait_s, asks=asks)

    def find_limit(self, upload: Upload | None = None) -> int:
        """How long a file may be for this ticket, or for one without a limit of its own."""
        return self._admission.find_limit(None if upload is None else upload.max_length_bytes)

    def find_digests(self, upload_id: str) -> tuple[ChunkDigest, ...]:
        return self._tickets.find_digests(upload_id)

    # rules

    def _activity(self, upload: Upload) -> Mapping[str, Any]:
        """Restart the idle clock. If nothing is missing any more the upload is due for completion,
        should the request that saw this die."""
        idle_timeout_s = upload.idle_timeout_s or self._settings.idle_timeout_s
        return {"due_at": now() + (SEALING_S if upload.is_complete else idle_timeout_s)}

    def _announce(self, upload: Upload) -> Upload:
        """To those who look for what is due: it may be due before they look again."""
        if self._caller is not None:
            self._caller.look_by(upload.due_at)
        return upload


def _up_to(
    stop: int | None, allowance: Allowance | None, start: int, blocks: Iterable[Block | Piped]
) -> Iterator[Block | Piped]:
    """Raises FileTooLarge instead of a block that goes beyond `stop`, and what `allowance` raises
    instead of one that goes beyond that."""
    position = start
    for block in blocks:
        position += len(block)
        if stop is not None and position > stop:
            raise FileTooLarge(length=position, max_length_bytes=stop)
        if allowance is not None:
            allowance.check(position)
        yield block
        del block  # see `Body.blocks`

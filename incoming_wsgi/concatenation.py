"""Files that come in parts: each an upload of its own, and one that is made of them.

A part is an ordinary upload, except that it is never handed over, and that nobody is told how it
ended. When nothing is missing of the parts, the client says in which order they are the file: from
then on they are COMPLETE and change no more, and the file is due to be assembled; see
`assembling.py`. A part is used once, by one upload, where it may stand twice.

All parts of one ticket together are no longer than the ticket allows. For a moment the disk must
have room for the parts and for what is made of them: though a disk may share extents, nobody knows
that before. A file that fits `max_total_bytes` and `max_owner_bytes` once is let in; until it is
assembled it stands twice in the books that others are asked by.

Repeating a request changes nothing: the same parts are the same file.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from .admission import MAX_PARTS, Admission
from .agreement import Declaration, check_not_gone, declared_anew
from .completion import Completion
from .config import Settings
from .errors import BadRequest, BytesLost, FileChanged, NotSynced, WrongState
from .last_bytes import Caller
from .states import Event, UploadState, takes_bytes
from .storage.base import Storage
from .tickets.base import TicketStore, Usage
from .uploads import UPLOAD_ID_PATTERN, Upload, log_id, new_upload_id, now

__all__ = ["PART", "USED_PART_LOOK_S", "Concatenation"]

log = logging.getLogger("incoming_wsgi")

PART = "partial"  # the Upload-Concat of a part
# How often somebody looks whether a part is still needed, once it is used.
USED_PART_LOOK_S = 60.0
UPLOAD_ID = re.compile(UPLOAD_ID_PATTERN)


class Concatenation:
    """`caller` is told when an upload is due to be assembled."""

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
        self._admission = Admission(storage=storage, settings=settings)
        self.is_possible = storage.can_join

    # parts

    def new_part(self, ticket: Upload, *, length: int | None, metadata: str | None) -> Upload:
        """A new part of a file that comes for `ticket`, which has its limits and ends with it.

        `length` None: not yet known. Raises UploadGone, and WrongState if the ticket has bytes of
        its own, or is of parts that are known already; TooManyParts for more than MAX_PARTS;
        FileTooLarge, StorageFull.
        """
        _check_empty(ticket)
        at = now()
        part = Upload(
            id=new_upload_id(),
            created_at=at,
            owner=ticket.owner,
            secret=ticket.secret,
            signal_finish_url=ticket.signal_finish_url,
            max_length_bytes=ticket.max_length_bytes,
            # A piece of a file is of no type: the whole file's is looked at.
            idle_timeout_s=ticket.idle_timeout_s,
            length=length,
            length_deferred=length is None,
            metadata=metadata,
            concat=PART,
            part_of=ticket.id,
            notified=True,
            due_at=at + (ticket.idle_timeout_s or self._settings.idle_timeout_s),
        )
        self._tickets.create(part, admit=self._admission.admit_part)
        log.info("upload=%s event=created part_of=%s", log_id(part.id), log_id(ticket.id))
        return part

    def make_part(self, upload_id: str, *, length: int | None, metadata: str | None) -> Upload:
        """Let a ticket that nobody has used be a part itself, of a file of which nothing is known
        yet. Raises what `new_part` raises."""

        def decide(upload: Upload) -> Mapping[str, Any]:
            _check_empty(upload)
            if length is not None:
                self._admission.check_length(length, upload.max_length_bytes)
            return {
                "length": length,
                "length_deferred": length is None,
                "metadata": metadata,
                "accept": None,
                "remove_file_when_finished": True,
                "concat": PART,
                "notified": True,
            }

        try:
            return self._tickets.transition(
                upload_id, Event.DECLARE, decide, admit=self._admission.admit_length
            )
        except WrongState:
            check_not_gone(self._tickets.load(upload_id))
            raise

    # the file

    def find_final(self, part_ids: Sequence[str]) -> Upload | None:
        """The upload that is made of these parts, in this order: what a repeat is to be told.
        Raises BadRequest for what is no list of parts."""
        _check_list(part_ids)
        return self._tickets.find_final(part_ids)

    def find_ticket(self, part_ids: Sequence[str]) -> tuple[str | None, int | None]:
        """The ticket that was brought for these parts, None if each has its own; and how many bytes
        they are, None if that is not known."""
        parts = [self._tickets.find(part_id) for part_id in part_ids]
        lengths = [part.length for part in parts if part is not None and part.length is not None]
        ticket_id = next((part.part_of for part in parts if part is not None), None)
        return ticket_id, sum(lengths) if len(lengths) == len(parts) else None

    def concatenate(
        self,
        upload_id: str,
        part_ids: Sequence[str],
        declaration: Declaration,
        *,
        concat: str,
    ) -> Upload:
        """Let the upload be the file that these parts are, one after the other, due to be
        assembled. `concat` is how the client has said so.

        Returns the upload; if another was made of the same parts before, that one. Raises
        BadRequest saying which part cannot be used and why, UploadGone, and WrongState or
        FileChanged if the upload is already something else; FileTooLarge, TypeNotAllowed,
        StorageFull.
        """
        _check_list(part_ids)

        def decide(upload: Upload, parts: Sequence[Upload | None]) -> Mapping[str, Any]:
            check_not_gone(upload)
            if upload.parts is not None:
                raise FileChanged(what="concat", expected=upload.concat, provided=concat)
            _check_empty(upload)
            length = sum(_check_part(upload, part_ids, n, part) for n, part in enumerate(parts))
            if upload.state is UploadState.UPLOADING and upload.length not in (None, length):
                raise FileChanged(what="length", expected=upload.length, provided=length)
            self._admission.check_length(length, upload.max_length_bytes)
            said = {
                **declared_anew(upload, declaration),
                "length": length,
                "length_deferred": False,
                "concat": concat,
            }
            self._admission.check_type(replace(upload, **said))
            at = now()
            return {
                **said,
                "due_at": at,
                "give_up_at": at + self._settings.keep_failed_s,
            }

        def use(_: Upload) -> Mapping[str, Any]:
            return {"part_of": upload_id, "due_at": now() + USED_PART_LOOK_S}

        def make() -> Upload:
            upload = self._tickets.load(upload_id)
            parts = {part_id: self._tickets.find(part_id) for part_id in part_ids}
            # Before anything is done with what may be somebody else's.
            decide(upload, [parts[part_id] for part_id in part_ids])
            known = [part for part in parts.values() if part is not None]
            for part in known:
                self._seal(part)

            def admit(upload: Upload, usage: Usage) -> None:
                # The parts go when the file is there.
                part_bytes = sum(part.length or 0 for part in known)
                self._admission.admit_length(upload, _counted_once(upload, usage, part_bytes))

            return self._tickets.make_final(upload_id, part_ids, decide, use, admit=admit)

        final = self._tickets.find_final(part_ids)
        if final is None:
            try:
                final = make()
            except (BadRequest, FileChanged, WrongState):
                # The same request may just have come another time, and been faster.
                final = self._tickets.find_final(part_ids)
                if final is None:
                    check_not_gone(self._tickets.load(upload_id))
                    raise
        if final.id != upload_id:
            return final
        log.info("upload=%s event=concatenated parts=%d", log_id(upload_id), len(part_ids))
        if self._caller is not None:
            self._caller.look_by(final.due_at)
        return final

    def _seal(self, part: Upload) -> None:
        """Nobody writes to it any more, and what was written is on the disk."""
        assert part.length is not None
        try:
            self._storage.seal(part.id, part.length)
        except NotSynced:
            self._tickets.forget_unsynced(part.id)
            raise
        except BytesLost as exc:
            self._completion.lost(part, exc)
            which = log_id(part.id)
            raise BadRequest(f"part {which}… is lost on the server; send it again") from exc


def _check_empty(upload: Upload) -> None:
    """Whether it can still become a part or be made of parts."""
    check_not_gone(upload)
    is_used = upload.is_part or upload.parts is not None or upload.received.total_bytes > 0
    if is_used or not takes_bytes(upload.state):
        raise WrongState(state=upload.state.value, event="concatenate")


def _check_list(part_ids: Sequence[str]) -> None:
    if not 1 <= len(part_ids) <= MAX_PARTS:
        raise BadRequest(
            f"Upload-Concat names {len(part_ids)} parts; a file is made of 1 to {MAX_PARTS}"
        )
    for part_id in part_ids:
        if not UPLOAD_ID.fullmatch(part_id):
            raise BadRequest(f"Upload-Concat names {part_id[:80]!r}, which is no upload")


def _check_part(final: Upload, part_ids: Sequence[str], index: int, part: Upload | None) -> int:
    """The length of part `index`, which has all its bytes and may be used for `final`."""
    which = f"part {index + 1} of {len(part_ids)}, {log_id(part_ids[index])}…,"
    if part is None or part.state is UploadState.CANCELLED:
        raise BadRequest(f"{which} is not known, or its time is over")
    is_own = part.part_of == final.id or (part.part_of is None and part.owner == final.owner)
    if not part.is_part or (takes_bytes(part.state) and not is_own):
        raise BadRequest(f"{which} is no partial upload that belongs to this file")
    if not takes_bytes(part.state):
        raise BadRequest(f"{which} is used by another upload already")
    if part.length is None:
        raise BadRequest(f"{which} is not finished: its length is not known")
    lacks = part.length - part.received.total_bytes
    if lacks:
        raise BadRequest(f"{which} is not finished: {lacks} of {part.length} bytes are missing")
    return part.length


def _counted_once(upload: Upload, usage: Usage, length: int) -> Usage:
    """What others take under the limits that are set, without `length` bytes that are the same as
    some of this upload. What the disk needs stays."""
    return replace(
        usage,
        total_bytes=usage.total_bytes - length,
        owner_bytes=usage.owner_bytes - (0 if upload.owner is None else length),
    )

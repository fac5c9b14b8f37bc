"""Making one upload of its parts: work that is due, done by whoever has the lease.

The parts were sealed when the client said which they are, and take no bytes since. Who assembles
holds the upload, so that no two do it at once. In one transaction its bytes are recorded, it is
COMPLETE, and the parts are FINISHED: whoever is killed before that has done nothing that anybody
can see, and after it all is done but the removal of files, which go with their records at the
latest. The records stay for a while: a client that has lost an answer asks for its parts.

What does not go now, such as a full disk, is tried again; the pauses double. If a part is gone,
there will never be a file: the upload is cancelled, and the app is told.

A part that is used looks after itself: now and then somebody looks whether the upload still needs
it, and if not it goes.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from .completion import MAX_RETRY_S, Completion, unless_due
from .concatenation import USED_PART_LOOK_S
from .config import Settings
from .errors import (
    BytesLost,
    FileTooLarge,
    IncomingError,
    LeaseLost,
    StorageError,
    Unavailable,
    UploadNotFound,
    WrongState,
)
from .states import Event, UploadState, takes_bytes
from .storage.base import Storage
from .tickets.base import Lease, TicketStore
from .uploads import Upload, log_id, now

__all__ = ["Assembling"]

log = logging.getLogger("incoming_wsgi")

RENEW_EVERY_S = 1.0  # whoever has lost the lease goes on for as long
NOT_NEEDED = "the upload of which it was a part has ended"


class Assembling:
    def __init__(
        self, *, tickets: TicketStore, storage: Storage, completion: Completion, settings: Settings
    ) -> None:
        self._tickets = tickets
        self._storage = storage
        self._completion = completion
        self._settings = settings

    def assemble(self, lease: Lease, renew: Callable[[Lease], None]) -> Lease | None:
        """Make the file; `renew` keeps the lease, which is that of an upload with `parts`.

        Returns the lease with the upload as it is then, COMPLETE, or CANCELLED with the app still
        to be told; None if it is due again later. Raises LeaseLost.
        """
        upload = lease.upload
        with self._storage.hold(upload.id) as held:
            if not held:
                log.warning("upload=%s event=still_being_assembled", log_id(upload.id))
                raise LeaseLost
            renew(lease)  # who has held it before has not done it by now
            try:
                return self._assemble(lease, _now_and_then(lambda: renew(lease)))
            except (StorageError, Unavailable) as exc:
                return self._put_off(lease, exc)

    def _assemble(self, lease: Lease, proceed: Callable[[], None]) -> Lease:
        upload = lease.upload
        assert upload.length is not None
        if upload.length:  # an empty file is made when it is handed over
            try:
                self._storage.join(upload.id, self._find_bytes(upload), proceed)
            except BytesLost as exc:
                return self._cancel(lease, f"a part of it is lost on the server: {exc}")
            except FileTooLarge:
                return self._cancel(lease, f"the disk takes no file of {upload.length} bytes")
            self._storage.seal(upload.id, upload.length)
        parts = self._tickets.find_parts(upload.id)
        try:
            upload = self._tickets.complete_final(
                upload.id, unless_due(self._completed), self._joined, lease=lease.token
            )
        except (LeaseLost, WrongState, UploadNotFound) as exc:
            self._clear_away_if_gone(upload.id)
            raise LeaseLost from exc
        log.info("upload=%s event=complete length=%s", log_id(upload.id), upload.length)
        for part in parts:
            self._delete(part)
        return Lease(upload, lease.token)

    def _find_bytes(self, upload: Upload) -> list[tuple[str, int]]:
        """Of each part, in order: its id and its length. Raises BytesLost."""
        assert upload.parts is not None
        parts = []
        for part_id in upload.parts.split():
            part = self._tickets.find(part_id)
            if part is None or part.state is not UploadState.COMPLETE or part.length is None:
                raise BytesLost(f"part {log_id(part_id)} has been removed.")
            parts.append((part_id, part.length))
        return parts

    def _completed(self, upload: Upload) -> Mapping[str, Any]:
        return {**self._completion.completed(upload), "reason": None}

    def _joined(self, part: Upload) -> Mapping[str, Any]:
        if takes_bytes(part.state):  # it was not used
            return self._completion.cancelled(part, reason=NOT_NEEDED, tell_app=False)
        return self._completion.finished(part)

    def _clear_away_if_gone(self, upload_id: str) -> None:
        """It was cancelled when the file had its place already."""
        upload = self._tickets.find(upload_id)
        if upload is None or upload.state is UploadState.CANCELLED:
            self._storage.delete(upload_id)

    def _cancel(self, lease: Lease, reason: str) -> Lease:
        def cancel(upload: Upload) -> Mapping[str, Any]:
            changes = self._completion.cancelled(upload, reason=reason, tell_app=True)
            return {**changes, "notified": False}  # that comes next, if there is anybody

        try:
            upload = self._tickets.transition(
                lease.upload.id,
                Event.CANCEL,
                unless_due(cancel),
                lease=lease.token,
                keep_lease=True,
            )
        except (WrongState, UploadNotFound) as exc:
            raise LeaseLost from exc
        log.error("upload=%s event=not_assembled reason=%r", log_id(upload.id), reason)
        return Lease(upload, lease.token)

    def _put_off(self, lease: Lease, error: IncomingError) -> Lease | None:
        """Wait for as long as it has been waiting already, within limits."""
        upload, at = lease.upload, now()
        give_up_at = upload.give_up_at or at
        if at >= give_up_at:
            return self._cancel(lease, f"its parts could not be put together: {error}")
        waited_s = at - (give_up_at - self._settings.keep_failed_s)
        pause_s = min(MAX_RETRY_S, max(self._settings.handover_retry_s, waited_s))
        log.error("upload=%s event=assembling_put_off error=%s", log_id(upload.id), error)
        self._tickets.transition(
            upload.id,
            Event.DECLARE,
            lambda _: {"reason": str(error), "due_at": at + pause_s},
            lease=lease.token,
        )
        return None

    # parts

    def find_end_of_parts(self, upload_id: str) -> float:
        """Until when parts of a ticket may still be coming; 0 if there are none."""
        return max((part.due_at for part in self._tickets.find_parts(upload_id)), default=0.0)

    def look_after_used(self, lease: Lease) -> None:
        """A part that is COMPLETE."""
        part = lease.upload
        final = self._tickets.find(part.part_of) if part.part_of else None
        if final is not None and takes_bytes(final.state):
            self._tickets.renew_lease(lease, now() + USED_PART_LOOK_S)
        else:
            self.end_part(part, Event.CANCEL, NOT_NEEDED, lease=lease.token)

    def drop_parts(self, upload_id: str) -> None:
        """Of a ticket that has ended, or an upload that is not to be."""
        for part in self._tickets.find_parts(upload_id):
            self.end_part(part, Event.CANCEL, NOT_NEEDED)

    def end_part(self, part: Upload, event: Event, reason: str, lease: str | None = None) -> None:
        """Nobody is told."""
        with suppress(WrongState, UploadNotFound):
            self._tickets.transition(
                part.id,
                event,
                lambda upload: self._completion.cancelled(upload, reason=reason, tell_app=False),
                lease=lease,
            )
            log.info("upload=%s event=part_ended reason=%r", log_id(part.id), reason)
        self._delete(part)

    def _delete(self, part: Upload) -> None:
        try:
            self._storage.delete(part.id)
        except StorageError as exc:  # with its record, then
            log.error("upload=%s event=part_stays error=%s", log_id(part.id), exc)


def _now_and_then(do: Callable[[], None]) -> Callable[[], None]:
    """What does `do` when it is called and has not done it for RENEW_EVERY_S."""
    done_at = time.monotonic()

    def proceed() -> None:
        nonlocal done_at
        if time.monotonic() - done_at >= RENEW_EVERY_S:
            do()
            done_at = time.monotonic()

    return proceed

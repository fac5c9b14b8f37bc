"""What is due, and doing it: completing, handing over, expiring, forgetting, and the chores.

An upload's `due_at` says when somebody has to look at it next, whatever for; that is all the
planning there is. Any process may lease a due upload, one at a time, so nothing here is done twice
and nothing depends on a process staying alive.

Who looks all the time finds nothing that was due long ago, unless every process was down meanwhile,
the machine slept, or the clock has jumped. The client could not do anything about that, so bytes
are kept for a while more.

Chores are about the whole folder: syncing what was recorded without that, and files without a
record. Such an orphan is what a lost or older database leaves behind, so it may be all that there
is of somebody's file: it is kept as long as a file that could not be handed over, from the day on
which it was noticed.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from itertools import islice
from typing import Any

from .assembling import Assembling
from .completion import Completion, unless_due
from .config import Settings
from .errors import BytesLost, LeaseLost, NotSynced, StorageError
from .states import Event, UploadState, takes_bytes
from .storage.base import Storage
from .tickets.base import Lease, TicketStore
from .uploads import Upload, log_id, now

__all__ = ["LEASE_S", "Housekeeping"]

log = logging.getLogger("incoming_wsgi")

# How long after the death of a process its work is taken up by another. Whoever is alive renews.
LEASE_S = 15.0
EXPIRED = "upload timed out"  # the original's words
LATE_S = 60.0  # a look comes every few seconds
GRACE_S = 3600.0
SYNC_AGAIN_S = 15.0  # after a sync, for what has been stored since
SWEEP_EVERY_S = 3600.0
SWEEP_BATCH = 500  # files that are looked up in one transaction


class Housekeeping:
    """`in_process`: whether this process has the callback of uploads that have no URL."""

    def __init__(
        self,
        *,
        tickets: TicketStore,
        storage: Storage,
        completion: Completion,
        assembling: Assembling,
        settings: Settings,
        in_process: bool,
    ) -> None:
        self._tickets = tickets
        self._storage = storage
        self._completion = completion
        self._assembling = assembling
        self._settings = settings
        self._in_process = in_process

    def lease_due(self, due_by: float | None = None) -> Lease | None:
        """What was due by then, or is now."""
        return self._tickets.lease_due(
            now() if due_by is None else due_by, self.lease_end(), in_process=self._in_process
        )

    def lease_end(self) -> float:
        """Of a lease that begins now, or is renewed."""
        return now() + LEASE_S

    def renew(self, lease: Lease) -> None:
        self._tickets.renew_lease(lease, self.lease_end())

    def next_due_at(self) -> float | None:
        return self._tickets.next_due_at(in_process=self._in_process)

    def look_after(self, lease: Lease, *, watches: bool = False) -> Upload | None:
        """Do what is due for the leased upload. If the client or another process is faster, leave
        it to them. `watches`: the caller looks all the time, so that nothing is due for long.

        Returns the upload as it is then, if it is known.
        """
        try:
            return self._look_after(lease, watches=watches)
        except LeaseLost:
            log.debug("upload=%s event=lease_lost", log_id(lease.upload.id))
            return None

    def _look_after(self, lease: Lease, *, watches: bool) -> Upload | None:
        upload = lease.upload
        is_late = watches and now() - upload.due_at > LATE_S
        if takes_bytes(upload.state):
            # Complete all the same, if the process that stored the last byte died before sealing.
            # But a ticket for an empty file that nobody has declared is only an unused ticket.
            is_whole = upload.is_complete and upload.state is UploadState.UPLOADING
            if is_late and not is_whole and upload.parts is None:
                self._put_off(lease)
                return None
            after = self._go_on(lease, is_whole=is_whole)
            if after is None:
                return None
            lease, upload = after, after.upload
            if upload.signal_finish_url is None and not self._in_process:
                return None  # what follows is a call of a function that this process does not have
        elif upload.is_part and upload.state is UploadState.COMPLETE:
            self._assembling.look_after_used(lease)
            return None
        if upload.state in (UploadState.COMPLETE, UploadState.HANDING_OVER):
            return self._completion.hand_over(lease)
        if upload.state is UploadState.AWAITING_CONFIRMATION:
            return self._completion.not_confirmed(lease)
        if upload.state is UploadState.CANCELLED and not upload.notified:
            self.renew(lease)  # a call cannot be taken back: make sure that it is ours to make
            self._storage.delete(upload.id)
            self._assembling.drop_parts(upload.id)
            return self._completion.tell_of_cancellation(lease)
        if upload.state is UploadState.FAILED and is_late:
            self._put_off(lease)
        else:
            self._forget(lease)
        return None

    def _go_on(self, lease: Lease, *, is_whole: bool) -> Lease | None:
        """With an upload that takes bytes. None if that is all for now."""
        upload = lease.upload
        if upload.parts is not None:
            return self._assembling.assemble(lease, self.renew)
        if is_whole:
            return self._complete(lease)
        if upload.is_part:
            self._assembling.end_part(upload, Event.EXPIRE, EXPIRED, lease=lease.token)
            return None
        end_of_parts = self._assembling.find_end_of_parts(upload.id)
        if end_of_parts > now():  # what moves is a part of it
            self._tickets.transition(
                upload.id, Event.DECLARE, lambda _: {"due_at": end_of_parts}, lease=lease.token
            )
            return None
        return self._expire(lease)

    def _complete(self, lease: Lease) -> Lease:
        return Lease(self._completion.complete(lease.upload, lease=lease.token), lease.token)

    def _put_off(self, lease: Lease) -> None:
        upload = lease.upload
        idle_timeout_s = upload.idle_timeout_s or self._settings.idle_timeout_s
        due_at = now() + min(GRACE_S, idle_timeout_s)
        log.warning(
            "upload=%s event=expiry_put_off; it was due %.0f s ago, and nobody has looked since",
            log_id(upload.id),
            now() - upload.due_at,
        )
        if takes_bytes(upload.state):
            self._tickets.transition(
                upload.id, Event.DECLARE, lambda _: {"due_at": due_at}, lease=lease.token
            )
        else:
            self._tickets.renew_lease(lease, due_at)

    def _expire(self, lease: Lease) -> Lease:
        def expire(upload: Upload) -> Mapping[str, Any]:
            changes = self._completion.cancelled(upload, reason=EXPIRED, tell_app=True)
            return {**changes, "notified": False}  # that comes next, if there is anybody

        upload = self._tickets.transition(
            lease.upload.id,
            Event.EXPIRE,
            unless_due(expire),
            lease=lease.token,
            keep_lease=True,
        )
        self._storage.delete(upload.id)
        log.info("upload=%s event=expired", log_id(upload.id))
        return Lease(upload, lease.token)

    def _forget(self, lease: Lease) -> None:
        """The time of a finished, cancelled or failed upload is over. The file goes first: a record
        without a file is forgotten next time, a file without a record would stay for ever."""
        upload = lease.upload
        if upload.state is UploadState.FAILED:
            # From here on nobody can ask for the file to be handed over again.
            self._tickets.transition(
                upload.id,
                Event.CANCEL,
                lambda _: {"notified": True},
                lease=lease.token,
                keep_lease=True,
            )
        if upload.state is UploadState.FINISHED:
            self._completion.clear_away(upload)
        else:
            self._storage.delete(upload.id)
        self._assembling.drop_parts(upload.id)
        self._tickets.remove(upload.id, lease=lease.token)
        log.info("upload=%s event=forgotten state=%s", log_id(upload.id), upload.state.value)

    def do_chores(self) -> None:
        """Whatever of them is due, if it is this process's turn."""
        self._sync()
        if self._tickets.take_turn("sweep", now(), now() + SWEEP_EVERY_S):
            self._sweep()

    def _sync(self) -> None:
        while True:
            again_at = now() + SYNC_AGAIN_S
            upload = self._tickets.take_unsynced(now(), again_at)
            if upload is None:
                return
            try:
                self._storage.sync(upload.id)
            except BytesLost:  # whoever writes next ends the upload
                continue
            except NotSynced as exc:
                log.error("upload=%s event=not_synced error=%s", log_id(upload.id), exc)
                self._tickets.forget_unsynced(upload.id)
                continue
            self._tickets.mark_synced(upload.id, upload.received, again_at)

    def _sweep(self) -> None:
        ids = self._storage.list_ids()
        while batch := list(islice(ids, SWEEP_BATCH)):
            at = now()
            for upload_id, noted_at in self._tickets.note_orphans(batch, at).items():
                if at - noted_at >= self._settings.keep_failed_s:
                    self._remove_orphan(upload_id)
                elif noted_at == at:
                    log.warning(
                        "upload=%s event=orphan_found; a file of which the ticket database knows "
                        "nothing, to be removed in %g s",
                        log_id(upload_id),
                        self._settings.keep_failed_s,
                    )

    def _remove_orphan(self, upload_id: str) -> None:
        try:
            self._storage.delete(upload_id)
        except StorageError as exc:  # the others may go
            log.error("upload=%s event=orphan_stays error=%s", log_id(upload_id), exc)
        else:
            log.warning("upload=%s event=orphan_removed", log_id(upload_id))

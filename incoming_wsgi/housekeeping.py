"""What is due, and doing it: completing, handing over, expiring, forgetting.

An upload's `due_at` says when somebody has to look at it next, whatever for; that is all the
planning there is. Any process may lease a due upload, one at a time, so nothing here is done twice
and nothing depends on a process staying alive.
"""

from __future__ import annotations

import logging

from .completion import Completion
from .states import Event, UploadState
from .storage.base import Storage
from .tickets.base import Lease, LeaseLost, TicketStore
from .uploads import log_id, now

__all__ = ["LEASE_S", "Housekeeping"]

log = logging.getLogger("incoming_wsgi")

# How long after the death of a process its work is taken up by another. Whoever is alive renews.
LEASE_S = 15.0
EXPIRED = "upload timed out"  # the original's words


class Housekeeping:
    """`in_process`: whether this process has the callback of uploads that have no URL."""

    def __init__(
        self, *, tickets: TicketStore, storage: Storage, completion: Completion, in_process: bool
    ) -> None:
        self._tickets = tickets
        self._storage = storage
        self._completion = completion
        self._in_process = in_process

    def lease_due(self) -> Lease | None:
        return self._tickets.lease_due(now(), LEASE_S, in_process=self._in_process)

    def renew(self, lease: Lease) -> None:
        self._tickets.renew_lease(lease, now() + LEASE_S)

    def next_due_at(self) -> float | None:
        return self._tickets.next_due_at(in_process=self._in_process)

    def look_after(self, lease: Lease) -> None:
        """Do what is due for the leased upload. If the client or another process is faster, leave
        it to them."""
        try:
            self._look_after(lease)
        except LeaseLost:
            log.debug("upload=%s event=lease_lost", log_id(lease.upload.id))

    def _look_after(self, lease: Lease) -> None:
        upload = lease.upload
        if upload.state in (UploadState.CREATED, UploadState.UPLOADING):
            if upload.is_complete:  # the process that stored the last byte died before sealing
                self._completion.complete(upload, lease=lease.token)
            else:
                self._expire(lease)
        elif upload.state in (UploadState.COMPLETE, UploadState.HANDING_OVER):
            self._completion.hand_over(lease)
        elif upload.state is UploadState.AWAITING_CONFIRMATION:
            self._completion.not_confirmed(lease)
        elif upload.state is UploadState.CANCELLED and not upload.notified:
            self._storage.delete(upload.id)
            self._completion.tell_of_cancellation(lease)
        else:
            self._forget(lease)

    def _expire(self, lease: Lease) -> None:
        upload = self._tickets.transition(
            lease.upload.id,
            Event.EXPIRE,
            lambda upload: self._completion.cancelled(upload, reason=EXPIRED, tell_app=True),
            lease=lease.token,
        )
        self._storage.delete(upload.id)
        log.info("upload=%s event=expired", log_id(upload.id))

    def _forget(self, lease: Lease) -> None:
        """The time of a finished, cancelled or failed upload is over. The file goes first: a record
        without a file is forgotten next time, a file without a record would stay for ever."""
        upload = lease.upload
        if upload.state is not UploadState.FINISHED or upload.remove_file_when_finished:
            self._storage.delete(upload.id)
        self._tickets.remove(upload.id, lease=lease.token)
        log.info("upload=%s event=forgotten state=%s", log_id(upload.id), upload.state.value)

"""The request that brings the last bytes of an upload: the short way from there to the web app.

Who knows from its claim that nothing else is missing seals the file before it records its own
bytes, and lets follow in the same transaction what would otherwise be several: COMPLETE, and the
beginning of the first handover, if this process can call the app now and the file need not be read
before, for its digest. Then it gives the lease to a thread of this process. Nobody has to look for
what is due.

Sealed counts only if nothing has been taken from the claim until the record: else others may have
written after the seal, and the steps do not follow (`Then`). Sealing was harmless then. As always,
who calls the app holds the upload: from before the transaction, so that nobody can have taken the
lease over and have called when the call begins. A process that is killed after the transaction
leaves a lease that ends.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress
from dataclasses import replace
from types import TracebackType
from typing import Any, Protocol

from .completion import Completion, new_delivery_id
from .errors import IncomingError, LeaseLost, NotSynced, UploadNotFound, WrongState
from .states import Event
from .storage.base import Storage
from .tickets.base import Lease, Then, TicketStore
from .uploads import Upload, log_id, now

__all__ = ["Caller", "LastBytes", "Slot"]

log = logging.getLogger("incoming_wsgi")


class Slot(Protocol):
    """A place for one call among those that are under way in this process."""

    token: str
    """Of the lease under which it will be."""

    def lease_end(self) -> float:
        """Of a lease that begins now. It is kept alive from `begin` on."""

    def begin(self, lease: Lease, work: Callable[[], Upload | None]) -> None:
        """Do `work` in a thread. Raises RuntimeError if there is none for it; the lease ends."""

    def give_back(self) -> None:
        """Nothing comes of it, or its work is done."""


class Caller(Protocol):
    """Who calls web apps in this process, and looks for what is due."""

    def find_slot(self) -> Slot | None:
        """None if it is not this upload's turn: there is no room, or the process ends."""

    def look_by(self, due_at: float) -> None:
        """Look for what is due at that time, if not earlier."""


class LastBytes:
    """For one request. A context manager: what has not been used of it is given back."""

    def __init__(
        self,
        upload: Upload,
        *,
        tickets: TicketStore,
        storage: Storage,
        completion: Completion,
        caller: Caller | None,
        sha256: str | None,
    ) -> None:
        self._upload = upload
        self._tickets = tickets
        self._storage = storage
        self._completion = completion
        self._caller = caller
        self._sha256 = sha256  # of the whole file
        # Whose steps the record has followed is told by it.
        self._delivery_id = new_delivery_id()
        self._slot: Slot | None = None
        self._resources = ExitStack()

    def __enter__(self) -> LastBytes:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._resources.close()

    def seal(self) -> Then:
        """All bytes are stored. What follows when the last are recorded.

        Raises what `Storage.seal` raises; after NotSynced what was not synced is forgotten, if the
        ticket store can, and the claim has come to its end.
        """
        assert self._upload.length is not None
        try:
            self._storage.seal(self._upload.id, self._upload.length)
        except NotSynced:
            try:
                self._tickets.forget_unsynced(self._upload.id)
            except IncomingError as exc:  # the same disk, perhaps
                log.error("upload=%s event=not_forgotten error=%s", log_id(self._upload.id), exc)
            raise
        slot = self._slot = self._find_slot()
        if slot is None:
            return Then(((Event.COMPLETE, self._completed),))

        def begun(upload: Upload) -> Mapping[str, Any]:
            return {"attempt": upload.attempt + 1, "due_at": slot.lease_end()}

        return Then(((Event.COMPLETE, self._completed), (Event.HAND_OVER, begun)), slot.token)

    def _completed(self, upload: Upload) -> Mapping[str, Any]:
        return {**self._completion.completed(upload, self._delivery_id), "sha256": self._sha256}

    def _find_slot(self) -> Slot | None:
        if self._caller is None or not self._completion.can_call(self._upload):
            return None
        if replace(self._upload, sha256=self._sha256).lacks_sha256:
            return None
        slot = self._caller.find_slot()
        if slot is not None:
            self._resources.callback(slot.give_back)
            try:
                held = self._resources.enter_context(self._storage.hold(self._upload.id))
            except IncomingError as exc:
                log.error("upload=%s event=not_held error=%s", log_id(self._upload.id), exc)
                return None
            return slot if held else None
        return None

    def recorded(self, upload: Upload) -> None:
        """The transaction has been made; `upload` is what it has made of it."""
        if upload.delivery_id != self._delivery_id:
            return  # something was taken away, or it was cancelled
        log.info("upload=%s event=complete length=%s", log_id(upload.id), upload.length)
        if self._slot is not None:
            lease = Lease(upload, self._slot.token)
            if upload.lacks_sha256:
                self._step_back(lease)
                return
            # Whoever takes them from here closes them: an error may come when the work has begun.
            resources = [self._resources.pop_all()]

            def give_up() -> None:
                with suppress(IndexError):
                    resources.pop().close()

            def work() -> Upload | None:
                try:
                    taken = resources.pop()
                except IndexError:
                    return None
                with taken:
                    return self._completion.call(lease)

            try:
                self._slot.begin(lease, work)
            except RuntimeError as exc:  # its lease ends, and somebody else will call
                give_up()
                log.error("upload=%s event=call_not_started error=%s", log_id(upload.id), exc)
            except BaseException:  # out of the handler of a signal
                give_up()
                raise

    def _step_back(self, lease: Lease) -> None:
        """A digest was declared after the claim: the file has to be read before anybody is called,
        and nobody has been."""
        self._resources.close()
        at = now()
        with suppress(LeaseLost, WrongState, UploadNotFound):
            self._tickets.transition(
                lease.upload.id,
                Event.DELAY,
                lambda upload: {"attempt": upload.attempt - 1, "due_at": at},
                lease=lease.token,
            )
        if self._caller is not None:
            self._caller.look_by(at)

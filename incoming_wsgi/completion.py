"""From the last byte to the app's answer: sealing, handing over, telling of a cancellation.

Invariants: a file is sealed before its upload is COMPLETE, and in the transaction that makes it
COMPLETE the handover becomes due. The app is called by whoever holds the lease of a due upload, at
least once with one delivery id; never again after it said "done". A lease ends by the clock, and
clocks can be wrong and processes slow: so who calls the app holds the upload, as long as he lives,
and no second call begins before the first has ended. Nothing is deleted because the app was down:
FAILED keeps the file. Where a SHA-256 is expected the app never sees a file that has another one:
it is computed before the first call, under the lease, and known from then on.

The original's apps are not idempotent. So an app that took the file away before its answer was lost
is not asked again: a file that has vanished from its place after an attempt was taken.
"""

from __future__ import annotations

import logging
import random
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from typing import Any

from .config import Settings
from .ending import is_ending
from .errors import (
    BytesLost,
    LeaseLost,
    NotSynced,
    StorageError,
    UploadNotFound,
    WrongState,
)
from .file_digests import compute_sha256
from .handover import (
    Answer,
    OnCancelled,
    OnFinished,
    Outcome,
    call_function,
    call_url,
    handover_fields,
)
from .states import Event, UploadState, takes_bytes
from .storage.base import Storage
from .taking import CompleteUpload
from .tickets.base import Decide, Lease, TicketStore
from .uploads import Upload, log_id, now

__all__ = ["Callbacks", "Completion", "new_delivery_id", "unless_due"]

log = logging.getLogger("incoming_wsgi")

MAX_RETRY_S = 60.0
LOST = "what was stored of the file is lost on the server"
GONE = "the file is not in the storage folder any more"


@dataclass(frozen=True, slots=True)
class Callbacks:
    """The functions of this process that stand in for a callback URL."""

    on_finished: OnFinished | None = None
    on_cancelled: OnCancelled | None = None
    may_hand_over: Callable[[Upload], bool] | None = None


class Completion:
    def __init__(
        self, *, tickets: TicketStore, storage: Storage, settings: Settings, callbacks: Callbacks
    ) -> None:
        self._tickets = tickets
        self._storage = storage
        self._settings = settings
        self._callbacks = callbacks

    # what changes in the record; handed to `TicketStore.transition`

    def completed(self, _: Upload, delivery_id: str | None = None) -> Mapping[str, Any]:
        at = now()
        return {
            "completed_at": at,
            "give_up_at": at + self._settings.handover_give_up_s,
            "delivery_id": delivery_id or new_delivery_id(),
            "due_at": at,
        }

    def due_again(self, _: Upload) -> Mapping[str, Any]:
        at = now()
        return {"give_up_at": at + self._settings.handover_give_up_s, "due_at": at}

    def finished(self, _: Upload) -> Mapping[str, Any]:
        return {"reason": None, "due_at": now() + self._settings.keep_finished_s}

    def cancelled(self, upload: Upload, *, reason: str, tell_app: bool) -> Mapping[str, Any]:
        """`attempt` counts anew: the calls that tell of the cancellation are another delivery."""
        tell_app = tell_app and self._can_be_told(upload)
        return {
            "reason": reason,
            "delivery_id": new_delivery_id(),
            "attempt": 0,
            "give_up_at": now() + self._settings.handover_give_up_s,
            "notified": not tell_app,
            "due_at": now() + (0 if tell_app else self._settings.keep_finished_s),
        }

    def _can_be_told(self, upload: Upload) -> bool:
        """Of a part nobody is told. A process without the app's callbacks, such as cron's, leaves
        the telling to one that has them."""
        callbacks = self._callbacks
        return not upload.is_part and bool(
            upload.signal_finish_url or callbacks.on_cancelled or callbacks.on_finished is None
        )

    def can_call(self, upload: Upload) -> bool:
        """Whether this process can call the app of an upload."""
        return upload.signal_finish_url is not None or self._callbacks.on_finished is not None

    # what happens

    def complete(self, upload: Upload, *, lease: str | None = None) -> Upload:
        """Seal the file of an upload in which nothing is missing, and make its handover due: at
        once, or for the holder of the lease, which is kept.

        Returns the upload as it is then: COMPLETE or later, or cancelled in between.
        """
        assert upload.length is not None
        try:
            if upload.length:
                self._storage.seal(upload.id, upload.length)
            upload = self._tickets.transition(
                upload.id,
                Event.COMPLETE,
                self.completed if lease is None else unless_due(self.completed),
                lease=lease,
                keep_lease=True,
            )
        except WrongState:  # another request saw the same, or it was cancelled
            return self._tickets.load(upload.id)
        except NotSynced:
            self._tickets.forget_unsynced(upload.id)
            raise
        except BytesLost as exc:
            return self.lost(upload, exc, lease=lease)
        log.info("upload=%s event=complete length=%s", log_id(upload.id), upload.length)
        return upload

    def lost(self, upload: Upload, error: BytesLost, *, lease: str | None = None) -> Upload:
        """Stored bytes are gone, and nothing brings them back: end the upload, if it has not ended
        already. Returns it as it is then; a lease is kept."""

        def cancel(upload: Upload) -> Mapping[str, Any]:
            if not takes_bytes(upload.state):  # another was faster, and the app may have the file
                raise WrongState(state=upload.state.value, event=Event.CANCEL.value)
            changes = self.cancelled(upload, reason=LOST, tell_app=True)
            # The holder of a lease tells next, if there is anybody.
            return changes if lease is None else {**changes, "notified": False}

        try:
            upload = self._tickets.transition(
                upload.id,
                Event.CANCEL,
                cancel if lease is None else unless_due(cancel),
                lease=lease,
                keep_lease=True,
            )
        except WrongState:  # it was taken or cancelled, that is why
            return self._tickets.load(upload.id)
        log.error("upload=%s event=bytes_lost error=%s", log_id(upload.id), error)
        self._storage.delete(upload.id)
        return upload

    def clear_away(self, upload: Upload) -> None:
        """Remove the file of a finished upload, or leave it to the app, as was agreed."""
        if upload.state is UploadState.FINISHED:
            if upload.remove_file_when_finished:
                self._storage.delete(upload.id)
            elif self._exists(upload):
                self._storage.leave(upload.id)

    def _exists(self, upload: Upload) -> bool:
        assert upload.length is not None
        return self._storage.exists(upload.id, upload.length)

    @contextmanager
    def _held(self, upload: Upload) -> Iterator[None]:
        with self._storage.hold(upload.id) as held:
            if not held:
                log.warning("upload=%s event=still_being_called", log_id(upload.id))
                raise LeaseLost
            yield

    def hand_over(self, lease: Lease) -> Upload | None:
        """One attempt: call the app, and let its answer follow. For COMPLETE uploads, and for
        HANDING_OVER ones whose process has died. Raises LeaseLost if somebody is calling still.

        Returns the upload as it is then; None if that is not known, for somebody else was faster.
        """
        with self._held(lease.upload):
            return self._hand_over(lease)

    def _hand_over(self, lease: Lease) -> Upload | None:
        upload = lease.upload
        if upload.length == 0 and self._tickets.load(upload.id).attempt == 0:
            # An empty file is made here. A request that is late with it would bring back what the
            # app has taken; who holds the upload knows that nobody has been called yet.
            self._storage.seal(upload.id, 0)
        if not self._exists(upload):
            if upload.attempt > 0:
                return self._settle(lease, Event.FINISH, self.finished)
            return self.give_up(lease, GONE)
        if upload.state is UploadState.HANDING_OVER and _is_over(upload, upload.due_at):
            # Who made the last attempt died of it when the time was over already: perhaps the
            # attempt is the end of every process, and nobody else would ever give up.
            return self.give_up(
                lease, "the server's process ended in the middle of the last handover"
            )
        if upload.sha256 is None:
            upload = replace(upload, sha256=self._find_sha256(upload))
        sha256 = upload.sha256
        if upload.lacks_sha256:
            try:
                sha256 = compute_sha256(
                    self._storage.locate(upload.id), may_go_on=lambda: not is_ending()
                )
            except OSError as exc:
                return self._not_read(lease, exc)
            if sha256 is None:  # nobody has been called yet: another process need not wait for us
                self._tickets.renew_lease(lease, now())
                return None
            if upload.expected_sha256 not in (None, sha256):
                return self.give_up(
                    lease,
                    f"the file's SHA-256 is {sha256}, announced was {upload.expected_sha256}",
                )
        upload = self._tickets.transition(
            upload.id,
            Event.HAND_OVER,
            lambda upload: {"attempt": upload.attempt + 1, "sha256": sha256},
            lease=lease.token,
            keep_lease=True,
        )
        return self.call(Lease(upload, lease.token))

    def _not_read(self, lease: Lease, error: OSError) -> Upload | None:
        """It may pass, and is tried again when the lease has ended."""
        upload = lease.upload
        if not self._exists(upload):
            return self.give_up(lease, GONE)
        if _is_over(upload, now()):
            return self.give_up(lease, "the file could not be read")
        raise StorageError(
            f"The file of upload {log_id(upload.id)} cannot be read: {error.strerror}"
        ) from error

    def call(self, lease: Lease) -> Upload | None:
        """The same for who has recorded the attempt already, and holds the upload."""
        upload = lease.upload
        outcome = self._call(upload)
        if outcome is None:
            return self.give_up(lease, "the web app does not allow this upload any more")
        log.info(
            "upload=%s event=handed_over attempt=%d answer=%s reason=%r",
            log_id(upload.id),
            upload.attempt,
            outcome.answer.value,
            outcome.reason,
        )
        if outcome.answer is Answer.DONE:
            return self._heard(upload, Event.FINISH, self.finished)
        if outcome.answer is Answer.WAIT:
            due_at = now() + self._settings.confirm_timeout_s
            return self._heard(upload, Event.WAIT, lambda _: {"reason": None, "due_at": due_at})
        if outcome.answer is Answer.REFUSED:
            return self._heard(upload, Event.GIVE_UP, self._failed(outcome.reason))
        if not self._exists(upload):
            return self._settle(lease, Event.FINISH, self.finished)
        if _is_over(upload, now()):
            return self.give_up(lease, outcome.reason)
        due_at = now() + self._pause_s(upload.attempt)
        return self._settle(
            lease, Event.DELAY, lambda _: {"reason": outcome.reason, "due_at": due_at}
        )

    def not_confirmed(self, lease: Lease) -> Upload | None:
        """The app said "wait", and its time is over."""
        if self._exists(lease.upload):
            limit = self._settings.confirm_timeout_s
            return self.give_up(lease, f"the web app did not confirm within {limit:g} s")
        return self._settle(lease, Event.FINISH, self.finished)

    def give_up(self, lease: Lease, reason: str) -> Upload | None:
        upload = self._settle(lease, Event.GIVE_UP, self._failed(reason))
        if upload is not None:
            log.warning("upload=%s event=given_up reason=%r", log_id(upload.id), reason)
        return upload

    def _failed(self, reason: str) -> Decide:
        due_at = now() + self._settings.keep_failed_s
        return lambda _: {"reason": reason, "due_at": due_at}

    def tell_of_cancellation(self, lease: Lease) -> Upload | None:
        """Call the app once: whatever it answers, it knows. Only a call that did not get through is
        made again. Raises LeaseLost if somebody is calling still."""
        with self._held(lease.upload):
            return self._tell_of_cancellation(lease)

    def _tell_of_cancellation(self, lease: Lease) -> Upload | None:
        upload = lease.upload
        if upload.signal_finish_url is not None:
            fields = handover_fields(upload, path=None)
            fields["attempt"] = str(upload.attempt + 1)
            outcome = call_url(upload.signal_finish_url, fields, self._settings)
        else:
            outcome = self._call_on_cancelled(upload)
        at = now()
        told = outcome.reached or _is_over(upload, at)
        pause_s = self._settings.keep_finished_s if told else self._pause_s(upload.attempt + 1)
        return self._settle(
            lease,
            Event.TELL,
            lambda upload: {
                "attempt": upload.attempt + 1,
                "notified": told,
                "due_at": at + pause_s,
            },
        )

    def _call_on_cancelled(self, upload: Upload) -> Outcome:
        if self._callbacks.on_cancelled is not None:
            try:
                self._callbacks.on_cancelled(upload)
            except (Exception, SystemExit):
                log.exception("upload=%s event=on_cancelled_raised", log_id(upload.id))
        return Outcome(Answer.NONE)

    def _call(self, upload: Upload) -> Outcome | None:
        """None if the app does not want to be called about this upload."""
        try:
            may_hand_over = self._callbacks.may_hand_over
            if may_hand_over is not None and not may_hand_over(upload):
                return None
        except (Exception, SystemExit):
            log.exception("upload=%s event=authorize_raised", log_id(upload.id))
            return Outcome(Answer.NONE, "the web app could not say whether it allows this upload")
        path = self._storage.locate(upload.id)
        if upload.signal_finish_url is not None:
            return call_url(upload.signal_finish_url, handover_fields(upload, path), self._settings)
        assert self._callbacks.on_finished is not None, "leased without a callback"
        return call_function(self._callbacks.on_finished, CompleteUpload(upload, path))

    def _find_sha256(self, upload: Upload) -> str | None:
        """Of the whole file: known if it came in one chunk with its digest."""
        for digest in self._tickets.find_digests(upload.id):
            if (digest.start, digest.stop) == (0, upload.length):
                return digest.sha256
        return None

    def _settle(self, lease: Lease, event: Event, decide: Decide) -> Upload | None:
        """What follows from an attempt, unless the app's finish_upload was faster, or this process
        so slow that another took over."""
        with suppress(LeaseLost, WrongState, UploadNotFound):
            upload = self._tickets.transition(lease.upload.id, event, decide, lease=lease.token)
            self.clear_away(upload)
            return upload
        return None

    def _heard(self, upload: Upload, event: Event, decide: Decide) -> Upload | None:
        """The app has answered for good: it must not be asked again, whoever has the lease by
        now."""
        with suppress(WrongState, UploadNotFound):
            upload = self._tickets.transition(upload.id, event, decide)
            self.clear_away(upload)
            return upload
        return None

    def _pause_s(self, attempt: int) -> float:
        longest: float = min(
            MAX_RETRY_S, self._settings.handover_retry_s * 2.0 ** min(attempt - 1, 32)
        )
        return longest * random.uniform(0.5, 1.0)


def new_delivery_id() -> str:
    return str(uuid.uuid4())


def _is_over(upload: Upload, at: float) -> bool:
    """Whether the time for calling the app is over by then."""
    return upload.give_up_at is not None and at >= upload.give_up_at


def unless_due(decide: Decide) -> Decide:
    """`decide` for the holder of a lease, who goes on: `due_at` stays the end of the lease."""
    return lambda upload: {
        name: value for name, value in decide(upload).items() if name != "due_at"
    }

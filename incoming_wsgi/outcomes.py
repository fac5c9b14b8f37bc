"""What has become of a complete file, for clients that cannot come back and ask.

A client of tus, or of the draft, believes what the answer to its last bytes says, and shows it to
somebody. So that answer waits for the web app, for a while, and a file that was not taken is never
called a success; nor is it when such a client asks for the offset later.
"""

from __future__ import annotations

import threading
import time

from .errors import NotTaken, NotTakenYet, UploadGone
from .states import UploadState, takes_bytes
from .tickets.base import TicketStore
from .uploads import Upload, now

__all__ = ["Outcomes", "check_outcome", "is_refused"]

# Each waiting request has a thread of the server, and a web app that runs in the same server needs
# one to take a file. Those who only ask do not take the places of those who have just brought the
# last bytes.
MAX_WAITING = 4
MAX_ASKING = 2
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.005, 0.25


class Outcomes:
    """For one process. `calls`: whether it calls web apps: if not, nobody knows when somebody
    will."""

    def __init__(self, *, tickets: TicketStore, calls: bool) -> None:
        self._tickets = tickets
        self._calls = calls
        self._places = threading.BoundedSemaphore(MAX_WAITING)
        self._places_to_ask = threading.BoundedSemaphore(MAX_ASKING)

    def wait(self, upload: Upload, wait_s: float, *, asks: bool = False) -> Upload | None:
        """The upload as it is when it is over, or after `wait_s`; at once if nothing will happen in
        that time, as far as anybody knows. `asks`: for a request that has brought nothing. None if
        there are too many who wait."""
        if wait_s <= 0 or not self._calls or not _is_under_way(upload, now() + wait_s):
            return upload
        places = self._places_to_ask if asks else self._places
        if not places.acquire(blocking=False):
            return None
        try:
            return self._wait(upload, wait_s)
        finally:
            places.release()

    def _wait(self, upload: Upload, wait_s: float) -> Upload:
        deadline = time.monotonic() + wait_s
        pause_s = FIRST_PAUSE_S
        until = now() + wait_s
        while _is_under_way(upload, until) and (left_s := deadline - time.monotonic()) > 0:
            time.sleep(min(pause_s, left_s))
            pause_s = min(pause_s * 1.5, LONGEST_PAUSE_S)
            known = self._tickets.find(upload.id)
            if known is None:  # its time is over
                break
            upload = known
        return upload


def _is_under_way(upload: Upload, until: float) -> bool:
    """Whether something may become of it by then. An app that has said "wait" takes its time, and
    what has failed has a pause, which may be longer."""
    if upload.is_part:  # which is never handed over
        return False
    if upload.state is UploadState.HANDING_OVER:
        return True
    is_to_be_assembled = takes_bytes(upload.state) and upload.parts is not None
    if is_to_be_assembled or upload.state is UploadState.COMPLETE:
        return upload.reason is None or upload.due_at <= until
    return False


def check_outcome(upload: Upload) -> None:
    """Raises UploadGone if it was cancelled; NotTaken if the web app will not have the file, and
    NotTakenYet if its last attempt came to nothing."""
    reason = upload.reason or "nobody knows why"
    if upload.state is UploadState.CANCELLED:
        raise UploadGone(reason=reason)
    if upload.state is UploadState.FAILED:
        raise NotTaken(reason=reason)
    if upload.state in (UploadState.COMPLETE, UploadState.HANDING_OVER) and upload.reason:
        raise NotTakenYet(reason=upload.reason)


def is_refused(upload: Upload) -> bool:
    """Whether `check_outcome` raises."""
    try:
        check_outcome(upload)
    except (NotTaken, NotTakenYet, UploadGone):
        return True
    return False

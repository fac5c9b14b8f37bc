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
from .uploads import Upload

__all__ = ["Outcomes", "check_outcome"]

# Each waiting request has a thread of the server, and a web app that runs in the same server needs
# one to take a file. Whoever comes when there is no place is told at once what is known by then.
MAX_WAITING = 4
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.005, 0.25
OVER = (UploadState.FINISHED, UploadState.FAILED, UploadState.CANCELLED)


class Outcomes:
    """For one process. `calls`: whether it calls web apps: if not, nobody knows when somebody
    will."""

    def __init__(self, *, tickets: TicketStore, calls: bool) -> None:
        self._tickets = tickets
        self._calls = calls
        self._places = threading.BoundedSemaphore(MAX_WAITING)

    def wait(self, upload: Upload, wait_s: float) -> Upload:
        """The upload as it is when it is over, or after `wait_s`; at once if bytes are missing."""
        if wait_s <= 0 or not self._calls or not _is_under_way(upload):
            return upload
        if not self._places.acquire(blocking=False):
            return upload
        try:
            return self._wait(upload, wait_s)
        finally:
            self._places.release()

    def _wait(self, upload: Upload, wait_s: float) -> Upload:
        deadline = time.monotonic() + wait_s
        pause_s = FIRST_PAUSE_S
        while _is_under_way(upload) and (left_s := deadline - time.monotonic()) > 0:
            time.sleep(min(pause_s, left_s))
            pause_s = min(pause_s * 1.5, LONGEST_PAUSE_S)
            known = self._tickets.find(upload.id)
            if known is None:  # its time is over
                break
            upload = known
        return upload


def _is_under_way(upload: Upload) -> bool:
    if takes_bytes(upload.state):
        return upload.parts is not None  # to be put together
    return upload.state not in OVER and not upload.is_part  # which is never handed over


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

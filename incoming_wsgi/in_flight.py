"""Requests in flight in this process: none waits for its client for ever, no ticket has them all.

A request whose body is still coming holds a thread of the server, or all of a process. So

- a body must come at a minimum rate, with a reserve for pauses (`stall_timeout_s`);
- an upload may have a number of requests in flight; when one more comes, the oldest ends: it is
  the newest that somebody is waiting for, and the oldest that may be of a line that is gone.

To end a request is to shut the reading side of its connection, where the server lends it to us
(gunicorn, Werkzeug): the read that is under way returns with what had arrived, as if the client had
gone away, and that is kept as always. Elsewhere a request can only end between two reads; the
server's own time limits do the rest, docs/operations.md says which.

Each process looks after its own, and nothing but the time for which a thread waits depends on it.
"""

from __future__ import annotations

import logging
import math
import os
import socket
import threading
import time
from collections.abc import Iterable
from contextlib import suppress
from itertools import chain
from typing import Any

from .errors import Unavailable
from .uploads import log_id

__all__ = ["InFlight", "RequestInFlight"]

log = logging.getLogger("incoming_wsgi")

SOCKETS = ("gunicorn.socket", "werkzeug.socket")
# A read is given the time that its bytes take at the minimum rate; one that asks for more than this
# does so because the line has just been fast.
SLOW_READ_BYTES = 64 * 1024
LOOK_EVERY_S = 1.0
ENDING_S = 1.0  # it has a block in its hands, and the line is shut


class InFlight:
    """The requests of this process. `min_rate_bytes_s` 0: they may take as long as they like."""

    def __init__(
        self, *, max_requests_per_upload: int, min_rate_bytes_s: int, stall_timeout_s: float
    ) -> None:
        self._max_requests = max_requests_per_upload
        self._reserve_s = stall_timeout_s if min_rate_bytes_s else math.inf
        self._s_per_byte = 1 / min_rate_bytes_s if min_rate_bytes_s else 0.0
        self._look_every_s = min(LOOK_EVERY_S, stall_timeout_s / 4)
        self._starting: dict[int, threading.Lock] = {}  # by process
        self._start()

    def _start(self) -> None:
        """Also in a process that was forked: the requests there were others, and a lock may be held
        by a thread that is not here."""
        self._lock = threading.Lock()
        # By upload, None for those of no upload; the oldest first. A new one is weighed against
        # those of its own upload alone, however many there are.
        self._requests: dict[str | None, dict[RequestInFlight, None]] = {}
        self._is_watched = False
        self._pid = os.getpid()

    def begin(self, environ: dict[str, Any]) -> RequestInFlight:
        """A request that has come; nothing is known of it before it reads or joins its upload."""
        return RequestInFlight(self, _find_socket(environ), self._reserve_s, self._s_per_byte)

    def add(self, request: RequestInFlight, upload_id: str | None = None) -> None:
        """Raises Unavailable if others with this upload would have to end and cannot be made to."""
        if self._pid != os.getpid():
            # Of the first requests of a process several may come here at once.
            with self._starting.setdefault(os.getpid(), threading.Lock()):
                if self._pid != os.getpid():
                    self._start()
        with self._lock:
            others = self._requests.setdefault(upload_id, {})
            if upload_id is not None and len(others) >= self._max_requests:
                self._make_room(others)
            request.upload_id = upload_id
            others[request] = None
            if request.connection is not None and self._s_per_byte and not self._is_watched:
                self._watch()

    def end_others(self, upload_id: str, newest: RequestInFlight) -> list[RequestInFlight]:
        """End the requests of an upload but `newest`, as far as they can be. Those that have been
        ended, by whomever, and are still there."""
        if self._pid != os.getpid():
            return []
        with self._lock:
            others = [other for other in self._requests.get(upload_id, {}) if other is not newest]
            for other in others:
                if not other.is_ended:
                    other.end("newer_request")
        return [other for other in others if other.is_cut_off]

    def is_there(self, request: RequestInFlight) -> bool:
        with self._lock:
            return request in self._requests.get(request.upload_id, {})

    def _make_room(self, requests: Iterable[RequestInFlight]) -> None:
        """End the oldest requests of an upload if it has too many; with the lock held."""
        others = [other for other in requests if not other.is_ended]
        excess = max(len(others) + 1 - self._max_requests, 0)
        oldest = [other for other in others if other.connection is not None][:excess]
        if len(oldest) < excess:
            raise Unavailable(
                f"This upload has {len(others)} requests under way. Try again when one of them has "
                "ended."
            )
        for other in oldest:
            other.end("newer_request")

    def remove(self, request: RequestInFlight) -> None:
        if self._pid == os.getpid():
            with self._lock:
                others = self._requests.get(request.upload_id, {})
                others.pop(request, None)
                if not others:
                    self._requests.pop(request.upload_id, None)

    def _watch(self) -> None:
        """Start the thread that ends what is too slow. It is there while there is anything to
        watch; with the lock held."""
        thread = threading.Thread(target=self._end_slow, name="incoming-in-flight", daemon=True)
        try:
            thread.start()
        except RuntimeError as exc:  # no more threads; the next request tries again
            log.error("event=watch_not_started error=%s", exc)
        else:
            self._is_watched = True

    def _end_slow(self) -> None:
        while True:
            time.sleep(self._look_every_s)
            with self._lock:
                self._is_watched = bool(self._requests)
                if not self._is_watched:
                    return
                now = time.monotonic()
                for request in chain.from_iterable(self._requests.values()):
                    if request.due < now and not request.is_ended:
                        request.end("too_slow")


class RequestInFlight:
    """One request, and the pace at which its body comes.

    The reserve is the time for which its bytes may stay away. They fill it up again, never beyond
    what it was at the beginning. Only the time of reading counts, not what is done with the bytes.
    """

    __slots__ = (
        "_began",
        "_full_reserve_s",
        "_is_known",
        "_reserve_s",
        "_room",
        "_s_per_byte",
        "connection",
        "due",
        "ended_because",
        "upload_id",
    )

    def __init__(
        self,
        room: InFlight,
        connection: socket.socket | None,
        reserve_s: float,
        s_per_byte: float,
    ) -> None:
        self.connection = connection
        self.upload_id: str | None = None
        self.ended_because: str | None = None
        self.due = math.inf  # when the read that is under way has taken too long
        self._room = room
        self._is_known = False
        self._full_reserve_s = self._reserve_s = reserve_s
        self._s_per_byte = s_per_byte
        self._began = 0.0

    def join(self, upload_id: str) -> None:
        """This brings bytes for an upload. Raises Unavailable if that has too many requests."""
        self._room.add(self, upload_id)
        self._is_known = True

    def end_others(self, upload_id: str, *, wait_s: float = ENDING_S) -> None:
        """This is what the client of the upload wants now, and whatever it wanted before is over.
        Those that cannot be ended find out at their next block; those that can are given `wait_s`
        to record what had arrived."""
        others = self._room.end_others(upload_id, self)
        deadline = time.monotonic() + wait_s
        pause_s = 0.001
        while any(map(self._room.is_there, others)) and time.monotonic() < deadline:
            time.sleep(pause_s)
            pause_s = min(pause_s * 2, 0.05)

    def expect(self, size: int) -> None:
        """A read of `size` bytes begins."""
        if not self._is_known:
            self._room.add(self)
            self._is_known = True
        self._began = time.monotonic()
        wait_s = self._reserve_s + min(size, SLOW_READ_BYTES) * self._s_per_byte
        self.due = self._began + wait_s

    def arrived(self, size: int) -> None:
        """The read has come to its end with `size` bytes."""
        took_s = time.monotonic() - self._began
        self.due = math.inf
        reserve_s = self._reserve_s + size * self._s_per_byte - took_s
        self._reserve_s = min(reserve_s, self._full_reserve_s)
        if reserve_s < 0 and not self.is_ended:
            self.end("too_slow")

    def hurry(self) -> None:
        """From now on bytes earn no more time: nobody wants them."""
        self._s_per_byte = 0.0

    def end(self, why: str) -> None:
        """Let the read that is under way, and each that follows, come to its end."""
        self.ended_because = why
        upload = "" if self.upload_id is None else f"upload={log_id(self.upload_id)} "
        log.info("%sevent=request_ended why=%s", upload, why)
        if self.connection is not None:
            with suppress(OSError):  # the client was faster
                # Of the class: that of a TLS socket would go on in the clear.
                socket.socket.shutdown(self.connection, socket.SHUT_RD)

    @property
    def is_ended(self) -> bool:
        return self.ended_because is not None

    @property
    def is_cut_off(self) -> bool:
        """The server does not see the end of the body: from a connection that has been shut down,
        reading gives what comes all the same, and an end whenever nothing is there."""
        return self.is_ended and self.connection is not None

    def leave(self) -> None:
        if self._is_known:
            self._room.remove(self)


def _find_socket(environ: dict[str, Any]) -> socket.socket | None:
    """The connection of this request alone, if the server lends it."""
    # A connection of HTTP/2 is many requests'.
    if environ.get("SERVER_PROTOCOL") not in ("HTTP/1.0", "HTTP/1.1"):
        return None
    for name in SOCKETS:
        if isinstance(connection := environ.get(name), socket.socket):
            return connection
    return None

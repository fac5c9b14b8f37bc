"""The thread of each process that does what is due, and the same in the foreground for cron.

The thread is started at the first request and again after a fork, which the process id tells: a
thread does not survive a fork, and not every server says that it has forked. One job has one
thread, so that an app that takes its time for one upload does not hold up the others. All threads
are daemons: a process may end at any time, the lease of what it was doing ends by itself.

What a request has leased for this process comes as a job without having been looked for, as long as
there is room, and nothing that was due before waits for room.
"""

from __future__ import annotations

import logging
import math
import os
import threading
import time
from collections.abc import Callable

from .ending import has_ended, is_ending, is_under_way, watch_for_the_exit
from .errors import IncomingError, LeaseLost
from .housekeeping import LEASE_S, Housekeeping
from .threads import Threads
from .tickets.base import Lease
from .tokens import new_token
from .uploads import Upload, log_id, now

__all__ = ["Background", "run_due"]

log = logging.getLogger("incoming_wsgi")

MAX_JOBS = 64  # calls of web apps under way at once, for each process; most of them wait
RENEW_EVERY_S = LEASE_S / 3
LOOK_AGAIN_S = 5.0  # what other processes left behind is found after this at the latest


class Background:
    def __init__(self, housekeeping: Housekeeping) -> None:
        self._housekeeping = housekeeping
        self._starting: dict[int, threading.Lock] = {}  # by process
        self._dispatcher: _Dispatcher | None = None

    def ensure_running(self) -> None:
        """Cheap when it runs already."""
        dispatcher = self._dispatcher
        if (dispatcher is not None and dispatcher.is_running_here()) or is_ending():
            return
        # A lock that came here by fork may be held by a thread that does not exist here; and of the
        # first requests of a process several may come here at once.
        with self._starting.setdefault(os.getpid(), threading.Lock()):
            if self._dispatcher is None or not self._dispatcher.is_running_here():
                dispatcher = _Dispatcher(self._housekeeping)
                try:
                    dispatcher.start()
                except RuntimeError as exc:  # no more threads; the next request tries again
                    log.error("event=background_not_started error=%s", exc)
                else:
                    self._dispatcher = dispatcher

    def look_by(self, due_at: float) -> None:
        """Something is due at that time."""
        dispatcher = self._dispatcher
        if dispatcher is not None and dispatcher.is_running_here():
            dispatcher.look_by(due_at)

    def find_slot(self) -> _Slot | None:
        """For a job whose lease begins in the transaction that makes it; see `last_bytes.py`."""
        dispatcher = self._dispatcher
        if dispatcher is None or not dispatcher.is_running_here():
            return None
        return dispatcher.find_slot()

    def stop(self) -> None:
        """Lease nothing more; what is under way goes on, its leases kept alive, until it has ended
        or the process does."""
        dispatcher, self._dispatcher = self._dispatcher, None
        if dispatcher is not None and dispatcher.is_running_here():
            dispatcher.stop()


def run_due(housekeeping: Housekeeping) -> int:
    """Do what is due now, one after the other, and return when it is done; how much that was."""
    ended = threading.Event()
    jobs = _Jobs(housekeeping, watches=False, ended=lambda _: ended.set())
    done = 0
    # What this run puts off, such as a handover to an app that is down, is not for this run.
    began = now()
    try:
        while not is_ending() and (lease := housekeeping.lease_due(due_by=began)) is not None:
            ended.clear()
            jobs.start(lease)
            while not ended.wait(RENEW_EVERY_S):
                jobs.renew()
            done += 1
    finally:
        jobs.close()
    housekeeping.do_chores()
    return done


class _Dispatcher:
    def __init__(self, housekeeping: Housekeeping) -> None:
        self.pid = os.getpid()
        self._housekeeping = housekeeping
        self._jobs = _Jobs(housekeeping, watches=True, ended=self._ended)
        self._chores = _Chores(housekeeping)
        self._stopping = False
        self._changed = threading.Event()
        # Infinite while it looks: what comes then may have come too late for this look.
        self._next_look_at = math.inf
        self._thread = threading.Thread(target=self._run, name="incoming-background", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def is_running_here(self) -> bool:
        return self.pid == os.getpid()

    def look_by(self, due_at: float) -> None:
        if due_at < self._next_look_at:
            self._changed.set()

    def _ended(self, due_at: float) -> None:
        """A job has; its upload is due again then."""
        if self._stopping or self._jobs.are_waited_for:
            self._changed.set()
        else:
            self.look_by(due_at)

    def find_slot(self) -> _Slot | None:
        slot = self._jobs.find_slot()
        # Who stops looks what is under way after saying so.
        if slot is not None and (self._stopping or is_ending()):
            slot.give_back()
            return None
        return slot

    def stop(self) -> None:
        self._stopping = True
        self._changed.set()
        # It may be about to start one last job, for which nobody here waits.
        while self._thread.is_alive() and not self._jobs.are_running():
            self._thread.join(0.02)

    def _run(self) -> None:
        while not self._stopping or self._jobs.are_running():
            self._next_look_at = math.inf
            self._changed.clear()
            pause_s = LOOK_AGAIN_S
            try:
                pause_s = self._start_what_is_due()
                if not self._stopping:
                    self._chores.start_now_and_then()
            except IncomingError as exc:
                log.error("event=background_failed error=%s", exc)
            except Exception:
                log.exception("event=background_failed")
            self._next_look_at = now() + pause_s
            self._changed.wait(pause_s)
            try:
                self._jobs.renew()
            except Exception:
                log.exception("event=renewal_failed")
        self._jobs.close()

    def _start_what_is_due(self) -> float:
        """How long to wait before the next look. Looking is a read: whoever asks for the state of
        an upload does not take part in the queue of writers."""
        is_under_way(self, self._jobs)
        try:
            return self._start_until_none_is_due()
        finally:
            has_ended(self)

    def _start_until_none_is_due(self) -> float:
        while not self._stopping and not is_ending():
            if not self._jobs.have_room_for_due():
                break
            due_at = self._housekeeping.next_due_at()
            pause_s = LOOK_AGAIN_S if due_at is None else due_at - now() + 0.001
            if due_at is None or due_at > now():
                self._jobs.end_waiting()
                return min(LOOK_AGAIN_S, pause_s)
            lease = self._housekeeping.lease_due()
            if lease is not None:
                self._jobs.start(lease)
        return LOOK_AGAIN_S


class _Jobs:
    """What is under way in this process, each in a thread of its own, its lease kept alive.

    `watches`: see `Housekeeping.look_after`. `ended` is told of each job that has ended when its
    upload is due again, as far as that is known: else 0.
    """

    def __init__(
        self, housekeeping: Housekeeping, *, watches: bool, ended: Callable[[float], None]
    ) -> None:
        self.are_waited_for = False  # something is due, or about to be, and there was no room
        self._watches = watches
        self._ended = ended
        self._housekeeping = housekeeping
        self._threads = Threads("incoming-job")
        self._lock = threading.Lock()  # of `are_waited_for`
        self._running: dict[str, Lease | None] = {}  # None: about to be leased
        self._renewed_at = time.monotonic()

    def __len__(self) -> int:
        return len(self._running)

    def have_room(self) -> bool:
        return len(self._running) < MAX_JOBS

    def have_room_for_due(self) -> bool:
        """If not, it goes before what comes by `find_slot`."""
        with self._lock:
            if not self.have_room():
                self.are_waited_for = True
                return False
            return True

    def end_waiting(self) -> None:
        """Nothing is due."""
        with self._lock:
            self.are_waited_for = False

    def are_running(self) -> bool:
        return bool(self._running)

    def close(self) -> None:
        self._threads.close()

    def find_slot(self) -> _Slot | None:
        with self._lock:
            if not self.have_room():
                self.are_waited_for = True
            return None if self.are_waited_for else self._take(new_token())

    def start(self, lease: Lease) -> None:
        slot = self._take(lease.token)
        try:
            slot.begin(lease, lambda: self._housekeeping.look_after(lease, watches=self._watches))
        except RuntimeError:  # and not for Ctrl-C, by when it may have started
            slot.give_back()  # its lease ends, and somebody else will do it
            raise

    def _take(self, token: str) -> _Slot:
        self._running[token] = None
        is_under_way(token, self)
        watch_for_the_exit()
        return _Slot(self, token)

    def begin(self, lease: Lease, work: Callable[[], Upload | None]) -> None:
        self._running[lease.token] = lease
        self._threads.run(lambda: self._do(lease, work))

    def forget(self, token: str) -> None:
        self._running.pop(token, None)
        has_ended(token)

    def lease_end(self) -> float:
        return self._housekeeping.lease_end()

    def renew(self) -> None:
        """Keep the leases of what is running; to be called at least every RENEW_EVERY_S."""
        if time.monotonic() - self._renewed_at >= RENEW_EVERY_S:
            self._renewed_at = time.monotonic()
            for lease in list(self._running.values()):
                if lease is not None:
                    self._renew(lease)

    def _renew(self, lease: Lease) -> None:
        try:
            self._housekeeping.renew(lease)
        except LeaseLost:
            pass  # whoever has it now decides
        except IncomingError as exc:
            log.error("upload=%s event=renewal_failed error=%s", log_id(lease.upload.id), exc)

    def _do(self, lease: Lease, work: Callable[[], Upload | None]) -> None:
        upload = None
        try:
            upload = work()
        except IncomingError as exc:
            log.error("upload=%s event=background_failed error=%s", log_id(lease.upload.id), exc)
        except Exception:
            log.exception("upload=%s event=background_failed", log_id(lease.upload.id))
        finally:
            self.forget(lease.token)
            self._ended(0.0 if upload is None else upload.due_at)


class _Slot:
    """A job to be, which counts among those that are under way; see `last_bytes.Slot`."""

    def __init__(self, jobs: _Jobs, token: str) -> None:
        self.token = token
        self._jobs = jobs

    def lease_end(self) -> float:
        return self._jobs.lease_end()

    def begin(self, lease: Lease, work: Callable[[], Upload | None]) -> None:
        self._jobs.begin(lease, work)

    def give_back(self) -> None:
        self._jobs.forget(self.token)


class _Chores:
    """Those of this process, in a thread of their own: a slow disk must not hold up the leases."""

    def __init__(self, housekeeping: Housekeeping) -> None:
        self._housekeeping = housekeeping
        self._thread: threading.Thread | None = None
        self._ended_at = time.monotonic()

    def start_now_and_then(self) -> None:
        is_running = self._thread is not None and self._thread.is_alive()
        if not is_running and time.monotonic() - self._ended_at >= LOOK_AGAIN_S:
            self._thread = threading.Thread(target=self._do, name="incoming-chores", daemon=True)
            self._thread.start()

    def _do(self) -> None:
        try:
            self._housekeeping.do_chores()
        except IncomingError as exc:
            log.error("event=chores_failed error=%s", exc)
        except Exception:
            log.exception("event=chores_failed")
        finally:
            self._ended_at = time.monotonic()

"""The thread of each process that does what is due, and the same in the foreground for cron.

The thread is started at the first request and again after a fork, which the process id tells: a
thread does not survive a fork, and not every server says that it has forked. One job has one
thread, so that an app that takes its time for one upload does not hold up the others. All threads
are daemons: a process may end at any time, the lease of what it was doing ends by itself.

A process that ends in good order (SIGTERM to a server, Ctrl-C, `sys.exit`) begins nothing more and
waits for what is under way, so that no app is called twice because of a restart: it does so at its
exit, which every server comes to, and needs no new thread for it, since Python gives none by then.
"""

from __future__ import annotations

import atexit
import logging
import os
import threading
import time
from contextlib import suppress

from .errors import IncomingError, LeaseLost
from .housekeeping import LEASE_S, Housekeeping
from .tickets.base import Lease
from .uploads import log_id, now

__all__ = ["Background", "begin_stop", "run_due"]

log = logging.getLogger("incoming_wsgi")

MAX_JOBS = 64  # calls of web apps under way at once, for each process; most of them wait
RENEW_EVERY_S = LEASE_S / 3
LOOK_AGAIN_S = 5.0  # what other processes left behind is found after this at the latest
# How long a process that ends waits for what is under way. Less than the 30 s after which gunicorn
# kills its workers: what is cut off then would be cut off anyway, and the rest ends in good order.
STOP_S = 25.0


class Background:
    def __init__(self, housekeeping: Housekeeping) -> None:
        self._housekeeping = housekeeping
        self._start_lock = threading.Lock()
        self._dispatcher: _Dispatcher | None = None

    def ensure_running(self) -> None:
        """Cheap when it runs already."""
        dispatcher = self._dispatcher
        if (dispatcher is not None and dispatcher.is_running_here()) or _is_ending():
            return
        if dispatcher is not None:
            # A lock that came here by fork may be held by a thread that does not exist here.
            self._start_lock = threading.Lock()
        with self._start_lock:
            if self._dispatcher is None or not self._dispatcher.is_running_here():
                dispatcher = _Dispatcher(self._housekeeping)
                try:
                    dispatcher.start()
                except RuntimeError as exc:  # no more threads; the next request tries again
                    log.error("event=background_not_started error=%s", exc)
                else:
                    self._dispatcher = dispatcher

    def wake(self) -> None:
        """Something may have become due."""
        if self._dispatcher is not None and self._dispatcher.is_running_here():
            self._dispatcher.wake()

    def stop(self) -> None:
        """Lease nothing more; what is under way goes on, its leases kept alive, until it has ended
        or the process does."""
        dispatcher, self._dispatcher = self._dispatcher, None
        if dispatcher is not None and dispatcher.is_running_here():
            dispatcher.stop()


def run_due(housekeeping: Housekeeping) -> int:
    """Do what is due now, one after the other, and return when it is done; how much that was."""
    jobs = _Jobs(housekeeping, watches=False)
    done = 0
    # What this run puts off, such as a handover to an app that is down, is not for this run.
    began = now()
    while not _is_ending() and (lease := housekeeping.lease_due(due_by=began)) is not None:
        thread = jobs.start(lease)
        while thread.is_alive():
            thread.join(RENEW_EVERY_S)
            jobs.renew()
        done += 1
    housekeeping.do_chores()
    return done


def begin_stop() -> None:
    """This process will end: nothing more is begun in it, and STOP_S count from now. May be called
    in the handler of a signal, and more than once."""
    global _stop_began
    if not _is_ending():
        _stop_began = (os.getpid(), time.monotonic())


# Of which process, for a fork takes them along: when it began to end, and what it has under way.
# Who begins something says so here before looking whether the process ends, and who ends it looks
# here after saying that: one of the two sees the other.
_stop_began = (0, 0.0)
_under_way: dict[object, tuple[int, _Jobs]] = {}
_waited_in = 0  # the process that has waited at its exit


def _is_ending() -> bool:
    return _stop_began[0] == os.getpid()


def _watch_for_the_exit() -> None:
    """Exit functions run in reverse order. This one comes before what closes the connections of all
    threads, for that was registered when the first was opened, to lease what is begun now."""
    atexit.unregister(_end_in_good_order)
    atexit.register(_end_in_good_order)


@atexit.register
def _end_at_last() -> None:
    """What is registered anew while exit functions run is not called any more; this is."""
    _end_in_good_order()


def _end_in_good_order() -> None:
    global _waited_in
    begin_stop()
    if _waited_in == os.getpid():
        return
    _waited_in = os.getpid()
    # Whoever asks a second time does not want to wait.
    with suppress(KeyboardInterrupt, SystemExit):
        _wait_for_jobs(_stop_began[1] + STOP_S)


def _wait_for_jobs(deadline: float) -> None:
    said = 0
    while jobs := {jobs for pid, jobs in list(_under_way.values()) if pid == os.getpid()}:
        count = sum(len(each) for each in jobs)
        if time.monotonic() >= deadline:
            log.warning("event=cut_off under_way=%d", count)
            return
        if count > said:
            said = count
            log.info("event=stopping under_way=%d", count)
        for each in jobs:
            each.renew()
        time.sleep(0.02)


class _Dispatcher:
    def __init__(self, housekeeping: Housekeeping) -> None:
        self.pid = os.getpid()
        self._housekeeping = housekeeping
        self._jobs = _Jobs(housekeeping, watches=True)
        self._chores = _Chores(housekeeping)
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="incoming-background", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def is_running_here(self) -> bool:
        return self.pid == os.getpid()

    def wake(self) -> None:
        self._jobs.changed.set()

    def stop(self) -> None:
        self._stopping = True
        self.wake()
        # It may be about to start one last job, for which nobody here waits.
        while self._thread.is_alive() and not self._jobs.are_running():
            self._thread.join(0.02)

    def _run(self) -> None:
        while not self._stopping or self._jobs.are_running():
            self._jobs.changed.clear()
            pause_s = LOOK_AGAIN_S
            try:
                pause_s = self._start_what_is_due()
                if not self._stopping:
                    self._chores.start_now_and_then()
            except IncomingError as exc:
                log.error("event=background_failed error=%s", exc)
            except Exception:
                log.exception("event=background_failed")
            self._jobs.changed.wait(pause_s)
            try:
                self._jobs.renew()
            except Exception:
                log.exception("event=renewal_failed")

    def _start_what_is_due(self) -> float:
        """How long to wait before the next look. Looking is a read: whoever asks for the state of
        an upload does not take part in the queue of writers."""
        _under_way[self] = (os.getpid(), self._jobs)
        try:
            return self._start_until_none_is_due()
        finally:
            del _under_way[self]

    def _start_until_none_is_due(self) -> float:
        while self._jobs.have_room() and not self._stopping and not _is_ending():
            due_at = self._housekeeping.next_due_at()
            if due_at is None:
                break
            if due_at > now():
                return min(LOOK_AGAIN_S, due_at - now() + 0.001)
            lease = self._housekeeping.lease_due()
            if lease is not None:
                self._jobs.start(lease)
        return LOOK_AGAIN_S


class _Jobs:
    """What is under way in this process, each in a thread of its own, its lease kept alive.
    `watches`: see `Housekeeping.look_after`."""

    def __init__(self, housekeeping: Housekeeping, *, watches: bool) -> None:
        self.changed = threading.Event()
        self._watches = watches
        self._housekeeping = housekeeping
        self._running: dict[str, Lease] = {}
        self._renewed_at = time.monotonic()

    def __len__(self) -> int:
        return len(self._running)

    def have_room(self) -> bool:
        return len(self._running) < MAX_JOBS

    def are_running(self) -> bool:
        return bool(self._running)

    def start(self, lease: Lease) -> threading.Thread:
        thread = threading.Thread(
            target=self._do, args=(lease,), name=f"incoming-{log_id(lease.upload.id)}", daemon=True
        )
        self._running[lease.token] = lease
        _under_way[lease.token] = (os.getpid(), self)
        _watch_for_the_exit()
        try:
            thread.start()
        except RuntimeError:  # and not for Ctrl-C, by when it may have started
            self._forget(lease)  # its lease ends, and somebody else will do it
            raise
        return thread

    def _forget(self, lease: Lease) -> None:
        del self._running[lease.token], _under_way[lease.token]

    def renew(self) -> None:
        """Keep the leases of what is running; to be called at least every RENEW_EVERY_S."""
        if time.monotonic() - self._renewed_at >= RENEW_EVERY_S:
            self._renewed_at = time.monotonic()
            for lease in list(self._running.values()):
                self._renew(lease)

    def _renew(self, lease: Lease) -> None:
        try:
            self._housekeeping.renew(lease)
        except LeaseLost:
            pass  # whoever has it now decides
        except IncomingError as exc:
            log.error("upload=%s event=renewal_failed error=%s", log_id(lease.upload.id), exc)

    def _do(self, lease: Lease) -> None:
        try:
            self._housekeeping.look_after(lease, watches=self._watches)
        except IncomingError as exc:
            log.error("upload=%s event=background_failed error=%s", log_id(lease.upload.id), exc)
        except Exception:
            log.exception("upload=%s event=background_failed", log_id(lease.upload.id))
        finally:
            self._forget(lease)
            self.changed.set()


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

"""A process that ends in good order: SIGTERM to a server, Ctrl-C, `sys.exit`.

It begins nothing more and waits for what is under way, so that no app is called twice because of a
restart: it does so at its exit, which every server comes to, and needs no new thread for it, since
Python gives none by then.
"""

from __future__ import annotations

import atexit
import logging
import os
import time
from contextlib import suppress
from typing import Protocol

__all__ = ["begin_stop", "has_ended", "is_ending", "is_under_way", "watch_for_the_exit"]

log = logging.getLogger("incoming_wsgi")

# How long a process that ends waits for what is under way. Less than the 30 s after which gunicorn
# kills its workers: what is cut off then would be cut off anyway, and the rest ends in good order.
STOP_S = 25.0


class Jobs(Protocol):
    def __len__(self) -> int: ...

    def renew(self) -> None:
        """Keep their leases; called all the time while the process waits for them."""


def begin_stop() -> None:
    """This process will end: nothing more is begun in it, and STOP_S count from now. May be called
    in the handler of a signal, and more than once."""
    global _stop_began
    if not is_ending():
        _stop_began = (os.getpid(), time.monotonic())


def is_ending() -> bool:
    return _stop_began[0] == os.getpid()


def is_under_way(key: object, jobs: Jobs) -> None:
    """From here on the process does not end without `jobs`. Comes before a look whether it ends."""
    _under_way[key] = (os.getpid(), jobs)


def has_ended(key: object) -> None:
    """Nothing to do if it is not under way."""
    _under_way.pop(key, None)


def watch_for_the_exit() -> None:
    """To be called when a connection to the database has been opened. Exit functions run in reverse
    order. This one comes before what closes the connections of all threads, for that was registered
    when the first was opened, to lease what is begun now."""
    global _watched_in
    if _watched_in != os.getpid():
        _watched_in = os.getpid()
        atexit.unregister(_end_in_good_order)
        atexit.register(_end_in_good_order)


# Of which process, for a fork takes them along: when it began to end, and what it has under way.
# Who begins something says so here before looking whether the process ends, and who ends it looks
# here after saying that: one of the two sees the other.
_stop_began = (0, 0.0)
_under_way: dict[object, tuple[int, Jobs]] = {}
_watched_in = 0  # the process that watches for its exit
_waited_in = 0  # the process that has waited at its exit


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

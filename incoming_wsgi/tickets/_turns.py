"""Whose turn it is to write, among the processes of one machine.

In SQLite one who finds the database locked looks again after a time that grows up to a tenth of a
second, and all threads of his process wait with him. Here he looks again soon. Which process writes
is still SQLite's to say: this lock, which the kernel drops with its process, only spares waiting.
"""

from __future__ import annotations

import fcntl
import time
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["TurnNeverCame", "turn_of_process"]

# Between two looks. A transaction takes a fraction of a millisecond; the pause grows for the case
# that many processes look, or that one stands still.
SHORTEST_PAUSE_S, LONGEST_PAUSE_S = 0.0001, 0.002


class TurnNeverCame(Exception):
    pass


@contextmanager
def turn_of_process(descriptor: int | None, timeout_s: float) -> Iterator[None]:
    """Of an open file that no other thread uses meanwhile; None: there are no turns. Raises
    TurnNeverCame."""
    if descriptor is None or not _take(descriptor, timeout_s):
        yield
        return
    try:
        yield
    finally:
        fcntl.flock(descriptor, fcntl.LOCK_UN)


def _take(descriptor: int, timeout_s: float) -> bool:
    """False if the file system has no such locks."""
    pause_s = SHORTEST_PAUSE_S
    deadline = time.monotonic() + timeout_s
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= deadline:
                raise TurnNeverCame("other processes write") from None
        except OSError:
            return False
        else:
            return True
        time.sleep(pause_s)
        pause_s = min(2 * pause_s, LONGEST_PAUSE_S)

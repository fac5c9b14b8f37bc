"""Whose turn it is to write, among the processes of one machine.

In SQLite one who finds the database locked looks again after a time that grows up to a tenth of a
second, and all threads of his process wait with him. Here he looks again soon. Which process writes
is still SQLite's to say: this lock, which the kernel drops with its process, only spares waiting.
"""

from __future__ import annotations

import fcntl
import time

__all__ = ["TurnNeverCame", "end_turn", "take_turn"]

# Between two looks. A transaction takes a fraction of a millisecond; the pause grows for the case
# that many processes look, or that one stands still.
SHORTEST_PAUSE_S, LONGEST_PAUSE_S = 0.0001, 0.002


class TurnNeverCame(Exception):
    pass


def take_turn(descriptor: int | None, timeout_s: float) -> None:
    """Of an open file that no other thread uses meanwhile. There are no turns for None, and where
    the file system has no such locks. Raises TurnNeverCame."""
    if descriptor is None:
        return
    deadline = pause_s = 0.0
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            deadline = deadline or time.monotonic() + timeout_s
            if time.monotonic() >= deadline:
                raise TurnNeverCame("other processes write") from None
        except OSError:
            return
        else:
            return
        pause_s = min(2 * pause_s or SHORTEST_PAUSE_S, LONGEST_PAUSE_S)
        time.sleep(pause_s)


def end_turn(descriptor: int | None) -> None:
    """Also of who does not know whether he has taken it."""
    if descriptor is not None:
        try:  # noqa: SIM105 - which might be interrupted before it begins
            fcntl.flock(descriptor, fcntl.LOCK_UN)
        except OSError:
            pass

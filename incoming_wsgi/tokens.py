"""Names that nobody else has: of leases and of claims to ranges. They are no secrets.

A name is what this process has drawn at random and a number. Random bytes for each would be a
system call for each, at which a thread lets all others go before it.
"""

from __future__ import annotations

import os
import secrets
from itertools import count

__all__ = ["new_token"]

_numbers = count()
_NONE = (0, "")
# Its id, by which a fork is noticed that runs no hooks, and what it has drawn.
_process = _NONE


def new_token() -> str:
    """Never the same again, here or in another process."""
    global _process
    pid, drawn = _process
    if pid != os.getpid():
        drawn = secrets.token_hex(16)
        _process = (os.getpid(), drawn)
    return f"{drawn}{next(_numbers):x}"


def _after_fork_in_child() -> None:
    """An id may be that of an ancestor again."""
    global _process
    _process = _NONE


os.register_at_fork(after_in_child=_after_fork_in_child)

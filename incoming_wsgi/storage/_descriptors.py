"""Descriptors on which locks are taken, none of which a child of a fork keeps.

Such a lock belongs to the open file, and a fork shares that: as long as a child lives that was
forked meanwhile, by the app say, the lock would outlive the process that took it. So a child closes
its copies first of all. It must not unlock: that would end the lock of its parent.
"""

from __future__ import annotations

import os
import threading

__all__ = ["close", "is_open", "open_file"]

FILE_MODE = 0o600  # a ticket's bytes are nobody else's business

# Held during a fork: what is opened is in the book, or not open yet.
_lock = threading.RLock()
_book: set[int] = set()


def open_file(path: str | os.PathLike[str], flags: int) -> int:
    with _lock:
        descriptor = os.open(path, flags | os.O_CLOEXEC, FILE_MODE)
        _book.add(descriptor)
    return descriptor


def is_open(descriptor: int) -> bool:
    """False in a child, for what was opened before the fork."""
    return descriptor in _book


def close(descriptor: int) -> None:
    with _lock:
        if descriptor in _book:
            _book.discard(descriptor)
            os.close(descriptor)


def _after_fork_in_child() -> None:
    global _lock
    _lock = threading.RLock()  # some servers fork in C and run this hook alone
    for descriptor in _book:
        os.close(descriptor)
    _book.clear()


os.register_at_fork(
    before=lambda: _lock.acquire(),
    after_in_parent=lambda: _lock.release(),
    after_in_child=_after_fork_in_child,
)

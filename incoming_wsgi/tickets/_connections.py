"""One SQLite connection for each thread, opened at first use, and none at all during a fork.

SQLite keeps its locks in the process that took them, and a book of them in that process's memory.
A fork copies the book and not the locks: a child that goes on with it, be it on a connection of its
own, believes in locks that it does not have, and the parent deletes the log that the child writes.
So all connections are closed right before a fork and opened again when they are needed, in either
process. That is what `os.register_at_fork` is for. Servers that fork in C do not run such hooks;
they fork before the first request, when nothing is open yet.
"""

from __future__ import annotations

import os
import sqlite3
import threading
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager

__all__ = ["Connections"]


class _Holder:
    """The connection of one thread. The lock is held while it is in use."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.connection: sqlite3.Connection | None = None

    def open(self, connect: Callable[[], sqlite3.Connection]) -> sqlite3.Connection:
        if self.connection is None:
            self.connection = connect()
            # When the thread has ended, or the store is forgotten. Not `__del__`: of a cycle of
            # garbage the connection might be taken first, unclosed.
            self._finalizer = weakref.finalize(self, self.connection.close)
        return self.connection

    def close(self) -> None:
        if self.connection is not None:
            self._finalizer()
            self.connection = None


class _Slot(threading.local):
    holder: _Holder | None = None


class Connections:
    def __init__(self, connect: Callable[[], sqlite3.Connection]) -> None:
        self._connect = connect
        self._slot = _Slot()

    @contextmanager
    def use(self) -> Iterator[sqlite3.Connection]:
        """The connection of this thread."""
        holder = self._slot.holder
        if holder is None:
            holder = self._slot.holder = _register(_Holder())
        with holder.lock:
            yield holder.open(self._connect)

    def close(self) -> None:
        """Close the connection of this thread; those of other threads close when they end."""
        if self._slot.holder is not None:
            self._slot.holder.close()


_registry_lock = threading.Lock()
_holders: weakref.WeakSet[_Holder] = weakref.WeakSet()
_held: list[_Holder] | None = None  # during a fork


def _register(holder: _Holder) -> _Holder:
    with _registry_lock:
        _holders.add(holder)
    return holder


def _before_fork() -> None:
    """Wait until no thread is in the middle of a transaction, and close everything."""
    global _held
    _registry_lock.acquire()
    _held = list(_holders)
    for holder in _held:
        holder.lock.acquire()
        holder.close()


def _after_fork() -> None:
    """In both processes; the thread that forked has the locks in each."""
    global _held
    if _held is None:  # some servers fork in C and run this hook alone
        return
    for holder in _held:
        holder.lock.release()
    _held = None
    _registry_lock.release()


os.register_at_fork(before=_before_fork, after_in_parent=_after_fork, after_in_child=_after_fork)

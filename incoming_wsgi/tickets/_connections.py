"""SQLite connections, as many as are in use at once, and none at all during a fork.

A transaction takes a fraction of a millisecond and a request many: so hundreds of threads get by
with a few connections, each of which is memory and three descriptors, and a new thread finds one
that is open. The one that was used last is used next.

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
from collections import deque
from collections.abc import Callable
from contextlib import suppress

__all__ = ["Connection", "Connections"]

MAX_IDLE = 8  # of those that are open


class Connection(sqlite3.Connection):
    turn: int | None = None
    """A descriptor of the write-ahead log, on which writers wait for each other; closed with the
    connection. None without such a log."""
    log: int | None = None
    """The same, for who syncs the log himself."""
    durable = False
    """Whether a power failure must not undo the transaction that is under way."""

    def close(self) -> None:
        try:
            super().close()
        finally:
            if self.turn is not None:
                os.close(self.turn)
                self.turn = self.log = None


class _Holder:
    """A connection, opened at first use. The lock is held while it is in use."""

    def __init__(self, connect: Callable[[], Connection], free: deque[_Holder]) -> None:
        self.lock = threading.RLock()
        self._connect = connect
        self._free = free
        self._connection: Connection | None = None

    def __enter__(self) -> Connection:
        self.lock.acquire()
        try:
            return self._connection or self._open()
        except BaseException:
            self.lock.release()
            raise

    def __exit__(self, *_: object) -> None:
        is_kept = len(self._free) < MAX_IDLE
        if not is_kept:
            self.close()  # and forgotten: the next one finds one that is open
        self.lock.release()
        if is_kept:
            self._free.append(self)

    def _open(self) -> Connection:
        self._connection = self._connect()
        # When the store is forgotten. Not `__del__`: of a cycle of garbage the connection might be
        # taken first, unclosed.
        self._finalizer = weakref.finalize(self, self._connection.close)
        return self._connection

    def close(self) -> None:
        if self._connection is not None:
            self._connection = None
            self._finalizer()


class Connections:
    def __init__(self, connect: Callable[[], Connection]) -> None:
        self._connect = connect
        self._free: deque[_Holder] = deque()
        self._turns: dict[int, threading.RLock] = {}  # by process
        _stores.add(self)

    @property
    def turn(self) -> threading.RLock:
        """For who writes: had before a connection, so that those who wait need none.

        Made at its first use in a process. A child of a fork may have replaced threads by then
        (gevent), and one of its parent's may be had by a thread that is not there.
        """
        return self._turns.setdefault(os.getpid(), threading.RLock())

    def forget_turns(self) -> None:
        self._turns = {}

    def use(self) -> _Holder:
        """One that nobody else uses, for a `with`."""
        try:
            return self._free.pop()
        except IndexError:
            return _register(_Holder(self._connect, self._free))

    def close(self) -> None:
        """Close those that nobody uses."""
        while True:
            try:
                holder = self._free.pop()
            except IndexError:
                return
            with holder.lock:  # a fork waits
                holder.close()


_registry_lock = threading.Lock()
_holders: weakref.WeakSet[_Holder] = weakref.WeakSet()
_stores: weakref.WeakSet[Connections] = weakref.WeakSet()
_held: list[_Holder] | None = None  # during a fork


def _register(holder: _Holder) -> _Holder:
    with _registry_lock:
        _holders.add(holder)
    return holder


def _before_fork() -> None:
    """Wait until no thread is in the middle of a transaction, and close everything."""
    global _held
    _registry_lock.acquire()
    _held = []
    for holder in list(_holders):
        holder.lock.acquire()
        _held.append(holder)
        # Whatever is wrong with one: the others, and the locks, are given back after the fork.
        with suppress(Exception):
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


def _after_fork_in_child() -> None:
    for store in _stores:
        store.forget_turns()  # a process id may come again
    _after_fork()


os.register_at_fork(
    before=_before_fork, after_in_parent=_after_fork, after_in_child=_after_fork_in_child
)

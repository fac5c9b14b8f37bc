"""One SQLite connection for each thread of each process, opened at first use.

A connection that came here by fork is neither used nor closed: closing would drop the locks of the
process that owns it. It is parked for as long as this process lives. Whether a fork has happened is
told by the process id, for not every server runs `os.register_at_fork` hooks.
"""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Callable

__all__ = ["Connections"]

_parked: list[object] = []


class _Holder:
    """Closes its connection when its thread ends, unless that happens in a forked process."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self.connection = connection
        self._pid = os.getpid()

    def close(self) -> None:
        if self._pid == os.getpid():
            self.connection.close()
        else:
            _parked.append(self.connection)

    __del__ = close


class _Slot(threading.local):
    holder: _Holder | None = None


class Connections:
    def __init__(self, connect: Callable[[], sqlite3.Connection]) -> None:
        self._connect = connect
        self._pid = os.getpid()
        self._slot = _Slot()

    def get(self) -> sqlite3.Connection:
        if self._pid != os.getpid():
            _parked.append(self._slot)
            self._slot = _Slot()
            self._pid = os.getpid()
        holder = self._slot.holder
        if holder is None:
            holder = self._slot.holder = _Holder(self._connect())
        return holder.connection

    def close(self) -> None:
        """Close the connection of this thread; those of other threads close when they end."""
        self._slot.holder = None

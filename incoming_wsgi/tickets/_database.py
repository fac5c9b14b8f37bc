"""The database file: made, opened for each thread, and the transactions on it.

Facts this room is built on:

* WAL with a transaction that reads first and writes later fails at once with "database is locked"
  when another has written in between, whatever the timeout; BEGIN IMMEDIATE does not. So each
  writing transaction begins as a writer (`writing`), is short, and does no other I/O than to ask
  how much room there is.
* A connection must not live through a fork. `_connections.py` keeps one for each thread, opens it
  at first use, and closes all of them for a fork.
* WAL needs shared memory, so all processes on one host and no network file system: there the
  rollback journal is used (`_filesystems.py`).
* With `synchronous = NORMAL` a power failure may undo the last commits, never corrupt; a commit
  with FULL is not undone, nor is any before it.
"""

from __future__ import annotations

import os
import random
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..errors import StorageFull, TicketStoreError, Unavailable
from ..folders import sync_folder
from ._connections import Connections
from ._filesystems import is_network_file_system

__all__ = ["Database"]

DATABASE_MODE = 0o600  # tickets are capabilities, and the secrets of apps stand here
BUSY_TIMEOUT_S = 30.0


class Database:
    """With `durable` every commit reaches the disk, otherwise those that ask for it."""

    def __init__(self, path: Path, *, durable: bool) -> None:
        self.path = path
        self._durable = durable
        self._connections = Connections(self._connect)

    @contextmanager
    def once(self) -> Iterator[sqlite3.Connection]:
        """A connection that is closed at the end; nothing stays open."""
        with self._errors():
            connection = self._connect()
            try:
                yield connection
            finally:
                connection.close()

    @contextmanager
    def using(self) -> Iterator[sqlite3.Connection]:
        """The connection of this thread, for a single statement."""
        with self._errors(), self._connections.use() as connection:
            yield connection

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """One snapshot for several statements."""
        with self.using() as connection:
            connection.execute("BEGIN")
            try:
                yield connection
            finally:
                if connection.in_transaction:
                    connection.execute("COMMIT")

    @contextmanager
    def writing(self, *, durable: bool = False) -> Iterator[sqlite3.Connection]:
        """A transaction; with `durable` one that a power failure does not undo."""
        with self.using() as connection:
            synchronous = (
                connection.execute("PRAGMA synchronous").fetchone()[0] if durable else None
            )
            if durable:
                connection.execute("PRAGMA synchronous = FULL")
            try:
                connection.execute("BEGIN IMMEDIATE")
                try:
                    yield connection
                    connection.execute("COMMIT")
                except BaseException:
                    if connection.in_transaction:  # SQLite itself rolls back when the disk is full
                        connection.execute("ROLLBACK")
                    raise
            finally:
                if durable:
                    connection.execute(f"PRAGMA synchronous = {synchronous}")

    def close(self) -> None:
        self._connections.close()

    def _connect(self) -> sqlite3.Connection:
        self._create_file()
        connection = sqlite3.connect(
            self.path,
            timeout=BUSY_TIMEOUT_S,
            isolation_level=None,  # transactions begin and end where `writing` says so
            check_same_thread=False,  # `close()` ends those of other threads
        )
        try:
            self._configure(connection)
        except BaseException:
            connection.close()
            raise
        return connection

    def _create_file(self) -> None:
        """Make the database here and not by SQLite, so that it never exists with a wider mode; the
        -wal and -shm files take its mode.

        A file that exists is not even opened: closing it again would drop the locks that SQLite has
        on it for this process.
        """
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        try:
            os.close(os.open(self.path, flags, DATABASE_MODE))
        except FileExistsError:
            return
        except OSError as exc:
            raise TicketStoreError(
                f"The ticket database {self.path} cannot be made: {exc.strerror}"
            ) from exc
        sync_folder(self.path.parent)

    def _configure(self, connection: sqlite3.Connection) -> None:
        connection.row_factory = sqlite3.Row
        # A rollback journal works on network file systems as far as their locks do.
        journal = "DELETE" if is_network_file_system(self.path.parent) else "WAL"
        _set_journal(connection, journal)
        full = self._durable or journal == "DELETE"
        connection.execute(f"PRAGMA synchronous = {'FULL' if full else 'NORMAL'}")
        connection.execute("PRAGMA foreign_keys = ON")

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.OperationalError as exc:
            message = str(exc)
            if "full" in message:
                raise StorageFull(f"There is no room for the ticket database: {exc}") from exc
            if "locked" in message or "busy" in message:
                raise Unavailable(
                    f"The ticket database was busy for {BUSY_TIMEOUT_S:g} s: {exc}"
                ) from exc
            raise TicketStoreError(f"The ticket database {self.path} failed: {exc}") from exc
        except sqlite3.DatabaseError as exc:
            raise TicketStoreError(f"The ticket database {self.path} is not usable: {exc}") from exc


def _set_journal(connection: sqlite3.Connection, journal: str) -> None:
    """Where several processes start at once on a new folder, all want to change it; SQLite's own
    time-out does not apply to that, it fails at once."""
    deadline = time.monotonic() + BUSY_TIMEOUT_S
    while True:
        try:
            connection.execute(f"PRAGMA journal_mode = {journal}")
        except sqlite3.OperationalError as exc:
            if "locked" not in str(exc) or time.monotonic() >= deadline:
                raise
            time.sleep(random.uniform(0.005, 0.02))
        else:
            return

"""The database file: made, opened, and the transactions on it.

Facts this room is built on:

* WAL with a transaction that reads first and writes later fails at once with "database is locked"
  when another has written in between, whatever the timeout; BEGIN IMMEDIATE does not. So each
  writing transaction begins as a writer (`writing`), is short, and does no other I/O than to ask
  how much room there is.
* A connection must not live through a fork. `_connections.py` opens them at first use and closes
  all of them for a fork.
* WAL needs shared memory, so all processes on one host and no network file system: there the
  rollback journal is used (`_filesystems.py`).
* With `synchronous = NORMAL` a power failure may undo the last commits, never corrupt.

A commit that must last (`durable`) is synced after it, when the next writer has his turn already:
one sync of the disk takes as long as several transactions, and those of many threads and processes
the kernel does together. SQLite's own way, `synchronous = FULL`, syncs while it keeps all others
out. It is as safe as long as the disk does what it is told:

* The commit stands in the write-ahead log, behind all that were before it, and `fdatasync` of the
  log takes all of them to the disk. Until then `writing` has not returned.
* What is not in the log any more was moved to the database by a checkpoint, which with NORMAL syncs
  the log before and the database after that, and only then may the log be written from its start.
* The log is removed with the last connection alone, and ours is open. It begins with a header that
  SQLite syncs together with the folder.
* The descriptor is as old as the connection, so older than the commit: an error of writing back is
  reported to it, even if others have seen it before. SQLite has no locks on the log, which closing
  a descriptor would drop; they are on the database and its -shm file.

What is different: others see such a commit before it is on the disk. Who then acts on it outside
waits for a durable commit of his own, which syncs this one too (before the app is called there is
HAND_OVER), or for a sync: `MUST_LAST` in `sqlite.py`.

And a sync that fails comes too late. The log may have a hole then, at which a recovery stops: all
that comes after it would be lost with it, while Linux reports the error only once and every later
sync seems to succeed. So whoever has seen the error writes the same bytes of the log again, which
makes the kernel write them, while nobody else can write; until that has succeeded no transaction of
his process begins and no sync is believed. A process with a descriptor that is older than the error
sees it at its own next sync. What is left are

* a machine that crashes in the moment between the error and the end of writing again, after another
  process has opened the log anew, and has committed, in that moment;
* the same for longer, if the disk refuses what is written again, or its process dies before;
* a file system that, having failed to write something, forgets it in memory too. (ext4 does not
  after an error of the disk.)
"""

from __future__ import annotations

import errno
import os
import random
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from os import fdatasync
from pathlib import Path

from ..errors import IncomingError, StorageFull, TicketStoreError, Unavailable
from ..folders import sync_folder
from ._connections import Connection, Connections
from ._filesystems import is_network_file_system
from ._turns import TurnNeverCame, end_turn, take_turn

__all__ = ["Database"]

# After so many pages of 4 KiB the log goes into the database, which waits for the disk twice while
# nobody else can write. Small uploads change the same few pages again and again.
CHECKPOINT_PAGES = 4000
DATABASE_MODE = 0o600  # tickets are capabilities, and the secrets of apps stand here
BUSY_TIMEOUT_S = 30.0
WRITE_AGAIN_BYTES = 1 << 20


class _LogTorn(Exception):
    """A sync has failed, or one before it, so that its success would mean nothing."""


class Database:
    """With `durable` every commit reaches the disk before it is seen, otherwise those that ask for
    it before their method returns."""

    def __init__(self, path: Path, *, durable: bool) -> None:
        self.path = path
        self._durable = durable
        self._connections = Connections(self._connect)
        self._is_log_torn = False  # what stands in the log may not be on the disk

    @contextmanager
    def once(self) -> Iterator[Connection]:
        """A connection that is closed at the end; nothing stays open."""
        try:
            connection = self._connect()
            try:
                yield connection
            finally:
                connection.close()
        except sqlite3.DatabaseError as exc:
            raise self._translated(exc) from exc

    @contextmanager
    def using(self) -> Iterator[Connection]:
        """A connection of one's own, for a single statement."""
        try:
            with self._connections.use() as connection:
                yield connection
        except sqlite3.DatabaseError as exc:
            raise self._translated(exc) from exc

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """One snapshot for several statements."""
        with self.using() as connection:
            try:
                connection.execute("BEGIN")
                yield connection
            finally:
                if connection.in_transaction:
                    connection.execute("COMMIT")

    @contextmanager
    def writing(self, *, durable: bool = False) -> Iterator[Connection]:
        """A transaction; if it is `durable`, or has become so, one that a power failure does not
        undo. TicketStoreError if the sync fails, though the commit is there to see."""
        # The handler of a signal may raise anywhere (Ctrl-C, a time limit of the app's). So what is
        # taken is taken where it will be given back, and that does not ask whether it was.
        turn = self._connections.turn
        try:
            if not turn.acquire(timeout=BUSY_TIMEOUT_S):
                raise TurnNeverCame("other threads write")
            with self._connections.use() as connection:
                try:
                    take_turn(connection.turn, BUSY_TIMEOUT_S)
                    try:
                        connection.execute("BEGIN IMMEDIATE")
                        if self._is_log_torn:
                            self._write_log_again()
                        connection.durable = durable
                        yield connection
                        connection.execute("COMMIT")
                    except BaseException:
                        # SQLite itself rolls back when the disk is full.
                        if connection.in_transaction:
                            connection.execute("ROLLBACK")
                        raise
                finally:
                    end_turn(connection.turn)
                if connection.durable:
                    _release(turn)  # the next one begins meanwhile
                    self._sync(connection)
        except _LogTorn as exc:
            raise self._not_synced(exc) from exc
        except TurnNeverCame as exc:
            raise self._busy(exc) from exc
        except sqlite3.DatabaseError as exc:
            raise self._translated(exc) from exc
        finally:
            _release(turn)

    def sync(self) -> None:
        """What has been committed so far, by whomever, survives a power failure from now on."""
        if self._is_log_torn:
            self._mend_log()
        try:
            with self.using() as connection:
                self._sync(connection)
        except _LogTorn as exc:
            raise self._not_synced(exc) from exc

    def _sync(self, connection: Connection) -> None:
        if connection.log is None:  # SQLite syncs by itself
            return
        try:
            fdatasync(connection.log)
        except OSError as exc:
            self._is_log_torn = True
            raise _LogTorn(exc.strerror) from exc
        if self._is_log_torn:  # the error may have been reported to another thread alone
            raise _LogTorn("an earlier sync has failed")

    def _not_synced(self, why: _LogTorn) -> TicketStoreError:
        with suppress(IncomingError):  # else the next one tries it
            self._mend_log()
        return TicketStoreError(f"The ticket database cannot be synced: {why}")

    def _mend_log(self) -> None:
        """In a turn of its own: a transaction begins with that."""
        with self.writing():
            pass

    def _write_log_again(self) -> None:
        """Within a transaction, so that nobody else writes there, be it to begin the log anew."""
        try:
            log = os.open(f"{self.path}-wal", os.O_RDWR | os.O_CLOEXEC)
            try:
                position = 0
                while block := os.pread(log, WRITE_AGAIN_BYTES, position):
                    position += os.pwrite(log, block, position)
                fdatasync(log)
            finally:
                os.close(log)
        except OSError as exc:
            if exc.errno in (errno.ENOSPC, errno.EDQUOT):
                raise StorageFull(f"There is no room for the ticket database: {exc}") from exc
            raise TicketStoreError(
                f"The ticket database has not reached the disk, and cannot: {exc.strerror}"
            ) from exc
        self._is_log_torn = False
        # Descriptors that are older than the error would report it once more, each of them.
        self._connections.close()

    def close(self) -> None:
        self._connections.close()

    def _connect(self) -> Connection:
        self._create_file()
        connection = sqlite3.connect(
            self.path,
            timeout=BUSY_TIMEOUT_S,
            isolation_level=None,  # transactions begin and end where `writing` says so
            check_same_thread=False,  # one thread after the other uses it
            factory=Connection,
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

    def _configure(self, connection: Connection) -> None:
        # A rollback journal works on network file systems as far as their locks do.
        journal = "delete" if is_network_file_system(self.path.parent) else "wal"
        journal = _set_journal(connection, journal)
        is_wal = journal == "wal"
        full = self._durable or not is_wal
        connection.execute(f"PRAGMA synchronous = {'FULL' if full else 'NORMAL'}")
        connection.execute("PRAGMA foreign_keys = ON")
        if is_wal:
            connection.execute(f"PRAGMA wal_autocheckpoint = {CHECKPOINT_PAGES}")
            connection.execute("SELECT 1 FROM sqlite_master").fetchall()  # opens the log
            log = f"{self.path}-wal"
            try:
                connection.turn = os.open(log, os.O_RDONLY | os.O_CLOEXEC)
            except OSError as exc:
                raise TicketStoreError(f"{log} cannot be opened: {exc.strerror}") from exc
            connection.log = None if full else connection.turn

    def _translated(self, exc: sqlite3.DatabaseError) -> IncomingError:
        if isinstance(exc, sqlite3.OperationalError):
            message = str(exc)
            if "full" in message:
                return StorageFull(f"There is no room for the ticket database: {exc}")
            if "locked" in message or "busy" in message:
                return self._busy(exc)
            return TicketStoreError(f"The ticket database {self.path} failed: {exc}")
        return TicketStoreError(f"The ticket database {self.path} is not usable: {exc}")

    def _busy(self, why: object) -> Unavailable:
        return Unavailable(f"The ticket database was busy for {BUSY_TIMEOUT_S:g} s or more: {why}")


def _release(turn: threading.RLock) -> None:
    """Also if it is not this thread's, or not any more."""
    try:  # noqa: SIM105 - which might be interrupted before it begins
        turn.release()
    except RuntimeError:
        pass


def _set_journal(connection: sqlite3.Connection, journal: str) -> str:
    """The one that it has then. Where several processes start at once on a new folder, all want to
    change it; SQLite's own time-out does not apply to that, it fails at once."""
    deadline = time.monotonic() + BUSY_TIMEOUT_S
    while True:
        try:
            (now,) = connection.execute(f"PRAGMA journal_mode = {journal}").fetchone()
        except sqlite3.OperationalError as exc:
            if "locked" not in str(exc) or time.monotonic() >= deadline:
                raise
            time.sleep(random.uniform(0.005, 0.02))
        else:
            return str(now)

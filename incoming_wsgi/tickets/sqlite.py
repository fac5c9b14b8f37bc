"""The ticket store on SQLite: one file that all processes of one machine share.

Facts this room is built on:

* WAL with a transaction that reads first and writes later fails at once with "database is locked"
  when another has written in between, whatever the timeout; BEGIN IMMEDIATE does not. So each
  writing transaction begins as a writer (`_writing`), is short, and does no other I/O.
* A connection must not live through a fork. `_connections.py` keeps one for each thread, opens it
  at first use, and closes all of them for a fork.
* WAL needs shared memory, so all processes on one host and no network file system: there the
  rollback journal is used (`_filesystems.py`).

Every change is guarded: a state changes only from the state that was read in the same transaction.
"""

from __future__ import annotations

import os
import random
import secrets
import sqlite3
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from ..errors import (
    LeaseLost,
    StorageFull,
    TicketStoreError,
    Unavailable,
)
from ..ranges import Range
from ..states import Event, UploadState, takes_bytes
from ..uploads import ChunkDigest, Upload
from ._connections import Connections
from ._filesystems import is_network_file_system
from ._rows import (
    SELECT_UPLOAD,
    apply,
    check_lease,
    find_claims,
    find_row,
    insert_claim,
    insert_upload,
    load_row,
    record_range,
    take_away,
    to_upload,
)
from ._schema import migrate
from .base import Decide, Lease, TicketStore, WriteClaim

__all__ = ["SQLiteTicketStore"]

DATABASE_MODE = 0o600  # tickets are capabilities, and the secrets of apps stand here
BUSY_TIMEOUT_S = 30.0

# What can be done for a due upload without the web app's callback; see `lease_due`.
NEEDS_NO_CALLBACK = (
    "(signal_finish_url IS NOT NULL OR notified OR state NOT IN "
    "('COMPLETE', 'HANDING_OVER', 'CANCELLED'))"
)


class SQLiteTicketStore(TicketStore):
    """`path` must be on a local disk for speed; the folder must exist.

    With `durable` each commit reaches the disk before it is acknowledged. Otherwise it survives
    the death of any process, and a power failure may undo the last of them, never corrupt.
    """

    def __init__(self, path: str | os.PathLike[str], *, durable: bool = False) -> None:
        self.path = Path(path).absolute()
        self._durable = durable
        self._connections = Connections(self._connect)

    def prepare(self) -> None:
        with _sqlite_errors(self.path):
            connection = self._connect()
            try:
                migrate(connection, self.path)
            finally:
                connection.close()

    def close(self) -> None:
        self._connections.close()

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
            pass
        except OSError as exc:
            raise TicketStoreError(
                f"The ticket database {self.path} cannot be made: {exc.strerror}"
            ) from exc

    def _connect(self) -> sqlite3.Connection:
        self._create_file()
        connection = sqlite3.connect(
            self.path,
            timeout=BUSY_TIMEOUT_S,
            isolation_level=None,  # transactions begin and end where `_writing` says so
            check_same_thread=False,  # `close()` ends those of other threads
        )
        try:
            self._configure(connection)
        except BaseException:
            connection.close()
            raise
        return connection

    def _configure(self, connection: sqlite3.Connection) -> None:
        connection.row_factory = sqlite3.Row
        # A rollback journal works on network file systems as far as their locks do.
        journal = "DELETE" if is_network_file_system(self.path.parent) else "WAL"
        _set_journal(connection, journal)
        full = self._durable or journal == "DELETE"
        connection.execute(f"PRAGMA synchronous = {'FULL' if full else 'NORMAL'}")
        connection.execute("PRAGMA foreign_keys = ON")

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        """One snapshot for several statements."""
        with _sqlite_errors(self.path), self._connections.use() as connection:
            connection.execute("BEGIN")
            try:
                yield connection
            finally:
                if connection.in_transaction:
                    connection.execute("COMMIT")

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        with _sqlite_errors(self.path), self._connections.use() as connection:
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
            except BaseException:
                if connection.in_transaction:  # SQLite itself rolls back when the disk is full
                    connection.execute("ROLLBACK")
                raise
            connection.execute("COMMIT")

    # tickets

    def create(self, upload: Upload) -> None:
        with self._writing() as connection:
            try:
                insert_upload(connection, upload)
            except sqlite3.IntegrityError as exc:
                raise TicketStoreError(
                    f"There is an upload {upload.id[:8]} already; ids are used once."
                ) from exc

    def find(self, upload_id: str) -> Upload | None:
        with self._reading() as connection:
            found = find_row(connection, upload_id)
            return to_upload(connection, found) if found else None

    def list_uploads(
        self, *, state: UploadState | None = None, limit: int = 1000
    ) -> tuple[Upload, ...]:
        with self._reading() as connection:
            rows = connection.execute(
                f"{SELECT_UPLOAD} WHERE :state IS NULL OR state = :state "
                "ORDER BY key DESC LIMIT :limit",
                {"state": state.value if state else None, "limit": limit},
            ).fetchall()
            return tuple(to_upload(connection, row) for row in rows)

    def count_by_state(self) -> dict[UploadState, int]:
        with self._reading() as connection:
            rows = connection.execute("SELECT state, COUNT(*) FROM uploads GROUP BY state")
            return {UploadState(state): count for state, count in rows}

    def transition(
        self,
        upload_id: str,
        event: Event,
        decide: Decide,
        *,
        lease: str | None = None,
        keep_lease: bool = False,
    ) -> Upload:
        with self._writing() as connection:
            row = load_row(connection, upload_id)
            check_lease(row, lease)
            return apply(connection, row, event, decide, lease if keep_lease else None)

    def remove(self, upload_id: str, *, lease: str) -> None:
        with self._writing() as connection:
            row = load_row(connection, upload_id)
            check_lease(row, lease)
            connection.execute("DELETE FROM uploads WHERE key = ?", (row["key"],))

    # bytes

    def claim_range(self, upload_id: str, start: int, stop: int, decide: Decide) -> WriteClaim:
        with self._writing() as connection:
            row = load_row(connection, upload_id)
            upload = to_upload(connection, row)
            if not takes_bytes(upload.state):
                decide(upload)
                return WriteClaim(upload, owner="", gaps=(), displaced=False)
            gaps = upload.received.missing(start, stop)
            upload = apply(connection, row, Event.STORE, decide)
            if not gaps:
                return WriteClaim(upload, owner="", gaps=(), displaced=False)
            owner = secrets.token_hex(8)
            displaced = False
            for gap_start, gap_stop in gaps:
                displaced |= take_away(connection, row["key"], gap_start, gap_stop)
                insert_claim(connection, row["key"], gap_start, gap_stop, owner)
            return WriteClaim(upload, owner, gaps, displaced)

    def may_write(self, claim: WriteClaim, start: int, stop: int) -> bool:
        with _sqlite_errors(self.path), self._connections.use() as connection:
            row = connection.execute(
                "SELECT 1 FROM claims WHERE upload = (SELECT key FROM uploads WHERE id = ?)"
                " AND start <= ? AND stop >= ? AND owner = ?",
                (claim.upload.id, start, stop, claim.owner),
            ).fetchone()
            return row is not None

    def record_ranges(
        self,
        claim: WriteClaim,
        ranges: Iterable[Range],
        decide: Decide,
        *,
        release: bool,
        digest: ChunkDigest | None = None,
    ) -> Upload:
        with self._writing() as connection:
            row = load_row(connection, claim.upload.id)
            key = row["key"]
            own = find_claims(connection, key, claim.owner)
            if release:
                connection.execute(
                    "DELETE FROM claims WHERE upload = ? AND owner = ?", (key, claim.owner)
                )
            if takes_bytes(UploadState(row["state"])):
                for start, stop in ranges:
                    for own_start, own_stop in own:
                        record_range(connection, key, max(start, own_start), min(stop, own_stop))
                if digest and own.covers(digest.start, digest.stop):
                    connection.execute(
                        "INSERT OR IGNORE INTO digests (upload, start, stop, sha256) "
                        "VALUES (?, ?, ?, ?)",
                        (key, digest.start, digest.stop, digest.sha256),
                    )
                return apply(connection, row, Event.STORE, decide)
            return to_upload(connection, row)

    def find_digests(self, upload_id: str) -> tuple[ChunkDigest, ...]:
        with self._reading() as connection:
            rows = connection.execute(
                "SELECT start, stop, sha256 FROM digests "
                "WHERE upload = (SELECT key FROM uploads WHERE id = ?) ORDER BY start, stop",
                (upload_id,),
            )
            return tuple(ChunkDigest(*row) for row in rows)

    # work that is due

    def lease_due(self, due_by: float, until: float, *, in_process: bool) -> Lease | None:
        token = secrets.token_hex(16)
        with self._writing() as connection:
            row = connection.execute(
                f"{SELECT_UPLOAD} WHERE due_at <= :due_by AND (:in_process OR {NEEDS_NO_CALLBACK}) "
                "ORDER BY due_at LIMIT 1",
                {"due_by": due_by, "in_process": in_process},
            ).fetchone()
            if row is None:
                return None
            connection.execute(
                "UPDATE uploads SET lease = ?, due_at = ? WHERE key = ?",
                (token, until, row["key"]),
            )
            # The upload as it was when it was found due: its `due_at` says since when.
            return Lease(to_upload(connection, row), token)

    def renew_lease(self, lease: Lease, until: float) -> None:
        with self._writing() as connection:
            renewed = connection.execute(
                "UPDATE uploads SET due_at = ? WHERE id = ? AND lease = ?",
                (until, lease.upload.id, lease.token),
            ).rowcount
            if renewed != 1:
                raise LeaseLost

    def next_due_at(self, *, in_process: bool) -> float | None:
        with self._reading() as connection:
            row = connection.execute(
                f"SELECT due_at FROM uploads WHERE :in_process OR {NEEDS_NO_CALLBACK} "
                "ORDER BY due_at LIMIT 1",
                {"in_process": in_process},
            ).fetchone()
            return row["due_at"] if row else None


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


@contextmanager
def _sqlite_errors(path: Path) -> Iterator[None]:
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
        raise TicketStoreError(f"The ticket database {path} failed: {exc}") from exc
    except sqlite3.DatabaseError as exc:
        raise TicketStoreError(f"The ticket database {path} is not usable: {exc}") from exc

"""The tables of the ticket database, and the way from each older form to the present one.

`PRAGMA user_version` is the number of migrations that have been applied.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path

from ..errors import TicketStoreError
from ._usage import COUNT_UNKNOWN_LENGTHS, COUNT_USAGE

__all__ = ["MIGRATIONS", "migrate"]

APPLICATION_ID = 0x494E434D  # "INCM": tells our file from any other SQLite database


def _add_up(table: str, column: str) -> tuple[str, ...]:
    """Triggers that keep in `column` of an upload how many bytes its ranges in `table` have: also
    what is written by processes of an older version, which end when they have answered."""
    change = f"UPDATE uploads SET {column} = {column}"
    return (
        f"CREATE TRIGGER {table}_come AFTER INSERT ON {table} BEGIN"
        f" {change} + NEW.stop - NEW.start WHERE key = NEW.upload; END",
        f"CREATE TRIGGER {table}_go AFTER DELETE ON {table} BEGIN"
        f" {change} - (OLD.stop - OLD.start) WHERE key = OLD.upload; END",
        f"CREATE TRIGGER {table}_change AFTER UPDATE ON {table} BEGIN"
        f" {change} - (OLD.stop - OLD.start) + NEW.stop - NEW.start WHERE key = NEW.upload; END",
    )


MIGRATIONS: tuple[tuple[str, ...], ...] = (
    (
        """
        CREATE TABLE uploads (
            key INTEGER PRIMARY KEY,
            id TEXT NOT NULL UNIQUE,
            state TEXT NOT NULL,
            created_at REAL NOT NULL,
            owner TEXT,
            secret TEXT NOT NULL,
            signal_finish_url TEXT,
            remove_file_when_finished INTEGER NOT NULL,
            max_length_bytes INTEGER,
            filename TEXT,
            length INTEGER,
            content_type TEXT,
            last_modified INTEGER,
            delivery_id TEXT NOT NULL,
            attempt INTEGER NOT NULL,
            completed_at REAL,
            give_up_at REAL,
            reason TEXT,
            notified INTEGER NOT NULL,
            due_at REAL NOT NULL,
            lease TEXT
        )
        """,
        "CREATE INDEX uploads_by_due_at ON uploads (due_at)",
        """
        CREATE TABLE ranges (
            upload INTEGER NOT NULL REFERENCES uploads ON DELETE CASCADE,
            start INTEGER NOT NULL,
            stop INTEGER NOT NULL,
            PRIMARY KEY (upload, start)
        ) WITHOUT ROWID
        """,
        # Disjoint: each byte belongs to one claim at most.
        """
        CREATE TABLE claims (
            upload INTEGER NOT NULL REFERENCES uploads ON DELETE CASCADE,
            start INTEGER NOT NULL,
            stop INTEGER NOT NULL,
            owner TEXT NOT NULL,
            PRIMARY KEY (upload, start)
        ) WITHOUT ROWID
        """,
        """
        CREATE TABLE digests (
            upload INTEGER NOT NULL REFERENCES uploads ON DELETE CASCADE,
            start INTEGER NOT NULL,
            stop INTEGER NOT NULL,
            sha256 TEXT NOT NULL,
            PRIMARY KEY (upload, start, stop)
        ) WITHOUT ROWID
        """,
    ),
    ("ALTER TABLE uploads ADD COLUMN relative_path TEXT",),
    (
        "ALTER TABLE uploads ADD COLUMN accept TEXT",
        "ALTER TABLE uploads ADD COLUMN idle_timeout_s REAL",
        # The run of the machine in which ranges were recorded that are not synced, and when to
        # sync them; both NULL if all are.
        "ALTER TABLE uploads ADD COLUMN boot_id TEXT",
        "ALTER TABLE uploads ADD COLUMN sync_at REAL",
        "CREATE INDEX uploads_by_sync_at ON uploads (sync_at) WHERE sync_at IS NOT NULL",
        "CREATE INDEX uploads_that_take_room ON uploads (owner)"
        " WHERE state NOT IN ('FINISHED', 'CANCELLED')",
        # A part of `ranges`: what would survive a power failure.
        """
        CREATE TABLE synced (
            upload INTEGER NOT NULL REFERENCES uploads ON DELETE CASCADE,
            start INTEGER NOT NULL,
            stop INTEGER NOT NULL,
            PRIMARY KEY (upload, start)
        ) WITHOUT ROWID
        """,
        "INSERT INTO synced SELECT upload, start, stop FROM ranges",
        "CREATE TABLE chores (name TEXT PRIMARY KEY, due_at REAL NOT NULL) WITHOUT ROWID",
        """
        CREATE TABLE orphans (
            id TEXT PRIMARY KEY,
            first_noted_at REAL NOT NULL,
            last_noted_at REAL NOT NULL
        ) WITHOUT ROWID
        """,
    ),
    (
        "DROP INDEX uploads_that_take_room",
        "ALTER TABLE uploads ADD COLUMN bytes_received INTEGER NOT NULL DEFAULT 0",
        "ALTER TABLE uploads ADD COLUMN bytes_synced INTEGER NOT NULL DEFAULT 0",
        "UPDATE uploads SET"
        " bytes_received = (SELECT IFNULL(SUM(stop - start), 0) FROM ranges WHERE upload = key),"
        " bytes_synced = (SELECT IFNULL(SUM(stop - start), 0) FROM synced WHERE upload = key)",
        *COUNT_USAGE,
        *_add_up("ranges", "bytes_received"),
        *_add_up("synced", "bytes_synced"),
    ),
    (
        "ALTER TABLE uploads ADD COLUMN wants_sha256 INTEGER NOT NULL DEFAULT 0",
        "ALTER TABLE uploads ADD COLUMN expected_sha256 TEXT",
        "ALTER TABLE uploads ADD COLUMN sha256 TEXT",
        "ALTER TABLE uploads ADD COLUMN metadata TEXT",
        "ALTER TABLE uploads ADD COLUMN length_deferred INTEGER NOT NULL DEFAULT 0",
        "ALTER TABLE uploads ADD COLUMN concat TEXT",
        "ALTER TABLE uploads ADD COLUMN part_of TEXT",
        "ALTER TABLE uploads ADD COLUMN parts TEXT",
        "CREATE INDEX uploads_by_part_of ON uploads (part_of) WHERE part_of IS NOT NULL",
        "CREATE INDEX uploads_by_parts ON uploads (parts) WHERE parts IS NOT NULL",
        # Who has such a claim may record what he has written, and write nothing more.
        "ALTER TABLE claims ADD COLUMN stopped INTEGER NOT NULL DEFAULT 0",
        # Of a request that goes on to the end of the file, whatever that will be.
        "ALTER TABLE claims ADD COLUMN appends INTEGER NOT NULL DEFAULT 0",
        *COUNT_UNKNOWN_LENGTHS,
    ),
)


def migrate(connection: sqlite3.Connection, path: Path) -> None:
    """Bring the database to the present form. Raises TicketStoreError if it is not ours, or newer.

    Safe when several processes start at once: each looks again inside its transaction.
    """
    connection.execute("BEGIN IMMEDIATE")
    try:
        (application_id,) = connection.execute("PRAGMA application_id").fetchone()
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        (tables,) = connection.execute("SELECT COUNT(*) FROM sqlite_master").fetchone()
        if application_id != APPLICATION_ID and (application_id or version or tables):
            raise TicketStoreError(
                f"{path} is the database of another program. Give another storage folder or "
                "another database."
            )
        if version > len(MIGRATIONS):
            raise TicketStoreError(
                f"{path} has form {version}, this version of incoming_wsgi knows form "
                f"{len(MIGRATIONS)}: it was used by a newer version. Upgrade, or use another file."
            )
        for statements in MIGRATIONS[version:]:
            for statement in statements:
                connection.execute(statement)
        if version < len(MIGRATIONS):
            connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            connection.execute(f"PRAGMA user_version = {len(MIGRATIONS)}")
    except BaseException:
        connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")

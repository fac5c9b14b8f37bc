"""The steps of which transactions are made: rows to uploads and back, claims, ranges.

Each takes a connection that is inside a transaction and changes nothing but what it says.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Any

from ..errors import LeaseLost, UploadNotFound, WrongState
from ..ranges import Range, RangeSet
from ..states import Event, UploadState, next_state, takes_bytes
from ..uploads import Upload
from ._schema import TAKES_ROOM
from .base import Admit, Decide, Then, Usage

__all__ = [
    "COLUMNS",
    "SELECT_UPLOAD",
    "apply",
    "check_lease",
    "find_claims",
    "find_ranges",
    "find_row",
    "find_usage",
    "follow",
    "insert_claim",
    "insert_upload",
    "load_row",
    "record_range",
    "take_away",
    "to_upload",
]

# The fields of an Upload that are columns under the same name; `received` is a table of its own.
COLUMNS = tuple(field.name for field in fields(Upload) if field.name != "received")
SELECT_UPLOAD = f"SELECT key, lease, {', '.join(COLUMNS)} FROM uploads"
INSERT_UPLOAD = (
    f"INSERT INTO uploads ({', '.join(COLUMNS)}) "
    f"VALUES ({', '.join(f':{name}' for name in COLUMNS)})"
)
INSERT_CLAIM = "INSERT INTO claims (upload, start, stop, owner) VALUES (?, ?, ?, ?)"


def insert_upload(connection: sqlite3.Connection, upload: Upload) -> None:
    values = {name: getattr(upload, name) for name in COLUMNS}
    connection.execute(INSERT_UPLOAD, to_sql(values))


def insert_claim(
    connection: sqlite3.Connection, key: int, start: int, stop: int, owner: str
) -> None:
    """[start, stop) must belong to nobody."""
    connection.execute(INSERT_CLAIM, (key, start, stop, owner))


def to_sql(values: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: value.value if isinstance(value, UploadState) else value
        for name, value in values.items()
    }


def find_row(connection: sqlite3.Connection, upload_id: str) -> sqlite3.Row | None:
    row: sqlite3.Row | None = connection.execute(
        f"{SELECT_UPLOAD} WHERE id = ?", (upload_id,)
    ).fetchone()
    return row


def load_row(connection: sqlite3.Connection, upload_id: str) -> sqlite3.Row:
    row = find_row(connection, upload_id)
    if row is None:
        raise UploadNotFound
    return row


def to_upload(connection: sqlite3.Connection, row: sqlite3.Row) -> Upload:
    values = {name: row[name] for name in COLUMNS}
    values["state"] = UploadState(row["state"])
    values["remove_file_when_finished"] = bool(row["remove_file_when_finished"])
    values["notified"] = bool(row["notified"])
    return Upload(received=RangeSet(find_ranges(connection, "ranges", row["key"])), **values)


def find_ranges(connection: sqlite3.Connection, table: str, key: int) -> tuple[Range, ...]:
    """Those of `table`, in the normal form in which `record_range` keeps them."""
    stored = connection.execute(
        f"SELECT start, stop FROM {table} WHERE upload = ? ORDER BY start", (key,)
    )
    return tuple((start, stop) for start, stop in stored)


def check_lease(row: sqlite3.Row, lease: str | None) -> None:
    if lease is not None and row["lease"] != lease:
        raise LeaseLost


def apply(
    connection: sqlite3.Connection,
    row: sqlite3.Row,
    event: Event,
    decide: Decide,
    *,
    lease: str | None = None,
    admit: Admit | None = None,
) -> Upload:
    before = to_upload(connection, row)
    state = next_state(before.state, event)
    changes = dict(decide(before))
    after = replace(before, state=state, **changes)
    if admit and after.length not in (None, before.length):
        admit(after, find_usage(connection, after))
    assignments = "".join(f", {name} = :{name}" for name in changes)
    changed = connection.execute(
        f"UPDATE uploads SET state = :state, lease = :lease{assignments} "
        "WHERE key = :key AND state = :before",
        {
            **to_sql(changes),
            "state": state.value,
            "lease": lease,
            "key": row["key"],
            "before": row["state"],
        },
    ).rowcount
    if changed != 1:
        raise WrongState(state=row["state"], event=event.value)
    if not takes_bytes(state):
        connection.execute("DELETE FROM claims WHERE upload = ?", (row["key"],))
        # The file has been sealed, or nobody wants it.
        connection.execute(
            "UPDATE uploads SET boot_id = NULL, sync_at = NULL WHERE key = ? AND sync_at NOT NULL",
            (row["key"],),
        )
    return after


def follow(connection: sqlite3.Connection, upload: Upload, then: Then) -> Upload:
    """The steps of `then`, one after the other; the lease begins with the last."""
    for number, (event, decide) in enumerate(then.steps, 1):
        row = load_row(connection, upload.id)
        lease = then.lease if number == len(then.steps) else None
        upload = apply(connection, row, event, decide, lease=lease)
    return upload


def find_usage(connection: sqlite3.Connection, upload: Upload) -> Usage:
    """Of all uploads but this. TOTAL counts in floating point: SUM fails where lengths have been
    declared that are more than 64 bits together."""
    row = connection.execute(
        f"""
        SELECT
            TOTAL(length) AS total_bytes,
            TOTAL(length) FILTER (WHERE owner = :owner) AS owner_bytes,
            TOTAL(length - (SELECT TOTAL(stop - start) FROM ranges WHERE upload = key))
                FILTER (WHERE state IN ('CREATED', 'UPLOADING')) AS promised_bytes,
            COUNT(*) FILTER (WHERE owner = :owner AND state IN ('CREATED', 'UPLOADING'))
                AS owner_open
        FROM uploads WHERE id != :id AND {TAKES_ROOM}
        """,
        {"id": upload.id, "owner": upload.owner},
    ).fetchone()
    return Usage(**{field.name: int(row[field.name]) for field in fields(Usage)})


def find_claims(connection: sqlite3.Connection, key: int, owner: str) -> RangeSet:
    """What is left of the claim of `owner`."""
    pairs = connection.execute(
        "SELECT start, stop FROM claims WHERE upload = ? AND owner = ?", (key, owner)
    )
    return RangeSet.of((start, stop) for start, stop in pairs)


def take_away(connection: sqlite3.Connection, key: int, start: int, stop: int) -> bool:
    """Cut [start, stop) out of the claims that have it; whether any did."""
    older = connection.execute(
        "SELECT start, stop, owner FROM claims WHERE upload = ? AND start < ? AND stop > ?",
        (key, stop, start),
    ).fetchall()
    for old_start, old_stop, owner in older:
        connection.execute("DELETE FROM claims WHERE upload = ? AND start = ?", (key, old_start))
        for rest_start, rest_stop in ((old_start, start), (stop, old_stop)):
            if rest_start < rest_stop:
                insert_claim(connection, key, rest_start, rest_stop, owner)
    return bool(older)


def record_range(
    connection: sqlite3.Connection, table: str, key: int, start: int, stop: int
) -> None:
    """Merge [start, stop) with the ranges of `table` that it overlaps or touches; nothing if it is
    empty."""
    if start >= stop:
        return
    neighbours = connection.execute(
        f"SELECT start, stop FROM {table} WHERE upload = ? AND start <= ? AND stop >= ?",
        (key, stop, start),
    ).fetchall()
    for old_start, old_stop in neighbours:
        connection.execute(f"DELETE FROM {table} WHERE upload = ? AND start = ?", (key, old_start))
        start, stop = min(start, old_start), max(stop, old_stop)
    connection.execute(
        f"INSERT INTO {table} (upload, start, stop) VALUES (?, ?, ?)", (key, start, stop)
    )

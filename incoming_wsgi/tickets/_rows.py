"""The steps of which transactions are made: rows to uploads and back, and events.

Each takes a connection and changes nothing but what it says; what changes something, or is more
than one look, has to be inside a transaction. There are few different texts of SQL, so that SQLite
need not understand them again (sqlite3 keeps 128).
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Mapping
from dataclasses import fields
from functools import lru_cache, partial
from operator import attrgetter
from typing import Any

from ..errors import LeaseLost, UploadNotFound, WrongState
from ..ranges import RangeSet
from ..states import Event, UploadState, next_state, takes_bytes
from ..uploads import Upload
from ._ranges import StoredRanges, cut_claims, find_ranges
from ._usage import find_usage, without
from .base import Admit, Decide, Then

__all__ = [
    "BYTES_RECEIVED",
    "COLUMNS",
    "KEY",
    "LENGTH",
    "SELECT_UPLOAD",
    "SYNC_AT",
    "Row",
    "apply",
    "check_lease",
    "find_row",
    "insert_upload",
    "load_row",
    "loaded",
    "may_be_written",
    "state_of",
    "to_upload",
]

# The fields of an Upload that are columns under the same name; `received` is a table of its own.
COLUMNS = tuple(field.name for field in fields(Upload) if field.name != "received")
SELECT_UPLOAD = f"SELECT key, lease, sync_at, bytes_received, {', '.join(COLUMNS)} FROM uploads"
# Where they stand in a row. The first of COLUMNS are `id` and `state`.
KEY, _LEASE, SYNC_AT, BYTES_RECEIVED, _ID, _STATE = range(6)
LENGTH = _ID + COLUMNS.index("length")
_PARTS = _ID + COLUMNS.index("parts")
_FIND_UPLOAD = f"{SELECT_UPLOAD} WHERE id = ?"
_INSERT_UPLOAD = (
    f"INSERT INTO uploads ({', '.join(COLUMNS)}) VALUES ({', '.join('?' for _ in COLUMNS)})"
)
_VALUES = attrgetter(*COLUMNS)
_STATES = {state.value: state for state in UploadState}  # a tenth of what the class takes
_NOTHING = RangeSet()
_TRUTHS = ("remove_file_when_finished", "wants_sha256", "length_deferred", "notified")

Row = tuple[Any, ...]
Follow = Callable[[Upload], "Then | None"]
"""What is to follow, given the upload as the event has left it."""


def insert_upload(connection: sqlite3.Connection, upload: Upload) -> None:
    values = {**dict(zip(COLUMNS, _VALUES(upload), strict=True)), "state": upload.state.value}
    connection.execute(_INSERT_UPLOAD, tuple(values.values()))


def find_row(connection: sqlite3.Connection, upload_id: str) -> Row | None:
    row: Row | None = connection.execute(_FIND_UPLOAD, (upload_id,)).fetchone()
    return row


def load_row(connection: sqlite3.Connection, upload_id: str) -> Row:
    row = find_row(connection, upload_id)
    if row is None:
        raise UploadNotFound
    return row


def to_upload(connection: sqlite3.Connection, row: Row, *, added: int = 0) -> Upload:
    """If its ranges have to be read that is done when they are looked at, within this transaction:
    see `loaded`. `added`: bytes that have been recorded since the row was read."""
    values = dict(zip(COLUMNS, row[_ID:], strict=True))
    values["state"] = _STATES[values["state"]]
    for name in _TRUTHS:
        values[name] = bool(values[name])
    received = _NOTHING
    if total_bytes := row[BYTES_RECEIVED] + added:
        if total_bytes == values["length"]:  # then they are one
            received = RangeSet(((0, total_bytes),))
        else:
            load = partial(find_ranges, connection, "ranges", row[KEY])
            received = StoredRanges(total_bytes, load)
    return Upload(received=received, **values)


def loaded(upload: Upload) -> Upload:
    """`upload`, to be given out: its ranges are those of this transaction."""
    _ = upload.received.ranges
    return upload


def state_of(row: Row) -> UploadState:
    return _STATES[row[_STATE]]


def may_be_written(row: Row) -> bool:
    """Whether it takes bytes, and not from its parts alone."""
    return takes_bytes(state_of(row)) and row[_PARTS] is None


def check_lease(row: Row, lease: str | None) -> None:
    if lease is not None and row[_LEASE] != lease:
        raise LeaseLost


def apply(
    connection: sqlite3.Connection,
    key: int,
    before: Upload,
    event: Event,
    decide: Decide,
    *,
    lease: str | None = None,
    admit: Admit | None = None,
    also: Mapping[str, Any] | None = None,
    follow: Follow | None = None,
) -> Upload:
    """`before` is what stands in row `key`; `also` are columns of it that are no fields. The steps
    of what `follow` returns come after the event, one after the other, and the lease is then what
    it says: all of that is one change of the row."""
    upload, changes = _step(before, event, decide)
    if admit and (upload.length is None or upload.length != before.length):
        usage = find_usage(connection, before.owner, before.part_of)
        admit(upload, without(usage, before))
    columns = {**changes, **(also or {})}
    then = follow(upload) if follow else None
    if then is not None:
        lease = then.lease
        for step in then.steps:
            upload, changes = _step(upload, *step)
            columns.update(changes)
    columns.update(state=upload.state.value, lease=lease)
    ends_claims = takes_bytes(before.state) and not takes_bytes(upload.state)
    if ends_claims:
        # The file has been sealed, or nobody wants it.
        columns.update(boot_id=None, sync_at=None)
    changed = connection.execute(
        _update(tuple(columns)), (*columns.values(), key, before.state.value)
    ).rowcount
    if changed != 1:
        raise WrongState(state=before.state.value, event=event.value)
    if ends_claims:
        connection.execute("DELETE FROM claims WHERE upload = ?", (key,))
    elif before.length is None and upload.length is not None:
        cut_claims(connection, key, upload.length)
    return upload


def _step(upload: Upload, event: Event, decide: Decide) -> tuple[Upload, Mapping[str, Any]]:
    """The upload after an event, and what else of it has changed."""
    state = next_state(upload.state, event)
    changes = decide(upload)
    return _changed(upload, {**changes, "state": state}), changes


def _changed(upload: Upload, changes: Mapping[str, Any]) -> Upload:
    """`dataclasses.replace`, in half the time."""
    values = dict(zip(COLUMNS, _VALUES(upload), strict=True))
    return Upload(received=upload.received, **{**values, **changes})


@lru_cache
def _update(columns: tuple[str, ...]) -> str:
    assignments = ", ".join(f"{name} = ?" for name in columns)
    return f"UPDATE uploads SET {assignments} WHERE key = ? AND state = ?"

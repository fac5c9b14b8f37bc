"""Uploads that are made of others, and the others. Steps of transactions."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from ..states import Event, takes_bytes
from ..uploads import Upload
from ._ranges import record_range
from ._rows import KEY, SELECT_UPLOAD, Row, apply, check_lease, find_row, load_row, to_upload
from .base import Admit, Decide, DecideFinal

__all__ = ["complete_final", "find_final", "find_parts", "make_final"]

_FIND_FINAL = f"{SELECT_UPLOAD} WHERE parts = ? ORDER BY key DESC LIMIT 1"
_FIND_PARTS = f"{SELECT_UPLOAD} WHERE part_of = ? AND state NOT IN ('FINISHED', 'CANCELLED')"


def find_final(connection: sqlite3.Connection, part_ids: Sequence[str]) -> Upload | None:
    row = connection.execute(_FIND_FINAL, (" ".join(part_ids),)).fetchone()
    return to_upload(connection, row) if row else None


def find_parts(connection: sqlite3.Connection, upload_id: str) -> tuple[Upload, ...]:
    """Of a ticket; those that have not ended."""
    return tuple(to_upload(connection, row) for row in _find_part_rows(connection, upload_id))


def _find_part_rows(connection: sqlite3.Connection, upload_id: str) -> list[Row]:
    return connection.execute(_FIND_PARTS, (upload_id,)).fetchall()


def make_final(
    connection: sqlite3.Connection,
    upload_id: str,
    part_ids: Sequence[str],
    decide: DecideFinal,
    decide_part: Decide,
    admit: Admit | None,
) -> Upload:
    row = load_row(connection, upload_id)
    rows = {part_id: find_row(connection, part_id) for part_id in part_ids}
    found = {part_id: to_upload(connection, row) if row else None for part_id, row in rows.items()}
    parts = [found[part_id] for part_id in part_ids]
    final = apply(
        connection,
        row[KEY],
        to_upload(connection, row),
        Event.STORE,
        lambda upload: {**decide(upload, parts), "parts": " ".join(part_ids)},
        admit=admit,
    )
    connection.execute("DELETE FROM claims WHERE upload = ?", (row[KEY],))
    for part_id, part in found.items():
        part_row = rows[part_id]
        if part is not None and part_row is not None and takes_bytes(part.state):
            apply(connection, part_row[KEY], part, Event.COMPLETE, decide_part)
    return final


def complete_final(
    connection: sqlite3.Connection,
    upload_id: str,
    decide: Decide,
    decide_part: Decide,
    lease: str,
) -> Upload:
    row = load_row(connection, upload_id)
    check_lease(row, lease)
    length = to_upload(connection, row).length or 0
    added = record_range(connection, "ranges", row[KEY], 0, length)
    before = to_upload(connection, row, added=added)
    final = apply(connection, row[KEY], before, Event.COMPLETE, decide, lease=lease)
    for part_row in _find_part_rows(connection, upload_id):
        part = to_upload(connection, part_row)
        event = Event.CANCEL if takes_bytes(part.state) else Event.FINISH
        apply(connection, part_row[KEY], part, event, decide_part)
    return final

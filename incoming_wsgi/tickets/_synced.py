"""What of the recorded ranges would survive a crash of the machine. Steps of transactions.

A range that was recorded without being synced counts until the machine is started anew: the bytes
are in its memory, whatever happens to our processes. After that only what is in `synced` counts.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable

from ..ranges import Range, RangeSet
from ._ranges import find_ranges, find_writers, record_range, revoke_claims

__all__ = ["find_unsynced", "forget_unsynced", "mark_all_synced", "mark_synced"]


def mark_synced(connection: sqlite3.Connection, key: int, ranges: Iterable[Range]) -> None:
    """`ranges`, all of which are stored: so all are synced when as many bytes are."""
    for start, stop in ranges:
        record_range(connection, "synced", key, start, stop)
    connection.execute(
        "UPDATE uploads SET boot_id = NULL, sync_at = NULL"
        " WHERE key = ? AND sync_at NOT NULL AND bytes_synced = bytes_received",
        (key,),
    )


def mark_all_synced(connection: sqlite3.Connection, key: int, ranges: Iterable[Range]) -> None:
    """The same for a long list, most of which is known to be synced. What is not stored any more
    does not count."""
    known = set(find_ranges(connection, "synced", key))
    stored = RangeSet(find_ranges(connection, "ranges", key))
    new = (part for pair in ranges if pair not in known for part in stored.within(*pair))
    mark_synced(connection, key, new)


def find_unsynced(connection: sqlite3.Connection, boot_id: str) -> list[int]:
    """The uploads with ranges that were recorded in another run than this and not synced."""
    # With `sync_at`, of which there is an index.
    rows = connection.execute(
        "SELECT key FROM uploads WHERE sync_at NOT NULL AND boot_id != ?", (boot_id,)
    )
    return [key for (key,) in rows]


def forget_unsynced(connection: sqlite3.Connection, key: int, due_at: float) -> None:
    """Go back to what was synced. The client has until `due_at` at least to bring the rest."""
    connection.execute("DELETE FROM ranges WHERE upload = ?", (key,))
    connection.execute("INSERT INTO ranges SELECT * FROM synced WHERE upload = ?", (key,))
    connection.execute(
        "DELETE FROM digests WHERE upload = ? AND stop > IFNULL((SELECT ranges.stop FROM ranges"
        " WHERE ranges.upload = digests.upload AND ranges.start <= digests.start"
        " ORDER BY ranges.start DESC LIMIT 1), 0)",
        (key,),
    )
    revoke_claims(connection, key, find_writers(connection, key))
    connection.execute(
        "UPDATE uploads SET boot_id = NULL, sync_at = NULL, due_at = MAX(due_at, ?) WHERE key = ?",
        (due_at, key),
    )

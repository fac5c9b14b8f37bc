"""What of the recorded ranges would survive a crash of the machine. Steps of transactions.

A range that was recorded without being synced counts until the machine is started anew: the bytes
are in its memory, whatever happens to our processes. After that only what is in `synced` counts.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable

from ..ranges import Range
from ._rows import find_ranges, record_range

__all__ = ["find_unsynced", "forget_unsynced", "mark_synced", "mark_unsynced"]


def mark_unsynced(connection: sqlite3.Connection, key: int, boot_id: str, sync_at: float) -> None:
    """Ranges were recorded that are not synced; to be synced then, if not earlier."""
    connection.execute(
        "UPDATE uploads SET boot_id = ?, sync_at = ? WHERE key = ? AND sync_at IS NULL",
        (boot_id, sync_at, key),
    )


def mark_synced(connection: sqlite3.Connection, key: int, ranges: Iterable[Range]) -> None:
    for start, stop in ranges:
        record_range(connection, "synced", key, start, stop)
    if find_ranges(connection, "synced", key) == find_ranges(connection, "ranges", key):
        connection.execute(
            "UPDATE uploads SET boot_id = NULL, sync_at = NULL WHERE key = ?", (key,)
        )


def find_unsynced(connection: sqlite3.Connection, boot_id: str) -> list[int]:
    """The uploads with ranges that were recorded in another run than this and not synced."""
    rows = connection.execute("SELECT key FROM uploads WHERE boot_id != ?", (boot_id,))
    return [row["key"] for row in rows]


def forget_unsynced(connection: sqlite3.Connection, key: int, due_at: float) -> None:
    """Go back to what was synced. The client has until `due_at` at least to bring the rest."""
    connection.execute("DELETE FROM ranges WHERE upload = ?", (key,))
    connection.execute("INSERT INTO ranges SELECT * FROM synced WHERE upload = ?", (key,))
    connection.execute(
        "DELETE FROM digests WHERE upload = ? AND NOT EXISTS (SELECT 1 FROM ranges WHERE"
        " ranges.upload = digests.upload AND ranges.start <= digests.start"
        " AND ranges.stop >= digests.stop)",
        (key,),
    )
    connection.execute("DELETE FROM claims WHERE upload = ?", (key,))
    connection.execute(
        "UPDATE uploads SET boot_id = NULL, sync_at = NULL, due_at = MAX(due_at, ?) WHERE key = ?",
        (due_at, key),
    )

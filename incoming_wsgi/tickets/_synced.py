"""What of the recorded ranges would survive a crash of the machine. Steps of transactions,
`forget_unsynced` is one.

A range that was recorded without being synced counts until the machine is started anew: the bytes
are in its memory, whatever happens to our processes. After that only what is in `synced` counts.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable

from ..ranges import Range
from ._rows import find_ranges, record_range

__all__ = ["forget_unsynced", "mark_synced", "mark_unsynced"]


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


def forget_unsynced(connection: sqlite3.Connection, boot_id: str) -> int:
    """Go back to what was synced, for uploads that were written to in another run than this; of how
    many. One that takes no bytes any more has been sealed."""
    lost = "SELECT key FROM uploads WHERE boot_id != :boot_id AND state IN ('CREATED', 'UPLOADING')"
    run = {"boot_id": boot_id}
    connection.execute("BEGIN IMMEDIATE")
    connection.execute(f"DELETE FROM ranges WHERE upload IN ({lost})", run)
    connection.execute(
        f"INSERT INTO ranges SELECT upload, start, stop FROM synced WHERE upload IN ({lost})", run
    )
    connection.execute(
        f"DELETE FROM digests WHERE upload IN ({lost}) AND NOT EXISTS (SELECT 1 FROM ranges WHERE"
        " ranges.upload = digests.upload AND ranges.start <= digests.start"
        " AND ranges.stop >= digests.stop)",
        run,
    )
    connection.execute(f"DELETE FROM claims WHERE upload IN ({lost})", run)
    forgotten = connection.execute(
        "UPDATE uploads SET boot_id = NULL, sync_at = NULL WHERE boot_id != :boot_id", run
    ).rowcount
    connection.execute("COMMIT")
    return forgotten

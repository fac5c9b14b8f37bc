"""What is not about one known upload: whose turn it is, and files of unknown uploads.

Steps of transactions.
"""

from __future__ import annotations

import sqlite3

__all__ = ["is_chore_due", "note_orphan", "purge_orphans", "take_turn"]

NOTED_FOR_S = 30 * 86400.0  # an orphan that nobody has found for so long is gone


def is_chore_due(connection: sqlite3.Connection, chore: str, at: float, again_at: float) -> bool:
    """Also if its time is too far ahead: then the clock was, when it was written down."""
    row = connection.execute("SELECT due_at FROM chores WHERE name = ?", (chore,)).fetchone()
    return row is None or not at < row[0] <= again_at


def take_turn(connection: sqlite3.Connection, chore: str, at: float, again_at: float) -> bool:
    taken = connection.execute(
        "INSERT INTO chores (name, due_at) VALUES (:name, :again_at) "
        "ON CONFLICT (name) DO UPDATE SET due_at = :again_at "
        "WHERE due_at <= :at OR due_at > :again_at",
        {"name": chore, "at": at, "again_at": again_at},
    ).rowcount
    return taken == 1


def note_orphan(connection: sqlite3.Connection, upload_id: str, at: float) -> float:
    """When it was noted for the first time."""
    connection.execute(
        "INSERT INTO orphans (id, first_noted_at, last_noted_at) VALUES (:id, :at, :at) "
        "ON CONFLICT (id) DO UPDATE SET last_noted_at = :at",
        {"id": upload_id, "at": at},
    )
    row = connection.execute(
        "SELECT first_noted_at FROM orphans WHERE id = ?", (upload_id,)
    ).fetchone()
    first_noted_at: float = row[0]
    return first_noted_at


def purge_orphans(connection: sqlite3.Connection, at: float) -> None:
    connection.execute("DELETE FROM orphans WHERE last_noted_at < ?", (at - NOTED_FOR_S,))

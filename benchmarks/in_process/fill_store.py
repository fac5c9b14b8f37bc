"""Fill a storage folder as if it had been in use for long.

    python fill_store.py FOLDER OPEN FINISHED

Makes one upload that is half way and one that is finished with incoming_wsgi itself, and copies
their rows, with ids of their own, straight in the database: a million requests would take an hour.
The open ones have their files, empty.
"""

from __future__ import annotations

import sqlite3
import sys
from contextlib import closing
from pathlib import Path

from calling import put, take

from incoming_wsgi import Incoming

LENGTH = 2048
BATCH = 10_000
# A UUID4 as text, as the tickets are.
NEW_ID = (
    "lower(hex(randomblob(4)) || '-' || hex(randomblob(2)) || '-4' || substr(hex(randomblob(2)), 2)"
    " || '-a' || substr(hex(randomblob(2)), 2) || '-' || hex(randomblob(6)))"
)


def main() -> None:
    folder, count_open, count_finished = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    # With "disk" nothing is left to be synced in the background later.
    incoming = Incoming(folder, on_finished=take, durability="disk", background=False)
    half_way, finished = (
        incoming.new_upload(length=LENGTH, filename="file", owner="somebody") for _ in range(2)
    )
    put(incoming, half_way, 0, bytes(LENGTH // 2), LENGTH)
    put(incoming, finished, 0, bytes(LENGTH), LENGTH)
    incoming.do_housekeeping()
    incoming.close()
    with closing(sqlite3.connect(folder / "incoming.db", isolation_level=None)) as connection:
        connection.execute("PRAGMA cache_size = -500000")
        for template, count in ((half_way, count_open), (finished, count_finished)):
            for done in range(0, count, BATCH):
                connection.execute("BEGIN")
                copy(connection, template, min(BATCH, count - done))
                connection.execute("COMMIT")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        ids = connection.execute(
            "SELECT id FROM uploads WHERE state = 'UPLOADING' AND id != ?", (half_way,)
        )
        for (upload_id,) in ids:
            (folder / "files" / upload_id).touch(mode=0o600)


def copy(connection: sqlite3.Connection, template: str, count: int) -> None:
    """`count` more uploads like `template`, with all that belongs to it."""
    (key,) = connection.execute("SELECT key FROM uploads WHERE id = ?", (template,)).fetchone()
    (last,) = connection.execute("SELECT max(key) FROM uploads").fetchone()
    numbers = (
        f"WITH RECURSIVE numbers (number) AS (SELECT {last + 1} UNION ALL "
        f"SELECT number + 1 FROM numbers WHERE number < {last + count})"
    )
    tables = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
    for (table,) in tables:
        columns = [row[1] for row in connection.execute(f"PRAGMA table_info({table})")]
        own = {"key": "number", "id": NEW_ID} if table == "uploads" else {"upload": "number"}
        if not own.keys() <= set(columns):
            continue
        connection.execute(
            f"{numbers} INSERT INTO {table} ({', '.join(columns)}) "
            f"SELECT {', '.join(own.get(column, column) for column in columns)} "
            f"FROM numbers, {table} WHERE {table}.{'key' if table == 'uploads' else 'upload'} = ?",
            (key,),
        )


if __name__ == "__main__":
    main()

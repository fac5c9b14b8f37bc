"""What all uploads take together: counted as they change, never added up.

Triggers keep the totals. So no statement can forget them, and what is undone is undone there too.
`usage` is one row, about all uploads; `owner_usage` has a row for each owner who has an upload that
takes room.

A length has up to 63 bits and SQLite's integers 64, signed: two lengths may have no sum. So a total
of bytes is kept as two numbers, the sum of the upper parts and the sum of the lower 32 bits of all
that is counted; for those to be too long it takes 2**31 uploads.
"""

from __future__ import annotations

import sqlite3

from ..states import takes_bytes
from ..uploads import Upload
from .base import Usage

__all__ = ["COUNT_USAGE", "find_usage", "without"]

# Of the uploads whose file is here or still to come. A FINISHED one belongs to the web app.
_TAKES_ROOM = "{row}.state NOT IN ('FINISHED', 'CANCELLED')"
_IN_FLIGHT = "{row}.state IN ('CREATED', 'UPLOADING')"
_LACKS = "({row}.length - {row}.bytes_received)"
LOW = 2**32 - 1

_COUNT = f"""
    UPDATE usage SET
        length_high = length_high {{sign}} ({{row}}.length >> 32),
        length_low = length_low {{sign}} ({{row}}.length & {LOW})
        WHERE {_TAKES_ROOM} AND {{row}}.length NOT NULL;
    UPDATE usage SET
        promised_high = promised_high {{sign}} ({_LACKS} >> 32),
        promised_low = promised_low {{sign}} ({_LACKS} & {LOW})
        WHERE {_IN_FLIGHT} AND {{row}}.length NOT NULL;
    INSERT OR IGNORE INTO owner_usage
        SELECT {{row}}.owner, 0, 0, 0, 0 WHERE {{row}}.owner NOT NULL AND {_TAKES_ROOM};
    UPDATE owner_usage SET
        uploads = uploads {{sign}} 1,
        open = open {{sign}} ({_IN_FLIGHT}),
        length_high = length_high {{sign}} IFNULL({{row}}.length >> 32, 0),
        length_low = length_low {{sign}} IFNULL({{row}}.length & {LOW}, 0)
        WHERE owner = {{row}}.owner AND {_TAKES_ROOM};
    """
_COUNT_NEW = _COUNT.format(row="NEW", sign="+")
_DROP_OLD = _COUNT.format(row="OLD", sign="-")
_UPLOADS_WITH_ROOM = _TAKES_ROOM.format(row="uploads")
_UPLOADS_IN_FLIGHT = _IN_FLIGHT.format(row="uploads")
_SAYS_ELSE = "((OLD.state, OLD.length, OLD.owner) IS NOT (NEW.state, NEW.length, NEW.owner))"
_FORGET_OWNER = "DELETE FROM owner_usage WHERE owner = OLD.owner AND uploads = 0;"

# A migration, so its results stay as they are.
COUNT_USAGE = (
    """
    CREATE TABLE usage (
        length_high INTEGER NOT NULL,
        length_low INTEGER NOT NULL,
        promised_high INTEGER NOT NULL,
        promised_low INTEGER NOT NULL
    )
    """,
    """
    CREATE TABLE owner_usage (
        owner TEXT PRIMARY KEY,
        uploads INTEGER NOT NULL,
        open INTEGER NOT NULL,
        length_high INTEGER NOT NULL,
        length_low INTEGER NOT NULL
    ) WITHOUT ROWID
    """,
    f"""
    INSERT INTO usage SELECT
        IFNULL(SUM(length >> 32), 0),
        IFNULL(SUM(length & {LOW}), 0),
        IFNULL(SUM({_LACKS.format(row="uploads")} >> 32) FILTER (WHERE {_UPLOADS_IN_FLIGHT}), 0),
        IFNULL(SUM({_LACKS.format(row="uploads")} & {LOW}) FILTER (WHERE {_UPLOADS_IN_FLIGHT}), 0)
        FROM uploads WHERE {_UPLOADS_WITH_ROOM}
    """,
    f"""
    INSERT INTO owner_usage SELECT
        owner,
        COUNT(*),
        COUNT(*) FILTER (WHERE {_UPLOADS_IN_FLIGHT}),
        IFNULL(SUM(length >> 32), 0),
        IFNULL(SUM(length & {LOW}), 0)
        FROM uploads WHERE owner NOT NULL AND {_UPLOADS_WITH_ROOM} GROUP BY owner
    """,
    f"CREATE TRIGGER upload_comes AFTER INSERT ON uploads BEGIN {_COUNT_NEW} END",
    f"CREATE TRIGGER upload_goes AFTER DELETE ON uploads BEGIN {_DROP_OLD} {_FORGET_OWNER} END",
    f"""
    CREATE TRIGGER upload_changes AFTER UPDATE OF state, length, owner ON uploads
    WHEN {_SAYS_ELSE}
    BEGIN {_DROP_OLD} {_COUNT_NEW} {_FORGET_OWNER} END
    """,
    f"""
    CREATE TRIGGER upload_grows AFTER UPDATE OF bytes_received ON uploads
    WHEN {_IN_FLIGHT.format(row="NEW")} AND NEW.length NOT NULL AND NOT {_SAYS_ELSE}
    BEGIN
        UPDATE usage SET
            promised_high = promised_high
                + ({_LACKS.format(row="NEW")} >> 32) - ({_LACKS.format(row="OLD")} >> 32),
            promised_low = promised_low
                + ({_LACKS.format(row="NEW")} & {LOW}) - ({_LACKS.format(row="OLD")} & {LOW});
    END
    """,
)

_FIND = """
    SELECT usage.length_high, usage.length_low, promised_high, promised_low,
        IFNULL(owner_usage.length_high, 0), IFNULL(owner_usage.length_low, 0), IFNULL(open, 0)
    FROM usage LEFT JOIN owner_usage ON owner = ?
    """


def find_usage(connection: sqlite3.Connection, owner: str | None) -> Usage:
    """Of all uploads, as somebody sees it who wants another for this owner."""
    (length_high, length_low, lacks_high, lacks_low, own_high, own_low, owner_open) = (
        connection.execute(_FIND, (owner,)).fetchone()
    )
    return Usage(
        total_bytes=(length_high << 32) + length_low,
        owner_bytes=(own_high << 32) + own_low,
        promised_bytes=(lacks_high << 32) + lacks_low,
        owner_open=owner_open,
    )


def without(usage: Usage, upload: Upload) -> Usage:
    """`usage` of the upload's owner, of all uploads but this. It is not finished or cancelled."""
    length = upload.length or 0
    lacks = 0 if upload.length is None else length - upload.received.total_bytes
    is_open = takes_bytes(upload.state)
    has_owner = upload.owner is not None
    return Usage(
        total_bytes=usage.total_bytes - length,
        owner_bytes=usage.owner_bytes - (length if has_owner else 0),
        promised_bytes=usage.promised_bytes - (lacks if is_open else 0),
        owner_open=usage.owner_open - (is_open and has_owner),
    )

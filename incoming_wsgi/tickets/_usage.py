"""What all uploads take together: counted as they change, never added up.

Triggers keep the totals. So no statement can forget them, and what is undone is undone there too.
`usage` is one row, about all uploads; `owner_usage` has a row for each owner who has an upload that
takes room.

A file whose length is not known counts as what is stored of it, and more with every byte.

A length has up to 63 bits and SQLite's integers 64, signed: two lengths may have no sum. So a total
of bytes is kept as two numbers, the sum of the upper parts and the sum of the lower 32 bits of all
that is counted; for those to be too long it takes 2**31 uploads.
"""

from __future__ import annotations

import sqlite3
from dataclasses import replace

from ..states import UploadState, takes_bytes
from ..uploads import Upload
from .base import Usage

__all__ = ["COUNT_UNKNOWN_LENGTHS", "COUNT_USAGE", "find_usage", "without"]

# Of the uploads whose file is here or still to come. A FINISHED one belongs to the web app.
_TAKES_ROOM = "({row}.state NOT IN ('FINISHED', 'CANCELLED'))"
_IN_FLIGHT = "({row}.state IN ('CREATED', 'UPLOADING'))"
_LACKS = f"{_IN_FLIGHT} * IFNULL({{row}}.length - {{row}}.bytes_received, 0)"
_LOW = 2**32 - 1


def _length(unknown: str) -> dict[str, str]:
    """The two numbers of a length; `unknown` stands for one that is not known."""
    length = f"{_TAKES_ROOM} * IFNULL({{row}}.length, {unknown})"
    return {"length_high": f"({length} >> 32)", "length_low": f"({length} & {_LOW})"}


def _all(unknown: str) -> dict[str, str]:
    """What an upload, a row of `uploads`, adds to each column of `usage`."""
    return {
        **_length(unknown),
        "promised_high": f"({_LACKS} >> 32)",
        "promised_low": f"({_LACKS} & {_LOW})",
    }


def _owner(unknown: str) -> dict[str, str]:
    """The same of `owner_usage`."""
    return {"uploads": _TAKES_ROOM, "open": _IN_FLIGHT, **_length(unknown)}


def _columns(counted: dict[str, str]) -> str:
    return ", ".join(f"{name} INTEGER NOT NULL" for name in counted)


def _sums(counted: dict[str, str]) -> str:
    return ", ".join(f"IFNULL(SUM({value.format(row='uploads')}), 0)" for value in counted.values())


def _changes(counted: dict[str, str], *, added: str = "", removed: str = "") -> str:
    """The assignments that add one row, take another away, or both."""
    return ", ".join(
        f"{name} = {name}"
        + (f" + {value.format(row=added)}" if added else "")
        + (f" - {value.format(row=removed)}" if removed else "")
        for name, value in counted.items()
    )


_COUNTS_ELSE = f"""(
        OLD.length IS NOT NEW.length
        OR {_TAKES_ROOM.format(row="OLD")} != {_TAKES_ROOM.format(row="NEW")}
        OR {_IN_FLIGHT.format(row="OLD")} != {_IN_FLIGHT.format(row="NEW")}
    )"""
_WELCOME_OWNER = f"""
    INSERT OR IGNORE INTO owner_usage
        SELECT NEW.owner, 0, 0, 0, 0 WHERE NEW.owner NOT NULL AND {_TAKES_ROOM.format(row="NEW")};
    """
_FORGET_OWNER = "DELETE FROM owner_usage WHERE owner = OLD.owner AND uploads = 0;"


def _add_up(unknown: str) -> tuple[str, ...]:
    """Count what there is, once."""
    return (
        f"INSERT INTO usage SELECT {_sums(_all(unknown))} FROM uploads",
        f"INSERT INTO owner_usage SELECT owner, {_sums(_owner(unknown))} FROM uploads"
        f" WHERE owner NOT NULL AND {_TAKES_ROOM.format(row='uploads')} GROUP BY owner",
    )


def _keep_up(unknown: str) -> tuple[str, ...]:
    """Count what changes, from now on."""
    all_, owner = _all(unknown), _owner(unknown)
    return (
        f"""
    CREATE TRIGGER upload_comes AFTER INSERT ON uploads
    BEGIN
        UPDATE usage SET {_changes(all_, added="NEW")};
        {_WELCOME_OWNER}
        UPDATE owner_usage SET {_changes(owner, added="NEW")} WHERE owner = NEW.owner;
    END
    """,
        f"""
    CREATE TRIGGER upload_goes AFTER DELETE ON uploads
    BEGIN
        UPDATE usage SET {_changes(all_, removed="OLD")};
        UPDATE owner_usage SET {_changes(owner, removed="OLD")} WHERE owner = OLD.owner;
        {_FORGET_OWNER}
    END
    """,
        f"""
    CREATE TRIGGER upload_changes AFTER UPDATE OF state, length ON uploads
    WHEN {_COUNTS_ELSE}
    BEGIN
        UPDATE usage SET {_changes(all_, added="NEW", removed="OLD")};
        {_WELCOME_OWNER}
        UPDATE owner_usage SET {_changes(owner, added="NEW", removed="OLD")}
            WHERE owner = NEW.owner;
        {_FORGET_OWNER}
    END
    """,
        f"""
    CREATE TRIGGER upload_grows AFTER UPDATE OF bytes_received ON uploads
    WHEN NEW.length NOT NULL AND {_IN_FLIGHT.format(row="NEW")} AND NOT {_COUNTS_ELSE}
    BEGIN
        UPDATE usage SET {_changes(all_, added="NEW", removed="OLD")};
    END
    """,
    )


# Statements of migrations: what they say never changes.
COUNT_USAGE = (
    f"CREATE TABLE usage ({_columns(_all('0'))})",
    f"CREATE TABLE owner_usage (owner TEXT PRIMARY KEY, {_columns(_owner('0'))}) WITHOUT ROWID",
    *_add_up("0"),
    *_keep_up("0"),
    """
    CREATE TRIGGER upload_keeps_its_owner BEFORE UPDATE OF owner ON uploads
    WHEN OLD.owner IS NOT NEW.owner
    BEGIN
        SELECT RAISE(ABORT, 'an upload keeps its owner');
    END
    """,
)
_STORED = "{row}.bytes_received"
COUNT_UNKNOWN_LENGTHS = (
    *(f"DROP TRIGGER upload_{happens}" for happens in ("comes", "goes", "changes", "grows")),
    "DELETE FROM usage",
    "DELETE FROM owner_usage",
    *_add_up(_STORED),
    *_keep_up(_STORED),
    # Apart from `upload_grows`: to the owner of a file of known length its growth is nothing new.
    f"""
    CREATE TRIGGER upload_of_unknown_length_grows AFTER UPDATE OF bytes_received ON uploads
    WHEN NEW.length IS NULL AND {_TAKES_ROOM.format(row="NEW")} AND NOT {_COUNTS_ELSE}
    BEGIN
        UPDATE usage SET {_changes(_all(_STORED), added="NEW", removed="OLD")};
        UPDATE owner_usage SET {_changes(_owner(_STORED), added="NEW", removed="OLD")}
            WHERE owner = NEW.owner;
    END
    """,
)

_FIND = """
    SELECT usage.length_high, usage.length_low, promised_high, promised_low,
        IFNULL(owner_usage.length_high, 0), IFNULL(owner_usage.length_low, 0), IFNULL(open, 0)
    FROM usage LEFT JOIN owner_usage ON owner = ?
    """
# Of the few parts that a ticket may have, and the ticket itself.
_PART_BYTES = "IFNULL(length, bytes_received)"
_HERE = _TAKES_ROOM.format(row="uploads")
_FIND_PARTS = f"""
    SELECT IFNULL(SUM({_PART_BYTES} >> 32), 0), IFNULL(SUM({_PART_BYTES} & {_LOW}), 0), COUNT(*),
        IFNULL((SELECT {_PART_BYTES} FROM uploads WHERE id = :ticket AND {_HERE}), 0)
    FROM uploads WHERE part_of = :ticket AND {_HERE}
    """


def find_usage(
    connection: sqlite3.Connection, owner: str | None, part_of: str | None = None
) -> Usage:
    """Of all uploads, as somebody sees it who wants another for this owner, or a part of that
    ticket."""
    (length_high, length_low, lacks_high, lacks_low, own_high, own_low, owner_open) = (
        connection.execute(_FIND, (owner,)).fetchone()
    )
    part_high = part_low = part_count = ticket_bytes = 0
    if part_of is not None:
        (part_high, part_low, part_count, ticket_bytes) = connection.execute(
            _FIND_PARTS, {"ticket": part_of}
        ).fetchone()
    return Usage(
        total_bytes=(length_high << 32) + length_low,
        owner_bytes=(own_high << 32) + own_low,
        promised_bytes=(lacks_high << 32) + lacks_low,
        owner_open=owner_open,
        part_bytes=(part_high << 32) + part_low,
        part_count=part_count,
        ticket_bytes=ticket_bytes,
    )


def without(usage: Usage, upload: Upload) -> Usage:
    """`usage` of the upload's owner, of all uploads but this."""
    if upload.state in (UploadState.FINISHED, UploadState.CANCELLED):
        return usage
    stored = upload.received.total_bytes
    length = stored if upload.length is None else upload.length
    is_open = takes_bytes(upload.state)
    has_owner = upload.owner is not None
    is_part = upload.part_of is not None
    return replace(
        usage,
        total_bytes=usage.total_bytes - length,
        owner_bytes=usage.owner_bytes - (length if has_owner else 0),
        promised_bytes=usage.promised_bytes - (length - stored if is_open else 0),
        owner_open=usage.owner_open - (is_open and has_owner),
        part_bytes=usage.part_bytes - (length if is_part else 0),
        part_count=usage.part_count - is_part,
    )

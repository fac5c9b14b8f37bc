"""Ranges and claims of one upload, near a chunk: what a step touches does not grow with their
number, of which there may be tens of thousands. Steps of transactions.

The tables `ranges` and `synced` hold ranges as a `RangeSet` does, sorted, disjoint and not
touching; `claims` are disjoint. So of all that begin before a byte only the last can reach it, and
the primary key finds that one.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable

from ..ranges import Range, RangeSet

__all__ = [
    "StoredRanges",
    "end_claims_beyond",
    "find_claimed",
    "find_missing",
    "find_ranges",
    "find_writers",
    "is_claimed",
    "record_range",
    "release_claims",
    "revoke_claims",
    "stop_claims",
    "take_over",
]


def _find_near(table: str, columns: str, less: str) -> str:
    """Those of `table` that overlap a range (less "<") or at least touch it ("<="): `_near` has the
    parameters."""
    first = f"IFNULL((SELECT MAX(start) FROM {table} WHERE upload = ? AND start <= ?), 0)"
    return (
        f"SELECT {columns} FROM {table} WHERE upload = ? AND start >= {first}"
        f" AND start {less} ? AND ? {less} stop ORDER BY start"
    )


def _near(key: int, start: int, stop: int) -> tuple[int, ...]:
    return key, key, start, stop, start


_TABLES = ("ranges", "synced")
_NEAR_RANGES = _find_near("ranges", "start, stop", "<")
_NEAR_CLAIMS = _find_near("claims", "start, stop, owner, stopped, appends", "<")
_NEIGHBOURS = {table: _find_near(table, "start, stop", "<=") for table in _TABLES}
_INSERT = {
    table: f"INSERT INTO {table} (upload, start, stop) VALUES (?, ?, ?)" for table in _TABLES
}
_MOVE = {
    table: f"UPDATE {table} SET start = ?, stop = ? WHERE upload = ? AND start = ?"
    for table in _TABLES
}
_DELETE = {
    table: f"DELETE FROM {table} WHERE upload = ? AND start = ?" for table in (*_TABLES, "claims")
}
_CLAIM_AT = (
    "SELECT stop, owner, stopped FROM claims WHERE upload = ? AND start <= ?"
    " ORDER BY start DESC LIMIT 1"
)


class StoredRanges(RangeSet):
    """All ranges of an upload, read when somebody looks at them: what is decided about an upload
    hardly ever depends on more than how many bytes they are."""

    __slots__ = ("_load", "_loaded", "_total_bytes")

    _load: Callable[[], tuple[Range, ...]]
    _loaded: tuple[Range, ...] | None
    _total_bytes: int

    def __init__(self, total_bytes: int, load: Callable[[], tuple[Range, ...]]) -> None:
        put = object.__setattr__  # a RangeSet is a frozen dataclass
        put(self, "_total_bytes", total_bytes)
        put(self, "_load", load)
        put(self, "_loaded", None)

    @property
    def ranges(self) -> tuple[Range, ...]:
        if self._loaded is None:
            object.__setattr__(self, "_loaded", self._load())
        assert self._loaded is not None
        return self._loaded

    def read_later(self, load: Callable[[], tuple[Range, ...]]) -> None:
        """The transaction in which they could be read ends: from now on with `load`."""
        object.__setattr__(self, "_load", load)

    @property
    def total_bytes(self) -> int:
        return self._total_bytes

    def __reduce__(self) -> tuple[type[RangeSet], tuple[tuple[Range, ...]]]:
        """Copied and pickled as what it stands for: who opens it may be in another process."""
        return RangeSet, (self.ranges,)

    def covers(self, start: int, stop: int) -> bool:
        return stop - start <= self._total_bytes and super().covers(start, stop)


def find_ranges(connection: sqlite3.Connection, table: str, key: int) -> tuple[Range, ...]:
    """All of `table`."""
    return tuple(
        connection.execute(
            f"SELECT start, stop FROM {table} WHERE upload = ? ORDER BY start", (key,)
        )
    )


def find_missing(
    connection: sqlite3.Connection, key: int, start: int, stop: int
) -> tuple[Range, ...]:
    """The parts of [start, stop) that are not stored."""
    near = connection.execute(_NEAR_RANGES, _near(key, start, stop))
    return RangeSet(tuple(near)).missing(start, stop)


def record_range(
    connection: sqlite3.Connection,
    table: str,
    key: int,
    start: int,
    stop: int,
    *,
    is_first: bool = False,
) -> int:
    """Merge [start, stop) with the ranges of `table` that it overlaps or touches; nothing if it is
    empty. How many bytes were not there before. `is_first`: the table is known to have none."""
    if start >= stop:
        return 0
    near = _near(key, start, stop)
    neighbours = [] if is_first else connection.execute(_NEIGHBOURS[table], near).fetchall()
    if not neighbours:
        connection.execute(_INSERT[table], (key, start, stop))
        return stop - start
    first, last = neighbours[0][0], neighbours[-1][1]
    for other, _ in neighbours[1:]:
        connection.execute(_DELETE[table], (key, other))
    start, stop = min(start, first), max(stop, last)
    connection.execute(_MOVE[table], (start, stop, key, first))
    known: int = sum(old_stop - old_start for old_start, old_stop in neighbours)
    return stop - start - known


def find_claimed(
    connection: sqlite3.Connection, key: int, owner: str, start: int, stop: int
) -> list[Range]:
    """What is the owner's of [start, stop), stopped or not."""
    near = connection.execute(_NEAR_CLAIMS, _near(key, start, stop))
    return [
        (max(first, start), min(last, stop)) for first, last, whose, *_ in near if whose == owner
    ]


def is_claimed(connection: sqlite3.Connection, key: int, owner: str, start: int, stop: int) -> bool:
    """Whether all of [start, stop) is in one claim of the owner that has not been stopped."""
    claim = connection.execute(_CLAIM_AT, (key, start)).fetchone()
    return claim is not None and claim[1] == owner and claim[0] >= stop and not claim[2]


def take_over(
    connection: sqlite3.Connection,
    key: int,
    gaps: Iterable[Range],
    owner: str,
    *,
    appends: bool = False,
) -> bool:
    """Give `gaps` to the owner; whether a part of them was somebody's. He loses that for good."""
    displaced = False
    for start, stop in gaps:
        older = connection.execute(_NEAR_CLAIMS, _near(key, start, stop)).fetchall()
        for old_start, old_stop, *old in older:
            displaced = True
            connection.execute(_DELETE["claims"], (key, old_start))
            for rest_start, rest_stop in ((old_start, start), (stop, old_stop)):
                if rest_start < rest_stop:
                    _insert_claim(connection, key, rest_start, rest_stop, *old)
        _insert_claim(connection, key, start, stop, owner, False, appends)
    return displaced


def _insert_claim(
    connection: sqlite3.Connection,
    key: int,
    start: int,
    stop: int,
    owner: str,
    stopped: bool,
    appends: bool,
) -> None:
    connection.execute(
        "INSERT INTO claims (upload, start, stop, owner, stopped, appends)"
        " VALUES (?, ?, ?, ?, ?, ?)",
        (key, start, stop, owner, stopped, appends),
    )


def end_claims_beyond(connection: sqlite3.Connection, key: int, length: int) -> None:
    """The file has no bytes there: whoever had some neither writes nor records them any more."""
    connection.execute("DELETE FROM claims WHERE upload = ? AND start >= ?", (key, length))
    connection.execute(
        "UPDATE claims SET stop = ? WHERE upload = ? AND stop > ?", (length, key, length)
    )


def find_writers(
    connection: sqlite3.Connection, key: int, *, appends: bool = False
) -> tuple[bool, bool]:
    """Whether there are claims under which somebody may still record, and whether there are some
    under which he may also write. `appends`: of those alone that append; so for all of these."""
    rows = connection.execute(
        "SELECT DISTINCT stopped FROM claims WHERE upload = ? AND owner != '' AND appends >= ?",
        (key, appends),
    ).fetchall()
    return bool(rows), (False,) in rows


def stop_claims(connection: sqlite3.Connection, key: int, *, appends: bool = False) -> None:
    connection.execute(
        "UPDATE claims SET stopped = TRUE WHERE upload = ? AND appends >= ?", (key, appends)
    )


def revoke_claims(connection: sqlite3.Connection, key: int, *, appends: bool = False) -> None:
    """They are nobody's then, but there: whoever comes next has to wait for those who are still
    writing."""
    connection.execute(
        "UPDATE claims SET owner = '' WHERE upload = ? AND appends >= ?", (key, appends)
    )


def release_claims(
    connection: sqlite3.Connection, key: int, owner: str, start: int, stop: int
) -> None:
    """Those of the owner that begin in [start, stop)."""
    connection.execute(
        "DELETE FROM claims WHERE upload = ? AND start >= ? AND start < ? AND owner = ?",
        (key, start, stop, owner),
    )

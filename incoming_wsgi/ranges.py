"""The one value under every wire protocol: which bytes are stored.

A `RangeSet` is immutable: half-open ranges `[start, stop)`, sorted, disjoint and not touching, so
that equal sets compare equal. Dialects read it their own way: native asks what is missing, the
offset protocols ask how far it reaches without a gap from 0.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

__all__ = ["Range", "RangeSet"]

Range = tuple[int, int]


@dataclass(frozen=True, slots=True, eq=False)
class RangeSet:
    """Build one with `RangeSet.of(pairs)`; `ranges` itself must already be in normal form.

    Sets of the same ranges are equal, also to one of a subclass that reads its own when needed.
    """

    ranges: tuple[Range, ...] = ()

    @classmethod
    def of(cls, pairs: Iterable[tuple[int, int]]) -> RangeSet:
        """The union of `pairs`, in any order, overlapping or not. Empty pairs add nothing.

        Raises ValueError for a negative start or a stop before its start.
        """
        merged: list[Range] = []
        for start, stop in sorted(pairs):
            _check(start, stop)
            if start == stop:
                continue
            if merged and start <= merged[-1][1]:
                merged[-1] = (merged[-1][0], max(merged[-1][1], stop))
            else:
                merged.append((start, stop))
        return cls(tuple(merged))

    def __eq__(self, other: object) -> bool:
        return self.ranges == other.ranges if isinstance(other, RangeSet) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.ranges)

    def __iter__(self) -> Iterator[Range]:
        return iter(self.ranges)

    @property
    def total_bytes(self) -> int:
        return sum(stop - start for start, stop in self.ranges)

    @property
    def prefix_bytes(self) -> int:
        """How many bytes are stored without a gap from 0: the offset of the offset protocols."""
        return self.ranges[0][1] if self.ranges and self.ranges[0][0] == 0 else 0

    def add(self, start: int, stop: int) -> RangeSet:
        """This set with `[start, stop)` in it."""
        _check(start, stop)
        if start == stop:
            return self
        first, last = self._touching(start, stop)
        if first < last:
            start = min(start, self.ranges[first][0])
            stop = max(stop, self.ranges[last - 1][1])
        return RangeSet((*self.ranges[:first], (start, stop), *self.ranges[last:]))

    def covers(self, start: int, stop: int) -> bool:
        """Whether every byte of `[start, stop)` is in the set."""
        return not self.missing(start, stop)

    def missing(self, start: int, stop: int) -> tuple[Range, ...]:
        """The parts of `[start, stop)` that are not in the set, in order."""
        _check(start, stop)
        gaps: list[Range] = []
        first, last = self._touching(start, stop)
        for have_start, have_stop in self.ranges[first:last]:
            if start < have_start:
                gaps.append((start, min(have_start, stop)))
            start = max(start, have_stop)
        if start < stop:
            gaps.append((start, stop))
        return tuple(gaps)

    def touching(self, start: int, stop: int) -> tuple[Range, ...]:
        """Those of the ranges, whole, that overlap or touch `[start, stop)`."""
        first, last = self._touching(start, stop)
        return self.ranges[first:last]

    def within(self, start: int, stop: int) -> tuple[Range, ...]:
        """The parts of `[start, stop)` that are in the set, in order."""
        _check(start, stop)
        first, last = self._touching(start, stop)
        parts = (
            (max(start, have_start), min(stop, have_stop))
            for have_start, have_stop in self.ranges[first:last]
        )
        return tuple(part for part in parts if part[0] < part[1])

    def _touching(self, start: int, stop: int) -> tuple[int, int]:
        """Indexes [first, last) of the ranges that overlap or touch `[start, stop)`."""
        first = bisect_left(self.ranges, start, key=lambda pair: pair[1])
        last = bisect_right(self.ranges, stop, key=lambda pair: pair[0])
        return first, max(first, last)


def _check(start: int, stop: int) -> None:
    if not 0 <= start <= stop:
        raise ValueError(f"not a range: [{start}, {stop})")

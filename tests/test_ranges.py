"""Ranges, against a simple model: a set of the bytes."""

from __future__ import annotations

import random

import pytest

from incoming_wsgi.ranges import RangeSet


def bytes_of(ranges) -> set[int]:
    return {byte for start, stop in ranges for byte in range(start, stop)}


@pytest.mark.parametrize("seed", range(200))
def test_a_range_set_behaves_like_a_set_of_bytes(seed):
    chosen = random.Random(seed)
    model: set[int] = set()
    ranges = RangeSet()
    for _ in range(chosen.randint(1, 30)):
        start = chosen.randint(0, 60)
        stop = start + chosen.randint(0, 12)
        model |= set(range(start, stop))
        ranges = ranges.add(start, stop)
        assert bytes_of(ranges) == model
        assert ranges.total_bytes == len(model)
        assert ranges.prefix_bytes == next(i for i in range(80) if i not in model)
        low = chosen.randint(0, 70)
        high = low + chosen.randint(0, 20)
        window = set(range(low, high))
        assert bytes_of(ranges.missing(low, high)) == window - model
        assert ranges.covers(low, high) == (window <= model)
        # In normal form: sorted, and with a gap between each two.
        assert all(a[1] < b[0] for a, b in zip(ranges.ranges, ranges.ranges[1:], strict=False))
        assert RangeSet.of(ranges) == ranges


def test_ranges_that_touch_become_one():
    assert RangeSet.of([(5, 10), (0, 5), (12, 12)]).ranges == ((0, 10),)
    assert RangeSet.of([(0, 5)]).add(5, 10).ranges == ((0, 10),)


def test_equal_sets_are_equal_whatever_their_history():
    assert RangeSet.of([(0, 4), (4, 8)]) == RangeSet().add(2, 8).add(0, 2)


@pytest.mark.parametrize(("start", "stop"), [(-1, 3), (5, 4), (-3, -1)])
def test_what_is_no_range_is_refused(start, stop):
    with pytest.raises(ValueError, match="not a range"):
        RangeSet().add(start, stop)
    with pytest.raises(ValueError, match="not a range"):
        RangeSet.of([(start, stop)])


def test_files_beyond_32_bits_are_counted_exactly():
    tebi = 2**40
    ranges = RangeSet().add(5 * tebi - 1, 5 * tebi)
    assert ranges.missing(0, 5 * tebi) == ((0, 5 * tebi - 1),)

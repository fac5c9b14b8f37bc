"""Every method of a RangeSet, against a plain set of the bytes."""

from __future__ import annotations

from itertools import pairwise

import pytest
from effort import effort
from hypothesis import given
from hypothesis import strategies as st

from incoming_wsgi.ranges import RangeSet

BYTES = st.integers(0, 60)
RANGES = st.tuples(BYTES, BYTES).map(lambda pair: (min(pair), max(pair)))
HUGE = st.integers(0, 2**63)


def bytes_of(ranges) -> set[int]:
    return {byte for start, stop in ranges for byte in range(start, stop)}


def assert_normal(ranges: RangeSet) -> None:
    """Sorted, not empty, and with a gap between each two."""
    assert all(start < stop for start, stop in ranges.ranges)
    assert all(before[1] < after[0] for before, after in pairwise(ranges.ranges))


@effort(300)
@given(st.lists(RANGES, max_size=12))
def test_the_union_has_the_bytes_of_all(pairs):
    ranges = RangeSet.of(pairs)
    model = bytes_of(pairs)
    assert_normal(ranges)
    assert bytes_of(ranges) == model
    assert ranges.total_bytes == len(model)
    assert ranges.prefix_bytes == next(byte for byte in range(62) if byte not in model)


@effort(300)
@given(st.lists(RANGES, max_size=12), RANGES)
def test_adding_a_range_adds_its_bytes(pairs, added):
    before = RangeSet.of(pairs)
    after = before.add(*added)
    assert_normal(after)
    assert bytes_of(after) == bytes_of(pairs) | bytes_of([added])
    assert before == RangeSet.of(pairs)  # a value never changes


@effort(300)
@given(st.lists(RANGES, max_size=12), RANGES)
def test_what_is_missing_are_the_other_bytes(pairs, window):
    ranges = RangeSet.of(pairs)
    missing = ranges.missing(*window)
    assert_normal(RangeSet(missing))
    assert bytes_of(missing) == bytes_of([window]) - bytes_of(pairs)
    assert ranges.covers(*window) == (bytes_of([window]) <= bytes_of(pairs))


@effort(200)
@given(st.lists(RANGES, max_size=12), st.randoms(use_true_random=False))
def test_equal_bytes_make_equal_sets_whatever_their_history(pairs, random):
    ranges = RangeSet()
    order = [*pairs, *pairs]
    random.shuffle(order)
    for start, stop in order:
        ranges = ranges.add(start, stop)
    assert ranges == RangeSet.of(pairs) == RangeSet.of(ranges)
    assert hash(ranges) == hash(RangeSet.of(pairs))


@effort(200)
@given(st.lists(st.tuples(HUGE, HUGE).map(sorted), max_size=6), st.tuples(HUGE, HUGE).map(sorted))
def test_what_is_there_and_what_is_missing_add_up_at_any_size(pairs, window):
    ranges = RangeSet.of(tuple(pair) for pair in pairs)
    start, stop = window
    missing = ranges.missing(start, stop)
    there = ranges
    for gap in missing:
        assert not ranges.covers(*gap)
        there = there.add(*gap)
    assert there.covers(start, stop)
    assert there == ranges.add(start, stop)
    added = sum(last - first for first, last in missing)
    assert there.total_bytes == ranges.total_bytes + added


@effort(100)
@given(st.integers(-(2**64), 2**64), st.integers(-(2**64), 2**64))
def test_what_is_no_range_is_refused_everywhere(start, stop):
    calls = (
        lambda: RangeSet().add(start, stop),
        lambda: RangeSet.of([(start, stop)]),
        lambda: RangeSet().missing(start, stop),
        lambda: RangeSet().covers(start, stop),
    )
    for call in calls:
        if 0 <= start <= stop:
            call()
        else:
            with pytest.raises(ValueError, match="not a range"):
                call()

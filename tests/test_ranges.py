"""Ranges: what they promise by example; properties/test_range_properties.py tries the rest."""

from __future__ import annotations

import pytest

from incoming_wsgi.ranges import RangeSet


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


def test_what_is_within_and_what_is_missing_are_the_whole():
    have = RangeSet.of([(10, 20), (30, 40)])
    assert have.within(15, 35) == ((15, 20), (30, 35))
    assert have.missing(15, 35) == ((20, 30),)
    assert have.within(0, 10) == have.within(20, 30) == have.within(15, 15) == ()

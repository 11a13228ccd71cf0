"""core/histogram against a sorted list."""

from __future__ import annotations

import math

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mexcfast.core.histogram import Histogram

DURATIONS = st.lists(st.one_of(
    st.integers(0, 300), st.integers(0, 10**6), st.integers(0, 2**42 - 1)),
    min_size=1, max_size=200)


def filled(values: list[int]) -> Histogram:
    found = Histogram()
    for value in values:
        found.record(value)
    return found


@given(DURATIONS, st.floats(0, 1))
def test_quantiles_are_within_their_error(values: list[int], q: float) -> None:
    got = filled(values).quantile(q)
    rank = max(1, math.ceil(q * len(values) - 1e-6))
    true = sorted(values)[rank - 1]
    assert true <= got <= true + true / 64


@given(DURATIONS)
def test_what_is_exact(values: list[int]) -> None:
    found = filled(values)
    assert (found.count, found.total) == (len(values), sum(values))
    assert (found.min_ns, found.max_ns) == (min(values), max(values))
    assert found.mean_ns == pytest.approx(sum(values) / len(values))
    assert found.quantile(1) == max(values)


@given(DURATIONS, DURATIONS)
def test_merging_is_recording_both(ours: list[int], theirs: list[int]) -> None:
    found = filled(ours)
    found.merge(filled(theirs))
    both = filled(ours + theirs)
    for q in (0, 0.1, 0.5, 0.9, 0.99, 1):
        assert found.quantile(q) == both.quantile(q)
    assert (found.count, found.total, found.min_ns, found.max_ns) == (
        both.count, both.total, both.min_ns, both.max_ns)


@given(DURATIONS)
@example([2**42 - 2**35])
def test_cumulative_counts_grow_to_all(values: list[int]) -> None:
    bounds = [10**n for n in range(1, 14)]
    counted = filled(values).cumulative(bounds)
    assert [bound for bound, _ in counted] == bounds
    for bound, count in counted:
        assert sum(v <= bound * 63 / 64 for v in values) <= count <= sum(v <= bound for v in values)


def test_clocks_that_disagree_and_hours() -> None:
    found = filled([-5, 10, 2**60])
    assert (found.negative, found.min_ns, found.max_ns, found.count) == (1, 0, 2**60, 3)
    assert found.quantile(1) == 2**60 and found.quantile(0) == 0
    found.clear()
    assert (found.count, found.negative, found.max_ns, found.quantile(0.5)) == (0, 0, None, None)
    assert repr(found) == "<Histogram, nothing recorded>"


@pytest.mark.parametrize("q", [-0.1, 1.1, math.nan])
def test_a_share_is_a_share(q: float) -> None:
    with pytest.raises(ValueError, match="0 to 1"):
        Histogram().quantile(q)

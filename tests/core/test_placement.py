"""core/placement and core/startup: where topics go, and how long a start takes."""

from __future__ import annotations

import pytest

from mexcfast.core import topics as T
from mexcfast.core.placement import (
    Crowding,
    Limits,
    Load,
    Seat,
    choose,
    excludes,
    is_final,
    relief,
)
from mexcfast.core.startup import Startup, opening_s, seconds_left, snapshots_s

S = 1_000_000_000
LIMITS = Limits(30, 1000, 1e6)


def test_load_is_measured_and_decays():
    load = Load()
    for second in range(100):
        load.measure(second * S, 50 * second, 7000 * second)
    assert load.frames_per_s == pytest.approx(50, rel=0.01)
    assert load.bytes_per_s == pytest.approx(7000, rel=0.01)
    load.measure(109 * S, 50 * 99, 7000 * 99)
    assert load.frames_per_s == pytest.approx(25, rel=0.02), "half is gone after ten seconds"
    load.measure(109 * S, 50 * 99, 7000 * 99)
    assert load.frames_per_s == pytest.approx(25, rel=0.02), "no time passed"


def test_the_socket_that_carries_least_is_chosen_not_the_one_with_fewest_topics():
    busy, calm = Seat(2, 800, 10), Seat(20, 100, 10)
    assert choose([busy, calm], LIMITS) == 1
    assert choose([Seat(5, 0, 0), Seat(1, 0, 0)], LIMITS) == 0, "of equals the first"
    assert choose([Seat(5, 10, 9e5), Seat(1, 500, 0)], LIMITS) == 1, "bytes count as frames do"


def test_full_sockets_take_no_more():
    assert choose([], LIMITS) is None
    assert choose([Seat(30, 0, 0)], LIMITS) is None
    assert choose([Seat(3, 1000, 0)], LIMITS) is None, "a hot socket is left alone"
    assert choose([Seat(3, 0, 1e6), Seat(30, 0, 0), Seat(29, 999, 0)], LIMITS) == 2


def test_forms_that_exclude_each_other():
    five = T.depth_full("BTC_USDT", 5)
    assert excludes(five, [T.depth_full("BTC_USDT", 20)])
    assert excludes(T.deals("BTC_USDT", False), [T.deals("BTC_USDT")])
    assert not excludes(five, [five, T.depth_full("ETH_USDT", 20), T.depth("BTC_USDT")])
    assert not excludes(T.kline("BTC_USDT", "Min1"), [T.kline("BTC_USDT", "Min5")])


@pytest.mark.parametrize(("text", "final"), [
    ("Contract doesn't exist!", True), ("Contract [X] not exists", True),
    ("Not support interval", True), ("Not support limit", True), ("invalid param", True),
    ("Blocked", False), ("failed", False), ("no answer to 3 requests", False), ("", False),
])
def test_which_refusals_may_pass(text, final):
    assert is_final(text) is final


@pytest.mark.parametrize(("wanted", "free", "seconds"), [
    (0, 10, 0.0), (1, 10, 0.1), (10, 10, 0.1), (11, 10, 2.1), (30, 10, 4.1), (10, 0, 2.1),
    (1100, 10, 218.1), (5, 99, 0.1), (5, -3, 2.1),
])
def test_time_for_snapshots(wanted, free, seconds):
    assert snapshots_s(wanted, free, 10, 2.0, 0.1) == pytest.approx(seconds)


def test_snapshots_against_a_window_walked_through():
    """The estimate is what a window of 10 per 2 s really takes."""
    for wanted in range(1, 60):
        taken: list[float] = []
        now = 0.0
        while len(taken) < wanted:
            if sum(now < at + 2.0 for at in taken) < 10:
                taken.append(now)
            else:
                now += 0.5
        assert snapshots_s(wanted, 10, 10, 2.0, 0.0) == taken[-1]


def test_time_for_sockets():
    assert opening_s(0, 5, 0.5, 30, 80) == 0.0
    assert opening_s(37, 5, 0.5, 30, 80) == 4.0
    assert opening_s(1, 5, 0.5, 30, 10) == 2.5
    assert seconds_left(3.0, 4.0) == 4.0
    with pytest.raises(ValueError, match="budget of 0"):
        snapshots_s(1, 1, 0, 2.0, 0.0)


def test_when_a_start_is_done():
    assert Startup(3, 2, 0, 0, 1, 0.0).is_done
    assert not Startup(3, 2, 1, 0, 0, 0.1).is_done


def test_a_crowded_socket_is_one_that_stays_above_the_limits():
    crowding = Crowding()
    assert not crowding.look(0, 0.99, 10 * S), "below the limits it does not begin"
    assert not crowding.look(1 * S, 1.0, 10 * S)
    assert not crowding.look(5 * S, 0.8, 10 * S), "it has not ended"
    assert not crowding.look(11 * S - 1, 2.0, 10 * S)
    assert crowding.look(11 * S, 0.9, 10 * S)
    assert not crowding.look(12 * S, 0.9, 10 * S), "told once; it must begin anew"
    assert not crowding.look(40 * S, 0.9, 10 * S)
    assert not crowding.look(41 * S, 1.5, 10 * S)
    assert not crowding.look(45 * S, 0.79, 10 * S), "a burst has ended"
    assert not crowding.look(52 * S, 1.5, 10 * S)
    assert crowding.look(62 * S, 1.5, 10 * S)


def test_half_of_the_topics_leave():
    topics = [T.deals(f"S{n}_USDT") for n in range(5)]
    assert relief(topics) == [topics[1], topics[3]]
    assert relief(topics[:2]) == [topics[1]] and relief(topics[:1]) == relief([]) == []

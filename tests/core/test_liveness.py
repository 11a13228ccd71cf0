"""core/liveness: bounds of silence learnt from each topic's rhythm, and when a socket is sick."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mexcfast.core import topics as T
from mexcfast.core.liveness import RHYTHMS, Rhythm, SilenceClock, SocketHealth

S = 1_000_000_000
DEPTH = RHYTHMS["depth"]


def clock_after(gaps, rhythm=DEPTH, scale=1.0):
    now = 0
    clock = SilenceClock(rhythm, now, scale)
    clock.heard(now)
    for gap in gaps:
        now += int(gap * S)
        clock.heard(now)
    return clock, now


def test_before_anything_is_known_the_default_holds():
    clock = SilenceClock(DEPTH, 5 * S)
    assert clock.bound_ns == 15 * S
    assert not clock.check(20 * S)
    assert clock.check(20 * S + 1), "silent since it was asked for counts as well"
    assert not clock.check(90 * S), "told once"
    assert clock.is_silent


def test_the_bound_follows_the_rhythm_between_floor_and_ceiling():
    fast, _ = clock_after([0.2] * 40)
    assert fast.bound_ns == 3 * S
    slow, _ = clock_after([4.0] * 40)
    assert 12 * S <= slow.bound_ns <= 12 * 1.42 * S, "three times the gap, up to half an octave"
    rare, _ = clock_after([50.0] * 40)
    assert rare.bound_ns == 60 * S


def test_a_fast_topic_is_found_silent_soon_and_pongs_do_not_matter():
    clock, now = clock_after([0.5] * 40)
    assert not clock.check(now + 3 * S)
    assert clock.check(now + 3 * S + 1)
    assert clock.heard(now + 4 * S), "the frame ends it"
    assert not clock.is_silent and not clock.heard(now + 5 * S)


def test_excuses_double_the_bound_and_the_next_frame_ends_that():
    clock, now = clock_after([0.5] * 120)
    for bound in (3, 6, 12, 24, 48, 60, 60):
        assert clock.bound_ns == bound * S
        assert clock.check(now + bound * S + 1)
        now += bound * S + 1
        clock.excuse(now)
        assert not clock.is_silent
    clock.heard(now)
    assert clock.bound_ns == 3 * S, "one long gap of a hundred is no rhythm"


def test_a_silence_that_was_a_fault_teaches_nothing():
    clock, now = clock_after([0.5] * 40)
    clock.heard(now + 50 * S, is_rhythm=False)
    assert clock.bound_ns == 3 * S


def test_a_restart_counts_anew_with_the_same_bound():
    clock, now = clock_after([0.5] * 40)
    assert clock.check(now + 4 * S)
    clock.restart(now + 4 * S)
    assert not clock.check(now + 7 * S) and clock.check(now + 7 * S + 1)


def test_old_habits_fade():
    clock, _ = clock_after([0.5] * 300)
    assert clock.bound_ns == 3 * S
    clock, _ = clock_after([0.5] * 100 + [10.0] * 600)
    assert 30 * S <= clock.bound_ns <= 43 * S
    clock, _ = clock_after([10.0] * 100 + [0.5] * 2000)
    assert clock.bound_ns == 3 * S


def test_slow_channels_do_not_alarm_by_themselves():
    """Poisson arrivals: hours of a quiet contract's candles and funding rates without an alarm."""
    for channel, mean_s in (("kline", 60), ("funding.rate", 300), ("deal", 90), ("ticker", 20)):
        chance = random.Random(channel)
        clock, now = clock_after([chance.expovariate(1 / mean_s) for _ in range(60)],
                                 RHYTHMS[channel])
        alarms = 0
        for _ in range(500):
            now += int(chance.expovariate(1 / mean_s) * S)
            alarms += clock.check(now)
            clock.heard(now)
        assert alarms <= 2, channel


def test_scale():
    assert SilenceClock(DEPTH, 0, 0.01).bound_ns == 150_000_000
    clock, _ = clock_after([0.001] * 40, scale=0.01)
    assert clock.bound_ns == 30_000_000


def test_every_channel_that_pushes_regularly_has_a_rhythm():
    topics = [T.depth("A_B"), T.depth_full("A_B"), T.depth_step("A_B", "1"), T.deals("A_B"),
              T.tickers(), T.ticker("A_B"), T.kline("A_B", "Min1"), T.funding_rate("A_B"),
              T.index_price("A_B"), T.fair_price("A_B")]
    assert {topic.channel for topic in topics} == set(RHYTHMS)
    for rhythm in RHYTHMS.values():
        assert 0 < rhythm.floor <= rhythm.default <= rhythm.ceiling


@settings(max_examples=200, deadline=None)
@given(gaps=st.lists(st.floats(0.001, 5000), max_size=400), scale=st.floats(0.01, 10),
       excuses=st.integers(0, 100))
def test_no_history_leads_outside_the_bounds(gaps, scale, excuses):
    """The stated bound holds whatever was learnt: at most the ceiling, at least the floor."""
    rhythm = Rhythm(20, 2, 100)
    clock, now = clock_after(gaps, rhythm, scale)
    for _ in range(excuses):
        clock.excuse(now)
    assert int(2 * scale * S) <= clock.bound_ns <= int(100 * scale * S)
    assert clock.check(now + int(100 * scale * S) + 1)


# -- sockets ---------------------------------------------------------------------------------------

def health():
    return SocketHealth(5 * S, 2 * S)


def test_three_late_pongs_in_a_row():
    sick = health()
    for trip in (6, 6, 1, 6, 6):
        sick.pong(trip * S)
        assert sick.sick(0, 10, 0, 0) == ""
    sick.pong(6 * S)
    assert sick.sick(0, 10, 0, 0) == "3 pongs in a row were late"


def test_frames_that_come_later_and_later():
    sick = health()
    sick.frame(0, -40 * S)             # our clock is 40 s behind: only growth counts
    sick.frame(1 * S, -37 * S)
    assert sick.sick(10 * S, 10, 0, 0) == ""
    sick.frame(10 * S, -36 * S)
    assert sick.sick(11 * S, 10, 0, 0) == "frames come 4.0 s later than at best"
    sick.frame(12 * S, -39 * S)
    assert sick.sick(30 * S, 10, 0, 0) == "", "it caught up"


@pytest.mark.parametrize(("topics", "silent", "dead", "why"), [
    (30, 2, 0, ""), (4, 2, 1, ""), (30, 14, 0, ""), (30, 15, 0, "15 of 30 topics are silent"),
    (3, 3, 0, "3 of 3 topics are silent"), (2, 2, 0, ""), (30, 2, 2, "2 books moved without it"),
])
def test_silent_and_dead_topics(topics, silent, dead, why):
    assert health().sick(0, topics, silent, dead) == why

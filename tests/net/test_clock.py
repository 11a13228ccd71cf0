"""net/clock: the signed time is never ahead of the venue's."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mexcfast.net.clock import MS, Clock


class World:
    """A venue, a local machine and the network between them, in nanoseconds."""

    def __init__(self, offset_ns):
        self.now = 10**18
        self.offset = offset_ns
        self.step_ns = 123          # of the local wall clock
        self.clock = Clock(lambda: self.now + self.step_ns, lambda: self.now - 10**17)

    def venue_ms(self):
        return (self.now + self.offset) // MS

    def ping(self, there_ns, back_ns):
        sent = self.clock.monotonic_ns()
        self.now += there_ns
        answer = self.venue_ms()
        self.now += back_ns
        self.clock.learn(sent, self.clock.monotonic_ns(), answer)


delays = st.integers(0, 3 * 10**9)


@settings(deadline=None)
@given(st.integers(-10**13, 10**13), st.lists(st.tuples(delays, delays, delays), min_size=1))
def test_never_ahead_and_within_the_bound(offset, pings):
    world = World(offset)
    for there, back, pause in pings:
        world.ping(there, back)
        world.now += pause
        assert world.clock.venue_ms() <= world.venue_ms()
        error = world.clock.error_ms
        assert abs(world.clock.offset_ms - (offset - 123) / MS) <= error + pause / 1e9
    fastest = min(there + back for there, back, _ in pings[-8:])
    assert error <= fastest / 2 / MS + 1 + 8 * 9 * 0.05


def test_before_a_ping_the_wall_clock_counts():
    clock = Clock(lambda: 1_700_000_000_123_456_789, lambda: 5)
    assert (clock.venue_ms(), clock.wall_ms()) == (1_700_000_000_123, 1_700_000_000_123)
    assert (clock.is_synced, clock.offset_ms, clock.error_ms) == (False, 0.0, None)


def test_a_step_of_the_venue_clock_is_followed():
    world = World(0)
    world.ping(MS, MS)
    world.offset = -60 * 10**9
    world.ping(MS, MS)
    assert world.venue_ms() - 3 <= world.clock.venue_ms() <= world.venue_ms()


def test_a_step_of_the_wall_clock_changes_nothing():
    world = World(0)
    world.ping(MS, MS)
    before = world.clock.venue_ms()
    world.step_ns = 3600 * 10**9
    assert world.clock.venue_ms() == before


def test_after_forget_the_next_ping_alone_counts():
    world = World(5 * 10**9)
    world.ping(0, 0)
    world.offset += MS          # too small a step to contradict the old bounds
    world.clock.forget()
    before = world.clock.venue_ms()
    assert world.clock.is_synced and before == world.venue_ms() - 1, "no leap to the wall clock"
    world.ping(10 * MS, 10 * MS)
    assert world.clock.error_ms == 10.5 and world.clock.venue_ms() <= world.venue_ms()


def test_what_is_known_grows_old():
    """A crystal may run 50 parts per million off: the bound says so, and the time stays behind."""
    world = World(0)
    world.ping(0, 0)
    fresh = world.clock.error_ms
    world.now += 1000 * 10**9
    assert world.clock.error_ms == fresh + 50
    world.offset -= 50 * MS     # the local clock has run ahead by as much
    assert world.clock.venue_ms() <= world.venue_ms()


def test_time_runs_forward():
    with pytest.raises(ValueError, match="before it was sent"):
        Clock().learn(2, 1, 1_700_000_000_000)

"""core/throttle against slow models."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule

from mexcfast.core.throttle import Penalties, backoff_ms
from mexcfast.core.window import Window


class WindowModel(RuleBasedStateMachine):
    """The slow window: every grant ever made, counted over every span that ends now."""

    def __init__(self):
        super().__init__()
        self.now = 0
        self.window = Window(3, 20, 5)
        self.grants = []
        self.blocked_until = 0

    def allowed(self, now):
        recent = [grant for grant in self.grants if now - grant < 25]
        return len(recent) < 3 and now >= self.blocked_until

    @rule(step=st.integers(0, 30))
    def wait(self, step):
        self.now += step

    @rule()
    def take(self):
        allowed = self.allowed(self.now)
        wait = self.window.take(self.now)
        assert (wait == 0) == allowed
        if allowed:
            self.grants.append(self.now)
        else:
            assert not self.allowed(self.now + wait - 1)
            assert self.allowed(self.now + wait)

    @rule()
    def look(self):
        assert (self.window.free(self.now) > 0) == self.allowed(self.now)
        assert (self.window.wait_ns(self.now) == 0) == self.allowed(self.now)

    @rule(longer=st.sampled_from([0, 60]))
    def block(self, longer):
        self.window.block(self.now, longer)
        self.blocked_until = max(self.blocked_until, self.now + max(25, longer))


TestWindow = WindowModel.TestCase
TestWindow.settings = settings(deadline=None)


@settings(deadline=None)
@given(st.lists(st.integers(0, 40), max_size=60))
def test_no_span_ever_holds_more_than_the_count(steps):
    window, now, grants = Window(4, 20), 0, []
    for step in steps:
        now += step
        if window.take(now) == 0:
            grants.append(now)
    for i in range(len(grants) - 4):
        assert grants[i + 4] - grants[i] >= 20


def test_four_per_two_seconds():
    window = Window(4, 2_000_000_000)
    assert [window.take(t) for t in (0, 10, 20, 30)] == [0, 0, 0, 0]
    assert window.free(30) == 0
    assert window.take(40) == 1_999_999_960
    assert window.take(2_000_000_000) == 0
    assert window.wait_ns(2_000_000_000) == 10


@pytest.mark.parametrize("arguments", [(0, 1), (1, 0), (1, 1, -1)])
def test_window_limits(arguments):
    with pytest.raises(ValueError, match="allowed"):
        Window(*arguments)


def test_backoff():
    assert [backoff_ms(n) for n in range(8)] == [0, 1000, 2000, 4000, 8000, 16000, 30000, 30000]
    assert backoff_ms(10**9) == 30_000
    assert backoff_ms(3, 1.0) == 2000
    for bad in ((-1, 0.0), (1, -0.1), (1, 1.1)):
        with pytest.raises(ValueError, match="allowed"):
            backoff_ms(*bad)


@settings(deadline=None)
@given(st.integers(1, 100), st.floats(0, 1))
def test_backoff_stays_between_half_and_whole(attempt, jitter):
    whole = backoff_ms(attempt)
    assert whole // 2 <= backoff_ms(attempt, jitter) <= whole


# -- penalties -----------------------------------------------------------------------------------

def test_a_pause_doubles_for_who_comes_back_too_early():
    penalties = Penalties()
    assert penalties.note("x", 1000, 100, 350) == 1100
    assert penalties.note("x", 1050, 100, 350) == 1100, "left before the pause began"
    assert penalties.note("x", 1100, 100, 350) == 1300
    assert penalties.note("x", 1400, 100, 350) == 1750, "capped"
    assert penalties.note("x", 1751 + 4 * 350, 100, 350) == 1751 + 4 * 350 + 100, "forgiven"
    assert penalties.open_ms(1752 + 4 * 350) == {"x": 3251}
    assert penalties.open_ms(9999) == {}


def test_a_pause_outlives_a_restart_but_not_its_end():
    penalties = Penalties()
    penalties.restore("edge POST", 500, 400)
    penalties.restore("over", 400, 400)
    assert penalties.open_ms(400) == {"edge POST": 500}
    assert penalties.note("edge POST", 501, 100, 10_000) == 701, "still a repeat"

"""core/throttle against slow models."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule

from mexcfast.core.throttle import Lane, Lanes, Window, backoff_ms


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

    @rule()
    def block(self):
        self.window.block(self.now)
        self.blocked_until = max(self.blocked_until, self.now + 25)


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


class LanesModel(RuleBasedStateMachine):
    """The slow queue: a list of (lane, key, item), searched from the front."""

    def __init__(self):
        super().__init__()
        self.lanes = Lanes()
        self.model = []
        self.count = 0

    @rule(lane=st.sampled_from(Lane), key=st.one_of(st.none(), st.integers(0, 3)))
    def push(self, lane, key):
        self.count += 1
        old = [entry for entry in self.model if key is not None and entry[1] == key]
        self.model = [entry for entry in self.model if entry not in old]
        self.model.append((lane, key, self.count))
        assert self.lanes.push(lane, self.count, key) == (old[0][2] if old else None)

    @rule()
    def pop(self):
        best = min(self.model, key=lambda entry: (entry[0], entry[2]), default=None)
        assert self.lanes.pop() == (None if best is None else (best[0], best[2]))
        if best is not None:
            self.model.remove(best)

    @rule()
    def pop_and_put_back(self):
        popped = self.lanes.pop()
        if popped is None:
            return
        lane, item = popped
        entry = next(entry for entry in self.model if entry[2] == item)
        self.lanes.push_front(lane, item, entry[1])

    @rule(lane=st.sampled_from(Lane), limit=st.integers(0, 3))
    def pop_many(self, lane, limit):
        taken = [entry for entry in self.model if entry[0] == lane][:limit]
        assert self.lanes.pop_many(lane, limit) == [entry[2] for entry in taken]
        self.model = [entry for entry in self.model if entry not in taken]

    @rule(key=st.integers(0, 3))
    def discard(self, key):
        old = [entry for entry in self.model if entry[1] == key]
        self.model = [entry for entry in self.model if entry not in old]
        assert self.lanes.discard(key) == (old[0][2] if old else None)
        assert len(self.lanes) == len(self.model)


TestLanes = LanesModel.TestCase
TestLanes.settings = settings(deadline=None)

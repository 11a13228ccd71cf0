"""core/schedule against a slow list."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule

from mexcfast.core.schedule import Schedule
from mexcfast.core.throttle import Lane
from mexcfast.core.window import Window

LANES = st.sampled_from(Lane)


class ScheduleModel(RuleBasedStateMachine):
    """A list of what waits, searched from the front; grants counted over the last window."""

    def __init__(self):
        super().__init__()
        self.now = 0
        self.schedule = Schedule(Window(2, 20))
        self.waiting = []           # (lane, key, expires, number, ticket)
        self.grants = []
        self.closed = {}
        self.count = 0

    def has_slot(self):
        return len([grant for grant in self.grants if self.now - grant < 20]) < 2

    def may_go(self, lane):
        return self.now >= self.closed.get(lane, 0)

    def first(self):
        ready = [entry for entry in self.waiting if self.may_go(entry[0])]
        return min(ready, key=lambda entry: (entry[0], entry[3]), default=None)

    @rule(step=st.integers(0, 25))
    def wait(self, step):
        self.now += step
        self.due()

    @rule(lane=LANES, key=st.sampled_from([None, 1, 2]), keep=st.booleans(),
          age=st.sampled_from([None, 0, 5, 30]))
    def enter(self, lane, key, keep, age):
        self.count += 1
        old = [entry for entry in self.waiting if key is not None and entry[1] == key]
        expires = None if age is None else self.now + age
        ticket, dropped = self.schedule.enter(self.now, lane, self.count, key, expires, keep)
        if old and keep:
            assert ticket is dropped is None
            return
        assert dropped is (old[0][4] if old else None)
        assert dropped is None or not dropped.is_waiting
        self.waiting = [entry for entry in self.waiting if entry not in old]
        self.waiting.append((lane, key, expires, self.count, ticket))

    @rule()
    def due(self):
        granted, outdated = self.schedule.due(self.now)
        late = [entry for entry in self.waiting if entry[2] is not None and self.now >= entry[2]]
        assert {ticket.item for ticket in outdated} == {entry[3] for entry in late}
        self.waiting = [entry for entry in self.waiting if entry not in late]
        for ticket in granted:
            entry = self.first()
            assert self.has_slot() and ticket is entry[4] and not ticket.is_waiting
            self.waiting.remove(entry)
            self.grants.append(self.now)
        assert self.first() is None or not self.has_slot()

    @rule(lane=LANES)
    def take(self, lane):
        free = self.has_slot() and self.may_go(lane) and self.first() is None
        wait_ns = self.schedule.take(self.now, lane)
        assert (wait_ns == 0) == free
        if free:
            self.grants.append(self.now)

    @rule(lane=LANES, span=st.integers(0, 40))
    def close(self, lane, span):
        self.schedule.close([lane], self.now + span)
        self.closed[lane] = max(self.closed.get(lane, 0), self.now + span)

    @rule(place=st.integers(0, 5))
    def leave(self, place):
        if place < len(self.waiting):
            ticket = self.waiting.pop(place)[4]
            assert self.schedule.leave(ticket) and not self.schedule.leave(ticket)

    @rule()
    def look(self):
        order = sorted(self.waiting, key=lambda entry: (entry[0], entry[3]))
        assert [ticket.item for ticket in self.schedule.tickets()] == [e[3] for e in order]
        assert len(self.schedule) == len(order)
        wait = self.schedule.next_ns(self.now)
        assert (wait is None) == (not order)
        if wait:
            # Nothing happens before the announced moment, and something happens then.
            now, self.now = self.now, self.now + wait - 1
            assert not (self.has_slot() and self.first())
            assert not [e for e in self.waiting if e[2] is not None and self.now >= e[2]]
            self.now += 1
            assert (self.has_slot() and self.first()) or [
                e for e in self.waiting if e[2] is not None and self.now >= e[2]]
            self.now = now


TestSchedule = ScheduleModel.TestCase
TestSchedule.settings = settings(deadline=None, max_examples=60)


def test_lowering_risk_goes_first_and_an_outdated_open_never_leaves():
    schedule = Schedule(Window(1, 100))
    assert schedule.take(0, Lane.OPEN) == 0
    old, _ = schedule.enter(1, Lane.OPEN, "bid 100", key="bid")
    schedule.enter(2, Lane.OPEN, "fades", expires_ns=50)
    schedule.enter(3, Lane.REDUCE, "close")
    _, dropped = schedule.enter(4, Lane.OPEN, "bid 101", key="bid")
    assert dropped is old
    assert schedule.enter(5, Lane.OPEN, "bid 102", key="bid", keep=True) == (None, None)
    assert schedule.next_ns(5) == 45
    granted, outdated = schedule.due(100)
    assert [t.item for t in granted] == ["close"] and [t.item for t in outdated] == ["fades"]
    assert [t.item for t in schedule.due(200)[0]] == ["bid 101"]


def test_a_closed_lane_does_not_hold_up_the_others():
    schedule = Schedule(Window(1, 10))
    schedule.close([Lane.OPEN, Lane.AMEND], 1000)
    assert schedule.take(0, Lane.OPEN) == 1000
    schedule.enter(0, Lane.OPEN, "open")
    assert schedule.take(0, Lane.REDUCE) == 0
    assert schedule.next_ns(0) == 1000
    assert schedule.due(999) == ([], [])
    assert [ticket.item for ticket in schedule.due(1000)[0]] == ["open"]

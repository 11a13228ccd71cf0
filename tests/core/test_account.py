"""core/account against a slow model: facts in any order, reads that race with pushes."""

from __future__ import annotations

import json
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from mexcfast.core.account import (
    CHANNELS,
    AccountState,
    Differences,
    Kind,
    Mirror,
    Read,
    Stamp,
    read_push,
)
from mexcfast.core.events import parse_frame
from mexcfast.errors import BadAnswer
from mexcfast.types import Fill, OrderState, PositionState, PositionType
from models.account_model import ModelVenue, balance, order, position

MARGIN = 1000
SMALL = st.integers(0, 12)


def shown(mirror):
    return {Kind.ORDER: dict(mirror.orders), Kind.POSITION: dict(mirror.positions),
            Kind.BALANCE: dict(mirror.balances)}


def acts(venue, moves):
    """Run moves on the model venue; every push it sent."""
    pushes = []
    for what, number in moves:
        push = {"place": venue.place, "fill": lambda n=number: venue.fill(n, n + 1),
                "cancel": lambda n=number: venue.cancel(n),
                "hold": lambda n=number: venue.hold(n),
                "pay": lambda n=number: venue.pay("USDT" if n % 2 else "USDC", n)}[what]()
        if push is not None:
            pushes.append(push)
    return pushes


MOVES = st.lists(st.tuples(st.sampled_from(["place", "fill", "cancel", "hold", "pay"]), SMALL),
                 max_size=40)


@settings(max_examples=300, deadline=None)
@given(MOVES, st.randoms(use_true_random=False), st.booleans())
def test_the_same_facts_in_any_order_give_the_same_mirror(moves, random, lose):
    venue = ModelVenue()
    pushes = acts(venue, moves)
    if lose:
        pushes = [push for push in pushes if random.random() < 0.7]
    mirrors = []
    for _ in range(3):
        mirror = Mirror(margin_ms=MARGIN)
        for push in pushes + [push for push in pushes if random.random() < 0.3]:
            mirror.take(push.record, push.stamp)
        mirrors.append(shown(mirror))
        random.shuffle(pushes)
    assert mirrors[0] == mirrors[1] == mirrors[2]
    if not lose:
        assert mirrors[0] == venue.truth()


class Racing(RuleBasedStateMachine):
    """Pushes are late, doubled, swapped, lost; reads overlap them. After a quiet read: equal."""

    @initialize()
    def begin(self):
        self.venue = ModelVenue()
        self.mirror = Mirror(margin_ms=MARGIN)
        self.in_flight = []
        self.asked = None
        self.login_ms = None
        self.settle_quietly()

    def act(self, *moves):
        self.in_flight += acts(self.venue, moves)

    @rule(what=st.sampled_from(["place", "fill", "cancel", "hold", "pay"]), number=SMALL)
    def move(self, what, number):
        self.act((what, number))

    @rule(number=SMALL, again=st.booleans())
    def deliver(self, number, again):
        if self.in_flight:
            push = self.in_flight[number % len(self.in_flight)]
            self.mirror.take(push.record, push.stamp)
            if not again:
                self.in_flight.remove(push)

    @rule(number=SMALL)
    def lose(self, number):
        if self.in_flight:
            self.in_flight.pop(number % len(self.in_flight))

    @rule()
    def disconnect(self):
        self.in_flight.clear()
        self.venue.now_ms += 1
        self.login_ms = self.venue.now_ms

    @rule(seconds=st.integers(0, 3))
    def wait(self, seconds):
        """What is older than the margin has arrived or never will."""
        self.venue.now_ms += seconds * 1000
        for push in list(self.in_flight):
            if push.stamp.ts_ms < self.venue.now_ms - MARGIN:
                self.mirror.take(push.record, push.stamp)
                self.in_flight.remove(push)

    @rule()
    def ask(self):
        self.asked = self.venue.now_ms

    @rule()
    def answer(self):
        if self.asked is not None:
            reads = self.venue.read(self.asked, self.mirror.orders)
            self.mirror.settle(reads, self.login_ms)
            self.asked = None

    @rule()
    def settle_quietly(self):
        """Nothing under way for longer than the margin: differences are exact, then all equal."""
        self.wait(3)
        assert not self.in_flight
        before, truth = shown(self.mirror), self.venue.truth()
        reads = self.venue.read(self.venue.now_ms, self.mirror.orders)
        found = self.mirror.settle(reads, self.login_ms)
        if self.mirror.knows(Kind.ORDER) and any(before.values()):
            expected = {
                (kind, key) for kind in truth for key in {*truth[kind], *before[kind]}
                if truth[kind].get(key) != before[kind].get(key)}
            assert {(each.kind, each.key) for each in found} == expected
            for each in found:
                assert each.mirror == before[each.kind].get(each.key)
                if each.venue is not None and each.what != "extra":
                    assert each.venue == truth[each.kind][each.key]
            assert (found.under_way, found.behind) == (0, 0)
        assert shown(self.mirror) == truth
        assert not self.mirror.diff(reads)

    @invariant()
    def nothing_final_is_open(self):
        assert not any(each.is_final for each in self.mirror.orders.values())
        assert all(each.quantity for each in self.mirror.positions.values())


TestRacing = Racing.TestCase
TestRacing.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)


def read(kind, *records, at=10_000, done=None, ended=()):
    return Read(kind, records, at, at if done is None else done, ended)


def test_stale_and_double_facts_are_ignored():
    mirror = Mirror()
    assert mirror.take(order(1, version=2, filled_quantity=Decimal(3)), Stamp(5))
    assert not mirror.take(order(1, version=1), Stamp(9))
    assert not mirror.take(order(1, version=2, filled_quantity=Decimal(3)), Stamp(9))
    assert mirror.duplicates == 2 and mirror.version == 1
    assert mirror.orders[1].filled_quantity == 3


def test_a_finished_order_leaves_the_open_set_and_can_be_found_within_the_bound():
    mirror = Mirror(kept=2)
    for number in range(1, 5):
        mirror.take(order(number, ts_updated_ms=number), Stamp(number))
    for number in range(1, 5):
        mirror.take(order(number, state=OrderState.FILLED, version=2, ts_updated_ms=10 + number),
                    Stamp(10 + number))
    assert not mirror.orders
    assert [mirror.find(Kind.ORDER, n) is not None for n in range(1, 5)] == [
        False, False, True, True]
    assert not mirror.take(order(1, ts_updated_ms=1), Stamp(1)), "it does not rise again"
    assert not mirror.orders
    assert mirror.take(order(9, ts_updated_ms=20), Stamp(20))


def test_the_first_read_differs_from_nothing():
    mirror = Mirror()
    found = mirror.settle([read(Kind.ORDER, order(1)), read(Kind.BALANCE, balance("USDT", 5))])
    assert not found and str(found) == "no difference"
    assert mirror.knows(Kind.ORDER) and not mirror.knows(Kind.POSITION)
    assert set(mirror.orders) == {1} and mirror.balances["USDT"].available == 5
    assert mirror.age_ms(10_700) == 700


def test_missing_extra_and_different_are_told_with_both_values():
    mirror = Mirror()
    mirror.settle([read(Kind.ORDER, order(1), order(2), order(4)),
                   read(Kind.POSITION, position(7)),
                   read(Kind.BALANCE, balance("USDT", 5))])
    two = order(2, version=3, filled_quantity=Decimal(4), ts_updated_ms=11_000)
    one = order(1, version=2, state=OrderState.CANCELLED, ts_updated_ms=11_000)
    found = mirror.settle([
        read(Kind.ORDER, two, order(3, ts_updated_ms=11_000), at=60_000, ended=(one,)),
        read(Kind.POSITION, at=60_000),
        read(Kind.BALANCE, balance("USDT", 6), at=60_000)])
    told = {(each.kind, each.key): each for each in found}
    assert {key: each.what for key, each in told.items()} == {
        (Kind.ORDER, 1): "extra", (Kind.ORDER, 2): "different", (Kind.ORDER, 3): "missing",
        (Kind.ORDER, 4): "extra", (Kind.POSITION, 7): "extra", (Kind.BALANCE, "USDT"): "different"}
    assert told[Kind.ORDER, 1].venue == one and told[Kind.ORDER, 1].mirror == order(1)
    assert told[Kind.ORDER, 2].fields == ("filled_quantity",)
    assert str(told[Kind.ORDER, 2]) == "order 2 different (filled_quantity 0 -> 4)"
    assert told[Kind.ORDER, 4].venue is None, "the venue does not know it at all"
    assert found.of(Kind.POSITION)[0].mirror == position(7)
    assert str(found) == ("1 order different, 1 order missing, 2 order extra, 1 position extra, "
                          "1 balance different") and len(found) == 6
    assert set(mirror.orders) == {2, 3} and not mirror.positions
    assert mirror.find(Kind.ORDER, 1).state is OrderState.CANCELLED
    assert not mirror.take(position(7), Stamp(12_000)), "an old push does not bring it back"
    assert mirror.take(position(7, version=2, ts_updated_ms=61_000), Stamp(61_000))
    assert set(mirror.positions) == {7}


def test_what_may_be_under_way_is_no_difference():
    mirror = Mirror(margin_ms=1000)
    mirror.settle([read(Kind.ORDER, order(1)), read(Kind.BALANCE, balance("USDT", 5))])
    fresh = order(2, ts_created_ms=59_500, ts_updated_ms=59_500)
    found = mirror.settle([read(Kind.ORDER, order(1), fresh, at=60_000)])
    assert not found and found.under_way == 1 and set(mirror.orders) == {1, 2}
    # a push that came while the balance was read stays: the read may have been made before it
    mirror.take(balance("USDT", 9), Stamp(60_200, 1))
    found = mirror.settle([read(Kind.BALANCE, balance("USDT", 5), at=60_100, done=60_300)])
    assert not found and found.under_way == 1 and mirror.balances["USDT"].available == 9


def test_nothing_older_than_the_login_is_under_way():
    mirror = Mirror(margin_ms=1000)
    mirror.settle([read(Kind.ORDER, order(1))])
    fresh = order(2, ts_created_ms=59_500, ts_updated_ms=59_500)
    found = mirror.settle([read(Kind.ORDER, order(1), fresh, at=60_000)], login_ms=59_800)
    assert [each.what for each in found] == ["missing"]


def test_rest_that_lags_behind_the_pushes_takes_no_fill_back():
    mirror = Mirror()
    mirror.settle([read(Kind.ORDER, order(1))])
    mirror.take(order(1, version=2, filled_quantity=Decimal(5), ts_updated_ms=20_000),
                Stamp(20_000))
    found = mirror.settle([read(Kind.ORDER, order(1), at=60_000)])
    assert not found and found.behind == 1
    assert mirror.orders[1].filled_quantity == 5
    mirror.take(order(1, version=3, state=OrderState.FILLED, ts_updated_ms=21_000), Stamp(21_000))
    assert not mirror.settle([read(Kind.ORDER, order(1), at=70_000)]) and not mirror.orders


def test_a_position_whose_numbering_starts_anew_is_taken_over():
    mirror = Mirror()
    mirror.settle([read(Kind.POSITION, position(7, version=9))])
    new = position(7, version=1, quantity=Decimal(3), ts_updated_ms=30_000)
    found = mirror.settle([read(Kind.POSITION, new, at=60_000)])
    assert found.items[0].what == "different" and mirror.positions[7] == new
    assert not mirror.take(position(7, version=9), Stamp(20_000)), "settled before"


def test_an_order_that_slipped_between_two_pages_is_no_difference():
    mirror = Mirror()
    mirror.settle([read(Kind.ORDER, order(1), order(2))])
    found = mirror.settle([read(Kind.ORDER, order(1), at=60_000, ended=(order(2),))])
    assert not found and set(mirror.orders) == {1, 2}


PUSHES = {
    "order": {"orderId": "5", "symbol": "BTC_USDT", "price": 84000.1, "vol": 10, "side": 1,
              "orderType": 1, "dealVol": 3, "state": 2, "version": 2, "updateTime": 7},
    "order.deal": {"id": "8", "orderId": "5", "symbol": "BTC_USDT", "side": 1, "price": 84000.1,
                   "vol": 3, "timestamp": 7},
    "position": {"positionId": 6, "symbol": "BTC_USDT", "positionType": 1, "openType": 1,
                 "state": 1, "holdVol": 3, "im": 2.31, "version": 4, "updateTime": 7},
    "asset": {"currency": "USDT", "availableBalance": 7.123456789012345678901},
    "plan.order": {"id": "9", "symbol": "BTC_USDT", "side": 1, "orderType": 5, "state": 1,
                   "triggerPrice": 0.15, "triggerType": 2, "vol": 66, "updateTime": 7},
    "stop.planorder": {"id": 10, "symbol": "BTC_USDT", "state": 1, "vol": 23, "updateTime": 7},
    "track.order": {"id": "11", "symbol": "BTC_USDT", "side": 1, "vol": 1, "state": 0,
                    "backType": 1, "backValue": 0.02, "updateTime": 7},
}


def event(name, **changes):
    frame = {"channel": f"push.personal.{name}", "data": PUSHES[name] | changes, "ts": 8}
    text = json.dumps(frame).replace("7.123456789012345", "7.123456789012345678901")
    return parse_frame(text)


def test_every_channel_of_the_account_is_heard_exactly():
    mirror = Mirror()
    for name in CHANNELS:
        fact = mirror.hear(event(name), now_ms=9)
        assert fact is not None, name
        assert isinstance(fact, Fill) == (name == "order.deal")
    assert mirror.orders[5].price == Decimal("84000.1") and mirror.open_orders("BTC_USDT")
    assert mirror.position("BTC_USDT", PositionType.LONG) is mirror.positions[6]
    assert mirror.position("BTC_USDT", PositionType.SHORT) is None
    assert mirror.positions[6].initial_margin == Decimal("2.31")
    assert mirror.balances["USDT"].available == Decimal("7.123456789012345678901")
    assert (set(mirror.plans), set(mirror.stops), set(mirror.trailing)) == ({9}, {10}, {11})
    assert mirror.ts_heard_ms == 8 and mirror.version == 6
    mirror.hear(event("position", holdVol=0, state=3, version=5), 10)
    mirror.hear(event("plan.order", state=3, updateTime=9), 10)
    mirror.hear(event("stop.planorder", state=2, updateTime=9), 10)
    mirror.hear(event("track.order", state=4, updateTime=9), 10)
    assert not mirror.positions and not mirror.plans and not mirror.stops and not mirror.trailing
    assert mirror.find(Kind.POSITION, 6).state is PositionState.CLOSED


def test_pushes_that_are_no_records():
    mirror = Mirror()
    deduction = parse_frame(json.dumps({"channel": "push.personal.plan.order", "ts": 1,
                                        "data": {"currency": "MX", "deductFee": 1}}))
    assert mirror.hear(deduction, 1) is None and read_push(deduction) is None
    mode = parse_frame('{"channel":"push.personal.position.mode","data":{"positionMode":1}}')
    assert mirror.hear(mode, 1) is None
    with pytest.raises(BadAnswer):
        mirror.hear(parse_frame('{"channel":"push.personal.order","data":{"orderId":1}}'), 1)
    assert mirror.version == 0


def test_the_mirror_cannot_be_written_and_says_what_it_is():
    mirror = Mirror()
    with pytest.raises(TypeError):
        mirror.orders[1] = order(1)
    assert mirror.state is AccountState.OFFLINE and not mirror.is_ready
    assert repr(mirror) == "<Mirror offline version 0: 0 orders, 0 positions, 0 balances>"
    assert mirror.age_ms(5) is None and not Differences()
    for wrong in ({"kept": 0}, {"margin_ms": -1}):
        with pytest.raises(ValueError):
            Mirror(**wrong)


def test_an_order_that_ends_while_the_venues_clock_is_back_is_ended():
    """A read at 10 s has shown it open; the clock jumps to 8 s, and there it is cancelled."""
    mirror = Mirror(margin_ms=MARGIN)
    mirror.settle([read(Kind.ORDER, order(1, ts_updated_ms=8_900), order(2, ts_updated_ms=8_900))])
    ended = order(1, state=OrderState.CANCELLED, ts_updated_ms=8_000, version=2)
    assert mirror.take(ended, Stamp(8_000)) and list(mirror.orders) == [2]
    also = order(2, state=OrderState.CANCELLED, ts_updated_ms=8_100, version=2)
    mirror.settle([read(Kind.ORDER, at=8_200, ended=(also,))])
    assert not mirror.orders

"""core/conditional_proof: what the venue's lists prove about writes without a client order id."""

from __future__ import annotations

import json
from dataclasses import replace
from decimal import Decimal

import pytest

from mexcfast.core import conditional_proof as proof
from mexcfast.core.conditional_proof import Seen, asked, cancelled, changed, placed
from mexcfast.core.journal import Entry, Ledger, encode, head, replay
from mexcfast.core.rest import BY_NAME, ROUTES
from mexcfast.core.results import read_plan, read_stop, read_trailing
from mexcfast.types import Accepted, Rejected

SENT, EXPIRES = 1_000_000, 1_011_000
PLAN = {"symbol": "BTC_USDT", "price": 84000.5, "vol": 5, "leverage": 10, "side": 1, "openType": 1,
        "triggerPrice": 84100, "triggerType": 2, "executeCycle": 2, "orderType": 1, "trend": 1}
STOP = {"positionId": 9, "vol": 5, "lossTrend": 1, "profitTrend": 1, "stopLossPrice": 80000}
TRAIL = {"symbol": "BTC_USDT", "leverage": 10, "side": 4, "vol": 5, "openType": 1, "trend": 1,
         "backType": 1, "backValue": 0.02, "positionMode": 1}
BODIES = {"plan_place": PLAN, "stop_place": STOP, "track_place": TRAIL}
READERS = {"plan_place": read_plan, "stop_place": read_stop, "track_place": read_trailing}


def entry(what, body=None, order_id=None, symbol="BTC_USDT"):
    return Entry("x", what, symbol, SENT, order_id, body=json.dumps(
        BODIES.get(what) if body is None else body))


def row(what, number=7, born=500, touched=None, waits=True, **changes):
    """The order that this placement would make, as the venue would show it."""
    state = 1
    record = {"id": str(number), "symbol": "BTC_USDT", "state": state, **BODIES[what],
              "createTime": SENT + born, "updateTime": SENT + (born if touched is None else touched)
              } | changes
    exact = json.loads(json.dumps(record), parse_float=Decimal)
    return replace(proof.seen(READERS[what](exact)), is_waiting=waits)


def judge(what, rows, expired=True, known=()):
    return placed(entry(what), rows, EXPIRES, expired, known)


@pytest.mark.parametrize("what", BODIES)
def test_one_with_these_terms_is_it(what):
    for mine in (row(what), row(what, waits=False), row(what, born=-1900),
                 row(what, born=12_900)):
        fate = judge(what, [mine], expired=False)
        assert isinstance(fate, Accepted) and fate.order_id == 7


@pytest.mark.parametrize("what", BODIES)
def test_absence_needs_expiry(what):
    assert judge(what, [], expired=False) is None
    assert isinstance(judge(what, []), Rejected)


@pytest.mark.parametrize("what", BODIES)
def test_several_are_nobodys_proof(what):
    rows = [row(what), row(what, 8)]
    assert judge(what, rows) is None
    fate = judge(what, [*rows, row(what, 8)], known=() if what == "stop_place" else {8})
    if what == "stop_place":
        assert fate is None
    else:
        assert isinstance(fate, Accepted) and fate.order_id == 7


@pytest.mark.parametrize(("what", "other"), [
    ("plan_place", {"vol": 6}), ("plan_place", {"side": 3}), ("plan_place", {"openType": 2}),
    ("plan_place", {"triggerPrice": 84101}), ("plan_place", {"price": 84000.6}),
    ("plan_place", {"orderType": 5}), ("plan_place", {"stopLossPrice": 1}),
    ("plan_place", {"symbol": "ETH_USDT"}), ("plan_place", {"createTime": SENT - 2001}),
    ("plan_place", {"createTime": EXPIRES + 2001}), ("track_place", {"side": 2}),
    ("track_place", {"backValue": 0.03}), ("track_place", {"backType": 2}),
    ("track_place", {"activePrice": 1}), ("stop_place", {"positionId": 8}),
    ("stop_place", {"stopLossPrice": 80001}), ("stop_place", {"takeProfitPrice": 90000})])
def test_another_order_is_not_it(what, other):
    stranger = row(what, **other)
    if "createTime" in other:
        stranger = row(what, **other, updateTime=other["createTime"])
    assert judge(what, [stranger], expired=False) is None
    assert isinstance(judge(what, [stranger]), Rejected)


@pytest.mark.parametrize(("what", "other"), [
    ("plan_place", {"triggerPrice": 84101}), ("track_place", {"vol": 6}),
    ("stop_place", {"stopLossPrice": 80001})])
def test_one_that_was_changed_since_may_have_been_it(what, other):
    assert judge(what, [row(what, touched=900, **other)]) is None
    assert isinstance(judge(what, [row(what, touched=900, **other)], known={7}), Rejected)
    # What can never be changed tells it apart.
    if what != "stop_place":
        assert isinstance(judge(what, [row(what, touched=900, **other, side=3)]), Rejected)


def test_a_stop_that_was_amended_instead():
    waiting = row("stop_place", born=-90_000, touched=400)
    assert judge("stop_place", [waiting], expired=False) == Accepted(
        "BTC_USDT", None, 7, SENT - 90_000)
    # It ended since: by itself with these terms, or amended before? Nobody can tell.
    assert judge("stop_place", [replace(waiting, is_waiting=False)]) is None
    long_gone = row("stop_place", born=-90_000, waits=False)
    assert isinstance(judge("stop_place", [long_gone]), Rejected)


CHANGES = {
    "plan_change_price": ({"symbol": "BTC_USDT", "orderId": 7, "triggerPrice": 84200,
                           "price": 84300, "orderType": 1, "triggerType": 2, "trend": 1},
                          {"triggerPrice": 84200, "price": 84300}, "plan_place"),
    "plan_change_stop": ({"symbol": "BTC_USDT", "orderId": 7, "lossTrend": 1,
                          "stopLossPrice": 80000}, {"stopLossPrice": 80000}, "plan_place"),
    "stop_change_plan_price": ({"stopPlanOrderId": 7, "stopLossPrice": 80001},
                               {"stopLossPrice": 80001}, "stop_place"),
    "track_change": ({"symbol": "BTC_USDT", "trackOrderId": 7, "trend": 1, "backType": 1,
                      "backValue": 0.03, "vol": 5}, {"backValue": 0.03}, "track_place"),
}


@pytest.mark.parametrize("what", CHANGES)
def test_changes(what):
    body, terms, place = CHANGES[what]
    request = entry(what, body, 7)
    old, new = row(place), row(place, **terms)
    for expired in (True, False):
        assert isinstance(changed(request, new, expired), Accepted)
        assert isinstance(changed(request, replace(old, is_waiting=False), expired), Rejected)
    for found in (old, None):
        assert changed(request, found, False) is None
        fate = changed(request, found, True)
        assert isinstance(fate, Rejected) and fate.order_id == 7


@pytest.mark.parametrize(("body", "terms"), [
    ({"orderId": 7}, {"stopLossPrice": 0, "takeProfitPrice": 0}),
    ({"orderId": 7, "stopLossPrice": 0, "takeProfitPrice": 0},
     {"stopLossPrice": 0, "takeProfitPrice": 0}),
    ({"orderId": 7, "stopLossPrice": 5}, {"stopLossPrice": 5})])
def test_attached_prices_that_are_taken_away(body, terms):
    assert asked("stop_change_price", json.dumps(body)) == terms


def test_cancels():
    plans = entry("plan_cancel", [{"symbol": "BTC_USDT", "orderId": 7},
                                  {"symbol": "BTC_USDT", "orderId": 8}], symbol="")
    assert isinstance(cancelled(plans, [row("plan_place", 9)], False), Accepted)
    assert cancelled(plans, [row("plan_place", 8)], False) is None
    fate = cancelled(plans, [row("plan_place", 8)], True)
    assert isinstance(fate, Rejected) and "1 still wait (8)" in str(fate.error)
    stops = entry("stop_cancel", [{"stopPlanOrderId": 7}])
    assert isinstance(cancelled(stops, [row("stop_place")], True), Rejected)
    one = entry("track_cancel", {"symbol": "BTC_USDT", "trackOrderId": 7}, 7)
    assert isinstance(cancelled(one, [row("track_place", 8)], False), Accepted)
    assert isinstance(cancelled(one, [row("track_place")], True), Rejected)


@pytest.mark.parametrize(("what", "body", "place"), [
    ("plan_cancel_all", {"symbol": "BTC_USDT"}, "plan_place"),
    ("track_cancel", {"symbol": "BTC_USDT"}, "track_place"),
    ("stop_cancel_all", {"positionId": 9}, "stop_place")])
def test_a_cancel_of_everything_speaks_of_older_orders(what, body, place):
    request = entry(what, body)
    assert isinstance(cancelled(request, [row(place)], False), Accepted)
    assert isinstance(cancelled(request, [row(place, born=-2001)], True), Rejected)
    elsewhere = {"positionId": 8} if what == "stop_cancel_all" else {"symbol": "ETH_USDT"}
    assert isinstance(cancelled(request, [row(place, born=-2001, **elsewhere)], True), Accepted)


def test_every_such_write_is_known():
    written = {r.name for r in ROUTES if r.writes
               and r.path.split("/")[1] in ("planorder", "stoporder", "trackorder")}
    assert set(proof.KINDS) == written
    assert all(BY_NAME[name].permission == "T" for name in proof.KINDS)


def test_the_journal_keeps_what_was_asked_for():
    sent = entry("plan_place")
    data = head("a") + encode(sent.record())
    ledger, torn = replay(data)
    assert ledger.unsettled == {"x": sent} and not torn
    assert replay(ledger.compact(0))[0].unsettled == {"x": sent}
    assert asked("plan_place", sent.body)["price"] == Decimal("84000.5")
    assert isinstance(ledger, Ledger) and isinstance(row("plan_place"), Seen)

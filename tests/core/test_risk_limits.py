"""core/intent.RiskLimits: each limit refuses by name, and nothing stands in the way of an exit."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mexcfast.core.depth import OrderBook
from mexcfast.core.intent import OrderIntent, RiskLimits
from mexcfast.errors import IntentError
from mexcfast.types import OrderType, Side
from models.contracts import BTC

D = Decimal
NOW = 1_700_000_000_000_000_000


def intent(side=Side.OPEN_LONG, quantity=10, price="84000", **more):
    return OrderIntent(BTC, side, quantity, price, leverage=20, client_order_id="cl-1", **more)


def book(age_ms=0, live=True):
    made = OrderBook("BTC_USDT")
    if live:
        made.expect_snapshot()
        made.load_snapshot(b'{"asks":[[84010.5,1,1]],"bids":[[84000,1,1]],"version":5,'
                           b'"timestamp":1700000000000}', NOW - age_ms * 1_000_000)
    return made


def refused(limits, order, **more):
    with pytest.raises(IntentError) as caught:
        limits.check(order, **more)
    return caught.value.field, caught.value.value, caught.value.allowed


def test_no_limits_refuse_nothing():
    RiskLimits().check(intent())


def test_notional():
    # 10 contracts of 0.0001 BTC at 84000 are 84 USDT
    RiskLimits(max_notional=84).check(intent())
    assert refused(RiskLimits(max_notional="83.99"), intent()) == (
        "notional", "84", "at most 83.99 (max_notional)")
    only_btc = RiskLimits(max_notional={"BTC_USDT": 1})
    assert refused(only_btc, intent())[0] == "notional"
    RiskLimits(max_notional={"ETH_USDT": 1}).check(intent())


def test_notional_of_a_market_order_needs_a_price():
    limits, market = RiskLimits(max_notional=84), intent(price=None, type=OrderType.MARKET)
    for known in (None, book(live=False)):
        assert refused(limits, market, book=known)[0] == "price"
    assert refused(limits, market, book=book())[1] == "84.0105"
    short = intent(Side.OPEN_SHORT, price=None, type=OrderType.MARKET)
    limits.check(short, book=book())


def test_notional_of_an_inverse_contract_counts_its_own_way():
    inverse = replace(BTC, settle_coin="BTC", contract_size=D(10))
    order = OrderIntent(inverse, 1, 10, 84000, leverage=20, client_order_id="x")
    RiskLimits(max_notional=100).check(order)
    assert refused(RiskLimits(max_notional=99), order)[1] == "100"


def test_position_after_everything_has_filled():
    limits = RiskLimits(max_position=30)
    limits.check(intent(), position=D(12), open_quantity=D(8))
    assert refused(limits, intent(), position=D(12), open_quantity=D(9)) == (
        "position", "31", "at most 30 contracts (max_position)")
    assert refused(limits, intent()) == (
        "position", None, "a position that was read: await Orders.start() first")
    limits.check(intent(Side.CLOSE_LONG))


def test_open_orders_and_the_contracts_own_number():
    limits = RiskLimits(max_open_orders=3)
    limits.check(intent(), open_orders=2)
    assert refused(limits, intent(), open_orders=3) == ("open_orders", 4, "at most 3")
    few = OrderIntent(replace(BTC, max_open_orders=(2, 1)), 1, 10, 84000, leverage=20,
                      client_order_id="x")
    assert refused(RiskLimits(), few, open_orders=2)[0] == "open_orders"


@pytest.mark.parametrize(("side", "price", "own", "crosses"), [
    (Side.OPEN_LONG, "84000", {"own_ask": D(84000)}, True),
    (Side.CLOSE_SHORT, "84000.1", {"own_ask": D(84000)}, True),
    (Side.OPEN_LONG, "83999.9", {"own_ask": D(84000)}, False),
    (Side.OPEN_SHORT, "84000", {"own_bid": D(84000)}, True),
    (Side.CLOSE_LONG, "84000.1", {"own_bid": D(84000)}, False),
    (Side.OPEN_LONG, "84000", {"own_bid": D(90000)}, False),
])
def test_self_cross(side, price, own, crosses):
    order = intent(side, price=price)
    if crosses:
        assert refused(RiskLimits(), order, **own)[0] == "price"
    else:
        RiskLimits().check(order, **own)
    RiskLimits(refuse_self_cross=False).check(order, **own)
    RiskLimits().check(intent(side, price=price, type=OrderType.POST_ONLY), **own)


def test_a_market_order_crosses_an_own_order_only_at_the_top():
    market = intent(Side.CLOSE_SHORT, price=None, type=OrderType.MARKET)
    assert refused(RiskLimits(), market, own_ask=D(90000))[1] is None, "no book: any may be it"
    RiskLimits().check(market, own_ask=D(90000), book=book())
    assert refused(RiskLimits(), market, own_ask=D("84010.5"), book=book())[0] == "price"


def test_clock():
    limits = RiskLimits(max_clock_error_ms=50)
    limits.check(intent(), clock_error_ms=50.0)
    for error in (None, 50.1):
        assert refused(limits, intent(), clock_error_ms=error) == (
            "clock_error_ms", error, "at most 50: sync the clock first")


def test_book_confidence():
    limits = RiskLimits(max_book_age_ms=100)
    limits.check(intent(), book=book(100), now_ns=NOW)
    assert refused(limits, intent(), book=book(101), now_ns=NOW) == (
        "book", "101.0 ms old", "at most 100 ms")
    for unsure in (None, book(live=False)):
        assert refused(limits, intent(), book=unsure, now_ns=NOW)[2] == "a LIVE book of BTC_USDT"
    limits.check(intent(Side.CLOSE_LONG))


def test_leverage():
    RiskLimits(max_leverage=20).check(intent())
    assert refused(RiskLimits(max_leverage={"BTC_USDT": 19}), intent()) == (
        "leverage", 20, "at most 19 (max_leverage)")
    RiskLimits(max_leverage=1).check(intent(Side.CLOSE_LONG))


@pytest.mark.parametrize(("side", "price", "allowed"), [
    # the mid is 84005.25
    (Side.OPEN_LONG, "84845.3", None), (Side.OPEN_LONG, "84845.4", "at most 84845.3025"),
    (Side.OPEN_LONG, "1", None), (Side.OPEN_SHORT, "83165.2", None),
    (Side.OPEN_SHORT, "83165.1", "at least 83165.1975"), (Side.CLOSE_LONG, "1", None)])
def test_price_band(side, price, allowed):
    limits = RiskLimits(price_band="0.01")
    if allowed is None:
        limits.check(intent(side, price=price), book=book())
    else:
        assert refused(limits, intent(side, price=price), book=book()) == (
            "price", price, f"{allowed} (price_band)")


def test_price_band_needs_a_book():
    limits = RiskLimits(price_band="0.01")
    for known in (None, book(live=False)):
        assert refused(limits, intent(), book=known)[0] == "book"
    limits.check(intent(price=None, type=OrderType.MARKET))
    RiskLimits(price_band={"ETH_USDT": 0}).check(intent())


@pytest.mark.parametrize("bad", [-1, "x", float("nan"), {"BTC_USDT": -1}, {"": 1}, True])
def test_senseless_limits(bad):
    with pytest.raises(IntentError):
        RiskLimits(max_notional=bad)


@settings(deadline=None)
@given(st.integers(0, 100), st.integers(0, 100), st.integers(1, 100), st.integers(0, 300))
def test_position_agrees_with_arithmetic(held, waiting, quantity, limit):
    limits, order = RiskLimits(max_position=limit), intent(quantity=quantity)
    if held + waiting + quantity > limit:
        assert refused(limits, order, position=D(held), open_quantity=waiting)[0] == "position"
    else:
        limits.check(order, position=D(held), open_quantity=waiting)

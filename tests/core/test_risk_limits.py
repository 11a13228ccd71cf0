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


# -- orders that wait for a price ------------------------------------------------------------------

def waiting_refused(limits, order, **more):
    with pytest.raises(IntentError) as caught:
        limits.check_conditional(order, **more)
    return caught.value.field, caught.value.value, caught.value.allowed


def test_a_conditional_order_is_held_to_every_limit_but_self_cross():
    limits = RiskLimits(max_notional=84, max_position=30, max_leverage=20, max_open_orders=2,
                        max_clock_error_ms=5)
    well = {"position": D(12), "open_quantity": D(8), "open_orders": 1, "clock_error_ms": 5}
    limits.check_conditional(intent(), **well)
    assert waiting_refused(limits, intent(price="84000.1"), **well)[0] == "notional"
    assert waiting_refused(limits, intent(), **well | {"open_quantity": D(9)}) == (
        "position", "31", "at most 30 contracts (max_position)")
    assert waiting_refused(limits, intent(), **well | {"position": None})[0] == "position"
    assert waiting_refused(limits, intent(), **well | {"open_orders": 2}) == (
        "open_orders", 3, "at most 2 (max_open_orders)")
    assert waiting_refused(RiskLimits(max_leverage=19), intent()) == (
        "leverage", 20, "at most 19 (max_leverage)")
    for error_ms in (6, None):
        assert waiting_refused(limits, intent(), **well | {"clock_error_ms": error_ms})[0] == (
            "clock_error_ms")
    old = RiskLimits(max_book_age_ms=5)
    assert waiting_refused(old, intent(), book=book(6), now_ns=NOW)[0] == "book"
    RiskLimits().check_conditional(intent(), open_orders=10**6)      # the contract's own number


def test_a_conditional_exit_is_held_to_the_clock():
    limits = RiskLimits(max_notional=0, max_position=0, max_leverage=0, max_open_orders=0,
                        max_clock_error_ms=5, max_book_age_ms=0, price_band=0)
    limits.check_conditional(intent(Side.CLOSE_LONG), clock_error_ms=5)
    limits.check_exit(clock_error_ms=5)
    for check in (limits.check_exit, lambda **more: limits.check_conditional(
            intent(Side.CLOSE_LONG), **more)):
        with pytest.raises(IntentError, match="clock_error_ms"):
            check(clock_error_ms=6)


@pytest.mark.parametrize(("side", "price", "trigger", "rises", "allowed"), [
    # best bid 84000, best ask 84010.5: the mid is 84005.25
    (Side.OPEN_LONG, "80800", "80000", False, True),
    (Side.OPEN_LONG, "80800.1", "80000", False, False),
    (Side.OPEN_LONG, "90900", "90000", True, True),             # above the mid, and far from it
    (Side.OPEN_LONG, "90900.1", "90000", True, False),
    (Side.OPEN_LONG, "84845.3", "84005.2", True, True),         # met already: from the mid
    (Side.OPEN_LONG, "84845.4", "84005.2", True, False),
    (Side.OPEN_LONG, "84845.4", "90000", False, False),
    (Side.OPEN_LONG, "84845.4", None, None, False),
    (Side.OPEN_SHORT, "89100", "90000", True, True),
    (Side.OPEN_SHORT, "89099.9", "90000", True, False),
    (Side.OPEN_SHORT, "79200", "80000", False, True),
    (Side.OPEN_SHORT, "83165.1", "80000", True, False),
    (Side.OPEN_SHORT, "83165.2", "80000", True, True),
])
def test_the_band_of_a_conditional_order(side, price, trigger, rises, allowed):
    limits, order = RiskLimits(price_band="0.01"), intent(side, price=price)
    more = {"trigger_price": None if trigger is None else D(trigger), "rises": rises,
            "book": book()}
    if allowed:
        limits.check_conditional(order, **more)
    else:
        field, value, says = waiting_refused(limits, order, **more)
        assert (field, value) == ("price", price) and says.endswith("(price_band)")


def test_the_band_of_a_conditional_order_needs_a_book():
    limits = RiskLimits(price_band="0.01")
    for known in (None, book(live=False)):
        assert waiting_refused(limits, intent(), trigger_price=D(80000), rises=True,
                               book=known)[0] == "book"
    limits.check_conditional(intent(type=OrderType.MARKET), trigger_price=D(80000))

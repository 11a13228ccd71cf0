"""core/intent: what is refused, and the exact bytes of what is not."""

from __future__ import annotations

import json
from dataclasses import replace
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mexcfast.core.client_ids import ClientOrderIds, mint_client_order_id, parse_client_order_id
from mexcfast.core.intent import (
    OrderIntent,
    amend_body,
    cancel_all_body,
    cancel_body,
    encode_body,
    exact_decimal,
    external_body,
    plain_text,
    snap_price,
)
from mexcfast.errors import IntentError
from mexcfast.types import (
    BestPrice,
    ContractState,
    MarginSupport,
    OpenType,
    OrderType,
    PositionMode,
    SelfTrade,
    Side,
)
from models.contracts import BTC

ORDER = {"side": Side.OPEN_LONG, "quantity": 10, "price": 84000, "leverage": 20,
         "open_type": OpenType.CROSS, "client_order_id": "cl-1"}


def order(contract=BTC, **changes):
    return OrderIntent(contract, **{**ORDER, **changes})


def test_body_is_the_documented_one():
    assert order().body == (b'{"symbol":"BTC_USDT","price":84000,"vol":10,"leverage":20,"side":1,'
                            b'"type":1,"openType":2,"externalOid":"cl-1"}')


@pytest.mark.parametrize(("changes", "members"), [
    ({"side": 4, "type": 5, "position_id": "1109973831", "leverage": None},
     {"side": 4, "type": 5, "positionId": 1109973831}),
    ({"take_profit_price": 90000, "stop_loss_price": "80000.0", "profit_trend": 1,
      "loss_trend": 2},
     {"takeProfitPrice": 90000, "stopLossPrice": 80000, "profitTrend": 1, "lossTrend": 2}),
    ({"side": 3, "position_mode": PositionMode.ONE_WAY, "reduce_only": True, "leverage": None},
     {"side": 3, "positionMode": 2, "reduceOnly": True}),
    ({"self_trade": SelfTrade.CANCEL_TAKER, "best_price": BestPrice.OPPOSITE_1, "price": None},
     {"stpMode": 3, "bboTypeNum": 1}),
    ({"price_protect": True, "market_ceiling": False, "flash_close": True},
     {"priceProtect": 1, "marketCeiling": False, "flashClose": True}),
])
def test_other_members(changes, members):
    body = json.loads(order(**changes).body)
    assert members.items() <= body.items()
    assert ("price" in body) == (changes.get("price", 1) is not None)
    assert ("leverage" in body) == (changes.get("leverage", 1) is not None)


def test_reduce_only_is_not_sent_in_hedge_mode():
    intent = order(side=Side.CLOSE_LONG, reduce_only=True, leverage=None)
    assert b"reduceOnly" not in intent.body
    assert not intent.is_opening


def test_market_orders_need_no_price():
    assert b"price" not in order(type=OrderType.MARKET, price=None).body


@pytest.mark.parametrize("price", [84000.1, "84000.1", "84000.10", Decimal("84000.1"),
                                   Decimal("840001E-1"), "+84000.1"])
def test_every_exact_price_is_one_text(price):
    assert b'"price":84000.1,' in order(price=price).body


@pytest.mark.parametrize(("field", "changes"), [
    ("price", {"price": 0.1 + 0.2}), ("price", {"price": "84000.05"}), ("price", {"price": 0}),
    ("price", {"price": -1}), ("price", {"price": None}), ("price", {"price": "1e5"}),
    ("price", {"price": float("nan")}), ("price", {"price": float("inf")}),
    ("price", {"price": Decimal("sNaN")}), ("price", {"price": Decimal("1E+999999")}),
    ("price", {"price": Decimal("1E-999999")}), ("price", {"price": True}),
    ("price", {"price": "٣"}), ("price", {"price": 10**5000}), ("price", {"price": b"1"}),
    ("quantity", {"quantity": 0}), ("quantity", {"quantity": "0.5"}),
    ("quantity", {"quantity": 10**8}), ("quantity", {"quantity": None}),
    ("leverage", {"leverage": None}), ("leverage", {"leverage": 0}),
    ("leverage", {"leverage": 501}), ("leverage", {"leverage": 20.0}),
    ("leverage", {"leverage": True}),
    ("side", {"side": 5}), ("side", {"side": "1"}), ("side", {"side": True}),
    ("type", {"type": 7}), ("open_type", {"open_type": 3}),
    ("client_order_id", {"client_order_id": ""}),
    ("client_order_id", {"client_order_id": "x" * 33}),
    ("client_order_id", {"client_order_id": "a/b"}), ("client_order_id", {"client_order_id": 1}),
    ("client_order_id", {"client_order_id": ".."}),
    ("client_order_id", {"client_order_id": "_m_1"}),
    ("client_order_id", {"client_order_id": "a\n"}),
    ("reduce_only", {"reduce_only": True}), ("position_id", {"position_id": "x"}),
    ("stop_loss_price", {"stop_loss_price": "0.01"}), ("loss_trend", {"loss_trend": 4}),
    ("self_trade", {"self_trade": 9}), ("best_price", {"best_price": 9, "price": None}),
    ("price", {"index_price": 70000}),
])
def test_refusals_name_field_value_and_allowed(field, changes):
    with pytest.raises(IntentError) as caught:
        order(**changes)
    error = caught.value
    assert error.field == field
    assert error.allowed
    assert len(str(error)) < 600
    if field in changes and field != "best_price":
        assert error.value is changes[field] or error.value == changes[field]


@pytest.mark.parametrize(("field", "change", "changes"), [
    ("symbol", {"api_allowed": False}, {}),
    ("symbol", {"state": ContractState.PAUSED}, {}),
    ("open_type", {"margin_support": MarginSupport.ISOLATED_ONLY}, {}),
    ("open_type", {"margin_support": MarginSupport.CROSS_ONLY}, {"open_type": 1}),
    ("quantity", {"max_limit_quantity": Decimal(5)}, {}),
    ("quantity", {"min_quantity": Decimal(11)}, {}),
])
def test_the_contract_decides(field, change, changes):
    with pytest.raises(IntentError) as caught:
        order(replace(BTC, **change), **changes)
    assert caught.value.field == field


def test_a_remembered_quantity_is_refused_where_it_is_not_allowed():
    contract = replace(BTC, max_quantity=Decimal(5), max_limit_quantity=Decimal(50))
    quantity = Decimal(10)
    for _ in range(2):
        assert b'"vol":10,' in order(contract, quantity=quantity).body
    with pytest.raises(IntentError, match="quantity"):
        order(contract, quantity=quantity, type=OrderType.MARKET)
    assert order(contract, quantity="10").quantity == 10



def test_limits_of_limit_orders_do_not_bind_market_orders():
    contract = replace(BTC, max_limit_quantity=Decimal(5))
    assert order(contract, type=OrderType.MARKET).quantity == 10


def test_a_paused_contract_can_still_be_closed():
    contract = replace(BTC, state=ContractState.PAUSED)
    assert order(contract, side=Side.CLOSE_LONG, leverage=None).side is Side.CLOSE_LONG


def test_price_band():
    highest = Decimal(80000) * Decimal("1.1")
    assert order(price=highest, index_price=80000).price == highest
    for side, price in ((1, highest + Decimal("0.1")), (3, Decimal("71999.9"))):
        with pytest.raises(IntentError, match=r"at (most|least)"):
            order(side=side, price=price, index_price=80000)


steps = st.sampled_from(["0.1", "0.01", "0.00001", "1", "5", "0.25", "100"])


@settings(deadline=None)
@given(steps, st.integers(1, 10**12))
def test_multiples_of_the_tick_are_written_exactly(step, count):
    contract = replace(BTC, tick_size=Decimal(step))
    price = Decimal(step) * count
    for form in (price, str(price), format(price, "f") + ("0" if "." in str(price) else "")):
        body = json.loads(order(contract, price=form).body, parse_float=Decimal)
        assert Decimal(body["price"]) == price
        assert b"E" not in order(contract, price=form).body.replace(b"externalOid", b"")


@settings(deadline=None)
@given(steps, st.decimals(min_value="0.000001", max_value=10**9, places=7))
def test_a_price_passes_only_if_it_is_a_multiple(step, price):
    contract = replace(BTC, tick_size=Decimal(step))
    if Fraction(price) % Fraction(step) == 0:
        assert order(contract, price=price).price == price
    else:
        with pytest.raises(IntentError, match="tick size"):
            order(contract, price=price)


@settings(deadline=None)
@given(st.floats(allow_nan=False, allow_infinity=False, min_value=1e-30, max_value=1e30))
def test_a_float_is_its_shortest_text(value):
    number = exact_decimal("x", value)
    assert number == Decimal(repr(value))
    assert float(plain_text(number)) == value


@settings(deadline=None)
@given(st.decimals(min_value=1, max_value=10**9, places=5))
def test_snap_is_the_tick_at_or_below(value):
    snapped = snap_price(BTC, value)
    assert 0 <= value - snapped < BTC.tick_size
    assert Fraction(snapped) % Fraction(BTC.tick_size) == 0


# -- ids -----------------------------------------------------------------------------------------

numbers = st.integers(0, 2**64 - 1)
prefixes = st.text("abzAZ09_-", max_size=4)


@settings(deadline=None)
@given(prefixes, numbers, numbers)
def test_ids_can_be_read_back(prefix, session, counter):
    if prefix.startswith("_m_"):
        return
    client_order_id = mint_client_order_id(prefix, session, counter)
    assert 1 <= len(client_order_id) <= 32
    assert parse_client_order_id(client_order_id, prefix) == (session, counter)


@settings(deadline=None)
@given(st.tuples(prefixes, numbers, numbers), st.tuples(prefixes, numbers, numbers))
def test_ids_are_unique(one, other):
    if one != other and not (one[0] + other[0]).count("_m_"):
        assert mint_client_order_id(*one) != mint_client_order_id(*other)


@pytest.mark.parametrize("arguments", [("mf", -1, 0), ("mf", 0, 2**64), ("mf", 1.0, 1),
                                       ("x" * 30, 1, 1), ("a b", 1, 1), (None, 1, 1),
                                       ("mf", True, 1)])
def test_ids_refused(arguments):
    with pytest.raises(IntentError):
        mint_client_order_id(*arguments)


def test_a_session_of_ids():
    ids = ClientOrderIds("mf", 1_761_888_808_839)
    assert [ids.mint(), ids.mint()] == ["mf-mhef3tl3-1", "mf-mhef3tl3-2"]
    assert ids.counter == 2
    assert ids.is_ours(mint_client_order_id("mf", 1, 1)), "another session of ours"
    for foreign in ("mf-1", "mg-1-1", "mf-01-1", "mf-A-1", "_m_4675", None, "mf-1-1-1"):
        assert not ids.is_ours(foreign)


# -- bodies --------------------------------------------------------------------------------------

def test_bodies_as_documented():
    assert cancel_body([817027833053397600, "817027833053397601"]) == (
        b"[817027833053397600,817027833053397601]")
    assert external_body([("BTC_USDT", "cl-1")]) == (
        b'[{"symbol":"BTC_USDT","externalOid":"cl-1"}]')
    assert cancel_all_body("BTC_USDT") == b'{"symbol":"BTC_USDT"}'
    assert cancel_all_body() == b'{"symbol":""}'
    assert amend_body(BTC, 817027833053397600, 84010, 8) == (
        b'{"orderId":817027833053397600,"price":84010,"vol":8}')
    assert encode_body({"positionId": 7, "amount": 5.5, "type": "ADD", "x": None,
                        "y": [True, {"z": Decimal("1E+3")}]}) == (
        b'{"positionId":7,"amount":5.5,"type":"ADD","y":[true,{"z":1000}]}')
    assert encode_body({"symbol": "币安人生_USDT"}) == '{"symbol":"币安人生_USDT"}'.encode()


@pytest.mark.parametrize("make", [
    lambda: cancel_body([]), lambda: cancel_body(range(1, 52)), lambda: cancel_body([1, 1]),
    lambda: cancel_body([0]), lambda: cancel_body(["x"]), lambda: cancel_body([1.0]),
    lambda: external_body([]), lambda: external_body([("", "a")]),
    lambda: external_body([("A", "")]), lambda: external_body([("A", "x" * 33)]),
    lambda: cancel_all_body(""), lambda: amend_body(BTC, 1, "0.05", 1),
    lambda: amend_body(BTC, 1, 1, 0), lambda: amend_body(BTC, None, 1, 1),
    lambda: encode_body({1, 2}), lambda: encode_body("\ud800"), lambda: encode_body(float("nan")),
])
def test_bodies_refused(make):
    with pytest.raises(IntentError):
        make()


def test_fifty_cancels_fit():
    assert len(json.loads(cancel_body(range(1, 51)))) == 50


def test_repr_tells_the_order():
    assert repr(order()) == "OrderIntent(BTC_USDT OPEN_LONG LIMIT 10 at 84000 as cl-1)"

"""core/tracker against the slow model, over every order in which news can arrive."""

from __future__ import annotations

from dataclasses import dataclass, replace
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mexcfast.core.tracker import Phase, TrackedOrder, Tracker
from mexcfast.errors import ConnectionLost, InsufficientBalance
from mexcfast.types import (
    Accepted,
    Fill,
    OpenType,
    Order,
    OrderCategory,
    OrderErrorCode,
    OrderState,
    OrderType,
    Rejected,
    Side,
    Unknown,
)
from models.order_model import OrderModel

D = Decimal
NAME, ID, SYMBOL = "mf-1-1", 817027833053397504, "BTC_USDT"
UNKNOWN = Unknown(ConnectionLost("x"), SYMBOL, NAME, ts_sent_ms=5)
ACCEPTED = Accepted(SYMBOL, NAME, ID)


def order(**changes) -> Order:
    return Order(**{
        "order_id": ID, "symbol": SYMBOL, "client_order_id": NAME, "side": Side.OPEN_LONG,
        "type": OrderType.LIMIT, "state": OrderState.OPEN, "price": D(100), "quantity": D(10),
        "filled_quantity": D(0), "average_price": D(0), "leverage": 20,
        "open_type": OpenType.ISOLATED, "category": OrderCategory.ORDINARY, "position_id": 0,
        "order_margin": D(0), "used_margin": D(0), "taker_fee": D(0), "maker_fee": D(0),
        "profit": D(0), "fee_currency": "USDT", "error_code": OrderErrorCode.NORMAL,
        "position_mode": None, "reduce_only": None, "stop_loss_price": None,
        "take_profit_price": None, "version": 1, "ts_created_ms": 1, "ts_updated_ms": 1,
        **changes})


def fill(number: int, quantity: object = 1, price: object = 100, **changes) -> Fill:
    return Fill(**{
        "fill_id": number, "order_id": ID, "symbol": SYMBOL, "side": Side.OPEN_LONG,
        "price": D(price), "quantity": D(quantity), "fee": D("0.001") * quantity,
        "fee_currency": "USDT", "profit": D(0), "category": OrderCategory.ORDINARY,
        "is_taker": False, "is_self_trade": None, "client_order_id": NAME, "position_mode": None,
        "ts_venue_ms": number, **changes})


def expecting(**more) -> tuple[Tracker, TrackedOrder]:
    tracker = Tracker(lambda name: name.startswith("mf-"), **more)
    return tracker, tracker.expect(NAME, SYMBOL, Side.OPEN_LONG, D(10), D(100))


# -- one true history, told in any order ---------------------------------------------------------

@dataclass
class History:
    """What truly happened, and every message that may speak of it."""

    quantity: Decimal
    fills: list[Fill]
    orders: list[Order]
    outcomes: list[object]

    @property
    def messages(self) -> list[object]:
        return [*self.fills, *self.orders, *self.outcomes]


@st.composite
def histories(draw) -> History:
    quantity = draw(st.integers(1, 12))
    versioned = draw(st.booleans())
    pushed = draw(st.booleans())    # fills of REST carry no client order id
    end = draw(st.sampled_from(["filled", "cancelled", "invalid", "open"]))
    first = order(state=draw(st.sampled_from([OrderState.PENDING, OrderState.OPEN])),
                  quantity=D(quantity), version=1 if versioned else None)
    orders, fills, done, value, fee = [first], [], 0, D(0), D(0)
    while end != "invalid" and done < quantity and (end == "filled" or draw(st.booleans())):
        part = draw(st.integers(1, quantity - done))
        if end != "filled" and done + part == quantity:
            break
        price = D(draw(st.integers(1, 10**6))) / 10
        fills.append(fill(len(fills) + 1, part, price,
                          client_order_id=NAME if pushed else None))
        done, value, fee = done + part, value + part * price, fee + D("0.001") * part
        state = OrderState.FILLED if done == quantity else OrderState.OPEN
        orders.append(replace(orders[-1], state=state, filled_quantity=D(done),
                              average_price=value / done, maker_fee=fee,
                              version=len(orders) + 1 if versioned else None,
                              ts_updated_ms=len(orders) + 1))
    if end in ("cancelled", "invalid"):
        state = OrderState.CANCELLED if end == "cancelled" else OrderState.INVALID
        orders.append(replace(orders[-1], state=state, ts_updated_ms=len(orders) + 1,
                              version=len(orders) + 1 if versioned else None))
    outcomes = [ACCEPTED] if draw(st.booleans()) else [UNKNOWN, ACCEPTED]
    return History(D(quantity), fills, orders, outcomes)


@settings(deadline=None, max_examples=300)
@given(histories(), st.data())
def test_every_order_of_arrival_ends_in_the_same_state(history, data):
    told = data.draw(st.lists(st.sampled_from(history.messages), max_size=12))
    told = data.draw(st.permutations(told + history.messages))     # all of it, some of it twice
    changes: list[Phase] = []
    tracker = Tracker(on_change=lambda item: changes.append(item.phase))
    ours = tracker.expect(NAME, SYMBOL, Side.OPEN_LONG, history.quantity, D(100))
    model, was_final = OrderModel(history.quantity), None
    for message in told:
        if isinstance(message, Order):
            tracker.report(message)
        elif isinstance(message, Fill):
            tracker.fill(message)
        else:
            tracker.outcome(message)
        model.told.append(message)
        linked = [m for m in model.told if not isinstance(m, Unknown)]
        if not isinstance(message, Fill) or message.client_order_id or ours.order_id:
            # Until something links the two names, fills without a client id wait unclaimed.
            named = [m for m in linked if not isinstance(m, Fill) or m.client_order_id]
            if named:
                assert (ours.phase, ours.filled_quantity) == (model.phase, model.filled)
        if was_final is not None:
            assert ours.phase is was_final, "a final phase absorbs"
        was_final = ours.phase if ours.is_final else None
        assert len(tracker.open_orders()) + len(list(tracker)) >= 1
        assert (ours in tracker.open_orders()) == (not ours.is_final)
    assert tracker.find(ID) is tracker.find(NAME) is ours
    assert not tracker.foreign_orders() and tracker.conflicts == 0
    assert ours.phase == model.phase and ours.filled_quantity == model.filled
    assert ours.remaining_quantity == history.quantity - model.filled
    assert len(ours.fills) == len(history.fills)
    if model.average is None:
        assert ours.average_price is None and ours.fees == {}
    else:
        assert abs(Fraction(ours.average_price) / model.average - 1) < Fraction(1, 10**26)
        assert ours.fees == {"USDT": sum(f.fee for f in history.fills)}
    assert ours.report == history.orders[-1]
    assert changes and changes[-1] == ours.phase


@settings(deadline=None)
@given(histories(), st.data())
def test_any_part_of_the_news_gives_the_same_state_in_any_order(history, data):
    part = data.draw(st.lists(st.sampled_from(history.messages), min_size=1))
    views = []
    for told in (part, data.draw(st.permutations(part))):
        tracker, ours = expecting()
        for message in told:
            {Order: tracker.report, Fill: tracker.fill}.get(
                type(message), tracker.outcome)(message)
        views.append((ours.phase, ours.filled_quantity, ours.average_price, dict(ours.fees),
                      ours.order_id, ours.quantity, len(tracker.open_orders()),
                      len(tracker.foreign_orders())))
    assert views[0] == views[1]


# -- named cases ---------------------------------------------------------------------------------

def test_a_life_in_order():
    tracker, ours = expecting()
    assert ours.phase is Phase.SENT and ours.average_price is None
    tracker.outcome(UNKNOWN)
    assert ours.phase is Phase.UNKNOWN and ours.ts_sent_ms == 5
    tracker.outcome(ACCEPTED)
    assert ours.phase is Phase.OPEN and ours.order_id == ID and ours.remaining_quantity == 10
    tracker.fill(fill(1, 4, 99))
    tracker.fill(fill(2, 6, 100))
    assert ours.phase is Phase.FILLED, "fills before the order push are enough"
    assert ours.average_price == D("99.6") and ours.fees == {"USDT": D("0.010")}
    assert tracker.open_orders() == ()
    assert "FILLED 10/10" in repr(ours)


def test_stale_and_repeated_news_changes_nothing():
    tracker, ours = expecting()
    tracker.report(order(state=OrderState.CANCELLED, version=3, filled_quantity=D(4)))
    for late in (order(), order(version=2, filled_quantity=D(2)), order(version=9),
                 order(state=OrderState.FILLED, version=9, filled_quantity=D(10))):
        tracker.report(late)
    assert ours.phase is Phase.CANCELLED and ours.filled_quantity == 4
    assert tracker.duplicates == 4


def test_the_venues_average_and_fees_stand_in_for_missing_fills():
    tracker, ours = expecting()
    tracker.fill(fill(1, 1, 90))
    tracker.report(order(version=2, filled_quantity=D(4), average_price=D("99.5"),
                         maker_fee=D("0.2"), taker_fee=D("-0.1")))
    assert not ours.has_all_fills
    assert ours.average_price == D("99.5") and ours.fees == {"USDT": D("0.1")}


def test_a_refusal_ends_an_order():
    tracker, ours = expecting()
    tracker.outcome(Rejected(InsufficientBalance(2005), SYMBOL, NAME))
    assert ours.phase is Phase.REJECTED and tracker.open_orders() == ()


@pytest.mark.parametrize("first", ["report", "refusal"])
def test_the_venue_is_believed_when_it_contradicts_a_refusal(first):
    tracker, ours = expecting()
    steps = {"report": lambda: tracker.report(order()),
             "refusal": lambda: tracker.outcome(Rejected(InsufficientBalance(2005), SYMBOL, NAME))}
    steps.pop(first)()
    steps.popitem()[1]()
    assert ours.phase is Phase.OPEN and tracker.conflicts == 1
    assert tracker.open_orders() == (ours,)


def test_foreign_orders_are_kept_apart():
    tracker, _ = expecting(kept=2)
    for number in (1, 2, 3):
        tracker.report(order(order_id=number, client_order_id=f"_m_{number}"))
    tracker.fill(fill(9, order_id=77, client_order_id=None))
    assert [item.order_id for item in tracker.foreign_orders()] == [3, 77]
    assert len(tracker.open_orders()) == 1
    assert tracker.find(1) is None


def test_orders_of_an_earlier_run_are_recognised():
    tracker = Tracker(lambda name: name.startswith("mf-"))
    old = tracker.report(order(client_order_id="mf-0-9", order_id=4))
    assert old.is_ours and tracker.open_orders() == (old,)


def test_an_amend_carries_the_order_on():
    tracker, ours = expecting()
    tracker.outcome(ACCEPTED)
    tracker.report(order(order_id=5, client_order_id="_m_x", price=D(101)))
    assert len(tracker.foreign_orders()) == 1
    new = tracker.replaced(ID, 5, D(101), D(9))
    tracker.report(order(state=OrderState.CANCELLED, version=2))
    assert ours.phase is Phase.CANCELLED and ours.replaced_by == 5
    assert tracker.open_orders() == (new,) and new.replaces == ID and new.price == 101
    assert not tracker.foreign_orders()


def test_an_heir_has_its_price_before_the_stream_speaks():
    tracker, _ = expecting()
    tracker.outcome(ACCEPTED)
    new = tracker.replaced(ID, 5, D(101), D(9))
    assert (new.price, new.quantity, new.side) == (101, 9, Side.OPEN_LONG)


def test_an_amended_order_that_keeps_its_client_id_is_ours_too():
    tracker, ours = expecting()
    tracker.outcome(ACCEPTED)
    new = tracker.report(order(order_id=5))
    assert new is not ours and new.is_ours and set(tracker.open_orders()) == {ours, new}
    assert tracker.find(NAME) is ours


def test_a_refused_duplicate_is_not_the_order_it_duplicates():
    tracker, ours = expecting()
    tracker.report(order(order_id=5, state=OrderState.INVALID,
                         error_code=OrderErrorCode.CID_DUPLICATE))
    assert ours.phase is Phase.SENT
    tracker.report(order())
    assert ours.phase is Phase.OPEN and ours.order_id == ID


def test_finished_orders_are_forgotten_oldest_first():
    tracker, _ = expecting(kept=3)
    for number in range(2, 8):
        tracker.expect(f"mf-1-{number}", SYMBOL, Side.OPEN_LONG, D(1))
        tracker.report(order(order_id=number, client_order_id=f"mf-1-{number}",
                             state=OrderState.CANCELLED))
    assert [item.order_id for item in tracker] == [None, 5, 6, 7]
    assert tracker.find("mf-1-3") is None and tracker.find(4) is None


def test_callbacks_see_committed_state_and_silence_means_nothing_new():
    seen = []
    tracker = Tracker(on_change=lambda item: seen.append(
        (item.phase, item in tracker.open_orders())))
    ours = tracker.expect(NAME, SYMBOL, Side.OPEN_LONG, D(10), D(100))
    tracker.report(order())
    tracker.report(order())
    tracker.fill(fill(1, 10))
    tracker.fill(fill(1, 10))
    assert seen == [(Phase.SENT, True), (Phase.OPEN, True), (Phase.FILLED, False)]
    assert ours.is_final

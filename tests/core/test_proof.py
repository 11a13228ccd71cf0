"""core/proof: what proves the fate of a request, and what does not."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mexcfast.core import proof
from mexcfast.core.journal import Entry
from mexcfast.core.proof import Absence
from mexcfast.core.results import read_order
from mexcfast.types import Accepted, OrderErrorCode, OrderState, Rejected

D = Decimal
SENT = 1_789_000_000_000
OLD = read_order({"orderId": 7, "symbol": "BTC_USDT", "price": 100, "vol": 10, "side": 1,
                  "orderType": 1, "dealVol": 0, "state": 2, "externalOid": "cl-1",
                  "createTime": SENT - 60_000, "updateTime": SENT})
AMEND = Entry("amend 7", "amend", "BTC_USDT", SENT, 7, quantity=D(9), price=D(101))
GONE = replace(OLD, state=OrderState.CANCELLED)
HEIR = replace(OLD, order_id=8, price=D(101), quantity=D(9), client_order_id="_m_x",
               ts_created_ms=SENT + 5)


@settings(deadline=None)
@given(st.lists(st.integers(0, 200)), st.integers(1, 5))
def test_absence_needs_looks_and_expiry(times, asks):
    absence = Absence(100, asks)
    for looks, began in enumerate(sorted(times), 1):
        assert absence.look(began) == (looks >= asks and began > 100)


def test_the_last_look_waits_for_expiry():
    absence = Absence(1000, 3)
    assert absence.pause_ms(100, 250) == 250
    absence.look(100)
    absence.look(350)
    assert absence.pause_ms(350, 250) == 651
    assert absence.pause_ms(2000, 250) == 250


@pytest.mark.parametrize(("changes", "kind"), [
    ({}, Accepted), ({"state": OrderState.CANCELLED}, Accepted), ({"symbol": "X"}, None),
    ({"client_order_id": "cl-2"}, None), ({"state": OrderState.INVALID}, Rejected),
    ({"state": OrderState.INVALID, "error_code": OrderErrorCode.CID_DUPLICATE}, None),
])
def test_created(changes, kind):
    outcome = proof.created(replace(OLD, **changes), "BTC_USDT", "cl-1")
    assert (None if outcome is None else type(outcome)) is kind
    if kind is Accepted:
        assert outcome.order_id == 7 and outcome.client_order_id == "cl-1"


@pytest.mark.parametrize(("old", "others", "has_expired", "known", "fate"), [
    (OLD, [], False, (), None), (OLD, [], True, (), "unchanged"),
    (OLD, [HEIR], False, (), None),
    (replace(OLD, price=D(101), quantity=D(9)), [], False, (), 7),      # changed in place
    (GONE, [HEIR], False, (), 8), (GONE, [HEIR, HEIR, GONE], True, (), 8),
    (GONE, [], False, (), None), (GONE, [], True, (), "no successor"),
    (GONE, [HEIR], True, (8,), "no successor"),
    (GONE, [replace(HEIR, price=D(102))], True, (), "no successor"),
    (GONE, [replace(HEIR, quantity=D(10))], True, (), "no successor"),
    (GONE, [replace(HEIR, symbol="X")], True, (), "no successor"),
    (GONE, [replace(HEIR, client_order_id="other")], True, (), "no successor"),
    (GONE, [replace(HEIR, client_order_id="cl-1")], True, (), 8),       # it kept its name
    (GONE, [replace(HEIR, ts_created_ms=SENT - 9000)], True, (), "no successor"),
    (GONE, [HEIR, replace(HEIR, order_id=9, ts_created_ms=SENT + 400)], True, (), 8),
    (GONE, [HEIR, replace(HEIR, order_id=9)], True, (), None),          # two, and no way to tell
    (replace(OLD, state=OrderState.FILLED), [HEIR], False, (), "final"),
    (replace(OLD, state=OrderState.INVALID), [], False, (), "final"),
])
def test_amended(old, others, has_expired, known, fate):
    outcome = proof.amended(AMEND, old, others, has_expired, known)
    if fate is None:
        assert outcome is None
    elif isinstance(fate, int):
        assert isinstance(outcome, Accepted) and outcome.order_id == fate
    else:
        assert isinstance(outcome, Rejected) and fate in outcome.error.message


def test_cancelled():
    assert proof.cancelled(OLD, False) is None
    refused = proof.cancelled(replace(OLD, client_order_id="mf-1"), True)
    assert isinstance(refused, Rejected) and refused.order_id == OLD.order_id
    assert refused.client_order_id is None, "it is not the order that was refused"
    for state in (OrderState.FILLED, OrderState.CANCELLED, OrderState.INVALID):
        assert isinstance(proof.cancelled(replace(OLD, state=state), False), Accepted)


def test_all_cancelled():
    assert proof.all_cancelled([OLD], "BTC_USDT", SENT, False) is None
    assert isinstance(proof.all_cancelled([OLD], "BTC_USDT", SENT, True), Rejected)
    assert isinstance(proof.all_cancelled([], "BTC_USDT", SENT, False), Accepted)
    later = replace(OLD, ts_created_ms=SENT + 1)
    assert isinstance(proof.all_cancelled([later], None, SENT, False), Accepted)

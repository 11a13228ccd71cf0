"""types.py: enums that forget nothing, results that cannot change."""

from __future__ import annotations

import copy
import pickle

import pytest

import mexcfast
from mexcfast.errors import BadAnswer, InsufficientBalance, venue_error
from mexcfast.types import (
    Accepted,
    OrderErrorCode,
    OrderState,
    Record,
    Rejected,
    Side,
    Unknown,
)


def test_unknown_numbers_are_kept():
    state = OrderState(77)
    assert (state, int(state), state.name, state.is_known) == (77, 77, "UNKNOWN_77", False)
    assert isinstance(state, OrderState)
    assert not state.is_final
    assert OrderState(3).is_known
    assert pickle.loads(pickle.dumps(state)) == 77
    assert 77 not in [int(member) for member in OrderState], "the list of members stays closed"
    for bad in ("3x", None, True, 1.5):
        if bad is not True:
            with pytest.raises(ValueError):
                OrderErrorCode(bad)


def test_sides():
    assert [side.is_buy for side in Side] == [True, True, False, False]
    assert [side.is_open for side in Side] == [True, False, True, False]


def test_outcomes_tell_why():
    rejected = Rejected(venue_error(2005, "Insufficient balance!"), "BTC_USDT", "cl-1")
    assert (rejected.reason, rejected.code) == ("InsufficientBalance", 2005)
    assert isinstance(rejected.error, InsufficientBalance)
    unknown = Unknown(BadAnswer("empty", 200))
    assert (unknown.reason, unknown.code) == ("BadAnswer", None)
    with pytest.raises(AttributeError):
        Accepted().order_id = 1


def test_record():
    record = Record({"a": 1})
    assert (record.a, record["a"], dict(record), len(record)) == (1, 1, {"a": 1}, 1)
    for twin in (copy.copy(record), copy.deepcopy(record), pickle.loads(pickle.dumps(record))):
        assert twin == record
    assert repr(record) == "Record({'a': 1})"


def test_a_public_name_is_looked_up_once():
    """mx.Side in a callback costs what any module's attribute costs."""
    for name in ("Side", "topics", "RateLimited"):
        vars(mexcfast).pop(name, None)
        found = getattr(mexcfast, name)
        assert vars(mexcfast)[name] is found
    with pytest.raises(AttributeError, match="no_such_name"):
        mexcfast.no_such_name  # noqa: B018

"""core/ack: what it takes is read as core/results reads it, everything else is left alone."""

from __future__ import annotations

import gc
import json
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mexcfast.core.ack import accepted, plain_ack
from mexcfast.core.results import decode, quick_ack, read_ack
from mexcfast.types import Accepted, OrderAck

ID = "814218083416790528"
PLAIN = b'{"success":true,"code":0,"data":{"orderId":"%s","ts":1779779511850}}' % ID.encode()


@pytest.mark.parametrize(("data", "found"), [
    ({"orderId": ID, "ts": 1779779511850}, OrderAck(int(ID), 1779779511850)),
    ({"orderId": int(ID), "ts": 1779779511850}, OrderAck(int(ID), 1779779511850)),
    ({"orderId": ID}, OrderAck(int(ID))), (ID, OrderAck(int(ID))), (int(ID), OrderAck(int(ID))),
    ("9223372036854775799", OrderAck(9223372036854775799)),
])
@pytest.mark.parametrize("code", [0, 200])
def test_the_documented_forms(data, found, code):
    text = json.dumps({"success": True, "code": code, "data": data}, separators=(",", ":"))
    assert plain_ack(text.encode()) == found == read_ack(decode(text.encode())["data"])


@pytest.mark.parametrize("answer", [
    b"", b"{", PLAIN + b"\n", b" " + PLAIN, PLAIN.replace(b"true", b"false"),
    PLAIN.replace(b'"code":0', b'"code":00'), PLAIN.replace(b'"code":0', b'"code":-1'),
    PLAIN.replace(b'"code":0', b'"code":null'), PLAIN.replace(ID.encode(), b"0" + ID.encode()),
    PLAIN.replace(ID.encode(), b""), PLAIN.replace(ID.encode(), b"-5"),
    PLAIN.replace(ID.encode(), b"99999999999999999999"), PLAIN.replace(b",", b", "),
    PLAIN.replace(b"1779779511850", b"1.5"), PLAIN.replace(b"1779779511850", b"null"),
    PLAIN.replace(b'}}', b',"x":1}}'), PLAIN.replace(b'"%s"' % ID.encode(), b'"%s' % ID.encode()),
    b'{"success":true,"code":0,"data":""}', b'{"success":true,"code":0,"data":[]}',
])
def test_anything_else_is_for_those_who_read_every_form(answer):
    assert plain_ack(answer) is None


@pytest.mark.parametrize("cut", range(len(PLAIN)))
def test_a_part_is_not_an_answer(cut):
    assert plain_ack(PLAIN[:cut]) is None


@given(st.integers(0, len(PLAIN) - 1), st.integers(0, 255))
def test_whatever_it_takes_the_ordinary_reader_takes_too(at, byte):
    answer = PLAIN[:at] + bytes([byte]) + PLAIN[at + 1:]
    found = plain_ack(answer)
    if found is not None:
        answer = decode(answer)
        assert answer["success"] is True
        assert found == read_ack(answer["data"])


def test_an_outcome_is_like_one_made_by_its_own_constructor():
    ack = quick_ack(PLAIN)
    assert ack is not None
    mine = accepted("BTC_USDT", "x-1", ack)
    usual = Accepted("BTC_USDT", "x-1", int(ID), 1779779511850, data=ack)
    assert mine == usual and repr(mine) == repr(usual) and hash(mine) == hash(usual)
    assert (mine.order, mine.data) == (None, ack)
    with pytest.raises(AttributeError):
        mine.order_id = 1
    with pytest.raises(AttributeError):
        ack.order_id = 1


def test_its_members_are_counted_once():
    symbol, name = "_".join(["BTC", "USDT"]), "-".join(["x", "1"])
    ack = plain_ack(b'{"success":true,"code":0,"data":{"orderId":"814218083416790528"}}')
    before = [sys.getrefcount(each) for each in (symbol, name, ack)]
    made = [accepted(symbol, name, ack) for _ in range(100)]
    assert [sys.getrefcount(each) for each in (symbol, name, ack)] == [n + 100 for n in before]
    assert gc.is_tracked(made[0]) and {symbol, name} <= set(gc.get_referents(made[0]))
    del made
    assert [sys.getrefcount(each) for each in (symbol, name, ack)] == before

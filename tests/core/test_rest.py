"""core/rest: every sample answer, every status, any bytes."""

from __future__ import annotations

import json
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mexcfast import conditional as c
from mexcfast import errors as e
from mexcfast import statements as st_
from mexcfast import types as t
from mexcfast.core import rest
from mexcfast.core.rest import BY_NAME, LIVE, ROUTES, Endpoint, Subject, judge, prepare, read_answer

DATA = Path(__file__).parents[1] / "data" / "rest_responses.jsonl"
LINES = DATA.read_text(encoding="utf-8").splitlines()
VECTORS = [json.loads(line) for line in LINES]
#: The answer's own text: a round trip through Python's floats would lose digits.
BODIES = {vector["name"]: line[line.index('"response": ') + 12:-1].encode()
          for vector, line in zip(VECTORS, LINES, strict=True)}
CREATE = BY_NAME["create"]
ABOUT = Subject("BTC_USDT", "cl-1")


def matches(route, method, path):
    if route.method != method:
        return False
    pattern, parts = route.path.split("/"), path.removeprefix("/api/v1/").split("/")
    return len(pattern) == len(parts) and all(
        a == b or a.startswith("{") for a, b in zip(pattern, parts, strict=True))


def route_of(vector):
    path = urlsplit(vector["path"]).path
    found = [route for route in ROUTES if matches(route, vector["method"], path)]
    return min(found, key=lambda route: route.path.count("{"))


EXPECTED = {  # name of the vector -> class of the result, or of the error, or None
    "ping": int, "ping_2021_without_code": int, "support_currencies": tuple,
    "depth_enveloped": t.Depth, "depth_limit_5_live": t.Depth, "depth_2021_bare_object": t.Depth,
    "index_price_live": t.PriceTick, "fair_price_live": t.PriceTick,
    "funding_rate": t.FundingRate, "funding_rate_with_prices": t.FundingRate,
    "account_asset_mx": t.Balance, "account_asset_usdt_live": t.Balance,
    "asset_analysis_type": t.Record, "asset_analysis_today": t.Record,
    "asset_analysis_v3": t.Record, "asset_analysis_calendar_daily": t.Record,
    "asset_analysis_calendar_monthly": t.Record, "asset_analysis_recent": t.Record,
    "asset_analysis_yesterday": Decimal, "asset_analysis_yesterday_pnl": Decimal,
    "order_deal_fee_total": t.Record, "risk_limit": dict, "tiered_fee_rate_v2": t.Record,
    "ack_only_plan_change_stop": None, "change_risk_level_disabled": e.ParameterError,
    "order_create_object": t.OrderAck, "order_create_bare_string": t.OrderAck,
    "order_submit_bare_integer": t.OrderAck, "ack_only_stp_update": None,
    "position_close_all": None, "order_get_filled_market": t.Order,
    "order_external_not_found": e.NotFound, "planorder_place_v2": t.OrderAck,
    "planorder_place_legacy_integer": t.OrderAck, "stoporder_place_id": t.OrderAck,
    "trackorder_place": t.OrderAck, "stp_blacklist_create": None, "error_500_system": e.VenueFault,
    "error_1001_contract": e.SymbolError, "error_401_no_auth": e.AuthenticationError,
    "error_402_key_expired": e.AuthenticationError, "error_406_ip": e.PermissionDenied,
    "error_510_throttled": e.RateLimited, "error_511_interface": e.PermissionDenied,
    "error_513_clock": e.ClockError, "error_600_param": e.ParameterError,
    "error_602_signature": e.SignatureError, "error_1002_not_allowed": e.MaintenanceError,
    "error_2003_price_band": e.OrderRejected, "error_2005_balance": e.InsufficientBalance,
    "error_2009_position": e.PositionError, "error_2011_quantity": e.ParameterError,
    "error_maintenance_announcement": e.MaintenanceError,
    "error_message_chinese": e.SignatureError, "error_code_as_string": e.SignatureError,
    "error_order_get_unknown_live": e.NotFound, "error_401_no_key_live": e.AuthenticationError,
    "error_602_live_text": e.SignatureError, "profit_rate": t.Record, "discount_type": t.Record,
    "zero_fee_rate": t.Record, "tiered_fee_rate_v1": t.Record, "position_mode_int": int,
    "change_leverage_ok": None, "change_limit_order": t.OrderAck,
    "open_order_total_count": t.OrderCounts, "stoporder_order_details": t.Record,
    "stp_search_empty": None,
}
#: The rest are lists: class of the items.
ITEMS = {
    "contracts": t.Contract, "depth_commits": t.Depth, "kline": t.Candle,
    "kline_index_price": t.Candle, "kline_fair_price": t.Candle, "deals": t.Trade,
    "tickers": t.Ticker, "funding_rates": t.FundingRate, "funding_history": t.FundingRate,
    "balances": t.Balance, "positions": t.Position, "position_history": t.Position,
    "open_orders": t.Order, "open_orders_paged_of": t.Order, "history": t.Order,
    "history_paged": t.Order, "orders": t.Order, "orders_by_external": t.Order,
    "closed_orders": t.Order, "fills": t.Fill, "fills_v1": t.Fill, "order_fills": t.Fill,
    "submit_batch": t.ItemResult, "cancel": t.ItemResult, "cancel_external": t.ItemResult,
    "cancel_external_batch": t.ItemResult, "insurance_funds": st_.InsuranceFund,
    "insurance_fund": st_.InsuranceFund, "insurance_history": st_.InsuranceFund,
    "transfers": st_.Transfer, "fee_details": st_.FeeDetail, "funding_records": st_.FundingRecord,
    "leverage": st_.LeverageTier, "plan_orders": c.PlanOrder, "stop_orders": c.StopOrder,
    "stop_open_orders": c.StopOrder, "track_orders": c.TrailingOrder,
    "stp_groups": st_.SelfTradeGroup,
}


@pytest.mark.parametrize("vector", VECTORS, ids=lambda v: v["name"])
def test_vector(vector):
    name, route = vector["name"], route_of(vector)
    assert json.loads(BODIES[name]) == vector["response"]
    expected = EXPECTED.get(name, tuple)
    if expected is not None and issubclass(expected, Exception):
        with pytest.raises(expected) as caught:
            read_answer(route, 200, BODIES[name])
        assert type(caught.value) is expected
        code = vector["response"].get("code")
        assert caught.value.code in (int(code), None)
        assert caught.value.message
        return
    result = read_answer(route, 200, BODIES[name])
    if expected is None:
        assert result is None
        return
    assert isinstance(result, expected)
    if expected is tuple and name != "support_currencies":
        kind = ITEMS.get(route.name, t.Record)
        assert all(type(item) is kind for item in result)
    if isinstance(result, t.Record):
        assert len(result) == len(vector["response"]["data"])


def test_samples_reach_every_expectation():
    names = {vector["name"] for vector in VECTORS}
    assert set(EXPECTED) - names <= {"asset_analysis_yesterday", "asset_analysis_yesterday_pnl"}


def answer(name, route=None):
    vector = next(vector for vector in VECTORS if vector["name"] == name)
    return read_answer(route or route_of(vector), 200, BODIES[name])


def test_numbers_are_exact():
    fund = answer("risk_reverse_list")[0]
    assert fund.available == Decimal("97284530.448634083318792525314410007362")
    assert fund.ts_venue_ms == 1761883124789
    assert answer("account_asset_mx").available == Decimal("0.99647149597724856")
    assert answer("kline_min15")[0].amount == Decimal("6.106243567181E7")
    assert answer("order_submit_bare_integer").order_id == 102057569836905984


def test_order_fields():
    order = answer("order_get_filled_market")
    assert order.order_id == 739106551624717312
    assert (order.side, order.type, order.state) == (
        t.Side.OPEN_LONG, t.OrderType.MARKET, t.OrderState.FILLED)
    assert order.price == Decimal("109777.5")
    assert (order.quantity, order.remaining_quantity) == (5, 0)
    assert order.is_final
    assert order.reduce_only is None
    assert order.ts_updated_ms == 1761887134000


def test_contract_fields():
    contract = answer("detail_one_symbol")[0]
    assert contract.symbol == "BTC_USDT"
    assert contract.contract_size == Decimal("0.0001")
    assert (contract.tick_size, contract.lot_size) == (Decimal("0.1"), 1)
    assert not contract.is_inverse
    linear, inverse, *_ = answer("detail_all_symbols_minimal")
    assert (linear.is_inverse, inverse.is_inverse) == (False, True)


def test_either_name_of_the_taker_flag():
    assert answer("deal_details")[0].is_taker is False
    assert answer("order_deals_legacy")[0].is_taker is True


def test_cancel_items_are_judged_one_by_one():
    done, late, absent = answer("order_cancel_mixed")
    assert done == t.ItemResult(817027833053397504, None, None)
    assert type(late.error) is e.OrderRejected
    assert type(absent.error) is e.NotFound
    echo, = answer("order_cancel_with_external_2021")
    assert echo == t.ItemResult(None, "mxc-a-001", None)


def test_record_is_read_only_and_snake_case():
    record = answer("asset_analysis_today")
    assert record.today_pnl == record["today_pnl"] == Decimal("-0.26538358229")
    assert "BTC_USDT" in answer("risk_limit")
    with pytest.raises(AttributeError):
        record.today_pnl = 1
    with pytest.raises(AttributeError):
        _ = record.nothing


# -- any bytes, any JSON, any status -------------------------------------------------------------

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=20)
words = st.sampled_from(["success", "code", "data", "message", "msg", "announcement", "orderId",
                         "asks", "bids", "resultList", "errorCode", "externalOid", "version"])
envelopes = st.dictionaries(words, json_values | st.dictionaries(words, json_values))
statuses = st.sampled_from([200, 201, 302, 400, 403, 404, 408, 429, 500, 502])


def read_or_refuse(route, status, body):
    try:
        read_answer(route, status, body)
    except (e.VenueError, e.BadAnswer) as error:
        assert str(error)
        repr(error).encode()
    if route.writes:
        outcome = judge(route, status, body, ABOUT)
        if 200 <= status < 300 or 400 <= status < 500:
            return outcome
        assert isinstance(outcome, t.Unknown)
    return None


@settings(deadline=None)
@given(st.sampled_from(ROUTES), statuses, st.binary())
def test_any_bytes(route, status, body):
    read_or_refuse(route, status, body)


@settings(deadline=None)
@given(st.sampled_from(ROUTES), statuses, envelopes)
def test_any_json(route, status, value):
    read_or_refuse(route, status, json.dumps(value).encode())


@settings(deadline=None)
@given(st.sampled_from(VECTORS), st.data())
def test_mutilated_samples(vector, data):
    body = bytearray(BODIES[vector["name"]])
    cut = data.draw(st.integers(0, len(body) - 1))
    byte = data.draw(st.integers(0, 255))
    route = route_of(vector)
    read_or_refuse(route, 200, bytes(body[:cut]))
    body[cut] = byte
    read_or_refuse(route, 200, bytes(body))


@settings(deadline=None)
@given(st.sampled_from([v for v in VECTORS if isinstance(v["response"].get("data"), (list, dict))]),
       json_values, st.data())
def test_samples_with_one_wrong_value(vector, value, data):
    answer = json.loads(BODIES[vector["name"]])
    place = answer["data"]
    while isinstance(place, list) and place:
        place = place[0]
    if isinstance(place, dict) and place:
        place[data.draw(st.sampled_from(sorted(place)))] = value
    read_or_refuse(route_of(vector), 200, json.dumps(answer).encode())


@pytest.mark.parametrize("body", [
    b"", b" ", b"null", b"1", b'"x"', b"{", b"[", b"{}", b"[]", b'{"success":true}', b"\xff",
    b"\xef\xbb\xbf{}",
    b'{"success":true,"code":0,"data":NaN}', b'{"success":true,"code":0,"data":1e400}',
    b'{"success":true,"code":0,"data":1e999999999999999999999}',
    b'{"success":true,"code":0,"data":' + b"9" * 5000 + b"}",
    b"[" * 100_000, b'{"data":' * 2000 + b"1" + b"}" * 2000,
    b'{"success":"maybe","code":0,"data":1}', b'{"success":true,"code":0,"data":{"orderId":true}}',
    b'{"success":true,"code":0,"data":{"orderId":1.5}}', b'{"success":true,"code":0,"data":0}',
    b'{"success":true,"code":0,"data":"\\ud800"}', b'{"success":true,"code":0,"data":null}',
    b'{"message":"x"}', b'{"success":true,"code":0,"data":[]}', b'{"success":true}{"x":1}',
])
def test_unreadable_order_answers(body):
    with pytest.raises(e.BadAnswer):
        read_answer(CREATE, 200, body)
    outcome = judge(CREATE, 200, body, ABOUT, 1_700_000_000_000)
    assert outcome == t.Unknown(outcome.error, "BTC_USDT", "cl-1", ts_sent_ms=1_700_000_000_000)


OK = b'{"success":true,"code":0,"data":{"orderId":"17","ts":1779799999123}}'
NO = b'{"success":false,"code":2005,"message":"Insufficient balance!"}'
HTML = b"<html>blocked</html>"


@pytest.mark.parametrize(("status", "body", "kind", "reason"), [
    (200, OK, t.Accepted, None),
    (200, NO, t.Rejected, "InsufficientBalance"),
    (400, b'{"success":false,"code":602,"message":"x"}', t.Rejected, "SignatureError"),
    (403, HTML, t.Rejected, "EdgeError"), (404, b"", t.Rejected, "ParameterError"),
    (429, b"slow down", t.Rejected, "RateLimited"), (401, b"{}", t.Rejected, "AuthenticationError"),
    (200, b'{"success":false,"code":510}', t.Rejected, "RateLimited"),
    (200, b'{"success":false,"code":987654}', t.Rejected, "OrderRejected"),
    (200, b'{"code":-2011,"msg":"neighbour"}', t.Rejected, "OrderRejected"),
    # doubt
    (400, OK, t.Unknown, "BadAnswer"), (302, b"", t.Unknown, "BadAnswer"),
    (200, HTML, t.Unknown, "EdgeError"), (502, HTML, t.Unknown, "EdgeError"),
    (500, NO, t.Unknown, "InsufficientBalance"), (503, b"", t.Unknown, "BadAnswer"),
    (408, b"", t.Unknown, "OrderRejected"), (500, OK, t.Unknown, "BadAnswer"),
    (200, b'{"success":false,"code":500,"message":"x"}', t.Unknown, "VenueFault"),
    (200, b'{"success":false,"code":0}', t.Unknown, "VenueError"),
    (200, b'{"success":false}', t.Unknown, "VenueError"),
    (200, b'{"success":false,"code":"NOPE"}', t.Unknown, "VenueError"),
    (502, b'{"success":false,"code":987654}', t.Unknown, "VenueFault"),
])
def test_outcome_of_an_order(status, body, kind, reason):
    outcome = judge(CREATE, status, body, ABOUT)
    assert type(outcome) is kind
    assert (outcome.symbol, outcome.client_order_id) == ("BTC_USDT", "cl-1")
    if reason is None:
        assert (outcome.order_id, outcome.ts_venue_ms) == (17, 1779799999123)
    else:
        assert outcome.reason == reason


def test_error_keeps_number_text_and_notice():
    with pytest.raises(e.MaintenanceError) as caught:
        read_answer(CREATE, 200, BODIES["error_maintenance_announcement"])
    assert caught.value.announcement == "https://example.invalid/notice"
    with pytest.raises(e.OrderRejected) as caught:
        read_answer(CREATE, 200, b'{"code":"-2011","msg":"neighbour"}')
    assert (caught.value.code, caught.value.message) == (-2011, "neighbour")


def test_items_find_their_orders():
    wanted = (Subject("A", None, 817027833053397505), Subject("A", None, 1),
              Subject("A", None, 817027833053397504), Subject("A", None, 99))
    outcome = judge(BY_NAME["cancel"], 200, BODIES["order_cancel_mixed"], Subject())
    late, absent, done, unheard = rest.judge_items(outcome, wanted)
    assert isinstance(late, t.Rejected) and late.code == 2041
    assert isinstance(absent, t.Rejected) and absent.reason == "NotFound"
    assert done == t.Accepted("A", None, 817027833053397504)
    assert isinstance(unheard, t.Unknown)
    by_name = (Subject("A", "x"), Subject("A", "y"))
    outcome = judge(BY_NAME["cancel_external_batch"], 200, BODIES["batch_cancel_with_external"],
                    Subject())
    first, second = rest.judge_items(outcome, by_name)
    assert first == t.Accepted("A", "x", 817027833053397504)
    assert isinstance(second, t.Rejected) and second.reason == "NotFound"
    for whole in (judge(BY_NAME["cancel"], 200, NO, Subject()),
                  judge(BY_NAME["cancel"], 503, b"", Subject())):
        for item, about in zip(rest.judge_items(whole, by_name), by_name, strict=True):
            assert (type(item), item.client_order_id) == (type(whole), about.client_order_id)


# -- requests ------------------------------------------------------------------------------------

def test_query_is_signed_and_sent_alike():
    request = prepare(LIVE, BY_NAME["history"], params={
        "symbol": "BTC_USDT", "states": [2, 3], "page_num": 1, "page_size": 20, "category": None})
    assert request.payload == b"page_num=1&page_size=20&states=2%2C3&symbol=BTC_USDT"
    assert request.url == ("https://api.mexc.com/api/v1/private/order/list/history_orders?"
                           "page_num=1&page_size=20&states=2%2C3&symbol=BTC_USDT")
    assert request.body is None


def test_path_parameters_are_encoded_and_not_signed():
    request = prepare(LIVE, BY_NAME["order_by_external"],
                      {"symbol": "币安人生_USDT", "external_oid": "a/b?c"})
    assert request.payload == b""
    assert request.url.endswith(
        "/order/external/%E5%B8%81%E5%AE%89%E4%BA%BA%E7%94%9F_USDT/a%2Fb%3Fc")


def test_body_is_payload():
    request = prepare(LIVE, CREATE, body=b'{"a":1}')
    assert (request.method, request.payload, request.body) == ("POST", b'{"a":1}', b'{"a":1}')
    empty = prepare(LIVE, BY_NAME["close_all"])
    assert (empty.payload, empty.body) == (b"", None)


@pytest.mark.parametrize(("name", "path", "params", "body"), [
    ("depth", None, None, None), ("depth", {"symbol": ""}, None, None),
    ("depth", {"symbol": ".."}, None, None), ("depth", {"symbol": "A\n"}, None, None),
    ("ping", {"symbol": "A"}, None, None), ("ping", None, {"x": 1}, None),
    ("fills", None, {"page_num": 1}, None), ("ping", None, None, b"{}"),
    ("create", None, {"symbol": "A"}, None),
])
def test_requests_refused(name, path, params, body):
    with pytest.raises(e.IntentError):
        prepare(LIVE, rest.find(name), path, params, body)


def test_settings_are_data():
    endpoint = Endpoint.at("http://127.0.0.1:8080/", paths={"create": "private/order/submit"},
                           limits={"order_place": (20, 2000)})
    assert endpoint.ws_url == "ws://127.0.0.1:8080/edge"
    assert prepare(endpoint, CREATE).url == "http://127.0.0.1:8080/api/v1/private/order/submit"
    assert endpoint.limit(CREATE) == (20, 2000)
    assert LIVE.limit(CREATE) == (4, 2000)
    assert replace(LIVE, language="Korean").language == "Korean"
    for bad in ({"rest_url": "api.mexc.com"}, {"paths": {"nope": "x"}}, {"limits": {"x": (1, 1)}},
                {"recv_window_s": 61}):
        with pytest.raises(e.ConfigError):
            replace(LIVE, **bad)
    with pytest.raises(e.IntentError):
        rest.find("nope")


def test_table_is_consistent():
    assert len(BY_NAME) == len(ROUTES) == len({(r.method, r.path) for r in ROUTES})
    for route in ROUTES:
        assert route.path.startswith("private/" if route.signed else "contract/")
        assert route.permission in ("", "A", "O", "T")
        assert not route.writes or (route.method == "POST" and route.permission == "T")
        assert route.status in ("doc", "doc21", "removed", "disabled")
        assert "order" in route.path or "private" not in route.path or route.group == route.name
    for group in rest.GROUPS:
        assert len({(r.count, r.window_ms) for r in ROUTES if r.group == group}) == 1
    assert not BY_NAME["create"].repeatable
    assert BY_NAME["cancel"].repeatable


def test_errors_name_their_endpoint():
    from mexcfast.core.rest import find, read_answer
    from mexcfast.errors import BadAnswer, EdgeError, OrderRejected, VenueError
    route = find("create")
    for status, body, kind in ((200, b'{"success":false,"code":2003}', OrderRejected),
                               (403, b"<html>", EdgeError), (200, b"nonsense", BadAnswer),
                               (200, b'{"success":false}', VenueError)):
        with pytest.raises(kind) as caught:
            read_answer(route, status, body)
        assert caught.value.endpoint == "private/order/create"


@pytest.mark.parametrize("name", ["amend", "plan_place", "stop_place", "track_place", "cancel_all"])
def test_a_repeated_request_may_have_been_executed(name):
    """603 says that the same request came before, and nothing of what became of it."""
    route = BY_NAME[name]
    outcome = judge(route, 200, b'{"success":false,"code":603,"message":"x"}', Subject("BTC_USDT"))
    assert isinstance(outcome, t.Unknown) and outcome.code == 603


@pytest.mark.parametrize("body", [
    b'{"success":true,"code":0,"data":"102057569836905984"}',
    b'{"success":true,"code":0,"data":102057569836905984}',
    b' {"code":0,"success":true,"data":{"orderId":"17","ts":1779799999123}} ',
    b'{"success":true,"data":{"orderId":17}}', b'{"success":true,"data":{"orderId":17,"ts":null}}',
    b'{"success":true,"data":{"id":17,"ts":5}}', b'{"success":true,"data":{"orderId":17,"ts":"5"}}',
    b'{"success":true,"data":{"orderId":17.0}}', b'{"success":true,"data":{"orderId":1e2}}',
    b'{"success":true,"data":99999999999999999999999}', b'{"success":true,"data":0}',
    b'{"success":true,"data":-1}', b'{"success":true,"data":true}', b'{"success":true,"data":[]}',
    b'{"success":true,"data":"\xd9\xa1"}', b'{"success":1,"data":17}',
    b'{"success":"true","data":17}',
    b'{"success":false,"code":2005}', b'{"success":true}', b'{"success":true,"data":NaN}', b"[17]",
    b"17", b"", b'{"success":true,"data":17,"success":false}', b'{"success":true,"data":"\\ud800"}',
])
def test_the_quick_reading_of_an_acknowledgement_agrees(body, monkeypatch):
    def read():
        try:
            return read_answer(BY_NAME["create"], 200, body)
        except (e.VenueError, e.BadAnswer) as error:
            return type(error), str(error)

    quick = read()
    monkeypatch.setattr("mexcfast.core.rest.quick_ack", lambda body: None)
    assert read() == quick

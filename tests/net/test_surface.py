"""The REST surface: every endpoint has a method, every method sends what the table allows."""

from __future__ import annotations

import asyncio
import inspect
import json
from decimal import Decimal
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from mexcfast import conditional as c
from mexcfast import statements as s
from mexcfast import types as t
from mexcfast.core.rest import BY_NAME, ROUTES, Endpoint
from mexcfast.core.sign import Signer
from mexcfast.errors import BadAnswer, IntentError, MexcfastError, SignatureError
from mexcfast.net.account_api import AccountApi, Margin
from mexcfast.net.conditional_api import Conditional, PlanOrders, StopOrders, TrailingOrders
from mexcfast.net.executor import Executor
from mexcfast.net.market_api import MarketApi
from mexcfast.net.orders import Orders
from mexcfast.net.positions_api import PositionsApi
from mexcfast.net.surface import serves, walk
from models.contracts import BTC, BTC_DETAIL

ROOMS = (MarketApi, AccountApi, PositionsApi, Orders, PlanOrders, StopOrders, TrailingOrders)
LINES = (Path(__file__).parents[1] / "data" / "rest_responses.jsonl").read_text().splitlines()
SYMBOL = "BTC_USDT"
ACK = b'{"success":true,"code":0}'


def path_matches(pattern: str, path: str) -> bool:
    ours, theirs = pattern.split("/"), path.split("/")
    return len(ours) == len(theirs) and all(
        a == b or a.startswith("{") for a, b in zip(ours, theirs, strict=True))


def sample(route) -> bytes:
    """A recorded answer of this endpoint, the first that is a success; else an acknowledgement."""
    for line in LINES:
        vector = json.loads(line)
        path = urlsplit(vector["path"]).path.removeprefix("/api/v1/")
        if (vector["method"] == route.method and path_matches(route.path, path)
                and route.path.count("{") == path_brackets(route.method, path)
                and vector["response"].get("success") and "data" in vector["response"]):
            return line[line.index('"response": ') + 12:-1].encode()
    return ACK


def path_brackets(method: str, path: str) -> int:
    return min(r.path.count("{") for r in ROUTES
               if r.method == method and path_matches(r.path, path))


EXTRA = {   # no recorded answer
    "insurance_funds": b'{"success":true,"code":0,"data":[{"symbol":"X","currency":"USDT",'
                       b'"available":1,"timestamp":1}]}',
    "pnl_yesterday": b'{"success":true,"code":0,"data":0.2}',
    "analysis_export": b"PK\x03\x04 a file",
    "contracts_by_country": BTC_DETAIL, "order_by_external": sample(BY_NAME["order"]),
}


class Recorder(Executor):
    """Answers from samples, and keeps what would have been sent."""

    def __init__(self, **answers) -> None:
        super().__init__(Endpoint.at("http://venue"), Signer("mxkey", "a-secret"), lane="off")
        self.requests = []
        self.answers = answers

    async def _send(self, request, headers):
        path = urlsplit(request.url).path.removeprefix("/api/v1/")
        found = [r for r in ROUTES if r.method == request.method and path_matches(r.path, path)]
        route = min(found, key=lambda r: r.path.count("{"))
        self.requests.append((route, request))
        answer = self.answers.get(route.name, EXTRA.get(route.name)) or sample(route)
        return 200, answer


def play(call, **answers):
    """Run call(room) against a Recorder: its result and the requests it made."""
    async def main():
        async with Recorder(**answers) as executor:
            rooms = {"market": MarketApi(executor), "account": AccountApi(executor),
                     "positions": PositionsApi(executor),
                     "orders": Orders(executor, {SYMBOL: BTC}, session=1),
                     "conditional": Conditional(executor, {SYMBOL: BTC})}
            result = call(type("Rooms", (), rooms))
            return await result, executor.requests

    return asyncio.run(main())


async def listed(iterator):
    return [item async for item in iterator]


def test_every_endpoint_has_a_method():
    served: dict[str, list[str]] = {}
    for room in ROOMS:
        for name, method in inspect.getmembers(room, inspect.isfunction):
            for route in getattr(method, "routes", ()):
                served.setdefault(route, []).append(f"{room.__name__}.{name}")
    assert set(served) == set(BY_NAME), set(BY_NAME) ^ set(served)
    assert {name: by for name, by in served.items() if len(by) > 1} == {}


def test_every_serving_method_is_typed_and_told():
    for room in ROOMS:
        for name, method in inspect.getmembers(room, inspect.isfunction):
            if hasattr(method, "routes"):
                assert method.__doc__, f"{room.__name__}.{name}"
                hints = inspect.signature(method)
                assert hints.return_annotation not in (inspect.Signature.empty, "Any")
                assert all(p.annotation is not inspect.Parameter.empty
                           for p in list(hints.parameters.values())[1:]), f"{room}.{name}"


def test_a_wrong_name_is_refused():
    with pytest.raises(IntentError):
        serves("no_such_endpoint")


MS = 1_789_000_000_000
CALLS = {   # endpoint -> the call, the class of the result or of its items
    "ping": (lambda r: r.market.ping(), int),
    "contracts": (lambda r: r.market.contracts(SYMBOL), t.Contract),
    "contracts_by_country": (lambda r: r.market.contracts(by_country=True), t.Contract),
    "support_currencies": (lambda r: r.market.currencies(), str),
    "depth": (lambda r: r.market.depth(SYMBOL, 5), t.Depth),
    "depth_commits": (lambda r: r.market.depth_commits(SYMBOL, 5), t.Depth),
    "index_price": (lambda r: r.market.index_price(SYMBOL), t.PriceTick),
    "fair_price": (lambda r: r.market.fair_price(SYMBOL), t.PriceTick),
    "funding_rate": (lambda r: r.market.funding_rate(SYMBOL), t.FundingRate),
    "funding_rates": (lambda r: r.market.funding_rates(), t.FundingRate),
    "funding_history": (lambda r: r.market.funding_history(SYMBOL), t.FundingRate),
    "kline": (lambda r: r.market.kline(SYMBOL, "Min15", start_s=1, end_s=2), t.Candle),
    "kline_index_price": (lambda r: r.market.kline_index_price(SYMBOL), t.Candle),
    "kline_fair_price": (lambda r: r.market.kline_fair_price(SYMBOL), t.Candle),
    "deals": (lambda r: r.market.deals(SYMBOL, 10), t.Trade),
    "tickers": (lambda r: r.market.tickers(), t.Ticker),
    "insurance_funds": (lambda r: r.market.insurance_funds(), s.InsuranceFund),
    "insurance_fund": (lambda r: r.market.insurance_funds(SYMBOL), s.InsuranceFund),
    "insurance_history": (lambda r: r.market.insurance_history(SYMBOL), s.InsuranceFund),
    "balances": (lambda r: r.account.balances(), t.Balance),
    "balance": (lambda r: r.account.balance("USDT"), t.Balance),
    "transfers": (lambda r: r.account.transfers("USDT", direction="IN"), s.Transfer),
    "profit_rate": (lambda r: r.account.profit_rate(7), t.Record),
    "analysis": (lambda r: r.account.analysis("USDT", start_ms=MS), t.Record),
    "pnl_yesterday": (lambda r: r.account.pnl_yesterday(), Decimal),
    "pnl_today": (lambda r: r.account.pnl_today(Margin.USDT, unrealised=True), t.Record),
    "analysis_export": (lambda r: r.account.analysis_export(pdf=True), bytes),
    "analysis_v3": (lambda r: r.account.analysis_v3(MS, MS + 1), t.Record),
    "analysis_daily": (lambda r: r.account.analysis_daily(MS, MS + 1), t.Record),
    "analysis_monthly": (lambda r: r.account.analysis_monthly(), t.Record),
    "analysis_recent": (lambda r: r.account.analysis_recent(symbol=SYMBOL), t.Record),
    "fee_deduct_configs": (lambda r: r.account.fee_deduct_configs(), t.Record),
    "fee_discount_config": (lambda r: r.account.fee_discount_config(), t.Record),
    "discount_type": (lambda r: r.account.discount_type(), t.Record),
    "fee_total": (lambda r: r.account.fee_total(), t.Record),
    "fee_rate": (lambda r: r.account.fee_rate(SYMBOL), t.Record),
    "zero_fee_rate": (lambda r: r.account.zero_fee_rate(), t.Record),
    "risk_limit": (lambda r: r.account.risk_limit(), dict),
    "tiered_fee_rate_v1": (lambda r: r.account.tiered_fee_rate(version=1), t.Record),
    "tiered_fee_rate": (lambda r: r.account.tiered_fee_rate(SYMBOL), t.Record),
    "change_risk_level": (lambda r: r.account.change_risk_level(SYMBOL, 1, t.PositionType.LONG),
                          t.Accepted),
    "fee_details": (lambda r: r.account.fee_details(SYMBOL, fill_ids=[1, 2]), s.FeeDetail),
    "positions": (lambda r: r.positions.open(SYMBOL), t.Position),
    "position_history": (lambda r: r.positions.history(type=t.PositionType.LONG), t.Position),
    "position_history_paged": (lambda r: r.positions.history(paged=True), t.Position),
    "funding_records": (lambda r: r.positions.funding(SYMBOL), s.FundingRecord),
    "leverage": (lambda r: r.positions.leverage(SYMBOL), s.LeverageTier),
    "change_leverage": (lambda r: r.positions.change_leverage(10, position_id=7), t.Accepted),
    "change_margin": (lambda r: r.positions.change_margin(7, "-5.5"), t.Accepted),
    "change_auto_margin": (lambda r: r.positions.change_auto_margin(7, True), t.Accepted),
    "position_mode": (lambda r: r.positions.mode(), t.PositionMode),
    "change_position_mode": (lambda r: r.positions.change_mode(t.PositionMode.ONE_WAY),
                             t.Accepted),
    "reverse_position": (lambda r: r.positions.reverse(SYMBOL, 7, 5), t.Accepted),
    "close_all": (lambda r: r.positions.close_all(), t.Accepted),
    "create": (lambda r: r.orders.submit(SYMBOL, 1, 1, 84000, leverage=2), t.Accepted),
    "submit": (lambda r: r.orders.submit_legacy(r.orders.intent(SYMBOL, 1, 1, 84000, leverage=2)),
               t.Accepted),
    "submit_batch": (lambda r: r.orders.submit_batch([
        r.orders.intent(SYMBOL, 1, 1, 84000, leverage=2),
        r.orders.intent(SYMBOL, 1, 1, 84000, leverage=2)]), t.Accepted),
    "chase": (lambda r: r.orders.chase(7), t.Accepted),
    "amend": (lambda r: r.orders.amend(SYMBOL, 7, 84000, 1), t.Accepted),
    "cancel": (lambda r: r.orders.cancel([817027833053397504]), t.Accepted),
    "cancel_external": (lambda r: r.orders.cancel_one(SYMBOL, "cl-1"), t.Accepted),
    "cancel_external_batch": (lambda r: r.orders.cancel(["cl-1", "cl-2"], SYMBOL),
                              (t.Accepted, t.Rejected)),
    "cancel_all": (lambda r: r.orders.cancel_all(SYMBOL), t.Accepted),
    "open_orders": (lambda r: r.orders.open(SYMBOL), t.Order),
    "open_orders_of": (lambda r: r.orders.open(SYMBOL, spelling="by symbol"), t.Order),
    "open_orders_paged": (lambda r: r.orders.open(spelling="paged"), t.Order),
    "open_orders_paged_of": (lambda r: r.orders.open(SYMBOL, spelling="paged by symbol"), t.Order),
    "history": (lambda r: r.orders.history(states=[t.OrderState.FILLED], side=t.Side.OPEN_LONG,
                                           start_ms=MS, order_id=5), t.Order),
    "history_paged": (lambda r: r.orders.history(paged=True), t.Order),
    "order_by_external": (lambda r: r.orders.get_by_client_id(SYMBOL, "cl-1"), t.Order),
    "order": (lambda r: r.orders.get(7), t.Order),
    "orders": (lambda r: r.orders.get_many([1, 2]), t.Order),
    "orders_by_external": (lambda r: r.orders.get_many_by_client_id(SYMBOL, ["a"]), t.Order),
    "order_fills": (lambda r: r.orders.fills_of(7, SYMBOL), t.Fill),
    "fills": (lambda r: r.orders.fills(SYMBOL, start_ms=MS), t.Fill),
    "fills_v1": (lambda r: r.orders.fills(SYMBOL, version=1), t.Fill),
    "closed_orders": (lambda r: r.orders.closed(SYMBOL), t.Order),
    "closed_orders_unlisted": (lambda r: r.orders.closed(SYMBOL, unlisted=True), t.Order),
    "open_order_counts": (lambda r: r.orders.counts(), t.OrderCounts),
    "plan_place": (lambda r: r.conditional.plan.place(
        SYMBOL, t.Side.OPEN_LONG, 5, "84400", t.TriggerType.AT_OR_ABOVE, 84500, leverage=20,
        price_protect=True, stop_loss_price=80000), t.Accepted),
    "plan_place_v1": (lambda r: r.conditional.plan.place(
        SYMBOL, t.Side.CLOSE_LONG, 5, 84400, t.TriggerType.AT_OR_BELOW, type=t.OrderType.MARKET,
        version=1), t.Accepted),
    "plan_change_price": (lambda r: r.conditional.plan.change_price(SYMBOL, 7, 84600, 84700),
                          t.Accepted),
    "plan_change_stop": (lambda r: r.conditional.plan.change_stop(
        SYMBOL, 7, stop_loss_price=80000, take_profit_price=0), t.Accepted),
    "plan_cancel": (lambda r: r.conditional.plan.cancel([(SYMBOL, 7)]), t.Accepted),
    "plan_cancel_all": (lambda r: r.conditional.plan.cancel_all(SYMBOL), t.Accepted),
    "plan_orders": (lambda r: r.conditional.plan.orders(
        SYMBOL, states=[t.ConditionalState.UNTRIGGERED]), c.PlanOrder),
    "stop_place": (lambda r: r.conditional.stop.place(
        7, 23, symbol=SYMBOL, stop_loss_price=80000, stop_loss_limit=79000, separate=False,
        stop_loss_reverse=False), t.Accepted),
    "stop_cancel": (lambda r: r.conditional.stop.cancel([7]), t.Accepted),
    "stop_cancel_all": (lambda r: r.conditional.stop.cancel_all(position_id=7), t.Accepted),
    "stop_change_price": (lambda r: r.conditional.stop.change_price_of_order(
        7, stop_loss_price="2400.5", loss_trend=t.TriggerPrice.FAIR), t.Accepted),
    "stop_change_plan_price": (lambda r: r.conditional.stop.change_price(
        7, symbol=SYMBOL, take_profit_price=90000), t.Accepted),
    "stop_orders": (lambda r: r.conditional.stop.orders(SYMBOL, is_final=True), c.StopOrder),
    "stop_open_orders": (lambda r: r.conditional.stop.open(), c.StopOrder),
    "stop_order": (lambda r: r.conditional.stop.details(7), t.Record),
    "track_place": (lambda r: r.conditional.trailing.place(
        SYMBOL, t.Side.OPEN_SHORT, 100, t.BackType.PERCENTAGE, "0.02", leverage=2,
        active_price=84000), t.Accepted),
    "track_cancel": (lambda r: r.conditional.trailing.cancel(SYMBOL, 7), t.Accepted),
    "track_change": (lambda r: r.conditional.trailing.change(
        SYMBOL, 7, 100, t.BackType.ABSOLUTE, 5), t.Accepted),
    "track_orders": (lambda r: r.conditional.trailing.orders([t.TrailingState.ACTIVATED]),
                     c.TrailingOrder),
    "stp_groups": (lambda r: r.account.self_trade_groups(), s.SelfTradeGroup),
    "stp_group": (lambda r: r.account.own_self_trade_group(), type(None)),
    "stp_create": (lambda r: r.account.create_self_trade_group("grp1", [1, 2]), t.Accepted),
    "stp_update": (lambda r: r.account.update_self_trade_group("grp1", [1]), t.Accepted),
    "stp_delete": (lambda r: r.account.delete_self_trade_group("grp1"), t.Accepted),
}


def test_every_endpoint_is_called_below():
    assert set(CALLS) == set(BY_NAME)


@pytest.mark.parametrize("name", CALLS)
def test_what_is_sent_is_what_the_table_allows(name):
    call, kind = CALLS[name]
    result, requests = play(call)
    (route, request), = requests
    assert route.name == name
    for item in result if isinstance(result, tuple) else [result]:
        assert isinstance(item, kind)
    known = {param.rstrip("!") for param in route.params}
    needed = {param[:-1] for param in route.params if param.endswith("!")}
    if request.method == "GET":
        sent = set(parse_qs(urlsplit(request.url).query))
    else:
        body = json.loads(request.body) if request.body else {}
        if known == {"[]"}:
            assert isinstance(body, list)
            return
        sent = set(body)
        assert None not in body.values()
    assert needed <= sent <= known, (needed - sent, sent - known)


def test_bodies_are_those_of_the_documents():
    expected = {    # protocol.md, appendix A.1
        "change_leverage": '{"positionId":7,"leverage":10}',
        "change_margin": '{"positionId":7,"amount":5.5,"type":"SUB"}',
        "change_auto_margin": '{"positionId":7,"isEnabled":true}',
        "change_position_mode": '{"positionMode":2}',
        "reverse_position": '{"symbol":"BTC_USDT","positionId":7,"vol":5}',
        "chase": '{"orderId":7}',
        "amend": '{"orderId":7,"price":84000,"vol":1}',
        "cancel": "[817027833053397504]",
        "cancel_external": '[{"symbol":"BTC_USDT","externalOid":"cl-1"}]',
        "cancel_all": '{"symbol":"BTC_USDT"}',
        "plan_change_stop": '{"symbol":"BTC_USDT","orderId":7,"stopLossPrice":80000,'
                            '"takeProfitPrice":0}',
        "plan_cancel": '[{"symbol":"BTC_USDT","orderId":7}]',
        "plan_cancel_all": '{"symbol":"BTC_USDT"}',
        "stop_cancel": '[{"stopPlanOrderId":7}]', "stop_cancel_all": '{"positionId":7}',
        "stop_change_plan_price": '{"stopPlanOrderId":7,"takeProfitPrice":90000}',
        "track_place": '{"symbol":"BTC_USDT","leverage":2,"side":3,"vol":100,"openType":1,'
                       '"trend":1,"activePrice":84000,"backType":1,"backValue":0.02,'
                       '"positionMode":1}',
        "track_cancel": '{"symbol":"BTC_USDT","trackOrderId":7}',
        "stp_create": '{"configName":"grp1","blacklist":[1,2]}',
        "analysis_monthly": '{"reverse":0,"includeUnrealisedPnl":0}',
    }
    for name, body in expected.items():
        (_route, request), = play(CALLS[name][0])[1]
        assert request.body.decode() == body


@pytest.mark.parametrize("call", [
    lambda r: r.positions.change_leverage(10, symbol=SYMBOL),
    lambda r: r.positions.change_margin(7, 0),
    lambda r: r.positions.reverse(SYMBOL, 7, "many"),
    lambda r: r.conditional.plan.place(SYMBOL, t.Side.OPEN_LONG, 5, 84400,
                                       t.TriggerType.AT_OR_ABOVE, leverage=1),
    lambda r: r.conditional.plan.place(SYMBOL, t.Side.OPEN_LONG, 5, 84400,
                                       t.TriggerType.AT_OR_ABOVE, 84400),
    lambda r: r.conditional.plan.place(SYMBOL, t.Side.OPEN_LONG, 5, "84400.05",
                                       t.TriggerType.AT_OR_ABOVE, 84400, leverage=1),
    lambda r: r.conditional.plan.place("NOPE", t.Side.OPEN_LONG, 5, 84400,
                                       t.TriggerType.AT_OR_ABOVE, 84400, leverage=1),
    lambda r: r.conditional.plan.cancel([]),
    lambda r: r.conditional.stop.cancel(range(51)),
    lambda r: r.conditional.stop.place(7, 23),
    lambda r: r.conditional.stop.change_price(7, stop_loss_price=0),
    lambda r: r.conditional.stop.change_price(7, stop_loss_price=-1),
    lambda r: r.conditional.trailing.cancel(),
    lambda r: r.conditional.trailing.place(SYMBOL, t.Side.OPEN_LONG, "0.5", t.BackType.ABSOLUTE,
                                           5, leverage=1),
])
def test_nothing_senseless_leaves(call):
    with pytest.raises(IntentError):
        play(call)


def test_a_file_that_is_a_refusal_is_refused():
    with pytest.raises(SignatureError):
        play(CALLS["analysis_export"][0], analysis_export=b'{"success":false,"code":602}')
    with pytest.raises(BadAnswer):
        play(CALLS["analysis_export"][0], analysis_export=ACK)


# -- paging --------------------------------------------------------------------------------------

def pages(*sizes, repeat=False):
    asked = []

    async def fetch(number):
        asked.append(number)
        place = 0 if repeat else number - 1
        first = sum(sizes[:place])
        return tuple(range(first, first + sizes[place])) if place < len(sizes) else ()

    return fetch, asked


@pytest.mark.parametrize(("sizes", "requests"), [((), 1), ((2,), 1), ((3,), 2), ((3, 3, 1), 3)])
def test_a_walk_ends_at_the_first_short_page(sizes, requests):
    fetch, asked = pages(*sizes)
    assert asyncio.run(listed(walk(fetch, 3))) == list(range(sum(sizes)))
    assert asked == list(range(1, requests + 1))


def test_a_server_that_ignores_the_page_number_is_not_walked_for_ever():
    fetch, asked = pages(3, repeat=True)
    assert asyncio.run(listed(walk(fetch, 3))) == [0, 1, 2]
    assert asked == [1, 2]


ITERATORS = {
    "funding_history": lambda r: r.market.iterate_funding_history(SYMBOL, 50),
    "insurance_history": lambda r: r.market.iterate_insurance_history(SYMBOL, 50),
    "transfers": lambda r: r.account.iterate_transfers(page_size=50),
    "fee_details": lambda r: r.account.iterate_fee_details(SYMBOL),
    "position_history": lambda r: r.positions.iterate_history(page_size=50),
    "funding_records": lambda r: r.positions.iterate_funding(page_size=50),
    "open_orders": lambda r: r.orders.iterate_open(SYMBOL, 50),
    "history": lambda r: r.orders.iterate_history(SYMBOL, page_size=50),
    "fills": lambda r: r.orders.iterate_fills(SYMBOL, page_size=50),
    "plan_orders": lambda r: r.conditional.plan.iterate(SYMBOL, page_size=50),
    "stop_orders": lambda r: r.conditional.stop.iterate(SYMBOL, page_size=50),
    "track_orders": lambda r: r.conditional.trailing.iterate([t.TrailingState.ACTIVATED],
                                                             page_size=50),
}


@pytest.mark.parametrize("name", ITERATORS)
def test_iterators_walk_their_pages(name):
    items, requests = play(lambda rooms: listed(ITERATORS[name](rooms)))
    assert items and [route.name for route, _ in requests] == [name]


def test_faults_reach_the_walker():
    async def broken(page):
        raise MexcfastError("no")

    with pytest.raises(MexcfastError):
        asyncio.run(listed(walk(broken, 3)))

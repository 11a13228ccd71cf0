"""net/orders: what users call, and what is kept until an order's fate is proven."""

from __future__ import annotations

import asyncio
import gc
import json

import pytest
from models.contracts import BTC, BTC_DETAIL
from net.scripted_server import CLOSE, HANG, Server, reply

from mexcfast.core.rest import Endpoint
from mexcfast.core.sign import Signer
from mexcfast.errors import ConfigError, IntentError, NotFound
from mexcfast.net.executor import Executor
from mexcfast.net.orders import Orders
from mexcfast.types import Accepted, OrderState, OrderType, Rejected, Side, Unknown

OK = b'{"success":true,"code":0,"data":{"orderId":"17","ts":1779799999123}}'
ABSENT = b'{"success":true,"code":0}'


def order_json(**changes):
    return {"orderId": "17", "symbol": "BTC_USDT", "price": 84000, "vol": 10, "leverage": 20,
            "side": 1, "category": 1, "orderType": 1, "dealAvgPrice": 0, "dealVol": 0,
            "openType": 1, "state": 2, "externalOid": "cl-1", "errorCode": 0,
            "createTime": 1789000000000, "updateTime": 1789000000001, **changes}


def success(data):
    return reply(json.dumps({"success": True, "code": 0, "data": data}).encode())


def play(script, steps, **settings):
    async def main():
        async with Server(script) as server:
            endpoint = Endpoint.at(server.url, limits={"order_place": (100, 1)}, margin_ms=0,
                                   **settings)
            async with Executor(endpoint, Signer("mxkey", "a-secret")) as executor:
                return await steps(Orders(executor, {"BTC_USDT": BTC}, session=1), server)

    result = asyncio.run(main())
    gc.collect()
    return result


def submit(orders, **more):
    return orders.submit("BTC_USDT", Side.OPEN_LONG, 10, 84000, leverage=20, **more)


def test_submit():
    async def steps(orders, server):
        outcomes = [await submit(orders), await submit(orders, client_order_id="cl-1")]
        return outcomes, [json.loads(seen.body) for seen in server.seen], orders.unresolved

    outcomes, bodies, unresolved = play(lambda seen: reply(OK), steps)
    assert [outcome.client_order_id for outcome in outcomes] == ["mf-1-1", "cl-1"]
    assert [body["externalOid"] for body in bodies] == ["mf-1-1", "cl-1"]
    assert all(outcome.order_id == 17 for outcome in outcomes)
    assert unresolved == ()


def test_refused_locally():
    async def steps(orders, server):
        for call in (orders.submit("NOPE_USDT", 1, 1, 1), orders.submit("BTC_USDT", 1, 1, 0.05),
                     orders.amend("BTC_USDT", 1, 0.05, 1), orders.cancel([]),
                     orders.cancel(["a"]), orders.cancel(["a", 1], "BTC_USDT")):
            with pytest.raises(IntentError):
                await call
        assert not server.seen
        assert orders.unresolved == ()

    play(lambda seen: reply(OK), steps)


def test_without_a_signer_nothing_is_left_over():
    async def main():
        async with Executor(Endpoint.at("http://127.0.0.1:1")) as executor:
            orders = Orders(executor, {"BTC_USDT": BTC})
            with pytest.raises(ConfigError):
                await submit(orders)
            assert orders.unresolved == ()

    asyncio.run(main())


def test_market_orders_take_the_reference_price():
    async def steps(orders, server):
        orders._reference_price = {"BTC_USDT": "84000.19"}.get
        await orders.submit("BTC_USDT", Side.CLOSE_LONG, 1, type=OrderType.MARKET)
        return json.loads(server.seen[0].body)

    assert play(lambda seen: reply(OK), steps)["price"] == 84000.1


def test_an_unknown_order_stays_on_the_list():
    async def steps(orders, server):
        outcome = await submit(orders, client_order_id="cl-1")
        assert isinstance(outcome, Unknown)
        assert orders.unresolved == (outcome,)
        with pytest.raises(IntentError, match="waiting"):
            await submit(orders, client_order_id="cl-1")
        return len(server.seen)

    assert play(lambda seen: CLOSE, steps) == 1


def test_a_cancelled_call_stays_on_the_list():
    async def steps(orders, server):
        arrived = asyncio.Event()
        server.script = lambda seen: (arrived.set(), HANG)[1]
        task = asyncio.create_task(submit(orders, client_order_id="cl-1"))
        await arrived.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        unresolved, = orders.unresolved
        assert (unresolved.symbol, unresolved.client_order_id) == ("BTC_USDT", "cl-1")
        assert unresolved.ts_sent_ms is not None
        server.script = lambda seen: success(order_json())
        outcome = await orders.resolve(unresolved)
        assert isinstance(outcome, Accepted)
        assert orders.unresolved == ()

    play(None, steps)


class Fate:
    """Order entry always breaks; look-ups answer the given replies in turn."""

    def __init__(self, *looks):
        self.looks = list(looks)

    def __call__(self, seen):
        if seen.method == "POST":
            return CLOSE
        assert seen.target == "/api/v1/private/order/external/BTC_USDT/cl-1"
        return self.looks.pop(0)


FOUND = success(order_json())
NONE = reply(ABSENT)


@pytest.mark.parametrize(("looks", "kind", "left"), [
    ([FOUND], Accepted, 0),
    ([NONE, FOUND], Accepted, 0),
    ([NONE, NONE, NONE], Rejected, 0),
    ([NONE, NONE, reply(b'{"success":false,"code":2040}')], Rejected, 0),
    ([NONE, NONE, reply(b"x", 500)], Unknown, 1),
    ([reply(b'{"success":false,"code":401}')], Unknown, 1),
    ([success(order_json(externalOid="other"))], Unknown, 1),
    ([success(order_json(symbol="ETH_USDT"))], Unknown, 1),
    ([success(order_json(state=5, errorCode=2))], Rejected, 0),
    ([success(order_json(state=4))], Accepted, 0),
    ([success({})], Unknown, 1),
    ([success([])], Unknown, 1),
])
def test_resolve(looks, kind, left):
    async def steps(orders, server):
        unknown = await submit(orders, client_order_id="cl-1")
        outcome = await orders.resolve(unknown, pause_s=0, expiry_ms=-60_000)
        assert type(outcome) is kind
        assert outcome.client_order_id == "cl-1"
        assert len(orders.unresolved) == left
        assert sum(seen.method == "POST" for seen in server.seen) == 1
        return outcome

    fate = Fate(*looks)
    outcome = play(fate, steps)
    assert fate.looks == []
    if kind is Accepted:
        assert outcome.order.order_id == outcome.order_id == 17
    if looks[-1] is NONE:
        assert outcome.reason == "NotFound"


def test_absence_is_no_proof_before_the_request_expired():
    now_ns = 1_789_000_000_000_000_000

    async def steps(orders, server):
        nonlocal now_ns
        clock = orders._executor.clock
        clock.wall_ns = lambda: now_ns
        unknown = await submit(orders, client_order_id="cl-1")
        looks = 0

        def script(seen):
            nonlocal looks, now_ns
            looks += 1
            # The last look must start after the window: the clock jumps while look 5 is answered.
            now_ns += 10_000_000 if looks < 5 else 20_000_000_000
            return NONE

        server.script = script
        outcome = await orders.resolve(unknown, pause_s=0, expiry_ms=45)
        assert isinstance(outcome, Rejected)
        return looks

    assert play(lambda seen: CLOSE, steps) == 6


def test_the_window_is_the_endpoints():
    assert Endpoint.at("http://x").expiry_ms == 11_000
    assert Endpoint.at("http://x", recv_window_s=5).expiry_ms == 6000


def test_resolve_needs_something_to_ask_for():
    async def steps(orders, server):
        unknown = Unknown(NotFound(None), "BTC_USDT", "cl-1")
        for bad, more in ((Unknown(NotFound(None)), {}), (unknown, {"asks": 1})):
            with pytest.raises(IntentError):
                await orders.resolve(bad, **more)

    play(None, steps)


def test_cancel():
    items = [{"orderId": "1", "errorCode": 0}, {"orderId": "2", "errorCode": 2041}]
    named = [{"orderId": 1, "errorCode": 0}, {"orderId": 0, "errorCode": 2040}]

    def script(seen):
        return success(named if "external" in seen.target else items)

    async def steps(orders, server):
        by_id = await orders.cancel([2, 1, 3])
        by_name = await orders.cancel(["a", "b"], "BTC_USDT")
        return by_id, by_name, [(seen.target.rsplit("/", 1)[1], seen.body)
                                for seen in server.seen]

    by_id, by_name, sent = play(script, steps)
    assert [type(outcome) for outcome in by_id] == [Rejected, Accepted, Unknown]
    assert [outcome.order_id for outcome in by_id] == [2, 1, 3]
    assert [type(outcome) for outcome in by_name] == [Accepted, Rejected]
    assert [outcome.client_order_id for outcome in by_name] == ["a", "b"]
    assert sent == [("cancel", b"[2,1,3]"), (
        "batch_cancel_with_external",
        b'[{"symbol":"BTC_USDT","externalOid":"a"},{"symbol":"BTC_USDT","externalOid":"b"}]')]


def test_cancel_all_and_amend():
    def script(seen):
        return reply(ABSENT) if "cancel_all" in seen.target else success("18")

    async def steps(orders, server):
        assert await orders.cancel_all("BTC_USDT") == Accepted("BTC_USDT")
        assert await orders.cancel_all() == Accepted()
        amended = await orders.amend("BTC_USDT", 17, "84010", 8)
        assert isinstance(amended, Accepted)
        assert amended.order_id == 18, "the replacement"
        return [seen.body for seen in server.seen]

    assert play(script, steps) == [b'{"symbol":"BTC_USDT"}', b'{"symbol":""}',
                                   b'{"orderId":17,"price":84010,"vol":8}']


def test_reads():
    fill = {"id": "1", "symbol": "BTC_USDT", "side": 1, "vol": 1, "price": 84000, "fee": 0.1,
            "feeCurrency": "USDT", "orderId": "17", "timestamp": 1789000000000, "taker": True}
    position = {"positionId": 1, "symbol": "BTC_USDT", "positionType": 1, "openType": 1,
                "state": 1, "holdVol": 5}
    page = {"pageSize": 20, "totalCount": 1, "totalPage": 1, "currentPage": 1}

    def script(seen):
        path = seen.target.split("?")[0]
        if path.endswith("/detail"):
            return reply(BTC_DETAIL)
        if path.endswith("/assets"):
            return success([{"currency": "USDT", "availableBalance": 32.80984793658}])
        if path.endswith("/open_positions"):
            return success([position])
        if path.endswith("/v3"):
            return success([fill])
        if path.endswith("/99"):
            return reply(b'{"success":false,"code":1001,"message":"x"}')
        if "/get/" in path or "/external/" in path:
            return success(order_json())
        return success({**page, "resultList": [order_json()]})

    async def steps(orders, server):
        await orders.load_contracts()
        assert list(orders.contracts) == ["BTC_USDT"]
        assert (await orders.get(17)).order_id == 17
        assert (await orders.get_by_client_id("BTC_USDT", "cl-1")).client_order_id == "cl-1"
        with pytest.raises(NotFound):
            await orders.get(99)
        assert len(await orders.open("BTC_USDT")) == 1
        assert len(await orders.history("BTC_USDT", states=[OrderState.FILLED],
                                        start_ms=1789000000000)) == 1
        assert (await orders.fills("BTC_USDT"))[0].is_taker
        assert str((await orders.balances())[0].available) == "32.80984793658"
        assert (await orders.positions())[0].quantity == 5
        return server.seen[5].target.split("?")[1]

    assert play(script, steps) == (
        "page_num=1&page_size=100&startTime=1789000000000&states=3&symbol=BTC_USDT")

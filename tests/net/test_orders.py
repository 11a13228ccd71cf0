"""net/orders: what users call, and what is kept until an order's fate is proven."""

from __future__ import annotations

import asyncio
import dataclasses
import gc
import json

import pytest

import mexcfast as mx
from mexcfast.core.account import Kind, Read
from mexcfast.core.intent import RiskLimits
from mexcfast.core.rest import Endpoint
from mexcfast.core.sign import Signer
from mexcfast.core.tracker import Phase
from mexcfast.errors import ConfigError, IntentError, JournalError, NotFound
from mexcfast.net.clock import Clock
from mexcfast.net.executor import Executor
from mexcfast.net.journal import Journal
from mexcfast.net.orders import Orders
from mexcfast.types import Accepted, OrderState, OrderType, Rejected, Side, Unknown
from models.contracts import BTC, BTC_DETAIL
from net.scripted_server import CLOSE, HANG, Server, reply

pytestmark = pytest.mark.usefixtures("path")      # both ways of order entry

OK = b'{"success":true,"code":0,"data":{"orderId":"17","ts":1779799999123}}'
ABSENT = b'{"success":true,"code":0}'


def order_json(**changes):
    return {"orderId": "17", "symbol": "BTC_USDT", "price": 84000, "vol": 10, "leverage": 20,
            "side": 1, "category": 1, "orderType": 1, "dealAvgPrice": 0, "dealVol": 0,
            "openType": 1, "state": 2, "externalOid": "cl-1", "errorCode": 0,
            "createTime": 1789000000000, "updateTime": 1789000000001, **changes}


def success(data):
    return reply(json.dumps({"success": True, "code": 0, "data": data}).encode())


def play(script, steps, clock=None, **settings):
    async def main():
        async with Server(script) as server:
            settings.setdefault("limits", {"order_place": (100, 1)})
            endpoint = Endpoint.at(server.url, margin_ms=0, **settings)
            async with Executor(endpoint, Signer("mxkey", "a-secret"), clock) as executor:
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
                     orders.cancel(["a"]), orders.cancel([0]),
                     orders.cancel(["x" * 33], "BTC_USDT")):
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

    def __init__(self, *looks, **listed):
        self.looks = list(looks)
        self.listed = listed
        self.scans = 0

    def __call__(self, seen):
        if seen.method == "POST":
            return CLOSE
        if "/list/" in seen.target:
            self.scans += 1
            return self.listed.get(seen.target.split("?")[0].rsplit("/", 1)[1], success([]))
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


@pytest.mark.parametrize("where", ["open_orders", "history_orders"])
def test_an_order_that_only_a_list_shows_is_not_absent(where):
    async def steps(orders, server):
        unknown = await submit(orders, client_order_id="cl-1")
        return await orders.resolve(unknown, pause_s=0, expiry_ms=-60_000)

    fate = Fate(NONE, NONE, NONE, **{where: success([order_json(externalOid="x"), order_json()])})
    outcome = play(fate, steps)
    assert isinstance(outcome, Accepted) and outcome.order_id == 17
    assert fate.scans == 2


def test_a_list_that_cannot_be_read_proves_nothing():
    async def steps(orders, server):
        unknown = await submit(orders, client_order_id="cl-1")
        outcome = await orders.resolve(unknown, pause_s=0, expiry_ms=-60_000)
        assert isinstance(outcome, Unknown) and len(orders.unresolved) == 1

    play(Fate(NONE, NONE, NONE, history_orders=reply(b"x")), steps)


def test_absence_is_no_proof_before_the_request_expired():
    now_ns = 1_789_000_000_000_000_000

    async def steps(orders, server):
        unknown = await submit(orders, client_order_id="cl-1")
        looks = 0

        def script(seen):
            nonlocal looks, now_ns
            if "/list/" in seen.target:
                return success([])
            looks += 1
            # The last look must start after the window: the clock jumps while look 5 is answered.
            now_ns += 10_000_000 if looks < 5 else 20_000_000_000
            return NONE

        server.script = script
        outcome = await orders.resolve(unknown, pause_s=0, expiry_ms=45)
        assert isinstance(outcome, Rejected)
        return looks

    assert play(lambda seen: CLOSE, steps, clock=Clock(lambda: now_ns)) == 6


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


# -- duplicates, doubts and the queue ------------------------------------------------------------

@pytest.mark.parametrize("code", [603, 2042])
def test_a_refusal_as_duplicate_is_doubt(code):
    def script(seen):
        if seen.method == "POST":
            return reply(b'{"success":false,"code":%d,"message":"x"}' % code)
        return FOUND

    async def steps(orders, server):
        outcome = await submit(orders, client_order_id="cl-1")
        assert isinstance(outcome, Unknown) and outcome.ts_sent_ms is not None
        assert isinstance(await orders.resolve(outcome), Accepted)
        assert orders.find("cl-1").phase is Phase.OPEN

    play(script, steps)


def test_what_the_stream_has_shown_is_not_unknown():
    async def steps(orders, server):
        def script(seen):
            orders.feed.on_event(mx.parse_frame(json.dumps({
                "channel": "push.personal.order", "data": order_json(), "ts": 1})))
            return CLOSE

        server.script = script
        outcome = await submit(orders, client_order_id="cl-1")
        assert isinstance(outcome, Accepted) and outcome.order_id == 17
        assert not orders.unresolved

    play(None, steps)


def test_a_push_settles_a_doubt_at_once():
    async def steps(orders, server):
        settled = []
        orders.on_settled.append(settled.append)
        outcome = await submit(orders, client_order_id="cl-1")
        assert isinstance(outcome, Unknown)
        waiting = asyncio.create_task(orders.find("cl-1").known())
        await asyncio.sleep(0)
        orders.feed.on_event(mx.parse_frame(json.dumps({
            "channel": "push.personal.order.deal", "data": {
                "id": "1", "symbol": "BTC_USDT", "side": 1, "vol": 10, "price": 84000, "fee": 0,
                "orderId": "17", "timestamp": 1, "externalOid": "cl-1"}, "ts": 1})))
        assert await waiting is Phase.FILLED
        assert not orders.unresolved and settled[0].order_id == 17

    play(lambda seen: CLOSE, steps)


def test_an_id_is_free_again_only_after_proof():
    async def steps(orders, server):
        await submit(orders, client_order_id="cl-1")
        with pytest.raises(IntentError, match="waiting for its fate"):
            await submit(orders, client_order_id="cl-1")
        server.script = lambda seen: success([]) if "/list/" in seen.target else NONE
        gone = await orders.resolve(orders.unresolved[0], pause_s=0, expiry_ms=-60_000)
        assert isinstance(gone, Rejected)
        server.script = lambda seen: reply(OK)
        assert isinstance(await submit(orders, client_order_id="cl-1"), Accepted)
        with pytest.raises(IntentError):
            await submit(orders, client_order_id="cl-1")

    play(lambda seen: CLOSE, steps)


def test_cancels_at_the_same_time_leave_together():
    def script(seen):
        ids = json.loads(seen.body)
        return success([{"orderId": item, "errorCode": 0} for item in ids])

    async def steps(orders, server):
        calls = [orders.cancel([number]) for number in range(1, 61)] + [orders.cancel([1, 2])]
        outcomes = await asyncio.gather(*calls)
        assert all(isinstance(each, Accepted) for some in outcomes for each in some)
        assert [outcome.order_id for outcome in outcomes[-1]] == [1, 2]
        return [len(json.loads(seen.body)) for seen in server.seen]

    assert play(script, steps) == [50, 10]


def test_cancels_wait_for_their_slot_or_say_so():
    def script(seen):
        return success([{"orderId": item, "errorCode": 0} for item in json.loads(seen.body)])

    async def steps(orders, server):
        orders._executor.endpoint = dataclasses.replace(
            orders._executor.endpoint, limits={"cancel": (1, 1000)})   # a slow machine
        first = await orders.cancel([1])
        refused = await orders.cancel([2], wait=False)
        waiting = [asyncio.create_task(orders.cancel([number])) for number in (3, 4)]
        await asyncio.sleep(0.01)
        assert [queued.lane.name for queued in orders.queue] == ["CANCEL"]
        waiting[0].cancel()
        late = await waiting[1]
        return first, refused, late, [seen.body for seen in server.seen]

    first, refused, late, sent = play(script, steps)
    assert refused[0].reason == "BudgetSpent" and isinstance(late[0], Accepted)
    assert isinstance(first[0], Accepted) and sent == [b"[1]", b"[3,4]"]


def test_a_bad_id_spoils_nobody_elses_cancel():
    async def steps(orders, server):
        good = asyncio.create_task(orders.cancel([1]))
        with pytest.raises(IntentError):
            await orders.cancel([-1])
        return await good

    outcome, = play(lambda seen: success([{"orderId": 1, "errorCode": 0}]), steps)
    assert isinstance(outcome, Accepted)


def test_submit_nowait_gives_the_order_at_once():
    async def steps(orders, server):
        told = []
        order = orders.submit_nowait("BTC_USDT", Side.OPEN_LONG, 10, 84000, leverage=20,
                                     callback=told.append)
        assert order.phase is Phase.SENT and not server.seen and orders.open_orders() == (order,)
        with pytest.raises(IntentError):
            orders.submit_nowait("BTC_USDT", Side.OPEN_LONG, 10, "84000.05", leverage=20,
                                 callback=told.append)
        assert await order.known() is Phase.OPEN
        await asyncio.sleep(0)
        assert [type(outcome) for outcome in told] == [Accepted] and order.order_id == 17
        refused = orders.submit_nowait("BTC_USDT", Side.OPEN_LONG, 10, 84000, leverage=20,
                                       callback=told.append)
        server.script = lambda seen: reply(b'{"success":false,"code":2005}')
        assert await refused.done() is Phase.REJECTED
        await orders.close()
        assert isinstance(told[1], Rejected)

    play(lambda seen: reply(OK), steps)


def test_submit_nowait_leaves_during_the_call_when_nothing_stands_in_its_way(path):
    async def steps(orders, server):
        await orders._executor.warm_up()
        told = []
        order = orders.submit_nowait("BTC_USDT", Side.OPEN_LONG, 10, 84000, leverage=20,
                                     callback=told.append)
        assert (order.ts_sent_ms is not None) == (path == "auto")
        assert orders._executor.free("create") == (99 if path == "auto" else 100)
        await orders.close()
        assert [type(outcome) for outcome in told] == [Accepted]
        assert order.phase is Phase.OPEN
        assert orders._executor.doubt_until_ms == 0

    play(lambda seen: reply(OK), steps, limits={"order_place": (100, 60_000)})


def test_a_journal_that_cannot_be_written_sends_nothing(tmp_path):
    async def steps(orders, server):
        journal = orders.journal = Journal(tmp_path / "orders")
        journal.open("mxkey", 1, lambda: 0)
        await orders._executor.warm_up()
        journal.close()
        told = []
        order = orders.submit_nowait("BTC_USDT", Side.OPEN_LONG, 10, 84000, leverage=20,
                                     callback=told.append)
        while not told:  # noqa: ASYNC110
            await asyncio.sleep(0.001)
        assert isinstance(told[0], Rejected) and isinstance(told[0].error, JournalError)
        with pytest.raises(JournalError):
            await submit(orders)
        assert order.phase is Phase.REJECTED and orders.open_orders() == ()
        assert orders.unresolved == () and not server.seen
        journal.open("mxkey", 1, lambda: 0)
        assert isinstance(await submit(orders), Accepted)       # its connection was given back
        assert not journal.ledger.unsettled
        journal.close()

    play(lambda seen: reply(OK), steps)


@pytest.mark.parametrize("answer", [CLOSE, HANG], ids=["closed", "cancelled"])
def test_a_call_over_a_warm_connection_that_gets_no_answer_is_a_doubt(answer):
    async def steps(orders, server):
        assert isinstance(await submit(orders), Accepted)
        arrived = asyncio.Event()
        server.script = lambda seen: (arrived.set(), answer)[1]
        task = asyncio.create_task(submit(orders, client_order_id="cl-1"))
        await arrived.wait()
        if answer is HANG:
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        else:
            assert isinstance(await task, Unknown)
        unresolved, = orders.unresolved
        assert unresolved.client_order_id == "cl-1" and unresolved.ts_sent_ms is not None
        assert orders._executor.doubt_until_ms > 0
        server.script = lambda seen: reply(OK)
        assert isinstance(await submit(orders), Accepted)
        return len(server.seen)

    assert play(lambda seen: reply(OK), steps) == 3


def test_a_callback_that_raises_stops_nothing(caplog):
    async def steps(orders, server):
        orders.on_change.append(lambda order: 1 / 0)
        assert isinstance(await submit(orders), Accepted)

    play(lambda seen: reply(OK), steps)
    assert "callback" in caplog.text and "ZeroDivisionError" in caplog.text


def test_limits_are_checked_before_anything_leaves():
    async def steps(orders, server):
        orders.limits = RiskLimits(max_notional=100, max_open_orders=2, max_position=15)
        with pytest.raises(IntentError, match="notional is '168'"):
            await orders.submit("BTC_USDT", Side.OPEN_LONG, 20, 84000, leverage=20)
        with pytest.raises(IntentError, match="position is None"):
            await submit(orders)
        orders.mirror.settle([Read(Kind.POSITION, (), 1, 1)])
        orders.feed.on_event(mx.parse_frame(json.dumps({
            "channel": "push.personal.position", "ts": 1, "data": {
                "positionId": 1, "symbol": "BTC_USDT", "positionType": 1, "openType": 1,
                "state": 1, "holdVol": 3, "updateTime": 5}})))
        assert isinstance(await submit(orders), Accepted)
        with pytest.raises(IntentError, match="position is '23'"):
            await submit(orders)
        with pytest.raises(IntentError, match="own order at 84000"):
            await orders.submit("BTC_USDT", Side.OPEN_SHORT, 1, 84000, leverage=20)
        assert len(server.seen) == 1 and len(orders.open_orders()) == 1

    play(lambda seen: reply(OK), steps)


def test_a_batch_is_judged_order_by_order():
    items = [{"orderId": "1", "errorCode": 0, "externalOid": "a"},
             {"orderId": None, "errorCode": 2005, "externalOid": "b"},
             {"orderId": None, "errorCode": 500, "externalOid": "c"}]

    async def steps(orders, server):
        intents = [orders.intent("BTC_USDT", 1, 1, 84000, leverage=2, client_order_id=name)
                   for name in "abc"]
        outcomes = await orders.submit_batch(intents)
        assert [type(outcome) for outcome in outcomes] == [Accepted, Rejected, Unknown]
        assert [unknown.client_order_id for unknown in orders.unresolved] == ["c"]
        for bad in ([], intents):
            with pytest.raises(IntentError):
                await orders.submit_batch(bad)
        return json.loads(server.seen[0].body)

    sent = play(lambda seen: success(items), steps)
    assert [order["externalOid"] for order in sent] == ["a", "b", "c"]

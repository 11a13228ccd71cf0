"""The truth over the control endpoint, the place in the queue, and what bounds the memory."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

from mexcfast.sim import Exchange
from mexcfast.sim.conditional import MOST_KEPT
from sim.offline import World
from sim.sim_support import Client, play

SYMBOL = "BTC_USDT"


async def get(client: Client, path: str) -> Any:
    status, reply = await client.raw("GET", "/sim/" + path)
    assert status == 200, reply
    return reply["data"]


async def post(client: Client, name: str, **body: Any) -> Any:
    status, reply = await client.raw("POST", "/sim/" + name, json.dumps(body))
    assert status == 200, reply
    return reply["data"]


def test_an_order_is_told_with_its_history_and_its_place() -> None:
    async def scene(venue: Exchange, client: Client) -> None:
        bid = venue.book(SYMBOL).bids[0]
        placed = await client.order(price=str(bid[0]), vol=7)
        number = placed["data"]["orderId"]
        told = await get(client, f"order/{number}")
        assert told["ahead"] == {"contracts": bid[1], "orders": bid[2]}
        assert [one["state"] for one in told["history"]] == [2]
        assert await post(client, "trade", symbol=SYMBOL, side="sell", volume=bid[1] + 3)
        told = await get(client, f"order/{number}")
        assert told["ahead"] == {"contracts": 0, "orders": 0}
        assert told["order"]["dealVol"] == 3
        await client.post("order/cancel", [int(number)])
        told = await get(client, f"order/{number}")
        assert told["ahead"] is None
        truth = venue.venue.order_history(number)
        assert [(one["version"], one["state"], one["dealVol"]) for one in told["history"]] == [
            (one.version, one.state, one.deal_vol) for one in truth
        ] == [(1, 2, 0), (2, 2, 3), (3, 4, 3)]  # fmt: skip
        for bad in ("order/5", "order/x", "account?access_key=who"):
            assert (await client.raw("GET", "/sim/" + bad))[0] == 400

    play(scene)


def test_accounts_are_opened_and_told() -> None:
    async def scene(venue: Exchange, client: Client) -> None:
        await client.order(price=str(venue.book(SYMBOL).bids[3][0]), vol=7)
        await client.order(type=5, vol=4)
        state = venue.venue.account_state(venue.account)
        told = await get(client, "account")
        assert told["cash"] == {name: str(amount) for name, amount in state.cash.items()}
        assert Decimal(told["frozen"]["USDT"]) == state.frozen["USDT"] > 0
        assert Decimal(told["equity"]["USDT"]) == state.equity["USDT"]
        assert [one["holdVol"] for one in told["positions"]] == [4]
        assert [one["vol"] for one in told["open_orders"]] == [7]
        await post(client, "account", access_key="b", secret="bs", balance=12)
        assert (await get(client, "account?access_key=b"))["cash"] == {"USDT": "12"}
        total = await get(client, "money")
        assert total == {name: str(amount) for name, amount in venue.venue.money().items()}
        assert Decimal(total["USDT"]) == 100_012
        again = {"access_key": "b", "secret": "x"}
        assert (await client.raw("POST", "/sim/account", json.dumps(again)))[0] == 400

    play(scene)


def test_prices_funding_and_events_happen_on_request() -> None:
    async def scene(venue: Exchange, client: Client) -> None:
        await client.order(type=5, vol=100)
        market = venue.venue.markets[SYMBOL]
        fair = market.fair_price + 5
        told = await post(client, "prices", symbol=SYMBOL, fair=str(fair))
        assert told["fair"] == str(fair) == str(market.fair_price)
        await post(client, "funding", symbol=SYMBOL, rate="0.001")
        (paid,) = venue.account.funding
        assert paid.rate == Decimal("0.001") and paid.amount < 0
        body = {"symbol": SYMBOL, "state": 0, "funding_seconds": 3600}
        await post(client, "contract", **body)
        rate = (await client.market(f"funding_rate/{SYMBOL}"))["data"]
        assert rate["collectCycle"] == 1
        assert rate["nextSettleTime"] % 3_600_000 == 0 < rate["nextSettleTime"] - rate["timestamp"]
        assert (await post(client, "event", symbol=SYMBOL, side=1, amount=5))["positionId"]
        status, reply = await client.raw(
            "POST", "/sim/event", json.dumps({"symbol": SYMBOL, "side": 1, "amount": 1})
        )
        assert status == 400 and reply["code"] == 1004
        await post(client, "key", restriction=6026)
        assert (await client.order(type=5, vol=1))["code"] == 6026
        await post(client, "key", restriction=0, activated=False)
        assert (await client.order(type=5, vol=1))["code"] == 1000

    play(scene)


def test_funding_is_settled_by_its_cycle() -> None:
    world = World(symbols=(SYMBOL,))
    world.order(vol=10)
    market = world.venue.markets[SYMBOL]
    market.set_funding_cycle(60_000, world.now)
    world.pass_time(59_000)
    assert len(world.me.funding) == 0
    world.pass_time(1_000)
    assert len(world.me.funding) == 1
    world.pass_time(60_000)
    assert len(world.me.funding) == 2 and len(market.funding_history) == 2


def test_a_trade_with_oneself_is_marked_for_everybody() -> None:
    world = World(symbols=(SYMBOL,))
    tick = world.step_price(SYMBOL, 0)
    bid, ask = world.price(side=1), world.price(side=2)
    assert bid <= tick <= ask
    world.order(type=1, price=bid, vol=5)
    world.venue.trade(SYMBOL, 2, world.venue.markets[SYMBOL].book.ahead(
        next(iter(world.me.open_orders)))[0])  # fmt: skip
    world.order(type=3, side=3, price=bid, vol=5)
    deals = world.ask("GET", f"/api/v1/contract/deals/{SYMBOL}?limit=5")["data"]
    assert [one["M"] for one in deals][:2] == [1, 2]


def test_old_final_orders_are_forgotten() -> None:
    world = World(symbols=(SYMBOL,))
    world.venue.most_orders = 10
    kept = world.order(type=1, price=world.price(rank=9), externalOid="kept")
    numbers = [world.order(vol=1, externalOid=f"o{index}") for index in range(15)]
    assert len(world.venue.orders) == len(world.me.orders) == len(world.me.by_external) == 10
    assert int(kept) in world.venue.orders and int(numbers[-1]) in world.venue.orders
    assert int(numbers[0]) not in world.venue.orders
    assert world.get(f"order/external/{SYMBOL}/o0") == {"success": True, "code": 0}


def test_old_finished_plans_are_forgotten() -> None:
    world = World(symbols=(SYMBOL,))
    plan = {
        "symbol": SYMBOL, "vol": 1, "leverage": 20, "side": 1, "openType": 1, "orderType": 5,
        "triggerPrice": world.step_price(SYMBOL, 300), "triggerType": 1, "executeCycle": 1,
        "trend": 1,
    }  # fmt: skip
    first = world.ok("planorder/place/v2", plan)
    for _ in range(MOST_KEPT + 5):
        number = world.ok("planorder/place/v2", plan)
        world.venue.conditional.cancel(
            world.me, world.venue.conditional._all[world.me.uid][int(number)]
        )
    kept = world.venue.conditional._all[world.me.uid]
    assert len(kept) == MOST_KEPT and int(first) in kept and int(number) in kept

"""Every code of protocol.md 17 that the exchange answers, with the request that provokes it."""

from __future__ import annotations

import re
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from mexcfast.sim import Exchange, Limits
from mexcfast.sim.checks import MESSAGES
from mexcfast.sim.conditional import MOST_PLANS
from mexcfast.sim.contracts import Tier
from sim.offline import PRIVATE, World
from sim.sim_support import Client, play

CREATE = "order/create"
NOW_AND_THEN = "startTime=9&endTime=3"


def order(world: World, **changes: Any) -> Any:
    """Reply to an order that is good but for the changes."""
    body = {
        "symbol": "BTC_USDT", "price": world.price(rank=5), "vol": 10, "leverage": 20, "side": 1,
        "type": 1, "openType": 1, **changes,
    }  # fmt: skip
    return world.post(CREATE, {key: value for key, value in body.items() if value is not None})


def plan(world: World, **changes: Any) -> Any:
    """Reply to a plan order that is good but for the changes."""
    body = {
        "symbol": "BTC_USDT", "vol": 1, "leverage": 20, "side": 1, "openType": 1, "orderType": 5,
        "triggerPrice": world.step_price("BTC_USDT", 300), "triggerType": 1, "executeCycle": 1,
        "trend": 1, **changes,
    }  # fmt: skip
    return world.post("planorder/place/v2", body)


def stop(world: World, **changes: Any) -> Any:
    """Reply to a TP/SL order on a long of 10 that is good but for the changes."""
    if ("BTC_USDT", 1) not in world.me.positions:
        world.order(vol=10)
    body = {
        "positionId": world.position().id, "vol": 10, "lossTrend": 1, "profitTrend": 1,
        "stopLossPrice": world.step_price("BTC_USDT", -300), **changes,
    }  # fmt: skip
    return world.post("stoporder/place", body)


def setting(world: World, name: str, value: Any, reply: Callable[[World], Any]) -> Any:
    """Reply after an attribute of my account was set."""
    setattr(world.me, name, value)
    return reply(world)


def read(world: World) -> Any:
    return world.get("order/list/open_orders")


def unsigned(world: World, payload: bytes = b"", **headers: str) -> Any:
    """Reply to account/assets with other headers."""
    import json

    given = {**world.headers(payload), **headers}
    path = PRIVATE + "account/assets"
    return json.loads(world.rest.answer("GET", path, "", given, b"", "127.0.0.1").text)


def maintained(world: World, code: int) -> Any:
    world.faults.maintenance(code)
    return order(world)


def late(world: World) -> Any:
    return unsigned(world, **{"Request-Time": str(world.now - 60_000)})


def garbled(world: World) -> Any:
    import json

    raw = b"{"
    answer = world.rest.answer(
        "POST", PRIVATE + CREATE, "", world.headers(raw), raw, "127.0.0.1"
    )
    return json.loads(answer.text)


def repeated(world: World) -> Any:
    world.variations.repeated_603 = True
    assert order(world)["success"]  # the clock stands still: the next one is signed the same
    return order(world)


def throttled(world: World) -> Any:
    return [order(world) for _ in range(5)][-1]


def contract(world: World, **changes: Any) -> Any:
    """Reply to an order after the contract changed."""
    for name, value in changes.items():
        setattr(world.venue.markets["BTC_USDT"].contract, name, value)
    return order(world)


def small_tiers(world: World) -> None:
    rate = Decimal("0.01")
    world.venue.markets["BTC_USDT"].contract.tiers = (
        Tier(1, 20, rate, rate, 500), Tier(2, 100, rate, rate, 20),
    )  # fmt: skip


def above_tier(world: World, vol: int, leverage: int) -> Any:
    small_tiers(world)
    return order(world, vol=vol, leverage=leverage)


def leverage_above_tier(world: World) -> Any:
    world.order(vol=50)
    small_tiers(world)
    body = {"positionId": world.position().id, "leverage": 50}
    return world.post("position/change_leverage", body)


def held(world: World, path: str, **body: Any) -> Any:
    """Reply to a request about a long of 10."""
    world.order(vol=10)
    return world.post(path, {"positionId": world.position().id, **body})


def beyond_liquidation(world: World, side: int) -> Any:
    world.order(vol=10, side=1 if side == 4 else 3, leverage=200)
    band = -700 if side == 4 else 700
    return order(world, side=side, price=world.step_price("BTC_USDT", band * 10))


def waiting_leverage(world: World) -> Any:
    order(world)
    body = {"symbol": "BTC_USDT", "openType": 1, "positionType": 1, "leverage": 50}
    return world.post("position/change_leverage", body)


def twice(world: World, **changes: Any) -> Any:
    order(world, externalOid="same")
    return order(world, externalOid="same", **changes)


def filled_amend(world: World) -> Any:
    number = world.order(vol=1)
    body = {"orderId": number, "price": world.price(), "vol": 1}
    return world.post("order/change_limit_order", body)


def many_orders(world: World) -> Any:
    world.venue.markets["BTC_USDT"].contract.max_orders = (2, 2)
    return [order(world) for _ in range(3)][-1]


def many_plans(world: World) -> Any:
    return [plan(world) for _ in range(MOST_PLANS + 1)][-1]


def finished_stop(world: World) -> Any:
    number = stop(world)["data"]
    world.ok("stoporder/cancel", [{"stopPlanOrderId": number}])
    return world.post("stoporder/cancel", [{"stopPlanOrderId": number}])


def second_stop(world: World) -> Any:
    assert stop(world)["success"]
    return stop(world, stopLossPrice=world.step_price("BTC_USDT", -400))


TABLE: list[tuple[int, str, Callable[[World], Any]]] = [
    (401, "no such key", lambda w: unsigned(w, ApiKey="who")),
    (402, "key expired", lambda w: setting(w, "expired", True, read)),
    (404, "no such path", lambda w: w.get("order/nothing")),
    (406, "other address", lambda w: setting(w, "addresses", ("10.0.0.1",), read)),
    (500, "maintenance", lambda w: maintained(w, 500)),
    (510, "fifth order in two seconds", throttled),
    (511, "no access", lambda w: setting(w, "access_denied", True, read)),
    (513, "a minute late", late),
    (600, "no volume", lambda w: order(w, vol=None)),
    (601, "half a body", garbled),
    (602, "wrong signature", lambda w: unsigned(w, Signature="0" * 64)),
    (603, "the same bytes again", repeated),
    (604, "maintenance", lambda w: maintained(w, 604)),
    (701, "no A", lambda w: setting(w, "permissions", frozenset("O"), lambda w: unsigned(w))),
    (703, "no O", lambda w: setting(w, "permissions", frozenset("A"), read)),
    (704, "no T", lambda w: setting(w, "permissions", frozenset("AO"), order)),
    (801, "maintenance", lambda w: maintained(w, 801)),
    (1000, "not activated", lambda w: setting(w, "activated", False, read)),
    (1001, "unknown contract", lambda w: order(w, symbol="NOPE_USDT")),
    (1002, "closed to the API", lambda w: contract(w, api_allowed=False)),
    (1004, "no amount", lambda w: held(w, "position/change_margin", amount=0, type="ADD")),
    (2001, "side 5", lambda w: order(w, side=5)),
    (2002, "openType 3", lambda w: order(w, openType=3)),
    (2003, "bid above the band", lambda w: order(w, price=99_000)),
    (2004, "ask below the band", lambda w: order(w, side=3, price=70_000)),
    (2005, "too poor", lambda w: order(w, vol=2_400_000, leverage=1)),
    (2006, "leverage 1000", lambda w: order(w, leverage=1000)),
    (2007, "price 0", lambda w: order(w, price=0)),
    (2008, "closes 11 of 10", lambda w: (w.order(), order(w, side=4, vol=11))[1]),
    (2009, "nothing to close", lambda w: order(w, side=4)),
    (2011, "half a contract", lambda w: order(w, vol=0.5)),
    (2013, "51 cancels", lambda w: w.post("order/cancel", [1] * 51)),
    (2014, "51 orders", lambda w: w.post("order/submit_batch", [{}] * 51)),
    (2015, "between ticks", lambda w: order(w, price="84000.05")),
    (2016, "too many plans", many_plans),
    (2018, "margin needed", lambda w: held(w, "position/change_margin", amount=3, type="SUB")),
    (2019, "waiting order, other leverage", waiting_leverage),
    (2021, "other leverage", lambda w: (w.order(), order(w, leverage=21))[1]),
    (2022, "positionType 3", lambda w: w.post("position/change_leverage", {
        "symbol": "BTC_USDT", "openType": 1, "positionType": 3, "leverage": 5})),
    (2025, "position too large", leverage_above_tier),
    (2027, "cross beside isolated", lambda w: (w.order(), order(w, openType=2))[1]),
    (2028, "too many contracts", lambda w: order(w, vol=2_500_001)),
    (2029, "type 7", lambda w: order(w, type=7)),
    (2030, "long client id", lambda w: order(w, externalOid="x" * 33)),
    (2031, "above the tier of the leverage", lambda w: above_tier(w, 21, 50)),
    (2032, "long closed below liquidation", lambda w: beyond_liquidation(w, 4)),
    (2033, "short closed above liquidation", lambda w: beyond_liquidation(w, 2)),
    (2034, "51 ids", lambda w: w.get("order/batch_query?order_ids=" + "%2C".join(["1"] * 51))),
    (2036, "too many orders", many_orders),
    (2038, "above every tier", lambda w: above_tier(w, 101, 20)),
    (2040, "unknown order", lambda w: w.post("order/chase_limit_order", {"orderId": 5})),
    (2041, "amend a filled order", filled_amend),
    (2042, "client id twice", twice),
    (2043, "other position mode", lambda w: order(w, positionMode=2)),
    (3001, "trend 4", lambda w: plan(w, trend=4)),
    (3002, "triggerType 3", lambda w: plan(w, triggerType=3)),
    (3003, "executeCycle 3", lambda w: plan(w, executeCycle=3)),
    (3004, "trigger between ticks", lambda w: plan(w, triggerPrice="84000.05")),
    (4001, "no such currency", lambda w: w.get("account/asset/NOPE")),
    (5001, "neither price", lambda w: stop(w, stopLossPrice=0)),
    (5002, "finished", finished_stop),
    (5003, "stop above a long", lambda w: stop(w, stopLossPrice=w.step_price("BTC_USDT", 9))),
    (5004, "more than held", second_stop),
    (6001, "trading forbidden", lambda w: setting(w, "restriction", 6001, order)),
    (6002, "opening forbidden", lambda w: setting(w, "restriction", 6002, order)),
    (6003, "ends before it starts", lambda w: w.get("order/list/history_orders?" + NOW_AND_THEN)),
    (6004, "no states", lambda w: w.get("trackorder/list/orders")),
    (6005, "paused", lambda w: contract(w, state=4)),
    (6026, "opening blocked", lambda w: setting(w, "restriction", 6026, order)),
    (8817, "always", lambda w: w.post("account/change_risk_level")),
    (11444, "feature unavailable", lambda w: maintained(w, 11444)),
]  # fmt: skip

#: Codes that no request earns by itself, and why; faults.refuse() answers them. The same table
#: stands in docs/sim.md.
WITHOUT_REQUEST = {
    400: "600, 601 and 602 say what is wrong",
    403: "the firewall answers HTML: `html`, `ban`",
    429: "throttling is 510; HTTP 429: `http_status`",
    501: "nothing says when the venue is busy",
    503: "HTTP 503: `http_status`",
    504: "HTTP 504: `http_status`",
    506: "what a source is, nobody tells",
    702: "no documented request needs that permission",
    1003: "only change_risk_level took a level, which is 8817 now",
    2012: "one client's name for 2011",
    2023: "8817: tiers cannot be chosen any more; 2025 guards the position",
    2024: "8817 again; 2019 guards waiting orders",
    2026: "the leverage of cross positions can be changed today",
    2035: "no request of today has market price levels",
    2037: "510 is what budgets answer",
    9999: "nothing says what it stands for",
    200005: "identity checks do not exist here",
    200006: "identity checks do not exist here",
    300000: "regions do not exist here",
    300001: "regions do not exist here",
}
#: Every error code of protocol.md 17: the column, and the identity codes of its last row.
SECTION_17 = {
    9999, 400, 401, 402, 403, 404, 406, 429, 500, 501, 503, 504, 506, 510, 511, 513, 600, 601, 602,
    603, 604, 701, 702, 703, 704, 801, *range(1000, 1005), *range(2001, 2010), 2011, 2012, 2013,
    2014, 2015, 2016, 2018, 2019, *range(2021, 2039), 2040, 2041, 2042, 2043, *range(3001, 3005),
    4001, *range(5001, 5005), *range(6001, 6006), 6026, 8817, 11444, 200005, 200006, 300000, 300001,
}  # fmt: skip
DOCS = Path(__file__).parents[2] / "docs" / "sim.md"


@pytest.mark.parametrize(("code", "why", "provoke"), TABLE, ids=[str(row[0]) for row in TABLE])
def test_code(code: int, why: str, provoke: Callable[[World], Any]) -> None:
    limits = Limits() if code == 510 else None
    world = World(symbols=("BTC_USDT",), limits=limits)
    total = world.venue.total_money()
    reply = provoke(world)
    assert (reply["success"], reply["code"]) == (False, code), (why, reply)
    assert reply["message"] and "data" not in reply
    assert world.venue.total_money() == total


def test_the_table_is_complete() -> None:
    earned = [row[0] for row in TABLE]
    assert sorted([*earned, *WITHOUT_REQUEST]) == sorted(MESSAGES)
    assert set(MESSAGES) == SECTION_17


def test_the_documentation_names_the_codes_without_a_request() -> None:
    told = {
        int(code): reason.strip()
        for codes, reason in re.findall(r"^\| ([\d, ]+) \| (.+?) \|$", DOCS.read_text(), re.M)
        for code in codes.split(",")
    }
    assert told == WITHOUT_REQUEST


@pytest.mark.parametrize("after", [False, True])
def test_every_code_can_be_answered(after: bool) -> None:
    """By the fault `refuse`, in place of the true answer or after it was executed."""

    async def scene(venue: Exchange, client: Client) -> None:
        price = str(venue.book("BTC_USDT").bids[5][0])
        for code in sorted(SECTION_17):
            venue.faults.refuse(CREATE, code, after_execute=after)
            reply = await client.order(price=price, externalOid=f"o{code}")
            assert (reply["success"], reply["code"], reply["message"]) == (
                False, code, MESSAGES[code][0]
            )  # fmt: skip
            assert (f"o{code}" in venue.account.by_external) is after
            venue.venue.cancel_all(venue.account, None)

    play(scene)


def test_a_run_of_refusals_blocks_opening() -> None:
    world = World(symbols=("BTC_USDT",))
    world.limits.failing_orders = (3, 2.0, 10.0)
    world.order(vol=10)
    for _ in range(3):
        world.now += 100
        assert order(world, vol=0)["code"] == 2011
    assert order(world)["code"] == 6026
    assert order(world, side=4, type=5, vol=5)["code"] == 0  # closing goes on
    world.now += 10_000
    assert order(world)["code"] == 0
    for _ in range(3):  # too slow to count as a run
        world.now += 1_500
        assert order(world, vol=0)["code"] == 2011
    assert order(world)["code"] == 0


def test_restrictions_leave_closing_alone() -> None:
    world = World(symbols=("BTC_USDT",))
    world.order(vol=10)
    world.me.restriction = 6026
    assert order(world, side=4, type=5, vol=5)["code"] == 0
    world.me.restriction = 6001
    assert order(world, side=4, type=5, vol=5)["code"] == 6001


def test_checks_come_in_the_order_of_18_1() -> None:
    """A request with every mistake earns them one by one as they are mended."""
    world = World(symbols=("BTC_USDT",))
    small_tiers(world)
    world.venue.markets["BTC_USDT"].contract.max_orders = (0, 0)
    body: dict[str, Any] = {
        "symbol": "NOPE_USDT", "price": "99000.05", "vol": 3_000_000, "leverage": 1000, "side": 9,
        "type": 9, "openType": 9, "externalOid": "x" * 33, "positionMode": 2, "takeProfitPrice": 1,
        "profitTrend": 4,
    }  # fmt: skip
    world.me.cash["USDT"] = Decimal(0)
    mended: list[tuple[int, dict[str, Any]]] = [
        (2001, {"side": 1}),
        (2002, {"openType": 1}),
        (2029, {"type": 1}),
        (2030, {"externalOid": "x"}),
        (3001, {"profitTrend": 1}),
        (1001, {"symbol": "BTC_USDT"}),
        (2015, {"price": 99_000}),
        (2028, {"vol": 99}),
        (2003, {"price": str(world.price(rank=3))}),
        (2043, {"positionMode": 1}),
        (2006, {"leverage": 50}),
        (5003, {"takeProfitPrice": 90_000}),
        (2031, {"leverage": 20}),
    ]
    for code, change in mended:
        assert world.post(CREATE, body)["code"] == code
        body.update(change)
    assert world.post(CREATE, body)["code"] == 2005
    world.me.cash["USDT"] = Decimal(1_000_000)
    assert world.post(CREATE, body)["code"] == 2036
    world.venue.markets["BTC_USDT"].contract.max_orders = (1, 1)
    assert world.post(CREATE, body)["code"] == 0

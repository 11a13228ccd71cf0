"""Every private channel of protocol.md 9 is pushed when its event happens, in the sample's form.

One long story makes everything happen once; tests/data/ws_private.jsonl says how a push looks.
"""

from __future__ import annotations

import json
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from mexcfast.sim.accounts import Account
from sim.offline import START_MS, World
from sim.test_sim_vectors import kind

SAMPLES = [
    json.loads(line, parse_float=Decimal)
    for line in (Path(__file__).parents[1] / "data" / "ws_private.jsonl")
    .read_text(encoding="utf-8")
    .splitlines()
]
PERSONAL = "push.personal."
#: Channels never pushed, and why.
UNPUSHED = {
    "something.new": "a made-up channel",
}
#: Samples not compared, and why.
SKIPPED = {
    "plan_order_wrong_body_docs": "a deduction record printed under this channel by mistake",
}
#: Keys of one sample that other samples of the channel do not have: optional.
OPTIONAL = {
    "order_docs2026": {"takeProfitPrice", "stopLossPrice"},
    "order_deal_maker_rebate": {"isTaker", "opponentUid"},
    "plan_order_executed": set[str](),
}


def wire(value: Any) -> Any:
    """Data as a client reads it."""
    from mexcfast.sim.wire import dumps

    return json.loads(dumps(value), parse_float=Decimal)


@cache
def story() -> dict[str, list[Any]]:
    """Data of all pushes by channel."""
    world = World()
    venue, me = world.venue, world.me
    venue.desk.change_leverage_mode(me, 2)
    world.ok("position/change_position_mode", {"positionMode": 2})
    world.ok("position/change_position_mode", {"positionMode": 1})
    venue.desk.grant_bonus(me, "USDT", Decimal(100), START_MS + 1000)
    world.pass_time(2000)
    world.order(symbol="ETH_USDT", side=1, type=1, price=world.price("ETH_USDT", 1, 3), vol=4,
                stopLossPrice=2000, takeProfitPrice=3000)  # fmt: skip
    venue.trade("ETH_USDT", 2, 5000)  # fills it: TP/SL on the position
    plan = {
        "symbol": "BTC_USDT", "vol": 3, "leverage": 50, "side": 1, "openType": 1, "orderType": 5,
        "triggerPrice": world.last(), "triggerType": 1, "executeCycle": 1, "trend": 1,
    }  # fmt: skip
    world.ok("planorder/place/v2", plan)
    limited = {**plan, "orderType": 1, "price": world.price(rank=9), "triggerType": 2,
               "triggerPrice": world.step_price("BTC_USDT", -3000), "trend": 2}  # fmt: skip
    world.ok("planorder/place/v2", limited)
    track = {
        "symbol": "DOGE_USDT", "leverage": 2, "side": 3, "vol": 100, "openType": 1, "trend": 1,
        "backType": 1, "backValue": "0.02", "positionMode": 1,
    }  # fmt: skip
    world.ok("trackorder/cancel", {"trackOrderId": world.ok("trackorder/place", track)})
    world.order(side=3, type=2, price=world.price())  # post only that would cross
    filled = world.order(vol=20, side=3)
    world.ok("order/chase_limit_order", {"orderId": filled})
    short = world.position("BTC_USDT", 2)
    world.ok("position/reverse", {"symbol": "BTC_USDT", "positionId": short.id, "vol": 20})
    stop = {
        "positionId": world.position("ETH_USDT").id, "vol": 2, "volType": 2, "lossTrend": 2,
        "profitTrend": 2,
        "stopLossPrice": world.step_price("ETH_USDT", -900), "takeProfitPrice": 3000,
    }  # fmt: skip
    world.ok("stoporder/place", stop)
    world.mark("ETH_USDT", world.step_price("ETH_USDT", -901))
    leverage = {"symbol": "ARB_USDT", "openType": 1, "positionType": 1, "leverage": 50}
    world.ok("position/change_leverage", leverage)
    world.order(symbol="ARB_USDT", vol=5, leverage=50)
    arb = world.position("ARB_USDT")
    price = world.last("ARB_USDT")
    world.mark("ARB_USDT", price * Decimal("1.03"))  # profit: ADL level
    world.mark("ARB_USDT", (arb.liquidation_price() * 49 + price) / 50)  # warning
    world.mark("ARB_USDT", arb.liquidation_price() * Decimal("0.99"))
    world.order(symbol="DOGE_USDT", vol=5)
    for market in venue.markets.values():
        market.contract.state = 4
    world.ok("position/close_all")
    venue.events.open(me, venue.markets["ETH_USDT"], 1, Decimal(5), seconds=1)
    found: dict[str, list[Any]] = {}
    for _, channel, data in world.pushes.all:
        found.setdefault(channel, []).append(wire(data))
    return found


def pushes() -> list[tuple[str, str, Any]]:
    """(name, channel, data) of the samples that the server sends."""
    return [
        (one["name"], one["frame"]["channel"].removeprefix(PERSONAL), one["frame"].get("data"))
        for one in SAMPLES
        if one["frame"].get("channel", "").startswith(PERSONAL)
    ]


@pytest.mark.parametrize(("name", "channel", "data"), pushes(), ids=[one[0] for one in pushes()])
def test_push_has_the_form_of_the_sample(name: str, channel: str, data: Any) -> None:
    if channel in UNPUSHED or name in SKIPPED:
        return
    assert story().get(channel), f"{channel} was never pushed"
    if data is None:
        assert story()[channel] == [{}]
        return
    wanted = {key: value for key, value in data.items() if key not in OPTIONAL.get(name, ())}
    best = min(story()[channel], key=lambda one: len(set(wanted) - set(one)))
    assert set(wanted) <= set(best), set(wanted) - set(best)
    for key, value in wanted.items():
        numeric = isinstance(value, str) and value.isdigit() and isinstance(best[key], int)
        numeric |= isinstance(value, int) and str(best[key]).isdigit()  # ids: 18.3
        assert numeric or value is None or kind(value) == kind(best[key]), key


def test_all_channels_of_the_document_are_pushed() -> None:
    documented = {
        "order", "order.deal", "position", "asset", "plan.order", "stop.order", "stop.planorder",
        "track.order", "risk.limit", "adl.level", "position.mode", "leverage.mode",
        "liquidate.risk", "reverse.position", "generic.notify", "order.chase",
        "position.closeall.fail", "bonus", "event.contract.position",
    }  # fmt: skip
    assert documented <= set(story())


def test_sequences_of_18_2() -> None:
    """The order of the pushes of each event."""
    world = World(symbols=("BTC_USDT",))

    def names(action: Any, who: Account | None = None) -> list[str]:
        return [channel for channel, _ in world.told(action, who)]

    resting = [""]
    fill = ["order.deal", "order", "position", "asset"]

    def rest() -> None:
        resting[0] = world.order(type=1, price=world.price(rank=2), vol=5)

    assert names(rest) == ["order", "asset"]
    assert names(lambda: world.ok("order/cancel", [resting[0]])) == ["order", "asset"]
    assert names(lambda: world.order(vol=5)) == fill
    plan = {
        "symbol": "BTC_USDT", "vol": 1, "leverage": 20, "side": 1, "openType": 1, "orderType": 5,
        "triggerPrice": world.last(), "triggerType": 1, "executeCycle": 1, "trend": 1,
    }  # fmt: skip
    assert names(lambda: world.ok("planorder/place/v2", plan)) == ["plan.order"] * 2 + fill
    held = world.position().id
    body = {"positionId": held, "leverage": 40}
    assert names(lambda: world.ok("position/change_leverage", body)) == [
        "risk.limit", "position", "asset"
    ]  # fmt: skip
    body = {"positionId": held, "amount": 1, "type": "ADD"}
    assert names(lambda: world.ok("position/change_margin", body)) == ["position", "asset"]
    stop = {"positionId": held, "vol": 6, "lossTrend": 2, "profitTrend": 2, "volType": 2,
            "stopLossPrice": world.step_price("BTC_USDT", -50)}  # fmt: skip
    assert names(lambda: world.ok("stoporder/place", stop)) == ["stop.planorder"]
    told = names(lambda: world.mark("BTC_USDT", world.step_price("BTC_USDT", -51)))
    assert told == ["stop.planorder", *fill]
    world.order(vol=5, side=3, leverage=100)
    short = world.position("BTC_USDT", 2)
    far = short.liquidation_price() * Decimal("1.01")
    told = names(lambda: world.mark("BTC_USDT", far))
    assert told == [
        "position", "order.deal", "order", "order", "position", "generic.notify", "asset"
    ]  # fmt: skip

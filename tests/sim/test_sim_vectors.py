"""Every recorded or documented reply has the exchange's own beside it: same keys, same types.

tests/data/rest_responses.jsonl is walked line by line. Before, a small story makes data exist. A
key that the exchange adds is fine, a missing one or another JSON type is not. Of several objects in
a sample's list only the keys that all of them have are demanded: the others are optional by the
sample's own word.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from mexcfast.sim import Limits, Variations
from sim.offline import START_MS, World

SAMPLES = [
    json.loads(line, parse_float=Decimal)
    for line in (Path(__file__).parents[1] / "data" / "rest_responses.jsonl")
    .read_text(encoding="utf-8")
    .splitlines()
]
CONTRACT, PRIVATE = "/api/v1/contract/", "/api/v1/private/"

#: Samples whose form the exchange does not answer, and why.
EXCEPTIONS = {
    "order_cancel_with_external_2021": "a copy of the request, printed in 2021 as the reply",
    "error_code_as_string": "the code as text: numbers are answered always",
}
#: Samples of another variation of protocol.md 18.3; all others are of the usual one.
VARIED = {
    "order_create_bare_string": Variations(create_reply="string"),
    "order_submit_bare_integer": Variations(create_reply="int"),
    "order_submit_batch": Variations(ids="int"),
    "order_submit_batch_partial_failure": Variations(ids="int"),
    "cancel_with_external_list": Variations(ids="int"),
    "batch_cancel_with_external": Variations(ids="int"),
    "order_fee_details": Variations(ids="int"),
    "order_deals_legacy": Variations(ids="int"),
    "depth_2021_bare_object": Variations(snapshot_bare=True),
    "error_order_get_unknown_live": Variations(unknown_order="1001"),
    "error_message_chinese": Variations(chinese=True),
}
#: Lists inside objects that have nothing to hold here: no fee tiers, no boards, one-sided commits.
MAY_BE_EMPTY = {
    "conceptPlate", "conceptPlateId", "tagIdList", "tieredFeeRates", "leverageFeeRates",
    "tieredContractIds", "riskLimitCustom", "asks", "bids",
}  # fmt: skip
USUAL = Variations()


def kind(value: Any) -> str:
    """JSON type."""
    if isinstance(value, bool) or value is None:
        return "null" if value is None else "bool"
    if isinstance(value, int | Decimal):
        return "number"
    return {str: "string", list: "array", dict: "object"}[type(value)]


def differences(sample: Any, ours: Any, where: str) -> list[str]:
    """What the reply lacks against a sample."""
    if sample is None:
        return []
    if kind(sample) != kind(ours):
        return [f"{where}: {kind(sample)} expected, {kind(ours)} answered"]
    found = []
    if isinstance(sample, dict):
        for key, value in sample.items():
            if key in ours:
                found += differences(value, ours[key], f"{where}.{key}")
            else:
                found.append(f"{where}.{key} is missing")
    elif isinstance(sample, list) and sample:
        if not ours:
            empty = where.rpartition(".")[2] in MAY_BE_EMPTY
            return [] if empty else [f"{where}: the list is empty"]
        if isinstance(sample[0], dict):
            for item in ours:
                found += differences(common(sample), item, f"{where}[]")
        else:
            found += differences(sample[0], ours[0], f"{where}[0]")
    return found


def common(items: list[Any]) -> dict[str, Any]:
    """Keys that all objects have, with a value; null (anything) when one of them has null."""
    keys = set.intersection(*(set(one) for one in items))
    return {
        key: None if any(one[key] is None for one in items) else items[0][key]
        for key in items[0]
        if key in keys
    }


@cache
def told(ids: str) -> tuple[World, dict[str, Any]]:
    """The story that makes data exist, and the ids it gave."""
    world = World(variations=Variations(ids=ids))  # type: ignore[arg-type]
    for _ in range(5):
        for market in world.venue.markets.values():
            for _ in range(60):
                world.venue.step(market)
        world.pass_time(900_000)
    names: dict[str, Any] = {}
    world.ok("position/change_leverage", {"symbol": "BTC_USDT", "openType": 1, "positionType": 2,
                                          "leverage": 2})  # fmt: skip
    names["filled"] = world.order(vol=20)
    names["position"] = world.position().id
    world.order(side=4, vol=5, positionId=names["position"])
    for symbol in ("DOGE_USDT", "ARB_USDT"):
        world.order(symbol=symbol, vol=5, side=3)
        world.order(symbol=symbol, vol=5, side=2)
    for symbol in ("BTC_USDT", "ETH_USDT"):
        names[symbol] = world.order(
            symbol=symbol, type=1, price=world.price(symbol, 1, 8), externalOid=f"cl-{symbol}"
        )
    arb = world.order(symbol="ARB_USDT", vol=23)
    held = world.position("ARB_USDT")
    for up in (30, 3):
        body = {
            "positionId": held.id, "vol": 10, "lossTrend": 1, "profitTrend": 1,
            "stopLossPrice": world.step_price("ARB_USDT", -30),
            "takeProfitPrice": world.step_price("ARB_USDT", up),
        }  # fmt: skip
        names["stop"] = world.ok("stoporder/place", body)
    world.move_last("ARB_USDT", world.step_price("ARB_USDT", 3))
    assert arb and world.venue.conditional.of(world.me)
    plan = {
        "symbol": "DOGE_USDT", "vol": 1, "leverage": 2, "side": 1, "openType": 1, "triggerType": 2,
        "triggerPrice": "0.00001", "price": "0.00001", "executeCycle": 2, "orderType": 1,
        "trend": 1,
    }  # fmt: skip
    names["plan_body"] = plan
    names["plan"] = world.ok("planorder/place/v2", plan)
    track = {
        "symbol": "DOGE_USDT", "leverage": 2, "side": 1, "vol": 100, "openType": 1, "trend": 1,
        "backType": 1, "backValue": "0.02", "positionMode": 1,
    }  # fmt: skip
    names["track_body"] = track
    world.ok("trackorder/place", track)
    names["group"] = {"configName": "grp1", "blacklist": [45359850, 72009483]}
    world.ok("market_maker/self_trade/blacklist/create", names["group"])
    world.venue.settle_funding(world.venue.markets["BTC_USDT"])
    world.venue.markets["DOGE_USDT"].contract.taker_fee_rate = Decimal(0)
    world.venue.markets["DOGE_USDT"].contract.maker_fee_rate = Decimal(0)
    for market in world.venue.markets.values():
        market.deals.extend(market.deals)
    return world, names


def batch(world: World, external: str, **changes: Any) -> dict[str, Any]:
    return {
        "symbol": "BTC_USDT", "price": world.price(rank=9), "vol": 1, "leverage": 20, "side": 1,
        "type": 2, "openType": 1, "externalOid": external, **changes,
    }  # fmt: skip


def request_of(sample: dict[str, Any], world: World, names: dict[str, Any]) -> tuple[str, Any]:
    """(path, body) as the sample asks, with ids that exist here."""
    name, path = sample["name"], sample["path"]
    rest = path.removeprefix(PRIVATE)
    span = {"startTime": START_MS - 86_400_000, "endTime": world.now}
    pair = {"symbol": "BTC_USDT", "externalOid": "cl-BTC_USDT"}
    bodies: dict[str, Any] = {
        "account/asset/analysis/v3": span,
        "account/asset/analysis/calendar/daily/v3": span,
        "planorder/change_stop_order": {
            "symbol": "DOGE_USDT", "orderId": names["plan"], "stopLossPrice": 0, "lossTrend": 1
        },
        "order/create": batch(world, f"create-{name}"),
        "order/submit": batch(world, f"submit-{name}"),
        "order/submit_batch": [
            batch(world, f"one-{name}"), batch(world, f"two-{name}", vol=1),
        ],
        "order/cancel_with_external": [pair],
        "order/batch_cancel_with_external": [pair, {**pair, "externalOid": "nobody"}],
        "order/batch_query_with_external": [pair],
        "order/cancel": [world.order(type=1, price=world.price(rank=9)), names["filled"], 1],
        "order/change_limit_order": {
            "orderId": names["ETH_USDT"], "price": world.price("ETH_USDT", 1, 9), "vol": 8
        },
        "market_maker/self_trade/blacklist/update": names["group"],
        "market_maker/self_trade/blacklist/create": {**names["group"], "configName": "grp2"},
        "position/change_leverage": {"symbol": "ETH_USDT", "openType": 1, "positionType": 2,
                                     "leverage": 10},
        "planorder/place/v2": names["plan_body"],
        "planorder/place": names["plan_body"],
        "trackorder/place": names["track_body"],
        "stoporder/place": {
            "positionId": world.position("ARB_USDT").id, "vol": 1, "lossTrend": 1,
            "profitTrend": 1, "stopLossPrice": world.step_price("ARB_USDT", -40),
            "takeProfitPrice": world.step_price("ARB_USDT", 40),
        },
    }  # fmt: skip
    if name == "order_submit_batch_partial_failure":
        bodies["order/submit_batch"] = [
            batch(world, "order1"), batch(world, "order2", vol=2_000_000, leverage=1, type=1),
        ]  # fmt: skip
    for old, new in (
        ("739106551624717312", names["filled"]),
        ("743829153601634818", names["BTC_USDT"]),
        ("817027833053397600", names["filled"]),
        ("569857826", names["stop"]),
    ):
        path = path.replace(old, str(new))
    return path, bodies.get(rest, {})


@pytest.mark.parametrize(
    "sample",
    [one for one in SAMPLES if one["response"].get("success") is not False],
    ids=lambda one: one["name"],
)
def test_reply_has_the_form_of_the_sample(sample: dict[str, Any]) -> None:
    name = sample["name"]
    if name in EXCEPTIONS:
        return
    variations = VARIED.get(name, USUAL)
    story = told.__wrapped__ if name == "position_close_all" else told  # it ends the story
    world, names = story(variations.ids)
    handlers = world.rest
    before = handlers.variations
    for field in variations.__dataclass_fields__:
        setattr(before, field, getattr(variations, field))
    try:
        path, body = request_of(sample, world, names)
        reply = world.ask(sample["method"], path, body if sample["method"] == "POST" else None)
    finally:
        usual = Variations(ids=variations.ids)
        for field in usual.__dataclass_fields__:
            setattr(before, field, getattr(usual, field))
    assert differences(sample["response"], reply, name) == []


def spoilt(reply: Any) -> Iterator[tuple[str, Any]]:
    """The reply with one thing wrong in each: a member gone, or of another type."""
    if isinstance(reply, dict):
        for key, value in reply.items():
            rest = {name: one for name, one in reply.items() if name != key}
            yield f"without {key}", rest
            other: Any = 5 if kind(value) != "number" else "5"
            yield f"{key} of another type", {**rest, key: other}
            for what, inside in spoilt(value):
                yield f"{key}: {what}", {**rest, key: inside}
    elif isinstance(reply, list) and reply and isinstance(reply[0], dict):
        for what, inside in spoilt(reply[0]):
            yield f"[0]: {what}", [inside, *reply[1:]]


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda one: one["name"])
def test_the_comparison_can_fail(sample: dict[str, Any]) -> None:
    """Whatever a sample has: without it, or with another type, the reply is found wrong."""
    response = sample["response"]
    assert differences(response, response, "") == []
    for what, wrong in spoilt(response):
        found = differences(response, wrong, "")
        if not found:  # null may be anything, and some lists may hold what others do not
            assert optional(response, wrong), what


def optional(sample: Any, wrong: Any) -> bool:
    """Whether the two differ only in what is null in a sample or not in all of a list's items."""
    if isinstance(sample, dict) and isinstance(wrong, dict):
        same = [key for key in sample if sample[key] is not None]
        return all(key in wrong and optional(sample[key], wrong[key]) for key in same)
    if isinstance(sample, list) and sample and isinstance(sample[0], dict):
        return optional(common(sample), wrong[0])
    return sample is None or kind(sample) == kind(wrong)


def test_every_line_is_compared() -> None:
    """How many lines and paths there are, and which of them are left out with a reason."""
    names = [one["name"] for one in SAMPLES]
    errors = {one["name"] for one in SAMPLES if one["response"].get("success") is False}
    assert len(names) == len(set(names)) == 115
    assert set(EXCEPTIONS) < set(names) and set(ERRORS) <= errors
    assert errors - set(ERRORS) - set(EXCEPTIONS) == set()
    paths = {(one["method"], one["path"].partition("?")[0]) for one in SAMPLES}
    left = {
        (one["method"], one["path"].partition("?")[0])
        for one in SAMPLES
        if one["name"] not in EXCEPTIONS
    }
    print(f"{len(names)} lines, {len(paths)} paths; {len(EXCEPTIONS)} lines not compared")
    assert left == paths  # an exception is never the only line of its path


def expired(world: World) -> None:
    world.me.expired = True


def elsewhere(world: World) -> None:
    world.me.addresses = ("10.0.0.1",)


def denied(world: World) -> None:
    world.me.access_denied = True


def closed(world: World) -> None:
    world.venue.markets["BTC_USDT"].contract.api_allowed = False


def broken(world: World) -> None:
    world.faults.maintenance(500)


#: What makes the exchange answer an error sample: a change of the world, a body, other headers.
ERRORS: dict[str, dict[str, Any]] = {
    "error_500_system": {"change": broken, "path": PRIVATE + "order/create", "method": "POST"},
    "error_1001_contract": {},
    "error_401_no_auth": {"headers": {}},
    "error_401_no_key_live": {"headers": {}},
    "error_402_key_expired": {"change": expired},
    "error_406_ip": {"change": elsewhere},
    "error_510_throttled": {"limits": Limits(), "times": 11},
    "error_511_interface": {"change": denied},
    "error_513_clock": {"later": 60_000},
    "error_600_param": {"body": {}},
    "error_602_signature": {"signature": "0" * 64},
    "error_602_live_text": {"signature": "0" * 64},
    "error_message_chinese": {"signature": "0" * 64},
    "error_1002_not_allowed": {"change": closed, "body": {}, "order": {}},
    "error_2003_price_band": {"order": {"price": 99_000}},
    "error_2005_balance": {"order": {"vol": 2_400_000, "leverage": 1}},
    "error_2009_position": {"order": {"side": 4}},
    "error_2011_quantity": {"order": {"vol": 0}},
    "error_maintenance_announcement": {"change": broken},
    "error_order_get_unknown_live": {},
    "change_risk_level_disabled": {},
}


@pytest.mark.parametrize(
    "sample",
    [one for one in SAMPLES if one["response"].get("success") is False],
    ids=lambda one: one["name"],
)
def test_error_has_the_form_of_the_sample(sample: dict[str, Any]) -> None:
    name = sample["name"]
    if name in EXCEPTIONS:
        return
    how = ERRORS[name]
    world = World(
        variations=VARIED.get(name), limits=how.get("limits"), symbols=("BTC_USDT",), levels=10
    )
    how.get("change", lambda world: None)(world)
    method, path = how.get("method", sample["method"]), how.get("path", sample["path"])
    body = how.get("body", {})
    if "order" in how:
        body = batch(world, "x", type=1, **how["order"])
    raw = json.dumps(body, default=str).encode() if method == "POST" else b""
    headers = how.get("headers", world.headers(raw))
    if "signature" in how:
        headers["Signature"] = how["signature"]
    world.now += how.get("later", 0)
    for _ in range(how.get("times", 1)):
        answer = world.rest.answer(method, path, "", headers, raw, "127.0.0.1")
    reply = json.loads(answer.text)
    assert differences(sample["response"], reply, name) == []
    assert reply["code"] == sample["response"]["code"] and reply["success"] is False

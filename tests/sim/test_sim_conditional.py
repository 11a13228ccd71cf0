"""Plan, TP/SL and trailing orders: what fires them and what they become (11.5, 16.4 to 16.6)."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from sim.offline import World

SYMBOL = "BTC_USDT"
HOUR = 3_600_000


def world() -> World:
    return World(symbols=(SYMBOL, "BTC_USD"), levels=150)


def plan_body(here: World, ticks: int, **changes: Any) -> dict[str, Any]:
    return {
        "symbol": SYMBOL, "vol": 3, "leverage": 20, "side": 1, "openType": 1, "orderType": 5,
        "triggerPrice": here.step_price(SYMBOL, ticks), "triggerType": 1 if ticks > 0 else 2,
        "executeCycle": 1, "trend": 1, **changes,
    }  # fmt: skip


def plan_state(here: World, number: Any) -> dict[str, Any]:
    rows = here.get(f"planorder/list/orders?symbol={SYMBOL}&page_num=1&page_size=50")["data"]
    return next(row for row in rows if row["id"] == number)


def stop_body(here: World, **changes: Any) -> dict[str, Any]:
    held = next(iter(here.me.positions.values()))
    return {
        "positionId": held.id, "vol": held.hold_vol, "lossTrend": 2, "profitTrend": 2,
        "volType": 1, **changes,
    }  # fmt: skip


def stop_state(here: World, number: int) -> dict[str, Any]:
    rows = here.get("stoporder/list/orders?page_num=1&page_size=50")["data"]
    return next(row for row in rows if row["id"] == number)


@pytest.mark.parametrize("ticks", [40, -40])
@pytest.mark.parametrize("trend", [1, 2, 3])
def test_plan_fires_on_its_own_price(trend: int, ticks: int) -> None:
    here = world()
    number = here.ok("planorder/place/v2", plan_body(here, ticks, trend=trend))
    goal = here.step_price(SYMBOL, ticks)
    near = here.step_price(SYMBOL, ticks - (1 if ticks > 0 else -1))
    moves = {
        1: lambda price: here.move_last(SYMBOL, price),
        2: lambda price: here.venue.move_prices(SYMBOL, fair=price),
        3: lambda price: here.venue.move_prices(SYMBOL, index=price),
    }
    for other in {2, 3} - {trend}:
        moves[other](goal)
    moves[trend](near)
    assert plan_state(here, number)["state"] == 1 and not here.me.positions
    moves[trend](goal)
    row = plan_state(here, number)
    assert row["state"] == 3 and here.position(SYMBOL).hold_vol == 3
    order = here.get(f"order/get/{row['orderId']}")["data"]
    assert (order["state"], order["orderType"], order["vol"]) == (3, 5, 3)
    assert here.venue.conditional.of(here.me) == []


def test_plan_expires_is_changed_and_cancelled() -> None:
    here = world()
    short, long = (
        here.ok("planorder/place/v2", plan_body(here, 400, executeCycle=cycle)) for cycle in (1, 2)
    )
    here.pass_time(24 * HOUR - 1)
    assert plan_state(here, short)["state"] == 1
    here.pass_time(1)
    assert plan_state(here, short)["state"] == 4
    assert plan_state(here, long)["executeCycle"] == 168 and plan_state(here, long)["state"] == 1
    body = {
        "symbol": SYMBOL, "orderId": long, "triggerPrice": here.step_price(SYMBOL, 500),
        "price": here.price(rank=5), "orderType": 1, "triggerType": 1, "trend": 2, "from": 1,
    }  # fmt: skip
    here.ok("planorder/change_price", body)
    here.ok("planorder/change_stop_order", {
        "symbol": SYMBOL, "orderId": long, "stopLossPrice": 80_000, "lossTrend": 1,
        "takeProfitPrice": 0,
    })  # fmt: skip
    row = plan_state(here, long)
    assert (row["trend"], row["orderType"], row["stopLossPrice"]) == (2, 1, 80_000)
    assert "takeProfitPrice" not in row
    assert here.post("planorder/change_price", {**body, "orderId": short})["code"] == 2041
    both = [{"symbol": SYMBOL, "orderId": long}, {"symbol": SYMBOL, "orderId": "5"}]
    assert here.post("planorder/cancel", both)["code"] == 2040
    assert plan_state(here, long)["state"] == 1  # none when one cannot be
    here.ok("planorder/cancel", both[:1])
    assert plan_state(here, long)["state"] == 2
    third = here.ok("planorder/place", plan_body(here, 400))
    assert type(third) is int
    here.ok("planorder/cancel_all", {"symbol": SYMBOL})
    assert plan_state(here, str(third))["state"] == 2


def test_plan_that_is_refused_ends_as_failed() -> None:
    here = world()
    here.venue.desk.transfer(here.me, "USDT", Decimal(-999_999))
    number = here.ok("planorder/place/v2", plan_body(here, 20))
    here.move_last(SYMBOL, here.step_price(SYMBOL, 20))
    row = plan_state(here, number)
    assert (row["state"], row["errorCode"]) == (5, 2)  # INSUFFICIENT_BALANCE


def test_plan_at_once_and_with_stops() -> None:
    here = world()
    body = plan_body(here, 1, triggerPrice=here.last(), stopLossPrice=70_000,
                     takeProfitPrice=90_000)  # fmt: skip
    number = here.ok("planorder/place/v2", body)
    assert plan_state(here, number)["state"] == 3
    (stop,) = here.get("stoporder/open_orders")["data"]
    assert (stop["stopLossPrice"], stop["takeProfitPrice"], stop["vol"]) == (70_000, 90_000, 3)
    assert stop["orderId"] == plan_state(here, number)["orderId"]


def test_price_protection_waits() -> None:
    here = world()
    here.venue.move_prices(SYMBOL, fair=here.last() / 2)
    number = here.ok("planorder/place/v2", plan_body(here, 10, priceProtect=1))
    here.move_last(SYMBOL, here.step_price(SYMBOL, 10))
    assert plan_state(here, number)["state"] == 1
    here.venue.move_prices(SYMBOL, fair=here.last())
    here.move_last(SYMBOL, here.step_price(SYMBOL, 1))
    assert plan_state(here, number)["state"] == 3


# TP/SL


def test_attached_stops_follow_the_fills() -> None:
    here = world()
    price = here.price(rank=0)
    number = here.order(type=1, price=price, vol=10, stopLossPrice=price - 500,
                        takeProfitPrice=price + 500, profitTrend=2, lossTrend=2)  # fmt: skip
    assert here.get("stoporder/open_orders")["data"] == []
    here.ok("stoporder/change_price", {"orderId": number, "stopLossPrice": price - 600,
                                       "takeProfitPrice": price + 600, "lossTrend": 2,
                                       "profitTrend": 2})  # fmt: skip
    ahead = here.venue.markets[SYMBOL].book.ladder(1, 1)[0][1] - 10
    here.venue.trade(SYMBOL, 2, ahead + 4)
    (stop,) = here.get("stoporder/open_orders")["data"]
    assert (stop["vol"], stop["orderId"], stop["stopLossPrice"]) == (4, number, price - 600)
    here.venue.trade(SYMBOL, 2, 6)
    (stop,) = here.get("stoporder/open_orders")["data"]
    assert (stop["vol"], stop["version"]) == (10, 1)
    here.mark(SYMBOL, price + 600)
    row = stop_state(here, stop["id"])
    assert (row["state"], row["triggerSide"], row["realityVol"]) == (3, 1, 10)
    assert not here.me.positions
    closing = here.get(f"order/get/{row['placeOrderId']}")["data"]
    assert (closing["side"], closing["vol"], closing["state"]) == (4, 10, 3)


@pytest.mark.parametrize(("side", "sign"), [(1, 1), (3, -1)])
def test_stop_loss_of_long_and_short(side: int, sign: int) -> None:
    here = world()
    here.order(side=side, vol=10)
    body = stop_body(here, stopLossPrice=here.step_price(SYMBOL, -50 * sign),
                     takeProfitPrice=here.step_price(SYMBOL, 50 * sign))  # fmt: skip
    number = here.ok("stoporder/place", body)
    here.mark(SYMBOL, here.step_price(SYMBOL, -49 * sign))
    assert stop_state(here, number)["state"] == 1
    here.mark(SYMBOL, body["stopLossPrice"])
    row = stop_state(here, number)
    assert (row["state"], row["triggerSide"], row["isFinished"]) == (3, 2, 1)
    assert not here.me.positions
    details = here.get(f"stoporder/order_details/{number}")["data"]
    assert (details["state"], details["triggerPrice"]) == (3, body["stopLossPrice"])


def test_stops_partial_whole_and_amended() -> None:
    here = world()
    here.order(vol=10)
    low, high = here.step_price(SYMBOL, -90), here.step_price(SYMBOL, 90)
    first = here.ok("stoporder/place", stop_body(here, vol=6, stopLossPrice=low))
    again = here.ok("stoporder/place", stop_body(here, vol=7, stopLossPrice=low))
    assert again == first and stop_state(here, first)["vol"] == 7
    other = stop_body(here, vol=4, stopLossPrice=low - 1)
    assert here.post("stoporder/place", other)["code"] == 5004
    second = here.ok("stoporder/place", {**other, "vol": 3})
    whole = here.ok(
        "stoporder/place", stop_body(here, volType=2, stopLossPrice=low - 2, takeProfitPrice=high)
    )
    same = here.ok("stoporder/place", stop_body(here, volType=2, stopLossPrice=low - 3))
    assert same == whole and "takeProfitPrice" not in stop_state(here, whole)
    body = {"stopPlanOrderId": whole, "stopLossPrice": low - 4, "takeProfitPrice": high,
            "lossTrend": 2, "profitTrend": 2}  # fmt: skip
    here.ok("stoporder/change_plan_price", body)
    assert stop_state(here, whole)["takeProfitPrice"] == high
    assert here.post("stoporder/change_plan_price", {**body, "stopLossPrice": high})["code"] == 5003
    here.mark(SYMBOL, low)
    assert stop_state(here, first)["state"] == 3 and here.position(SYMBOL).hold_vol == 3
    here.ok("stoporder/cancel", [{"stopPlanOrderId": second}])
    assert stop_state(here, second)["state"] == 2
    here.mark(SYMBOL, low - 4)
    assert stop_state(here, whole)["realityVol"] == 3 and not here.me.positions


def test_stop_frees_what_orders_lock_and_ends_with_its_position() -> None:
    here = world()
    here.order(vol=10)
    far = here.price(side=2, rank=20)
    locking = here.order(side=4, type=1, price=far, vol=10)
    low = here.step_price(SYMBOL, -90)
    fires = here.ok("stoporder/place", stop_body(here, vol=4, stopLossPrice=low))
    waits = here.ok("stoporder/place", stop_body(here, vol=6, stopLossPrice=low - 10))
    here.mark(SYMBOL, low)
    assert stop_state(here, fires)["state"] == 3 and here.position(SYMBOL).hold_vol == 6
    order = here.get(f"order/get/{locking}")["data"]
    assert (order["state"], order["errorCode"]) == (4, 4)
    here.order(side=4, vol=6)
    assert stop_state(here, waits)["state"] == 2


def test_stop_reverses_and_closes_at_a_limit() -> None:
    here = world()
    here.order(vol=10, leverage=30)
    low = here.step_price(SYMBOL, -90)
    number = here.ok("stoporder/place", stop_body(here, stopLossPrice=low, stopLossReverse=1))
    here.mark(SYMBOL, low)
    row = stop_state(here, number)
    assert (row["closeTryTimes"], row["reverseTryTimes"], row["reverseErrorCode"]) == (1, 1, 0)
    short = here.position(SYMBOL, 2)
    assert (short.hold_vol, short.leverage, short.open_type) == (10, 30, 1)
    limit = here.price(rank=8)
    number = here.ok("stoporder/place", stop_body(
        here, takeProfitPrice=low - 5, takeProfitType=1, takeProfitOrderPrice=limit
    ))  # fmt: skip
    here.mark(SYMBOL, low - 5)
    order = here.get(f"order/get/{stop_state(here, number)['placeOrderId']}")["data"]
    assert (order["orderType"], order["state"], order["price"]) == (1, 2, limit)


def test_cancel_all_stops_by_position_and_symbol() -> None:
    here = world()
    here.order(vol=10)
    here.order(symbol="BTC_USD", vol=10)
    for symbol in (SYMBOL, "BTC_USD"):
        body = stop_body(here, stopLossPrice=60_000, positionId=here.position(symbol).id)
        here.ok("stoporder/place", body)
    here.ok("stoporder/cancel_all", {"positionId": here.position("BTC_USD").id})
    assert [one["symbol"] for one in here.get("stoporder/open_orders")["data"]] == [SYMBOL]
    here.ok("stoporder/cancel_all", {"symbol": "BTC_USD"})
    assert len(here.get("stoporder/open_orders")["data"]) == 1
    here.ok("stoporder/cancel_all")
    assert here.get("stoporder/open_orders")["data"] == []


# Trailing


def track_body(here: World, side: int, **changes: Any) -> dict[str, Any]:
    return {
        "symbol": SYMBOL, "leverage": 20, "side": side, "vol": 3, "openType": 1, "trend": 2,
        "backType": 2, "backValue": 30, "positionMode": 1, **changes,
    }  # fmt: skip


def track_state(here: World, number: str) -> dict[str, Any]:
    rows = here.get("trackorder/list/orders?states=0%2C1%2C2%2C3%2C4")["data"]
    return next(row for row in rows if row["id"] == number)


@pytest.mark.parametrize(("side", "sign"), [(3, 1), (1, -1)])
def test_trailing_activates_follows_and_fires(side: int, sign: int) -> None:
    here = world()
    start = here.last()
    active = start + 50 * sign
    number = here.ok("trackorder/place", track_body(here, side, activePrice=active))
    assert track_state(here, number)["state"] == 0
    here.mark(SYMBOL, start + 60 * sign)
    row = track_state(here, number)
    assert (row["state"], row["markPrice"]) == (1, start + 60 * sign)
    assert row["triggerPrice"] == start + 30 * sign
    here.mark(SYMBOL, start + 31 * sign)  # turns back, not far enough
    here.mark(SYMBOL, start + 100 * sign)  # follows
    assert track_state(here, number)["triggerPrice"] == start + 70 * sign
    here.mark(SYMBOL, start + 70 * sign)
    row = track_state(here, number)
    assert row["state"] == 2 and row["orderId"]
    assert here.position(SYMBOL, 2 if side == 3 else 1).hold_vol == 3


def test_trailing_by_percentage_is_the_documented_sum() -> None:
    here = World(symbols=("DOGE_USDT",))
    here.mark("DOGE_USDT", Decimal("0.18657"))
    number = here.ok("trackorder/place", track_body(here, 1, symbol="DOGE_USDT", backType=1,
                                                    backValue="0.02"))  # fmt: skip
    assert track_state(here, number)["triggerPrice"] == Decimal("0.1903")


def test_trailing_is_changed_cancelled_and_may_fail() -> None:
    here = world()
    one, two, three = (here.ok("trackorder/place", track_body(here, 3)) for _ in range(3))
    change = {"symbol": SYMBOL, "trackOrderId": one, "trend": 2, "backType": 2, "backValue": 10,
              "vol": 5, "activePrice": here.last() + 100}  # fmt: skip
    here.ok("trackorder/change_order", change)
    row = track_state(here, one)
    assert (row["vol"], row["backValue"], row["state"], row["markPrice"]) == (5, 10, 0, 0)
    here.ok("trackorder/cancel", {"symbol": SYMBOL, "trackOrderId": two})
    assert track_state(here, two)["state"] == 4
    assert here.post("trackorder/cancel", {"trackOrderId": two})["code"] == 2041
    here.me.restriction = 6002
    here.mark(SYMBOL, here.last() - 40)
    assert track_state(here, three)["state"] == 3
    here.ok("trackorder/cancel", {"symbol": SYMBOL})
    assert track_state(here, one)["state"] == 4


def test_counts_and_mode_change() -> None:
    here = world()
    here.order(vol=10)
    here.order(type=1, price=here.price(rank=9))
    here.ok("planorder/place/v2", plan_body(here, 300))
    here.ok("trackorder/place", track_body(here, 3))
    here.ok("stoporder/place", stop_body(here, stopLossPrice=60_000))
    assert here.ok("order/open_order_total_count") == {
        "sumCount": 4, "limitOrderCount": 1, "stopOrderCount": 1, "planOrderCount": 1,
        "trackOrderCount": 1,
    }  # fmt: skip
    here.ok("position/close_all")
    here.ok("order/cancel_all")
    assert here.post("position/change_position_mode", {"positionMode": 2})["code"] == 2019
    here.ok("planorder/cancel_all")
    here.ok("trackorder/cancel")
    here.ok("position/change_position_mode", {"positionMode": 2})

"""The life of orders with their pushes, in the order of protocol.md 18.2."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from mexcfast.sim import Exchange, Variations
from sim.sim_support import Client, Socket, play

SYMBOL = "BTC_USDT"
PERSONAL = "push.personal."


async def pushes(socket: Socket, count: int) -> list[tuple[str, Any]]:
    """(channel, data) of the next private pushes."""
    found = []
    while len(found) < count:
        message = await socket.receive()
        assert message["channel"].startswith(PERSONAL), message
        found.append((message["channel"].removeprefix(PERSONAL), message["data"]))
    return found


async def logged_in(client: Client) -> Socket:
    socket = await client.socket()
    assert (await socket.login())["data"] == "success"
    return socket


def names(found: list[tuple[str, Any]]) -> list[str]:
    return [name for name, _ in found]


def test_rest_partial_fill_and_cancel() -> None:
    async def scene(venue: Exchange, client: Client) -> None:
        socket = await logged_in(client)
        top = venue.book(SYMBOL).bids[0][0]
        price = str(top + Decimal("0.1")) if venue.book(SYMBOL).asks[0][0] > top + Decimal(
            "0.1") else str(top)
        ahead = 0 if Decimal(price) > top else venue.book(SYMBOL).bids[0][1]
        reply = await client.order(price=price, vol=10, externalOid="life")
        assert set(reply["data"]) == {"orderId", "ts"} and reply["data"]["orderId"].isdigit()
        first = await pushes(socket, 2)
        assert names(first) == ["order", "asset"]
        order = first[0][1]
        assert (order["state"], order["version"], order["remainVol"]) == (2, 1, 10)
        assert order["orderId"] == reply["data"]["orderId"]
        frozen = first[1][1]["frozenBalance"]
        assert frozen == order["orderMargin"] > 0
        listed = (await client.get("order/list/open_orders"))["data"]
        assert [one["externalOid"] for one in listed] == ["life"]

        assert venue.trade(SYMBOL, "sell", ahead + 4) == ahead + 4
        second = await pushes(socket, 4)
        assert names(second) == ["order.deal", "order", "position", "asset"]
        deal, order, position, asset = (data for _, data in second)
        assert (deal["vol"], deal["taker"], deal["externalOid"]) == (4, False, "life")
        assert (order["state"], order["dealVol"], order["remainVol"]) == (2, 4, 6)
        assert (position["holdVol"], position["positionType"], position["state"]) == (4, 1, 1)
        assert position["fee"] == -deal["fee"] and asset["frozenBalance"] < frozen
        assert asset["positionMargin"] == position["im"]

        assert venue.trade(SYMBOL, "sell", 6) == 6
        third = await pushes(socket, 4)
        assert third[1][1]["state"] == 3 and third[2][1]["holdVol"] == 10
        assert third[3][1]["frozenBalance"] == 0

        far = str(venue.book(SYMBOL).bids[5][0])
        reply = await client.order(price=far, vol=3)
        await pushes(socket, 2)
        number = reply["data"]["orderId"]
        rows = (await client.post("order/cancel", [int(number), 12345]))["data"]
        assert [(row["orderId"], row["errorCode"]) for row in rows] == [
            (number, 0), ("12345", 2040)
        ]  # fmt: skip
        fourth = await pushes(socket, 2)
        assert names(fourth) == ["order", "asset"]
        assert (fourth[0][1]["state"], fourth[0][1]["errorCode"]) == (4, 0)
        again = (await client.post("order/cancel", [number]))["data"]
        assert again[0]["errorCode"] == 2041

    play(scene)


def test_close_with_profit_and_history() -> None:
    async def scene(venue: Exchange, client: Client) -> None:
        socket = await logged_in(client)
        await client.order(type=5, vol=10, price=None)
        opened = await pushes(socket, 4)
        assert names(opened) == ["order.deal", "order", "position", "asset"]
        entry = opened[0][1]["price"]
        position_id = opened[2][1]["positionId"]
        held = (await client.get("position/open_positions?symbol=BTC_USDT"))["data"]
        assert held[0]["positionId"] == position_id and held[0]["holdAvgPrice"] == entry
        size = Decimal("0.0001")
        assert held[0]["oim"] == 10 * size * entry / 20
        reply = await client.order(side=4, type=5, vol=11, positionId=position_id)
        assert reply["code"] == 2008
        reply = await client.order(side=4, type=5, vol=10, positionId=position_id)
        closed = await pushes(socket, 4)
        assert names(closed) == ["order.deal", "order", "position", "asset"]
        deal, _, position, asset = (data for _, data in closed)
        profit = (deal["price"] - entry) * 10 * size
        assert deal["profit"] == profit.quantize(Decimal("0.0001"), rounding="ROUND_DOWN")
        assert (position["holdVol"], position["state"]) == (0, 3)
        assert position["realised"] == position["closeProfitLoss"] + position["fee"]
        assert asset["positionMargin"] == 0
        history = (await client.get("position/list/history_positions?page_num=1&page_size=5"))
        assert [one["positionId"] for one in history["data"]] == [position_id]
        orders = (await client.get("order/list/history_orders?states=3&symbol=BTC_USDT"))["data"]
        assert len(orders) == 2 and orders[0]["side"] == 4
        number = reply["data"]["orderId"]
        details = (await client.get(f"order/deal_details/{number}"))["data"]
        assert [one["profit"] for one in details] == [deal["profit"]]
        for path in ("order/list/order_deals/v3?symbol=BTC_USDT",
                     "order/list/order_deals?symbol=BTC_USDT&page_size=100"):
            assert len((await client.get(path))["data"]) == 2
        fees = (await client.get("order/fee_details?symbol=BTC_USDT"))["data"]
        assert len(fees) == 2
        assert (await client.order(side=4, type=5))["code"] == 2009

    play(scene)


@pytest.mark.parametrize(
    ("kind", "vol", "state", "code"),
    [(2, 5, 4, 20), (3, 40_000, 4, 18), (4, 40_000, 4, 19), (5, 300_000, 4, 21), (4, 1, 3, 0)],
)
def test_order_types(kind: int, vol: int, state: int, code: int) -> None:
    async def scene(venue: Exchange, client: Client) -> None:
        socket = await logged_in(client)
        reply = await client.order(
            type=kind, vol=vol, price=str(venue.book(SYMBOL).asks[0][0]), leverage=200
        )
        assert reply["code"] == 0
        while True:
            name, data = (await pushes(socket, 1))[0]
            if name == "order" and data["state"] != 2:
                break
        assert (data["state"], data["errorCode"]) == (state, code)
        assert (data["dealVol"] > 0) == (kind in (3, 5) or state == 3)
        assert not venue.account.open_orders

    play(scene, balance=100_000_000)


def test_change_limit_order_gives_a_new_id() -> None:
    async def scene(venue: Exchange, client: Client) -> None:
        bids = venue.book(SYMBOL).bids
        old = (await client.order(price=str(bids[3][0]), vol=5))["data"]["orderId"]
        body = {"orderId": int(old), "price": str(bids[4][0]), "vol": 7}
        new = (await client.post("order/change_limit_order", body))["data"]
        assert new != old
        orders = (await client.get(f"order/batch_query?order_ids={old}%2C{new}%2C5"))["data"]
        assert [(one["orderId"], one["state"], one["vol"]) for one in orders] == [
            (old, 4, 5), (new, 2, 7)
        ]  # fmt: skip
        assert (await client.post("order/change_limit_order", body))["code"] == 2041
        body = {"orderId": int(new), "price": "99999", "vol": 7}
        assert (await client.post("order/change_limit_order", body))["code"] == 2003
        assert len(venue.account.open_orders) == 1
        reply = await client.post("order/chase_limit_order", {"orderId": new})
        assert reply == {"success": True, "code": 0}
        (order,) = venue.account.open_orders.values()
        assert order.price == bids[0][0]

    play(scene)


def test_external_ids() -> None:
    async def scene(venue: Exchange, client: Client) -> None:
        price = str(venue.book(SYMBOL).bids[3][0])
        assert (await client.order(price=price, externalOid="one"))["code"] == 0
        assert (await client.order(price=price, externalOid="one"))["code"] == 2042
        assert (await client.get("order/external/ETH_USDT/one")) == {"success": True, "code": 0}
        pair = [{"symbol": SYMBOL, "externalOid": "one"}, {"symbol": SYMBOL, "externalOid": "no"}]
        found = (await client.post("order/batch_query_with_external", pair))["data"]
        assert [one["externalOid"] for one in found] == ["one"]
        item = {"symbol": SYMBOL, "price": price, "vol": 1, "leverage": 20, "side": 1, "type": 2,
                "openType": 1, "externalOid": "one"}  # fmt: skip
        other = {**item, "externalOid": "two"}
        rows = (await client.post("order/submit_batch", [item, other, {**other, "vol": 0}, 5]))[
            "data"]
        assert [row["errorCode"] for row in rows] == [0, 0, 0, 600]
        assert rows[0]["orderId"] == found[0]["orderId"]
        assert rows[1]["orderId"] == rows[2]["orderId"]
        rows = (await client.post("order/cancel_with_external", pair[0]))["data"]
        assert [row["errorCode"] for row in rows] == [0]
        rows = (await client.post("order/batch_cancel_with_external", pair))["data"]
        assert [row["errorCode"] for row in rows] == [2041, 2040]
        count = (await client.post("order/open_order_total_count", {}))["data"]
        assert (count["sumCount"], count["limitOrderCount"]) == (1, 1)
        assert (await client.post("order/cancel_all", {"symbol": ""}))["code"] == 0
        assert (await client.get("order/list/open_orders/BTC_USDT"))["data"] == []
        many = [item] * 51
        assert (await client.post("order/submit_batch", many))["code"] == 2014
        assert (await client.post("order/cancel", [1] * 51))["code"] == 2013

    play(scene)


def test_four_spellings_of_open_orders() -> None:
    async def scene(venue: Exchange, client: Client) -> None:
        price = str(venue.book(SYMBOL).bids[3][0])
        for _ in range(3):
            await client.order(price=price)
        for path in ("order/list/open_orders", "order/list/open_orders/",
                     f"order/list/open_orders?symbol={SYMBOL}", f"order/list/open_orders/{SYMBOL}"):
            assert len((await client.get(path))["data"]) == 3
        page = (await client.get("order/open_orders?page_num=2&page_size=2"))["data"]
        assert (page["totalCount"], page["totalPage"], len(page["resultList"])) == (3, 2, 1)
        page = (await client.get("order/open_orders/ETH_USDT"))["data"]
        assert page["resultList"] == []

    play(scene)


def test_one_way_mode_nets() -> None:
    async def scene(venue: Exchange, client: Client) -> None:
        assert (await client.post("position/change_position_mode", {"positionMode": 2}))[
            "code"] == 0
        assert (await client.get("position/position_mode"))["data"] == 2
        await client.order(type=5, vol=10, positionMode=2)
        await client.order(type=5, vol=15, side=3)
        (position,) = (await client.get("position/open_positions"))["data"]
        assert (position["positionType"], position["holdVol"]) == (2, 5)
        reply = await client.order(type=5, vol=9, side=1, reduceOnly=True)
        assert reply["code"] == 2008
        await client.order(type=5, vol=5, side=1, reduceOnly=True)
        assert (await client.get("position/open_positions"))["data"] == []
        assert (await client.post("position/change_position_mode", {"positionMode": 1}))[
            "code"] == 0

    play(scene)


def test_leverage_and_modes() -> None:
    async def scene(venue: Exchange, client: Client) -> None:
        body = {"symbol": SYMBOL, "openType": 2, "positionType": 1, "leverage": 33}
        assert (await client.post("position/change_leverage", body))["code"] == 0
        rows = (await client.get(f"position/leverage?symbol={SYMBOL}"))["data"]
        assert [r["leverage"] for r in rows if (r["positionType"], r["openType"]) == (1, 2)] == [33]
        await client.order(type=5, vol=10, openType=2, leverage=None)
        (position,) = (await client.get("position/open_positions"))["data"]
        assert position["leverage"] == 33
        assert (await client.order(type=5, openType=2, leverage=34))["code"] == 2021
        assert (await client.order(type=5, openType=1, leverage=33))["code"] == 2027
        body = {"positionId": position["positionId"], "leverage": 66}
        assert (await client.post("position/change_leverage", body))["code"] == 0
        (changed,) = (await client.get("position/open_positions"))["data"]
        assert abs(changed["im"] * 2 - position["im"]) < Decimal("1e-6")
        assert (await client.post("position/change_position_mode", {"positionMode": 2}))[
            "code"] == 2019
        assert (await client.post("position/close_all", {})) == {
            "success": True, "code": 0, "data": []
        }  # fmt: skip
        assert (await client.get("position/open_positions"))["data"] == []

    play(scene)


def test_account_pages() -> None:
    async def scene(venue: Exchange, client: Client) -> None:
        (asset,) = (await client.get("account/assets"))["data"]
        assert (asset["currency"], asset["availableBalance"]) == ("USDT", 100_000)
        assert (await client.get("account/asset/USDT"))["data"] == asset
        assert (await client.get("account/asset/NOPE"))["code"] == 4001
        for path in (
            "account/contract/fee_rate?symbol=BTC_USDT", "account/contract/zero_fee_rate",
            "account/tiered_fee_rate", "account/tiered_fee_rate/v2?symbol=BTC_USDT",
            "account/risk_limit", "account/feeDeductConfigs", "account/discountType",
            "account/transfer_record", "account/asset_book/order_deal_fee/total",
            "position/funding_records", "order/list/close_orders?symbol=BTC_USDT",
        ):  # fmt: skip
            assert (await client.get(path))["code"] == 0, path
        assert (await client.post("account/change_risk_level", {}))["code"] == 8817

    play(scene)


@pytest.mark.parametrize(
    ("variations", "kind"),
    [
        (Variations(create_reply="int"), int),
        (Variations(create_reply="string"), str),
        (Variations(), dict),
    ],
)
def test_reply_shapes(variations: Variations, kind: type) -> None:
    async def scene(venue: Exchange, client: Client) -> None:
        reply = await client.order(price=str(venue.book(SYMBOL).bids[3][0]))
        assert type(reply["data"]) is kind

    play(scene, variations=variations)


def test_ids_as_integers_and_unknown_orders() -> None:
    async def scene(venue: Exchange, client: Client) -> None:
        socket = await logged_in(client)
        reply = await client.order(price=str(venue.book(SYMBOL).bids[3][0]))
        assert type(reply["data"]["orderId"]) is int
        (_, order), _ = await pushes(socket, 2)
        assert order["orderId"] == reply["data"]["orderId"] > 2**53
        assert (await client.get("order/get/5"))["code"] == 1001

    play(scene, variations=Variations(ids="int", unknown_order="1001"))


def test_self_trade_is_marked() -> None:
    async def scene(venue: Exchange, client: Client) -> None:
        socket = await logged_in(client)
        book = venue.book(SYMBOL)
        ahead = book.bids[0][1]
        await client.order(price=str(book.bids[0][0]), vol=5)
        await pushes(socket, 2)
        await client.order(side=3, type=3, price=str(book.bids[0][0]), vol=ahead + 5, leverage=200)
        deals = []
        while len(deals) < 2 or not deals[-1]["isSelf"]:
            name, data = (await pushes(socket, 1))[0]
            if name == "order.deal":
                deals.append(data)
        assert venue.venue.total_money() == 10_000_000

    play(scene, balance=10_000_000)

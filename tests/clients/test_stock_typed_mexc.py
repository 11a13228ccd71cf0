"""typed-mexc 2.3.0 with its strict validation on: every answer and push fits its schemas."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from decimal import Decimal
from typing import Any

import pytest

from mexcfast.sim import Exchange, Variations

pytestmark = [
    pytest.mark.client("typed_mexc"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:Pydantic serializer warnings"),  # its own request types
]

SYMBOL = "BTC_USDT"
#: What its schemas want: the older shape of push.deal, full depth as push.depth, ids in REST deals.
WANTED = Variations(deal_shape="object", full_channel="depth", rest_deal_ids=True)
Scene = Callable[[Exchange, Any], Awaitable[None]]


def play(scene: Scene) -> None:
    """A fresh exchange with a moving market and a stock client of it."""
    from typed_mexc import MEXC

    async def main() -> None:
        async with Exchange(levels=30, updates_per_second=100, merge_ms=10, limits=False,
                            symbols=(SYMBOL, "ETH_USDT"), variations=WANTED) as venue:  # fmt: skip
            rest, ws = venue.rest_url, venue.ws_url
            async with asyncio.timeout(20), MEXC.new(
                venue.access_key, venue.secret, spot_base_url=rest, spot_ws_url=ws,
                futures_base_url=rest, futures_ws_url=ws,
            ) as client:  # fmt: skip
                await scene(venue, client.futures)

    asyncio.run(main())


async def first(stream: Any, action: Callable[[], Awaitable[Any]] | None = None) -> Any:
    """The first push of a stream; `action` is done once it listens."""
    async with stream as messages:
        if action is not None:
            await action()
        async for message in messages:
            return message


def test_market_data_fits_its_schemas() -> None:
    async def scene(venue: Exchange, client: Any) -> None:
        market = client.http.market
        assert (await market.ping())["data"]
        assert len((await market.contract_info())["data"]) == 2
        assert (await market.contract_info(SYMBOL))["data"]["symbol"] == SYMBOL
        assert (await market.depth(SYMBOL, limit=5))["data"]["asks"]
        assert len((await market.depth_commits(SYMBOL, limit=3))["data"]) == 3
        assert (await market.ticker(SYMBOL))["data"]["symbol"] == SYMBOL
        assert (await market.ticker())["data"]
        assert (await market.funding_rate(SYMBOL))["data"]["fundingRate"]
        assert (await market.index_price(SYMBOL))["data"]["indexPrice"]
        assert (await market.fair_price(SYMBOL))["data"]["fairPrice"]
        venue.trade(SYMBOL, "buy", 3)
        assert (await market.deals(SYMBOL))["data"]
        for candles in (market.candles, market.index_price_candles, market.fair_price_candles):
            assert (await candles(SYMBOL, interval="Min1"))["data"]["time"]
        assert (await market.support_currencies())["data"]
        assert (await market.risk_reverse())["data"]
        history = await market.funding_rate_history(SYMBOL, page_num=1, page_size=5)
        assert "resultList" in history["data"]
        fund = await market.risk_reverse_history(SYMBOL, page_num=1, page_size=5)
        assert fund["data"]["resultList"][0]["symbol"] == SYMBOL

    play(scene)


def test_public_streams_fit_their_schemas() -> None:
    async def scene(venue: Exchange, client: Any) -> None:
        streams = client.streams.market
        depth = await first(streams.depth(SYMBOL))
        assert depth["symbol"] == SYMBOL and depth["data"]["version"]
        assert (await first(streams.depth(SYMBOL, compress=False)))["data"]["version"]
        deal = await first(streams.deal(SYMBOL))
        assert deal["data"]["v"] > 0 and deal["data"]["T"] in (1, 2)
        for name in ("ticker", "funding_rate", "index_price", "fair_price", "depth_full"):
            assert (await first(getattr(streams, name)(SYMBOL)))["data"], name
        assert (await first(streams.candles(SYMBOL, interval="Min1")))["data"]["interval"]
        assert (await first(streams.all_tickers()))["data"]

    play(scene)


def test_conditional_orders_fit_their_schemas() -> None:
    async def scene(venue: Exchange, client: Any) -> None:
        trade, page = client.http.trade, {"page_num": 1, "page_size": 20}
        bid, ask = venue.book(SYMBOL).bids[0][0], venue.book(SYMBOL).asks[0][0]
        plan = {"symbol": SYMBOL, "price": float(ask + 50), "vol": 1, "leverage": 20, "side": 1,
                "openType": 1, "triggerPrice": float(ask + 100), "triggerType": 1,
                "executeCycle": 1, "orderType": 1, "trend": 1}  # fmt: skip
        placed = (await trade.place_plan(plan))["data"]
        assert [str(one.id) for one in venue.venue.conditional.of(venue.account)] == [str(placed)]
        assert (await trade.cancel_plan([{"symbol": SYMBOL, "orderId": str(placed)}]))["success"]
        await trade.place_plan(plan)
        assert (await trade.cancel_all_plan(SYMBOL))["success"]
        assert venue.venue.conditional.of(venue.account) == []
        with pytest.raises(Exception, match="executeCycle"):  # its schema has 1 and 2: the venue
            await trade.plan_orders(**page)  # answers hours, see protocol.md 11.5
        assert len((await trade.plan_orders(**page, validate=False))["data"]) == 2

        resting = (await trade.submit_order(order(venue)))["data"]
        low, high = float(bid - 500), float(ask + 500)
        assert (await trade.change_stop_price(resting, stop_loss_price=low,
                                              take_profit_price=high))["success"]  # fmt: skip
        attached = venue.account.orders[int(resting)].attached
        assert (float(attached.stop_loss), float(attached.take_profit)) == (low, high)
        await trade.cancel_all_orders(SYMBOL)
        await trade.submit_order(order(venue, type=5, vol=3, stopLossPrice=low,
                                       takeProfitPrice=high))  # fmt: skip
        (stop,) = venue.venue.conditional.of(venue.account)
        assert (await trade.change_stop_plan_price(stop.id, stop_loss_price=low - 1,
                                                   take_profit_price=high))["success"]  # fmt: skip
        assert float(stop.loss.price) == low - 1
        assert (await trade.cancel_stop([{"stopPlanOrderId": stop.id}]))["success"]
        assert venue.venue.conditional.of(venue.account) == []
        (position,) = venue.account.positions.values()
        stop_body = {"positionId": position.id, "vol": 3, "lossTrend": 2, "profitTrend": 2,
                     "stopLossPrice": str(low), "takeProfitPrice": str(high)}  # fmt: skip
        await place_stop(venue, stop_body)
        assert (await trade.cancel_all_stop(symbol=SYMBOL))["success"]
        assert venue.venue.conditional.of(venue.account) == []
        await place_stop(venue, stop_body)
        venue.venue.move_prices(SYMBOL, fair=bid - 501)  # fires: what fired has all its members
        with pytest.raises(Exception, match="placeOrderId"):  # wanted of cancelled ones too, which
            await trade.stop_orders(SYMBOL, **page)  # never placed anything (A.2, open_orders)
        fired = (await trade.stop_orders(SYMBOL, is_finished=1, **page, validate=False))["data"][0]
        assert (fired["state"], fired["triggerSide"], fired["realityVol"]) == (3, 2, 3)
        assert venue.account.positions == {}

    play(scene)


async def place_stop(venue: Exchange, body: dict[str, Any]) -> None:
    """It has no method for stoporder/place."""
    from mexcfast.sim.calls import Call
    from mexcfast.sim.checks import Params

    handler = venue._rest._exact["POST", "/api/v1/private/stoporder/place"][1]
    handler(Call(Params(body), body, {}, venue.account))


def test_positions_batches_and_records_fit_their_schemas() -> None:
    async def scene(venue: Exchange, client: Any) -> None:
        trade, position, account = client.http.trade, client.http.position, client.http.account
        page = {"page_num": 1, "page_size": 20}
        for mode in (2, 1):
            assert (await position.change_position_mode(mode))["success"]
            assert venue.account.position_mode == mode
        leverage = {"symbol": SYMBOL, "openType": 1, "positionType": 1, "leverage": 25}
        assert (await position.change_leverage(leverage))["success"]
        rows = (await trade.submit_batch([
            order(venue, leverage=25, externalOid="b-1"),
            order(venue, leverage=25, externalOid="b-2", vol=10**9),
        ]))["data"]  # fmt: skip
        assert [one["errorCode"] for one in rows] == [0, 2028] and rows[1]["orderId"] is None
        reply = await trade.cancel_external_order(symbol=SYMBOL, external_oid="b-1")
        assert reply["success"] and venue.account.by_external["b-1"].state == 4
        await trade.submit_order(order(venue, type=5, vol=4, leverage=25))
        (held,) = venue.account.positions.values()
        assert (await position.change_leverage({"positionId": held.id, "leverage": 20}))["success"]
        assert held.leverage == 20
        before = held.margin
        assert (await position.change_margin(held.id, amount=1.5, type="ADD"))["success"]
        assert held.margin - before == Decimal("1.5")
        refused = pytest.raises(Exception, match="8817")
        with refused:
            await position.change_risk_level(SYMBOL, level=2)
        venue.venue.settle_funding(venue.venue.markets[SYMBOL])
        (paid,) = (await account.funding_records(SYMBOL, **page))["data"]["resultList"]
        assert Decimal(str(paid["funding"])) == venue.account.funding[0].amount
        moved = (await account.transfer_record(**page))["data"]["resultList"]
        assert (moved[0]["amount"], moved[0]["type"]) == (100_000, "IN")
        await trade.submit_order(order(venue, type=5, vol=4, side=4, positionId=held.id))
        (closed,) = (await position.history(SYMBOL, **page))["data"]
        assert (closed["positionId"], closed["closeVol"], closed["state"]) == (held.id, 4, 3)

    play(scene)


def order(venue: Exchange, **changes: Any) -> dict[str, Any]:
    price = float(venue.book(SYMBOL).bids[10][0])
    return {"symbol": SYMBOL, "price": price, "vol": 1, "leverage": 20, "side": 1, "type": 1,
            "openType": 1, **changes}  # fmt: skip


def test_orders_positions_and_accounts_fit_their_schemas() -> None:
    async def scene(venue: Exchange, client: Any) -> None:
        trade, position, account = client.http.trade, client.http.position, client.http.account
        placed = await trade.submit_order(order(venue, externalOid="t-1"))
        number, page = placed["data"], {"page_num": 1, "page_size": 20}
        assert (await trade.order(number))["data"]["externalOid"] == "t-1"
        assert (await trade.external_order(symbol=SYMBOL, external_oid="t-1"))["data"]["state"] == 2
        assert len((await trade.open_orders(SYMBOL, **page))["data"]) == 1
        assert (await trade.batch_query(str(number)))["data"]
        cancelled = (await trade.cancel_order([number]))["data"]
        assert cancelled[0]["errorCode"] == 0
        bought = await trade.submit_order(order(venue, type=5, vol=3))
        assert (await trade.order(bought["data"]))["data"]["dealVol"] == 3
        assert (await trade.deal_details(bought["data"]))["data"]
        assert (await trade.order_deals(SYMBOL, **page))["data"]
        assert len((await trade.history_orders(symbol=SYMBOL, **page))["data"]) == 2
        assert (await position.open(SYMBOL))["data"][0]["holdVol"] == 3
        assert (await position.leverage(SYMBOL))["data"]
        assert (await position.position_mode())["data"] == 1
        assert (await position.risk_limit(SYMBOL))["data"]
        assert (await account.assets())["data"]
        assert (await account.asset("USDT"))["data"]["currency"] == "USDT"
        assert (await account.tiered_fee_rate(SYMBOL))["data"]
        assert (await trade.cancel_all_orders(SYMBOL))["success"]

    play(scene)


def test_private_streams_fit_their_schemas() -> None:
    async def scene(venue: Exchange, client: Any) -> None:
        streams = client.streams.user

        async def buy() -> None:
            await client.http.trade.submit_order(order(venue, type=5, vol=2))

        assert (await first(streams.order(), buy))["data"]["symbol"] == SYMBOL
        assert (await first(streams.my_trades(), buy))["data"]["vol"] > 0
        assert (await first(streams.position(), buy))["data"]["holdVol"] > 0
        assert (await first(streams.asset(), buy))["data"]["currency"] == "USDT"

        async def leverage() -> None:
            body = {"symbol": SYMBOL, "openType": 2, "positionType": 2, "leverage": 33}
            await client.http.position.change_leverage(body)

        risk = await first(streams.risk_limit(), leverage)
        assert (risk["data"]["symbol"], risk["data"]["positionType"]) == (SYMBOL, 2)

        async def gain() -> None:
            price = venue.venue.markets[SYMBOL].fair_price
            venue.venue.move_prices(SYMBOL, fair=round(price * Decimal("1.04"), 1))

        level = await first(streams.adl_level(), gain)
        assert 1 <= level["data"]["adlLevel"] <= 5

        async def flat() -> None:
            venue.venue.desk.close_all(venue.account)
            venue.venue.cancel_all(venue.account, None)
            await client.http.position.change_position_mode(2)

        mode = await first(streams.position_mode(), flat)
        assert mode["data"]["positionMode"] == 2

    play(scene)

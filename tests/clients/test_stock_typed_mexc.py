"""typed-mexc 2.3.0 with its strict validation on: every answer and push fits its schemas."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
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

    play(scene)

"""ccxt 4.5.90, stock but for its addresses, against the exchange: REST and streams."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from mexcfast.cli.sim import ccxt_addresses
from mexcfast.sim import Exchange

pytestmark = [
    pytest.mark.client("ccxt"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # of its own vendored code
]

SYMBOL, MARKET = "BTC/USDT:USDT", "BTC_USDT"
OPEN = {"leverage": 20, "openType": 1}

Scene = Callable[[Exchange, Any], Awaitable[None]]


def play(scene: Scene, **settings: Any) -> None:
    """A fresh exchange with a moving market and a stock client of it."""
    import ccxt.pro

    settings = {
        "levels": 60, "updates_per_second": 200, "merge_ms": 10, "limits": False,
        "symbols": (MARKET, "ETH_USDT"), **settings,
    }  # fmt: skip

    async def main() -> None:
        async with Exchange(**settings) as venue:
            client = ccxt.pro.mexc(
                {
                    "apiKey": venue.access_key,
                    "secret": venue.secret,
                    "enableRateLimit": False,  # its limiter makes the first book wait for 5 s
                    "options": {"defaultType": "swap"},
                    "urls": ccxt_addresses(venue.rest_url),
                }
            )
            try:
                async with asyncio.timeout(20):
                    await scene(venue, client)
            finally:
                await client.close()

    asyncio.run(main())


def test_markets_and_market_data() -> None:
    async def scene(venue: Exchange, client: Any) -> None:
        markets = await client.load_markets()
        assert set(markets) == {SYMBOL, "ETH/USDT:USDT"}
        market = markets[SYMBOL]
        assert (market["contractSize"], market["precision"]["price"]) == (0.0001, 0.1)
        assert (market["taker"], market["maker"], market["active"]) == (0.0004, 0.0001, True)
        book = await client.fetch_order_book(SYMBOL)
        truth = venue.book_at(MARKET, book["nonce"])
        assert book["bids"] == [[float(p), q, n] for p, q, n in truth.bids]
        ticker = await client.fetch_ticker(SYMBOL)
        assert ticker["bid"] < ticker["ask"] and ticker["low"] <= ticker["last"] <= ticker["high"]
        venue.trade(MARKET, "buy", 3)
        trades = await client.fetch_trades(SYMBOL)
        assert trades and trades[0]["side"] in ("buy", "sell")
        candles = await client.fetch_ohlcv(SYMBOL, "1m")
        assert candles[-1][5] > 0
        rate = await client.fetch_funding_rate(SYMBOL)
        assert rate["fundingRate"] == 0.000072

    play(scene)


def test_public_streams() -> None:
    async def scene(venue: Exchange, client: Any) -> None:
        book = await client.watch_order_book(SYMBOL)
        for _ in range(20):
            book = await client.watch_order_book(SYMBOL)
            truth = venue.book_at(MARKET, book["nonce"])
            assert [row[:2] for row in book["bids"]] == [[float(p), q] for p, q, _ in truth.bids]
            assert [row[:2] for row in book["asks"]] == [[float(p), q] for p, q, _ in truth.asks]
        trades = await client.watch_trades(SYMBOL)
        assert trades[0]["amount"] > 0 and trades[0]["side"] in ("buy", "sell")
        ticker = await client.watch_ticker(SYMBOL)
        assert ticker["bid"] < ticker["ask"] and ticker["symbol"] == SYMBOL
        tickers = await client.watch_tickers([SYMBOL])
        assert tickers[SYMBOL]["last"]
        candles = await client.watch_ohlcv(SYMBOL, "1m")
        assert candles[-1][2] >= candles[-1][3]
        rate = await client.watch_funding_rate(SYMBOL)
        assert rate["fundingRate"] == 0.000072

    play(scene)


def test_orders_and_what_is_read_of_them() -> None:
    async def scene(venue: Exchange, client: Any) -> None:
        await client.load_markets()
        leverage = {"openType": 1, "positionType": 1}
        assert (await client.set_leverage(20, SYMBOL, leverage))["success"]
        bid = float(venue.book(MARKET).bids[30][0])
        first = await client.create_order(SYMBOL, "limit", "buy", 3, bid, OPEN)
        found = await client.fetch_open_orders(SYMBOL)
        assert [(one["id"], one["amount"], one["price"]) for one in found] == [
            (first["id"], 3.0, bid)
        ]
        assert (await client.fetch_order(first["id"], SYMBOL))["status"] == "open"
        await client.cancel_order(first["id"], SYMBOL)
        assert (await client.fetch_order(first["id"], SYMBOL))["status"] == "canceled"
        post = {**OPEN, "postOnly": True}
        for _ in range(2):
            await client.create_order(SYMBOL, "limit", "buy", 1, bid, post)
        crossing = float(venue.book(MARKET).asks[5][0])
        gone = await client.create_order(SYMBOL, "limit", "buy", 1, crossing, post)
        assert (await client.fetch_order(gone["id"], SYMBOL))["status"] == "canceled"
        assert len(await client.fetch_open_orders(SYMBOL)) == 2
        await client.cancel_all_orders(SYMBOL)
        assert await client.fetch_open_orders(SYMBOL) == []
        bought = await client.create_order(SYMBOL, "market", "buy", 2, None, OPEN)
        filled = await client.fetch_order(bought["id"], SYMBOL)
        assert (filled["status"], filled["filled"]) == ("closed", 2.0)
        (position,) = await client.fetch_positions([SYMBOL])
        assert (position["contracts"], position["side"]) == (2.0, "long")
        assert position["leverage"] == 20 and position["marginMode"] == "isolated"
        balance = await client.fetch_balance()
        assert 99_990 < balance["USDT"]["free"] < balance["USDT"]["total"] + 10
        mine = await client.fetch_my_trades(SYMBOL)
        assert sum(one["amount"] for one in mine) == 2 and mine[0]["takerOrMaker"] == "taker"
        hedged = {"reduceOnly": True, "hedged": True}  # "buy" names the long leg (defect 5)
        await client.create_order(SYMBOL, "market", "buy", 2, None, hedged)
        assert await client.fetch_positions([SYMBOL]) == []
        assert (await client.fetch_leverage(SYMBOL))["longLeverage"] == 20

    play(scene)


def test_private_streams() -> None:
    async def scene(venue: Exchange, client: Any) -> None:
        await client.load_markets()
        watches = [
            asyncio.create_task(watch)
            for watch in (
                client.watch_orders(SYMBOL), client.watch_my_trades(SYMBOL), client.watch_balance(),
            )
        ]  # fmt: skip
        while not any(session.account for session in venue._hub.sessions):  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        await client.create_order(SYMBOL, "market", "buy", 2, None, OPEN)
        orders, trades, balance = await asyncio.gather(*watches)
        assert orders[-1]["symbol"] == SYMBOL and orders[-1]["amount"] == 2
        assert trades[-1]["side"] == "buy" and trades[-1]["price"] > 0
        assert balance["USDT"]["free"] < 100_000
        watch = asyncio.create_task(client.watch_orders(SYMBOL))
        await asyncio.sleep(0)
        bid = float(venue.book(MARKET).bids[30][0])
        placed = await client.create_order(SYMBOL, "limit", "buy", 1, bid, OPEN)
        while (await watch)[-1]["id"] != placed["id"]:
            watch = asyncio.create_task(client.watch_orders(SYMBOL))
        watch = asyncio.create_task(client.watch_orders(SYMBOL))
        await asyncio.sleep(0)
        await client.cancel_order(placed["id"], SYMBOL)
        while (last := (await watch)[-1])["status"] != "canceled":
            watch = asyncio.create_task(client.watch_orders(SYMBOL))
        assert last["id"] == placed["id"]

    play(scene)


def test_refusals_become_its_own_errors() -> None:
    import ccxt

    async def scene(venue: Exchange, client: Any) -> None:
        await client.load_markets()
        bid = float(venue.book(MARKET).bids[3][0])
        with pytest.raises(ccxt.InsufficientFunds):
            await client.create_order(SYMBOL, "limit", "buy", 10**6, bid, OPEN)
        venue.faults.throttle("order/create")
        with pytest.raises(ccxt.RateLimitExceeded):
            await client.create_order(SYMBOL, "limit", "buy", 1, bid, OPEN)
        venue.change_contract(MARKET, api_allowed=False)
        with pytest.raises(ccxt.ExchangeError, match="1002"):
            await client.create_order(SYMBOL, "limit", "buy", 1, bid, OPEN)
        client.secret = "wrong"
        with pytest.raises(ccxt.AuthenticationError):
            await client.fetch_balance()

    play(scene)


def test_lock_step_with_a_second_instance() -> None:
    """Two stock clients see the same books at the same versions, step by step."""

    async def scene(venue: Exchange, client: Any) -> None:
        import ccxt.pro

        other = ccxt.pro.mexc({"enableRateLimit": False, "options": {"defaultType": "swap"},
                               "urls": ccxt_addresses(venue.rest_url)})  # fmt: skip
        seen: list[list[int]] = [[], []]

        async def follow(one: Any, into: list[int]) -> None:
            while True:
                into.append((await one.watch_order_book(SYMBOL))["nonce"])

        tasks = [asyncio.create_task(follow(one, into))
                 for one, into in zip((client, other), seen, strict=True)]  # fmt: skip
        try:
            while not (seen[0] and seen[1]):  # noqa: ASYNC110 - 25 frames each before the first book
                await asyncio.sleep(0.01)
            venue.updates_per_second = 0
            venue.flush(MARKET)
            await venue.act_handled(lambda: venue.step(1, MARKET))
            seen[0].clear(), seen[1].clear()
            reached = [
                (await venue.step_handled(1, MARKET))[MARKET] for _ in range(30)
            ]
            assert seen[0] == seen[1] == reached
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await other.close()

    play(scene, merge_ms=0, symbols=(MARKET,))

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


def play(scene: Scene, *, seconds: float = 20, **settings: Any) -> None:
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
                async with asyncio.timeout(seconds):
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


async def until(call: Callable[[], Awaitable[Any]], wanted: Callable[[Any], bool]) -> Any:
    """The first answer of a watch call that is as wanted."""
    while True:
        answer = await call()
        if wanted(answer):
            return answer


def test_public_calls_tell_the_truth() -> None:
    """Once the market stands still every number is the exchange's own."""

    async def scene(venue: Exchange, client: Any) -> None:
        markets = await client.load_markets()
        contract = venue.venue.markets[MARKET].contract
        market = markets[SYMBOL]
        assert (market["id"], market["base"], market["quote"], market["settle"]) == (
            MARKET, "BTC", "USDT", "USDT"
        )  # fmt: skip
        assert market["limits"]["leverage"] == {
            "min": contract.min_leverage, "max": contract.max_leverage
        }  # fmt: skip
        assert market["limits"]["amount"]["min"] == contract.min_vol
        assert (market["linear"], market["swap"], market["contract"]) == (True, True, True)

        await client.watch_order_book(SYMBOL)
        watches = [
            asyncio.create_task(one)
            for one in (client.watch_trades(SYMBOL), client.watch_ohlcv(SYMBOL, "1m"))
        ]
        await asyncio.gather(*watches)
        venue.updates_per_second = 0
        ask = venue.book(MARKET).asks[0]
        watching = asyncio.create_task(client.watch_trades(SYMBOL))
        await asyncio.sleep(0)
        venue.trade(MARKET, "buy", 2)
        venue.flush(MARKET)
        truth = venue.venue.markets[MARKET]
        deal = truth.deals[-1]
        trades = await watching
        while trades[-1]["timestamp"] < deal.time_ms or trades[-1]["amount"] != 2:
            trades = await client.watch_trades(SYMBOL)
        last = trades[-1]
        assert (last["price"], last["amount"], last["side"], last["timestamp"]) == (
            float(ask[0]), 2.0, "buy", deal.time_ms
        )  # fmt: skip
        book = client.orderbooks[SYMBOL]
        while book["nonce"] != venue.book(MARKET).version:
            book = await client.watch_order_book(SYMBOL)
        assert book["asks"][0][:2] == [float(ask[0]), float(ask[1] - 2)]

        ticker = await until(
            lambda: client.watch_ticker(SYMBOL), lambda one: one["last"] == float(ask[0])
        )
        price = truth.contract.price
        best = venue.book(MARKET)
        assert (ticker["bid"], ticker["ask"]) == (
            float(best.bids[0][0]), float(best.asks[0][0])
        )  # fmt: skip
        assert (ticker["high"], ticker["low"]) == (
            float(price(truth.high_tick)), float(price(truth.low_tick))
        )  # fmt: skip
        assert ticker["info"]["holdVol"] == truth.open_interest
        candle = truth.candles.latest("Min1")
        shown = truth.candles.push("Min1", candle)
        watching = asyncio.create_task(client.watch_ohlcv(SYMBOL, "1m"))
        await asyncio.sleep(0)
        venue._hub._publish_states([("kline", MARKET, "Min1")])
        candles = await watching
        assert candles[-1] == [
            shown["t"] * 1000, *(float(shown[name]) for name in ("o", "h", "l", "c", "q"))
        ]  # fmt: skip

    play(scene, seconds=60)


def test_private_calls_tell_the_truth() -> None:
    async def scene(venue: Exchange, client: Any) -> None:
        await client.load_markets()
        venue.updates_per_second = 0
        account, truth = venue.account, venue.venue.markets[MARKET]
        await client.set_leverage(25, SYMBOL, {"openType": 1, "positionType": 1})
        assert account.leverage(MARKET, 1, 1) == 25
        params = {"leverage": 25, "openType": 1}
        orders, trades, balances = (
            asyncio.create_task(one)
            for one in (client.watch_orders(SYMBOL), client.watch_my_trades(SYMBOL),
                        client.watch_balance())
        )  # fmt: skip
        while not any(session.account for session in venue._hub.sessions):  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        bid = venue.book(MARKET).bids[0]
        placed = await client.create_order(SYMBOL, "limit", "buy", 5, float(bid[0]), params)
        order = account.orders[int(placed["id"])]
        (shown,) = await orders
        assert (shown["id"], shown["price"], shown["amount"], shown["remaining"]) == (
            placed["id"], float(bid[0]), 5.0, 5.0
        )  # fmt: skip
        venue.trade(MARKET, "sell", bid[1] + 3)  # the queue ahead, and three of mine
        part = (await until(lambda: client.watch_orders(SYMBOL), lambda one: one[-1]["filled"]))[-1]
        assert (part["filled"], part["remaining"], part["average"], part["status"]) == (
            3.0, 2.0, float(bid[0]), "open"
        )  # fmt: skip
        (mine,), deal = await trades, account.deals[-1]
        assert (mine["id"], mine["order"], mine["amount"], mine["price"]) == (
            str(deal.id), placed["id"], 3.0, float(deal.price)
        )  # fmt: skip
        assert (mine["fee"]["cost"], mine["takerOrMaker"]) == (float(deal.fee), "maker")
        await balances
        free = float(account.available("USDT"))
        near = pytest.approx(free, abs=1e-9)
        while client.balance["swap"]["USDT"]["free"] != near:  # noqa: ASYNC110 - on their way
            await asyncio.sleep(0.01)
        balance = (await client.fetch_balance())["USDT"]
        assert balance["free"] == pytest.approx(free, abs=1e-9)
        assert balance["used"] == pytest.approx(float(account.frozen("USDT")), abs=1e-9)
        (position,), (held,) = await client.fetch_positions([SYMBOL]), account.positions.values()
        assert (position["contracts"], position["entryPrice"], position["side"]) == (
            3.0, float(bid[0]), "long"
        )  # fmt: skip
        assert position["liquidationPrice"] == float(held.liquidation_price())
        assert (position["leverage"], position["initialMargin"]) == (25.0, float(held.margin))
        (waiting,) = await client.fetch_open_orders(SYMBOL)
        assert (waiting["id"], waiting["filled"], waiting["remaining"]) == (placed["id"], 3.0, 2.0)
        ask = float(venue.book(MARKET).asks[0][0])
        crossed = await client.create_order(
            SYMBOL, "limit", "buy", 1, ask, {**params, "postOnly": True}
        )
        rejected = account.orders[int(crossed["id"])]
        assert (rejected.state, rejected.error_code, rejected.deal_vol) == (4, 20, 0)
        await client.cancel_order(placed["id"], SYMBOL)
        assert (order.state, order.deal_vol) == (4, 3)
        await client.create_order(SYMBOL, "market", "buy", 4, None, params)
        assert held.hold_vol == 7
        for rank in (5, 6):
            price = float(venue.book(MARKET).bids[rank][0])
            await client.create_order(SYMBOL, "limit", "buy", 1, price, params)
        assert len(account.open_orders) == 2
        await client.cancel_all_orders(SYMBOL)
        assert not account.open_orders and truth.book.level(1, 0) == (0, 0)
        total = sum(one.profit - one.fee for one in account.deals)
        assert account.cash["USDT"] == 100_000 + total

    play(scene, seconds=60)


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


def test_the_harness_fails_by_defects_of_its_own() -> None:
    """Each reason that docs/sim.md gives, shown without any exchange."""
    import ccxt.pro

    async def main() -> None:
        client = ccxt.pro.mexc()
        try:
            # fetchOrders, fetchClosedOrders, fetchMyTrades, watchOrders, watchMyTrades
            assert [client.parse_order_side(str(side)) for side in (1, 2, 3, 4)] == [
                "buy", "sell", "3", "4"
            ]  # fmt: skip
            held = {"positionId": 1, "symbol": MARKET, "holdVol": 5, "holdAvgPrice": 84_000}
            client.markets, client.markets_by_id = {}, {}
            assert client.parse_position(held)["notional"] is None  # fetchPositions
            client.fetch_account_helper = accounts
            (account,) = await client.fetch_accounts({"type": "swap"})  # fetchAccounts
            assert (account["code"], account["id"], account["type"]) == ("USDT", None, None)
            with pytest.raises(TypeError, match="unhashable"):  # fetchLeverageTiers
                client.market_symbols([[SYMBOL]], "swap", True, True)
            with pytest.raises(ccxt.ArgumentsRequired, match="fromAccountType"):  # fetchTransfers
                await client.fetch_transfers()
            client.markets_for_symbols = lambda symbols: [{"swap": True, "type": "swap"}]
            assert client.has["watchBidsAsks"] is True
            with pytest.raises(ccxt.NotSupported, match="only support spot"):
                await client.watch_bids_asks([])
            deals = [{"p": price, "v": amount, "T": 1, "O": 1, "M": 2, "t": 1_700_000_000_000}
                     for price, amount in ((84_000.2, 1610), (84_000.1, 205))]    # newest first
            rows = client.parse_trades(deals, {"id": MARKET, "symbol": SYMBOL, "swap": True})
            assert [row["amount"] for row in rows] == [1610, 205]    # fetchTrades: not by time
            # not in the harness: what cancel_order answers names no order
            assert client.parse_order([{"orderId": "5", "errorCode": 0}])["id"] is None
        finally:
            await client.close()

    async def accounts(*_: Any) -> Any:
        return {"balances": [{"currency": "USDT", "availableBalance": 5}]}

    asyncio.run(main())


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

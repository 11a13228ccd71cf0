"""Calls that stock ccxt does not have for MEXC swaps.

watch_positions, watch_bids_asks and the *_for_symbols watches take the venue's streams; the *_ws
order calls go over mexcfast.Client, since the venue has no order entry on its socket.
"""

from __future__ import annotations

from typing import Any

from ccxt.async_support.base.ws.cache import ArrayCacheBySymbolBySide  # type: ignore[import-untyped]
from ccxt.async_support.base.ws.future import Future  # type: ignore[import-untyped]
from ccxt.base.errors import ArgumentsRequired, NotSupported  # type: ignore[import-untyped]

Message = dict[str, Any]
Params = dict[str, Any]

HAS = {
    "watchPositions": True, "watchBidsAsks": True, "unWatchBidsAsks": True,
    "watchOrderBookForSymbols": True, "watchTradesForSymbols": True, "watchOHLCVForSymbols": True,
    "unWatchOrderBookForSymbols": True, "unWatchTradesForSymbols": True,
    "unWatchOHLCVForSymbols": True,
    "createOrderWs": True, "cancelOrderWs": True, "cancelOrdersWs": True,
    "cancelAllOrdersWs": True, "editOrderWs": False,
}
TOP_LEVELS = 5               # of push.depth.full; 5, 10 or 20 (protocol.md 7.4)
POSITION_SIDES = {"long": 1, "short": 2}


class Extras:
    """Mixed into the exchange."""

    # -- several contracts at once ----------------------------------------------------------------

    async def _swap_markets(self: Any, symbols: Any, method: str) -> list[Message]:
        if self.markets is None:
            await self.load_markets()
        if not symbols:
            raise ArgumentsRequired(f"{self.id} {method}() requires a list of symbols")
        markets = [self.market(symbol) for symbol in symbols]
        for market in markets:
            if market["swap"] is not True:
                raise NotSupported(f"{self.id} {method}() supports swap markets only, "
                                   f"{market['symbol']} is none")
        return markets

    def _subscribe(self: Any, channel: str, wait: str, param: Message, params: Params) -> Any:
        """The future of one watch; its subscription is sent when there is none yet."""
        future = self._again(wait, wait)
        if future is not None:
            return future
        request = self.extend({"method": channel, "param": param}, params)
        return self.watch(self.urls["api"]["ws"]["swap"], wait, request, wait)

    async def watch_order_book_for_symbols(self: Any, symbols: list[str], limit: Any = None,
                                           params: Params = {}) -> Any:  # noqa: B006 - ccxt's way
        """The book that changes next, of the given contracts."""
        markets = await self._swap_markets(symbols, "watchOrderBookForSymbols")
        futures = [self._subscribe("sub.depth", "orderbook:" + market["symbol"],
                                   {"symbol": market["id"]}, params) for market in markets]
        return (await Future.race(futures)).limit()

    async def watch_trades_for_symbols(self: Any, symbols: list[str], since: Any = None,
                                       limit: Any = None, params: Params = {}) -> Any:  # noqa: B006
        """The trades that come next, of one of the given contracts."""
        markets = await self._swap_markets(symbols, "watchTradesForSymbols")
        futures = [self._subscribe("sub.deal", "trades:" + market["symbol"],
                                   {"symbol": market["id"]}, params) for market in markets]
        trades = await Future.race(futures)
        if self.newUpdates:
            limit = trades.getLimit(self.safe_string(self.safe_value(trades, 0), "symbol"), limit)
        return self.filter_by_since_limit(trades, since, limit, "timestamp", True)

    async def watch_ohlcv_for_symbols(
            self: Any, symbolsAndTimeframes: list[list[str]], since: Any = None,
            limit: Any = None, params: Params = {}) -> Any:  # noqa: B006
        """{symbol: {timeframe: candles}} of whichever candle changes next."""
        pairs = symbolsAndTimeframes
        markets = await self._swap_markets([pair[0] for pair in pairs], "watchOHLCVForSymbols")
        names = self.safe_dict(self.options, "timeframes", {})
        futures = []
        for market, (_, timeframe) in zip(markets, pairs, strict=True):
            futures.append(self._subscribe(
                "sub.kline", f"candles:{market['symbol']}:{timeframe}",
                {"symbol": market["id"], "interval": self.safe_string(names, timeframe)}, params))
        candles = await Future.race(futures)
        done = next(number for number, future in enumerate(futures)
                    if future.done() and not future.cancelled() and future.result() is candles)
        symbol, timeframe = markets[done]["symbol"], pairs[done][1]
        if self.newUpdates:
            limit = candles.getLimit(symbol, limit)
        found = self.filter_by_since_limit(candles, since, limit, 0, True)
        return self.create_ohlcv_object(symbol, timeframe, found)

    async def un_watch_order_book_for_symbols(self: Any, symbols: list[str],
                                              params: Params = {}) -> Any:  # noqa: B006
        for symbol in symbols:
            await self.un_watch_order_book(symbol, dict(params))

    async def un_watch_trades_for_symbols(self: Any, symbols: list[str],
                                          params: Params = {}) -> Any:  # noqa: B006
        for symbol in symbols:
            await self.un_watch_trades(symbol, dict(params))

    async def un_watch_ohlcv_for_symbols(self: Any, symbolsAndTimeframes: list[list[str]],
                                         params: Params = {}) -> Any:  # noqa: B006
        for symbol, timeframe in symbolsAndTimeframes:
            await self.un_watch_ohlcv(symbol, timeframe, dict(params))

    # -- the best prices --------------------------------------------------------------------------

    async def watch_bids_asks(self: Any, symbols: Any = None,
                              params: Params = {}) -> Any:  # noqa: B006
        """Best bid and ask with their quantities; spot as in stock."""
        if self.markets is None:
            await self.load_markets()
        if not symbols or self.market(symbols[0])["swap"] is not True:
            return await super().watch_bids_asks(symbols, params)    # type: ignore[misc]
        markets = await self._swap_markets(symbols, "watchBidsAsks")
        futures = [self._subscribe("sub.depth.full", "bidask:" + market["symbol"],
                                   {"symbol": market["id"], "limit": TOP_LEVELS}, params)
                   for market in markets]
        ticker = await Future.race(futures)
        if self.newUpdates:
            return {ticker["symbol"]: ticker}
        return self.filter_by_array(self.bidsasks, "symbol", [one["symbol"] for one in markets])

    async def un_watch_bids_asks(self: Any, symbols: Any = None,
                                 params: Params = {}) -> Any:  # noqa: B006
        if self.markets is None:
            await self.load_markets()
        if not symbols or self.market(symbols[0])["swap"] is not True:
            return await super().un_watch_bids_asks(symbols, params)  # type: ignore[misc]
        markets = await self._swap_markets(symbols, "unWatchBidsAsks")
        client = self.client(self.urls["api"]["ws"]["swap"])
        for market in markets:
            wait = "unsubscribe:bidask:" + market["symbol"]
            self.spawn(self.watch_swap_public, "unsub.depth.full", wait,
                       {"symbol": market["id"], "limit": TOP_LEVELS}, params)
            self.handle_unsubscriptions(client, [wait])

    def _handle_top(self: Any, client: Any, message: Message) -> None:
        """push.depth.full: the first levels, whole each time."""
        market, data = self._swap(message.get("symbol")), message.get("data")
        if market is None or type(data) is not dict:
            return
        bid, ask = ((data.get(side) or [[None, None]])[0] for side in ("bids", "asks"))
        ms = self.safe_integer(message, "ts")
        ticker = self.safe_ticker({
            "symbol": market["symbol"], "timestamp": ms, "datetime": self.iso8601(ms),
            "ask": self.safe_number(ask, 0), "askVolume": self.safe_number(ask, 1),
            "bid": self.safe_number(bid, 0), "bidVolume": self.safe_number(bid, 1),
            "info": message,
        }, market)
        self.bidsasks[market["symbol"]] = ticker
        client.resolve(ticker, "bidask:" + market["symbol"])

    # -- positions --------------------------------------------------------------------------------

    async def watch_positions(self: Any, symbols: Any = None, since: Any = None, limit: Any = None,
                              params: Params = {}) -> Any:  # noqa: B006
        """Positions as they change; a closed one comes with 0 contracts. Nothing comes at first:
        what is held already, fetch_positions() says."""
        if self.markets is None:
            await self.load_markets()
        symbols = self.market_symbols(symbols)
        waits = ["positions"] if not symbols else [f"positions:{symbol}" for symbol in symbols]
        self.check_required_credentials()
        url = self.urls["api"]["ws"]["swap"]
        futures = [self._again(wait, "login") for wait in waits]
        if None in futures:
            # One login serves them all: the first one asks for it, as every private watch does.
            first = self.spawn(self.watch_swap_private, waits[0], params)
            client = self.client(url)
            futures = [first, *(client.future(wait) for wait in waits[1:])]
        changed = await Future.race(futures)
        if self.newUpdates:
            return self.filter_by_symbols_since_limit(changed, symbols, since, limit, True)
        return self.filter_by_symbols_since_limit(self.positions, symbols, since, limit, True)

    def _handle_position(self: Any, client: Any, message: Message) -> None:
        """push.personal.position."""
        raw = message.get("data")
        if type(raw) is not dict:
            return
        market = self._swap(raw.get("symbol"))
        side: Any = raw.get("positionType")
        # Some pushes name the side in words; parse_position knows the numbers only.
        position = self.parse_position(
            {**raw, "positionType": POSITION_SIDES.get(side, side)}, market)
        position["info"] = raw
        if self.positions is None:
            self.positions = ArrayCacheBySymbolBySide()
        self.positions.append(position)
        client.resolve([position], "positions")
        client.resolve([position], f"positions:{position['symbol']}")

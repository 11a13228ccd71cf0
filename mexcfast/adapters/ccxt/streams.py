"""The futures stream under ccxt: dispatch, hot handlers, answers, and watches that are repeated."""

from __future__ import annotations

from typing import Any

from ccxt.async_support.base.ws.cache import ArrayCache  # type: ignore[import-untyped]
from ccxt.base.errors import AuthenticationError, BadSymbol, ExchangeError  # type: ignore[import-untyped]

from mexcfast.adapters.ccxt.wire import SwapClient

Message = dict[str, Any]

#: what a subscription's request is called -> the beginning of the name ccxt waits under
WAITS = {"sub.depth": "orderbook:", "sub.deal": "trades:", "sub.ticker": "ticker:",
         "sub.kline": "candles:", "sub.funding.rate": "fundingRate:", "sub.tickers": "ticker",
         "sub.depth.full": "bidask:"}
PRIVATE = ("orders", "myTrades", "positions", "balance:swap")


class Streams:
    """Mixed into the exchange."""

    def _start_streams(self: Any) -> None:
        self._handlers = {
            "push.depth": self.handle_order_book,
            "push.deal": self.handle_trades,
            "push.ticker": self.handle_ticker,
            "push.tickers": self.handle_tickers,
            "push.kline": self.handle_ohlcv,
            "push.funding.rate": self.handle_funding_rate,
            "push.personal.order": self.handle_order,
            "push.personal.order.deal": self.handle_my_trade,
            "push.personal.asset": self.handle_balance,
            "push.personal.position": self._handle_position,
            "push.depth.full": self._handle_top,
            "pong": self.handle_pong,
        }

    def client(self: Any, url: str) -> Any:
        made = super().client(url)                           # type: ignore[misc]
        if (type(made) is not SwapClient and url == self.urls["api"]["ws"]["swap"]
                and made.connection is None and not made.connecting
                and not any(self.check_ws_proxy_settings()) and "cookies" not in made.options):
            SwapClient.turn(made, self.ssl_context)
        return made

    # -- frames -----------------------------------------------------------------------------------

    def handle_message(self: Any, client: Any, message: Any) -> None:
        if type(message) is dict and "msg" not in message and "c" not in message:
            channel = message.get("channel")
            handler = self._handlers.get(channel) if type(channel) is str else None
            if handler is not None:
                handler(client, message)
                return
            if type(channel) is str and channel.startswith("rs."):
                self._handle_answer(client, channel, message)
                return
        super().handle_message(client, message)              # type: ignore[misc]

    def handle_trades(self: Any, client: Any, message: Message) -> None:
        market = self._swap(message.get("symbol"))
        rows: Any = message.get("data")
        if market is None or type(rows) not in (list, dict) or "d" in message:
            super().handle_trades(client, message)           # type: ignore[misc]
            return
        symbol = market["symbol"]
        stored = self.trades.get(symbol)
        if stored is None:
            limit = self.safe_integer(self.options, "tradesLimit", 1000)
            stored = self.trades[symbol] = ArrayCache(limit)
        if type(rows) is dict:
            rows = [rows]                                    # the older shape is one object
        for row in rows:
            stored.append(self.parse_trade(row, market))
        client.resolve(stored, "trades:" + symbol)

    def handle_ticker(self: Any, client: Any, message: Message) -> None:
        market, data = self._swap(message.get("symbol")), message.get("data")
        if market is None or type(data) is not dict or "d" in message or "s" in message:
            super().handle_ticker(client, message)           # type: ignore[misc]
            return
        ticker = self.parse_ticker(data, market)
        symbol = market["symbol"]
        self.tickers[symbol] = ticker
        client.resolve(ticker, "ticker:" + symbol)

    # -- answers to requests ----------------------------------------------------------------------

    def _handle_answer(self: Any, client: Any, channel: str, message: Message) -> None:
        """rs.<request> and rs.error, which stock ignores: the watch then waits for ever."""
        if type(client) is not SwapClient:
            return
        data = message.get("data")
        asked = client.answered(None if channel == "rs.error" else channel[3:])
        if asked is None:
            return
        failed = channel == "rs.error" or (
            type(data) is dict and (data.get("code") or data.get("msg")))
        if failed:
            text = data.get("msg", data) if type(data) is dict else data
            self._refused(client, asked, f"{self.id} {asked['method']}: {text}")
        elif asked["method"] == "sub.depth":
            self._subscribed_depth(client, self.safe_string(asked.get("param"), "symbol"))

    def _refused(self: Any, client: Any, asked: Message, text: str) -> None:
        """Tell whoever waits for it, and let the next watch ask again."""
        method = asked["method"]
        if method == "login":
            client.subscriptions.pop("login", None)
            waits = [wait for wait in client.futures if wait.startswith(PRIVATE)]
            error: Exception = AuthenticationError(text)
        else:
            start = WAITS.get(method)
            param = asked.get("param") or {}
            market = self._swap(param.get("symbol"))
            name = "" if market is None else market["symbol"]
            if start is None:
                return
            waits = [wait for wait in client.subscriptions
                     if wait.startswith(start) and _is_of(wait, start, name)]
            for wait in waits:
                client.subscriptions.pop(wait, None)
            error = (BadSymbol if "ontract" in text else ExchangeError)(text)
        for wait in waits:
            if wait in client.futures:
                client.reject(error, wait)

    # -- watches ----------------------------------------------------------------------------------

    def _again(self: Any, message_hash: str, subscribe_hash: str) -> Any:
        """The future of a watch that is subscribed already on an open socket; else None."""
        client = self.clients.get(self.urls["api"]["ws"]["swap"]) if self.clients else None
        if (type(client) is SwapClient and subscribe_hash in client.subscriptions
                and client.isConnected and not client.closed()):
            return client.future(message_hash)
        return None

    async def watch_swap_public(self: Any, channel: str, messageHash: str,
                                requestParams: Message, params: Message = {}) -> Any:  # noqa: B006
        future = None if channel.startswith("unsub.") else self._again(messageHash, messageHash)
        if future is not None:
            return await future
        return await super().watch_swap_public(              # type: ignore[misc]
            channel, messageHash, requestParams, params)

    async def watch_swap_private(self: Any, messageHash: str,
                                 params: Message = {}) -> Any:  # noqa: B006
        self.check_required_credentials()
        future = self._again(messageHash, "login")
        if future is not None:
            return await future
        return await super().watch_swap_private(messageHash, params)  # type: ignore[misc]

    async def watch_order_book(self: Any, symbol: str, limit: Any = None,
                               params: Message = {}) -> Any:  # noqa: B006
        if self.markets is not None and symbol in self.markets:
            # Every book update comes through here: the shortest way.
            wait = "orderbook:" + symbol
            future = self._again(wait, wait)
            if future is not None and self.markets[symbol]["swap"] is True:
                return (await future).limit()
        return await super().watch_order_book(symbol, limit, params)  # type: ignore[misc]

    def handle_unsubscriptions(self: Any, client: Any, messageHashes: list[str]) -> None:
        super().handle_unsubscriptions(client, messageHashes)  # type: ignore[misc]
        for message_hash in messageHashes:
            if message_hash.startswith("unsubscribe:orderbook:"):
                self._forget_book(message_hash.removeprefix("unsubscribe:orderbook:"))


def _is_of(wait: str, start: str, symbol: str) -> bool:
    """Whether a name ccxt waits under is of this request: all of it, or with a timeframe behind."""
    rest = wait[len(start):]
    return rest == symbol or (start == "candles:" and rest.startswith(symbol + ":"))

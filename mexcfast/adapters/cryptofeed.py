"""MEXC futures as a cryptofeed Feed, on mexcfast's streams and gap-checked books.

    from mexcfast.adapters.cryptofeed import MEXCFutures
    handler = FeedHandler()
    handler.add_feed(MEXCFutures(symbols=["BTC-USDT-PERP"], channels=[L2_BOOK, TRADES],
                                 callbacks={L2_BOOK: book, TRADES: trade}))
    handler.run()

cryptofeed's connection is a mexcfast.Client: sockets, pings, reconnects, repairs of books are its
own, and cryptofeed sees one connection that stays. docs/adapters/cryptofeed.md has the whole story.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections import deque
from collections.abc import AsyncIterator, Callable
from decimal import Decimal
from typing import Any

import mexcfast as mx
from mexcfast import topics
from mexcfast.errors import ConfigError, MissingExtra

try:
    from cryptofeed import exchanges  # type: ignore  # typed or not, here or not
    from cryptofeed.connection import (  # type: ignore
        AsyncConnection,
        RestEndpoint,
        Routes,
        WebsocketEndpoint,
    )
    from cryptofeed.defines import (  # type: ignore
        ASK,
        BID,
        BUY,
        CANDLES,
        FUNDING,
        INDEX,
        L2_BOOK,
        OPEN_INTEREST,
        PERPETUAL,
        SELL,
        TICKER,
        TRADES,
    )
    from cryptofeed.feed import Feed  # type: ignore
    from cryptofeed.symbols import Symbol, Symbols  # type: ignore
    from cryptofeed.types import (  # type: ignore
        Candle,
        Funding,
        Index,
        OpenInterest,
        OrderBook,
        Ticker,
        Trade,
    )
except ImportError as error:
    raise MissingExtra("cryptofeed", str(error)) from error

__all__ = ["MEXC_FUTURES", "MEXCFutures", "install"]

log = logging.getLogger("mexcfast.cryptofeed")

MEXC_FUTURES = "MEXC_FUTURES"
CONTRACTS = "/api/v1/contract/detail"
INTERVALS = {"1m": "Min1", "5m": "Min5", "15m": "Min15", "30m": "Min30", "1h": "Min60",
             "4h": "Hour4", "8h": "Hour8", "1d": "Day1", "1w": "Week1"}
SECONDS = {"Min1": 60, "Min5": 300, "Min15": 900, "Min30": 1800, "Min60": 3600, "Hour4": 14400,
           "Hour8": 28800, "Day1": 86400, "Week1": 604800}
BOUND = 20_000          # what may wait for slow callbacks

#: what waits for the callbacks: kind, our name of the contract, the content, receipt in ns
Item = tuple[str, str, Any, int]


class Stream(AsyncConnection):  # type: ignore[misc]
    """cryptofeed's connection: a mexcfast.Client, and what has come and was not handled yet.

    dropped: what slow callbacks have missed. A book that missed something is told whole next.
    """

    def __init__(self, conn_id: str, client: Callable[[], mx.Client], bound: int,
                 subscription: dict[str, list[str]]) -> None:
        super().__init__(f"{conn_id}.mexcfast.{AsyncConnection.conn_count}",
                         subscription=subscription)
        self.dropped = 0
        self._bound = bound
        self._make = client
        self._items: deque[Item] = deque()
        self._bell = asyncio.Event()

    @property
    def is_open(self) -> bool:
        return getattr(self, "conn", None) is not None

    async def _open(self) -> None:
        self._items.clear()
        self._bell = asyncio.Event()
        self.sent = self.received = 0
        self.last_message: float | None = None
        self.conn = self._make()

    async def close(self) -> None:
        """End read(), then the client."""
        self._bell.set()
        await super().close()

    def put(self, item: Item) -> bool:
        """False when the callbacks are too slow and it was dropped."""
        if len(self._items) >= self._bound:
            if not self.dropped:
                log.warning("%s: callbacks are too slow, %d wait; from now on some are dropped",
                            self.id, self._bound)
            self.dropped += 1
            return False
        self._items.append(item)
        self._bell.set()
        return True

    async def read(self) -> AsyncIterator[Item]:
        """Items as they come, until close()."""
        while self.is_open:
            while self._items and self.is_open:
                self.received += 1
                self.last_message = time.time()
                yield self._items.popleft()
            if self.is_open:
                self._bell.clear()
                await self._bell.wait()

    async def write(self, msg: str) -> None:
        raise ConfigError("this connection takes no frames; allowed: feed.client and its calls")


class _Books(mx.BookChanges):
    """One contract's book on its way to the callbacks."""

    def __init__(self, stream: Stream, symbol: str) -> None:
        super().__init__()
        self._stream = stream
        self._symbol = symbol

    def on_whole(self, book: mx.OrderBook) -> None:
        units = Decimal(1).scaleb(-book.price_scale), Decimal(1).scaleb(-book.quantity_scale)
        sides = [{price * units[0]: quantity * units[1] for price, quantity, _ in side}
                 for side in book.exact()]
        content = (sides, book.version, book.ts_venue_ms)
        if not self._stream.put(("whole", self._symbol, content, self.ts_seen_ns)):
            self.forget()

    def on_changes(self, book: mx.OrderBook, frames: list[mx.events.Depth]) -> None:
        for frame in frames:
            if not self._stream.put(("delta", self._symbol, frame, self.ts_seen_ns)):
                self.forget()
                return


class _Events(mx.Listener):
    """Everything else on its way to the callbacks."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self.missed_ns = 0           # when something was missed last, our wall clock

    def on_event(self, event: mx.Event) -> None:
        if not self._stream.put(("event", event.symbol or "", event, event.ts_recv_ns)):
            self.missed_ns = event.ts_recv_ns

    def on_disconnected(self, connection: object, why: str) -> None:
        self.missed_ns = time.time_ns()


class MEXCFutures(Feed):  # type: ignore[misc]
    """MEXC futures: L2_BOOK, TRADES, TICKER, FUNDING, INDEX, OPEN_INTEREST and CANDLES.

    endpoint: where, a mexcfast.Endpoint or a REST address; the live venue by default. every: each
    version of books and each trade on its own instead of merged by the venue. bound: how much may
    wait for slow callbacks. streams: mexcfast's StreamSettings. Everything else as in
    cryptofeed.feed.Feed; `timeout` is -1, because silent topics are found and mended underneath.
    client: the mexcfast.Client behind it while it is connected.
    Amounts are contracts; info()["contract_size"] has the coins in each.
    """

    id = MEXC_FUTURES
    websocket_endpoints = [WebsocketEndpoint(mx.LIVE.ws_url)]  # noqa: RUF012 - cryptofeed's way
    rest_endpoints = [RestEndpoint(mx.LIVE.rest_url, routes=Routes(CONTRACTS))]  # noqa: RUF012
    websocket_channels = {  # noqa: RUF012
        L2_BOOK: "depth", TRADES: "deal", TICKER: "ticker", FUNDING: "funding.rate",
        INDEX: "index.price", OPEN_INTEREST: "ticker.open_interest", CANDLES: "kline"}
    valid_candle_intervals = frozenset(INTERVALS)
    candle_interval_map = INTERVALS
    request_limit = 10

    def __init__(self, endpoint: mx.Endpoint | str | None = None, *, every: bool = False,
                 bound: int = BOUND, streams: mx.StreamSettings | None = None, **kwargs: Any
                 ) -> None:
        if bound < 1:
            raise ConfigError(f"bound is {bound}; allowed: 1 and above")
        if endpoint is None:
            self.endpoint = mx.LIVE
        else:
            self.endpoint = mx.Endpoint.at(endpoint) if isinstance(endpoint, str) else endpoint
            self._load_symbols()
        kwargs.setdefault("timeout", -1)
        super().__init__(**kwargs)
        self.every = every
        self._bound = bound
        self._streams = streams
        self._events: _Events | None = None
        self._stream: Stream | None = None
        self._marks: dict[str, Decimal] = {}
        self._candles: dict[str, Any] = {}                    # the newest event, not closed yet
        self._index_names: dict[str, list[str]] = {}          # topic's contract -> contracts

    @property
    def client(self) -> mx.Client | None:
        """The client that carries this feed; None while there is no connection."""
        return None if self._stream is None else self._stream.conn

    @property
    def dropped(self) -> int:
        """What slow callbacks have missed."""
        return 0 if self._stream is None else self._stream.dropped

    # -- symbols ----------------------------------------------------------------------------------

    def _load_symbols(self) -> None:
        """Contracts of another endpoint than the live one. Blocks, as cryptofeed's own does."""
        address = self.endpoint.rest_url + CONTRACTS
        data = self.http_sync.read(address, json=True, uuid=self.id)
        Symbols.set(self.id, *self._parse_symbol_data(data))

    @classmethod
    def timestamp_normalize(cls, ts: int) -> float:
        """The venue's milliseconds as seconds."""
        return ts / 1000

    @classmethod
    def _parse_symbol_data(cls, data: Any) -> tuple[dict[str, str], dict[str, dict[str, Any]]]:
        rows = data["data"]
        names: dict[str, str] = {}
        info: dict[str, dict[str, Any]] = {
            "instrument_type": {}, "tick_size": {}, "lot_size": {}, "contract_size": {},
            "is_inverse": {}}
        for row in [rows] if isinstance(rows, dict) else rows:
            base, _, quote = row["symbol"].rpartition("_")
            if not base or row.get("state", 0) != 0 or row.get("futureType", 1) != 1:
                continue             # delisted, paused, or delivered on a day
            name = Symbol(base, quote, type=PERPETUAL).normalized
            names[name] = row["symbol"]
            info["instrument_type"][name] = PERPETUAL
            info["tick_size"][name] = Decimal(row["priceUnit"])
            info["lot_size"][name] = Decimal(row["volUnit"])
            info["contract_size"][name] = Decimal(row["contractSize"])
            info["is_inverse"][name] = row["settleCoin"] == row["baseCoin"]
        return names, info

    # -- the connection ---------------------------------------------------------------------------

    def connect(self) -> list[tuple[Any, Any, Any, Any]]:
        """One connection for everything: how many sockets there are is the client's business."""
        wanted = {channel: list(symbols) for channel, symbols in self.subscription.items()}
        if not any(wanted.values()):
            return []
        self._stream = Stream(self.id, self._make_client, self._bound, wanted)
        return [(self._stream, self.subscribe, self.message_handler, self.authenticate)]

    def _make_client(self) -> mx.Client:
        return mx.Client(self.endpoint, streams=self._streams)

    async def subscribe(self, connection: Stream) -> None:
        """Send every topic to the queue."""
        client: mx.Client = connection.conn
        kind = False if self.every else None
        self._l2_book.clear()
        self._candles.clear()
        self._index_names.clear()
        self._events = events = _Events(connection)
        wanted: dict[Any, None] = {}
        for channel, symbols in connection.subscription.items():
            for symbol in symbols:
                if channel == "depth":
                    books = _Books(connection, symbol)
                    client.subscribe(books, topics.depth(symbol, kind))
                elif channel == "deal":
                    wanted[topics.deals(symbol, kind)] = None
                elif channel == "kline":
                    wanted[topics.kline(symbol, INTERVALS[self.candle_interval])] = None
                elif channel == "funding.rate":
                    wanted[topics.funding_rate(symbol)] = None
                    wanted[topics.fair_price(symbol)] = None       # the mark price beside it
                elif channel == "index.price":
                    source = self._index_source(symbol)
                    self._index_names.setdefault(source, []).append(symbol)
                    wanted[topics.index_price(source)] = None
                else:
                    wanted[topics.ticker(symbol)] = None
        client.subscribe(events, list(wanted))

    def _index_source(self, symbol: str) -> str:
        """Whose index: for contracts settled in their base coin the USDT contract's."""
        name = self.exchange_symbol_to_std_symbol(symbol)
        is_inverse = Symbols.get(self.id)[1]["is_inverse"].get(name, False)
        return f"{symbol.rpartition('_')[0]}_USDT" if is_inverse else symbol

    def _wants(self, channel: str, symbol: str) -> bool:
        return symbol in self.subscription.get(self.websocket_channels[channel], ())

    async def message_handler(self, msg: Item, conn: Stream, timestamp: float) -> None:
        """One item to the callbacks. timestamp: not used; each item has its own receipt time."""
        kind, symbol, content, ts_recv_ns = msg
        received = ts_recv_ns / 1e9
        if kind == "whole":
            await self._whole(symbol, content, received)
        elif kind == "delta":
            await self._delta(symbol, content, received)
        else:
            await self._event(content, received)

    def _time(self, event: Any, received: float) -> float:
        stamp = event.ts_venue_ms
        return received if stamp is None else self.timestamp_normalize(stamp)

    # -- books ------------------------------------------------------------------------------------

    async def _whole(self, symbol: str, content: Any, received: float) -> None:
        (bids, asks), version, ts_ms = content
        name = self.exchange_symbol_to_std_symbol(symbol)
        book = OrderBook(self.id, name, bids=bids, asks=asks, max_depth=self.max_depth)
        self._l2_book[name] = book
        await self.book_callback(
            L2_BOOK, book, received, sequence_number=version,
            timestamp=received if ts_ms < 0 else self.timestamp_normalize(ts_ms))

    async def _delta(self, symbol: str, frame: Any, received: float) -> None:
        name = self.exchange_symbol_to_std_symbol(symbol)
        book = self._l2_book[name]
        raw = json.loads(frame.raw, parse_float=Decimal)
        delta: dict[str, list[tuple[Decimal, Decimal]]] = {BID: [], ASK: []}
        for side, rows, levels in ((BID, raw["data"].get("bids"), book.book.bids),
                                   (ASK, raw["data"].get("asks"), book.book.asks)):
            for row in rows or ():
                price, quantity = Decimal(row[0]), Decimal(row[1])
                delta[side].append((price, quantity))
                if quantity:
                    levels[price] = quantity
                elif price in levels:
                    del levels[price]
        await self.book_callback(L2_BOOK, book, received, timestamp=self._time(frame, received),
                                 raw=raw, sequence_number=frame.end, delta=delta)

    # -- everything else --------------------------------------------------------------------------

    async def _event(self, event: Any, received: float) -> None:
        if isinstance(event, mx.events.Deals):
            await self._trades(event, received)
        elif isinstance(event, mx.events.Ticker):
            await self._ticker(event, received)
        elif isinstance(event, mx.events.FairPrice):
            price = event.decimal("price")
            if price is not None and event.symbol is not None:
                self._marks[event.symbol] = price
        elif isinstance(event, mx.events.FundingRate):
            await self._funding(event, received)
        elif isinstance(event, mx.events.IndexPrice):
            await self._index(event, received)
        elif isinstance(event, mx.events.Kline):
            await self._candle(event, received)

    async def _trades(self, event: Any, received: float) -> None:
        name = self.exchange_symbol_to_std_symbol(event.symbol)
        rows = event.to_dict()["data"]
        for deal, raw in zip(event.deals, rows if isinstance(rows, list) else [rows], strict=True):
            price, amount = deal.decimal("price"), deal.decimal("quantity")
            if price is None or amount is None or deal.side not in (1, 2):
                log.warning("%s: a trade without price, quantity or side: %s", self.id, raw)
                continue
            await self.callback(TRADES, Trade(
                self.id, name, BUY if deal.side == 1 else SELL, amount, price,
                self._time(deal if deal.ts_venue_ms is not None else event, received),
                id=None if deal.trade_id is None else str(deal.trade_id), raw=raw), received)

    async def _ticker(self, event: Any, received: float) -> None:
        name = self.exchange_symbol_to_std_symbol(event.symbol)
        raw, at = event.to_dict(), self._time(event, received)
        if self._wants(TICKER, event.symbol):
            bid, ask = event.decimal("best_bid"), event.decimal("best_ask")
            if bid is not None and ask is not None:
                await self.callback(TICKER, Ticker(self.id, name, bid, ask, at, raw=raw), received)
        if self._wants(OPEN_INTEREST, event.symbol):
            held = event.decimal("open_interest")
            if held is not None:
                await self.callback(OPEN_INTEREST, OpenInterest(self.id, name, held, at, raw=raw),
                                    received)

    async def _funding(self, event: Any, received: float) -> None:
        rate, settled = event.decimal("rate"), event.ts_settle_ms
        if rate is None:
            return
        await self.callback(FUNDING, Funding(
            self.id, self.exchange_symbol_to_std_symbol(event.symbol),
            self._marks.get(event.symbol), rate,
            None if settled is None else self.timestamp_normalize(settled),
            self._time(event, received), raw=event.to_dict()), received)

    async def _index(self, event: Any, received: float) -> None:
        price = event.decimal("price")
        for symbol in self._index_names.get(event.symbol, ()) if price is not None else ():
            await self.callback(INDEX, Index(
                self.id, self.exchange_symbol_to_std_symbol(symbol), price,
                self._time(event, received), raw=event.to_dict()), received)

    async def _candle(self, event: Any, received: float) -> None:
        """A candle is closed when the next one begins, if nothing was missed meanwhile."""
        if event.interval != INTERVALS[self.candle_interval] or event.ts_open_s is None:
            return
        before = self._candles.get(event.symbol)
        if before is not None and before.ts_open_s > event.ts_open_s:
            return
        missed_ns = 0 if self._events is None else self._events.missed_ns
        if (before is not None and before.ts_open_s < event.ts_open_s
                and before.ts_recv_ns > missed_ns):
            await self.callback(CANDLES, self._candle_of(before, received, True), received)
        self._candles[event.symbol] = event
        if not self.candle_closed_only:
            await self.callback(CANDLES, self._candle_of(event, received, False), received)

    def _candle_of(self, event: Any, received: float, closed: bool) -> Candle:
        start = float(event.ts_open_s)
        values = [event.decimal(name) for name in ("open", "close", "high", "low", "quantity")]
        return Candle(self.id, self.exchange_symbol_to_std_symbol(event.symbol), start,
                      start + SECONDS[event.interval] - 0.001, self.candle_interval, None, *values,
                      closed, self._time(event, received), raw=event.to_dict())


def install() -> None:
    """Make `FeedHandler.add_feed("MEXC_FUTURES", ...)` and configurations by name work."""
    exchanges.EXCHANGE_MAP[MEXC_FUTURES] = MEXCFutures

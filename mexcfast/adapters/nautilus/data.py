"""Market data: subscriptions and requests of a TradingNode on one mexcfast.Client."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from decimal import Decimal
from typing import Any

from nautilus_trader.live.data_client import LiveMarketDataClient
from nautilus_trader.model.data import (
    Bar,
    BarType,
    DataType,
    FundingRateUpdate,
    IndexPriceUpdate,
    InstrumentStatus,
    MarkPriceUpdate,
    OrderBookDeltas,
    TradeTick,
)
from nautilus_trader.model.enums import (
    AggressorSide,
    BookType,
    MarketStatusAction,
    PriceType,
    book_type_to_str,
)
from nautilus_trader.model.identifiers import ClientId, InstrumentId, TradeId
from nautilus_trader.model.instruments import Instrument

import mexcfast as mx
from mexcfast import topics
from mexcfast.adapters.nautilus import names
from mexcfast.adapters.nautilus.bars import BarFeed, bar, interval_of
from mexcfast.adapters.nautilus.books import BookFeed, rest_snapshot
from mexcfast.adapters.nautilus.config import MEXCDataClientConfig
from mexcfast.adapters.nautilus.names import NS_PER_MS, NS_PER_S
from mexcfast.adapters.nautilus.providers import MEXCInstrumentProvider
from mexcfast.errors import ConfigError, MexcfastError
from mexcfast.types import ContractState, FundingRate, TradeSide

# 1.221 names it snapshots inside and depth outside; later lines have one name.
HAS_DEPTH = hasattr(LiveMarketDataClient, "_subscribe_order_book_depth")
STATES = {ContractState.ENABLED: MarketStatusAction.TRADING,
          ContractState.PAUSED: MarketStatusAction.PAUSE,
          ContractState.IN_DELIVERY: MarketStatusAction.CLOSE,
          ContractState.DELIVERED: MarketStatusAction.NOT_AVAILABLE_FOR_TRADING,
          ContractState.OFFLINE: MarketStatusAction.NOT_AVAILABLE_FOR_TRADING}
SIDES = {TradeSide.BUY: AggressorSide.BUYER, TradeSide.SELL: AggressorSide.SELLER}
CANDLES = 2000                      # the venue gives so many at most


class _Events(mx.Listener):
    """Hands each event of its topic to one function."""

    def __init__(self, take: Callable[[Any], None], kind: type[mx.Event]) -> None:
        self._take = take
        self._kind = kind

    def on_event(self, event: mx.Event) -> None:
        if isinstance(event, self._kind):
            self._take(event)


class MEXCDataClient(LiveMarketDataClient):  # type: ignore[misc]
    """One mexcfast.Client under a node's data engine.

    client: that client while connected. feeds: the books that are followed, by venue symbol.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, make: Callable[[], mx.Client], msgbus: Any,
                 cache: Any, clock: Any, provider: MEXCInstrumentProvider,
                 config: MEXCDataClientConfig, name: str) -> None:
        super().__init__(
            loop=loop, client_id=ClientId(name), venue=names.MEXC_VENUE, msgbus=msgbus,
            cache=cache, clock=clock, instrument_provider=provider, config=config)
        self.client: mx.Client | None = None
        self.feeds: dict[str, BookFeed] = {}
        self._make = make
        self._provider = provider
        self._settings = config
        self._listeners: dict[Any, tuple[mx.Listener, Any]] = {}
        self._watched: dict[str, set[InstrumentId]] = {"instrument": set(), "status": set()}
        self._status: dict[str, ContractState] = {}
        self._update: asyncio.Task[None] | None = None

    # -- the connection ---------------------------------------------------------------------------

    async def _connect(self) -> None:
        client = self._make()
        await client.__aenter__()
        self.client = self._provider.client = client
        client.market.watch(self._noted)
        await self._provider.initialize()
        self._send_instruments()
        minutes = self._settings.update_instruments_interval_mins
        if minutes is not None:
            self._update = self.create_task(self._update_instruments(minutes * 60))

    async def _disconnect(self) -> None:
        if self._update is not None:
            self._update.cancel()
            self._update = None
        client, self.client = self.client, None
        self.feeds.clear()
        self._listeners.clear()
        for watched in self._watched.values():
            watched.clear()
        if client is not None:
            await client.close()

    def _noted(self, event: Any) -> None:
        """What happens to sockets, topics and books, in the node's own log."""
        (self._log.warning if event.is_trouble else self._log.info)(str(event))

    def _live(self) -> mx.Client:
        if self.client is None:
            raise ConfigError("not connected; allowed: after connect()")
        return self.client

    def _send_instruments(self) -> None:
        for instrument in self._provider.get_all().values():
            self._handle_data(instrument)
        for currency in self._provider.currencies().values():
            self._cache.add_currency(currency)

    async def _update_instruments(self, seconds: float) -> None:
        with suppress(asyncio.CancelledError):      # the node warns of cancelled tasks
            while True:
                await asyncio.sleep(seconds)
                try:
                    await self._provider.initialize(reload=True)
                except MexcfastError as error:
                    self._log.warning(f"instruments could not be read again: {error}")
                    continue
                self._send_instruments()

    def _instrument(self, instrument_id: InstrumentId) -> Instrument | None:
        found = self._cache.instrument(instrument_id) or self._provider.find(instrument_id)
        if found is None:
            self._log.error(f"{instrument_id} is not loaded; see InstrumentProviderConfig")
        return found

    # -- one listener for each subscription -------------------------------------------------------

    def _listen(self, key: Any, topic: Any, kind: type[mx.Event], take: Callable[[Any], None]
                ) -> None:
        if key in self._listeners:
            return
        listener = _Events(take, kind)
        self._listeners[key] = (listener, topic)
        self._live().subscribe(listener, topic)

    def _forget(self, key: Any) -> None:
        found = self._listeners.pop(key, None)
        if found is not None and self.client is not None:
            self.client.unsubscribe(*found)

    def _every(self) -> bool | None:
        return False if self._settings.every else None

    # -- books and quotes -------------------------------------------------------------------------

    def _want(self, what: str, instrument_id: InstrumentId) -> None:
        instrument = self._instrument(instrument_id)
        if instrument is None:
            return
        symbol, client = names.symbol_of(instrument_id), self._live()
        feed = self.feeds.get(symbol)
        if feed is None:
            feed = self.feeds[symbol] = BookFeed(
                instrument, self._handle_data, self._clock.timestamp_ns)
            feed.wants.add(what)
            client.subscribe(feed, topics.depth(symbol, self._every()))
        else:
            feed.want(what, client.market.books.get(symbol))

    def _unwant(self, what: str, instrument_id: InstrumentId) -> None:
        symbol = names.symbol_of(instrument_id)
        feed = self.feeds.get(symbol)
        if feed is None:
            return
        feed.wants.discard(what)
        if not feed.wants:
            del self.feeds[symbol]
            if self.client is not None:
                self.client.unsubscribe(feed, topics.depth(symbol, self._every()))

    def _takes(self, command: Any) -> bool:
        if command.book_type != BookType.L2_MBP:
            self._log.error(f"book_type is {book_type_to_str(command.book_type)}; allowed: L2_MBP")
            return False
        return True

    async def _subscribe_order_book_deltas(self, command: Any) -> None:
        if self._takes(command):
            self._want("deltas", command.instrument_id)

    async def _unsubscribe_order_book_deltas(self, command: Any) -> None:
        self._unwant("deltas", command.instrument_id)

    async def _subscribe_order_book_depth(self, command: Any) -> None:
        if self._takes(command):
            self._want("depth", command.instrument_id)

    async def _unsubscribe_order_book_depth(self, command: Any) -> None:
        self._unwant("depth", command.instrument_id)

    _subscribe_order_book_snapshots = _subscribe_order_book_depth
    _unsubscribe_order_book_snapshots = _unsubscribe_order_book_depth

    if not HAS_DEPTH:
        # The engine of this line calls these two, and its live client has none of them.
        def subscribe_order_book_depth(self, command: Any) -> None:
            """As every other subscription."""
            self.subscribe_order_book_snapshots(command)

        def unsubscribe_order_book_depth(self, command: Any) -> None:
            """As every other subscription."""
            self.unsubscribe_order_book_snapshots(command)

    async def _subscribe_quote_ticks(self, command: Any) -> None:
        self._want("quotes", command.instrument_id)

    async def _unsubscribe_quote_ticks(self, command: Any) -> None:
        self._unwant("quotes", command.instrument_id)

    # -- trades -----------------------------------------------------------------------------------

    async def _subscribe_trade_ticks(self, command: Any) -> None:
        instrument = self._instrument(command.instrument_id)
        if instrument is None:
            return
        topic = topics.deals(names.symbol_of(command.instrument_id), self._every())

        def take(event: mx.events.Deals) -> None:
            for number, deal in enumerate(event.deals):
                tick = self._trade(instrument, deal, event, number)
                if tick is not None:
                    self._handle_data(tick)

        self._listen(("trades", command.instrument_id), topic, mx.events.Deals, take)

    async def _unsubscribe_trade_ticks(self, command: Any) -> None:
        self._forget(("trades", command.instrument_id))

    def _trade(self, instrument: Instrument, deal: mx.events.Deal, event: mx.events.Deals,
               number: int) -> TradeTick | None:
        price, size = deal.decimal("price"), deal.decimal("quantity")
        if price is None or not size:
            return None
        ts_ms = deal.ts_venue_ms if deal.ts_venue_ms is not None else event.ts_venue_ms
        ts_event = event.ts_recv_ns if ts_ms is None else ts_ms * NS_PER_MS
        name = str(deal.trade_id) if deal.trade_id is not None else f"{ts_event}-{number}"
        return TradeTick(
            instrument.id, names.price(price, instrument.price_precision),
            names.quantity(size, instrument.size_precision),
            SIDES.get(deal.side or 0, AggressorSide.NO_AGGRESSOR),  # type: ignore[call-overload]
            TradeId(name), ts_event, self._clock.timestamp_ns())

    # -- bars -------------------------------------------------------------------------------------

    async def _subscribe_bars(self, command: Any) -> None:
        bar_type: BarType = command.bar_type
        instrument, interval = self._instrument(bar_type.instrument_id), interval_of(bar_type)
        if instrument is None:
            return
        if interval is None or bar_type.spec.price_type != PriceType.LAST:
            self._log.error(f"{bar_type} is no stream of the venue; allowed: LAST, "
                            f"{', '.join(sorted(set(names.INTERVALS.values())))}")
            return
        client = self._live()
        symbol = names.symbol_of(bar_type.instrument_id)

        async def read(first_s: int, now_s: int) -> None:
            for candle in await client.market_api.kline(
                    symbol, interval, start_s=first_s, end_s=now_s):
                if first_s <= candle.ts_open_s < now_s:
                    emit(candle)

        def emit(candle: Any) -> None:
            try:
                self._handle_data(self._bar(bar_type, instrument, interval, candle))
            except ValueError as error:
                self._log.warning(f"a candle of {bar_type} is left out: {error}")

        feed = BarFeed(interval, emit,
                       lambda first_s, now_s: self.create_task(read(first_s, now_s)))
        topic = topics.kline(symbol, interval)
        self._listeners[("bars", bar_type)] = (feed, topic)
        client.subscribe(feed, topic)

    async def _unsubscribe_bars(self, command: Any) -> None:
        self._forget(("bars", command.bar_type))

    def _bar(self, bar_type: BarType, instrument: Instrument, interval: str, candle: Any) -> Bar:
        return bar(bar_type, instrument, interval, candle, self._clock.timestamp_ns(),
                   on_close=self._settings.bars_timestamp_on_close)

    # -- marks, indices, funding ------------------------------------------------------------------

    def _number(self, event: mx.Event, name: str) -> Decimal | None:
        found: Decimal | None = event.decimal(name)
        return found

    def _stamp(self, event: mx.Event) -> int:
        return event.ts_recv_ns if event.ts_venue_ms is None else event.ts_venue_ms * NS_PER_MS

    def _subscribe_price(self, what: str, instrument_id: InstrumentId, topic: Any,
                         kind: type[mx.Event], made: Any) -> None:
        instrument = self._instrument(instrument_id)
        if instrument is None:
            return

        def take(event: mx.Event) -> None:
            value = self._number(event, "price")
            if value:
                self._handle_data(made(
                    instrument_id, names.price(value, instrument.price_precision),
                    self._stamp(event), self._clock.timestamp_ns()))

        self._listen((what, instrument_id), topic, kind, take)

    async def _subscribe_mark_prices(self, command: Any) -> None:
        symbol = names.symbol_of(command.instrument_id)
        self._subscribe_price("mark", command.instrument_id, topics.fair_price(symbol),
                              mx.events.FairPrice, MarkPriceUpdate)

    async def _unsubscribe_mark_prices(self, command: Any) -> None:
        self._forget(("mark", command.instrument_id))

    async def _subscribe_index_prices(self, command: Any) -> None:
        self._subscribe_price(
            "index", command.instrument_id,
            topics.index_price(self._index_source(command.instrument_id)),
            mx.events.IndexPrice, IndexPriceUpdate)

    async def _unsubscribe_index_prices(self, command: Any) -> None:
        self._forget(("index", command.instrument_id))

    def _index_source(self, instrument_id: InstrumentId) -> str:
        """Whose index: for contracts settled in their base coin the USDT contract's."""
        symbol = names.symbol_of(instrument_id)
        contract = self._provider.contracts.get(symbol)
        if contract is not None and contract.is_inverse:
            return f"{contract.base_coin}_USDT"
        return symbol

    async def _subscribe_funding_rates(self, command: Any) -> None:
        instrument_id = command.instrument_id

        def take(event: mx.events.FundingRate) -> None:
            rate, next_ms = self._number(event, "rate"), event.ts_settle_ms
            if rate is not None:
                self._handle_data(FundingRateUpdate(
                    instrument_id, rate, self._stamp(event), self._clock.timestamp_ns(),
                    next_funding_ns=None if next_ms is None else next_ms * NS_PER_MS))

        self._listen(("funding", instrument_id),
                     topics.funding_rate(names.symbol_of(instrument_id)), mx.events.FundingRate,
                     take)

    async def _unsubscribe_funding_rates(self, command: Any) -> None:
        self._forget(("funding", command.instrument_id))

    # -- instruments and their state --------------------------------------------------------------

    async def _subscribe_instruments(self, command: Any) -> None:
        self._watch("instrument", [each.id for each in self._provider.get_all().values()])

    async def _subscribe_instrument(self, command: Any) -> None:
        self._watch("instrument", [command.instrument_id])

    async def _unsubscribe_instruments(self, command: Any) -> None:
        self._unwatch("instrument", list(self._watched["instrument"]))

    async def _unsubscribe_instrument(self, command: Any) -> None:
        self._unwatch("instrument", [command.instrument_id])

    async def _subscribe_instrument_status(self, command: Any) -> None:
        self._watch("status", [command.instrument_id])

    async def _unsubscribe_instrument_status(self, command: Any) -> None:
        self._unwatch("status", [command.instrument_id])

    def _watch(self, what: str, instrument_ids: list[InstrumentId]) -> None:
        self._watched[what].update(instrument_ids)
        self._listen("contracts", topics.contracts(), mx.events.ContractUpdate,
                     lambda event: self.create_task(self._contract_changed(event.symbol)))
        for instrument_id in instrument_ids:
            if what == "status":
                self._send_status(instrument_id)
            elif (found := self._instrument(instrument_id)) is not None:
                self._handle_data(found)

    def _unwatch(self, what: str, instrument_ids: list[InstrumentId]) -> None:
        self._watched[what].difference_update(instrument_ids)
        if not any(self._watched.values()):
            self._forget("contracts")

    async def _contract_changed(self, symbol: str | None) -> None:
        if not symbol:
            return
        instrument_id = names.instrument_id(symbol)
        is_watched = {what for what, ids in self._watched.items() if instrument_id in ids}
        if not is_watched:
            return
        # the push has no exact numbers of everything: read it
        for contract in await self._live().market_api.contracts(symbol):
            if contract.symbol == symbol:
                self._provider.take([contract])
        found = self._provider.find(instrument_id)
        if "instrument" in is_watched and found is not None:
            self._handle_data(found)
        if "status" in is_watched:
            self._send_status(instrument_id)

    def _send_status(self, instrument_id: InstrumentId) -> None:
        contract = self._provider.contracts.get(names.symbol_of(instrument_id))
        if contract is None:
            self._log.error(f"{instrument_id} is not loaded; see InstrumentProviderConfig")
            return
        action = STATES.get(contract.state, MarketStatusAction.NOT_AVAILABLE_FOR_TRADING)
        now_ns = self._clock.timestamp_ns()
        is_trading = contract.state == ContractState.ENABLED
        self._handle_data(InstrumentStatus(
            instrument_id, action, now_ns, now_ns, reason=contract.state.name,
            is_trading=is_trading, is_quoting=is_trading))

    # -- requests ---------------------------------------------------------------------------------

    async def _request_instrument(self, request: Any) -> None:
        await self._provider.load_async(request.instrument_id)
        found = self._provider.find(request.instrument_id)
        if found is not None:
            self._handle_instrument(found, request.id, request.start, request.end, request.params)

    async def _request_instruments(self, request: Any) -> None:
        if request.venue is not None and request.venue != names.MEXC_VENUE:
            self._log.error(f"venue is {request.venue}; allowed: {names.MEXC}")
            return
        found = await self._provider.read_all(request.params.get("filters"))
        self._handle_instruments(names.MEXC_VENUE, found, request.id, request.start, request.end,
                                 request.params)

    async def _request_order_book_snapshot(self, request: Any) -> None:
        instrument = self._instrument(request.instrument_id)
        if instrument is None:
            return
        depth = await self._live().market_api.depth(
            names.symbol_of(request.instrument_id), request.limit or None)
        # in a list: the engine of 1.221 counts what has come, and dies of what has no length
        self._handle_data_response(
            DataType(OrderBookDeltas, metadata={"instrument_id": request.instrument_id}),
            [rest_snapshot(instrument, depth, self._clock.timestamp_ns())], request.id, None, None,
            request.params)

    async def _request_quote_ticks(self, request: Any) -> None:
        self._log.error("the venue keeps no history of quotes; allowed: request_trade_ticks, "
                        "request_bars")

    async def _request_trade_ticks(self, request: Any) -> None:
        """The newest 100 at most: the venue keeps no more."""
        instrument = self._instrument(request.instrument_id)
        if instrument is None:
            return
        trades = await self._live().market_api.deals(names.symbol_of(request.instrument_id), 100)
        now_ns = self._clock.timestamp_ns()
        ticks = []
        for number, trade in enumerate(sorted(trades, key=lambda each: each.ts_venue_ms)):
            ts_ns = trade.ts_venue_ms * NS_PER_MS
            if _inside(ts_ns, request):
                ticks.append(TradeTick(
                    instrument.id, names.price(trade.price, instrument.price_precision),
                    names.quantity(trade.quantity, instrument.size_precision),
                    SIDES.get(trade.side, AggressorSide.NO_AGGRESSOR),
                    TradeId(f"{trade.ts_venue_ms}-{number}"), ts_ns, now_ns))
        self._handle_trade_ticks(instrument.id, ticks[-request.limit:] if request.limit else ticks,
                                 request.id, request.start, request.end, request.params)

    async def _request_bars(self, request: Any) -> None:
        """Finished candles of last or mark prices, oldest first."""
        bar_type: BarType = request.bar_type
        instrument, interval = self._instrument(bar_type.instrument_id), interval_of(bar_type)
        if instrument is None:
            return
        api = self._live().market_api
        calls: dict[int, Any] = {
            PriceType.LAST: api.kline, PriceType.MARK: api.kline_fair_price}
        call = calls.get(bar_type.spec.price_type)
        if interval is None or call is None:
            self._log.error(f"{bar_type} is not known to the venue; allowed: LAST, MARK, "
                            f"{', '.join(sorted(set(names.INTERVALS.values())))}")
            return
        now_ns = self._clock.timestamp_ns()
        start_s = None if request.start is None else request.start.value // NS_PER_S
        end_s = (now_ns if request.end is None else request.end.value) // NS_PER_S
        candles: dict[int, Any] = {}
        symbol = names.symbol_of(bar_type.instrument_id)
        while True:
            part = await call(symbol, interval, start_s=start_s, end_s=end_s)
            fresh = [each for each in part if each.ts_open_s not in candles]
            candles.update((each.ts_open_s, each) for each in fresh)
            if len(part) < CANDLES or not fresh or (request.limit
                                                    and len(candles) >= request.limit):
                break
            end_s = min(candles) - 1
        bars = [self._bar(bar_type, instrument, interval, candles[ts_s])
                for ts_s in sorted(candles)
                if names.end_of(interval, ts_s) * NS_PER_S <= now_ns]
        self._handle_bars(bar_type, bars[-request.limit:] if request.limit else bars,
                          request.id, request.start, request.end, request.params)

    async def _request_funding_rates(self, request: Any) -> None:
        """Settled rates, oldest first. Only lines after 1.221 ask for them."""
        instrument_id = request.instrument_id
        found = []
        now_ns = self._clock.timestamp_ns()
        async for each in self._live().market_api.iterate_funding_history(
                names.symbol_of(instrument_id)):
            rate: FundingRate = each
            ts_ns = (rate.ts_settle_ms or 0) * NS_PER_MS
            if request.start is not None and ts_ns < request.start.value:
                break
            if _inside(ts_ns, request):
                found.append(FundingRateUpdate(instrument_id, rate.rate, ts_ns, now_ns))
            if request.limit and len(found) >= request.limit:
                break
        found.reverse()
        self._handle_funding_rates(instrument_id, found, request.id, request.start, request.end,
                                   request.params)


def _inside(ts_ns: int, request: Any) -> bool:
    return not ((request.start is not None and ts_ns < request.start.value)
                or (request.end is not None and ts_ns > request.end.value))

"""What users hold: MarketData, Trader and Client. Wiring only."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Self

from mexcfast.core import topics as topic
from mexcfast.core.account import CHANNELS, AccountState, Mirror
from mexcfast.core.arbiter import PathCounts
from mexcfast.core.depth import OrderBook
from mexcfast.core.events import (
    Deals,
    DepthFull,
    FairPrice,
    FundingRate,
    IndexPrice,
    Kline,
    Ticker,
    Tickers,
)
from mexcfast.core.intent import RiskLimits
from mexcfast.core.journal import fingerprint
from mexcfast.core.killswitch import KillSwitchSettings
from mexcfast.core.listener import Listener
from mexcfast.core.rest import LIVE, Endpoint, find
from mexcfast.core.sign import Signer
from mexcfast.core.startup import Startup
from mexcfast.core.stream_events import StreamEvent
from mexcfast.core.topics import Topic
from mexcfast.errors import ConfigError, MexcfastError
from mexcfast.feeds import BookFeed, CallbackFeed, EventFeed, PrivateFeed, Slow, Streams
from mexcfast.keys import KEY_VARIABLE, SECRET_VARIABLE, Secret, from_environ
from mexcfast.net.account_api import AccountApi
from mexcfast.net.alerts import Alert, Alerts
from mexcfast.net.audit import Audit
from mexcfast.net.budget import Budget
from mexcfast.net.clock import Clock
from mexcfast.net.conditional_api import Conditional
from mexcfast.net.connection import StreamSettings
from mexcfast.net.executor import Executor
from mexcfast.net.heart import Heart, check_socket_path
from mexcfast.net.journal import Journal
from mexcfast.net.killswitch import KillSwitch
from mexcfast.net.market_api import MarketApi
from mexcfast.net.orders import Orders
from mexcfast.net.pool import Pool
from mexcfast.net.positions_api import PositionsApi
from mexcfast.net.private import Channels, PrivateStream
from mexcfast.net.reconcile import AccountSettings, Reconciler

if TYPE_CHECKING:
    from mexcfast.metrics.hub import Metrics
    from mexcfast.rehearsal import Rehearsal
    from mexcfast.tape.recorder import Recorder



class MarketData:
    """Public streams of one endpoint, or of a recording.

    Every method returns at once; the subscription starts when the result is awaited or iterated.
    Contracts are named as the venue does, for example BTC_USDT; ValueError otherwise.
    slow and bound: what happens when the consumer is slower than the market, see mexcfast.feeds.
    """

    def __init__(self, pool: Streams) -> None:
        self.pool: Any = pool             # net/pool.Pool, or what a replay has in its place
        self.streams = pool

    def book(self, symbol: str, *, slow: Slow = "latest", bound: int = 1024) -> BookFeed:
        """The order book: `await` for a LIVE one, `async for` for every change."""
        where = self.streams.depth_topic(symbol) or topic.depth(symbol)
        return BookFeed(self.streams, where, slow, bound)

    def deals(self, symbol: str, *, every: bool = False, bound: int = 1024, slow: Slow = "drop"
              ) -> EventFeed[Deals]:
        """Trades; every: each on its own instead of merged."""
        return EventFeed(self.streams, topic.deals(symbol, False if every else None), bound, slow)

    def tickers(self, *, bound: int = 16, slow: Slow = "drop") -> EventFeed[Tickers]:
        """All contracts' tickers, about once a second."""
        return EventFeed(self.streams, topic.tickers(), bound, slow)

    def ticker(self, symbol: str, *, bound: int = 1024, slow: Slow = "drop") -> EventFeed[Ticker]:
        """One contract's ticker."""
        return EventFeed(self.streams, topic.ticker(symbol), bound, slow)

    def top(self, symbol: str, limit: int = 20, *, bound: int = 1024, slow: Slow = "drop"
            ) -> EventFeed[DepthFull]:
        """The top 5, 10 or 20 levels, whole each time, without a book to keep."""
        return EventFeed(self.streams, topic.depth_full(symbol, limit), bound, slow)

    def kline(self, symbol: str, interval: str, *, bound: int = 1024, slow: Slow = "drop"
              ) -> EventFeed[Kline]:
        """Candles; intervals as in core/topics.INTERVALS."""
        return EventFeed(self.streams, topic.kline(symbol, interval), bound, slow)

    def funding_rate(self, symbol: str, *, bound: int = 1024, slow: Slow = "drop"
                     ) -> EventFeed[FundingRate]:
        """Funding rate."""
        return EventFeed(self.streams, topic.funding_rate(symbol), bound, slow)

    def index_price(self, symbol: str, *, bound: int = 1024, slow: Slow = "drop"
                    ) -> EventFeed[IndexPrice]:
        """Index price."""
        return EventFeed(self.streams, topic.index_price(symbol), bound, slow)

    def fair_price(self, symbol: str, *, bound: int = 1024, slow: Slow = "drop"
                   ) -> EventFeed[FairPrice]:
        """Fair (mark) price."""
        return EventFeed(self.streams, topic.fair_price(symbol), bound, slow)

    def stream_events(self, *, bound: int = 1024, slow: Slow = "drop"
                      ) -> CallbackFeed[StreamEvent]:
        """What happens to sockets, topics and books: mexcfast.core.stream_events."""
        return CallbackFeed("stream events", self.streams.watch, self.streams, bound, slow)

    def subscribe(self, listener: Listener, topics: Topic | Iterable[Topic], *,
                  redundancy: int | None = None, priority: int = 0) -> None:
        """Call a listener for each frame, with no queue in between. Made by mexcfast.topics.

        redundancy: sockets that carry each topic, the first arrival of each event wins; None: as
        in StreamSettings. priority: books with a lower one are started and mended first, equal
        ones in the order given. Neither means anything to a replay.
        """
        more: dict[str, int] = {"priority": priority} if priority else {}
        if redundancy is not None:
            more["redundancy"] = redundancy
        for each in [topics] if isinstance(topics, Topic) else topics:
            self.pool.subscribe(listener, each, **more)

    def unsubscribe(self, listener: Listener, topics: Topic | Iterable[Topic]) -> None:
        """Undo subscribe."""
        for each in [topics] if isinstance(topics, Topic) else topics:
            self.streams.unsubscribe(listener, each)

    @property
    def books(self) -> Mapping[str, OrderBook]:
        """The books kept now, by contract."""
        return self.streams.books

    @property
    def startup(self) -> Startup:
        """How many books are LIVE now, and an estimate of the seconds until all are."""
        found: Startup = self.pool.startup
        return found

    def watch(self, callback: Callable[[StreamEvent], object]) -> Callable[[], None]:
        """Call back with everything that happens to streams and books (core/stream_events).

        Returns a function that ends it. A listener's on_stream_event gets what concerns it.
        """
        end: Callable[[], None] = self.pool.watch(callback)
        return end

    def lateness(self, topic: Topic) -> dict[str, PathCounts]:
        """Per socket of a redundant topic: events brought first, copies and how late they came."""
        found: dict[str, PathCounts] = self.pool.lateness(topic)
        return found


#: a login signed with a clock that is off by more than this may have been refused for that
CLOCK_TOLERANCE_MS = 1_000


class Trader:
    """The private side: orders over REST, own events over the private socket."""

    def __init__(self, executor: Executor, pool: Pool, signer: Signer | None, clock: Clock,
                 journal: Journal | None = None, limits: RiskLimits | None = None,
                 account: AccountSettings | None = None, repeat_mistimed: bool = False) -> None:
        self.stream: PrivateStream | None = None     # without keys
        if signer is not None:
            self.stream = PrivateStream(pool.ws_url, signer, clock.venue_ms, pool.settings,
                                        notices=pool.notices, resync=self._resync)
        self.orders = Orders(executor, journal=journal, limits=limits, book=pool.books.get,
                             account=account, repeat_mistimed=repeat_mistimed)
        self.conditional = Conditional(executor, self.orders.contracts,
                                       self.orders.conditional_doubts)
        self.account = AccountApi(executor)
        self.positions = PositionsApi(executor)
        self._executor = executor
        self._clock = clock

    async def _resync(self) -> bool:
        before_ms = self._clock.venue_ms()
        began_ns = self._clock.monotonic_ns()
        self._clock.forget()
        await self._executor.sync_clock(2)
        passed_ms = (self._clock.monotonic_ns() - began_ns) // 1_000_000
        return abs(self._clock.venue_ms() - before_ms - passed_ms) > CLOCK_TOLERANCE_MS

    def _private(self) -> PrivateStream:
        if self.stream is None:
            raise ConfigError(f"no keys: give access_key and secret, or set {KEY_VARIABLE} and "
                              f"{SECRET_VARIABLE} and use Client.from_env()")
        return self.stream

    async def listen(self, listener: Listener, channels: Channels | None = None) -> None:
        """Send own order, fill, position, asset and risk events to a listener.

        channels: names as in net/private.PERSONAL, or names -> contracts; None: all. Returns when
        the venue has confirmed login and filter. Raises ValueError for a wrong name,
        AuthenticationError when the keys are refused, ConfigError when there are none.
        """
        await self._private().listen(listener, channels)

    def forget(self, listener: Listener) -> None:
        """Undo listen."""
        self._private().forget(listener)

    async def start(self, listener: Listener | None = None, *,
                    settle_within_s: float | None = 60.0) -> None:
        """Log in, follow own orders, settle whatever an earlier run left in doubt.

        Returns when trading is ready; Unknown outcomes are settled in the background from now on.
        listener: told of own events too, after the orders are up to date.
        """
        stream = self._private()
        if not self._clock.is_synced:
            with suppress(MexcfastError):       # the login shows what is wrong
                await self._executor.sync_clock(3)
        await stream.listen(self.orders.feed, CHANNELS)
        self.reconciler.follow(stream)
        if listener is not None:
            await stream.listen(listener)
        await self.orders.start(settle_within_s=settle_within_s)

    @property
    def mirror(self) -> Mirror:
        """The account as the venue shows it: orders, positions, balances; kept by start()."""
        return self.orders.mirror

    @property
    def reconciler(self) -> Reconciler:
        """Compares the mirror with the venue; on_state and on_difference are its callbacks."""
        return self.orders.reconciler

    @property
    def ready(self) -> asyncio.Event:
        """Set while the mirror is READY: `await client.trader.ready.wait()`."""
        return self.orders.reconciler.ready

    @property
    def state(self) -> AccountState:
        """OFFLINE, COMPARING, READY or DEGRADED."""
        return self.orders.mirror.state

    async def close(self) -> None:
        """Stop trading and close the private socket. Open orders stay open."""
        await self.orders.close()
        if self.stream is not None:
            await self.stream.close()


class Client:
    """MEXC futures: market data, orders and own events of one endpoint.

        async with Client() as client:
            book = await client.book("BTC_USDT")

    endpoint: an Endpoint or a REST address; the live venue by default. The keys are needed for
    orders and own events only; they reach no log and no repr. secret: str, or a writable buffer
    such as a bytearray, which is wiped (docs/security.md).
    journal: a path, or a Journal, where orders are written before they leave; then start() must
    be awaited before trading. limits: what no order may exceed. account: how its mirror is kept.
    kill_switch: what trips it and what it does (docs/kill_switch.md); alerts: who is told of it,
    functions or net.alerts.Webhook.
    lane: "auto" sends order entry over warm connections of its own (docs/lane.md), "off" over
    aiohttp as everything else. repeat_mistimed: send an order that was refused for its time (513)
    once more (docs/orders.md).
    """

    def __init__(self, endpoint: Endpoint | str = LIVE, access_key: str | None = None,
                 secret: Secret | None = None, *, streams: StreamSettings | None = None,
                 journal: Journal | str | os.PathLike[str] | None = None,
                 limits: RiskLimits | None = None,
                 account: AccountSettings | None = None,
                 kill_switch: KillSwitchSettings | None = None,
                 alerts: Iterable[Callable[[Alert], None]] = (),
                 lane: Literal["auto", "off"] = "auto", repeat_mistimed: bool = False) -> None:
        signer = None
        if access_key is not None and secret is not None:
            signer = Signer(access_key, secret)
        elif access_key is not None or secret is not None:
            raise ConfigError("one of access_key and secret is missing; allowed: both or neither")
        self.endpoint = Endpoint.at(endpoint) if isinstance(endpoint, str) else endpoint
        self._clock = Clock()
        self._executor = Executor(self.endpoint, signer, self._clock, lane=lane)
        windows = {name: self.endpoint.limit(find(name)) for name in ("depth", "depth_commits")}
        self._pool = Pool(self.endpoint.ws_url, self._fetch, streams,
                          warm=self._executor.warm_reads,
                          budgets={name: (count, (window_ms + self.endpoint.margin_ms) / 1000)
                                   for name, (count, window_ms) in windows.items()})
        self.market = MarketData(self._pool)
        self.market_api = MarketApi(self._executor)
        if journal is not None and not isinstance(journal, Journal):
            journal = Journal(journal)
        self.trader = Trader(self._executor, self._pool, signer, self._clock, journal, limits,
                             account, repeat_mistimed)
        self._is_started = False
        self._heart: Heart | None = None
        self.kill_switch = self._make_kill_switch(
            kill_switch, Alerts(*alerts), "" if signer is None else fingerprint(signer.access_key))
        self.audit = Audit(self._pool, self._fetch, lambda: self._executor.free("depth"))
        self._recorder: Recorder | None = None
        self._metrics: Metrics | None = None
        self._rehearsals: list[Rehearsal] = []

    @classmethod
    def from_env(cls, endpoint: Endpoint | str = LIVE, **more: Any) -> Self:
        """A client with the keys of MEXC_API_KEY and MEXC_API_SECRET, or MEXC_API_SECRET_FILE.

        From a file, a pipe or /dev/fd/N no copy of the secret stays in memory; from the environment
        it does. ConfigError names the one that is missing, empty or too many.
        """
        return cls(endpoint, *from_environ(os.environ), **more)

    def _make_kill_switch(self, settings: KillSwitchSettings | None, alerts: Alerts, account: str
                          ) -> KillSwitch:
        """Its state and the operator's file lie beside the journal, if there is one."""
        orders, journal = self.orders, self.orders.journal
        switch = KillSwitch(
            self._executor, settings, alerts, account=account,
            path=None if journal is None else f"{journal.path}.switch",
            operator_file=None if journal is None else f"{journal.path}.kill",
            unresolved=lambda: len(orders.unresolved),
            stream_is_there=lambda: orders.is_current if self._is_started else None)
        orders.on_change.append(switch.count_fills(orders.contracts))
        return switch

    async def watchdog(self, path: str | os.PathLike[str] | None = None, *,
                       silence_ms: int = 5000, keys_file: str | os.PathLike[str] | None = None,
                       cancel_on_exit: bool = False, start: bool = True,
                       trip_when_lost: bool = False) -> Heart:
        """Have a separate process cancel everything when this one dies or hangs.

        Returns when it watches. path: its socket, beside the journal by default; start: start one
        when none answers there. It takes its keys from MEXC_WATCHDOG_API_KEY and _SECRET, else from
        MEXC_API_KEY and _SECRET, or from keys_file (mode 0600): keys of this client's account.
        close() says goodbye, so that nothing is cancelled unless cancel_on_exit; leaving the
        `async with` block by an exception does not. Raises ConfigError. docs/kill_switch.md.
        """
        from mexcfast.watchdog import arguments_for  # the process's own room: rarely needed

        journal = self.orders.journal
        if path is None and journal is None:
            raise ConfigError("path is None and there is no journal; allowed: a path for the "
                              "watchdog's socket")
        if self._heart is not None:
            raise ConfigError("a watchdog is watching already")
        text = check_socket_path(f"{journal.path}.watchdog" if path is None and journal is not None
                                 else path or "")
        arguments = arguments_for(
            self.endpoint, text, journal=None if journal is None else journal.path,
            silence_ms=silence_ms, settings=self.kill_switch.settings, keys_file=keys_file,
            cancel_on_exit=cancel_on_exit)
        heart = Heart(text, fingerprint(self._executor.access_key), self.kill_switch,
                      silence_ms=silence_ms, arguments=arguments if start else None,
                      trip_when_lost=trip_when_lost)
        await heart.start()
        self._heart = heart
        return heart

    def __repr__(self) -> str:
        return f"<Client {self.endpoint.rest_url}>"

    async def __aenter__(self) -> Self:
        await self._executor.__aenter__()
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None,
                        trace: TracebackType | None) -> None:
        # A strategy that fell over has not ended as it wanted to: the watchdog shall act.
        await self._close(goodbye=kind is None or not issubclass(kind, Exception))

    async def close(self) -> None:
        """Close every socket and connection. Open orders stay open."""
        await self._close(goodbye=True)

    async def rehearse(self, symbol: str, *, every: float = 0.0003) -> Rehearsal:
        """Keep the way of frames and orders warm in the processor's caches: nothing leaves here.

        For a loop that spins (mexcfast.run(main(), spin=True)), whose spare time it takes: every
        so many seconds a frame and an order of this contract go their whole way, with a book, a
        budget, a tracker and keys of their own, to a connection on loopback whose other end is
        this program too. Returns what has a close(); close() of the client ends it too. Raises
        ConfigError on a loop that sleeps, without keys, lane or loopback, and for an unknown
        contract. docs/benchmarks.md.
        """
        from mexcfast.rehearsal import rehearse

        rehearsal = await rehearse(self.orders, self._pool.books,
                                   self._executor.lane_idle is not None, symbol, every)
        self._rehearsals.append(rehearsal)
        return rehearsal

    async def _close(self, *, goodbye: bool) -> None:
        for rehearsal in self._rehearsals:
            rehearsal.close()
        if self._metrics is not None:
            await self._metrics.close()
        if self._heart is not None:
            heart, self._heart = self._heart, None
            await heart.close(goodbye=goodbye)
        await self.kill_switch.close()
        await self.trader.close()
        await self.audit.close()
        await self._pool.close()
        if self._recorder is not None:
            await self._recorder.stop()
        await self._executor.close()

    def record(self, directory: str | os.PathLike[str], **settings: Any) -> Recorder:
        """Write all that the sockets receive to files in a directory, until stop() or close().

        settings: fields of mexcfast.tape.TapeSettings, for example private=True. Play it with
        mexcfast.Replay(directory). Raises TapeError when the directory cannot be written,
        ConfigError for settings out of range or when a recording runs already.
        """
        from mexcfast.tape.recorder import Recorder, TapeSettings

        recorder = Recorder(directory, self.endpoint.ws_url, TapeSettings(**settings))
        recorder.start(self._pool, self._executor, self.trader.stream)
        self._recorder = recorder
        return recorder

    @property
    def metrics(self) -> Metrics:
        """Counters and latencies for Prometheus and OpenTelemetry; off until started.

            await client.metrics.serve(9464)
        """
        if self._metrics is None:
            from mexcfast.metrics.hub import Metrics
            from mexcfast.metrics.sources import Sources

            self._metrics = Metrics(Sources(
                self._pool, self._executor, self.orders, self.trader.stream, self.audit,
                self.kill_switch, self.budget, lambda: self._heart, lambda: self._recorder))
        return self._metrics

    async def _fetch(self, name: str, symbol: str) -> bytes:
        # depth without a limit: up to 1500 levels a side, 1000 would cut the tail off (10.1)
        path: dict[str, object] = {"symbol": symbol}
        if name == "depth_commits":
            path["limit"] = 1000
        return await self._executor.fetch(name, path)

    # The ones used most, without the detour.

    @property
    def orders(self) -> Orders:
        """Placing, changing, cancelling and asking for orders."""
        return self.trader.orders

    @property
    def conditional(self) -> Conditional:
        """Plan, TP/SL and trailing orders."""
        return self.trader.conditional

    @property
    def account(self) -> AccountApi:
        """Balances, transfers, fees, analysis over REST."""
        return self.trader.account

    @property
    def budget(self) -> Budget:
        """The venue's budgets: free slots, queues by lane, bans and their ends."""
        return Budget(self._executor)

    @property
    def positions(self) -> PositionsApi:
        """Positions, leverage, margin over REST."""
        return self.trader.positions

    def book(self, symbol: str, **more: Any) -> BookFeed:
        """The order book: `await` for a LIVE one, `async for` for changes (MarketData.book)."""
        return self.market.book(symbol, **more)

    def deals(self, symbol: str, **more: Any) -> EventFeed[Deals]:
        """Trades of one contract (MarketData.deals)."""
        return self.market.deals(symbol, **more)

    def tickers(self, **more: Any) -> EventFeed[Tickers]:
        """All contracts' tickers, about once a second (MarketData.tickers)."""
        return self.market.tickers(**more)

    def ticker(self, symbol: str, **more: Any) -> EventFeed[Ticker]:
        """One contract's ticker (MarketData.ticker)."""
        return self.market.ticker(symbol, **more)

    def subscribe(self, listener: Listener, topics: Topic | Iterable[Topic], **more: Any) -> None:
        """Call a listener for each frame, with no queue in between (MarketData.subscribe)."""
        self.market.subscribe(listener, topics, **more)

    def unsubscribe(self, listener: Listener, topics: Topic | Iterable[Topic]) -> None:
        """Undo subscribe; an unknown pair is no error."""
        self.market.unsubscribe(listener, topics)

    def stream_events(self, **more: Any) -> CallbackFeed[StreamEvent]:
        """What happens to sockets, topics and books (MarketData.stream_events)."""
        return self.market.stream_events(**more)

    def private_events(self, channels: Channels | None = None, *, bound: int = 1024,
                       slow: Slow = "error") -> PrivateFeed:
        """Own order, fill, position, asset and risk events; the first step logs in.

        channels: as in Trader.listen. Raises what it does, when iterated. slow: an own event that
        is dropped may be a fill, so the default is "error".
        """
        return PrivateFeed(lambda bell: self.trader.listen(bell, channels), self.trader.forget,
                           self._pool, bound, slow)

    async def listen(self, listener: Listener, channels: Channels | None = None) -> None:
        """Send own order, fill, position, asset and risk events to a listener (Trader.listen)."""
        await self.trader.listen(listener, channels)

    async def start(self, listener: Listener | None = None, **more: Any) -> None:
        """Log in, follow own orders, settle what an earlier run left in doubt (Trader.start).

        The kill switch watches from then on. Raises ConfigError without keys, AuthenticationError
        when they are refused, NotReady when doubts cannot be settled, JournalError.
        """
        await self.kill_switch.start()
        await self.trader.start(listener, **more)
        self._is_started = True

"""The gateway: one client of the venue whose frames and books go out on the bus.

Every frame is sent as it came, before the book here takes it; behind it, on the same subject and
thus in order, what the book has come to where frames alone do not tell: STATE when it is not to be
trusted, SNAPSHOT when it is again, and now and then for those who compare. A gateway has no keys.
"""

from __future__ import annotations

import asyncio
import gzip
import logging
import os
import secrets
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Any, Self

from mexcfast.client import Client
from mexcfast.core import topics as T
from mexcfast.core.depth import OrderBook, State
from mexcfast.core.frame import Message
from mexcfast.core.listener import Listener
from mexcfast.core.rest import LIVE, Endpoint, find
from mexcfast.core.stream_events import Degraded, Recovered
from mexcfast.core.topics import Topic
from mexcfast.errors import ConfigError, MexcfastError
from mexcfast.gateway import wire
from mexcfast.gateway.bus import VARIABLE, Address, Bus, Outbox
from mexcfast.gateway.sharding import Shard
from mexcfast.gateway.snapshot import snapshot_of
from mexcfast.gateway.wire import Beat, Kind
from mexcfast.net.connection import StreamSettings
from mexcfast.net.tasks import end
from mexcfast.types import ContractState

log = logging.getLogger("mexcfast.gateway")

ALL = 1 << 30
LARGEST_PLAIN = 256_000      # bytes; a longer snapshot goes as gzip, which every reader takes
#: per contract
CHANNELS: Mapping[str, Callable[[str], Topic]] = {
    "depth": T.depth, "deal": T.deals, "ticker": T.ticker, "funding.rate": T.funding_rate,
    "index.price": T.index_price, "fair.price": T.fair_price, "depth.full": T.depth_full,
}
#: once, by shard 0
COMMON: Mapping[str, Callable[[], Topic]] = {"tickers": T.tickers, "contract": T.contracts}
DEFAULT_CHANNELS = ("depth", "deal", "tickers")
HELLO_PAUSE_NS = 50_000_000   # a hello within it of the last beat has been answered by it


@dataclass(frozen=True, slots=True)
class GatewaySettings:
    """Seconds unless the name says otherwise. Raises ConfigError."""

    beat_every: float = 0.5
    snapshot_every: float = 60.0     # of each book, for those who compare; spread evenly
    contracts_every: float = 300.0   # how often new and delisted contracts are looked for
    buffer_bytes: int = 16_000_000   # what waits for the bus; more is thrown away, all of it
    connect_within: float = 10.0

    def __post_init__(self) -> None:
        for name in self.__dataclass_fields__:
            value = getattr(self, name)
            if not isinstance(value, int | float) or isinstance(value, bool) or not value > 0:
                raise ConfigError(f"{name} is {value!r}; allowed: a number above 0")
        if not 0.001 <= self.beat_every <= 60:
            raise ConfigError(f"beat_every is {self.beat_every!r}; allowed: 0.001 to 60")


class _Relay(Listener):
    """Sends one topic's frames out. Numbers go up with each message, sent or dropped."""

    def __init__(self, gateway: Gateway, topic: Topic) -> None:
        self.topic = topic
        self.subject = wire.subject_of(topic.channel, topic.symbol)
        self.seq = 0
        self._put = gateway.outbox.put
        self._number = gateway.number

    def on_frame(self, frame: Message, ts_recv_ns: int) -> None:
        self.seq += 1
        self._put(self.subject, wire.HEADER.pack(
            wire.MAGIC, wire.VERSION, 1, self._number, 0, self.seq, ts_recv_ns) + frame.tail(ALL))


class _BookRelay(_Relay):
    """The same for depth, and what the book has come to."""

    def __init__(self, gateway: Gateway, topic: Topic) -> None:
        super().__init__(gateway, topic)
        self.book: OrderBook | None = None
        self.epoch = 0
        self.why = "it has not been LIVE yet"        # as told; "": trusted
        self._doubt = ""
        self._told_ns = 0
        self._snapshots = 0
        self._answer = b""
        self._answered: tuple[int, int] | None = None

    def on_frame(self, frame: Message, ts_recv_ns: int) -> None:
        self.seq += 1
        self._put(self.subject, wire.HEADER.pack(
            wire.MAGIC, wire.VERSION, 1, self._number, self.epoch, self.seq, ts_recv_ns)
            + frame.tail(ALL))

    def on_book_state(self, book: OrderBook, old: State, new: State) -> None:
        self.book = book
        if new in (State.INIT, State.SYNCING) and old in (State.LIVE, State.REPAIRING,
                                                          State.STOPPED):
            self.epoch += 1           # its next version may be a lower one
            self.why = ""             # so that it is told in any case
        self.refresh()

    def on_disconnected(self, connection: object, why: str) -> None:
        """A book that was not LIVE begins anew as well, without a change of state."""
        if self.book is None or self.book.state in (State.INIT, State.SYNCING):
            self.epoch += 1
            self.why = ""
            self.refresh()

    def on_stream_event(self, event: Any) -> None:
        if isinstance(event, Degraded):
            self._doubt = event.why
            self.refresh()
        elif isinstance(event, Recovered):
            self._doubt = ""
            self.refresh()

    def current(self) -> str:
        """Why the book is not to be trusted now; "" when it is."""
        book = self.book
        if book is None or book.state is not State.LIVE:
            return f"its book is {State(book.state).name if book is not None else 'INIT'}"
        if book.is_live:
            return self._doubt
        return book.doubt or "its book is crossed"

    def refresh(self) -> None:
        """Tell consumers if trust has changed, or the book other than by frames."""
        why, book = self.current(), self.book
        if not why and book is not None and (self.why or book.snapshots != self._snapshots):
            self.tell_book()
        elif bool(why) != bool(self.why):
            self.seq += 1
            self._put(self.subject, wire.encode(Kind.STATE, self._number, self.epoch, self.seq,
                                                time.monotonic_ns(), wire.encode_state(why)))
        self.why = why

    def tell_book(self) -> None:
        """The whole book, to everybody."""
        self.seq += 1
        self._put(self.subject, self._snapshot())

    def _snapshot(self) -> bytes:
        book = self.book
        assert book is not None
        self._snapshots = book.snapshots
        if self._answered != (self.epoch, book.version):
            self._answered = self.epoch, book.version
            reply = snapshot_of(book)
            self._answer = gzip.compress(reply, 1) if len(reply) > LARGEST_PLAIN else reply
        return wire.encode(Kind.SNAPSHOT, self._number, self.epoch, self.seq, book.ts_recv_ns,
                           self._answer)

    def answer(self) -> bytes:
        """The reply to who asks: the book, or why there is none to be trusted."""
        self.refresh()            # what one is told is told to all, or it could not be taken back
        why = self.why
        if not why:
            return self._snapshot()
        return wire.encode(Kind.STATE, self._number, self.epoch, self.seq, time.monotonic_ns(),
                           wire.encode_state(why))


class Gateway:
    """Publishes the market, or a shard of it, to NATS. Use as `async with`.

        async with Gateway("nats://127.0.0.1:4222", shard="0/4") as gateway:
            await gateway.ended()

    nats: its address; None: the environment variable MEXCFAST_NATS. creds, nkey: files with what
    proves who we are; ca: one with the certificates to trust instead of the system's. endpoint: the
    venue. symbols: contracts; None: all that are enabled, looked for again now and then. shard:
    which part of them. channels: names as on the wire without "push.", of CHANNELS per contract and
    of COMMON once, by shard 0; "kline.Min1" and so on for candles. name: unique among gateways that
    run at once; a second one with it replaces the first. share: this many processes use the venue's
    budget of snapshots from this address.
    Raises ConfigError, ConnectFailed, MissingExtra when entered.
    """

    def __init__(self, nats: str | None = None, *, endpoint: Endpoint | str = LIVE,
                 symbols: Iterable[str] | None = None, shard: str = "0/1",
                 channels: Iterable[str] = DEFAULT_CHANNELS, name: str | None = None,
                 share: int = 1, creds: str | os.PathLike[str] | None = None,
                 nkey: str | os.PathLike[str] | None = None,
                 ca: str | os.PathLike[str] | None = None,
                 settings: GatewaySettings | None = None,
                 streams: StreamSettings | None = None) -> None:
        address = Address.parse(nats if nats is not None else os.environ.get(VARIABLE, ""),
                                creds=creds, nkey=nkey, ca=ca)
        self.settings = settings or GatewaySettings()
        self.shard = Shard.parse(shard)
        self.name = name or f"shard-{self.shard.number}-of-{self.shard.total}"
        # larger for a later start, and never the same for two of one millisecond
        self.number = (time.time_ns() // 1_000_000 << 20) + secrets.randbelow(1 << 20)
        self.channels, self.common = _split(channels)
        if self.shard.number:
            self.common = ()
        self._intervals = [each.partition(".")[2] for each in self.channels
                           if each.startswith("kline.")]
        self.published = tuple(dict.fromkeys(each.partition(".")[0] if each.startswith("kline.")
                                             else each for each in self.channels))
        if share < 1:
            raise ConfigError(f"share is {share}; allowed: 1 and above")
        where = Endpoint.at(endpoint) if isinstance(endpoint, str) else endpoint
        self.client = Client(_with_share(where, share), streams=streams)
        self._wanted = None if symbols is None else list(dict.fromkeys(symbols))
        self._bus = Bus(address, f"mexcfast gateway {self.name}", on_up=self._up,
                        on_down=self._down, connect_within=self.settings.connect_within)
        self.outbox = Outbox(self._bus, self.settings.buffer_bytes)
        self.relays: dict[str, list[_Relay]] = {}
        self._books: list[_BookRelay] = []
        self._tasks: list[asyncio.Task[None]] = []
        self._subscribed = False
        self._shown = 0.0
        self._beaten_ns = 0

    def __repr__(self) -> str:
        return f"<Gateway {self.name} {self.number:016x} to {self._bus.address}>"

    # -- life -------------------------------------------------------------------------------------

    async def __aenter__(self) -> Self:
        try:
            await self.client.__aenter__()
            await self._bus.open()
            await self._look_for_contracts()
            await self._bus.subscribe(wire.HELLO, self._hello)
            await self._bus.subscribe(wire.ask_subject(self.number), self._asked)
        except BaseException:
            await self.close()
            raise
        loop = asyncio.get_running_loop()
        self._tasks = [loop.create_task(work, name=f"mexcfast gateway {what}") for what, work in (
            ("sends", self.outbox.run()), ("beats", self._beating()),
            ("looks for contracts", self._looking()))]
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None,
                        trace: TracebackType | None) -> None:
        await self.close()

    async def close(self) -> None:
        """Say goodbye, then end. Consumers flag what came from here at once."""
        await end(*self._tasks)
        self._tasks = []
        if self._bus.is_up:
            self.outbox.clear()
            self.outbox.put(wire.beat_subject(self.number), wire.encode_beat(
                self._beat()._replace(leaving=True)))
            await self.outbox.flush()
        await self._bus.close()
        await self.client.close()

    async def ended(self) -> None:
        """Until it is closed. Raises what a task of its raised: without it nothing works."""
        done, _ = await asyncio.wait(self._tasks, return_when=asyncio.FIRST_EXCEPTION)
        for task in done:
            if not task.cancelled():
                task.result()

    @property
    def contracts(self) -> list[str]:
        """Those it publishes now."""
        return [symbol for symbol in self.relays if symbol]

    @property
    def live(self) -> int:
        """Books that are trusted now."""
        return sum(not relay.why for relay in self._books)

    # -- contracts --------------------------------------------------------------------------------

    async def _look_for_contracts(self) -> None:
        if self._wanted is not None:
            found = self._wanted
        else:
            found = [each.symbol for each in await self.client.market_api.contracts()
                     if each.state is ContractState.ENABLED]
        mine = self.shard.of(found)
        for symbol in mine:
            if symbol not in self.relays:
                self._carry(symbol)
        for symbol in [each for each in self.relays if each and each not in set(mine)]:
            for relay in self.relays.pop(symbol):
                self._leave(relay)
        if self.common and "" not in self.relays:
            self.relays[""] = [self._relay(COMMON[name]()) for name in self.common]

    def _carry(self, symbol: str) -> None:
        relays = []
        for name in self.published:
            if name != "kline":
                relays.append(self._relay(CHANNELS[name](symbol)))
                continue
            first, *more = [T.kline(symbol, interval) for interval in self._intervals]
            relay = self._relay(first)
            self.client.subscribe(relay, more)        # all intervals are one channel
            relays.append(relay)
        self.relays[symbol] = relays

    def _relay(self, topic: Topic) -> _Relay:
        relay = (_BookRelay if topic.channel == "depth" else _Relay)(self, topic)
        if isinstance(relay, _BookRelay):
            self._books.append(relay)
        self.client.subscribe(relay, topic)
        return relay

    def _leave(self, relay: _Relay) -> None:
        self.client.unsubscribe(relay, relay.topic)
        if relay.topic.channel == "kline":
            self.client.unsubscribe(relay, [T.kline(relay.topic.symbol, each)
                                            for each in self._intervals[1:]])
        if isinstance(relay, _BookRelay):
            self._books.remove(relay)

    async def _looking(self) -> None:
        while True:
            await asyncio.sleep(self.settings.contracts_every)
            try:
                await self._look_for_contracts()
            except MexcfastError as fault:
                log.warning("contracts: %s", fault)

    # -- the bus ----------------------------------------------------------------------------------

    def _up(self, again: bool) -> None:
        self.outbox.ring()

    def _down(self) -> None:
        self.outbox.clear()

    def _beat(self) -> Beat:
        return Beat(self.number, time.monotonic_ns(), self.name,
                    max(1, round(self.settings.beat_every * 1000)), self.published, self.common,
                    {symbol: tuple(relay.seq for relay in relays)
                     for symbol, relays in self.relays.items()},
                    {relay.topic.symbol: relay.why for relay in self._books if relay.why})

    def beat(self) -> None:
        """Say that we live, and how far every topic is."""
        for relay in self._books:
            relay.refresh()
        self._show_books()
        self._beaten_ns = time.monotonic_ns()
        self.outbox.put(wire.beat_subject(self.number), wire.encode_beat(self._beat()))

    def _show_books(self) -> None:
        """The books whose turn it is."""
        books = self._books
        self._shown += len(books) * self.settings.beat_every / self.settings.snapshot_every
        for _ in range(min(int(self._shown), len(books))):
            relay = books.pop(0)
            books.append(relay)
            if not relay.why:
                relay.tell_book()
        self._shown -= int(self._shown)

    async def _beating(self) -> None:
        loop = asyncio.get_running_loop()
        due = loop.time()
        while True:
            self.beat()
            due = max(due + self.settings.beat_every, loop.time())
            await asyncio.sleep(due - loop.time())

    async def _hello(self, message: Any) -> None:
        """A consumer has come: no need to let it wait for the next beat."""
        if time.monotonic_ns() - self._beaten_ns > HELLO_PAUSE_NS:
            self.beat()

    async def _asked(self, message: Any) -> None:
        symbol = bytes(message.data).decode(errors="replace")
        relay = next((each for each in self.relays.get(symbol, ())
                      if isinstance(each, _BookRelay)), None)
        if not message.reply:
            return
        if relay is None:
            reply = wire.encode(Kind.STATE, self.number, 0, 0, time.monotonic_ns(),
                                wire.encode_state("its book is not published"))
        else:
            reply = relay.answer()
        with suppress(Exception):
            await self._bus.publish(message.reply, reply)


def _split(channels: Iterable[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Per contract and common. Raises ConfigError."""
    names = tuple(dict.fromkeys(channels))
    allowed = [*CHANNELS, *COMMON, *(f"kline.{each}" for each in T.INTERVALS)]
    for name in names:
        if name not in allowed:
            raise ConfigError(f"channel is {name!r}; allowed: {', '.join(allowed)}")
    if not names:
        raise ConfigError("channels is empty; allowed: at least one")
    return (tuple(each for each in names if each not in COMMON),
            tuple(each for each in names if each in COMMON))


def _with_share(endpoint: Endpoint, share: int) -> Endpoint:
    """The venue counts by address: several processes on one machine divide its windows."""
    if share == 1:
        return endpoint
    limits = dict(endpoint.limits)
    for name in ("depth", "depth_commits"):
        route = find(name)
        count, window_ms = endpoint.limit(route)
        # a share below one request a window makes the window longer
        limits[route.group] = ((count // share, window_ms) if count >= share
                               else (1, -(-window_ms * share // count)))
    return replace(endpoint, limits=limits)

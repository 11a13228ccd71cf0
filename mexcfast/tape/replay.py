"""Reading: a tape's records go into the same readers and books, which call the same listeners.

Every input of a reader or book stands on the tape in the order in which it came, so nothing here
decides anything: no socket, no repair, no timer.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

from mexcfast.client import MarketData
from mexcfast.core.arbiter import Arbiter
from mexcfast.core.depth import Change, OrderBook, State
from mexcfast.core.events import Event
from mexcfast.core.frame import Message
from mexcfast.core.listener import Listener
from mexcfast.core.reader import Reader
from mexcfast.core.stream_events import Disconnected, Gap, Refused, Repairing, StreamEvent
from mexcfast.core.tap import Kind
from mexcfast.core.topics import Topic
from mexcfast.errors import BookError, ConfigError, FrameError, TapeError, VenueError
from mexcfast.feeds import PrivateFeed, Slow
from mexcfast.net.private import PREFIX, Channels, Wishes, wishes
from mexcfast.net.tasks import end
from mexcfast.tape import format as form
from mexcfast.tape import told
from mexcfast.tape.format import Damage, Record
from mexcfast.tape.keyframe import is_like, reply_of

log = logging.getLogger("mexcfast.tape")

BOOK_KINDS = frozenset((Kind.EXPECTED, Kind.SNAPSHOT, Kind.COMMITS, Kind.APPLIED_FRAME, Kind.RESET,
                        Kind.SUSPENDED, Kind.VERIFIED, Kind.BOOK_STOPPED, Kind.SUSPECTED,
                        Kind.UNSUSPECTED, Kind.HOLDS, Kind.OVERDUE))
STATES = tuple(State)
CHANGES = tuple(Change)
SHORTEST_SLEEP_NS = 1_000_000


@dataclass(slots=True)
class Summary:
    """What a tape held and what playing it showed. Times: wall clock of the recording, ns."""

    records: int = 0
    frames: int = 0
    frame_bytes: int = 0
    first_ns: int = 0
    last_ns: int = 0
    disconnects: int = 0
    gaps: int = 0
    repairs: int = 0                 # REST requests that were to mend a book
    losses: int = 0                  # loss records; lost: what they say
    lost: int = 0
    damages: list[Damage] = field(default_factory=list)
    orders: int = 0
    keyframes: int = 0
    differing: int = 0               # keyframes that the replayed book did not equal
    faults: int = 0                  # refused frames and listeners that raised

    @property
    def is_whole(self) -> bool:
        """Nothing is missing, nothing differed."""
        return not (self.lost or self.damages or self.differing)


class _Socket:
    """One socket of the recording, and what its reader is attached to: the tape."""

    def __init__(self, name: str, stage: Stage) -> None:
        self.name = name
        self.reader = Reader(self)
        self.reader.on_state = self.on_state
        self.heard: set[tuple[str, str]] = set()     # (push channel, symbol)
        self._stage = stage

    def on_control(self, event: Event) -> None:
        self._stage.called("on_control")

    def on_need(self, book: OrderBook, change: Change) -> None:
        self._stage.called("on_need")

    def on_trusted(self, book: OrderBook) -> None:
        self._stage.called("on_trusted")

    def on_state(self, book: OrderBook, old: State, new: State) -> None:
        self._stage.called("on_state")

    def on_fault(self, fault: Exception, where: str) -> None:
        self._stage.summary.faults += 1
        log.warning("%s: %s: %s", self.name, where, fault)


class _Ear(Listener):
    """Sends the private socket's pushes on to one listener, as net/private does."""

    def __init__(self, listener: Listener, wanted: Wishes) -> None:
        self.listener = listener
        self._wanted = {PREFIX + name: symbols for name, symbols in wanted.items()}

    def on_event(self, event: Event) -> None:
        if event.channel in self._wanted:
            symbols = self._wanted[event.channel]
            if symbols is None or not event.symbol or event.symbol in symbols:
                self.listener.on_event(event)

    def on_frame(self, frame: Message, ts_recv_ns: int) -> None:
        self.listener.on_frame(frame, ts_recv_ns)


class _Script:
    """The records, one at a time, with one look ahead."""

    def __init__(self, records: Iterable[Record | Damage]) -> None:
        self._records = iter(records)
        self._next: Record | Damage | None = None

    def take(self) -> Record | Damage | None:
        found, self._next = self.peek(), None
        return found

    def peek(self) -> Record | Damage | None:
        if self._next is None:
            self._next = next(self._records, None)
        return self._next


class Stage:
    """Who listens to what, and the books as the tape moves them: the pool of a replay."""

    def __init__(self) -> None:
        self.books: dict[str, OrderBook] = {}
        self.at_close: set[Callable[[], None]] = set()
        self.dropped: dict[str, int] = {}
        self.summary = Summary()
        self.wanted = asyncio.Event()
        self._listeners: dict[Topic, list[Listener]] = {}
        self._private: list[_Ear] = []
        self._arbiters: dict[str, Arbiter] = {}
        self._script = _Script(())
        self._watchers: list[Callable[[StreamEvent], object]] = []
        self._sockets: dict[int, _Socket] = {}
        self._numbered: dict[int, OrderBook] = {}
        self._unsure: set[int] = set()        # books the tape has not described since a loss
        self._refused: dict[Topic, str] = {}
        self._reads = {
            Kind.FRAME: self._frame, Kind.SOURCE: self._source, Kind.LISTENED: self._listened,
            Kind.FORGOTTEN: self._forgotten, Kind.BOOK_ATTACHED: self._attached,
            Kind.BOOK_DETACHED: self._detached, Kind.SETTLED: self._settled, Kind.TOLD: self._told,
            Kind.KEYFRAME: self._keyframe, Kind.LOSS: self._loss, Kind.MARK: self._nothing,
            Kind.ORDER: self._order, Kind.SENT: self._nothing, Kind.CALLED: self._was_called,
            Kind.RETURNED: self._nothing, Kind.ARBITRATED: self._arbitrated,
            Kind.TRUSTED: self._trusted,
        }

    # -- what net/pool.Pool offers ----------------------------------------------------------------

    def subscribe(self, listener: Listener, topic: Topic) -> None:
        """Send a topic's frames to a listener, as far as the tape holds them."""
        other = self.depth_topic(topic.symbol) if topic.channel == "depth" else None
        if other is not None and other != topic and self._listeners[other]:
            raise BookError(f"{other} is subscribed already; allowed: one kind of depth a "
                            f"contract, {topic} was asked for")
        listeners = self._listeners.setdefault(topic, [])
        if listener not in listeners:
            listeners.append(listener)
        if topic.channel == "depth":
            book = self.books.setdefault(topic.symbol, OrderBook(topic.symbol))
            if listener not in book.listeners:
                book.listeners = [*book.listeners, listener]
        for socket in self._sockets.values():
            if (topic.push, topic.symbol) in socket.heard:
                socket.reader.listen(topic.push, topic.symbol, listener)
        self.wanted.set()

    def unsubscribe(self, listener: Listener, topic: Topic) -> None:
        """Undo subscribe."""
        listeners = self._listeners.get(topic, [])
        if listener not in listeners:
            return
        listeners.remove(listener)
        book = self.books.get(topic.symbol)
        if topic.channel == "depth" and book is not None:
            book.listeners = [each for each in book.listeners if each is not listener]
        if not any(listener in some and (other.push, other.symbol) == (topic.push, topic.symbol)
                   for other, some in self._listeners.items()):
            for socket in self._sockets.values():
                socket.reader.forget(topic.push, topic.symbol, listener)

    def depth_topic(self, symbol: str) -> Topic | None:
        """The topic under which this contract's book is listened to; None when nobody does."""
        return next((topic for topic, some in self._listeners.items()
                     if topic.channel == "depth" and topic.symbol == symbol and some), None)

    def keep(self, topic: Topic) -> None:
        """Nothing: a tape keeps its books by itself."""

    def raise_refusal(self, topic: Topic) -> None:
        """VenueError when the venue refused the topic while it was recorded."""
        if topic in self._refused:
            raise VenueError(None, f"{topic} was refused: {self._refused[topic]}")

    def listen(self, listener: Listener, channels: Channels | None) -> None:
        """Send the private socket's events to a listener."""
        ear = _Ear(listener, wishes(channels))
        self.forget(listener)
        self._private.append(ear)
        for socket in self._sockets.values():
            for channel, symbol in socket.heard:
                if channel.startswith(PREFIX):
                    socket.reader.listen(channel, symbol, ear)
        self.wanted.set()

    def forget(self, listener: Listener) -> None:
        """Undo listen."""
        for ear in [each for each in self._private if each.listener is listener]:
            self._private.remove(ear)
            for socket in self._sockets.values():
                for channel, symbol in socket.heard:
                    socket.reader.forget(channel, symbol, ear)

    def watch(self, callback: Callable[[StreamEvent], object]) -> Callable[[], None]:
        """Call back with every stream event; returns a function that ends it."""
        self._watchers = [*self._watchers, callback]
        self.wanted.set()

        def unwatch() -> None:
            left = list(self._watchers)
            if callback in left:
                left.remove(callback)
            self._watchers = left

        return unwatch

    def close(self) -> None:
        """The end: books stay readable and are STOPPED, feeds end."""
        for book in self.books.values():
            book.stop()
        for tell in list(self.at_close):
            tell()

    @property
    def has_waiting(self) -> bool:
        """A coroutine reads a feed: it is given its turn after every record."""
        return bool(self.at_close)

    # -- the tape ---------------------------------------------------------------------------------

    def open(self, records: Iterable[Record | Damage]) -> None:
        """Play these."""
        self._script = _Script(records)

    def step(self) -> bool:
        """Do what the next record says; False at the end."""
        record = self._script.take()
        if record is None:
            return False
        self._take(record)
        return True

    @property
    def next_ns(self) -> int | None:
        """When the next record was made; None when that is not known."""
        record = self._script.peek()
        return record.ts_ns if isinstance(record, Record) else None

    def called(self, what: str) -> None:
        """A reader calls what it is attached to: do what was done in that call."""
        record = self._script.peek()
        if (not isinstance(record, Record) or record.kind != Kind.CALLED
                or record.payload != what.encode()):
            return                            # there was no recorder yet, or records are lost
        self._script.take()
        while True:
            record = self._script.take()
            if record is None:
                return
            self._take(record)
            if isinstance(record, Damage) or record.kind in (Kind.RETURNED, Kind.LOSS, Kind.MARK):
                return

    def _take(self, record: Record | Damage) -> None:
        """Do what was done when this was recorded. TapeError for a record that makes no sense."""
        summary = self.summary
        if isinstance(record, Damage):
            summary.damages.append(record)
            log.warning("%s", record)
            self._doubt()
            return
        summary.records += 1
        summary.first_ns = summary.first_ns or record.ts_ns
        summary.last_ns = max(summary.last_ns, record.ts_ns)
        try:
            if record.kind in BOOK_KINDS:
                self._on_book(record)
            else:
                self._reads[Kind(record.kind)](record)
        except (ValueError, KeyError, TypeError) as fault:
            if isinstance(fault, FrameError):
                return                   # refused when it was recorded, too
            raise TapeError(f"a record of kind {record.kind} at {record.ts_ns} ns makes no sense: "
                            f"{type(fault).__name__} {fault}") from fault

    def _nothing(self, record: Record) -> None: ...

    def _frame(self, record: Record) -> None:
        self.summary.frames += 1
        self.summary.frame_bytes += len(record.payload)
        socket = self._sockets.get(record.source)
        if socket is not None:
            socket.reader.feed_bytes(record.payload, record.ts_ns)

    def _source(self, record: Record) -> None:
        if record.source not in self._sockets:
            name = json.loads(record.payload)["name"]
            self._sockets[record.source] = _Socket(name, self)

    def _listened(self, record: Record) -> None:
        socket = self._sockets[record.source]
        channel, symbol = _two(record)
        if (channel, symbol) not in socket.heard:
            socket.heard.add((channel, symbol))
            for listener in self._who_wants(channel, symbol):
                socket.reader.listen(channel, symbol, listener)

    def _forgotten(self, record: Record) -> None:
        socket = self._sockets[record.source]
        channel, symbol = _two(record)
        socket.heard.discard((channel, symbol))
        for listener in self._who_wants(channel, symbol):
            socket.reader.forget(channel, symbol, listener)

    def _who_wants(self, channel: str, symbol: str) -> list[Listener]:
        if channel.startswith(PREFIX):
            return list(self._private)
        return [listener for topic, some in self._listeners.items()
                if (topic.push, topic.symbol) == (channel, symbol) for listener in some]

    def _attached(self, record: Record) -> None:
        number, strict, described, symbol = record.payload.decode().split(" ", 3)
        book = self._numbered.get(int(number))
        if book is None:
            waiting = self.books.get(symbol)
            if waiting is not None and waiting.state is State.INIT and waiting.strict == (
                    strict == "1") and waiting not in self._numbered.values():
                book = waiting                    # handed out before the tape came to it
            else:
                book = OrderBook(symbol, strict=strict == "1")
                book.listeners = waiting.listeners if waiting is not None else [
                    listener for topic, some in self._listeners.items()
                    if topic.channel == "depth" and topic.symbol == symbol for listener in some]
            self._numbered[int(number)] = book
            self.books[symbol] = book
            if described == "1":
                self._unsure.add(int(number))
        self._sockets[record.source].reader.route(symbol).book = book

    def _detached(self, record: Record) -> None:
        self._sockets[record.source].reader.route(record.payload.decode()).book = None

    def _on_book(self, record: Record) -> None:
        book = self._numbered.get(record.source)
        if book is None:
            return
        kind = record.kind
        if kind == Kind.SNAPSHOT:
            book.load_snapshot(record.payload, record.ts_ns)
        elif kind == Kind.COMMITS:
            book.load_commits(record.payload, record.ts_ns)
        elif kind == Kind.APPLIED_FRAME:
            book.apply(record.payload, record.ts_ns)
        elif kind == Kind.EXPECTED:
            book.expect_snapshot()
        elif kind == Kind.RESET:
            book.reset()
        elif kind == Kind.SUSPENDED:
            book.suspend()
        elif kind == Kind.VERIFIED:
            book.verified(record.ts_ns)
        elif kind == Kind.SUSPECTED:
            book.suspect(record.payload.decode())
        elif kind == Kind.UNSUSPECTED:
            book.trust()
        elif kind == Kind.HOLDS:
            book.hold_early(int(record.payload))
        elif kind == Kind.OVERDUE:
            book.overdue(record.ts_ns)
        elif kind == Kind.BOOK_STOPPED:
            book.stop()

    def _settled(self, record: Record) -> None:
        number, old, change = map(int, record.payload.split())
        book = self._numbered.get(number)
        if book is not None:
            self._sockets[record.source].reader.settle(book, STATES[old], CHANGES[change])

    def _arbitrated(self, record: Record) -> None:
        channel, symbol, *rest = record.payload.decode().split(" ")
        route = self._sockets[record.source].reader.route(symbol)
        if not rest:
            route.arbitrate(channel, None)
            return
        number, path, joined_ns, capacity, horizon_ns = rest
        arbiter = self._arbiters.get(f"{channel} {symbol} {number}")
        if arbiter is None or (int(path) == 0 and arbiter.n_paths > 1):
            # the address of one that is gone may come again
            arbiter = Arbiter(channel, capacity=int(capacity), horizon_ns=int(horizon_ns))
            self._arbiters[f"{channel} {symbol} {number}"] = arbiter
        while arbiter.n_paths <= int(path):
            arbiter.join(int(joined_ns))
        route.arbitrate(channel, arbiter, int(path))

    def _trusted(self, record: Record) -> None:
        book = self._numbered.get(int(record.payload))
        if book is not None:
            self._sockets[record.source].reader.trust(book)

    def _was_called(self, record: Record) -> None:
        """Called by a reader whose input is not on the tape; what was done in it comes next."""

    def _told(self, record: Record) -> None:
        event = told.decode(record.payload)
        if isinstance(event, tuple):
            hook, details = event           # a Disconnected of the private socket is told as well
            for ear in list(self._private):
                self._call(getattr(ear.listener, hook), *details)
            return
        self.summary.disconnects += isinstance(event, Disconnected)
        self.summary.gaps += isinstance(event, Gap)
        self.summary.repairs += isinstance(event, Repairing)
        if isinstance(event, Refused) and event.topic is not None:
            self._refused[event.topic] = event.why
        listeners = self._concerned(event)
        named = told.HOOKS.get(type(event).__name__)
        if named is not None:
            for listener in listeners:
                self._call(getattr(listener, named[0]),
                           *[getattr(event, name) for name in named[1]])
        if event.connection.startswith("private"):
            listeners = [ear.listener for ear in self._private]
        for listener in listeners:
            self._call(listener.on_stream_event, event)
        for watcher in self._watchers:
            self._call(watcher, event)

    def _concerned(self, event: StreamEvent) -> list[Listener]:
        """Whom the pool told."""
        topic, symbol = getattr(event, "topic", None), getattr(event, "symbol", None)
        if topic is not None:
            return list(self._listeners.get(topic, ()))
        if symbol is not None:
            return list(self.books[symbol].listeners) if symbol in self.books else []
        found: list[Listener] = []
        for socket in self._sockets.values():
            if socket.name == event.connection:
                for route in socket.reader.routes.values():
                    found += [each for each in route.listeners() if each not in found]
        return found

    def _call(self, hook: Callable[..., object], *details: object) -> None:
        try:
            hook(*details)
        except Exception as fault:
            self.summary.faults += 1
            log.warning("a listener's %s raised: %s", getattr(hook, "__name__", "hook"), fault)

    def _order(self, record: Record) -> None:
        self.summary.orders += 1

    # -- beginnings and losses --------------------------------------------------------------------

    def _loss(self, record: Record) -> None:
        self.summary.losses += 1
        self.summary.lost += int(record.payload.split()[0])
        self._doubt()

    def _doubt(self) -> None:
        """Records are missing: no book is sure of itself until the tape describes it again."""
        for number, book in self._numbered.items():
            if book.state not in (State.INIT, State.STOPPED):
                old = book.state
                book.suspend()
                self._settle(book, old, Change.STALE)
            self._unsure.add(number)

    def _settle(self, book: OrderBook, old: State, change: Change) -> None:
        for socket in self._sockets.values():
            if socket.reader.route(book.symbol).book is book:
                socket.reader.settle(book, old, change)
                return

    def _keyframe(self, record: Record) -> None:
        book = self._numbered.get(record.source)
        if book is None:
            return
        self.summary.keyframes += 1
        frame = json.loads(record.payload)
        if record.source not in self._unsure:
            if not is_like(book, frame):
                self.summary.differing += 1
                log.warning("%s at version %d is not what was recorded at %d", book.symbol,
                            book.version, frame["version"])
            return
        if frame["state"] != State.LIVE:
            return                        # another will come when it is
        self._unsure.discard(record.source)
        if is_like(book, frame):
            return                        # a snapshot on the tape was first
        old = book.state
        book.reset()
        book.expect_snapshot()
        change = book.load_snapshot(reply_of(frame), frame["ts_recv_ns"])
        self._settle(book, old, change)


def _two(record: Record) -> tuple[str, str]:
    channel, _, symbol = record.payload.decode().partition(" ")
    return channel, symbol


class Replay:
    """A recorded client: the same strategies run on it, the same listeners are called.

        async with Replay("tapes/monday") as client:
            client.subscribe(strategy, topics.depth("BTC_USDT"))
            print(await client.finished())

    path: one file of a tape, or a directory that holds one tape. speed: None plays as fast as it
    can, 1 as it was recorded, 10 ten times as fast. Playing begins with the first subscription.
    Only what was subscribed to while recording is there. Orders cannot be placed: nobody knows how
    the venue would have answered; use mexcfast.sim for that.
    TapeError when the path holds no tape. Damaged or lost pieces are skipped, counted in `summary`,
    and no book is LIVE after one until the tape describes it again.
    """

    def __init__(self, path: str | os.PathLike[str], *, speed: float | None = None) -> None:
        if speed is not None and not 0 < speed < float("inf"):
            raise ConfigError(f"speed is {speed!r}; allowed: above 0, or None for full speed")
        self.parts = form.parts_at(path)
        self.speed = speed
        self._stage = Stage()
        self.market = MarketData(self._stage)
        self._task: asyncio.Task[Summary] | None = None
        self._played = False
        self._now_ns = 0

    def __repr__(self) -> str:
        return f"<Replay of {self.parts[0].header['tape']}, {len(self.parts)} parts>"

    @property
    def summary(self) -> Summary:
        """Counters so far."""
        return self._stage.summary

    @property
    def now_ns(self) -> int:
        """The recording's wall clock at the record played last; 0 before the first."""
        return self._stage.summary.last_ns

    # -- playing ----------------------------------------------------------------------------------

    def _records(self) -> Iterator[Record | Damage]:
        if self._played:
            raise ConfigError("this replay has been played; make another one")
        self._played = True
        for part in self.parts:
            yield from form.read_part(part)

    def play(self, progress: Callable[[Summary], object] | None = None) -> Summary:
        """Play all of it now, at full speed, calling listeners; no event loop is needed.

        progress: called with the counters every thousand records and at the end; what it raises
        ends the play.
        """
        stage = self._stage
        stage.open(self._records())
        since = 0
        while stage.step():
            since += 1
            if progress is not None and since == 1000:
                since = 0
                progress(stage.summary)
        stage.close()
        if progress is not None:
            progress(stage.summary)
        return self.summary

    async def run(self) -> Summary:
        """Play all of it at `speed`. Coroutines that read feeds have their turn at each record."""
        stage = self._stage
        started_ns = time.monotonic_ns()
        first_ns = 0
        since = 0
        stage.open(self._records())
        while True:
            next_ns = stage.next_ns if self.speed is not None else None
            if next_ns is not None and self.speed is not None:
                first_ns = first_ns or next_ns
                due_ns = started_ns + int((next_ns - first_ns) / self.speed)
                wait_ns = due_ns - time.monotonic_ns()
                if wait_ns >= SHORTEST_SLEEP_NS:
                    await asyncio.sleep(wait_ns / 1e9)
            if not stage.step():
                break
            since += 1
            if stage.has_waiting or since >= 1000:
                since = 0
                await asyncio.sleep(0)
        stage.close()
        return self.summary

    async def finished(self) -> Summary:
        """Wait for the end of the tape. Raises what playing raised."""
        if self._task is None:
            return await self.run()
        self._stage.wanted.set()
        return await asyncio.shield(self._task)

    async def __aenter__(self) -> Self:
        self._task = asyncio.get_running_loop().create_task(self._when_wanted(),
                                                            name="mexcfast replay")
        return self

    async def _when_wanted(self) -> Summary:
        await self._stage.wanted.wait()
        return await self.run()

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None,
                        trace: TracebackType | None) -> None:
        await self.close()

    async def close(self) -> None:
        """Stop playing. Raises what playing raised, once."""
        task, self._task = self._task, None
        if task is None:
            return
        if not task.done():
            try:
                await end(task)
            finally:
                self._stage.close()
        elif not task.cancelled() and task.exception() is not None:
            raise task.exception()  # type: ignore[misc]

    # -- what Client offers -----------------------------------------------------------------------

    def __getattr__(self, name: str) -> Any:
        if name in ("orders", "trader", "account", "positions", "conditional", "market_api"):
            raise ConfigError(f"a replay has no {name}: a tape holds what the venue said then, not "
                              "what it would have answered; use mexcfast.sim to trade")
        if not name.startswith("_") and name in _MARKET:
            return getattr(self.market, name)
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    def watch(self, callback: Callable[[StreamEvent], object]) -> Callable[[], None]:
        """Call back with every stream event; returns a function that ends it."""
        return self._stage.watch(callback)

    async def listen(self, listener: Listener, channels: Channels | None = None) -> None:
        """Own orders, fills, positions, balances as they came; ConfigError when not recorded.

        channels: as in Trader.listen.
        """
        if not self.parts[0].header.get("private"):
            raise ConfigError("the tape holds no private events: record with private=True")
        self._stage.listen(listener, channels)

    def forget(self, listener: Listener) -> None:
        """Undo listen."""
        self._stage.forget(listener)

    def private_events(self, channels: Channels | None = None, *, bound: int = 1024,
                       slow: Slow = "error") -> PrivateFeed:
        """As Client.private_events."""
        return PrivateFeed(lambda bell: self.listen(bell, channels), self.forget, self._stage,
                           bound, slow)

    async def start(self, listener: Listener | None = None, **more: Any) -> None:
        """As listen(); there is nothing to settle."""
        if listener is not None:
            await self.listen(listener)


_MARKET = frozenset(name for name in dir(MarketData) if not name.startswith("_"))

"""Reading the bus: the same listeners, feeds, events and gap-checked books as a Client's.

The venue's own frames come through the same core.reader that a socket feeds, so nothing is parsed
or judged in another way. A book that misses something asks the gateway, never the venue.
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import suppress
from types import TracebackType
from typing import Any, Self

from mexcfast.client import MarketData
from mexcfast.core.depth import Change, OrderBook, State
from mexcfast.core.events import Event
from mexcfast.core.listener import Listener
from mexcfast.core.reader import Reader
from mexcfast.core.stream_events import (
    Connected,
    Degraded,
    Disconnected,
    Gap,
    Live,
    Reconnected,
    Recovered,
    Repairing,
    StreamEvent,
)
from mexcfast.core.topics import Topic
from mexcfast.errors import ConfigError, ConnectFailed, GatewayError
from mexcfast.feeds import EventFeed, Slow
from mexcfast.gateway import wire
from mexcfast.gateway.bus import VARIABLE, Address, Bus
from mexcfast.gateway.lines import Line
from mexcfast.gateway.news import GatewayDown, GatewayUp, MessagesLost, SourceChanged
from mexcfast.gateway.sources import Life, Source, Sources
from mexcfast.net.notices import Notices, call
from mexcfast.net.tasks import end

log = logging.getLogger("mexcfast.gateway")

TICK = 0.1                   # seconds between looks at silence
TALLY = 1.0                  # seconds between lines of the log about many topics
ASKS_AT_ONCE = 16
ASK_WITHIN = 2.0             # seconds for an answer
FIRST_PAUSE, LONGEST_PAUSE = 0.1, 2.0      # seconds between questions about one book
NATS = "nats"                # the connection's name in events


class _Stage:
    """Who listens to what: the pool of a consumer, and the desk of its lines."""

    def __init__(self, sources: Sources) -> None:
        self.reader = Reader(self)
        self.reader.on_state = self.on_state
        self.books: dict[str, OrderBook] = {}
        self.lines: dict[tuple[str, str], Line] = {}
        self.sources = sources
        self.notices = Notices()
        self.at_close: set[Callable[[], None]] = set()
        self.dropped: dict[str, int] = {}       # by slow: what consumers have missed
        self.waiting: asyncio.Queue[Line] = asyncio.Queue()      # to be subscribed or dropped
        self.faults = 0
        self.is_closed = False
        self.questions: Callable[[Line], None] = lambda line: None
        self._listeners: dict[Topic, list[Listener]] = {}
        self._kept: set[Topic] = set()
        self._live_ns: dict[OrderBook, int] = {}
        self._untold: Counter[tuple[str, str]] = Counter()

    # -- what net/pool.Pool offers ----------------------------------------------------------------

    def subscribe(self, listener: Listener, topic: Topic, **_: Any) -> None:
        """Send a topic's frames to a listener, from whichever gateway brings them.

        The gateway decides on parameters, such as whether depth is merged: topics of one channel
        and contract are one here.
        """
        if self.is_closed:
            raise ConnectFailed(f"{topic} was asked of a consumer that is closed; allowed: a new "
                                "one")
        key = topic.channel, topic.symbol
        listeners = self._listeners.setdefault(topic, [])
        if listener not in listeners:
            listeners.append(listener)
        line = self.lines.get(key)
        if line is None:
            book = None
            if topic.channel == "depth":
                book = self.books[topic.symbol] = OrderBook(topic.symbol)
                self.reader.route(topic.symbol).book = book
                self._live_ns[book] = time.monotonic_ns()
            line = self.lines[key] = Line(self, topic, book)
            self.waiting.put_nowait(line)
        if line.book is not None and listener not in line.book.listeners:
            line.book.listeners = [*line.book.listeners, listener]
        self.reader.listen(topic.push, topic.symbol, listener)

    def unsubscribe(self, listener: Listener, topic: Topic) -> None:
        """Undo subscribe; the bus is told when nobody else wants the topic."""
        listeners = self._listeners.get(topic, [])
        if listener not in listeners:
            return
        listeners.remove(listener)
        key = topic.channel, topic.symbol
        others = [each for other, some in self._listeners.items() for each in some
                  if (other.channel, other.symbol) == key]
        line = self.lines[key]
        if listener not in others:
            self.reader.forget(topic.push, topic.symbol, listener)
            if line.book is not None:
                line.book.listeners = [each for each in line.book.listeners if each is not listener]
        if others or any((each.channel, each.symbol) == key for each in self._kept):
            return
        del self.lines[key]
        if line.book is not None:
            line.book.stop()
            self.reader.route(topic.symbol).book = None
            self._live_ns.pop(line.book, None)
            del self.books[topic.symbol]
        self.waiting.put_nowait(line)

    def depth_topic(self, symbol: str) -> Topic | None:
        """The topic under which this contract's book was asked for first."""
        line = self.lines.get(("depth", symbol))
        return line.topic if line is not None else None

    def keep(self, topic: Topic) -> None:
        """Hold a subscribed topic until close(), listeners or not."""
        self._kept.add(topic)

    def raise_refusal(self, topic: Topic) -> None:
        """GatewayError when gateways bring the contract and none of them this channel."""
        alive = [each for each in self.sources.known.values() if each.life is Life.ALIVE]
        fit = [each for each in alive if topic.symbol in each.beat.seqs]
        if fit and not any(each.carries(topic.channel, topic.symbol) for each in fit):
            found = sorted({name for each in fit
                            for name in (each.beat.channels if topic.symbol else each.beat.common)})
            raise GatewayError(f"no gateway brings {topic}; allowed: {', '.join(found)}")

    def refuse(self, line: Line) -> None:
        """Tell listeners, once, when gateways bring the contract and none of them this channel."""
        try:
            self.raise_refusal(line.topic)
        except GatewayError as fault:
            if not line.is_refused:
                line.is_refused = True
                for listener in self.listeners_of(line):
                    call(listener.on_refused, line.topic, str(fault))

    def watch(self, callback: Callable[[StreamEvent], object]) -> Callable[[], None]:
        """Call back with every stream event; returns a function that ends it."""
        return self.notices.watch(callback)

    def listeners_of(self, line: Line) -> list[Listener]:
        """Everybody who wants a line's topic."""
        found: list[Listener] = []
        for topic, some in self._listeners.items():
            if (topic.channel, topic.symbol) == (line.topic.channel, line.topic.symbol):
                found += [each for each in some if each not in found]
        return found

    def everybody(self) -> list[Listener]:
        """All listeners, each once."""
        found: list[Listener] = []
        for some in self._listeners.values():
            found += [each for each in some if each not in found]
        return found

    def close(self) -> None:
        """The end: books stay readable and are STOPPED, feeds end."""
        self.is_closed = True
        for book in self.books.values():
            book.stop()
        for tell in list(self.at_close):
            tell()

    # -- what lines ask for and tell --------------------------------------------------------------

    def ask(self, line: Line) -> None:
        """Its book has to come from the gateway."""
        if not self.is_closed:
            self.questions(line)

    def on_lost(self, line: Line, count: int) -> None:
        """Messages did not arrive."""
        self._tell(line, MessagesLost(ts_ns=time.time_ns(), connection=line.source_name,
                                      topic=line.topic, count=count))

    def on_trust(self, line: Line, was: str) -> None:
        """A line is trusted no longer, or again."""
        now_ns = time.time_ns()
        if line.why:
            self._tell(line, Degraded(ts_ns=now_ns, connection=line.source_name, topic=line.topic,
                                      why=line.why, silent_ns=0))
        else:
            self._tell(line, Recovered(ts_ns=now_ns, connection=line.source_name, topic=line.topic,
                                       why=f"no longer: {was}", after_ns=0))

    def on_source(self, line: Line, old: str) -> None:
        """It comes from another gateway."""
        self._tell(line, SourceChanged(ts_ns=time.time_ns(), connection=line.source_name,
                                       topic=line.topic, old=old))

    def _tell(self, line: Line, event: StreamEvent) -> None:
        # what befalls a gateway befalls all its topics: the log has one line for them, see tally()
        self.notices.tell(event, self.listeners_of(line), is_quiet=True)
        self._untold[line.source_name, type(event).__name__] += 1

    def tally(self) -> None:
        """Log what was told of single topics since the last time, as counts."""
        for (name, what), count in self._untold.items():
            level = logging.INFO if what in ("Recovered", "SourceChanged") else logging.WARNING
            log.log(level, "%s: %s of %d topics", name or "nobody", what, count)
        self._untold.clear()

    # -- what the reader is attached to -----------------------------------------------------------

    def on_control(self, event: Event) -> None:
        """Gateways send no such frames."""

    def on_need(self, book: OrderBook, change: Change) -> None:
        """A gap, or a snapshot that did not fit."""
        line = self.lines.get(("depth", book.symbol))
        if line is not None:
            self.notices.tell(Repairing(ts_ns=time.time_ns(), connection=line.source_name,
                                        symbol=book.symbol, by="gateway"), book.listeners,
                              is_quiet=True)
            self.ask(line)

    def on_trusted(self, book: OrderBook) -> None:
        """A frame ended a doubt, which may have had more reasons."""
        line = self.lines.get(("depth", book.symbol))
        if line is not None:
            line.on_trusted()

    def on_state(self, book: OrderBook, old: State, new: State) -> None:
        """Tell of gaps and of books that are LIVE again, as a pool does."""
        line = self.lines.get(("depth", book.symbol))
        name = line.source_name if line is not None else ""
        if old is State.LIVE:
            self._live_ns[book] = time.monotonic_ns()
        if new is State.REPAIRING and book.missing is not None:
            first, last = book.missing
            self.notices.tell(Gap(ts_ns=time.time_ns(), connection=name, symbol=book.symbol,
                                  first=first, last=last), book.listeners, is_quiet=True)
        elif new is State.LIVE:
            since_ns = self._live_ns.get(book, time.monotonic_ns())
            self.notices.tell(Live(ts_ns=time.time_ns(), connection=name, symbol=book.symbol,
                                   version=book.version,
                                   after_ns=time.monotonic_ns() - since_ns), book.listeners,
                              is_quiet=True)

    def on_fault(self, fault: Exception, where: str) -> None:
        """A message that cannot be read, or a listener that raised."""
        self.faults += 1
        log.warning("%s: %s: %s", where, type(fault).__name__, fault)


class Consumer:
    """The market as gateways bring it. Use as `async with`; no keys, no connection to the venue.

        async with Consumer("nats://127.0.0.1:4222") as consumer:
            book = await consumer.book("BTC_USDT")

    nats: its address; None: the environment variable MEXCFAST_NATS. creds, nkey: files with what
    proves who we are; ca: one with the certificates to trust instead of the system's. silent_after:
    seconds without a fresh beat after which all that comes from a gateway is flagged; `bound` says
    within how many it has happened.
    What a Client offers for reading is here as well: book, deals, ticker, subscribe, watch ...
    Times of receipt (ts_recv_ns) are the gateway's. Raises ConfigError, and ConnectFailed or
    MissingExtra when entered.
    """

    def __init__(self, nats: str | None = None, *, silent_after: float = 2.0,
                 creds: str | os.PathLike[str] | None = None,
                 nkey: str | os.PathLike[str] | None = None,
                 ca: str | os.PathLike[str] | None = None, pending_bytes: int = 16_000_000,
                 connect_within: float = 10.0) -> None:
        if not 0.05 <= silent_after <= 3600:
            raise ConfigError(f"silent_after is {silent_after!r}; allowed: 0.05 to 3600 seconds")
        address = Address.parse(nats if nats is not None else os.environ.get(VARIABLE, ""),
                                creds=creds, nkey=nkey, ca=ca)
        self.silent_after = silent_after
        self._stage = _Stage(Sources(int(silent_after * 1e9)))
        self._stage.questions = self._ask
        self.market = MarketData(self._stage)
        self._bus = Bus(address, "mexcfast consumer", on_up=self._up, on_down=self._down,
                        pending_bytes=pending_bytes, connect_within=connect_within)
        self._subscriptions: dict[Line, Any] = {}
        self._asking: dict[Line, tuple[int | None, asyncio.Task[None]]] = {}
        self._slots = asyncio.Semaphore(ASKS_AT_ONCE)
        self._tasks: list[asyncio.Task[None]] = []
        self._down_ns = 0
        self.malformed = 0
        self.questions = 0

    def __repr__(self) -> str:
        return f"<Consumer of {self._bus.address}>"

    # -- life -------------------------------------------------------------------------------------

    async def __aenter__(self) -> Self:
        try:
            await self._bus.open()
            await self._bus.subscribe(wire.BEATS, self._on_beat)
        except BaseException:
            await self.close()
            raise
        loop = asyncio.get_running_loop()
        self._tasks = [loop.create_task(work, name=f"mexcfast consumer {what}") for what, work in (
            ("subscribes", self._subscribing()), ("watches", self._watching()))]
        await self._greet()
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None,
                        trace: TracebackType | None) -> None:
        await self.close()

    async def close(self) -> None:
        """Books stay readable and are STOPPED, feeds end."""
        self._stage.close()
        await end(*self._tasks, *(task for _, task in self._asking.values()))
        self._tasks, self._asking = [], {}
        await self._bus.close()

    @property
    def bound(self) -> float:
        """Seconds within which a dead gateway's books are flagged; messages lost on the way, too,
        when gateways beat at least every half of it."""
        return self.silent_after + 2 * TICK

    @property
    def gateways(self) -> list[Source]:
        """Those heard of lately, dead ones included."""
        return list(self._stage.sources.known.values())

    def why(self, topic: Topic) -> str:
        """Why a subscribed topic is not to be trusted now; "" when it is."""
        line = self._stage.lines.get((topic.channel, topic.symbol))
        return line.why if line is not None else "it is not subscribed"

    @property
    def counts(self) -> dict[str, int]:
        """Messages lost, from other gateways, malformed; faults; books that differed; questions."""
        lines = self._stage.lines.values()
        return {"lost": sum(line.lost for line in lines),
                "foreign": sum(line.foreign for line in lines), "malformed": self.malformed,
                "faults": self._stage.faults, "questions": self.questions,
                "mismatches": sum(line.mismatches for line in lines), "slow": self._bus.slow}

    # -- what Client offers -----------------------------------------------------------------------

    def events(self, topics: Topic, *, bound: int = 1024, slow: Slow = "drop") -> EventFeed[Event]:
        """Any topic's typed events, one after the other."""
        return EventFeed(self._stage, topics, bound, slow)

    def subscribe(self, listener: Listener, topics: Topic | Iterable[Topic]) -> None:
        """Call a listener for each frame, as Client.subscribe does."""
        self.market.subscribe(listener, topics)

    def watch(self, callback: Callable[[StreamEvent], object]) -> Callable[[], None]:
        """Call back with every stream event and those of mexcfast.gateway.news."""
        return self._stage.watch(callback)

    def __getattr__(self, name: str) -> Any:
        if name in ("orders", "trader", "account", "positions", "conditional", "market_api",
                    "listen", "private_events"):
            raise ConfigError(f"a consumer has no {name}: the bus carries public data only; use a "
                              "Client")
        if not name.startswith("_") and name in _MARKET:
            return getattr(self.market, name)
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    # -- the bus ----------------------------------------------------------------------------------

    async def _subscribing(self) -> None:
        stage = self._stage
        while True:
            line = await stage.waiting.get()
            is_wanted = stage.lines.get((line.topic.channel, line.topic.symbol)) is line
            if is_wanted and line not in self._subscriptions:
                self._subscriptions[line] = await self._bus.subscribe(
                    line.subject, self._handler(line))
                self._choose(line)
            elif not is_wanted and line in self._subscriptions:
                _, task = self._asking.pop(line, (None, None))
                if task is not None:
                    task.cancel()
                await self._bus.unsubscribe(self._subscriptions.pop(line))

    def _handler(self, line: Line) -> Callable[[Any], Any]:
        decode, take = wire.decode, line.take

        async def handle(message: Any) -> None:
            try:
                read = decode(message.data)
            except GatewayError as fault:
                self.malformed += 1
                log.warning("%s: %s", line.subject, fault)
                return
            take(read)

        return handle

    async def _on_beat(self, message: Any) -> None:
        try:
            beat = wire.decode_beat(wire.decode(message.data))
        except GatewayError as fault:
            self.malformed += 1
            log.warning("beat: %s", fault)
            return
        sources = self._stage.sources
        now_ns = time.monotonic_ns()
        changed = sources.hear(beat, now_ns)
        source = sources.known[beat.gateway]
        self._tell_of(changed)
        if source.beat is not beat:
            return                                      # it was older than another
        for line in list(self._subscriptions):
            symbol = line.topic.symbol
            if changed or line.why or (line.source == beat.gateway and (
                    symbol in beat.flagged or symbol not in beat.seqs)):
                self._choose(line)
            if line.source == beat.gateway and source.life is Life.ALIVE:
                line.beat(source)

    def _choose(self, line: Line) -> None:
        """See to it that a line comes from the gateway that suits it best."""
        topic = line.topic
        source = self._stage.sources.choose(topic.channel, topic.symbol, line.source)
        if source is None:
            self._stage.refuse(line)
            if line.source is not None and not line.transport:
                line.flag(transport=f"{line.source_name} has left and no other gateway brings it")
            return
        if source.number != line.source:
            if source.life is not Life.ALIVE:
                return                                  # nothing is gained
            old = line.source_name
            line.take_from(source)
            self._stage.on_source(line, old)
        elif source.life is not Life.ALIVE and not line.transport:
            line.flag(transport=f"{source.name}: {source.why}")

    def _tell_of(self, changed: list[Source]) -> None:
        for source in changed:
            event: StreamEvent
            if source.life is Life.ALIVE:
                if 2 * source.beat.every_ms > 1000 * self.silent_after:
                    log.warning("%s beats every %d ms; silent_after is %g s: allowed are two beats "
                                "and more", source.name, source.beat.every_ms, self.silent_after)
                event = GatewayUp(ts_ns=time.time_ns(), connection=source.name,
                                  contracts=sum(map(bool, source.beat.seqs)))
            else:
                event = GatewayDown(ts_ns=time.time_ns(), connection=source.name, why=source.why)
            self._stage.notices.tell(event)

    async def _watching(self) -> None:
        told_s = 0.0
        while True:
            if time.monotonic() - told_s >= TALLY:
                told_s = time.monotonic()
                self._stage.tally()
            changed = self._stage.sources.check(time.monotonic_ns())
            if changed:
                self._tell_of(changed)
                for line in list(self._subscriptions):
                    self._choose(line)
            await asyncio.sleep(TICK)

    def _up(self, again: bool) -> None:
        listeners, now_ns = self._stage.everybody(), time.time_ns()
        if not again:
            for listener in listeners:
                call(listener.on_connected, NATS)
            self._stage.notices.tell(Connected(ts_ns=now_ns, connection=NATS), listeners)
            return
        down_ns = time.monotonic_ns() - self._down_ns
        for listener in listeners:
            call(listener.on_reconnected, NATS, down_ns)
        self._stage.notices.tell(Reconnected(ts_ns=now_ns, connection=NATS, down_ns=down_ns),
                                 listeners)
        task = asyncio.get_running_loop().create_task(self._greet(), name="mexcfast consumer hello")
        self._tasks = [each for each in self._tasks if not each.done()] + [task]

    async def _greet(self) -> None:
        with suppress(Exception):
            await self._bus.publish(wire.HELLO, b"")

    def _down(self) -> None:
        """Nothing comes until it is back: everything is flagged at once."""
        self._down_ns = time.monotonic_ns()
        why = "the connection to NATS is lost"
        self._tell_of(self._stage.sources.doubt(why))
        for line in list(self._subscriptions):
            self._choose(line)
        listeners = self._stage.everybody()
        for listener in listeners:
            call(listener.on_disconnected, NATS, why)
        self._stage.notices.tell(Disconnected(ts_ns=time.time_ns(), connection=NATS, why=why),
                                 listeners)

    # -- questions --------------------------------------------------------------------------------

    def _ask(self, line: Line) -> None:
        source, running = self._asking.get(line, (None, None))
        if running is not None and source != line.source:
            running.cancel()                            # it asks one that does not matter any more
            running = None
        if running is None and line in self._subscriptions:
            task = asyncio.get_running_loop().create_task(
                self._asked(line), name=f"mexcfast consumer asks for {line.topic.symbol}")
            self._asking[line] = line.source, task
            task.add_done_callback(lambda done: self._end_of(line, done))

    def _end_of(self, line: Line, task: asyncio.Task[None]) -> None:
        if line in self._asking and self._asking[line][1] is task:
            del self._asking[line]
        if not task.cancelled() and task.exception() is not None:
            log.error("asking for %s failed", line.topic, exc_info=task.exception())

    async def _asked(self, line: Line) -> None:
        """Until the book is LIVE, or its gateway has said that it will show it when it can."""
        pause = FIRST_PAUSE
        book = line.book
        while book is not None and (line.has_asked or book.state in (
                State.INIT, State.SYNCING, State.REPAIRING)):
            source = line.source
            if source is None or not self._bus.is_up:
                return                                  # the next beat begins anew
            async with self._slots:
                self.questions += 1
                data = await self._bus.ask(wire.ask_subject(source), line.topic.symbol.encode(),
                                           ASK_WITHIN)
            if data is not None and line.source == source:
                try:
                    answer = wire.decode(data)
                except GatewayError as fault:
                    self.malformed += 1
                    log.warning("answer: %s", fault)
                else:
                    line.take(answer, is_answer=True)
                    if answer.kind is wire.Kind.STATE and line.upstream:
                        return
                    if book.state is State.LIVE and not line.has_asked:
                        return
            await asyncio.sleep(pause)
            pause = min(LONGEST_PAUSE, 2 * pause)


_MARKET = frozenset(name for name in dir(MarketData) if not name.startswith("_"))

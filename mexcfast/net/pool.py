"""Which topic lives on which socket, and the books on them.

Sockets are opened when topics need them, at most 30 topics each, and chosen by what they carry
(core/placement). A topic may live on several: for redundancy, or while net/rotation moves it. A
book belongs to all sockets that carry its depth topic; when the last is lost it is not LIVE, and
with the first that is back it starts again from a new snapshot. It is in doubt until the venue has
confirmed the subscription or a frame has come, and whenever net/vitals finds its topic silent.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from mexcfast.core.arbiter import Arbiter, PathCounts
from mexcfast.core.depth import Change, OrderBook, State
from mexcfast.core.listener import Listener
from mexcfast.core.placement import Limits, Seat, choose, excludes
from mexcfast.core.reader import Reader
from mexcfast.core.startup import Startup, opening_s, seconds_left, snapshots_s
from mexcfast.core.stream_events import (
    Connected,
    Degraded,
    Disconnected,
    Gap,
    Live,
    Reconnected,
    Recovered,
    Refused,
    Repairing,
    Rotated,
    StreamEvent,
)
from mexcfast.core.topics import Topic
from mexcfast.errors import BookError, ConnectFailed, VenueError
from mexcfast.net.connection import Connection, ConnectionState, StreamSettings, TopicState
from mexcfast.net.notices import Notices, Watcher, call
from mexcfast.net.repair import BUDGETS, Fetch, Repairer
from mexcfast.net.rotation import Rotator
from mexcfast.net.tally import BookCounts, BookTally, PathTally, SocketTally
from mexcfast.net.vitals import Vitals

UNHEARD = "its stream has not spoken yet"
HANDSHAKE_S = 0.5        # assumed in estimates


class Pool:
    """The sockets of one endpoint.

    ws_url: the venue's WebSocket. fetch: raw REST bodies for mending books. budgets: requests and
    seconds of the venue's windows for them, by endpoint.
    stream_class: a listener class other than the default, for tests.
    """

    def __init__(self, ws_url: str, fetch: Fetch, settings: StreamSettings | None = None, *,
                 budgets: Mapping[str, tuple[int, float]] = BUDGETS,
                 stream_class: type[Any] | None = None) -> None:
        self.ws_url = ws_url
        self.settings = settings or StreamSettings()
        self.connections: list[Connection] = []
        self.books: dict[str, OrderBook] = {}
        self.refusals: dict[Topic | None, str] = {}
        self.recorder: Any = None                    # tape.Recorder while one is running
        self.at_close: set[Callable[[], None]] = set()   # feeds that end with the streams
        #: what consumers of feeds have missed, by what their feed does when they are slow
        self.dropped: dict[str, int] = {}
        self.notices = Notices()
        self.sockets = SocketTally()
        self.repairer = Repairer(fetch, self, self.settings.repairs_at_once, budgets)
        self.vitals = Vitals(self)
        self.rotator = Rotator(self)
        self._homes: dict[Topic, list[Connection]] = {}
        self._wanted: dict[Topic, int] = {}          # sockets that are to carry it
        self._depth_topics: dict[str, Topic] = {}
        self._ranks: dict[OrderBook, int] = {}       # the user's order
        self._live_ns: dict[OrderBook, int] = {}     # when it stopped being LIVE, or was wanted
        self._listeners: dict[Topic, list[Listener]] = {}
        self._kept: set[Topic] = set()
        # One arbiter a channel and contract that comes on several sockets, and each socket's path.
        self._arbiters: dict[tuple[str, str], Arbiter] = {}
        self._paths: dict[tuple[str, str], dict[Connection, int]] = {}
        self._past_books = BookTally()
        self._past_paths = PathTally()
        # hear every topic, before and after everybody else, and keep none
        self._first: tuple[Listener, ...] = ()
        self._last: tuple[Listener, ...] = ()
        self._holds: dict[OrderBook, asyncio.TimerHandle] = {}   # early frames wait in these
        self._stream_class = stream_class
        self._gate = asyncio.Semaphore(self.settings.connects_at_once)
        self._closing: set[asyncio.Task[None]] = set()
        self._is_closed = False
        self._opened = 0
        self._order = 0

    def watch(self, callback: Watcher) -> Callable[[], None]:
        """Call back with every core/stream_events event; returns a function that ends it."""
        return self.notices.watch(callback)

    # -- subscribing ------------------------------------------------------------------------------

    def subscribe(self, listener: Listener, topic: Topic, *, redundancy: int | None = None,
                  priority: int = 0) -> None:
        """Send a topic's frames to a listener, subscribing when it is the first.

        Public topics only; private pushes come from net/private. A depth topic keeps a book as
        well; BookError when the contract's book is kept by depth of another kind. redundancy:
        sockets that carry it, first arrival wins; None: as in the settings; the first subscriber
        decides. priority: books with a lower one are started and mended first, equal ones in the
        order of subscribing. Raises ValueError for a redundancy outside 1 to 3, ConnectFailed after
        close().
        """
        if self._is_closed:
            raise ConnectFailed(f"{topic} was asked of a client that is closed; allowed: a new one")
        if redundancy is not None and redundancy not in (1, 2, 3):
            raise ValueError(f"redundancy is {redundancy!r}; allowed: 1 to 3")
        other = self.depth_topic(topic.symbol) if topic.channel == "depth" else None
        if other is not None and other != topic:
            raise BookError(f"{other} is subscribed already; allowed: one kind of depth a "
                            f"contract, {topic} was asked for")
        self.vitals.start()
        book = self._book_for(topic, priority)
        if book is not None and listener not in book.listeners:
            keep = len(book.listeners) - len(self._last)
            book.listeners = [*book.listeners[:keep], listener, *book.listeners[keep:]]
        listeners = self._listeners.setdefault(topic, [])
        if listener not in listeners:
            listeners.append(listener)
        if topic in self._homes:
            for home in self._homes[topic]:
                home.reader.listen(topic.push, topic.symbol, listener)
                self._seat(home, topic)
            return
        self._wanted[topic] = redundancy or self.settings.redundancy
        for _ in range(self._wanted[topic]):
            self.attach(self._place(topic), topic)
        if book is not None and self.reader_of(book) is not None and book.state is State.INIT:
            self._renew(book)

    def unsubscribe(self, listener: Listener, topic: Topic) -> None:
        """Undo subscribe; the venue is told when nobody else wants the topic."""
        listeners = self._listeners.get(topic, [])
        if listener not in listeners:
            return
        listeners.remove(listener)
        for home in self._homes[topic]:
            if not any(self._shares_pushes(home, topic, other) and listener in some
                       for other, some in self._listeners.items()):
                home.reader.forget(topic.push, topic.symbol, listener)
        book = self.books.get(topic.symbol) if topic.channel == "depth" else None
        if book is not None and listener in book.listeners:
            # a new list: a hook may unsubscribe while the old one is being told
            book.listeners = [each for each in book.listeners if each is not listener]
        if listeners or topic in self._kept:
            return
        for home in list(self._homes[topic]):
            self.detach(home, topic)
        del self._homes[topic], self._listeners[topic], self._wanted[topic]
        self.refusals.pop(topic, None)
        self.vitals.forget(topic)
        if book is not None:
            self.repairer.forget(book)
            book.stop()
            self._past_books.gone(book)
            self._live_ns.pop(book, None)
            self._ranks.pop(book, None)
            del self.books[topic.symbol], self._depth_topics[topic.symbol]

    def _book_for(self, topic: Topic, priority: int) -> OrderBook | None:
        if topic.channel != "depth":
            return None
        book = self.books.get(topic.symbol)
        if book is None:
            book = self.books[topic.symbol] = OrderBook(topic.symbol)
            book.listeners = [*self._first, *self._last]
            self._depth_topics[topic.symbol] = topic
            self._live_ns[book] = time.monotonic_ns()
            self._order += 1
            self._ranks[book] = (priority << 32) + self._order
        return book

    def _shares_pushes(self, home: Connection, topic: Topic, other: Topic) -> bool:
        """Both come as the same pushes on this socket, like two intervals of candles."""
        return (other != topic and (other.push, other.symbol) == (topic.push, topic.symbol)
                and home in self._homes.get(other, ()))

    def depth_topic(self, symbol: str) -> Topic | None:
        """The topic that keeps this contract's book; None when there is none."""
        return self._depth_topics.get(symbol)

    @property
    def topics(self) -> tuple[Topic, ...]:
        """Everything that somebody wants."""
        return tuple(self._homes)

    def homes_of(self, topic: Topic) -> tuple[Connection, ...]:
        """The sockets a topic lives on."""
        return tuple(self._homes.get(topic, ()))

    def state_of(self, topic: Topic) -> TopicState | None:
        """Where a topic stands, on the socket where it stands best; None: nobody wants it."""
        states = [home.topics[topic] for home in self._homes.get(topic, ())]
        for best in (TopicState.LIVE, TopicState.ASKED, TopicState.WAITING):
            if best in states:
                return best
        return TopicState.REFUSED if states else None

    def keep(self, topic: Topic) -> None:
        """Hold a subscribed topic until close(), listeners or not."""
        self._kept.add(topic)

    def raise_refusal(self, topic: Topic) -> None:
        """VenueError when the venue refused the topic and did not take it back."""
        if self.state_of(topic) is TopicState.REFUSED:
            raise VenueError(None, f"{topic} was refused: {self.refusals.get(topic, '')}")

    async def close(self) -> None:
        """Close every socket; books stay readable and are STOPPED. No task is left."""
        self._is_closed = True
        await self.vitals.close()
        await self.repairer.close()
        for timer in self._holds.values():
            timer.cancel()
        self._holds.clear()
        await asyncio.gather(*(connection.close() for connection in self.connections))
        while self._closing:
            await asyncio.gather(*self._closing, return_exceptions=True)
        for book in self.books.values():
            book.stop()
        for tell in list(self.at_close):
            tell()

    def distrust(self, book: OrderBook, why: str) -> None:
        """A book was found to be wrong: flag it at once and mend it from a snapshot."""
        topic = self.depth_topic(book.symbol)
        if topic is None or self.books.get(book.symbol) is not book:
            return
        home = self._homes[topic][0]
        self.tell_degraded(home, topic, why, 0)
        old = book.state
        book.suspend()
        home.reader.settle(book, old, Change.STALE)
        self.repairer.mend(book)

    # -- sockets ----------------------------------------------------------------------------------

    def open_connection(self) -> Connection:
        """Another socket, on its way to be open."""
        self._opened += 1
        connection = Connection(f"public-{self._opened}", self.ws_url, self, self.settings,
                                gate=self._gate, stream_class=self._stream_class)
        self.connections.append(connection)
        self.sockets.adopt(connection)
        if self.recorder is not None:
            self.recorder.adopt(connection)
        connection.start()
        return connection

    def drop_connection(self, connection: Connection) -> None:
        """Close a socket that carries nothing any more."""
        self.connections.remove(connection)
        task = asyncio.get_running_loop().create_task(
            connection.close(), name=f"mexcfast close {connection.name}")
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)

    def _place(self, topic: Topic) -> Connection:
        """The socket that carries least of those with room, else a new one."""
        homes = self._homes.get(topic, ())
        fit = [each for each in self.connections
               if each.state is not ConnectionState.CLOSED and not each.is_leaving
               and each not in homes and not excludes(topic, each.topics)]
        chosen = choose(
            [Seat(len(each.topics), each.load.frames_per_s, each.load.bytes_per_s)
             for each in fit],
            Limits(self.settings.topics_per_socket, self.settings.frames_per_socket,
                   self.settings.bytes_per_socket))
        return fit[chosen] if chosen is not None else self.open_connection()

    def attach(self, connection: Connection, topic: Topic) -> None:
        """Let a socket carry a topic, beside those that do."""
        homes = self._homes.setdefault(topic, [])
        if connection in homes:
            return
        homes.append(connection)
        reader = connection.reader
        route = reader.route(topic.symbol)
        if topic.channel == "depth":
            route.book = self.books[topic.symbol]
        for listener in self._listeners.get(topic, ()):
            reader.listen(topic.push, topic.symbol, listener)
        self._seat(connection, topic)
        if len(homes) > 1:
            for home in homes:
                self._arbitrate(home, topic)
        connection.add(topic)

    def detach(self, connection: Connection, topic: Topic) -> None:
        """A socket carries a topic no longer; the others do."""
        homes = self._homes[topic]
        homes.remove(connection)
        reader = connection.reader
        route = reader.route(topic.symbol)
        for listener in self._listeners.get(topic, ()):
            if not any(self._shares_pushes(connection, topic, other) and listener in some
                       for other, some in self._listeners.items()):
                reader.forget(topic.push, topic.symbol, listener)
        if not any(self._shares_pushes(connection, topic, other) for other in self._homes):
            self._unseat(connection, topic)
        if topic.channel == "depth":
            route.book = None
        self._leave_arbiter(connection, topic)
        connection.remove(topic)

    # -- arbitration ------------------------------------------------------------------------------

    def _arbitrate(self, connection: Connection, topic: Topic) -> None:
        key = (topic.push, topic.symbol)
        if topic.channel == "depth" and key not in self._arbiters:
            self.books[topic.symbol].hold_early(int(self.settings.early_hold * 1e9))
        arbiter = self._arbiters.setdefault(key, Arbiter(topic.push))
        paths = self._paths.setdefault(key, {})
        if connection not in paths:
            paths[connection] = arbiter.join(time.time_ns())
            connection.reader.route(topic.symbol).arbitrate(topic.push, arbiter, paths[connection])

    def _leave_arbiter(self, connection: Connection, topic: Topic) -> None:
        """Without a second socket there is nothing to choose from."""
        key = (topic.push, topic.symbol)
        arbiter, paths = self._arbiters.get(key), self._paths.get(key, {})
        if arbiter is None or any(self._shares_pushes(connection, topic, other)
                                  for other in self._homes):
            return
        if connection in paths:
            path = paths.pop(connection)
            self._past_paths.gone(path, arbiter.counts(path))
            arbiter.leave(path)
            connection.reader.route(topic.symbol).arbitrate(topic.push, None)
        if len(paths) < 2:
            for last, path in paths.items():
                self._past_paths.gone(path, arbiter.counts(path))
                last.reader.route(topic.symbol).arbitrate(topic.push, None)
            del self._arbiters[key], self._paths[key]
            book = self.books.get(topic.symbol) if topic.channel == "depth" else None
            if book is not None:
                book.hold_early(0)
                self._look_at_early(book)

    def _look_at_early(self, book: OrderBook) -> None:
        """Early frames that have waited long enough are a gap; else look again when they have."""
        timer = self._holds.pop(book, None)
        if timer is not None:
            timer.cancel()
        if not book.held_ns or self._is_closed:
            return
        now_ns, old = time.time_ns(), book.state
        change = book.overdue(now_ns)
        if change is Change.BUFFERED:
            left_s = (book.held_ns + book.hold_ns - now_ns) / 1e9
            self._holds[book] = asyncio.get_running_loop().call_later(
                max(0.001, left_s), self._look_at_early, book)
            return
        reader = self.reader_of(book)
        if reader is not None:
            reader.settle(book, old, change)
        elif change is Change.NEED_REPAIR:
            book.suspend()                  # nobody carries it: the next socket starts it anew

    def lateness(self, topic: Topic) -> dict[str, PathCounts]:
        """Per socket that carries a topic: events it brought first, copies and how late they were.

        Empty unless several do. Candles of all intervals of a contract count together.
        """
        key = (topic.push, topic.symbol)
        arbiter = self._arbiters.get(key)
        if arbiter is None:
            return {}
        return {each.name: arbiter.counts(path) for each, path in self._paths[key].items()}

    def path_counts(self) -> dict[int, PathCounts]:
        """What all redundant topics have counted, by path: the how-manieth socket of a topic it is.

        A socket that takes another's place gets a number that is free. Never falls.
        """
        return self._past_paths.total(
            (path, arbiter.counts(path)) for key, arbiter in self._arbiters.items()
            for path in self._paths[key].values())

    def brought_the_same(self, topic: Topic, one: Connection, other: Connection) -> bool:
        """Whether both sockets have brought the same event of a topic."""
        counts = self.lateness(topic)
        if one.name not in counts or other.name not in counts or len(counts) > 2:
            return False
        return counts[one.name].copies > 0 or counts[other.name].copies > 0

    # -- observing --------------------------------------------------------------------------------

    def observe(self, first: Listener, last: Listener) -> Callable[[], None]:
        """Let two listeners hear every topic there is and will be; returns what ends it.

        first is called before everybody else, last after them. They keep no topic subscribed and
        are told of no state of a book before they came.
        """
        self._first, self._last = (*self._first, first), (*self._last, last)
        self._seat_all()

        def end() -> None:
            for home, topic in self._all_homes():
                self._unseat(home, topic)
            for book in self.books.values():
                book.listeners = [each for each in book.listeners if each not in (first, last)]
            self._first = tuple(each for each in self._first if each is not first)
            self._last = tuple(each for each in self._last if each is not last)
            self._seat_all()

        return end

    def _all_homes(self) -> list[tuple[Connection, Topic]]:
        return [(home, topic) for topic, homes in self._homes.items() for home in homes]

    def _seat_all(self) -> None:
        for home, topic in self._all_homes():
            self._seat(home, topic)
        for book in self.books.values():
            observers = (*self._first, *self._last)
            book.listeners = [*self._first, *(each for each in book.listeners
                                              if each not in observers), *self._last]

    def _seat(self, connection: Connection, topic: Topic) -> None:
        """Let the observers hear a topic on a socket, in front of the others and behind them."""
        if not self._first and not self._last:
            return
        reader, push, symbol = connection.reader, topic.push, topic.symbol
        users: dict[Listener, None] = {}
        for other, some in self._listeners.items():
            if (other.push, other.symbol) == (push, symbol) and connection in self._homes.get(
                    other, ()):
                users.update(dict.fromkeys(some))
        for each in (*users, *self._first, *self._last):
            reader.forget(push, symbol, each)
        for each in (*self._first, *users, *self._last):
            reader.listen(push, symbol, each)

    def _unseat(self, connection: Connection, topic: Topic) -> None:
        for each in (*self._first, *self._last):
            connection.reader.forget(topic.push, topic.symbol, each)

    def book_counts(self) -> BookCounts:
        """Of all books that are and were kept. Never falls."""
        return self._past_books.total(self.books.values())

    # -- start-up ---------------------------------------------------------------------------------

    @property
    def startup(self) -> Startup:
        """How many books are LIVE, and an estimate of when all will be."""
        books = list(self.books.values())
        live = sum(book.is_live for book in books)
        stopped = sum(book.state is State.STOPPED for book in books)
        unopened = sum(self.reader_of(book) is None for book in books
                       if book.state is not State.STOPPED)
        wanted = sum(not book.is_live and book.state is not State.STOPPED for book in books)
        closed = [each for each in self.connections if not each.is_open]
        count, window_s = self.repairer.budgets["depth"]
        settings = self.settings
        left = seconds_left(
            snapshots_s(wanted, self.repairer.slots("depth"), count, window_s,
                        self.repairer.answer_s),
            opening_s(len(closed), settings.connects_at_once, HANDSHAKE_S,
                      max((len(each.topics) for each in closed), default=0),
                      settings.messages_per_second))
        return Startup(len(books), live, wanted - unopened, unopened, stopped, left)

    # -- what net/repair asks and tells -----------------------------------------------------------

    def reader_of(self, book: OrderBook) -> Reader | None:
        """A reader of an open socket that has this book's topic; None when there is none."""
        topic = self.depth_topic(book.symbol)
        for home in self._homes.get(topic, ()) if topic is not None else ():
            if home.is_open:
                return home.reader
        return None

    def rank_of(self, book: OrderBook) -> int:
        """Its place in the queue for REST: what was LIVE goes before what starts."""
        started = 0 if book.state is State.REPAIRING else 1 << 56
        return started + self._ranks.get(book, 0)

    def on_repair(self, book: OrderBook, by: str) -> None:
        """A request that will mend a book is about to leave."""
        self.notices.tell(Repairing(ts_ns=time.time_ns(), connection=self._name_of(book),
                                    symbol=book.symbol, by=by), book.listeners)

    # -- what connections tell --------------------------------------------------------------------

    def on_connection_open(self, connection: Connection) -> None:
        """Books that no other socket keeps start anew, the snapshot is asked for at once."""
        for book in self._books_of(connection):
            if not self._is_carried(book, besides=connection):
                self._renew(book)
        listeners = connection.listeners()
        name, down_ns = connection.name, connection.down_ns
        event: StreamEvent
        if connection.opened == 1:
            for listener in listeners:
                call(listener.on_connected, name)
            event = Connected(ts_ns=time.time_ns(), connection=name, took_ns=down_ns)
        else:
            for listener in listeners:
                call(listener.on_reconnected, name, down_ns)
            event = Reconnected(ts_ns=time.time_ns(), connection=name, down_ns=down_ns)
        self.notices.tell(event, listeners)

    def on_connection_lost(self, connection: Connection, why: str) -> None:
        """Books that no other socket keeps are readable but not LIVE until it is back."""
        for book in self._books_of(connection):
            if not self._is_carried(book, besides=connection):
                old = book.state
                book.suspend()
                connection.reader.settle(book, old, Change.STALE)
        listeners = connection.listeners()
        for listener in listeners:
            call(listener.on_disconnected, connection.name, why)
        self.notices.tell(Disconnected(ts_ns=time.time_ns(), connection=connection.name, why=why,
                                       lived_ns=connection.lived_ns), listeners)

    def on_topic_live(self, connection: Connection, topic: Topic) -> None:
        """The venue said yes."""
        self.refusals.pop(topic, None)
        book = self.books.get(topic.symbol) if topic.channel == "depth" else None
        if book is not None:
            if book.state is State.STOPPED:            # it had been refused
                self._renew(book)
            if book.doubt == UNHEARD:
                connection.reader.trust(book)
        self.vitals.confirmed(connection, topic)

    def on_topic_refused(self, connection: Connection, topic: Topic | None, why: str) -> None:
        """Keep the reason where users look for it, and tell who wanted the topic.

        A book without a stream would look LIVE on its snapshot alone: it is stopped.
        """
        if topic is None or topic in self._homes:
            self.refusals[topic] = why
        book = self.books.get(topic.symbol) if topic and topic.channel == "depth" else None
        if (topic is not None and book is not None
                and self.state_of(topic) is TopicState.REFUSED):
            self.repairer.forget(book)
            old = book.state
            book.stop()
            connection.reader.settle(book, old, Change.STALE)
        listeners = list(self._listeners.get(topic, ())) if topic is not None else []
        for listener in listeners:
            call(listener.on_refused, topic, why)
        self.notices.tell(Refused(ts_ns=time.time_ns(), connection=connection.name, topic=topic,
                                  why=why, retry_ns=connection.retry_ns(topic)), listeners)

    def on_need(self, connection: Connection, book: OrderBook, change: Change) -> None:
        """A book reported a gap or lost its footing; BUFFERED: an early frame waits in it."""
        if change is Change.BUFFERED:
            if book not in self._holds:
                self._look_at_early(book)
        else:
            self.repairer.mend(book)

    def on_state(self, connection: Connection, book: OrderBook, old: State, new: State) -> None:
        """Tell of gaps and of books that are LIVE again."""
        now_ns, name = time.time_ns(), connection.name
        if old is State.LIVE:
            self._live_ns[book] = time.monotonic_ns()
        if new is State.REPAIRING and book.missing is not None:
            first, last = book.missing
            self.notices.tell(Gap(ts_ns=now_ns, connection=name, symbol=book.symbol, first=first,
                                  last=last), book.listeners)
        elif new is State.LIVE:
            since_ns = self._live_ns.get(book, time.monotonic_ns())
            self.notices.tell(Live(ts_ns=now_ns, connection=name, symbol=book.symbol,
                                   version=book.version,
                                   after_ns=time.monotonic_ns() - since_ns), book.listeners)

    def on_trusted(self, connection: Connection, book: OrderBook) -> None:
        """A frame ended a doubt."""
        topic = self.depth_topic(book.symbol)
        if topic is not None:
            self.vitals.trusted(connection, topic, "it spoke")

    # -- what net/vitals and net/rotation tell ----------------------------------------------------

    def tell_degraded(self, connection: Connection, topic: Topic, why: str,
                      silent_ns: int) -> None:
        """A topic is silent beyond its bound."""
        self._tell_topic(Degraded(ts_ns=time.time_ns(), connection=connection.name, topic=topic,
                                  why=why, silent_ns=silent_ns), topic)

    def tell_recovered(self, connection: Connection, topic: Topic, why: str,
                       after_ns: int) -> None:
        """It is as it should be again."""
        self._tell_topic(Recovered(ts_ns=time.time_ns(), connection=connection.name, topic=topic,
                                   why=why, after_ns=after_ns), topic)

    def tell_rotated(self, old: Connection, new: Connection, why: str, topics: int,
                     took_ns: int) -> None:
        """One socket has taken another's place."""
        self.notices.tell(Rotated(ts_ns=time.time_ns(), connection=new.name, old=old.name, why=why,
                                  topics=topics, took_ns=took_ns), new.listeners())

    def _tell_topic(self, event: StreamEvent, topic: Topic) -> None:
        self.notices.tell(event, list(self._listeners.get(topic, ())))

    # -- books ------------------------------------------------------------------------------------

    def _renew(self, book: OrderBook) -> None:
        """Nothing old survives; in doubt until the stream has spoken."""
        reader = self.reader_of(book)
        if reader is None:
            return
        old = book.state
        book.reset()
        book.expect_snapshot()
        topic = self.depth_topic(book.symbol)
        if topic is not None and not any(home.carries(topic) for home in self._homes[topic]):
            book.suspect(UNHEARD)
        reader.settle(book, old, Change.STALE)
        self.repairer.renew(book)

    def _is_carried(self, book: OrderBook, besides: Connection) -> bool:
        topic = self.depth_topic(book.symbol)
        return topic is not None and any(
            home is not besides and home.carries(topic) for home in self._homes[topic])

    def _name_of(self, book: OrderBook) -> str:
        topic = self.depth_topic(book.symbol)
        homes: Iterable[Connection] = self._homes.get(topic, ()) if topic is not None else ()
        return next((home.name for home in homes if home.is_open), "")

    @staticmethod
    def _books_of(connection: Connection) -> list[OrderBook]:
        return [r.book for r in connection.reader.routes.values() if r.book is not None]

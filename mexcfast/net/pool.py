"""Which topic lives on which socket, and the books on them.

Sockets are opened when topics need them, at most 30 topics each (protocol.md 5.2). A book belongs
to the socket that carries its depth topic: when that is lost the book is not LIVE, and when it is
back the book starts again from a new snapshot.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from mexcfast.core.depth import Change, OrderBook, State
from mexcfast.core.listener import Listener
from mexcfast.core.stream_events import (
    Connected,
    Degraded,
    Disconnected,
    Gap,
    Live,
    Reconnected,
    Refused,
    Repairing,
)
from mexcfast.core.topics import Topic
from mexcfast.errors import BookError, VenueError
from mexcfast.net.connection import Connection, ConnectionState, StreamSettings, TopicState
from mexcfast.net.notices import Notices, Watcher, call
from mexcfast.net.repair import Fetch, Repairer


class Pool:
    """The sockets of one endpoint.

    ws_url: the venue's WebSocket. fetch: raw REST bodies for mending books.
    stream_class: a listener class other than the default, for tests.
    """

    def __init__(self, ws_url: str, fetch: Fetch, settings: StreamSettings | None = None, *,
                 stream_class: type[Any] | None = None) -> None:
        self.ws_url = ws_url
        self.settings = settings or StreamSettings()
        self.connections: list[Connection] = []
        self.books: dict[str, OrderBook] = {}
        self.repairer = Repairer(fetch, self.on_repair)
        self.refusals: dict[Topic | None, str] = {}
        self.recorder: Any = None                    # tape.Recorder while one is running
        self.at_close: set[Callable[[], None]] = set()   # feeds that end with the streams
        self.notices = Notices()
        self._homes: dict[Topic, Connection] = {}
        self._live_ns: dict[OrderBook, int] = {}     # when it stopped being LIVE, or was wanted
        self._listeners: dict[Topic, list[Listener]] = {}
        self._kept: set[Topic] = set()
        self._stream_class = stream_class

    def watch(self, callback: Watcher) -> Callable[[], None]:
        """Call back with every core/stream_events event; returns a function that ends it."""
        return self.notices.watch(callback)

    # -- subscribing ------------------------------------------------------------------------------

    def subscribe(self, listener: Listener, topic: Topic) -> None:
        """Send a topic's frames to a listener, subscribing when it is the first.

        Public topics only; private pushes: net/private. A depth topic keeps a book as well;
        BookError when the contract's book is kept by depth of another kind.
        """
        other = self.depth_topic(topic.symbol) if topic.channel == "depth" else None
        if other is not None and other != topic:
            raise BookError(f"{other} is subscribed already; allowed: one kind of depth a "
                            f"contract, {topic} was asked for")
        home = self._homes.get(topic)
        if home is None:
            home = self._place(topic)
            self._homes[topic] = home
        listeners = self._listeners.setdefault(topic, [])
        if listener not in listeners:
            listeners.append(listener)
        route = home.reader.route(topic.symbol)
        if topic.channel == "depth":
            if route.book is None:
                route.book = self.books.setdefault(topic.symbol, OrderBook(topic.symbol))
                self._live_ns[route.book] = time.monotonic_ns()
            if listener not in route.book.listeners:
                route.book.listeners = [*route.book.listeners, listener]
        home.reader.listen(topic.push, topic.symbol, listener)
        home.add(topic)
        if route.book is not None and home.is_open and route.book.state is State.INIT:
            self.repairer.mend(home, route.book)

    def unsubscribe(self, listener: Listener, topic: Topic) -> None:
        """Undo subscribe; the venue is told when nobody else wants the topic."""
        listeners = self._listeners.get(topic, [])
        if listener not in listeners:
            return
        listeners.remove(listener)
        home = self._homes[topic]
        route = home.reader.route(topic.symbol)
        if not any(self._shares_pushes(topic, other) and listener in some
                   for other, some in self._listeners.items()):
            home.reader.forget(topic.push, topic.symbol, listener)
        if topic.channel == "depth" and route.book is not None and listener in route.book.listeners:
            # a new list: a hook may unsubscribe while the old one is being told
            route.book.listeners = [each for each in route.book.listeners if each is not listener]
        if listeners or topic in self._kept:
            return
        del self._homes[topic], self._listeners[topic]
        home.remove(topic)
        if topic.channel == "depth" and route.book is not None:
            self.repairer.forget(route.book)
            route.book.stop()
            self._live_ns.pop(route.book, None)
            route.book = None
            self.books.pop(topic.symbol, None)

    def _shares_pushes(self, topic: Topic, other: Topic) -> bool:
        """Both come as the same pushes on the same socket, like two intervals of candles."""
        return (other != topic and (other.push, other.symbol) == (topic.push, topic.symbol)
                and self._homes.get(other) is self._homes.get(topic))

    def depth_topic(self, symbol: str) -> Topic | None:
        """The topic that keeps this contract's book; None when there is none."""
        return next((t for t in self._homes if t.channel == "depth" and t.symbol == symbol), None)

    def state_of(self, topic: Topic) -> TopicState | None:
        """Where a topic stands; None when nobody subscribed to it."""
        home = self._homes.get(topic)
        return home.topics.get(topic) if home is not None else None

    def keep(self, topic: Topic) -> None:
        """Hold a subscribed topic until close(), listeners or not."""
        self._kept.add(topic)

    def raise_refusal(self, topic: Topic) -> None:
        """VenueError when the venue refused the topic and did not take it back."""
        if self.state_of(topic) is TopicState.REFUSED:
            raise VenueError(None, f"{topic} was refused: {self.refusals.get(topic, '')}")

    async def close(self) -> None:
        """Close every socket; books stay readable and are STOPPED."""
        await self.repairer.close()
        for connection in self.connections:
            await connection.close()
        for book in self.books.values():
            book.stop()
        for tell in list(self.at_close):
            tell()

    def distrust(self, book: OrderBook, why: str) -> None:
        """A book was found to be wrong: flag it at once and mend it from a snapshot."""
        topic = self.depth_topic(book.symbol)
        if topic is None or self.books.get(book.symbol) is not book:
            return
        home = self._homes[topic]
        self.notices.tell(Degraded(ts_ns=time.time_ns(), connection=home.name, topic=topic,
                                   why=why, silent_ns=0), list(self._listeners.get(topic, ())))
        old = book.state
        book.suspend()
        home.reader.settle(book, old, Change.STALE)
        self.repairer.mend(home, book)

    def _place(self, topic: Topic) -> Connection:
        """The first socket with room, else a new one."""
        for connection in self.connections:
            if (len(connection.topics) < self.settings.topics_per_socket
                    and connection.state is not ConnectionState.CLOSED):
                return connection
        connection = Connection(f"public-{len(self.connections) + 1}", self.ws_url, self,
                                self.settings, stream_class=self._stream_class)
        self.connections.append(connection)
        if self.recorder is not None:
            self.recorder.adopt(connection)
        connection.start()
        return connection

    # -- what connections tell --------------------------------------------------------------------

    def on_connection_open(self, connection: Connection) -> None:
        """Books start anew, the snapshot is asked for together with the subscription."""
        for book in self._books_of(connection):
            old = book.state
            book.reset()
            book.expect_snapshot()
            connection.reader.settle(book, old, Change.STALE)
            self.repairer.mend(connection, book)
        listeners = connection.listeners()
        now_ns, down_ns = time.time_ns(), connection.down_ns
        if connection.opened == 1:
            for listener in listeners:
                call(listener.on_connected, connection.name)
            self.notices.tell(Connected(ts_ns=now_ns, connection=connection.name,
                                        took_ns=connection.down_ns), listeners)
        else:
            for listener in listeners:
                call(listener.on_reconnected, connection.name, down_ns)
            self.notices.tell(Reconnected(ts_ns=now_ns, connection=connection.name,
                                          down_ns=down_ns), listeners)

    def on_connection_lost(self, connection: Connection, why: str) -> None:
        """Books on it are readable but not LIVE until it is back."""
        for book in self._books_of(connection):
            old = book.state
            book.suspend()
            connection.reader.settle(book, old, Change.STALE)
        listeners = connection.listeners()
        for listener in listeners:
            call(listener.on_disconnected, connection.name, why)
        self.notices.tell(Disconnected(ts_ns=time.time_ns(), connection=connection.name, why=why,
                                       lived_ns=connection.lived_ns), listeners)

    def on_topic_refused(self, connection: Connection, topic: Topic | None, why: str) -> None:
        """Keep the reason where users look for it, and tell who wanted the topic.

        A book without a stream would look LIVE on its snapshot alone: it is stopped.
        """
        self.refusals[topic] = why
        if topic is not None and connection.topics.get(topic) is TopicState.REFUSED:
            book = self.books.get(topic.symbol) if topic.channel == "depth" else None
            if book is not None:
                self.repairer.forget(book)
                old = book.state
                book.stop()
                connection.reader.settle(book, old, Change.STALE)
        listeners = list(self._listeners.get(topic, ())) if topic is not None else []
        for listener in listeners:
            call(listener.on_refused, topic, why)
        self.notices.tell(Refused(ts_ns=time.time_ns(), connection=connection.name, topic=topic,
                                  why=why), listeners)

    def on_need(self, connection: Connection, book: OrderBook, change: Change) -> None:
        """A book reported a gap or lost its footing."""
        self.repairer.mend(connection, book)

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

    def on_repair(self, connection: Connection, book: OrderBook, by: str) -> None:
        """A request that will mend a book is about to leave."""
        self.notices.tell(Repairing(ts_ns=time.time_ns(), connection=connection.name,
                                    symbol=book.symbol, by=by), book.listeners)

    @staticmethod
    def _books_of(connection: Connection) -> list[OrderBook]:
        return [r.book for r in connection.reader.routes.values() if r.book is not None]

"""One socket: opens, logs in, subscribes, pings, and comes back after every loss.

    CONNECTING -> OPEN -> LOST -> CONNECTING ...      close() leads to CLOSED from anywhere

A topic on it:

    state     sent    yes     delivers   refused    no answer           socket lost   due again
    WAITING   ASKED   -       -          -          -                   -             -
    ASKED     -       LIVE    LIVE       REFUSED    asked again, then   WAITING       -
                                                    REFUSED
    LIVE      ASKED   LIVE    LIVE       REFUSED    -                   WAITING       -
    REFUSED   -       -       -          -          -                   WAITING       ASKED

ASKED is sent and not acknowledged. A refusal that may pass is due again after a pause that doubles
(settings.refused_retry); one that names the topic itself wrong waits for the next socket.
Source: protocol.md 5, 6, 8.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum
from typing import Any, Protocol

import picows

from mexcfast.core.depth import Change, OrderBook, State
from mexcfast.core.events import Acknowledgement, Event, Pong, RequestError
from mexcfast.core.listener import Listener
from mexcfast.core.liveness import SocketHealth
from mexcfast.core.placement import Load, is_final
from mexcfast.core.reader import TAGS, Reader
from mexcfast.core.tap import Kind
from mexcfast.core.throttle import backoff_ms
from mexcfast.core.topics import BARE_LOGIN, PING, Topic
from mexcfast.core.window import Window
from mexcfast.errors import AuthenticationError, MexcfastError
from mexcfast.net.sockets import tune
from mexcfast.net.stream_settings import StreamSettings as StreamSettings
from mexcfast.net.tasks import end
from mexcfast.net.transport import Stream, open_stream, socket_of

log = logging.getLogger("mexcfast.net")

SECOND = 1_000_000_000


class ConnectionState(Enum):
    """Where a connection stands."""

    CONNECTING = "connecting"
    OPEN = "open"
    LOST = "lost"
    CLOSED = "closed"


class TopicState(Enum):
    """Where a topic on a connection stands."""

    WAITING = "waiting"
    ASKED = "asked"
    LIVE = "live"
    REFUSED = "refused"


class Keeper(Protocol):
    """Who keeps the books and is told what happens: net/pool."""

    def on_connection_open(self, connection: Connection) -> None: ...
    def on_connection_lost(self, connection: Connection, why: str) -> None: ...
    def on_topic_live(self, connection: Connection, topic: Topic) -> None: ...
    def on_topic_refused(self, connection: Connection, topic: Topic | None, why: str) -> None: ...
    def on_need(self, connection: Connection, book: OrderBook, change: Change) -> None: ...
    def on_state(self, connection: Connection, book: OrderBook, old: State,
                 new: State) -> None: ...
    def on_trusted(self, connection: Connection, book: OrderBook) -> None: ...


@dataclass(slots=True)
class _Asked:
    """A request that has not been answered."""

    method: str
    topic: Topic | None
    sent_ns: int
    tries: int


@dataclass(slots=True)
class _Refusal:
    """A refused topic that is due again; None: not on this socket."""

    due_ns: int | None
    times: int


class Connection:
    """One socket of the pool. Made and run by net/pool; nothing here decides what to subscribe to.

    login: builds the login frame for a time in ms, for the private socket; None for public ones.
    gate: held during a handshake, so that not all sockets connect at once.
    """

    def __init__(self, name: str, url: str, keeper: Keeper, settings: StreamSettings, *,
                 login: Callable[[], bytes] | None = None,
                 gate: asyncio.Semaphore | None = None,
                 stream_class: type[Any] | None = None) -> None:
        self.name = name
        self.url = url
        self.settings = settings
        self.state = ConnectionState.CONNECTING
        self.reader = Reader(self)
        self.topics: dict[Topic, TopicState] = {}
        self.opened = 0                      # sockets opened so far
        self.lost_because = ""
        self.pongs = 0
        self.round_trip_ns: int | None = None
        self.logged_in = asyncio.Event()
        self.login_error: AuthenticationError | None = None
        self.is_leaving = False              # its topics move to another socket
        self.rotate_at_ns: int | None = None  # monotonic; None: not open
        self.load = Load()
        self.health = self._fresh_health()
        self._keeper = keeper
        self._login = login
        self._stream_class = stream_class
        self._stream: Stream | None = None
        self._gate = gate or asyncio.Semaphore()
        self._gone = asyncio.Event()
        self._stir = asyncio.Event()         # the watch has something new to look at
        self._refusals: dict[Topic, _Refusal] = {}
        self._to_send: deque[tuple[bytes, str, Topic | None, int]] = deque()
        self._wake_sender = asyncio.Event()
        self._window = Window(settings.messages_per_second, SECOND)
        self._asked: deque[_Asked] = deque()
        self._requested: set[Topic] = set()  # asked for on the socket there is now
        self._ping_sent_ns: int | None = None
        self._lost_ns = time.monotonic_ns()
        self._opened_ns = 0
        self.reader.on_state = self._on_state
        self._task: asyncio.Task[None] | None = None

    def __repr__(self) -> str:
        return f"<Connection {self.name} {self.state.value} {len(self.topics)} topics>"

    # -- what the pool calls ----------------------------------------------------------------------

    def start(self) -> None:
        """Run until close()."""
        self._task = asyncio.get_running_loop().create_task(
            self._run(), name=f"mexcfast {self.name}")

    async def close(self) -> None:
        """Close the socket and stop for good."""
        self.state = ConnectionState.CLOSED
        try:
            await end(self._task)
        finally:                     # a caller that is cancelled leaves no open socket either
            if self._stream is not None:
                self._stream.close()
                self._stream = None

    @property
    def is_open(self) -> bool:
        """Frames can be sent now."""
        return self.state is ConnectionState.OPEN

    @property
    def is_closed(self) -> bool:
        """Stopped for good."""
        return self.state is ConnectionState.CLOSED

    def add(self, topic: Topic) -> None:
        """Subscribe now or as soon as the socket is open; again after every reconnect."""
        if topic not in self.topics:
            self.topics[topic] = TopicState.WAITING
            if self.is_open:
                self._ask_for(topic)

    def remove(self, topic: Topic) -> None:
        """Unsubscribe; nothing happens when the topic is not here."""
        self._refusals.pop(topic, None)
        if self.topics.pop(topic, None) is None or not self.is_open:
            return
        # What was not sent yet need not be undone, so requests cannot pile up.
        self._to_send = deque(each for each in self._to_send if each[2] != topic)
        if topic in self._requested:
            self._requested.discard(topic)
            self.send(topic.unsubscribe_frame(), f"unsub.{topic.channel}", topic)

    def ask_again(self, topic: Topic) -> None:
        """Ask for a topic that stands on this socket; a request under way is enough."""
        if self.is_open and self.topics.get(topic) in (TopicState.LIVE, TopicState.REFUSED):
            self._ask_for(topic)

    def ask_refused(self, now_ns: int) -> None:
        """Ask for the refused topics that are due again."""
        for topic, refusal in list(self._refusals.items()):
            if refusal.due_ns is not None and now_ns >= refusal.due_ns:
                refusal.due_ns = None
                self.ask_again(topic)

    def retry_ns(self, topic: Topic | None) -> int | None:
        """Nanoseconds until a refused topic is asked for again; None: not on this socket."""
        refusal = self._refusals.get(topic) if topic is not None else None
        if refusal is None or refusal.due_ns is None:
            return None
        return max(0, refusal.due_ns - time.monotonic_ns())

    def ping_now(self) -> None:
        """Find out within the pong deadline whether anybody is there."""
        if self.is_open and self._ping_sent_ns is None:
            self._ping_sent_ns = time.monotonic_ns()
            self.send(PING, "ping")
            self._stir.set()

    def carries(self, topic: Topic) -> bool:
        """The venue has confirmed the topic on the socket there is now, or it delivers."""
        state = self.topics.get(topic)
        return self.is_open and (state is TopicState.LIVE or (
            state is TopicState.ASKED and self.last_heard(topic) > 0))

    def last_heard(self, topic: Topic) -> int:
        """Wall clock of the last frame of a topic on this socket, nanoseconds; 0: none yet."""
        route = self.reader.routes.get(topic.symbol)
        if route is None:
            return 0
        if topic.channel == "depth":
            return route.depth_recv_ns
        return route.last_recv_ns.get(TAGS.get(topic.push, -1), 0)

    def send(self, frame: bytes, method: str, topic: Topic | None = None, tries: int = 1) -> None:
        """Queue a request; it leaves within the message budget. Dropped when the socket is lost."""
        self._to_send.append((frame, method, topic, tries))
        self._wake_sender.set()

    def listeners(self) -> set[Listener]:
        """Everybody who receives something from this socket."""
        found: set[Listener] = set()
        for route in self.reader.routes.values():
            found.update(route.listeners())
        return found

    # -- the socket's life ------------------------------------------------------------------------

    async def _run(self) -> None:
        failures = 0      # in a row; the first is followed by an immediate try
        while self.state is not ConnectionState.CLOSED:
            await asyncio.sleep(backoff_ms(max(0, failures - 1), random.random(),
                                           cap_ms=self.settings.backoff_cap_ms) / 1000)
            self.state = ConnectionState.CONNECTING
            self._gone.clear()
            try:
                async with self._gate:
                    stream = await open_stream(self.url, self.reader, self,
                                               stream_class=self._stream_class,
                                               timeout=self.settings.handshake_timeout)
                if self.settings.busy_poll_us or self.settings.quick_ack:
                    tune(socket_of(stream), self.settings.busy_poll_us, self.settings.quick_ack)
            except (OSError, TimeoutError, picows.WSError) as fault:
                failures += 1
                self.lost_because = f"cannot connect to {self.url}: {fault or type(fault).__name__}"
                log.warning("%s: %s (try %d)", self.name, self.lost_because, failures)
                continue
            opened_ns = time.monotonic_ns()
            sender = asyncio.get_running_loop().create_task(self._send_queued())
            try:
                await self._watch()
            finally:
                await end(sender)
            if self.login_error is not None:
                self.state = ConnectionState.CLOSED     # wrong keys do not get better
            lived_ns = time.monotonic_ns() - opened_ns
            failures = 0 if lived_ns > self.settings.stable_after * SECOND else failures + 1

    async def _watch(self) -> None:
        """Ping, pong deadline and acknowledgements until the socket is gone."""
        settings = self.settings
        next_ping_ns = time.monotonic_ns() + int(settings.ping_interval * SECOND)
        while not self._gone.is_set():
            self._stir.clear()
            now_ns = time.monotonic_ns()
            if self._ping_sent_ns is None:
                due_ns = next_ping_ns
            else:
                due_ns = self._ping_sent_ns + int(settings.pong_deadline * SECOND)
            # What is asked while we sleep is looked at one timeout later at the latest.
            asked_ns = self._asked[0].sent_ns if self._asked else now_ns
            due_ns = min(due_ns, asked_ns + int(settings.acknowledge_timeout * SECOND))
            if due_ns > now_ns:
                # not wait_for, which loses a cancel that comes together with the event
                with suppress(TimeoutError):
                    async with asyncio.timeout((due_ns - now_ns) / SECOND):
                        await self._stir.wait()
                continue
            self._check_acknowledgements(now_ns)
            if self._ping_sent_ns is not None:
                if now_ns - self._ping_sent_ns >= settings.pong_deadline * SECOND:
                    self._lose(f"no pong within {settings.pong_deadline:g} s")
                    return
            elif now_ns >= next_ping_ns:
                self._ping_sent_ns = now_ns
                next_ping_ns = now_ns + int(settings.ping_interval * SECOND)
                self.send(PING, "ping")

    async def _send_queued(self) -> None:
        while True:
            await self._wake_sender.wait()
            try:
                while wait_ns := self._send_due():  # noqa: ASYNC110 - the pace, not an event
                    await asyncio.sleep(wait_ns / SECOND)
            except ConnectionError:
                return
            self._wake_sender.clear()

    def _send_due(self) -> int:
        """Send what the message budget allows: nanoseconds to wait for the rest, 0 without one.

        Raises ConnectionError.
        """
        while self._to_send:
            wait_ns = self._window.take(time.monotonic_ns())
            if wait_ns:
                return wait_ns
            if self._stream is None:        # lost since the sender was woken
                raise ConnectionError
            frame, method, topic, tries = self._to_send.popleft()
            self._stream.send(frame)
            if topic is not None and method.startswith("sub."):
                self._requested.add(topic)
            if self.reader.tap is not None:
                self.reader.tap.note(Kind.SENT, self.reader.tap_source,
                                     BARE_LOGIN if method == "login" else frame)
            if method != "ping":
                self._asked.append(_Asked(method, topic, time.monotonic_ns(), tries))
        return 0

    def _fresh_health(self) -> SocketHealth:
        return SocketHealth(int(self.settings.late_pong * SECOND),
                            int(self.settings.lateness_limit * SECOND))

    def _ask_for(self, topic: Topic) -> None:
        self.topics[topic] = TopicState.ASKED
        self.send(topic.subscribe_frame(), f"sub.{topic.channel}", topic)

    def _lose(self, why: str) -> None:
        """Give the socket up; on_closed follows from picows, _gone in any case."""
        self.lost_because = why
        stream, self._stream = self._stream, None
        self._note_lost()
        if stream is not None:
            stream.close()

    def _note_lost(self) -> None:
        if self.state is not ConnectionState.OPEN:
            return
        self.state = ConnectionState.LOST
        self._lost_ns = time.monotonic_ns()
        self._to_send.clear()
        self._asked.clear()
        self._requested.clear()
        self._ping_sent_ns = None
        if self.login_error is None:
            self.logged_in.clear()
        self._refusals.clear()
        self.rotate_at_ns = None
        for topic in self.topics:
            self.topics[topic] = TopicState.WAITING
        self._gone.set()
        self._stir.set()
        self._keeper.on_connection_lost(self, self.lost_because)

    # -- what the stream calls --------------------------------------------------------------------

    def on_open(self, stream: Stream) -> None:
        """The handshake is done."""
        self._stream = stream
        self.state = ConnectionState.OPEN
        self.opened += 1
        self._opened_ns = time.monotonic_ns()
        self.health = self._fresh_health()
        spread = random.random() * self.settings.rotate_spread
        self.rotate_at_ns = self._opened_ns + int((self.settings.rotate_after - spread) * SECOND)
        self.lost_because = "closed by the peer"
        self._wake_sender.set()
        for route in self.reader.routes.values():
            route.forget_receipts()
        if self._login is not None:
            self.send(self._login(), "login")
        for topic in self.topics:
            self._ask_for(topic)
        # Now, not in the sender's turn: the keeper asks for snapshots at once, and one that is
        # taken before the subscription counts would miss the frames between the two.
        with suppress(ConnectionError):
            self._send_due()
        self._keeper.on_connection_open(self)

    @property
    def down_ns(self) -> int:
        """Nanoseconds since the last loss, or since it was made."""
        return time.monotonic_ns() - self._lost_ns

    @property
    def lived_ns(self) -> int:
        """Nanoseconds since the socket opened; 0 before the first one."""
        return time.monotonic_ns() - self._opened_ns if self._opened_ns else 0

    def on_closed(self, stream: Stream) -> None:
        """The socket is gone, whoever closed it."""
        if stream is self._stream:
            self._stream = None
            self._note_lost()

    # -- what the reader calls --------------------------------------------------------------------

    def on_need(self, book: OrderBook, change: Change) -> None:
        """A book wants commits or a snapshot."""
        self._keeper.on_need(self, book, change)

    def on_trusted(self, book: OrderBook) -> None:
        """A frame ended the doubt about a book."""
        self._keeper.on_trusted(self, book)

    def _on_state(self, book: OrderBook, old: State, new: State) -> None:
        self._keeper.on_state(self, book, old, new)

    def on_control(self, event: Event) -> None:
        """An acknowledgement, an error or a pong."""
        if isinstance(event, Pong):
            self.pongs += 1
            if self._ping_sent_ns is not None:
                self.round_trip_ns = time.monotonic_ns() - self._ping_sent_ns
                self.health.pong(self.round_trip_ns)
                self._ping_sent_ns = None
        elif isinstance(event, Acknowledgement):
            asked = next((a for a in self._asked if a.method == event.method), None)
            if asked is not None:
                self._asked.remove(asked)
                self._settle(asked, "" if event.is_success else event.message or "refused")
        elif isinstance(event, RequestError):
            # It does not say which request failed: the oldest open one, by protocol.md 6.
            asked = self._asked.popleft() if self._asked else _Asked("", None, 0, 1)
            self._settle(asked, event.message or "refused")

    def _settle(self, asked: _Asked, refusal: str) -> None:
        if asked.method == "login":
            self.logged_in.set()
            if refusal:
                self.login_error = AuthenticationError(None, f"login was refused: {refusal}")
                self._lose("login refused")
            return
        topic = asked.topic
        if topic is not None and topic in self.topics and asked.method.startswith("sub."):
            if refusal:
                self.topics[topic] = TopicState.REFUSED
                self._note_refusal(topic, refusal)
            else:
                self._now_live(topic)
        if refusal:
            self._keeper.on_topic_refused(self, topic, refusal)

    def _now_live(self, topic: Topic) -> None:
        self.topics[topic] = TopicState.LIVE
        self._refusals.pop(topic, None)
        self._keeper.on_topic_live(self, topic)

    def _note_refusal(self, topic: Topic, why: str) -> None:
        refusal = self._refusals.setdefault(topic, _Refusal(None, 0))
        refusal.times += 1
        refusal.due_ns = None
        if not is_final(why):
            wait_ms = backoff_ms(refusal.times, random.random(),
                                 base_ms=max(1, int(self.settings.refused_retry * 1000)),
                                 cap_ms=max(1, int(self.settings.refused_retry_cap * 1000)))
            refusal.due_ns = time.monotonic_ns() + wait_ms * 1_000_000

    def _check_acknowledgements(self, now_ns: int) -> None:
        """Ask again for what was not acknowledged and does not deliver."""
        limit_ns = int(self.settings.acknowledge_timeout * SECOND)
        while self._asked and now_ns - self._asked[0].sent_ns >= limit_ns:
            asked = self._asked.popleft()
            if asked.method == "login":
                self._lose(f"no answer to the login within {self.settings.acknowledge_timeout:g} s")
                return
            topic = asked.topic
            if topic is None or topic not in self.topics or not asked.method.startswith("sub."):
                continue
            if self.last_heard(topic):
                self._now_live(topic)
            elif asked.tries < self.settings.acknowledge_tries:
                log.warning("%s: %s not acknowledged, asking again", self.name, topic)
                self.send(topic.subscribe_frame(), asked.method, topic, asked.tries + 1)
            else:
                self._settle(asked, f"no answer to {asked.tries} requests")

    def on_fault(self, fault: Exception, where: str) -> None:
        """A refused frame, or a listener that raised: neither stops the stream."""
        if isinstance(fault, MexcfastError):
            log.warning("%s: %s: %s", self.name, where, fault)
        else:
            log.error("%s: a listener's %s raised", self.name, where, exc_info=fault)

"""The private socket: the login, the personal filter, and who hears which pushes.

    CLOSED -> CONNECTING -> LOGGING_IN -> FILTERING -> LIVE
                   ^------------ any loss -----------'

Nothing but the login is sent before the venue has confirmed it. Then one personal.filter asks for
the union of what all listeners want; it is sent again after every reconnect, and whenever a
listener comes or goes. When a filter can name all wishes the login says subscribe:false and nothing
else arrives. Some channels have no filter key (position.mode, liquidate.risk, track.order ...), and
nobody knows what a filter does to them: while one of those is wanted, the login is an ordinary one,
no filter is sent, and what nobody wants is dropped here.

Rotation, before the venue closes a socket at 24 h or when another login is needed, makes before it
breaks: a second socket logs in and gets its filter while the first still delivers; core/arbiter
knows the pushes that came on both; the first is closed after an overlap. Nothing is lost or told
twice. Private pushes carry no number, so copies are known by content and `ts`, counted per socket.
Source: protocol.md 5.2, 8, 9.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections import deque
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping
from enum import Enum
from typing import Any

from mexcfast.core.arbiter import Arbiter
from mexcfast.core.channels import CHANNELS
from mexcfast.core.depth import Change, OrderBook, State
from mexcfast.core.events import Event
from mexcfast.core.frame import Message
from mexcfast.core.listener import Listener, overrides
from mexcfast.core.sign import Signer
from mexcfast.core.stream_events import Connected, Disconnected, Reconnected, Rotated
from mexcfast.core.throttle import backoff_ms
from mexcfast.core.topics import FILTERS, FILTERS_WITHOUT_RULES, Topic, filter_frame
from mexcfast.errors import AuthenticationError, ConnectFailed, FrameError, MexcfastError
from mexcfast.net.connection import SECOND, Connection, ConnectionState, StreamSettings
from mexcfast.net.notices import Notices, call
from mexcfast.net.tally import SocketTally
from mexcfast.net.tasks import end

log = logging.getLogger("mexcfast.net")

PREFIX = "push.personal."
#: every personal channel, without the prefix
PERSONAL = tuple(row.name.removeprefix(PREFIX) for row in CHANNELS if row.name.startswith(PREFIX))
FILTER = "personal.filter"

#: what a listener may ask for: names, or names -> contracts (empty or None: all)
Channels = Iterable[str] | Mapping[str, Collection[str] | None]
Wishes = dict[str, frozenset[str] | None]


def wishes(channels: Channels | None) -> Wishes:
    """Channel -> contracts, None for all; None wishes for every personal channel.

    Names as in the venue's table, without push.personal. Raises ValueError for others, and for
    contracts of a channel that takes none.
    """
    if channels is None:
        return dict.fromkeys(PERSONAL)
    if isinstance(channels, str):
        channels = (channels,)
    named = channels if isinstance(channels, Mapping) else dict.fromkeys(channels)
    found: Wishes = {}
    for name, symbols in named.items():
        if name not in PERSONAL:
            raise ValueError(f"channel is {name!r}; allowed: {', '.join(sorted(PERSONAL))}")
        if isinstance(symbols, str):
            raise ValueError(f"contracts of {name} are {symbols!r}; allowed: a list of contracts")
        if symbols and name in FILTERS_WITHOUT_RULES:
            raise ValueError(f"channel {name!r} takes no contracts; {sorted(symbols)} were given")
        found[name] = frozenset(symbols) if symbols else None
    if not found:
        raise ValueError("channels is empty; allowed: at least one, or None for all")
    return found


def union(many: Iterable[Wishes]) -> Wishes:
    """What satisfies everybody."""
    found: Wishes = {}
    for each in many:
        for name, symbols in each.items():
            known = found.get(name, frozenset())
            found[name] = None if symbols is None or known is None else known | symbols
    return found


class PrivateConnection(Connection):
    """A socket that sends nothing before its login is confirmed, and then its filter."""

    def __init__(self, name: str, url: str, keeper: PrivateStream, settings: StreamSettings,
                 login: Callable[[], bytes], *, is_quiet: bool,
                 stream_class: type[Any] | None = None) -> None:
        super().__init__(name, url, keeper, settings, login=login, stream_class=stream_class)
        self.is_quiet = is_quiet             # logged in with subscribe:false
        self.is_narrowed = is_quiet          # or a filter was sent on the socket there is now
        self.filtered: bytes | None = None   # the filter the venue has confirmed
        self.asked: bytes | None = None      # the one it was sent last
        self._owner = keeper
        self._held: deque[tuple[bytes, str, Topic | None, int]] = deque()
        self._under_way: deque[bytes] = deque()     # filters without an answer, oldest first
        self.ear = _Ear(keeper, self)
        for channel in PERSONAL:
            self.reader.listen(PREFIX + channel, "", self.ear)

    @property
    def is_logged_in(self) -> bool:
        """The venue has said yes on the socket there is now."""
        return self.is_open and self.logged_in.is_set() and self.login_error is None

    def send(self, frame: bytes, method: str, topic: Topic | None = None, tries: int = 1) -> None:
        """As Connection.send; everything but the login waits for its confirmation."""
        if method == "login" or self.is_logged_in:
            super().send(frame, method, topic, tries)
        else:
            self._held.append((frame, method, topic, tries))

    def ask_filter(self, frame: bytes, tries: int = 1) -> None:
        """Replace the selection of this socket."""
        self.asked = frame
        self.is_narrowed = True
        self._under_way.append(frame)
        self.send(frame, FILTER, None, tries)

    def give_up(self, why: str) -> None:
        """Close this socket as if it had been lost; another one is opened."""
        self._lose(why)

    def _note_lost(self) -> None:
        self._held.clear()
        self._under_way.clear()
        self.filtered = self.asked = None
        self.is_narrowed = self.is_quiet
        super()._note_lost()

    def _settle(self, asked: Any, refusal: str) -> None:
        super()._settle(asked, refusal)
        if asked.method == "login":
            if not refusal:
                held, self._held = self._held, deque()
                self._owner.on_login(self)
                for each in held:
                    super().send(*each)
        elif asked.method == FILTER and self._under_way:
            frame = self._under_way.popleft()
            if refusal:
                self._owner.on_filter_refused(self, refusal)
            else:
                self.filtered = frame
                self._owner.on_filter(self)

    def on_fault(self, fault: Exception, where: str) -> None:
        """A refused frame may have been a push."""
        super().on_fault(fault, where)
        if isinstance(fault, FrameError):
            self._owner.on_frame_lost(self, fault)

    def _check_acknowledgements(self, now_ns: int) -> None:
        """A filter without an answer is sent again; then the socket is given up."""
        limit_ns = int(self.settings.acknowledge_timeout * SECOND)
        for asked in [each for each in self._asked if each.method == FILTER]:
            if now_ns - asked.sent_ns < limit_ns:
                continue
            if asked.tries >= self.settings.acknowledge_tries or self.asked is None:
                self._lose(f"no answer to {asked.tries} personal filters")
                return
            self._asked.remove(asked)
            self._under_way.popleft()
            self.ask_filter(self.asked, asked.tries + 1)
        super()._check_acknowledgements(now_ns)


class _Ear(Listener):
    """Receives one socket's pushes for the stream."""

    def __init__(self, stream: PrivateStream, connection: PrivateConnection) -> None:
        self._stream = stream
        self._connection = connection

    def on_event(self, event: Event) -> None:
        self._stream.heard(self._connection, event)

    def on_frame(self, frame: Message, ts_recv_ns: int) -> None:
        self._stream.heard_frame(self._connection, frame, ts_recv_ns)


class StreamState(Enum):
    """Where the private stream stands."""

    CLOSED = "closed"            # nobody listens, or the keys were refused
    CONNECTING = "connecting"
    LOGGING_IN = "logging in"
    FILTERING = "filtering"      # logged in; the filter is not confirmed
    LIVE = "live"


class PrivateStream:
    """The private pushes of one account.

    signer, clock_ms: the keys and the time to sign logins with. on_live: called each time the
    stream has become LIVE; on_lost: with a reason each time it stopped being so; on_unreadable: of
    each frame that could not be read and is lost; on_rotated: after each rotation. notices: where
    stream events are told. resync: learns the venue's time anew and says whether ours was wrong by
    more than the venue allows. stream_class: a listener class other than the default, for tests.
    """

    def __init__(self, ws_url: str, signer: Signer, clock_ms: Callable[[], int],
                 settings: StreamSettings | None = None, *, notices: Notices | None = None,
                 resync: Callable[[], Awaitable[bool]] | None = None,
                 stream_class: type[Any] | None = None) -> None:
        self.ws_url = ws_url
        self.settings = settings or StreamSettings()
        self.notices = notices or Notices()
        self.connection: PrivateConnection | None = None
        self.login_error: AuthenticationError | None = None
        self.logins = 0                      # confirmed so far
        self.rotations = 0                   # sockets that took over from another
        self.refusals: dict[str, str] = {}   # method -> what the venue said last
        self.on_live: list[Callable[[], None]] = []
        self.on_lost: list[Callable[[str], None]] = []
        self.on_unreadable: list[Callable[[str], None]] = []
        self.on_rotated: list[Callable[[], None]] = []
        self._signer = signer
        self._clock_ms = clock_ms
        self._resync = resync
        self._stream_class = stream_class
        self._wishes: dict[Listener, Wishes] = {}
        self._by_channel: dict[str, list[tuple[Listener, frozenset[str] | None]]] = {}
        self._frame_listeners: list[Listener] = []
        self._can_filter = True              # until the venue refuses a filter
        self._next: PrivateConnection | None = None      # takes over when it is ready
        self._leaving: PrivateConnection | None = None   # delivers until the overlap ends
        self._arbiters: dict[str, Arbiter] | None = None  # while two sockets deliver
        self._paths: tuple[PrivateConnection, ...] = ()  # the sockets the arbiters know
        self._rotating: asyncio.Task[None] | None = None
        self._is_closed = False
        self._was_live = False
        self._lost_ns = 0
        self._failures = 0                   # sockets lost without a login, in a row
        self._waiting: list[asyncio.Future[None]] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self.recorder: Any = None            # tape.Recorder while one that may hear this is running
        self.sockets = SocketTally()

    def __repr__(self) -> str:
        return f"<PrivateStream {self.state.value} {len(self._wishes)} listeners>"

    # -- listening -------------------------------------------------------------------------------

    async def listen(self, listener: Listener, channels: Channels | None = None) -> None:
        """Send personal pushes to a listener; returns when the venue has confirmed all of it.

        channels: names without push.personal, or names -> contracts; None: all. A second call for
        the same listener replaces what it hears. Raises ValueError for a wrong name,
        AuthenticationError when the keys are refused, now and on every later call, or when the
        venue has neither confirmed nor refused StreamSettings.acknowledge_tries logins in a row.
        A venue that cannot be reached is waited for.
        """
        wanted = wishes(channels)
        if self.login_error is not None:
            raise self.login_error
        self._wishes[listener] = wanted
        self._regroup()
        if self.connection is None:
            self._failures = 0
            self.connection = self._open()
            if self._rotating is None:
                self._rotating = self._spawn(self._keep_rotating())
        else:
            self._apply_all()
        try:
            await self._until_heard(listener, self._failures)
        except BaseException:
            self.forget(listener)
            raise

    async def _until_heard(self, listener: Listener, failures: int) -> None:
        while not self.is_live:
            if self.login_error is not None:
                raise self.login_error
            if self._is_closed or listener not in self._wishes:
                raise ConnectFailed("the private stream was closed")
            if self._failures - failures >= self.settings.acknowledge_tries:
                why = self.connection.lost_because if self.connection is not None else ""
                raise AuthenticationError(None, f"{self._failures} logins were not confirmed, "
                                                f"the last one: {why}")
            await self._change()

    def forget(self, listener: Listener) -> None:
        """Undo listen; the filter is narrowed, and without listeners the socket is closed."""
        if self._wishes.pop(listener, None) is None:
            return
        self._regroup()
        if self._wishes:
            self._apply_all()
        else:
            self._end("nobody listens")
            for connection in self._take_all():
                self._spawn(connection.close())
        self._notify()

    @property
    def state(self) -> StreamState:
        """Where the stream stands now."""
        connection = self.connection
        if connection is None or self.login_error is not None:
            return StreamState.CLOSED
        if not connection.is_open:
            return StreamState.CONNECTING
        if not connection.is_logged_in:
            return StreamState.LOGGING_IN
        return StreamState.LIVE if self._is_filtered(connection) else StreamState.FILTERING

    @property
    def is_live(self) -> bool:
        """Every push that somebody wants arrives."""
        return self.state is StreamState.LIVE

    @property
    def down_ns(self) -> int:
        """Nanoseconds since the last loss; 0 before the first."""
        return time.monotonic_ns() - self._lost_ns if self._lost_ns else 0

    def reconnect(self, why: str) -> None:
        """Give the socket up and open another: nothing comes on it any more."""
        if self.connection is not None and self.connection.is_open:
            self.connection.give_up(why)

    @property
    def is_flowing(self) -> bool:
        """Nothing was lost since it was LIVE, although something more may be wanted by now."""
        return self._was_live

    async def close(self) -> None:
        """Close the sockets for good."""
        self._is_closed = True
        connections = self._take_all()
        await end(*self._tasks)
        for connection in connections:
            await connection.close()
        self._was_live = False
        self._notify()

    def _take_all(self) -> list[PrivateConnection]:
        """Every socket, which are nobody's from now on."""
        found = [each for each in (self.connection, self._next, self._leaving) if each is not None]
        self.connection = self._next = self._leaving = None
        self._arbiters = None
        return found

    # -- what is wanted --------------------------------------------------------------------------

    def _regroup(self) -> None:
        """Who hears what, after a listener came or went."""
        table: dict[str, list[tuple[Listener, frozenset[str] | None]]] = {}
        for listener, wanted in self._wishes.items():
            for name, symbols in wanted.items():
                table.setdefault(PREFIX + name, []).append((listener, symbols))
        self._by_channel = table
        self._frame_listeners = [each for each in self._wishes if overrides(each, "on_frame")]

    def wanted_filter(self) -> dict[str, tuple[str, ...]] | None:
        """Filter key -> contracts, none for all; None when everything must be pushed."""
        if self._needs_all():
            return None
        wanted = union(self._wishes.values())
        filters = {name: tuple(sorted(wanted[name] or ())) for name in FILTERS if name in wanted}
        is_all = len(filters) == len(FILTERS) and not any(filters.values())
        return filters if filters and not is_all else None

    def _needs_all(self) -> bool:
        """Something is wanted that filters may cut off, or the venue takes no filters."""
        return not self._can_filter or any(
            name not in FILTERS for wanted in self._wishes.values() for name in wanted)

    def _frame(self, connection: PrivateConnection) -> bytes | None:
        """The filter a socket needs now; None when it needs none, being fresh."""
        filters = self.wanted_filter()
        if filters is None and connection.asked is None and not connection.is_quiet:
            return None
        return filter_frame(filters)

    def _is_filtered(self, connection: PrivateConnection) -> bool:
        if connection.is_narrowed and self._needs_all():
            return False
        frame = self._frame(connection)
        return frame is None or connection.filtered == frame

    def _apply(self, connection: PrivateConnection) -> bool:
        """Ask for the filter that is wanted now; True when it is there already."""
        if not connection.is_logged_in:
            return False
        if connection.is_narrowed and self._needs_all():
            if connection is self.connection:
                self._spawn(self._renew(connection))
            return False
        frame = self._frame(connection)
        if frame is not None and connection.asked != frame:
            connection.ask_filter(frame)
        return self._is_filtered(connection)

    def _apply_all(self) -> None:
        for connection in (self.connection, self._next):
            if connection is not None and self._apply(connection):
                self._notify()

    # -- sockets ---------------------------------------------------------------------------------

    def _open(self, name: str = "private") -> PrivateConnection:
        is_quiet = self.wanted_filter() is not None
        connection = PrivateConnection(
            name, self.ws_url, self, self.settings,
            lambda: self._signer.login(self._clock_ms(), not is_quiet), is_quiet=is_quiet,
            stream_class=self._stream_class)
        if self.recorder is not None:
            self.recorder.adopt(connection, private=True)
        self.sockets.adopt(connection)
        connection.start()
        return connection

    async def _renew(self, connection: PrivateConnection) -> None:
        """Another login is needed: this socket was told to be quiet."""
        why = "somebody wants what no filter names"
        while self.connection is connection and self._next is None:
            if await self.rotate(why):
                return
            await asyncio.sleep(max(0.1, self.settings.rotation_overlap))

    async def _keep_rotating(self) -> None:
        """Rotate before the venue closes the socket."""
        while True:
            connection = self.connection
            due_ns = connection.rotate_at_ns if connection is not None else None
            if due_ns is None:          # not open: it will be young when it is
                await asyncio.sleep(min(60.0, self.settings.rotate_after))
            elif (left_ns := due_ns - time.monotonic_ns()) > 0:
                await asyncio.sleep(left_ns / SECOND)
            elif not await self.rotate("its time was up"):
                await asyncio.sleep(max(0.1, self.settings.rotation_overlap))

    async def rotate(self, why: str) -> bool:
        """Replace the socket by another without a break; False when that did not come about.

        Returns when the old socket is closed.
        """
        old = self.connection
        if old is None or not old.is_open or self._next is not None or self._leaving is not None:
            return False
        started_ns = time.monotonic_ns()
        self._arbiters = {}
        new = self._next = self._open(f"private-{self.rotations + 2}")
        self._paths = (old, new)
        try:
            async with asyncio.timeout(self.settings.rotation_timeout):
                while not (new.is_logged_in and self._is_filtered(new)):
                    await self._change()
                    if self._next is not new or self.connection is not old or (
                            new.state is not ConnectionState.CONNECTING and not new.is_open):
                        break
        except TimeoutError:
            new.lost_because = f"not ready within {self.settings.rotation_timeout:g} s"
        finally:
            self._next = None
        is_ready = self.connection is old and new.is_logged_in and self._is_filtered(new)
        if is_ready:
            self.connection, self._leaving = new, old
            self.rotations += 1
            is_back, down_ns = not self._was_live, self.down_ns
            self._now_live()
            if is_back:             # the old one was lost meanwhile
                self._tell_back(new, down_ns)
            self._notify()
        else:
            log.warning("%s: not replaced: %s", old.name, new.lost_because)
        try:
            await asyncio.sleep(self.settings.rotation_overlap)    # what is under way comes on both
        finally:
            self._leaving = None
            await (old if is_ready else new).close()
        if is_ready:
            self.notices.tell(Rotated(
                ts_ns=time.time_ns(), connection=new.name, old=old.name, why=why, topics=0,
                took_ns=time.monotonic_ns() - started_ns), list(self._wishes))
        await asyncio.sleep(self.settings.rotation_overlap)    # late copies of the old one
        self._arbiters = None
        if is_ready:
            for told in list(self.on_rotated):
                call(told)
        return is_ready

    async def _doubt(self, connection: Connection, refused: AuthenticationError) -> None:
        """The venue does not say whether keys or time of a login are wrong: look at the time.

        Keys that worked before are tried again in any case: the venue may be wrong for a while.
        """
        was_wrong, worked = False, self.logins > 0
        await connection.close()
        if self._resync is not None:
            try:
                was_wrong = await self._resync()
            except MexcfastError as fault:
                log.warning("private: the venue's time could not be learnt: %s", fault)
        if was_wrong:
            log.warning("private: %s; our clock was wrong, trying again", refused)
        elif worked:
            wait_ms = backoff_ms(self._failures, random.random(),
                                 cap_ms=self.settings.backoff_cap_ms)
            log.error("private: %s; trying again in %.1f s", refused, wait_ms / 1000)
            await asyncio.sleep(wait_ms / 1000)
        else:
            self.login_error = refused          # wrong keys do not get better
        if self.login_error is None and self.connection is connection:
            self.connection = self._open()
        self._notify()

    def _end(self, why: str) -> None:
        was, self._was_live = self._was_live, False
        if was:
            self._lost_ns = time.monotonic_ns()
            for told in list(self.on_lost):
                call(told, why)

    def _now_live(self) -> None:
        if self._was_live or not self.is_live:
            return
        self._was_live = True
        for told in list(self.on_live):
            call(told)

    def _spawn(self, work: Any) -> asyncio.Task[None]:
        task: asyncio.Task[None] = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def _notify(self) -> None:
        waiting, self._waiting = self._waiting, []
        for future in waiting:
            if not future.done():
                future.set_result(None)

    async def _change(self) -> None:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(future)
        await future

    # -- what connections tell -------------------------------------------------------------------

    def on_connection_open(self, connection: Connection) -> None:
        """Nothing is live before the login is confirmed."""

    def on_login(self, connection: PrivateConnection) -> None:
        """The venue said yes: now the filter, and nothing before it."""
        self.logins += 1
        self._failures = 0
        if self._is_ours(connection) and self._apply(connection):
            self.on_filter(connection)

    def _is_ours(self, connection: Connection) -> bool:
        return connection is self.connection or connection is self._next

    def on_filter(self, connection: PrivateConnection) -> None:
        """The selection stands."""
        if connection is self.connection and self._is_filtered(connection):
            is_back = not self._was_live
            down_ns = self.down_ns
            self._now_live()
            if is_back:
                self._tell_back(connection, down_ns)
        self._notify()

    def _tell_back(self, connection: PrivateConnection, down_ns: int) -> None:
        if self.logins == 1:
            listeners = self._tell_all("on_connected", connection.name)
            self.notices.tell(Connected(ts_ns=time.time_ns(), connection=connection.name,
                                        took_ns=connection.down_ns), listeners)
        else:
            listeners = self._tell_all("on_reconnected", connection.name, down_ns)
            self.notices.tell(Reconnected(ts_ns=time.time_ns(), connection=connection.name,
                                          down_ns=down_ns), listeners)

    def on_filter_refused(self, connection: PrivateConnection, why: str) -> None:
        """The venue does not take filters: everything is pushed and what nobody wants dropped."""
        self.refusals[FILTER] = why
        log.warning("%s: the filter was refused, everything is asked for: %s", connection.name, why)
        self._can_filter = False
        connection.asked = connection.filtered = None
        if self._is_ours(connection) and self._apply(connection):
            self.on_filter(connection)

    def on_connection_lost(self, connection: Connection, why: str) -> None:
        """Nothing is heard until it is back."""
        log.warning("%s: lost: %s", connection.name, why)
        if connection is not self.connection:
            self._notify()              # rotate() looks
            return
        refused = connection.login_error
        if refused is not None and not self.logins and self._resync is None:
            self.login_error = refused
        elif refused is not None:
            self._spawn(self._doubt(connection, refused))
        if not self._was_live:
            self._failures += 1
        self._end(why)
        listeners = self._tell_all("on_disconnected", connection.name, why)
        self.notices.tell(Disconnected(ts_ns=time.time_ns(), connection=connection.name, why=why,
                                       lived_ns=connection.lived_ns), listeners)
        self._notify()

    def on_frame_lost(self, connection: PrivateConnection, fault: FrameError) -> None:
        """Whatever it said is not known."""
        if connection is self.connection:
            for told in list(self.on_unreadable):
                call(told, f"{connection.name}: {fault}")

    def on_topic_refused(self, connection: Connection, topic: Topic | None, why: str) -> None:
        """on_filter_refused speaks of it."""

    def on_need(self, connection: Connection, book: OrderBook, change: Change) -> None:
        """There are no books here."""

    def on_state(self, connection: Connection, book: OrderBook, old: State, new: State) -> None:
        """Nor here."""

    def on_topic_live(self, connection: Connection, topic: Topic) -> None:
        """Nor topics."""

    def on_trusted(self, connection: Connection, book: OrderBook) -> None:
        """Nor doubts."""

    # -- what is pushed --------------------------------------------------------------------------

    def heard(self, connection: PrivateConnection, event: Event) -> None:
        """One push of one socket, to everybody who wants it."""
        if self._arbiters is not None and not self._is_new(self._arbiters, connection, event):
            return
        for listener, symbols in self._by_channel.get(event.channel, ()):
            if symbols is None or not event.symbol or event.symbol in symbols:
                call(listener.on_event, event)

    def _is_new(self, arbiters: dict[str, Arbiter], connection: PrivateConnection, event: Event
                ) -> bool:
        """Whether no other socket has brought this push."""
        arbiter = arbiters.get(event.channel)
        if arbiter is None:
            arbiter = arbiters[event.channel] = Arbiter(event.channel)
            for _ in self._paths:
                arbiter.join(0)
        path = 0 if connection is self._paths[0] else 1
        return arbiter.offer(event.raw, path, event.ts_recv_ns) is not None

    def heard_frame(self, connection: PrivateConnection, frame: Message, ts_recv_ns: int) -> None:
        """The same as parsed, for those who want frames; those of the socket in charge only."""
        if connection is self.connection:
            for listener in self._frame_listeners:
                call(listener.on_frame, frame, ts_recv_ns)

    def _tell_all(self, hook: str, *args: Any) -> list[Listener]:
        """Call a hook of every listener; returns who they are."""
        if self.recorder is not None:
            self.recorder.told_private(hook, *args)
        listeners = list(self._wishes)
        for listener in listeners:
            call(getattr(listener, hook), *args)
        return listeners

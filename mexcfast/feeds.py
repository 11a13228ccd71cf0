"""Awaitables and async iterators over topics, for those who do not write listeners.

What a feed does when its consumer is slower than the market is said where the feed is made:

    slow="latest"   only the newest is kept; what was skipped is counted in `dropped`
    slow="drop"     at most `bound` are kept; then the oldest is dropped and counted
    slow="error"    at most `bound` are kept; then the consumer gets SlowConsumer and the feed ends

Nothing is kept without a bound. Leaving the loop, cancelling the task or forgetting the iterator
ends the subscription.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable, Coroutine, Generator, Mapping
from contextlib import suppress
from typing import Any, Generic, Literal, Protocol, TypeVar, cast

from mexcfast.core.depth import OrderBook, State
from mexcfast.core.events import Event
from mexcfast.core.listener import Listener
from mexcfast.core.stream_events import StreamEvent
from mexcfast.core.topics import Topic
from mexcfast.errors import BookError, ConfigError, SlowConsumer

T = TypeVar("T")
E = TypeVar("E", bound=Event)

Slow = Literal["latest", "drop", "error"]


class Streams(Protocol):
    """What feeds read from: net/pool.Pool, or a replay."""

    at_close: set[Callable[[], None]]     # called when no more will come
    dropped: dict[str, int]               # by slow: what consumers have missed

    @property
    def books(self) -> Mapping[str, OrderBook]: ...
    def subscribe(self, listener: Listener, topic: Topic) -> None: ...
    def unsubscribe(self, listener: Listener, topic: Topic) -> None: ...
    def depth_topic(self, symbol: str) -> Topic | None: ...
    def keep(self, topic: Topic) -> None: ...
    def raise_refusal(self, topic: Topic) -> None: ...
    def watch(self, callback: Callable[[StreamEvent], object]) -> Callable[[], None]: ...


class _Mailbox(Generic[T]):
    """What has come and was not taken yet, under one of the policies; one consumer waits on it."""

    def __init__(self, name: str, slow: str, bound: int) -> None:
        if slow not in ("latest", "drop", "error"):
            raise ValueError(f"slow is {slow!r}; allowed: 'latest', 'drop', 'error'")
        if not isinstance(bound, int) or bound < 1:
            raise ValueError(f"bound is {bound!r}; allowed: 1 and above")
        self.name = name
        self.slow = slow
        self.bound = 1 if slow == "latest" else bound
        self.dropped = 0
        self.closed = False
        self._items: deque[T] = deque()
        self._failed: SlowConsumer | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._total: dict[str, int] = {}

    def count_in(self, total: dict[str, int]) -> None:
        """Add what is missed to everybody's."""
        self._total = total

    def miss(self, count: int) -> None:
        """The consumer will not see so many."""
        self.dropped += count
        self._total[self.slow] = self._total.get(self.slow, 0) + count

    def put(self, item: T) -> None:
        if self._failed is not None or self.closed:
            return
        if len(self._items) >= self.bound:
            if self.slow == "error":
                self._failed = SlowConsumer(self.name, self.bound, len(self._items) + 1)
                self.miss(len(self._items) + 1)
                self._items.clear()
                self.ring()
                return
            self._items.popleft()
            self.miss(1)
        self._items.append(item)
        self.ring()

    def close(self) -> None:
        """No more will come; what is here can still be taken."""
        self.closed = True
        self.ring()

    def ring(self) -> None:
        """Let the consumer look."""
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def heard(self) -> None:
        """Until ring()."""
        self._waiter = asyncio.get_running_loop().create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    def take(self) -> T | None:
        """The next item, None when there is none. Raises SlowConsumer, once the feed has failed."""
        if self._failed is not None:
            raise self._failed
        return self._items.popleft() if self._items else None


class FeedIterator(Generic[T]):
    """A running subscription: `async for`, or anext(). aclose() or forgetting it ends it.

    dropped: what its consumer has missed.
    """

    def __init__(self, box: _Mailbox[T], streams: Streams | None, undo: Callable[[], None],
                 check: Callable[[], None], more: Callable[[], T | None] | None = None) -> None:
        self._box = box
        self._check = check
        self._more = more or box.take
        self._thread = threading.get_ident()
        self._loop = asyncio.get_running_loop()
        self._at_close = streams.at_close if streams is not None else set()
        if streams is not None:
            box.count_in(streams.dropped)
        self._at_close.add(box.close)
        self._undo: Callable[[], None] | None = undo

    @property
    def dropped(self) -> int:
        """Items its consumer has missed."""
        return self._box.dropped

    def __aiter__(self) -> FeedIterator[T]:
        return self

    async def __anext__(self) -> T:
        if self._undo is None:
            raise StopAsyncIteration
        try:
            while True:
                item = self._more()
                if item is not None:
                    return item
                if self._box.closed:
                    raise StopAsyncIteration
                self._check()
                await self._box.heard()
        except BaseException:
            self._end()
            raise

    async def aclose(self) -> None:
        """Unsubscribe; nothing happens the second time."""
        self._end()

    def _end(self) -> None:
        undo, self._undo = self._undo, None
        if undo is not None:
            self._at_close.discard(self._box.close)
            undo()

    def __del__(self) -> None:
        if getattr(self, "_undo", None) is None:
            return
        if threading.get_ident() == self._thread:
            self._end()
            return
        # collected by another thread: listeners belong to the loop's
        undo, close, at_close = self._undo, self._box.close, self._at_close
        self._undo = None

        def later() -> None:
            at_close.discard(close)
            if undo is not None:
                undo()

        with suppress(RuntimeError):                 # the loop is closed, the subscription with it
            self._loop.call_soon_threadsafe(later)


class _BookBell(Listener):
    """Rings the box of one book's reader and counts the changes not looked at."""

    def __init__(self, box: _Mailbox[OrderBook]) -> None:
        self.box = box
        self.changes = 0

    def on_book(self, book: OrderBook) -> None:
        self.changes += 1
        self.box.ring()

    def on_book_state(self, book: OrderBook, old: State, new: State) -> None:
        self.box.ring()

    def on_refused(self, topic: Topic, why: str) -> None:
        self.box.ring()


class BookFeed:
    """One contract's book.

    `await feed` gives the OrderBook as soon as it is LIVE and keeps it up to date until the client
    closes. `async for book in feed` yields it after changes while it is LIVE, always as it is now:
    slow="latest" skips states, slow="error" raises SlowConsumer when more than `bound` changes came
    since the consumer looked. dropped: changes that the running iteration has skipped.
    """

    def __init__(self, streams: Streams, topic: Topic, slow: Slow = "latest", bound: int = 1024
                 ) -> None:
        if slow == "drop":
            raise ValueError("slow is 'drop'; allowed for books: 'latest', 'error'")
        self._streams = streams
        self._topic = topic
        self._slow = slow
        self._bound = bound
        self._running: FeedIterator[OrderBook] | None = None
        self._dropped = 0
        _Mailbox[OrderBook](str(topic), slow, bound)

    @property
    def dropped(self) -> int:
        """Changes skipped so far."""
        return self._dropped

    def __await__(self) -> Generator[object, None, OrderBook]:
        return self._live().__await__()

    async def _live(self) -> OrderBook:
        streams, topic = self._streams, self._topic
        box = _Mailbox[OrderBook](str(topic), "latest", 1)
        bell = _BookBell(box)
        streams.subscribe(bell, topic)
        book = streams.books[topic.symbol]
        streams.keep(topic)
        streams.at_close.add(box.close)
        try:
            while not book.is_live:
                streams.raise_refusal(topic)
                if box.closed:
                    raise BookError(f"{topic}: the stream ended before the book was LIVE")
                await box.heard()
        finally:
            streams.at_close.discard(box.close)
            streams.unsubscribe(bell, topic)
        return book

    def __aiter__(self) -> FeedIterator[OrderBook]:
        streams, topic = self._streams, self._topic
        box = _Mailbox[OrderBook](str(topic), self._slow, self._bound)
        bell = _BookBell(box)
        streams.subscribe(bell, topic)
        book = streams.books[topic.symbol]
        limit = self._bound if self._slow == "error" else None
        seen = -1

        def more() -> OrderBook | None:
            nonlocal seen
            if book.state is State.STOPPED:
                box.closed = True
                return None
            behind, bell.changes = bell.changes, 0
            if limit is not None and behind > limit:
                box.miss(behind)
                raise SlowConsumer(box.name, limit, behind)
            if not book.is_live or book.version == seen:
                return None
            if behind > 1:
                self._dropped += behind - 1
                box.miss(behind - 1)
            seen = book.version
            return book

        return FeedIterator(box, streams, lambda: streams.unsubscribe(bell, topic),
                            lambda: streams.raise_refusal(topic), more)


class _EventBell(Listener):
    def __init__(self, box: _Mailbox[Event], topic: Topic | None = None) -> None:
        self.box = box
        # candles of all intervals of a contract come on one channel
        self._interval = dict(topic.params).get("interval") if topic is not None else None

    def on_event(self, event: Event) -> None:
        if self._interval is None or getattr(event, "interval", None) == self._interval:
            self.box.put(event)

    def on_refused(self, topic: Topic, why: str) -> None:
        self.box.ring()


class _Feed(Generic[T]):
    """`await feed` gives the next one, `async for each in feed` all of them."""

    def __init__(self, name: str, slow: Slow, bound: int) -> None:
        self._name = name
        self._slow = slow
        self._bound = bound
        self._box: _Mailbox[T] = _Mailbox(name, slow, bound)

    @property
    def dropped(self) -> int:
        """What a slow consumer of the newest iteration has missed."""
        return self._box.dropped

    def __await__(self) -> Generator[object, None, T]:
        return self._next().__await__()

    async def _next(self) -> T:
        iterator = self.__aiter__()
        try:
            return await anext(iterator)
        except StopAsyncIteration:
            raise BookError(f"{self._name}: the stream ended before anything came") from None
        finally:
            await iterator.aclose()

    def __aiter__(self) -> FeedIterator[T]:
        self._box = _Mailbox(self._name, self._slow, self._bound)
        return self._begin(self._box)

    def _begin(self, box: _Mailbox[T]) -> FeedIterator[T]:
        raise NotImplementedError


class EventFeed(_Feed[E]):
    """One topic's events. dropped: what a slow consumer of the newest iteration has missed."""

    def __init__(self, streams: Streams, topic: Topic, bound: int = 1024, slow: Slow = "drop"
                 ) -> None:
        super().__init__(str(topic), slow, bound)
        self._streams = streams
        self._topic = topic

    def _begin(self, box: _Mailbox[E]) -> FeedIterator[E]:
        streams, topic = self._streams, self._topic
        bell = _EventBell(cast(_Mailbox[Event], box), topic)
        streams.subscribe(bell, topic)
        return FeedIterator(box, streams, lambda: streams.unsubscribe(bell, topic),
                            lambda: streams.raise_refusal(topic))


class CallbackFeed(_Feed[T]):
    """What a callback is told, for example what happens to the sockets.

    watch: given a callback, calls it from now on and returns what ends that.
    """

    def __init__(self, name: str, watch: Callable[[Callable[[T], None]], Callable[[], None]],
                 streams: Streams | None = None, bound: int = 1024, slow: Slow = "drop") -> None:
        super().__init__(name, slow, bound)
        self._watch = watch
        self._streams = streams

    def _begin(self, box: _Mailbox[T]) -> FeedIterator[T]:
        return FeedIterator(box, self._streams, self._watch(box.put), lambda: None)


class PrivateFeed(_Feed[Event]):
    """Own events. listen: sends them to a listener once logged in; forget: undoes that."""

    def __init__(self, listen: Callable[[Listener], Coroutine[Any, Any, None]],
                 forget: Callable[[Listener], None], streams: Streams | None = None,
                 bound: int = 1024, slow: Slow = "error") -> None:
        super().__init__("own events", slow, bound)
        self._listen = listen
        self._forget = forget
        self._streams = streams

    def _begin(self, box: _Mailbox[Event]) -> FeedIterator[Event]:
        return _PrivateIterator(box, self._streams, self._listen, self._forget)


class _PrivateIterator(FeedIterator[Event]):
    """Logs in at the first step: what that raises is raised at the consumer."""

    def __init__(self, box: _Mailbox[Event], streams: Streams | None,
                 listen: Callable[[Listener], Coroutine[Any, Any, None]],
                 forget: Callable[[Listener], None]) -> None:
        bell = _EventBell(box)
        begun: list[Listener] = []

        def undo() -> None:
            for each in begun:
                forget(each)

        async def login() -> None:
            begun.append(bell)
            try:
                await listen(bell)
            except ConfigError:            # without keys there is nothing to undo
                begun.clear()
                raise

        super().__init__(box, streams, undo, lambda: None)
        self._login: Callable[[], Coroutine[Any, Any, None]] | None = login

    async def __anext__(self) -> Event:
        login, self._login = self._login, None
        if login is not None and self._undo is not None:
            try:
                await login()
            except BaseException:
                self._end()
                raise
        return await super().__anext__()

"""Awaitables and async iterators over topics, for those who do not write listeners.

A BookFeed gives the newest state only: a slow consumer skips states, never sees an old one. An
EventFeed keeps at most `bound` events: when the consumer is slower the oldest is dropped and
counted.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Generator
from typing import Generic, TypeVar, cast

from mexcfast.core.depth import OrderBook, State
from mexcfast.core.events import Event
from mexcfast.core.listener import Listener
from mexcfast.core.topics import Topic
from mexcfast.net.pool import Pool

E = TypeVar("E", bound=Event)


class _Bell(Listener):
    """Wakes whoever waits for the next frame."""

    def __init__(self) -> None:
        self._waiting: list[asyncio.Future[None]] = []

    def ring(self) -> None:
        waiting, self._waiting = self._waiting, []
        for future in waiting:
            if not future.done():
                future.set_result(None)

    def on_refused(self, topic: Topic, why: str) -> None:
        self.ring()

    async def heard(self) -> None:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(future)
        await future


class _BookBell(_Bell):
    def on_book(self, book: OrderBook) -> None:
        self.ring()

    def on_book_state(self, book: OrderBook, old: State, new: State) -> None:
        self.ring()


class BookFeed:
    """One contract's book.

    `await feed` gives the OrderBook as soon as it is LIVE and keeps it up to date until the client
    closes. `async for book in feed` yields it after changes while it is LIVE.
    """

    def __init__(self, pool: Pool, topic: Topic) -> None:
        self._pool = pool
        self._topic = topic

    def __await__(self) -> Generator[object, None, OrderBook]:
        return self._live().__await__()

    async def _live(self) -> OrderBook:
        bell = _BookBell()
        self._pool.subscribe(bell, self._topic)
        book = self._pool.books[self._topic.symbol]
        self._pool.keep(self._topic)
        try:
            while not book.is_live:
                self._pool.raise_refusal(self._topic)
                await bell.heard()
        finally:
            self._pool.unsubscribe(bell, self._topic)
        return book

    async def __aiter__(self) -> AsyncIterator[OrderBook]:
        bell = _BookBell()
        self._pool.subscribe(bell, self._topic)
        book = self._pool.books[self._topic.symbol]
        seen = -1
        try:
            while book.state is not State.STOPPED:
                self._pool.raise_refusal(self._topic)
                if book.is_live and book.version != seen:
                    seen = book.version
                    yield book
                else:
                    await bell.heard()
        finally:
            self._pool.unsubscribe(bell, self._topic)


class _EventBell(_Bell):
    def __init__(self, topic: Topic, bound: int) -> None:
        super().__init__()
        # candles of all intervals of a contract come on one channel
        self._interval = dict(topic.params).get("interval")
        self.events: deque[Event] = deque(maxlen=bound)
        self.dropped = 0

    def on_event(self, event: Event) -> None:
        if self._interval is not None and getattr(event, "interval", None) != self._interval:
            return
        self.dropped += len(self.events) == self.events.maxlen
        self.events.append(event)
        self.ring()


class EventFeed(Generic[E]):
    """One topic's events: `await feed` gives the next one, `async for event in feed` all of them.

    dropped counts events that a slow consumer of the running iteration has missed.
    """

    def __init__(self, pool: Pool, topic: Topic, bound: int = 1024) -> None:
        if bound < 1:
            raise ValueError(f"bound is {bound}; allowed: 1 and above")
        self._pool = pool
        self._topic = topic
        self._bound = bound
        self.dropped = 0

    def __await__(self) -> Generator[object, None, E]:
        return self._next().__await__()

    async def _next(self) -> E:
        iterator = self.__aiter__()
        try:
            return await anext(iterator)
        finally:
            await iterator.aclose()  # type: ignore[attr-defined]

    async def __aiter__(self) -> AsyncIterator[E]:
        bell = _EventBell(self._topic, self._bound)
        self._pool.subscribe(bell, self._topic)
        try:
            while True:
                while bell.events:
                    self.dropped = bell.dropped
                    yield cast(E, bell.events.popleft())
                self._pool.raise_refusal(self._topic)
                await bell.heard()
        finally:
            self._pool.unsubscribe(bell, self._topic)

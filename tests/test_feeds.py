"""feeds: what a slow consumer gets, and that leaving one leaves nothing behind."""

from __future__ import annotations

import asyncio
import gc
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest

import mexcfast as mx
from mexcfast import topics
from mexcfast.core.depth import State
from mexcfast.core.stream_events import Connected, StreamEvent
from mexcfast.errors import AuthenticationError, BookError, ConfigError, SlowConsumer, VenueError
from mexcfast.feeds import BookFeed, CallbackFeed, EventFeed, PrivateFeed
from mexcfast.sim import Exchange

BTC = "BTC_USDT"


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not holds():  # noqa: ASYNC110 - what is waited for has no event
            await asyncio.sleep(0.005)


def on_exchange(story: Any, *, keys: bool = False, **settings: Any) -> None:
    async def told() -> None:
        settings.setdefault("merge_ms", 0)
        async with asyncio.timeout(60), Exchange(seed=3, symbols=(BTC,), **settings) as venue:
            pair = (venue.access_key, venue.secret) if keys else (None, None)
            async with mx.Client(venue.rest_url, *pair) as client:
                await story(venue, client)

    asyncio.run(told())


class Streams:
    """Delivers what a test says; counts who is there."""

    def __init__(self) -> None:
        self.at_close: set[Callable[[], None]] = set()
        self.dropped: dict[str, int] = {}
        self.books = {BTC: mx.OrderBook(BTC)}
        self.listeners: list[mx.Listener] = []
        self.watchers: list[Callable[[Any], object]] = []
        self.threads: list[int] = []
        self.refusal: str | None = None

    def subscribe(self, listener: mx.Listener, topic: Any) -> None:
        self.listeners.append(listener)

    def unsubscribe(self, listener: mx.Listener, topic: Any) -> None:
        self.listeners.remove(listener)
        self.threads.append(threading.get_ident())

    def depth_topic(self, symbol: str) -> None:
        return None

    def keep(self, topic: Any) -> None: ...

    def raise_refusal(self, topic: Any) -> None:
        if self.refusal is not None:
            raise VenueError(None, self.refusal)

    def watch(self, callback: Callable[[Any], object]) -> Callable[[], None]:
        self.watchers.append(callback)
        return lambda: self.watchers.remove(callback)

    def tell(self, *events: Any) -> None:
        for event in events:
            for listener in list(self.listeners):
                listener.on_event(event)

    def moved(self, times: int = 1) -> None:
        """The book moves on."""
        book = self.books[BTC]
        for _ in range(times):
            if book.version < 0:
                book.load_snapshot('{"asks":[[2,1]],"bids":[[1,1]],"version":1}')
            else:
                v = book.version + 1
                book.apply(f'{{"channel":"push.depth","symbol":"{BTC}","data":{{"asks":[],'
                           f'"bids":[[1,{v}]],"version":{v}}}}}')
            for listener in list(self.listeners):
                listener.on_book(book)

    @property
    def is_empty(self) -> bool:
        return not (self.listeners or self.watchers or self.at_close)


def deal(n: int, interval: str | None = None) -> mx.Event:
    if interval is not None:
        return mx.parse_frame(f'{{"channel":"push.kline","symbol":"{BTC}","data":{{"interval":'
                              f'"{interval}","t":{n}}}}}')
    return mx.parse_frame(f'{{"channel":"push.deal","symbol":"{BTC}","ts":{n},"data":[]}}')


def event_feed(streams: Streams, slow: Any, bound: int) -> EventFeed[Any]:
    return EventFeed(streams, topics.deals(BTC), bound, slow)


def stamps(events: list[Any]) -> list[int]:
    return [event.ts_venue_ms for event in events]


async def drained(iterator: Any) -> list[Any]:
    """What can be taken without waiting."""
    found = []
    with suppress(asyncio.TimeoutError):
        while True:
            found.append(await asyncio.wait_for(anext(iterator), 0.05))
    return found


@pytest.mark.parametrize(("slow", "bound", "kept", "dropped"), [
    ("latest", 3, [5], 4), ("latest", 1000, [5], 4), ("drop", 3, [3, 4, 5], 2),
    ("drop", 5, [1, 2, 3, 4, 5], 0), ("drop", 1, [5], 4), ("error", 5, [1, 2, 3, 4, 5], 0)])
def test_a_slow_consumer_of_events(slow, bound, kept, dropped) -> None:
    async def story() -> None:
        streams = Streams()
        feed = event_feed(streams, slow, bound)
        iterator = aiter(feed)
        streams.tell(*map(deal, range(1, 6)))
        assert stamps(await drained(iterator)) == kept
        assert iterator.dropped == feed.dropped == dropped
        assert streams.is_empty, "a cancelled step ends it"
        with pytest.raises(StopAsyncIteration):
            await anext(iterator)

    asyncio.run(story())


def test_an_error_names_bound_and_distance_and_ends_the_feed() -> None:
    async def story() -> None:
        streams = Streams()
        iterator = aiter(event_feed(streams, "error", 3))
        streams.tell(*map(deal, range(1, 5)))
        with pytest.raises(SlowConsumer, match="deal BTC_USDT is 4 behind; allowed: 3") as caught:
            await anext(iterator)
        assert (caught.value.bound, caught.value.behind) == (3, 4)
        assert streams.is_empty
        with pytest.raises(StopAsyncIteration):
            await anext(iterator)

    asyncio.run(story())


def test_books_are_read_as_they_are_now() -> None:
    async def story() -> None:
        streams = Streams()
        feed = BookFeed(streams, topics.depth(BTC))
        iterator = aiter(feed)
        streams.moved(3)
        assert (await anext(iterator)).version == 3 and feed.dropped == iterator.dropped == 2
        streams.moved(1)
        assert (await anext(iterator)).version == 4 and feed.dropped == 2
        streams.moved(100)
        assert (await anext(iterator)).version == 104 and feed.dropped == 101
        await iterator.aclose()
        assert streams.is_empty
        strict = aiter(BookFeed(streams, topics.depth(BTC), "error", 5))
        assert (await anext(strict)).version == 104
        streams.moved(5)
        assert (await anext(strict)).version == 109
        streams.moved(6)
        with pytest.raises(SlowConsumer, match="depth BTC_USDT is 6 behind; allowed: 5"):
            await anext(strict)
        assert streams.is_empty

    asyncio.run(story())


@pytest.mark.parametrize(("make", "says"), [
    (lambda s: BookFeed(s, topics.depth(BTC), "drop"), "slow is 'drop'"),
    (lambda s: BookFeed(s, topics.depth(BTC), "error", 0), "bound is 0"),
    (lambda s: event_feed(s, "never", 5), "slow is 'never'; allowed: 'latest', 'drop', 'error'"),
    (lambda s: event_feed(s, "drop", 0), "bound is 0; allowed: 1 and above"),
    (lambda s: CallbackFeed("x", s.watch, s, -1), "bound is -1")])
def test_a_policy_that_is_none_is_refused_where_the_feed_is_made(make, says) -> None:
    with pytest.raises(ValueError, match=says):
        make(Streams())


def feeds(streams: Streams) -> list[Any]:
    async def listen(bell: mx.Listener) -> None:
        streams.listeners.append(bell)

    return [event_feed(streams, "drop", 5), BookFeed(streams, topics.depth(BTC)),
            CallbackFeed("watched", streams.watch, streams),
            PrivateFeed(listen, streams.listeners.remove, streams)]


def give(streams: Streams) -> None:
    """Something for whoever is there."""
    streams.tell(deal(1))
    streams.moved()
    for watcher in list(streams.watchers):
        watcher("something")


@pytest.mark.parametrize("number", range(4))
def test_every_way_out_leaves_nothing(number) -> None:
    """Cancelled while waiting and while working, left by break, forgotten, closed, never begun."""
    async def story() -> None:
        loop = asyncio.get_running_loop()
        streams = Streams()
        feed = feeds(streams)[number]

        async def consume() -> None:
            async for _ in feed:
                await asyncio.Event().wait()

        async def leave() -> None:
            async for _ in feed:
                break

        for give_first in (False, True):                 # cancelled waiting, or in the body
            task = loop.create_task(consume())
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            if give_first:
                give(streams)
                await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            del task
            gc.collect()
            assert streams.is_empty
        task = loop.create_task(leave())
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        give(streams)
        await task
        assert streams.is_empty, "without a turn of the collector or the loop"
        iterator = aiter(feed)
        del iterator
        assert streams.is_empty
        cycle: list[Any] = [aiter(feed)]
        cycle.append(cycle)
        del cycle
        gc.collect()
        assert streams.is_empty
        iterator = aiter(feed)
        await iterator.aclose()
        await iterator.aclose()
        assert streams.is_empty
        waiting = loop.create_task(_once(feed))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        waiting.cancel()
        with suppress(asyncio.CancelledError):
            await waiting
        assert streams.is_empty
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(story())


async def _once(feed: Any) -> Any:
    return await feed


def test_collected_in_another_thread_it_unsubscribes_in_its_own() -> None:
    async def story() -> None:
        streams = Streams()
        held: list[Any] = [aiter(event_feed(streams, "drop", 5))]
        await asyncio.to_thread(held.clear)
        await until(lambda: streams.is_empty)
        assert streams.threads == [threading.get_ident()]

    asyncio.run(story())


@pytest.mark.parametrize("number", range(4))
def test_the_end_of_the_streams_ends_a_feed(number) -> None:
    async def story() -> None:
        streams = Streams()
        iterator = aiter(feeds(streams)[number])
        waiting = asyncio.ensure_future(anext(iterator, "the end"))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        for tell in list(streams.at_close):
            tell()
        assert await waiting == "the end"
        assert streams.is_empty
        once = asyncio.ensure_future(_once(feeds(streams)[number]))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        for tell in list(streams.at_close):
            tell()
        with pytest.raises(BookError, match="the stream ended"):
            await once
        assert streams.is_empty

    asyncio.run(story())


def test_candles_of_two_intervals_of_a_contract_stay_apart() -> None:
    async def story() -> None:
        streams = Streams()
        one = aiter(EventFeed(streams, topics.kline(BTC, "Min1"), 2, "drop"))
        five = aiter(EventFeed(streams, topics.kline(BTC, "Min5"), 9, "drop"))
        for n in range(4):
            streams.tell(deal(n, "Min1"), deal(n, "Min5"), deal(n, "Min15"))
        ones, fives = await drained(one), await drained(five)
        assert [(e.interval, e.ts_open_s) for e in ones] == [("Min1", 2), ("Min1", 3)]
        assert [(e.interval, e.ts_open_s) for e in fives] == [("Min5", n) for n in range(4)]
        assert one.dropped == 2 and five.dropped == 0

    asyncio.run(story())


def test_a_refusal_reaches_the_consumer() -> None:
    async def story() -> None:
        streams = Streams()
        iterator = aiter(event_feed(streams, "drop", 5))
        waiting = asyncio.ensure_future(anext(iterator))
        await asyncio.sleep(0)
        streams.refusal = "no such contract"
        for listener in list(streams.listeners):
            listener.on_refused(topics.deals(BTC), "no such contract")
        with pytest.raises(VenueError, match="no such contract"):
            await waiting
        assert streams.is_empty

    asyncio.run(story())


# -- through real sockets ------------------------------------------------------------------------

def test_stream_events_and_the_end_of_the_client() -> None:
    async def story(venue: Exchange, client: mx.Client) -> None:
        seen: list[StreamEvent] = []

        async def consume() -> None:
            async for event in client.stream_events():
                seen.append(event)

        task = asyncio.create_task(consume())
        book = await client.book(BTC)
        await until(lambda: any(isinstance(event, Connected) for event in seen))
        assert book.is_live
        await client.close()
        await asyncio.wait_for(task, 10)
        assert book.state is State.STOPPED and not client.market.pool.at_close

    on_exchange(story)


def test_private_events() -> None:
    async def story(venue: Exchange, client: mx.Client) -> None:
        seen: list[Any] = []

        async def consume() -> None:
            async for event in client.private_events():
                seen.append(event)

        task = asyncio.create_task(consume())
        book = await client.book(BTC)
        await until(lambda: client.trader.stream is not None and client.trader.stream.is_live)
        await client.orders.submit(BTC, mx.Side.OPEN_LONG, 1, book.best_bid, leverage=5)
        await until(lambda: any(isinstance(e, mx.events.OrderUpdate) for e in seen))
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        assert client.trader.stream is not None and not client.trader.stream._wishes

    on_exchange(story, keys=True)


def test_private_events_need_keys_that_work() -> None:
    async def story(venue: Exchange, client: mx.Client) -> None:
        with pytest.raises(ConfigError, match="no keys"):
            await anext(aiter(client.private_events()))
        async with mx.Client(venue.rest_url, "wrong", "keys") as other:
            with pytest.raises(AuthenticationError):
                await anext(aiter(other.private_events()))
            assert other.trader.stream is not None and not other.trader.stream._wishes
            assert not other.market.pool.at_close

    on_exchange(story)

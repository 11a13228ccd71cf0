"""Streams against the exchange in the box: silence, half-open sockets, rotation, two sockets."""

from __future__ import annotations

import asyncio
import os
from collections import Counter

import pytest

import mexcfast as mx
from chaos.test_books_under_faults import divergences
from mexcfast.core.depth import State
from mexcfast.core.stream_events import (
    Connected,
    Degraded,
    Disconnected,
    Gap,
    Live,
    Recovered,
    Rotated,
)
from mexcfast.net.connection import StreamSettings
from mexcfast.sim import Exchange
from net.scripted_stream import Watch

BTC, ETH, SOL = SYMBOLS = ("BTC_USDT", "ETH_USDT", "SOL_USDT")
DEPTHS = [mx.topics.depth(symbol) for symbol in SYMBOLS]
#: everything fifty times as fast: a book is silent after 60 ms to 1.2 s
QUICK = {"silence_tick": 0.02, "silence_scale": 0.02, "ping_interval": 5.0, "pong_deadline": 0.3,
         "stable_after": 0.0001, "rotation_overlap": 0.1, "rotation_timeout": 5.0}


class Me(mx.Listener):
    """Notes everything; wrong holds what must never happen."""

    def __init__(self, watch):
        self.watch = watch
        self.events, self.versions, self.trades, self.wrong = [], {}, [], []

    def on_book(self, book):
        versions = self.versions.setdefault(book.symbol, [])
        if not book.is_live or (versions and book.version <= versions[-1] and not self.may_repeat):
            self.wrong.append(repr(book))
        versions.append(book.version)
        self.watch.note()

    may_repeat = False

    def on_book_state(self, book, old, new):
        self.watch.note()

    def on_event(self, event):
        self.trades += [deal.trade_id for deal in getattr(event, "deals", ())]
        self.watch.note()

    def on_stream_event(self, event):
        self.events.append(event)
        self.watch.note()

    def of(self, *kinds):
        return [event for event in self.events if isinstance(event, kinds)]


def play(script, *, exchange=None, **settings):
    """Run script(venue, client, me, watch) with three live books; compare them at the end."""
    async def run():
        watch = Watch()
        me = Me(watch)
        more = {"seed": 3, "symbols": SYMBOLS, "updates_per_second": 100, "merge_ms": 20}
        async with (
            Exchange(**more | (exchange or {})) as venue,
            mx.Client(venue.rest_url, streams=StreamSettings(**QUICK | settings)) as client,
        ):
            client.subscribe(me, DEPTHS)
            books = client.market.books
            await watch.until(lambda: all(book.is_live for book in books.values()), 20)
            await script(venue, client, me, watch)
            venue.faults.clear()
            await watch.until(lambda: all(book.is_live for book in books.values()), 20)
            for book in books.values():
                assert not divergences(venue, book)
            assert not me.wrong
        assert all(book.state is State.STOPPED for book in books.values())

    asyncio.run(run())


# -- silence ---------------------------------------------------------------------------------------

def test_a_half_open_socket_is_found_and_its_book_is_in_doubt_before():
    """The ping leaves with the first silence, long before the interval of five seconds."""
    async def script(venue, client, me, watch):
        me.may_repeat = True
        client.market.unsubscribe(me, DEPTHS[1:])
        book = client.market.books[BTC]
        connection = client.market.pool.connections[0]
        await watch.until(lambda: len(me.versions[BTC]) > 20)
        venue.faults.half_open()
        await watch.until(lambda: me.of(Degraded))
        assert book.doubt is not None and not book.is_live
        await watch.until(lambda: me.of(Disconnected))
        assert me.of(Disconnected)[0].why == "no pong within 0.3 s"
        assert me.of(Degraded)[0].silent_ns > 0.06 * 10**9
        assert me.events.index(me.of(Degraded)[0]) < me.events.index(me.of(Disconnected)[0])
        await watch.until(lambda: connection.opened == 2 and book.is_live)
        await watch.until(lambda: me.of(Recovered))

    play(script)


def test_a_half_open_socket_with_several_books_is_left_at_once():
    """Two books that moved without it are proof enough, without waiting for the pong."""
    async def script(venue, client, me, watch):
        me.may_repeat = True
        await watch.until(lambda: all(len(seen) > 20 for seen in me.versions.values()))
        venue.faults.half_open()
        await watch.until(lambda: me.of(Rotated), 20)
        assert len({event.topic for event in me.of(Degraded)}) >= 2
        assert "moved without it" in me.of(Rotated)[0].why

    play(script, pong_deadline=20.0)


def test_a_topic_that_is_silent_while_its_book_moves():
    async def script(venue, client, me, watch):
        me.may_repeat = True
        book = client.market.books[BTC]
        await watch.until(lambda: len(me.versions[BTC]) > 20)
        venue.faults.drop("depth", BTC, count=10**9)
        await watch.until(lambda: not book.is_live and book.doubt is not None)
        assert book.state is State.LIVE and book.doubt.startswith("silent for")
        await watch.until(lambda: len([r for r in venue.requests if r.method == "sub.depth"
                                       and BTC in r.body]) > 1, 20)
        assert DEPTHS[0] in {event.topic for event in me.of(Degraded)}
        shown = len(me.versions[BTC])
        assert not book.is_live
        venue.faults.clear()
        await watch.until(lambda: book.is_live and len(me.versions[BTC]) > shown)
        await watch.until(lambda: [event for event in me.of(Recovered)
                                   if (event.topic, event.why) == (DEPTHS[0], "it spoke")])

    play(script)


def test_a_quiet_contract_is_excused_by_rest_and_left_in_peace():
    async def script(venue, client, me, watch):
        me.may_repeat = True               # shown again when the doubt ends
        pool = client.market.pool
        await watch.until(lambda: all(len(seen) > 20 for seen in me.versions.values()))
        venue.updates_per_second = 0
        await watch.until(lambda: len(me.of(Recovered)) >= 6, 20)
        assert {e.why for e in me.of(Recovered)} == {"REST knows nothing newer"}
        assert not [r for r in venue.requests if r.method == "sub.depth"][3:], "nothing asked again"
        assert pool.vitals.bound_ns(DEPTHS[0]) >= 4 * 0.06 * 10**9
        assert not me.of(Gap) and not me.of(Disconnected)
        venue.updates_per_second = 100

    play(script)


def test_several_dead_topics_move_to_another_socket():
    async def script(venue, client, me, watch):
        me.may_repeat = True
        pool = client.market.pool
        old = pool.connections[0]
        await watch.until(lambda: all(len(seen) > 20 for seen in me.versions.values()))
        for symbol in (BTC, ETH):
            venue.faults.drop("depth", symbol, count=10**9)
        await watch.until(lambda: old.is_leaving, 20)
        venue.faults.clear()
        await watch.until(lambda: me.of(Rotated), 20)
        moved = me.of(Rotated)[0]
        assert (moved.old, moved.connection, moved.topics) == ("public-1", "public-2", 3)
        assert "moved without it" in moved.why or "silent" in moved.why
        assert [each.name for each in pool.connections] == ["public-2"]

    play(script, silence_scale=0.05)


# -- rotation --------------------------------------------------------------------------------------

def test_rotation_loses_and_doubles_nothing():
    async def script(venue, client, me, watch):
        venue.merge_ms = 0
        deals = [mx.topics.deals(symbol, False) for symbol in SYMBOLS]
        client.subscribe(me, deals)
        await watch.until(lambda: len(me.of(Rotated)) >= 4, 60)
        assert not me.of(Gap, Disconnected), "the old socket is closed when nobody needs it"
        assert not [event for event in me.of(Live)][3:], "no book ever stopped being live"
        assert all(book.gaps == 0 and book.snapshots == 1
                   for book in client.market.books.values())
        doubled = [number for number, times in Counter(me.trades).items() if times > 1]
        assert len(me.trades) > 10 and not doubled
        sent = {symbol: venue_trades(venue, symbol) for symbol in SYMBOLS}
        for numbers in sent.values():
            heard = [number for number in numbers if number in set(me.trades)]
            between = numbers[numbers.index(heard[0]):numbers.index(heard[-1]) + 1]
            assert between == heard, "a trade between two that were heard is missing"
        assert client.market.pool.rotator.given_up == 0
        pairs = {(event.old, event.connection) for event in me.of(Rotated)}
        assert len(pairs) == len(me.of(Rotated))

    play(script, rotate_after=0.4, rotate_spread=0.2, silence_scale=1.0)


def venue_trades(venue, symbol):
    """Ids of all trades of the exchange, oldest first."""
    return sorted(deal.id for deal in venue.venue.markets[symbol].deals)


def test_a_rotation_that_cannot_finish_leaves_everything_where_it_was():
    async def script(venue, client, me, watch):
        pool = client.market.pool
        connection = pool.connections[0]
        pool.ws_url = "ws://127.0.0.1:1/edge"      # nobody is there for new sockets
        connection.rotate_at_ns = 0
        await watch.until(lambda: connection.is_leaving)
        await watch.until(lambda: pool.rotator.given_up == 1, 20)
        assert not connection.is_leaving
        assert pool.connections == [connection] and connection.is_open
        assert set(connection.topics) == set(DEPTHS)
        assert not me.of(Rotated)

    play(script, rotation_timeout=0.5, handshake_timeout=0.3, silence_scale=1.0)


# -- two sockets -----------------------------------------------------------------------------------

def test_two_sockets_survive_the_loss_of_one_without_a_word():
    async def script(venue, client, me, watch):
        pool = client.market.pool
        topic = mx.topics.deals(BTC, False)
        client.subscribe(me, topic)
        assert [len(each.topics) for each in pool.connections] == [4, 4]
        await watch.until(lambda: len(me.trades) > 5 and all(
            len(seen) > 20 for seen in me.versions.values()))
        venue.faults.cut()                 # both: everything starts anew
        me.may_repeat = True
        await watch.until(lambda: len(me.of(Disconnected)) == 2)
        await watch.until(lambda: all(each.is_open and each.carries(topic)
                                      for each in pool.connections) and all(
            book.is_live for book in client.market.books.values()))
        me.may_repeat = False
        gaps, lives = len(me.of(Gap)), len(me.of(Live))
        one = pool.connections[0]
        one._lose("the test wants it")     # one: no trade is lost or told twice
        await watch.until(lambda: one.opened == 3 and one.carries(topic))
        await watch.until(lambda: min(c.copies + c.first for c in
                                      client.market.lateness(topic).values()) > 3, 20)
        # The new socket's first frame may overtake what is under way on the other: it waits.
        assert (len(me.of(Gap)), len(me.of(Live))) == (gaps, lives), "a book stopped being live"
        assert all(book.is_live for book in client.market.books.values())
        assert max(Counter(me.trades).values()) == 1
        counts = client.market.lateness(DEPTHS[0])
        assert set(counts) == {"public-1", "public-2"}
        assert sum(each.copies for each in counts.values()) > 0
        assert all(sum(each.lateness) == each.copies for each in counts.values())

    play(script, redundancy=2, silence_scale=1.0, early_hold=20.0)


def test_redundancy_for_one_topic_only():
    async def script(venue, client, me, watch):
        pool = client.market.pool
        topic = mx.topics.ticker(BTC)
        client.subscribe(mx.Listener(), topic, redundancy=2)
        assert sorted(len(each.topics) for each in pool.connections) == [1, 4]
        assert client.market.lateness(DEPTHS[0]) == {}
        with pytest.raises(ValueError, match="redundancy is 4"):
            client.subscribe(me, mx.topics.ticker(ETH), redundancy=4)

    play(script)


# -- limits ----------------------------------------------------------------------------------------

def test_thirty_books_that_break_at_once_stay_within_the_budgets():
    """The exchange counts its REST budgets and its messages a second; nobody is told 510."""
    async def run():
        watch = Watch()
        me = Me(watch)
        me.may_repeat = True
        symbols = 30
        async with (
            Exchange(seed=3, symbols=symbols, updates_per_second=5, levels=20) as venue,
            mx.Client(venue.rest_url) as client,
        ):
            names = list(venue.venue.markets)
            client.subscribe(me, [mx.topics.depth(name) for name in names])
            books = client.market.books
            started = client.market.startup
            assert (started.total, started.live) == (30, 0) and 4 <= started.seconds_left < 8
            await watch.until(lambda: all(book.is_live for book in books.values()), 60)
            assert client.market.startup == (30, 30, 0, 0, 0, 0.0)
            first = [event.symbol for event in me.of(Live)]
            assert set(first[:10]) == set(names[:10]), "in the order of subscribing"
            assert venue.faults.cut() == 1
            await watch.until(lambda: me.of(Disconnected))
            assert client.market.startup.live == 0
            await watch.until(lambda: all(book.is_live for book in books.values()), 60)
            refused = [r for r in venue.requests if r.status == 429 or '"code":510' in r.reply]
            assert not refused
            for book in books.values():
                assert not divergences(venue, book)

    asyncio.run(run())


# -- nothing is left -------------------------------------------------------------------------------

def descriptors():
    return len(os.listdir("/proc/self/fd"))


@pytest.mark.parametrize("moment", ["at once", "live", "mending", "rotating", "silent"])
def test_close_leaves_no_task_socket_or_descriptor(moment):
    async def run():
        watch = Watch()
        me = Me(watch)
        me.may_repeat = True
        async with Exchange(seed=3, symbols=SYMBOLS, updates_per_second=100) as venue:
            tasks, files = asyncio.all_tasks(), descriptors()
            scale = {"silence_scale": QUICK["silence_scale"] if moment == "silent" else 1.0}
            client = mx.Client(venue.rest_url, streams=StreamSettings(**QUICK | scale))
            async with client:
                pool = client.market.pool
                books = client.market.books
                client.subscribe(me, [*DEPTHS, mx.topics.tickers()])
                if moment != "at once":
                    await watch.until(lambda: all(b.is_live for b in books.values()), 20)
                if moment == "mending":
                    venue.faults.hang("depth_commits/BTC_USDT/1000", seconds=20)
                    venue.faults.drop("depth", BTC)
                    await watch.until(lambda: me.of(Gap), 20)
                elif moment == "rotating":
                    pool.connections[0].rotate_at_ns = 0
                    await watch.until(lambda: len(me.of(Connected)) == 2, 20)
                elif moment == "silent":
                    venue.faults.half_open()
                    await watch.until(lambda: me.of(Degraded), 20)
            left = {task.get_name() for task in asyncio.all_tasks() - tasks
                    if task.get_name().startswith("mexcfast")}
            assert not left
            assert not [each for each in pool.connections if each.is_open]
            async with asyncio.timeout(20):
                while venue.state()["sessions"] or descriptors() > files:  # noqa: ASYNC110
                    await asyncio.sleep(0.01)

    asyncio.run(run())

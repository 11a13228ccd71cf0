"""metrics: scraped over real HTTP, held against the exchange and the client itself."""

from __future__ import annotations

import asyncio
import gc
import re
import socket
from collections import Counter
from decimal import Decimal

import aiohttp
import pytest

import mexcfast as mx
from metrics.scraping import BTC, ETH, on_exchange, scrape, until
from mexcfast import topics
from mexcfast.core.histogram import Histogram
from mexcfast.core.killswitch import SwitchState
from mexcfast.errors import ConfigError, ConnectFailed
from mexcfast.metrics.table import TABLE, Reader
from mexcfast.metrics.taps import Taps


class Counting(mx.Listener):
    def __init__(self) -> None:
        self.books = self.events = self.lives = 0

    def on_book(self, book: mx.OrderBook) -> None:
        self.books += 1

    def on_book_state(self, book: mx.OrderBook, old: mx.State, new: mx.State) -> None:
        self.lives += new is mx.State.LIVE

    def on_event(self, event: mx.Event) -> None:
        self.events += 1

    @property
    def measured(self) -> int:
        """Calls with something that had just been received: not those with a snapshot."""
        return self.books + self.events - self.lives


def sent_to(venue) -> int:
    """Frames: pushes, and an answer to each request on a socket."""
    return venue.state()["frames_sent"] + sum(each.kind == "ws" for each in venue.requests)


def received_by(client) -> int:
    pool, stream = client.market.pool, client.trader.stream
    return pool.sockets.total().frames + stream.sockets.total().frames


# -- off means absent -----------------------------------------------------------------------------

def own_tasks() -> int:
    return sum(task.get_name() == "mexcfast metrics" for task in asyncio.all_tasks())


def hooks_of(client) -> list[object]:
    """Everything a client has hooked in that may be metrics'."""
    pool, orders = client.market.pool, client.orders
    readers = [each.reader for each in pool.connections]
    return [pool._first, pool._last, list(pool.notices._watchers), orders.on_outcome,
            list(orders.resolver.on_end), [list(book.listeners) for book in pool.books.values()],
            [route.listeners() for reader in readers for route in reader.routes.values()]]


def test_nothing_is_hooked_in_unless_asked() -> None:
    async def story(venue, client) -> None:
        me, late = Counting(), Counting()
        client.subscribe(me, [topics.depth(BTC), topics.deals(BTC)])
        await client.book(BTC)
        before = hooks_of(client)
        assert before[:4] == [(), (), [], None] and before[5] == [[me]]
        assert client.metrics is client.metrics and not client.metrics.is_on
        assert client.metrics.url is None and repr(client.metrics) == "<Metrics off>"
        assert hooks_of(client) == before and own_tasks() == 0

        client.metrics.start()
        assert own_tasks() == 1 and client.metrics.is_on and hooks_of(client) != before
        taps = client.metrics.taps
        client.subscribe(late, [topics.depth(BTC), topics.deals(BTC)])
        assert client.market.books[BTC].listeners == [taps.first, me, late, taps.last]
        client.metrics.start()                                   # once more is once
        assert client.market.books[BTC].listeners == [taps.first, me, late, taps.last]
        await client.metrics.close()
        client.unsubscribe(late, [topics.depth(BTC), topics.deals(BTC)])
        assert hooks_of(client) == before and not client.metrics.is_on
        assert own_tasks() == 0

    on_exchange(story)


def test_observers_keep_no_topic_and_hear_the_next_one() -> None:
    async def story(venue, client) -> None:
        client.metrics.start()
        taps, pool, me = client.metrics.taps, client.market.pool, Counting()
        for _ in range(2):
            client.subscribe(me, topics.depth(BTC))
            await until(lambda: client.market.books[BTC].is_live)
            heard = taps.first.wire_to_callback.count
            venue.step(3, BTC)
            await until(lambda heard=heard: taps.last.wire_to_callback.count == heard + 3)
            assert taps.first.wire_to_callback.count == heard + 3
            client.unsubscribe(me, topics.depth(BTC))
            assert not pool.books and not pool.topics
            (connection,) = pool.connections
            assert not connection.reader.heard()
        assert me.measured == taps.first.wire_to_callback.count == 6 and me.lives == 2

    on_exchange(story)


def test_candles_of_two_intervals_share_their_observers() -> None:
    async def story(venue, client) -> None:
        one, five = Counting(), Counting()
        client.subscribe(one, topics.kline(BTC, "Min1"))
        client.metrics.start()
        client.subscribe(five, topics.kline(BTC, "Min5"))
        route = client.market.pool.connections[0].reader.route(BTC)
        taps = client.metrics.taps
        assert route.listeners() == [taps.first, one, five, taps.last]
        client.unsubscribe(one, topics.kline(BTC, "Min1"))
        assert route.listeners() == [taps.first, five, taps.last]
        client.unsubscribe(five, topics.kline(BTC, "Min5"))
        assert route.listeners() == []

    on_exchange(story)


# -- streams and books ----------------------------------------------------------------------------

def test_a_scrape_tells_what_the_exchange_sent() -> None:
    async def story(venue, client) -> None:
        me = Counting()
        await client.metrics.serve(0, contracts=[BTC])
        client.subscribe(me, [topics.depth(BTC), topics.depth(ETH), topics.deals(BTC)])
        await client.start()
        await until(lambda: all(book.is_live for book in client.market.books.values()))
        for symbol, count in ((BTC, 40), (ETH, 25)):
            venue.step(count, symbol)
        venue.trade(BTC, "buy", 50)
        await until(lambda: received_by(client) == sent_to(venue) and me.events > 0)
        asked_rest = sum(each.path.endswith(("depth/BTC_USDT", "depth/ETH_USDT"))
                         for each in venue.requests)
        seen = await scrape(client.metrics.url)

        assert seen("mexcfast_frames_total", stream="public") + seen(
            "mexcfast_frames_total", stream="private") == sent_to(venue)
        (connection,) = client.market.pool.connections
        assert seen("mexcfast_received_bytes_total",
                    stream="public") == connection.reader.bytes_read > 0
        assert seen("mexcfast_books", state="live") == 2
        assert seen("mexcfast_topics", state="live") == 3
        assert seen("mexcfast_sockets", state="open") == 1
        assert seen("mexcfast_book_frames_total") == sum(
            book.frames for book in client.market.books.values()) >= 65
        assert seen("mexcfast_book_snapshots_total") == sum(
            book.snapshots for book in client.market.books.values()) >= 2
        assert seen("mexcfast_repair_requests_total", endpoint="depth") == asked_rest
        for name, count in (("gaps", 0), ("repairs", 0), ("resyncs", 0), ("crossings", 0)):
            assert seen(f"mexcfast_book_{name}_total") == count
        assert seen("mexcfast_contract_book_live", contract=BTC) == 1
        assert seen("mexcfast_contract_book_age_seconds", contract=BTC) < 120
        assert len(seen.all("mexcfast_contract_book_live")) == 1

        # latencies: one a call of the user's listener, the parts in order
        calls = me.measured
        for name in ("wire_to_callback", "wire_to_done", "venue_to_wire"):
            assert seen(f"mexcfast_{name}_seconds_count") == calls
            assert seen(f"mexcfast_{name}_seconds_bucket", le="+Inf") == calls
        assert 0 < seen("mexcfast_wire_to_callback_seconds_sum") < seen(
            "mexcfast_wire_to_done_seconds_sum")
        ladder = [seen("mexcfast_latency_quantile_seconds", latency="wire_to_done", quantile=q)
                  for q in ("0.5", "0.9", "0.99", "0.999", "1")]
        assert ladder == sorted(ladder) and ladder[-1] == client.metrics.taps.last \
            .wire_to_callback.max_ns / 1e9
        # the exchange's clock is ours: the offset is within its own bound
        assert abs(seen("mexcfast_clock_offset_seconds")) <= seen("mexcfast_clock_error_seconds")
        assert seen("process_resident_memory_bytes") > 0

    on_exchange(story)


def test_gaps_repairs_resyncs_and_reconnects() -> None:
    async def story(venue, client) -> None:
        await client.metrics.serve(0)
        book = await client.book(BTC)
        for count in (1, 2, 3):
            venue.faults.drop("depth", BTC)
            venue.step(2, BTC)
            await until(lambda count=count: book.gaps == count and book.is_live)
        first = await scrape(client.metrics.url)
        assert first("mexcfast_book_gaps_total") == 3 == len(venue.faults.log)
        assert first("mexcfast_book_repairs_total") + first("mexcfast_book_resyncs_total") == 3
        assert first("mexcfast_book_recovery_seconds_count") == 3
        assert first("mexcfast_stream_events_total", event="gap") == 3
        resyncs = first("mexcfast_book_resyncs_total")

        assert venue.faults.cut() == 1
        await until(lambda: client.market.pool.sockets.total().reconnects == 1 and book.is_live)
        seen = await scrape(client.metrics.url)
        assert seen("mexcfast_socket_reconnects_total", stream="public") == 1
        assert seen("mexcfast_socket_opens_total", stream="public") == 2
        assert seen("mexcfast_book_resyncs_total") == resyncs + 1
        assert seen("mexcfast_book_recovery_seconds_count") == 4
        assert seen("mexcfast_stream_events_total", event="disconnected") == 1
        assert seen("mexcfast_stream_events_total", event="reconnected") == 1
        assert seen("mexcfast_book_snapshots_total") == book.snapshots

    on_exchange(story)


def test_counters_outlive_what_they_counted() -> None:
    """Sockets are closed, books unwanted, arbiters dissolved: no total falls."""
    async def story(venue, client) -> None:
        client.metrics.start()
        me, pool = Counting(), client.market.pool
        client.subscribe(me, topics.depth(BTC), redundancy=2)
        await until(lambda: all(each.is_open for each in pool.connections)
                    and client.market.books[BTC].is_live)
        await until(lambda: all(each.carries(topics.depth(BTC)) for each in pool.connections))
        venue.step(20, BTC)
        await until(lambda: sum(pool.path_counts()[n].first for n in (0, 1)) >= 20
                    and sum(pool.path_counts()[n].copies for n in (0, 1)) >= 20)
        before = client.metrics.exposition().decode()
        counts, books, frames = pool.path_counts(), pool.book_counts(), pool.sockets.total()
        client.unsubscribe(me, topics.depth(BTC))
        for connection in list(pool.connections):
            pool.drop_connection(connection)
        await until(lambda: not pool._closing)
        client.subscribe(me, topics.depth(ETH))            # the tally settles, another socket opens
        await until(lambda: client.market.books[ETH].is_live)
        assert pool.path_counts() == counts and len(pool.connections) == 1
        assert pool.book_counts().frames >= books.frames == 20
        assert pool.book_counts().snapshots == books.snapshots + 1
        assert pool.sockets.total().opened == frames.opened + 1 == 3
        assert pool.sockets.total().frames > frames.frames
        after = client.metrics.exposition().decode()
        for text, count in (("path_first_total", 2), ("path_lateness_seconds_count", 2)):
            rows = re.findall(rf"^mexcfast_{text}.*$", before, re.M)
            assert len(rows) == count and rows == re.findall(rf"^mexcfast_{text}.*$", after, re.M)

    on_exchange(story)


def test_lateness_by_path_is_the_arbiters_own() -> None:
    async def story(venue, client) -> None:
        await client.metrics.serve(0)
        me, pool, topic = Counting(), client.market.pool, topics.depth(BTC)
        client.subscribe(me, topic, redundancy=2)
        await until(lambda: client.market.books[BTC].is_live
                    and all(each.carries(topic) for each in pool.connections))
        venue.step(30, BTC)
        await until(lambda: received_by(client) == sent_to(venue)
                    and client.market.books[BTC].version == venue.book(BTC).version)
        seen, told = await scrape(client.metrics.url), client.market.lateness(topic)
        assert len(told) == 2
        for name in ("first", "copies", "holes", "superseded"):
            assert sorted(seen.all(f"mexcfast_path_{name}_total").values()) == sorted(
                getattr(each, name) for each in told.values()), name
        for path, counts in pool.path_counts().items():
            late = {"path": str(path)}
            assert seen("mexcfast_path_lateness_seconds_count", **late) == sum(counts.lateness)
            assert seen("mexcfast_path_lateness_seconds_sum", **late) == counts.late_sum_ns / 1e9
            assert seen("mexcfast_path_lateness_seconds_bucket", le="1.048576", **late) == sum(
                counts.lateness[:21])
        assert seen("mexcfast_arbitrated_frames_total", stream="public") == sum(
            each.reader.arbitrated for each in pool.connections)

    on_exchange(story)


def test_slow_consumers_and_audits_are_counted() -> None:
    async def story(venue, client) -> None:
        await client.metrics.serve(0)
        book = await client.book(BTC)
        feed = client.book(BTC)
        iterator = aiter(feed)
        await anext(iterator)
        deals = client.deals(BTC, every=True, bound=2)
        kept = aiter(deals)
        await until(lambda: client.market.pool.state_of(
            topics.deals(BTC, False)).value == "live")
        for _ in range(5):
            venue.trade(BTC, "buy", 5)
        venue.step(10, BTC)
        await until(lambda: book.version == venue.book(BTC).version and kept.dropped >= 3)
        await anext(iterator)
        assert feed.dropped > 0
        checked = await client.audit.check(book)
        seen = await scrape(client.metrics.url)
        assert seen("mexcfast_feed_dropped_total", slow="latest") == feed.dropped
        assert seen("mexcfast_feed_dropped_total", slow="drop") == kept.dropped >= 3
        assert seen("mexcfast_feed_dropped_total", slow="error") == 0
        assert checked.verdict.value == "equal"
        assert seen("mexcfast_audit_comparisons_total", verdict="equal") == 1
        assert seen("mexcfast_audit_mismatches_total") == 0
        await iterator.aclose()
        await kept.aclose()
        seen = await scrape(client.metrics.url)
        assert seen("mexcfast_feed_dropped_total", slow="drop") == kept.dropped

    on_exchange(story, limits=False)


# -- orders ---------------------------------------------------------------------------------------

def test_orders_by_outcome_are_those_in_the_exchanges_log() -> None:
    async def story(venue, client) -> None:
        await client.metrics.serve(0)
        price = Decimal(str(venue.book(BTC).bids[0][0])) - 100

        async def buy(quantity: int = 1, **more: object) -> mx.Accepted | mx.Rejected | mx.Unknown:
            return await client.orders.submit(BTC, mx.Side.OPEN_LONG, quantity, price,
                                              leverage=20, **more)

        venue.faults.lose_answer("order/create")
        lost = await buy()
        assert isinstance(lost, mx.Unknown)
        assert (await scrape(client.metrics.url))("mexcfast_orders_unresolved", what="create") == 1
        await client.start()                                # settles it
        one, two = await buy(), await buy()
        assert isinstance(one, mx.Accepted) and isinstance(two, mx.Accepted)
        venue.faults.refuse("order/create", 2005)
        poor = await buy()
        assert isinstance(poor, mx.Rejected)
        gone = await client.orders.cancel([one.order_id, two.order_id])
        assert all(isinstance(each, mx.Accepted) for each in gone)
        assert isinstance(await client.orders.cancel_all(BTC), mx.Accepted)
        await until(lambda: not client.orders.open_orders())
        seen = await scrape(client.metrics.url)

        sent = Counter(each.path.rpartition("/")[2] for each in venue.requests
                       if each.kind == "rest" and each.method == "POST")
        rows = seen.all("mexcfast_orders_total")
        asked = Counter[str]()
        for labels, value in rows.items():
            asked[dict(labels)["what"]] += int(value)
        assert asked["create"] == sent["create"] == 4
        assert seen("mexcfast_orders_total", what="create", outcome="accepted", reason="") == 2
        assert seen("mexcfast_orders_total", what="create", outcome="rejected",
                    reason=type(poor.error).__name__) == 1
        assert seen("mexcfast_orders_total", what="create", outcome="unknown",
                    reason=type(lost.error).__name__) == 1
        assert seen("mexcfast_orders_total", what="cancel", outcome="accepted", reason="") == 2
        assert asked["cancel_all"] == sent["cancel_all"] == 1
        assert seen("mexcfast_intent_to_answer_seconds_count", what="create") == 4
        assert seen("mexcfast_resolution_seconds_count") == 1
        assert seen("mexcfast_orders_open") == 0
        assert set(seen.all("mexcfast_orders_unresolved").values()) == {0.0}
        slots = seen("mexcfast_budget_free_slots", group="order_place")
        assert 0 <= slots <= client.budget.free() <= 4      # none is taken any more
        assert seen("mexcfast_mirror_state", state="ready") == 1
        assert seen("mexcfast_mirror_comparisons_total") == client.trader.reconciler.comparisons
        assert seen("mexcfast_private_logins_total") == 1

    on_exchange(story, limits=False)


def test_a_doubt_the_stream_settles_is_timed_too() -> None:
    async def story(venue, client) -> None:
        client.metrics.start()
        await client.start()
        price = Decimal(str(venue.book(BTC).bids[0][0])) - 100
        venue.faults.hang("order/create", 2.0)
        venue.faults.http_status("order/external", 500, count=50)      # the resolver learns nothing
        call = asyncio.ensure_future(client.orders.submit(BTC, mx.Side.OPEN_LONG, 1, price,
                                                          leverage=20))
        await until(lambda: any(each.ts_sent_ms for each in client.orders.open_orders()))
        call.cancel()
        await asyncio.wait([call])
        assert client.metrics.taps.outcomes == {("create", "unknown", "ConnectionLost"): 1}
        assert not client.metrics.taps.answers              # no answer, no duration of one
        await until(lambda: not client.orders.unresolved)
        assert client.metrics.taps.resolved.count == 1

    on_exchange(story, limits=False)


def test_a_fault_of_the_counting_costs_no_order(caplog) -> None:
    async def story(venue, client) -> None:
        def broken(*_: object) -> None:
            raise RuntimeError("planted")

        client.orders.on_outcome = broken
        price = Decimal(str(venue.book(BTC).bids[0][0])) - 100
        found = await client.orders.submit(BTC, mx.Side.OPEN_LONG, 1, price, leverage=20)
        assert isinstance(found, mx.Accepted)

    on_exchange(story)
    assert "on_outcome raised" in caplog.text


def test_the_kill_switch_bans_and_the_journal(tmp_path) -> None:
    async def story(venue, client) -> None:
        await client.metrics.serve(0)
        await client.start()
        seen = await scrape(client.metrics.url)
        assert seen("mexcfast_kill_switch_state", state="ARMED") == 1
        assert sum(seen.all("mexcfast_kill_switch_state").values()) == 1
        assert sum(seen.all("mexcfast_kill_switch_trips_total").values()) == 0
        assert seen("mexcfast_journal_bytes") == (tmp_path / "orders").stat().st_size
        price = Decimal(str(venue.book(BTC).bids[0][0])) - 100
        venue.faults.throttle("order/create")
        refused = await client.orders.submit(BTC, mx.Side.OPEN_LONG, 1, price, leverage=20)
        assert isinstance(refused, mx.Rejected)
        seen = await scrape(client.metrics.url)
        assert seen("mexcfast_bans_total", what="rate order_place") == 1
        assert seen("mexcfast_orders_total", what="create", outcome="rejected",
                    reason="RateLimited") == 1
        client.kill_switch.trip("a test")
        await client.kill_switch.until_safe()
        seen = await scrape(client.metrics.url)
        assert seen("mexcfast_kill_switch_state", state="SAFE") == 1
        assert client.kill_switch.state is SwitchState.SAFE
        assert seen("mexcfast_kill_switch_trips_total", trigger="manual") == 1
        client.kill_switch.reset("the test goes on")
        seen = await scrape(client.metrics.url)
        assert seen("mexcfast_kill_switch_state", state="ARMED") == 1
        assert seen("mexcfast_kill_switch_trips_total", trigger="manual") == 1

    on_exchange(story, client={"journal": tmp_path / "orders"})


def test_venue_to_wire_waits_for_the_clock_and_knows_the_offset() -> None:
    """The exchange is 30 s ahead: without the offset every frame would come before it was sent."""
    async def story(venue, client) -> None:
        venue.faults.http_status("contract/ping", 500, count=1000)
        me = Counting()
        client.subscribe(me, topics.depth(BTC))
        client.metrics.start()
        await until(lambda: client.market.books[BTC].is_live)
        venue.step(5, BTC)
        await until(lambda: me.measured == 5)
        taps = client.metrics.taps
        assert taps.first.wire_to_callback.count == 5 and taps.first.venue_to_wire.count == 0
        text = client.metrics.exposition().decode()
        assert not re.search(r"^mexcfast_clock_(offset|error)_seconds ", text, re.M)
        venue.faults.clear()
        await client._executor.sync_clock()
        taps.learn_offset()
        venue.step(5, BTC)
        await until(lambda: me.measured == 10)
        assert taps.first.venue_to_wire.count == 5
        # the exchange's stamp is cut to a millisecond, the offset is off by its bound at most
        assert taps.first.venue_to_wire.max_ns < 120e9
        await client.metrics.serve(0)
        seen = await scrape(client.metrics.url)
        assert abs(seen("mexcfast_clock_offset_seconds") - 30) <= seen(
            "mexcfast_clock_error_seconds") + 0.001
        assert seen("mexcfast_venue_to_wire_seconds_sum") < 5 * 25      # not 30 s off, either way
        assert taps.last.venue_to_wire.count == 0

    async def ahead(venue, client) -> None:
        venue.clock_jump(30_000)
        await story(venue, client)

    on_exchange(ahead)


# -- the server -----------------------------------------------------------------------------------

def test_only_this_machine_unless_asked() -> None:
    async def story(venue, client) -> None:
        for host in ("0.0.0.0", "::", "192.0.2.1", "example.org", ""):
            with pytest.raises(ConfigError, match="host is"):
                await client.metrics.serve(0, host)
            assert not client.metrics.is_on
        host, port = await client.metrics.serve(0)
        assert host == "127.0.0.1" and client.metrics.url == f"http://127.0.0.1:{port}/metrics"
        with pytest.raises(ConfigError, match="already"):
            await client.metrics.serve(0)
        await client.metrics.close()
        host, port = await client.metrics.serve(0, "0.0.0.0", remote=True)
        assert host == "0.0.0.0"
        assert (await scrape(f"http://127.0.0.1:{port}/metrics")).families
        with pytest.raises(ConfigError, match="contracts"):
            client.metrics.start(contracts="BTC_USDT")
        with pytest.raises(ConfigError, match="100 at most"):
            client.metrics.start(contracts=[f"A{n}_USDT" for n in range(101)])

    on_exchange(story)


def test_a_port_in_use_is_a_typed_error_and_leaves_nothing() -> None:
    async def story(venue, client) -> None:
        with socket.socket() as other:
            other.bind(("127.0.0.1", 0))
            other.listen()
            port = other.getsockname()[1]
            with pytest.raises(ConfigError, match=f"port {port} of 127.0.0.1 cannot be had"):
                await client.metrics.serve(port)
            assert not client.metrics.is_on and own_tasks() == 0
            client.metrics.start()
            with pytest.raises(ConfigError, match="cannot be had"):
                await client.metrics.serve(port)
            assert client.metrics.is_on             # it was on before
        with pytest.raises(ConfigError, match="cannot be had"):
            await client.metrics.serve(70_000)
        await client.metrics.serve(port)

    on_exchange(story)


def test_other_paths_and_methods() -> None:
    async def story(venue, client) -> None:
        host, port = await client.metrics.serve(0)
        async with aiohttp.ClientSession(f"http://{host}:{port}") as session:
            for method, path, status in (("GET", "/", 404), ("GET", "/metrics/x", 404),
                                         ("POST", "/metrics", 405), ("HEAD", "/metrics", 200)):
                async with session.request(method, path) as answer:
                    assert answer.status == status, (method, path)

    on_exchange(story)


@pytest.mark.parametrize("when", ["in front", "listening"])
def test_cancellation_leaves_nothing(when, monkeypatch) -> None:
    async def story(venue, client) -> None:
        if when == "listening":
            from mexcfast.metrics import server as room

            entered = asyncio.Event()

            async def slow(site) -> None:
                await real(site)
                entered.set()
                await asyncio.Event().wait()

            real = room.web.TCPSite.start
            monkeypatch.setattr(room.web.TCPSite, "start", slow)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        call = asyncio.ensure_future(client.metrics.serve(port))
        await (asyncio.sleep(0) if when == "in front" else entered.wait())
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        assert own_tasks() == 0 and not client.metrics.is_on and client.metrics.url is None
        monkeypatch.undo()
        with socket.socket() as again:                      # nobody listens there
            assert again.connect_ex(("127.0.0.1", port)) != 0
        await client.metrics.serve(port)

    on_exchange(story)


def test_a_closed_client_serves_no_more() -> None:
    async def story(venue, client) -> None:
        _, port = await client.metrics.serve(0)
        await scrape(client.metrics.url)
        await client.close()
        with socket.socket() as again:
            assert again.connect_ex(("127.0.0.1", port)) != 0
        assert not client.metrics.is_on and hooks_of(client)[:4] == [(), (), [], None]

    on_exchange(story)


def test_registries_of_your_own_come_after_ours() -> None:
    from prometheus_client import CollectorRegistry, Gauge, generate_latest
    from prometheus_client import Counter as Own

    async def story(venue, client) -> None:
        own = CollectorRegistry()
        Own("my_signals", "Mine.", registry=own).inc(3)
        Gauge("mexcfast_sockets", "Not ours.", registry=own).set(99)
        await client.metrics.serve(0, registries=[own])
        seen = await scrape(client.metrics.url)
        assert seen("my_signals_total") == 3
        assert seen("mexcfast_sockets", state="open") == 0
        assert ("mexcfast_sockets", frozenset()) not in seen.values
        theirs = CollectorRegistry()
        theirs.register(client.metrics.collector())
        assert b"mexcfast_books" in generate_latest(theirs)

    on_exchange(story)


# -- what must not be in it -----------------------------------------------------------------------

def test_no_secret_no_id_and_no_unbounded_label() -> None:
    async def story(venue, client) -> None:
        await client.metrics.serve(0, contracts=[BTC])
        await client.start()
        price = Decimal(str(venue.book(BTC).bids[0][0])) - 100
        for _ in range(3):
            venue.faults.refuse("order/create", 2005)
            await client.orders.submit(BTC, mx.Side.OPEN_LONG, 1, price, leverage=20)
        placed = await client.orders.submit(BTC, mx.Side.OPEN_LONG, 1, price, leverage=20)
        book = await client.book(BTC)
        for count in (1, 2, 3):
            venue.faults.cut()
            await until(lambda count=count: book.is_live and client.trader.stream.is_live
                        and client.market.pool.sockets.total().reconnects == count)
        seen = await scrape(client.metrics.url)
        for needle in (venue.secret, venue.access_key, str(placed.order_id),
                       placed.client_order_id, "public-", venue.rest_url, str(price)):
            assert needle not in seen.text, needle
        series = Counter(name for name, _ in seen.values if name.startswith("mexcfast_"))
        names = {row.name: row for row in TABLE}
        assert len(names) == len(TABLE)
        for family in seen.families:
            if family.name.startswith("mexcfast_"):
                assert {label for sample in family.samples for label in sample.labels} <= {
                    *names[family.name].labels, "le"}
        assert max(series.values()) < 200, series.most_common(3)

    on_exchange(story, limits=False)


def test_the_table_keeps_to_the_conventions() -> None:
    units = {"s": "_seconds", "By": "_bytes"}
    for row in TABLE:
        assert re.fullmatch(r"mexcfast_[a-z_]+", row.name), row.name
        assert not row.name.endswith("_total") and row.help.endswith((".", "...")), row.name
        assert "`" not in row.help and len(row.help) < 100
        if row.unit in units:
            assert row.name.endswith(units[row.unit]), row.name
        assert (row.unit == "1") == (not row.name.endswith(tuple(units.values()))), row.name
        assert (row.kind == "histogram") == (row.shown[0].endswith("_bucket"))
    assert len({name for row in TABLE for name in row.shown}) == sum(len(r.shown) for r in TABLE)


def test_buckets_agree_with_the_histogram() -> None:
    """Cumulative, ending in the count, each within the histogram's 1.6 % of the truth."""
    values = [n * n * 1000 for n in range(1, 1500)] + [3 * 10**11]

    async def story(venue, client) -> None:
        taps = Taps(client.metrics.reader.sources)
        for value in values:
            taps.first.wire_to_callback.record(value)
        row = next(row for row in TABLE if row.name == "mexcfast_wire_to_callback_seconds")
        ((_, found),) = row.read(Reader(client.metrics.reader.sources, taps))
        assert found.count == len(values) and found.sum_s == sum(values) / 1e9
        assert list(found.cumulative) == sorted(found.cumulative, key=lambda each: each)
        for bound_s, count in found.cumulative:
            bound = bound_s * 1e9
            assert sum(v <= bound * 0.984 for v in values) <= count <= sum(
                v <= bound for v in values)

    on_exchange(story)
    assert Histogram().cumulative([10]) == [(10, 0)]


def test_without_the_library_it_says_which_extra(monkeypatch) -> None:
    import sys

    async def story(venue, client) -> None:
        monkeypatch.setitem(sys.modules, "prometheus_client", None)
        monkeypatch.delitem(sys.modules, "mexcfast.metrics.exposition", raising=False)
        with pytest.raises(mx.MissingExtra, match=r"mexcfast\[metrics\]"):
            await client.metrics.serve(0)
        assert not client.metrics.is_on
        client.metrics.start()                  # counting needs no library
        assert client.metrics.is_on

    on_exchange(story)
    gc.collect()


def test_a_venue_that_cannot_be_reached_stops_nothing() -> None:
    async def told() -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            address = f"http://127.0.0.1:{free.getsockname()[1]}"
        async with asyncio.timeout(60), mx.Client(address) as client:
            await client.metrics.serve(0)
            seen = await scrape(client.metrics.url)
            assert not seen.all("mexcfast_clock_error_seconds")
            assert not seen.all("mexcfast_private_logins_total")        # no keys
            with pytest.raises(ConnectFailed):
                await client._executor.sync_clock()

    asyncio.run(told())


def test_a_recording_made_with_metrics_on_replays_the_same(tmp_path) -> None:
    """Observers take seats while a tape runs: what it holds for everybody else stays the same."""
    async def story(venue, client) -> None:
        client.record(tmp_path / "tape")
        me = Counting()
        client.subscribe(me, [topics.depth(BTC), topics.deals(BTC)])
        await until(lambda: client.market.books[BTC].is_live)
        client.metrics.start()
        venue.step(20, BTC)
        venue.trade(BTC, "buy", 50)
        await until(lambda: me.measured >= 21 and me.events > 0)
        await client.metrics.close()
        venue.step(10, BTC)
        await until(lambda: client.market.books[BTC].version == venue.book(BTC).version)
        seen.append((me.books, me.events, mx.book_hash(client.market.books[BTC])))

    seen: list[tuple[int, int, int]] = []
    on_exchange(story)

    async def again() -> None:
        replay, me = mx.Replay(tmp_path / "tape"), Counting()
        replay.subscribe(me, [topics.depth(BTC), topics.deals(BTC)])
        await replay.run()
        assert (me.books, me.events, mx.book_hash(replay.market.books[BTC])) == seen[0]

    asyncio.run(again())

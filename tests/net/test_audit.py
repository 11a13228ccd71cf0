"""net/audit: wrong books are found, right ones never accused, however fast they move."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable
from typing import Any

import pytest

import mexcfast as mx
from mexcfast import topics
from mexcfast.core.depth import OrderBook, State
from mexcfast.core.shadow import Shadow, TopCheck, Verdict
from mexcfast.core.stream_events import Degraded
from mexcfast.net.audit import Audit, AuditSettings
from mexcfast.sim import Exchange
from mexcfast.sim import views as sim_views
from models.frames import SYMBOL, depth, levels, reader_with_book, snap, snapshot_text

BTC, ETH = "BTC_USDT", "ETH_USDT"


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(40):
        while not holds():  # noqa: ASYNC110 - what is waited for has no event
            await asyncio.sleep(0.005)


def on_exchange(story: Any, **settings: Any) -> None:
    async def told() -> None:
        settings.setdefault("merge_ms", 0)
        settings.setdefault("limits", False)
        async with (asyncio.timeout(60),
                    Exchange(seed=3, symbols=(BTC, ETH), **settings) as venue,
                    mx.Client(venue.rest_url) as client):
            await story(venue, client)

    asyncio.run(told())


def falsify(monkeypatch: pytest.MonkeyPatch, symbol: str) -> Callable[[], None]:
    """After arming, one depth frame of a contract shows a level that the book does not have."""
    real = sim_views.changes_text
    armed: list[bool] = []

    def changes(contract: Any, commits: Any, elements: int) -> tuple[str, str]:
        asks, bids = real(contract, commits, elements)
        if armed and contract.symbol == symbol:
            armed.clear()
            asks = f"[[{contract.price_text(10 ** 7)},7,1]" + ("," + asks[1:] if asks != "[]"
                                                               else "]")
        return asks, bids

    monkeypatch.setattr(sim_views, "changes_text", changes)
    return lambda: armed.append(True)


def equals_truth(venue: Exchange, book: OrderBook) -> bool:
    truth = venue.book_at(book.symbol, book.version)
    return ([(p, q) for p, q, _ in book.bids()] == [(float(p), float(q)) for p, q, _ in truth.bids]
            and [(p, q) for p, q, _ in book.asks()] == [(float(p), float(q))
                                                        for p, q, _ in truth.asks])


@pytest.mark.parametrize("merge_ms", [0, 30])
def test_a_falsified_level_is_found_flagged_and_mended(monkeypatch, merge_ms) -> None:
    arm = falsify(monkeypatch, BTC)

    async def story(venue: Exchange, client: mx.Client) -> None:
        events: list[Any] = []
        client.market.pool.watch(events.append)
        btc, eth = await client.book(BTC), await client.book(ETH)
        audit = client.audit
        audit.start(AuditSettings(every=0.02, full_every=0))
        await until(lambda: audit.counts.equal >= 4)
        assert btc.ts_verified_ns > 0 and audit.counts.mismatches == 0
        arm()
        wrong = 10.0 ** 7 * float(10) ** -btc.price_scale
        await until(lambda: any(price == wrong for price, _, _ in btc.asks()))
        compared = audit.counts.compared
        await until(lambda: audit.counts.mismatches == 1)
        # the bound: every book has one turn, and the one under way may have begun before
        assert audit.counts.compared <= compared + 2 + 1
        (told,) = [event for event in events if isinstance(event, Degraded)]
        assert told.topic == topics.depth(BTC) and f"ask {wrong:.1f}: 7 here, 0 there" in told.why
        assert btc.state is not State.LIVE or btc.snapshots > 1
        await until(lambda: btc.is_live and btc.snapshots > 1)
        assert equals_truth(venue, btc) and eth.snapshots == 1
        equal = audit.counts.equal
        await until(lambda: audit.counts.equal >= equal + 4)
        assert audit.counts.mismatches == 1
        assert audit.bound_s() == 2 * (0.02 + 5.0)

    on_exchange(story, merge_ms=merge_ms, updates_per_second=100)


@pytest.mark.parametrize("merge_ms", [0, 20, 200])
def test_no_false_alarm_at_500_updates_a_second(merge_ms) -> None:
    async def story(venue: Exchange, client: mx.Client) -> None:
        for symbol in (BTC, ETH):
            await client.book(symbol)
        audit = client.audit
        audit.start(AuditSettings(every=0.001, full_every=3))
        await until(lambda: audit.counts.equal >= 40)
        counts = audit.counts
        assert counts.mismatches == counts.full_different == counts.failed == 0
        assert counts.unsure <= counts.equal // 4
        await audit.close()
        assert not audit.is_running
        pool = client.market.pool
        assert not any(book.listeners for book in pool.books.values())
        assert not any(topic.channel == "depth.full" for each in pool.connections
                       for topic in each.topics)

    on_exchange(story, merge_ms=merge_ms, updates_per_second=500, levels=60)


def test_a_stream_that_stopped_is_behind() -> None:
    async def story(venue: Exchange, client: mx.Client) -> None:
        book = await client.book(BTC)
        venue.faults.drop("depth", BTC, 10_000)
        seen = book.version
        await until(lambda: venue.book(BTC).version > seen + 5)
        client.audit.settings = AuditSettings(patience=0.2)
        finding = await client.audit.check(book)
        assert finding.verdict is Verdict.BEHIND and "nothing came" in finding.what
        assert client.audit.counts.behind == client.audit.counts.mismatches == 1
        assert not book.is_live or book.snapshots > 1

    on_exchange(story, updates_per_second=50)


def test_the_top_is_compared_with_depth_full(monkeypatch) -> None:
    async def story(venue: Exchange, client: mx.Client) -> None:
        book = await client.book(BTC)
        await client.book(ETH)
        assert await client.audit.check_top(book) is Verdict.EQUAL
        real = client.audit._fetch
        asked: list[str] = []
        client.audit._fetch = lambda name, symbol: (asked.append(symbol), real(name, symbol))[1]
        monkeypatch.setattr(TopCheck, "_compare", differs)
        client.audit.start(AuditSettings(every=0.01, full_every=1))
        await until(lambda: client.audit.counts.equal >= 2)
        assert client.audit.counts.full_different >= 2 and len(asked) >= 2
        assert client.audit.counts.mismatches == 0, "REST is the judge"

    def differs(self: TopCheck, version: int, theirs: Any) -> None:
        from mexcfast.core.shadow import Finding

        self.finding = self.finding or Finding(BTC, Verdict.DIFFERENT, version)

    on_exchange(story, updates_per_second=100)


def test_it_takes_turns_and_leaves_the_budget_to_repairs() -> None:
    async def story(venue: Exchange, client: mx.Client) -> None:
        free = [0]
        pool = client.market.pool
        turns: list[str] = []
        audit = Audit(pool, client._fetch, lambda: free[0], AuditSettings(every=0.005,
                                                                          full_every=0))
        audit.on_finding = lambda finding: turns.append(finding.symbol)
        for symbol in (BTC, ETH):
            await client.book(symbol)
        audit.start()
        audit.start()
        await until(lambda: audit.counts.postponed >= 3)
        assert not turns
        free[0] = 5
        await until(lambda: len(turns) >= 6)
        assert all(one != two for one, two in itertools.pairwise(turns))
        pool.books[BTC].suspend()
        postponed, compared = audit.counts.postponed, audit.counts.compared
        await until(lambda: audit.counts.postponed >= postponed + 3)
        assert audit.counts.compared <= compared + 1
        await audit.close()
        await audit.close()

    on_exchange(story, updates_per_second=50)


def test_rest_that_fails_is_counted_and_accuses_nobody() -> None:
    async def story(venue: Exchange, client: mx.Client) -> None:
        book = await client.book(BTC)
        venue.faults.http_status("/contract/depth/" + BTC, 500, count=10)
        finding = await client.audit.check(book)
        assert finding.verdict is Verdict.UNSURE and client.audit.counts.failed == 1
        venue.faults.clear()
        venue.faults.snapshot_lag(BTC, 2000, count=3)
        assert (await client.audit.check(book)).verdict in (Verdict.UNSURE, Verdict.EQUAL)
        assert client.audit.counts.mismatches == 0 and book.is_live
        assert (await client.audit.check(OrderBook(BTC))).what == "nobody keeps it"

    on_exchange(story, updates_per_second=50)


@pytest.mark.parametrize("values", [{"every": 0}, {"spare": 0}, {"tries": 0}, {"patience": True},
                                    {"full_every": -1}, {"every": float("nan")}])
def test_settings_out_of_range_are_refused(values) -> None:
    (name,) = values
    with pytest.raises(ValueError, match=f"{name} is .*; allowed: "):
        AuditSettings(**values)


# -- core/shadow by itself -----------------------------------------------------------------------

def shadowed(version: int = 100) -> tuple[Any, OrderBook, Shadow]:
    _, reader, book = reader_with_book()
    reader.feed_bytes(depth(version, version, bids=[(9, 1)]), 1)
    snap(reader, book, version, asks=[(11, 1)], bids=[(9, 1)])
    assert book.state is State.LIVE
    shadow = Shadow(book)
    book.listeners = [shadow]
    reader.listen("push.depth", SYMBOL, shadow)
    return reader, book, shadow


def reply(version: int, asks: Any = ((11, 1),), bids: Any = ((9, 1),)) -> bytes:
    return snapshot_text(version, levels(*asks), levels(*bids)).encode()


@pytest.mark.parametrize("first", ["older", "same", "newer", "inside a range"])
def test_both_meet_at_one_version(first) -> None:
    reader, book, shadow = shadowed()
    reader.feed_bytes(depth(101, 101, bids=[(9, 2)]), 2)
    if first == "older":
        assert shadow.load(reply(100), 3)
    elif first == "same":
        assert shadow.load(reply(101, bids=[(9, 2)]), 3)
    else:
        assert shadow.load(reply(103, bids=[(9, 4)]), 3) and shadow.finding is None
        assert shadow.is_waiting
        last = 103 if first == "newer" else 105
        reader.feed_bytes(depth(102, last, bids=[(9, 4)]), 4)
    assert shadow.finding is not None and shadow.finding.verdict is Verdict.EQUAL
    assert shadow.finding.version == book.version


def test_order_counts_and_scales_are_not_compared() -> None:
    _, _, shadow = shadowed()
    text = (b'{"success":true,"code":0,"data":{"asks":[[11.000,1.0,9]],"bids":[[9.0,1]],'
            b'"version":100}}')
    assert shadow.load(text, 3)
    assert shadow.finding is not None and shadow.finding.verdict is Verdict.EQUAL


@pytest.mark.parametrize(("asks", "bids", "says"), [
    ([(11, 2)], [(9, 1)], "1 level differs, first ask 11: 1 here, 2 there"),
    ([], [(9, 1)], "ask 11: 1 here, 0 there"),
    ([(11, 1), (12, 5)], [(8, 1)], "3 levels differ, first bid 8: 0 here, 1 there")])
def test_every_difference_is_seen(asks, bids, says) -> None:
    _, _, shadow = shadowed()
    shadow.load(reply(100, asks, bids), 3)
    assert shadow.finding is not None and shadow.finding.verdict is Verdict.DIFFERENT
    assert says in shadow.finding.what


def test_an_answer_older_than_the_kept_frames_is_not_used() -> None:
    reader, _, shadow = shadowed()
    reader.feed_bytes(depth(101, 101), 2)
    assert not shadow.load(reply(98), 3)
    assert shadow.give_up().verdict is Verdict.UNSURE


def test_a_gap_of_the_book_ends_it_without_a_verdict() -> None:
    reader, book, shadow = shadowed()
    reader.feed_bytes(depth(105, 105), 2)
    assert book.state is State.REPAIRING and shadow.give_up().verdict is Verdict.UNSURE

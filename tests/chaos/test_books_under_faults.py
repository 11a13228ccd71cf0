"""Books stay true while the exchange loses, repeats, swaps and delays frames and cuts sockets.

The long run has a marker of its own: pytest -m soak tests/chaos
"""

from __future__ import annotations

import asyncio
from collections import Counter
from decimal import Decimal

import pytest

import mexcfast as mx
from mexcfast.core.depth import OrderBook, State
from mexcfast.sim import Exchange

SYMBOLS = ("BTC_USDT", "ETH_USDT", "SOL_USDT")
KINDS = ("drop", "duplicate", "reorder", "delay", "cut")


class Watcher(mx.Listener):
    """Counts, and notes every time a book was shown that should not have been."""

    def __init__(self) -> None:
        self.frames = 0
        self.wrong: list[str] = []
        self.states: Counter[State] = Counter()

    def on_book(self, book: OrderBook) -> None:
        self.frames += 1
        bid, ask = book.best_bid, book.best_ask
        if book.state != State.LIVE or (bid is not None and ask is not None and bid >= ask):
            self.wrong.append(repr(book))

    def on_book_state(self, book: OrderBook, old: State, new: State) -> None:
        self.states[new] += 1


def divergences(venue: Exchange, book: OrderBook) -> list[tuple[object, object]]:
    """Levels that differ from the exchange's book at the version we hold."""
    truth = venue.book_at(book.symbol, book.version)
    unit = Decimal(1).scaleb(-book.price_scale)
    assert book.quantity_scale == 0
    wrong: list[tuple[object, object]] = []
    for mine, true in zip(book.exact(), (truth.bids, truth.asks), strict=True):
        ours = [(price * unit, quantity, orders) for price, quantity, orders in mine]
        theirs = [tuple(level) for level in true]
        wrong += [pair for pair in zip(ours, theirs, strict=False) if pair[0] != pair[1]]
        if len(ours) != len(theirs):
            wrong.append((len(ours), len(theirs)))
    return wrong


async def settled(client: mx.Client) -> None:
    """Wait until every book is LIVE and nothing of it is pending."""
    async with asyncio.timeout(30):
        while not all(b.is_live for b in client.market.books.values()):  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def chaos(seconds: float, every: float, seed: int, frames: int) -> None:
    async with (
        asyncio.timeout(120 + seconds),
        Exchange(seed=seed, symbols=SYMBOLS, updates_per_second=667, merge_ms=0) as venue,
        mx.Client(venue.rest_url) as client,
    ):
        watcher = Watcher()
        client.subscribe(watcher, [mx.topics.depth(symbol) for symbol in SYMBOLS])
        await settled(client)
        venue.faults.start_script(seed, every=every, kinds=KINDS)
        await asyncio.sleep(seconds)
        venue.faults.stop_script()
        # a fault scripted at the last moment may still wait for its frame
        await asyncio.sleep(1)
        await settled(client)
        injected = Counter(fault.kind for fault in venue.faults.log)
        books = list(client.market.books.values())
        report = f"{injected} {watcher.states} frames {watcher.frames} {books}"
        assert sum(injected.values()) >= 0.8 * seconds / every, report
        for book in books:
            assert book.is_live, report
            assert not divergences(venue, book), report
        assert not watcher.wrong, report
        assert watcher.frames >= frames, report
        assert sum(book.gaps for book in books) >= injected["drop"] > 0, report
        print(report)


def test_books_survive_a_burst_of_faults() -> None:
    asyncio.run(chaos(seconds=5, every=0.25, seed=11, frames=1))


@pytest.mark.soak
def test_a_minute_at_2000_frames_a_second_with_a_fault_every_second() -> None:
    mx.run(chaos(seconds=60, every=1.0, seed=5, frames=110_000))

"""BookChanges: what is told adds up to the book, whatever happened to it."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import mexcfast as mx
from mexcfast.core.changes import MOST_PENDING, BookChanges
from mexcfast.core.reader import Reader

SNAPSHOT = '{"asks":[[%d,7,1]],"bids":[[%d,3,1]],"version":%d}'

FRAME = ('{"channel":"push.depth","symbol":"BTC_USDT","ts":1,'
         '"data":{"asks":%s,"bids":%s,"begin":%d,"end":%d,"version":%d}}')


class Control:
    def on_need(self, book: Any, change: Any) -> None: ...
    def on_trusted(self, book: Any) -> None: ...
    def on_control(self, event: Any) -> None: ...

    def on_fault(self, fault: Exception, where: str) -> None:
        raise AssertionError(where) from fault


class Told(BookChanges):
    """A book of dicts from what is told."""

    def __init__(self) -> None:
        super().__init__()
        self.sides: tuple[dict[float, float], dict[float, float]] = ({}, {})
        self.wholes = self.changes = self.shown = 0
        self.forgetful = False

    def on_whole(self, book: mx.OrderBook) -> None:
        self.wholes += 1
        self.sides = tuple({price: quantity for price, quantity, _ in side}  # type: ignore
                           for side in (book.bids(), book.asks()))
        self._same(book)

    def on_changes(self, book: mx.OrderBook, frames: list[Any]) -> None:
        self.changes += len(frames)
        for frame in frames:
            for side, rows in zip(self.sides, (frame.bids, frame.asks), strict=True):
                for price, quantity, _ in rows:
                    if quantity:
                        side[price] = quantity
                    else:
                        side.pop(price, None)
        self._same(book)
        if self.forgetful:
            self.forget()

    def _same(self, book: mx.OrderBook) -> None:
        assert book.is_live
        for side, rows in zip(self.sides, (book.bids(), book.asks()), strict=True):
            assert side == {price: quantity for price, quantity, _ in rows}


class Stream:
    """A reader with one book, both kinds of listeners, and a venue to ask for snapshots."""

    def __init__(self) -> None:
        self.told = Told()
        self.book = mx.OrderBook("BTC_USDT")
        self.book.listeners = [self.told]
        self.reader = Reader(Control())
        self.reader.route("BTC_USDT").book = self.book
        for channel in ("push.depth", "push.deal"):
            self.reader.listen(channel, "BTC_USDT", self.told)
        self.ns = 0

    def frame(self, begin: int, end: int, asks: str = "[]", bids: str = "[]") -> None:
        self.ns += 1
        self.reader.feed_bytes((FRAME % (asks, bids, begin, end, end)).encode(), self.ns)

    def snapshot(self, version: int, ask: int = 101, bid: int = 100) -> None:
        old = self.book.state
        change = self.book.load_snapshot(SNAPSHOT % (ask, bid, version), self.ns)
        self.reader.settle(self.book, old, change)


def test_whole_once_then_frames() -> None:
    stream = Stream()
    stream.snapshot(10)
    stream.frame(11, 12, asks="[[102,1,1]]")
    stream.frame(12, 12)                                         # stale
    stream.reader.feed_bytes(b'{"channel":"push.deal","symbol":"BTC_USDT","data":[]}', 9)
    stream.frame(13, 13, asks="[[102,0,0]]")
    assert (stream.told.wholes, stream.told.changes) == (1, 2)
    assert stream.told.ts_seen_ns == stream.ns


def test_what_frames_do_not_explain_is_told_whole() -> None:
    stream = Stream()
    stream.snapshot(10)
    stream.frame(12, 12, asks="[[102,1,1]]")                     # a gap
    assert (stream.told.wholes, stream.told.changes) == (1, 0)
    assert not stream.told._pending                              # nothing is kept meanwhile
    stream.frame(11, 11)                                         # mended by the late frame
    assert (stream.told.wholes, stream.told.changes) == (2, 0)
    stream.book.suspect("a test")
    stream.snapshot(20, ask=105)                                 # LIVE before and after
    stream.frame(21, 21, bids="[[98,1,1]]")                      # ends the doubt
    assert (stream.told.wholes, stream.told.changes) == (3, 0)
    stream.frame(22, 22, bids="[[99,1,1]]")
    assert (stream.told.wholes, stream.told.changes) == (3, 1)


def test_a_snapshot_that_a_wide_frame_would_hide() -> None:
    stream = Stream()
    stream.snapshot(10)
    stream.book.suspect("its levels were wrong")
    stream.snapshot(20, ask=105)
    stream.frame(11, 21, bids="[[98,1,1]]")                      # leads from 10 to 21 by itself
    assert (stream.told.wholes, stream.told.changes) == (2, 0)


def test_a_frame_that_only_the_book_was_given() -> None:
    stream = Stream()
    stream.snapshot(10)
    stream.book.apply(FRAME % ("[[104,2,1]]", "[]", 11, 11, 11), 5)
    stream.frame(12, 12, bids="[[98,1,1]]")
    assert (stream.told.wholes, stream.told.changes) == (2, 0)


def test_a_crossed_book_is_told_when_it_is_not_any_more() -> None:
    stream = Stream()
    stream.snapshot(10)
    stream.frame(11, 11, bids="[[101,1,1]]")
    assert stream.book.is_crossed_now and stream.told.changes == 0
    stream.frame(12, 12, asks="[[101,0,0],[103,1,1]]")
    assert (stream.told.wholes, stream.told.changes) == (1, 2)


def test_forget_tells_the_whole_book_next() -> None:
    stream = Stream()
    stream.told.forgetful = True
    stream.snapshot(10)
    for version in range(11, 15):
        stream.frame(version, version, asks=f"[[{version + 100},1,1]]")
    assert (stream.told.wholes, stream.told.changes) == (3, 2)


def test_frames_that_are_kept_have_a_bound() -> None:
    told = Told()
    stream = Stream()
    stream.book.listeners = []           # never shown
    stream.reader.listen("push.depth", "BTC_USDT", told)
    told._version = 10
    stream.snapshot(10)
    for version in range(11, 20 + MOST_PENDING):
        stream.frame(version, version)
        assert len(told._pending) <= MOST_PENDING
    assert told._version is None


@pytest.mark.parametrize("forgetful", [False, True])
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(1, 3), st.integers(95, 106),
                          st.integers(0, 2), st.booleans()), max_size=80))
def test_what_is_told_is_the_book(forgetful: bool, steps: Any) -> None:
    """Told asserts it at every call; here frames are lost, doubled and answered by snapshots."""
    stream = Stream()
    stream.told.forgetful = forgetful
    stream.snapshot(10)
    at = 10
    for lost, width, price, quantity, is_ask in steps:
        if lost == 3:
            stream.frame(at, at)
            continue
        begin = at + 1 + (lost == 2)
        at = begin + width - 1
        rows = f"[[{price},{quantity},{quantity}]]"
        stream.frame(begin, at, *(("[]", rows) if not is_ask else (rows, "[]")))
        if not stream.book.is_live and not stream.book.is_crossed_now:
            stream.snapshot(at)
    assert stream.told.wholes >= 1

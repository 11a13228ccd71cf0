"""net/latency: what is measured, and from when."""

from __future__ import annotations

import time

import mexcfast as mx
from mexcfast.core.depth import OrderBook
from mexcfast.core.reader import Reader
from mexcfast.net.latency import LatencyMeter

SECOND = 10**9


class Control:
    """A reader's owner that expects no trouble."""

    def on_fault(self, fault: Exception, where: str) -> None:
        raise AssertionError(where) from fault

    def on_need(self, book: OrderBook, change: mx.Change) -> None:
        raise AssertionError(change)

    def on_control(self, event: mx.Event) -> None:
        raise AssertionError(event)


def frame(version: int, ts_ms: int) -> bytes:
    return (b'{"channel":"push.depth","symbol":"BTC_USDT","data":{"asks":[[101,1,1]],"bids":[],'
            b'"version":%d},"ts":%d}' % (version, ts_ms))


def test_both_ways_are_measured_from_the_receipt() -> None:
    reader, meter, book = Reader(Control()), LatencyMeter(), OrderBook("BTC_USDT")
    book.load_snapshot(b'{"asks":[],"bids":[[100,1,1]],"version":1}')
    book.listeners = [meter]
    reader.route("BTC_USDT").book = book
    received = time.time_ns() - 5 * SECOND
    reader.feed_bytes(frame(2, received // 10**6 - 250), received)
    assert meter.wire_to_callback.count == meter.venue_to_wire.count == 1
    assert 5 * SECOND <= meter.wire_to_callback.min_ns < 65 * SECOND
    assert abs(meter.venue_to_wire.min_ns - SECOND // 4) <= 10**6
    meter.offset_ns = -SECOND // 10            # the venue's clock is behind ours
    reader.feed_bytes(frame(3, received // 10**6 - 250), received)
    assert abs(meter.venue_to_wire.min_ns - SECOND * 3 // 20) <= 10**6


def test_events_count_and_what_has_no_stamp_does_not() -> None:
    reader, meter = Reader(Control()), LatencyMeter()
    reader.listen("push.deal", "BTC_USDT", meter)
    deal = (b'{"channel":"push.deal","symbol":"BTC_USDT",'
            b'"data":[{"p":1,"v":1,"T":1,"O":1,"M":1,"t":1}]%s}')
    reader.feed_bytes(deal % b',"ts":1', time.time_ns())
    reader.feed_bytes(deal % b"", time.time_ns())
    reader.feed_bytes(deal % b"", 0)
    assert (meter.venue_to_wire.count, meter.wire_to_callback.count) == (1, 2)


def test_only_what_has_just_been_received_is_measured() -> None:
    """A book also moves by a snapshot, by frames that waited for it, and by being trusted again."""
    reader, meter, book = Reader(Control()), LatencyMeter(), OrderBook("BTC_USDT")
    book.listeners = [meter]
    reader.route("BTC_USDT").book = book
    long_ago = time.time_ns() - 500 * SECOND

    def load(version: int, ts_ns: int) -> None:
        old = book.state
        change = book.load_snapshot(
            b'{"asks":[],"bids":[[100,1,1]],"version":%d,"timestamp":1}' % version, ts_ns)
        reader.settle(book, old, change)

    book.expect_snapshot()
    reader.feed_bytes(frame(2, 1), long_ago)         # waits for the snapshot
    load(1, time.time_ns())
    assert book.is_live and book.version == 2 and meter.wire_to_callback.count == 0
    reader.feed_bytes(frame(3, 1), time.time_ns())
    assert meter.wire_to_callback.count == 1
    book.suspect("silent")
    reader.trust(book)
    assert meter.wire_to_callback.count == 1
    load(9, time.time_ns())                          # a question whether it has moved
    assert book.version == 9 and meter.wire_to_callback.count == 1
    reader.feed_bytes(frame(10, 1), time.time_ns())
    assert meter.wire_to_callback.count == meter.venue_to_wire.count == 2
    meter.knows_offset = False
    reader.feed_bytes(frame(11, 1), time.time_ns())
    assert (meter.wire_to_callback.count, meter.venue_to_wire.count) == (3, 2)
    assert meter.wire_to_callback.max_ns < 100 * SECOND

"""core/reader: which hooks are called, when, and that nothing a hook does harms the stream."""

from __future__ import annotations

import json
import tracemalloc

import pytest

from mexcfast.core.depth import Change, State
from mexcfast.core.listener import Listener
from mexcfast.core.reader import TAGS, Reader
from mexcfast.errors import BookError, FrameError, MexcfastError
from models import json_model
from models.frames import SYMBOL, TEXT, Control, depth, reader_with_book, snap

VECTORS = json_model.vectors("server->client")


class Everything(Listener):
    """Writes down every call."""

    def __init__(self, calls=None):
        self.calls = [] if calls is None else calls

    def on_book(self, book):
        assert book.is_live
        self.calls.append(("book", book.version))

    def on_book_state(self, book, old, new):
        assert book.state is new
        self.calls.append(("state", old, new))

    def on_event(self, event):
        self.calls.append(("event", type(event).__name__, event.symbol))

    def on_frame(self, frame, ts_recv_ns):
        self.calls.append(("frame", frame.tag, ts_recv_ns))

    def take(self):
        calls = list(self.calls)
        self.calls.clear()
        return calls


class OnlyBook(Listener):
    def __init__(self):
        self.calls = 0

    def on_book(self, book):
        self.calls += 1


class BookHooks(Listener):
    """The book's hooks only, so that frames are not written down."""

    def __init__(self):
        self.calls = []

    on_book = Everything.on_book
    on_book_state = Everything.on_book_state
    take = Everything.take


def test_book_hooks_in_the_life_of_a_book():
    me = BookHooks()
    control, reader, book = reader_with_book(me)
    reader.feed_bytes(depth(99, 101), 1)
    assert control.needs == [(SYMBOL, Change.NEED_SNAPSHOT)]
    assert me.take() == [("state", State.INIT, State.SYNCING)]
    reader.feed_bytes(depth(102, 103), 2)
    assert me.take() == []
    snap(reader, book, 98)
    assert me.take() == [("state", State.SYNCING, State.LIVE), ("book", 103)]
    reader.feed_bytes(depth(104, 104, asks=[(11, 1)]), 3)
    assert me.take() == [("book", 104)]
    reader.feed_bytes(depth(104, 104), 4)
    assert me.take() == [], "stale"
    reader.feed_bytes(depth(107, 107), 5)
    assert me.take() == [("state", State.LIVE, State.REPAIRING)]
    reader.feed_bytes(depth(109, 109), 6)
    assert me.take() == []
    assert control.needs[1:] == [(SYMBOL, Change.NEED_REPAIR)]
    reader.feed_bytes(depth(105, 106), 7)
    assert me.take() == [], "107 is in, 108 is missing"
    assert book.missing == (108, 108)
    reader.feed_bytes(depth(108, 108), 8)
    assert me.take() == [("state", State.REPAIRING, State.LIVE), ("book", 109)]
    assert not control.faults


def test_no_book_hook_while_crossed():
    me = BookHooks()
    control, reader, book = reader_with_book(me)
    snap(reader, book, 100, asks=[(11, 1)], bids=[(10, 1)])
    me.take()
    reader.feed_bytes(depth(101, 101, bids=[(11, 1)]), 1)
    assert me.take() == []
    reader.feed_bytes(depth(102, 102, bids=[(11, 0)]), 1)
    assert me.take() == [("book", 102)]
    reader.feed_bytes(depth(103, 103, bids=[(11, 1)]), 1)
    reader.feed_bytes(depth(104, 104), 1)
    assert me.take() == [("state", State.LIVE, State.SYNCING)]
    assert control.needs == [(SYMBOL, Change.NEED_SNAPSHOT)]
    snap(reader, book, 104, asks=[(10, 1)], bids=[(11, 1)])
    assert me.take() == [("state", State.SYNCING, State.LIVE)], "live, but crossed: no on_book"


def test_a_frame_that_does_not_fit_is_reported_and_mended():
    me = BookHooks()
    control, reader, book = reader_with_book(me)
    snap(reader, book, 100, asks=[(11, 1)])
    me.take()
    reader.feed_bytes(depth(101, 101, asks=[(10**18, 1)], bids=[("0.5", 1)]), 1)
    assert [(type(f), w) for f, w in control.faults] == [(FrameError, "book")]
    assert control.needs == [(SYMBOL, Change.NEED_SNAPSHOT)]
    assert me.take() == [("state", State.LIVE, State.SYNCING)]
    assert reader.malformed == 1


@pytest.mark.parametrize("vector", [v for v in VECTORS if json.loads(v["text"])["channel"]
                                    .startswith("push.")], ids=lambda v: v["name"])
def test_every_push_reaches_those_who_asked(vector):
    frame = json.loads(vector["text"])
    channel, symbol = frame["channel"], frame.get("symbol", "")
    if channel not in TAGS:
        return
    mine, other, everybody = Everything(), Everything(), Everything()
    control = Control()
    reader = Reader(control)
    reader.listen(channel, symbol, mine)
    reader.listen(channel, "OTHER_USDT", other)
    reader.listen("push.deal" if channel != "push.deal" else "push.ticker", symbol, other)
    if channel != "push.depth":
        reader.listen(channel, "", everybody)
    reader.feed_bytes(vector["text"].encode(), 7)
    row = json_model.ROWS[channel]
    calls = mine.take()
    assert ("frame", TAGS[channel], 7) in calls
    assert [c[1] for c in calls if c[0] == "event"] == [row.event]
    assert len(calls) == 2
    assert other.take() == [], "another channel or another contract"
    if channel != "push.depth":
        assert len(everybody.take()) == 2
    assert (reader.frames, reader.unrouted, reader.unknown, reader.malformed) == (1, 0, 0, 0)
    route = reader.routes[symbol]
    if channel != "push.depth":
        assert route.last_recv_ns == {TAGS[channel]: 7}
    else:
        assert route.depth_recv_ns == 7


def test_events_are_built_only_for_those_who_override():
    """An event owns a copy of its frame: without one, far less memory than the frame is taken."""
    rows = [{"symbol": f"S{n}", "lastPrice": n} for n in range(3000)]
    text = json.dumps({"channel": "push.tickers", "data": rows}).encode()
    peaks = []
    for listener in (OnlyBook(), Everything()):
        reader = Reader(Control())
        reader.listen("push.tickers", "", listener)
        reader.feed_bytes(text, 1)              # the reader's own buffers grow once
        tracemalloc.start()
        reader.feed_bytes(text, 2)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        assert reader.unrouted == 0, "subscribed, whatever it looks at"
    assert peaks[0] < len(text) / 10 < len(text) < peaks[1]


def test_control_frames_go_to_the_control_and_to_listeners():
    me = Everything()
    control = Control()
    reader = Reader(control)
    reader.listen("pong", "", me)
    for name in ("pong", "ack_sub_deal", "err_blocked", "ack_login"):
        reader.feed_bytes(TEXT[name], 1)
    assert [type(event).__name__ for event in control.controls] == [
        "Pong", "Acknowledgement", "RequestError", "Acknowledgement"]
    assert me.take() == [("frame", TAGS["pong"], 1), ("event", "Pong", None)]
    assert reader.unrouted == 0


def test_unknown_channels_are_surfaced():
    me = Everything()
    reader = Reader(Control())
    reader.listen("", "", me)
    for name in ("push_unknown_channel", "client_id_frame", "unknown_personal_channel"):
        reader.feed_bytes(TEXT[name], 1)
    reader.feed_bytes(b'{"hello": 1}', 1)
    assert [call[1] for call in me.take() if call[0] == "event"] == ["Unknown"] * 4
    assert (reader.unknown, reader.unrouted) == (4, 0)
    reader.forget("", "", me)
    reader.feed_bytes(TEXT["push_unknown_channel"], 1)
    assert (reader.unknown, reader.unrouted, me.take()) == (5, 1, [])


@pytest.mark.parametrize("data", [b"", b"{", b"<html>", b"\x1f\x8b", b"\x1f", b'{"channel":1}',
                                  TEXT["push_depth_2026_range"][:-1]])
def test_malformed_frames_are_counted_and_reported(data):
    me = BookHooks()
    control, reader, book = reader_with_book(me)
    reader.feed_bytes(data, 1)
    assert (reader.frames, reader.malformed, reader.bytes_read) == (1, 1, len(data))
    assert [(type(fault), where) for fault, where in control.faults] == [(FrameError, "frame")]
    assert me.take() == []
    assert book.state is State.INIT
    reader.feed_bytes(depth(1, 1), 1)
    assert me.take(), "the next frame is read as if nothing had been"


@pytest.mark.parametrize("data", ["text", 5, None])
def test_what_cannot_be_fed(data):
    with pytest.raises(TypeError):
        Reader(Control()).feed_bytes(data, 1)


def test_gzip_and_buffers():
    me = Everything()
    reader = Reader(Control())
    reader.listen("push.deal", SYMBOL, me)
    text = TEXT["push_deal_list_live"]
    for data in (json_model.packed(text.decode()), bytearray(text), memoryview(text)):
        reader.feed_bytes(data, 5)
        assert me.take() == [("frame", TAGS["push.deal"], 5), ("event", "Deals", SYMBOL)]


class Raises(Listener):
    def __init__(self):
        self.fault = ValueError("mine")

    def on_book(self, book):
        raise self.fault

    def on_book_state(self, book, old, new):
        raise self.fault

    def on_event(self, event):
        raise self.fault

    def on_frame(self, frame, ts_recv_ns):
        raise self.fault


def test_a_listener_that_raises_harms_nobody():
    bad, good = Raises(), Everything()
    control, reader, book = reader_with_book(bad, good)
    reader.listen("push.deal", SYMBOL, bad)
    reader.listen("push.deal", SYMBOL, good)
    reader.feed_bytes(depth(99, 101), 1)
    snap(reader, book, 100)
    reader.feed_bytes(depth(102, 102), 1)
    reader.feed_bytes(TEXT["push_deal_list_live"], 1)
    assert [call[0] for call in good.take()] == [
        "frame", "state", "state", "book", "frame", "book", "frame", "event"]
    assert [where for _, where in control.faults] == [
        "on_frame", "on_book_state", "on_book_state", "on_book", "on_frame", "on_book",
        "on_frame", "on_event"]
    assert {id(fault) for fault, _ in control.faults} == {id(bad.fault)}
    assert book.version == 102


def test_what_is_no_exception_is_not_swallowed():
    class Stops(Listener):
        def on_event(self, event):
            raise KeyboardInterrupt

    reader = Reader(Control())
    reader.listen("push.deal", SYMBOL, Stops())
    with pytest.raises(KeyboardInterrupt):
        reader.feed_bytes(TEXT["push_deal_list_live"], 1)
    reader.feed_bytes(TEXT["push_depth_2021"], 1)


def test_hooks_that_leave_and_join():
    """Everybody who was listening when the frame came gets it; a hook may change the list."""
    order = []
    reader = Reader(Control())

    class Leaves(Listener):
        def on_event(self, event):
            order.append("leaves")
            reader.forget("push.deal", SYMBOL, self)

        def on_frame(self, frame, ts_recv_ns):
            order.append("frame")
            reader.forget("push.deal", SYMBOL, self)
            reader.listen("push.deal", SYMBOL, self)

    class Joins(Listener):
        def on_event(self, event):
            order.append("joins")
            reader.listen("push.deal", SYMBOL, third)
            for number in range(200):
                reader.route(f"S{number}_USDT")

    class Third(Listener):
        def on_event(self, event):
            order.append("third")

    third = Third()
    leaves = Leaves()
    reader.listen("push.deal", SYMBOL, leaves)
    reader.listen("push.deal", SYMBOL, Joins())
    reader.feed_bytes(TEXT["push_deal_list_live"], 1)
    assert order == ["frame", "joins", "leaves"] or order == ["frame", "leaves", "joins"]
    del order[:]
    reader.feed_bytes(TEXT["push_deal_list_live"], 1)
    assert order == ["joins", "third"]


def test_a_hook_that_ends_the_book():
    calls = []

    class Ends(Listener):
        def on_book(self, book):
            calls.append("ends")
            book.stop()

    class Sees(Listener):
        def on_book(self, book):
            calls.append("sees")

    _, reader, book = reader_with_book(Ends(), Sees())
    snap(reader, book, 100)
    assert calls == ["ends"], "no on_book of a book that is not live any more"
    reader.feed_bytes(depth(101, 101), 1)
    assert calls == ["ends"]


def test_a_hook_that_feeds_the_reader():
    """A tape may be driven from a hook: the outer frame is not disturbed."""
    seen = []

    class Feeds(Listener):
        def on_frame(self, frame, ts_recv_ns):
            if ts_recv_ns == 1:
                reader.feed_bytes(depth(102, 102, bids=[(9, 1)]), 2)

        def on_book(self, book):
            seen.append(book.version)

    _, reader, book = reader_with_book(Feeds())
    snap(reader, book, 100)
    reader.feed_bytes(depth(101, 101, asks=[(12, 1)]), 1)
    assert book.version == 102
    assert book.asks() == [(12.0, 1.0, 1)]
    assert seen == [100, 102]


def test_the_frame_of_a_hook_is_empty_afterwards():
    kept = []

    class Keeps(Listener):
        def on_frame(self, frame, ts_recv_ns):
            kept.append((frame, frame.tail(5), frame.tag))

    reader = Reader(Control())
    reader.listen("push.deal", SYMBOL, Keeps())
    reader.feed_bytes(TEXT["push_deal_list_live"], 1)
    (frame, tail, tag), = kept
    assert (tail, tag) == (TEXT["push_deal_list_live"][-5:], TAGS["push.deal"])
    assert frame.tail(5) == b""


def test_forgetting_one_channel_leaves_the_others():
    me = Everything()
    reader = Reader(Control())
    for channel in ("push.deal", "push.ticker"):
        reader.listen(channel, SYMBOL, me)
        reader.listen(channel, SYMBOL, me)
    reader.forget("push.deal", SYMBOL, me)
    reader.feed_bytes(TEXT["push_deal_list_live"], 1)
    assert me.take() == []
    reader.feed_bytes(TEXT["push_ticker_live"], 1)
    assert [call[0] for call in me.take()] == ["frame", "event"]
    reader.forget("push.deal", SYMBOL, me)
    reader.forget("push.nothing", SYMBOL, me)
    reader.forget("push.ticker", "OTHER", me)
    reader.feed_bytes(TEXT["push_ticker_live"], 1)
    assert len(me.take()) == 2


def test_depth_without_a_book_is_an_event():
    me = Everything()
    reader = Reader(Control())
    reader.listen("push.depth", SYMBOL, me)
    reader.feed_bytes(TEXT["push_depth_2026_range"], 1)
    assert [call[:2] for call in me.take()] == [("frame", TAGS["push.depth"]), ("event", "Depth")]
    reader.feed_bytes(TEXT["push_depth_empty_sides"], 1)
    assert (me.take(), reader.unrouted) == ([], 1)


def test_channels_are_checked():
    with pytest.raises(ValueError, match=r"push\.nothing"):
        Reader(Control()).listen("push.nothing", SYMBOL, Everything())
    for bad in (None, object()):
        with pytest.raises(TypeError):
            Reader(Control()).listen("push.deal", SYMBOL, bad)


def test_a_thousand_contracts():
    reader = Reader(Control())
    listeners = {}
    text = '{"channel":"push.deal","symbol":"%s","data":[]}'
    for number in range(1100):
        symbol = f"{'A' * (number % 50)}{number}_USDT"
        listeners[symbol] = Everything()
        reader.listen("push.deal", symbol, listeners[symbol])
    for symbol in listeners:
        reader.feed_bytes((text % symbol).encode(), 1)
    assert all(len(each.calls) == 2 for each in listeners.values())
    reader.feed_bytes((text % "NOBODY_USDT").encode(), 1)
    assert reader.unrouted == 1
    assert len(reader.routes) == 1101


def test_listeners_of_a_route():
    a, b = Everything(), OnlyBook()
    _, reader, _ = reader_with_book(a, b)
    reader.listen("push.deal", SYMBOL, a)
    assert reader.route(SYMBOL).listeners() == [a, b]
    assert reader.route("X").listeners() == []


def test_errors_have_one_root():
    assert issubclass(FrameError, MexcfastError) and issubclass(BookError, MexcfastError)


class Shown(Listener):
    def __init__(self):
        self.versions = []

    def on_book(self, book):
        assert book.is_live
        self.versions.append(book.version)


def test_a_book_in_doubt_is_shown_to_nobody_until_its_stream_speaks():
    me = Shown()
    control, reader, book = reader_with_book(me)
    book.expect_snapshot()
    book.suspect("its stream has not spoken yet")
    snap(reader, book, 100)
    assert book.state is State.LIVE and not book.is_live and me.versions == []
    assert book.doubt == "its stream has not spoken yet"
    reader.feed_bytes(depth(99, 100), 1)
    assert (book.is_live, book.doubt, me.versions, control.trusted) == (
        True, None, [100], [book.symbol])
    book.suspect("silent")
    reader.feed_bytes(depth(101, 101), 2)
    assert me.versions == [100, 101] and len(control.trusted) == 2
    book.suspect("silent")
    reader.feed_bytes(depth(105, 105), 3)
    assert book.state is State.REPAIRING and book.doubt is None
    book.suspect("silent")
    book.suspend()
    assert book.doubt is None
    book.stop()
    book.suspect("silent")
    assert book.doubt is None


def test_a_doubt_that_proof_ends():
    me = Shown()
    control, reader, book = reader_with_book(me)
    book.expect_snapshot()
    snap(reader, book, 7)
    book.suspect("silent")
    reader.trust(book)
    reader.trust(book)
    assert me.versions == [7, 7] and book.is_live and control.trusted == []
    book.suspect("silent")
    book.reset()
    assert book.doubt is None


def test_changes_of_state_are_told_to_the_owner_first():
    _, reader, book = reader_with_book(Shown())
    seen = []
    reader.on_state = lambda which, old, new: seen.append((which.symbol, old, new))
    reader.feed_bytes(depth(5, 6), 1)
    snap(reader, book, 6)
    assert seen == [(book.symbol, State.INIT, State.SYNCING),
                    (book.symbol, State.SYNCING, State.LIVE)]

"""core/shape: what it reads by comparing with the last frame is what the strict reader reads.

A book that is fed bytes takes frames of a known shape that way; one that is fed str never does.
"""

from __future__ import annotations

import json
import random
from itertools import permutations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mexcfast.core.depth import OrderBook
from mexcfast.core.events import parse_frame
from mexcfast.core.listener import Listener
from mexcfast.core.reader import Reader
from mexcfast.errors import BookError, FrameError
from models.frames import SYMBOL, Control, levels, snapshot_text

FIRST = snapshot_text(100, levels((200, 5)), levels((100, 7)))
#: One member's text in place of another: what a shape has to notice, or to read alike.
SPARE = [b"0", b"1", b"00", b"01", b"1.0", b"0.5", b"1.50", b"-1", b"1e1", b"12345678",
         b"123456789", b"99999999", b"12345678.1", b"0.12345678", b"0.00000001", b"0.123456789",
         b"0.0", b"5.", b".5", b"null", b'"7"', b"[]", b"[1,2]", b"{}", b" ", b"9" * 16, b"9" * 17,
         b"9" * 19, b"9223372036854775807", b"9223372036854775808", b"\xff",
         b"1.25", b"104231.4", b"true"]


class Pair:
    """The same frames as bytes and as str."""

    def __init__(self) -> None:
        self.quick, self.strict = OrderBook(SYMBOL), OrderBook(SYMBOL)
        for book in (self.quick, self.strict):
            book.load_snapshot(FIRST)

    def apply(self, frame: bytes) -> str:
        outcomes = []
        for book, text in ((self.quick, frame), (self.strict, bytearray(frame))):
            try:
                outcomes.append(book.apply(text).name)
            except (FrameError, BookError) as fault:
                outcomes.append(f"{type(fault).__name__} {fault}")
        assert outcomes[0] == outcomes[1], frame
        assert (self.quick.exact(), self.quick.version, self.quick.state, self.quick.ts_venue_ms,
                self.quick.price_scale, self.quick.quantity_scale, self.quick.missing) == (
            self.strict.exact(), self.strict.version, self.strict.state, self.strict.ts_venue_ms,
            self.strict.price_scale, self.strict.quantity_scale, self.strict.missing), frame
        return outcomes[0]


def side(rows) -> str:
    return "[" + ",".join("[" + ",".join(map(str, row)) + "]" for row in rows) + "]"


def frame(version: int, asks=(), bids=(), order=("asks", "bids", "begin", "end", "version"),
          outer=("channel", "data", "symbol", "ts"), symbol=SYMBOL, more="") -> bytes:
    members = {"asks": side(asks), "bids": side(bids), "begin": version, "end": version,
               "version": version}
    data = "{" + ",".join(f'"{name}":{members[name]}' for name in order) + more + "}"
    parts = {"channel": '"push.depth"', "data": data, "symbol": f'"{symbol}"', "ts": version + 5}
    return ("{" + ",".join(f'"{name}":{parts[name]}' for name in outer) + "}").encode()


def some_levels(rng: random.Random, base: int):
    return [(f"{base + rng.randrange(90)}{rng.choice(['', '.5', '.25', '.00000001'])}",
             rng.choice((0, 1, 12, 345, 99_999_999)), rng.choice((0, 1, 15, 12_345_678)))
            for _ in range(rng.randrange(7))]


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 2**32), st.integers(0, 23), st.integers(0, 119))
def test_any_key_order_and_any_change_to_a_text(seed, outer, inner):
    """A stream of one shape; then each frame with a piece replaced, cut or moved."""
    rng = random.Random(seed)
    outer = list(permutations(("channel", "data", "symbol", "ts")))[outer]
    inner = list(permutations(("asks", "bids", "begin", "end", "version")))[inner]
    pair = Pair()
    for version in range(101, 131):
        text = frame(version, some_levels(rng, 150), some_levels(rng, 50), inner, outer)
        if rng.random() < 0.6:
            ends = [at for at, byte in enumerate(text) if byte in b",]}"]
            stop = rng.choice(ends)
            start = max(text.rfind(mark, 0, stop) for mark in (b",", b"[", b":", b"{")) + 1
            changed = text[:start] + rng.choice(SPARE) + text[stop:]
            if rng.random() < 0.2:
                changed = text[:rng.randrange(len(text))]
            elif rng.random() < 0.2:
                at = rng.randrange(len(text))
                changed = text[:at] + bytes([rng.choice(b' ",[]{}0159.x\\')]) + text[at + 1:]
            pair.apply(changed)
            if pair.quick.state.name != "LIVE":
                pair = Pair()
                for past in range(101, version):
                    pair.apply(frame(past, (), (), inner, outer))
        pair.apply(text)


@pytest.mark.parametrize("price", [
    "1", "12345678", "123456789", "0.1", "0.12345678", "0.00000001", "1.2345678", "12.345678",
    "1234567.8", "12345678.9", "123456.789", "0.123456789", "0.000000000000000001", "1e3", "1.5e1",
    "100000000", "9223372036854775807", "0.5", "5.05", "10", "10.01"])
@pytest.mark.parametrize("quantity, orders", [("1", "1"), ("0", "0"), ("99999999", "12345678"),
                                              ("123456789", "1"), ("5", "123456789"),
                                              ("0.5", "1"), ("1e2", "3")])
def test_every_length_of_a_number(price, quantity, orders):
    pair = Pair()
    pair.apply(frame(101))
    for version in (102, 103):
        rows = [(price, quantity, orders), ("150.5", "3", "1")]
        outcome = pair.apply(frame(version, rows))
        assert outcome in ("APPLIED", "NEED_SNAPSHOT") or "63 bits" in outcome
        if pair.quick.state.name != "LIVE":
            return


@pytest.mark.parametrize("outer", [("channel", "symbol", "ts", "data"),
                                   ("data", "symbol", "channel", "ts"),
                                   ("symbol", "ts", "data", "channel")])
def test_levels_at_the_very_end_of_a_text(outer):
    pair = Pair()
    order = ("version", "end", "begin", "asks", "bids")
    for n in range(1, 60):
        bids = [("90.25", 10**(n % 9), n % 3)] * (n % 4)
        assert pair.apply(frame(100 + n, [("150.5", n, 1)], bids, order, outer)) == "APPLIED"


def test_a_text_is_not_read_beyond_its_end():
    """Each frame lies in a larger buffer whose next bytes would go on with the number."""
    pair = Pair()
    for n in range(1, 40):
        text = frame(100 + n, [("150.5", n, 1)], outer=("channel", "data", "symbol", "ts"))
        assert pair.apply(text) == "APPLIED"
        for cut in range(1, 30):
            assert pair.apply(frame(101 + n)[:-cut]).startswith("FrameError")


def test_members_that_come_twice():
    pair = Pair()
    for n in range(1, 40):
        twice = f',"version":{100 + n}'
        assert pair.apply(frame(100 + n, [(150, n, 1)], more=twice)) == "APPLIED"
    later = '"asks":[[160,1,1]],'
    for n in range(40, 80):
        text = frame(100 + n, [(150, n, 1)]).replace(b'"bids"', later.encode() + b'"bids"')
        assert pair.apply(text) == "APPLIED"
        assert pair.quick.asks()[-1][0] == 200.0


def test_unknown_members_are_part_of_a_shape():
    pair = Pair()
    for n in range(1, 60):
        more = f',"magStep":{n // 20},"more":{{"asks":[[1,1,1]]}}'
        assert pair.apply(frame(100 + n, [(150, n, 1)], more=more)) == "APPLIED"


def test_symbols_of_one_stream_may_differ():
    control = Control()
    reader = Reader(control)
    books = {}
    for name in (SYMBOL, "ETH_USDT", "A_USDT", "X" * 60):
        books[name] = reader.route(name).book = OrderBook(name)
        books[name].load_snapshot(FIRST)
    for n in range(1, 100):
        for name, book in books.items():
            reader.feed_bytes(frame(100 + n, [(150, n, 1)], symbol=name), 7)
            assert (book.version, book.asks()[0]) == (100 + n, (150.0, float(n), 1))
    reader.feed_bytes(frame(300, symbol="NOBODY"), 7)
    assert (reader.unrouted, reader.malformed, control.faults) == (1, 0, [])


class Whole(Listener):
    def __init__(self):
        super().__init__()
        self.briefs, self.tails, self.events = [], [], []

    def on_frame(self, frame, ts_recv_ns):
        self.briefs.append(frame.brief)
        self.tails.append(frame.tail(6))

    def on_event(self, event):
        self.events.append(event.to_dict())


@pytest.mark.parametrize("has_book", [True, False])
def test_listeners_get_whole_frames(has_book):
    reader = Reader(Control())
    if has_book:
        reader.route(SYMBOL).book = OrderBook(SYMBOL)
        reader.route(SYMBOL).book.load_snapshot(FIRST)
    whole = Whole()
    reader.listen("push.depth", SYMBOL, whole)
    texts = [frame(100 + n, [(150, n, 1)], [(99.5, n, 2)]) for n in range(1, 20)]
    for text in texts:
        reader.feed_bytes(text, 7)
    assert whole.briefs == [False] * len(texts)
    assert whole.tails == [text[-6:] for text in texts]
    assert whole.events == ([] if has_book else [json.loads(text) for text in texts])
    assert [parse_frame(text).to_dict() for text in texts] == [json.loads(text) for text in texts]


def test_frames_of_other_channels_come_between():
    reader = Reader(Control())
    book = reader.route(SYMBOL).book = OrderBook(SYMBOL)
    book.load_snapshot(FIRST)
    for n in range(1, 60):
        reader.feed_bytes(b'{"channel":"pong","data":1587453241453}', 1)
        reader.feed_bytes(frame(100 + n, [(150, n, 1)]), 1)
        reader.feed_bytes(b'{"channel":"push.deal","data":{"M":1,"O":1,"T":1,"p":%d,"t":1,"v":2},'
                          b'"symbol":"BTC_USDT","ts":1587442022003}' % n, 1)
    assert (book.version, book.best_ask_quantity, reader.malformed) == (159, 59.0, 0)

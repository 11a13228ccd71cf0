"""core/arbiter: each event once from several sockets, holes filled, repeats kept."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mexcfast.core.arbiter import Arbiter
from mexcfast.core.listener import Listener
from mexcfast.core.reader import Reader
from mexcfast.errors import FrameError
from models.arbiter_model import ArbiterModel, plain
from models.frames import Control, depth

BTC = "BTC_USDT"
MS = 1_000_000
SECOND = 1000 * MS


def frame(channel, data, ts=None, symbol=BTC):
    whole = {"symbol": symbol, "data": data, "channel": channel}
    return json.dumps(whole if ts is None else whole | {"ts": ts}).encode()


def deal(number=None, price=1.5, side=1):
    row = {"p": price, "v": 2, "T": side, "O": 1, "M": 2, "t": 3}
    return row if number is None else row | {"i": str(number)}


def price(value, ts=None):
    return frame("push.index.price", {"symbol": BTC, "price": value}, ts)


def two(channel, **more):
    arbiter = Arbiter(channel, **more)
    assert (arbiter.join(0), arbiter.join(0)) == (0, 1)
    return arbiter


def test_the_second_copy_is_dropped_and_its_lateness_counted():
    arbiter = two("push.deal")
    text = frame("push.deal", [deal(7)], 1)
    assert arbiter.offer(text, 0, 10 * MS) == text
    assert arbiter.offer(text, 1, 13 * MS) is None
    first, second = arbiter.counts(0), arbiter.counts(1)
    assert (first.first, first.copies, second.first, second.copies) == (1, 0, 0, 1)
    assert (second.late_sum_ns, second.late_max_ns) == (3 * MS, 3 * MS)
    assert second.lateness.index(1) == 12, "3000 us lie between 2**11 and 2**12"
    assert sum(second.lateness) == 1


def test_a_hole_is_filled_from_the_other_path():
    arbiter = two("push.deal")
    frames = [frame("push.deal", [deal(n)], n) for n in range(5)]
    told = [arbiter.offer(frames[n], 0, n * MS) for n in (0, 1, 3, 4)]
    told += [arbiter.offer(frames[n], 1, (9 + n) * MS) for n in range(5)]
    assert [text for text in told if text] == [frames[n] for n in (0, 1, 3, 4, 2)]


def test_only_the_new_records_of_a_list_are_delivered_as_the_venue_wrote_them():
    arbiter = two("push.deal")
    arbiter.offer(frame("push.deal", [deal(2), deal(4)], 1), 0, 0)
    text = (b'{"ts":2,"data" : [ {"i":"1","p":1.50}, {"i":2,"p":1} , {}, {"p": 84062.60 ,"i":"3"},'
            b'{"i":"4"},{"i":"5","x":{"a":"}{"}} ] ,"channel":"push.deal","symbol":"BTC_USDT"}')
    got = arbiter.offer(text, 1, 1)
    assert plain(got)["data"] == [row for row in plain(text)["data"] if row.get("i") in
                                  ("1", "3", "5")]
    assert b"84062.60" in got and b"1.50" in got
    assert arbiter.offer(got, 0, 2) is None


def test_equal_trades_without_ids_are_two_trades():
    arbiter = two("push.deal")
    pair = frame("push.deal", [deal(), deal()], 1)
    assert arbiter.offer(pair, 0, 0) == pair
    assert arbiter.offer(pair, 1, 1) is None
    assert arbiter.offer(pair, 0, 2) == pair, "the path tells of a third and a fourth"
    assert arbiter.offer(pair, 1, 3) is None


def test_a_price_that_comes_back_is_no_copy():
    for stamped in (True, False):
        arbiter = two("push.index.price")
        frames = [price(value, n if stamped else None) for n, value in enumerate((9, 8, 9, 8))]
        assert [arbiter.offer(text, 0, n) for n, text in enumerate(frames)] == frames
        assert [arbiter.offer(text, 1, 9 + n) for n, text in enumerate(frames)] == [None] * 4


def test_each_socket_stamping_for_itself_is_coped_with():
    arbiter = two("push.index.price")
    assert arbiter.offer(price(9, 100), 0, 0)
    assert arbiter.offer(price(9, 103), 1, 1) is None
    assert arbiter.offer(price(8, 200), 0, 2)
    assert arbiter.offer(price(9, 300), 0, 3), "second time on this path"
    assert arbiter.offer(price(8, 203), 1, 4) is None
    assert arbiter.offer(price(9, 303), 1, 5) is None


def test_one_stamp_for_all_tells_a_repeat_behind_a_hole_from_a_copy():
    arbiter = two("push.ticker")
    same = {"symbol": BTC, "lastPrice": 5}
    assert arbiter.offer(frame("push.ticker", same, 1), 0, 0)
    assert arbiter.offer(frame("push.ticker", same, 1), 1, 1) is None
    assert arbiter.offer(frame("push.ticker", same, 2), 0, 2)
    assert arbiter.offer(frame("push.ticker", same, 3), 1, 3), "not a late copy of the one at 2"
    assert arbiter.offer(frame("push.ticker", same, 3), 0, 4) is None


def test_a_copy_later_than_the_horizon_is_a_repeat():
    arbiter = two("push.index.price", horizon_ns=SECOND)
    assert arbiter.offer(price(9), 0, 0)
    assert arbiter.offer(price(9), 1, SECOND + 1)


def test_an_old_state_is_not_delivered_after_a_newer_one():
    arbiter = two("push.depth.full")
    full = [frame("push.depth.full", {"asks": [[1, n, 1]], "bids": [], "version": n})
            for n in range(5)]
    assert arbiter.offer(full[1], 0, 0) and arbiter.offer(full[3], 0, 1)
    assert arbiter.offer(full[2], 1, 2) is None, "superseded"
    assert arbiter.offer(full[3], 1, 3) is None, "a copy"
    assert arbiter.offer(full[4], 1, 4)
    assert arbiter.counts(1).superseded == 1 and arbiter.counts(1).copies == 1
    restarted = frame("push.depth.full", {"asks": [], "bids": [], "version": 0})
    assert arbiter.offer(restarted, 1, 5), "the path itself went back: the venue numbers anew"


def test_intervals_of_candles_do_not_supersede_each_other():
    arbiter = two("push.kline")
    assert arbiter.offer(frame("push.kline", {"interval": "Min1", "c": 1}, 50), 0, 0)
    assert arbiter.offer(frame("push.kline", {"interval": "Min5", "c": 1}, 40), 1, 1)
    assert arbiter.offer(frame("push.kline", {"interval": "Min1", "c": 2}, 45), 1, 2) is None


def test_the_order_of_members_does_not_matter():
    arbiter = two("push.personal.order")
    assert arbiter.offer(b'{"channel":"push.personal.order","data":{"orderId":"1","state":2},'
                         b'"ts":5}', 0, 0)
    assert arbiter.offer(b'{"ts":5,"data":{"state":2,"orderId":"1"},'
                         b'"channel":"push.personal.order"}', 1, 1) is None
    assert arbiter.offer(b'{"channel":"push.personal.order","data":{"orderId":"2","state":1},'
                         b'"ts":5}', 1, 2)


def test_a_path_that_left_makes_room_and_forgets_what_it_had():
    arbiter = two("push.index.price")
    assert arbiter.offer(price(9), 0, 0) and arbiter.offer(price(9), 1, 1) is None
    arbiter.leave(1)
    assert arbiter.n_paths == 1
    assert arbiter.join(5) == 1
    assert arbiter.offer(price(9), 1, 6), "it joined after the first 9 was sent"
    for _ in range(6):
        arbiter.join(7)
    with pytest.raises(ValueError, match="8 paths"):
        arbiter.join(7)
    with pytest.raises(ValueError, match="path is 8"):
        arbiter.leave(8)


def test_the_window_is_bounded_and_holes_are_counted():
    arbiter = two("push.deal", capacity=64)
    for number in range(300):
        text = frame("push.deal", [deal(number)], number)
        assert arbiter.offer(text, 0, number)
        if number % 2:
            assert arbiter.offer(text, 1, number) is None
    assert arbiter.remembered == 64
    assert arbiter.counts(1).holes == (300 - 64) // 2
    assert arbiter.counts(0).holes == 0


@pytest.mark.parametrize("wrong", [{"channel": "pong"}, {"capacity": 65}, {"capacity": 32},
                                   {"horizon_ns": 0}, {"capacity": 1 << 21}])
def test_settings_are_checked(wrong):
    with pytest.raises(ValueError, match="allowed"):
        Arbiter(**{"channel": "push.deal"} | wrong)


def test_other_frames_are_refused():
    arbiter = two("push.deal")
    with pytest.raises(FrameError, match=r"no push\.deal"):
        arbiter.offer(price(1), 0, 0)
    with pytest.raises(FrameError):
        arbiter.offer(b"{", 0, 0)
    with pytest.raises(ValueError):
        arbiter.offer(price(1), -1, 0)


# -- against the model -----------------------------------------------------------------------------

CHANNELS = ("push.deal", "push.index.price", "push.kline", "push.depth.full", "push.ticker",
            "push.personal.asset")


def data_of(channel, number, value):
    if channel == "push.deal":
        return [deal(None if value == 0 else number + n, value) for n in range(1 + value)]
    if channel == "push.kline":
        return {"interval": ("Min1", "Min5")[number % 2], "c": value}
    if channel == "push.depth.full":
        return {"asks": [[1, value, 1]], "bids": [], "version": number}
    return {"symbol": BTC, "price": value}


@settings(max_examples=300, deadline=None)
@given(channel=st.sampled_from(CHANNELS), stamps=st.sampled_from(("shared", "own", "none")),
       steps=st.lists(st.tuples(st.integers(0, 2), st.integers(0, 40), st.integers(0, 2),
                                st.integers(0, 30)), max_size=60))
def test_agrees_with_the_model(channel, stamps, steps):
    """Any paths bring anything in any order."""
    arbiter, model = Arbiter(channel, horizon_ns=200), ArbiterModel(channel, 200)
    for _ in range(3):
        model.join(arbiter.join(0), 0)
    now = 0
    for path, number, value, pause in steps:
        now += pause
        ts = {"shared": number, "own": number + 7 * path, "none": None}[stamps]
        text = frame(channel, data_of(channel, number, value), ts)
        wanted = model.offer(json.loads(text), path, now)
        got = arbiter.offer(text, path, now)
        told = [] if got is None else json.loads(got)["data"]
        assert (told if isinstance(told, list) else [told]) == wanted


@settings(max_examples=200, deadline=None)
@given(channel=st.sampled_from(("push.deal", "push.personal.asset")),
       values=st.lists(st.integers(0, 2), min_size=1, max_size=30),
       lost=st.lists(st.tuples(st.booleans(), st.booleans()), min_size=30, max_size=30),
       order=st.randoms(use_true_random=False))
def test_every_event_that_any_path_brought_is_told_once(channel, values, lost, order):
    """One truth, two lossy sockets with one stamp, merged at any speed."""
    truth = [frame(channel, data_of(channel, 10 * n, value), n) for n, value in enumerate(values)]
    arbiter = two(channel)
    queues = [[text for text, gone in zip(truth, lost, strict=False) if not gone[path]]
              for path in (0, 1)]
    shared = truth[0]                        # both carry the first: the stamp is proven
    told = [text for path in (0, 1) if (text := arbiter.offer(shared, path, 0))]
    queues = [[text for text in queue if text != shared] for queue in queues]
    now = 1
    while any(queues):
        path = order.choice([n for n in (0, 1) if queues[n]])
        text = arbiter.offer(queues[path].pop(0), path, now)
        now += 1
        if text is not None:
            told.append(text)
    wanted = [text for text, gone in zip(truth, lost, strict=False)
              if text == shared or not all(gone)]
    rows = [json.dumps(row) for text in told for row in rows_of(text)]
    assert sorted(rows) == sorted(json.dumps(row) for text in wanted for row in rows_of(text))


def rows_of(text):
    whole = json.loads(text)
    data = whole["data"] if isinstance(whole["data"], list) else [whole["data"]]
    return [{**row, "ts": whole["ts"]} for row in data]


# -- in the reader ---------------------------------------------------------------------------------

class Me(Listener):
    def __init__(self):
        self.events, self.frames = [], 0

    def on_event(self, event):
        self.events.append(event)

    def on_frame(self, message, ts_recv_ns):
        self.frames += 1


def readers(channel, symbol=BTC):
    me, arbiter, pair = Me(), Arbiter(channel), []
    for _ in range(2):
        reader = Reader(Control())
        reader.listen(channel, symbol, me)
        reader.route(symbol).arbitrate(channel, arbiter, arbiter.join(0))
        pair.append(reader)
    return me, pair


def test_two_readers_tell_a_listener_once():
    me, (one, other) = readers("push.deal")
    one.feed_bytes(frame("push.deal", [deal(1), deal(3)], 1), 1)
    other.feed_bytes(frame("push.deal", [deal(1), deal(2), deal(3)], 1), 2)
    one.feed_bytes(frame("push.deal", [deal(2)], 1), 3)
    assert [[row.trade_id for row in event.deals] for event in me.events] == [[1, 3], [2]]
    assert me.frames == 2
    assert (one.arbitrated, other.arbitrated) == (1, 1)
    one.route(BTC).arbitrate("push.deal", None)
    one.feed_bytes(frame("push.deal", [deal(2)], 1), 4)
    assert len(me.events) == 3
    with pytest.raises(ValueError, match="allowed"):
        one.route(BTC).arbitrate("push.nothing", None)


def test_a_channel_without_a_contract():
    me, (one, other) = readers("push.tickers", "")
    text = frame("push.tickers", [{"symbol": BTC, "lastPrice": 1}], 5, symbol=None)
    for reader in (one, other, one):
        reader.feed_bytes(text.replace(b'"symbol": null, ', b""), 1)
    assert len(me.events) == 2, "the third is a repeat on its path"


def test_depth_frames_reach_frame_listeners_once():
    me, (one, other) = readers("push.depth")
    for reader in (one, other, other, one):
        reader.feed_bytes(depth(5, 6), 1)
    assert me.frames == 1 and len(me.events) == 1

"""core/depth against a dict-and-sort model: random histories must agree after every step."""

from __future__ import annotations

import json
from decimal import Decimal
from functools import partial
from math import isclose

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from mexcfast.core.depth import Change, OrderBook, State
from mexcfast.errors import BookError, FrameError
from models import json_model
from models.book_model import BookModel, Frame, Level
from models.frames import SYMBOL, commits_text, frame_text, levels, snapshot_text

VECTORS = {v["name"]: v["text"] for v in json_model.vectors("server->client")}
REST = {json.loads(line)["name"]: line[line.index('"response": ') + 12:line.rindex("}")]
        for line in (json_model.DATA / "rest_responses.jsonl").read_text().splitlines()}


@pytest.fixture(autouse=True, params=["arrays", "ladder"])
def each_storage(request, monkeypatch):
    """Everything below runs on both storages."""
    monkeypatch.setitem(globals(), "OrderBook", partial(OrderBook, storage=request.param))


def exact_levels(book: OrderBook) -> tuple[list[Level], list[Level]]:
    bids, asks = book.exact()
    return tuple([(Decimal(p).scaleb(-book.price_scale), Decimal(q).scaleb(-book.quantity_scale), n)
                  for p, q, n in side] for side in (bids, asks))


def close(ours: float | None, theirs: float | None) -> bool:
    if ours is None or theirs is None:
        return ours is theirs
    return isclose(ours, theirs, rel_tol=1e-12, abs_tol=0.0)


def agree(book: OrderBook, model: BookModel, volumes=(Decimal(1), Decimal("7.25"))) -> None:
    """Everything a reader can ask."""
    assert book.state.name == model.state
    assert book.version == model.version
    bids, asks = model.levels("bids"), model.levels("asks")
    assert exact_levels(book) == (bids, asks)
    assert book.depth == (len(bids), len(asks))
    assert book.is_live is (model.state == "LIVE" and not model.was_crossed)
    assert book.is_crossed_now is model.was_crossed
    assert book.missing == model.missing()
    assert book.pending_frames == len(model.waiting)
    floats = [[(float(p), float(q), n) for p, q, n in side] for side in (bids, asks)]
    assert [book.bids(), book.asks()] == floats
    for n in (0, 1, 3, 10**12):
        assert [book.bids(n), book.asks(n)] == [side[:n] for side in floats]
    arrays = book.as_numpy()
    assert [a.shape for a in arrays] == [(len(side), 3) for side in floats]
    assert [[tuple(row) for row in a.tolist()] for a in arrays] == floats
    assert [a.tolist() for a in book.as_numpy(2)] == [a[:2].tolist() for a in arrays]
    top_bid, top_ask = (bids[0] if bids else None), (asks[0] if asks else None)
    assert book.best_bid == (float(top_bid[0]) if top_bid else None)
    assert book.best_ask == (float(top_ask[0]) if top_ask else None)
    assert book.best_bid_quantity == (float(top_bid[1]) if top_bid else None)
    assert book.best_ask_quantity == (float(top_ask[1]) if top_ask else None)
    if top_bid and top_ask:
        (bid, bid_quantity, _), (ask, ask_quantity, _) = top_bid, top_ask
        assert close(book.mid, float((bid + ask) / 2))
        assert book.spread == float(ask - bid)
        assert close(book.microprice, float((bid * ask_quantity + ask * bid_quantity)
                                            / (bid_quantity + ask_quantity)))
    else:
        assert book.mid is book.spread is book.microprice is None
    for side in ("buy", "sell"):
        for volume in volumes:
            assert close(book.average_price(side, volume), model.average_price(side, volume))
        for limit in {p for p, _, _ in (bids + asks)[::4]} | {Decimal("100.0005"), Decimal(1)}:
            assert book.volume_to(side, limit) == model.volume_to(side, limit)
    for price, quantity, _ in bids[:2]:
        assert book.quantity_at("bid", price) == float(quantity)
        if price < 10**6:
            assert book.quantity_at("bid", price + Decimal("0.00001")) == 0.0
    for price, quantity, _ in asks[:2]:
        assert book.quantity_at("ask", price) == float(quantity)


prices = st.builds(lambda n, k: Decimal(n).scaleb(-k).normalize() + 0,
                   st.integers(9_000, 11_500), st.just(2)) | st.integers(98, 103).map(Decimal)
fine_prices = st.builds(lambda p, n: p + Decimal(n).scaleb(-6), prices, st.integers(0, 9))
quantities = (st.integers(0, 20).map(Decimal) | st.just(Decimal(0))
              | st.builds(lambda n: Decimal(n).scaleb(-2), st.integers(0, 500)))


@st.composite
def changes(draw, bid_limit=Decimal("101"), ask_limit=Decimal("100")):
    """(asks, bids) of one version. Sides meet between 100 and 101, so some versions cross."""
    def side(keep):
        found = {}
        for _ in range(draw(st.integers(0, 3))):
            price = draw(prices if draw(st.integers(0, 9)) else fine_prices)
            if keep(price):
                found[price] = (price, draw(quantities), draw(st.integers(-1, 9)))
        return list(found.values())
    return side(lambda p: p >= ask_limit), side(lambda p: p <= bid_limit)


class Histories(RuleBasedStateMachine):
    """A venue that tells the truth, a network that does not deliver it well."""

    @initialize(strict=st.booleans(), merged=st.booleans(), crossing=st.booleans())
    def begin(self, strict, merged, crossing):
        self.book = OrderBook(SYMBOL, strict=strict)
        self.model = BookModel(strict=strict)
        self.merged = merged
        self.limits = ({} if crossing else
                       {"bid_limit": Decimal("99.99"), "ask_limit": Decimal("100")})
        self.base = 1000
        self.commits: list[tuple[int, list[Level], list[Level]]] = []
        self.truth = BookModel()
        self.truths: dict[int, tuple[list[Level], list[Level]]] = {self.base: ([], [])}
        self.sent = self.base          # last version the stream has passed
        self.past: list[Frame] = []
        self.held: list[Frame] = []
        self.is_true = strict          # a lenient book that skipped is not expected to be right

    # -- the venue --------------------------------------------------------------------------------

    def more(self, data, count):
        for _ in range(count):
            asks, bids = data.draw(changes(**self.limits))
            version = self.base + len(self.commits) + 1
            self.commits.append((version, asks, bids))
            self.truth.put(asks, bids)
            self.truths[version] = (self.truth.levels("asks"), self.truth.levels("bids"))

    def frame(self, first, last) -> Frame:
        asks: dict[Decimal, Level] = {}
        bids: dict[Decimal, Level] = {}
        for version, some_asks, some_bids in self.commits:
            if first <= version <= last:
                asks |= {level[0]: level for level in some_asks}
                bids |= {level[0]: level for level in some_bids}
        return Frame(first, last, list(asks.values()), list(bids.values()),
                     has_range=self.merged)

    def deliver(self, frame: Frame) -> None:
        change = self.book.apply(frame_text(frame), frame.end)
        assert change.name == self.model.apply(frame)

    # -- the network ------------------------------------------------------------------------------

    @rule(data=st.data(), count=st.integers(1, 4))
    def next_frame(self, data, count):
        self.more(data, count)
        steps = [count] if self.merged else [1] * count
        for step in steps:
            frame = self.frame(self.sent + 1, self.sent + step)
            self.sent += step
            self.past.append(frame)
            self.deliver(frame)

    @rule(data=st.data(), count=st.integers(1, 3))
    def lose_or_hold(self, data, count):
        self.more(data, count)
        frame = self.frame(self.sent + 1, self.sent + count)
        self.sent += count
        if data.draw(st.booleans()) and (self.merged or count == 1):
            self.held.append(frame)

    @precondition(lambda self: self.held)
    @rule(data=st.data())
    def deliver_late(self, data):
        frame = self.held.pop(data.draw(st.integers(0, len(self.held) - 1)))
        self.past.append(frame)
        self.deliver(frame)

    @precondition(lambda self: self.past)
    @rule(data=st.data())
    def deliver_again(self, data):
        self.deliver(self.past[data.draw(st.integers(max(0, len(self.past) - 5),
                                                     len(self.past) - 1))])

    # -- REST -------------------------------------------------------------------------------------

    @rule(data=st.data(), extra=st.integers(0, 2))
    def snapshot(self, data, extra):
        self.more(data, extra)       # REST is ahead of the stream: the snapshot falls into a range
        newest = self.base + len(self.commits)
        version = data.draw(st.integers(max(self.base, newest - 6), newest) | st.just(newest))
        asks, bids = self.truths[version]
        change = self.book.load_snapshot(snapshot_text(version, asks, bids), 5)
        assert change.name == self.model.load_snapshot(version, asks, bids)

    @precondition(lambda self: self.commits)
    @rule(data=st.data(), fault=st.sampled_from(["none"] * 4 + ["late", "hole", "early", "twice"]),
          newest_first=st.booleans())
    def commits_answer(self, data, fault, newest_first):
        some = list(self.commits)
        if fault == "late":
            some = some[data.draw(st.integers(0, len(some) - 1)):]
        elif fault == "early":
            some = some[:data.draw(st.integers(0, len(some) - 1))]
        elif fault == "hole":
            del some[data.draw(st.integers(0, len(some) - 1))]
        elif fault == "twice":
            some.append(some[data.draw(st.integers(0, len(some) - 1))])
        some = some[::-1] if newest_first else data.draw(st.permutations(some))
        change = self.book.load_commits(commits_text(some), 6)
        assert change.name == self.model.load_commits(some)

    @rule(how=st.sampled_from(["reset"] * 2 + ["suspend", "expect_snapshot"] + ["stop"]))
    def control(self, how):
        getattr(self.book, how)()
        if how == "expect_snapshot":
            if self.model.state == "INIT":
                self.model.state = "SYNCING"
        else:
            getattr(self.model, how)()
        if how == "stop":
            self.book.reset()
            self.model.reset()

    @invariant()
    def all_reads_agree(self):
        if hasattr(self, "book"):
            agree(self.book, self.model)

    @invariant()
    def the_book_is_the_venues(self):
        if hasattr(self, "book") and self.is_true and self.book.version >= 0:
            asks, bids = self.truths[self.book.version]
            assert exact_levels(self.book) == (bids, asks), "book(snapshot + increments) is wrong"


def test_histories():
    run_state_machine_as_test(
        Histories, settings=settings(max_examples=150, stateful_step_count=30, deadline=None))


# -- named examples -------------------------------------------------------------------------------

class Both:
    """A book and its model, fed the same and compared after each step."""

    def __init__(self, *, strict: bool = True) -> None:
        self.book = OrderBook(SYMBOL, strict=strict)
        self.model = BookModel(strict=strict)

    def apply(self, begin, end, asks=(), bids=(), has_range=True) -> str:
        frame = Frame(begin, end, levels(*asks), levels(*bids), has_range)
        got = self.book.apply(frame_text(frame))
        assert got.name == self.model.apply(frame)
        agree(self.book, self.model)
        return got.name

    def snapshot(self, version, asks=(), bids=()) -> str:
        got = self.book.load_snapshot(snapshot_text(version, levels(*asks), levels(*bids)))
        assert got.name == self.model.load_snapshot(version, levels(*asks), levels(*bids))
        agree(self.book, self.model)
        return got.name

    def commits(self, *commits) -> str:
        some = [(v, levels(*a), levels(*b)) for v, a, b in commits]
        got = self.book.load_commits(commits_text(some))
        assert got.name == self.model.load_commits(some)
        agree(self.book, self.model)
        return got.name


def live(*, strict: bool = True) -> Both:
    both = Both(strict=strict)
    assert both.snapshot(100, asks=[(11, 7)], bids=[(10, 5)]) == "APPLIED"
    return both


def test_worked_example_of_protocol_10_3():
    both = live()
    assert both.apply(99, 101, asks=[(11, 4)]) == "APPLIED"
    assert both.apply(102, 102, bids=[(10, 0)]) == "APPLIED"
    assert both.apply(105, 106, asks=[(11, 0), (12, 3)]) == "NEED_REPAIR"
    assert both.book.missing == (103, 104)
    assert both.commits((106, [(12, 3)], []), (105, [(11, 0)], []), (104, [(11, 1)], []),
                        (103, [], [(9, 2)])) == "APPLIED"
    assert (both.book.version, both.book.bids(), both.book.asks()) == (
        106, [(9.0, 2.0, 1)], [(12.0, 3.0, 1)])
    assert (both.book.gaps, both.book.repairs, both.book.snapshots) == (1, 1, 1)


def test_an_empty_book():
    book = OrderBook(SYMBOL)
    agree(book, BookModel())
    assert (book.state, book.version, book.age_ns(5), book.missing) == (State.INIT, -1, None, None)
    both = Both()
    assert both.snapshot(5) == "APPLIED"
    assert both.book.is_live
    assert both.apply(6, 6) == "APPLIED"


def test_one_level():
    both = Both()
    both.snapshot(5, bids=[(10, 1)])
    assert both.apply(6, 6, asks=[(11, 1)]) == "APPLIED"
    assert both.apply(7, 7, asks=[(11, 0)], bids=[(10, 0)]) == "APPLIED"
    assert both.apply(8, 8, asks=[(11, 0)], bids=[(10, 0)]) == "APPLIED", "deleted twice"
    assert both.book.depth == (0, 0)


def test_the_same_price_twice_in_one_frame():
    both = live()
    both.apply(101, 101, asks=[(12, 1), (12, 2), (13, 1), (13, 0)])
    assert both.book.asks() == [(11.0, 7.0, 1), (12.0, 2.0, 1)]


def test_full_depth():
    both = Both()
    asks = [(100 + n / 10, n + 1) for n in range(1500)]
    bids = [(99.9 - n / 100, n + 1) for n in range(1500)]
    both.snapshot(5, asks=asks[::-1], bids=bids)
    assert both.apply(6, 9, asks=[(p, 0) for p, _ in asks[::2]],
                      bids=[(p, 2 * q) for p, q in bids[::3]]) == "APPLIED"
    assert both.apply(10, 10, asks=asks, bids=[(p, 0) for p, _ in bids]) == "APPLIED"
    assert both.book.depth == (0, 1500)


def test_crossed_for_one_frame():
    both = live()
    assert both.apply(101, 101, bids=[(11, 1)]) == "APPLIED"
    assert (both.book.state, both.book.is_live, both.book.is_crossed_now) == (
        State.LIVE, False, True)
    assert both.apply(102, 102, asks=[(11, 0), (12, 1)]) == "APPLIED"
    assert both.book.is_live
    assert both.book.crossings == 0


def test_crossed_for_two_frames():
    both = live()
    both.apply(101, 101, bids=[(12, 1)])
    assert both.apply(102, 102, bids=[(9, 1)]) == "NEED_SNAPSHOT"
    assert (both.book.state, both.book.crossings) == (State.SYNCING, 1)
    assert both.apply(103, 103) == "BUFFERED"
    assert both.snapshot(101) == "NEED_SNAPSHOT", "older than the book"
    assert both.snapshot(102, asks=[(13, 1)], bids=[(12, 1)]) == "APPLIED"
    assert both.book.is_live


def test_a_crossed_snapshot():
    both = Both()
    assert both.snapshot(5, asks=[(10, 1)], bids=[(11, 1)]) == "APPLIED"
    assert not both.book.is_live
    assert both.apply(6, 6) == "NEED_SNAPSHOT"


def test_snapshots_that_lag_or_are_ahead():
    both = Both()
    assert both.apply(103, 104) == "NEED_SNAPSHOT"
    assert both.apply(105, 107, asks=[(12, 1)]) == "BUFFERED"
    assert both.snapshot(101, asks=[(11, 1)]) == "NEED_SNAPSHOT", "102 is missing"
    assert both.snapshot(102, asks=[(11, 1)]) == "APPLIED"
    assert both.book.version == 107
    assert both.snapshot(107) == "STALE"
    assert both.snapshot(106) == "STALE"
    assert both.snapshot(110, asks=[(13, 1)]) == "APPLIED", "REST was ahead of the stream"
    assert both.apply(108, 109) == "STALE"
    assert both.apply(109, 112, bids=[(9, 1)]) == "APPLIED", "it covers the snapshot's version"


def test_a_snapshot_with_a_gap_behind_it():
    both = Both()
    both.apply(103, 104)
    both.apply(108, 109)
    assert both.snapshot(103) == "NEED_REPAIR"
    assert both.book.missing == (105, 107)
    assert both.apply(105, 107) == "APPLIED"
    assert both.book.version == 109


def test_late_frames_close_a_gap():
    both = live()
    both.apply(105, 106)
    both.apply(109, 110)
    assert both.apply(107, 108) == "BUFFERED"
    assert both.apply(103, 104) == "BUFFERED"
    assert both.apply(101, 101) == "BUFFERED"
    assert both.book.missing == (102, 102)
    assert both.apply(102, 102) == "APPLIED"
    assert (both.book.version, both.book.repairs) == (110, 1)


@pytest.mark.parametrize("commits", [
    [], [(105, [], [])], [(102, [], []), (103, [], []), (104, [], [])],
    [(101, [], []), (103, [], []), (104, [], [])], [(101, [], []), (102, [], [])],
    [(99, [], []), (100, [], [])],
])
def test_commits_that_do_not_reach(commits):
    both = live()
    both.apply(105, 106, asks=[(12, 1)])
    assert both.commits(*commits) == "NEED_SNAPSHOT"
    assert (both.book.state, both.book.version) == (State.SYNCING, 100)
    assert both.snapshot(104, asks=[(11, 1)]) == "APPLIED", "the frames were kept"
    assert both.book.version == 106


def test_commits_that_nobody_needs():
    both = live()
    assert both.commits((101, [(11, 1)], [])) == "STALE"
    both.book.stop()
    both.model.stop()
    assert both.commits((101, [(11, 1)], [])) == "STALE"


def test_strict_and_lenient_single_versions():
    assert live().apply(103, 103, has_range=False) == "NEED_REPAIR"
    lenient = live(strict=False)
    assert lenient.apply(103, 103, asks=[(12, 1)], has_range=False) == "APPLIED"
    assert lenient.apply(101, 101, has_range=False) == "STALE"
    assert lenient.apply(104, 105) == "APPLIED"
    assert lenient.apply(107, 107, has_range=False) == "NEED_REPAIR", "a range was seen"


def test_a_lenient_book_becomes_live_on_a_skipping_stream():
    lenient = Both(strict=False)
    lenient.apply(103, 103, asks=[(12, 1)], has_range=False)
    lenient.apply(109, 109, asks=[(13, 1)], has_range=False)
    assert lenient.snapshot(101, asks=[(11, 1)]) == "APPLIED"
    assert (lenient.book.version, lenient.book.state) == (109, State.LIVE)


def test_a_later_snapshot_is_the_same_book():
    both = live()
    for n in range(101, 140):
        both.apply(n, n, asks=[(11 + n % 7 / 10, n % 5)], bids=[(9 + n % 9 / 10, n % 4)])
    other = OrderBook(SYMBOL)
    bids, asks = exact_levels(both.book)
    other.load_snapshot(snapshot_text(139, asks, bids))
    assert (other.bids(), other.asks(), other.version) == (
        both.book.bids(), both.book.asks(), both.book.version)


def test_extreme_integers():
    both = Both()
    both.snapshot(2**62, asks=[(2**62, 2**62)], bids=[(2**62 - 1, 1)])
    assert both.apply(2**62 + 1, 2**63 - 1, asks=[(2**63 - 1, 2**63 - 1)]) == "APPLIED"
    assert both.apply(2**63 - 1, 2**63 - 1) == "STALE"
    assert both.book.exact()[1][1][:2] == (2**63 - 1, 2**63 - 1)
    assert both.book.average_price("buy", 2**63 - 1) == pytest.approx(2**62 * 1.5, rel=1e-9)


def test_eighteen_decimals():
    both = Both()
    both.snapshot(1, asks=[("0.000000000000000003", "0.000000000000000005")],
                  bids=[("0.000000000000000001", 9)])
    assert both.book.price_scale == both.book.quantity_scale == 18
    assert both.apply(2, 2, asks=[("9.223372036854775807", 1)]) == "APPLIED"
    assert both.book.spread == 2e-18


def untouched(book: OrderBook):
    return (book.version, book.exact(), book.price_scale, book.quantity_scale, book.bids(),
            book.frames)


@pytest.mark.parametrize("asks, bids", [
    ([(10**18, 1)], [("0.5", 1)]),
    ([("0.5", 1)], [(10**18, 1)]),
    ([("0.000000000000000001", 1)], []),
    ([(12, "0.000000000000000001")], []),
    ([("0.25", 1)], [(10, "0.000000000000000001")]),
])
def test_a_frame_refused_for_size_leaves_the_book_untouched(asks, bids):
    book = OrderBook(SYMBOL)
    book.load_snapshot(snapshot_text(100, levels((11, 70)), levels((10, 50))))
    before = untouched(book)
    with pytest.raises(FrameError, match="BTC_USDT: a level does not fit 63 bits"):
        book.apply(frame_text(Frame(101, 101, levels(*asks), levels(*bids))))
    assert untouched(book) == before
    assert book.state is State.SYNCING, "a frame is lost: the book is not current any more"
    body = snapshot_text(101, levels((12, 1)), levels((10, 1)))
    assert book.load_snapshot(body) is Change.APPLIED
    assert book.apply(frame_text(Frame(102, 102, levels(("12.5", 1)), []))) is Change.APPLIED


def test_commits_and_kept_frames_refused_for_size():
    both = live()
    book = both.book
    book.apply(frame_text(Frame(103, 103, levels(("0.000000000000000001", 1)), [])))
    with pytest.raises(FrameError):
        book.load_commits(commits_text([(101, levels((12, 1)), []), (102, [], [])]))
    assert (book.state, book.version, book.pending_frames) == (State.SYNCING, 102, 0)
    book = live().book
    book.apply(frame_text(Frame(103, 103, [], [])))
    with pytest.raises(FrameError):
        book.load_commits(commits_text([(101, [], []), (102, levels((10**18, 1), ("1.5", 1)), [])]))
    assert (book.state, book.version, book.pending_frames) == (State.SYNCING, 101, 0)
    book = live().book
    before = untouched(book)
    with pytest.raises(FrameError, match="snapshot"):
        book.load_snapshot(snapshot_text(200, levels((10**18, 1), ("1.5", 1)), []))
    assert untouched(book) == before and book.state is State.LIVE


def test_too_many_frames_kept():
    book = OrderBook(SYMBOL)
    text = ('{"channel":"push.depth","data":{"asks":[],"bids":[],"version":%d},'
            '"symbol":"BTC_USDT","ts":1}')
    assert book.apply(text % 1) is Change.NEED_SNAPSHOT
    for version in range(2, 8193):
        assert book.apply(text % version) is Change.BUFFERED
    assert (book.pending_frames, book.overflows) == (8192, 0)
    assert book.apply(text % 8193) is Change.NEED_SNAPSHOT
    assert (book.pending_frames, book.overflows, book.state) == (0, 1, State.SYNCING)
    assert book.apply(text % 8194) is Change.BUFFERED
    assert book.load_snapshot(snapshot_text(8192, [], [])) is Change.NEED_SNAPSHOT
    assert book.load_snapshot(snapshot_text(8193, [], [])) is Change.APPLIED
    assert book.version == 8194
    assert book.apply(text % 9000) is Change.NEED_REPAIR
    for version in range(9001, 9000 + 8192):
        assert book.apply(text % version) is Change.BUFFERED
    assert book.apply(text % 20000) is Change.NEED_SNAPSHOT
    assert (book.state, book.overflows, book.version) == (State.SYNCING, 2, 8194)


def test_too_many_levels_kept():
    book = OrderBook(SYMBOL)
    big = ",".join(f"[{n},1]" for n in range(1, 180_001))
    text = ('{"channel":"push.depth","data":{"asks":[' + big + '],"bids":[],"version":%d},'
            '"symbol":"BTC_USDT","ts":1}')
    assert book.apply(text % 1) is Change.NEED_SNAPSHOT
    assert book.apply(text % 2) is Change.BUFFERED
    assert book.apply(text % 3) is Change.NEED_SNAPSHOT
    assert (book.pending_frames, book.overflows) == (0, 1)


def test_after_a_reset_nothing_is_left():
    both = live()
    both.apply(101, 101)
    both.book.reset()
    agree(both.book, BookModel())
    assert (both.book.ts_venue_ms, both.book.ts_recv_ns, both.book.ts_verified_ns) == (-1, 0, 0)
    assert both.book.state is State.INIT


def test_suspended_and_stopped_books_stay_readable():
    both = live()
    both.book.suspend()
    both.model.suspend()
    agree(both.book, both.model)
    assert (both.book.state, both.book.best_bid, both.book.is_live) == (State.SYNCING, 10.0, False)
    both.book.stop()
    both.model.stop()
    assert both.apply(101, 101) == "STALE"
    assert both.snapshot(200) == "STALE"
    both.book.suspend()
    assert both.book.state is State.STOPPED


def test_times_are_told():
    book = OrderBook(SYMBOL)
    book.load_snapshot(snapshot_text(5, [], []), 100)
    assert (book.ts_venue_ms, book.ts_recv_ns, book.ts_verified_ns, book.age_ns(350)) == (
        1, 100, 100, 250)
    book.apply(frame_text(Frame(6, 6, [], []), ts=77), 200)
    assert (book.ts_venue_ms, book.ts_recv_ns, book.ts_verified_ns, book.age_ns(350)) == (
        77, 200, 100, 150)
    book.load_snapshot(snapshot_text(6, [], []), 300)
    assert (book.ts_recv_ns, book.ts_verified_ns) == (200, 300)


def test_gzip_and_other_buffers():
    book = OrderBook("BTC_USDT")
    text = VECTORS["push_depth_2026_range"]
    book.load_snapshot(json_model.packed(snapshot_text(40949478000, [], [])))
    assert book.apply(json_model.packed(text)) is Change.APPLIED
    assert book.apply(bytearray(VECTORS["push_depth_2026_range_next"].encode())) is Change.APPLIED
    assert (book.bids(), book.asks()) == ([(84062.4, 77.0, 3)], [(84063.1, 120.0, 2)])


@pytest.mark.parametrize("name", ["depth_enveloped", "depth_limit_5_live",
                                  "depth_2021_bare_object"])
def test_snapshots_of_the_vectors(name):
    body = json.loads(REST[name])
    data = body.get("data", body)
    book = OrderBook(SYMBOL)
    assert book.load_snapshot(REST[name]) is Change.APPLIED
    assert book.version == data["version"]
    assert book.ts_venue_ms == data["timestamp"]
    for side, key in ((book.bids(), "bids"), (book.asks(), "asks")):
        assert side == sorted([(float(v[0]), float(v[1]), v[2] if len(v) > 2 else -1)
                               for v in data[key]], reverse=key == "bids")


def test_commits_of_the_vectors():
    book = OrderBook("ETH_USDT")
    frame = ('{"channel":"push.depth","symbol":"ETH_USDT","data":{"asks":[],"bids":[],"begin":%d,'
             '"end":%d,"version":%d}}')
    book.load_snapshot(snapshot_text(26457599294, [], []))
    assert book.apply(frame % ((26457599300,) * 3)) is Change.NEED_REPAIR
    assert book.load_commits(REST["depth_commits_descending"]) is Change.APPLIED
    assert book.version == 26457599300
    assert len(book.bids()) == 4


@pytest.mark.parametrize("body, match", [
    ('{"success":false,"code":510,"message":"Requests are too frequent"}', "too frequent"),
    ('{"success":"no","data":{"asks":[],"bids":[],"version":5}}', "refused"),
    ('{"success":true,"code":0}', "no version"),
    ('{"success":true,"data":null}', "no version"),
    ('{"success":true,"data":{"asks":[],"bids":[]}}', "no version"),
    ('{"success":true,"data":{"asks":[],"bids":[],"version":-5}}', "version"),
    ('{"success":true,"data":{"asks":[],"bids":[],"version":"x"}}', "version"),
    ('{"success":true,"data":{"asks":[],"bids":[],"version":1.5}}', "version"),
    ('{"success":true,"data":{"version":5}}', "asks"),
    ('{"success":true,"data":{"asks":[],"version":5}}', "bids"),
    ('{"success":true,"data":{"asks":null,"bids":[],"version":5}}', "asks"),
    ('{"success":true,"data":{"asks":[],"bids":{},"version":5}}', "bids"),
    ('{"success":true,"data":{"asks":[[1]],"bids":[],"version":5}}', "asks: a level"),
    ('{"success":true,"data":{"asks":[],"bids":[["x",1]],"version":5}}', "bids: a level"),
    ('{"success":true,"data":[{"asks":[],"bids":[],"version":5}]}', "no version"),
    ('{"asks":[[1,1]],"bids":[],"version":5,"data":null}', "no version"),
    ("[]", "object"), ("<html>", "object"), ("", "object"),
    (VECTORS["push_depth_2026_range"], "stream frame"), (VECTORS["pong"], "stream frame"),
])
def test_a_snapshot_that_is_none(body, match):
    book = live().book
    before = untouched(book)
    with pytest.raises(FrameError, match=match):
        book.load_snapshot(body)
    assert untouched(book) == before and book.state is State.LIVE


@pytest.mark.parametrize("body, match", [
    ('{"success":false,"code":510,"message":"too frequent"}', "refused"),
    ('{"success":true,"code":0}', "no list"),
    ('{"success":true,"data":{"asks":[],"bids":[],"version":101}}', "no list"),
    ('{"success":true,"data":"x"}', "no list"),
    ('{"success":true,"data":[1,2]}', "no list"),
    ('{"success":true,"data":[{"asks":[],"bids":[]}]}', "version"),
    ('{"success":true,"data":[{"asks":[],"bids":[],"version":"x"}]}', "version"),
    ('{"success":true,"data":[{"asks":[],"version":101}]}', "bids"),
    ('{"success":true,"data":[{"asks":"[]","bids":[],"version":101}]}', "asks"),
    ('{"success":true,"data":[{"asks":[[0,1]],"bids":[],"version":101}]}', "asks: a level"),
    (VECTORS["push_deal_list_live"], "stream frame"),
])
def test_commits_that_are_none(body, match):
    both = live()
    both.apply(103, 103)
    before = untouched(both.book)
    with pytest.raises(FrameError, match=match):
        both.book.load_commits(body)
    assert untouched(both.book) == before
    assert both.book.state is State.REPAIRING, "it may be asked again"
    assert both.commits((101, [], []), (102, [], [])) == "APPLIED"


def test_commits_null_is_an_empty_answer():
    both = live()
    both.apply(103, 103)
    assert both.book.load_commits('{"success":true,"data":null}') is Change.NEED_SNAPSHOT


@pytest.mark.parametrize("frame", [
    VECTORS["pong"], VECTORS["push_deal_list_live"], VECTORS["push_depth_full_live"],
    VECTORS["push_depth_empty_sides"], '{"success":true}',
    VECTORS["push_depth_2021"].replace("BTC_USDT", "BTC_USDTX"),
    VECTORS["push_depth_2021"].replace("BTC_USDT", "btc_usdt"),
])
def test_frames_that_are_not_of_this_book(frame):
    book = live().book
    before = untouched(book)
    with pytest.raises(BookError, match=r"no push.depth|XRP|allowed: BTC_USDT"):
        book.apply(frame)
    assert untouched(book) == before


@pytest.mark.parametrize("symbol", ["", None, 5])
def test_a_book_has_a_symbol(symbol):
    with pytest.raises((BookError, TypeError)):
        OrderBook(symbol)


def test_a_symbol_outside_ascii():
    book = OrderBook("永续_USDT")
    book.load_snapshot(snapshot_text(1, [], []))
    text = '{"channel":"push.depth","symbol":"%s","data":{"asks":[],"bids":[],"version":2}}'
    assert book.apply(text % "永续_USDT") is Change.APPLIED
    assert book.apply((text % "\\u6c38\\u7eed_USDT").replace('n":2', 'n":3')) is Change.APPLIED
    assert "永续_USDT LIVE version 3" in repr(book)

"""Live streams and tapes as hftbacktest's events: replayed depth is our book, level by level.

    pip install 'mexcfast[hftbacktest]' && python -m pytest tests/adapters/test_hftbacktest.py

runs the part that needs hftbacktest as well; elsewhere a plain model replays the events.
"""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import mexcfast as mx
from mexcfast import topics
from mexcfast.adapters import hftbacktest as adapter
from mexcfast.errors import ConfigError, MissingExtra, TapeError
from mexcfast.sim import Exchange
from models.event_model import EXCH, LOCAL, EventReplay

BTC, ETH = "BTC_USDT", "ETH_USDT"
NEEDS_HFTBACKTEST = [pytest.mark.framework("hftbacktest"),
                     pytest.mark.filterwarnings("ignore")]      # numba's own
DOCS = Path(__file__).parents[2] / "docs" / "adapters" / "hftbacktest.md"


class Samples(mx.Listener):
    """What a strategy saw: both sides each time the book could be trusted, and every trade."""

    def __init__(self) -> None:
        self.ns = 0
        self.books: dict[int, Any] = {}      # newest at each time of ours
        self.states = 0
        self.trades: list[tuple[int, float, float]] = []

    def on_frame(self, frame: Any, ts_recv_ns: int) -> None:
        if frame.begin >= 0 and frame.tag == 1:
            self.ns = max(self.ns, ts_recv_ns)

    def on_book(self, book: mx.OrderBook) -> None:
        self.ns = max(self.ns, book.ts_recv_ns, book.ts_verified_ns)
        self.books[self.ns] = levels(book)

    def on_book_state(self, book: mx.OrderBook, old: mx.State, new: mx.State) -> None:
        self.states += 1

    def on_event(self, event: mx.Event) -> None:
        if isinstance(event, mx.events.Deals):
            self.trades += [(deal.side, deal.price, deal.quantity) for deal in event.deals]


def levels(book: mx.OrderBook) -> Any:
    return tuple([(price, quantity) for price, quantity, _ in side]
                 for side in (book.bids(), book.asks()))


async def until(true: Any, seconds: float = 60) -> None:
    async with asyncio.timeout(seconds):
        while not true():  # noqa: ASYNC110 - nothing tells of it
            await asyncio.sleep(0.005)


async def session(folder: Path, seed: int) -> tuple[Samples, adapter.Converted]:
    """Faults of every kind; recorded live into live.npz and by a tape beside it."""
    seen = Samples()
    async with Exchange(seed=seed, symbols=(BTC, ETH), merge_ms=0, updates_per_second=200,
                        levels=60) as venue, mx.Client(venue.rest_url) as client:
        tape = client.record(folder / "tape")
        with adapter.Recorder(BTC, folder / "live.npz") as recorder:
            recorder.attach(client)
            client.subscribe(seen, [topics.depth(BTC, False), topics.deals(BTC, False),
                                    topics.depth(ETH)])
            client.unsubscribe(seen, topics.depth(ETH))
            client.subscribe(mx.Listener(), topics.depth(ETH))
            book = client.market.books[BTC]
            await until(lambda: book.is_live and book.frames > 40)
            venue.faults.drop("depth", BTC)
            await until(lambda: book.repairs > 0 and book.is_live)
            opened = client.market.pool.connections[0].opened
            venue.faults.cut()
            await until(lambda: client.market.pool.connections[0].opened > opened and book.is_live)
            snapshots = book.snapshots
            venue.faults.version_gap(BTC, 5)
            await until(lambda: book.snapshots > snapshots and book.is_live)
            for kind in ("garble", "duplicate", "reorder", "dribble"):
                getattr(venue.faults, kind)("depth", BTC)
                frames = book.frames
                await until(lambda frames=frames: book.frames > frames + 10 and book.is_live)
            await until(lambda: len(seen.trades) > 30 and len(seen.books) > 300)
            done = recorder.close()              # at the same moment as the tape, and as `seen`
            client.unsubscribe(seen, [topics.depth(BTC, False), topics.deals(BTC, False)])
            await tape.stop()
    return seen, done


@pytest.fixture(scope="module", params=[1, 2])
def recorded(request: Any, tmp_path_factory: Any) -> tuple[Path, Samples, adapter.Converted]:
    folder = tmp_path_factory.mktemp(f"seed{request.param}")
    return folder, *asyncio.run(session(folder, request.param))


def events_of(path: Path) -> Any:
    with np.load(path) as file:
        assert list(file) == ["data"]
        return file["data"]


def test_replayed_depth_is_our_book_level_by_level(recorded: Any) -> None:
    folder, seen, done = recorded
    events = events_of(folder / "live.npz")
    replay = EventReplay(events, LOCAL)
    assert done.shift_ns == 0 and len(seen.books) > 300 and seen.states >= 6
    for ns, book in seen.books.items():
        replay.until(ns)
        assert replay.book() == book, ns
    replay.until()
    at_exchange = EventReplay(events, EXCH)
    at_exchange.until()
    assert at_exchange.book() == replay.book()
    assert done.snapshots >= 4 and done.events == len(events)
    print(f"{len(seen.books)} books of {done.depth_rows} rows equal, {done.snapshots} snapshots")


def test_trades_are_all_there_with_the_takers_side(recorded: Any) -> None:
    folder, seen, done = recorded
    for which in (LOCAL, EXCH):
        replay = EventReplay(events_of(folder / "live.npz"), which)
        replay.until()
        assert sorted((1 if side == adapter.BUY else 2, price, quantity)
                      for _, side, price, quantity in replay.trades) == sorted(seen.trades)
    assert done.trades == len(seen.trades) > 30
    assert done.trade_volume == sum(quantity for _, _, quantity in seen.trades)


def test_times_are_in_order_for_both_clocks(recorded: Any) -> None:
    events = events_of(recorded[0] / "live.npz")
    assert events.dtype == adapter.EVENT and events.dtype.itemsize == 64
    for flag, column in ((EXCH, "exch_ts"), (LOCAL, "local_ts")):
        times = events[column][events["ev"] & flag == flag]
        assert (np.diff(times) >= 0).all()
    assert (events["local_ts"] >= events["exch_ts"]).all()
    assert not (events["exch_ts"] % adapter.NS_PER_MS).any()


def test_a_tape_gives_the_same_events(recorded: Any, tmp_path: Path) -> None:
    folder, _, live = recorded
    done = adapter.convert(folder / "tape", tmp_path / "again.npz", BTC)
    assert (events_of(tmp_path / "again.npz") == events_of(folder / "live.npz")).all()
    assert done.is_whole and done.events == live.events > 1000
    assert (done.first_ns, done.last_ns, done.trades) == (live.first_ns, live.last_ns, live.trades)


def test_a_tape_with_two_books_wants_a_name(recorded: Any, tmp_path: Path) -> None:
    folder = recorded[0]
    with pytest.raises(ConfigError, match="allowed for this tape: BTC_USDT, ETH_USDT"):
        adapter.convert(folder / "tape", tmp_path / "out.npz")
    with pytest.raises(TapeError, match="no LIVE book and no trade of SOL_USDT"):
        adapter.convert(folder / "tape", tmp_path / "out.npz", "SOL_USDT")
    with pytest.raises(TapeError, match="exists already"):
        adapter.convert(folder / "tape", folder / "live.npz", BTC)
    assert not list(tmp_path.iterdir())


def test_a_damaged_tape_is_said_to_be(recorded: Any, tmp_path: Path) -> None:
    (part,) = sorted((recorded[0] / "tape").glob("*.tape"))
    cut = tmp_path / part.name
    data = part.read_bytes()
    cut.write_bytes(data[:len(data) * 2 // 3])
    done = adapter.convert(cut, tmp_path / "out.npz", BTC)
    assert not done.is_whole and 0 < done.events < recorded[2].events
    whole = EventReplay(events_of(tmp_path / "out.npz"), LOCAL)
    whole.until()
    assert whole.book() in list(recorded[1].books.values())


def test_what_cannot_be_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="base_latency_ns is -1"):
        adapter.Recorder(BTC, tmp_path / "a.npz", base_latency_ns=-1)
    with pytest.raises(TapeError, match="cannot be written"):
        adapter.Recorder(BTC, tmp_path / "nowhere" / "a.npz")
    recorder = adapter.Recorder(BTC, tmp_path / "a.npz")
    with pytest.raises(TapeError, match="cannot be written"):
        adapter.Recorder(BTC, tmp_path / "a.npz")           # two would mix their rows
    recorder.close()
    assert len(events_of(tmp_path / "a.npz")) == 0
    with pytest.raises(ConfigError, match="closed already"):
        recorder.close()
    assert [each.name for each in tmp_path.iterdir()] == ["a.npz"]


def test_a_full_disk_stops_the_recording_and_nothing_else(tmp_path: Path, monkeypatch: Any,
                                                          caplog: Any) -> None:
    monkeypatch.setattr(adapter, "SPOOLED", 64)
    fed = Fed(tmp_path)
    real = fed.recorder._spool

    class Full:
        def write(self, rows: bytes) -> None:
            raise OSError(28, "No space left on device")

    fed.recorder._spool = Full()  # type: ignore[assignment]
    for version in range(11, 30):
        fed.frame(5000, "[[100.5,8,1]]", "[]", version, 6_001_000_000)
    assert not fed.recorder._rows and caplog.text.count("stopped") == 1
    fed.recorder._spool = real
    with pytest.raises(TapeError, match="No space left on device"):
        fed.recorder.close()
    assert not fed.recorder.path.exists()


FRAME = ('{"channel":"push.depth","symbol":"BTC_USDT","ts":%d,'
         '"data":{"asks":%s,"bids":%s,"version":%d}}')


class Fed:
    """A Recorder and a book without a socket."""

    def __init__(self, folder: Path) -> None:
        self.recorder = adapter.Recorder(BTC, folder / "fed.npz")
        self.listener: mx.Listener = self.recorder
        self.book = mx.OrderBook(BTC)
        self.book.load_snapshot('{"asks":[[100.5,7,1]],"bids":[[100.4,3,1]],"version":10,'
                                '"timestamp":5000}', 6_000_000_000)
        self.recorder.on_book(self.book)

    def frame(self, ts_ms: int, asks: str, bids: str, version: int, ns: int) -> None:
        text = FRAME % (ts_ms, asks, bids, version)

        class Frame:
            begin = end = version
            tag = 1

            def tail(self, n: int) -> bytes:
                return text.encode()

        Frame.ts_ms = ts_ms  # type: ignore[attr-defined]
        self.recorder.on_frame(Frame(), ns)
        old = self.book.state
        change = self.book.apply(text, ns)
        if self.book.state is not old:
            self.recorder.on_book_state(self.book, old, self.book.state)
        elif change is mx.Change.APPLIED and self.book.is_live:
            self.recorder.on_book(self.book)

    def close(self) -> Any:
        done = self.recorder.close()
        return done, events_of(done.path)


def test_a_crossed_moment_is_never_shown(tmp_path: Path) -> None:
    fed = Fed(tmp_path)
    fed.frame(5001, "[]", "[[100.6,2,1]]", 11, 6_001_000_000)       # bid above ask: not shown
    assert fed.book.is_crossed_now and fed.recorder.depth_rows == 3
    fed.frame(5002, "[[100.5,0,0],[100.7,4,1]]", "[]", 12, 6_002_000_000)
    done, events = fed.close()
    replay = EventReplay(events, LOCAL)
    replay.until(6_001_999_999)
    assert replay.book() == ([(100.4, 3)], [(100.5, 7)])            # as it was
    replay.until()
    assert replay.book() == levels(fed.book) == ([(100.6, 2), (100.4, 3)], [(100.7, 4)])
    assert done.snapshots == 1 and events["exch_ts"][-1] == 5_002_000_000


def test_deletions_come_first_within_a_frame(tmp_path: Path) -> None:
    fed = Fed(tmp_path)
    fed.frame(5001, "[[100.9,5,1],[100.5,0,0]]", "[[100.6,2,1]]", 11, 6_001_000_000)
    _, events = fed.close()
    assert [(row["px"], row["qty"]) for row in events[3:]] == [
        (100.5, 0), (100.6, 2), (100.9, 5)]


def test_a_price_named_twice_has_its_last_quantity(tmp_path: Path) -> None:
    fed = Fed(tmp_path)
    fed.frame(5001, "[[100.5,5,1],[100.5,0,0],[100.9,0,0],[100.9,4,1]]", "[]", 11, 6_001_000_000)
    _, events = fed.close()
    replay = EventReplay(events, LOCAL)
    replay.until()
    assert replay.book() == levels(fed.book) == ([(100.4, 3)], [(100.9, 4)])


def test_the_venues_time_never_runs_back_for_versions(tmp_path: Path) -> None:
    fed = Fed(tmp_path)
    fed.frame(4000, "[[100.5,8,1]]", "[]", 11, 6_001_000_000)       # "before" the snapshot
    fed.frame(4500, "[[100.5,9,1]]", "[]", 12, 6_002_000_000)
    _, events = fed.close()
    at_exchange = EventReplay(events, EXCH)
    at_exchange.until()
    assert at_exchange.book() == levels(fed.book)


def test_a_venue_whose_clock_is_ahead(tmp_path: Path) -> None:
    fed = Fed(tmp_path)
    fed.frame(9000, "[[100.5,8,1]]", "[]", 11, 6_001_000_000)
    done, events = fed.close()
    assert done.shift_ns == 2_999_000_000
    assert (events["local_ts"] - events["exch_ts"]).min() == 0
    assert done.last_ns == 6_001_000_000


# -- order ----------------------------------------------------------------------------------------

TIMES = st.integers(0, 12)
ROWS = st.lists(st.tuples(TIMES, TIMES), max_size=60)


def array_of(pairs: list[tuple[int, int]]) -> Any:
    made = np.zeros(len(pairs), adapter.EVENT)
    for at, (exch_ns, delay) in enumerate(pairs):
        made[at] = (1, exch_ns, exch_ns + delay, at, at, at, 0, 0)
    return made


@given(ROWS)
def test_each_clock_gets_every_event_once_in_its_own_order(pairs: list[tuple[int, int]]) -> None:
    rows = array_of(pairs)
    ordered = adapter.order_events(rows)
    for flag, column in ((EXCH, "exch_ts"), (LOCAL, "local_ts")):
        mine = [int(row["order_id"]) for row in ordered if int(row["ev"]) & flag]
        # among rows of one venue time those received first come first
        true = sorted(sorted(range(len(pairs)), key=lambda at: rows["local_ts"][at]),
                      key=lambda at, column=column: rows[column][at])
        assert mine == true
    assert not len(pairs) or (ordered["ev"] & (EXCH | LOCAL) != 0).all()
    assert len(ordered) <= 2 * len(pairs)


@given(st.lists(st.tuples(TIMES, st.integers(-5, 5)), max_size=20), st.integers(0, 3))
def test_local_times_move_together_and_only_when_needed(pairs: Any, base: int) -> None:
    rows = array_of(pairs)
    before = rows["local_ts"].copy()
    shift = adapter.correct_local_time(rows, base)
    least = min((delay for _, delay in pairs), default=0)
    assert shift == (0 if least >= 0 else base - least)
    assert (rows["local_ts"] == before + shift).all()


# -- hftbacktest itself ---------------------------------------------------------------------------


def framework(mark: Any) -> Any:
    for each in NEEDS_HFTBACKTEST:
        mark = each(mark)
    return mark


@framework
def test_the_dtype_is_theirs() -> None:
    from hftbacktest import types

    assert types.event_dtype == adapter.EVENT
    assert (adapter.DEPTH, adapter.TRADE, adapter.CLEAR, adapter.SNAPSHOT) == (
        types.DEPTH_EVENT, types.TRADE_EVENT, types.DEPTH_CLEAR_EVENT, types.DEPTH_SNAPSHOT_EVENT)
    assert (adapter.EXCH, adapter.LOCAL, adapter.BUY, adapter.SELL) == (
        types.EXCH_EVENT, types.LOCAL_EVENT, types.BUY_EVENT, types.SELL_EVENT)


@framework
@settings(max_examples=300)
@given(ROWS.filter(len))
def test_the_order_is_theirs_row_by_row(pairs: Any) -> None:
    from hftbacktest.data import correct_event_order, validate_event_order

    rows = array_of(pairs)
    rows = rows[np.argsort(rows["local_ts"], kind="stable")]
    theirs = correct_event_order(rows, np.argsort(rows["exch_ts"], kind="stable"),
                                 np.argsort(rows["local_ts"], kind="stable"))
    ours = adapter.order_events(rows)
    validate_event_order(ours)
    assert (ours == theirs).all() and len(ours) == len(theirs)


@framework
@given(st.lists(st.tuples(TIMES, st.integers(-5, 5)), min_size=1, max_size=20), st.integers(0, 3))
def test_local_times_are_moved_as_theirs(pairs: Any, base: int) -> None:
    from hftbacktest.data import correct_local_timestamp

    ours, theirs = array_of(pairs), array_of(pairs)
    adapter.correct_local_time(ours, base)
    correct_local_timestamp(theirs, base)
    assert (ours == theirs).all()


@framework
def test_hftbacktest_replays_our_book_level_by_level(recorded: Any) -> None:
    """At every time at which a strategy was shown the book, their depth has its levels, no more."""
    from hftbacktest import HashMapMarketDepthBacktest
    from hftbacktest.data import validate_event_order
    from numba import njit

    folder, seen, done = recorded
    contract = asyncio.run(contract_of(BTC))
    events = events_of(folder / "live.npz")
    validate_event_order(events)
    tick = float(contract.tick_size)
    made = (adapter.asset(contract, folder / "live.npz").constant_order_latency(0, 0)
            .risk_adverse_queue_model().no_partial_fill_exchange().last_trades_capacity(100_000))
    backtest = HashMapMarketDepthBacktest([made])

    @njit  # type: ignore[untyped-decorator]
    def walk(hbt: Any, times: Any, ticks: Any, starts: Any, n_bids: Any) -> Any:
        wrong = 0
        hbt.wait_next_feed(False, 1_000_000_000)         # to the first row; there is no time before
        for at in range(len(times)):
            hbt.elapse(times[at] - hbt.current_timestamp)
            depth = hbt.depth(0)
            held = depth.snapshot()
            if len(held) != starts[at + 1] - starts[at]:
                wrong += 1
            depth.snapshot_free(held)
            for row in range(starts[at], starts[at + 1]):
                if row < starts[at] + n_bids[at]:
                    quantity = depth.bid_qty_at_tick(int(ticks[row, 0]))
                else:
                    quantity = depth.ask_qty_at_tick(int(ticks[row, 0]))
                if quantity != ticks[row, 1]:
                    wrong += 1
            best = starts[at] + n_bids[at]
            if depth.best_bid_tick != int(ticks[starts[at], 0]):
                wrong += 1
            if depth.best_ask_tick != int(ticks[best, 0]):
                wrong += 1
        hbt.elapse(10_000_000_000)
        trades = hbt.last_trades(0)
        volume = 0.0
        for row in range(len(trades)):
            volume += trades[row].qty
        return wrong, len(trades), volume

    rows, starts, n_bids = [], [0], []
    for bids, asks in seen.books.values():
        rows += [(round(price / tick), quantity) for price, quantity in [*bids, *asks]]
        starts.append(len(rows))
        n_bids.append(len(bids))
    wrong, trades, volume = walk(backtest, np.array(list(seen.books)), np.array(rows, "f8"),
                                 np.array(starts), np.array(n_bids))
    backtest.close()
    assert wrong == 0
    assert (trades, volume) == (done.trades, done.trade_volume)
    print(f"hftbacktest: {len(seen.books)} books, {len(rows)} levels equal; {trades} trades")


async def contract_of(symbol: str) -> Any:
    async with Exchange(seed=1, symbols=(symbol,)) as venue, mx.Client(venue.rest_url) as client:
        (found,) = [each for each in await client.market_api.contracts() if each.symbol == symbol]
        return found


@framework
def test_the_page_runs_as_printed(tmp_path: Path) -> None:
    text = DOCS.read_text("utf-8")
    programs = re.findall(r"^```python\n(.*?)^```", text, re.S | re.M)
    assert len(programs) == 2
    path = tmp_path / "program.py"
    for program in programs:              # the second reads what the first has written
        path.write_text(program, "utf-8")
        done = subprocess.run([sys.executable, "-P", str(path)], capture_output=True, text=True,
                              timeout=300, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
    assert re.search(r"position at the end: [01]\.0", done.stdout), done.stdout


@pytest.mark.parametrize("missing, extra, use", [
    ("numpy", "numpy", ""),
    ("hftbacktest", "hftbacktest", "adapter.asset(None, 'x.npz')"),
])
def test_what_is_missing_is_named(missing: str, extra: str, use: str) -> None:
    code = (f"import sys; sys.modules[{missing!r}] = None\n"
            "from mexcfast.errors import MissingExtra\n"
            "try:\n    import mexcfast.adapters.hftbacktest as adapter\n    " + (use or "pass") +
            f"\nexcept MissingExtra as error:\n    assert error.extra == {extra!r}; print(error)\n")
    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True,
                          timeout=120)
    assert f"pip install 'mexcfast[{extra}]'" in done.stdout, done.stderr
    assert issubclass(MissingExtra, ImportError)

"""Market data in a TradingNode, against the exchange in the box.

    pip install 'mexcfast[nautilus]' && python -m pytest tests/adapters -k nautilus -s

nautilus_trader is 670 MB when installed, so the ordinary run goes without it. The numbers are
those of its data testing spec.
"""

from __future__ import annotations

import importlib.util
from typing import Any

import pytest

import mexcfast as mx
from mexcfast.sim import Exchange

HERE = importlib.util.find_spec("nautilus_trader") is not None
needs_nautilus = pytest.mark.framework("nautilus_trader", "nautilus")
pytestmark = pytest.mark.usefixtures("nothing_is_hidden")

if HERE:
    from nautilus_trader.model.book import OrderBook
    from nautilus_trader.model.data import BarType
    from nautilus_trader.model.enums import (
        AggressorSide,
        BookAction,
        BookType,
        MarketStatusAction,
        RecordFlag,
    )
    from nautilus_trader.model.identifiers import Venue

    from adapters.nautilus_support import (
        BTC,
        IID,
        MEXC,
        OTHER,
        Data,
        cases,
        data_client,
        run,
        running,
        until,
    )
else:
    def cases(*ids: str) -> Any:
        return lambda test: test

START_NS = 10**18            # a time in nanoseconds, not in anything else


@needs_nautilus
@cases("TC-D01", "TC-D02", "TC-D03", "TC-D10", "TC-D11", "TC-D12", "TC-D13", "TC-D14", "TC-D20",
       "TC-D30", "TC-D31", "TC-D50", "TC-D51", "TC-D52", "TC-D60", "TC-D70", "TC-D72")
def test_every_stream_and_request() -> None:
    async def story() -> None:
        streams = Data(
            subscribe_instrument=True, subscribe_instrument_status=True,
            subscribe_book_deltas=True, manage_book=True,
            subscribe_quotes=True, subscribe_trades=True, subscribe_mark_prices=True,
            subscribe_index_prices=True, subscribe_funding_rates=True, component_id="STREAMS")
        # of another contract: the node would write depth into the book that it keeps from deltas
        tops = Data(instrument_ids=[OTHER], subscribe_book_depth=True, component_id="TOPS")
        intervals = Data(subscribe_book_at_interval=True, book_interval_ms=100, book_depth=10,
                         request_instruments=True, component_id="INTERVALS",
                         request_params={"filters": {"base": ["SOL"]}})
        async with Exchange(seed=5, levels=40, updates_per_second=100, merge_ms=20) as venue, \
                running(venue, streams, tops, intervals, orders=False, ids=(IID, OTHER)) as node:
            got = streams.got
            for name, least in (("instrument", 1), ("status", 1), ("deltas", 20), ("quotes", 5),
                                ("trades", 3), ("marks", 1), ("indices", 1),
                                ("funding", 1)):
                await until(lambda name=name, least=least: len(got.get(name, ())) >= least, name)
            for what in ("quotes", "trades", "marks", "indices", "funding"):
                for each in got[what]:
                    assert each.instrument_id == IID
                    assert each.ts_init > START_NS and each.ts_event > START_NS
            # TC-D03: precision, increments and rules of the contract
            instrument = node.cache.instrument(IID)
            contract, = await data_client(node).client.market_api.contracts(BTC)
            assert str(instrument.price_increment) == str(contract.tick_size)
            assert str(instrument.size_increment) == str(contract.lot_size)
            assert instrument.multiplier.as_decimal() == contract.contract_size
            assert instrument.raw_symbol.value == BTC
            # TC-D12, TC-D20
            await until(lambda: len(tops.got.get("depth", ())) >= 5, "depth")
            depths = tops.got["depth"]
            assert all(each.instrument_id == OTHER and len(each.bids) == len(each.asks) == 10
                       and each.ts_event > START_NS for each in depths)
            bids = [order.price for order in depths[-1].bids]
            asks = [order.price for order in depths[-1].asks]
            assert bids == sorted(bids, reverse=True) and asks == sorted(asks)
            assert all(each.bid_price < each.ask_price and each.bid_size > 0 and each.ask_size > 0
                       for each in got["quotes"])
            # TC-D30
            assert {each.aggressor_side for each in got["trades"]} <= {
                AggressorSide.BUYER, AggressorSide.SELLER}
            assert len({each.trade_id for each in got["trades"]}) == len(got["trades"])
            assert got["status"][0].action == MarketStatusAction.TRADING
            assert got["funding"][0].next_funding_ns > got["funding"][0].ts_event
            # TC-D14: the tester's own book, and the node's, at rest
            venue.updates_per_second = 0
            truth = await _same_version(venue, streams)
            for book in (streams._books[IID], node.cache.order_book(IID)):
                _assert_equal(book, truth)
            # TC-D01, TC-D72: the filter was applied
            await until(lambda: intervals.got.get("instrument"), "instruments")
            assert [each.base_currency.code for each in intervals.got["instrument"]] == ["SOL"]
            streams.request_instruments(Venue(MEXC))
            await until(lambda: len(got["instrument"]) >= 4, "all instruments")
            assert {each.id for each in got["instrument"]} >= {
                IID, OTHER, intervals.got["instrument"][0].id}
            # TC-D11
            await until(lambda: len(intervals.got.get("books", ())) >= 3, "books at intervals")
            bid, ask, *_ = intervals.got["books"][-1]
            assert bid < ask
            # TC-D13
            streams.request_order_book_snapshot(IID, limit=10)
            await until(lambda: got.get("historical"), "a snapshot over REST")
            snapshot = got["historical"].pop().deltas
            assert [each.action for each in snapshot[:2]] == [BookAction.CLEAR, BookAction.ADD]
            assert len(snapshot) == 21 and snapshot[-1].flags & RecordFlag.F_LAST
            # TC-D31
            streams.request_trade_ticks(IID, start=node.kernel.clock.utc_now().replace(year=2000))
            await until(lambda: len(got["historical"]) > 2, "past trades")
            times = [each.ts_event for each in got["historical"]]
            assert times == sorted(times)
            # TC-D60: a change of state is told, and so is the instrument
            venue.change_contract(BTC, state=4)
            await until(lambda: got["status"][-1].action == MarketStatusAction.PAUSE, "a pause")
            venue.change_contract(BTC, state=0)
            await until(lambda: got["status"][-1].action == MarketStatusAction.TRADING, "trading")
            assert len(got["instrument"]) > 4
            # TC-D70: nothing comes after the end, and nothing is followed
            client = data_client(node)
            for actor in (streams, tops, intervals):
                actor.stop()
            await until(lambda: not client.feeds and not client._listeners, "all unsubscribed")
            await until(lambda: not client.client.market.books, "no book is kept")
            counts = {name: len(each) for name, each in got.items()}
            venue.updates_per_second = 200
            venue.trade(BTC, "buy", 50)
            venue.step(20)
            async with mx.Client(venue.rest_url) as other:
                await other.book(BTC)              # what was sent before this has been handled
            assert counts == {name: len(each) for name, each in got.items()}

    run(story())


async def _same_version(venue: Exchange, actor: Any) -> Any:
    """The exchange's book, once the actor has its version."""
    venue.flush(BTC)
    await until(lambda: actor.got["deltas"][-1].sequence == venue.book(BTC).version,
                "the newest version")
    return venue.book(BTC)


def _assert_equal(book: Any, truth: Any) -> None:
    for side, levels in ((book.bids(), truth.bids), (book.asks(), truth.asks)):
        assert [(level.price.as_decimal(), level.size()) for level in side] == [
            (price, float(quantity)) for price, quantity, _ in levels]


class Checked(Data if HERE else object):  # type: ignore[misc]
    """Builds a book of its own from the deltas and holds each against the exchange's."""

    def __init__(self, venue: Exchange, **settings: Any) -> None:
        super().__init__(subscribe_book_deltas=True, **settings)
        self.venue = venue
        self.books: dict[Any, Any] = {}
        self.sequences: dict[Any, int] = {}
        self.wholes = self.compared = self.too_old = 0
        self.errors: list[BaseException] = []

    def on_order_book_deltas(self, deltas: Any) -> None:
        try:
            self._check(deltas)
        except BaseException as error:
            self.errors.append(error)
            raise

    def _check(self, deltas: Any) -> None:
        name, rows = deltas.instrument_id, deltas.deltas
        is_whole = rows[0].action == BookAction.CLEAR
        for i, row in enumerate(rows):
            is_last = i == len(rows) - 1
            assert bool(row.flags & RecordFlag.F_LAST) is is_last
            assert bool(row.flags & RecordFlag.F_SNAPSHOT) is is_whole
            if i:
                assert row.action == BookAction.ADD or not is_whole
                assert row.action != BookAction.CLEAR
        if is_whole:
            self.wholes += 1
        else:
            assert deltas.sequence > self.sequences[name], "versions grow"
        self.sequences[name] = deltas.sequence
        book = self.books.setdefault(name, OrderBook(name, BookType.L2_MBP))
        book.apply_deltas(deltas)
        book.check_integrity()
        symbol = name.symbol.value.removesuffix("-PERP").replace("-", "_")
        try:
            truth = self.venue.book_at(symbol, deltas.sequence)
        except ValueError:                  # a jump of versions ends the exchange's history
            self.too_old += 1
            return
        _assert_equal(book, truth)
        self.compared += 1


@needs_nautilus
@pytest.mark.parametrize("every", [False, True])
def test_books_are_the_exchanges_through_faults(every: bool) -> None:
    """At every batch the node's book is the exchange's of that version; silence while in doubt."""

    async def story() -> None:
        async with Exchange(seed=5, symbols=(BTC, "ETH_USDT"), levels=60, updates_per_second=150,
                            merge_ms=0 if every else 20) as venue:
            mine = Checked(venue, instrument_ids=[IID, OTHER])
            async with running(venue, mine, orders=False, ids=(IID, OTHER), data={"every": every}
                               ) as node:
                client = data_client(node).client

                async def come(true: Any, what: str) -> None:
                    await until(lambda: true() or mine.errors, what)
                    assert not mine.errors, mine.errors

                await come(lambda: len(mine.books) == 2 and mine.compared > 40, "books")
                book = client.market.books[BTC]
                venue.faults.drop("depth", BTC)
                wholes = mine.wholes
                await come(lambda: book.gaps and book.is_live and mine.wholes > wholes, "a gap")
                opened = client.market.pool.connections[0].opened
                wholes = mine.wholes
                venue.faults.cut()
                await come(lambda: mine.wholes >= wholes + 2
                           and client.market.pool.connections[0].opened > opened, "a new socket")
                snapshots = book.snapshots
                venue.faults.version_gap(BTC, 5)
                await come(lambda: book.snapshots > snapshots and book.is_live, "a snapshot")
                for kind in ("garble", "duplicate", "reorder", "dribble"):
                    frames = book.frames
                    getattr(venue.faults, kind)("depth", BTC)
                    await come(lambda frames=frames: book.frames > frames + 10 and book.is_live,
                               kind)
                compared = mine.compared
                await come(lambda: mine.compared > compared + 50, "more")
                assert mine.wholes >= 6 and mine.too_old < 20 < mine.compared
                # and the book that the node itself keeps, at rest
                venue.updates_per_second = 0
                for symbol, name in ((BTC, IID), ("ETH_USDT", OTHER)):
                    venue.flush(symbol)
                    await come(lambda symbol=symbol, name=name: mine.sequences[name]
                               == venue.book(symbol).version, "the newest version")
                    _assert_equal(node.cache.order_book(name), venue.book(symbol))
                print(f"{mine.compared} books equal, {mine.wholes} of them whole")

    run(story())


@needs_nautilus
def test_nothing_is_told_while_the_book_is_in_doubt() -> None:
    """A gap that cannot be mended yet: no delta, no quote; then a snapshot."""

    async def story() -> None:
        async with Exchange(seed=5, symbols=(BTC,), levels=30, updates_per_second=0, merge_ms=0
                            ) as venue:
            data = Data(subscribe_book_deltas=True, subscribe_quotes=True,
                        subscribe_book_depth=True)
            async with running(venue, data, orders=False) as node:
                client, got = data_client(node).client, data.got
                await until(lambda: got.get("deltas"), "the first snapshot")
                book = client.market.books[BTC]
                venue.step(5, BTC)
                await until(lambda: book.version == venue.book(BTC).version, "five versions")
                venue.faults.http_status("*", 500, count=10_000)  # no commits, no snapshots
                venue.faults.drop("depth", BTC)
                venue.step(2, BTC)
                await until(lambda: not book.is_live, "the gap is seen")
                counts = {name: len(each) for name, each in got.items()}
                venue.step(5, BTC)
                await until(lambda: book.pending_frames >= 5, "frames are kept")
                await until(lambda: node.kernel.data_engine.data_qsize() == 0, "all is handled")
                assert counts == {name: len(each) for name, each in got.items()}
                venue.faults.clear()
                venue.faults.cut()
                await until(lambda: book.is_live, "LIVE again")
                await until(lambda: len(got["deltas"]) > counts["deltas"], "deltas")
                whole = got["deltas"][counts["deltas"]]
                assert whole.deltas[0].action == BookAction.CLEAR
                await until(lambda: len(got["quotes"]) > counts["quotes"], "a quote")

    run(story())


@needs_nautilus
@cases("TC-D40", "TC-D41")
def test_bars() -> None:
    """A bar is told when its minute has ended; past ones come when asked for."""
    ahead_ms = 0

    async def story() -> None:
        nonlocal ahead_ms
        import time

        bar_type = BarType.from_str(f"{IID}-1-MINUTE-LAST-EXTERNAL")
        async with Exchange(seed=5, symbols=(BTC,), levels=30, updates_per_second=100, merge_ms=20,
                            clock_ms=lambda: time.time_ns() // 1_000_000 + ahead_ms) as venue:
            data = Data(subscribe_bars=True, bar_types=[bar_type])
            async with running(venue, data, orders=False) as node:
                feed = (await until(lambda: data_client(node)._listeners, "subscribed"))[
                    ("bars", bar_type)][0]
                for count in (1, 2):
                    await until(lambda: feed._newest is not None, "a running candle")
                    running_s = feed._newest.ts_open_s
                    ahead_ms += 60_000
                    venue.trade(BTC, "buy", 5)
                    await until(lambda count=count: len(data.got.get("bars", ())) == count, "a bar")
                    bar = data.got["bars"][-1]
                    assert bar.ts_event == (running_s + 60) * 10**9
                    assert bar.high >= max(bar.open, bar.close)
                    assert bar.low <= min(bar.open, bar.close)
                # a cut socket: the candle that ends meanwhile is read again
                running_s = feed._newest.ts_open_s
                feed.on_disconnected("a socket", "the test")
                ahead_ms += 120_000
                venue.trade(BTC, "sell", 5)
                await until(lambda: len(data.got["bars"]) >= 3, "the missed bar")
                candles = {each.ts_open_s: each for each in
                           await data_client(node).client.market_api.kline(BTC, "Min1")}
                assert data.got["bars"][2].ts_event == (running_s + 60) * 10**9
                for bar in data.got["bars"]:
                    candle = candles[bar.ts_event // 10**9 - 60]
                    assert [bar.open.as_decimal(), bar.high.as_decimal(), bar.low.as_decimal(),
                            bar.close.as_decimal(), bar.volume.as_decimal()] == [
                        candle.open, candle.high, candle.low, candle.close, candle.quantity]
                # history: the node never sees the future, so look from where the venue is
                node_ns = node.kernel.clock.timestamp_ns()
                past = [each for each in sorted(candles) if (each + 60) * 10**9 <= node_ns]
                data.request_bars(bar_type, start=node.kernel.clock.utc_now().replace(year=2000))
                await until(lambda: not data.has_pending_requests(), "the answer")
                assert past == [bar.ts_event // 10**9 - 60
                                for bar in data.got.get("historical", ())]

    run(story())


@needs_nautilus
@cases("TC-D73")
def test_subscriptions_end_with_their_last_actor() -> None:
    async def story() -> None:
        one = Data(subscribe_quotes=True, component_id="ONE")
        two = Data(subscribe_quotes=True, component_id="TWO")
        async with Exchange(seed=5, levels=30, updates_per_second=100, merge_ms=20) as venue, \
                running(venue, one, two, orders=False) as node:
            client = data_client(node)
            await until(lambda: one.got.get("quotes") and two.got.get("quotes"), "quotes")
            node.trader.remove_actor(one.id)
            count = len(two.got["quotes"])
            await until(lambda: len(two.got["quotes"]) > count + 3, "quotes go on")
            node.trader.remove_actor(two.id)
            await until(lambda: not client.feeds, "unsubscribed")

    run(story())


@needs_nautilus
def test_the_docs_name_the_venue() -> None:
    assert Venue(MEXC) == IID.venue

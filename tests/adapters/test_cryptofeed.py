"""MEXC futures in cryptofeed's own FeedHandler, against the exchange in the box.

    pip install 'mexcfast[cryptofeed]' && python -m pytest tests/adapters/test_cryptofeed.py

cryptofeed 2.4.1 is compiled where it is installed, so the ordinary run goes without it.
"""

from __future__ import annotations

import asyncio
import importlib.util
import re
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

import mexcfast as mx
from mexcfast import topics
from mexcfast.errors import ConfigError
from mexcfast.sim import Exchange

BTC, ETH = "BTC_USDT", "ETH_USDT"
NAME, OTHER = "BTC-USDT-PERP", "ETH-USDT-PERP"
HERE = importlib.util.find_spec("cryptofeed") is not None
DOCS = Path(__file__).parents[2] / "docs" / "adapters" / "cryptofeed.md"

if HERE:
    from cryptofeed import FeedHandler
    from cryptofeed.defines import (
        ASK,
        BID,
        CANDLES,
        FUNDING,
        INDEX,
        L2_BOOK,
        OPEN_INTEREST,
        TICKER,
        TRADES,
    )

    from mexcfast.adapters import cryptofeed as adapter

needs_cryptofeed = pytest.mark.framework("cryptofeed")
# cryptofeed's websockets and event loop policy, nothing of ours
quiet = pytest.mark.filterwarnings("ignore::DeprecationWarning")


@pytest.fixture(autouse=True)
def _nothing_is_hidden(caplog: Any) -> Iterator[None]:
    """cryptofeed logs what goes wrong inside a feed and connects again."""
    yield
    assert "encountered" not in caplog.text, caplog.text


async def until(true: Callable[[], Any], seconds: float = 60) -> None:
    async with asyncio.timeout(seconds):
        while not true():  # noqa: ASYNC110 - nothing tells of it
            await asyncio.sleep(0.005)


@asynccontextmanager
async def running(venue: Exchange, **settings: Any) -> AsyncIterator[Any]:
    """A feed inside a FeedHandler, as users run it."""
    feed = await asyncio.to_thread(adapter.MEXCFutures, venue.rest_url, **settings)
    handler = FeedHandler(config={"uvloop": False, "log": {"disabled": True}})
    handler.add_feed(feed)
    handler.run(start_loop=False, install_signal_handlers=False)
    try:
        yield feed
    finally:
        await handler.stop_async()
        await until(lambda: feed.client is None)


class Mine:
    """A user's own book: whole when there is no delta, then delta by delta."""

    def __init__(self, venue: Exchange) -> None:
        self.venue = venue
        self.sides: dict[str, Any] = {}
        self.wholes = self.deltas = self.compared = self.too_old = 0
        self.versions: list[int] = []

    async def __call__(self, book: Any, received: float) -> None:
        assert book.exchange == "MEXC_FUTURES" and isinstance(received, float)
        sides = {BID: dict(book.book.bids.to_dict()), ASK: dict(book.book.asks.to_dict())}
        if book.delta is None:
            self.wholes += 1
            self.sides[book.symbol] = sides
        else:
            self.deltas += 1
            for side, rows in book.delta.items():
                for price, quantity in rows:
                    assert isinstance(price, Decimal) and isinstance(quantity, Decimal)
                    if quantity:
                        self.sides[book.symbol][side][price] = quantity
                    else:
                        self.sides[book.symbol][side].pop(price, None)
            assert book.raw["channel"] == "push.depth"
        assert self.sides[book.symbol] == sides, "the deltas do not lead here"
        symbol = book.symbol.removesuffix("-PERP").replace("-", "_")
        try:
            truth = self.venue.book_at(symbol, book.sequence_number)
        except ValueError:                  # a jump of versions ends the exchange's history
            self.too_old += 1
            return
        for levels, side in ((truth.bids, BID), (truth.asks, ASK)):
            assert [(price, quantity) for price, quantity, _ in levels] == list(
                sides[side].items()), (symbol, book.sequence_number)
        self.compared += 1
        self.versions.append(book.sequence_number)


class Errors(list[Any]):
    """What callbacks raised: cryptofeed logs it and connects again, which would hide it."""

    def around(self, callback: Any) -> Any:
        async def call(value: Any, received: float) -> None:
            try:
                await callback(value, received)
            except BaseException as error:
                self.append(error)
                raise

        return call


@needs_cryptofeed
@quiet
@pytest.mark.parametrize("every", [False, True])
def test_books_are_the_venues_through_faults(every: bool) -> None:
    """At every callback the book is the exchange's of that version, and the deltas lead to it."""

    async def story() -> None:
        async with Exchange(seed=5, symbols=(BTC, ETH), levels=60, updates_per_second=200,
                            merge_ms=0 if every else 20) as venue:
            mine, errors = Mine(venue), Errors()
            async with running(venue, symbols=[NAME, OTHER], channels=[L2_BOOK], every=every,
                               callbacks={L2_BOOK: errors.around(mine)}) as feed:
                await until(lambda: mine.deltas > 40 or errors)
                book = feed.client.market.books[BTC]
                venue.faults.drop("depth", BTC)
                await until(lambda: (book.gaps and book.is_live) or errors)
                wholes = mine.wholes
                opened = feed.client.market.pool.connections[0].opened
                venue.faults.cut()
                await until(lambda: errors or (mine.wholes >= wholes + 2 and feed.client.market.pool
                                               .connections[0].opened > opened))
                snapshots = book.snapshots
                venue.faults.version_gap(BTC, 5)
                await until(lambda: errors or (book.snapshots > snapshots and book.is_live))
                for kind in ("garble", "duplicate", "reorder", "dribble"):
                    getattr(venue.faults, kind)("depth", BTC)
                    frames = book.frames
                    await until(lambda frames=frames: errors or (book.frames > frames + 10
                                                                 and book.is_live))
                compared = mine.compared
                await until(lambda: errors or mine.compared > compared + 50)
                assert not errors, errors
                assert feed.dropped == 0 and mine.wholes >= 6 and mine.deltas > 100
                assert mine.too_old < 20 < mine.compared
                print(f"{mine.compared} books equal, {mine.wholes} of them whole")

    asyncio.run(story())


@needs_cryptofeed
@quiet
def test_every_channel_delivers_what_our_own_client_sees() -> None:
    async def story() -> None:
        got: dict[str, list[Any]] = {}
        seen: list[Any] = []

        def into(channel: str) -> Any:
            async def callback(value: Any, received: float) -> None:
                assert abs(time.time() - received) < 60
                got.setdefault(channel, []).append(value)

            return callback

        class Ear(mx.Listener):
            def on_event(self, event: mx.Event) -> None:
                seen.append(event)

        channels = [TRADES, TICKER, FUNDING, INDEX, OPEN_INTEREST, CANDLES]
        async with Exchange(seed=5, symbols=(BTC,), merge_ms=0) as venue, \
                mx.Client(venue.rest_url) as client:
            client.subscribe(Ear(), [
                topics.deals(BTC, False), topics.ticker(BTC), topics.funding_rate(BTC),
                topics.index_price(BTC), topics.kline(BTC, "Min1"), topics.fair_price(BTC)])
            async with running(venue, symbols=[NAME], channels=channels, every=True,
                               candle_closed_only=False,
                               callbacks={each: into(each) for each in channels}) as feed:
                await until(lambda: len(got) == len(channels) and all(
                    len(got[each]) >= (20 if each == TRADES else 1) for each in channels))
                last = got[TRADES][-1].id
                await until(lambda: any(str(deal.trade_id) == last for event in seen
                                        if isinstance(event, mx.events.Deals)
                                        for deal in event.deals))
                assert feed.dropped == 0
        deals = {str(deal.trade_id): deal for event in seen
                 if isinstance(event, mx.events.Deals) for deal in event.deals}
        for trade in got[TRADES]:
            deal = deals[trade.id]
            assert (trade.price, trade.amount) == (deal.decimal("price"), deal.decimal("quantity"))
            assert (trade.side, trade.symbol) == ({1: "buy", 2: "sell"}[deal.side], NAME)
            assert trade.timestamp == deal.ts_venue_ms / 1000
            assert trade.raw["i"] == deal.trade_id or str(trade.raw["i"]) == trade.id
        ids = [trade.id for trade in got[TRADES]]
        assert len(ids) == len(set(ids))
        ticks = {(event.decimal("best_bid"), event.decimal("best_ask"),
                  event.decimal("open_interest")) for event in seen
                 if isinstance(event, mx.events.Ticker)}
        assert {(one.bid, one.ask) for one in got[TICKER]} & {tick[:2] for tick in ticks}
        assert {one.open_interest for one in got[OPEN_INTEREST]} & {tick[2] for tick in ticks}
        assert {one.price for one in got[INDEX]} & {
            event.decimal("price") for event in seen if isinstance(event, mx.events.IndexPrice)}
        (first, *_), rates = got[FUNDING], [event for event in seen
                                            if isinstance(event, mx.events.FundingRate)]
        assert (first.rate, first.next_funding_time) in {
            (event.decimal("rate"), event.ts_settle_ms / 1000) for event in rates}
        assert first.mark_price is None or isinstance(first.mark_price, Decimal)
        assert {(one.start, one.close) for one in got[CANDLES]} & {
            (float(event.ts_open_s), event.decimal("close")) for event in seen
            if isinstance(event, mx.events.Kline)}

    asyncio.run(story())


@needs_cryptofeed
@quiet
def test_a_connection_that_cryptofeed_closes_comes_back() -> None:
    async def story() -> None:
        async with Exchange(seed=5, symbols=(BTC,), levels=60) as venue:
            mine, errors = Mine(venue), Errors()
            async with running(venue, symbols=[NAME], channels=[L2_BOOK],
                               callbacks={L2_BOOK: errors.around(mine)}) as feed:
                await until(lambda: mine.deltas > 3 or errors)
                old = feed.client
                await feed.connection_handlers[0].conn.close()      # as its watcher does
                deltas = mine.deltas
                await until(lambda: mine.deltas > deltas + 3 or errors)
                assert feed.client is not old and mine.wholes == 2 and not errors, errors

    asyncio.run(story())


@needs_cryptofeed
@quiet
def test_a_slow_callback_misses_deltas_and_never_has_a_wrong_book(caplog: Any) -> None:
    async def story() -> None:
        async with Exchange(seed=5, symbols=(BTC,), levels=60, updates_per_second=300,
                            merge_ms=0) as venue:
            mine, errors = Mine(venue), Errors()

            async def slow(book: Any, received: float) -> None:
                await asyncio.sleep(0.02)
                await mine(book, received)

            async with running(venue, symbols=[NAME], channels=[L2_BOOK], every=True, bound=4,
                               callbacks={L2_BOOK: errors.around(slow)}) as feed:
                await until(lambda: errors or (feed.dropped > 20 and mine.compared > 30
                                               and mine.wholes > 3))
                assert not errors, errors

    asyncio.run(story())
    assert caplog.text.count("callbacks are too slow") == 1


# -- without a network ----------------------------------------------------------------------------

CONTRACTS = {"data": [
    {"symbol": BTC, "baseCoin": "BTC", "quoteCoin": "USDT", "settleCoin": "USDT", "state": 0,
     "futureType": 1, "priceUnit": Decimal("0.1"), "volUnit": 1, "contractSize": Decimal("0.0001")},
    {"symbol": "BTC_USD", "baseCoin": "BTC", "quoteCoin": "USD", "settleCoin": "BTC", "state": 0,
     "futureType": 1, "priceUnit": Decimal("0.5"), "volUnit": 1, "contractSize": 100},
    {"symbol": "OLD_USDT", "baseCoin": "OLD", "quoteCoin": "USDT", "settleCoin": "USDT",
     "state": 3, "priceUnit": 1, "volUnit": 1, "contractSize": 1},
    {"symbol": "DAY_USDT", "baseCoin": "DAY", "quoteCoin": "USDT", "settleCoin": "USDT",
     "state": 0, "futureType": 2, "priceUnit": 1, "volUnit": 1, "contractSize": 1},
]}


def offline(monkeypatch: Any, **settings: Any) -> Any:
    monkeypatch.setattr(adapter.MEXCFutures.http_sync, "read", lambda *args, **more: CONTRACTS)
    return adapter.MEXCFutures("http://127.0.0.1:1", **settings)


@needs_cryptofeed
def test_symbols_and_their_sizes(monkeypatch: Any) -> None:
    names, info = adapter.MEXCFutures._parse_symbol_data(CONTRACTS)
    assert names == {NAME: BTC, "BTC-USD-PERP": "BTC_USD"}
    assert info["contract_size"] == {NAME: Decimal("0.0001"), "BTC-USD-PERP": 100}
    assert info["is_inverse"] == {NAME: False, "BTC-USD-PERP": True}
    assert adapter.MEXCFutures._parse_symbol_data({"data": CONTRACTS["data"][0]})[0] == {NAME: BTC}
    feed = offline(monkeypatch, symbols=["BTC-USD-PERP"], channels=[INDEX])
    assert feed._index_source("BTC_USD") == BTC and feed._index_source(BTC) == BTC
    from cryptofeed.exceptions import UnsupportedDataFeed, UnsupportedSymbol
    with pytest.raises(UnsupportedSymbol):
        offline(monkeypatch, symbols=["OLD-USDT-PERP"], channels=[INDEX])
    with pytest.raises(UnsupportedDataFeed):
        offline(monkeypatch, symbols=[NAME], channels=["liquidations"])
    with pytest.raises(ConfigError, match="bound is 0"):
        offline(monkeypatch, bound=0)
    assert offline(monkeypatch).connect() == []


def kline(start: int, close: str, interval: str = "Min1", ns: int = 1) -> Any:
    text = ('{"channel":"push.kline","symbol":"BTC_USDT","ts":%d000,"data":{"symbol":"BTC_USDT",'
            '"interval":"%s","t":%d,"o":1.50,"c":%s,"h":3,"l":1,"a":7,"q":9}}')
    event = mx.parse_frame(text % (start + 59, interval, start, close))
    return "event", BTC, Received(event, ns), ns


class Received:
    """An event with a receipt time, which parse_frame does not give."""

    def __init__(self, event: Any, ns: int) -> None:
        self._event = event
        self.ts_recv_ns = ns

    def __getattr__(self, name: str) -> Any:
        return getattr(self._event, name)

    @property
    def __class__(self) -> Any:
        return type(self._event)


@needs_cryptofeed
@pytest.mark.parametrize("closed_only", [True, False])
def test_a_candle_is_closed_when_the_next_begins_and_nothing_was_missed(
        monkeypatch: Any, closed_only: bool) -> None:
    got: list[Any] = []

    async def keep(value: Any, received: float) -> None:
        got.append((value.start, value.close, value.closed))

    feed = offline(monkeypatch, symbols=[NAME], channels=[CANDLES], callbacks={CANDLES: keep},
                   candle_closed_only=closed_only)
    feed._events = adapter._Events(None)

    async def story() -> None:
        for number, candle in enumerate([
                (60, "2.0"), (60, "2.10"), (120, "2.2"), (60, "9"), (120, "2.3", "Min5"),
                (120, "2.4")]):
            await feed.message_handler(kline(*candle, ns=number + 1), None, 0)
        feed._events.missed_ns = 50                     # the end of 120 may be lost
        await feed.message_handler(kline(180, "2.5", ns=60), None, 0)
        await feed.message_handler(kline(240, "2.6", ns=70), None, 0)

    asyncio.run(story())
    closed = [(60.0, Decimal("2.10"), True), (180.0, Decimal("2.5"), True)]
    assert [one for one in got if one[2]] == closed
    opens = [one for one in got if not one[2]]
    assert [start for start, _, _ in opens] == ([] if closed_only else [60, 60, 120, 120, 180, 240])


@needs_cryptofeed
def test_numbers_keep_the_venues_digits(monkeypatch: Any) -> None:
    got: list[Any] = []

    async def keep(value: Any, received: float) -> None:
        got.append(value)

    feed = offline(monkeypatch, symbols=[NAME], channels=[TRADES, L2_BOOK],
                   callbacks={TRADES: keep, L2_BOOK: keep})
    deal = mx.parse_frame(
        '{"channel":"push.deal","symbol":"BTC_USDT","ts":5,"data":[{"p":0.1000000000000000055,'
        '"v":12345678901234567890,"T":2,"O":1,"M":1,"t":1700000000123,"i":77}]}')
    depth = mx.parse_frame(
        '{"channel":"push.depth","symbol":"BTC_USDT","ts":7,"data":{"asks":[],'
        '"bids":[[0.10000000000000001,3,1]],"version":9}}')

    async def story() -> None:
        await feed.message_handler(("event", BTC, deal, 1_500_000_000), None, 0)
        await feed.message_handler(("whole", BTC, (({}, {}), 8, 6), 1), None, 0)
        await feed.message_handler(("delta", BTC, depth, 1), None, 0)

    asyncio.run(story())
    trade, _, book = got
    assert str(trade.price) == "0.1000000000000000055"
    assert trade.amount == Decimal("12345678901234567890")
    assert (trade.side, trade.id, trade.timestamp) == ("sell", "77", 1700000000.123)
    assert book.delta == {BID: [(Decimal("0.10000000000000001"), Decimal(3))], ASK: []}
    assert book.sequence_number == 9 and book.timestamp == 0.007


@needs_cryptofeed
def test_by_name(monkeypatch: Any) -> None:
    from cryptofeed.exchanges import EXCHANGE_MAP

    monkeypatch.setitem(EXCHANGE_MAP, "MEXC_FUTURES", None)
    adapter.install()
    assert EXCHANGE_MAP["MEXC_FUTURES"] is adapter.MEXCFutures


@needs_cryptofeed
def test_the_page_runs_as_printed(tmp_path: Path) -> None:
    programs = re.findall(r"^```python\n(.*?)^```", DOCS.read_text("utf-8"), re.S | re.M)
    assert len(programs) == 1
    path = tmp_path / "program.py"
    path.write_text(programs[0], "utf-8")
    done = subprocess.run([sys.executable, "-P", str(path)], capture_output=True, text=True,
                          timeout=120, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "BTC-USDT-PERP" in done.stdout and "Traceback" not in done.stderr, done.stderr


def test_what_is_missing_is_named() -> None:
    code = ("import sys; sys.modules['cryptofeed'] = None\n"
            "from mexcfast.errors import MissingExtra\n"
            "try:\n    import mexcfast.adapters.cryptofeed\n"
            "except MissingExtra as error:\n    assert error.extra == 'cryptofeed'; print(error)\n")
    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True,
                          timeout=120)
    assert "pip install 'mexcfast[cryptofeed]'" in done.stdout, done.stderr

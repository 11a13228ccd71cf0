"""Layer 1b: the same frames resolve to the same values, stock ccxt's and ours."""

from __future__ import annotations

import asyncio
import copy
import json
from collections import Counter
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from adapters.ccxt_support import (
    MARKET,
    NEEDS_CCXT,
    NOW_MS,
    OURS,
    STOCK,
    SYMBOL,
    offline,
    plain,
    text,
)
from mexcfast.adapters.ccxt import parsing

pytestmark = NEEDS_CCXT

DATA = Path(__file__).parents[1] / "data"
COUNTS: Counter[str] = Counter()
HELD = ("orderbooks", "trades", "tickers", "bidsasks", "ohlcvs", "orders", "myTrades", "balance",
        "fundingRates")


_made: dict[str, Any] = {}


def instance(kind: type, **config: Any) -> Any:
    """One a class and configuration, emptied: making one takes longer than all its frames."""
    key = f"{kind!r} {config!r}"
    if key not in _made:
        _made[key] = offline(kind, **config)
    made = _made[key]
    for name in HELD:
        setattr(made, name, None if name in ("orders", "myTrades") else {})
    made.clients, made.asyncio_loop = {}, None
    made.options["watchOrderBook"]["snapshotDelay"] = 25
    return made


@pytest.fixture(autouse=True)
def _count_what_goes_the_fast_way(monkeypatch: pytest.MonkeyPatch) -> None:
    def counted(name: str, function: Any) -> Any:
        def call(*args: Any) -> Any:
            result = function(*args)
            COUNTS[f"fast {name}"] += result is not None
            return result
        return call

    for name in ("public_trade", "own_trade", "order", "ticker"):
        monkeypatch.setattr(parsing, name, counted(name, getattr(parsing, name)))


class Side:
    """One instance fed by hand: what it resolves is written down, what it holds can be read."""

    def __init__(self, kind: type, **config: Any) -> None:
        self.exchange = instance(kind, **config)
        self.client: Any = None
        self.resolved: list[tuple[str, Any]] = []
        self.snapshots: list[dict[str, Any]] = []
        self.asked = 0

    def open(self) -> None:
        """In a running loop: the futures client, unconnected, with books subscribed."""
        exchange = self.exchange
        self.client = exchange.client(exchange.urls["api"]["ws"]["swap"])
        original = self.client.resolve

        def resolve(result: Any, message_hash: str) -> Any:
            self.resolved.append((message_hash, text(result)))
            return original(result, message_hash)

        self.client.resolve = resolve
        for symbol in exchange.symbols:
            self.client.subscriptions[f"orderbook:{symbol}"] = True
        exchange.fetch_order_book = self._snapshot
        if isinstance(exchange, OURS):
            # The first few are compared inside; here the fast way stands alone.
            exchange._left_to_compare = dict.fromkeys(exchange._left_to_compare, 0)

    async def _snapshot(self, symbol: str, limit: Any = None, params: Any = None) -> Any:
        self.asked += 1
        return copy.deepcopy(self.snapshots[min(self.asked, len(self.snapshots)) - 1])

    def feed(self, message: Any) -> str:
        """One frame as the socket would bring it; the name of what it raised."""
        try:
            self.exchange.handle_message(self.client, orjson.loads(orjson.dumps(message)))
        except Exception as error:
            return type(error).__name__
        return ""

    def held(self) -> str:
        exchange = self.exchange
        return text({name: getattr(exchange, name) for name in HELD})

    def watch(self, symbol: str = SYMBOL) -> list[Any]:
        return [json.loads(value) for name, value in self.resolved
                if name == f"orderbook:{symbol}"]


async def settle() -> None:
    """Let snapshots that need no network be taken."""
    for _ in range(30):
        await asyncio.sleep(0)


async def both(messages: list[Any], snapshot: Any = None, **config: Any) -> tuple[Side, Side]:
    stock, ours = Side(STOCK, **config), Side(OURS, **config)
    for side in (stock, ours):
        if snapshot is not None:
            side.snapshots = [snapshot]
            side.exchange.options["watchOrderBook"]["snapshotDelay"] = 0
        side.open()
    try:
        for message in messages:
            raised = stock.feed(message), ours.feed(message)
            assert raised[0] == raised[1], message
            await settle()
            assert ours.resolved == stock.resolved, message
            COUNTS["frames"] += 1
        assert ours.held() == stock.held()
        assert not ours.exchange._slow
        COUNTS["resolved"] += len(ours.resolved)
    finally:
        await stock.exchange.close()
        await ours.exchange.close()
    return stock, ours


def recorded() -> list[tuple[str, Any]]:
    rows = []
    for name in ("ws_public.jsonl", "ws_private.jsonl"):
        for line in (DATA / name).read_text(encoding="utf-8").splitlines():
            row = json.loads(line)
            if row.get("direction") == "server->client" and isinstance(row.get("frame"), dict):
                rows.append((row["name"], row["frame"]))
    return rows


def is_allowed(frame: dict[str, Any]) -> bool:
    """Whether ours may treat it otherwise, and a test of its own shows how."""
    data = frame.get("data")
    return ((frame.get("channel") == "push.deal" and isinstance(data, dict))
            or frame.get("channel") in ("push.depth", "push.depth.full", "push.personal.position"))


def test_recorded_frames_give_the_same() -> None:
    """Every recorded frame but the shapes that ALLOWED names; depth has tests of its own."""
    frames = [frame for _, frame in recorded() if not is_allowed(frame)]
    asyncio.run(both(frames * 2))
    assert len(frames) >= 60


# -- generated frames ---------------------------------------------------------------------------

numbers = st.one_of(
    st.integers(0, 10**7), st.integers(-10**18, 10**18), st.just(0), st.just(0.0),
    st.floats(1e-9, 1e9, allow_nan=False).map(lambda x: round(x, 8)),
    st.decimals(0, 10**6, places=4).map(float), st.sampled_from([1e-7, 1e16, 123456789.125, -0.5]))
texts = st.one_of(numbers.map(str), st.just(""), st.text("0123456789abc.-", max_size=6))
values = st.one_of(numbers, numbers, numbers, st.none(), texts, st.booleans())
times = st.one_of(st.integers(1_500_000_000_000, 1_999_999_999_999), st.none(), texts,
                  st.sampled_from([0, -1, 999, 10**14]))
names = st.sampled_from([MARKET, "ETH_USDT", "NOPE_USDT", "BTCUSDT"])
sides = st.one_of(st.integers(0, 6), st.sampled_from(["1", "2", None]))


def record(**members: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """An object with all its members, or some of them missing, or strange ones added."""
    whole = st.fixed_dictionaries(members)
    fewer = st.fixed_dictionaries({}, optional=members)
    more = st.builds(lambda a, b: {**a, "unheardOf": b}, whole, values)
    return st.one_of(whole, whole, fewer, more)


deals = st.lists(record(p=values, v=values, T=sides, O=st.integers(1, 3), M=st.integers(1, 2),
                        t=times), max_size=4)
tickers = record(
    symbol=names, lastPrice=values, riseFallRate=values, fairPrice=values, indexPrice=values,
    volume24=values, amount24=values, lower24Price=values, high24Price=values, timestamp=times,
    bid1=values, ask1=values, holdVol=values, riseFallValue=values, fundingRate=values)
orders = record(
    orderId=st.one_of(st.integers(1, 50), st.integers(1, 50).map(str)), symbol=names, price=values,
    vol=values, leverage=values, side=sides, orderType=sides, dealAvgPrice=values, dealVol=values,
    takerFee=values, makerFee=values, feeCurrency=st.sampled_from(["USDT", "BTC", "XBT", None]),
    state=sides, externalOid=texts, createTime=times, updateTime=times, positionMode=sides)
fills = record(
    id=st.one_of(st.integers(1, 50), st.integers(1, 50).map(str)), symbol=names, side=sides,
    vol=values, price=values, fee=values, feeCurrency=st.sampled_from(["USDT", "BTC", None]),
    timestamp=times, orderId=st.one_of(st.integers(1, 9), texts), positionMode=sides,
    taker=st.one_of(st.booleans(), st.none()), isTaker=st.booleans(), externalOid=texts)
klines = record(symbol=names, interval=st.sampled_from(["Min1", "Hour4", "Week1"]), t=times,
                o=values, h=values, l=values, c=values, a=values, q=values)
assets = record(currency=st.sampled_from(["USDT", "BTC", "NEW"]), availableBalance=values,
                frozenBalance=values, positionMargin=values, bonus=values)
funding = record(symbol=names, rate=values, nextSettleTime=times)


def frames(channel: str, data: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({"channel": st.just(channel), "data": data},
                                 optional={"symbol": names, "ts": times, "unheardOf": values})


any_frame = st.one_of(
    frames("push.deal", deals), frames("push.ticker", tickers),
    frames("push.tickers", st.lists(tickers, max_size=3)),
    frames("push.personal.order", orders), frames("push.personal.order.deal", fills),
    frames("push.kline", klines), frames("push.personal.asset", assets),
    frames("push.funding.rate", funding), frames("pong", times),
    frames("push.unheard.of", tickers), frames("push.deal", st.none()),
    st.fixed_dictionaries({}, optional={"channel": st.sampled_from(["rs.sub.deal", "x"]),
                                        "data": values, "msg": texts, "c": texts}))


@settings(max_examples=250)
@given(st.lists(any_frame, min_size=1, max_size=8))
@example([{"channel": "push.deal", "symbol": MARKET, "data": [
    {"p": 1e-7, "v": 3, "T": 1, "O": 1, "M": 1, "t": 1_700_000_000_000}]}])
@example([{"channel": "push.deal", "symbol": MARKET, "data": [
    {"p": 84000.0, "v": 100.0, "T": 2, "t": 1_700_000_000_999}]}])
def test_generated_frames_give_the_same(messages: list[Any]) -> None:
    asyncio.run(both(messages))


# The same in the venue's everyday shape: numbers, whole objects, known contracts.
usual = st.one_of(st.integers(0, 10**6), st.integers(1, 10**9).map(lambda x: x / 10000),
                  st.floats(1e-4, 1e7).map(lambda x: round(x, 6)), st.floats(1e-4, 1e14))
moment = st.integers(0, 1_999_999_999_999)
usual_ids = st.one_of(st.integers(1, 30), st.integers(1, 30).map(str))
whole = st.fixed_dictionaries
usual_frame = st.one_of(
    *[whole({"channel": st.just(channel), "symbol": st.just(MARKET), "ts": moment, "data": data})
      for channel, data in (
        ("push.deal", st.lists(whole({"p": usual, "v": usual, "T": st.integers(1, 2),
                                      "O": st.integers(1, 3), "M": st.integers(1, 2),
                                      "t": moment}), min_size=1, max_size=4)),
        ("push.ticker", whole(
            {"symbol": st.just(MARKET), "lastPrice": usual, "volume24": usual, "amount24": usual,
             "lower24Price": usual, "high24Price": usual, "timestamp": moment,
             "riseFallRate": st.one_of(st.floats(-1, 1), st.integers(-1, 1)), "bid1": usual,
             "ask1": usual, "riseFallValue": st.one_of(usual, usual.map(lambda x: -x))})),
        ("push.personal.order", whole(
            {"orderId": usual_ids, "symbol": st.just(MARKET), "price": usual, "vol": usual,
             "side": st.integers(1, 4), "orderType": st.integers(1, 6), "dealAvgPrice": usual,
             "dealVol": usual, "takerFee": usual, "makerFee": usual,
             "feeCurrency": st.just("USDT"), "state": st.integers(1, 5), "createTime": moment,
             "updateTime": moment, "externalOid": st.just("mine")})),
        ("push.personal.order.deal", whole(
            {"id": usual_ids, "symbol": st.just(MARKET), "side": st.integers(1, 4), "vol": usual,
             "price": usual, "fee": usual, "feeCurrency": st.sampled_from(["USDT", "MX"]),
             "timestamp": moment, "orderId": usual_ids, "positionMode": st.just(1)},
            optional={"taker": st.booleans(), "isTaker": st.booleans()})),
    )])


@settings(max_examples=150)
@given(st.lists(usual_frame, min_size=4, max_size=16))
def test_everyday_frames_give_the_same(messages: list[Any]) -> None:
    asyncio.run(both(messages))


@settings(max_examples=60)
@given(st.lists(st.one_of(
    frames("push.deal", deals.map(lambda rows: rows)), frames("push.personal.order", orders)),
    min_size=1, max_size=6))
def test_other_options_give_the_same(messages: list[Any]) -> None:
    """Numbers as text, no ids made, short caches."""
    asyncio.run(both(messages, number=str,
                     options={"useCcxtTradeId": False, "tradesLimit": 3, "ordersLimit": 2}))


# -- books --------------------------------------------------------------------------------------

FIRST = 1000


def depth(version: int, asks: Any = (), bids: Any = (), **more: Any) -> dict[str, Any]:
    return {"channel": "push.depth", "symbol": MARKET, "ts": NOW_MS + version,
            "data": {"asks": list(asks), "bids": list(bids), "end": version, "begin": version,
                     "version": version, **more}}


sizes = st.one_of(st.just(0), st.integers(1, 10**6), st.integers(1, 9).map(float),
                  st.sampled_from([0.0, 1e-3, 2.5, 10**12]))
asks = st.tuples(st.one_of(st.integers(1001, 1030), st.integers(10010, 10300).map(
    lambda x: x / 10)), sizes, st.integers(0, 9)).map(list)
bids = st.tuples(st.one_of(st.integers(970, 999), st.integers(9700, 9990).map(
    lambda x: x / 10)), sizes, st.integers(0, 9)).map(list)
changes = st.tuples(st.lists(asks, max_size=5), st.lists(bids, max_size=5))
sides_of_book = st.tuples(st.lists(asks, max_size=12), st.lists(bids, max_size=12))


def snapshot(version: int, levels: Any) -> dict[str, Any]:
    """As fetch_order_book gives it: floats, sorted, best first."""
    best = {}
    for name, rows, sign in (("asks", levels[0], 1), ("bids", levels[1], -1)):
        whole = {float(price): [float(price), float(size), float(count)]
                 for price, size, count in rows if size}
        best[name] = sorted(whole.values(), key=lambda row: sign * row[0])
    return {"symbol": SYMBOL, **best, "timestamp": NOW_MS, "datetime": None, "nonce": version}


@settings(max_examples=250)
@given(sides_of_book, st.lists(changes, min_size=1, max_size=25), st.integers(0, 1))
def test_books_are_the_same(levels: Any, steps: list[Any], lead: int) -> None:
    """Frames in order: every state, with its types and its digits, is stock's."""
    messages = [depth(FIRST + number, *step) for number, step in enumerate(steps, 1)]
    _, ours = asyncio.run(both(messages, snapshot(FIRST + lead, levels)))
    COUNTS["books"] += len(ours.watch())


@settings(max_examples=60)
@given(sides_of_book, st.lists(changes, min_size=30, max_size=40))
def test_the_wait_for_frames_can_be_stocks(levels: Any, steps: list[Any]) -> None:
    """options.mexcfast.snapshotDelay 25: the very same sequence of books as stock by default."""
    async def run() -> None:
        stock = Side(STOCK)
        ours = Side(OURS, options={"mexcfast": {"snapshotDelay": 25}})
        for side in (stock, ours):
            side.snapshots = [snapshot(FIRST + 10, levels)]
            side.open()
        for number, step in enumerate(steps, 1):
            for side in (stock, ours):
                assert side.feed(depth(FIRST + number, *step)) == ""
            await settle()
        assert ours.resolved == stock.resolved and len(ours.resolved) == len(steps) - 25
        COUNTS["books"] += len(ours.resolved)
        await stock.exchange.close()
        await ours.exchange.close()

    asyncio.run(run())


class Truth:
    """The slow book: every version there ever was."""

    def __init__(self, levels: Any, steps: list[Any]) -> None:
        whole = snapshot(FIRST, levels)
        sides = [{row[0]: row[1] for row in whole[name]} for name in ("asks", "bids")]
        self.at = {FIRST: copy.deepcopy(sides)}
        for number, step in enumerate(steps, 1):
            for side, rows in zip(sides, step, strict=True):
                for price, size, _ in rows:
                    if size:
                        side[float(price)] = float(size)
                    else:
                        side.pop(float(price), None)
            self.at[FIRST + number] = copy.deepcopy(sides)

    def snapshot(self, version: int) -> dict[str, Any]:
        return snapshot(version, [[[price, size, 1] for price, size in side.items()]
                                  for side in self.at[version]])

    def agrees(self, book: dict[str, Any]) -> bool:
        wanted = self.at[book["nonce"]]
        return ((book["asks"] and [row[:2] for row in book["asks"]]) or []) == [
            [price, wanted[0][price]] for price in sorted(wanted[0])] and [
            row[:2] for row in book["bids"]] == [
            [price, wanted[1][price]] for price in sorted(wanted[1], reverse=True)]


@settings(max_examples=150)
@given(sides_of_book, st.lists(changes, min_size=8, max_size=30), st.randoms(use_true_random=False))
def test_a_disturbed_stream_never_shows_a_wrong_book(levels: Any, steps: list[Any],
                                                     chance: Any) -> None:
    """Reordered, repeated and lost frames: each book shown is the true one of its version."""
    truth = Truth(levels, steps)
    order = list(range(1, len(steps) + 1))
    for _ in range(3):
        at = chance.randrange(1, len(order))
        kind = chance.choice(("lose", "repeat", "swap"))
        if kind == "lose" and len(order) > 4:
            del order[at]
        elif kind == "repeat":
            order.insert(at, order[chance.randrange(at)])
        elif kind == "swap":
            order[at - 1], order[at] = order[at], order[at - 1]

    async def run() -> None:
        ours = Side(OURS)
        now = FIRST
        ours.open()

        async def fresh(*_: Any) -> Any:
            ours.asked += 1
            return truth.snapshot(now)

        ours.exchange.fetch_order_book = fresh
        for number in order:
            now = max(now, FIRST + number)
            assert ours.feed(depth(FIRST + number, *steps[number - 1])) == ""
            await settle()
            COUNTS["disturbed"] += 1
        shown = ours.watch()
        assert shown and all(truth.agrees(book) for book in shown)
        assert [book["nonce"] for book in shown] == sorted(book["nonce"] for book in shown)
        assert shown[-1]["nonce"] == now
        await ours.exchange.close()

    asyncio.run(run())


# -- what ALLOWED names -------------------------------------------------------------------------

async def opened(kind: type, **config: Any) -> Side:
    side = Side(kind, **config)
    side.snapshots = [snapshot(FIRST, ([[1001, 5, 1], [1002, 6, 2]], [[999, 7, 1]]))]
    side.exchange.options["watchOrderBook"]["snapshotDelay"] = 0
    side.open()
    return side


def test_a_stale_frame_wakes_nobody() -> None:
    """Allowed: stale frame. Stock resolves again, with the old frame's time on the book."""
    async def run(kind: type) -> tuple[int, int]:
        side = await opened(kind)
        for version in (FIRST + 1, FIRST + 2, FIRST + 1):
            side.feed(depth(version, [[1003, version, 1]]))
            await settle()
        await side.exchange.close()
        return len(side.resolved), side.exchange.orderbooks[SYMBOL]["timestamp"] - NOW_MS

    assert asyncio.run(run(STOCK)) == (3, FIRST + 1)
    assert asyncio.run(run(OURS)) == (2, FIRST + 2)


def test_an_unreadable_frame_loads_the_book_again() -> None:
    """Allowed: unreadable frame. Stock forgets its version and keeps frames for ever."""
    async def run(kind: type) -> tuple[int, int]:
        side = await opened(kind)
        side.feed(depth(FIRST + 1, [[1003, 1, 1]]))
        await settle()
        broken = depth(FIRST + 2, [[1004, 1, 1]])
        for name in ("version", "begin", "end"):
            del broken["data"][name]
        side.feed(broken)
        await settle()
        side.snapshots = [snapshot(FIRST + 3, ([[1001, 1, 1]], [[999, 7, 1]]))]
        before = len(side.resolved)
        for version in range(FIRST + 3, FIRST + 6):
            side.feed(depth(version, [[1005, version, 1]]))
            await settle()
        await side.exchange.close()
        return side.asked, len(side.resolved) - before

    stock = asyncio.run(run(STOCK))
    ours = asyncio.run(run(OURS))
    assert ours[0] >= 2 and ours[1] >= 2
    assert stock != ours


def test_a_book_crossed_twice_is_loaded_again() -> None:
    """Allowed: gap. One crossed frame is shown, as stock does; a second one is not believed."""
    async def run(kind: type) -> tuple[int, float]:
        side = await opened(kind)
        side.feed(depth(FIRST + 1))
        await settle()
        side.snapshots = [snapshot(FIRST + 3, ([[1001, 5, 1]], [[999, 7, 1]]))]
        for version in (FIRST + 2, FIRST + 3, FIRST + 4):
            side.feed(depth(version, [[998, 1, 1]] if version < FIRST + 4 else []))
            await settle()
        await side.exchange.close()
        return side.asked, side.exchange.orderbooks[SYMBOL]["asks"][0][0]

    assert asyncio.run(run(STOCK)) == (1, 998)
    assert asyncio.run(run(OURS)) == (2, 1001)


def test_a_deal_may_be_an_object() -> None:
    """Allowed: deal object. Stock resolves with nothing."""
    deal = {"channel": "push.deal", "symbol": MARKET, "ts": NOW_MS,
            "data": {"p": 84000.5, "v": 4, "T": 2, "O": 3, "M": 2, "t": NOW_MS}}

    async def run(kind: type) -> Any:
        side = Side(kind)
        side.open()
        side.feed(deal)
        await side.exchange.close()
        return plain(list(side.exchange.trades[SYMBOL]))

    assert asyncio.run(run(STOCK)) == []
    (trade,) = asyncio.run(run(OURS))
    assert (trade["price"], trade["amount"], trade["side"]) == (84000.5, 4.0, "sell")


def test_counts_are_kept_with_fixes() -> None:
    """The count of orders at a price goes stale in stock, and here by default."""
    async def run(fixes: bool) -> Any:
        side = await opened(OURS, options={"mexcfast": {"fixes": fixes}})
        side.feed(depth(FIRST + 1, [[1001, 9, 4]]))
        await settle()
        await side.exchange.close()
        return side.watch()[-1]["asks"][0]

    assert asyncio.run(run(False)) == [1001, 9, 1]
    assert asyncio.run(run(True)) == [1001, 9, 4]


def test_zz_counts(capsys: pytest.CaptureFixture[str]) -> None:
    """Runs last: what the tests above have compared."""
    with capsys.disabled():
        print(f"\n  ccxt frames: {dict(COUNTS)}")
    assert COUNTS["frames"] > 1500 and COUNTS["resolved"] > 1000
    assert COUNTS["books"] > 1500 and COUNTS["disturbed"] > 1000
    for name in ("public_trade", "own_trade", "order", "ticker"):
        assert COUNTS[f"fast {name}"] > 100, "the fast way was not tried"

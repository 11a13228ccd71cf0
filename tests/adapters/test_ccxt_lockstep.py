"""Layer 2: stock ccxt and ours on one exchange, step by step: every resolved value is the same."""

from __future__ import annotations

import asyncio
import json
import re
from collections import Counter
from typing import Any

import pytest

from adapters.ccxt_support import MARKET, NEEDS_CCXT, OURS, STOCK, SYMBOL, online, text, until
from mexcfast.sim import Exchange

pytestmark = NEEDS_CCXT

ETH, ETH_MARKET = "ETH/USDT:USDT", "ETH_USDT"
OPEN = {"leverage": 20, "openType": 1}
WATCHES: dict[str, tuple[str, tuple[Any, ...]]] = {
    "book": ("watch_order_book", (SYMBOL,)),
    "other book": ("watch_order_book", (ETH,)),
    "trades": ("watch_trades", (SYMBOL,)),
    "other trades": ("watch_trades", (ETH,)),
    "ticker": ("watch_ticker", (SYMBOL,)),
    "tickers": ("watch_tickers", ([SYMBOL, ETH],)),
    "candles": ("watch_ohlcv", (SYMBOL, "1m")),
    "orders": ("watch_orders", (SYMBOL,)),
    "all orders": ("watch_orders", ()),
    "fills": ("watch_my_trades", (SYMBOL,)),
    "balance": ("watch_balance", ()),
}
#: the venue's clock in an answer: the two reads come one after the other
TIMES = re.compile(r"\b1[789]\d{11}\b|\d{4}-\d\d-\d\dT[\d:.]+Z")


class Follower:
    """One client that watches everything and writes down what it got."""

    def __init__(self, client: Any) -> None:
        self.client = client
        self.seen: dict[str, list[str]] = {name: [] for name in WATCHES}
        self.tasks = [asyncio.create_task(self._follow(name)) for name in WATCHES]

    async def _follow(self, name: str) -> None:
        method, args = WATCHES[name]
        while True:
            self.seen[name].append(text(await getattr(self.client, method)(*args)))

    async def stop(self) -> None:
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)
        await self.client.close()


def lockstep(steps: int) -> Counter[str]:
    """Walk both through the same market and trading; how many values were compared, by watch."""
    counts: Counter[str] = Counter()

    async def main() -> None:
        async with (
            asyncio.timeout(300 + steps),
            Exchange(updates_per_second=0, merge_ms=0, levels=40, limits=False,
                     symbols=(MARKET, ETH_MARKET), seed=11) as venue,
        ):
            # Stock begins a book at its 26th frame; to compare types and counts, so must ours.
            one = online(STOCK, venue)
            two = online(OURS, venue, options={"mexcfast": {"snapshotDelay": 25}})
            for client in (one, two):
                await client.load_markets()
            stock, ours = Follower(one), Follower(two)
            try:
                await until(lambda: subscribed(venue) == 2)
                for market in (MARKET, ETH_MARKET):
                    await venue.step_handled(26, market)
                await until(lambda: all(follower.seen[name] for follower in (stock, ours)
                                        for name in ("book", "other book")))
                await walk(venue, one, two, steps, counts)
                for name in WATCHES:
                    counts[name] = compare(name, stock.seen[name], ours.seen[name])
                await rest(one, two, counts)
            finally:
                await stock.stop()
                await ours.stop()

    asyncio.run(main())
    return counts


def compare(name: str, stock: list[str], ours: list[str]) -> int:
    """Nothing differs; how many values that were.

    Two frames that arrive in one read wake a watch once: trades are then one list of two, so lists
    are joined, and one of two states of a book or a candle may be missed; tickers come by the
    clock, whatever the steps.
    """
    if name.endswith("trades"):
        stock, ours = (text([row for one in each for row in json.loads(one)])
                       for each in (stock, ours))
        assert ours == stock, name
        return len(json.loads(ours))
    if name.startswith("ticker"):
        common = set(stock) & set(ours)
        times = set(map(time_of, stock)) & set(map(time_of, ours))
        assert times == set(map(time_of, common)), name
        return len(common)
    if name.endswith("book"):                    # the first is a snapshot, read twice over REST
        stock, ours = ([TIMES.sub("TIME", each[0]), *each[1:]] for each in (stock, ours))
        versions = set(map(version_of, stock)) & set(map(version_of, ours))
        assert len(versions) > 0.99 * max(len(stock), len(ours))
        stock, ours = ([one for one in each if version_of(one) in versions]
                       for each in (stock, ours))
    if name == "candles":
        common = set(stock) & set(ours)
        stock, ours = ([one for one in each if one in common] for each in (stock, ours))
        assert len(common) > 20, "hardly one in common"
    assert ours == stock, name
    return len(ours)


def version_of(book: str) -> str:
    return book[book.index('"nonce": '):]


def time_of(value: str) -> str:
    """When each ticker of one value was made."""
    return str(re.findall(r'"timestamp": (\d+)', value))


def subscribed(venue: Exchange) -> int:
    """Sockets that are logged in and have every topic of WATCHES."""
    return sum(session.account is not None and len(session.topics) == 7
               for session in venue._hub.sessions)


async def walk(venue: Exchange, one: Any, two: Any, steps: int, counts: Counter[str]) -> None:
    """Depth, trades, own orders; each movement is handled by both before the next."""
    placed: list[str] = []
    for number in range(steps):
        market = ETH_MARKET if number % 3 == 2 else MARKET
        if number % 20 == 7:
            side = "buy" if number % 40 == 7 else "sell"
            await venue.act_handled(lambda m=market, s=side: venue.trade(m, s, 1))
        elif number % 25 == 11:
            client = two if number % 50 == 11 else one
            bid = float(venue.book(MARKET).bids[5 + number % 7][0])
            order = await client.create_order(SYMBOL, "limit", "buy", 2, bid, dict(OPEN))
            placed.append(order["id"])
        elif number % 25 == 13:
            client = one if number % 50 == 13 else two
            await client.cancel_order(placed.pop(), SYMBOL)
        elif number % 60 == 17:
            await one.create_order(SYMBOL, "market", "buy", 1, None, dict(OPEN))
        elif number % 60 == 47:
            await two.create_order(SYMBOL, "market", "buy", 1, None, {"reduceOnly": True,
                                                                    "hedged": True})
        else:
            await venue.step_handled(1, market)
        counts["steps"] += 1


async def rest(one: Any, two: Any, counts: Counter[str]) -> None:
    """The same reads through both, one after the other while nothing moves."""
    for method, *args in (
            ("fetch_order_book", SYMBOL), ("fetch_order_book", SYMBOL, 5), ("fetch_trades", SYMBOL),
            ("fetch_ticker", SYMBOL), ("fetch_tickers",), ("fetch_ohlcv", SYMBOL, "1m"),
            ("fetch_open_orders", SYMBOL), ("fetch_orders", SYMBOL),
            ("fetch_closed_orders", SYMBOL), ("fetch_my_trades", SYMBOL), ("fetch_positions",),
            ("fetch_balance",),
            ("fetch_funding_rate", SYMBOL), ("fetch_leverage", SYMBOL), ("fetch_markets",)):
        theirs = TIMES.sub("TIME", text(await getattr(one, method)(*args)))
        mine = TIMES.sub("TIME", text(await getattr(two, method)(*args)))
        assert mine == theirs, method
        counts["rest"] += 1


def show(counts: Counter[str], capsys: pytest.CaptureFixture[str]) -> None:
    with capsys.disabled():
        print(f"\n  ccxt lock-step: {dict(counts)}: 0 differences")


def test_lock_step(capsys: pytest.CaptureFixture[str]) -> None:
    counts = lockstep(600)
    show(counts, capsys)
    assert counts["book"] > 250 and counts["other book"] > 100 and counts["rest"] == 15
    assert min(counts[name] for name in ("trades", "orders", "fills", "balance")) >= 5


@pytest.mark.soak
def test_a_long_lock_step(capsys: pytest.CaptureFixture[str]) -> None:
    counts = lockstep(12_000)
    show(counts, capsys)
    assert sum(counts[name] for name in WATCHES) > 10_000



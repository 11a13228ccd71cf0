"""Looks over every contract for funding and basis, then at the books of the best few.

    python examples/scanner.py                 20 seconds on the embedded exchange
    python examples/scanner.py --live          the live exchange; public data needs no keys

What it shows: one stream with all tickers, REST for what no stream has, books opened and left as
the list changes, and rows that say when their book may not be trusted. It places no orders.

carry: funding a year at today's rate, plus the basis; positive is paid to who is short. cost: what
a market order of that many dollars pays beyond the mid, of the price.
"""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal

import mexcfast as mx
from mexcfast.sim import Exchange
from mexcfast.types import Contract, ContractState, FundingRate

HOURS_A_YEAR = 24 * 365
FUNDING_EVERY_S = 60.0      # the tickers' stream does not carry it


@dataclass(frozen=True)
class Row:
    """One contract at one moment; rates as fractions."""

    symbol: str
    basis: float            # fair price over index price
    funding_rate: float     # of one cycle
    cycle_hours: int
    turnover: float         # of 24 hours, quote currency

    @property
    def carry(self) -> float:
        return self.funding_rate * HOURS_A_YEAR / self.cycle_hours + self.basis


def read_row(ticker: mx.events.TickerRow, funding: dict[str, FundingRate]) -> Row | None:
    """None when the venue left something out, as it does for new contracts."""
    rate = funding.get(ticker.symbol or "")
    if rate is None or not ticker.index_price or ticker.fair_price is None:
        return None
    return Row(rate.symbol, ticker.fair_price / ticker.index_price - 1, float(rate.rate),
               rate.cycle_hours or 8, ticker.amount24 or 0.0)


def best(rows: Iterable[Row], count: int, least_turnover: float) -> list[Row]:
    """The largest carry in either direction among what trades enough."""
    liquid = [row for row in rows if row.turnover >= least_turnover]
    return sorted(liquid, key=lambda row: (-abs(row.carry), row.symbol))[:count]


def cost(book: mx.OrderBook, contract: Contract, side: str, money: float) -> float | None:
    """What a market order pays beyond the mid, as a fraction; None: not sure, or too thin."""
    if not book.is_live or book.mid is None:
        return None
    contracts = int(Decimal(money) / (contract.contract_size * Decimal(str(book.mid))))
    price = book.average_price(side, max(contracts, 1))
    return None if price is None else abs(price / book.mid - 1)


class Scanner:
    """Keeps the books of the `count` best rows open, and of up to as many that were among them."""

    def __init__(self, client: mx.Client, count: int, money: float, least_turnover: float) -> None:
        self.client, self.count, self.money = client, count, money
        self.least_turnover = least_turnover
        self.rows: dict[str, Row] = {}
        self.listener = mx.Listener()       # whose interest keeps a book; nothing to be told
        self.watched: set[str] = set()
        self.contracts: dict[str, Contract] = {}

    async def follow(self) -> None:
        """Tickers in, until cancelled."""
        api = self.client.market_api
        self.contracts = {each.symbol: each for each in await api.contracts()
                          if each.state is ContractState.ENABLED and not each.is_inverse}
        loop, funding, read_at = asyncio.get_running_loop(), dict[str, FundingRate](), 0.0
        async for event in self.client.tickers():
            if not funding or loop.time() > read_at + FUNDING_EVERY_S:
                funding = {each.symbol: each for each in await api.funding_rates()}
                read_at = loop.time()
            for ticker in event.tickers:
                row = read_row(ticker, funding)
                if row is not None and row.symbol in self.contracts:
                    self.rows[row.symbol] = row
            # books of rows that only just fell out are kept: a new one costs a snapshot
            near = {row.symbol for row in self.best(2 * self.count)}
            self.watch({row.symbol for row in self.best(self.count)} | self.watched & near)

    def best(self, count: int) -> list[Row]:
        return best(self.rows.values(), count, self.least_turnover)

    def watch(self, wanted: set[str]) -> None:
        """Open and leave books; the client paces and places the subscriptions."""
        for symbol in self.watched - wanted:
            self.client.unsubscribe(self.listener, mx.topics.depth(symbol))
        for symbol in sorted(wanted - self.watched):
            self.client.subscribe(self.listener, mx.topics.depth(symbol))
        self.watched = wanted

    def table(self) -> str:
        lines = [f"{'contract':<14}{'carry':>9}{'funding':>10}{'basis':>9}{'buy cost':>10}"
                 f"{'sell cost':>11}  book"]
        for row in self.best(self.count):
            book = self.client.market.books.get(row.symbol)
            costs = [None if book is None else cost(book, self.contracts[row.symbol], side,
                                                    self.money) for side in ("buy", "sell")]
            buy, sell = ("?" if each is None else f"{each:.4%}" for each in costs)
            state = ("not asked for" if book is None else "live" if book.is_live
                     else book.doubt or book.state.name)
            lines.append(f"{row.symbol:<14}{row.carry:>9.2%}{row.funding_rate:>10.4%}"
                         f"{row.basis:>9.4%}{buy:>10}{sell:>11}  {state}")
        return "\n".join(lines)


async def scan(client: mx.Client, seconds: float, *, count: int, money: float,
               least_turnover: float, every_s: float = 2.0) -> Scanner:
    """Print the table now and then."""
    scanner = Scanner(client, count, money, least_turnover)
    following = asyncio.create_task(scanner.follow())
    loop = asyncio.get_running_loop()
    end = loop.time() + seconds
    try:
        while (left := end - loop.time()) > 0:
            done, _ = await asyncio.wait([following], timeout=min(every_s, left))
            if done:
                following.result()          # it never ends by itself: raises what went wrong
            print(scanner.table(), flush=True)
    finally:
        following.cancel()
        await asyncio.wait([following])
        scanner.watch(set())
    return scanner


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--live", action="store_true", help="the live exchange")
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--count", type=int, default=5, help="rows, and books kept open")
    parser.add_argument("--money", type=float, default=10_000, help="size the cost is of")
    parser.add_argument("--turnover", type=float, default=0, help="least of 24 hours")
    options = parser.parse_args()

    async def run(client: mx.Client) -> None:
        await scan(client, options.seconds, count=options.count, money=options.money,
                   least_turnover=options.turnover)

    if options.live:
        async with mx.Client() as client:
            await run(client)
        return
    async with Exchange(symbols=12) as venue, mx.Client(venue.rest_url) as client:
        await run(client)


if __name__ == "__main__":
    mx.run(main())

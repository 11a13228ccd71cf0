"""Profit statistics from an account's own records: deals, funding, transfers (protocol.md 14).

Days are UTC days. Amounts are in USDT: coins count at the index price of now.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from mexcfast.sim.accounts import ZERO, Account
from mexcfast.sim.calls import DAY_MS

if TYPE_CHECKING:
    from mexcfast.sim.venue import Venue

DOLLARS = ("USDT", "USDC", "USD")


def day_of(time_ms: int) -> int:
    """Start of the day, in ms."""
    return time_ms - time_ms % DAY_MS


def month_of(time_ms: int) -> int:
    """Start of the month, in ms."""
    moment = datetime.fromtimestamp(time_ms // 1000, UTC)
    first = moment.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    return int(first.timestamp()) * 1000


def rate(profit: Decimal, base: Decimal) -> Decimal:
    """A fraction with eight decimals; 0 without a base."""
    return round(profit / base, 8) if base > 0 else ZERO


def price_in_dollars(venue: Venue, currency: str) -> Decimal:
    """Index price of a coin; 0 when no contract knows it."""
    if currency in DOLLARS:
        return Decimal(1)
    for quote in DOLLARS:
        market = venue.markets.get(f"{currency}_{quote}")
        if market is not None:
            return market.contract.price(market.index_tick)
    return ZERO


@dataclass(slots=True)
class Day:
    """What one day brought, in USDT."""

    profit: Decimal = ZERO
    transferred: Decimal = ZERO


@dataclass(slots=True)
class Statistics:
    """The days of an account, oldest first, with nothing in between left out."""

    now_ms: int
    days: dict[int, Day] = field(default_factory=dict)
    unrealised: Decimal = ZERO
    wins: int = 0
    closes: int = 0

    def between(self, start_ms: int, end_ms: int) -> Iterator[tuple[int, Day, Decimal]]:
        """(day, its figures, money at its end)."""
        money = ZERO
        for time_ms, day in self.days.items():
            money += day.profit + day.transferred
            if day_of(start_ms) <= time_ms <= end_ms:
                yield time_ms, day, money

    def profit(self, days: int) -> Decimal:
        """Profit of the last so many days, today included."""
        first = day_of(self.now_ms) - (days - 1) * DAY_MS
        return sum((day.profit for time, day in self.days.items() if time >= first), ZERO)

    def base(self, days: int) -> Decimal:
        """Money before these days, plus what was transferred in them."""
        first = day_of(self.now_ms) - (days - 1) * DAY_MS
        return sum(
            (
                day.transferred + (day.profit if time < first else ZERO)
                for time, day in self.days.items()
            ),
            ZERO,
        )

    def recent(self, days: int) -> tuple[Decimal, Decimal]:
        """(profit, rate) of the last so many days."""
        profit = self.profit(days)
        return profit, rate(profit, self.base(days))

    def today(self, *, unrealised: bool) -> dict[str, Any]:
        """The members that every page of the family shares."""
        profit = self.profit(1) + (self.unrealised if unrealised else ZERO)
        return {
            "todayPnl": profit,
            "todayPnlRate": rate(profit, self.base(1)),
            "todayPnlFinished": True,
        }

    def history(self, start_ms: int, end_ms: int) -> dict[str, list[Any]]:
        """historyDailyData."""
        table: dict[str, list[Any]] = {
            "timeList": [],
            "accumPnlList": [],
            "accumPnlRateList": [],
            "dailyPnlList": [],
            "dailyPnlRateList": [],
            "dailyEquityList": [],
            "dailyIndexPriceRiseFallRateList": [],
        }
        total = first = ZERO
        for time_ms, day, money in self.between(start_ms, end_ms):
            before = money - day.profit
            first = first or before
            total += day.profit
            table["timeList"].append(time_ms)
            table["accumPnlList"].append(total)
            table["accumPnlRateList"].append(rate(total, first))
            table["dailyPnlList"].append(day.profit)
            table["dailyPnlRateList"].append(rate(day.profit, before))
            table["dailyEquityList"].append(money)
            table["dailyIndexPriceRiseFallRateList"].append(0)
        return table

    def months(self) -> dict[int, Decimal]:
        """Profit by month."""
        sums: dict[int, Decimal] = {}
        for time_ms, day in self.days.items():
            month = month_of(time_ms)
            sums[month] = sums.get(month, ZERO) + day.profit
        return sums


def statistics(
    venue: Venue,
    account: Account,
    *,
    currency: str | None = None,
    reverse: int = 0,
    symbol: str | None = None,
) -> Statistics:
    """Figures of an account: of one currency, one symbol, or one family (`reverse`, 11.8)."""

    def wanted(one: str) -> bool:
        family = 1 if one == "USDT" else 3 if one == "USDC" else 2
        return currency in (None, one) and reverse in (0, family)

    def dollars(one: str, amount: Decimal) -> Decimal:
        return amount * price_in_dollars(venue, one)

    now = venue.clock_ms()
    found = Statistics(now)
    booked: list[tuple[int, Decimal, Decimal]] = []
    for transfer in account.transfers:
        if wanted(transfer.currency):
            amount = dollars(transfer.currency, transfer.amount)
            booked.append((transfer.time_ms, ZERO, amount))
    for deal in account.deals:
        if wanted(deal.currency) and symbol in (None, deal.symbol):
            booked.append((deal.time_ms, dollars(deal.currency, deal.profit - deal.fee), ZERO))
            found.closes += deal.profit != 0
            found.wins += deal.profit > 0
    for one in account.funding:
        if wanted(one.currency) and symbol in (None, one.symbol):
            booked.append((one.time_ms, dollars(one.currency, one.amount), ZERO))
    first = min((time for time, _, _ in booked), default=now)
    last = max(now, max((time for time, _, _ in booked), default=now))
    for start in range(day_of(first), day_of(last) + 1, DAY_MS):
        found.days[start] = Day()
    for time, profit, moved in booked:
        day = found.days[day_of(time)]
        day.profit += profit
        day.transferred += moved
    for position in account.positions.values():
        contract = position.contract
        if wanted(contract.settle) and symbol in (None, contract.symbol):
            fair = venue.markets[contract.symbol].fair_price
            found.unrealised += dollars(contract.settle, position.unrealised(fair))
    return found


def ranking(venue: Venue, account: Account, days: int) -> tuple[int, Decimal]:
    """(place from 1, profit rate) among the accounts here."""
    mine = statistics(venue, account).recent(days)[1]
    better = sum(
        statistics(venue, other).recent(days)[1] > mine for other in venue.accounts.values()
    )
    return better + 1, mine

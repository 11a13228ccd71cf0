"""One contract as it trades: its book, its flow, its prices, trades and statistics."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from decimal import Decimal
from typing import NamedTuple

from mexcfast.sim.candles import Candles
from mexcfast.sim.contracts import Contract
from mexcfast.sim.flow import Flow
from mexcfast.sim.matching import BUY, SELL, Book

HOUR_MS = 3_600_000
FUNDING_CYCLE_MS = 8 * HOUR_MS


class PublicDeal(NamedTuple):
    """One trade as everybody sees it (7.3)."""

    id: int
    tick: int
    vol: int
    side: int
    """Taker side: 1 buy, 2 sell."""
    time_ms: int
    is_self: bool = False
    """One user on both sides."""


class Market:
    """One contract with its book, flow, prices and trades."""

    def __init__(
        self, contract: Contract, book: Book, flow: Flow, start: int, now_ms: int
    ) -> None:
        self.contract = contract
        self.book = book
        self.flow = flow
        self.deals: deque[PublicDeal] = deque(maxlen=1000)
        self.candles = Candles(contract)
        self.open_tick = start
        self.last_tick = start
        self.index_tick = start
        self.fair_tick = start
        self.high_tick = start + start // 200  # a calm day went before
        self.low_tick = start - start // 200
        self.volume = 0
        self.turnover_ticks = 0
        self.open_interest = 546_882
        self.funding_rate = Decimal("0.000072")
        self.cycle_ms = FUNDING_CYCLE_MS
        self.next_funding_ms = 0
        self.set_funding_cycle(self.cycle_ms, now_ms)
        self.funding_history: deque[tuple[int, Decimal]] = deque(maxlen=5000)
        """(settle time, rate), oldest first."""
        self.insurance_start = Decimal(1_000) if contract.inverse else Decimal(97_284_530)
        """The insurance fund of this contract when the exchange opened."""
        self.insurance_history: deque[tuple[int, Decimal]] = deque(maxlen=5000)
        """(time, amount), oldest first; hourly, and after every change."""
        self.index_candles = Candles(contract)
        self.fair_candles = Candles(contract)
        self.pinned = False
        """Fair and index price stay where they were put."""
        self.changed_deals = 0
        """Grows with every trade, so that periodic pushes can tell whether something happened."""

    @property
    def symbol(self) -> str:
        """The contract's name."""
        return self.contract.symbol

    @property
    def fair_price(self) -> Decimal:
        """The mark price."""
        return self.contract.price(self.fair_tick)

    def set_funding_cycle(self, cycle_ms: int, now_ms: int) -> None:
        """Settle at multiples of this from now on."""
        self.cycle_ms = cycle_ms
        self.next_funding_ms = now_ms - now_ms % cycle_ms + cycle_ms

    def update_prices(self) -> None:
        """Let the fair price be the mid and the index follow it; once a second is enough."""
        if self.pinned:
            return
        bid, ask = self.book.best(BUY), self.book.best(SELL)
        if bid is None or ask is None:
            return
        self.fair_tick = (bid + ask) // 2
        drift = self.fair_tick - self.index_tick
        self.index_tick += drift // 4 + self.flow.rng.randint(-1, 1)

    def record_prices(self, now_ms: int) -> None:
        """Take the index and fair price into their candles; the insurance fund once an hour."""
        self.index_candles.add(now_ms, self.index_tick, 0)
        self.fair_candles.add(now_ms, self.fair_tick, 0)
        time_ms, amount = self.insurance_history[-1]
        if now_ms - time_ms >= HOUR_MS:
            self.insurance_history.append((now_ms, amount))

    def snapshot_insurance(self, now_ms: int, moved: Decimal) -> None:
        """Remember the insurance fund after it gained or lost `moved` since the start."""
        self.insurance_history.append((now_ms, self.insurance_start + moved))

    def record(self, deals: Iterable[PublicDeal]) -> None:
        """Take trades into the tape, the statistics and the candles."""
        for deal in deals:
            self.deals.append(deal)
            self.last_tick = deal.tick
            self.high_tick = max(self.high_tick, deal.tick)
            self.low_tick = min(self.low_tick, deal.tick)
            self.volume += deal.vol
            self.turnover_ticks += deal.vol * deal.tick
            self.changed_deals += 1
            self.candles.add(deal.time_ms, deal.tick, deal.vol)

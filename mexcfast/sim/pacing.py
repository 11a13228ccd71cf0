"""One timer task drives everything that happens by itself: flow, merged frames, periodic pushes.

Each wake-up does all work that is due; a late wake-up catches up. Work that would lie more than
half a second in the past is given up, so that a stall does not become a flood.
"""

from __future__ import annotations

import asyncio
import random
import time

from mexcfast.sim.faults import Faults
from mexcfast.sim.market import Market
from mexcfast.sim.stream import Hub
from mexcfast.sim.venue import Venue

MILLION = 1_000_000
STATE_NS = 200 * MILLION
SECOND_NS = 1_000 * MILLION
HOUSE_NS = 20 * MILLION
BACKLOG_NS = 500 * MILLION
BURST_CHANCE = 0.002


class Clockwork:
    """Due times of one contract, in monotonic nanoseconds."""

    def __init__(self, market: Market, start_ns: int, offset_ns: int) -> None:
        self.market = market
        self.step_ns = start_ns + offset_ns
        self.flush_ns = start_ns + offset_ns
        self.state_ns = start_ns + offset_ns
        self.second_ns = start_ns + offset_ns


class Pacer:
    """Runs the venue in real time."""

    def __init__(
        self, venue: Venue, hub: Hub, faults: Faults, rate: float, *, sets_prices: bool = True
    ) -> None:
        self.venue = venue
        self.hub = hub
        self.faults = faults
        self.sets_prices = sets_prices
        """Derive index and fair prices from the book; False when a source brings them."""
        self.steps = 0
        self.skipped = 0
        """Steps given up after a stall."""
        self._rng = random.Random(f"{venue.seed}:pacing")
        self._rate = 0.0
        self._works: list[Clockwork] = []
        self._house_ns = 0
        self._slow_ns = 0
        self.set_rate(rate)

    @property
    def rate(self) -> float:
        """Versions per second and contract."""
        return self._rate

    def set_rate(self, rate: float) -> None:
        """0 pauses the flow (step mode), otherwise up to 5000."""
        if not 0 <= rate <= 5000:
            raise ValueError(f"updates_per_second {rate}: 0 (paused) to 5000")
        self._rate = rate
        now = time.monotonic_ns()
        for work in self._works:
            work.step_ns = now

    async def run(self) -> None:
        """Until cancelled."""
        start = time.monotonic_ns()
        markets = list(self.venue.markets.values())
        spread = 100 * MILLION // max(1, len(markets))
        self._works = [
            Clockwork(market, start, index * spread) for index, market in enumerate(markets)
        ]
        self._house_ns = start + HOUSE_NS
        self._slow_ns = start + 2 * SECOND_NS
        while True:
            due = self.run_due(time.monotonic_ns())
            wait = due - time.monotonic_ns()
            # Event loops count in milliseconds: a shorter wait would be no wait at all, and the
            # loop would spin. What is due within one goes out together, in one write.
            await asyncio.sleep(0 if wait <= 0 else max(MILLION, wait) / 1e9)

    def run_due(self, now: int) -> int:
        """Do what is due; returns when to come back."""
        merge_ns = self.hub.merge_ms * MILLION
        next_due = self._house_ns
        for work in self._works:
            market = work.market
            if self._rate:
                next_due = min(next_due, self._run_steps(work, now))
            if merge_ns:
                if now >= work.flush_ns:
                    self.hub.flush_depth(market)
                    self.hub.flush_deals(market)
                    work.flush_ns = _after(work.flush_ns, merge_ns, now)
                next_due = min(next_due, work.flush_ns)
            if now >= work.state_ns:
                self.hub.flush_states(market)
                work.state_ns = _after(work.state_ns, STATE_NS, now)
            if now >= work.second_ns:
                if self.sets_prices:
                    market.update_prices()
                self.venue.each_second(market)
                self.hub.publish_second(market)
                work.second_ns = _after(work.second_ns, SECOND_NS, now)
        if now >= self._house_ns:
            self._house_ns = _after(self._house_ns, HOUSE_NS, now)
            self.hub.enforce_limits()
            self.faults.run_due(now)
            if now >= self._slow_ns:
                self._slow_ns = _after(self._slow_ns, 2 * SECOND_NS, now)
                self.hub.publish_slow()
            next_due = min(next_due, self._house_ns)
        return next_due

    def _run_steps(self, work: Clockwork, now: int) -> int:
        period = int(1e9 / self._rate)
        if now - work.step_ns > BACKLOG_NS:
            given_up = (now - work.step_ns - BACKLOG_NS) // period
            self.skipped += given_up
            work.step_ns += given_up * period
        while work.step_ns <= now:
            # A burst borrows the steps of the near future, so that the average rate stays.
            count = self._rng.randint(3, 12) if self._rng.random() < BURST_CHANCE else 1
            for _ in range(count):
                self.venue.step(work.market)
            self.steps += count
            work.step_ns += count * period
        return work.step_ns


def _after(due: int, period: int, now: int) -> int:
    """The next due time in the same phase that lies in the future."""
    return due + period * ((now - due) // period + 1)

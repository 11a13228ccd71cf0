"""A grid that survives crashes: buys on the way down, sells each buy one step higher.

    python examples/grid.py                 20 seconds on the embedded exchange
    python examples/grid.py --live          the real one, keys from MEXC_API_KEY / _SECRET

What it shows: everything a bot needs to be left alone. What should rest at the venue is computed
from what is held, so a restart is the same code as any other moment. A journal settles the doubts
of an earlier run first, the kill switch and a watchdog process take everything back when something
is wrong, and an order in doubt counts as one that rests: its level is not placed twice.

It wants its contract for itself: orders and positions of others in it are not told apart.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import tempfile
from collections import defaultdict
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

import mexcfast as mx
from mexcfast.core.intent import snap_price
from mexcfast.sim import Exchange
from mexcfast.types import Contract, PositionType

Level = tuple[mx.Side, Decimal]
ZERO = Decimal(0)


@dataclass(frozen=True)
class Grid:
    """Unit i of `quantity` contracts is bought i steps under the centre, sold one step higher."""

    contract: Contract
    centre: Decimal
    step: Decimal           # quote currency
    levels: int
    quantity: Decimal       # contracts

    def price(self, i: int) -> Decimal:
        return snap_price(self.contract, self.centre - i * self.step)

    def wanted(self, held: Decimal) -> dict[Level, Decimal]:
        """What should rest while this much is held, half-filled units included: level -> contracts.

        Nearest to the market first. What is held beyond the last unit is not this grid's.
        """
        found: dict[Level, Decimal] = {}
        for i in range(1, self.levels + 1):
            bought = min(max(held - (i - 1) * self.quantity, ZERO), self.quantity)
            if bought:
                found[mx.Side.CLOSE_LONG, self.price(i - 1)] = bought
            if bought < self.quantity:
                found[mx.Side.OPEN_LONG, self.price(i)] = self.quantity - bought
        return found


class GridTrader:
    """Keeps what rests equal to what is wanted."""

    RETRY_S = 5.0           # after a level was refused
    PATIENCE_S = 5.0        # for position and fills to agree

    def __init__(self, client: mx.Client, grid: Grid, leverage: int = 5) -> None:
        self.client, self.orders, self.grid, self.leverage = client, client.orders, grid, leverage
        self.symbol = grid.contract.symbol
        self.changed = asyncio.Event()
        self.refused: dict[Level, float] = {}           # level -> when it may be tried again
        self.disagrees_since: float | None = None
        self.count_anew()
        self.orders.on_change.append(self.on_change)

    def held(self) -> Decimal:
        position = self.orders.mirror.position(self.symbol, PositionType.LONG)
        return position.quantity if position is not None else ZERO

    def count_anew(self) -> None:
        self.expected = self.held()
        self.filled = {order: order.filled_quantity
                       for order in self.orders.open_orders(self.symbol)}

    def on_change(self, order: mx.LiveOrder) -> None:
        """An own order has news; count what it filled since we last heard of it."""
        if order.symbol == self.symbol and order.side is not None:
            change = order.filled_quantity - self.filled.get(order, ZERO)
            self.expected += change if order.side.is_open else -change
            self.filled[order] = order.filled_quantity
            if len(self.filled) > 10_000:
                del self.filled[next(iter(self.filled))]        # ended long ago
        self.changed.set()

    def may_act(self, now: float) -> bool:
        """Only while two judges agree on what is held: the position and our own fills.

        Their pushes come one after the other; in between a filled buy would look like a missing
        one, and be placed again.
        """
        if not self.client.trader.ready.is_set():
            return False
        if self.held() == self.expected:
            self.disagrees_since = None
            return True
        self.disagrees_since = self.disagrees_since or now
        return False

    def resting(self) -> dict[Level, list[mx.LiveOrder]]:
        """Own orders that live, or may: those on their way and those in doubt as well."""
        found: dict[Level, list[mx.LiveOrder]] = defaultdict(list)
        for order in self.orders.open_orders(self.symbol):
            if order.side is not None and order.price is not None:
                found[order.side, order.price].append(order)
        return found

    async def act(self) -> None:
        """Place what is missing, take back what is too much."""
        now = asyncio.get_running_loop().time()
        if not self.may_act(now):
            if self.disagrees_since is not None and now > self.disagrees_since + self.PATIENCE_S:
                await self.orders.refresh()             # somebody else traded, or a push was lost
                self.count_anew()
                self.disagrees_since = None
            return
        book = await self.client.book(self.symbol)
        wanted, resting = self.grid.wanted(self.held()), self.resting()
        extra: list[mx.LiveOrder] = []
        for level, orders in resting.items():
            if sum((order.remaining_quantity or ZERO) for order in orders) > wanted.get(level, 0):
                extra += [order for order in orders if order.phase is mx.Phase.OPEN]
        if extra:
            await self.orders.cancel(extra)             # their ends come by stream; then again
            return
        for level, quantity in wanted.items():
            there = sum((order.remaining_quantity or ZERO) for order in resting.get(level, ()))
            side, price = level
            if there >= quantity or self.refused.get(level, 0) > now:
                continue
            if side.is_open and (book.best_ask is None or price >= Decimal(str(book.best_ask))):
                continue                                # the market is below: no post-only bid here
            self.place(level, quantity - there)

    def place(self, level: Level, quantity: Decimal) -> None:
        side, price = level
        type = mx.OrderType.POST_ONLY if side.is_open else mx.OrderType.LIMIT

        def told(outcome: mx.Accepted | mx.Rejected | mx.Unknown) -> None:
            if isinstance(outcome, mx.Rejected):        # for certain; an Unknown goes on resting
                self.refuse(level, outcome.reason)

        try:
            self.orders.submit_nowait(
                self.symbol, side, quantity, price, type=type, wait=True, callback=told,
                leverage=self.leverage if side.is_open else None)
        except mx.MexcfastError as refusal:
            self.refuse(level, str(refusal))

    def refuse(self, level: Level, why: str) -> None:
        self.refused[level] = asyncio.get_running_loop().time() + self.RETRY_S
        print(f"{level[0].name} at {level[1]} refused: {why}")

    async def run(self) -> None:
        """Until cancelled, or until the kill switch has tripped."""
        while not self.client.kill_switch.is_tripped:
            self.changed.clear()
            await self.act()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(1.0):
                    await self.changed.wait()


def remembered_centre(journal: str, price: float) -> Decimal:
    """Where the grid was when it first started; now, when it never did."""
    path = Path(f"{journal}.centre")
    if not path.exists():
        fresh = path.with_suffix(".fresh")
        fresh.write_text(str(price), encoding="ascii")
        fresh.replace(path)
    return Decimal(path.read_text(encoding="ascii"))


async def trade(client: mx.Client, symbol: str, journal: str, seconds: float, *,
                step: Decimal, levels: int, quantity: int) -> GridTrader:
    """Run the grid for a while; its orders rest on, for the next start to find."""
    await client.start()                    # returns when nothing of an earlier run is in doubt
    book = await client.book(symbol)
    centre = remembered_centre(journal, book.mid or 0)
    contract = client.orders.contracts[symbol]
    trader = GridTrader(client, Grid(contract, centre, step, levels, Decimal(quantity)))
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await trader.run()
    return trader


LIMITS = mx.RiskLimits(max_position=60, max_notional=2000, max_open_orders=20,
                       max_book_age_ms=5000, max_clock_error_ms=500)
SWITCH = mx.KillSwitchSettings(max_loss=50, max_unknown=3, signals=("SIGTERM",))


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--live", action="store_true", help="trade for real")
    parser.add_argument("--symbol", default="BTC_USDT")
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--step", type=Decimal, default=Decimal("1.5"), help="quote currency")
    parser.add_argument("--levels", type=int, default=5)
    parser.add_argument("--quantity", type=int, default=10, help="contracts a level")
    parser.add_argument("--journal", help="where doubts, the switch and the centre are kept; "
                                          "beside you when live")
    options = parser.parse_args()

    async def run(endpoint: str | mx.Endpoint, journal: str) -> None:
        async with mx.Client.from_env(endpoint, journal=journal, limits=LIMITS,
                                      kill_switch=SWITCH, alerts=[print]) as client:
            if client.kill_switch.is_tripped:
                raise SystemExit(f"the kill switch is tripped: {client.kill_switch.trip_info}\n"
                                 f"mexcfast doctor --reset-kill-switch {journal}.switch "
                                 f"--reason '...'")
            await client.watchdog()         # cancels everything should this process die
            trader = await trade(client, options.symbol, journal, options.seconds,
                                 step=options.step, levels=options.levels,
                                 quantity=options.quantity)
            if client.kill_switch.is_tripped:
                await client.kill_switch.until_safe()       # no order is open
                print("stopped by the kill switch:", client.kill_switch.trip_info)
            else:
                await client.orders.cancel_all(options.symbol)
            print(trader.held(), "contracts held,", len(client.orders.unresolved), "in doubt")

    if options.live:
        await run(mx.LIVE, options.journal or "grid")
        return
    with tempfile.TemporaryDirectory() as folder:
        async with Exchange() as venue:
            os.environ.update(MEXC_API_KEY=venue.access_key, MEXC_API_SECRET=venue.secret)
            await run(venue.rest_url, options.journal or f"{folder}/grid")


if __name__ == "__main__":
    mx.run(main())

"""An account with an open order of every kind, for tests of what must cancel them all."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from decimal import Decimal

import mexcfast as mx
from mexcfast.sim import Exchange
from mexcfast.sim.truth import open_counts
from mexcfast.types import BackType, OrderType, Side, TriggerType

SYMBOL = "BTC_USDT"
KINDS = ("limit", "plan", "stop", "trailing")


async def place_everything(venue: Exchange, client: mx.Client, limit_orders: int = 2) -> None:
    """A position, and limit, plan, TP/SL and trailing orders that nothing will trigger soon."""
    if not client.orders.contracts:
        await client.orders.load_contracts()
    tick = client.orders.contracts[SYMBOL].tick_size
    best = Decimal(str(venue.book(SYMBOL).bids[0][0]))

    def price(part: str) -> Decimal:
        return (best * Decimal(part) // tick) * tick

    taken = await client.orders.submit(SYMBOL, Side.OPEN_LONG, 10, type=OrderType.MARKET,
                                       leverage=20, wait=True)
    assert isinstance(taken, mx.Accepted), taken
    for number in range(limit_orders):
        rests = await client.orders.submit(SYMBOL, Side.OPEN_LONG, 1 + number, price("0.97"),
                                           leverage=20, wait=True)
        assert isinstance(rests, mx.Accepted), rests
    plan = await client.conditional.plan.place(
        SYMBOL, Side.OPEN_LONG, 1, price("0.9"), TriggerType.AT_OR_BELOW, type=OrderType.MARKET,
        leverage=20, wait=True)
    assert isinstance(plan, mx.Accepted), plan
    held, = await client.positions.open()
    stop = await client.conditional.stop.place(held.position_id, 10, symbol=SYMBOL,
                                               stop_loss_price=price("0.9"),
                                               take_profit_price=price("1.1"), wait=True)
    assert isinstance(stop, mx.Accepted), stop
    trailing = await client.conditional.trailing.place(
        SYMBOL, Side.CLOSE_LONG, 1, BackType.PERCENTAGE, Decimal("0.1"), leverage=20, wait=True)
    assert isinstance(trailing, mx.Accepted), trailing
    assert truth(venue) == {"limit": limit_orders, "plan": 1, "stop": 1, "trailing": 1}


def truth(venue: Exchange) -> dict[str, int]:
    """Open orders at the exchange, by kind."""
    return {kind: count for kind, count in open_counts(venue).items() if kind in KINDS}


def is_empty(venue: Exchange) -> bool:
    return not any(truth(venue).values())


async def until(holds: Callable[[], bool]) -> None:
    while not holds():  # noqa: ASYNC110 - what is waited for has no event
        await asyncio.sleep(0.01)

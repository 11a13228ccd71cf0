"""Runs the compiled strategy: python trade.py [--live]; 20 seconds on the embedded exchange.

With --live it trades for real, keys from MEXC_API_KEY and MEXC_API_SECRET.
"""

from __future__ import annotations

import argparse
import asyncio
from typing import Any

import pressure

import mexcfast as mx
from mexcfast.sim import Exchange
from mexcfast.types import PositionType

LIMITS = mx.RiskLimits(max_position=20, max_notional=1000, max_leverage=10, max_book_age_ms=2000)


async def trade(client: mx.Client, symbol: str, seconds: float, **settings: Any) -> Any:
    """Let the strategy trade for a while, then close what it holds; returns the strategy."""
    await client.start()
    strategy = pressure.Pressure(client, **settings)
    depth = mx.topics.depth(symbol)
    client.subscribe(strategy, depth)
    try:
        await asyncio.sleep(seconds)
    finally:
        client.unsubscribe(strategy, depth)
        await leave(client, symbol)
    return strategy


async def leave(client: mx.Client, symbol: str) -> None:
    """Wait for what is under way, then close the position."""
    async with asyncio.timeout(60):
        for order in client.orders.open_orders(symbol):
            await order.done()
    await client.orders.refresh()
    for held in list(client.orders.mirror.positions.values()):
        if held.symbol == symbol and held.type == PositionType.LONG:
            await client.orders.submit(symbol, mx.Side.CLOSE_LONG, held.quantity,
                                       type=mx.OrderType.MARKET, position_id=held.position_id,
                                       wait=True)


async def main() -> None:
    parser = argparse.ArgumentParser(description="The compiled strategy at work.")
    parser.add_argument("--live", action="store_true", help="trade for real")
    parser.add_argument("--symbol", default="BTC_USDT")
    parser.add_argument("--seconds", type=float, default=20)
    options = parser.parse_args()
    if options.live:
        async with mx.Client.from_env(limits=LIMITS) as client:
            did = await trade(client, options.symbol, options.seconds)
    else:
        async with (Exchange() as venue,
                    mx.Client(venue.rest_url, venue.access_key, venue.secret, limits=LIMITS)
                    as client):
            did = await trade(client, options.symbol, options.seconds)
    print(f"{did.books} books, bought {did.bought}, sold {did.sold}, refused {did.refused}")


if __name__ == "__main__":
    mx.run(main())

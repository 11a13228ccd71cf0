"""A small taker: buys when bids outweigh asks, sells when asks do, and leaves after a while.

    python examples/taker.py                 20 seconds on the embedded exchange
    python examples/taker.py --live          the real one, keys from MEXC_API_KEY / _SECRET

What it shows: acting on a book only while it is sure of itself, IOC orders with a limit price,
three kinds of outcome, and closing what was opened whatever happened in between.
"""

from __future__ import annotations

import argparse
import asyncio
from collections import Counter
from decimal import Decimal

import mexcfast as mx
from mexcfast.sim import Exchange
from mexcfast.types import PositionType

LEVELS = 5          # of each side that are weighed
THRESHOLD = 0.6     # share of one side that counts as pressure
HOLD_SECONDS = 1.0
PACE_SECONDS = 1.0  # four order entries per two seconds are all the venue gives


def pressure(book: mx.OrderBook) -> float:
    """Share of the bids in the best levels' quantity: 0 all asks, 1 all bids."""
    bids = sum(quantity for _, quantity, _ in book.bids(LEVELS))
    asks = sum(quantity for _, quantity, _ in book.asks(LEVELS))
    return bids / (bids + asks) if bids + asks else 0.5


async def take(client: mx.Client, symbol: str, quantity: int, buys: bool) -> mx.Accepted | None:
    """Take the best price, no worse; None when it did not come to an order."""
    book = await client.book(symbol)
    price = book.best_ask if buys else book.best_bid
    if price is None:
        return None
    try:
        outcome = await client.orders.submit(
            symbol, mx.Side.OPEN_LONG if buys else mx.Side.OPEN_SHORT, quantity,
            Decimal(str(price)), type=mx.OrderType.IOC, leverage=5, wait=True, max_age_ms=200)
    except mx.IntentError as refusal:
        print("not sent:", refusal)
        return None
    if isinstance(outcome, mx.Rejected):
        print("refused:", outcome.reason)
        return None
    order = client.orders.find(outcome.client_order_id or "")
    if order is not None:
        async with asyncio.timeout(30):
            await order.done()      # an Unknown is settled in the background first
    return outcome if isinstance(outcome, mx.Accepted) else None


async def leave(client: mx.Client, symbol: str) -> None:
    """Close whatever is held. Closing orders wait for their slot before opening ones."""
    await client.orders.refresh()
    for position in client.orders.mirror.positions.values():
        if position.symbol == symbol:
            side = (mx.Side.CLOSE_LONG if position.type == PositionType.LONG
                    else mx.Side.CLOSE_SHORT)
            await client.orders.submit(symbol, side, position.quantity, type=mx.OrderType.MARKET,
                                       position_id=position.position_id, wait=True)
    await client.orders.refresh()


async def trade(client: mx.Client, symbol: str, seconds: float) -> Counter[str]:
    """Take for a while; returns how often it bought, sold and waited."""
    await client.start()
    book, did = await client.book(symbol), Counter[str]()
    loop = asyncio.get_running_loop()
    end = loop.time() + seconds
    try:
        while loop.time() < end:
            share = pressure(book)
            if THRESHOLD > share > 1 - THRESHOLD:
                did["waited"] += 1
                await asyncio.sleep(0.02)
                continue
            buys = share >= THRESHOLD
            if await take(client, symbol, 5, buys):
                did["bought" if buys else "sold"] += 1
                await asyncio.sleep(HOLD_SECONDS)
                await leave(client, symbol)
            await asyncio.sleep(PACE_SECONDS)
    finally:
        await leave(client, symbol)
    return did


LIMITS = mx.RiskLimits(max_position=20, max_notional=1000, max_book_age_ms=2000,
                       max_clock_error_ms=500)


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--live", action="store_true", help="trade for real")
    parser.add_argument("--symbol", default="BTC_USDT")
    parser.add_argument("--seconds", type=float, default=20)
    options = parser.parse_args()
    if options.live:
        async with mx.Client.from_env(limits=LIMITS) as client:
            print(dict(await trade(client, options.symbol, options.seconds)))
        return
    async with (Exchange() as venue,
                mx.Client(venue.rest_url, venue.access_key, venue.secret, limits=LIMITS) as client):
        print(dict(await trade(client, options.symbol, options.seconds)))
        print("balance:", (await client.account.balance("USDT")).equity)


if __name__ == "__main__":
    mx.run(main())

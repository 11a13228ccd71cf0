"""A small market maker: one post-only quote a side, moved when the market has moved away.

    python examples/market_maker.py                 20 seconds on the embedded exchange
    python examples/market_maker.py --live          the real one, keys from MEXC_API_KEY / _SECRET

What it shows: own orders as live objects, quotes that replace each other while they wait for the
venue's 4 slots per 2 s, limits that no order gets past, a journal that survives a crash.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
from contextlib import suppress
from decimal import Decimal
from pathlib import Path

import mexcfast as mx
from mexcfast.core.intent import snap_price
from mexcfast.sim import Exchange
from mexcfast.types import PositionType

LONG, SHORT = PositionType.LONG, PositionType.SHORT


class MarketMaker(mx.Listener):
    """Quotes `quantity` contracts `distance` (a fraction of the price) from the microprice."""

    def __init__(self, client: mx.Client, symbol: str, quantity: int, distance: float) -> None:
        self.orders, self.symbol = client.orders, symbol
        self.quantity, self.distance = quantity, distance
        self.quotes: dict[str, mx.LiveOrder] = {}
        self.cancelling: set[asyncio.Task[object]] = set()
        self.is_quoting = True

    def on_book(self, book: mx.OrderBook) -> None:
        """Every change of a LIVE book: look whether a quote should move."""
        fair = book.microprice
        if self.is_quoting and fair is not None:
            self.quote("bid", fair * (1 - self.distance), fair)
            self.quote("ask", fair * (1 + self.distance), fair)

    def quote(self, name: str, price: float, fair: float) -> None:
        mine = self.quotes.get(name)
        if mine is None or mine.is_final:
            self.place(name, price)
        elif mine.price is None or abs(float(mine.price) - price) < fair * self.distance / 2:
            return
        elif mine.ts_sent_ms is None:
            self.place(name, price)     # it still waits: the newer one takes its place
        elif mine.order_id is not None:
            del self.quotes[name]
            task = asyncio.ensure_future(self.orders.cancel([mine]))
            self.cancelling.add(task)
            task.add_done_callback(self.cancelling.discard)

    def place(self, name: str, price: float) -> None:
        held = {kind: self.orders.mirror.position(self.symbol, kind) for kind in (LONG, SHORT)}
        if name == "bid":
            side = mx.Side.CLOSE_SHORT if held[SHORT] else mx.Side.OPEN_LONG
        else:
            side = mx.Side.CLOSE_LONG if held[LONG] else mx.Side.OPEN_SHORT
        exact = snap_price(self.orders.contracts[self.symbol], Decimal(str(price)))
        with suppress(mx.IntentError):      # a limit says no: there will be another book
            self.quotes[name] = self.orders.submit_nowait(
                self.symbol, side, self.quantity, exact, type=mx.OrderType.POST_ONLY, leverage=5,
                wait=True, key=name, max_age_ms=500)

    async def stop(self) -> None:
        """Take the quotes back."""
        self.is_quoting = False
        await self.orders.cancel_all(self.symbol)


async def trade(client: mx.Client, symbol: str, seconds: float) -> MarketMaker:
    """Quote for a while."""
    await client.start()
    maker = MarketMaker(client, symbol, quantity=10, distance=0.0002)
    client.subscribe(maker, mx.topics.depth(symbol))
    await asyncio.sleep(seconds)
    await maker.stop()
    return maker


LIMITS = mx.RiskLimits(max_position=50, max_notional=1000, max_open_orders=4, max_book_age_ms=2000)


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--live", action="store_true", help="trade for real")
    parser.add_argument("--symbol", default="BTC_USDT")
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--journal", default=str(Path(tempfile.gettempdir()) / "mexcfast-maker"))
    options = parser.parse_args()
    if options.live:
        async with mx.Client.from_env(journal=options.journal, limits=LIMITS) as client:
            await report(client, options.symbol, options.seconds)
        return
    async with (Exchange() as venue,
                mx.Client(venue.rest_url, venue.access_key, venue.secret, limits=LIMITS) as client):
        await report(client, options.symbol, options.seconds)


async def report(client: mx.Client, symbol: str, seconds: float) -> None:
    await trade(client, symbol, seconds)
    orders = list(client.orders.tracker)
    filled = sum(order.filled_quantity for order in orders)
    print(f"{len(orders)} quotes, {filled} contracts filled, "
          f"{len(client.orders.unresolved)} orders in doubt")
    for position in client.orders.mirror.positions.values():
        print(f"{position.type.name} {position.quantity} at {position.hold_average_price}")


if __name__ == "__main__":
    mx.run(main())

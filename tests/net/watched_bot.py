"""A bot in a process of its own, to be killed while a watchdog watches it.

watched_bot.py REST_URL KEY SECRET JOURNAL SILENCE_MS END: places an order of every kind, prints
"here" and then: END "hang" beats on until it is killed; "freeze" holds its own event loop up until
it reads a line from standard input, then tries to open once more and prints the outcome; "exit"
ends as it wants; "raise" falls over.
"""

from __future__ import annotations

import asyncio
import sys
from decimal import Decimal

import mexcfast as mx
from mexcfast.core.rest import Endpoint
from mexcfast.types import BackType, OrderType, Side, TriggerType

SYMBOL = "BTC_USDT"


async def place_everything(client: mx.Client) -> None:
    ticker, = await client._executor.request("tickers", params={"symbol": SYMBOL})
    tick = client.orders.contracts[SYMBOL].tick_size

    def price(part: str) -> Decimal:
        return (ticker.last_price * Decimal(part) // tick) * tick

    done = [await client.orders.submit(SYMBOL, Side.OPEN_LONG, 10, type=OrderType.MARKET,
                                       leverage=20, wait=True),
            await client.orders.submit(SYMBOL, Side.OPEN_LONG, 1, price("0.95"), leverage=20,
                                       wait=True)]
    held, = await client.positions.open()
    done += [
        await client.conditional.plan.place(SYMBOL, Side.OPEN_LONG, 1, price("0.9"),
                                            TriggerType.AT_OR_BELOW, type=OrderType.MARKET,
                                            leverage=20, wait=True),
        await client.conditional.stop.place(held.position_id, 10, symbol=SYMBOL,
                                            stop_loss_price=price("0.9"), wait=True),
        await client.conditional.trailing.place(SYMBOL, Side.CLOSE_LONG, 1, BackType.PERCENTAGE,
                                                Decimal("0.1"), leverage=20, wait=True)]
    assert all(isinstance(one, mx.Accepted) for one in done), done


async def main(url: str, key: str, secret: str, journal: str, silence_ms: str, end: str) -> None:
    async with mx.Client(Endpoint.at(url, recv_window_s=1), key, secret, journal=journal) as client:
        await client.start()
        await client.watchdog(silence_ms=int(silence_ms))
        await place_everything(client)
        print("here", flush=True)
        if end == "hang":
            await asyncio.sleep(600)
        elif end == "freeze":
            sys.stdin.readline()
            outcome = await client.orders.submit(SYMBOL, Side.OPEN_LONG, 1, 1000, leverage=20)
            print(type(outcome.error).__name__, flush=True)
            await client.kill_switch.until_safe()
        elif end == "raise":
            raise RuntimeError("the strategy fell over")


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))

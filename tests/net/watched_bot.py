"""A bot in a process of its own, to be killed while a watchdog watches it.

watched_bot.py REST_URL KEY SECRET JOURNAL SILENCE_MS END: places an order of every kind, prints
"here" and then: END "hang" beats on until it is killed; "freeze" holds its own event loop up until
it reads a line from standard input, then tries to open once more and prints the outcome; "exit"
ends as it wants; "raise" falls over.
"""

from __future__ import annotations

import asyncio
import sys

import mexcfast as mx
from mexcfast.cli.drill import SYMBOL, place_everything
from mexcfast.core.rest import Endpoint
from mexcfast.types import Side


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

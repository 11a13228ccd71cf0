"""A bot in a process of its own, to be killed between sending and answer.

order_run.py REST_URL KEY SECRET JOURNAL WHAT POINT LANE: places, amends or cancels without end; at
the POINT it prints a line, hangs and waits for kill -9. WHAT: create, amend, cancel. Points:
"journalled" after the line is written and before the first byte leaves, "leaving" before the first
byte leaves (a cancel has no line), "sent" when the venue has executed and nobody has read the
answer, "answered" before the journal hears of it, "torn" with half a line on disk. LANE: auto, off.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from decimal import Decimal

import mexcfast as mx
from mexcfast.net.journal import Journal

AFTER = {"create": 3, "amend": 1, "cancel": 1}      # those that go through whole


def hang() -> None:
    print("here", flush=True)
    time.sleep(60)


class Dying(Journal):
    """A journal that hangs its process at a chosen point."""

    def __init__(self, path: str, what: str, point: str) -> None:
        super().__init__(path)
        self.what, self.point = what, point
        self.sent = 0

    def send(self, entry) -> None:
        self.sent += entry.what == self.what
        is_due = entry.what == self.what and self.sent > AFTER[self.what]
        if is_due and self.point == "torn":
            os.write(self._fd, b'00000000 {"k":"send","id":"' + entry.name.encode())
            hang()
        super().send(entry)
        if is_due and self.point == "journalled":
            hang()

    def end(self, name, fate, order_id=None) -> None:
        if self.sent > AFTER[self.what] and self.point == "answered":
            hang()
        super().end(name, fate, order_id)


def hang_at_the_wire(client: mx.Client, what: str, point: str) -> None:
    """Before the first byte leaves, or when the exchange has answered and nobody here reads it."""
    real, sent = client._executor._write, 0

    async def write(route, body, leaving):
        nonlocal sent
        sent += route.name == what
        is_due = route.name == what and sent > AFTER[what]
        if is_due and point == "leaving":
            hang()
        answer = await real(route, body, leaving)
        if is_due:
            hang()
        return answer

    client._executor._write = write
    client._executor.launch = lambda *_, **__: None     # all go the way that could wait


async def main(url: str, key: str, secret: str, path: str, what: str, point: str, lane: str
               ) -> None:
    journal = Dying(path, what, point)
    async with mx.Client(url, key, secret, journal=journal, lane=lane) as client:
        orders = client.orders
        await client.start()
        ticker, = await client._executor.request("tickers", params={"symbol": "BTC_USDT"})
        price = (ticker.last_price * Decimal("0.95")).quantize(Decimal("0.1"))
        if point in ("leaving", "sent"):
            hang_at_the_wire(client, what, point)
        for number in range(1, 1000):
            placed = await orders.submit("BTC_USDT", mx.Side.OPEN_LONG, number, price,
                                         leverage=20, wait=True)
            assert isinstance(placed, mx.Accepted) and placed.order_id is not None
            if what == "amend":
                await orders.amend("BTC_USDT", placed.order_id, price + 1, number + 100, wait=True)
            elif what == "cancel":
                await orders.cancel([placed.order_id])


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))

"""A bot in a process of its own, to be killed between sending and answer.

order_run.py REST_URL KEY SECRET JOURNAL POINT: places orders without end; at the POINT it prints a
line, hangs and waits for kill -9. Points: "journalled" after the line is written and before the
first byte leaves, "sent" when the venue has executed and nobody has read the answer, "answered"
before the journal hears of it, "torn" with half a line on disk.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from decimal import Decimal

import mexcfast as mx
from mexcfast.net.journal import Journal

AFTER = 3       # orders that go through whole


class Dying(Journal):
    """A journal that hangs its process at a chosen point."""

    def __init__(self, path: str, point: str) -> None:
        super().__init__(path)
        self.point = point
        self.sent = 0

    def hang(self) -> None:
        print("here", flush=True)
        time.sleep(60)

    def send(self, entry) -> None:
        self.sent += 1
        if self.sent > AFTER and self.point == "torn":
            os.write(self._fd, b'00000000 {"k":"send","id":"' + entry.name.encode())
            self.hang()
        super().send(entry)
        if self.sent > AFTER and self.point == "journalled":
            self.hang()

    def end(self, name, fate, order_id=None) -> None:
        if self.sent > AFTER and self.point == "answered":
            self.hang()
        super().end(name, fate, order_id)


def hang_after_the_answer(client: mx.Client) -> None:
    """The exchange has executed and answered; nobody here reads it."""
    real, sent = client._executor._write, 0

    async def write(route, body, leaving):
        nonlocal sent
        answer = await real(route, body, leaving)
        sent += route.name == "create"
        if sent > AFTER:
            print("here", flush=True)
            time.sleep(60)  # noqa: ASYNC251 - a process that hangs is the point
        return answer

    client._executor._write = write


async def main(url: str, key: str, secret: str, path: str, point: str) -> None:
    async with mx.Client(url, key, secret, journal=Dying(path, point)) as client:
        await client.start()
        ticker, = await client._executor.request("tickers", params={"symbol": "BTC_USDT"})
        price = (ticker.last_price * Decimal("0.95")).quantize(Decimal("0.1"))
        if point == "sent":
            hang_after_the_answer(client)
        for number in range(1, 1000):
            await client.orders.submit("BTC_USDT", mx.Side.OPEN_LONG, number, price, leverage=20,
                                       wait=True)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))

"""A bot in a process of its own, to be killed while it places a conditional order.

conditional_run.py REST_URL KEY SECRET JOURNAL KIND POINT: KIND is plan, stop or trailing; at the
POINT it prints a line, hangs and waits for kill -9. Points: "journalled" after the line is written
and before the first byte leaves, "sent" when the venue has executed and nobody has read the answer.
"""

from __future__ import annotations

import asyncio
import sys
import time

import mexcfast as mx
from mexcfast.core.rest import Endpoint
from mexcfast.net.journal import Journal
from mexcfast.types import BackType, OrderType, Side, TriggerType

SYMBOL = "BTC_USDT"


def hang() -> None:
    print("here", flush=True)
    time.sleep(120)


class Dying(Journal):
    """A journal that hangs its process once a line is written."""

    def __init__(self, path: str, point: str) -> None:
        super().__init__(path)
        self.point = point

    def send(self, entry) -> None:
        super().send(entry)
        if self.point == "journalled":
            hang()


async def main(url: str, key: str, secret: str, path: str, kind: str, point: str) -> None:
    endpoint = Endpoint.at(url, recv_window_s=1)
    async with mx.Client(endpoint, key, secret, journal=Dying(path, point)) as client:
        await client.orders.start()
        real = client._executor._write

        async def write(route, body, leaving):
            answer = await real(route, body, leaving)
            hang()
            return answer

        client._executor._write = write
        client._executor.launch = lambda *_, **__: None     # all go the way that could wait
        if kind == "plan":
            await client.conditional.plan.place(SYMBOL, Side.OPEN_LONG, 1, 1000,
                                                TriggerType.AT_OR_BELOW, type=OrderType.MARKET,
                                                leverage=20)
        elif kind == "stop":
            held, = await client.positions.open()
            await client.conditional.stop.place(held.position_id, 2, symbol=SYMBOL,
                                                stop_loss_price=1000)
        else:
            await client.conditional.trailing.place(SYMBOL, Side.CLOSE_LONG, 1,
                                                    BackType.PERCENTAGE, "0.1", leverage=20)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))

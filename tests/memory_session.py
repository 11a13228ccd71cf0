"""A trading session whose memory is looked at from outside: what is left of the secret in it?

memory_session.py REST_URL ACCESS_KEY FOLDER HOW: the secret is read from the descriptor that
MEXC_API_SECRET_FILE names (HOW "file"), from the same into a bytearray and a Client (HOW "buffer"),
or, to try the search, into a str (HOW "str"). It trades, records, logs at DEBUG, falls over with a
traceback that shows local variables, and then waits for a line on stdin.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sys
import traceback
from pathlib import Path
from typing import Any

import mexcfast as mx
from mexcfast.core.rest import Endpoint
from mexcfast.keys import read_secret
from mexcfast.types import TriggerType

SYMBOL = "BTC_USDT"
KEPT: list[str] = []


def client_of(how: str, url: str, key: str, folder: Path) -> mx.Client:
    endpoint = Endpoint.at(url, recv_window_s=1, timeout_ms=500)
    more: dict[str, Any] = {"journal": folder / "orders"}
    if how == "file":
        os.environ["MEXC_API_KEY"] = key
        return mx.Client.from_env(endpoint, **more)
    buffer = read_secret(os.environ["MEXC_API_SECRET_FILE"])
    if how == "str":
        KEPT.append(bytes(buffer).decode())         # as a program keeps its settings
        return mx.Client(endpoint, key, KEPT[0], **more)
    client = mx.Client(endpoint, key, buffer, **more)
    assert not any(buffer), "it is wiped"
    return client


async def trade(client: mx.Client, folder: Path) -> None:
    async with asyncio.timeout(120), client:
        recorder = client.record(folder / "tape", private=True, orders="full")
        await client.start()
        book = await client.book(SYMBOL)
        tick = client.orders.contracts[SYMBOL].tick_size
        price = tick * (int(book.best_bid / float(tick)) - 500)
        placed = await client.orders.submit(SYMBOL, mx.Side.OPEN_LONG, 1, price, leverage=20,
                                            wait=True)
        assert isinstance(placed, mx.Accepted), placed
        taken = await client.orders.submit(SYMBOL, mx.Side.OPEN_LONG, 1, leverage=20, wait=True,
                                           type=mx.OrderType.MARKET)
        assert isinstance(taken, mx.Accepted), taken
        await client.conditional.plan.place(SYMBOL, mx.Side.OPEN_LONG, 1, price,
                                            TriggerType.AT_OR_BELOW, price, leverage=20, wait=True)
        await client.orders.cancel_all(SYMBOL)
        await client.account.balances()
        try:
            client.orders.intent(SYMBOL, mx.Side.OPEN_LONG, 1, "0.00001", leverage=20)
        except mx.IntentError as error:
            told = traceback.TracebackException.from_exception(error, capture_locals=True)
            logging.getLogger("app").error("%s", "".join(told.format()))
        await recorder.stop()
        # The signer and its client live while the memory is looked at.
        print("look now", flush=True)
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)


if __name__ == "__main__":
    url, key, folder, how = sys.argv[1], sys.argv[2], Path(sys.argv[3]), sys.argv[4]
    logging.basicConfig(level=logging.DEBUG, filename=str(folder / "log"))
    mx.run(trade(client_of(how, url, key, folder), folder))

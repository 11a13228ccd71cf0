"""What `mexcfast sim` prints for ccxt is enough: the exact text makes a client that trades."""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from children import deadline, lines_until

pytestmark = [
    pytest.mark.client("ccxt"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # of its own vendored code
]

SYMBOL = "BTC/USDT:USDT"


@contextmanager
def printed() -> Iterator[str]:
    """The expression after the word ccxt in the output of a running `mexcfast sim`."""
    command = [sys.executable, "-P", "-m", "mexcfast.cli", "sim", "--port", "0", "--symbols",
               "BTC_USDT"]  # fmt: skip
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        with deadline(process):
            text = lines_until(process, "Ctrl-C")
        yield re.search(r"^  ccxt +(.*?\}\))$", text, re.M | re.S).group(1)
    finally:
        with deadline(process):
            process.terminate()
            assert process.wait() == 0
        process.stdout.close()


async def trade(client: Any) -> None:
    """A book, a limit order that rests and goes, a market order that fills."""
    try:
        async with asyncio.timeout(60):
            price = (await client.watch_order_book(SYMBOL))["bids"][40][0]  # the book moves on
            placed = await client.create_order(
                SYMBOL, "limit", "buy", 2, price, {"leverage": 20, "openType": 1}
            )
            (found,) = await client.fetch_open_orders(SYMBOL)
            assert (found["id"], found["price"]) == (placed["id"], price)
            await client.cancel_order(placed["id"], SYMBOL)
            await client.create_order(
                SYMBOL, "market", "buy", 3, None, {"leverage": 20, "openType": 1}
            )
            (position,) = await client.fetch_positions([SYMBOL])
            assert (position["contracts"], position["side"]) == (3.0, "long")
            balance = await client.fetch_balance()
            assert 99_000 < balance["USDT"]["free"] < 100_000
    finally:
        await client.close()


def test_in_this_process() -> None:
    import ccxt.pro

    async def main(text: str) -> None:
        await trade(eval(text, {"ccxt": ccxt}))

    with printed() as text:
        asyncio.run(main(text))


def test_in_a_program_of_its_own() -> None:
    with printed() as text:
        program = (
            "import asyncio\nimport ccxt.pro\n\nasync def main():\n"
            f"    client = {text}\n"
            "    try:\n"
            f"        await client.load_markets()\n"
            f"        await client.create_order({SYMBOL!r}, 'market', 'buy', 5, None,"
            " {'leverage': 20, 'openType': 1})\n"
            f"        (one,) = await client.fetch_positions([{SYMBOL!r}])\n"
            "        print('holds', one['contracts'], one['side'])\n"
            "    finally:\n        await client.close()\n\nasyncio.run(main())\n"
        )
        done = subprocess.run([sys.executable, "-P", "-W", "ignore", "-c", program],
                              capture_output=True, text=True, timeout=90)  # fmt: skip
    assert (done.returncode, done.stdout.strip()) == (0, "holds 5.0 long"), done.stderr

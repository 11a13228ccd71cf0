"""Run ccxt's own live tests, from its wheel and unchanged, against the exchange.

    python tests/clients/ccxt_harness.py [--ws] [--private] [--only-buys] [--adapter] [-v]

The harness refuses to start from an installed package, hence a copy in a temporary directory with
its keys.json: addresses, keys and defaultType, nothing else, and one check left out (SKIPPED).
While it runs, the account trades a little all the time, because it waits for several personal
pushes; and there are 150 contracts, because it counts the one spot market among those that should
have a ticker. Needs psutil. The result, with the reason of every failure, stands in docs/sim.md.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import re
import shutil
import sys
import tempfile
from decimal import Decimal
from importlib.util import find_spec
from pathlib import Path

import mexcfast
from mexcfast.cli.sim import ccxt_addresses
from mexcfast.sim import Exchange, Variations
from mexcfast.sim.checks import Refused, order_request

SYMBOL = "BTC_USDT"
HOME = str(Path(mexcfast.__file__).parents[1])
#: Trades of one order bear one millisecond, and ccxt sorts those by an id it makes of their digits.
#: Whether there are any among the last hundred is chance.
SKIPPED = {"mexc": {"skipMethods": {"fetchTrades": {"sideSequence": "sorted by a made-up id"}}}}
#: runs the harness with ccxt's mexc rebound to ours
ADAPTED = ("import os, runpy, sys; from mexcfast.adapters.ccxt import install; install(); "
           "sys.argv = sys.argv[1:]; sys.path.insert(0, os.path.dirname(sys.argv[0])); "
           "runpy.run_path(sys.argv[0], run_name='__main__')")


async def trade_on(venue: Exchange, only_buys: bool) -> None:
    """A rest, a cancel, a buy and (unless only_buys) a sell of the account, for ever."""
    side = 1
    while True:
        body = {"symbol": SYMBOL, "vol": 1, "leverage": 20, "side": side, "openType": 1, "type": 5}
        resting = dict(body, type=1, side=1, price=str(venue.book(SYMBOL).bids[20][0]))
        try:
            order = venue.venue.place(venue.account, order_request(resting))
            await asyncio.sleep(0.1)
            venue.venue.cancel(venue.account, order)
            venue.venue.place(venue.account, order_request(body))
        except Refused as refused:
            print(f"the account's own trade: {refused.code} {refused.text()}")
        side = 4 if side == 1 and not only_buys else 1
        await asyncio.sleep(0.4)


async def main(flags: list[str], only_buys: bool, verbose: bool, adapter: bool = False) -> int:
    found = find_spec("ccxt")
    if found is None or found.origin is None:
        sys.exit("ccxt is not installed: pip install 'mexcfast[clients]' psutil")
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        shutil.copytree(Path(found.origin).parent, root / "python" / "ccxt",
                        ignore=shutil.ignore_patterns("__pycache__"))  # fmt: skip
        async with Exchange(
            symbols=150, levels=30, updates_per_second=15, merge_ms=50,
            limits=False, balance=Decimal(100_000), variations=Variations(spot_market=True),
        ) as venue:  # fmt: skip
            for _ in range(20):
                venue.trade(SYMBOL, "buy", 5)
                venue.trade(SYMBOL, "sell", 5)
            keys = {
                "apiKey": venue.access_key,
                "secret": venue.secret,
                "options": {"defaultType": "swap"},
                "urls": ccxt_addresses(venue.rest_url),
            }
            (root / "keys.json").write_text(json.dumps({"mexc": keys}))
            (root / "skip-tests.json").write_text(json.dumps(SKIPPED))
            trading = asyncio.create_task(trade_on(venue, only_buys))
            process = await asyncio.create_subprocess_exec(
                sys.executable, *(["-c", ADAPTED] if adapter else []),
                str(root / "python/ccxt/test/tests_init.py"), "mexc",
                "BTC/USDT:USDT", "--info", *flags, cwd=root,
                env={**os.environ, "PYTHONPATH": os.pathsep.join(
                    [str(root / "python"), HOME, os.environ.get("PYTHONPATH", "")])},
                stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT)  # fmt: skip
            assert process.stdout is not None
            text = (await process.stdout.read()).decode("utf-8", "replace")
            trading.cancel()
            await asyncio.gather(trading, return_exceptions=True)
            if verbose:
                print(text)
    show(text)
    return await process.wait()


def show(text: str) -> None:
    """Which tests passed, which failed and why, one line each."""
    lines = re.sub(r"\x1b\[[0-9;]*m", "", text).splitlines()
    for mark in ("TESTING", "SUCCESS", "PASSED", "FAILURE", "FAILED", "SKIP", "Unsupported"):
        for line in lines:
            if mark in line:
                print(line[:240])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--ws", action="store_true", help="the streams instead of REST")
    parser.add_argument("--private", action="store_true", help="private calls, not public ones")
    parser.add_argument("--only-buys", action="store_true", help="the account opens longs only")
    parser.add_argument("--adapter", action="store_true", help="mexcfast.adapters.ccxt, not stock")
    parser.add_argument("-v", "--verbose", action="store_true", help="everything it printed")
    chosen = parser.parse_args()
    flags = ["--ws"] if chosen.ws else []
    flags += ["--privateOnly"] if chosen.private else []
    sys.exit(asyncio.run(main(flags, chosen.only_buys, chosen.verbose, chosen.adapter)))

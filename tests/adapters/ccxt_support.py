"""Stock ccxt and ours side by side: markets without a network, requests recorded, frames fed."""

from __future__ import annotations

import asyncio
import copy
import functools
import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from mexcfast.adapters.ccxt import exchange as adapter
from mexcfast.adapters.ccxt import sync
from mexcfast.cli.sim import ccxt_addresses
from mexcfast.sim import Exchange

SYMBOL, MARKET = "BTC/USDT:USDT", "BTC_USDT"
NOW_MS = 1_790_870_030_000
KEYS = {"apiKey": "mxTheKey", "secret": "the-secret"}
OURS, OURS_SYNC = adapter.mexc, sync._mexc
STOCK, STOCK_SYNC = OURS.__bases__[-1], OURS_SYNC.__bases__[-1]   # whatever install() did

NEEDS_CCXT = [
    pytest.mark.client("ccxt"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),    # of its own vendored code
]


@functools.cache
def markets() -> list[dict[str, Any]]:
    """What the exchange's contracts become, three swaps and a spot market, read once."""
    from mexcfast.sim import Variations

    async def read() -> list[dict[str, Any]]:
        async with Exchange(updates_per_second=0, limits=False,
                            symbols=(MARKET, "ETH_USDT", "SOL_USDT"),
                            variations=Variations(spot_market=True)) as venue:
            client = STOCK({"enableRateLimit": False, "timeout_on_exit": 0,
                            "urls": ccxt_addresses(venue.rest_url)})
            client.timeout_on_exit = 0
            try:
                return list((await client.load_markets()).values())
            finally:
                await client.close()

    with ThreadPoolExecutor(1) as thread:          # a loop may be running in this one
        return thread.submit(asyncio.run, read()).result()


def offline(kind: type, **config: Any) -> Any:
    """An instance with markets loaded and a clock that stands still."""
    options = {"defaultType": "swap", **config.pop("options", {})}
    made = kind({**KEYS, "enableRateLimit": False, "options": options, **config})
    made.set_markets(copy.deepcopy(markets()))
    made.milliseconds = lambda: NOW_MS
    made.timeout_on_exit = 0
    return made


def online(kind: type, venue: Exchange, **config: Any) -> Any:
    """An instance on the embedded exchange."""
    options = {"defaultType": "swap", **config.pop("options", {})}
    made = kind({"apiKey": venue.access_key, "secret": venue.secret, "enableRateLimit": False,
                 "options": options, "urls": ccxt_addresses(venue.rest_url), **config})
    made.timeout_on_exit = 0
    return made


async def until(true: Callable[[], Any], seconds: float = 60) -> None:
    """Wait for a condition that no event tells of."""
    async with asyncio.timeout(seconds):
        while not true():  # noqa: ASYNC110
            await asyncio.sleep(0.005)


def text(value: Any) -> str:
    """JSON text: == would not tell 1 from 1.0."""
    return json.dumps(value, default=str)


def plain(value: Any) -> Any:
    """A copy that later changes do not reach, in plain dicts and lists."""
    return json.loads(text(value))

"""`mexcfast paper`: the embedded exchange as a mirror of another one, for trading on paper."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from contextlib import suppress

import aiohttp

from mexcfast.cli.sim import attend
from mexcfast.core.rest import LIVE
from mexcfast.errors import ConnectFailed
from mexcfast.sim import Exchange
from mexcfast.sim.mirror import Mirror

#: Seconds between two lines about books that are not there yet.
PATIENCE = 10.0


async def paper(symbols: Sequence[str] | None, *, endpoint: str | None, port: int, balance: int,
                as_json: bool) -> int:
    """Mirror the live exchange, or an endpoint, until Ctrl-C. symbols None: every contract.

    Only public data is read there. Merged depth frames of the mirrored side are passed on as they
    come, hence merge_ms=0.
    """
    rest_url, ws_url = (LIVE.rest_url, LIVE.ws_url) if endpoint is None else (endpoint, None)
    try:
        mirror = await Mirror.open(rest_url, ws_url, symbols)
    except (aiohttp.ClientError, OSError, TimeoutError) as error:
        reason = str(error) or type(error).__name__
        raise ConnectFailed(f"{rest_url} does not answer: {reason}") from error
    venue = Exchange(market=mirror, merge_ms=0, port=port, balance=balance)
    name = f"The paper exchange, a mirror of {rest_url},"
    return await attend(venue, name, as_json=as_json, news=lambda: tell(mirror))


async def tell(mirror: Mirror) -> None:
    """On standard error: what is missing while books load, and when all of them are there."""
    while not mirror.ready.is_set():
        with suppress(TimeoutError):
            await asyncio.wait_for(mirror.ready.wait(), PATIENCE)
        state = mirror.state()
        trouble = f"; last trouble: {mirror.trouble}" if mirror.trouble else ""
        print(f"{state['live']} of {state['contracts']} books are live{trouble}",
              file=sys.stderr, flush=True)

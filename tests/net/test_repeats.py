"""Reads may be repeated, writes never: every endpoint of the table, on the embedded exchange."""

from __future__ import annotations

import asyncio

import pytest

from mexcfast import types as t
from mexcfast.core.rest import BY_NAME, Endpoint
from mexcfast.core.sign import Signer
from mexcfast.errors import MexcfastError
from mexcfast.net import executor as net
from mexcfast.net.account_api import AccountApi
from mexcfast.net.conditional_api import Conditional
from mexcfast.net.executor import Executor
from mexcfast.net.market_api import MarketApi
from mexcfast.net.orders import Orders
from mexcfast.net.positions_api import PositionsApi
from mexcfast.sim import Exchange
from models.contracts import BTC
from net.test_surface import CALLS, SYMBOL, path_matches

pytestmark = pytest.mark.usefixtures("path")      # both ways of order entry

TRIES = 3
#: A file is asked for once: whoever wants it may ask again.
ONCE = {"analysis_export"}


@pytest.mark.parametrize("fault", ["500", "502 executed", "html", "lost"])
def test_every_endpoint(fault, monkeypatch):
    monkeypatch.setattr(net, "backoff_ms", lambda *_, **__: 0)
    wrong = {}

    async def ask(venue, name):
        """One call under the fault: what came of it, and how often it was sent."""
        endpoint = Endpoint.at(venue.rest_url)
        async with Executor(endpoint, Signer(venue.access_key, venue.secret),
                            read_tries=TRIES) as executor:
            orders = Orders(executor, {SYMBOL: BTC}, session=len(venue.requests) + 1)
            rooms = {"market": MarketApi(executor), "account": AccountApi(executor),
                     "positions": PositionsApi(executor), "orders": orders,
                     "conditional": Conditional(executor, {SYMBOL: BTC},
                                                orders.conditional_doubts)}
            venue.faults.clear()
            if fault == "lost":
                venue.faults.lose_answer("*", 100)
            elif fault == "html":
                venue.faults.html("*", 503, count=100)
            else:
                venue.faults.http_status("*", int(fault[:3]), count=100,
                                         after_execute="executed" in fault)
            venue.requests.clear()
            try:
                result = await CALLS[name][0](type("Rooms", (), rooms))
            except MexcfastError as error:
                result = error
            await orders.close()
            route = BY_NAME[name]
            return result, sum(request.method == route.method and path_matches(
                route.path, request.path.removeprefix("/api/v1/")) for request in venue.requests)

    async def main():
        async with asyncio.timeout(120), Exchange(seed=3, updates_per_second=0,
                                                  limits=False) as venue:
            for name, route in BY_NAME.items():
                result, count = await ask(venue, name)
                outcomes = result if isinstance(result, tuple) else (result,)
                if route.writes:
                    is_right = count == 1 and all(isinstance(one, t.Unknown) for one in outcomes)
                else:
                    is_right = (count == (1 if name in ONCE else TRIES)
                                and isinstance(result, MexcfastError))
                if not is_right:
                    wrong[name] = count, result

    asyncio.run(main())
    assert not wrong

"""What becomes of orders under faults: stock ccxt as users write it, and mexcfast, on one plan.

    python bench/rivals_orders.py --orders 2000 --seed 1

One order after the other, each at a price of its own, so that the exchange's books show what came
of each wish. The faults of a plan of tests/chaos/order_plan.py all meet order/create: refused and
executed errors, lost answers, resets in the middle of request and answer, hangs longer than the
timeout, unreadable answers, 603. Nobody is killed here. Policies for ccxt's exceptions:

    failed      any exception: the order was not placed, go on
    retry       ccxt.NetworkError: up to three more tries; any other exception: not placed
    same id     as retry, with one clientOrderId for all tries; "duplicate" counts as not placed

doubled: wishes that became two orders or more. lost: the program believes there is no order, and
there is. phantom: it believes there is one, and there is none. The judge reads the exchange's own
objects, when nothing is under way any more.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
from collections import Counter
from collections.abc import Awaitable, Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from rivals import need

import mexcfast as mx
from chaos.order_chaos import Chaos
from chaos.order_plan import Plan
from mexcfast.cli.sim import ccxt_addresses
from mexcfast.core.rest import Endpoint
from mexcfast.core.tracker import Phase

SYMBOL, MARKET = "BTC_USDT", "BTC/USDT:USDT"
TIMEOUT_MS = 500
TRIES = 4
#: Faults that an order's own request can meet.
MEET = ("http_status", "lose_answer", "reset_request", "reset_answer", "hang", "garble_answer",
        "truncate_answer", "refuse", "html")

#: price -> whether the program believes that the order was placed
Place = Callable[[Decimal], Awaitable[bool]]


class Stock:
    """ccxt, its timeout aside as it comes."""

    def __init__(self, policy: str) -> None:
        self.policy = policy
        self.name = f"ccxt 4.5.90, {policy}"

    async def __call__(self, chaos: Chaos, run: Callable[[Place], Awaitable[None]]) -> None:
        need("ccxt")
        import ccxt.async_support as ccxt

        venue = chaos.venue
        client = ccxt.mexc({"apiKey": venue.access_key, "secret": venue.secret,
                            "enableRateLimit": False, "timeout": TIMEOUT_MS,
                            "options": {"defaultType": "swap"},
                            "urls": ccxt_addresses(venue.rest_url)})

        async def place(price: Decimal) -> bool:
            more: dict[str, Any] = {"leverage": 20, "openType": 1}
            if self.policy == "same id":
                more["clientOrderId"] = f"own{price}".replace(".", "-")
            for _ in range(1 if self.policy == "failed" else TRIES):
                try:
                    await client.create_order(MARKET, "limit", "buy", 1, float(price), more)
                    return True
                except ccxt.NetworkError:
                    continue
                except ccxt.BaseError:
                    return False
            return False

        try:
            await client.load_markets()
            await run(place)
        finally:
            await client.close()


class Ours:
    """mexcfast: an Unknown is waited for, nothing is sent again."""

    name = f"mexcfast {mx.__version__}"

    async def __call__(self, chaos: Chaos, run: Callable[[Place], Awaitable[None]]) -> None:
        venue = chaos.venue
        endpoint = Endpoint.at(venue.rest_url, recv_window_s=1, timeout_ms=TIMEOUT_MS,
                               limits={"order_place": (10_000, 1)})
        never = mx.KillSwitchSettings(max_unknown=None, unreadable=None, edge=None)
        async with mx.Client(endpoint, venue.access_key, venue.secret, kill_switch=never) as client:
            await client.start()

            async def place(price: Decimal) -> bool:
                outcome = await client.orders.submit(SYMBOL, mx.Side.OPEN_LONG, 1, price,
                                                     leverage=20, wait=True)
                if isinstance(outcome, mx.Unknown):
                    order = client.orders.find(outcome.client_order_id or "")
                    return order is not None and await order.known() is not Phase.REJECTED
                return isinstance(outcome, mx.Accepted)

            await run(place)


async def trial(who: Stock | Ours, seed: int, orders: int, rate: float) -> dict[str, int]:
    """One program through the whole plan: what was wished, what there is, what is believed."""
    plan = Plan(seed, fault_rate=rate, steps_per_life=0)
    with tempfile.TemporaryDirectory() as folder:
        chaos = Chaos(plan, orders, Path(folder))
        venue, believed, faults = chaos.venue, {}, Counter[str]()
        venue.change_limits(rest_budgets=False, order_budget=None)
        chaos.tap()
        async with venue:
            venue.updates_per_second = 0
            best = venue.book(SYMBOL).bids[0][0]

            async def run(place: Place) -> None:
                for number in range(orders):
                    for fault in plan.faults(number):
                        # 403 is the firewall's: mexcfast leaves it alone for minutes
                        if fault.kind in MEET and fault.more.get("status") != 403:
                            faults[fault.kind] += 1
                            chaos.inject(type(fault)(fault.kind,
                                                     {**fault.more, "path": "order/create"}))
                    price = best - 100 - Decimal(number) / 10
                    believed[price] = await place(price)
                    if len(venue.account.open_orders) > 150:
                        venue.venue.cancel_all(venue.account, None)
                while chaos.under_way:
                    await asyncio.sleep(0.01)

            await who(chaos, run)
        there = Counter(order.price for order in venue.account.orders.values())
    return {"wished": orders, "faults": sum(faults.values()), "orders": sum(there.values()),
            "doubled": sum(number > 1 for number in there.values()),
            "lost": sum(not placed and there[price] > 0 for price, placed in believed.items()),
            "phantom": sum(placed and not there[price] for price, placed in believed.items())}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--orders", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--fault-rate", type=float, default=0.3, help="drawn faults an order")
    asked = parser.parse_args()
    print("| client, policy | wished | faults met | orders | doubled | lost | phantom |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for who in (Stock("failed"), Stock("retry"), Stock("same id"), Ours()):
        found = asyncio.run(trial(who, asked.seed, asked.orders, asked.fault_rate))
        print(f"| {who.name} | " + " | ".join(map(str, found.values())) + " |", flush=True)


if __name__ == "__main__":
    main()

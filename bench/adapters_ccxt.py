"""ccxt.pro on its own and on mexcfast, in one interleaved run: book updates and orders.

    python bench/adapters_ccxt.py [--rounds 5] [--seconds 3] [--orders 30]

The exchange has a process of its own, on the other core where there is one. Before anything is
timed both must show the true book. A book update is one version of the book in the watcher's hands:
the client's CPU time from the socket to the awaiting task, divided by the versions it was brought
(frames that come in one read wake it once). create_order is the wall time of one call after the
other, without ccxt's limiter. Ratios hold for this run only.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

SYMBOL, MARKET = "BTC/USDT:USDT", "BTC_USDT"
OPEN = {"leverage": 20, "openType": 1}


def pin(core: int) -> None:
    """Keep this process, and the children it starts now, on one core."""
    if hasattr(os, "sched_setaffinity") and len(os.sched_getaffinity(0)) > 1:
        os.sched_setaffinity(0, {sorted(os.sched_getaffinity(0))[core]})


def made(kind: Any, venue: Any, **options: Any) -> Any:
    from mexcfast.cli.sim import ccxt_addresses

    return kind({"apiKey": venue.access_key, "secret": venue.secret, "enableRateLimit": False,
                 "options": {"defaultType": "swap", **options},
                 "urls": ccxt_addresses(venue.rest_url)})


def truth(venue: Any, version: int) -> Any:
    with urllib.request.urlopen(f"{venue.rest_url}/sim/book/{MARKET}?version={version}") as answer:
        return json.load(answer)["data"]


async def check(client: Any, venue: Any) -> None:
    """The first books are the true ones, or there is nothing to measure."""
    for _ in range(5):
        book = await client.watch_order_book(SYMBOL)
        rows, version = [row[:2] for row in book["bids"]], book["nonce"]
        wanted = await asyncio.to_thread(truth, venue, version)
        assert rows == [[float(row[0]), float(row[1])] for row in wanted["bids"]], version


async def books(client: Any, seconds: float) -> tuple[float, int, int]:
    """CPU microseconds a version of the book, how many those were, how often the watcher woke."""
    first = (await client.watch_order_book(SYMBOL))["nonce"]
    woken, cpu, end = 0, time.process_time(), time.perf_counter() + seconds
    while time.perf_counter() < end:
        book = await client.watch_order_book(SYMBOL)
        woken += 1
    versions = book["nonce"] - first
    return (time.process_time() - cpu) / versions * 1e6, versions, woken


async def orders(client: Any, price: float, count: int) -> list[float]:
    """Wall microseconds of each create_order."""
    found = []
    for _ in range(count):
        start = time.perf_counter()
        await client.create_order(SYMBOL, "limit", "buy", 1, price, OPEN)
        found.append((time.perf_counter() - start) * 1e6)
    await client.cancel_all_orders(SYMBOL)
    return found


async def main(rounds: int, seconds: float, count: int) -> None:
    import ccxt.pro

    from mexcfast.adapters.ccxt import mexc
    from mexcfast.cli.sim import ChildExchange

    pin(0)
    child = ChildExchange(symbols=[MARKET], rate=1000, merge_ms=0)
    async with child as venue:
        pin_back()
        kinds = {"stock": made(ccxt.pro.mexc, venue), "mexcfast": made(mexc, venue)}
        cpu: dict[str, list[float]] = {name: [] for name in kinds}
        wall: dict[str, list[float]] = {name: [] for name in kinds}
        delivered = {name: [0, 0] for name in kinds}
        try:
            for client in kinds.values():
                await check(client, venue)
                await client.close()          # one socket at a time
            for _ in range(rounds):
                for name, client in kinds.items():
                    took, versions, woken = await books(client, seconds)
                    cpu[name].append(took)
                    delivered[name][0] += versions
                    delivered[name][1] += woken
                    await client.close()
            await venue.control("limits", rest_budgets=False, order_budget=None)
            for client in kinds.values():
                client.open()
            book = await kinds["stock"].fetch_order_book(SYMBOL)
            price = round(book["bids"][0][0] * 0.98, 1)
            for _ in range(rounds):
                for name, client in kinds.items():
                    wall[name] += await orders(client, price, count)
        finally:
            for client in kinds.values():
                await client.close()
    report(cpu, wall, delivered)


def pin_back() -> None:
    """This process on the other core than its child."""
    if hasattr(os, "sched_setaffinity") and (os.cpu_count() or 1) > 1:
        os.sched_setaffinity(0, {1})


def report(cpu: dict[str, list[float]], wall: dict[str, list[float]],
           delivered: dict[str, list[int]]) -> None:
    for name, values in cpu.items():
        print(f"book update   {name:13} {statistics.median(values):8.1f} us CPU "
              f"({delivered[name][0]} versions in {delivered[name][1]} awakenings)")
    ratio = statistics.median(cpu["stock"]) / statistics.median(cpu["mexcfast"])
    print(f"book update   ratio         {ratio:8.2f}")
    for name, values in wall.items():
        ordered = sorted(values)
        print(f"create_order  {name:13} {statistics.median(values):8.1f} us p50, "
              f"{ordered[int(len(ordered) * 0.99)]:8.1f} us p99 ({len(values)} orders)")
    ratio = statistics.median(wall["stock"]) / statistics.median(wall["mexcfast"])
    print(f"create_order  ratio         {ratio:8.2f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--orders", type=int, default=30, help="a round; the venue allows 50 open")
    given = parser.parse_args()
    asyncio.run(main(given.rounds, given.seconds, given.orders))

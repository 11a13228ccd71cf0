"""Tick to trade: a depth frame leaves the server, the order it triggers has arrived there whole.

    python bench/tick_to_trade.py                 every trader, 14 interleaved repeats
    python bench/tick_to_trade.py --quick         a look that it runs

Both moments are the server's (bench/server.py, core 0, spinning); the trader (bench/trader.py) has
core 1, in a fresh process each repeat. Ours is the product: Client, pool, book, listener,
orders.submit_nowait with its checks, tracker and budgets, over the lane. The rivals: ccxt as
shipped, a careful handmade bot (aiohttp, orjson, sortedcontainers), and C that parses nothing and
sends one prebuilt order: what two sockets cost.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

from harness import (
    environment,
    least,
    middle,
    on_core,
    run_child,
    server,
    turns_of_children,
    write_json,
)
from trader import REHEARSING, TRADERS

QUICK = ["mexcfast", "bare C"]


def measure(names: Sequence[str], repeats: int, count: int, rate: float = 500) -> dict[str, Any]:
    """By trader and loop what each repeat gave: a summary of microseconds."""
    frames = 100 + count

    def once(key: str) -> Any:
        name, _, loop = key.rpartition(" | ")
        return run_child("trader.py", name, loop, port, "--count", count, "--rate", rate,
                         "--frames", frames, *on_core())

    with server(frames) as port:
        turns, missing = turns_of_children(
            [f"{name} | {loop}" for name in names for loop in ("sleep", "spin")
             if (name, loop) != (REHEARSING, "sleep")], repeats, once)
    found: dict[str, dict[str, Any]] = {}
    for key, values in turns.items():
        name, _, loop = key.rpartition(" | ")
        found.setdefault(name, {})[loop] = values
    return {"count": count, "rate": rate, "repeats": repeats, "candidates": found,
            "missing": missing}


def table(found: dict[str, Any]) -> str:
    out = [f"{found['count']:,} frames at most {found['rate']:,.0f}/s, each answered by an order; "
           f"us, minimum of {found['repeats']} repeats (median in brackets).", "",
           "| trader | loop | p50 | p90 | p99 | fastest |", "| --- | --- | --- | --- | --- | --- |"]
    for name, by_loop in found["candidates"].items():
        for loop, repeats in by_loop.items():
            cells = [f"{least(repeats, what):.1f} ({middle(repeats, what):.1f})"
                     for what in ("p50", "p90", "p99", "fastest")]
            kind = "sleeping" if loop == "sleep" else "spinning"
            out.append(f"| {name} | {kind} | {' | '.join(cells)} |")
    out += ["", *(f"MISSING: {reason}" for reason in found["missing"])]
    return "\n".join(out).rstrip()


def main() -> None:
    parser = argparse.ArgumentParser(description="From a frame sent to its order received.")
    parser.add_argument("--only", action="append", choices=list(TRADERS), metavar="NAME")
    parser.add_argument("--repeats", type=int, default=14)
    parser.add_argument("--count", type=int, default=400)
    parser.add_argument("--rate", type=float, default=500)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--json", type=Path, help="also write everything here")
    given = parser.parse_args()
    if given.quick:
        given.repeats, given.count = 1, 100
    names = given.only or (QUICK if given.quick else list(TRADERS))
    found = measure(names, given.repeats, given.count, given.rate)
    print(table(found))
    if given.json:
        write_json(given.json, {"environment": environment(), "tick_to_trade": found})


if __name__ == "__main__":
    main()

"""What metrics cost, switched off and switched on: a frame, an order, a scrape.

    python bench/metrics_cost.py [--instructions] [--calls N]

A frame goes from its bytes through a book to a listener; on: past metrics' two listeners as well.
An order goes through Orders.send over an executor that accepts at once, so that nothing but our own
code is counted; "without the hook" is the same with the question whether somebody wants to be told
taken out. Answers are compared before anything is timed. Instructions (valgrind) hardly vary
between runs, on a busy machine neither: a call's are those of a long run less a short one.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from frames import SYMBOL
from harness import in_turns, quiet_gc
from server import stored_stream

import mexcfast as mx
from mexcfast.core.depth import OrderBook
from mexcfast.core.reader import Reader
from mexcfast.metrics.exposition import CONTENT_TYPE
from mexcfast.net.clock import Clock
from mexcfast.net.executor import Executor
from mexcfast.net.latency import LatencyMeter
from mexcfast.net.orders import Orders
from mexcfast.sim import Exchange
from mexcfast.types import Accepted
from models.contracts import BTC

CALLS = (500, 2_500)
REPEATS = 15
SCRAPES = 50


class Counter(mx.Listener):
    """A strategy that does nothing but count."""

    def __init__(self) -> None:
        self.frames = 0

    def on_book(self, book: OrderBook) -> None:
        self.frames += 1


class Control:
    """A reader's owner."""

    def on_fault(self, fault: Exception, where: str) -> None:
        raise AssertionError(where) from fault


def frames(calls: int, on: bool) -> Callable[[], None]:
    """Feed so many frames."""
    stream = stored_stream(max(CALLS), 1_000)
    reader, book, me = Reader(Control()), OrderBook(SYMBOL), Counter()
    book.load_snapshot(stream.snapshot)
    reader.route(SYMBOL).book = book
    first, last = LatencyMeter(), LatencyMeter()
    last.knows_offset = False
    book.listeners = [first, me, last] if on else [me]
    chosen, now_ns, feed = stream.frames[:calls], time.time_ns(), reader.feed_bytes

    def run() -> None:
        for frame in chosen:
            feed(frame, now_ns)
        assert me.frames == calls
        assert last.wire_to_callback.count == (calls if on else 0)
    return run


def orders(calls: int, how: str) -> Callable[[], None]:
    """Send so many orders. how: "without the hook", "off" or "on"."""
    found = Accepted(SYMBOL, None, 1, ts_venue_ms=1)
    executor = Executor(clock=Clock())

    async def execute(name: str, body: bytes, about: Any, **more: Any) -> Accepted:
        return Accepted(about.symbol, about.client_order_id, 1, found.ts_venue_ms)

    executor.execute = execute  # type: ignore[method-assign]
    me = Orders(executor, {SYMBOL: BTC}, session=1)
    told: list[int] = []
    if how == "without the hook":
        me.report = lambda what, began_ns, outcome: outcome  # type: ignore[method-assign]
    elif how == "on":
        me.on_outcome = lambda what, began_ns, outcome: told.append(1)
    price = Decimal("84000")

    def run() -> None:
        for _ in range(calls):
            intent = me.intent(SYMBOL, mx.Side.OPEN_LONG, 1, price, leverage=20)
            try:
                me.send(intent).send(None)
            except StopIteration as done:
                assert type(done.value) is Accepted
        assert len(told) == (calls if how == "on" else 0)
    return run


WORKLOADS: dict[str, Callable[[int], Callable[[], None]]] = {
    "a frame, metrics off": lambda calls: frames(calls, False),
    "a frame, metrics on": lambda calls: frames(calls, True),
    "an order, without the hook": lambda calls: orders(calls, "without the hook"),
    "an order, metrics off": lambda calls: orders(calls, "off"),
    "an order, metrics on": lambda calls: orders(calls, "on"),
}
BASE = {"a frame, metrics on": "a frame, metrics off",
        "an order, metrics off": "an order, without the hook",
        "an order, metrics on": "an order, without the hook"}


def timed(name: str, calls: int) -> float:
    """ns a call."""
    run = WORKLOADS[name](calls)
    with quiet_gc():
        start = time.perf_counter_ns()
        run()
        return (time.perf_counter_ns() - start) / calls


def instructions(name: str) -> float:
    """Instructions a call."""
    counts = []
    for calls in CALLS:
        done = subprocess.run(
            ["valgrind", "--tool=cachegrind", "--cache-sim=no", "--cachegrind-out-file=/dev/null",
             sys.executable, __file__, "--only", name, "--calls", str(calls)],
            env={**os.environ, "PYTHONHASHSEED": "0"}, capture_output=True, text=True,
            timeout=1200)
        seen = re.search(r"I\s+refs:\s+([\d,]+)", done.stderr)
        if done.returncode or seen is None:
            sys.exit(f"valgrind: {done.stderr[-2000:]}")
        counts.append(int(seen.group(1).replace(",", "")))
    return (counts[1] - counts[0]) / (CALLS[1] - CALLS[0])


async def scrape() -> dict[str, float]:
    """A whole text, and the longest piece of it: what a frame may wait for."""
    async with (Exchange(symbols=[SYMBOL], updates_per_second=0) as venue,
                mx.Client(venue.rest_url, venue.access_key, venue.secret) as client):
        client.metrics.start()
        await client.start()
        await client.book(SYMBOL)
        whole, longest, size = [], [], 0
        with quiet_gc():
            for _ in range(SCRAPES):
                pieces, took = client.metrics.pieces(), []
                while True:
                    start = time.perf_counter_ns()
                    piece = next(pieces, None)
                    took.append(time.perf_counter_ns() - start)
                    if piece is None:
                        break
                    size += len(piece)
                whole.append(sum(took))
                longest.append(max(took))
        assert CONTENT_TYPE.startswith("text/plain")
        return {"scrape_us": min(whole) / 1e3, "longest_piece_us": min(longest) / 1e3,
                "bytes": size / SCRAPES}


def main() -> None:
    parser = argparse.ArgumentParser(description="What metrics cost.")
    parser.add_argument("--only", choices=list(WORKLOADS))
    parser.add_argument("--calls", type=int, default=max(CALLS))
    parser.add_argument("--repeats", type=int, default=REPEATS)
    parser.add_argument("--instructions", action="store_true", help="count them (valgrind)")
    given = parser.parse_args()
    if given.only is not None:
        print(json.dumps({given.only: timed(given.only, given.calls)}))
        return
    counted = {name: instructions(name) for name in WORKLOADS} if given.instructions else {}
    found = in_turns(WORKLOADS, given.repeats, lambda name: timed(name, given.calls))
    print("| what | ns, least | ratio | instructions | ratio |\n| --- | --- | --- | --- | --- |")
    for name, values in found.items():
        base = BASE.get(name, name)
        ratio = min(values) / min(found[base])
        more = (f"{counted[name]:,.0f} | {counted[name] / counted[base]:.4f}" if counted else
                "not counted |")
        print(f"| {name} | {min(values):,.0f} | {ratio:.3f} | {more} |")
    print(json.dumps(asyncio.run(scrape())))


if __name__ == "__main__":
    main()

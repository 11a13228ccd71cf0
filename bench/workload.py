"""What bench/compare.py times in each of its two versions: prints one JSON line, ns a call.

    python bench/workload.py [--only NAME] [--calls N]

Uses only what has been in mexcfast from the beginning; what a version lacks is left out.
"""

from __future__ import annotations

import argparse
import gc
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from frames import SYMBOL, Stream
from server import contracts, stored_stream

FRAMES = 5_000
INNER = 5


def _book(stream: Stream, calls: int, top: bool) -> Callable[[], None]:
    from mexcfast.core.depth import OrderBook

    book = OrderBook(SYMBOL)
    book.load_snapshot(stream.snapshot)
    frames, apply = stream.frames[:calls], book.apply

    def run() -> None:
        for frame in frames:
            apply(frame)

    def run_top() -> None:
        for frame in frames:
            apply(frame)
            _ = book.best_bid, book.best_ask
    return run_top if top else run


def _event(stream: Stream, calls: int) -> Callable[[], None]:
    from mexcfast.core.events import parse_frame

    frames = stream.frames[:calls]

    def run() -> None:
        for frame in frames:
            parse_frame(frame)
    return run


def _sign(stream: Stream, calls: int) -> Callable[[], None]:
    from mexcfast.core.sign import Signer

    sign = Signer("mx0vglBenchmarking", "a-secret-that-opens-nothing-0001").sign
    body = stream.frames[0][:219]

    def run() -> None:
        for _ in range(calls):
            sign(1_790_870_000_000, body)
    return run


def _order(stream: Stream, calls: int) -> Callable[[], None]:
    """A frame, the order that answers it, its acknowledgement: all but kernel and socket."""
    import asyncio

    from mexcfast.core.rest import BY_NAME, read_answer
    from mexcfast.net.executor import Executor
    from mexcfast.net.orders import Orders
    from mexcfast.rehearsal import Rehearsal

    async def rehearse() -> None:
        found = read_answer(BY_NAME["contracts"], 200, contracts())
        contract = next(each for each in found if each.symbol == SYMBOL)
        rehearsal = Rehearsal(Orders(Executor()), contract, lambda: None, 1.0)
        for _ in range(calls):
            rehearsal.once()
            await asyncio.sleep(0)
        rehearsal.close()
        assert rehearsal.count == calls, (rehearsal.count, calls)

    return lambda: asyncio.run(rehearse())


WORKLOADS: dict[str, Callable[[Stream, int], Callable[[], None]]] = {
    "apply a frame": lambda stream, calls: _book(stream, calls, False),
    "apply a frame, read the top": lambda stream, calls: _book(stream, calls, True),
    "a typed event of a frame": _event,
    "sign 250 bytes": _sign,
    "a frame, an order and its answer": _order,
}


def main() -> None:
    parser = argparse.ArgumentParser(description="What is timed in each version.")
    parser.add_argument("--only", choices=list(WORKLOADS))
    parser.add_argument("--calls", type=int, default=FRAMES)
    parser.add_argument("--inner", type=int, default=INNER, help="the least of so many counts")
    given = parser.parse_args()
    stream = stored_stream(FRAMES, 1_000)
    found = {}
    for name, make in WORKLOADS.items():
        if given.only not in (None, name):
            continue
        times = []
        try:
            for _ in range(given.inner):
                run = make(stream, given.calls)
                gc.collect()
                start = time.perf_counter_ns()
                run()
                times.append((time.perf_counter_ns() - start) / given.calls)
        except (ImportError, AttributeError) as reason:
            print(f"MISSING: {name}: {reason}", file=sys.stderr)
            continue
        found[name] = min(times)
    print(json.dumps(found))


if __name__ == "__main__":
    main()

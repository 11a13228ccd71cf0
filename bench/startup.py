"""From subscribe to live books, one and sixty, with a simulated round trip of 20 ms.

    python bench/startup.py [--repeats 5] [--round-trip 20] [--books 1 --books 60] [--json FILE]

The embedded exchange stands behind a proxy that holds every byte for half a round trip, and the
first bytes of a connection for a whole one more, since loopback's own handshake takes no time.
The client runs in a fresh process on the other core; its clock starts at subscribe, with no socket
open. What the protocol itself costs, with nothing else taking time:

    connect, upgrade, subscribe and snapshot (the connection for REST opened meanwhile)   3 round
    trips; of N books with a budget of B snapshots in W seconds: (N - 1) // B * W more for the last

Answers are checked: every book has to be LIVE and equal to the exchange's at its version.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

from harness import (
    HERE,
    child_environment,
    cores,
    environment,
    least,
    middle,
    pin,
    write_json,
)

ROUND_TRIPS = 3
#: Ratios to the protocol's own minimum: must, goal.
TARGET = (1.5, 1.1)


class Delay:
    """A TCP proxy that holds what passes through it; use as `async with`."""

    def __init__(self, port: int, round_trip_ms: float) -> None:
        self.target = port
        self.trip = round_trip_ms / 1000
        self.tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Delay:
        self.server = await asyncio.start_server(self.join, "127.0.0.1", 0)
        self.port: int = self.server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self.server.close()
        for task in list(self.tasks):
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)

    async def join(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection("127.0.0.1", self.target)
        loop = asyncio.get_running_loop()
        for source, sink, opening in ((reader, back, self.trip), (there, writer, 0.0)):
            task = loop.create_task(self.hold(source, sink, loop.time() + opening))
            self.tasks.add(task)
            task.add_done_callback(self.tasks.discard)

    async def hold(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter,
                   open_at: float) -> None:
        """Every chunk half a round trip later, in order, none before half a one after open_at."""
        loop = asyncio.get_running_loop()
        try:
            while data := await source.read(1 << 20):
                due = max(loop.time(), open_at) + self.trip / 2
                loop.call_at(due, _write, sink, data)
            loop.call_at(loop.time() + self.trip / 2, sink.close)
        except (ConnectionError, asyncio.CancelledError):
            sink.close()


def _write(sink: asyncio.StreamWriter, data: bytes) -> None:
    if not sink.is_closing():
        sink.write(data)


async def client(url: str, symbols: Sequence[str]) -> dict[str, Any]:
    """Milliseconds from subscribe to the first and the last live book."""
    import mexcfast as mx
    from mexcfast.core import topics
    from mexcfast.core.depth import State

    live: dict[str, float] = {}
    done = asyncio.Event()

    class Watch(mx.Listener):
        def on_book_state(self, book: Any, old: Any, new: Any) -> None:
            if new == State.LIVE and book.symbol not in live:
                live[book.symbol] = time.perf_counter()
                if len(live) == len(symbols):
                    done.set()

    async with mx.Client(url) as the_client:
        start = time.perf_counter()
        the_client.subscribe(Watch(), [topics.depth(symbol) for symbol in symbols])
        async with asyncio.timeout(120):
            await done.wait()
        books = {}
        for symbol in symbols:
            book = the_client.market.books[symbol]
            bids, asks = book.exact()
            unit = Decimal(1).scaleb(-book.price_scale)
            books[symbol] = [book.version,
                             [[str(price * unit), quantity] for price, quantity, _ in bids],
                             [[str(price * unit), quantity] for price, quantity, _ in asks]]
    times = sorted(at - start for at in live.values())
    return {"first_ms": times[0] * 1000, "last_ms": times[-1] * 1000, "books": books}


async def check(venue: Any, books: dict[str, Any]) -> None:
    for symbol, (version, *sides) in books.items():
        truth = await venue.control(f"book/{symbol}?version={version}")
        for ours, theirs in zip(sides, (truth["bids"], truth["asks"]), strict=True):
            if [(Decimal(price), Decimal(str(quantity))) for price, quantity in ours] != [
                    (Decimal(row[0]), Decimal(str(row[1]))) for row in theirs]:
                raise AssertionError(f"{symbol} differs from the exchange's at {version}")


async def once(venue: Any, proxy: Delay, symbols: Sequence[str]) -> dict[str, Any]:
    child = await asyncio.create_subprocess_exec(
        sys.executable, str(HERE / "startup.py"), "--client", f"http://127.0.0.1:{proxy.port}",
        *symbols, stdout=asyncio.subprocess.PIPE, env=child_environment(), limit=1 << 26)
    out, _ = await child.communicate()
    if child.returncode:
        raise RuntimeError(f"the client ended with {child.returncode}; its words are above")
    found: dict[str, Any] = json.loads(out)
    await check(venue, found.pop("books"))
    return found


def minimum_ms(books: int, round_trip_ms: float) -> float:
    """The protocol's own time to the last of so many live books, milliseconds."""
    from mexcfast.core.rest import find

    route = find("depth")
    return ROUND_TRIPS * round_trip_ms + (books - 1) // route.count * route.window_ms


async def measure(counts: Sequence[int], repeats: int, round_trip_ms: float) -> dict[str, Any]:
    """By number of books: what each repeat gave, and the protocol's minimum."""
    from mexcfast.cli.sim import ChildExchange

    symbols = [f"SIM{number:04d}_USDT" for number in range(1, max(counts) + 1)]
    pin(cores()[0])
    found: dict[str, list[Any]] = {str(count): [] for count in counts}
    async with ChildExchange(symbols=symbols, rate=20, merge_ms=200) as venue, \
            Delay(int(venue.rest_url.rpartition(":")[2]), round_trip_ms) as proxy:
        for _ in range(repeats):
            for count in counts:
                await asyncio.sleep(2.1 if count > 1 else 0.1)      # the venue's budget is whole
                found[str(count)].append(await once(venue, proxy, symbols[:count]))
    return {"round_trip_ms": round_trip_ms, "repeats": repeats, "books": found,
            "minimum_ms": {str(count): minimum_ms(count, round_trip_ms) for count in counts}}


def table(found: dict[str, Any]) -> str:
    out = [f"From subscribe to LIVE, round trip {found['round_trip_ms']:g} ms, ms, minimum of "
           f"{found['repeats']} repeats (median in brackets).", "",
           "| books | first live | last live | protocol's minimum for the last | ratio |",
           "| --- | --- | --- | --- | --- |"]
    for count, repeats in found["books"].items():
        floor = found["minimum_ms"][count]
        cells = [f"{least(repeats, what):.0f} ({middle(repeats, what):.0f})"
                 for what in ("first_ms", "last_ms")]
        out.append(f"| {count} | {' | '.join(cells)} | {floor:.0f} | "
                   f"{least(repeats, 'last_ms') / floor:.2f} |")
    return "\n".join(out)


def main() -> None:
    if sys.argv[1:2] == ["--client"]:
        from mexcfast.runtime import run

        pin(cores()[1])
        print(json.dumps(run(client(sys.argv[2], sys.argv[3:]))))
        return
    parser = argparse.ArgumentParser(description="Time to the first live books.")
    parser.add_argument("--books", type=int, action="append")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--round-trip", type=float, default=20, help="milliseconds")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    found = asyncio.run(measure(given.books or [1, 60], given.repeats, given.round_trip))
    print(table(found))
    if given.json:
        write_json(given.json, {"environment": environment(), "startup": found})


if __name__ == "__main__":
    main()

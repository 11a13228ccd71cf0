"""The network stalls, nothing closes: how soon a client says so, how soon its books are true.

    python bench/stall.py [--books 60] [--stall 10] [--clients mexcfast,ccxt]

A proxy stands between client and exchange, each in a process of its own. For a time it passes
nothing on in either direction and closes nothing, as a dead route does; new connections hang as
well. Then it goes on. Printed for each client: after how many seconds of silence the last book was
flagged as not to be trusted, and how long after the end of the stall the last book stood at a
version that the exchange reached during it. ccxt.pro has no flag but an exception; its books are
read as its users read them. It puts all topics on one socket and asks for all snapshots at once, so
on the venue's own limits (30 topics, 10 snapshots in 2 s) 60 books never come; --no-limits lifts
them for both.
"""

from __future__ import annotations

import argparse
import asyncio
import multiprocessing
import sys
import time
from collections.abc import Callable
from multiprocessing.sharedctypes import Synchronized
from multiprocessing.synchronize import Event
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from harness import write_json

import mexcfast as mx
from mexcfast.cli.sim import ChildExchange, ccxt_addresses
from mexcfast.core.stream_events import Degraded, Disconnected, StreamEvent

LIMIT = 120.0                 # seconds until a client is given up


def proxy(upstream: int, port: Synchronized[int], go: Event) -> None:
    """Pass bytes on while `go` is set."""

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(1 << 16):
                while not go.is_set():
                    await asyncio.sleep(0.002)
                writer.write(data)
                await writer.drain()
        except OSError:
            pass
        finally:
            writer.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while not go.is_set():
            await asyncio.sleep(0.002)
        there, back = await asyncio.open_connection("127.0.0.1", upstream)
        await asyncio.gather(pump(reader, back), pump(there, writer))

    async def main() -> None:
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        port.value = server.sockets[0].getsockname()[1]
        await server.serve_forever()

    asyncio.run(main())


class Ours:
    """mexcfast as it comes."""

    name = "mexcfast"

    def __init__(self, url: str, symbols: list[str]) -> None:
        self.client = mx.Client(url)
        self.symbols = symbols
        self.flagged: dict[str, float] = {}

    async def start(self) -> None:
        await self.client.__aenter__()
        self.client.market.pool.watch(self._note)
        self.client.subscribe(mx.Listener(), [mx.topics.depth(s) for s in self.symbols])

    def _note(self, event: StreamEvent) -> None:
        if isinstance(event, Degraded | Disconnected):
            for symbol, book in self.client.market.books.items():
                if not book.is_live or book.doubt is not None:
                    self.flagged.setdefault(symbol, time.monotonic())

    def versions(self) -> dict[str, int]:
        return {symbol: book.version if book.is_live and book.doubt is None else -1
                for symbol, book in self.client.market.books.items()}

    async def stop(self) -> None:
        await self.client.close()


class Ccxt:
    """ccxt.pro as its users write it: one task a contract that awaits the next book."""

    name = "ccxt"

    def __init__(self, url: str, symbols: list[str]) -> None:
        import ccxt.pro

        self.exchange = ccxt.pro.mexc({
            "enableRateLimit": False, "options": {"defaultType": "swap"},
            "urls": ccxt_addresses(url)})
        self.symbols = symbols
        self.names: dict[str, str] = {}
        self.flagged: dict[str, float] = {}
        self.errors = 0
        self.books: dict[str, dict] = {}
        self.tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        markets = await self.exchange.load_markets()
        self.names = {name: market["id"] for name, market in markets.items()
                      if market["id"] in self.symbols and market["swap"]}
        self.tasks = [asyncio.create_task(self._follow(name)) for name in self.names]

    async def _follow(self, name: str) -> None:
        while True:
            try:
                self.books[name] = await self.exchange.watch_order_book(name)
            except asyncio.CancelledError:
                raise
            except Exception:
                self.errors += 1
                self.flagged.setdefault(name, time.monotonic())   # an exception is a flag too
                await asyncio.sleep(0.1)

    def versions(self) -> dict[str, int]:
        return {symbol: (self.books.get(name) or {}).get("nonce") or -1
                for name, symbol in self.names.items()}

    async def stop(self) -> None:
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)
        await self.exchange.close()


async def until(reached: Callable[[], bool]) -> float | None:
    """Seconds until it holds, None after LIMIT."""
    began = time.monotonic()
    while not reached():
        if time.monotonic() - began > LIMIT:
            return None
        await asyncio.sleep(0.005)
    return time.monotonic() - began


async def one(kind: type[Ours] | type[Ccxt], books: int, stall: float, limits: bool
              ) -> dict[str, object]:
    context = multiprocessing.get_context("spawn")
    go, port = context.Event(), context.Value("i", 0)
    go.set()
    async with ChildExchange(symbols=books, rate=20, merge_ms=100) as venue:
        symbols = venue.symbols
        if not limits:
            await venue.control("limits", topics=None, rest_budgets=False)
        process = context.Process(target=proxy, args=(
            int(venue.rest_url.rpartition(":")[2]), port, go), daemon=True)
        process.start()
        while not port.value:
            await asyncio.sleep(0.01)
        client = kind(f"http://127.0.0.1:{port.value}", symbols)
        try:
            await client.start()
            started = await until(lambda: all(v > 0 for v in client.versions().values())
                                  and len(client.versions()) == len(symbols))
            if started is None:
                return {"client": kind.name, "books": len(symbols), "limits": limits,
                        "all_live_at_start": None}
            await asyncio.sleep(2)
            client.flagged.clear()
            go.clear()
            silent = time.monotonic()
            await asyncio.sleep(stall)
            flagged = dict(client.flagged)
            truth = {symbol: (await venue.control(f"book/{symbol}"))["version"]
                     for symbol in symbols}
            go.set()
            back = await until(lambda: all(client.versions().get(s, -1) >= truth[s]
                                           for s in symbols))
            return {"client": kind.name, "books": len(symbols), "limits": limits, "stall": stall,
                    "all_live_at_start": started, "flagged_in_the_stall": len(flagged),
                    "flagged_after": max(flagged.values()) - silent if flagged else None,
                    "true_again_after": back}
        finally:
            await client.stop()
            process.terminate()
            process.join()


def shown(value: object) -> str:
    return "never" if value is None else f"{value:.2f}" if isinstance(value, float) else str(value)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--books", type=int, default=60)
    parser.add_argument("--stall", type=float, default=10.0)
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--no-limits", action="store_true")
    parser.add_argument("--clients", default="mexcfast,ccxt")
    parser.add_argument("--json", type=Path, help="also write the rows here")
    given = parser.parse_args()
    kinds = {"mexcfast": Ours, "ccxt": Ccxt}
    rows = [mx.run(one(kinds[name], given.books, given.stall, not given.no_limits))
            for _ in range(given.repeats) for name in given.clients.split(",")]
    if given.json:
        write_json(given.json, {"rows": rows})
    for row in rows:
        print("  ".join(f"{name} {shown(value)}" for name, value in row.items()))


if __name__ == "__main__":
    main()

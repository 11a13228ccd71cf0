"""Days of streams in an hour: rotations, every fault, and a curve of what the client holds on to.

    python tests/chaos/stream_soak.py --minutes 60 --out soak

The exchange runs in a process of its own; here is only the client. Its sockets live for half a
minute, which stands for a day (--day). Every few seconds one fault of any kind strikes. Every ten
seconds memory, tasks and descriptors are written down, and each LIVE book is compared with the
exchange's book at its version. At the end: soak.csv, soak.svg and a verdict; exit code 1 when a
book ever differed, when a frame moved a book that was not LIVE, or when memory, tasks or
descriptors grew.
"""

from __future__ import annotations

import argparse
import asyncio
import csv
import gc
import os
import random
import resource
import sys
import time
from collections import Counter
from contextlib import suppress
from decimal import Decimal
from pathlib import Path

import aiohttp

import mexcfast as mx
from mexcfast.cli.sim import ChildExchange
from mexcfast.core.depth import OrderBook, State
from mexcfast.errors import MexcfastError
from mexcfast.net import executor
from mexcfast.sim.faults import ANSWER_KINDS, BOOK_KINDS, FRAME_KINDS, SOCKET_KINDS, VENUE_KINDS

SYMBOLS = ("BTC_USDT", "ETH_USDT", "SOL_USDT", "XRP_USDT", "DOGE_USDT")
KINDS = (*FRAME_KINDS, *SOCKET_KINDS, *BOOK_KINDS, *ANSWER_KINDS, *VENUE_KINDS)
UNREACHABLE = (MexcfastError, aiohttp.ClientError, OSError, ValueError)
EVERY = 10.0                  # seconds between two rows
#: first and longest pause after an answer of the firewall: minutes in a life of a day
FIREWALL_MS = (1_000, 10_000)
COLUMNS = ("seconds", "memory_kb", "tasks", "descriptors", "rotations", "faults", "frames",
           "compared", "divergences")


class Watcher(mx.Listener):
    def __init__(self) -> None:
        self.frames = 0
        self.wrong: list[str] = []
        self.events: Counter[str] = Counter()

    def on_book(self, book: OrderBook) -> None:
        self.frames += 1
        if book.state != State.LIVE:
            self.wrong.append(f"on_book of {book}")

    def note(self, event: object) -> None:
        self.events[type(event).__name__] += 1


def memory_kb() -> int:
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize() // 1024


def fault(rng: random.Random) -> tuple[str, dict[str, object]]:
    """Any kind with parameters that keep the exchange in reach."""
    kind = rng.choice(KINDS)
    symbol = rng.choice(SYMBOLS)
    if kind in (*FRAME_KINDS, *SOCKET_KINDS, *BOOK_KINDS):
        body: dict[str, object] = {"symbol": symbol}
        if kind in ("delay", "dribble", "slow_read"):
            body["seconds"] = round(rng.uniform(0.05, 0.5), 3)
        if kind in ("snapshot_lag", "version_gap"):
            body["versions"] = rng.randint(1, 200)
    elif kind in ANSWER_KINDS:
        body = {"path": rng.choice((f"depth_commits/{symbol}/1000", f"contract/depth/{symbol}"))}
        if kind == "http_status":
            body["status"] = rng.choice((500, 502, 503, 504))
        if kind == "hang":
            body["seconds"] = round(rng.uniform(0.1, 2.0), 3)
        if kind == "refuse":
            body["code"] = rng.choice((500, 501, 9999))
    elif kind == "clock_jump":
        body = {"ms": rng.choice((-3000, 3000))}
    elif kind == "maintenance":
        body = {"code": rng.choice((500, 801)), "seconds": round(rng.uniform(0.5, 3), 3)}
    else:
        body = {"seconds": round(rng.uniform(0.5, 3), 3), "how": rng.choice(("403", "refuse"))}
    return kind, body


async def heal(venue: ChildExchange) -> None:
    """Faults that wait for their occasion are forgotten."""
    with suppress(*UNREACHABLE):
        await venue.control("faults", kind="clear")


async def compare(venue: ChildExchange, book: OrderBook) -> int | None:
    """Levels that differ at the book's version; None when the exchange numbers anew."""
    version, levels, unit = book.version, book.exact(), Decimal(1).scaleb(-book.price_scale)
    try:
        truth = await venue.control(f"book/{book.symbol}?version={version}")
    except UNREACHABLE:
        return None
    wrong = 0
    for mine, side in zip(levels, (truth["bids"], truth["asks"]), strict=True):
        ours = [[price * unit, quantity, orders] for price, quantity, orders in mine]
        theirs = [[Decimal(str(price)), quantity, orders] for price, quantity, orders in side]
        wrong += sum(a != b for a, b in zip(ours, theirs, strict=False))
        wrong += abs(len(ours) - len(theirs))
    return wrong


async def soak(minutes: float, day: float, seed: int, out: Path) -> int:
    rng = random.Random(seed)
    settings = mx.StreamSettings(
        ping_interval=2.0, pong_deadline=2.0, silence_scale=0.2, rotate_after=day,
        rotate_spread=day / 4, rotation_overlap=0.5, rotation_timeout=10.0, backoff_cap_ms=2000)
    rows: list[tuple[float, ...]] = []
    faults: Counter[str] = Counter()
    compared = divergences = 0
    watcher = Watcher()
    async with (ChildExchange(symbols=SYMBOLS, seed=seed, rate=50, merge_ms=50) as venue,
                mx.Client(venue.rest_url, streams=settings) as client):
        executor.PAUSES["edge"] = FIREWALL_MS
        client.market.pool.watch(watcher.note)
        client.subscribe(watcher, [topic for symbol in SYMBOLS for topic in (
            mx.topics.depth(symbol), mx.topics.deals(symbol))])
        client.subscribe(watcher, mx.topics.tickers())
        began = time.monotonic()
        next_row = began + EVERY
        while (now := time.monotonic()) - began < minutes * 60:
            await asyncio.sleep(rng.uniform(0.5, 3.5))
            kind, body = fault(rng)
            try:
                await venue.control("faults", kind=kind, **body)
                faults[kind] += 1
            except UNREACHABLE:
                pass                              # banned: the control address is closed as well
            if now < next_row:
                continue
            next_row += EVERY
            await heal(venue)                     # what nobody has met would wait without end
            for book in client.market.books.values():
                if book.is_live and (wrong := await compare(venue, book)) is not None:
                    compared += 1
                    divergences += wrong
                    if wrong:
                        print(f"{book}: {wrong} levels differ", flush=True)
            gc.collect()
            rows.append((round(now - began, 1), memory_kb(), len(asyncio.all_tasks()),
                         len(os.listdir("/proc/self/fd")), watcher.events["Rotated"],
                         faults.total(), watcher.frames, compared, divergences))
            if len(rows) % 6 == 1:
                print(dict(zip(COLUMNS, rows[-1], strict=True)), flush=True)
            write(out, rows)
        await heal(venue)
        for _ in range(300):
            if all(book.is_live for book in client.market.books.values()):
                break
            await asyncio.sleep(0.1)
        sick = [repr(book) for book in client.market.books.values() if not book.is_live]
    print(f"faults {dict(faults)}\nevents {dict(watcher.events)}")
    problems = [*watcher.wrong[:5], *sick, *growth(rows)]
    if divergences or not compared:
        problems.append(f"{divergences} divergences in {compared} comparisons")
    print(*problems, sep="\n")
    print(f"{'NOT ' if problems else ''}flat and true: {watcher.events['Rotated']} rotations, "
          f"{faults.total()} faults, {watcher.frames} frames, {compared} books compared")
    return int(bool(problems))


def growth(rows: list[tuple[float, ...]]) -> list[str]:
    """What the last quarter holds more of than the second: the first one is warming up."""
    quarter = len(rows) // 4
    if quarter < 3:
        return ["too short to tell growth"]
    found = []
    for column, room in (("memory_kb", 1.03), ("tasks", 1.2), ("descriptors", 1.2)):
        at = COLUMNS.index(column)
        before = sorted(row[at] for row in rows[quarter:2 * quarter])[quarter // 2]
        after = sorted(row[at] for row in rows[-quarter:])[quarter // 2]
        if after > before * room:
            found.append(f"{column} grew from {before} to {after}")
    return found


def write(out: Path, rows: list[tuple[float, ...]]) -> None:
    """The table, and a picture of it: each curve on its own scale from 0."""
    with out.with_suffix(".csv").open("w", newline="") as file:
        csv.writer(file).writerows([COLUMNS, *rows])
    width, height = 900, 150
    last = max(rows[-1][0], 1.0)
    parts = []
    for number, column in enumerate(COLUMNS[1:]):
        at, top = COLUMNS.index(column), number * (height + 40) + 30
        most = max(max(row[at] for row in rows), 1)
        line = " ".join(f"{row[0] / last * width:.1f},{top + height - row[at] / most * height:.1f}"
                        for row in rows)
        parts.append(f'<text x="0" y="{top - 8}">{column}, up to {most:,.0f}</text>'
                     f'<path d="M0 {top}V{top + height}H{width}" fill="none" stroke="#999"/>'
                     f'<polyline points="{line}" fill="none" stroke="#0a7" stroke-width="1.5"/>')
    total = (len(COLUMNS) - 1) * (height + 40)
    out.with_suffix(".svg").write_text(
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="-10 0 {width + 20} {total + 20}" '
        f'font-family="sans-serif" font-size="13"><rect x="-10" width="{width + 20}" '
        f'height="{total + 20}" fill="white"/>{"".join(parts)}'
        f'<text x="0" y="{total + 15}">{last:,.0f} seconds</text></svg>')


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--day", type=float, default=30.0, help="seconds a socket may live")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, default=Path("soak"))
    given = parser.parse_args()
    return mx.run(soak(given.minutes, given.day, given.seed, given.out))


if __name__ == "__main__":
    sys.exit(main())

"""Many books on one core: resident memory, frames a second, and allocations in the steady state.

    python bench/memory.py                          1100 books of 1500 levels a side
    python bench/memory.py --books 50 --frames 20000   a quick look
    python bench/memory.py --storage arrays --json FILE

Frames go through core/reader as from a socket, to one contract after the other in random order, so
that every book is cold. Allocations are counted by tracemalloc (Python's) and by mallinfo2 (C's, in
use before and after), garbage collections by gc.callbacks; all three have to stay at 0.
"""

from __future__ import annotations

import argparse
import ctypes
import gc
import random
import resource
import sys
import time
import tracemalloc
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

from frames import SYMBOL, Stream, make_stream
from harness import cores, environment, pin, write_json

from mexcfast.core.depth import OrderBook
from mexcfast.core.reader import Reader

#: must, goal
MEGABYTES, FRAMES_A_SECOND = (400, 200), (40_000, 80_000)
SOME_STREAMS = 8          # different markets; each book follows one of them


class Control:
    """What a reader reports to: anything it says is a failure here."""

    def on_control(self, event: Any) -> None:
        raise AssertionError(f"unexpected: {event}")

    def on_need(self, book: Any, change: Any) -> None:
        raise AssertionError(f"{book.symbol} wants {change}")

    def on_fault(self, fault: Any, where: str) -> None:
        raise AssertionError(f"{where}: {fault}")

    def on_trusted(self, book: Any) -> None:
        raise AssertionError(f"{book.symbol} was in doubt")


def resident() -> float:
    """Megabytes of this process that lie in memory now."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 1e6


class _MallInfo(ctypes.Structure):
    _fields_ = [(name, ctypes.c_size_t) for name in (
        "arena", "ordblks", "smblks", "hblks", "hblkhd", "usmblks", "fsmblks", "uordblks",
        "fordblks", "keepcost")]


_mallinfo2 = getattr(ctypes.CDLL(None), "mallinfo2", None)      # glibc 2.33 and later
if _mallinfo2 is not None:
    _mallinfo2.restype = _MallInfo


def in_use() -> int:
    """Bytes that C's allocator has given out, large blocks included; 0 where it cannot tell."""
    if _mallinfo2 is None:
        return 0
    found = _mallinfo2()
    return int(found.uordblks + found.hblkhd)


def named(text: bytes, number: int) -> bytes:
    return text.replace(SYMBOL.encode(), f"C{number:04}_USDT".encode())


def prepare(books: int, levels: int, rounds: int, storage: str) -> tuple[Reader, list[bytes]]:
    """A reader with live books, and rounds frames for each, in random order of books."""
    streams: list[Stream] = [make_stream(rounds, levels, seed=seed) for seed in range(SOME_STREAMS)]
    reader = Reader(Control())
    for number in range(books):
        symbol = f"C{number:04}_USDT"
        book = OrderBook(symbol, storage=storage)
        book.load_snapshot(streams[number % SOME_STREAMS].snapshot)
        reader.route(symbol).book = book
    order = random.Random(1)
    frames = []
    for turn in range(rounds):
        for number in order.sample(range(books), books):
            frames.append(named(streams[number % SOME_STREAMS].frames[turn], number))
    return reader, frames


def feed(reader: Reader, frames: list[bytes]) -> float:
    """Frames a second."""
    feed_bytes = reader.feed_bytes
    start = time.perf_counter_ns()
    for frame in frames:
        feed_bytes(frame, 1)
    return len(frames) / (time.perf_counter_ns() - start) * 1e9


def measure(books: int, levels: int, frames: int, repeats: int, storage: str) -> dict[str, Any]:
    """Everything this bench says, as one dict."""
    before = resident()
    rounds = max(2, -(-frames // books))
    reader, texts = prepare(books, levels, rounds, storage)
    text_megabytes = sum(sys.getsizeof(text) for text in texts) / 1e6
    part = max(1, len(texts) // (repeats + 2))
    feed(reader, texts[:part])                          # every book has seen frames
    collections = [0]

    def count(phase: str, info: dict[str, int]) -> None:
        collections[0] += phase == "start"

    gc.collect()
    gc.callbacks.append(count)
    parts = [texts[turn * part:(turn + 1) * part] for turn in range(1, repeats + 1)]
    speeds = [0.0] * repeats
    in_use()                                            # its own first call allocates
    c_before = in_use()
    for turn, some in enumerate(parts):
        speeds[turn] = feed(reader, some)
    c_bytes = in_use() - c_before
    gc.callbacks.remove(count)
    rss = resident() - before - text_megabytes
    first, *rest = texts[(repeats + 1) * part:]
    feed_bytes = reader.feed_bytes
    tracemalloc.start()
    feed_bytes(first, 1)
    python_before = tracemalloc.get_traced_memory()
    tracemalloc.reset_peak()
    for text in rest:
        feed_bytes(text, 1)
    python_after = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    live = sum(route.book is not None and route.book.is_live for route in reader.routes.values())
    if live != books or reader.malformed or reader.unrouted:
        raise AssertionError(f"{live} of {books} books are live")
    kept = [route.book.storage for route in reader.routes.values() if route.book is not None]
    return {"books": books, "levels": levels, "frames": len(texts), "storage": storage,
            "ladder_sides": sum(side == "ladder" for pair in kept for side in pair),
            "megabytes": rss, "frames_a_second": max(speeds), "speeds": speeds,
            "gc_passes": collections[0], "c_bytes_more": c_bytes,
            "python_bytes_more": python_after[0] - python_before[0],
            "python_peak": python_after[1] - python_before[0]}


def main() -> None:
    parser = argparse.ArgumentParser(description="Memory and speed of many books.")
    parser.add_argument("--books", type=int, default=1_100)
    parser.add_argument("--levels", type=int, default=1_500)
    parser.add_argument("--frames", type=int, default=200_000)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--storage", default="auto", choices=("auto", "arrays", "ladder"))
    parser.add_argument("--json", type=Path, help="also write the numbers here")
    given = parser.parse_args()
    pin(cores()[1])
    found = measure(given.books, given.levels, given.frames, given.repeats, given.storage)
    print(f"{found['books']:,} books of {found['levels']:,} levels a side, storage "
          f"{found['storage']} ({found['ladder_sides']:,} ladders), {found['frames']:,} frames")
    print("| what | must | goal | measured |\n| --- | --- | --- | --- |")
    print(f"| resident memory of the books, MB | {MEGABYTES[0]} | {MEGABYTES[1]} | "
          f"{found['megabytes']:.0f} |")
    print(f"| frames/s on one core | {FRAMES_A_SECOND[0]:,} | {FRAMES_A_SECOND[1]:,} | "
          f"{found['frames_a_second']:,.0f} |")
    print(f"| garbage collections caused by frames | 0 | 0 | {found['gc_passes']} |")
    print(f"| bytes of C memory more after the frames | 0 | 0 | {found['c_bytes_more']} |")
    print(f"| bytes of Python memory more, at most in between | 0 | 0 | "
          f"{found['python_bytes_more']}, {found['python_peak']} |")
    if given.json:
        write_json(given.json, {"environment": environment(), **found})


if __name__ == "__main__":
    main()

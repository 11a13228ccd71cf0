"""Nanoseconds per frame and per signature, beside what a Python user would otherwise call.

    python bench/micro.py                     the table: minima of interleaved repeats, and ratios
    python bench/micro.py --frames 200 --repeats 1    a quick look that it runs
    python -m pytest bench/micro.py --benchmark-only  the same through pytest-benchmark

Hot here: one Python call per frame, from bytes to an updated book. The data is bench/frames.py's
synthetic stream. Before anything is timed, all candidates must end at the same book and the same
signatures. Compare only numbers of one run: machines and moments differ.

Rivals are optional (orjson, msgspec): what is not installed is left out of the table.
"""

from __future__ import annotations

import argparse
import hashlib
import hmac
import json
import platform
import statistics
import sys
import time
from collections.abc import Callable, Iterable
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import quote

sys.path.insert(0, str(Path(__file__).parent))

from frames import SYMBOL, Stream, make_stream

from mexcfast.core.depth import Change, OrderBook
from mexcfast.core.events import parse_frame
from mexcfast.core.sign import Signer, canonical_query

try:
    import orjson
except ImportError:
    orjson = None  # type: ignore[assignment]
try:
    import msgspec
except ImportError:
    msgspec = None  # type: ignore[assignment]

ACCESS_KEY, SECRET = "mx0vglBenchmarkOnly", "a-secret-that-opens-nothing-0001"
NOW_MS = 1_790_870_000_000
SHORT = b"symbol=BTC_USDT"
LONG = json.dumps({"symbol": SYMBOL, "price": 104231.4, "vol": 12, "leverage": 20, "side": 1,
                   "type": 1, "openType": 1, "externalOid": "bench-0001", "positionMode": 1,
                   "stopLossPrice": 100000, "takeProfitPrice": 110000,
                   "priceProtect": 0}, separators=(",", ":")).encode().ljust(219, b" ")
PARAMS = {"symbol": SYMBOL, "page_num": 1, "page_size": 100, "states": "2,3", "start_time": NOW_MS,
          "category": None}

Side = dict[Any, Any]


class DictBook:
    """What people write: a dict per side, sorted when the top is wanted, versions checked."""

    def __init__(self, snapshot: bytes) -> None:
        data = json.loads(snapshot)["data"]
        self.bids: Side = {level[0]: level[1] for level in data["bids"]}
        self.asks: Side = {level[0]: level[1] for level in data["asks"]}
        self.version: int = data["version"]

    def apply(self, frame: dict[str, Any]) -> None:
        data = frame["data"]
        self.change(data["asks"], data["bids"], data["begin"], data["end"])

    def change(self, asks: Iterable[Any], bids: Iterable[Any], begin: int, end: int) -> None:
        if end <= self.version:
            return
        if begin > self.version + 1:
            raise ValueError("gap")
        for side, levels in ((self.asks, asks), (self.bids, bids)):
            for level in levels:
                if level[1]:
                    side[level[0]] = level[1]
                else:
                    side.pop(level[0], None)
        self.version = end

    def top(self) -> tuple[float, float]:
        return max(self.bids), min(self.asks)


def _typed_decoder() -> Any:
    level = tuple[float, float, int]
    data = msgspec.defstruct("Data", [("asks", list[level]), ("bids", list[level]), ("begin", int),
                                      ("end", int), ("version", int)], gc=False)
    frame = msgspec.defstruct("Frame", [("channel", str), ("data", data), ("symbol", str),
                                        ("ts", int)], gc=False)
    return msgspec.json.Decoder(frame).decode


def _book(stream: Stream) -> OrderBook:
    book = OrderBook(SYMBOL)
    book.load_snapshot(stream.snapshot)
    return book


# Each candidate: name -> a function that makes a fresh function of the list of frames.
Run = Callable[[list[bytes]], object]


def depth_candidates(stream: Stream) -> dict[str, Callable[[], Run]]:
    def each(function: Callable[[bytes], object]) -> Callable[[], Run]:
        def make() -> Run:
            def run(frames: list[bytes]) -> None:
                for frame in frames:
                    function(frame)
            return run
        return make

    def ours() -> Run:
        book = _book(stream)
        apply = book.apply

        def run(frames: list[bytes]) -> OrderBook:
            for frame in frames:
                apply(frame)
            return book
        return run

    def ours_top() -> Run:
        book = _book(stream)
        apply = book.apply

        def run(frames: list[bytes]) -> OrderBook:
            for frame in frames:
                apply(frame)
                _ = book.best_bid, book.best_ask
            return book
        return run

    def dict_book(loads: Callable[[bytes], Any]) -> Callable[[], Run]:
        def make() -> Run:
            book = DictBook(stream.snapshot)

            def run(frames: list[bytes]) -> DictBook:
                for frame in frames:
                    book.apply(loads(frame))
                return book
            return run
        return make

    def dict_top() -> Run:
        book = DictBook(stream.snapshot)
        loads = orjson.loads if orjson else json.loads

        def run(frames: list[bytes]) -> DictBook:
            for frame in frames[:len(frames) // 10]:       # slow: a tenth is enough
                book.apply(loads(frame))
                book.top()
            return book
        return run

    found: dict[str, Callable[[], Run]] = {
        "mexcfast parse + apply": ours,
        "mexcfast parse + apply + best bid and ask": ours_top,
        "mexcfast parse_frame, a typed event": each(parse_frame),
        "json.loads, no book": each(json.loads),
        "json + dict book": dict_book(json.loads),
    }
    if orjson:
        found["orjson.loads, no book"] = each(orjson.loads)
        found["orjson + dict book"] = dict_book(orjson.loads)
    if msgspec:
        decode = _typed_decoder()
        found["msgspec typed decode, no book"] = each(decode)

        def typed() -> Run:
            book = DictBook(stream.snapshot)

            def run(frames: list[bytes]) -> DictBook:
                for frame in frames:
                    data = decode(frame).data
                    book.change(data.asks, data.bids, data.begin, data.end)
                return book
            return run
        found["msgspec typed + dict book"] = typed
    found[TENTH] = dict_top
    return found


TENTH = "dict book + best bid and ask (fastest json)"


def signing_candidates() -> dict[str, Callable[[], object]]:
    signer = Signer(ACCESS_KEY, SECRET)
    sign = signer.sign
    secret, head = SECRET.encode(), f"{ACCESS_KEY}{NOW_MS}".encode()

    def standard(payload: bytes) -> Callable[[], object]:
        return lambda: hmac.new(secret, head + payload, hashlib.sha256).hexdigest()

    def query() -> str:
        items = sorted((k, v) for k, v in PARAMS.items() if v is not None)
        return "&".join(f"{k}={quote(str(v), safe='*')}" for k, v in items)

    return {
        "sign 31 + 15 bytes": lambda: sign(NOW_MS, SHORT),
        "sign 31 + 219 bytes": lambda: sign(NOW_MS, LONG),
        "hmac.new 31 + 15 bytes": standard(SHORT),
        "hmac.new 31 + 219 bytes": standard(LONG),
        "canonical_query, 5 parameters": lambda: canonical_query(PARAMS),
        "the same with urllib's quote": query,
    }


def check_answers(stream: Stream) -> None:
    """Every candidate gives the same answer; AssertionError when one does not."""
    book = _book(stream)
    model = DictBook(stream.snapshot)
    for number, frame in enumerate(stream.frames):
        if book.apply(frame) != Change.APPLIED:
            raise AssertionError(f"frame {number} was not applied")
        model.apply(json.loads(frame))
        if number % 50 == 0 and (book.best_bid, book.best_ask) != model.top():
            raise AssertionError(f"tops differ after frame {number}")
    for ours, theirs, truth in zip(book.exact(), (model.bids, model.asks),
                                   (stream.bids, stream.asks), strict=True):
        scale = 10 ** book.price_scale
        seen = {price: quantity for price, quantity, _ in ours}
        if {round(price * scale): quantity for price, quantity in theirs.items()} != seen:
            raise AssertionError("the dict book differs")
        if {ticks * scale // 10: quantity for ticks, quantity in truth.items()} != seen:
            raise AssertionError("the generator's book differs")
    if book.version != stream.version or book.version != model.version:
        raise AssertionError("versions differ")
    for frame in stream.frames[:200]:
        event = parse_frame(frame)
        if event.to_dict() != json.loads(frame):
            raise AssertionError(f"parse_frame differs: {frame!r}")
    if msgspec and len(stream.frames):
        typed = _typed_decoder()(stream.frames[0]).data
        if typed.end != json.loads(stream.frames[0])["data"]["end"]:
            raise AssertionError("msgspec differs")
    signing = {name: function() for name, function in signing_candidates().items()}
    for length in ("31 + 15 bytes", "31 + 219 bytes"):
        if signing[f"sign {length}"] != signing[f"hmac.new {length}"]:
            raise AssertionError(f"signatures of {length} differ")
    if signing["canonical_query, 5 parameters"].replace("%2C", ",") != str(  # type: ignore
            signing["the same with urllib's quote"]).replace("%2C", ","):
        raise AssertionError("queries differ")
    if Decimal(str(book.best_bid)) >= Decimal(str(book.best_ask)):
        raise AssertionError("the book is crossed")


def measure(stream: Stream, repeats: int) -> dict[str, list[float]]:
    """ns per frame or call, one number per repeat; candidates take turns."""
    depth, signing = depth_candidates(stream), signing_candidates()
    times: dict[str, list[float]] = {name: [] for name in [*depth, *signing]}
    clock = time.perf_counter_ns
    calls = max(100, len(stream.frames))
    for _ in range(repeats):
        for name, make in depth.items():
            run = make()
            start = clock()
            run(stream.frames)
            spent = clock() - start
            share = len(stream.frames) // 10 if name == TENTH else len(stream.frames)
            times[name].append(spent / max(share, 1))
        for name, function in signing.items():
            start = clock()
            for _ in range(calls):
                function()
            times[name].append((clock() - start) / calls)
    return times


def table(times: dict[str, list[float]], stream: Stream) -> str:
    """Markdown: minimum, median and how many times the minimum of ours."""
    anchors = {"sign 31 + 15 bytes": "hmac.new 31 + 15 bytes",
               "sign 31 + 219 bytes": "hmac.new 31 + 219 bytes",
               "canonical_query, 5 parameters": "the same with urllib's quote"}
    anchor_of = {theirs: ours for ours, theirs in anchors.items()}
    out = [f"{len(stream.frames):,} frames of {stream.bytes_per_frame:.0f} bytes, "
           f"{len(times['json.loads, no book'])} repeats; Python {platform.python_version()}, "
           f"{platform.machine()}; ns, minimum and median; ratio of minima to ours", "",
           "| candidate | min | median | times ours |", "| --- | --- | --- | --- |"]
    for name, values in times.items():
        ours = anchor_of.get(name, name if name in anchors else "mexcfast parse + apply")
        out.append(f"| {name} | {min(values):,.0f} | {statistics.median(values):,.0f} | "
                   f"{min(values) / min(times[ours]):.2f} |")
    return "\n".join(out)


def main() -> None:
    parser = argparse.ArgumentParser(description="ns per frame and signature, with ratios.")
    parser.add_argument("--frames", type=int, default=25_000)
    parser.add_argument("--levels", type=int, default=1_000)
    parser.add_argument("--repeats", type=int, default=7)
    given = parser.parse_args()
    stream = make_stream(given.frames, given.levels)
    check_answers(stream)
    print(table(measure(stream, given.repeats), stream))


# ---------------------------------------------------------------------------------------------
# pytest-benchmark: the same candidates, 2,000 frames a round.

def pytest_generate_tests(metafunc: Any) -> None:
    if "depth_name" in metafunc.fixturenames:
        metafunc.parametrize("depth_name", list(depth_candidates(make_stream(1, 10))))
    if "signing_name" in metafunc.fixturenames:
        metafunc.parametrize("signing_name", list(signing_candidates()))


def test_depth(benchmark: Any, depth_name: str) -> None:
    stream = make_stream(2_000)
    check_answers(stream)
    make = depth_candidates(stream)[depth_name]
    benchmark.pedantic(lambda run: run(stream.frames), setup=lambda: ((make(),), {}), rounds=20)


def test_sign(benchmark: Any, signing_name: str) -> None:
    benchmark(signing_candidates()[signing_name])


if __name__ == "__main__":
    main()

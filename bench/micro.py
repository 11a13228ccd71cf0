"""Nanoseconds per frame and per signature, beside what a Python user would otherwise call.

    python bench/micro.py                     the tables: minima of interleaved repeats, and ratios
    python bench/micro.py --json FILE         the same as JSON beside them
    python bench/micro.py --frames 200 --repeats 1    a quick look that it runs
    python -m pytest bench/micro.py --benchmark-only  the same through pytest-benchmark

Hot here: one Python call per frame, from bytes to an updated book. The data is bench/frames.py's
synthetic stream. Before anything is timed, all candidates must end at the same book and the same
signatures. Compare only numbers of one run: machines and moments differ.

The rivals are those of bench/rivals.py: pip install -e .[bench]. What is missing is named above the
table, and its rows stay away.
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
from collections.abc import Callable, Set
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote

sys.path.insert(0, str(Path(__file__).parent))

from frames import SYMBOL, Stream, make_stream
from harness import Missing, cores, environment, native, pin, quiet_gc, write_json
from rivals import available, need

from mexcfast.core.depth import Change, OrderBook
from mexcfast.core.events import parse_frame
from mexcfast.core.http1 import RequestForm
from mexcfast.core.sign import Signer, canonical_query

ACCESS_KEY, SECRET = "mx0vglBenchmarking", "a-secret-that-opens-nothing-0001"
NOW_MS = 1_790_870_000_000
SHORT = b""                    # key and time alone: 18 + 13 bytes
ORDER = {"symbol": SYMBOL, "price": 104231.4, "vol": 12, "leverage": 20, "side": 1, "type": 1,
         "openType": 1, "externalOid": "bench-0001-0001-0001-0000001", "positionMode": 1,
         "stopLossPrice": 100000, "takeProfitPrice": 110000, "priceProtect": 0}
LONG = json.dumps(ORDER, separators=(",", ":")).encode()
PARAMS = {"symbol": SYMBOL, "page_num": 1, "page_size": 100, "states": "2,3", "start_time": NOW_MS,
          "category": None}

OURS = "mexcfast parse + check + apply"
OURS_TOP = "mexcfast, best bid and ask read after each frame"
ORJSON = "orjson.loads, no book"
TOP = ", top read"
SCAN = "mexcfast scan alone, a loop in C"
OUR_REQUEST = "signed request in one native call"
THEIR_REQUEST = "the same in plain Python, json.dumps and hmac.new"
#: Rivals whose top costs more than the frame: a tenth of the frames is enough.
SLOW_TOP = ("dict", "order-book")

#: What has to be reached (a ratio of minima): what is compared, ours, theirs, must, goal.
TARGETS = [
    ("against ccxt.pro's handler", OURS, ["ccxt.pro handle_message (orjson)"], 25, 60),
    ("against orjson + order-book", OURS, ["orjson + order-book"], 5, 10),
    ("against msgspec + dict", OURS, ["msgspec typed + dict"], 4, 8),
    ("top read each frame, against the best rival at that", OURS_TOP,
     ["orjson + sortedcontainers" + TOP, "orjson + ccxt OrderBook" + TOP], 9, 18),
    ("against orjson.loads of the frame, no book", OURS, [ORJSON], 2, 4.5),
]


def our_book(stream: Stream, storage: str = "auto") -> OrderBook:
    book = OrderBook(SYMBOL, storage=storage)
    book.load_snapshot(stream.snapshot)
    return book


# Each candidate: name -> a function that makes a fresh function of the list of frames, and how many
# of the frames it is given (one in so many).
Run = Callable[[list[bytes]], object]
Candidate = tuple[Callable[[], Run], int]


def depth_candidates(stream: Stream) -> dict[str, Candidate]:
    def each(function: Callable[[bytes], object]) -> Callable[[], Run]:
        def make() -> Run:
            def run(frames: list[bytes]) -> None:
                for frame in frames:
                    function(frame)
            return run
        return make

    def with_book(make_book: Callable[[], Any], method: str) -> Callable[[], Run]:
        return lambda: each(getattr(make_book(), method))()

    def ours_top() -> Run:
        book = our_book(stream)
        apply = book.apply

        def run(frames: list[bytes]) -> None:
            for frame in frames:
                apply(frame)
                _ = book.best_bid, book.best_ask
        return run

    def rival_top(rival: Any) -> Callable[[], Run]:
        def make() -> Run:
            book = rival(stream.snapshot)
            feed, top = book.feed, book.top

            def run(frames: list[bytes]) -> None:
                for frame in frames:
                    feed(frame)
                    top()
            return run
        return make

    def scan_alone() -> Run:
        return native().scan_frames  # type: ignore[no-any-return]

    found: dict[str, Candidate] = {
        OURS: (with_book(lambda: our_book(stream), "apply"), 1),
        "the same, sorted arrays": (with_book(lambda: our_book(stream, "arrays"), "apply"), 1),
        OURS_TOP: (ours_top, 1),
        "mexcfast parse_frame, a typed event": (each(parse_frame), 1),
        SCAN: (scan_alone, 1),
        "json.loads, no book": (each(json.loads), 1),
        "an empty call (len)": (each(len), 1),
    }
    try:
        native()
    except Missing:               # named by main()
        del found[SCAN]
    with suppress(Missing):       # named by available()
        found[ORJSON] = each(need("orjson").loads), 1
    for name, rival in available()[0].items():
        found[name] = with_book(lambda rival=rival: rival(stream.snapshot), "feed"), 1
        found[name + TOP] = rival_top(rival), 10 if name.endswith(SLOW_TOP) else 1
    return found


def signing_candidates() -> dict[str, Callable[[], object]]:
    signer = Signer(ACCESS_KEY, SECRET)
    sign = signer.sign
    secret, head = SECRET.encode(), f"{ACCESS_KEY}{NOW_MS}".encode()

    def standard(payload: bytes) -> Callable[[], object]:
        return lambda: hmac.new(secret, head + payload, hashlib.sha256).hexdigest()

    form = RequestForm(signer, "POST", "/api/v1/private/order/create", "api.mexc.com",
                       [("Content-Type", "application/json")])

    def plain_request() -> bytes:
        body, now = json.dumps(ORDER, separators=(",", ":")), str(NOW_MS)
        signature = hmac.new(secret, (ACCESS_KEY + now + body).encode(), hashlib.sha256)
        headers = {"Host": "api.mexc.com", "Content-Type": "application/json", "ApiKey": ACCESS_KEY,
                   "Request-Time": now, "Signature": signature.hexdigest(),
                   "Content-Length": str(len(body))}
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        return f"POST /api/v1/private/order/create HTTP/1.1\r\n{lines}\r\n{body}".encode()

    def query() -> str:
        items = sorted((k, v) for k, v in PARAMS.items() if v is not None)
        return "&".join(f"{k}={quote(str(v), safe='*')}" for k, v in items)

    return {
        "sign 31 bytes": lambda: sign(NOW_MS, SHORT),
        "sign 250 bytes": lambda: sign(NOW_MS, LONG),
        "hmac.new 31 bytes": standard(SHORT),
        "hmac.new 250 bytes": standard(LONG),
        OUR_REQUEST: lambda: form.build(NOW_MS, LONG),
        THEIR_REQUEST: plain_request,
        "canonical_query, 5 parameters": lambda: canonical_query(PARAMS),
        "the same with urllib's quote": query,
    }


def check_answers(stream: Stream) -> None:
    """Every candidate gives the same answer; AssertionError when one does not."""
    books = {storage: our_book(stream, storage) for storage in ("auto", "arrays", "ladder")}
    rivals = {name: rival(stream.snapshot) for name, rival in available()[0].items()}
    model = rivals["json + dict"]
    for number, frame in enumerate(stream.frames):
        for book in books.values():
            if book.apply(frame) != Change.APPLIED:
                raise AssertionError(f"frame {number} was not applied")
        for rival in rivals.values():
            rival.feed(frame)
        if number % 500 == 0:
            tops = {(book.best_bid, book.best_ask) for book in books.values()}
            if tops | {rival.top() for rival in rivals.values()} != {model.top()}:
                raise AssertionError(f"tops differ after frame {number}")
    for name, rival in rivals.items():
        if rival.levels() != model.levels():
            raise AssertionError(f"{name}: its book differs")
    for name, book in books.items():
        if book.version != stream.version or book.version != model.version:
            raise AssertionError(f"{name}: versions differ")
        for ours, theirs, truth in zip(book.exact(), model.levels(), (stream.bids, stream.asks),
                                       strict=True):
            scale = 10 ** book.price_scale
            seen = {price: quantity for price, quantity, _ in ours}
            if {round(price * scale): quantity for price, quantity in theirs.items()} != seen:
                raise AssertionError(f"{name}: the dict book differs")
            if {ticks * scale // 10: quantity for ticks, quantity in truth.items()} != seen:
                raise AssertionError(f"{name}: the generator's book differs")
        if (book.best_bid or 0.0) >= (book.best_ask or 0.0):
            raise AssertionError(f"{name}: the book is crossed")
    for frame in stream.frames[:200]:
        event = parse_frame(frame)
        if event.to_dict() != json.loads(frame):
            raise AssertionError(f"parse_frame differs: {frame!r}")
    signing = {name: function() for name, function in signing_candidates().items()}
    for length in ("31 bytes", "250 bytes"):
        if signing[f"sign {length}"] != signing[f"hmac.new {length}"]:
            raise AssertionError(f"signatures of {length} differ")
    if sorted(_lines(signing[OUR_REQUEST])) != sorted(_lines(signing[THEIR_REQUEST])):
        raise AssertionError("signed requests differ")
    if signing["canonical_query, 5 parameters"].replace("%2C", ",") != str(  # type: ignore
            signing["the same with urllib's quote"]).replace("%2C", ","):
        raise AssertionError("queries differ")


def _lines(request: Any) -> list[bytes]:
    """A request's lines, header names in lower case; their order is free."""
    head, _, body = request.partition(b"\r\n\r\n")
    first, *headers = head.split(b"\r\n")
    return [first, *(b": ".join((name.lower(), value)) for name, value in
                     (line.split(b": ", 1) for line in headers)), body]


def measure(stream: Stream, repeats: int, only: Set[str] | None = None) -> dict[str, list[float]]:
    """ns per frame or call, one number per repeat; candidates take turns. only: no others."""
    depth, signing = depth_candidates(stream), signing_candidates()
    if only is not None:
        depth = {name: made for name, made in depth.items() if name in only}
        signing = {name: function for name, function in signing.items() if name in only}
    times: dict[str, list[float]] = {name: [] for name in [*depth, *signing]}
    clock = time.perf_counter_ns
    calls = max(100, len(stream.frames))
    with quiet_gc():
        for _ in range(repeats):
            for name, (make, one_in) in depth.items():
                run, frames = make(), stream.frames[:max(1, len(stream.frames) // one_in)]
                start = clock()
                run(frames)
                times[name].append((clock() - start) / len(frames))
            for name, function in signing.items():
                start = clock()
                for _ in range(calls):
                    function()
                times[name].append((clock() - start) / calls)
    return times


def ratios(times: dict[str, list[float]]) -> list[dict[str, Any]]:
    """Each target with what was measured; theirs is the fastest of the rivals named."""
    out = []
    for what, ours, theirs, must, goal in TARGETS:
        found = {name: min(times[name]) for name in theirs if name in times}
        best = min(found, key=found.__getitem__) if found else None
        out.append({"what": what, "rival": best, "must": must, "goal": goal,
                    "ratio": found[best] / min(times[ours]) if best else None})
    return out


def table(times: dict[str, list[float]], stream: Stream) -> str:
    """Markdown: minimum, median and how many times the minimum of ours; then the targets."""
    anchors = {"sign 31 bytes": "hmac.new 31 bytes", OUR_REQUEST: THEIR_REQUEST,
               "sign 250 bytes": "hmac.new 250 bytes",
               "canonical_query, 5 parameters": "the same with urllib's quote"}
    anchor_of = {theirs: ours for ours, theirs in anchors.items()}
    out = [f"{len(stream.frames):,} frames of {stream.bytes_per_frame:.0f} bytes, "
           f"{len(times[OURS])} repeats; Python {platform.python_version()}, "
           f"{platform.machine()}; ns, minimum and median; ratio of minima to ours", "",
           "| candidate | min | median | times ours |", "| --- | --- | --- | --- |"]
    for name, values in times.items():
        ours = anchor_of.get(name, name if name in anchors else
                             OURS_TOP if name.endswith(TOP) else OURS)
        out.append(f"| {name} | {min(values):,.0f} | {statistics.median(values):,.0f} | "
                   f"{min(values) / min(times[ours]):.2f} |")
    out += ["", "| parse + check + apply | rival | must | goal | measured |",
            "| --- | --- | --- | --- | --- |"]
    for row in ratios(times):
        measured = f"{row['ratio']:.1f}x" if row["ratio"] else "not measured"
        out.append(f"| {row['what']} | {row['rival'] or 'missing'} | {row['must']}x | "
                   f"{row['goal']}x | {measured} |")
    return "\n".join(out)


def main() -> None:
    parser = argparse.ArgumentParser(description="ns per frame and signature, with ratios.")
    parser.add_argument("--frames", type=int, default=25_000)
    parser.add_argument("--levels", type=int, default=1_000)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--json", type=Path, help="also write the numbers here")
    given = parser.parse_args()
    pin(cores()[1])
    stream = make_stream(given.frames, given.levels)
    for reason in available()[1]:
        print(f"MISSING: {reason}")
    try:
        native()
    except Missing as reason:
        print(f"MISSING: {SCAN} is not measured: {reason}")
    check_answers(stream)
    times = measure(stream, given.repeats)
    print(table(times, stream))
    if given.json:
        write_json(given.json, {
            "environment": environment(), "frames": len(stream.frames), "levels": given.levels,
            "unit": "ns", "targets": ratios(times), "times": times})


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
    make, one_in = depth_candidates(stream)[depth_name]
    frames = stream.frames[:len(stream.frames) // one_in]
    benchmark.pedantic(lambda run: run(frames), setup=lambda: ((make(),), {}), rounds=20)


def test_sign(benchmark: Any, signing_name: str) -> None:
    benchmark(signing_candidates()[signing_name])


if __name__ == "__main__":
    main()

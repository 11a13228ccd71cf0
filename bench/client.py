"""One client, one process, one run of bench/wire.py: prints one JSON line.

    python bench/client.py NAME sleep|spin PORT [--core N] [--paced N] [--rate R] [--blast N]

Against bench/server.py: a few frames to warm up, after which the best bid and ask of a candidate
that keeps a book must be those of tests/models; then the paced run, then the blast. A callback is
what a user of the candidate writes: it looks at the version and the clock.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import logging
import re
import socket
import sys
import time
from array import array
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))
sys.path.append(str(Path(__file__).resolve().parents[1] / "tests"))

from frames import SYMBOL
from harness import Missing, latencies, native, pin, quiet_gc
from rivals import CCXT_SYMBOL, ccxt_exchange, need
from server import stored_stream

from mexcfast.runtime import run
from models.book_model import BookModel, Frame

WARM_UP = 200
Top = tuple[float, float]


class Course:
    """The frames of one run, told to the server phase by phase; and what arrived when."""

    def __init__(self, given: argparse.Namespace) -> None:
        self.given = given
        self.port: int = given.port
        self.url = f"http://127.0.0.1:{given.port}"
        self.ws_url = f"ws://127.0.0.1:{given.port}/edge"
        self.stream = stored_stream(given.frames, given.levels)
        ends = [re.search(rb'"end":(\d+)', frame) for frame in self.stream.frames]
        self.ends = [int(found.group(1)) for found in ends if found]
        self.position = 0
        self.wanted = 0
        self.versions: list[int] = []
        self.times: list[int] = []
        self.cpu = 0
        self.last = 0
        self.result: dict[str, Any] = {"name": given.name, "loop": given.loop}

    def seen(self, version: int) -> None:
        """The user has a book or frame of this version now."""
        now = time.monotonic_ns()
        if not self.times:
            self.cpu = time.process_time_ns()
        self.times.append(now)
        self.versions.append(version)
        if version >= self.last:
            self.cpu = time.process_time_ns() - self.cpu
            self.finish()

    def finish(self) -> None:
        self.done.set()

    def from_threads(self) -> None:
        """seen() will be called outside the loop's thread."""
        loop = asyncio.get_running_loop()
        self.finish = lambda: loop.call_soon_threadsafe(self.done.set)  # type: ignore

    def ask(self, path: str) -> Any:
        """Tell the server; a function that waits for its answer."""
        sock = socket.create_connection(("127.0.0.1", self.port), timeout=120)
        sock.sendall(f"GET /bench/{path} HTTP/1.1\r\nHost: bench\r\n\r\n".encode())

        def answer() -> Any:
            with sock, sock.makefile("rb") as lines:
                size = 0
                while line := lines.readline().strip():
                    if line.lower().startswith(b"content-length:"):
                        size = int(line.split(b":")[1])
                found = json.loads(lines.read(size))
            if "error" in found:
                raise RuntimeError(f"the server: {found['error']}")
            return found
        return answer

    def start(self, count: int, rate: float) -> Any:
        self.versions, self.times, self.cpu = [], [], 0
        self.wanted = count
        self.last = self.ends[self.position + count - 1]
        first, self.position = self.position, self.position + count
        return self.ask(f"send?first={first}&count={count}&rate={rate}")

    async def phase(self, count: int, rate: float) -> Any:
        """One run of the server, to its last frame seen; its own answer."""
        self.done = asyncio.Event()
        answer = self.start(count, rate)
        async with asyncio.timeout(60 + count / 100):
            await self.done.wait()
        return answer()

    def note(self, what: str, answer: Any) -> None:
        """Latencies of a paced phase, CPU of a blast."""
        if what == "blast":
            self.result["blast"] = {"cpu_us": self.cpu / 1000 / (self.wanted - 1),
                                    "frames": self.wanted, "woken": len(self.times),
                                    "server_us": answer["seconds"] * 1e6 / self.wanted}
            return
        stamps = {int(number): sent for number, sent in self.ask("stamps")().items()}
        by_version = {self.ends[number]: sent for number, sent in stamps.items()}
        waits = [(at - by_version[version]) / 1000
                 for version, at in zip(self.versions, self.times, strict=True)]
        self.result["paced"] = latencies(waits) | {
            "frames": self.wanted, "cpu_us": self.cpu / 1000 / (self.wanted - 1)}

    async def phases(self, top: Callable[[], Top] | None = None) -> None:
        """Warm-up and check, then what was asked for."""
        await self.phase(WARM_UP, 2000)
        self.check(top)
        with quiet_gc():
            if self.given.paced:
                self.note("paced", await self.phase(self.given.paced, self.given.rate))
            if self.given.blast:
                self.note("blast", await self.phase(self.given.blast, 0))

    def check(self, top: Callable[[], Top] | None) -> None:
        self.result["checked"] = top is not None
        if top is None:
            return
        model = BookModel()
        data = json.loads(self.stream.snapshot)["data"]
        model.load_snapshot(data["version"], data["asks"], data["bids"])
        for frame in self.stream.frames[:self.position]:
            data = json.loads(frame)["data"]
            model.apply(Frame(data["begin"], data["end"], data["asks"], data["bids"]))
        best = max(model.bids), min(model.asks)
        if tuple(map(float, best)) != top():
            raise AssertionError(f"top of book is {top()}, the model's is {best}")


# -- candidates ----------------------------------------------------------------------------------

#: What every client of the venue says first. A socket that has never sent anything acknowledges
#: each frame from within the receive; one that has sent puts it off.
SUBSCRIBE = b'{"method":"sub.depth","param":{"symbol":"%s"}}' % SYMBOL.encode()


def _raw_socket(course: Course) -> socket.socket:
    """A WebSocket after its handshake and subscription, as a plain blocking socket."""
    sock = socket.create_connection(("127.0.0.1", course.port))
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.sendall(b"GET /edge HTTP/1.1\r\nHost: bench\r\nUpgrade: websocket\r\nConnection: Upgrade"
                 b"\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: "
                 b"MDEyMzQ1Njc4OWFiY2RlZg==\r\n\r\n")
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        head += sock.recv(1)
    sock.sendall(bytes((0x81, 0x80 | len(SUBSCRIBE))) + bytes(4) + SUBSCRIBE)     # a mask of zeros
    answer = sock.recv(2, socket.MSG_WAITALL)
    sock.recv(answer[1], socket.MSG_WAITALL)       # its length: the answer is short
    return sock


async def bare(course: Course) -> None:
    """C: recv and a clock, no event loop, no parsing beyond frame lengths."""
    module, spin = native(), course.given.loop == "spin"
    with _raw_socket(course) as sock:
        for what, count, rate in (("warm-up", WARM_UP, 2000.0),
                                  ("paced", course.given.paced, course.given.rate),
                                  ("blast", course.given.blast, 0.0)):
            if not count:
                continue
            stamps = array("q", bytes(8 * count))
            answer = course.start(count, rate)
            course.cpu = module.bare_frames(sock.fileno(), stamps, spin)
            _compiled_result(course, what, stamps, answer())
    course.result["checked"] = False


def _compiled_result(course: Course, what: str, stamps: Any, answer: Any) -> None:
    course.times = list(stamps)
    course.versions = course.ends[course.position - len(stamps):course.position]
    if what != "warm-up":
        course.note(what, answer)


async def _compiled(course: Course, listen: Callable[[Any], Awaitable[None]], kind: Any) -> None:
    """Phases of a compiled listener, a fresh one for each: it counts frames itself."""
    for what, count, rate in (("warm-up", WARM_UP, 2000.0),
                              ("paced", course.given.paced, course.given.rate),
                              ("blast", course.given.blast, 0.0)):
        if not count:
            continue
        done = asyncio.Event()
        stamps = array("q", bytes(8 * count))
        listener = kind(stamps, done.set)
        await listen(listener)
        passes = [0]

        def count_pass(phase: str, info: Any, passes: list[int] = passes) -> None:
            passes[0] += phase == "start"

        with quiet_gc():
            answer = course.start(count, rate)
            gc.callbacks.append(count_pass)
            async with asyncio.timeout(60 + count / 100):
                await done.wait()
            gc.callbacks.remove(count_pass)
        course.cpu = listener.cpu
        _compiled_result(course, what, stamps, answer())
        if what == "blast":
            course.result["blast"]["gc_passes"] = passes[0]


async def picows_empty(course: Course) -> None:
    """A compiled picows listener that does nothing with a frame."""
    import picows

    listener = native().Empty(array("q"), lambda: None)
    transport, _ = await picows.ws_connect(lambda: listener, course.ws_url)
    transport.send(picows.WSMsgType.TEXT, SUBSCRIBE)
    await asyncio.sleep(0.1)            # the answer is not counted: it wants no frames yet

    def again(stamps: Any, done: Any) -> Any:
        listener.again(stamps, done)
        return listener

    async def listen(listener: Any) -> None:
        """It listens already: one socket for all phases, as the pool has."""

    await _compiled(course, listen, again)
    course.result["checked"] = False
    transport.disconnect(False)


async def ours_tuned(course: Course) -> None:
    """The same with every socket option there is: on loopback there is no device to poll."""
    from mexcfast.net.stream_settings import StreamSettings

    await ours_compiled(course, StreamSettings(busy_poll_us=50, quick_ack=True))


async def ours_compiled(course: Course, settings: Any = None) -> None:
    """mexcfast.Client, its pool and policies, a listener that cimports ours."""
    import mexcfast as mx
    from mexcfast.core import topics

    async with mx.Client(course.url, streams=settings) as client:
        book = await client.book(SYMBOL)
        before: list[Any] = []

        async def listen(listener: Any) -> None:
            if before:
                course.check(lambda: (book.best_bid, book.best_ask))
                client.unsubscribe(before.pop(), topics.depth(SYMBOL))
            client.subscribe(listener, topics.depth(SYMBOL))
            before.append(listener)

        await _compiled(course, listen, native().Meter)
        if book.gaps:
            raise AssertionError(f"{book.gaps} gaps in a stream without any")


async def ours(course: Course) -> None:
    """mexcfast.Client, its pool and policies, a listener written in Python."""
    import mexcfast as mx
    from mexcfast.core import topics

    class Seen(mx.Listener):
        def on_book(self, book: Any) -> None:
            course.seen(book.version)

    async with mx.Client(course.url) as client:
        book = await client.book(SYMBOL)
        client.subscribe(Seen(), topics.depth(SYMBOL))
        await course.phases(lambda: (book.best_bid, book.best_ask))


def _picows_parsed(loads: Callable[[], Callable[[Any], Any]]) -> Any:
    async def candidate(course: Course) -> None:
        import picows

        parse = loads()

        subscribed = asyncio.Event()

        class Parsed(picows.WSListener):
            is_subscribed = False

            def on_ws_frame(self, transport: Any, frame: Any) -> None:
                if frame.msg_type == picows.WSMsgType.TEXT:
                    if self.is_subscribed:
                        course.seen(parse(frame.get_payload_as_bytes())["data"]["end"])
                    else:
                        self.is_subscribed = True
                        subscribed.set()

        transport, _ = await picows.ws_connect(Parsed, course.ws_url)
        transport.send(picows.WSMsgType.TEXT, SUBSCRIBE)
        await subscribed.wait()
        await course.phases()
        transport.disconnect(False)
    return candidate


def _aiohttp_parsed(loads: Callable[[], Callable[[Any], Any]]) -> Any:
    async def candidate(course: Course) -> None:
        import aiohttp

        parse = loads()

        async def read(socket: Any) -> None:
            async for message in socket:
                course.seen(parse(message.data)["data"]["end"])

        async with (aiohttp.ClientSession() as session,
                    session.ws_connect(course.ws_url, compress=0) as socket):
            await socket.send_str(SUBSCRIBE.decode())
            await socket.receive()
            await _with_reader(course, read(socket))
    return candidate


async def websockets_json(course: Course) -> None:
    need("websockets")
    from websockets.asyncio.client import connect

    async def read(socket: Any) -> None:
        async for message in socket:
            course.seen(json.loads(message)["data"]["end"])

    async with connect(course.ws_url, compression=None, ping_interval=None, max_queue=None,
                       proxy=None) as socket:
        await socket.send(SUBSCRIBE.decode())
        await socket.recv()
        await _with_reader(course, read(socket))


async def _with_reader(course: Course, read: Any, top: Callable[[], Top] | None = None) -> None:
    """The phases beside a task that reads; what it raises ends them."""
    reading = asyncio.ensure_future(read)
    phases = asyncio.ensure_future(course.phases(top))
    await asyncio.wait({reading, phases}, return_when=asyncio.FIRST_COMPLETED)
    for task in (phases, reading):
        if task.done():
            task.result()
    reading.cancel()
    with suppress(asyncio.CancelledError):
        await reading


async def pymexc(course: Course) -> None:
    """As its users have it: a thread of its own, json, a callback; no book."""
    need("pymexc")
    from pymexc import futures

    course.from_threads()
    client = await asyncio.to_thread(futures.WebSocket)
    client.endpoint = course.ws_url                   # before the first stream: it connects there
    await asyncio.to_thread(client.depth_stream,
                            lambda message: course.seen(message["data"]["end"]), SYMBOL)
    await course.phases()
    if client.ping_timer:
        client.ping_timer.cancel()
    client.restart_on_error = False
    client.exit()


async def typed_mexc(course: Course) -> None:
    need("typed-mexc")
    from typed_mexc import MEXC

    async def read(messages: Any) -> None:
        async for message in messages:
            data = message.get("data", message)       # the push or what is in it, by version
            course.seen(int(data.get("end", data["version"])))

    async with (MEXC.new(public=True, spot_base_url=course.url, spot_ws_url=course.ws_url,
                         futures_base_url=course.url, futures_ws_url=course.ws_url) as client,
                client.futures.streams.market.depth(SYMBOL) as messages):
        await _with_reader(course, read(messages))


async def ccxt_pro(course: Course) -> None:
    """watch_order_book in a loop, orjson there; a version it conflates away is not counted late."""
    exchange = ccxt_exchange(course.stream.snapshot)
    exchange.urls["api"]["ws"]["swap"] = course.ws_url

    async def read() -> None:
        while True:
            book = await exchange.watch_order_book(CCXT_SYMBOL)
            course.seen(book["nonce"])

    book = exchange.orderbooks[CCXT_SYMBOL]
    reading = asyncio.ensure_future(read())
    for _ in range(500):                              # until it has asked for the stream
        if exchange.clients and next(iter(exchange.clients.values())).connected.done():
            break
        await asyncio.sleep(0.01)
    try:
        await course.phases(lambda: (float(book["bids"][0][0]), float(book["asks"][0][0])))
        if reading.done():
            reading.result()
    finally:
        reading.cancel()
        with suppress(asyncio.CancelledError):
            await reading
        await exchange.close()


def _orjson() -> Any:
    return need("orjson").loads


def _json() -> Any:
    return json.loads


OURS, OURS_COMPILED = "mexcfast, Python listener", "mexcfast, compiled listener"
BARE, EMPTY, CCXT = "bare recv in C", "picows, empty compiled listener", "ccxt.pro watch_order_book"
AIOHTTP_JSON = "aiohttp + json"
OURS_TUNED = "mexcfast, compiled listener, busy poll and quick acks"
CANDIDATES: dict[str, Callable[[Course], Awaitable[None]]] = {
    BARE: bare,
    EMPTY: picows_empty,
    OURS_COMPILED: ours_compiled,
    OURS_TUNED: ours_tuned,
    OURS: ours,
    "picows + orjson": _picows_parsed(_orjson),
    "aiohttp + orjson": _aiohttp_parsed(_orjson),
    AIOHTTP_JSON: _aiohttp_parsed(_json),
    "websockets + json": websockets_json,
    "pymexc": pymexc,
    "typed-mexc": typed_mexc,
    CCXT: ccxt_pro,
}


def one_run(parser: argparse.ArgumentParser,
            candidates: Mapping[str, Callable[[Course], Awaitable[None]]], frames: int) -> None:
    """The run that the arguments ask for. parser: has what is this bench's own; frames: default."""
    parser.add_argument("name", choices=list(candidates))
    parser.add_argument("loop", choices=("sleep", "spin"))
    parser.add_argument("port", type=int)
    parser.add_argument("--core", type=int)
    parser.add_argument("--frames", type=int, default=frames, help="as given to the server")
    parser.add_argument("--levels", type=int, default=1_000, help="as given to the server")
    given = parser.parse_args()
    logging.disable(logging.CRITICAL)
    pin(given.core)
    course = Course(given)
    try:
        run(candidates[given.name](course), spin=given.loop == "spin")
    except Missing as reason:
        print(reason, file=sys.stderr)
        sys.exit(3)
    print(json.dumps(course.result), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description="One client of bench/wire.py.")
    parser.add_argument("--paced", type=int, default=0)
    parser.add_argument("--rate", type=float, default=1000)
    parser.add_argument("--blast", type=int, default=0)
    one_run(parser, CANDIDATES, frames=20_000)


if __name__ == "__main__":
    main()

"""The whole market through N gateway processes and a real nats-server: does it keep up, how late?

    python bench/fanout.py                      # 1100 contracts, 5 frames a second each
    python bench/fanout.py --rate 0             # as many as they can carry
    python bench/fanout.py --processes 2 --consumers 2 --seconds 20 --json

A feeder in each gateway process stands in for the sockets: it hands the frames of its shard, ten
levels each, to the same reader, books and relays. Consumers are processes too; together they follow
every contract (each a share of them, or --every all). Late is the time from the frame's receipt at
the gateway to on_book at the consumer, one clock. At the end every consumer's book must be at the
feeder's last version with the same hash and, at a rate, nothing may be lost; else the run failed.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import resource
import shutil
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import mexcfast as mx
from mexcfast.core.depth import Change, OrderBook
from mexcfast.core.reader import Reader
from mexcfast.core.topics import Topic
from mexcfast.gateway import Consumer, Gateway, Shard

LEVELS = 200                 # a side, of each book
TOUCHED = 10                 # levels in a frame


def symbols(count: int) -> list[str]:
    return [f"COIN{number}_USDT" for number in range(count)]


class Feeder:
    """In the place of a Client: sockets that bring frames on demand."""

    endpoint = mx.LIVE

    def __init__(self) -> None:
        self.reader = Reader(self)
        self.books: dict[str, OrderBook] = {}
        self._texts: dict[str, tuple[bytes, bytes]] = {}

    async def __aenter__(self) -> Feeder:
        return self

    async def close(self) -> None: ...

    def on_control(self, event: Any) -> None: ...
    def on_trusted(self, book: OrderBook) -> None: ...

    def on_need(self, book: OrderBook, change: Change) -> None:
        raise SystemExit(f"{book}: {change!r}")

    def on_fault(self, fault: Exception, where: str) -> None:
        raise SystemExit(f"{where}: {fault}")

    def subscribe(self, listener: mx.Listener, topic: Topic) -> None:
        book = self.books[topic.symbol] = OrderBook(topic.symbol)
        book.listeners = [listener]
        self.reader.route(topic.symbol).book = book
        self.reader.listen(topic.push, topic.symbol, listener)
        asks = ",".join(f"[{1000 + n}.5,{n + 1},1]" for n in range(LEVELS))
        bids = ",".join(f"[{999 - n}.5,{n + 1},1]" for n in range(LEVELS))
        old = book.state
        book.expect_snapshot()
        change = book.load_snapshot(f'{{"asks":[{asks}],"bids":[{bids}],"version":1}}')
        self.reader.settle(book, old, change)
        half = TOUCHED // 2
        asks = ",".join(f"[{1000 + 3 * n}.5,%d,1]" for n in range(half))
        bids = ",".join(f"[{999 - 3 * n}.5,%d,1]" for n in range(half))
        self._texts[topic.symbol] = (
            f'{{"symbol":"{topic.symbol}","data":{{"asks":[{asks}],"bids":[{bids}],'.encode(),
            b'"begin":%d,"end":%d,"version":%d},"channel":"push.depth","ts":1790870000000}')

    def push(self, symbol: str) -> None:
        """The next frame of a contract."""
        version = self.books[symbol].version + 1
        levels, tail = self._texts[symbol]
        quantity = 1 + version % 977
        text = levels % ((quantity,) * (2 * (TOUCHED // 2))) + tail % ((version,) * 3)
        self.reader.feed_bytes(text, time.time_ns())


def cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


async def word() -> str:
    """A line of the parent's."""
    return (await asyncio.to_thread(sys.stdin.readline)).strip()


def say(**what: Any) -> None:
    print(json.dumps(what), flush=True)


async def gateway(options: argparse.Namespace) -> None:
    names = symbols(options.contracts)
    source = Gateway(options.nats, symbols=names, shard=options.shard, channels=["depth"])
    feeder = source.client = Feeder()                        # type: ignore[assignment]
    async with source:
        say(here=len(source.contracts))
        await word()
        mine, pushed = source.contracts, 0
        began, used = time.monotonic(), cpu_s()
        until = began + options.seconds
        while (now := time.monotonic()) < until:
            if options.rate:
                due = int((now - began) * options.rate * len(mine))
            else:                                            # as long as the bus takes it
                due = pushed + (200 if source.outbox.bytes_waiting < 200_000 else 0)
            while pushed < due:
                feeder.push(mine[pushed % len(mine)])
                pushed += 1
            await asyncio.sleep(0.005 if options.rate else 0)
        took, used = time.monotonic() - began, cpu_s() - used
        say(pushed=pushed, took=took, cpu=used, dropped=source.outbox.dropped,
            books={name: [book.version, mx.book_hash(book)]
                   for name, book in feeder.books.items()})
        await word()


class Late(mx.Listener):
    """How late each frame was, ns."""

    def __init__(self) -> None:
        self.ns: list[int] = []

    def on_book(self, book: OrderBook) -> None:
        self.ns.append(time.time_ns() - book.ts_recv_ns)


async def consumer(options: argparse.Namespace) -> None:
    names = symbols(options.contracts)
    if options.every == "share":
        names = Shard.parse(options.shard).of(names)
    async with Consumer(options.nats) as source:
        late = Late()
        source.subscribe(late, [mx.topics.depth(name) for name in names])
        while not all(book.is_live for book in source.books.values()):
            await asyncio.sleep(0.05)
        late.ns.clear()
        say(here=len(names))
        used = cpu_s()
        await word()
        used = cpu_s() - used
        wanted = json.loads(await word())
        with suppress(TimeoutError):
            async with asyncio.timeout(30):
                while any(source.books[name].version < wanted[name][0] for name in names):
                    await asyncio.sleep(0.01)
        wrong = [name for name in names if [source.books[name].version,
                                            mx.book_hash(source.books[name])] != wanted[name]]
        late.ns.sort()
        say(frames=len(late.ns), wrong=len(wrong), cpu=used, counts=source.counts,
            late_us={name: late.ns[min(len(late.ns) - 1, int(len(late.ns) * share))] / 1000
                     for name, share in (("p50", 0.5), ("p99", 0.99), ("p99.9", 0.999))})


class Child:
    """One of the processes."""

    def __init__(self, role: str, shard: str, options: argparse.Namespace, nats: str) -> None:
        self._arguments = [role, "--nats", nats, "--shard", shard, "--every", options.every,
                           "--contracts", str(options.contracts), "--rate", str(options.rate),
                           "--seconds", str(options.seconds)]

    async def start(self) -> None:
        self.process = await asyncio.create_subprocess_exec(
            sys.executable, "-P", __file__, "--role", *self._arguments, limit=1 << 24,
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE)

    async def hear(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        line = await self.process.stdout.readline()
        if not line:
            raise SystemExit("a process ended")
        found: dict[str, Any] = json.loads(line)
        return found

    def tell(self, text: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(text.encode() + b"\n")


async def measure(options: argparse.Namespace) -> dict[str, Any]:
    binary = shutil.which("nats-server") or shutil.which("nats-server", path="/usr/sbin")
    if binary is None:
        raise SystemExit("nats-server is not installed: apt-get install nats-server")
    with tempfile.TemporaryDirectory() as folder:
        server = await asyncio.create_subprocess_exec(
            binary, "-a", "127.0.0.1", "-p", "-1", "--ports_file_dir", folder,
            stderr=asyncio.subprocess.DEVNULL)
        try:
            while not (found := list(Path(folder).glob("*.ports"))):       # noqa: ASYNC240
                await asyncio.sleep(0.05)
            await asyncio.sleep(0.2)
            return await run(options, json.loads(found[0].read_text())["nats"][0])
        finally:
            server.terminate()
            await server.wait()


async def run(options: argparse.Namespace, nats: str) -> dict[str, Any]:
    gateways = [Child("gateway", f"{n}/{options.processes}", options, nats)
                for n in range(options.processes)]
    consumers = [Child("consumer", f"{n}/{options.consumers}", options, nats)
                 for n in range(options.consumers)]
    for family in (gateways, consumers):
        await asyncio.gather(*(each.start() for each in family))
        await asyncio.gather(*(each.hear() for each in family))
    for each in gateways:
        each.tell("go")
    fed = await asyncio.gather(*(each.hear() for each in gateways))
    books: dict[str, Any] = {}
    for each in fed:
        books |= each.pop("books")
    for each in consumers:
        each.tell("stop")
        each.tell(json.dumps(books))
    read = await asyncio.gather(*(each.hear() for each in consumers))
    for each in gateways:
        each.tell("end")
    await asyncio.gather(*(each.process.wait() for each in (*gateways, *consumers)))
    took = max(each["took"] for each in fed)
    return {
        "contracts": options.contracts, "processes": options.processes,
        "consumers": options.consumers, "every": options.every, "rate": options.rate,
        "cpus": os.cpu_count(), "python": platform.python_version(),
        "frames_per_s": round(sum(each["pushed"] for each in fed) / took),
        "cpu_per_frame_us": {
            "gateway": round(1e6 * sum(e["cpu"] for e in fed) / sum(e["pushed"] for e in fed), 1),
            "consumer": round(1e6 * sum(e["cpu"] for e in read)
                              / max(1, sum(e["frames"] for e in read)), 1)},
        "late_us": {name: round(max(each["late_us"][name] for each in read))
                    for name in ("p50", "p99", "p99.9")},
        "read": sum(each["frames"] for each in read),
        "pushed": sum(each["pushed"] for each in fed),
        "dropped": sum(each["dropped"] for each in fed),
        "lost": sum(each["counts"]["lost"] for each in read),
        "wrong_books": sum(each["wrong"] for each in read)}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--processes", type=int, default=4)
    parser.add_argument("--consumers", type=int, default=1)
    parser.add_argument("--every", choices=("share", "all"), default="share")
    parser.add_argument("--contracts", type=int, default=1100)
    parser.add_argument("--rate", type=float, default=5.0, help="frames a second and contract")
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--role", help=argparse.SUPPRESS)
    parser.add_argument("--nats", help=argparse.SUPPRESS)
    parser.add_argument("--shard", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.role:
        asyncio.run({"gateway": gateway, "consumer": consumer}[options.role](options))
        return 0
    result = asyncio.run(measure(options))
    if options.json:
        print(json.dumps(result))
    else:
        for name, value in result.items():
            print(f"{name:18} {value}")
    # beyond what consumers can read messages are lost, and books are mended
    return int(result["wrong_books"] > 0 or (result["lost"] > 0 and options.rate > 0))


if __name__ == "__main__":
    sys.exit(main())

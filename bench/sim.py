"""How fast the exchange in the box is: depth frames, orders, 200 contracts at once, a mirror.

    python bench/sim.py [depth] [orders] [contracts] [mirror] [--seconds 5]

The exchange runs in a process of its own; the client here is a bare socket that only counts, so
that the exchange is what is measured. Both share this machine's cores, hence the CPU shares: a side
that is far from 100 % is not what bounds the rate. A rate is sustained when no step was given up
and every frame arrived.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import hmac
import json
import os
import platform
import sys
import time
from typing import Any

import aiohttp

from mexcfast.cli.sim import ChildExchange
from mexcfast.runtime import run

SYMBOLS = ["BTC_USDT", "ETH_USDT", "SOL_USDT", "DOGE_USDT", "XRP_USDT", "SIM1_USDT", "SIM2_USDT",
           "SIM3_USDT"]  # fmt: skip
PARTS = ["depth", "orders", "contracts", "mirror"]


class FrameCounter(asyncio.Protocol):
    """Reads a WebSocket without looking at anything but frame lengths."""

    def __init__(self, host: str, messages: list[str]) -> None:
        self.host = host
        self.messages = messages
        self.frames = 0
        self.bytes = 0
        self.open = False
        self._rest = b""

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        transport.write(
            f"GET /edge HTTP/1.1\r\nHost: {self.host}\r\nUpgrade: websocket\r\nConnection: "
            "Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r"
            "\n\r\n".encode()
        )

    def data_received(self, data: bytes) -> None:
        self.bytes += len(data)
        data = self._rest + data
        at = 0
        if not self.open:
            end = data.find(b"\r\n\r\n")
            if end < 0:
                self._rest = data
                return
            self.open, at = True, end + 4
            for message in self.messages:
                self.transport.write(masked(message.encode()))
        size = len(data)
        while at + 2 <= size:
            length = data[at + 1]
            head = 2
            if length == 126:
                head = 4
                if at + 4 > size:
                    break
                length = int.from_bytes(data[at + 2 : at + 4], "big")
            elif length == 127:
                head = 10
                if at + 10 > size:
                    break
                length = int.from_bytes(data[at + 2 : at + 10], "big")
            if at + head + length > size:
                break
            at += head + length
            self.frames += 1
        self._rest = data[at:]


def masked(payload: bytes) -> bytes:
    """A client's text frame with a mask of zeros."""
    size = len(payload)
    head = bytes((0x81, 0x80 | size)) if size < 126 else b"\x81\xfe" + size.to_bytes(2, "big")
    return head + bytes(4) + payload


class OrderCaller(asyncio.Protocol):
    """One connection that sends the next order when the last was answered."""

    def __init__(self, requests: Any) -> None:
        self.requests = requests
        self.answers = 0
        self.refused = 0
        self._rest = b""

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        transport.write(self.requests())

    def data_received(self, data: bytes) -> None:
        data = self._rest + data
        head, mark, body = data.partition(b"\r\n\r\n")
        if mark:
            length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0])
            if len(body) >= length:
                self.answers += 1
                self.refused += b'"code":0' not in body
                self._rest = b""
                self.transport.write(self.requests())
                return
        self._rest = data


class Shares:
    """CPU of the exchange and of this client since it was made, as a text."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.start = time.perf_counter()
        self.exchange, self.client = cpu_seconds(pid), time.process_time()

    def __str__(self) -> str:
        took = (time.perf_counter() - self.start) / 100
        exchange = (cpu_seconds(self.pid) - self.exchange) / took
        client = (time.process_time() - self.client) / took
        return f"exchange {exchange:3.0f} % of a core, client {client:3.0f} %"


def memory_mb(pid: int) -> int:
    """Resident memory of a process (Linux)."""
    with open(f"/proc/{pid}/status") as file:
        return int(next(line.split()[1] for line in file if line.startswith("VmRSS"))) // 1024


def cpu_seconds(pid: int) -> float:
    """User and system time of a process so far (Linux)."""
    with open(f"/proc/{pid}/stat") as file:
        parts = file.read().rpartition(")")[2].split()
    return (int(parts[11]) + int(parts[12])) / os.sysconf("SC_CLK_TCK")


async def watch(venue: ChildExchange, symbols: list[str], compress: bool) -> FrameCounter:
    """One client with the depth of all these contracts."""
    await venue.control("limits", write_buffer_bytes=256 * 1024 * 1024, topics=None,
                        messages_per_second=None)  # fmt: skip
    host, port = venue.rest_url.rpartition("/")[2].split(":")
    flag = "true" if compress else "false"
    wanted = [f'{{"method":"sub.depth","param":{{"symbol":"{one}","compress":{flag}}}}}'
              for one in symbols]  # fmt: skip
    loop = asyncio.get_running_loop()
    _, counter = await loop.create_connection(lambda: FrameCounter(host, wanted), host, int(port))
    await asyncio.sleep(1.0)
    return counter


async def measured(venue: ChildExchange, counter: FrameCounter, seconds: float) -> str:
    """What one client got in a while."""
    before = await venue.control("state")
    frames, size, start = counter.frames, counter.bytes, time.perf_counter()
    shares = Shares(venue.pid)
    await asyncio.sleep(seconds)
    took = time.perf_counter() - start
    said = str(shares)
    got = (counter.frames - frames) / took
    mean = (counter.bytes - size) / max(1, counter.frames - frames)
    after = await venue.control("state")
    skipped = after["steps_skipped"] - before["steps_skipped"]
    steps = (after["steps"] - before["steps"]) / took
    counter.transport.abort()
    return (f"got {got:8.0f} frames/s of {mean:5.0f} bytes  {steps:6.0f} steps/s, given up "
            f"{skipped}  {said}")  # fmt: skip


async def depth(seconds: float, per_second: int) -> None:
    """Frames of single versions to one client."""
    rate = per_second / len(SYMBOLS)
    async with ChildExchange(symbols=SYMBOLS, rate=rate, merge_ms=0) as venue:
        counter = await watch(venue, SYMBOLS, compress=False)
        print(f"depth      asked {per_second:6d}  {await measured(venue, counter, seconds)}")


async def contracts(seconds: float, number: int, rate: float) -> None:
    """Many contracts with a live flow each; one client watches all of them."""
    symbols = [f"SIM{index:04d}_USDT" for index in range(1, number + 1)]
    for compress in (True, False):
        async with ChildExchange(symbols=symbols, rate=rate, merge_ms=200) as venue:
            asked = number * (5 if compress else rate)
            counter = await watch(venue, symbols, compress=compress)
            said = await measured(venue, counter, seconds)
            print(f"contracts  {number}, asked {asked:6.0f}  {said}, {memory_mb(venue.pid)} MB")


async def orders(seconds: float, connections: int) -> None:
    """Limit orders that rest, then cancel_all to keep the book small."""
    async with ChildExchange(symbols=SYMBOLS[:1], rate=0) as venue:
        await venue.control("limits", rest_budgets=False, order_budget=None)
        host, port = venue.rest_url.rpartition("/")[2].split(":")
        book = await venue.control("book/BTC_USDT")
        price = book["bids"][20][0]

        keyed = hmac.new(venue.secret.encode(), venue.access_key.encode(), hashlib.sha256)

        def signed(path: str, body: bytes) -> bytes:
            now = str(time.time_ns() // 1_000_000)
            digest = keyed.copy()
            digest.update(now.encode() + body)
            mac = digest.hexdigest()
            return (f"POST /api/v1/private/{path} HTTP/1.1\r\nHost: {host}\r\nApiKey: "
                    f"{venue.access_key}\r\nRequest-Time: {now}\r\nSignature: {mac}\r\n"
                    f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
                    ).encode() + body  # fmt: skip

        place = json.dumps({"symbol": "BTC_USDT", "price": price, "vol": 1, "side": 1, "type": 1,
                            "openType": 1, "leverage": 20}).encode()  # fmt: skip
        count = 0

        def following() -> bytes:
            nonlocal count
            count += 1
            if count % 50:
                return signed("order/create", place)
            return signed("order/cancel_all", b'{"symbol":"BTC_USDT"}')

        loop = asyncio.get_running_loop()
        callers = [(await loop.create_connection(lambda: OrderCaller(following), host,
                                                 int(port)))[1] for _ in range(connections)]
        await asyncio.sleep(0.5)
        before, start = sum(one.answers for one in callers), time.perf_counter()
        shares = Shares(venue.pid)
        await asyncio.sleep(seconds)
        took = time.perf_counter() - start
        said = str(shares)
        rate = (sum(one.answers for one in callers) - before) / took
        refused = sum(one.refused for one in callers)
        for one in callers:
            one.transport.abort()
        print(f"orders     {connections} connections  {rate:8.0f} requests/s  refused {refused}"
              f"  {said}")  # fmt: skip


async def mirror(seconds: float, contracts: int, rate: float) -> None:
    """A mirror of a second exchange: both in processes of their own."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", SOURCE,
        str(contracts), str(rate), stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE)
    assert process.stdout is not None and process.stdin is not None
    url = (await process.stdout.readline()).decode().strip()
    copy = await asyncio.create_subprocess_exec(
        sys.executable, "-c", COPY, url,
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE)
    assert copy.stdout is not None and copy.stdin is not None
    copy_url = (await copy.stdout.readline()).decode().strip()
    async with aiohttp.ClientSession() as http:

        async def state() -> Any:
            async with http.get(copy_url + "/sim/state") as answer:
                return (await answer.json(content_type=None))["data"]["market"]

        start = time.perf_counter()
        while (await state())["live"] < contracts:
            await asyncio.sleep(0.1)
        loaded = time.perf_counter() - start
        before, cpu, start = await state(), cpu_seconds(copy.pid), time.perf_counter()
        await asyncio.sleep(seconds)
        took = time.perf_counter() - start
        share = (cpu_seconds(copy.pid) - cpu) / took
        after = await state()
    frames = (after["frames"] - before["frames"]) / took
    print(f"mirror     {contracts} contracts  {frames:6.0f} depth frames/s applied  gaps "
          f"{after['gaps'] - before['gaps']}  live {after['live']}  loaded in {loaded:.1f} s  "
          f"mirror {share * 100:3.0f} % of a core, {memory_mb(copy.pid)} MB")
    for one in (copy, process):
        assert one.stdin is not None
        one.stdin.close()
        await one.wait()


SOURCE = """
import asyncio, sys
from mexcfast.runtime import run
from mexcfast.sim import Exchange
async def main():
    async with Exchange(symbols=int(sys.argv[1]), updates_per_second=float(sys.argv[2]),
                        levels=200, limits=False) as venue:
        print(venue.rest_url, flush=True)
        await asyncio.to_thread(sys.stdin.read)
run(main())
"""
COPY = """
import asyncio, sys
from mexcfast.runtime import run
from mexcfast.sim import Exchange
from mexcfast.sim.mirror import Mirror
async def main():
    mirror = await Mirror.open(sys.argv[1], snapshots_per_second=50)
    async with Exchange(market=mirror, merge_ms=0, limits=False) as venue:
        print(venue.rest_url, flush=True)
        await asyncio.to_thread(sys.stdin.read)
run(main())
"""


async def main(parts: list[str], seconds: float) -> None:
    with open("/proc/cpuinfo") as file:
        model = next((line.partition(":")[2].strip() for line in file if "model name" in line), "?")
    print(f"{model}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, "
          f"Python {platform.python_version()}")
    if "depth" in parts:
        for per_second in (10_000, 20_000, 40_000):
            await depth(seconds, per_second)
    if "orders" in parts:
        for connections in (1, 8):
            await orders(seconds, connections)
    if "contracts" in parts:
        await contracts(seconds, 200, 50)
    if "mirror" in parts:
        await mirror(seconds, 200, 10)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="*", default=PARTS)
    parser.add_argument("--seconds", type=float, default=5.0)
    chosen = parser.parse_args()
    run(main(chosen.parts or PARTS, chosen.seconds))

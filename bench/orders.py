"""Order entry: microseconds and CPU from call to outcome, beside a bare protocol and other clients.

    python bench/orders.py                    plain, the loop sleeping between answers
    python bench/orders.py --tls --spin       over TLS, the client's loop never sleeping
    python bench/orders.py --requests 200 --repeats 1     a quick look that it runs

One order after the other on a kept-alive connection; the server (bench/server.py) has another core,
spins, and answers each request with one fixed acknowledgement (in C where there is no TLS), so that
its own waking up and reading are in no figure. The floor is an asyncio protocol on uvloop that
writes the same prebuilt bytes and looks for the answer's end only. Repeats are interleaved; the
table gives minima over the repeats of p50 and of CPU, differences to the floor and ratios. Before
anything is timed each candidate's answer is checked. Compare rows of one run only.
"""

from __future__ import annotations

import argparse
import asyncio
import dataclasses
import gc
import hashlib
import hmac
import json
import os
import platform
import ssl
import statistics
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

from harness import KEY, ORDER, PATH, ROOT, SECRET, cores, server
from server import ANSWER, CERTIFICATE

if "--tls" in sys.argv:
    os.environ["SSL_CERT_FILE"] = str(CERTIFICATE)     # before aiohttp reads the authorities

import aiofastnet
import aiohttp

from mexcfast.core.rest import Endpoint, Subject
from mexcfast.core.sign import Signer
from mexcfast.net.clock import Clock
from mexcfast.net.executor import Executor
from mexcfast.net.orders import Orders
from mexcfast.runtime import run
from mexcfast.types import Accepted, Contract

BODY = json.dumps(ORDER, separators=(",", ":")).encode()
Once = Callable[[], Awaitable[object]]


# -- the candidates ------------------------------------------------------------------------------

class Bare(asyncio.Protocol):
    """The floor: one write, one future, no parsing beyond the answer's end."""

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.size = 0

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.size += len(data)
        if self.size >= len(ANSWER):
            self.size = 0
            self.waiter.set_result(data)

    def send(self, request: bytes) -> asyncio.Future[bytes]:
        self.waiter = self.loop.create_future()
        self.transport.write(request)
        return self.waiter


def _bare(connect: Callable[..., Any]) -> Any:
    async def make(stack: AsyncExitStack, port: int, tls: ssl.SSLContext | None) -> Once:
        head = (f"POST {PATH} HTTP/1.1\r\nHost: localhost:{port}\r\nContent-Type: application/json"
                f"\r\nApiKey: {KEY}\r\nRequest-Time: 1779779511850\r\nSignature: {'0' * 64}\r\n"
                f"Content-Length: {len(BODY)}\r\n\r\n")
        request = head.encode() + BODY
        loop = asyncio.get_running_loop()
        more: dict[str, Any] = {"ssl": tls} if tls else {}
        host = "localhost" if tls else "127.0.0.1"
        transport, protocol = await connect(loop, Bare, host, port, **more)
        stack.callback(transport.abort)

        async def once() -> object:
            data = await protocol.send(request)
            return data if len(data) == len(ANSWER) else None
        return once
    return make


async def _uvloop_connect(loop: Any, *rest: Any, **more: Any) -> Any:
    return await loop.create_connection(*rest, **more)


def _endpoint(port: int, tls: object) -> Endpoint:
    return Endpoint.at(f"{'https://localhost' if tls else 'http://127.0.0.1'}:{port}", margin_ms=0,
                       limits={"order_place": (1_000_000_000, 1)})


def _contract() -> Contract:
    from mexcfast.core.rest import BY_NAME, read_answer

    lines = (ROOT / "tests" / "data" / "rest_responses.jsonl").read_text(encoding="utf-8")
    for line in lines.splitlines():
        vector = json.loads(line)
        if vector["path"].startswith("/api/v1/contract/detail") and vector["method"] == "GET":
            found = read_answer(BY_NAME["contracts"], 200, json.dumps(vector["response"]).encode())
            for contract in found:
                if contract.symbol == "BTC_USDT":
                    return dataclasses.replace(contract, api_allowed=True)
    raise AssertionError("no contract in the samples")


def _ours(lane: Any, what: str) -> Any:
    async def make(stack: AsyncExitStack, port: int, tls: ssl.SSLContext | None) -> Once:
        executor = await stack.enter_async_context(
            Executor(_endpoint(port, tls), Signer(KEY, SECRET), Clock(), lane=lane))
        await executor.warm_up()
        contract = _contract()
        orders = Orders(executor, {"BTC_USDT": contract}, session=1)
        about = Subject("BTC_USDT", "bench-0001")
        price = contract.tick_size * 1_000_000

        async def execute() -> object:
            return await executor.execute("create", BODY, about)

        async def submit() -> object:
            return await orders.submit("BTC_USDT", 1, contract.min_quantity, price, leverage=20)

        return execute if what == "execute" else submit
    return make


async def _users_aiohttp(stack: AsyncExitStack, port: int, tls: ssl.SSLContext | None) -> Once:
    session = await stack.enter_async_context(aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(ssl=tls or True)))
    url = f"{'https://localhost' if tls else 'http://127.0.0.1'}:{port}{PATH}"

    async def once() -> object:
        body, now = json.dumps(ORDER), str(int(time.time() * 1000))
        signature = hmac.new(SECRET.encode(), (KEY + now + body).encode(), hashlib.sha256)
        async with session.post(url, data=body, headers={
                "ApiKey": KEY, "Request-Time": now, "Signature": signature.hexdigest(),
                "Content-Type": "application/json"}) as response:
            return (await response.json())["data"]["orderId"]
    return once


async def _patched_aiohttp(stack: AsyncExitStack, port: int, tls: ssl.SSLContext | None) -> Once:
    aiofastnet.patch_loop(asyncio.get_running_loop())
    return await _users_aiohttp(stack, port, tls)


async def _ccxt(stack: AsyncExitStack, port: int, tls: ssl.SSLContext | None) -> Once:
    import ccxt.async_support as ccxt

    client = ccxt.mexc({"apiKey": KEY, "secret": SECRET, "enableRateLimit": False,
                        "options": {"defaultType": "swap"}})
    stack.push_async_callback(client.close)
    market = {"id": "BTC_USDT", "symbol": "BTC/USDT:USDT", "base": "BTC", "quote": "USDT",
              "settle": "USDT", "baseId": "BTC", "quoteId": "USDT", "settleId": "USDT",
              "type": "swap", "spot": False, "swap": True, "contract": True, "linear": True,
              "inverse": False, "contractSize": 0.0001, "active": True,
              "precision": {"amount": 1, "price": 0.1}}
    client.set_markets([client.safe_market_structure(market)])
    base = f"{'https://localhost' if tls else 'http://127.0.0.1'}:{port}/api/v1"
    client.urls["api"]["contract"] |= {"private": base + "/private", "public": base + "/contract"}
    if tls:
        client.cafile = str(CERTIFICATE)
    more = {"openType": 1, "leverage": 20, "externalOid": "bench-0001"}

    async def once() -> object:
        done = await client.create_order("BTC/USDT:USDT", "limit", "buy", 12, 104231.4, more)
        return done["id"]
    return once


FLOOR, OURS = "bare protocol, uvloop", "orders.submit, lane"
CANDIDATES: dict[str, Any] = {
    FLOOR: _bare(_uvloop_connect),
    "bare protocol, aiofastnet": _bare(aiofastnet.create_connection),
    "executor, lane": _ours("auto", "execute"),
    "executor, aiohttp path": _ours("off", "execute"),
    OURS: _ours("auto", "submit"),
    "orders.submit, aiohttp path": _ours("off", "submit"),
    "aiohttp as users write it": _users_aiohttp,
    "the same on aiofastnet's transports": _patched_aiohttp,
    "ccxt create_order": _ccxt,
}


def candidates(only: Sequence[str] | None = None) -> dict[str, Any]:
    """only: these, and the floor and the lane's submit, which the table compares with."""
    wanted = {*only, FLOOR, OURS} if only else set(CANDIDATES)
    try:
        import ccxt.async_support  # noqa: F401
    except ImportError:
        wanted = {name for name in wanted if "ccxt" not in name}
    return {name: make for name, make in CANDIDATES.items() if name in wanted}


# -- measuring -----------------------------------------------------------------------------------

async def measure(make: Any, port: int, tls: ssl.SSLContext | None, requests: int
                  ) -> tuple[float, float]:
    """(p50, CPU per request) in microseconds; AssertionError for a wrong answer."""
    clock = time.perf_counter_ns
    async with AsyncExitStack() as stack:
        once = await make(stack, port, tls)
        for _ in range(max(5, requests // 20)):
            answer = await once()
            if not answer or (hasattr(answer, "reason") and not isinstance(answer, Accepted)):
                raise AssertionError(f"not an acknowledgement: {answer!r}")
        gc.collect()
        times = []
        busy = time.process_time_ns()
        for _ in range(requests):
            start = clock()
            await once()
            times.append(clock() - start)
        busy = time.process_time_ns() - busy
    return statistics.median(times) / 1000, busy / requests / 1000


def table(found: dict[str, list[tuple[float, float]]], header: str) -> str:
    least = {name: (min(p for p, _ in runs), min(c for _, c in runs))
             for name, runs in found.items()}
    floor = least[FLOOR]
    lines = [header, "", "| candidate | p50 us | over the floor | CPU us | over the floor | "
             "CPU, times the lane's submit |", "| --- | --- | --- | --- | --- | --- |"]
    ours = least[OURS][1]
    for name, (p50, cpu) in least.items():
        lines.append(f"| {name} | {p50:.1f} | {p50 - floor[0]:+.1f} | {cpu:.1f} | "
                     f"{cpu - floor[1]:+.1f} | {cpu / ours:.2f} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description="Latency and CPU of order entry.")
    parser.add_argument("--requests", type=int, default=500)
    parser.add_argument("--repeats", type=int, default=28)
    parser.add_argument("--tls", action="store_true")
    parser.add_argument("--spin", action="store_true", help="the client's loop never sleeps")
    parser.add_argument("--only", action="append", choices=list(CANDIDATES), metavar="NAME")
    parser.add_argument("--json", type=Path, help="also write (p50, CPU) us of each repeat here")
    given = parser.parse_args()
    tls = ssl.create_default_context(cafile=CERTIFICATE) if given.tls else None
    found: dict[str, list[tuple[float, float]]] = {}
    with server(1, 10, tls=given.tls) as port:
        for _ in range(given.repeats):
            for name, make in candidates(given.only).items():
                found.setdefault(name, []).append(run(
                    measure(make, port, tls, given.requests), spin=given.spin, cpu=cores()[1]))
    print(table(found, f"{given.requests} orders a repeat, {given.repeats} repeats, "
                f"{'TLS' if given.tls else 'plain'}, {'spinning' if given.spin else 'sleeping'}; "
                f"Python {platform.python_version()}, {platform.machine()}"))
    if given.json:
        given.json.write_text(json.dumps({"requests": given.requests, "repeats": given.repeats,
                                          "tls": given.tls, "spin": given.spin,
                                          "candidates": found}, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()

"""One trader, one process, one run of bench/tick_to_trade.py: prints one JSON line.

    python bench/trader.py NAME sleep|spin PORT [--core N] [--count N] [--rate R]

Every frame triggers one order at the best bid. Before the timed run a hundred frames are traded;
then a trader with a book must have the best bid of tests/models.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import hmac
import json
import socket
import sys
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

from client import SUBSCRIBE, Course, Top, _raw_socket, one_run
from frames import SYMBOL
from harness import KEY, ORDER, PATH, SECRET, Missing, latencies, native, quiet_gc
from rivals import CCXT_SYMBOL, SortedBook, ccxt_exchange

WARM_UP = 100


def trade(course: Course, count: int) -> Any:
    """Ask for a run; a function that waits for its microseconds."""
    first, course.position = course.position, course.position + count
    return course.ask(f"trade?first={first}&count={count}&rate={course.given.rate}")


def keep(course: Course, found: Any, slack: int = 0) -> None:
    """The run's result; every frame must have been answered by an order."""
    waits = [wait for wait in found["microseconds"] if wait is not None]
    lost = course.given.count - len(waits)
    if lost > slack:
        raise AssertionError(f"{lost} of {course.given.count} frames were not answered")
    course.result.update(latencies(waits))
    course.result["lost"] = lost


async def runs(course: Course, top: Callable[[], Top] | None) -> None:
    """Warm-up, the check, the timed run; the server's answers are awaited beside the trading."""
    await asyncio.to_thread(trade(course, WARM_UP))
    course.check(top)
    with quiet_gc():
        found = await asyncio.to_thread(trade(course, course.given.count))
    keep(course, found)


async def bare(course: Course) -> None:
    """C: no event loop, nothing parsed, one prebuilt order for whatever comes."""
    module = native()
    body = json.dumps(ORDER, separators=(",", ":")).encode()
    request = (f"POST {PATH} HTTP/1.1\r\nHost: 127.0.0.1:{course.port}\r\nContent-Type: "
               f"application/json\r\nApiKey: {KEY}\r\nRequest-Time: 1779779511850\r\nSignature: "
               f"{'0' * 64}\r\nContent-Length: {len(body)}\r\n\r\n").encode() + body
    with _raw_socket(course) as frames, \
            socket.create_connection(("127.0.0.1", course.port)) as orders:
        orders.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for count in (WARM_UP, course.given.count):
            answer = trade(course, count)
            module.bare_trades(frames.fileno(), orders.fileno(), request, count,
                               course.given.loop == "spin")
            found = answer()
    keep(course, found)


async def ours(course: Course, *, rehearse: bool = False) -> None:
    """The product as its users have it: a Python listener, submit_nowait."""
    import mexcfast as mx
    from mexcfast.core import topics
    from mexcfast.core.rest import Endpoint

    endpoint = Endpoint.at(course.url, margin_ms=0, limits={"order_place": (1_000_000_000, 1)})
    async with mx.Client(endpoint, KEY, SECRET) as client:
        orders = client.orders
        await orders.load_contracts()
        refused: list[Any] = []

        def done(outcome: Any) -> None:
            if not isinstance(outcome, mx.Accepted):
                refused.append(outcome)

        class Trader(mx.Listener):
            def on_book(self, book: Any) -> None:
                orders.submit_nowait(SYMBOL, mx.Side.OPEN_LONG, 12, book.best_bid, leverage=20,
                                     callback=done)

        book = await client.book(SYMBOL)
        client.subscribe(Trader(), topics.depth(SYMBOL))
        if rehearse:
            await client.rehearse(SYMBOL)
        await runs(course, lambda: (book.best_bid, book.best_ask))  # type: ignore[return-value]
        if refused:
            raise AssertionError(f"{len(refused)} orders were refused: {refused[0]}")


async def rehearsing(course: Course) -> None:
    """The same with Client.rehearse(), which needs a loop that spins."""
    if course.given.loop != "spin":
        raise Missing("rehearsals are for a loop that spins")
    await ours(course, rehearse=True)


def _signed(body: str) -> dict[str, str]:
    now = str(int(time.time() * 1000))
    text = (KEY + now + body).encode()
    return {"ApiKey": KEY, "Request-Time": now, "Content-Type": "application/json",
            "Signature": hmac.new(SECRET.encode(), text, hashlib.sha256).hexdigest()}


async def handmade(course: Course) -> None:
    """What a careful author writes: aiohttp both ways, orjson, sortedcontainers, uvloop."""
    import aiohttp

    book = SortedBook(course.stream.snapshot)
    import orjson

    async with (aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as session,
                session.ws_connect(course.ws_url, compress=0) as frames):
        await frames.send_str(SUBSCRIBE.decode())
        await frames.receive()

        async def loop() -> None:
            async for message in frames:
                book.feed(message.data)
                body = orjson.dumps({**ORDER, "price": book.top()[0]}).decode()
                async with session.post(course.url + PATH, data=body,
                                        headers=_signed(body)) as answer:
                    await answer.read()

        await _beside(course, loop(), book.top)


async def ccxt_bot(course: Course) -> None:
    """ccxt as shipped: watch_order_book, then create_order."""
    exchange = ccxt_exchange(course.stream.snapshot, apiKey=KEY, secret=SECRET)
    exchange.urls["api"]["ws"]["swap"] = course.ws_url
    exchange.urls["api"]["contract"] |= {"private": course.url + "/api/v1/private",
                                         "public": course.url + "/api/v1/contract"}
    book = exchange.orderbooks[CCXT_SYMBOL]

    async def loop() -> None:
        while True:
            seen = await exchange.watch_order_book(CCXT_SYMBOL)
            await exchange.create_order(CCXT_SYMBOL, "limit", "buy", 12, seen["bids"][0][0],
                                        {"openType": 1, "leverage": 20, "externalOid": "bench-1"})

    try:
        await _beside(course, loop(),
                      lambda: (float(book["bids"][0][0]), float(book["asks"][0][0])),
                      lambda: bool(exchange.clients)
                      and next(iter(exchange.clients.values())).connected.done())
    finally:
        await exchange.close()


async def _beside(course: Course, loop: Any, top: Callable[[], Top],
                  ready: Callable[[], bool] = lambda: True) -> None:
    """The runs beside a bot's own loop; what the bot raises ends them."""
    trading = asyncio.ensure_future(loop)
    for _ in range(500):
        if ready():
            break
        await asyncio.sleep(0.01)
    running = asyncio.ensure_future(runs(course, top))
    await asyncio.wait({trading, running}, return_when=asyncio.FIRST_COMPLETED)
    for task in (trading, running):
        if task.done():
            task.result()
    trading.cancel()
    with suppress(asyncio.CancelledError):
        await trading


OURS, BARE, HANDMADE, CCXT = "mexcfast", "bare C", "handmade bot", "ccxt"
REHEARSING = "mexcfast, rehearsing"
TRADERS: dict[str, Callable[[Course], Awaitable[None]]] = {
    BARE: bare, OURS: ours, REHEARSING: rehearsing,
    HANDMADE: handmade, CCXT: ccxt_bot}


def main() -> None:
    parser = argparse.ArgumentParser(description="One trader of bench/tick_to_trade.py.")
    parser.add_argument("--count", type=int, default=1_000)
    parser.add_argument("--rate", type=float, default=500)
    one_run(parser, TRADERS, frames=1_100)


if __name__ == "__main__":
    main()

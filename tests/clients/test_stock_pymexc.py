"""pymexc 1.1.1: its streams, and its REST in the lenient mode that its own signing scheme needs."""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest

from mexcfast.sim import Exchange

pytestmark = [
    pytest.mark.client("pymexc"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]

SYMBOL = "BTC_USDT"


async def blocking(script: Callable[[Exchange, Any], None], venue: Exchange) -> None:
    """The script in a thread that nobody joins: one that hangs cannot keep the loop."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[None] = loop.create_future()

    def settle(error: BaseException | None) -> None:
        if not done.done():
            done.set_exception(error) if error else done.set_result(None)

    def run() -> None:
        error: BaseException | None = None
        try:
            script(venue, loop)
        except BaseException as raised:
            error = raised
        with suppress(RuntimeError):            # the loop has ended meanwhile
            loop.call_soon_threadsafe(settle, error)

    threading.Thread(target=run, daemon=True).start()
    await done


def play(script: Callable[[Exchange, Any], None], *, lenient: bool = False) -> None:
    """Its calls block, hence a thread of its own beside the exchange."""

    async def main() -> None:
        async with Exchange(levels=30, updates_per_second=100, merge_ms=10, limits=False,
                            symbols=(SYMBOL,), lenient_auth=lenient) as venue:  # fmt: skip
            await asyncio.wait_for(blocking(script, venue), 60)

    asyncio.run(main())


def stream(venue: Exchange, **keys: Any) -> Any:
    from pymexc import futures

    client = futures.WebSocket(**keys)
    client.endpoint = venue.ws_url  # before the first stream: it connects there
    return client


def leave(client: Any) -> None:
    if client.ping_timer:
        client.ping_timer.cancel()
    client.restart_on_error = False
    client.exit()


def test_public_streams() -> None:
    def script(venue: Exchange, loop: Any) -> None:
        client = stream(venue)
        try:
            for name, check in (
                ("depth", lambda data: data["version"]),
                ("deal", lambda data: data[0]["p"]),
                ("ticker", lambda data: data["bid1"] < data["ask1"]),
                ("funding_rate", lambda data: data["rate"]),
                ("index_price", lambda data: data["price"]),
                ("fair_price", lambda data: data["price"]),
            ):
                got: queue.Queue[Any] = queue.Queue()
                getattr(client, f"{name}_stream")(got.put, symbol=SYMBOL)
                message = got.get(timeout=8)
                assert message["symbol"] == SYMBOL and check(message["data"]), name
            got = queue.Queue()
            client.depth_full_stream(got.put, symbol=SYMBOL, limit=5)
            full = got.get(timeout=8)["data"]
            assert len(full["bids"]) == len(full["asks"]) == 5
            assert full["bids"][0][0] < full["asks"][0][0]
            got = queue.Queue()
            client.tickers_stream(got.put)
            assert got.get(timeout=8)["data"][0]["symbol"] == SYMBOL
            got = queue.Queue()
            client.kline_stream(got.put, symbol=SYMBOL, interval="Min1")
            assert got.get(timeout=8)["data"]["interval"] == "Min1"
        finally:
            leave(client)

    play(script)


def test_personal_stream_and_lenient_orders() -> None:
    def script(venue: Exchange, loop: Any) -> None:
        from pymexc import futures

        keys = {"api_key": venue.access_key, "api_secret": venue.secret}
        client, got = stream(venue, **keys), queue.Queue()
        http = futures.HTTP(**keys, ignore_ad=True)
        http.base_url = venue.rest_url
        try:
            client.personal_stream(got.put)
            deadline = loop.time() + 5
            while not any(one.method == "personal.filter" for one in list(venue.requests)):
                assert loop.time() < deadline
            price = float(venue.book(SYMBOL).bids[20][0])
            placed = http.order(symbol=SYMBOL, price=price, vol=1, side=1, type=1, open_type=1,
                                leverage=20)  # fmt: skip
            assert placed["success"], placed
            seen = {got.get(timeout=8)["channel"] for _ in range(2)}
            assert seen == {"push.personal.order", "push.personal.asset"}
            assert len(http.open_orders(SYMBOL)["data"]) == 1
            assert http.cancel_all(SYMBOL)["success"]
            (usdt,) = http.assets()["data"]
            assert (usdt["currency"], usdt["equity"]) == ("USDT", 100_000)
            while got.get(timeout=8)["data"].get("state") != 4:  # the cancel, and its asset
                pass
            only = queue.Queue()
            client.filter_stream(only.put, params={"filters": [{"filter": "order"}]})
            while not any("order" in one.body for one in list(venue.requests)
                          if one.method == "personal.filter"):  # fmt: skip
                assert loop.time() < deadline + 30
            assert http.order(symbol=SYMBOL, price=price, vol=1, side=1, type=1, open_type=1,
                              leverage=20)["success"]  # fmt: skip
            assert only.get(timeout=8)["data"]["vol"] == 1
        finally:
            leave(client)
            http.session.close()

    play(script, lenient=True)


def test_its_signing_scheme_is_refused_by_default() -> None:
    def script(venue: Exchange, loop: Any) -> None:
        from pymexc import futures

        http = futures.HTTP(api_key=venue.access_key, api_secret=venue.secret, ignore_ad=True)
        http.base_url = venue.rest_url
        try:
            assert http.order(symbol=SYMBOL, price=1.0, vol=1, side=1, type=1, open_type=1,
                              leverage=20)["code"] == 602  # fmt: skip
            assert http.ping()["success"] and http.assets()["success"]
        finally:
            http.session.close()

    play(script)

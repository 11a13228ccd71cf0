"""`mexcfast sim` and `mexcfast paper` as commands: what they print is what one can use."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import re
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import aiohttp

from children import DEADLINE_S, deadline, lines_until
from mexcfast.cli.sim import ccxt_addresses
from mexcfast.sim import Exchange

MEXCFAST = [sys.executable, "-P", "-m", "mexcfast.cli"]
DATA = Path(__file__).parents[1] / "data"
SYMBOL = "BTC_USDT"


@contextmanager
def command(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen([*MEXCFAST, *arguments], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        with deadline(process):
            yield process
            process.terminate()
            assert process.wait() == 0
    finally:
        process.kill()
        process.stdout.close()
        process.wait()


@asynccontextmanager
async def ending(process: asyncio.subprocess.Process) -> AsyncIterator[None]:
    """It ends well when the block does; both in a bounded time."""
    try:
        async with asyncio.timeout(DEADLINE_S):
            yield
            process.terminate()
            assert await process.wait() == 0
    finally:
        if process.returncode is None:
            process.kill()
            await asyncio.wait_for(process.wait(), DEADLINE_S)


def test_sim_says_where_it_is_and_how_ccxt_finds_it() -> None:
    with command("sim", "--port", "0", "--symbols", "BTC_USDT,SOL_USDT") as process:
        text = lines_until(process, "Ctrl-C")
    assert "BTC_USDT, SOL_USDT" in text and "on loopback" in text
    rest_url = re.search(r"REST +(http://127\.0\.0\.1:\d+)", text).group(1)
    assert f"mexcfast watch BTC_USDT --endpoint {rest_url}" in text
    assert repr(ccxt_addresses(rest_url)) in text
    assert re.search(r"MEXC_API_KEY=\S+ MEXC_API_SECRET=\S+", text)


def test_sim_plays_files_and_speaks_tls(tmp_path: Path) -> None:
    path = tmp_path / "story.jsonl"
    path.write_text(json.dumps({"t": 0, "do": "place", "symbol": "ETH_USDT", "id": "a",
                                "side": "buy", "price": "2500", "vol": 1}))  # fmt: skip
    with command("sim", "--port", "0", "--json", "--script", str(path), "--certificate",
                 str(DATA / "loopback-cert.pem"), "--certificate-key",
                 str(DATA / "loopback-key.pem")) as process:  # fmt: skip
        told = json.loads(process.stdout.readline())
    assert told["rest_url"].startswith("https://") and told["ws_url"].startswith("wss://")
    assert told["symbols"] == ["ETH_USDT"]


def test_paper_mirrors_another_endpoint() -> None:
    async def main() -> None:
        async with Exchange(levels=30, merge_ms=20, limits=False, symbols=2) as source:
            process = await asyncio.create_subprocess_exec(
                *MEXCFAST, "paper", SYMBOL, "--endpoint", source.rest_url, "--port", "0",
                "--balance", "77", "--json", stdout=asyncio.subprocess.PIPE)  # fmt: skip
            async with ending(process):
                told = json.loads(await process.stdout.readline())
                assert told["symbols"] == [SYMBOL]
                async with aiohttp.ClientSession() as http:
                    await mirrored(http, told["rest_url"], source)

    asyncio.run(main())


def test_paper_orders_rest_in_the_other_markets_queue(tmp_path: Path) -> None:
    """A paper order waits behind what the other exchange shows, and fills when its turn comes."""

    async def main() -> None:
        async with Exchange(levels=30, merge_ms=20, limits=False, symbols=2,
                            updates_per_second=0) as source:  # fmt: skip
            process = await asyncio.create_subprocess_exec(
                *MEXCFAST, "paper", SYMBOL, "--endpoint", source.rest_url, "--port", "0",
                stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
            )  # fmt: skip
            async with ending(process):
                text = ""
                while "Ctrl-C" not in text:
                    line = await process.stdout.readline()
                    assert line, text + (await process.stderr.read()).decode()
                    text += line.decode()
                assert f"a mirror of {source.rest_url}," in text
                rest_url = re.search(r"REST +(http://127\.0\.0\.1:\d+)", text).group(1)
                key, secret = re.search(r"KEY=(\S+) MEXC_API_SECRET=(\S+)", text).groups()
                told = await process.stderr.readline()
                assert told.decode().strip() == "1 of 1 books are live"
                async with aiohttp.ClientSession() as http:
                    await queue_up(http, rest_url, (key, secret), source)

    asyncio.run(main())


async def queue_up(
    http: aiohttp.ClientSession, url: str, keys: tuple[str, str], source: Exchange
) -> None:
    bid, shown, count = source.book(SYMBOL).bids[0]

    async def place(vol: int, oid: str) -> str:
        body = json.dumps({"symbol": SYMBOL, "price": str(bid), "vol": vol, "leverage": 20,
                           "side": 1, "type": 1, "openType": 1, "externalOid": oid})  # fmt: skip
        moment = str(time.time_ns() // 1_000_000)
        target = (keys[0] + moment + body).encode()
        mac = hmac.new(keys[1].encode(), target, hashlib.sha256).hexdigest()
        headers = {"ApiKey": keys[0], "Request-Time": moment, "Signature": mac}
        path = "/api/v1/private/order/create"
        async with http.post(url + path, data=body, headers=headers) as answer:
            return (await answer.json(content_type=None))["data"]["orderId"]

    async def until(number: str, wanted: Any) -> None:
        """Until (contracts ahead, filled) of an order is what it should be."""
        deadline = time.monotonic() + 20
        while True:
            async with http.get(f"{url}/sim/order/{number}") as answer:
                told = (await answer.json(content_type=None))["data"]
            ahead = told["ahead"] and told["ahead"]["contracts"]
            if (ahead, told["order"]["dealVol"]) == wanted:
                return
            assert time.monotonic() < deadline, told
            await asyncio.sleep(0.02)

    first, second = await place(4, "first"), await place(2, "second")
    async with http.get(f"{url}/sim/order/{first}") as answer:
        told = (await answer.json(content_type=None))["data"]
    assert told["ahead"] == {"contracts": shown, "orders": count}
    await until(second, (shown + 4, 0))
    source.trade(SYMBOL, "sell", shown - 1)  # all but one of what is ahead
    await until(first, (1, 0))
    market = source.venue.markets[SYMBOL]
    joined = market.book.place(10**9, 0, 1, market.contract.tick(bid), 50)  # somebody behind us
    source.venue.crowd_did(market, joined)
    source.trade(SYMBOL, "sell", 3)  # the last one ahead, and two of mine
    await until(first, (0, 2))
    await until(second, (2, 0))
    source.trade(SYMBOL, "sell", 40)
    await until(first, (None, 4))
    await until(second, (None, 2))


def test_paper_says_at_once_that_nobody_is_there() -> None:
    """An address where nothing listens, and one that answers nonsense: one line, no traceback."""

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([*MEXCFAST, "paper", *arguments], capture_output=True, text=True,
                              timeout=60)  # fmt: skip

    with socket.socket() as taken:  # bound and never listening: refused at once
        taken.bind(("127.0.0.1", 0))
        done = run("--endpoint", f"http://127.0.0.1:{taken.getsockname()[1]}")
    assert done.returncode == 1 and "Traceback" not in done.stderr and not done.stdout
    assert re.fullmatch(r"mexcfast: http://\S+ does not answer: [^\n]+\n", done.stderr)

    async def firewall() -> subprocess.CompletedProcess[str]:
        async with Exchange(levels=5, symbols=1) as source:
            source.faults.html("contract/detail")
            return await asyncio.to_thread(run, "--endpoint", source.rest_url)

    done = asyncio.run(firewall())
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert "answered HTTP 403, and no JSON object" in done.stderr


def test_paper_of_the_live_exchange_fails_clearly_without_a_network() -> None:
    """No name can be resolved in the child; nothing is sent anywhere."""
    program = (
        "import socket, sys\n"
        "def nowhere(*_, **__): raise socket.gaierror(-2, 'Name or service not known')\n"
        "socket.getaddrinfo = nowhere\n"
        "from mexcfast.cli.app import app\n"
        "sys.argv = ['mexcfast', 'paper', '--live', 'BTC_USDT']\n"
        "app()\n"
    )
    done = subprocess.run([sys.executable, "-P", "-c", program], capture_output=True, text=True,
                          timeout=60)  # fmt: skip
    assert done.returncode == 1 and not done.stdout
    assert re.fullmatch(r"mexcfast: https://api\.mexc\.com does not answer: [^\n]*Name or[^\n]*\n",
                        done.stderr)  # fmt: skip


async def mirrored(http: aiohttp.ClientSession, url: str, source: Exchange) -> None:
    """Until the copy is equal, once the source stands still."""

    async def get(path: str) -> Any:
        async with http.get(url + path) as answer:
            return (await answer.json(content_type=None))["data"]

    deadline = time.monotonic() + 15
    while (await get("/sim/state"))["market"]["live"] < 1:
        assert time.monotonic() < deadline
        await asyncio.sleep(0.02)
    source.updates_per_second = 0
    source.flush(SYMBOL)
    while True:
        book = await get(f"/sim/book/{SYMBOL}")
        truth = source.book(SYMBOL)
        if book["bids"] == [[format(p, "f"), q, n] for p, q, n in truth.bids]:
            return
        assert time.monotonic() < deadline
        await asyncio.sleep(0.02)

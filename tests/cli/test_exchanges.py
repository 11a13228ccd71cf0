"""`mexcfast sim` and `mexcfast paper` as commands: what they print is what one can use."""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import aiohttp

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
        yield process
    finally:
        process.terminate()
        process.stdout.close()
        assert process.wait(timeout=10) == 0


def test_sim_says_where_it_is_and_how_ccxt_finds_it() -> None:
    with command("sim", "--port", "0", "--symbols", "BTC_USDT,SOL_USDT") as process:
        lines = []
        while not lines or "Ctrl-C" not in lines[-1]:
            lines.append(process.stdout.readline())
        text = "".join(lines)
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
            try:
                told = json.loads(await process.stdout.readline())
                assert told["symbols"] == [SYMBOL]
                async with aiohttp.ClientSession() as http:
                    await mirrored(http, told["rest_url"], source)
            finally:
                process.terminate()
                assert await process.wait() == 0

    asyncio.run(main())


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

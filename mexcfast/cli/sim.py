"""`mexcfast sim`, and the same exchange as a child process for other commands."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import aiohttp

import mexcfast
from mexcfast.errors import ConnectFailed, ParameterError
from mexcfast.sim import Exchange
from mexcfast.sim.replay import Replay
from mexcfast.sim.script import Script
from mexcfast.sim.source import Source


def ccxt_addresses(rest_url: str) -> dict[str, Any]:
    """The `urls` of a ccxt configuration that points ccxt.mexc and ccxt.pro.mexc at an exchange."""
    ws_url = "ws" + rest_url.removeprefix("http")
    return {
        "api": {
            "spot": {"public": rest_url, "private": rest_url},
            "contract": {"public": rest_url + "/api/v1/contract",
                         "private": rest_url + "/api/v1/private"},
            "ws": {"spot": ws_url + "/ws", "swap": ws_url + "/edge"},
        }
    }


async def serve(*, port: int, symbols: Sequence[str] | int, seed: int, rate: float, merge_ms: int,
                stamp: bool, as_json: bool, with_parent: bool, balance: int = 100_000,
                levels: int = 1000,
                replay: str | None = None, script: str | None = None,
                certificate: str | None = None, certificate_key: str | None = None) -> int:
    """Run an exchange until Ctrl-C, SIGTERM or (with_parent) the end of standard input."""
    market: Source | None = None
    if replay is not None:
        market = Replay(replay)
    elif script is not None:
        market = Script.load(script)
    venue = Exchange(seed=seed, symbols=symbols, updates_per_second=rate, merge_ms=merge_ms,
                     levels=levels, port=port, stamp_ns=stamp, balance=balance, market=market,
                     certificate=certificate, certificate_key=certificate_key)
    return await attend(venue, "The embedded exchange", as_json=as_json, with_parent=with_parent)


async def attend(venue: Exchange, name: str, *, as_json: bool, with_parent: bool = False,
                 news: Callable[[], Coroutine[Any, Any, None]] | None = None) -> int:
    """Open an exchange, say where it is, keep it until somebody ends it.

    news: runs beside it and may tell more, on standard error.
    """
    done = asyncio.Event()
    loop = asyncio.get_running_loop()
    for each in (signal.SIGINT, signal.SIGTERM):
        with suppress(NotImplementedError):
            loop.add_signal_handler(each, done.set)
    async with venue:
        if as_json:
            print(json.dumps({"rest_url": venue.rest_url, "ws_url": venue.ws_url,
                              "access_key": venue.access_key, "secret": venue.secret,
                              "symbols": list(venue.venue.markets)}), flush=True)
        else:
            print(where(venue, name), flush=True)
        telling = None if news is None else loop.create_task(news())
        if with_parent:
            reader = asyncio.StreamReader()
            await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
            parent = loop.create_task(_until_closed(reader, done))
            await done.wait()
            parent.cancel()
        else:
            await done.wait()
        if telling is not None:
            telling.cancel()
    return 0


def where(venue: Exchange, name: str) -> str:
    """Addresses, keys and contracts, and how mexcfast and ccxt find them."""
    symbols = list(venue.venue.markets)
    shown = ", ".join(symbols[:8]) + (f" and {len(symbols) - 8} more" if len(symbols) > 8 else "")
    host = venue.rest_url.partition("://")[2].rpartition(":")[0]
    place = "on loopback" if host in ("127.0.0.1", "localhost", "::1") else f"on {host}"
    return (
        f"{name} runs {place}, contracts: {shown}\n"
        f"  REST       {venue.rest_url}\n"
        f"  WebSocket  {venue.ws_url}\n"
        f"  control    {venue.rest_url}/sim/state\n"
        f"  keys       MEXC_API_KEY={venue.access_key} MEXC_API_SECRET={venue.secret}"
        "   (this exchange only)\n"
        f"  mexcfast   mexcfast watch {symbols[0]} --endpoint {venue.rest_url}\n"
        "  ccxt       ccxt.pro.mexc({'apiKey': '" + venue.access_key + "', 'secret': '"
        + venue.secret + "',\n"
        "               'options': {'defaultType': 'swap'},\n"
        f"               'urls': {ccxt_addresses(venue.rest_url)!r}}})\n"
        "Ctrl-C ends it.")


async def _until_closed(reader: asyncio.StreamReader, done: asyncio.Event) -> None:
    while await reader.read(4096):
        pass
    done.set()


class ChildExchange:
    """An exchange in a process of its own, so that its work does not delay the client's loop.

    symbols: names, or how many contracts.

    It ends with this process, however this process ends. After entering: rest_url, ws_url,
    access_key, secret of a funded account, symbols.
    """

    rest_url: str
    ws_url: str
    access_key: str
    secret: str
    symbols: list[str]

    def __init__(self, *, symbols: Sequence[str] | int, seed: int = 7, rate: float = 50,
                 merge_ms: int = 200, stamp: bool = False) -> None:
        self._arguments = [
            "sim", "--json", "--with-parent", "--port", "0", "--symbols",
            str(symbols) if isinstance(symbols, int) else ",".join(symbols),
            "--seed", str(seed), "--rate", str(rate), "--merge-ms", str(merge_ms),
            *(["--stamp"] if stamp else [])]
        self._process: asyncio.subprocess.Process | None = None
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        # This very package in the child too, whatever directory we were started from.
        home = str(Path(mexcfast.__file__).parent.parent)
        path = os.pathsep.join([home, *filter(None, [os.environ.get("PYTHONPATH")])])
        self._process = await asyncio.create_subprocess_exec(
            sys.executable, "-P", "-m", "mexcfast.cli", *self._arguments,
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, start_new_session=True,
            env={**os.environ, "PYTHONPATH": path})
        assert self._process.stdout is not None
        line = await self._process.stdout.readline()
        if not line:
            await self._process.wait()
            raise ConnectFailed("the embedded exchange did not start; its reason is above")
        for name, value in json.loads(line).items():
            setattr(self, name, value)
        self._session = aiohttp.ClientSession()
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None,
                        trace: TracebackType | None) -> None:
        if self._session is not None:
            await self._session.close()
        process = self._process
        if process is not None and process.returncode is None:
            with suppress(ProcessLookupError):
                process.terminate()
            try:
                await asyncio.wait_for(process.wait(), 5)
            except TimeoutError:
                process.kill()
                await process.wait()

    @property
    def pid(self) -> int:
        """Its process."""
        assert self._process is not None
        return self._process.pid

    async def control(self, path: str, /, **body: Any) -> Any:
        """One request to the control endpoint: POST when there is a body, else GET."""
        assert self._session is not None
        url = f"{self.rest_url}/sim/{path}"
        method = "POST" if body else "GET"
        async with self._session.request(method, url, json=body or None) as answer:
            reply = await answer.json(content_type=None)
        if not reply.get("success"):
            raise ParameterError(reply.get("code"), f"control {path}: {reply.get('message', '')}")
        return reply["data"]

"""Mirror mode: the books of another endpoint, followed live, with the users' orders matched here.

    mirror = await Mirror.open("https://api.mexc.com", "wss://contract.mexc.com/edge", ["BTC_USDT"])
    async with Exchange(market=mirror, merge_ms=0) as venue: ...

Contracts come from contract/detail, books from sub.depth and REST snapshots, trades from sub.deal
with compress:false (single trades, ahead of the merged depth that contains them), index and fair
prices from sub.tickers, day statistics and funding rates from REST once a minute. No key is used
and nothing is sent that trades. How users' orders are filled: reflect.py.

This is a client of its own, small and plain, so that nothing here depends on the client it serves
to test. It keeps the venue's rules: 30 topics a socket, subscriptions and snapshots paced, a ping
every 15 s, a socket that is silent for 60 s given up, backoff up to 30 s.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any

import aiohttp
import orjson

from mexcfast.sim.contracts import Contract
from mexcfast.sim.market import HOUR_MS
from mexcfast.sim.reflect import ReflectedBook, Reflection, whole
from mexcfast.sim.source import Source, contract_from
from mexcfast.sim.venue import Venue

LOGGER = logging.getLogger("mexcfast.sim")
TOPICS = 30
PING_SECONDS = 15.0
SILENCE_SECONDS = 60.0
SUBSCRIBE_PAUSE = 0.02
LONGEST_PAUSE = 30.0
MINUTE = 60.0
CONNECT_SECONDS = 5.0
AGENT = {"User-Agent": "mexcfast-mirror"}
TROUBLE = (aiohttp.ClientError, OSError, TimeoutError, ValueError, KeyError, TypeError)


class Mirror(Source):
    """Follows one endpoint; make it with open()."""

    book_type = ReflectedBook
    sets_prices = True

    def __init__(
        self, rest_url: str, ws_url: str, contracts: list[Contract], snapshots_per_second: float
    ) -> None:
        self.rest_url = rest_url.rstrip("/")
        self.ws_url = ws_url
        self.ready = asyncio.Event()
        """Every book has been loaded once."""
        self.frames = 0
        self.reconnects = 0
        self.trouble = ""
        """The last thing that went wrong on the other side."""
        self._contracts = contracts
        self._pause = 1 / snapshots_per_second
        self._reflections: dict[str, Reflection] = {}
        self._live: set[str] = set()
        self._waiting: dict[str, list[dict[str, Any]]] = {}
        """Frames since the subscription, of books that wait for their snapshot."""
        self._wanted: asyncio.Queue[str] = asyncio.Queue()
        self._http: aiohttp.ClientSession | None = None

    @classmethod
    async def open(
        cls,
        rest_url: str,
        ws_url: str | None = None,
        symbols: Iterable[str] | None = None,
        *,
        snapshots_per_second: float = 4.0,
    ) -> Mirror:
        """Ask for the contracts; all that can be traded here when no symbols are given.

        ws_url: /edge of the same host when absent. snapshots_per_second: 4 is what the live venue
        bears for long (protocol.md 4), hence 200 books take 50 s to load.
        ValueError for a symbol that is not there or an answer that is none, aiohttp.ClientError
        or TimeoutError when nobody answers.
        """
        rest_url = rest_url.rstrip("/")
        if ws_url is None:
            ws_url = "ws" + rest_url.removeprefix("http") + "/edge"
        async with aiohttp.ClientSession(headers=AGENT) as http:
            rows = await _get(http, rest_url + "/api/v1/contract/detail")
        found: dict[str, Contract] = {}
        refused: dict[str, str] = {}
        for row in rows if isinstance(rows, list) else [rows]:
            try:
                found[row["symbol"]] = contract_from(row)
            except (ValueError, KeyError, TypeError, ArithmeticError) as error:
                refused[str(row.get("symbol"))] = str(error)
        names = list(found) if symbols is None else list(dict.fromkeys(symbols))
        for name in names:
            if name not in found:
                reason = refused.get(name, "not traded there")
                raise ValueError(f"symbol {name!r}: {reason}")
        if not names:
            raise ValueError(f"{rest_url} has no contract that can be mirrored")
        return cls(rest_url, ws_url, [found[name] for name in names], snapshots_per_second)

    def contracts(self) -> list[Contract | str]:
        """As the other endpoint describes them."""
        return list(self._contracts)

    def attach(self, venue: Venue) -> None:
        """The venue to move."""
        self._reflections = {
            symbol: Reflection(venue, market) for symbol, market in venue.markets.items()
        }

    def state(self) -> Mapping[str, Any]:
        """For the control endpoint."""
        return {
            "kind": "mirror",
            "of": self.rest_url,
            "contracts": len(self._reflections),
            "live": len(self._live),
            "frames": self.frames,
            "gaps": sum(one.gaps for one in self._reflections.values()),
            "reconnects": self.reconnects,
            "trouble": self.trouble,
        }

    @property
    def live(self) -> frozenset[str]:
        """Contracts whose book is followed without a hole right now."""
        return frozenset(self._live)

    async def run(self) -> None:
        """Follow until cancelled; trouble with the other side is lived with, not raised."""
        symbols = list(self._reflections)
        size = TOPICS // 2  # depth and deals of each
        async with aiohttp.ClientSession(headers=AGENT) as http, asyncio.TaskGroup() as tasks:
            self._http = http
            tasks.create_task(self._snapshots(), name="mirror snapshots")
            tasks.create_task(self._minutes(), name="mirror statistics")
            tasks.create_task(self._follow([], tickers=True), name="mirror tickers")
            for start in range(0, len(symbols), size):
                part = symbols[start : start + size]
                tasks.create_task(self._follow(part), name=f"mirror {part[0]}")

    # One socket

    async def _follow(self, symbols: list[str], *, tickers: bool = False) -> None:
        pause = 0.0
        while True:
            try:
                await self._one_socket(symbols, tickers)
                pause = 0.0
            except TROUBLE as error:
                self._note(f"stream of {symbols[0] if symbols else 'tickers'}", error)
            self._live.difference_update(symbols)
            for symbol in symbols:
                self._waiting.pop(symbol, None)
            self.reconnects += 1
            await asyncio.sleep(pause)
            pause = min(LONGEST_PAUSE, pause * 2 or 1.0)

    async def _one_socket(self, symbols: list[str], tickers: bool) -> None:
        assert self._http is not None
        async with self._http.ws_connect(self.ws_url, max_msg_size=1 << 24) as socket:
            keeper = asyncio.create_task(self._keep(socket, symbols, tickers))
            try:
                while True:
                    message = await socket.receive(SILENCE_SECONDS)
                    if message.type not in (aiohttp.WSMsgType.TEXT, aiohttp.WSMsgType.BINARY):
                        return
                    self._frame(orjson.loads(message.data))
            finally:
                keeper.cancel()
                await asyncio.gather(keeper, return_exceptions=True)

    async def _keep(
        self, socket: aiohttp.ClientWebSocketResponse, symbols: list[str], tickers: bool
    ) -> None:
        """Subscribe, then ping."""
        if tickers:
            await socket.send_str('{"method":"sub.tickers","param":{}}')
        for symbol in symbols:
            await socket.send_str(f'{{"method":"sub.depth","param":{{"symbol":"{symbol}"}}}}')
            single = f'{{"symbol":"{symbol}","compress":false}}'
            await socket.send_str(f'{{"method":"sub.deal","param":{single}}}')
            self._ask(symbol)
            await asyncio.sleep(SUBSCRIBE_PAUSE)
        while True:
            await asyncio.sleep(PING_SECONDS)
            await socket.send_str('{"method":"ping"}')

    def _frame(self, frame: dict[str, Any]) -> None:
        channel, data = frame.get("channel"), frame.get("data")
        if channel == "push.tickers" and isinstance(data, list):
            for row in data:
                reflection = self._reflections.get(row.get("symbol"))
                if reflection is not None:
                    reflection.prices(index=row.get("indexPrice"), fair=row.get("fairPrice"))
            return
        symbol = str(frame.get("symbol"))
        reflection = self._reflections.get(symbol)
        if reflection is None or data is None:
            return
        if channel == "push.depth":
            self.frames += 1
            if symbol in self._waiting:
                self._waiting[symbol].append(data)
                del self._waiting[symbol][:-500]
            elif not reflection.depth(data):
                self._ask(symbol)
                self._waiting[symbol].append(data)
        elif channel == "push.deal" and symbol in self._live:
            reflection.deals(data)

    # Snapshots

    def _ask(self, symbol: str) -> None:
        self._live.discard(symbol)
        if symbol not in self._waiting:
            self._waiting[symbol] = []
            self._wanted.put_nowait(symbol)

    async def _snapshots(self) -> None:
        """One after the other, at the pace the venue bears."""
        assert self._http is not None
        while True:
            symbol = await self._wanted.get()
            if symbol in self._waiting:
                try:
                    url = f"{self.rest_url}/api/v1/contract/depth/{symbol}"
                    self._load(symbol, await _get(self._http, url))
                except TROUBLE as error:
                    self._note(f"depth of {symbol}", error)
                    await asyncio.sleep(1.0)
                if symbol in self._waiting:  # refused, or older than the frames: again
                    self._wanted.put_nowait(symbol)
            await asyncio.sleep(self._pause)

    def _load(self, symbol: str, data: dict[str, Any]) -> None:
        """A snapshot and the frames since; asked for again when there is a hole between them."""
        frames = self._waiting.get(symbol)
        if frames is None:  # the socket went meanwhile
            return
        version = int(data["version"])
        begins = [int(one.get("begin") or one["version"]) for one in frames]
        if any(begin <= version + 1 for begin in begins) or not begins:
            reflection = self._reflections[symbol]
            reflection.load(data)
            if all(reflection.depth(one) for one in frames):
                del self._waiting[symbol]
                self._live.add(symbol)
                if len(self._live) == len(self._reflections):
                    self.ready.set()

    # Once a minute

    async def _minutes(self) -> None:
        assert self._http is not None
        while True:
            try:
                rows = await _get(self._http, self.rest_url + "/api/v1/contract/ticker")
                for row in rows if isinstance(rows, list) else [rows]:
                    if row.get("symbol") in self._reflections:
                        self._statistics(self._reflections[row["symbol"]], row)
                for row in await _get(self._http, self.rest_url + "/api/v1/contract/funding_rate"):
                    if row["symbol"] in self._reflections:
                        self._funding(row)
            except TROUBLE as error:
                self._note("tickers and funding", error)
            await asyncio.sleep(MINUTE)

    def _note(self, what: str, error: BaseException) -> None:
        self.trouble = f"{what}: {error or type(error).__name__}"
        LOGGER.warning("mirror: %s: %r", what, error)

    def _funding(self, row: dict[str, Any]) -> None:
        """When and how often the other side settles; its rates come with the tickers too."""
        market = self._reflections[row["symbol"]].market
        market.funding_rate = Decimal(str(row["fundingRate"]))
        market.cycle_ms = int(row.get("collectCycle") or market.cycle_ms // HOUR_MS) * HOUR_MS
        market.next_funding_ms = int(row.get("nextSettleTime") or market.next_funding_ms)

    def _statistics(self, reflection: Reflection, row: dict[str, Any]) -> None:
        market = reflection.market
        reflection.prices(index=row.get("indexPrice"), fair=row.get("fairPrice"))
        if row.get("fundingRate") is not None:
            market.funding_rate = Decimal(str(row["fundingRate"]))
        market.open_interest = whole(row.get("holdVol") or market.open_interest)
        if not row.get("lastPrice"):
            return
        market.last_tick = reflection.tick(row["lastPrice"])
        market.open_tick = max(1, market.last_tick - reflection.tick(row.get("riseFallValue") or 0))
        market.high_tick = reflection.tick(row.get("high24Price") or row["lastPrice"])
        market.low_tick = reflection.tick(row.get("lower24Price") or row["lastPrice"])
        market.volume = whole(row.get("volume24") or 0)
        value = Decimal(str(row.get("amount24") or 0)) / market.contract.contract_size
        market.turnover_ticks = int(value / market.contract.price_unit)


async def _get(http: aiohttp.ClientSession, url: str) -> Any:
    """The data of one public REST answer; ValueError when the venue refuses."""
    limit = aiohttp.ClientTimeout(20, sock_connect=CONNECT_SECONDS)
    async with http.get(url, timeout=limit) as answer:
        text = await answer.read()
    try:
        reply = orjson.loads(text)
    except orjson.JSONDecodeError:
        reply = None
    if not isinstance(reply, dict):
        raise ValueError(f"{url} answered HTTP {answer.status}, and no JSON object")
    if "data" not in reply:
        raise ValueError(f"{url} answered {reply.get('code')} {reply.get('message')}")
    return reply["data"]

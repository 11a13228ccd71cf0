"""A small client of the exchange: aiohttp, stdlib signing and a book of plain dicts."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Any

import aiohttp
from yarl import URL

from mexcfast.sim import Exchange


def sign(secret: str, key: str, time: str, payload: str = "") -> str:
    """protocol.md 3.2, written a second time for the tests."""
    return hmac.new(secret.encode(), (key + time + payload).encode(), hashlib.sha256).hexdigest()


def loads(text: str) -> Any:
    """JSON with exact numbers."""
    return json.loads(text, parse_float=Decimal)


class Client:
    """One user of an exchange."""

    def __init__(self, venue: Exchange, http: aiohttp.ClientSession) -> None:
        self.venue = venue
        self.http = http

    def headers(self, payload: str, **other: str) -> dict[str, str]:
        time = str(self.venue.clock_ms())
        signed = sign(self.venue.secret, self.venue.access_key, time, payload)
        return {
            "ApiKey": self.venue.access_key,
            "Request-Time": time,
            "Signature": signed,
            "Content-Type": "application/json",
            **other,
        }

    async def raw(
        self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None
    ) -> tuple[int, Any]:
        url = URL(self.venue.rest_url + path, encoded=True)  # as signed, not re-quoted
        async with self.http.request(method, url, data=body, headers=headers) as reply:
            text = await reply.text()
            return reply.status, loads(text) if text else None

    async def market(self, path: str) -> Any:
        return (await self.raw("GET", "/api/v1/contract/" + path))[1]

    async def get(self, path: str) -> Any:
        path, mark, query = path.partition("?")
        query = "&".join(sorted(query.split("&")))
        path += mark + query
        return (await self.raw("GET", "/api/v1/private/" + path, headers=self.headers(query)))[1]

    async def post(self, path: str, body: Any) -> Any:
        text = body if isinstance(body, str) else json.dumps(body)
        headers = self.headers(text)
        return (await self.raw("POST", "/api/v1/private/" + path, text, headers))[1]

    async def order(self, **changes: Any) -> Any:
        body = {"symbol": "BTC_USDT", "vol": 1, "leverage": 20, "side": 1, "type": 1, "openType": 1}
        body.update(changes)
        return await self.post("order/create", body)

    async def socket(self) -> Socket:
        return Socket(self.venue, await self.http.ws_connect(self.venue.ws_url))


class Socket:
    """One WebSocket connection."""

    def __init__(self, venue: Exchange, ws: aiohttp.ClientWebSocketResponse) -> None:
        self.venue = venue
        self.ws = ws

    async def send(self, method: str, param: Any = None, **top: Any) -> None:
        message = {"method": method, **top}
        if param is not None:
            message["param"] = param
        await self.ws.send_str(json.dumps(message))

    async def receive(self, seconds: float = 5.0) -> Any:
        """The next message; ConnectionError when the connection is gone."""
        message = await self.ws.receive(seconds)
        if message.type is not aiohttp.WSMsgType.TEXT:
            raise ConnectionError(str(message.type))
        return loads(message.data)

    async def until(self, wanted: Callable[[Any], bool], most: int = 5000) -> Any:
        for _ in range(most):
            message = await self.receive()
            if wanted(message):
                return message
        raise AssertionError("no such message")

    async def channel(self, name: str) -> Any:
        return await self.until(lambda message: message["channel"] == name)

    async def login(self, **top: Any) -> Any:
        time = str(self.venue.clock_ms())
        key = self.venue.access_key
        signed = sign(self.venue.secret, key, time)
        await self.send("login", {"apiKey": key, "reqTime": time, "signature": signed}, **top)
        return await self.until(lambda m: m["channel"] in ("rs.login", "rs.error"))

    async def subscribe(self, channel: str, **param: Any) -> Any:
        await self.send(f"sub.{channel}", param)
        return await self.until(lambda m: m["channel"] in (f"rs.sub.{channel}", "rs.error"))

    async def closed(self) -> None:
        """Wait until the connection is gone."""
        while True:
            message = await self.ws.receive(5.0)
            if message.type is not aiohttp.WSMsgType.TEXT:
                return


class DictBook:
    """The slow, obvious book."""

    def __init__(self) -> None:
        self.sides: dict[str, dict[Decimal, tuple[int, int]]] = {"asks": {}, "bids": {}}
        self.version = 0

    def load(self, snapshot: Any) -> None:
        self.version = snapshot["version"]
        for name, side in self.sides.items():
            side.clear()
            side.update({Decimal(p): (q, n) for p, q, n in snapshot[name]})

    def apply(self, data: Any) -> str:
        """'stale', 'applied' or 'gap' by the rule of protocol.md 10.2."""
        begin, end = data.get("begin", data["version"]), data["version"]
        if end <= self.version:
            return "stale"
        if begin > self.version + 1:
            return "gap"
        for name, side in self.sides.items():
            for price, quantity, orders in data[name]:
                if quantity:
                    side[Decimal(price)] = (quantity, orders)
                else:
                    side.pop(Decimal(price), None)
        self.version = end
        return "applied"

    def check(self, venue: Exchange, symbol: str) -> None:
        """Equal to the truth at this version."""
        truth = venue.book_at(symbol, self.version)
        asks, bids = sorted(self.sides["asks"]), sorted(self.sides["bids"], reverse=True)
        assert [(p, *self.sides["asks"][p]) for p in asks] == truth.asks
        assert [(p, *self.sides["bids"][p]) for p in bids] == truth.bids
        assert bids[0] < asks[0]


@asynccontextmanager
async def running(**settings: Any) -> AsyncIterator[tuple[Exchange, Client]]:
    """An exchange in step mode with one client, unless settings say otherwise."""
    settings = {"levels": 30, "updates_per_second": 0, "limits": False, **settings}
    async with Exchange(**settings) as venue, aiohttp.ClientSession() as http:
        yield venue, Client(venue, http)


def play(
    scene: Callable[[Exchange, Client], Awaitable[None]], *, seconds: float = 30, **settings: Any
) -> None:
    """Run a scene against a fresh exchange."""

    async def main() -> None:
        async with running(**settings) as (venue, client):
            await asyncio.wait_for(scene(venue, client), seconds)

    asyncio.run(main())

"""The exchange in the box: REST, the WebSocket /edge and control on one loopback port."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any
from urllib.parse import unquote

from aiohttp import WSMsgType, web

from mexcfast.sim import wire
from mexcfast.sim.accounts import Account
from mexcfast.sim.checks import Refused
from mexcfast.sim.control import LOOPBACK, control
from mexcfast.sim.faults import Faults
from mexcfast.sim.matching import BUY, SELL
from mexcfast.sim.pacing import Pacer
from mexcfast.sim.rest import Rest
from mexcfast.sim.settings import Limits, Variations
from mexcfast.sim.stream import Hub, Session
from mexcfast.sim.venue import Venue

SECRET_HEADERS = frozenset(("apikey", "signature", "cookie", "authorization"))
MOST_BODY = 1 << 20
LONGEST_LOGGED = 4096
JSON = "application/json"
LOGGER = logging.getLogger("mexcfast.sim")

Ladder = list[tuple[Decimal, int, int]]


@dataclass(frozen=True, slots=True)
class BookView:
    """The truth about one book: (price, quantity, orders), best first."""

    symbol: str
    version: int
    bids: Ladder
    asks: Ladder


@dataclass(slots=True)
class Logged:
    """One request of a client, without secrets."""

    time_ms: int
    kind: str
    method: str
    path: str
    query: str
    body: str
    headers: dict[str, str]
    status: int
    reply: str

    def wire(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "time": self.time_ms,
            "kind": self.kind,
            "method": self.method,
            "path": self.path,
            "query": self.query,
            "body": self.body,
            "headers": self.headers,
            "status": self.status,
            "reply": self.reply,
        }


class Exchange:
    """An exchange for tests, paper trading and demonstrations; use as `async with`.

    seed: everything random follows from it.
    symbols: names, or how many contracts.
    updates_per_second: book versions per second and contract; 0 is step mode, see step().
    levels: levels a side that the flow keeps. merge_ms: merge window of compressed depth, 0 for one
    frame per version. limits: True, False or Limits(...). stamp_ns: adds sim_ns, the monotonic time
    of sending, as the last member of depth frames. clock_ms: the venue's clock in ms.
    """

    def __init__(
        self,
        *,
        seed: int = 7,
        symbols: int | Iterable[str] = ("BTC_USDT", "ETH_USDT", "SOL_USDT"),
        updates_per_second: float = 50,
        levels: int = 1000,
        merge_ms: int = 200,
        host: str = "127.0.0.1",
        port: int = 0,
        control: bool = True,
        limits: Limits | bool = True,
        variations: Variations | None = None,
        stamp_ns: bool = False,
        balance: Decimal | int | str = 100_000,
        access_key: str = "mx0sim-access",
        secret: str = "sim-secret",
        lenient_auth: bool = False,
        strict_clock: bool = False,
        history: int = 5000,
        log_size: int = 10_000,
        clock_ms: Callable[[], int] | None = None,
    ) -> None:
        if merge_ms < 0:
            raise ValueError(f"merge_ms {merge_ms}: 0 or more")
        if isinstance(limits, bool):
            limits = Limits() if limits else Limits.off()
        self.limits = limits
        self.variations = variations if variations is not None else Variations()
        self.clock_offset_ms = 0
        """Added to the venue's clock; clients see a venue that runs ahead or behind."""
        self.requests: deque[Logged] = deque(maxlen=log_size)
        self.access_key = access_key
        self.secret = secret
        self._wall = clock_ms if clock_ms is not None else _wall_ms
        self._control = control
        self._host = host
        self._port = port
        self.venue = Venue(
            seed=seed, symbols=symbols, levels=levels, history=history, clock_ms=self.clock_ms
        )
        self.venue.ids_as_int = self.variations.ids == "int"
        currencies = {one.contract.settle for one in self.venue.markets.values()}
        self.account = self.add_account(
            access_key, secret, {currency: Decimal(balance) for currency in sorted(currencies)}
        )
        self.faults = Faults(self.clock_ms, list(self.venue.markets))
        self._hub = Hub(
            self.venue,
            self.faults,
            self.limits,
            self.variations,
            merge_ms=merge_ms,
            stamp_ns=stamp_ns,
            strict_clock=strict_clock,
            log=self._log_message,
        )
        self.venue.listener = self._hub
        self.faults.bind_cut(self._hub.cut)
        self._rest = Rest(
            self.venue,
            self.faults,
            self.limits,
            self.variations,
            lenient_auth=lenient_auth,
            strict_clock=strict_clock,
        )
        self._pacer = Pacer(self.venue, self._hub, self.faults, updates_per_second)
        self._task: asyncio.Task[None] | None = None
        self._runner: web.AppRunner | None = None
        self.rest_url = ""
        self.ws_url = ""

    # Life

    async def __aenter__(self) -> Exchange:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def start(self) -> None:
        """Bind the port and let the market run."""
        app = web.Application(client_max_size=MOST_BODY)
        app.router.add_get("/edge", self._edge)
        app.router.add_get("/ws", self._edge)
        app.router.add_route("*", "/{tail:.*}", self._http)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.5)
        await self._runner.setup()
        site = web.TCPSite(self._runner, self._host, self._port)
        await site.start()
        host, port = self._runner.addresses[0][:2]
        self.rest_url = f"http://{host}:{port}"
        self.ws_url = f"ws://{host}:{port}/edge"
        self._task = asyncio.create_task(self._pacer.run(), name="exchange pacer")

    async def stop(self) -> None:
        """Close every connection and the port."""
        failure: Exception | None = None
        if self._task is not None:
            self._task.cancel()
            (ended,) = await asyncio.gather(self._task, return_exceptions=True)
            self._task = None
            if isinstance(ended, Exception):  # the market stopped by a bug: do not hide it
                failure = ended
        for session in list(self._hub.sessions):
            session.transport.abort()
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None
        if failure is not None:
            raise failure

    # For tests and programs

    def clock_ms(self) -> int:
        """The venue's clock."""
        return self._wall() + self.clock_offset_ms

    def add_account(
        self,
        access_key: str,
        secret: str,
        balances: dict[str, Decimal],
        permissions: str = "AOT",
    ) -> Account:
        """Another account; permissions out of A, O, T (protocol.md 14)."""
        return self.venue.add_account(access_key, secret, balances, permissions)

    def book(self, symbol: str) -> BookView:
        """The book now."""
        return self.book_at(symbol, self._book(symbol).version)

    def book_at(self, symbol: str, version: int) -> BookView:
        """The book at an older version; ValueError naming the range kept."""
        bids, asks = self._book(symbol).at(version)
        price = self.venue.markets[symbol].contract.price
        return BookView(
            symbol,
            version,
            [(price(tick), quantity, orders) for tick, quantity, orders in bids],
            [(price(tick), quantity, orders) for tick, quantity, orders in asks],
        )

    def _book(self, symbol: str) -> Any:
        market = self.venue.markets.get(symbol)
        if market is None:
            raise ValueError(f"symbol {symbol!r} is not traded here")
        return market.book

    def trade(self, symbol: str, side: int | str, volume: int) -> int:
        """Another participant's market order; side 1/"buy" or 2/"sell". Returns what traded."""
        self._book(symbol)
        sides: dict[int | str, int] = {1: BUY, "1": BUY, "buy": BUY, 2: SELL, "2": SELL}
        sides["sell"] = SELL
        if side not in sides:
            raise ValueError(f"side {side!r}: buy or sell")
        return self.venue.trade(symbol, sides[side], volume)

    def step(self, count: int = 1, symbol: str | None = None) -> dict[str, int]:
        """Run the flow by hand, then send what is due; returns the versions reached."""
        if symbol is not None:
            self._book(symbol)
        if not 0 <= count <= 100_000:
            raise ValueError(f"count {count}: 0 to 100000")
        names = list(self.venue.markets) if symbol is None else [symbol]
        for name in names:
            for _ in range(count):
                self.venue.step(self.venue.markets[name])
            self.flush(name)
        return {name: self._book(name).version for name in names}

    def flush(self, symbol: str) -> None:
        """Send merged frames now instead of at the end of their window."""
        market = self.venue.markets[symbol]
        self._hub.flush_depth(market)
        self._hub.flush_deals(market)
        self._hub.flush_states(market)

    @property
    def updates_per_second(self) -> float:
        """Book versions per second and contract; settable at run time."""
        return self._pacer.rate

    @updates_per_second.setter
    def updates_per_second(self, rate: float) -> None:
        self._pacer.set_rate(rate)

    @property
    def merge_ms(self) -> int:
        """Merge window of compressed depth; settable at run time."""
        return self._hub.merge_ms

    @merge_ms.setter
    def merge_ms(self, merge_ms: int) -> None:
        if merge_ms < 0:
            raise ValueError(f"merge_ms {merge_ms}: 0 or more")
        self._hub.merge_ms = merge_ms

    def state(self) -> dict[str, Any]:
        """A summary for the control endpoint."""
        return {
            "time": self.clock_ms(),
            "seed": self.venue.seed,
            "updates_per_second": Decimal(str(self.updates_per_second)),
            "merge_ms": self.merge_ms,
            "sessions": len(self._hub.sessions),
            "frames_sent": self._hub.frames_sent,
            "steps": self._pacer.steps,
            "steps_skipped": self._pacer.skipped,
            "requests": len(self.requests),
            "faults": len(self.faults.log),
            "symbols": {
                name: {
                    "version": market.book.version,
                    "bid_levels": len(market.book.prices(BUY)),
                    "ask_levels": len(market.book.prices(SELL)),
                    "last_price": market.contract.price_text(market.last_tick),
                }
                for name, market in self.venue.markets.items()
            },
        }

    # HTTP

    async def _http(self, request: web.Request) -> web.StreamResponse:
        raw_path, _, raw_query = request.raw_path.partition("?")
        path = unquote(raw_path)
        try:
            body = await request.read()
        except web.HTTPRequestEntityTooLarge:
            return self._reply(request, path, raw_query, b"", 413, _failure(600, "body too large"))
        remote = request.remote or ""
        if self._control and path.startswith("/sim/"):
            return self._control_answer(request, path, raw_query, body, remote)
        before = self.faults.take_rest("http_status", path=path)
        if before is not None and not before.after_execute:
            text = _failure(before.status, "injected before executing")
            return self._reply(request, path, raw_query, body, before.status, text)
        try:
            answer = self._rest.answer(
                request.method, path, raw_query, request.headers, body, remote
            )
            status, text = answer.http, answer.text
        except Exception as error:  # the exchange must survive anything a client sends
            LOGGER.exception("%s %s", request.method, path)
            status, text = 500, _failure(500, f"System internal error! {type(error).__name__}")
        if before is not None:
            status, text = before.status, _failure(before.status, "injected after executing")
        if self.faults.take_rest("lose_answer", path=path) is not None:
            self._log(request, path, raw_query, body, 0, "")
            if request.transport is not None:
                request.transport.abort()
            return web.Response(status=500)
        return self._reply(request, path, raw_query, body, status, text)

    def _control_answer(
        self, request: web.Request, path: str, raw_query: str, body: bytes, remote: str
    ) -> web.Response:
        status = 200
        try:
            if remote not in LOOPBACK:
                raise Refused(403, "control is for loopback only", http=403)
            answer = control(self, request.method, path, raw_query, body)
            text = wire.dumps({"success": True, "code": 0, "data": answer})
        except Refused as refused:
            status = refused.http if refused.http != 200 else 400
            text = _failure(refused.code, refused.text())
        return web.Response(text=text, status=status, content_type=JSON)

    def _reply(
        self, request: web.Request, path: str, query: str, body: bytes, status: int, text: str
    ) -> web.Response:
        self._log(request, path, query, body, status, text)
        return web.Response(text=text, status=status, content_type=JSON)

    def _log(
        self, request: web.Request, path: str, query: str, body: bytes, status: int, reply: str
    ) -> None:
        headers = {
            name: value
            for name, value in request.headers.items()
            if name.lower() not in SECRET_HEADERS
        }
        text = body[:LONGEST_LOGGED].decode("utf-8", "replace")
        self.requests.append(
            Logged(
                self.clock_ms(), "rest", request.method, path, query, text, headers, status,
                reply[:LONGEST_LOGGED],
            )
        )

    # WebSocket

    async def _edge(self, request: web.Request) -> web.StreamResponse:
        socket = web.WebSocketResponse(compress=False, max_msg_size=MOST_BODY, timeout=0.5)
        if not socket.can_prepare(request).ok:
            return web.Response(text=_failure(400, "a WebSocket is expected"), status=400)
        await socket.prepare(request)
        transport = request.transport
        if transport is None:
            return socket
        session = Session(transport, self.faults, self.limits)
        self._hub.open(session)
        try:
            async for message in socket:
                if message.type == WSMsgType.TEXT:
                    self._hub.handle(session, message.data)
                elif message.type == WSMsgType.BINARY:
                    self._hub.handle(session, message.data.decode("utf-8", "replace"))
        finally:
            self._hub.closed(session)
        return socket

    def _log_message(self, method: str, text: str) -> None:
        body = "" if method == "login" else text[:LONGEST_LOGGED]
        self.requests.append(
            Logged(self.clock_ms(), "ws", method, "/edge", "", body, {}, 101, "")
        )


async def serve(**settings: Any) -> None:
    """Run an exchange until cancelled; settings as for Exchange. For a command line."""
    async with Exchange(**settings):
        await asyncio.Event().wait()


def _failure(code: int, message: str) -> str:
    return wire.dumps({"success": False, "code": code, "message": message})


def _wall_ms() -> int:
    return time.time_ns() // 1_000_000

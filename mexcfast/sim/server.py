"""The exchange in the box: REST, the WebSocket /edge and control on one loopback port."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, fields
from decimal import Decimal
from os import PathLike
from typing import Any

from aiohttp import web

from mexcfast.sim import wire
from mexcfast.sim.accounts import Account
from mexcfast.sim.checks import Refused
from mexcfast.sim.control import LOOPBACK, control
from mexcfast.sim.faults import Faults, How
from mexcfast.sim.front import JSON, Front, failure
from mexcfast.sim.matching import BUY, SELL, Book
from mexcfast.sim.pacing import Pacer
from mexcfast.sim.rest import Rest
from mexcfast.sim.settings import Limits, Variations
from mexcfast.sim.source import Source
from mexcfast.sim.stepping import Handled, Stepper
from mexcfast.sim.stream import Hub
from mexcfast.sim.venue import Venue

SECRET_HEADERS = frozenset(("apikey", "signature", "cookie", "authorization"))
LONGEST_LOGGED = 4096

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
    market: where the movements come from instead of the seeded flow (script.py, replay.py,
    mirror.py); it brings its own symbols. certificate, certificate_key: files in PEM; with them
    the addresses are https and wss.
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
        market: Source | None = None,
        certificate: str | PathLike[str] | None = None,
        certificate_key: str | PathLike[str] | None = None,
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
        self._run_source = market is not None and updates_per_second > 0
        self._host = host
        self._port = port
        self._tls: ssl.SSLContext | None = None
        if certificate is not None:
            self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self._tls.load_cert_chain(certificate, certificate_key)
        self.source = market
        self.venue = Venue(
            seed=seed,
            symbols=symbols if market is None else market.contracts(),
            levels=levels,
            history=history,
            clock_ms=self.clock_ms,
            book_type=Book if market is None else market.book_type,
            filled=market is None or market.filled,
        )
        self.venue.ids_as_int = self.variations.ids == "int"
        self.faults = Faults(self.clock_ms, list(self.venue.markets), self, seed)
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
        if market is not None:
            market.attach(self.venue)
        self._rest = Rest(
            self.venue,
            self.faults,
            self.limits,
            self.variations,
            lenient_auth=lenient_auth,
            strict_clock=strict_clock,
        )
        currencies = {one.contract.settle for one in self.venue.markets.values()}
        self.account = self.add_account(
            access_key, secret, {currency: Decimal(balance) for currency in sorted(currencies)}
        )
        self._front = Front(self._rest, self._hub, self.faults, self.limits, self._log)
        self._stepper = Stepper(self._hub)
        self._pacer = Pacer(
            self.venue,
            self._hub,
            self.faults,
            updates_per_second if market is None else 0,
            sets_prices=market is None or not market.sets_prices,
        )
        self._tasks: list[asyncio.Task[None]] = []
        self._reopening: asyncio.Task[None] | None = None
        self._runner: web.ServerRunner | None = None
        self._site: web.TCPSite | None = None
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
        # The plain server: three kinds of path need no router, which costs a tenth of an order.
        server = web.Server(self._serve, access_log=None)
        self._runner = web.ServerRunner(server, shutdown_timeout=0.5)
        await self._runner.setup()
        await self._listen()
        host, self._port = self._runner.addresses[0][:2]
        tail = "s" if self._tls is not None else ""
        self.rest_url = f"http{tail}://{host}:{self._port}"
        self.ws_url = f"ws{tail}://{host}:{self._port}/edge"
        self._tasks = [asyncio.create_task(self._pacer.run(), name="exchange pacer")]
        if self.source is not None and self._run_source:
            self._tasks.append(asyncio.create_task(self.source.run(), name="exchange market"))

    async def _serve(self, request: web.BaseRequest) -> web.StreamResponse:
        path = request.raw_path
        if path.startswith("/api/"):
            return await self._front.http(request)
        if path.partition("?")[0] in ("/edge", "/ws"):
            return await self._front.edge(request)
        if self._control and path.startswith("/sim/"):
            return await self._control_answer(request)
        return await self._front.http(request)

    async def _listen(self) -> None:
        assert self._runner is not None
        self._site = web.TCPSite(
            self._runner, self._host, self._port, ssl_context=self._tls, reuse_address=True
        )
        await self._site.start()

    async def stop(self) -> None:
        """Close every connection and the port."""
        failure: Exception | None = None
        self._front.stopping.set()
        tasks, self._tasks = self._tasks, []
        if self._reopening is not None:
            tasks.append(self._reopening)
        for task in tasks:
            task.cancel()
        for ended in await asyncio.gather(*tasks, return_exceptions=True):
            if isinstance(ended, Exception):  # the market stopped by a bug: do not hide it
                failure = failure or ended
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
        account = self.venue.add_account(access_key, secret, balances, permissions)
        self._hub.key_made_ms[account.uid] = self.clock_ms()
        return account

    def change_key(
        self,
        access_key: str,
        *,
        expired: bool | None = None,
        addresses: Iterable[str] | None = None,
        permissions: str | None = None,
        access_denied: bool | None = None,
        activated: bool | None = None,
        restriction: int | None = None,
    ) -> None:
        """Switches of one key at run time: 402, 406, 701 to 704, 511, 1000, and as restriction
        6001, 6002, 6026 or 0 for none; None leaves one alone."""
        account = self.venue.keys.get(access_key)
        if account is None:
            raise ValueError("this access key has no account")
        if permissions is not None:
            if not set(permissions) <= set("AOT"):
                raise ValueError(f"permissions {permissions[:20]!r}: out of A, O and T")
            account.permissions = frozenset(permissions)
        if restriction not in (None, 0, 6001, 6002, 6026):
            raise ValueError(f"restriction {restriction}: 0, 6001, 6002 or 6026")
        if restriction is not None:
            account.restriction = restriction
        if activated is not None:
            account.activated = activated
        if expired is not None:
            account.expired = expired
        if addresses is not None:
            account.addresses = tuple(addresses)
        if access_denied is not None:
            account.access_denied = access_denied

    def change_contract(
        self,
        symbol: str,
        *,
        api_allowed: bool | None = None,
        state: int | None = None,
        funding_seconds: float | None = None,
    ) -> None:
        """Open or close a contract for orders (1002, 6005), or give funding another cycle, at run
        time; push.contract follows."""
        self._book(symbol)
        market = self.venue.markets[symbol]
        if state is not None and not 0 <= state <= 4:
            raise ValueError(f"state {state}: 0 to 4")
        if funding_seconds is not None:
            if not 1 <= funding_seconds <= 86_400:
                raise ValueError(f"funding_seconds {funding_seconds}: 1 to 86400")
            market.set_funding_cycle(int(funding_seconds * 1000), self.clock_ms())
        if api_allowed is not None:
            market.contract.api_allowed = api_allowed
        if state is not None:
            market.contract.state = state
        self._hub.publish_contract(market)

    def change_limits(self, **changes: Any) -> None:
        """Limits at run time, by their names in Limits."""
        _change(self.limits, changes)

    def change_variations(self, **changes: Any) -> None:
        """Variations at run time, by their names in Variations."""
        _change(self.variations, changes)
        self.venue.ids_as_int = self.variations.ids == "int"

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
        if self.source is not None:
            for _ in range(count):
                self.source.step(symbol)
        for name in names:
            if self.source is None:
                for _ in range(count):
                    self.venue.step(self.venue.markets[name])
            self.flush(name)
        return {name: self._book(name).version for name in names}

    async def step_handled(
        self,
        count: int = 1,
        symbol: str | None = None,
        *,
        handled: Handled = "pong",
        seconds: float = 5.0,
    ) -> dict[str, int]:
        """As step(), one movement at a time, each waiting until the clients have handled what it
        sent them (stepping.py says what that means); TimeoutError after `seconds` of waiting."""
        reached: dict[str, int] = {}
        for _ in range(count):
            await self._stepper.move(lambda: reached.update(self.step(1, symbol)), handled, seconds)
        return reached

    async def act_handled(
        self,
        action: Callable[[], object],
        *,
        handled: Handled = "pong",
        seconds: float = 5.0,
    ) -> int:
        """Any action (a trade, a fault, an order), then the same wait; returns the sockets told."""
        return await self._stepper.move(action, handled, seconds)

    def handled(self) -> None:
        """Ends the wait of step_handled(handled="control")."""
        self._stepper.handled()

    def flush(self, symbol: str) -> None:
        """Send merged frames now instead of at the end of their window."""
        market = self.venue.markets[symbol]
        self._hub.flush_depth(market)
        self._hub.flush_deals(market)
        self._hub.flush_states(market)

    @property
    def enforced(self) -> Counter[str]:
        """Sockets closed because clients broke a rule (5.2): age, no ping, messages ..."""
        return self._hub.enforced

    @property
    def updates_per_second(self) -> float:
        """Book versions per second and contract; settable at run time."""
        return self._pacer.rate

    @updates_per_second.setter
    def updates_per_second(self, rate: float) -> None:
        if self.source is not None:
            raise ValueError("updates_per_second: this market's movements come from elsewhere")
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

    # What faults do to the venue as a whole (faults.Ground)

    def cut(self, symbol: str | None) -> int:
        """See Faults.cut."""
        chosen = self._hub.watching(symbol)
        for session in chosen:
            session.transport.abort()
        return len(chosen)

    def half_open(self, symbol: str | None) -> int:
        """See Faults.half_open."""
        chosen = self._hub.watching(symbol)
        for session in chosen:
            session.half_open = True
        return len(chosen)

    def slow_read(self, symbol: str | None, seconds: float) -> int:
        """See Faults.slow_read."""
        chosen = self._hub.watching(symbol)
        for session in chosen:
            session.slow_read(seconds)
        return len(chosen)

    def version_gap(self, symbol: str, versions: int) -> None:
        """See Faults.version_gap."""
        self._hub.version_gap(symbol, versions)

    def clock_jump(self, ms: int) -> None:
        """See Faults.clock_jump."""
        self.clock_offset_ms += ms

    def ban(self, seconds: float, how: How) -> int:
        """See Faults.ban."""
        if self._runner is None or self._runner.server is None:
            raise ValueError("ban: the exchange is not open")
        if self._reopening is not None:  # the ban that stands goes on
            return 0
        sessions = len(self._hub.sessions)
        if how == "403":
            self._front.banned = True
            self.cut(None)
        else:
            for connection in self._runner.server.connections:
                if connection.transport is not None:
                    connection.transport.abort()
        self._reopening = asyncio.create_task(self._serve_ban(seconds, how), name="exchange ban")
        return sessions

    async def _serve_ban(self, seconds: float, how: How) -> None:
        if how == "refuse" and self._site is not None:
            await self._site.stop()
        await asyncio.sleep(seconds)
        if how == "refuse":
            await self._listen()
        self._front.banned = False
        self._reopening = None

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
            "market": {} if self.source is None else self.source.state(),
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

    # The control endpoint and the log

    async def _control_answer(self, request: web.BaseRequest) -> web.Response:
        raw_query = request.raw_path.partition("?")[2]
        status = 200
        try:
            if request.remote not in LOOPBACK:
                raise Refused(403, "control is for loopback only", http=403)
            body = await request.read()
            answer = await control(self, request.method, request.path, raw_query, body)
            text = wire.dumps({"success": True, "code": 0, "data": answer})
        except Refused as refused:
            status = refused.http if refused.http != 200 else 400
            text = failure(refused.code, refused.text())
        return web.Response(text=text, status=status, content_type=JSON)

    def _log(
        self, request: web.BaseRequest, path: str, query: str, body: bytes, status: int, reply: str
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

    def _log_message(self, method: str, text: str) -> None:
        body = "" if method == "login" else text[:LONGEST_LOGGED]
        self.requests.append(
            Logged(self.clock_ms(), "ws", method, "/edge", "", body, {}, 101, "")
        )


async def serve(**settings: Any) -> None:
    """Run an exchange until cancelled; settings as for Exchange. For a command line."""
    async with Exchange(**settings):
        await asyncio.Event().wait()


def _change(settings: Any, changes: dict[str, Any]) -> None:
    """Set members of a dataclass; ValueError for a name or a type it does not have."""
    known = {field.name for field in fields(settings)}
    for name in changes:
        if name not in known:
            raise ValueError(f"{name[:40]!r} is unknown; known are {', '.join(sorted(known))}")
    for name, value in changes.items():
        setattr(settings, name, value)


def _wall_ms() -> int:
    return time.time_ns() // 1_000_000

"""Signed bytes out, typed outcomes in; any doubt is Unknown.

A read returns its parsed data or raises. A write returns Accepted, Rejected or Unknown and is sent
at most once, whatever happens: no retry here, none in aiohttp (it repeats only idempotent methods
on a dead kept-alive connection, and a write is a POST), no redirect followed.

    connection refused, DNS, TLS, connect timeout   nothing left      Rejected(ConnectFailed)
    2xx or 4xx with a refusal                       not executed      Rejected(VenueError)
    5xx, 3xx, 408, unreadable answer, HTML in a 2xx maybe executed    Unknown
    timeout, reset or close after connecting        maybe executed    Unknown

The venue's budgets are kept here, per group: reads wait for their slot; writes wait in lanes or are
refused, as the caller says. 510 and 429 close the group for a whole window. 513 asks for one new
ping, and repeats the request once if it was a read.
A cancelled task cannot know whether its write left: net/orders keeps such orders on its list.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self

import aiohttp
from yarl import URL

from mexcfast.core.rest import LIVE, Endpoint, Request, Route, Subject, find, judge, prepare
from mexcfast.core.rest import read_answer as parse_answer
from mexcfast.core.sign import Signer
from mexcfast.core.throttle import Lane, Lanes, Window
from mexcfast.errors import (
    BadAnswer,
    BudgetSpent,
    ClockError,
    ConfigError,
    ConnectFailed,
    ConnectionLost,
    NetworkError,
    RateLimited,
    RequestTimeout,
    VenueError,
)
from mexcfast.net.clock import Clock
from mexcfast.types import Outcome, Rejected, Unknown

MS = 1_000_000


class _Budget:
    """One group's window and the tasks waiting for it, woken lane by lane."""

    def __init__(self, window: Window, clock: Clock) -> None:
        self.window = window
        self._clock = clock
        self._waiting: Lanes[asyncio.Future[None]] = Lanes()
        self._timer: asyncio.TimerHandle | None = None

    def wait_ns(self) -> int:
        return self.window.wait_ns(self._clock.monotonic_ns())

    def take_now(self) -> int:
        """0 when a slot was taken, else nanoseconds to wait. Nobody overtakes those who wait."""
        if len(self._waiting):
            return max(1, self.wait_ns())
        return self.window.take(self._clock.monotonic_ns())

    async def take(self, lane: Lane) -> None:
        """Take a slot, waiting for it in the given lane."""
        if self.take_now() == 0:
            return
        future = asyncio.get_running_loop().create_future()
        self._waiting.push(lane, future, key=future)
        self._schedule()
        try:
            await future
        except asyncio.CancelledError:
            # A slot granted to a task that was cancelled in the same turn is spent: the safe side.
            self._waiting.discard(future)
            raise

    def _schedule(self) -> None:
        if self._timer is None and len(self._waiting):
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(self.wait_ns() / 1e9, self._wake)

    def _wake(self) -> None:
        self._timer = None
        while (waiting := self._waiting.pop()) is not None:
            lane, future = waiting
            if future.done():       # its task was cancelled: no slot for it
                continue
            if self.window.take(self._clock.monotonic_ns()) > 0:
                self._waiting.push_front(lane, future, key=future)
                break
            future.set_result(None)
        self._schedule()

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        while (waiting := self._waiting.pop()) is not None:
            if not waiting[1].done():
                waiting[1].set_exception(ConnectFailed("the executor was closed"))

SMALLEST_BOOK = 512     # bytes; a shorter body may be a refusal and is read as one


class Executor:
    """Sends requests of core/rest's table to one endpoint.

    signer: needed for private routes. clock: shared with whoever else needs the venue's time.
    wait_for_budget: what writes do without a slot: wait in their lane (True), or come back at once
    as Rejected(BudgetSpent) (False). Each call may say otherwise.
    Use it as an async context manager, in one event loop.
    """

    def __init__(self, endpoint: Endpoint = LIVE, signer: Signer | None = None,
                 clock: Clock | None = None, *, wait_for_budget: bool = False) -> None:
        self.endpoint = endpoint
        self.clock = clock or Clock()
        self.wait_for_budget = wait_for_budget
        self._signer = signer
        self._session: aiohttp.ClientSession | None = None
        self._budgets: dict[str, _Budget] = {}
        self._resync_due = False

    async def __aenter__(self) -> Self:
        self._open()
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None,
                        trace: TracebackType | None) -> None:
        await self.close()

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            settings = self.endpoint
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(keepalive_timeout=settings.keepalive_ms / 1000),
                cookie_jar=aiohttp.DummyCookieJar(),
                skip_auto_headers=("Accept", "Accept-Encoding", "User-Agent"),
                timeout=aiohttp.ClientTimeout(total=settings.timeout_ms / 1000,
                                              connect=settings.connect_timeout_ms / 1000))
        return self._session

    async def close(self) -> None:
        """Close the connections; what still waits for a slot ends with ConnectFailed."""
        for budget in self._budgets.values():
            budget.close()
        if self._session is not None:
            await self._session.close()
            self._session = None

    # -- budgets ---------------------------------------------------------------------------------

    def _budget(self, route: Route) -> _Budget:
        budget = self._budgets.get(route.group)
        if budget is None:
            count, window_ms = self.endpoint.limit(route)
            window = Window(count, window_ms * MS, self.endpoint.margin_ms * MS)
            budget = self._budgets[route.group] = _Budget(window, self.clock)
        return budget

    def next_free_ns(self, name: str) -> int:
        """Nanoseconds until this route's group has a slot; 0 when it has one now."""
        return self._budget(find(name)).wait_ns()

    def free(self, name: str) -> int:
        """How many requests of this route's group could leave now."""
        return self._budget(find(name)).window.free(self.clock.monotonic_ns())

    # -- reads -----------------------------------------------------------------------------------

    async def request(self, name: str, path: Mapping[str, object] | None = None,
                      params: Mapping[str, object] | None = None,
                      body: bytes | None = None) -> Any:
        """The typed data of one read (a GET, or a query by POST).

        Raises VenueError, NetworkError, or IntentError before sending.
        """
        route = find(name)
        if route.writes:
            raise ConfigError(f"{name} changes state: use execute()")
        request = prepare(self.endpoint, route, path, params, body)
        try:
            return await self._read(route, request)
        except ClockError:
            self._resync_due = True
            return await self._read(route, request)

    async def _read(self, route: Route, request: Request) -> Any:
        await self._resync_if_due(route)
        await self._budget(route).take(route.lane)
        status, answer = await self._send(request, self._headers(route, request)[1])
        return self._parsed(route, status, answer)

    def _parsed(self, route: Route, status: int, answer: bytes) -> Any:
        try:
            return parse_answer(route, status, answer)
        except RateLimited:
            self._budget(route).window.block(self.clock.monotonic_ns())
            raise

    async def fetch(self, name: str, path: Mapping[str, object] | None = None,
                    params: Mapping[str, object] | None = None) -> bytes:
        """The body of one public GET as it came, for core/depth to read itself.

        Raises VenueError or NetworkError as request() does.
        """
        route = find(name)
        await self._budget(route).take(route.lane)
        request = prepare(self.endpoint, route, path, params)
        status, answer = await self._send(request, self._headers(route, request)[1])
        if status != 200 or len(answer) < SMALLEST_BOOK:
            self._parsed(route, status, answer)
        return answer

    # -- writes ----------------------------------------------------------------------------------

    async def execute(self, name: str, body: bytes | None = None, about: Subject | None = None, *,
                      wait: bool | None = None, lane: Lane | None = None) -> Outcome:
        """The outcome of one state-changing request, sent at most once.

        about: what it concerns, repeated in the outcome. wait: wait for a slot of the budget;
        None: as the executor was told. lane: place in the queue while waiting.
        Raises IntentError or ConfigError before anything is sent, never a VenueError or
        NetworkError.
        """
        route, about = find(name), about or Subject()
        if not route.writes:
            raise ConfigError(f"{name} changes nothing: use request()")
        request = prepare(self.endpoint, route, body=body)
        budget = self._budget(route)
        # When this fails it stays due, and the write goes out with the time we have.
        with contextlib.suppress(NetworkError, VenueError):
            await self._resync_if_due(route)
        if self.wait_for_budget if wait is None else wait:
            try:
                await budget.take(route.lane if lane is None else lane)
            except ConnectFailed as error:
                return Rejected(error, about.symbol, about.client_order_id, about.order_id)
        elif (wait_ns := budget.take_now()) > 0:
            return Rejected(BudgetSpent(route.group, wait_ns), about.symbol,
                            about.client_order_id, about.order_id)
        ts_sent_ms, headers = self._headers(route, request)
        try:
            status, answer = await self._send(request, headers)
        except ConnectFailed as error:
            return Rejected(error, about.symbol, about.client_order_id, about.order_id)
        except NetworkError as error:
            return Unknown(error, about.symbol, about.client_order_id, about.order_id,
                           ts_sent_ms=ts_sent_ms)
        outcome = judge(route, status, answer, about, ts_sent_ms)
        if isinstance(outcome, Rejected | Unknown):
            if isinstance(outcome.error, RateLimited):
                budget.window.block(self.clock.monotonic_ns())
            elif isinstance(outcome.error, ClockError):
                self._resync_due = True
        return outcome

    # -- the clock -------------------------------------------------------------------------------

    async def sync_clock(self, pings: int = 1) -> None:
        """Learn the venue's time. Each ping narrows the error bound."""
        route = find("ping")
        request = prepare(self.endpoint, route)
        for _ in range(pings):
            await self._budget(route).take(route.lane)
            sent_ns = self.clock.monotonic_ns()
            status, answer = await self._send(request, self._headers(route, request)[1])
            received_ns = self.clock.monotonic_ns()
            self.clock.learn(sent_ns, received_ns, parse_answer(route, status, answer))

    async def _resync_if_due(self, route: Route) -> None:
        if self._resync_due and route.signed:
            self.clock.forget()
            await self.sync_clock()
            self._resync_due = False

    # -- the wire --------------------------------------------------------------------------------

    def _headers(self, route: Route, request: Request) -> tuple[int | None, dict[str, str]]:
        """Request time and headers. Called just before sending: the time is part of both."""
        settings = self.endpoint
        headers = {"Content-Type": "application/json", "Language": settings.language,
                   "User-Agent": settings.user_agent}
        if not route.signed:
            return None, headers
        if self._signer is None:
            raise ConfigError(f"{route.name} is private: a Signer is needed")
        now_ms = self.clock.venue_ms()
        headers["ApiKey"] = self._signer.access_key
        headers["Request-Time"] = str(now_ms)
        headers["Signature"] = self._signer.sign(now_ms, request.payload)
        if settings.recv_window_s is not None:
            headers["Recv-Window"] = str(settings.recv_window_s)
        return now_ms, headers

    async def _send(self, request: Request, headers: dict[str, str]) -> tuple[int, bytes]:
        """Status and body. ConnectFailed means that not one byte of the request was sent."""
        try:
            async with self._open().request(
                    request.method, URL(request.url, encoded=True), data=request.body,
                    headers=headers, allow_redirects=False) as response:
                return response.status, await response.read()
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
            raise ConnectFailed(_name(error)) from None
        except TimeoutError as error:
            raise RequestTimeout(_name(error)) from None
        except aiohttp.ClientPayloadError as error:
            raise ConnectionLost(_name(error)) from None
        except aiohttp.ClientResponseError as error:
            raise BadAnswer(_name(error)) from None
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise ConnectionLost(_name(error)) from None


def _name(error: Exception) -> str:
    """What happened, without the request: its headers carry the key."""
    inner = getattr(error, "os_error", None)
    return f"{type(error).__name__}: {inner}" if inner is not None else type(error).__name__

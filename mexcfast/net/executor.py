"""Signed bytes out, typed outcomes in; any doubt is Unknown.

A read returns its parsed data or raises. A write returns Accepted, Rejected or Unknown and is sent
at most once, whatever happens: no retry here, none in aiohttp, no redirect followed.

    connection refused, DNS, TLS, connect timeout   nothing left      Rejected(ConnectFailed)
    2xx or 4xx with a refusal                       not executed      Rejected(VenueError)
    5xx, 3xx, 408, unreadable answer, HTML in a 2xx maybe executed    Unknown
    timeout, reset or close after connecting        maybe executed    Unknown

The venue's budgets are kept here, per group: reads wait for their slot; writes wait in lanes or are
refused, as the caller says. 510 and 429 close the group for a whole window, longer when they come
again; the edge firewall's 403 closes reads, or what adds risk, for minutes; 6026 closes opening.
513 asks for one new ping, and repeats the request once if it was a read. Reads are repeated after
an inner fault of the venue or of the network; writes never.
A cancelled task cannot know whether its write left: net/orders keeps such orders on its list.

An order that need not wait leaves by launch() (net/launch), without a task of its own.
Order entry leaves over net/lanes unless it is told otherwise: the same bytes, written and read with
less in between. Everything else, and order entry when the lane is off or full, leaves over aiohttp.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
from collections.abc import Awaitable, Callable, Hashable, Mapping
from functools import partial
from types import TracebackType
from typing import Any, Literal, Self

import aiohttp
from yarl import URL

from mexcfast.core.http1 import RequestForm
from mexcfast.core.rest import (
    LIVE,
    ORDER_ENTRY,
    ROUTES,
    Endpoint,
    Request,
    Route,
    Subject,
    find,
    fixed_headers,
    judge,
    last_headers,
    prepare,
)
from mexcfast.core.rest import read_answer as parse_answer
from mexcfast.core.sign import Signer
from mexcfast.core.throttle import Lane, Penalties, backoff_ms
from mexcfast.core.window import Window
from mexcfast.errors import (
    BadAnswer,
    BudgetSpent,
    ClockError,
    ConfigError,
    ConnectFailed,
    ConnectionLost,
    Dropped,
    EdgeError,
    KillSwitchTripped,
    MexcfastError,
    NetworkError,
    RateLimited,
    RequestTimeout,
    VenueError,
    VenueFault,
)
from mexcfast.net.clock import Clock
from mexcfast.net.lane import LaneConnection, NotSent
from mexcfast.net.lanes import Lanes, fits
from mexcfast.net.launch import Launcher
from mexcfast.net.slots import Queued, Slots
from mexcfast.net.sockets import connector
from mexcfast.net.tasks import end
from mexcfast.types import Accepted, Outcome, Rejected, Unknown

log = logging.getLogger("mexcfast.net")

MS = 1_000_000

RISK_ADDING = (Lane.AMEND, Lane.OPEN)
#: penalty -> (first pause, longest pause) in ms (protocol.md 4, 17: 6026)
PAUSES = {"rate": (0, 60_000), "edge": (120_000, 900_000), "opening": (60_000, 900_000)}


WARMING_S = 0.5
SMALLEST_BOOK = 512     # bytes; a shorter body may be a refusal and is read as one


class Executor(Launcher):
    """Sends requests of core/rest's table to one endpoint.

    signer: needed for private routes. clock: shared with whoever else needs the venue's time.
    wait_for_budget: what writes do without a slot: wait in their lane (True), or come back at once
    as Rejected(BudgetSpent) (False). Each call may say otherwise.
    read_tries: how often a read is sent at most when the venue fails or the network does. Writes
    are sent once.
    lane: "auto": order entry over its own warm connections; "off": over aiohttp as everything else.
    Use it as an async context manager, in one event loop.
    """

    def __init__(self, endpoint: Endpoint = LIVE, signer: Signer | None = None,
                 clock: Clock | None = None, *, wait_for_budget: bool = False,
                 read_tries: int = 3, lane: Literal["auto", "off"] = "auto") -> None:
        if read_tries < 1:
            raise ConfigError(f"read_tries is {read_tries}; allowed: 1 and above")
        if lane not in ("auto", "off"):
            raise ConfigError(f"lane is {lane!r}; allowed: 'auto', 'off'")
        self.endpoint = endpoint
        self.clock = clock or Clock()
        self.wait_for_budget = wait_for_budget
        self.read_tries = read_tries
        self.penalties = Penalties()
        #: how often the venue has closed something for us, by what
        self.closings: dict[str, int] = {}
        #: told of every pause the venue forces on us: (what, until in wall-clock ms)
        self.on_penalty: Callable[[str, int], None] | None = None
        #: asked before a write is queued and again before it leaves: why it must not, or None
        self.guard = None
        #: told of every answer of a private route: the error, or None when it could be read
        self.on_answer = None
        #: told of every write: name, request, signed time, status (None: no answer), answer, error
        self.on_write = None
        self._signer = signer
        self._session: aiohttp.ClientSession | None = None
        self._uses_lane = lane == "auto" and signer is not None and fits(endpoint)
        self._lanes = None
        self._forms: dict[str, RequestForm] = {}
        self._budgets: dict[str, Slots] = {}
        #: what may still be taken by the venue: number -> its expiry in venue time
        self._doubts = {}
        self._resync_due = False
        self._resyncs = 0
        self._resyncing = asyncio.Lock()
        self._warming: asyncio.Task[None] | None = None
        self._exchanged_ns: int | None = None       # monotonic; the newest answer over aiohttp

    async def __aenter__(self) -> Self:
        self._open()
        lanes = self._lane()
        if lanes is not None:
            lanes.start()
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None,
                        trace: TracebackType | None) -> None:
        await self.close()

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            settings = self.endpoint
            self._session = aiohttp.ClientSession(
                connector=connector(keepalive_timeout=settings.keepalive_ms / 1000),
                cookie_jar=aiohttp.DummyCookieJar(),
                skip_auto_headers=("Accept", "Accept-Encoding", "User-Agent"),
                timeout=aiohttp.ClientTimeout(total=settings.timeout_ms / 1000,
                                              connect=settings.connect_timeout_ms / 1000))
            # It would repeat a GET on a connection found dead without taking a slot of the budget;
            # request() repeats reads itself, and takes one.
            self._session._retry_connection = False
        return self._session

    def _lane(self) -> Lanes | None:
        if self._lanes is None and self._uses_lane:
            self._lanes = Lanes(self.endpoint)
        return self._lanes

    async def warm_up(self) -> None:
        """Wait until the connections for order entry are open; at once when the lane is off.

        They open by themselves with the executor; this is for those who want to know.
        """
        lanes = self._lane()
        if lanes is not None:
            await lanes.until_warm()

    @property
    def lane_idle(self) -> int | None:
        """Warm connections that could take an order now; None without a lane."""
        return None if self._lanes is None else len(self._lanes.idle)

    def warm_reads(self) -> None:
        """Open a connection for reads in the background, by a ping; unless one is there.

        For whoever will soon need an answer quickly. The next fetch() waits for it, half a second
        at most: one of its own would be there no sooner.
        """
        if self._warming is not None or (self._exchanged_ns is not None and (
                self.clock.monotonic_ns() - self._exchanged_ns < self.endpoint.keepalive_ms * MS)):
            return
        self._warming = asyncio.get_running_loop().create_task(self._warm_reads())

    async def _warm_reads(self) -> None:
        try:
            with contextlib.suppress(MexcfastError):    # whoever needs the venue will see why
                await self.sync_clock()
        finally:
            self._warming = None

    def drop_queue(self) -> None:
        """What still waits for a slot ends with ConnectFailed, unsent."""
        for budget in self._budgets.values():
            budget.close()

    def recheck_queue(self) -> None:
        """Ask the guard about every write that waits; what it refuses ends unsent, at once."""
        groups = {route.group: route for route in ROUTES if route.writes}
        for group, budget in self._budgets.items():
            if group in groups and self.guard is not None:
                budget.recheck(partial(self.guard, groups[group]))

    async def close(self) -> None:
        """Close the connections; what still waits for a slot ends with ConnectFailed."""
        self.drop_queue()
        if self._warming is not None:
            await end(self._warming)
        if self._lanes is not None:
            await self._lanes.close()
            self._lanes = None
        if self._session is not None:
            await self._session.close()
            self._session = None

    @property
    def access_key(self) -> str:
        """The public half of the keys; ConfigError without a signer."""
        if self._signer is None:
            raise ConfigError("a Signer is needed")
        return self._signer.access_key

    # -- budgets ---------------------------------------------------------------------------------

    def _budget(self, route: Route) -> Slots:
        budget = self._budgets.get(route.group)
        if budget is None:
            count, window_ms = self.endpoint.limit(route)
            window = Window(count, window_ms * MS, self.endpoint.margin_ms * MS)
            budget = self._budgets[route.group] = Slots(route.group, window, self.clock)
            for what, until_ms in self.penalties.open_ms(self.clock.wall_ms()).items():
                self._apply(budget, route, what, until_ms)
        return budget

    def _budget_of(self, name: str) -> Slots:
        return self._budget(find(name))

    def next_free_ns(self, name: str) -> int:
        """Nanoseconds until this route's group has a slot; 0 when it has one now."""
        return self._budget_of(name).wait_ns()

    def free(self, name: str) -> int:
        """How many requests of this route's group could leave now."""
        return self._budget_of(name).schedule.window.free(self.clock.monotonic_ns())

    def forecast(self, name: str) -> dict[Lane, tuple[int, int]]:
        """Of this route's group: lane -> how many wait, nanoseconds until a newcomer would leave.
        """
        return self._budget_of(name).schedule.forecast(self.clock.monotonic_ns())

    def queue(self) -> tuple[Queued, ...]:
        """Everything that waits for a slot, group by group in the order of leaving."""
        return tuple(queued for budget in self._budgets.values() for queued in budget.queue())

    def groups(self) -> dict[str, tuple[int, dict[Lane, tuple[int, int]]]]:
        """Group -> free slots and forecast() of each group that was used."""
        now_ns = self.clock.monotonic_ns()
        return {group: (budget.schedule.window.free(now_ns), budget.schedule.forecast(now_ns))
                for group, budget in self._budgets.items()}

    # -- penalties -------------------------------------------------------------------------------

    def restore_penalties(self, penalties: Mapping[str, int]) -> None:
        """Pauses of an earlier run: what -> until, in wall-clock ms."""
        for what, until_ms in penalties.items():
            self.penalties.restore(what, until_ms, self.clock.wall_ms())
            self._spread(what, until_ms)

    def restore_sent(self, name: str, ago_ms: int) -> None:
        """A request of an earlier run, which the venue may still count."""
        window = self._budget_of(name).schedule.window
        window.restore(self.clock.monotonic_ns() - max(0, ago_ms) * MS)

    def _apply(self, budget: Slots, route: Route, what: str, until_ms: int) -> None:
        """Close the group, or its lanes that add risk, as far as the penalty concerns it."""
        kind, _, scope = what.partition(" ")
        left_ns = (until_ms - self.clock.wall_ms()) * MS
        now_ns = self.clock.monotonic_ns()
        if left_ns <= 0:
            return
        if kind == "rate" and scope == budget.group:
            budget.schedule.window.block(now_ns, left_ns)
        elif (kind == "edge" and scope == route.method) or (
                kind == "opening" and budget.group == "order_place"):
            # Cancels and orders that reduce may still try their luck at their ordinary pace.
            lanes = RISK_ADDING if route.writes and kind == "edge" else (Lane.OPEN,)
            budget.schedule.close(lanes, now_ns + left_ns)
        else:
            return
        if len(budget.schedule):
            budget.reschedule()

    def _spread(self, what: str, until_ms: int) -> None:
        groups = {route.group: route for route in ROUTES}
        for group, budget in self._budgets.items():
            self._apply(budget, groups[group], what, until_ms)

    def _punish(self, route: Route, error: Exception) -> None:
        """The venue closed something: remember for how long."""
        if isinstance(error, RateLimited):
            what = f"rate {route.group}"
            window_ms = self.endpoint.limit(route)[1]
            base_ms, cap_ms = window_ms + self.endpoint.margin_ms, PAUSES["rate"][1]
            self._budget(route).schedule.window.block(self.clock.monotonic_ns())
        elif isinstance(error, EdgeError) and error.status in (401, 403, 429):
            what = f"edge {route.method}"
            base_ms, cap_ms = PAUSES["edge"]
        elif isinstance(error, VenueError) and error.code == 6026:
            what = "opening"
            base_ms, cap_ms = PAUSES["opening"]
        else:
            return
        self.closings[what] = self.closings.get(what, 0) + 1
        until_ms = self.penalties.note(what, self.clock.wall_ms(), base_ms, max(base_ms, cap_ms))
        log.warning("the venue closed %r for %d ms: %s", what, until_ms - self.clock.wall_ms(),
                    error)
        self._spread(what, until_ms)
        if self.on_penalty is not None:
            self.on_penalty(what, until_ms)

    # -- reads -----------------------------------------------------------------------------------

    async def request(self, name: str, path: Mapping[str, object] | None = None,
                      params: Mapping[str, object] | None = None,
                      body: bytes | None = None, *, lane: Lane | None = None) -> Any:
        """The typed data of one read (a GET, or a query by POST).

        lane: its place among those who wait for a slot; CANCEL also passes where the firewall's
        pause holds ordinary reads back.
        Raises VenueError, NetworkError, or IntentError before sending.
        """
        route = find(name)
        if route.writes:
            raise ConfigError(f"{name} changes state: use execute()")
        request = prepare(self.endpoint, route, path, params, body)
        resynced = False
        for attempt in range(1, self.read_tries + 1):
            resyncs = self._resyncs
            try:
                return await self._read(route, request, lane)
            except ClockError:
                if resynced:
                    raise
                resynced = True
                self._mistimed(resyncs)
            except (NetworkError, VenueError) as error:
                if attempt == self.read_tries or not _may_repeat(error):
                    raise
                await asyncio.sleep(
                    backoff_ms(attempt, random.random(), base_ms=100, cap_ms=2000) / 1000)
        return await self._read(route, request, lane)

    async def _read(self, route: Route, request: Request, lane: Lane | None = None) -> Any:
        await self._resync_if_due(route)
        await self._budget(route).take(route.lane if lane is None else lane, Subject())
        status, answer = await self._send(request, self._headers(route, request)[1])
        return self._parsed(route, status, answer)

    def _parsed(self, route: Route, status: int, answer: bytes) -> Any:
        try:
            parsed = parse_answer(route, status, answer)
        except (VenueError, BadAnswer) as error:
            self._told(route, error)
            self._punish(route, error)
            raise
        self._told(route, None)
        return parsed

    def _told(self, route: Route, error: MexcfastError | None) -> None:
        if self.on_answer is not None and route.signed:
            self.on_answer(route, error)

    async def fetch(self, name: str, path: Mapping[str, object] | None = None,
                    params: Mapping[str, object] | None = None) -> bytes:
        """The body of one public GET as it came, for core/depth to read itself.

        Raises VenueError or NetworkError as request() does.
        """
        route = find(name)
        if self._warming is not None:
            await asyncio.wait([self._warming], timeout=WARMING_S)
        await self._budget(route).take(route.lane, Subject())
        request = prepare(self.endpoint, route, path, params)
        status, answer = await self._send(request, self._headers(route, request)[1])
        if status != 200 or len(answer) < SMALLEST_BOOK:
            self._parsed(route, status, answer)
        return answer

    async def download(self, name: str, params: Mapping[str, object] | None = None) -> bytes:
        """A private GET whose answer is a file. Raises VenueError or NetworkError as request()."""
        route = find(name)
        request = prepare(self.endpoint, route, params=params)
        await self._resync_if_due(route)
        await self._budget(route).take(route.lane, Subject())
        status, answer = await self._send(request, self._headers(route, request)[1])
        if status != 200 or answer.lstrip()[:1] in (b"{", b"<"):
            self._parsed(route, status, answer)
            raise BadAnswer("JSON instead of a file", status)
        return answer

    # -- writes ----------------------------------------------------------------------------------

    async def execute(self, name: str, body: bytes | Callable[[], bytes] | None = None,
                      about: Subject | None = None, *, wait: bool | None = None,
                      lane: Lane | None = None, key: Hashable | None = None,
                      max_age_ms: int | None = None, keep: bool = False,
                      on_send: Callable[[int | None], None] | None = None) -> Outcome:
        """The outcome of one state-changing request, sent at most once.

        body: the bytes, or a function that gives them once the slot is there. about: what it
        concerns, repeated in the outcome. wait: wait for a slot of the budget; None: as the
        executor was told. lane: place in the queue while waiting. key: a newer request with the
        same key takes this one out of the queue, or with keep=True is turned away itself.
        max_age_ms: older than this it never leaves. Both come back as Rejected(Dropped).
        on_send: called with the signed time in ms just before the first byte leaves; what it
        raises is raised here, and nothing is sent.
        Raises IntentError or ConfigError before anything is sent, never a VenueError or
        NetworkError.
        """
        route, about = find(name), about or Subject()
        if not route.writes:
            raise ConfigError(f"{name} changes nothing: use request()")
        if body is not None and (flight := self.launch(name, body, about, lane=lane,
                                                       on_send=on_send)) is not None:
            try:
                await flight.answered
            except NetworkError:
                pass                    # landed() says what it means
            except BaseException:
                flight.drop()
                raise
            return self.landed(flight)
        budget = self._budget(route)
        place = route.lane if lane is None else lane
        if self.guard is not None and (refusal := self.guard(route, place)) is not None:
            return Rejected(refusal, about.symbol, about.client_order_id, about.order_id)
        # When this fails it stays due, and the write goes out with the time we have.
        with contextlib.suppress(NetworkError, VenueError):
            await self._resync_if_due(route)
        try:
            if self.wait_for_budget if wait is None else wait:
                max_age_ns = None if max_age_ms is None else max_age_ms * MS
                await budget.take(place, about, key, max_age_ns, keep)
            elif (wait_ns := budget.take_now(place)) > 0:
                raise BudgetSpent(route.group, wait_ns)
            if self.guard is not None and (refusal := self.guard(route, place)) is not None:
                raise refusal
        except (ConnectFailed, Dropped, BudgetSpent, KillSwitchTripped) as error:
            return Rejected(error, about.symbol, about.client_order_id, about.order_id)
        ts_sent_ms: int | None = None
        doubt = resyncs = 0

        def leaving(now_ms: int | None) -> None:
            """The last moment before the first byte: connected, signed."""
            nonlocal ts_sent_ms, doubt, resyncs
            if self.guard is not None and (refusal := self.guard(route, place)) is not None:
                raise refusal
            if on_send is not None:
                on_send(now_ms)
            ts_sent_ms, resyncs = now_ms, self._resyncs
            doubt = self._doubt(place, now_ms)

        try:
            status, answer = await self._write(route, body() if callable(body) else body, leaving)
        except KillSwitchTripped as refused:
            return Rejected(refused, about.symbol, about.client_order_id, about.order_id)
        except ConnectFailed as error:
            self._doubts.pop(doubt, None)
            return Rejected(error, about.symbol, about.client_order_id, about.order_id)
        except NetworkError as error:
            self._told(route, error)
            return Unknown(error, about.symbol, about.client_order_id, about.order_id,
                           ts_sent_ms=ts_sent_ms)
        return self._judged(route, about, status, answer, ts_sent_ms, doubt, resyncs)

    def _judged(self, route: Route, about: Subject, status: int, answer: bytes,
                ts_sent_ms: int | None, doubt: int, resyncs: int) -> Outcome:
        """What an answer means, and what it teaches us."""
        outcome = judge(route, status, answer, about, ts_sent_ms)
        if isinstance(outcome, Accepted):
            self._doubts.pop(doubt, None)
            self._told(route, None)
            return outcome
        if isinstance(outcome, Rejected):
            self._doubts.pop(doubt, None)
        self._told(route, outcome.error)
        self._punish(route, outcome.error)
        if isinstance(outcome.error, ClockError):
            self._mistimed(resyncs)
        return outcome

    async def _elsewhere(self, lanes: Lanes, request: bytes) -> tuple[int, bytes]:
        """A connection has ended before the first byte: nothing has left, another may have it."""
        while True:
            connection = await lanes.take()
            if connection is None:
                raise ConnectFailed("no connection would take the request") from None
            try:
                answered = connection.send(request)
            except NotSent:
                continue
            try:
                return await answered
            except asyncio.CancelledError:
                connection.drop()
                raise

    async def _write(self, route: Route, body: bytes | None,
                     leaving: Callable[[int | None], None]) -> tuple[int, bytes]:
        """Status and body of one write, over the lane where it serves. Sent at most once."""
        if body and self._uses_lane and route.name in ORDER_ENTRY:
            lanes = self._lane()
            assert lanes is not None
            connection = lanes.take_now() or await lanes.take()
            if connection is not None:
                return await self._write_lane(lanes, connection, route, body, leaving)
        request = prepare(self.endpoint, route, body=body)
        ts_ms, headers = self._headers(route, request)
        leaving(ts_ms)
        return await self._reported(route, request, ts_ms, self._send(request, headers))

    async def _write_lane(self, lanes: Lanes, connection: LaneConnection | None, route: Route,
                          body: bytes, leaving: Callable[[int | None], None]
                          ) -> tuple[int, bytes]:
        now_ms = self.clock.venue_ms()
        request = self._form(route).build(now_ms, body)
        assert connection is not None
        try:
            leaving(now_ms)
        except BaseException:
            lanes.give_back(connection)
            raise
        answered: Awaitable[tuple[int, bytes]]
        try:
            answered = connection.send(request)
        except NotSent:
            connection, answered = None, self._elsewhere(lanes, request)
        try:
            if self.on_write is None:
                return await answered
            return await self._reported(route, prepare(self.endpoint, route, body=body), now_ms,
                                        answered)
        except asyncio.CancelledError:
            if connection is not None:
                connection.drop()
            raise

    def _form(self, route: Route) -> RequestForm:
        form = self._forms.get(route.name)
        if form is None or form.signer is not self._signer:     # other keys, another form
            assert self._signer is not None
            url = URL(prepare(self.endpoint, route, body=b"-").url, encoded=True)
            assert url.host_port_subcomponent is not None
            form = self._forms[route.name] = RequestForm(
                self._signer, route.method, url.raw_path_qs, url.host_port_subcomponent,
                fixed_headers(self.endpoint).items(), last_headers(self.endpoint).items())
        return form

    async def _reported(self, route: Route, request: Request, ts_sent_ms: int | None,
                        answered: Awaitable[tuple[int, bytes]]) -> tuple[int, bytes]:
        """The answer, and on_write is told; its faults must not cost an order its outcome."""
        status, answer, failed = None, b"", ""
        try:
            status, answer = await answered
            return status, answer
        except NetworkError as error:
            failed = str(error)
            raise
        finally:
            if self.on_write is not None:
                try:
                    self.on_write(route.name, request, ts_sent_ms, status, answer, failed)
                except Exception:
                    log.exception("on_write raised")

    @property
    def doubt_until_ms(self) -> int:
        """Until when (venue time) a write that left and was not answered could still be taken.

        0 when there is none. After an Unknown outcome this stays so until the expiry.
        """
        return max(self._doubts.values(), default=0)

    # -- the clock -------------------------------------------------------------------------------

    async def sync_clock(self, pings: int = 1) -> None:
        """Learn the venue's time. Each ping narrows the error bound."""
        route = find("ping")
        request = prepare(self.endpoint, route)
        for _ in range(pings):
            await self._budget(route).take(route.lane, Subject())
            sent_ns = self.clock.monotonic_ns()
            status, answer = await self._send(request, self._headers(route, request)[1])
            received_ns = self.clock.monotonic_ns()
            self.clock.learn(sent_ns, received_ns, parse_answer(route, status, answer))

    async def _resync_if_due(self, route: Route) -> None:
        if self._resync_due and route.signed:
            if route.writes and self.next_free_ns("ping") > 0:
                return      # an order does not wait for a ping's slot
            async with self._resyncing:     # one for all who were refused together
                if self._resync_due:
                    self.clock.forget()
                    await self.sync_clock()
                    self._resync_due = False
                    self._resyncs += 1

    def _mistimed(self, resyncs: int) -> None:
        """A request was refused for its time; resyncs: how many there had been when it left."""
        if resyncs == self._resyncs:
            self._resync_due = True

    # -- the wire --------------------------------------------------------------------------------

    def _headers(self, route: Route, request: Request) -> tuple[int | None, dict[str, str]]:
        """Request time and headers. Called just before sending: the time is part of both."""
        headers = fixed_headers(self.endpoint)
        if not route.signed:
            return None, headers
        if self._signer is None:
            raise ConfigError(f"{route.name} is private: a Signer is needed")
        now_ms = self.clock.venue_ms()
        headers["ApiKey"] = self._signer.access_key
        headers["Request-Time"] = str(now_ms)
        headers["Signature"] = self._signer.sign(now_ms, request.payload)
        return now_ms, headers | last_headers(self.endpoint)

    async def _send(self, request: Request, headers: dict[str, str]) -> tuple[int, bytes]:
        """Status and body. ConnectFailed means that not one byte of the request was sent."""
        try:
            return await self._exchange(request, headers)
        except NetworkError as error:
            error.endpoint = URL(request.url).path.removeprefix("/api/v1/")
            raise

    async def _exchange(self, request: Request, headers: dict[str, str]) -> tuple[int, bytes]:
        try:
            async with self._open().request(
                    request.method, URL(request.url, encoded=True), data=request.body,
                    headers=headers, allow_redirects=False) as response:
                answer = response.status, await response.read()
                self._exchanged_ns = self.clock.monotonic_ns()
                return answer
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


def _may_repeat(error: Exception) -> bool:
    """A read that failed for a reason that may pass within seconds (protocol.md 17)."""
    if isinstance(error, EdgeError | BadAnswer):
        return error.status >= 500 or error.status == 0
    return isinstance(error, NetworkError | VenueFault)


def _name(error: Exception) -> str:
    """What happened, without the request: its headers carry the key."""
    inner = getattr(error, "os_error", None)
    return f"{type(error).__name__}: {inner}" if inner is not None else type(error).__name__

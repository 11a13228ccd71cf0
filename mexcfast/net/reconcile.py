"""Keeps the account's mirror true: compares it with REST and says how sure it is.

    OFFLINE --stream live--> COMPARING --equal or taken over--> READY <--> DEGRADED
       ^------------------- stream lost, from everywhere ---------'

A comparison reads everything that is open over REST, tells what differed, takes over the venue's
truth, and only then is trading ready. It runs after every login, in the background every
`audit_every` seconds and after a rotation, and at once when a push is overdue: what REST said it
has done to an own order must be pushed within `push_deadline` seconds, for pongs prove only that
the socket is open. So a push lost without a sign is found within push_deadline when it concerns an
own request, within audit_every otherwise. When nothing at all was pushed, the stream is opened
anew.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import random
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from mexcfast.core.account import AccountState, Differences, Kind, Mirror, Read
from mexcfast.core.throttle import backoff_ms
from mexcfast.core.tracker import TrackedOrder, Tracker
from mexcfast.errors import (
    ClockError,
    EdgeError,
    MexcfastError,
    PermissionDenied,
    RateLimited,
    VenueError,
    VenueFault,
)
from mexcfast.net.conditional_api import Conditional
from mexcfast.net.executor import Executor
from mexcfast.net.order_queries import OrderQueries
from mexcfast.net.private import PrivateStream
from mexcfast.net.tasks import end
from mexcfast.types import ConditionalState, Order, TrailingState

log = logging.getLogger("mexcfast.net")

BATCH = 50
DAY_MS = 86_400_000
#: Without these there is no trading; the others may be closed to the key or to everybody.
ESSENTIAL = (Kind.ORDER, Kind.POSITION, Kind.BALANCE)
GONE = 404
#: What says nothing of the kind that was asked for: the comparison is begun again.
PASSING = (VenueFault, RateLimited, ClockError, EdgeError)
#: A push this much older than an answer may still belong to its request.
ANSWER_MS = 1000
LOOK_EVERY = 0.05       # seconds at least between two looks at what is due
SHOWN = 5       # differences named in the log line


@dataclass(frozen=True, slots=True)
class AccountSettings:
    """How the mirror is kept. Times in seconds, margin_ms as in core/account.Mirror.

    kinds: what is read over REST. only_when_ready: orders that add risk are refused with NotReady
    while the mirror is not READY; reducing and cancelling stay allowed.
    """

    push_deadline: float = 3.0
    audit_every: float = 60.0
    margin_ms: int = 1000
    kept: int = 2000
    kinds: tuple[Kind, ...] = tuple(Kind)
    only_when_ready: bool = False

    def __post_init__(self) -> None:
        for name in ("push_deadline", "audit_every"):
            value = getattr(self, name)
            if not isinstance(value, int | float) or isinstance(value, bool) or value <= 0:
                raise ValueError(f"{name} is {value!r}; allowed: a number above 0")
        if not {Kind.ORDER, Kind.POSITION} <= set(self.kinds):
            raise ValueError("kinds lacks ORDER or POSITION; allowed: both, and any of the others")


class Reconciler:
    """Compares one account's mirror with the venue.

    tracker: told of every order that REST shows. on_state: called with the old state, the new one
    and why; on_difference: with each comparison that found any; both after everything is committed.
    """

    def __init__(self, executor: Executor, tracker: Tracker, mirror: Mirror,
                 settings: AccountSettings | None = None) -> None:
        self.mirror = mirror
        self.settings = settings or AccountSettings()
        self.ready = asyncio.Event()
        self.on_state: list[Callable[[AccountState, AccountState, str], None]] = []
        self.on_difference: list[Callable[[Differences], None]] = []
        self.comparisons = 0
        self.differences = 0                    # found in all comparisons
        self.last: Differences | None = None    # what the newest comparison found
        self.unreadable: dict[Kind, str] = {}   # kinds the venue does not show, and why
        self._closed: set[Kind] = set()         # those it is not asked for again
        self._executor = executor
        self._tracker = tracker
        self._queries = OrderQueries(executor)
        self._conditional = Conditional(executor, {})
        self._stream: PrivateStream | None = None
        self._login_ms: int | None = None
        self._generation = 0                    # which life of the stream; -1 never
        self._lock = asyncio.Lock()
        self._task: asyncio.Task[None] | None = None
        self._audit: asyncio.Task[None] | None = None
        self._audit_now = asyncio.Event()
        self._expected: set[TrackedOrder] = set()
        #: those in the order of their deadlines: order, its report, since when (venue ms), due (s)
        self._due: deque[tuple[TrackedOrder, Order | None, int, float]] = deque()
        self._timer: asyncio.TimerHandle | None = None      # one for all: orders are many

    @property
    def state(self) -> AccountState:
        """How sure the mirror is."""
        return self.mirror.state

    # -- the stream ------------------------------------------------------------------------------

    def follow(self, stream: PrivateStream) -> None:
        """From now on the mirror lives on this stream. run() must follow when it is live."""
        if self._stream is stream:
            return
        self._stream = stream
        stream.on_live.append(self._stream_live)
        stream.on_lost.append(self._stream_lost)
        stream.on_unreadable.append(self.doubt)
        stream.on_rotated.append(self._audit_now.set)
        if stream.is_flowing:
            self._login_ms = self._executor.clock.venue_ms()
            self._enter(AccountState.COMPARING, "logged in")

    @property
    def follows_stream(self) -> bool:
        """Whether there is a stream the mirror lives on."""
        return self._stream is not None

    def _stream_live(self) -> None:
        self._generation += 1
        self._login_ms = self._executor.clock.venue_ms()
        self._enter(AccountState.COMPARING, "logged in")
        self._begin()

    def _stream_lost(self, why: str) -> None:
        self._generation += 1
        self._stop(self._task)
        self._enter(AccountState.OFFLINE, why)

    def _begin(self) -> None:
        """Compare in the background until it is done."""
        self._stop(self._task)
        self._task = asyncio.get_running_loop().create_task(
            self._until_done(), name="mexcfast account")

    async def _until_done(self) -> None:
        for attempt in itertools.count(1):
            try:
                await self.run()
                return
            except MexcfastError as error:
                log.warning("the account could not be compared with the venue: %s", error)
                if self._is_live:
                    self._enter(AccountState.DEGRADED, f"not compared: {error}")
                await asyncio.sleep(backoff_ms(attempt, random.random(), base_ms=500) / 1000)

    @staticmethod
    def _stop(task: asyncio.Task[None] | None) -> None:
        if task is not None and task is not asyncio.current_task():
            task.cancel()

    @property
    def _is_live(self) -> bool:
        return self._stream is not None and self._stream.is_flowing

    async def close(self) -> None:
        """Stop all background work."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._expected.clear()
        self._due.clear()
        if self._stream is not None:
            self._stream.on_live.remove(self._stream_live)
            self._stream.on_lost.remove(self._stream_lost)
            self._stream.on_unreadable.remove(self.doubt)
            self._stream.on_rotated.remove(self._audit_now.set)
            self._stream = None
        await end(self._task, self._audit)
        self._enter(AccountState.OFFLINE, "closed")

    # -- comparing -------------------------------------------------------------------------------

    async def run(self) -> Differences:
        """Compare now: what differed, after the venue's truth was taken over.

        Raises what the venue's answers raise; then nothing has changed.
        """
        async with self._lock:
            generation = self._generation
            clock = self._executor.clock
            if not clock.is_synced:
                await self._executor.sync_clock(3)
            reads = [read for kind in self.settings.kinds
                     if (read := await self._read(kind)) is not None]
            found = self.mirror.settle(reads, self._login_ms)
            self.comparisons += 1
            self.differences += len(found)
            self.last = found
            for read in reads:
                if read.kind is Kind.ORDER:
                    for order in (*read.records, *read.ended):
                        self._tracker.report(order)
        if found:
            log.warning("the account differed from what was known: %s: %s%s", found,
                        "; ".join(map(str, found.items[:SHOWN])),
                        "; ..." if len(found) > SHOWN else "")
            for told in list(self.on_difference):
                self._tell(told, found)
        if self._is_live and generation == self._generation:
            self._enter(AccountState.READY, str(found))
            if self._audit is None:
                self._audit = asyncio.get_running_loop().create_task(
                    self._keep_auditing(), name="mexcfast audit")
        return found

    async def _read(self, kind: Kind) -> Read | None:
        """Everything open of one kind; None when the venue does not show it."""
        if kind in self._closed:
            return None
        asked_ms = self._executor.clock.venue_ms()
        ended: tuple[Any, ...] = ()
        try:
            records = await self._records(kind, asked_ms)
        except PermissionDenied as error:
            if kind in (Kind.ORDER, Kind.POSITION):
                raise
            self._give_up(kind, error)
            return None
        except VenueError as error:
            if kind in ESSENTIAL or isinstance(error, PASSING):
                raise
            self._give_up(kind, error)
            return None
        if self.unreadable.pop(kind, None) is not None:
            log.info("%s orders are mirrored again", kind.value)
        if kind is Kind.ORDER:
            ended = await self._asked_one_by_one({order.order_id for order in records})
        return Read(kind, records, asked_ms, self._executor.clock.venue_ms(), ended)

    def _give_up(self, kind: Kind, error: VenueError) -> None:
        if isinstance(error, PermissionDenied) or error.code == GONE:
            self._closed.add(kind)      # otherwise the next comparison asks again
        if kind not in self.unreadable:
            log.warning("%s orders or balances are not mirrored: %s", kind.value, error)
        self.unreadable[kind] = str(error)

    async def _records(self, kind: Kind, now_ms: int) -> tuple[Any, ...]:
        if kind is Kind.POSITION:
            return tuple(await self._executor.request("positions"))
        if kind is Kind.BALANCE:
            return tuple(await self._executor.request("balances"))
        walk: AsyncIterator[Any]
        if kind is Kind.ORDER:
            walk = self._queries.iterate_open()
        elif kind is Kind.PLAN:
            # The venue shows 7 days unless told otherwise, and 90 at most (16.4).
            walk = self._conditional.plan.iterate(
                states=[ConditionalState.UNTRIGGERED], start_ms=now_ms - 89 * DAY_MS,
                end_ms=now_ms + DAY_MS, page_size=100)
        elif kind is Kind.STOP:
            return await self._conditional.stop.open()
        else:
            walk = self._conditional.trailing.iterate(
                [TrailingState.NOT_ACTIVATED, TrailingState.ACTIVATED], page_size=100)
        found: dict[Any, None] = {}
        async for record in walk:       # pages may overlap when orders come and go meanwhile
            found[record] = None
        return tuple(found)

    async def _asked_one_by_one(self, seen: set[int]) -> tuple[Order, ...]:
        """What became of orders that are open here and not in the venue's list."""
        own = (order.order_id for order in self._tracker.open_orders())
        gone = [number for number in dict.fromkeys((*self.mirror.orders, *own))
                if number is not None and number not in seen]
        found: list[Order] = []
        for start in range(0, len(gone), BATCH):
            found += await self._queries.get_many(gone[start:start + BATCH])
        return tuple(found)

    async def _keep_auditing(self) -> None:
        while True:
            heard_ms = self.mirror.ts_heard_ms
            with suppress(TimeoutError):
                await asyncio.wait_for(self._audit_now.wait(), self.settings.audit_every)
            self._audit_now.clear()
            if self.state is not AccountState.READY:
                continue
            try:
                found = await self.run()
            except MexcfastError as error:
                log.warning("the account could not be compared with the venue: %s", error)
                if self.state is AccountState.READY:
                    self._enter(AccountState.DEGRADED, f"not compared: {error}")
                    self._begin()
                continue
            if found and heard_ms == self.mirror.ts_heard_ms and self._stream is not None:
                self._stream.reconnect("the account changed and nothing was pushed")

    # -- pushes that are due ---------------------------------------------------------------------

    def expect(self, order: TrackedOrder) -> None:
        """REST said that something happened to an own order: its push must come in time."""
        if order in self._expected or not self._is_live:
            return
        loop = asyncio.get_running_loop()
        due_s = loop.time() + self.settings.push_deadline
        # other pushes of the same deed may have come before the answer
        since_ms = self._executor.clock.venue_ms() - ANSWER_MS
        self._expected.add(order)
        self._due.append((order, order.report, since_ms, due_s))
        if self._timer is None:
            self._timer = loop.call_at(due_s, self._look)

    def _look(self) -> None:
        """Of those that are due now, what has become of them?"""
        loop = asyncio.get_running_loop()
        self._timer = None
        while self._due and self._due[0][3] <= loop.time():
            order, before, since_ms, _ = self._due.popleft()
            self._expected.discard(order)
            if order.report is before and not order.is_final:
                self._missed(order, since_ms)
        if self._due and self._timer is None:
            self._timer = loop.call_at(max(self._due[0][3], loop.time() + LOOK_EVERY), self._look)

    def _missed(self, order: TrackedOrder, since_ms: int) -> None:
        """Its push has not come in time."""
        if self.state is not AccountState.READY or self._stream is None:
            return
        why = f"no push of {order.client_order_id or order.order_id} within " \
              f"{self.settings.push_deadline:g} s"
        if self.mirror.ts_heard_ms < since_ms:
            self._stream.reconnect(why)      # deaf: nothing at all came
            return
        self.doubt(why)

    def doubt(self, why: str) -> None:
        """Something may have been missed: not READY until the account was compared."""
        if self.state is AccountState.READY:
            log.warning("%s: the account is compared with the venue", why)
            self._enter(AccountState.DEGRADED, why)
            self._begin()

    # -- telling ---------------------------------------------------------------------------------

    def _enter(self, state: AccountState, why: str) -> None:
        old = self.mirror.state
        if old is state:
            return
        self.mirror.state = state
        if state is AccountState.READY:
            self.ready.set()
        else:
            self.ready.clear()
        log.info("account: %s -> %s: %s", old.value, state.value, why)
        for told in list(self.on_state):
            self._tell(told, old, state, why)

    @staticmethod
    def _tell(hook: Callable[..., None], *args: Any) -> None:
        try:
            hook(*args)
        except Exception:
            log.exception("a callback of the account raised")

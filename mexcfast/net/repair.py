"""Mends books over REST: depth_commits for a gap, else a snapshot; fetch keeps the budgets.

One job a book:

    state     mend()    its turn         answer fits     does not, failed    reset, LIVE by itself
    IDLE      QUEUED    -                -               -                   IDLE
    QUEUED    -         ASKING           -               -                   QUEUED, or IDLE in turn
    ASKING    -         -                IDLE            PAUSED              the answer is dropped
    PAUSED    -         QUEUED           -               -                   QUEUED, or IDLE in turn

Books wait in the order of their ranks: what was LIVE before what starts, and each in the user's
order; questions whether a silent book has moved come last. At most `at_once` requests of a kind
are under way, so a hundred broken books do not stand in the way of the user's own requests. The
venue counts a request some time between its first byte and its answer, so one holds its slot of
the budget until a window after its answer: slow requests and quick ones never add up to too many.
Source: protocol.md 10.2.
"""

from __future__ import annotations

import asyncio
import heapq
import logging
import time
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from mexcfast.core.depth import Change, OrderBook, State
from mexcfast.core.reader import Reader
from mexcfast.errors import FrameError, MexcfastError

log = logging.getLogger("mexcfast.net")

# Fetches the raw body of an endpoint by its name in core/rest for one contract, within its budget.
Fetch = Callable[[str, str], Awaitable[bytes]]

# requests and seconds of the venue's windows (protocol.md 4)
BUDGETS: Mapping[str, tuple[int, float]] = {"depth": (10, 2.0), "depth_commits": (20, 2.0)}
LAGGING_SNAPSHOT_PAUSE = 0.2     # seconds; protocol.md 10.2 step 5 says 100 to 300 ms
FAILURE_PAUSE = 0.5              # seconds after a request that failed, doubled up to 8 s
BROKEN = (State.INIT, State.SYNCING, State.REPAIRING)
AUDIT_RANK = 1 << 60


class Owner(Protocol):
    """Who keeps the books: net/pool."""

    def reader_of(self, book: OrderBook) -> Reader | None: ...
    def rank_of(self, book: OrderBook) -> int: ...
    def on_repair(self, book: OrderBook, by: str) -> None: ...


class Answer(Enum):
    """Whether a book that was silent has moved."""

    SAME = "same"            # REST knows no newer version
    MOVED = "moved"          # it does; the book has it now
    UNKNOWN = "unknown"      # no answer, or the book is being mended anyway


class _Stage(Enum):
    IDLE = "idle"
    QUEUED = "queued"
    ASKING = "asking"
    PAUSED = "paused"


@dataclass(slots=True, eq=False)
class _Job:
    book: OrderBook
    stage: _Stage = _Stage.IDLE
    epoch: int = 0                       # counts resets: older answers are not for this book
    failures: int = 0
    ticket: int = 0                      # the heap entry that is meant
    timer: asyncio.TimerHandle | None = None
    task: asyncio.Task[None] | None = None
    tell: Callable[[Answer], None] | None = None     # somebody asks whether it has moved


class Repairer:
    """Mends the books of all connections.

    at_once: requests of a kind under way. budgets: endpoint -> requests and seconds.
    """

    def __init__(self, fetch: Fetch, owner: Owner, at_once: int = 4,
                 budgets: Mapping[str, tuple[int, float]] = BUDGETS) -> None:
        self._fetch = fetch
        self._owner = owner
        self._at_once = at_once
        self._jobs: dict[OrderBook, _Job] = {}
        self._queues: dict[str, list[tuple[int, int, _Job]]] = {"depth": [], "depth_commits": []}
        self._under_way = {"depth": 0, "depth_commits": 0}
        self.budgets = budgets
        self._answered: dict[str, deque[float]] = {name: deque() for name in self._queues}
        self._wakers: dict[str, asyncio.TimerHandle] = {}
        self._tickets = 0
        self._closed = False
        self.requests = {"depth": 0, "depth_commits": 0}
        self.answer_s = 0.1              # what one request takes lately, slots included

    @property
    def waiting(self) -> int:
        """Books that wait for an answer or for their turn."""
        return sum(job.stage is not _Stage.IDLE for job in self._jobs.values())

    def mend(self, book: OrderBook) -> None:
        """See to it that the book becomes LIVE; nothing happens when that is under way."""
        job = self._job(book)
        if job.stage is _Stage.IDLE or (job.stage is _Stage.QUEUED and job.tell is not None):
            self._enqueue(job)                # a mere question moves up when the book breaks

    def renew(self, book: OrderBook) -> None:
        """The book was reset: answers under way are not for it any more."""
        job = self._job(book)
        job.epoch += 1
        job.failures = 0
        if job.timer is not None:
            job.timer.cancel()
            self._enqueue(job)
        else:
            self.mend(book)

    def probe(self, book: OrderBook, tell: Callable[[Answer], None]) -> None:
        """Ask REST whether a LIVE book has moved; `tell` is called once, unless forgotten."""
        job = self._job(book)
        if job.tell is not None or job.stage is not _Stage.IDLE:
            tell(Answer.UNKNOWN)
            return
        job.tell = tell
        self._enqueue(job)

    def forget(self, book: OrderBook) -> None:
        """Stop mending one book."""
        job = self._jobs.pop(book, None)
        if job is None:
            return
        job.ticket = -1
        job.tell = None
        if job.timer is not None:
            job.timer.cancel()
        if job.task is not None:
            job.task.cancel()

    async def close(self) -> None:
        """Stop all mending."""
        self._closed = True
        tasks = [job.task for job in self._jobs.values() if job.task is not None]
        for book in list(self._jobs):
            self.forget(book)
        await asyncio.gather(*tasks, return_exceptions=True)
        for waker in self._wakers.values():
            waker.cancel()
        self._wakers.clear()
        for queue in self._queues.values():
            queue.clear()

    # -- the queue --------------------------------------------------------------------------------

    def _job(self, book: OrderBook) -> _Job:
        return self._jobs.setdefault(book, _Job(book))

    def _enqueue(self, job: _Job) -> None:
        if self._closed or self._jobs.get(job.book) is not job:
            return                            # forgotten by a hook
        job.stage = _Stage.QUEUED
        job.timer = None
        job.book.expect_snapshot()
        self._tickets += 1
        job.ticket = self._tickets
        rank = self._owner.rank_of(job.book)
        if job.book.state not in BROKEN:
            rank += AUDIT_RANK
        name = self._name(job.book)
        heapq.heappush(self._queues[name], (rank, job.ticket, job))
        self._pump(name)

    @staticmethod
    def _name(book: OrderBook) -> str:
        return "depth_commits" if book.state is State.REPAIRING else "depth"

    def _pump(self, name: str) -> None:
        """Let those whose turn it is ask."""
        queue = self._queues[name]
        while (queue and self._under_way[name] < self._at_once and not self._closed
               and self._has_slot(name)):
            _, ticket, job = heapq.heappop(queue)
            if job.ticket != ticket or job.stage is not _Stage.QUEUED:
                continue
            if self._owner.reader_of(job.book) is None:
                self._rest(job)               # its socket is gone; the next one mends it
            elif job.book.state not in BROKEN and (job.tell is None
                                                   or job.book.state is not State.LIVE):
                self._rest(job)               # a late frame closed the gap first
            elif self._name(job.book) != name:
                self._enqueue(job)
            else:
                job.stage = _Stage.ASKING
                self._under_way[name] += 1
                job.task = asyncio.get_running_loop().create_task(
                    self._ask(job, name), name=f"mexcfast mend {job.book.symbol}")

    def slots(self, name: str) -> int:
        """Slots of the budget that are free now, or held by a request under way."""
        count, window_s = self.budgets[name]
        answered = self._answered[name]
        while answered and answered[0] <= time.monotonic() - window_s:
            answered.popleft()
        return count - len(answered)

    def _has_slot(self, name: str) -> bool:
        """Whether a request may leave; if not, the queue is looked at again when one may."""
        if self.slots(name) > self._under_way[name]:
            return True
        answered = self._answered[name]
        if answered and name not in self._wakers:
            wait_s = answered[0] + self.budgets[name][1] - time.monotonic()
            self._wakers[name] = asyncio.get_running_loop().call_later(
                max(0.001, wait_s), self._wake, name)
        return False

    def _wake(self, name: str) -> None:
        del self._wakers[name]
        self._pump(name)

    def _rest(self, job: _Job, answer: Answer = Answer.UNKNOWN) -> None:
        """Nothing is left to do."""
        job.stage = _Stage.IDLE
        tell, job.tell = job.tell, None
        if tell is not None:
            tell(answer)

    def _pause(self, job: _Job, seconds: float) -> None:
        job.stage = _Stage.PAUSED
        job.timer = asyncio.get_running_loop().call_later(seconds, self._enqueue, job)

    # -- one request ------------------------------------------------------------------------------

    async def _ask(self, job: _Job, name: str) -> None:
        book, epoch = job.book, job.epoch
        self.requests[name] += 1
        started = time.monotonic()
        try:
            if book.state in BROKEN:
                self._owner.on_repair(book, name)
            body = await self._fetch(name, book.symbol)
            self.answer_s += 0.2 * (time.monotonic() - started - self.answer_s)
            reader = self._owner.reader_of(book)
            if reader is None:
                self._rest(job)
            elif job.epoch != epoch:
                self._enqueue(job)            # the book was reset meanwhile
            else:
                self._take(job, reader, name, body)
        except MexcfastError as fault:
            job.failures += 1
            log.warning("%s: %s failed: %s", book.symbol, name, fault)
            if book.state in BROKEN:
                self._pause(job, min(8.0, FAILURE_PAUSE * 2 ** min(job.failures - 1, 5)))
            else:
                self._rest(job)
        finally:
            job.task = None
            self._under_way[name] -= 1
            self._answered[name].append(time.monotonic())
            self._pump(name)

    def _take(self, job: _Job, reader: Reader, name: str, body: bytes) -> None:
        book, was_broken = job.book, job.book.state in BROKEN
        change = self._load(reader, book, name, body)
        job.failures = 0
        if book.state not in BROKEN:
            moved = not was_broken and change is Change.APPLIED
            self._rest(job, Answer.UNKNOWN if was_broken else
                       Answer.MOVED if moved else Answer.SAME)
        elif change is Change.NEED_SNAPSHOT and name == "depth":
            self._pause(job, LAGGING_SNAPSHOT_PAUSE)
        else:
            self._enqueue(job)

    @staticmethod
    def _load(reader: Reader, book: OrderBook, name: str, body: bytes) -> Change:
        old = book.state
        now_ns = time.time_ns()
        try:
            if name == "depth":
                change = book.load_snapshot(body, now_ns)
            elif old is State.REPAIRING:
                change = book.load_commits(body, now_ns)
            else:
                change = Change.STALE             # a late frame closed the gap first
        except FrameError as fault:
            raise FrameError(f"{book.symbol}: {name} answer refused: {fault}") from fault
        reader.settle(book, old, change)
        return change

"""Compares LIVE books with the venue's now and then, with requests nobody else needs.

The book verified longest ago comes first. REST is the judge; push.depth.full only calls it. How a
comparison at one version is made in a running stream: core/shadow.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from mexcfast.core import topics
from mexcfast.core.depth import OrderBook, State
from mexcfast.core.shadow import Finding, Shadow, TopCheck, Verdict
from mexcfast.errors import MexcfastError
from mexcfast.net.pool import Pool
from mexcfast.net.tasks import end

log = logging.getLogger("mexcfast.net")

LAGGING_PAUSE_S = 0.2       # between two answers when the first was too old (protocol.md 10.2)
SLICES = 20                 # of patience: a stalled loop costs one, not all


@dataclass(frozen=True, slots=True)
class AuditSettings:
    """How often and how patiently. Times in seconds.

    every: between two comparisons. patience: for one. spare: requests of the depth group that must
    be free, so that repairs never wait for an audit. tries: answers asked for when one is too old.
    full_every: each so many-th comparison is with push.depth.full first, 0 for none.
    """

    every: float = 2.0
    patience: float = 5.0
    spare: int = 5
    tries: int = 3
    full_every: int = 4

    def __post_init__(self) -> None:
        for name, least in (("every", 0.001), ("patience", 0.01), ("spare", 1), ("tries", 1),
                            ("full_every", 0)):
            value = getattr(self, name)
            if not isinstance(value, int | float) or isinstance(value, bool) or not value >= least:
                raise ValueError(f"{name} is {value!r}; allowed: {least} and above")


@dataclass(slots=True)
class AuditCounts:
    """What audits came to. mismatches: DIFFERENT and BEHIND together; each flagged its book."""

    compared: int = 0
    equal: int = 0
    mismatches: int = 0
    behind: int = 0
    unsure: int = 0
    failed: int = 0                  # REST did not answer
    postponed: int = 0               # no spare request, or books were being mended
    full_equal: int = 0
    full_different: int = 0          # REST was asked at once
    full_unsure: int = 0


class Audit:
    """Audits of one pool's books.

    fetch: a raw depth body of a contract. free: requests left in the group of depth.
    on_finding: told of every result. findings: the newest one of each contract.
    """

    def __init__(self, pool: Pool, fetch: Callable[[str, str], Awaitable[bytes]],
                 free: Callable[[], int], settings: AuditSettings | None = None) -> None:
        self.settings = settings or AuditSettings()
        self.counts = AuditCounts()
        self.findings: dict[str, Finding] = {}
        self.on_finding: Callable[[Finding], None] | None = None
        self._pool = pool
        self._fetch = fetch
        self._free = free
        self._tried_ns: dict[str, int] = {}
        self._task: asyncio.Task[None] | None = None

    @property
    def is_running(self) -> bool:
        """start() was called and close() was not."""
        return self._task is not None and not self._task.done()

    def bound_s(self, books: int | None = None) -> float:
        """Seconds after which a wrong book is found, as long as requests are to spare.

        books: how many take turns; None: those there are.
        """
        count = len(self._pool.books) if books is None else books
        return max(1, count) * (self.settings.every + self.settings.patience)

    def start(self, settings: AuditSettings | None = None) -> None:
        """Audit in the background from now on; nothing happens when that is under way."""
        if settings is not None:
            self.settings = settings
        if not self.is_running:
            self._task = asyncio.get_running_loop().create_task(self._run(), name="mexcfast audit")

    async def close(self) -> None:
        """Stop."""
        task, self._task = self._task, None
        await end(task)

    async def _run(self) -> None:
        turn = 0
        while True:
            await asyncio.sleep(self.settings.every)
            book = self._oldest()
            if book is None:
                continue
            if self._free() < self.settings.spare or self._is_mending():
                self.counts.postponed += 1
                continue
            turn += 1
            if self.settings.full_every and turn % self.settings.full_every == 0:
                if await self.check_top(book) is not Verdict.DIFFERENT:
                    continue
                log.warning("%s: differs from push.depth.full, asking REST", book.symbol)
            await self.check(book)

    def _oldest(self) -> OrderBook | None:
        live = [book for book in self._pool.books.values() if book.is_live]
        return min(live, key=lambda book: max(book.ts_verified_ns,
                                              self._tried_ns.get(book.symbol, 0)), default=None)

    def _is_mending(self) -> bool:
        return any(book.state in (State.SYNCING, State.REPAIRING)
                   for book in self._pool.books.values())

    # -- one book --------------------------------------------------------------------------------

    async def check(self, book: OrderBook) -> Finding:
        """Compare one LIVE book with REST now, and flag it when it is wrong."""
        settings, counts = self.settings, self.counts
        topic = self._pool.depth_topic(book.symbol)
        if topic is None or self._pool.books.get(book.symbol) is not book:
            return self._found(book, Finding(book.symbol, Verdict.UNSURE, -1, "nobody keeps it"))
        self._tried_ns[book.symbol] = time.time_ns()
        shadow = Shadow(book)
        self._pool.subscribe(shadow, topic)
        try:
            for _ in range(settings.tries):
                if shadow.load(await self._fetch("depth", book.symbol), time.time_ns()):
                    break
                await asyncio.sleep(LAGGING_PAUSE_S)
            for _ in range(SLICES):
                if not shadow.is_waiting:
                    break
                await asyncio.sleep(settings.patience / SLICES)
        except MexcfastError as fault:
            counts.failed += 1
            log.info("%s: audit: %s", book.symbol, fault)
        finally:
            self._pool.unsubscribe(shadow, topic)
        return self._found(book, shadow.give_up())

    def _found(self, book: OrderBook, finding: Finding) -> Finding:
        counts = self.counts
        counts.compared += 1
        if finding.verdict is Verdict.EQUAL:
            counts.equal += 1
            book.verified(time.time_ns())
        elif finding.verdict is Verdict.UNSURE:
            counts.unsure += 1
        else:
            counts.mismatches += 1
            counts.behind += finding.verdict is Verdict.BEHIND
            self._pool.distrust(book, f"the audit found: {finding.what}")
        self.findings[book.symbol] = finding
        if self.on_finding is not None:
            self.on_finding(finding)
        return finding

    async def check_top(self, book: OrderBook) -> Verdict:
        """Compare the top of one LIVE book with push.depth.full; changes nothing by itself.

        Needs room for one more topic on a socket that is there: UNSURE without.
        """
        counts, topic = self.counts, self._pool.depth_topic(book.symbol)
        most = self._pool.settings.topics_per_socket
        if topic is None or not any(each.is_open and len(each.topics) < most
                                    for each in self._pool.connections):
            counts.full_unsure += 1
            return Verdict.UNSURE
        self._tried_ns[book.symbol] = time.time_ns()
        check = TopCheck(book)
        wanted = [topic, topics.depth_full(book.symbol, 20)]
        for each in wanted:
            self._pool.subscribe(check, each)
        try:
            for _ in range(SLICES):
                if check.finding is not None:
                    break
                await asyncio.sleep(self.settings.patience / SLICES)
        finally:
            for each in wanted:
                self._pool.unsubscribe(check, each)
        verdict = Verdict.UNSURE if check.finding is None else check.finding.verdict
        counts.full_equal += verdict is Verdict.EQUAL
        counts.full_different += verdict is Verdict.DIFFERENT
        counts.full_unsure += verdict is Verdict.UNSURE
        return verdict

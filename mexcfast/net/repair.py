"""Mends books over REST: depth_commits for a gap, else a snapshot; fetch keeps the budgets.

One task a book; it runs until the book is LIVE or its socket is gone. Source: protocol.md 10.2.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable

from mexcfast.core.depth import Change, OrderBook, State
from mexcfast.errors import FrameError, MexcfastError
from mexcfast.net.connection import Connection

log = logging.getLogger("mexcfast.net")

# Fetches the raw body of an endpoint by its name in core/rest for one contract, within its budget.
Fetch = Callable[[str, str], Awaitable[bytes]]

LAGGING_SNAPSHOT_PAUSE = 0.2     # seconds; protocol.md 10.2 step 5 says 100 to 300 ms
FAILURE_PAUSE = 0.5              # seconds after a request that failed, doubled up to 8 s


class Repairer:
    """Mends the books of all connections."""

    def __init__(self, fetch: Fetch,
                 on_repair: Callable[[Connection, OrderBook, str], None]) -> None:
        self._fetch = fetch
        self._on_repair = on_repair
        self._tasks: dict[OrderBook, asyncio.Task[None]] = {}
        self.requests = {"depth": 0, "depth_commits": 0}

    def mend(self, connection: Connection, book: OrderBook) -> None:
        """See to it that the book becomes LIVE; nothing happens when that is under way."""
        task = self._tasks.get(book)
        if task is None or task.done():
            self._tasks[book] = asyncio.get_running_loop().create_task(
                self._run(connection, book), name=f"mexcfast mend {book.symbol}")

    async def close(self) -> None:
        """Stop all mending."""
        tasks = [task for task in self._tasks.values() if not task.done()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._tasks.clear()

    def forget(self, book: OrderBook) -> None:
        """Stop mending one book."""
        task = self._tasks.pop(book, None)
        if task is not None:
            task.cancel()

    async def _run(self, connection: Connection, book: OrderBook) -> None:
        failures = 0
        while connection.is_open and book.state in (State.INIT, State.SYNCING, State.REPAIRING):
            name = "depth_commits" if book.state is State.REPAIRING else "depth"
            book.expect_snapshot()
            socket = connection.opened
            self.requests[name] += 1
            self._on_repair(connection, book, name)
            try:
                body = await self._fetch(name, book.symbol)
                if connection.opened != socket or not connection.is_open:
                    continue                      # the book was reset meanwhile
                change = self._load(connection, book, name, body)
                failures = 0
            except MexcfastError as fault:
                failures += 1
                log.warning("%s: %s failed: %s", book.symbol, name, fault)
                await asyncio.sleep(min(8.0, FAILURE_PAUSE * 2 ** (failures - 1)))
                continue
            if change is Change.NEED_SNAPSHOT and name == "depth":
                await asyncio.sleep(LAGGING_SNAPSHOT_PAUSE)

    def _load(self, connection: Connection, book: OrderBook, name: str, body: bytes) -> Change:
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
        connection.reader.settle(book, old, change)
        return change

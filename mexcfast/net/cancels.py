"""Cancels asked for at the same time leave together: one request of up to 50 ids, one slot."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from mexcfast.core.intent import CANCEL_MAX, cancel_body, external_body
from mexcfast.core.rest import Subject, judge_items
from mexcfast.core.throttle import Lane
from mexcfast.errors import BudgetSpent, ConnectFailed
from mexcfast.net.executor import Executor
from mexcfast.types import Outcome, Rejected

BY_ID, BY_NAME = "cancel", "cancel_external_batch"


class Canceller:
    """Gathers cancels until their slot is there; whoever asks for the same order shares its fate.
    """

    def __init__(self, executor: Executor) -> None:
        self._executor = executor
        self._wanted: dict[str, dict[Subject, asyncio.Future[Outcome]]] = {BY_ID: {}, BY_NAME: {}}
        self._gathering = {BY_ID: False, BY_NAME: False}
        self._tasks: set[asyncio.Task[None]] = set()

    async def cancel(self, subjects: Sequence[Subject], wait: bool) -> tuple[Outcome, ...]:
        """One outcome per order, in the order given. wait: for a slot, else Rejected(BudgetSpent).

        A call that is cancelled itself takes nothing back.
        """
        futures: list[asyncio.Future[Outcome]] = []
        for subject in subjects:
            route = BY_ID if subject.order_id is not None else BY_NAME
            self._check(subject)
            wanted = self._wanted[route]
            future = wanted.get(subject)
            if future is None:
                future = asyncio.get_running_loop().create_future()
                wait_ns = 0 if wait or wanted else self._executor.next_free_ns(route)
                if wait_ns > 0:
                    future.set_result(Rejected(BudgetSpent(route, wait_ns), subject.symbol,
                                               subject.client_order_id, subject.order_id))
                else:
                    wanted[subject] = future
                    self._gather(route)
            futures.append(future)
        return tuple([await asyncio.shield(future) for future in futures])

    async def close(self) -> None:
        """Wait for what has left; the queue is dropped first, so nothing waits for a slot."""
        while self._tasks:
            await asyncio.wait(self._tasks)

    @staticmethod
    def _check(subject: Subject) -> None:
        """IntentError for an id that cannot be sent; it must not spoil the others' request."""
        if subject.order_id is not None:
            cancel_body([subject.order_id])
        else:
            external_body([(subject.symbol or "", subject.client_order_id or "")])

    def _gather(self, route: str) -> None:
        if not self._gathering[route]:
            self._gathering[route] = True
            task = asyncio.get_running_loop().create_task(self._send(route))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _send(self, route: str) -> None:
        batch: dict[Subject, asyncio.Future[Outcome]] = {}

        def body() -> bytes:
            """The slot is there: whoever has asked by now comes along."""
            wanted = self._wanted[route]
            for subject in list(wanted)[:CANCEL_MAX]:
                batch[subject] = wanted.pop(subject)
            self._gathering[route] = False
            if wanted:
                self._gather(route)
            if route == BY_ID:
                return cancel_body(subject.order_id or 0 for subject in batch)
            return external_body((subject.symbol or "", subject.client_order_id or "")
                                 for subject in batch)

        try:
            outcome = await self._executor.execute(route, body, wait=True, lane=Lane.CANCEL)
        except Exception as error:
            self._gathering[route] = False
            for future in self._left(route, batch).values():
                future.set_exception(error)
                future.exception()      # whoever waits still gets it; nobody waiting is no fault
            return
        if not batch:       # never got its slot
            self._gathering[route] = False
            batch = self._left(route, batch)
            assert isinstance(outcome, Rejected) and isinstance(outcome.error, ConnectFailed)
        for future, fate in zip(batch.values(), judge_items(outcome, tuple(batch)), strict=True):
            future.set_result(fate)

    def _left(self, route: str, batch: dict[Subject, asyncio.Future[Outcome]]
              ) -> dict[Subject, asyncio.Future[Outcome]]:
        """The batch, or everybody when it never came to one."""
        if batch:
            return batch
        everybody, self._wanted[route] = self._wanted[route], {}
        return everybody

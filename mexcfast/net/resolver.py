"""Settles requests whose outcome is Unknown: asks, listens, reads history, and frees on proof only.

What counts as proof: core/proof. Looks come with growing pauses and inside the reads' own budgets,
so they never cost an order its slot. Many orders in doubt are asked for together, 50 at a time.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass

from mexcfast.core import proof
from mexcfast.core.intent import CANCEL_MAX, external_body
from mexcfast.core.journal import Entry
from mexcfast.core.proof import Absence
from mexcfast.core.throttle import backoff_ms
from mexcfast.core.tracker import Tracker
from mexcfast.errors import MexcfastError, NetworkError, NotFound, RateLimited, VenueFault
from mexcfast.net.executor import Executor
from mexcfast.net.tasks import end
from mexcfast.types import Accepted, Order, Outcome, Rejected, Unknown

log = logging.getLogger("mexcfast.net")

PAGE = 100
#: History is read from this long before a request was signed.
HISTORY_SLACK_MS = 10_000
MOST_PAGES = 1000


@dataclass(slots=True, eq=False)
class Case:
    """One request in doubt."""

    name: str               # client order id, "amend <id>", "cancel <id>", "look <id>" ...
    what: str               # create, amend, cancel, cancel_all; look: only its state is wanted
    unknown: Unknown
    absence: Absence
    entry: Entry | None = None      # amend: what it wanted
    tries: int = 0
    next_ms: int = 0        # venue time of the next look


Judge = Callable[[Case, Callable[[], bool]], Awaitable[Accepted | Rejected | None]]


class Resolver:
    """The requests in doubt, and the task that settles them.

    settle: called with a case and its proven outcome; the case is on the list no more by then.
    pause_ms: before the second look; later ones wait longer, up to cap_ms.
    """

    def __init__(self, executor: Executor, tracker: Tracker,
                 settle: Callable[[Case, Accepted | Rejected], None], *, pause_ms: int = 250,
                 cap_ms: int = 5000) -> None:
        self.cases: dict[str, Case] = {}
        self._executor = executor
        self._tracker = tracker
        self._settle = settle
        #: other rooms' judgement: kind of a case -> (the case, whether absence is proven once the
        #: answers are there) -> its outcome
        self.judges: dict[str, Judge] = {}
        #: told of each proven outcome after settle
        self.on_end: list[Callable[[Case, Accepted | Rejected], None]] = []
        self._pause_ms = pause_ms
        self._cap_ms = cap_ms
        # symbol -> begun at, covers orders since, orders
        self._listings: dict[str, tuple[int, int, list[Order]]] = {}
        self._wake = asyncio.Event()
        self._empty = asyncio.Event()
        self._empty.set()
        self._task: asyncio.Task[None] | None = None

    # -- the list --------------------------------------------------------------------------------

    def case(self, name: str, what: str, unknown: Unknown, entry: Entry | None = None, *,
             asks: int = 3, expiry_ms: int | None = None) -> Case:
        """A new case. expiry_ms: after the signed time; None takes the endpoint's window."""
        clock = self._executor.clock
        if expiry_ms is None:
            expiry_ms = self._executor.endpoint.expiry_ms
        sent_ms = clock.venue_ms() if unknown.ts_sent_ms is None else unknown.ts_sent_ms
        return Case(name, what, unknown, Absence(sent_ms + expiry_ms, asks), entry)

    def add(self, case: Case) -> None:
        """Put a case on the list; the task, when it runs, looks at once."""
        self.cases[case.name] = case
        self._empty.clear()
        self._wake.set()

    def remove(self, name: str) -> Case | None:
        """Take a case off the list, settled elsewhere."""
        case = self.cases.pop(name, None)
        if not self.cases:
            self._listings.clear()
            self._empty.set()
        return case

    async def until_empty(self) -> None:
        """Wait until every case is settled."""
        await self._empty.wait()

    @property
    def is_running(self) -> bool:
        return self._task is not None

    def start(self) -> None:
        """Settle in the background from now on."""
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._run(), name="mexcfast orders")

    async def close(self) -> None:
        """Stop the task; what is not settled stays on the list."""
        task, self._task = self._task, None
        await end(task)

    async def _run(self) -> None:
        while True:
            self._wake.clear()
            now_ms = self._executor.clock.venue_ms()
            due = [case for case in self.cases.values() if case.next_ms <= now_ms]
            if due:
                await self._round(due)
                continue
            soonest = min((case.next_ms for case in self.cases.values()), default=None)
            try:
                async with asyncio.timeout(
                        None if soonest is None else max(1, soonest - now_ms) / 1000):
                    await self._wake.wait()
            except TimeoutError:
                pass

    async def _round(self, due: Sequence[Case]) -> None:
        creates = [case for case in due if case.what == "create"]
        cancels = [case for case in due
                   if case.what in ("cancel", "look") and case.unknown.order_id is not None]
        together = {*(creates if len(creates) > 1 else ()), *(cancels if len(cancels) > 1 else ())}
        alone = [case for case in due if case not in together]
        creates, cancels = ([case for case in some if case in together]
                            for some in (creates, cancels))
        try:
            for start in range(0, len(cancels), CANCEL_MAX):
                await self._look_by_id(cancels[start:start + CANCEL_MAX])
            for start in range(0, len(creates), CANCEL_MAX):
                await self._look_together(creates[start:start + CANCEL_MAX])
            for case in alone:
                await self.look(case)
        except Exception:       # our own bug: say so, and do not leave orders unwatched
            log.exception("the resolver stumbled")
            for case in due:
                self._later(case)

    # -- looks -----------------------------------------------------------------------------------

    async def look(self, case: Case) -> Accepted | Rejected | MexcfastError | None:
        """One look at one case: its outcome, why nothing was learnt, or None: not proven yet."""
        began_ms = self._executor.clock.venue_ms()
        try:
            outcome = await self._judge(case, began_ms)
        except MexcfastError as error:
            self._later(case)
            return error
        if outcome is not None:
            self.finish(case, outcome)
            return outcome
        self._later(case)
        return None

    def finish(self, case: Case, outcome: Accepted | Rejected) -> None:
        """A case has its proven outcome: off the list, and everybody is told."""
        if self.cases.get(case.name) is case:
            self.remove(case.name)
        self._settle(case, outcome)
        for told in self.on_end:
            told(case, outcome)

    def _later(self, case: Case) -> None:
        case.tries += 1
        pause_ms = backoff_ms(case.tries, random.random(), base_ms=self._pause_ms,
                              cap_ms=self._cap_ms)
        now_ms = self._executor.clock.venue_ms()
        case.next_ms = now_ms + case.absence.pause_ms(now_ms, pause_ms)

    async def _judge(self, case: Case, began_ms: int) -> Accepted | Rejected | None:
        if case.what == "create":
            return await self._judge_create(case, began_ms)
        if (judge := self.judges.get(case.what)) is not None:
            return await judge(case, lambda: self._is_proof(case, began_ms))
        unknown = case.unknown
        try:
            if case.what == "amend":
                return await self._judge_amend(case, began_ms)
            if case.what in ("cancel", "look"):
                found = await self._find(unknown)
                return self._cancelled(case, found, self._is_proof(case, began_ms))
        except NotFound as error:
            if not self._is_proof(case, began_ms):
                return None
            return Rejected(error, unknown.symbol, unknown.client_order_id, unknown.order_id)
        orders = await self._scan("open_orders", unknown.symbol)
        return proof.all_cancelled(orders, unknown.symbol, unknown.ts_sent_ms or began_ms,
                                   self._is_proof(case, began_ms))

    def _is_proof(self, case: Case, began_ms: int) -> bool:
        """One more look is done; whether what it did not find is proven absent.

        The look itself may have taught us that the venue's clock is behind what we believed when
        it began: then the request may not have expired yet.
        """
        return case.absence.look(min(began_ms, self._executor.clock.venue_ms()))

    async def _find(self, unknown: Unknown) -> Order:
        if unknown.order_id is not None:
            path: dict[str, object] = {"orderId": unknown.order_id}
            order: Order = await self._executor.request("order", path)
        else:
            order = await self._executor.request("order_by_external", {
                "symbol": unknown.symbol, "external_oid": unknown.client_order_id})
        self._tracker.report(order)
        return order

    def heard(self, case: Case) -> Accepted | Rejected | None:
        """What the stream already proves of a create."""
        name, symbol = case.unknown.client_order_id, case.unknown.symbol
        order = self._tracker.find(name) if name is not None else None
        if order is None or name is None or symbol is None:
            return None
        if order.report is not None:
            return proof.created(order.report, symbol, name)
        if order.fills and order.order_id is not None:
            return Accepted(symbol, name, order.order_id)
        return None

    async def _judge_create(self, case: Case, began_ms: int) -> Accepted | Rejected | None:
        symbol, name = case.unknown.symbol, case.unknown.client_order_id
        assert symbol is not None and name is not None
        if (told := self.heard(case)) is not None:
            return told
        try:
            order: Order = await self._executor.request(
                "order_by_external", {"symbol": symbol, "external_oid": name})
        except NotFound as error:
            if not self._is_proof(case, began_ms):
                return None
            found = await self._named([case])
            return found.get(name) or Rejected(error, symbol, name)
        outcome = proof.created(order, symbol, name)
        if outcome is None:
            # Somebody's order, not ours: it proves nothing.
            return (await self._named([case])).get(name)
        return outcome

    async def _look_by_id(self, cases: Sequence[Case]) -> None:
        """One question for up to 50 orders whose cancel is in doubt, or whose state is."""
        began_ms = self._executor.clock.venue_ms()
        ids = {case.unknown.order_id for case in cases}
        try:
            orders: tuple[Order, ...] = await self._executor.request(
                "orders", params={"order_ids": sorted(number for number in ids if number)})
        except MexcfastError:
            orders, ids = (), set()
        found = {order.order_id: order for order in orders}
        for order in orders:
            self._tracker.report(order)
        for case in cases:
            order_id = case.unknown.order_id
            outcome: Accepted | Rejected | None = None
            if order_id in ids and order_id is not None:
                is_proof = self._is_proof(case, began_ms)
                if order_id in found:
                    outcome = self._cancelled(case, found[order_id], is_proof)
                elif is_proof:
                    outcome = Rejected(NotFound(None, "no such order"), case.unknown.symbol, None,
                                       order_id)
            if outcome is not None:
                self.finish(case, outcome)
            else:
                self._later(case)

    @staticmethod
    def _cancelled(case: Case, order: Order, is_proof: bool) -> Accepted | Rejected | None:
        if case.what == "look":
            return Accepted(order.symbol, order.client_order_id, order.order_id, order=order)
        return proof.cancelled(order, is_proof)

    async def _look_together(self, cases: Sequence[Case]) -> None:
        """One question for up to 50 orders."""
        waiting: dict[str, Case] = {}
        for case in cases:
            told = self.heard(case)
            if told is not None:
                self.finish(case, told)
            else:
                waiting[case.name] = case
        if not waiting:
            return
        began_ms = self._executor.clock.venue_ms()
        body = external_body((case.unknown.symbol or "", name) for name, case in waiting.items())
        try:
            orders: tuple[Order, ...] = await self._executor.request(
                "orders_by_external", body=body)
        except (NetworkError, VenueFault, RateLimited):
            for case in waiting.values():
                self._later(case)
            return
        except MexcfastError:
            for case in waiting.values():       # this endpoint is closed to us: one by one
                await self.look(case)
            return
        self._take(waiting, orders)
        proven = [case for case in waiting.values() if self._is_proof(case, began_ms)]
        if proven:
            try:
                found = await self._named(proven)
            except MexcfastError:
                found, proven = {}, []
            for case in proven:
                error = NotFound(None, "no such order, open or past")
                outcome = found.get(case.name) or Rejected(error, case.unknown.symbol, case.name)
                del waiting[case.name]
                self.finish(case, outcome)
        for case in waiting.values():
            self._later(case)

    def _take(self, waiting: dict[str, Case], orders: Iterable[Order]) -> None:
        for order in orders:
            case = waiting.get(order.client_order_id or "")
            if case is None or case.unknown.symbol is None:
                continue
            outcome = proof.created(order, case.unknown.symbol, case.name)
            if outcome is not None:
                del waiting[case.name]
                self.finish(case, outcome)

    async def _named(self, cases: Sequence[Case]) -> dict[str, Accepted | Rejected]:
        """What open orders and history say of orders that the look-up by name did not find."""
        found: dict[str, Accepted | Rejected] = {}
        by_symbol: dict[str, list[Case]] = {}
        for case in cases:
            by_symbol.setdefault(case.unknown.symbol or "", []).append(case)
        for symbol, some in by_symbol.items():
            names = {case.name for case in some}
            for order in await self._since(symbol, some):
                if order.client_order_id in names and order.client_order_id is not None:
                    outcome = proof.created(order, symbol, order.client_order_id)
                    if outcome is not None:
                        found[order.client_order_id] = outcome
        return found

    async def _since(self, symbol: str, cases: Sequence[Case]) -> list[Order]:
        """Orders of a contract, open or past, that are no older than the first of these cases.

        The last listing serves again when it was begun after all these requests had expired:
        nothing can have come since.
        """
        times = [case.unknown.ts_sent_ms for case in cases]
        start_ms = min((0 if sent is None else sent - HISTORY_SLACK_MS) for sent in times)
        expired_ms = max(case.absence.expires_ms for case in cases)
        known = self._listings.get(symbol)
        if known is not None and known[0] > expired_ms and known[1] <= start_ms:
            return known[2]
        began_ms = self._executor.clock.venue_ms()
        orders = [*await self._scan("open_orders", symbol),
                  *await self._scan("history", symbol, start_ms or None)]
        self._listings[symbol] = (began_ms, start_ms, orders)
        return orders

    async def _scan(self, name: str, symbol: str | None, start_ms: int | None = None
                    ) -> list[Order]:
        """Every page of open or past orders."""
        orders: list[Order] = []
        for page in range(1, MOST_PAGES + 1):
            params: dict[str, object] = {"symbol": symbol, "page_num": page, "page_size": PAGE}
            if start_ms is not None:
                params["startTime"] = start_ms
            part: tuple[Order, ...] = await self._executor.request(name, params=params)
            orders += part
            if len(part) < PAGE:
                return orders
        raise MexcfastError(f"{name} of {symbol} has more than {MOST_PAGES} pages")

    async def _judge_amend(self, case: Case, began_ms: int) -> Accepted | Rejected | None:
        entry = case.entry
        assert entry is not None and entry.order_id is not None
        old: Order = await self._executor.request("order", {"orderId": entry.order_id})
        self._tracker.report(old)
        is_proof = self._is_proof(case, began_ms)
        others: list[Order] = []
        if old.is_final and old.filled_quantity < old.quantity and (
                is_proof or case.absence.looks == 1):
            others = await self._since(entry.symbol, [case])
        known = {order.order_id for order in self._tracker
                 if order.order_id is not None and order.replaces != entry.order_id}
        return proof.amended(entry, old, others, is_proof, known)


def in_doubt(outcome: Outcome) -> bool:
    """Unknown, or 2042, duplicate client order id: an earlier request may have been taken.

    Source: protocol.md 17, 20.
    """
    return isinstance(outcome, Unknown) or (
        isinstance(outcome, Rejected) and outcome.code == 2042)

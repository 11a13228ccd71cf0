"""Writes about plan, TP/SL and trailing orders: journal before they leave, settled when Unknown.

Placements and changes have a line in the order journal, so that a restart settles them too; cancels
have none, because what waits is read again at every start. The looks read the venue's lists
(protocol.md 16.4 to 16.6); what they prove: core/conditional_proof.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal
from functools import partial
from typing import TYPE_CHECKING, Any

from mexcfast.core import conditional_proof as proof
from mexcfast.core.account import Kind
from mexcfast.core.conditional_proof import CANCELS, CHANGES, KINDS, PLACES, Seen
from mexcfast.core.intent import OrderIntent, encode_body
from mexcfast.core.journal import Entry
from mexcfast.core.proof import CLOCK_SLACK_MS
from mexcfast.core.rest import Subject
from mexcfast.core.throttle import Lane
from mexcfast.errors import (
    ConnectionLost,
    IntentError,
    MexcfastError,
    NotFound,
    NotReady,
    OrderRejected,
)
from mexcfast.net.executor import Executor
from mexcfast.net.exposure import Promise
from mexcfast.net.resolver import Case, in_doubt
from mexcfast.types import (
    Accepted,
    ConditionalState,
    Outcome,
    Position,
    PositionMode,
    Rejected,
    TrailingState,
    Unknown,
)

if TYPE_CHECKING:
    from mexcfast.net.orders import Orders

PAGE = 100
MOST_PAGES = 1000
DAY_MS = 86_400_000
#: The venue shows 90 days at most (16.4).
HISTORY_MS = 89 * DAY_MS
#: Orders and outcomes that are remembered at most.
KEPT = 10_000
TRAILING_WAITS = (TrailingState.NOT_ACTIVATED, TrailingState.ACTIVATED)


class ConditionalDoubts:
    """The doubts of one account's conditional orders, kept with those of its ordinary ones."""

    def __init__(self, executor: Executor, orders: Orders) -> None:
        self._executor = executor
        self._orders = orders
        self._known: dict[int, None] = {}       # ids that are some request's for certain
        # by id() of the Unknown
        self._ended: dict[int, tuple[Unknown, Accepted | Rejected]] = {}
        self._waiters: list[tuple[Unknown, asyncio.Future[None]]] = []
        for what in KINDS:
            orders.resolver.judges[what] = self._judge
        orders.resolver.on_end.append(self._settled)

    # -- writing ---------------------------------------------------------------------------------

    async def write(self, route: str, members: Mapping[str, object] | list[Any], about: Subject,
                    wait: bool | None, lane: Lane | None = None, promise: Promise | None = None
                    ) -> Outcome:
        """Like Executor.execute; an outcome in doubt is on the list of Orders.unresolved.

        promise: what the placement will open; it counts against the limits from now on.
        Raises NotReady before start() when there is a journal, and IntentError while the fate of
        an equal placement, or of an earlier change of the same order, is not proven: one more
        would make both unprovable.
        """
        body = encode_body(members)
        entry = Entry(f"{route} {self._orders.ids.mint()}", route, about.symbol or "", 0,
                      about.order_id, body=body.decode())
        self._check(entry)
        signed: Entry | None = None

        def leaving(ts_ms: int | None) -> None:
            nonlocal signed
            sent = Entry(entry.name, route, entry.symbol, ts_ms or 0, entry.order_id,
                         body=entry.body)
            if self._orders.journal is not None and route not in CANCELS:
                self._orders.journal.send(sent)
            signed = sent

        exposure = self._orders.exposure
        if promise is not None:
            exposure.promise(entry.name, promise)
        began_ns = self._executor.clock.monotonic_ns()
        try:
            outcome = await self._executor.execute(route, body, about, wait=wait, lane=lane,
                                                   on_send=leaving)
        except BaseException as error:
            if signed is None:
                exposure.ended(entry.name, None)
            elif isinstance(error, asyncio.CancelledError):
                self._orders.report(route, None, self._doubt(
                    signed, ConnectionLost("the call was cancelled")))
            raise
        if signed is not None and in_doubt(outcome):
            assert not isinstance(outcome, Accepted)
            return self._orders.report(route, began_ns, self._doubt(signed, outcome.error))
        exposure.ended(entry.name, outcome)
        if isinstance(outcome, Accepted):
            if route in PLACES and outcome.order_id is not None:
                self._know(outcome.order_id)
            elif route in CANCELS:
                exposure.cancelled(proof.named(entry))
        if not isinstance(outcome, Unknown):
            self._orders.end(entry.name, outcome)
        return self._orders.report(route, began_ns, outcome)

    def _check(self, entry: Entry) -> None:
        if not self._orders.is_ready:
            raise NotReady("orders have a journal: await Orders.start() before trading")
        for case in self._orders.resolver.cases.values():
            other = case.entry
            if other is None or other.what in CANCELS:
                continue
            if (other.what in CHANGES and entry.what in CHANGES
                    and CHANGES[other.what] == CHANGES[entry.what]
                    and other.order_id == entry.order_id):
                raise IntentError("order_id", entry.order_id, "an order without a change in doubt")
            if (other.what in PLACES and other.what == entry.what and other.symbol == entry.symbol
                    and other.body == entry.body):
                raise IntentError("body", entry.body, "terms that differ from a placement in "
                                  "doubt: await Conditional.resolve() first")

    def _doubt(self, entry: Entry, error: MexcfastError) -> Unknown:
        unknown = Unknown(error, entry.symbol or None, None, entry.order_id,
                          ts_sent_ms=entry.ts_sent_ms)
        resolver = self._orders.resolver
        resolver.add(resolver.case(entry.name, entry.what, unknown, entry))
        return unknown

    def restore(self, order_ids: Iterable[int]) -> None:
        """Orders that an earlier run placed: no doubt of now can be about them."""
        for order_id in order_ids:
            self._know(order_id)

    def _know(self, order_id: int) -> None:
        self._known[order_id] = None
        if len(self._known) > KEPT:
            del self._known[next(iter(self._known))]

    def may_open(self, intent: OrderIntent, kind: Kind, trigger_price: Decimal | None = None,
                 rises: bool | None = None) -> Promise | None:
        """Hold an order that waits to the limits; what it will open, to be given to write().

        Raises IntentError.
        """
        orders = self._orders
        if orders.limits is not None:
            orders.exposure.check_conditional(orders.limits, intent, orders.position_mode,
                                              trigger_price, rises)
        if not intent.is_opening:
            return None
        return Promise(kind, intent.symbol, intent.side, intent.quantity)

    def may_exit(self) -> None:
        """Hold what only reduces to the limits. Raises IntentError."""
        if self._orders.limits is not None:
            self._orders.exposure.check_exit(self._orders.limits)

    @property
    def position_mode(self) -> PositionMode:
        """The account's, as far as it is known."""
        return self._orders.position_mode

    def position(self, position_id: int) -> Position:
        """One the mirror holds; IntentError otherwise."""
        position = self._orders.mirror.positions.get(position_id)
        if position is None:
            raise IntentError("position_id", position_id, "a position that was read: await "
                              "Orders.start() first")
        return position

    # -- settling --------------------------------------------------------------------------------

    async def resolve(self, unknown: Unknown) -> Accepted | Rejected:
        """Wait for the proven fate of an Unknown that came from here.

        After start() it is looked for in the background; else this call looks. It waits for ever
        when several orders could be the one: cancel it, and look yourself.
        """
        resolver = self._orders.resolver
        while (ended := self._ended.get(id(unknown))) is None:
            case = self._case(unknown)
            if resolver.is_running:
                future = asyncio.get_running_loop().create_future()
                self._waiters.append((unknown, future))
                await future
            elif await resolver.look(case) is None:
                now_ms = self._executor.clock.venue_ms()
                await asyncio.sleep(max(0, case.next_ms - now_ms) / 1000)
        return ended[1]

    def settle(self, unknown: Unknown, order_id: int | None) -> Accepted | Rejected:
        """The fate of a doubt as somebody has seen it: the order's id, or None: not executed."""
        case = self._case(unknown)
        outcome: Accepted | Rejected
        if order_id is None:
            outcome = Rejected(OrderRejected(None, "not executed, as somebody has seen"),
                               unknown.symbol, None, unknown.order_id)
        else:
            outcome = Accepted(unknown.symbol, None, order_id)
        self._orders.resolver.finish(case, outcome)
        return outcome

    def _case(self, unknown: Unknown) -> Case:
        for case in self._orders.resolver.cases.values():
            if case.unknown is unknown and case.what in KINDS:
                return case
        raise IntentError("unknown", unknown, "a conditional order's outcome still in doubt here")

    def _settled(self, case: Case, outcome: Accepted | Rejected) -> None:
        if case.what not in KINDS:
            return
        self._orders.exposure.ended(case.name, outcome)
        if case.what in PLACES and isinstance(outcome, Accepted) and outcome.order_id is not None:
            self._know(outcome.order_id)
        self._ended[id(case.unknown)] = case.unknown, outcome
        if len(self._ended) > KEPT:
            del self._ended[next(iter(self._ended))]
        for told, future in self._waiters:
            if told is case.unknown and not future.done():
                future.set_result(None)
        self._waiters = [waiter for waiter in self._waiters if not waiter[1].done()]

    async def _judge(self, case: Case, is_proof: Callable[[], bool]
                     ) -> Accepted | Rejected | None:
        """One look. is_proof: to be asked once the answers are there."""
        entry = case.entry
        assert entry is not None
        if case.what in PLACES:
            rows = await self._born(entry)
            return proof.placed(entry, rows, case.absence.expires_ms, is_proof(), self._known)
        if case.what in CHANGES:
            row = await self._find(entry)
            return proof.changed(entry, row, is_proof())
        waiting = await self._waiting(KINDS[case.what], entry.symbol)
        return proof.cancelled(entry, waiting, is_proof())

    async def _born(self, entry: Entry) -> list[Seen]:
        """Every order of this kind and contract since a request was signed."""
        kind, start_ms = PLACES[entry.what], entry.ts_sent_ms - CLOCK_SLACK_MS
        rows = await self._past(kind, entry.symbol, start_ms)
        return rows + await self._waiting(kind, entry.symbol) if kind == "stop" else rows

    async def _find(self, entry: Entry) -> Seen | None:
        kind = CHANGES[entry.what]
        if kind == "attached":
            try:
                return proof.seen(await self._executor.request("order",
                                                               {"orderId": entry.order_id}))
            except NotFound:
                return None
        start_ms = self._executor.clock.venue_ms() - HISTORY_MS
        for read in (partial(self._waiting, kind, entry.symbol),
                     partial(self._past, kind, entry.symbol, start_ms)):
            for row in await read():
                if row.id == entry.order_id:
                    return row
        return None

    async def _waiting(self, kind: str, symbol: str) -> list[Seen]:
        """Orders of a kind that wait now."""
        start_ms = self._executor.clock.venue_ms() - HISTORY_MS
        if kind == "stop":
            records = await self._executor.request("stop_open_orders",
                                                   params={"symbol": symbol or None})
            return [proof.seen(record) for record in records]
        if kind == "plan":
            return await self._pages("plan_orders", symbol, start_ms,
                                     states=int(ConditionalState.UNTRIGGERED))
        return await self._pages("track_orders", symbol, start_ms,
                                 states=",".join([str(int(state)) for state in TRAILING_WAITS]))

    async def _past(self, kind: str, symbol: str, start_ms: int) -> list[Seen]:
        """Orders of a kind born since then, in any state."""
        if kind == "plan":
            return await self._pages("plan_orders", symbol, start_ms)
        if kind == "stop":
            return await self._pages("stop_orders", symbol, start_ms)
        return await self._pages("track_orders", symbol, start_ms,
                                 states=",".join([str(int(state)) for state in TrailingState]))

    async def _pages(self, route: str, symbol: str, start_ms: int, **more: object) -> list[Seen]:
        names = (("pageIndex", "pageSize") if route == "track_orders"
                 else ("page_num", "page_size"))
        end_ms = self._executor.clock.venue_ms() + DAY_MS     # a little ahead: clocks differ
        rows: dict[int, Seen] = {}
        for page in range(1, MOST_PAGES + 1):
            records = await self._executor.request(route, params={
                "symbol": symbol or None, "start_time": start_ms, "end_time": end_ms,
                **more, **dict(zip(names, (page, PAGE), strict=True))})
            before = len(rows)
            rows |= {row.id: row for row in map(proof.seen, records)}
            if len(records) < PAGE or len(rows) == before:
                return list(rows.values())
        raise MexcfastError(f"{route} of {symbol} has more than {MOST_PAGES} pages")

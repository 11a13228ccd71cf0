"""Orders: what a strategy calls, and what is kept until each order's fate is proven.

Every order carries a client order id. It is in the tracker, and with a journal on disk, before its
first byte leaves; when its outcome stays in doubt it is on the `unresolved` list until the venue
has proven its fate. So neither a broken connection nor the cancellation of the calling task nor the
death of the process can lose it. Nothing is ever sent twice.

    submit / send     checks -> queue -> journal -> bytes -> Accepted | Rejected | Unknown
    the stream        own.OwnFeed -> core/tracker: open_orders(), done(), on_change
    the resolver      Unknown -> Accepted | Rejected, on proof only
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Hashable, Iterable, Mapping
from decimal import Decimal
from typing import Any, TypeVar, cast

from mexcfast.core.account import Differences, Mirror
from mexcfast.core.client_ids import ClientOrderIds, check_client_order_id
from mexcfast.core.depth import OrderBook
from mexcfast.core.intent import (
    OrderIntent,
    RiskLimits,
    amend_body,
    cancel_all_body,
    cancel_body,
    encode_body,
    exact_decimal,
)
from mexcfast.core.journal import Entry
from mexcfast.core.rest import Subject, judge_items
from mexcfast.core.throttle import Lane
from mexcfast.core.tracker import TrackedOrder, Tracker
from mexcfast.errors import (
    ClockError,
    ConnectFailed,
    ConnectionLost,
    IntentError,
    MexcfastError,
    NotReady,
)
from mexcfast.net.cancels import Canceller
from mexcfast.net.conditional_doubts import ConditionalDoubts
from mexcfast.net.executor import Executor
from mexcfast.net.exposure import Exposure
from mexcfast.net.journal import Journal
from mexcfast.net.order_memory import OrderMemory, entry_of
from mexcfast.net.own import LiveOrder, OwnFeed
from mexcfast.net.placing import Placing
from mexcfast.net.reconcile import AccountSettings, Reconciler
from mexcfast.net.resolver import Case, Resolver, in_doubt
from mexcfast.net.slots import Queued
from mexcfast.net.surface import serves
from mexcfast.net.tasks import end
from mexcfast.types import (
    Accepted,
    Contract,
    OpenType,
    OrderType,
    Outcome,
    PositionMode,
    Rejected,
    Side,
    Unknown,
)

log = logging.getLogger("mexcfast.net")

Number = int | str | float | Decimal
Done = Callable[[Outcome], None]
Result = TypeVar("Result", bound=Outcome)
BATCH = 50
OPEN, REDUCE = Lane.OPEN, Lane.REDUCE   # an enum's own look-up is slow
CLOCK_EVERY_S = 60.0
CANCEL_TOO_LATE = (2040, 2041)      # no such order; its state does not allow it (16.2)


def _no_book(symbol: str) -> OrderBook | None:
    return None


class Orders(OrderMemory, Placing):
    """Order entry, own orders and order queries over one executor.

    contracts: symbol -> Contract; load_contracts() fills it when it is left empty.
    prefix, session: client order ids are prefix-session-counter. session must differ at every
    start; None takes the wall clock in nanoseconds, which a journal keeps from repeating.
    journal: where intents are written before they leave; start() must be called before trading.
    limits: checked before every order. position_mode: the account's; None reads it at start() and
    takes HEDGE, the stricter count, until then; ONE_WAY changes what an order adds to. account: how
    the mirror of the account is kept. book: symbol -> the book to check against. reference_price:
    symbol -> a price inside the band, sent with market orders that have none, because the venue's
    documents demand one (protocol.md 20, row 14); None sends none. repeat_mistimed: an order that
    was refused with 513 is sent once more, with the same client order id and a time learnt anew:
    513 proves that it was not executed (17), and were that wrong the venue would refuse the id.
    """

    def __init__(self, executor: Executor, contracts: Mapping[str, Contract] | None = None, *,
                 prefix: str = "mf", session: int | None = None, journal: Journal | None = None,
                 limits: RiskLimits | None = None,
                 position_mode: PositionMode | None = None,
                 book: Callable[[str], OrderBook | None] = _no_book,
                 reference_price: Callable[[str], Number | None] | None = None,
                 account: AccountSettings | None = None, repeat_mistimed: bool = False) -> None:
        super().__init__(executor)
        self.repeat_mistimed = repeat_mistimed
        self.contracts = dict(contracts or {})
        self.ids = ClientOrderIds(prefix,
                                  executor.clock.wall_ns() if session is None else session)
        self.journal = journal
        self.limits = limits
        self.position_mode = PositionMode.HEDGE if position_mode is None else position_mode
        self._reads_mode = position_mode is None
        self.tracker = Tracker(self._is_ours, self._changed, factory=LiveOrder)
        account = account or AccountSettings()
        self._only_when_ready = account.only_when_ready
        #: the account as the venue shows it, orders of others included
        self.mirror = Mirror(kept=account.kept, margin_ms=account.margin_ms)
        self.reconciler = Reconciler(executor, self.tracker, self.mirror, account)
        self.feed = OwnFeed(self.tracker, self.mirror, executor.clock.venue_ms,
                            self.reconciler.doubt)
        self.resolver = Resolver(executor, self.tracker, self._settled)
        self.exposure = Exposure(self.tracker, self.mirror, executor.clock, book)
        #: where client.conditional writes, so that its doubts are settled with these
        self.conditional_doubts = ConditionalDoubts(executor, self)
        #: called with an own order after each of its changes, and with each settled doubt: of a
        #: create by client order id, of an amend or a cancel by the venue's id
        self.on_change = []
        self.on_settled: list[Done] = []
        #: told of what was done, when it was asked for (monotonic; None: the call was broken off)
        #: and what came of it, once an order
        self.on_outcome = None
        self.is_ready = journal is None
        self._reference_price = reference_price
        self._canceller = Canceller(executor)
        self._tasks = set()
        self._clock_task: asyncio.Task[None] | None = None
        executor.on_penalty = self._penalised

    # -- the start and the end -------------------------------------------------------------------

    async def start(self, *, settle_within_s: float | None = 60.0) -> None:
        """Make trading ready: clock, contracts, own orders, and every doubt of an earlier run.

        Returns when nothing of an earlier run is in doubt any more. Raises NotReady when that takes
        longer than settle_within_s (None waits for ever; an absent order takes the request window
        to prove, 11 s by default), JournalError, or what the venue's answers raise.
        """
        await self._executor.sync_clock(3)
        if not self.contracts:
            await self.load_contracts()
        if self.journal is not None and not self.journal.is_open:
            self._open_journal(self.journal)
        self.resolver.start()
        if self._clock_task is None:
            self._clock_task = asyncio.get_running_loop().create_task(
                self._keep_clock(), name="mexcfast clock")
        await self._read_mode()
        await self.refresh()
        self._drop_strangers()
        try:
            async with asyncio.timeout(settle_within_s):
                await self.resolver.until_empty()
        except TimeoutError:
            raise NotReady(f"{len(self.unresolved)} requests of an earlier run are in doubt after "
                           f"{settle_within_s} s") from None
        self.is_ready = True

    async def _read_mode(self) -> None:
        """The account's position mode, unless the caller has said it."""
        if not self._reads_mode:
            return
        try:
            mode = PositionMode(await self._executor.request("position_mode"))
        except MexcfastError as error:
            log.warning("the position mode could not be read, HEDGE is taken: %s", error)
            return
        if mode.is_known:
            self.position_mode = mode

    @property
    def keeps_clock(self) -> bool:
        """Whether the venue's time is asked for now and then."""
        return self._clock_task is not None

    async def _keep_clock(self) -> None:
        """What is known of the venue's time grows old: ask again."""
        while True:
            await asyncio.sleep(CLOCK_EVERY_S)
            try:
                await self._executor.sync_clock()
            except MexcfastError as error:
                log.warning("the venue's time: %s", error)

    async def close(self) -> None:
        """Stop the background work, drop the queue, wait for calls under way.

        Open orders stay open. What is in doubt stays in the journal.
        """
        await self.resolver.close()
        if self._clock_task is not None:
            task, self._clock_task = self._clock_task, None
            await end(task)
        await self.reconciler.close()
        self._executor.drop_queue()
        await self._canceller.close()
        while self._tasks:
            await asyncio.wait(self._tasks)
        if self.journal is not None:
            self.journal.close()

    async def load_contracts(self) -> None:
        """Read every contract's limits from the venue."""
        contracts = await self._executor.request("contracts")
        # The same dict as before: others hold it too.
        self.contracts.clear()
        self.contracts.update({contract.symbol: contract for contract in contracts})

    async def refresh(self) -> Differences:
        """Compare the account with REST: whatever the stream missed is learnt here, and told.

        It runs by itself after every loss of the private stream.
        """
        return await self.reconciler.run()

    @property
    def is_current(self) -> bool:
        """Own orders and the mirror are as sure as they can be: core/account.AccountState READY."""
        return self.mirror.is_ready

    # -- what is known here ----------------------------------------------------------------------

    def open_orders(self, symbol: str | None = None) -> tuple[LiveOrder, ...]:
        """Own orders that are not final, as both rivers tell; no request is made."""
        return cast(tuple[LiveOrder, ...], self.tracker.open_orders(symbol))

    def find(self, order: int | str) -> LiveOrder | None:
        """An order by venue id (int) or client order id (str); None when it was never heard of."""
        return cast("LiveOrder | None", self.tracker.find(order))

    @property
    def unresolved(self) -> tuple[Unknown, ...]:
        """Requests whose fate is not proven: orders that may live, amends, cancels."""
        return tuple(case.unknown for case in self.resolver.cases.values() if case.what != "look")

    @property
    def queue(self) -> tuple[Queued, ...]:
        """Everything that waits for a slot, in the order of leaving."""
        return self._executor.queue()

    @property
    def next_slot_ns(self) -> int:
        """Nanoseconds until an order could leave at once; 0 when it can now."""
        return self._executor.next_free_ns("create")

    def _contract(self, symbol: str) -> Contract:
        contract = self.contracts.get(symbol)
        if contract is None:
            raise IntentError("symbol", symbol, "a contract in Orders.contracts")
        return contract

    def _is_ours(self, client_order_id: str) -> bool:
        return self.ids.is_ours(client_order_id)

    # -- placing ---------------------------------------------------------------------------------

    @serves("create")
    def submit(self, symbol: str, side: Side | int, quantity: Number, price: Number | None = None,
               *, leverage: int | None = None, type: OrderType | int = OrderType.LIMIT,
               open_type: OpenType | int = OpenType.ISOLATED, reduce_only: bool = False,
               client_order_id: str | None = None, wait: bool | None = None,
               key: Hashable | None = None, max_age_ms: int | None = None, keep: bool = False,
               **more: Any) -> Coroutine[Any, Any, Accepted | Rejected | Unknown]:
        """Place one order; quantity in contracts. A coroutine: nothing happens before its await.

        wait: for a slot of the venue's budget; None: as the executor was told. key, max_age_ms,
        keep: while it waits, a newer order with the same key replaces it (keep: is turned away),
        and older than max_age_ms it never leaves; both end as Rejected(Dropped).
        more: position_id, position_mode, stop_loss_price, take_profit_price, loss_trend,
        profit_trend, price_protect, market_ceiling, flash_close, best_price, self_trade,
        index_price; these and leverage to client_order_id are as in core.intent.OrderIntent.
        Raises IntentError when the order is refused before sending, NotReady before start() when
        there is a journal.
        """
        return self._place(None, (symbol, side, quantity, price, type, open_type, leverage,
                                  reduce_only, client_order_id), more, wait, key, max_age_ms, keep)

    def _send_beside(self, intent: OrderIntent, order: LiveOrder, callback: Done | None,
                     wait: bool | None, key: Hashable | None, max_age_ms: int | None,
                     keep: bool) -> None:
        """_send() in a task of its own: the rest of a submit_nowait() that cannot leave at once."""
        task = asyncio.get_running_loop().create_task(
            self._send(intent, order, wait, key, max_age_ms, keep))
        self._tasks.add(task)

        def finished(task: asyncio.Task[Accepted | Rejected | Unknown]) -> None:
            self._tasks.discard(task)
            if not task.cancelled():
                self._told_of(intent, callback, task.exception() or task.result())

        task.add_done_callback(finished)

    def _told_of(self, intent: OrderIntent, callback: Done | None,
                 outcome: Outcome | BaseException) -> None:
        """The end of a submit_nowait()."""
        if isinstance(outcome, MexcfastError):
            outcome = Rejected(outcome, intent.symbol, intent.client_order_id)
        elif isinstance(outcome, BaseException):
            log.error("an order could not be placed", exc_info=outcome)
            return
        if callback is not None:
            self._tell(callback, outcome)

    async def _send(self, intent: OrderIntent, order: LiveOrder, wait: bool | None,
                    key: Hashable | None, max_age_ms: int | None, keep: bool,
                    route: str = "create") -> Accepted | Rejected | Unknown:
        name, symbol = intent.client_order_id, intent.symbol
        sent_ms: int | None = None

        def leaving(ts_ms: int | None) -> None:
            nonlocal sent_ms
            if self.journal is not None:
                self.journal.send(entry_of(intent, ts_ms))
            order.ts_sent_ms = sent_ms = ts_ms

        def place() -> Awaitable[Outcome]:
            return self._executor.execute(
                route, intent.body, Subject(symbol, name), wait=wait,
                lane=Lane.OPEN if intent.is_opening else Lane.REDUCE, key=key,
                max_age_ms=max_age_ms, keep=keep, on_send=leaving)

        clock = self._executor.clock
        began_ns = clock.monotonic_ns()
        try:
            outcome = await place()
            if (self.repeat_mistimed and isinstance(outcome, Rejected)
                    and isinstance(outcome.error, ClockError) and (
                        max_age_ms is None
                        or clock.monotonic_ns() - began_ns < max_age_ms * 1_000_000)):
                outcome = await place()     # signed anew, after the ping that 513 asks for
        except (Exception, asyncio.CancelledError) as error:
            self._stopped(order, sent_ms, error)
            raise
        return self.report("create", began_ns, self._placed(outcome, sent_ms))

    def _placed(self, outcome: Outcome, sent_ms: int | None) -> Accepted | Rejected | Unknown:
        """What REST said of a create, after a look at what the stream has said already."""
        name, symbol = outcome.client_order_id, outcome.symbol
        assert name is not None
        if not isinstance(outcome, Accepted) and in_doubt(outcome):
            unknown = outcome if isinstance(outcome, Unknown) else Unknown(
                outcome.error, symbol, name, ts_sent_ms=sent_ms)
            told = self.resolver.heard(self.resolver.case(name, "create", unknown))
            if told is None:
                return self._doubt(unknown)
            outcome = told
        self.end(name, cast("Accepted | Rejected", outcome))
        self.tracker.outcome(outcome)
        return outcome

    def _stopped(self, order: LiveOrder, sent_ms: int | None, error: BaseException) -> None:
        """A call that places an order ended without an outcome."""
        name, symbol = order.client_order_id, order.symbol
        assert name is not None
        if sent_ms is not None:
            self.report("create", None, self._doubt(Unknown(
                ConnectionLost("the call did not return"), symbol, name, ts_sent_ms=sent_ms)))
            return
        why = error if isinstance(error, MexcfastError) else ConnectFailed("the call was cancelled")
        self.end(name, Rejected(why, symbol, name))
        self.tracker.outcome(Rejected(why, symbol, name))
        self.tracker.forget(order)

    def _doubt(self, unknown: Unknown) -> Unknown:
        """Put a create on the list of doubts."""
        assert unknown.client_order_id is not None
        self.tracker.outcome(unknown)
        self.resolver.add(self.resolver.case(unknown.client_order_id, "create", unknown))
        return unknown

    # -- changing --------------------------------------------------------------------------------

    @serves("amend")
    async def amend(self, symbol: str, order_id: int, price: Number, quantity: Number, *,
                    wait: bool | None = None, key: Hashable | None = None,
                    max_age_ms: int | None = None) -> Accepted | Rejected | Unknown:
        """Change a limit order. The venue replaces it: Accepted.order_id is the new order's.

        Raises IntentError while an earlier amend of the same order is in doubt.
        """
        body = amend_body(self._contract(symbol), order_id, price, quantity)
        name = f"amend {order_id}"
        if not self.is_ready:
            raise NotReady("orders have a journal: await Orders.start() before trading")
        if name in self.resolver.cases:
            raise IntentError("order_id", order_id, "an order without an amend in doubt")
        entry: Entry | None = None

        def leaving(ts_ms: int | None) -> None:
            nonlocal entry
            entry = Entry(name, "amend", symbol, ts_ms or 0, order_id,
                          quantity=exact_decimal("quantity", quantity),
                          price=exact_decimal("price", price))
            if self.journal is not None:
                self.journal.send(entry)

        def doubt(unknown: Unknown) -> None:
            self.resolver.add(self.resolver.case(name, "amend", unknown, entry))

        about, began_ns = Subject(symbol, None, order_id), self._executor.clock.monotonic_ns()
        try:
            outcome = await self._executor.execute("amend", body, about, wait=wait, key=key,
                                                   max_age_ms=max_age_ms, on_send=leaving)
        except asyncio.CancelledError:
            if entry is not None:
                unknown = Unknown(ConnectionLost("the call was cancelled"), symbol, None, order_id,
                                  ts_sent_ms=entry.ts_sent_ms)
                doubt(unknown)
                self.report("amend", None, unknown)
            raise
        if isinstance(outcome, Unknown):
            doubt(outcome)
        else:
            self.end(name, outcome)
            if entry is not None:
                self._amended(entry, outcome)
        return self.report("amend", began_ns, outcome)

    def _amended(self, entry: Entry, outcome: Accepted | Rejected) -> None:
        order_id = entry.order_id
        assert order_id is not None
        if (isinstance(outcome, Accepted) and outcome.order_id is not None
                and outcome.order_id != order_id):
            self.tracker.replaced(order_id, outcome.order_id, entry.price, entry.quantity)
        if isinstance(outcome, Accepted) and outcome.order is not None:
            self.tracker.report(outcome.order)

    @serves("chase")
    async def chase(self, order_id: int, *, wait: bool | None = None) -> Outcome:
        """Move a limit order to the best price of its own side.

        The venue replaces it and does not say by which: the new order comes over the stream, under
        a name of the venue's, as one of Tracker.foreign_orders().
        """
        cancel_body([order_id])
        return await self._write("chase", {"orderId": order_id}, Subject(None, None, order_id),
                                 wait)

    @serves("submit_batch")
    async def submit_batch(self, intents: Iterable[OrderIntent], *, wait: bool | None = None
                           ) -> tuple[Outcome, ...]:
        """Place up to 50 orders in one request (market makers only): one outcome per order.

        Checked and tracked one by one as by send().
        """
        orders = list(intents)
        if not 1 <= len(orders) <= BATCH:
            raise IntentError("intents", f"{len(orders)} orders", f"1 to {BATCH}")
        expected: list[LiveOrder] = []
        try:
            for intent in orders:
                expected.append(self._expect(intent))
        except MexcfastError as error:
            for order in expected:
                self._stopped(order, None, error)
            raise
        subjects = tuple(Subject(intent.symbol, intent.client_order_id) for intent in orders)
        sent_ms: int | None = None
        began_ns = self._executor.clock.monotonic_ns()

        def leaving(ts_ms: int | None) -> None:
            nonlocal sent_ms
            for intent in orders:
                if self.journal is not None:
                    self.journal.send(entry_of(intent, ts_ms))
            sent_ms = ts_ms

        body = b"[" + b",".join(intent.body for intent in orders) + b"]"
        try:
            whole = await self._executor.execute("submit_batch", body, wait=wait, on_send=leaving)
        except (Exception, asyncio.CancelledError) as error:
            for order in expected:
                self._stopped(order, sent_ms, error)
            raise
        return tuple([self.report("create", began_ns, self._placed(outcome, sent_ms))
                      for outcome in judge_items(whole, subjects)])

    @serves("submit")
    async def submit_legacy(self, intent: OrderIntent, *, wait: bool | None = None) -> Outcome:
        """Place one order at the older address order/submit, which may be closed to keys (20.2).

        To use it for everything set Endpoint.paths["create"] instead.
        """
        return await self._send(intent, self._expect(intent), wait, None, None, False, "submit")

    # -- cancelling ------------------------------------------------------------------------------

    @serves("cancel", "cancel_external_batch")
    async def cancel(self, orders: Iterable[int | str | TrackedOrder], symbol: str | None = None,
                     *, wait: bool = True) -> tuple[Outcome, ...]:
        """Cancel orders: venue ids (int), client order ids (str) of one symbol, or own orders.

        Cancels asked for at the same time leave in one request of up to 50. One outcome per order,
        in the order given. Accepted means the venue took the cancel; the order's final state comes
        by stream or query. wait: for a slot; else Rejected(BudgetSpent) when there is none.
        """
        subjects = [self._subject(item, symbol) for item in orders]
        if not subjects:
            raise IntentError("orders", "nothing", "at least one order")
        began_ns = self._executor.clock.monotonic_ns()
        outcomes = await self._canceller.cancel(subjects, wait)
        for outcome in outcomes:
            self.report("cancel", began_ns, outcome)
            if isinstance(outcome, Unknown):
                self._doubt_cancel(outcome)
            elif isinstance(outcome, Rejected) and outcome.code in CANCEL_TOO_LATE:
                self._look_again(outcome)
            elif isinstance(outcome, Accepted):
                order = self.tracker.find(outcome.order_id or outcome.client_order_id or 0)
                if order is not None and not order.is_final:
                    self.reconciler.expect(order)
        return outcomes

    def _look_again(self, refused: Outcome) -> None:
        """The venue says there is nothing to cancel: read what became of an order open here."""
        order = self.tracker.find(refused.order_id or refused.client_order_id or 0)
        if order is None or order.is_final or order.order_id is None:
            return
        why = Unknown(ConnectionLost("its end was not seen"), order.symbol, None, order.order_id)
        name = f"look {order.order_id}"
        if name not in self.resolver.cases and self.resolver.is_running:
            self.resolver.add(self.resolver.case(name, "look", why))

    @staticmethod
    def _subject(item: int | str | TrackedOrder, symbol: str | None) -> Subject:
        if isinstance(item, TrackedOrder):
            if item.order_id is not None:
                return Subject(item.symbol, None, item.order_id)
            return Subject(item.symbol, item.client_order_id)
        if isinstance(item, str):
            if symbol is None:
                raise IntentError("symbol", None, "the contract of these client order ids")
            return Subject(symbol, item)
        return Subject(symbol, None, int(item))

    def _doubt_cancel(self, unknown: Unknown) -> None:
        name = f"cancel {unknown.order_id or unknown.client_order_id}"
        self.resolver.add(self.resolver.case(name, "cancel", unknown))

    @serves("cancel_external")
    async def cancel_one(self, symbol: str, client_order_id: str, *, wait: bool = True) -> Outcome:
        """Cancel one order at once by client order id, not gathered with others."""
        body = encode_body([{"symbol": symbol,
                             "externalOid": check_client_order_id(client_order_id)}])
        began_ns = self._executor.clock.monotonic_ns()
        whole = await self._executor.execute("cancel_external", body, wait=wait)
        outcome, = judge_items(whole, (Subject(symbol, client_order_id),))
        if isinstance(outcome, Unknown):
            self._doubt_cancel(outcome)
        return self.report("cancel", began_ns, outcome)

    @serves("cancel_all")
    async def cancel_all(self, symbol: str | None = None, *, wait: bool = True) -> Outcome:
        """Cancel every limit order of one contract, or of all."""
        began_ns = self._executor.clock.monotonic_ns()
        outcome = await self._executor.execute("cancel_all", cancel_all_body(symbol),
                                               Subject(symbol), wait=wait)
        if isinstance(outcome, Unknown):
            name = f"cancel_all {symbol or ''}"
            self.resolver.add(self.resolver.case(name, "cancel_all", outcome))
        return self.report("cancel_all", began_ns, outcome)

    # -- the resolver ----------------------------------------------------------------------------

    async def resolve(self, unknown: Unknown, *, asks: int = 3, pause_s: float = 0.5,
                      expiry_ms: int | None = None) -> Accepted | Rejected | Unknown:
        """Ask the venue what became of an order whose outcome is Unknown.

        After start() this happens by itself. Found: Accepted, with the order. Absent:
        Rejected(NotFound), the proof that allows a new order; it needs `asks` looks pause_s apart
        that all find nothing, the last of them after the request has expired, and neither open
        orders nor history may show it. Until then a late request could still be taken: the venue
        refuses it only once its signed time is outside the window (protocol.md 3.4).
        Anything else: still Unknown.
        expiry_ms: that window; None takes the endpoint's, 10 s by default. So an absent order may
        take that long to prove; a live one is found at the first look.
        """
        symbol, name = unknown.symbol, unknown.client_order_id
        if symbol is None or name is None:
            raise IntentError("unknown", unknown, "an outcome with symbol and client_order_id")
        if asks < 2:
            raise IntentError("asks", asks, "at least 2: one look proves nothing")
        check_client_order_id(name)
        case = self.resolver.case(name, "create", unknown, asks=asks, expiry_ms=expiry_ms)
        if name in self.resolver.cases:
            self.resolver.cases[name] = case
        while True:
            outcome = await self.resolver.look(case)
            if isinstance(outcome, Accepted | Rejected):
                return outcome
            if isinstance(outcome, MexcfastError):
                return Unknown(outcome, symbol, name, ts_sent_ms=unknown.ts_sent_ms)
            if case.absence.looks == 0:
                return unknown      # an order was found that is not ours: it proves nothing
            now_ms = self._executor.clock.venue_ms()
            await asyncio.sleep(case.absence.pause_ms(now_ms, int(pause_s * 1000)) / 1000)

    def _settled(self, case: Case, outcome: Accepted | Rejected) -> None:
        """The resolver has proof."""
        self.end(case.name, outcome)
        if case.what == "create":
            self.tracker.outcome(outcome)
        elif case.what == "amend" and case.entry is not None:
            self._amended(case.entry, outcome)
        elif case.what == "look":
            return
        for told in self.on_settled:
            self._tell(told, outcome)

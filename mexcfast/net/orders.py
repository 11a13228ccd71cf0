"""Orders and account reads: what a strategy calls. First floor of the order path.

Every order carries a client order id. An order is on the `unresolved` list from before its first
byte is sent until its fate is proven, so neither a crash of the connection nor the cancellation of
the calling task can lose it. Nothing is ever sent twice.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any

from mexcfast.core.intent import (
    ClientOrderIds,
    OrderIntent,
    amend_body,
    cancel_all_body,
    cancel_body,
    check_client_order_id,
    external_body,
    snap_price,
)
from mexcfast.core.rest import Subject, judge_items
from mexcfast.core.throttle import Lane
from mexcfast.errors import ConnectionLost, IntentError, MexcfastError, NotFound, OrderRejected
from mexcfast.net.executor import Executor
from mexcfast.types import (
    Accepted,
    Balance,
    Contract,
    Fill,
    OpenType,
    Order,
    OrderState,
    OrderType,
    Outcome,
    Position,
    Rejected,
    Side,
    Unknown,
)

Number = int | str | float | Decimal


class Orders:
    """Order entry and account reads over one executor.

    contracts: symbol -> Contract; load_contracts() fills it when it is left empty.
    prefix, session: client order ids are prefix-session-counter. session must differ at every
    start; None takes the wall clock in nanoseconds.
    reference_price: symbol -> a price inside the band, sent with market orders that have none,
    because the venue's documents demand one (protocol.md 20, row 14). None sends none.
    """

    def __init__(self, executor: Executor, contracts: Mapping[str, Contract] | None = None, *,
                 prefix: str = "mf", session: int | None = None,
                 reference_price: Callable[[str], Number | None] | None = None) -> None:
        self._executor = executor
        self.contracts: dict[str, Contract] = dict(contracts or {})
        self.ids = ClientOrderIds(prefix,
                                  executor.clock.wall_ns() if session is None else session)
        self._reference_price = reference_price
        self._unresolved: dict[str, Unknown] = {}

    async def load_contracts(self) -> None:
        """Read every contract's limits from the venue."""
        contracts = await self._executor.request("contracts")
        self.contracts = {contract.symbol: contract for contract in contracts}

    @property
    def unresolved(self) -> tuple[Unknown, ...]:
        """Orders that may live at the venue and whose fate is not proven."""
        return tuple(self._unresolved.values())

    def _contract(self, symbol: str) -> Contract:
        contract = self.contracts.get(symbol)
        if contract is None:
            raise IntentError("symbol", symbol, "a contract in Orders.contracts")
        return contract

    # -- placing ---------------------------------------------------------------------------------

    async def submit(self, symbol: str, side: Side | int, quantity: Number,
                     price: Number | None = None, *, type: OrderType | int = OrderType.LIMIT,
                     open_type: OpenType | int = OpenType.ISOLATED, leverage: int | None = None,
                     reduce_only: bool = False, client_order_id: str | None = None,
                     wait: bool | None = None, **more: Any) -> Accepted | Rejected | Unknown:
        """Place one order; quantity in contracts.

        more: position_id, position_mode, stop_loss_price, take_profit_price, loss_trend,
        profit_trend, price_protect, market_ceiling, flash_close, best_price, self_trade,
        index_price, as in core.intent.OrderIntent.
        Raises IntentError when the order is refused before sending.
        """
        if not self.contracts:
            await self.load_contracts()
        contract = self._contract(symbol)
        is_market = type in (OrderType.MARKET, OrderType.MARKET_TO_LIMIT)
        if price is None and is_market and self._reference_price is not None:
            reference = self._reference_price(symbol)
            price = None if reference is None else snap_price(contract, reference)
        intent = OrderIntent(
            contract, side, quantity, price, type=type, open_type=open_type, leverage=leverage,
            reduce_only=reduce_only, client_order_id=client_order_id or self.ids.mint(), **more)
        return await self.send(intent, wait=wait)

    async def send(self, intent: OrderIntent, *,
                   wait: bool | None = None) -> Accepted | Rejected | Unknown:
        """Place an order that has been checked already."""
        name = intent.client_order_id
        if name in self._unresolved:
            raise IntentError("client_order_id", name, "an id that is not waiting for its fate")
        about = Subject(intent.symbol, name)
        self._unresolved[name] = Unknown(ConnectionLost("the call did not return"), intent.symbol,
                                         name)
        lane = Lane.OPEN if intent.is_opening else Lane.REDUCE
        try:
            outcome = await self._executor.execute("create", intent.body, about, wait=wait,
                                                   lane=lane)
        except MexcfastError:
            del self._unresolved[name]      # raised before sending only
            raise
        except asyncio.CancelledError:
            # It left before this moment, if it left.
            self._unresolved[name] = Unknown(
                ConnectionLost("the call was cancelled"), intent.symbol, name,
                ts_sent_ms=self._executor.clock.venue_ms())
            raise
        self._settle(outcome)
        return outcome

    def _settle(self, outcome: Outcome) -> None:
        if outcome.client_order_id is None:
            return
        if isinstance(outcome, Unknown):
            self._unresolved[outcome.client_order_id] = outcome
        else:
            self._unresolved.pop(outcome.client_order_id, None)

    async def amend(self, symbol: str, order_id: int, price: Number, quantity: Number, *,
                    wait: bool | None = None) -> Outcome:
        """Change a limit order. The venue replaces it: Accepted.order_id is the new order's."""
        body = amend_body(self._contract(symbol), order_id, price, quantity)
        return await self._executor.execute("amend", body, Subject(symbol, None, order_id),
                                            wait=wait)

    # -- cancelling ------------------------------------------------------------------------------

    async def cancel(self, orders: Iterable[int | str], symbol: str | None = None, *,
                     wait: bool | None = None) -> tuple[Outcome, ...]:
        """Cancel up to 50 orders: venue ids (int), or client order ids (str) of one symbol.

        One outcome per order, in the order given. Accepted means the venue took the cancel; the
        order's final state comes by stream or query.
        """
        wanted = list(orders)
        if all(isinstance(item, str) for item in wanted) and wanted:
            if symbol is None:
                raise IntentError("symbol", None, "the contract of these client order ids")
            subjects = tuple(Subject(symbol, str(item)) for item in wanted)
            name, body = "cancel_external_batch", external_body(
                (symbol, str(item)) for item in wanted)
        elif any(isinstance(item, str) for item in wanted):
            raise IntentError("orders", "ids of both kinds", "all int or all str")
        else:
            subjects = tuple(Subject(symbol, None, int(item)) for item in wanted)
            name, body = "cancel", cancel_body(wanted)
        outcome = await self._executor.execute(name, body, wait=wait)
        return judge_items(outcome, subjects)

    async def cancel_all(self, symbol: str | None = None, *, wait: bool | None = None) -> Outcome:
        """Cancel every limit order of one contract, or of all."""
        return await self._executor.execute("cancel_all", cancel_all_body(symbol), Subject(symbol),
                                            wait=wait)

    # -- queries ---------------------------------------------------------------------------------

    async def get(self, order_id: int) -> Order:
        """One order by the venue's id. Raises NotFound."""
        order: Order = await self._executor.request("order", {"orderId": order_id})
        return order

    async def get_by_client_id(self, symbol: str, client_order_id: str) -> Order:
        """One order by client order id. Raises NotFound."""
        order: Order = await self._executor.request(
            "order_by_external", {"symbol": symbol, "external_oid": client_order_id})
        return order

    async def open(self, symbol: str | None = None, page: int = 1,
                   page_size: int = 100) -> tuple[Order, ...]:
        """One page of open orders; a page shorter than page_size is the last."""
        orders: tuple[Order, ...] = await self._executor.request("open_orders", params={
            "symbol": symbol, "page_num": page, "page_size": page_size})
        return orders

    async def history(self, symbol: str | None = None, *, states: Sequence[OrderState] = (),
                      start_ms: int | None = None, end_ms: int | None = None, page: int = 1,
                      page_size: int = 100) -> tuple[Order, ...]:
        """One page of past orders; the venue covers the last 7 days unless told otherwise."""
        orders: tuple[Order, ...] = await self._executor.request("history", params={
            "symbol": symbol, "states": list(states) or None, "startTime": start_ms,
            "endTime": end_ms, "page_num": page, "page_size": page_size})
        return orders

    async def fills(self, symbol: str, *, start_ms: int | None = None, end_ms: int | None = None,
                    page: int = 1, page_size: int = 100) -> tuple[Fill, ...]:
        """One page of executions in one contract."""
        fills: tuple[Fill, ...] = await self._executor.request("fills", params={
            "symbol": symbol, "start_time": start_ms, "end_time": end_ms, "page_num": page,
            "page_size": page_size})
        return fills

    async def balances(self) -> tuple[Balance, ...]:
        balances: tuple[Balance, ...] = await self._executor.request("balances")
        return balances

    async def positions(self, symbol: str | None = None) -> tuple[Position, ...]:
        positions: tuple[Position, ...] = await self._executor.request(
            "positions", params={"symbol": symbol})
        return positions

    # -- the resolver ----------------------------------------------------------------------------

    async def resolve(self, unknown: Unknown, *, asks: int = 3, pause_s: float = 0.5,
                      expiry_ms: int | None = None) -> Accepted | Rejected | Unknown:
        """Ask the venue what became of an order whose outcome is Unknown.

        Found: Accepted, with the order. Absent: Rejected(NotFound), the proof that allows a new
        order; it needs `asks` looks pause_s apart that all find nothing, the last of them after
        the request has expired. Until then a late request could still be taken: the venue refuses
        it only once its signed time is outside the window (protocol.md 3.4).
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
        clock = self._executor.clock
        if expiry_ms is None:
            expiry_ms = self._executor.endpoint.expiry_ms
        expires_ms = expiry_ms + (clock.venue_ms() if unknown.ts_sent_ms is None
                                  else unknown.ts_sent_ms)
        looks = 0
        while True:
            has_expired = clock.venue_ms() > expires_ms
            try:
                order = await self.get_by_client_id(symbol, name)
            except NotFound as error:
                looks += 1
                if looks >= asks and has_expired:
                    outcome = Rejected(error, symbol, name)
                    self._settle(outcome)
                    return outcome
            except MexcfastError as error:
                return Unknown(error, symbol, name, ts_sent_ms=unknown.ts_sent_ms)
            else:
                return self._resolved(unknown, order)
            left_s = (expires_ms + 1 - clock.venue_ms()) / 1000
            await asyncio.sleep(max(pause_s, left_s if looks >= asks - 1 else 0.0))

    def _resolved(self, unknown: Unknown, order: Order) -> Accepted | Rejected | Unknown:
        if order.client_order_id != unknown.client_order_id or order.symbol != unknown.symbol:
            return unknown      # not our order: it proves nothing about ours
        outcome: Accepted | Rejected
        if order.state == OrderState.INVALID:
            outcome = Rejected(OrderRejected(int(order.error_code), order.error_code.name),
                               order.symbol, order.client_order_id, order.order_id,
                               order.ts_updated_ms)
        else:
            outcome = Accepted(order.symbol, order.client_order_id, order.order_id,
                               order.ts_created_ms, order)
        self._settle(outcome)
        return outcome

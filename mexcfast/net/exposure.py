"""What an account may come to hold, and the limits an order is held to because of it.

Three things count: positions (the mirror), own open orders (the tracker), and the orders that wait
for a price and would open then: plan and trailing orders of the mirror, and those that were sent
and that the mirror has not shown yet, their fate known or not. An order that a plan has become
counts again from its fill.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal

from mexcfast.conditional import PlanOrder, TrailingOrder
from mexcfast.core.account import Kind, Mirror
from mexcfast.core.depth import OrderBook
from mexcfast.core.intent import OrderIntent, RiskLimits
from mexcfast.core.tracker import Tracker
from mexcfast.net.clock import Clock
from mexcfast.types import (
    Accepted,
    OrderType,
    Outcome,
    PositionMode,
    PositionType,
    Side,
    Unknown,
)


@dataclass(slots=True)
class Promise:
    """A conditional order that opens, from before its first byte leaves.

    order_id, ts_accepted_ms: once the venue has taken it; venue time.
    """

    kind: Kind
    symbol: str
    side: Side
    quantity: Decimal
    order_id: int | None = None
    ts_accepted_ms: int = 0


class Exposure:
    """Looks at everything that is open and waits. book: symbol -> the book to check against."""

    def __init__(self, tracker: Tracker, mirror: Mirror, clock: Clock,
                 book: Callable[[str], OrderBook | None]) -> None:
        self._tracker = tracker
        self._mirror = mirror
        self._clock = clock
        self._book = book
        self._promises: dict[str, Promise] = {}

    # -- limits ----------------------------------------------------------------------------------

    def check(self, limits: RiskLimits, intent: OrderIntent, mode: PositionMode) -> None:
        """One ordinary order; raises IntentError. mode: the account's."""
        own_bid: Decimal | None = None
        own_ask: Decimal | None = None
        quantity, count = self.waiting(intent.symbol, intent.side, mode)[0], 0
        for order in self._tracker.open_orders(intent.symbol):
            count += 1
            side, left = order.side, order.remaining_quantity
            if side is None:
                continue
            if side == intent.side and left is not None:
                quantity += left
            if order.price is None or order.type in (OrderType.MARKET, OrderType.IOC,
                                                     OrderType.FOK):
                continue
            if side.is_buy:
                own_bid = order.price if own_bid is None else max(own_bid, order.price)
            else:
                own_ask = order.price if own_ask is None else min(own_ask, order.price)
        limits.check(intent, position=self.held(intent.symbol, intent.side, mode),
                     open_quantity=quantity, open_orders=count, own_bid=own_bid, own_ask=own_ask,
                     book=self._book(intent.symbol), now_ns=self._clock.wall_ns(),
                     clock_error_ms=self._clock.error_ms)

    def check_conditional(self, limits: RiskLimits, intent: OrderIntent, mode: PositionMode,
                          trigger_price: Decimal | None = None, rises: bool | None = None) -> None:
        """One conditional order, as RiskLimits.check_conditional; raises IntentError."""
        quantity, count = self.waiting(intent.symbol, intent.side, mode)
        for order in self._tracker.open_orders(intent.symbol):
            count += 1
            if order.side == intent.side and order.remaining_quantity is not None:
                quantity += order.remaining_quantity
        limits.check_conditional(
            intent, trigger_price=trigger_price, rises=rises,
            position=self.held(intent.symbol, intent.side, mode), open_quantity=quantity,
            open_orders=count, book=self._book(intent.symbol), now_ns=self._clock.wall_ns(),
            clock_error_ms=self._clock.error_ms)

    def check_exit(self, limits: RiskLimits) -> None:
        """What only reduces; raises IntentError."""
        limits.check_exit(clock_error_ms=self._clock.error_ms)

    # -- what counts -----------------------------------------------------------------------------

    def held(self, symbol: str, side: Side, mode: PositionMode) -> Decimal | None:
        """Contracts held in the direction an opening side adds to; None when never read."""
        if not self._mirror.knows(Kind.POSITION):
            return None
        same, other = ((PositionType.LONG, PositionType.SHORT) if side == Side.OPEN_LONG else
                       (PositionType.SHORT, PositionType.LONG))
        quantity = self._held(symbol, same)
        return quantity - self._held(symbol, other) if mode == PositionMode.ONE_WAY else quantity

    def _held(self, symbol: str, type: PositionType) -> Decimal:
        position = self._mirror.position(symbol, type)
        return Decimal(0) if position is None else position.quantity

    def waiting(self, symbol: str, side: Side, mode: PositionMode) -> tuple[Decimal, int]:
        """Contracts that conditional orders would open on a side; how many wait on any side."""
        quantity, count = Decimal(0), 0
        there: list[PlanOrder | TrailingOrder] = [*self._mirror.plans.values(),
                                                  *self._mirror.trailing.values()]
        for order in there:
            if order.symbol != symbol:
                continue
            count += 1
            reduces = order.reduce_only and mode == PositionMode.ONE_WAY
            if order.side == side and not reduces:
                quantity += order.quantity
        for name, promise in list(self._promises.items()):
            if self._is_kept(promise):
                del self._promises[name]
            elif promise.symbol == symbol:
                count += 1
                quantity += promise.quantity if promise.side == side else 0
        return quantity, count

    def _is_kept(self, promise: Promise) -> bool:
        """Whether the mirror says all there is to say: it has the order, or has looked since."""
        mirror = self._mirror
        if promise.order_id is None:
            return False
        if mirror.find(promise.kind, promise.order_id) is not None:
            return True
        return (mirror.knows(promise.kind)
                and mirror.ts_verified_ms > promise.ts_accepted_ms + mirror.margin_ms)

    # -- orders on their way ---------------------------------------------------------------------

    def promise(self, name: str, promise: Promise) -> None:
        """A placement leaves now. name: the journal's."""
        self._promises[name] = promise

    def ended(self, name: str, outcome: Outcome | None) -> None:
        """Its fate: Accepted, Rejected, or None when it never left. Unknown changes nothing."""
        promise = self._promises.get(name)
        if promise is None or isinstance(outcome, Unknown):
            return
        if isinstance(outcome, Accepted) and outcome.order_id is not None:
            promise.order_id = outcome.order_id
            promise.ts_accepted_ms = self._clock.venue_ms()
        else:
            del self._promises[name]

    def cancelled(self, orders: set[int]) -> None:
        """The venue has taken the cancel of these conditional orders."""
        for name, promise in list(self._promises.items()):
            if promise.order_id in orders:
                del self._promises[name]

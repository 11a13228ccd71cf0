"""A venue's account as a history of whole states, and the slow judge of core/account.

The history is a list of (time, key, record or None). What the mirror should hold follows from it by
looking it up, with no ages, floors or shelves.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any

from mexcfast.core.account import Kind, Read, Stamp
from mexcfast.types import (
    Balance,
    OpenType,
    Order,
    OrderCategory,
    OrderErrorCode,
    OrderState,
    OrderType,
    Position,
    PositionMode,
    PositionState,
    PositionType,
    Side,
)


def order(order_id: int, **changes: Any) -> Order:
    return replace(Order(
        order_id, "BTC_USDT", f"c-{order_id}", Side.OPEN_LONG, OrderType.LIMIT, OrderState.OPEN,
        Decimal(84000), Decimal(10), Decimal(0), Decimal(0), 20, OpenType.ISOLATED,
        OrderCategory.ORDINARY, 0, Decimal(0), Decimal(0), Decimal(0), Decimal(0), Decimal(0),
        "USDT", OrderErrorCode.NORMAL, PositionMode.HEDGE, False, None, None, 1, 1, 1), **changes)


def position(position_id: int, **changes: Any) -> Position:
    return replace(Position(
        position_id, "BTC_USDT", PositionType.LONG, OpenType.ISOLATED, PositionState.HOLDING,
        Decimal(10), Decimal(0), Decimal(0), Decimal(84000), Decimal(84000), Decimal(0), Decimal(1),
        Decimal(4), Decimal(4), Decimal(0), Decimal(0), Decimal(0), Decimal(0), 20, None, None,
        False, 1, 1, 1), **changes)


def balance(currency: str, available: int) -> Balance:
    return Balance(currency, Decimal(available), Decimal(0), Decimal(0), Decimal(0), None, None,
                   None, None, None)


@dataclass
class Push:
    """What the venue sent; a stamp of the venue's and of the receiver's order."""

    record: Any
    stamp: Stamp


@dataclass
class ModelVenue:
    """The truth, its pushes, and REST reads of it. Time moves by hand, one ms at each change."""

    now_ms: int = 1_000_000
    orders: dict[int, Order] = field(default_factory=dict)          # every one, ended too
    positions: dict[int, Position] = field(default_factory=dict)
    balances: dict[str, Balance] = field(default_factory=dict)
    _made: int = 0
    _sent: int = 0

    def _push(self, record: Any) -> Push:
        self._sent += 1
        return Push(record, Stamp(self.now_ms, self._sent))

    def _tick(self) -> int:
        self.now_ms += 1
        return self.now_ms

    def place(self) -> Push:
        self._made += 1
        at = self._tick()
        self.orders[self._made] = order(self._made, ts_created_ms=at, ts_updated_ms=at)
        return self._push(self.orders[self._made])

    def fill(self, number: int, quantity: int) -> Push | None:
        """Part of an open order, all of it when the quantity reaches it."""
        known = self.open_orders()
        if not known:
            return None
        one = known[number % len(known)]
        filled = min(one.quantity, one.filled_quantity + quantity)
        state = OrderState.FILLED if filled == one.quantity else OrderState.OPEN
        return self._change(one, filled_quantity=filled, state=state)

    def cancel(self, number: int) -> Push | None:
        known = self.open_orders()
        if not known:
            return None
        return self._change(known[number % len(known)], state=OrderState.CANCELLED)

    def _change(self, one: Order, **changes: Any) -> Push:
        new = replace(one, version=(one.version or 0) + 1, ts_updated_ms=self._tick(), **changes)
        self.orders[one.order_id] = new
        return self._push(new)

    def hold(self, quantity: int) -> Push:
        """Another size of the one position; 0 closes it, the next one has another id."""
        at = self._tick()
        held = self.held()
        if held is None:
            self._made += 1
            held = position(self._made, version=0, ts_created_ms=at)
        state = PositionState.HOLDING if quantity else PositionState.CLOSED
        new = replace(held, quantity=Decimal(quantity), state=state, ts_updated_ms=at,
                      version=(held.version or 0) + 1)
        self.positions[new.position_id] = new
        return self._push(new)

    def pay(self, currency: str, available: int) -> Push:
        self._tick()
        self.balances[currency] = balance(currency, available)
        return self._push(self.balances[currency])

    # -- the truth -------------------------------------------------------------------------------

    def open_orders(self) -> list[Order]:
        return [one for one in self.orders.values() if not one.is_final]

    def held(self) -> Position | None:
        return next((one for one in self.positions.values() if one.quantity), None)

    def truth(self) -> dict[Kind, dict[Any, Any]]:
        held = self.held()
        return {Kind.ORDER: {one.order_id: one for one in self.open_orders()},
                Kind.POSITION: {} if held is None else {held.position_id: held},
                Kind.BALANCE: dict(self.balances)}

    def read(self, asked_ms: int, opened: Any) -> list[Read]:
        """What REST answers now to questions asked then. opened: order ids open at the reader."""
        truth = self.truth()
        ended = tuple(self.orders[key] for key in opened
                      if key not in truth[Kind.ORDER] and key in self.orders)
        return [Read(kind, tuple(records.values()), asked_ms, self.now_ms,
                     ended if kind is Kind.ORDER else ())
                for kind, records in truth.items()]

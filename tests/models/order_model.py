"""The slow order: keeps all it was told and looks through it for every question."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

from mexcfast.core.tracker import Phase
from mexcfast.types import Accepted, Fill, Order, OrderState, Rejected


class OrderModel:
    """One own order; facts in any order, any number of times."""

    def __init__(self, quantity: Decimal) -> None:
        self.ordered = quantity
        self.told: list[object] = []

    def of(self, kind: type) -> list:
        return [fact for fact in self.told if isinstance(fact, kind)]

    @property
    def fills(self) -> dict[int, Fill]:
        return {fill.fill_id: fill for fill in self.of(Fill)}

    @property
    def filled(self) -> Decimal:
        known = sum((fill.quantity for fill in self.fills.values()), Decimal(0))
        return max([known, *(order.filled_quantity for order in self.of(Order))])

    @property
    def average(self) -> Fraction | None:
        value = sum(Fraction(f.quantity) * Fraction(f.price) for f in self.fills.values())
        quantity = sum(Fraction(f.quantity) for f in self.fills.values())
        return value / quantity if quantity else None

    @property
    def phase(self) -> Phase:
        for order in self.of(Order):
            if order.state == OrderState.FILLED:
                return Phase.FILLED
            if order.state == OrderState.CANCELLED:
                return Phase.CANCELLED
            if order.state == OrderState.INVALID:
                return Phase.REJECTED
        if self.filled >= self.ordered:
            return Phase.FILLED
        if self.of(Order) or self.of(Fill) or self.of(Accepted):
            return Phase.OPEN
        if self.of(Rejected):
            return Phase.REJECTED
        return Phase.UNKNOWN if self.told else Phase.SENT

"""What the node was told of each order: the seam between our tracker and its events.

Our tracker knows one TrackedOrder a venue order; an amend makes a new one at the venue. The node
knows one order with one client order id through all amends. A Told is that one.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import mexcfast as mx

KEPT = 20_000


@dataclass(slots=True, eq=False)
class Told:
    """One order of the node.

    name: its client order id; None until an order of others was made known. before: filled by the
    venue orders that amends have replaced. fills: told, by the venue's id.
    """

    name: Any = None
    strategy_id: Any = None
    instrument_id: Any = None
    order_type: Any = None
    order_id: int | None = None              # the newest at the venue
    before: Decimal = Decimal(0)
    fills: set[int] = field(default_factory=set)
    filled: Decimal = Decimal(0)             # told, in contracts
    is_submitted: bool = False
    is_accepted: bool = False
    is_final: bool = False
    is_fetching: bool = False
    in_doubt: bool = False                   # said so in the log


@dataclass(slots=True, eq=False)
class Amend:
    """A change under way, or in doubt, of one venue order."""

    told: Told
    order_id: int
    symbol: str
    price: Decimal
    quantity: Decimal                        # of the new venue order


class ToldOrders:
    """Every Told, by client order id and by the venue's ids."""

    def __init__(self) -> None:
        self._by_name: dict[str, Told] = {}
        self._by_id: dict[int, Told] = {}

    def add(self, told: Told) -> Told:
        """Keep it under its name."""
        self._by_name[str(told.name)] = told
        self._prune()
        return told

    def link(self, order_id: int, told: Told) -> None:
        """The venue knows it by this id, too."""
        told.order_id = order_id
        self._by_id[order_id] = told

    def of(self, order: mx.LiveOrder) -> Told | None:
        """That of a tracked order, by either name, or by the order it has replaced."""
        found = self._by_id.get(order.order_id) if order.order_id is not None else None
        if found is None and order.client_order_id is not None:
            found = self._by_name.get(order.client_order_id)
            if found is not None and found.order_id not in (None, order.order_id):
                found = None                 # the name has moved on to an heir
        if found is not None and order.order_id is not None and found.order_id is None:
            self.link(order.order_id, found)
        return found

    def named(self, name: Any) -> Told | None:
        """That of a client order id."""
        return self._by_name.get(str(name))

    def by_id(self, order_id: int | None) -> Told | None:
        """That of a venue order."""
        return None if order_id is None else self._by_id.get(order_id)

    def clear(self) -> None:
        self._by_name.clear()
        self._by_id.clear()

    def _prune(self) -> None:
        """Finished ones go, oldest first."""
        if len(self._by_name) <= KEPT:
            return
        gone = [name for name, told in self._by_name.items() if told.is_final][:KEPT // 4]
        for name in gone:
            del self._by_name[name]
        for order_id in [key for key, told in self._by_id.items()
                         if told.is_final and str(told.name) not in self._by_name]:
            del self._by_id[order_id]

import asyncio
from collections.abc import Callable, Coroutine, Hashable
from decimal import Decimal
from typing import Any, TypeVar

from mexcfast.core.account import Mirror
from mexcfast.core.client_ids import ClientOrderIds
from mexcfast.core.intent import OrderIntent, RiskLimits
from mexcfast.core.tracker import TrackedOrder, Tracker
from mexcfast.net.exposure import Exposure
from mexcfast.net.journal import Journal
from mexcfast.net.own import LiveOrder
from mexcfast.net.reconcile import Reconciler
from mexcfast.net.resolver import Resolver
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

_Number = int | str | float | Decimal
_Result = TypeVar("_Result", bound=Outcome)

class Placing:
    contracts: dict[str, Contract]
    ids: ClientOrderIds
    tracker: Tracker
    """Own orders, by both rivers."""
    journal: Journal | None
    limits: RiskLimits | None
    position_mode: PositionMode
    mirror: Mirror
    exposure: Exposure
    """What the account may come to hold."""
    resolver: Resolver
    """Settles what is in doubt."""
    reconciler: Reconciler
    """Compares the account with REST."""
    on_outcome: Callable[[str, int | None, Outcome], None] | None
    """Told of what was done, when it was asked for (monotonic ns; None: the call was broken off)
    and what came of it, once an order."""
    on_change: list[Callable[[LiveOrder], None]]
    """Each called with an own order after each of its changes."""
    is_ready: bool
    repeat_mistimed: bool
    _only_when_ready: bool
    _reference_price: Callable[[str], _Number | None] | None
    _tasks: set[asyncio.Future[Any]]
    def intent(self, symbol: str, side: Side | int, quantity: _Number,
               price: _Number | None = None, *, type: OrderType | int = ...,
               open_type: OpenType | int = ..., leverage: int | None = None,
               reduce_only: bool = False, client_order_id: str | None = None,
               **more: Any) -> OrderIntent: ...
    def submit_nowait(self, symbol: str, side: Side | int, quantity: _Number,
                      price: _Number | None = None, *, leverage: int | None = None,
                      type: OrderType | int = ..., open_type: OpenType | int = ...,
                      reduce_only: bool = False, client_order_id: str | None = None,
                      callback: Callable[[Outcome], None] | None = None,
                      wait: bool | None = None, key: Hashable | None = None,
                      max_age_ms: int | None = None, keep: bool = False,
                      **more: Any) -> LiveOrder: ...
    def send(self, intent: OrderIntent, *, wait: bool | None = None, key: Hashable | None = None,
             max_age_ms: int | None = None, keep: bool = False
             ) -> Coroutine[Any, Any, Accepted | Rejected | Unknown]: ...
    async def _place(self, intent: OrderIntent | None,
                     asked: tuple[str, Side | int, _Number, _Number | None, OrderType | int,
                                  OpenType | int, int | None, bool, str | None] | None,
                     more: dict[str, Any] | None, wait: bool | None, key: Hashable | None,
                     max_age_ms: int | None, keep: bool) -> Accepted | Rejected | Unknown: ...
    def report(self, what: str, began_ns: int | None, outcome: _Result) -> _Result: ...
    def _expect(self, intent: OrderIntent) -> LiveOrder: ...
    def _changed(self, order: TrackedOrder) -> None: ...
    @staticmethod
    def _tell(callback: Callable[[Any], None], what: Any) -> None: ...

"""One order's life, told by both rivers: REST outcomes, order pushes, fill pushes, REST reads.

They arrive in any order, twice, or late. So nothing here is a transition: a TrackedOrder keeps the
facts that only ever grow, and everything else is computed from them:

    outcome   none < Unknown < Rejected < Accepted           what REST said of the request
    report    the newest Order the venue has shown            by order_age()
    fills     a set by fill id                                counted once, whatever came how often

    SENT ----> UNKNOWN ----> OPEN ----> FILLED | CANCELLED | REJECTED (absorbing)

Whatever the order of arrival, the same facts give the same state. A final phase the venue itself
reported never changes again. A refusal by REST alone yields when the venue later shows the order
alive: then the refusal was wrong, `conflicts` counts it, and the order is watched again.

Orders of other programs (foreign) are kept apart, and so are fills whose order is not known yet,
until a report or an outcome claims them.
Source: protocol.md 9, 11.4, 12.1, 12.2, 18.2, 20.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from decimal import Context, Decimal
from enum import IntEnum

from mexcfast.types import (
    Accepted,
    Fill,
    Order,
    OrderErrorCode,
    OrderState,
    OrderType,
    Outcome,
    Rejected,
    Side,
    Unknown,
)

# Sums and products of what results.py lets through are exact in this many digits.
_EXACT = Context(prec=2000)
_ZERO = Decimal(0)
_DUPLICATE = (OrderErrorCode.OID_DUPLICATE, OrderErrorCode.CID_DUPLICATE)


class Phase(IntEnum):
    """Where an order stands."""

    SENT = 0            # registered before its first byte; nothing heard yet
    UNKNOWN = 1         # it may live at the venue
    OPEN = 2            # it lives, perhaps partly filled
    FILLED = 3
    CANCELLED = 4       # perhaps partly filled
    REJECTED = 5        # never lived, or ended as invalid

    @property
    def is_final(self) -> bool:
        return self >= Phase.FILLED


_PHASES: Mapping[int, Phase] = {
    OrderState.FILLED: Phase.FILLED,
    OrderState.CANCELLED: Phase.CANCELLED,
    OrderState.INVALID: Phase.REJECTED,
}


class _Room(IntEnum):
    """Which of the tracker's lists holds an order."""

    NONE = 0
    OPEN = 1
    DONE = 2
    FOREIGN = 3


def _rank(outcome: Outcome | None) -> int:
    return (0 if outcome is None else 1 if isinstance(outcome, Unknown)
            else 2 if isinstance(outcome, Rejected) else 3)


def order_age(order: Order) -> tuple[bool, Decimal, int, int, int, int]:
    """How far along the order's one history a report is.

    Each member grows along the history, so they may stand in any order; pushes without a version
    still sort among reads that have one. The last decides between equals: the more exact average
    wins. Who needs a total order takes str(order) as well.
    """
    exponent = order.average_price.as_tuple().exponent
    digits = -exponent if isinstance(exponent, int) else 0
    return (order.is_final, order.filled_quantity, 0 if order.is_final else int(order.state),
            -1 if order.version is None else order.version, order.ts_updated_ms, digits)


class TrackedOrder:
    """One order. Read its attributes at any time; they change as news arrives.

    Quantities in contracts, prices in quote currency, all exact Decimals.
    """

    __slots__ = ("_fees", "_fill_value", "_filled", "_fills", "_is_ours", "_price", "_quantity",
                 "_room", "_side", "_symbol", "_type", "client_order_id", "order_id", "outcome",
                 "phase", "replaced_by", "replaces", "report", "ts_sent_ms")

    def __init__(self, client_order_id: str | None = None, order_id: int | None = None) -> None:
        self.client_order_id = client_order_id
        self.order_id = order_id            # the venue's; None until it is known
        self.phase = Phase.SENT
        self.outcome: Outcome | None = None  # what REST said of placing it
        self.report: Order | None = None     # the newest state the venue has shown
        self.ts_sent_ms: int | None = None   # the request time that was signed
        self.replaces: int | None = None     # order id this one took the place of, by an amend
        self.replaced_by: int | None = None
        self._is_ours = False
        self._room = _Room.NONE
        self._symbol: str | None = None
        self._side: Side | None = None
        self._type: OrderType | None = None
        self._quantity: Decimal | None = None
        self._price: Decimal | None = None
        self._fills: dict[int, Fill] = {}
        self._filled = _ZERO
        self._fill_value = _ZERO
        self._fees: dict[str, Decimal] = {}

    def __repr__(self) -> str:
        return (f"<Order {self.client_order_id or self.order_id} {self.symbol} {self.phase.name} "
                f"{self.filled_quantity}/{self.quantity} at {self.price}>")

    @property
    def is_ours(self) -> bool:
        """Placed by this program, in this run or an earlier one."""
        return self._is_ours

    @property
    def is_final(self) -> bool:
        """Filled, cancelled or rejected: it changes no more."""
        return self.phase >= Phase.FILLED

    @property
    def symbol(self) -> str | None:
        """The contract; None while only a fill of it is known."""
        return self.report.symbol if self.report is not None else self._symbol

    @property
    def side(self) -> Side | None:
        """What it does to the position."""
        return self.report.side if self.report is not None else self._side

    @property
    def type(self) -> OrderType | None:
        """How long it lives, and at which price."""
        return self.report.type if self.report is not None else self._type

    @property
    def quantity(self) -> Decimal | None:
        """Contracts ordered; the venue's word when it has spoken."""
        return self.report.quantity if self.report is not None else self._quantity

    @property
    def price(self) -> Decimal | None:
        """The limit, in quote currency; the venue's word when it has spoken."""
        return self.report.price if self.report is not None else self._price

    @property
    def fills(self) -> tuple[Fill, ...]:
        """Executions seen, oldest first."""
        return tuple(sorted(self._fills.values(), key=lambda f: (f.ts_venue_ms, f.fill_id)))

    @property
    def filled_quantity(self) -> Decimal:
        """The larger of what fills add up to and what the venue reported: neither can be ahead."""
        if self.report is None:
            return self._filled
        return max(self._filled, self.report.filled_quantity)

    @property
    def remaining_quantity(self) -> Decimal | None:
        """Contracts not filled; after a cancel those that will not be."""
        quantity = self.quantity
        return None if quantity is None else _EXACT.subtract(quantity, self.filled_quantity)

    @property
    def has_all_fills(self) -> bool:
        """Every contract reported as filled is also known as a fill."""
        return self.report is None or self._filled >= self.report.filled_quantity

    @property
    def average_price(self) -> Decimal | None:
        """Average fill price, to 28 digits; None without fills.

        From the fills when they are complete, else the venue's own average.
        """
        if self.has_all_fills:
            return self._fill_value / self._filled if self._filled else None
        return self.report.average_price if self.report is not None else None

    @property
    def fees(self) -> Mapping[str, Decimal]:
        """Currency -> fees so far, positive paid, negative received."""
        if self.has_all_fills or self.report is None:
            return dict(self._fees)
        fee = _EXACT.add(self.report.taker_fee, self.report.maker_fee)
        return {self.report.fee_currency: fee} if fee else {}

    # -- facts in --------------------------------------------------------------------------------

    def _expect(self, symbol: str, side: Side, quantity: Decimal, price: Decimal | None,
                type: OrderType) -> None:
        self._is_ours = True
        self._symbol, self._side, self._type = symbol, side, type
        self._quantity, self._price = quantity, price

    def _take_report(self, order: Order) -> None:
        known = self.report
        if known is not None and known.is_final and order.state != known.state:
            return          # absorbed
        if known is None or (order_age(order), str(order)) > (order_age(known), str(known)):
            self.report = order

    def _take_fill(self, fill: Fill) -> bool:
        if fill.fill_id in self._fills:
            return False
        self._fills[fill.fill_id] = fill
        self._filled = _EXACT.add(self._filled, fill.quantity)
        self._fill_value = _EXACT.add(self._fill_value,
                                      _EXACT.multiply(fill.quantity, fill.price))
        if fill.fee:
            paid = self._fees.get(fill.fee_currency, _ZERO)
            self._fees[fill.fee_currency] = _EXACT.add(paid, fill.fee)
        if self._symbol is None:
            self._symbol, self._side = fill.symbol, fill.side
        return True

    def _absorb(self, other: TrackedOrder) -> None:
        """Take over what was known of the same order under its other name."""
        for fill in other._fills.values():
            self._take_fill(fill)
        if other.report is not None:
            self._take_report(other.report)
        if _rank(other.outcome) > _rank(self.outcome):
            self.outcome = other.outcome
        if self._quantity is None:
            self._quantity, self._price = other._quantity, other._price
        self.order_id = self.order_id if self.order_id is not None else other.order_id
        self.client_order_id = self.client_order_id or other.client_order_id
        self.replaces = self.replaces or other.replaces
        self.replaced_by = self.replaced_by or other.replaced_by
        self._is_ours = self._is_ours or other._is_ours

    def _computed(self) -> Phase:
        """The phase that the facts give."""
        report = self.report
        if report is not None and report.is_final:
            return _PHASES[report.state]
        quantity = self.quantity
        if quantity is not None and self._filled and self._filled >= quantity:
            return Phase.FILLED
        if report is not None or self._fills or isinstance(self.outcome, Accepted):
            return Phase.OPEN
        if isinstance(self.outcome, Rejected):
            return Phase.REJECTED
        return Phase.UNKNOWN if self.outcome is not None else Phase.SENT

    @property
    def _told_by_venue(self) -> bool:
        return self.report is not None or bool(self._fills)


def _nobody(client_order_id: str) -> bool:
    return False


def _silent(order: TrackedOrder) -> None:
    pass


class Tracker:
    """Every order of one account, by client order id and by the venue's id.

    is_ours: whether a client order id was minted by this program; it recognises orders of earlier
    runs. on_change: called after each change of an own order, when everything is committed.
    kept: finished own orders and foreign orders kept, each; the oldest go first. Open ones stay.
    factory: the class of the orders, for shells that add waiting.
    """

    def __init__(self, is_ours: Callable[[str], bool] = _nobody,
                 on_change: Callable[[TrackedOrder], None] = _silent, *, kept: int = 10_000,
                 factory: Callable[[], TrackedOrder] = TrackedOrder) -> None:
        self.conflicts = 0              # refusals by REST that the venue's stream contradicted
        self.duplicates = 0             # reports and fills that told nothing new
        self._is_ours = is_ours
        self._on_change = on_change
        self._kept = kept
        self._factory = factory
        self._by_client: dict[str, TrackedOrder] = {}
        self._by_order: dict[int, TrackedOrder] = {}
        # Ordered sets; _open: own and not final; _done: own and final
        self._open: dict[TrackedOrder, None] = {}
        self._done: dict[TrackedOrder, None] = {}
        self._foreign: dict[TrackedOrder, None] = {}

    def __iter__(self) -> Iterator[TrackedOrder]:
        """Own orders, open and finished."""
        return iter([*self._open, *self._done])

    def find(self, order: int | str) -> TrackedOrder | None:
        """An order by venue id (int) or client order id (str), foreign ones included."""
        if isinstance(order, str):
            return self._by_client.get(order)
        return self._by_order.get(order)

    def open_orders(self, symbol: str | None = None) -> tuple[TrackedOrder, ...]:
        """Own orders that are not final, SENT and UNKNOWN ones included, oldest first."""
        return tuple(order for order in self._open if symbol is None or order.symbol == symbol)

    def foreign_orders(self) -> tuple[TrackedOrder, ...]:
        """Orders of other programs, and fills that nobody has claimed yet."""
        return tuple(self._foreign)

    # -- news ------------------------------------------------------------------------------------

    def expect(self, client_order_id: str, symbol: str, side: Side, quantity: Decimal,
               price: Decimal | None = None, type: OrderType = OrderType.LIMIT) -> TrackedOrder:
        """Register an order before its first byte is sent."""
        order = self._by_client.get(client_order_id)
        if order is None:
            order = self._new(client_order_id, None)
        order._expect(symbol, side, quantity, price, type)
        self._settle(order, changed=True)
        return order

    def outcome(self, outcome: Outcome) -> TrackedOrder | None:
        """What REST, or the resolver, said of placing an order; None when it names no order."""
        name, order_id = outcome.client_order_id, outcome.order_id
        order = self._named(name, order_id if isinstance(outcome, Accepted) else None)
        if order is None:
            return None
        order._is_ours = True
        changed = _rank(outcome) > _rank(order.outcome)
        if changed:
            order.outcome = outcome
        if outcome.symbol is not None and order._symbol is None:
            order._symbol = outcome.symbol
        if isinstance(outcome, Unknown) and outcome.ts_sent_ms is not None:
            order.ts_sent_ms = outcome.ts_sent_ms
        if isinstance(outcome, Accepted) and outcome.order is not None:
            order._take_report(outcome.order)
            changed = True
        self._settle(order, changed)
        return order

    def report(self, report: Order) -> TrackedOrder:
        """An order as the venue shows it: a push or a REST read."""
        # A duplicate's refusal carries the id of the order it duplicates: it is not that order.
        is_other = report.state == OrderState.INVALID and report.error_code in _DUPLICATE
        order = self._named(None if is_other else report.client_order_id, report.order_id)
        assert order is not None
        before = order.report
        order._take_report(report)
        changed = order.report is not before
        self.duplicates += not changed
        self._settle(order, changed)
        return order

    def fill(self, fill: Fill) -> TrackedOrder:
        """One execution: a push or a REST read."""
        order = self._named(fill.client_order_id, fill.order_id)
        assert order is not None
        changed = order._take_fill(fill)
        self.duplicates += not changed
        self._settle(order, changed)
        return order

    def replaced(self, old_order_id: int, new_order_id: int, price: Decimal | None = None,
                 quantity: Decimal | None = None) -> TrackedOrder:
        """An amend was accepted: the venue put a new order in the old one's place (16.2).

        price, quantity: what the amend asked for.
        """
        old, new = self._named(None, old_order_id), self._named(None, new_order_id)
        assert old is not None and new is not None
        old.replaced_by, new.replaces = new_order_id, old_order_id
        new._is_ours = True
        if new.outcome is None:
            new.outcome = Accepted(old.symbol, None, new_order_id)
        if new._quantity is None:
            new._symbol, new._side, new._type = old.symbol, old.side, old.type
            new._price, new._quantity = price, quantity
        self._settle(old, changed=False)
        self._settle(new, changed=True)
        return new

    def adopt(self, order_id: int, symbol: str) -> TrackedOrder:
        """An order of ours under the venue's own name: an earlier run's amend has left it."""
        order = self._named(None, order_id)
        assert order is not None
        order._is_ours = True
        if order._symbol is None:
            order._symbol = symbol
        if order.outcome is None:
            order.outcome = Accepted(symbol, None, order_id)
        self._settle(order, changed=True)
        return order

    def forget(self, order: TrackedOrder) -> None:
        """Drop an order that was never sent, as if it had not been registered."""
        self._drop(order)

    # -- names -----------------------------------------------------------------------------------

    def _new(self, client_order_id: str | None, order_id: int | None) -> TrackedOrder:
        order = self._factory()
        order.client_order_id, order.order_id = client_order_id, order_id
        if client_order_id is not None:
            self._by_client[client_order_id] = order
        if order_id is not None:
            self._by_order[order_id] = order
        return order

    def _named(self, name: str | None, order_id: int | None) -> TrackedOrder | None:
        """The order of these names, made when new, joined when it was known as two."""
        by_name = self._by_client.get(name) if name is not None else None
        by_id = self._by_order.get(order_id) if order_id is not None else None
        if by_name is not None and by_id is not None and by_name is not by_id:
            if by_name.order_id is not None:
                return by_id            # two orders under one client id: each keeps its own life
            self._drop(by_id)
            by_name._absorb(by_id)
        order = by_name or by_id
        if by_name is not None and order_id is not None and by_name.order_id not in (
                None, order_id):
            order = by_id or self._new(None, order_id)
            name = None
        if order is None:
            if name is None and order_id is None:
                return None
            return self._new(name, order_id)
        if name is not None and order.client_order_id is None:
            order.client_order_id = name
            self._by_client[name] = order
        if order_id is not None:
            order.order_id = order_id
            self._by_order[order_id] = order
        return order

    def _drop(self, order: TrackedOrder) -> None:
        """Forget an order."""
        if order.client_order_id is not None:
            self._by_client.pop(order.client_order_id, None)
        if order.order_id is not None:
            self._by_order.pop(order.order_id, None)
        self._move(order, _Room.NONE)

    # -- after every piece of news ---------------------------------------------------------------

    def _settle(self, order: TrackedOrder, changed: bool) -> None:
        order._is_ours = order._is_ours or self._recognises(order)
        old, order.phase = order.phase, order._computed()
        if (isinstance(order.outcome, Rejected) and order._told_by_venue
                and order.phase is not Phase.REJECTED):
            # REST refused what the venue shows alive: believe what it shows.
            order.outcome = Accepted(order.symbol, order.client_order_id, order.order_id)
            self.conflicts += 1
            changed = True
        if not order._is_ours:
            self._move(order, _Room.FOREIGN)
            return
        self._move(order, _Room.DONE if order.is_final else _Room.OPEN)
        if changed or order.phase != old:
            self._on_change(order)

    def _recognises(self, order: TrackedOrder) -> bool:
        name = order.client_order_id
        if name is None and order.report is not None:
            name = order.report.client_order_id
        if name is None:
            return False
        namesake = self._by_client.get(name)
        return (namesake is not None and namesake._is_ours) or self._is_ours(name)

    def _move(self, order: TrackedOrder, room: _Room) -> None:
        if order._room is room:
            return
        rooms = {_Room.OPEN: self._open, _Room.DONE: self._done, _Room.FOREIGN: self._foreign}
        if order._room is not _Room.NONE:
            rooms[order._room].pop(order, None)
        order._room = room
        if room is _Room.NONE:
            return
        kept = rooms[room]
        kept[order] = None
        while room is not _Room.OPEN and len(kept) > self._kept:
            self._drop(next(iter(kept)))

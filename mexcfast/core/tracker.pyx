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

cimport cython

from decimal import Context, Decimal
from enum import IntEnum

from mexcfast.types import (
    Accepted,
    OrderErrorCode,
    OrderState,
    OrderType,
    Rejected,
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
    def is_final(self):
        return self >= Phase.FILLED


cdef enum _Phase:
    SENT = 0
    UNKNOWN = 1
    OPEN = 2
    FILLED = 3
    CANCELLED = 4
    REJECTED = 5

cdef tuple PHASES = tuple(Phase)    # by number: an enum's own look-up is slow
cdef _Phase[4] BY_RANK              # of the outcome, when the venue has shown nothing
BY_RANK[0], BY_RANK[1], BY_RANK[2], BY_RANK[3] = SENT, UNKNOWN, REJECTED, OPEN
cdef dict FINAL_PHASES = {
    int(OrderState.FILLED): FILLED,
    int(OrderState.CANCELLED): CANCELLED,
    int(OrderState.INVALID): REJECTED,
}


cdef enum _Room:            # which of the tracker's lists holds an order
    NOWHERE = 0
    AMONG_OPEN = 1
    AMONG_DONE = 2
    AMONG_FOREIGN = 3


cdef enum _Rank:            # of what REST said
    NOTHING = 0
    ONLY_UNKNOWN = 1
    REFUSED = 2
    ACCEPTED = 3


cdef int rank(object outcome) except -1:
    if outcome is None:
        return NOTHING
    if type(outcome) is Accepted:       # at once what it nearly always is
        return ACCEPTED
    return (ONLY_UNKNOWN if isinstance(outcome, Unknown)
            else REFUSED if isinstance(outcome, Rejected) else ACCEPTED)


def order_age(order):
    """How far along the order's one history a report is.

    Each member grows along the history, so they may stand in any order; pushes without a version
    still sort among reads that have one. The last decides between equals: the more exact average
    wins. Who needs a total order takes str(order) as well.
    """
    exponent = order.average_price.as_tuple().exponent
    digits = -exponent if isinstance(exponent, int) else 0
    return (order.is_final, order.filled_quantity, 0 if order.is_final else int(order.state),
            -1 if order.version is None else order.version, order.ts_updated_ms, digits)


def _fill_age(fill):
    return fill.ts_venue_ms, fill.fill_id


@cython.auto_pickle(False)
cdef class TrackedOrder:
    """One order. Read its attributes at any time; they change as news arrives.

    Quantities in contracts, prices in quote currency, all exact Decimals.
    """

    def __init__(self, client_order_id=None, order_id=None):
        self.client_order_id = client_order_id
        self.order_id = order_id
        self.phase = PHASES[SENT]
        self._filled = self._fill_value = _ZERO

    def __repr__(self):
        return (f"<Order {self.client_order_id or self.order_id} {self.symbol} {self.phase.name} "
                f"{self.filled_quantity}/{self.quantity} at {self.price}>")

    @property
    def is_ours(self):
        """Placed by this program, in this run or an earlier one."""
        return self._is_ours

    @property
    def is_final(self):
        """Filled, cancelled or rejected: it changes no more."""
        return self._phase >= FILLED

    @property
    def symbol(self):
        """The contract; None while only a fill of it is known."""
        return self.report.symbol if self.report is not None else self._symbol

    @property
    def side(self):
        """What it does to the position."""
        return self.report.side if self.report is not None else self._side

    @property
    def type(self):
        """How long it lives, and at which price."""
        return self.report.type if self.report is not None else self._type

    @property
    def quantity(self):
        """Contracts ordered; the venue's word when it has spoken."""
        return self.report.quantity if self.report is not None else self._quantity

    @property
    def price(self):
        """The limit, in quote currency; the venue's word when it has spoken."""
        return self.report.price if self.report is not None else self._price

    @property
    def fills(self):
        """Executions seen, oldest first."""
        if self._fills is None:
            return ()
        return tuple(sorted(self._fills.values(), key=_fill_age))

    @property
    def filled_quantity(self):
        """The larger of what fills add up to and what the venue reported: neither can be ahead."""
        if self.report is None:
            return self._filled
        return max(self._filled, self.report.filled_quantity)

    @property
    def remaining_quantity(self):
        """Contracts not filled; after a cancel those that will not be."""
        quantity = self.quantity
        return None if quantity is None else _EXACT.subtract(quantity, self.filled_quantity)

    @property
    def has_all_fills(self):
        """Every contract reported as filled is also known as a fill."""
        return self.report is None or self._filled >= self.report.filled_quantity

    @property
    def average_price(self):
        """Average fill price, to 28 digits; None without fills.

        From the fills when they are complete, else the venue's own average.
        """
        if self.has_all_fills:
            return self._fill_value / self._filled if self._filled else None
        return self.report.average_price if self.report is not None else None

    @property
    def fees(self):
        """Currency -> fees so far, positive paid, negative received."""
        if self.has_all_fills or self.report is None:
            return {} if self._fees is None else dict(self._fees)
        fee = _EXACT.add(self.report.taker_fee, self.report.maker_fee)
        return {self.report.fee_currency: fee} if fee else {}

    # -- facts in --------------------------------------------------------------------------------

    cdef int expect(self, object symbol, object side, object quantity, object price,
                    object type) except -1:
        self._is_ours = True
        self._symbol, self._side, self._type = symbol, side, type
        self._quantity, self._price = quantity, price
        return 0

    cdef int take_report(self, object order) except -1:
        known = self.report
        if known is not None and known.is_final and order.state != known.state:
            return 0        # absorbed
        if known is None or (order_age(order), str(order)) > (order_age(known), str(known)):
            self.report = order
        return 0

    cdef int take_fill(self, object fill) except -1:
        if self._fills is None:
            self._fills, self._fees = {}, {}
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

    cdef int absorb(self, TrackedOrder other) except -1:
        """Take over what was known of the same order under its other name."""
        if other._fills is not None:
            for fill in other._fills.values():
                self.take_fill(fill)
        if other.report is not None:
            self.take_report(other.report)
        if rank(other.outcome) > rank(self.outcome):
            self.outcome = other.outcome
        if self._quantity is None:
            self._quantity, self._price = other._quantity, other._price
        self.order_id = self.order_id if self.order_id is not None else other.order_id
        self.client_order_id = self.client_order_id or other.client_order_id
        self.replaces = self.replaces or other.replaces
        self.replaced_by = self.replaced_by or other.replaced_by
        self._is_ours = self._is_ours or other._is_ours
        return 0

    cdef int computed(self) except -1:
        """The phase that the facts give."""
        report = self.report
        if report is not None and report.is_final:
            return FINAL_PHASES[int(report.state)]
        if self._fills is not None:
            quantity = self.quantity
            if quantity is not None and self._filled and self._filled >= quantity:
                return FILLED
        if report is not None or self._fills:
            return OPEN
        return BY_RANK[rank(self.outcome)]

    cdef bint told_by_venue(self) except -1:
        return self.report is not None or bool(self._fills)


def _nobody(client_order_id):
    return False


def _silent(order):
    pass


@cython.final
@cython.auto_pickle(False)
cdef class Tracker:
    """Every order of one account, by client order id and by the venue's id.

    is_ours: whether a client order id was minted by this program; it recognises orders of earlier
    runs. on_change: called after each change of an own order, when everything is committed.
    kept: finished own orders and foreign orders kept, each; the oldest go first. Open ones stay.
    factory: the class of the orders, for shells that add waiting.
    """

    def __init__(self, is_ours=_nobody, on_change=_silent, *, kept=10_000, factory=TrackedOrder):
        self.conflicts = 0
        self.duplicates = 0
        self._recognise = is_ours
        self._on_change = on_change
        self._kept = kept
        self._factory = factory
        self._by_client = {}
        self._by_order = {}
        self._open = {}
        self._done = {}
        self._foreign = {}

    def __iter__(self):
        """Own orders, open and finished."""
        return iter([*self._open, *self._done])

    cpdef TrackedOrder find(self, object order):
        """An order by venue id (int) or client order id (str), foreign ones included."""
        if isinstance(order, str):
            return self._by_client.get(order)
        return self._by_order.get(order)

    def open_orders(self, symbol=None):
        """Own orders that are not final, SENT and UNKNOWN ones included, oldest first."""
        if symbol is None:
            return tuple(self._open)
        return tuple([order for order in self._open if order.symbol == symbol])

    def foreign_orders(self):
        """Orders of other programs, and fills that nobody has claimed yet."""
        return tuple(self._foreign)

    # -- news ------------------------------------------------------------------------------------

    cpdef TrackedOrder expect(self, object client_order_id, object symbol, object side,
                              object quantity, object price=None, object type=OrderType.LIMIT):
        """Register an order before its first byte is sent."""
        cdef TrackedOrder order = self._by_client.get(client_order_id)
        if order is None:
            order = self.new(client_order_id, None)
        order.expect(symbol, side, quantity, price, type)
        self.settle(order, True)
        return order

    cpdef TrackedOrder outcome(self, object outcome):
        """What REST, or the resolver, said of placing an order; None when it names no order."""
        cdef bint is_accepted = rank(outcome) == ACCEPTED, changed
        cdef TrackedOrder order = self.named(outcome.client_order_id,
                                             outcome.order_id if is_accepted else None)
        if order is None:
            return None
        order._is_ours = True
        changed = rank(outcome) > rank(order.outcome)
        if changed:
            order.outcome = outcome
        if order._symbol is None and outcome.symbol is not None:
            order._symbol = outcome.symbol
        if is_accepted:
            if outcome.order is not None:
                order.take_report(outcome.order)
                changed = True
        elif isinstance(outcome, Unknown) and outcome.ts_sent_ms is not None:
            order.ts_sent_ms = outcome.ts_sent_ms
        self.settle(order, changed)
        return order

    def report(self, report):
        """An order as the venue shows it: a push or a REST read."""
        # A duplicate's refusal carries the id of the order it duplicates: it is not that order.
        is_other = report.state == OrderState.INVALID and report.error_code in _DUPLICATE
        cdef TrackedOrder order = self.named(None if is_other else report.client_order_id,
                                             report.order_id)
        before = order.report
        order.take_report(report)
        cdef bint changed = order.report is not before
        self.duplicates += not changed
        self.settle(order, changed)
        return order

    def fill(self, fill):
        """One execution: a push or a REST read."""
        cdef TrackedOrder order = self.named(fill.client_order_id, fill.order_id)
        cdef bint changed = order.take_fill(fill)
        self.duplicates += not changed
        self.settle(order, changed)
        return order

    def replaced(self, old_order_id, new_order_id, price=None, quantity=None):
        """An amend was accepted: the venue put a new order in the old one's place (16.2).

        price, quantity: what the amend asked for.
        """
        cdef TrackedOrder old = self.named(None, old_order_id)
        cdef TrackedOrder new = self.named(None, new_order_id)
        old.replaced_by, new.replaces = new_order_id, old_order_id
        new._is_ours = True
        if new.outcome is None:
            new.outcome = Accepted(old.symbol, None, new_order_id)
        if new._quantity is None:
            new._symbol, new._side, new._type = old.symbol, old.side, old.type
            new._price, new._quantity = price, quantity
        self.settle(old, False)
        self.settle(new, True)
        return new

    def adopt(self, order_id, symbol):
        """An order of ours under the venue's own name: an earlier run's amend has left it."""
        cdef TrackedOrder order = self.named(None, order_id)
        order._is_ours = True
        if order._symbol is None:
            order._symbol = symbol
        if order.outcome is None:
            order.outcome = Accepted(symbol, None, order_id)
        self.settle(order, True)
        return order

    cpdef object forget(self, TrackedOrder order):
        """Drop an order that was never sent, as if it had not been registered."""
        if order is None:
            raise TypeError("order is None; allowed: an order of this tracker")
        self.drop(order)

    # -- names -----------------------------------------------------------------------------------

    cdef TrackedOrder new(self, object client_order_id, object order_id):
        cdef TrackedOrder order = self._factory()
        order.client_order_id, order.order_id = client_order_id, order_id
        if client_order_id is not None:
            self._by_client[client_order_id] = order
        if order_id is not None:
            self._by_order[order_id] = order
        return order

    cdef TrackedOrder named(self, object name, object order_id):
        """The order of these names, made when new, joined when it was known as two."""
        cdef TrackedOrder by_name = self._by_client.get(name) if name is not None else None
        cdef TrackedOrder by_id = self._by_order.get(order_id) if order_id is not None else None
        if by_name is not None and by_id is not None and by_name is not by_id:
            if by_name.order_id is not None:
                return by_id            # two orders under one client id: each keeps its own life
            self.drop(by_id)
            by_name.absorb(by_id)
        cdef TrackedOrder order = by_name if by_name is not None else by_id
        if by_name is not None and order_id is not None and (
                by_name.order_id is not None and by_name.order_id != order_id):
            order = by_id if by_id is not None else self.new(None, order_id)
            name = None
        if order is None:
            if name is None and order_id is None:
                return None
            return self.new(name, order_id)
        if name is not None and order.client_order_id is None:
            order.client_order_id = name
            self._by_client[name] = order
        if order_id is not None:
            order.order_id = order_id
            self._by_order[order_id] = order
        return order

    cdef int drop(self, TrackedOrder order) except -1:
        """Forget an order."""
        if order.client_order_id is not None:
            self._by_client.pop(order.client_order_id, None)
        if order.order_id is not None:
            self._by_order.pop(order.order_id, None)
        self.move(order, NOWHERE)
        return 0

    # -- after every piece of news ---------------------------------------------------------------

    cdef int settle(self, TrackedOrder order, bint changed) except -1:
        cdef int old = order._phase
        order._is_ours = order._is_ours or self.recognises(order)
        order._phase = order.computed()
        order.phase = PHASES[order._phase]
        if (order._phase != REJECTED and rank(order.outcome) == REFUSED
                and order.told_by_venue()):
            # REST refused what the venue shows alive: believe what it shows.
            order.outcome = Accepted(order.symbol, order.client_order_id, order.order_id)
            self.conflicts += 1
            changed = True
        if not order._is_ours:
            self.move(order, AMONG_FOREIGN)
            return 0
        self.move(order, AMONG_DONE if order._phase >= FILLED else AMONG_OPEN)
        if changed or order._phase != old:
            self._on_change(order)
        return 0

    cdef bint recognises(self, TrackedOrder order) except -1:
        cdef TrackedOrder namesake
        name = order.client_order_id
        if name is None and order.report is not None:
            name = order.report.client_order_id
        if name is None:
            return False
        namesake = self._by_client.get(name)
        return (namesake is not None and namesake._is_ours) or self._recognise(name)

    cdef int move(self, TrackedOrder order, int room) except -1:
        if order._room == room:
            return 0
        cdef dict kept = self.room(order._room)
        if kept is not None:
            kept.pop(order, None)
        order._room = room
        kept = self.room(room)
        if kept is None:
            return 0
        kept[order] = None
        while room != AMONG_OPEN and len(kept) > self._kept:
            self.drop(next(iter(kept)))
        return 0

    cdef dict room(self, int room):
        return (self._open if room == AMONG_OPEN else self._done if room == AMONG_DONE
                else self._foreign if room == AMONG_FOREIGN else None)

"""What proves the fate of a request whose outcome is Unknown. Pure judgement, no questions asked.

A write is proven not executed only when looks after its expiry find nothing: until its signed time
is outside the venue's window, a request delayed on its way could still be taken (protocol.md 3.4
and 4). What the venue shows proves the opposite at once.

    create   found by client order id: it lives or lived; absent after expiry: it never did
    amend    the old order open and unchanged after expiry: not executed; the old one cancelled and
             exactly one heir with the new price and quantity: executed (16.2 gives a new id)
    cancel   the order final: nothing left to cancel; open after expiry: not executed
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

from mexcfast.core.journal import Entry
from mexcfast.errors import OrderRejected
from mexcfast.types import Accepted, Order, OrderErrorCode, OrderState, Rejected

#: How far an order's own time may lie before the signed time of the request that made it.
CLOCK_SLACK_MS = 2000
#: How far apart the end of an amended order and the birth of its heir may lie.
ONE_STEP_MS = 10


class Absence:
    """Counts looks that found nothing.

    expires_ms: the venue refuses the request from then on, on the venue's clock. asks: how many
    looks it takes; the last one must have begun after expires_ms.
    """

    __slots__ = ("asks", "expires_ms", "looks")

    def __init__(self, expires_ms: int, asks: int = 3) -> None:
        self.expires_ms = expires_ms
        self.asks = asks
        self.looks = 0

    def look(self, began_ms: int) -> bool:
        """One more look found nothing; whether that is proof now."""
        self.looks += 1
        return self.looks >= self.asks and self.has_expired(began_ms)

    def has_expired(self, began_ms: int) -> bool:
        """Whether a look begun at this venue time can prove anything."""
        return began_ms > self.expires_ms

    def pause_ms(self, now_ms: int, pause_ms: int) -> int:
        """How long to wait for the next look: the last one need not come before expiry."""
        if self.looks < self.asks - 1:
            return pause_ms
        return max(pause_ms, self.expires_ms + 1 - now_ms)


def created(order: Order, symbol: str, client_order_id: str) -> Accepted | Rejected | None:
    """What a found order says of the request that should have made it; None: nothing."""
    if order.client_order_id != client_order_id or order.symbol != symbol:
        return None
    if order.state == OrderState.INVALID:
        if order.error_code in (OrderErrorCode.OID_DUPLICATE, OrderErrorCode.CID_DUPLICATE):
            return None     # it only says that another order has this id
        return Rejected(OrderRejected(int(order.error_code), order.error_code.name), symbol,
                        client_order_id, order.order_id, order.ts_updated_ms)
    return Accepted(symbol, client_order_id, order.order_id, order.ts_created_ms, order)


def amended(entry: Entry, old: Order, others: Iterable[Order], has_expired: bool,
            known: Collection[int]) -> Accepted | Rejected | None:
    """Whether an amend was executed.

    old: the order it was about, as read now. others: orders of the contract, open and past, that
    may be its heir. known: order ids that are somebody else's for certain.
    None: not proven yet, or several heirs are possible.
    """
    def no(why: str) -> Rejected:
        return Rejected(OrderRejected(None, why), entry.symbol, None, entry.order_id)

    if not old.is_final:
        if old.price == entry.price and old.quantity == entry.quantity:
            return Accepted(entry.symbol, None, old.order_id, order=old)    # changed in place
        return no("the amend was not executed: the order is unchanged") if has_expired else None
    if old.state != OrderState.CANCELLED:
        return no("the amend came too late: the order is final")
    heirs = [order for order in {other.order_id: other for other in others}.values()
             if order.order_id != old.order_id and order.order_id not in known
             and order.symbol == entry.symbol and order.side == old.side
             and order.price == entry.price and order.quantity == entry.quantity
             and order.ts_created_ms >= entry.ts_sent_ms - CLOCK_SLACK_MS
             and _is_nameless(order, old)]
    if heirs:
        # The venue replaces in one step: of several, the heir born when the old order ended.
        born = {order.order_id: order for order in heirs
                if len(heirs) == 1 or abs(order.ts_created_ms - old.ts_updated_ms) <= ONE_STEP_MS}
        if len(born) == 1:
            heir, = born.values()
            return Accepted(entry.symbol, None, heir.order_id, heir.ts_created_ms, heir)
    elif has_expired:
        return no("the amend was not executed: the order was cancelled and has no successor")
    return None


def _is_nameless(order: Order, old: Order) -> bool:
    """An heir has the venue's own name or the old order's; any other name is another request's."""
    name = order.client_order_id
    return name is None or name.startswith("_m_") or name == old.client_order_id


def cancelled(order: Order, has_expired: bool) -> Accepted | Rejected | None:
    """Whether a cancel is settled: Accepted when the order is final, whoever ended it.

    Without the client order id: a refused cancel must not look like the refused order.
    """
    if order.is_final:
        return Accepted(order.symbol, None, order.order_id, order=order)
    if has_expired:
        return Rejected(OrderRejected(None, "the cancel was not executed: the order is open"),
                        order.symbol, None, order.order_id)
    return None


def all_cancelled(orders: Iterable[Order], symbol: str | None, ts_sent_ms: int,
                  has_expired: bool) -> Accepted | Rejected | None:
    """Whether a cancel of everything is settled. orders: those open now."""
    if not any(order.ts_created_ms < ts_sent_ms - CLOCK_SLACK_MS for order in orders):
        return Accepted(symbol)
    if has_expired:
        return Rejected(OrderRejected(None, "the cancel was not executed: orders are open"), symbol)
    return None

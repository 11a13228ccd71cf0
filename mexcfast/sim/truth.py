"""What the exchange knows of orders and accounts, as JSON, to compare a client with.

From code: Venue.order_history(), account_state(), money() and Book.ahead().
"""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

from mexcfast.sim.accounts import Account
from mexcfast.sim.waiting import PlanOrder, StopOrder, TrackOrder

if TYPE_CHECKING:
    from mexcfast.sim.market import Market
    from mexcfast.sim.server import Exchange


def owner(exchange: Exchange, access_key: str | None) -> Account:
    """The account of a key, or the exchange's own; ValueError."""
    if access_key is None:
        return exchange.account
    found = exchange.venue.keys.get(access_key)
    if found is None:
        raise ValueError("this access key has no account")
    return found


def order(exchange: Exchange, order_id: str) -> dict[str, Any]:
    """An order, every version of it, and what is served before it while it waits."""
    venue = exchange.venue
    found = venue.orders.get(int(order_id)) if order_id.isdecimal() else None
    if found is None:
        raise ValueError(f"order {order_id[:40]!r} is unknown")
    book = venue.markets[found.contract.symbol].book
    ahead = book.ahead(found.id) if found.id in book.orders else None
    return {
        "order": found.wire(push=False, as_int=venue.ids_as_int),
        "ahead": None if ahead is None else {"contracts": ahead[0], "orders": ahead[1]},
        "history": [
            {
                "version": one.version,
                "state": one.state,
                "errorCode": one.error_code,
                "price": text(one.price),
                "vol": one.vol,
                "dealVol": one.deal_vol,
                "dealAvgPrice": text(one.average),
                "time": one.time_ms,
            }
            for one in found.history
        ],
    }


def account(exchange: Exchange, access_key: str | None) -> dict[str, Any]:
    """Money, positions, open and waiting orders of one account."""
    venue, one = exchange.venue, owner(exchange, access_key)
    state = venue.account_state(one)
    as_int = venue.ids_as_int
    return {
        "uid": one.uid,
        "positionMode": one.position_mode,
        "cash": texts(state.cash),
        "frozen": texts(state.frozen),
        "margin": texts(state.margin),
        "equity": texts(state.equity),
        "positions": [venue.position_wire(one, held, push=False) for held in state.positions],
        "open_orders": [each.wire(push=False, as_int=as_int) for each in state.open_orders],
        "waiting": [each.wire(as_int) for each in state.waiting],
    }


def open_counts(exchange: Exchange) -> dict[str, int]:
    """Open orders of the exchange's own account by kind, and its positions."""
    own = exchange.account
    waiting = exchange.venue.conditional.of(own)
    kinds = {"plan": PlanOrder, "stop": StopOrder, "trailing": TrackOrder}
    return {
        "limit": len(own.open_orders),
        **{name: sum(isinstance(one, kind) for one in waiting) for name, kind in kinds.items()},
        "positions": sum(1 for one in own.positions.values() if one.hold_vol),
    }


def prices(market: Market) -> dict[str, str]:
    """Last, fair and index price."""
    price = market.contract.price
    return {
        "last": text(price(market.last_tick)),
        "fair": text(price(market.fair_tick)),
        "index": text(price(market.index_tick)),
    }


def texts(amounts: dict[str, Decimal]) -> dict[str, str]:
    """Exact amounts by currency."""
    return {name: text(amount) for name, amount in amounts.items()}


def text(amount: Decimal) -> str:
    """Exact, without an exponent."""
    return format(amount, "f")

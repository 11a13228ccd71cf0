"""What proves the fate of writes about plan, TP/SL and trailing orders. Pure judgement.

The venue gives these orders no client order id (protocol.md 16.4 to 16.6), so a placement is
recognised by what was asked for and by when the order was born:

    place    one order with these terms, born while the request could be taken: executed; after
             expiry none, and none that may have been it and was changed since: not executed;
             several: nobody can tell, it stays in doubt
    change   the order has the wished terms: executed; it has others after expiry, or is final: not
    cancel   none of the orders waits any more: nothing left to cancel; some do after expiry: not

Only members that the venue shows as they were sent are compared. A TP/SL placement may amend a
waiting order with the same prices instead (16.5): there a waiting order with the terms is enough.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from types import MappingProxyType
from typing import Any

from mexcfast.conditional import PlanOrder, StopOrder, TrailingOrder
from mexcfast.core.journal import Entry
from mexcfast.core.proof import CLOCK_SLACK_MS
from mexcfast.errors import NotFound, OrderRejected
from mexcfast.types import Accepted, ConditionalState, Order, Rejected, TrailingState

#: route -> the kind of order it is about; "attached": the TP/SL prices of an ordinary order
PLACES: Mapping[str, str] = MappingProxyType({
    "plan_place": "plan", "plan_place_v1": "plan", "stop_place": "stop",
    "track_place": "trailing"})
CHANGES: Mapping[str, str] = MappingProxyType({
    "plan_change_price": "plan", "plan_change_stop": "plan", "stop_change_price": "attached",
    "stop_change_plan_price": "stop", "track_change": "trailing"})
CANCELS: Mapping[str, str] = MappingProxyType({
    "plan_cancel": "plan", "plan_cancel_all": "plan", "stop_cancel": "stop",
    "stop_cancel_all": "stop", "track_cancel": "trailing"})
KINDS: Mapping[str, str] = MappingProxyType({**PLACES, **CHANGES, **CANCELS})

#: What no later change can alter: an order that differs here was never this placement.
_FIXED = {"plan": ("side", "vol", "openType"), "stop": ("positionId",), "trailing": ("side",)}
#: Left out of a request these mean that there is none (16.4, 16.5); so does activePrice (12.6).
_LEGS = ("stopLossPrice", "takeProfitPrice")


@dataclass(frozen=True, slots=True)
class Seen:
    """One conditional order as the venue shows it, the three kinds alike.

    terms: in the names that requests use; a price that is not there is 0.
    """

    id: int
    symbol: str
    is_waiting: bool
    ts_created_ms: int
    ts_updated_ms: int
    terms: Mapping[str, Decimal]


def _terms(**values: Any) -> Mapping[str, Decimal]:
    return {name: _number(value) for name, value in values.items()}


def _number(value: Any) -> Decimal:
    return Decimal(0) if value is None else Decimal(value)


def seen(record: PlanOrder | StopOrder | TrailingOrder | Order) -> Seen:
    """A record of any kind, ready to be compared."""
    times = record.ts_created_ms, record.ts_updated_ms
    if isinstance(record, PlanOrder):
        return Seen(record.plan_id, record.symbol, record.state == ConditionalState.UNTRIGGERED,
                    *times, _terms(
            side=record.side, vol=record.quantity, openType=record.open_type,
            triggerPrice=record.trigger_price, triggerType=record.trigger_type,
            trend=record.trend, orderType=record.type, price=record.price,
            stopLossPrice=record.stop_loss_price, takeProfitPrice=record.take_profit_price))
    if isinstance(record, StopOrder):
        return Seen(record.stop_id, record.symbol, record.state == ConditionalState.UNTRIGGERED,
                    *times, _terms(
            positionId=record.position_id, vol=record.quantity,
            stopLossPrice=record.stop_loss_price, takeProfitPrice=record.take_profit_price))
    if isinstance(record, TrailingOrder):
        waits = record.state in (TrailingState.NOT_ACTIVATED, TrailingState.ACTIVATED)
        return Seen(record.track_id, record.symbol, waits, *times, _terms(
            side=record.side, vol=record.quantity, openType=record.open_type, trend=record.trend,
            activePrice=record.active_price, backType=record.back_type,
            backValue=record.back_value))
    return Seen(record.order_id, record.symbol, not record.is_final, *times, _terms(
        stopLossPrice=record.stop_loss_price, takeProfitPrice=record.take_profit_price))


def asked(route: str, body: str) -> Mapping[str, Decimal]:
    """The terms of a request's body that the venue shows again."""
    members: dict[str, Any] = json.loads(body, parse_float=Decimal)
    shown = _SHOWN[KINDS[route]]
    terms = {name: _number(value) for name, value in members.items() if name in shown}
    if route in ("plan_place", "plan_change_stop", "stop_place") or (
            route == "stop_change_price" and not any(terms.values())):
        terms |= {name: _number(members.get(name)) for name in _LEGS}
    if route == "track_place":
        terms["activePrice"] = _number(members.get("activePrice"))
    return terms


_SHOWN: Mapping[str, frozenset[str]] = MappingProxyType({
    "plan": frozenset(("side", "vol", "openType", "triggerPrice", "triggerType", "trend",
                       "orderType", "price", *_LEGS)),
    "stop": frozenset(("positionId", "vol", *_LEGS)),
    "attached": frozenset(_LEGS),
    "trailing": frozenset(("side", "vol", "openType", "trend", "activePrice", "backType",
                           "backValue"))})


def _fits(terms: Mapping[str, Decimal], row: Seen) -> bool:
    return all(row.terms[name] == value for name, value in terms.items())


def _no(entry: Entry, why: str) -> Rejected:
    return Rejected(OrderRejected(None, why), entry.symbol or None, None, entry.order_id)


def _yes(row: Seen) -> Accepted:
    return Accepted(row.symbol, None, row.id, row.ts_created_ms)


def placed(entry: Entry, rows: Iterable[Seen], expires_ms: int, has_expired: bool,
           known: Collection[int]) -> Accepted | Rejected | None:
    """Whether a placement was executed; None: not proven yet, or several could be it.

    rows: every order of this kind and contract born since the request was signed, with TP/SL also
    those that wait. expires_ms: the venue refuses the request from then on. known: ids that are
    another request's for certain.
    """
    assert entry.body is not None
    kind, terms = KINDS[entry.what], asked(entry.what, entry.body)
    fixed = {name: terms[name] for name in _FIXED[kind] if name in terms}
    first_ms, last_ms = entry.ts_sent_ms - CLOCK_SLACK_MS, expires_ms + CLOCK_SLACK_MS
    mine = [row for row in {row.id: row for row in rows}.values()
            if entry.symbol in ("", row.symbol) and _fits(fixed, row)]
    born = [row for row in mine
            if first_ms <= row.ts_created_ms <= last_ms and row.id not in known]
    same = {row.id: row for row in born if _fits(terms, row)}
    if kind == "stop":
        same |= {row.id: row for row in mine if row.is_waiting and _fits(terms, row)}
    if len(same) == 1:
        row, = same.values()
        return _yes(row)
    if same or not has_expired:
        return None
    # One that was changed since may have been placed with these terms: that is no absence. Nor
    # is a TP/SL order that ended with them, for it may have been amended by this request.
    if any(row.ts_updated_ms > row.ts_created_ms for row in born):
        return None
    if kind == "stop" and any(_fits(terms, row) and row.ts_updated_ms >= first_ms
                              for row in mine):
        return None
    return Rejected(NotFound(None, "no such order, waiting or past"), entry.symbol or None)


def changed(entry: Entry, row: Seen | None, has_expired: bool) -> Accepted | Rejected | None:
    """Whether a change is in force. row: the order it was about; None: not found."""
    assert entry.body is not None
    if row is None:
        if not has_expired:
            return None
        return Rejected(NotFound(None, "no such order, waiting or past"), entry.symbol or None,
                        None, entry.order_id)
    if _fits(asked(entry.what, entry.body), row):
        return _yes(row)
    if not row.is_waiting:
        return _no(entry, "the change came too late: the order is final")
    if has_expired:
        return _no(entry, "the change was not executed: the order has other terms")
    return None


def named(entry: Entry) -> set[int]:
    """The orders that a cancel names; none when it is about all of a contract or a position."""
    assert entry.body is not None
    body = json.loads(entry.body)
    if isinstance(body, list):
        return {int(item.get("orderId") or item["stopPlanOrderId"]) for item in body}
    return set() if entry.order_id is None else {entry.order_id}


def cancelled(entry: Entry, waiting: Iterable[Seen], has_expired: bool
              ) -> Accepted | Rejected | None:
    """Whether a cancel is settled. waiting: the orders of this kind that wait now."""
    assert entry.body is not None
    ids = named(entry)
    if ids:
        left = [row for row in waiting if row.id in ids]
    else:
        # Of all: those that are certainly older than the request.
        position = json.loads(entry.body).get("positionId")
        left = [row for row in waiting if row.ts_created_ms < entry.ts_sent_ms - CLOCK_SLACK_MS
                and (row.terms["positionId"] == position if position
                     else entry.symbol in ("", row.symbol))]
    if not left:
        return Accepted(entry.symbol or None, None, entry.order_id)
    if has_expired:
        numbers = ", ".join([str(row.id) for row in left[:5]])
        return _no(entry, f"the cancel was not executed: {len(left)} still wait ({numbers})")
    return None

"""The venue's records as execution reports."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from nautilus_trader.core.uuid import UUID4
from nautilus_trader.execution.reports import FillReport, OrderStatusReport, PositionStatusReport
from nautilus_trader.model.enums import LiquiditySide, OrderStatus, OrderType, PositionSide
from nautilus_trader.model.identifiers import AccountId, ClientOrderId, TradeId
from nautilus_trader.model.instruments import Instrument

import mexcfast as mx
from mexcfast.adapters.nautilus import names
from mexcfast.adapters.nautilus.names import NS_PER_MS
from mexcfast.types import Fill, Order, OrderErrorCode, Position, PositionType

#: names the venue gives to orders that came without one, or by an amend (12.1)
VENUE_MARKS = ("_m_", "CHASE_LIMIT")


class Reports:
    """Makes reports of one account. hedge: positions have sides of their own."""

    def __init__(self, account_id: AccountId, hedge: bool, now_ns: Any) -> None:
        self.account_id = account_id
        self.hedge = hedge
        self._now_ns = now_ns

    def position_id(self, symbol: str, side: mx.Side) -> Any:
        """In hedge mode which position an order of this side works on; else None."""
        return names.position_id(symbol, names.is_long_side(side)) if self.hedge else None

    def order(self, order: Order, instrument: Instrument, name: ClientOrderId | None, *,
              before: Decimal = Decimal(0), status: OrderStatus | None = None,
              filled: Decimal | None = None) -> OrderStatusReport:
        """One order. name: as the node knows it, None for one of others.

        before: filled by the orders that an amend has replaced by this one. status, filled:
        instead of the venue's.
        """
        kind, time_in_force = names.ORDER_TYPES.get(order.type, names.ORDER_TYPES[1])
        precision = instrument.size_precision
        done = order.filled_quantity if filled is None else filled
        state = names.status(order) if status is None else status
        if before and state == OrderStatus.ACCEPTED:
            state = OrderStatus.PARTIALLY_FILLED
        why = None
        if order.error_code != OrderErrorCode.NORMAL:
            why = order.error_code.name
        return OrderStatusReport(
            account_id=self.account_id, instrument_id=instrument.id, client_order_id=name,
            venue_order_id=names.venue_order_id(order.order_id),
            order_side=names.order_side(order.side), order_type=kind,
            time_in_force=time_in_force, order_status=state,
            quantity=names.quantity(order.quantity + before, precision),
            filled_qty=names.quantity(done + before, precision),
            price=None if kind == OrderType.MARKET
            else names.price(order.price, instrument.price_precision),
            avg_px=order.average_price or None,
            post_only=order.type == mx.OrderType.POST_ONLY,
            reduce_only=bool(order.reduce_only) or not order.side.is_open,
            venue_position_id=self.position_id(order.symbol, order.side), cancel_reason=why,
            ts_accepted=order.ts_created_ms * NS_PER_MS,
            ts_last=max(order.ts_updated_ms, order.ts_created_ms) * NS_PER_MS,
            report_id=UUID4(), ts_init=self._now_ns())

    def fill(self, fill: Fill, instrument: Instrument, name: ClientOrderId | None) -> FillReport:
        """One execution."""
        return FillReport(
            account_id=self.account_id, instrument_id=instrument.id, client_order_id=name,
            venue_order_id=names.venue_order_id(fill.order_id),
            trade_id=TradeId(str(fill.fill_id)), order_side=names.order_side(fill.side),
            last_qty=names.quantity(fill.quantity, instrument.size_precision),
            last_px=names.price(fill.price, instrument.price_precision),
            commission=names.money(fill.fee, fill.fee_currency), liquidity_side=liquidity(fill),
            venue_position_id=self.position_id(fill.symbol, fill.side),
            ts_event=fill.ts_venue_ms * NS_PER_MS, report_id=UUID4(), ts_init=self._now_ns())

    def position(self, position: Position, instrument: Instrument) -> PositionStatusReport:
        """One holding."""
        is_long = position.type == PositionType.LONG
        return PositionStatusReport(
            account_id=self.account_id, instrument_id=instrument.id,
            position_side=PositionSide.LONG if is_long else PositionSide.SHORT,
            quantity=names.quantity(position.quantity, instrument.size_precision),
            avg_px_open=position.hold_average_price or None,
            venue_position_id=names.position_id(position.symbol, is_long) if self.hedge else None,
            ts_last=position.ts_updated_ms * NS_PER_MS, report_id=UUID4(),
            ts_init=self._now_ns())

    def flat(self, instrument: Instrument) -> PositionStatusReport:
        """Nothing is held."""
        now_ns = self._now_ns()
        return PositionStatusReport(
            account_id=self.account_id, instrument_id=instrument.id,
            position_side=PositionSide.FLAT,
            quantity=names.quantity(Decimal(0), instrument.size_precision),
            ts_last=now_ns, report_id=UUID4(), ts_init=now_ns)


def liquidity(fill: Fill) -> LiquiditySide:
    """Maker or taker; unknown when the venue did not say."""
    if fill.is_taker is None:
        return LiquiditySide.NO_LIQUIDITY_SIDE
    return LiquiditySide.TAKER if fill.is_taker else LiquiditySide.MAKER


def own_name(text: str | None) -> ClientOrderId | None:
    """The client order id of a record, unless it is one of the venue's making."""
    if not text or text.startswith(VENUE_MARKS):
        return None
    return ClientOrderId(text)

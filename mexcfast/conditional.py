"""Results of conditional orders: plan (trigger), TP/SL and trailing (protocol.md 11.5, 12.5, 12.6).

Quantities in contracts, prices in quote currency, exact Decimals; times in ms of the venue's clock.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from mexcfast.types import (
    BackType,
    ConditionalState,
    OpenType,
    OrderErrorCode,
    OrderType,
    PositionMode,
    PositionType,
    Side,
    StopVolumeType,
    TrailingState,
    TriggerPrice,
    TriggerSide,
    TriggerType,
)


@dataclass(frozen=True, slots=True)
class PlanOrder:
    """12.5. Becomes an ordinary order when its trigger price is reached."""

    plan_id: int
    symbol: str
    side: Side
    type: OrderType
    state: ConditionalState
    trigger_price: Decimal
    trigger_type: TriggerType
    trend: TriggerPrice
    price: Decimal | None           # None: market
    quantity: Decimal
    leverage: int
    open_type: OpenType
    valid_hours: int                # 24, 168; 87600 is practically for ever
    order_id: int | None            # the ordinary order, once there is one
    error_code: OrderErrorCode
    position_mode: PositionMode | None
    reduce_only: bool | None
    price_protect: bool | None
    stop_loss_price: Decimal | None
    take_profit_price: Decimal | None
    ts_created_ms: int
    ts_updated_ms: int


@dataclass(frozen=True, slots=True)
class StopOrder:
    """12.6. Take profit and stop loss of a position or of an order."""

    stop_id: int
    symbol: str
    position_id: int
    order_id: int | None            # None: attached to the position
    position_type: PositionType
    state: ConditionalState
    is_final: bool | None
    quantity: Decimal
    placed_quantity: Decimal
    stop_loss_price: Decimal | None
    stop_loss_quantity: Decimal | None
    loss_trend: TriggerPrice | None
    take_profit_price: Decimal | None
    take_profit_quantity: Decimal | None
    profit_trend: TriggerPrice | None
    volume_type: StopVolumeType | None
    trigger_side: TriggerSide
    placed_order_id: int | None
    error_code: OrderErrorCode
    version: int | None
    ts_created_ms: int
    ts_updated_ms: int


@dataclass(frozen=True, slots=True)
class TrailingOrder:
    """12.6. Follows the price at a distance and triggers when it turns."""

    track_id: int
    symbol: str
    side: Side
    quantity: Decimal
    leverage: int
    open_type: OpenType
    state: TrailingState
    trend: TriggerPrice
    active_price: Decimal           # 0: active at once
    extreme_price: Decimal | None   # since activation
    back_type: BackType
    back_value: Decimal             # 0.02 is 2 %, or an absolute distance
    trigger_price: Decimal | None   # moves with extreme_price
    order_id: int | None
    error_code: OrderErrorCode
    position_mode: PositionMode | None
    reduce_only: bool | None
    ts_created_ms: int
    ts_updated_ms: int

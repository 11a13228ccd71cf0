"""Plan, TP/SL and trailing orders: what they wait for and how they look (protocol.md 11.5, 12)."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import ROUND_DOWN, Decimal
from typing import Any

from mexcfast.sim.accounts import LONG, MARKET, ZERO, Attached, direction
from mexcfast.sim.contracts import Contract
from mexcfast.sim.matching import BUY
from mexcfast.sim.wire import shown_id

# Plan and TP/SL states
UNTRIGGERED, CANCELLED, EXECUTED, EXPIRED, FAILED = 1, 2, 3, 4, 5
# Trailing states
INACTIVE, ACTIVE, TRACK_EXECUTED, TRACK_FAILED, TRACK_CANCELLED = 0, 1, 2, 3, 4
# Reference prices
LAST, FAIR, INDEX = 1, 2, 3
TAKE_PROFIT, STOP_LOSS = 1, 2
PARTIAL, WHOLE = 1, 2
#: executeCycle of a request to hours
CYCLE_HOURS = {1: 24, 2: 168}
#: States of stoporder/order_details (doc21) by our state
DETAIL_STATES = {UNTRIGGERED: 0, EXECUTED: 3, CANCELLED: 5, EXPIRED: 6, FAILED: 6}


@dataclass(slots=True, kw_only=True)
class Waits:
    """What all three have."""

    id: int
    uid: int
    contract: Contract
    create_ms: int
    update_ms: int = 0
    state: int = UNTRIGGERED
    error_code: int = 0
    order_id: int = 0
    """Plan and trailing: the order that was placed. TP/SL: the one that carried the prices."""
    changed: bool = False
    """Something moved that is still to be told."""

    @property
    def is_waiting(self) -> bool:
        """Not fired, cancelled or expired."""
        return self.state == UNTRIGGERED

    def cancel(self, now_ms: int, state: int = CANCELLED) -> None:
        """End without firing."""
        self.state, self.update_ms = state, now_ms


@dataclass(slots=True, kw_only=True)
class Places(Waits):
    """The order that plan and trailing orders place."""

    side: int
    vol: int
    leverage: int
    open_type: int
    trend: int
    position_mode: int
    reduce_only: bool

    def terms(self, as_int: bool) -> dict[str, Any]:
        """The members that both show."""
        return {
            "id": shown_id(self.id, as_int),
            "symbol": self.contract.symbol,
            "leverage": self.leverage,
            "side": self.side,
            "vol": self.vol,
            "openType": self.open_type,
            "trend": self.trend,
            "orderId": shown_id(self.order_id, as_int) if self.order_id else 0,
            "errorCode": self.error_code,
            "state": self.state,
            "createTime": self.create_ms,
            "updateTime": self.update_ms,
            "positionMode": self.position_mode,
            "reduceOnly": self.reduce_only,
        }


@dataclass(slots=True, kw_only=True)
class PlanOrder(Places):
    """An order that is placed when a price reaches a level (12.5)."""

    trigger_price: Decimal
    trigger_type: int
    cycle_hours: int
    order_type: int
    price: Decimal
    price_protect: int
    attached: Attached

    channel = "plan.order"

    @property
    def expires_ms(self) -> int:
        """When it gives up waiting."""
        return self.create_ms + self.cycle_hours * 3_600_000

    def see(self, source: int, price: Decimal) -> bool:
        """Whether this price fires it."""
        if source != self.trend:
            return False
        return price >= self.trigger_price if self.trigger_type == 1 else price <= (
            self.trigger_price
        )

    def wire(self, as_int: bool) -> dict[str, Any]:
        """Plan order object; a market order has no price."""
        view: dict[str, Any] = {
            **self.terms(as_int),
            "triggerPrice": self.trigger_price,
            "triggerType": self.trigger_type,
            "executeCycle": self.cycle_hours,
            "orderType": self.order_type,
            "marketOrderLevel": 0,
            "priceProtect": self.price_protect,
            "ensureStopLoss": 0,
            "extraTakerFeeRate": 0,
            **self.attached.wire(),
        }
        if self.order_type != MARKET:
            view["price"] = self.price
        return view


@dataclass(slots=True)
class Leg:
    """One side of a TP/SL order."""

    price: Decimal = ZERO
    trend: int = LAST
    vol: int = 0
    reverse: int = 2
    """1: open the other direction after closing."""
    order_type: int = 0
    """0 market, 1 limit at order_price."""
    order_price: Decimal = ZERO


@dataclass(slots=True, kw_only=True)
class StopOrder(Waits):
    """Take profit and stop loss of a position (12.6)."""

    position_id: int
    position_type: int
    vol: int
    profit: Leg
    loss: Leg
    vol_type: int = PARTIAL
    separate: bool = False
    price_protect: int = 0
    trigger_side: int = 0
    place_order_id: int = 0
    reality_vol: int = 0
    close_tries: int = 0
    reverse_tries: int = 0
    reverse_error: int = 0
    version: int = 0

    channel = "stop.planorder"

    @property
    def fired(self) -> Leg:
        """The leg that fired."""
        return self.profit if self.trigger_side == TAKE_PROFIT else self.loss

    def see(self, source: int, price: Decimal) -> bool:
        """Whether this price fires one of the legs."""
        long = self.position_type == LONG
        if self.loss.price and source == self.loss.trend:
            fires = price <= self.loss.price if long else price >= self.loss.price
            if fires:
                self.trigger_side = STOP_LOSS
                return True
        if self.profit.price and source == self.profit.trend:
            fires = price >= self.profit.price if long else price <= self.profit.price
            if fires:
                self.trigger_side = TAKE_PROFIT
                return True
        return False

    def cancel(self, now_ms: int, state: int = CANCELLED) -> None:
        """End without firing."""
        Waits.cancel(self, now_ms, state)
        self.version += 1

    def wire(self, as_int: bool) -> dict[str, Any]:
        """TP/SL order object; a price that is not set is absent."""
        view: dict[str, Any] = {
            "id": self.id,
            "orderId": shown_id(self.order_id, as_int),
            "symbol": self.contract.symbol,
            "positionId": shown_id(self.position_id, as_int),
            "lossTrend": self.loss.trend,
            "profitTrend": self.profit.trend,
            "state": self.state,
            "triggerSide": self.trigger_side,
            "positionType": self.position_type,
            "vol": self.vol,
            "takeProfitVol": self.profit.vol,
            "stopLossVol": self.loss.vol,
            "realityVol": self.reality_vol,
            "errorCode": self.error_code,
            "version": self.version,
            "isFinished": 0 if self.is_waiting else 1,
            "priceProtect": self.price_protect,
            "profitLossVolType": "SEPARATE" if self.separate else "SAME",
            "volType": self.vol_type,
            "takeProfitReverse": self.profit.reverse,
            "stopLossReverse": self.loss.reverse,
            "takeProfitType": self.profit.order_type,
            "stopLossType": self.loss.order_type,
            "takeProfitOrderPrice": self.profit.order_price,
            "stopLossOrderPrice": self.loss.order_price,
            "closeTryTimes": self.close_tries,
            "reverseTryTimes": self.reverse_tries,
            "reverseErrorCode": self.reverse_error,
            "ensureStopLoss": 0,
            "createTime": self.create_ms,
            "updateTime": self.update_ms,
        }
        if self.profit.price:
            view["takeProfitPrice"] = self.profit.price
        if self.loss.price:
            view["stopLossPrice"] = self.loss.price
        if self.place_order_id:
            view["placeOrderId"] = shown_id(self.place_order_id, as_int)
        return view

    def details(self) -> dict[str, Any]:
        """stoporder/order_details (doc21): whole numbers and its own states."""
        return {
            "id": self.id,
            "stopOrderId": self.id,
            "positionId": self.position_id,
            "orderId": self.order_id,
            "symbol": self.contract.symbol,
            "stopLossPrice": self.loss.price,
            "takeProfitPrice": self.profit.price,
            "state": DETAIL_STATES[self.state],
            "vol": self.vol,
            "realityVol": self.reality_vol,
            "triggerPrice": self.fired.price if self.trigger_side else ZERO,
            "placeOrderId": self.place_order_id,
            "errorCode": self.error_code,
            "positionType": self.position_type,
            "createTime": self.create_ms,
            "updateTime": self.update_ms,
        }


@dataclass(slots=True, kw_only=True)
class TrackOrder(Places):
    """A trailing order: follows the best price and fires when it turns back (12.6)."""

    active_price: Decimal
    back_type: int
    back_value: Decimal
    state: int = INACTIVE
    mark_price: Decimal = ZERO
    trigger_price: Decimal = ZERO

    channel = "track.order"

    @property
    def is_waiting(self) -> bool:
        """Not fired or cancelled."""
        return self.state in (INACTIVE, ACTIVE)

    @property
    def buys(self) -> bool:
        """A buy follows the price down and fires on the way up."""
        return direction(self.side) == BUY

    def see(self, source: int, price: Decimal) -> bool:
        """Activate, follow, and say whether this price fires it."""
        if source != self.trend:
            return False
        if self.state == INACTIVE:
            reached = price <= self.active_price if self.buys else price >= self.active_price
            if self.active_price and not reached:
                return False
            self.state = ACTIVE
            self._follow(price)
        elif price < self.mark_price if self.buys else price > self.mark_price:
            self._follow(price)
        return price >= self.trigger_price if self.buys else price <= self.trigger_price

    def _follow(self, price: Decimal) -> None:
        self.mark_price = price
        back = price * self.back_value if self.back_type == 1 else self.back_value
        exact = price + back if self.buys else price - back
        unit = self.contract.price_unit
        ticks = (exact / unit).to_integral_value(rounding=ROUND_DOWN)
        if ticks * unit == price:  # a distance below one tick would fire at once
            ticks += 1 if self.buys else -1
        self.trigger_price = ticks * unit
        self.changed = True

    def restart(self) -> None:
        """Forget what was followed, after a change of its terms."""
        self.state, self.mark_price, self.trigger_price = INACTIVE, ZERO, ZERO

    def cancel(self, now_ms: int, state: int = TRACK_CANCELLED) -> None:
        """End without firing."""
        Waits.cancel(self, now_ms, state)

    def wire(self, as_int: bool) -> dict[str, Any]:
        """Trailing order object."""
        return {
            **self.terms(as_int),
            "activePrice": self.active_price,
            "markPrice": self.mark_price,
            "backType": self.back_type,
            "backValue": self.back_value,
            "triggerPrice": self.trigger_price,
            "triggerType": 1 if self.buys else 2,
        }


Waiting = PlanOrder | StopOrder | TrackOrder

"""Plan (trigger), TP/SL and trailing orders over REST (protocol.md 16.4 to 16.6).

The venue gives them no client order id. So an Unknown outcome is settled by what was asked for and
when (net/conditional_doubts); until then an equal placement, or another change of the same order,
is refused. Prices and quantities are checked against the contract where it is known; nothing is
rounded. Placements are held to Orders.limits as the orders they would become.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any, Literal, cast

from mexcfast.conditional import PlanOrder, StopOrder, TrailingOrder
from mexcfast.core.account import Kind
from mexcfast.core.intent import (
    CANCEL_MAX,
    OrderIntent,
    check_price,
    check_quantity,
    encode_body,
    exact_decimal,
)
from mexcfast.core.rest import Subject
from mexcfast.core.throttle import Lane
from mexcfast.errors import IntentError
from mexcfast.net.conditional_doubts import ConditionalDoubts
from mexcfast.net.executor import Executor
from mexcfast.net.exposure import Promise
from mexcfast.net.surface import Surface, serves, walk
from mexcfast.types import (
    Accepted,
    BackType,
    ConditionalState,
    Contract,
    ExecuteCycle,
    OpenType,
    OrderType,
    Outcome,
    PositionMode,
    PositionType,
    Record,
    Rejected,
    Side,
    StopVolumeType,
    TrailingState,
    TriggerPrice,
    TriggerType,
    Unknown,
)

Number = int | str | float | Decimal


class _Conditional(Surface):
    """What the three kinds share."""

    def __init__(self, executor: Executor, contracts: Mapping[str, Contract],
                 doubts: ConditionalDoubts | None = None) -> None:
        super().__init__(executor)
        self._contracts = contracts
        self._doubts = doubts

    async def _change(self, name: str, members: Mapping[str, object] | list[Any], about: Subject,
                      wait: bool | None, lane: Lane | None = None, promise: Promise | None = None
                      ) -> Outcome:
        """One write; its doubts are settled when there is somebody to do it."""
        if self._doubts is not None:
            return await self._doubts.write(name, members, about, wait, lane, promise)
        return await self._executor.execute(name, encode_body(members), about, wait=wait, lane=lane)

    def _contract(self, symbol: str) -> Contract:
        contract = self._contracts.get(symbol)
        if contract is None:
            raise IntentError("symbol", symbol, "a contract in Orders.contracts")
        return contract

    def _held_to_limits(self, kind: Kind, symbol: str, side: Side, quantity: Number,
                        price: Number | None, *, type: OrderType, open_type: OpenType,
                        leverage: int | None, reduce_only: bool | None,
                        position_mode: PositionMode | None,
                        trigger_price: Number | None = None, rises: bool | None = None
                        ) -> Promise | None:
        """Check the order it would become against RiskLimits; what it would open."""
        if self._doubts is None:
            return None
        contract = self._contract(symbol)
        mode = self._doubts.position_mode if position_mode is None else PositionMode(position_mode)
        reduces = bool(reduce_only) and (not side.is_open or mode == PositionMode.ONE_WAY)
        intent = OrderIntent(
            contract, side, quantity, price, type=type, open_type=open_type, leverage=leverage,
            position_mode=mode if mode.is_known else None, reduce_only=reduces,
            client_order_id="conditional")
        trigger = None if trigger_price is None else check_price(contract, "trigger_price",
                                                                 trigger_price)
        return self._doubts.may_open(intent, kind, trigger, rises)

    def _price(self, symbol: str | None, field: str, value: Number | None) -> Decimal | None:
        """On the contract's tick; without a contract any number from 0."""
        if value is None:
            return None
        if symbol is None:
            number = exact_decimal(field, value)
            if number < 0:
                raise IntentError(field, value, "a number from 0")
            return number
        return check_price(self._contract(symbol), field, value)

    def _or_zero(self, symbol: str | None, field: str, value: Number | None) -> Decimal | None:
        """A price, or 0, which takes it away."""
        if value is not None and exact_decimal(field, value) == 0:
            return Decimal(0)
        return self._price(symbol, field, value)

    @staticmethod
    def _batch(field: str, items: Iterable[Any]) -> list[Any]:
        listed = list(items)
        if not 1 <= len(listed) <= CANCEL_MAX:
            raise IntentError(field, f"{len(listed)} items", f"1 to {CANCEL_MAX}")
        return listed


class PlanOrders(_Conditional):
    """Orders that wait for a trigger price."""

    @serves("plan_place", "plan_place_v1")
    async def place(self, symbol: str, side: Side, quantity: Number, trigger_price: Number,
                    trigger_type: TriggerType, price: Number | None = None, *,
                    type: OrderType = OrderType.LIMIT, open_type: OpenType = OpenType.ISOLATED,
                    leverage: int | None = None, cycle: ExecuteCycle = ExecuteCycle.SEVEN_DAYS,
                    trend: TriggerPrice = TriggerPrice.LAST, price_protect: bool | None = None,
                    position_mode: PositionMode | None = None,
                    loss_trend: TriggerPrice | None = None,
                    profit_trend: TriggerPrice | None = None,
                    stop_loss_price: Number | None = None,
                    take_profit_price: Number | None = None, reduce_only: bool | None = None,
                    version: Literal[1, 2] = 2, wait: bool | None = None) -> Outcome:
        """Place one; Accepted.order_id is the plan's. price: not for MARKET. version: address."""
        if (price is None) != (type == OrderType.MARKET):
            raise IntentError("price", price, "a price, or none with type MARKET")
        if leverage is None and side.is_open:
            raise IntentError("leverage", None, "a value: opening orders need it")
        members = {
            "symbol": symbol, "price": self._price(symbol, "price", price),
            "vol": check_quantity(self._contract(symbol), type, quantity), "leverage": leverage,
            "side": int(side), "openType": int(open_type),
            "triggerPrice": self._price(symbol, "trigger_price", trigger_price),
            "triggerType": int(trigger_type), "executeCycle": int(cycle), "orderType": int(type),
            "trend": int(trend), "priceProtect": None if price_protect is None
            else int(price_protect), "positionMode": position_mode, "lossTrend": loss_trend,
            "profitTrend": profit_trend,
            "stopLossPrice": self._price(symbol, "stop_loss_price", stop_loss_price),
            "takeProfitPrice": self._price(symbol, "take_profit_price", take_profit_price),
            "reduceOnly": reduce_only}
        promise = self._held_to_limits(
            Kind.PLAN, symbol, side, quantity, trigger_price if price is None else price,
            type=type, open_type=open_type, leverage=leverage, reduce_only=reduce_only,
            position_mode=position_mode, trigger_price=trigger_price,
            rises=trigger_type == TriggerType.AT_OR_ABOVE)
        name = "plan_place" if version == 2 else "plan_place_v1"
        return await self._change(name, members, Subject(symbol), wait, None, promise)

    @serves("plan_change_price")
    async def change_price(self, symbol: str, plan_id: int, trigger_price: Number,
                           price: Number | None = None, *, type: OrderType | None = None,
                           trigger_type: TriggerType | None = None,
                           trend: TriggerPrice | None = None, wait: bool | None = None) -> Outcome:
        """Another trigger price, and another price."""
        return await self._change("plan_change_price", {
            "symbol": symbol, "orderId": plan_id,
            "triggerPrice": self._price(symbol, "trigger_price", trigger_price),
            "price": self._price(symbol, "price", price), "orderType": type,
            "triggerType": trigger_type, "trend": trend}, Subject(symbol, None, plan_id), wait)

    @serves("plan_change_stop")
    async def change_stop(self, symbol: str, plan_id: int, *,
                          stop_loss_price: Number | None = None,
                          take_profit_price: Number | None = None,
                          loss_trend: TriggerPrice | None = None,
                          profit_trend: TriggerPrice | None = None,
                          wait: bool | None = None) -> Outcome:
        """Other TP/SL prices; 0 takes one away."""
        return await self._change("plan_change_stop", {
            "symbol": symbol, "orderId": plan_id, "lossTrend": loss_trend,
            "profitTrend": profit_trend,
            "stopLossPrice": self._or_zero(symbol, "stop_loss_price", stop_loss_price),
            "takeProfitPrice": self._or_zero(symbol, "take_profit_price", take_profit_price),
        }, Subject(symbol, None, plan_id), wait)

    @serves("plan_cancel")
    async def cancel(self, plans: Iterable[tuple[str, int]], *, wait: bool = True) -> Outcome:
        """Cancel up to 50, each a contract and an id. The venue does not answer one by one."""
        items = [{"symbol": symbol, "orderId": plan_id}
                 for symbol, plan_id in self._batch("plans", plans)]
        return await self._change("plan_cancel", items, Subject(), wait)

    @serves("plan_cancel_all")
    async def cancel_all(self, symbol: str | None = None, *, wait: bool = True) -> Outcome:
        """Cancel every plan of one contract, or of all."""
        return await self._change("plan_cancel_all", {"symbol": symbol}, Subject(symbol), wait)

    @serves("plan_orders")
    async def orders(self, symbol: str | None = None, *,
                     states: Sequence[ConditionalState] = (), side: Side | None = None,
                     start_ms: int | None = None, end_ms: int | None = None, page: int = 1,
                     page_size: int = 20) -> tuple[PlanOrder, ...]:
        """One page. The newest documents demand both times; 7 days when they are left out."""
        return cast(tuple[PlanOrder, ...], await self._read(
            "plan_orders", symbol=symbol, states=[int(s) for s in states] or None, side=side,
            start_time=start_ms, end_time=end_ms, page_num=page, page_size=page_size))

    def iterate(self, symbol: str | None = None, *, states: Sequence[ConditionalState] = (),
                start_ms: int | None = None, end_ms: int | None = None, page_size: int = 20
                ) -> AsyncIterator[PlanOrder]:
        """Every plan order."""
        return walk(lambda page: self.orders(symbol, states=states, start_ms=start_ms,
                                             end_ms=end_ms, page=page, page_size=page_size),
                    page_size)


class StopOrders(_Conditional):
    """Take profit and stop loss of positions and of orders."""

    @serves("stop_place")
    async def place(self, position_id: int, quantity: Number, *, symbol: str | None = None,
                    stop_loss_price: Number | None = None,
                    take_profit_price: Number | None = None,
                    loss_trend: TriggerPrice = TriggerPrice.LAST,
                    profit_trend: TriggerPrice = TriggerPrice.LAST,
                    price_protect: bool | None = None, separate: bool | None = None,
                    take_profit_quantity: Number | None = None,
                    stop_loss_quantity: Number | None = None,
                    volume_type: StopVolumeType | None = None,
                    take_profit_reverse: bool | None = None,
                    stop_loss_reverse: bool | None = None,
                    take_profit_limit: Number | None = None, stop_loss_limit: Number | None = None,
                    wait: bool | None = None) -> Outcome:
        """Guard a position; Accepted.order_id is the TP/SL order's.

        symbol: checks prices against this contract. separate: own quantities for each side.
        take_profit_limit, stop_loss_limit: limit prices; market when left out.
        """
        if stop_loss_price is None and take_profit_price is None:
            raise IntentError("stop_loss_price", None, "a price here or in take_profit_price")
        members = {
            "positionId": position_id, "vol": exact_decimal("quantity", quantity),
            "lossTrend": int(loss_trend), "profitTrend": int(profit_trend),
            "stopLossPrice": self._price(symbol, "stop_loss_price", stop_loss_price),
            "takeProfitPrice": self._price(symbol, "take_profit_price", take_profit_price),
            "priceProtect": None if price_protect is None else int(price_protect),
            "profitLossVolType": None if separate is None else "SEPARATE" if separate else "SAME",
            "takeProfitVol": take_profit_quantity, "stopLossVol": stop_loss_quantity,
            "volType": volume_type, "takeProfitReverse": _reverse(take_profit_reverse),
            "stopLossReverse": _reverse(stop_loss_reverse),
            "takeProfitType": None if take_profit_limit is None else 1,
            "takeProfitOrderPrice": self._price(symbol, "take_profit_limit", take_profit_limit),
            "stopLossType": None if stop_loss_limit is None else 1,
            "stopLossOrderPrice": self._price(symbol, "stop_loss_limit", stop_loss_limit)}
        promise = None
        if self._doubts is not None:
            self._doubts.may_exit()
            for reverses, leg, amount in (
                    (stop_loss_reverse, stop_loss_price, stop_loss_quantity),
                    (take_profit_reverse, take_profit_price, take_profit_quantity)):
                if reverses and leg is not None:
                    found = self._reversal(position_id, leg, quantity if amount is None else amount)
                    if promise is None or (found and found.quantity > promise.quantity):
                        promise = found
        return await self._change("stop_place", members, Subject(symbol), wait, None, promise)

    def _reversal(self, position_id: int, price: Number, quantity: Number) -> Promise | None:
        """A leg that turns the position around opens as much in the other direction (11.5)."""
        assert self._doubts is not None
        position = self._doubts.position(position_id)
        side = Side.OPEN_SHORT if position.type == PositionType.LONG else Side.OPEN_LONG
        return self._held_to_limits(
            Kind.STOP, position.symbol, side, quantity, price, type=OrderType.MARKET,
            open_type=position.open_type, leverage=position.leverage, reduce_only=None,
            position_mode=None)

    @serves("stop_cancel")
    async def cancel(self, stop_ids: Iterable[int], *, wait: bool = True) -> Outcome:
        """Cancel up to 50."""
        items = [{"stopPlanOrderId": number} for number in self._batch("stop_ids", stop_ids)]
        return await self._change("stop_cancel", items, Subject(), wait)

    @serves("stop_cancel_all")
    async def cancel_all(self, symbol: str | None = None, *, position_id: int | None = None,
                         wait: bool = True) -> Outcome:
        """Cancel those of a position, else of a contract, else all."""
        return await self._change("stop_cancel_all", {
            "positionId": position_id, "symbol": symbol}, Subject(symbol), wait)

    @serves("stop_change_price")
    async def change_price_of_order(self, order_id: int, *, symbol: str | None = None,
                                    stop_loss_price: Number | None = None,
                                    take_profit_price: Number | None = None,
                                    wait: bool | None = None, **more: Any) -> Outcome:
        """Other prices attached to a limit order; both 0 or left out take them away.

        more: loss_trend, profit_trend, take_profit_reverse, stop_loss_reverse.
        """
        members = self._new_prices(symbol, stop_loss_price, take_profit_price, **more)
        return await self._change("stop_change_price", {"orderId": order_id, **members},
                                 Subject(symbol, None, order_id), wait)

    @serves("stop_change_plan_price")
    async def change_price(self, stop_id: int, *, symbol: str | None = None,
                           stop_loss_price: Number | None = None,
                           take_profit_price: Number | None = None, wait: bool | None = None,
                           **more: Any) -> Outcome:
        """Other prices of a TP/SL order; at least one above 0. more: as change_price_of_order."""
        members = self._new_prices(symbol, stop_loss_price, take_profit_price, **more)
        if not members["stopLossPrice"] and not members["takeProfitPrice"]:
            raise IntentError("stop_loss_price", stop_loss_price,
                              "a price above 0 here or in take_profit_price")
        return await self._change("stop_change_plan_price", {"stopPlanOrderId": stop_id, **members},
                                  Subject(symbol, None, stop_id), wait)

    def _new_prices(self, symbol: str | None, stop_loss_price: Number | None,
                    take_profit_price: Number | None, *,
                    loss_trend: TriggerPrice | None = None,
                    profit_trend: TriggerPrice | None = None,
                    take_profit_reverse: bool | None = None,
                    stop_loss_reverse: bool | None = None) -> dict[str, object]:
        return {"stopLossPrice": self._or_zero(symbol, "stop_loss_price", stop_loss_price),
                "takeProfitPrice": self._or_zero(symbol, "take_profit_price", take_profit_price),
                "lossTrend": loss_trend, "profitTrend": profit_trend,
                "takeProfitReverse": _reverse(take_profit_reverse),
                "stopLossReverse": _reverse(stop_loss_reverse)}

    @serves("stop_orders")
    async def orders(self, symbol: str | None = None, *, is_final: bool | None = None,
                     state: ConditionalState | None = None, type: PositionType | None = None,
                     start_ms: int | None = None, end_ms: int | None = None, page: int = 1,
                     page_size: int = 20) -> tuple[StopOrder, ...]:
        """One page, open and past."""
        return cast(tuple[StopOrder, ...], await self._read(
            "stop_orders", symbol=symbol, is_finished=None if is_final is None else int(is_final),
            state=state, type=type, start_time=start_ms, end_time=end_ms, page_num=page,
            page_size=page_size))

    def iterate(self, symbol: str | None = None, *, is_final: bool | None = None,
                start_ms: int | None = None, end_ms: int | None = None, page_size: int = 20
                ) -> AsyncIterator[StopOrder]:
        """Every TP/SL order."""
        return walk(lambda page: self.orders(symbol, is_final=is_final, start_ms=start_ms,
                                             end_ms=end_ms, page=page, page_size=page_size),
                    page_size)

    @serves("stop_open_orders")
    async def open(self, symbol: str | None = None) -> tuple[StopOrder, ...]:
        """Those that still wait."""
        return cast(tuple[StopOrder, ...], await self._read("stop_open_orders", symbol=symbol))

    @serves("stop_order")
    async def details(self, stop_id: int) -> Record:
        """One, in its own shape; state as in types.StopDetailState. Raises NotFound."""
        return cast(Record, await self._read("stop_order", {"stop_order_id": stop_id}))


def _reverse(flag: bool | None) -> int | None:
    """11.5: 1 reverse the position after the trigger, 2 do not."""
    return None if flag is None else 1 if flag else 2


class TrailingOrders(_Conditional):
    """Orders that follow the price at a distance."""

    @serves("track_place")
    async def place(self, symbol: str, side: Side, quantity: Number, back_type: BackType,
                    back_value: Number, *, leverage: int, open_type: OpenType = OpenType.ISOLATED,
                    trend: TriggerPrice = TriggerPrice.LAST,
                    position_mode: PositionMode = PositionMode.HEDGE,
                    active_price: Number | None = None, reduce_only: bool | None = None,
                    wait: bool | None = None) -> Outcome:
        """Place one; Accepted.order_id is its id. active_price: follows at once when left out."""
        members = {
            "symbol": symbol, "leverage": leverage, "side": int(side),
            "vol": check_quantity(self._contract(symbol), OrderType.MARKET, quantity),
            "openType": int(open_type), "trend": int(trend),
            "activePrice": self._price(symbol, "active_price", active_price),
            "backType": int(back_type), "backValue": exact_decimal("back_value", back_value),
            "positionMode": int(position_mode), "reduceOnly": reduce_only}
        promise = self._held_to_limits(
            Kind.TRAILING, symbol, side, quantity, active_price, type=OrderType.MARKET,
            open_type=open_type, leverage=leverage, reduce_only=reduce_only,
            position_mode=position_mode)
        return await self._change(
            "track_place", members, Subject(symbol), wait,
            Lane.OPEN if side.is_open and not reduce_only else Lane.REDUCE, promise)

    @serves("track_cancel")
    async def cancel(self, symbol: str | None = None, track_id: int | None = None, *,
                     wait: bool = True) -> Outcome:
        """Cancel one, or every one of a contract."""
        if symbol is None and track_id is None:
            raise IntentError("track_id", None, "an id, or a contract")
        return await self._change("track_cancel", {"symbol": symbol, "trackOrderId": track_id},
                                 Subject(symbol, None, track_id), wait)

    @serves("track_change")
    async def change(self, symbol: str, track_id: int, quantity: Number, back_type: BackType,
                     back_value: Number, *, trend: TriggerPrice = TriggerPrice.LAST,
                     active_price: Number | None = None, wait: bool | None = None) -> Outcome:
        """Another distance or quantity; the venue wants everything again."""
        return await self._change("track_change", {
            "symbol": symbol, "trackOrderId": track_id, "trend": int(trend),
            "activePrice": self._price(symbol, "active_price", active_price),
            "backType": int(back_type), "backValue": exact_decimal("back_value", back_value),
            "vol": check_quantity(self._contract(symbol), OrderType.MARKET, quantity)},
            Subject(symbol, None, track_id), wait)

    @serves("track_orders")
    async def orders(self, states: Sequence[TrailingState], symbol: str | None = None, *,
                     side: Side | None = None, start_ms: int | None = None,
                     end_ms: int | None = None, page: int = 1, page_size: int = 20
                     ) -> tuple[TrailingOrder, ...]:
        """One page of the given states."""
        return cast(tuple[TrailingOrder, ...], await self._read(
            "track_orders", states=[int(s) for s in states], symbol=symbol, side=side,
            start_time=start_ms, end_time=end_ms, pageIndex=page, pageSize=page_size))

    def iterate(self, states: Sequence[TrailingState], symbol: str | None = None, *,
                page_size: int = 20) -> AsyncIterator[TrailingOrder]:
        """Every trailing order of the given states."""
        return walk(lambda page: self.orders(states, symbol, page=page, page_size=page_size),
                    page_size)


class Conditional:
    """The three kinds together: client.conditional.plan, .stop, .trailing."""

    def __init__(self, executor: Executor, contracts: Mapping[str, Contract],
                 doubts: ConditionalDoubts | None = None) -> None:
        self.plan = PlanOrders(executor, contracts, doubts)
        self.stop = StopOrders(executor, contracts, doubts)
        self.trailing = TrailingOrders(executor, contracts, doubts)
        self._doubts = doubts

    async def resolve(self, unknown: Unknown) -> Accepted | Rejected:
        """Wait for the proven fate of an Unknown that a method of these three returned.

        After start() it is looked for in the background; else this call looks. Absent is proven
        only once the request has expired (11 s by default). It waits for ever when several orders
        could be the one: nobody can tell then but you, by settle().
        Raises IntentError when it is not in doubt here.
        """
        if self._doubts is None:
            raise IntentError("unknown", unknown, "an outcome of a client's own conditional orders")
        return await self._doubts.resolve(unknown)

    def settle(self, unknown: Unknown, order_id: int | None) -> Accepted | Rejected:
        """Say yourself what became of a doubt that cannot be proven, once you have looked.

        order_id: the plan, TP/SL or trailing order it made or changed; None: it was not executed.
        The journal takes your word. Raises IntentError when it is not in doubt here.
        """
        if self._doubts is None:
            raise IntentError("unknown", unknown, "an outcome of a client's own conditional orders")
        return self._doubts.settle(unknown, order_id)

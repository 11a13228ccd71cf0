"""Plan, TP/SL and trailing orders and self-trade groups over REST (protocol.md 16.4 to 16.7)."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from mexcfast.sim import wire
from mexcfast.sim.accounts import MARKET, ONE_WAY, ZERO, Account
from mexcfast.sim.calls import NOTHING, Call, integers, page, times
from mexcfast.sim.checks import Params, Refused, attached_prices, trend
from mexcfast.sim.contracts import Contract
from mexcfast.sim.positions import held
from mexcfast.sim.settings import Variations
from mexcfast.sim.venue import Venue
from mexcfast.sim.waiting import (
    CYCLE_HOURS,
    PARTIAL,
    WHOLE,
    Leg,
    PlanOrder,
    StopOrder,
    TrackOrder,
)

BATCH = 50


class ConditionalHandlers:
    """One method per row of the endpoint table."""

    def __init__(self, venue: Venue, variations: Variations) -> None:
        self.venue = venue
        self.variations = variations
        self.conditional = venue.conditional

    @property
    def _as_int(self) -> bool:
        return self.variations.ids == "int"

    def _id(self, number: int) -> int | str:
        return wire.shown_id(number, self._as_int)

    # What plan and trailing orders have in common

    def _opening(
        self, call: Call, contract: Contract, side: int, reduce_only: bool
    ) -> tuple[int, int]:
        """(openType, leverage): 2002, 2043, 2006."""
        params, account = call.params, call.user
        open_type = params.need_integer("openType")
        if open_type not in (1, 2):
            raise Refused(2002)
        if params.integer("positionMode") not in (None, account.position_mode):
            raise Refused(2043, "positionMode differs from the account")
        leverage = params.integer("leverage")
        if side in (2, 4) or reduce_only:
            return open_type, leverage or 0
        if leverage is None:
            kind = 1 if side == 1 else 2
            leverage = account.leverage(contract.symbol, kind, open_type)
        if not contract.min_leverage <= leverage <= contract.max_leverage:
            raise Refused(2006)
        return open_type, leverage

    @staticmethod
    def _side(params: Params) -> int:
        side = params.need_integer("side")
        if side not in (1, 2, 3, 4):
            raise Refused(2001)
        return side

    @staticmethod
    def _trigger(contract: Contract, params: Params, name: str = "triggerPrice") -> Decimal:
        price = params.decimal(name)
        if price is None or price <= 0 or contract.tick(price) is None:
            raise Refused(3004)
        return price

    @staticmethod
    def _order_type(params: Params) -> int:
        kind = params.need_integer("orderType")
        if kind not in (1, 2, 3, 4, 5, 6):
            raise Refused(2029)
        return kind

    @staticmethod
    def _plan_price(contract: Contract, params: Params, order_type: int) -> Decimal:
        if order_type in (MARKET, 6):
            return ZERO
        price = params.decimal("price")
        if price is None or price <= 0:
            raise Refused(2007)
        if contract.tick(price) is None:
            raise Refused(2015)
        return price

    @staticmethod
    def _trigger_type(params: Params) -> int:
        kind = params.need_integer("triggerType")
        if kind not in (1, 2):
            raise Refused(3002)
        return kind

    def _vol(self, contract: Contract, params: Params, kind: int, name: str = "vol") -> int:
        vol = params.decimal(name)
        if vol is None:
            raise Refused(600, f"{name} is required")
        return self.venue.admission.vol(contract, vol, kind)

    # Plan orders

    def _plan(self, call: Call) -> PlanOrder:
        params, account, now = call.params, call.user, self.venue.clock_ms()
        symbol, side = params.need_text("symbol"), self._side(params)
        order_type, trigger_type = self._order_type(params), self._trigger_type(params)
        price_trend = trend(params, "trend", required=True)
        cycle = params.need_integer("executeCycle")
        if cycle not in CYCLE_HOURS:
            raise Refused(3003)
        attached = attached_prices(params)
        market = self.venue.admission.tradable(account, symbol, opens=side in (1, 3))
        contract = market.contract
        reduce_only = account.position_mode == ONE_WAY and (
            params.boolean("reduceOnly") or side in (2, 4)
        )
        open_type, leverage = self._opening(call, contract, side, reduce_only)
        plan = PlanOrder(
            id=0,
            uid=account.uid,
            contract=contract,
            side=side,
            vol=self._vol(contract, params, order_type),
            leverage=leverage,
            open_type=open_type,
            trigger_price=self._trigger(contract, params),
            trigger_type=trigger_type,
            cycle_hours=CYCLE_HOURS[cycle],
            order_type=order_type,
            trend=price_trend,
            price=self._plan_price(contract, params, order_type),
            position_mode=account.position_mode,
            reduce_only=reduce_only,
            price_protect=params.integer("priceProtect") or 0,
            attached=attached,
            create_ms=now,
            update_ms=now,
        )
        return self.conditional.place_plan(account, plan)

    def place_plan(self, call: Call) -> Any:
        """The id as text (or number, by variation)."""
        return self._id(self._plan(call).id)

    def place_plan_legacy(self, call: Call) -> Any:
        """The older spelling answers a number."""
        return self._plan(call).id

    def _open_plan(self, account: Account, params: Params) -> PlanOrder:
        """A waiting plan order by id and symbol; 2040, 2041."""
        plan = self.conditional.find(account, PlanOrder, params.need_integer("orderId"), 2040)
        if params.text("symbol") not in (None, plan.contract.symbol):
            raise Refused(2040)
        if not plan.is_waiting:
            raise Refused(2041)
        return plan

    def change_plan(self, call: Call) -> Any:
        """New trigger and price."""
        params = call.params
        plan = self._open_plan(call.user, params)
        order_type, trigger_type = self._order_type(params), self._trigger_type(params)
        price_trend = trend(params, "trend", required=True)
        trigger = self._trigger(plan.contract, params)
        plan.price = self._plan_price(plan.contract, params, order_type)
        plan.trigger_price, plan.trigger_type = trigger, trigger_type
        plan.order_type, plan.trend = order_type, price_trend
        self.conditional.changed(call.user, plan)
        return NOTHING

    def change_plan_stops(self, call: Call) -> Any:
        """TP/SL of a plan order; a price of 0 removes that leg."""
        plan = self._open_plan(call.user, call.params)
        plan.attached = attached_prices(call.params)
        self.conditional.changed(call.user, plan)
        return NOTHING

    def cancel_plans(self, call: Call) -> Any:
        """All of them, or none when one cannot be cancelled."""
        plans = [self._open_plan(call.user, one) for one in call.objects(BATCH, 2013)]
        for plan in plans:
            self.conditional.cancel(call.user, plan)
        return NOTHING

    def _symbol(self, call: Call) -> str | None:
        symbol = call.params.text("symbol")
        if symbol is not None:
            self.venue.market(symbol)
        return symbol

    def cancel_all_plans(self, call: Call) -> Any:
        """Of one contract, or all."""
        symbol = self._symbol(call)
        for plan in self.conditional.listed(call.user, PlanOrder):
            if symbol in (None, plan.contract.symbol):
                self.conditional.cancel(call.user, plan)
        return NOTHING

    def list_plans(self, call: Call) -> Any:
        """Newest first."""
        params, symbol = call.params, self._symbol(call)
        states = integers(params.text("states") or "", "states")
        side = params.integer("side")
        start, end = times(params, self.venue.clock_ms())
        rows = [
            plan.wire(self._as_int)
            for plan in self.conditional.listed(call.user, PlanOrder)
            if symbol in (None, plan.contract.symbol)
            and (not states or plan.state in states)
            and side in (None, plan.side)
            and start <= plan.create_ms <= end
        ]
        return page(rows, params, 100)

    # TP/SL

    def _legs(self, params: Params, contract: Contract, vol: int) -> tuple[Leg, Leg]:
        """(take profit, stop loss) of a body; 3001, 5001, 5003."""
        separate = params.text("profitLossVolType") == "SEPARATE"
        legs = []
        for name, trend_name, reverse_name in (
            ("takeProfit", "profitTrend", "takeProfitReverse"),
            ("stopLoss", "lossTrend", "stopLossReverse"),
        ):
            price = params.decimal(name + "Price") or ZERO
            own = self._vol(contract, params, MARKET, name + "Vol") if (
                separate and price and params.has(name + "Vol")
            ) else vol  # fmt: skip
            kind = params.integer(name + "Type") or 0
            order_price = params.decimal(name + "OrderPrice") or ZERO
            if kind not in (0, 1):
                raise Refused(2029)
            if kind == 1 and (order_price <= 0 or contract.tick(order_price) is None):
                raise Refused(2007)
            reverse = params.integer(reverse_name) or 2
            if reverse not in (1, 2):
                raise Refused(600, f"{reverse_name}: 1 or 2")
            legs.append(
                Leg(price, trend(params, trend_name), own if price else 0, reverse, kind,
                    order_price)
            )  # fmt: skip
        profit, loss = legs
        if not profit.price and not loss.price:
            raise Refused(5001)
        return profit, loss

    def place_stop(self, call: Call) -> Any:
        """TP/SL for a position; the id, also of one that was amended instead."""
        params, account, now = call.params, call.user, self.venue.clock_ms()
        for name in ("lossTrend", "profitTrend"):
            trend(params, name, required=True)
        position = held(account, params.need_integer("positionId"))
        contract = position.contract
        vol_type = params.integer("volType") or PARTIAL
        if vol_type not in (PARTIAL, WHOLE):
            raise Refused(600, "volType: 1 or 2")
        vol = self._vol(contract, params, 1)
        if vol > position.hold_vol:
            raise Refused(5004)
        profit, loss = self._legs(params, contract, vol)
        stop = StopOrder(
            id=0,
            uid=account.uid,
            contract=contract,
            position_id=position.id,
            position_type=position.type,
            vol=vol,
            profit=profit,
            loss=loss,
            create_ms=now,
            vol_type=vol_type,
            separate=params.text("profitLossVolType") == "SEPARATE",
            price_protect=params.integer("priceProtect") or 0,
            update_ms=now,
        )
        return self.conditional.place_stop(account, stop).id

    def _open_stop(self, account: Account, params: Params) -> StopOrder:
        """A waiting TP/SL order by id; 5002."""
        number = params.need_integer("stopPlanOrderId")
        stop = self.conditional.find(account, StopOrder, number, 5002)
        if not stop.is_waiting:
            raise Refused(5002)
        return stop

    def cancel_stops(self, call: Call) -> Any:
        """All of them, or none when one cannot be cancelled."""
        stops = [self._open_stop(call.user, one) for one in call.objects(BATCH, 2013)]
        for stop in stops:
            self.conditional.cancel(call.user, stop)
        return NOTHING

    def cancel_all_stops(self, call: Call) -> Any:
        """Of one position, else of one contract, else all."""
        position_id = call.params.integer("positionId")
        symbol = None if position_id else self._symbol(call)
        for stop in self.conditional.listed(call.user, StopOrder):
            if position_id in (None, 0, stop.position_id) and symbol in (
                None, stop.contract.symbol
            ):  # fmt: skip
                self.conditional.cancel(call.user, stop)
        return NOTHING

    def change_attached(self, call: Call) -> Any:
        """TP/SL prices of a waiting limit order; both 0 removes them. 2040, 2041, 5003."""
        account = call.user
        order = account.orders.get(call.params.need_integer("orderId"))
        if order is None:
            raise Refused(2040)
        if not order.is_open:
            raise Refused(2041)
        attached = attached_prices(call.params)
        if order.closes:
            raise Refused(2043)
        self.venue.admission.stop_prices(
            order.contract, order.opens_type, order.price, attached.take_profit, attached.stop_loss
        )
        order.attached = attached
        order.advance(self.venue.clock_ms())
        self.conditional.push_attached(account, order)
        return NOTHING

    def change_stop(self, call: Call) -> Any:
        """New prices of a TP/SL order; at least one above 0."""
        account, params = call.user, call.params
        stop = self._open_stop(account, params)
        position = held(account, stop.position_id)
        before = (stop.profit, stop.loss)
        stop.profit, stop.loss = self._legs(params, stop.contract, stop.vol)
        try:
            self.conditional.check_prices(position, stop)
        except Refused:
            stop.profit, stop.loss = before
            raise
        self.conditional.changed(account, stop)
        return NOTHING

    def list_stops(self, call: Call) -> Any:
        """Newest first."""
        params, symbol = call.params, self._symbol(call)
        finished, state = params.integer("is_finished"), params.integer("state")
        kind = params.integer("type")
        start, end = times(params, self.venue.clock_ms())
        rows = [
            stop.wire(self._as_int)
            for stop in self.conditional.listed(call.user, StopOrder)
            if symbol in (None, stop.contract.symbol)
            and finished in (None, 0 if stop.is_waiting else 1)
            and state in (None, stop.state)
            and kind in (None, stop.position_type)
            and start <= stop.create_ms <= end
        ]
        return page(rows, params, 100)

    def open_stops(self, call: Call) -> Any:
        """Waiting ones."""
        symbol = self._symbol(call)
        return [
            stop.wire(self._as_int)
            for stop in self.conditional.listed(call.user, StopOrder)
            if stop.is_waiting and symbol in (None, stop.contract.symbol)
        ]

    def stop_details(self, call: Call) -> Any:
        """One by id, in the form of 2021; 5002."""
        number = call.params.need_integer("stop_order_id")
        return self.conditional.find(call.user, StopOrder, number, 5002).details()

    # Trailing

    def _distance(self, contract: Contract, params: Params) -> tuple[int, Decimal, Decimal]:
        """(backType, backValue, activePrice); 600, 3004."""
        kind, value = params.need_integer("backType"), params.decimal("backValue")
        if kind not in (1, 2) or value is None or value <= 0 or (kind == 1 and value >= 1):
            raise Refused(600, "backType 1 with a fraction below 1, or 2 with a distance")
        active = params.decimal("activePrice") or ZERO
        if active < 0 or contract.tick(active) is None:
            raise Refused(3004)
        return kind, value, active

    def place_track(self, call: Call) -> Any:
        """The id as text (or number, by variation)."""
        params, account, now = call.params, call.user, self.venue.clock_ms()
        symbol, side = params.need_text("symbol"), self._side(params)
        price_trend = trend(params, "trend", required=True)
        market = self.venue.admission.tradable(account, symbol, opens=side in (1, 3))
        contract = market.contract
        reduce_only = account.position_mode == ONE_WAY and (
            params.boolean("reduceOnly") or side in (2, 4)
        )
        open_type, leverage = self._opening(call, contract, side, reduce_only)
        back_type, back_value, active = self._distance(contract, params)
        track = TrackOrder(
            id=0,
            uid=account.uid,
            contract=contract,
            side=side,
            vol=self._vol(contract, params, MARKET),
            leverage=leverage,
            open_type=open_type,
            trend=price_trend,
            active_price=active,
            back_type=back_type,
            back_value=back_value,
            position_mode=account.position_mode,
            reduce_only=reduce_only,
            create_ms=now,
            update_ms=now,
        )
        return self._id(self.conditional.place_track(account, track).id)

    def _open_track(self, account: Account, params: Params) -> TrackOrder:
        track = self.conditional.find(
            account, TrackOrder, params.need_integer("trackOrderId"), 2040
        )
        if params.text("symbol") not in (None, track.contract.symbol):
            raise Refused(2040)
        if not track.is_waiting:
            raise Refused(2041)
        return track

    def cancel_tracks(self, call: Call) -> Any:
        """One by id, or all of a contract, or all."""
        if call.params.has("trackOrderId"):
            self.conditional.cancel(call.user, self._open_track(call.user, call.params))
            return NOTHING
        symbol = self._symbol(call)
        for track in self.conditional.listed(call.user, TrackOrder):
            if symbol in (None, track.contract.symbol):
                self.conditional.cancel(call.user, track)
        return NOTHING

    def change_track(self, call: Call) -> Any:
        """New terms; it starts to follow anew."""
        params = call.params
        track = self._open_track(call.user, params)
        price_trend = trend(params, "trend", required=True)
        back_type, back_value, active = self._distance(track.contract, params)
        track.vol = self._vol(track.contract, params, MARKET)
        track.trend, track.active_price = price_trend, active
        track.back_type, track.back_value = back_type, back_value
        track.restart()
        self.conditional.changed(call.user, track)
        return NOTHING

    def list_tracks(self, call: Call) -> Any:
        """Newest first; states are required (6004)."""
        params, symbol = call.params, self._symbol(call)
        states = integers(params.text("states") or "", "states")
        if not states:
            raise Refused(6004)
        side = params.integer("side")
        start, end = times(params, self.venue.clock_ms())
        rows = [
            track.wire(self._as_int)
            for track in self.conditional.listed(call.user, TrackOrder)
            if symbol in (None, track.contract.symbol)
            and track.state in states
            and side in (None, track.side)
            and start <= track.create_ms <= end
        ]
        return page(rows, params, 100)

    # Self-trade-prevention groups

    def list_groups(self, call: Call) -> Any:
        """All groups of the caller, or the one named."""
        name = call.params.text("configName")
        return [one for one in call.user.groups.values() if name in (None, one["groupName"])]

    def own_group(self, call: Call) -> Any:
        """A group that names the caller, of whomever; nothing when there is none."""
        uid = str(call.user.uid)
        for account in self.venue.accounts.values():
            for group in account.groups.values():
                if uid in group["blackList"]:
                    return group
        return NOTHING

    def _group(self, call: Call, *, known: bool) -> tuple[str, list[str]]:
        name = call.params.need_text("configName")
        if (name in call.user.groups) != known:
            raise Refused(600, f"configName {name[:40]!r} {'is unknown' if known else 'exists'}")
        uids = call.params.values.get("blacklist")
        if not isinstance(uids, list) or len(uids) > 100:
            raise Refused(600, "blacklist: an array of at most 100 uids is expected")
        return name, [str(Params({"uid": one}).need_integer("uid")) for one in uids]

    def create_group(self, call: Call) -> Any:
        """Orders with stpMode will not trade with these users either."""
        name, uids = self._group(call, known=False)
        now = self.venue.clock_ms()
        call.user.groups[name] = {
            "groupName": name, "blackList": uids, "createTime": now, "updateTime": now,
        }  # fmt: skip
        return 1

    def update_group(self, call: Call) -> Any:
        """Replace the users of a group."""
        name, uids = self._group(call, known=True)
        call.user.groups[name]["blackList"] = uids
        call.user.groups[name]["updateTime"] = self.venue.clock_ms()
        return NOTHING

    def delete_group(self, call: Call) -> Any:
        """Forget a group; nothing happens when it is unknown."""
        call.user.groups.pop(call.params.need_text("configName"), None)
        return NOTHING

"""Positions and orders over REST (protocol.md 15, 16.1 to 16.3)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from mexcfast.sim import wire
from mexcfast.sim.accounts import CROSS, ISOLATED, LONG, SHORT, Account, Order
from mexcfast.sim.calls import NOTHING, Call, Reply, integers, page, paged, times
from mexcfast.sim.checks import Params, Refused, order_request
from mexcfast.sim.positions import held
from mexcfast.sim.settings import Variations
from mexcfast.sim.venue import Venue
from mexcfast.sim.waiting import PlanOrder, StopOrder, TrackOrder

BATCH = 50


class PrivateHandlers:
    """One method per row of the endpoint table."""

    def __init__(self, venue: Venue, variations: Variations) -> None:
        self.venue = venue
        self.variations = variations

    @property
    def _as_int(self) -> bool:
        return self.variations.ids == "int"

    def _id(self, order_id: int) -> int | str:
        return wire.shown_id(order_id, self._as_int)

    # Positions

    def open_positions(self, call: Call) -> Any:
        """Positions held."""
        symbol, position_id = call.params.text("symbol"), call.params.integer("positionId")
        return [
            self.venue.position_wire(call.user, position, push=False)
            for position in call.user.positions.values()
            if symbol in (None, position.contract.symbol) and position_id in (None, position.id)
        ]

    def _closed(self, call: Call) -> list[Any]:
        params = call.params
        symbol, kind = params.text("symbol"), params.integer("type", "position_type")
        start, end = times(params, self.venue.clock_ms())
        return [
            self.venue.position_wire(call.user, position, push=False)
            for position in reversed(call.user.closed_positions)
            if symbol in (None, position.contract.symbol)
            and kind in (None, position.type)
            and start <= position.update_ms <= end
        ]

    def history_positions(self, call: Call) -> Any:
        """Closed positions, newest first."""
        return page(self._closed(call), call.params, 100)

    def history_positions_paged(self, call: Call) -> Any:
        """The withdrawn spelling answers a page."""
        return paged(self._closed(call), *call.params.page(100))

    def funding_records(self, call: Call) -> Any:
        """Funding paid and received, newest first."""
        params = call.params
        symbol, kind = params.text("symbol"), params.integer("position_type", "positionType")
        position_id = params.integer("position_id", "positionId")
        start, end = times(params, self.venue.clock_ms())
        rows = [
            one.wire()
            for one in reversed(call.user.funding)
            if symbol in (None, one.symbol)
            and kind in (None, one.position_type)
            and position_id in (None, one.position_id)
            and start <= one.time_ms <= end
        ]
        return paged(rows, *params.page(100))

    def change_leverage(self, call: Call) -> Any:
        """By position id, or for a direction without a position."""
        params, account, desk = call.params, call.user, self.venue.desk
        leverage = params.need_integer("leverage")
        mode = params.integer("leverageMode")
        if mode is not None:
            desk.change_leverage_mode(account, mode)
        position_id = params.integer("positionId")
        if position_id:
            desk.change_leverage(account, held(account, position_id), leverage)
            return None
        contract = self.venue.market(params.need_text("symbol")).contract
        open_type, kind = params.need_integer("openType"), params.need_integer("positionType")
        if open_type not in (ISOLATED, CROSS):
            raise Refused(2002)
        if kind not in (LONG, SHORT):
            raise Refused(2022)
        desk.set_leverage(account, contract, kind, open_type, leverage)
        return None

    def change_margin(self, call: Call) -> Any:
        """ADD or SUB margin of an isolated position."""
        params = call.params
        position = held(call.user, params.need_integer("positionId"))
        amount, way = params.decimal("amount"), params.need_text("type")
        if amount is None or amount <= 0:
            raise Refused(1004)
        if way not in ("ADD", "SUB"):
            raise Refused(600, "type: ADD or SUB")
        self.venue.desk.change_margin(call.user, position, amount if way == "ADD" else -amount)
        return NOTHING

    def change_auto_add_im(self, call: Call) -> Any:
        """Automatic top-up of an isolated position."""
        position = held(call.user, call.params.need_integer("positionId"))
        if not call.params.has("isEnabled"):
            raise Refused(600, "isEnabled is required")
        self.venue.desk.change_auto_add(call.user, position, call.params.boolean("isEnabled"))
        return NOTHING

    def position_mode(self, call: Call) -> Any:
        """1 hedge, 2 one-way."""
        return Reply(call.user.position_mode, message="")

    def change_position_mode(self, call: Call) -> Any:
        """Refused while orders or positions exist."""
        self.venue.desk.change_mode(call.user, call.params.need_integer("positionMode"))
        return NOTHING

    def reverse(self, call: Call) -> Any:
        """Close and open the other way; the result is pushed."""
        params = call.params
        contract = self.venue.market(params.need_text("symbol")).contract
        position = held(call.user, params.need_integer("positionId"))
        if position.contract is not contract:
            raise Refused(2043)
        self.venue.desk.reverse(call.user, position, params.need_integer("vol"))
        return NOTHING

    def close_all(self, call: Call) -> Any:
        """Close every position at market."""
        self.venue.desk.close_all(call.user)
        return []

    # Placing and changing

    def create(self, call: Call) -> Any:
        """Place an order; the reply in one of its three shapes (16.1)."""
        order = self.venue.place(call.user, order_request(call.body))
        shape = self.variations.create_reply
        if shape == "object":
            return {"orderId": self._id(order.id), "ts": self.venue.clock_ms()}
        return order.id if shape == "int" else str(order.id)

    def submit(self, call: Call) -> Any:
        """The older spelling answers the bare id."""
        order = self.venue.place(call.user, order_request(call.body))
        return order.id if self.variations.create_reply == "int" else str(order.id)

    def submit_batch(self, call: Call) -> Any:
        """Each item for itself; a known externalOid answers the existing id (4)."""
        rows = []
        for item in call.rows(BATCH, 2014):
            external = item.get("externalOid") if isinstance(item, dict) else None
            row: dict[str, Any] = {"orderId": None, "errorCode": 0, "errorMsg": None}
            if isinstance(external, str):
                row["externalOid"] = external
            try:
                known = call.user.by_external.get(external) if external else None
                order = known or self.venue.place(call.user, order_request(item))
                row["orderId"] = self._id(order.id)
            except Refused as refused:
                row["errorCode"] = refused.code
                row["errorMsg"] = refused.text()
            rows.append(row)
        return rows

    def change_limit_order(self, call: Call) -> Any:
        """Replace by an order with a new id."""
        params = call.params
        price, vol = params.decimal("price"), params.decimal("vol")
        if price is None or vol is None:
            raise Refused(600, "price and vol are required")
        order = self.venue.replace(call.user, params.need_integer("orderId"), price, vol)
        return self._id(order.id)

    def chase_limit_order(self, call: Call) -> Any:
        """Move an order to the best price of its own side."""
        self.venue.chase(call.user, call.params.need_integer("orderId"))
        return NOTHING

    def _cancel_row(self, account: Account, order: Order | None, asked: int) -> dict[str, Any]:
        code, text = 0, "success"
        if order is None:
            refused = Refused(2040)
            code, text = refused.code, refused.text()
        else:
            try:
                self.venue.cancel(account, order)
            except Refused as refused:
                code, text = refused.code, refused.text()
        shown = self._id(order.id if order is not None else asked)
        return {"orderId": shown, "errorCode": code, "errorMsg": text}

    def cancel(self, call: Call) -> Any:
        """Bare array of ids; strings, objects and the wrapper are read too (20, row 18)."""
        body = call.body
        if isinstance(body, dict):
            body = body.get("orderIds", [body] if "orderId" in body else None)
            call.body = body
        ids = []
        for item in call.rows(BATCH, 2013):
            value = item.get("orderId") if isinstance(item, dict) else item
            ids.append(Params({"orderId": value}).need_integer("orderId"))
        account = call.user
        return [self._cancel_row(account, account.orders.get(one), one) for one in ids]

    def _externals(self, call: Call, code: int) -> Iterable[tuple[str, Order | None]]:
        if isinstance(call.body, dict):
            call.body = [call.body]
        found = []
        for item in call.rows(BATCH, code):
            if not isinstance(item, dict):
                raise Refused(600, "objects with symbol and externalOid are expected")
            params = Params(item)
            symbol = params.need_text("symbol")
            external = params.need_text("externalOid")
            order = call.user.by_external.get(external)
            if order is not None and order.contract.symbol != symbol:
                order = None
            found.append((external, order))
        return found

    def cancel_with_external(self, call: Call) -> Any:
        """By client id; one object or an array (20, row 19)."""
        pairs = self._externals(call, 2013)
        return [
            {**self._cancel_row(call.user, order, 0), "externalOid": external}
            for external, order in pairs
        ]

    def cancel_all(self, call: Call) -> Any:
        """One contract, or all with an empty or missing symbol."""
        symbol = call.params.text("symbol")
        if symbol is not None:
            self.venue.market(symbol)
        self.venue.cancel_all(call.user, symbol)
        return NOTHING

    # Queries

    def _rows(self, orders: Iterable[Order]) -> list[Any]:
        return [order.wire(push=False, as_int=self._as_int) for order in orders]

    def _open(self, call: Call) -> list[Any]:
        symbol = call.params.text("symbol")
        if symbol is not None:
            self.venue.market(symbol)
        orders = reversed(call.user.open_orders.values())
        return self._rows(o for o in orders if symbol in (None, o.contract.symbol))

    def open_orders(self, call: Call) -> Any:
        """Newest first, as a list (or paged, by variation)."""
        if self.variations.open_orders == "paged":
            return self.open_orders_paged(call)
        return page(self._open(call), call.params, 100)

    def open_orders_paged(self, call: Call) -> Any:
        """The removed spelling answers a page."""
        return paged(self._open(call), *call.params.page(100))

    def _history(self, call: Call, closed_only: bool) -> list[Any]:
        params = call.params
        symbol = params.text("symbol")
        states = integers(params.text("states") or "", "states")
        side, order_id = params.integer("side"), params.integer("orderId")
        category = params.integer("category")
        start, end = times(params, self.venue.clock_ms())
        chosen = []
        for order in reversed(call.user.orders.values()):
            if closed_only and order.is_open:
                continue
            if (
                symbol in (None, order.contract.symbol)
                and (not states or order.state in states)
                and side in (None, order.side)
                and order_id in (None, order.id)
                and category in (None, order.category)
                and start <= order.create_ms <= end
            ):
                chosen.append(order)
        return self._rows(chosen)

    def history_orders(self, call: Call) -> Any:
        """All orders, newest first."""
        return page(self._history(call, closed_only=False), call.params, 100)

    def history_orders_paged(self, call: Call) -> Any:
        """The removed spelling answers a page."""
        return paged(self._history(call, closed_only=False), *call.params.page(100))

    def close_orders(self, call: Call) -> Any:
        """Finished orders of a contract."""
        self.venue.market(call.params.need_text("symbol"))
        return page(self._history(call, closed_only=True), call.params, 1000)

    def _unknown(self) -> Any:
        """An unknown order: success without data, or 1001 (16.3)."""
        if self.variations.unknown_order == "1001":
            raise Refused(1001)
        return NOTHING

    def external(self, call: Call) -> Any:
        """By client id."""
        order = call.user.by_external.get(call.path["external_oid"])
        if order is None or order.contract.symbol != call.path["symbol"]:
            return self._unknown()
        return order.wire(push=False, as_int=self._as_int)

    def _by_path(self, call: Call) -> Order | None:
        asked = Params({"orderId": call.path["order_id"]}).need_integer("orderId")
        return call.user.orders.get(asked)

    def get_order(self, call: Call) -> Any:
        """By id."""
        order = self._by_path(call)
        return self._unknown() if order is None else order.wire(push=False, as_int=self._as_int)

    def batch_query(self, call: Call) -> Any:
        """Several by id; unknown ones are left out."""
        ids = integers(call.params.need_text("order_ids"), "order_ids")
        if len(ids) > BATCH:
            raise Refused(2034)
        orders = call.user.orders
        return self._rows(orders[one] for one in ids if one in orders)

    def batch_query_with_external(self, call: Call) -> Any:
        """Several by client id; unknown ones are left out."""
        pairs = self._externals(call, 2034)
        return self._rows(order for _, order in pairs if order is not None)

    def deal_details(self, call: Call) -> Any:
        """Fills of one order."""
        order = self._by_path(call)
        if order is None:
            return []
        return [
            deal.wire(push=False, as_int=self._as_int)
            for deal in call.user.deals
            if deal.order_id == order.id
        ]

    def order_deals(self, call: Call) -> Any:
        """Fills of one contract, newest first."""
        params = call.params
        symbol = self.venue.market(params.need_text("symbol")).symbol
        start, end = times(params, self.venue.clock_ms())
        rows = [
            deal.wire(push=False, as_int=self._as_int)
            for deal in reversed(call.user.deals)
            if deal.symbol == symbol and start <= deal.time_ms <= end
        ]
        return page(rows, params, 1000)

    def open_order_total_count(self, call: Call) -> Any:
        """Counts by kind."""
        waiting = self.venue.conditional.of(call.user)
        counts = {
            "limitOrderCount": len(call.user.open_orders),
            "stopOrderCount": sum(isinstance(one, StopOrder) for one in waiting),
            "planOrderCount": sum(isinstance(one, PlanOrder) for one in waiting),
            "trackOrderCount": sum(isinstance(one, TrackOrder) for one in waiting),
        }
        return {"sumCount": sum(counts.values()), **counts}

"""Accounts, positions and orders over REST (protocol.md 14, 15, 16)."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from mexcfast.sim.accounts import (
    CROSS,
    ISOLATED,
    LIMIT,
    LONG,
    MARKET,
    POST_ONLY,
    SHORT,
    Account,
    Order,
    Position,
    direction,
)
from mexcfast.sim.checks import OrderRequest, Params, Refused, order_request
from mexcfast.sim.rest_public import paged
from mexcfast.sim.settings import Variations
from mexcfast.sim.venue import Venue

if TYPE_CHECKING:
    from mexcfast.sim.rest import Call

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
        return order_id if self._as_int else str(order_id)

    # Account

    def assets(self, call: Call) -> Any:
        """Every asset."""
        account = call.user
        return [
            account.asset_full(currency, self.venue.unrealised(account, currency))
            for currency in account.cash
        ]

    def asset(self, call: Call) -> Any:
        """One asset; zeros for a currency never held."""
        currency = call.params.need_text("currency")
        known = {one.contract.settle for one in self.venue.markets.values()}
        if currency not in call.user.cash and currency not in known:
            raise Refused(4001, "Unsupported currency")
        return call.user.asset_full(currency, self.venue.unrealised(call.user, currency))

    def _contracts(self, call: Call) -> list[Any]:
        symbol = call.params.text("symbol")
        if symbol is not None:
            return [self.venue.market(symbol).contract]
        return [one.contract for one in self.venue.markets.values()]

    def fee_rate(self, call: Call) -> Any:
        """Fee rates per contract."""
        keys = (
            "symbol", "isMaxLeverage", "isZeroFeeRate", "maxLeverage",
            "countryConfigContractMaxLeverage", "takerFeeRate", "makerFeeRate", "feeRateMode",
            "leverageFeeRates", "tieredFeeRates", "tieredDealAmount", "tieredEffectiveDay",
            "tieredAppointContract", "tieredExcludeContractId", "tieredContractIds",
            "tieredExcludeZeroFee", "statisticType", "fixedStartTime", "fixedEndTime",
        )  # fmt: skip
        rows = []
        for contract in self._contracts(call):
            whole = contract.describe()
            row = {"contractId": contract.id}
            row.update({key: whole[key] for key in keys})
            rows.append(row)
        return rows

    def zero_fee_rate(self, call: Call) -> Any:
        """No contract is free here."""
        return {"contracts": [], "hotRecs": []}

    def tiered_fee_rate(self, call: Call) -> Any:
        """One tier for everybody."""
        contract = self._contracts(call)[0]
        return {
            "level": 1,
            "dealAmount": 0,
            "walletBalance": call.user.cash.get(contract.settle, Decimal(0)),
            "makerFee": contract.maker_fee_rate,
            "takerFee": contract.taker_fee_rate,
            "makerFeeDiscount": 1,
            "takerFeeDiscount": 1,
        }

    def tiered_fee_rate_v2(self, call: Call) -> Any:
        """The same in the newer form."""
        contract = self._contracts(call)[0]
        return {
            "symbol": contract.symbol,
            "joinDiscount": False,
            "enjoyDiscount": False,
            "discountRate": 1,
            "joinDeduct": False,
            "enjoyDeduct": False,
            "deductRate": 1,
            "originalMakerFee": contract.maker_fee_rate,
            "originalTakerFee": contract.taker_fee_rate,
            "realMakerFee": contract.maker_fee_rate,
            "realTakerFee": contract.taker_fee_rate,
            "dealAmount": 0,
            "walletBalance": call.user.cash.get(contract.settle, Decimal(0)),
            "inviterKyc": "",
            "level": 1,
            "feeType": 1,
            "agentFee": False,
            "feeRateMode": "NORMAL",
            "leverageFeeRates": [],
            "tieredFeeRates": [],
        }

    def discount_type(self, call: Call) -> Any:
        """No discounts here."""
        return {"useFeeDiscount": False, "useFeeDeduct": False}

    def fee_total(self, call: Call) -> Any:
        """Fees paid so far."""
        return {"totalFee": sum((d.fee for d in call.user.deals), Decimal(0)), "saveFee": 0}

    def nothing_listed(self, call: Call) -> Any:
        """A list that is always empty here."""
        return []

    def nothing_paged(self, call: Call) -> Any:
        """A page that is always empty here (there are no transfers)."""
        return paged([], *call.params.page(100))

    def change_risk_level(self, call: Call) -> Any:
        """Always 8817 (14)."""
        raise Refused(8817)

    def risk_limit(self, call: Call) -> Any:
        """Tiers by symbol."""
        return {
            contract.symbol: [
                {**row, "symbol": contract.symbol}
                for row in self._leverage_rows(call.user, contract)
            ]
            for contract in self._contracts(call)
        }

    # Positions

    def _leverage_rows(self, account: Account, contract: Any) -> list[dict[str, Any]]:
        rows = []
        for kind in (LONG, SHORT):
            position = account.positions.get((contract.symbol, kind))
            for open_type in (ISOLATED, CROSS):
                if position is not None and position.open_type != open_type:
                    continue
                rows.append(
                    {
                        "level": 1,
                        "maxVol": contract.max_position,
                        "mmr": contract.maintenance_rate,
                        "imr": contract.initial_rate,
                        "positionType": kind,
                        "openType": open_type,
                        "leverage": account.leverage(contract.symbol, kind, open_type),
                        "limitBySys": False,
                        "currentMmr": contract.maintenance_rate,
                        "maxLeverageView": contract.max_leverage,
                        "maxLeverage": contract.max_leverage,
                    }
                )
        return rows

    def leverage(self, call: Call) -> Any:
        """Leverage by direction and margin mode."""
        contract = self.venue.market(call.params.need_text("symbol")).contract
        return self._leverage_rows(call.user, contract)

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
        start, end = _times(params)
        return [
            self.venue.position_wire(call.user, position, push=False)
            for position in reversed(call.user.closed_positions)
            if symbol in (None, position.contract.symbol)
            and kind in (None, position.type)
            and start <= position.update_ms <= end
        ]

    def history_positions(self, call: Call) -> Any:
        """Closed positions, newest first."""
        return _page(self._closed(call), call.params, 100)

    def history_positions_paged(self, call: Call) -> Any:
        """The withdrawn spelling answers a page."""
        return paged(self._closed(call), *call.params.page(100))

    def funding_records(self, call: Call) -> Any:
        """Funding paid and received, newest first."""
        params = call.params
        symbol, kind = params.text("symbol"), params.integer("position_type", "positionType")
        position_id = params.integer("position_id", "positionId")
        start, end = _times(params)
        rows = [
            {name: value for name, value in one.items() if name != "positionId"}
            for one in reversed(call.user.funding)
            if symbol in (None, one["symbol"])
            and kind in (None, one["positionType"])
            and position_id in (None, one["positionId"])
            and start <= one["settleTime"] <= end
        ]
        return paged(rows, *params.page(100))

    def change_leverage(self, call: Call) -> Any:
        """By position id, or for a direction without a position."""
        params, account = call.params, call.user
        leverage = params.need_integer("leverage")
        position_id = params.integer("positionId")
        if position_id:
            self.venue.change_leverage(account, _held(account, position_id), leverage)
            return _nothing()
        contract = self.venue.market(params.need_text("symbol")).contract
        open_type, kind = params.need_integer("openType"), params.need_integer("positionType")
        if open_type not in (ISOLATED, CROSS):
            raise Refused(2002)
        if kind not in (LONG, SHORT):
            raise Refused(600, "positionType: 1 or 2")
        if not contract.min_leverage <= leverage <= contract.max_leverage:
            raise Refused(2006)
        held = account.positions.get((contract.symbol, kind))
        if held is not None and held.open_type == open_type:
            self.venue.change_leverage(account, held, leverage)
        account.leverages[contract.symbol, kind, open_type] = leverage
        return _nothing()

    def change_margin(self, call: Call) -> Any:
        """ADD or SUB margin of an isolated position."""
        params = call.params
        position = _held(call.user, params.need_integer("positionId"))
        amount, way = params.decimal("amount"), params.need_text("type")
        if amount is None or amount <= 0:
            raise Refused(1004)
        if way not in ("ADD", "SUB"):
            raise Refused(600, "type: ADD or SUB")
        self.venue.change_margin(call.user, position, amount if way == "ADD" else -amount)
        return _nothing()

    def position_mode(self, call: Call) -> Any:
        """1 hedge, 2 one-way."""
        return call.user.position_mode

    def change_position_mode(self, call: Call) -> Any:
        """Refused while orders or positions exist."""
        self.venue.change_mode(call.user, call.params.need_integer("positionMode"))
        return _nothing()

    def close_all(self, call: Call) -> Any:
        """Close every position at market, after cancelling the orders that lock it."""
        account = call.user
        for order in list(account.open_orders.values()):
            if order.closes:
                self.venue.cancel(account, order)
        for position in list(account.positions.values()):
            self.venue.place(
                account,
                OrderRequest(
                    symbol=position.contract.symbol,
                    side=4 if position.type == LONG else 2,
                    type=MARKET,
                    open_type=position.open_type,
                    vol=Decimal(position.hold_vol),
                    price=None,
                    leverage=position.leverage,
                    external_oid=None,
                    position_id=position.id,
                    position_mode=None,
                    reduce_only=False,
                    bbo=0,
                    stp=0,
                ),
            )
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
            row: dict[str, Any] = {"orderId": None, "errorCode": 0}
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
        order = call.user.orders.get(call.params.need_integer("orderId"))
        if order is None:
            raise Refused(2040)
        book = self.venue.market(order.contract.symbol).book
        best = book.best(direction(order.side))
        if best is None or order.type not in (LIMIT, POST_ONLY):
            raise Refused(2007)
        price = order.contract.price(best)
        if price != order.price or not order.is_open:
            self.venue.replace(call.user, order.id, price, Decimal(order.remaining))
        return _nothing()

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
        return _nothing()

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
        return _page(self._open(call), call.params, 100)

    def open_orders_paged(self, call: Call) -> Any:
        """The removed spelling answers a page."""
        return paged(self._open(call), *call.params.page(100))

    def _history(self, call: Call, closed_only: bool) -> list[Any]:
        params = call.params
        symbol = params.text("symbol")
        states = _integers(params.text("states") or "", "states")
        side, order_id = params.integer("side"), params.integer("orderId")
        category = params.integer("category")
        start, end = _times(params)
        chosen = []
        for order in reversed(call.user.orders.values()):
            if closed_only and order.is_open:
                continue
            if (
                symbol in (None, order.contract.symbol)
                and (not states or order.state in states)
                and side in (None, order.side)
                and order_id in (None, order.id)
                and category in (None, 1)
                and start <= order.create_ms <= end
            ):
                chosen.append(order)
        return self._rows(chosen)

    def history_orders(self, call: Call) -> Any:
        """All orders, newest first."""
        return _page(self._history(call, closed_only=False), call.params, 100)

    def history_orders_paged(self, call: Call) -> Any:
        """The removed spelling answers a page."""
        return paged(self._history(call, closed_only=False), *call.params.page(100))

    def close_orders(self, call: Call) -> Any:
        """Finished orders of a contract."""
        self.venue.market(call.params.need_text("symbol"))
        return _page(self._history(call, closed_only=True), call.params, 1000)

    def _unknown(self) -> Any:
        """An unknown order: success without data, or 1001 (16.3)."""
        if self.variations.unknown_order == "1001":
            raise Refused(1001)
        return _nothing()

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
        ids = _integers(call.params.need_text("order_ids"), "order_ids")
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
        start, end = _times(params)
        rows = [
            deal.wire(push=False, as_int=self._as_int)
            for deal in reversed(call.user.deals)
            if deal.symbol == symbol and start <= deal.time_ms <= end
        ]
        return _page(rows, params, 1000)

    def fee_details(self, call: Call) -> Any:
        """Fees of fills."""
        params = call.params
        symbol = self.venue.market(params.need_text("symbol")).symbol
        ids = _integers(params.text("ids") or "", "ids")
        start, end = _times(params)
        rows = [
            {
                "id": self._id(deal.id),
                "orderId": self._id(deal.order_id),
                "feeCurrency": deal.currency,
                "fee": deal.fee,
                "deductType": 0,
                "timestamp": deal.time_ms,
            }
            for deal in reversed(call.user.deals)
            if deal.symbol == symbol
            and start <= deal.time_ms <= end
            and (not ids or deal.id in ids)
        ]
        return _page(rows, params, 1000)

    def open_order_total_count(self, call: Call) -> Any:
        """Counts by kind; only ordinary orders exist here."""
        count = len(call.user.open_orders)
        return {
            "sumCount": count,
            "limitOrderCount": count,
            "stopOrderCount": 0,
            "planOrderCount": 0,
            "trackOrderCount": 0,
        }


def _held(account: Account, position_id: int) -> Position:
    """An open position by id; Refused(2009)."""
    for position in account.positions.values():
        if position.id == position_id:
            return position
    raise Refused(2009)


def _nothing() -> Any:
    from mexcfast.sim.rest import NOTHING

    return NOTHING


def _page(rows: list[Any], params: Params, largest: int) -> list[Any]:
    number, size = params.page(largest)
    return rows[(number - 1) * size : number * size]


def _times(params: Params) -> tuple[int, int]:
    """Both spellings of the bounds (20, row 17); open-ended when absent."""
    start = params.integer("start_time", "startTime")
    end = params.integer("end_time", "endTime")
    low, high = start or 0, end if end is not None else 1 << 62
    if low > high:
        raise Refused(6003, "time range error")
    return low, high


def _integers(text: str, name: str) -> list[int]:
    """A comma list of whole numbers."""
    items = [item.strip() for item in text.split(",") if item.strip()]
    return [Params({name: item}).need_integer(name) for item in items]

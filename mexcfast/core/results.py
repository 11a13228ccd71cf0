"""JSON values to typed results, tolerant of the shapes protocol.md 20 lists.

Numbers stay exact: bodies go through the standard library's JSON with parse_float=Decimal. orjson
would turn 97284530.448634083318792525314410007362 into a double; integers are exact in both, so the
acknowledgement of an order, which holds no other numbers, is read by it (quick_ack). Depth
snapshots that must be fast go to core/depth instead, which scans the bytes itself.

Every reader returns a result or raises BadAnswer, nothing else. Unknown fields are skipped.
Source: protocol.md 2, 12, 13 to 16, 20.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from decimal import Decimal
from typing import Any, NoReturn, TypeVar

import orjson

from mexcfast import conditional as c
from mexcfast import statements as s
from mexcfast import types as t
from mexcfast.core.ack import plain_ack
from mexcfast.errors import BadAnswer, venue_error

T = TypeVar("T")

_NUMBER = re.compile(r"-?[0-9]{1,100}(\.[0-9]{1,100})?([eE][+-]?[0-9]{1,3})?", re.ASCII)
_DIGITS = re.compile(r"-?[0-9]{1,30}", re.ASCII)
_MISSING: Any = object()


def _bad(what: str) -> NoReturn:
    raise BadAnswer(what)


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def decode(body: bytes) -> Any:
    """One JSON text; numbers with a point or an exponent become Decimal."""
    try:
        return json.loads(body.decode("utf-8"), parse_float=Decimal,
                          parse_constant=_refuse_constant)
    except (ValueError, ArithmeticError, RecursionError) as error:
        _bad(f"not JSON ({type(error).__name__}, {len(body)} bytes)")


def _is_sane(value: Decimal) -> bool:
    # Exponents beyond any market would explode when written out.
    return value.is_finite() and -60 <= value.adjusted() <= 60


def to_decimal(value: Any, name: str) -> Decimal:
    """int, number or numeric text; booleans, NaN and absurd exponents are refused."""
    is_int = isinstance(value, int) and not isinstance(value, bool)
    if is_int or (isinstance(value, str) and _NUMBER.fullmatch(value)):
        value = Decimal(value)
    if not isinstance(value, Decimal) or not _is_sane(value):
        _bad(f"{name} is not a number")
    return value


def to_int(value: Any, name: str) -> int:
    """int, digits in text (ids), or a number without a fraction."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, str) and _DIGITS.fullmatch(value):
        return int(value)
    if isinstance(value, Decimal) and _is_sane(value) and value == value.to_integral_value():
        return int(value)
    _bad(f"{name} is not an integer")


def to_bool(value: Any, name: str) -> bool:
    """true, false, 0, 1, or their text forms."""
    if isinstance(value, bool):
        return value
    if value in (0, 1) and isinstance(value, int):
        return bool(value)
    if isinstance(value, str) and value.lower() in ("true", "false"):
        return value.lower() == "true"
    _bad(f"{name} is not a boolean")


def to_text(value: Any, name: str) -> str:
    """str, or an integer written out; lone surrogates are refused."""
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if not isinstance(value, str):
        _bad(f"{name} is not text")
    if not value.isascii():
        try:
            value.encode("utf-8")
        except UnicodeEncodeError:
            _bad(f"{name} holds half a surrogate pair")
    return value


class _Fields:
    """Reads one JSON object; a null counts as absent. Names are tried in order."""

    __slots__ = ("data",)

    def __init__(self, data: Any, what: str) -> None:
        if not isinstance(data, dict):
            _bad(f"{what} is not an object")
        self.data: dict[str, Any] = data

    def read(self, convert: Callable[[Any, str], T], *names: str, default: Any = _MISSING) -> T:
        for name in names:
            value = self.data.get(name)
            if value is not None:
                return convert(value, name)
        if default is _MISSING:
            _bad(f"{names[0]} is missing")
        return default  # type: ignore[no-any-return]

    def number(self, *names: str) -> Decimal:
        return self.read(to_decimal, *names)

    def zero(self, *names: str) -> Decimal:
        return self.read(to_decimal, *names, default=Decimal(0))

    def maybe(self, *names: str) -> Decimal | None:
        return self.read(to_decimal, *names, default=None)

    def integer(self, *names: str, default: int = _MISSING) -> int:
        return self.read(to_int, *names, default=default)

    def maybe_int(self, *names: str) -> int | None:
        return self.read(to_int, *names, default=None)

    def text(self, *names: str, default: str = _MISSING) -> str:
        return self.read(to_text, *names, default=default)

    def maybe_text(self, *names: str) -> str | None:
        return self.read(to_text, *names, default=None) or None

    def maybe_bool(self, *names: str) -> bool | None:
        return self.read(to_bool, *names, default=None)


def _items(data: Any) -> list[Any]:
    """A bare array or a paged object, whichever came (protocol.md 2)."""
    if isinstance(data, list):
        return data
    if isinstance(data, dict) and isinstance(data.get("resultList"), list):
        return data["resultList"]  # type: ignore[no-any-return]
    _bad("neither a list nor a page")


def many(convert: Callable[[Any], T]) -> Callable[[Any], tuple[T, ...]]:
    """Reader of a list or page of something; no data is an empty list."""
    def read(data: Any) -> tuple[T, ...]:
        return () if data is None else tuple(convert(item) for item in _items(data))
    return read


def one_or_many(convert: Callable[[Any], T]) -> Callable[[Any], tuple[T, ...]]:
    """Reader of what comes as an object with a symbol and as an array without: always a tuple."""
    def read(data: Any) -> tuple[T, ...]:
        if isinstance(data, dict) and "resultList" not in data:
            return (convert(data),)
        return tuple(convert(item) for item in _items(data))
    return read


def read_contract(data: Any) -> t.Contract:
    f = _Fields(data, "contract")
    tick, lot, size = f.number("priceUnit"), f.number("volUnit"), f.number("contractSize")
    if tick <= 0 or lot <= 0 or size <= 0:
        _bad("priceUnit, volUnit or contractSize is not positive")
    orders = f.data.get("maxNumOrders") or []
    steps = f.data.get("depthStepList") or []
    if not isinstance(orders, list) or not isinstance(steps, list):
        _bad("maxNumOrders or depthStepList is not a list")
    limit = f.maybe("limitMaxVol")
    allowed = f.maybe_bool("apiAllowed")
    return t.Contract(
        symbol=f.text("symbol"), contract_id=f.maybe_int("id", "contractId"),
        display_name=f.text("displayNameEn", "displayName", default=""),
        base_coin=f.text("baseCoin"), quote_coin=f.text("quoteCoin"),
        settle_coin=f.text("settleCoin"), contract_size=size, tick_size=tick, lot_size=lot,
        price_scale=f.integer("priceScale", default=0),
        quantity_scale=f.integer("volScale", default=0),
        amount_scale=f.integer("amountScale", default=0),
        min_quantity=f.number("minVol"), max_quantity=f.number("maxVol"),
        max_limit_quantity=limit if limit else None,
        min_leverage=f.integer("minLeverage", default=1),
        max_leverage=f.integer("maxLeverage", default=1),
        margin_support=t.MarginSupport(f.integer("positionOpenType", default=3)),
        bid_limit_rate=f.zero("bidLimitPriceRate"), ask_limit_rate=f.zero("askLimitPriceRate"),
        taker_fee_rate=f.zero("takerFeeRate"), maker_fee_rate=f.zero("makerFeeRate"),
        maintenance_margin_rate=f.zero("maintenanceMarginRate"),
        initial_margin_rate=f.zero("initialMarginRate"),
        state=t.ContractState(f.integer("state", default=0)),
        future_type=t.FutureType(f.integer("futureType", default=1)),
        # Old replies lack the key (added 2022-07): absent is not "refused".
        api_allowed=True if allowed is None else allowed,
        is_hidden=bool(f.maybe_bool("isHidden")),
        max_open_orders=tuple(to_int(item, "maxNumOrders") for item in orders),
        depth_steps=tuple(to_text(item, "depthStepList") for item in steps))


def read_order(data: Any) -> t.Order:
    f = _Fields(data, "order")
    mode = f.maybe_int("positionMode")
    return t.Order(
        order_id=f.integer("orderId"), symbol=f.text("symbol"),
        client_order_id=f.maybe_text("externalOid"), side=t.Side(f.integer("side")),
        type=t.OrderType(f.integer("orderType", "type")), state=t.OrderState(f.integer("state")),
        price=f.number("priceStr", "price"), quantity=f.number("vol"),
        filled_quantity=f.number("dealVol"),
        average_price=f.zero("dealAvgPriceStr", "dealAvgPrice"),
        leverage=f.integer("leverage", default=0),
        open_type=t.OpenType(f.integer("openType", default=0)),
        category=t.OrderCategory(f.integer("category", default=1)),
        position_id=f.integer("positionId", default=0), order_margin=f.zero("orderMargin"),
        used_margin=f.zero("usedMargin"), taker_fee=f.zero("takerFee"),
        maker_fee=f.zero("makerFee"), profit=f.zero("profit"),
        fee_currency=f.text("feeCurrency", default=""),
        error_code=t.OrderErrorCode(f.integer("errorCode", default=0)),
        position_mode=None if mode is None else t.PositionMode(mode),
        reduce_only=f.maybe_bool("reduceOnly"), stop_loss_price=f.maybe("stopLossPrice"),
        take_profit_price=f.maybe("takeProfitPrice"), version=f.maybe_int("version"),
        ts_created_ms=f.integer("createTime", default=0),
        ts_updated_ms=f.integer("updateTime", "createTime", default=0))


def read_fill(data: Any) -> t.Fill:
    f = _Fields(data, "deal")
    mode = f.maybe_int("positionMode")
    return t.Fill(
        fill_id=f.integer("id"), order_id=f.integer("orderId"), symbol=f.text("symbol"),
        side=t.Side(f.integer("side")), price=f.number("price"), quantity=f.number("vol"),
        fee=f.zero("fee"), fee_currency=f.text("feeCurrency", default=""),
        profit=f.zero("profit"), category=t.OrderCategory(f.integer("category", default=1)),
        is_taker=f.maybe_bool("isTaker", "taker"), is_self_trade=f.maybe_bool("isSelf"),
        client_order_id=f.maybe_text("externalOid"),
        position_mode=None if mode is None else t.PositionMode(mode),
        ts_venue_ms=f.integer("timestamp"))


def read_position(data: Any) -> t.Position:
    f = _Fields(data, "position")
    return t.Position(
        position_id=f.integer("positionId"), symbol=f.text("symbol"),
        type=t.PositionType(f.integer("positionType")), open_type=t.OpenType(f.integer("openType")),
        state=t.PositionState(f.integer("state")), quantity=f.number("holdVol"),
        frozen_quantity=f.zero("frozenVol"), closed_quantity=f.zero("closeVol"),
        hold_average_price=f.zero("holdAvgPriceFullyScale", "holdAvgPrice"),
        open_average_price=f.zero("openAvgPriceFullyScale", "openAvgPrice"),
        close_average_price=f.zero("closeAvgPrice"), liquidation_price=f.zero("liquidatePrice"),
        initial_margin=f.zero("im"), original_initial_margin=f.zero("oim"),
        funding=f.zero("holdFee"), realised=f.zero("realised"),
        close_profit=f.maybe("closeProfitLoss"), fee=f.maybe("fee"),
        leverage=f.integer("leverage", default=0), margin_ratio=f.maybe("marginRatio"),
        adl_level=f.maybe_int("adlLevel"), auto_add_margin=f.maybe_bool("autoAddIm"),
        version=f.maybe_int("version"), ts_created_ms=f.integer("createTime", default=0),
        ts_updated_ms=f.integer("updateTime", "createTime", default=0))


def read_balance(data: Any) -> t.Balance:
    f = _Fields(data, "asset")
    return t.Balance(
        currency=f.text("currency"), available=f.number("availableBalance"),
        frozen=f.zero("frozenBalance"), position_margin=f.zero("positionMargin"),
        bonus=f.zero("bonus"), cash=f.maybe("cashBalance"), equity=f.maybe("equity"),
        unrealised=f.maybe("unrealized"), available_to_open=f.maybe("availableOpen"),
        available_cash=f.maybe("availableCash"))


def _levels(data: Any, name: str) -> tuple[t.Level, ...]:
    if not isinstance(data, list):
        _bad(f"{name} is not a list")
    levels: list[t.Level] = []
    for level in data:
        # The 2021 samples have two elements, today's three (protocol.md 20, row 31).
        if not isinstance(level, list) or len(level) < 2:
            _bad(f"{name} holds something that is not a level")
        count = None if len(level) < 3 or level[2] is None else to_int(level[2], name)
        levels.append((to_decimal(level[0], name), to_decimal(level[1], name), count))
    return tuple(levels)


def read_depth(data: Any) -> t.Depth:
    f = _Fields(data, "depth")
    return t.Depth(asks=_levels(f.data.get("asks"), "asks"),
                   bids=_levels(f.data.get("bids"), "bids"),
                   version=f.integer("version"), ts_venue_ms=f.maybe_int("timestamp"))


def read_trade(data: Any) -> t.Trade:
    f = _Fields(data, "deal")
    return t.Trade(price=f.number("p"), quantity=f.number("v"), side=t.TradeSide(f.integer("T")),
                   open_flag=f.maybe_int("O"), ts_venue_ms=f.integer("t"))


def read_candles(data: Any) -> tuple[t.Candle, ...]:
    f = _Fields(data, "kline")
    columns = []
    for name in ("time", "open", "high", "low", "close", "vol", "amount"):
        column = f.data.get(name)
        if not isinstance(column, list):
            _bad(f"{name} is not a list")
        columns.append(column)
    if len({len(column) for column in columns}) != 1:
        _bad("columns differ in length")
    return tuple(t.Candle(to_int(row[0], "time"), *(to_decimal(cell, "kline") for cell in row[1:]))
                 for row in zip(*columns, strict=True))


def read_ticker(data: Any) -> t.Ticker:
    f = _Fields(data, "ticker")
    return t.Ticker(
        symbol=f.text("symbol"), last_price=f.number("lastPrice"), best_bid=f.maybe("bid1"),
        best_ask=f.maybe("ask1"), index_price=f.maybe("indexPrice"),
        fair_price=f.maybe("fairPrice"), funding_rate=f.maybe("fundingRate"),
        max_bid_price=f.maybe("maxBidPrice"), min_ask_price=f.maybe("minAskPrice"),
        high_24h=f.maybe("high24Price"), low_24h=f.maybe("lower24Price"),
        volume_24h=f.maybe("volume24"), amount_24h=f.maybe("amount24"),
        open_interest=f.maybe("holdVol"), change_rate=f.maybe("riseFallRate"),
        change_value=f.maybe("riseFallValue"), ts_venue_ms=f.integer("timestamp"))


def read_funding(data: Any) -> t.FundingRate:
    f = _Fields(data, "funding rate")
    return t.FundingRate(
        symbol=f.text("symbol"), rate=f.number("fundingRate", "rate"),
        max_rate=f.maybe("maxFundingRate"), min_rate=f.maybe("minFundingRate"),
        cycle_hours=f.maybe_int("collectCycle"),
        ts_settle_ms=f.maybe_int("nextSettleTime", "settleTime"),
        ts_venue_ms=f.maybe_int("timestamp"))


def read_price(data: Any) -> t.PriceTick:
    f = _Fields(data, "price")
    return t.PriceTick(symbol=f.text("symbol"), price=f.number("indexPrice", "fairPrice"),
                       ts_venue_ms=f.integer("timestamp"))


def read_ack(data: Any) -> t.OrderAck:
    """An id in any of the three forms of protocol.md 16.1: object, text, integer."""
    if isinstance(data, dict):
        f = _Fields(data, "acknowledgement")
        ack = t.OrderAck(f.integer("orderId", "id"), f.maybe_int("ts"))
    else:
        ack = t.OrderAck(to_int(data, "orderId"))
    if ack.order_id <= 0:
        _bad("orderId is not positive")
    return ack


def quick_ack(body: bytes) -> t.OrderAck | None:
    """What read_ack makes of a plain success, several times as fast; None: look properly.

    orjson gives whole numbers of up to 64 bits exactly and anything else as another type, which is
    left to the exact way.
    """
    plain = plain_ack(body)
    if plain is not None:
        return plain
    try:
        answer = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    if type(answer) is not dict or answer.get("success") is not True:
        return None
    order_id, ts_venue_ms = answer.get("data"), None
    if type(order_id) is dict:
        ts_venue_ms = order_id.get("ts")
        order_id = order_id.get("orderId")
    if type(order_id) is str and len(order_id) <= 30 and order_id.isascii() and (
            order_id.isdigit()):
        order_id = int(order_id)
    if type(order_id) is not int or order_id <= 0 or (
            ts_venue_ms is not None and type(ts_venue_ms) is not int):
        return None
    return t.OrderAck(order_id, ts_venue_ms)


def read_stop_ack(data: Any) -> t.OrderAck:
    """stoporder/place: the prose says id, the printed sample is a list (protocol.md 20, row 24)."""
    return read_ack(data[0] if isinstance(data, list) and len(data) == 1 else data)


def read_item(data: Any) -> t.ItemResult:
    """One item of a batch or cancel; the 2021 page echoes the request without an errorCode."""
    f = _Fields(data, "item")
    code = f.integer("errorCode", default=0)
    error = None
    if code != 0:
        error = venue_error(code, f.text("errorMsg", default=""), changes_state=True)
    order_id = f.maybe_int("orderId") or None
    client_order_id = f.maybe_text("externalOid")
    if order_id is None and client_order_id is None and error is None:
        _bad("item names no order")
    return t.ItemResult(order_id, client_order_id, error)


def read_items(data: Any) -> tuple[t.ItemResult, ...]:
    """The items of a batch or cancel; the echo of a single request counts as one."""
    return one_or_many(read_item)(data)


def read_counts(data: Any) -> t.OrderCounts:
    f = _Fields(data, "counts")
    return t.OrderCounts(total=f.integer("sumCount"), limit=f.integer("limitOrderCount"),
                         stop=f.integer("stopOrderCount"), plan=f.integer("planOrderCount"),
                         trailing=f.integer("trackOrderCount"))


def _id(f: _Fields, *names: str) -> int | None:
    """An id where 0 and absence mean that there is none."""
    return f.maybe_int(*names) or None


def read_plan(data: Any) -> c.PlanOrder:
    f = _Fields(data, "plan order")
    mode, protect = f.maybe_int("positionMode"), f.maybe_int("priceProtect")
    return c.PlanOrder(
        plan_id=f.integer("id"), symbol=f.text("symbol"), side=t.Side(f.integer("side")),
        type=t.OrderType(f.integer("orderType")), state=t.ConditionalState(f.integer("state")),
        trigger_price=f.number("triggerPrice"), trigger_type=t.TriggerType(
            f.integer("triggerType")), trend=t.TriggerPrice(f.integer("trend", default=1)),
        price=f.maybe("price"), quantity=f.number("vol"), leverage=f.integer("leverage", default=0),
        open_type=t.OpenType(f.integer("openType", default=0)),
        valid_hours=f.integer("executeCycle", default=0), order_id=_id(f, "orderId"),
        error_code=t.OrderErrorCode(f.integer("errorCode", default=0)),
        position_mode=None if mode is None else t.PositionMode(mode),
        reduce_only=f.maybe_bool("reduceOnly"),
        price_protect=None if protect is None else bool(protect),
        stop_loss_price=f.maybe("stopLossPrice"), take_profit_price=f.maybe("takeProfitPrice"),
        ts_created_ms=f.integer("createTime", default=0),
        ts_updated_ms=f.integer("updateTime", "createTime", default=0))


def read_stop(data: Any) -> c.StopOrder:
    f = _Fields(data, "TP/SL order")
    loss, profit = f.maybe_int("lossTrend"), f.maybe_int("profitTrend")
    kind = f.maybe_int("volType")
    return c.StopOrder(
        stop_id=f.integer("id"), symbol=f.text("symbol"), position_id=f.integer(
            "positionId", default=0), order_id=_id(f, "orderId"),
        position_type=t.PositionType(f.integer("positionType", default=0)),
        state=t.ConditionalState(f.integer("state")), is_final=f.maybe_bool("isFinished"),
        quantity=f.number("vol"), placed_quantity=f.zero("realityVol"),
        stop_loss_price=f.maybe("stopLossPrice"), stop_loss_quantity=f.maybe("stopLossVol"),
        loss_trend=None if loss is None else t.TriggerPrice(loss),
        take_profit_price=f.maybe("takeProfitPrice"),
        take_profit_quantity=f.maybe("takeProfitVol"),
        profit_trend=None if profit is None else t.TriggerPrice(profit),
        volume_type=None if kind is None else t.StopVolumeType(kind),
        trigger_side=t.TriggerSide(f.integer("triggerSide", default=0)),
        placed_order_id=_id(f, "placeOrderId"),
        error_code=t.OrderErrorCode(f.integer("errorCode", default=0)),
        version=f.maybe_int("version"), ts_created_ms=f.integer("createTime", default=0),
        ts_updated_ms=f.integer("updateTime", "createTime", default=0))


def read_trailing(data: Any) -> c.TrailingOrder:
    f = _Fields(data, "trailing order")
    mode = f.maybe_int("positionMode")
    return c.TrailingOrder(
        track_id=f.integer("id"), symbol=f.text("symbol"), side=t.Side(f.integer("side")),
        quantity=f.number("vol"), leverage=f.integer("leverage", default=0),
        open_type=t.OpenType(f.integer("openType", default=0)),
        state=t.TrailingState(f.integer("state")),
        trend=t.TriggerPrice(f.integer("trend", default=1)), active_price=f.zero("activePrice"),
        extreme_price=f.maybe("markPrice"), back_type=t.BackType(f.integer("backType")),
        back_value=f.number("backValue"), trigger_price=f.maybe("triggerPrice"),
        order_id=_id(f, "orderId"), error_code=t.OrderErrorCode(f.integer("errorCode", default=0)),
        position_mode=None if mode is None else t.PositionMode(mode),
        reduce_only=f.maybe_bool("reduceOnly"), ts_created_ms=f.integer("createTime", default=0),
        ts_updated_ms=f.integer("updateTime", "createTime", default=0))


def read_transfer(data: Any) -> s.Transfer:
    f = _Fields(data, "transfer")
    return s.Transfer(f.integer("id"), f.text("txid", default=""), f.text("currency"),
                      f.number("amount"), f.text("type"), f.text("state"),
                      f.integer("createTime", default=0),
                      f.integer("updateTime", "createTime", default=0))


def read_funding_record(data: Any) -> s.FundingRecord:
    f = _Fields(data, "funding record")
    return s.FundingRecord(f.integer("id"), f.text("symbol"),
                           t.PositionType(f.integer("positionType")), f.zero("positionValue"),
                           f.number("funding"), f.number("rate"), f.integer("settleTime"))


def read_tier(data: Any) -> s.LeverageTier:
    f = _Fields(data, "tier")
    open_type = f.maybe_int("openType")
    return s.LeverageTier(
        symbol=f.maybe_text("symbol"), position_type=t.PositionType(f.integer("positionType")),
        open_type=None if open_type is None else t.OpenType(open_type),
        level=f.integer("level", default=1), max_quantity=f.zero("maxVol"),
        leverage=f.integer("leverage"), max_leverage=f.maybe_int("maxLeverageView", "maxLeverage"),
        maintenance_margin_rate=f.zero("mmr"), initial_margin_rate=f.zero("imr"),
        is_limited_by_system=f.maybe_bool("limitBySys"))


def read_tiers(data: Any) -> dict[str, tuple[s.LeverageTier, ...]]:
    """risk_limit: an object with a contract's name for each key."""
    if not isinstance(data, dict):
        _bad("risk limits are not an object")
    tiers = many(read_tier)
    return {to_text(symbol, "symbol"): tiers(rows) for symbol, rows in data.items()}


def read_fee_detail(data: Any) -> s.FeeDetail:
    f = _Fields(data, "fee")
    return s.FeeDetail(f.integer("id"), f.integer("orderId"), f.text("feeCurrency", default=""),
                       f.number("fee"), f.integer("deductType", default=0),
                       f.maybe_text("deductFeeCurrency"), f.maybe("deductFee"),
                       f.integer("timestamp"))


def read_insurance(data: Any) -> s.InsuranceFund:
    f = _Fields(data, "insurance fund")
    return s.InsuranceFund(f.text("symbol"), f.text("currency"), f.number("available"),
                           f.integer("timestamp", "snapshotTime"))


def read_group(data: Any) -> s.SelfTradeGroup | None:
    """None: the account is in no group."""
    if data is None:
        return None
    f = _Fields(data, "group")
    users = f.data.get("blackList") or []
    if not isinstance(users, list):
        _bad("blackList is not a list")
    return s.SelfTradeGroup(f.text("groupName", "configName"),
                            tuple(to_text(user, "blackList") for user in users),
                            f.integer("createTime", default=0),
                            f.integer("updateTime", "createTime", default=0))


_HUMP = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")


def _snake(name: str) -> str:
    if not name[:1].islower():
        return name     # a symbol used as a key (risk_limit)
    snake = _HUMP.sub("_", name).lower()
    if name == "timestamp":
        return "ts_venue_ms"
    return snake + "_ms" if name.endswith("Time") else snake


def read_any(data: Any) -> Any:
    """What has no class of its own: objects become Records, lists tuples, numbers stay exact."""
    if isinstance(data, dict):
        return t.Record({_snake(to_text(key, "key")): read_any(item)
                         for key, item in data.items()})
    if isinstance(data, list):
        return tuple(read_any(item) for item in data)
    if isinstance(data, str):
        return to_text(data, "value")
    if isinstance(data, Decimal) and not _is_sane(data):
        _bad("a number beyond all measure")
    return data


def read_integer(data: Any) -> int:
    return to_int(data, "data")


def read_time(data: Any) -> int:
    """The venue's clock; a number that is no present-day millisecond time is not one."""
    now_ms = to_int(data, "data")
    if not 10**12 <= now_ms < 10**13:
        _bad("not a time in milliseconds")
    return now_ms


def read_decimal(data: Any) -> Decimal:
    return to_decimal(data, "data")


def read_texts(data: Any) -> tuple[str, ...]:
    return tuple(to_text(item, "data") for item in _items(data))


def read_nothing(data: Any) -> None:
    """Acknowledgement only: whatever stands in data is skipped."""

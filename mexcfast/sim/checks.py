"""Reading requests: refusals with their codes, parameters, headers and signatures.

Codes and texts: protocol.md 17. The order of the checks: 18.1.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from typing import Any
from urllib.parse import unquote_plus

from mexcfast.sim.accounts import MARKET, ZERO, Attached

#: code: (English, Chinese)
MESSAGES: dict[int, tuple[str, str]] = {
    400: ("Bad request", "请求错误"),
    401: ("Not logged in or login has expired", "未登录或登录已过期"),
    402: ("API Key expired, please apply again", "API Key已过期"),
    403: ("Access denied", "拒绝访问"),
    404: ("Not found", "不存在"),
    406: ("Accessing IP is not in the whitelist", "访问IP不在白名单"),
    429: ("Too many requests", "请求过多"),
    500: ("System internal error!", "系统内部错误"),
    501: ("System busy", "系统繁忙"),
    503: ("Service unavailable", "服务不可用"),
    504: ("Gateway timeout", "网关超时"),
    506: ("Unknown source of request", "未知的请求来源"),
    510: ("Requests are too frequent, please try again later", "请求过于频繁,请稍后再试"),
    511: ("You do not have access to the interface", "没有访问该接口的权限"),
    513: ("Invalid request, please try again later", "请求时间大于服务器时间2秒或小于10秒"),
    600: ("Param error!", "参数错误"),
    601: ("Data decoding error", "数据解析错误"),
    602: ("Confirming signature failed", "签名验证失败"),
    603: ("Repeated request", "重复请求"),
    604: ("This function is under maintenance", "功能维护中"),
    701: ("No account read permission", "没有账户读权限"),
    702: ("No account modify permission", "没有账户修改权限"),
    703: ("No trade read permission", "没有交易读权限"),
    704: ("No trade write permission", "没有交易写权限"),
    801: ("System under maintenance", "系统维护中"),
    1000: ("Account does not exist", "账户不存在"),
    1001: ("Contract does not exist", "合约不存在"),
    1002: ("Contract not allow place order!", "合约不允许下单"),
    1003: ("Risk limit level error", "风险限额等级错误"),
    1004: ("Amount error", "金额错误"),
    2001: ("Order direction error", "订单方向错误"),
    2002: ("Opening type error", "开仓类型错误"),
    2003: ("Bid price is great than max allow price", "买价高于最高限价"),
    2004: ("Ask price is less than min allow price", "卖价低于最低限价"),
    2005: ("Insufficient balance!", "余额不足"),
    2006: ("Leverage error", "杠杆倍数错误"),
    2007: ("Order price error", "委托价格错误"),
    2008: ("Insufficient closable quantity", "可平仓数量不足"),
    2009: ("Position is not exists or closed.", "持仓不存在或已平仓"),
    2011: ("Order quantity error", "委托数量错误"),
    2012: ("Order quantity error", "委托数量错误"),
    2013: ("Too many orders in one cancel", "撤单数量过多"),
    2014: ("Too many orders in one batch", "批量下单数量过多"),
    2015: ("Price or quantity precision error", "价格或数量精度错误"),
    2016: ("Too many trigger orders", "计划委托数量超限"),
    2018: ("Margin above the reducible amount", "超出可减保证金"),
    2019: ("Active order or position exists", "存在委托或持仓"),
    2021: ("Leverage differs from the existing position", "杠杆与持仓不一致"),
    2022: ("Position type error", "仓位类型错误"),
    2023: ("Positions above the maximum leverage of the new tier", "持仓超出新档位最大杠杆"),
    2024: ("Orders above the maximum leverage of the new tier", "委托超出新档位最大杠杆"),
    2025: ("Position above the maximum quantity of the new tier", "持仓超出新档位最大数量"),
    2026: ("Leverage of cross positions cannot be changed", "全仓不支持调整杠杆"),
    2027: ("Only one of cross and isolated per direction", "同方向只能全仓或逐仓"),
    2028: ("Order quantity above the maximum", "委托数量超出最大值"),
    2029: ("Order type error", "订单类型错误"),
    2030: ("externalOid is too long", "外部订单号过长"),
    2031: ("The current risk limit would be exceeded", "超出当前风险限额"),
    2032: ("Price below the liquidation price of the long", "价格低于多仓强平价"),
    2033: ("Price above the liquidation price of the short", "价格高于空仓强平价"),
    2034: ("Batch query too large", "批量查询数量过多"),
    2035: ("Unsupported market price level", "不支持的市价档位"),
    2036: ("Too many open orders", "委托数量超限"),
    2037: ("Trading too frequently", "交易过于频繁"),
    2038: ("Position above the allowed quantity", "持仓超出允许数量"),
    2040: ("order not exist", "订单不存在"),
    2041: ("order state cannot be cancelled", "订单状态不可撤销"),
    2042: ("Duplicate externalOid", "外部订单号重复"),
    2043: ("Order and position do not match", "订单与持仓不匹配"),
    3001: ("Trigger price type error", "触发价格类型错误"),
    3002: ("Trigger type error", "触发类型错误"),
    3003: ("Execute cycle error", "执行周期错误"),
    3004: ("Trigger price error", "触发价格错误"),
    4001: ("Unsupported currency", "不支持的币种"),
    5001: ("Take profit and stop loss are both empty", "止盈止损价不能同时为空"),
    5002: ("The TP/SL order does not exist or is finished", "止盈止损委托不存在或已结束"),
    5003: ("TP/SL price error", "止盈止损价格错误"),
    5004: ("TP/SL quantity above the closable quantity", "止盈止损数量大于可平仓数量"),
    6001: ("Trading forbidden", "禁止交易"),
    6002: ("Opening forbidden", "禁止开仓"),
    6003: ("Time range error", "时间范围错误"),
    6004: ("Symbol and state are required", "交易对和状态必填"),
    6005: ("Trading pair not available", "交易对不可用"),
    6026: ("Opening is temporarily blocked", "暂时禁止开仓"),
    8817: (
        "The risk limit feature has been upgraded. Please check the web page for details.",
        "风险限额功能已升级",
    ),
    9999: ("General exception", "公共异常"),
    11444: ("This feature is not available", "功能不可用"),
    200005: ("Identity verification is required", "需要身份认证"),
    200006: ("Identity verification is required", "需要身份认证"),
    300000: ("Your region is restricted", "所在地区受限"),
    300001: ("Your region is restricted", "所在地区受限"),
}


class Refused(Exception):
    """The exchange says no, with a code of protocol.md 17."""

    def __init__(self, code: int, message: str | None = None, http: int = 200) -> None:
        super().__init__(code, message)
        self.code = code
        self.message = message
        self.http = http

    def text(self, chinese: bool = False) -> str:
        """The message on the wire."""
        if self.message is not None:
            return self.message
        english, other = MESSAGES.get(self.code, ("Param error!", "参数错误"))
        return other if chinese else english


# Bodies and queries


def _no_constant(text: str) -> Any:
    raise ValueError(f"{text} is not JSON")


_DECODER = json.JSONDecoder(parse_float=Decimal, parse_constant=_no_constant)


def decode_json(data: bytes | str) -> Any:
    """JSON with exact decimals; Refused(601) for anything else."""

    try:
        return _DECODER.decode(data.decode() if isinstance(data, bytes) else data)
    except (ValueError, RecursionError, InvalidOperation, MemoryError) as error:
        raise Refused(601) from error


def raw_pairs(raw_query: str) -> list[tuple[str, str]]:
    """Query pairs as received, still encoded."""
    pairs = (item.partition("=") for item in raw_query.split("&") if item)
    return [(key, value) for key, _, value in pairs]


def query_values(raw_query: str) -> dict[str, str]:
    """Decoded query values; Refused(600) when they are not UTF-8."""
    try:
        return {
            unquote_plus(key, errors="strict"): unquote_plus(value, errors="strict")
            for key, value in raw_pairs(raw_query)
        }
    except UnicodeDecodeError as error:
        raise Refused(600, "query is not UTF-8") from error


def signed_query(raw_query: str) -> str:
    """The parameter string of a GET: received pairs, still encoded, in key order (3.2)."""
    pairs = raw_query.split("&")
    return "&".join(sorted((p for p in pairs if p), key=lambda pair: pair.partition("=")[0]))


def signature(secret: str, access_key: str, time: str, payload: bytes = b"") -> str:
    """protocol.md 3.2."""
    target = access_key.encode() + time.encode() + payload
    return hmac.new(secret.encode(), target, hashlib.sha256).hexdigest()


def check_clock(
    time: str, window: str | None, now_ms: int, strict: bool = False, usual: float = 10.0
) -> None:
    """Refused(513) outside the window (3.4); `usual` seconds when the request names none."""
    seconds = Decimal(str(usual))
    if window:
        try:
            seconds = Decimal(window)
        except InvalidOperation:
            raise Refused(513) from None
        if not seconds.is_finite() or seconds <= 0:
            raise Refused(513)
        if seconds > 60:
            seconds = min(seconds / 1000, Decimal(60))
    if not (time.isascii() and time.isdigit() and len(time) <= 17):
        raise Refused(513)
    late = now_ms - int(time)
    if late > seconds * 1000 or -late > seconds * 1000 or (strict and late < -2000):
        raise Refused(513)


#: Whole numbers beyond this are out of range everywhere.
MOST_INTEGER = 10**24


class Params:
    """Typed access to parameters; every mistake is Refused(600) naming the parameter."""

    def __init__(self, values: Mapping[str, Any]) -> None:
        self.values = values

    def has(self, name: str) -> bool:
        """Present, not null and not empty."""
        return self.values.get(name) not in (None, "")

    def _first(self, names: Sequence[str]) -> tuple[str, Any]:
        for name in names:
            value = self.values.get(name)
            if value is not None and value != "":
                return name, value
        return names[0], None

    def text(self, *names: str) -> str | None:
        """A string (a number is read as its digits)."""
        name, value = self._first(names)
        if value is None:
            return None
        if isinstance(value, int) and not isinstance(value, bool):
            return str(value)
        if not isinstance(value, str) or len(value) > 4096:
            raise Refused(600, f"{name}: a string is expected")
        return value

    def need_text(self, *names: str) -> str:
        """A string that must be there."""
        value = self.text(*names)
        if value is None:
            raise Refused(600, f"{names[0]} is required")
        return value

    def decimal(self, *names: str) -> Decimal | None:
        """An exact number of sane size; digits in a string are accepted."""
        name, value = self._first(names)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int | str | Decimal):
            raise Refused(600, f"{name}: a number is expected")
        try:
            number = Decimal(value)
        except (InvalidOperation, ValueError):
            raise Refused(600, f"{name}: {str(value)[:40]!r} is not a number") from None
        if not number.is_finite() or abs(number.adjusted()) > 24 or len(str(value)) > 60:
            raise Refused(600, f"{name}: {str(value)[:40]} is out of range")
        return number

    def integer(self, *names: str) -> int | None:
        """A whole number."""
        plain = self.values.get(names[0])
        if type(plain) is int and -MOST_INTEGER < plain < MOST_INTEGER:  # the usual case
            return plain
        if plain is None and len(names) == 1:
            return None
        number = self.decimal(*names)
        if number is None:
            return None
        if number != int(number):
            raise Refused(600, f"{names[0]}: {number} is not whole")
        return int(number)

    def need_integer(self, *names: str) -> int:
        """A whole number that must be there."""
        value = self.integer(*names)
        if value is None:
            raise Refused(600, f"{names[0]} is required")
        return value

    def boolean(self, name: str) -> bool:
        """true/false, also as text; absent is false."""
        value = self.values.get(name)
        if value in (None, "", False, "false"):
            return False
        if value in (True, "true"):
            return True
        raise Refused(600, f"{name}: true or false is expected")

    def page(self, largest: int) -> tuple[int, int]:
        """(page number from 1, page size)."""
        number = self.integer("page_num", "pageIndex", "currentPage") or 1
        size = self.integer("page_size", "pageSize") or 20
        if number < 1 or not 1 <= size <= largest:
            raise Refused(600, f"page {number} of size {size}, the largest size is {largest}")
        return number, size


@dataclass(slots=True)
class OrderRequest:
    """The parameters of order/create after the parameter checks (16.1)."""

    symbol: str
    side: int
    type: int
    open_type: int
    vol: Decimal
    price: Decimal | None
    leverage: int | None
    external_oid: str | None
    position_id: int | None
    position_mode: int | None
    reduce_only: bool
    bbo: int = 0
    stp: int = 0
    attached: Attached = field(default_factory=Attached)
    market_ceiling: bool = False
    """Open with the full available amount."""
    flash_close: bool = False
    """Close the whole position, whatever orders lock it."""


def market_order(
    symbol: str, side: int, vol: int, open_type: int, leverage: int, position_id: int | None = None
) -> OrderRequest:
    """A market order that the exchange itself places for a user."""
    return OrderRequest(
        symbol=symbol,
        side=side,
        type=MARKET,
        open_type=open_type,
        vol=Decimal(vol),
        price=None,
        leverage=leverage,
        external_oid=None,
        position_id=position_id,
        position_mode=None,
        reduce_only=False,
    )


def attached_prices(params: Params) -> Attached:
    """TP/SL members of an order or plan; Refused 3001, 5003."""
    attached = Attached(
        take_profit=params.decimal("takeProfitPrice") or ZERO,
        stop_loss=params.decimal("stopLossPrice") or ZERO,
        profit_trend=trend(params, "profitTrend"),
        loss_trend=trend(params, "lossTrend"),
        price_protect=params.integer("priceProtect") or 0,
        take_profit_reverse=params.integer("takeProfitReverse") or 2,
        stop_loss_reverse=params.integer("stopLossReverse") or 2,
    )
    if attached.take_profit < 0 or attached.stop_loss < 0:
        raise Refused(5003)
    return attached


def trend(params: Params, name: str, *, required: bool = False) -> int:
    """Last, fair or index price; Refused(3001) for another number."""
    value = params.need_integer(name) if required else params.integer(name)
    if value is None:
        return 1
    if value not in (1, 2, 3):
        raise Refused(3001)
    return value


def order_request(body: Any) -> OrderRequest:
    """Read order parameters; Refused 600, 2001, 2002, 2029, 2030."""
    if not isinstance(body, Mapping):
        raise Refused(600, "an object is expected")
    params = Params(body)
    symbol = params.need_text("symbol")
    side = params.need_integer("side")
    kind = params.need_integer("type")
    open_type = params.need_integer("openType")
    vol = params.decimal("vol")
    if vol is None:
        raise Refused(600, "vol is required")
    if side not in (1, 2, 3, 4):
        raise Refused(2001)
    if open_type not in (1, 2):
        raise Refused(2002)
    if kind not in (1, 2, 3, 4, 5, 6):
        raise Refused(2029)
    external = params.text("externalOid")
    if external is not None and len(external) > 32:
        raise Refused(2030)
    ceiling = params.boolean("marketCeiling")
    if ceiling and (kind != MARKET or side not in (1, 3)):
        raise Refused(600, "marketCeiling: for market orders that open")
    flash = params.boolean("flashClose")
    if flash and side not in (2, 4):
        raise Refused(600, "flashClose: for orders that close")
    bbo = params.integer("bboTypeNum") or 0
    stp = params.integer("stpMode") or 0
    position_mode = params.integer("positionMode")
    if not 0 <= bbo <= 4 or not 0 <= stp <= 3 or position_mode not in (None, 1, 2):
        raise Refused(600)
    price = params.decimal("price")
    if price is None and kind not in (MARKET, 6) and not bbo:
        raise Refused(600, "price is required")
    return OrderRequest(
        symbol=symbol,
        side=side,
        type=kind,
        open_type=open_type,
        vol=vol,
        price=price,
        leverage=params.integer("leverage"),
        external_oid=external,
        position_id=params.integer("positionId"),
        position_mode=position_mode,
        reduce_only=params.boolean("reduceOnly"),
        bbo=bbo,
        stp=stp,
        attached=attached_prices(params),
        market_ceiling=ceiling,
        flash_close=flash,
    )

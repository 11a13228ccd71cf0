"""ccxt's trade, order and ticker structures from the venue's JSON, without ccxt's general parsers.

Each function returns what ccxt 4.5 returns for the same swap JSON, key order, types and digits
included, or None when the JSON is not of the plain shape it knows; ccxt's own parser then does it.
Arithmetic is exact in decimal, as ccxt's is. tests/adapters/test_ccxt_frames.py holds both
against each other.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable
from decimal import ROUND_DOWN, Context, Decimal
from typing import Any

Row = dict[str, Any]

# Exact for any product of three floats; truncating, as ccxt's division is.
_CONTEXT = Context(prec=120, rounding=ROUND_DOWN, traps=[])
_PLACES = Decimal(1).scaleb(-18)      # ccxt divides to 18 decimals
_HUNDRED = Decimal(100)
_ZERO = Decimal(0)
_SMALL, _BIG = 1e-4, 1e15             # between them str(float) has no exponent
_EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
_LATEST_MS = 8_640_000_000_000_000

_SIDES = {1: "buy", 2: "sell", 3: "3", 4: "4"}       # ccxt's; corrected in fields.py
_STATES = {1: "open", 2: "open", 3: "closed", 4: "canceled"}
#: an order with one of these is not the plain order of the stream
_OTHER_ORDER = frozenset((
    "code", "type", "timeInForce", "clientOrderId", "time", "transactTime", "status", "stopPrice",
    "triggerPrice", "origQty", "executedQty", "cummulativeQuoteQty", "id"))
_second = (-1, "")


def iso8601(ms: int) -> str:
    """2023-03-29T00:52:21.870Z; ms from 0 to year 275760. The seconds of the last call are kept."""
    global _second
    seconds, rest = divmod(ms, 1000)
    last, text = _second
    if seconds != last:
        moment = _EPOCH + datetime.timedelta(seconds=seconds)
        text = moment.strftime("%Y-%m-%dT%H:%M:%S.") if moment.year > 999 else ""
        _second = (seconds, text)
    return f"{text}{rest:03d}Z"


def is_time(value: Any) -> bool:
    """A time that iso8601() takes and a float holds exactly."""
    return type(value) is int and 0 <= value < 9_007_199_254_740_992 and value <= _LATEST_MS // 40


def plain(value: Any) -> bool:
    """A number whose str() is digits only: zero, or of a size that has no exponent."""
    kind = type(value)
    if kind is int:
        return bool(-10**15 < value < 10**15)
    return kind is float and (value == 0.0 or _SMALL <= value < _BIG or -_BIG < value <= -_SMALL)


def _text(value: Any) -> str:
    """The digits of a plain number as ccxt's number_to_string writes them."""
    text = str(value)
    return text[:-2] if text.endswith(".0") else text


def _cost(price: Any, size: Decimal, amount: Any) -> float:
    multiply = _CONTEXT.multiply
    return float(multiply(multiply(Decimal(str(price)), size), Decimal(str(amount))))


def public_trade(raw: Row, market: Row, size: Decimal) -> Row | None:
    """One entry of push.deal or of the REST deals. size: contract size."""
    price, amount, side, ms = raw.get("p"), raw.get("v"), raw.get("T"), raw.get("t")
    if (not (plain(price) and plain(amount)) or type(side) is not int or side not in (1, 2)
            or not is_time(ms)):
        return None
    name = "buy" if side == 1 else "sell"
    return {
        "id": f"{ms}-{name}-{_text(amount)}-{_text(price)}-taker",
        "order": None,
        "timestamp": ms,
        "datetime": iso8601(ms),                # type: ignore[arg-type]
        "symbol": market["symbol"],
        "type": None,
        "side": name,
        "takerOrMaker": "taker",
        "price": float(price),                  # type: ignore[arg-type]
        "amount": float(amount),                # type: ignore[arg-type]
        "cost": _cost(price, size, amount),
        "fee": {"cost": None, "currency": None},
        "info": raw,
        "fees": [],
    }


def own_trade(raw: Row, market: Row, size: Decimal, code: Callable[[str], Any]) -> Row | None:
    """One push.personal.order.deal or REST order_deals entry. code: currency id -> ccxt's code."""
    price, amount, fee, ms = raw.get("price"), raw.get("vol"), raw.get("fee"), raw.get("timestamp")
    side, currency = raw.get("side"), raw.get("feeCurrency")
    trade_id, order_id = raw.get("id"), raw.get("orderId")
    taker = raw.get("isTaker", raw.get("taker"))
    if (not (plain(price) and plain(amount) and plain(fee) and is_time(ms))
            or type(side) is not int or side not in _SIDES or type(taker) is not bool
            or not (type(currency) is str and currency) or "positionMode" not in raw
            or not _is_id(trade_id) or not _is_id(order_id)):
        return None
    charged = {"currency": code(currency), "cost": float(fee)}       # type: ignore[arg-type]
    if charged["currency"] is None:
        return None
    return {
        "id": str(trade_id),
        "order": str(order_id),
        "timestamp": ms,
        "datetime": iso8601(ms),                # type: ignore[arg-type]
        "symbol": market["symbol"],
        "type": None,
        "side": _SIDES[side],
        "takerOrMaker": "taker" if taker else "maker",
        "price": float(price),                  # type: ignore[arg-type]
        "amount": float(amount),                # type: ignore[arg-type]
        "cost": _cost(price, size, amount),
        "fee": charged,
        "info": raw,
        "fees": [charged],
    }


def _is_id(value: Any) -> bool:
    return (type(value) is str and value != "") or type(value) is int


def order(raw: Row, market: Row, size: Decimal) -> Row | None:
    """One push.personal.order, or an ordinary order of a REST answer."""
    if not _OTHER_ORDER.isdisjoint(raw):
        return None
    price, amount, filled = raw.get("price"), raw.get("vol"), raw.get("dealVol")
    average, maker, taker = raw.get("dealAvgPrice"), raw.get("makerFee"), raw.get("takerFee")
    state, side, currency = raw.get("state"), raw.get("side"), raw.get("feeCurrency")
    created, updated, order_id = raw.get("createTime"), raw.get("updateTime"), raw.get("orderId")
    for number in (price, amount, filled, average, maker, taker):
        if not plain(number):
            return None
    if (not is_time(created) or not is_time(updated) or not _is_id(order_id) or not amount
            or type(side) is not int or side not in _SIDES
            or type(state) is not int or state not in _STATES
            or not (type(currency) is str and currency)):
        return None
    done = Decimal(str(filled))
    remaining = _CONTEXT.subtract(Decimal(str(amount)), done)
    at = average or price
    fee = float(_CONTEXT.add(Decimal(str(taker)), Decimal(str(maker))))
    return {
        "id": str(order_id),
        "clientOrderId": None,
        "timestamp": created,
        "datetime": iso8601(created),           # type: ignore[arg-type]
        "lastTradeTimestamp": None,
        "lastUpdateTimestamp": updated,
        "status": _STATES[state],
        "symbol": market["symbol"],
        "type": None,
        "timeInForce": None,
        "side": _SIDES[side],
        "price": float(price) if price else None,
        "triggerPrice": None,
        "average": float(average) if average else None,
        "amount": float(amount),
        "cost": _cost(at, size, filled) if at else None,
        "filled": float(filled),                # type: ignore[arg-type]
        "remaining": float(remaining),
        "fee": {"currency": currency, "cost": fee},
        "trades": [],
        "info": raw,
        "fees": [{"currency": currency, "cost": fee}],
        "postOnly": None,
        "reduceOnly": None,
        "stopPrice": None,
        "takeProfitPrice": None,
        "stopLossPrice": None,
    }


def ticker(raw: Row, market: Row, size: Decimal, places: Decimal) -> Row | None:
    """One push.ticker, or one entry of push.tickers and of the REST tickers, of a linear contract.

    places: one unit of the last decimal ccxt gives the average.
    """
    last, ms = raw.get("lastPrice"), raw.get("timestamp")
    bid, ask, high, low = (raw.get(key) for key in ("bid1", "ask1", "high24Price", "lower24Price"))
    volume, turnover = raw.get("volume24"), raw.get("amount24")
    change, rate = raw.get("riseFallValue"), raw.get("riseFallRate")
    if not is_time(ms) or not (plain(last) and last):
        return None
    for number in (bid, ask, high, low, change):
        if number is not None and not plain(number):
            return None
    if (not (plain(volume) and plain(turnover) and volume and turnover)
            or type(rate) not in (int, float)):
        return None
    close = Decimal(str(last))
    base = _CONTEXT.multiply(Decimal(str(volume)), size)
    quote = Decimal(str(turnover))
    percent = _CONTEXT.multiply(Decimal(str(rate)), _HUNDRED)
    if change is None:
        return None
    start = _CONTEXT.subtract(close, Decimal(str(change)))
    if percent == _ZERO or start <= _ZERO:
        return None                              # ccxt takes another way
    middle = _CONTEXT.divide(_CONTEXT.add(start, close), Decimal(2))
    vwap = _CONTEXT.divide(quote, base).quantize(_PLACES, ROUND_DOWN, _CONTEXT)
    final = float(last)
    return {
        "symbol": market["symbol"],
        "timestamp": ms,
        "datetime": iso8601(ms),                # type: ignore[arg-type]
        "open": float(start),
        "high": float(high) if high else None,
        "low": float(low) if low else None,
        "close": final,
        "bid": float(bid) if bid else None,
        "bidVolume": None,
        "ask": float(ask) if ask else None,
        "askVolume": None,
        "vwap": float(vwap),
        "previousClose": None,
        "change": float(change),
        "percentage": float(percent),
        "average": float(middle.quantize(places, ROUND_DOWN, _CONTEXT)),
        "baseVolume": float(base),
        "quoteVolume": float(turnover),
        "info": raw,
        "last": final,
        "indexPrice": None,
        "markPrice": None,
    }

"""Wishes to bytes: every check that needs no book, then the exact body that is signed and sent.

A price or quantity is accepted as int, Decimal, str or float, and only if it stands exactly on the
contract's step; a float means its shortest decimal text, so 45000.5 is 45000.5 and 0.1 + 0.2 is
refused. Nothing is rounded silently. Anything refused raises IntentError, which names the field,
the value and what is allowed.
Source: protocol.md 11, 12.7, 16, appendix A.1.
"""

cimport cython

import json
import re
from decimal import ROUND_FLOOR as _floor
from decimal import Context, Decimal

from mexcfast.errors import IntentError
from mexcfast.types import (
    BestPrice,
    ContractState,
    MarginSupport,
    OpenType,
    OrderType,
    PositionMode,
    SelfTrade,
    Side,
    TriggerPrice,
)

ABI = INTENT_ABI

CLIENT_ORDER_ID_MAX = 32
CANCEL_MAX = 50

# Room for any price over any step; the digits of both are limited below.
_exact = Context(prec=120)
_number = re.compile(r"[+-]?[0-9]{1,40}(\.[0-9]{0,40})?", re.ASCII)
# Ids travel in URL paths too (order/external): no character that servers or proxies rewrite.
_client_id = re.compile(r"[A-Za-z0-9_:.-]{1,32}", re.ASCII)
_base36 = re.compile(r"0|[1-9a-z][0-9a-z]{0,18}", re.ASCII)


# -- numbers -------------------------------------------------------------------------------------

def exact_decimal(field, value):
    """int, Decimal, str (plain notation) or float (its shortest text) as a finite Decimal."""
    if isinstance(value, bool):
        raise IntentError(field, value, "a number")
    if isinstance(value, Decimal):
        number = value
    elif isinstance(value, int):
        if not -10**40 < value < 10**40:
            raise IntentError(field, value, "at most 40 digits")
        number = Decimal(value)
    elif isinstance(value, float):
        number = Decimal(float.__repr__(value))
    elif isinstance(value, str) and _number.fullmatch(value):
        number = Decimal(value)
    else:
        raise IntentError(field, value, "int, Decimal, float or plain decimal text")
    if not number.is_finite():
        raise IntentError(field, value, "a finite number")
    # A zero keeps its exponent, so zero is looked at by exponent alone.
    if number.as_tuple().exponent < -80 or (number and number.adjusted() > 40) or (
            not number and number.as_tuple().exponent > 40):
        raise IntentError(field, value, "at most 40 digits before and 80 after the point")
    return number


def plain_text(number):
    """Plain decimal notation, no exponent, no needless zeros: 84000, 45000.5, 0.00001."""
    return format(number.normalize(_exact) if number else Decimal(0), "f")


cdef object on_step(str field, object value, object step, str word):
    """A positive number standing exactly on the step."""
    number = exact_decimal(field, value)
    if number <= 0:
        raise IntentError(field, value, "a number above 0")
    if _exact.remainder(number, step) != 0:
        raise IntentError(field, value, f"a multiple of the {word} {plain_text(step)}")
    return number


def snap_price(contract, value):
    """The price step at or below a value: for reference prices, never for a price a user gave."""
    number = exact_decimal("price", value)
    steps = _exact.divide(number, contract.tick_size).to_integral_value(_floor)
    return _exact.multiply(steps, contract.tick_size)


# -- ids -----------------------------------------------------------------------------------------

cdef str base36(object number):
    if number == 0:
        return "0"
    cdef list digits = []
    while number:
        number, digit = divmod(number, 36)
        digits.append("0123456789abcdefghijklmnopqrstuvwxyz"[digit])
    return "".join(reversed(digits))


def mint_client_order_id(prefix, session, counter):
    """prefix-session-counter, the numbers in base 36: at most 32 characters, a pure function.

    Different arguments give different ids: the numbers hold no "-", so the text can be read back.
    The caller makes session unique among its restarts and processes (a start time will do).
    """
    for field, number in (("session", session), ("counter", counter)):
        if isinstance(number, bool) or not isinstance(number, int) or not 0 <= number < 2**64:
            raise IntentError(field, number, "an integer from 0 to 2**64 - 1")
    if not isinstance(prefix, str):
        raise IntentError("prefix", prefix, "text")
    return check_client_order_id(f"{prefix}-{base36(session)}-{base36(counter)}")


def parse_client_order_id(client_order_id, prefix):
    """(session, counter) of an id minted with this prefix; None for any other id."""
    if not isinstance(client_order_id, str) or not client_order_id.startswith(prefix + "-"):
        return None
    parts = client_order_id[len(prefix) + 1:].split("-")
    if len(parts) != 2 or not all([_base36.fullmatch(part) for part in parts]):
        return None
    session, counter = int(parts[0], 36), int(parts[1], 36)
    return (session, counter) if session < 2**64 and counter < 2**64 else None


def check_client_order_id(value):
    """The id itself, or IntentError."""
    if not isinstance(value, str) or not _client_id.fullmatch(value) or value in (".", ".."):
        raise IntentError("client_order_id", value,
                          "1 to 32 characters out of letters, digits and _ : . -")
    # The venue's own marks (protocol.md 12.1): such an order would look like somebody else's.
    if value.startswith(("_m_", "CHASE_LIMIT")):
        raise IntentError("client_order_id", value, "any id not beginning with _m_ or CHASE_LIMIT")
    return value


@cython.final
@cython.auto_pickle(False)
cdef class ClientOrderIds:
    """A counter of client order ids for one session."""

    def __init__(self, prefix, session, counter=0):
        self.prefix = prefix
        self.session = session
        self.counter = counter
        mint_client_order_id(prefix, session, 2**48)   # room for the counter, checked once

    def mint(self):
        """The next id."""
        self.counter += 1
        return mint_client_order_id(self.prefix, self.session, self.counter)

    def is_ours(self, client_order_id):
        """Whether an id was minted with this prefix, in this or another session."""
        return parse_client_order_id(client_order_id, self.prefix) is not None


# -- bodies --------------------------------------------------------------------------------------

cdef str json_text(str field, object value):
    if isinstance(value, str):
        try:
            value.encode("utf-8")
        except UnicodeEncodeError:
            raise IntentError(field, value, "text that can be written as UTF-8") from None
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return int.__repr__(value)
    if isinstance(value, (Decimal, float)):
        return plain_text(exact_decimal(field, value))
    if isinstance(value, dict):
        return "{" + ",".join([f"{json_text('key', str(name))}:{json_text(str(name), item)}"
                               for name, item in value.items() if item is not None]) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ",".join([json_text(field, item) for item in value]) + "]"
    raise IntentError(field, value, "str, bool, int, float, Decimal, dict, list or tuple")


def encode_body(value):
    """Compact JSON of dicts, lists, text, booleans and numbers.

    Numbers in plain decimal notation, members that are None left out, UTF-8 without escapes.
    """
    return json_text("body", value).encode("utf-8")


cdef object as_enum(str field, object kind, object value):
    """A member the documents list."""
    if not isinstance(value, bool) and isinstance(value, int):
        member = kind(value)
        if member.is_known:
            return member
    raise IntentError(field, value,
                      ", ".join([f"{item.name} ({int(item)})" for item in kind]))


cdef object as_id(str field, object value):
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= 30:
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or value <= 0:
        raise IntentError(field, value, "a positive integer")
    return int(value)


@cython.final
@cython.auto_pickle(False)
cdef class OrderIntent:
    """One order, checked against its contract; body holds the bytes to sign and send.

    quantity: contracts. price: needed by limit, post-only, IOC and FOK orders unless best_price is
    given. leverage: needed when opening. open_type: ISOLATED or CROSS.
    reduce_only: closing sides are reduce-only by themselves; on an opening side the flag needs
    position_mode=ONE_WAY, because in hedge mode the venue would open a position.
    index_price: when given, a limit price outside the contract's band is refused here.
    """

    def __init__(self, contract, side, quantity, price=None, *, type=OrderType.LIMIT,
                 open_type=OpenType.ISOLATED, leverage=None, client_order_id,
                 position_id=None, position_mode=None, reduce_only=False,
                 stop_loss_price=None, take_profit_price=None, loss_trend=None,
                 profit_trend=None, price_protect=None, market_ceiling=None, flash_close=None,
                 best_price=None, self_trade=None, index_price=None):
        self.contract = contract
        self.side = as_enum("side", Side, side)
        self.type = as_enum("type", OrderType, type)
        self.open_type = as_enum("open_type", OpenType, open_type)
        self.client_order_id = check_client_order_id(client_order_id)
        self.reduce_only = bool(reduce_only)
        mode = None if position_mode is None else as_enum("position_mode", PositionMode,
                                                          position_mode)
        best = None if best_price is None else as_enum("best_price", BestPrice, best_price)
        self.check_contract(mode)
        self.check_leverage(leverage)
        self.quantity = self.checked_quantity(quantity)
        self.price = self.checked_price(price, best, index_price)
        cdef str closing = ""
        if self.reduce_only and mode == PositionMode.ONE_WAY:
            closing = ',"reduceOnly":true'
        cdef list parts = [
            '{"symbol":', json_text("symbol", contract.symbol),
            "" if self.price is None else ',"price":' + plain_text(self.price),
            ',"vol":', plain_text(self.quantity),
            "" if self.leverage is None else f',"leverage":{self.leverage}',
            f',"side":{int(self.side)},"type":{int(self.type)},"openType":{int(self.open_type)}',
            f',"externalOid":"{self.client_order_id}"',
        ]
        if position_id is not None:
            parts.append(f',"positionId":{as_id("position_id", position_id)}')
        for name, field, value in (("stopLossPrice", "stop_loss_price", stop_loss_price),
                                   ("takeProfitPrice", "take_profit_price", take_profit_price)):
            if value is not None:
                number = on_step(field, value, contract.tick_size, "tick size")
                parts.append(f',"{name}":{plain_text(number)}')
        for name, field, kind, value in (("lossTrend", "loss_trend", TriggerPrice, loss_trend),
                                         ("profitTrend", "profit_trend", TriggerPrice,
                                          profit_trend),
                                         ("bboTypeNum", "best_price", BestPrice, best),
                                         ("stpMode", "self_trade", SelfTrade, self_trade),
                                         ("positionMode", "position_mode", PositionMode, mode)):
            if value is not None:
                parts.append(f',"{name}":{int(as_enum(field, kind, value))}')
        if price_protect is not None:
            parts.append(f',"priceProtect":{1 if price_protect else 0}')
        for name, flag in (("marketCeiling", market_ceiling), ("flashClose", flash_close)):
            if flag is not None:
                parts.append(f',"{name}":{"true" if flag else "false"}')
        parts.append(closing)
        parts.append("}")
        self.body = "".join(parts).encode("utf-8")

    @property
    def symbol(self):
        return self.contract.symbol

    @property
    def is_opening(self):
        """Whether it may add to a position."""
        return self.side.is_open and not self.reduce_only

    def __repr__(self):
        return (f"OrderIntent({self.contract.symbol} {self.side.name} {self.type.name} "
                f"{plain_text(self.quantity)} at {self.price} as {self.client_order_id})")

    cdef int check_contract(self, object mode) except -1:
        contract = self.contract
        if not contract.api_allowed:
            raise IntentError("symbol", contract.symbol, "a contract open to API trading")
        if self.side.is_open and contract.state != ContractState.ENABLED:
            raise IntentError("symbol", contract.symbol,
                              f"an enabled contract; its state is {contract.state.name}")
        if self.reduce_only and self.side.is_open and mode != PositionMode.ONE_WAY:
            raise IntentError("reduce_only", True,
                              "a closing side, or position_mode=ONE_WAY with an opening side")
        if ((self.open_type == OpenType.CROSS
             and contract.margin_support == MarginSupport.ISOLATED_ONLY)
                or (self.open_type == OpenType.ISOLATED
                    and contract.margin_support == MarginSupport.CROSS_ONLY)):
            raise IntentError("open_type", self.open_type.name,
                              f"{contract.margin_support.name} on {contract.symbol}")
        return 0

    cdef int check_leverage(self, object leverage) except -1:
        contract = self.contract
        if leverage is None:
            if self.is_opening:
                raise IntentError("leverage", None, "a value: opening orders need it")
            return 0
        if (isinstance(leverage, bool) or not isinstance(leverage, int)
                or not contract.min_leverage <= leverage <= contract.max_leverage):
            raise IntentError("leverage", leverage,
                              f"integers from {contract.min_leverage} to {contract.max_leverage}")
        self.leverage = int(leverage)
        return 0

    cdef object checked_quantity(self, object value):
        return check_quantity(self.contract, self.type, value)

    cdef object checked_price(self, object value, object best, object index_price):
        if value is None:
            if not (self.type in (OrderType.MARKET, OrderType.MARKET_TO_LIMIT) or best):
                raise IntentError("price", None, f"a value: {self.type.name} orders need it")
            return None
        price = on_step("price", value, self.contract.tick_size, "tick size")
        if index_price is not None and self.type not in (OrderType.MARKET,
                                                         OrderType.MARKET_TO_LIMIT):
            check_band(self.contract, self.side, price, index_price)
        return price


def check_quantity(contract, type, value):
    """The quantity as Decimal; IntentError off the lot size or outside the contract's limits."""
    quantity = on_step("quantity", value, contract.lot_size, "lot size")
    highest = contract.max_quantity
    if (contract.max_limit_quantity is not None
            and type not in (OrderType.MARKET, OrderType.MARKET_TO_LIMIT)):
        highest = contract.max_limit_quantity
    if not contract.min_quantity <= quantity <= highest:
        raise IntentError("quantity", value,
                          f"{plain_text(contract.min_quantity)} to {plain_text(highest)} contracts")
    return quantity


def check_band(contract, side, price, index_price):
    """Refuse a buy above index x (1 + rate) or a sell below index x (1 - rate) (12.7)."""
    index = exact_decimal("index_price", index_price)
    if side.is_buy:
        highest = _exact.multiply(index, _exact.add(1, contract.bid_limit_rate))
        if price > highest:
            raise IntentError("price", plain_text(price), f"at most {plain_text(highest)}")
    else:
        lowest = _exact.multiply(index, _exact.subtract(1, contract.ask_limit_rate))
        if price < lowest:
            raise IntentError("price", plain_text(price), f"at least {plain_text(lowest)}")


def amend_body(contract, order_id, price, quantity):
    """change_limit_order: all three are required; the venue answers with a new order id."""
    number = on_step("price", price, contract.tick_size, "tick size")
    amount = check_quantity(contract, OrderType.LIMIT, quantity)
    return (f'{{"orderId":{as_id("order_id", order_id)},"price":{plain_text(number)},'
            f'"vol":{plain_text(amount)}}}').encode("ascii")


def cancel_body(order_ids):
    """order/cancel: a bare array of 1 to 50 integers."""
    numbers = [as_id("order_ids", item) for item in order_ids]
    check_batch("order_ids", numbers)
    return ("[" + ",".join([str(item) for item in numbers]) + "]").encode("ascii")


def external_body(pairs):
    """*_with_external: an array of 1 to 50 symbols and client order ids."""
    items = [{"symbol": check_symbol(symbol), "externalOid": client_order_id}
             for symbol, client_order_id in pairs]
    for item in items:
        # Only length is checked: orders of other programs may be cancelled and asked for, too.
        text = item["externalOid"]
        if not isinstance(text, str) or not 1 <= len(text) <= CLIENT_ORDER_ID_MAX:
            raise IntentError("client_order_id", text, "1 to 32 characters")
    check_batch("client_order_ids", [tuple(item.values()) for item in items])
    return encode_body(items)


def cancel_all_body(symbol=None):
    """order/cancel_all: one contract, or every contract when symbol is None."""
    return encode_body({"symbol": "" if symbol is None else check_symbol(symbol)})


cdef str check_symbol(object symbol):
    if not isinstance(symbol, str) or not symbol or not symbol.isprintable():
        raise IntentError("symbol", symbol, "the venue's name of a contract, such as BTC_USDT")
    return symbol


cdef int check_batch(str field, list items) except -1:
    if not 1 <= len(items) <= CANCEL_MAX:
        raise IntentError(field, f"{len(items)} items", f"1 to {CANCEL_MAX}")
    if len(set(items)) != len(items):
        raise IntentError(field, "a repeated id", "each id once")
    return 0

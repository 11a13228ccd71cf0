"""Wishes to bytes: every check that needs no book, then the exact body that is signed and sent.

A price or quantity is accepted as int, Decimal, str or float, and only if it stands exactly on the
contract's step; a float means its shortest decimal text, so 45000.5 is 45000.5 and 0.1 + 0.2 is
refused. Nothing is rounded silently. Anything refused raises IntentError, which names the field,
the value and what is allowed.

A number in up to 18 plain digits is checked in integers; whatever else there is, and whatever is
refused, goes through Decimal, so that both ways allow the same and one way words the refusals.
Source: protocol.md 11, 12.7, 16, appendix A.1.
"""

cimport cython
from libc.stdint cimport int64_t

from mexcfast.core.body cimport order_body
from mexcfast.core.client_ids cimport check_client_order_id
from mexcfast.core.depth cimport LIVE, OrderBook
from mexcfast.core.steps cimport digits_of, float_on_step, plain_on_step, read_plain, read_step

import json
import re
from collections.abc import Mapping
from decimal import ROUND_FLOOR as _floor
from decimal import Context, Decimal

from mexcfast.core.client_ids import CLIENT_ORDER_ID_MAX as _longest_id
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

cdef extern from "Python.h":
    bint PyFloat_CheckExact(object)
    const char* PyUnicode_AsUTF8AndSize(object, Py_ssize_t*) except NULL
    long long PyLong_AsLongLongAndOverflow(object, int*) except? -1
    bint PyLong_CheckExact(object)

ABI = INTENT_ABI

CANCEL_MAX = 50

# Room for any price over any step; the digits of both are limited below.
_exact = Context(prec=120)
_number = re.compile(r"[+-]?[0-9]{1,40}(\.[0-9]{0,40})?", re.ASCII)


cdef object _enabled = ContractState.ENABLED
cdef object _both_margins = MarginSupport.BOTH

cdef enum:
    OPEN_LONG_ = 1
    OPEN_SHORT_ = 3

cdef int MARKET = OrderType.MARKET, MARKET_TO_LIMIT = OrderType.MARKET_TO_LIMIT


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


@cython.final
@cython.auto_pickle(False)
cdef class _Terms:
    """What every order of a contract asks for, made ready once."""
    cdef object contract
    cdef bytes head                 # the body up to its price
    cdef int64_t tick, lot          # steps as mantissa and decimals; 0: only Decimal knows them
    cdef int tick_scale, lot_scale
    cdef int64_t least, most        # a limit order's, with lot's decimals; 0: only Decimal knows
    cdef int64_t lowest, highest    # leverage
    cdef bint is_open               # enabled, to keys as well, for both margins
    # the quantity that was checked last, as it was given: most orders have the same one
    cdef object last
    cdef object last_quantity
    cdef str last_text

    def __init__(self, contract):
        self.contract = contract
        self.head = ('{"symbol":' + json_text("symbol", contract.symbol)).encode("utf-8")
        read_step(plain_text(contract.tick_size), &self.tick, &self.tick_scale)
        read_step(plain_text(contract.lot_size), &self.lot, &self.lot_scale)
        most = contract.max_limit_quantity
        self.least = self.in_lots(contract.min_quantity)
        self.most = self.in_lots(contract.max_quantity if most is None else most)
        self.lowest, self.highest = contract.min_leverage, contract.max_leverage
        self.is_open = (contract.api_allowed and contract.state == ContractState.ENABLED
                        and contract.margin_support == MarginSupport.BOTH)

    cdef int64_t in_lots(self, object quantity) except? -1:
        """A limit with as many decimals as the lot has; 0 when it has more, or is too large."""
        scaled = quantity.scaleb(self.lot_scale, _exact)
        whole = int(scaled)
        return whole if whole == scaled and 0 < whole < 10**17 else 0

    cdef bint has_room(self, str quantity) except -1:
        """Whether a plain quantity on the lot is surely within a limit order's limits."""
        cdef const char* text
        cdef Py_ssize_t size = 0
        cdef int64_t number = 0
        cdef int scale = 0
        if not self.least or not self.most:
            return False
        text = PyUnicode_AsUTF8AndSize(quantity, &size)
        if not read_plain(text, size, &number, &scale):
            return False
        while scale < self.lot_scale and number <= self.most:
            number *= 10                    # below 10**18: most is below 10**17
            scale += 1
        return scale == self.lot_scale and self.least <= number <= self.most

    cdef str quantity_of(self, OrderIntent intent, object quantity, bint is_market):
        """Check the quantity of an order whose type is known; its plain text."""
        cdef str digits, text
        if quantity is self.last and self.last_text is not None and not is_market:
            intent.quantity = self.last_quantity
            return self.last_text
        digits = digits_of(quantity)
        text = plain_on_step(digits, self.lot, self.lot_scale)
        if text is None:
            intent.quantity = check_quantity(self.contract, intent.type, quantity)
            return plain_text(intent.quantity)
        intent.quantity = quantity if isinstance(quantity, Decimal) else Decimal(digits)
        if is_market or not self.has_room(text):
            check_range(self.contract, intent.type, intent.quantity, quantity)
        else:
            self.last, self.last_quantity, self.last_text = quantity, intent.quantity, text
        return text


cdef dict known_terms = {}          # id(contract) -> _Terms, which keeps the contract alive
cdef _Terms newest_terms = None


cdef _Terms terms_of(object contract):
    global newest_terms
    if newest_terms is None or newest_terms.contract is not contract:
        newest_terms = found_terms(contract)
    return newest_terms


cdef _Terms found_terms(object contract):
    terms = known_terms.get(id(contract))
    if terms is None:
        if len(known_terms) >= 4096:    # contracts read again and again: the old ones go
            known_terms.clear()
        terms = known_terms[id(contract)] = _Terms(contract)
    return terms


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


cdef list members_of(object kind):
    """Its members by number, None between."""
    found = {int(member): member for member in kind}
    return [found.get(number) for number in range(max(found) + 1)]


cdef list SIDES = members_of(Side), ORDER_TYPES = members_of(OrderType)
cdef list OPEN_TYPES = members_of(OpenType)


cdef object member_of(str field, object kind, list members, object value):
    """as_enum(), at once for what every order has: an enum's own look-up is slow."""
    cdef int overflow = 0
    cdef long long number
    if type(value) is kind or type(value) is int:
        number = PyLong_AsLongLongAndOverflow(value, &overflow)
        if 0 <= number < len(members) and members[number] is not None:
            return members[number]
    return as_enum(field, kind, value)


cdef object as_enum(str field, object kind, object value):
    """A member the documents list."""
    if not isinstance(value, bool) and isinstance(value, int):
        member = value if type(value) is kind else kind(value)
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
        mode = None if position_mode is None else as_enum("position_mode", PositionMode,
                                                          position_mode)
        best = None if best_price is None else as_enum("best_price", BestPrice, best_price)
        cdef bytes body = self.begin(contract, side, quantity, price, type, open_type, leverage,
                                     check_client_order_id(client_order_id), bool(reduce_only),
                                     mode, best, index_price)
        if (position_id is None and stop_loss_price is None and take_profit_price is None
                and loss_trend is None and profit_trend is None and best is None
                and self_trade is None and mode is None and price_protect is None
                and market_ceiling is None and flash_close is None):
            self.body = body
            return
        cdef str closing = ""
        if self.reduce_only and mode == PositionMode.ONE_WAY:
            closing = ',"reduceOnly":true'
        cdef list parts = [body.decode("utf-8").removesuffix("}")]
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
        return self.opens and not self.reduce_only

    def __repr__(self):
        return (f"OrderIntent({self.contract.symbol} {self.side.name} {self.type.name} "
                f"{plain_text(self.quantity)} at {self.price} as {self.client_order_id})")

    cdef bytes begin(self, object contract, object side, object quantity, object price,
                     object type, object open_type, object leverage, str client_order_id,
                     bint reduce_only, object mode, object best, object index_price):
        """Check what every order has, but for its checked id; the body of an order without more."""
        cdef _Terms terms = terms_of(contract)
        cdef str price_text, quantity_text, digits
        cdef int side_number, type_number
        self.contract = contract
        self.side = member_of("side", Side, SIDES, side)
        self.type = member_of("type", OrderType, ORDER_TYPES, type)
        self.open_type = member_of("open_type", OpenType, OPEN_TYPES, open_type)
        side_number, type_number = self.side, self.type
        self.opens = side_number == OPEN_LONG_ or side_number == OPEN_SHORT_
        self.client_order_id = client_order_id
        self.reduce_only = reduce_only
        if not terms.is_open or reduce_only:
            self.check_contract(mode)
        if PyLong_CheckExact(leverage) and terms.lowest <= leverage <= terms.highest:
            self.leverage = leverage
        else:
            self.check_leverage(leverage)
        quantity_text = terms.quantity_of(
            self, quantity, type_number == MARKET or type_number == MARKET_TO_LIMIT)
        price_text = digits = None
        if PyFloat_CheckExact(price):
            price_text = digits = float_on_step(price, terms.tick, terms.tick_scale)
        if price_text is None:
            digits = digits_of(price)
            price_text = plain_on_step(digits, terms.tick, terms.tick_scale)
        if price_text is None:
            self.price = self.checked_price(price, best, index_price)
            price_text = None if self.price is None else plain_text(self.price)
        else:
            self.price = price if isinstance(price, Decimal) else Decimal(digits)
            if index_price is not None:
                self.check_index(self.price, index_price)
        return order_body(terms.head, price_text, quantity_text, self.leverage, side_number,
                          type_number, self.open_type, client_order_id)

    cdef int check_contract(self, object mode) except -1:
        contract = self.contract
        if not contract.api_allowed:
            raise IntentError("symbol", contract.symbol, "a contract open to API trading")
        if self.opens and contract.state is not _enabled and (
                contract.state != ContractState.ENABLED):
            raise IntentError("symbol", contract.symbol,
                              f"an enabled contract; its state is {contract.state.name}")
        if self.reduce_only and self.opens and mode != PositionMode.ONE_WAY:
            raise IntentError("reduce_only", True,
                              "a closing side, or position_mode=ONE_WAY with an opening side")
        if contract.margin_support is not _both_margins and (
                (self.open_type == OpenType.CROSS
                 and contract.margin_support == MarginSupport.ISOLATED_ONLY)
                or (self.open_type == OpenType.ISOLATED
                    and contract.margin_support == MarginSupport.CROSS_ONLY)):
            raise IntentError("open_type", self.open_type.name,
                              f"{contract.margin_support.name} on {contract.symbol}")
        return 0

    cdef int check_leverage(self, object leverage) except -1:
        contract = self.contract
        if leverage is None:
            if self.opens and not self.reduce_only:
                raise IntentError("leverage", None, "a value: opening orders need it")
            return 0
        if (isinstance(leverage, bool) or not isinstance(leverage, int)
                or not contract.min_leverage <= leverage <= contract.max_leverage):
            raise IntentError("leverage", leverage,
                              f"integers from {contract.min_leverage} to {contract.max_leverage}")
        self.leverage = int(leverage)
        return 0

    cdef object checked_price(self, object value, object best, object index_price):
        if value is None:
            if not (self.type in (OrderType.MARKET, OrderType.MARKET_TO_LIMIT) or best):
                raise IntentError("price", None, f"a value: {self.type.name} orders need it")
            return None
        price = on_step("price", value, self.contract.tick_size, "tick size")
        if index_price is not None:
            self.check_index(price, index_price)
        return price

    cdef int check_index(self, object price, object index_price) except -1:
        if self.type not in (OrderType.MARKET, OrderType.MARKET_TO_LIMIT):
            check_band(self.contract, self.side, price, index_price)
        return 0


cdef OrderIntent plain_order(object contract, object side, object quantity, object price,
                             object type, object open_type, object leverage, str client_order_id):
    """OrderIntent(...) for C, of an order without further wishes. client_order_id: a minted one."""
    cdef OrderIntent intent = OrderIntent.__new__(OrderIntent)
    intent.body = intent.begin(contract, side, quantity, price, type, open_type, leverage,
                               client_order_id, False, None, None, None)
    return intent


cdef int check_range(object contract, object type, object quantity, object value) except -1:
    """value: as it was given."""
    highest = contract.max_limit_quantity
    if highest is None or type in (OrderType.MARKET, OrderType.MARKET_TO_LIMIT):
        highest = contract.max_quantity
    if not contract.min_quantity <= quantity <= highest:
        raise IntentError("quantity", value,
                          f"{plain_text(contract.min_quantity)} to {plain_text(highest)} contracts")
    return 0


def check_quantity(contract, type, value):
    """The quantity as Decimal; IntentError off the lot size or outside the contract's limits."""
    quantity = on_step("quantity", value, contract.lot_size, "lot size")
    check_range(contract, type, quantity, value)
    return quantity


def check_price(contract, field, value):
    """A price above 0 standing on the contract's tick size; IntentError otherwise."""
    return on_step(field, value, contract.tick_size, "tick size")


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
        if not isinstance(text, str) or not 1 <= len(text) <= _longest_id:
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


# -- checks that need the present ----------------------------------------------------------------

cdef object limit_for(object limit, str symbol):
    """The limit of one contract; None when there is none."""
    return limit.get(symbol) if isinstance(limit, dict) else limit


cdef object one_limit(str field, object value):
    limit = exact_decimal(field, value)
    if limit < 0:
        raise IntentError(field, value, "a number from 0, or None for no limit")
    return limit


cdef object checked_limit(str field, object limit):
    """A limit given by the user: None, a number, or a mapping symbol -> number."""
    if limit is None:
        return None
    if isinstance(limit, Mapping):
        return {check_symbol(symbol): one_limit(field, number) for symbol, number in limit.items()}
    return one_limit(field, limit)


cdef object mid_of(OrderBook book):
    """Between best bid and ask; IntentError without a LIVE book that has both."""
    bid = ask = None
    if book is not None and book.state == LIVE:
        bid, ask = book.best_bid, book.best_ask
    if bid is None or ask is None:
        raise IntentError("book", None if book is None else f"{book.symbol} state {book.state}",
                          "a LIVE book with both sides: price_band needs one")
    return _exact.divide(_exact.add(exact_decimal("price", bid), exact_decimal("price", ask)), 2)


cdef int check_price_band(OrderIntent intent, object band, object around) except -1:
    """Not further than the band on the far side of a price."""
    if intent.side.is_buy:
        highest = _exact.multiply(around, _exact.add(1, band))
        if intent.price > highest:
            raise IntentError("price", plain_text(intent.price),
                              f"at most {plain_text(highest)} (price_band)")
    else:
        lowest = _exact.multiply(around, _exact.subtract(1, band))
        if intent.price < lowest:
            raise IntentError("price", plain_text(intent.price),
                              f"at least {plain_text(lowest)} (price_band)")
    return 0


cdef int check_waiting_band(OrderIntent intent, object band, object trigger_price, object rises,
                            OrderBook book) except -1:
    """From the trigger price, or from the mid when the trigger is met already."""
    if band is None:
        return 0
    mid = mid_of(book)
    is_met = trigger_price is None or (mid >= trigger_price if rises else mid <= trigger_price)
    return check_price_band(intent, band, mid if is_met else trigger_price)


@cython.final
@cython.auto_pickle(False)
cdef class RiskLimits:
    """What an order may not exceed, whatever the strategy thinks. None switches a check off.

    max_notional: quote currency, one order. max_position: contracts in one direction of one
    contract once everything that is open has filled. Both take a number for every contract, or a
    mapping symbol -> number. max_open_orders: own open orders of one contract; the contract's own
    number holds anyway. refuse_self_cross: no order that would trade with an own one.
    max_leverage: of an opening order. price_band: how far a limit price may stand on the far side
    of the LIVE book's mid, as a fraction: a buy at most mid x (1 + band), a sell at least
    mid x (1 - band). Both, too, for every contract or by symbol.
    max_clock_error_ms: how uncertain the venue's time may be. max_book_age_ms: the contract's book
    must be LIVE and have moved within this.
    Orders that only reduce are held to self_cross and the clock only: nothing else may stand
    between a strategy and its exit.
    """

    def __init__(self, *, max_notional=None, max_position=None, max_open_orders=None,
                 refuse_self_cross=True, max_clock_error_ms=None, max_book_age_ms=None,
                 max_leverage=None, price_band=None):
        self.max_notional = checked_limit("max_notional", max_notional)
        self.max_position = checked_limit("max_position", max_position)
        self.max_open_orders = checked_limit("max_open_orders", max_open_orders)
        self.max_leverage = checked_limit("max_leverage", max_leverage)
        self.price_band = checked_limit("price_band", price_band)
        self.max_clock_error_ms = checked_limit("max_clock_error_ms", max_clock_error_ms)
        self.max_book_age_ms = checked_limit("max_book_age_ms", max_book_age_ms)
        self.refuse_self_cross = bool(refuse_self_cross)

    def check(self, OrderIntent intent not None, *, position=None, open_quantity=0,
              open_orders=0, own_bid=None, own_ask=None, OrderBook book=None,
              int64_t now_ns=0, clock_error_ms=None):
        """Raise IntentError naming limit and value when the order may not leave.

        position: contracts held in the direction the order adds to, None when not known.
        open_quantity: contracts of own open orders that add in that direction. open_orders: own
        open orders of this contract. own_bid, own_ask: best prices of own resting orders, None
        without any. book: the contract's; now_ns: our wall clock. clock_error_ms: how far off the
        venue's time may be, None when it was never asked for.
        """
        self.check_clock(clock_error_ms)
        if self.refuse_self_cross:
            self.check_cross(intent, own_ask if intent.side.is_buy else own_bid, book)
        if not intent.is_opening:
            return
        self.check_leverage(intent)
        self.check_book(intent, book, now_ns)
        self.check_band(intent, book)
        self.check_notional(intent, book)
        self.check_position(intent, position, open_quantity)
        self.check_count(intent, open_orders)

    def check_conditional(self, OrderIntent intent not None, *, trigger_price=None, rises=None,
                          position=None, open_quantity=0, open_orders=0, OrderBook book=None,
                          int64_t now_ns=0, clock_error_ms=None):
        """Raise IntentError when an order that waits for a price may not be placed.

        intent: the order it becomes; one that takes what it gets (MARKET) with the price at which
        it is expected to. trigger_price: at which it becomes one, None: at the market's. rises:
        whether it waits for a price at or above that. price_band is measured from there, and from
        the mid of the LIVE book when it would trigger at once. open_orders: what is open and what
        waits, held to max_open_orders alone: the contract's number is for limit orders. The rest
        as in check(); self-cross is not looked at, for what will rest then is not known.
        """
        self.check_clock(clock_error_ms)
        if not intent.is_opening:
            return
        self.check_leverage(intent)
        self.check_book(intent, book, now_ns)
        if intent.type not in (OrderType.MARKET, OrderType.MARKET_TO_LIMIT):
            check_waiting_band(intent, limit_for(self.price_band, intent.contract.symbol),
                               trigger_price, rises, book)
        self.check_notional(intent, book)
        self.check_position(intent, position, open_quantity)
        limit = limit_for(self.max_open_orders, intent.contract.symbol)
        if limit is not None and open_orders >= limit:
            raise IntentError("open_orders", open_orders + 1,
                              f"at most {plain_text(limit)} (max_open_orders)")

    def check_exit(self, *, clock_error_ms=None):
        """Raise IntentError when even an order that only reduces may not leave: the clock."""
        self.check_clock(clock_error_ms)

    cdef int check_clock(self, object error_ms) except -1:
        if self.max_clock_error_ms is None:
            return 0
        if error_ms is None or error_ms > self.max_clock_error_ms:
            raise IntentError("clock_error_ms", error_ms,
                              f"at most {self.max_clock_error_ms}: sync the clock first")
        return 0

    cdef int check_book(self, OrderIntent intent, OrderBook book, int64_t now_ns) except -1:
        cdef int64_t age_ns
        if self.max_book_age_ms is None:
            return 0
        if book is None or book.state != LIVE:
            raise IntentError("book", None if book is None else f"{book.symbol} state {book.state}",
                              f"a LIVE book of {intent.contract.symbol}")
        age_ns = now_ns - book.ts_recv_ns
        if age_ns > self.max_book_age_ms * 1_000_000:
            raise IntentError("book", f"{age_ns / 1e6:.1f} ms old",
                              f"at most {self.max_book_age_ms} ms")
        return 0

    cdef int check_notional(self, OrderIntent intent, OrderBook book) except -1:
        contract = intent.contract
        limit = limit_for(self.max_notional, contract.symbol)
        if limit is None:
            return 0
        notional = _exact.multiply(intent.quantity, contract.contract_size)
        if not contract.is_inverse:
            price = intent.price
            if price is None:
                price = self.best_price(intent, book)
            if price is None:
                raise IntentError("price", None,
                                  "a price or a LIVE book: max_notional needs one")
            notional = _exact.multiply(notional, price)
        if notional > limit:
            raise IntentError("notional", plain_text(notional),
                              f"at most {plain_text(limit)} (max_notional)")
        return 0

    cdef int check_position(self, OrderIntent intent, object position,
                            object open_quantity) except -1:
        limit = limit_for(self.max_position, intent.contract.symbol)
        if limit is None:
            return 0
        if position is None:
            raise IntentError("position", None,
                              "a position that was read: await Orders.start() first")
        after = _exact.add(_exact.add(position, open_quantity), intent.quantity)
        if after > limit:
            raise IntentError("position", plain_text(after),
                              f"at most {plain_text(limit)} contracts (max_position)")
        return 0

    cdef int check_count(self, OrderIntent intent, object open_orders) except -1:
        limit = limit_for(self.max_open_orders, intent.contract.symbol)
        numbers = intent.contract.max_open_orders
        if numbers and (limit is None or max(numbers) < limit):
            limit = max(numbers)
        if limit is not None and open_orders >= limit:
            raise IntentError("open_orders", open_orders + 1, f"at most {limit}")
        return 0

    cdef int check_leverage(self, OrderIntent intent) except -1:
        limit = limit_for(self.max_leverage, intent.contract.symbol)
        if limit is not None and intent.leverage is not None and intent.leverage > limit:
            raise IntentError("leverage", intent.leverage,
                              f"at most {plain_text(limit)} (max_leverage)")
        return 0

    cdef int check_band(self, OrderIntent intent, OrderBook book) except -1:
        """A market order has no price that could be wrong."""
        band = limit_for(self.price_band, intent.contract.symbol)
        if band is None or intent.price is None:
            return 0
        if intent.type in (OrderType.MARKET, OrderType.MARKET_TO_LIMIT):
            return 0
        check_price_band(intent, band, mid_of(book))
        return 0

    cdef int check_cross(self, OrderIntent intent, object own, OrderBook book) except -1:
        """own: the best own price on the other side."""
        if own is None or intent.type == OrderType.POST_ONLY:
            return 0                # post-only never takes: the venue cancels it instead
        price = intent.price
        if intent.type in (OrderType.MARKET, OrderType.MARKET_TO_LIMIT):
            # It takes the best price; without a book any own order may be that.
            price = self.best_price(intent, book)
        if price is None or (price >= own if intent.side.is_buy else price <= own):
            raise IntentError("price", None if price is None else plain_text(price),
                              f"prices that do not trade with the own order at {plain_text(own)}")
        return 0

    cdef object best_price(self, OrderIntent intent, OrderBook book):
        """The price a taker would get first; None without a LIVE book."""
        if book is None or book.state != LIVE:
            return None
        cdef object best = book.best_ask if intent.side.is_buy else book.best_bid
        return None if best is None else exact_decimal("price", best)

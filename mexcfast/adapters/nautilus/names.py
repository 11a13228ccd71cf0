"""The same things in both worlds: names, numbers, times, enums.

BTC_USDT is BTC-USDT-PERP.MEXC there: a symbol with an underscore would be taken for a spread, of
whose fills no position is made. Quantities are contracts, multiplier the coins in each. Numbers
pass as decimal text or as whole steps, never rounded.
"""

from __future__ import annotations

from datetime import date, timedelta
from decimal import ROUND_FLOOR, Decimal

from nautilus_trader.model.enums import (
    BarAggregation,
    OrderSide,
    OrderStatus,
    OrderType,
    TimeInForce,
)
from nautilus_trader.model.identifiers import InstrumentId, PositionId, Symbol, Venue, VenueOrderId
from nautilus_trader.model.instruments import CryptoPerpetual
from nautilus_trader.model.objects import (
    FIXED_PRECISION,
    AccountBalance,
    Currency,
    Money,
    Price,
    Quantity,
)

import mexcfast as mx
from mexcfast.types import Balance, Contract, Order, OrderErrorCode, OrderState

MEXC = "MEXC"
MEXC_VENUE = Venue(MEXC)
SUFFIX = "-PERP"
NS_PER_MS = 1_000_000
NS_PER_S = 1_000_000_000

# What a bar is called here, and there. Other steps do not exist at the venue.
INTERVALS: dict[tuple[int, int], str] = {
    (1, BarAggregation.MINUTE): "Min1", (5, BarAggregation.MINUTE): "Min5",
    (15, BarAggregation.MINUTE): "Min15", (30, BarAggregation.MINUTE): "Min30",
    (60, BarAggregation.MINUTE): "Min60", (1, BarAggregation.HOUR): "Min60",
    (4, BarAggregation.HOUR): "Hour4", (8, BarAggregation.HOUR): "Hour8",
    (1, BarAggregation.DAY): "Day1", (1, BarAggregation.WEEK): "Week1",
    (1, BarAggregation.MONTH): "Month1"}
SECONDS = {"Min1": 60, "Min5": 300, "Min15": 900, "Min30": 1800, "Min60": 3600, "Hour4": 14400,
           "Hour8": 28800, "Day1": 86400, "Week1": 604800}

# The venue's order type -> type and time in force there; POST_ONLY is a flag there.
ORDER_TYPES: dict[int, tuple[OrderType, TimeInForce]] = {
    mx.OrderType.LIMIT: (OrderType.LIMIT, TimeInForce.GTC),
    mx.OrderType.POST_ONLY: (OrderType.LIMIT, TimeInForce.GTC),
    mx.OrderType.IOC: (OrderType.LIMIT, TimeInForce.IOC),
    mx.OrderType.FOK: (OrderType.LIMIT, TimeInForce.FOK),
    mx.OrderType.MARKET: (OrderType.MARKET, TimeInForce.IOC),
    mx.OrderType.MARKET_TO_LIMIT: (OrderType.MARKET_TO_LIMIT, TimeInForce.GTC)}
LIMIT_TYPES = {TimeInForce.GTC: mx.OrderType.LIMIT, TimeInForce.IOC: mx.OrderType.IOC,
               TimeInForce.FOK: mx.OrderType.FOK}


def instrument_id(symbol: str) -> InstrumentId:
    """BTC_USDT -> BTC-USDT-PERP.MEXC. Raises ValueError for a name that could not be read back."""
    if "-" in symbol:
        raise ValueError(f"symbol is {symbol!r}; allowed: names without -")
    return InstrumentId(Symbol(f"{symbol.replace('_', '-')}{SUFFIX}"), MEXC_VENUE)


def symbol_of(instrument: InstrumentId) -> str:
    """BTC-USDT-PERP.MEXC -> BTC_USDT"""
    return str(instrument.symbol.value).removesuffix(SUFFIX).replace("-", "_")


def venue_order_id(order_id: int) -> VenueOrderId:
    return VenueOrderId(str(order_id))


def position_id(symbol: str, is_long: bool) -> PositionId:
    """The one long or the one short position of a contract in hedge mode."""
    return PositionId(f"{instrument_id(symbol)}-{'LONG' if is_long else 'SHORT'}")


def digits(number: Decimal) -> int:
    """Decimals a step has: 0.10 has one, 5 has none."""
    exponent = number.normalize().as_tuple().exponent
    return max(0, -exponent) if isinstance(exponent, int) else 0


def price(value: Decimal, precision: int = 0) -> Price:
    """Exactly this number, with at least so many decimals."""
    return Price.from_str(f"{value:.{max(precision, digits(value))}f}")


def quantity(value: Decimal, precision: int = 0) -> Quantity:
    """Exactly this number, with at least so many decimals."""
    return Quantity.from_str(f"{value:.{max(precision, digits(value))}f}")


def money(value: Decimal, code: str) -> Money:
    """Cut, towards minus infinity, to the decimals the currency has there."""
    kind = currency(code)
    step = Decimal(1).scaleb(-kind.precision)
    return Money.from_str(f"{value.quantize(step, ROUND_FLOOR):f} {kind.code}")


def currency(code: str) -> Currency:
    """One it does not know is made a crypto currency of eight decimals."""
    return Currency.from_str(code)


def instrument(contract: Contract, ts_ns: int) -> CryptoPerpetual:
    """The contract as it is known there. Raises ValueError when a number does not fit."""
    for name in ("tick_size", "lot_size"):
        if digits(getattr(contract, name)) > FIXED_PRECISION:
            raise ValueError(f"{name} is {getattr(contract, name)}; allowed: {FIXED_PRECISION} "
                             "decimals in this build of nautilus_trader")
    lot = quantity(contract.lot_size.normalize())
    tick = price(contract.tick_size.normalize())
    return CryptoPerpetual(
        instrument_id=instrument_id(contract.symbol), raw_symbol=Symbol(contract.symbol),
        base_currency=currency(contract.base_coin), quote_currency=currency(contract.quote_coin),
        settlement_currency=currency(contract.settle_coin), is_inverse=contract.is_inverse,
        price_precision=tick.precision, size_precision=lot.precision, price_increment=tick,
        size_increment=lot, lot_size=lot, multiplier=quantity(contract.contract_size),
        max_quantity=quantity(contract.max_quantity, lot.precision),
        min_quantity=quantity(contract.min_quantity, lot.precision),
        margin_init=contract.initial_margin_rate, margin_maint=contract.maintenance_margin_rate,
        maker_fee=contract.maker_fee_rate, taker_fee=contract.taker_fee_rate,
        ts_event=ts_ns, ts_init=ts_ns, info={
            "symbol": contract.symbol, "contract_id": contract.contract_id,
            "display_name": contract.display_name, "state": contract.state.name,
            "min_leverage": contract.min_leverage, "max_leverage": contract.max_leverage,
            "margin_support": contract.margin_support.name, "api_allowed": contract.api_allowed,
            "max_limit_quantity": None if contract.max_limit_quantity is None
            else str(contract.max_limit_quantity)})


def balance(found: Balance) -> AccountBalance:
    """available is free; frozen and position_margin are locked."""
    free = money(found.available, found.currency)
    locked = money(found.frozen + found.position_margin, found.currency)
    total = money(free.as_decimal() + locked.as_decimal(), found.currency)
    return AccountBalance(total=total, locked=locked, free=free)


def is_post_only_end(order: Order) -> bool:
    """It was taken over REST and ended at once because it would have traded (18.1)."""
    return (order.error_code == OrderErrorCode.POST_ONLY_CANCEL and order.is_final
            and not order.filled_quantity)


def status(order: Order) -> OrderStatus:
    """Where the venue shows the order."""
    if order.state == OrderState.FILLED:
        return OrderStatus.FILLED
    if order.state == OrderState.INVALID or is_post_only_end(order):
        return OrderStatus.REJECTED
    if order.state == OrderState.CANCELLED:
        return OrderStatus.CANCELED
    return OrderStatus.PARTIALLY_FILLED if order.filled_quantity else OrderStatus.ACCEPTED


def order_side(side: mx.Side) -> OrderSide:
    return OrderSide.BUY if side.is_buy else OrderSide.SELL


def is_long_side(side: mx.Side) -> bool:
    """Whose position in hedge mode: the long one or the short one."""
    return side in (mx.Side.OPEN_LONG, mx.Side.CLOSE_LONG)


def end_of(interval: str, ts_open_s: int) -> int:
    """When a candle ends, seconds."""
    if interval != "Month1":
        return ts_open_s + SECONDS[interval]
    # 31 days after the first of a month it is the next one
    day = date(1970, 1, 1) + timedelta(days=ts_open_s // 86400 + 31)
    return (date(day.year, day.month, 1) - date(1970, 1, 1)).days * 86400

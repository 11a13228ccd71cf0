"""Accounts: wallets, orders, fills, positions and their wire forms (protocol.md 11, 12, 18.1).

All money is Decimal and exact. Frozen and margin sums are computed from the open orders and
positions each time, so they cannot drift. Who books what: ledger.py.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, NamedTuple

from mexcfast.sim import wire
from mexcfast.sim.contracts import Contract
from mexcfast.sim.matching import BUY, SELL

ZERO = Decimal(0)

# protocol.md 11.1
OPEN_LONG, CLOSE_SHORT, OPEN_SHORT, CLOSE_LONG = 1, 2, 3, 4
# 11.2
LIMIT, POST_ONLY, IOC, FOK, MARKET, MARKET_TO_LIMIT = 1, 2, 3, 4, 5, 6
# 11.3
ISOLATED, CROSS = 1, 2
HEDGE, ONE_WAY = 1, 2
LONG, SHORT = 1, 2
HOLDING, TAKEN_OVER, CLOSED = 1, 2, 3
# 11.4
STATE_OPEN, STATE_FILLED, STATE_CANCELLED, STATE_INVALID = 2, 3, 4, 5
ORDINARY, TAKE_OVER, TAKE_OVER_CLOSE, ADL = 1, 2, 3, 4
# 11.10
INSUFFICIENT_BALANCE, POSITION_NOT_ENOUGH, LIQ_CANCEL, ADL_CANCEL = 2, 4, 13, 14
CANCEL_CODES = {"ioc": 18, "fok": 19, "post_only": 20, "market": 21, "stp": 8}


def direction(side: int) -> int:
    """BUY or SELL of an order side 1 to 4."""
    return BUY if side in (OPEN_LONG, CLOSE_SHORT) else SELL


def closing_side(position_type: int) -> int:
    """The order side that closes a position of this type."""
    return CLOSE_LONG if position_type == LONG else CLOSE_SHORT


def opening_side(position_type: int) -> int:
    """The order side that opens a position of this type."""
    return OPEN_LONG if position_type == LONG else OPEN_SHORT


@dataclass(slots=True)
class Deal:
    """One fill of one order (12.2)."""

    id: int
    order_id: int
    symbol: str
    side: int
    vol: int
    price: Decimal
    fee: Decimal
    currency: str
    profit: Decimal
    taker: bool
    is_self: bool
    position_mode: int
    external_oid: str
    reduce_only: bool
    time_ms: int
    position_id: int = 0
    category: int = ORDINARY
    opponent_id: int = 0
    """Order id of the other side when it is a user's, else 0."""

    def wire(self, *, push: bool, as_int: bool) -> dict[str, Any]:
        """Deal object."""
        view: dict[str, Any] = {
            "id": wire.shown_id(self.id, as_int),
            "symbol": self.symbol,
            "side": self.side,
            "vol": self.vol,
            "price": self.price,
            "fee": self.fee,
            "feeCurrency": self.currency,
            "profit": self.profit,
            "category": self.category,
            "orderId": wire.shown_id(self.order_id, as_int),
            "timestamp": self.time_ms,
            "positionMode": self.position_mode,
            "taker": self.taker,
        }
        if push:
            view["externalOid"] = self.external_oid
            view["isSelf"] = self.is_self
            view["reduceOnly"] = self.reduce_only
        else:
            view["isTaker"] = self.taker
            view["opponentOrderId"] = self.opponent_id
        return view


class OrderState(NamedTuple):
    """One version of an order: the truth a client can be compared with."""

    version: int
    state: int
    error_code: int
    price: Decimal
    vol: int
    deal_vol: int
    average: Decimal
    time_ms: int


@dataclass(slots=True)
class Attached:
    """TP/SL prices carried by an order or a plan order until there is a position (9.1)."""

    take_profit: Decimal = ZERO
    stop_loss: Decimal = ZERO
    profit_trend: int = 1
    loss_trend: int = 1
    price_protect: int = 0
    take_profit_reverse: int = 2
    stop_loss_reverse: int = 2

    def __bool__(self) -> bool:
        return bool(self.take_profit or self.stop_loss)

    def wire(self) -> dict[str, Any]:
        """The members that orders, plans and stop.order pushes share; no price, no member."""
        view: dict[str, Any] = {"lossTrend": self.loss_trend, "profitTrend": self.profit_trend}
        if self.stop_loss:
            view["stopLossPrice"] = self.stop_loss
        if self.take_profit:
            view["takeProfitPrice"] = self.take_profit
        return view


@dataclass(slots=True)
class Order:
    """One order of a user (12.1)."""

    id: int
    uid: int
    contract: Contract
    side: int
    type: int
    open_type: int
    price: Decimal
    vol: int
    leverage: int
    external_oid: str
    position_mode: int
    reduce_only: bool
    create_ms: int
    bbo: int = 0
    stp: int = 0
    attached: Attached = field(default_factory=Attached)
    category: int = ORDINARY
    position_id: int = 0
    state: int = STATE_OPEN
    error_code: int = 0
    deal_vol: int = 0
    deal_value: Decimal = ZERO
    """Value of the fills in the settle currency."""
    used_margin: Decimal = ZERO
    taker_fee: Decimal = ZERO
    maker_fee: Decimal = ZERO
    profit: Decimal = ZERO
    update_ms: int = 0
    version: int = 0
    history: list[OrderState] = field(default_factory=list)
    """Every version, oldest first."""
    closes: bool = field(init=False)
    """Only ever reduces a position."""
    opens_type: int = field(init=False)
    """The position type an opening order builds."""
    closes_type: int = field(init=False)
    """The position type a closing order reduces."""

    def __post_init__(self) -> None:
        buys = direction(self.side) == BUY
        self.closes = self.reduce_only or self.side in (CLOSE_SHORT, CLOSE_LONG)
        self.opens_type, self.closes_type = (LONG, SHORT) if buys else (SHORT, LONG)

    def advance(self, now_ms: int) -> None:
        """A new version: something changed."""
        self.version += 1
        self.update_ms = now_ms
        self.history.append(
            OrderState(
                self.version, self.state, self.error_code, self.price, self.vol, self.deal_vol,
                self.average, now_ms,
            )
        )  # fmt: skip

    _held_for: tuple[int, int, Decimal] | None = field(default=None, repr=False)
    _held: Decimal = field(default=ZERO, repr=False)

    @property
    def remaining(self) -> int:
        """Contracts not filled."""
        return self.vol - self.deal_vol

    @property
    def is_open(self) -> bool:
        """Not in a final state."""
        return self.state == STATE_OPEN

    @property
    def average(self) -> Decimal:
        """Average fill price, 0 without fills."""
        if not self.deal_vol:
            return ZERO
        price = self.contract.price_of(self.deal_value, self.deal_vol)
        return round(price, self.contract.price_scale + 4)

    def frozen(self) -> Decimal:
        """What a waiting opening order holds back."""
        if not self.is_open or self.closes:
            return ZERO
        held_for = (self.remaining, self.leverage, self.price)
        if self._held_for != held_for:  # asked for every open order at each check of the balance
            self._held_for = held_for
            self._held = self.contract.reserve(self.price, self.remaining, self.leverage)
        return self._held

    def wire(self, *, push: bool, as_int: bool) -> dict[str, Any]:
        """Order object."""
        view: dict[str, Any] = {
            "orderId": wire.shown_id(self.id, as_int),
            "symbol": self.contract.symbol,
            "positionId": self.position_id,
            "price": self.price,
            "vol": self.vol,
            "leverage": self.leverage,
            "side": self.side,
            "category": self.category,
            "orderType": self.type,
            "dealAvgPrice": self.average,
            "dealVol": self.deal_vol,
            "orderMargin": self.frozen(),
            "usedMargin": self.used_margin,
            "takerFee": self.taker_fee,
            "makerFee": self.maker_fee,
            "profit": self.profit,
            "feeCurrency": self.contract.settle,
            "openType": self.open_type,
            "state": self.state,
            "externalOid": self.external_oid,
            "errorCode": self.error_code,
            "createTime": self.create_ms,
            "updateTime": self.update_ms,
            "positionMode": self.position_mode,
            "reduceOnly": self.reduce_only,
            "version": self.version,
            "bboTypeNum": self.bbo,
        }
        if self.attached:
            view.update(self.attached.wire())
            view["priceProtect"] = self.attached.price_protect
        if push:
            opens = self.side in (OPEN_LONG, OPEN_SHORT)
            is_long = (direction(self.side) == BUY) == opens
            view["remainVol"] = self.remaining
            view["takerFeeRate"] = self.contract.taker_fee_rate
            view["makerFeeRate"] = self.contract.maker_fee_rate
            view["bizSource"] = 1
            view["positionType"] = "long" if is_long else "short"
            view["sideType"] = "buy" if direction(self.side) == BUY else "sell"
        else:
            view["priceStr"] = format(self.price, "f")
            view["dealAvgPriceStr"] = format(self.average, "f")
            view["showCancelReason"] = 1 if self.state == STATE_CANCELLED else 0
            view["showProfitRateShare"] = 0
            view["totalFee"] = self.taker_fee + self.maker_fee
            view["zeroSaveTotalFeeBinance"] = 0
            view["zeroTradeTotalFeeBinance"] = 0
        return view


@dataclass(slots=True)
class Position:
    """One position (12.3). `cost` is the exact value the open contracts were bought or sold for."""

    id: int
    contract: Contract
    type: int
    open_type: int
    leverage: int
    create_ms: int
    hold_vol: int = 0
    close_vol: int = 0
    cost: Decimal = ZERO
    margin: Decimal = ZERO
    original_margin: Decimal = ZERO
    open_vol: int = 0
    open_value: Decimal = ZERO
    close_value: Decimal = ZERO
    close_profit: Decimal = ZERO
    fee: Decimal = ZERO
    """Fees paid, positive; printed negative."""
    hold_fee: Decimal = ZERO
    """Funding: positive received, negative paid."""
    auto_add_margin: bool = False
    taken_over: bool = False
    adl_level: int = 0
    tier_level: int = 1
    """The tier last told to the user."""
    warned: bool = False
    """The user was told that liquidation is near."""
    update_ms: int = 0
    version: int = 0

    @property
    def is_long(self) -> bool:
        """Long or short."""
        return self.type == LONG

    @property
    def state(self) -> int:
        """1 holding, 2 taken over, 3 closed."""
        if self.taken_over and self.hold_vol:
            return TAKEN_OVER
        return HOLDING if self.hold_vol else CLOSED

    @property
    def maintenance(self) -> Decimal:
        """Maintenance margin: the rate of the tier on the entry value."""
        return self.cost * self.contract.tier_of(self.hold_vol).mmr

    def unrealised(self, price: Decimal) -> Decimal:
        """Profit of the open contracts at a price."""
        value = self.contract.notional(price, self.hold_vol)
        return self.contract.gain(self.cost, value, long=self.is_long)

    def ratio(self, price: Decimal, backing: Decimal) -> Decimal:
        """Maintenance margin over what backs the position; 1 and above is liquidation."""
        equity = backing + self.unrealised(price)
        if equity <= 0:
            return Decimal(1)
        return self.maintenance / equity

    def price_at(self, equity: Decimal, backing: Decimal) -> Decimal:
        """The price at which backing plus profit is `equity`; 0 when there is none."""
        if not self.hold_vol:
            return ZERO
        loss = backing - equity
        rising = self.is_long == self.contract.inverse  # the loss grows with the value
        worth = self.cost + loss if rising else self.cost - loss
        if worth <= 0:
            return ZERO
        return round(self.contract.price_of(worth, self.hold_vol), self.contract.price_scale)

    def liquidation_price(self, backing: Decimal | None = None) -> Decimal:
        """Where what backs the position falls to the maintenance margin (isolated: its margin)."""
        return self.price_at(self.maintenance, self.margin if backing is None else backing)

    def average(self, value: Decimal, vol: int) -> Decimal:
        """Average price of contracts with a value."""
        return round(self.contract.price_of(value, vol), self.contract.price_scale + 4)

    def wire(
        self, *, push: bool, mark: Decimal, frozen_vol: int, backing: Decimal
    ) -> dict[str, Any]:
        """Position object. backing: its margin when isolated, the account's when cross."""
        scale = self.contract.amount_scale
        hold_average = self.average(self.cost, self.hold_vol)
        open_average = self.average(self.open_value, self.open_vol)
        close_average = self.average(self.close_value, self.close_vol)
        realised = self.close_profit - self.fee + self.hold_fee
        rate = realised / self.original_margin if self.original_margin else ZERO
        view: dict[str, Any] = {
            "positionId": self.id,
            "symbol": self.contract.symbol,
            "positionType": self.type,
            "openType": self.open_type,
            "state": self.state,
            "holdVol": self.hold_vol,
            "frozenVol": frozen_vol,
            "closeVol": self.close_vol,
            "holdAvgPrice": hold_average,
            "holdAvgPriceFullyScale": format(hold_average, "f"),
            "openAvgPrice": open_average,
            "openAvgPriceFullyScale": format(open_average, "f"),
            "closeAvgPrice": close_average,
            "liquidatePrice": self.liquidation_price(backing),
            "oim": self.original_margin if self.hold_vol else ZERO,
            "im": self.margin,
            "holdFee": self.hold_fee,
            "realised": realised,
            "leverage": self.leverage,
            "marginRatio": round(self.ratio(mark, backing), 6) if self.hold_vol else ZERO,
            "createTime": self.create_ms,
            "updateTime": self.update_ms,
            "autoAddIm": self.auto_add_margin,
            "version": self.version,
            "profitRatio": round(rate, 4),
            "newOpenAvgPrice": open_average,
            "newCloseAvgPrice": close_average,
            "closeProfitLoss": self.close_profit,
            "fee": -self.fee,
            "deductFeeList": [],
            "adlLevel": self.adl_level,
        }
        if push:
            view["pnl"] = round(self.unrealised(mark), scale)
            view["makerFeeRate"] = self.contract.maker_fee_rate
            view["takerFeeRate"] = self.contract.taker_fee_rate
        else:
            view["unRealizedPnl"] = round(self.unrealised(mark), scale)
            view["totalFee"] = self.fee
            view["positionShowStatus"] = "OPEN" if self.hold_vol else "CLOSED"
            view["zeroSaveTotalFeeBinance"] = 0
            view["zeroTradeTotalFeeBinance"] = 0
        return view


class Transfer(NamedTuple):
    """Money into (positive) or out of the futures wallet (14)."""

    id: int
    currency: str
    amount: Decimal
    time_ms: int
    txid: str

    def wire(self) -> dict[str, Any]:
        """Element of transfer_record."""
        return {
            "id": self.id,
            "txid": self.txid,
            "currency": self.currency,
            "amount": abs(self.amount),
            "type": "IN" if self.amount >= 0 else "OUT",
            "state": "SUCCESS",
            "createTime": self.time_ms,
            "updateTime": self.time_ms,
        }


class FundingRecord(NamedTuple):
    """One funding payment (15); positive received."""

    id: int
    symbol: str
    currency: str
    position_type: int
    position_id: int
    value: Decimal
    amount: Decimal
    rate: Decimal
    time_ms: int

    def wire(self) -> dict[str, Any]:
        """Element of funding_records."""
        return {
            "id": self.id,
            "symbol": self.symbol,
            "positionType": self.position_type,
            "positionValue": self.value,
            "funding": self.amount,
            "rate": self.rate,
            "settleTime": self.time_ms,
        }


@dataclass(slots=True)
class Account:
    """One user. `cash` is the wallet balance without unrealised profit, by currency.

    Every change of cash is a transfer, a deal (profit less fee) or a funding record.
    """

    uid: int
    access_key: str = field(repr=False)
    secret: str = field(repr=False)
    cash: dict[str, Decimal] = field(default_factory=dict)
    permissions: frozenset[str] = frozenset("AOT")
    """A account, O order reading, T trading (protocol.md 14)."""
    expired: bool = False
    addresses: tuple[str, ...] = ()
    """Addresses the key is bound to; empty means any."""
    access_denied: bool = False
    activated: bool = True
    """False: 1000, the futures account does not exist."""
    restriction: int = 0
    """6001 trading forbidden; 6002 or 6026 opening forbidden; 0 none."""
    opening_blocked_ms: int = 0
    """6026 for opening until the venue's clock is there."""
    failures: deque[int] = field(default_factory=deque)
    """Times of refused placings, while Limits.failing_orders counts them."""
    position_mode: int = HEDGE
    leverage_mode: int = 1
    """1 advanced, 2 simple: one leverage for both directions."""
    orders: dict[int, Order] = field(default_factory=dict)
    open_orders: dict[int, Order] = field(default_factory=dict)
    by_external: dict[str, Order] = field(default_factory=dict)
    deals: deque[Deal] = field(default_factory=lambda: deque(maxlen=200_000))
    positions: dict[tuple[str, int], Position] = field(default_factory=dict)
    closed_positions: deque[Position] = field(default_factory=lambda: deque(maxlen=10_000))
    funding: deque[FundingRecord] = field(default_factory=lambda: deque(maxlen=50_000))
    """Funding records of 15, oldest first."""
    transfers: deque[Transfer] = field(default_factory=lambda: deque(maxlen=50_000))
    bonus: dict[str, tuple[Decimal, int]] = field(default_factory=dict)
    """Trial fund by currency: amount inside `cash`, and its expiry in ms."""
    leverages: dict[tuple[str, int, int], int] = field(default_factory=dict)
    """(symbol, position type, open type) to leverage."""
    groups: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Self-trade-prevention groups by name (16.7)."""

    def frozen(self, currency: str) -> Decimal:
        """Held back by waiting orders."""
        return sum(
            (o.frozen() for o in self.open_orders.values() if o.contract.settle == currency), ZERO
        )

    def held(self, currency: str) -> list[Position]:
        """Open positions settled in a currency."""
        return [p for p in self.positions.values() if p.contract.settle == currency]

    def margin(self, currency: str) -> Decimal:
        """Held by open positions."""
        return sum((p.margin for p in self.held(currency)), ZERO)

    def isolated_margin(self, currency: str) -> Decimal:
        """Held by isolated positions: out of reach of everything else."""
        return sum((p.margin for p in self.held(currency) if p.open_type == ISOLATED), ZERO)

    def available(self, currency: str) -> Decimal:
        """Cash that neither orders nor positions hold; below 0 after losses of cross positions."""
        return self.cash.get(currency, ZERO) - self.frozen(currency) - self.margin(currency)

    def frozen_vol(self, symbol: str, position_type: int) -> int:
        """Contracts of a position locked by waiting closing orders."""
        return sum(order.remaining for order in self.closers(symbol, position_type))

    def closers(self, symbol: str, position_type: int) -> list[Order]:
        """Waiting orders that close a position, oldest first."""
        return [
            order
            for order in self.open_orders.values()
            if order.contract.symbol == symbol
            and order.closes
            and order.closes_type == position_type
        ]

    def openers(self, symbol: str, position_type: int) -> list[Order]:
        """Waiting orders that open or grow a position, oldest first."""
        return [
            order
            for order in self.open_orders.values()
            if order.contract.symbol == symbol
            and not order.closes
            and order.opens_type == position_type
        ]

    def closable(self, symbol: str, position_type: int) -> int:
        """Contracts that can still be closed."""
        position = self.positions.get((symbol, position_type))
        if position is None:
            return 0
        return position.hold_vol - self.frozen_vol(symbol, position_type)

    def leverage(self, symbol: str, position_type: int, open_type: int) -> int:
        """The leverage set for a direction, 20 until changed."""
        return self.leverages.get((symbol, position_type, open_type), 20)

    def asset(self, currency: str) -> dict[str, Any]:
        """Asset object, push form (12.4)."""
        return {
            "currency": currency,
            "availableBalance": max(ZERO, self.available(currency)),
            "frozenBalance": self.frozen(currency),
            "positionMargin": self.margin(currency),
            "bonus": self.bonus.get(currency, (ZERO, 0))[0],
        }

    def asset_full(self, currency: str, unrealised: Decimal, spendable: Decimal) -> dict[str, Any]:
        """Asset object, REST form (12.4)."""
        bonus, expires = self.bonus.get(currency, (ZERO, 0))
        cash = max(ZERO, min(self.available(currency), spendable) - bonus)
        view = {
            **self.asset(currency),
            "cashBalance": cash,
            "equity": self.cash.get(currency, ZERO) + unrealised,
            "unrealized": unrealised,
            "availableCash": cash,
            "availableOpen": max(ZERO, spendable),
            "debtAmount": 0,
            "contributeMarginAmount": 0,
            "vcoinId": currency.encode().hex().ljust(32, "0")[:32],
        }
        if expires:
            view["bonusExpireTime"] = expires
        return view

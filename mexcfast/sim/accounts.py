"""Accounts: wallets, orders, fills, positions and their wire forms (protocol.md 11, 12, 18.1).

All money is Decimal and exact. Frozen and margin sums are computed from the open orders and
positions each time, so they cannot drift. What cutting to amountScale decimals leaves over goes to
the house, so that nothing is lost: wallets + unrealised + house + crowd stays constant.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

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
# 11.4
STATE_OPEN, STATE_FILLED, STATE_CANCELLED, STATE_INVALID = 2, 3, 4, 5
# 11.10
CANCEL_CODES = {"ioc": 18, "fok": 19, "post_only": 20, "market": 21, "stp": 8}


def direction(side: int) -> int:
    """BUY or SELL of an order side 1 to 4."""
    return BUY if side in (OPEN_LONG, CLOSE_SHORT) else SELL


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

    def wire(self, *, push: bool, as_int: bool) -> dict[str, Any]:
        """Deal object."""
        view: dict[str, Any] = {
            "id": self.id if as_int else str(self.id),
            "symbol": self.symbol,
            "side": self.side,
            "vol": self.vol,
            "price": self.price,
            "fee": self.fee,
            "feeCurrency": self.currency,
            "profit": self.profit,
            "category": 1,
            "orderId": self.order_id if as_int else str(self.order_id),
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
            view["opponentOrderId"] = 0
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
    position_id: int = 0
    state: int = STATE_OPEN
    error_code: int = 0
    deal_vol: int = 0
    deal_value: Decimal = ZERO
    """Sum of price times contracts over the fills."""
    used_margin: Decimal = ZERO
    taker_fee: Decimal = ZERO
    maker_fee: Decimal = ZERO
    profit: Decimal = ZERO
    update_ms: int = 0
    version: int = 1

    @property
    def remaining(self) -> int:
        """Contracts not filled."""
        return self.vol - self.deal_vol

    @property
    def closes(self) -> bool:
        """Only ever reduces a position."""
        return self.reduce_only or self.side in (CLOSE_SHORT, CLOSE_LONG)

    @property
    def closes_type(self) -> int:
        """The position type a closing order reduces."""
        return SHORT if direction(self.side) == BUY else LONG

    @property
    def is_open(self) -> bool:
        """Not in a final state."""
        return self.state == STATE_OPEN

    @property
    def average(self) -> Decimal:
        """Average fill price, 0 without fills."""
        if not self.deal_vol:
            return ZERO
        return round(self.deal_value / self.deal_vol, self.contract.price_scale + 4)

    def frozen(self) -> Decimal:
        """What a waiting opening order holds back."""
        if not self.is_open or self.closes:
            return ZERO
        return self.contract.reserve(self.price, self.remaining, self.leverage)

    def wire(self, *, push: bool, as_int: bool) -> dict[str, Any]:
        """Order object."""
        view: dict[str, Any] = {
            "orderId": self.id if as_int else str(self.id),
            "symbol": self.contract.symbol,
            "positionId": self.position_id,
            "price": self.price,
            "vol": self.vol,
            "leverage": self.leverage,
            "side": self.side,
            "category": 1,
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
    update_ms: int = 0
    version: int = 0

    @property
    def state(self) -> int:
        """1 holding, 3 closed."""
        return 1 if self.hold_vol else 3

    def unrealised(self, price: Decimal) -> Decimal:
        """Exact value of the open contracts at a price, less their cost, signed."""
        value = self.contract.notional(price, self.hold_vol)
        return value - self.cost if self.type == LONG else self.cost - value

    def _average(self, value: Decimal, vol: int) -> Decimal:
        if not vol:
            return ZERO
        price = value / (vol * self.contract.contract_size)
        return round(price, self.contract.price_scale + 4)

    def liquidation_price(self) -> Decimal:
        """Where the margin falls to the maintenance margin, isolated; the same form for cross."""
        if not self.hold_vol:
            return ZERO
        slack = self.margin - self.cost * self.contract.maintenance_rate
        worth = self.cost - slack if self.type == LONG else self.cost + slack
        price = worth / (self.hold_vol * self.contract.contract_size)
        return max(ZERO, round(price, self.contract.price_scale))

    def wire(self, *, push: bool, mark: Decimal, frozen_vol: int) -> dict[str, Any]:
        """Position object."""
        scale = self.contract.amount_scale
        hold_average = self._average(self.cost, self.hold_vol)
        open_average = self._average(self.open_value, self.open_vol)
        realised = self.close_profit - self.fee + self.hold_fee
        pnl = self.unrealised(mark)
        value = self.contract.notional(mark, self.hold_vol)
        equity = self.margin + pnl
        ratio = value * self.contract.maintenance_rate / equity if equity > 0 else ZERO
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
            "closeAvgPrice": self._average(self.close_value, self.close_vol),
            "liquidatePrice": self.liquidation_price(),
            "oim": self.original_margin,
            "im": self.margin,
            "holdFee": self.hold_fee,
            "realised": realised,
            "leverage": self.leverage,
            "marginRatio": round(ratio, 6),
            "createTime": self.create_ms,
            "updateTime": self.update_ms,
            "autoAddIm": False,
            "version": self.version,
            "profitRatio": round(rate, 4),
            "newOpenAvgPrice": open_average,
            "newCloseAvgPrice": self._average(self.close_value, self.close_vol),
            "closeProfitLoss": self.close_profit,
            "fee": -self.fee,
            "deductFeeList": [],
            "adlLevel": 0,
        }
        if push:
            view["pnl"] = round(pnl, scale)
        else:
            view["totalFee"] = self.fee
            view["positionShowStatus"] = "OPEN" if self.hold_vol else "CLOSED"
            view["zeroSaveTotalFeeBinance"] = 0
            view["zeroTradeTotalFeeBinance"] = 0
        return view


@dataclass(slots=True)
class Account:
    """One user. `cash` is the wallet balance without unrealised profit, by currency."""

    uid: int
    access_key: str
    secret: str = field(repr=False)
    cash: dict[str, Decimal] = field(default_factory=dict)
    permissions: frozenset[str] = frozenset("AOT")
    """A account, O order reading, T trading (protocol.md 14)."""
    expired: bool = False
    addresses: tuple[str, ...] = ()
    """Addresses the key is bound to; empty means any."""
    access_denied: bool = False
    position_mode: int = HEDGE
    orders: dict[int, Order] = field(default_factory=dict)
    open_orders: dict[int, Order] = field(default_factory=dict)
    by_external: dict[str, Order] = field(default_factory=dict)
    deals: deque[Deal] = field(default_factory=lambda: deque(maxlen=50_000))
    positions: dict[tuple[str, int], Position] = field(default_factory=dict)
    closed_positions: deque[Position] = field(default_factory=lambda: deque(maxlen=10_000))
    funding: deque[dict[str, Any]] = field(default_factory=lambda: deque(maxlen=10_000))
    """Funding records of 15, oldest first."""
    leverages: dict[tuple[str, int, int], int] = field(default_factory=dict)
    """(symbol, position type, open type) to leverage."""

    def frozen(self, currency: str) -> Decimal:
        """Held back by waiting orders."""
        return sum(
            (o.frozen() for o in self.open_orders.values() if o.contract.settle == currency), ZERO
        )

    def margin(self, currency: str) -> Decimal:
        """Held by open positions."""
        return sum(
            (p.margin for p in self.positions.values() if p.contract.settle == currency), ZERO
        )

    def available(self, currency: str) -> Decimal:
        """Cash that neither orders nor positions hold; unrealised profit is not spendable here."""
        return self.cash.get(currency, ZERO) - self.frozen(currency) - self.margin(currency)

    def frozen_vol(self, symbol: str, position_type: int) -> int:
        """Contracts of a position locked by waiting closing orders."""
        return sum(
            order.remaining
            for order in self.open_orders.values()
            if order.contract.symbol == symbol
            and order.closes
            and order.closes_type == position_type
        )

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
            "availableBalance": self.available(currency),
            "frozenBalance": self.frozen(currency),
            "positionMargin": self.margin(currency),
            "bonus": 0,
        }

    def asset_full(self, currency: str, unrealised: Decimal) -> dict[str, Any]:
        """Asset object, REST form (12.4)."""
        available = self.available(currency)
        return {
            **self.asset(currency),
            "cashBalance": available,
            "equity": self.cash.get(currency, ZERO) + unrealised,
            "unrealized": unrealised,
            "availableCash": available,
            "availableOpen": available,
            "debtAmount": 0,
            "contributeMarginAmount": 0,
            "vcoinId": currency.encode().hex().ljust(32, "0")[:32],
        }


@dataclass(slots=True)
class Settlement:
    """What one fill did to an account."""

    deal: Deal
    positions: list[Position]


@dataclass(slots=True)
class Ledger:
    """Applies fills. The house collects fees and what cutting leaves over."""

    house: Decimal = ZERO
    crowd_cash: Decimal = ZERO
    crowd_vol: dict[str, int] = field(default_factory=dict)
    next_position: int = 1_109_973_831
    next_deal: int = 16_435_741_160

    def crowd_trade(self, contract: Contract, side: int, price: Decimal, vol: int) -> None:
        """The crowd's half of a trade with a user."""
        signed = vol if side == BUY else -vol
        self.crowd_vol[contract.symbol] = self.crowd_vol.get(contract.symbol, 0) + signed
        self.crowd_cash -= contract.notional(price, signed)

    def settle(
        self,
        account: Account,
        order: Order,
        price: Decimal,
        vol: int,
        *,
        taker: bool,
        is_self: bool,
        now_ms: int,
    ) -> Settlement:
        """Book one fill of a user's order: fee, position, profit."""
        contract = order.contract
        notional = contract.notional(price, vol)
        rate = contract.taker_fee_rate if taker else contract.maker_fee_rate
        fee = contract.cut(notional * rate)
        if taker:
            order.taker_fee += fee
        else:
            order.maker_fee += fee
        account.cash[contract.settle] = account.cash.get(contract.settle, ZERO) - fee
        self.house += fee
        order.deal_vol += vol
        order.deal_value += price * vol
        touched: list[Position] = []
        profit = ZERO
        closing = self._closing_part(account, order, vol)
        if closing:
            position = account.positions[contract.symbol, order.closes_type]
            profit = self._close(account, position, price, closing, now_ms)
            touched.append(position)
        if vol > closing:
            position = self._open(account, order, price, vol - closing, now_ms)
            touched.append(position)
        touched[-1].fee += fee
        for position in touched:
            position.version += 1
            position.update_ms = now_ms
        order.position_id = touched[-1].id
        order.profit += profit
        order.update_ms = now_ms
        order.version += 1
        if not order.remaining:
            order.state = STATE_FILLED
            account.open_orders.pop(order.id, None)
        deal = Deal(
            id=self.next_deal,
            order_id=order.id,
            symbol=contract.symbol,
            side=order.side,
            vol=vol,
            price=price,
            fee=fee,
            currency=contract.settle,
            profit=profit,
            taker=taker,
            is_self=is_self,
            position_mode=order.position_mode,
            external_oid=order.external_oid,
            reduce_only=order.reduce_only,
            time_ms=now_ms,
        )
        self.next_deal += 1
        account.deals.append(deal)
        return Settlement(deal, touched)

    def _closing_part(self, account: Account, order: Order, vol: int) -> int:
        """How much of a fill reduces the opposite position."""
        if not order.closes and account.position_mode == HEDGE:
            return 0
        position = account.positions.get((order.contract.symbol, order.closes_type))
        return 0 if position is None else min(vol, position.hold_vol)

    def _open(
        self, account: Account, order: Order, price: Decimal, vol: int, now_ms: int
    ) -> Position:
        contract = order.contract
        kind = LONG if direction(order.side) == BUY else SHORT
        position = account.positions.get((contract.symbol, kind))
        if position is None:
            position = Position(
                self.next_position, contract, kind, order.open_type, order.leverage, now_ms
            )
            self.next_position += 1
            account.positions[contract.symbol, kind] = position
        notional = contract.notional(price, vol)
        margin = round(notional / order.leverage, 8)
        position.hold_vol += vol
        position.cost += notional
        position.margin += margin
        position.original_margin += margin
        position.open_vol += vol
        position.open_value += notional
        order.used_margin += margin
        return position

    def _close(
        self, account: Account, position: Position, price: Decimal, vol: int, now_ms: int
    ) -> Decimal:
        """Take contracts out of a position at their share of its cost; returns the profit, cut."""
        contract = position.contract
        if vol == position.hold_vol:
            cost, margin = position.cost, position.margin
        else:
            cost = round(position.cost * vol / position.hold_vol, 8)
            margin = round(position.margin * vol / position.hold_vol, 8)
        value = contract.notional(price, vol)
        exact = value - cost if position.type == LONG else cost - value
        profit = contract.cut(exact)
        self.house += exact - profit
        account.cash[contract.settle] = account.cash.get(contract.settle, ZERO) + profit
        position.cost -= cost
        position.margin -= margin
        position.hold_vol -= vol
        position.close_vol += vol
        position.close_value += value
        position.close_profit += profit
        position.update_ms = now_ms
        if not position.hold_vol:
            del account.positions[contract.symbol, position.type]
            account.closed_positions.append(position)
        return profit

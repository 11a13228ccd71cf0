"""Booking: what fills, funding and transfers do to wallets and positions (protocol.md 18.1).

Money is never made or lost. For every currency

    wallets + worth of the users' positions + crowd + fees + insurance  =  what was transferred in

holds exactly. The worth of a position is its entry value with the sign of a debt or a claim; the
crowd, the other side of most trades, keeps its claims in one number. What cutting to amountScale
decimals leaves over is with the fees. A loss that a wallet cannot bear is borne by the insurance.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from decimal import Decimal

from mexcfast.sim.accounts import (
    HEDGE,
    ISOLATED,
    STATE_FILLED,
    ZERO,
    Account,
    Deal,
    FundingRecord,
    Order,
    Position,
    Transfer,
)
from mexcfast.sim.contracts import COIN_STEP, MARGIN_STEP, Contract
from mexcfast.sim.matching import BUY


def worth(position: Position) -> Decimal:
    """Entry value as a debt (negative) or a claim (positive) towards everybody else."""
    return position.contract.gain(position.cost, ZERO, long=position.is_long)


@dataclass(slots=True)
class Settlement:
    """What one fill did to an account."""

    deal: Deal
    positions: list[Position]
    opened: int = 0
    """Contracts that opened or grew a position."""


@dataclass(slots=True)
class Ledger:
    """The books of the house: fees, insurance, the crowd, and the numbering of records."""

    fees: dict[str, Decimal] = field(default_factory=dict)
    """Fees and the remainders of cutting, by currency."""
    crowd: dict[str, Decimal] = field(default_factory=dict)
    """What the crowd is owed, by currency."""
    crowd_vol: dict[str, int] = field(default_factory=dict)
    """Contracts the crowd holds, by symbol: the users' net with the other sign."""
    insurance: dict[str, Decimal] = field(default_factory=dict)
    """Gains and losses of the insurance fund since the start, by symbol."""
    next_position: int = 1_109_973_831
    next_deal: int = 16_435_741_160
    next_record: int = 303_381_159

    # The house

    def pay_fees(self, currency: str, amount: Decimal) -> None:
        """Into (or out of) the fee account."""
        self.fees[currency] = self.fees.get(currency, ZERO) + amount

    def pay_insurance(self, contract: Contract, amount: Decimal) -> None:
        """Into (or out of) the insurance fund of a contract."""
        self.insurance[contract.symbol] = self.insurance.get(contract.symbol, ZERO) + amount

    def pay_crowd(self, currency: str, amount: Decimal) -> None:
        """To (or from) the crowd."""
        self.crowd[currency] = self.crowd.get(currency, ZERO) + amount

    def crowd_trade(self, contract: Contract, side: int, value: Decimal, vol: int) -> None:
        """The crowd's half of a trade with a user."""
        bought = side == BUY
        held = self.crowd_vol.get(contract.symbol, 0)
        self.crowd_vol[contract.symbol] = held + (vol if bought else -vol)
        self.pay_crowd(contract.settle, contract.gain(value, ZERO, long=bought))

    def totals(
        self, accounts: Iterable[Account], contracts: Iterable[Contract]
    ) -> dict[str, Decimal]:
        """All money by currency; only transfers change it."""
        sums: dict[str, Decimal] = {}
        for currency, amount in (*self.fees.items(), *self.crowd.items()):
            sums[currency] = sums.get(currency, ZERO) + amount
        for contract in contracts:
            moved = self.insurance.get(contract.symbol, ZERO)
            sums[contract.settle] = sums.get(contract.settle, ZERO) + moved
        for account in accounts:
            for currency, amount in account.cash.items():
                sums[currency] = sums.get(currency, ZERO) + amount
            for position in account.positions.values():
                currency = position.contract.settle
                sums[currency] = sums.get(currency, ZERO) + worth(position)
        return sums

    # Wallets

    def transfer(self, account: Account, currency: str, amount: Decimal, now_ms: int) -> Transfer:
        """Money in or out, with its record."""
        self.next_record += 1
        txid = hashlib.md5(f"{account.uid}:{self.next_record}".encode()).hexdigest()
        record = Transfer(self.next_record, currency, amount, now_ms, txid)
        account.cash[currency] = account.cash.get(currency, ZERO) + amount
        account.transfers.append(record)
        return record

    @staticmethod
    def room(account: Account, position: Position) -> Decimal:
        """What a position may lose: all cash except the margins of other isolated positions."""
        currency = position.contract.settle
        others = account.isolated_margin(currency)
        if position.open_type == ISOLATED:
            others -= position.margin
        return max(ZERO, account.cash.get(currency, ZERO) - others)

    def pay_funding(
        self, account: Account, position: Position, price: Decimal, rate: Decimal, now_ms: int
    ) -> FundingRecord:
        """Longs pay rate times value, shorts receive it; the crowd is the other side."""
        contract = position.contract
        value = contract.notional(price, position.hold_vol)
        amount = contract.cut(value * rate)
        received = -amount if position.is_long else amount
        received = max(received, -contract.cut(self.room(account, position)))
        account.cash[contract.settle] = account.cash.get(contract.settle, ZERO) + received
        self.pay_crowd(contract.settle, -received)
        position.hold_fee += received
        position.version += 1
        position.update_ms = now_ms
        self._shrink(account, position)
        self.next_record += 1
        record = FundingRecord(
            self.next_record, contract.symbol, contract.settle, position.type, position.id, value,
            received, rate, now_ms,
        )  # fmt: skip
        account.funding.append(record)
        return record

    # Fills

    def settle(
        self,
        account: Account,
        order: Order,
        price: Decimal,
        value: Decimal,
        vol: int,
        *,
        taker: bool,
        is_self: bool,
        opponent_id: int,
        now_ms: int,
    ) -> Settlement:
        """Book one fill of a user's order: position, profit, fee."""
        contract = order.contract
        touched: list[Position] = []
        profit, rest = ZERO, value
        closing = self._closing_part(account, order, vol)
        if closing:
            position = account.positions[contract.symbol, order.closes_type]
            part = value if closing == vol else contract.notional(price, closing)
            profit = self.close(account, position, part, closing, now_ms)
            rest -= part
            touched.append(position)
        if vol > closing:
            touched.append(self._open(account, order, rest, vol - closing, now_ms))
        rate = contract.taker_fee_rate if taker else contract.maker_fee_rate
        last = touched[-1]
        fee = min(contract.cut(value * rate), contract.cut(self.room(account, last)))
        account.cash[contract.settle] = account.cash.get(contract.settle, ZERO) - fee
        self.pay_fees(contract.settle, fee)
        if taker:
            order.taker_fee += fee
        else:
            order.maker_fee += fee
        last.fee += fee
        for position in touched:
            position.version += 1
            position.update_ms = now_ms
            self._shrink(account, position)
        order.deal_vol += vol
        order.deal_value += value
        order.position_id = last.id
        order.profit += profit
        if not order.remaining:
            order.state = STATE_FILLED
            account.open_orders.pop(order.id, None)
        order.advance(now_ms)
        deal = self.deal(
            account, order, price, vol, fee=fee, profit=profit, taker=taker, is_self=is_self,
            opponent_id=opponent_id, now_ms=now_ms,
        )  # fmt: skip
        return Settlement(deal, touched, vol - closing)

    def deal(
        self,
        account: Account,
        order: Order,
        price: Decimal,
        vol: int,
        *,
        fee: Decimal,
        profit: Decimal,
        taker: bool,
        is_self: bool = False,
        opponent_id: int = 0,
        now_ms: int,
    ) -> Deal:
        """Write the record of a fill."""
        deal = Deal(
            id=self.next_deal,
            order_id=order.id,
            symbol=order.contract.symbol,
            side=order.side,
            vol=vol,
            price=price,
            fee=fee,
            currency=order.contract.settle,
            profit=profit,
            taker=taker,
            is_self=is_self,
            position_mode=order.position_mode,
            external_oid=order.external_oid,
            reduce_only=order.reduce_only,
            time_ms=now_ms,
            position_id=order.position_id,
            category=order.category,
            opponent_id=opponent_id,
        )
        self.next_deal += 1
        account.deals.append(deal)
        return deal

    def _closing_part(self, account: Account, order: Order, vol: int) -> int:
        """How much of a fill reduces the opposite position."""
        if not order.closes and account.position_mode == HEDGE:
            return 0
        position = account.positions.get((order.contract.symbol, order.closes_type))
        return 0 if position is None else min(vol, position.hold_vol)

    def _open(
        self, account: Account, order: Order, value: Decimal, vol: int, now_ms: int
    ) -> Position:
        contract = order.contract
        kind = order.opens_type
        position = account.positions.get((contract.symbol, kind))
        if position is None:
            position = Position(
                self.next_position, contract, kind, order.open_type, order.leverage, now_ms
            )
            self.next_position += 1
            account.positions[contract.symbol, kind] = position
        margin = (value / order.leverage).quantize(MARGIN_STEP)
        position.hold_vol += vol
        position.cost += value
        position.margin += margin
        position.original_margin += margin
        position.open_vol += vol
        position.open_value += value
        order.used_margin += margin
        return position

    def close(
        self, account: Account, position: Position, value: Decimal, vol: int, now_ms: int
    ) -> Decimal:
        """Take contracts out of a position at their share of its cost; returns the profit, cut.

        A loss is at most what the wallet can bear; the insurance fund bears the rest.
        """
        contract = position.contract
        room = self.room(account, position)
        cost, margin = position.cost, position.margin
        if vol != position.hold_vol:
            cost = (cost * vol / position.hold_vol).quantize(COIN_STEP)
            margin = (margin * vol / position.hold_vol).quantize(MARGIN_STEP)
        exact = contract.gain(cost, value, long=position.is_long)
        profit = contract.cut(exact)
        self.pay_fees(contract.settle, exact - profit)
        if profit < -room:
            self.pay_insurance(contract, profit + room)
            profit = -room
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

    @staticmethod
    def _shrink(account: Account, position: Position) -> None:
        """An isolated margin is never more than the cash behind it."""
        if position.open_type == ISOLATED and position.hold_vol:
            currency = position.contract.settle
            over = account.isolated_margin(currency) - account.cash.get(currency, ZERO)
            if over > 0:
                position.margin = max(ZERO, position.margin - over)


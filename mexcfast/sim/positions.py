"""What users do with positions and wallets besides orders (protocol.md 14, 15)."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

from mexcfast.sim.accounts import (
    HEDGE,
    ISOLATED,
    LONG,
    ONE_WAY,
    SHORT,
    ZERO,
    Account,
    Position,
    Transfer,
    closing_side,
    opening_side,
)
from mexcfast.sim.checks import Refused, market_order
from mexcfast.sim.conditional import error_code
from mexcfast.sim.contracts import MARGIN_STEP, Contract

if TYPE_CHECKING:
    from mexcfast.sim.venue import Venue

#: Our reading of the state of reverse.position: its meaning is undocumented.
REVERSED, NOT_REVERSED = 1, 2


class PositionDesk:
    """Leverage, margin, modes, reverse, close all, transfers and trial funds."""

    def __init__(self, venue: Venue) -> None:
        self.venue = venue

    # Leverage and margin

    def change_leverage(self, account: Account, position: Position, leverage: int) -> None:
        """Change the leverage of an open position; its margin follows. 2006, 2019, 2025, 2005."""
        contract = position.contract
        self._check_leverage(account, contract, position.type, leverage)
        if position.hold_vol > contract.tier_for(leverage).max_vol:
            raise Refused(2025)
        margin = (position.cost / leverage).quantize(MARGIN_STEP)
        spendable = self.venue.spendable(account, contract.settle)
        if margin > position.margin and margin - position.margin > spendable:
            raise Refused(2005)
        fair = self.venue.markets[contract.symbol].fair_price
        if position.open_type == ISOLATED and position.ratio(fair, margin) >= 1:
            raise Refused(2018)
        position.margin = position.original_margin = margin
        position.leverage = leverage
        position.version += 1
        position.update_ms = self.venue.clock_ms()
        self._set_leverage(account, contract, position.type, position.open_type, leverage)
        self.venue.push_position(account, position)
        self.venue.push_asset(account, contract.settle)

    def set_leverage(
        self, account: Account, contract: Contract, kind: int, open_type: int, leverage: int
    ) -> None:
        """Leverage of a direction; a position of that margin mode follows."""
        position = account.positions.get((contract.symbol, kind))
        if position is not None and position.open_type == open_type:
            self.change_leverage(account, position, leverage)
            return
        self._check_leverage(account, contract, kind, leverage)
        self._set_leverage(account, contract, kind, open_type, leverage)

    @staticmethod
    def _check_leverage(account: Account, contract: Contract, kind: int, leverage: int) -> None:
        if not contract.min_leverage <= leverage <= contract.max_leverage:
            raise Refused(2006)
        waiting = account.openers(contract.symbol, kind)
        if any(order.leverage != leverage for order in waiting):
            raise Refused(2019)

    def _set_leverage(
        self, account: Account, contract: Contract, kind: int, open_type: int, leverage: int
    ) -> None:
        kinds = (LONG, SHORT) if account.leverage_mode == 2 else (kind,)
        for one in kinds:
            held = account.positions.get((contract.symbol, one))
            if one != kind and (held is not None or account.openers(contract.symbol, one)):
                continue
            account.leverages[contract.symbol, one, open_type] = leverage
            self.venue.liquidation.push_risk(account, contract, one, open_type)

    def change_leverage_mode(self, account: Account, mode: int) -> None:
        """1 advanced, 2 simple (both directions together)."""
        if mode not in (1, 2):
            raise Refused(600, f"leverageMode {mode}: 1 or 2")
        if mode != account.leverage_mode:
            account.leverage_mode = mode
            self.venue.listener.on_private(account, "leverage.mode", {"lm": mode}, "")

    def change_margin(self, account: Account, position: Position, amount: Decimal) -> None:
        """Move margin into (positive) or out of an isolated position. 2002, 1004, 2005, 2018."""
        contract = position.contract
        if position.open_type != ISOLATED:
            raise Refused(2002)
        if amount == 0 or amount != contract.cut(amount):
            raise Refused(1004)
        if amount > 0 and amount > self.venue.spendable(account, contract.settle):
            raise Refused(2005)
        price = self.venue.markets[contract.symbol].fair_price
        needed = contract.cut(position.cost / position.leverage)
        if amount < 0 and position.margin + amount + min(ZERO, position.unrealised(price)) < needed:
            raise Refused(2018)
        position.margin += amount
        position.version += 1
        position.update_ms = self.venue.clock_ms()
        self.venue.push_position(account, position)
        self.venue.push_asset(account, contract.settle)

    def change_auto_add(self, account: Account, position: Position, enabled: bool) -> None:
        """Automatic margin top-up of an isolated position; 2002 for cross."""
        if position.open_type != ISOLATED:
            raise Refused(2002)
        position.auto_add_margin = enabled
        position.version += 1
        position.update_ms = self.venue.clock_ms()
        self.venue.push_position(account, position)

    # Modes

    def change_mode(self, account: Account, mode: int) -> None:
        """Hedge or one-way; 2019 while orders, waiting orders or positions exist."""
        if mode not in (HEDGE, ONE_WAY):
            raise Refused(600, f"positionMode {mode}: 1 or 2")
        busy = account.open_orders or account.positions or self.venue.conditional.of(account)
        if mode != account.position_mode and busy:
            raise Refused(2019)
        account.position_mode = mode
        self.venue.listener.on_private(account, "position.mode", {"positionMode": mode}, "")

    # Reverse and close

    def reverse(self, account: Account, position: Position, vol: int) -> None:
        """Close so many contracts at market and open as many the other way; told by push (9.5)."""
        contract, venue = position.contract, self.venue
        if vol <= 0:
            raise Refused(2011)
        if vol > position.hold_vol:
            raise Refused(2008)
        other = SHORT if position.is_long else LONG
        code = 0
        try:
            venue.unlock(account, contract.symbol, position.type, position.hold_vol - vol)
            closing = venue.place(
                account,
                market_order(
                    contract.symbol, closing_side(position.type), vol, position.open_type,
                    position.leverage, position.id,
                ),
            )  # fmt: skip
            if closing.deal_vol == vol:
                venue.place(
                    account,
                    market_order(
                        contract.symbol, opening_side(other), vol, position.open_type,
                        position.leverage,
                    ),
                )  # fmt: skip
            else:
                code = closing.error_code
        except Refused as refused:
            code = error_code(refused)
        data = {
            "contractId": contract.id,
            "positionId": position.id,
            "state": NOT_REVERSED if code else REVERSED,
            "errorCode": code,
        }
        venue.listener.on_private(account, "reverse.position", data, contract.symbol)

    def close_all(self, account: Account) -> None:
        """Close every position at market, after cancelling the orders that lock it.

        What cannot be closed is told by position.closeall.fail, a push without data.
        """
        venue, failed = self.venue, False
        for position in list(account.positions.values()):
            symbol = position.contract.symbol
            venue.unlock(account, symbol, position.type, 0, error_code=0)
            left = position.hold_vol
            while left and not failed:  # an order is at most max_vol
                vol = min(left, position.contract.max_vol)
                try:
                    venue.place(
                        account,
                        market_order(
                            symbol, closing_side(position.type), vol, position.open_type,
                            position.leverage, position.id,
                        ),
                    )  # fmt: skip
                except Refused:
                    failed = True
                failed = failed or position.hold_vol > left - vol
                left = position.hold_vol
        if failed:
            venue.listener.on_private(account, "position.closeall.fail", {}, "")

    # Money in and out

    def transfer(self, account: Account, currency: str, amount: Decimal) -> Transfer:
        """Move money in (positive) or out of the futures wallet. 1004, 2005."""
        if not amount:
            raise Refused(1004)
        if amount < 0 and -amount > self.venue.spendable(account, currency):
            raise Refused(2005)
        record = self.venue.ledger.transfer(account, currency, amount, self.venue.clock_ms())
        self.venue.push_asset(account, currency)
        return record

    def grant_bonus(
        self, account: Account, currency: str, amount: Decimal, expires_ms: int
    ) -> None:
        """A trial fund: spendable money that is taken back when it expires (9.7)."""
        if amount <= 0 or expires_ms <= self.venue.clock_ms():
            raise ValueError(f"amount {amount} until {expires_ms}: positive, in the future")
        had, _ = account.bonus.get(currency, (ZERO, 0))
        account.bonus[currency] = (had + amount, expires_ms)
        self.venue.ledger.transfer(account, currency, amount, self.venue.clock_ms())
        self._push_bonus(account, currency, granted=True)
        self.venue.push_asset(account, currency)

    def expire_bonus(self, now_ms: int) -> None:
        """Take back what is left of expired trial funds."""
        for account in self.venue.accounts.values():
            for currency, (amount, expires_ms) in list(account.bonus.items()):
                if now_ms >= expires_ms:
                    del account.bonus[currency]
                    left = min(amount, max(ZERO, self.venue.spendable(account, currency)))
                    if left:
                        self.venue.ledger.transfer(account, currency, -left, now_ms)
                    self._push_bonus(account, currency, granted=False)
                    self.venue.push_asset(account, currency)

    def _push_bonus(self, account: Account, currency: str, *, granted: bool) -> None:
        amount, expires_ms = account.bonus.get(currency, (ZERO, 0))
        data = {
            "c": currency,
            "b": amount,
            "be": expires_ms,
            "g": granted,
            "ret": expires_ms,
            "rea": amount,
        }
        self.venue.listener.on_private(account, "bonus", data, "")


def held(account: Account, position_id: int) -> Position:
    """An open position by id; Refused(2009)."""
    for position in account.positions.values():
        if position.id == position_id:
            return position
    raise Refused(2009)

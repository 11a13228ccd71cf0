"""Risk: tiers, warnings, liquidation, the insurance fund and ADL (protocol.md 9, 12.7, 18).

A position is liquidated when what backs it falls to its maintenance margin at the fair price.

1. The orders that lock or grow it are cancelled (errorCode 13).
2. It is taken over at the price at which its backing is used up (category 2): an isolated position
   loses its margin, cross positions the whole cross wallet. The user's books end here.
3. The exchange closes it in the market (category 3). What is won or lost against the take-over
   price goes into or out of the contract's insurance fund.
4. What the fund cannot pay for is closed at the take-over price against the users who profit most
   on the other side (category 4, ADL), the rest stays with the crowd.

Cross positions of one currency stand and fall together. All but the largest are handed over at the
fair price; the largest at the price that uses up what is left.
"""

from __future__ import annotations

from decimal import ROUND_UP, Decimal
from typing import TYPE_CHECKING, Any

from mexcfast.sim.accounts import (
    ADL,
    ADL_CANCEL,
    CROSS,
    ISOLATED,
    LIQ_CANCEL,
    LONG,
    MARKET,
    SHORT,
    STATE_FILLED,
    STATE_OPEN,
    TAKE_OVER,
    TAKE_OVER_CLOSE,
    ZERO,
    Account,
    Order,
    Position,
    closing_side,
)
from mexcfast.sim.contracts import COIN_STEP, Contract
from mexcfast.sim.matching import BUY, SELL

if TYPE_CHECKING:
    from mexcfast.sim.market import Market
    from mexcfast.sim.venue import Venue

#: marginRatio at which the user is warned, and below which a new warning may come.
WARN_AT, CALM_AT = Decimal("0.8"), Decimal("0.7")
#: Profit over margin from which a position is at ADL level 2, 3, 4, 5.
ADL_STEPS = (Decimal("0.25"), Decimal("0.5"), Decimal(1), Decimal(2))


class Liquidation:
    """Watches positions at the fair price."""

    def __init__(self, venue: Venue) -> None:
        self.venue = venue

    # What backs a position

    def fair(self, position: Position) -> Decimal:
        """The mark price of its contract."""
        return self.venue.markets[position.contract.symbol].fair_price

    def backing(self, account: Account, position: Position) -> Decimal:
        """Isolated: its margin. Cross: the cross wallet after what the others need and earn."""
        if position.open_type == ISOLATED:
            return position.margin
        currency = position.contract.settle
        money = account.cash.get(currency, ZERO) - account.isolated_margin(currency)
        for other in account.held(currency):
            if other.open_type == CROSS and other is not position:
                money += other.unrealised(self.fair(other)) - other.maintenance
        return money

    def ratio(self, account: Account, position: Position) -> Decimal:
        """marginRatio; 1 and above is liquidation."""
        return position.ratio(self.fair(position), self.backing(account, position))

    # Every price change

    def check(self, market: Market) -> None:
        """Liquidate, top up, warn and rank the positions of a contract."""
        for account in list(self.venue.accounts.values()):
            for kind in (LONG, SHORT):
                position = account.positions.get((market.symbol, kind))
                if position is not None:
                    self._check(account, market, position)

    def _check(self, account: Account, market: Market, position: Position) -> None:
        ratio = self.ratio(account, position)
        if ratio >= 1 and position.auto_add_margin and position.open_type == ISOLATED:
            self._top_up(account, position)
            ratio = self.ratio(account, position)
        if ratio >= 1:
            if position.open_type == ISOLATED:
                self._liquidate(account, [position])
            else:
                held = account.held(position.contract.settle)
                self._liquidate(account, [one for one in held if one.open_type == CROSS])
            return
        if ratio >= WARN_AT and not position.warned:
            position.warned = True
            data = {
                "symbol": market.symbol,
                "positionId": position.id,
                "liquidatePrice": position.liquidation_price(self.backing(account, position)),
                "marginRatio": round(ratio, 6),
                "adlLevel": position.adl_level,
            }
            self.venue.listener.on_private(account, "liquidate.risk", data, market.symbol)
            self._notify(account, position, 2, ratio)
        elif ratio < CALM_AT:
            position.warned = False
        self._rank(account, position)

    def _top_up(self, account: Account, position: Position) -> None:
        """autoAddIm: bring the margin back to the initial margin, as far as the wallet reaches."""
        contract = position.contract
        initial = position.cost / position.leverage
        lacking = initial - position.margin - position.unrealised(self.fair(position))
        step = Decimal(1).scaleb(-contract.amount_scale)
        available = contract.cut(self.venue.spendable(account, contract.settle))
        amount = min(lacking.quantize(step, rounding=ROUND_UP), available)
        if amount > 0:
            position.margin += amount
            position.version += 1
            position.update_ms = self.venue.clock_ms()
            self.venue.push_position(account, position)
            self.venue.push_asset(account, contract.settle)

    def _rank(self, account: Account, position: Position) -> None:
        """ADL level 1 to 5 by profit over margin; told when it changes."""
        profit = position.unrealised(self.fair(position))
        score = profit / position.margin if position.margin else ZERO
        level = 1 + sum(score >= step for step in ADL_STEPS)
        before, position.adl_level = position.adl_level, level
        if level != before and (before or level > 1):
            data = {"adlLevel": level, "positionId": position.id}
            self.venue.listener.on_private(account, "adl.level", data, position.contract.symbol)

    def _notify(self, account: Account, position: Position, kind: int, ratio: Decimal) -> None:
        """generic.notify: 1 liquidated, 2 warning."""
        view = position.contract.describe()
        param = {
            "notifyType": kind,
            "openType": position.open_type,
            "dn": view["displayName"],
            "dne": view["displayNameEn"],
            "multiAssets": False,
            "marginRate": round(ratio, 6),
        }
        data = {"type": 1, "param": param}
        self.venue.listener.on_private(account, "generic.notify", data, position.contract.symbol)

    # Tiers

    def tier_row(
        self, account: Account, contract: Contract, kind: int, open_type: int
    ) -> dict[str, Any]:
        """The tier that the leverage of a direction allows (14, 15)."""
        position = account.positions.get((contract.symbol, kind))
        leverage = account.leverage(contract.symbol, kind, open_type)
        if position is not None and position.open_type == open_type:
            leverage = position.leverage
        tier = contract.tier_for(leverage)
        held = 0 if position is None else position.hold_vol
        return {
            "level": tier.level,
            "maxVol": tier.max_vol,
            "mmr": tier.mmr,
            "imr": tier.imr,
            "maxLeverage": contract.max_leverage,
            "positionType": kind,
            "openType": open_type,
            "leverage": leverage,
            "limitBySys": False,
            "currentMmr": contract.tier_of(held).mmr,
            "maxLeverageView": contract.max_leverage,
        }

    def push_risk(self, account: Account, contract: Contract, kind: int, open_type: int) -> None:
        """push.personal.risk.limit (9.2)."""
        row = self.tier_row(account, contract, kind, open_type)
        position = account.positions.get((contract.symbol, kind))
        tier = contract.tier_of(0 if position is None else position.hold_vol)
        data = {
            "symbol": contract.symbol,
            "positionType": kind,
            "riskSource": 0,
            "level": tier.level,
            "maxVol": row["maxVol"],
            "maxLeverage": tier.max_leverage,
            "mmr": tier.mmr,
            "imr": tier.imr,
            "leverage": row["leverage"],
            "openType": open_type,
            "limitBySys": False,
            "maxVolView": row["maxVol"],
        }
        self.venue.listener.on_private(account, "risk.limit", data, contract.symbol)

    def tell_tier(self, account: Account, position: Position) -> None:
        """The position grew or shrank into another tier."""
        level = position.contract.tier_of(position.hold_vol).level
        if level != position.tier_level:
            position.tier_level = level
            self.push_risk(account, position.contract, position.type, position.open_type)

    # Liquidation

    def _liquidate(self, account: Account, positions: list[Position]) -> None:
        """Take over one isolated or all cross positions of a currency."""
        venue = self.venue
        currency = positions[0].contract.settle
        cross = positions[0].open_type == CROSS
        for order in reversed(list(account.open_orders.values())):
            same = order.contract.settle == currency
            for position in positions:
                kind = order.closes_type if order.closes else order.opens_type
                mine = (order.contract.symbol, kind) == (position.contract.symbol, position.type)
                grows = cross and same and not order.closes and order.open_type == CROSS
                if order.is_open and (mine or grows):
                    venue.cancel(account, order, LIQ_CANCEL)
        ratio = self.ratio(account, positions[0])
        positions.sort(key=lambda one: (one.maintenance, one.id))
        for position in positions:
            loss = position.margin
            if cross and position is positions[-1]:
                loss = max(ZERO, venue.ledger.room(account, position))
            elif cross:
                loss = -position.unrealised(self.fair(position))
            self._take_over(account, position, loss, ratio)

    def _take_over(
        self, account: Account, position: Position, loss: Decimal, ratio: Decimal
    ) -> None:
        venue, ledger, contract = self.venue, self.venue.ledger, position.contract
        market, now, vol = venue.markets[contract.symbol], venue.clock_ms(), position.hold_vol
        fee = ZERO
        if loss > 0:
            fee = min(contract.cut(position.cost * contract.liquidation_fee_rate),
                      contract.cut(min(loss, ledger.room(account, position))))  # fmt: skip
        profit = fee - loss
        rising = position.is_long != contract.inverse
        value = max(ZERO, position.cost + profit if rising else position.cost - profit)
        value = value.quantize(COIN_STEP)
        price = round(contract.price_of(value, vol), contract.price_scale)
        position.taken_over = True
        position.version += 1
        venue.push_position(account, position)

        order = self._order(account, position, TAKE_OVER, vol, price)
        booked = ledger.close(account, position, value, vol, now)
        fee = min(fee, contract.cut(ledger.room(account, position)))
        account.cash[contract.settle] -= fee
        ledger.pay_fees(contract.settle, fee)
        position.fee += fee
        order.taker_fee, order.profit = fee, booked
        self._filled(account, order, price, value, fee, booked)
        ledger.crowd_trade(contract, BUY if position.is_long else SELL, value, vol)

        closing = self._order(account, position, TAKE_OVER_CLOSE, vol, price)
        closing.deal_value = self._close_out(account, market, position.type, vol, value)
        closing.deal_vol, closing.state = vol, STATE_FILLED
        closing.advance(now)
        venue.push_order(account, closing)

        position.version += 1
        position.margin = ZERO
        venue.push_position(account, position)
        self._notify(account, position, 1, ratio)
        venue.push_asset(account, contract.settle)
        venue.touch(account, contract.symbol)

    def _order(
        self, account: Account, position: Position, category: int, vol: int, price: Decimal
    ) -> Order:
        """An order that the exchange writes into a user's history."""
        now = self.venue.clock_ms()
        order = Order(
            id=0,
            uid=account.uid,
            contract=position.contract,
            side=closing_side(position.type),
            type=MARKET,
            open_type=position.open_type,
            price=price,
            vol=vol,
            leverage=position.leverage,
            external_oid="",
            position_mode=account.position_mode,
            reduce_only=False,
            create_ms=now,
            category=category,
            position_id=position.id,
            state=STATE_OPEN,
        )
        self.venue.enroll(account, order, "_sys_")
        order.advance(now)
        return order

    def _filled(
        self,
        account: Account,
        order: Order,
        price: Decimal,
        value: Decimal,
        fee: Decimal,
        profit: Decimal,
    ) -> None:
        """The order is done at once; its deal and the pushes."""
        now = self.venue.clock_ms()
        order.deal_vol, order.deal_value, order.state = order.vol, value, STATE_FILLED
        order.advance(now)
        deal = self.venue.ledger.deal(
            account, order, price, order.vol, fee=fee, profit=profit, taker=True, now_ms=now
        )
        data = deal.wire(push=True, as_int=self.venue.ids_as_int)
        self.venue.listener.on_private(account, "order.deal", data, order.contract.symbol)
        self.venue.push_order(account, order)

    # The exchange closes what it took over; the crowd holds it meanwhile

    def _close_out(
        self, account: Account, market: Market, kind: int, vol: int, value: Decimal
    ) -> Decimal:
        """Sell or buy back in the market as far as the insurance fund can bear; then ADL.

        Returns the value at which the contracts went.
        """
        ledger, contract = self.venue.ledger, market.contract
        side = SELL if kind == LONG else BUY
        affordable = self._affordable(market, kind, vol, value)
        got = ZERO
        share = ZERO
        if affordable:
            share = value
            if affordable < vol:
                share = (value * affordable / vol).quantize(COIN_STEP)
            result = self.venue.crowd_order(market, side, affordable)
            got = sum(
                (contract.notional(contract.price(fill.price), fill.quantity)
                 for fill in result.fills),
                ZERO,
            )  # fmt: skip
            gain = contract.gain(share, got, long=kind == LONG)
            ledger.pay_insurance(contract, gain)
            ledger.pay_crowd(contract.settle, -gain)
            moved = ledger.insurance.get(contract.symbol, ZERO)
            market.snapshot_insurance(self.venue.clock_ms(), moved)
        if affordable < vol:
            self._deleverage(account, market, kind, vol - affordable, value - share)
        return got + value - share

    @staticmethod
    def _depth(market: Market, kind: int, vol: int) -> list[tuple[int, int]]:
        return market.book.fillable(SELL if kind == LONG else BUY, None, vol)

    def _affordable(self, market: Market, kind: int, vol: int, value: Decimal) -> int:
        """Contracts that the book takes before the loss is larger than the insurance fund."""
        contract, done = market.contract, 0
        fund = market.insurance_start + self.venue.ledger.insurance.get(market.symbol, ZERO)
        for tick, part in self._depth(market, kind, vol):
            cost = value * part / vol
            worth = contract.notional(contract.price(tick), part)
            fund += contract.gain(cost, worth, long=kind == LONG)
            if fund < 0:
                break
            done += part
        return done

    def _deleverage(
        self, origin: Account, market: Market, kind: int, vol: int, value: Decimal
    ) -> None:
        """Close the most profitable opposite positions at the take-over price."""
        venue, contract = self.venue, market.contract
        other = SHORT if kind == LONG else LONG
        price = round(contract.price_of(value, vol), contract.price_scale)
        ranked: list[tuple[Decimal, int, Account, Position]] = []
        for account in venue.accounts.values():
            position = account.positions.get((market.symbol, other))
            if position is not None and account is not origin and position.margin:
                score = position.unrealised(market.fair_price) / position.margin
                ranked.append((-score, position.id, account, position))
        for _, _, account, position in sorted(ranked, key=lambda one: one[:2]):
            if not vol:
                return
            part = min(vol, position.hold_vol)
            share = value if part == vol else (value * part / vol).quantize(COIN_STEP)
            vol, value = vol - part, value - share
            venue.unlock(account, market.symbol, other, position.hold_vol - part, ADL_CANCEL)
            order = self._order(account, position, ADL, part, price)
            order.profit = venue.ledger.close(account, position, share, part, venue.clock_ms())
            venue.ledger.crowd_trade(contract, SELL if kind == LONG else BUY, share, part)
            self._filled(account, order, price, share, ZERO, order.profit)
            position.version += 1
            venue.push_position(account, position)
            venue.push_asset(account, contract.settle)
            venue.touch(account, market.symbol)

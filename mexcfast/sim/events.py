"""Event contracts: a stake on where the index price will be (protocol.md 7.12, 9.8).

No documented request buys one, hence positions are opened from code or the control endpoint. Our
reading, as no source tells more than the field names: the stake is moved out of the futures wallet
and, when the index price has moved the right way by the closing time, comes back with
amount x payRate on top; a price that has not moved gives the stake back.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from mexcfast.sim.accounts import LONG, SHORT, ZERO, Account
from mexcfast.sim.checks import Refused
from mexcfast.sim.contracts import Contract
from mexcfast.sim.records import price_in_dollars

if TYPE_CHECKING:
    from mexcfast.sim.market import Market
    from mexcfast.sim.venue import Venue

LEAST, MOST = Decimal(5), Decimal(500)
AMOUNT_SCALE = 2
#: State texts as the sample counts: 1 open, 3 closed.
OPEN, CLOSED = "1", "3"


def describe(contract: Contract) -> dict[str, Any]:
    """push.event.contract of one contract (7.12)."""
    return {
        "contractId": str(contract.id),
        "symbol": contract.symbol,
        "baseCoin": contract.base,
        "quoteCoin": contract.quote,
        "baseCoinName": contract.base,
        "quoteCoinName": contract.quote,
        "settleCoin": contract.settle,
        "baseCoinIconUrl": "",
        "investMinAmount": LEAST,
        "investMaxAmount": MOST,
        "amountScale": AMOUNT_SCALE,
        "payRateScale": 4,
        "indexPriceScale": contract.price_scale,
        "availableScale": AMOUNT_SCALE,
    }


@dataclass(slots=True)
class EventPosition:
    """One stake."""

    id: int
    uid: int
    contract: Contract
    side: int
    amount: Decimal
    pay_rate: Decimal
    open_tick: int
    create_ms: int
    close_ms: int
    close_tick: int = 0
    result: str = ""
    """PROFIT, LOSS or DRAW once closed."""

    @property
    def reward(self) -> Decimal:
        """What comes back beyond the stake."""
        return self.amount * self.pay_rate if self.result == "PROFIT" else ZERO

    @property
    def profit(self) -> Decimal:
        """Reward, or the stake that is lost."""
        return -self.amount if self.result == "LOSS" else self.reward

    def wire(self, dollars: Decimal) -> dict[str, Any]:
        """push.personal.event.contract.position (9.8); dollars: worth of one unit of the coin."""
        price = self.contract.price
        return {
            "positionId": self.id,
            "symbol": self.contract.symbol,
            "side": str(self.side),
            "payRate": self.pay_rate,
            "amount": self.amount,
            "openPrice": price(self.open_tick),
            "closePrice": price(self.close_tick),
            "rewardAmount": self.reward,
            "rewardAmountUsdt": self.reward * dollars,
            "state": CLOSED if self.result else OPEN,
            "closeResult": self.result,
            "createTime": self.create_ms,
            "closeTime": self.close_ms,
            "pnlAmount": self.profit,
        }


class EventDesk:
    """All stakes that are open."""

    def __init__(self, venue: Venue) -> None:
        self.venue = venue
        self.open_positions: dict[int, EventPosition] = {}
        self._id = 123_456_788

    def open(
        self,
        account: Account,
        market: Market,
        side: int,
        amount: Decimal,
        *,
        pay_rate: Decimal = Decimal("0.85"),
        seconds: float = 60.0,
    ) -> EventPosition:
        """Stake on up (1) or down (2) from the index price of now. 2001, 1004, 2005."""
        if side not in (LONG, SHORT):
            raise Refused(2001)
        if not LEAST <= amount <= MOST or amount != round(amount, AMOUNT_SCALE):
            raise Refused(1004)
        if pay_rate <= 0 or not 0 < seconds <= 86_400:
            raise Refused(600, f"pay_rate {pay_rate}, seconds {seconds}: above 0, a day at most")
        now = self.venue.clock_ms()
        self.venue.desk.transfer(account, market.contract.settle, -amount)
        self._id += 1
        position = EventPosition(
            self._id, account.uid, market.contract, side, amount, pay_rate, market.index_tick,
            now, now + int(seconds * 1000),
        )  # fmt: skip
        self.open_positions[position.id] = position
        self._push(account, position)
        return position

    def close_due(self, market: Market, now_ms: int) -> None:
        """Settle what has reached its time."""
        for position in list(self.open_positions.values()):
            if position.contract is not market.contract or now_ms < position.close_ms:
                continue
            del self.open_positions[position.id]
            position.close_tick = market.index_tick
            moved = position.close_tick - position.open_tick
            right = moved > 0 if position.side == LONG else moved < 0
            position.result = "DRAW" if not moved else "PROFIT" if right else "LOSS"
            account = self.venue.accounts[position.uid]
            back = position.amount + position.profit
            if back:
                self.venue.desk.transfer(account, market.contract.settle, back)
            self._push(account, position)

    def _push(self, account: Account, position: EventPosition) -> None:
        dollars = price_in_dollars(self.venue, position.contract.settle)
        symbol = position.contract.symbol
        data = position.wire(dollars)
        self.venue.listener.on_private(account, "event.contract.position", data, symbol)

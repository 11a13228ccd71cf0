"""Where a market's movements come from, when not from the seeded order flow.

A Source brings its contracts, is attached to the venue that trades them, and from then on moves
their books. Three exist: script.py (exact actions), replay.py (a recorded file), mirror.py (another
exchange's book, live).
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from mexcfast.sim.contracts import Contract, Tier
from mexcfast.sim.matching import Book
from mexcfast.sim.venue import Venue


class Source:
    """Base of the three; a Source serves one exchange, once."""

    book_type: type[Book] = Book
    """The kind of book the venue must keep for it."""
    filled = False
    """Whether the seeded crowd lays the first orders."""
    sets_prices = False
    """Whether index and fair prices come from here; otherwise the venue derives them."""

    def contracts(self) -> list[Contract | str]:
        """What is traded: definitions, or names of which the exchange knows more."""
        raise NotImplementedError

    def attach(self, venue: Venue) -> None:
        """The venue to move."""
        raise NotImplementedError

    async def run(self) -> None:
        """Move the market in real time until cancelled or finished."""
        raise NotImplementedError

    def step(self, symbol: str | None) -> bool:
        """One movement by hand, whatever the clock; False when there is none left."""
        raise ValueError(f"{type(self).__name__} cannot be stepped")

    def state(self) -> Mapping[str, Any]:
        """For the control endpoint."""
        return {}


def contract_from(data: Mapping[str, Any]) -> Contract:
    """A contract as another exchange describes it (12.7); what it does not say stays as here.

    ValueError or KeyError when it cannot be traded here.
    """
    symbol = str(data["symbol"])
    unit = _exact(data["priceUnit"])
    orders = data.get("maxNumOrders") or (200, 50)
    levels = max(1, int(data.get("riskLevelLimit") or 1))
    base = int(_exact(data.get("riskBaseVol") or 4_500_000))
    made = Contract(
        symbol=symbol,
        id=int(data.get("id") or 1),
        contract_size=_exact(data["contractSize"]),
        price_unit=unit,
        start_price=unit,
        max_leverage=int(data.get("maxLeverage") or 200),
        min_leverage=int(data.get("minLeverage") or 1),
        vol_unit=int(_exact(data.get("volUnit") or 1)),
        min_vol=int(_exact(data.get("minVol") or 1)),
        max_vol=int(_exact(data.get("maxVol") or 400_000)),
        limit_max_vol=int(_exact(data.get("limitMaxVol") or data.get("maxVol") or 2_500_000)),
        max_position=base * levels,
        tier_count=levels,
        custom_tiers=_tiers(data),
        amount_scale=int(data.get("amountScale") or 4),
        taker_fee_rate=_exact(data.get("takerFeeRate") or 0),
        maker_fee_rate=_exact(data.get("makerFeeRate") or 0),
        liquidation_fee_rate=_exact(data.get("liquidationFeeRate") or "0.0004"),
        maintenance_rate=_exact(data.get("maintenanceMarginRate") or "0.004"),
        initial_rate=_exact(data.get("initialMarginRate") or "0.005"),
        increase_rate=_exact(data.get("riskIncrMmr") or 0),
        trigger_protect=_exact(data.get("triggerProtect") or "0.1"),
        band_rate=_exact(data.get("bidLimitPriceRate") or "0.1"),
        max_orders=(int(orders[0]), int(orders[-1])),
        depth_steps=tuple(str(step) for step in data.get("depthStepList") or ()),
        state=int(data.get("state") or 0),
        create_time=int(data.get("createTime") or 0),
    )
    if data.get("settleCoin") not in (None, made.settle):
        raise ValueError(f"{symbol}: settled in {data['settleCoin']}, here in {made.settle}")
    return made


def _tiers(data: Mapping[str, Any]) -> tuple[Tier, ...]:
    """The tiers of riskLimitCustom; empty when the formula of 12.7 gives them."""
    rows = data.get("riskLimitCustom") or ()
    if data.get("riskLimitMode") != "CUSTOM":
        return ()
    return tuple(
        Tier(
            level=int(row["level"]),
            max_vol=int(_exact(row["maxVol"])),
            mmr=_exact(row["mmr"]),
            imr=_exact(row["imr"]),
            max_leverage=int(row["maxLeverage"]),
        )
        for row in rows
    )


def _exact(value: Any) -> Decimal:
    """A number of JSON as the decimal it was printed as."""
    return Decimal(str(value))

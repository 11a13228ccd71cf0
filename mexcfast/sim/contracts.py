"""The contracts of the exchange and their description on the wire (protocol.md 12.7)."""

from __future__ import annotations

import random
from collections.abc import Iterable
from dataclasses import dataclass, field
from decimal import ROUND_DOWN, ROUND_UP, Decimal
from typing import Any

from mexcfast.sim import wire


@dataclass(slots=True)
class Contract:
    """One linear contract. Prices are ticks of `price_unit`, quantities whole contracts."""

    symbol: str
    id: int
    contract_size: Decimal
    price_unit: Decimal
    start_price: Decimal
    max_leverage: int = 200
    min_leverage: int = 1
    vol_unit: int = 1
    min_vol: int = 1
    max_vol: int = 400_000
    limit_max_vol: int = 2_500_000
    max_position: int = 4_500_000
    amount_scale: int = 4
    taker_fee_rate: Decimal = Decimal("0.0004")
    maker_fee_rate: Decimal = Decimal("0.0001")
    maintenance_rate: Decimal = Decimal("0.004")
    initial_rate: Decimal = Decimal("0.005")
    band_rate: Decimal = Decimal("0.1")
    max_orders: tuple[int, int] = (200, 50)
    depth_steps: tuple[str, ...] = ()
    api_allowed: bool = True
    state: int = 0
    create_time: int = 1_591_242_684_000
    base: str = field(init=False)
    quote: str = field(init=False)
    settle: str = field(init=False)
    price_scale: int = field(init=False)
    _texts: dict[int, str] = field(init=False, default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        self.base, self.quote = self.symbol.split("_", 1)
        self.settle = self.quote
        self.price_scale = max(0, -int(self.price_unit.normalize().as_tuple().exponent))
        if not self.depth_steps:
            steps = (self.price_unit * 10**power for power in range(4))
            self.depth_steps = tuple(wire.number(step) for step in steps)

    # Units

    def price(self, tick: int) -> Decimal:
        """Exact price of a tick."""
        return self.price_unit * tick

    def price_text(self, tick: int) -> str:
        """The price as the venue prints it: 84055, not 84055.0."""
        text = self._texts.get(tick)
        if text is None:
            if len(self._texts) > 200_000:
                self._texts.clear()
            text = self._texts[tick] = wire.number(self.price_unit * tick)
        return text

    def tick(self, price: Decimal) -> int | None:
        """Ticks of an exact price, None when the price lies between two ticks."""
        ticks = price / self.price_unit
        whole = int(ticks)
        return whole if whole * self.price_unit == price else None

    def cut(self, amount: Decimal) -> Decimal:
        """Cut, not rounded, to amountScale decimals (protocol.md 18.1)."""
        return amount.quantize(Decimal(1).scaleb(-self.amount_scale), rounding=ROUND_DOWN)

    def notional(self, price: Decimal, vol: int) -> Decimal:
        """Value of contracts in the settle currency (linear)."""
        return self.contract_size * vol * price

    def reserve(self, price: Decimal, vol: int, leverage: int) -> Decimal:
        """Margin and taker fee that an opening order freezes (sample in protocol.md 16.3)."""
        notional = self.notional(price, vol)
        amount = notional / leverage + notional * self.taker_fee_rate
        return amount.quantize(Decimal(1).scaleb(-8), rounding=ROUND_UP)

    def band(self, index_tick: int) -> tuple[int, int]:
        """(lowest allowed ask, highest allowed bid) in ticks, cut to the tick."""
        return (
            int(index_tick * (1 - self.band_rate)),
            int(index_tick * (1 + self.band_rate)),
        )

    def describe(self) -> dict[str, Any]:
        """The Contract object: every key seen in samples or demanded by stock clients."""
        tiers = [
            {
                "level": level,
                "maxVol": self.max_position * level // 5,
                "mmr": self.maintenance_rate * level,
                "imr": self.initial_rate * level,
                "maxLeverage": max(1, self.max_leverage // level),
            }
            for level in range(1, 6)
        ]
        return {
            "symbol": self.symbol,
            "displayName": f"{self.symbol}永续",
            "displayNameEn": f"{self.symbol} PERPETUAL",
            "positionOpenType": 3,
            "baseCoin": self.base,
            "quoteCoin": self.quote,
            "baseCoinName": self.base,
            "quoteCoinName": self.quote,
            "futureType": 1,
            "settleCoin": self.settle,
            "contractSize": self.contract_size,
            "minLeverage": self.min_leverage,
            "maxLeverage": self.max_leverage,
            "countryConfigContractMaxLeverage": 0,
            "priceScale": self.price_scale,
            "volScale": 0,
            "amountScale": self.amount_scale,
            "priceUnit": self.price_unit,
            "volUnit": self.vol_unit,
            "minVol": self.min_vol,
            "maxVol": self.max_vol,
            "bidLimitPriceRate": self.band_rate,
            "askLimitPriceRate": self.band_rate,
            "takerFeeRate": self.taker_fee_rate,
            "makerFeeRate": self.maker_fee_rate,
            "maintenanceMarginRate": self.maintenance_rate,
            "initialMarginRate": self.initial_rate,
            "riskBaseVol": self.max_position,
            "riskIncrVol": 0,
            "riskLongShortSwitch": 0,
            "riskBaseVolLong": 0,
            "riskIncrVolLong": 0,
            "riskBaseVolShort": 0,
            "riskIncrVolShort": 0,
            "riskIncrMmr": 0,
            "riskIncrImr": 0,
            "riskLevelLimit": 1,
            "priceCoefficientVariation": Decimal("0.004"),
            "indexOrigin": ["MEXC"],
            "state": self.state,
            "isNew": False,
            "isHot": self.id < 20,
            "isHidden": False,
            "conceptPlate": [],
            "conceptPlateId": [],
            "riskLimitType": "BY_VOLUME",
            "maxNumOrders": list(self.max_orders),
            "marketOrderMaxLevel": 20,
            "marketOrderPriceLimitRate1": Decimal("0.2"),
            "marketOrderPriceLimitRate2": Decimal("0.005"),
            "triggerProtect": Decimal("0.1"),
            "appraisal": 0,
            "showAppraisalCountdown": 0,
            "automaticDelivery": 0,
            "apiAllowed": self.api_allowed,
            "depthStepList": list(self.depth_steps),
            "limitMaxVol": self.limit_max_vol,
            "threshold": 0,
            "baseCoinIconUrl": f"https://example.invalid/{self.base.lower()}.png",
            "id": self.id,
            "vid": f"{self.id:032x}",
            "baseCoinId": f"{self.id + 1_000_000:032x}",
            "createTime": self.create_time,
            "openingTime": 0,
            "openingCountdownOption": 1,
            "showBeforeOpen": True,
            "isMaxLeverage": True,
            "isZeroFeeRate": False,
            "isZeroFeeSymbol": False,
            "riskLimitMode": "CUSTOM",
            "riskLimitCustom": tiers,
            "liquidationFeeRate": Decimal("0.0004"),
            "feeRateMode": "NORMAL",
            "feeRateType": "NORMAL",
            "leverageFeeRates": [],
            "tieredFeeRates": [],
            "tieredDealAmount": 0,
            "tieredEffectiveDay": 0,
            "tieredAppointContract": False,
            "tieredExcludeContractId": False,
            "tieredContractIds": [],
            "tieredExcludeZeroFee": False,
            "statisticType": "ROLLING",
            "fixedStartTime": 0,
            "fixedEndTime": 0,
            "type": 1,
            "typeLabel": 1,
            "stopOnlyFair": False,
            "preMarket": False,
            "fn": self.symbol,
            "tagIdList": [],
        }


#: symbol: id, contract size, tick, start price, maximum leverage
WELL_KNOWN: dict[str, tuple[int, str, str, str, int]] = {
    "BTC_USDT": (10, "0.0001", "0.1", "84055", 500),
    "ETH_USDT": (11, "0.01", "0.01", "2500.13", 400),
    "SOL_USDT": (12, "0.1", "0.01", "141.27", 300),
    "DOGE_USDT": (13, "100", "0.00001", "0.18695", 200),
    "XRP_USDT": (14, "1", "0.0001", "2.2051", 200),
}


def contract(symbol: str, seed: int = 7) -> Contract:
    """A well-known contract, or one generated from its name and the seed."""
    known = WELL_KNOWN.get(symbol)
    if known is not None:
        number, size, tick, price, leverage = known
        return Contract(
            symbol, number, Decimal(size), Decimal(tick), Decimal(price), max_leverage=leverage
        )
    base, _, quote = symbol.partition("_")
    if not base or quote not in ("USDT", "USDC") or symbol != symbol.upper():
        raise ValueError(f"symbol {symbol!r}: expected BASE_USDT or BASE_USDC in upper case")
    rng = random.Random(f"{seed}:{symbol}:contract")
    scale = rng.randint(1, 5)
    unit = Decimal(1).scaleb(-scale)
    start = unit * rng.randint(8_000, 90_000)
    per_contract = Decimal(1) if start > 100 else Decimal(10)
    return Contract(symbol, rng.randint(1_000, 9_999_999), per_contract, unit, start)


def listing(symbols: int | Iterable[str | Contract], seed: int = 7) -> dict[str, Contract]:
    """Contracts by symbol: the named or given ones, or that many, the well-known first."""
    given: dict[str, Contract] = {}
    if not isinstance(symbols, int):
        symbols = list(symbols)
        given = {one.symbol: one for one in symbols if isinstance(one, Contract)}
    if isinstance(symbols, int):
        if symbols < 1:
            raise ValueError(f"symbols {symbols}: at least one contract")
        names = list(WELL_KNOWN)[:symbols]
        names += [f"SIM{number:04d}_USDT" for number in range(1, symbols - len(names) + 1)]
    else:
        named = (one.symbol if isinstance(one, Contract) else one for one in symbols)
        names = list(dict.fromkeys(named))
        if not names:
            raise ValueError("symbols: at least one contract")
    contracts: dict[str, Contract] = {}
    ids: set[int] = set()
    for name in names:
        one = given.get(name) or contract(name, seed)
        while one.id in ids:
            one.id += 1
        ids.add(one.id)
        contracts[name] = one
    return contracts

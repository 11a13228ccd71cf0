"""The contracts of the exchange and their description on the wire (protocol.md 12.7)."""

from __future__ import annotations

import random
from collections.abc import Iterable
from dataclasses import dataclass, field
from decimal import ROUND_DOWN, ROUND_HALF_EVEN, ROUND_UP, Decimal
from typing import Any, NamedTuple

from mexcfast.sim import wire

#: Values of inverse contracts are fixed to this step when they arise; all later sums are exact.
COIN_STEP = Decimal(1).scaleb(-12)
MARGIN_STEP = Decimal(1).scaleb(-8)


class Tier(NamedTuple):
    """One risk level: the largest position and what it demands (12.7)."""

    level: int
    max_vol: int
    mmr: Decimal
    imr: Decimal
    max_leverage: int

    def wire(self) -> dict[str, Any]:
        """Element of riskLimitCustom."""
        return {
            "level": self.level,
            "maxVol": self.max_vol,
            "mmr": self.mmr,
            "imr": self.imr,
            "maxLeverage": self.max_leverage,
        }


@dataclass(slots=True)
class Contract:
    """One contract. Prices are ticks of `price_unit`, quantities whole contracts.

    Linear: settled in the quote coin, contract_size in base units. Inverse (BASE_USD): settled in
    the base coin, contract_size in quote units.
    """

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
    """Contracts of the highest tier."""
    tier_count: int = 5
    custom_tiers: tuple[Tier, ...] = ()
    """riskLimitMode CUSTOM when given, otherwise INCREASE: the formula of 12.7."""
    amount_scale: int = 4
    taker_fee_rate: Decimal = Decimal("0.0004")
    maker_fee_rate: Decimal = Decimal("0.0001")
    liquidation_fee_rate: Decimal = Decimal("0.0004")
    initial_rate: Decimal = Decimal("0.005")
    maintenance_rate: Decimal = Decimal("0.0025")
    increase_rate: Decimal = Decimal("0.004")
    """riskIncrMmr and riskIncrImr."""
    trigger_protect: Decimal = Decimal("0.1")
    band_rate: Decimal = Decimal("0.1")
    max_orders: tuple[int, int] = (200, 50)
    depth_steps: tuple[str, ...] = ()
    api_allowed: bool = True
    state: int = 0
    create_time: int = 1_591_242_684_000
    base: str = field(init=False)
    quote: str = field(init=False)
    settle: str = field(init=False)
    inverse: bool = field(init=False)
    tiers: tuple[Tier, ...] = field(init=False)
    price_scale: int = field(init=False)
    _texts: dict[int, str] = field(init=False, default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        self.base, self.quote = self.symbol.split("_", 1)
        self.inverse = self.quote == "USD"
        self.settle = self.base if self.inverse else self.quote
        self.tiers = self.custom_tiers or self._formula_tiers()
        self.price_scale = max(0, -int(self.price_unit.normalize().as_tuple().exponent))
        if not self.depth_steps:
            steps = (self.price_unit * 10**power for power in range(4))
            self.depth_steps = tuple(wire.number(step) for step in steps)

    def _formula_tiers(self) -> tuple[Tier, ...]:
        """Level n allows base + (n - 1) x step contracts, with rates rising the same way."""
        step = self.max_position // self.tier_count
        return tuple(
            Tier(
                level=n + 1,
                max_vol=step * (n + 1),
                mmr=self.maintenance_rate + self.increase_rate * n,
                imr=self.initial_rate + self.increase_rate * n,
                max_leverage=min(
                    self.max_leverage, int(1 / (self.initial_rate + self.increase_rate * n))
                ),
            )
            for n in range(self.tier_count)
        )

    # Risk

    def tier_of(self, vol: int) -> Tier:
        """The tier a position of this size is in; the last one when it is larger than all."""
        return next((tier for tier in self.tiers if vol <= tier.max_vol), self.tiers[-1])

    def tier_for(self, leverage: int) -> Tier:
        """The highest tier that allows a leverage; the first one when none does."""
        fits = [tier for tier in self.tiers if leverage <= tier.max_leverage]
        return fits[-1] if fits else self.tiers[0]

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
        """Value of contracts in the settle currency (18.1)."""
        if not self.inverse:
            return self.contract_size * vol * price
        if not price:
            return Decimal(0)
        value = self.contract_size * vol / price
        return value.quantize(COIN_STEP, rounding=ROUND_HALF_EVEN)

    def turnover(self, ticks: int, vol: int) -> Decimal:
        """Turnover in the quote currency of `vol` contracts whose ticks times vol sum up so."""
        return self.contract_size * vol if self.inverse else self.price(ticks) * self.contract_size

    def price_of(self, value: Decimal, vol: int) -> Decimal:
        """The price at which contracts have a value: average prices, take-over prices."""
        if not vol or not value:
            return Decimal(0)
        size = self.contract_size * vol
        return size / value if self.inverse else value / size

    def gain(self, cost: Decimal, value: Decimal, *, long: bool) -> Decimal:
        """Profit of contracts bought (long) or sold for `cost` that are now worth `value`."""
        return value - cost if long != self.inverse else cost - value

    def reserve(self, price: Decimal, vol: int, leverage: int) -> Decimal:
        """Margin and taker fee that an opening order freezes (sample in protocol.md 16.3)."""
        notional = self.notional(price, vol)
        amount = notional / leverage + notional * self.taker_fee_rate
        return amount.quantize(MARGIN_STEP, rounding=ROUND_UP)

    def band(self, index_tick: int) -> tuple[int, int]:
        """(lowest allowed ask, highest allowed bid) in ticks, cut to the tick."""
        return (
            int(index_tick * (1 - self.band_rate)),
            int(index_tick * (1 + self.band_rate)),
        )

    def describe(self) -> dict[str, Any]:
        """The Contract object: every key seen in samples or demanded by stock clients."""
        increase = not self.custom_tiers
        first = self.tiers[0]
        step = first.max_vol if increase else 0
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
            "riskBaseVol": first.max_vol if increase else self.max_position,
            "riskIncrVol": step,
            "riskLongShortSwitch": 0,
            "riskBaseVolLong": 0,
            "riskIncrVolLong": 0,
            "riskBaseVolShort": 0,
            "riskIncrVolShort": 0,
            "riskIncrMmr": self.increase_rate if increase else 0,
            "riskIncrImr": self.increase_rate if increase else 0,
            "riskLevelLimit": len(self.tiers) if increase else 1,
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
            "triggerProtect": self.trigger_protect,
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
            "riskLimitMode": "INCREASE" if increase else "CUSTOM",
            "riskLimitCustom": [] if increase else [tier.wire() for tier in self.tiers],
            "liquidationFeeRate": self.liquidation_fee_rate,
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


def _table(*rows: tuple[int, str, str, int]) -> tuple[Tier, ...]:
    """Tiers from (largest position, mmr, imr, largest leverage)."""
    return tuple(
        Tier(level, vol, Decimal(mmr), Decimal(imr), leverage)
        for level, (vol, mmr, imr, leverage) in enumerate(rows, 1)
    )


#: symbol: id, contract size, tick, start price, maximum leverage
WELL_KNOWN: dict[str, tuple[int, str, str, str, int]] = {
    "BTC_USDT": (10, "0.0001", "0.1", "84055", 500),
    "ETH_USDT": (11, "0.01", "0.01", "2500.13", 400),
    "SOL_USDT": (12, "0.1", "0.01", "141.27", 300),
    "DOGE_USDT": (13, "100", "0.00001", "0.18695", 200),
    "XRP_USDT": (14, "1", "0.0001", "2.2051", 200),
    "BTC_USD": (15, "100", "0.1", "84050", 200),
    "ETH_USD": (16, "10", "0.01", "2500", 200),
}
BTC_TIERS = _table(
    (500_000, "0.001", "0.002", 500),
    (1_000_000, "0.0025", "0.005", 200),
    (2_000_000, "0.005", "0.01", 100),
    (3_000_000, "0.01", "0.02", 50),
    (4_000_000, "0.02", "0.05", 20),
    (4_500_000, "0.05", "0.1", 10),
)


def contract(symbol: str, seed: int = 7) -> Contract:
    """A well-known contract, or one generated from its name and the seed."""
    base, _, quote = symbol.partition("_")
    if not base or quote not in ("USDT", "USDC", "USD") or symbol != symbol.upper():
        raise ValueError(f"symbol {symbol!r}: expected BASE_USDT, _USDC or _USD in upper case")
    known = WELL_KNOWN.get(symbol)
    if known is not None:
        number, size, tick, price, leverage = known
        start, unit, per_contract = Decimal(price), Decimal(tick), Decimal(size)
    else:
        rng = random.Random(f"{seed}:{symbol}:contract")
        unit = Decimal(1).scaleb(-rng.randint(1, 5))
        start = unit * rng.randint(8_000, 90_000)
        per_contract = Decimal(1) if start > 100 or quote == "USD" else Decimal(10)
        number, leverage = rng.randint(1_000, 9_999_999), 200
    initial = (Decimal(1) / leverage).quantize(Decimal("0.0001"), rounding=ROUND_DOWN)
    return Contract(
        symbol,
        number,
        per_contract,
        unit,
        start,
        max_leverage=leverage,
        initial_rate=initial,
        maintenance_rate=initial / 2,
        amount_scale=8 if quote == "USD" else 4,
        custom_tiers=BTC_TIERS if symbol == "BTC_USDT" else (),
    )


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

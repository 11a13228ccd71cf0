"""Public facts in the venue's own words, shared by REST and the streams (protocol.md 7, 13)."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from typing import Any

from mexcfast.sim import wire
from mexcfast.sim.contracts import Contract
from mexcfast.sim.market import HOUR_MS, Market, PublicDeal
from mexcfast.sim.matching import BUY, SELL, Commit, State

FUNDING_BOUND = Decimal("0.0018")


def levels_text(contract: Contract, levels: Iterable[tuple[int, int, int]], elements: int) -> str:
    """[[price,quantity,orders],…] with exact prices."""
    text = contract.price_text
    if elements == 2:
        return "[" + ",".join([f"[{text(p)},{q}]" for p, q, _ in levels]) + "]"
    return "[" + ",".join([f"[{text(p)},{q},{n}]" for p, q, n in levels]) + "]"


def changes_text(contract: Contract, commits: Iterable[Commit], elements: int) -> tuple[str, str]:
    """(asks, bids) of one or more commits; only the last state of each level."""
    sides: tuple[dict[int, State], dict[int, State]] = ({}, {})
    for commit in commits:
        for side, price, _, after in commit.changes:
            sides[side - 1][price] = after
    bids, asks = (
        levels_text(contract, [(p, *state) for p, state in side.items()], elements)
        if side
        else "[]"
        for side in sides
    )
    return asks, bids


def commit_text(contract: Contract, commit: Commit, elements: int) -> str:
    """One element of depth_commits."""
    asks, bids = changes_text(contract, (commit,), elements)
    return f'{{"asks":{asks},"bids":{bids},"version":{commit.version}}}'


def steps_text(market: Market, step: Decimal, limit: int, elements: int) -> dict[str, str]:
    """Aggregated sides for depth.step: asks rounded up, bids down to the step."""
    contract = market.contract
    sides = {}
    for name, side, rounding in (("asks", SELL, ROUND_CEILING), ("bids", BUY, ROUND_FLOOR)):
        buckets: dict[Decimal, tuple[int, int]] = {}
        for tick, quantity, orders in market.book.ladder(side):
            price = (contract.price(tick) / step).to_integral_value(rounding) * step
            if price not in buckets and len(buckets) == limit:
                break
            have = buckets.get(price, (0, 0))
            buckets[price] = (have[0] + quantity, have[1] + orders)
        cells = []
        for price, (quantity, orders) in buckets.items():
            tail = f",{orders}" if elements == 3 else ""
            cells.append(f"[{format(price.normalize(), 'f')},{quantity}{tail}]")
        sides[name] = "[" + ",".join(cells) + "]"
    return sides


def deal(market: Market, one: PublicDeal, *, push: bool, ids_as_int: bool) -> dict[str, Any]:
    """One trade (7.3): O 3 unchanged, M 1 with itself, 2 not."""
    view: dict[str, Any] = {
        "p": market.contract.price(one.tick),
        "v": one.vol,
        "T": one.side,
        "O": 3,
        "M": 1 if one.is_self else 2,
        "t": one.time_ms,
    }
    if push:
        view["i"] = wire.shown_id(one.id, ids_as_int)
        view["cts"] = wire.shown_id(one.time_ms, ids_as_int)
    return view


def ticker(market: Market, now_ms: int, *, rest: bool) -> dict[str, Any]:
    """Ticker (7.2); statistics run since the exchange started."""
    contract = market.contract
    price = contract.price
    lowest, highest = contract.band(market.index_tick)
    change = market.last_tick - market.open_tick
    rate = round(Decimal(change) / market.open_tick, 4)
    rates: Any = [rate] * 6
    if rest:
        rates = {"zone": "UTC+8", "r": rate, "v": price(change)}
        rates.update({name: rate for name in ("r7", "r30", "r90", "r180", "r365")})
    view = {
        "contractId": contract.id,
        "symbol": contract.symbol,
        "lastPrice": price(market.last_tick),
        "riseFallRate": rate,
        "fairPrice": price(market.fair_tick),
        "indexPrice": price(market.index_tick),
        "volume24": market.volume,
        "amount24": contract.turnover(market.turnover_ticks, market.volume),
        "maxBidPrice": price(highest),
        "minAskPrice": price(lowest),
        "lower24Price": price(market.low_tick),
        "high24Price": price(market.high_tick),
        "timestamp": now_ms,
        "holdVol": market.open_interest,
        "riseFallValue": price(change),
        "fundingRate": market.funding_rate,
        "zone": "UTC+8",
        "riseFallRates": rates,
        "riseFallRatesOfTimezone": [rate] * 3,
    }
    for name, side in (("bid1", BUY), ("ask1", SELL)):
        best = market.book.best(side)
        if best is not None:
            view[name] = price(best)
    return view


SHORT_TICKER = (
    "symbol", "contractId", "timestamp", "lastPrice", "volume24", "amount24", "riseFallRate",
    "fairPrice", "indexPrice", "maxBidPrice", "minAskPrice", "lower24Price", "high24Price",
)  # fmt: skip


def short_ticker(market: Market, now_ms: int) -> dict[str, Any]:
    """Element of push.tickers (7.1)."""
    full = ticker(market, now_ms, rest=False)
    return {name: full[name] for name in SHORT_TICKER}


def funding(market: Market, now_ms: int) -> dict[str, Any]:
    """funding_rate element (13)."""
    return {
        "symbol": market.symbol,
        "fundingRate": market.funding_rate,
        "maxFundingRate": FUNDING_BOUND,
        "minFundingRate": -FUNDING_BOUND,
        "collectCycle": max(1, market.cycle_ms // HOUR_MS),
        "nextSettleTime": market.next_funding_ms,
        "timestamp": now_ms,
        "idxPrice": market.contract.price(market.index_tick),
        "fairPrice": market.contract.price(market.fair_tick),
    }

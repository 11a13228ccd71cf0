"""Market data over REST (protocol.md 13)."""

from __future__ import annotations

from typing import Any

from mexcfast.sim import views
from mexcfast.sim.accounts import ZERO
from mexcfast.sim.calls import Call, paged
from mexcfast.sim.candles import INTERVALS, Candles
from mexcfast.sim.checks import Refused
from mexcfast.sim.faults import Faults
from mexcfast.sim.market import HOUR_MS, Market
from mexcfast.sim.matching import BUY, SELL
from mexcfast.sim.settings import Variations
from mexcfast.sim.venue import Venue
from mexcfast.sim.wire import Raw

MOST_LEVELS = 1500
#: Spot does not trade here; some clients want to see one market of it all the same.
SPOT_MARKET: dict[str, Any] = {
    "symbol": "BTCUSDT",
    "status": "1",
    "baseAsset": "BTC",
    "baseAssetPrecision": 8,
    "quoteAsset": "USDT",
    "quotePrecision": 2,
    "quoteAssetPrecision": 2,
    "baseCommissionPrecision": 8,
    "quoteCommissionPrecision": 8,
    "orderTypes": ["LIMIT", "MARKET", "LIMIT_MAKER"],
    "isSpotTradingAllowed": True,
    "isMarginTradingAllowed": False,
    "quoteAmountPrecision": "1",
    "baseSizePrecision": "0.000001",
    "permissions": ["SPOT"],
    "filters": [],
    "maxQuoteAmount": "2000000",
    "makerCommission": "0",
    "takerCommission": "0.0005",
    "tradeSideType": 1,
}
MOST_DEALS = 100
MOST_COMMITS = 1000


class PublicHandlers:
    """One method per row of the endpoint table."""

    def __init__(self, venue: Venue, faults: Faults, variations: Variations) -> None:
        self.venue = venue
        self.faults = faults
        self.variations = variations

    def _market(self, call: Call) -> Market:
        return self.venue.market(call.params.need_text("symbol"))

    def _optional_market(self, call: Call) -> Market | None:
        symbol = call.params.text("symbol")
        return None if symbol is None else self.venue.market(symbol)

    def ping(self, call: Call) -> Any:
        """Server time."""
        return self.venue.clock_ms()

    def detail(self, call: Call) -> Any:
        """Contract, or all of them."""
        market = self._optional_market(call)
        if market is not None:
            return market.contract.describe()
        return [one.contract.describe() for one in self.venue.markets.values()]

    def support_currencies(self, call: Call) -> Any:
        """Settle currencies and coins."""
        markets = self.venue.markets.values()
        names = [m.contract.settle for m in markets] + [m.contract.base for m in markets]
        return list(dict.fromkeys(names))

    def depth(self, call: Call) -> Any:
        """Snapshot; agrees exactly with the pushes (10.1)."""
        market = self._market(call)
        limit = call.params.integer("limit")
        if limit is not None and limit < 1:
            raise Refused(600, f"limit {limit}: at least 1")
        limit = MOST_LEVELS if limit is None else min(limit, MOST_LEVELS)
        book = market.book
        version = book.version
        rule = self.faults.take_rest("snapshot_lag", symbol=market.symbol)
        if rule is not None:
            version -= min(rule.versions, len(book.commits))
            bids, asks = book.at(version)
            bids, asks = bids[:limit], asks[:limit]
        else:
            bids, asks = book.ladder(BUY, limit), book.ladder(SELL, limit)
        elements = self.variations.level_elements
        asks_text = views.levels_text(market.contract, asks, elements)
        bids_text = views.levels_text(market.contract, bids, elements)
        return Raw(
            f'{{"asks":{asks_text},"bids":{bids_text},"version":{version},'
            f'"timestamp":{self.venue.clock_ms()}}}'
        )

    def depth_commits(self, call: Call) -> Any:
        """Single-version commits, newest first."""
        market = self._market(call)
        limit = call.params.need_integer("limit")
        if limit < 1:
            raise Refused(600, f"limit {limit}: at least 1")
        if self.faults.take_rest("short_commits", symbol=market.symbol) is not None:
            limit = 1
        book = market.book
        commits = book.since(book.version - min(limit, MOST_COMMITS))
        elements = self.variations.level_elements
        texts = (views.commit_text(market.contract, one, elements) for one in reversed(commits))
        return Raw("[" + ",".join(texts) + "]")

    def index_price(self, call: Call) -> Any:
        """Index price."""
        market = self._market(call)
        price = market.contract.price(market.index_tick)
        now = self.venue.clock_ms()
        return {"symbol": market.symbol, "indexPrice": price, "timestamp": now}

    def fair_price(self, call: Call) -> Any:
        """Mark price."""
        market = self._market(call)
        now = self.venue.clock_ms()
        return {"symbol": market.symbol, "fairPrice": market.fair_price, "timestamp": now}

    def funding_rate(self, call: Call) -> Any:
        """Funding of one contract."""
        return views.funding(self._market(call), self.venue.clock_ms())

    def funding_rates(self, call: Call) -> Any:
        """Funding of all contracts."""
        now = self.venue.clock_ms()
        return [views.funding(one, now) for one in self.venue.markets.values()]

    def funding_history(self, call: Call) -> Any:
        """Rates of the settlements so far, newest first."""
        market = self._market(call)
        rows = [
            {
                "symbol": market.symbol,
                "fundingRate": rate,
                "settleTime": time_ms,
                "collectCycle": max(1, market.cycle_ms // HOUR_MS),
            }
            for time_ms, rate in reversed(market.funding_history)
        ]
        return paged(rows, *call.params.page(1000))

    def _kline(self, call: Call, candles: Candles) -> dict[str, Any]:
        interval = call.params.text("interval") or "Min1"
        interval = "Min60" if interval == "Hour1" else interval
        if interval not in INTERVALS:
            raise Refused(600, "interval is not supported")
        start, end = call.params.integer("start"), call.params.integer("end")
        return candles.columns(candles.windows(interval, start, end))

    def kline(self, call: Call) -> Any:
        """Candles of the trades since the start, at most 2000."""
        return self._kline(call, self._market(call).candles)

    def kline_index(self, call: Call) -> Any:
        """Candles of the index price, seen once a second; without volume."""
        return self._kline(call, self._market(call).index_candles)

    def kline_fair(self, call: Call) -> Any:
        """Candles of the fair price, seen once a second; without volume."""
        return self._kline(call, self._market(call).fair_candles)

    def deals(self, call: Call) -> Any:
        """Recent trades, newest first."""
        market = self._market(call)
        limit = call.params.integer("limit")
        if limit is not None and limit < 1:
            raise Refused(600, f"limit {limit}: at least 1")
        limit = MOST_DEALS if limit is None else min(limit, MOST_DEALS)
        newest = list(market.deals)[-limit:][::-1]
        with_id, as_int = self.variations.rest_deal_ids, self.variations.ids == "int"
        return [views.deal(market, one, push=with_id, ids_as_int=as_int) for one in newest]

    def ticker(self, call: Call) -> Any:
        """One ticker or all."""
        market = self._optional_market(call)
        now = self.venue.clock_ms()
        if market is not None:
            return views.ticker(market, now, rest=True)
        return [views.ticker(one, now, rest=True) for one in self.venue.markets.values()]

    def risk_reverse(self, call: Call) -> Any:
        """Insurance fund of each contract."""
        market = self._optional_market(call)
        chosen = list(self.venue.markets.values()) if market is None else [market]
        now = self.venue.clock_ms()
        moved = self.venue.ledger.insurance
        return [
            {
                "symbol": one.symbol,
                "currency": one.contract.settle,
                "available": one.insurance_start + moved.get(one.symbol, ZERO),
                "timestamp": now,
            }
            for one in chosen
        ]

    def risk_reverse_history(self, call: Call) -> Any:
        """The insurance fund hourly and after every change, newest first."""
        market = self._market(call)
        rows = [
            {
                "symbol": market.symbol,
                "currency": market.contract.settle,
                "available": amount,
                "snapshotTime": time_ms,
            }
            for time_ms, amount in reversed(market.insurance_history)
        ]
        return paged(rows, *call.params.page(100))

    def spot_exchange_info(self, call: Call) -> Any:
        """Stub so that clients which also load spot can start."""
        return {"symbols": [SPOT_MARKET] if self.variations.spot_market else []}

    def spot_currencies(self, call: Call) -> Any:
        """Stub so that clients which also load spot can start."""
        return []


"""Market data over REST, no keys needed (protocol.md 13). The streams: client.MarketData."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import cast

from mexcfast.net.surface import Surface, serves, walk
from mexcfast.statements import InsuranceFund
from mexcfast.types import Candle, Contract, Depth, FundingRate, PriceTick, Ticker, Trade


class MarketApi(Surface):
    """Every public endpoint. Times in ms of the venue's clock unless their name ends in _s."""

    @serves("ping")
    async def ping(self) -> int:
        """The venue's clock, ms."""
        return cast(int, await self._read("ping"))

    @serves("contracts", "contracts_by_country")
    async def contracts(self, symbol: str | None = None, *, by_country: bool = False
                        ) -> tuple[Contract, ...]:
        """Every contract, or one. by_country: with the leverage allowed where the caller is."""
        name = "contracts_by_country" if by_country else "contracts"
        return cast(tuple[Contract, ...], await self._read(name, symbol=symbol))

    @serves("support_currencies")
    async def currencies(self) -> tuple[str, ...]:
        """Currencies that can be margin."""
        return cast(tuple[str, ...], await self._read("support_currencies"))

    @serves("depth")
    async def depth(self, symbol: str, limit: int | None = None) -> Depth:
        """The book once; limit cuts each side. To follow a book use Client.book()."""
        return cast(Depth, await self._read("depth", {"symbol": symbol}, limit=limit))

    @serves("depth_commits")
    async def depth_commits(self, symbol: str, limit: int) -> tuple[Depth, ...]:
        """The last changes of the book, as the venue orders them."""
        return cast(tuple[Depth, ...], await self._read(
            "depth_commits", {"symbol": symbol, "limit": limit}))

    @serves("index_price")
    async def index_price(self, symbol: str) -> PriceTick:
        """Index price."""
        return cast(PriceTick, await self._read("index_price", {"symbol": symbol}))

    @serves("fair_price")
    async def fair_price(self, symbol: str) -> PriceTick:
        """Fair (mark) price."""
        return cast(PriceTick, await self._read("fair_price", {"symbol": symbol}))

    @serves("funding_rate")
    async def funding_rate(self, symbol: str) -> FundingRate:
        """Funding rate of one contract."""
        return cast(FundingRate, await self._read("funding_rate", {"symbol": symbol}))

    @serves("funding_rates")
    async def funding_rates(self) -> tuple[FundingRate, ...]:
        """Funding rates of every contract."""
        return cast(tuple[FundingRate, ...], await self._read("funding_rates"))

    @serves("funding_history")
    async def funding_history(self, symbol: str, page: int = 1, page_size: int = 100
                              ) -> tuple[FundingRate, ...]:
        """One page of settled rates, newest first; up to 1000 a page."""
        return cast(tuple[FundingRate, ...], await self._read(
            "funding_history", symbol=symbol, page_num=page, page_size=page_size))

    def iterate_funding_history(self, symbol: str, page_size: int = 100
                                ) -> AsyncIterator[FundingRate]:
        """Every settled rate, newest first."""
        return walk(lambda page: self.funding_history(symbol, page, page_size), page_size)

    @serves("kline")
    async def kline(self, symbol: str, interval: str = "Min1", *, start_s: int | None = None,
                    end_s: int | None = None) -> tuple[Candle, ...]:
        """Candles, at most 2000, oldest first; bounds in seconds. Intervals: protocol.md 11.7."""
        return await self._candles("kline", symbol, interval, start_s, end_s)

    @serves("kline_index_price")
    async def kline_index_price(self, symbol: str, interval: str = "Min1", *,
                                start_s: int | None = None, end_s: int | None = None
                                ) -> tuple[Candle, ...]:
        """Candles of the index price; without quantities."""
        return await self._candles("kline_index_price", symbol, interval, start_s, end_s)

    @serves("kline_fair_price")
    async def kline_fair_price(self, symbol: str, interval: str = "Min1", *,
                               start_s: int | None = None, end_s: int | None = None
                               ) -> tuple[Candle, ...]:
        """Candles of the fair price; without quantities."""
        return await self._candles("kline_fair_price", symbol, interval, start_s, end_s)

    async def _candles(self, name: str, symbol: str, interval: str, start_s: int | None,
                       end_s: int | None) -> tuple[Candle, ...]:
        return cast(tuple[Candle, ...], await self._read(
            name, {"symbol": symbol}, interval=interval, start=start_s, end=end_s))

    @serves("deals")
    async def deals(self, symbol: str, limit: int | None = None) -> tuple[Trade, ...]:
        """The last trades, newest first; at most 100."""
        return cast(tuple[Trade, ...], await self._read("deals", {"symbol": symbol}, limit=limit))

    @serves("tickers")
    async def tickers(self, symbol: str | None = None) -> tuple[Ticker, ...]:
        """Every contract's ticker, or one."""
        return cast(tuple[Ticker, ...], await self._read("tickers", symbol=symbol))

    @serves("insurance_funds", "insurance_fund")
    async def insurance_funds(self, symbol: str | None = None) -> tuple[InsuranceFund, ...]:
        """Insurance funds of every contract, or of one."""
        if symbol is None:
            return cast(tuple[InsuranceFund, ...], await self._read("insurance_funds"))
        return cast(tuple[InsuranceFund, ...],
                    await self._read("insurance_fund", {"symbol": symbol}))

    @serves("insurance_history")
    async def insurance_history(self, symbol: str, page: int = 1, page_size: int = 20
                                ) -> tuple[InsuranceFund, ...]:
        """One page of the fund's snapshots, newest first; up to 100 a page."""
        return cast(tuple[InsuranceFund, ...], await self._read(
            "insurance_history", symbol=symbol, page_num=page, page_size=page_size))

    def iterate_insurance_history(self, symbol: str, page_size: int = 100
                                  ) -> AsyncIterator[InsuranceFund]:
        """Every snapshot of the fund, newest first."""
        return walk(lambda page: self.insurance_history(symbol, page, page_size), page_size)

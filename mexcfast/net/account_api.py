"""The account over REST: balances, transfers, fees, analysis, self-trade groups (14, 16.7)."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from decimal import Decimal
from enum import IntEnum
from typing import Literal, cast

from mexcfast.net.surface import Surface, serves, walk
from mexcfast.statements import FeeDetail, LeverageTier, SelfTradeGroup, Transfer
from mexcfast.types import Balance, Outcome, PositionType, Record


class Margin(IntEnum):
    """11.8 reverse: which contracts an analysis covers."""

    ALL = 0
    USDT = 1
    COIN = 2
    USDC = 3


class AccountApi(Surface):
    """Every account endpoint. Times in ms of the venue's clock; pages count from 1.

    A Record has the venue's members under snake_case names, numbers exact.
    """

    @serves("balances")
    async def balances(self) -> tuple[Balance, ...]:
        """Every currency."""
        return cast(tuple[Balance, ...], await self._read("balances"))

    @serves("balance")
    async def balance(self, currency: str) -> Balance:
        """One currency."""
        return cast(Balance, await self._read("balance", {"currency": currency}))

    @serves("transfers")
    async def transfers(self, currency: str | None = None, *,
                        direction: Literal["IN", "OUT"] | None = None,
                        state: Literal["WAIT", "SUCCESS", "FAILED"] | None = None, page: int = 1,
                        page_size: int = 20) -> tuple[Transfer, ...]:
        """One page of transfers; up to 100 a page."""
        return cast(tuple[Transfer, ...], await self._read(
            "transfers", currency=currency, type=direction, state=state, page_num=page,
            page_size=page_size))

    def iterate_transfers(self, currency: str | None = None, page_size: int = 100
                          ) -> AsyncIterator[Transfer]:
        """Every transfer."""
        return walk(lambda page: self.transfers(currency, page=page, page_size=page_size),
                    page_size)

    # -- fees ------------------------------------------------------------------------------------

    @serves("fee_details")
    async def fee_details(self, symbol: str, *, fill_ids: Sequence[int] = (),
                          start_ms: int | None = None, end_ms: int | None = None, page: int = 1,
                          page_size: int = 20) -> tuple[FeeDetail, ...]:
        """One page of fees of fills; the last 7 days unless told otherwise, at most 20 ids."""
        return cast(tuple[FeeDetail, ...], await self._read(
            "fee_details", symbol=symbol, ids=list(fill_ids) or None, start_time=start_ms,
            end_time=end_ms, page_num=page, page_size=page_size))

    def iterate_fee_details(self, symbol: str, *, start_ms: int | None = None,
                            end_ms: int | None = None, page_size: int = 20
                            ) -> AsyncIterator[FeeDetail]:
        """Every fee of one contract's fills."""
        return walk(lambda page: self.fee_details(symbol, start_ms=start_ms, end_ms=end_ms,
                                                  page=page, page_size=page_size), page_size)

    @serves("fee_total")
    async def fee_total(self) -> Record:
        """Fees paid and saved in 30 days: total_fee, save_fee."""
        return cast(Record, await self._read("fee_total"))

    @serves("tiered_fee_rate", "tiered_fee_rate_v1")
    async def tiered_fee_rate(self, symbol: str | None = None, *, version: Literal[1, 2] = 2
                              ) -> Record:
        """The account's fee rates: real_maker_fee, real_taker_fee ... version: of the address."""
        name = "tiered_fee_rate" if version == 2 else "tiered_fee_rate_v1"
        return cast(Record, await self._read(name, symbol=symbol))

    @serves("fee_rate")
    async def fee_rate(self, symbol: str | None = None) -> tuple[Record, ...]:
        """Fee rates by contract (withdrawn 2026-05)."""
        return cast(tuple[Record, ...], await self._read("fee_rate", symbol=symbol))

    @serves("zero_fee_rate")
    async def zero_fee_rate(self, symbol: str | None = None) -> Record:
        """Contracts without fees (withdrawn 2026-05)."""
        return cast(Record, await self._read("zero_fee_rate", symbol=symbol))

    @serves("fee_deduct_configs")
    async def fee_deduct_configs(self) -> tuple[Record, ...]:
        """Coins that fees can be paid with: deduct_coin, settle_coin, discount_ratio."""
        return cast(tuple[Record, ...], await self._read("fee_deduct_configs"))

    @serves("fee_discount_config")
    async def fee_discount_config(self) -> tuple[Record, ...]:
        """Discounts for holders; discount_config is JSON text."""
        return cast(tuple[Record, ...], await self._read("fee_discount_config"))

    @serves("discount_type")
    async def discount_type(self) -> Record:
        """use_fee_discount, use_fee_deduct."""
        return cast(Record, await self._read("discount_type"))

    # -- risk ------------------------------------------------------------------------------------

    @serves("risk_limit")
    async def risk_limit(self, symbol: str | None = None
                         ) -> Mapping[str, tuple[LeverageTier, ...]]:
        """Risk tiers by contract."""
        return cast(Mapping[str, tuple[LeverageTier, ...]],
                    await self._read("risk_limit", symbol=symbol))

    @serves("change_risk_level")
    async def change_risk_level(self, symbol: str, level: int, position_type: PositionType
                                ) -> Outcome:
        """Withdrawn by the venue: always Rejected with 8817."""
        return await self._write("change_risk_level", {
            "symbol": symbol, "level": level, "positionType": int(position_type)})

    # -- analysis --------------------------------------------------------------------------------

    @serves("profit_rate")
    async def profit_rate(self, days: Literal[1, 7] = 1) -> Record:
        """Rank and profit rate of the last day or week."""
        return cast(Record, await self._read("profit_rate", {"type": 1 if days == 1 else 2}))

    @serves("analysis")
    async def analysis(self, currency: str, type: Literal[1, 2, 3, 4] = 3, *,
                       start_ms: int | None = None, end_ms: int | None = None) -> Record:
        """Profit history; type: 1 this week, 2 this month, 3 all, 4 between the two times."""
        return cast(Record, await self._read("analysis", {"type": type}, currency=currency,
                                             startTime=start_ms, endTime=end_ms))

    @serves("pnl_yesterday")
    async def pnl_yesterday(self) -> Decimal:
        """Yesterday's profit, USDT."""
        return cast(Decimal, await self._read("pnl_yesterday"))

    @serves("pnl_today")
    async def pnl_today(self, margin: Margin = Margin.ALL, *, unrealised: bool = False) -> Record:
        """today_pnl, today_pnl_rate, today_pnl_finished."""
        return cast(Record, await self._read("pnl_today", reverse=int(margin),
                                             includeUnrealisedPnl=int(unrealised)))

    @serves("analysis_v3")
    async def analysis_v3(self, start_ms: int, end_ms: int, *, margin: Margin = Margin.ALL,
                          unrealised: bool = False, symbol: str | None = None) -> Record:
        """Profit history between two times."""
        return cast(Record, await self._ask(
            "analysis_v3", startTime=start_ms, endTime=end_ms, reverse=int(margin),
            includeUnrealisedPnl=int(unrealised), symbol=symbol))

    @serves("analysis_daily")
    async def analysis_daily(self, start_ms: int, end_ms: int, *, margin: Margin = Margin.ALL,
                             unrealised: bool = False) -> Record:
        """Profit by day."""
        return cast(Record, await self._ask(
            "analysis_daily", startTime=start_ms, endTime=end_ms, reverse=int(margin),
            includeUnrealisedPnl=int(unrealised)))

    @serves("analysis_monthly")
    async def analysis_monthly(self, *, margin: Margin = Margin.ALL, unrealised: bool = False
                               ) -> Record:
        """Profit by month."""
        return cast(Record, await self._ask("analysis_monthly", reverse=int(margin),
                                            includeUnrealisedPnl=int(unrealised)))

    @serves("analysis_recent")
    async def analysis_recent(self, *, margin: Margin = Margin.ALL, unrealised: bool = False,
                              symbol: str | None = None) -> Record:
        """Profit of the last 60 to 360 days."""
        return cast(Record, await self._ask(
            "analysis_recent", reverse=int(margin), includeUnrealisedPnl=int(unrealised),
            symbol=symbol))

    @serves("analysis_export")
    async def analysis_export(self, *, start_ms: int | None = None, end_ms: int | None = None,
                              margin: Margin = Margin.ALL, unrealised: bool = False,
                              symbol: str | None = None, pdf: bool = False,
                              language: str | None = None) -> bytes:
        """The statement as a file: Excel, or PDF."""
        return await self._executor.download("analysis_export", {
            "startTime": start_ms, "endTime": end_ms, "reverse": int(margin),
            "includeUnrealisedPnl": int(unrealised), "symbol": symbol,
            "fileType": 2 if pdf else 1, "language": language})

    # -- self-trade prevention -------------------------------------------------------------------

    @serves("stp_groups")
    async def self_trade_groups(self, name: str | None = None) -> tuple[SelfTradeGroup, ...]:
        """Groups of accounts that must not trade with each other (market makers)."""
        return cast(tuple[SelfTradeGroup, ...], await self._read("stp_groups", configName=name))

    @serves("stp_group")
    async def own_self_trade_group(self) -> SelfTradeGroup | None:
        """The group this account is in; None without one."""
        return cast("SelfTradeGroup | None", await self._read("stp_group"))

    @serves("stp_create")
    async def create_self_trade_group(self, name: str, user_ids: Sequence[int]) -> Outcome:
        """A new group."""
        return await self._write("stp_create", {"configName": name, "blacklist": list(user_ids)})

    @serves("stp_update")
    async def update_self_trade_group(self, name: str, user_ids: Sequence[int]) -> Outcome:
        """Other members for a group."""
        return await self._write("stp_update", {"configName": name, "blacklist": list(user_ids)})

    @serves("stp_delete")
    async def delete_self_trade_group(self, name: str) -> Outcome:
        """Dissolve a group."""
        return await self._write("stp_delete", {"configName": name})

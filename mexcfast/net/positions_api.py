"""Positions over REST: holdings, leverage, margin, mode (protocol.md 15)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from decimal import Decimal
from typing import cast

from mexcfast.core.intent import exact_decimal
from mexcfast.core.rest import Subject
from mexcfast.core.throttle import Lane
from mexcfast.errors import IntentError
from mexcfast.net.surface import Surface, serves, walk
from mexcfast.statements import FundingRecord, LeverageTier
from mexcfast.types import LeverageMode, OpenType, Outcome, Position, PositionMode, PositionType

Number = int | str | float | Decimal


class PositionsApi(Surface):
    """Every position endpoint. Times in ms of the venue's clock; quantities in contracts."""

    @serves("positions")
    async def open(self, symbol: str | None = None, position_id: int | None = None
                   ) -> tuple[Position, ...]:
        """Positions held now."""
        return cast(tuple[Position, ...], await self._read(
            "positions", symbol=symbol, positionId=position_id))

    @serves("position_history", "position_history_paged")
    async def history(self, symbol: str | None = None, *, type: PositionType | None = None,
                      start_ms: int | None = None, end_ms: int | None = None, page: int = 1,
                      page_size: int = 100, paged: bool = False) -> tuple[Position, ...]:
        """One page of closed positions; up to 100 a page. paged: the withdrawn address."""
        if paged:
            return cast(tuple[Position, ...], await self._read(
                "position_history_paged", symbol=symbol, type=type, page_num=page,
                page_size=page_size))
        return cast(tuple[Position, ...], await self._read(
            "position_history", symbol=symbol, position_type=type, start_time=start_ms,
            end_time=end_ms, page_num=page, page_size=page_size))

    def iterate_history(self, symbol: str | None = None, *, start_ms: int | None = None,
                        end_ms: int | None = None, page_size: int = 100
                        ) -> AsyncIterator[Position]:
        """Every closed position."""
        return walk(lambda page: self.history(symbol, start_ms=start_ms, end_ms=end_ms, page=page,
                                              page_size=page_size), page_size)

    @serves("funding_records")
    async def funding(self, symbol: str | None = None, *, position_id: int | None = None,
                      type: PositionType | None = None, start_ms: int | None = None,
                      end_ms: int | None = None, page: int = 1, page_size: int = 100
                      ) -> tuple[FundingRecord, ...]:
        """One page of funding paid and received; up to 100 a page."""
        return cast(tuple[FundingRecord, ...], await self._read(
            "funding_records", symbol=symbol, position_id=position_id, position_type=type,
            start_time=start_ms, end_time=end_ms, page_num=page, page_size=page_size))

    def iterate_funding(self, symbol: str | None = None, *, start_ms: int | None = None,
                        end_ms: int | None = None, page_size: int = 100
                        ) -> AsyncIterator[FundingRecord]:
        """Every funding payment."""
        return walk(lambda page: self.funding(symbol, start_ms=start_ms, end_ms=end_ms, page=page,
                                              page_size=page_size), page_size)

    @serves("leverage")
    async def leverage(self, symbol: str) -> tuple[LeverageTier, ...]:
        """What is set and allowed, by direction and margin mode."""
        return cast(tuple[LeverageTier, ...], await self._read("leverage", symbol=symbol))

    @serves("change_leverage")
    async def change_leverage(self, leverage: int, *, position_id: int | None = None,
                              symbol: str | None = None, open_type: OpenType | None = None,
                              type: PositionType | None = None, mode: LeverageMode | None = None,
                              margin_selected: bool | None = None,
                              leverage_selected: bool | None = None,
                              wait: bool | None = None) -> Outcome:
        """With a position: position_id. Without: symbol, open_type and type."""
        if position_id is None and (symbol is None or open_type is None or type is None):
            raise IntentError("position_id", None, "an id, or symbol, open_type and type")
        members = {"positionId": position_id, "leverage": leverage, "symbol": symbol,
                   "openType": open_type, "positionType": type, "leverageMode": mode,
                   "marginSelected": margin_selected, "leverageSelected": leverage_selected}
        return await self._write("change_leverage", members, Subject(symbol), wait)

    @serves("change_margin")
    async def change_margin(self, position_id: int, amount: Number, *, wait: bool | None = None
                            ) -> Outcome:
        """Move margin into an isolated position, or out of it with a negative amount."""
        number = exact_decimal("amount", amount)
        if not number:
            raise IntentError("amount", amount, "a number that is not 0")
        return await self._write("change_margin", {
            "positionId": position_id, "amount": abs(number),
            "type": "ADD" if number > 0 else "SUB"}, wait=wait)

    @serves("change_auto_margin")
    async def change_auto_margin(self, position_id: int, enabled: bool) -> Outcome:
        """Switch automatic margin top-up."""
        return await self._write("change_auto_margin", {
            "positionId": position_id, "isEnabled": bool(enabled)})

    @serves("position_mode")
    async def mode(self) -> PositionMode:
        """Hedge or one-way."""
        return PositionMode(await self._read("position_mode"))

    @serves("change_position_mode")
    async def change_mode(self, mode: PositionMode) -> Outcome:
        """Refused by the venue while orders, plans or positions exist."""
        return await self._write("change_position_mode", {"positionMode": int(mode)})

    @serves("reverse_position")
    async def reverse(self, symbol: str, position_id: int, quantity: Number, *,
                      wait: bool | None = None) -> Outcome:
        """Turn a position round. Its result comes by stream: events.ReversePosition."""
        return await self._write("reverse_position", {
            "symbol": symbol, "positionId": position_id,
            "vol": exact_decimal("quantity", quantity)}, Subject(symbol), wait)

    @serves("close_all")
    async def close_all(self, *, wait: bool = True) -> Outcome:
        """Close every position at market. A failure comes by stream: events.CloseAllFailed."""
        return await self._executor.execute("close_all", wait=wait, lane=Lane.REDUCE)

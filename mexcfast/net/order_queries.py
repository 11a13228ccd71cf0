"""Reads of ordinary orders and fills over REST (protocol.md 16.3)."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Sequence
from typing import Literal, cast

from mexcfast.core.intent import external_body
from mexcfast.net.surface import Surface, serves, walk
from mexcfast.types import (
    Balance,
    Fill,
    Order,
    OrderCategory,
    OrderCounts,
    OrderState,
    Position,
    Side,
)

#: The same list under its other addresses, documented or withdrawn, should the venue move back.
Spelling = Literal["list", "by symbol", "paged", "paged by symbol"]


class OrderQueries(Surface):
    """Every query of ordinary orders. Times in ms of the venue's clock; pages count from 1."""

    @serves("order")
    async def get(self, order_id: int) -> Order:
        """One order by the venue's id. Raises NotFound."""
        return cast(Order, await self._read("order", {"orderId": order_id}))

    @serves("order_by_external")
    async def get_by_client_id(self, symbol: str, client_order_id: str) -> Order:
        """One order by client order id. Raises NotFound."""
        return cast(Order, await self._read("order_by_external", {
            "symbol": symbol, "external_oid": client_order_id}))

    @serves("orders")
    async def get_many(self, order_ids: Sequence[int]) -> tuple[Order, ...]:
        """Up to 50 orders by the venue's ids; unknown ones are left out."""
        return cast(tuple[Order, ...], await self._read("orders", order_ids=list(order_ids)))

    @serves("orders_by_external")
    async def get_many_by_client_id(self, symbol: str, client_order_ids: Iterable[str]
                                    ) -> tuple[Order, ...]:
        """Up to 50 orders of one contract by client order ids; unknown ones are left out."""
        body = external_body((symbol, name) for name in client_order_ids)
        return cast(tuple[Order, ...],
                    await self._executor.request("orders_by_external", body=body))

    @serves("open_orders", "open_orders_of", "open_orders_paged", "open_orders_paged_of")
    async def open(self, symbol: str | None = None, page: int = 1, page_size: int = 100, *,
                   spelling: Spelling = "list") -> tuple[Order, ...]:
        """One page of open orders; a page shorter than page_size is the last.

        spelling: another address of the same list; those by symbol need one.
        """
        if spelling == "list":
            orders = await self._read("open_orders", symbol=symbol, page_num=page,
                                      page_size=page_size)
        elif spelling == "paged":
            orders = await self._read("open_orders_paged", page_num=page, page_size=page_size)
        else:
            name = "open_orders_of" if spelling == "by symbol" else "open_orders_paged_of"
            orders = await self._read(name, {"symbol": symbol or ""}, page_num=page,
                                      page_size=page_size)
        return cast(tuple[Order, ...], orders)

    def iterate_open(self, symbol: str | None = None, page_size: int = 100
                     ) -> AsyncIterator[Order]:
        """Every open order, page by page."""
        return walk(lambda page: self.open(symbol, page, page_size), page_size)

    @serves("history", "history_paged")
    async def history(self, symbol: str | None = None, *, states: Sequence[OrderState] = (),
                      side: Side | None = None, category: OrderCategory | None = None,
                      order_id: int | None = None, start_ms: int | None = None,
                      end_ms: int | None = None, page: int = 1, page_size: int = 100,
                      paged: bool = False) -> tuple[Order, ...]:
        """One page of past orders; the venue covers the last 7 days unless told otherwise.

        paged: ask the withdrawn address instead.
        """
        return cast(tuple[Order, ...], await self._read(
            "history_paged" if paged else "history", symbol=symbol, states=list(states) or None,
            side=side, category=category, orderId=order_id, startTime=start_ms, endTime=end_ms,
            page_num=page, page_size=page_size))

    def iterate_history(self, symbol: str | None = None, *, states: Sequence[OrderState] = (),
                        start_ms: int | None = None, end_ms: int | None = None,
                        page_size: int = 100) -> AsyncIterator[Order]:
        """Every past order, newest first, page by page."""
        return walk(lambda page: self.history(
            symbol, states=states, start_ms=start_ms, end_ms=end_ms, page=page,
            page_size=page_size), page_size)

    @serves("closed_orders", "closed_orders_unlisted")
    async def closed(self, symbol: str, *, start_ms: int | None = None, end_ms: int | None = None,
                     page: int = 1, page_size: int = 100, unlisted: bool = False
                     ) -> tuple[Order, ...]:
        """One page of finished orders of one contract, up to 1000 a page.

        unlisted: ask the withdrawn address instead.
        """
        return cast(tuple[Order, ...], await self._read(
            "closed_orders_unlisted" if unlisted else "closed_orders", symbol=symbol,
            start_time=start_ms, end_time=end_ms, page_num=page, page_size=page_size))

    @serves("fills", "fills_v1")
    async def fills(self, symbol: str, *, start_ms: int | None = None, end_ms: int | None = None,
                    page: int = 1, page_size: int = 100, version: Literal[1, 3] = 3
                    ) -> tuple[Fill, ...]:
        """One page of executions in one contract. version: of the address; 1 is the older one."""
        return cast(tuple[Fill, ...], await self._read(
            "fills" if version == 3 else "fills_v1", symbol=symbol, start_time=start_ms,
            end_time=end_ms, page_num=page, page_size=page_size))

    def iterate_fills(self, symbol: str, *, start_ms: int | None = None,
                      end_ms: int | None = None, page_size: int = 100) -> AsyncIterator[Fill]:
        """Every execution in one contract, newest first, page by page."""
        return walk(lambda page: self.fills(symbol, start_ms=start_ms, end_ms=end_ms, page=page,
                                            page_size=page_size), page_size)

    @serves("order_fills")
    async def fills_of(self, order_id: int, symbol: str | None = None) -> tuple[Fill, ...]:
        """The executions of one order."""
        return cast(tuple[Fill, ...],
                    await self._read("order_fills", {"orderId": order_id}, symbol=symbol))

    @serves("open_order_counts")
    async def counts(self) -> OrderCounts:
        """How many orders of each kind are open."""
        return cast(OrderCounts, await self._ask("open_order_counts"))

    # -- the account, for those who need no more than this ---------------------------------------

    async def balances(self) -> tuple[Balance, ...]:
        """Every currency of the account; more in Client.account."""
        balances: tuple[Balance, ...] = await self._executor.request("balances")
        return balances

    async def positions(self, symbol: str | None = None) -> tuple[Position, ...]:
        """Open positions; more in Client.positions."""
        positions: tuple[Position, ...] = await self._executor.request(
            "positions", params={"symbol": symbol})
        return positions

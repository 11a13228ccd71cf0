"""Reports the node asks for: at the start, when it is in doubt itself, and in its own checks."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from typing import Any

import mexcfast as mx
from mexcfast.adapters.nautilus import names
from mexcfast.adapters.nautilus.names import NS_PER_MS
from mexcfast.adapters.nautilus.reports import own_name
from mexcfast.adapters.nautilus.teller import Teller, amended_before
from mexcfast.errors import MexcfastError, NotFound
from mexcfast.types import Order

WEEK_MS = 7 * 86_400_000        # what the venue shows unless asked for more
CAUGHT_UP = 200                 # hundredths of a second that the node may take to take fills in


class StatusReports:
    """Answers the questions of one execution client."""

    def __init__(self, owner: Any, teller: Teller) -> None:
        self._owner = owner
        self._teller = teller

    async def order(self, command: Any) -> Any:
        """See MEXCExecutionClient.generate_order_status_report."""
        client, name = self._owner.live(), command.client_order_id
        tracked = self._owner._tracked(name, command.venue_order_id)
        order_id = tracked.order_id if tracked is not None else None
        if order_id is None and command.venue_order_id is not None:
            order_id = int(str(command.venue_order_id))
        try:
            if order_id is not None:
                found = await client.orders.get(order_id)
            elif command.instrument_id is not None and name is not None:
                found = await client.orders.get_by_client_id(
                    names.symbol_of(command.instrument_id), str(name))
            else:
                return None
        except NotFound:
            return None
        except MexcfastError as error:
            self._owner._log.warning(f"{name or order_id} could not be read: {error}")
            return None
        await self._caught_up(client, found)
        return self._report(found)

    async def orders(self, command: Any) -> list[Any]:
        """See MEXCExecutionClient.generate_order_status_reports."""
        client = self._owner.live()
        symbol = None if command.instrument_id is None else names.symbol_of(command.instrument_id)
        found: dict[int, Order] = {}
        async for order in client.orders.iterate_open(symbol):
            found[order.order_id] = order
        if not command.open_only:
            start_ms, end_ms = self._period(command)
            async for order in client.orders.iterate_history(symbol, start_ms=start_ms,
                                                             end_ms=end_ms):
                if order.is_final or order.order_id not in found:
                    found[order.order_id] = order
        reports = []
        for order in sorted(found.values(), key=lambda each: (each.ts_created_ms, each.order_id)):
            if not self._owner.reconciliation_active:
                await self._caught_up(client, order)
            report = self._report(order)
            if report is not None:
                reports.append(report)
        return reports

    async def fills(self, command: Any) -> list[Any]:
        """See MEXCExecutionClient.generate_fill_reports."""
        client = self._owner.live()
        start_ms, end_ms = self._period(command)
        fills: dict[int, Any] = {}
        if command.venue_order_id is not None:
            symbol = (None if command.instrument_id is None
                      else names.symbol_of(command.instrument_id))
            for fill in await client.orders.fills_of(int(str(command.venue_order_id)), symbol):
                fills[fill.fill_id] = fill
        else:
            for symbol in await self._symbols(client, command, start_ms, end_ms):
                async for fill in client.orders.iterate_fills(symbol, start_ms=start_ms,
                                                              end_ms=end_ms):
                    fills[fill.fill_id] = fill
        reports = []
        for fill in sorted(fills.values(), key=lambda each: (each.ts_venue_ms, each.fill_id)):
            instrument = self._owner.instrument(fill.symbol)
            if instrument is not None:
                told = self._teller.orders.by_id(fill.order_id)
                name = told.name if told is not None else own_name(fill.client_order_id)
                reports.append(self._owner.reports.fill(fill, instrument, name))
        return reports

    async def positions(self, command: Any) -> list[Any]:
        """See MEXCExecutionClient.generate_position_status_reports."""
        client, asked = self._owner.live(), command.instrument_id
        symbol = None if asked is None else names.symbol_of(asked)
        reports = []
        for position in await client.positions.open(symbol):
            instrument = self._owner.instrument(position.symbol)
            if position.quantity and instrument is not None:
                reports.append(self._owner.reports.position(position, instrument))
        if not reports and asked is not None and not self._owner.reports.hedge:
            instrument = self._owner.instrument(symbol)
            if instrument is not None:
                reports.append(self._owner.reports.flat(instrument))
        return reports

    def _period(self, command: Any) -> tuple[int, int | None]:
        now_ms = self._owner._clock.timestamp_ns() // NS_PER_MS
        start_ms = (now_ms - WEEK_MS if command.start is None
                    else command.start.value // NS_PER_MS)
        return start_ms, None if command.end is None else command.end.value // NS_PER_MS

    async def _symbols(self, client: mx.Client, command: Any, start_ms: int, end_ms: int | None
                       ) -> list[str]:
        """Contracts with fills to ask for: the venue takes one at a time."""
        if command.instrument_id is not None:
            return [names.symbol_of(command.instrument_id)]
        symbols = {position.symbol for position in await client.positions.open()}
        async for order in client.orders.iterate_open():
            symbols.add(order.symbol)
        async for order in client.orders.iterate_history(start_ms=start_ms, end_ms=end_ms):
            if order.filled_quantity:
                symbols.add(order.symbol)
        return sorted(each for each in symbols if self._owner.instrument(each) is not None)

    def _report(self, order: Order) -> Any:
        """None for a contract that is not loaded, and for an order that an amend has replaced."""
        instrument = self._owner.instrument(order.symbol)
        if instrument is None:
            return None
        told = self._teller.orders.by_id(order.order_id)
        if told is not None:
            if told.order_id != order.order_id:
                return None
            return self._owner.reports.order(order, instrument, told.name, before=told.before)
        name, before = own_name(order.client_order_id), Decimal(0)
        cached = self._teller.cached(order.order_id, order.client_order_id)
        if cached is not None:
            number = names.venue_order_id(order.order_id)
            is_other = cached.venue_order_id is not None and cached.venue_order_id != number
            if is_other and number in cached.venue_order_ids:
                return None
            name, before = cached.client_order_id, amended_before(cached, order.quantity)
        return self._owner.reports.order(order, instrument, name, before=before)

    async def _caught_up(self, client: mx.Client, order: Order) -> None:
        """Fills first: a report that is ahead of them would make the node invent some."""
        if not order.filled_quantity:
            return
        tracked = client.orders.find(order.order_id)
        told = self._teller.orders.by_id(order.order_id)
        if tracked is None or told is None or not tracked.is_ours:
            return
        known = sum((fill.quantity for fill in tracked.fills), Decimal(0))
        if known < order.filled_quantity:
            await self._teller.catch_up(tracked)
        cached = self._owner._cache.order(told.name)
        if cached is None:
            return
        for _ in range(CAUGHT_UP):      # the node's queue tells nobody when it has taken it in
            if cached.filled_qty.as_decimal() >= order.filled_quantity + told.before:
                return
            await asyncio.sleep(0.01)
        self._owner._log.warning(f"{told.name}: the node has not taken in all fills yet")

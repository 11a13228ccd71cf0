"""The class itself: stock ccxt.pro.mexc with our rooms in front of it."""

from __future__ import annotations

from typing import Any

import ccxt.pro  # type: ignore[import-untyped]

from mexcfast.adapters.ccxt.books import Books
from mexcfast.adapters.ccxt.engine import Engine
from mexcfast.adapters.ccxt.extras import HAS, Extras
from mexcfast.adapters.ccxt.fields import DEFAULTS, Fields
from mexcfast.adapters.ccxt.rest import Rest
from mexcfast.adapters.ccxt.streams import Streams

Params = dict[str, Any]


class mexc(Streams, Books, Rest, Extras, Engine, Fields, ccxt.pro.mexc):  # type: ignore[misc]
    """ccxt.pro.mexc on mexcfast. Structures are ccxt's; options['mexcfast']: fields.DEFAULTS."""

    def __init__(self, config: Params = {}) -> None:  # noqa: B006 - ccxt's way
        super().__init__(config)
        self._start_fields()
        self._start_books()
        self._start_streams()
        self._start_rest()
        self._start_engine()

    def describe(self) -> Any:
        return self.deep_extend(super().describe(),
                                {"has": HAS, "options": {"mexcfast": dict(DEFAULTS)}})

    async def close(self, clean_instance_data: bool = False) -> None:
        """Close sockets, connections and background tasks of ours, then ccxt's."""
        await self._stop_books()
        await self._stop_engine()
        await super().close(clean_instance_data)

    # -- markets ----------------------------------------------------------------------------------

    async def fetch_markets(self, params: Params = {}) -> Any:  # noqa: B006
        if self._choice("swap_only"):
            return await self.fetch_swap_markets(params)
        return await super().fetch_markets(params)

    async def fetch_currencies(self, params: Params = {}) -> Any:  # noqa: B006
        if self._choice("swap_only"):
            return {}                    # a signed spot call; load_markets makes it
        return await super().fetch_currencies(params)

    # -- orders -----------------------------------------------------------------------------------

    async def create_swap_order(self, market: Any, type: Any, side: str, amount: Any,
                                price: Any = None, marginMode: Any = None,
                                params: Params = {}) -> Any:  # noqa: B006
        if self._choice("engine") and not (params.get("triggerPrice") or params.get("stopPrice")):
            if marginMode is not None:
                params = {**params, "marginMode": marginMode}
            return await self.create_order_ws(market["symbol"], type, side, amount, price, params)
        type, sent = self._order_in(type, params)
        placed = await super().create_swap_order(market, type, side, amount, price, marginMode,
                                                 sent)
        return self._order_out(placed, market, type, side, amount, price, params)

    async def cancel_order(self, id: str, symbol: Any = None,
                           params: Params = {}) -> Any:  # noqa: B006
        if self._choice("engine") and not params and symbol is not None and (
                self.markets is not None and self.market(symbol)["swap"] is True):
            return await self.cancel_order_ws(id, symbol)
        cancelled = await super().cancel_order(id, symbol, params)
        return self._cancel_out(cancelled, id, symbol)

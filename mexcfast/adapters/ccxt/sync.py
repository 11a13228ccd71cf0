"""The synchronous twin: ccxt.mexc with the same parsers, corrections and options; no streams."""

from __future__ import annotations

from typing import Any

import ccxt  # type: ignore[import-untyped]

from mexcfast.adapters.ccxt import differences
from mexcfast.adapters.ccxt.fields import DEFAULTS, Fields

Params = dict[str, Any]


class _mexc(Fields, ccxt.mexc):  # type: ignore[misc]
    """ccxt.mexc on mexcfast; the options `engine` and snapshot... are of the asynchronous class."""

    def __init__(self, config: Params = {}) -> None:  # noqa: B006 - ccxt's way
        super().__init__(config)
        self._start_fields()

    def describe(self) -> Any:
        return self.deep_extend(super().describe(), {"options": {"mexcfast": dict(DEFAULTS)}})

    def fetch_markets(self, params: Params = {}) -> Any:  # noqa: B006
        if self._choice("swap_only"):
            return self.fetch_swap_markets(params)
        return super().fetch_markets(params)

    def fetch_currencies(self, params: Params = {}) -> Any:  # noqa: B006
        return {} if self._choice("swap_only") else super().fetch_currencies(params)

    def create_swap_order(self, market: Any, type: Any, side: str, amount: Any,
                          price: Any = None, marginMode: Any = None,
                          params: Params = {}) -> Any:  # noqa: B006
        type, sent = self._order_in(type, params)
        placed = super().create_swap_order(market, type, side, amount, price, marginMode, sent)
        return self._order_out(placed, market, type, side, amount, price, params)

    def cancel_order(self, id: str, symbol: Any = None,
                     params: Params = {}) -> Any:  # noqa: B006
        return self._cancel_out(super().cancel_order(id, symbol, params), id, symbol)


_mexc.__name__ = _mexc.__qualname__ = "mexc"
mexc: Any = ccxt.mexc if differences else _mexc

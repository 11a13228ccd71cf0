"""Candles as Bars."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from nautilus_trader.model.data import Bar, BarType
from nautilus_trader.model.instruments import Instrument

import mexcfast as mx
from mexcfast.adapters.nautilus import names
from mexcfast.types import Candle


def interval_of(bar_type: BarType) -> str | None:
    """The venue's name of the step; None when it has no such candles."""
    if not bar_type.is_externally_aggregated():
        return None
    return names.INTERVALS.get((bar_type.spec.step, bar_type.spec.aggregation))


def bar(bar_type: BarType, instrument: Instrument, interval: str, candle: Candle, ts_init: int, *,
        on_close: bool) -> Bar:
    """One candle. Raises ValueError when its prices contradict each other."""
    precision = instrument.price_precision
    ts_s = names.end_of(interval, candle.ts_open_s) if on_close else candle.ts_open_s
    return Bar(
        bar_type, *[names.price(value, precision)
                    for value in (candle.open, candle.high, candle.low, candle.close)],
        names.quantity(candle.quantity, instrument.size_precision), ts_s * names.NS_PER_S,
        ts_init)


class BarFeed(mx.Listener):
    """Tells each candle once, when the next one begins.

    emit: takes a finished Candle. read: is given the beginnings, seconds, of the first candle that
    may have been missed, wholly or in part, and of the one that runs now, to fetch what lies
    between.
    """

    def __init__(self, interval: str, emit: Callable[[Candle], None],
                 read: Callable[[int, int], Any]) -> None:
        self._interval = interval
        self._emit = emit
        self._read = read
        self._newest: Candle | None = None
        self._missed = False                 # since the newest one came

    def on_disconnected(self, connection: object, why: str) -> None:
        """The newest candle may have changed, or ended."""
        self._missed = True

    def on_event(self, event: mx.Event) -> None:
        """The candle that runs now has changed, or the next one began. Each event is whole."""
        if not isinstance(event, mx.events.Kline) or event.interval != self._interval:
            return
        candle, newest = _candle(event), self._newest
        if candle is None or (newest is not None and candle.ts_open_s < newest.ts_open_s):
            return
        if newest is not None and candle.ts_open_s > newest.ts_open_s:
            if self._missed:
                self._read(newest.ts_open_s, candle.ts_open_s)
            else:
                self._emit(newest)
        self._newest, self._missed = candle, False


def _candle(event: mx.events.Kline) -> Candle | None:
    numbers = [event.decimal(name) for name in ("open", "high", "low", "close", "quantity",
                                                "amount")]
    if event.ts_open_s is None or any(number is None for number in numbers[:5]):
        return None
    opened, high, low, close, quantity, amount = numbers
    assert opened is not None and high is not None and low is not None
    assert close is not None and quantity is not None
    return Candle(event.ts_open_s, opened, high, low, close, quantity, amount or quantity * 0)

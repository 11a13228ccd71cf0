"""Klines from the trades seen so far (protocol.md 7.7, 13)."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Any

from mexcfast.sim.contracts import Contract

INTERVALS: dict[str, int] = {
    "Min1": 60,
    "Min5": 300,
    "Min15": 900,
    "Min30": 1800,
    "Min60": 3600,
    "Hour4": 14_400,
    "Hour8": 28_800,
    "Day1": 86_400,
    "Week1": 604_800,
    "Month1": 2_592_000,
}
MOST = 2000


@dataclass(slots=True)
class Candle:
    """One window; prices in ticks, turnover in ticks times contracts."""

    start: int
    open: int
    close: int
    high: int
    low: int
    real_open: int
    vol: int = 0
    turnover: int = 0
    real_high: int = 0
    real_low: int = 0


def window_start(time_s: int, interval: str) -> int:
    """Start of the window that holds a time, in seconds; months are 30 days here."""
    width = INTERVALS[interval]
    return time_s - time_s % width


class Candles:
    """Candles of one contract, kept for every interval that somebody can ask."""

    def __init__(self, contract: Contract) -> None:
        self.contract = contract
        self._minutes: deque[Candle] = deque(maxlen=50_000)

    def add(self, time_ms: int, tick: int, vol: int) -> None:
        """Take one trade."""
        start = window_start(time_ms // 1000, "Min1")
        last = self._minutes[-1] if self._minutes else None
        if last is None or start > last.start:
            opening = tick if last is None else last.close
            last = Candle(
                start, opening, tick, max(opening, tick), min(opening, tick), tick,
                real_high=tick, real_low=tick,
            )
            self._minutes.append(last)
        last.close = tick
        last.high = max(last.high, tick)
        last.low = min(last.low, tick)
        last.real_high = max(last.real_high, tick)
        last.real_low = min(last.real_low, tick)
        last.vol += vol
        last.turnover += vol * tick

    def windows(self, interval: str, start: int | None, end: int | None) -> list[Candle]:
        """At most 2000 candles in ascending time; bounds in seconds, inclusive."""
        merged: list[Candle] = []
        for minute in self._minutes:
            begin = window_start(minute.start, interval)
            if (start is not None and begin < start) or (end is not None and begin > end):
                continue
            if merged and merged[-1].start == begin:
                _extend(merged[-1], minute)
            else:
                merged.append(_copy(minute, begin))
        return merged[-MOST:]

    def latest(self, interval: str) -> Candle | None:
        """The window of the last trade."""
        if not self._minutes:
            return None
        begin = window_start(self._minutes[-1].start, interval)
        found: Candle | None = None
        for minute in reversed(self._minutes):
            if minute.start < begin:
                break
            copy = _copy(minute, begin)
            if found is not None:
                _extend(copy, found)
            found = copy
        return found

    def columns(self, candles: list[Candle]) -> dict[str, Any]:
        """REST form: equal-length columns."""
        price = self.contract.price
        return {
            "time": [one.start for one in candles],
            "open": [price(one.open) for one in candles],
            "close": [price(one.close) for one in candles],
            "high": [price(one.high) for one in candles],
            "low": [price(one.low) for one in candles],
            "vol": [one.vol for one in candles],
            "amount": [self.contract.turnover(one.turnover, one.vol) for one in candles],
            "realOpen": [price(one.real_open) for one in candles],
            "realClose": [price(one.close) for one in candles],
            "realHigh": [price(one.real_high) for one in candles],
            "realLow": [price(one.real_low) for one in candles],
        }

    def push(self, interval: str, candle: Candle) -> dict[str, Any]:
        """Push form (7.7)."""
        price = self.contract.price
        return {
            "symbol": self.contract.symbol,
            "interval": interval,
            "t": candle.start,
            "o": price(candle.open),
            "c": price(candle.close),
            "h": price(candle.high),
            "l": price(candle.low),
            "a": self.contract.turnover(candle.turnover, candle.vol),
            "q": candle.vol,
            "ro": price(candle.real_open),
            "rc": price(candle.close),
            "rh": price(candle.real_high),
            "rl": price(candle.real_low),
        }


def _copy(minute: Candle, begin: int) -> Candle:
    return Candle(
        begin,
        minute.open,
        minute.close,
        minute.high,
        minute.low,
        minute.real_open,
        minute.vol,
        minute.turnover,
        minute.real_high,
        minute.real_low,
    )


def _extend(into: Candle, later: Candle) -> None:
    into.close = later.close
    into.high = max(into.high, later.high)
    into.low = min(into.low, later.low)
    into.real_high = max(into.real_high, later.real_high)
    into.real_low = min(into.real_low, later.real_low)
    into.vol += later.vol
    into.turnover += later.turnover

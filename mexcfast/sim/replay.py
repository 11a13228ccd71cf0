"""A recorded market played again: the frames drive the true book, with versions of its own.

The record is a text file, one JSON object a line, times in seconds since the start:

    {"t": 0, "contract": {…}}            optional: a Contract object of contract/detail (12.7)
    {"t": 0, "snapshot": {"symbol": "BTC_USDT", "bids": [[84000, 5, 1], …], "asks": […],
                          "version": 100}}
    {"t": 0.2, "push": {"channel": "push.depth", "symbol": "BTC_USDT", "data": {…}}}

A push is a raw frame as the venue sent it: push.depth, push.deal, push.ticker(s), push.index.price
and push.fair.price move the market, any other channel is passed over and counted. A hole between
versions of the record is counted in `gaps` and played over, since quantities are absolute. Users'
orders meet the recorded market as reflect.py says.

In step mode (updates_per_second=0) each step() is the next line that moves the market.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from os import PathLike
from typing import Any

import orjson

from mexcfast.sim.contracts import Contract
from mexcfast.sim.reflect import ReflectedBook, Reflection
from mexcfast.sim.source import Source, contract_from
from mexcfast.sim.venue import Venue


class Replay(Source):
    """Plays a file, once; `speed` 2 is twice as fast."""

    book_type = ReflectedBook
    sets_prices = True

    def __init__(self, path: str | PathLike[str], *, speed: float = 1.0) -> None:
        if speed <= 0:
            raise ValueError(f"speed {speed}: above 0")
        self.path = path
        self.speed = speed
        self.played = 0
        self.passed_over = 0
        self._reflections: dict[str, Reflection] = {}
        self._lines = self._read()
        self._contracts: dict[str, Contract | str] = {}
        for _, kind, data in self._read():  # whatever the record speaks of is traded
            if kind == "contract":
                self._contracts[data["symbol"]] = contract_from(data)
            elif kind == "snapshot" or (kind == "push" and data.get("channel") == "push.depth"):
                self._contracts.setdefault(data["symbol"], data["symbol"])
        if not self._contracts:
            raise ValueError(f"{path}: the record holds no contract")

    def _read(self) -> Iterator[tuple[float, str, dict[str, Any]]]:
        before = 0.0
        with open(self.path, "rb") as file:
            for number, line in enumerate(file, 1):
                if not line.strip():
                    continue
                try:
                    record = orjson.loads(line)
                    time = float(record["t"])
                    (kind,) = set(record) - {"t"}
                    data = record[kind]
                    if kind not in ("contract", "snapshot", "push") or not isinstance(data, dict):
                        raise ValueError("expected contract, snapshot or push, with an object")
                    if kind != "push":
                        data["symbol"]
                except (ValueError, KeyError, TypeError) as error:
                    raise ValueError(f"{self.path}, line {number}: {error!r}") from error
                if time < before:
                    raise ValueError(f"{self.path}, line {number}: time {time} after {before}")
                before = time
                yield time, kind, data

    @property
    def gaps(self) -> int:
        """Holes between versions of the record."""
        return sum(one.gaps for one in self._reflections.values())

    def contracts(self) -> list[Contract | str]:
        """Those the record speaks of."""
        return list(self._contracts.values())

    def attach(self, venue: Venue) -> None:
        """The venue to move."""
        self._reflections = {
            symbol: Reflection(venue, market) for symbol, market in venue.markets.items()
        }

    async def run(self) -> None:
        """Each line at its time."""
        loop = asyncio.get_running_loop()
        start = loop.time()
        for time, kind, data in self._lines:
            wait = time / self.speed - (loop.time() - start)
            if wait > 0:
                await asyncio.sleep(wait)
            self._play(kind, data)

    def step(self, symbol: str | None) -> bool:
        """Lines up to the next that moved the market, of a contract or of any."""
        for _, kind, data in self._lines:
            if self._play(kind, data) and symbol in (None, data.get("symbol")):
                return True
        return False

    def state(self) -> Mapping[str, Any]:
        """How far it is."""
        return {"kind": "replay", "played": self.played, "gaps": self.gaps,
                "passed_over": self.passed_over}  # fmt: skip

    def _play(self, kind: str, data: dict[str, Any]) -> bool:
        """One line; whether it moved the market."""
        if kind == "contract":
            return False
        self.played += 1
        if kind == "snapshot":
            self._reflections[data["symbol"]].load(data)
            return True
        channel, body = data.get("channel"), data.get("data")
        if channel == "push.tickers" and isinstance(body, list):
            for row in body:
                self._prices(row.get("symbol"), row)
            return True
        reflection = self._reflections.get(str(data.get("symbol")))
        if reflection is None or body is None:
            self.passed_over += 1
            return False
        if channel == "push.depth":
            if not reflection.depth(body):  # a hole: play over it
                reflection.version = int(body.get("version") or body.get("end"))
                reflection.apply(body)
        elif channel == "push.deal":
            reflection.deals(body)
        elif channel == "push.ticker":
            self._prices(data["symbol"], body)
        elif channel == "push.index.price":
            reflection.prices(index=body.get("price"))
        elif channel == "push.fair.price":
            reflection.prices(fair=body.get("price"))
        else:
            self.passed_over += 1
            return False
        return True

    def _prices(self, symbol: str | None, row: dict[str, Any]) -> None:
        reflection = self._reflections.get(symbol or "")
        if reflection is not None:
            reflection.prices(index=row.get("indexPrice"), fair=row.get("fairPrice"))

"""What can be subscribed to, and the exact frames that ask for it (protocol.md 6 to 8).

A Topic is one subscription of one socket. Its frames are compact JSON; a test compares them with
every request of the vectors.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson

INTERVALS = ("Min1", "Min5", "Min15", "Min30", "Min60", "Hour4", "Hour8", "Day1", "Week1", "Month1")
DEPTH_LIMITS = (5, 10, 20)
FILTERS = (
    "order", "order.deal", "position", "plan.order", "stop.order", "stop.planorder", "risk.limit",
    "adl.level", "asset",
)
FILTERS_WITHOUT_RULES = ("asset", "adl.level")

PING = b'{"method":"ping"}'
BARE_LOGIN = b'{"method":"login"}'   # what may be written down of a login: no key, no signature


@dataclass(frozen=True, slots=True)
class Topic:
    """One subscription: a channel, its contract ("" when it has none) and its parameters."""

    channel: str
    symbol: str = ""
    params: tuple[tuple[str, Any], ...] = ()
    unsubscribe_keys: tuple[str, ...] = field(default=("symbol",), compare=False)

    @property
    def push(self) -> str:
        """The channel's name on pushes."""
        return f"push.{self.channel}"

    def param(self) -> dict[str, Any] | None:
        """The subscribe message's `param`; None where the venue shows none (7.11, 7.12)."""
        if self.channel in ("contract", "event.contract"):
            return None
        named = {"symbol": self.symbol} if self.symbol else {}
        return named | dict(self.params)

    def subscribe_frame(self) -> bytes:
        """The whole subscribe message."""
        return _request(f"sub.{self.channel}", self.param())

    def unsubscribe_frame(self) -> bytes:
        """The whole unsubscribe message."""
        param = self.param()
        if param is not None:
            param = {k: v for k, v in param.items() if k in self.unsubscribe_keys}
        return _request(f"unsub.{self.channel}", param)

    def __str__(self) -> str:
        extra = "".join(f" {k}={v}" for k, v in self.params)
        return f"{self.channel}{' ' if self.symbol else ''}{self.symbol}{extra}"


def _request(method: str, param: Mapping[str, Any] | None) -> bytes:
    message: dict[str, Any] = {"method": method}
    if param is not None:
        message["param"] = param
    return orjson.dumps(message)


def _contract(channel: str, symbol: str, *params: tuple[str, Any], undo: str = "") -> Topic:
    if not isinstance(symbol, str) or not symbol or symbol != symbol.upper() or " " in symbol:
        raise ValueError(
            f"symbol is {symbol!r}; allowed: a contract in upper case such as BTC_USDT")
    if len(symbol.encode()) > 60:
        raise ValueError(f"symbol is {len(symbol.encode())} bytes long; allowed: 60")
    keys = ("symbol", undo) if undo else ("symbol",)
    return Topic(channel, symbol, tuple(p for p in params if p[1] is not None), keys)


def depth(symbol: str, compress: bool | None = None) -> Topic:
    """Incremental depth; compress False asks for every version (protocol.md 7.4)."""
    return _contract("depth", symbol, ("compress", compress))


def depth_full(symbol: str, limit: int | None = None) -> Topic:
    """Top 5, 10 or 20 levels, whole (protocol.md 7.5)."""
    if limit is not None and limit not in DEPTH_LIMITS:
        raise ValueError(f"limit is {limit!r}; allowed: {DEPTH_LIMITS}")
    return _contract("depth.full", symbol, ("limit", limit))


def depth_step(symbol: str, step: str) -> Topic:
    """Book aggregated to a price step of the contract's depthStepList (protocol.md 7.6)."""
    return _contract("depth.step", symbol, ("step", str(step)), undo="step")


def deals(symbol: str, compress: bool | None = None) -> Topic:
    """Trades; compress False asks for each on its own (protocol.md 7.3)."""
    return _contract("deal", symbol, ("compress", compress))


def tickers() -> Topic:
    """All contracts' tickers (protocol.md 7.1)."""
    return Topic("tickers")


def ticker(symbol: str) -> Topic:
    """One contract's ticker (protocol.md 7.2)."""
    return _contract("ticker", symbol)


def kline(symbol: str, interval: str) -> Topic:
    """Candles. Hour1, which REST accepts, is refused here as the venue does (protocol.md 7.7)."""
    if interval not in INTERVALS:
        raise ValueError(f"interval is {interval!r}; allowed: {', '.join(INTERVALS)}")
    return _contract("kline", symbol, ("interval", interval), undo="interval")


def funding_rate(symbol: str) -> Topic:
    """Funding rate (protocol.md 7.8)."""
    return _contract("funding.rate", symbol)


def index_price(symbol: str) -> Topic:
    """Index price; for inverse contracts the USDT symbol (protocol.md 7.9)."""
    return _contract("index.price", symbol)


def fair_price(symbol: str) -> Topic:
    """Fair price (protocol.md 7.10)."""
    return _contract("fair.price", symbol)


def contracts() -> Topic:
    """Contract definitions as they change (protocol.md 7.11)."""
    return Topic("contract")


def event_contracts() -> Topic:
    """Event contract definitions as they change (protocol.md 7.12)."""
    return Topic("event.contract")


def filter_frame(filters: Mapping[str, Iterable[str]] | None) -> bytes:
    """The personal.filter message that replaces the current selection (protocol.md 8.2).

    filters: filter key -> symbols, empty for all; None selects everything.
    Raises ValueError for an unknown key or symbols where none are allowed.
    """
    if filters is None:
        return _request("personal.filter", {"filters": []})
    entries: list[dict[str, Any]] = []
    for key, symbols in filters.items():
        if key not in FILTERS:
            raise ValueError(f"filter is {key!r}; allowed: {', '.join(FILTERS)}")
        rules = list(symbols)
        if rules and key in FILTERS_WITHOUT_RULES:
            raise ValueError(f"filter {key!r} takes no symbols; {rules!r} was given")
        entries.append({"filter": key, "rules": rules} if rules else {"filter": key})
    if not entries:
        raise ValueError("filters is empty; allowed: at least one key, or None for everything")
    return _request("personal.filter", {"filters": entries})

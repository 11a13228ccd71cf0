"""What a Python user would otherwise keep a book with, each with its best settings.

A rival takes one frame as bytes (`feed`), checks its versions and changes its book; `top` reads
the best bid and ask, `levels` everything. Versions are pinned in pyproject.toml (extra `bench`);
what is missing or another version is named, never left out without a word.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from frames import SYMBOL
from harness import Missing

#: Distribution -> (import name, the version measured); the same as in pyproject.toml.
PINNED = {"orjson": ("orjson", "3.13.0"), "msgspec": ("msgspec", "0.22.0"),
          "sortedcontainers": ("sortedcontainers", "2.4.0"),
          "order-book": ("order_book", "0.6.1"), "ccxt": ("ccxt.pro", "4.5.90"),
          "pymexc": ("pymexc", "1.1.1"), "typed-mexc": ("typed_mexc", "2.3.0"),
          "websockets": ("websockets", "17.4")}

Sides = tuple[dict[float, float], dict[float, float]]


def need(distribution: str) -> Any:
    """The rival's module in its pinned version, else Missing with what to install."""
    name, wanted = PINNED[distribution]
    try:
        found = version(distribution)
    except PackageNotFoundError:
        found = "missing"
    if found != wanted:
        raise Missing(f"{distribution} is {found}; measured is {wanted}: "
                      f"pip install {distribution}=={wanted}")
    return import_module(name)


class DictBook:
    """What people write: a dict per side, searched when the top is wanted, versions checked."""

    loads: Callable[[bytes], Any] = staticmethod(json.loads)

    def __init__(self, snapshot: bytes) -> None:
        data = json.loads(snapshot)["data"]
        self.bids: Any = {level[0]: level[1] for level in data["bids"]}
        self.asks: Any = {level[0]: level[1] for level in data["asks"]}
        self.version: int = data["version"]

    def feed(self, frame: bytes) -> None:
        data = self.loads(frame)["data"]
        if data["end"] <= self.version:
            return
        if data["begin"] > self.version + 1:
            raise ValueError("gap")
        for side, levels in ((self.asks, data["asks"]), (self.bids, data["bids"])):
            for price, quantity, _ in levels:
                if quantity:
                    side[price] = quantity
                else:
                    side.pop(price, None)
        self.version = data["end"]

    def top(self) -> tuple[float, float]:
        return max(self.bids), min(self.asks)

    def levels(self) -> Sides:
        return dict(self.bids), dict(self.asks)


class OrjsonDict(DictBook):
    def __init__(self, snapshot: bytes) -> None:
        super().__init__(snapshot)
        self.loads = need("orjson").loads  # type: ignore[method-assign]


class MsgspecDict(DictBook):
    def __init__(self, snapshot: bytes) -> None:
        super().__init__(snapshot)
        msgspec = need("msgspec")
        level = tuple[float, int, int]
        data = msgspec.defstruct("Data", [("asks", list[level]), ("bids", list[level]),
                                          ("begin", int), ("end", int)], gc=False)
        self.decode = msgspec.json.Decoder(
            msgspec.defstruct("Frame", [("data", data)], gc=False)).decode

    def feed(self, frame: bytes) -> None:
        data = self.decode(frame).data
        if data.end <= self.version:
            return
        if data.begin > self.version + 1:
            raise ValueError("gap")
        for side, levels in ((self.asks, data.asks), (self.bids, data.bids)):
            for price, quantity, _ in levels:
                if quantity:
                    side[price] = quantity
                else:
                    side.pop(price, None)
        self.version = data.end


class SortedBook(OrjsonDict):
    """orjson + sortedcontainers; both sides ascending, so the best bid is the last."""

    def __init__(self, snapshot: bytes) -> None:
        super().__init__(snapshot)
        sorted_dict = need("sortedcontainers").SortedDict
        self.bids, self.asks = sorted_dict(self.bids), sorted_dict(self.asks)

    def top(self) -> tuple[float, float]:
        return self.bids.keys()[-1], self.asks.keys()[0]


class OrderBookC(OrjsonDict):
    """orjson + order-book, a book in C: sorted again on the first read after a change."""

    def __init__(self, snapshot: bytes) -> None:
        super().__init__(snapshot)
        self.book = need("order-book").OrderBook()
        self.book.bids, self.book.asks = self.bids, self.asks
        self.bids, self.asks = self.book.bids, self.book.asks

    def feed(self, frame: bytes) -> None:
        data = self.loads(frame)["data"]
        if data["end"] <= self.version:
            return
        if data["begin"] > self.version + 1:
            raise ValueError("gap")
        for side, levels in ((self.asks, data["asks"]), (self.bids, data["bids"])):
            for price, quantity, _ in levels:
                if quantity:
                    side[price] = quantity
                elif price in side:
                    del side[price]
        self.version = data["end"]

    def top(self) -> tuple[float, float]:
        return self.bids.index(0)[0], self.asks.index(0)[0]

    def levels(self) -> Sides:
        return self.bids.to_dict(), self.asks.to_dict()


class CcxtBook(OrjsonDict):
    """orjson + ccxt's own book without its handler."""

    def __init__(self, snapshot: bytes) -> None:
        super().__init__(snapshot)
        need("ccxt")
        book = import_module("ccxt.async_support.base.ws.order_book").OrderBook
        data = json.loads(snapshot)["data"]
        self.book = book({"asks": data["asks"], "bids": data["bids"], "nonce": self.version})
        self.bids, self.asks = self.book["bids"], self.book["asks"]

    def feed(self, frame: bytes) -> None:
        data = self.loads(frame)["data"]
        if data["end"] <= self.version:
            return
        if data["begin"] > self.version + 1:
            raise ValueError("gap")
        for side, levels in ((self.asks, data["asks"]), (self.bids, data["bids"])):
            for level in levels:
                side.storeArray(level)
        self.version = data["end"]

    def top(self) -> tuple[float, float]:
        return self.bids[0][0], self.asks[0][0]

    def levels(self) -> Sides:
        bids, asks = ({row[0]: row[1] for row in side} for side in (self.bids, self.asks))
        return bids, asks


class _NoSocket:
    """What ccxt's handler wants of its connection."""

    def __init__(self) -> None:
        self.subscriptions: dict[str, Any] = {}
        self.futures: dict[str, Any] = {}

    def resolve(self, result: Any, message_hash: Any = None) -> Any:
        return result

    def reject(self, error: Exception, message_hash: Any = None) -> None:
        raise error


CCXT_SYMBOL = "BTC/USDT:USDT"


def ccxt_exchange(snapshot: bytes, **settings: Any) -> Any:
    """ccxt.pro.mexc with one contract and its book, so that nothing waits for 25 frames first."""
    exchange = need("ccxt").mexc({"enableRateLimit": False, "newUpdates": False,
                                  "options": {"defaultType": "swap"}, **settings})
    exchange.set_markets([exchange.safe_market_structure({
        "id": SYMBOL, "symbol": CCXT_SYMBOL, "base": "BTC", "quote": "USDT", "settle": "USDT",
        "baseId": "BTC", "quoteId": "USDT", "settleId": "USDT", "type": "swap", "spot": False,
        "swap": True, "contract": True, "linear": True, "inverse": False,
        "precision": {"amount": 1, "price": 0.1}, "contractSize": 0.0001, "active": True})])
    data = json.loads(snapshot)["data"]
    exchange.orderbooks[CCXT_SYMBOL] = exchange.order_book({
        "asks": data["asks"], "bids": data["bids"], "nonce": data["version"],
        "symbol": CCXT_SYMBOL})
    return exchange


class CcxtHandler(CcxtBook):
    """What ccxt.pro does with each frame after aiohttp: orjson.loads, handle_message, its book."""

    def __init__(self, snapshot: bytes) -> None:
        super().__init__(snapshot)
        self.exchange = ccxt_exchange(snapshot)
        self.book = self.exchange.orderbooks[CCXT_SYMBOL]
        self.bids, self.asks = self.book["bids"], self.book["asks"]
        self.socket = _NoSocket()

    def feed(self, frame: bytes) -> None:
        self.exchange.handle_message(self.socket, self.loads(frame))


#: Name in the table -> class; msgspec and orjson first, they are the fastest with a dict.
RIVALS: dict[str, type[DictBook]] = {
    "ccxt.pro handle_message (orjson)": CcxtHandler,
    "orjson + order-book": OrderBookC,
    "msgspec typed + dict": MsgspecDict,
    "orjson + dict": OrjsonDict,
    "json + dict": DictBook,
    "orjson + ccxt OrderBook": CcxtBook,
    "orjson + sortedcontainers": SortedBook,
}


def available() -> tuple[dict[str, type[DictBook]], list[str]]:
    """The rivals that can be measured here, and what is missing for the others."""
    found, missing = {}, []
    empty = b'{"data":{"asks":[],"bids":[],"version":1}}'
    for name, rival in RIVALS.items():
        try:
            rival(empty)
        except Missing as reason:
            missing.append(f"{name} is not measured: {reason}")
        else:
            found[name] = rival
    return found, missing


if __name__ == "__main__":      # what to install for bench/micro.py and bench/gate.py
    print(" ".join(f"{name}=={PINNED[name][1]}" for name in (
        "orjson", "msgspec", "sortedcontainers", "order-book", "ccxt")))

"""A whole book as one record, so that reading can begin in the middle and be checked on the way."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import orjson

from mexcfast.core.depth import OrderBook, State


def describe_book(book: OrderBook) -> bytes:
    """JSON: state, version, times, scales and all levels as exact integers, best first."""
    bids, asks = book.exact()
    return orjson.dumps({
        "symbol": book.symbol, "state": int(book.state), "version": book.version,
        "ts_venue_ms": book.ts_venue_ms, "ts_recv_ns": book.ts_recv_ns,
        "price_scale": book.price_scale, "quantity_scale": book.quantity_scale,
        "bids": bids, "asks": asks})


def reply_of(frame: dict[str, Any]) -> bytes:
    """The REST depth reply that makes a book what the keyframe says."""
    def side(levels: list[list[int]]) -> str:
        rows = []
        for price, quantity, orders in levels:
            texts = [format(Decimal(price).scaleb(-frame["price_scale"]), "f"),
                     format(Decimal(quantity).scaleb(-frame["quantity_scale"]), "f")]
            rows.append("[" + ",".join(texts if orders < 0 else [*texts, str(orders)]) + "]")
        return "[" + ",".join(rows) + "]"

    stamp = f',"timestamp":{frame["ts_venue_ms"]}' if frame["ts_venue_ms"] >= 0 else ""
    return (f'{{"success":true,"code":0,"data":{{"asks":{side(frame["asks"])},'
            f'"bids":{side(frame["bids"])},"version":{frame["version"]}{stamp}}}}}').encode()


def is_like(book: OrderBook, frame: dict[str, Any]) -> bool:
    """Whether a replayed book is what the recorded one was. Scales may differ, values not."""
    if (int(book.state), book.version) != (frame["state"], frame["version"]):
        return False
    if book.state not in (State.LIVE, State.REPAIRING):
        return True
    bids, asks = book.exact()
    return (_values(bids, book.price_scale, book.quantity_scale)
            == _values(frame["bids"], frame["price_scale"], frame["quantity_scale"])
            and _values(asks, book.price_scale, book.quantity_scale)
            == _values(frame["asks"], frame["price_scale"], frame["quantity_scale"]))


def _values(levels: Any, price_scale: int, quantity_scale: int
            ) -> list[tuple[Decimal, Decimal, int]]:
    return [(Decimal(p).scaleb(-price_scale), Decimal(q).scaleb(-quantity_scale), n)
            for p, q, n in levels]

"""A whole book as the venue's REST depth reply, exact, and the comparison of one with a book."""

from __future__ import annotations

from mexcfast.core.depth import Change, OrderBook
from mexcfast.core.shadow import differences, in_words

Levels = list[tuple[int, int, int]]


def snapshot_of(book: OrderBook) -> bytes:
    """The reply that makes an empty book what this one is now."""
    bids, asks = book.exact()
    stamp = f',"timestamp":{book.ts_venue_ms}' if book.ts_venue_ms >= 0 else ""
    return (f'{{"success":true,"code":0,"data":{{"asks":{_side(asks, book)},'
            f'"bids":{_side(bids, book)},"version":{book.version}{stamp}}}}}').encode()


def _side(levels: Levels, book: OrderBook) -> str:
    # Decimal would do the same at five times the cost, and a whole book has 3000 levels
    price_scale, quantity_scale = book.price_scale, book.quantity_scale
    rows = []
    for price, quantity, orders in levels:
        row = f"[{_text(price, price_scale)},{_text(quantity, quantity_scale)}"
        rows.append(row + "]" if orders < 0 else f"{row},{orders}]")
    return "[" + ",".join(rows) + "]"


def _text(mantissa: int, scale: int) -> str:
    if not scale:
        return str(mantissa)
    digits = str(mantissa).zfill(scale + 1)
    return f"{digits[:-scale]}.{digits[-scale:]}"


def difference(book: OrderBook, reply: bytes) -> str:
    """In words what is different in a reply of the book's own version; "" when nothing is."""
    if snapshot_of(book) == reply:
        return ""
    other = OrderBook(book.symbol, storage="arrays")     # scales and order counts may differ
    other.expect_snapshot()
    if other.load_snapshot(reply) is not Change.APPLIED or other.version != book.version:
        return f"version {other.version} there, {book.version} here"
    found = differences(book, other)
    return in_words(found) if found else ""

"""The book hash from its description, on decimals and Python's integers."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal

MASK = (1 << 64) - 1


def mix(x: int) -> int:
    x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) & MASK
    return x ^ (x >> 31)


def parts(value: Decimal) -> tuple[int, int]:
    """Shortest (mantissa, scale), scale from 0: what format() writes without trailing zeros."""
    text = format(value, "f")
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    whole, _, decimals = text.partition(".")
    return int(whole + decimals), len(decimals)


def book_hash(bids: Iterable[tuple[Decimal, Decimal]],
              asks: Iterable[tuple[Decimal, Decimal]]) -> int:
    total = count = 0
    for side, levels in ((0, bids), (1, asks)):
        for price, quantity in levels:
            h = 0
            for value in (side, *parts(price), *parts(quantity)):
                h = mix((h + 0x9E3779B97F4A7C15 + value) & MASK)
            total += h
            count += 1
    return mix((total + count) & MASK)

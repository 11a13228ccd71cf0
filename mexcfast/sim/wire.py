"""JSON text as the venue prints it.

Numbers keep their exact decimal text: 84055 and not 84055.0, 0.1 and not 0.1000000000000000055
(protocol.md 2). The standard encoders cannot print a Decimal as a number, hence this small writer.
"""

from __future__ import annotations

import gzip
from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any

import orjson


class Raw(str):
    """Text that already is JSON and is embedded as it is."""

    __slots__ = ()


def number(value: Decimal | int) -> str:
    """Plain decimal notation without trailing zeros or exponent."""
    if isinstance(value, int):
        return str(value)
    text = format(value, "f")
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return "0" if text in ("-0", "") else text


def shown_id(number: int, as_int: bool) -> int | str:
    """An id (or time) as the variation `ids` wants it: a number, or its digits as text."""
    return number if as_int else str(number)


def dumps(value: Any) -> str:
    """JSON text of dicts, sequences, strings, booleans, integers, Decimals, None and Raw."""
    if isinstance(value, Raw):
        return str(value)
    if isinstance(value, str):
        return orjson.dumps(value).decode()
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | Decimal):
        return number(value)
    if isinstance(value, Mapping):
        inside = ",".join(f"{dumps(str(key))}:{dumps(item)}" for key, item in value.items())
        return "{" + inside + "}"
    if isinstance(value, Iterable):
        return "[" + ",".join(dumps(item) for item in value) + "]"
    raise TypeError(f"{type(value).__name__} has no text on this wire")


def text_frame(text: str) -> bytes:
    """One unmasked, unfragmented WebSocket text frame (RFC 6455 5.2)."""
    return frame(0x81, text.encode())


def gzip_frame(text: str) -> bytes:
    """One binary frame holding gzip, for a subscription that asked for it (protocol.md 5.3)."""
    return frame(0x82, gzip.compress(text.encode(), 1, mtime=0))


def frame(first: int, payload: bytes) -> bytes:
    """One frame with this first byte."""
    size = len(payload)
    if size < 126:
        return bytes((first, size)) + payload
    if size < 65536:
        return bytes((first, 126)) + size.to_bytes(2, "big") + payload
    return bytes((first, 127)) + size.to_bytes(8, "big") + payload


def split_frame(data: bytes) -> tuple[int, bytes]:
    """(first byte, payload) of a frame made here."""
    return data[0], data[{126: 4, 127: 10}.get(data[1], 2) :]

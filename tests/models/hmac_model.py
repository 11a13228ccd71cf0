"""Signatures the slow way, with the standard library only (protocol.md 3.2)."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from decimal import Decimal
from urllib.parse import quote


def signature(access_key: str, secret: str, timestamp_ms: int, payload: bytes = b"") -> str:
    target = access_key.encode() + str(timestamp_ms).encode() + payload
    return hmac.new(secret.encode(), target, hashlib.sha256).hexdigest()


def scalar(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return f"{Decimal(repr(value)):f}"
    if isinstance(value, Decimal):
        return f"{value:f}"
    return str(value)


def query(params: Mapping[str, object]) -> str:
    pairs = []
    for key, value in sorted(params.items()):
        if value is None:
            continue
        if isinstance(value, (list, tuple)):
            text = ",".join(scalar(item) for item in value)
        else:
            text = scalar(value)
        if not text.strip():
            text = ""
        # quote() never encodes ~ and always encodes *; Java's encoder does the opposite.
        pairs.append(key + "=" + quote(text, safe="*").replace("~", "%7E"))
    return "&".join(pairs)

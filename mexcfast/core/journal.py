"""The lines of the order journal and what they add up to. Bytes in, bytes out: no file here.

One line per fact: eight hex digits of CRC-32, a space, compact JSON, a line feed.

    head      format and a fingerprint of the account
    session   the number inside client order ids, so that ids never repeat
    send      a request is about to leave: all that is needed to ask for it later
    left      when a settled one left: after a quick restart the venue still counts it
    end       its fate is proven
    heir      an order of ours that an amend has left under the venue's own name
    gone      that order has ended
    placed    a conditional order of ours: no other request can have made it
    closed    the venue closed something until a wall-clock time

An accepted amend names its heir in its `end`, an accepted placement of a conditional order names
the order; the lines `heir` and `placed` are what compaction makes of it.

A crash can only tear what was written last, so damage is forgiven when nothing sound follows it.
Damage in the middle may hide a request that left: it is refused.
"""

from __future__ import annotations

import hashlib
import json
import zlib
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from mexcfast.errors import JournalError

FORMAT = 1
PLACED = 256    # conditional orders that are remembered, the newest
RECENT = 16     # requests whose time of leaving outlives them, for the venue's windows


@dataclass(frozen=True, slots=True)
class Entry:
    """One request that may have left, and what a resolver must know to settle it."""

    name: str                       # a client order id, or "amend <order id>"
    what: str                       # create, amend, or the route of a conditional order's write
    symbol: str
    ts_sent_ms: int                 # the signed request time
    order_id: int | None = None     # amend: the order to be replaced
    side: int | None = None
    type: int | None = None
    quantity: Decimal | None = None
    price: Decimal | None = None
    body: str | None = None         # conditional orders: what was asked for, as it was sent

    def record(self) -> dict[str, Any]:
        """As a line's JSON; what is None is left out."""
        fields = {"id": self.name, "what": self.what, "symbol": self.symbol,
                  "ms": self.ts_sent_ms, "order": self.order_id, "side": self.side,
                  "type": self.type,
                  "quantity": None if self.quantity is None else str(self.quantity),
                  "price": None if self.price is None else str(self.price), "body": self.body}
        return {"k": "send", **{name: value for name, value in fields.items()
                                if value is not None}}

    @classmethod
    def read(cls, record: dict[str, Any]) -> Entry:
        """Raises KeyError, TypeError, ValueError or ArithmeticError for what is no entry."""
        quantity, price = record.get("quantity"), record.get("price")
        return cls(str(record["id"]), str(record["what"]), str(record["symbol"]),
                   int(record["ms"]), record.get("order"), record.get("side"),
                   record.get("type"), None if quantity is None else Decimal(quantity),
                   None if price is None else Decimal(price), record.get("body"))


def fingerprint(access_key: str) -> str:
    """Tells accounts apart without naming the key."""
    return hashlib.sha256(b"mexcfast journal " + access_key.encode()).hexdigest()[:16]


def encode(record: dict[str, Any]) -> bytes:
    """One line."""
    text = json.dumps(record, separators=(",", ":")).encode("ascii")
    return b"%08x %s\n" % (zlib.crc32(text), text)


def decode(line: bytes) -> dict[str, Any] | None:
    """The record of a line without its line feed; None when it is damaged."""
    try:
        if len(line) < 10 or line[8:9] != b" " or int(line[:8], 16) != zlib.crc32(line[9:]):
            return None
        record = json.loads(line[9:])
    except (ValueError, RecursionError):
        return None
    return record if isinstance(record, dict) else None


@dataclass(slots=True)
class Ledger:
    """What a journal adds up to."""

    account: str = ""
    session: int = 0
    unsettled: dict[str, Entry] = field(default_factory=dict)
    penalties: dict[str, int] = field(default_factory=dict)     # what -> until, wall-clock ms
    heirs: dict[int, str] = field(default_factory=dict)         # order id -> contract
    #: conditional orders, by id, oldest first
    placed: dict[int, None] = field(default_factory=dict)
    #: (what, signed time) of the newest requests, settled or not
    recent: list[tuple[str, int]] = field(default_factory=list, compare=False)

    def apply(self, record: dict[str, Any]) -> None:
        """One line's fact; JournalError when it is not one of ours."""
        try:
            kind = record["k"]
            if kind == "head":
                if record["format"] != FORMAT:
                    raise JournalError(f"format {record['format']}; this version reads {FORMAT}")
                self.account = str(record["account"])
            elif kind == "session":
                self.session = max(self.session, int(record["n"]))
            elif kind == "send":
                self.send(Entry.read(record))
            elif kind == "left":
                self._leave(str(record["what"]), int(record["ms"]))
            elif kind == "end":
                order_id = record.get("order")
                self.end(str(record["id"]), str(record["fate"]),
                         None if order_id is None else int(order_id))
            elif kind == "heir":
                self.heirs[int(record["order"])] = str(record["symbol"])
            elif kind == "placed":
                self._place(int(record["order"]))
            elif kind == "gone":
                self.heirs.pop(int(record["order"]), None)
            elif kind == "closed":
                self.penalties[str(record["what"])] = int(record["until"])
            else:
                raise JournalError(f"a record of kind {kind!r}")
        except (KeyError, TypeError, ValueError, ArithmeticError) as error:
            raise JournalError(f"a record that cannot be read ({error!r})") from None

    def send(self, entry: Entry) -> None:
        """A request is about to leave."""
        self.unsettled[entry.name] = entry
        self._leave(entry.what, entry.ts_sent_ms)

    def _leave(self, what: str, ts_ms: int) -> None:
        self.recent.append((what, ts_ms))
        del self.recent[:-RECENT]

    def end(self, name: str, fate: str, order_id: int | None) -> bool:
        """The fate of a request is proven; False when nobody waited for it."""
        entry = self.unsettled.pop(name, None)
        if entry is None:
            return False
        if (entry.what == "amend" and fate == "accepted" and order_id is not None
                and order_id != entry.order_id):
            self.heirs[order_id] = entry.symbol
        # A change names the order it was about; a placement cannot.
        if (entry.body is not None and entry.order_id is None and fate == "accepted"
                and order_id is not None):
            self._place(order_id)
        return True

    def _place(self, order_id: int) -> None:
        self.placed.pop(order_id, None)
        self.placed[order_id] = None
        if len(self.placed) > PLACED:
            del self.placed[next(iter(self.placed))]

    def compact(self, now_ms: int) -> bytes:
        """The shortest journal that adds up to the same; pauses that are over are left out."""
        lines = [head(self.account), session(self.session)]
        settled = list(self.recent)
        for entry in self.unsettled.values():       # their own lines say when they left
            if (entry.what, entry.ts_sent_ms) in settled:
                settled.remove((entry.what, entry.ts_sent_ms))
        lines += [left(what, ts_ms) for what, ts_ms in settled]
        lines += [encode(entry.record()) for entry in self.unsettled.values()]
        lines += [placed(order_id) for order_id in self.placed]
        lines += [heir(order_id, symbol) for order_id, symbol in self.heirs.items()]
        lines += [closed(what, until) for what, until in self.penalties.items() if until > now_ms]
        return b"".join(lines)


def head(account: str) -> bytes:
    return encode({"k": "head", "format": FORMAT, "account": account})


def session(number: int) -> bytes:
    return encode({"k": "session", "n": number})


def end(name: str, fate: str, order_id: int | None = None) -> bytes:
    """fate: accepted or rejected."""
    return encode({"k": "end", "id": name, "fate": fate, "order": order_id})


def left(what: str, ts_ms: int) -> bytes:
    return encode({"k": "left", "what": what, "ms": ts_ms})


def heir(order_id: int, symbol: str) -> bytes:
    return encode({"k": "heir", "order": order_id, "symbol": symbol})


def placed(order_id: int) -> bytes:
    return encode({"k": "placed", "order": order_id})


def gone(order_id: int) -> bytes:
    return encode({"k": "gone", "order": order_id})


def closed(what: str, until_ms: int) -> bytes:
    return encode({"k": "closed", "what": what, "until": until_ms})


def replay(data: bytes) -> tuple[Ledger, int]:
    """What a journal's bytes add up to, and how many bytes at its end are torn.

    Raises JournalError when something sound follows damage, or a sound line says nothing known.
    """
    ledger = Ledger()
    damaged_at: int | None = None
    at = 0
    while at < len(data):
        feed = data.find(b"\n", at)
        # Without its line feed the last line was not finished, whatever it looks like.
        record = None if feed < 0 else decode(data[at:feed])
        if record is None:
            damaged_at = at if damaged_at is None else damaged_at
        elif damaged_at is not None:
            raise JournalError(f"damaged at byte {damaged_at}, with sound lines after it")
        else:
            ledger.apply(record)
        at = len(data) if feed < 0 else feed + 1
    return ledger, 0 if damaged_at is None else len(data) - damaged_at

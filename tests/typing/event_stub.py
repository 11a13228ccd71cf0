"""Writes mexcfast/core/events.pyi: each event's members come from core/channels.

    python tests/typing/event_stub.py --write
"""

from __future__ import annotations

import sys
from pathlib import Path

from mexcfast.core import events
from mexcfast.core.channels import CHANNELS

STUB = Path(__file__).parents[2] / "mexcfast" / "core" / "events.pyi"
TYPES = {"dec": "float | None", "int": "int | None", "str": "str | None", "bool": "bool | None",
         "any": "Any"}
LEVELS = "list[tuple[float, float, int]]"
# What core/events writes by hand, with its type.
BY_HAND = {
    "Event": [("channel", "str"), ("symbol", "str | None"), ("ts_recv_ns", "int"), ("raw", "bytes"),
              ("ts_venue_ms", "int | None"), ("data", "Any")],
    "Unknown": [("text", "str")],
    "DepthEvent": [("asks", LEVELS), ("bids", LEVELS), ("begin", "int"), ("end", "int")],
    "Pong": [("ts_server_ms", "int | None")],
    "Reply": [("message", "str")],
    "Acknowledgement": [("method", "str"), ("is_success", "bool")],
    "Deals": [("deals", "list[Deal]")],
    "Tickers": [("tickers", "list[TickerRow]")],
}
DOCS = {
    "channel": "The venue's name of it, push.depth for example.",
    "raw": "The frame as it came.",
    "ts_recv_ns": "Our wall clock at receipt; 0 when it was not given.",
}
METHODS = {
    "Record": ["def __init__(self) -> None: ...",
               "def decimal(self, name: str) -> Decimal | None: ...",
               "def members(self) -> dict[str, Any]: ..."],
    "Event": ["def to_dict(self) -> dict[str, Any]: ..."],
}
HEAD = '''\
# Written by tests/typing/event_stub.py from core/channels. Do not edit.
from decimal import Decimal
from typing import Any, Final, final

class Member:
    def __init__(self, venue_name: str, name: str, kind: int) -> None: ...
    @property
    def name(self) -> str:
        """Ours, in snake case."""
    @property
    def venue_name(self) -> str:
        """As it stands in the frame."""
    def __get__(self, instance: Any, owner: Any = None, /) -> Any: ...
    def __set__(self, instance: Any, value: Any, /) -> None: ...
'''
TAIL = '''
EVENT_CLASSES: Final[list[type[Event]]]

def parse_frame(
    data: bytes | bytearray | memoryview | str, ts_recv_ns: int = 0
) -> Event: ...
'''


def properties_of(name: str) -> list[tuple[str, str]]:
    """(name, type) of everything a class has and its bases have not."""
    found = dict(BY_HAND.get(name, []))
    for row in CHANNELS:
        if (row.record or row.event) == name:
            for field in row.fields:
                if not any(hasattr(base, field.name) for base in getattr(events, name).__bases__):
                    found.setdefault(field.name, TYPES[field.kind])
    return list(found.items())


def class_stub(cls: type) -> str:
    base = cls.__base__
    assert base is not None
    head = f"class {cls.__name__}{'' if base is object else f'({base.__name__})'}:"
    lines = [f"    {line}" for line in METHODS.get(cls.__name__, [])]
    for name, kind in properties_of(cls.__name__):
        words = DOCS.get(name) if cls.__name__ == "Event" else None
        lines += ["    @property", f"    def {name}(self) -> {kind}:" + ("" if words else " ...")]
        lines += [f'        """{words}"""'] if words else []
    final = "" if cls.__subclasses__() or cls in (events.Record, events.Event) else "@final\n"
    if not lines:
        return f"\n{final}{head} ...\n"
    return f"\n{final}{head}\n" + "\n".join(lines) + "\n"


def classes() -> list[type]:
    """Bases before those built on them, else in the order of the table."""
    listed = [getattr(events, name) for row in CHANNELS for name in (row.record, row.event) if name]
    found: list[type] = []
    for cls in listed:
        for each in reversed(cls.__mro__[:-1]):
            if each not in found:
                found.append(each)
    return found


def stub() -> str:
    """The whole file."""
    return HEAD + "".join(class_stub(cls) for cls in classes()) + TAIL


if __name__ == "__main__":
    if sys.argv[1:] == ["--write"]:
        STUB.write_text(stub(), encoding="utf-8")
    else:
        print(stub(), end="")

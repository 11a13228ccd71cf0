"""What listeners and watchers were told, as JSON: stream events and hooks of the private side."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import orjson

from mexcfast.core import stream_events
from mexcfast.core.stream_events import StreamEvent
from mexcfast.core.topics import Topic

#: event -> the listener's hook that is called beside on_stream_event, and its arguments
HOOKS = {
    "Connected": ("on_connected", ("connection",)),
    "Disconnected": ("on_disconnected", ("connection", "why")),
    "Reconnected": ("on_reconnected", ("connection", "down_ns")),
    "Refused": ("on_refused", ("topic", "why")),
}


def encode_event(event: StreamEvent) -> bytes:
    """The class's name and its fields."""
    return orjson.dumps({"is": type(event).__name__} | {
        each.name: _plain(getattr(event, each.name)) for each in fields(event)})


def encode_hook(hook: str, details: tuple[Any, ...]) -> bytes:
    """A hook of the private stream and its arguments."""
    return orjson.dumps({"hook": hook, "with": details})


def decode(text: bytes) -> StreamEvent | tuple[str, list[Any]]:
    """The event, or the hook and its arguments. ValueError, KeyError, TypeError when it is none."""
    row = orjson.loads(text)
    if "hook" in row:
        if row["hook"] not in {hook for hook, _ in HOOKS.values()}:
            raise ValueError(f"no hook: {row['hook']!r}")
        return row["hook"], row["with"]
    kind = getattr(stream_events, row.pop("is"))
    if not (isinstance(kind, type) and issubclass(kind, StreamEvent)):
        raise ValueError(f"no stream event: {kind!r}")
    members: dict[str, Any] = {name: _topic(value) if name == "topic" else value
                               for name, value in row.items()}
    return kind(**members)


def _plain(value: Any) -> Any:
    if isinstance(value, Topic):
        return {"channel": value.channel, "symbol": value.symbol, "params": value.params}
    return value


def _topic(row: Any) -> Topic | None:
    if row is None:
        return None
    return Topic(row["channel"], row["symbol"], tuple((name, value) for name, value in
                                                      row["params"]))

"""Recordings of what the sockets received: written while trading, replayed to the same listeners.

The format, what is in a tape and what is not: docs/tape.md. Begin with Client.record(directory) and
mexcfast.Replay(directory).
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mexcfast.core.tap import Kind
    from mexcfast.tape.export import export_lines
    from mexcfast.tape.format import Damage, Record, read
    from mexcfast.tape.recorder import Recorder, TapeSettings
    from mexcfast.tape.replay import Replay, Summary

# loaded when first used: a client that does not record pays nothing
_HOMES = {"Damage": "tape.format", "Kind": "core.tap", "Record": "tape.format",
          "Recorder": "tape.recorder", "Replay": "tape.replay", "Summary": "tape.replay",
          "TapeSettings": "tape.recorder", "export_lines": "tape.export", "read": "tape.format"}

__all__ = ["Damage", "Kind", "Record", "Recorder", "Replay", "Summary", "TapeSettings",
           "export_lines", "read"]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(f"mexcfast.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'mexcfast.tape' has no attribute {name!r}")

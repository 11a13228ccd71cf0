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
    from mexcfast.tape.tables import Contents, Exported, Tables, contents, export_tables

# loaded when first used: a client that does not record pays nothing
_HOMES = {"Contents": "tape.tables", "Damage": "tape.format", "Exported": "tape.tables",
          "Kind": "core.tap", "Record": "tape.format", "Recorder": "tape.recorder",
          "Replay": "tape.replay", "Summary": "tape.replay", "Tables": "tape.tables",
          "TapeSettings": "tape.recorder", "contents": "tape.tables",
          "export_lines": "tape.export", "export_tables": "tape.tables", "read": "tape.format"}

__all__ = ["Contents", "Damage", "Exported", "Kind", "Record", "Recorder", "Replay", "Summary",
           "Tables", "TapeSettings", "contents", "export_lines", "export_tables", "read"]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(f"mexcfast.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'mexcfast.tape' has no attribute {name!r}")

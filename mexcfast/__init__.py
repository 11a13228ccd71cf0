"""mexcfast: the fastest and the safest way to trade MEXC futures from Python.

Names are loaded when first used: importing the package does no work. Types: __init__.pyi.
"""

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

# public name -> the room it lives in, below mexcfast; errors are public as well
_HOMES = {
    "AuditSettings": "net.audit",
    "Accepted": "types",
    "AccountSettings": "net.reconcile",
    "AccountState": "core.account",
    "Alert": "net.alerts",
    "AlertLevel": "net.alerts",
    "BookChanges": "core.changes",
    "Change": "core.depth",
    "Client": "client",
    "Endpoint": "core.rest",
    "Event": "core.events",
    "LIVE": "core.rest",
    "Journal": "net.journal",
    "KillSwitchSettings": "core.killswitch",
    "Listener": "core.listener",
    "LiveOrder": "net.own",
    "MarketData": "client",
    "Metrics": "metrics.hub",
    "Mirror": "core.account",
    "OpenType": "types",
    "OrderBook": "core.depth",
    "OrderType": "types",
    "Phase": "core.tracker",
    "Recorder": "tape.recorder",
    "Rejected": "types",
    "Replay": "tape.replay",
    "RiskLimits": "core.intent",
    "Side": "types",
    "Signer": "core.sign",
    "State": "core.depth",
    "StreamSettings": "net.connection",
    "SwitchState": "core.killswitch",
    "TapeSettings": "tape.recorder",
    "Trader": "client",
    "Trigger": "core.killswitch",
    "Unknown": "types",
    "Webhook": "net.alerts",
    "book_hash": "core.book_hash",
    "canonical_query": "core.sign",
    "parse_frame": "core.events",
    "run": "runtime",
}
_ROOMS = {"account": "core.account", "events": "core.events", "gateway": "gateway",
          "topics": "core.topics"}

__all__ = ["__version__", *sorted([*_HOMES, *_ROOMS])]


def __getattr__(name: str) -> Any:
    """Called for a name's first use only: from then on it is the module's own."""
    if name in _HOMES:
        found = getattr(import_module(f"mexcfast.{_HOMES[name]}"), name)
    elif name in _ROOMS:
        found = import_module(f"mexcfast.{_ROOMS[name]}")
    else:
        found = getattr(import_module("mexcfast.errors"), name, None)
        if not (isinstance(found, type) and issubclass(found, Exception)):
            raise AttributeError(f"module 'mexcfast' has no attribute {name!r}")
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return [*__all__, *import_module("mexcfast.errors").__all__]

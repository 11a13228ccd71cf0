"""mexcfast: the fastest and the safest way to trade MEXC futures from Python.

Names are loaded when first used: importing the package does no work.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from mexcfast.client import Client, MarketData, Trader
    from mexcfast.core import events, topics
    from mexcfast.core.depth import Change, OrderBook, State
    from mexcfast.core.events import Event, parse_frame
    from mexcfast.core.listener import Listener
    from mexcfast.core.rest import LIVE, Endpoint
    from mexcfast.core.sign import Signer, canonical_query
    from mexcfast.net.connection import StreamSettings
    from mexcfast.runtime import run
    from mexcfast.types import Accepted, Rejected, Side, Unknown

_HOMES = {
    "Accepted": "types",
    "Change": "core.depth",
    "Client": "client",
    "Endpoint": "core.rest",
    "Event": "core.events",
    "LIVE": "core.rest",
    "Listener": "core.listener",
    "MarketData": "client",
    "OrderBook": "core.depth",
    "OrderType": "types",
    "OpenType": "types",
    "Rejected": "types",
    "Side": "types",
    "Signer": "core.sign",
    "State": "core.depth",
    "StreamSettings": "net.connection",
    "Trader": "client",
    "Unknown": "types",
    "canonical_query": "core.sign",
    "events": "core",
    "parse_frame": "core.events",
    "run": "runtime",
    "topics": "core",
}

__all__ = ["__version__", *sorted(_HOMES)]


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        # errors are public as well: mexcfast.FrameError and its kin
        found = getattr(import_module("mexcfast.errors"), name, None)
        if isinstance(found, type) and issubclass(found, Exception):
            return found
        raise AttributeError(f"module 'mexcfast' has no attribute {name!r}")
    if home == "core":
        return import_module(f"mexcfast.core.{name}")
    return getattr(import_module(f"mexcfast.{home}"), name)


def __dir__() -> list[str]:
    return [*__all__, *import_module("mexcfast.errors").__all__]

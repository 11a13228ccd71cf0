"""The exchange in the box: a MEXC-like venue on loopback, read from protocol.md on its own.

    async with Exchange(seed=7) as venue:
        print(venue.rest_url, venue.ws_url)

Nothing here imports mexcfast.core or mexcfast.net: client and exchange are two readings of one
document, so that one misreading cannot hide the other.
"""

from __future__ import annotations

from mexcfast.sim.mirror import Mirror
from mexcfast.sim.replay import Replay
from mexcfast.sim.script import Script
from mexcfast.sim.server import BookView, Exchange, Logged, serve
from mexcfast.sim.settings import Limits, Variations

__all__ = [
    "BookView",
    "Exchange",
    "Limits",
    "Logged",
    "Mirror",
    "Replay",
    "Script",
    "Variations",
    "serve",
]

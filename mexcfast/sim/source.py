"""Where a market's movements come from, when not from the seeded order flow.

A Source brings its contracts, is attached to the venue that trades them, and from then on moves
their books. Three exist: script.py (exact actions), replay.py (a recorded file), mirror.py (another
exchange's book, live).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mexcfast.sim.contracts import Contract
from mexcfast.sim.matching import Book
from mexcfast.sim.venue import Venue


class Source:
    """Base of the three; a Source serves one exchange, once."""

    book_type: type[Book] = Book
    """The kind of book the venue must keep for it."""
    filled = False
    """Whether the seeded crowd lays the first orders."""
    sets_prices = False
    """Whether index and fair prices come from here; otherwise the venue derives them."""

    def contracts(self) -> list[Contract | str]:
        """What is traded: definitions, or names of which the exchange knows more."""
        raise NotImplementedError

    def attach(self, venue: Venue) -> None:
        """The venue to move."""
        raise NotImplementedError

    async def run(self) -> None:
        """Move the market in real time until cancelled or finished."""
        raise NotImplementedError

    def step(self, symbol: str | None) -> bool:
        """One movement by hand, whatever the clock; False when there is none left."""
        raise ValueError(f"{type(self).__name__} cannot be stepped")

    def state(self) -> Mapping[str, Any]:
        """For the control endpoint."""
        return {}

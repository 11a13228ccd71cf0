"""Own orders as live objects, and the listener that feeds them from the private stream."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from mexcfast.core.events import Event, FillUpdate, OrderUpdate, PositionUpdate
from mexcfast.core.listener import Listener
from mexcfast.core.results import decode, read_fill, read_order, read_position
from mexcfast.core.tracker import Phase, TrackedOrder, Tracker
from mexcfast.types import Position, PositionType


class LiveOrder(TrackedOrder):
    """One order that can be waited for. Its attributes change as news arrives."""

    __slots__ = ("_waiting",)

    def __init__(self) -> None:
        super().__init__()
        self._waiting: list[tuple[Phase, asyncio.Future[Phase]]] = []

    async def done(self) -> Phase:
        """Wait until it is filled, cancelled or rejected; returns which."""
        return await self._reached(Phase.FILLED)

    async def known(self) -> Phase:
        """Wait until its fate at the venue is known: it lives, has ended or never was."""
        return await self._reached(Phase.OPEN)

    async def _reached(self, phase: Phase) -> Phase:
        if self.phase >= phase:
            return self.phase
        future: asyncio.Future[Phase] = asyncio.get_running_loop().create_future()
        self._waiting.append((phase, future))
        return await future

    def wake(self) -> None:
        """The tracker changed it: release whoever waits for this phase."""
        still = []
        for phase, future in self._waiting:
            if future.done():
                continue
            if self.phase >= phase:
                future.set_result(self.phase)
            else:
                still.append((phase, future))
        self._waiting = still


class Holdings:
    """Contracts held, by contract and direction, from the stream and from REST reads."""

    def __init__(self) -> None:
        self.is_known = False       # a REST read has shown everything once
        self._held: dict[tuple[str, PositionType], Position] = {}

    def take(self, position: Position) -> None:
        """A position as the venue shows it; older news than what is known is left out."""
        key = (position.symbol, position.type)
        known = self._held.get(key)
        if known is None or self._age(position) >= self._age(known):
            self._held[key] = position

    @staticmethod
    def _age(position: Position) -> tuple[int, int, int]:
        return position.ts_updated_ms, position.position_id, position.version or 0

    def take_all(self, positions: tuple[Position, ...], ts_asked_ms: int) -> None:
        """A whole REST read begun at this venue time: what it lacks and is older is gone."""
        named = {(position.symbol, position.type) for position in positions}
        for key, known in list(self._held.items()):
            if key not in named and known.ts_updated_ms < ts_asked_ms - 1000:
                del self._held[key]
        for position in positions:
            self.take(position)
        self.is_known = True

    def get(self, symbol: str, type: PositionType) -> Position | None:
        """The position in one direction; None without one."""
        position = self._held.get((symbol, type))
        return position if position is not None and position.quantity else None

    def __iter__(self) -> Any:
        return iter([position for position in self._held.values() if position.quantity])


class OwnFeed(Listener):
    """Receives the private stream; everything it says goes to the tracker and the holdings.

    on_state: called with True when the stream is (again) there and False when it is lost.
    """

    def __init__(self, tracker: Tracker, holdings: Holdings,
                 on_state: Callable[[bool], None]) -> None:
        self._tracker = tracker
        self._holdings = holdings
        self._on_state = on_state

    def on_event(self, event: Event) -> None:
        """Reads the frame's own text, so that every number is exact."""
        if isinstance(event, OrderUpdate):
            self._tracker.report(read_order(decode(event.raw)["data"]))
        elif isinstance(event, FillUpdate):
            self._tracker.fill(read_fill(decode(event.raw)["data"]))
        elif isinstance(event, PositionUpdate):
            self._holdings.take(read_position(decode(event.raw)["data"]))

    def on_disconnected(self, connection: Any, why: str) -> None:
        self._on_state(False)

    def on_reconnected(self, connection: Any, down_ns: int) -> None:
        self._on_state(True)

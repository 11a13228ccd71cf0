"""Own orders as live objects, and the listener that feeds them from the private stream."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from mexcfast.core.account import Mirror
from mexcfast.core.events import Event
from mexcfast.core.listener import Listener
from mexcfast.core.tracker import Phase, TrackedOrder, Tracker
from mexcfast.errors import BadAnswer
from mexcfast.types import Fill, Order


class LiveOrder(TrackedOrder):
    """One order that can be waited for. Its attributes change as news arrives."""

    __slots__ = ()

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
        if self.waiting is None:
            self.waiting = []
        self.waiting.append((phase, future))
        return await future

    def wake(self) -> None:
        """The tracker changed it: release whoever waits for this phase."""
        if self.waiting is None:
            return
        still: list[tuple[Phase, asyncio.Future[Phase]]] = []
        for phase, future in self.waiting:
            if future.done():
                continue
            if self.phase >= phase:
                future.set_result(self.phase)
            else:
                still.append((phase, future))
        self.waiting = still or None


class OwnFeed(Listener):
    """Receives the private stream; the mirror hears everything, the tracker orders and fills.

    now_ms: venue time, for pushes without their own. on_unreadable: told of a push that was lost
    because it cannot be read.
    """

    def __init__(self, tracker: Tracker, mirror: Mirror, now_ms: Callable[[], int],
                 on_unreadable: Callable[[str], None]) -> None:
        self._tracker = tracker
        self._mirror = mirror
        self._now_ms = now_ms
        self._on_unreadable = on_unreadable

    def on_event(self, event: Event) -> None:
        """Reads the frame's own text, so that every number is exact."""
        try:
            fact = self._mirror.hear(event, self._now_ms())
        except BadAnswer as error:
            self._on_unreadable(f"{event.channel} cannot be read: {error}")
            return
        if isinstance(fact, Order):
            self._tracker.report(fact)
        elif isinstance(fact, Fill):
            self._tracker.fill(fact)

"""One budget's slots, and the tasks that wait for them: core/schedule with a clock and a timer."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Hashable
from dataclasses import dataclass

from mexcfast.core.rest import Subject
from mexcfast.core.schedule import Schedule, Ticket
from mexcfast.core.throttle import Lane
from mexcfast.core.window import Window
from mexcfast.errors import ConnectFailed, Dropped, MexcfastError
from mexcfast.net.clock import Clock


@dataclass(frozen=True, slots=True)
class Queued:
    """One request that waits for a slot."""

    group: str
    lane: Lane
    key: Hashable | None
    waited_ns: int
    about: Subject


@dataclass(slots=True)
class _Place:
    """What the queue holds: the task waiting, and for what."""

    granted: asyncio.Future[None]
    about: Subject


class Slots:
    """One group's slots and the tasks waiting for them, woken lane by lane."""

    def __init__(self, group: str, window: Window, clock: Clock) -> None:
        self.group = group
        self.schedule: Schedule[_Place] = Schedule(window)
        self._clock = clock
        self._timer: asyncio.TimerHandle | None = None

    def wait_ns(self) -> int:
        return self.schedule.wait_ns(self._clock.monotonic_ns())

    def take_now(self, lane: Lane) -> int:
        """0 when a slot was taken, else nanoseconds to wait. Nobody overtakes those who wait."""
        return self.schedule.take(self._clock.monotonic_ns(), lane)

    async def take(self, lane: Lane, about: Subject, key: Hashable | None = None,
                   max_age_ns: int | None = None, keep: bool = False) -> None:
        """Take a slot, waiting for it in the given lane. Raises Dropped."""
        if self.take_now(lane) == 0:
            return
        now_ns = self._clock.monotonic_ns()
        place = _Place(asyncio.get_running_loop().create_future(), about)
        expires_ns = None if max_age_ns is None else now_ns + max_age_ns
        ticket, dropped = self.schedule.enter(now_ns, lane, place, key, expires_ns, keep)
        if dropped is not None:
            self._drop(dropped, "replaced")
        if ticket is None:
            raise Dropped("kept")
        self.reschedule()
        try:
            await place.granted
        except asyncio.CancelledError:
            # A slot granted to a task that was cancelled in the same turn is spent: the safe side.
            self.schedule.leave(ticket)
            self.reschedule()
            raise

    def _drop(self, ticket: Ticket[_Place], reason: str) -> None:
        if not ticket.item.granted.done():
            waited_ns = self._clock.monotonic_ns() - ticket.since_ns
            ticket.item.granted.set_exception(Dropped(reason, waited_ns))

    def reschedule(self) -> None:
        """Set the timer for the next moment at which something happens."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        wait_ns = self.schedule.next_ns(self._clock.monotonic_ns())
        if wait_ns is not None:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(wait_ns / 1e9, self._wake)

    def _wake(self) -> None:
        self._timer = None
        granted, outdated = self.schedule.due(self._clock.monotonic_ns())
        for ticket in outdated:
            self._drop(ticket, "outdated")
        for ticket in granted:
            if not ticket.item.granted.done():
                ticket.item.granted.set_result(None)
        self.reschedule()

    def queue(self) -> list[Queued]:
        now_ns = self._clock.monotonic_ns()
        return [Queued(self.group, ticket.lane, ticket.key, now_ns - ticket.since_ns,
                       ticket.item.about) for ticket in self.schedule.tickets()]

    def recheck(self, guard: Callable[[Lane], MexcfastError | None]) -> None:
        for ticket in self.schedule.tickets():
            why = guard(ticket.lane)
            if why is not None and self.schedule.leave(ticket) and not ticket.item.granted.done():
                ticket.item.granted.set_exception(why)
        self.reschedule()

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for ticket in self.schedule.tickets():
            self.schedule.leave(ticket)
            if not ticket.item.granted.done():
                ticket.item.granted.set_exception(ConnectFailed("the executor was closed"))

"""Who gets the next slot of a budget: four lanes, keys, ages. A pure function of integer time.

The venue's slots are currency (4 order entries per 2 s), so what waits for one leaves by lane:
cancel before reduce before amend before open, and within a lane in order of arrival. An item may
carry a key: a newcomer with the same key replaces the one that waits, wherever it waits, or is
turned away (keep). An item may expire: too old, it never leaves.

Every method takes the time, in nanoseconds of one monotonic clock; nothing here reads a clock.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from typing import Generic, TypeVar

from mexcfast.core.throttle import Lane, Window

T = TypeVar("T")


class Ticket(Generic[T]):
    """One item in the queue. is_waiting turns False when it was granted, dropped or taken back."""

    __slots__ = ("expires_ns", "is_waiting", "item", "key", "lane", "since_ns")

    def __init__(self, lane: Lane, item: T, key: Hashable | None, since_ns: int,
                 expires_ns: int | None) -> None:
        self.lane = lane
        self.item = item
        self.key = key
        self.since_ns = since_ns        # when it entered
        self.expires_ns = expires_ns    # from this moment on it is too old
        self.is_waiting = True


class Schedule(Generic[T]):
    """The slots of one window, and those who wait for them."""

    __slots__ = ("_closed_ns", "_count", "_keys", "_lanes", "window")

    def __init__(self, window: Window) -> None:
        self.window = window
        # Dicts are ordered sets here: arrival order, removal in O(1).
        self._lanes: dict[Lane, dict[Ticket[T], None]] = {lane: {} for lane in Lane}
        self._keys: dict[Hashable, Ticket[T]] = {}
        self._closed_ns: dict[Lane, int] = {}
        self._count = 0             # of those who wait

    def __len__(self) -> int:
        return self._count

    def tickets(self) -> tuple[Ticket[T], ...]:
        """Everything that waits, in the order in which it would leave."""
        return tuple(ticket for tickets in self._lanes.values() for ticket in tickets)

    def close(self, lanes: Iterable[Lane], until_ns: int) -> None:
        """Nothing of these lanes leaves before until_ns; the others pass."""
        for lane in lanes:
            self._closed_ns[lane] = max(until_ns, self._closed_ns.get(lane, until_ns))

    def _closed(self, lane: Lane, now_ns: int) -> int:
        """Nanoseconds until the lane opens; 0 when it is open."""
        until_ns = self._closed_ns.get(lane)
        return max(0, until_ns - now_ns) if until_ns is not None else 0

    def wait_ns(self, now_ns: int, lane: Lane = Lane.CANCEL) -> int:
        """Nanoseconds until a newcomer of this lane could leave if nobody waited."""
        return max(self.window.wait_ns(now_ns), self._closed(lane, now_ns))

    def forecast(self, now_ns: int) -> dict[Lane, tuple[int, int]]:
        """Lane -> how many wait in it, and nanoseconds until a newcomer of it would leave.

        Lanes that are closed let the others pass, so who waits in them is not counted before they
        open.
        """
        found: dict[Lane, tuple[int, int]] = {}
        ahead = 0
        for lane, tickets in self._lanes.items():
            closed_ns = self._closed(lane, now_ns)
            own = ahead + len(tickets)
            found[lane] = (len(tickets), max(closed_ns, self.window.forecast_ns(now_ns, own)))
            if not closed_ns:
                ahead = own
        return found

    def take(self, now_ns: int, lane: Lane) -> int:
        """A slot at once: 0 when granted, else the nanoseconds to wait, and nothing is taken.

        Nobody overtakes those who wait and may go.
        """
        if not self._count and not self._closed_ns:
            return self.window.take(now_ns)
        if any(tickets and not self._closed(each, now_ns)
               for each, tickets in self._lanes.items()):
            return max(1, self.wait_ns(now_ns, lane))
        closed_ns = self._closed(lane, now_ns)
        return max(closed_ns, self.window.wait_ns(now_ns)) if closed_ns else (
            self.window.take(now_ns))

    def enter(self, now_ns: int, lane: Lane, item: T, key: Hashable | None = None,
              expires_ns: int | None = None,
              keep: bool = False) -> tuple[Ticket[T] | None, Ticket[T] | None]:
        """Queue an item: its ticket, and the one that was dropped for it.

        keep: when the key waits already, the newcomer is turned away: (None, None).
        """
        replaced = self._keys.get(key) if key is not None else None
        if replaced is not None:
            if keep:
                return None, None
            self.leave(replaced)
        ticket = Ticket(lane, item, key, now_ns, expires_ns)
        self._lanes[lane][ticket] = None
        self._count += 1
        if key is not None:
            self._keys[key] = ticket
        return ticket, replaced

    def leave(self, ticket: Ticket[T]) -> bool:
        """Take a ticket back; False when it was not waiting."""
        if not ticket.is_waiting:
            return False
        ticket.is_waiting = False
        self._count -= 1
        del self._lanes[ticket.lane][ticket]
        if ticket.key is not None:
            del self._keys[ticket.key]
        return True

    def due(self, now_ns: int) -> tuple[list[Ticket[T]], list[Ticket[T]]]:
        """(granted, outdated): whoever leaves now and whoever is too old to leave at all."""
        outdated = [ticket for ticket in self.tickets()
                    if ticket.expires_ns is not None and now_ns >= ticket.expires_ns]
        for ticket in outdated:
            self.leave(ticket)
        granted: list[Ticket[T]] = []
        for lane, tickets in self._lanes.items():
            while tickets and not self._closed(lane, now_ns):
                if self.window.take(now_ns) > 0:
                    return granted, outdated
                ticket = next(iter(tickets))
                self.leave(ticket)
                granted.append(ticket)
        return granted, outdated

    def next_ns(self, now_ns: int) -> int | None:
        """Nanoseconds until due() has something to do; None when nothing waits."""
        soonest: int | None = None
        slot_ns = self.window.wait_ns(now_ns)
        for lane, tickets in self._lanes.items():
            if tickets:
                wait = max(slot_ns, self._closed(lane, now_ns))
                soonest = wait if soonest is None else min(soonest, wait)
            for ticket in tickets:
                if ticket.expires_ns is not None and soonest is not None:
                    soonest = min(soonest, max(0, ticket.expires_ns - now_ns))
        return soonest

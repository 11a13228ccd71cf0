"""Who gets the next slot of a budget: four lanes, keys, ages. A pure function of integer time.

The venue's slots are currency (4 order entries per 2 s), so what waits for one leaves by lane:
cancel before reduce before amend before open, and within a lane in order of arrival. An item may
carry a key: a newcomer with the same key replaces the one that waits, wherever it waits, or is
turned away (keep). An item may expire: too old, it never leaves.

Every method takes the time, in nanoseconds of one monotonic clock; nothing here reads a clock.
"""

cimport cython
from libc.stdint cimport int64_t

from mexcfast.core.window cimport Window

from mexcfast.core.throttle import Lane

cdef object CANCEL = Lane.CANCEL    # an enum's own look-up is slow


@cython.final
@cython.auto_pickle(False)
cdef class Ticket:
    """One item in the queue. is_waiting turns False when it was granted, dropped or taken back."""

    def __init__(self, object lane, item, key, since_ns, expires_ns):
        self.lane = lane
        self.item = item
        self.key = key
        self.since_ns = since_ns
        self.expires_ns = expires_ns
        self.is_waiting = True


@cython.final
@cython.auto_pickle(False)
cdef class Schedule:
    """The slots of one window, and those who wait for them."""

    def __init__(self, Window window not None):
        self.window = window
        self._lanes = {lane: {} for lane in Lane}
        self._keys = {}
        self._closed_ns = {}

    def __len__(self):
        return self._count

    def tickets(self):
        """Everything that waits, in the order in which it would leave."""
        return tuple([ticket for tickets in self._lanes.values() for ticket in tickets])

    def close(self, lanes, int64_t until_ns):
        """Nothing of these lanes leaves before until_ns; the others pass."""
        for lane in lanes:
            self._closed_ns[lane] = max(until_ns, self._closed_ns.get(lane, until_ns))

    cdef int64_t closed(self, object lane, int64_t now_ns) except? -1:
        """Nanoseconds until the lane opens; 0 when it is open."""
        cdef int64_t left_ns
        until_ns = self._closed_ns.get(lane)
        if until_ns is None:
            return 0
        left_ns = <int64_t>until_ns - now_ns
        return max(0, left_ns)

    cpdef int64_t wait_ns(self, int64_t now_ns, object lane=CANCEL) except? -1:
        """Nanoseconds until a newcomer of this lane could leave if nobody waited."""
        return max(self.window.wait_ns(now_ns), self.closed(lane, now_ns))

    def forecast(self, int64_t now_ns):
        """Lane -> how many wait in it, and nanoseconds until a newcomer of it would leave.

        Lanes that are closed let the others pass, so who waits in them is not counted before they
        open.
        """
        found = {}
        ahead = 0
        for lane, tickets in self._lanes.items():
            closed_ns = self.closed(lane, now_ns)
            own = ahead + len(tickets)
            found[lane] = (len(tickets), max(closed_ns, self.window.forecast_ns(now_ns, own)))
            if not closed_ns:
                ahead = own
        return found

    cpdef int64_t take(self, int64_t now_ns, object lane) except? -1:
        """A slot at once: 0 when granted, else the nanoseconds to wait, and nothing is taken.

        Nobody overtakes those who wait and may go.
        """
        cdef int64_t closed_ns
        if not self._count and not self._closed_ns:
            return self.window.take(now_ns)
        for each, tickets in self._lanes.items():
            if tickets and not self.closed(each, now_ns):
                return max(1, self.wait_ns(now_ns, lane))
        closed_ns = self.closed(lane, now_ns)
        return max(closed_ns, self.window.wait_ns(now_ns)) if closed_ns else (
            self.window.take(now_ns))

    def enter(self, int64_t now_ns, lane, item, key=None, expires_ns=None, bint keep=False):
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

    cpdef bint leave(self, Ticket ticket) except -1:
        """Take a ticket back; False when it was not waiting."""
        if not ticket.is_waiting:
            return False
        ticket.is_waiting = False
        self._count -= 1
        del self._lanes[ticket.lane][ticket]
        if ticket.key is not None:
            del self._keys[ticket.key]
        return True

    def due(self, int64_t now_ns):
        """(granted, outdated): whoever leaves now and whoever is too old to leave at all."""
        outdated = [ticket for ticket in self.tickets()
                    if ticket.expires_ns is not None and now_ns >= ticket.expires_ns]
        for ticket in outdated:
            self.leave(ticket)
        granted = []
        for lane, tickets in self._lanes.items():
            while tickets and not self.closed(lane, now_ns):
                if self.window.take(now_ns) > 0:
                    return granted, outdated
                ticket = next(iter(tickets))
                self.leave(ticket)
                granted.append(ticket)
        return granted, outdated

    def next_ns(self, int64_t now_ns):
        """Nanoseconds until due() has something to do; None when nothing waits."""
        soonest = None
        slot_ns = self.window.wait_ns(now_ns)
        for lane, tickets in self._lanes.items():
            if tickets:
                wait = max(slot_ns, self.closed(lane, now_ns))
                soonest = wait if soonest is None else min(soonest, wait)
            for ticket in tickets:
                if ticket.expires_ns is not None and soonest is not None:
                    soonest = min(soonest, max(0, ticket.expires_ns - now_ns))
        return soonest

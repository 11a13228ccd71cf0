"""A write's straight way: it leaves during the call that asks for it, when nothing is in its way.

    ready()    slot, connection, signed bytes; None: execute() must do it
    depart()   the bytes are with the kernel
    landed()   the answer's outcome

The part of net/executor that every write of order entry passes, compiled: after a pause of the
market it is the number of cache lines on the way that costs, and Python's are many. What it means
is said there; tests run both ways against the same server and the same faults.
"""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.stdint cimport int64_t

from mexcfast.core.ack cimport accepted_at_sight
from mexcfast.core.sign cimport checked_time
from mexcfast.net.lane cimport IdleConnections, LaneConnection

import asyncio

from mexcfast.core.rest import ORDER_ENTRY as _order_entry
from mexcfast.core.rest import Subject, find
from mexcfast.core.results import read_ack
from mexcfast.core.throttle import Lane
from mexcfast.errors import ConnectFailed, NetworkError
from mexcfast.net.lane import NotSent
from mexcfast.types import Rejected, Unknown

cdef object CANCEL = Lane.CANCEL    # an enum's own look-up is slow
cdef enum:
    MOST_DOUBTS = 100       # remembered before those that are over are looked for


@cython.final
@cython.auto_pickle(False)
cdef class Way:
    """What the writes of one endpoint need, found once."""


@cython.final
@cython.auto_pickle(False)
cdef class Flight:
    """A write that has left by launch(), until its answer is there."""

    @property
    def about(self):
        """What it concerns, repeated in its outcome."""
        return Subject(self.symbol, self.client_order_id, self.order_id)

    def drop(self):
        """Nobody waits for the answer any more: its connection can carry nothing else."""
        if self.connection is not None:
            self.connection.drop()
        self.answered.cancel()


@cython.auto_pickle(False)
cdef class Launcher:
    """The base of net/executor.Executor, which owns the budgets, the lanes and the forms."""

    def __cinit__(self, *args, **kwargs):
        self._ways = {}
        self._doubts = {}

    cdef Way way(self, str name):
        """None when this write cannot go over the order lane."""
        cdef Way way = self._ways.get(name)
        if way is None or way.form.signer is not self._signer:      # other keys, another form
            if name not in _order_entry:
                return None
            way = Way.__new__(Way)
            way.route = find(name)
            way.lane = way.route.lane
            way.schedule = self._budget(way.route).schedule
            way.form = self._form(way.route)
            way.is_signed = way.route.signed
            way.has_ack = way.route.parse is read_ack
            way.expiry_ms = self.endpoint.expiry_ms
            self._ways[name] = way
        return way

    cdef Flight ready(self, str name, object body, object symbol, object client_order_id,
                      object order_id, object lane):
        """A write with its slot, its connection and its bytes; None, and nothing was taken, when
        something stands in its way. Whoever has one calls depart() or undo() next.
        body: the bytes, or what gives them once the slot is there.
        """
        cdef bytes text
        cdef Flight flight
        cdef Way way
        cdef LaneConnection connection
        cdef int64_t began_ns = self.clock.monotonic_ns()
        if self._lanes is None or self._resync_due or self.on_write is not None:
            return None
        way = self.way(name)
        if way is None:
            return None
        if lane is None:
            lane = way.lane
        if self.guard is not None and self.guard(way.route, lane) is not None:
            return None
        connection = (<IdleConnections?>self._lanes.idle).take()
        if connection is None:
            return None
        flight = Flight.__new__(Flight)
        flight.connection = connection
        try:
            if way.schedule.take(self.clock.monotonic_ns(), lane) > 0:
                self.undo(flight)
                return None
            text = body if type(body) is bytes else body()
            flight.ts_sent_ms = self.clock.venue_ms()
            flight.request = way.form.fill(checked_time(flight.ts_sent_ms),
                                           PyBytes_AS_STRING(text), PyBytes_GET_SIZE(text))
        except BaseException:
            self.undo(flight)
            raise
        flight.began_ns = began_ns
        flight.way = way
        flight.place = lane
        flight.symbol, flight.client_order_id, flight.order_id = symbol, client_order_id, order_id
        return flight

    cdef int undo(self, Flight flight) except -1:
        """It does not leave after all; its slot is spent: the safe side."""
        self._lanes.give_back(flight.connection)
        return 0

    cdef int depart(self, Flight flight) except -1:
        """It leaves. Sent at most once, whatever happens."""
        flight.doubt = self.remember(flight.place, flight.ts_sent_ms, flight.way.expiry_ms)
        flight.resyncs = self._resyncs
        try:
            flight.answered = flight.connection.send_quiet(flight.request)
        except NotSent:
            flight.connection = None
            flight.answered = asyncio.get_running_loop().create_task(
                self._elsewhere(self._lanes, flight.request))
        flight.request = None
        return 0

    def launch(self, name, body, about, *, lane=None, on_send=None):
        """execute() as far as it goes without waiting: the request leaves during this call.

        None, with nothing done, when something stands in the way: no slot or no idle connection,
        a refusal by the guard, a ping that is due, somebody who records what is sent. The flight's
        outcome is landed(flight), once its answer is there. body, on_send: as in execute(); what
        they raise is raised here, and nothing is sent.
        """
        cdef Flight flight = self.ready(name, body, about.symbol, about.client_order_id,
                                        about.order_id, lane)
        if flight is None:
            return None
        if on_send is not None:
            try:
                on_send(flight.ts_sent_ms)
            except BaseException:
                self.undo(flight)
                raise
        self.depart(flight)
        return flight

    cpdef object landed(self, Flight flight):
        """The outcome of a flight whose answer is there; once."""
        cdef Way way = flight.way
        try:
            status, answer = flight.answered.result()
        except ConnectFailed as error:
            self._doubts.pop(flight.doubt, None)
            return Rejected(error, flight.symbol, flight.client_order_id, flight.order_id)
        except NetworkError as error:
            self._told(way.route, error)
            return Unknown(error, flight.symbol, flight.client_order_id, flight.order_id,
                           ts_sent_ms=flight.ts_sent_ms)
        if way.has_ack and 200 <= status < 300:
            outcome = accepted_at_sight(flight.symbol, flight.client_order_id, answer)
            if outcome is not None:
                self._doubts.pop(flight.doubt, None)
                if self.on_answer is not None and way.is_signed:
                    self.on_answer(way.route, None)
                return outcome
        return self._judged(way.route, flight.about, status, answer, flight.ts_sent_ms,
                            flight.doubt, flight.resyncs)

    cpdef int64_t _doubt(self, object lane, object ts_sent_ms) except -1:
        """A write leaves: until it is answered it may be taken as long as its time is valid."""
        if ts_sent_ms is None:
            self._sent += 1
            return self._sent
        return self.remember(lane, ts_sent_ms, self.endpoint.expiry_ms)

    cdef int64_t remember(self, object lane, int64_t ts_sent_ms, int64_t expiry_ms) except -1:
        self._sent += 1
        if lane is not CANCEL:
            if len(self._doubts) > MOST_DOUBTS:
                now_ms = self.clock.venue_ms()
                self._doubts = {at: until for at, until in self._doubts.items() if until > now_ms}
            self._doubts[self._sent] = ts_sent_ms + expiry_ms
        return self._sent

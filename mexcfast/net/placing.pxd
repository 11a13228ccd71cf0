"""Header of net/placing: what Orders keeps for every order it places."""

from mexcfast.core.client_ids cimport ClientOrderIds
from mexcfast.core.intent cimport OrderIntent
from mexcfast.core.tracker cimport TrackedOrder, Tracker
from mexcfast.net.launch cimport Flight, Launcher


cdef class Placing:
    cdef public Launcher _executor
    cdef public dict contracts          # symbol -> Contract
    cdef public ClientOrderIds ids
    cdef public Tracker tracker
    cdef public object journal          # None: none
    cdef public object limits           # RiskLimits; None: none
    cdef public object position_mode
    cdef public object mirror
    cdef public object exposure
    cdef public object resolver
    cdef public object reconciler
    cdef public object on_outcome
    cdef public list on_change
    cdef public bint is_ready
    cdef public bint repeat_mistimed
    cdef public bint _only_when_ready
    cdef public object _reference_price
    cdef public set _tasks

    cdef OrderIntent wish(self, object symbol, object side, object quantity, object price,
                          object type, object open_type, object leverage, object reduce_only,
                          object client_order_id, dict more)
    cdef Flight launch(self, OrderIntent intent, TrackedOrder order)
    cdef object landed(self, Flight flight)
    cpdef TrackedOrder _expect(self, OrderIntent intent)
    cpdef object _changed(self, TrackedOrder order)

"""Header of core/tracker: own orders, from C."""


cdef class TrackedOrder:
    cdef public object client_order_id
    cdef public object order_id         # the venue's; None until it is known
    cdef readonly object phase          # Phase
    cdef public object outcome          # what REST said of placing it
    cdef public object report           # the newest state the venue has shown
    cdef public object ts_sent_ms       # the request time that was signed
    cdef public object replaces         # order id this one took the place of, by an amend
    cdef public object replaced_by
    cdef public object waiting          # what a shell keeps of those who wait for it; None: nobody
    cdef bint _is_ours
    cdef int _room
    cdef int _phase                     # phase as a number
    cdef object _symbol
    cdef object _side
    cdef object _type
    cdef object _quantity
    cdef object _price
    cdef dict _fills                    # fill id -> Fill; None: none
    cdef object _filled
    cdef object _fill_value
    cdef dict _fees                     # currency -> Decimal; None: none

    cdef int expect(self, object symbol, object side, object quantity, object price,
                    object type) except -1
    cdef int take_report(self, object order) except -1
    cdef int take_fill(self, object fill) except -1
    cdef int absorb(self, TrackedOrder other) except -1
    cdef int computed(self) except -1
    cdef bint told_by_venue(self) except -1


cdef class Tracker:
    cdef public object conflicts        # refusals by REST that the venue's stream contradicted
    cdef public object duplicates       # reports and fills that told nothing new
    cdef object _recognise
    cdef object _on_change
    cdef object _kept
    cdef object _factory
    cdef dict _by_client
    cdef dict _by_order
    # Ordered sets; _open: own and not final; _done: own and final
    cdef dict _open
    cdef dict _done
    cdef dict _foreign

    cpdef TrackedOrder find(self, object order)
    cpdef TrackedOrder expect(self, object client_order_id, object symbol, object side,
                              object quantity, object price=*, object type=*)
    cpdef TrackedOrder outcome(self, object outcome)
    cpdef object forget(self, TrackedOrder order)
    cdef TrackedOrder new(self, object client_order_id, object order_id)
    cdef TrackedOrder named(self, object name, object order_id)
    cdef int drop(self, TrackedOrder order) except -1
    cdef int settle(self, TrackedOrder order, bint changed) except -1
    cdef bint recognises(self, TrackedOrder order) except -1
    cdef int move(self, TrackedOrder order, int room) except -1
    cdef dict room(self, int room)

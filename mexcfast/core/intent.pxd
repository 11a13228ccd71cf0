"""Header of core/intent: a checked order and its bytes."""

cdef enum:
    INTENT_ABI = 1  # grows with any change to a class below; compare with mexcfast.core.intent.ABI


cdef class OrderIntent:
    # Everything is checked in the constructor and never changes afterwards.
    cdef readonly object contract       # mexcfast.types.Contract
    cdef readonly object side           # mexcfast.types.Side
    cdef readonly object type           # mexcfast.types.OrderType
    cdef readonly object quantity       # Decimal, contracts
    cdef readonly object price          # Decimal or None
    cdef readonly object leverage       # int or None
    cdef readonly object open_type      # mexcfast.types.OpenType
    cdef readonly str client_order_id
    cdef readonly bint reduce_only
    cdef readonly bytes body            # the exact bytes to sign and send

    cdef int check_contract(self, object mode) except -1
    cdef int check_leverage(self, object leverage) except -1
    cdef object checked_quantity(self, object value)
    cdef object checked_price(self, object value, object best, object index_price)


cdef class ClientOrderIds:
    cdef readonly str prefix
    cdef readonly object session        # int
    cdef readonly object counter        # int, the number of the last id

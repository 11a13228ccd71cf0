"""Header of core/ack: the plain acknowledgement of an order, and its outcome."""

cpdef object plain_ack(bytes answer)
cpdef object accepted(object symbol, object client_order_id, object ack)
cdef object accepted_at_sight(object symbol, object client_order_id, bytes answer)

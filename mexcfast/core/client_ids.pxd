"""Header of core/client_ids: ids of our own orders."""

cpdef str check_client_order_id(object value)


cdef class ClientOrderIds:
    cdef readonly str prefix
    cdef readonly object session        # int
    cdef readonly object counter        # int, the number of the last id
    cdef str _head                      # prefix and session, as every id begins

    cpdef str mint(self)

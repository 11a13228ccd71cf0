"""Header of core/body: the body of a plain order."""

cdef bytes order_body(bytes head, str price, str quantity, object leverage, int side, int type,
                      int open_type, str client_order_id)

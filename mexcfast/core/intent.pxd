"""Header of core/intent: a checked order, its bytes, and the limits it is held to."""
from libc.stdint cimport int64_t

from mexcfast.core.depth cimport OrderBook

cdef enum:
    INTENT_ABI = 7  # grows with any change to a class below; compare with mexcfast.core.intent.ABI


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
    cdef bint opens                     # an opening side, reduce-only or not

    cdef bytes begin(self, object contract, object side, object quantity, object price,
                     object type, object open_type, object leverage, str client_order_id,
                     bint reduce_only, object mode, object best, object index_price)
    cdef int check_contract(self, object mode) except -1
    cdef int check_leverage(self, object leverage) except -1
    cdef object checked_price(self, object value, object best, object index_price)
    cdef int check_index(self, object price, object index_price) except -1


cdef OrderIntent plain_order(object contract, object side, object quantity, object price,
                             object type, object open_type, object leverage, str client_order_id)


cdef class RiskLimits:
    # Each None, a number, or a dict symbol -> number.
    cdef readonly object max_notional       # quote currency
    cdef readonly object max_position       # contracts
    cdef readonly object max_open_orders
    cdef readonly object max_leverage
    cdef readonly object price_band         # fraction of the book's mid
    cdef readonly object max_clock_error_ms
    cdef readonly object max_book_age_ms
    cdef readonly bint refuse_self_cross

    cdef int check_clock(self, object error_ms) except -1
    cdef int check_book(self, OrderIntent intent, OrderBook book, int64_t now_ns) except -1
    cdef int check_notional(self, OrderIntent intent, OrderBook book) except -1
    cdef int check_position(self, OrderIntent intent, object position,
                            object open_quantity) except -1
    cdef int check_count(self, OrderIntent intent, object open_orders) except -1
    cdef int check_leverage(self, OrderIntent intent) except -1
    cdef int check_band(self, OrderIntent intent, OrderBook book) except -1
    cdef int check_cross(self, OrderIntent intent, object own, OrderBook book) except -1
    cdef object best_price(self, OrderIntent intent, OrderBook book)

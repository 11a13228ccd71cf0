# cython: language_level=3
"""A strategy in C: buys when bids outweigh asks, sells what it bought when they no longer do.

A frame goes from the socket's buffer through the book into on_book below with no Python call in
between; Python begins where an order is placed.
"""

from libc.stdint cimport int64_t, uint32_t

from mexcfast.core.book cimport ASK, BID
from mexcfast.core.depth cimport OrderBook
from mexcfast.core.listener cimport Listener, check_abi
from mexcfast.core.side cimport Entry

from decimal import Decimal

import mexcfast as mx

check_abi()     # compiled against other headers, this module refuses to be imported

cdef enum:
    LEVELS = 5          # of each side that are weighed

cdef enum State:
    FLAT, OPENING, HOLDING, CLOSING


cdef class Pressure(Listener):
    """One long position at a time.

    threshold: share of the bids, 0 to 1, above which it buys; it sells below one half, or after
    hold_books changes of the book. quantity: contracts.
    """

    cdef object client, order, position_left
    cdef State state
    cdef double threshold
    cdef int64_t quantity, hold_books, held
    cdef readonly int64_t books, bought, sold, refused

    def __init__(self, client, double threshold=0.6, int64_t quantity=5, int64_t hold_books=200):
        self.client, self.threshold = client, threshold
        self.quantity, self.hold_books = quantity, hold_books

    @property
    def is_flat(self):
        return self.state == FLAT

    cpdef on_book(self, OrderBook book):
        cdef double share
        self.books += 1
        if self.state == OPENING or self.state == CLOSING:
            if not self.order.is_final:     # an Unknown is settled in the background first
                return
            self.settle()
        if self.state == FLAT:
            share = pressure(book)
            if share > self.threshold:
                self.buy(book)
        elif self.state == HOLDING:
            self.held += 1
            if self.held >= self.hold_books or pressure(book) < 0.5:
                self.sell(book)

    cdef int buy(self, OrderBook book) except -1:
        """Take the best ask, no worse."""
        price = Decimal(book.top_price(ASK)).scaleb(-book.price_scale)
        return self.place(book, OPENING, mx.Side.OPEN_LONG, self.quantity, price,
                          mx.OrderType.IOC)

    cdef int sell(self, OrderBook book) except -1:
        return self.place(book, CLOSING, mx.Side.CLOSE_LONG, self.position_left, None,
                          mx.OrderType.MARKET)

    cdef int place(self, OrderBook book, State then, object side, object quantity, object price,
                   object type) except -1:
        try:
            self.order = self.client.orders.submit_nowait(
                book.symbol, side, quantity, price, type=type, leverage=5, wait=True)
        except mx.IntentError:
            self.refused += 1       # held back by our own limits: nothing was sent
            return 0
        self.state = then
        return 0

    cdef int settle(self) except -1:
        """The order under way has ended."""
        filled = self.order.filled_quantity
        if self.state == OPENING:
            self.position_left = filled
            self.bought += filled > 0
        else:
            self.position_left -= filled
            self.sold += filled > 0
        self.held = 0
        self.state = HOLDING if self.position_left > 0 else FLAT
        return 0


cdef double pressure(OrderBook book) noexcept:
    """Share of the bids in the quantity of the best levels: 0 all asks, 1 all bids."""
    cdef Entry[LEVELS] levels
    cdef int64_t bids = 0, asks = 0
    cdef uint32_t i
    for i in range(book.copy_levels(BID, levels, LEVELS)):
        bids += levels[i].quantity
    for i in range(book.copy_levels(ASK, levels, LEVELS)):
        asks += levels[i].quantity
    return <double>bids / (bids + asks) if bids + asks else 0.5

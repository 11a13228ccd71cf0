"""A number that two books share when they hold the same levels, however each keeps them.

A level is its side, price and quantity as exact decimals without trailing zeros; order counts do
not matter. Each level is mixed to 64 bits, the sum modulo 2**64 does not depend on the order:

    mix(x)   = splitmix64's finish
    level    = chain of side, price mantissa, price scale, quantity mantissa, quantity scale:
               h = 0; for each v: h = mix(h + 0x9E3779B97F4A7C15 + v)          (v modulo 2**64)
    hash     = mix(sum of the levels + number of levels), so an empty book is mix(0) = 0

Made when asked for: about as long as reading all levels. Kept up to date with each change it would
cost every level of every frame a dozen multiplications, for a number few ask for.
"""

from libc.stdint cimport int64_t, uint64_t


cdef inline uint64_t mix(uint64_t x) noexcept nogil:
    x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9U
    x = (x ^ (x >> 27)) * 0x94D049BB133111EBU
    return x ^ (x >> 31)


cdef inline uint64_t chain(uint64_t h, int64_t value) noexcept nogil:
    return mix(h + 0x9E3779B97F4A7C15U + <uint64_t>value)


cdef inline uint64_t number(uint64_t h, int64_t mantissa, int64_t scale) noexcept nogil:
    """A decimal, by its shortest mantissa and scale from 0."""
    while scale > 0 and mantissa % 10 == 0:
        mantissa //= 10
        scale -= 1
    return chain(chain(h, mantissa), scale)


cdef uint64_t side_sum(list levels, int side, int64_t price_scale,
                       int64_t quantity_scale) except? 0:
    cdef uint64_t total = 0
    cdef int64_t price, quantity
    for level in levels:
        price, quantity, _ = level            # refuses what has other than three members
        total += number(number(chain(0, side), price, price_scale), quantity, quantity_scale)
    return total


def hash_levels(list bids not None, list asks not None, int price_scale, int quantity_scale):
    """The hash of exact levels, in any order.

    bids, asks: as Book.exact() gives them, (price, quantity, orders) with integers in units of
    10**-price_scale and 10**-quantity_scale. Returns an int from 0 to 2**64 - 1.
    """
    cdef uint64_t total = side_sum(bids, 0, price_scale, quantity_scale)
    total += side_sum(asks, 1, price_scale, quantity_scale)
    return mix(total + <uint64_t>(len(bids) + len(asks)))


def book_hash(book):
    """The hash of a book's levels as they are now; compare it with that of the same version."""
    bids, asks = book.exact()
    return hash_levels(bids, asks, book.price_scale, book.quantity_scale)

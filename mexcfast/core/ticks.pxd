# Decimal text <-> exact integers. A value is mantissa / 10**scale; nothing here goes through a
# double except as_double, which is correctly rounded.
from libc.stdint cimport int32_t, int64_t, uint64_t

cdef extern from *:
    """
    #ifndef MEXCFAST_POW10
    #define MEXCFAST_POW10
    #include <stdint.h>
    static const int64_t mexcfast_pow10[19] __attribute__((unused)) = {
        1LL, 10LL, 100LL, 1000LL, 10000LL, 100000LL, 1000000LL, 10000000LL, 100000000LL,
        1000000000LL, 10000000000LL, 100000000000LL, 1000000000000LL, 10000000000000LL,
        100000000000000LL, 1000000000000000LL, 10000000000000000LL, 100000000000000000LL,
        1000000000000000000LL};
    static const int64_t mexcfast_most10[19] __attribute__((unused)) = {
        INT64_MAX, INT64_MAX / 10LL, INT64_MAX / 100LL, INT64_MAX / 1000LL, INT64_MAX / 10000LL,
        INT64_MAX / 100000LL, INT64_MAX / 1000000LL, INT64_MAX / 10000000LL,
        INT64_MAX / 100000000LL, INT64_MAX / 1000000000LL, INT64_MAX / 10000000000LL,
        INT64_MAX / 100000000000LL, INT64_MAX / 1000000000000LL, INT64_MAX / 10000000000000LL,
        INT64_MAX / 100000000000000LL, INT64_MAX / 1000000000000000LL,
        INT64_MAX / 10000000000000000LL, INT64_MAX / 100000000000000000LL,
        INT64_MAX / 1000000000000000000LL};
    static const double mexcfast_pow10d[23] __attribute__((unused)) = {
        1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16,
        1e17, 1e18, 1e19, 1e20, 1e21, 1e22};
    /* 0 and *out = a * b, or nonzero when the product does not fit */
    #define mexcfast_mul(a, b, out) __builtin_mul_overflow((int64_t)(a), (int64_t)(b), (out))
    #define mexcfast_add(a, b, out) __builtin_add_overflow((int64_t)(a), (int64_t)(b), (out))
    #endif
    """
    const int64_t* POW10 "mexcfast_pow10"      # 10**0 .. 10**18
    const int64_t* MOST10 "mexcfast_most10"    # the largest that fits 63 bits times 10**i
    const double* POW10D "mexcfast_pow10d"     # 10**0 .. 10**22, all exact in a double
    int mul_overflows "mexcfast_mul"(int64_t a, int64_t b, int64_t* out) noexcept nogil
    int add_overflows "mexcfast_add"(int64_t a, int64_t b, int64_t* out) noexcept nogil

cdef enum:
    MAX_SCALE = 18           # decimals a price or quantity may have
    MAX_FIELD_SCALE = 36     # decimals any other number may have
    MAX_EXPONENT = 4096      # larger exponents are refused before any arithmetic
    # Characters and exponent of a number that does not fit but lies well inside a double's range:
    MAX_LONG = 64
    MAX_LONG_EXPONENT = 200

cdef struct Fixed:
    int64_t mantissa
    int32_t scale            # decimals, 0 .. MAX_FIELD_SCALE; no trailing zero behind the point

# Text of length size (a whole JSON number) to Fixed. 0 fits; -1 no number; a number that does not
# fit: 1 within MAX_LONG, 2 beyond.
cdef int fixed_from_text(const char* text, Py_ssize_t size, Fixed* out) noexcept nogil

# as_double for the rest: more than 53 bits, or more than 22 decimals.
cdef double long_as_double(int64_t mantissa, int32_t scale) except? -1.0

# The double nearest to mantissa / 10**scale. Both operands exact in a double means one rounding.
cdef inline double as_double(int64_t mantissa, int32_t scale) except? -1.0:
    if -9007199254740992 <= mantissa <= 9007199254740992 and scale <= 22:
        return <double>mantissa / POW10D[scale]
    return long_as_double(mantissa, scale)

# Mantissa of the same value at `scale` decimals. 0, or -1 when it is not exact or does not fit.
cdef int rescale(int64_t mantissa, int32_t scale, int32_t to_scale, int64_t* out) noexcept nogil

# A Python int, str, Decimal or float to Fixed; floats by their shortest text.
# Raises ValueError naming `name`, the value and what is allowed.
cdef int fixed_from_object(object value, Fixed* out, str name) except -1

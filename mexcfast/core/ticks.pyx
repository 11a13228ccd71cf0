"""Decimal text <-> exact integers; refuses what is inexact (design.md 3)."""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from decimal import Decimal


cdef int fixed_from_text(const char* text, Py_ssize_t size, Fixed* out) noexcept nogil:
    """Read one whole JSON number (protocol.md 2: plain, with exponent, long fractions)."""
    cdef Py_ssize_t i = 0, digits_start
    cdef bint negative = False, exponent_negative = False
    cdef uint64_t mantissa = 0
    cdef int64_t zeros = 0, scale = 0, exponent = 0, point_digits = 0
    cdef unsigned int digit
    cdef bint seen_point = False, too_long = False
    if size <= 0:
        return -1
    if text[0] == b"-":
        negative = True
        i = 1
    digits_start = i
    # Zeros are held back until a later digit needs them, so that 109777.500000000000000000 fits.
    while i < size:
        digit = <unsigned int>(<unsigned char>text[i]) - 48
        if digit <= 9:
            point_digits += seen_point
            if digit == 0:
                zeros += 1
            elif not too_long:
                while zeros >= 0 and mantissa <= 922337203685477580U:
                    mantissa = mantissa * 10
                    zeros -= 1
                too_long = zeros >= 0
                mantissa = mantissa + digit
                zeros = 0
        elif text[i] == b"." and not seen_point and i > digits_start:
            seen_point = True
            if i + 1 >= size or <unsigned int>(<unsigned char>text[i + 1]) - 48 > 9:
                return -1
        else:
            break
        i += 1
    if i == digits_start:
        return -1
    if text[digits_start] == b"0" and i > digits_start + 1 and text[digits_start + 1] != b".":
        return -1
    # `zeros` now counts those behind the last nonzero digit, before and after the point.
    scale = point_digits - zeros
    if i < size and (text[i] == b"e" or text[i] == b"E"):
        i += 1
        if i < size and (text[i] == b"+" or text[i] == b"-"):
            exponent_negative = text[i] == b"-"
            i += 1
        if i >= size:
            return -1
        while i < size:
            digit = <unsigned int>(<unsigned char>text[i]) - 48
            if digit > 9:
                return -1
            if exponent < MAX_EXPONENT:
                exponent = exponent * 10 + digit
            i += 1
        scale = scale + exponent if exponent_negative else scale - exponent
    if i != size:
        return -1
    if mantissa == 0 and not too_long:
        out.mantissa = 0
        out.scale = 0
        return 0
    if too_long or exponent >= MAX_EXPONENT or scale > MAX_FIELD_SCALE or scale < -18:
        return 1 if size <= MAX_LONG and exponent <= MAX_LONG_EXPONENT else 2
    while scale < 0:
        if mantissa > 922337203685477580U:
            return 1
        mantissa = mantissa * 10
        scale += 1
    if mantissa > 9223372036854775807U:
        return 1
    out.mantissa = -<int64_t>mantissa if negative else <int64_t>mantissa
    out.scale = <int32_t>scale
    return 0


cdef double long_as_double(int64_t mantissa, int32_t scale) except? -1.0:
    return float(f"{mantissa}e-{scale}")


cdef int rescale(int64_t mantissa, int32_t scale, int32_t to_scale, int64_t* out) noexcept nogil:
    cdef int32_t step = to_scale - scale
    if step == 0:
        out[0] = mantissa
        return 0
    if step < 0 or step > MAX_SCALE:
        return -1
    if mul_overflows(mantissa, POW10[step], out):
        return -1
    return 0


cdef int fixed_from_object(object value, Fixed* out, str name) except -1:
    cdef bytes text
    cdef int status
    if isinstance(value, bool) or not isinstance(value, (int, float, str, Decimal)):
        raise ValueError(f"{name} is {value!r}; allowed: int, str, Decimal or float")
    text = (repr(value) if isinstance(value, float) else str(value)).encode()
    status = fixed_from_text(PyBytes_AS_STRING(text), PyBytes_GET_SIZE(text), out)
    if status:
        raise ValueError(
            f"{name} is {value!r}; allowed: a finite decimal of at most 18 digits and "
            f"{MAX_FIELD_SCALE} decimals")
    return 0


def to_fixed(value, str name="value"):
    """(mantissa, scale) of a decimal, exactly: value = mantissa / 10**scale, scale >= 0.

    value: int, str, Decimal or float (taken by its shortest text).
    Raises ValueError naming `name` when it is no number or does not fit 63 bits.
    """
    cdef Fixed fixed
    fixed_from_object(value, &fixed, name)
    return fixed.mantissa, fixed.scale


def to_float(int64_t mantissa, int32_t scale):
    """The float nearest to mantissa / 10**scale. scale: 0 .. 36, else ValueError."""
    if not 0 <= scale <= MAX_FIELD_SCALE:
        raise ValueError(f"scale is {scale}; allowed: 0 to {MAX_FIELD_SCALE}")
    return as_double(mantissa, scale)


def to_ticks(value, tick_size, str name="price"):
    """value as a whole number of tick_size steps, exactly.

    Both: int, str, Decimal or float. Raises ValueError naming both when value is not on the tick.
    """
    cdef Fixed v, t
    cdef int64_t a = 0, b = 0
    cdef int32_t scale
    fixed_from_object(value, &v, name)
    fixed_from_object(tick_size, &t, "tick_size")
    if t.mantissa <= 0:
        raise ValueError(f"tick_size is {tick_size!r}; allowed: above 0")
    scale = max(v.scale, t.scale)
    if rescale(v.mantissa, v.scale, scale, &a) or rescale(t.mantissa, t.scale, scale, &b):
        raise ValueError(f"{name} is {value!r}; it does not fit 63 bits at tick size {tick_size}")
    if a % b:
        raise ValueError(f"{name} is {value!r}; allowed: a multiple of {tick_size}")
    return a // b

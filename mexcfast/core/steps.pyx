"""Plain decimal text on a step, in integers: the fast way of prices and quantities.

Takes numbers of up to 18 digits without sign, exponent or leading zeros. Whatever else there is,
and whatever does not stand on its step, is for the exact way through Decimal in core/intent, which
also words the refusals.
"""

cimport cython
from libc.stdint cimport INT64_MAX, int64_t

from decimal import Decimal

cdef extern from "Python.h":
    bint PyUnicode_IS_ASCII(object)
    const char* PyUnicode_AsUTF8AndSize(object, Py_ssize_t*) except NULL
    long long PyLong_AsLongLongAndOverflow(object, int*) except? -1

ABI = STEPS_ABI

cdef enum:
    DIGITS = 18             # of a number that fits an int64, whatever they are


cdef double[DIGITS] POWERS      # of ten, all exact
for _exponent in range(DIGITS):
    POWERS[_exponent] = 10.0 ** _exponent


cdef Py_ssize_t read_plain(const char* text, Py_ssize_t size, int64_t* mantissa,
                           int* scale) noexcept nogil:
    """Bytes of the number without needless zeros, 0 when it must be looked at properly.

    Up to 18 digits, a point among them, no sign, no leading zeros, not zero itself.
    mantissa, scale: the number times 10**scale, and the decimals that are left.
    """
    cdef int64_t number = 0
    cdef Py_ssize_t i, point = -1
    if size < 1 or size > DIGITS + 1 or (text[0] == 48 and (size < 3 or text[1] != 46)):
        return 0
    for i in range(size):
        if 48 <= text[i] <= 57:
            if i - (point >= 0) >= DIGITS:
                return 0
            number = number * 10 + (text[i] - 48)
        elif text[i] == 46 and point < 0 and 0 < i < size - 1:
            point = i
        else:
            return 0
    if number == 0:
        return 0
    if point >= 0:
        with cython.cdivision(True):        # never negative
            while text[size - 1] == 48:
                size -= 1
                number //= 10
            if size - 1 == point:
                size -= 1
    mantissa[0] = number
    scale[0] = <int>(size - 1 - point) if point >= 0 and size > point else 0
    return size


cdef bint divides(int64_t step, int step_scale, int64_t number, int scale) noexcept nogil:
    """Whether a number stands on a step; False also when that does not fit an int64."""
    while scale < step_scale:
        if number > INT64_MAX // 10:
            return False
        number *= 10
        scale += 1
    while step_scale < scale:
        if step > INT64_MAX // 10:
            return False
        step *= 10
        step_scale += 1
    with cython.cdivision(True):            # both are above zero
        return number % step == 0


cpdef str digits_of(object value):
    """The text of a number of one of the plain types; None for anything else."""
    cdef int overflow = 0
    if type(value) is float:
        return float.__repr__(value)
    if type(value) is int:
        PyLong_AsLongLongAndOverflow(value, &overflow)
        return None if overflow else str(value)
    if type(value) is Decimal:
        return str(value)
    return value if type(value) is str else None


cpdef str plain_on_step(str digits, int64_t step, int step_scale):
    """Plain notation of a number above 0 on the step; None: look properly. step 0: always None."""
    cdef const char* text
    cdef Py_ssize_t size = 0, kept
    cdef int64_t mantissa = 0
    cdef int scale = 0
    if not step or digits is None or not PyUnicode_IS_ASCII(digits):
        return None
    text = PyUnicode_AsUTF8AndSize(digits, &size)
    kept = read_plain(text, size, &mantissa, &scale)
    if kept == 0 or not divides(step, step_scale, mantissa, scale):
        return None
    return digits if kept == size else digits[:kept]


cpdef str float_on_step(double value, int64_t step, int step_scale):
    """plain_on_step() of a float's shortest text, without making that text; None: make it.

    A decimal of up to 15 digits that is read as this float is its shortest text: no other one so
    short is read as the same. Both the digits and the power of ten are exact as doubles, so their
    quotient is what reading them gives.
    """
    cdef int64_t mantissa
    cdef char text[20]
    cdef int at = 20, scale = step_scale
    if step < 1 or not 0 <= step_scale < DIGITS or not 0 < value < 1e15:
        return None
    if value * POWERS[step_scale] > 9e14:
        return None
    mantissa = <int64_t>(value * POWERS[step_scale] + 0.5)
    if mantissa == 0 or <double>mantissa / POWERS[step_scale] != value:
        return None
    with cython.cdivision(True):            # both are above zero
        if mantissa % step:
            return None
        while scale and mantissa % 10 == 0:
            mantissa //= 10
            scale -= 1
        while at > 20 - scale:
            at -= 1
            text[at] = <char>(48 + mantissa % 10)
            mantissa //= 10
        if scale:
            at -= 1
            text[at] = 46
        while True:
            at -= 1
            text[at] = <char>(48 + mantissa % 10)
            mantissa //= 10
            if not mantissa:
                break
    return text[at:20].decode("ascii")


cdef int read_step(str step, int64_t* mantissa, int* scale) except -1:
    """A step as mantissa and decimals; mantissa 0 when only Decimal knows it."""
    cdef const char* text
    cdef Py_ssize_t size = 0
    mantissa[0] = scale[0] = 0
    if PyUnicode_IS_ASCII(step):
        text = PyUnicode_AsUTF8AndSize(step, &size)
        if not read_plain(text, size, mantissa, scale):
            mantissa[0] = scale[0] = 0
    return 0

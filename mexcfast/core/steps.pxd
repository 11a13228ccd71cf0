# Header of core/steps: plain decimal text on a step, in integers.
from libc.stdint cimport int64_t

cdef enum:
    STEPS_ABI = 1   # grows with any change below; compare with mexcfast.core.steps.ABI

cdef Py_ssize_t read_plain(const char* text, Py_ssize_t size, int64_t* mantissa,
                           int* scale) noexcept nogil
cdef bint divides(int64_t step, int step_scale, int64_t number, int scale) noexcept nogil
cdef int read_step(str step, int64_t* mantissa, int* scale) except -1
cpdef str digits_of(object value)
cpdef str plain_on_step(str digits, int64_t step, int step_scale)
cpdef str float_on_step(double value, int64_t step, int step_scale)

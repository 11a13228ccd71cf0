# Depth frames of one stream look alike: the same keys in the same order, only levels, versions,
# time and symbol differ. What one frame looked like is remembered, and a frame that looks the same
# is read by comparing the text between those members and reading nothing but them.
from mexcfast.core.frame cimport Message

# Read a depth frame of the remembered shape: 0, and m holds what parse() would have put there but
# `fields`, `top` and `rows` (m.brief says so; m.expand() brings them). 1: it looks otherwise, or is
# not as plain as this reads: nothing is decided, call parse(). Looks at text[0 .. size-1] only.
cdef int read_shape(Message m, const char* text, Py_ssize_t size) noexcept nogil

# Remember what the depth frame just parsed looks like, if it is plain enough.
cdef void learn_shape(Message m) noexcept nogil

"""Header of core/sign: what a compiled strategy or order lane may use."""

from libc.stdint cimport int64_t, uint32_t, uint64_t


cdef enum:
    SIGN_ABI = 3  # grows with any change to a class below; compare with mexcfast.core.sign.ABI


cdef extern from "openssl/sha.h" nogil:
    ctypedef struct SHA256_CTX:
        uint32_t h[8]


cdef class Signer:
    # Both states are key material, owned here and wiped on dealloc.
    cdef SHA256_CTX _inner       # after the inner pad and the access key's whole blocks
    cdef SHA256_CTX _outer       # after the outer pad
    cdef char _head[64]          # the rest of the access key: every target starts with it
    cdef Py_ssize_t _head_size   # below 64
    cdef uint64_t _hashed        # bytes in _inner
    cdef readonly str access_key  # ASCII; not a secret, yet never shown by repr

    cdef int _start(self, const unsigned char* secret, Py_ssize_t size) noexcept
    cdef int sign_into(self, int64_t timestamp_ms, const char* payload, Py_ssize_t size,
                       char* out64) except -1 nogil


cdef int64_t checked_time(object timestamp_ms) except -1

cdef int write_millis(int64_t timestamp_ms, char* out13) noexcept nogil

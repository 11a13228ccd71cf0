"""Header of core/sign: what a compiled strategy or order lane may use."""

from libc.stdint cimport int64_t


cdef enum:
    SIGN_ABI = 1  # grows with any change to a class below; compare with mexcfast.core.sign.ABI


cdef extern from "openssl/sha.h" nogil:
    ctypedef struct SHA256_CTX:
        pass


cdef class Signer:
    # Both states are key material, owned here and wiped on dealloc.
    cdef SHA256_CTX _inner       # after inner pad and access key: every target starts with the key
    cdef SHA256_CTX _outer       # after outer pad
    cdef readonly str access_key  # ASCII; not a secret, yet never shown by repr

    cdef int sign_into(self, int64_t timestamp_ms, const char* payload, Py_ssize_t size,
                       char* out64) except -1 nogil


cdef int write_millis(int64_t timestamp_ms, char* out13) noexcept nogil

"""Client order ids: what is allowed, minted without repeats, recognised again.

Source: protocol.md 12.1.
"""

cimport cython
from libc.stdint cimport uint64_t

import re

from mexcfast.errors import IntentError

cdef extern from "Python.h":
    bint PyUnicode_IS_ASCII(object)
    const char* PyUnicode_AsUTF8AndSize(object, Py_ssize_t*) except NULL

CLIENT_ORDER_ID_MAX = 32
_base36 = re.compile(r"0|[1-9a-z][0-9a-z]{0,18}", re.ASCII)


cdef str base36(object number):
    cdef char digits[16]            # 36**13 is above 2**64
    cdef uint64_t rest = number
    cdef int at = 16
    with cython.cdivision(True):    # unsigned
        while rest or at == 16:
            at -= 1
            digits[at] = b"0123456789abcdefghijklmnopqrstuvwxyz"[rest % 36]
            rest //= 36
    return digits[at:16].decode("ascii")


def mint_client_order_id(prefix, session, counter):
    """prefix-session-counter, the numbers in base 36: at most 32 characters, a pure function.

    Different arguments give different ids: the numbers hold no "-", so the text can be read back.
    The caller makes session unique among its restarts and processes (a start time will do).
    """
    for field, number in (("session", session), ("counter", counter)):
        if isinstance(number, bool) or not isinstance(number, int) or not 0 <= number < 2**64:
            raise IntentError(field, number, "an integer from 0 to 2**64 - 1")
    if not isinstance(prefix, str):
        raise IntentError("prefix", prefix, "text")
    return check_client_order_id(f"{prefix}-{base36(session)}-{base36(counter)}")


def parse_client_order_id(client_order_id, prefix):
    """(session, counter) of an id minted with this prefix; None for any other id."""
    if not isinstance(client_order_id, str) or not client_order_id.startswith(prefix + "-"):
        return None
    parts = client_order_id[len(prefix) + 1:].split("-")
    if len(parts) != 2 or not all([_base36.fullmatch(part) for part in parts]):
        return None
    session, counter = int(parts[0], 36), int(parts[1], 36)
    return (session, counter) if session < 2**64 and counter < 2**64 else None


cdef bint is_client_id(object value) except -1:
    """1 to 32 characters that no server or proxy rewrites, for ids travel in URL paths too."""
    cdef const char* text
    cdef Py_ssize_t i, size = 0
    if not isinstance(value, str) or not PyUnicode_IS_ASCII(value):
        return False
    text = PyUnicode_AsUTF8AndSize(value, &size)
    if not 1 <= size <= CLIENT_ORDER_ID_MAX or (text[0] == 46 and (
            size == 1 or (size == 2 and text[1] == 46))):
        return False
    for i in range(size):
        if not (48 <= text[i] <= 58 or 65 <= text[i] <= 90 or 97 <= text[i] <= 122
                or text[i] in (45, 46, 95)):        # - . _ and above the colon
            return False
    return True


cpdef str check_client_order_id(object value):
    """The id itself, or IntentError."""
    if not is_client_id(value):
        raise IntentError("client_order_id", value,
                          "1 to 32 characters out of letters, digits and _ : . -")
    # The venue's own marks (protocol.md 12.1): such an order would look like somebody else's.
    if (<str>value).startswith("_m_") or (<str>value).startswith("CHASE_LIMIT"):
        raise IntentError("client_order_id", value, "any id not beginning with _m_ or CHASE_LIMIT")
    return value


@cython.final
@cython.auto_pickle(False)
cdef class ClientOrderIds:
    """A counter of client order ids for one session."""

    def __init__(self, prefix, session, counter=0):
        self.prefix = prefix
        self.session = session
        self.counter = counter
        mint_client_order_id(prefix, session, 2**48)   # room for the counter, checked once
        mint_client_order_id(prefix, session, counter)
        self._head = f"{prefix}-{base36(session)}-"

    cpdef str mint(self):
        """The next id."""
        self.counter += 1
        if self.counter >= 2**48:
            return mint_client_order_id(self.prefix, self.session, self.counter)
        return self._head + base36(self.counter)

    def is_ours(self, client_order_id):
        """Whether an id was minted with this prefix, in this or another session."""
        return parse_client_order_id(client_order_id, self.prefix) is not None

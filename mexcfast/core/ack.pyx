"""The plain acknowledgement of an order, read at sight, and outcomes made without ceremony.

plain_ack takes the one form the venue documents, without white space and with its members in this
order; whatever else comes is for core/results, which reads every form:

    {"success":true,"code":0,"data":{"orderId":"814218083416790528","ts":1779779511850}}

"data" may be the bare number, quoted or not, and "ts" may be missing.
Source: protocol.md 2 and 16.1.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.stdint cimport INT64_MAX, int64_t
from libc.string cimport memcmp

from mexcfast.types import Accepted, OrderAck

cdef extern from "Python.h":
    int PyObject_GenericSetAttr(object, object, object) except -1


cdef struct Text:
    const char* at          # the next byte of the answer
    const char* end         # one past its last


cdef bint takes(Text* text, const char* word, Py_ssize_t size) noexcept nogil:
    """Step over these bytes; False, and nothing moved, when something else stands there."""
    if text.end - text.at < size or memcmp(text.at, word, size) != 0:
        return False
    text.at += size
    return True


cdef int64_t digits(Text* text) noexcept nogil:
    """Step over digits that do not begin with a zero; -1 when there are none, or too many."""
    cdef int64_t found = 0
    if text.at == text.end or not 49 <= text.at[0] <= 57:
        return -1
    while text.at < text.end and 48 <= text.at[0] <= 57:
        if found > (INT64_MAX - 9) // 10:
            return -1
        found = found * 10 + (text.at[0] - 48)
        text.at += 1
    return found


cdef bint read_plain(Text* text, int64_t* order_id, int64_t* ts_venue_ms) noexcept nogil:
    """Whether it is the plain form; ts_venue_ms: -1 when there is none."""
    cdef bint is_object, is_quoted
    ts_venue_ms[0] = -1
    if not takes(text, b'{"success":true,"code":', 23):
        return False
    if not takes(text, b"0", 1) and digits(text) < 0:
        return False
    if not takes(text, b',"data":', 8):
        return False
    is_object = takes(text, b'{"orderId":', 11)
    is_quoted = takes(text, b'"', 1)
    order_id[0] = digits(text)
    if order_id[0] < 0 or (is_quoted and not takes(text, b'"', 1)):
        return False
    if is_object:
        if takes(text, b',"ts":', 6):
            ts_venue_ms[0] = digits(text)
            if ts_venue_ms[0] < 0:
                return False
        if not takes(text, b"}", 1):
            return False
    return takes(text, b"}", 1) and text.at == text.end


cpdef object plain_ack(bytes answer):
    """The OrderAck of a plain success; None: read it the ordinary way."""
    cdef Text text
    cdef int64_t order_id = 0, ts_venue_ms = 0
    if answer is None:
        return None
    text.at = PyBytes_AS_STRING(answer)
    text.end = text.at + PyBytes_GET_SIZE(answer)
    if not read_plain(&text, &order_id, &ts_venue_ms):
        return None
    ack = OrderAck.__new__(OrderAck)
    PyObject_GenericSetAttr(ack, "order_id", order_id)
    PyObject_GenericSetAttr(ack, "ts_venue_ms", None if ts_venue_ms < 0 else ts_venue_ms)
    return ack


cpdef object accepted(object symbol, object client_order_id, object ack):
    """Accepted(symbol, client_order_id, ...) of an OrderAck.

    A frozen dataclass takes its own __init__ a microsecond; its members are set directly instead.
    """
    outcome = Accepted.__new__(Accepted)
    PyObject_GenericSetAttr(outcome, "symbol", symbol)
    PyObject_GenericSetAttr(outcome, "client_order_id", client_order_id)
    PyObject_GenericSetAttr(outcome, "order_id", ack.order_id)
    PyObject_GenericSetAttr(outcome, "ts_venue_ms", ack.ts_venue_ms)
    PyObject_GenericSetAttr(outcome, "order", None)
    PyObject_GenericSetAttr(outcome, "data", ack)
    return outcome

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

cdef extern from *:
    """
    #include <structmember.h>
    /* Where a member of a class with __slots__ lies in its instances; -1: not where it did. */
    static Py_ssize_t slot_of(PyObject *descriptor) {
        if (!PyObject_TypeCheck(descriptor, &PyMemberDescr_Type))
            return -1;
        struct PyMemberDef *member = ((PyMemberDescrObject *)descriptor)->d_member;
        return member->type == T_OBJECT_EX ? member->offset : -1;
    }
    /* Of an instance that is not filled yet. */
    static void fill(PyObject *instance, Py_ssize_t slot, PyObject *value) {
        Py_INCREF(value);
        *(PyObject **)((char *)instance + slot) = value;
    }
    static PyObject *empty(PyObject *type) {
        return PyType_GenericAlloc((PyTypeObject *)type, 0);
    }
    """
    Py_ssize_t slot_of(object descriptor)
    void fill(object instance, Py_ssize_t slot, object value)
    object empty(object type)


cdef class _Slots:
    """How a frozen dataclass is made at once: its own __init__ takes a microsecond."""
    cdef object type
    cdef Py_ssize_t[6] at

    def __init__(self, type, names):
        self.type = type
        if names != type.__slots__ or len(names) > 6:
            raise ImportError(f"{type.__name__} has other members than {names}")
        for i, name in enumerate(names):
            self.at[i] = slot_of(vars(type)[name])
            if self.at[i] < 0:
                raise ImportError(f"{type.__name__}.{name} is not in a slot of its instances")


cdef _Slots ACK = _Slots(OrderAck, ("order_id", "ts_venue_ms"))
cdef _Slots ACCEPTED = _Slots(Accepted, (
    "symbol", "client_order_id", "order_id", "ts_venue_ms", "order", "data"))


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


cdef bint is_plain(bytes answer, int64_t* order_id, int64_t* ts_venue_ms):
    """read_plain() of a whole answer."""
    cdef Text text
    if answer is None:
        return False
    text.at = PyBytes_AS_STRING(answer)
    text.end = text.at + PyBytes_GET_SIZE(answer)
    return read_plain(&text, order_id, ts_venue_ms)


cpdef object plain_ack(bytes answer):
    """The OrderAck of a plain success; None: read it the ordinary way."""
    cdef int64_t order_id = 0, ts_venue_ms = 0
    if not is_plain(answer, &order_id, &ts_venue_ms):
        return None
    return ack_of(order_id, None if ts_venue_ms < 0 else ts_venue_ms)


cdef object ack_of(object order_id, object ts_venue_ms):
    ack = empty(ACK.type)
    fill(ack, ACK.at[0], order_id)
    fill(ack, ACK.at[1], ts_venue_ms)
    return ack


cpdef object accepted(object symbol, object client_order_id, object ack):
    """Accepted(symbol, client_order_id, ...) of an OrderAck."""
    return accepted_of(symbol, client_order_id, ack.order_id, ack.ts_venue_ms, ack)


cdef object accepted_of(object symbol, object client_order_id, object order_id, object ts_venue_ms,
                        object data):
    outcome = empty(ACCEPTED.type)
    fill(outcome, ACCEPTED.at[0], symbol)
    fill(outcome, ACCEPTED.at[1], client_order_id)
    fill(outcome, ACCEPTED.at[2], order_id)
    fill(outcome, ACCEPTED.at[3], ts_venue_ms)
    fill(outcome, ACCEPTED.at[4], None)
    fill(outcome, ACCEPTED.at[5], data)
    return outcome


cdef object accepted_at_sight(object symbol, object client_order_id, bytes answer):
    """accepted() of plain_ack(); None: read the answer the ordinary way."""
    cdef int64_t order_id = 0, ts_venue_ms = 0
    if not is_plain(answer, &order_id, &ts_venue_ms):
        return None
    number, ts = order_id, None if ts_venue_ms < 0 else ts_venue_ms
    return accepted_of(symbol, client_order_id, number, ts, ack_of(number, ts))

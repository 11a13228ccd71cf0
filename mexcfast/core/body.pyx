"""The body of a plain order, its parts put into one piece of memory.

    {"symbol":"BTC_USDT","price":84000.5,"vol":12,"leverage":20,"side":1,"type":1,"openType":1,
     "externalOid":"mf-1-2"}

without white space. core/intent has checked every part. Source: protocol.md 11 and 16.1.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.string cimport memcpy, strlen

cdef extern from "Python.h":
    const char* PyUnicode_AsUTF8AndSize(object, Py_ssize_t*) except NULL


cdef list SMALL_NUMBERS = [str(number) for number in range(1001)]


cdef struct Part:
    const char* at          # NULL: there is none
    Py_ssize_t size


cdef Py_ssize_t take(Part* part, str value, Py_ssize_t key) except -1:
    """value's bytes, and how many more a body needs for them behind a key of that size."""
    part.at = NULL
    part.size = 0
    if value is None:
        return 0
    part.at = PyUnicode_AsUTF8AndSize(value, &part.size)
    return key + part.size


cdef inline char* put(char* out, const char* key, Part* part) noexcept nogil:
    """Key and value, when there is one; where the next goes."""
    cdef size_t size = strlen(key)
    if part.at == NULL:
        return out
    memcpy(out, key, size)
    memcpy(out + size, part.at, part.size)
    return out + size + part.size


cdef str number_text(object number):
    """None stays None."""
    if number is None or not 0 <= number < len(SMALL_NUMBERS):
        return None if number is None else str(number)
    return SMALL_NUMBERS[number]


cdef bytes order_body(bytes head, str price, str quantity, object leverage, int side, int type,
                      int open_type, str client_order_id):
    """head: the body up to its price. price, leverage: None: there is none. The enums: below 10."""
    cdef Part price_part, quantity_part, leverage_part, name_part
    cdef Py_ssize_t size = PyBytes_GET_SIZE(head) + 49
    cdef bytes body
    cdef char* out
    size += take(&price_part, price, 9)
    size += take(&quantity_part, quantity, 7)
    size += take(&leverage_part, number_text(leverage), 12)
    size += take(&name_part, client_order_id, 0)
    body = PyBytes_FromStringAndSize(NULL, size)
    out = PyBytes_AS_STRING(body)
    memcpy(out, PyBytes_AS_STRING(head), PyBytes_GET_SIZE(head))
    out = put(out + PyBytes_GET_SIZE(head), b',"price":', &price_part)
    out = put(out, b',"vol":', &quantity_part)
    out = put(out, b',"leverage":', &leverage_part)
    memcpy(out, b',"side":0,"type":0,"openType":0,"externalOid":"', 47)
    out[8] += <char>side
    out[17] += <char>type
    out[30] += <char>open_type
    out = put(out + 47, b"", &name_part)
    memcpy(out, b'"}', 2)
    if out + 2 - PyBytes_AS_STRING(body) != size:
        raise AssertionError("the body's size was not foreseen")
    return body

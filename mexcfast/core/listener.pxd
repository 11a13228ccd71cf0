# What a strategy implements. Cimport it to receive with no Python call in between:
#
#     from mexcfast.core.listener cimport Listener, check_abi
#     from mexcfast.core.depth cimport OrderBook
#     check_abi()
#     cdef class Mine(Listener):
#         cpdef on_book(self, OrderBook book): ...
#
# ABI: change the number below whenever a class in any .pxd of core/ changes.
from libc.stdint cimport int64_t

from mexcfast.core.depth cimport OrderBook, State
from mexcfast.core.events cimport Event
from mexcfast.core.frame cimport Message

cdef enum:
    ABI = 10

# Call once in a module that cimports mexcfast: refuses to run against other vtables.
cdef inline int check_abi() except -1:
    from mexcfast.core import listener
    if listener.ABI_NUMBER != ABI:
        raise ImportError(f"compiled against mexcfast ABI {ABI}, installed is "
                          f"{listener.ABI_NUMBER}: build the module again")
    return 0

cdef class Listener:
    # After every frame that moved a LIVE book on. Never called while it is not whole and current.
    cpdef on_book(self, OrderBook book)
    # The book's state changed; both are members of depth.State.
    cpdef on_book_state(self, OrderBook book, State old, State new)
    # Any other subscribed channel. Events are built only when this is overridden.
    cpdef on_event(self, Event event)
    # Every frame of a subscribed topic as parsed, before anything else, no object made.
    # Valid until it returns. Called only when overridden.
    cpdef on_frame(self, Message frame, int64_t ts_recv_ns)
    # Connections: net/pool calls these. why: a short text; down_ns: how long there was no socket.
    cpdef on_connected(self, object connection)
    cpdef on_disconnected(self, object connection, str why)
    cpdef on_reconnected(self, object connection, int64_t down_ns)
    # The venue refused one of your topics. topic: core/topics.Topic; why: the venue's text.
    cpdef on_refused(self, object topic, str why)
    # Anything that happened to your sockets, topics and books: one of core/stream_events.
    cpdef on_stream_event(self, object event)

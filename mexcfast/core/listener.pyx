"""What a strategy implements: a base class whose hooks do nothing until overridden.

Hooks are plain calls in the event loop's thread. The book or event is complete before the call, so
a hook may read anything, subscribe, submit, or raise: what it raises is reported, nothing is lost.
"""

from libc.stdint cimport int64_t

from mexcfast.core.depth cimport OrderBook, State
from mexcfast.core.events cimport Event
from mexcfast.core.frame cimport Message

ABI_NUMBER = ABI


cdef class Listener:
    """Base class of everything that receives. Override the hooks you want, in Python or Cython."""

    cpdef on_book(self, OrderBook book):
        """A LIVE book moved on by one frame. book: read it now; it changes with the next frame."""

    cpdef on_book_state(self, OrderBook book, State old, State new):
        """The book's state changed. old, new: members of depth.State."""

    cpdef on_event(self, Event event):
        """A frame of another subscribed channel. event: yours to keep."""

    cpdef on_frame(self, Message frame, int64_t ts_recv_ns):
        """Every frame of a subscribed topic, parsed, before books and events; empty on return."""

    cpdef on_connected(self, object connection):
        """A socket that carries your topics opened. connection: its name."""

    cpdef on_disconnected(self, object connection, str why):
        """A socket that carries your topics was lost. connection: its name; why: a short text."""

    cpdef on_reconnected(self, object connection, int64_t down_ns):
        """The socket is back. connection: its name; down_ns: how long it was away, nanoseconds."""

    cpdef on_refused(self, object topic, str why):
        """The venue refused one of your topics. topic: core/topics.Topic; why: the venue's text."""

    cpdef on_stream_event(self, object event):
        """Anything that happened to your sockets, topics and books, the above included. event: one
        of core/stream_events."""


def overrides(Listener listener not None, str hook not None):
    """Whether the listener's class has its own `hook`."""
    return getattr(type(listener), hook) is not getattr(Listener, hook)

# What a recorder implements: told of everything that goes into readers and books, in order, so that
# the same calls made again give the same callbacks. tape/ring is the one that records.
from libc.stdint cimport int64_t, uint32_t

cpdef enum Kind:
    # source: the reader's number
    FRAME = 1             # one frame as it came
    SENT = 2              # one frame that left; logins without their content
    SOURCE = 3            # JSON: the socket's name
    LISTENED = 4          # "channel symbol": somebody listens to it on this reader
    FORGOTTEN = 5         # "channel symbol": nobody does any more
    # described 1: they did so before already, this is part of a description
    BOOK_ATTACHED = 6     # "book strict described symbol": its frames go into this book
    BOOK_DETACHED = 7     # symbol
    SETTLED = 8           # "book old change": Reader.settle
    TOLD = 9              # JSON: what listeners and watchers were told of sockets and books
    # what the pool does in such a call comes before RETURNED
    CALLED = 10           # the reader calls what it is attached to
    RETURNED = 11
    ARBITRATED = 12       # "channel symbol [arbiter path joined_ns capacity horizon_ns]"
    TRUSTED = 13          # book: Reader.trust
    # source: the book's number
    EXPECTED = 16         # expect_snapshot
    SNAPSHOT = 17         # load_snapshot: the REST body
    COMMITS = 18          # load_commits: the REST body
    APPLIED_FRAME = 19    # apply: the frame
    RESET = 20
    SUSPENDED = 21
    VERIFIED = 22
    BOOK_STOPPED = 23
    KEYFRAME = 24         # JSON: the whole book, see tape/keyframe
    SUSPECTED = 25        # suspect: why
    UNSUSPECTED = 26      # trust
    HOLDS = 27            # hold_early: nanoseconds
    OVERDUE = 28          # overdue: asked at this time
    # source: 0
    ORDER = 32            # JSON: one request that changes something, and its answer
    LOSS = 33             # "records bytes first_ns last_ns": what did not fit the recorder's memory
    MARK = 34             # a full description of what is recorded follows; keyframes come soon

cdef class Tap:
    cdef readonly uint32_t books         # numbers given to books so far

    # One frame. text is the caller's and valid during the call only.
    cdef int frame(self, uint32_t source, const char* text, Py_ssize_t size,
                   int64_t ts_recv_ns) except -1
    # Anything else. payload: bytes-like or str. ts_ns -1: the recorder takes its own time.
    cpdef note(self, int kind, uint32_t source, object payload, int64_t ts_ns=*)

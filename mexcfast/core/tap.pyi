from enum import IntEnum

class Kind(IntEnum):
    FRAME = 1
    SENT = 2
    SOURCE = 3
    LISTENED = 4
    FORGOTTEN = 5
    BOOK_ATTACHED = 6
    BOOK_DETACHED = 7
    SETTLED = 8
    TOLD = 9
    CALLED = 10
    RETURNED = 11
    ARBITRATED = 12
    TRUSTED = 13
    EXPECTED = 16
    SNAPSHOT = 17
    COMMITS = 18
    APPLIED_FRAME = 19
    RESET = 20
    SUSPENDED = 21
    VERIFIED = 22
    BOOK_STOPPED = 23
    KEYFRAME = 24
    SUSPECTED = 25
    UNSUSPECTED = 26
    HOLDS = 27
    OVERDUE = 28
    ORDER = 32
    LOSS = 33
    MARK = 34

class Tap:
    def __init__(self) -> None: ...
    @property
    def books(self) -> int: ...
    def note(
        self, kind: int, source: int, payload: bytes | bytearray | memoryview | str, ts_ns: int = -1
    ) -> None: ...
    def next_book(self) -> int: ...

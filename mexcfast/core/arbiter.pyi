from enum import IntEnum
from typing import Final, NamedTuple

BY_VERSION: Final[tuple[str, ...]]
STATES: Final[tuple[str, ...]]

class Verdict(IntEnum):
    NEW = 0
    COPY = 1
    PARTLY = 2
    SUPERSEDED = 3

class PathCounts(NamedTuple):
    first: int
    copies: int
    superseded: int
    holes: int
    late_sum_ns: int
    late_max_ns: int
    lateness: tuple[int, ...]

class Arbiter:
    def __init__(self, channel: str, *, capacity: int = 4096,
                 horizon_ns: int = 10_000_000_000) -> None: ...
    @property
    def channel(self) -> str: ...
    @property
    def capacity(self) -> int: ...
    @property
    def horizon_ns(self) -> int: ...
    @property
    def remainder(self) -> bytes | None: ...
    @property
    def everywhere(self) -> bool: ...
    @property
    def n_paths(self) -> int: ...
    @property
    def remembered(self) -> int: ...
    def join(self, now_ns: int) -> int: ...
    def leave(self, path: int) -> None: ...
    def joined_ns(self, path: int) -> int: ...
    def counts(self, path: int) -> PathCounts: ...
    def offer(self, data: bytes | bytearray | memoryview | str, path: int,
              ts_recv_ns: int) -> bytes | None: ...

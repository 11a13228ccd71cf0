from enum import IntEnum

from mexcfast.core.book import Book
from mexcfast.core.listener import Listener
from mexcfast.core.tap import Tap

_Buffer = bytes | bytearray | memoryview | str

class State(IntEnum):
    """INIT nothing known; SYNCING waits for a snapshot; LIVE whole and current; REPAIRING versions
    are missing, the last good book stays readable; STOPPED no longer fed."""

    INIT = 0
    SYNCING = 1
    LIVE = 2
    REPAIRING = 3
    STOPPED = 4

class Change(IntEnum):
    """What a frame did. STALE the book had it; APPLIED the book moved on; BUFFERED kept until the
    missing versions arrive; NEED_REPAIR ask for the commits `missing`; NEED_SNAPSHOT ask for the
    whole book."""

    STALE = 0
    APPLIED = 1
    BUFFERED = 2
    NEED_REPAIR = 3
    NEED_SNAPSHOT = 4

class OrderBook(Book):
    listeners: list[Listener]
    """Called after each change, in this order."""
    def __init__(self, symbol: str, *, strict: bool = True, storage: str = "auto") -> None: ...
    @property
    def symbol(self) -> str:
        """The contract, as the venue names it."""
    @property
    def state(self) -> State:
        """Where its sequence stands; `is_live` says whether it may be trusted."""
    @property
    def version(self) -> int:
        """The venue's number of the last version applied; -1 before the first snapshot."""
    @property
    def ts_venue_ms(self) -> int:
        """The venue's wall clock of what was applied last; -1 when it was not told."""
    @property
    def ts_recv_ns(self) -> int:
        """Our wall clock at the receipt of what was applied last; 0 before the first."""
    @property
    def ts_verified_ns(self) -> int:
        """Our wall clock when REST last confirmed the book; 0 when it never did."""
    @property
    def strict(self) -> bool:
        """False: a stream whose frames carry no `begin` may skip versions."""
    @property
    def frames(self) -> int:
        """Depth frames looked at so far."""
    @property
    def stale(self) -> int:
        """Frames that held nothing newer than the book."""
    @property
    def gaps(self) -> int:
        """How often versions were missing."""
    @property
    def repairs(self) -> int:
        """How often the missing versions came as commits."""
    @property
    def snapshots(self) -> int:
        """How often it was loaded whole."""
    @property
    def crossings(self) -> int:
        """How often a bid stood at or above an ask after a frame."""
    @property
    def overflows(self) -> int:
        """How often more frames waited for a snapshot than are kept; the oldest went."""
    @property
    def is_live(self) -> bool: ...
    @property
    def doubt(self) -> str | None:
        """Why a LIVE book may not be trusted now; None when it may."""
    @property
    def hold_ns(self) -> int:
        """How long an early frame waits for those of another socket; 0: not at all."""
    @property
    def held_ns(self) -> int:
        """Receipt of the first early frame that waits now, wall clock; 0 without any."""
    def hold_early(self, hold_ns: int) -> None: ...
    def overdue(self, now_ns: int) -> Change: ...
    def suspect(self, why: str) -> None: ...
    def trust(self) -> None: ...
    @property
    def is_crossed_now(self) -> bool: ...
    @property
    def missing(self) -> tuple[int, int] | None: ...
    @property
    def pending_frames(self) -> int: ...
    @property
    def tap(self) -> Tap | None:
        """What records everything that goes in; None: nobody does."""
    @property
    def tap_number(self) -> int:
        """This book's number on the tape."""
    def record(self, tap: Tap | None) -> None: ...
    def age_ns(self, now_ns: int) -> int | None: ...
    def expect_snapshot(self) -> None: ...
    def apply(self, frame: _Buffer, ts_recv_ns: int = 0) -> Change: ...
    def load_snapshot(self, data: _Buffer, ts_recv_ns: int = 0) -> Change: ...
    def load_commits(self, data: _Buffer, ts_recv_ns: int = 0) -> Change: ...
    def verified(self, ts_ns: int) -> None: ...
    def reset(self) -> None: ...
    def suspend(self) -> None: ...
    def stop(self) -> None: ...

import asyncio
from collections.abc import Callable
from typing import final

from mexcfast.core.rest import Endpoint, Request, Route, Subject
from mexcfast.core.throttle import Lane
from mexcfast.errors import MexcfastError
from mexcfast.net.clock import Clock
from mexcfast.net.lanes import Lanes
from mexcfast.types import Outcome

@final
class Way:
    """What the writes of one endpoint need, found once."""

@final
class Flight:
    """A write that has left by launch(), until its answer is there."""
    @property
    def began_ns(self) -> int:
        """Monotonic; when it was asked for."""
    @property
    def ts_sent_ms(self) -> int:
        """The time that was signed."""
    @property
    def symbol(self) -> str | None: ...
    @property
    def client_order_id(self) -> str | None: ...
    @property
    def order_id(self) -> int | None: ...
    @property
    def answered(self) -> asyncio.Future[tuple[int, bytes]]:
        """Of (status, body), or a NetworkError."""
    @property
    def about(self) -> Subject: ...
    def drop(self) -> None: ...

class Launcher:
    clock: Clock
    endpoint: Endpoint
    guard: Callable[[Route, Lane], MexcfastError | None] | None
    on_answer: Callable[[Route, MexcfastError | None], None] | None
    on_write: Callable[[str, Request, int | None, int | None, bytes, str], None] | None
    _lanes: Lanes | None
    _doubts: dict[int, int]
    _resync_due: bool
    _resyncs: int
    def launch(self, name: str, body: bytes | Callable[[], bytes], about: Subject, *,
               lane: Lane | None = None,
               on_send: Callable[[int | None], None] | None = None) -> Flight | None: ...
    def landed(self, flight: Flight) -> Outcome: ...
    def _doubt(self, lane: Lane, ts_sent_ms: int | None) -> int: ...

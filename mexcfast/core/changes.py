"""What changed in a book, frame by frame: for those who keep a book of their own beside ours.

A book is committed before listeners are called and says nothing of what moved. Here the frames are
kept until the book has taken them; whatever they do not explain (the first snapshot, a repair, a
resync, a frame that could not be kept) is told as the whole book. So who applies what is told has
our levels each time, and at no other time anything that our book did not show as LIVE.
"""

from __future__ import annotations

from mexcfast.core.depth import OrderBook, State
from mexcfast.core.events import Depth, parse_frame
from mexcfast.core.frame import Message
from mexcfast.core.listener import Listener
from mexcfast.core.reader import TAGS
from mexcfast.errors import FrameError

MOST_PENDING = 256          # frames kept while the book shows none of them
_DEPTH = TAGS["push.depth"]


class BookChanges(Listener):
    """Told of one contract's book whole once, then of the frames that changed it.

    Subscribe it to one depth topic; other topics are no harm. Override on_whole and on_changes,
    and call forget() when something told was not taken: the whole book is told next.
    ts_seen_ns: our wall clock, when the newest of what has been told had arrived; it never runs
    back.
    """

    def __init__(self) -> None:
        self.ts_seen_ns = 0
        self._pending: list[tuple[int, int, bytes]] = []
        self._version: int | None = None           # what has been told; None: not this book
        self._snapshots = 0

    def on_whole(self, book: OrderBook) -> None:
        """The book may be trusted and is not what was told so far: take all of it."""

    def on_changes(self, book: OrderBook, frames: list[Depth]) -> None:
        """These frames, in this order, made the book that was told last this one."""

    def forget(self) -> None:
        """Tell the whole book next."""
        self._version = None
        self._pending.clear()

    def on_frame(self, frame: Message, ts_recv_ns: int) -> None:
        """A frame, before the book has taken it."""
        if frame.tag != _DEPTH:
            return
        self.ts_seen_ns = max(self.ts_seen_ns, ts_recv_ns)
        if self._version is None:
            return
        if len(self._pending) == MOST_PENDING:
            self.forget()
            return
        self._pending.append((frame.begin, frame.end, frame.tail(1 << 30)))

    def on_book_state(self, book: OrderBook, old: State, new: State) -> None:
        """Whatever the book goes through, it is whole again when it is next shown."""
        self.forget()

    def on_book(self, book: OrderBook) -> None:
        """The book may be trusted."""
        pending, self._pending = self._pending, []
        self.ts_seen_ns = max(self.ts_seen_ns, book.ts_recv_ns, book.ts_verified_ns)
        frames = self._taken(book, pending)
        # before the call, so that forget() in it counts
        self._version, self._snapshots = book.version, book.snapshots
        if frames is None:
            self.on_whole(book)
        elif frames:
            self.on_changes(book, frames)

    def _taken(self, book: OrderBook, pending: list[tuple[int, int, bytes]]
               ) -> list[Depth] | None:
        """The frames that lead from what was told to the book; None when they do not."""
        at = self._version
        if at is None or book.snapshots != self._snapshots:
            return None
        found = []
        for begin, end, text in pending:
            if end <= at:
                continue
            if begin - 1 > at:
                return None
            at = end
            found.append(text)
        if at != book.version:
            return None
        try:
            events = [parse_frame(text) for text in found]
        except FrameError:
            return None
        return [event for event in events if isinstance(event, Depth)]

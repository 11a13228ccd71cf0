"""What sockets, books and paths have counted, kept when they are gone: totals that never fall.

A socket is closed, a book is not wanted any more, a topic leaves its second socket: their own
counters end with them. What is here goes on. Nothing here is touched by a frame; all of it is
added up when somebody asks, and when something ends.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields
from typing import Any, Protocol, Self

from mexcfast.core.arbiter import PathCounts
from mexcfast.core.reader import Reader


class Counted(Protocol):
    """One socket: net/connection.Connection."""

    reader: Reader
    opened: int
    pongs: int

    @property
    def is_closed(self) -> bool: ...


class _Counts:
    __slots__ = ()

    def __add__(self, other: Self) -> Self:
        return type(self)(*(getattr(self, each.name) + getattr(other, each.name)
                            for each in fields(self)))      # type: ignore[arg-type]


@dataclass(frozen=True, slots=True)
class SocketCounts(_Counts):
    """Of some sockets. arbitrated: frames not delivered because another socket had brought them.

    opened: handshakes done; reconnects: those that were not a socket's first.
    """

    frames: int = 0
    bytes: int = 0
    malformed: int = 0
    unknown: int = 0
    arbitrated: int = 0
    opened: int = 0
    reconnects: int = 0
    pongs: int = 0

    @classmethod
    def of(cls, socket: Counted) -> Self:
        """One socket's until now."""
        reader = socket.reader
        return cls(reader.frames, reader.bytes_read, reader.malformed, reader.unknown,
                   reader.arbitrated, socket.opened, max(0, socket.opened - 1), socket.pongs)


@dataclass(frozen=True, slots=True)
class BookCounts(_Counts):
    """Of some books, as in core/depth.OrderBook."""

    frames: int = 0
    stale: int = 0
    gaps: int = 0
    repairs: int = 0
    snapshots: int = 0
    crossings: int = 0
    overflows: int = 0

    @classmethod
    def of(cls, book: Any) -> Self:
        """One book's until now."""
        return cls(*(getattr(book, each.name) for each in fields(cls)))


class SocketTally:
    """All sockets that somebody ever opened."""

    def __init__(self) -> None:
        self._past = SocketCounts()
        self._sockets: list[Counted] = []

    def adopt(self, socket: Counted) -> None:
        """Count this one too. It is forgotten some time after it was closed."""
        self._settle()
        self._sockets.append(socket)

    def _settle(self) -> None:
        gone = [each for each in self._sockets if each.is_closed]
        if gone:
            self._past = sum(map(SocketCounts.of, gone), self._past)
            self._sockets = [each for each in self._sockets if each not in gone]

    def total(self) -> SocketCounts:
        """Until now."""
        return sum(map(SocketCounts.of, self._sockets), self._past)


class BookTally:
    """All books that were ever kept."""

    def __init__(self) -> None:
        self._past = BookCounts()

    def gone(self, book: Any) -> None:
        """A book is kept no longer."""
        self._past += BookCounts.of(book)

    def total(self, books: Iterable[Any]) -> BookCounts:
        """Of these, and of all that are gone."""
        return sum(map(BookCounts.of, books), self._past)


def add_paths(one: PathCounts, other: PathCounts) -> PathCounts:
    """What two paths have counted together."""
    return PathCounts(
        one.first + other.first, one.copies + other.copies, one.superseded + other.superseded,
        one.holes + other.holes, one.late_sum_ns + other.late_sum_ns,
        max(one.late_max_ns, other.late_max_ns),
        tuple(a + b for a, b in zip(one.lateness, other.lateness, strict=True)))


class PathTally:
    """What all arbiters have counted, by path: the place of a socket among those of a topic."""

    def __init__(self) -> None:
        self._past: dict[int, PathCounts] = {}

    def gone(self, path: int, counts: PathCounts) -> None:
        """A path has left its arbiter."""
        known = self._past.get(path)
        self._past[path] = counts if known is None else add_paths(known, counts)

    def total(self, running: Iterable[tuple[int, PathCounts]]) -> dict[int, PathCounts]:
        """Path -> counts, of these and of all that left."""
        found = dict(self._past)
        for path, counts in running:
            known = found.get(path)
            found[path] = counts if known is None else add_paths(known, counts)
        return found

"""What happens to streams and books, as frozen events; one line of log each.

    Connected Disconnected Reconnected Rotated      a socket
    Refused                                         a topic the venue does not want to send
    Degraded Recovered                              a topic (and its book) that may not be trusted
    Gap Repairing Live                              a book

They come in the order in which things happened. Times: ts_ns is our wall clock, durations are of
the monotonic clock; both in nanoseconds.
"""

from __future__ import annotations

from dataclasses import dataclass

from mexcfast.core.topics import Topic


def _seconds(ns: int) -> str:
    return f"{ns / 1e9:.3f} s"


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamEvent:
    """Base class. connection: the socket's name, "" when it concerns none in particular."""

    ts_ns: int
    connection: str = ""
    is_trouble = False           # logged as a warning

    def __str__(self) -> str:
        return f"{self.connection}: {type(self).__name__.lower()}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Connected(StreamEvent):
    """A socket opened for the first time. took_ns: since the first try."""

    took_ns: int = 0

    def __str__(self) -> str:
        return f"{self.connection}: connected after {_seconds(self.took_ns)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Disconnected(StreamEvent):
    """A socket was lost. lived_ns: how long it had been open."""

    why: str
    lived_ns: int = 0
    is_trouble = True

    def __str__(self) -> str:
        return f"{self.connection}: lost after {_seconds(self.lived_ns)}: {self.why}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reconnected(StreamEvent):
    """A socket is back. down_ns: how long there was none."""

    down_ns: int

    def __str__(self) -> str:
        return f"{self.connection}: reconnected after {_seconds(self.down_ns)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rotated(StreamEvent):
    """connection took over the topics of `old`, which was closed.

    Half of them, when `old` carried too much: then it lives on. took_ns: both carried them.
    """

    old: str
    why: str
    topics: int
    took_ns: int

    def __str__(self) -> str:
        return (f"{self.connection}: took {self.topics} topics over from {self.old} in "
                f"{_seconds(self.took_ns)}: {self.why}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused(StreamEvent):
    """The venue refused a topic; None when it did not say which request it meant.

    retry_ns: when it will be asked for again; None: not before the next socket.
    """

    topic: Topic | None
    why: str
    retry_ns: int | None = None
    is_trouble = True

    def __str__(self) -> str:
        again = "" if self.retry_ns is None else f", asking again in {_seconds(self.retry_ns)}"
        return f"{self.connection}: {self.topic or 'a request'} refused: {self.why}{again}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Degraded(StreamEvent):
    """A topic is silent for longer than its rhythm allows; its book is not trusted meanwhile."""

    topic: Topic
    why: str
    silent_ns: int
    is_trouble = True

    def __str__(self) -> str:
        return f"{self.connection}: {self.topic} degraded: {self.why}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Recovered(StreamEvent):
    """A degraded topic speaks again, or REST or the venue's yes showed that nothing was missed."""

    topic: Topic
    why: str
    after_ns: int

    def __str__(self) -> str:
        return (f"{self.connection}: {self.topic} trusted after {_seconds(self.after_ns)}: "
                f"{self.why}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Gap(StreamEvent):
    """A book misses versions first..last; it is readable and not LIVE."""

    symbol: str
    first: int
    last: int
    is_trouble = True

    def __str__(self) -> str:
        return f"{self.connection}: {self.symbol} misses versions {self.first} to {self.last}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Repairing(StreamEvent):
    """A book is being mended over REST. by: "depth_commits" or "depth"."""

    symbol: str
    by: str

    def __str__(self) -> str:
        return f"{self.connection}: {self.symbol} is mended by {self.by}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Live(StreamEvent):
    """A book is LIVE. after_ns: since it was LIVE last, or since it was subscribed to."""

    symbol: str
    version: int
    after_ns: int

    def __str__(self) -> str:
        return (f"{self.connection}: {self.symbol} live at version {self.version} after "
                f"{_seconds(self.after_ns)}")

"""What happens on the bus, as events beside those of core/stream_events."""

from __future__ import annotations

from dataclasses import dataclass

from mexcfast.core.stream_events import StreamEvent
from mexcfast.core.topics import Topic


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewayUp(StreamEvent):
    """A gateway speaks: for the first time, or again. connection: its name."""

    contracts: int

    def __str__(self) -> str:
        return f"{self.connection}: gateway speaks, {self.contracts} contracts"


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewayDown(StreamEvent):
    """A gateway is silent beyond the bound, has left or was replaced. connection: its name."""

    why: str
    is_trouble = True

    def __str__(self) -> str:
        return f"{self.connection}: gateway down: {self.why}"


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceChanged(StreamEvent):
    """A topic comes from another gateway, `connection`; its book, if any, begins anew.

    Events of both around the change may be missing or come twice.
    """

    topic: Topic
    old: str

    def __str__(self) -> str:
        return f"{self.connection}: brings {self.topic} instead of {self.old or 'nobody'}"


@dataclass(frozen=True, slots=True, kw_only=True)
class MessagesLost(StreamEvent):
    """Messages of a topic did not arrive, `count` of them. A book is mended, events are gone.

    Those of a book count as lost when they are more than a beat late: asking for it is quicker.
    """

    topic: Topic
    count: int
    is_trouble = True

    def __str__(self) -> str:
        return f"{self.connection}: {self.count} messages of {self.topic} were lost on the bus"

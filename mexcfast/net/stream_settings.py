"""What the sockets obey: every number of the streams, with its unit and reason."""

from __future__ import annotations

from dataclasses import dataclass

WHOLE = ("topics_per_socket", "messages_per_second", "acknowledge_tries", "backoff_cap_ms",
         "redundancy", "connects_at_once", "repairs_at_once")


@dataclass(frozen=True, slots=True)
class StreamSettings:
    """Seconds unless the name says otherwise. Defaults: protocol.md 5.2 with room to spare.

    Raises ValueError for a value that the venue or reason does not allow, by name.
    """

    topics_per_socket: int = 30
    messages_per_second: int = 80          # the venue disconnects above 100
    ping_interval: float = 15.0
    pong_deadline: float = 10.0
    handshake_timeout: float = 10.0
    acknowledge_timeout: float = 5.0
    acknowledge_tries: int = 3
    stable_after: float = 2.0              # a socket this old resets the backoff
    backoff_cap_ms: int = 30_000
    connects_at_once: int = 5              # handshakes under way; a reconnect storm stays small
    refused_retry: float = 5.0             # first pause before a refused topic is asked for again
    refused_retry_cap: float = 300.0       # it doubles up to this
    silence_tick: float = 0.5              # how often silence, health and age are looked at
    silence_scale: float = 1.0             # times the bounds of core/liveness.RHYTHMS
    late_pong: float = 5.0                 # three in a row later than this: the socket is drained
    lateness_limit: float = 2.0            # frames that much later than at best, for ten seconds
    redundancy: int = 1                    # sockets that carry each topic
    early_hold: float = 0.1                # a frame waits this long for one on another socket
    frames_per_socket: float = 4_000.0     # a second; above it a socket takes no more topics
    bytes_per_socket: float = 8e6          # the same in bytes a second
    crowded_after: float = 30.0            # above these for that long: half its topics move away
    rotate_after: float = 79_200.0         # 22 h; the venue closes at 24 h
    rotate_spread: float = 3_600.0         # up to this is taken off, at random for each socket
    rotation_overlap: float = 2.0          # both sockets carry quiet topics for this long
    rotation_timeout: float = 60.0         # a new socket that is not whole by then is given up
    repairs_at_once: int = 4               # REST requests for books under way, of each kind

    def __post_init__(self) -> None:
        for name in self.__dataclass_fields__:
            value = getattr(self, name)
            if not isinstance(value, int | float) or isinstance(value, bool) or not value > 0:
                raise ValueError(f"{name} is {value!r}; allowed: a number above 0")
            if name in WHOLE and not isinstance(value, int):
                raise ValueError(f"{name} is {value!r}; allowed: a whole number above 0")
        if self.topics_per_socket > 30 or self.messages_per_second > 100:
            raise ValueError("the venue allows 30 topics and 100 messages a second on a socket")
        if self.redundancy > 3:
            raise ValueError(f"redundancy is {self.redundancy}; allowed: 1 to 3")
        if self.rotate_after > 86_400 - self.rotation_timeout:
            raise ValueError(f"rotate_after is {self.rotate_after!r}; allowed: up to 24 h less "
                             f"rotation_timeout, when the venue closes")
        if self.rotate_spread >= self.rotate_after:
            raise ValueError(f"rotate_spread is {self.rotate_spread!r}; allowed: below "
                             f"rotate_after, {self.rotate_after!r}")

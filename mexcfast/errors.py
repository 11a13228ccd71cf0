"""Every exception mexcfast raises.

    MexcfastError
    │   your mistake: nothing left this process
    ├── ConfigError             a key, a setting or an environment variable is missing or malformed
    ├── IntentError             an order or parameter refused before sending (also a ValueError)
    ├── BudgetSpent             the venue's budget is used up and the caller chose not to wait
    ├── Dropped                 taken out of the queue before it was sent: replaced or too old
    ├── NotReady                trading was asked for before earlier orders were settled
    ├── JournalError            the journal of orders cannot be read, written or trusted
    ├── TapeError               a recording cannot be read or written
    ├── SlowConsumer            a feed's consumer fell behind its bound and asked to be told
    ├── BookError               a book was given or asked for what is not its own (also ValueError)
    │   the venue's answer
    ├── VenueError              base of all of them: .code .message .announcement
    │   ├── AuthenticationError     key missing, unknown or expired, futures not activated
    │   ├── SignatureError          signature verification failed
    │   ├── PermissionDenied        right, address or identity check missing; account blocked
    │   ├── ClockError              request time outside the venue's window
    │   ├── RateLimited             too many requests
    │   ├── ParameterError          a parameter is wrong
    │   ├── SymbolError             no such contract, or not activated
    │   ├── InsufficientBalance     not enough margin
    │   ├── OrderRejected           price, state or duplicate: the order is refused
    │   ├── NotFound                no such order
    │   ├── PositionError           contradicts the position held
    │   ├── LimitExceeded           size, count or risk limit
    │   ├── MaintenanceError        trading or the interface is closed
    │   ├── VenueFault              the venue failed inside; after a write the outcome is unknown
    │   └── EdgeError               the edge firewall answered (HTML), not the exchange
    ├── FrameError              the venue sent bytes we cannot read (also a ValueError)
    │   the network
    └── NetworkError
        ├── ConnectFailed           no connection: nothing was sent
        ├── RequestTimeout          no answer in time
        ├── ConnectionLost          the connection broke after sending began
        └── BadAnswer               an answer came and is not one of the venue's

Our own bugs are not in the tree: they surface as the ordinary Python errors they are.
No message and no attribute ever holds a secret or a signature.
Codes: protocol.md 17. Outcome rules: protocol.md 4.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

__all__ = [
    "CODES",
    "AuthenticationError",
    "BadAnswer",
    "BookError",
    "BudgetSpent",
    "ClockError",
    "ConfigError",
    "ConnectFailed",
    "ConnectionLost",
    "Dropped",
    "EdgeError",
    "FrameError",
    "InsufficientBalance",
    "IntentError",
    "JournalError",
    "LimitExceeded",
    "MaintenanceError",
    "MexcfastError",
    "NetworkError",
    "NotFound",
    "NotReady",
    "OrderRejected",
    "ParameterError",
    "PermissionDenied",
    "PositionError",
    "RateLimited",
    "RequestTimeout",
    "SignatureError",
    "SlowConsumer",
    "SymbolError",
    "TapeError",
    "VenueError",
    "VenueFault",
    "venue_error",
]


class MexcfastError(Exception):
    """Root of every error mexcfast raises on purpose."""


class ConfigError(MexcfastError, ValueError):
    """A key, setting or environment variable is missing or malformed.

    The message names the variable or argument, never its value.
    """


class IntentError(MexcfastError, ValueError):
    """Refused here, before anything was sent.

    field: our name of the argument; value: what was given; allowed: what would have been accepted.
    """

    def __init__(self, field: str, value: object, allowed: str) -> None:
        super().__init__(field, value, allowed)
        self.field = field
        self.value = value
        self.allowed = allowed

    def __str__(self) -> str:
        try:
            seen = repr(self.value)
        except ValueError:      # an int of more than 4300 digits
            seen = f"a huge {type(self.value).__name__}"
        if len(seen) > 200:
            seen = seen[:200] + "..."
        return f"{self.field} is {seen}; allowed: {self.allowed}"


class BudgetSpent(MexcfastError):
    """The venue's budget of this group is used up.

    group: budget group; wait_ns: nanoseconds until the next free slot.
    """

    def __init__(self, group: str, wait_ns: int) -> None:
        super().__init__(group, wait_ns)
        self.group = group
        self.wait_ns = wait_ns

    def __str__(self) -> str:
        return f"budget {self.group!r} is used up; next slot in {self.wait_ns / 1e6:.1f} ms"


class Dropped(MexcfastError):
    """A queued request was taken out before it was sent.

    reason: "replaced" by a newer one with the same key, "kept" because an older one with the same
    key waits, or "outdated" because it waited too long.
    """

    def __init__(self, reason: str, waited_ns: int = 0) -> None:
        super().__init__(reason, waited_ns)
        self.reason = reason
        self.waited_ns = waited_ns

    def __str__(self) -> str:
        return f"not sent: {self.reason} after {self.waited_ns / 1e6:.1f} ms in the queue"


class NotReady(MexcfastError):
    """Orders of an earlier run are not settled yet: await Orders.start() first."""


class JournalError(MexcfastError):
    """The journal of orders cannot be read, written or trusted. Names the file and the reason."""


class TapeError(MexcfastError, ValueError):
    """A recording cannot be read or written. Names the file and the reason."""


class SlowConsumer(MexcfastError):
    """The consumer of a feed with slow="error" is too far behind; the feed has ended.

    feed: what it was reading; bound: what was allowed; behind: how much waited, at least.
    """

    def __init__(self, feed: str, bound: int, behind: int) -> None:
        super().__init__(feed, bound, behind)
        self.feed = feed
        self.bound = bound
        self.behind = behind

    def __str__(self) -> str:
        return f"the consumer of {self.feed} is {self.behind} behind; allowed: {self.bound}"


class BookError(MexcfastError, ValueError):
    """A book was given or asked for what is not its own. Names what was given and is allowed."""


class FrameError(MexcfastError, ValueError):
    """The bytes are not a frame of the venue. The message names the field and what was seen."""


class VenueError(MexcfastError):
    """The venue refused. The class tells why; code and text are kept as they came.

    code: the venue's number, None when the answer had none.
    message: the venue's text, "" when absent. Its language varies: do not classify by it.
    announcement: address of a maintenance notice, None when absent.
    """

    def __init__(self, code: int | None, message: str = "",
                 announcement: str | None = None) -> None:
        super().__init__(code, message, announcement)
        self.code = code
        self.message = message
        self.announcement = announcement

    def __str__(self) -> str:
        text = f"{'no code' if self.code is None else self.code}: {self.message or 'no text'}"
        return f"{text} ({self.announcement})" if self.announcement else text


class AuthenticationError(VenueError):
    """Key missing, unknown or expired, or futures not activated."""


class SignatureError(VenueError):
    """The venue computed another signature."""


class PermissionDenied(VenueError):
    """The key, the address or the account may not do this."""


class ClockError(VenueError):
    """Request time outside the venue's window."""


class RateLimited(VenueError):
    """Too many requests; wait at least one full window."""


class ParameterError(VenueError):
    """A parameter is wrong."""


class SymbolError(VenueError):
    """No such contract, or not activated."""


class InsufficientBalance(VenueError):
    """Not enough margin."""


class OrderRejected(VenueError):
    """The order itself is refused: price, state or a duplicate id."""


class NotFound(VenueError):
    """No such order."""


class PositionError(VenueError):
    """The request contradicts the position held."""


class LimitExceeded(VenueError):
    """A size, count or risk limit would be exceeded."""


class MaintenanceError(VenueError):
    """Trading or this interface is closed."""


class VenueFault(VenueError):
    """The venue failed inside. After a state-changing request the outcome is unknown."""


class EdgeError(VenueError):
    """The edge firewall answered instead of the exchange: back off for minutes.

    status: the HTTP status it came with.
    """

    def __init__(self, status: int, message: str = "the edge firewall answered") -> None:
        super().__init__(None, message)
        self.args = (status, message)
        self.status = status

    def __str__(self) -> str:
        return f"HTTP {self.status}: {self.message}"


class NetworkError(MexcfastError):
    """The network, not the venue."""


class ConnectFailed(NetworkError):
    """No connection could be made. Nothing was sent."""


class RequestTimeout(NetworkError):
    """No answer in time. A write may have been executed."""


class ConnectionLost(NetworkError):
    """The connection broke after sending began. A write may have been executed."""


class BadAnswer(NetworkError):
    """An answer came and is not one of the venue's.

    status: HTTP status, 0 when unknown. The body is not repeated in the message.
    """

    def __init__(self, reason: str, status: int = 0) -> None:
        super().__init__(reason, status)
        self.reason = reason
        self.status = status

    def __str__(self) -> str:
        return f"HTTP {self.status}: {self.reason}" if self.status else self.reason


_BY_CLASS: dict[type[VenueError], tuple[int, ...]] = {
    AuthenticationError: (401, 402, 1000),
    SignatureError: (602,),
    PermissionDenied: (403, 406, 506, 511, 701, 702, 703, 704, 6001, 6002, 6026,
                       200005, 200006, 300000, 300001),
    ClockError: (513,),
    RateLimited: (429, 510, 2037),
    ParameterError: (400, 404, 600, 601, 603, 1003, 1004, 2001, 2002, 2006, 2011, 2012, 2015, 2022,
                     2029, 2030, 2035, 3001, 3002, 3003, 3004, 4001, 5001, 6003, 6004, 8817),
    SymbolError: (1001, 1002, 6005),
    InsufficientBalance: (2005, 2018),
    OrderRejected: (2003, 2004, 2007, 2032, 2033, 2041, 2042, 5003, 5004),
    NotFound: (2040, 5002),
    PositionError: (2008, 2009, 2019, 2021, 2023, 2024, 2026, 2027, 2043),
    LimitExceeded: (2013, 2014, 2016, 2025, 2028, 2031, 2034, 2036, 2038),
    MaintenanceError: (604, 801, 11444),
    VenueFault: (500, 501, 503, 504, 9999),
}

#: Venue code -> class, protocol.md 17. 500 and 1002 are refined by venue_error.
CODES: Mapping[int, type[VenueError]] = MappingProxyType(
    {code: kind for kind, codes in _BY_CLASS.items() for code in codes})


def venue_error(code: int | None, message: str = "", announcement: str | None = None, *,
                status: int = 200, changes_state: bool = False) -> VenueError:
    """The typed error of one failed answer; code, message and announcement are kept as they came.

    status: HTTP status. changes_state: the request was a write.
    A code outside the table: VenueFault for a write under HTTP 5xx, else OrderRejected for a write
    and ParameterError for a read. Without a code, or with a success code in a failure
    (protocol.md 2, rule 2): plain VenueError.
    """
    if code is None or code == 0 or code == 200:
        kind: type[VenueError] = VenueError
    else:
        known = CODES.get(code)
        if known is not None:
            kind = known
        elif not changes_state:
            kind = ParameterError
        else:
            kind = VenueFault if status >= 500 else OrderRejected
    # The only two codes whose text decides: the venue reuses them for "trading closed".
    text = message.lower()
    if ((code == 1002 and "not allow" in text)
            or (code == 500 and (announcement or "maintenance" in text))):
        kind = MaintenanceError
    return kind(code, message, announcement)

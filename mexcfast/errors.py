"""Every exception mexcfast raises.

    MexcfastError
    │   your mistake: nothing left this process
    ├── ConfigError             a key, a setting or an environment variable is missing or malformed
    ├── IntentError             an order or parameter refused before sending (also a ValueError)
    ├── BudgetSpent             the venue's budget is used up and the caller chose not to wait
    ├── Dropped                 taken out of the queue before it was sent: replaced or too old
    ├── NotReady                trading was asked for before earlier orders were settled
    ├── KillSwitchTripped       the kill switch refuses what adds risk until it is reset by hand
    ├── JournalError            the journal of orders cannot be read, written or trusted
    ├── TapeError               a recording cannot be read or written
    ├── GatewayError            a message of the gateway's bus cannot be read, or asked for in vain
    ├── SlowConsumer            a feed's consumer fell behind its bound and asked to be told
    ├── BookError               a book was given or asked for what is not its own (also ValueError)
    ├── MissingExtra            a framework an adapter needs is not installed (also an ImportError)
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
Every one has .advice, what to do about it, and .endpoint, the path it came from ("" when none).
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
    "GatewayError",
    "InsufficientBalance",
    "IntentError",
    "JournalError",
    "KillSwitchTripped",
    "LimitExceeded",
    "MaintenanceError",
    "MexcfastError",
    "MissingExtra",
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
    """Root of every error mexcfast raises on purpose.

    endpoint: path below /api/v1/ of the request it came from, "" when there was none.
    """

    endpoint = ""
    _advice = "Read the message."

    @property
    def advice(self) -> str:
        """What to do about it, one or two sentences."""
        return self._advice


class ConfigError(MexcfastError, ValueError):
    """A key, setting or environment variable is missing or malformed.

    The message names the variable or argument, never its value.
    """

    _advice = "Correct the named argument or environment variable; nothing was sent."


class IntentError(MexcfastError, ValueError):
    """Refused here, before anything was sent.

    field: our name of the argument; value: what was given; allowed: what would have been accepted.
    """

    _advice = "Change the named argument to what the message allows; nothing was sent."

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

    _advice = "Wait for the next slot (wait_ns), or let the call wait with wait=True."

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

    _advice = "Nothing was sent. Place a new order if it is still wanted."

    def __init__(self, reason: str, waited_ns: int = 0) -> None:
        super().__init__(reason, waited_ns)
        self.reason = reason
        self.waited_ns = waited_ns

    def __str__(self) -> str:
        return f"not sent: {self.reason} after {self.waited_ns / 1e6:.1f} ms in the queue"


class NotReady(MexcfastError):
    """Orders of an earlier run are not settled yet: await Orders.start() first."""

    _advice = ("Await Client.start() before trading: it settles what an earlier run left in "
               "doubt.")


class KillSwitchTripped(MexcfastError):
    """The kill switch has tripped: nothing that adds risk leaves until it is reset by hand.

    trigger: which one, as in core.killswitch.Trigger; ts_ms: when, wall clock; text: why.
    """

    _advice = ("Find out why it tripped, then reset it by hand: kill_switch.reset(reason) or "
               "mexcfast doctor --reset-kill-switch.")

    def __init__(self, trigger: str, ts_ms: int, text: str = "") -> None:
        super().__init__(trigger, ts_ms, text)
        self.trigger = trigger
        self.ts_ms = ts_ms
        self.text = text

    def __str__(self) -> str:
        return (f"not sent: the kill switch tripped at {self.ts_ms} (ms since 1970) by "
                f"{self.trigger}: {self.text}")


class JournalError(MexcfastError):
    """The journal of orders cannot be read, written or trusted. Names the file and the reason."""

    _advice = ("Stop trading; look at the named file. Delete it only when no order is in "
               "doubt.")


class TapeError(MexcfastError, ValueError):
    """A recording cannot be read or written. Names the file and the reason."""

    _advice = "Name a tape, or a directory that can be written."


class GatewayError(MexcfastError, ValueError):
    """A message of the gateway's bus cannot be read, or no gateway publishes what was asked for."""

    _advice = ("Check that gateways and consumers are of one version and that a gateway publishes "
               "the channel.")


class SlowConsumer(MexcfastError):
    """The consumer of a feed with slow="error" is too far behind; the feed has ended.

    feed: what it was reading; bound: what was allowed; behind: how much waited, at least.
    """

    _advice = "Do less in the loop, raise bound, or choose slow=\"drop\" or \"latest\"."

    def __init__(self, feed: str, bound: int, behind: int) -> None:
        super().__init__(feed, bound, behind)
        self.feed = feed
        self.bound = bound
        self.behind = behind

    def __str__(self) -> str:
        return f"the consumer of {self.feed} is {self.behind} behind; allowed: {self.bound}"


class BookError(MexcfastError, ValueError):
    """A book was given or asked for what is not its own. Names what was given and is allowed."""

    _advice = "Use one kind of depth and one book for a contract."


class MissingExtra(MexcfastError, ImportError):
    """A framework an adapter needs is not installed. Names the extra that brings it.

    extra: its name in mexcfast[...]; reason: what the import said.
    """

    _advice = "Install the extra the message names into the same environment."

    def __init__(self, extra: str, reason: str) -> None:
        super().__init__(extra, reason)
        self.extra = extra
        self.reason = reason

    def __str__(self) -> str:
        return f"pip install 'mexcfast[{self.extra}]': {self.reason}"


class FrameError(MexcfastError, ValueError):
    """The bytes are not a frame of the venue. The message names the field and what was seen."""

    _advice = "The frame was left out; report it with the text when it comes again."


class VenueError(MexcfastError):
    """The venue refused. The class tells why; code and text are kept as they came.

    code: the venue's number, None when the answer had none.
    message: the venue's text, "" when absent. Its language varies: do not classify by it.
    announcement: address of a maintenance notice, None when absent.
    """

    _advice = "The venue refused without a code; look the order up before placing another."

    def __init__(self, code: int | None, message: str = "",
                 announcement: str | None = None) -> None:
        super().__init__(code, message, announcement)
        self.code = code
        self.message = message
        self.announcement = announcement

    @property
    def advice(self) -> str:
        """What to do about it, for this code where it has its own."""
        return _ADVICE.get(self.code or 0, self._advice)

    def __str__(self) -> str:
        text = f"{'no code' if self.code is None else self.code}: {self.message or 'no text'}"
        return f"{text} ({self.announcement})" if self.announcement else text


class AuthenticationError(VenueError):
    """Key missing, unknown or expired, or futures not activated."""

    _advice = ("Check that the key exists, has not expired and that futures are activated; "
               "make a new key if need be.")


class SignatureError(VenueError):
    """The venue computed another signature."""

    _advice = ("Check the secret. If it is right, something changed the request on its way: "
               "do not retry.")


class PermissionDenied(VenueError):
    """The key, the address or the account may not do this."""

    _advice = "Give the key the missing right or address at the venue; do not retry."


class ClockError(VenueError):
    """Request time outside the venue's window."""

    _advice = ("The request was not executed. The clock is measured again before the next "
               "one; send it again if it is still wanted.")


class RateLimited(VenueError):
    """Too many requests; wait at least one full window."""

    _advice = "Wait at least one full window; the budget does so by itself."


class ParameterError(VenueError):
    """A parameter is wrong."""

    _advice = "Correct the request; the same one will be refused again."


class SymbolError(VenueError):
    """No such contract, or not activated."""

    _advice = "Check the contract's name and state with load_contracts()."


class InsufficientBalance(VenueError):
    """Not enough margin."""

    _advice = "Lower quantity or leverage use, or add margin."


class OrderRejected(VenueError):
    """The order itself is refused: price, state or a duplicate id."""

    _advice = "The order as it is cannot live: check price, state and client order id."


class NotFound(VenueError):
    """No such order."""

    _advice = "Ask open orders and history before assuming that it never was."


class PositionError(VenueError):
    """The request contradicts the position held."""

    _advice = "Read the position again and fit the order to it."


class LimitExceeded(VenueError):
    """A size, count or risk limit would be exceeded."""

    _advice = "Send less at once, or cancel something first."


class MaintenanceError(VenueError):
    """Trading or this interface is closed."""

    _advice = "Stop trading and look again slowly; cancels may still pass."


class VenueFault(VenueError):
    """The venue failed inside. After a state-changing request the outcome is unknown."""

    _advice = ("Reads may be tried again; after a write the outcome is unknown: wait for the "
               "resolver, never send it again.")


class EdgeError(VenueError):
    """The edge firewall answered instead of the exchange: back off for minutes.

    status: the HTTP status it came with.
    """

    _advice = "Back off for minutes. Check address, User-Agent and request pace."

    def __init__(self, status: int, message: str = "the edge firewall answered") -> None:
        super().__init__(None, message)
        self.args = (status, message)
        self.status = status

    def __str__(self) -> str:
        return f"HTTP {self.status}: {self.message}"


class NetworkError(MexcfastError):
    """The network, not the venue."""

    _advice = "Check the connection; a write may have been executed."


class ConnectFailed(NetworkError):
    """No connection could be made. Nothing was sent."""

    _advice = "Nothing was sent: it may be tried again when the venue can be reached."


class RequestTimeout(NetworkError):
    """No answer in time. A write may have been executed."""

    _advice = "A write may have been executed: wait for the resolver, never send it again."


class ConnectionLost(NetworkError):
    """The connection broke after sending began. A write may have been executed."""

    _advice = "A write may have been executed: wait for the resolver, never send it again."


class BadAnswer(NetworkError):
    """An answer came and is not one of the venue's.

    status: HTTP status, 0 when unknown. The body is not repeated in the message.
    """

    _advice = ("A write may have been executed: wait for the resolver. If reads fail so too, "
               "the venue has changed: stop trading.")

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


#: Where a code's advice differs from its class's.
_ADVICE: Mapping[int, str] = MappingProxyType({
    401: "Check that access key and secret belong together and to this endpoint.",
    402: "The key has expired (unbound keys live 90 days): make a new one.",
    404: "The path is gone: the venue has changed its interface. Stop trading, update mexcfast.",
    406: "Add this machine's address to the key's list at the venue.",
    511: "The key may not use this interface, or the venue has closed it. Stop trading.",
    603: "The venue saw this request before: look the order up, the first may have been taken.",
    1000: "Activate futures trading for this account at the venue.",
    1001: "Check the contract's name, or the order id: the venue uses this code for both.",
    1002: "The contract is not open to API orders: stop trading it.",
    2001: "Check side against the position mode of the account.",
    2018: "Lower the amount to what the position can spare.",
    2021: "Use the leverage of the position held, or change_leverage() first.",
    2027: "Use the margin mode of the position held in this direction.",
    2036: "Too many orders are open: cancel some.",
    2037: "Place orders more slowly; the venue watches the pace of trading itself.",
    2041: "The order is final already: read it.",
    2042: "An order with this client order id exists: look it up, do not place another.",
    6026: "The venue blocks opening after many failing orders: opening waits by itself.",
    8817: "Risk limits are changed in another way now; do not call this.",
})


def venue_error(code: int | None, message: str = "", announcement: str | None = None, *,
                status: int = 200, changes_state: bool = False) -> VenueError:
    """The typed error of one failed answer; code, message and announcement are kept as they came.

    status: HTTP status. changes_state: the request was a write.
    A code outside the table: VenueFault under HTTP 5xx, else OrderRejected for a write and
    ParameterError for a read. Without a code, or with a success code in a failure
    (protocol.md 2, rule 2): plain VenueError.
    """
    if code is None or code == 0 or code == 200:
        kind: type[VenueError] = VenueError
    else:
        known = CODES.get(code)
        if known is not None:
            kind = known
        elif status >= 500:
            kind = VenueFault
        else:
            kind = OrderRejected if changes_state else ParameterError
    # The only two codes whose text decides: the venue reuses them for "trading closed".
    text = message.lower()
    if ((code == 1002 and "not allow" in text)
            or (code == 500 and (announcement or "maintenance" in text))):
        kind = MaintenanceError
    return kind(code, message, announcement)

"""Switches of the embedded exchange: limits with scalable clocks, and answer variations."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(slots=True)
class Limits:
    """Limits of protocol.md 4 and 5.2. None switches one off; `time_scale` shortens the waits.

    A time_scale of 0.01 turns the 30 s, 60 s and 24 h rules into 0.3 s, 0.6 s and 864 s; the age
    of keys, the windows of budgets and of the message rate and the opening block are scaled too.
    The clock window has its own length: a client that is slow is no client whose clock is wrong.
    Signatures have their switch in Exchange(lenient_auth=True), permissions and addresses in
    change_key(), funding its cycle in change_contract(funding_seconds=).
    """

    rest_budgets: bool = True
    order_budget: tuple[int, float] | None = (4, 2.0)
    """Requests and seconds for the order placing endpoints; None leaves them 20 per 2 s."""
    topics: int | None = 30
    messages_per_second: int | None = 100
    no_subscription_seconds: float | None = 30.0
    no_ping_seconds: float | None = 60.0
    max_age_seconds: float | None = 86_400.0
    key_age_seconds: float | None = 90 * 86_400.0
    """Keys without a bound address expire at this age (402)."""
    clock_window: bool = True
    """Refuse requests and logins whose time is outside the window (513)."""
    clock_window_seconds: float = 10.0
    """The window of requests that name none in Recv-Window, and of logins."""
    failing_orders: tuple[int, float, float] | None = None
    """(refused placings, seconds, seconds blocked): 6026 for opening, as seen live. Off unless
    given: nobody knows the venue's numbers."""
    write_buffer_bytes: int | None = 8 * 1024 * 1024
    """A client that reads slower than this is cut."""
    time_scale: float = 1.0

    @classmethod
    def off(cls) -> Limits:
        """No limit at all, except that a client which stops reading is cut."""
        return cls(
            rest_budgets=False,
            order_budget=None,
            topics=None,
            messages_per_second=None,
            no_subscription_seconds=None,
            no_ping_seconds=None,
            max_age_seconds=None,
            key_age_seconds=None,
        )


@dataclass(slots=True)
class Variations:
    """Differences between documented and observed answers (protocol.md 18.3)."""

    ids: Literal["string", "int"] = "string"
    ts: Literal["number", "string", "absent"] = "number"
    channel: Literal["first", "last"] = "last"
    deal_shape: Literal["list", "object"] = "list"
    full_channel: Literal["depth.full", "depth"] = "depth.full"
    """Channel of depth.full pushes; some clients know them as push.depth (protocol.md 7.5)."""
    rest_deal_ids: bool = False
    """REST deals carry the id and engine time of pushed ones, as one client has seen live."""
    level_elements: Literal[2, 3] = 3
    ack: Literal["success", "code", "absent"] = "success"
    create_reply: Literal["object", "string", "int"] = "object"
    open_orders: Literal["list", "paged"] = "list"
    """Shape of order/list/open_orders; the removed spelling is always paged."""
    unknown_order: Literal["empty", "1001"] = "empty"
    login_error: Literal["rs.error", "rs.login"] = "rs.error"
    unknown_fields: bool = False
    client_id: bool = False
    """Send an unsolicited clientId frame when a socket opens."""
    unknown_channels: bool = False
    """Send frames of a channel nobody documents, once a second."""
    duplicate_pong: bool = False
    spot_market: bool = False
    """exchangeInfo names one spot market, which some clients want before they start."""
    snapshot_bare: bool = False
    """REST depth without the envelope, as in 2021 (protocol.md 2 rule 3)."""
    repeated_603: bool = False
    """A signed POST that comes a second time is refused as repeated."""
    private_delay_seconds: float = 0.0
    """Hold private pushes back, so that the REST reply comes first."""
    chinese: bool = False
    """Error texts in Chinese, as without a Language header."""

"""The kill switch as a pure state machine: what trips it, where it stands, what it refuses.

    state       trip        begin       gone    late    reset
    ARMED       TRIPPED     -           -       -       ARMED
    TRIPPED     TRIPPED     CANCELLING  -       -       -
    CANCELLING  CANCELLING  CANCELLING  SAFE    STUCK   -
    STUCK       STUCK       STUCK       SAFE    STUCK   ARMED (only when forced)
    SAFE        TRIPPED     CANCELLING  SAFE    -       ARMED

    trip    a trigger, or somebody by hand       gone    no open order is left, proven by looking
    begin   the ladder starts                    late    still not so after a while; it goes on
    reset   by hand, with a reason

ARMED is the only state in which anything that adds risk may leave. Every other state is written to
a file beside the journal before anything is cancelled, so that a restart stays tripped. A file that
cannot be read counts as tripped. No clock, no file, no request here: net/killswitch has those.
Source: protocol.md 17 and 23.2.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from types import MappingProxyType
from typing import Any

from mexcfast.core.rest import Route
from mexcfast.core.throttle import Lane
from mexcfast.errors import (
    BadAnswer,
    ConfigError,
    EdgeError,
    KillSwitchTripped,
    MaintenanceError,
    MexcfastError,
    SignatureError,
    VenueError,
)

FORMAT = 1
REASON_MAX = 300        # characters of a reason or text that are kept
HISTORY = 20            # trips and resets remembered in the file


class SwitchState(StrEnum):
    """Where the switch stands."""

    ARMED = "ARMED"             # trading goes on
    TRIPPED = "TRIPPED"         # opens are refused; the ladder has not begun
    CANCELLING = "CANCELLING"   # the ladder is at work
    SAFE = "SAFE"               # no open order is left
    STUCK = "STUCK"             # orders may be open after settings.stuck_after_ms; it goes on


class Trigger(StrEnum):
    """Why it tripped."""

    MANUAL = "manual"                   # trip() was called
    PATH_GONE = "path_gone"             # 404 on an order path
    ACCESS_DENIED = "access_denied"     # 511
    MAINTENANCE = "maintenance"         # 604, 801, 1002, 11444, 500 with a notice
    SIGNATURE = "signature"             # a run of 602
    UNREADABLE = "unreadable"           # answers that are not the venue's
    EDGE = "edge"                       # the firewall answers instead of the exchange
    UNKNOWN_ORDERS = "unknown_orders"   # too many requests in doubt at once
    STREAM_LOST = "stream_lost"         # no private stream for too long
    CLOCK = "clock"                     # the venue's time is not known well enough
    OPERATOR_FILE = "operator_file"     # somebody has made the file
    SIGNAL = "signal"                   # a signal of the operating system
    LOSS = "loss"                       # the day's realised loss
    WATCHDOG = "watchdog"               # no heartbeat
    STATE_FILE = "state_file"           # the state of an earlier run cannot be read


#: (state, event) -> state; what is missing is refused.
TRANSITIONS: Mapping[tuple[SwitchState, str], SwitchState] = MappingProxyType({
    (SwitchState.ARMED, "trip"): SwitchState.TRIPPED,
    (SwitchState.ARMED, "reset"): SwitchState.ARMED,
    (SwitchState.TRIPPED, "trip"): SwitchState.TRIPPED,
    (SwitchState.TRIPPED, "begin"): SwitchState.CANCELLING,
    (SwitchState.CANCELLING, "trip"): SwitchState.CANCELLING,
    (SwitchState.CANCELLING, "begin"): SwitchState.CANCELLING,
    (SwitchState.CANCELLING, "gone"): SwitchState.SAFE,
    (SwitchState.CANCELLING, "late"): SwitchState.STUCK,
    (SwitchState.STUCK, "trip"): SwitchState.STUCK,
    (SwitchState.STUCK, "begin"): SwitchState.STUCK,
    (SwitchState.STUCK, "gone"): SwitchState.SAFE,
    (SwitchState.STUCK, "late"): SwitchState.STUCK,
    (SwitchState.STUCK, "force"): SwitchState.ARMED,
    (SwitchState.SAFE, "trip"): SwitchState.TRIPPED,
    (SwitchState.SAFE, "begin"): SwitchState.CANCELLING,
    (SwitchState.SAFE, "gone"): SwitchState.SAFE,
    (SwitchState.SAFE, "reset"): SwitchState.ARMED,
    (SwitchState.SAFE, "force"): SwitchState.ARMED,
    (SwitchState.ARMED, "force"): SwitchState.ARMED,
})

#: Writes of the amend lane that may add risk or leave an order open; the others only move
#: margin, protect or administrate.
ADDS_RISK = frozenset(("amend", "chase", "plan_change_price", "track_change", "change_leverage"))

KINDS = ("limit", "plan", "stop", "trailing")
ORDER_PATHS = ("private/order/", "private/planorder/", "private/stoporder/", "private/trackorder/")


@dataclass(frozen=True, slots=True)
class KillSwitchSettings:
    """What trips the switch and what it does then. Numbers count occasions; None switches one off.

    path_gone (404), access_denied (511), maintenance (604, 801, 1002, 11444, 500 with a notice),
    unreadable, edge (the firewall): that many within window_ms, on order paths and writes.
    signature_run: 602 that many times with no other answer between.
    max_unknown: trips when more requests than this are in doubt. stream_lost_ms: the private
    stream is away longer. clock_error_ms: the venue's time may be off by more. max_loss: realised
    loss of own fills with fees, since midnight UTC, in the settle currency of each contract.
    operator_file: trips when this file exists; None takes the journal's path + ".kill", "" none.
    signals: names such as "SIGUSR1" or "SIGTERM"; none by default, a library takes no signal
    unasked.

    kinds: orders that are cancelled. Without "stop", TP/SL orders keep guarding positions.
    close_positions: afterwards every position is closed at market, reduce-only. stuck_after_ms:
    longer than this with orders open is STUCK; the ladder goes on. cancel_timeout_ms: one step.
    """

    path_gone: int | None = 2
    access_denied: int | None = 1
    maintenance: int | None = 1
    signature_run: int | None = 3
    unreadable: int | None = 3
    edge: int | None = 2
    window_ms: int = 60_000
    max_unknown: int | None = 5
    stream_lost_ms: int | None = 15_000
    clock_error_ms: int | None = 2000
    max_loss: Decimal | int | None = None
    operator_file: str | None = None
    signals: tuple[str, ...] = ()
    kinds: tuple[str, ...] = KINDS
    close_positions: bool = False
    stuck_after_ms: int = 30_000
    cancel_timeout_ms: int = 3000

    def __post_init__(self) -> None:
        for name in ("path_gone", "access_denied", "maintenance", "signature_run", "unreadable",
                     "edge", "max_unknown", "stream_lost_ms", "clock_error_ms", "window_ms",
                     "stuck_after_ms", "cancel_timeout_ms"):
            value = getattr(self, name)
            lowest = 0 if name == "max_unknown" else 1
            if value is None and name not in ("window_ms", "stuck_after_ms", "cancel_timeout_ms"):
                continue
            if isinstance(value, bool) or not isinstance(value, int) or value < lowest:
                raise ConfigError(f"{name} is {value!r}; allowed: integers from {lowest}, or None "
                                  "where a trigger may be off")
        if self.max_loss is not None and self.max_loss <= 0:
            raise ConfigError(f"max_loss is {self.max_loss}; allowed: above 0, or None")
        strange = [kind for kind in self.kinds if kind not in KINDS]
        if strange or not self.kinds:
            raise ConfigError(f"kinds is {self.kinds!r}; allowed: some of {', '.join(KINDS)}")


@dataclass(frozen=True, slots=True)
class Trip:
    """One trigger: what, why, when (wall clock)."""

    trigger: Trigger
    text: str
    ts_ms: int


def classify(route: Route, error: MexcfastError) -> Trigger | None:
    """Which drift an answer of the venue is a sign of; None: an ordinary answer or failure."""
    if not (route.writes or route.path.startswith(ORDER_PATHS)):
        return Trigger.SIGNATURE if isinstance(error, SignatureError) else None
    code = error.code if isinstance(error, VenueError) else None
    if isinstance(error, EdgeError):
        if error.status >= 500:
            return None
        return {404: Trigger.PATH_GONE, 401: Trigger.EDGE, 403: Trigger.EDGE,
                429: Trigger.EDGE}.get(error.status, Trigger.UNREADABLE)
    if isinstance(error, MaintenanceError) or code == 1002:
        return Trigger.MAINTENANCE
    if isinstance(error, SignatureError):
        return Trigger.SIGNATURE
    if isinstance(error, BadAnswer):
        # A gateway's 5xx page is the network's illness, not the venue's drift.
        return None if error.status >= 500 else Trigger.UNREADABLE
    return {404: Trigger.PATH_GONE, 511: Trigger.ACCESS_DENIED}.get(code or 0)


class Switch:
    """One account's kill switch. Times are wall-clock milliseconds given by the caller."""

    def __init__(self, settings: KillSwitchSettings | None = None) -> None:
        self.settings = settings or KillSwitchSettings()
        self.state = SwitchState.ARMED
        self.trip: Trip | None = None           # the first since the last reset
        self.trips: dict[Trigger, int] = {}     # in this process
        self.account = ""                       # fingerprint of the key, never the key
        self.history: deque[dict[str, Any]] = deque(maxlen=HISTORY)
        self._seen: dict[Trigger, deque[int]] = {}
        self._signature_run = 0

    @property
    def is_tripped(self) -> bool:
        return self.state is not SwitchState.ARMED

    # -- events ----------------------------------------------------------------------------------

    def _go(self, event: str) -> None:
        after = TRANSITIONS.get((self.state, event))
        if after is None:
            raise ConfigError(f"the kill switch is {self.state}; allowed for {event!r}: "
                              + ", ".join(state for state, what in TRANSITIONS if what == event))
        self.state = after

    def note(self, trigger: Trigger, text: str, now_ms: int) -> bool:
        """Trip: whether the ladder must begin now."""
        before = self.state
        self._go("trip")
        text = text[:REASON_MAX]
        if self.trip is None or before is SwitchState.SAFE:
            self.trip = Trip(trigger, text, now_ms)
            self.trips[trigger] = self.trips.get(trigger, 0) + 1
            self.history.append({"ms": now_ms, "what": str(trigger), "text": text})
        return self.state is SwitchState.TRIPPED and before is not SwitchState.TRIPPED

    def begin(self) -> None:
        """The ladder starts."""
        self._go("begin")

    def gone(self) -> None:
        """No open order is left."""
        self._go("gone")

    def late(self) -> None:
        """Orders may still be open after settings.stuck_after_ms."""
        self._go("late")

    def reset(self, reason: str, now_ms: int, *, force: bool = False) -> None:
        """Back to ARMED, by hand. force: although the ladder could not finish.

        ConfigError without a reason, while the ladder is at work, or STUCK and not forced.
        """
        if not isinstance(reason, str) or not reason.strip():
            raise ConfigError("reason is empty; allowed: who resets the kill switch and why")
        self._go("force" if force else "reset")
        self.history.append({"ms": now_ms, "what": "reset", "text": reason.strip()[:REASON_MAX]})
        self.trip = None
        self._seen.clear()
        self._signature_run = 0

    # -- what is seen ----------------------------------------------------------------------------

    def answered(self) -> None:
        """An answer of a private route that could be read."""
        self._signature_run = 0

    def answer(self, route: Route, error: MexcfastError, now_ms: int) -> Trip | None:
        """An answer of a private route that is an error; the trip it amounts to."""
        trigger = classify(route, error)
        if trigger is Trigger.SIGNATURE:
            self._signature_run += 1
        elif isinstance(error, VenueError):
            self._signature_run = 0
        if trigger is None:
            return None
        limit = {Trigger.PATH_GONE: self.settings.path_gone,
                 Trigger.ACCESS_DENIED: self.settings.access_denied,
                 Trigger.MAINTENANCE: self.settings.maintenance,
                 Trigger.SIGNATURE: self.settings.signature_run,
                 Trigger.UNREADABLE: self.settings.unreadable,
                 Trigger.EDGE: self.settings.edge}[trigger]
        if limit is None:
            return None
        if trigger is Trigger.SIGNATURE:
            count = self._signature_run
        else:
            seen = self._seen.get(trigger)
            if seen is None or seen.maxlen != limit:
                seen = self._seen[trigger] = deque(maxlen=limit)
            seen.append(now_ms)
            count = sum(1 for at in seen if now_ms - at <= self.settings.window_ms)
        if count < limit:
            return None
        return Trip(trigger, f"{route.path}: {error} ({count} of {limit})", now_ms)

    def look(self, now_ms: int, *, unknown: int = 0, stream_lost_ms: int | None = None,
             clock_error_ms: float | None = None, losses: Mapping[str, Decimal] | None = None,
             operator_file: str | None = None) -> Trip | None:
        """The state of things now: the trip it amounts to.

        stream_lost_ms: how long the private stream has been away, None while it is there.
        losses: settle currency -> realised result of the day. operator_file: its name if it exists.
        """
        settings = self.settings
        if operator_file is not None:
            return Trip(Trigger.OPERATOR_FILE, f"{operator_file} exists", now_ms)
        if settings.max_unknown is not None and unknown > settings.max_unknown:
            return Trip(Trigger.UNKNOWN_ORDERS, f"{unknown} requests in doubt, allowed: "
                        f"{settings.max_unknown}", now_ms)
        if (settings.stream_lost_ms is not None and stream_lost_ms is not None
                and stream_lost_ms > settings.stream_lost_ms):
            return Trip(Trigger.STREAM_LOST, f"no private stream for {stream_lost_ms} ms, allowed: "
                        f"{settings.stream_lost_ms}", now_ms)
        if (settings.clock_error_ms is not None and clock_error_ms is not None
                and clock_error_ms > settings.clock_error_ms):
            return Trip(Trigger.CLOCK, f"the venue's time may be {clock_error_ms:.0f} ms off, "
                        f"allowed: {settings.clock_error_ms}", now_ms)
        for currency, result in (losses or {}).items():
            if settings.max_loss is not None and -result > settings.max_loss:
                return Trip(Trigger.LOSS, f"{-result} {currency} lost today, allowed: "
                            f"{settings.max_loss}", now_ms)
        return None

    def refusal(self, route: Route, lane: Lane) -> KillSwitchTripped | None:
        """Why a write must not leave now; None when it may."""
        if not self.is_tripped or not (lane is Lane.OPEN or route.name in ADDS_RISK):
            return None
        trip = self.trip or Trip(Trigger.STATE_FILE, "", 0)
        return KillSwitchTripped(str(trip.trigger), trip.ts_ms, trip.text)

    # -- the file --------------------------------------------------------------------------------

    def encode(self) -> bytes:
        """The state as one JSON object."""
        trip = None if self.trip is None else {
            "trigger": str(self.trip.trigger), "text": self.trip.text, "ms": self.trip.ts_ms}
        return json.dumps({"format": FORMAT, "account": self.account, "state": str(self.state),
                           "trip": trip, "history": list(self.history)},
                          indent=1).encode("ascii") + b"\n"

    def restore(self, data: bytes, now_ms: int) -> bool:
        """Take over what an earlier run wrote; whether the ladder must run (again).

        What cannot be read, or is another account's and tripped, counts as tripped; with account
        "" it may be anybody's.
        """
        try:
            record = json.loads(data)
            if record["format"] != FORMAT:
                raise ValueError(f"format {record['format']!r}")
            state = SwitchState(record["state"])
            found = record["trip"]
            trip = None if found is None else Trip(
                Trigger(found["trigger"]), str(found["text"]), int(found["ms"]))
            history = [{"ms": int(one["ms"]), "what": str(one["what"]), "text": str(one["text"])}
                       for one in record["history"]]
            if state is not SwitchState.ARMED:
                if trip is None:
                    raise ValueError("tripped without a trigger")
                if self.account and record["account"] not in ("", self.account):
                    raise ValueError("tripped for another account")
            self.account = self.account or str(record["account"])
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            return self.note(Trigger.STATE_FILE, f"the state of an earlier run: {error}", now_ms)
        self.history = deque(history, maxlen=HISTORY)
        self.trip = trip
        if state in (SwitchState.ARMED, SwitchState.SAFE):
            self.state = state
            return False
        self.state = SwitchState.TRIPPED
        return True

"""A mirror of the account: open orders, positions, balances, and orders that wait for a price.

Everything of the account is here, whoever placed it. The tracker stays the judge of own requests
and their outcomes; both read the same facts, and both take the newer of two orders by order_age.

A fact is one record as the venue showed it, with a Stamp. Facts come by push and by REST, in any
order and twice; of all facts about one key the newest is kept, and what "newest" means is a total
order: first the record's own version or update time, then the stamp. So the same facts in any order
give the same mirror. Finished records leave the open set and can still be found, a bounded number.

A REST read says what is and, by leaving it out, what is not. It takes time, and pushes arrive
meanwhile, so there is a window in which neither is sure to be ahead of the other:

    a record changed before  max(asked - margin, login)   must be in both: if not, a difference
    a record changed since                                 a push may be under way: no difference

margin covers the way of a push and the error of the clock. login: what was pushed before it will
never come, so nothing older can be under way. Balances carry no time of their own; their push's
`ts` stands for it.
Source: protocol.md 9, 12, 18.2.
"""

from __future__ import annotations

from collections.abc import (
    Callable,
    Hashable,
    ItemsView,
    Iterable,
    Iterator,
    Mapping,
    ValuesView,
)
from dataclasses import dataclass
from enum import Enum
from types import MappingProxyType
from typing import Any, Generic, NamedTuple, TypeVar, cast

from mexcfast.conditional import PlanOrder, StopOrder, TrailingOrder
from mexcfast.core.events import Event
from mexcfast.core.results import (
    decode,
    read_balance,
    read_fill,
    read_order,
    read_plan,
    read_position,
    read_stop,
    read_trailing,
)
from mexcfast.core.tracker import order_age
from mexcfast.types import (
    Balance,
    ConditionalState,
    Fill,
    Order,
    Position,
    PositionState,
    PositionType,
    TrailingState,
)

K = TypeVar("K")
R = TypeVar("R")
Fact = Order | Position | Balance | PlanOrder | StopOrder | TrailingOrder


class Kind(Enum):
    """What the mirror holds."""

    ORDER = "order"
    POSITION = "position"
    BALANCE = "balance"
    PLAN = "plan"
    STOP = "stop"
    TRAILING = "trailing"


class AccountState(Enum):
    """How sure the mirror is.

    OFFLINE -> COMPARING -> READY <-> DEGRADED, and back to OFFLINE from everywhere.
    """

    OFFLINE = "offline"          # no private stream: nothing is heard
    COMPARING = "comparing"      # logged in; REST is being read
    READY = "ready"              # equal to the venue when last compared, and pushes come
    DEGRADED = "degraded"        # a push is overdue, or the venue could not be read


class Stamp(NamedTuple):
    """When a fact was true: venue time in ms, then the order of receipt (wall clock, ns)."""

    ts_ms: int
    received_ns: int = 0


@dataclass(frozen=True)        # slots and Generic do not go together
class Rules(Generic[R]):
    """What distinguishes the kinds."""

    key: Callable[[R], Hashable]
    #: grows along the record's one history
    age: Callable[[R], tuple[Any, ...]]
    #: venue time of its last change; None: the stamp's
    changed_ms: Callable[[R], int] | None
    is_open: Callable[[R], bool]
    #: members that must be equal, the others move without being told
    compared: tuple[str, ...]
    #: what the venue has said once it never takes back, even when REST shows an older state
    grows: bool = False


def _number(version: int | None) -> int:
    return -1 if version is None else version


def _waits(state: ConditionalState) -> bool:
    return state == ConditionalState.UNTRIGGERED


def _follows(state: TrailingState) -> bool:
    return state in (TrailingState.NOT_ACTIVATED, TrailingState.ACTIVATED)


RULES: Mapping[Kind, Rules[Any]] = MappingProxyType({
    Kind.ORDER: Rules[Order](
        lambda o: o.order_id, order_age, lambda o: o.ts_updated_ms, lambda o: not o.is_final,
        ("symbol", "side", "type", "state", "price", "quantity", "filled_quantity"), grows=True),
    # Averages are printed with fewer digits in pushes; margin ratio, liquidation price and locked
    # contracts move without a push.
    Kind.POSITION: Rules[Position](
        lambda p: p.position_id, lambda p: (_number(p.version), p.ts_updated_ms),
        lambda p: p.ts_updated_ms, lambda p: bool(p.quantity) and p.state != PositionState.CLOSED,
        ("symbol", "type", "open_type", "state", "quantity", "closed_quantity", "leverage",
         "initial_margin", "funding", "realised", "auto_add_margin")),
    Kind.BALANCE: Rules[Balance](
        lambda b: b.currency, lambda b: (), None, lambda b: True,
        ("available", "frozen", "position_margin", "bonus")),
    Kind.PLAN: Rules[PlanOrder](
        lambda p: p.plan_id, lambda p: (not _waits(p.state), p.ts_updated_ms),
        lambda p: p.ts_updated_ms, lambda p: _waits(p.state),
        ("symbol", "side", "type", "state", "trigger_price", "trigger_type", "price", "quantity")),
    Kind.STOP: Rules[StopOrder](
        lambda s: s.stop_id,
        lambda s: (not _waits(s.state), _number(s.version), s.ts_updated_ms),
        lambda s: s.ts_updated_ms, lambda s: _waits(s.state),
        ("symbol", "position_id", "state", "quantity", "stop_loss_price", "take_profit_price")),
    # The extreme price and the trigger behind it move all the time.
    Kind.TRAILING: Rules[TrailingOrder](
        lambda t: t.track_id,
        lambda t: (not _follows(t.state), t.state == TrailingState.ACTIVATED, t.ts_updated_ms),
        lambda t: t.ts_updated_ms, lambda t: _follows(t.state),
        ("symbol", "side", "state", "quantity", "active_price", "back_type", "back_value")),
})
_KINDS: Mapping[type, Kind] = MappingProxyType({
    Order: Kind.ORDER, Position: Kind.POSITION, Balance: Kind.BALANCE, PlanOrder: Kind.PLAN,
    StopOrder: Kind.STOP, TrailingOrder: Kind.TRAILING})

_READERS: Mapping[str, Callable[[Any], Fact | Fill]] = MappingProxyType({
    "push.personal.order": read_order, "push.personal.order.deal": read_fill,
    "push.personal.position": read_position, "push.personal.asset": read_balance,
    "push.personal.plan.order": read_plan, "push.personal.stop.planorder": read_stop,
    "push.personal.track.order": read_trailing})
#: the channels, without push.personal., that the mirror and the tracker live on
CHANNELS = tuple(name.removeprefix("push.personal.") for name in _READERS)


def read_push(event: Event) -> Fact | Fill | None:
    """The record of a personal push, every number exact; None for channels without one.

    Raises BadAnswer when a member is missing or malformed.
    """
    read = _READERS.get(event.channel)
    if read is None:
        return None
    data = decode(event.raw)["data"]
    # The documents print an element of a position's deductFeeList under plan.order (9).
    if read is read_plan and isinstance(data, dict) and "id" not in data:
        return None
    return read(data)


@dataclass(frozen=True, slots=True)
class Read:
    """One kind, read over REST. Times are the venue's, in ms.

    records: all that are open. ended: records asked for one by one because they were open here and
    not in the list; those the venue does not know any more are simply missing.
    """

    kind: Kind
    records: tuple[Any, ...]
    ts_asked_ms: int
    ts_done_ms: int
    ended: tuple[Any, ...] = ()


@dataclass(frozen=True, slots=True)
class Difference:
    """One disagreement. what: "missing" here, "extra" here, or "different".

    fields: the members that differ, for "different".
    """

    kind: Kind
    key: Hashable
    what: str
    mirror: Any
    venue: Any
    fields: tuple[str, ...] = ()

    def __str__(self) -> str:
        told = ", ".join(f"{name} {getattr(self.mirror, name)} -> {getattr(self.venue, name)}"
                         for name in self.fields)
        return f"{self.kind.value} {self.key} {self.what}" + (f" ({told})" if told else "")


@dataclass(frozen=True, slots=True)
class Differences:
    """What a comparison found. True when there is any.

    under_way: records that may differ only because a push was on its way.
    behind: records REST showed in an older state than the venue's own pushes had.
    """

    items: tuple[Difference, ...] = ()
    under_way: int = 0
    behind: int = 0
    ts_asked_ms: int = 0
    ts_done_ms: int = 0

    def __bool__(self) -> bool:
        return bool(self.items)

    def __iter__(self) -> Iterator[Difference]:
        return iter(self.items)

    def __len__(self) -> int:
        return len(self.items)

    def of(self, kind: Kind) -> tuple[Difference, ...]:
        """Those of one kind."""
        return tuple(item for item in self.items if item.kind is kind)

    def __str__(self) -> str:
        if not self.items:
            return "no difference"
        counts: dict[str, int] = {}
        for item in self.items:
            name = f"{item.kind.value} {item.what}"
            counts[name] = counts.get(name, 0) + 1
        return ", ".join(f"{count} {name}" for name, count in counts.items())


class _Entry:
    """What is known of one key."""

    __slots__ = ("floor_ms", "is_gone", "record", "stamp")

    def __init__(self, record: Any, stamp: Stamp) -> None:
        self.record = record
        self.stamp = stamp
        self.floor_ms = -1         # facts that changed before this were settled by a REST read
        self.is_gone = False       # a REST read did not show it, and nothing said how it ended


class _Window(NamedTuple):
    """Changes in here may be under way."""

    from_ms: int
    until_ms: int

    def holds(self, ts_ms: int) -> bool:
        return self.from_ms <= ts_ms <= self.until_ms


class _Shelf:
    """The records of one kind."""

    def __init__(self, kind: Kind, kept: int) -> None:
        self.kind = kind
        self.rules = RULES[kind]
        self.is_known = False                      # a REST read has shown all of it once
        self.open: dict[Hashable, Any] = {}
        self._kept = kept
        self._entries: dict[Hashable, _Entry] = {}
        self._done: dict[Hashable, None] = {}
        self._dropped_ms = -1       # the newest change of what the bound has dropped

    def find(self, key: Hashable) -> Any:
        entry = self._entries.get(key)
        return None if entry is None else entry.record

    def _moment(self, record: Any, stamp: Stamp) -> int:
        changed_ms = self.rules.changed_ms
        return stamp.ts_ms if changed_ms is None else changed_ms(record)

    def _is_newer(self, record: Any, stamp: Stamp, entry: _Entry) -> bool:
        age, known = self.rules.age(record), self.rules.age(entry.record)
        if age != known:
            return bool(age > known)
        return (stamp, str(record)) > (entry.stamp, str(entry.record))

    def take(self, record: Any, stamp: Stamp) -> bool:
        """One fact; False when it tells nothing new."""
        key = self.rules.key(record)
        entry = self._entries.get(key)
        if entry is None:
            if self._moment(record, stamp) < self._dropped_ms:
                return False            # of a record that was finished and dropped, or older
            self._put(key, _Entry(record, stamp))
            return True
        if entry.is_gone:
            if self._moment(record, stamp) < entry.floor_ms:
                return False
            entry.is_gone = False
        elif not self._is_newer(record, stamp, entry) or (
                # where age alone orders the history, a venue whose clock goes back changes nothing
                not self.rules.grows and self._moment(record, stamp) < entry.floor_ms
                and self.rules.age(record) != self.rules.age(entry.record)):
            return False
        is_same = bool(record == entry.record)
        entry.record, entry.stamp = record, stamp
        self._put(key, entry)
        return not is_same

    def settle(self, read: Read, window: _Window) -> None:
        """Take over what a REST read showed."""
        stamp = Stamp(read.ts_asked_ms)
        seen = set()
        for record in read.records:
            key = self.rules.key(record)
            seen.add(key)
            entry = self._entries.get(key)
            if entry is None:
                entry = _Entry(record, stamp)
            elif (self.rules.grows and not entry.is_gone) or window.holds(
                    self._moment(entry.record, entry.stamp)):
                self.take(record, stamp)
                continue
            else:
                entry.record, entry.stamp, entry.is_gone = record, stamp, False
            entry.floor_ms = window.from_ms
            self._put(key, entry)
        for record in read.ended:
            self.take(record, stamp)
            seen.add(self.rules.key(record))
        for key in [key for key in self.open if key not in seen]:
            entry = self._entries[key]
            if not window.holds(self._moment(entry.record, entry.stamp)):
                entry.is_gone, entry.floor_ms = True, window.from_ms
                self._put(key, entry)
        self.is_known = True

    def _put(self, key: Hashable, entry: _Entry) -> None:
        self._entries[key] = entry
        if self.rules.is_open(entry.record) and not entry.is_gone:
            self.open[key] = entry.record
            self._done.pop(key, None)
            return
        self.open.pop(key, None)
        self._done[key] = None
        while len(self._done) > self._kept:
            oldest = next(iter(self._done))
            del self._done[oldest]
            dropped = self._entries.pop(oldest)
            self._dropped_ms = max(self._dropped_ms, self._moment(dropped.record, dropped.stamp))

    def diff(self, read: Read, window: _Window) -> tuple[list[Difference], int, int]:
        """Differences, how many may be under way, how many REST shows older than they are."""
        found: list[Difference] = []
        under_way = behind = 0
        rules, kind = self.rules, self.kind
        ended = {rules.key(record): record for record in read.ended}
        seen = set()
        for record in read.records:
            key = rules.key(record)
            seen.add(key)
            entry = self._entries.get(key)
            mine = self.open.get(key)
            fields = () if mine is None else tuple(
                name for name in rules.compared if getattr(mine, name) != getattr(record, name))
            if mine is not None and not fields:
                continue
            if entry is not None and not entry.is_gone and (
                    rules.age(record) <= rules.age(entry.record)):
                # ours is as new or newer: only what was pushed lately can be ahead of REST
                if window.holds(self._moment(entry.record, entry.stamp)):
                    under_way += 1
                    continue
                if rules.grows:
                    behind += 1
                    continue
            elif rules.changed_ms is not None and window.holds(rules.changed_ms(record)):
                under_way += 1
                continue
            what = "missing" if mine is None else "different"
            found.append(Difference(kind, key, what, mine, record, fields))
        for key, mine in self.open.items():
            if key in seen:
                continue
            entry = self._entries[key]
            venue = ended.get(key)
            if venue is not None and rules.is_open(venue):
                continue                # it slipped from one page to another
            if window.holds(self._moment(mine, entry.stamp)) or (
                    venue is not None and rules.changed_ms is not None
                    and window.holds(rules.changed_ms(venue))):
                under_way += 1
                continue
            found.append(Difference(kind, key, "extra", mine, venue))
        return found, under_way, behind


class View(Mapping[K, R]):
    """What is open now, read-only. Iterating walks a copy: it may change between two awaits."""

    __slots__ = ("_open",)

    def __init__(self, open: dict[Any, Any]) -> None:
        self._open = open

    def __getitem__(self, key: K) -> R:
        return cast(R, self._open[key])

    def __len__(self) -> int:
        return len(self._open)

    def __contains__(self, key: object) -> bool:
        return key in self._open

    def __iter__(self) -> Iterator[K]:
        return iter(tuple(self._open))

    def values(self) -> ValuesView[R]:
        """The records that are open now."""
        return dict(self._open).values()

    def items(self) -> ItemsView[K, R]:
        """(id, record) of what is open now."""
        return dict(self._open).items()

    def __repr__(self) -> str:
        return repr(self._open)


class Mirror:
    """The account as the venue shows it. Read-only for users; net/reconcile keeps it.

    orders, positions, plans, stops, trailing: what is open, by the venue's id; balances: by
    currency. kept: finished records kept for find(), of each kind. margin_ms: how long a push may
    be under way, clock error included.
    """

    def __init__(self, *, kept: int = 2000, margin_ms: int = 1000) -> None:
        if kept < 1 or margin_ms < 0:
            raise ValueError(f"kept is {kept}, margin_ms is {margin_ms}; allowed: kept from 1, "
                             "margin_ms from 0")
        self.margin_ms = margin_ms
        self.version = 0                # grows with every change
        self.duplicates = 0             # facts that told nothing new
        self.state = AccountState.OFFLINE
        self.ts_verified_ms = 0         # venue time at which the last comparison was asked for
        self.ts_heard_ms = 0            # venue time of the newest push
        self._shelves = {kind: _Shelf(kind, kept) for kind in Kind}
        self.orders: Mapping[int, Order] = self._view(Kind.ORDER)
        self.positions: Mapping[int, Position] = self._view(Kind.POSITION)
        self.balances: Mapping[str, Balance] = self._view(Kind.BALANCE)
        self.plans: Mapping[int, PlanOrder] = self._view(Kind.PLAN)
        self.stops: Mapping[int, StopOrder] = self._view(Kind.STOP)
        self.trailing: Mapping[int, TrailingOrder] = self._view(Kind.TRAILING)

    def _view(self, kind: Kind) -> View[Any, Any]:
        return View(self._shelves[kind].open)

    def __repr__(self) -> str:
        return (f"<Mirror {self.state.value} version {self.version}: {len(self.orders)} orders, "
                f"{len(self.positions)} positions, {len(self.balances)} balances>")

    @property
    def is_ready(self) -> bool:
        """It was equal to the venue when last compared, and pushes have come since."""
        return self.state is AccountState.READY

    def knows(self, kind: Kind) -> bool:
        """A REST read has shown all of this kind once."""
        return self._shelves[kind].is_known

    def age_ms(self, now_ms: int) -> int | None:
        """Milliseconds since the last comparison was asked for; None before the first.

        now_ms: venue time.
        """
        return now_ms - self.ts_verified_ms if self.ts_verified_ms else None

    def find(self, kind: Kind, key: int | str) -> Any:
        """A record, open or finished lately, in the newest state known; None when unknown."""
        return self._shelves[kind].find(key)

    def position(self, symbol: str, type: PositionType) -> Position | None:
        """What is held of a contract in one direction; None for nothing."""
        for position in self.positions.values():
            if position.symbol == symbol and position.type == type:
                return position
        return None

    def open_orders(self, symbol: str | None = None) -> tuple[Order, ...]:
        """Open orders, foreign ones included, of one contract or all."""
        return tuple(order for order in self.orders.values()
                     if symbol is None or order.symbol == symbol)

    # -- facts in --------------------------------------------------------------------------------

    def take(self, fact: Fact, stamp: Stamp) -> bool:
        """One record of a push or a single REST answer; False when it tells nothing new."""
        changed = self._shelves[_KINDS[type(fact)]].take(fact, stamp)
        self.version += changed
        self.duplicates += not changed
        return changed

    def hear(self, event: Event, now_ms: int) -> Fact | Fill | None:
        """A personal push: its record, taken over. now_ms: venue time, for pushes without `ts`.

        Fills are handed back only: the order's own push carries what they add up to. Raises
        BadAnswer.
        """
        fact = read_push(event)
        if fact is None:
            return None
        ts_ms = event.ts_venue_ms if event.ts_venue_ms is not None else now_ms
        self.ts_heard_ms = max(self.ts_heard_ms, ts_ms)
        if not isinstance(fact, Fill):
            self.take(fact, Stamp(ts_ms, event.ts_recv_ns))
        return fact

    def diff(self, reads: Iterable[Read], login_ms: int | None = None) -> Differences:
        """Compare with a REST read; nothing is changed.

        login_ms: when the stream was logged in; None: it has been there all the time.
        A kind that was never read before has nothing to differ from.
        """
        items: list[Difference] = []
        under_way = behind = 0
        reads = tuple(reads)
        for read in reads:
            shelf = self._shelves[read.kind]
            if shelf.is_known:
                found, late, old = shelf.diff(read, self._window(read, login_ms))
                items += found
                under_way += late
                behind += old
        return Differences(tuple(items), under_way, behind,
                           min((read.ts_asked_ms for read in reads), default=0),
                           max((read.ts_done_ms for read in reads), default=0))

    def settle(self, reads: Iterable[Read], login_ms: int | None = None) -> Differences:
        """Compare, then take over the venue's truth."""
        reads = tuple(reads)
        found = self.diff(reads, login_ms)
        for read in reads:
            self._shelves[read.kind].settle(read, self._window(read, login_ms))
        self.version += 1
        self.ts_verified_ms = found.ts_asked_ms or self.ts_verified_ms
        return found

    def _window(self, read: Read, login_ms: int | None) -> _Window:
        from_ms = read.ts_asked_ms - self.margin_ms
        if login_ms is not None:
            from_ms = max(from_ms, min(login_ms, read.ts_asked_ms))
        return _Window(from_ms, read.ts_done_ms + self.margin_ms)

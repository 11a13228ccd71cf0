"""The judge of order_chaos: what the bot was told against what the exchange holds.

The exchange's own objects are the truth. What the client says is only ever the accused: an outcome
told to the bot, a line of its journal, its tracker, its mirror. Two questions are asked of every
order: did the exchange do what the client said it did, and does the client know what the exchange
did. Nothing here imports the client.
"""

from __future__ import annotations

from collections import Counter, defaultdict, deque
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from mexcfast.sim import Exchange
from mexcfast.sim.accounts import STATE_CANCELLED, STATE_FILLED, STATE_OPEN, Order
from mexcfast.sim.waiting import PlanOrder, StopOrder, TrackOrder, Waiting

PHASES = {STATE_OPEN: "OPEN", STATE_FILLED: "FILLED", STATE_CANCELLED: "CANCELLED"}
CONDITIONAL: dict[str, type[Waiting]] = {"plan": PlanOrder, "stop": StopOrder,
                                         "trailing": TrackOrder}
SHOWN = 12


@dataclass(slots=True)
class Intent:
    """One wish of the bot: at most one order may come of it."""

    number: str
    names: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Name:
    """One client order id: what the bot was told of it."""

    number: str
    life: int
    sent: bool = False
    #: (who said it, Accepted | Rejected | Unknown, order id, why), in order
    told: list[tuple[str, str, int | None, str]] = field(default_factory=list)


@dataclass(slots=True)
class Wish:
    """One conditional order: its mark is a price or a distance that no other has."""

    kind: str
    mark: tuple[str, Decimal, int]
    told: str = ""
    order: int | None = None
    why: str = ""


class Ledger:
    """All that the bot has told, through all its lives."""

    def __init__(self) -> None:
        self.intents: dict[str, Intent] = {}
        self.names: dict[str, Name] = {}
        self.amends: dict[int, list[tuple[str, int | None]]] = defaultdict(list)
        self.cancelled: list[tuple[int | None, str | None]] = []
        self.wishes: dict[int, Wish] = {}
        self.counts: Counter[str] = Counter()
        self.lags: list[tuple[int, int]] = []       # monotonic ns at its end, ns
        self.life = 0
        self.last_step = -1

    def hear(self, line: dict[str, Any]) -> None:
        """One line of the bot."""
        what = line["e"]
        self.counts[what] += 1
        if what == "intent":
            intent = self.intents.setdefault(line["n"], Intent(line["n"]))
            intent.names.append(line["id"])
            self.names[line["id"]] = Name(line["n"], self.life)
        elif what == "sent":
            if line["id"] in self.names:
                self.names[line["id"]].sent = True
        elif what in ("outcome", "settled", "end"):
            kind = line["kind"] if what != "end" else line["fate"].capitalize()
            self._told(what, kind, line)
        elif what == "step":
            self.last_step = line["n"]
        elif what == "amended":
            self.counts[f"amend {line['kind']}"] += 1
            self.amends[line["order"]].append((line["kind"], line["heir"]))
        elif what == "cancelled":
            self.counts[f"cancel {line['kind']}"] += 1
            if line["kind"] == "Accepted":
                self.cancelled.append((line["order"], line["id"]))
        elif what == "conditional":
            symbol, price, quantity = line["mark"]
            self.wishes[line["n"]] = Wish(line["kind"], (symbol, Decimal(price), quantity))
        elif what == "conditioned":
            wish = self.wishes[line["n"]]
            wish.told, wish.order, wish.why = line["kind"], line["order"], line["why"]
        elif what == "lag":
            self.lags.append((line["at"], line["ns"]))

    def _told(self, who: str, kind: str, line: dict[str, Any]) -> None:
        name = line["id"]
        if name.startswith("amend "):
            if who == "end" and kind == "Accepted":
                self.amends[int(name.split()[1])].append((kind, line["order"]))
            return
        self.counts[f"{who} {kind}"] += 1
        if name in self.names:
            why = line.get("why", "")
            if who == "outcome":
                self.counts[f"why {kind} {why}"] += bool(why)
            self.names[name].told.append((who, kind, line["order"], why))


class Judge:
    """Finds what must not be. faults: everything found, in words, in the order of finding."""

    def __init__(self, venue: Exchange, ledger: Ledger, prefix: str = "mf") -> None:
        self.venue, self.ledger, self.prefix = venue, ledger, prefix

    def check(self, state: dict[str, Any] | None) -> list[str]:
        """Everything that is wrong now. state: what the bot knows, None when it is not asked."""
        account = self.venue.account
        named: dict[str, list[Order]] = defaultdict(list)
        for order in account.orders.values():
            if order.external_oid.startswith(self.prefix):
                named[order.external_oid].append(order)
        found = [*self._told(named), *self._cancels(), *self._conditional()]
        if state is not None:
            found += self._known(named, state)
        return found

    # -- what was said against what is -----------------------------------------------------------

    def _told(self, named: dict[str, list[Order]]) -> list[str]:
        found: list[str] = []
        for name, orders in named.items():
            if name not in self.ledger.names:
                found.append(f"DOUBLED: nobody asked for {name}")
            if len(orders) > 1:
                found.append(f"DOUBLED: {name} is {len(orders)} orders")
        for intent in self.ledger.intents.values():
            made = [name for name in intent.names if name in named]
            if len(made) > 1:
                found.append(f"DOUBLED: intent {intent.number} became {made}")
        for text, one in self.ledger.names.items():
            fates = [(kind, order) for _, kind, order, _ in one.told if kind != "Unknown"]
            orders = named.get(text, [])
            if orders:
                if any(kind == "Rejected" for kind, _ in fates):
                    found.append(f"LOST: {text} was called rejected and is "
                                 f"{PHASES.get(orders[0].state)}: {one.told}")
                elif not fates:
                    found.append(f"LOST: {text} lives and nobody was told: {one.told}")
                elif any(order not in (None, orders[0].id) for _, order in fates):
                    found.append(f"WRONG: {text} is order {orders[0].id}, told {one.told}")
            elif any(kind == "Accepted" for kind, _ in fates):
                found.append(f"WRONG: {text} was called accepted and is not there: {one.told}")
            elif one.sent and not fates:
                found.append(f"UNSETTLED: {text} may have left and its fate was never told: "
                             f"{one.told}")
        return found

    def _cancels(self) -> list[str]:
        account = self.venue.account
        found = []
        for number, name in self.ledger.cancelled:
            order = account.orders.get(number) if number is not None else (
                account.by_external.get(name or ""))
            if order is not None and order.is_open:
                found.append(f"WRONG: the cancel of {order.id} was accepted and it is open")
        for old, answers in self.ledger.amends.items():
            for kind, heir in answers:
                if kind != "Accepted" or heir is None:
                    continue
                if heir not in account.orders:
                    found.append(f"WRONG: the amend of {old} was accepted as {heir}: not there")
                elif heir != old and account.orders[old].is_open:
                    found.append(f"WRONG: the amend of {old} was accepted and it is open")
        return found

    def _conditional(self) -> list[str]:
        """They have no name: each is recognised by its mark."""
        account, found = self.venue.account, []
        marks: Counter[tuple[str, tuple[str, Decimal, int]]] = Counter()
        ids: set[tuple[str, int]] = set()
        for kind, of in CONDITIONAL.items():
            for one in self.venue.venue.conditional.listed(account, of):  # type: ignore[type-var]
                marks[kind, _mark(one)] += 1
                ids.add((kind, one.id))
        wished = Counter((wish.kind, wish.mark) for wish in self.ledger.wishes.values())
        for mark, count in marks.items():
            if mark[0] != "stop" and count > wished[mark]:
                found.append(f"DOUBLED: {count} of {mark}, {wished[mark]} were wished for")
        for wish in self.ledger.wishes.values():
            if wish.told == "Accepted" and (wish.kind, wish.order) not in ids:
                found.append(f"WRONG: {wish.kind} {wish.order} was accepted and is not there")
            if wish.told == "Rejected" and wished[wish.kind, wish.mark] == 1 and (
                    marks[wish.kind, wish.mark]):
                found.append(f"LOST: {wish} was called rejected and is there")
        return found

    # -- what the client knows -------------------------------------------------------------------

    def _known(self, named: dict[str, list[Order]], state: dict[str, Any]) -> list[str]:
        account, found = self.venue.account, []
        if state["unresolved"] or state["journal"]:
            found.append(f"UNSETTLED: {state['unresolved']} journal {state['journal']}")
        if state["mirror"] != "ready":
            found.append(f"MIRROR: is {state['mirror']}")
        seen: dict[int, list[Any]] = {}
        for name, number, phase, filled, _, _ in state["orders"]:
            true = account.orders.get(number) if number is not None else None
            if number is not None:
                seen[number] = [name, phase]
            if true is None:
                if number is not None or phase != "REJECTED":
                    found.append(f"WRONG: {name} {number} is {phase} here, unknown there")
                continue
            if phase != PHASES.get(true.state):
                found.append(f"WRONG: {name} {number} is {phase} here, "
                             f"{PHASES.get(true.state)} there")
            elif Decimal(filled) != true.deal_vol:
                found.append(f"WRONG: {name} {number} has {filled} filled here, "
                             f"{true.deal_vol} there")
        ours = {order.id for orders in named.values() for order in orders if order.is_open}
        ours |= {number for number in self._heirs() if account.orders[number].is_open}
        if missing := ours - set(state["open"]):
            found.append(f"LOST: open there, not among our open orders: {sorted(missing)[:SHOWN]}"
                         f" ({len(missing)})")
        if more := set(state["open"]) - set(account.open_orders):
            found.append(f"WRONG: open here, not there: {sorted(more, key=str)[:SHOWN]}")
        return found + self._mirrored(state)

    def _heirs(self) -> set[int]:
        """Orders of ours that have the venue's own names: what amends have left."""
        return {heir for answers in self.ledger.amends.values() for kind, heir in answers
                if kind == "Accepted" and heir is not None and heir in self.venue.account.orders}

    def _mirrored(self, state: dict[str, Any]) -> list[str]:
        account, found = self.venue.account, []
        if state["unknown_kinds"]:
            found.append(f"MIRROR: never read {state['unknown_kinds']}")
        waiting = self.venue.venue.conditional.of(account)
        truth = {"mirror_orders": sorted(account.open_orders),
                 **{key: sorted(one.id for one in waiting if isinstance(one, of))
                    for key, of in (("plans", PlanOrder), ("stops", StopOrder),
                                    ("trailing", TrackOrder))}}
        for key, ids in truth.items():
            if ids != state[key]:
                only_here = sorted(set(state[key]) - set(ids))
                only_there = sorted(set(ids) - set(state[key]))
                found.append(f"MIRROR: {key} only here {only_here[:SHOWN]}, only there "
                             f"{only_there[:SHOWN]}")
        positions = {(one.contract.symbol, one.type): Decimal(one.hold_vol)
                     for one in account.positions.values() if one.hold_vol}
        held = {(symbol, kind): Decimal(quantity) for symbol, kind, quantity in state["positions"]
                if Decimal(quantity)}
        if positions != held:
            found.append(f"MIRROR: positions {held}, the exchange {positions}")
        for currency in account.cash:
            asset = account.asset(currency)
            true = [asset[key] for key in ("availableBalance", "frozenBalance", "positionMargin")]
            told = state["balances"].get(currency)
            if told is None or [Decimal(number) for number in told] != true:
                found.append(f"MIRROR: {currency} {told}, the exchange {list(map(str, true))}")
        return found


def _mark(one: Waiting) -> tuple[str, Decimal, int]:
    symbol = one.contract.symbol
    if isinstance(one, PlanOrder):
        return symbol, one.trigger_price, one.vol
    if isinstance(one, StopOrder):
        return symbol, one.profit.price, one.vol
    return symbol, one.back_value, one.vol


class Arrivals:
    """When requests came, by budget: no window may hold more than its number.

    Times are the exchange's own monotonic clock at arrival. A stall of either process, as long as
    the margin the client keeps, bunches what was sent apart; such a window is excused, and counted,
    unless it holds more than could be sent in the window and the stalls together.
    """

    def __init__(self, margin_ns: int) -> None:
        self.margin_ns = margin_ns
        self.windows: dict[str, deque[int]] = {}
        # path, first, last, how many, how many are allowed, in how long
        self.over: list[tuple[str, int, int, int, int, int]] = []
        self.total: Counter[str] = Counter()

    def came(self, path: str, now_ns: int, count: int, window_ns: int) -> None:
        """One more request for this budget."""
        self.total[path] += 1
        window = self.windows.setdefault(path, deque())
        window.append(now_ns)
        while now_ns - window[0] >= window_ns:
            window.popleft()
        if len(window) > count:
            self.over.append((path, window[0], now_ns, len(window), count, window_ns))

    def exceeded(self, lags: list[tuple[int, int]]) -> tuple[list[str], int]:
        """What cannot be excused, in words, and how many were excused.

        lags: (end, length) of the stalls of both processes.
        """
        found, excused = [], 0
        for path, first, last, number, count, window_ns in self.over:
            stalled = sum(length for end, length in lags
                          if end - length <= last and end >= first - length)
            bunched = count * (2 + stalled // window_ns)        # each begun window whole
            if stalled >= self.margin_ns // 2 and number <= bunched:
                excused += 1
            else:
                found.append(f"BUDGET: {number} of {path} within {(last - first) / 1e6:.1f} ms, "
                             f"stalls {stalled / 1e6:.1f} ms")
        return found, excused

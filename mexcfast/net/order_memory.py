"""What orders leave on disk: intents before they leave, fates when they are proven."""

from __future__ import annotations

import logging
from decimal import Decimal
from typing import Literal

from mexcfast.core.client_ids import ClientOrderIds
from mexcfast.core.intent import OrderIntent
from mexcfast.core.journal import Entry
from mexcfast.core.tracker import Tracker
from mexcfast.errors import ConnectionLost, JournalError
from mexcfast.net.conditional_doubts import ConditionalDoubts
from mexcfast.net.journal import Journal
from mexcfast.net.order_queries import OrderQueries
from mexcfast.net.resolver import Resolver
from mexcfast.types import Accepted, OrderType, Rejected, Side, Unknown

log = logging.getLogger("mexcfast.net")


def entry_of(intent: OrderIntent, ts_ms: int | None) -> Entry:
    """A create as the journal keeps it."""
    return Entry(intent.client_order_id, "create", intent.symbol, ts_ms or 0, None,
                 int(intent.side), int(intent.type), intent.quantity, intent.price)


class OrderMemory(OrderQueries):
    """The part of Orders that speaks with the journal; without one it says nothing."""

    journal: Journal | None
    ids: ClientOrderIds
    tracker: Tracker
    resolver: Resolver
    conditional_doubts: ConditionalDoubts

    def _open_journal(self, journal: Journal) -> None:
        clock = self._executor.clock
        session = journal.open(self._executor.access_key, self.ids.session, clock.wall_ms)
        self.ids = ClientOrderIds(self.ids.prefix, session)
        self._executor.restore_penalties(journal.ledger.penalties)
        for what, ts_ms in journal.ledger.recent:
            self._executor.restore_sent(what, clock.venue_ms() - ts_ms)
        self.conditional_doubts.restore(journal.ledger.placed)
        for order_id, symbol in list(journal.ledger.heirs.items()):
            self.tracker.adopt(order_id, symbol)
        for entry in list(journal.ledger.unsettled.values()):
            why = ConnectionLost("an earlier run ended before the outcome was known")
            if entry.what != "create":
                unknown = Unknown(why, entry.symbol or None, None, entry.order_id,
                                  ts_sent_ms=entry.ts_sent_ms)
            else:
                unknown = Unknown(why, entry.symbol, entry.name, ts_sent_ms=entry.ts_sent_ms)
                self.tracker.expect(entry.name, entry.symbol, Side(entry.side or 0),
                                    entry.quantity or Decimal(0), entry.price,
                                    OrderType(entry.type or 0))
                self.tracker.outcome(unknown)
            self.resolver.add(self.resolver.case(entry.name, entry.what, unknown, entry))

    def _drop_strangers(self) -> None:
        """Heirs of an earlier run that the venue, asked by id, does not know any more."""
        if self.journal is None:
            return
        for order_id in list(self.journal.ledger.heirs):
            order = self.tracker.find(order_id)
            if order is not None and order.report is None and not order.fills:
                self.tracker.forget(order)
                self._heir_ended(order_id)

    def end(self, name: str, outcome: Accepted | Rejected) -> None:
        """The journal may forget a request. When it cannot be told, the next run asks again."""
        if self.journal is None or not self.journal.is_open:
            return
        fate: Literal["accepted", "rejected"] = (
            "accepted" if isinstance(outcome, Accepted) else "rejected")
        try:
            self.journal.end(name, fate, outcome.order_id)
        except JournalError as error:
            log.error("%s", error)

    def _heir_ended(self, order_id: int) -> None:
        if self.journal is not None and self.journal.is_open:
            try:
                self.journal.forget_heir(order_id)
            except JournalError as error:
                log.error("%s", error)

    def _penalised(self, what: str, until_ms: int) -> None:
        if self.journal is not None and self.journal.is_open:
            try:
                self.journal.note_closed(what, until_ms)
            except JournalError as error:
                log.error("%s", error)

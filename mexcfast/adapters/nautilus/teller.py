"""Tells the node what became of orders: each fact once, none before it is proven.

What our tracker learns by outcome, by push or by comparison with REST comes to _changed(). Orders
of other programs, of the web page and of an earlier run are adopted by the tracker, made known to
the node by one OrderStatusReport, and from then on told like its own.
"""

from __future__ import annotations

import asyncio
from decimal import Decimal
from typing import Any

from nautilus_trader.model.enums import OrderStatus
from nautilus_trader.model.identifiers import TradeId

import mexcfast as mx
from mexcfast import events
from mexcfast.adapters.nautilus import names
from mexcfast.adapters.nautilus.names import NS_PER_MS
from mexcfast.adapters.nautilus.reports import Reports, liquidity, own_name
from mexcfast.adapters.nautilus.told import Amend, Told, ToldOrders
from mexcfast.errors import MexcfastError
from mexcfast.types import Fill, OrderErrorCode

FETCHES = 6                     # questions for fills that were reported and not pushed
FIRST_PAUSE_S = 0.25            # before the first one: the push may be under way
LOOK_S = 15.0                   # how long the end of an order that cannot be cancelled may take
SHUT = (OrderStatus.REJECTED, OrderStatus.CANCELED, OrderStatus.EXPIRED, OrderStatus.DENIED)


class _Ear(mx.Listener):
    """Own events, after our orders and the mirror have taken them."""

    def __init__(self, teller: Teller) -> None:
        self._teller = teller

    def on_event(self, event: mx.Event) -> None:
        self._teller.heard(event)


class Teller:
    """Between one client's orders and the events of one execution client.

    orders: what was told. amends: changes under way or in doubt, by the order they change.
    """

    def __init__(self, owner: Any, reports: Reports) -> None:
        self.orders = ToldOrders()
        self.amends: dict[int, Amend] = {}
        self.ear = _Ear(self)
        self._owner = owner
        self._reports = reports
        self._client: mx.Client | None = None
        self._quiet = False
        self._cancels: dict[int | str, Any] = {}        # in doubt
        self._held: set[int] = set()                    # others' orders, or heirs of an amend

    def follow(self, client: mx.Client) -> None:
        """From now on tell."""
        self._client = client
        client.orders.on_change.append(self._changed)
        client.orders.resolver.on_end.append(self._ended)
        client.trader.reconciler.on_difference.append(self._differed)
        client.trader.reconciler.on_state.append(self._state)
        client.kill_switch.alerts.sinks.append(self._alert)
        # what is open now is reported when the node asks; later changes of it come here
        self._quiet = True
        for order in list(client.trader.mirror.orders.values()):
            client.orders.tracker.adopt(order.order_id, order.symbol)
        self._quiet = False

    def leave(self) -> None:
        """Tell no more."""
        self._client = None
        self.amends.clear()
        self._cancels.clear()
        self._held.clear()

    # -- the node's own log -----------------------------------------------------------------------

    def _state(self, old: Any, new: Any, why: str) -> None:
        """How sure the account's mirror is."""
        log = self._owner._log
        if self._client is None:
            return
        (log.info if new is mx.AccountState.READY else log.warning)(
            f"account: {old.value} -> {new.value}: {why}")

    def _alert(self, alert: mx.Alert) -> None:
        """The kill switch, above all."""
        log = self._owner._log
        say = {mx.AlertLevel.INFO: log.info, mx.AlertLevel.WARNING: log.warning,
               mx.AlertLevel.CRITICAL: log.error}[alert.level]
        say(f"{alert.trigger}: {alert.text} {alert.state}")

    # -- from the private stream ------------------------------------------------------------------

    def heard(self, event: mx.Event) -> None:
        """An own event that is no change of a tracked order, or the first sign of one."""
        client, log = self._client, self._owner._log
        if client is None:
            return
        if isinstance(event, events.OrderUpdate | events.FillUpdate):
            if event.order_id is not None:
                self._seen(event.order_id)
        elif isinstance(event, events.AssetUpdate):
            found = client.trader.mirror.balances.get(event.currency or "")
            if found is not None:
                self._owner.tell_account([found])
        elif isinstance(event, events.PositionModeUpdate):
            if event.position_mode != int(self._owner._mode):
                log.error(f"the account's position mode is now {event.position_mode}; orders of "
                          f"position_mode {self._owner._settings.position_mode!r} will be refused")
        elif isinstance(event, events.LiquidateRisk):
            log.warning(f"close to liquidation: {event.to_dict()}")

    def _seen(self, order_id: int) -> None:
        """An order of others, perhaps: then it is adopted, which tells it."""
        if self._client is None:
            return
        tracker = self._client.orders.tracker
        order = tracker.find(order_id)
        if order is None or order.is_ours or order.symbol is None:
            return
        if any(amend.symbol == order.symbol for amend in self.amends.values()):
            self._held.add(order_id)        # it may be what the amend has made
            return
        tracker.adopt(order_id, order.symbol)

    def _release(self) -> None:
        held, self._held = self._held, set()
        for order_id in held:
            self._seen(order_id)

    def _differed(self, found: Any) -> None:
        """A comparison with REST has shown what the stream has missed."""
        for item in found.items:
            if item.kind is mx.account.Kind.ORDER:
                self._seen(item.key)
            elif item.kind is mx.account.Kind.POSITION:
                record = item.there or item.here
                if record is not None:
                    self._owner.create_task(self._owner.send_positions(record.symbol))

    # -- who is it --------------------------------------------------------------------------------

    def known(self, order: mx.LiveOrder) -> Told | None:
        """The node's order of a tracked one; one of others is made known. None: it wants none."""
        told = self.orders.of(order)
        if told is not None:
            return told
        told = self.orders.by_id(order.replaces)
        if told is not None and order.order_id is not None:
            self.orders.link(order.order_id, told)
            return told
        cached = self.cached(order.order_id, order.client_order_id)
        if cached is None:
            cached = self._introduce(order, own_name(order.client_order_id))
        return None if cached is None else self._remember(order, cached)

    def cached(self, order_id: int | None, name: str | None) -> Any:
        """The node's order, by the venue's id or by its own name."""
        cache = self._owner._cache
        found = None
        if order_id is not None:
            found = cache.client_order_id(names.venue_order_id(order_id))
        found = found or own_name(name)
        return None if found is None else cache.order(found)

    def _introduce(self, order: mx.LiveOrder, name: Any) -> Any:
        report = order.report
        if report is None:
            return None                     # a fill came first; the order's own push follows
        instrument = self._owner.instrument(report.symbol)
        if instrument is None:
            return None
        self._owner._send_order_status_report(self._reports.order(
            report, instrument, name, status=OrderStatus.ACCEPTED, filled=Decimal(0)))
        return self.cached(report.order_id, None)

    def _remember(self, order: mx.LiveOrder, cached: Any) -> Told:
        told = self.orders.add(Told(
            name=cached.client_order_id, strategy_id=cached.strategy_id,
            instrument_id=cached.instrument_id, order_type=cached.order_type, is_submitted=True,
            before=amended_before(cached, order.quantity),
            is_accepted=cached.status not in (OrderStatus.INITIALIZED, OrderStatus.SUBMITTED),
            is_final=cached.is_closed and order.is_final))
        if order.order_id is not None:
            self.orders.link(order.order_id, told)
        return told

    # -- telling ----------------------------------------------------------------------------------

    def _changed(self, order: mx.LiveOrder) -> None:
        if self._quiet or self._client is None:
            return
        if order.order_id in self.amends or order.replaces in self.amends:
            return                          # told when the amend is over
        told = self.orders.of(order)
        if told is None and order.phase in (mx.Phase.SENT, mx.Phase.UNKNOWN):
            return
        told = told or self.known(order)
        if told is not None:
            self._tell(order, told)

    def _tell(self, order: mx.LiveOrder, told: Told) -> None:
        if told.is_final or order.phase is mx.Phase.UNKNOWN:
            return
        if order.phase is mx.Phase.SENT:
            if not told.is_submitted:
                told.is_submitted = True
                self._owner.generate_order_submitted(
                    told.strategy_id, told.instrument_id, told.name, self._now_ns())
            return
        closed = self._closed_alone(order, told)
        if closed is None:
            return
        told = closed
        report = order.report
        is_post_only_end = report is not None and names.is_post_only_end(report)
        if (order.phase is mx.Phase.REJECTED or is_post_only_end) and not order.fills:
            told.is_final = True
            self._owner.generate_order_rejected(
                told.strategy_id, told.instrument_id, told.name, self._why(order),
                self._stamp(order), due_post_only=is_post_only_end)
            return
        self._accept(order, told)
        self._tell_fills(order, told)
        if not order.is_final:
            return
        if not order.has_all_fills:
            self._fetch(order, told)
            return
        if order.replaced_by is not None and told.order_id != order.order_id:
            return                          # it goes on as its heir
        told.is_final = True
        if order.phase is not mx.Phase.FILLED:
            self._owner.generate_order_canceled(
                told.strategy_id, told.instrument_id, told.name,
                names.venue_order_id(order.order_id or 0), self._stamp(order))

    def _closed_alone(self, order: mx.LiveOrder, told: Told) -> Told | None:
        """The engine has closed an order that lives: it is made known again, as another one."""
        cached = self._owner._cache.order(told.name)
        if cached is None or cached.status not in SHUT:
            return told
        is_news = order.phase is mx.Phase.OPEN or any(
            fill.fill_id not in told.fills for fill in order.fills)
        told.is_final = True
        if not is_news:
            return None
        self._owner._log.error(
            f"the node has closed {told.name} by itself as {cached.status_string()}, and the venue "
            f"shows it {order.phase.name}: it is reported as an order of others from now on; see "
            "exec_engine_config()")
        cached = self._introduce(order, None)
        if cached is None or cached.client_order_id == told.name:
            return None
        return self._remember(order, cached)

    def _accept(self, order: mx.LiveOrder, told: Told) -> None:
        if told.is_accepted or order.order_id is None:
            return
        told.is_accepted = True
        cached = self._owner._cache.order(told.name)
        if cached is not None and cached.venue_order_id is not None:
            return                          # reconciliation was faster
        self._owner.generate_order_accepted(
            told.strategy_id, told.instrument_id, told.name,
            names.venue_order_id(order.order_id), self._stamp(order))

    def _tell_fills(self, order: mx.LiveOrder, told: Told) -> None:
        fresh = [fill for fill in order.fills if fill.fill_id not in told.fills]
        if not fresh:
            return
        instrument = self._owner.instrument(fresh[0].symbol)
        cached = self._owner._cache.order(told.name)
        if instrument is None:
            return
        for fill in fresh:
            told.fills.add(fill.fill_id)
            if cached is not None and TradeId(str(fill.fill_id)) in cached.trade_ids:
                continue                    # reconciliation was faster
            if order.replaced_by is not None and told.order_id != order.order_id:
                self._grow(told, fill)
            self._owner.generate_order_filled(
                strategy_id=told.strategy_id, instrument_id=told.instrument_id,
                client_order_id=told.name, venue_order_id=names.venue_order_id(fill.order_id),
                venue_position_id=self._reports.position_id(fill.symbol, fill.side),
                trade_id=TradeId(str(fill.fill_id)), order_side=names.order_side(fill.side),
                order_type=told.order_type,
                last_qty=names.quantity(fill.quantity, instrument.size_precision),
                last_px=names.price(fill.price, instrument.price_precision),
                quote_currency=instrument.quote_currency,
                commission=names.money(fill.fee, fill.fee_currency),
                liquidity_side=liquidity(fill), ts_event=fill.ts_venue_ms * NS_PER_MS)

    def _grow(self, told: Told, fill: Fill) -> None:
        """An execution of the old order that was not known when its heir took over."""
        told.before += fill.quantity
        heir = None if self._client is None else self._client.orders.find(told.order_id or 0)
        if heir is not None and heir.quantity is not None:
            self._updated(told, heir.quantity, heir.price, is_new_id=False)

    def _why(self, order: mx.LiveOrder) -> str:
        report = order.report
        if report is not None and report.error_code != OrderErrorCode.NORMAL:
            return f"the venue ended it: {report.error_code.name}"
        if isinstance(order.outcome, mx.Rejected):
            return str(order.outcome.error)
        return "the venue ended it without a reason"

    def _now_ns(self) -> int:
        now_ns: int = self._owner._clock.timestamp_ns()
        return now_ns

    def _stamp(self, order: mx.LiveOrder) -> int:
        if order.report is not None:
            return order.report.ts_updated_ms * NS_PER_MS
        ts_ms = None if order.outcome is None else order.outcome.ts_venue_ms
        return self._now_ns() if ts_ms is None else ts_ms * NS_PER_MS

    # -- outcomes ---------------------------------------------------------------------------------

    def refused(self, told: Told, order: Any, error: MexcfastError) -> None:
        """The order was not executed, for certain. Told once, whoever says it first."""
        if told.is_final:
            return
        told.is_final = True
        tell = (self._owner.generate_order_rejected if told.is_submitted
                else self._owner.generate_order_denied)
        tell(told.strategy_id, told.instrument_id, told.name, str(error), self._now_ns())

    def doubt(self, told: Told, text: str) -> None:
        """Nothing is told until the venue has proven what became of it; the log says so."""
        told.in_doubt = True
        self._owner._log.warning(
            f"{told.name} is in doubt after {text}. No event is made until the venue has proven "
            "its fate")

    def amended(self, amend: Amend, outcome: mx.Accepted | mx.Rejected) -> None:
        """A change has its outcome."""
        self.amends.pop(amend.order_id, None)
        told, client = amend.told, self._client
        old = None if client is None else client.orders.find(amend.order_id)
        if isinstance(outcome, mx.Rejected):
            if not told.is_final and (old is None or not old.is_final):
                self._owner.generate_order_modify_rejected(
                    told.strategy_id, told.instrument_id, told.name,
                    names.venue_order_id(amend.order_id), str(outcome.error), self._now_ns())
            self.amend_ended(amend)
            return
        new_id = old.replaced_by if old is not None else None
        new_id = new_id or outcome.order_id or amend.order_id
        if new_id != amend.order_id:
            if old is not None:
                self._tell_fills(old, told)
                told.before += sum((fill.quantity for fill in old.fills), Decimal(0))
            self.orders.link(new_id, told)
        self._updated(told, amend.quantity, amend.price, is_new_id=new_id != amend.order_id)
        self.amend_ended(amend)
        heir = None if client is None else client.orders.find(new_id)
        if heir is not None:
            self._changed(heir)

    def _updated(self, told: Told, rest: Decimal, price: Decimal | None, *, is_new_id: bool
                 ) -> None:
        instrument = self._owner._cache.instrument(told.instrument_id)
        if instrument is None or price is None or told.order_id is None:
            return
        self._owner.generate_order_updated(
            told.strategy_id, told.instrument_id, told.name, names.venue_order_id(told.order_id),
            names.quantity(rest + told.before, instrument.size_precision),
            names.price(price, instrument.price_precision), None, self._now_ns(),
            venue_order_id_modified=is_new_id)

    def amend_ended(self, amend: Amend) -> None:
        """Whatever was held back while the change was under way is told."""
        self.amends.pop(amend.order_id, None)
        old = None if self._client is None else self._client.orders.find(amend.order_id)
        if old is not None:
            self._changed(old)
        self._release()

    def cancel_in_doubt(self, key: int | str, about: Any, outcome: mx.Unknown) -> None:
        """A cancel may have been executed."""
        self._cancels[key] = about
        self._owner._log.warning(f"the cancel of {about[1]} is in doubt: {outcome.error}")

    def _ended(self, case: Any, outcome: mx.Accepted | mx.Rejected) -> None:
        """The resolver has proof. Of a create the tracker has told."""
        if case.what == "amend":
            amend = self.amends.get(case.unknown.order_id)
            if amend is not None:
                self.amended(amend, outcome)
        elif case.what == "cancel":
            about = self._cancels.pop(case.unknown.order_id or case.unknown.client_order_id, None)
            if about is not None and isinstance(outcome, mx.Rejected):
                self._owner.cancel_rejected(about, outcome)

    async def look(self, about: Any, outcome: mx.Rejected) -> None:
        """The venue has nothing to cancel: our orders look what became of it, for a while."""
        told, client = self.orders.named(about[1]), self._client
        order_id = None if told is None else told.order_id
        order = None if client is None else client.orders.find(order_id or str(about[1]))
        if order is not None:
            try:
                async with asyncio.timeout(LOOK_S):
                    await order.done()
                return
            except TimeoutError:
                pass
        self._owner.generate_order_cancel_rejected(
            about[3], about[0], about[1], about[2], str(outcome.error), self._now_ns())

    # -- fills that were reported and not seen ----------------------------------------------------

    def _fetch(self, order: mx.LiveOrder, told: Told) -> None:
        if not told.is_fetching:
            told.is_fetching = True
            self._owner.create_task(self._fetch_fills(order, told))

    async def _fetch_fills(self, order: mx.LiveOrder, told: Told) -> None:
        try:
            for attempt in range(FETCHES):
                await asyncio.sleep(FIRST_PAUSE_S * 2**attempt)
                if order.has_all_fills or self._client is None:
                    break
                await self.catch_up(order)
        finally:
            told.is_fetching = False
        if self._client is None or order.report is None:
            return
        if not order.has_all_fills:
            self._owner._log.error(f"the venue shows {told.name} filled and not by which fills; "
                                   "the node infers them")
            told.is_final = True
            instrument = self._owner.instrument(order.report.symbol)
            if instrument is not None:
                self._owner._send_order_status_report(self._reports.order(
                    order.report, instrument, told.name, before=told.before))
            return
        self._changed(order)

    async def catch_up(self, order: mx.LiveOrder) -> None:
        """Read the fills of an order; what is new is told."""
        client = self._client
        if client is None or order.order_id is None:
            return
        try:
            fills = await client.orders.fills_of(order.order_id, order.symbol)
        except MexcfastError as error:
            self._owner._log.warning(f"the fills of {order.order_id} could not be read: {error}")
            return
        for fill in fills:
            client.orders.tracker.fill(fill)


def amended_before(cached: Any, quantity: Decimal | None) -> Decimal:
    """What the venue orders that amends have replaced had filled: the node counts all, the venue
    the newest order alone."""
    if quantity is None or not cached.venue_order_ids:      # earlier numbers at the venue
        return Decimal(0)
    total: Decimal = cached.quantity.as_decimal()
    return max(Decimal(0), total - quantity)

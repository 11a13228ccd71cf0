"""Orders: a TradingNode's commands on our orders, and what becomes of them as its events.

An outcome that is Unknown makes no event. The order stays in flight there until the stream or the
resolver has proven its fate; then that is told. Nothing is ever sent twice.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Any

from nautilus_trader.live.execution_client import LiveExecutionClient
from nautilus_trader.model.enums import (
    AccountType,
    ContingencyType,
    OmsType,
    OrderSide,
    OrderType,
    TimeInForce,
    contingency_type_to_str,
    order_type_to_str,
    time_in_force_to_str,
)
from nautilus_trader.model.identifiers import (
    AccountId,
    ClientId,
    InstrumentId,
)
from nautilus_trader.model.instruments import Instrument

import mexcfast as mx
from mexcfast.adapters.nautilus import names
from mexcfast.adapters.nautilus.config import MEXCExecClientConfig
from mexcfast.adapters.nautilus.providers import MEXCInstrumentProvider
from mexcfast.adapters.nautilus.reports import Reports
from mexcfast.adapters.nautilus.status import StatusReports
from mexcfast.adapters.nautilus.teller import Teller
from mexcfast.adapters.nautilus.told import Amend, Told
from mexcfast.errors import ConfigError, MexcfastError, NotReady
from mexcfast.types import PositionMode

MODES = {"one_way": (PositionMode.ONE_WAY, OmsType.NETTING),
         "hedge": (PositionMode.HEDGE, OmsType.HEDGING)}
MARGINS = {"isolated": mx.OpenType.ISOLATED, "cross": mx.OpenType.CROSS}
#: members of SubmitOrder.params that go on to Orders.intent()
PARAMS = ("leverage", "open_type", "position_id", "stop_loss_price", "take_profit_price",
          "loss_trend", "profit_trend", "price_protect", "market_ceiling", "flash_close",
          "best_price", "self_trade", "index_price")
TOO_LATE = (2040, 2041)             # no such order; its state does not allow it


class Denied(Exception):
    """The order may not be sent; nothing was. Its text is the reason."""


class MEXCExecutionClient(LiveExecutionClient):  # type: ignore[misc]
    """One mexcfast.Client under a node's execution engine.

    client: that client while connected.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, make: Callable[[], mx.Client], msgbus: Any,
                 cache: Any, clock: Any, provider: MEXCInstrumentProvider,
                 config: MEXCExecClientConfig, name: str) -> None:
        self._mode, oms_type = MODES[config.position_mode]
        super().__init__(
            loop=loop, client_id=ClientId(name), venue=names.MEXC_VENUE, oms_type=oms_type,
            instrument_provider=provider, account_type=AccountType.MARGIN, base_currency=None,
            msgbus=msgbus, cache=cache, clock=clock, config=config)
        self.client: mx.Client | None = None
        self._make = make
        self._provider = provider
        self._settings = config
        self._set_account_id(AccountId(f"{name}-FUTURES"))
        self.reports = Reports(self.account_id, self._mode == PositionMode.HEDGE,
                               clock.timestamp_ns)
        self.teller = Teller(self, self.reports)
        self._status = StatusReports(self, self.teller)

    # -- the connection ---------------------------------------------------------------------------

    async def _connect(self) -> None:
        client = self._make()
        await client.__aenter__()
        self.client = self._provider.client = client
        try:
            await self._provider.initialize()
            for instrument in self._provider.get_all().values():
                if self._cache.instrument(instrument.id) is None:
                    self._cache.add_instrument(instrument)
            await client.start(self.teller.ear)
            await self._check_mode(client)
            await self.send_account()
            await self._await_account_registered()
        except BaseException:
            self.client = None
            await client.close()
            raise
        self.teller.follow(client)

    async def _check_mode(self, client: mx.Client) -> None:
        try:
            mode = await client.positions.mode()
        except MexcfastError as error:
            self._log.warning(f"the position mode could not be read: {error}")
            return
        if mode != self._mode:
            raise ConfigError(
                f"position_mode is {self._settings.position_mode!r}, the account's is {mode.name}; "
                f"allowed: {' or '.join(map(repr, MODES))}, the same in both")

    async def _disconnect(self) -> None:
        client, self.client = self.client, None
        self.teller.leave()
        if client is not None:
            await client.close()

    def live(self) -> mx.Client:
        """The client. Raises NotReady when there is none."""
        if self.client is None:
            raise NotReady("the execution client is not connected")
        return self.client

    def instrument(self, symbol: str) -> Instrument | None:
        """By the venue's name; None when it is not loaded."""
        name = names.instrument_id(symbol)
        return self._cache.instrument(name) or self._provider.find(name)

    # -- the account ------------------------------------------------------------------------------

    async def send_account(self) -> None:
        """Read the balances and tell them."""
        self.tell_account(await self.live().account.balances())

    def tell_account(self, balances: Iterable[Any]) -> None:
        """Balances, of the mirror or of REST, as AccountState."""
        found = []
        for each in balances:
            try:
                found.append(names.balance(each))
            except (ValueError, OverflowError) as error:
                self._log.warning(f"the balance of {each.currency} is left out: {error}")
        if found:
            self.generate_account_state(balances=found, margins=[], reported=True,
                                        ts_event=self._clock.timestamp_ns())

    async def send_positions(self, symbol: str) -> None:
        """Read the positions of a contract and tell them."""
        held = await self.live().positions.open(symbol)
        instrument = self.instrument(symbol)
        if instrument is None:
            return
        found = [self.reports.position(each, instrument) for each in held if each.quantity]
        if not found and not self.reports.hedge:
            found = [self.reports.flat(instrument)]
        for report in found:
            self._send_position_status_report(report)

    async def _query_account(self, command: Any) -> None:
        await self.send_account()

    # -- placing ----------------------------------------------------------------------------------

    async def _submit_order(self, command: Any) -> None:
        await self._submit(command.order, command.position_id, command.params)

    async def _submit_order_list(self, command: Any) -> None:
        orders = command.order_list.orders
        linked = [order for order in orders
                  if order.contingency_type != ContingencyType.NO_CONTINGENCY]
        if linked:
            kind = contingency_type_to_str(linked[0].contingency_type)
            for order in orders:
                self._deny(order, f"contingency_type is {kind}; allowed: NO_CONTINGENCY, or "
                                  "emulation_trigger on each order: the node then links them")
            return
        await asyncio.gather(*[self._submit(order, command.position_id, command.params)
                               for order in orders])

    async def _submit(self, order: Any, position_id: Any, params: dict[str, Any] | None) -> None:
        if order.is_closed:
            self._log.warning(f"{order.client_order_id} is closed already")
            return
        try:
            client = self.live()
            intent = self._intent(client, order, position_id, params or {})
        except (Denied, MexcfastError) as refusal:
            self._deny(order, str(refusal))
            return
        told = self.teller.orders.add(Told(
            name=order.client_order_id, strategy_id=order.strategy_id,
            instrument_id=order.instrument_id, order_type=order.order_type))
        try:
            # registered in our tracker within this call, before anything leaves: OrderSubmitted
            outcome = await client.orders.send(intent, wait=True,
                                               max_age_ms=self._settings.max_age_ms)
        except MexcfastError as error:
            self.teller.refused(told, order, error)
            return
        if isinstance(outcome, mx.Unknown):
            self.teller.doubt(told, f"placing it: {outcome.error}")
        elif isinstance(outcome, mx.Rejected):
            self.teller.refused(told, order, outcome.error)
        # Accepted has been told by the tracker

    def _deny(self, order: Any, reason: str) -> None:
        self.generate_order_denied(
            strategy_id=order.strategy_id, instrument_id=order.instrument_id,
            client_order_id=order.client_order_id, reason=reason,
            ts_event=self._clock.timestamp_ns())

    def _intent(self, client: mx.Client, order: Any, position_id: Any, params: dict[str, Any]
                ) -> Any:
        """The order checked, with its bytes. Raises Denied or IntentError."""
        if order.instrument_id.venue != names.MEXC_VENUE:
            raise Denied(f"instrument_id is {order.instrument_id}; allowed: venue {names.MEXC}")
        unknown = sorted(set(params) - set(PARAMS))
        if unknown:
            raise Denied(f"params has {unknown[0]!r}; allowed: {', '.join(PARAMS)}")
        symbol = names.symbol_of(order.instrument_id)
        more = dict(params)
        more.setdefault("open_type", MARGINS[self._settings.margin_mode])
        if isinstance(more["open_type"], str):
            if more["open_type"] not in MARGINS:
                raise Denied(f"open_type is {more['open_type']!r}; allowed: {', '.join(MARGINS)}")
            more["open_type"] = MARGINS[more["open_type"]]
        leverage = more.pop("leverage", None) or (self._settings.leverages or {}).get(
            str(order.instrument_id), self._settings.leverage)
        side, reduce_only = self._side(order, position_id)
        if side.is_open and not reduce_only:
            more["leverage"] = leverage
        has_price = order.order_type in (OrderType.LIMIT, OrderType.MARKET_TO_LIMIT)
        price = order.price.as_decimal() if has_price and order.has_price else None
        return client.orders.intent(
            symbol, side, order.quantity.as_decimal(), price, type=self._type(order),
            reduce_only=reduce_only, client_order_id=str(order.client_order_id),
            position_mode=self._mode, **more)

    def _side(self, order: Any, position_id: Any) -> tuple[mx.Side, bool]:
        """The venue's side, and reduceOnly, which only one-way mode knows."""
        is_buy = order.side == OrderSide.BUY
        if self._mode == PositionMode.ONE_WAY:
            return mx.Side.OPEN_LONG if is_buy else mx.Side.OPEN_SHORT, order.is_reduce_only
        closes = order.is_reduce_only
        if position_id is not None:
            known = {str(names.position_id(names.symbol_of(order.instrument_id), True)): True,
                     str(names.position_id(names.symbol_of(order.instrument_id), False)): False}
            is_long = known.get(str(position_id))
            if is_long is None:
                raise Denied(f"position_id is {position_id}; allowed: {', '.join(known)}")
            if closes and is_long is is_buy:
                raise Denied(f"position_id is {position_id} and the order adds to it; allowed: "
                             "reduce_only with the other position_id")
            closes = is_long is not is_buy
        if is_buy:
            return mx.Side.CLOSE_SHORT if closes else mx.Side.OPEN_LONG, False
        return mx.Side.CLOSE_LONG if closes else mx.Side.OPEN_SHORT, False

    def _type(self, order: Any) -> mx.OrderType:
        """The venue's type. Raises Denied for what the venue has not."""
        kind, life = order.order_type, order.time_in_force
        if order.is_quote_quantity:
            raise Denied("quote_quantity is True; allowed: contracts")
        if getattr(order, "display_qty", None) is not None:
            raise Denied(f"display_qty is {order.display_qty}; allowed: None")
        if kind == OrderType.MARKET and life in (TimeInForce.GTC, TimeInForce.IOC):
            return mx.OrderType.MARKET
        if kind == OrderType.MARKET_TO_LIMIT and life == TimeInForce.GTC:
            return mx.OrderType.MARKET_TO_LIMIT
        if kind == OrderType.LIMIT:
            if life == TimeInForce.GTD and not self._settings.use_gtd:
                life = TimeInForce.GTC
            found = names.LIMIT_TYPES.get(life)
            if order.is_post_only and found == mx.OrderType.LIMIT:
                return mx.OrderType.POST_ONLY
            if found is not None and not order.is_post_only:
                return found
            allowed = "GTC" if order.is_post_only else "GTC, IOC, FOK"
            raise Denied(f"time_in_force is {time_in_force_to_str(life)}; allowed: {allowed}")
        if kind in (OrderType.MARKET, OrderType.MARKET_TO_LIMIT):
            allowed = "GTC, IOC" if kind == OrderType.MARKET else "GTC"
            raise Denied(f"time_in_force is {time_in_force_to_str(life)}; allowed: {allowed}")
        raise Denied(f"order_type is {order_type_to_str(kind)}; allowed: LIMIT, MARKET, "
                     "MARKET_TO_LIMIT, or emulation_trigger: the node then waits for the price")

    # -- changing ---------------------------------------------------------------------------------

    async def _modify_order(self, command: Any) -> None:
        name = command.client_order_id
        cached, told = self._cache.order(name), self.teller.orders.named(name)
        tracked = self._tracked(name, command.venue_order_id)
        reason = None
        if cached is None or tracked is None or tracked.order_id is None or tracked.symbol is None:
            reason = "the venue has not taken the order yet"
        elif cached.order_type != OrderType.LIMIT or command.trigger_price is not None:
            reason = (f"order_type is {order_type_to_str(cached.order_type)}; allowed: the price "
                      "and quantity of LIMIT orders")
        elif tracked.is_final:
            reason = f"the order is {tracked.phase.name}"
        if reason is not None or tracked is None or tracked.order_id is None:
            self._modify_rejected(command, reason or "")
            return
        told = told or self.teller.known(tracked)
        if told is None:
            self._modify_rejected(command, "the order is not known here")
            return
        price = (command.price or cached.price).as_decimal()
        total = (command.quantity or cached.quantity).as_decimal()
        rest = total - told.before - tracked.filled_quantity
        if rest <= 0:
            self._modify_rejected(command, f"quantity is {total}; allowed: above the "
                                           f"{total - rest} that are filled")
            return
        amend = Amend(told, tracked.order_id, tracked.symbol or "", price, rest)
        self.teller.amends[amend.order_id] = amend
        try:
            outcome = await self.live().orders.amend(
                amend.symbol, amend.order_id, price, rest, wait=True,
                max_age_ms=self._settings.max_age_ms)
        except MexcfastError as error:
            outcome = mx.Rejected(error, amend.symbol, None, amend.order_id)
        except BaseException:
            # cancelled: our orders keep it as a doubt if anything has left
            self.teller.amend_ended(amend)
            raise
        if isinstance(outcome, mx.Unknown):
            self.teller.doubt(told, f"changing it: {outcome.error}")
            return
        self.teller.amended(amend, outcome)

    def _modify_rejected(self, command: Any, reason: str) -> None:
        self.generate_order_modify_rejected(
            strategy_id=command.strategy_id, instrument_id=command.instrument_id,
            client_order_id=command.client_order_id, venue_order_id=command.venue_order_id,
            reason=reason, ts_event=self._clock.timestamp_ns())

    # -- cancelling -------------------------------------------------------------------------------

    async def _cancel_order(self, command: Any) -> None:
        await self._cancel([(command.instrument_id, command.client_order_id,
                             command.venue_order_id, command.strategy_id)])

    async def _batch_cancel_orders(self, command: Any) -> None:
        await self._cancel([(each.instrument_id, each.client_order_id, each.venue_order_id,
                             each.strategy_id) for each in command.cancels])

    async def _cancel_all_orders(self, command: Any) -> None:
        """The strategy's orders of this instrument, and of this side when one is given."""
        about = {"instrument_id": command.instrument_id, "strategy_id": command.strategy_id,
                 "side": command.order_side}
        orders = {order.client_order_id: order
                  for order in (*self._cache.orders_open(None, **about),
                                *self._cache.orders_inflight(None, **about))}
        if orders:
            await self._cancel([(order.instrument_id, order.client_order_id, order.venue_order_id,
                                 order.strategy_id) for order in orders.values()])

    async def _cancel(self, wanted: list[tuple[InstrumentId, Any, Any, Any]]) -> None:
        """Cancels asked for together leave in as few requests as the venue allows."""
        groups: dict[str, list[tuple[int | str, Any]]] = {}
        for each in wanted:
            instrument_id, name, venue_order_id, _ = each
            tracked = self._tracked(name, venue_order_id)
            order_id = tracked.order_id if tracked is not None else None
            if order_id is None and venue_order_id is not None:
                order_id = int(str(venue_order_id))
            groups.setdefault(names.symbol_of(instrument_id), []).append(
                (order_id if order_id is not None else str(name), each))
        await asyncio.gather(*[self._cancel_group(symbol, items)
                               for symbol, items in groups.items()])

    async def _cancel_group(self, symbol: str, items: list[tuple[int | str, Any]]) -> None:
        try:
            outcomes = await self.live().orders.cancel([key for key, _ in items], symbol)
        except MexcfastError as error:
            outcomes = tuple(mx.Rejected(error, symbol) for _ in items)
        for (key, about), outcome in zip(items, outcomes, strict=True):
            if isinstance(outcome, mx.Unknown):
                self.teller.cancel_in_doubt(key, about, outcome)
            elif isinstance(outcome, mx.Rejected):
                self.cancel_rejected(about, outcome)

    def cancel_rejected(self, about: tuple[InstrumentId, Any, Any, Any], outcome: mx.Rejected
                        ) -> None:
        """Nothing is told of an order that has ended: its end is on its way, or was told."""
        instrument_id, name, venue_order_id, strategy_id = about
        cached, told = self._cache.order(name), self.teller.orders.named(name)
        if (cached is not None and cached.is_closed) or (told is not None and told.is_final):
            self._log.info(f"{name} was closed when it was to be cancelled: {outcome.error}")
            return
        if outcome.code in TOO_LATE:
            self.create_task(self.teller.look(about, outcome))
            return
        self.generate_order_cancel_rejected(
            strategy_id=strategy_id, instrument_id=instrument_id, client_order_id=name,
            venue_order_id=venue_order_id, reason=str(outcome.error),
            ts_event=self._clock.timestamp_ns())

    def _tracked(self, name: Any, venue_order_id: Any) -> Any:
        """Our order: the newest of an amended one."""
        orders = self.live().orders
        told = self.teller.orders.named(name)
        if told is not None and told.order_id is not None:
            return orders.find(told.order_id)
        if venue_order_id is not None:
            return orders.find(int(str(venue_order_id)))
        return orders.find(str(name))

    # -- reports ----------------------------------------------------------------------------------

    async def generate_order_status_report(self, command: Any) -> Any:
        """One order, by the venue's id or by ours; None when the venue does not know it."""
        return await self._status.order(command)

    async def generate_order_status_reports(self, command: Any) -> list[Any]:
        """Open orders, and unless open_only those of the period; 7 days when it has no start."""
        return await self._status.orders(command)

    async def generate_fill_reports(self, command: Any) -> list[Any]:
        """Executions of the period."""
        return await self._status.fills(command)

    async def generate_position_status_reports(self, command: Any) -> list[Any]:
        """What is held; flat when one instrument is asked for and nothing is."""
        return await self._status.positions(command)

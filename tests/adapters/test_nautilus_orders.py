"""Orders in a TradingNode, against the exchange in the box; see test_nautilus_data.py.

The numbers are those of nautilus_trader's execution testing spec.
"""

from __future__ import annotations

import asyncio
import importlib.util
from decimal import Decimal
from typing import Any

import pytest

import mexcfast as mx
from mexcfast.sim import Exchange

HERE = importlib.util.find_spec("nautilus_trader") is not None
needs_nautilus = pytest.mark.framework("nautilus_trader", "nautilus")
pytestmark = pytest.mark.usefixtures("nothing_is_hidden")

if HERE:
    from nautilus_trader.core.uuid import UUID4
    from nautilus_trader.execution.messages import CancelOrder
    from nautilus_trader.model.enums import (
        OmsType,
        OrderSide,
        OrderStatus,
        OrderType,
        PositionSide,
        TimeInForce,
        TriggerType,
    )
    from nautilus_trader.model.identifiers import PositionId

    from adapters.nautilus_support import (
        BTC,
        HEDGE,
        IID,
        Exec,
        cases,
        exec_client,
        market,
        run,
        running,
        until,
    )
    BUY, SELL = OrderSide.BUY, OrderSide.SELL
else:
    def cases(*ids: str) -> Any:
        return lambda test: test

PLACED = ["OrderInitialized", "OrderSubmitted", "OrderAccepted"]


def sell_into(venue: Exchange, price: Any, quantity: int) -> None:
    """Somebody sells so much that `quantity` of our orders bid at this price trade."""
    ours = sum(order.remaining for order in venue.account.open_orders.values()
               if order.side in (1, 2) and order.price >= price)
    before = sum(int(level[1]) for level in venue.book(BTC).bids if level[0] >= price) - ours
    venue.trade(BTC, "sell", before + quantity)


def position(node: Any) -> Any:
    found = node.cache.positions_open(instrument_id=IID)
    return found[0] if found else None


async def ready(node: Any, venue: Exchange) -> None:
    """Quotes have come, so that the testers act."""
    venue.step(2, BTC)
    await until(lambda: node.cache.quote_tick(IID) is not None, "a quote")


@needs_nautilus
@pytest.mark.parametrize("sign", [1, -1])
@cases("TC-E01", "TC-E02", "TC-E06", "TC-E61", "TC-E80", "TC-E82")
def test_a_position_is_opened_and_closed(sign: int) -> None:
    async def story() -> None:
        trader = Exec(open_position_on_start_qty=Decimal(10 * sign))
        async with market() as venue:
            async with running(venue, trader) as node:
                held = await until(lambda: position(node), "a position")
                order, = node.cache.orders()
                await until(lambda: order.is_closed, "filled")
                assert trader.names(order)[:3] == PLACED
                assert set(trader.names(order)[3:]) == {"OrderFilled"}
                assert held.side == (PositionSide.LONG if sign > 0 else PositionSide.SHORT)
                assert held.quantity == 10
                fill = trader.last("OrderFilled")
                book = venue.book(BTC)
                best = book.asks[0] if sign > 0 else book.bids[0]
                assert abs(fill.last_px.as_decimal() - best[0]) < 1
                assert fill.commission.as_decimal() > 0 and fill.liquidity_side.name == "TAKER"
                account = node.cache.account_for_venue(IID.venue)
                await until(lambda: account.event_count > 1, "the balance has moved")
            # stopped: the tester closes what it holds, reduce-only
            assert position(node) is None and not node.cache.orders_open()
            closing = node.cache.orders()[-1]
            assert closing.is_reduce_only and closing.status == OrderStatus.FILLED
            request = next(each for each in reversed(venue.requests)
                           if each.path.endswith("order/create"))
            assert '"reduceOnly":true' in str(request.body)
            assert not any(each.hold_vol for each in venue.account.positions.values())

    run(story())


@needs_nautilus
@cases("TC-E03")
def test_a_market_order_that_says_ioc() -> None:
    async def story() -> None:
        trader = Exec(open_position_on_start_qty=Decimal(10),
                      open_position_time_in_force=TimeInForce.IOC)
        async with market() as venue, running(venue, trader) as node:
            await until(lambda: position(node), "a position")
            assert node.cache.orders()[0].time_in_force == TimeInForce.IOC

    run(story())


@needs_nautilus
@pytest.mark.parametrize("how", ["all", "individual", "batch"])
@cases("TC-E10", "TC-E11", "TC-E12", "TC-E40", "TC-E41", "TC-E42", "TC-E43", "TC-E60", "TC-E81",
       "TC-E83")
def test_two_orders_rest_and_are_cancelled_on_stop(how: str) -> None:
    async def story() -> None:
        trader = Exec(enable_buys=True, enable_sells=True, tob_offset_ticks=20, use_post_only=True,
                      use_individual_cancels_on_stop=how == "individual",
                      use_batch_cancel_on_stop=how == "batch")
        async with market() as venue:
            async with running(venue, trader) as node:
                await ready(node, venue)
                await until(lambda: len(node.cache.orders_open()) == 2, "two orders")
                book = venue.book(BTC)
                for order in node.cache.orders_open():
                    assert trader.names(order) == PLACED
                    theirs = venue.account.open_orders[int(order.venue_order_id.value)]
                    assert theirs.price == order.price.as_decimal() and theirs.vol == 10
                    assert theirs.external_oid == order.client_order_id.value
                    assert theirs.type == 2                                # post only
                    if order.side == BUY:
                        assert order.price.as_decimal() < book.bids[0][0]
                    else:
                        assert order.price.as_decimal() > book.asks[0][0]
                count = len(venue.requests)
            assert not node.cache.orders_open() and not venue.account.open_orders
            for order in node.cache.orders():
                assert trader.names(order)[3:] in (["OrderPendingCancel", "OrderCanceled"],
                                                   ["OrderCanceled"])
            cancels = [each for each in list(venue.requests)[count:] if "cancel" in each.path]
            assert len(cancels) == 1 or how == "individual"
            assert not exec_client(node).teller.amends

    run(story())


@needs_nautilus
@cases("TC-E13", "TC-E14", "TC-E15", "TC-E16")
def test_orders_that_fill_or_go() -> None:
    async def story() -> None:
        trader = Exec()
        async with market() as venue, running(venue, trader) as node:
            bid, ask = venue.book(BTC).bids[0][0], venue.book(BTC).asks[0][0]
            for life in (TimeInForce.IOC, TimeInForce.FOK):
                filled = trader.limit(BUY, ask + 1, 5, time_in_force=life)
                await until(lambda filled=filled: filled.is_closed, "filled")
                assert trader.names(filled)[:3] == PLACED
                assert filled.status == OrderStatus.FILLED
                if life == TimeInForce.FOK:
                    assert trader.names(filled)[3:] == ["OrderFilled"]
                gone = trader.limit(BUY, bid - 5, 5, time_in_force=life)
                await until(lambda gone=gone: gone.is_closed, "cancelled")
                assert trader.names(gone) == [*PLACED, "OrderCanceled"]
            assert position(node).quantity == 10

    run(story())


@needs_nautilus
@pytest.mark.parametrize("side", ["buy", "sell"])
@cases("TC-E30", "TC-E31")
def test_orders_follow_the_market_by_changes(side: str) -> None:
    async def story() -> None:
        trader = Exec(enable_buys=side == "buy", enable_sells=side == "sell", tob_offset_ticks=40,
                      modify_orders_to_maintain_tob_offset=True)
        async with market(updates_per_second=200) as venue, running(venue, trader) as node:
            await until(lambda: trader.names().count("OrderUpdated") >= 2, "two changes")
            venue.updates_per_second = 0
            order = node.cache.orders()[0]
            await until(lambda: order.is_open and not order.is_pending_update, "all answered")
            assert trader.names(order)[:3] == PLACED
            assert set(trader.names(order)[3:]) == {"OrderPendingUpdate", "OrderUpdated"}
            assert len(node.cache.orders()) == 1 and len(order.venue_order_ids) >= 2
            theirs, = venue.account.open_orders.values()
            assert (str(theirs.id), theirs.price, theirs.vol) == (
                order.venue_order_id.value, order.price.as_decimal(), 10)

    run(story())


@needs_nautilus
@pytest.mark.parametrize("side", ["buy", "sell"])
@cases("TC-E32", "TC-E33")
def test_orders_follow_the_market_by_cancel_and_replace(side: str) -> None:
    async def story() -> None:
        trader = Exec(enable_buys=side == "buy", enable_sells=side == "sell", tob_offset_ticks=40,
                      cancel_replace_orders_to_maintain_tob_offset=True)
        async with market(updates_per_second=200) as venue, running(venue, trader) as node:
            await until(lambda: trader.names().count("OrderCanceled") >= 1
                        and trader.names().count("OrderAccepted") >= 2, "one replaced")
            venue.updates_per_second = 0
            first = node.cache.orders()[0]
            assert trader.names(first) == [*PLACED, "OrderPendingCancel", "OrderCanceled"]

    run(story())


@needs_nautilus
def test_a_partly_filled_order_is_changed_and_counts_all() -> None:
    """The venue's new order has a number and a count of its own; the node's order goes on."""

    async def story() -> None:
        trader = Exec()
        async with market() as venue, running(venue, trader) as node:
            bid = venue.book(BTC).bids[0][0]
            order = trader.limit(BUY, bid, 10)
            await until(lambda: order.is_open, "open")
            sell_into(venue, bid, 4)
            await until(lambda: order.filled_qty == 4, "four")
            trader.modify_order(order, quantity=trader.instrument.make_qty(12),
                                price=trader.instrument.make_price(bid - 1))
            await until(lambda: "OrderUpdated" in trader.names(order), "changed")
            assert order.quantity == 12 and order.leaves_qty == 8
            theirs, = venue.account.open_orders.values()
            assert theirs.vol == 8 and str(theirs.id) == order.venue_order_id.value
            sell_into(venue, theirs.price, 8)
            await until(lambda: order.is_closed, "filled")
            assert order.status == OrderStatus.FILLED and order.filled_qty == 12
            assert position(node).quantity == 12
            assert len(node.cache.orders()) == 1
            # a report of it agrees with what the node knows
            assert "OrderCanceled" not in trader.names(order)

    run(story())


@needs_nautilus
@cases("TC-E44")
def test_a_cancel_of_a_cancelled_order_says_nothing_twice() -> None:
    """Documented as idempotent: the venue is asked, no second end is told."""

    async def story() -> None:
        trader = Exec()
        async with market() as venue, running(venue, trader) as node:
            order = trader.limit(BUY, venue.book(BTC).bids[5][0])
            await until(lambda: order.is_open, "open")
            trader.cancel_order(order)
            await until(lambda: order.is_closed, "cancelled")
            names = trader.names(order)
            count = len(venue.requests)
            exec_client(node).cancel_order(CancelOrder(
                node.trader_id, trader.id, IID, order.client_order_id, order.venue_order_id,
                UUID4(), node.kernel.clock.timestamp_ns()))
            await until(lambda: any("cancel" in each.path
                                    for each in list(venue.requests)[count:]), "asked")
            other = trader.limit(BUY, venue.book(BTC).bids[6][0])       # events keep their order
            await until(lambda: other.is_open, "open")
            assert trader.names(order) == names and order.status == OrderStatus.CANCELED

    run(story())


@needs_nautilus
@cases("TC-E70", "TC-E71")
def test_orders_the_venue_refuses() -> None:
    async def story() -> None:
        trader = Exec(enable_buys=True, use_post_only=True, test_reject_post_only=True,
                      tob_offset_ticks=5)
        async with market() as venue, running(venue, trader) as node:
            await ready(node, venue)
            await until(lambda: "OrderRejected" in trader.names(), "refused")
            refused = trader.last("OrderRejected")
            assert refused.due_post_only and "POST_ONLY" in refused.reason
            order = node.cache.order(refused.client_order_id)
            assert trader.names(order) in ([*PLACED[:2], "OrderRejected"],
                                           [*PLACED, "OrderRejected"])
            nothing = trader.market(SELL, reduce_only=True)
            await until(lambda: nothing.is_closed, "refused")
            assert trader.names(nothing) == [*PLACED[:2], "OrderRejected"]
            assert "position" in trader.last("OrderRejected").reason.lower() or "2009" in (
                trader.last("OrderRejected").reason)

    run(story())


@needs_nautilus
@cases("TC-E72", "TC-E73")
def test_orders_the_venue_does_not_know_are_denied() -> None:
    """Before anything leaves, with a reason that says what is allowed."""

    async def story() -> None:
        trader = Exec(enable_stop_buys=True, stop_order_type=OrderType.STOP_MARKET)
        async with market() as venue, running(venue, trader) as node:
            await ready(node, venue)
            await until(lambda: "OrderDenied" in trader.names(), "denied")
            assert trader.last("OrderDenied").reason.startswith("order_type is STOP_MARKET; allow")
            trader.stop()
            bid = venue.book(BTC).bids[5][0]
            trader.reset()
            trader.start()
            for more, part in (
                    ({"time_in_force": TimeInForce.DAY}, "time_in_force is DAY; allowed: GTC"),
                    ({"time_in_force": TimeInForce.AT_THE_OPEN}, "AT_THE_OPEN; allowed: GTC"),
                    ({"post_only": True, "time_in_force": TimeInForce.IOC}, "IOC; allowed: GTC"),
                    ({"quote_quantity": True}, "quote_quantity is True; allowed: contracts"),
                    ({"display_qty": trader.instrument.make_qty(1)}, "display_qty is 1; allowed"),
                    ({"params": {"colour": 1}}, "params has 'colour'; allowed: leverage"),
                    ({"params": {"leverage": 5000}}, "leverage is 5000; allowed: integers"),
                    ({"quantity": 10**7}, "quantity is Decimal('10000000'); allowed")):
                order = trader.limit(BUY, bid, **more)
                await until(lambda order=order: order.is_closed, "denied")
                assert trader.names(order) == ["OrderInitialized", "OrderDenied"], more
                assert part in trader.last("OrderDenied").reason, trader.last("OrderDenied").reason
            fok = trader.market(BUY, time_in_force=TimeInForce.FOK)
            await until(lambda: fok.is_closed, "denied")
            assert "FOK; allowed: GTC, IOC" in trader.last("OrderDenied").reason
            bracket = trader.order_factory.bracket(
                IID, BUY, trader.instrument.make_qty(1), entry_order_type=OrderType.LIMIT,
                entry_price=trader.instrument.make_price(bid),
                tp_price=trader.instrument.make_price(bid + 100),
                sl_trigger_price=trader.instrument.make_price(bid - 100))
            trader.submit_order_list(bracket)
            await until(lambda: all(order.is_closed for order in bracket.orders), "denied")
            assert "contingency_type is OTO; allowed" in trader.last("OrderDenied").reason
            assert not any(each.path.endswith("order/create") for each in venue.requests)

    run(story())


@needs_nautilus
def test_a_stop_order_is_emulated_by_the_node() -> None:
    """The node waits for the price, then a market order leaves."""

    async def story() -> None:
        trader = Exec()
        async with market() as venue, running(venue, trader) as node:
            trader.subscribe_quote_ticks(IID)
            await ready(node, venue)
            ask = venue.book(BTC).asks
            order = trader.order_factory.stop_market(
                IID, BUY, trader.instrument.make_qty(10),
                trader.instrument.make_price(ask[1][0]), emulation_trigger=TriggerType.BID_ASK)
            trader.submit_order(order)
            await until(lambda: order.is_emulated, "emulated")
            assert not any(each.path.endswith("order/create") for each in venue.requests)
            venue.trade(BTC, "buy", int(ask[0][1]))
            await until(lambda: position(node), "triggered and filled")
            assert node.cache.order(order.client_order_id).status == OrderStatus.FILLED

    run(story())


@needs_nautilus
@cases("TC-E63")
def test_params_go_to_the_venue() -> None:
    async def story() -> None:
        trader = Exec(enable_buys=True, tob_offset_ticks=20,
                      order_params={"leverage": 7, "open_type": "cross"})
        async with market() as venue, running(venue, trader) as node:
            await ready(node, venue)
            await until(lambda: node.cache.orders_open(), "open")
            theirs, = venue.account.open_orders.values()
            assert (theirs.leverage, theirs.open_type) == (7, 2)

    run(story())


@needs_nautilus
def test_a_list_of_orders_and_cancels_by_side() -> None:
    async def story() -> None:
        trader = Exec()
        async with market(limits=False) as venue, running(venue, trader) as node:
            book = venue.book(BTC)
            orders = [trader.order_factory.limit(
                IID, side, trader.instrument.make_qty(1), trader.instrument.make_price(level[0]))
                for side, levels in ((BUY, book.bids), (SELL, book.asks)) for level in levels[4:6]]
            trader.submit_order_list(trader.order_factory.create_list(orders))
            await until(lambda: len(node.cache.orders_open()) == 4, "four")
            foreign = await _foreign(venue, mx.Side.OPEN_LONG, 3, book.bids[8][0])
            await until(lambda: len(node.cache.orders_open()) == 5, "and one of others")
            trader.cancel_all_orders(IID, order_side=BUY)
            await until(lambda: len(node.cache.orders_open()) == 3, "two are gone")
            assert all(order.side == SELL or order.strategy_id.value == "EXTERNAL"
                       for order in node.cache.orders_open())
            assert foreign in venue.account.open_orders
            external = next(order for order in node.cache.orders_open()
                            if order.strategy_id.value == "EXTERNAL")
            # it is filled, and what it holds is counted
            sell_into(venue, external.price.as_decimal(), 3)
            await until(lambda: external.is_closed, "filled")
            assert external.status == OrderStatus.FILLED and position(node).quantity == 3

    run(story())


async def _foreign(venue: Exchange, side: mx.Side, quantity: int, price: Any, **more: Any) -> int:
    """Another program's order; its number."""
    async with mx.Client(venue.rest_url, venue.access_key, venue.secret) as other:
        if venue.account.position_mode == 2:
            more["position_mode"] = 2
        outcome = await other.orders.submit(BTC, side, quantity, price, leverage=20, **more)
        assert isinstance(outcome, mx.Accepted), outcome
        assert outcome.order_id is not None
        return outcome.order_id


@needs_nautilus
def test_hedge_mode_has_a_long_and_a_short_position() -> None:
    async def story() -> None:
        trader = Exec(close_positions_on_stop=True)
        async with market() as venue:
            async with running(venue, trader, mode=HEDGE) as node:
                assert exec_client(node).oms_type == OmsType.HEDGING
                trader.market(BUY, 10)
                trader.market(SELL, 6)
                await until(lambda: len(node.cache.positions_open()) == 2, "both")
                long = node.cache.position(PositionId(f"{IID}-LONG"))
                short = node.cache.position(PositionId(f"{IID}-SHORT"))
                assert (long.quantity, short.quantity) == (10, 6)
                trader.market(SELL, 4, position_id=long.id, reduce_only=True)
                await until(lambda: long.quantity == 6, "a part of the long one is closed")
                assert short.quantity == 6
                wrong = trader.market(BUY, 1, position_id=long.id, reduce_only=True)
                await until(lambda: wrong.is_closed, "denied")
                assert wrong.status == OrderStatus.DENIED
                assert [each.hold_vol for each in venue.account.positions.values()] == [6, 6]
            assert not node.cache.positions_open()

    run(story())


@needs_nautilus
@cases("TC-E84", "TC-E85", "TC-E86", "TC-E87")
@pytest.mark.parametrize("mode", [2, 1])
@pytest.mark.parametrize("is_long", [True, False])
def test_a_start_finds_what_is_there(is_long: bool, mode: int) -> None:
    """An open order, a filled one and a position of an earlier session."""

    async def story() -> None:
        async with market() as venue:
            venue.account.position_mode = mode
            book = venue.book(BTC)
            side, other = ((mx.Side.OPEN_LONG, mx.Side.OPEN_SHORT) if is_long else
                           (mx.Side.OPEN_SHORT, mx.Side.OPEN_LONG))
            levels, far = ((book.asks, book.bids) if is_long else (book.bids, book.asks))
            done = await _foreign(venue, side, 7, levels[0][0], client_order_id="earlier-1")
            resting = await _foreign(venue, side, 4, far[6][0], client_order_id="earlier-2")
            trader = Exec(external_order_claims=[IID], cancel_orders_on_stop=False,
                          close_positions_on_stop=False)
            async with running(venue, trader, mode=mode) as node:
                order, = node.cache.orders_open()
                assert order.client_order_id.value == "earlier-2"
                assert order.venue_order_id.value == str(resting)
                assert order.status == OrderStatus.ACCEPTED and order.order_type == OrderType.LIMIT
                assert (order.quantity, order.price.as_decimal(), order.side) == (
                    4, far[6][0], BUY if is_long else SELL)
                filled, = [each for each in node.cache.orders_closed()]
                assert filled.venue_order_id.value == str(done)
                assert filled.status == OrderStatus.FILLED and filled.filled_qty == 7
                fill = filled.events[-1]
                assert fill.last_px.as_decimal() == levels[0][0]
                assert fill.commission.as_decimal() == venue.account.deals[-1].fee > 0
                held = position(node)
                assert held.side == (PositionSide.LONG if is_long else PositionSide.SHORT)
                assert held.quantity == 7
                assert Decimal(str(held.avg_px_open)) == levels[0][0]
                # the strategy may manage what it has claimed
                trader.modify_order(order, price=trader.instrument.make_price(far[7][0]))
                await until(lambda: "OrderUpdated" in trader.names(order), "changed")
                trader.cancel_order(order)
                await until(lambda: order.is_closed, "cancelled")
                assert other != side

    run(story())


@needs_nautilus
def test_a_restart_with_the_nodes_memory_gone_keeps_names() -> None:
    """The client order id is the venue's too: the second node finds the first one's order."""

    async def story() -> None:
        async with market() as venue:
            first = Exec(cancel_orders_on_stop=False)
            async with running(venue, first) as node:
                order = first.limit(BUY, venue.book(BTC).bids[5][0])
                await until(lambda: order.is_open, "open")
            second = Exec(external_order_claims=[IID])
            async with running(venue, second, number=2) as node:
                again, = node.cache.orders_open()
                assert again.client_order_id == order.client_order_id
                assert again.strategy_id == second.id
                sell_into(venue, again.price.as_decimal(), 10)
                await until(lambda: again.is_closed, "filled")
                assert again.filled_qty == 10 and position(node).quantity == 10

    run(story())


@needs_nautilus
def test_news_of_a_lost_connection_are_told_after_it() -> None:
    """Filled, cancelled and placed by others while the private stream was gone."""

    async def story() -> None:
        trader = Exec()
        async with market() as venue, running(venue, trader) as node:
            client = exec_client(node).client
            book = venue.book(BTC)
            filled, cancelled = (trader.limit(BUY, book.bids[0][0], 5),
                                 trader.limit(SELL, book.asks[5][0], 5))
            await until(lambda: len(node.cache.orders_open()) == 2, "two orders")
            venue.faults.cut()
            sell_into(venue, book.bids[0][0], 5)
            venue.venue.cancel(venue.account,
                               venue.account.open_orders[int(cancelled.venue_order_id.value)])
            await until(lambda: not client.trader.ready.is_set() or filled.is_closed, "lost")
            await client.trader.ready.wait()
            await until(lambda: filled.is_closed and cancelled.is_closed, "both told")
            assert filled.status == OrderStatus.FILLED and filled.filled_qty == 5
            assert cancelled.status == OrderStatus.CANCELED
            assert trader.names(filled).count("OrderFilled") == 1
            assert position(node).quantity == 5

    run(story())


@needs_nautilus
def test_a_fill_whose_push_is_lost_is_read() -> None:
    async def story() -> None:
        trader = Exec()
        async with market() as venue, running(venue, trader):
            bid = venue.book(BTC).bids[0][0]
            order = trader.limit(BUY, bid, 5)
            await until(lambda: order.is_open, "open")
            venue.faults.drop("order.deal")
            sell_into(venue, bid, 5)
            await until(lambda: order.is_closed, "filled")
            assert order.status == OrderStatus.FILLED and order.filled_qty == 5
            assert not trader.last("OrderFilled").reconciliation

    run(story())


@needs_nautilus
def test_the_kill_switch_is_heard(allowed: list[str]) -> None:
    """Tripped: opening orders are refused with the reason, closing ones leave; the log says so."""
    allowed += ["manual: tripped: enough"]

    async def story() -> None:
        trader = Exec()
        async with market() as venue, running(venue, trader) as node:
            client = exec_client(node).client
            trader.market(BUY, 10)
            await until(lambda: position(node), "a position")
            client.kill_switch.trip("enough")
            refused = trader.market(BUY, 1)
            await until(lambda: refused.is_closed, "refused")
            assert refused.status == OrderStatus.REJECTED
            assert "kill switch tripped" in refused.events[-1].reason
            trader.market(SELL, 10, reduce_only=True)
            await until(lambda: position(node) is None, "closed")

    run(story())


@needs_nautilus
def test_wrong_settings_are_named() -> None:
    """The wrong position mode ends the start; keys are in no text."""

    async def story() -> None:
        from nautilus_trader.config import LoggingConfig, TradingNodeConfig
        from nautilus_trader.live.node import TradingNode

        from adapters.nautilus_support import MEXC, exec_engine_config
        from mexcfast.adapters.nautilus import MEXCExecClientConfig, MEXCLiveExecClientFactory
        from mexcfast.errors import ConfigError

        async with market() as venue:
            config = MEXCExecClientConfig(
                base_url_http=venue.rest_url, api_key=venue.access_key, api_secret=venue.secret)
            assert venue.secret not in repr(config) and venue.access_key not in str(config)
            assert venue.secret not in repr(TradingNodeConfig(exec_clients={MEXC: config}))
            for wrong in ({"api_key": "a"}, {"position_mode": "both"}, {"margin_mode": "x"},
                          {"limits": {"price_band": 1}}):
                with pytest.raises(ConfigError, match="allowed"):
                    MEXCExecClientConfig(**wrong)
            node = TradingNode(TradingNodeConfig(
                logging=LoggingConfig(log_level="ERROR", log_colors=False),
                exec_engine=exec_engine_config(), exec_clients={MEXC: config}),
                loop=asyncio.get_running_loop())
            from adapters.nautilus_support import NODES

            NODES.append(node)
            node.add_exec_client_factory(MEXC, MEXCLiveExecClientFactory)
            node.build()
            client = exec_client(node)
            with pytest.raises(ConfigError, match="position_mode is 'one_way', the account's is H"):
                await client._connect()
            assert client.client is None

    run(story())

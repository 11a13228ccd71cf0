"""Requests whose outcome is not known, in a TradingNode: no event before there is proof."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest

HERE = importlib.util.find_spec("nautilus_trader") is not None
needs_nautilus = pytest.mark.framework("nautilus_trader", "nautilus")
pytestmark = pytest.mark.usefixtures("nothing_is_hidden")

if HERE:
    from nautilus_trader.model.enums import OrderSide, OrderStatus

    from adapters.nautilus_support import (
        BTC,
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

SHORT = {"recv_window_s": 1}         # a request that was not executed is proven so after 2 s


@needs_nautilus
@pytest.mark.parametrize("how", ["executed", "executed unheard", "not executed"])
@cases("TC-E74")
def test_an_order_in_doubt(how: str) -> None:
    async def story() -> None:
        trader = Exec()
        async with market() as venue, running(venue, trader, endpoint=SHORT) as node:
            unresolved = exec_client(node).client.orders
            if how == "executed unheard":
                venue.faults.drop("order", count=50)
            if how == "not executed":
                venue.faults.http_status("order/create", 502)
            else:
                venue.faults.lose_answer("order/create")
            order = trader.limit(BUY, venue.book(BTC).bids[5][0])
            if how == "not executed":
                await until(lambda: unresolved.unresolved, "a doubt")
                assert order.status == OrderStatus.SUBMITTED
                assert trader.names(order) == ["OrderInitialized", "OrderSubmitted"]
                await until(lambda: not unresolved.unresolved, "proof")
                await until(lambda: order.is_closed, "told")
                assert trader.names(order)[2:] == ["OrderRejected"]
                assert not venue.account.open_orders
            else:
                await until(lambda: order.is_open, "told")
                assert trader.names(order)[2:] == ["OrderAccepted"]
                theirs, = venue.account.open_orders.values()
                assert str(theirs.id) == order.venue_order_id.value
            assert sum(each.path.endswith("order/create") for each in venue.requests) == 1

    run(story())


@needs_nautilus
@pytest.mark.parametrize("executed", [True, False])
@pytest.mark.parametrize("count", [1, 2])
@cases("TC-E75", "TC-E77")
def test_cancels_in_doubt(count: int, executed: bool) -> None:
    """One, or a batch that leaves in one request."""

    async def story() -> None:
        trader = Exec(cancel_orders_on_stop=False)
        async with market() as venue, running(venue, trader, endpoint=SHORT) as node:
            levels = venue.book(BTC).bids
            orders = [trader.limit(BUY, levels[5 + i][0]) for i in range(count)]
            await until(lambda: all(order.is_open for order in orders), "open")
            venue.faults.http_status("order/cancel", 502, after_execute=executed)
            trader.cancel_orders(orders)
            client = exec_client(node).client
            if executed:
                await until(lambda: all(order.is_closed for order in orders), "cancelled")
            else:
                await until(lambda: client.orders.unresolved, "a doubt")
                assert all(order.status == OrderStatus.PENDING_CANCEL for order in orders)
                await until(lambda: all(order.status == OrderStatus.ACCEPTED for order in orders),
                            "proven not to be executed")
                assert len(venue.account.open_orders) == count
            for order in orders:
                end = ["OrderCanceled"] if executed else ["OrderCancelRejected"]
                assert trader.names(order)[3:] == ["OrderPendingCancel", *end]

    run(story())


@needs_nautilus
@pytest.mark.parametrize("executed", [True, False])
@cases("TC-E76")
def test_a_change_in_doubt(executed: bool) -> None:
    async def story() -> None:
        trader = Exec()
        async with market() as venue, running(venue, trader, endpoint=SHORT) as node:
            levels = venue.book(BTC).bids
            order = trader.limit(BUY, levels[5][0])
            await until(lambda: order.is_open, "open")
            venue.faults.http_status("order/change_limit_order", 502, after_execute=executed)
            trader.modify_order(order, price=trader.instrument.make_price(levels[7][0]))
            await until(lambda: order.is_pending_update, "pending")
            await until(lambda: exec_client(node).client.orders.unresolved
                        or not order.is_pending_update, "a doubt")
            await until(lambda: order.status == OrderStatus.ACCEPTED, "proof")
            end = "OrderUpdated" if executed else "OrderModifyRejected"
            assert trader.names(order)[3:] == ["OrderPendingUpdate", end]
            theirs, = venue.account.open_orders.values()
            assert str(theirs.id) == order.venue_order_id.value
            assert theirs.price == order.price.as_decimal() == levels[7 if executed else 5][0]
            assert not exec_client(node).teller.amends and len(node.cache.orders()) == 1

    run(story())


@needs_nautilus
@cases("TC-E78")
def test_a_batch_of_cancels_of_which_some_are_refused() -> None:
    """Each by itself: a refusal with its reason; that an order has ended already is its end."""

    async def story() -> None:
        trader = Exec(cancel_orders_on_stop=False)
        async with market() as venue, running(venue, trader):
            levels = venue.book(BTC).bids
            orders = [trader.limit(BUY, levels[5 + i][0]) for i in range(3)]
            await until(lambda: all(order.is_open for order in orders), "open")
            gone = venue.account.open_orders[int(orders[1].venue_order_id.value)]
            venue.faults.drop("order")
            venue.venue.cancel(venue.account, gone)
            count = len(venue.requests)
            trader.cancel_orders(orders[:2])
            await until(lambda: all(order.is_closed for order in orders[:2]), "both ended")
            for order in orders[:2]:
                assert trader.names(order)[3:] == ["OrderPendingCancel", "OrderCanceled"]
            assert sum("order/cancel" in each.path for each in list(venue.requests)[count:]) == 1
            venue.faults.refuse("order/cancel", 701)
            trader.cancel_order(orders[2])
            await until(lambda: orders[2].status == OrderStatus.ACCEPTED
                        and "OrderCancelRejected" in trader.names(orders[2]), "refused")
            assert "701" in orders[2].events[-1].reason

    run(story())


@needs_nautilus
def test_an_order_the_engine_gave_up_comes_back_as_one_of_others(allowed: list[str]) -> None:
    """With the engine's own check on, an order may be closed there that lives: then it is said."""
    allowed += ["has closed O-"]

    async def story() -> None:
        trader = Exec(cancel_orders_on_stop=False, close_positions_on_stop=False)
        hasty = {"inflight_check_interval_ms": 50, "inflight_check_retries": 1,
                 "inflight_check_threshold_ms": 50}
        async with market() as venue, running(venue, trader, engine=hasty) as node:
            venue.faults.drop("order", count=1000)
            venue.faults.lose_answer("order/create")
            venue.faults.http_status("*", 503, count=100_000)       # nobody answers questions
            order = trader.limit(BUY, venue.book(BTC).bids[5][0])
            await until(lambda: order.is_closed, "the engine's guess")
            assert order.status == OrderStatus.REJECTED
            venue.faults.clear()
            again, = await until(lambda: node.cache.orders_open(instrument_id=IID), "the truth")
            assert again.strategy_id.value == "EXTERNAL"
            theirs, = venue.account.open_orders.values()
            assert again.venue_order_id.value == str(theirs.id)
            venue.venue.cancel(venue.account, theirs)
            await until(lambda: again.is_closed, "its end")

    run(story())


@needs_nautilus
def test_the_journal_carries_a_doubt_over_a_restart(tmp_path: Path) -> None:
    async def story() -> None:
        journal = str(tmp_path / "orders")
        async with market() as venue:
            first = Exec(cancel_orders_on_stop=False)
            async with running(venue, first, more={"journal": journal}) as node:
                venue.faults.drop("order", count=1000)
                venue.faults.lose_answer("order/create")
                venue.faults.http_status("*", 503, count=100_000)   # nobody answers questions
                order = first.limit(BUY, venue.book(BTC).bids[5][0])
                await until(lambda: exec_client(node).client.orders.unresolved, "a doubt")
                assert first.names(order) == ["OrderInitialized", "OrderSubmitted"]
            venue.faults.clear()
            second = Exec(external_order_claims=[IID])
            async with running(venue, second, number=2, more={"journal": journal}) as node:
                again, = node.cache.orders_open()
                assert again.client_order_id == order.client_order_id
                assert not exec_client(node).client.orders.unresolved

    run(story())

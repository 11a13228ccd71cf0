"""RiskLimits hold plan, TP/SL and trailing orders too: each refusal names limit and value, nothing
was sent, and the same placement passes once the limit is lifted.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import pytest

import mexcfast as mx
from mexcfast.sim import Exchange
from mexcfast.types import (
    Accepted,
    BackType,
    OrderType,
    PositionType,
    Rejected,
    Side,
    TriggerType,
    Unknown,
)

SYMBOL = "BTC_USDT"
D = Decimal


def play(story, *, stream=False, **settings):
    async def main():
        async with (asyncio.timeout(90),
                    Exchange(seed=3, updates_per_second=0, limits=False) as venue,
                    mx.Client(venue.rest_url, venue.access_key, venue.secret, **settings)
                    as client):
            await (client.start() if stream else client.orders.start())
            await story(venue, client)

    asyncio.run(main())


def price(venue, part):
    """A price on the tick, a part of the best bid."""
    best = D(str(venue.book(SYMBOL).bids[0][0]))
    return (best * D(part) // D("0.1")) * D("0.1")


def placements(venue):
    return sum(request.path.endswith(("planorder/place/v2", "stoporder/place", "trackorder/place"))
               for request in venue.requests)


async def plan(venue, client, part="0.9", *, side=Side.OPEN_LONG, quantity=5, trigger=None,
               type=OrderType.LIMIT, trigger_type=TriggerType.AT_OR_BELOW, **more):
    return await client.conditional.plan.place(
        SYMBOL, side, quantity, price(venue, trigger or part), trigger_type,
        None if type == OrderType.MARKET else price(venue, part), type=type,
        **{"leverage": 10, **more})


async def trailing(venue, client, *, side=Side.OPEN_LONG, quantity=5, **more):
    return await client.conditional.trailing.place(
        SYMBOL, side, quantity, BackType.PERCENTAGE, "0.05", **{"leverage": 10, **more})


async def reversing(venue, client, part="0.9", quantity=5):
    """A stop loss that turns the position around."""
    held, = [one for one in await client.positions.open() if one.type is PositionType.LONG]
    return await client.conditional.stop.place(
        held.position_id, quantity, symbol=SYMBOL, stop_loss_price=price(venue, part),
        stop_loss_reverse=True)


@dataclass
class Check:
    """limits: what refuses. The refusal: its field, value (None: any) and what it allows."""

    place: Any
    limits: dict[str, Any]
    field: str
    value: object
    allowed: str
    order: dict[str, Any] = field(default_factory=dict)
    book: bool = False
    holds: bool = False


CHECKS = {
    "plan, leverage": Check(plan, {"max_leverage": 9}, "leverage", 10, "at most 9 (max_leverage)"),
    "plan, position": Check(plan, {"max_position": 4}, "position", "5",
                            "at most 4 contracts (max_position)"),
    "plan, notional": Check(plan, {"max_notional": 1}, "notional", None, "(max_notional)"),
    # 5 contracts of 0.0001 BTC, at the price that triggers it
    "plan at market, notional": Check(
        plan, {"max_notional": 1}, "notional", None, "(max_notional)", {"type": OrderType.MARKET}),
    "plan, count": Check(plan, {"max_open_orders": 0}, "open_orders", 1,
                         "at most 0 (max_open_orders)"),
    "plan, band around its trigger": Check(
        plan, {"price_band": "0.01"}, "price", None, "(price_band)",
        {"part": "0.95", "trigger": "0.9"}, book=True),
    "plan, band around the mid when it triggers at once": Check(
        plan, {"price_band": "0.01"}, "price", None, "(price_band)",
        {"part": "1.1", "trigger": "1.1"}, book=True),
    "short plan, band": Check(
        plan, {"price_band": "0.01"}, "price", None, "at least",
        {"part": "1.02", "trigger": "1.05", "side": Side.OPEN_SHORT,
         "trigger_type": TriggerType.AT_OR_ABOVE}, book=True),
    "plan, band without a book": Check(plan, {"price_band": 1}, "book", None,
                                       "price_band needs one"),
    "plan, book": Check(plan, {"max_book_age_ms": 100}, "book", None, "a LIVE book of BTC_USDT"),
    "plan, clock": Check(plan, {"max_clock_error_ms": 0}, "clock_error_ms", None, "at most 0"),
    "closing plan, clock": Check(
        plan, {"max_clock_error_ms": 0}, "clock_error_ms", None, "at most 0",
        {"side": Side.CLOSE_LONG}, holds=True),
    "trailing, leverage": Check(trailing, {"max_leverage": {"BTC_USDT": 9}}, "leverage", 10,
                                "at most 9 (max_leverage)"),
    "trailing, position": Check(trailing, {"max_position": 4}, "position", "5", "(max_position)"),
    "trailing, notional needs a price": Check(
        trailing, {"max_notional": 1}, "price", None, "a price or a LIVE book"),
    "trailing, notional": Check(trailing, {"max_notional": 1}, "notional", None, "(max_notional)",
                                book=True),
    "trailing, clock": Check(trailing, {"max_clock_error_ms": 0}, "clock_error_ms", None,
                             "at most 0"),
    "reversing stop, position": Check(reversing, {"max_position": 4}, "position", "5",
                                      "(max_position)", holds=True),
    "reversing stop, notional": Check(reversing, {"max_notional": 1}, "notional", None,
                                      "(max_notional)", holds=True),
    "reversing stop, leverage": Check(reversing, {"max_leverage": 9}, "leverage", 10,
                                      "(max_leverage)", holds=True),
    "stop, clock": Check(reversing, {"max_clock_error_ms": 0}, "clock_error_ms", None, "at most 0",
                         holds=True),
}


@pytest.mark.parametrize("name", CHECKS)
def test_a_check(name):
    check = CHECKS[name]

    async def story(venue, client):
        if check.book:
            await client.book(SYMBOL)
        if check.holds:
            taken = await client.orders.submit(SYMBOL, Side.OPEN_LONG, 10, leverage=10,
                                               type=OrderType.MARKET)
            assert isinstance(taken, Accepted)
            await client.orders.refresh()
        client.orders.limits = mx.RiskLimits(**check.limits)
        with pytest.raises(mx.IntentError) as caught:
            await check.place(venue, client, **check.order)
        refusal = caught.value
        assert refusal.field == check.field and check.allowed in refusal.allowed
        assert check.value is None or refusal.value == check.value
        assert refusal.field in str(refusal) and refusal.allowed in str(refusal)
        assert placements(venue) == 0
        client.orders.limits = None
        assert isinstance(await check.place(venue, client, **check.order), Accepted)
        assert placements(venue) == 1

    play(story)


def test_the_edges_pass():
    async def story(venue, client):
        await client.book(SYMBOL)
        client.orders.limits = mx.RiskLimits(
            max_leverage=10, max_position=5, max_open_orders=1, price_band="0.01",
            max_clock_error_ms=5000,
            max_notional=price(venue, "0.9") * 5 * client.orders.contracts[SYMBOL].contract_size)
        assert isinstance(await plan(venue, client, trigger="0.895"), Accepted)

    play(story)


def test_an_exit_is_not_stopped():
    """Nothing but the clock stands between a strategy and its way out."""
    async def story(venue, client):
        await client.orders.submit(SYMBOL, Side.OPEN_LONG, 10, leverage=10, type=OrderType.MARKET)
        await client.orders.refresh()
        client.orders.limits = mx.RiskLimits(
            max_leverage=1, max_position=0, max_open_orders=0, max_notional=0, price_band=0,
            max_book_age_ms=0, max_clock_error_ms=5000)
        assert isinstance(await plan(venue, client, side=Side.CLOSE_LONG), Accepted)
        assert isinstance(await trailing(venue, client, side=Side.CLOSE_LONG), Accepted)
        held, = await client.positions.open()
        assert isinstance(await client.conditional.stop.place(
            held.position_id, 2, symbol=SYMBOL, stop_loss_price=price(venue, "0.9")), Accepted)

    play(story)


@pytest.mark.parametrize("stream", [True, False])
def test_what_waits_counts(stream):
    """Plans and trailing orders count for later ones and for ordinary orders until they go."""
    async def story(venue, client):
        orders = client.orders
        orders.limits = mx.RiskLimits(max_position=12)
        first = await plan(venue, client)
        assert isinstance(first, Accepted)
        second = await trailing(venue, client, active_price=price(venue, "0.5"))
        assert isinstance(second, Accepted)
        for place in (plan(venue, client, "0.8"), trailing(venue, client), orders.submit(
                SYMBOL, Side.OPEN_LONG, 3, price(venue, "0.9"), leverage=10)):
            with pytest.raises(mx.IntentError, match="max_position"):
                await place
        # the other side, and what still fits
        assert isinstance(await plan(venue, client, "1.2", side=Side.OPEN_SHORT, quantity=12,
                                     trigger_type=TriggerType.AT_OR_ABOVE), Accepted)
        assert isinstance(await plan(venue, client, "0.8", quantity=2), Accepted)
        assert isinstance(await client.conditional.plan.cancel([(SYMBOL, first.order_id)]),
                          Accepted)
        while stream and first.order_id in orders.mirror.plans:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        assert isinstance(await orders.submit(SYMBOL, Side.OPEN_LONG, 5, price(venue, "0.9"),
                                              leverage=10), Accepted)
        with pytest.raises(mx.IntentError) as caught:
            await plan(venue, client, "0.7", quantity=1)
        assert caught.value.value == "13"

    play(story, stream=stream)


def test_the_number_of_what_waits():
    async def story(venue, client):
        client.orders.limits = mx.RiskLimits(max_open_orders=3)
        assert isinstance(await client.orders.submit(
            SYMBOL, Side.OPEN_LONG, 1, price(venue, "0.9"), leverage=10), Accepted)
        assert isinstance(await plan(venue, client), Accepted)
        assert isinstance(await trailing(venue, client), Accepted)
        with pytest.raises(mx.IntentError) as caught:
            await plan(venue, client, "0.8")
        assert caught.value.field == "open_orders" and caught.value.value == 4

    play(story)


def test_two_at_the_same_time_do_not_both_pass():
    async def story(venue, client):
        client.orders.limits = mx.RiskLimits(max_position=9)
        outcomes = await asyncio.gather(plan(venue, client), plan(venue, client, "0.8"),
                                        return_exceptions=True)
        assert [type(one) for one in outcomes] == [Accepted, mx.IntentError]
        assert placements(venue) == 1

    play(story)


def test_a_placement_in_doubt_counts_until_it_is_settled():
    async def story(venue, client):
        client.orders.limits = mx.RiskLimits(max_position=9)
        venue.faults.http_status("planorder/place/v2", 502)
        unknown = await plan(venue, client)
        assert isinstance(unknown, Unknown)
        with pytest.raises(mx.IntentError, match="max_position"):
            await plan(venue, client, "0.8")
        fate = client.conditional.settle(unknown, None)
        assert isinstance(fate, Rejected)
        assert isinstance(await plan(venue, client, "0.8"), Accepted)
        with pytest.raises(mx.IntentError, match="max_position"):
            await plan(venue, client, "0.7")

    play(story)


def test_a_refused_placement_does_not_count():
    async def story(venue, client):
        client.orders.limits = mx.RiskLimits(max_position=9)
        venue.faults.refuse("planorder/place/v2", 5003)
        assert isinstance(await plan(venue, client), Rejected)
        assert isinstance(await plan(venue, client), Accepted)

    play(story)


def test_who_cancels_elsewhere_frees_it_at_the_next_look():
    async def story(venue, client):
        client.orders.limits = mx.RiskLimits(max_position=9)
        assert isinstance(await plan(venue, client), Accepted)
        with pytest.raises(mx.IntentError, match="max_position"):
            await plan(venue, client, "0.8")
        async with mx.Client(venue.rest_url, venue.access_key, venue.secret) as other:
            assert isinstance(await other.conditional.plan.cancel_all(), Accepted)
        while True:
            await client.orders.refresh()
            try:
                assert isinstance(await plan(venue, client, "0.8"), Accepted)
                break
            except mx.IntentError:
                await asyncio.sleep(0.01)       # accepted and read within the same millisecond

    play(story, account=mx.AccountSettings(margin_ms=0))


def test_without_positions_read_it_is_not_guessed():
    async def story():
        async with (asyncio.timeout(60), Exchange(seed=3, updates_per_second=0) as venue,
                    mx.Client(venue.rest_url, venue.access_key, venue.secret,
                              limits=mx.RiskLimits(max_position=9)) as client):
            await client.orders.load_contracts()
            with pytest.raises(mx.IntentError, match="a position that was read"):
                await plan(venue, client)
            with pytest.raises(mx.IntentError, match="a position that was read"):
                await client.conditional.stop.place(7, 2, stop_loss_price="70000",
                                                    stop_loss_reverse=True)
            assert placements(venue) == 0

    asyncio.run(story())

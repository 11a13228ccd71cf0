"""Every check before sending, on the embedded exchange: its refusal names limit and value, nothing
was sent, and the same order passes once the limit is lifted.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

import pytest

import mexcfast as mx
from mexcfast.sim import Exchange
from mexcfast.types import ContractState, MarginSupport, OpenType, OrderType, Side

SYMBOL = "BTC_USDT"
D = Decimal


def price(venue, side, level):
    return Decimal(str(getattr(venue.book(SYMBOL), side)[level][0]))


@dataclass
class Check:
    """One check: what makes it refuse, what the refusal names, what lifts it.

    contract: members of the contract instead of the venue's. limits: of RiskLimits. order: members
    of the order, or a function of the exchange. own: an own order that rests, on this side.
    """

    field: str
    value: object
    allowed: str
    contract: dict[str, Any] | None = None
    limits: dict[str, Any] | None = None
    order: dict[str, Any] | Callable[[Exchange], dict[str, Any]] | None = None
    own: str | None = None
    book: bool = False


ANY = object()
AT_ASK = {"price": lambda venue: price(venue, "asks", 3)}
CHECKS = {
    "tick": Check("price", ANY, "a multiple of the tick size 1000", {"tick_size": D(1000)}),
    "lot": Check("quantity", 5, "a multiple of the lot size 7", {"lot_size": D(7)}),
    "smallest": Check("quantity", 5, "6 to ", {"min_quantity": D(6)}),
    "largest": Check("quantity", 5, "1 to 4 contracts", {"max_limit_quantity": D(4)}),
    "largest market": Check("quantity", 5, "1 to 4 contracts", {"max_quantity": D(4)},
                            order={"type": OrderType.MARKET, "price": None}),
    "highest leverage": Check("leverage", 10, "integers from 1 to 9", {"max_leverage": 9}),
    "lowest leverage": Check("leverage", 10, "integers from 11 to ", {"min_leverage": 11}),
    "own leverage": Check("leverage", 10, "at most 9 (max_leverage)", None, {"max_leverage": 9}),
    "venue's band": Check("price", ANY, "at most ", {"bid_limit_rate": D("-0.5")},
                          order={"index_price": lambda venue: price(venue, "bids", 0)}),
    "venue's band, sell": Check(
        "price", ANY, "at least ", {"ask_limit_rate": D("-0.5")}, order={
            "side": Side.OPEN_SHORT, "price": lambda venue: price(venue, "asks", 5),
            "index_price": lambda venue: price(venue, "bids", 0)}),
    "own band": Check("price", ANY, "(price_band)", None, {"price_band": 0}, AT_ASK, book=True),
    "own band, sell": Check(
        "price", ANY, "(price_band)", None, {"price_band": 0}, {
            "side": Side.OPEN_SHORT, "price": lambda venue: price(venue, "bids", 3)}, book=True),
    "own band, no book": Check("book", None, "price_band needs one", None, {"price_band": "0.1"}),
    "notional": Check("notional", ANY, "at most 1 (max_notional)", None, {"max_notional": 1}),
    "position": Check("position", "5", "at most 4 contracts (max_position)", None,
                      {"max_position": 4}),
    "position with what is open": Check(
        "position", "8", "at most 7 contracts (max_position)", None, {"max_position": 7},
        own="bids"),
    "open orders": Check("open_orders", 2, "at most 1", None, {"max_open_orders": 1}, own="bids"),
    "the contract's open orders": Check("open_orders", 2, "at most 1", {"max_open_orders": (1, 1)},
                                        {}, own="bids"),
    "self-cross": Check("price", ANY, "prices that do not trade with the own order at ", None, {},
                        {"price": lambda venue: price(venue, "asks", 8)}, own="asks"),
    "clock": Check("clock_error_ms", ANY, "at most 0", None, {"max_clock_error_ms": 0}),
    "no book": Check("book", None, "a LIVE book of BTC_USDT", None, {"max_book_age_ms": 60_000}),
    "old book": Check("book", ANY, "at most 0 ms", None, {"max_book_age_ms": 0}, book=True),
    "closed to the API": Check("symbol", SYMBOL, "a contract open to API trading",
                               {"api_allowed": False}),
    "paused": Check("symbol", SYMBOL, "an enabled contract; its state is PAUSED",
                    {"state": ContractState.PAUSED}),
    "margin mode": Check("open_type", "CROSS", "ISOLATED_ONLY on BTC_USDT",
                         {"margin_support": MarginSupport.ISOLATED_ONLY},
                         order={"open_type": OpenType.CROSS}),
    "no contract": Check("symbol", "NO_SUCH", "a contract in Orders.contracts",
                         order={"symbol": "NO_SUCH"}),
}


def sent(venue):
    return sum(request.path.endswith("order/create") for request in venue.requests)


async def order(how, venue, client, members, **more):
    """Place by submit() or submit_nowait(); the outcome."""
    members = {"symbol": SYMBOL, "side": Side.OPEN_LONG, "quantity": 5, "leverage": 10,
               "price": price(venue, "bids", 5), **members, **more}
    members = {name: value(venue) if callable(value) and not isinstance(value, type) else value
               for name, value in members.items()}
    if how == "submit":
        return await client.orders.submit(**members)
    future = asyncio.get_running_loop().create_future()
    client.orders.submit_nowait(**members, callback=future.set_result)
    return await future


def play(story, **settings):
    async def main():
        async with (asyncio.timeout(60),
                    Exchange(seed=3, updates_per_second=0, limits=False) as venue,
                    mx.Client(venue.rest_url, venue.access_key, venue.secret, **settings)
                    as client):
            await client.orders.start()
            await story(venue, client)

    asyncio.run(main())


@pytest.mark.parametrize("how", ["submit", "submit_nowait"])
@pytest.mark.parametrize("name", CHECKS)
def test_a_check(name, how):
    check = CHECKS[name]

    async def story(venue, client):
        if check.book:
            await client.book(SYMBOL)
        if check.own is not None:
            own = Side.OPEN_LONG if check.own == "bids" else Side.OPEN_SHORT
            resting = await client.orders.submit(SYMBOL, own, 3, price(venue, check.own, 4),
                                                 leverage=10)
            assert isinstance(resting, mx.Accepted)
        orders = client.orders
        true = orders.contracts[SYMBOL]
        orders.contracts[SYMBOL] = replace(true, **check.contract or {})
        if check.limits is not None:
            orders.limits = mx.RiskLimits(**check.limits)
        before = sent(venue)
        with pytest.raises(mx.IntentError) as caught:
            await order(how, venue, client, check.order or {})
        refusal = caught.value
        assert refusal.field == check.field and check.allowed in refusal.allowed
        assert check.value is ANY or refusal.value == check.value
        assert refusal.field in str(refusal) and refusal.allowed in str(refusal)
        if check.value is ANY:
            assert refusal.value not in (None, "")
        assert sent(venue) == before and len(orders.open_orders()) == (check.own is not None)

        orders.contracts[SYMBOL], orders.limits = true, None
        more = {"symbol": SYMBOL} if name == "no contract" else {}
        outcome = await order(how, venue, client, check.order or {}, **more)
        assert isinstance(outcome, mx.Accepted), outcome
        assert sent(venue) == before + 1

    play(story)


@pytest.mark.parametrize("how", ["submit", "submit_nowait"])
def test_the_account_must_be_ready(how):
    async def story(venue, client):
        assert not client.orders.is_current         # no stream: nobody keeps it true
        with pytest.raises(mx.NotReady, match="mirror is"):
            await order(how, venue, client, {})
        assert sent(venue) == 0
        await client.start()
        assert isinstance(await order(how, venue, client, {}), mx.Accepted) and sent(venue) == 1

    play(story, account=mx.AccountSettings(only_when_ready=True))


@pytest.mark.parametrize("how", ["submit", "submit_nowait"])
def test_a_journal_must_be_settled_first(how, tmp_path):
    async def story(venue, client):
        async with mx.Client(venue.rest_url, venue.access_key, venue.secret,
                             journal=tmp_path / "j") as second:
            await second.orders.load_contracts()
            with pytest.raises(mx.NotReady, match="journal"):
                await order(how, venue, second, {})
            assert sent(venue) == 0
            await second.orders.start()
            assert isinstance(await order(how, venue, second, {}), mx.Accepted)
            assert sent(venue) == 1

    play(story)


@pytest.mark.parametrize("how", ["submit", "submit_nowait"])
def test_the_kill_switch(how):
    async def story(venue, client):
        await client.kill_switch.start()
        client.kill_switch.trip("a drill")
        outcome = await order(how, venue, client, {})
        assert isinstance(outcome, mx.Rejected) and outcome.reason == "KillSwitchTripped"
        assert outcome.error.text == "a drill" and sent(venue) == 0
        while client.kill_switch.state is not mx.SwitchState.SAFE:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        client.kill_switch.reset("the drill is over")
        assert isinstance(await order(how, venue, client, {}), mx.Accepted) and sent(venue) == 1

    play(story)


@pytest.mark.parametrize("how", ["submit", "submit_nowait"])
def test_a_price_is_taken_only_if_it_stands_on_the_tick(how):
    async def story(venue, client):
        best = price(venue, "bids", 5)
        exact = best.to_integral_value() - 10 + D("0.1")
        for given in (exact, str(exact), float(exact), int(exact), f"{exact}0", D(f"{exact}000")):
            outcome = await order(how, venue, client, {"price": given, "wait": True})
            assert isinstance(outcome, mx.Accepted), given
            there = venue.account.orders[outcome.order_id]
            assert there.price == (int(exact) if isinstance(given, int) else exact)
        before = sent(venue)
        for given in (0.1 + 0.2, float(exact) + 1e-9, str(exact) + "1", exact + D("0.05"),
                      exact + D("1e-20"), float("nan"), float("inf"), f"{exact}e0", "1_000", True,
                      0, -1, "", b"1", 1j):
            with pytest.raises(mx.IntentError, match="price is") as caught:
                await order(how, venue, client, {"price": given})
            assert caught.value.field == "price" and caught.value.value is given
        assert sent(venue) == before

    play(story)

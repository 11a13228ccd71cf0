"""Time and signature on both ways of order entry, and what 513 leads to."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
from collections import Counter

import pytest

import mexcfast as mx
from mexcfast.core.rest import Endpoint
from mexcfast.errors import ClockError
from mexcfast.sim import Exchange
from mexcfast.sim import server as exchange

pytestmark = pytest.mark.usefixtures("path")      # both ways of order entry

SYMBOL = "BTC_USDT"


def play(story, **settings):
    async def main():
        async with (asyncio.timeout(60),
                    Exchange(seed=3, updates_per_second=0, limits=False) as venue,
                    mx.Client(Endpoint.at(venue.rest_url, limits={"order_place": (100, 2000)}),
                              venue.access_key, venue.secret, **settings) as client):
            await client.orders.load_contracts()
            await client._executor.sync_clock(3)
            await story(venue, client)

    asyncio.run(main())


def place(venue, client, **more):
    return client.orders.submit(SYMBOL, mx.Side.OPEN_LONG, 1, venue.book(SYMBOL).bids[5][0],
                                leverage=10, **more)


def sent(venue):
    """How often each path was asked for."""
    return Counter(request.path.removeprefix("/api/v1/") for request in venue.requests)


def test_time_and_signature_agree(monkeypatch):
    monkeypatch.setattr(exchange, "SECRET_HEADERS", frozenset())    # the log shows everything

    async def story(venue, client):
        placed = await place(venue, client)
        amended = await client.orders.amend(SYMBOL, placed.order_id,
                                            venue.book(SYMBOL).bids[6][0], 2)
        await client.orders.cancel([amended.order_id])
        await client.orders.cancel_all(SYMBOL)
        await client.conditional.plan.cancel_all()
        await client.positions.open()
        await client.orders.history(SYMBOL)
        signed = [request for request in venue.requests if "/private/" in request.path]
        assert {request.method for request in signed} == {"GET", "POST"}
        assert any(request.query for request in signed)
        assert len(signed) == 7 and all('"code":0' in request.reply for request in signed)
        for request in signed:
            headers = {name.lower(): value for name, value in request.headers.items()}
            payload = request.body if request.method == "POST" else request.query
            text = f"{venue.access_key}{headers['request-time']}{payload}"
            assert headers["apikey"] == venue.access_key
            assert headers["signature"] == hmac.new(
                venue.secret.encode(), text.encode(), hashlib.sha256).hexdigest()
            assert 0 <= request.time_ms - int(headers["request-time"]) < 10_000

    play(story)


def test_twenty_reads_at_once_lead_to_one_ping():
    async def story(venue, client):
        pings = sent(venue)["contract/ping"]
        venue.faults.clock_jump(60_000)
        reads = (client.positions.open, client.account.balances, client.orders.balances,
                 client.conditional.stop.open)
        for answer in await asyncio.gather(*(read() for read in reads for _ in range(5))):
            assert isinstance(answer, tuple)
        asked = sent(venue)
        assert asked["contract/ping"] == pings + 1
        late = [request for request in venue.requests if '"code":513' in request.reply]
        assert 4 <= len(late) <= 20, "each read is repeated once at most"

    play(story)


def test_twenty_orders_at_once_are_not_executed_and_lead_to_one_ping():
    async def story(venue, client):
        pings = sent(venue)["contract/ping"]
        venue.faults.clock_jump(60_000)
        outcomes = await asyncio.gather(*(place(venue, client) for _ in range(20)))
        assert all(isinstance(outcome, mx.Rejected) and isinstance(outcome.error, ClockError)
                   for outcome in outcomes)
        assert not venue.account.orders and not client.orders.unresolved
        assert sent(venue)["contract/ping"] == pings
        outcomes = await asyncio.gather(*(place(venue, client) for _ in range(20)))
        assert all(isinstance(outcome, mx.Accepted) for outcome in outcomes)
        asked = sent(venue)
        assert asked["contract/ping"] == pings + 1 and asked["private/order/create"] == 40
        assert len(venue.account.orders) == 20

    play(story)


def test_an_order_is_repeated_once_when_it_is_told_to():
    async def story(venue, client):
        venue.faults.clock_jump(60_000)
        outcome = await place(venue, client)
        assert isinstance(outcome, mx.Accepted)
        first, second = [request for request in venue.requests
                         if request.path.endswith("order/create")]
        assert '"code":513' in first.reply and first.body == second.body
        there, = venue.account.orders.values()
        assert there.external_oid == outcome.client_order_id and there.id == outcome.order_id

    play(story, repeat_mistimed=True)


def test_an_order_is_repeated_only_once():
    async def story(venue, client):
        venue.faults.refuse("order/create", 513, count=10)
        outcome = await place(venue, client)
        assert isinstance(outcome, mx.Rejected) and isinstance(outcome.error, ClockError)
        assert sent(venue)["private/order/create"] == 2 and not venue.account.orders
        assert not client.orders.unresolved and not client.orders.open_orders()

    play(story, repeat_mistimed=True)


def test_an_order_that_is_too_old_is_not_repeated():
    async def story(venue, client):
        venue.faults.refuse("order/create", 513)
        outcome = await place(venue, client, max_age_ms=0)
        assert isinstance(outcome, mx.Rejected) and isinstance(outcome.error, ClockError)
        assert sent(venue)["private/order/create"] == 1

    play(story, repeat_mistimed=True)


def test_a_513_that_was_no_proof_doubles_nothing():
    async def story(venue, client):
        client.orders.resolver.start()
        venue.faults.refuse("order/create", 513, after_execute=True)
        outcome = await place(venue, client)
        assert isinstance(outcome, mx.Unknown) and outcome.code == 2042
        await client.orders.resolver.until_empty()
        order = client.orders.find(outcome.client_order_id)
        there, = venue.account.orders.values()
        assert order.order_id == there.id and sent(venue)["private/order/create"] == 2

    play(story, repeat_mistimed=True)

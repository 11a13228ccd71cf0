"""The mirror against the embedded exchange: told exactly what happened, and equal in the end."""

from __future__ import annotations

import asyncio
import random
from contextlib import asynccontextmanager
from decimal import Decimal

import pytest

import mexcfast as mx
from mexcfast.core.account import AccountState, Kind
from mexcfast.core.client_ids import ClientOrderIds
from mexcfast.core.rest import Endpoint
from mexcfast.errors import NotReady, VenueFault
from mexcfast.net.reconcile import AccountSettings
from mexcfast.sim import Exchange, Variations
from mexcfast.types import BackType, OpenType, OrderState, PositionType, TriggerType

SYMBOL = "BTC_USDT"
FAST = {f"{name}": (10_000, 1) for name in (
    "order_place", "amend", "cancel", "plan_place", "stop_place", "track_place")}


async def until(holds):
    while not holds():  # noqa: ASYNC110 - what is waited for has no event
        await asyncio.sleep(0.005)


@asynccontextmanager
async def trading(account=None, variations=None, streams=None, **settings):
    """A quiet exchange, a started client, and another one with the same keys."""
    account = AccountSettings(**{"margin_ms": 0, "push_deadline": 30, "audit_every": 600,
                                 **(account or {})})
    settings = {"updates_per_second": 0, "limits": False, "levels": 60, **settings}
    async with asyncio.timeout(60), Exchange(
            seed=3, variations=variations, **settings) as venue:
        endpoint = Endpoint.at(venue.rest_url, limits=FAST, margin_ms=0)
        async with (mx.Client(endpoint, venue.access_key, venue.secret, account=account,
                              streams=streams) as client,
                    mx.Client(endpoint, venue.access_key, venue.secret) as other):
            await other.orders.load_contracts()
            other.orders.ids = ClientOrderIds("other", 1)       # another program's
            await client.start()
            client.told = []
            client.trader.reconciler.on_difference.append(client.told.append)
            yield venue, client, other


def play(story, **settings):
    async def main():
        async with trading(**settings) as (venue, client, other):
            await story(venue, client, other)

    asyncio.run(main())


def faults_of(venue, mirror):
    """Where the mirror is not the exchange's truth."""
    account = venue.account
    state = venue.venue.account_state(account)
    truth = {
        "orders": {one.id: (one.price, one.vol, one.deal_vol, one.side, one.state)
                   for one in state.open_orders},
        "positions": {one.id: (one.hold_vol, one.close_vol, one.type, one.margin, one.leverage,
                               one.close_profit - one.fee + one.hold_fee)
                      for one in state.positions},
        "balances": {name: (max(Decimal(0), account.available(name)), state.frozen[name],
                            state.margin[name]) for name in state.cash},
        "waiting": {one.id for one in state.waiting}}
    seen = {
        "orders": {key: (one.price, one.quantity, one.filled_quantity, one.side, one.state)
                   for key, one in mirror.orders.items()},
        "positions": {key: (one.quantity, one.closed_quantity, one.type, one.initial_margin,
                            one.leverage, one.realised)
                      for key, one in mirror.positions.items()},
        "balances": {key: (one.available, one.frozen, one.position_margin)
                     for key, one in mirror.balances.items()},
        "waiting": {*mirror.plans, *mirror.stops, *mirror.trailing}}
    return {name: (truth[name], seen[name]) for name in truth if truth[name] != seen[name]}


async def equal(venue, client):
    """Wait until the mirror equals the exchange."""
    try:
        async with asyncio.timeout(15):
            await until(lambda: not faults_of(venue, client.trader.mirror))
    except TimeoutError:
        raise AssertionError(faults_of(venue, client.trader.mirror)) from None


async def later(venue, client, ms=20):
    """The venue's clock has moved on, as the client sees it: nothing is under way any more."""
    now = venue.clock_ms()
    await until(lambda: client._clock.venue_ms() > now + ms)


async def resting(venue, client, level=5, quantity=5, symbol=SYMBOL):
    placed = await client.orders.submit(symbol, mx.Side.OPEN_LONG, quantity,
                                        venue.book(symbol).bids[level][0], leverage=20)
    assert isinstance(placed, mx.Accepted), placed
    return placed.order_id


async def bought(venue, client, quantity=50):
    placed = await client.orders.submit(SYMBOL, mx.Side.OPEN_LONG, quantity, type=5, leverage=20,
                                        price=venue.book(SYMBOL).asks[0][0])
    assert isinstance(placed, mx.Accepted), placed


def test_foreign_orders_and_positions_are_mirrored():
    async def story(venue, client, other):
        assert client.trader.state is AccountState.READY and client.trader.ready.is_set()
        own, foreign = await resting(venue, client), await resting(venue, other, 7)
        await bought(venue, other)
        await equal(venue, client)
        mirror = client.trader.mirror
        assert set(mirror.orders) == {own, foreign}
        assert [order.order_id for order in client.orders.open_orders()] == [own], "the tracker's"
        assert mirror.position(SYMBOL, PositionType.LONG).quantity == 50
        await other.orders.cancel([foreign])
        position, = mirror.positions.values()
        await other.positions.change_margin(position.position_id, 10)
        await other.positions.change_leverage(15, position_id=position.position_id)
        await other.orders.submit(SYMBOL, mx.Side.CLOSE_LONG, 20, type=5,
                                  price=venue.book(SYMBOL).bids[0][0])
        await until(lambda: mirror.find(Kind.ORDER, foreign).is_final)
        await equal(venue, client)
        assert not await client.orders.refresh() and not client.told

    play(story)


def test_waiting_orders_are_mirrored():
    async def story(venue, client, other):
        await bought(venue, other)
        await equal(venue, client)
        mirror, price = client.trader.mirror, venue.book(SYMBOL).bids[0][0]
        position, = mirror.positions.values()
        plan = await other.conditional.plan.place(
            SYMBOL, mx.Side.OPEN_LONG, 5, price * 2, TriggerType.AT_OR_ABOVE,
            venue.book(SYMBOL).bids[3][0], leverage=20)
        stop = await other.conditional.stop.place(position.position_id, 50,
                                                  stop_loss_price=int(price / 2))
        trail = await other.conditional.trailing.place(
            SYMBOL, mx.Side.CLOSE_LONG, 5, BackType.PERCENTAGE, "0.05", leverage=20)
        for placed in (plan, stop, trail):
            assert isinstance(placed, mx.Accepted), placed
        await equal(venue, client)
        assert (len(mirror.plans), len(mirror.stops), len(mirror.trailing)) == (1, 1, 1)
        await later(venue, client)
        assert not await client.orders.refresh()
        venue.faults.drop("plan.order")
        venue.faults.drop("track.order")
        await other.conditional.plan.cancel([(SYMBOL, plan.order_id)])
        await other.conditional.trailing.cancel(SYMBOL)
        await later(venue, client)
        found = await client.orders.refresh()
        assert {(each.kind, each.what) for each in found} == {
            (Kind.PLAN, "extra"), (Kind.TRAILING, "extra")}
        await equal(venue, client)

    play(story)


def test_a_disconnect_in_the_middle_of_fills_is_reported_exactly():
    async def story(venue, client, other):
        await bought(venue, client, 10)
        filling, gone, kept = [await resting(venue, client, level) for level in (0, 5, 9)]
        await equal(venue, client)
        await later(venue, client)
        states = []
        client.trader.reconciler.on_state.append(lambda old, new, why: states.append(new))
        venue.faults.ban(0.3, "403")                # cut, and nobody gets in for a while
        await until(lambda: client.trader.state is AccountState.OFFLINE)
        assert not client.trader.ready.is_set()
        account = venue.account
        level = sum(row[1] for row in venue.book(SYMBOL).bids[:1])
        venue.trade(SYMBOL, "sell", level - 2)      # through the queue, all but 2 of ours
        venue.venue.cancel(account, account.orders[gone])
        async with asyncio.timeout(20):
            await client.trader.ready.wait()
        assert states == [AccountState.OFFLINE, AccountState.COMPARING, AccountState.READY]
        await equal(venue, client)
        told = {(each.kind, each.key): each for each in client.told[0]}
        left = account.orders[filling].vol - account.orders[filling].deal_vol
        assert told[Kind.ORDER, gone].what == "extra"
        assert told[Kind.ORDER, gone].venue.state is OrderState.CANCELLED
        assert told[Kind.ORDER, filling].what == ("different" if left else "extra")
        assert (Kind.ORDER, kept) not in told
        assert told[Kind.BALANCE, "USDT"].fields
        assert told[Kind.POSITION, next(iter(client.trader.mirror.positions))].what == "different"
        assert len(told) == 4 and len(client.told) == 1

    play(story)


def test_lost_pushes_are_found_by_the_audit():
    async def story(venue, client, other):
        held = await resting(venue, client)
        await equal(venue, client)
        venue.faults.drop("order")
        venue.faults.drop("asset")
        lost = await resting(venue, other, 8)
        async with asyncio.timeout(20):
            await until(lambda: client.told)
        assert {(each.kind, each.key, each.what) for found in client.told for each in found} == {
            (Kind.ORDER, lost, "missing"), (Kind.BALANCE, "USDT", "different")}
        await equal(venue, client)
        assert set(client.trader.mirror.orders) == {held, lost}

    play(story, account={"audit_every": 0.1})


def test_an_own_order_without_its_push_is_doubt_and_then_compared():
    async def story(venue, client, other):
        states = []
        client.trader.reconciler.on_state.append(lambda old, new, why: states.append((new, why)))
        venue.faults.drop("order")
        placed = await resting(venue, client)
        async with asyncio.timeout(20):
            await until(lambda: len(states) == 2)
        assert [state for state, _ in states] == [AccountState.DEGRADED, AccountState.READY]
        assert "no push of" in states[0][1]
        assert client.told[0].items[0].key == placed
        venue.faults.drop("order")
        await client.orders.cancel([placed])
        async with asyncio.timeout(20):
            await until(lambda: len(states) == 4)
        assert client.orders.find(placed).phase is mx.Phase.CANCELLED
        await equal(venue, client)

    play(story, account={"push_deadline": 0.2})


def test_a_socket_that_only_pongs_is_opened_anew():
    async def story(venue, client, other):
        stream = client.trader.stream
        for channel in ("order", "asset"):
            venue.faults.drop(channel, count=50)
        placed = await resting(venue, client)
        async with asyncio.timeout(20):
            await until(lambda: stream.logins == 2)
            venue.faults.clear()
            await client.trader.ready.wait()
        await equal(venue, client)
        assert set(client.trader.mirror.orders) == {placed}

    play(story, account={"push_deadline": 0.2})


def test_a_push_that_cannot_be_read_is_not_lost():
    async def story(venue, client, other):
        for spoil in (venue.faults.garble, venue.faults.truncate):
            spoil("order")
            await resting(venue, other, 6)
            await equal(venue, client)
        assert client.trader.reconciler.comparisons >= 2

    play(story)


def test_readiness_waits_for_rest_and_orders_can_wait_for_readiness():
    async def story(venue, client, other):
        await bought(venue, client, 5)
        venue.faults.http_status("position/open_positions", 503, count=6)
        venue.faults.cut()
        await until(lambda: client.trader.state is AccountState.DEGRADED)
        for call in (resting(venue, client), bought(venue, client)):
            with pytest.raises(NotReady, match="mirror is"):
                await call
        closed = await client.orders.submit(SYMBOL, mx.Side.CLOSE_LONG, 5, type=5,
                                            price=venue.book(SYMBOL).bids[0][0])
        assert isinstance(closed, mx.Accepted), "what reduces risk may go"
        async with asyncio.timeout(30):
            await client.trader.ready.wait()
        await resting(venue, client)
        await equal(venue, client)

    play(story, account={"only_when_ready": True})


def test_what_the_key_may_not_read_is_not_mirrored():
    async def main():
        async with asyncio.timeout(30), Exchange(seed=3, limits=False) as venue:
            venue.change_key(venue.access_key, permissions="OT")
            async with mx.Client(venue.rest_url, venue.access_key, venue.secret) as client:
                await client.start()
                assert client.trader.state is AccountState.READY
                assert set(client.trader.reconciler.unreadable) == {Kind.BALANCE}
                assert not client.trader.mirror.knows(Kind.BALANCE)

    asyncio.run(main())


def test_a_kind_that_fails_for_a_while_is_not_given_up():
    async def story(venue, client, other):
        reconciler, path = client.trader.reconciler, "planorder/list/orders"
        venue.faults.http_status(path, 500, count=client._executor.read_tries)
        with pytest.raises(VenueFault):
            await client.orders.refresh()       # says nothing of plan orders: ask again
        assert not reconciler.unreadable
        for code in (11444, 2011):
            venue.faults.refuse(path, code)
            await client.orders.refresh()
            assert set(reconciler.unreadable) == {Kind.PLAN}
            await client.orders.refresh()
            assert not reconciler.unreadable
        venue.faults.refuse(path, 404)
        await client.orders.refresh()
        await client.orders.refresh()
        assert set(reconciler.unreadable) == {Kind.PLAN}, "gone is gone"

    play(story)


def test_a_liquidation_reaches_the_mirror():
    async def story(venue, client, other):
        placed = await other.orders.submit(SYMBOL, mx.Side.OPEN_LONG, 50, type=5, leverage=100,
                                           price=venue.book(SYMBOL).asks[0][0],
                                           open_type=OpenType.ISOLATED)
        assert isinstance(placed, mx.Accepted), placed
        await equal(venue, client)
        position, = client.trader.mirror.positions.values()
        venue.venue.move_prices(SYMBOL, fair=position.liquidation_price * Decimal("0.99"))
        await until(lambda: not client.trader.mirror.positions)
        await equal(venue, client)
        await later(venue, client)
        assert not await client.orders.refresh(), "every push of it was understood"
        ended = client.trader.mirror.find(Kind.POSITION, position.position_id)
        assert ended.quantity == 0 and ended.version > position.version

    play(story)


@pytest.mark.parametrize("seed", range(4))
def test_random_trading_with_lost_and_late_pushes_ends_equal(seed):
    async def story(venue, client, other):
        dice = random.Random(seed)
        channels = ("order", "order.deal", "position", "asset")
        for _ in range(60):
            what = dice.random()
            if what < 0.45:
                who = dice.choice([client, other])
                side = dice.choice(list(mx.Side))
                book = venue.book(SYMBOL)
                level = dice.choice(book.bids[:4] if side.is_buy else book.asks[:4])
                await who.orders.submit(SYMBOL, side, dice.randint(1, 30), level[0], leverage=20)
            elif what < 0.6:
                venue.trade(SYMBOL, dice.choice(["buy", "sell"]), dice.randint(1, 400))
            elif what < 0.75 and venue.account.open_orders:
                number = dice.choice(list(venue.account.open_orders))
                await dice.choice([client, other]).orders.cancel([number])
            elif what < 0.95:
                spoil = dice.choice([venue.faults.drop, venue.faults.duplicate,
                                     venue.faults.reorder, venue.faults.delay,
                                     venue.faults.garble])
                spoil(dice.choice(channels), count=dice.randint(1, 3))
            elif what < 0.98:
                venue.faults.cut()
            else:
                await asyncio.sleep(0.05)
        venue.faults.clear()
        async with asyncio.timeout(20):
            await client.trader.ready.wait()
        await later(venue, client, 500)         # delayed pushes are through
        await client.orders.refresh()
        await equal(venue, client)
        await later(venue, client)
        assert not await client.orders.refresh()

    play(story, account={"push_deadline": 0.5, "margin_ms": 100},
         variations=Variations(private_delay_seconds=0.02 * (seed % 2)))


class Everything(mx.Listener):
    def __init__(self):
        self.fills, self.updates, self.lost = [], [], 0

    def on_event(self, event):
        if isinstance(event, mx.events.FillUpdate):
            self.fills.append(event.fill_id)
        elif isinstance(event, mx.events.OrderUpdate):
            self.updates.append((event.order_id, event.version))

    def on_disconnected(self, connection, why):
        self.lost += 1


def test_rotations_under_trading_lose_and_double_nothing():
    async def story(venue, client, other):
        told, listener = [], Everything()
        stream = client.trader.stream
        stream.notices.watch(lambda event: told.append(type(event).__name__))
        await client.trader.listen(listener, ["order", "order.deal"])
        before = {order.id: order.version for order in venue.account.orders.values()}
        count, first = 0, stream.rotations
        while stream.rotations < first + 6:
            count += 1
            await resting(venue, client, 0, 3)
            await resting(venue, other, count % 9, 2)
            venue.trade(SYMBOL, "sell", 40)
            if count % 5 == 0:
                await other.orders.cancel_all(SYMBOL)
        await other.orders.cancel_all(SYMBOL)
        truth = {deal.id for deal in venue.account.deals}
        async with asyncio.timeout(15):
            await until(lambda: len(listener.fills) >= len(truth))
        await equal(venue, client)
        assert sorted(listener.fills) == sorted(truth)
        versions = [(order.id, version.version) for order in venue.account.orders.values()
                    for version in order.history if version.version > before.get(order.id, 0)]
        assert sorted(listener.updates) == sorted(versions)
        assert listener.lost == 0 and "Disconnected" not in told and told.count("Rotated") >= 5
        assert not client.told, "the comparison after each rotation found nothing"

    play(story, account={"margin_ms": 300}, streams=mx.StreamSettings(
        rotate_after=0.4, rotate_spread=0.1, rotation_overlap=0.05, rotation_timeout=10))


@pytest.mark.parametrize("wrong", [
    {"push_deadline": 0}, {"audit_every": "5"}, {"audit_every": True}, {"kinds": (Kind.ORDER,)}])
def test_settings_are_checked(wrong):
    with pytest.raises(ValueError):
        AccountSettings(**wrong)

"""gateway/publisher and gateway/consumer over a real nats-server."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from contextlib import asynccontextmanager

import pytest

from gateway.gateway_process import endpoint_at
from gateway.nats_server import NatsServer, needs_nats
from gateway.stage import (
    QUICK,
    GatewayProcess,
    exchange,
    is_current,
    is_true,
    play,
    until,
)
from mexcfast.client import Client
from mexcfast.core import topics as T
from mexcfast.core.depth import State
from mexcfast.core.listener import Listener
from mexcfast.errors import ConfigError, ConnectFailed, GatewayError
from mexcfast.gateway import (
    Consumer,
    Gateway,
    GatewayDown,
    GatewaySettings,
    MessagesLost,
    SourceChanged,
    wire,
)

pytestmark = needs_nats

BTC, ETH = "BTC_USDT", "ETH_USDT"


def gateway(nats, venue, **more):
    """One in this process."""
    settings = GatewaySettings(**{**QUICK, **more.pop("settings", {})})
    return Gateway(nats.url, endpoint=endpoint_at(venue.rest_url), settings=settings,
                   **{"symbols": list(venue.venue.markets), "channels": ["depth"], **more})


def with_all(test, **more):
    """Play test(nats, venue, gateway, consumer) with one of each."""
    async def scene():
        async with (NatsServer() as nats, exchange(**more) as venue,
                    gateway(nats, venue) as source, Consumer(nats.url) as consumer):
            await test(nats, venue, source, consumer)

    play(scene)


async def current(venue, consumer, *symbols):
    """The consumer's books once they are the venue's."""
    found = [await consumer.book(symbol) for symbol in symbols]
    await until(lambda: all(is_current(venue, book) for book in found))
    assert all(is_true(venue, book) for book in found)
    return found


def test_late_joiners_ask_the_gateway_and_not_the_venue():
    async def test(nats, venue, source, consumer):
        await until(lambda: source.live == 3)
        for _ in range(5):
            venue.step()
        asked = len(venue.requests)
        (book,) = await current(venue, consumer, BTC)
        assert consumer.counts["questions"] == 1
        async with Consumer(nats.url) as late:
            venue.step()
            (other,) = await current(venue, late, BTC)
            assert other.exact() == book.exact()
        assert len(venue.requests) == asked, "nothing was asked of the venue"
        assert other.state is State.STOPPED and other.best_bid is not None
        with pytest.raises(ConnectFailed, match="closed"):
            await late.book(BTC)

    with_all(test)


def test_typed_events_are_those_of_a_client():
    class Ear(Listener):
        def __init__(self):
            self.events = {}

        def on_event(self, event):
            self.events[event.deals[0].trade_id] = event

    async def scene():
        async with (NatsServer() as nats, exchange(updates_per_second=100) as venue,
                    gateway(nats, venue, channels=["deal", "tickers"]),
                    Consumer(nats.url) as consumer, Client(venue.rest_url) as client):
            direct, far = Ear(), Ear()
            client.subscribe(direct, T.deals(BTC))
            consumer.subscribe(far, T.deals(BTC))
            await until(lambda: len(direct.events.keys() & far.events.keys()) >= 5)
            for number in direct.events.keys() & far.events.keys():
                one, other = direct.events[number], far.events[number]
                assert type(one) is type(other) and one.to_dict() == other.to_dict()
                assert other.ts_recv_ns > 0
            tickers = await consumer.tickers()
            assert {each.symbol for each in tickers.tickers} >= {BTC, ETH}
            async for event in consumer.events(T.deals(ETH)):
                assert event.symbol == ETH
                break
            with pytest.raises(GatewayError, match="no gateway brings ticker BTC_USDT; allowed"):
                await consumer.ticker(BTC)
            with pytest.raises(ConfigError, match="public data only"):
                _ = consumer.orders

    play(scene)


@pytest.mark.parametrize("followers", [3, 0])
def test_a_message_lost_on_the_bus(followers):
    async def test(nats, venue, source, consumer):
        news = []
        (book,) = await current(venue, consumer, BTC)
        consumer.watch(news.append)
        asked = consumer.counts["questions"]
        put, lost = source.outbox.put, []

        def lossy(subject, data):
            if not lost and subject == wire.subject_of("depth", BTC):
                lost.append(data)
            else:
                put(subject, data)

        for relay in source.relays[BTC]:
            relay._put = lossy
        venue.step(1, BTC)
        await until(lambda: lost)
        for _ in range(followers):
            venue.step(1, BTC)
        await until(lambda: consumer.counts["lost"] == 1 and is_current(venue, book))
        assert is_true(venue, book)
        assert [each.count for each in news if isinstance(each, MessagesLost)] == [1]
        assert consumer.counts["questions"] > asked

    with_all(test)


def test_a_frozen_gateway_is_flagged_and_trusted_again_without_a_question():
    async def scene():
        async with (NatsServer() as nats, exchange() as venue,
                    GatewayProcess(nats=nats.url, rest_url=venue.rest_url, symbols=[BTC],
                                   channels=["depth"]) as source,
                    Consumer(nats.url, silent_after=1.0) as consumer):
            news = []
            consumer.watch(news.append)
            (book,) = await current(venue, consumer, BTC)
            asked = consumer.counts["questions"]
            source.process.send_signal(signal.SIGSTOP)
            await until(lambda: not book.is_live)
            assert "last heard" in book.doubt and "last heard" in consumer.why(T.depth(BTC))
            assert book.state is State.LIVE and book.best_ask is not None
            source.process.send_signal(signal.SIGCONT)
            await until(lambda: book.is_live)
            venue.step(1, BTC)
            await current(venue, consumer, BTC)
            assert consumer.counts["questions"] == asked
            assert any(isinstance(each, GatewayDown) for each in news)

    play(scene)


def test_nats_is_started_again():
    async def test(nats, venue, source, consumer):
        (book,) = await current(venue, consumer, BTC)
        life = []

        class Ear(Listener):
            def on_disconnected(self, connection, why):
                life.append(("lost", connection))

            def on_reconnected(self, connection, down_ns):
                life.append(("back", connection))

        consumer.subscribe(Ear(), T.depth(BTC))
        await nats.stop()
        await until(lambda: not book.is_live)
        for _ in range(3):
            venue.step()
        assert source.live == 3, "the gateway's own books go on"
        await nats.start()
        await until(lambda: is_current(venue, book))
        assert is_true(venue, book)
        venue.step()
        await current(venue, consumer, BTC)
        assert life == [("lost", "nats"), ("back", "nats")]

    with_all(test)


def test_two_gateways_with_one_contract_do_not_mix():
    async def scene():
        async with (NatsServer() as nats, exchange() as venue,
                    gateway(nats, venue, name="a") as first,
                    Consumer(nats.url, silent_after=1.0) as consumer):
            (book,) = await current(venue, consumer, BTC)
            changes = []
            consumer.watch(lambda news: changes.append(news)
                           if isinstance(news, SourceChanged) else None)
            async with gateway(nats, venue, name="b") as second:
                await until(lambda: len(consumer.gateways) == 2)
                for _ in range(3):
                    venue.step()
                    await current(venue, consumer, BTC)
                await until(lambda: consumer.counts["foreign"] >= 3)
                assert not changes, "who brings it stays as long as it is well"
                await first.close()
                await until(lambda: changes)
                venue.step()
                await current(venue, consumer, BTC)
                assert [(each.connection, each.old) for each in changes] == [("b", "a")]
                # a later start of the name takes over at once, however alive the earlier is
                async with gateway(nats, venue, name="b") as third:
                    assert third.number > second.number
                    await until(lambda: len(changes) == 2)
                    venue.step()
                    await current(venue, consumer, BTC)
            await until(lambda: not book.is_live)

    play(scene)


def test_who_leaves_is_flagged_at_once():
    async def test(nats, venue, source, consumer):
        (book,) = await current(venue, consumer, BTC)
        await source.close()
        await until(lambda: not book.is_live)
        assert "left" in book.doubt

    with_all(test)


def test_the_log_has_one_line_for_all_topics_of_a_gateway(caplog):
    async def test(nats, venue, source, consumer):
        names = list(venue.venue.markets)
        await current(venue, consumer, *names)
        await source.close()
        await until(lambda: "Degraded of 3 topics" in caplog.text)
        assert "gateway down: it has left" in caplog.text
        assert names[0] not in caplog.text.partition("gateway down")[2]

    with caplog.at_level(logging.INFO):
        with_all(test)


def test_who_beats_too_seldom_is_named(caplog):
    async def scene():
        async with (NatsServer() as nats, exchange() as venue,
                    gateway(nats, venue, settings={"beat_every": 5}, name="slow"),
                    Consumer(nats.url)):
            await until(lambda: "slow beats every 5000 ms; silent_after is 2 s" in caplog.text)

    play(scene)


def test_the_venues_socket_is_lost_at_the_gateway():
    async def test(nats, venue, source, consumer):
        await current(venue, consumer, BTC)
        states = []

        class Ear(Listener):
            def on_book_state(self, book, old, new):
                states.append(State(new))

        consumer.subscribe(Ear(), T.depth(BTC))
        venue.faults.cut()
        await until(lambda: State.LIVE in states)
        assert states[0] is State.SYNCING
        venue.step()
        await current(venue, consumer, BTC)

    with_all(test)


def test_bytes_of_others_break_nothing():
    async def test(nats, venue, source, consumer):
        await current(venue, consumer, BTC)
        bus = source._bus
        head = wire.encode(wire.Kind.FRAME, source.number, 0, 1 << 60, 0, b"{")
        for subject in (wire.subject_of("depth", BTC), wire.beat_subject(source.number)):
            for data in (b"", b"mx", b"x" * 200, head[:-3]):
                await bus.publish(subject, data)
        await bus.publish(wire.ask_subject(source.number), b"\xff\xfe")
        assert b"not published" in await bus.ask(wire.ask_subject(source.number), b"\xff", 5)
        await until(lambda: consumer.counts["malformed"] == 8)
        venue.step()
        await current(venue, consumer, BTC)

    with_all(test)


def test_books_are_shown_and_compared():
    async def scene():
        async with (NatsServer() as nats, exchange() as venue,
                    gateway(nats, venue, settings={"snapshot_every": 0.3}),
                    Consumer(nats.url) as consumer):
            (book,) = await current(venue, consumer, BTC)
            before = book.ts_verified_ns
            venue.step()
            await current(venue, consumer, BTC)
            await until(lambda: book.ts_verified_ns > before)
            assert consumer.counts["mismatches"] == 0

    play(scene)


def test_the_whole_market_as_it_changes():
    async def scene():
        async with (NatsServer() as nats, exchange(4) as venue,
                    gateway(nats, venue, symbols=None, channels=["depth", "deal", "kline.Min1",
                                                                 "kline.Min5"]) as source,
                    Consumer(nats.url) as consumer):
            names = list(venue.venue.markets)
            assert source.contracts == names
            (book,) = await current(venue, consumer, names[0])
            venue.change_contract(names[0], state=3)
            await source._look_for_contracts()
            assert source.contracts == names[1:]
            await until(lambda: not book.is_live)
            venue.change_contract(names[0], state=0)
            await source._look_for_contracts()
            await until(lambda: is_current(venue, book))

    play(scene)


def test_unsubscribing():
    async def test(nats, venue, source, consumer):
        one, two = Listener(), Listener()
        for each in (one, two):
            consumer.subscribe(each, T.depth(BTC))
        book = consumer.books[BTC]
        await until(lambda: is_current(venue, book))
        consumer.unsubscribe(one, T.depth(BTC))
        consumer.unsubscribe(one, T.depth(BTC))
        assert book.listeners == [two]
        consumer.unsubscribe(two, T.depth(BTC))
        assert book.state is State.STOPPED and BTC not in consumer.books
        assert consumer.why(T.depth(BTC)) == "it is not subscribed"
        await current(venue, consumer, BTC)

    with_all(test)


# -- who we are -----------------------------------------------------------------------------------

SECRET = "s3cr3t/with@signs"
ENCODED = "s3cr3t%2Fwith%40signs"


@asynccontextmanager
async def guarded(*options):
    async with NatsServer(*options) as nats, exchange() as venue:
        yield venue, nats.url.removeprefix("nats://")


@pytest.mark.parametrize(("options", "who"), [
    (("--user", "me", "--pass", SECRET), f"me:{ENCODED}"), (("--auth", SECRET), ENCODED)])
def test_credentials_open_and_are_told_to_nobody(options, who, caplog):
    async def scene():
        async with guarded(*options) as (venue, where):
            url = f"nats://{who}@{where}"
            async with (Gateway(url, endpoint=endpoint_at(venue.rest_url), symbols=[BTC]) as source,
                        Consumer(url) as consumer):
                await current(venue, consumer, BTC)
                assert where in repr(source) and where in repr(consumer)
                said.append(f"{source!r} {consumer!r} {source._bus.address!r}")
            with pytest.raises(ConnectFailed, match=r"cannot be used: .*Authorization") as refused:
                async with Consumer(f"nats://{who}x@{where}", connect_within=60):
                    pass
            said.append(f"{refused.value!r}")

    said = []
    with caplog.at_level(logging.DEBUG):
        play(scene)
    for secret in (SECRET, ENCODED, "me:"):
        assert secret not in caplog.text and not any(secret in each for each in said)


def test_nobody_there():
    async def scene():
        with pytest.raises(ConnectFailed, match=r"NATS at nats://127\.0\.0\.1:1 did not"):
            async with Consumer("nats://127.0.0.1:1", connect_within=0.5):
                pass

    play(scene)


def test_the_address_may_stand_in_the_environment(monkeypatch):
    async def scene():
        async with NatsServer() as nats, exchange() as venue:
            monkeypatch.setitem(os.environ, "MEXCFAST_NATS", nats.url)
            async with (Gateway(endpoint=endpoint_at(venue.rest_url), symbols=[ETH]),
                        Consumer() as consumer):
                await current(venue, consumer, ETH)

    play(scene)


def test_nothing_of_a_gateway_stays_behind():
    async def scene():
        async with (NatsServer() as nats, exchange() as venue, gateway(nats, venue) as source,
                    Consumer(nats.url) as consumer):
            await current(venue, consumer, BTC)
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(source.ended(), 0.01)
            await consumer.close()
            await source.close()
            left = [each.get_name() for each in asyncio.all_tasks()]
            assert not [name for name in left if name.startswith("mexcfast ")
                        and "sim" not in name], left

    play(scene)

"""Two gateways, three consumers, a real nats-server, 200 contracts, and one gateway is killed.

Every consumer's book is right or flagged, at every look, and flagged within the stated bound.
"""

from __future__ import annotations

import asyncio
import time

from gateway.nats_server import NatsServer, needs_nats
from gateway.stage import GatewayProcess, all_current, exchange, is_true, play
from mexcfast.core import topics as T
from mexcfast.core.listener import Listener
from mexcfast.gateway import Consumer, GatewayDown, Shard

CONTRACTS = 200


class Counter(Listener):
    """Only a trusted book is shown to a listener."""

    def __init__(self):
        self.books = 0

    def on_book(self, book):
        self.books += 1
        assert book.is_live


@needs_nats
def test_two_gateways_three_consumers_one_is_killed():
    async def scene():
        async with NatsServer() as nats, exchange(CONTRACTS) as venue:
            names = list(venue.venue.markets)
            first, second = (GatewayProcess(nats=nats.url, rest_url=venue.rest_url, symbols=names,
                                            shard=f"{number}/2", channels=["depth"])
                             for number in (0, 1))
            async with (first, second, Consumer(nats.url) as one, Consumer(nats.url) as two,
                        Consumer(nats.url) as three):
                await asyncio.gather(first.here(), second.here())
                await judged(venue, names, first, (one, two, three))

    async def judged(venue, names, first, consumers):
        news, counters = [[], [], []], []
        for consumer, heard in zip(consumers, news, strict=True):
            consumer.watch(heard.append)
            counters.append(Counter())
            consumer.subscribe(counters[-1], [T.depth(name) for name in names])
        books = [consumer.books[name] for consumer in consumers for name in names]
        assert len(books) == 3 * CONTRACTS

        await all_current(venue, books)
        for _ in range(5):
            venue.step()
            await asyncio.sleep(0.02)
        await all_current(venue, books)

        await first.kill()
        killed = time.monotonic()
        dead = set(Shard(0, 2).of(names))
        assert 70 < len(dead) < 130
        # The looks at silence are timers of this very loop: they are late when we are.
        while time.monotonic() < killed + max(each.bound for each in consumers):
            venue.step()
            await asyncio.sleep(0.05)
            for book in books:
                assert not book.is_live or is_true(venue, book), book
        for book in books:
            if book.symbol in dead:
                assert not book.is_live, f"{book} is not flagged within the bound"
                assert book.doubt is not None and book.best_bid is not None, "readable"
        for heard in news:
            assert "shard-0-of-2" in {each.connection for each in heard
                                      if isinstance(each, GatewayDown)}
        await all_current(venue, [book for book in books if book.symbol not in dead])

        before = [counter.books for counter in counters]
        await first.start()
        await all_current(venue, books)
        venue.step()
        await all_current(venue, books)
        assert all(now > then for now, then in zip((each.books for each in counters), before,
                                                   strict=True))
        for consumer in consumers:
            counts = consumer.counts
            assert counts["faults"] == counts["malformed"] == counts["mismatches"] == 0

    play(scene)

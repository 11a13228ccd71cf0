"""Minutes of seeded faults at 200 contracts: gateways killed and frozen, NATS restarted, sockets
of the exchange cut, consumers that come and go. At every look every book is right or flagged, and
after every fault all come back. Long: run with pytest -m soak.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal

import pytest

from gateway.nats_server import NatsServer, needs_nats
from gateway.stage import GatewayProcess, all_current, exchange, is_true, play
from mexcfast.core import topics as T
from mexcfast.core.listener import Listener
from mexcfast.gateway import Consumer

CONTRACTS = 200
ROUNDS = int(os.environ.get("MEXCFAST_SOAK_ROUNDS", "25"))


@needs_nats
@pytest.mark.soak
def test_every_book_is_right_or_flagged():
    chance = random.Random(8)

    async def scene():
        async with NatsServer() as nats, exchange(CONTRACTS) as venue:
            names = list(venue.venue.markets)
            # two sets: each contract has two gateways
            gateways = [GatewayProcess(nats=nats.url, rest_url=venue.rest_url, symbols=names,
                                       shard=f"{number}/2", channels=["depth"],
                                       name=f"{family}-{number}")
                        for family in "ab" for number in (0, 1)]
            async with asyncio.TaskGroup() as group:
                for each in gateways:
                    group.create_task(each.start())
            try:
                async with Consumer(nats.url) as one, Consumer(nats.url) as two:
                    await rounds(venue, nats, names, gateways, [one, two])
            finally:
                for each in gateways:
                    await each.kill()

    async def rounds(venue, nats, names, gateways, consumers):
        for consumer in consumers:
            consumer.subscribe(Listener(), [T.depth(name) for name in names])
        books = [book for consumer in consumers for book in consumer.books.values()]
        await all_current(venue, books)
        for number in range(ROUNDS):
            kinds = chance.sample(["kill", "freeze", "nats", "cut", "gap"], 2)
            victim = chance.choice(gateways)
            for kind in kinds:
                if kind == "kill":
                    await victim.kill()
                elif kind == "freeze" and victim.process is not None:
                    victim.process.send_signal(signal.SIGSTOP)
                elif kind == "nats":
                    await nats.stop()
                elif kind == "cut":
                    venue.faults.cut()
                elif kind == "gap":
                    venue.faults.drop("depth", chance.choice(names))
                await judged(venue, books, chance.uniform(0.2, 3.0))
            if "nats" in kinds:
                await nats.start()
            await judged(venue, books, chance.uniform(0.0, 2.0))
            if victim.process is None:
                await victim.start()
            elif "freeze" in kinds:
                victim.process.send_signal(signal.SIGCONT)
            async with Consumer(nats.url) as late:
                name = chance.choice(names)
                book = await late.book(name)
                await all_current(venue, [book])
            await all_current(venue, books)
            print(number, kinds, [consumer.counts for consumer in consumers], flush=True)
        for consumer in consumers:
            counts = consumer.counts
            assert counts["faults"] == counts["malformed"] == counts["mismatches"] == 0

    async def judged(venue, books, seconds):
        """The market moves on, and is looked at."""
        loop = asyncio.get_running_loop()
        end = loop.time() + seconds
        while loop.time() < end:
            venue.step()
            await asyncio.sleep(0.1)
            for book in books:
                assert not book.is_live or is_true(venue, book), book

    play(scene, seconds=120 * ROUNDS)

"""What the tests of the gateway share: processes, waiting, and the judge of books."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from contextlib import suppress
from pathlib import Path

from mexcfast.sim import Exchange

PROGRAM = Path(__file__).with_name("gateway_process.py")
QUICK = {"beat_every": 0.1}
WAIT = 60.0                # seconds; a loaded machine is slow, nothing here is measured by it


class GatewayProcess:
    """One gateway as a child. Arguments as gateway_process.py has them."""

    def __init__(self, **arguments):
        self._arguments = {"settings": QUICK, **arguments}
        self.process = None

    async def __aenter__(self):
        await self.spawn()
        return self

    async def __aexit__(self, *_):
        await self.kill()

    async def start(self):
        """Once more; returns when it publishes."""
        await self.spawn()
        await self.here()

    async def spawn(self):
        """Begin, without waiting for anything."""
        self.process = await asyncio.create_subprocess_exec(
            sys.executable, "-P", str(PROGRAM), json.dumps(self._arguments),
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))})

    async def here(self):
        """Until it publishes."""
        async with asyncio.timeout(WAIT):
            assert await self.process.stdout.readline() == b"here\n"

    async def kill(self, how=signal.SIGKILL):
        """End it; SIGKILL leaves it no word to say."""
        process, self.process = self.process, None
        if process is None:
            return
        with suppress(ProcessLookupError):
            process.send_signal(how)
        process.stdin.close()
        await process.wait()
        process._transport.close()


def exchange(symbols=3, **more):
    """An exchange that moves when told to: step()."""
    return Exchange(**{"symbols": symbols, "updates_per_second": 0, "limits": False, "merge_ms": 0,
                       "levels": 12, **more})


async def until(condition):
    """Wait for something that other tasks bring about."""
    async with asyncio.timeout(WAIT):
        while not condition():          # noqa: ASYNC110 - of a book, it has no event
            await asyncio.sleep(0.01)


def is_true(venue, book):
    """Whether a book is the venue's at its version, level by level."""
    truth = venue.book_at(book.symbol, book.version)
    return ([(float(each[0]), float(each[1])) for each in truth.bids]
            == [(price, quantity) for price, quantity, _ in book.bids()]
            and [(float(each[0]), float(each[1])) for each in truth.asks]
            == [(price, quantity) for price, quantity, _ in book.asks()])


def is_current(venue, book):
    """LIVE, trusted and at the venue's version."""
    return book.is_live and book.version == venue._book(book.symbol).version


async def all_current(venue, books, seconds=2 * WAIT):
    """Until all are current at once, and then they are true.

    The market moves on now and then: one that stands still is asked after, book by book.
    """
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(seconds):
        stepped = loop.time()
        while not all(is_current(venue, book) for book in books):
            if loop.time() - stepped > 1.5:
                venue.step()
                stepped = loop.time()
            await asyncio.sleep(0.02)
    for book in books:
        assert is_true(venue, book), book


def play(scene, seconds=240):
    """Run a coroutine function with a bound."""
    async def bounded():
        async with asyncio.timeout(seconds):
            await scene()

    asyncio.run(bounded())

"""`mexcfast record`: write what the exchange sends into a directory, until Ctrl-C."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack, suppress
from pathlib import Path

import mexcfast as mx
from mexcfast.cli.screen import Screen
from mexcfast.cli.sim import ChildExchange
from mexcfast.cli.symbols import keep_asking, raise_refusal
from mexcfast.core import topics
from mexcfast.core.depth import OrderBook, State
from mexcfast.core.topics import Topic


class _Counter(mx.Listener):
    """Frames that came, and what happened."""

    def __init__(self, screen: Screen) -> None:
        self.frames = 0
        self._screen = screen

    def on_frame(self, frame: object, ts_recv_ns: int) -> None:
        self.frames += 1

    def on_book_state(self, book: OrderBook, old: State, new: State) -> None:
        if State(new) in (State.LIVE, State.REPAIRING):
            self._screen.say(f"{book.symbol} {State(new).name}",
                             "green" if new == State.LIVE else "yellow")

    def on_disconnected(self, connection: object, why: str) -> None:
        self._screen.say(f"{connection} lost: {why}", "bold yellow")

    def on_reconnected(self, connection: object, down_ns: int) -> None:
        self._screen.say(f"{connection} back after {down_ns / 1e6:.0f} ms", "green")


def wanted_of(symbol: str) -> list[Topic]:
    """What is recorded of a contract."""
    return [topics.depth(symbol), topics.deals(symbol), topics.ticker(symbol),
            topics.funding_rate(symbol), topics.index_price(symbol), topics.fair_price(symbol)]


async def record(symbols: Sequence[str], *, sim: bool, endpoint: str | None,
                 seconds: float | None, output: str, metrics: int | None = None) -> int:
    """0 when everything that came is on the tape, 1 when something is missing."""
    wanted = [topic for symbol in dict.fromkeys(symbols) for topic in wanted_of(symbol)]
    done = asyncio.Event()
    loop = asyncio.get_running_loop()
    for each in (signal.SIGINT, signal.SIGTERM):
        with suppress(NotImplementedError):
            loop.add_signal_handler(each, done.set)
    async with AsyncExitStack() as stack:
        where: mx.Endpoint | str = endpoint or mx.LIVE
        if sim:
            venue = await stack.enter_async_context(
                ChildExchange(symbols=list(dict.fromkeys(symbols))))
            where = venue.rest_url
        client = await stack.enter_async_context(mx.Client(where))
        recorder = client.record(output)
        screen = stack.enter_context(Screen(
            f"{client.endpoint.ws_url} -> {Path(output)}   Ctrl-C ends", levels=1, lines=8))
        counter = _Counter(screen)
        if metrics is not None:
            await client.metrics.serve(metrics)
            screen.say(f"metrics at {client.metrics.url}")
        client.subscribe(counter, wanted)
        asking = asyncio.create_task(keep_asking(client, list(dict.fromkeys(symbols)),
                                                 lambda text: screen.say(text, "bold yellow")))
        stack.callback(asking.cancel)
        began = told = time.monotonic()

        def status() -> str:
            ring = recorder.ring
            rate = counter.frames / max(0.001, time.monotonic() - began)
            return (f"{counter.frames} frames, {rate:.0f} a second, "
                    f"{size(ring.bytes_in)} in, {size(recorder.written)} written, "
                    f"{len(recorder.parts)} file{'s' if len(recorder.parts) > 1 else ''}, "
                    f"{ring.lost} lost")

        screen.status = status
        while not done.is_set() and (seconds is None or time.monotonic() - began < seconds):
            if recorder.error is not None:
                raise mx.TapeError(f"{output}: recording stopped: {recorder.error}")
            if asking.done():
                asking.result()
            for topic in wanted:
                if topic.channel in ("depth", "deal"):
                    await raise_refusal(client, topic, asking)
            with suppress(TimeoutError):
                await asyncio.wait_for(done.wait(), 0.1)
            screen.draw()
            ends = seconds is not None and time.monotonic() - began >= seconds
            if not screen.is_live and time.monotonic() - told >= 1 and not ends:
                told = time.monotonic()
                screen.say(status())
        await recorder.stop()
        if recorder.error is not None:
            raise mx.TapeError(f"{output}: recording stopped: {recorder.error}")
        screen.say(status())
        if counter.frames:
            screen.say(f"play it with: mexcfast replay {output}")
        else:
            screen.say("nothing came", "bold red")
        return int(recorder.ring.lost > 0 or not counter.frames)


def size(count: int) -> str:
    """Bytes as people read them."""
    for unit, factor in (("GB", 10 ** 9), ("MB", 10 ** 6), ("kB", 10 ** 3)):
        if count >= factor:
            return f"{count / factor:.1f} {unit}"
    return f"{count} B"

"""`mexcfast watch`: live ladders of some contracts."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack

import mexcfast as mx
from mexcfast.cli.screen import Screen, number
from mexcfast.cli.sim import ChildExchange
from mexcfast.core import topics
from mexcfast.core.depth import OrderBook, State


class _Watcher(mx.Listener):
    def __init__(self, screen: Screen) -> None:
        self.frames = 0
        self._screen = screen

    def on_book(self, book: OrderBook) -> None:
        self.frames += 1

    def on_book_state(self, book: OrderBook, old: State, new: State) -> None:
        self._screen.say(f"{book.symbol} {State(old).name} -> {State(new).name}",
                         "green" if new == State.LIVE else "yellow")

    def on_disconnected(self, connection: object, why: str) -> None:
        self._screen.say(f"{connection} lost: {why}", "bold yellow")

    def on_reconnected(self, connection: object, down_ns: int) -> None:
        self._screen.say(f"{connection} back after {down_ns / 1e6:.0f} ms", "green")


async def watch(symbols: Sequence[str], *, sim: bool, endpoint: str | None, seconds: float | None,
                levels: int, metrics: int | None = None) -> int:
    """Show books until Ctrl-C or for some seconds; 0 when every book was LIVE at the end."""
    wanted = [topics.depth(symbol) for symbol in dict.fromkeys(symbols)]
    async with AsyncExitStack() as stack:
        where: mx.Endpoint | str = endpoint or mx.LIVE
        if sim:
            venue = await stack.enter_async_context(
                ChildExchange(symbols=[topic.symbol for topic in wanted]))
            where = venue.rest_url
        client = await stack.enter_async_context(mx.Client(where))
        screen = stack.enter_context(Screen(f"{client.endpoint.ws_url}   Ctrl-C ends",
                                            levels=levels, lines=5))
        watcher = _Watcher(screen)
        if metrics is not None:
            await client.metrics.serve(metrics, contracts=[topic.symbol for topic in wanted])
            screen.say(f"metrics at {client.metrics.url}")
        client.subscribe(watcher, wanted)
        books = [client.market.books[topic.symbol] for topic in wanted]
        screen.books = books
        screen.status = lambda: f"{watcher.frames} frames applied"
        began = told = time.monotonic()
        while seconds is None or time.monotonic() - began < seconds:
            await asyncio.sleep(0.1)
            screen.draw()
            for topic in wanted:
                client.market.pool.raise_refusal(topic)
            if not screen.is_live and time.monotonic() - told >= 1:
                told = time.monotonic()
                for book in books:
                    screen.say(_line(book))
        return 0 if all(book.is_live for book in books) else 1


def _line(book: OrderBook) -> str:
    bid, ask = book.best_bid, book.best_ask
    if bid is None or ask is None:
        return f"{book.symbol} {State(book.state).name}"
    return (f"{book.symbol} {State(book.state).name} {number(bid, book.price_scale)} x "
            f"{number(ask, book.price_scale)} version {book.version}")

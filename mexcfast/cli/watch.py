"""`mexcfast watch`: live ladder, trades, funding and confidence of some contracts."""

from __future__ import annotations

import asyncio
import json
import signal
import time
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack, suppress

from rich.console import Console
from rich.live import Live

import mexcfast as mx
from mexcfast.cli.board import Board, Contract, as_dict, picture
from mexcfast.cli.keys import Keys
from mexcfast.cli.screen import number
from mexcfast.cli.sim import ChildExchange
from mexcfast.cli.symbols import keep_asking, raise_refusal
from mexcfast.core import topics
from mexcfast.core.depth import State
from mexcfast.core.topics import Topic

DRAWN_EVERY_S = 0.1
TOLD_EVERY_S = 1.0
ENDINGS = ("SIGINT", "SIGTERM", "SIGHUP")


def wanted_of(symbol: str) -> list[Topic]:
    """What is shown of a contract; the book comes first."""
    return [topics.depth(symbol), topics.deals(symbol), topics.ticker(symbol),
            topics.funding_rate(symbol)]


class Ending:
    """When it is over: `q`, a signal, the time.

    code: of the process after a signal, None before. Signals are caught so that the terminal is
    always put back.
    """

    def __init__(self) -> None:
        self.over = asyncio.Event()
        self.code: int | None = None
        loop = asyncio.get_running_loop()
        for name in ENDINGS:
            with suppress(NotImplementedError, AttributeError):
                number = getattr(signal, name)
                loop.add_signal_handler(number, self._signalled, number)

    def _signalled(self, number: int) -> None:
        self.code = 128 + number
        self.over.set()

    async def wait(self, seconds: float) -> bool:
        """At most so long; whether it is over."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self.over.wait(), seconds)
        return self.over.is_set()


async def watch(symbols: Sequence[str], *, sim: bool, endpoint: str | None, seconds: float | None,
                levels: int, as_json: bool = False, metrics: int | None = None) -> int:
    """Show contracts until q, a signal or the end of the time; 0 when every book was LIVE then.

    In a terminal a live picture; otherwise, or with as_json, lines once a second.
    """
    symbols = list(dict.fromkeys(symbols))
    wanted = {symbol: wanted_of(symbol) for symbol in symbols}
    console = Console(highlight=False)
    is_live = console.is_terminal and not console.is_dumb_terminal and not as_json
    ending = Ending()
    async with AsyncExitStack() as stack:
        where: mx.Endpoint | str = endpoint or mx.LIVE
        if sim:
            venue = await stack.enter_async_context(ChildExchange(symbols=symbols))
            where = venue.rest_url
        client = await stack.enter_async_context(mx.Client(where))
        title = client.endpoint.ws_url
        began = time.monotonic()

        def line(text: str, style: str) -> None:
            if not is_live and not as_json:
                console.print(f"{time.monotonic() - began:6.2f} s  {text}", style=style or None,
                              soft_wrap=True)

        board = Board(line)
        board.levels = levels
        line(f"{title}   Ctrl-C ends", "")
        for topics_of in wanted.values():
            client.subscribe(board, topics_of)
        for symbol in symbols:
            board.add(symbol, client.market.books[symbol])
        if metrics is not None:
            await client.metrics.serve(metrics, contracts=symbols)
            board.say(f"metrics at {client.metrics.url}")
        asking = asyncio.create_task(keep_asking(client, symbols, lambda text: board.say(
            text, "bold yellow")))
        stack.callback(asking.cancel)
        if is_live:
            await _draw(client, board, console, title, wanted, asking, ending, seconds)
        else:
            await _tell(client, board, wanted, asking, ending, seconds, line, as_json)
        books = [contract.book for contract in board.contracts.values()]
        lively = all(book.is_live for book in books)
        if is_live:
            for contract in board.contracts.values():
                console.print(_line(contract), soft_wrap=True)
    if ending.code is not None:
        return ending.code
    return 0 if lively else 1


async def _refused(client: mx.Client, wanted: dict[str, list[Topic]], asking: asyncio.Task[None]
                   ) -> None:
    """Raise when a contract does not exist or its book is refused."""
    if asking.done():
        asking.result()
    for topics_of in wanted.values():
        await raise_refusal(client, topics_of[0], asking)


async def _draw(client: mx.Client, board: Board, console: Console, title: str,
                wanted: dict[str, list[Topic]], asking: asyncio.Task[None], ending: Ending,
                seconds: float | None) -> None:
    """The picture, ten times a second."""
    def on_key(key: str) -> None:
        if key in ("q", "Q", "escape"):
            ending.over.set()
        else:
            board.press(key)

    began = time.monotonic()
    with Keys(on_key) as keys, Live(console=console, screen=True, auto_refresh=False) as live:
        while seconds is None or time.monotonic() - began < seconds:
            await _refused(client, wanted, asking)
            if not board.is_paused:
                live.update(picture(board, title, console.width, console.height, keys.is_on),
                            refresh=True)
            if await ending.wait(DRAWN_EVERY_S):
                return


async def _tell(client: mx.Client, board: Board, wanted: dict[str, list[Topic]],
                asking: asyncio.Task[None], ending: Ending, seconds: float | None,
                line: Callable[[str, str], object], as_json: bool) -> None:
    """Lines, once a second, and at the end."""
    began = told = time.monotonic()
    is_over = False
    while not is_over:
        await _refused(client, wanted, asking)
        now = time.monotonic()
        left = DRAWN_EVERY_S if seconds is None else min(DRAWN_EVERY_S, began + seconds - now)
        is_over = await ending.wait(left) if left > 0 else True
        now = time.monotonic()
        if is_over or now - told >= TOLD_EVERY_S:
            told = now
            for contract in board.contracts.values():
                if as_json:
                    print(json.dumps(as_dict(contract, board.levels, time.time_ns())), flush=True)
                else:
                    line(_line(contract), "")


def _line(contract: Contract) -> str:
    book = contract.book
    bid, ask = book.best_bid, book.best_ask
    if bid is None or ask is None:
        return f"{book.symbol} {State(book.state).name}"
    text = (f"{book.symbol} {State(book.state).name} {number(bid, book.price_scale)} x "
            f"{number(ask, book.price_scale)} version {book.version}, {contract.n_trades} trades")
    rate = contract.funding.rate if contract.funding is not None else None
    return text if rate is None else f"{text}, funding {100 * rate:+.4f} %"

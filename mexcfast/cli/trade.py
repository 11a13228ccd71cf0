"""`mexcfast trade`: one order by hand, shown before it is sent, its fate proven before the end."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from contextlib import suppress
from decimal import Decimal
from threading import Thread

import mexcfast as mx
from mexcfast.cli.symbols import check
from mexcfast.cli.tables import console, plain, print_json, text
from mexcfast.core.intent import OrderIntent
from mexcfast.errors import ConfigError
from mexcfast.types import Contract, OpenType, OrderType, Outcome, Side

SIDES = {"open-long": Side.OPEN_LONG, "close-long": Side.CLOSE_LONG,
         "open-short": Side.OPEN_SHORT, "close-short": Side.CLOSE_SHORT}
TYPES = {"limit": OrderType.LIMIT, "post-only": OrderType.POST_ONLY, "ioc": OrderType.IOC,
         "fok": OrderType.FOK, "market": OrderType.MARKET}
EXIT = {mx.Accepted: 0, mx.Rejected: 1, mx.Unknown: 3}
SETTLE_WITHIN_S = 60.0


async def trade(symbol: str, side: str, quantity: str, *, price: str | None, kind: str,
                leverage: int | None, cross: bool, reduce_only: bool, yes: bool,
                endpoint: str | None, as_json: bool) -> int:
    """Check, show, ask, send, and wait until the outcome is certain.

    Exit code 0 accepted, 1 rejected or not sent, 3 still unknown after a minute.
    """
    async with mx.Client.from_env(endpoint or mx.LIVE) as client:
        await client.orders.load_contracts()
        check([symbol], client.orders.contracts, client.endpoint.rest_url)
        intent = client.orders.intent(
            symbol, SIDES[side], quantity, price, type=TYPES[kind], leverage=leverage,
            open_type=OpenType.CROSS if cross else OpenType.ISOLATED, reduce_only=reduce_only)
        book = await client.market_api.depth(symbol, 5)
        shown = describe(intent, client.orders.contracts[symbol],
                         book.bids[0][0] if book.bids else None,
                         book.asks[0][0] if book.asks else None)
        if not as_json:
            out = console()
            for line in shown:
                out.print(line, soft_wrap=True)
        if not yes and not await _confirmed():
            print("not sent", file=sys.stderr)
            return 1
        outcome: Outcome = await client.orders.send(intent)
        if isinstance(outcome, mx.Unknown):
            print(f"the answer is missing ({outcome.error}); asking what became of the order",
                  file=sys.stderr)
            outcome = await _settled(client, outcome)
        order = None
        if isinstance(outcome, mx.Accepted) and outcome.order_id is not None:
            order = await client.orders.get(outcome.order_id)
    if as_json:
        print_json({"outcome": type(outcome).__name__} | plain(outcome) | {"order": order})
    else:
        print(sentence(outcome))
        if order is not None:
            print(f"{order.state.name.lower()}, {text(order.filled_quantity)} of "
                  f"{text(order.quantity)} contracts filled"
                  + (f" at {text(order.average_price)}" if order.filled_quantity else ""))
    return EXIT[type(outcome)]


def sentence(outcome: Outcome) -> str:
    """An outcome for people."""
    ids = ", ".join(f"{name} {value}" for name, value in (
        ("order", outcome.order_id), ("client id", outcome.client_order_id)) if value is not None)
    kind = type(outcome).__name__
    if isinstance(outcome, mx.Accepted):
        return f"{kind}: {ids}" if ids else kind
    return f"{kind}: {outcome.error}" + (f" ({ids})" if ids else "")


def describe(intent: OrderIntent, contract: Contract, bid: Decimal | None, ask: Decimal | None
             ) -> list[str]:
    """What is about to be sent, in the units people think in."""
    price = intent.price
    near = price if price is not None else ask if intent.side.is_buy else bid
    lines = [f"{intent.side.name.lower().replace('_', ' ')} {intent.symbol}: "
             f"{text(intent.quantity)} contracts = "
             f"{text(intent.quantity * contract.contract_size)} "
             f"{contract.quote_coin if contract.is_inverse else contract.base_coin}, "
             + ("at market" if price is None else f"{intent.type.name.lower()} {text(price)}")]
    if near is not None:
        value = intent.quantity * contract.contract_size
        if not contract.is_inverse:
            value *= near
        lines.append(f"worth about {text(round(value, 4))} {contract.quote_coin}")
    lines.append(f"best bid {'-' if bid is None else text(bid)}, "
                 f"best ask {'-' if ask is None else text(ask)}")
    return lines


async def _settled(client: mx.Client, unknown: mx.Unknown) -> Outcome:
    """Ask until the order's fate is proven or the time is up; nothing is sent again."""
    outcome: Outcome = unknown
    ends = time.monotonic() + SETTLE_WITHIN_S
    while isinstance(outcome, mx.Unknown) and time.monotonic() < ends:
        outcome = await client.orders.resolve(unknown)
        if isinstance(outcome, mx.Unknown):
            await asyncio.sleep(1)
    return outcome


async def _confirmed() -> bool:
    """Ask a person; without one the order needs --yes."""
    if not sys.stdin.isatty():
        raise ConfigError("nobody to ask: standard input is no terminal; allowed: --yes")
    print("Send it? [y/N] ", end="", flush=True)
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[str] = loop.create_future()

    def take(text: str) -> None:
        if not answer.done():
            answer.set_result(text)

    def read() -> None:
        text = os.read(sys.stdin.fileno(), 4096).decode(errors="replace")
        with suppress(RuntimeError):            # the loop is gone
            loop.call_soon_threadsafe(take, text)

    # Neither the loop's own threads, which are waited for at the end, nor sys.stdin, whose lock is:
    # after Ctrl-C nobody will answer any more.
    Thread(target=read, daemon=True).start()
    try:
        return (await answer).strip().lower() in ("y", "yes")
    except asyncio.CancelledError:
        print("\nnot sent", file=sys.stderr)
        raise

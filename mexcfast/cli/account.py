"""`mexcfast account` and `mexcfast orders`: what an account holds and wants."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime
from itertools import islice
from typing import Any, Literal

from rich.console import Console

import mexcfast as mx
from mexcfast.cli.symbols import named
from mexcfast.cli.tables import console, plain, print_json, show, signed
from mexcfast.cli.trade import sentence
from mexcfast.types import ConditionalState, OrderState, TrailingState

Kind = Literal["open", "history", "fills"]
WAITING = (ConditionalState.UNTRIGGERED,)
TRAILING = (TrailingState.NOT_ACTIVATED, TrailingState.ACTIVATED)
HISTORY = (OrderState.FILLED, OrderState.CANCELLED)


async def account(*, endpoint: str | None, as_json: bool) -> int:
    """Balances, positions and how many orders are open."""
    async with mx.Client.from_env(endpoint or mx.LIVE) as client:
        balances = [each for each in await client.account.balances()
                    if each.equity or each.available or each.position_margin or each.frozen]
        positions = await client.positions.open()
        counts = await client.orders.counts()
        mode = await client.positions.mode()
    if as_json:
        print_json({"balances": balances, "positions": positions, "open_orders": counts,
                    "position_mode": mode})
        return 0
    out = console()
    show(out, "Balances", ["currency", "equity", "available", "order margin", "position margin",
                           "unrealised"],
         [(b.currency, b.equity, b.available, b.frozen, b.position_margin, signed(b.unrealised))
          for b in balances])
    show(out, f"Positions ({mode.name.lower().replace('_', '-')} mode)",
         ["contract", "side", "contracts", "entry", "liquidation", "leverage", "margin",
          "realised"],
         [(p.symbol, p.type, p.quantity, p.hold_average_price, p.liquidation_price,
           f"{p.leverage}x", p.open_type, signed(p.realised)) for p in positions])
    out.print(f"Open orders: {counts.limit} limit, {counts.plan} plan, {counts.stop} TP/SL, "
              f"{counts.trailing} trailing")
    return 0


async def orders(symbol: str | None, *, kind: Kind, limit: int, cancel: Sequence[int],
                 cancel_all: bool, endpoint: str | None, as_json: bool) -> int:
    """Open orders of every kind, past orders or fills; or cancel some first."""
    async with mx.Client.from_env(endpoint or mx.LIVE) as client, named(client, symbol):
        if cancel or cancel_all:
            return await _cancel(client, symbol, cancel, cancel_all, as_json)
        if kind == "fills":
            assert symbol is not None
            fills = [fill async for fill in _first(
                client.orders.iterate_fills(symbol), limit)]
            if as_json:
                print_json(fills)
            else:
                _show_fills(console(), fills)
            return 0
        if kind == "history":
            past = [order async for order in _first(
                client.orders.iterate_history(symbol, states=HISTORY), limit)]
            if as_json:
                print_json(past)
            else:
                _show_orders(console(), "Past orders", past)
            return 0
        found = {
            "limit": [o async for o in _first(client.orders.iterate_open(symbol), limit)],
            "plan": [o async for o in _first(
                client.conditional.plan.iterate(symbol, states=WAITING), limit)],
            "stop": list(islice(await client.conditional.stop.open(symbol), limit)),
            "trailing": [o async for o in _first(
                client.conditional.trailing.iterate(TRAILING, symbol), limit)],
        }
    if as_json:
        print_json(found)
        return 0
    out = console()
    _show_orders(out, "Open orders", found["limit"])
    if found["plan"]:
        show(out, "Plan orders", ["id", "contract", "side", "contracts", "trigger", "price"],
             [(p.plan_id, p.symbol, p.side, p.quantity, p.trigger_price, p.price)
              for p in found["plan"]])
    if found["stop"]:
        show(out, "TP/SL orders", ["id", "contract", "contracts", "stop loss", "take profit"],
             [(s.stop_id, s.symbol, s.quantity, s.stop_loss_price, s.take_profit_price)
              for s in found["stop"]])
    if found["trailing"]:
        show(out, "Trailing orders", ["id", "contract", "side", "contracts", "activation",
                                      "distance"],
             [(t.track_id, t.symbol, t.side, t.quantity, t.active_price, t.back_value)
              for t in found["trailing"]])
    return 0


async def _first(items: AsyncIterator[Any], limit: int) -> AsyncIterator[Any]:
    taken = 0
    async for item in items:
        yield item
        taken += 1
        if taken >= limit:
            return


async def _cancel(client: mx.Client, symbol: str | None, ids: Sequence[int], everything: bool,
                  as_json: bool) -> int:
    """Cancel, then say what the venue still shows: 0 when nothing of it is left open."""
    if everything:
        outcomes = [await client.orders.cancel_all(symbol)]
    else:
        outcomes = list(await client.orders.cancel(ids))
    left: list[int] = []
    for _ in range(20):
        left = [order.order_id async for order in client.orders.iterate_open(symbol)
                if everything or order.order_id in ids]
        if not left:
            break
        await asyncio.sleep(0.25)
    if as_json:
        print_json({"outcomes": [{"kind": type(each).__name__} | plain(each)
                                 for each in outcomes], "still_open": left})
    else:
        for each in outcomes:
            print(sentence(each))
        print("still open: " + (", ".join(map(str, left)) or "none"))
    return int(bool(left))


def _show_orders(out: Console, title: str, found: Sequence[Any]) -> None:
    show(out, title, ["time", "id", "contract", "side", "type", "price", "contracts", "filled",
                      "average", "state", "client id"],
         [(moment(o.ts_created_ms), o.order_id, o.symbol, o.side, o.type, o.price, o.quantity,
           o.filled_quantity, o.average_price or None, o.state, o.client_order_id)
          for o in found])


def _show_fills(out: Console, found: Sequence[Any]) -> None:
    show(out, "Fills", ["time", "order id", "contract", "side", "price", "contracts", "fee",
                        "currency", "profit"],
         [(moment(f.ts_venue_ms), f.order_id, f.symbol, f.side, f.price, f.quantity, f.fee,
           f.fee_currency, signed(f.profit)) for f in found])


def moment(ts_ms: int) -> str:
    """Venue time, UTC, to the millisecond."""
    return datetime.fromtimestamp(ts_ms / 1000, UTC).strftime("%m-%d %H:%M:%S.%f")[:-3]

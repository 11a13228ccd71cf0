"""The bot of order_chaos: places, amends and cancels as its plan says until it is killed.

Not to be run by hand. Reads one JSON object from its arguments, commands from stdin, and tells
everything that happens to it in JSON lines, each with one write to a pipe, so that a death loses
nothing of what was told. What it wants is told before it is asked for ("intent"), and that it may
have left before it leaves ("sent").
"""

from __future__ import annotations

import asyncio
import inspect
import json
import logging
import os
import random
import sys
import time
from collections.abc import Awaitable, Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

import mexcfast as mx
from chaos.order_plan import SYMBOLS, Plan
from mexcfast.core.account import Kind
from mexcfast.core.rest import GROUPS, Endpoint
from mexcfast.net import executor
from mexcfast.net.journal import Journal
from mexcfast.net.reconcile import AccountSettings
from mexcfast.types import BackType, TriggerType

NEVER = mx.KillSwitchSettings(**{
    name: None for name in ("path_gone", "access_denied", "maintenance", "signature_run",
                            "unreadable", "edge", "max_unknown", "stream_lost_ms",
                            "clock_error_ms")})
STREAMS = mx.StreamSettings(ping_interval=0.5, pong_deadline=1.0, handshake_timeout=2.0,
                            acknowledge_timeout=1.0, stable_after=0.2, backoff_cap_ms=1000)
ACCOUNT = AccountSettings(push_deadline=0.6, audit_every=2.0, margin_ms=500)
CROWDED = 110           # open orders from which only cancels are sent; the venue allows 200
LAG_S = 0.02


def tell(what: str, **more: Any) -> None:
    """One line, wholly in the pipe when this returns."""
    line = json.dumps({"e": what, **more}, default=str).encode() + b"\n"
    while line:
        line = line[os.write(1, line):]


class TellingJournal(Journal):
    """Says what it has written before anything leaves, and what it is going to forget."""

    def __init__(self, path: str, sins: frozenset[str]) -> None:
        super().__init__(path, max_bytes=64 << 10)
        self.sins = sins

    def send(self, entry: Any) -> None:
        if "forget" not in self.sins or ord(entry.name[-1]) % 2:
            super().send(entry)
        tell("sent", id=entry.name)     # the first byte leaves after this

    def end(self, name: str, fate: str, order_id: int | None = None) -> None:
        if name in self.ledger.unsettled:
            tell("end", id=name, fate=fate, order=order_id)
        super().end(name, fate, order_id)


class Bot:
    """One life."""

    def __init__(self, told: dict[str, Any], plan: Plan, client: mx.Client) -> None:
        self.plan, self.client, self.orders = plan, client, client.orders
        self.sins = frozenset(told["sins"])
        self.next_step: int = told["first_step"]
        self.workers: int = told["workers"]
        self.prices: dict[str, Decimal] = {}
        self.going = asyncio.Event()
        self.idle = asyncio.Event()
        self.rest_until = 0.0       # after maintenance was heard of
        self.busy = 0
        self.unanswered = 0         # submit_nowait without its callback yet
        self.orders.on_settled.append(self.settled)

    # -- what is told ----------------------------------------------------------------------------

    def settled(self, outcome: Any) -> None:
        if outcome.client_order_id is not None:
            tell("settled", id=outcome.client_order_id, kind=type(outcome).__name__,
                 order=outcome.order_id, why=str(getattr(outcome, "error", "")))

    def intend(self, number: str) -> str:
        name: str = self.orders.ids.mint()
        tell("intent", n=number, id=name)
        return name

    def placed(self, number: str, name: str, outcome: Any) -> None:
        kind = told = type(outcome).__name__
        if "guess" in self.sins and kind == "Unknown":
            told = "Rejected"
        tell("outcome", id=name, kind=told, order=outcome.order_id, why=self.why(outcome))
        if self.why(outcome) == "MaintenanceError":
            self.rest_until = time.monotonic() + 0.1
        if "resend" in self.sins and kind == "Unknown":
            again = asyncio.ensure_future(self.again(number, name))
            again.add_done_callback(lambda _: None)

    async def again(self, number: str, name: str) -> None:
        old = self.orders.find(name)
        if old is not None and old.symbol is not None and old.side is not None:
            await self.orders.submit(old.symbol, old.side, old.quantity or 1, old.price,
                                     leverage=20, client_order_id=self.intend(number))

    @staticmethod
    def why(outcome: Any) -> str:
        return "" if isinstance(outcome, mx.Accepted) else outcome.reason

    # -- steps -----------------------------------------------------------------------------------

    async def work(self) -> None:
        while True:
            await self.going.wait()
            if (pause_s := self.rest_until - time.monotonic()) > 0:
                await asyncio.sleep(pause_s)
                continue
            number, self.next_step = self.next_step, self.next_step + 1
            do, dice = self.plan.step(number)
            tell("step", n=number, do=do)
            self.busy += 1
            self.idle.clear()
            try:
                await self.take_step(number, do, dice)
            except mx.errors.MexcfastError as error:
                tell("refused", n=number, do=do, why=f"{type(error).__name__}: {error}")
            finally:
                self.busy -= 1
                if not self.busy:
                    self.idle.set()
            await asyncio.sleep(0)

    async def take_step(self, number: int, do: str, dice: random.Random) -> None:
        many = len(self.orders.open_orders())
        if many > CROWDED and do != "cancel_all":
            do = "cancel_batch"
        steps: dict[str, Callable[[int, random.Random], Awaitable[None]]] = {
            "batch": self.batch, "nowait": self.nowait, "hasty": self.hasty, "amend": self.amend,
            "cancel": self.cancel, "cancel_batch": self.cancel_batch,
            "cancel_name": self.cancel_name, "cancel_all": self.cancel_all,
            "plan": self.plan_order, "stop": self.stop, "trailing": self.trailing,
            "uncondition": self.uncondition, "close": self.close, "reduce": self.reduce}
        act = steps.get(do)
        if act is not None:
            await act(number, dice)
        else:
            await self.place(number, dice, do)

    def draw(self, dice: random.Random, do: str) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Arguments of submit()."""
        symbol = dice.choice(SYMBOLS)
        contract = self.orders.contracts[symbol]
        buys = dice.random() < 0.5
        side = mx.Side.OPEN_LONG if buys else mx.Side.OPEN_SHORT
        away = dice.uniform(0.0005, 0.01) * (-1 if buys else 1)
        if do in ("taker", "ioc"):
            away = dice.uniform(0, 0.002) * (1 if buys else -1)
        price: Decimal | None = self.snapped(symbol, self.prices[symbol] * Decimal(1 + away))
        more: dict[str, Any] = {"leverage": 20}
        if do == "ioc":
            more["type"] = mx.OrderType.IOC
        elif do == "post":
            more["type"] = mx.OrderType.POST_ONLY
        elif do == "market":
            more["type"], price = mx.OrderType.MARKET, None
        quantity = contract.min_quantity * dice.randint(1, 5)
        return (symbol, side, quantity, price), more

    def snapped(self, symbol: str, price: Decimal) -> Decimal:
        tick = self.orders.contracts[symbol].tick_size
        return price // tick * tick

    async def place(self, number: int, dice: random.Random, do: str) -> None:
        args, more = self.draw(dice, do)
        waits: dict[str, Any] = {"wait": True}
        if do == "impatient":
            waits = {"wait": False}
        elif do == "keyed":
            waits = {"wait": True, "key": (args[0], args[1]), "max_age_ms": dice.randint(5, 300)}
        name = self.intend(str(number))
        outcome = await self.orders.submit(*args, client_order_id=name, **waits, **more)
        self.placed(str(number), name, outcome)

    async def reduce(self, number: int, dice: random.Random) -> None:
        held = [one for one in self.client.trader.mirror.positions.values() if one.quantity]
        if not held:
            return
        position = dice.choice(held)
        is_long = position.type == mx.types.PositionType.LONG
        side = mx.Side.CLOSE_LONG if is_long else mx.Side.CLOSE_SHORT
        price = self.snapped(position.symbol, self.prices[position.symbol]
                             * Decimal("0.999" if is_long else "1.001"))
        name = self.intend(str(number))
        self.placed(str(number), name, await self.orders.submit(
            position.symbol, side, min(position.quantity, Decimal(dice.randint(1, 20))), price,
            wait=True, client_order_id=name))

    async def hasty(self, number: int, dice: random.Random) -> None:
        """Whoever asked loses patience: the call is cancelled, the order may have left."""
        name = self.intend(str(number))
        args, more = self.draw(dice, "limit")
        call = asyncio.ensure_future(self.orders.submit(*args, client_order_id=name, wait=True,
                                                        **more))
        await asyncio.wait([call], timeout=dice.uniform(0, 0.03))
        call.cancel()
        await asyncio.wait([call])
        if not call.cancelled():
            self.placed(str(number), name, call.result())

    async def nowait(self, number: int, dice: random.Random) -> None:
        for part in range(dice.randint(1, 3)):
            own = f"{number}.{part}"
            name = self.intend(own)
            args, more = self.draw(dice, "limit")

            def told(outcome: Any, own: str = own, name: str = name) -> None:
                self.unanswered -= 1
                self.placed(own, name, outcome)

            self.orders.submit_nowait(*args, client_order_id=name, wait=True, callback=told,
                                      **more)
            self.unanswered += 1
        if self.unanswered > 50:
            await asyncio.sleep(0.1)

    async def batch(self, number: int, dice: random.Random) -> None:
        intents, names = [], []
        for part in range(dice.randint(2, 10)):
            args, more = self.draw(dice, "limit")
            names.append(self.intend(f"{number}.{part}"))
            intents.append(self.orders.intent(*args, client_order_id=names[-1], **more))
        outcomes = await self.orders.submit_batch(intents, wait=True)
        for part, (name, outcome) in enumerate(zip(names, outcomes, strict=True)):
            self.placed(f"{number}.{part}", name, outcome)

    def chosen(self, dice: random.Random, most: int) -> list[Any]:
        known = [order for order in self.orders.open_orders() if order.order_id is not None]
        return dice.sample(known, min(len(known), dice.randint(1, most))) if known else []

    async def amend(self, number: int, dice: random.Random) -> None:
        for order in self.chosen(dice, 1):
            if order.type not in (mx.OrderType.LIMIT, mx.OrderType.POST_ONLY) or not order.price:
                return
            tick = self.orders.contracts[order.symbol].tick_size
            price = order.price + dice.choice((-3, -2, -1, 1, 2, 3)) * tick
            quantity = dice.randint(1, 9)
            tell("amend", order=order.order_id)
            outcome = await self.orders.amend(order.symbol, order.order_id, price, quantity,
                                              wait=True)
            tell("amended", order=order.order_id, kind=type(outcome).__name__,
                 heir=outcome.order_id, why=self.why(outcome))

    async def cancel_these(self, orders: list[Any], symbol: str | None = None) -> None:
        if not orders:
            return
        outcomes = await self.orders.cancel(orders, symbol)
        for outcome in outcomes:
            tell("cancelled", order=outcome.order_id, id=outcome.client_order_id,
                 kind=type(outcome).__name__, why=self.why(outcome))

    async def cancel(self, number: int, dice: random.Random) -> None:
        await self.cancel_these(self.chosen(dice, 1))

    async def cancel_batch(self, number: int, dice: random.Random) -> None:
        most = 60 if len(self.orders.open_orders()) > CROWDED else 12
        await self.cancel_these(self.chosen(dice, most))

    async def cancel_name(self, number: int, dice: random.Random) -> None:
        for order in self.chosen(dice, 1):
            if order.client_order_id is None:
                return
            if dice.random() < 0.5:
                await self.cancel_these([order.client_order_id], order.symbol)
            else:
                outcome = await self.orders.cancel_one(order.symbol, order.client_order_id)
                tell("cancelled", order=None, id=order.client_order_id,
                     kind=type(outcome).__name__, why=self.why(outcome))

    async def cancel_all(self, number: int, dice: random.Random) -> None:
        outcome = await self.orders.cancel_all(dice.choice((None, *SYMBOLS)))
        tell("cancelled_all", kind=type(outcome).__name__, why=self.why(outcome))

    # -- conditional orders have no name: each carries a price or a distance nobody else has ----

    async def plan_order(self, number: int, dice: random.Random) -> None:
        symbol = dice.choice(SYMBOLS)
        rises = dice.random() < 0.5
        tick = self.orders.contracts[symbol].tick_size
        trigger = self.snapped(symbol, self.prices[symbol] * Decimal("1.03" if rises else "0.97"))
        trigger += tick * (number % 997)
        quantity = 1 + number % 5
        tell("conditional", kind="plan", n=number, mark=[symbol, str(trigger), quantity])
        outcome = await self.client.conditional.plan.place(
            symbol, mx.Side.OPEN_LONG, quantity, trigger,
            TriggerType.AT_OR_ABOVE if rises else TriggerType.AT_OR_BELOW, trigger, leverage=20,
            wait=True)
        tell("conditioned", n=number, kind=type(outcome).__name__, order=outcome.order_id,
             why=self.why(outcome))

    async def stop(self, number: int, dice: random.Random) -> None:
        held = [one for one in self.client.trader.mirror.positions.values() if one.quantity]
        if not held:
            return
        position = dice.choice(held)
        is_long = position.type == mx.types.PositionType.LONG
        tick = self.orders.contracts[position.symbol].tick_size
        far = Decimal("1.05" if is_long else "0.95")
        price = self.snapped(position.symbol, self.prices[position.symbol] * far)
        price += tick * (number % 997)
        tell("conditional", kind="stop", n=number, mark=[position.symbol, str(price), 1])
        outcome = await self.client.conditional.stop.place(
            position.position_id, 1, symbol=position.symbol, take_profit_price=price, wait=True)
        tell("conditioned", n=number, kind=type(outcome).__name__, order=outcome.order_id,
             why=self.why(outcome))

    async def trailing(self, number: int, dice: random.Random) -> None:
        symbol = dice.choice(SYMBOLS)
        back = Decimal(20000 + number % 997) / 1_000_000
        quantity = 1 + number % 5
        tell("conditional", kind="trailing", n=number, mark=[symbol, str(back), quantity])
        outcome = await self.client.conditional.trailing.place(
            symbol, mx.Side.OPEN_LONG, quantity, BackType.PERCENTAGE, back, leverage=20, wait=True)
        tell("conditioned", n=number, kind=type(outcome).__name__, order=outcome.order_id,
             why=self.why(outcome))

    async def uncondition(self, number: int, dice: random.Random) -> None:
        mirror, conditional = self.client.trader.mirror, self.client.conditional
        kind = dice.choice(("plan", "stop", "trailing"))
        if kind == "plan" and mirror.plans:
            some = dice.sample(sorted(mirror.plans), min(len(mirror.plans), 5))
            await conditional.plan.cancel([(mirror.plans[one].symbol, one) for one in some])
        elif kind == "stop" and mirror.stops:
            await conditional.stop.cancel(
                dice.sample(sorted(mirror.stops), min(len(mirror.stops), 5)))
        elif kind == "trailing" and mirror.trailing:
            one = dice.choice(sorted(mirror.trailing))
            await conditional.trailing.cancel(mirror.trailing[one].symbol, one)

    async def close(self, number: int, dice: random.Random) -> None:
        if dice.random() < 0.3:
            await self.client.positions.close_all()

    # -- prices, commands ------------------------------------------------------------------------

    async def look_at_prices(self) -> None:
        while True:
            try:
                for ticker in await self.client.market_api.tickers():
                    self.prices[ticker.symbol] = ticker.last_price
            except mx.errors.MexcfastError:
                pass
            await asyncio.sleep(0.5)

    async def mind_lag(self) -> None:
        """How long this process was kept from working: it may send two windows' worth at once."""
        while True:
            began = time.monotonic()
            await asyncio.sleep(0.005)
            late = time.monotonic() - began - 0.005
            if late > LAG_S:
                tell("lag", at=time.monotonic_ns(), ns=int(late * 1e9))

    async def check(self) -> None:
        """All that is known here, when nothing is under way any more."""
        self.going.clear()
        async with asyncio.timeout(120):
            while self.busy or self.unanswered:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        if "deaf" in self.sins:
            return self.state()
        try:
            async with asyncio.timeout(120):
                await self.orders.resolver.until_empty()
                while True:
                    try:
                        await self.orders.refresh()
                        await self.client.trader.ready.wait()
                        break
                    except mx.errors.MexcfastError as error:
                        tell("trouble", why=str(error))
                        await asyncio.sleep(0.2)
        except TimeoutError:
            tell("trouble", why="not settled, or not ready, in 120 s")
        self.state()

    def state(self) -> None:
        orders, mirror = self.orders, self.client.trader.mirror
        tell("state",
             orders=[[one.client_order_id, one.order_id, one.phase.name, one.filled_quantity,
                      one.quantity, one.is_ours] for one in orders.tracker],
             open=[one.order_id for one in orders.open_orders()],
             unresolved=[str(one) for one in orders.unresolved],
             journal=sorted(orders.journal.ledger.unsettled) if orders.journal else [],
             conflicts=orders.tracker.conflicts, mirror=mirror.state.value,
             found=str(orders.reconciler.last),
             mirror_orders=sorted(mirror.orders), plans=sorted(mirror.plans),
             stops=sorted(mirror.stops), trailing=sorted(mirror.trailing),
             unknown_kinds=[kind.value for kind in Kind if not mirror.knows(kind)],
             positions=[[one.symbol, int(one.type), one.quantity]
                        for one in mirror.positions.values()],
             balances={one.currency: [one.available, one.frozen, one.position_margin]
                       for one in mirror.balances.values()})

    async def obey(self) -> None:
        loop = asyncio.get_running_loop()
        reader = asyncio.StreamReader()
        await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
        while line := (await reader.readline()).strip():
            if line == b"pause":
                self.going.clear()
            elif line == b"check":
                await self.check()
            elif line == b"go":
                self.going.set()


def endpoint(told: dict[str, Any]) -> Endpoint:
    """The budgets shortened as the exchange's are."""
    scale, count = told["time_scale"], told["order_count"]
    limits = {group: (number, max(1, int(window_ms * scale)))
              for group, (number, window_ms) in GROUPS.items()}
    for group in ("order_place", "amend"):
        limits[group] = (count, limits[group][1])
    if "greedy" in told["sins"]:
        limits = {group: (number * 4, window) for group, (number, window) in limits.items()}
    return Endpoint.at(told["url"], recv_window_s=1, timeout_ms=1000, limits=limits,
                       connect_timeout_ms=1000, margin_ms=told["margin_ms"])


async def life(told: dict[str, Any]) -> None:
    plan = Plan(told["seed"], fault_rate=told["fault_rate"],
                steps_per_life=told["steps_per_life"])
    sins = frozenset(told["sins"])
    # The firewall's minutes, shortened as everything else.
    executor.PAUSES.update(rate=(0, 1000), edge=(400, 1500), opening=(400, 1500))
    more: dict[str, Any] = {}
    if "lane" in inspect.signature(mx.Client).parameters:
        more["lane"] = plan.lane
    while True:
        journal = TellingJournal(told["journal"], sins)
        client = mx.Client(endpoint(told), told["key"], told["secret"], journal=journal,
                           kill_switch=NEVER, streams=STREAMS, account=ACCOUNT, **more)
        async with client:
            bot = Bot(told, plan, client)
            if "deaf" in sins:
                deafen(client)
            try:
                await client.start(settle_within_s=60)
            except mx.errors.MexcfastError as error:
                tell("not_started", why=f"{type(error).__name__}: {error}")
                await asyncio.sleep(0.1)
                continue
            tasks = [asyncio.create_task(bot.look_at_prices()),
                     asyncio.create_task(bot.mind_lag())]
            async with asyncio.timeout(60):
                while len(bot.prices) < len(SYMBOLS):  # noqa: ASYNC110
                    await asyncio.sleep(0.02)
            tell("started", torn=journal.torn_bytes)
            tasks += [asyncio.create_task(bot.work()) for _ in range(bot.workers)]
            watched = [asyncio.create_task(bot.obey()), *tasks]
            done, _ = await asyncio.wait(watched, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()       # a bug of ours ends the bot, loudly
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
            return


class Deaf:
    """A tracker that does not believe some reports."""

    def __init__(self, tracker: Any) -> None:
        self._real = tracker

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)

    def report(self, order: Any) -> Any:
        if order.is_final and order.order_id % 2:
            return self._real.find(order.order_id)
        return self._real.report(order)


def deafen(client: mx.Client) -> None:
    """A sin: some reports are not believed."""
    orders = client.orders
    orders.feed._tracker = orders.reconciler._tracker = Deaf(orders.tracker)  # type: ignore[assignment]


if __name__ == "__main__":
    told = json.loads(sys.argv[1])
    logging.basicConfig(level=told["log_level"], stream=sys.stderr,
                        format="%(asctime)s %(name)s %(levelname)s %(message)s")
    asyncio.run(life(told))

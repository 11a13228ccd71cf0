"""`mexcfast doctor --drill`: every trigger of the kill switch, pulled on the exchange in the box.

For each trigger a fresh exchange in a process of its own, an account with a position and with
limit, plan, TP/SL and trailing orders, and then the real cause. Time runs from the cause to the
first look at the exchange's own truth (its control endpoint, not our reading of its answers) that
shows no open order of any kind. Run as a module it is the bot that one of the drills kills.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from decimal import Decimal
from pathlib import Path

from rich.box import MARKDOWN
from rich.console import Console
from rich.table import Table

import mexcfast
from mexcfast.cli.progress import Bar
from mexcfast.cli.sim import ChildExchange
from mexcfast.client import Client
from mexcfast.core.killswitch import KINDS, KillSwitchSettings, SwitchState, Trigger
from mexcfast.core.rest import Endpoint
from mexcfast.errors import KillSwitchTripped, MexcfastError
from mexcfast.types import Accepted, BackType, OrderType, Outcome, Rejected, Side, TriggerType

SYMBOL = "BTC_USDT"
PATIENCE_S = 60.0
SETTINGS = KillSwitchSettings(max_unknown=1, stream_lost_ms=500, clock_error_ms=1000,
                              signals=("SIGUSR1",), cancel_timeout_ms=1000)
#: More than the fees of what is set up, less than what its cause costs.
MAX_LOSS = Decimal("0.04")


@dataclass(slots=True)
class Result:
    """One drill. Times in ms from the cause."""

    trigger: str
    cause: str
    tripped_ms: float | None = None     # the switch has tripped
    none_ms: float | None = None        # no open order at the exchange
    proven_ms: float | None = None      # the switch says SAFE: nothing can come any more
    refused: bool = False               # an opening order ended as KillSwitchTripped, unsent
    survived: bool = False              # a new client with the same journal is tripped still
    reset: bool = False                 # and trades again after a reset by hand
    fault: str = ""

    @property
    def held(self) -> bool:
        """Whether everything was as it should be."""
        return not self.fault and None not in (self.tripped_ms, self.none_ms, self.proven_ms) and (
            self.refused and self.survived and self.reset)


async def place_everything(client: Client) -> None:
    """A position, and an order of every kind that nothing will trigger soon."""
    ticker, = await client._executor.request("tickers", params={"symbol": SYMBOL})
    tick = client.orders.contracts[SYMBOL].tick_size

    def price(part: str) -> Decimal:
        found: Decimal = (ticker.last_price * Decimal(part) // tick) * tick
        return found

    done: list[Outcome] = [
        await client.orders.submit(SYMBOL, Side.OPEN_LONG, 10, type=OrderType.MARKET, leverage=20,
                                   wait=True),
        await client.orders.submit(SYMBOL, Side.OPEN_LONG, 1, price("0.95"), leverage=20,
                                   wait=True)]
    held, = await client.positions.open()
    done += [
        await client.conditional.plan.place(SYMBOL, Side.OPEN_LONG, 1, price("0.9"),
                                            TriggerType.AT_OR_BELOW, type=OrderType.MARKET,
                                            leverage=20, wait=True),
        await client.conditional.stop.place(held.position_id, 10, symbol=SYMBOL,
                                            stop_loss_price=price("0.9"), wait=True),
        await client.conditional.trailing.place(SYMBOL, Side.CLOSE_LONG, 1, BackType.PERCENTAGE,
                                                Decimal("0.1"), leverage=20, wait=True)]
    refused = [one for one in done if not isinstance(one, Accepted)]
    if refused:
        raise RuntimeError(f"the drill could not be set up: {refused[0]}")


async def place(client: Client, side: Side = Side.OPEN_LONG, *, wait: bool = True) -> Outcome:
    """One order; what the venue says of it is the cause."""
    price = None if side is Side.CLOSE_LONG else 1000
    kind = OrderType.LIMIT if price else OrderType.MARKET
    return await client.orders.submit(SYMBOL, side, 1, price, type=kind, leverage=20, wait=wait)


Cause = Callable[[ChildExchange, Client], Awaitable[None]]


def answers(times: int, side: Side = Side.OPEN_LONG, **fault: object) -> Cause:
    """order/create answered wrongly, that many times."""
    async def cause(venue: ChildExchange, client: Client) -> None:
        await venue.control("faults", path="order/create", count=times, **fault)
        for _ in range(times):
            await place(client, side)
    return cause


async def by_hand(venue: ChildExchange, client: Client) -> None:
    client.kill_switch.trip("drill")


async def stream(venue: ChildExchange, client: Client) -> None:
    while not client.kill_switch.is_tripped:
        await venue.control("faults", kind="cut")
        await asyncio.sleep(0.01)


async def clock(venue: ChildExchange, client: Client) -> None:
    await venue.control("faults", kind="hang", path="contract/ping", seconds=2.5)
    await venue.control("faults", kind="clock_jump", ms=60_000)
    with suppress(MexcfastError):
        await client.positions.open()


async def operator(venue: ChildExchange, client: Client) -> None:
    assert client.kill_switch.operator_file is not None
    client.kill_switch.operator_file.touch()


async def signalled(venue: ChildExchange, client: Client) -> None:
    os.kill(os.getpid(), signal.SIGUSR1)


async def loss(venue: ChildExchange, client: Client) -> None:
    await client.orders.submit(SYMBOL, Side.CLOSE_LONG, 5, type=OrderType.MARKET, wait=True)


DRILLS: tuple[tuple[Trigger, str, Cause], ...] = (
    (Trigger.MANUAL, "kill_switch.trip()", by_hand),
    (Trigger.PATH_GONE, "404 on order/create, twice", answers(2, kind="http_status", status=404)),
    (Trigger.ACCESS_DENIED, "511", answers(1, kind="refuse", code=511)),
    (Trigger.MAINTENANCE, "604", answers(1, kind="refuse", code=604)),
    (Trigger.SIGNATURE, "602, three in a row", answers(3, kind="refuse", code=602)),
    (Trigger.UNREADABLE, "nonsense instead of JSON, three times",
     answers(3, kind="garble_answer")),
    (Trigger.EDGE, "the firewall's 403, twice",
     answers(2, Side.CLOSE_LONG, kind="html", status=403)),
    (Trigger.UNKNOWN_ORDERS, "two orders answered 503 (allowed: 1 in doubt)",
     answers(2, kind="http_status", status=503)),
    (Trigger.STREAM_LOST, "private stream cut again and again (allowed: 500 ms)", stream),
    (Trigger.CLOCK, "513, then a ping of 2.5 s (allowed: 1 s off)", clock),
    (Trigger.OPERATOR_FILE, "the operator's file appears", operator),
    (Trigger.SIGNAL, "SIGUSR1", signalled),
    (Trigger.LOSS, "a closed position lost more than allowed", loss),
)


class Truth:
    """Looks at the exchange's own books, as fast as they can be read."""

    def __init__(self, venue: ChildExchange) -> None:
        self._venue = venue

    async def open(self) -> dict[str, int]:
        """Open orders by kind."""
        found = await self._venue.control("open")
        return {kind: int(found[kind]) for kind in KINDS}

    async def until_none(self, began_ns: int) -> float:
        """Milliseconds from then to the first look that shows none."""
        while any((await self.open()).values()):  # noqa: ASYNC110 - over HTTP: it has no event
            await asyncio.sleep(0.002)
        return since(began_ns)


async def until(holds: Callable[[], object]) -> None:
    """Wait for something that has no event."""
    while not holds():  # noqa: ASYNC110
        await asyncio.sleep(0.002)


def since(began_ns: int) -> float:
    """Milliseconds."""
    return (time.monotonic_ns() - began_ns) / 1e6


async def opens_refused(client: Client) -> bool:
    """An opening order, and an opening plan, end unsent."""
    outcomes = [await place(client), await client.conditional.plan.place(
        SYMBOL, Side.OPEN_LONG, 1, 1000, TriggerType.AT_OR_BELOW, type=OrderType.MARKET,
        leverage=20)]
    return all(isinstance(one, Rejected) and isinstance(one.error, KillSwitchTripped)
               for one in outcomes)


async def after(result: Result, new_client: Callable[[], Client], trigger: Trigger) -> None:
    """A restart stays tripped, a reset by hand arms it again."""
    async with new_client() as second:
        kept = second.kill_switch.trip_info
        result.survived = (second.kill_switch.state is SwitchState.SAFE and kept is not None
                           and kept.trigger is trigger)
        await second.start()
        result.survived &= await opens_refused(second)
        second.kill_switch.reset("end of the drill")
        outcome = await place(second, wait=False)   # the firewall's pause may last
        result.reset = not (isinstance(outcome, Rejected)
                            and isinstance(outcome.error, KillSwitchTripped))


async def drill(trigger: Trigger, text: str, cause: Cause, folder: Path) -> Result:
    """One trigger, from the cause to the reset."""
    result = Result(trigger, text)
    async with asyncio.timeout(PATIENCE_S), ChildExchange(symbols=[SYMBOL], rate=20) as venue:
        def client() -> Client:
            return Client(Endpoint.at(venue.rest_url, recv_window_s=1), venue.access_key,
                          venue.secret, journal=folder / "orders",
                          kill_switch=replace(SETTINGS, max_loss=MAX_LOSS)
                          if trigger is Trigger.LOSS else SETTINGS)

        async with client() as first:
            await first.start()
            await place_everything(first)
            truth, switch = Truth(venue), first.kill_switch
            if not all((await truth.open()).values()):
                raise RuntimeError("the drill could not be set up: an order is missing")
            if switch.is_tripped:
                raise RuntimeError(f"tripped before its cause: {switch.trip_info}")
            began_ns = time.monotonic_ns()
            causing = asyncio.create_task(cause_and_notice(cause, venue, first))
            looking = asyncio.create_task(truth.until_none(began_ns))
            while not switch.is_tripped:
                if causing.done() and causing.exception() is not None:
                    await causing
                await asyncio.sleep(0.001)
            result.tripped_ms = since(began_ns)
            result.refused = await opens_refused(first)
            result.none_ms = await looking
            await switch.until_safe()
            result.proven_ms = since(began_ns)
            await causing
            left, tripped_by = await truth.open(), switch.trip_info
            if any(left.values()):
                result.fault = f"SAFE, but open: {left}"
            if tripped_by is None or tripped_by.trigger is not trigger:
                result.fault = f"tripped by {tripped_by}"
            await venue.control("faults", kind="clear")
        (folder / "orders.kill").unlink(missing_ok=True)
        await after(result, client, trigger)
    return result


async def cause_and_notice(cause: Cause, venue: ChildExchange, client: Client) -> None:
    """The cause; a call that the trip ends is no fault of the drill."""
    with suppress(MexcfastError):
        await cause(venue, client)


async def drill_watchdog(folder: Path) -> Result:
    """A bot in a process of its own is killed with SIGKILL."""
    result = Result(Trigger.WATCHDOG, "kill -9 of the bot")
    async with asyncio.timeout(PATIENCE_S), ChildExchange(symbols=[SYMBOL], rate=20) as venue:
        keys = {"MEXC_API_KEY": venue.access_key, "MEXC_API_SECRET": venue.secret}
        home = str(Path(mexcfast.__file__).parent.parent)
        bot = await asyncio.create_subprocess_exec(
            sys.executable, "-P", "-m", "mexcfast.cli.drill", venue.rest_url,
            str(folder / "orders"), stdout=asyncio.subprocess.PIPE, env={
                **os.environ, **keys, "PYTHONPATH": os.pathsep.join(
                    [home, *filter(None, [os.environ.get("PYTHONPATH")])])})
        assert bot.stdout is not None
        if (await bot.stdout.readline()).strip() != b"here":
            result.fault = "the bot did not start"
            await bot.wait()
            return result
        truth, state = Truth(venue), folder / "orders.switch"
        began_ns = time.monotonic_ns()
        bot.kill()
        looking = asyncio.create_task(truth.until_none(began_ns))
        await until(state.exists)
        result.tripped_ms, result.none_ms = since(began_ns), await looking
        await until(lambda: json.loads(state.read_bytes())["state"] == "SAFE")
        result.proven_ms = since(began_ns)
        await bot.wait()

        def client() -> Client:
            return Client(Endpoint.at(venue.rest_url, recv_window_s=1), venue.access_key,
                          venue.secret, journal=folder / "orders")

        await after(result, client, Trigger.WATCHDOG)
        result.refused = result.survived    # there is no first client left to ask
        await until(lambda: not (folder / "orders.watchdog").exists())     # it ends by itself
    return result


async def bot(url: str, journal: str) -> None:
    """The bot that is killed: places everything, beats, waits."""
    endpoint = Endpoint.at(url, recv_window_s=1)
    async with Client.from_env(endpoint, journal=journal) as client:
        await client.start()
        await client.watchdog()
        await place_everything(client)
        print("here", flush=True)
        await asyncio.sleep(PATIENCE_S)


async def run_drills(*, only: str | None = None, as_json: bool = False) -> int:
    """Every drill one after the other; 0 when all held. only: one trigger."""
    results: list[Result] = []
    console = Console()
    wide = Console(width=max(console.width, 180))       # a table that can be pasted
    chosen = [each for each in (*DRILLS, (Trigger.WATCHDOG, "", by_hand))
              if only is None or each[0] == only]
    with Bar("drilling") as bar:
        for number, (trigger, text, cause) in enumerate(chosen):
            bar(number, len(chosen), f"drilling: {trigger}")
            if not as_json and not console.is_terminal:
                console.print(f"{trigger} ...")
            with tempfile.TemporaryDirectory(prefix="mexcfast-drill-") as folder:
                try:
                    result = await (drill_watchdog(Path(folder)) if trigger is Trigger.WATCHDOG
                                    else drill(trigger, text, cause, Path(folder)))
                except TimeoutError:
                    result = Result(trigger, text, fault=f"not over after {PATIENCE_S:g} s")
                except (MexcfastError, RuntimeError, OSError, ValueError) as error:
                    result = Result(trigger, text, fault=f"{type(error).__name__}: {error}")
            results.append(result)
    held = bool(results) and all(result.held for result in results)
    if as_json:
        print(json.dumps({"held": held, "drills": [{**asdict(result), "held": result.held}
                                                   for result in results]}, indent=1))
    else:
        wide.print(table_of(results))
        console.print("all held" if held else "NOT everything held")
    return 0 if held else 1


def table_of(results: list[Result]) -> Table:
    """As it is pasted into docs/kill_switch.md."""
    table = Table(box=MARKDOWN)
    for name in ("trigger", "cause", "tripped", "no open order", "proven SAFE"):
        table.add_column(name, justify="right" if name not in ("trigger", "cause") else "left",
                         no_wrap=True)
    for name in ("opens refused", "survives restart", "reset", "held"):
        table.add_column(name, no_wrap=True)
    for result in results:
        times = [("-" if value is None else f"{value:.0f} ms") for value in
                 (result.tripped_ms, result.none_ms, result.proven_ms)]
        flags = ["yes" if flag else "NO" for flag in (result.refused, result.survived,
                                                      result.reset, result.held)]
        table.add_row(result.trigger, result.cause + (f": {result.fault}" if result.fault else ""),
                      *times, *flags)
    return table


if __name__ == "__main__":
    asyncio.run(bot(*sys.argv[1:]))

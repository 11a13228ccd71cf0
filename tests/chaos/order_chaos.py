"""Chaos for orders: an exchange that fails, a bot that is killed, a judge that believes neither.

    python tests/chaos/order_chaos.py --orders 50000 --seed 1
    python tests/chaos/order_chaos.py --orders 2000 --seed 1 --seeds 8         seeds 1 to 8

The exchange lives here, the bot in a process of its own (order_bot). The bot places, amends and
cancels through every door there is, while answers are lost before and after executing, connections
reset in the middle of request and answer, pushes lost, doubled and late, sockets cut and half-open,
the venue's clock jumps; and it is killed with SIGKILL and started anew on the same journal, some of
the times while it starts. After every start, before it may trade, and at the end, all faults stop
and the judge compares (order_judge): nothing lost, nothing doubled, every doubt settled to the
exchange's truth, mirror equal to the accounts, budgets kept by the exchange's count of arrivals.

One seed is one plan (order_plan). Odd seeds send orders over their own lane where there is one,
even ones over aiohttp. The exit status is 1 when the judge found anything.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from aiohttp import web

from chaos.order_judge import Arrivals, Judge, Ledger
from chaos.order_plan import SYMBOLS, Fault, Plan
from mexcfast.core.journal import replay
from mexcfast.sim import Exchange, Limits
from mexcfast.sim.rest import NORMAL, PLACING

BOT = Path(__file__).with_name("order_bot.py")
RATE = 10               # book versions a second and contract
PATIENCE_S = 240        # for the bot to start, settle and answer, on a machine under load
SILENCE_S = 240         # the longest between two steps of a bot that may trade
MOST_WAITING = 3        # rules for one path
#: Head of an answer that never ends.
TORN = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 64\r\n\r\n{\"succ"


@dataclass
class Report:
    """What one seed came to."""

    plan: Plan
    orders: int = 0
    at_exchange: int = 0
    restarts: int = 0
    checks: int = 0
    excused: int = 0
    conflicts: int = 0
    seconds: float = 0.0
    faults: Counter[str] = field(default_factory=Counter)
    counts: Counter[str] = field(default_factory=Counter)
    found: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        count = self.counts
        lines = [
            f"{self.plan!r}: {self.orders} orders wished, {self.at_exchange} at the exchange, "
            f"{self.restarts} kills, {self.checks} checks, {self.seconds:.0f} s, "
            f"order entry {self.plan.lane}",
            f"  faults {sum(self.faults.values())}: "
            + ", ".join(f"{kind} {number}" for kind, number in sorted(self.faults.items())),
            f"  outcomes: accepted {count['outcome Accepted']}, rejected "
            f"{count['outcome Rejected']}, unknown {count['outcome Unknown']}; settled later: "
            f"accepted {count['settled Accepted']}, rejected {count['settled Rejected']}; "
            f"amends {count['amended']}, cancels {count['cancelled']}, "
            f"conditional {count['conditional']}; refused before sending {count['refused']}; "
            f"starts that failed {count['not_started']}",
            "  unknown because: " + ", ".join(
                f"{name.removeprefix('why Unknown ')} {number}"
                for name, number in sorted(count.items()) if name.startswith("why Unknown")),
            "  rejected because: " + ", ".join(
                f"{name.removeprefix('why Rejected ')} {number}"
                for name, number in sorted(count.items()) if name.startswith("why Rejected")),
            f"  budgets: {self.excused} windows excused by stalls; refusals by REST that were "
            f"contradicted: {self.conflicts}"]
        if self.found:
            lines.append(f"  FOUND {len(self.found)}:")
            lines += [f"    {one}" for one in self.found[:30]]
        else:
            lines.append("  nothing lost, nothing doubled, everything settled")
        return "\n".join(lines)


class Chaos:
    """One seed. sins: what the bot does wrong on purpose, to try the judge."""

    def __init__(self, plan: Plan, orders: int, folder: Path, *, sins: tuple[str, ...] = (),
                 workers: int = 12, time_scale: float = 0.1, order_count: int = 20,
                 margin_ms: int = 100, log_level: int = 50) -> None:
        self.plan, self.orders, self.folder = plan, orders, folder
        self.told: dict[str, Any] = {
            "seed": plan.seed, "fault_rate": plan.fault_rate,
            "steps_per_life": plan.steps_per_life, "sins": list(sins), "workers": workers,
            "time_scale": time_scale, "order_count": order_count, "margin_ms": margin_ms,
            "journal": str(folder / "orders"), "log_level": log_level}
        self.venue = Exchange(
            seed=plan.seed, symbols=SYMBOLS, updates_per_second=RATE, levels=60,
            balance=100_000_000, log_size=1000,
            limits=Limits(order_budget=(order_count, 2.0), time_scale=time_scale,
                          no_subscription_seconds=None, no_ping_seconds=None,
                          max_age_seconds=None, key_age_seconds=None))
        self.venue.venue.most_orders = 10**9        # the truth forgets nothing
        self.ledger = Ledger()
        self.judge = Judge(self.venue, self.ledger)
        self.arrivals = Arrivals(margin_ms * 1_000_000)
        self.report = Report(plan)
        self.kills = plan.kills()
        self.next_kill = next(self.kills, None)
        self.resets: Counter[tuple[str, str]] = Counter()
        self.jumped = 0
        self.under_way = 0                          # requests that came and are not answered
        self.calm = True                            # no fault is injected
        self.state: asyncio.Future[dict[str, Any]] | None = None
        self.started = asyncio.Event()
        self.child: asyncio.subprocess.Process | None = None
        self.over = asyncio.Event()
        self.not_started = "it said nothing"
        self.killing: asyncio.Task[None] | None = None

    # -- the exchange ----------------------------------------------------------------------------

    def tap(self) -> None:
        """Count arrivals, and reset connections in the middle of request and answer."""
        front = self.venue._front
        inner = front.http

        async def http(request: web.BaseRequest) -> web.StreamResponse:
            path = request.raw_path.partition("?")[0]
            self._count(request.method, path)
            for kind in ("reset_request", "reset_answer"):
                for key in self.resets:
                    if key[0] == kind and self.resets[key] and path.endswith(key[1]):
                        self.resets[key] -= 1
                        self.report.faults[kind] += 1
                        if kind == "reset_answer":
                            await inner(request)
                            if request.transport is not None:
                                request.transport.write(TORN)
                        if request.transport is not None:
                            request.transport.abort()
                        return web.Response(status=500)
            return await inner(request)

        async def counted(request: web.BaseRequest) -> web.StreamResponse:
            self.under_way += 1
            try:
                return await http(request)
            finally:
                self.under_way -= 1

        front.http = counted  # type: ignore[method-assign]

    def _count(self, method: str, path: str) -> None:
        routed = self.venue._rest.route(method, path)
        if routed is None:
            return
        count, seconds = routed[0].budget
        if (count, seconds) == PLACING:
            count, seconds = self.venue.limits.order_budget or NORMAL
        self.arrivals.came(routed[0].path, time.monotonic_ns(), count,
                           int(seconds * self.venue.limits.time_scale * 1e9))

    def inject(self, fault: Fault) -> None:
        faults, more = self.venue.faults, dict(fault.more)
        path = more.get("path")
        if path is not None and sum(rule.path == path for rule in faults._rest) >= MOST_WAITING:
            return
        if fault.kind in ("reset_request", "reset_answer"):
            self.resets[fault.kind, more["path"]] += 1
        elif fault.kind == "late_pushes":
            self.venue.variations.private_delay_seconds = more["seconds"]
            self.report.faults[fault.kind] += 1
        elif fault.kind == "clock_jump":
            # There and back: two jumps within one request's life would unsay what time has said.
            ms = -self.jumped or more["ms"]
            self.jumped += ms
            faults.clock_jump(ms)
        else:
            faults.inject(fault.kind, more)

    async def _quiet(self) -> None:
        """No fault from now on, and none under way."""
        self.calm = True
        self._say(b"pause")
        self.venue.faults.clear()
        self.resets.clear()
        self.venue.variations.private_delay_seconds = 0.0
        self.venue.updates_per_second = 0
        async with asyncio.timeout(PATIENCE_S):
            while self.under_way:  # noqa: ASYNC110 - what hangs may be executed yet
                await asyncio.sleep(0.01)

    async def _mind_lag(self) -> None:
        while True:
            began = time.monotonic()
            await asyncio.sleep(0.005)
            late = time.monotonic() - began - 0.005
            if late > 0.02:
                self.ledger.lags.append((time.monotonic_ns(), int(late * 1e9)))

    # -- the bot ---------------------------------------------------------------------------------

    async def _spawn(self) -> None:
        self.started.clear()
        told = {**self.told, "url": self.venue.rest_url, "key": self.venue.access_key,
                "secret": self.venue.secret, "first_step": self.ledger.last_step + 1}
        self.child = await asyncio.create_subprocess_exec(
            sys.executable, "-P", str(BOT), json.dumps(told), stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE, limit=1 << 26,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)})
        self.ledger.life += 1

    async def _listen(self, child: asyncio.subprocess.Process) -> None:
        """Everything the bot tells, until it is dead."""
        assert child.stdout is not None
        async for line in child.stdout:
            if not line.endswith(b"\n"):
                break                           # torn by its death
            self._hear(json.loads(line))
        await child.wait()

    def _hear(self, line: dict[str, Any]) -> None:
        self.ledger.hear(line)
        what = line["e"]
        if what == "step" and not self.calm:
            for fault in self.plan.faults(line["n"]):
                self.inject(fault)
            kill = self.next_kill
            if kill is not None and line["n"] >= kill.step and self.killing is None:
                self.killing = asyncio.get_running_loop().create_task(self._kill(kill.delay_s))
        elif what == "not_started":
            self.not_started = line["why"]
        elif what == "started":
            self.started.set()
        elif what == "state" and self.state is not None and not self.state.done():
            self.state.set_result(line)
        if self.wished >= self.orders:
            self.over.set()

    @property
    def wished(self) -> int:
        return len(self.ledger.intents)

    async def _kill(self, delay_s: float) -> None:
        await asyncio.sleep(delay_s)
        if self.child is not None and self.child.returncode is None:
            self.child.send_signal(signal.SIGKILL)

    def _say(self, command: bytes) -> None:
        assert self.child is not None and self.child.stdin is not None
        self.child.stdin.write(command + b"\n")

    async def _check(self) -> None:
        """Stop everything, ask the bot what it knows, judge."""
        await self._quiet()
        self.state = asyncio.get_running_loop().create_future()
        self._say(b"check")
        state = await asyncio.wait_for(self.state, PATIENCE_S)
        self.report.checks += 1
        self.report.conflicts = max(self.report.conflicts, state["conflicts"])
        self.report.found += self.judge.check(state)

    async def _live(self) -> bool:
        """One life of the bot; False when it was the last."""
        await self._spawn()
        child = self.child
        assert child is not None
        listening = asyncio.create_task(self._listen(child))
        try:
            return await self._guide(child, listening)
        finally:
            if self.killing is not None:
                self.killing.cancel()
                self.killing = None
            if child.returncode is None:
                child.kill()
            async with asyncio.timeout(PATIENCE_S):
                await listening

    async def _guide(self, child: asyncio.subprocess.Process, listening: asyncio.Task[None]
                     ) -> bool:
        kill = self.next_kill
        if self.ledger.life > 1 and kill is not None and kill.start_s is not None:
            # Killed once more while it starts; the plan's next death is as planned.
            self.next_kill = None
            start_kill = asyncio.create_task(self._kill(kill.start_s))
            await asyncio.wait([listening, asyncio.create_task(self.started.wait())],
                               timeout=PATIENCE_S, return_when=asyncio.FIRST_COMPLETED)
            self.next_kill = type(kill)(kill.step, kill.delay_s, None)
            await start_kill
            if child.returncode is None:
                await asyncio.wait([listening], timeout=PATIENCE_S)
            self.report.restarts += 1
            return True
        waits = asyncio.create_task(self.started.wait())
        await asyncio.wait([listening, waits], timeout=PATIENCE_S,
                           return_when=asyncio.FIRST_COMPLETED)
        if not self.started.is_set():
            waits.cancel()
            self.report.found.append(f"STUCK: the bot did not start: {self.not_started}")
            self.report.found += self._doubts()
            return False
        await self._check()
        if self.report.found:
            return False
        self.calm = False
        self.venue.updates_per_second = RATE
        self._say(b"go")
        over = asyncio.create_task(self.over.wait())
        step = -2
        while not over.done() and not listening.done() and self.ledger.last_step != step:
            step = self.ledger.last_step
            await asyncio.wait([listening, over], timeout=SILENCE_S,
                               return_when=asyncio.FIRST_COMPLETED)
        stuck = not over.done() and not listening.done()
        over.cancel()
        if stuck:
            self.report.found.append(f"STUCK: the bot took no step for {SILENCE_S} s")
            return False
        if self.over.is_set() and child.returncode is None and not listening.done():
            if self.killing is not None:
                self.killing.cancel()
            await self._check()
            return False
        if child.returncode not in (None, -signal.SIGKILL):
            self.report.found.append(f"DIED: the bot ended by itself with {child.returncode}")
            return False
        self.report.restarts += 1
        while self.next_kill is not None and self.next_kill.step <= self.ledger.last_step:
            self.next_kill = next(self.kills)
        return True

    def _doubts(self) -> list[str]:
        """What the journal has no end of."""
        left = replay(Path(self.told["journal"]).read_bytes())[0].unsettled
        return [f"  in doubt: {entry}" for entry in left.values()]

    async def run(self) -> Report:
        """The whole plan."""
        began = time.monotonic()
        self.tap()
        async with self.venue:
            lag = asyncio.create_task(self._mind_lag())
            try:
                while await self._live():
                    pass
            finally:
                lag.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await lag
        report = self.report
        over, report.excused = self.arrivals.exceeded(self.ledger.lags)
        report.found += over
        report.orders, report.at_exchange = self.wished, len(self.venue.account.orders)
        report.faults += Counter(fault.kind for fault in self.venue.faults.log)
        report.counts, report.seconds = self.ledger.counts, time.monotonic() - began
        return report


def chaos(seed: int, orders: int, *, sins: tuple[str, ...] = (), fault_rate: float = 0.12,
          steps_per_life: int = 1500, **more: Any) -> Report:
    """One seed from beginning to end."""
    plan = Plan(seed, fault_rate=fault_rate, steps_per_life=steps_per_life)
    with tempfile.TemporaryDirectory() as folder:
        return asyncio.run(Chaos(plan, orders, Path(folder), sins=sins, **more).run())


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--orders", type=int, default=2000, help="orders wished for, each seed")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randint(1, 10**6))
    parser.add_argument("--seeds", type=int, default=1, help="how many, one after the other")
    parser.add_argument("--fault-rate", type=float, default=0.12, help="faults a step")
    parser.add_argument("--life", type=int, default=1500, help="steps between two kills; 0: none")
    parser.add_argument("--sin", action="append", default=[],
                        choices=("resend", "guess", "forget", "deaf", "greedy"))
    parser.add_argument("--log", default="CRITICAL", help="level of the bot's own log")
    asked = parser.parse_args()
    import logging

    bad = []
    for seed in range(asked.seed, asked.seed + asked.seeds):
        print(f"seed {seed}, {asked.orders} orders", flush=True)
        report = chaos(seed, asked.orders, sins=tuple(asked.sin), fault_rate=asked.fault_rate,
                       steps_per_life=asked.life, log_level=logging.getLevelName(asked.log))
        print(report, flush=True)
        if report.found:
            bad.append(seed)
    if bad:
        print(f"failing seeds: {bad}")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())

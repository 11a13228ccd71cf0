"""The ladder: cancel every open order of every kind, look, and again until nothing is left.

Used by the kill switch inside the bot and by the watchdog outside it. One round:

    1  the venue's own "cancel all" of each kind, together
    2  look: plan, TP/SL and trailing orders first, then limit orders, because the former become
       the latter when they are triggered
    3  whatever is still there is cancelled by its id, and looked for again

No step is trusted: an answer may be lost, refused (510) or hang; only looks count, and every list
must have been read. A look proves nothing while a write that left may still be taken, so the last
one begins after that. What the first way cannot do the second does: budgets of the venue are per
endpoint, and cancels, cancels by id and looks all have their own.
Source: protocol.md 4, 16.2 to 16.6.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from mexcfast.core.client_ids import ClientOrderIds
from mexcfast.core.intent import CANCEL_MAX, OrderIntent, cancel_all_body, cancel_body, encode_body
from mexcfast.core.killswitch import KillSwitchSettings
from mexcfast.core.rest import Subject
from mexcfast.core.throttle import Lane
from mexcfast.errors import IntentError, MexcfastError
from mexcfast.net.executor import Executor
from mexcfast.net.surface import walk
from mexcfast.types import (
    Accepted,
    Contract,
    OrderType,
    Position,
    PositionMode,
    PositionType,
    Side,
    Unknown,
)

log = logging.getLogger("mexcfast.net")

PAGE = 100
DAY_MS = 86_400_000
PAUSE_S, LONGEST_PAUSE_S = 0.05, 2.0
HEDGE_S = 0.4           # longer than this nobody waits for the answer of a "cancel all"


@dataclass(slots=True)
class Left:
    """What one look saw; None: that list could not be read."""

    limit: list[int] | None = field(default_factory=list)
    plan: list[tuple[str, int]] | None = field(default_factory=list)
    stop: list[int] | None = field(default_factory=list)
    trailing: list[tuple[str, int]] | None = field(default_factory=list)

    def __str__(self) -> str:
        return ", ".join(f"{'an unread list of' if found is None else len(found)} {kind}"
                         for kind, found in self.kinds() if found is None or found)

    def kinds(self) -> Iterable[tuple[str, Collection[Any] | None]]:
        """Each kind with what was found."""
        return (("limit", self.limit), ("plan", self.plan), ("stop", self.stop),
                ("trailing", self.trailing))

    @property
    def is_nothing(self) -> bool:
        """Every list was read and is empty."""
        return all(found is not None and not found for _, found in self.kinds())


class Ladder:
    """Works on one account through one executor.

    in_doubt_until_ms: venue time until which a write that has left may still be taken.
    """

    def __init__(self, executor: Executor, settings: KillSwitchSettings,
                 in_doubt_until_ms: Callable[[], int]) -> None:
        self.rounds = 0
        self._executor = executor
        self._settings = settings
        self._in_doubt_until_ms = in_doubt_until_ms
        self._ids = ClientOrderIds("ks", executor.clock.wall_ns())

    async def cancel_everything(self, late: Callable[[str], None]) -> None:
        """Return when no open order is left, proven by looking. Never gives up.

        late: told once when that takes longer than settings.stuck_after_ms: what is left.
        """
        settings, began = self._settings, time.monotonic()
        pause_s, is_late = PAUSE_S, False
        while True:
            self.rounds += 1
            hanging = await self._cancel_all()
            look_ms = self._executor.clock.venue_ms()
            left = await self._look()
            if not left.is_nothing:
                await self._cancel_by_id(left)
                look_ms = self._executor.clock.venue_ms()
                left = await self._look()
            for task in hanging:        # each has its own time limit
                await task
            if left.is_nothing and look_ms > self._in_doubt_until_ms():
                if await self._counts_agree():
                    return
            elif left.is_nothing:
                pause_s = 0.5       # nothing to do but wait for what may still arrive
            if not is_late and time.monotonic() - began > settings.stuck_after_ms / 1000:
                is_late = True
                late(str(left) or "requests in doubt")
            await asyncio.sleep(pause_s)
            pause_s = min(LONGEST_PAUSE_S, 2 * pause_s)

    # -- cancelling ------------------------------------------------------------------------------

    async def _cancel_all(self) -> Iterable[asyncio.Task[None]]:
        """Those that are not answered soon are left running: looking and ids need not wait."""
        steps = {"limit": ("cancel_all", cancel_all_body()),
                 "plan": ("plan_cancel_all", encode_body({})),
                 "stop": ("stop_cancel_all", encode_body({}))}
        tasks = [asyncio.create_task(self._write(*steps[kind])) for kind in self._settings.kinds
                 if kind in steps]
        return (await asyncio.wait(tasks, timeout=HEDGE_S))[1] if tasks else ()

    async def _cancel_by_id(self, left: Left) -> None:
        bodies: list[tuple[str, bytes]] = []
        for batch in _batches(left.limit):
            bodies.append(("cancel", cancel_body(batch)))
        for batch in _batches(left.plan):
            bodies.append(("plan_cancel", encode_body(
                [{"symbol": symbol, "orderId": number} for symbol, number in batch])))
        for batch in _batches(left.stop):
            bodies.append(("stop_cancel", encode_body(
                [{"stopPlanOrderId": number} for number in batch])))
        # There is no "cancel all" of trailing orders, only one of a contract's (16.6).
        bodies += [("track_cancel", encode_body({"symbol": symbol}))
                   for symbol in dict.fromkeys(symbol for symbol, _ in left.trailing or ())]
        if self.rounds > 1:     # one by one: a batch may be refused as a whole for one of them
            bodies += [("plan_cancel", encode_body([{"symbol": symbol, "orderId": number}]))
                       for symbol, number in (left.plan or ())[:CANCEL_MAX]]
            bodies += [("stop_cancel", encode_body([{"stopPlanOrderId": number}]))
                       for number in (left.stop or ())[:CANCEL_MAX]]
            bodies += [("track_cancel", encode_body({"symbol": symbol, "trackOrderId": number}))
                       for symbol, number in (left.trailing or ())[:CANCEL_MAX]]
        await asyncio.gather(*(self._write(name, body) for name, body in bodies))

    async def _write(self, name: str, body: bytes) -> None:
        """One cancel. Its outcome is looked at by looking, so every failure is only logged."""
        try:
            async with asyncio.timeout(self._settings.cancel_timeout_ms / 1000):
                outcome = await self._executor.execute(name, body, wait=True, lane=Lane.CANCEL)
            if not isinstance(outcome, Accepted):
                log.warning("kill switch: %s: %s", name, outcome.error)
        except TimeoutError:
            log.warning("kill switch: %s: no answer in time", name)
        except MexcfastError as error:
            log.error("kill switch: %s: %s", name, error)

    # -- looking ---------------------------------------------------------------------------------

    async def _look(self) -> Left:
        left, kinds = Left(), self._settings.kinds

        now_ms = self._executor.clock.venue_ms()
        # Without times only the last week is listed; 90 days is the most (16.4).
        times = {"start_time": now_ms - 89 * DAY_MS, "end_time": now_ms + DAY_MS // 2}

        async def plan() -> None:
            found = await self._list("plan_orders", states=[1], **times)
            left.plan = found and [(one.symbol, one.plan_id) for one in found]

        async def stop() -> None:
            found = await self._list("stop_open_orders")
            left.stop = found and [one.stop_id for one in found]

        async def trailing() -> None:
            found = await self._list("track_orders", states=[0, 1], **times)
            left.trailing = found and [(one.symbol, one.track_id) for one in found]

        looks = {"plan": plan, "stop": stop, "trailing": trailing}
        await asyncio.gather(*(looks[kind]() for kind in kinds if kind in looks))
        if "limit" in kinds:
            orders = await self._list("open_orders")
            left.limit = orders and [one.order_id for one in orders]
        return left

    async def _list(self, name: str, **params: object) -> list[Any] | None:
        """Every item; None when the list could not be read to its end."""
        page, size = (("pageIndex", "pageSize") if name == "track_orders" else
                      ("page_num", "page_size"))

        try:
            if name == "stop_open_orders":
                return list(await self._read(name))
            return [one async for one in walk(
                lambda number: self._read(name, {**params, page: number, size: PAGE}), PAGE)]
        except TimeoutError:
            log.warning("kill switch: %s: no answer in time", name)
        except MexcfastError as error:
            log.warning("kill switch: %s: %s", name, error)
        return None

    async def _counts_agree(self) -> bool:
        """The venue's own count of open orders must not contradict empty lists."""
        try:
            async with asyncio.timeout(self._settings.cancel_timeout_ms / 1000):
                counts = await self._executor.request("open_order_counts", body=b"{}",
                                                      lane=Lane.CANCEL)
        except (TimeoutError, MexcfastError) as error:
            log.warning("kill switch: the counts of open orders could not be read: %s", error)
            return True         # documented poorly and not needed: the lists have been read
        seen = {"limit": counts.limit, "plan": counts.plan, "stop": counts.stop,
                "trailing": counts.trailing}
        more = {kind: seen[kind] for kind in self._settings.kinds if seen[kind]}
        if more:
            log.warning("kill switch: the lists are empty, the counts are not: %s", more)
        return not more

    # -- closing ---------------------------------------------------------------------------------

    async def close_positions(self, late: Callable[[str], None]) -> None:
        """Close every position at market, reduce-only; returns when none is left.

        Closing orders can close only what is there, so one that comes twice does no harm; yet while
        one is in doubt nothing more is sent for its position until it has expired.
        """
        began, is_late, pause_s = time.monotonic(), False, PAUSE_S
        waiting: dict[int, int] = {}        # position id -> venue time until which to wait
        while True:
            try:
                held: tuple[Position, ...] = await self._read("positions")
                held = tuple(position for position in held if position.quantity)
                if not held:
                    return
                mode = PositionMode(await self._read("position_mode"))
                for position in held:
                    if self._executor.clock.venue_ms() > waiting.get(position.position_id, 0):
                        waiting[position.position_id] = await self._close(position, mode)
                why = f"{len(held)} positions are open"
            except (TimeoutError, MexcfastError, ValueError) as error:
                why = str(error) or type(error).__name__
                log.warning("kill switch: closing positions: %s", why)
            if not is_late and time.monotonic() - began > self._settings.stuck_after_ms / 1000:
                is_late = True
                late(why)
            await asyncio.sleep(pause_s)
            pause_s = min(LONGEST_PAUSE_S, 2 * pause_s)

    async def _read(self, name: str, params: dict[str, object] | None = None) -> Any:
        async with asyncio.timeout(self._settings.cancel_timeout_ms / 1000):
            return await self._executor.request(name, params=params, lane=Lane.CANCEL)

    async def _close(self, position: Position, mode: PositionMode) -> int:
        """One closing order; until when nothing more may be sent for this position."""
        contract: Contract
        contract, = await self._read("contracts", {"symbol": position.symbol})
        quantity: Decimal = min(position.quantity, contract.max_quantity)
        side = Side.CLOSE_LONG if position.type == PositionType.LONG else Side.CLOSE_SHORT
        one_way = mode == PositionMode.ONE_WAY
        try:
            intent = OrderIntent(
                contract, side, quantity, type=OrderType.MARKET, open_type=position.open_type,
                client_order_id=self._ids.mint(), position_id=position.position_id,
                position_mode=mode if one_way else None, reduce_only=one_way)
        except IntentError as error:
            log.error("kill switch: %s cannot be closed: %s", position.symbol, error)
            raise
        outcome = await self._executor.execute(
            "create", intent.body, Subject(position.symbol, intent.client_order_id), wait=True,
            lane=Lane.REDUCE)
        if isinstance(outcome, Unknown):
            return ((outcome.ts_sent_ms or self._executor.clock.venue_ms())
                    + self._executor.endpoint.expiry_ms)
        if not isinstance(outcome, Accepted):
            log.warning("kill switch: closing %s: %s", position.symbol, outcome.error)
        return 0


def _batches(items: list[Any] | None) -> Iterable[list[Any]]:
    """Fifty at a time."""
    found = items or []
    return (found[start:start + CANCEL_MAX] for start in range(0, len(found), CANCEL_MAX))

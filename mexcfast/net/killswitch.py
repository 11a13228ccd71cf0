"""The kill switch inside the bot: watches, trips, works the ladder, remembers, tells.

What trips it and where it stands: core/killswitch. How everything is cancelled: net/ladder. From
the moment it trips the executor's guard refuses what adds risk, also what already waits for a slot:
those calls end as Rejected(KillSwitchTripped), and nothing was sent. Cancels, orders that only
reduce, and reads pass.

The state is a small file beside the journal, without keys or amounts. It is written at every step,
first when it trips; a restart finds it and stays tripped. The runbook: docs/kill_switch.md.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from decimal import Decimal
from pathlib import Path

from mexcfast.core.killswitch import (
    KillSwitchSettings,
    Switch,
    SwitchState,
    Trigger,
    Trip,
)
from mexcfast.core.rest import Route
from mexcfast.core.throttle import Lane
from mexcfast.core.tracker import TrackedOrder
from mexcfast.errors import ConfigError, MexcfastError
from mexcfast.net.alerts import AlertLevel, Alerts
from mexcfast.net.executor import Executor
from mexcfast.net.ladder import Ladder
from mexcfast.net.tasks import end
from mexcfast.types import Contract, Fill

log = logging.getLogger("mexcfast.net")

ARMED = SwitchState.ARMED
WATCH_S = 0.1
DAY_MS = 86_400_000
#: After these the process ends once everything is cancelled; other signals only trip.
ENDING = ("SIGTERM", "SIGINT")


class StateFile:
    """The switch's state on disk: replaced as a whole, readable by its owner only."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)

    def read(self) -> bytes | None:
        """None when there is none; what cannot be read is empty, which counts as tripped."""
        try:
            return self.path.read_bytes()
        except FileNotFoundError:
            return None
        except OSError:
            return b""

    def write(self, data: bytes) -> None:
        """Survives the death of this process at once; flush() makes it survive a power cut."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        fresh = self.path.with_name(f"{self.path.name}.{os.getpid()}.new")
        fd = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        try:
            os.write(fd, data)
        finally:
            os.close(fd)
        os.replace(fresh, self.path)

    def flush(self) -> None:
        """Wait for the disk: the file and its name."""
        for path in (self.path, self.path.parent):
            with suppress(OSError):     # not every system lets a folder be opened
                fd = os.open(path, os.O_RDONLY)
                try:
                    os.fsync(fd)
                finally:
                    os.close(fd)


def _nothing() -> int:
    return 0


def _no_stream() -> bool | None:
    return None


class DayResult:
    """Realised result of own fills since midnight UTC, by currency; each fill counts once."""

    def __init__(self) -> None:
        self.results: dict[str, Decimal] = {}
        self._day = 0
        self._seen: set[int] = set()

    def take(self, fill: Fill, settle: str | None, now_ms: int) -> None:
        """One fill; settle: currency of its profit, None takes the fee's."""
        day = now_ms // DAY_MS
        if day != self._day:
            self._day = day
            self._seen.clear()
            self.results.clear()
        if fill.fill_id in self._seen or fill.ts_venue_ms // DAY_MS != day:
            return
        self._seen.add(fill.fill_id)
        for currency, amount in ((settle or fill.fee_currency, fill.profit),
                                 (fill.fee_currency, -fill.fee)):
            if amount:
                self.results[currency] = self.results.get(currency, Decimal(0)) + amount

    def of(self, now_ms: int) -> Mapping[str, Decimal]:
        """Today's."""
        return self.results if now_ms // DAY_MS == self._day else {}


class KillSwitch:
    """One account's kill switch.

    path: the state file; None keeps the state in memory only. account: a fingerprint of the key.
    unresolved: how many requests are in doubt. stream_is_there: whether the private stream is
    there and caught up, None while nobody follows it.
    """

    def __init__(self, executor: Executor, settings: KillSwitchSettings | None = None,
                 alerts: Alerts | None = None, *, path: str | os.PathLike[str] | None = None,
                 operator_file: str | os.PathLike[str] | None = None, account: str = "",
                 unresolved: Callable[[], int] = _nothing,
                 stream_is_there: Callable[[], bool | None] = _no_stream) -> None:
        self.switch = Switch(settings)
        self.alerts = alerts or Alerts()
        self.day = DayResult()
        self.ladder: Ladder | None = None       # the last one
        #: asked before anything that adds risk leaves; a Trip it gives trips the switch
        self.fences: list[Callable[[], Trip | None]] = []
        #: venue time until which a write that has left, of anybody's, may still be taken
        self.in_doubt_until_ms: Callable[[], int] = lambda: 0
        self._executor = executor
        self.switch.account = account
        self._unresolved = unresolved
        self._stream_is_there = stream_is_there
        self._stream_lost_ns: int | None = None
        self._file = None if path is None else StateFile(path)
        named = self.settings.operator_file
        self.operator_file = Path(named) if named else (
            Path(operator_file) if operator_file is not None and named is None else None)
        self._safe = asyncio.Event()
        self._work: asyncio.Task[None] | None = None
        self._watch: asyncio.Task[None] | None = None
        self._signals: list[signal.Signals] = []
        self._wants_work = False
        executor.guard = self._guard
        executor.on_answer = self._answered
        self._restore()

    def __repr__(self) -> str:
        why = f" by {self.trip_info.trigger}" if self.trip_info is not None else ""
        return f"<KillSwitch {self.state}{why}>"

    @property
    def settings(self) -> KillSwitchSettings:
        """What trips it and what it does then."""
        return self.switch.settings

    @property
    def state(self) -> SwitchState:
        """Where it stands."""
        return self.switch.state

    @property
    def is_tripped(self) -> bool:
        """Whether what adds risk is refused."""
        return self.switch.is_tripped

    @property
    def trip_info(self) -> Trip | None:
        """What tripped it first since the last reset: trigger, text, ts_ms."""
        return self.switch.trip

    # -- by hand ---------------------------------------------------------------------------------

    def trip(self, text: str = "by hand", trigger: Trigger = Trigger.MANUAL) -> None:
        """Refuse what adds risk from this moment, and start cancelling everything.

        Returns at once; until_safe() waits for the end. Needs a running event loop.
        """
        now_ms = self._executor.clock.wall_ms()
        starts = self.switch.note(trigger, text, now_ms)
        if not starts:
            return
        self._safe.clear()
        self._executor.recheck_queue()
        self._persist()
        self._tell(AlertLevel.CRITICAL, f"tripped: {text}")
        self._climb()

    async def until_safe(self) -> None:
        """Wait until no open order is left; at once when it is ARMED."""
        if self.is_tripped:
            await self._safe.wait()

    def reset(self, reason: str, *, force: bool = False) -> None:
        """Arm it again, by hand. force: although the ladder could not prove that nothing is open.

        Raises ConfigError without a reason, and while the ladder is at work.
        """
        self.switch.reset(reason, self._executor.clock.wall_ms(), force=force)
        if self._work is not None:
            self._work.cancel()
            self._work = None
        self._stream_lost_ns = None
        self._persist()
        self._tell(AlertLevel.WARNING, f"reset: {reason}")

    def count_fills(self, contracts: Mapping[str, Contract]) -> Callable[[TrackedOrder], None]:
        """A hook for Orders.on_change that adds up the day's realised result."""
        switch = self.switch

        def hear(order: TrackedOrder) -> None:
            if switch.settings.max_loss is None:
                return
            for fill in order.fills:
                contract = contracts.get(fill.symbol)
                self.day.take(fill, None if contract is None else contract.settle_coin,
                              self._executor.clock.wall_ms())
        return hear

    # -- the start and the end -------------------------------------------------------------------

    async def start(self) -> None:
        """Watch from now on; go on with a ladder that an earlier run did not finish."""
        if self._watch is not None:
            return
        loop = asyncio.get_running_loop()
        for name in self.settings.signals:
            number = getattr(signal, name, None)
            try:
                if number is None:
                    raise NotImplementedError
                loop.add_signal_handler(number, self._signalled, name, number)
            except (NotImplementedError, AttributeError):       # Windows has no such handlers
                raise ConfigError(f"signals names {name!r}; allowed: signals that this system's "
                                  "event loop can wait for") from None
            self._signals.append(number)
        if self._wants_work:
            self._climb()
        self._watch = loop.create_task(self._run(), name="mexcfast kill switch")

    async def close(self) -> None:
        """Stop watching, and the ladder; the state stays as it is on disk."""
        if self._watch is not None:
            with suppress(NotImplementedError, RuntimeError):
                for number in self._signals:
                    asyncio.get_running_loop().remove_signal_handler(number)
            self._signals.clear()
        await end(self._watch, self._work)
        self._watch = self._work = None
        await self.alerts.close()

    def _signalled(self, name: str, number: signal.Signals) -> None:
        self.trip(f"{name} received", Trigger.SIGNAL)
        if name in ENDING:
            loop = asyncio.get_running_loop()
            loop.remove_signal_handler(number)      # a second one ends the process at once
            self._signals.remove(number)
            task = loop.create_task(self.until_safe())
            task.add_done_callback(lambda done: None if done.cancelled()
                                   else signal.raise_signal(number))

    # -- watching --------------------------------------------------------------------------------

    def _guard(self, route: Route, lane: Lane) -> MexcfastError | None:
        if self.switch.state is ARMED and not self.fences:
            return None                 # asked for every order, and this is nearly always so
        if self.fences and not self.is_tripped and lane in (Lane.OPEN, Lane.AMEND):
            for fence in self.fences:
                if (trip := fence()) is not None:
                    self.trip(trip.text, trip.trigger)
        return self.switch.refusal(route, lane)

    def _answered(self, route: Route, error: MexcfastError | None) -> None:
        if error is None:
            self.switch.answered()
            return
        trip = self.switch.answer(route, error, self._executor.clock.wall_ms())
        if trip is not None and not self.is_tripped:
            self.trip(trip.text, trip.trigger)

    async def _run(self) -> None:
        while True:
            try:
                self.look()
            except Exception:       # our own bug: say so, and go on watching
                log.exception("the kill switch stumbled")
            await asyncio.sleep(WATCH_S)

    def look(self) -> None:
        """Look at everything that no answer tells; the watch does so ten times a second."""
        if self.is_tripped:
            return
        clock = self._executor.clock
        is_there, now_ns = self._stream_is_there(), clock.monotonic_ns()
        if is_there is not False:
            self._stream_lost_ns = None
        elif self._stream_lost_ns is None:
            self._stream_lost_ns = now_ns
        lost_ns = None if self._stream_lost_ns is None else now_ns - self._stream_lost_ns
        operator = self.operator_file
        found = str(operator) if operator is not None and operator.exists() else None
        now_ms = clock.wall_ms()
        trip = self.switch.look(
            now_ms, unknown=self._unresolved(), clock_error_ms=clock.error_ms,
            stream_lost_ms=None if lost_ns is None else lost_ns // 1_000_000,
            losses=self.day.of(now_ms), operator_file=found)
        if trip is not None:
            self.trip(trip.text, trip.trigger)

    # -- the ladder ------------------------------------------------------------------------------

    def _climb(self) -> None:
        self._wants_work = False
        if self._work is None or self._work.done():
            self._work = asyncio.get_running_loop().create_task(
                self._work_off(), name="mexcfast kill switch ladder")

    async def _work_off(self) -> None:
        while self.state is SwitchState.TRIPPED:    # it may trip again while the end is told
            await self._cancel_everything()

    async def _cancel_everything(self) -> None:
        began_ns = time.monotonic_ns()
        flushing = asyncio.get_running_loop().run_in_executor(None, self._flush)
        self.switch.begin()
        self._persist()
        self._tell(AlertLevel.WARNING, f"cancelling every {', '.join(self.settings.kinds)} order")
        ladder = self.ladder = Ladder(self._executor, self.settings,
                                      lambda: max(self.in_doubt_until_ms(),
                                                  self._executor.doubt_until_ms))
        while True:
            try:
                await ladder.cancel_everything(self._late)
                if self.settings.close_positions:
                    self._tell(AlertLevel.WARNING, "no open order is left; closing positions")
                    await ladder.close_positions(self._late)
                break
            except Exception:       # our own bug must not end the ladder
                log.exception("the ladder stumbled")
                self._late("a fault of the ladder itself, see the log")
                await asyncio.sleep(1)
        await flushing
        self.switch.gone()
        self._persist()
        took_ms = (time.monotonic_ns() - began_ns) // 1_000_000
        held = ", positions are closed" if self.settings.close_positions else ""
        self._tell(AlertLevel.WARNING, f"no open order is left{held}: proven after {took_ms} ms, "
                   f"{ladder.rounds} rounds")
        self._safe.set()

    def _late(self, left: str) -> None:
        self.switch.late()
        self._persist()
        self._tell(AlertLevel.CRITICAL, f"cannot prove that nothing is open: {left}; going on")

    # -- the file --------------------------------------------------------------------------------

    def _restore(self) -> None:
        data = None if self._file is None else self._file.read()
        if data is None:
            return
        self._wants_work = self.switch.restore(data, self._executor.clock.wall_ms())
        if self.state is SwitchState.SAFE:
            self._safe.set()
        if self.is_tripped:
            assert self.trip_info is not None
            log.warning("the kill switch is %s since an earlier run: %s", self.state,
                        self.trip_info.text)

    def _persist(self) -> None:
        if self._file is not None:
            try:
                self._file.write(self.switch.encode())
            except OSError as error:        # cancelling matters more than remembering it
                self._tell(AlertLevel.CRITICAL, f"the state could not be written: {error}")

    def _flush(self) -> None:
        if self._file is not None:
            self._file.flush()

    def _tell(self, level: AlertLevel, text: str) -> None:
        trigger = self.trip_info.trigger if self.trip_info is not None else Trigger.MANUAL
        self.alerts.send(level, trigger, text, self._executor.clock.wall_ms(), self.state)


def reset_file(path: str | os.PathLike[str], reason: str, *, force: bool = False) -> Trip | None:
    """Arm the switch of a state file while no bot runs; what had tripped it, None if nothing.

    Raises ConfigError without a reason, or when its orders are not proven cancelled and not forced.
    """
    file, switch = StateFile(path), Switch()
    data = file.read()
    if data is None:
        raise ConfigError(f"{path} does not exist; allowed: the state file of a kill switch")
    now_ms = time.time_ns() // 1_000_000
    unfinished = switch.restore(data, now_ms)
    trip = switch.trip
    if unfinished:
        if not force:
            raise ConfigError(f"{path}: open orders are not proven cancelled; allowed: start the "
                              "bot so that it finishes, or force the reset")
        switch.begin()
        switch.late()
    switch.reset(reason, now_ms, force=force)
    file.write(switch.encode())
    file.flush()
    return trip

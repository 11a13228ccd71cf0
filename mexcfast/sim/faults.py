"""Faults on purpose: from code or from a seeded script (protocol.md 10.2, 18.3).

Faults act on what one socket is sent or on one REST answer; the books stay true. Each rule is used
up after `count` uses. `log` tells what was done.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

FRAME_KINDS = ("drop", "duplicate", "reorder", "delay")
KINDS = (*FRAME_KINDS, "cut", "snapshot_lag", "short_commits", "http_status", "lose_answer")


@dataclass(slots=True)
class Rule:
    """A fault waiting for its occasion."""

    kind: str
    channel: str = ""
    symbol: str | None = None
    count: int = 1
    seconds: float = 0.0
    versions: int = 0
    path: str = ""
    status: int = 0
    after_execute: bool = False


@dataclass(slots=True)
class Injected:
    """One fault that took place."""

    time_ms: int
    kind: str
    channel: str
    symbol: str

    def wire(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "time": self.time_ms,
            "kind": self.kind,
            "channel": self.channel,
            "symbol": self.symbol,
        }


class Faults:
    """The rules that wait, and the log of those that happened."""

    def __init__(self, clock_ms: Callable[[], int], symbols: Sequence[str]) -> None:
        self.log: list[Injected] = []
        self.frames: list[Rule] = []
        """Rules for frames; the sender looks here first, and mostly finds it empty."""
        self._rest: list[Rule] = []
        self._clock_ms = clock_ms
        self._symbols = list(symbols)
        self._cut: Callable[[str | None], int] = lambda symbol: 0
        self._script: tuple[random.Random, float, tuple[str, ...]] | None = None
        self._next_ns = 0

    def bind_cut(self, cut: Callable[[str | None], int]) -> None:
        """The server says how sockets are cut."""
        self._cut = cut

    # Injected from code

    def drop(self, channel: str = "depth", symbol: str | None = None, count: int = 1) -> None:
        """Leave out the next frames of a channel."""
        self._frame("drop", channel, symbol, count)

    def duplicate(self, channel: str = "depth", symbol: str | None = None, count: int = 1) -> None:
        """Send the next frames twice."""
        self._frame("duplicate", channel, symbol, count)

    def reorder(self, channel: str = "depth", symbol: str | None = None, count: int = 1) -> None:
        """Swap the next frame with the one after it on the same socket."""
        self._frame("reorder", channel, symbol, count)

    def delay(
        self,
        channel: str = "depth",
        symbol: str | None = None,
        count: int = 1,
        seconds: float = 0.3,
    ) -> None:
        """Hold the next frame back; later frames of its channel and symbol wait behind it."""
        if not 0 <= seconds <= 3600:
            raise ValueError(f"seconds {seconds}: 0 to 3600")
        self._frame("delay", channel, symbol, count, seconds)

    def cut(self, symbol: str | None = None) -> int:
        """Abort connections without a close frame: all, or those subscribed to a symbol."""
        number = self._cut(symbol)
        self.note("cut", "", symbol or "")
        return number

    def snapshot_lag(self, symbol: str, versions: int, count: int = 1) -> None:
        """The next depth answers are this many versions old."""
        _positive("versions", versions)
        self._add_rest(Rule("snapshot_lag", symbol=symbol, versions=versions, count=count))

    def short_commits(self, symbol: str, count: int = 1) -> None:
        """The next depth_commits answers hold the newest commit only: they start too late."""
        self._add_rest(Rule("short_commits", symbol=symbol, count=count))

    def http_status(
        self, path: str, status: int, after_execute: bool = False, count: int = 1
    ) -> None:
        """Answer a path with this HTTP status, before or after executing the request."""
        if not 400 <= status <= 599:
            raise ValueError(f"status {status}: 400 to 599")
        self._add_rest(
            Rule("http_status", path=path, status=status, after_execute=after_execute, count=count)
        )

    def lose_answer(self, path: str, count: int = 1) -> None:
        """Execute the request, then drop the connection instead of answering."""
        self._add_rest(Rule("lose_answer", path=path, after_execute=True, count=count))

    def clear(self) -> None:
        """Forget every waiting rule and stop the script."""
        self.frames.clear()
        self._rest.clear()
        self._script = None

    # From a seeded script

    def start_script(
        self,
        seed: int,
        every: float = 1.0,
        kinds: Sequence[str] = ("drop", "duplicate", "reorder", "delay", "cut"),
    ) -> None:
        """One fault of a drawn kind on a drawn symbol, on average each `every` seconds."""
        unknown = set(kinds) - set(FRAME_KINDS) - {"cut", "snapshot_lag", "short_commits"}
        if unknown or not kinds:
            raise ValueError(f"kinds {sorted(unknown)}: not for a script")
        if not 0 < every < 86_400:
            raise ValueError(f"every {every}: above 0 seconds")
        self._script = (random.Random(f"{seed}:faults"), every, tuple(kinds))
        self._next_ns = 0

    def stop_script(self) -> None:
        """No more faults of the script; rules already waiting stay."""
        self._script = None

    def run_due(self, now_ns: int) -> None:
        """The server's timer calls this; injects what the script holds due."""
        if self._script is None:
            return
        rng, every, kinds = self._script
        if not self._next_ns:
            self._next_ns = now_ns + int(every * 1e9 * rng.uniform(0.5, 1.5))
        if now_ns < self._next_ns:
            return
        self._next_ns = now_ns + int(every * 1e9 * rng.uniform(0.5, 1.5))
        kind, symbol = rng.choice(kinds), rng.choice(self._symbols)
        if kind == "cut":
            self.cut(symbol)
        elif kind == "snapshot_lag":
            self.snapshot_lag(symbol, versions=rng.randint(1, 200))
        elif kind == "short_commits":
            self.short_commits(symbol)
        else:
            seconds = rng.uniform(0.05, 0.5) if kind == "delay" else 0.0
            self._frame(kind, "depth", symbol, 1, seconds)

    # Used by senders

    def take_frame(self, channel: str, symbol: str) -> Rule | None:
        """The rule that applies to this frame now, used up by one."""
        for rule in self.frames:
            if rule.channel == channel and rule.symbol in (None, symbol):
                self._use(self.frames, rule)
                self.note(rule.kind, channel, symbol)
                return rule
        return None

    def take_rest(self, kind: str, *, symbol: str = "", path: str = "") -> Rule | None:
        """The REST rule of this kind for a symbol or a path, used up by one."""
        for rule in self._rest:
            if rule.kind != kind:
                continue
            fits = path.endswith(rule.path) if rule.path else rule.symbol in (None, symbol)
            if fits:
                self._use(self._rest, rule)
                self.note(kind, path, symbol)
                return rule
        return None

    def note(self, kind: str, channel: str, symbol: str) -> None:
        """Write to the log; the oldest half goes when it is long."""
        if len(self.log) >= 20_000:
            del self.log[:10_000]
        self.log.append(Injected(self._clock_ms(), kind, channel, symbol))

    def _use(self, rules: list[Rule], rule: Rule) -> None:
        rule.count -= 1
        if rule.count <= 0:
            rules.remove(rule)

    def _frame(
        self, kind: str, channel: str, symbol: str | None, count: int, seconds: float = 0.0
    ) -> None:
        _positive("count", count)
        self._known(symbol)
        self.frames.append(Rule(kind, channel, symbol, count, seconds))

    def _add_rest(self, rule: Rule) -> None:
        _positive("count", rule.count)
        self._known(rule.symbol)
        if rule.kind in ("http_status", "lose_answer") and not rule.path:
            raise ValueError("path: expected the end of a path, such as order/create")
        self._rest.append(rule)

    def _known(self, symbol: str | None) -> None:
        if symbol is not None and symbol not in self._symbols:
            raise ValueError(f"symbol {symbol!r} is not traded here")


def _positive(name: str, value: int) -> None:
    if value < 1:
        raise ValueError(f"{name} {value}: at least 1")

"""Faults on purpose: from code, the control endpoint or a seeded script (protocol.md 18.3).

Faults act on what one socket is sent, on one REST answer, or on the venue as a whole; except for
version_gap, which is a fact of the venue's own, the books stay true. Rules for frames and answers
are used up after `count` uses. `log` tells what was done. One page of examples: docs/sim.md.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

#: Spoil the frames of a channel on the sockets that are sent them.
FRAME_KINDS = ("drop", "duplicate", "reorder", "delay", "garble", "truncate", "dribble")
#: Act at once on the sockets there are.
SOCKET_KINDS = ("cut", "half_open", "slow_read")
#: Spoil what REST says about a book, or the book's numbering.
BOOK_KINDS = ("snapshot_lag", "short_commits", "version_gap")
#: Spoil the next answer on a path.
ANSWER_KINDS = (
    "http_status", "html", "lose_answer", "hang", "garble_answer", "truncate_answer", "throttle",
    "refuse",
)  # fmt: skip
#: The venue as a whole.
VENUE_KINDS = ("clock_jump", "maintenance", "ban")
KINDS = (*FRAME_KINDS, *SOCKET_KINDS, *BOOK_KINDS, *ANSWER_KINDS, *VENUE_KINDS)

#: Parameters of each kind, as the control endpoint takes them.
PARAMETERS: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(FRAME_KINDS, ("channel", "symbol", "count")),
    "delay": ("channel", "symbol", "count", "seconds"),
    "dribble": ("channel", "symbol", "count", "seconds"),
    "cut": ("symbol",),
    "half_open": ("symbol",),
    "slow_read": ("symbol", "seconds"),
    "snapshot_lag": ("symbol", "versions", "count"),
    "short_commits": ("symbol", "count"),
    "version_gap": ("symbol", "versions"),
    "http_status": ("path", "status", "after_execute", "count"),
    "html": ("path", "status", "after_execute", "count"),
    "lose_answer": ("path", "count"),
    "hang": ("path", "seconds", "after_execute", "count"),
    "garble_answer": ("path", "count"),
    "truncate_answer": ("path", "count"),
    "throttle": ("path", "count"),
    "refuse": ("path", "code", "after_execute", "count"),
    "clock_jump": ("ms",),
    "maintenance": ("code", "seconds"),
    "ban": ("seconds", "how"),
}

#: Maintenance code: (message, only order paths); protocol.md 17.
MAINTENANCE: dict[int, tuple[str, bool]] = {
    500: ("System maintenance in progress, see the announcement", False),
    604: ("Feature under maintenance", True),
    801: ("System under maintenance", False),
    1002: ("Contract not allow place order!", True),
    11444: ("This feature is unavailable", True),
}
ORDER_PATHS = tuple(
    f"/api/v1/private/{room}/" for room in ("order", "planorder", "stoporder", "trackorder")
)
#: Not JSON, each in a way of its own; "" is an empty frame or body.
GARBAGE = ("", "NaN", "{", "}{", '{"channel":', "\x00\x01\x02", "<html></html>", '{"a":1}}', "[1,]")
FIREWALL = (
    "<!DOCTYPE html><html><head><title>{status}</title></head>"
    "<body><h1>Access Denied</h1><p>Reference #18.{reference}</p></body></html>"
)
ANY_PATH = "*"
How = Literal["refuse", "403"]


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
    code: int = 0
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


class Ground(Protocol):
    """What the exchange can do at once; each returns how many sockets it concerned."""

    def cut(self, symbol: str | None) -> int: ...
    def half_open(self, symbol: str | None) -> int: ...
    def slow_read(self, symbol: str | None, seconds: float) -> int: ...
    def version_gap(self, symbol: str, versions: int) -> None: ...
    def clock_jump(self, ms: int) -> None: ...
    def ban(self, seconds: float, how: How) -> int: ...


class Nowhere:
    """A ground without sockets, for a venue that has no server."""

    def cut(self, symbol: str | None) -> int:
        return 0

    def half_open(self, symbol: str | None) -> int:
        return 0

    def slow_read(self, symbol: str | None, seconds: float) -> int:
        return 0

    def version_gap(self, symbol: str, versions: int) -> None:
        pass

    def clock_jump(self, ms: int) -> None:
        pass

    def ban(self, seconds: float, how: How) -> int:
        return 0


class Faults:
    """The rules that wait, and the log of those that happened."""

    def __init__(
        self,
        clock_ms: Callable[[], int],
        symbols: Sequence[str],
        ground: Ground | None = None,
        seed: int = 7,
    ) -> None:
        self.log: list[Injected] = []
        self.frames: list[Rule] = []
        """Rules for frames; the sender looks here first, and mostly finds it empty."""
        self.rng = random.Random(f"{seed}:spoilt")
        """Draws where a text is cut and what garbage replaces it."""
        self._rest: list[Rule] = []
        self._clock_ms = clock_ms
        self._symbols = list(symbols)
        self._ground = ground if ground is not None else Nowhere()
        self._script: tuple[random.Random, float, tuple[str, ...]] | None = None
        self._next_ns = 0
        self._jumped = 0
        self._maintenance: tuple[int, int] | None = None

    # Frames

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
        self._frame("delay", channel, symbol, count, seconds)

    def garble(self, channel: str = "depth", symbol: str | None = None, count: int = 1) -> None:
        """Send something that is not JSON in place of the next frames."""
        self._frame("garble", channel, symbol, count)

    def truncate(self, channel: str = "depth", symbol: str | None = None, count: int = 1) -> None:
        """Cut the text of the next frames short; the WebSocket frame itself is well formed."""
        self._frame("truncate", channel, symbol, count)

    def dribble(
        self,
        channel: str = "depth",
        symbol: str | None = None,
        count: int = 1,
        seconds: float = 0.1,
    ) -> None:
        """Send the bytes of the next frame in three pieces over a time; the socket waits."""
        self._frame("dribble", channel, symbol, count, seconds)

    # Sockets

    def cut(self, symbol: str | None = None) -> int:
        """Abort connections without a close frame: all, or those subscribed to a symbol."""
        self._known(symbol)
        number = self._ground.cut(symbol)
        self.note("cut", "", symbol or "")
        return number

    def half_open(self, symbol: str | None = None) -> int:
        """From now on these sockets neither send nor answer, and are not closed either."""
        self._known(symbol)
        number = self._ground.half_open(symbol)
        self.note("half_open", "", symbol or "")
        return number

    def slow_read(self, symbol: str | None = None, seconds: float = 1.0) -> int:
        """Do not read what these sockets send for a time; frames to them go on."""
        self._known(symbol)
        _duration(seconds)
        number = self._ground.slow_read(symbol, seconds)
        self.note("slow_read", "", symbol or "")
        return number

    # Books

    def snapshot_lag(self, symbol: str, versions: int, count: int = 1) -> None:
        """The next depth answers are this many versions old."""
        _positive("versions", versions)
        self._add_rest(Rule("snapshot_lag", symbol=symbol, versions=versions, count=count))

    def short_commits(self, symbol: str, count: int = 1) -> None:
        """The next depth_commits answers hold the newest commit only: they start too late."""
        self._add_rest(Rule("short_commits", symbol=symbol, count=count))

    def version_gap(self, symbol: str, versions: int = 1000) -> None:
        """The book's version jumps, as after a failover of the venue's engine: no frame and no
        commit carries the numbers in between, only a new snapshot helps."""
        _positive("versions", versions)
        self._known(symbol)
        self._ground.version_gap(symbol, versions)
        self.note("version_gap", "depth", symbol)

    # Answers. path is the end of a path, such as order/create, or "*" for any

    def http_status(
        self, path: str, status: int, after_execute: bool = False, count: int = 1
    ) -> None:
        """Answer a path with this HTTP status, before or after executing the request."""
        _status(status)
        self._add_rest(
            Rule("http_status", path=path, status=status, after_execute=after_execute, count=count)
        )

    def html(
        self,
        path: str = ANY_PATH,
        status: int = 403,
        after_execute: bool = False,
        count: int = 1,
    ) -> None:
        """The edge firewall or a gateway answers, with a page of HTML (protocol.md 4)."""
        _status(status)
        self._add_rest(
            Rule("html", path=path, status=status, after_execute=after_execute, count=count)
        )

    def lose_answer(self, path: str, count: int = 1) -> None:
        """Execute the request, then drop the connection instead of answering."""
        self._add_rest(Rule("lose_answer", path=path, after_execute=True, count=count))

    def hang(
        self,
        path: str,
        seconds: float = 3600.0,
        after_execute: bool = False,
        count: int = 1,
    ) -> None:
        """Say nothing for a time, then answer; executed at the end of it or (after) before it."""
        _duration(seconds)
        self._add_rest(
            Rule("hang", path=path, seconds=seconds, after_execute=after_execute, count=count)
        )

    def garble_answer(self, path: str, count: int = 1) -> None:
        """Execute the request, then answer 200 with something that is not JSON."""
        self._add_rest(Rule("garble_answer", path=path, after_execute=True, count=count))

    def truncate_answer(self, path: str, count: int = 1) -> None:
        """Execute the request, then answer 200 with the JSON cut short."""
        self._add_rest(Rule("truncate_answer", path=path, after_execute=True, count=count))

    def throttle(self, path: str = ANY_PATH, count: int = 1) -> None:
        """Answer 510 whatever the budgets say, without executing."""
        self._add_rest(Rule("throttle", path=path, count=count))

    def refuse(self, path: str, code: int, after_execute: bool = False, count: int = 1) -> None:
        """Answer 200 with any error code of protocol.md 17, before or after executing."""
        if code < 1:
            raise ValueError(f"code {code}: a positive number")
        self._add_rest(
            Rule("refuse", path=path, code=code, after_execute=after_execute, count=count)
        )

    # The venue

    def clock_jump(self, ms: int) -> None:
        """The venue's clock jumps by this much, forward or (negative) back, and stays there."""
        if not -86_400_000 <= ms <= 86_400_000:
            raise ValueError(f"ms {ms}: a day at most")
        self._ground.clock_jump(ms)
        self._jumped += ms
        self.note("clock_jump", str(ms), "")

    def maintenance(self, code: int = 801, seconds: float = 3600.0) -> None:
        """Refuse with this code for a time: 604, 1002 and 11444 on order paths only, 801 and 500
        (with an announcement in the text) everywhere but contract/ping. 0 seconds ends it."""
        if code not in MAINTENANCE:
            raise ValueError(f"code {code}: one of {sorted(MAINTENANCE)}")
        _duration(seconds)
        self._maintenance = (code, time.monotonic_ns() + int(seconds * 1e9)) if seconds else None
        self.note("maintenance", str(code), "")

    def ban(self, seconds: float, how: How = "403") -> int:
        """Cut every connection and let nobody in for a time. "403": every path and handshake is
        answered with the firewall's HTML; "refuse": the port is closed, control included."""
        _duration(seconds)
        if how not in ("refuse", "403"):
            raise ValueError(f"how {how!r}: refuse or 403")
        number = self._ground.ban(seconds, how)
        self.note("ban", how, "")
        return number

    def clear(self) -> None:
        """Forget every waiting rule, stop the script, end maintenance."""
        self.frames.clear()
        self._rest.clear()
        self._script = None
        self._maintenance = None

    # From a seeded script

    def start_script(
        self,
        seed: int,
        every: float = 1.0,
        kinds: Sequence[str] = ("drop", "duplicate", "reorder", "delay", "cut"),
    ) -> None:
        """One fault of a drawn kind, symbol and size, on average each `every` seconds."""
        unknown = set(kinds) - set(KINDS)
        if unknown or not kinds:
            raise ValueError(f"kinds {sorted(unknown)}: expected some of {', '.join(KINDS)}")
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
        self.inject(*self.draw(rng, rng.choice(kinds)))

    def draw(self, rng: random.Random, kind: str) -> tuple[str, dict[str, Any]]:
        """The kind with drawn parameters; those of answers take whatever path comes next."""
        symbol = rng.choice(self._symbols)
        drawn: dict[str, Any] = {}
        if kind in (*FRAME_KINDS, *SOCKET_KINDS, *BOOK_KINDS):
            drawn["symbol"] = symbol
        if kind in ANSWER_KINDS:
            drawn["path"] = ANY_PATH
        if kind in ("delay", "dribble", "slow_read", "hang"):
            drawn["seconds"] = rng.uniform(0.05, 0.5)
        if kind in ("snapshot_lag", "version_gap"):
            drawn["versions"] = rng.randint(1, 200)
        if kind in ("http_status", "hang", "refuse"):
            drawn["after_execute"] = rng.random() < 0.5
        if kind == "http_status":
            drawn["status"] = rng.choice((500, 502, 503, 504))
        if kind == "refuse":
            drawn["code"] = rng.choice((500, 501, 603, 9999))
        if kind == "clock_jump":  # there and back, so that the clock does not wander off
            drawn["ms"] = -self._jumped or rng.choice((-1, 1)) * rng.randint(1_000, 30_000)
        if kind == "maintenance":
            drawn["code"] = rng.choice(sorted(MAINTENANCE))
        if kind == "ban":
            drawn["how"] = rng.choice(("refuse", "403"))
        if kind in ("maintenance", "ban"):
            drawn["seconds"] = rng.uniform(0.1, 1.0)
        return kind, drawn

    def inject(self, kind: str, parameters: dict[str, Any]) -> int:
        """Any kind by its name; returns the number of sockets concerned, where that is known."""
        allowed = PARAMETERS.get(kind)
        if allowed is None:
            raise ValueError(f"kind {kind[:40]!r} is unknown; expected one of {', '.join(KINDS)}")
        unknown = sorted(set(parameters) - set(allowed))
        if unknown:
            raise ValueError(f"{kind} takes {', '.join(allowed)}; not {', '.join(unknown)[:80]}")
        return getattr(self, kind)(**parameters) or 0

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
            fits = _fits(rule, path) if rule.path else rule.symbol in (None, symbol)
            if fits:
                self._use(self._rest, rule)
                self.note(kind, path, symbol)
                return rule
        return None

    def take_answer(self, path: str) -> Rule | None:
        """The oldest rule for the answer to this path, used up by one."""
        for rule in self._rest:
            if rule.path and _fits(rule, path):
                self._use(self._rest, rule)
                self.note(rule.kind, path, "")
                return rule
        return None

    def closed_for(self, path: str) -> tuple[int, str] | None:
        """(code, message) while maintenance covers this path."""
        if self._maintenance is None:
            return None
        code, until = self._maintenance
        if time.monotonic_ns() >= until:
            self._maintenance = None
            return None
        message, orders_only = MAINTENANCE[code]
        if orders_only:
            covered = path.startswith(ORDER_PATHS)
        else:
            covered = not path.endswith("/contract/ping")
        return (code, message) if covered else None

    def spoil(self, kind: str, text: bytes) -> bytes:
        """The text garbled, or cut short so that it is no JSON any more."""
        if kind.startswith("garble"):
            return self.rng.choice(GARBAGE).encode()
        return text[: self.rng.randint(0, max(0, len(text) - 1))]

    def page(self, status: int) -> str:
        """The firewall's HTML."""
        return FIREWALL.format(status=status, reference=f"{self.rng.getrandbits(32):08x}")

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
        _duration(seconds)
        _bare(channel)
        self._known(symbol)
        self.frames.append(Rule(kind, channel, symbol, count, seconds))

    def _add_rest(self, rule: Rule) -> None:
        _positive("count", rule.count)
        self._known(rule.symbol)
        if rule.kind in ANSWER_KINDS and not rule.path:
            raise ValueError('path: expected the end of a path, such as order/create, or "*"')
        self._rest.append(rule)

    def _known(self, symbol: str | None) -> None:
        if symbol is not None and symbol not in self._symbols:
            raise ValueError(f"symbol {symbol!r} is not traded here")


def _bare(channel: str) -> None:
    """ValueError for a name that no frame has here, which would wait in silence for ever."""
    first = channel.split(".", 1)[0]
    if first in ("push", "sub", "rs", "personal"):
        raise ValueError(f"channel {channel!r}: allowed: the name behind push. or push.personal., "
                         f"such as {channel.split('.')[-1]!r}")


def _fits(rule: Rule, path: str) -> bool:
    return rule.path == ANY_PATH or path.endswith(rule.path)


def _positive(name: str, value: int) -> None:
    if value < 1:
        raise ValueError(f"{name} {value}: at least 1")


def _duration(seconds: float) -> None:
    if not 0 <= seconds <= 3600:
        raise ValueError(f"seconds {seconds}: 0 to 3600")


def _status(status: int) -> None:
    if not 400 <= status <= 599:
        raise ValueError(f"status {status}: 400 to 599")

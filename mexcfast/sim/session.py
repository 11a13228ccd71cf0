"""One client connection: what it subscribed to, what is sent to it, and how that can go wrong."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from functools import partial

from mexcfast.sim import wire
from mexcfast.sim.accounts import Account
from mexcfast.sim.faults import Faults, Rule
from mexcfast.sim.settings import Limits

#: (channel, symbol or "", extra); extra is "zip"/"raw", limit, step or interval.
Topic = tuple[str, str, str]

FILTER_KEYS = frozenset(
    ("order", "order.deal", "position", "plan.order", "stop.order", "stop.planorder",
     "risk.limit", "adl.level", "asset")
)  # fmt: skip
PIECES = 3


class Session:
    """One client connection."""

    def __init__(
        self, transport: asyncio.Transport, faults: Faults, limits: Limits, remote: str = ""
    ) -> None:
        self.transport = transport
        self.remote = remote
        self.topics: dict[Topic, bool] = {}
        self.account: Account | None = None
        self.filters: dict[str, frozenset[str] | None] | None = None
        """None: everything. Otherwise channel to symbols (None: all symbols)."""
        self.quiet = False
        """Logged in with subscribe:false: nothing outside the filter."""
        now = time.monotonic()
        self.opened = now
        self.last_ping = now
        self.idle_since = now
        """Opening, or when the last subscription went away."""
        self.messages: deque[float] = deque()
        self.half_open = False
        """The peer of a half-open socket hears nothing and is never told."""
        self.pushed = 0
        """Frames of channels written; step mode asks who got something."""
        self._heard: dict[str, asyncio.Future[None]] = {}
        self._faults = faults
        self._limit = limits.write_buffer_bytes
        self._swap: dict[tuple[str, str], bytes] = {}
        self._waiting: dict[tuple[str, str], list[bytes]] = {}
        self._held: list[bytes] | None = None
        """Bytes behind a frame that is sent in pieces."""

    def push(self, channel: str, symbol: str, frame: bytes) -> None:
        """Send a frame of a channel, faults permitting."""
        if not self._faults.frames and not self._swap and not self._waiting:
            self.pushed += 1
            self.write(frame)
        else:
            self._push_with_faults(channel, symbol, frame)

    def write(self, frame: bytes) -> None:
        """Bytes to the socket; a reader that is too slow is cut."""
        transport = self.transport
        if self.half_open or transport.is_closing():
            return
        if self._held is not None:
            self._held.append(frame)
            return
        transport.write(frame)
        if self._limit is not None and transport.get_write_buffer_size() > self._limit:
            transport.abort()

    def close(self) -> None:
        """Close frame without a code, then the connection (5.2)."""
        if not self.transport.is_closing() and not self.half_open:
            self.transport.write(b"\x88\x00")
            self.transport.close()

    def slow_read(self, seconds: float) -> None:
        """Leave what the client sends in its socket for a time."""
        if not self.transport.is_closing():
            self.transport.pause_reading()
            asyncio.get_running_loop().call_later(seconds, self._read_again)

    def _read_again(self) -> None:
        if not self.transport.is_closing():
            self.transport.resume_reading()

    # Faults

    def _push_with_faults(self, channel: str, symbol: str, frame: bytes) -> None:
        key = (channel, symbol)
        rule = self._faults.take_frame(channel, symbol)
        kind = rule.kind if rule is not None else ""
        if kind == "drop":
            return
        if rule is not None and kind == "delay":
            if key in self._waiting:
                self._waiting[key].append(frame)
            else:
                self._waiting[key] = [frame]
                loop = asyncio.get_running_loop()
                loop.call_later(rule.seconds, self._release, key)
            return
        if kind == "reorder" and key not in self._swap:
            self._swap[key] = frame
            return
        self.pushed += 1
        if kind in ("garble", "truncate"):
            head, payload = wire.split_frame(frame)
            frame = wire.frame(head, self._faults.spoil(kind, payload))
        if rule is not None and kind == "dribble":
            self._dribble(frame, rule)
        else:
            self._queue(key, frame)
        if kind == "duplicate":
            self._queue(key, frame)
        if key in self._swap:
            self._queue(key, self._swap.pop(key))

    def _queue(self, key: tuple[str, str], frame: bytes) -> None:
        """Behind the frames that are held back, if any."""
        if key in self._waiting:
            self._waiting[key].append(frame)
        else:
            self.write(frame)

    def _release(self, key: tuple[str, str]) -> None:
        for frame in self._waiting.pop(key, ()):
            self.pushed += 1
            self.write(frame)

    def _dribble(self, frame: bytes, rule: Rule) -> None:
        """The bytes in pieces; everything else to this socket waits until the last one."""
        if self._held is not None:  # one after the other
            self._held.append(frame)
            return
        size = -(-len(frame) // PIECES)
        self.write(frame[:size])
        self._held = []
        loop = asyncio.get_running_loop()
        for number in range(1, PIECES):
            piece = frame[number * size : (number + 1) * size]
            last = number == PIECES - 1
            loop.call_later(rule.seconds * number / (PIECES - 1), self._piece, piece, last)

    def _piece(self, piece: bytes, last: bool) -> None:
        held, self._held = self._held, None
        self.write(piece)
        if last:
            for frame in held or ():
                self.write(frame)
        else:
            self._held = held

    # Step mode

    def heard(self, what: str) -> None:
        """The client did something: "message", "control" or "pong <token>"."""
        future = self._heard.pop(what, None)
        if future is not None and not future.done():
            future.set_result(None)

    def hears(self, what: str) -> asyncio.Future[None]:
        """Done when the client does it next."""
        future = self._heard.get(what)
        if future is None:
            future = asyncio.get_running_loop().create_future()
            future.add_done_callback(partial(self._forget, what))
            self._heard[what] = future
        return future

    def _forget(self, what: str, future: asyncio.Future[None]) -> None:
        if self._heard.get(what) is future:
            del self._heard[what]

    def gone(self) -> None:
        """The connection ended: nobody has to wait for it."""
        for future in list(self._heard.values()):
            if not future.done():
                future.set_result(None)
        self._heard.clear()

    def wants(self, channel: str, symbol: str) -> bool:
        """Whether the personal filter lets a private push through (8.2)."""
        if self.filters is None:
            return not self.quiet
        if channel not in FILTER_KEYS:
            return not self.quiet
        if channel not in self.filters:
            return False
        symbols = self.filters[channel]
        return symbols is None or not symbol or symbol in symbols

"""First arrival wins, slowly: every rule of core/arbiter with lists, Decimals and stdlib JSON."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

EVER = ("push.depth.full", "push.depth.step")
STATES = (*EVER, "push.tickers", "push.ticker", "push.kline", "push.funding.rate",
          "push.index.price", "push.fair.price")


@dataclass
class Event:
    """What happened once, and who has told us."""

    identity: Any
    ts: int
    at: int
    paths: set[int] = field(default_factory=set)


class ArbiterModel:
    """One channel. offer() gives the records (or the frame's data) that are to be delivered."""

    def __init__(self, channel: str, horizon: int) -> None:
        self.channel = channel
        self.horizon = horizon
        self.events: list[Event] = []
        self.joined: dict[int, int] = {}
        self.same_ts: set[int] = set()
        self.newest: dict[Any, int] = {}
        self.own: dict[tuple[Any, int], int] = {}

    def join(self, path: int, now: int) -> None:
        self.joined[path] = now

    def offer(self, frame: dict[str, Any], path: int, now: int) -> list[Any]:
        data, ts = frame["data"], frame.get("ts", -1)
        if self.channel == "push.deal":
            return [row for row in data
                    if self._is_new(("id", row["i"]) if "i" in row else _sorted(row),
                                    "i" in row, ts, path, now)]
        identity = _sorted([frame.get("symbol"), data])
        if not self._is_new(identity, self.channel in EVER, ts, path, now):
            return []
        if self.channel in STATES and self._is_superseded(data, ts, path):
            return []
        return [data]

    def _is_new(self, identity: Any, ever: bool, ts: int, path: int, now: int) -> bool:
        same = [event for event in self.events if event.identity == identity]
        if ever:
            matches = same
        else:
            unseen = [event for event in same if path not in event.paths]
            matches = [event for event in unseen if ts >= 0 and event.ts == ts]
            if not matches and not (path in self.same_ts and ts >= 0):
                matches = [event for event in unseen if event.at >= self.joined[path]
                           and now - event.at <= self.horizon]
        if not matches:
            self.events.append(Event(identity, ts, now, {path}))
            return True
        event = matches[0]
        if path not in event.paths and ts >= 0 and event.ts == ts:
            self.same_ts |= event.paths | {path}
        event.paths.add(path)
        return False

    def _is_superseded(self, data: Any, ts: int, path: int) -> bool:
        stamp = data["version"] if self.channel in EVER else ts
        if stamp < 0:
            return False
        lane = data["interval"] if self.channel == "push.kline" else None
        late = (stamp < self.newest.get(lane, -1) and stamp >= self.own.get((lane, path), -1))
        self.own[lane, path] = stamp
        if not late:
            self.newest[lane] = stamp
        return late


def _sorted(data: Any) -> str:
    return json.dumps(data, sort_keys=True)


def plain(text: bytes) -> dict[str, Any]:
    """A frame with exact numbers."""
    frame: dict[str, Any] = json.loads(text, parse_float=Decimal)
    return frame


class EarlyModel:
    """A book of single versions on several sockets: when is a hole a gap?"""

    def __init__(self, paths: int, version: int, hold: int) -> None:
        self.version, self.hold, self.gaps = version, hold, 0
        self.brought: list[set[int]] = [set() for _ in range(paths)]
        self.kept: dict[int, int] = {}               # version -> when its first copy came
        self.is_broken = False

    def frame(self, version: int, path: int, now: int) -> None:
        self.brought[path].add(version)
        if version <= self.version:
            return
        if version > self.version + 1 and not self.is_broken:
            since = min(self.kept.values(), default=now)
            past = all(version in brought for brought in self.brought)
            if past or now - since >= self.hold:
                self.is_broken = True
                self.gaps += 1
        self.kept.setdefault(version, now)
        while self.version + 1 in self.kept:
            self.version += 1
            del self.kept[self.version]
        self.kept = {one: when for one, when in self.kept.items() if one > self.version}
        if not self.kept:
            self.is_broken = False

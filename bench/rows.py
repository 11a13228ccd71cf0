"""What has to be reached: each row with its must, its goal and how it is read from the results.

Results are what the parts' commands write with --json, by the part's name (bench/report.py). A row
whose part or rival was not measured stays in the table as "not measured".
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import client
import micro
import trader
from harness import least
from memory import FRAMES_A_SECOND, MEGABYTES
from startup import TARGET

Results = dict[str, Any]
FLOOR, TLS_FLOOR = "bare protocol, uvloop", "bare protocol, aiofastnet"
EXECUTOR = "executor, lane"
OUR_ORDERS, CCXT_ORDERS = "orders.submit, lane", "ccxt create_order"
AIOHTTP_ORDERS = "aiohttp as users write it"


@dataclass(frozen=True)
class Row:
    """value(results): the figure, None when it was not measured. kind: times, us, or a unit.

    at_least: whether more is better; must and goal are met by figures equal to them. floor: the
    same figure for the thinnest thing measured in the same run (bare C, an empty listener, prebuilt
    bytes), which nobody can pass on this machine; None where there is none.
    """

    what: str
    must: float
    goal: float
    kind: str
    value: Callable[[Results], float | None]
    at_least: bool = True
    floor: Callable[[Results], float | None] | None = None

    def met(self, value: float, bound: float) -> bool:
        return value >= bound if self.at_least else value <= bound


def _ratio(theirs: float | None, ours: float | None) -> float | None:
    return theirs / ours if theirs is not None and ours else None


def _over(ours: float | None, floor: float | None) -> float | None:
    return ours - floor if ours is not None and floor is not None else None


def _micro(ours: str, theirs: list[str]) -> Callable[[Results], float | None]:
    def value(found: Results) -> float | None:
        times = found.get("micro", {}).get("times", {})
        rivals = [min(times[name]) for name in theirs if name in times]
        return _ratio(min(rivals) if rivals else None, min(times[ours]) if ours in times else None)
    return value


def _wire(name: str, loop: str, what: str) -> Callable[[Results], float | None]:
    def value(found: Results) -> float | None:
        repeats = found.get("wire", {}).get("candidates", {}).get(name, {}).get(loop)
        return least(repeats, what) if repeats else None
    return value


def _trade(name: str, loop: str) -> Callable[[Results], float | None]:
    def value(found: Results) -> float | None:
        repeats = found.get("tick_to_trade", {}).get("candidates", {}).get(name, {}).get(loop)
        return least(repeats, "p50") if repeats else None
    return value


def _orders(part: str, name: str, which: int) -> Callable[[Results], float | None]:
    """which: 0 p50, 1 CPU."""
    def value(found: Results) -> float | None:
        repeats = found.get(part, {}).get("candidates", {}).get(name)
        return min(one[which] for one in repeats) if repeats else None
    return value


def _memory(what: str) -> Callable[[Results], float | None]:
    return lambda found: found.get("memory", {}).get(what)


def _many(what: str) -> Callable[[Results], float | None]:
    """Of the 1100 books that the row speaks of, not of fewer."""
    def value(found: Results) -> float | None:
        part = found.get("memory", {})
        return part[what] if (part.get("books"), part.get("levels")) == (1_100, 1_500) else None
    return value


def _startup(count: int) -> Callable[[Results], float | None]:
    def value(found: Results) -> float | None:
        part = found.get("startup", {})
        repeats = part.get("books", {}).get(str(count))
        return least(repeats, "last_ms") / part["minimum_ms"][str(count)] if repeats else None
    return value


def _both(combine: Callable[[float | None, float | None], float | None],
          one: Callable[[Results], float | None], other: Callable[[Results], float | None]
          ) -> Callable[[Results], float | None]:
    return lambda found: combine(one(found), other(found))


_BLAST = _wire(client.OURS_COMPILED, "blast", "cpu_us")
_SPIN = _wire(client.OURS_COMPILED, "spin", "p50")
_EMPTY_BLAST = _wire(client.EMPTY, "blast", "cpu_us")
_FLOOR_CPU = _orders("orders", FLOOR, 1)

ROWS: list[Row] = [
    *(Row(f"parse + check + apply: {what}", must, goal, "times", _micro(ours, theirs))
      for what, ours, theirs, must, goal in micro.TARGETS),
    Row("socket to live book at full blast, CPU over an empty picows listener", 0.9, 0.4, "us",
        _both(_over, _BLAST, _EMPTY_BLAST), at_least=False),
    Row("the same, against ccxt.pro", 30, 70, "times",
        _both(_ratio, _wire(client.CCXT, "blast", "cpu_us"), _BLAST),
        floor=_both(_ratio, _wire(client.CCXT, "blast", "cpu_us"), _EMPTY_BLAST)),
    Row("the same, against aiohttp + json without a book", 11, 22, "times",
        _both(_ratio, _wire(client.AIOHTTP_JSON, "blast", "cpu_us"), _BLAST),
        floor=_both(_ratio, _wire(client.AIOHTTP_JSON, "blast", "cpu_us"), _EMPTY_BLAST)),
    Row("wire to callback, book updated, spinning, p50 over an empty picows listener", 4, 1.5, "us",
        _both(_over, _SPIN, _wire(client.EMPTY, "spin", "p50")), at_least=False),
    Row("spinning against the sleeping loop, same listener, p50", 4, 6, "times",
        _both(_ratio, _wire(client.OURS_COMPILED, "sleep", "p50"), _SPIN),
        floor=_both(_ratio, _wire(client.BARE, "sleep", "p50"), _wire(client.BARE, "spin", "p50"))),
    Row("sign 31 bytes from Python, against hmac.new", 8, 11, "times",
        _micro("sign 31 bytes", ["hmac.new 31 bytes"])),
    Row("sign 250 bytes from Python, against hmac.new", 4.5, 5.5, "times",
        _micro("sign 250 bytes", ["hmac.new 250 bytes"])),
    Row("body, signature and headers in one native call, against plain Python", 8, 8, "times",
        _micro(micro.OUR_REQUEST, [micro.THEIR_REQUEST])),
    Row("order submit over a bare uvloop protocol, p50", 30, 5, "us",
        _both(_over, _orders("orders", OUR_ORDERS, 0), _orders("orders", FLOOR, 0)),
        at_least=False),
    Row("order submit over a bare uvloop protocol, CPU", 35, 5, "us",
        _both(_over, _orders("orders", OUR_ORDERS, 1), _orders("orders", FLOOR, 1)),
        at_least=False),
    Row("order submit, CPU against ccxt", 7, 16, "times",
        _both(_ratio, _orders("orders", CCXT_ORDERS, 1), _orders("orders", OUR_ORDERS, 1)),
        floor=_both(_ratio, _orders("orders", CCXT_ORDERS, 1), _FLOOR_CPU)),
    Row("order submit, CPU against aiohttp as users write it", 3, 7, "times",
        _both(_ratio, _orders("orders", AIOHTTP_ORDERS, 1), _orders("orders", OUR_ORDERS, 1)),
        floor=_both(_ratio, _orders("orders", AIOHTTP_ORDERS, 1), _FLOOR_CPU)),
    Row("order submit over TLS, p50 over the aiofastnet floor", 30, 6, "us",
        _both(_over, _orders("orders_tls", OUR_ORDERS, 0), _orders("orders_tls", TLS_FLOOR, 0)),
        at_least=False),
    Row("tick to trade, sleeping, p50 against ccxt", 4, 6, "times",
        _both(_ratio, _trade(trader.CCXT, "sleep"), _trade(trader.OURS, "sleep")),
        floor=_both(_ratio, _trade(trader.CCXT, "sleep"), _trade(trader.BARE, "sleep"))),
    Row("tick to trade, sleeping, p50 against a careful handmade bot", 2.2, 3, "times",
        _both(_ratio, _trade(trader.HANDMADE, "sleep"), _trade(trader.OURS, "sleep")),
        floor=_both(_ratio, _trade(trader.HANDMADE, "sleep"), _trade(trader.BARE, "sleep"))),
    Row("tick to trade, ours spinning and rehearsing, p50 against ccxt as shipped", 12, 25, "times",
        _both(_ratio, _trade(trader.CCXT, "sleep"), _trade(trader.REHEARSING, "spin")),
        floor=_both(_ratio, _trade(trader.CCXT, "sleep"), _trade(trader.BARE, "spin"))),
    Row("tick to trade, spinning and rehearsing, p50 over a spinning C client", 25, 8, "us",
        _both(_over, _trade(trader.REHEARSING, "spin"), _trade(trader.BARE, "spin")),
        at_least=False),
    Row("steady state: C memory more after the frames", 0, 0, "bytes", _memory("c_bytes_more"),
        at_least=False),
    Row("steady state: Python memory more after the frames", 0, 0, "bytes",
        _memory("python_bytes_more"), at_least=False),
    Row("steady state: garbage collections caused by frames", 0, 0, "passes",
        _memory("gc_passes"), at_least=False),
    Row("the same through sockets, the product whole, at full blast", 0, 0, "passes",
        _wire(client.OURS_COMPILED, "blast", "gc_passes"), at_least=False),
    Row("1100 books of 1500 levels a side: resident memory", *MEGABYTES, "MB",
        _many("megabytes"), at_least=False),
    Row("1100 books of 1500 levels a side, one core", *FRAMES_A_SECOND, "frames/s",
        _many("frames_a_second")),
    Row("first book live after subscribe, over the protocol's own minimum", *TARGET, "times",
        _startup(1), at_least=False),
    Row("60 books live after subscribe, over the protocol's own minimum", *TARGET, "times",
        _startup(60), at_least=False),
]


def shown(value: float, kind: str) -> str:
    if kind == "times":
        return f"{value:.1f}x" if value >= 2 else f"{value:.2f}x"
    if kind == "us":
        return f"{value:+.2f} us"
    return f"{value:,.0f} {kind}"


def judged(found: Results) -> list[dict[str, Any]]:
    """Every row with what was measured: what, must, goal, measured and floor (text), value, met."""
    out = []
    for row in ROWS:
        value = row.value(found)
        floor = None if row.floor is None else row.floor(found)
        met = "not measured" if value is None else (
            "goal" if row.met(value, row.goal) else "must" if row.met(value, row.must) else "no")
        out.append({"what": row.what, "must": shown(row.must, row.kind),
                    "goal": shown(row.goal, row.kind), "value": value, "met": met,
                    "floor": "-" if floor is None else shown(floor, row.kind),
                    "measured": "not measured" if value is None else shown(value, row.kind)})
    return out


def table(rows: list[dict[str, Any]]) -> str:
    return "\n".join(["| What | Must | Goal | Measured | The floor's | Met |",
                      "| --- | --- | --- | --- | --- | --- |",
                      *(f"| {row['what']} | {row['must']} | {row['goal']} | {row['measured']} | "
                        f"{row['floor']} | {row['met']} |" for row in rows)])


def budget(found: Results) -> list[dict[str, Any]]:
    """Where a frame's microseconds go: CPU at full blast and p50 spinning, by stage.

    A stage is the difference of two candidates, least over the repeats each; frame and book are
    split by the scan that was timed alone in bench/micro.py.
    """
    times = found.get("micro", {}).get("times", {})
    scan = min(times[micro.SCAN]) / 1000 if micro.SCAN in times else None
    rest = _over(min(times[micro.OURS]) / 1000 if times else None, scan)
    stages: list[tuple[str, str, str | None]] = [
        ("kernel: recv and the clock", client.BARE, None),
        ("transport: event loop, picows, frame header", client.EMPTY, client.BARE),
        ("frame, book and what joins them, compiled callback", client.OURS_COMPILED, client.EMPTY),
        ("callback in Python", client.OURS, client.OURS_COMPILED)]
    out: list[dict[str, Any]] = []
    for stage, upper, lower in stages:
        one = {"stage": stage}
        for column, loop, what in (("cpu_us", "blast", "cpu_us"), ("p50_us", "spin", "p50")):
            value = _wire(upper, loop, what)(found)
            one[column] = value if lower is None else _over(  # type: ignore[assignment]
                value, _wire(lower, loop, what)(found))
        out.append(one)
    out.insert(3, {"stage": "of these: scan of the frame, in process", "cpu_us": scan,
                   "p50_us": None})
    out.insert(4, {"stage": "of these: check and apply, in process", "cpu_us": rest,
                   "p50_us": None})
    return out


def budget_table(stages: list[dict[str, Any]]) -> str:
    def cell(value: float | None) -> str:
        return "-" if value is None else f"{value:.3f}"

    return "\n".join(["| Stage | CPU us at full blast | p50 us, spinning |", "| --- | --- | --- |",
                      *(f"| {one['stage']} | {cell(one['cpu_us'])} | {cell(one['p50_us'])} |"
                        for one in stages)])


def order_budget(found: Results) -> list[dict[str, Any]]:
    """Where an order's microseconds go, from call to outcome: p50 and CPU, by stage.

    A stage is the difference of two candidates of bench/orders.py, least over the repeats each.
    """
    stages: list[tuple[str, str, str | None]] = [
        ("kernel, event loop, the venue: a bare protocol", FLOOR, None),
        ("executor: slot, signature, connection, the answer judged", EXECUTOR, FLOOR),
        ("orders: checks, encoding, tracker, outcome", OUR_ORDERS, EXECUTOR)]
    out: list[dict[str, Any]] = []
    for stage, upper, lower in stages:
        one: dict[str, Any] = {"stage": stage}
        for column, which in (("p50_us", 0), ("cpu_us", 1)):
            value = _orders("orders", upper, which)(found)
            one[column] = value if lower is None else _over(
                value, _orders("orders", lower, which)(found))
        out.append(one)
    return out


def order_budget_table(stages: list[dict[str, Any]]) -> str:
    def cell(value: float | None) -> str:
        return "-" if value is None else f"{value:.1f}"

    return "\n".join(["| Stage | p50 us, sleeping | CPU us |", "| --- | --- | --- |",
                      *(f"| {one['stage']} | {cell(one['p50_us'])} | {cell(one['cpu_us'])} |"
                        for one in stages)])

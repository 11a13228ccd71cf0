"""What a seed means: the bot's steps, the exchange's faults, the moments of its deaths.

Each step draws from dice of its own, so that step 812 of seed 7 is the same whatever went before,
how often the bot was killed, and which machine it is. Which fault meets which request depends on
the scheduler; the plan does not.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

SYMBOLS = ("BTC_USDT", "ETH_USDT", "SOL_USDT")

#: what a step does -> how often; LOOK and after place nothing
STEPS = {
    "limit": 30, "taker": 5, "nowait": 14, "batch": 7, "ioc": 4, "post": 5, "market": 3,
    "impatient": 3, "hasty": 3, "keyed": 3, "reduce": 4,
    "amend": 9, "cancel": 9, "cancel_batch": 7, "cancel_name": 3, "cancel_all": 0.5,
    "plan": 2, "stop": 2, "trailing": 1.5, "uncondition": 2, "close": 1,
}  # fmt: skip

WRITES = ("order/create", "order/create", "order/create", "order/submit_batch", "order/cancel",
          "order/change_limit_order", "order/batch_cancel_with_external",
          "order/cancel_with_external", "order/cancel_all", "planorder/place/v2",
          "stoporder/place", "trackorder/place", "planorder/cancel", "stoporder/cancel",
          "trackorder/cancel", "position/close_all")
READS = ("order/list/open_orders", "order/list/history_orders", "order/batch_query",
         "order/batch_query_with_external", "position/open_positions", "account/assets",
         "contract/ping", "planorder/list/orders", "stoporder/open_orders",
         "trackorder/list/orders")
PUSHES = ("order", "order", "order.deal", "position", "asset", "plan.order", "stop.planorder",
          "track.order")

#: fault -> how often. Those of an answer take a write two times out of three.
FAULTS = {
    "http_status": 20, "lose_answer": 14, "reset_request": 8, "reset_answer": 8, "hang": 8,
    "garble_answer": 5, "truncate_answer": 5, "refuse": 5, "throttle": 3, "html_5xx": 3,
    "html": 0.4, "maintenance": 0.8, "clock_jump": 0.8, "late_pushes": 1.5,
    "drop": 6, "duplicate": 4, "reorder": 4, "delay": 4, "garble": 1.5, "truncate": 1.5,
    "cut": 3, "half_open": 1,
}  # fmt: skip

#: Codes of the venue that leave the fate open, or that say "not now" (protocol.md 17).
OPEN_CODES = (500, 501, 603, 9999)
NOT_NOW = (510, 6005, 2011)


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault: its kind and the parameters of mexcfast.sim.faults, or of order_chaos itself."""

    kind: str
    more: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Kill:
    """SIGKILL `delay_s` after a step was begun; start_s: again, that long into the next start."""

    step: int
    delay_s: float
    start_s: float | None


class Plan:
    """One seed.

    fault_rate: faults a step. steps_per_life: how many steps the bot lives on average; 0: it is
    never killed.
    """

    def __init__(self, seed: int, *, fault_rate: float = 0.12, steps_per_life: int = 1500) -> None:
        self.seed = seed
        self.fault_rate = fault_rate
        self.steps_per_life = steps_per_life

    def __repr__(self) -> str:
        return f"seed {self.seed} (faults {self.fault_rate}, life {self.steps_per_life})"

    def dice(self, what: str, number: int = 0) -> random.Random:
        return random.Random(f"{self.seed}:{what}:{number}")

    @property
    def lane(self) -> str:
        """The request path of order entry: the two take turns."""
        return "auto" if self.seed % 2 else "off"

    def step(self, number: int) -> tuple[str, random.Random]:
        """What a step does, and its dice."""
        dice = self.dice("step", number)
        return dice.choices(list(STEPS), list(STEPS.values()))[0], dice

    def faults(self, number: int) -> Iterator[Fault]:
        """What befalls the exchange when this step begins."""
        dice = self.dice("fault", number)
        if dice.random() < self.fault_rate:
            yield self._draw(dice, dice.choices(list(FAULTS), list(FAULTS.values()))[0])

    def every_fault(self) -> list[str]:
        return list(FAULTS)

    def kills(self) -> Iterator[Kill]:
        """The bot's deaths, in order of steps."""
        if not self.steps_per_life:
            return
        dice, step = self.dice("kills"), 0
        while True:
            step += dice.randint(self.steps_per_life // 2, self.steps_per_life * 3 // 2)
            yield Kill(step, dice.uniform(0, 0.08),
                       dice.uniform(0.2, 2.0) if dice.random() < 0.3 else None)

    @staticmethod
    def _draw(dice: random.Random, kind: str) -> Fault:
        path = dice.choice(WRITES if dice.random() < 0.67 else READS)
        after = dice.random() < 0.5
        if kind == "http_status":
            return Fault(kind, {"path": path, "status": dice.choice((500, 502, 503, 504)),
                                "after_execute": after})
        if kind == "html_5xx":
            return Fault("html", {"path": path, "status": dice.choice((502, 504)),
                                  "after_execute": after})
        if kind == "html":      # the firewall itself
            return Fault(kind, {"path": path, "status": 403})
        if kind == "hang":
            return Fault(kind, {"path": path, "seconds": dice.choice((0.2, 0.7, 1.5, 3.0)),
                                "after_execute": after})
        if kind == "refuse":    # executed only where the code admits that it may have been
            code = dice.choice(OPEN_CODES if after else OPEN_CODES + NOT_NOW)
            return Fault(kind, {"path": path, "code": code,
                                "after_execute": after and code != 9999})
        if kind in ("lose_answer", "garble_answer", "truncate_answer", "throttle",
                    "reset_request", "reset_answer"):
            return Fault(kind, {"path": path})
        if kind == "maintenance":
            return Fault(kind, {"code": dice.choice((604, 801, 1002, 11444)),
                                "seconds": dice.uniform(0.05, 0.5)})
        if kind == "clock_jump":
            return Fault(kind, {"ms": dice.choice((-1, 1)) * dice.randint(300, 3000)})
        if kind == "late_pushes":
            return Fault(kind, {"seconds": dice.choice((0.0, 0.02, 0.3))})
        if kind in ("cut", "half_open"):
            return Fault(kind, {})
        more: dict[str, Any] = {"channel": dice.choice(PUSHES), "count": dice.randint(1, 3)}
        if kind == "delay":
            more["seconds"] = dice.uniform(0.05, 1.0)
        return Fault(kind, more)

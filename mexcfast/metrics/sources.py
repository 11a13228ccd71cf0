"""The parts of a client that metrics read."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from mexcfast.net.audit import Audit
from mexcfast.net.budget import Budget
from mexcfast.net.executor import Executor
from mexcfast.net.heart import Heart
from mexcfast.net.killswitch import KillSwitch
from mexcfast.net.orders import Orders
from mexcfast.net.pool import Pool
from mexcfast.net.private import PrivateStream


@dataclass(frozen=True, slots=True)
class Sources:
    """stream: None without keys. heart, recorder: what there is of them now, None: nothing."""

    pool: Pool
    executor: Executor
    orders: Orders
    stream: PrivateStream | None
    audit: Audit
    kill_switch: KillSwitch
    budget: Budget
    heart: Callable[[], Heart | None]
    recorder: Callable[[], Any]         # tape.Recorder

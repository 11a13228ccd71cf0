"""What a check of `mexcfast doctor` is, and what it is given.

A check is a coroutine with @check("name") that returns a Finding; its place in the report is in
doctor.ORDER, and anything it raises is a failed finding of its own. Nothing it does changes orders
or positions.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import date
from typing import Any, Literal
from urllib.parse import urlsplit

from mexcfast.core.rest import Endpoint
from mexcfast.net.executor import Executor

Verdict = Literal["ok", "warning", "failed", "skipped"]
Where = Literal["", "rest", "stream"]


@dataclass(slots=True)
class Finding:
    """What one check found; data holds its numbers, advice says what to do about it."""

    verdict: Verdict
    text: str
    data: dict[str, Any] = field(default_factory=dict)
    advice: str = ""


@dataclass(slots=True)
class Patient:
    """What the checks look at.

    sign_query: signs a query of the wallet's API; None without keys. key_created: when the key was
    made, if the caller knows. unreachable: host -> why; filled by the check of names, so that
    what needs the host is skipped instead of failing once more.
    """

    endpoint: Endpoint
    executor: Executor
    has_keys: bool
    sign_query: Callable[[str], str] | None = field(default=None, repr=False)
    key_created: date | None = None
    unreachable: dict[str, str] = field(default_factory=dict)

    def address(self, where: Where) -> tuple[str, str, int]:
        """scheme, host, port of one of the two addresses."""
        parts = urlsplit(self.endpoint.rest_url if where == "rest" else self.endpoint.ws_url)
        secure = parts.scheme in ("https", "wss")
        return parts.scheme, parts.hostname or "", parts.port or (443 if secure else 80)

    def hosts(self) -> dict[tuple[str, int], bool]:
        """(host, port) of both addresses, each once -> whether TLS is spoken there."""
        found: dict[tuple[str, int], bool] = {}
        wheres: tuple[Where, ...] = ("rest", "stream")
        for where in wheres:
            scheme, host, port = self.address(where)
            found[host, port] = scheme in ("https", "wss")
        return found


Check = Callable[[Patient], Awaitable[Finding]]
#: name -> the check and the address that must be reachable for it
CHECKS: dict[str, tuple[Check, Where]] = {}


def check(name: str, needs: Where = "") -> Callable[[Check], Check]:
    """Adds a check."""
    def add(made: Check) -> Check:
        CHECKS[name] = made, needs
        return made
    return add


def latency(times: list[float]) -> Finding:
    """A finding about round trips, in ms."""
    times = sorted(times)
    data = {"median_ms": round(times[len(times) // 2], 3), "worst_ms": round(times[-1], 3),
            "count": len(times)}
    slow = data["median_ms"] > 500
    return Finding("warning" if slow else "ok", f"median {data['median_ms']:.1f} ms, worst "
                   f"{data['worst_ms']:.1f} ms of {len(times)}", data,
                   "Run the bot nearer to the exchange; look at `routes`." if slow else "")

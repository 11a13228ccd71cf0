"""Alerts: callbacks, the log, a webhook. Sending never blocks, never raises, never names a secret.

A callback is a plain call. The log is "mexcfast.alerts". A webhook has a task and a bounded queue
of its own, so that a receiver that is slow, dead or refuses costs nobody else anything: alerts that
come while one is under way leave together, the oldest are dropped first and counted.

    POST <webhook>   {"source": "mexcfast", "account": ..., "dropped": 0, "alerts": [
                         {"level": "critical", "trigger": "manual", "text": ..., "ts_ms": ...,
                          "state": "TRIPPED", "count": 1}, ...]}
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections import deque
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from typing import Protocol

import aiohttp
from yarl import URL

from mexcfast.core.throttle import backoff_ms
from mexcfast.core.window import Window
from mexcfast.errors import ConfigError
from mexcfast.net.sockets import connector
from mexcfast.net.tasks import end

log = logging.getLogger("mexcfast.alerts")

TEXT_MAX = 1000
ONE_MINUTE_NS = 60_000_000_000


class AlertLevel(StrEnum):
    """How loud."""

    INFO = "info"
    WARNING = "warning"
    CRITICAL = "critical"


@dataclass(frozen=True, slots=True)
class Alert:
    """One thing to know. ts_ms: wall clock. count: how many alike came together."""

    level: AlertLevel
    trigger: str            # core.killswitch.Trigger, or what else speaks: "watchdog", "account"
    text: str
    ts_ms: int
    state: str = ""         # the kill switch's state after it
    count: int = 1


class Sink(Protocol):
    """Where alerts go."""

    def __call__(self, alert: Alert) -> None: ...


_LEVELS = {AlertLevel.INFO: logging.INFO, AlertLevel.WARNING: logging.WARNING,
           AlertLevel.CRITICAL: logging.CRITICAL}


def to_log(alert: Alert) -> None:
    """The sink every Alerts has."""
    log.log(_LEVELS[alert.level], "%s: %s%s", alert.trigger, alert.text,
            f" [{alert.state}]" if alert.state else "")


class Webhook:
    """Sends alerts to an HTTP address as JSON, in a task of its own.

    url: http or https; it may hold a token and is shown nowhere. timeout_s, tries: of one POST;
    5xx, 429 and network faults are tried again, other answers are not. per_minute: POSTs at most;
    what comes meanwhile leaves with the next one. bound: alerts kept, the oldest go first.
    """

    def __init__(self, url: str, *, timeout_s: float = 5.0, tries: int = 3, per_minute: int = 20,
                 bound: int = 100, account: str = "") -> None:
        if not url.startswith(("http://", "https://")) or not URL(url).host:
            raise ConfigError("the webhook's address is malformed; allowed: http:// or https://")
        if timeout_s <= 0 or tries < 1 or per_minute < 1 or bound < 1:
            raise ConfigError("webhook: timeout_s above 0; tries, per_minute and bound from 1")
        self.host = URL(url).host or ""
        self.account = account
        self.posted = 0         # POSTs that were taken
        self.failed = 0         # batches given up
        self.dropped = 0        # alerts that found no room
        self._url = url
        self._timeout = aiohttp.ClientTimeout(total=timeout_s)
        self._tries = tries
        self._window = Window(per_minute, ONE_MINUTE_NS)
        self._queue: deque[Alert] = deque()
        self._bound = bound
        self._task: asyncio.Task[None] | None = None

    def __repr__(self) -> str:
        return f"<Webhook {self.host} {len(self._queue)} waiting>"

    def __call__(self, alert: Alert) -> None:
        """Queue it. Without a running loop it is counted as dropped."""
        for at, waiting in enumerate(self._queue):
            if (waiting.level, waiting.trigger, waiting.text, waiting.state) == (
                    alert.level, alert.trigger, alert.text, alert.state):
                self._queue[at] = replace(waiting, count=waiting.count + 1, ts_ms=alert.ts_ms)
                return
        if len(self._queue) >= self._bound:
            self._queue.popleft()
            self.dropped += 1
        self._queue.append(alert)
        if self._task is None or self._task.done():
            try:
                self._task = asyncio.get_running_loop().create_task(
                    self._run(), name="mexcfast webhook")
            except RuntimeError:
                self._queue.pop()
                self.dropped += 1

    async def _run(self) -> None:
        while self._queue:              # again for what came while the session was closing
            async with aiohttp.ClientSession(connector=connector(),
                                             timeout=self._timeout) as session:
                await self._empty(session)

    async def _empty(self, session: aiohttp.ClientSession) -> None:
        """Post all that waits, at the pace allowed."""
        while self._queue:
            wait_ns = self._window.take(time.monotonic_ns())
            if wait_ns > 0:
                await asyncio.sleep(wait_ns / 1e9)
                continue
            batch = list(self._queue)
            self._queue.clear()
            body = json.dumps({"source": "mexcfast", "account": self.account,
                               "dropped": self.dropped,
                               "alerts": [asdict(alert) for alert in batch]}).encode()
            if await self._post(session, body):
                self.posted += 1
            else:
                self.failed += 1

    async def _post(self, session: aiohttp.ClientSession, body: bytes) -> bool:
        why = ""
        for attempt in range(1, self._tries + 1):
            try:
                async with session.post(self._url, data=body, allow_redirects=False,
                                        headers={"Content-Type": "application/json"}) as answer:
                    if answer.status < 300:
                        return True
                    why = f"HTTP {answer.status}"
                    if answer.status < 500 and answer.status != 429:
                        break
            except (aiohttp.ClientError, OSError, TimeoutError) as error:
                why = type(error).__name__      # its text may hold the address
            if attempt < self._tries:
                await asyncio.sleep(backoff_ms(attempt, base_ms=500, cap_ms=5000) / 1000)
        log.warning("the webhook at %s did not take an alert: %s", self.host, why)
        return False

    async def close(self, grace_s: float = 2.0) -> None:
        """Give what is under way this long, then stop."""
        if self._task is not None:
            task, self._task = self._task, None
            await asyncio.wait([task], timeout=grace_s)
            await end(task)


class Alerts:
    """Passes each alert to the log and to every sink; a sink that raises is logged, no more."""

    def __init__(self, *sinks: Sink | Callable[[Alert], None]) -> None:
        self.sinks: list[Callable[[Alert], None]] = [to_log, *sinks]

    def send(self, level: AlertLevel, trigger: str, text: str, ts_ms: int, state: str = "") -> None:
        """Tell everybody, at once."""
        alert = Alert(level, str(trigger), text[:TEXT_MAX], ts_ms, str(state))
        for sink in list(self.sinks):
            try:
                sink(alert)
            except Exception:
                log.exception("a sink of alerts raised")

    async def close(self) -> None:
        """Stop the webhooks; what they hold gets a moment."""
        hooks = [sink for sink in self.sinks if isinstance(sink, Webhook)]
        await asyncio.gather(*(hook.close() for hook in hooks))

"""Answers GET /metrics on loopback, in the client's own event loop, a metric at a time.

A thread of its own would read books while frames change them, and would hold the interpreter's
lock for whole switch intervals. So the text is made here, and the loop gets its turn every
SLICE_NS: a scrape delays a frame by about one metric's worth.
"""

from __future__ import annotations

import asyncio
import ipaddress
import time
from collections.abc import Callable, Iterator

from aiohttp import web

from mexcfast.errors import ConfigError

SLICE_NS = 100_000
PATH = "/metrics"
GRACE_S = 0.5


def check_host(host: str, remote: bool) -> None:
    """ConfigError for an address that others can reach, unless that is wanted."""
    try:
        is_loopback = host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        raise ConfigError(f"host is {host!r}; allowed: an IP address, or localhost") from None
    if not is_loopback and not remote:
        raise ConfigError(f"host is {host!r}, which other machines can reach; allowed: 127.0.0.1, "
                          "::1, localhost, or remote=True when that is wanted")


class MetricsServer:
    """One listening socket. pieces: gives the text of a scrape, bit by bit."""

    def __init__(self, pieces: Callable[[], Iterator[bytes]], content_type: str) -> None:
        self.scrapes = 0
        self._pieces = pieces
        self._content_type = content_type
        self._runner: web.ServerRunner | None = None

    async def start(self, host: str, port: int) -> tuple[str, int]:
        """Listen; the address it got. Raises ConfigError when that cannot be had."""
        runner = web.ServerRunner(web.Server(self._answer, access_log=None),
                                  shutdown_timeout=GRACE_S)
        self._runner = runner
        try:
            await runner.setup()
            site = web.TCPSite(runner, host, port)
            await site.start()
        except (OSError, OverflowError) as error:
            await self.close()
            why = getattr(error, "strerror", None) or str(error)
            raise ConfigError(f"port {port} of {host} cannot be had: {why}; allowed: a free port, "
                              "0 takes any") from None
        except BaseException:
            await self.close()
            raise
        found = runner.addresses[0]
        return found[0], found[1]

    async def close(self) -> None:
        """Stop listening, break off what is under way."""
        runner, self._runner = self._runner, None
        if runner is not None:
            await runner.cleanup()

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        if request.path != PATH:
            return web.Response(status=404, text=f"Metrics are at {PATH}.\n")
        if request.method not in ("GET", "HEAD"):
            return web.Response(status=405, headers={"Allow": "GET, HEAD"})
        found: list[bytes] = []
        since_ns = time.perf_counter_ns()
        for piece in self._pieces():
            found.append(piece)
            if time.perf_counter_ns() - since_ns > SLICE_NS:
                await asyncio.sleep(0)
                since_ns = time.perf_counter_ns()
        self.scrapes += 1
        return web.Response(body=b"".join(found), headers={"Content-Type": self._content_type})

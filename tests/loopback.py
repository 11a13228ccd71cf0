"""HTTP servers of tests: one handler on loopback, gone when the block ends."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Self

from aiohttp import web


class Loopback:
    """Serves one path at 127.0.0.1 while it is entered; host: "127.0.0.1:PORT"."""

    def __init__(self, handler: Callable[[web.Request], Awaitable[web.StreamResponse]],
                 path: str = "/edge", method: str = "GET") -> None:
        app = web.Application()
        app.router.add_route(method, path, handler)
        self._runner = web.AppRunner(app, shutdown_timeout=0.05)

    async def __aenter__(self) -> Self:
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.host = "{}:{}".format(*self._runner.addresses[0][:2])
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._runner.cleanup()

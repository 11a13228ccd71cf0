"""The order lane: warm connections for order entry, opened before they are needed.

No pipelining: a connection carries one request at a time, so several are kept. One that has been
idle for most of what the server keeps it is replaced in the background, the new one first; one that
has been idle for all of it is never used. A connection found ended before the first byte of a
request is replaced without doubt; nothing is ever sent again after it.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
import random
import socket
import ssl
from typing import Any

import aiofastnet
import aiohappyeyeballs
from yarl import URL

from mexcfast.core.rest import Endpoint
from mexcfast.core.throttle import backoff_ms
from mexcfast.errors import ConnectFailed
from mexcfast.net.lane import BUSY, IDLE, IdleConnections, LaneConnection
from mexcfast.net.sockets import tune
from mexcfast.net.tasks import end

log = logging.getLogger("mexcfast.net")

MOST = 16           # connections at once; beyond that requests take the other path
RENEW_AT = 0.8      # of the time a server keeps an idle connection
FIRST_ADDRESS_S = 0.25      # before the next address of the host is tried beside it


@functools.cache
def _tls() -> ssl.SSLContext:
    """Certificates and host names are checked; loading the authorities takes milliseconds."""
    context = ssl.create_default_context()
    context.set_alpn_protocols(["http/1.1"])
    return context


class Lanes:
    """Connections to one endpoint's host. Use it in one event loop.

    take() gives one that is idle, or opens one. Whoever took it sends one request on it, or gives
    it back unused.
    """

    def __init__(self, endpoint: Endpoint) -> None:
        url = URL(endpoint.rest_url)
        assert url.host is not None and url.port is not None
        self._host, self._port = url.host, url.port
        self._is_tls = url.scheme == "https"
        self._warm = endpoint.warm_connections
        self._keepalive_s = endpoint.keepalive_ms / 1000
        self._timeout_s = endpoint.timeout_ms / 1000
        self._connect_timeout_s = endpoint.connect_timeout_ms / 1000
        self._busy_poll_us, self._quick_ack = endpoint.busy_poll_us, endpoint.quick_ack
        #: those that could take a request now
        self.idle = IdleConnections(self._on_idle)
        self._open: set[LaneConnection] = set()
        self._opening: set[asyncio.Task[None]] = set()
        self._waiting = self.idle.waiting
        self._changed = asyncio.Event()
        self._keeper: asyncio.Task[None] | None = None
        self._failures = 0

    def start(self) -> None:
        """Open connections in the background from now on."""
        if self._keeper is None and not self.idle.is_closed and self._warm:
            self._keeper = asyncio.get_running_loop().create_task(self._keep_warm())

    async def close(self) -> None:
        """Close every connection; requests in flight are in doubt."""
        self.idle.is_closed = True
        await end(*self._opening, self._keeper)
        for connection in list(self._open):
            connection.drop()
        self._fail_waiting(ConnectFailed("the executor was closed"))
        await asyncio.sleep(0)      # the transports' last words

    async def until_warm(self) -> None:
        """Wait until as many connections are open as should be."""
        self.start()
        while self._fresh() < self._warm and not self.idle.is_closed:
            self._changed.clear()
            await self._changed.wait()

    # -- taking and giving back ------------------------------------------------------------------

    def take_now(self) -> LaneConnection | None:
        """An idle connection, at once; None without any."""
        return self.idle.take()

    async def take(self) -> LaneConnection | None:
        """An idle connection, or a new one; None when there are too many already.

        Raises ConnectFailed.
        """
        connection = self.take_now()
        if connection is not None:
            return connection
        if self.idle.is_closed:
            raise ConnectFailed("the executor was closed")
        if len(self._waiting) >= len(self._opening):
            if len(self._open) + len(self._opening) >= MOST:
                return None
            self._start_opening()
        waiter: asyncio.Future[LaneConnection] = asyncio.get_running_loop().create_future()
        self._waiting.append(waiter)
        try:
            return await waiter
        except asyncio.CancelledError:
            if waiter.done() and not waiter.cancelled() and waiter.exception() is None:
                self.give_back(waiter.result())
            raise

    def give_back(self, connection: LaneConnection) -> None:
        """A connection that was taken and not used."""
        if connection.state == IDLE:
            self._on_idle(connection)

    # -- opening ---------------------------------------------------------------------------------

    def _start_opening(self) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(self._open_one())
        self._opening.add(task)
        return task

    async def _open_one(self) -> None:
        """One connection, or one of those who wait is told why not."""
        try:
            async with asyncio.timeout(self._connect_timeout_s):
                await self._connect()
        except (OSError, TimeoutError, ValueError) as error:
            self._failures += 1
            reason = ConnectFailed(f"{type(error).__name__}: {error}".rstrip(": "))
            while self._waiting:
                waiter = self._waiting.popleft()
                if not waiter.done():
                    waiter.set_exception(reason)
                    break
        else:
            self._failures = 0
        finally:
            task = asyncio.current_task()
            assert task is not None
            self._opening.discard(task)     # now: whoever comes next must not wait for it

    async def _connect(self) -> None:
        loop = asyncio.get_running_loop()
        found = await loop.getaddrinfo(self._host, self._port, type=socket.SOCK_STREAM)
        sock = await aiohappyeyeballs.start_connection(
            found, happy_eyeballs_delay=FIRST_ADDRESS_S, interleave=1)
        if self._busy_poll_us or self._quick_ack:
            tune(sock, self._busy_poll_us, self._quick_ack)

        def connection() -> LaneConnection:
            return LaneConnection(loop, self._timeout_s, self._keepalive_s, self._is_tls,
                                  self.idle, self._on_closed)

        try:
            if self._is_tls:
                await aiofastnet.create_connection(loop, connection, sock=sock, ssl=_tls(),
                                                   server_hostname=self._host)
            else:
                await loop.create_connection(connection, sock=sock)
        except BaseException:
            sock.close()
            raise

    # -- what connections tell -------------------------------------------------------------------

    def _on_idle(self, connection: LaneConnection) -> None:
        if self.idle.is_closed:
            connection.drop()
            return
        if connection not in self._open:
            self._open.add(connection)
            self._changed.set()
        if connection.keepalive_s < self._keepalive_s:
            self._keepalive_s = connection.keepalive_s      # what this server says
            self._changed.set()
        while self._waiting:
            waiter = self._waiting.popleft()
            if not waiter.done():
                waiter.set_result(connection)
                return
        self.idle.add(connection)

    def _on_closed(self, connection: LaneConnection) -> None:
        self._open.discard(connection)
        self.idle.discard(connection)
        self._changed.set()

    def _fail_waiting(self, error: ConnectFailed) -> None:
        while self._waiting:
            waiter = self._waiting.popleft()
            if not waiter.done():
                waiter.set_exception(error)

    # -- keeping warm ----------------------------------------------------------------------------

    def _is_ageing(self, connection: LaneConnection, now_s: float) -> bool:
        return connection.state == IDLE and (
            now_s - connection.idle_since_s >= RENEW_AT * connection.keepalive_s)

    def _fresh(self) -> int:
        """Connections that will be good for a while."""
        now_s = asyncio.get_running_loop().time()
        return sum(connection.state == BUSY or not self._is_ageing(connection, now_s)
                   for connection in self._open)

    async def _keep_warm(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            if self._fresh() + len(self._opening) < self._warm:
                await asyncio.wait([self._start_opening()])
                if self._failures:
                    pause_ms = backoff_ms(self._failures, random.random())
                    log.info("no warm connection for orders; next try in %d ms", pause_ms)
                    await asyncio.sleep(pause_ms / 1000)
                continue
            for connection in self.idle:
                if self._is_ageing(connection, loop.time()):
                    connection.drop()
            self._changed.clear()
            # Requests do not wake this task: those in use will be as young as can be.
            now_s = loop.time()
            since = [now_s if each.state == BUSY else each.idle_since_s for each in self._open]
            wait_s = min(since) + RENEW_AT * self._keepalive_s - now_s if since else None
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(None if wait_s is None else max(0.001, wait_s)):
                    await self._changed.wait()


def fits(endpoint: Endpoint) -> bool:
    """Whether the lane can serve this endpoint: plain or TLS, and no credentials in the address."""
    url: Any = URL(endpoint.rest_url)
    return bool(url.host) and url.user is None and url.password is None

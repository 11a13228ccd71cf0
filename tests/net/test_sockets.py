"""net/sockets: options reach the sockets of streams and of order entry, and only when asked for."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import socket
import sys

import pytest

import mexcfast as mx
from mexcfast.core import topics
from mexcfast.core.rest import Endpoint
from mexcfast.errors import ConfigError
from mexcfast.net.sockets import SO_BUSY_POLL, connector, tune
from mexcfast.net.stream_settings import StreamSettings
from mexcfast.net.transport import socket_of
from mexcfast.sim import Exchange

linux = pytest.mark.skipif(sys.platform != "linux", reason="options of Linux")


class Told:
    """A socket that keeps what it is told, and refuses some of it."""

    def __init__(self, refuses=()):
        self.refuses = refuses
        self.options = []

    def setsockopt(self, level, option, value):
        if option in self.refuses:
            raise PermissionError(1, "Operation not permitted")
        self.options.append((level, option, value))


@linux
def test_what_is_asked_for_is_set():
    sock = Told()
    assert tune(sock) == [] and sock.options == []
    assert tune(sock, 50, True) == []
    assert sock.options == [(socket.SOL_SOCKET, SO_BUSY_POLL, 50),
                            (socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)]
    assert tune(None, 50, True) == []


@linux
def test_what_the_system_refuses_is_said_and_the_rest_is_set(caplog):
    sock = Told(refuses=(SO_BUSY_POLL,))
    assert tune(sock, 50, True) == ["SO_BUSY_POLL"]
    assert len(sock.options) == 1
    assert "SO_BUSY_POLL=50" in caplog.text


def test_out_of_range():
    for value in (-1, 1_000_001):
        with pytest.raises(ConfigError, match="busy_poll_us"):
            Endpoint.at("http://127.0.0.1:1", busy_poll_us=value)
        with pytest.raises(ValueError, match="busy_poll_us"):
            StreamSettings(busy_poll_us=value)


@linux
@pytest.mark.parametrize("asked", [False, True])
def test_they_reach_both_kinds_of_sockets(monkeypatch, asked):
    """The options are counted where they are set: the kernel forgets one, and may refuse one."""
    seen = []

    def spy(sock, busy_poll_us, quick_ack):
        assert sock.fileno() >= 0 and sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) == 1
        seen.append((busy_poll_us, quick_ack))
        return tune(sock, busy_poll_us, quick_ack)

    monkeypatch.setattr("mexcfast.net.connection.tune", spy)
    monkeypatch.setattr("mexcfast.net.lanes.tune", lambda sock, *more: seen.append(more))
    options = {"busy_poll_us": 50, "quick_ack": True} if asked else {}

    async def main():
        async with Exchange(symbols=["BTC_USDT"], seed=1) as venue:
            endpoint = Endpoint.at(venue.rest_url, venue.ws_url, warm_connections=1, **options)
            async with mx.Client(endpoint, venue.access_key, venue.secret,
                                 streams=StreamSettings(**options)) as client:
                await client.book("BTC_USDT")
                await client._executor.warm_up()
                stream = client._pool.connections[0]._stream
                assert socket_of(stream).getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) == 1
                assert topics.depth("BTC_USDT") in client._pool.connections[0].topics

    asyncio.run(main())
    assert seen == ([(50, True)] * 2 if asked else [])


async def strangers_closed(make) -> int:
    """Descriptors of somebody else's that were closed after connects were cancelled half-way."""
    loop = asyncio.get_running_loop()
    listening = await loop.create_server(asyncio.Protocol, "127.0.0.1", 0)
    address = listening.sockets[0].getsockname()
    closed = 0

    async def connect() -> None:
        sock = make((socket.AF_INET, socket.SOCK_STREAM, 0, "", address))
        sock.setblocking(False)
        try:
            await loop.sock_connect(sock, address)
        except BaseException:                       # as aiohappyeyeballs does
            sock.close()
            raise
        transport, _ = await loop.create_connection(asyncio.Protocol, sock=sock)
        transport.close()

    for turns in range(80):
        connecting = asyncio.create_task(connect())
        for _ in range(turns % 8):                  # somewhere between socket() and connected
            await asyncio.sleep(0)
        connecting.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await connecting
        del connecting
        for _ in range(turns % 5):
            await asyncio.sleep(0)
        descriptors = [os.open(os.devnull, os.O_RDONLY) for _ in range(40)]
        await asyncio.sleep(0.001)
        gc.collect()
        await asyncio.sleep(0.001)
        for descriptor in descriptors:
            try:
                os.close(descriptor)
            except OSError:
                closed += 1
    listening.close()
    return closed


@linux
def test_a_cancelled_connect_closes_nobody_elses_descriptor():
    async def main():
        made = connector()
        await made.close()
        before = len(os.listdir("/proc/self/fd"))
        closed = await strangers_closed(made._socket_factory)
        await asyncio.sleep(0.05)
        return closed, len(os.listdir("/proc/self/fd")) - before

    # A race: with aiohttp's own sockets a run like this loses none to some tens of descriptors.
    closed, more = mx.run(main())
    assert closed == 0
    assert more <= 1                    # a loop that listens keeps one in reserve (libuv)


@linux
def test_a_socket_that_nobody_closes_is_closed_by_the_collector_if_it_is_still_its_own():
    async def main():
        made = connector()
        await made.close()
        make, address = made._socket_factory, (socket.AF_INET, socket.SOCK_STREAM, 0, "", ())
        left, taken = make(address), make(address)
        numbers = left.fileno(), taken.fileno()
        os.close(numbers[1])                    # as the loop does whose transport was cancelled
        stranger = os.open(os.devnull, os.O_RDONLY)
        assert stranger == numbers[1]
        del left, taken
        gc.collect()
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(numbers[0])
        os.close(stranger)                      # it is still open

    mx.run(main())


def test_asyncio_s_own_loop_keeps_aiohttp_s_sockets():
    async def factory():
        made = connector()
        await made.close()
        return made._socket_factory

    assert asyncio.run(factory()) is None

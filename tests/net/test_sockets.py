"""net/sockets: options reach the sockets of streams and of order entry, and only when asked for."""

from __future__ import annotations

import asyncio
import socket
import sys

import pytest

import mexcfast as mx
from mexcfast.core import topics
from mexcfast.core.rest import Endpoint
from mexcfast.errors import ConfigError
from mexcfast.net.sockets import SO_BUSY_POLL, tune
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

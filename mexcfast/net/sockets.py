"""Sockets: options by name, what the system refuses is said and left; each is closed once."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from typing import Any

import aiohttp

log = logging.getLogger("mexcfast.net")

SO_BUSY_POLL = 46       # asm-generic/socket.h; the socket module has no name for it


def tune(sock: Any, busy_poll_us: int = 0, quick_ack: bool = False) -> list[str]:
    """Set what was asked for on a connected socket; names of the options that were refused.

    busy_poll_us: microseconds for which a receive with nothing there polls the network device's
    queue itself instead of waiting for its interrupt; 0 leaves it. Above the system's own
    net.core.busy_read it needs CAP_NET_ADMIN. quick_ack: acknowledge at once; the kernel may fall
    back to delaying later. sock: a socket, or what a transport gives as one; None: nothing happens.
    """
    refused: list[str] = []
    if sock is None:
        return refused
    wanted = []
    if busy_poll_us:
        wanted.append(("SO_BUSY_POLL", socket.SOL_SOCKET, SO_BUSY_POLL, busy_poll_us))
    if quick_ack:
        wanted.append(("TCP_QUICKACK", socket.IPPROTO_TCP,
                       getattr(socket, "TCP_QUICKACK", -1), 1))
    for name, level, option, value in wanted:
        try:
            sock.setsockopt(level, option, value)
        except OSError as error:
            refused.append(name)
            log.warning("the system refuses the socket option %s=%s: %s", name, value, error)
    return refused


class _LoopsSocket(socket.socket):
    """Left to the collector, it closes its descriptor only if that is still the one it opened."""

    def __init__(self, family: int, kind: int, protocol: int) -> None:
        super().__init__(family, kind, protocol)
        self._inode = os.fstat(self.fileno()).st_ino    # the kernel's own number of a socket

    def __del__(self) -> None:
        number = self.fileno()
        if number < 0:
            return
        try:
            is_ours = os.fstat(number).st_ino == self._inode
        except OSError:
            is_ours = False             # the loop has closed it, and nobody has the number now
        if is_ours:
            self.close()
        else:
            self.detach()


def _socket_for(address: tuple[Any, ...]) -> socket.socket:
    family, kind, protocol, *_ = address
    return _LoopsSocket(family, kind, protocol)


def connector(**options: Any) -> aiohttp.TCPConnector:
    """A connector for the running loop that closes each descriptor once. options: aiohttp's.

    When a request is cancelled while uvloop takes its socket over, uvloop closes the descriptor,
    and later the collector closes the same number again, whosever it is by then: a journal's, say
    (uvloop 0.22.1, aiohttp 3.14; tests/net/test_sockets.py). When it is cancelled just before that
    nobody closes it but the collector. asyncio's own loop leaves closing to the socket.
    """
    is_uvloop = type(asyncio.get_running_loop()).__module__.split(".")[0] == "uvloop"
    return aiohttp.TCPConnector(socket_factory=_socket_for if is_uvloop else None, **options)

"""Linux socket options that are asked for by name; what the system refuses is said and left."""

from __future__ import annotations

import logging
import socket
from typing import Any

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

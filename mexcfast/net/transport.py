"""Opens WebSockets on picows, with the native listener when it fits the installed picows.

net/stream was compiled against one picows; called through another's vtables it would crash. So the
versions are compared, and a Python-level listener with the same behaviour takes over on a mismatch.
"""

from __future__ import annotations

import logging
import time
from importlib.metadata import version
from typing import Any, Protocol

from picows import WSCloseCode, WSFrame, WSListener, WSMsgType, WSTransport, ws_connect

from mexcfast.core.reader import Reader

log = logging.getLogger("mexcfast.net")

MAX_FRAME = 64 << 20  # bytes; an all-tickers push of 1100 contracts is about 0.4 MB
USER_AGENT = "mexcfast"


class Owner(Protocol):
    """Who is told about a socket."""

    def on_open(self, stream: Any) -> None: ...
    def on_closed(self, stream: Any) -> None: ...


class Stream(Protocol):
    """What both listeners offer."""

    reader: Reader

    def send(self, text: bytes) -> None: ...
    def close(self) -> None: ...


class PythonStream(WSListener):
    """One socket's frames into one Reader, through Python calls."""

    def __init__(self, reader: Reader, owner: Owner) -> None:
        self.reader = reader
        self.transport: WSTransport | None = None
        self._owner = owner
        self._pieces: bytearray | None = None

    def send(self, text: bytes) -> None:
        """Queue one text frame; raises ConnectionError when the socket is gone."""
        if self.transport is None or self.transport.is_disconnected:
            raise ConnectionError("the socket is closed")
        self.transport.send(WSMsgType.TEXT, text)

    def close(self) -> None:
        """Close at once, without waiting for the peer."""
        if self.transport is not None:
            self.transport.disconnect(False)

    def on_ws_connected(self, transport: WSTransport) -> None:
        self.transport = transport
        self._owner.on_open(self)

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        ts_recv_ns = time.time_ns()
        if frame.msg_type in (WSMsgType.TEXT, WSMsgType.BINARY):
            if frame.fin and self._pieces is None:
                self.reader.feed_bytes(frame.get_payload_as_bytes(), ts_recv_ns)
                return
            self._pieces = bytearray(frame.get_payload_as_bytes())
        elif frame.msg_type == WSMsgType.CONTINUATION:
            if self._pieces is None:
                return
            self._pieces += frame.get_payload_as_bytes()
            if len(self._pieces) > MAX_FRAME:
                self._pieces = None
                transport.disconnect(False)
            elif frame.fin:
                whole, self._pieces = bytes(self._pieces), None
                self.reader.feed_bytes(whole, ts_recv_ns)
        elif frame.msg_type == WSMsgType.CLOSE:
            transport.send_close(WSCloseCode.OK)
            transport.disconnect()

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        self._owner.on_closed(self)


def _stream_class() -> type[Any]:
    try:
        from mexcfast.net.stream import BUILT_AGAINST, NativeStream
    except (ImportError, ValueError) as fault:  # ValueError: Cython found a class of another size
        log.warning("native listener unavailable (%s); the Python-level listener is used", fault)
        return PythonStream
    installed = version("picows")
    if installed != BUILT_AGAINST:
        log.warning("picows %s is installed, mexcfast was built against %s; the Python-level "
                    "listener is used", installed, BUILT_AGAINST)
        return PythonStream
    return NativeStream


STREAM_CLASS = _stream_class()


def socket_of(stream: Any) -> Any:
    """The socket below a stream, for its options; None when it is closed already."""
    transport = stream.transport
    return None if transport is None else (
        transport.underlying_transport.get_extra_info("socket"))


async def open_stream(url: str, reader: Reader, owner: Owner, *, timeout: float,  # noqa: ASYNC109
                      stream_class: type[Any] | None = None) -> Stream:
    """A connected stream. Raises OSError, TimeoutError or picows.WSError when there is none.

    url: ws:// or wss://. timeout: seconds for the whole handshake.
    """
    chosen = stream_class or STREAM_CLASS
    _, stream = await ws_connect(
        lambda: chosen(reader, owner), url, websocket_handshake_timeout=timeout,
        enable_auto_ping=False, max_frame_size=MAX_FRAME, disconnect_on_exception=False,
        logger_name="mexcfast", extra_headers={"User-Agent": USER_AGENT})
    return stream  # type: ignore[return-value]

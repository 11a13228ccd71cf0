"""ccxt's WebSocket client on picows: frames are handled where they lie, as they come.

ccxt's own takes each message through an aiohttp queue and a task of its own. Everything else of its
Client stays: futures, subscriptions, dial backoff, ping loop, errors.
"""

from __future__ import annotations

import asyncio
import gzip
import logging
import time
from collections import deque
from contextlib import suppress
from typing import Any, cast

import orjson
import picows
from ccxt.async_support.base.ws.client import Client  # type: ignore[import-untyped]
from picows import WSCloseCode, WSFrame, WSListener, WSMsgType, WSTransport

log = logging.getLogger("mexcfast.ccxt")

MAX_MESSAGE = 16 << 20       # bytes; a push of all tickers is about 0.4 MB
ABNORMAL = 1006              # a close without a close frame (RFC 6455 7.4.1)
CLOSE_WITHIN = 1.0           # seconds for the last bytes to leave
MAX_ASKED = 512              # requests whose answers are still awaited


class HandshakeRefused(Exception):
    """The server did not open a WebSocket. headers: its answer's, where ccxt seeks Retry-After."""

    def __init__(self, text: str, headers: Any) -> None:
        super().__init__(text)
        self.headers = headers


class Wire(WSListener):
    """One socket, with the few methods that ccxt's Client calls on aiohttp's."""

    def __init__(self, client: SwapClient) -> None:
        self._client = client
        self._transport: WSTransport | None = None
        self._pieces: bytearray | None = None
        self._early: list[bytes] | None = []     # until ccxt says receive_loop()
        self._code: int = ABNORMAL
        self._ours = False                       # closed by us

    # -- as ccxt sees it

    @property
    def closed(self) -> bool:
        return self._transport is None or self._transport.is_disconnected

    async def send_str(self, text: str) -> None:
        if self._transport is None or self.closed:
            raise ConnectionError("Cannot Send Message: Connection closed before send")
        self._transport.send(WSMsgType.TEXT, text.encode())

    async def ping(self, message: bytes = b"") -> None:
        if self._transport is not None and not self.closed:
            self._transport.send_ping(message)

    async def close(self) -> None:
        """A close frame, then the end; it does not wait for the peer's."""
        self._ours = True
        transport = self._transport
        if transport is None or transport.is_disconnected:
            return
        transport.send_close(WSCloseCode.OK)
        transport.disconnect()
        try:
            async with asyncio.timeout(CLOSE_WITHIN):
                await transport.wait_disconnected()
        except TimeoutError:
            transport.disconnect(False)          # the peer reads nothing any more

    def start(self) -> None:
        """Deliver from now on; first what came early."""
        early, self._early = self._early or [], None
        for data in early:
            self._client.take(data)

    # -- as picows sees it

    def on_ws_connected(self, transport: WSTransport) -> None:
        self._transport = transport

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        kind = frame.msg_type
        if kind == WSMsgType.TEXT or kind == WSMsgType.BINARY:
            if frame.fin and self._early is None:
                self._client.take(frame.get_payload_as_memoryview())
            elif frame.fin:
                self._hold(frame.get_payload_as_bytes())
            else:
                self._pieces = bytearray(frame.get_payload_as_bytes())
        elif kind == WSMsgType.CONTINUATION:
            self._continue(transport, frame)
        elif kind == WSMsgType.PONG:
            self._client.lastPong = time.time_ns() // 1_000_000
        elif kind == WSMsgType.CLOSE:
            with suppress(ValueError):           # a code of their own making
                self._code = int(cast(Any, frame.get_close_code()))
            transport.send_close(WSCloseCode.OK)
            transport.disconnect()

    def _hold(self, data: bytes) -> None:
        if self._early is None:
            self._client.take(data)
        elif len(self._early) < MAX_ASKED:
            self._early.append(data)

    def _continue(self, transport: WSTransport, frame: WSFrame) -> None:
        if self._pieces is None:
            return
        self._pieces += frame.get_payload_as_bytes()
        if len(self._pieces) > MAX_MESSAGE:
            self._pieces = None
            transport.disconnect(False)
        elif frame.fin:
            whole, self._pieces = bytes(self._pieces), None
            self._hold(whole)

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        if self._early is None and not self._ours:
            self._client.on_close(self._code)


class SwapClient(Client):  # type: ignore[misc]
    """ccxt's Client for the futures stream. Made by turn(); opened, pinged and closed by ccxt."""

    #: the bytes of the frame being handled; they are gone when its handler returns
    frame: memoryview | bytes | None
    #: requests without an answer yet, oldest first: the venue answers in their order
    asked: deque[dict[str, Any]]
    ssl_context: Any

    @classmethod
    def turn(cls, client: Client, ssl_context: Any) -> SwapClient:
        """Make ccxt's own fresh client one of ours: its constructor and options are ccxt's affair.

        ssl_context: as aiohttp takes it; False means unverified.
        """
        client.__class__ = cls
        client.frame = None
        client.asked = deque(maxlen=MAX_ASKED)
        client.ssl_context = ssl_context
        return client  # type: ignore[no-any-return]

    async def create_connection(self, session: Any) -> Wire:
        """A connected Wire. session, which is aiohttp's, is not used."""
        headers = dict(self.options.get("headers") or {})
        agent = None if session is None else session.headers.get("User-Agent")
        if agent:
            headers.setdefault("User-Agent", agent)
        try:
            _, wire = await picows.ws_connect(
                lambda: Wire(self), self.url, ssl_context=_ssl(self.url, self.ssl_context),
                websocket_handshake_timeout=self.connectionTimeout / 1000,
                enable_auto_ping=False, max_frame_size=MAX_MESSAGE, disconnect_on_exception=False,
                logger_name="mexcfast.ccxt", extra_headers=headers)
        except picows.WSHandshakeError as error:
            response = error.response
            raise HandshakeRefused(str(error), response and response.headers) from error
        return wire  # type: ignore[return-value]

    def receive_loop(self) -> None:
        """Called once after each open; frames then come by themselves."""
        if self.closed():
            self.on_close(ABNORMAL)
        else:
            self.connection.start()

    @property
    def buffer(self) -> None:
        """aiohttp's queue, which is not there."""
        return None

    async def send(self, message: Any) -> Any:
        if type(message) is dict:
            method = message.get("method")
            if type(method) is str and method != "ping":
                self.asked.append(message)
        return await super().send(message)

    def answered(self, method: str | None) -> dict[str, Any] | None:
        """The request an answer belongs to, taken off the list; None when there is none.

        method: the one the answer names, or None for an error, which names none.
        """
        asked = self.asked
        if method is None:
            return asked.popleft() if asked else None
        for number, message in enumerate(asked):
            if message["method"] == method:
                for _ in range(number + 1):
                    message = asked.popleft()
                return message
        return None

    def take(self, data: memoryview | bytes) -> None:
        """One frame. What a handler raises is logged; the stream goes on."""
        self.last_message_at = time.time_ns() // 1_000_000
        try:
            if data[:2] == b"\x1f\x8b":
                data = gzip.decompress(data)
            message = orjson.loads(data) if data[:1] in (b"{", b"[") else str(data, "utf-8")
        except (ValueError, OSError, EOFError):
            log.warning("%s: a frame of %d bytes is unreadable", self.url, len(data))
            return
        if self.verbose:
            self.log("message", message)
        self.frame = data
        try:
            self.on_message_callback(self, message)
        except Exception:
            log.exception("%s: a frame could not be handled", self.url)
        finally:
            self.frame = None

    async def aiohttp_close(self) -> None:
        with suppress(ConnectionError):
            await super().aiohttp_close()


def _ssl(url: str, context: Any) -> Any:
    if context is not False or not url.startswith("wss"):
        return context or None
    import ssl

    unverified = ssl.create_default_context()
    unverified.check_hostname = False
    unverified.verify_mode = ssl.CERT_NONE
    return unverified

"""The HTTP face: faults and maintenance first, then the exchange, then spoiling its answer."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from urllib.parse import unquote

from aiohttp import WSMsgType, web

from mexcfast.sim import wire
from mexcfast.sim.checks import Refused
from mexcfast.sim.faults import Faults, Rule
from mexcfast.sim.rest import Answer, Rest
from mexcfast.sim.session import Session
from mexcfast.sim.settings import Limits
from mexcfast.sim.stream import Hub

MOST_BODY = 1 << 20
JSON = "application/json"
LOGGER = logging.getLogger("mexcfast.sim")

#: (request, path, query, body, status, reply) -> None
Log = Callable[[web.BaseRequest, str, str, bytes, int, str], None]
PONG = 0x8A


class Front:
    """Routes of one exchange; `banned` shuts them for everybody."""

    def __init__(self, rest: Rest, hub: Hub, faults: Faults, limits: Limits, log: Log) -> None:
        self.rest = rest
        self.hub = hub
        self.faults = faults
        self.limits = limits
        self.log = log
        self.banned = False
        self.stopping = asyncio.Event()

    async def http(self, request: web.BaseRequest) -> web.StreamResponse:
        """One REST request."""
        raw_path, _, raw_query = request.raw_path.partition("?")
        path = unquote(raw_path) if "%" in raw_path else raw_path
        if self.banned:
            return self._page(request, path, raw_query, b"", 403)
        try:
            body = await request.read() if request.body_exists else b""
        except web.HTTPRequestEntityTooLarge:
            return self._reply(request, path, raw_query, b"", 413, failure(600, "body too large"))
        rule = self.faults.take_answer(path)
        if rule is not None:
            return await self._spoilt(rule, request, path, raw_query, body)
        answer = self._execute(request, path, raw_query, body)
        return self._answer(request, path, raw_query, body, answer)

    def _execute(
        self, request: web.BaseRequest, path: str, raw_query: str, body: bytes
    ) -> Answer:
        try:
            return self.rest.answer(
                request.method, path, raw_query, request.headers, body, request.remote or ""
            )
        except Exception as error:  # the exchange must survive anything a client sends
            LOGGER.exception("%s %s", request.method, path)
            return Answer(500, failure(500, f"System internal error! {type(error).__name__}"))

    async def _spoilt(
        self, rule: Rule, request: web.BaseRequest, path: str, query: str, body: bytes
    ) -> web.StreamResponse:
        """The answer as a fault wants it."""
        kind = rule.kind
        if kind == "throttle":
            text = failure(510, Refused(510).text())
            return self._reply(request, path, query, body, 200, text)
        if kind == "hang":
            return await self._hang(rule, request, path, query, body)
        answer = Answer(0, "")
        if rule.after_execute:
            answer = self._execute(request, path, query, body)
        if kind == "refuse":
            text = failure(rule.code, Refused(rule.code).text())
            return self._reply(request, path, query, body, 200, text)
        if kind == "html":
            return self._page(request, path, query, body, rule.status)
        if kind == "http_status":
            when = "after" if rule.after_execute else "before"
            spoilt = failure(rule.status, f"injected {when} executing")
            return self._reply(request, path, query, body, rule.status, spoilt)
        if kind in ("garble_answer", "truncate_answer"):
            data = self.faults.spoil(kind, answer.body)
            self.log(request, path, query, body, answer.http, data.decode("utf-8", "replace"))
            return web.Response(body=data, status=answer.http, content_type=answer.content_type)
        return self._abort(request, path, query, body)  # lose_answer

    async def _hang(
        self, rule: Rule, request: web.BaseRequest, path: str, query: str, body: bytes
    ) -> web.StreamResponse:
        done = self._execute(request, path, query, body) if rule.after_execute else None
        try:
            await asyncio.wait_for(self.stopping.wait(), rule.seconds)
        except TimeoutError:
            if done is None:
                done = self._execute(request, path, query, body)
            return self._answer(request, path, query, body, done)
        return self._abort(request, path, query, body)

    def _abort(
        self, request: web.BaseRequest, path: str, query: str, body: bytes
    ) -> web.StreamResponse:
        self.log(request, path, query, body, 0, "")
        if request.transport is not None:
            request.transport.abort()
        return web.Response(status=500)

    def _page(
        self, request: web.BaseRequest, path: str, query: str, body: bytes, status: int
    ) -> web.StreamResponse:
        text = self.faults.page(status)
        self.log(request, path, query, body, status, text)
        return web.Response(text=text, status=status, content_type="text/html")

    def _answer(
        self, request: web.BaseRequest, path: str, query: str, body: bytes, answer: Answer
    ) -> web.Response:
        if answer.file is None:
            return self._reply(request, path, query, body, answer.http, answer.text)
        self.log(request, path, query, body, answer.http, f"{len(answer.body)} bytes of a file")
        return web.Response(
            body=answer.body, status=answer.http, content_type=answer.content_type
        )

    def _reply(
        self, request: web.BaseRequest, path: str, query: str, body: bytes, status: int, text: str
    ) -> web.Response:
        self.log(request, path, query, body, status, text)
        return web.Response(body=text.encode(), status=status, content_type=JSON)

    # WebSocket

    async def edge(self, request: web.BaseRequest) -> web.StreamResponse:
        """One client connection, until either side ends it."""
        if self.banned:
            return self._page(request, request.path, "", b"", 403)
        socket = web.WebSocketResponse(
            compress=False, max_msg_size=MOST_BODY, timeout=0.5, autoping=False, autoclose=False
        )
        if not socket.can_prepare(request).ok:
            return web.Response(text=failure(400, "a WebSocket is expected"), status=400)
        await socket.prepare(request)
        transport = request.transport
        if transport is None:
            return socket
        session = Session(transport, self.faults, self.limits, request.remote or "")
        self.hub.open(session)
        try:
            await self._listen(socket, session)
        finally:
            self.hub.closed(session)
        # A half-open peer has said goodbye and gets no answer; nothing announces its last packet.
        while session.half_open and not transport.is_closing():  # noqa: ASYNC110
            await asyncio.sleep(0.02)
        return socket

    async def _listen(self, socket: web.WebSocketResponse, session: Session) -> None:
        while True:
            message = await socket.receive()
            kind = message.type
            if kind is WSMsgType.TEXT:
                self.hub.handle(session, message.data)
            elif kind is WSMsgType.BINARY:
                self.hub.handle(session, message.data.decode("utf-8", "replace"))
            elif kind is WSMsgType.PING:
                session.write(wire.frame(PONG, bytes(message.data)))
            elif kind is WSMsgType.PONG:
                session.heard("pong " + bytes(message.data).decode("latin-1"))
            else:
                return


def failure(code: int, message: str) -> str:
    """The envelope of a refusal."""
    return wire.dumps({"success": False, "code": code, "message": message})


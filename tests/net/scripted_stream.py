"""A scripted venue on loopback, a listener that notes everything, and a pool between them."""

from __future__ import annotations

import asyncio
import json

from aiohttp import WSMsgType, web

from loopback import Loopback
from mexcfast.core.depth import State
from mexcfast.core.listener import Listener
from mexcfast.net.connection import StreamSettings
from mexcfast.net.pool import Pool
from mexcfast.net.repair import BUDGETS
from models.book_model import Frame
from models.frames import commits_text, frame_text, levels, snapshot_text

BTC = "BTC_USDT"
QUICK = {"ping_interval": 0.2, "pong_deadline": 2.0, "acknowledge_timeout": 2.0,
         "stable_after": 0.0001, "handshake_timeout": 5.0}
DEAL = {"channel": "push.deal", "symbol": BTC, "ts": 1,
        "data": [{"p": 1.5, "v": 2, "T": 1, "O": 1, "M": 2, "t": 3, "i": "4"}]}


class Watch:
    """Waits until something that was noted makes a condition true; no polling, no sleeping."""

    def __init__(self):
        self._changed = asyncio.Event()

    def note(self):
        self._changed.set()

    async def until(self, condition, seconds=8):
        async with asyncio.timeout(seconds):
            while not condition():
                self._changed.clear()
                await self._changed.wait()


class Venue(Loopback):
    """A WebSocket server that acknowledges everything unless told otherwise.

    answers: method -> list of replies to give, one request each, then the usual one. A reply is a
    frame, None for silence, or "close".
    """

    def __init__(self, watch):
        super().__init__(self._serve)
        self.watch = watch
        self.answers = {}
        self.seen = []               # (socket number, request, loop time)
        self.sockets = []

    @property
    def url(self):
        return f"ws://{self.host}/edge"

    async def _serve(self, request):
        socket = web.WebSocketResponse(compress=False)
        await socket.prepare(request)
        self.sockets.append(socket)
        number = len(self.sockets)
        self.watch.note()
        async for message in socket:
            assert message.type is WSMsgType.TEXT
            asked = json.loads(message.data)
            self.seen.append((number, asked, asyncio.get_running_loop().time()))
            planned = self.answers.get(asked["method"])
            answer = planned.pop(0) if planned else self.usual(asked)
            if answer == "close":
                await socket.close()
            elif answer is not None:
                await socket.send_str(answer if isinstance(answer, str) else json.dumps(answer))
            self.watch.note()
        return socket

    @staticmethod
    def usual(asked):
        if asked["method"] == "ping":
            return {"channel": "pong", "data": 1}
        return {"channel": f"rs.{asked['method']}", "data": "success", "ts": 1}

    async def push(self, frame, number=-1):
        await self.sockets[number].send_str(
            frame if isinstance(frame, str) else json.dumps(frame))

    def requests(self, method, number=None):
        return [asked for n, asked, _ in self.seen
                if asked["method"] == method and number in (None, n)]


class Me(Listener):
    def __init__(self, watch):
        self.watch = watch
        self.events, self.books, self.states, self.life, self.refused = [], [], [], [], []

    def on_event(self, event):
        self.events.append(event)
        self.watch.note()

    def on_book(self, book):
        assert book.state is State.LIVE
        self.books.append(book.version)
        self.watch.note()

    def on_book_state(self, book, old, new):
        self.states.append((old, new))
        self.watch.note()

    def on_connected(self, connection):
        self.life.append(("connected", connection))
        self.watch.note()

    def on_disconnected(self, connection, why):
        self.life.append(("disconnected", connection, why))
        self.watch.note()

    def on_reconnected(self, connection, down_ns):
        assert 0 < down_ns < 8 * 10**9
        self.life.append(("reconnected", connection))
        self.watch.note()

    def on_refused(self, topic, why):
        self.refused.append((topic, why))
        self.watch.note()


class Rest:
    """Answers of depth and depth_commits; an exception is raised, the last one stays."""

    def __init__(self, watch, **bodies):
        self.watch = watch
        self.bodies = {name: list(some) for name, some in bodies.items()}
        self.asked = []

    async def fetch(self, name, symbol):
        self.asked.append((name, symbol))
        self.watch.note()
        some = self.bodies[name]
        body = some.pop(0) if len(some) > 1 else some[0]
        if isinstance(body, Exception):
            raise body
        return body.encode()


def play(script, *, rest=None, cls=None, budgets=BUDGETS, **settings):
    """Run script(venue, pool, me, watch, rest) with everything open, then close it."""
    async def run():
        watch = Watch()
        server = Rest(watch, **(rest or {"depth": [snapshot_text(100, [], [])],
                                         "depth_commits": [commits_text([])]}))
        async with Venue(watch) as venue:
            pool = Pool(venue.url, server.fetch, StreamSettings(**QUICK | settings),
                        stream_class=cls, budgets=budgets)
            try:
                await script(venue, pool, Me(watch), watch, server)
            finally:
                await pool.close()

    asyncio.run(run())


def depth(begin, end, asks=(), bids=()):
    return frame_text(Frame(begin, end, levels(*asks), levels(*bids), True))

"""net/transport and net/stream: both listeners say the same of the same bytes."""

from __future__ import annotations

import asyncio
import json
import logging
import sys

import picows
import pytest
from aiohttp import WSMsgType, web

from loopback import Loopback
from mexcfast.core.depth import OrderBook
from mexcfast.core.listener import Listener
from mexcfast.core.reader import TAGS, Reader
from mexcfast.net import transport
from mexcfast.net.stream import BUILT_AGAINST, NativeStream
from mexcfast.net.transport import PythonStream, open_stream
from models import json_model
from models.book_model import Frame
from models.frames import frame_text, snapshot_text

VECTORS = json_model.vectors("server->client")
both_classes = pytest.mark.parametrize("cls", [NativeStream, PythonStream])


class Server(Loopback):
    """A WebSocket on loopback; script(socket) is run for each connection."""

    def __init__(self, script):
        super().__init__(self._serve)
        self.script = script

    @property
    def url(self):
        return f"ws://{self.host}/edge"

    async def _serve(self, request):
        socket = web.WebSocketResponse(compress=False)
        await socket.prepare(request)
        self.headers = request.headers
        await self.script(socket)
        async for _ in socket:
            pass
        return socket


class Owner(Listener):
    """Owner of the stream, control of the reader and listener of everything."""

    def __init__(self):
        self.calls = []
        self.closed = asyncio.Event()
        self.opened = 0

    def on_open(self, stream):
        self.opened += 1

    def on_closed(self, stream):
        self.closed.set()

    def on_control(self, event):
        self.calls.append(("control", event.to_dict()))

    def on_need(self, book, change):
        self.calls.append(("need", book.symbol, change))

    def on_fault(self, fault, where):
        self.calls.append(("fault", str(fault), where))

    def on_event(self, event):
        self.calls.append(("event", type(event).__name__, event.to_dict(),
                           event.ts_recv_ns > 10**18))

    def on_book(self, book):
        self.calls.append(("book", book.version, book.bids(), book.asks()))

    def on_book_state(self, book, old, new):
        self.calls.append(("state", old, new))


async def collect(cls, script):
    """Every call that a connection makes until the server closes it."""
    owner = Owner()
    reader = Reader(owner)
    for channel in TAGS:
        if channel != "push.depth":
            reader.listen(channel, "", owner)
    book = OrderBook("BTC_USDT")
    book.load_snapshot(snapshot_text(1, [], []))
    book.listeners = [owner]
    reader.route("BTC_USDT").book = book
    async with Server(script) as server:
        await open_stream(server.url, reader, owner, timeout=5, stream_class=cls)
        await asyncio.wait_for(owner.closed.wait(), 10)
        assert server.headers["User-Agent"] == "mexcfast"
    assert owner.opened == 1
    return owner.calls, reader


async def everything(socket):
    for version in range(2, 30):
        await socket.send_str(frame_text(Frame(version, version, [], [])))
    for vector in VECTORS:
        await socket.send_str(vector["text"])
        await socket.send_bytes(json_model.packed(vector["text"]))
    await socket.send_str("{")
    await socket.send_bytes(b"\x1f\x8b broken")
    await socket.send_str("")
    text = json.dumps({"channel": "push.tickers", "data": [
        {"symbol": f"S{n}_USDT", "lastPrice": n} for n in range(20_000)]}).encode()
    await socket.send_bytes(text)
    # the same in pieces: text, then continuations
    writer = socket._writer
    for first in range(0, len(text), 300_000):
        piece = text[first:first + 300_000]
        await raw_frame(writer, piece, 2 if first == 0 else 0, fin=first + 300_000 >= len(text))
    await raw_frame(writer, b'{"channel":', 1, fin=False)
    await raw_frame(writer, b'"pong","data":7}', 0, fin=True)
    await socket.close()


async def raw_frame(writer, payload, opcode, *, fin):
    size = len(payload)
    head = bytes([opcode | (0x80 if fin else 0)])
    head += bytes([size]) if size < 126 else (
        b"\x7e" + size.to_bytes(2, "big") if size < 65536 else b"\x7f" + size.to_bytes(8, "big"))
    writer.transport.write(head + payload)
    await asyncio.sleep(0)


def test_native_and_python_listener_make_the_same_calls():
    native, native_reader = asyncio.run(collect(NativeStream, everything))
    python, python_reader = asyncio.run(collect(PythonStream, everything))
    assert native == python
    assert len(native) > 150
    assert {call[0] for call in native} == {"control", "event", "need", "fault", "state", "book"}
    for name in ("frames", "bytes_read", "malformed", "unknown", "unrouted"):
        assert getattr(native_reader, name) == getattr(python_reader, name)
    assert native_reader.malformed == 3
    assert native[-2] == ("control", {"channel": "pong", "data": 7})


@both_classes
def test_sending_and_closing(cls):
    async def run():
        done = asyncio.Event()

        async def script(socket):
            message = await socket.receive()
            assert (message.type, message.data) == (WSMsgType.TEXT, '{"method":"ping"}')
            await socket.send_str('{"channel":"pong","data":1}')
            done.set()

        owner = Owner()
        async with Server(script) as server:
            stream = await open_stream(server.url, Reader(owner), owner, timeout=5,
                                       stream_class=cls)
            stream.send(b'{"method":"ping"}')
            await asyncio.wait_for(done.wait(), 5)
            stream.close()
            await asyncio.wait_for(owner.closed.wait(), 5)
            with pytest.raises(ConnectionError):
                stream.send(b"late")
            stream.close()

    asyncio.run(run())


@both_classes
def test_a_stream_that_never_opened(cls):
    async def run():
        owner = Owner()
        unopened = cls(Reader(owner), owner)
        with pytest.raises(ConnectionError):
            unopened.send(b"x")
        unopened.close()
        with pytest.raises((OSError, picows.WSError)):
            await open_stream("ws://127.0.0.1:1/edge", Reader(owner), owner, timeout=5,
                              stream_class=cls)

    asyncio.run(run())


def test_the_native_listener_is_the_default():
    assert picows.__version__ == BUILT_AGAINST
    assert transport.STREAM_CLASS is NativeStream


def test_another_picows_falls_back(monkeypatch, caplog):
    monkeypatch.setattr(transport, "version", lambda name: "2.9.9")
    with caplog.at_level(logging.WARNING, "mexcfast.net"):
        assert transport._stream_class() is PythonStream
    assert "2.9.9" in caplog.text and BUILT_AGAINST in caplog.text


def test_a_stream_that_cannot_be_loaded_falls_back(monkeypatch, caplog):
    monkeypatch.setitem(sys.modules, "mexcfast.net.stream", None)
    with caplog.at_level(logging.WARNING, "mexcfast.net"):
        assert transport._stream_class() is PythonStream

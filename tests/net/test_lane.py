"""net/lane and net/lanes: the bytes aiohttp sends, and an honest outcome whatever happens."""

from __future__ import annotations

import asyncio
import gc
import json
import os
import signal
import socket
import ssl
import struct
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import uvloop

from children import deadline
from mexcfast.core.rest import ORDER_ENTRY, Endpoint, Subject, find
from mexcfast.core.sign import Signer
from mexcfast.errors import ConfigError, ConnectFailed, ConnectionLost
from mexcfast.net import lanes as lanes_module
from mexcfast.net.clock import Clock
from mexcfast.net.executor import Executor
from mexcfast.net.lane import BUSY, CLOSED, IDLE, NotSent
from mexcfast.types import Accepted, Rejected, Unknown
from net.raw_server import RawServer
from net.scripted_server import reply

KEY, SECRET = "mxU1TzSmRDW1o5AsE", "mexcfast-demo-secret-0001"
ABOUT = Subject("BTC_USDT", "cl-1")
BODY = b'{"symbol":"BTC_USDT","vol":10}'
OK = reply(b'{"success":true,"code":0,"data":{"orderId":"17","ts":1779799999123}}')
DATA = Path(__file__).parents[1] / "data"
NOW = 1_779_799_999_000


def play(serve, steps, *, ssl=None, clock=None, lane="auto", loop_factory=None, **settings):
    async def main():
        async with asyncio.timeout(120), RawServer(serve, ssl) as server:
            settings.setdefault("warm_connections", 1)
            endpoint = Endpoint.at(server.url, limits={"order_place": (100_000, 1)}, margin_ms=0,
                                   **settings)
            async with Executor(endpoint, Signer(KEY, SECRET), clock, lane=lane) as executor:
                return await steps(executor, server)

    with asyncio.Runner(loop_factory=loop_factory) as runner:
        result = runner.run(main())
    gc.collect()        # an unclosed socket or an exception nobody fetched would warn here
    return result


@pytest.fixture(params=["waiting", "at once"], autouse=True)
def way(request, monkeypatch):
    """Every order here leaves during the call, and again by the way that could wait."""
    if request.param == "waiting":
        monkeypatch.setattr(Executor, "launch", lambda *_, **__: None)
    return request.param


async def place(executor, *, on_send=None, body=BODY):
    return await executor.execute("create", body, ABOUT, on_send=on_send)


async def answer_all(connection):
    while True:
        await connection.request()
        await connection.write(OK)


async def until(condition):
    async with asyncio.timeout(60):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.002)


# -- the same bytes ------------------------------------------------------------------------------

BODIES = [b"{}", BODY, '{"symbol":"币_USDT","externalOid":"é"}'.encode(),
          b"[" + b"1," * 30_000 + b"1]", b"\x00\xff" * 9, b"x" * 55, b"x" * 119, b"x" * 1023]


@pytest.mark.parametrize("settings", [
    {}, {"recv_window_s": 60, "language": "한국어", "user_agent": "a b"},
    {"paths": {"create": "private/order/submit"}}], ids=["plain", "all settings", "other path"])
def test_the_lane_sends_what_aiohttp_sends(settings):
    async def steps(executor, server):
        for name in sorted(ORDER_ENTRY):
            executor.endpoint.limits[find(name).group] = (100_000, 1)
            for body in BODIES:
                await executor.execute(name, body)
        return server.requests, server.port

    seen = []
    for lane in ("auto", "off"):
        requests, port = play(answer_all, steps, clock=Clock(wall_ns=lambda: NOW * 1_000_000),
                              lane=lane, **settings)
        seen.append([each.replace(b"Host: 127.0.0.1:%d" % port, b"Host") for each in requests])
    assert len(seen[0]) == len(ORDER_ENTRY) * len(BODIES)
    assert seen[0] == seen[1]


def test_orders_leave_over_the_lane_and_the_rest_does_not():
    async def steps(executor, server):
        async def refuse(*args):
            raise AssertionError("over aiohttp")

        executor._send = refuse
        for name in ORDER_ENTRY:
            assert isinstance(await executor.execute(name, b"[1]"), Accepted | Unknown)
        with pytest.raises(AssertionError, match="aiohttp"):
            await executor.execute("close_all")
        with pytest.raises(AssertionError, match="aiohttp"):
            await executor.execute("plan_place", b"{}")

    play(answer_all, steps)


def test_the_setting():
    with pytest.raises(ConfigError, match="lane is 'on'"):
        Executor(lane="on")
    with pytest.raises(ConfigError, match="warm_connections"):
        Endpoint.at("http://127.0.0.1:1", warm_connections=17)

    async def steps(executor, server):
        await executor.warm_up()
        assert server.connections == 0
        assert isinstance(await place(executor), Accepted)

    play(answer_all, steps, lane="off")

    async def public():
        async with Executor(Endpoint.at("http://127.0.0.1:1")) as executor:
            await executor.warm_up()        # nothing to keep warm without keys

    asyncio.run(public())
    assert not lanes_module.fits(Endpoint.at("http://user:pass@127.0.0.1"))
    assert lanes_module.fits(Endpoint.at("https://127.0.0.1"))


# -- faults at every byte ------------------------------------------------------------------------

def request_size():
    async def steps(executor, server):
        await place(executor)
        return len(server.requests[0])

    return play(answer_all, steps)


@pytest.mark.parametrize("loop_factory", [None, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
@pytest.mark.parametrize("end", ["reset", "close"])
def test_a_request_cut_at_every_byte(end, loop_factory):
    """The server reads so many bytes, and ends. The next order goes through."""
    size = request_size()
    taken = iter(range(size + 1))
    cut = {}

    async def serve(connection):
        if connection.number % 2 == 0:
            await answer_all(connection)
        cut[connection.number] = stop = next(taken)
        await connection.read_exactly(stop) if stop else await connection.read_exactly(1)
        getattr(connection, end)()

    async def steps(executor, server):
        for _ in range(size):
            first = await place(executor)
            assert type(first) is Unknown
            assert first.reason == "ConnectionLost"
            arrived = len(server.requests)
            assert isinstance(await place(executor), Accepted)
            assert len(server.requests) == arrived + 1
            for connection in list(executor._lanes._open):
                connection.drop()
        assert len(server.requests) == size, "nothing was ever sent twice"

    play(serve, steps, loop_factory=loop_factory, warm_connections=0)
    assert len(cut) == size


@pytest.mark.parametrize("loop_factory", [None, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
@pytest.mark.parametrize("end", ["reset", "close"])
def test_an_answer_cut_at_every_byte(end, loop_factory):
    stops = iter(range(len(OK) + 1))

    async def serve(connection):
        if connection.number % 2 == 0:
            await answer_all(connection)
        await connection.request()
        await connection.write(OK[:next(stops)])
        if end == "reset":
            await asyncio.sleep(0)
        getattr(connection, end)()

    async def steps(executor, server):
        for _ in range(len(OK)):
            outcome = await place(executor)
            assert type(outcome) is Unknown
            assert outcome.reason == "ConnectionLost"
            assert outcome.ts_sent_ms is not None
            assert isinstance(await place(executor), Accepted)
            for connection in list(executor._lanes._open):
                connection.drop()
        # The whole answer, then the end: a reset may overtake its last bytes.
        assert isinstance(await place(executor), Accepted | Unknown if end == "reset"
                          else Accepted)
        assert len(server.requests) == 2 * len(OK) + 1

    play(serve, steps, loop_factory=loop_factory, warm_connections=0)


def test_an_answer_byte_by_byte():
    async def serve(connection):
        while True:
            await connection.request()
            for i in range(len(OK)):
                await connection.write(OK[i:i + 1])
                await asyncio.sleep(0)

    async def steps(executor, server):
        outcomes = [await place(executor) for _ in range(3)]
        assert outcomes == [Accepted("BTC_USDT", "cl-1", 17, 1779799999123)] * 3
        assert server.connections == 1

    play(serve, steps)


@pytest.mark.parametrize("answer", [
    OK + b"x", OK + OK, b"HTTP/1.1 100 Continue\r\n\r\n" + OK, OK.replace(b"1.1", b"1.0"),
    OK.replace(b"Content-Length", b"Content-Lengthy"), OK.replace(b"\r\n", b"\n"),
    OK.replace(b"\r\n\r\n", b"\r\nContent-Encoding: gzip\r\n\r\n"), b"\0" * 9000, b"\r\n" + OK,
    reply(b"", 500), reply(b"gibberish"),
], ids=lambda answer: repr(answer[:30]))
def test_anything_unusual_is_a_doubt_and_the_next_order_goes_through(answer):
    async def serve(connection):
        await connection.request()
        await connection.write(answer if len(connection.server.requests) == 1 else OK)
        await answer_all(connection)

    async def steps(executor, server):
        outcome = await place(executor)
        assert type(outcome) is Unknown
        assert outcome.reason == "BadAnswer"
        assert isinstance(await place(executor), Accepted)
        assert len(server.requests) == 2
        is_answer = answer in (reply(b"", 500), reply(b"gibberish"))
        assert server.connections == (1 if is_answer else 2)

    play(serve, steps)


def test_an_answer_before_the_request_has_left():
    """A request of many megabytes; the answer comes after its first bytes."""
    async def serve(connection):
        await connection.read_exactly(10)
        await connection.write(OK)
        await connection.forever()

    async def steps(executor, server):
        await executor.warm_up()
        outcome = await place(executor, body=b"[" + b" " * (32 << 20) + b"]")
        assert type(outcome) is Unknown
        assert outcome.reason == "BadAnswer"

    play(serve, steps)


def test_a_deadline_is_kept_over_many_requests():
    async def serve(connection):
        for _ in range(20):
            await connection.request()
            await connection.write(OK)
            await asyncio.sleep(0.01)
        await connection.request()
        await connection.forever()

    async def steps(executor, server):
        outcomes = [await place(executor) for _ in range(21)]
        assert all(isinstance(outcome, Accepted) for outcome in outcomes[:20])
        assert type(outcomes[20]) is Unknown
        assert outcomes[20].reason == "RequestTimeout"
        assert not executor._lanes._open or server.connections == 2

    play(serve, steps, timeout_ms=400)


def test_an_order_that_is_cancelled_is_sent_once():
    async def serve(connection):
        await connection.request()
        if connection.number == 1:
            await connection.forever()
        await connection.write(OK)
        await answer_all(connection)

    async def steps(executor, server):
        task = asyncio.create_task(place(executor))
        await until(lambda: server.requests)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert isinstance(await place(executor), Accepted)
        assert len(server.requests) == 2 and server.connections == 2

    play(serve, steps)


def test_what_on_send_raises_leaves_the_connection_whole():
    async def steps(executor, server):
        def refuse(ts_ms):
            raise OSError("disk full")

        await executor.warm_up()
        with pytest.raises(OSError, match="disk full"):
            await place(executor, on_send=refuse)
        assert server.requests == [] and len(executor._lanes.idle) == 1
        assert isinstance(await place(executor), Accepted)
        assert server.connections == 1

    play(answer_all, steps)


# -- warm connections ----------------------------------------------------------------------------

def test_connections_are_there_before_they_are_needed():
    async def steps(executor, server):
        await executor.warm_up()
        await until(lambda: server.connections == 3)
        assert len(executor._lanes.idle) == 3
        for _ in range(5):
            assert isinstance(await place(executor), Accepted)
        assert server.connections == 3

    play(answer_all, steps, warm_connections=3)


def test_orders_at_the_same_time_take_a_connection_each():
    gate = asyncio.Event()

    async def serve(connection):
        while True:
            await connection.request()
            await gate.wait()
            await connection.write(OK)

    async def steps(executor, server):
        tasks = [asyncio.create_task(place(executor)) for _ in range(20)]
        await until(lambda: len(server.requests) == 20)
        assert len([each for each in executor._lanes._open if each.state == BUSY]) == 16
        gate.set()
        assert all(isinstance(outcome, Accepted) for outcome in await asyncio.gather(*tasks))
        assert len(server.requests) == 20       # four of them over aiohttp

    play(serve, steps)


class BlockingServer:
    """In a thread of its own: answers each connection's first order, and ends it when told to."""

    def __init__(self, end):
        self.end = end
        self.requests, self.kept = [], []
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.listener.getsockname()[1]}"
        self.go, self.done = threading.Semaphore(0), threading.Semaphore(0)
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self):
        while True:
            peer = self.listener.accept()[0]
            self.kept.append(peer)
            data = b""
            while not data.endswith(BODY):
                piece = peer.recv(65536)
                if not piece:
                    return
                data += piece
            self.requests.append(data)
            peer.sendall(OK)
            if not self.go.acquire(timeout=60):
                return
            if self.end == "early":
                peer.sendall(b"HTTP/1.1 408 Request Timeout\r\n")
            elif self.end == "half":
                peer.shutdown(socket.SHUT_WR)
            else:
                if self.end == "reset":
                    peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                peer.close()
            self.done.release()

    def finish(self):
        """Let the last accept() end."""
        with socket.create_connection(self.listener.getsockname()):
            pass
        self.thread.join(60)
        for each in (self.listener, *self.kept):
            each.close()


@pytest.mark.parametrize("end", ["reset", "close", "half", "early"])
@pytest.mark.parametrize("loop_factory", [None, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def test_a_connection_that_ended_while_idle_costs_no_doubt(end, loop_factory):
    """The end is in our kernel, the loop has not looked yet: the order takes another one."""
    async def main():
        server = BlockingServer(end)
        endpoint = Endpoint.at(server.url, limits={"order_place": (100_000, 1)}, margin_ms=0,
                               warm_connections=0)
        async with asyncio.timeout(60), Executor(endpoint, Signer(KEY, SECRET)) as executor:
            for count in range(1, 6):
                assert isinstance(await place(executor), Accepted)
                assert len(server.requests) == count
                server.go.release()
                assert server.done.acquire(timeout=60)      # without a turn of our loop
        server.finish()

    with asyncio.Runner(loop_factory=loop_factory) as runner:
        runner.run(main())
    gc.collect()


@pytest.mark.parametrize("end", ["reset", "close"])
def test_the_kernel_refuses_what_the_peer_has_reset(end):
    """Even without the look before sending: what the kernel refused has not left."""
    async def main():
        server = BlockingServer(end)
        endpoint = Endpoint.at(server.url, limits={"order_place": (100_000, 1)}, margin_ms=0,
                               warm_connections=0)
        async with asyncio.timeout(60), Executor(endpoint, Signer(KEY, SECRET)) as executor:
            assert isinstance(await place(executor), Accepted)
            (connection,) = executor._lanes._open
            server.go.release()
            assert server.done.acquire(timeout=60)
            if end == "reset":
                with pytest.raises(NotSent):
                    connection.send(b"x")
                assert connection.state == CLOSED
            else:
                answered = connection.send(b"x")        # the kernel takes it: a doubt
                with pytest.raises(ConnectionLost):
                    await answered
            with pytest.raises(NotSent):
                connection.send(b"x")
            assert isinstance(await place(executor), Accepted)
            assert len(server.requests) == 2
            server.go.release()
        server.finish()

    asyncio.run(main())
    gc.collect()


def test_idle_connections_are_renewed_before_they_are_too_old():
    async def steps(executor, server):
        await executor.warm_up()
        first = set(executor._lanes._open)
        await until(lambda: server.connections >= 6)
        assert not first & executor._lanes._open
        assert isinstance(await place(executor), Accepted)
        assert len(server.requests) == 1

    play(answer_all, steps, warm_connections=2, keepalive_ms=300)


def test_the_servers_own_keep_alive_is_respected():
    async def serve(connection):
        while True:
            await connection.request()
            await connection.write(OK.replace(b"\r\n\r\n", b"\r\nKeep-Alive: timeout=2\r\n\r\n"))

    async def steps(executor, server):
        assert isinstance(await place(executor), Accepted)
        (connection,) = executor._lanes._open
        assert connection.keepalive_s == 1.0
        assert not connection.is_old(connection.idle_since_s + 0.9)
        assert connection.is_old(connection.idle_since_s + 1.0)
        await until(lambda: server.connections == 2)     # renewed by itself
        await until(lambda: connection.state == CLOSED)
        assert isinstance(await place(executor), Accepted)

    play(serve, steps, keepalive_ms=600_000)


def test_an_old_connection_is_not_used():
    async def steps(executor, server):
        assert isinstance(await place(executor), Accepted)
        (connection,) = executor._lanes._open
        await until(lambda: connection.is_old(asyncio.get_running_loop().time()))
        assert isinstance(await place(executor), Accepted)
        assert connection.state == CLOSED and server.connections == 2

    play(answer_all, steps, warm_connections=0, keepalive_ms=50)


def test_a_close_said_by_the_server_is_kept():
    async def serve(connection):
        await connection.request()
        await connection.write(OK.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
        await connection.forever()

    async def steps(executor, server):
        for count in range(1, 4):
            assert isinstance(await place(executor), Accepted)
            assert len(server.requests) == count
        assert server.connections >= 3

    play(serve, steps)


def test_nobody_there_and_then_somebody():
    async def main():
        async with RawServer(answer_all) as server:
            url = server.url
        endpoint = Endpoint.at(url, limits={"order_place": (100_000, 1)}, margin_ms=0)
        async with asyncio.timeout(60), Executor(endpoint, Signer(KEY, SECRET)) as executor:
            outcome = await place(executor)
            assert isinstance(outcome, Rejected)
            assert isinstance(outcome.error, ConnectFailed)
            outcomes = await asyncio.gather(*[place(executor) for _ in range(20)])
            assert all(isinstance(each, Rejected) for each in outcomes)
            later = RawServer(answer_all)
            later._server = await asyncio.start_server(later._accept, "127.0.0.1",
                                                       endpoint_port(url))
            await executor.warm_up()        # by itself, after a pause
            assert isinstance(await place(executor), Accepted)
            await later.__aexit__()

    def endpoint_port(url):
        return int(url.rsplit(":", 1)[1])

    asyncio.run(main())
    gc.collect()


def test_closing_ends_what_is_under_way():
    async def serve(connection):
        await connection.request()
        await connection.forever()

    async def steps(executor, server):
        task = asyncio.create_task(place(executor))
        await until(lambda: server.requests)
        await executor.close()
        assert type(await task) is Unknown

    play(serve, steps)


def test_a_killed_server_leaves_a_doubt(tmp_path):
    """kill -9 of the other end, after it has read the order."""
    code = """
import socket, sys
server = socket.create_server(("127.0.0.1", 0))
print(server.getsockname()[1], flush=True)
peer = server.accept()[0]
data = b""
while not data.endswith(b"}"):
    data += peer.recv(65536)
print("read", flush=True)
sys.stdin.read()
"""
    child = subprocess.Popen([sys.executable, "-P", "-c", code], stdin=subprocess.PIPE,
                             stdout=subprocess.PIPE, text=True)

    async def main():
        with deadline(child):
            port = int(child.stdout.readline())
        endpoint = Endpoint.at(f"http://127.0.0.1:{port}", warm_connections=0)
        async with asyncio.timeout(60), Executor(endpoint, Signer(KEY, SECRET)) as executor:
            task = asyncio.create_task(place(executor))
            line = await asyncio.to_thread(child.stdout.readline)
            assert line == "read\n"
            os.kill(child.pid, signal.SIGKILL)
            first = await task
            await asyncio.to_thread(child.wait)
            return first, await place(executor)

    try:
        first, second = asyncio.run(main())
    finally:
        child.kill()
        child.communicate()
    assert type(first) is Unknown
    assert first.reason == "ConnectionLost"
    assert isinstance(second, Rejected)
    assert isinstance(second.error, ConnectFailed)


# -- TLS -----------------------------------------------------------------------------------------

@pytest.fixture
def certificate():
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(DATA / "loopback-cert.pem", DATA / "loopback-key.pem")
    return context


@pytest.fixture
def trusted(monkeypatch):
    context = ssl.create_default_context(cafile=DATA / "loopback-cert.pem")
    monkeypatch.setattr(lanes_module, "_tls", lambda: context)


@pytest.mark.parametrize("loop_factory", [None, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def test_tls(certificate, trusted, loop_factory):
    async def steps(executor, server):
        await executor.warm_up()
        for count in range(1, 8):
            assert isinstance(await place(executor), Accepted)
            assert len(server.requests) == count
        assert server.connections == 2
        assert json.loads(server.requests[0].split(b"\r\n\r\n")[1]) == json.loads(BODY)

    play(answer_all, steps, ssl=certificate, loop_factory=loop_factory, warm_connections=2)


def test_a_certificate_nobody_vouches_for_is_refused(certificate):
    async def steps(executor, server):
        outcome = await place(executor)
        assert isinstance(outcome, Rejected)
        assert isinstance(outcome.error, ConnectFailed)
        assert "certificate" in str(outcome.error).lower()
        assert server.requests == []

    play(answer_all, steps, ssl=certificate, warm_connections=0)


@pytest.mark.parametrize("loop_factory", [None, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
@pytest.mark.parametrize("end", ["reset", "close"])
def test_tls_cut_in_the_answer(certificate, trusted, end, loop_factory):
    async def serve(connection):
        await connection.request()
        if connection.number % 2:
            await connection.write(OK[:connection.number])
            getattr(connection, end)()
        else:
            await connection.write(OK)
            await answer_all(connection)

    async def steps(executor, server):
        for _ in range(20):
            outcome = await place(executor)
            assert type(outcome) is Unknown
            assert outcome.reason == "ConnectionLost"
            assert isinstance(await place(executor), Accepted)
            for connection in list(executor._lanes._open):
                connection.drop()
        assert len(server.requests) == 40

    play(serve, steps, ssl=certificate, loop_factory=loop_factory, warm_connections=0)


def test_states():
    assert (IDLE, BUSY, CLOSED) == (1, 2, 3)

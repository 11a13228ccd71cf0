"""A venue for measuring, one process, one thread: prebuilt frames out, requests in, all stamped.

    python bench/server.py PORT_FILE [--frames N] [--levels N] [--core N] [--tls]

Not an exchange: it serves the stream of bench/frames.py, the snapshot it begins with, the contract
list of tests/data and one fixed answer to every order. What it sends lies ready as WebSocket
frames; a run sends them paced, one send each, stamped just before, or all in one sendall. It spins
while anyone is connected, and paces and answers in C (bench/venue.pyx), so that neither its waking
up nor its own code is in any figure. --tls: the certificate of tests/data, in Python throughout.

    GET /bench/send?first=0&count=2000&rate=1000      paced (rate 0: as fast as they go)
    GET /bench/trade?first=0&count=1000&rate=500      each frame waits for the order it triggers
    GET /bench/stamps                                 CLOCK_MONOTONIC ns by frame of the last run

Frames go to the WebSocket opened last; the answer to send and trade comes when the run is over.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import json
import os
import select
import socket
import ssl
import sys
import time
from array import array
from collections.abc import Iterable
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

sys.path.insert(0, str(Path(__file__).parent))

from frames import SYMBOL, Stream, make_stream
from harness import BUILT, ROOT, compiled, pin

CERTIFICATE = ROOT / "tests" / "data" / "loopback-cert.pem"
ACK = b'{"success":true,"code":0,"data":{"orderId":"814218083416790528","ts":1779779511850}}'
ANSWER = (b"HTTP/1.1 200 OK\r\nDate: Sun, 22 Nov 2026 15:00:00 GMT\r\nContent-Type: "
          b"application/json;charset=utf-8\r\nContent-Length: %d\r\nConnection: keep-alive\r\n"
          b"Server: nginx\r\nVary: Origin\r\nStrict-Transport-Security: max-age=15724800\r\n\r\n"
          % len(ACK)) + ACK              # to every order
now_ns = time.monotonic_ns


def text_frame(payload: bytes) -> bytes:
    size = len(payload)
    if size < 126:
        return bytes((0x81, size)) + payload
    return b"\x81\x7e" + size.to_bytes(2, "big") + payload


def stored_stream(count: int, levels: int) -> Stream:
    """make_stream, kept on disk between processes: the snapshot and its frames only."""
    path = BUILT / f"stream-{count}-{levels}.txt"
    try:
        snapshot, *frames = path.read_bytes().split(b"\n")
        if len(frames) == count:
            return Stream(snapshot, frames)
    except FileNotFoundError:
        pass
    stream = make_stream(count, levels)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(f".{os.getpid()}")
    part.write_bytes(b"\n".join([stream.snapshot, *stream.frames]))
    part.replace(path)
    return stream


def contracts() -> bytes:
    """The contract list of the samples, orders over the API allowed."""
    lines = (ROOT / "tests" / "data" / "rest_responses.jsonl").read_text(encoding="utf-8")
    for line in lines.splitlines():
        vector = json.loads(line)
        if vector["path"].startswith("/api/v1/contract/detail") and vector["method"] == "GET":
            data = vector["response"]["data"]
            found = [data] if isinstance(data, dict) else data      # one contract, or all
            if any(contract["symbol"] == SYMBOL for contract in found):
                found = [contract | {"apiAllowed": True} for contract in found]
                return json.dumps(vector["response"] | {"data": found},
                                  separators=(",", ":")).encode()
    raise AssertionError(f"no {SYMBOL} in the samples")


class Peer:
    """One connection: HTTP, or a WebSocket after its handshake."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.data = b""
        self.is_stream = False


class Server:
    def __init__(self, stream: Stream, tls: ssl.SSLContext | None = None) -> None:
        self.snapshot = stream.snapshot
        self.contracts = contracts()
        self.wire = [text_frame(frame) for frame in stream.frames]
        self.stamps: dict[int, int] = {}
        self.stream: Peer | None = None
        self.peers: dict[int, Peer] = {}
        self.tls = tls
        self.poll = select.epoll()
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.listener.setblocking(False)
        self.poll.register(self.listener, select.EPOLLIN)
        self.port: int = self.listener.getsockname()[1]
        venue = compiled("venue")
        self.venue, self.paced = venue.Venue(self.poll.fileno(), ANSWER), venue.pace

    def step(self, seconds: float) -> None:
        """Handle what comes in; spins for at most `seconds`, sleeps while nobody is connected."""
        self.look(self.venue.serve(seconds) if self.peers
                  else [number for number, _ in self.poll.poll(seconds)])

    def look(self, ready: Iterable[int]) -> None:
        """Handle what is readable and no order on a connection of the venue."""
        for number in ready:
            if number == self.listener.fileno():
                self.join()
            elif number in self.peers:
                self.read(self.peers[number])

    def join(self) -> None:
        sock, _ = self.listener.accept()
        sock.settimeout(60)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self.tls:
            try:
                sock = self.tls.wrap_socket(sock, server_side=True)
            except OSError:
                return                             # it thought better of it
        self.peers[sock.fileno()] = Peer(sock)
        self.poll.register(sock, select.EPOLLIN)
        if not self.tls:
            self.venue.take(sock.fileno())

    def read(self, peer: Peer) -> None:
        data = self.venue.give(peer.sock.fileno())
        try:
            data = data or peer.sock.recv(65536)
        except OSError:
            data = b""
        if not data:
            self.drop(peer)
            return
        peer.data += data
        try:
            while self.messages(peer) if peer.is_stream else self.request(peer):
                pass
        except OSError:
            self.drop(peer)
            return
        if not (peer.data or peer.is_stream or self.tls) and peer.sock.fileno() in self.peers:
            self.venue.take(peer.sock.fileno())

    def drop(self, peer: Peer) -> None:
        if self.peers.pop(peer.sock.fileno(), None) is not None:
            self.venue.give(peer.sock.fileno())
            self.poll.unregister(peer.sock)
            peer.sock.close()
        if self.stream is peer:
            self.stream = None

    # -- HTTP ------------------------------------------------------------------------------------

    def request(self, peer: Peer) -> bool:
        head, mark, rest = peer.data.partition(b"\r\n\r\n")
        if not mark:
            return False
        if head.startswith(b"POST"):
            lines = head.lower()
            at = lines.find(b"content-length:")
            size = int(lines[at + 15:].split(b"\r", 1)[0]) if at >= 0 else 0
            if len(rest) < size:
                return False
            peer.data = rest[size:]                # over TLS, or after a GET on this connection
            peer.sock.sendall(ANSWER)
            return bool(peer.data)
        peer.data = rest
        target = head.split(b" ", 2)[1].decode()
        key = _header(head, b"sec-websocket-key")
        if key:
            accept = base64.b64encode(hashlib.sha1(
                key + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest())
            peer.sock.sendall(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
                              b"Connection: Upgrade\r\nSec-WebSocket-Accept: " + accept
                              + b"\r\n\r\n")
            peer.is_stream = True
            self.stream = peer
            return bool(peer.data)
        self.answer(peer, self.get(target))
        return bool(peer.data)

    def answer(self, peer: Peer, body: bytes) -> None:
        peer.sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: application/json;charset=utf-8\r\n"
                          b"Content-Length: %d\r\nConnection: keep-alive\r\n\r\n" % len(body)
                          + body)

    def get(self, target: str) -> bytes:
        url = urlsplit(target)
        if url.path.startswith("/bench/"):
            given = {name: float(values[0]) for name, values in parse_qs(url.query).items()}
            return json.dumps(self.bench(url.path.removeprefix("/bench/"), **given)).encode()
        if "/contract/depth/" in url.path:
            return self.snapshot
        if url.path.endswith("/contract/detail"):
            return self.contracts
        if url.path.endswith("/contract/ping"):
            return b'{"success":true,"code":0,"data":%d}' % int(time.time() * 1000)
        return b'{"success":true,"code":0,"data":null}'

    # -- WebSocket -------------------------------------------------------------------------------

    def messages(self, peer: Peer) -> bool:
        data = peer.data
        if len(data) < 6:
            return False
        code, size, head = data[0] & 15, data[1] & 127, 2
        if size == 126:
            size, head = int.from_bytes(data[2:4], "big"), 4
        if len(data) < head + 4 + size:
            return False
        mask, masked = data[head:head + 4], data[head + 4:head + 4 + size]
        peer.data = data[head + 4 + size:]
        text = bytes(byte ^ mask[at & 3] for at, byte in enumerate(masked))
        if code == 8:
            self.drop(peer)
            return False
        if code == 9:
            peer.sock.sendall(bytes((0x8A, len(text))) + text)
        elif code in (1, 2):
            said = json.loads(text)
            method = said.get("method", "")
            if method == "ping":
                channel, body = "pong", int(time.time() * 1000)
            else:
                channel, body = f"rs.{method}", "success"
            peer.sock.sendall(text_frame(json.dumps(
                {"channel": channel, "data": body, "ts": int(time.time() * 1000)}).encode()))
        return bool(peer.data)

    # -- runs ------------------------------------------------------------------------------------

    def bench(self, what: str, first: float = 0, count: float = 0, rate: float = 0) -> object:
        if what == "stamps":
            return self.stamps
        if what not in ("send", "trade"):
            return {"error": f"{what} is unknown; allowed: send, trade, stamps"}
        if self.stream is None:
            return {"error": "no WebSocket is open"}
        frames = range(int(first), int(first + count))
        if frames.stop > len(self.wire):
            return {"error": f"there are {len(self.wire)} frames; asked for up to {frames.stop}"}
        self.stamps = {}
        start = now_ns()
        if what == "trade":
            return self.trade(self.stream, frames, rate)
        if rate:
            self.pace(self.stream, frames, rate)
        else:
            self.stream.sock.sendall(b"".join(self.wire[frames.start:frames.stop]))
        return {"seconds": (now_ns() - start) / 1e9}

    def pace(self, peer: Peer, frames: range, rate: float) -> None:
        stamps = array("q", bytes(8 * len(frames)))
        self.paced(peer.sock.fileno(), self.wire[frames.start:frames.stop], rate, stamps)
        self.stamps = dict(zip(frames, stamps, strict=True))

    def trade(self, peer: Peer, frames: range, rate: float) -> object:
        """Microseconds from each frame's send to its order whole; None for one that never came."""
        found: list[float | None] = []
        due = float(now_ns())
        for number in frames:
            due = max(due + 1e9 / rate, float(now_ns()))
            while now_ns() < due:
                self.step((due - now_ns()) / 1e9)      # new connections; nothing is late by it
            wait = self.venue.trade(peer.sock.fileno(), self.wire[number], 2.0, self.look)
            found.append(None if wait is None else wait / 1000)
            if self.stream is not peer:
                return {"error": f"the client left its WebSocket after {len(found)} frames"}
        return {"microseconds": found}


def _header(head: bytes, name: bytes) -> bytes:
    for line in head.split(b"\r\n"):
        if line.lower().startswith(name + b":"):
            return line.partition(b":")[2].strip()
    return b""


def main() -> None:
    parser = argparse.ArgumentParser(description="The venue that benches measure with.")
    parser.add_argument("port_file", type=Path, help="the port is written here once it listens")
    parser.add_argument("--frames", type=int, default=20_000)
    parser.add_argument("--levels", type=int, default=1_000)
    parser.add_argument("--core", type=int)
    parser.add_argument("--tls", action="store_true")
    given = parser.parse_args()
    pin(given.core)
    tls = None
    if given.tls:
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(CERTIFICATE, CERTIFICATE.with_name("loopback-key.pem"))
    server = Server(stored_stream(given.frames, given.levels), tls)
    given.port_file.write_text(str(server.port))
    parent = os.getppid()
    while os.getppid() == parent:         # it ends with whoever started it
        server.step(1.0)


if __name__ == "__main__":
    main()

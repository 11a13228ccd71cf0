"""A raw HTTP/1.1 server on loopback that does what a script says, whole or half."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass


class Act:
    """Something else than an answer; its name stands in the names of tests."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __repr__(self) -> str:
        return self._name


CLOSE = Act("close")    # close the connection without a word
RESET = Act("reset")    # the same by RST
HANG = Act("hang")      # never answer


@dataclass
class Seen:
    method: str
    target: str
    headers: dict[str, str]
    body: bytes
    connection: int


def reply(body=b"", status=200, **headers):
    """The bytes of one answer; headers with _ for -."""
    lines = [f"HTTP/1.1 {status} X", f"Content-Length: {len(body)}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return ("\r\n".join(lines) + "\r\n\r\n").encode() + body


class Server:
    """script(seen) returns bytes to write, one of the marks, or (bytes, mark)."""

    def __init__(self, script):
        self.script = script
        self.seen = []
        self.connections = 0
        self._writers = []

    async def __aenter__(self):
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *error):
        self._server.close()
        for writer in self._writers:
            writer.transport.abort()
        await self._server.wait_closed()
        await asyncio.sleep(0)

    async def _serve(self, reader, writer):
        self.connections += 1
        number = self.connections
        self._writers.append(writer)
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
                method, target, _ = head[0].split(" ")
                headers = dict(line.split(": ", 1) for line in head[1:] if line)
                body = await reader.readexactly(int(headers.get("Content-Length", 0)))
                seen = Seen(method, target, headers, body, number)
                self.seen.append(seen)
                act = self.script(seen)
                data, mark = act if isinstance(act, tuple) else (
                    (act, None) if isinstance(act, bytes) else (b"", act))
                writer.write(data)
                if mark is RESET:
                    writer.transport.abort()
                    return
                if mark is CLOSE:
                    writer.close()
                    return
                if mark is HANG:
                    await asyncio.Event().wait()
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            writer.close()

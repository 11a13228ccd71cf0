"""A TCP server that reads and writes to the byte what a script says, then ends as it says."""

from __future__ import annotations

import asyncio
import re
import socket
import struct

ORDER = re.compile(rb"POST .*? HTTP/1\.1\r\n(?:[^\r\n]+\r\n)*?Content-Length: (\d+)\r\n\r\n", re.S)


def whole(data):
    """The first complete request in data, or None."""
    found = ORDER.match(data)
    if found is None or len(data) < found.end() + int(found[1]):
        return None
    return data[:found.end() + int(found[1])]


class RawServer:
    """serve(connection) is a coroutine; connection has .number, .read_exactly(n), .request()."""

    def __init__(self, serve, ssl=None):
        self.serve = serve
        self.ssl = ssl
        self.requests = []          # every complete request, in order of arrival
        self.connections = 0
        self._tasks = set()

    async def __aenter__(self):
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0, ssl=self.ssl)
        self.port = self._server.sockets[0].getsockname()[1]
        self.url = (f"https://localhost:{self.port}" if self.ssl
                    else f"http://127.0.0.1:{self.port}")
        return self

    async def __aexit__(self, *error):
        self._server.close()
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
        await self._server.wait_closed()
        await asyncio.sleep(0)

    async def _accept(self, reader, writer):
        self.connections += 1
        connection = Connection(self, reader, writer, self.connections)
        task = asyncio.current_task()
        self._tasks.add(task)
        try:
            await self.serve(connection)
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass
        finally:
            self._tasks.discard(task)
            writer.transport.abort()


class Connection:
    def __init__(self, server, reader, writer, number):
        self.server, self.reader, self.writer, self.number = server, reader, writer, number

    async def read_exactly(self, size):
        return await self.reader.readexactly(size)

    async def request(self):
        """One whole request."""
        data = b""
        while (found := whole(data)) is None:
            piece = await self.reader.read(65536)
            if not piece:
                raise ConnectionResetError
            data += piece
        assert found == data, "a request behind the request"
        self.server.requests.append(data)
        return data

    async def write(self, data):
        self.writer.write(data)
        await self.writer.drain()

    async def forever(self):
        await asyncio.Event().wait()

    def close(self):
        self.writer.close()

    def reset(self):
        """End by RST, whatever is unread or unsent."""
        self.writer.get_extra_info("socket").setsockopt(
            socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()

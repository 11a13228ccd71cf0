"""A real nats-server on loopback for one test; skips, loudly, where there is none."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import shutil
import signal
import tempfile
from contextlib import suppress
from pathlib import Path

import pytest

BINARY = shutil.which("nats-server") or shutil.which("nats-server", path="/usr/sbin:/sbin")
MISSING = [what for what, is_here in (
    ("nats-server (apt-get install nats-server)", BINARY is not None),
    ("nats-py (pip install 'mexcfast[gateway]')", importlib.util.find_spec("nats") is not None))
    if not is_here]
needs_nats = pytest.mark.skipif(
    bool(MISSING), reason=f"GATEWAY NOT TESTED, missing: {', '.join(MISSING)}")


class NatsServer:
    """options: more arguments. After entering: url. stop() and start() keep the port."""

    def __init__(self, *options):
        self._options = options
        self._port = -1
        self._process = None
        self._folder = None

    async def __aenter__(self):
        self._folder = tempfile.TemporaryDirectory()
        try:
            await self.start()
        except BaseException:
            await self.__aexit__()
            raise
        return self

    async def __aexit__(self, *_):
        await self.stop()
        self._folder.cleanup()

    async def start(self):
        """Returns when it listens."""
        assert BINARY is not None
        ports = Path(self._folder.name) / "ports"
        shutil.rmtree(ports, ignore_errors=True)
        ports.mkdir()
        self._process = await asyncio.create_subprocess_exec(
            BINARY, "-a", "127.0.0.1", "-p", str(self._port), "--ports_file_dir", str(ports),
            *self._options, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE)
        async for line in self._process.stderr:
            if b"Server is ready" in line:
                break
        else:
            raise RuntimeError("nats-server did not start")
        self._reading = asyncio.create_task(self._drain())
        async with asyncio.timeout(30):
            while True:
                found = list(ports.glob("*.ports"))
                with suppress(ValueError):
                    if found:
                        url = json.loads(found[0].read_text())["nats"][0]
                        break
                await asyncio.sleep(0.01)      # the file is written after the line
        self._port = int(url.rpartition(":")[2])

    async def _drain(self):
        async for _ in self._process.stderr:
            pass

    async def stop(self):
        """End it; clients see the connection close."""
        process, self._process = self._process, None
        if process is None or process.returncode is not None:
            return
        with suppress(ProcessLookupError):
            process.send_signal(signal.SIGKILL)
        await process.wait()
        await self._reading

    @property
    def url(self):
        return f"nats://127.0.0.1:{self._port}"

"""`mexcfast gateway`: one process that publishes to NATS, or several that are kept running."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from collections.abc import Coroutine, Sequence
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from typing import Any

import typer

import mexcfast
from mexcfast.cli.sim import ChildExchange
from mexcfast.core.rest import LIVE, Endpoint
from mexcfast.errors import ConfigError
from mexcfast.gateway import Gateway, GatewaySettings
from mexcfast.gateway.bus import VARIABLE, Address
from mexcfast.net.tasks import end

STATUS_EVERY = 10.0          # seconds
FIRST_PAUSE, LONGEST_PAUSE = 1.0, 30.0     # seconds before a process that died is started again
STABLE_AFTER = 60.0          # seconds after which it counts as having run
LEAVE_WITHIN = 10.0          # seconds that processes have to say goodbye


async def gateway(symbols: Sequence[str], *, nats: str | None, endpoint: str | None, sim: bool,
                  shard: str, processes: int, share: int, channels: str, name: str | None,
                  creds: str | None, nkey: str | None, ca: str | None, beat: float,
                  seconds: float | None, with_parent: bool) -> int:
    """Publish until Ctrl-C, SIGTERM, `seconds` or (with_parent) the end of standard input."""
    url = nats if nats is not None else os.environ.get(VARIABLE, "")
    Address.parse(url, creds=creds, nkey=nkey, ca=ca)     # before any process is started
    done = asyncio.Event()
    loop = asyncio.get_running_loop()
    for each in (signal.SIGINT, signal.SIGTERM):
        with suppress(NotImplementedError):
            loop.add_signal_handler(each, done.set)
    async with AsyncExitStack() as stack:
        if sim:
            venue = await stack.enter_async_context(
                ChildExchange(symbols=list(dict.fromkeys(symbols)) or 3))
            endpoint = venue.rest_url
        if processes > 1:
            options = ["--share", str(processes), "--channels", channels, "--beat", str(beat)]
            for option, value in (("--endpoint", endpoint), ("--creds", creds), ("--nkey", nkey),
                                  ("--ca", ca)):
                if value is not None:
                    options += [option, value]
            _end_after(seconds, done)
            family = [_Child(number, processes, name, [*symbols, *options], url)
                      for number in range(processes)]
            await asyncio.gather(*(child.keep(done) for child in family))
            return 0
        wanted = list(dict.fromkeys(symbols)) or None
        async with Gateway(url, endpoint=LIVE if endpoint is None else Endpoint.at(endpoint),
                           symbols=wanted, shard=shard, channels=_names(channels), name=name,
                           share=share, creds=creds, nkey=nkey, ca=ca,
                           settings=GatewaySettings(beat_every=beat)) as running:
            typer.echo(f"{running.name}: {len(running.contracts)} contracts, to {url_of(url)}")
            _end_after(seconds, done)
            if with_parent:
                await _end_with_parent(done)
            ended = asyncio.ensure_future(running.ended())
            stopped = asyncio.ensure_future(done.wait())
            sent, began = 0, time.monotonic()
            while not done.is_set() and not ended.done():
                await asyncio.wait((ended, stopped), timeout=STATUS_EVERY,
                                   return_when=asyncio.FIRST_COMPLETED)
                rate = (running.outbox.sent - sent) / max(0.001, time.monotonic() - began)
                sent, began = running.outbox.sent, time.monotonic()
                typer.echo(f"{running.name}: {running.live} of {len(running.contracts)} books "
                           f"live, {rate:.0f} messages a second, {running.outbox.dropped} dropped")
            if ended.done():
                ended.result()
            await end(stopped, ended)
    return 0


def _end_after(seconds: float | None, done: asyncio.Event) -> None:
    if seconds is not None:
        asyncio.get_running_loop().call_later(seconds, done.set)


def _names(channels: str) -> list[str]:
    return [each.strip() for each in channels.split(",") if each.strip()]


def url_of(url: str) -> str:
    """Fit to be shown."""
    return str(Address.parse(url))


async def _end_with_parent(done: asyncio.Event) -> None:
    """However the parent ends, so do we."""
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)

    async def wait() -> None:
        while await reader.read(4096):
            pass
        done.set()

    task = loop.create_task(wait(), name="mexcfast gateway watches its parent")
    task.add_done_callback(lambda _: done.set())


class _Child:
    """One shard in a process of its own, started again whenever it ends.

    The address of NATS goes through the environment: arguments can be read by every user of the
    machine.
    """

    def __init__(self, number: int, count: int, name: str | None, arguments: Sequence[str],
                 url: str) -> None:
        self._label = f"shard {number}/{count}"
        self._arguments = [*arguments, "--shard", f"{number}/{count}", "--with-parent",
                           *(["--name", f"{name}-{number}"] if name else [])]
        home = str(Path(mexcfast.__file__).parent.parent)
        path = os.pathsep.join([home, *filter(None, [os.environ.get("PYTHONPATH")])])
        self.process: asyncio.subprocess.Process | None = None
        self._environment = {**os.environ, "PYTHONPATH": path, VARIABLE: url}

    async def keep(self, done: asyncio.Event) -> None:
        """Run it until `done`."""
        pause = FIRST_PAUSE
        while not done.is_set():
            began = time.monotonic()
            self.process = process = await asyncio.create_subprocess_exec(
                sys.executable, "-P", "-m", "mexcfast.cli", "gateway", *self._arguments,
                stdin=asyncio.subprocess.PIPE, start_new_session=True, env=self._environment)
            try:
                await self._either(done, process.wait())
            finally:
                await self._end(process)
            if done.is_set():
                return
            if time.monotonic() - began > STABLE_AFTER:
                pause = FIRST_PAUSE
            typer.secho(f"{self._label} ended with code {process.returncode}; started again in "
                        f"{pause:g} s", fg="red", err=True)
            await self._either(done, asyncio.sleep(pause))
            pause = min(LONGEST_PAUSE, 2 * pause)

    @staticmethod
    async def _either(done: asyncio.Event, other: Coroutine[Any, Any, object]) -> None:
        tasks = [asyncio.ensure_future(done.wait()), asyncio.ensure_future(other)]
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        await end(*tasks)

    @staticmethod
    async def _end(process: asyncio.subprocess.Process) -> None:
        if process.returncode is not None:
            return
        with suppress(ProcessLookupError):
            process.terminate()
        try:
            await asyncio.wait_for(process.wait(), LEAVE_WITHIN)
        except TimeoutError:
            process.kill()
            await process.wait()


def check(*, shard: str, processes: int, symbols: Sequence[str], sim: bool,
          endpoint: str | None) -> None:
    """Raises ConfigError for options that exclude each other."""
    if processes > 1 and shard != "0/1":
        raise ConfigError(f"--shard is {shard} and --processes {processes}; allowed: one of them")
    if sim and endpoint:
        raise ConfigError("--sim and --endpoint exclude each other")

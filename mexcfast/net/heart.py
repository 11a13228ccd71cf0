"""The bot's end of the watchdog: heartbeats over a unix socket.

Why a socket and not a file's age: the kernel closes it the moment the bot dies, however it dies, so
death is noticed at once and silence is only needed for a bot that hangs; nobody else on the machine
may connect (the socket is its owner's alone), and no clock or disk is involved.

    bot       {"hello": account, "pid": 4711}   {"beat": 1} {"beat": 2} ...     {"bye": 1}
    watchdog  {"armed": "ARMED"}                {"beat": 1} {"beat": 2} ...     {"bye": 1}
              or {"refused": why}, or at any time {"tripped": why}

The bot fences itself: once its last beat is older than the watchdog's patience, its own kill switch
trips before anything that adds risk leaves. So a bot that hung and comes back sends nothing into an
account that the watchdog has just emptied.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import mexcfast
from mexcfast.core.killswitch import Trigger, Trip
from mexcfast.errors import ConfigError, MexcfastError
from mexcfast.net.alerts import AlertLevel
from mexcfast.net.killswitch import KillSwitch
from mexcfast.net.tasks import end

log = logging.getLogger("mexcfast.net")

LINE_MAX = 4096
SOCKET_PATH_MAX = 100       # the system's limit is 104 to 108 bytes
BEATS = 5                   # within one silence
START_S = 30.0              # a watchdog that is being started must answer within


def encode(message: dict[str, Any]) -> bytes:
    """One line."""
    return json.dumps(message).encode("ascii") + b"\n"


def decode(line: bytes) -> dict[str, Any]:
    """ValueError for what is no message."""
    message = json.loads(line)
    if not isinstance(message, dict):
        raise ValueError("not an object")
    return message


def check_socket_path(path: str | os.PathLike[str]) -> str:
    """The path as text; ConfigError when the system would refuse it, or has no such sockets."""
    if not hasattr(asyncio, "open_unix_connection"):
        raise ConfigError("the watchdog needs unix sockets, which Python has not on this system; "
                          "without one, let orders end by themselves (docs/platforms.md)")
    text = os.path.abspath(path)
    if len(os.fsencode(text)) > SOCKET_PATH_MAX:
        raise ConfigError(f"the watchdog's socket {text!r} is too long; allowed: "
                          f"{SOCKET_PATH_MAX} bytes, give another path")
    return text


async def spawn(arguments: Sequence[str]) -> None:
    """Start a watchdog that outlives this process and its session; ConfigError with its reason."""
    home = str(Path(mexcfast.__file__).parent.parent)
    path = os.pathsep.join([home, *filter(None, [os.environ.get("PYTHONPATH")])])
    # A file and no pipe: the watchdog goes on, and a pipe might stay open as long as it does.
    with tempfile.TemporaryFile() as errors:
        child = await asyncio.create_subprocess_exec(
            sys.executable, "-P", "-m", "mexcfast.watchdog", "--detach", *arguments,
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=errors,
            start_new_session=True, env={**os.environ, "PYTHONPATH": path})
        await asyncio.wait_for(child.wait(), START_S)
        if child.returncode != 0:
            errors.seek(0)
            why = errors.read().decode("utf-8", "replace").strip().splitlines()
            raise ConfigError(f"the watchdog did not start: {why[-1] if why else child.returncode}")


class Heart:
    """Beats for one bot.

    arguments: how to start a watchdog when none answers at the path, None never starts one.
    silence_ms: the watchdog's patience. trip_when_lost: trip the kill switch when the watchdog
    itself is gone; by default an alert is sent and it is looked for, or started, again.
    """

    def __init__(self, path: str | os.PathLike[str], account: str, switch: KillSwitch, *,
                 silence_ms: int = 5000, arguments: Sequence[str] | None = None,
                 trip_when_lost: bool = False) -> None:
        if silence_ms < 200:
            raise ConfigError(f"silence_ms is {silence_ms}; allowed: 200 and above")
        self.path = check_socket_path(path)
        self.silence_ms = silence_ms
        self.answered = 0           # beats the watchdog has answered
        self.is_armed = False       # the watchdog watches this bot now
        self._account = account
        self._switch = switch
        self._arguments = arguments
        self._trip_when_lost = trip_when_lost
        self._last_beat_ns = 0
        self._writer: asyncio.StreamWriter | None = None
        self._task: asyncio.Task[None] | None = None
        self._gone = asyncio.Event()
        self._listening: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Return when the watchdog watches. Raises ConfigError when it refuses or does not come."""
        await self._connect()
        self._switch.fences.append(self._fence)
        self._task = asyncio.get_running_loop().create_task(self._run(), name="mexcfast heart")

    async def close(self, *, goodbye: bool = True) -> None:
        """goodbye: tell the watchdog that this end is wanted; without one it cancels everything."""
        if self._fence in self._switch.fences:
            self._switch.fences.remove(self._fence)
        # First, so that nothing beats, misses or starts a watchdog that is about to end.
        await end(self._task)
        self._task = None
        if self._writer is not None and goodbye and self.is_armed:
            with suppress(OSError, TimeoutError):
                self._writer.write(encode({"bye": 1}))
                async with asyncio.timeout(2.0):
                    await self._gone.wait()     # it answers, then hangs up
        await end(self._listening)
        self._hang_up()

    def _hang_up(self) -> None:
        self.is_armed = False
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def _fence(self) -> Trip | None:
        if not self.is_armed:
            return None
        silent_ms = (time.monotonic_ns() - self._last_beat_ns) // 1_000_000
        if silent_ms <= self.silence_ms:
            return None
        return Trip(Trigger.WATCHDOG, f"this process has not beaten for {silent_ms} ms", 0)

    async def _connect(self) -> None:
        """Find the watchdog, or start it, and introduce this bot."""
        deadline, started = time.monotonic() + START_S, False
        while True:
            try:
                reader, writer = await asyncio.open_unix_connection(self.path, limit=LINE_MAX)
                break
            except OSError as error:
                if self._arguments is None:
                    raise ConfigError(f"no watchdog answers at {self.path}: {error}") from None
                if not started:
                    started = True
                    await spawn(self._arguments)
                if time.monotonic() > deadline:
                    raise ConfigError(f"the watchdog does not answer at {self.path}") from None
                await asyncio.sleep(0.05)
        writer.write(encode({"hello": self._account, "pid": os.getpid()}))
        try:
            answer = decode(await asyncio.wait_for(reader.readline(), START_S))
        except (ValueError, OSError, TimeoutError):
            answer = {"refused": "it hung up"}
        if "armed" not in answer:
            writer.close()
            raise ConfigError(f"the watchdog refuses: {answer.get('refused', 'no reason given')}")
        self._writer, self._last_beat_ns = writer, time.monotonic_ns()
        self._gone.clear()
        self.is_armed = True
        if answer["armed"] != "ARMED":
            self._tripped(f"it is {answer['armed']}")
        self._listening = asyncio.get_running_loop().create_task(self._listen(reader))

    async def _run(self) -> None:
        number, pause_s = 0, 1.0
        while True:
            try:
                if self._writer is None:
                    await self._connect()
                    self._tell(AlertLevel.WARNING, "the watchdog is back")
                    pause_s = 1.0
                assert self._writer is not None
                # A process that hung wakes up here or in a guard, whichever runs first: the fence
                # must fall before this beat makes the silence forgotten.
                if (trip := self._fence()) is not None and not self._switch.is_tripped:
                    self._switch.trip(trip.text, trip.trigger)
                number += 1
                self._writer.write(encode({"beat": number}))
                self._last_beat_ns = time.monotonic_ns()
                # Not wait_for: on 3.11 it may swallow a cancellation.
                with suppress(TimeoutError):
                    async with asyncio.timeout(self.silence_ms / 1000 / BEATS):
                        await self._gone.wait()
                    raise ConnectionError("it has ended")
            except (OSError, MexcfastError, TimeoutError) as error:
                if self.is_armed:
                    self._tell(AlertLevel.CRITICAL, f"the watchdog is lost: {error}")
                    if self._trip_when_lost:
                        self._switch.trip("the watchdog is lost", Trigger.WATCHDOG)
                self._hang_up()
                await asyncio.sleep(pause_s)
                pause_s = min(30.0, 2 * pause_s)

    async def _listen(self, reader: asyncio.StreamReader) -> None:
        try:
            while line := await reader.readline():
                message = decode(line)
                if "beat" in message:
                    self.answered += 1
                elif "bye" in message:
                    return
                elif "tripped" in message:
                    self._tripped(str(message["tripped"]))
        except (ValueError, OSError) as error:
            log.warning("the watchdog: %s", error)
        finally:
            self._gone.set()

    def _tripped(self, why: str) -> None:
        if not self._switch.is_tripped:
            self._switch.trip(f"the watchdog has tripped: {why}", Trigger.WATCHDOG)

    def _tell(self, level: AlertLevel, text: str) -> None:
        self._switch.alerts.send(level, "watchdog", text, time.time_ns() // 1_000_000,
                                 self._switch.state)

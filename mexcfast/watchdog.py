"""The watchdog: a process of its own that cancels everything when the bot stops beating.

    python -m mexcfast.watchdog --socket PATH          or  mexcfast watchdog --socket PATH

It has keys of its own: MEXC_WATCHDOG_API_KEY and MEXC_WATCHDOG_API_SECRET, else MEXC_API_KEY and
MEXC_API_SECRET, or a file that only its owner can read; never the command line. It runs the same
ladder as the bot's kill switch and writes the same state file, so that the bot stays tripped when
it comes back. Messages: net/heart. Runbook: docs/kill_switch.md.

    IDLE --hello--> WATCHING --bye--> IDLE
                       '--silence, or the end of the connection without bye--> CANCELLING --> IDLE
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import logging.handlers
import os
import signal
import stat
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import IO, Any

from mexcfast.core.journal import fingerprint
from mexcfast.core.killswitch import KINDS, KillSwitchSettings, Trigger
from mexcfast.core.rest import LIVE, Endpoint
from mexcfast.core.sign import Signer
from mexcfast.errors import ConfigError, MexcfastError
from mexcfast.keys import Secret, check_owner, from_environ
from mexcfast.net.alerts import Alerts, Webhook
from mexcfast.net.executor import Executor
from mexcfast.net.heart import LINE_MAX, check_socket_path, decode, encode
from mexcfast.net.killswitch import KillSwitch
from mexcfast.net.tasks import end

try:
    import fcntl
except ImportError:             # no unix sockets there either
    fcntl = None  # type: ignore[assignment]

log = logging.getLogger("mexcfast.watchdog")

WEBHOOK_VARIABLE = "MEXCFAST_ALERT_WEBHOOK"
CLOCK_EVERY_S = 60.0
TICKS = 20                      # looks within one silence


def read_keys(environ: Mapping[str, str], path: str | None) -> tuple[str, Secret, bool]:
    """Access key and secret from a keys file, else from the environment; ConfigError.

    The third member tells whether they were meant for the watchdog alone: then they may be another
    key of the bot's account. A file has lines NAME=VALUE with the names of the environment, and is
    read only when nobody but its owner may read or write it. NAME_SECRET_FILE instead of
    NAME_SECRET is a file of its own, of which no copy stays in memory.
    """
    found = environ
    if path is not None:
        try:
            fd = os.open(path, os.O_RDONLY)
        except OSError as error:
            raise ConfigError(f"the keys file {path}: {error.strerror}") from None
        try:
            if not stat.S_ISREG(os.fstat(fd).st_mode):
                raise ConfigError(f"the keys file {path} is none; allowed: a file with mode 0600")
            check_owner(fd, f"the keys file {path}")
            text = os.read(fd, LINE_MAX).decode("utf-8", "replace")
        finally:
            os.close(fd)
        lines = [line.strip() for line in text.splitlines()]
        found = {name.strip(): value.strip() for name, _, value in
                 (line.partition("=") for line in lines if line and not line.startswith("#"))}
    for prefix in ("MEXC_WATCHDOG_API_", "MEXC_API_"):
        names = [prefix + name for name in ("KEY", "SECRET", "SECRET_FILE") if found.get(
            prefix + name)]
        if len(names) > 1 and names[0] == prefix + "KEY":
            return *from_environ(found, prefix), path is not None or "WATCHDOG" in prefix
        if names:
            raise ConfigError(f"one of {prefix}KEY and {prefix}SECRET is missing; allowed: both")
    where = f"the keys file {path}" if path is not None else "the environment"
    raise ConfigError(f"{where} has no MEXC_WATCHDOG_API_KEY and MEXC_WATCHDOG_API_SECRET (nor "
                      "MEXC_API_KEY and MEXC_API_SECRET)")


def endpoint_text(endpoint: Endpoint) -> str:
    """An endpoint as one argument."""
    members: dict[str, Any] = {name: getattr(endpoint, name) for name in
                               endpoint.__dataclass_fields__}
    members["paths"] = dict(endpoint.paths)
    members["limits"] = {name: list(limit) for name, limit in endpoint.limits.items()}
    return json.dumps(members)


def read_endpoint(text: str) -> Endpoint:
    """A REST address, or all of an Endpoint as JSON; ConfigError."""
    if not text.startswith("{"):
        return Endpoint.at(text)
    try:
        members = json.loads(text)
        members["limits"] = {name: tuple(limit) for name, limit in members["limits"].items()}
        return Endpoint(**members)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise ConfigError(f"--endpoint: {error}; allowed: an address, or an Endpoint as JSON"
                          ) from None


class Watchdog:
    """Watches one bot of one account at a time.

    path: the socket. has_own_keys: they may differ from the bot's; then only whoever set them up
    can know that they are of the same account. state: the kill switch's state file, the bot's own.
    once: end after a goodbye and after everything was cancelled. cancel_on_exit: a goodbye cancels
    everything too.
    """

    def __init__(self, endpoint: Endpoint, signer: Signer, path: str, *,
                 has_own_keys: bool = False, state: str | None = None,
                 silence_ms: int = 5000, settings: KillSwitchSettings | None = None,
                 alerts: Alerts | None = None, once: bool = False,
                 cancel_on_exit: bool = False) -> None:
        if silence_ms < 200:
            raise ConfigError(f"silence_ms is {silence_ms}; allowed: 200 and above")
        self.path = check_socket_path(path)
        self.account = fingerprint(signer.access_key)
        self.silence_ms = silence_ms
        self.alerts = alerts or Alerts()
        self.switch: KillSwitch | None = None       # of the bot watched now, or last
        self._executor = Executor(endpoint, signer)
        self._has_own_keys = has_own_keys
        self._state = state
        self._settings = settings or KillSwitchSettings()
        self._once = once
        self._cancel_on_exit = cancel_on_exit
        self._bot: asyncio.StreamWriter | None = None
        self._pid = 0
        self._silent_ns = 0
        self._until_ms = 0          # venue time until which a request of the bot may be taken
        self._done = asyncio.Event()
        self._writers: set[asyncio.StreamWriter] = set()
        self._ladders: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Watch until ended; raises ConfigError or the venue's error when it cannot begin."""
        lock = self._take_lock()
        with lock:
            await self._run()

    async def _run(self) -> None:
        async with self._executor:
            await self._executor.sync_clock(3)
            await self._executor.request("open_orders", params={"page_num": 1, "page_size": 1})
            with suppress(FileNotFoundError):
                os.unlink(self.path)        # of a watchdog that died: the lock is ours
            mask = os.umask(0o177)
            try:
                server = await asyncio.start_unix_server(self._serve, self.path, limit=LINE_MAX)
            finally:
                os.umask(mask)
            loop = asyncio.get_running_loop()
            tasks = [loop.create_task(self._tick()), loop.create_task(self._keep_clock())]
            log.info("watching at %s, silence %d ms", self.path, self.silence_ms)
            try:
                await self._done.wait()
            finally:
                with suppress(FileNotFoundError):
                    os.unlink(self.path)
                server.close()
                await end(*tasks)
                self._bot = None        # it will notice that nobody watches it any more
                for writer in list(self._writers):
                    writer.close()
                if self.switch is not None:
                    await self.switch.close()
                await self.alerts.close()

    def stop(self) -> None:
        """End it. While everything is being cancelled that is finished first."""
        if not self._is_cancelling:
            self._done.set()
        self._once = True

    @property
    def _is_cancelling(self) -> bool:
        return bool(self._ladders)

    def _take_lock(self) -> IO[bytes]:
        if fcntl is None:
            raise ConfigError("the watchdog needs unix sockets, which this system lacks")
        os.makedirs(os.path.dirname(self.path), exist_ok=True)
        fd = os.open(self.path + ".lock", os.O_RDWR | os.O_CREAT, 0o600)
        lock = os.fdopen(fd, "ab")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            lock.close()
            raise ConfigError(f"another watchdog is at {self.path}") from None
        return lock

    # -- the bot ---------------------------------------------------------------------------------

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            await self._attend(reader, writer)
        except (ValueError, OSError) as error:
            log.warning("a connection ended: %s", error)
        finally:
            self._writers.discard(writer)
            if self._bot is writer:
                self._bot = None
                self._trip(f"the bot (process {self._pid}) is gone without a goodbye")
            writer.close()

    async def _attend(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        hello = decode(await asyncio.wait_for(reader.readline(), 10) or b"null")
        why = None
        if hello.get("hello") != self.account and not self._has_own_keys:
            why = "its keys are not the bot's; give it MEXC_WATCHDOG_API_KEY and _SECRET"
        elif self._bot is not None:
            why = f"it watches process {self._pid} already"
        if why is not None:
            writer.write(encode({"refused": why}))
            return
        if not self._is_cancelling:
            if self.switch is not None:
                await self.switch.close()
            self.switch = KillSwitch(self._executor, self._settings, self.alerts, path=self._state,
                                     account=str(hello.get("hello")))
            self.switch.in_doubt_until_ms = lambda: self._until_ms
        assert self.switch is not None
        self._bot, self._pid, self._silent_ns = writer, int(hello.get("pid", 0)), 0
        writer.write(encode({"armed": str(self.switch.state)}))
        log.info("watching process %d", self._pid)
        while line := await reader.readline():
            message = decode(line)
            if "beat" in message:
                self._silent_ns = 0
                writer.write(encode({"beat": message["beat"]}))
            elif "bye" in message and self._bot is writer:
                self._bot = None
                writer.write(encode({"bye": 1}))
                if self._cancel_on_exit:
                    self._trip(f"the bot (process {self._pid}) has ended, as the policy wants")
                else:
                    self._ended()

    async def _tick(self) -> None:
        """Silence is added up in small steps: when this process itself was held up, the bot's
        beats that waited meanwhile are read first."""
        pause_ns = self.silence_ms * 1_000_000 // TICKS
        before_ns = time.monotonic_ns()
        while True:
            await asyncio.sleep(pause_ns / 1e9)
            now_ns = time.monotonic_ns()
            self._silent_ns += min(now_ns - before_ns, 2 * pause_ns)
            before_ns = now_ns
            if self._bot is not None and self._silent_ns > self.silence_ms * 1_000_000:
                bot, self._bot = self._bot, None
                why = f"no heartbeat of process {self._pid} for {self.silence_ms} ms"
                bot.write(encode({"tripped": why}))
                self._trip(why)

    async def _keep_clock(self) -> None:
        while True:
            await asyncio.sleep(CLOCK_EVERY_S)
            try:
                await self._executor.sync_clock()
            except MexcfastError as error:
                log.warning("the venue's time: %s", error)

    # -- the ladder ------------------------------------------------------------------------------

    def _trip(self, why: str) -> None:
        assert self.switch is not None
        endpoint = self._executor.endpoint
        self._until_ms = self._executor.clock.venue_ms() + endpoint.expiry_ms
        log.warning("%s", why)
        self.switch.trip(why, Trigger.WATCHDOG)
        task = asyncio.get_running_loop().create_task(self._until_safe(self.switch))
        self._ladders.add(task)
        task.add_done_callback(self._ladders.discard)

    async def _until_safe(self, switch: KillSwitch) -> None:
        await switch.until_safe()
        self._ended()

    def _ended(self) -> None:
        if self._once and self._bot is None:
            self._done.set()


# -- the process -----------------------------------------------------------------------------------

def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(
        prog="mexcfast watchdog", description="Cancel every open order when the bot stops beating. "
        "Keys: MEXC_WATCHDOG_API_KEY and MEXC_WATCHDOG_API_SECRET (or MEXC_API_...), or --keys.")
    made.add_argument("--socket", required=True, help="where the bot beats")
    made.add_argument("--endpoint", help="REST address, or an Endpoint as JSON; the live venue "
                      "without it")
    made.add_argument("--keys", help="file with NAME=VALUE lines, mode 0600")
    made.add_argument("--state", help="the kill switch's state file, the bot's own: its journal's "
                      "path + .switch")
    made.add_argument("--silence-ms", type=int, default=5000)
    made.add_argument("--kinds", default=",".join(KINDS), help="orders that are cancelled")
    made.add_argument("--close-positions", action="store_true")
    made.add_argument("--cancel-on-exit", action="store_true", help="a clean exit cancels as well")
    made.add_argument("--once", action="store_true", help="end with the bot it has watched")
    made.add_argument("--detach", action="store_true", help="go on in the background")
    made.add_argument("--log", help="log to this file, at most 2 MB")
    return made


def arguments_for(endpoint: Endpoint, path: str, *, journal: str | os.PathLike[str] | None,
                  silence_ms: int, settings: KillSwitchSettings,
                  keys_file: str | os.PathLike[str] | None, cancel_on_exit: bool) -> list[str]:
    """The command line of a watchdog that belongs to one bot. journal: the bot's, beside which the
    kill switch's state lies."""
    found = ["--socket", path, "--endpoint", endpoint_text(endpoint), "--silence-ms",
             str(silence_ms), "--kinds", ",".join(settings.kinds), "--once", "--log",
             path + ".log"]
    if journal is not None:
        found += ["--state", f"{os.path.abspath(journal)}.switch"]
    if keys_file is not None:
        found += ["--keys", os.path.abspath(keys_file)]
    for name, flag in (("--close-positions", settings.close_positions),
                       ("--cancel-on-exit", cancel_on_exit)):
        found += [name] if flag else []
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit code: 0 ended as wanted, 1 it could not begin."""
    options = parser().parse_args(arguments)
    try:
        endpoint = LIVE if options.endpoint is None else read_endpoint(options.endpoint)
        settings = KillSwitchSettings(
            kinds=tuple(options.kinds.split(",")), close_positions=options.close_positions)
        access_key, secret, own = read_keys(os.environ, options.keys)
        check_socket_path(options.socket)
        if options.silence_ms < 200:
            raise ConfigError(f"--silence-ms is {options.silence_ms}; allowed: 200 and above")
        hook = os.environ.get(WEBHOOK_VARIABLE)
        sinks = [Webhook(hook, account=fingerprint(access_key))] if hook else []
    except MexcfastError as error:
        print(f"mexcfast watchdog: {error}", file=sys.stderr)
        return 1
    if options.detach and os.fork() != 0:
        return 0
    if options.detach:
        os.setsid()
        null = os.open(os.devnull, os.O_RDWR)
        for fd in (0, 1, 2):
            os.dup2(null, fd)
    handlers: list[logging.Handler] | None = None
    if options.log:
        os.close(os.open(options.log, os.O_WRONLY | os.O_CREAT, 0o600))
        handlers = [logging.handlers.RotatingFileHandler(options.log, maxBytes=1 << 20,
                                                         backupCount=1)]
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(message)s",
                        handlers=handlers)

    async def watch() -> None:
        dog = Watchdog(endpoint, Signer(access_key, secret), options.socket, has_own_keys=own,
                       state=options.state, silence_ms=options.silence_ms, settings=settings,
                       alerts=Alerts(*sinks), once=options.once,
                       cancel_on_exit=options.cancel_on_exit)
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, dog.stop)
        await dog.run()

    try:
        asyncio.run(watch())
    except (MexcfastError, OSError) as error:
        log.error("%s", error)
        if not options.log:
            print(f"mexcfast watchdog: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

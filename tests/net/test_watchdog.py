"""The watchdog: whatever becomes of the bot, no order of any kind is left open."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

import mexcfast as mx
from mexcfast.core.journal import fingerprint
from mexcfast.core.killswitch import KillSwitchSettings, SwitchState, Trigger
from mexcfast.core.rest import LIVE, Endpoint
from mexcfast.errors import AuthenticationError, ConfigError
from mexcfast.net.heart import Heart
from mexcfast.net.killswitch import KillSwitch
from mexcfast.sim import Exchange
from mexcfast.watchdog import Watchdog, endpoint_text, read_endpoint, read_keys
from net.everything import is_empty, place_everything, truth, until

pytestmark = pytest.mark.skipif(not hasattr(signal, "SIGKILL") or sys.platform == "win32",
                                reason="needs unix sockets and kill -9")
BOT = Path(__file__).with_name("watched_bot.py")
EVERY = {"limit": 1, "plan": 1, "stop": 1, "trailing": 1}


STARTED: list[asyncio.subprocess.Process] = []


@pytest.fixture(autouse=True)
def nobody_is_left() -> Iterator[None]:
    """Bots that a failed test has left; their watchdogs end by themselves."""
    yield
    for child in STARTED:
        if child.returncode is None:
            with suppress(ProcessLookupError):
                os.kill(child.pid, signal.SIGKILL)
    STARTED.clear()


def on_exchange(story: Callable[[Exchange], Awaitable[None]]) -> None:
    async def told() -> None:
        async with (asyncio.timeout(120),
                    Exchange(seed=5, limits=False, updates_per_second=10) as venue):
            await story(venue)

    mx.run(told())


async def start_bot(venue: Exchange, folder: Path, end: str, silence_ms: int = 20_000, **env: str
                    ) -> asyncio.subprocess.Process:
    """A bot that has one order of every kind and a watchdog."""
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-P", str(BOT), venue.rest_url, venue.access_key, venue.secret,
        str(folder / "orders"), str(silence_ms), end, stdout=asyncio.subprocess.PIPE,
        stdin=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path),
             "MEXC_API_KEY": venue.access_key, "MEXC_API_SECRET": venue.secret, **env})
    STARTED.append(child)
    line = await child.stdout.readline()
    if line.strip() != b"here":
        raise AssertionError((await child.stderr.read()).decode())
    assert truth(venue) == EVERY
    return child


def command_line(process: int) -> bytes:
    return Path(f"/proc/{process}/cmdline").read_bytes()


def watchdogs(folder: Path) -> list[int]:
    """Processes of watchdogs at this folder's socket."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                words = (entry / "cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            if b"mexcfast.watchdog" in words and str(folder).encode() in b" ".join(words):
                found.append(int(entry.name))
    return found


async def all_over(venue: Exchange, folder: Path, trigger: str = "watchdog") -> None:
    """Nothing is open, the state says why, the watchdog has ended by itself."""
    await until(lambda: is_empty(venue))
    state = folder / "orders.switch"
    await until(lambda: state.exists() and json.loads(state.read_text())["state"] == "SAFE")
    kept = json.loads(state.read_text())
    assert kept["trip"]["trigger"] == trigger
    assert kept["account"] == fingerprint(venue.access_key)
    await until(lambda: not (folder / "orders.watchdog").exists() and not watchdogs(folder))
    log = (folder / "orders.watchdog.log").read_text()
    assert venue.secret not in log and venue.access_key not in log


def test_kill_9_leaves_no_open_order_of_any_kind(tmp_path):
    async def story(venue: Exchange) -> None:
        child = await start_bot(venue, tmp_path, "hang")
        assert stat.S_IMODE((tmp_path / "orders.watchdog").stat().st_mode) == 0o600
        words = command_line(watchdogs(tmp_path)[0])
        assert venue.secret.encode() not in words and venue.access_key.encode() not in words
        child.kill()
        await child.wait()
        await all_over(venue, tmp_path)
        # The bot comes back and stays tripped until somebody resets it.
        async with mx.Client(venue.rest_url, venue.access_key, venue.secret,
                             journal=tmp_path / "orders") as again:
            assert again.kill_switch.state is SwitchState.SAFE
            await again.start()
            outcome = await again.orders.submit("BTC_USDT", mx.Side.OPEN_LONG, 1, 1000, leverage=20)
            assert outcome.reason == "KillSwitchTripped" and "without a goodbye" in str(
                outcome.error)

    on_exchange(story)


def test_a_bot_that_hangs_is_noticed_and_fences_itself(tmp_path):
    async def story(venue: Exchange) -> None:
        child = await start_bot(venue, tmp_path, "freeze", silence_ms=4_000)
        await until(lambda: is_empty(venue))
        # A watchdog that was itself kept waiting trips early: the bot's own count must be over too.
        await asyncio.sleep(4.5)
        child.stdin.write(b"go on\n")
        said = (await child.stdout.readline()).strip()
        assert said == b"KillSwitchTripped", (await child.stderr.read()).decode()
        assert await child.wait() == 0
        await all_over(venue, tmp_path)

    on_exchange(story)


def test_a_clean_exit_disarms_it(tmp_path):
    async def story(venue: Exchange) -> None:
        child = await start_bot(venue, tmp_path, "exit")
        assert await child.wait() == 0
        await until(lambda: not watchdogs(tmp_path))
        assert truth(venue) == EVERY and not (tmp_path / "orders.switch").exists()

    on_exchange(story)


def test_a_strategy_that_falls_over_is_no_clean_exit(tmp_path):
    async def story(venue: Exchange) -> None:
        child = await start_bot(venue, tmp_path, "raise")
        assert await child.wait() == 1
        await all_over(venue, tmp_path)

    on_exchange(story)


def test_without_the_venue_it_goes_on_until_it_is_back(tmp_path):
    async def story(venue: Exchange) -> None:
        child = await start_bot(venue, tmp_path, "hang")
        venue.faults.http_status("*", 503, count=40)
        child.kill()
        await child.wait()
        await all_over(venue, tmp_path)

    on_exchange(story)


def test_a_bot_without_working_keys_for_it_is_told_at_once(tmp_path, monkeypatch):
    async def story(venue: Exchange) -> None:
        for name in ("KEY", "SECRET"):
            monkeypatch.delenv(f"MEXC_API_{name}", raising=False)
            monkeypatch.delenv(f"MEXC_WATCHDOG_API_{name}", raising=False)
        async with mx.Client(venue.rest_url, venue.access_key, venue.secret,
                             journal=tmp_path / "orders") as client:
            with pytest.raises(ConfigError, match="MEXC_WATCHDOG_API_KEY"):
                await client.watchdog()
            with pytest.raises(ConfigError, match="no watchdog answers"):
                await client.watchdog(start=False)
        async with mx.Client(venue.rest_url, venue.access_key, venue.secret) as client:
            with pytest.raises(ConfigError, match="journal"):
                await client.watchdog()

    on_exchange(story)


# -- in one process: everything about the two ends -------------------------------------------------

class Pair:
    """A watchdog in this process, and clients that beat for it."""

    def __init__(self, venue: Exchange, folder: Path, **more: object) -> None:
        self.venue, self.path = venue, str(folder / "socket")
        self.endpoint = Endpoint.at(venue.rest_url, recv_window_s=1)
        self.dog = Watchdog(self.endpoint, mx.Signer(venue.access_key, venue.secret), self.path,
                            **{"state": str(folder / "state"), "silence_ms": 20_000, **more})

    async def __aenter__(self) -> Pair:
        self.task = asyncio.ensure_future(self.dog.run())
        await until(lambda: os.path.exists(self.path) or self.task.done())
        if self.task.done():
            self.task.result()
        return self

    async def __aexit__(self, *_: object) -> None:
        self.dog.stop()
        await self.task

    def client(self) -> mx.Client:
        return mx.Client(self.endpoint, self.venue.access_key, self.venue.secret)


def test_beats_are_answered_and_a_goodbye_ends_it(tmp_path):
    async def story(venue: Exchange) -> None:
        async with Pair(venue, tmp_path, silence_ms=500) as pair, pair.client() as client:
            heart = await client.watchdog(pair.path, start=False, silence_ms=500)
            await until(lambda: heart.answered >= 10)
            assert heart.is_armed and not pair.dog.switch.is_tripped
            with pytest.raises(ConfigError, match="already"):
                await client.watchdog(pair.path, start=False)
            async with pair.client() as second:
                with pytest.raises(ConfigError, match="watches process"):
                    await second.watchdog(pair.path, start=False)

    on_exchange(story)
    assert not (tmp_path / "state").exists()


def test_a_goodbye_cancels_when_the_policy_wants_it(tmp_path):
    async def story(venue: Exchange) -> None:
        async with Pair(venue, tmp_path, cancel_on_exit=True) as pair:
            async with pair.client() as client:
                await client.watchdog(pair.path, start=False)
                await place_everything(venue, client)
            await until(lambda: is_empty(venue))

    on_exchange(story)


def test_the_bot_is_told_when_it_trips_and_watches_again_after_a_reset(tmp_path):
    async def story(venue: Exchange) -> None:
        async with Pair(venue, tmp_path) as pair:
            async with pair.client() as client:
                await client.watchdog(pair.path, start=False)
                await place_everything(venue, client)
                pair.dog._silent_ns = 10**12
                await until(lambda: client.kill_switch.is_tripped)
                assert "no heartbeat" in client.kill_switch.trip_info.text
                await client.kill_switch.until_safe()
                assert is_empty(venue)
            await until(lambda: not pair.dog._ladders)
            from mexcfast.net.killswitch import reset_file
            reset_file(tmp_path / "state", "test")
            async with pair.client() as client:
                heart = await client.watchdog(pair.path, start=False)
                await until(lambda: heart.answered >= 1)
                assert not client.kill_switch.is_tripped

    on_exchange(story)


def test_a_lost_watchdog_is_told_and_looked_for(tmp_path):
    async def story(venue: Exchange) -> None:
        alerts: list[mx.Alert] = []
        async with Pair(venue, tmp_path) as first:
            client = mx.Client(first.endpoint, venue.access_key, venue.secret,
                               alerts=[alerts.append])
            await client.watchdog(first.path, start=False, silence_ms=1000)
        async with client:
            await until(lambda: any("is lost" in alert.text for alert in alerts))
            assert not client.kill_switch.is_tripped
            async with Pair(venue, tmp_path):
                await until(lambda: any("is back" in alert.text for alert in alerts))
                await client.close()

    on_exchange(story)


def test_a_lost_watchdog_can_be_a_reason_to_stop(tmp_path):
    async def story(venue: Exchange) -> None:
        async with Pair(venue, tmp_path) as pair:
            client = await pair.client().__aenter__()
            await client.watchdog(pair.path, start=False, trip_when_lost=True)
        try:
            await until(lambda: client.kill_switch.is_tripped)
            await client.kill_switch.until_safe()
        finally:
            await client.close()

    on_exchange(story)


def test_one_watchdog_at_a_socket_and_keys_that_work(tmp_path):
    async def story(venue: Exchange) -> None:
        async with Pair(venue, tmp_path) as pair:
            with pytest.raises(ConfigError, match="another watchdog"):
                await Pair(venue, tmp_path).dog.run()
            wrong = Watchdog(pair.endpoint, mx.Signer("mx0nobody", "none"),
                             str(tmp_path / "other"))
            with pytest.raises(AuthenticationError):
                await wrong.run()

    on_exchange(story)


def test_another_key_only_when_it_is_meant_for_it(tmp_path):
    async def story(venue: Exchange) -> None:
        for own in (False, True):
            async with Pair(venue, tmp_path, has_own_keys=own) as pair, pair.client() as client:
                heart = Heart(pair.path, "another", client.kill_switch)
                if own:
                    await heart.start()
                    assert pair.dog.switch.switch.account == "another"
                    await heart.close()
                else:
                    with pytest.raises(ConfigError, match="not the bot's"):
                        await heart.start()

    on_exchange(story)


@pytest.mark.parametrize("noise", [b"\n", b"[]\n", b"{}\n", b"null\n", b"x" * 10_000, b"\xff\n"])
def test_noise_at_the_socket_harms_nobody(tmp_path, noise):
    async def story(venue: Exchange) -> None:
        async with Pair(venue, tmp_path) as pair, pair.client() as client:
            reader, writer = await asyncio.open_unix_connection(pair.path)
            writer.write(noise)
            writer.write_eof()
            await reader.read()
            writer.close()
            heart = await client.watchdog(pair.path, start=False)
            await until(lambda: heart.answered >= 1)

    on_exchange(story)


def test_the_fence_trips_before_anything_leaves(tmp_path):
    async def story(venue: Exchange) -> None:
        async with Pair(venue, tmp_path) as pair, pair.client() as client:
            await client.orders.load_contracts()
            heart = await client.watchdog(pair.path, start=False)
            before = len(venue.requests)
            heart._last_beat_ns -= 60_000_000_000
            outcome = await client.orders.submit("BTC_USDT", mx.Side.OPEN_LONG, 1, 1000,
                                                 leverage=20)
            assert outcome.reason == "KillSwitchTripped"
            assert client.kill_switch.trip_info.trigger == "watchdog"
            assert not any(request.path.endswith("order/create")
                           for request in list(venue.requests)[before:])
            await client.kill_switch.until_safe()

    on_exchange(story)


# -- keys and settings -----------------------------------------------------------------------------

def test_keys_of_the_environment():
    both = {"MEXC_API_KEY": "a", "MEXC_API_SECRET": "b"}
    own = {"MEXC_WATCHDOG_API_KEY": "c", "MEXC_WATCHDOG_API_SECRET": "d"}
    assert read_keys(both, None) == ("a", "b", False)
    assert read_keys({**both, **own}, None) == ("c", "d", True)
    for lacking in ({}, {"MEXC_API_KEY": "a"}, {**both, "MEXC_WATCHDOG_API_KEY": "c"}):
        with pytest.raises(ConfigError):
            read_keys(lacking, None)


def test_a_keys_file_must_be_its_owners_alone(tmp_path):
    file = tmp_path / "keys"
    file.write_text("# mine\nMEXC_WATCHDOG_API_KEY = c\nMEXC_WATCHDOG_API_SECRET=very-secret=d\n")
    file.chmod(0o600)
    assert read_keys({}, str(file)) == ("c", "very-secret=d", True)
    for mode in (0o640, 0o604, 0o660, 0o601):
        file.chmod(mode)
        with pytest.raises(ConfigError, match="0600") as caught:
            read_keys({}, str(file))
        assert "very-secret" not in str(caught.value)
    with pytest.raises(ConfigError, match="No such file"):
        read_keys({}, str(tmp_path / "none"))
    with pytest.raises(ConfigError):
        read_keys({}, str(tmp_path))


def test_an_endpoint_travels_whole():
    from dataclasses import replace
    odd = replace(LIVE, recv_window_s=7, limits={"ping": (3, 100)}, paths={"ping": "p"})
    assert read_endpoint(endpoint_text(odd)) == odd
    assert read_endpoint("http://h") == Endpoint.at("http://h")
    for wrong in ("{", "{}", '{"limits":{}}', "ftp://x", '{"limits":{"ping":5}}'):
        with pytest.raises(ConfigError):
            read_endpoint(wrong)


def test_settings_are_checked(tmp_path):
    switch = KillSwitch.__new__(KillSwitch)
    with pytest.raises(ConfigError, match="silence_ms"):
        Heart(tmp_path / "s", "a", switch, silence_ms=10)
    with pytest.raises(ConfigError, match="too long"):
        Heart("/" + "x" * 200, "a", switch)
    with pytest.raises(ConfigError, match="silence_ms"):
        Watchdog(LIVE, mx.Signer("a", "b"), str(tmp_path / "s"), silence_ms=1)
    assert KillSwitchSettings().kinds == ("limit", "plan", "stop", "trailing")


def test_the_command_says_what_is_wrong(tmp_path):
    clean = {name: value for name, value in os.environ.items() if not name.startswith("MEXC")}
    clean["PYTHONPATH"] = os.pathsep.join(sys.path)
    for arguments, word in ((["--socket", "s"], "MEXC_WATCHDOG_API_KEY"),
                            (["--socket", "s", "--endpoint", "ftp://x"], "ftp"),
                            (["--socket", "s", "--kinds", "spot"], "kinds")):
        done = subprocess.run([sys.executable, "-P", "-m", "mexcfast.watchdog", *arguments],
                              env=clean, capture_output=True, text=True, cwd=tmp_path, timeout=60)
        assert done.returncode == 1 and word in done.stderr and "Traceback" not in done.stderr


def test_a_clean_end_never_looks_like_a_death(tmp_path: Path, monkeypatch: pytest.MonkeyPatch
                                              ) -> None:
    """Ends between two beats, at a beat, and just after one: the order it leaves stays open."""
    async def story(venue: Exchange) -> None:
        monkeypatch.setenv("MEXC_API_KEY", venue.access_key)
        monkeypatch.setenv("MEXC_API_SECRET", venue.secret)
        for number in range(6):
            async with mx.Client(venue.rest_url, venue.access_key, venue.secret,
                                 journal=tmp_path / f"bot{number}") as client:
                await client.start()
                await client.watchdog(silence_ms=200)
                price = client.orders.contracts["BTC_USDT"].tick_size * 700_000
                await client.orders.submit("BTC_USDT", mx.Side.OPEN_LONG, 1, price, leverage=10)
                await asyncio.sleep(number * 0.011)
        await until(lambda: not watchdogs(tmp_path))
        assert truth(venue)["limit"] == 6

    on_exchange(story)
    logs = [path.read_text() for path in tmp_path.glob("*.log")]
    assert len(logs) == 6 and not any("without a goodbye" in log for log in logs)


def test_a_beat_after_a_hang_does_not_lift_the_fence() -> None:
    """The first thing to run after a hang is the heart, not the strategy."""
    async def told() -> None:
        switch = _Switch()
        heart = Heart("/nowhere/heart", "account", switch, silence_ms=200)
        written: list[bytes] = []
        heart._writer = _Pipe(written)
        heart.is_armed = True
        heart._last_beat_ns = time.monotonic_ns() - 10**9
        beating = asyncio.create_task(heart._run())
        await until(lambda: bool(written))
        beating.cancel()
        assert [trigger for _, trigger in switch.trips] == [Trigger.WATCHDOG]
        assert "has not beaten for" in switch.trips[0][0]

    asyncio.run(told())


class _Pipe:
    def __init__(self, written: list[bytes]) -> None:
        self.write = written.append

    def close(self) -> None:
        pass


class _Switch:
    def __init__(self) -> None:
        self.trips: list[tuple[str, Trigger]] = []
        self.fences: list[object] = []

    @property
    def is_tripped(self) -> bool:
        return bool(self.trips)

    def trip(self, why: str, trigger: Trigger) -> None:
        self.trips.append((why, trigger))

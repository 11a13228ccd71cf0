"""Who may use the bus, and who it is that answers: nkeys, creds files, TLS; nothing secret is told.

Against a real nats-server, and against one that only pretends.
"""

from __future__ import annotations

import asyncio
import json
import os
import stat
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from gateway.nats_server import MISSING, NatsServer, needs_nats
from gateway.stage import exchange, is_current, play, until
from mexcfast.core import topics as T
from mexcfast.core.listener import Listener
from mexcfast.errors import ConfigError, ConnectFailed
from mexcfast.gateway import Consumer
from mexcfast.gateway.bus import Address, Bus

if not MISSING:
    from gateway.nats_keys import account, creds, server_of_tokens, user

DATA = Path(__file__).parents[1] / "data"
CERTIFICATE, CERTIFICATE_KEY = DATA / "loopback-cert.pem", DATA / "loopback-key.pem"
PASSWORD = "hunter2"
#: of a shape that passes, and nobody's
SEED = "SU" + "A" * 56


class Door:
    """A server that asks who we are, the file and address of somebody it knows, and his secrets."""

    def __init__(self, how, folder):
        self.how, self.folder = how, folder
        self.files = {}                     # of who is known
        self.secrets = []
        self.person, self.scheme = "", "nats"
        if how == "nkey":
            self.config = f"authorization {{ users: [ {{ nkey: {user('ours').public} }} ] }}\n"
            self.files = self.file_of("ours")
        elif how == "creds":
            self.config = server_of_tokens(account("known"))
            self.files = self.file_of("ours")
        else:
            self.config = (f'tls {{ cert_file: "{CERTIFICATE}", key_file: "{CERTIFICATE_KEY}" }}\n'
                           f"authorization {{ user: me, password: {PASSWORD} }}\n")
            self.person, self.scheme = f"me:{PASSWORD}@", "tls"
            self.files = {"ca": str(CERTIFICATE)}
            self.secrets.append(PASSWORD)

    def file_of(self, name):
        """Arguments that show somebody's file; strangers have another account."""
        text = user(name).seed
        if self.how == "creds":
            text = creds(user(name), account("known" if name == "ours" else "unknown"))
            self.secrets.append(text.splitlines()[1])
        self.secrets.append(user(name).seed)
        path = self.folder / f"{name}.{self.how}"
        path.write_text(text)
        path.chmod(stat.S_IRUSR | stat.S_IWUSR)
        return {self.how: str(path)}

    def server(self):
        path = self.folder / "server.conf"
        path.write_text(self.config)
        return NatsServer("-c", str(path))

    def url(self, server, host="127.0.0.1", person=None):
        port = server.url.rpartition(":")[2]
        return f"{self.scheme}://{self.person if person is None else person}{host}:{port}"

    def keeps_quiet(self, *texts):
        for text in texts:
            assert not any(secret in text for secret in self.secrets), text


def bus_at(url, **files):
    return Bus(Address.parse(url, **files), "test", on_up=lambda again: None,
               on_down=lambda: None, connect_within=60)


@needs_nats
@pytest.mark.parametrize(("how", "processes"), [("nkey", 1), ("creds", 2), ("tls", 1)])
def test_the_command_and_a_consumer_come_in(how, processes, tmp_path, caplog):
    door = Door(how, tmp_path)

    async def scene():
        async with door.server() as nats, exchange(2) as venue, \
                Consumer(door.url(nats), **door.files) as consumer:
            names = list(venue.venue.markets)
            consumer.subscribe(Listener(), [T.depth(name) for name in names])
            options = [word for name, path in door.files.items() for word in (f"--{name}", path)]
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-P", "-m", "mexcfast.cli", "gateway", "--endpoint",
                venue.rest_url, "--channels", "depth", "--processes", str(processes), *options,
                stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT,
                env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
                     "MEXCFAST_NATS": door.url(nats)})
            try:
                books = [consumer.books[name] for name in names]
                await until(lambda: all(is_current(venue, book) for book in books))
                process.terminate()
                out, _ = await process.communicate()
                assert process.returncode == 0
                door.keeps_quiet(out.decode(), repr(consumer), repr(consumer._bus.address))
            finally:
                with suppress(ProcessLookupError):
                    process.kill()

    play(scene)
    door.keeps_quiet(caplog.text)


@needs_nats
@pytest.mark.parametrize(("how", "make", "says"), [
    ("nkey", lambda door: (door.url, door.file_of("stranger")), "Authorization Violation"),
    ("nkey", lambda door: (door.url, {}), "Authorization Violation"),
    ("creds", lambda door: (door.url, door.file_of("stranger")), "Authorization Violation"),
    ("creds", lambda door: (door.url, {}), "Authorization Violation"),
    ("tls", lambda door: (lambda nats: door.url(nats, person="me:hunter3@"), door.files),
     "Authorization Violation"),
    ("tls", lambda door: (door.url, {}), "SSLCertVerificationError: self"),
    ("tls", lambda door: (lambda nats: door.url(nats, host="127.1"), door.files),
     "SSLCertVerificationError: Hostname mismatch, certificate is not valid for '127.1'"),
], ids=["unknown nkey", "no nkey", "unknown account", "no creds", "wrong password", "unknown CA",
        "another name"])
def test_who_is_refused_hears_why_at_once(how, make, says, tmp_path, caplog):
    door = Door(how, tmp_path)
    url, files = make(door)
    door.secrets.append("hunter3")

    async def scene():
        async with door.server() as nats:
            consumer = Consumer(url(nats), connect_within=60, **files)
            with pytest.raises(ConnectFailed, match="cannot be used: .*" + says) as refused:
                await consumer.__aenter__()
            door.keeps_quiet(str(refused.value), repr(refused.value), repr(consumer))
            assert refused.value.__cause__ is None and refused.value.__suppress_context__
        left = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        assert not left, left

    play(scene)
    door.keeps_quiet(caplog.text)


@needs_nats
def test_one_of_two_servers_may_refuse(tmp_path):
    """It says no, the other one takes us."""
    ours, other = tmp_path / "ours", tmp_path / "other"
    ours.mkdir()
    other.mkdir()

    async def scene():
        door, strict = Door("nkey", ours), Door("nkey", other)
        strict.config = f"authorization {{ users: [ {{ nkey: {user('they').public} }} ] }}\n"
        async with door.server() as nats, strict.server() as second:
            bus = bus_at(f"{nats.url},{second.url}", **door.files)
            await bus.open()
            assert bus.is_up
            await bus.close()

    play(scene)


@needs_nats
def test_who_answers_without_tls_gets_no_password():
    """Somebody in the server's place, who speaks of no TLS."""
    heard = []

    async def pretend(reader, writer):
        info = {"server_id": "x", "version": "2.9.10", "max_payload": 1_000_000,
                "auth_required": True, "nonce": "abc"}
        writer.write(b"INFO " + json.dumps(info).encode() + b"\r\n")
        heard.append(await reader.read())
        writer.close()

    async def scene():
        server = await asyncio.start_server(pretend, "127.0.0.1", 0)
        async with server:
            port = server.sockets[0].getsockname()[1]
            bus = bus_at(f"tls://me:{PASSWORD}@127.0.0.1:{port}")
            with pytest.raises(ConnectFailed, match="TLS and the server offers none"):
                await bus.open()
            await until(lambda: heard)

    play(scene)
    assert heard == [b""]


@needs_nats
def test_a_server_that_leaves_tls_to_us_is_held_to_it(tmp_path):
    door = Door("tls", tmp_path)
    door.config = door.config.replace("}", "}\nallow_non_tls: true", 1)

    async def scene():
        async with door.server() as nats:
            with pytest.raises(ConnectFailed, match="SSLCertVerificationError"):
                await bus_at(door.url(nats)).open()
            bus = bus_at(door.url(nats), **door.files)
            await bus.open()
            assert bus.is_up
            await bus.close()

    play(scene)


@needs_nats
@pytest.mark.parametrize("how", ["nkey", "creds"])
def test_a_file_that_is_spoiled_meanwhile_is_read_again(how, tmp_path, caplog):
    door = Door(how, tmp_path)
    path = Path(door.files[how])
    good, put = path.read_text(), path.write_text

    async def scene():
        async with door.server() as nats:
            bus = bus_at(nats.url, **door.files)
            await bus.open()
            put("renewed soon\n")
            await nats.stop()
            await nats.start()
            await until(lambda: "which is something else" in caplog.text)
            assert not bus.is_up
            put(good)
            await until(lambda: bus.is_up)
            await bus.close()

    play(scene)
    door.keeps_quiet(caplog.text)


@needs_nats
@pytest.mark.parametrize("why", ["User Authentication Expired", "Authorization Violation",
                                 "maximum connections exceeded"])
def test_who_is_sent_away_comes_back(why, caplog):
    """A token ends, an account is closed: files may be renewed, so it is tried again."""
    ups = []

    async def pretend(reader, writer):
        info = {"server_id": "x", "version": "2.9.10", "max_payload": 1_000_000}
        writer.write(b"INFO " + json.dumps(info).encode() + b"\r\n")
        while line := await reader.readline():
            if line == b"PING\r\n":
                writer.write(b"PONG\r\n")
                if ups == [False]:
                    writer.write(f"-ERR '{why}'\r\n".encode())
        writer.close()

    async def scene():
        async with await asyncio.start_server(pretend, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            bus = Bus(Address.parse(f"127.0.0.1:{port}"), "test", on_up=ups.append,
                      on_down=lambda: ups.append(None))
            await bus.open()
            flushing = asyncio.ensure_future(bus._nats.flush(60))      # a PING, to be answered so
            await until(lambda: ups == [False, None, True])
            assert bus.is_up
            await bus.close()
            flushing.cancel()
            await asyncio.wait([flushing])

    play(scene)
    assert why.lower() in caplog.text


@pytest.mark.parametrize(("how", "text"), [
    ("nkey", "SUAAA"), ("nkey", ""), ("nkey", f"{SEED}\n{SEED}"), ("nkey", SEED.replace("U", "A")),
    ("creds", f"{SEED}\n"), ("creds", ""),
    ("creds", f"-----BEGIN NATS USER JWT-----\n{PASSWORD}\n"),
    ("creds", f"-----BEGIN USER NKEY SEED-----\n{SEED}\n"),
    ("ca", f"{PASSWORD}\n"), ("ca", ""),
])
def test_files_that_are_none_are_refused_without_their_words(how, text, tmp_path):
    path = tmp_path / "file"
    path.write_text(text)
    with pytest.raises(ConfigError, match=f"{how} is .*file'.*; allowed: a file ") as refused:
        Consumer("tls://h", **{how: path})
    assert SEED not in repr(refused.value) and PASSWORD not in repr(refused.value)
    with pytest.raises(ConfigError, match="nowhere'; allowed: a file that exists"):
        Consumer("tls://h", **{how: tmp_path / "nowhere"})

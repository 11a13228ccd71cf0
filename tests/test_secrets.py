"""No key, secret or signature in anything that leaves us: logs, tapes, reprs, tracebacks, journals.

What is looked for is known exactly: the secret and the key, and every signature the exchange was
sent, logins included. A core file of the whole process is no part of this: the strings its user
passed lie in it, and so does its environment (SECURITY.md).
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import os
import subprocess
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path

from mexcfast.sim import Exchange
from mexcfast.tape import format as tape

SESSION = Path(__file__).with_name("secrets_session.py")
CHAOS = Path(__file__).parent / "chaos" / "order_chaos.py"
KEY = "mx0Qk7-public-half-V2"
SECRET = "very+secret/half=&%d9f3"
ENV = {**{name: value for name, value in os.environ.items() if not name.startswith("MEXC_")},
       "PYTHONPATH": os.pathsep.join(sys.path)}


class Heard:
    """What the exchange was sent that must be found nowhere else."""

    def __init__(self, venue: Exchange) -> None:
        self.signatures: set[str] = set()
        front, hub = venue._front, venue._hub
        http, handle = front.http, hub.handle

        async def tapped(request):
            self.signatures.add(request.headers.get("Signature", ""))
            return await http(request)

        def listened(session, text):
            if '"login"' in text:
                self.signatures.update(
                    part for part in text.split('"') if len(part) == 64 and part.isalnum())
            return handle(session, text)

        front.http, hub.handle = tapped, listened

    @property
    def needles(self) -> dict[str, bytes]:
        """What to look for, and how to call it."""
        return needles(KEY, SECRET) | {
            f"signature {number}": text.encode()
            for number, text in enumerate(sorted(self.signatures - {""}))}


def needles(key: str, secret: str) -> dict[str, bytes]:
    """The halves of a key in the forms in which they could be written."""
    found = {"key": key.encode(), "secret": secret.encode()}
    for name, raw in list(found.items()):
        found[f"{name} in base64"] = base64.b64encode(raw).rstrip(b"=")
        found[f"{name} in hex"] = raw.hex().encode()
    return found


def unpacked(path: Path) -> Iterator[bytes]:
    """A file as it is, and all that is packed in it."""
    data = path.read_bytes()
    yield data
    at = 0
    while (at := data.find(b"\x78", at)) >= 0:      # every place where zlib could begin
        with contextlib.suppress(zlib.error):
            yield zlib.decompressobj().decompress(data[at:])
        at += 1


def search(wanted: dict[str, bytes], texts: dict[str, Iterator[bytes]]) -> list[str]:
    """Which needle lies where."""
    return [f"{name} in {where}" for where, parts in texts.items() for part in parts
            for name, needle in wanted.items() if needle in part]


def session(folder: Path, *more: str) -> tuple[dict[str, bytes], dict[str, Iterator[bytes]]]:
    """Run it: what is secret, and everything that was written."""
    wanted, texts = asyncio.run(talk(folder, *more))
    for path in folder.rglob("*"):
        if path.is_file():
            texts[path.name] = unpacked(path)
    return wanted, texts


async def talk(folder: Path, *more: str) -> tuple[dict[str, bytes], dict[str, Iterator[bytes]]]:
    async with Exchange(seed=3, access_key=KEY, secret=SECRET, updates_per_second=20,
                        limits=False) as venue:
        heard = Heard(venue)
        child = await asyncio.create_subprocess_exec(
            sys.executable, "-P", str(SESSION), venue.rest_url, str(folder), *more,
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE, env=ENV)
        out, log = await asyncio.wait_for(child.communicate(f"{KEY}\n{SECRET}\n".encode()), 300)
        kept = "\n".join(repr(one) for one in [*venue.requests, venue.account]).encode()
    assert child.returncode == 0, (out[-3000:], log[-3000:])
    assert out.endswith(b"the session is over\n")
    texts = {"output": iter([out]), "log": iter([log]), "the exchange's own log": iter([kept])}
    return heard.needles, texts


def test_a_session_tells_nobody_its_keys(tmp_path):
    wanted, texts = session(tmp_path)
    assert sum(name.startswith("signature") for name in wanted) > 50
    log = next(texts["log"])
    assert log.count(b"\n") > 200 and b" DEBUG " in log and b"Traceback" in log
    texts["log"] = iter([log])
    names = set(texts)
    assert {"orders-auto", "orders-off", "orders-auto.switch"} <= names, names
    records = [record for lane in ("auto", "off")
               for record in tape.read(tmp_path / f"tape-{lane}")]
    assert len(records) > 50, "the tapes hold something"
    plain = b"\n".join(repr(record).encode() for record in records)
    assert b'"create"' in plain and b"login" in plain
    texts["the tapes, read"] = iter([plain])
    assert search(wanted, texts) == []


def test_the_search_finds_what_is_planted(tmp_path):
    wanted, texts = session(tmp_path, "planted")
    from mexcfast.core.sign import Signer
    wanted["planted signature"] = Signer(KEY, SECRET).sign(1_700_000_000_000, b"{}").encode()
    assert set(search(wanted, texts)) == {"secret in output", "key in log",
                                          "planted signature in planted.bin"}


def test_commands_and_chaos_tell_nobody_their_keys():
    """The drill with its watchdog, the demo, and a bot that is killed, everything logged."""
    outputs = {}
    for name, arguments in {
            "drill": ["-m", "mexcfast.cli", "doctor", "--drill", "--trigger", "watchdog"],
            "demo": ["-m", "mexcfast.cli", "demo", "--seconds", "1"],
            "chaos": [str(CHAOS), "--orders", "60", "--seed", "2", "--life", "40",
                      "--log", "DEBUG"]}.items():
        done = subprocess.run([sys.executable, "-P", *arguments], capture_output=True, timeout=300,
                              env=ENV)
        assert done.returncode == 0, (name, done.stdout[-2000:], done.stderr[-2000:])
        outputs[name] = iter([done.stdout + done.stderr])
        assert len(done.stdout + done.stderr) > 100, name
    assert search(needles("mx0sim-access", "sim-secret"), outputs) == []

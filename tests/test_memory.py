"""The memory of a whole process that trades, as a core file would hold it: no secret, no HMAC pad.

Only if it was handed over in a way that leaves no copy (docs/security.md): the test reads it from a
pipe into a buffer that the Signer wipes. A str, to compare, is found.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

import mexcfast as mx
from children import DEADLINE_S
from mexcfast.keys import MOST_BYTES, from_environ, read_secret
from mexcfast.sim import Exchange

SESSION = Path(__file__).with_name("memory_session.py")
KEY = "mx0Qk7-public-half-V2"
SHORT = "7c1Vz9fK2qLw8eRt5yUb3nMx6aJd4hGs"
LONG = SHORT + "Pp0OiIuUyYtTrReEwWqQlLkKjJhHgGfFdDsSaAmMnNbB"       # is hashed before it is padded
#: AddressSanitizer's shadow is terabytes of address space: nobody reads that whole.
linux = pytest.mark.skipif(
    sys.platform != "linux" or os.environ.get("MEXCFAST_BUILD") == "sanitize",
    reason="reads /proc/PID/mem, whole")


def needles(secret: str) -> dict[str, bytes]:
    """The secret and the key's two pads, also as the 32-bit words that SHA-256 makes of them.

    Twelve bytes of any are proof, wherever they begin: a part left behind counts.
    """
    raw = secret.encode()
    block = (hashlib.sha256(raw).digest() if len(raw) > 64 else raw).ljust(64, b"\0")
    texts = {"secret": raw, "padded key": block[:32],
             "inner pad": bytes(byte ^ 0x36 for byte in block)[:32],
             "outer pad": bytes(byte ^ 0x5C for byte in block)[:32]}
    found = {}
    for name, text in texts.items():
        words = b"".join(text[at:at + 4][::-1] for at in range(0, len(text) // 4 * 4, 4))
        for kind, whole in ((name, text), (f"{name} as words", words)):
            for at in range(0, len(whole) - 11, 4):
                found[f"{kind} from {at}"] = whole[at:at + 12]
    return found


def look(pid: int, wanted: dict[str, bytes]) -> tuple[set[str], int]:
    """What of it lies in the readable memory of a process, and how many bytes were read."""
    found: set[str] = set()
    size = 0
    with open(f"/proc/{pid}/maps") as maps, open(f"/proc/{pid}/mem", "rb", 0) as memory:
        for line in maps:
            span, rights, *_ = line.split()
            if "r" not in rights or "[v" in line:           # vvar, vdso, vsyscall
                continue
            first, last = (int(part, 16) for part in span.split("-"))
            try:
                memory.seek(first)
                data = memory.read(last - first)
            except (OSError, OverflowError):
                continue                                    # a guard page
            size += len(data)
            found.update(name for name, needle in wanted.items() if needle in data)
    return found, size


async def session(folder: Path, secret: str, how: str) -> tuple[set[str], int]:
    async with Exchange(seed=3, access_key=KEY, secret=secret, updates_per_second=20,
                        limits=False) as venue:
        out, into = os.pipe()
        child = await asyncio.create_subprocess_exec(
            sys.executable, "-P", str(SESSION), venue.rest_url, KEY, str(folder), how,
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE, pass_fds=[out],
            env={**{name: value for name, value in os.environ.items()
                    if not name.startswith("MEXC_")},
                 "PYTHONPATH": os.pathsep.join(sys.path),
                 "MEXC_API_SECRET_FILE": f"/dev/fd/{out}"})
        try:
            os.close(out)
            os.write(into, secret.encode() + b"\n")
            os.close(into)
            async with asyncio.timeout(DEADLINE_S):
                line = await child.stdout.readline()
                if line != b"look now\n":
                    raise AssertionError((await child.stderr.read())[-3000:])
                try:
                    told = await asyncio.to_thread(look, child.pid, needles(secret))
                except PermissionError:
                    pytest.skip("this machine lets nobody read a child's memory")
                child.stdin.write(b"\n")
                assert await child.wait() == 0, await child.stderr.read()
            return told
        finally:
            if child.returncode is None:
                child.kill()
                await child.wait()


@linux
# A name of a test lies in its children's environment: it must not hold the secret.
@pytest.mark.parametrize(("how", "secret"), [("file", SHORT), ("buffer", LONG)],
                         ids=["file", "buffer"])
def test_no_copy_of_the_secret_is_in_memory(tmp_path, how, secret):
    found, size = asyncio.run(session(tmp_path, secret, how))
    assert size > 20_000_000
    log = (tmp_path / "log").read_text()
    assert "    tick = Decimal" in log, "a traceback with its variables"
    assert found == set()


@linux
def test_a_copy_would_be_found(tmp_path):
    """A str stays, in Python's memory: the search sees it."""
    found, _ = asyncio.run(session(tmp_path, SHORT, "str"))
    assert {"secret from 0", "secret from 12"} <= found
    assert not any(name.startswith(("inner", "outer")) for name in found), (
        "not even then are the pads left")


# -- where it comes from ---------------------------------------------------------------------------

def test_a_file_is_read_without_its_white_space(tmp_path):
    file = tmp_path / "secret"
    for text in ("abc", "abc\n", " \tabc\r\n\n"):
        file.write_text(text)
        file.chmod(0o600)
        assert bytes(read_secret(file)) == b"abc"
        key, secret = from_environ({"MEXC_API_KEY": "k", "MEXC_API_SECRET_FILE": str(file)})
        assert key == "k" and bytes(secret) == b"abc"
        assert mx.Signer("k", secret).sign(1_700_000_000_000) == mx.Signer(
            "k", "abc").sign(1_700_000_000_000)
        assert not any(secret)


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="no owners here")
def test_a_file_must_be_its_owners_alone(tmp_path):
    file = tmp_path / "secret"
    file.write_text("very-secret")
    for mode in (0o640, 0o604, 0o660, 0o601):
        file.chmod(mode)
        with pytest.raises(mx.ConfigError, match="0600") as caught:
            read_secret(file)
        assert "very-secret" not in str(caught.value)


@pytest.mark.parametrize("text", ["", " \n", "x" * (MOST_BYTES + 1)])
def test_a_file_that_holds_no_secret(tmp_path, text):
    file = tmp_path / "secret"
    file.write_text(text)
    file.chmod(0o600)
    with pytest.raises(mx.ConfigError, match="allowed: a secret"):
        read_secret(file)
    with pytest.raises(mx.ConfigError, match="No such file"):
        read_secret(tmp_path / "none")


@pytest.mark.parametrize(("values", "says"), [
    ({}, "MEXC_API_KEY is missing"), ({"MEXC_API_KEY": "k"}, "MEXC_API_SECRET_FILE"),
    ({"MEXC_API_SECRET": "s"}, "MEXC_API_KEY is missing"),
    ({"MEXC_API_KEY": "k", "MEXC_API_SECRET": "very-secret", "MEXC_API_SECRET_FILE": "f"},
     "one of them")])
def test_what_the_environment_lacks_is_named(values, says):
    with pytest.raises(mx.ConfigError, match=says) as caught:
        from_environ(values)
    assert "very-secret" not in str(caught.value)


def test_a_buffer_is_wiped_whatever_happens():
    for key, bad in (("mx", b"hidden\n"), ("", b"hidden"), ("a b", b"hidden"), (None, b"hidden")):
        buffer = bytearray(bad)
        with pytest.raises(mx.ConfigError) as caught:
            mx.Signer(key, buffer)
        assert not any(buffer) and "hidden" not in repr(caught.value)
    with pytest.raises(mx.ConfigError, match="zero byte"):
        mx.Signer("mx", buffer)
    for bad in (b"hidden", memoryview(b"hidden"), memoryview(bytearray(b"hidden"))[::2], 5):
        with pytest.raises(mx.ConfigError, match="writable buffer") as caught:
            mx.Signer("mx", bad)
        assert "hidden" not in str(caught.value) and caught.value.__context__ is None


# -- no core ---------------------------------------------------------------------------------------

@linux
@pytest.mark.parametrize("forbidden", [True, False])
def test_a_core_file_can_be_forbidden(forbidden):
    code = (
        "import ctypes, os, resource, mexcfast as mx\n"
        "resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(4)[1]))\n"
        "async def main():\n"
        "    print(ctypes.CDLL(None).prctl(3, 0, 0, 0, 0), resource.getrlimit(4)[1] == 0)\n"
        f"mx.run(main(), no_core={forbidden})\n")
    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True,
                          timeout=60, env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)})
    assert done.returncode == 0, done.stderr
    dumpable, limited = done.stdout.split()
    assert dumpable == ("0" if forbidden else "1")
    assert not forbidden or limited == "True"

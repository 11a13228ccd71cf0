"""The command line as a person meets it: exit codes, plain output, Ctrl-C, nothing left behind."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

from children import deadline

# -P: the package under test, not whatever lies in the current directory
MEXCFAST = [sys.executable, "-P", "-m", "mexcfast.cli"]

def python(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-P", *arguments], capture_output=True, text=True,
                          timeout=90)


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return python("-m", "mexcfast.cli", *arguments)


def processes_marked(mark: str) -> list[int]:
    """Commands of ours with this mark in their environment."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                command = (entry / "cmdline").read_bytes().split(b"\0")
                environment = (entry / "environ").read_bytes()
            except OSError:
                continue
            if b"mexcfast.cli" in command and f"MARK={mark}".encode() in environment:
                found.append(int(entry.name))
    return found


def test_the_demo_proves_its_claims_in_plain_text() -> None:
    done = run("demo", "--seconds", "0.5")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "What was proven" in done.stdout and "divergences: 0" in done.stdout
    assert "LIVE -> REPAIRING -> LIVE" in done.stdout
    assert "\x1b" not in done.stdout and "NO" not in done.stdout.split()


def test_the_demo_fails_when_a_claim_does_not_hold() -> None:
    """The judge is asked about a wrong version: the comparison must notice."""
    program = (
        "import sys\n"
        "from mexcfast.cli import sim\n"
        "real = sim.ChildExchange.control\n"
        "async def wrong(self, path, **body):\n"
        "    data = await real(self, path, **body)\n"
        "    if path.startswith('book/ETH_USDT'):\n"
        "        data['bids'][3][1] += 1\n"
        "    return data\n"
        "sim.ChildExchange.control = wrong\n"
        "sys.argv = ['mexcfast', 'demo', '--seconds', '0.5']\n"
        "from mexcfast.cli import main\n"
        "main()\n")
    done = python("-c", program)
    assert done.returncode == 1
    assert "NOT everything held" in done.stdout and "divergences: 1" in done.stdout


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_nothing_is_left_behind(how: signal.Signals) -> None:
    mark = f"{os.getpid()}-{how}"
    process = subprocess.Popen([*MEXCFAST, "demo", "--seconds", "30"], stdout=subprocess.PIPE,
                               text=True, env={**os.environ, "MARK": mark})
    assert process.stdout is not None
    with deadline(process):
        for line in process.stdout:
            if "measuring" in line:
                break
        assert len(processes_marked(mark)) == 2
        process.send_signal(how)
        code = process.wait()
    process.stdout.close()
    assert code == (130 if how is signal.SIGINT else -signal.SIGKILL)
    ends = time.monotonic() + 30
    while processes_marked(mark) and time.monotonic() < ends:
        time.sleep(0.02)
    assert not processes_marked(mark)


def test_watch_shows_books_in_plain_text() -> None:
    done = run("watch", "BTC_USDT", "ETH_USDT", "--sim", "--seconds", "1.5")
    assert done.returncode == 0, done.stderr
    assert "BTC_USDT SYNCING -> LIVE" in done.stdout and "ETH_USDT LIVE" in done.stdout


@pytest.mark.parametrize("command", ["watch", "record"])
def test_metrics_are_served_while_a_command_runs(command: str, tmp_path: Path) -> None:
    more = ["-o", str(tmp_path / "tape")] if command == "record" else []
    with subprocess.Popen([*MEXCFAST, command, "BTC_USDT", "--sim", "--metrics", "0", *more],
                          stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            url = next(line.split()[-1] for line in process.stdout if "metrics at" in line)
            assert url.startswith("http://127.0.0.1:")
            with urllib.request.urlopen(url, timeout=60) as answer:
                text = answer.read().decode()
        finally:
            process.send_signal(signal.SIGINT)
            process.communicate(timeout=60)
    assert 'mexcfast_books{state="live"}' in text and "mexcfast_frames_total" in text


def test_a_port_that_is_taken_is_named_in_one_line() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        done = run("watch", "BTC_USDT", "--endpoint", "http://127.0.0.1:9", "--metrics", str(port))
    assert done.returncode == 1 and f"port {port} of 127.0.0.1 cannot be had" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(("arguments", "code", "says"), [
    (["watch", "btc_usdt", "--sim"], 1, "upper case"),
    (["watch", "BTC_USDT", "--endpoint", "ftp://nowhere"], 1, "ftp://nowhere"),
    (["watch", "BTC_USDT", "--sim", "--endpoint", "http://127.0.0.1:9"], 2, "exclude"),
    (["sim", "--port", "70000"], 2, "port"),
    (["sim", "--port", "0", "--symbols", "NOPE"], 1, "NOPE"),
    (["sim", "--port", "0", "--replay", "nowhere.jsonl"], 1, "nowhere.jsonl"),
    (["sim", "--replay", "a", "--script", "b"], 2, "exclude"),
    (["paper", "BTC_USDT"], 2, "what to mirror"),
    (["paper", "BTC_USDT", "--endpoint", "http://127.0.0.1:9"], 1, "does not answer"),
    (["demo", "--rate", "1"], 2, "rate"),
])
def test_bad_input_is_named_in_one_line(arguments: list[str], code: int, says: str) -> None:
    done = run(*arguments)
    assert done.returncode == code, done.stdout + done.stderr
    assert says in done.stderr and "Traceback" not in done.stderr


def test_sim_prints_its_addresses_and_ends_on_sigterm() -> None:
    process = subprocess.Popen([*MEXCFAST, "sim", "--port", "0", "--json"], stdout=subprocess.PIPE,
                               text=True)
    assert process.stdout is not None
    with deadline(process):
        told = json.loads(process.stdout.readline())
        process.terminate()
        assert process.wait() == 0
    process.stdout.close()
    assert told["rest_url"].startswith("http://127.0.0.1:") and told["ws_url"].endswith("/edge")


def test_a_missing_extra_is_named() -> None:
    program = ("import sys\nsys.modules['typer'] = None\n"
               "from mexcfast.cli import main\nmain()\n")
    done = python("-c", program)
    assert done.returncode == 1
    assert "mexcfast[cli]" in done.stderr and "Traceback" not in done.stderr

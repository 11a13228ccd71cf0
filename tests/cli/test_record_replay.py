"""`mexcfast record` and `mexcfast replay` as a person meets them."""

from __future__ import annotations

import gzip
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from children import deadline

MEXCFAST = [sys.executable, "-P", "-m", "mexcfast.cli"]


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*MEXCFAST, *arguments], capture_output=True, text=True, timeout=90)


@pytest.fixture(scope="module")
def tape(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two contracts of the embedded exchange, ended by Ctrl-C."""
    path = tmp_path_factory.mktemp("tape") / "monday"
    process = subprocess.Popen([*MEXCFAST, "record", "BTC_USDT", "ETH_USDT", "--sim", "-o",
                                str(path)], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                               text=True)
    assert process.stdout is not None and process.stderr is not None
    lines = []
    with deadline(process):
        for line in process.stdout:
            lines.append(line)
            live = {name for name in ("BTC_USDT LIVE", "ETH_USDT LIVE") if name in "".join(lines)}
            if len(live) == 2 and sum(" lost" in each for each in lines) >= 2:
                break
        process.send_signal(signal.SIGINT)
        rest, errors = process.communicate()
    assert process.returncode == 0, errors
    assert not errors and "\x1b" not in "".join(lines)
    assert " 0 lost" in rest and f"mexcfast replay {path}" in rest
    return path


def test_a_replay_says_what_is_on_the_tape(tape: Path) -> None:
    done = run("replay", str(tape))
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.rstrip().endswith("whole") and "\x1b" not in done.stdout
    assert "0 records lost while recording, 0 damaged places" in done.stdout
    assert "BTC_USDT version" in done.stdout and "ETH_USDT version" in done.stdout
    told = json.loads(run("replay", str(tape), "--json").stdout)
    assert told["whole"] and told["frames"] > 10 and told["lost"] == 0
    assert told["books"]["BTC_USDT"]["hash"] in done.stdout
    slow = run("replay", str(tape), "--speed", "20")
    assert slow.returncode == 0 and told["books"]["ETH_USDT"]["hash"] in slow.stdout


def test_a_recording_of_nothing_is_not_offered_for_playing(tmp_path: Path) -> None:
    done = run("record", "BTC_USDT", "-o", str(tmp_path / "tape"), "--endpoint",
               "http://127.0.0.1:1", "--seconds", "1.5")
    assert done.returncode == 1 and done.stdout.rstrip().endswith("nothing came")
    assert "mexcfast replay" not in done.stdout


def test_frames_are_exported(tape: Path, tmp_path: Path) -> None:
    target = tmp_path / "lines.gz"
    done = run("replay", str(tape), "--json", "--export", str(target))
    assert done.returncode == 0, done.stderr
    lines = gzip.decompress(target.read_bytes()).decode().splitlines()
    assert len(lines) == json.loads(done.stdout)["frames"]
    assert all(line[:19].isdigit() and line[19] == " " for line in lines)
    assert any(json.loads(line[20:]).get("channel") == "push.depth" for line in lines)
    again = run("replay", str(tape), "--export", str(target))
    assert again.returncode == 1 and "exists already" in again.stderr


def test_a_cut_tape_is_played_as_far_as_it_goes_and_fails(tape: Path, tmp_path: Path) -> None:
    (source,) = tape.iterdir()
    data = source.read_bytes()
    path = tmp_path / source.name
    path.write_bytes(data[:len(data) - 200])
    done = run("replay", str(path))
    assert done.returncode == 1
    assert "NOT whole" in done.stdout and "damaged: " in done.stdout and "cut in" in done.stdout


def test_it_records_for_some_seconds_in_a_dumb_terminal(tmp_path: Path) -> None:
    done = subprocess.run([*MEXCFAST, "record", "BTC_USDT", "--sim", "--seconds", "1", "-o",
                           str(tmp_path / "x")], capture_output=True, text=True, timeout=60,
                          env={**os.environ, "TERM": "dumb"})
    assert done.returncode == 0 and "Traceback" not in done.stderr
    assert "frames" in done.stdout


@pytest.mark.parametrize(("arguments", "code", "says"), [
    (["replay", "nowhere"], 1, "nowhere: no such file"),
    (["replay", "."], 1, "holds no .tape file"),
    (["replay", __file__], 1, "no tape"),
    (["replay", "nowhere", "--speed", "0"], 1, "speed is 0"),
    (["record"], 2, "symbols"),
    (["record", "btc_usdt", "--sim"], 1, "upper case"),
    (["record", "BTC_USDT", "--sim", "--endpoint", "http://127.0.0.1:9"], 2, "exclude"),
    (["record", "NOPE_USDT", "--endpoint", "http://127.0.0.1:9", "-o", __file__], 1,
     "cannot record here")])
def test_bad_input_is_named_in_one_line(arguments: list[str], code: int, says: str) -> None:
    done = run(*arguments)
    assert done.returncode == code, done.stdout + done.stderr
    assert says in done.stderr and "Traceback" not in done.stderr

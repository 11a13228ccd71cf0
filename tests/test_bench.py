"""bench/: it runs, and checks its answers before it times them. Speed is not judged here."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "bench"))

import frames  # noqa: E402
import micro  # noqa: E402


def test_the_stream_is_the_same_every_time():
    one, other = frames.make_stream(50, 40), frames.make_stream(50, 40)
    assert (one.snapshot, one.frames) == (other.snapshot, other.frames)
    assert one.frames != frames.make_stream(50, 40, seed=8).frames


def test_the_stream_looks_as_described():
    stream = frames.make_stream(2_000)
    levels = [json.loads(frame)["data"] for frame in stream.frames]
    counts = [len(data["asks"]) + len(data["bids"]) for data in levels]
    assert 270 <= stream.bytes_per_frame <= 300
    assert 8.0 <= sum(counts) / len(counts) <= 9.0
    assert min(counts) >= 1
    assert 900 <= len(stream.bids) <= 1_100 and 900 <= len(stream.asks) <= 1_100
    assert max(stream.bids) < min(stream.asks)


def test_answers_are_checked():
    stream = frames.make_stream(60, 50)
    micro.check_answers(stream)
    stream.bids[max(stream.bids)] += 1
    with pytest.raises(AssertionError, match="generator"):
        micro.check_answers(stream)


@pytest.mark.parametrize("command", [
    ["bench/micro.py", "--frames", "60", "--levels", "50", "--repeats", "1"],
    ["bench/frames.py"],
])
def test_the_commands_run(command):
    done = subprocess.run([sys.executable, *command], cwd=ROOT, capture_output=True, text=True,
                          env=dict(os.environ), timeout=300)
    assert done.returncode == 0, done.stderr
    assert "frames" in done.stdout
    if "micro" in command[0]:
        assert "| mexcfast parse + apply |" in done.stdout


@pytest.mark.parametrize("more", [[], ["--tls"]], ids=["plain", "tls"])
def test_orders_are_answered_before_they_are_timed(more):
    done = subprocess.run([sys.executable, "bench/orders.py", "--requests", "20", "--repeats", "1",
                           *more], cwd=ROOT, capture_output=True, text=True, env=dict(os.environ),
                          timeout=300)
    assert done.returncode == 0, done.stderr
    for row in ("bare protocol, uvloop", "executor, lane", "orders.submit, aiohttp path"):
        assert f"| {row} |" in done.stdout

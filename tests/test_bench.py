"""bench/: it runs, and checks its answers before it times them. Speed is not judged here."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "bench"))

import frames  # noqa: E402
import memory  # noqa: E402
import micro  # noqa: E402
import rivals  # noqa: E402


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


def test_a_rival_that_is_missing_or_another_version_is_named(monkeypatch):
    monkeypatch.setitem(rivals.PINNED, "msgspec", ("msgspec", "0.0.1"))
    monkeypatch.setitem(rivals.PINNED, "order-book", ("order_book", "0.0.1"))
    found, missing = rivals.available()
    assert "json + dict" in found and "msgspec typed + dict" not in found
    assert [reason for reason in missing if "pip install msgspec==0.0.1" in reason
            and reason.startswith("msgspec typed + dict is not measured")]
    assert len(found) + len(missing) == len(rivals.RIVALS)


def test_rivals_are_pinned_once():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted = {f"{name}=={number}" for name, (_, number) in rivals.PINNED.items()}
    assert set(project["optional-dependencies"]["bench"]) == wanted


def test_ratios_are_taken_from_the_fastest_rival():
    times = {micro.OURS: [3.0, 2.0], micro.OURS_TOP: [4.0], micro.ORJSON: [9.0, 8.0],
             "orjson + sortedcontainers" + micro.TOP: [40.0],
             "orjson + ccxt OrderBook" + micro.TOP: [36.0]}
    rows = {row["what"]: row for row in micro.ratios(times)}
    assert rows["against orjson.loads of the frame, no book"]["ratio"] == 4.0
    assert rows["top read each frame, against the best rival at that"]["ratio"] == 9.0
    assert rows["against msgspec + dict"]["ratio"] is None


def test_frames_allocate_nothing_that_stays():
    """The steady state of many books: no collection, no byte more of C's or Python's memory."""
    found = memory.measure(books=20, levels=200, frames=4_000, repeats=3, storage="auto")
    assert found["ladder_sides"] == 40
    assert (found["gc_passes"], found["python_bytes_more"], found["c_bytes_more"]) == (0, 0, 0)
    assert found["python_peak"] < 500, "a tuple or two in between, nothing per level"


@pytest.mark.parametrize("command", [
    ["bench/micro.py", "--frames", "60", "--levels", "50", "--repeats", "1"],
    ["bench/frames.py"],
    ["bench/memory.py", "--books", "5", "--levels", "100", "--frames", "400"],
])
def test_the_commands_run(command):
    done = subprocess.run([sys.executable, *command], cwd=ROOT, capture_output=True, text=True,
                          env=dict(os.environ), timeout=300)
    assert done.returncode == 0, done.stderr
    assert "frames" in done.stdout
    if "micro" in command[0]:
        assert "| mexcfast parse + check + apply |" in done.stdout


@pytest.mark.parametrize("more", [[], ["--tls"]], ids=["plain", "tls"])
def test_orders_are_answered_before_they_are_timed(more):
    done = subprocess.run([sys.executable, "bench/orders.py", "--requests", "20", "--repeats", "1",
                           *more], cwd=ROOT, capture_output=True, text=True, env=dict(os.environ),
                          timeout=300)
    assert done.returncode == 0, done.stderr
    for row in ("bare protocol, uvloop", "executor, lane", "orders.submit, aiohttp path"):
        assert f"| {row} |" in done.stdout

"""The fuzz targets, bounded and seeded, and every failure they ever found."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

import fuzz_frame  # noqa: E402
import fuzz_http  # noqa: E402
import fuzz_rest  # noqa: E402
from mutate import answers, frames  # noqa: E402

from mexcfast.core.rest import BY_NAME  # noqa: E402

FRAMES = sorted((HERE / "examples").glob("frame-*.json"))
ANSWERS = sorted((HERE / "examples").glob("rest-*.txt"))


@pytest.mark.parametrize("path", FRAMES, ids=lambda path: path.stem)
def test_frame_example(path):
    fuzz_frame.check(path.read_bytes())


@pytest.mark.parametrize("path", ANSWERS, ids=lambda path: path.stem)
def test_rest_example(path):
    name, status, body = path.read_bytes().split(b" ", 2)
    fuzz_rest.check(BY_NAME[name.decode()], int(status), body)


def test_examples_are_read_from_the_files():
    assert len(FRAMES) >= 16 and len(ANSWERS) >= 6


def test_every_sample_whole_and_cut_at_every_offset():
    for frame in frames():
        assert fuzz_frame.check(frame)
        for stop in range(len(frame)):
            assert fuzz_frame.check(frame[:stop]).startswith(("refused by both", "gzip"))


def test_every_answer_cut_anywhere():
    for body in answers():
        for stop in range(0, len(body), 1 + len(body) // 50):
            for name in ("create", "cancel", "orders", "contracts", "depth"):
                fuzz_rest.check(BY_NAME[name], 200, body[:stop])


def test_frames_bounded():
    seen = fuzz_frame.run(runs=60_000, seconds=0, seed=1)
    assert sum(seen.values()) == 60_000
    # The mutator reaches deep: accepted frames, applied books, and each reason to refuse.
    assert {"Depth", "Tickers", "refused by both", "NaN or Infinity", "invalid UTF-8",
            "a level that is none", "a member whose type or size does not fit",
            "nested deeper than 64 levels"} <= set(seen)


def test_answers_bounded():
    seen = fuzz_rest.run(runs=40_000, seconds=0, seed=1)
    assert sum(seen.values()) == 40_000
    assert {"result", "result/Accepted", "BadAnswer", "BadAnswer/Unknown"} <= set(seen)
    assert any(name.endswith("/Rejected") for name in seen)


def test_a_run_can_be_repeated():
    assert fuzz_frame.run(500, 0, 3) == fuzz_frame.run(500, 0, 3)


def test_http_answers_bounded():
    seen = fuzz_http.run(runs=20_000, seconds=0, seed=1)
    assert sum(seen.values()) == 20_000
    assert {"answer", "more", "bad"} == set(seen)
    assert fuzz_http.run(300, 0, 3) == fuzz_http.run(300, 0, 3)

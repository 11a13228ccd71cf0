"""No hidden Python in the hot functions: `cython -a` is read back and its yellow lines are counted.

A line's score says how much of Python's C API its generated C calls. Functions declared nogil score
nothing anywhere; the few others on the way of every depth frame have their yellow lines named here,
with the reason why they may stay.
"""

from __future__ import annotations

import re
import runpy
import subprocess
import sys
from pathlib import Path

import pytest
import setuptools

ROOT = Path(__file__).parents[1]
CORE = ROOT / "mexcfast" / "core"
HOT = ("ticks", "scan", "frame", "shape", "side", "book", "depth", "sign", "http1",
       "steps", "ack")
FUNCTION = re.compile(
    r"^( *)c?p?def (?:inline )?[^=\n]*?(\w+)\((?:[^()]|\([^()]*\))*\)([^:\n]*):", re.M)
LINE = re.compile(r'<pre class="cython line score-(\d+)"[^>]*>(?:<[^>]*>)*\+?(?:<[^>]*>)*(\d+)')

#: Functions with Python in them that every applied frame passes: their yellow lines, and why.
ALLOWED = {
    "apply_message": ("return self._", "self._apply_levels(", "if self._keep(",
                      "try:", "except FrameError:", "raise"),    # costs two loads and two stores
    "_apply_levels": ("raise ",),         # only when it fails
    "_commit": (),
    "_crossing": (),
}


@pytest.fixture(scope="module")
def scores(tmp_path_factory):
    """room -> {line number: score}, as the release build's directives give it."""
    work = tmp_path_factory.mktemp("annotated")
    patch = pytest.MonkeyPatch()
    patch.setattr(setuptools, "setup", lambda **kwargs: None)
    patch.setenv("MEXCFAST_BUILD", "release")
    patch.chdir(ROOT)
    directives = runpy.run_path(str(ROOT / "setup.py"))["DIRECTIVES"]
    patch.undo()
    flags = [part for name, value in directives.items() for part in ("-X", f"{name}={value}")]
    found = {}
    for room in HOT:
        done = subprocess.run(
            [sys.executable, "-m", "cython", "-3", "-a", *flags, "-o", str(work / f"{room}.c"),
             f"mexcfast/core/{room}.pyx"], cwd=ROOT, capture_output=True, text=True,
            timeout=600)
        assert done.returncode == 0, done.stderr
        html = (work / f"{room}.html").read_text(encoding="utf-8")
        found[room] = {int(line): int(score) for score, line in LINE.findall(html)}
        assert len(found[room]) > 50, room
    return found


def functions(room):
    """(name, what follows its arguments, first line of the body, line after it)."""
    text = (CORE / f"{room}.pyx").read_text(encoding="utf-8")
    lines = text.splitlines()
    for match in FUNCTION.finditer(text):
        indent = len(match[1])
        first = text.count("\n", 0, match.end()) + 1      # the line of the closing colon
        last = first
        while last < len(lines) and (not lines[last].strip() or
                                     len(lines[last]) - len(lines[last].lstrip()) > indent):
            last += 1
        yield match[2], match[3], first + 1, last + 1


def yellow(scores, room, start, stop):
    text = (CORE / f"{room}.pyx").read_text(encoding="utf-8").splitlines()
    return [f"{line}: {text[line - 1].strip()}" for line in range(start, stop)
            if scores[room].get(line, 0) > 0]


@pytest.mark.parametrize("room", HOT)
def test_functions_without_the_lock_touch_no_python(scores, room):
    seen = 0
    for name, tail, start, stop in functions(room):
        if "nogil" in tail and "with gil" not in tail:
            seen += 1
            assert yellow(scores, room, start, stop) == [], name
    assert seen >= 1


def test_the_hot_functions_are_among_them():
    """Renaming or unmarking one must not make the test above look at nothing."""
    wanted = {
        "scan": {"scan_string", "scan_number", "scan_value", "scan_nested"},
        "frame": {"parse", "_object", "_rows", "_level", "_levels", "_slot", "_keep", "_check",
                  "_check_depth", "plain_level", "look_up", "number_of"},
        "shape": {"level_at", "read_levels", "read_integer", "read_symbol", "is_same", "next_piece",
                  "read_shape", "learn_shape"},
        "side": {"find", "put_level", "side_put", "side_settle", "side_choose", "side_get",
                 "side_reserve", "move_window", "place_of"},
        "book": {"put_all", "prepare", "reserve", "is_crossed", "copy_levels"},
        "ticks": {"fixed_from_text", "rescale"},
        "sign": {"write_millis", "write_hex", "close_blocks"},
        "http1": {"_read", "_header", "_status_line"},
        "steps": {"read_plain", "divides"},
        "ack": {"read_plain", "takes", "digits"},
    }
    for room, names in wanted.items():
        marked = {name for name, tail, _, _ in functions(room) if "noexcept nogil" in tail}
        assert names <= marked, (room, names - marked)


def test_the_way_of_an_applied_frame_is_as_yellow_as_agreed(scores):
    seen = set()
    for name, _, start, stop in functions("depth"):
        if name in ALLOWED:
            seen.add(name)
            extra = [line for line in yellow(scores, "depth", start, stop)
                     if not any(part in line for part in ALLOWED[name])]
            assert extra == [], name
    assert seen == set(ALLOWED)

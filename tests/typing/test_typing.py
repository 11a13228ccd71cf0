"""Stubs: they say what the compiled rooms are, and mypy is content with us and with users."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

import mexcfast

ROOT = Path(__file__).parents[2]
COMPILED = sorted(".".join(path.relative_to(ROOT).with_suffix("").parts)
                  for path in (ROOT / "mexcfast").rglob("*.pyx"))
# Cython's own, on every module or class; nothing else may differ from its stub.
ALLOWED = r"""
mexcfast\..*\.__(reduce|setstate)_cython__
mexcfast\..*\.__(reduce|setstate)__
mexcfast\..*\.__pyx_(vtable|capi)__
mexcfast\..*\.__test__
"""


def run(*command: str, tmp: Path) -> subprocess.CompletedProcess[str]:
    """One tool on the sources' types and the tested package's modules; tmp: where it may write."""
    tested = str(Path(mexcfast.__file__).parents[1])
    path = os.pathsep.join([tested, *filter(None, [os.environ.get("PYTHONPATH")])])
    env = os.environ | {"MYPYPATH": str(ROOT), "PYTHONPATH": path, "PYTHONWARNINGS": "ignore",
                        "MYPY_CACHE_DIR": str(tmp)}
    # not from the checkout: its mexcfast holds no compiled module
    return subprocess.run([sys.executable, "-P", "-m", *command], cwd=tmp, capture_output=True,
                          text=True, env=env, timeout=900)


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    pytest.importorskip("mypy")
    return tmp_path_factory.mktemp("mypy")


def test_the_stub_of_events_is_the_tables():
    spec = importlib.util.spec_from_file_location("event_stub", Path(__file__).with_name(
        "event_stub.py"))
    maker = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(maker)
    assert maker.STUB.read_text(encoding="utf-8") == maker.stub(), (
        "core/channels changed: python tests/typing/event_stub.py --write")


def test_every_compiled_room_is_held_to_its_stub():
    assert len(COMPILED) >= 15 and "mexcfast.net.stream" in COMPILED
    assert len(ALLOWED.split()) == 4


def test_stubs_say_what_is_there(cache):
    allowed = cache / "allowed"
    allowed.write_text(ALLOWED)
    # Cython classes with fields cannot share a subclass; Python stubs need not say so.
    known = "--ignore-disjoint-bases" in run("mypy.stubtest", "--help", tmp=cache).stdout
    done = run("mypy.stubtest", *COMPILED, "--allowlist", str(allowed), "--ignore-unused-allowlist",
               *(["--ignore-disjoint-bases"] if known else []), tmp=cache)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_package_is_strictly_typed(cache):
    # the settings say which frameworks need not be there
    done = run("mypy", "--config-file", str(ROOT / "pyproject.toml"), "--strict", "-p", "mexcfast",
               tmp=cache)
    assert done.returncode == 0, done.stdout


def test_a_users_code_is_strictly_typed(cache):
    done = run("mypy", "--strict", str(ROOT / "tests/typing/user_example.py"), tmp=cache)
    assert done.returncode == 0, done.stdout


def test_examples_are_strictly_typed(cache):
    programs = sorted(map(str, (ROOT / "examples").glob("*.py")))
    assert len(programs) >= 5
    done = run("mypy", "--strict", *programs, tmp=cache)
    assert done.returncode == 0, done.stdout


def test_a_users_mistake_is_seen(cache, tmp_path):
    wrong = tmp_path / "wrong.py"
    wrong.write_text("from mexcfast.core.events import Deal, parse_frame\n"
                     "x: float = Deal().price\n"
                     "parse_frame(5)\n"
                     "parse_frame(b'').symbol = 'x'\n"
                     "Deal().pirce\n")
    done = run("mypy", "--strict", str(wrong), tmp=cache)
    assert [line.rsplit("[", 1)[-1] for line in done.stdout.splitlines()[:-1]] == [
        "assignment]", "arg-type]", "misc]", "attr-defined]"], done.stdout

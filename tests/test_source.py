"""The source itself: imports go down only, the core stays pure, compiled rooms have stubs."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import mexcfast

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "mexcfast"
CEILING = 800      # lines of a room

# Lower rooms may be imported by higher ones, never the reverse (design.md 3).
LAYERS = {"errors": 0, "types": 0, "conditional": 0, "statements": 0, "core": 1, "net": 2,
          "feeds": 2, "keys": 2, "metrics": 3, "tape": 3, "client": 3, "rehearsal": 3, "runtime": 3,
          "watchdog": 3, "sim": 3, "gateway": 4, "adapters": 4, "cli": 4, "__main__": 5}
IMPURE = {"asyncio", "socket", "time", "random", "datetime", "os", "threading", "picows", "aiohttp",
          "uvloop", "subprocess", "secrets", "uuid"}
PUBLIC = {"errors", "types", *dir(mexcfast)}       # what adapters may import of mexcfast
BUILDS_ON = {"freqtrade": "ccxt"}                  # the only adapter over another: it runs on ccxt
C_IMPORT = re.compile(r"^[ \t]*from[ \t]+([\w.]+)[ \t]+c?import[ \t]+(\([^)]*\)|[^\n]*)|"
                      r"^[ \t]*c?import[ \t]+([\w., \t]+)", re.MULTILINE)
C_ONLY = re.compile(r"^[ \t]*(?:from[ \t]+([\w.]+)[ \t]+cimport|cimport[ \t]+([\w.]+))",
                    re.MULTILINE)
MACHINE_PATH = re.compile(r"(?<![\w.:/])/(?:home|root|Users|tmp|work)/[\w.-]+")


def compiled_imports(text: str) -> Iterator[str]:
    """Modules that Cython text imports or cimports, with what is taken from them."""
    text = re.sub(r'"""(?:.|\n)*?"""', '""', text)
    for match in C_IMPORT.finditer(text):
        module, names, plain = match.groups()
        if plain:
            yield from (name.split(" as ")[0].strip() for name in plain.split(","))
            continue
        yield module
        for name in re.findall(r"[\w.]+", re.sub(r"#[^\n]*", "", names)):
            yield f"{module}.{name}"


def python_imports(text: str) -> Iterator[str]:
    """The same for Python, wherever the import stands."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative imports hide where they lead"
            module = node.module or ""
            yield module
            yield from (f"{module}.{name.name}" for name in node.names)


def imports_of(path: str, text: str) -> set[str]:
    return set(python_imports(text) if path.endswith(".py") else compiled_imports(text))


def room_of(module: str) -> str | None:
    """The layer a dotted name of ours lies in; None for others."""
    parts = module.split(".")
    return parts[1] if parts[0] == "mexcfast" and len(parts) > 1 else None


def may_adapt(adapter: str, module: str) -> bool:
    """Whether an adapter may import this module or name of ours."""
    _, first, *rest = module.split(".")
    if first == "adapters":
        return not rest or rest[0] in (adapter, BUILDS_ON.get(adapter))
    return first in PUBLIC


def faults_of(path: str, text: str) -> list[str]:
    """What is wrong with one file; path as in mexcfast/core/x.py."""
    found = []
    parts = Path(path).with_suffix("").parts[1:]
    room = parts[0]
    if room == "__init__":
        return found                       # the public names, from wherever they are
    if room not in LAYERS:
        return [f"{path}: {room} has no place in LAYERS"]
    imported = imports_of(path, text)
    for module in sorted(imported):
        other = room_of(module)
        if other in LAYERS and LAYERS[other] > LAYERS[room]:
            found.append(f"{path}: imports {module}, which lies above")
        if room == "sim" and other in ("core", "net", "client"):
            found.append(f"{path}: the simulator is a reading of its own, it imports {module}")
        if room == "adapters" and other is not None and not may_adapt(parts[1], module):
            found.append(f"{path}: imports {module}; an adapter takes public names of mexcfast")
        if LAYERS[room] <= LAYERS["core"] and module.split(".")[0] in IMPURE:
            found.append(f"{path}: {module} in a room without I/O, clock or chance")
    cimported = {a or b for a, b in C_ONLY.findall(text)} if not path.endswith(".py") else set()
    if any(name.split(".")[0] == "picows" for name in cimported) and path != (
            "mexcfast/net/stream.pyx"):
        found.append(f"{path}: cimports picows; only net/stream.pyx may")
    if text.count("\n") > CEILING:
        found.append(f"{path}: {text.count(chr(10))} lines; allowed: {CEILING}")
    return found


def sources() -> list[Path]:
    return sorted(path for suffix in ("*.py", "*.pyx", "*.pxd") for path in PACKAGE.rglob(suffix))


def test_imports_go_down_only():
    found = []
    for path in sources():
        found += faults_of(path.relative_to(ROOT).as_posix(), path.read_text(encoding="utf-8"))
    assert not found, "\n".join(found)


def test_every_compiled_room_has_a_stub_and_a_header():
    for pyx in PACKAGE.rglob("*.pyx"):
        assert pyx.with_suffix(".pyi").exists(), f"{pyx.name} has no stub"
    for pxd in PACKAGE.rglob("*.pxd"):
        assert pxd.stem == "__init__" or pxd.with_suffix(".pyx").exists(), f"{pxd.name}: of what?"
    for pyi in PACKAGE.rglob("*.pyi"):
        assert pyi.stem == "__init__" or pyi.with_suffix(".pyx").exists(), f"{pyi.name}: of what?"
    assert (PACKAGE / "py.typed").exists()


def test_packages_that_can_be_cimported():
    for folder in {path.parent for path in PACKAGE.rglob("*.pxd")}:
        assert (folder / "__init__.pxd").exists(), f"{folder.name} has no __init__.pxd"


def texts() -> Iterator[Path]:
    folders = (PACKAGE, ROOT / "tests", ROOT / "bench")
    for folder in folders:
        yield from (path for suffix in ("*.py", "*.pyx", "*.pxd", "*.pyi", "*.md", "*.jsonl",
                                        "*.toml", "*.yml") for path in folder.rglob(suffix))
    for suffix in ("*.py", "*.md", "*.toml", "*.yml"):
        yield from ROOT.glob(suffix)


def test_no_machine_paths():
    for path in texts():
        if path != Path(__file__):
            found = MACHINE_PATH.search(path.read_text(encoding="utf-8"))
            assert found is None, f"{path.relative_to(ROOT)}: {found.group()}"


@pytest.mark.parametrize("path, text", [
    ("mexcfast/core/x.py", "from mexcfast.net.pool import Pool"),
    ("mexcfast/core/x.py", "import mexcfast.net.pool as p"),
    ("mexcfast/core/x.py", "def f():\n    from mexcfast import net"),
    ("mexcfast/core/x.py", "import json, time"),
    ("mexcfast/core/x.pyx", "from libc.stdint cimport int64_t\nimport asyncio\n"),
    ("mexcfast/core/x.pyx", "cdef f():\n    import random"),
    ("mexcfast/core/x.pyx", "from mexcfast.net.stream cimport NativeStream"),
    ("mexcfast/core/x.pxd", "from mexcfast cimport net"),
    ("mexcfast/core/x.pxd", "from mexcfast.net cimport (\n    stream,\n)"),
    ("mexcfast/errors.py", "from mexcfast.core.ticks import to_fixed"),
    ("mexcfast/types.py", "import mexcfast.core"),
    ("mexcfast/net/x.py", "from mexcfast.client import Client"),
    ("mexcfast/net/x.pyx", "from picows.picows cimport WSFrame"),
    ("mexcfast/net/x.pxd", "cimport picows"),
    ("mexcfast/sim/x.py", "from mexcfast.core import rest"),
    ("mexcfast/sim/x.py", "import mexcfast.net.clock"),
    ("mexcfast/client.py", "from mexcfast.adapters import ccxt"),
    ("mexcfast/adapters/ccxt/x.py", "from mexcfast.net.pool import Pool"),
    ("mexcfast/adapters/ccxt/x.py", "from mexcfast.core.frame import Message"),
    ("mexcfast/adapters/ccxt/x.py", "from mexcfast.adapters.nautilus import data"),
    ("mexcfast/adapters/nautilus/x.py", "from mexcfast.adapters.ccxt import mexc"),
    ("mexcfast/unheard_of.py", ""),
    ("mexcfast/net/x.py", "\n" * 801),
])
def test_this_test_can_fail(path, text):
    assert faults_of(path, text)


@pytest.mark.parametrize("path, text", [
    ("mexcfast/net/stream.pyx", "from picows.picows cimport WSFrame"),
    ("mexcfast/net/x.py", "import asyncio, time, picows"),
    ("mexcfast/core/x.pyx", '"""\nimport asyncio\n"""\nimport json  # time\n'),
    ("mexcfast/cli/x.py", "from mexcfast.sim import Exchange"),
    ("mexcfast/core/x.py", "from mexcfast.errors import FrameError\nfrom decimal import Decimal"),
    ("mexcfast/adapters/ccxt/x.py", "import mexcfast as mx\nfrom mexcfast import OrderBook"),
    ("mexcfast/adapters/ccxt/x.py", "import ccxt\nfrom mexcfast.adapters.ccxt.wire import Wire"),
    ("mexcfast/adapters/ccxt/x.py", "from mexcfast.errors import MissingExtra"),
    ("mexcfast/adapters/freqtrade/x.py", "from mexcfast.adapters.ccxt import install"),
    ("mexcfast/__init__.py", "from mexcfast.client import Client"),
])
def test_this_test_can_pass(path, text):
    assert faults_of(path, text) == []


def test_machine_paths_are_seen():
    assert MACHINE_PATH.search("open('/home/me/x')") and MACHINE_PATH.search("/tmp/build")
    assert not MACHINE_PATH.search("https://api.mexc.com/api/v1/private/order")

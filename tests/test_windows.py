"""What can be said of Windows without one: what setup.py would do, what the code falls back to.

docs/platforms.md says what has been run and what has not.
"""

from __future__ import annotations

import asyncio
import os
import runpy
import subprocess
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

import mexcfast as mx
from mexcfast import runtime
from mexcfast.net import heart, journal
from mexcfast.net.journal import Journal
from mexcfast.sim import Exchange

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def build() -> dict[str, Any]:
    """setup.py's names; nothing is built."""
    setuptools = pytest.importorskip("setuptools")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(setuptools, "setup", lambda **_: None)
        patch.chdir(ROOT)
        patch.setenv("MEXCFAST_BUILD", "release")
        return runpy.run_path(str(ROOT / "setup.py"))


class Microsoft:
    """As much of setuptools' compiler of type msvc as setup.py touches."""

    compiler_type = "msvc"

    def __init__(self) -> None:
        self.compile_options: list[str] = []
        self.include_dirs: list[str] = []
        self.library_dirs: list[str] = []
        self.cc = ""

    def initialize(self) -> None:
        self.cc = "cl.exe"
        self.compile_options = ["/nologo", "/O2", "/W3", "/GL", "/DNDEBUG", "/MD"]

    def add_include_dir(self, path: str) -> None:
        self.include_dirs.append(path)

    def add_library_dir(self, path: str) -> None:
        self.library_dirs.append(path)


@pytest.fixture
def llvm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An LLVM that holds nothing but names."""
    home = tmp_path / "LLVM"
    library = home / "lib" / "clang" / "20" / "lib" / "windows" / "clang_rt.builtins-x86_64.lib"
    for path in (home / "bin" / "clang-cl", library):
        path.parent.mkdir(parents=True)
        path.touch(0o755)
    monkeypatch.setenv("PATH", str(home / "bin"))
    return library


def test_clang_compiles_and_brings_its_own_library(build: dict[str, Any], llvm: Path) -> None:
    compiler = Microsoft()
    assert [Path(each) for each in build["use_clang"](compiler)] == [llvm.resolve()]
    assert Path(compiler.cc).name == "clang-cl"
    assert "/GL" not in compiler.compile_options and "/MD" in compiler.compile_options


def test_no_clang_and_half_an_llvm_are_named(
        build: dict[str, Any], llvm: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    llvm.unlink()
    with pytest.raises(SystemExit, match=r"no clang_rt\.builtins-x86_64\.lib beside"):
        build["use_clang"](Microsoft())
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.setenv("PROGRAMFILES", "/nowhere")
    with pytest.raises(SystemExit, match="winget install LLVM"):
        build["use_clang"](Microsoft())


def test_flags_and_libraries_are_those_of_the_compiler(
        build: dict[str, Any], llvm: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from setuptools import Distribution, Extension
    from setuptools.command.build_ext import build_ext

    monkeypatch.setattr(build_ext, "build_extensions", lambda self: None)
    monkeypatch.setitem(build["BuildExt"].build_extensions.__globals__, "need",
                        lambda compiler, header, libraries, *names: asked.append(libraries))
    monkeypatch.setenv("OPENSSL_DIR", "somewhere")
    for compiler, crypto in ((Microsoft(), "libcrypto"), (SimpleNamespace(
            compiler_type="unix", add_include_dir=print, add_library_dir=print), "crypto")):
        asked: list[list[str]] = []
        command = build["BuildExt"](Distribution())
        command.compiler = compiler
        command.extensions = [
            Extension(name, [], extra_compile_args=build["COMPILE"], extra_link_args=build["LINK"])
            for name in ("mexcfast.core.sign", "mexcfast.core.book")]
        command.build_extensions()
        signing, book = command.extensions
        assert asked == [[], signing.libraries] and crypto in signing.libraries
        assert book.libraries == []
        if compiler.compiler_type == "msvc":
            # Microsoft's spellings only: -O3 or -Wall would be another option or none
            assert "/clang:-O3" in book.extra_compile_args and "/WX" in book.extra_compile_args
            assert all(each.startswith(("/", "-Wno-")) for each in book.extra_compile_args)
            assert book.extra_link_args == [str(llvm.resolve())]
            assert compiler.include_dirs == [str(Path("somewhere") / "include")]
        else:
            assert book.extra_compile_args[0] == "-O3" and book.extra_link_args == []


def test_other_builds_than_release_are_refused(build: dict[str, Any], llvm: Path,
                                               monkeypatch: pytest.MonkeyPatch) -> None:
    from setuptools import Distribution

    command = build["BuildExt"](Distribution())
    command.compiler, command.extensions = Microsoft(), []
    monkeypatch.setitem(build["BuildExt"].build_extensions.__globals__, "MODE", "debug")
    with pytest.raises(SystemExit, match="'debug'; allowed on Windows: release"):
        command.build_extensions()


# -- the code -------------------------------------------------------------------------------------


def test_run_needs_no_uvloop(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtime.sys, "platform", "win32")
    monkeypatch.setitem(sys.modules, "uvloop", None)        # importing it fails

    async def main() -> str:
        return type(asyncio.get_running_loop()).__module__.split(".")[0]

    assert mx.run(main()) == "asyncio"


def test_pinning_is_refused_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "sched_setaffinity")

    async def main() -> None: ...

    unused = main()
    with pytest.raises(ValueError, match="cpu is 0; pinning works on Linux only"):
        mx.run(unused, cpu=0)
    unused.close()


def test_the_package_imports_without_what_windows_lacks() -> None:
    """No module of theirs may be needed at import: the first line of a user must not fail."""
    code = ("import sys\n"
            "for name in ('fcntl', 'resource', 'pwd', 'grp', 'termios', 'uvloop'):\n"
            "    sys.modules[name] = None\n"
            "import mexcfast as mx, mexcfast.sim, mexcfast.watchdog, mexcfast.tape, mexcfast.cli\n"
            "for name in mx.__all__:\n"
            "    getattr(mx, name)\n")
    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


class Disk:
    """os.replace as on Windows: neither file may be open."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.open: dict[int, Path] = {}
        self.refuses = False
        self._open, self._close, self._replace = os.open, os.close, os.replace
        monkeypatch.setattr(os, "open", self.opened)
        monkeypatch.setattr(os, "close", self.closed)
        monkeypatch.setattr(os, "replace", self.replaced)

    def opened(self, path: Any, *more: Any, **named: Any) -> int:
        fd = self._open(path, *more, **named)
        self.open[fd] = Path(path)
        return fd

    def closed(self, fd: int) -> None:
        self.open.pop(fd, None)
        self._close(fd)

    def replaced(self, old: Any, new: Any) -> None:
        if self.refuses or {Path(old), Path(new)} & set(self.open.values()):
            raise PermissionError(13, "is open")
        self._replace(old, new)


@pytest.fixture
def windows_disk(monkeypatch: pytest.MonkeyPatch) -> Disk:
    monkeypatch.setattr(journal, "REPLACES_OPEN_FILES", False)
    return Disk(monkeypatch)


def settled(book: Journal, number: int) -> None:
    book.note_closed(f"rate {number}", 4_000_000_000_000)


def test_the_journal_is_compacted_where_open_files_cannot_be_replaced(
        tmp_path: Path, windows_disk: Disk, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "orders"
    book = Journal(path, max_bytes=400)
    assert book.open("key", 5, lambda: 0) == 5
    for _ in range(30):
        settled(book, 1)
    assert path.stat().st_size < 600 and book.is_open       # it was compacted more than once
    windows_disk.refuses = True
    for _ in range(30):
        settled(book, 1)
    assert book.is_open                                     # the old file goes on
    settled(book, 2)
    book.close()
    windows_disk.refuses = False
    again = Journal(path)
    assert again.open("key", 1, lambda: 0) == 6
    assert set(again.ledger.penalties) == {"rate 1", "rate 2"}
    again.close()
    assert not [each for each in windows_disk.open.values() if each.parent == tmp_path]


def test_without_flock_one_byte_is_locked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[int] = []

    def locking(fd: int, mode: int, count: int) -> None:
        if taken:
            raise OSError(36, "resource deadlock avoided")
        taken.append(fd)

    module = ModuleType("msvcrt")
    module.LK_NBLCK, module.locking = 2, locking            # type: ignore[attr-defined]
    monkeypatch.setattr(journal, "fcntl", None)
    monkeypatch.setitem(sys.modules, "msvcrt", module)
    first, second = Journal(tmp_path / "orders"), Journal(tmp_path / "orders")
    first.open("key", 1, lambda: 0)
    with pytest.raises(mx.JournalError, match="another process uses it"):
        second.open("key", 1, lambda: 0)
    first.close()
    assert len(taken) == 1


def test_the_watchdog_and_signals_are_refused_by_name(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(asyncio, "open_unix_connection")
    with pytest.raises(mx.ConfigError, match="needs unix sockets"):
        heart.check_socket_path(tmp_path / "bot.watchdog")

    class Loop(asyncio.SelectorEventLoop):
        def add_signal_handler(self, *_: Any) -> None:      # type: ignore[override]
            raise NotImplementedError

    async def story() -> None:
        async with (Exchange(updates_per_second=0) as venue, mx.Client(
                venue.rest_url, venue.access_key, venue.secret,
                kill_switch=mx.KillSwitchSettings(signals=("SIGTERM",))) as client):
            with pytest.raises(mx.ConfigError, match="signals names 'SIGTERM'"):
                await client.start()
            with pytest.raises(mx.ConfigError, match="needs unix sockets"):
                await client.watchdog(tmp_path / "bot.watchdog")

    with asyncio.Runner(loop_factory=Loop) as runner:
        runner.run(story())

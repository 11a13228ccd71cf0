"""The wheel as users get it: built once, installed elsewhere, imported from where no source is."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from email import message_from_bytes
from importlib.metadata import version
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCES = sorted(path.relative_to(ROOT) for path in (ROOT / "mexcfast").rglob("*")
                 if path.suffix in (".py", ".pyx", ".pxd", ".pyi", ".json")
                 or path.name == "py.typed")

#: A strategy of somebody else's, compiled against the installed headers.
OUTSIDE = """
from mexcfast.core.book cimport ASK, BID
from mexcfast.core.depth cimport OrderBook
from mexcfast.core.listener cimport Listener, check_abi
from mexcfast.core.sign cimport Signer

check_abi()

cdef class Spread(Listener):
    cdef readonly long long last

    cpdef on_book(self, OrderBook book):
        self.last = book.top_price(ASK) - book.top_price(BID)

def signature(Signer signer):
    cdef char out[64]
    signer.sign_into(1790870000000, b"", 0, out)
    return out[:64]
"""

USE = """
import mexcfast, outside
from mexcfast.core.depth import OrderBook
from mexcfast.core.sign import Signer
book = OrderBook("BTC_USDT")
book.load_snapshot(b'{"asks":[[12,1]],"bids":[[10,1]],"version":1}')
listener = outside.Spread()
listener.on_book(book)
assert listener.last == 2, listener.last
signer = Signer("key", "secret")
assert outside.signature(signer).decode() == signer.sign(1790870000000)
print(mexcfast.__file__)
"""


def environment(*paths: Path) -> dict[str, str]:
    values = {name: value for name, value in os.environ.items()
              if name not in ("LD_PRELOAD", "MEXCFAST_BUILD", "PYTHONMALLOC")}
    return values | {"PYTHONPATH": os.pathsep.join(map(str, paths)), "PYTHONDONTWRITEBYTECODE": "1"}


def run(*command: str, cwd: Path, paths: tuple[Path, ...] = ()) -> str:
    done = subprocess.run(command, cwd=cwd, env=environment(*paths), capture_output=True, text=True,
                          timeout=900)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The one that MEXCFAST_WHEEL names (tests/run), or built from a copy of the tree."""
    if built := os.environ.get("MEXCFAST_WHEEL"):
        return Path(built)
    tree = tmp_path_factory.mktemp("tree")
    for name in ("setup.py", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, tree)
    shutil.copytree(ROOT / "mexcfast", tree / "mexcfast",
                    ignore=shutil.ignore_patterns("*.so", "*.c", "*.html", "__pycache__"))
    out = tmp_path_factory.mktemp("wheel")
    run(sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation",
        "--wheel-dir", str(out), str(tree), cwd=tree)
    found = list(out.glob("mexcfast-*.whl"))
    assert len(found) == 1
    return found[0]


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    """Where the wheel was installed, with nothing else beside it."""
    target = tmp_path_factory.mktemp("installed")
    run(sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--target", str(target),
        str(wheel), cwd=target)
    return target


def test_it_holds_what_users_compile_and_type_against(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    assert {str(path) for path in SOURCES} <= names
    for path in SOURCES:
        if path.suffix == ".pyx":
            stem = str(path.with_suffix(""))
            assert any(name.startswith(stem + ".") and name.endswith((".so", ".pyd"))
                       for name in names), f"{path} is not compiled"


def test_it_says_what_it_is_made_of(wheel):
    """PEP 770: a bill of materials, hashed in RECORD as everything else."""
    with zipfile.ZipFile(wheel) as archive:
        about = next(name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        folder = about.rpartition("/")[0]
        path = f"{folder}/sboms/mexcfast.cdx.json"
        bill = json.loads(archive.read(path))
        record = archive.read(f"{folder}/RECORD").decode()
        metadata = message_from_bytes(archive.read(about))
    assert re.search(rf"^{re.escape(path)},sha256=", record, re.M)
    assert (bill["bomFormat"], bill["specVersion"]) == ("CycloneDX", "1.6")
    root = bill["metadata"]["component"]
    assert (root["name"], root["version"]) == ("mexcfast", metadata["Version"])
    by_name = {each["name"]: each for each in bill["components"]}
    required = {each for each in metadata.get_all("Requires-Dist") if "extra ==" not in each}
    assert {each["description"].removeprefix("required as ") for each in by_name.values()
            if each["scope"] == "required"} - {"libcrypto, for SHA-256"} == required
    assert by_name["Cython"]["version"] == version("Cython")
    refs = {root["bom-ref"], *(each["bom-ref"] for each in bill["components"])}
    assert len(refs) == len(bill["components"]) + 1     # picows twice: built against, and needed
    (tree,) = bill["dependencies"]
    assert tree["ref"] == root["bom-ref"] and set(tree["dependsOn"]) <= refs


def test_it_holds_nothing_generated_and_no_tests(wheel):
    for name in zipfile.ZipFile(wheel).namelist():
        assert not name.endswith((".c", ".html", ".o", ".pyc", ".jsonl")), name
        assert name.startswith(("mexcfast/", "mexcfast-")), name


def test_it_is_imported_from_where_it_was_installed(installed, tmp_path):
    seen = run(sys.executable, "-c", "import mexcfast.core.depth as d; print(d.__file__)",
               cwd=tmp_path, paths=(installed,))
    assert Path(seen.strip()).is_relative_to(installed)


def test_every_module_imports(installed, tmp_path):
    names = [".".join(path.with_suffix("").parts) for path in SOURCES if path.suffix == ".pyx"]
    run(sys.executable, "-W", "error", "-c", "import " + ", ".join(names), cwd=tmp_path,
        paths=(installed,))


def test_it_says_which_picows_it_was_built_against(installed, tmp_path):
    seen = run(sys.executable, "-c",
               "from mexcfast.net.stream import BUILT_AGAINST; print(BUILT_AGAINST)",
               cwd=tmp_path, paths=(installed,))
    assert seen.strip() == version("picows")


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux compilers record their flags")
def test_it_is_compiled_with_optimisation(installed):
    """The compilers wrote their own flags into each library; the last -O is the one that counts."""
    libraries = list(installed.rglob("*.so"))
    assert len(libraries) == sum(path.suffix == ".pyx" for path in SOURCES)
    for library in libraries:
        lines = re.findall(rb"(?:GNU C\d*|clang|-c)[^\0]* -O[^\0]*", library.read_bytes())
        levels = [re.findall(rb"(?<=\s)-O(\w*)", line)[-1] for line in lines]
        assert levels and set(levels) == {b"3"}, (library.name, levels)
        assert not any(b"-fsanitize" in line for line in lines)


def test_a_strategy_outside_cimports_it(installed, tmp_path):
    (tmp_path / "outside.pyx").write_text(OUTSIDE)
    (tmp_path / "setup.py").write_text(
        "from setuptools import setup\nfrom Cython.Build import cythonize\n"
        "setup(name='outside', ext_modules=cythonize('outside.pyx', language_level=3))\n")
    run(sys.executable, "setup.py", "-q", "build_ext", "--inplace", cwd=tmp_path,
        paths=(installed,))
    seen = run(sys.executable, "-W", "error", "-c", USE, cwd=tmp_path, paths=(installed, tmp_path))
    assert Path(seen.strip()).is_relative_to(installed)

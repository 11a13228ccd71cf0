"""Builds the compiled rooms. Metadata lives in pyproject.toml.

Each mode builds in its own directory under build/, so that no object of one ends up in another.

Switches, by environment variable:
  MEXCFAST_BUILD=release   -O3, every Cython check off (the default)
  MEXCFAST_BUILD=debug     -O1 -g, every Cython check on; the suite runs on it too
  MEXCFAST_BUILD=sanitize  the debug build under AddressSanitizer and UBSan
  MEXCFAST_BUILD=coverage  the debug build with line tracing for coverage.py
  MEXCFAST_ANNOTATE=1      also writes Cython's annotated HTML beside each .pyx
  OPENSSL_DIR=...          where OpenSSL's include/ and lib/ are, when not where the compiler looks

On Windows clang-cl compiles (the C is GNU C: 128-bit sums, builtins) and Microsoft's linker links.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
import sysconfig
import tempfile
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from setuptools import Extension, setup
from setuptools.command.bdist_wheel import bdist_wheel
from setuptools.command.build_ext import build_ext
from setuptools.errors import BaseError, CCompilerError

if TYPE_CHECKING:
    from distutils.ccompiler import CCompiler

MODES = ("release", "debug", "sanitize", "coverage")
MODE = os.environ.get("MEXCFAST_BUILD", "release")
if MODE not in MODES:
    sys.exit(f"MEXCFAST_BUILD is {MODE!r}; allowed: {', '.join(MODES)}")
CHECKED = MODE != "release"

# The one directives table.
DIRECTIVES = {
    "language_level": 3,
    "boundscheck": CHECKED,
    "wraparound": CHECKED,
    "initializedcheck": CHECKED,
    "nonecheck": CHECKED,
    "overflowcheck": False,  # core/ticks checks overflow itself and raises a typed error
    "cdivision": False,  # set per function, with a reason
    "embedsignature": True,
    "linetrace": MODE == "coverage",
    "warn.undeclared": False,
    "warn.maybe_uninitialized": True,
    "warn.unused": True,
}

# In C that Cython itself writes.
QUIET = ["-Wno-unused-parameter", "-Wno-missing-field-initializers", "-Wno-cast-function-type",
         "-Wno-deprecated-declarations", "-Wno-sign-compare", "-Wno-unused-function"]
COMPILE = {
    "release": ["-O3"],
    # The debug build reads digits without SSE2, so that the suite runs on both ways (core/shape).
    "debug": ["-O1", "-g", "-UNDEBUG", "-DMEXCFAST_PORTABLE"],
    "sanitize": ["-O1", "-g", "-UNDEBUG", "-fsanitize=address,undefined",
                 "-fno-sanitize-recover=undefined", "-fno-omit-frame-pointer"],
    "coverage": ["-O0", "-g"],
}[MODE] + ["-Wall", "-Wextra", "-Werror", *QUIET]
if sys.platform == "linux":
    COMPILE.append("-frecord-gcc-switches")  # the wheel's test reads back how it was optimised
LINK = ["-fsanitize=address,undefined"] if MODE == "sanitize" else []
# /W3 is clang-cl's -Wall, /clang: hands an option past its imitation of Microsoft's.
COMPILE_WINDOWS = ["/clang:-O3", "/W3", "/WX", *QUIET]
USES_CRYPTO = "mexcfast.core.sign"
# A static libcrypto, which is what a wheel shall hold, brings its own needs.
CRYPTO_WINDOWS = ["libcrypto", "ws2_32", "crypt32", "advapi32", "user32"]


def need(compiler: CCompiler, header: str, libraries: list[str], debian: str, fedora: str,
         mac: str, windows: str) -> None:
    """Stop with the name of the package to install when header or libraries are missing.

    compiler: set up for this Python, as build_ext has it.
    """
    work = Path(tempfile.mkdtemp())
    source = work / "probe.c"
    source.write_text(f"#include <{header}>\nint main(void) {{ return 0; }}\n")
    sys.stderr.flush()
    saved = os.dup(2)
    with open(os.devnull, "w") as null:
        os.dup2(null.fileno(), 2)           # what the compiler says would bury our own words
        try:
            objects = compiler.compile([str(source)], output_dir=str(work))
            compiler.link_executable(objects, str(work / "probe"),
                                     libraries=libraries)
        except (BaseError, CCompilerError, OSError):
            os.dup2(saved, 2)
            sys.exit(f"mexcfast cannot be built: <{header}> did not compile and link here.\n"
                     f"Install it with:\n  Debian, Ubuntu:  apt-get install {debian}\n"
                     f"  Fedora, RHEL:    dnf install {fedora}\n  macOS:           {mac}\n"
                     f"  Windows:         {windows}")
        finally:
            os.dup2(saved, 2)
            os.close(saved)
            shutil.rmtree(work, ignore_errors=True)


def need_python_h(include: Path) -> None:
    """Stop with the name of the package to install when Python's own headers are missing."""
    if not (include / "Python.h").exists():
        sys.exit("mexcfast cannot be built: Python.h is missing. Install it with:\n"
                 "  Debian, Ubuntu:  apt-get install python3-dev\n"
                 "  Fedora, RHEL:    dnf install python3-devel")


def use_clang(compiler: Any) -> list[str]:
    """Have clang-cl compile where Microsoft's compiler would; returns what else must be linked.

    compiler: build_ext's, of type msvc. Stops when LLVM is not there.
    """
    compiler.initialize()
    homes = [Path(os.environ.get("PROGRAMFILES", "C:/Program Files")) / "LLVM" / "bin"]
    found = shutil.which("clang-cl") or shutil.which("clang-cl", path=os.pathsep.join(
        map(str, homes)))
    if found is None:
        sys.exit("mexcfast cannot be built: clang-cl is neither on PATH nor in "
                 f"{homes[0]}. Install it with:\n  Windows:  winget install LLVM.LLVM")
    compiler.cc = found
    # Microsoft's whole-program optimisation has no counterpart here.
    compiler.compile_options = [each for each in compiler.compile_options if each != "/GL"]
    # 128-bit numbers become floats in LLVM's own library, which Microsoft's linker does not know.
    builtins = sorted(Path(found).resolve().parents[1].glob(
        "lib/clang/*/lib/windows/clang_rt.builtins-x86_64.lib"))
    if not builtins:
        sys.exit(f"mexcfast cannot be built: no clang_rt.builtins-x86_64.lib beside {found}; "
                 "install the whole of LLVM")
    return [str(builtins[-1])]


class BuildExt(build_ext):
    """build_ext that says which package is missing before a compiler does."""

    def finalize_options(self) -> None:
        # Cython runs here, not at import, so that metadata and sdists need no compiler.
        if self.distribution.ext_modules:
            need_python_h(Path(sysconfig.get_paths()["include"]))
            self.distribution.ext_modules = cythonized()
        super().finalize_options()
        self.parallel = self.parallel or os.cpu_count()

    def build_extensions(self) -> None:
        # Here self.compiler is ready; distutils itself is gone from Python 3.12 on.
        crypto = ["crypto"]
        if self.compiler.compiler_type == "msvc":
            if MODE != "release":
                sys.exit(f"MEXCFAST_BUILD is {MODE!r}; allowed on Windows: release")
            crypto = CRYPTO_WINDOWS
            builtins = use_clang(self.compiler)
            for each in self.extensions:
                each.extra_compile_args = COMPILE_WINDOWS
                each.extra_link_args = builtins
        for each in self.extensions:
            each.libraries = crypto if each.name == USES_CRYPTO else []
        if home := os.environ.get("OPENSSL_DIR"):
            self.compiler.add_include_dir(str(Path(home) / "include"))
            self.compiler.add_library_dir(str(Path(home) / "lib"))
        need(self.compiler, "stdio.h", [], "gcc libc6-dev", "gcc glibc-devel",
             "xcode-select --install", "Visual Studio's build tools for C")
        need(self.compiler, "openssl/sha.h", crypto, "libssl-dev", "openssl-devel",
             "brew install openssl@3, then OPENSSL_DIR=$(brew --prefix openssl@3)",
             "vcpkg install openssl:x64-windows-static-md, then set OPENSSL_DIR to its folder")
        super().build_extensions()


def bill_of_materials(name: str, release: str, requires: list[str]) -> dict[str, Any]:
    """What the wheel is made of and needs, as CycloneDX 1.6 (PEP 770 says where it lies).

    requires: the run-time requirements. Libraries that repairing grafts into the wheel (libcrypto)
    are named by auditwheel in a file of its own beside this one.
    """
    root = f"pkg:pypi/{name}@{release}"
    built = []
    for each, what in (("Cython", "wrote the C that was compiled"),
                       ("picows", "its headers were compiled against")):
        with suppress(PackageNotFoundError):
            found = version(each)
            built.append({"type": "library", "bom-ref": f"pkg:pypi/{each.lower()}@{found}",
                          "name": each, "version": found, "scope": "excluded",
                          "purl": f"pkg:pypi/{each.lower()}@{found}", "description": what})
    needed = []
    for each in requires:
        match = re.match(r"[A-Za-z0-9._-]+", each)
        assert match is not None, each
        purl = "pkg:pypi/" + match.group().lower()
        needed.append({"type": "library", "bom-ref": purl, "name": match.group(), "purl": purl,
                       "scope": "required", "description": f"required as {each}"})
    needed.append({"type": "library", "bom-ref": "openssl", "name": "openssl", "scope": "required",
                   "purl": "pkg:generic/openssl", "description": "libcrypto, for SHA-256"})
    return {
        "bomFormat": "CycloneDX", "specVersion": "1.6", "version": 1,
        "metadata": {"component": {
            "type": "library", "bom-ref": root, "name": name, "version": release, "purl": root,
            "licenses": [{"license": {"id": "MIT"}}]}},
        "components": built + needed,
        "dependencies": [{"ref": root, "dependsOn": [each["bom-ref"] for each in needed]}],
    }


class BdistWheel(bdist_wheel):
    """bdist_wheel that puts a bill of materials into .dist-info/sboms (PEP 770)."""

    def egg2dist(self, egginfo_path: str, distinfo_path: str) -> None:
        super().egg2dist(egginfo_path, distinfo_path)
        about = self.distribution.metadata
        bill = bill_of_materials(about.get_name(), about.get_version(),
                                 list(self.distribution.install_requires))
        folder = Path(distinfo_path) / "sboms"
        folder.mkdir(exist_ok=True)
        (folder / "mexcfast.cdx.json").write_text(json.dumps(bill, indent=1) + "\n", "utf-8")


def extensions() -> list[Extension]:
    macros = [("CYTHON_TRACE", "1"), ("CYTHON_TRACE_NOGIL", "1")] if MODE == "coverage" else []
    with suppress(PackageNotFoundError):    # sdist or metadata only: nothing is compiled
        macros.append(("MEXCFAST_PICOWS", f'"{version("picows")}"'))
    found = []
    for pyx in sorted(Path("mexcfast").rglob("*.pyx")):
        name = ".".join(pyx.with_suffix("").parts)
        found.append(Extension(name, [str(pyx)], define_macros=macros, extra_compile_args=COMPILE,
                               extra_link_args=LINK))
    return found


def cythonized() -> list[Extension]:
    from Cython.Build import cythonize
    from Cython.Compiler import Options

    Options.warning_errors = True
    return cythonize(extensions(), compiler_directives=DIRECTIVES, build_dir=f"build/cython-{MODE}",
                     annotate=bool(os.environ.get("MEXCFAST_ANNOTATE")), nthreads=0)


setup(ext_modules=extensions(), cmdclass={"build_ext": BuildExt, "bdist_wheel": BdistWheel},
      options={"build": {"build_base": f"build/{MODE}"}})

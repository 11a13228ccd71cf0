"""Builds the compiled rooms. Metadata lives in pyproject.toml.

Each mode builds in its own directory under build/, so that no object of one ends up in another.

Switches, by environment variable:
  MEXCFAST_BUILD=release   -O3, every Cython check off (the default)
  MEXCFAST_BUILD=debug     -O1 -g, every Cython check on; the suite runs on it too
  MEXCFAST_BUILD=sanitize  the debug build under AddressSanitizer and UBSan
  MEXCFAST_BUILD=coverage  the debug build with line tracing for coverage.py
  MEXCFAST_ANNOTATE=1      also writes Cython's annotated HTML beside each .pyx
"""

from __future__ import annotations

import os
import shutil
import sys
import sysconfig
import tempfile
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING

from setuptools import Extension, setup
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

COMPILE = {
    "release": ["-O3"],
    # The debug build reads digits without SSE2, so that the suite runs on both ways (core/shape).
    "debug": ["-O1", "-g", "-UNDEBUG", "-DMEXCFAST_PORTABLE"],
    "sanitize": ["-O1", "-g", "-UNDEBUG", "-fsanitize=address,undefined",
                 "-fno-sanitize-recover=undefined", "-fno-omit-frame-pointer"],
    "coverage": ["-O0", "-g"],
}[MODE] + ["-Wall", "-Wextra", "-Werror",
           # in C that Cython itself writes:
           "-Wno-unused-parameter", "-Wno-missing-field-initializers", "-Wno-cast-function-type",
           "-Wno-deprecated-declarations", "-Wno-sign-compare", "-Wno-unused-function"]
if sys.platform == "linux":
    COMPILE.append("-frecord-gcc-switches")  # the wheel's test reads back how it was optimised
LINK = ["-fsanitize=address,undefined"] if MODE == "sanitize" else []
LIBRARIES = {"mexcfast.core.sign": ["crypto"]}


def need(compiler: CCompiler, header: str, library: str | None, debian: str, fedora: str,
         mac: str) -> None:
    """Stop with the name of the package to install when header or library is missing.

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
                                     libraries=[library] if library else [])
        except (BaseError, CCompilerError, OSError):
            os.dup2(saved, 2)
            sys.exit(f"mexcfast cannot be built: <{header}> did not compile and link here.\n"
                     f"Install it with:\n  Debian, Ubuntu:  apt-get install {debian}\n"
                     f"  Fedora, RHEL:    dnf install {fedora}\n  macOS:           {mac}")
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
        need(self.compiler, "stdio.h", None, "gcc libc6-dev", "gcc glibc-devel",
             "xcode-select --install")
        need(self.compiler, "openssl/sha.h", "crypto", "libssl-dev", "openssl-devel",
             "brew install openssl@3")
        super().build_extensions()


def extensions() -> list[Extension]:
    macros = [("CYTHON_TRACE", "1"), ("CYTHON_TRACE_NOGIL", "1")] if MODE == "coverage" else []
    with suppress(PackageNotFoundError):    # sdist or metadata only: nothing is compiled
        macros.append(("MEXCFAST_PICOWS", f'"{version("picows")}"'))
    found = []
    for pyx in sorted(Path("mexcfast").rglob("*.pyx")):
        name = ".".join(pyx.with_suffix("").parts)
        found.append(Extension(name, [str(pyx)], libraries=LIBRARIES.get(name, []),
                               define_macros=macros, extra_compile_args=COMPILE,
                               extra_link_args=LINK))
    return found


def cythonized() -> list[Extension]:
    from Cython.Build import cythonize
    from Cython.Compiler import Options

    Options.warning_errors = True
    return cythonize(extensions(), compiler_directives=DIRECTIVES, build_dir=f"build/cython-{MODE}",
                     annotate=bool(os.environ.get("MEXCFAST_ANNOTATE")), nthreads=0)


setup(ext_modules=extensions(), cmdclass={"build_ext": BuildExt},
      options={"build": {"build_base": f"build/{MODE}"}})

"""Builds the native fuzzer under AddressSanitizer and UBSan, and runs it.

With coverage feedback from the compiled code (libFuzzer; needs clang and its runtime,
`apt-get install clang libclang-rt-14-dev`):
    python tests/fuzz/native.py --runs 20000000
With the built-in mutator, any gcc or clang:
    python tests/fuzz/native.py --hammer --runs 5000000 --seed 1
Without a sanitizer (several times as fast, keeps every check of native.pyx):
    python tests/fuzz/native.py --hammer --mode release --runs 50000000
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
SETUP = """
import fuzz_frame
from mexcfast.core import fuzzed
fuzzed.use_oracle(fuzz_frame.check, {every})
"""
RUN = """
import sys
sys.path[1:1] = [{here!r}, {fuzz!r}]
import native_setup
from mexcfast.core import fuzzed
from mutate import NAMES, VALUES, frames
samples = frames()
samples += 6 * [frame for frame in samples if b"asks" in frame]
print(fuzzed.hammer(samples, VALUES + NAMES, {runs}, {seed}))
"""


def build(work: Path, mode: str, clang: bool) -> dict[str, str]:
    """A copy of the tree with native.pyx inside, compiled; the environment to run it in."""
    tree = work / "tree"
    shutil.rmtree(tree, ignore_errors=True)
    tree.mkdir(parents=True)
    ignore = shutil.ignore_patterns("*.so", "*.c", "*.html", "__pycache__")
    shutil.copytree(ROOT / "mexcfast", tree / "mexcfast", ignore=ignore)
    for name in ("setup.py", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, tree)
    shutil.copy(HERE / "native.pyx", tree / "mexcfast" / "core" / "fuzzed.pyx")
    environment = dict(os.environ, MEXCFAST_BUILD=mode)
    if clang:
        environment |= {"CC": "clang -fsanitize=fuzzer-no-link", "LDSHARED": "clang -shared"}
    subprocess.run([sys.executable, "setup.py", "build_ext", "--inplace", "-j2"], cwd=tree,
                   env=environment, check=True)
    paths = [str(tree), str(HERE), str(work), sysconfig.get_paths()["platlib"]]
    environment |= {"PYTHONPATH": os.pathsep.join(paths), "PYTHONMALLOC": "malloc",
                    "PYTHONHOME": sys.base_prefix,
                    "ASAN_OPTIONS": "detect_leaks=0:allocator_may_return_null=1",
                    "UBSAN_OPTIONS": "print_stacktrace=1"}
    return environment


def libfuzzer(work: Path, given: argparse.Namespace) -> int:
    """Build and run the executable; its corpus stays in work/corpus."""
    sys.path.insert(0, str(HERE))
    from mutate import NAMES, VALUES, frames

    environment = build(work, "sanitize", clang=True)
    (work / "native_setup.py").write_text(SETUP.format(every=given.every))
    include, libs = sysconfig.get_paths()["include"], sysconfig.get_config_var("LIBDIR")
    subprocess.run(["clang", "-g", "-fsanitize=fuzzer,address,undefined", f"-I{include}",
                    str(HERE / "libfuzzer.c"), "-o", str(work / "fuzzer"), f"-L{libs}",
                    f"-Wl,-rpath,{libs}", f"-lpython{sysconfig.get_python_version()}"], check=True)
    corpus = work / "corpus"
    corpus.mkdir(exist_ok=True)
    for number, frame in enumerate(frames()):
        (corpus / f"sample-{number}").write_bytes(frame)
    words = [word for word in NAMES + VALUES if 0 < len(word) <= 60]
    (work / "words").write_text("".join(
        '"' + "".join(f"\\x{byte:02x}" for byte in word) + '"\n' for word in words))
    return subprocess.run([str(work / "fuzzer"), f"-runs={given.runs}", f"-seed={given.seed}",
                           f"-dict={work / 'words'}", "-max_len=4096", "-timeout=20",
                           f"-artifact_prefix={work}/", f"-max_total_time={given.seconds}",
                           "-print_final_stats=1", str(corpus)], env=environment).returncode


def hammer(work: Path, given: argparse.Namespace) -> int:
    """The built-in mutator, on a fresh build or on one that the environment already offers."""
    environment = dict(os.environ)
    if not given.built:
        environment = build(work, given.mode, clang=False)
        environment.pop("PYTHONHOME")
        if given.mode == "sanitize":
            found = subprocess.run(["gcc", "-print-file-name=libasan.so"], capture_output=True,
                                   text=True, check=True)
            environment["LD_PRELOAD"] = found.stdout.strip()
    work.mkdir(parents=True, exist_ok=True)
    (work / "native_setup.py").write_text(SETUP.format(every=given.every))
    code = RUN.format(here=str(work), fuzz=str(HERE), runs=given.runs, seed=given.seed)
    return subprocess.run([sys.executable, "-c", code], cwd=work, env=environment).returncode


def main() -> int:
    parser = argparse.ArgumentParser(description="Fuzz the compiled parser and book.")
    parser.add_argument("--runs", type=int, default=1_000_000)
    parser.add_argument("--seconds", type=int, default=0, help="libFuzzer only; 0: no limit")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--every", type=int, default=64, help="one in so many is judged by json")
    parser.add_argument("--hammer", action="store_true", help="the built-in mutator")
    parser.add_argument("--mode", default="sanitize", choices=("sanitize", "debug", "release"))
    parser.add_argument("--built", action="store_true", help="hammer what PYTHONPATH offers")
    given = parser.parse_args()
    work = ROOT / "build" / ("fuzz-" + (given.mode if given.hammer else "libfuzzer"))
    return hammer(work, given) if given.hammer else libfuzzer(work, given)


if __name__ == "__main__":
    sys.exit(main())

"""What every bench shares: cores, interleaved repeats, summaries, the environment, child processes.

A figure here is a ratio within one interleaved run on one machine: candidates take turns, so that
what the machine does at a moment hits all of them. The least of the repeats is what the code can
do, the median what this machine let it do.
"""

from __future__ import annotations

import gc
import hashlib
import json
import os
import platform
import re
import ssl
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
BUILT = ROOT / "build" / "bench"      # what is compiled or made for the benches; git ignores it
RIVALS = ("ccxt", "pymexc", "typed-mexc", "aiohttp", "websockets", "picows", "aiofastnet", "uvloop",
          "orjson", "msgspec", "order-book", "sortedcontainers", "matplotlib", "Cython")

#: keys that open nothing, and the order that is placed with them
KEY, SECRET = "mx0vglBenchmarkOnly", "a-secret-that-opens-nothing-0001"
PATH = "/api/v1/private/order/create"
ORDER = {"symbol": "BTC_USDT", "price": 104231.4, "vol": 12, "leverage": 20, "side": 1, "type": 1,
         "openType": 1, "externalOid": "bench-0001"}


class Missing(Exception):
    """Something a bench wants is not installed, or not in the version that is measured."""


# -- cores ---------------------------------------------------------------------------------------

def cores() -> tuple[int | None, int | None]:
    """(the server's core, the client's core); None where a process cannot be pinned or has one."""
    allowed = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    return (allowed[0], allowed[1]) if len(allowed) > 1 else (None, None)


def pin(core: int | None) -> None:
    """Keep this process on one core; None: leave it."""
    if core is not None:
        os.sched_setaffinity(0, {core})


# -- turns ---------------------------------------------------------------------------------------

def in_turns(names: Iterable[str], repeats: int, once: Callable[[str], Any]
             ) -> dict[str, list[Any]]:
    """once(name) for each name, that `repeats` times over; the results by name."""
    names = list(names)
    found: dict[str, list[Any]] = {name: [] for name in names}
    for _ in range(repeats):
        for name in names:
            found[name].append(once(name))
    return found


class quiet_gc:
    """What exists before is no candidate's garbage."""

    def __enter__(self) -> None:
        gc.collect()
        gc.freeze()

    def __exit__(self, *_: object) -> None:
        gc.unfreeze()


def quantile(ordered: Sequence[float], share: float) -> float:
    """A quantile of values in ascending order."""
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def latencies(values: Sequence[float], warm_up: float = 0.05) -> dict[str, Any]:
    """Summary of one repeat in microseconds; the first twentieth is warm-up.

    curve: 201 quantiles from the fastest to the slowest, for plots; series: at most 500 values in
    the order of time.
    """
    kept = list(values)[int(len(values) * warm_up):]
    ordered = sorted(kept)
    step = max(1, len(kept) // 500)
    return {"count": len(kept), "fastest": ordered[0], "p50": quantile(ordered, 0.5),
            "p90": quantile(ordered, 0.9), "p99": quantile(ordered, 0.99),
            "p999": quantile(ordered, 0.999),
            "curve": [round(quantile(ordered, share / 200), 2) for share in range(201)],
            "series": [round(value, 2) for value in kept[::step][:500]]}


def least(found: Sequence[Any], key: str | None = None) -> float:
    """The least over repeats."""
    return float(min(one[key] if key else one for one in found))


def middle(found: Sequence[Any], key: str | None = None) -> float:
    """The median over repeats."""
    return statistics.median(one[key] if key else one for one in found)


def bootstrap(old: Sequence[float], new: Sequence[float], draws: int = 2000, seed: int = 1
              ) -> tuple[float, float, float]:
    """new/old of the medians: (estimate, 2.5 %, 97.5 %), drawn again with replacement."""
    import random

    dice = random.Random(seed)
    ratios = sorted(statistics.median(dice.choices(new, k=len(new)))
                    / statistics.median(dice.choices(old, k=len(old))) for _ in range(draws))
    return (statistics.median(new) / statistics.median(old), quantile(ratios, 0.025),
            quantile(ratios, 0.975))


# -- where it was measured -----------------------------------------------------------------------

def _first(path: str, pattern: str) -> str:
    try:
        found = re.search(pattern, Path(path).read_text(), re.MULTILINE)
    except OSError:
        return ""
    return found.group(1).strip() if found else ""


def git(*arguments: str) -> str:
    """What git says; "" where there is no repository."""
    try:
        done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True)
    except OSError:
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def switches() -> str:
    """The compiler's switches as the extension itself recorded them (Linux)."""
    from mexcfast.core import depth

    data = Path(str(depth.__file__)).read_bytes()
    found = re.search(rb"GNU C[^\0]*", data)
    if found is None:
        return "not recorded"
    words = found.group().decode(errors="replace").split()
    return " ".join(word for word in words if not word.startswith(("-W", "-I", "-D")))


def environment() -> dict[str, Any]:
    """The header of every report."""
    import mexcfast

    versions = {}
    for name in RIVALS:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            versions[name] = "missing"
    server, client = cores()
    return {
        "cpu": _first("/proc/cpuinfo", r"^model name\s*:\s*(.*)$") or platform.processor(),
        "cores": os.cpu_count(), "server_core": server, "client_core": client,
        "load": round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None,
        "kernel": f"{platform.system()} {platform.release()}", "machine": platform.machine(),
        "python": platform.python_version(), "compiler": platform.python_compiler(),
        "openssl": ssl.OPENSSL_VERSION, "switches": switches(), "mexcfast": mexcfast.__version__,
        "commit": git("rev-parse", "HEAD"),
        "changed": bool(git("status", "--porcelain", "--untracked-files=no")),
        "when": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()), "versions": versions}


def write_json(path: Path, found: Mapping[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


# -- processes -----------------------------------------------------------------------------------

def child_environment() -> dict[str, str]:
    """This very package in a child, whatever directory we were started from."""
    import mexcfast

    home = str(Path(mexcfast.__file__).parent.parent)
    path = os.pathsep.join(filter(None, [home, os.environ.get("PYTHONPATH")]))
    return {**os.environ, "PYTHONPATH": path}


def run_child(script: str, *arguments: object, timeout_s: float = 120) -> Any:
    """One run of a bench's client in a process of its own; its last line is JSON.

    Raises Missing when it says so (exit code 3), RuntimeError with its words when it fails.
    """
    try:
        done = subprocess.run([sys.executable, str(HERE / script), *map(str, arguments)],
                              capture_output=True, text=True, timeout=timeout_s,
                              env=child_environment())
    except subprocess.TimeoutExpired as late:
        raise RuntimeError(f"{script} {arguments[0]}: no end after {timeout_s:g} s; "
                           f"{str(late.stderr)[-500:]}") from None
    if done.returncode == 3:
        raise Missing(done.stderr.strip().splitlines()[-1])
    if done.returncode:
        raise RuntimeError(f"{script} {arguments[0]}: exit code {done.returncode}\n"
                           f"{done.stderr[-2000:]}")
    return json.loads(done.stdout.strip().splitlines()[-1])


@contextmanager
def server(frames: int, levels: int = 1_000, *, tls: bool = False) -> Iterator[int]:
    """bench/server.py on core 0; its port. It ends with the block."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "port"
        command = [sys.executable, str(HERE / "server.py"), str(file), "--frames", str(frames),
                   "--levels", str(levels)]
        if tls:
            command += ["--tls"]
        if cores()[0] is not None:
            command += ["--core", str(cores()[0])]
        child = subprocess.Popen(command, env=child_environment())
        try:
            late = time.monotonic() + 120
            while not (file.exists() and file.read_text()):
                if child.poll() is not None or time.monotonic() > late:
                    raise RuntimeError("bench/server.py did not start; its words are above")
                time.sleep(0.05)
            yield int(file.read_text())
        finally:
            child.kill()
            child.wait()


def on_core() -> list[object]:
    return [] if cores()[1] is None else ["--core", cores()[1]]


def turns_of_children(names: Iterable[str], repeats: int, once: Callable[[str], Any]
                      ) -> tuple[dict[str, list[Any]], list[str]]:
    """in_turns, where a candidate that is missing or fails is named and left out from then on.

    One that fails is tried once more, and said so: a machine that stands still for seconds cuts
    sockets, and a whole run should not be lost by it.
    """
    lost: dict[str, str] = {}
    again: list[str] = []

    def guarded(name: str) -> Any:
        for is_last in (False, True):
            if name in lost:
                return None
            try:
                return once(name)
            except (Missing, RuntimeError) as reason:
                if is_last or isinstance(reason, Missing):
                    lost[name] = f"{name} is not measured: {reason}"
                    print(f"MISSING: {lost[name]}", file=sys.stderr, flush=True)
                else:
                    again.append(f"{name} failed once and was run again: {reason}")
                    print(f"AGAIN: {again[-1]}", file=sys.stderr, flush=True)
        return None

    found = in_turns(names, repeats, guarded)
    return ({name: values for name, values in found.items() if name not in lost},
            [*lost.values(), *again])


# -- compiled candidates -------------------------------------------------------------------------

_BUILD = """
import sys
from setuptools import Extension, setup
from Cython.Build import cythonize
name, source, work, home = sys.argv[1:5]
sys.argv = ["setup.py", "-q", "build_ext", "--build-lib", work, "--build-temp", work + "/temp"]
setup(name=name, ext_modules=cythonize(
    [Extension(name, [source], extra_compile_args=["-O3"])], build_dir=work + "/c",
    include_path=[home], language_level=3, quiet=True,
    compiler_directives={"boundscheck": False, "wraparound": False, "initializedcheck": False}))
"""


def native() -> ModuleType:
    """bench/native.pyx: the compiled candidates."""
    return compiled("native")


def compiled(name: str) -> ModuleType:
    """bench/NAME.pyx, compiled once against this mexcfast and picows; Missing without Cython."""
    import mexcfast
    from mexcfast.core.listener import ABI_NUMBER

    for needed in ("Cython", "setuptools"):
        try:
            version(needed)
        except PackageNotFoundError:
            raise Missing(f"{needed} is missing: pip install {needed}") from None
    source = HERE / f"{name}.pyx"
    home = Path(mexcfast.__file__).parent.parent
    about = f"{ABI_NUMBER} {version('picows')} {version('Cython')} {sys.version} {home}"
    key = hashlib.sha256(source.read_bytes() + about.encode()).hexdigest()[:16]
    work = BUILT / key
    if not list(work.glob(f"{name}*.so")):
        work.mkdir(parents=True, exist_ok=True)
        done = subprocess.run(
            [sys.executable, "-c", _BUILD, name, str(source), str(work), str(home)],
            capture_output=True, text=True, env=child_environment() | {"LD_PRELOAD": ""})
        if done.returncode:
            raise Missing(f"bench/{name}.pyx does not compile: {done.stderr[-1500:]}")
    spec = spec_from_file_location(name, next(work.glob(f"{name}*.so")))
    assert spec is not None and spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def told(lines: Iterable[str], wrong: Iterable[str]) -> int:
    """Print what was found and what is wrong with it; the exit code."""
    print("\n".join(lines))
    code = 0
    for reason in wrong:
        print(f"FAILED: {reason}")
        code = 1
    return code

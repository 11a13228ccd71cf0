"""Checks of `mexcfast doctor` about this installation and this machine."""

from __future__ import annotations

import os
import platform
import ssl
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import mexcfast
from mexcfast.cli.checkup import Finding, Patient, check
from mexcfast.core.listener import ABI_NUMBER
from mexcfast.net.transport import STREAM_CLASS, PythonStream

#: as /proc/cpuinfo names them; the first group is x86, the second ARM
FEATURES = ("sse4_2", "avx2", "avx512f", "bmi2", "aes", "sha_ni", "asimd", "sha2")
#: clock sources whose reading costs a system call or worse
SLOW_CLOCKS = ("hpet", "acpi_pm", "refined-jiffies")
SYSTEM = Path("/sys/devices/system")


@check("build")
async def build(patient: Patient) -> Finding:
    """Versions, and whether the native stream is in use."""
    native = STREAM_CLASS is not PythonStream
    data: dict[str, Any] = {"mexcfast": mexcfast.__version__, "python": platform.python_version(),
                            "abi": ABI_NUMBER, "native_stream": native}
    for name in ("picows", "aiohttp", "orjson", "uvloop"):
        try:
            data[name] = version(name)
        except PackageNotFoundError:
            data[name] = None
    data["openssl"] = ssl.OPENSSL_VERSION.split()[1]
    text = ", ".join(f"{name} {value}" for name, value in data.items())
    if not native:
        return Finding("warning", f"the slower stream is in use; {text}", data,
                       "Install the picows that mexcfast was built with: pip install "
                       "picows==2.3.1, or build mexcfast again.")
    if data["uvloop"] is None and sys.platform != "win32":
        return Finding("warning", f"no uvloop; {text}", data, "pip install uvloop")
    return Finding("ok", text, data)


def features(text: str) -> list[str]:
    """Those of FEATURES that /proc/cpuinfo lists."""
    for line in text.splitlines():
        name, _, values = line.partition(":")
        if name.strip().lower() in ("flags", "features"):
            here = set(values.split())
            return [each for each in FEATURES if each in here]
    return []


@check("machine")
async def machine(patient: Patient) -> Finding:
    """Processor and what it can do, load, clock source, frequency governor."""
    cpuinfo = _read(Path("/proc/cpuinfo"))
    names = [line.partition(":")[2].strip() for line in cpuinfo.splitlines()
             if line.startswith("model name")]
    model = names[0] if names else platform.processor() or platform.machine()
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
    governor = _read(SYSTEM / "cpu/cpu0/cpufreq/scaling_governor").strip()
    source = _read(SYSTEM / "clocksource/clocksource0/current_clocksource").strip()
    found = features(cpuinfo)
    data = {"system": platform.platform(), "cpu": model, "cpus": usable, "load": round(load, 2),
            "features": found, "governor": governor or None, "clock_source": source or None}
    text = (f"{model}, {usable} CPUs, load {load:.2f}, {' '.join(found) or 'features unknown'}, "
            f"{f'clock {source}, ' if source else ''}"
            f"{f'governor {governor}, ' if governor else ''}{platform.platform()}")
    advice = []
    if usable and load > usable:
        advice.append("Busier than it has CPUs: give the bot a core of its own (mx.run(cpu=...)).")
    if source in SLOW_CLOCKS:
        advice.append(f"Reading the clock source {source} is slow; tsc or kvm-clock is better.")
    if governor == "powersave":
        advice.append("The governor powersave makes a quiet core slow: use performance.")
    if found and not {"sha_ni", "sha2"} & set(found):
        advice.append("This CPU has no SHA instructions: signing takes about three times as long.")
    return Finding("warning" if advice[:1] and not advice[0].startswith("This CPU") else "ok",
                   text, data, " ".join(advice))


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""

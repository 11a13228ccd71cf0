"""`mexcfast doctor`: is this installation, this machine, this network, this key fit to trade?

A check is a coroutine with @check("name") that returns a Finding; it is listed where it is defined
and anything it raises is a failed finding of its own. Nothing it does changes orders or positions.
"""

from __future__ import annotations

import asyncio
import json
import os
import platform
import time
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass, field
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Literal

import aiohttp
from rich.console import Console
from rich.table import Table

import mexcfast
from mexcfast.core.intent import cancel_body
from mexcfast.core.listener import ABI_NUMBER
from mexcfast.core.rest import GROUPS, LIVE, Endpoint, Subject, judge_items
from mexcfast.core.sign import Signer
from mexcfast.errors import MexcfastError, PermissionDenied
from mexcfast.keys import FILE_VARIABLE, KEY_VARIABLE, SECRET_VARIABLE, from_environ
from mexcfast.net.clock import Clock
from mexcfast.net.executor import Executor
from mexcfast.net.killswitch import reset_file
from mexcfast.net.transport import STREAM_CLASS, PythonStream
from mexcfast.types import Rejected

Verdict = Literal["ok", "warning", "failed", "skipped"]
PINGS = 10
#: No order has this id: a cancel of it shows whether the key may trade, and does nothing.
NO_ORDER = 1


@dataclass(slots=True)
class Finding:
    """What one check found; data holds its numbers."""

    verdict: Verdict
    text: str
    data: dict[str, Any] = field(default_factory=dict)


@dataclass(slots=True)
class Patient:
    """What the checks look at."""

    endpoint: Endpoint
    executor: Executor
    has_keys: bool


Check = Callable[[Patient], Awaitable[Finding]]
CHECKS: dict[str, Check] = {}


def check(name: str) -> Callable[[Check], Check]:
    """Adds a check, in the order of definition."""
    def add(made: Check) -> Check:
        CHECKS[name] = made
        return made
    return add


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
    text = ", ".join(f"{name} {value}" for name, value in data.items())
    if not native:
        return Finding("warning", f"the slower stream is in use, see README; {text}", data)
    return Finding("ok", text, data)


@check("machine")
async def machine(patient: Patient) -> Finding:
    """Processor, load, memory of the system."""
    model = platform.processor() or platform.machine()
    try:
        with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as file:  # noqa: ASYNC230
            names = [line.partition(":")[2].strip() for line in file if "model name" in line]
        model = names[0] if names else model
    except OSError:
        pass
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
    data = {"system": platform.platform(), "cpu": model, "cpus": usable, "load": round(load, 2)}
    text = f"{model}, {usable} CPUs, load {load:.2f}, {platform.platform()}"
    if usable and load > usable:
        return Finding("warning", f"busier than it has CPUs: {text}", data)
    return Finding("ok", text, data)


@check("clock")
async def clock(patient: Patient) -> Finding:
    """The venue's time against ours."""
    await patient.executor.sync_clock(5)
    known = patient.executor.clock
    offset, error = known.offset_ms, known.error_ms or 0.0
    text = f"the venue is {offset:+.1f} ms from this machine, known to {error:.1f} ms"
    data = {"offset_ms": round(offset, 3), "error_ms": round(error, 3)}
    if error > 1000:
        return Finding("failed", f"{text}: too uncertain to trade", data)
    return Finding("warning" if abs(offset) > 1000 else "ok", text, data)


@check("rest")
async def rest(patient: Patient) -> Finding:
    """Round trips of contract/ping over a warm connection."""
    times = []
    for _ in range(PINGS + 1):
        began_ns = time.monotonic_ns()
        await patient.executor.request("ping")
        times.append((time.monotonic_ns() - began_ns) / 1e6)
    return _latency(times[1:])          # the first may open the connection


@check("stream")
async def stream(patient: Patient) -> Finding:
    """Round trips of ping over the WebSocket."""
    times = []
    async with (aiohttp.ClientSession() as session,
                session.ws_connect(patient.endpoint.ws_url, timeout=aiohttp.ClientWSTimeout(
                    ws_close=2.0)) as socket, asyncio.timeout(15)):
        for _ in range(PINGS):
            began_ns = time.monotonic_ns()
            await socket.send_str('{"method":"ping"}')
            while "pong" not in str((await socket.receive()).data):
                pass
            times.append((time.monotonic_ns() - began_ns) / 1e6)
    return _latency(times)


def _latency(times: list[float]) -> Finding:
    times = sorted(times)
    data = {"median_ms": round(times[len(times) // 2], 3), "worst_ms": round(times[-1], 3),
            "count": len(times)}
    verdict: Verdict = "warning" if data["median_ms"] > 500 else "ok"
    return Finding(verdict, f"median {data['median_ms']:.1f} ms, worst {data['worst_ms']:.1f} ms "
                   f"of {len(times)}", data)


@check("keys")
async def keys(patient: Patient) -> Finding:
    """What the key may do: account, orders, trading. Trading is asked by cancelling no order."""
    if not patient.has_keys:
        return Finding("skipped", f"no {KEY_VARIABLE} and {SECRET_VARIABLE} in the environment")
    rights: dict[str, Any] = {}
    for right, name in (("account", "balances"), ("orders", "open_orders")):
        try:
            await patient.executor.request(name)
            rights[right] = True
        except PermissionDenied as error:
            rights[right] = f"no: {error}"
    whole = await patient.executor.execute("cancel", cancel_body([NO_ORDER]), wait=True)
    outcome, = judge_items(whole, (Subject(None, None, NO_ORDER),))
    if isinstance(outcome, Rejected) and isinstance(outcome.error, PermissionDenied):
        rights["trading"] = f"no: {outcome.error}"
    elif isinstance(outcome, Rejected) and outcome.code not in (2040, 2041):
        return Finding("failed", f"{outcome.error} {outcome.error.advice}", rights)
    else:
        rights["trading"] = True
    missing = [f"{right} {found}" for right, found in rights.items() if found is not True]
    if missing:
        return Finding("failed", "; ".join(missing), rights)
    return Finding("ok", "may read the account and orders, and trade", rights)


@check("budgets")
async def budgets(patient: Patient) -> Finding:
    """The venue's limits as they are kept here."""
    shown = ("order_place", "amend", "cancel", "cancel_all", "plan_place", "depth")
    limits = {group: patient.endpoint.limits.get(group, limit) for group, limit in GROUPS.items()}
    text = ", ".join(f"{group} {limits[group][0]} per {limits[group][1] / 1000:g} s"
                     for group in shown)
    return Finding("ok", text, {"groups": {group: list(limit) for group, limit in limits.items()},
                                "margin_ms": patient.endpoint.margin_ms})


async def examine(endpoint: Endpoint, signer: Signer | None) -> dict[str, Finding]:
    """Every check, one after the other."""
    found: dict[str, Finding] = {}
    async with Executor(endpoint, signer, Clock()) as executor:
        patient = Patient(endpoint, executor, signer is not None)
        for name, each in CHECKS.items():
            try:
                found[name] = await each(patient)
            except (MexcfastError, aiohttp.ClientError, OSError, TimeoutError) as error:
                advice = error.advice if isinstance(error, MexcfastError) else ""
                found[name] = Finding(
                    "failed", f"{type(error).__name__}: {error} {advice}".strip())
    return found


async def doctor(*, endpoint: str | None, as_json: bool) -> int:
    """Print what every check found; 0 when none failed."""
    has_keys = any(os.environ.get(name) for name in (KEY_VARIABLE, SECRET_VARIABLE, FILE_VARIABLE))
    found = await examine(LIVE if endpoint is None else Endpoint.at(endpoint),
                          Signer(*from_environ(os.environ)) if has_keys else None)
    failed = any(finding.verdict == "failed" for finding in found.values())
    if as_json:
        print(json.dumps({"healthy": not failed, "checks": {
            name: asdict(finding) for name, finding in found.items()}}, indent=1))
    else:
        table = Table.grid(padding=(0, 2))
        style = {"ok": "green", "warning": "yellow", "failed": "bold red", "skipped": "dim"}
        for name, finding in found.items():
            table.add_row(name, f"[{style[finding.verdict]}]{finding.verdict}[/]", finding.text)
        Console().print(table)
    return 1 if failed else 0


async def reset(path: str, reason: str, *, force: bool) -> int:
    """Arm the kill switch of a state file again, by hand."""
    trip = reset_file(path, reason, force=force)
    print(f"{path}: reset; it had " + ("not tripped" if trip is None else
                                       f"tripped by {trip.trigger}: {trip.text}"))
    return 0

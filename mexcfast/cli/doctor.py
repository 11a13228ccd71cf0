"""`mexcfast doctor`: is this installation, this machine, this network, this key fit to trade?

The checks stand in the rooms checks_*; here they are run one after the other and made one report.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import os
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict
from datetime import date

import aiohttp
from rich.console import Console
from rich.table import Table
from rich.text import Text

from mexcfast.cli import checks_keys, checks_machine, checks_network, shapes
from mexcfast.cli.checks_network import PINGS
from mexcfast.cli.checkup import CHECKS, Finding, Patient
from mexcfast.cli.progress import Bar
from mexcfast.cli.tables import console
from mexcfast.core.rest import LIVE, Endpoint
from mexcfast.core.sign import Signer
from mexcfast.errors import ConfigError, MexcfastError
from mexcfast.keys import FILE_VARIABLE, KEY_VARIABLE, SECRET_VARIABLE, from_environ
from mexcfast.net.clock import Clock
from mexcfast.net.executor import Executor
from mexcfast.net.killswitch import reset_file

__all__ = ["CHECKS", "PINGS", "Finding", "Patient", "doctor", "examine", "reset"]

ROOMS = (checks_machine, checks_network, shapes, checks_keys)      # each has added its checks
#: The report: what later lines need comes first.
ORDER = ("build", "machine", "dns", "routes", "tls", "clock", "rest", "stream", "drift", "keys",
         "key age", "withdrawals", "budgets")
PATIENCE_S = 40.0       # for one check
STYLE = {"ok": "green", "warning": "yellow", "failed": "bold red", "skipped": "dim"}


async def examine(endpoint: Endpoint, signer: Signer | None, *,
                  sign_query: Callable[[str], str] | None = None, key_created: date | None = None,
                  progress: Callable[[str, int, int], object] | None = None
                  ) -> dict[str, Finding]:
    """Every check, one after the other. progress: told of (the next check, how many, of how many).

    sign_query: signs for the wallet's API; without it the right to withdraw is not asked for.
    """
    found: dict[str, Finding] = {}
    async with Executor(endpoint, signer, Clock()) as executor:
        patient = Patient(endpoint, executor, signer is not None, sign_query, key_created)
        for number, name in enumerate(ORDER):
            each, needs = CHECKS[name]
            if progress is not None:
                progress(name, number, len(ORDER))
            gone = patient.unreachable.get(patient.address(needs)[1]) if needs else None
            if gone is not None:
                found[name] = Finding("skipped", gone)
                continue
            try:
                async with asyncio.timeout(PATIENCE_S):
                    found[name] = await each(patient)
            except (MexcfastError, aiohttp.ClientError, OSError, TimeoutError) as error:
                text = str(error) or f"no answer in {PATIENCE_S:g} s"
                found[name] = Finding("failed", f"{type(error).__name__}: {text}", {},
                                      error.advice if isinstance(error, MexcfastError) else "")
    return found


async def doctor(*, endpoint: str | None, as_json: bool, key_created: str | None = None) -> int:
    """Print what every check found; 0 when none failed."""
    has_keys = any(os.environ.get(name) for name in (KEY_VARIABLE, SECRET_VARIABLE, FILE_VARIABLE))
    try:
        created = None if key_created is None else date.fromisoformat(key_created)
    except ValueError:
        raise ConfigError(f"--key-created is {key_created!r}; allowed: a day such as 2026-09-01"
                          ) from None
    signer, state = None, None
    if has_keys:
        access_key, secret = from_environ(os.environ)
        state = hmac.new(secret.encode() if isinstance(secret, str) else bytes(secret),
                         digestmod=hashlib.sha256)
        signer = Signer(access_key, secret)      # wipes a secret that is a buffer

    def sign_query(query: str) -> str:
        assert state is not None
        signing = state.copy()
        signing.update(query.encode())
        return signing.hexdigest()

    where = LIVE if endpoint is None else Endpoint.at(endpoint)
    with Bar("examining") as bar:
        found = await examine(
            where, signer, sign_query=sign_query if has_keys else None, key_created=created,
            progress=lambda name, done, total: bar(done, total, f"examining: {name}"))
    failed = any(finding.verdict == "failed" for finding in found.values())
    if as_json:
        print(json.dumps({"healthy": not failed, "endpoint": where.rest_url, "checks": {
            name: asdict(finding) for name, finding in found.items()}}, indent=1))
    else:
        show(console(), where, found)
    return 1 if failed else 0


def show(out: Console, where: Endpoint, found: dict[str, Finding]) -> None:
    """The report for people: what was found, what to do, how many of each."""
    out.print(Text(f"{where.rest_url} and {where.ws_url}", style="bold"), soft_wrap=True)
    if out.is_terminal:
        table = Table.grid(padding=(0, 2, 0, 0))
        for overflow in (None, None, "fold"):
            table.add_column(no_wrap=overflow is None, overflow=overflow)  # type: ignore[arg-type]
        for name, finding in found.items():
            text = Text(finding.text)
            if finding.advice:
                text.append(f"\n→ {finding.advice}", style="italic")
            table.add_row(name, Text(finding.verdict, style=STYLE[finding.verdict]), text)
        out.print(table)
    else:                       # a line each, whatever its length
        for name, finding in found.items():
            advice = f"  -> {finding.advice}" if finding.advice else ""
            out.print(f"{name:<12} {finding.verdict:<8} {finding.text}{advice}", markup=False,
                      soft_wrap=True)
    counts: Counter[str] = Counter(finding.verdict for finding in found.values())
    worst = next(each for each in ("failed", "warning", "ok", "skipped") if counts[each] or
                 each == "skipped")
    names = {"warning": "warnings"} if counts["warning"] > 1 else {}
    out.print(Text(", ".join(f"{counts[each]} {names.get(each, each)}" for each in STYLE
                             if counts[each]), style=STYLE[worst]))


async def reset(path: str, reason: str, *, force: bool) -> int:
    """Arm the kill switch of a state file again, by hand."""
    trip = reset_file(path, reason, force=force)
    print(f"{path}: reset; it had " + ("not tripped" if trip is None else
                                       f"tripped by {trip.trigger}: {trip.text}"))
    return 0

"""Fuzz target: core/rest.read_answer and judge, for every route, status and body.

Any answer becomes a result or an error of the tree (VenueError, BadAnswer). What is read as a
result json accepts too, with an equal value where the result keeps everything. A write is Accepted
only when the venue said so, Rejected only when the status proves it.

Bounded, built-in mutator:      python tests/fuzz/fuzz_rest.py --seconds 30
Long:                           python tests/fuzz/fuzz_rest.py --runs 5000000
Through atheris (coverage of the Python code):
                                python tests/fuzz/fuzz_rest.py --atheris -atheris_runs=1000000
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

from mexcfast.core.rest import ROUTES, Route, Subject, judge, read_answer
from mexcfast.core.results import read_any, read_nothing
from mexcfast.errors import BadAnswer, NotFound, VenueError
from mexcfast.types import Accepted, Rejected, Unknown

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parent))

STATUSES = (200, 200, 200, 200, 200, 201, 301, 400, 401, 403, 404, 408, 418, 429, 500, 502, 503, 0,
            -1, 999)
WRITES = tuple(route for route in ROUTES if route.writes)
ABOUT = Subject("BTC_USDT", "cl-1", 7)


class Failure(AssertionError):
    """A rule was broken by some answer."""


def _refuse(name: str) -> None:
    raise ValueError(name)


def _json(body: bytes) -> Any:
    return json.loads(body, parse_float=Decimal, parse_constant=_refuse)


def says_success(answer: Any) -> bool:
    """Whether an answer claims success, read the obvious way (protocol.md 2)."""
    if not isinstance(answer, dict) or not {"success", "code", "data"} & answer.keys():
        return True
    success, code = answer.get("success"), answer.get("code")
    if success is not None:
        return str(success).lower() in ("true", "1")
    return code is None or str(code) in ("0", "200", "-0") or (
        isinstance(code, Decimal) and code in (0, 200)) or (
        isinstance(code, str) and code.isdigit() and int(code) in (0, 200))


def _equal(ours: Any, theirs: Any) -> bool:
    if isinstance(theirs, dict):
        return isinstance(ours, Mapping) and len(ours) <= len(theirs)
    if isinstance(theirs, list):
        return isinstance(ours, tuple) and len(ours) == len(theirs) and all(
            map(_equal, ours, theirs))
    return type(ours) is type(theirs) and bool(ours == theirs)


def check(route: Route, status: int, body: bytes) -> str:
    """Break with Failure when a rule does not hold; else say what happened."""
    where = f"{route.name} {status} {body!r}"
    try:
        result = read_answer(route, status, body)
    except (VenueError, BadAnswer) as error:
        str(error).encode("utf-8")
        repr(error)
        if isinstance(error, NotFound) and error.code is None and not route.lookup:
            raise Failure(f"NotFound from a route that looks nothing up: {where}") from None
        outcome = type(error).__name__
    else:
        try:
            theirs = _json(body)
        except (ValueError, ArithmeticError, RecursionError) as fault:
            raise Failure(f"we accept, json refuses ({fault}): {where}") from fault
        if not says_success(theirs) or not 200 <= status < 300:
            raise Failure(f"read as a success: {where}")
        if route.parse is read_any:
            data = theirs.get("data") if isinstance(theirs, dict) and (
                {"success", "code", "data"} & theirs.keys()) else theirs
            if not _equal(result, data):
                raise Failure(f"we read {result!r}: {where}")
        outcome = "result"
    if route.writes:
        outcome += "/" + _check_outcome(route, status, body, where)
    return outcome


def _check_outcome(route: Route, status: int, body: bytes, where: str) -> str:
    outcome = judge(route, status, body, ABOUT, 1)
    if isinstance(outcome, Accepted):
        answer = _json(body)
        if not 200 <= status < 300 or not says_success(answer) or (
                route.parse is read_nothing and not {"success", "code", "data"} & set(answer)):
            raise Failure(f"accepted: {where}")
    elif isinstance(outcome, Rejected):
        if not (200 <= status < 300 or 400 <= status < 500) or status == 408:
            raise Failure(f"rejected without proof: {where}")
        if 200 <= status < 300:
            # only the exchange's own refusal, with a code, proves it
            answer = _json(body)
            if says_success(answer) or answer.get("code") in (None, 0, 200):
                raise Failure(f"rejected without proof: {where}")
    elif not isinstance(outcome, Unknown):
        raise Failure(f"{outcome!r} is no outcome: {where}")
    return type(outcome).__name__


def run(runs: int, seconds: float, seed: int) -> dict[str, int]:
    """The built-in mutator; what happened, by count."""
    import time

    from mutate import Mutator, answers

    mutator = Mutator(answers(), seed)
    choose = mutator.random.random
    seen: dict[str, int] = {}
    for route in ROUTES:
        for body in (b"", b"<html>", b"{}", b"[]", b"null", b'{"success":true,"code":0}',
                     b'{"success":false,"code":2001}', b'{"success":true,"code":0,"data":null}'):
            for status in STATUSES:
                check(route, status, body)
    stop = time.monotonic() + seconds if seconds else float("inf")
    done = 0
    while done < runs and (done & 63 or time.monotonic() < stop):
        body = mutator()
        pool = ROUTES if choose() < 0.7 else WRITES
        route = pool[int(choose() * len(pool))]
        status = STATUSES[int(choose() * len(STATUSES))]
        try:
            outcome = check(route, status, body)
        except Exception as fault:
            raise Failure(f"{fault!r} from {route.name} {status} {body!r}") from fault
        count = seen.get(outcome, 0)
        seen[outcome] = count + 1
        if count < 40 or (outcome.startswith("result") and not count & 127):
            mutator.keep(body)
        done += 1
    return seen


def check_bytes(data: bytes) -> None:
    """One input of a coverage-guided fuzzer: two bytes choose route and status."""
    if len(data) >= 2:
        check(ROUTES[data[0] % len(ROUTES)], STATUSES[data[1] % len(STATUSES)], data[2:])


if __name__ == "__main__":
    from command import command

    command("the reading of REST answers", run, 20260102, check_bytes)

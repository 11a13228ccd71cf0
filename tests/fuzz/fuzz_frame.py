"""Fuzz target: core/scan, core/frame, core/events and the book, against json and a dict.

Any bytes parse or raise FrameError. What we accept, json accepts with an equal value. What json
accepts and we refuse has one of the reasons of `reason_to_refuse`. Levels in a book are those of
the JSON text.

Bounded, built-in mutator:      python tests/fuzz/fuzz_frame.py --seconds 30
Long, with coverage feedback from the compiled code under AddressSanitizer (needs clang):
                                python tests/fuzz/native.py --runs 20000000
Through atheris (pure Python feedback only):
                                python tests/fuzz/fuzz_frame.py --atheris -atheris_runs=1000000
"""

from __future__ import annotations

import json
import re
import sys
from contextlib import suppress
from decimal import Decimal, localcontext
from pathlib import Path
from typing import Any

from mexcfast.core.channels import CHANNELS
from mexcfast.core.depth import Change, OrderBook
from mexcfast.core.events import parse_frame
from mexcfast.errors import BookError, FrameError

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parent))

MESSAGE = re.compile(
    r"(?s)(?:(?P<name>.*?): )?(?P<why>[^:]*?), at byte (?P<at>-?\d+) of \d+: b['\"]")
NUMBER = re.compile(r"(-?)(0|[1-9][0-9]*)(?:\.([0-9]+))?(?:[eE]([+-]?[0-9]+))?", re.ASCII)
ESCAPED = re.compile(rb'[^"\\]*\\')
FITS = 2**63 - 1
LONG_EXPONENT = 200       # ticks.pxd MAX_LONG_EXPONENT
KINDS = {row.name: {field.venue_name: field.kind for field in row.fields} for row in CHANNELS}

#: The short list of reasons for which json accepts and we refuse, and what they are about.
TYPE_REASONS = {
    "no integer that fits 63 bits", "no number of at most 64 characters", "no string",
    "neither true nor false", "no integer of milliseconds", "no integer from 0 that fits 63 bits",
    "no list of levels", "longer than 60 bytes, or half a surrogate pair",
}
LEVEL_REASONS = {
    "a level is no list", "a level is empty", "a level has no quantity",
    "a level's price is no number above 0 that fits 63 bits and 18 decimals",
    "a level's quantity is no number from 0 that fits 63 bits and 18 decimals",
    "a level's number of orders is no integer from 0",
}
SHAPE_REASONS = {
    "a list where an object was expected", "no object and no list of objects", "no object",
    "missing or empty", "missing", "version and end differ", "begin is above end",
}


class Failure(AssertionError):
    """A rule was broken by some bytes."""


class Pairs(list[tuple[str, Any]]):
    """An object with its repeated members."""


class Text(str):
    """A number as written, told apart from a string."""


def fixed(value: Any) -> tuple[int, int] | None:
    """(mantissa, scale) of a number or numeric text when it fits, read by the obvious way."""
    if not isinstance(value, str):
        return None
    match = NUMBER.fullmatch(value)
    if match is None:
        return None
    sign, whole, fraction, power = match.groups()
    scale = len(fraction or "")
    digits = (whole + (fraction or "")).lstrip("0")
    if not digits:
        return 0, 0
    while scale > 0 and digits.endswith("0"):
        digits, scale = digits[:-1], scale - 1
    zeros = len(digits) - len(digits.rstrip("0"))
    digits, scale = digits.rstrip("0"), scale - zeros
    exponent = exponent_of(power)
    if exponent is None:
        return None
    scale -= exponent
    if scale < -18 or scale > 36 or len(digits) > 19:
        return None
    mantissa = int(digits) * 10 ** max(0, -scale)
    if mantissa > FITS:
        return None
    return (-mantissa if sign else mantissa), max(scale, 0)


def exponent_of(power: str | None) -> int | None:
    """An exponent's value; None when it is beyond any sense."""
    digits = (power or "0").lstrip("+-").lstrip("0") or "0"
    if len(digits) > 4:
        return None
    return -int(digits) if power and power[0] == "-" else int(digits)


def is_long(value: Any) -> bool:
    """Whether a decimal member may hold it although it does not fit: up to 64 characters."""
    match = NUMBER.fullmatch(value) if isinstance(value, str) and len(value) <= 64 else None
    return match is not None and abs(exponent_of(match[4]) or 0) <= LONG_EXPONENT and (
        exponent_of(match[4]) is not None)


def is_level(value: Any) -> bool:
    if not isinstance(value, list) or isinstance(value, Pairs) or len(value) < 2:
        return False
    price, quantity = fixed(value[0]), fixed(value[1])
    if price is None or price[0] <= 0 or price[1] > 18:
        return False
    if quantity is None or quantity[0] < 0 or quantity[1] > 18:
        return False
    if len(value) == 2 or value[2] is None:
        return True
    orders = fixed(value[2])
    return orders is not None and orders[0] >= 0 and orders[1] == 0


def fits(kind: str, value: Any) -> bool:
    """Whether a member of that kind may hold the value (core/channels)."""
    if value is None or kind == "any":
        return True
    if kind == "str":
        return isinstance(value, str)
    number = fixed(value)
    if kind == "bool":
        return isinstance(value, bool) or number in ((0, 0), (1, 0))
    if value == "" and not isinstance(value, Text):
        return True
    if kind == "dec":
        return number is not None or is_long(value)
    return number is not None and number[1] == 0


def depth_of(value: Any) -> int:
    deepest, todo = 0, [(value, 1)]
    while todo:
        item, depth = todo.pop()
        if isinstance(item, Pairs):
            item = [inner for _, inner in item]
        if isinstance(item, list):
            deepest = max(deepest, depth)
            todo += [(inner, depth + 1) for inner in item]
    return deepest


def reason_to_refuse(data: bytes, fault: str) -> str | None:
    """The name of the reason why we may refuse this JSON text; None when there is none."""
    constants: list[str] = []
    if json.detect_encoding(data) != "utf-8":  # type: ignore[attr-defined]
        return "byte order mark, UTF-16 or UTF-32"
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        return "invalid UTF-8"
    tree = json.loads(text, object_pairs_hook=Pairs, parse_int=Text, parse_float=Text,
                      parse_constant=constants.append)
    if constants:
        return "NaN or Infinity"
    if not isinstance(tree, Pairs):
        return "no object at the top"
    if depth_of(tree) > 60 and "nested deeper than 64" in fault:
        return "nested deeper than 64 levels"
    match = MESSAGE.match(fault)
    if match is None:
        return None
    why = match["why"]
    top: dict[str, Any] = dict(tree)
    channel = top.get("channel")
    datas = [value for name, value in tree if name == "data"]
    members = [pair for value in datas for pair in
               (value if isinstance(value, Pairs) else
                [p for row in value if isinstance(row, Pairs) for p in row]
                if isinstance(value, list) else [])]
    if ESCAPED.match(data, int(match["at"])):
        return "a number or level written with escapes"
    if why in LEVEL_REASONS:
        sides = [value for name, value in [*members, *tree] if name in ("asks", "bids")]
        bad = any(not is_level(level) for side in sides if isinstance(side, list) for level in side)
        return "a level that is none" if bad else None
    if why in SHAPE_REASONS:
        return "a shape the channel does not have" if _shape_is_bad(why, top) else None
    if why in TYPE_REASONS:
        name = json.loads('"' + (match["name"] or "") + '"')
        values = [value for key, value in [*members, *tree] if key == name]
        if why == "no integer of milliseconds":
            bad = any((fixed(v) or (-1, 0))[0] < 0 or (fixed(v) or (0, 0))[1] for v in values)
        elif why.startswith("longer than 60"):
            bad = any(isinstance(v, str) and len(json.dumps(v)) > 10 for v in values)
        elif why == "no list of levels":
            bad = any(v is not None and (not isinstance(v, list) or isinstance(v, Pairs))
                      for v in values)
        elif why == "no integer from 0 that fits 63 bits":
            bad = any((fixed(v) or (-1, 0))[0] < 0 or (fixed(v) or (0, 0))[1] for v in values)
        elif name in ("channel", "symbol") and why == "no string":
            bad = any(not isinstance(v, str) or isinstance(v, Text) for v in values)
        else:
            kind = KINDS.get(channel if channel in KINDS else "rs.", {}).get(name, "any")
            bad = any(not fits(kind, v) for v in values)
        return "a member whose type or size does not fit" if bad else None
    return None


def _shape_is_bad(why: str, top: dict[str, Any]) -> bool:
    data = top.get("data")
    if why == "a list where an object was expected":
        return isinstance(data, list) and not isinstance(data, Pairs)
    if why == "no object and no list of objects":
        return not isinstance(data, list) or any(not isinstance(row, Pairs) for row in data)
    if why == "no object":
        return not isinstance(data, Pairs)
    if why == "missing or empty":
        return not top.get("symbol")
    last = dict(data) if isinstance(data, Pairs) else {}
    version, begin, end = (fixed(last.get(name)) for name in ("version", "begin", "end"))
    if why == "missing":
        return version is None and (end is None or end[0] == 0)
    if why == "version and end differ":
        return (version, end) != (end, version)
    return (begin is not None and begin[0] > (end or version or (0, 0))[0]) or bool(
        begin and version and begin[0] > version[0])


def same(a: Any, b: Any) -> bool:
    """Equal, types included, except that 0 may stand for -0.0."""
    if type(a) is not type(b):
        return False
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, list):
        return len(a) == len(b) and all(map(same, a, b))
    return bool(a == b) or (a != a and b != b)


def check(data: bytes) -> str:
    """Break with Failure when a rule does not hold; else say what happened."""
    try:
        event = parse_frame(data)
    except FrameError as fault:
        outcome = _check_refused(data, str(fault))
        event = None
    if event is not None:
        try:
            theirs = json.loads(data)
        except (ValueError, RecursionError) as fault:
            raise Failure(f"we accept, json refuses ({fault}): {data!r}") from fault
        ours = event.to_dict()
        if not same(ours, theirs):
            raise Failure(f"we read {ours!r}, json {theirs!r}: {data!r}")
        event.members()
        repr(event)
        outcome = type(event).__name__
        if outcome == "Depth":
            _check_applied(data, event)
    return outcome + _check_loads(data)


def _check_refused(data: bytes, fault: str) -> str:
    if data[:2] == b"\x1f\x8b":
        return "gzip"
    try:
        json.loads(data)
    except (ValueError, RecursionError):
        return "refused by both"
    try:
        reason = reason_to_refuse(data, fault)
    except RecursionError:
        reason = "nested deeper than 64 levels"
    if reason is None:
        raise Failure(f"json accepts, we refuse with {fault!r}: {data!r}")
    return reason


def _side(levels: Any) -> dict[Decimal, Decimal]:
    """What a book holds after these changes."""
    side: dict[Decimal, Decimal] = {}
    for level in levels or ():
        price, quantity = (Decimal(m).scaleb(-s) for m, s in map(fixed, level[:2]))  # type: ignore
        if quantity:
            side[price] = quantity
        else:
            side.pop(price, None)
    return side


def _compare(book: OrderBook, members: dict[str, Any], data: bytes) -> None:
    with localcontext() as context:
        context.prec = 100
        for ours, name in zip(book.exact(), ("bids", "asks"), strict=True):
            model = sorted(_side(members.get(name)).items(), reverse=name == "bids")
            seen = [(Decimal(p).scaleb(-book.price_scale), Decimal(q).scaleb(-book.quantity_scale))
                    for p, q, _ in ours]
            if seen != model:
                raise Failure(f"{name} hold {seen!r}, the model {model!r}: {data!r}")


def _exact(data: bytes) -> Any:
    return json.loads(data, parse_int=Text, parse_float=Text)


def _check_applied(data: bytes, event: Any) -> None:
    book = OrderBook(event.symbol)
    book.load_snapshot(b'{"asks":[],"bids":[],"version":%d}' % max(event.begin - 1, 0))
    try:
        change = book.apply(data)
    except FrameError:
        if book.depth != (0, 0):
            raise Failure(f"refused and changed the book: {data!r}") from None
        return
    if change == Change.APPLIED:
        if book.version != event.end:
            raise Failure(f"version {book.version} after {event.end}: {data!r}")
        _compare(book, _exact(data)["data"], data)


def _check_loads(data: bytes) -> str:
    """Any bytes as a frame, a snapshot and commits of some book."""
    book = OrderBook("BTC_USDT")
    done = ""
    with suppress(FrameError, BookError):
        book.apply(data)
    book = OrderBook("BTC_USDT")
    try:
        if book.load_snapshot(data) == Change.APPLIED:
            body = _exact(data)
            _compare(book, body["data"] if isinstance(body.get("data"), dict) else body, data)
            done = "+snapshot"
    except FrameError:
        if book.depth != (0, 0):
            raise Failure(f"a refused snapshot changed the book: {data!r}") from None
    book = OrderBook("BTC_USDT")
    book.load_snapshot(b'{"asks":[],"bids":[],"version":1}')
    book.apply(b'{"channel":"push.depth","symbol":"BTC_USDT","data":{"version":9,"begin":9}}')
    with suppress(FrameError):
        book.load_commits(data)
    for side in book.exact():
        if any(quantity <= 0 for _, quantity, _ in side):
            raise Failure(f"an empty level in the book: {data!r}")
    return done


def run(runs: int, seconds: float, seed: int) -> dict[str, int]:
    """The built-in mutator; what happened, by count."""
    import time

    from mutate import Mutator, frames

    samples = frames()
    mutator = Mutator(samples, seed)
    seen: dict[str, int] = {}
    for sample in samples:
        check(sample)
    stop = time.monotonic() + seconds if seconds else float("inf")
    done = 0
    while done < runs and (done & 63 or time.monotonic() < stop):
        data = mutator()
        try:
            outcome = check(data)
        except Exception as fault:
            raise Failure(f"{fault!r} from {data!r}") from fault
        count = seen.get(outcome, 0)
        seen[outcome] = count + 1
        if count < 40 or (outcome != "refused by both" and not count & 127):
            mutator.keep(data)
        done += 1
    return seen


if __name__ == "__main__":
    from command import command

    command("the frame parser and the book", run, 20260101, check)

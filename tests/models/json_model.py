"""Slow and obvious: what the standard library says about a frame, and what our table then allows.

Nothing here shares code with core/scan, core/frame or core/events; only the table of channels is
the same. Numbers keep their text (`Number`), objects keep repeated keys (`Pairs`).
"""

from __future__ import annotations

import gzip
import json
import random
import re
from decimal import Decimal
from pathlib import Path
from typing import Any

from mexcfast.core.channels import CHANNELS, Channel

DATA = Path(__file__).parents[1] / "data"
ROWS = {row.name: row for row in CHANNELS}
DEPTHS = ("push.depth", "push.depth.full", "push.depth.step")
LISTS = ("push.deal", "push.tickers")     # channels whose data may be a list of objects
NUMBER = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?")
LARGEST = 2**63 - 1


def vectors(direction: str) -> list[dict[str, Any]]:
    """Lines of the stream vectors: name, text (the frame as it stands in the file), direction."""
    found = []
    for name in ("ws_public.jsonl", "ws_private.jsonl"):
        for line in (DATA / name).read_text(encoding="utf-8").splitlines():
            entry = json.loads(line)
            if entry["direction"] == direction:
                start = line.index('"frame": ') + len('"frame": ')
                _, end = json.JSONDecoder().raw_decode(line, start)
                found.append(entry | {"text": line[start:end]})
    return found


class Number(str):
    """A JSON number by its text."""

    __slots__ = ()


class Pairs(list[tuple[str, Any]]):
    """A JSON object with repeated keys kept."""

    def last(self, key: str, default: Any = None) -> Any:
        return next((value for name, value in reversed(self) if name == key), default)


def exact(text: bytes | str) -> Any:
    """JSON with Number leaves and Pairs objects; json.loads' errors."""
    return json.loads(text, parse_int=Number, parse_float=Number, object_pairs_hook=Pairs)


def decimal_of(value: Any) -> Decimal | None:
    """The number a Number or numeric string stands for; None when it is none."""
    if not isinstance(value, str) or not NUMBER.fullmatch(value):
        return None
    return Decimal(value)


def fits(value: Any, decimals: int) -> bool:
    """A number of at most 63 bits without sign and point, with at most that many decimals."""
    number = decimal_of(value)
    if number is None:
        return False
    _, digits, exponent = number.as_tuple()
    assert isinstance(exponent, int)
    mantissa = int("".join(map(str, digits)).lstrip("0")[:400] or "0")
    if mantissa == 0:
        return not any(digits)
    if abs(exponent) > 4000:
        return False
    while mantissa % 10 == 0:
        mantissa //= 10
        exponent += 1
    if exponent > 0:
        mantissa *= 10 ** min(exponent, 40)
        exponent = 0
    return mantissa <= LARGEST and -exponent <= decimals


def is_long(value: Any) -> bool:
    """A number that does not fit, within reason."""
    return decimal_of(value) is not None and len(value) <= 64 and abs(
        int(re.split("[eE]", value + "e0")[1])) <= 200


def is_integer(value: Any) -> bool:
    return fits(value, 0)


def member_fits(value: Any, kind: str) -> bool:
    """Whether core/channels lets a member of this kind hold the value."""
    if value is None:
        return True
    if kind == "dec":
        return (value == "" and not isinstance(value, Number)) or fits(value, 36) or is_long(value)
    if kind == "int":
        return (value == "" and not isinstance(value, Number)) or is_integer(value)
    if kind == "str":
        return isinstance(value, str)
    if kind == "bool":
        number = decimal_of(value)
        return isinstance(value, bool) or (number is not None and number in (0, 1))
    return True


def level_fits(level: Any) -> bool:
    if not isinstance(level, list) or isinstance(level, Pairs) or len(level) < 2:
        return False
    price, quantity = decimal_of(level[0]), decimal_of(level[1])
    if price is None or price <= 0 or not fits(level[0], 18):
        return False
    if quantity is None or quantity < 0 or not fits(level[1], 18):
        return False
    if len(level) < 3 or level[2] is None:
        return True
    orders = decimal_of(level[2])
    return orders is not None and orders >= 0 and is_integer(level[2])


def depth_fits(frame: Pairs) -> bool:
    data = frame.last("data")
    if not isinstance(data, Pairs) or not frame.last("symbol"):
        return False
    begin, end, version = 0, 0, -1
    for name, value in data:
        if name in ("asks", "bids"):
            if value is None:
                continue
            if not isinstance(value, list) or isinstance(value, Pairs):
                return False
            if not all(level_fits(level) for level in value):
                return False
        if name in ("begin", "end", "version") and value is not None:
            if not is_integer(value) or Decimal(value) < 0:
                return False
            if name == "begin":
                begin = int(Decimal(value))
            elif name == "end":
                end = int(Decimal(value))
            else:
                version = int(Decimal(value))
    end = end or version
    return end >= 0 and version in (-1, end) and (begin or end) <= end


def channel_of(frame: Pairs) -> Channel | None:
    """The table's row; None for a frame without channel."""
    name = frame.last("channel", Ellipsis)
    if name is Ellipsis:
        return None
    return ROWS.get(name) or ROWS["rs." if name.startswith("rs.") else ""]


def objects_of(data: Any) -> list[Pairs]:
    """The objects that data holds."""
    if isinstance(data, Pairs):
        return [data]
    if isinstance(data, list) and all(isinstance(each, Pairs) for each in data):
        return data
    return []


def members_fit(frame: Pairs) -> bool:
    """Whether every member the table lists has a type and size that fit."""
    name = frame.last("channel", Ellipsis)
    if name is not Ellipsis and (not isinstance(name, str) or isinstance(name, Number)):
        return False
    row = channel_of(frame)
    if row is not None and row.name == "":
        return True
    ts, symbol = frame.last("ts"), frame.last("symbol")
    if ts is not None and (not is_integer(ts) or Decimal(ts) < 0):
        return False
    if symbol is not None and (not isinstance(symbol, str) or isinstance(symbol, Number)):
        return False
    if symbol is not None:
        try:
            if len(symbol.encode()) > 60:
                return False
        except UnicodeEncodeError:
            return False
    if row is None:
        return True
    data = frame.last("data")
    if row.name in DEPTHS:
        if not depth_fits(frame):
            return False
    elif isinstance(data, list) and not isinstance(data, Pairs) and (
            data == [] or objects_of(data)):
        if row.name not in (*LISTS, "rs.", "rs.error"):
            return False
    elif data is not None and not isinstance(data, Pairs) and row.name not in (
            "pong", "rs.", "rs.error"):
        return False
    kinds = {field.venue_name: field.kind for field in row.fields}
    return all(member_fits(value, kinds[name])
               for each in objects_of(data) for name, value in each if name in kinds)


def depth_of(value: Any) -> int:
    """Nested objects and arrays."""
    if isinstance(value, Pairs):
        return 1 + max((depth_of(each) for _, each in value), default=0)
    if isinstance(value, list):
        return 1 + max((depth_of(each) for each in value), default=0)
    return 0


def refusals(text: bytes) -> set[str]:
    """Why we may refuse a text: the whole named list. Empty when nothing allows it.

    json     the standard library refuses it too
    constant NaN and Infinity, which JSON does not have
    encoding anything but plain UTF-8 without a byte order mark; half a surrogate pair in a symbol
    depth    more than 64 nested objects and arrays
    digits   an integer longer than Python reads
    object   no object at the top
    member   a listed member's type or size does not fit
    """
    why = set()
    constants: list[str] = []
    try:
        text.decode()
        if text[:3] == b"\xef\xbb\xbf" or b"\0" in text:
            why.add("encoding")
    except UnicodeDecodeError:
        why.add("encoding")
    try:
        frame = json.loads(text, parse_int=Number, parse_float=Number, object_pairs_hook=Pairs,
                           parse_constant=constants.append)
    except (ValueError, RecursionError):
        return why | {"json"}
    if constants:
        why.add("constant")
    if depth_of(frame) > 64:
        why.add("depth")
    try:
        json.loads(text)
    except ValueError:
        why.add("digits")
    if not isinstance(frame, Pairs):
        return why | {"object"}
    if not members_fit(frame):
        why.add("member")
    return why


def same(ours, theirs) -> bool:
    """Equal in value and in type, all the way down."""
    if type(ours) is not type(theirs):
        return False
    if isinstance(ours, dict):
        return ours.keys() == theirs.keys() and all(same(ours[k], theirs[k]) for k in ours)
    if isinstance(ours, list):
        return len(ours) == len(theirs) and all(map(same, ours, theirs))
    return ours == theirs


# -- writing the same frame in other ways ---------------------------------------------------------

def quoted(value: Any) -> Any:
    """A Number as a string."""
    return str(value) if isinstance(value, Number) else value


def exponent_form(number: str) -> str:
    sign, digits, exponent = Decimal(number).as_tuple()
    assert isinstance(exponent, int)
    text = "".join(map(str, digits))
    return f"{'-' if sign else ''}{text[0]}.{text[1:] or '0'}E{exponent + len(text) - 1:+d}"


def write(value: Any, rng: random.Random, *, spaces: bool = False, shuffle: bool = False,
          escapes: bool = False, exponents: bool = False) -> str:
    """JSON text of exact()'s value; every freedom JSON leaves is taken at random when asked for."""
    def space() -> str:
        return rng.choice(["", " ", "\n", "\t ", "\r\n  "]) if spaces else ""

    def string(text: str) -> str:
        if not escapes:
            return json.dumps(text, ensure_ascii=False)
        out = []
        for letter in text:
            code = ord(letter)
            if code > 0xFFFF or rng.random() < 0.5:
                out.append(json.dumps(letter, ensure_ascii=rng.random() < 0.5)[1:-1])
            elif letter == "/" and rng.random() < 0.5:
                out.append("\\/")
            else:
                out.append(f"\\u{code:04x}" if rng.random() < 0.5 else f"\\u{code:04X}")
        return f'"{"".join(out)}"'

    def text_of(item: Any) -> str:
        if isinstance(item, Number):
            return exponent_form(item) if exponents and rng.random() < 0.5 else str(item)
        if isinstance(item, str):
            # numbers in strings are never escaped by the venue, and refused by us when they are
            return json.dumps(item) if NUMBER.fullmatch(item) else string(item)
        if isinstance(item, Pairs):
            pairs = rng.sample(item, len(item)) if shuffle else item
            inside = ",".join(f"{space()}{string(name)}{space()}:{space()}{text_of(each)}{space()}"
                              for name, each in pairs)
            return f"{{{inside}{space()}}}"
        if isinstance(item, list):
            return f"[{','.join(space() + text_of(each) + space() for each in item)}{space()}]"
        return json.dumps(item)

    return space() + text_of(value) + space()


def packed(text: str) -> bytes:
    """As the venue sends it when asked for gzip."""
    return gzip.compress(text.encode(), mtime=0)

"""The built-in mutator: seeded, needs nothing but the standard library.

Knows the venue's texts: it swaps values for troublesome ones, repeats, renames and drops members,
nests, cuts, splices two samples and spoils single bytes.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

DATA = Path(__file__).parents[1] / "data"

#: Values that have broken readers of numbers, strings and levels.
VALUES = [
    b"0", b"-0", b"-0.0", b"0.0", b"1", b"-1", b"1.0", b"1e5", b"1E-5", b"1e400", b"1e-400", b"0e0",
    b"01", b"1.", b".5", b"+1", b"1e", b"1e+", b"--1", b"NaN", b"Infinity", b"-Infinity", b"0x1",
    b"9223372036854775807", b"9223372036854775808", b"-9223372036854775808",
    b"18446744073709551616", b"9007199254740993", b"99999999999999999999999999", b"1e18", b"1e19",
    b"0.1e-17", b"1e-18",
    b"1e-36", b"1e-37", b"109777.500000000000000000", b"97284530.448634083318792525314410007362",
    b"0." + b"0" * 30 + b"1", b"1" + b"0" * 40, b"1e4096", b"1e99999999999999999999", b"1" * 4300,
    b"1" * 4301, b"true", b"false", b"null", b"tru", b'""', b'"1"', b'"1.5"', b'"-3"', b'"1e3"',
    b'" 1"', b'"true"', b'"\\u0031"', b'"\\ud800"', b'"\\udc00\\ud800"', b'"\\ud83d\\ude00"',
    b'"\\u00"', b'"\\x"', b'"a\\', b'"\xff"', b'"\xed\xa0\x80"', b'"\xc0\x80"',
    b'"\xf4\x90\x80\x80"', b'"\xe4\xba\xba"', b'"\xe4\xba"', b'"\x00"', b'"\x1f"', b'"\x7f"',
    b'"' + b"A" * 60 + b'"',
    b'"' + b"A" * 61 + b'"', b"[]", b"{}", b"[[]]", b"[{}]", b"[[1]]", b"[[1,2]]", b"[[1,2,3]]",
    b'[["1","2","3"]]', b"[[1,2,null]]", b"[[1,0]]", b"[[0,1]]", b"[[-1,1]]", b"[[1,-1]]",
    b"[[1,2,3,4]]", b"[[1,2],3]", b"[[1,2],]", b"[1,2]", b"[[1,2,1.5]]", b"[[1e-18,1e-18,1]]",
    b"[[9223372036854775807,1],[0.000000000000000001,1]]", b'[{"a":1},{"a":2}]', b'[{"a":1},3]',
    b"[" * 63 + b"]" * 63, b"[" * 70 + b"]" * 70, b'{"a":' * 62 + b"1" + b"}" * 62,
    b"\xef\xbb\xbf", b" ", b"\n", b"\t", b"\x0c", b",", b":", b"{", b"}", b"[", b"]", b'"', b"\\",
    b"<html>", b'"success"', b"2001", b"200", b"1001", b"2040", b"602",
]

#: Member names and channels; the rest comes from the samples.
NAMES = [
    b'"channel":', b'"data":', b'"symbol":', b'"ts":', b'"asks":', b'"bids":', b'"version":',
    b'"begin":', b'"end":', b'"code":', b'"success":', b'"message":', b'"\\u0061sks":', b'"a":',
    b'"push.depth"', b'"push.depth.full"', b'"push.depth.step"', b'"push.deal"', b'"push.tickers"',
    b'"pong"', b'"rs.error"', b'"rs.sub.depth"', b'"push.personal.order"', b'"push.unheard"',
    b'"BTC_USDT"', b'"orderId":', b'"externalOid":', b'"errorCode":', b'"resultList":',
]


def lines(name: str) -> list[dict[str, Any]]:
    """The samples of one file in tests/data."""
    text = (DATA / name).read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]


def packed(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode("utf-8")


def frames() -> list[bytes]:
    """Every frame the venue is known to send, and REST bodies that a book loads."""
    found = [packed(sample["frame"]) for name in ("ws_public.jsonl", "ws_private.jsonl")
             for sample in lines(name) if "frame" in sample]
    found += [packed(sample["response"]) for sample in lines("rest_responses.jsonl")
              if "depth" in sample["path"]]
    return found


def answers() -> list[bytes]:
    """Every REST body of the samples."""
    return [packed(sample["response"]) for sample in lines("rest_responses.jsonl")]


class Mutator:
    """Endless variations of some samples; the same seed gives the same sequence."""

    def __init__(self, samples: list[bytes], seed: int) -> None:
        self.random = random.Random(seed)
        self.samples = samples
        self.kept: list[bytes] = []
        self.steps: list[Callable[[bytes], bytes]] = [
            self._value, self._value, self._tree, self._name, self._byte, self._cut, self._repeat,
            self._splice, self._space]

    def __call__(self) -> bytes:
        r = self.random
        pool = self.kept if self.kept and r.random() < 0.3 else self.samples
        data = pool[int(r.random() * len(pool))]
        for _ in range(1 + int(r.expovariate(0.9))):
            data = self.steps[int(r.random() * len(self.steps))](data)
        return data[:60_000]

    def keep(self, data: bytes) -> None:
        """Build on this one, too: it reached something new."""
        if len(self.kept) < 5000:
            self.kept.append(data)

    def _at(self, data: bytes) -> int:
        return int(self.random.random() * (len(data) + 1))

    def _spot(self, data: bytes) -> int:
        """The start of some value: behind a colon, comma or bracket."""
        at = self._at(data)
        found = [data.find(mark, at) for mark in (b":", b",", b"[")]
        best = min((place for place in found if place >= 0), default=-1)
        return best + 1 if best >= 0 else at

    def _value(self, data: bytes) -> bytes:
        start = self._spot(data)
        stop = start
        while stop < len(data) and data[stop] not in b",]}":
            stop += 1
        value = VALUES[int(self.random.random() * len(VALUES))]
        if self.random.random() < 0.2:
            return data[:start] + value + data[start:]
        return data[:start] + value + data[stop:]

    def _name(self, data: bytes) -> bytes:
        name = NAMES[int(self.random.random() * len(NAMES))]
        start = self._spot(data)
        if not name.endswith(b":"):
            return data[:start] + name + data[start:]
        value = VALUES[int(self.random.random() * len(VALUES))]
        return data[:start] + name + value + b"," + data[start:]

    def _byte(self, data: bytes) -> bytes:
        at = self._at(data)
        byte = bytes([int(self.random.random() * 256)])
        return data[:at] + byte + data[at + int(self.random.random() * 3):]

    def _cut(self, data: bytes) -> bytes:
        a, b = sorted((self._at(data), self._at(data)))
        return data[:a] if self.random.random() < 0.3 else data[:a] + data[min(b, a + 24):]

    def _repeat(self, data: bytes) -> bytes:
        a, b = sorted((self._spot(data), self._spot(data)))
        part = data[a:min(b, a + 200)]
        at = self._spot(data)
        return data[:at] + part + data[at:]

    def _splice(self, data: bytes) -> bytes:
        other = self.samples[int(self.random.random() * len(self.samples))]
        return data[:self._spot(data)] + other[self._spot(other):]

    def _space(self, data: bytes) -> bytes:
        at = self._spot(data)
        return data[:at] + self.random.choice((b" ", b"\r\n", b"\t \n")) + data[at:]

    def _tree(self, data: bytes) -> bytes:
        """One change that keeps the text JSON."""
        r = self.random
        try:
            root = json.loads(data)
        except (ValueError, RecursionError):
            return data
        here = root if isinstance(root, (dict, list)) else []
        for _ in range(int(r.random() * 5)):
            inner = list(here.values() if isinstance(here, dict) else here)
            inner = [item for item in inner if isinstance(item, (dict, list)) and item]
            if not inner:
                break
            here = r.choice(inner)
        if not isinstance(here, (dict, list)) or not here:
            return data
        key: Any = r.choice(list(here)) if isinstance(here, dict) else r.randrange(len(here))
        kind = r.random()
        if kind < 0.25:
            del here[key]
        elif kind < 0.5:
            here[key] = r.choice([None, 0, -1, 1.5, "", "7", True, [], {}, [1, 2], 2**63, 10**19])
        elif kind < 0.75 and isinstance(here, list):
            here.append(here[key])
        else:
            here[key] = [here[key]] if r.random() < 0.5 else {"a": here[key]}
        try:
            return json.dumps(root, ensure_ascii=r.random() < 0.3).encode("utf-8")
        except (ValueError, UnicodeEncodeError, RecursionError):
            return data

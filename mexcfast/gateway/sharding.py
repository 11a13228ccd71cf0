"""Which of N processes carries a contract: rendezvous hashing.

Each shard draws a number for each contract, the highest carries it. With one shard more only those
contracts move for which the new one draws highest, on average 1 of N + 1; no table, no order of
starting, the same answer everywhere and for ever.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from hashlib import blake2b
from typing import NamedTuple

from mexcfast.errors import ConfigError

MOST = 1024


def shard_of(symbol: str, count: int) -> int:
    """The shard, 0 to count - 1, that carries a contract."""
    return max(range(count), key=lambda shard: (_draw(symbol, shard), shard))


def _draw(symbol: str, shard: int) -> bytes:
    return blake2b(symbol.encode(), digest_size=8, salt=shard.to_bytes(8, "little")).digest()


class Shard(NamedTuple):
    """One of `total` processes."""

    number: int
    total: int

    @classmethod
    def parse(cls, text: str) -> Shard:
        """From "0/4". Raises ConfigError."""
        match = re.fullmatch(r"(\d{1,4})/(\d{1,4})", text)
        if match is None or not int(match[1]) < int(match[2]) <= MOST:
            raise ConfigError(f"shard is {text!r}; allowed: 0/1 to {MOST - 1}/{MOST}, number below "
                              "count")
        return cls(int(match[1]), int(match[2]))

    def __str__(self) -> str:
        return f"{self.number}/{self.total}"

    def owns(self, symbol: str) -> bool:
        """Whether it carries a contract."""
        return self.total == 1 or shard_of(symbol, self.total) == self.number

    def of(self, symbols: Iterable[str]) -> list[str]:
        """Those it carries, in the order given."""
        return [symbol for symbol in symbols if self.owns(symbol)]

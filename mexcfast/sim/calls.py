"""What REST handlers are given and what they may answer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from mexcfast.sim.accounts import Account
from mexcfast.sim.checks import Params, Refused

DAY_MS = 86_400_000
#: Default span and longest span of history queries (protocol.md 16.3).
DEFAULT_SPAN_MS = 7 * DAY_MS
LONGEST_SPAN_MS = 90 * DAY_MS


class Nothing:
    """A handler's answer without `data`."""


NOTHING = Nothing()


@dataclass(frozen=True, slots=True)
class Reply:
    """A success whose envelope differs from the usual one."""

    data: Any
    code: int = 0
    message: str | None = None


@dataclass(frozen=True, slots=True)
class File:
    """A success that is a file and no JSON."""

    body: bytes
    content_type: str


@dataclass(slots=True)
class Call:
    """One request after the checks, as handlers see it."""

    params: Params
    body: Any
    path: dict[str, str]
    account: Account | None = None

    @property
    def user(self) -> Account:
        """The account of a private call."""
        if self.account is None:
            raise Refused(401)
        return self.account

    def rows(self, largest: int, code: int) -> list[Any]:
        """The body as a non-empty array of at most `largest` items."""
        if not isinstance(self.body, list) or not self.body:
            raise Refused(600, "a non-empty array is expected")
        if len(self.body) > largest:
            raise Refused(code)
        return self.body

    def objects(self, largest: int, code: int) -> list[Params]:
        """The body as an array of objects; a single object is read as one item."""
        if isinstance(self.body, dict):
            self.body = [self.body]
        found = []
        for item in self.rows(largest, code):
            if not isinstance(item, dict):
                raise Refused(600, "an array of objects is expected")
            found.append(Params(item))
        return found


def page(rows: list[Any], params: Params, largest: int) -> list[Any]:
    """One page as a bare array."""
    number, size = params.page(largest)
    return rows[(number - 1) * size : number * size]


def paged(rows: list[Any], number: int, size: int) -> dict[str, Any]:
    """The paged object of protocol.md 2."""
    return {
        "pageSize": size,
        "totalCount": len(rows),
        "totalPage": -(-len(rows) // size),
        "currentPage": number,
        "resultList": rows[(number - 1) * size : number * size],
    }


def times(params: Params, now_ms: int) -> tuple[int, int]:
    """Both spellings of the bounds (20, row 17): by default the last 7 days; 6003.

    Only a span that was asked for on both sides is held against the limit of 90 days.
    """
    start = params.integer("start_time", "startTime")
    end = params.integer("end_time", "endTime")
    high = end if end is not None else now_ms + DAY_MS  # a little ahead: clocks differ
    low = start if start is not None else min(high, now_ms) - DEFAULT_SPAN_MS
    asked = start is not None and end is not None
    if low > high or (asked and high - low > LONGEST_SPAN_MS):
        raise Refused(6003)
    return low, high


def integers(text: str, name: str) -> list[int]:
    """A comma list of whole numbers."""
    items = [item.strip() for item in text.split(",") if item.strip()]
    return [Params({name: item}).need_integer(name) for item in items]

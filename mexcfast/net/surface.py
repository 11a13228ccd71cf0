"""What the rooms of the REST surface share: which endpoint a method serves, and paging."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any, TypeVar

from mexcfast.core.intent import encode_body
from mexcfast.core.rest import Subject, find
from mexcfast.net.executor import Executor
from mexcfast.types import Outcome

T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., Any])

#: Pages after which a walk gives up: the venue keeps 90 days at most.
MOST_PAGES = 10_000


def serves(*names: str) -> Callable[[F], F]:
    """Marks a method with the names of the endpoints in core/rest.ROUTES it calls."""
    for name in names:
        find(name)

    def mark(method: F) -> F:
        method.routes = names  # type: ignore[attr-defined]
        return method
    return mark


async def walk(fetch: Callable[[int], Awaitable[tuple[T, ...]]], page_size: int
               ) -> AsyncIterator[T]:
    """Every item of every page, in the venue's order.

    fetch: gives page 1, 2, ... A page shorter than page_size is the last; so is one that repeats
    the page before it, which a server that ignores the number would send for ever.
    """
    before: tuple[T, ...] = ()
    for number in range(1, MOST_PAGES + 1):
        page = await fetch(number)
        if page == before:
            return
        for item in page:
            yield item
        if len(page) < page_size:
            return
        before = page


class Surface:
    """A part of the REST surface over one executor."""

    def __init__(self, executor: Executor) -> None:
        self._executor = executor

    async def _read(self, name: str, path: Mapping[str, object] | None = None,
                    **params: object) -> Any:
        """A GET; parameters that are None are left out."""
        return await self._executor.request(name, path, params)

    async def _ask(self, name: str, **members: object) -> Any:
        """A query by POST."""
        return await self._executor.request(name, body=encode_body(members))

    async def _write(self, name: str, members: Mapping[str, object] | list[Any] | None,
                     about: Subject | None = None, wait: bool | None = None) -> Outcome:
        """A change; members that are None are left out, None sends no body."""
        body = None if members is None else encode_body(members)
        return await self._executor.execute(name, body, about, wait=wait)

"""Names of contracts, checked against the exchange's list; near ones are suggested."""

from __future__ import annotations

import asyncio
import difflib
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager

import mexcfast as mx
from mexcfast.core.topics import Topic
from mexcfast.errors import ConfigError, MexcfastError, SymbolError, VenueError


def near(symbol: str, names: Iterable[str]) -> list[str]:
    """Up to three names that may have been meant, the likeliest first."""
    def bare(name: str) -> str:
        return name.upper().replace("_", "").replace("-", "").replace("/", "")

    names = list(names)
    wanted = bare(symbol)
    same = [name for name in names if bare(name) == wanted]
    begin = sorted((name for name in names if bare(name).startswith(wanted)), key=len)
    by_bare = {bare(name): name for name in names}
    close = [by_bare[each] for each in difflib.get_close_matches(wanted, by_bare, 3, 0.7)]
    return list(dict.fromkeys([*same, *begin, *close]))[:3]


def check(symbols: Iterable[str], names: Iterable[str], where: str) -> None:
    """ConfigError for the first name that is no contract there, with what may have been meant."""
    names = list(names)
    known = set(names)
    for symbol in symbols:
        if symbol not in known:
            meant = near(symbol, names)
            raise ConfigError(f"{symbol} is no contract of {where}; "
                              + (f"did you mean {' or '.join(meant)}?" if meant else
                                 f"it has {len(names)}, such as {', '.join(names[:3])}"))


async def ask(client: mx.Client, symbols: Iterable[str]) -> None:
    """Check names against the exchange's own list; whatever the request raises is raised."""
    names = [each.symbol for each in await client.market_api.contracts()]
    check(symbols, names, client.endpoint.rest_url)


async def keep_asking(client: mx.Client, symbols: Sequence[str], tell: Callable[[str], object],
                      again_s: float = 5.0) -> None:
    """As ask(); tells of an exchange that does not answer and asks it again."""
    while True:
        try:
            await ask(client, symbols)
            return
        except ConfigError:
            raise
        except MexcfastError as fault:
            tell(f"{client.endpoint.rest_url} does not answer: {fault}; trying again")
        await asyncio.sleep(again_s)


async def raise_refusal(client: mx.Client, topic: Topic, asking: asyncio.Task[None]) -> None:
    """VenueError when a topic was refused; ConfigError with near names when that is the reason."""
    try:
        client.market.pool.raise_refusal(topic)
    except VenueError:
        await asyncio.wait((asking,), timeout=5)      # knows better what is wrong with the name
        if asking.done():
            asking.result()
        raise


@asynccontextmanager
async def named(client: mx.Client, *symbols: str | None) -> AsyncIterator[None]:
    """When the exchange does not know a contract, say which it may have been."""
    try:
        yield
    except SymbolError as unknown:
        try:
            await ask(client, [each for each in symbols if each])
        except ConfigError as better:
            raise better from None
        except MexcfastError:
            pass
        raise unknown

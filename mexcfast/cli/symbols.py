"""Names of contracts: completed without a network, checked with one, and a near one suggested."""

from __future__ import annotations

import asyncio
import difflib
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager, suppress
from itertools import islice

import mexcfast as mx
from mexcfast.core.tap import Kind
from mexcfast.errors import ConfigError, MexcfastError, SymbolError
from mexcfast.tape import format as form
from mexcfast.tape.format import Record

#: What is completed without asking anybody: contracts that have been traded most for years.
KNOWN = (
    "ADA_USDT", "AVAX_USDT", "BCH_USDT", "BNB_USDT", "BTC_USD", "BTC_USDT", "DOGE_USDT",
    "DOT_USDT", "ETH_USD", "ETH_USDT", "LINK_USDT", "LTC_USDT", "NEAR_USDT", "SOL_USDT",
    "SUI_USDT", "TON_USDT", "TRX_USDT", "UNI_USDT", "XLM_USDT", "XRP_USDT")
LOOKED_AT = 5000        # records of a tape that completion reads


def complete(incomplete: str) -> list[str]:
    """For the shell: well-known contracts; btc finds BTC_USDT."""
    return [name for name in KNOWN if name.startswith(incomplete.upper())]


def complete_of_tape(path: str, incomplete: str) -> list[str]:
    """For the shell: the contracts on a tape."""
    found: set[str] = set()
    with suppress(MexcfastError, OSError):
        for record in islice(form.read(path), LOOKED_AT):
            if isinstance(record, Record) and record.kind == Kind.LISTENED:
                found.add(record.payload.decode(errors="replace").partition(" ")[2])
    return sorted(name for name in found if name and name.startswith(incomplete.upper()))


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


@asynccontextmanager
async def named(client: mx.Client, *symbols: str | None) -> AsyncIterator[None]:
    """When the exchange does not know a contract, say which it may have been."""
    try:
        yield
    except SymbolError:
        with suppress(MexcfastError):
            try:
                await ask(client, [each for each in symbols if each])
            except ConfigError as better:
                raise better from None
        raise

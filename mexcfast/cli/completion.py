"""What the shell offers behind Tab, without a network. Light: it is loaded at each press."""

from __future__ import annotations

from contextlib import suppress
from itertools import islice

import typer

#: Contracts that have been traded most for years; every other name can be typed as well.
KNOWN = (
    "ADA_USDT", "AVAX_USDT", "BCH_USDT", "BNB_USDT", "BTC_USD", "BTC_USDT", "DOGE_USDT",
    "DOT_USDT", "ETH_USD", "ETH_USDT", "LINK_USDT", "LTC_USDT", "NEAR_USDT", "SOL_USDT",
    "SUI_USDT", "TON_USDT", "TRX_USDT", "UNI_USDT", "XLM_USDT", "XRP_USDT")
LOOKED_AT = 5000        # records of a tape that completion reads


def symbols(incomplete: str) -> list[str]:
    """Well-known contracts; btc finds BTC_USDT."""
    return [name for name in KNOWN if name.startswith(incomplete.upper())]


def symbols_of_tape(context: typer.Context, incomplete: str) -> list[str]:
    """The contracts on the tape that is named already."""
    from mexcfast.core.tap import Kind
    from mexcfast.errors import MexcfastError
    from mexcfast.tape import format as form

    # while a line is being completed its arguments are not given to their parameters yet
    path = context.params.get("path") or next(iter(context.args), "")
    found: set[str] = set()
    with suppress(MexcfastError, OSError):
        for record in islice(form.read(path), LOOKED_AT):
            if isinstance(record, form.Record) and record.kind == Kind.LISTENED:
                found.add(record.payload.decode(errors="replace").partition(" ")[2])
    return sorted(name for name in found if name and name.startswith(incomplete.upper()))


def triggers(incomplete: str) -> list[str]:
    """What trips the kill switch and has a drill."""
    from mexcfast.core.killswitch import Trigger

    return [str(each) for each in Trigger if str(each).startswith(incomplete)
            and each is not Trigger.STATE_FILE]


def parts(incomplete: str) -> list[str]:
    """What is measured."""
    from mexcfast.cli.bench import PARTS

    return [each for each in PARTS if each.startswith(incomplete)]


def tables(incomplete: str) -> list[str]:
    """What a tape is exported into."""
    from mexcfast.tape.tables import TABLES

    return [each for each in TABLES if each.startswith(incomplete)]

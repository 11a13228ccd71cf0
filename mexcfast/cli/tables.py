"""How commands show records: tables in a terminal, aligned text when piped, JSON on request."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from enum import Enum
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

PLAIN_WIDTH = 200


def console() -> Console:
    """Standard output; lines of piped text are not folded, whatever COLUMNS says."""
    found = Console(highlight=False)
    return found if found.is_terminal else Console(highlight=False, width=PLAIN_WIDTH)


def plain(value: Any) -> Any:
    """A result as JSON can hold it: exact numbers as text, enums by name, our field names."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain(getattr(value, field.name)) for field in
                dataclasses.fields(value) if field.repr}
    if isinstance(value, Enum):
        return value.name
    if isinstance(value, Decimal):
        return text(value)
    if isinstance(value, Mapping):
        return {str(name): plain(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [plain(each) for each in value]
    if isinstance(value, BaseException):
        return f"{type(value).__name__}: {value}"
    return value


def text(value: Decimal) -> str:
    """Without an exponent and without trailing zeros behind the point."""
    shown = f"{value:f}"
    return shown.rstrip("0").rstrip(".") if "." in shown else shown


def print_json(value: Any) -> None:
    """One JSON document on one line."""
    print(json.dumps(plain(value)), flush=True)


def cell(value: Any) -> Text:
    """One field as people read it: losses red, gains green where the sign matters."""
    if value is None:
        return Text("-", style="dim")
    if isinstance(value, Decimal):
        return Text(text(value))
    if isinstance(value, Enum):
        return Text(value.name.lower().replace("_", " "))
    return Text(str(value))


def signed(value: Decimal | None) -> Text:
    """An amount that is good when positive."""
    shown = cell(value)
    if value:
        shown.stylize("green" if value > 0 else "red")
    return shown


def show(out: Console, title: str, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """A titled table; a line that says so when there is nothing."""
    out.print(Text(title, style="bold"))
    table = Table(box=SIMPLE_HEAD if out.is_terminal else None, pad_edge=False,
                  header_style="dim")
    for name in columns:
        table.add_column(name, justify="left" if name in LEFT else "right",
                         overflow="fold" if out.is_terminal else "ignore")
    for row in rows:
        table.add_row(*[each if isinstance(each, Text) else cell(each) for each in row])
    if table.row_count:
        out.print(table)
    else:
        out.print(Text("  none", style="dim"))


LEFT = {"contract", "currency", "side", "type", "state", "client id", "margin"}

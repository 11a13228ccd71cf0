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
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

PLAIN_WIDTH = 200
UNLIMITED = 10_000


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
    """A titled table; a line that says so when there is nothing.

    In a terminal that is too narrow for it each row becomes a few lines of names and values.
    """
    out.print(Text(title, style="bold"))
    cells = [[each if isinstance(each, Text) else cell(each) for each in row] for row in rows]
    if not cells:
        out.print(Text("  none", style="dim"))
        return
    table = Table(box=SIMPLE_HEAD if out.is_terminal else None, pad_edge=False,
                  header_style="dim")
    for name in columns:
        table.add_column(name, justify="left" if name in LEFT else "right", no_wrap=True)
    for row in cells:
        table.add_row(*row)
    needed = Measurement.get(out, out.options.update(width=UNLIMITED), table).maximum
    if not out.is_terminal or needed <= out.width:
        out.print(table)
        return
    for row in cells:
        for line in card(columns, row, out.width):
            out.print(line, no_wrap=True)


def card(columns: Sequence[str], row: Sequence[Text], width: int) -> list[Text]:
    """One row as lines no wider than that, names dim, what follows the first line indented."""
    lines: list[Text] = []
    line = Text("- ")
    for name, value in zip(columns, row, strict=True):
        pair = Text.assemble((f"{name} ", "dim"), value)
        if line.cell_len > 2 and line.cell_len + 3 + pair.cell_len > width:
            lines.append(line)
            line = Text("  ")
        if line.cell_len > 2:
            line.append("   ")
        line.append_text(pair)
    return [*lines, line]


LEFT = {"time", "contract", "currency", "side", "type", "state", "client id", "margin"}

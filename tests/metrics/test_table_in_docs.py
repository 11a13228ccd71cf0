"""docs/metrics.md lists the table as it is."""

from __future__ import annotations

from pathlib import Path

from mexcfast.metrics import TABLE

PAGE = Path(__file__).parents[2] / "docs" / "metrics.md"
BEGIN = "<!-- metrics: the table, held against mexcfast/metrics/table.py by a test -->\n"
END = "<!-- /metrics -->\n"


def table() -> str:
    lines = ["| Name | Kind | Labels | What |", "| --- | --- | --- | --- |"]
    for row in TABLE:
        name = row.name + ("_total" if row.kind == "counter" else "")
        labels = ", ".join(f"`{label}`" for label in row.labels)
        lines.append(f"| `{name}` | {row.kind} | {labels} | {row.help} |")
    return "\n".join(lines) + "\n"


def test_the_page_lists_every_metric() -> None:
    text = PAGE.read_text("utf-8")
    assert text[text.index(BEGIN) + len(BEGIN):text.index(END)] == table()

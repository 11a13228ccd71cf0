"""The README's figures come from bench/reports/latest.json and from nowhere else.

    python bench/paste.py            writes them between the README's two marks
    python bench/report.py --keep    measures everything, then does this

A test compares the README with the report.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

from harness import HERE, ROOT, write_json

LATEST = HERE / "reports" / "latest.json"
README = ROOT / "README.md"
BEGIN, END = "<!-- figures: bench/paste.py writes them -->", "<!-- /figures -->"


def keep(report: dict[str, Any]) -> None:
    """Make a whole report the repository's, and paste it."""
    write_json(LATEST, report)
    README.write_text(pasted(README.read_text(encoding="utf-8")), encoding="utf-8")


def figures() -> str:
    """The README's part, from the kept report; a sentence where there is none yet."""
    if not LATEST.exists():
        return "No report is kept yet: `python bench/report.py --keep` makes one."
    report = json.loads(LATEST.read_text(encoding="utf-8"))
    about = report["environment"]
    lines = ["| What | Must | Goal | Measured | The floor's |", "| --- | --- | --- | --- | --- |",
             *(f"| {row['what']} | {row['must']} | {row['goal']} | {row['measured']} | "
               f"{row['floor']} |" for row in report["rows"])]
    versions = about["versions"]
    rivals = ", ".join(f"{name} {versions[name]}" for name in (
        "ccxt", "aiohttp", "picows", "orjson", "msgspec", "order-book", "sortedcontainers"))
    return "\n".join([
        *lines, "",
        f"{about['cpu']}, {about['cores']} cores, {about['kernel']}, Python {about['python']}, "
        f"{about['when']}, commit {about['commit'][:12]}; {rivals}. Minima of interleaved repeats. "
        "The floor: the same figure in the same run for the thinnest there is, bare C, an empty "
        "listener or prebuilt bytes, which nobody can pass there. How: "
        "[benchmarks](docs/benchmarks.md)."])


def pasted(text: str) -> str:
    """The README's text with the kept report's figures; ValueError without the two marks."""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"README.md needs the marks {BEGIN} and {END}")
    return f"{before}{BEGIN}\n{figures()}\n{END}{after}"


if __name__ == "__main__":
    README.write_text(pasted(README.read_text(encoding="utf-8")), encoding="utf-8")

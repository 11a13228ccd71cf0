"""Run every bench and write one report: tables, plots, a self-contained page, JSON.

    python bench/report.py --out DIR            everything, some 25 minutes on a quiet machine
    python bench/report.py --quick --out DIR    that it runs, two minutes; no figure to keep
    python bench/report.py --part wire --part micro --out DIR
    python bench/report.py --keep               also bench/reports/latest.json and the README

DIR holds report.md, report.html, report.json and the plots as SVG and PNG. Parts run one after the
other as the commands they are (each says its own with --help); one that fails is named, the others
go on, and the exit code is 1.
"""

from __future__ import annotations

import argparse
import html
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

import paste
import plots
import reasons
import rows
from harness import HERE, Missing, child_environment, environment, write_json

#: Part -> its command, and what makes it quick.
PARTS: dict[str, tuple[list[str], list[str]]] = {
    "micro": (["micro.py"], ["--frames", "2000", "--repeats", "2"]),
    "memory": (["memory.py"], ["--books", "100", "--frames", "20000"]),
    "wire": (["wire.py"], ["--repeats", "1", "--paced", "300", "--blast", "3000"]),
    "tick_to_trade": (["tick_to_trade.py"], ["--repeats", "1", "--count", "100"]),
    "orders": (["orders.py"], ["--requests", "100", "--repeats", "1"]),
    "orders_tls": (["orders.py", "--tls"], ["--requests", "100", "--repeats", "1"]),
    "startup": (["startup.py"], ["--repeats", "1", "--books", "1"]),
    "stall": (["stall.py", "--no-limits"],
              ["--books", "3", "--stall", "3", "--clients", "mexcfast"]),
}
TITLES = {"micro": "In process", "memory": "Many books, steady state", "wire": "Wire to callback",
          "tick_to_trade": "Tick to trade", "orders": "Order entry",
          "orders_tls": "Order entry over TLS", "startup": "First live books",
          "stall": "When the network stalls"}


def run_part(name: str, quick: bool) -> tuple[str, dict[str, Any]]:
    """(its tables, its JSON); RuntimeError with its last words when it fails."""
    command, less = PARTS[name]
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "found.json"
        done = subprocess.run(
            [sys.executable, str(HERE / command[0]), *command[1:], *(less if quick else []),
             "--json", str(file)], capture_output=True, text=True,
            env=child_environment(), timeout=3600)
        if done.returncode:
            raise RuntimeError(f"{name} ended with exit code {done.returncode}: "
                               f"{done.stderr.strip()[-1500:]}")
        found: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return done.stdout.strip(), found.get(name, found)


def header(about: dict[str, Any]) -> list[tuple[str, str]]:
    """The environment as (name, text)."""
    commit = about["commit"][:12] or "no repository"
    return [
        ("mexcfast", f"{about['mexcfast']}, commit {commit}"
         + (" with changes" if about["changed"] else "")),
        ("measured", about["when"]),
        ("machine", f"{about['cpu']}, {about['cores']} cores, load {about['load']} at the start; "
         f"server on core {about['server_core']}, client on core {about['client_core']}"),
        ("system", f"{about['kernel']}, {about['machine']}, {about['openssl']}"),
        ("Python", f"{about['python']}, {about['compiler']}"),
        ("compiled with", about["switches"]),
        ("rivals", ", ".join(f"{name} {number}" for name, number in about["versions"].items()))]


def markdown(report: dict[str, Any], texts: dict[str, str]) -> str:
    out = ["# mexcfast, measured", "", *(f"- {name}: {text}"
                                         for name, text in header(report["environment"])), ""]
    if report["quick"]:
        out += ["A quick run: it shows that everything runs, its figures mean nothing.", ""]
    out += ["## What has to be reached", "", rows.table(report["rows"]), "",
            "Figures are of one interleaved run; each is made of minima over the repeats. "
            "\"Met\" says goal, must, no, or that it was not measured. \"The floor's\" is the "
            "same figure for the thinnest thing there is, bare C, an empty listener or prebuilt "
            "bytes: on this machine nobody can pass it.", ""]
    why = reasons.table(report["rows"])
    if why:
        out += ["## Below the goal: why, and what was tried", "", why, ""]
    out += ["## Where a frame's time goes", "", rows.budget_table(report["budget"]), "",
            "## Where an order's time goes", "",
            rows.order_budget_table(report["order_budget"]), ""]
    for name, text in texts.items():
        out += [f"## {TITLES[name]}", "", text, ""]
    if report["missing"]:
        out += ["## Missing", "", *(f"- {reason}" for reason in report["missing"]), ""]
    return "\n".join(out)


def _html_tables(text: str) -> str:
    """Our own markdown to HTML: headings, lists, tables, paragraphs."""
    out: list[str] = []
    kind = ""
    for line in [*text.splitlines(), ""]:
        now = "table" if line.startswith("|") else "ul" if line.startswith("- ") else ""
        if now != kind:
            out += [f"</{kind}>"] if kind else []
            out += [f"<{now}>"] if now else []
            first, kind = True, now
        safe = html.escape(line)
        if now == "table":
            if not line.startswith("| ---"):
                cell = "th" if first else "td"
                cells = safe.strip("| ").split(" | ")
                out.append("<tr>" + "".join(f"<{cell}>{one}</{cell}>" for one in cells) + "</tr>")
            first = False
        elif now == "ul":
            out.append(f"<li>{safe[2:]}</li>")
        elif line.startswith("#"):
            level = len(line) - len(line.lstrip("#"))
            out.append(f"<h{level}>{safe[level:].strip()}</h{level}>")
        elif line:
            out.append(f"<p>{safe}</p>")
    return "\n".join(out)


def page(text: str, drawn: dict[str, str]) -> str:
    """One HTML page that needs nothing else."""
    style = ("body{font:15px/1.5 system-ui,sans-serif;max-width:1100px;margin:2em auto;"
             "padding:0 1em}table{border-collapse:collapse;font-size:13px;margin:1em 0}"
             "td,th{border:1px solid #bbb;padding:3px 8px;text-align:left}svg{max-width:100%;"
             "height:auto}")
    figures = "".join(f"<figure id=\"{name}\">{svg}</figure>" for name, svg in drawn.items())
    return (f"<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>mexcfast, measured"
            f"</title><style>{style}</style><body>{_html_tables(text)}"
            f"{'<h2>Plots</h2>' if figures else ''}{figures}</body></html>\n")


def make(parts: list[str], quick: bool, folder: Path) -> dict[str, Any]:
    """Run the parts, write the report; what is in report.json."""
    folder.mkdir(parents=True, exist_ok=True)
    about = environment()
    found: dict[str, Any] = {}
    texts: dict[str, str] = {}
    missing, failed = [], []
    for name in parts:
        start = time.monotonic()
        print(f"{name} ...", flush=True)
        try:
            texts[name], found[name] = run_part(name, quick)
        except (RuntimeError, subprocess.TimeoutExpired) as reason:
            failed.append(name)
            missing.append(f"{name}: {reason}")
        print(f"{name}: {'FAILED' if name in failed else 'done'}, "
              f"{time.monotonic() - start:.0f} s", flush=True)
        missing += [line.removeprefix("MISSING: ") for line in texts.get(name, "").splitlines()
                    if line.startswith("MISSING: ")]
    try:
        drawn = plots.draw(found, folder)
    except Missing as reason:
        drawn = {}
        missing.append(f"plots: {reason}")
    report = {"environment": about, "quick": quick, "parts": parts, "failed": failed,
              "rows": rows.judged(found), "budget": rows.budget(found),
              "order_budget": rows.order_budget(found),
              "missing": list(dict.fromkeys(missing))}
    text = markdown(report, texts)
    (folder / "report.md").write_text(text, encoding="utf-8")
    (folder / "report.html").write_text(page(text, drawn), encoding="utf-8")
    write_json(folder / "report.json", report | {"results": found})
    return report


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Everything measured, one report.")
    parser.add_argument("--out", type=Path, default=Path("bench-report"))
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--part", action="append", choices=list(PARTS), metavar="PART",
                        help=f"only this; may be repeated: {', '.join(PARTS)}")
    parser.add_argument("--keep", action="store_true",
                        help="make it the repository's report and paste the README's figures")
    given = parser.parse_args(arguments)
    if given.keep and (given.quick or given.part):
        parser.error("--keep wants a whole run: neither --quick nor --part")
    report = make(given.part or list(PARTS), given.quick, given.out)
    print(rows.table(report["rows"]))
    for reason in report["missing"]:
        print(f"MISSING: {reason}")
    print(f"written to {given.out}: report.html, report.md, report.json, plots")
    if given.keep:
        paste.keep(report)
    return 1 if report["failed"] else 0


if __name__ == "__main__":
    sys.exit(main())

"""The documentation: every Python block runs as printed, every link and reference resolves.

A block with `mx.run(` is a program of its own. The other blocks of a page run in order inside one
coroutine that has `mx`, `asyncio`, a running embedded exchange `venue` and a started `client`; the
environment holds its keys. A
block that cannot run here stands behind a comment that says why: <!-- not run: reason -->.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

import mexcfast

ROOT = Path(__file__).resolve().parent.parent
PAGES = sorted((ROOT / "docs").rglob("*.md"))
BLOCK = re.compile(r"(?P<mark><!-- not run: .+ -->\n)?^```python\n(?P<code>.*?)^```", re.S | re.M)

AROUND = """
import asyncio, os
import mexcfast as mx
from mexcfast.sim import Exchange

async def main():
    async with Exchange(seed=7) as venue, \\
            mx.Client(venue.rest_url, venue.access_key, venue.secret) as client:
        os.environ.update(MEXC_API_KEY=venue.access_key, MEXC_API_SECRET=venue.secret)
        await client.start()
{body}

mx.run(main())
"""


def programs(text: str) -> list[str]:
    """What to run for one page."""
    found, fragments = [], []
    for block in BLOCK.finditer(text):
        if block["mark"]:
            continue
        (found if "mx.run(" in block["code"] else fragments).append(block["code"])
    if fragments:
        body = textwrap.indent("\n".join(fragments), " " * 8)
        found.append(AROUND.replace("{body}", body))
    return found


CASES = [pytest.param(page, number, id=f"{page.relative_to(ROOT / 'docs')}-{number}")
         for page in PAGES for number in range(len(programs(page.read_text("utf-8"))))]


@pytest.mark.parametrize(("page", "number"), CASES)
def test_every_block_runs(page: Path, number: int, tmp_path: Path) -> None:
    path = tmp_path / "program.py"
    path.write_text(programs(page.read_text("utf-8"))[number], "utf-8")
    done = subprocess.run([sys.executable, "-P", "-W", "error", str(path)], capture_output=True,
                          text=True, timeout=120, cwd=tmp_path)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}\n{path.read_text('utf-8')}"
    assert "Traceback" not in done.stderr, done.stderr


def test_blocks_are_found() -> None:
    assert len(CASES) >= 6
    (joined,) = programs("```python\nx = 1\n```\ntext\n```python\nassert x == 1\n```\n")
    assert joined.index("x = 1") < joined.index("assert x == 1")
    assert programs("<!-- not run: needs the live exchange -->\n```python\n1 / 0\n```\n") == []


def test_the_site_builds_without_a_warning(tmp_path: Path) -> None:
    values = {name: value for name, value in os.environ.items() if name != "LD_PRELOAD"}
    done = subprocess.run(
        [sys.executable, "-P", "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path)],
        capture_output=True, text=True, cwd=ROOT, timeout=300, env=values | {
            "NO_MKDOCS_2_WARNING": "1",
            "MEXCFAST_HOME": str(Path(mexcfast.__file__).parent.parent)})
    assert done.returncode == 0, done.stderr
    reference = (tmp_path / "reference" / "index.html").read_text("utf-8")
    for said in ("A LIVE book moved on", "Place one order; quantity in contracts"):
        assert said in reference           # docstrings of compiled and of Python rooms alike

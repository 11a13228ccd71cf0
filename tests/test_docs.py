"""The documentation: every block runs as printed, every link and reference resolves.

A Python block with `mx.run(` is a program of its own. The other Python blocks of a page run in
order inside one coroutine that has `mx`, `asyncio`, a running embedded exchange `venue` and a
started `client`; the environment holds its keys. A line of comment before a block says more:

    <!-- not run: reason -->    it cannot run here
    <!-- file: first.py -->     it is this file; the page's shell blocks, in order, run beside it
    <!-- needs: module -->      it is skipped where the module is not installed

Shell blocks hold `python FILE` and `mexcfast COMMAND` lines; anything else in them is not run.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import textwrap
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

import mexcfast

ROOT = Path(__file__).resolve().parent.parent
PAGES = sorted((ROOT / "docs").rglob("*.md"))
FENCE = re.compile(r"^```(?P<language>\w*)\n(?P<code>.*?)^```$", re.S | re.M)
MARK = re.compile(r"<!-- (not run|file|needs|example): (.+) -->\n$")
COMMAND = re.compile(r"(?:^|[ `])mexcfast ((?:[a-z]+)(?: [^`#\n]*)?)", re.M)

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


@dataclass(frozen=True)
class Block:
    """One fenced block; mark and note: the comment before it."""

    language: str
    code: str
    mark: str = ""
    note: str = ""


def blocks(text: str) -> list[Block]:
    found = []
    for fence in FENCE.finditer(text):
        mark = MARK.search(text[:fence.start()])
        found.append(Block(fence["language"], fence["code"], *(mark.groups() if mark else ())))
    return found


def programs(text: str) -> list[str]:
    """What to run for one page, its files and shell blocks left out."""
    found, fragments = [], []
    for block in blocks(text):
        if block.language == "python" and block.mark not in ("not run", "file"):
            (found if "mx.run(" in block.code else fragments).append(block.code)
    if fragments:
        body = textwrap.indent("\n".join(fragments), " " * 8)
        found.append(AROUND.replace("{body}", body))
    return found


def commands(code: str) -> list[list[str]]:
    """The lines of a shell block as arguments."""
    return [words for line in code.splitlines() if (words := shlex.split(line, comments=True))]


def run(arguments: list[str], place: Path) -> None:
    done = subprocess.run([sys.executable, "-W", "error", *arguments], capture_output=True,
                          text=True, timeout=120, cwd=place)
    assert done.returncode == 0, f"{arguments}\n{done.stdout}\n{done.stderr}"
    assert "Traceback" not in done.stderr, done.stderr


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT / "docs"))


CASES = [pytest.param(page, number, id=f"{name_of(page)}-{number}")
         for page in PAGES for number in range(len(programs(page.read_text("utf-8"))))]
SHELL = [page for page in PAGES if any(block.language == "sh" and block.mark != "not run"
                                       for block in blocks(page.read_text("utf-8")))]


@pytest.mark.parametrize(("page", "number"), CASES)
def test_every_block_runs(page: Path, number: int, tmp_path: Path) -> None:
    path = tmp_path / "program.py"
    path.write_text(programs(page.read_text("utf-8"))[number], "utf-8")
    run(["-P", str(path)], tmp_path)


@pytest.mark.parametrize("page", SHELL, ids=name_of)
def test_every_shell_block_runs_beside_its_files(page: Path, tmp_path: Path) -> None:
    for block in blocks(page.read_text("utf-8")):
        if block.mark == "file":
            (tmp_path / block.note).write_text(block.code, "utf-8")
        if block.language != "sh" or block.mark == "not run":
            continue
        if block.mark == "needs":
            pytest.importorskip(block.note)
        for program, *arguments in commands(block.code):
            assert program in ("python", "mexcfast"), f"not run: {program}; say why in a comment"
            run(["-P", "-m", "mexcfast.cli", *arguments] if program == "mexcfast" else arguments,
                tmp_path)


def test_no_block_hides() -> None:
    """What is no fenced block of a language we know cannot be judged."""
    for page in PAGES:
        text = page.read_text("utf-8")
        for block in blocks(text):
            assert block.language in ("python", "sh", "cython", "json", "yaml", "text", ""), (
                f"{page}: {block}")
            if block.language in ("json", "yaml"):      # configurations: at least they can be read
                assert yaml.safe_load(block.code) is not None, f"{page}: {block}"
            if block.language in ("text", ""):
                assert not re.search(r"^(\$|mexcfast |python |pip |import )", block.code, re.M), (
                    f"{page}: commands in a block without a language:\n{block.code}")
        outside = FENCE.sub("", text)
        assert outside.count("```") == 0, f"{page}: a fence that does not end, or is indented"
        assert not re.search(r"^\n    \S", outside, re.M), f"{page}: an indented block"


def test_blocks_are_found() -> None:
    assert len(CASES) >= 6 and SHELL
    (joined,) = programs("```python\nx = 1\n```\ntext\n```python\nassert x == 1\n```\n")
    assert joined.index("x = 1") < joined.index("assert x == 1")
    assert programs("<!-- not run: needs the live exchange -->\n```python\n1 / 0\n```\n") == []
    (block,) = blocks("<!-- file: a.py -->\n```python\nx = 1\n```\n")
    assert block == Block("python", "x = 1\n", "file", "a.py")
    assert commands("mexcfast replay 'a b'   # says it\n\n") == [["mexcfast", "replay", "a b"]]


def test_cython_blocks_are_cython(tmp_path: Path) -> None:
    """They are translated against the installed headers; examples/ are compiled and run."""
    pytest.importorskip("Cython")
    found = [block for page in PAGES for block in blocks(page.read_text("utf-8"))
             if block.language == "cython" and block.mark != "not run"]
    assert found
    for number, block in enumerate(found):
        path = tmp_path / f"block{number}.pyx"
        path.write_text(block.code, "utf-8")
        run(["-m", "cython", "-3", "-I", str(Path(mexcfast.__file__).parents[1]), str(path)],
            tmp_path)
        assert path.with_suffix(".c").exists()


def printed_commands() -> dict[str, set[str]]:
    """Command -> options, of every `mexcfast ...` in the documentation and the README."""
    found: dict[str, set[str]] = {}
    for page in [*PAGES, ROOT / "README.md"]:
        text = page.read_text("utf-8")
        code = "\n".join([*(block.code for block in blocks(text) if block.language == "sh"),
                          *re.findall(r"`(mexcfast [^`]+)`", text),
                          *re.findall(r"^    (mexcfast .+)", text, re.M)])
        for line in COMMAND.findall(code):
            name, *rest = line.split()
            found.setdefault(name, set()).update(
                word for word in rest if re.fullmatch(r"--[a-z-]+|-[a-z]", word))
    return found


def test_every_printed_command_has_the_printed_options() -> None:
    found = printed_commands()
    assert {"demo", "record", "replay", "sim", "doctor"} <= set(found)
    assert "--drill" in found["doctor"] and "--reason" in found["doctor"]
    for name, options in found.items():
        done = subprocess.run([sys.executable, "-P", "-m", "mexcfast.cli", name, "--help"],
                              capture_output=True, text=True, timeout=60,
                              env=os.environ | {"COLUMNS": "200", "NO_COLOR": "1"})
        assert done.returncode == 0, f"mexcfast {name}: {done.stderr}"
        help_text = re.sub(r"\x1b\[[\d;]*m", "", done.stdout)
        for option in options:
            assert re.search(rf"(?<![\w-]){option}(?![\w-])", help_text), f"{name} {option}"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, built without a warning: links, anchors and references are there."""
    place = tmp_path_factory.mktemp("site")
    values = {name: value for name, value in os.environ.items() if name != "LD_PRELOAD"}
    done = subprocess.run(
        [sys.executable, "-P", "-m", "mkdocs", "build", "--strict", "--site-dir", str(place)],
        capture_output=True, text=True, cwd=ROOT, timeout=300, env=values | {
            "NO_MKDOCS_2_WARNING": "1",
            "MEXCFAST_HOME": str(Path(mexcfast.__file__).parent.parent)})
    assert done.returncode == 0, done.stderr
    return place


def test_docstrings_of_compiled_and_of_python_rooms_are_in_the_reference(site: Path) -> None:
    reference = (site / "reference" / "index.html").read_text("utf-8")
    for said in ("A LIVE book moved on", "Place one order; quantity in contracts"):
        assert said in reference


def test_every_public_name_is_in_the_reference(site: Path) -> None:
    reference = (site / "reference" / "index.html").read_text("utf-8")
    there = set(re.findall(r'id="(mexcfast[\w.]*)"', reference))
    homes, rooms = mexcfast._HOMES, mexcfast._ROOMS      # public name -> where it lives
    wanted = {f"mexcfast.{home}.{name}" for name, home in homes.items()}
    wanted |= {f"mexcfast.{home}" for home in rooms.values()}
    assert not wanted - there, sorted(wanted - there)


def test_pages_are_reached_and_sources_beside_them_linked(site: Path) -> None:
    """Every page stands in the navigation (mkdocs warns else); each names its title once."""
    for page in PAGES:
        text = page.read_text("utf-8")
        if not text.startswith("--8<--"):
            assert len(re.findall(r"^# ", FENCE.sub("", text), re.M)) == 1, page
    home = (site / "index.html").read_text("utf-8")
    for name in ("start", "examples", "strategies", "books", "orders", "kill_switch", "sim",
                 "benchmarks", "security", "reference", "changelog", "contributing"):
        assert f'href="{name}/"' in home, name


def test_the_list_of_rooms_names_every_module() -> None:
    """Those of core/ and net/ one by one, other packages as a whole."""
    rooms = (ROOT / "docs" / "design.md").read_text(encoding="utf-8").partition("## Rooms")[2]
    rooms = rooms.partition("\n## ")[0]
    firsts = [line.split("|")[1] for line in rooms.splitlines() if "|" in line]
    named = {name.removesuffix(".py") for name in re.findall("`([^`]+)`", "".join(firsts))}
    here = ROOT / "mexcfast"
    found = {path.relative_to(here).with_suffix("").as_posix()
             for pattern in ("*.py", "core/*.py*", "net/*.py*") for path in here.glob(pattern)
             if not path.name.startswith("__")}
    found |= {f"{path.parent.name}/" for path in here.glob("*/__init__.py")
              if path.parent.name not in ("core", "net")}
    assert len(found) > 80
    assert not found - named, "not in the list"
    assert not {name for name in named if "/" in name} - found, "in the list and not there"

"""The README tells the truth: its strategy runs as printed, its commands exist."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
README = ROOT / "README.md"


@pytest.fixture(scope="module")
def readme() -> str:
    if not README.exists():
        pytest.fail("README.md is not beside the tests: run them from a checkout")
    return README.read_text(encoding="utf-8")


def blocks(text: str, mark: str) -> list[str]:
    return re.findall(rf"<!-- {mark} -->\n```python\n(.*?)```", text, re.S)


def test_the_strategy_runs_as_printed(readme: str, tmp_path: Path) -> None:
    (program,) = blocks(readme, "example: sim")
    path = tmp_path / "strategy.py"
    path.write_text(program, encoding="utf-8")
    done = subprocess.run([sys.executable, "-W", "error", str(path)], capture_output=True,
                          text=True, timeout=60, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("Accepted(") and "FillUpdate" in done.stdout


def test_the_strategy_is_short(readme: str) -> None:
    (program,) = blocks(readme, "example: sim")
    written = [line for line in program.splitlines() if line.strip()]
    assert len(written) <= 25


def test_every_python_block_compiles(readme: str) -> None:
    found = re.findall(r"```python\n(.*?)```", readme, re.S)
    assert len(found) >= 3
    for number, block in enumerate(found):
        compile(block, f"README block {number}", "exec")


def test_ci_runs_the_printed_test_command(readme: str) -> None:
    command = readme.split("Run all tests:")[1].split("\n    ")[1].splitlines()[0].strip()
    ci = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    assert command in [line.strip() for line in ci.splitlines()]
    assert (ROOT / command.split()[1]).exists()


def test_every_printed_command_exists(readme: str) -> None:
    names = set(re.findall(r"^    mexcfast (\w+)", readme, re.M))
    assert names >= {"demo", "watch", "sim"}
    for name in names:
        done = subprocess.run([sys.executable, "-P", "-m", "mexcfast.cli", name, "--help"],
                              capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr

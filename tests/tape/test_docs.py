"""docs/tape.md tells the truth: its example runs, its tables are complete."""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

from mexcfast.core.tap import Kind
from mexcfast.tape import TapeSettings
from mexcfast.tape import format as form

DOCS = Path(__file__).parents[2] / "docs" / "tape.md"


def test_the_example_runs_as_printed(tmp_path: Path) -> None:
    text = DOCS.read_text(encoding="utf-8")
    (program,) = re.findall(r"<!-- example: tape -->\n```python\n(.*?)```", text, re.S)
    path = tmp_path / "example.py"
    path.write_text(program, encoding="utf-8")
    done = subprocess.run([sys.executable, "-W", "error", str(path)], capture_output=True,
                          text=True, timeout=90, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "the same twice" in done.stdout and "Summary(" in done.stdout
    assert list((tmp_path / "tape").glob("*.tape"))


def test_every_setting_and_kind_is_in_a_table() -> None:
    text = DOCS.read_text(encoding="utf-8")
    for field in fields(TapeSettings):
        assert re.search(rf"^\|[^|]*`{field.name}`", text, re.M), field.name
    for kind in Kind:
        named = f"{kind.value} {kind.name}" in text
        assert named or (16 <= kind <= 26 and kind is not Kind.KEYFRAME), kind.name
    assert "version=1" in text and form.VERSION == 1

"""Tables, ladders and bars in terminals of several widths; Ctrl-C wherever one may press it."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest
from rich.console import Console
from rich.text import Text

from cli.terminal import MEXCFAST, Terminal
from mexcfast.cli import screen as room
from mexcfast.cli.progress import Bar
from mexcfast.cli.screen import Screen
from mexcfast.cli.tables import card, show
from mexcfast.core.depth import OrderBook

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="no pseudo terminals")

COLUMNS = ["time", "id", "contract", "side", "price", "contracts", "client id"]
ROW = ["11-28 13:45:04.894", 817027833053397772, "SOL_USDT", "open long", Decimal("141.28"), 5,
       "mf-dn6w0yowwa2k-1"]


def shown(width: int, *rows: list[object], terminal: bool = True) -> list[str]:
    out = Console(width=width, file=io.StringIO(), force_terminal=terminal, color_system=None,
                  legacy_windows=False)
    show(out, "Orders", COLUMNS, rows)
    return out.file.getvalue().splitlines()     # type: ignore[attr-defined]


def test_a_table_where_there_is_room_and_cards_where_there_is_none() -> None:
    wide = "\n".join(shown(160, ROW))
    assert "─" in wide and "client id" in wide
    for width in (40, 60, 80):
        lines = shown(width, ROW, ROW)
        text = "\n".join(lines)
        assert max(map(len, lines)) <= width and "…" not in text and "─" not in text
        for value in ROW:
            assert text.count(str(value)) == (4 if value == 5 else 2) or value == 5
        assert sum(line.startswith("- ") for line in lines) == 2
    assert "none" in "\n".join(shown(60))


def test_piped_tables_are_not_folded() -> None:
    lines = shown(200, ROW, terminal=False)
    assert len(lines) == 3 and "mf-dn6w0yowwa2k-1" in lines[2]


def test_a_value_wider_than_the_terminal_has_its_own_line() -> None:
    lines = card(["a", "b", "c"], [Text("1"), Text("x" * 50), Text("2")], 20)
    assert [line.plain for line in lines] == ["- a 1", "  b " + "x" * 50, "  c 2"]


def book(symbol: str) -> OrderBook:
    found = OrderBook(symbol)
    found.expect_snapshot()
    found.load_snapshot(json.dumps({"success": True, "code": 0, "data": {
        "bids": [["80000.5", "100", 1]], "asks": [["80001.5", "200", 2]], "version": 7,
        "timestamp": 1}}))
    return found


@pytest.mark.parametrize(("width", "ladders"), [(50, 1), (60, 1), (100, 2), (160, 3)])
def test_ladders_that_do_not_fit_become_lines(width: int, ladders: int) -> None:
    screen = Screen("title", levels=2, lines=1)
    screen.console = Console(width=width, height=40, file=io.StringIO(), force_terminal=True,
                             color_system=None, legacy_windows=False)
    screen.is_live = True
    screen.books = [book(name) for name in ("BTC_USDT", "ETH_USDT", "SOL_USDT")]
    with screen:
        screen.draw()
        text = screen.console.file.getvalue()   # type: ignore[attr-defined]
    assert text.count("version 7") == ladders
    assert text.count("LIVE 80,000.5 x 80,001.5") == 3 - ladders and "80,00…" not in text


def test_a_book_in_a_line() -> None:
    assert room.top(book("BTC_USDT")).plain == "BTC_USDT LIVE 80,000.5 x 80,001.5"
    assert room.top(OrderBook("BTC_USDT")).plain == "BTC_USDT INIT"


def test_no_bar_when_nobody_looks(capfd: pytest.CaptureFixture[str]) -> None:
    with Bar("counting") as bar:
        bar(1, 2)
        bar(2, 0, "done")
        assert not bar.is_shown
    assert capfd.readouterr().err == ""


# -- Ctrl-C ---------------------------------------------------------------------------------------

@pytest.fixture(scope="module")
def venue() -> Iterator[dict[str, str]]:
    process = subprocess.Popen([*MEXCFAST, "sim", "--port", "0", "--json", "--rate", "20"],
                               stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    told = json.loads(process.stdout.readline())
    yield {"MEXC_API_KEY": told["access_key"], "MEXC_API_SECRET": told["secret"],
           "endpoint": told["rest_url"]}
    process.terminate()
    process.stdout.close()
    assert process.wait(timeout=20) == 0


@pytest.mark.parametrize(("arguments", "sees", "code"), [
    (["demo", "--seconds", "60"], r"BTC_USDT SYNCING -> LIVE", 130),
    (["sim", "--port", "0"], r"Ctrl-C ends it", 0),
    (["record", "BTC_USDT", "-o", "{tmp}/tape"], r"BTC_USDT LIVE", 0),
    (["trade", "BTC_USDT", "open-long", "1", "--price", "80000", "--leverage", "5"],
     r"Send it\? \[y/N\]", 130),
    (["doctor", "--drill"], r"drilling: \w", 130),
])
def test_ctrl_c_ends_each_command_at_once(venue: dict[str, str], tmp_path: Path,
                                          arguments: list[str], sees: str, code: int) -> None:
    arguments = [each.replace("{tmp}", str(tmp_path)) for each in arguments]
    if arguments[0] in ("record", "trade"):
        arguments += ["--endpoint", venue["endpoint"]]
    env = {name: value for name, value in venue.items() if name != "endpoint"}
    with Terminal(*arguments, width=120, **env) as terminal:
        terminal.until(sees)
        terminal.press("\x03")
        assert terminal.wait() == code
        assert terminal.modes() == terminal.before and "Traceback" not in terminal.seen


def test_ctrl_c_ends_the_bench_and_its_script(tmp_path: Path) -> None:
    (tmp_path / "bench").mkdir()
    (tmp_path / "bench" / "report.py").write_text(
        "import os, sys, time\nprint('micro ...', flush=True)\nprint(os.getpid(), flush=True)\n"
        "time.sleep(300)\n")
    process = subprocess.Popen([*MEXCFAST, "bench"], cwd=tmp_path, stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE, text=True,
                               env={**os.environ, "PYTHONPATH": os.pathsep.join(
                                   each for each in sys.path if each)})
    assert process.stdout is not None and process.stderr is not None
    assert process.stdout.readline() == "micro ...\n"
    script = int(process.stdout.readline())
    process.send_signal(signal.SIGINT)
    assert process.wait(60) == 130
    process.stdout.close()
    assert "Traceback" not in process.stderr.read()
    process.stderr.close()
    with pytest.raises(ProcessLookupError):
        os.kill(script, 0)

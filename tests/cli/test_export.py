"""`mexcfast export` and `replay --plot` as a person meets them."""

from __future__ import annotations

import csv
import gzip
import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from cli.terminal import MEXCFAST, Terminal
from mexcfast.cli import plot as drawing
from mexcfast.cli.export import format_of
from mexcfast.errors import ConfigError

needs_pyarrow = pytest.mark.framework("pyarrow", "export")
needs_matplotlib = pytest.mark.framework("matplotlib", "plot")


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*MEXCFAST, *arguments], capture_output=True, text=True, timeout=90)


@pytest.fixture(scope="module")
def tape(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Some seconds of two contracts of the embedded exchange."""
    path = tmp_path_factory.mktemp("tape") / "monday"
    done = run("record", "BTC_USDT", "ETH_USDT", "--sim", "--seconds", "4", "-o", str(path))
    assert done.returncode == 0, done.stderr
    return path


@needs_pyarrow
def test_a_directory_of_parquet_files(tape: Path, tmp_path: Path) -> None:
    import pyarrow.parquet as pq

    done = run("export", str(tape), str(tmp_path / "out"))
    assert done.returncode == 0, done.stderr
    names = sorted(each.name for each in (tmp_path / "out").iterdir())
    assert names == ["depth.parquet", "funding.parquet", "prices.parquet", "tickers.parquet",
                     "top.parquet", "trades.parquet"]
    for name in names:
        count = pq.read_table(tmp_path / "out" / name).num_rows
        assert f"{count:,} rows" in done.stdout and name in done.stdout and count
    again = run("export", str(tape), str(tmp_path / "out"))
    assert again.returncode == 1 and "exists already" in again.stderr
    assert run("export", str(tape), str(tmp_path / "out"), "--force").returncode == 0


def test_one_table_of_one_contract_as_csv(tape: Path, tmp_path: Path) -> None:
    done = run("export", str(tape), str(tmp_path / "top.csv"), "-t", "top", "-s", "ETH_USDT",
               "--json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    rows = list(csv.DictReader((tmp_path / "top.csv").read_text().splitlines()))
    assert told["whole"] and told["format"] == "csv" and told["files"] == {
        str(tmp_path / "top.csv"): {"rows": len(rows),
                                    "bytes": (tmp_path / "top.csv").stat().st_size}}
    assert rows and {row["symbol"] for row in rows} == {"ETH_USDT"}
    assert all(float(row["bid_price"]) < float(row["ask_price"]) for row in rows)


def test_hftbacktest_and_lines(tape: Path, tmp_path: Path) -> None:
    done = run("export", str(tape), str(tmp_path / "btc.npz"), "-s", "BTC_USDT")
    assert done.returncode == 0, done.stderr
    assert len(np.load(tmp_path / "btc.npz")["data"]) > 100
    done = run("export", str(tape), str(tmp_path / "frames.gz"))
    assert done.returncode == 0, done.stderr
    frames = json.loads(run("replay", str(tape), "--json").stdout)["frames"]
    assert len(gzip.decompress((tmp_path / "frames.gz").read_bytes()).splitlines()) == frames
    assert sorted(each.name for each in tmp_path.iterdir()) == ["btc.npz", "frames.gz"]


@pytest.mark.parametrize(("arguments", "says"), [
    (["x.csv"], "say which with --table: trades, top, depth"),
    (["x.csv", "-t", "deals"], "--table is deals; allowed: trades"),
    (["x.xls"], "ends in .xls; allowed: .parquet"),
    (["x.csv", "-f", "parquet", "-t", "top"], "looks like csv, --format says parquet"),
    (["x.npz"], "say which with --symbol: BTC_USDT, ETH_USDT"),
    (["x.npz", "-t", "top"], "--table means nothing to hftbacktest"),
    (["x.gz", "-s", "BTC_USDT"], "--symbol means nothing to lines"),
    (["x", "-s", "SOL_USDT"], "holds nothing of SOL_USDT; it holds BTC_USDT, ETH_USDT"),
    (["nowhere/x.csv", "-t", "top"], "there is no directory"),
])
def test_bad_input_is_named_in_one_line(tape: Path, tmp_path: Path, arguments: list[str],
                                        says: str) -> None:
    done = run("export", str(tape), str(tmp_path / arguments[0]), *arguments[1:])
    assert done.returncode == 1, done.stdout + done.stderr
    assert says in done.stderr and done.stderr.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_a_path_without_a_tape(tmp_path: Path) -> None:
    done = run("export", str(tmp_path / "nowhere"), str(tmp_path / "out"))
    assert done.returncode == 1 and "no such file" in done.stderr
    assert not list(tmp_path.iterdir())


def test_a_cut_tape_is_exported_as_far_as_it_goes_and_fails(tape: Path, tmp_path: Path) -> None:
    (source,) = tape.iterdir()
    cut = tmp_path / source.name
    cut.write_bytes(source.read_bytes()[:-200])
    done = run("export", str(cut), str(tmp_path / "top.csv"), "-t", "top")
    assert done.returncode == 1 and "NOT whole" in done.stdout
    assert (tmp_path / "top.csv").stat().st_size > 100
    assert json.loads(run("export", str(cut), str(tmp_path / "top.csv"), "-t", "top", "--json",
                          "--force").stdout)["whole"] is False


def test_the_suffix_decides() -> None:
    for name, wanted, found in (("a.csv", None, "csv"), ("a.npz", None, "hftbacktest"),
                                ("a.gz", None, "lines"), ("a", None, "parquet"),
                                ("a", "csv", "csv"), ("a.b.csv", "csv", "csv"),
                                ("a.txt", "lines", "lines")):
        assert format_of(Path(name), wanted) == found
    for name, wanted in (("a.txt", None), ("a.npz", "csv")):
        with pytest.raises(ConfigError):
            format_of(Path(name), wanted)


def test_ctrl_c_leaves_nothing(tape: Path, tmp_path: Path) -> None:
    """Interrupted in the middle: exit code 130, no file, no traceback."""
    program = (
        "import sys\n"
        "from mexcfast.tape import tables\n"
        "def interrupted(self, rows): raise KeyboardInterrupt\n"
        "tables.CsvWriter.write = interrupted\n"
        f"tape, out = {str(tape)!r}, {str(tmp_path / 'out')!r}\n"
        "sys.argv = ['mexcfast', 'export', tape, out, '-f', 'csv']\n"
        "from mexcfast.cli import main\n"
        "main()\n")
    done = subprocess.run([sys.executable, "-P", "-c", program], capture_output=True, text=True,
                          timeout=90)
    assert done.returncode == 130 and "Traceback" not in done.stderr
    assert not list(tmp_path.iterdir())


# -- the picture ----------------------------------------------------------------------------------

@needs_matplotlib
def test_a_tape_is_drawn(tape: Path, tmp_path: Path) -> None:
    for name, begins in (("p.png", b"\x89PNG"), ("p.svg", b"<?xml"), ("p.pdf", b"%PDF")):
        done = run("replay", str(tape), "--plot", str(tmp_path / name), "--json")
        assert done.returncode == 0, done.stderr
        assert (tmp_path / name).read_bytes().startswith(begins)
        assert done.stderr.startswith("BTC_USDT -> ") and json.loads(done.stdout)["whole"]
    text = (tmp_path / "p.svg").read_text()
    assert "BTC_USDT: " in text and "changes of the book" in text
    done = run("replay", str(tape), "--plot", str(tmp_path / "p.png"))
    assert done.returncode == 1 and "exists already" in done.stderr
    done = run("replay", str(tape), "--plot", str(tmp_path / "e.png"), "--symbol", "ETH_USDT")
    assert done.returncode == 0 and "ETH_USDT -> " in done.stderr


@pytest.mark.parametrize(("arguments", "code", "says"), [
    (["--plot", "x.gif"], 1, "ends in .gif; allowed: .png, .svg, .pdf"),
    (["--symbol", "BTC_USDT"], 2, "--symbol goes with --plot"),
])
def test_a_bad_picture_is_refused(tape: Path, arguments: list[str], code: int, says: str) -> None:
    done = run("replay", str(tape), *arguments)
    assert done.returncode == code and says in done.stderr


@needs_matplotlib
def test_an_unknown_contract_is_not_drawn(tape: Path, tmp_path: Path) -> None:
    done = run("replay", str(tape), "--plot", str(tmp_path / "x.png"), "--symbol", "SOL_USDT")
    assert done.returncode == 1 and "holds nothing of SOL_USDT" in done.stderr
    assert not list(tmp_path.iterdir())


@needs_matplotlib
def test_an_even_spread_is_drawn_even() -> None:
    """84055.1 - 84055.0 and 84055.2 - 84055.1 differ as floats, and zero is in the picture."""
    from matplotlib.figure import Figure

    sketch, figure = drawing.Sketch(0, 30_000), Figure()
    for ts_ns, bid, ask in ((1, 84055.0, 84055.1), (10_000, 84055.1, 84055.2),
                            (20_000, None, 84055.2), (25_000, 1e-9, 84055.2)):
        sketch.add_top(ts_ns, bid, ask, True)
    drawing.picture(figure, sketch, "BTC_USDT", SimpleNamespace(first_ns=0, last_ns=30_000))
    _, spread = figure.axes
    drawn = [str(each) for each in spread.lines[0].get_ydata()]
    assert drawn == ["0.1", "0.1", "nan", "84055.199999999", "84055.199999999"]
    assert spread.get_ylim()[0] == 0
    figure.draw_without_rendering()
    assert not spread.yaxis.get_major_formatter().get_offset()


def test_lines_are_thinned_and_holes_stay() -> None:
    sketch = drawing.Sketch(0, 4000 * 1000)
    for ts_ns in range(0, 2_000_000, 100):
        sketch.add_top(ts_ns, 1.0, 2.0, True)
    sketch.add_top(2_000_000, None, None, False)
    sketch.add_top(2_000_300, 1.0, 2.0, True)       # the same slice as the hole
    sketch.add_trade(10, "buy", 1.0, 1.0)
    sketch.add_trade(20, "buy", 2.0, 5.0)
    sketch.add_trade(30, "sell", 1.0, 1.0)
    assert sketch.n_tops == 20_001 and len(sketch.top) == 2002 and sketch.n_trades == 3
    assert sketch.trades == {(0, "buy"): (20, 2.0, 5.0), (0, "sell"): (30, 1.0, 1.0)}
    tops = [sketch.top[key] for key in sorted(sketch.top)]
    tops.sort(key=lambda each: each[0])
    assert drawing.doubts(tops) == [(2_000_000, 2_000_300)]
    assert drawing.doubts([(5, 1.0, 2.0), (7, None, None), (9, None, None)]) == [(7, 9)]


# -- bars -----------------------------------------------------------------------------------------

def test_a_bar_in_a_terminal_and_none_when_piped(tape: Path, tmp_path: Path) -> None:
    out = tmp_path / "top.csv"
    with Terminal("export", str(tape), str(out), "-t", "top", width=80) as terminal:
        assert terminal.wait() == 0
        assert "writing" in terminal.seen and "rows" in terminal.seen
    with Terminal("replay", str(tape), "--json", width=80) as terminal:
        assert terminal.wait() == 0
        assert "playing" in terminal.seen
    done = run("export", str(tape), str(out), "-t", "top", "--force")
    assert done.stderr == "" and "\x1b" not in done.stdout


def test_replay_shows_a_share_of_the_tape(tape: Path) -> None:
    with Terminal("replay", str(tape), "--speed", "4", width=80, height=40) as terminal:
        terminal.until(r"\d+ %  \d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC")
        assert terminal.wait() == 0
        terminal.until(r"\bwhole")

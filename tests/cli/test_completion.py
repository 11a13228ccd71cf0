"""What the shell completes, which names are suggested, and errors that help."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from cli.terminal import MEXCFAST
from mexcfast.cli import bench, completion, symbols
from mexcfast.core.events import parse_frame
from mexcfast.core.killswitch import Trigger
from mexcfast.errors import ConfigError, SymbolError
from mexcfast.tape.format import encode_block, encode_header
from mexcfast.tape.tables import TABLES

ROOT = Path(__file__).parents[2]
NAMES = ["BTC_USDT", "BTC_USD", "ETH_USDT", "SOL_USDT", "1000SATS_USDT", "WIF_USDT"]


def completed(line: str) -> list[str]:
    """What bash would offer behind this line."""
    words = line.split(" ")
    done = subprocess.run(
        [sys.executable, "-P", "-c", "import sys; sys.argv = ['mexcfast']\n"
         "from mexcfast.cli.app import app\napp(prog_name='mexcfast')"],
        capture_output=True, text=True, timeout=60,
        env={**os.environ, "_MEXCFAST_COMPLETE": "complete_bash", "COMP_WORDS": line,
             "COMP_CWORD": str(len(words) - 1)})
    assert not done.stderr, done.stderr
    return done.stdout.split()


@pytest.fixture
def tape(tmp_path: Path) -> Path:
    """A tape that heard two contracts."""
    raw = b""
    for text in (b"push.depth BTC_USDT", b"push.deal WIF_USDT", b"push.tickers "):
        raw += len(text).to_bytes(4, "little") + (4).to_bytes(4, "little") + (1).to_bytes(
            8, "little") + text
    path = tmp_path / "a.tape"
    path.write_bytes(encode_header({"tape": "20260101T000000-00000000", "part": 0})
                     + encode_block(0, raw, 3, 1, 1, level=1, last=True))
    return path


@pytest.mark.parametrize(("line", "wanted"), [
    ("mexcfast wat", ["watch", "watchdog"]),
    ("mexcfast watch BT", ["BTC_USD", "BTC_USDT"]),
    ("mexcfast watch BTC_USDT SO", ["SOL_USDT"]),
    ("mexcfast trade XR", ["XRP_USDT"]),
    ("mexcfast trade BTC_USDT open-", ["open-long", "open-short"]),
    ("mexcfast export a b --format p", ["parquet"]),
    ("mexcfast export a b --table t", ["trades", "top", "tickers"]),
    ("mexcfast bench --part orders", ["orders", "orders_tls"]),
    ("mexcfast doctor --trigger ma", ["manual", "maintenance"]),
])
def test_the_shell_completes(line: str, wanted: list[str]) -> None:
    assert sorted(completed(line)) == sorted(wanted)


def test_contracts_of_a_tape_are_completed(tape: Path) -> None:
    assert completed(f"mexcfast export {tape} out --symbol ") == ["BTC_USDT", "WIF_USDT"]
    assert completed(f"mexcfast replay {tape} --plot p.png --symbol W") == ["WIF_USDT"]
    nothing = SimpleNamespace(params={"path": None}, args=[])
    assert completion.symbols_of_tape(nothing, "") == []        # type: ignore[arg-type]
    nowhere = SimpleNamespace(params={"path": "nowhere"}, args=[])
    assert completion.symbols_of_tape(nowhere, "") == []        # type: ignore[arg-type]


def test_what_is_completed_exists() -> None:
    assert completion.tables("") == list(TABLES)
    assert set(completion.triggers("")) == {str(each) for each in Trigger} - {
        str(Trigger.STATE_FILE)}
    assert completion.parts("") == list(bench.PARTS)
    for name in completion.KNOWN:
        assert name == name.upper() and "_" in name
    assert list(completion.KNOWN) == sorted(completion.KNOWN)


def test_the_parts_are_those_of_the_report() -> None:
    """Read, not imported: a wheel has no bench/."""
    text = (ROOT / "bench" / "report.py").read_text(encoding="utf-8")
    space: dict[str, dict[str, object]] = {}
    exec(text[text.index("PARTS"):text.index("TITLES")], {"Any": object}, space)
    assert tuple(space["PARTS"]) == bench.PARTS


def test_completion_asks_no_network_and_is_light() -> None:
    """Nothing of the exchange is imported to offer its contracts."""
    done = subprocess.run(
        [sys.executable, "-P", "-c", "import sys; from mexcfast.cli import completion\n"
         "print(completion.symbols('ETH_USDT'))\n"
         "print([m for m in sys.modules if m.startswith(('aiohttp', 'mexcfast.net', 'rich'))])"],
        capture_output=True, text=True, timeout=60,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))})
    first, second = done.stdout.splitlines()
    assert first == "['ETH_USDT']" and "mexcfast.net" not in second and "aiohttp" not in second


@pytest.mark.parametrize(("typed", "meant"), [
    ("BTCUSDT", "BTC_USDT"), ("btc_usdt", "BTC_USDT"), ("BTC-USDT", "BTC_USDT"),
    ("ETH", "ETH_USDT"), ("SOLUSDT", "SOL_USDT"), ("SATS_USDT", "1000SATS_USDT"),
    ("ETH_UDST", "ETH_USDT"), ("ETH_USD", "ETH_USDT")])
def test_the_name_that_was_meant_comes_first(typed: str, meant: str) -> None:
    assert symbols.near(typed, NAMES)[0] == meant
    with pytest.raises(ConfigError, match=f"{typed} is no contract of here; did you mean {meant}"):
        symbols.check([typed], NAMES, "here")


def test_a_name_like_no_other() -> None:
    with pytest.raises(ConfigError, match="it has 6, such as BTC_USDT"):
        symbols.check(["QQQQ"], NAMES, "here")
    symbols.check(["BTC_USDT", "WIF_USDT"], NAMES, "here")


def test_the_exchanges_own_words_stay_when_the_name_is_right() -> None:
    class Market:
        async def contracts(self) -> list[SimpleNamespace]:
            return [SimpleNamespace(symbol=name) for name in NAMES]

    client = SimpleNamespace(market_api=Market(), endpoint=SimpleNamespace(rest_url="here"))

    async def told(symbol: str) -> None:
        async with symbols.named(client, symbol, None):     # type: ignore[arg-type]
            raise SymbolError(1001, "Contract does not exist")

    with pytest.raises(SymbolError, match="Contract does not exist"):
        asyncio.run(told("BTC_USDT"))
    with pytest.raises(ConfigError, match="did you mean WIF_USDT"):
        asyncio.run(told("WIFUSDT"))


@pytest.mark.parametrize(("arguments", "code", "says"), [
    (["watch", "BTC_USDT", "--endpoint", "127.0.0.1:8777"], 2,
     "did you mean http://127.0.0.1:8777?"),
    (["account", "--endpoint", "api.mexc.com"], 2, "did you mean https://api.mexc.com?"),
    (["wacth"], 2, "watch"),
    (["bench", "--part", "everything"], 1, "allowed: micro, memory"),
    (["doctor", "--key-created", "yesterday"], 1, "allowed: a day such as"),
])
def test_errors_help(arguments: list[str], code: int, says: str) -> None:
    done = subprocess.run([*MEXCFAST, *arguments], capture_output=True, text=True, timeout=60,
                          env={**os.environ, "MEXC_API_KEY": "k", "MEXC_API_SECRET": "s"})
    assert done.returncode == code and says in done.stderr, done.stderr
    assert "Traceback" not in done.stderr


def test_every_help_is_whole() -> None:
    """Each command's help can be shown in a narrow terminal, and says what every option is for."""
    names = completed("mexcfast ")
    assert {"watch", "export", "doctor", "trade", "bench"} <= set(names)
    done = subprocess.run([*MEXCFAST, "--help"], capture_output=True, text=True, timeout=60,
                          env={**os.environ, "COLUMNS": "60"})
    assert done.returncode == 0 and all(name in done.stdout for name in names)


def test_bench_passes_on_what_the_script_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                              capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "bench").mkdir()
    (tmp_path / "bench" / "report.py").write_text(
        "import sys\nprint('micro ...')\nprint('micro: done, 1 s')\nprint(sys.argv[1:])\n"
        "sys.exit(3)\n")
    monkeypatch.chdir(tmp_path)
    assert bench.bench(quick=True, out="o", parts=["micro"], keep=False) == 3
    assert capfd.readouterr().out.splitlines() == [
        "micro ...", "micro: done, 1 s", "['--out', 'o', '--quick', '--part', 'micro']"]


def test_frames_of_the_board_are_what_events_hold() -> None:
    """Deals merged into one push are one trade each."""
    event = parse_frame(json.dumps({"channel": "push.deal", "symbol": "BTC_USDT", "ts": 1, "data": [
        {"p": "1.5", "v": 1, "T": 1, "t": 2, "i": "1"},
        {"p": "1.4", "v": 2, "T": 2, "t": 3, "i": "2"}]}))
    assert [deal.price for deal in event.deals] == [1.5, 1.4]     # type: ignore[attr-defined]

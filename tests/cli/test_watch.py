"""`mexcfast watch`: the picture in terminals of several sizes, its keys, its lines, its ends."""

from __future__ import annotations

import io
import json
import signal
import subprocess
import sys
import termios
import time
from collections.abc import Iterator

import pytest
from rich.console import Console

from cli.terminal import MEXCFAST, Terminal
from mexcfast.cli import board as room
from mexcfast.cli.board import Board, as_dict, compact, picture, span
from mexcfast.cli.keys import split
from mexcfast.core.depth import OrderBook, State
from mexcfast.core.events import parse_frame

SYMBOLS = ("BTC_USDT", "ETH_USDT", "SOL_USDT")


# -- the picture ----------------------------------------------------------------------------------

def filled(symbols: tuple[str, ...] = SYMBOLS, levels: int = 30) -> Board:
    """A board with books, trades, tickers and funding."""
    board = Board()
    for number, symbol in enumerate(symbols):
        book = OrderBook(symbol)
        bids = [[f"{80000 - place}.5", str(100 + place), 1] for place in range(levels)]
        asks = [[f"{80001 + place}.5", str(200 + place), 2] for place in range(levels)]
        book.expect_snapshot()
        book.load_snapshot(json.dumps({"success": True, "code": 0, "data": {
            "bids": bids, "asks": asks, "version": 77, "timestamp": 1_790_000_000_000}}),
            time.time_ns())
        board.add(symbol, book)
        for row in (
                {"channel": "push.deal", "data": [
                    {"p": "80001.5", "v": 3 + number, "T": 1, "O": 1, "M": 2,
                     "t": 1_790_000_000_000, "i": "1"},
                    {"p": "80000.5", "v": 4, "T": 2, "O": 1, "M": 2, "t": 1_790_000_001_000,
                     "i": "2"}]},
                {"channel": "push.ticker", "data": {
                    "symbol": symbol, "lastPrice": 80001.5, "riseFallRate": -0.0123,
                    "fairPrice": 80000.9, "indexPrice": 80000.8, "high24Price": 81000.5,
                    "lower24Price": 79000.5, "volume24": 12, "amount24": 1234567.8,
                    "holdVol": 5_000_000, "bid1": 80000.5, "ask1": 80001.5}},
                {"channel": "push.funding.rate", "data": {
                    "symbol": symbol, "rate": 0.000072,
                    "nextSettleTime": (time.time_ns() // 10**6) + 9_000_000}}):
            board.on_event(parse_frame(json.dumps({"symbol": symbol, "ts": 1, **row})))
    board.say("something happened")
    return board


def drawn(board: Board, width: int, height: int) -> list[str]:
    console = Console(width=width, height=height, file=io.StringIO(), force_terminal=True,
                      color_system=None, legacy_windows=False)
    console.print(picture(board, "ws://127.0.0.1:1/edge", width, height, keys=True))
    return console.file.getvalue().splitlines()         # type: ignore[attr-defined]


@pytest.mark.parametrize(("width", "height"), [(60, 40), (60, 24), (80, 24), (100, 30), (160, 50),
                                               (220, 60)])
@pytest.mark.parametrize("count", [1, 3])
def test_the_picture_fits_and_shows_what_matters(width: int, height: int, count: int) -> None:
    board = filled(SYMBOLS[:count])
    lines = drawn(board, width, height)
    text = "\n".join(lines)
    assert len(lines) <= height and max(map(len, lines)) <= width
    for each in ("BTC_USDT", "LIVE", "80,000.5", "80,001.5", "spread 1.0", "version 77", "█",
                 "q quit", "something happened"):
        assert each in text, each
    if height >= 30:
        for each in ("trades", "+0.0072 %", " min", "-1.23 %", "gaps", "age", "fair", "80,000.9"):
            assert each in text, each
    if count > 1:
        assert all(symbol in text for symbol in SYMBOLS)


def test_an_empty_board_can_be_drawn_anywhere() -> None:
    board = Board()
    board.add("BTC_USDT", OrderBook("BTC_USDT"))
    for width, height in ((20, 8), (40, 10), (60, 24), (100, 12), (160, 50)):
        lines = drawn(board, width, height)
        assert "INIT" in "\n".join(lines) and max(map(len, lines)) <= width


def test_many_contracts_scroll() -> None:
    board = filled(tuple(f"C{number:02d}_USDT" for number in range(30)), levels=5)
    board.focus = 17
    text = "\n".join(drawn(board, 100, 40))
    assert "▶ " in text and "C17_USDT" in text and "C16_USDT" in text and "C01_USDT" not in text


def test_a_doubted_book_says_so() -> None:
    board = filled(SYMBOLS[:1])
    board.shown.book.suspect("it differs from REST")
    assert "it differs from REST"[:12] in "\n".join(drawn(board, 160, 40))
    told = as_dict(board.shown, 2, time.time_ns())
    assert told["doubt"] == "it differs from REST"


def test_keys_move_the_focus() -> None:
    board = filled()
    for key, focus in (("tab", 1), ("right", 2), ("tab", 0), ("left", 2), ("shift-tab", 1),
                       ("1", 0), ("3", 2), ("4", 2), ("0", 2), ("x", 2), ("n", 0), ("p", 2)):
        board.press(key)
        assert board.focus == focus, key
    for key, levels in (("+", 11), ("=", 12), ("-", 11)):
        board.press(key)
        assert board.levels == levels
    for _ in range(100):
        board.press("-")
    assert board.levels == 1
    board.press("space")
    assert board.is_paused and "PAUSED" in "\n".join(drawn(board, 160, 40))


def test_what_terminals_send_is_split_into_keys() -> None:
    assert split("q") == ["q"]
    assert split("\t\x1b[Z\x1b[C\x1bOD2 +") == ["tab", "shift-tab", "right", "left", "2", "space",
                                                "+"]
    assert split("\x1b[1;5Cq\x1b[200~") == ["q"]          # ctrl-right, a paste: nothing of ours
    assert split("\x1b") == ["escape"] and split("\x1b[") == []


def test_numbers_are_short() -> None:
    assert [span(each) for each in (0, 0.18, 2.44, 59.99, 185, 9660, 200_000)] == [
        "0 ms", "180 ms", "2.4 s", "1 min 0 s", "3 min 5 s", "2 h 41 min", "2 d 7 h"]
    assert [compact(each) for each in (None, 12.5, 1234, 5e6, 2e9)] == [
        "-", "12.5", "1.23 k", "5.00 M", "2.00 G"]
    assert str(room.percent(-0.0123)) == "-1.23 %" and str(room.percent(None)) == "-"


def test_a_line_of_json_has_the_trades_once() -> None:
    board = filled()
    told = as_dict(board.shown, 2, time.time_ns())
    assert told["state"] == "LIVE" and told["best_bid"] == 80000.5 and told["version"] == 77
    assert told["bids"] == [[80000.5, 100.0, 1], [79999.5, 101.0, 1]]
    assert told["funding_rate"] == 0.000072 and told["change_rate"] == -0.0123
    assert [trade["side"] for trade in told["trades"]] == ["buy", "sell"]
    assert as_dict(board.shown, 2, time.time_ns())["trades"] == []


def test_news_name_states_and_sockets() -> None:
    said: list[str] = []
    board = Board(lambda text, style: said.append(text))
    board.add("BTC_USDT", OrderBook("BTC_USDT"))
    board.on_book_state(board.shown.book, State.LIVE, State.REPAIRING)
    board.on_disconnected("public-1", "reset")
    board.on_reconnected("public-1", 12_000_000)
    board.on_refused("depth X", "no")
    assert said == ["BTC_USDT LIVE -> REPAIRING", "public-1 lost: reset",
                    "public-1 back after 12 ms", "depth X refused: no"]


# -- in a terminal --------------------------------------------------------------------------------

@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    process = subprocess.Popen([*MEXCFAST, "sim", "--port", "0", "--json", "--rate", "20"],
                               stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    yield json.loads(process.stdout.readline())["rest_url"]
    process.terminate()
    process.stdout.close()
    assert process.wait(timeout=20) == 0


def watching(address: str, *more: str, width: int = 100) -> Terminal:
    return Terminal("watch", "BTC_USDT", "ETH_USDT", "--endpoint", address, *more, width=width)


def test_keys_switch_contracts_and_q_ends_it(address: str) -> None:
    with watching(address) as terminal:
        terminal.until(r"ETH_USDT SYNCING -> LIVE")
        terminal.until(r"(?s)BTC_USDT LIVE .*version \d+.*q quit")
        assert terminal.is_raw
        terminal.press("\t")
        terminal.until(r"─ ETH_USDT LIVE", fresh=True)
        terminal.press("1")
        terminal.until(r"─ BTC_USDT LIVE", fresh=True)
        terminal.press(" ")
        terminal.press(" ")
        terminal.press("q")
        assert terminal.wait() == 0
        assert terminal.modes() == terminal.before
        assert "\x1b[?1049l" in terminal.seen           # the other screen is back
        assert terminal.seen.rindex("\x1b[?25h") > terminal.seen.rindex("\x1b[?25l")
        terminal.until(r"BTC_USDT LIVE [\d,.]+ x [\d,.]+ version \d+, \d+ trades")


@pytest.mark.parametrize("how", ["keys", signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_the_terminal_is_put_back_however_it_ends(address: str, how: signal.Signals | str) -> None:
    with watching(address, width=60) as terminal:
        terminal.until(r"(?s)─ BTC_USDT LIVE.*q quit")
        assert terminal.is_raw
        if isinstance(how, str):
            terminal.press("\x03")
            how = signal.SIGINT
        else:
            terminal.process.send_signal(how)
        assert terminal.wait() == 128 + how
        assert terminal.modes() == terminal.before and "Traceback" not in terminal.seen


def test_the_terminal_is_put_back_after_an_error(address: str) -> None:
    with Terminal("watch", "BTC_USDT", "BTCUSD", "--endpoint", address) as terminal:
        assert terminal.wait() == 1
        assert terminal.modes() == terminal.before
        assert "did you mean" in terminal.seen


def test_it_comes_back_after_being_stopped(address: str) -> None:
    """Ctrl-Z, then fg: keys work again."""
    with watching(address) as terminal:
        terminal.until(r"ETH_USDT SYNCING -> LIVE")
        terminal.process.send_signal(signal.SIGSTOP)
        termios.tcsetattr(terminal._theirs, termios.TCSANOW, terminal.before)   # the shell does
        terminal.process.send_signal(signal.SIGCONT)
        ends = time.monotonic() + 60
        while not terminal.is_raw:
            assert time.monotonic() < ends
            terminal.read(0.05)
        terminal.press("q")
        assert terminal.wait() == 0 and terminal.modes() == terminal.before


# -- piped ----------------------------------------------------------------------------------------

def piped(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*MEXCFAST, "watch", *arguments], capture_output=True, text=True,
                          timeout=90, stdin=subprocess.DEVNULL)


def test_lines_of_json(address: str) -> None:
    done = piped("BTC_USDT", "ETH_USDT", "--endpoint", address, "--seconds", "3", "--json",
                 "--levels", "2")
    assert done.returncode == 0, done.stderr
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert {row["symbol"] for row in rows} == {"BTC_USDT", "ETH_USDT"} and len(rows) >= 4
    last = rows[-1]
    assert last["state"] == "LIVE" and len(last["bids"]) == 2
    assert last["best_bid"] < last["best_ask"]
    ids = [row["ts_ns"] for row in rows]
    assert ids == sorted(ids)


def test_keys_are_not_read_when_input_is_no_terminal(address: str) -> None:
    done = subprocess.run([*MEXCFAST, "watch", "BTC_USDT", "--endpoint", address, "--seconds", "2"],
                          capture_output=True, text=True, timeout=90, input="qqq")
    assert done.returncode == 0 and "BTC_USDT LIVE" in done.stdout and "\x1b" not in done.stdout


def test_an_unknown_contract_is_named_with_those_near(address: str) -> None:
    for wrong, meant in (("BTCUSDT", "BTC_USDT"), ("ETH_USD", "ETH_USDT"), ("SOL", "SOL_USDT")):
        done = piped(wrong, "--endpoint", address)
        assert done.returncode == 1 and "Traceback" not in done.stderr
        assert f"{wrong} is no contract of {address}; did you mean {meant}" in done.stderr


def test_an_exchange_that_does_not_answer_is_told() -> None:
    done = piped("BTC_USDT", "--endpoint", "http://127.0.0.1:9", "--seconds", "1.5")
    assert done.returncode == 1
    assert "http://127.0.0.1:9 does not answer" in done.stdout and "trying again" in done.stdout


pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="no pseudo terminals")

"""account, orders and trade against an exchange in another process, as a person uses them."""

from __future__ import annotations

import json
import os
import pty
import select
import subprocess
import sys
from collections.abc import Iterator

import pytest

from children import deadline

MEXCFAST = [sys.executable, "-P", "-m", "mexcfast.cli"]


@pytest.fixture(scope="module")
def venue() -> Iterator[dict[str, str]]:
    process = subprocess.Popen([*MEXCFAST, "sim", "--port", "0", "--json", "--rate", "20"],
                               stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    with deadline(process):
        told = json.loads(process.stdout.readline())
    yield told
    with deadline(process):
        process.terminate()
        assert process.wait() == 0
    process.stdout.close()


def environment(venue: dict[str, str]) -> dict[str, str]:
    return {**os.environ, "MEXC_API_KEY": venue["access_key"], "MEXC_API_SECRET": venue["secret"]}


def run(venue: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*MEXCFAST, *arguments, "--endpoint", venue["rest_url"]],
                          capture_output=True, text=True, timeout=90, env=environment(venue),
                          stdin=subprocess.DEVNULL)


def asked(venue: dict[str, str], *arguments: str) -> object:
    done = run(venue, *arguments, "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout)


def test_an_order_lives_from_trade_to_cancel(venue: dict[str, str]) -> None:
    placed = asked(venue, "trade", "BTC_USDT", "open-long", "10", "--price", "80000",
                   "--leverage", "20", "--yes")
    assert placed["outcome"] == "Accepted" and placed["order"]["state"] == "OPEN"
    shown = asked(venue, "orders", "BTC_USDT")
    assert [order["order_id"] for order in shown["limit"]] == [placed["order_id"]]
    assert shown["limit"][0]["price"] == "80000"
    assert asked(venue, "account")["open_orders"]["limit"] == 1
    text = run(venue, "orders").stdout
    assert str(placed["order_id"]) in text and "open long" in text and "\x1b" not in text
    gone = asked(venue, "orders", "--cancel", str(placed["order_id"]))
    assert gone["still_open"] == [] and gone["outcomes"][0]["kind"] == "Accepted"
    past = asked(venue, "orders", "BTC_USDT", "--history")
    assert [order["state"] for order in past] == ["CANCELLED"]


def test_a_market_order_becomes_a_position_and_a_fill(venue: dict[str, str]) -> None:
    done = run(venue, "trade", "ETH_USDT", "open-short", "5", "--type", "market", "--leverage",
               "10", "--yes")
    assert done.returncode == 0, done.stderr
    assert "at market" in done.stdout and "filled, 5 of 5 contracts filled at " in done.stdout
    account = asked(venue, "account")
    (position,) = [p for p in account["positions"] if p["symbol"] == "ETH_USDT"]
    assert (position["type"], position["quantity"]) == ("SHORT", "5")
    fills = asked(venue, "orders", "ETH_USDT", "--fills")
    assert sum(int(fill["quantity"]) for fill in fills) == 5
    text = run(venue, "account").stdout
    assert "ETH_USDT" in text and "short" in text and "USDT" in text


@pytest.mark.parametrize(("arguments", "code", "says"), [
    (["trade", "BTC_USDT", "open-long", "10", "--price", "80000.05", "--leverage", "20", "--yes"],
     1, "a multiple of the tick size 0.1"),
    (["trade", "BTC_USDT", "open-long", "10", "--price", "80000", "--leverage", "20"],
     1, "no terminal; allowed: --yes"),
    (["trade", "NOPE_USDT", "open-long", "10", "--yes"], 1, "NOPE_USDT"),
    (["trade", "BTC_USDT", "buy", "10", "--yes"], 2, "open-long"),
    (["orders", "--fills"], 2, "needs a contract"),
    (["orders", "BTC_USDT", "--fills", "--history"], 2, "exclude"),
])
def test_bad_input_is_named_and_sends_nothing(venue: dict[str, str], arguments: list[str],
                                              code: int, says: str) -> None:
    before = asked(venue, "orders")
    done = run(venue, *arguments)
    assert done.returncode == code, done.stdout + done.stderr
    assert says in done.stderr and "Traceback" not in done.stderr
    assert asked(venue, "orders") == before


def test_a_rejected_order_says_why_and_ends_with_1(venue: dict[str, str]) -> None:
    done = run(venue, "trade", "BTC_USDT", "close-long", "1000", "--price", "80000", "--yes")
    assert done.returncode == 1
    assert done.stdout.splitlines()[-1].startswith("Rejected: ")


@pytest.mark.parametrize(("answer", "code"), [("y\n", 0), ("n\n", 1), ("\n", 1)])
def test_a_person_is_asked(venue: dict[str, str], answer: str, code: int) -> None:
    before = len(asked(venue, "orders", "SOL_USDT")["limit"])
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [*MEXCFAST, "trade", "SOL_USDT", "open-long", "1", "--price", "20", "--leverage", "5",
         "--endpoint", venue["rest_url"]], stdin=theirs, stdout=theirs, stderr=theirs,
        env=environment(venue))
    os.close(theirs)
    seen = b""
    with deadline(process):
        while b"Send it? [y/N]" not in seen:
            if select.select([ours], [], [], 1)[0]:
                seen += os.read(ours, 4096)
            else:
                assert process.poll() is None, seen
        assert b"worth about" in seen
        os.write(ours, answer.encode())
        assert process.wait() == code
    os.close(ours)
    assert len(asked(venue, "orders", "SOL_USDT")["limit"]) == before + (code == 0)


def test_without_keys_the_variable_is_named(venue: dict[str, str]) -> None:
    values = {name: value for name, value in os.environ.items() if name != "MEXC_API_KEY"}
    done = subprocess.run([*MEXCFAST, "account", "--endpoint", venue["rest_url"]],
                          capture_output=True, text=True, timeout=60, env=values)
    assert done.returncode == 1 and "MEXC_API_KEY is missing" in done.stderr

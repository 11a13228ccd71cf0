"""bench/: it runs, and checks its answers before it times them. Speed is not judged here."""

from __future__ import annotations

import asyncio
import json
import os
import re
import subprocess
import sys
import tomllib
from importlib.util import find_spec
from pathlib import Path

import pytest

from mexcfast.core.rest import find
from mexcfast.errors import ConfigError

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "bench"))

import client  # noqa: E402
import compare  # noqa: E402
import counts  # noqa: E402
import frames  # noqa: E402
import gate  # noqa: E402
import harness  # noqa: E402
import memory  # noqa: E402
import micro  # noqa: E402
import paste  # noqa: E402
import reasons  # noqa: E402
import report  # noqa: E402
import rivals  # noqa: E402
import rows  # noqa: E402
import server  # noqa: E402
import startup  # noqa: E402
import tick_to_trade  # noqa: E402
import trader  # noqa: E402
import wire  # noqa: E402
import workload  # noqa: E402


def test_the_stream_is_the_same_every_time():
    one, other = frames.make_stream(50, 40), frames.make_stream(50, 40)
    assert (one.snapshot, one.frames) == (other.snapshot, other.frames)
    assert one.frames != frames.make_stream(50, 40, seed=8).frames


def test_the_stream_looks_as_described():
    stream = frames.make_stream(2_000)
    levels = [json.loads(frame)["data"] for frame in stream.frames]
    counts = [len(data["asks"]) + len(data["bids"]) for data in levels]
    assert 270 <= stream.bytes_per_frame <= 300
    assert 8.0 <= sum(counts) / len(counts) <= 9.0
    assert min(counts) >= 1
    assert 900 <= len(stream.bids) <= 1_100 and 900 <= len(stream.asks) <= 1_100
    assert max(stream.bids) < min(stream.asks)


def test_answers_are_checked():
    stream = frames.make_stream(60, 50)
    micro.check_answers(stream)
    stream.bids[max(stream.bids)] += 1
    with pytest.raises(AssertionError, match="generator"):
        micro.check_answers(stream)


def test_a_rival_that_is_missing_or_another_version_is_named(monkeypatch):
    monkeypatch.setitem(rivals.PINNED, "msgspec", ("msgspec", "0.0.1"))
    monkeypatch.setitem(rivals.PINNED, "order-book", ("order_book", "0.0.1"))
    found, missing = rivals.available()
    assert "json + dict" in found and "msgspec typed + dict" not in found
    assert [reason for reason in missing if "pip install msgspec==0.0.1" in reason
            and reason.startswith("msgspec typed + dict is not measured")]
    assert len(found) + len(missing) == len(rivals.RIVALS)


def test_rivals_are_pinned_once():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted = {f"{name}=={number}" for name, (_, number) in rivals.PINNED.items()}
    tools = {each for each in project["optional-dependencies"]["bench"]
             if each.startswith(("Cython", "setuptools", "matplotlib"))}
    assert len(tools) == 3
    assert set(project["optional-dependencies"]["bench"]) - tools == wanted
    clients = set(project["optional-dependencies"]["clients"])
    assert {each for each in wanted if each.startswith(("pymexc", "typed-mexc"))} <= clients


def test_ratios_are_taken_from_the_fastest_rival():
    times = {micro.OURS: [3.0, 2.0], micro.OURS_TOP: [4.0], micro.ORJSON: [9.0, 8.0],
             "orjson + sortedcontainers" + micro.TOP: [40.0],
             "orjson + ccxt OrderBook" + micro.TOP: [36.0]}
    rows = {row["what"]: row for row in micro.ratios(times)}
    assert rows["against orjson.loads of the frame, no book"]["ratio"] == 4.0
    assert rows["top read each frame, against the best rival at that"]["ratio"] == 9.0
    assert rows["against msgspec + dict"]["ratio"] is None


def test_frames_allocate_nothing_that_stays():
    """The steady state of many books: no collection, no byte more of C's or Python's memory."""
    found = memory.measure(books=20, levels=200, frames=4_000, repeats=3, storage="auto")
    assert found["ladder_sides"] == 40
    assert (found["gc_passes"], found["python_bytes_more"], found["c_bytes_more"]) == (0, 0, 0)
    assert found["python_peak"] < 500, "a tuple or two in between, nothing per level"


@pytest.mark.parametrize("command", [
    ["bench/micro.py", "--frames", "60", "--levels", "50", "--repeats", "1"],
    ["bench/frames.py"],
    ["bench/memory.py", "--books", "5", "--levels", "100", "--frames", "400"],
])
def test_the_commands_run(command):
    done = subprocess.run([sys.executable, *command], cwd=ROOT, capture_output=True, text=True,
                          env=dict(os.environ), timeout=300)
    assert done.returncode == 0, done.stderr
    assert "frames" in done.stdout
    if "micro" in command[0]:
        assert "| mexcfast parse + check + apply |" in done.stdout


# -- harness, wire, tick to trade ----------------------------------------------------------------

def test_candidates_take_turns():
    calls = []
    found = harness.in_turns(["a", "b"], 3, lambda name: calls.append(name) or len(calls))
    assert calls == ["a", "b"] * 3
    assert found == {"a": [1, 3, 5], "b": [2, 4, 6]}


def test_a_candidate_that_is_missing_or_fails_is_named_and_the_others_go_on(capsys):
    def once(name):
        if name == "absent":
            raise harness.Missing("pip install absent")
        if name == "broken":
            raise RuntimeError("its words")
        return 1

    found, missing = harness.turns_of_children(["absent", "fine", "broken"], 2, once)
    assert found == {"fine": [1, 1]}
    assert missing == ["absent is not measured: pip install absent",
                       "broken is not measured: its words",
                       "broken failed once and was run again: its words"]
    assert capsys.readouterr().err.count("MISSING: ") == 2


def test_a_candidate_that_fails_once_is_run_again_and_that_is_said():
    runs = []

    def once(name):
        runs.append(name)
        if len(runs) == 2:
            raise RuntimeError("its words")
        return len(runs)

    found, said = harness.turns_of_children(["fine"], 3, once)
    assert found == {"fine": [1, 3, 4]}
    assert said == ["fine failed once and was run again: its words"]


def test_latencies_leave_out_the_warm_up():
    found = harness.latencies([1_000.0] * 5 + [float(value) for value in range(1, 96)])
    assert (found["count"], found["fastest"], found["p50"], found["p90"]) == (95, 1, 48, 86)
    assert found["curve"][0] == 1 and found["curve"][-1] == 95 and len(found["curve"]) == 201
    assert found["series"][:3] == [1, 2, 3]


def test_the_bootstrap_finds_a_difference_and_none_where_there_is_none():
    base = [100.0 + number % 7 for number in range(40)]
    estimate, low, high = harness.bootstrap(base, [value * 1.5 for value in base])
    assert low > 1.3 and high < 1.7 and estimate == pytest.approx(1.5)
    _, low, high = harness.bootstrap(base, list(reversed(base)))
    assert low <= 1 <= high


def test_the_environment_says_where_it_was_measured():
    found = harness.environment()
    assert found["python"] and found["versions"]["picows"] != "missing"
    assert "mexcfast" in found and "switches" in found


def test_a_client_that_is_missing_says_so():
    with pytest.raises(RuntimeError, match="invalid choice"):
        harness.run_child("client.py", "no such candidate", "sleep", 1)


@pytest.mark.skipif(sys.platform != "linux", reason="the measuring venue uses epoll")
def test_the_wire_is_measured_through_real_sockets():
    found = wire.measure([client.OURS, client.AIOHTTP_JSON], repeats=1, paced=100, blast=200,
                         levels=50)
    assert not found["missing"], found["missing"]
    for name in (client.OURS, client.AIOHTTP_JSON):
        one = found["candidates"][name]
        for loop in ("sleep", "spin"):
            assert one[loop][0]["count"] == 95 and one[loop][0]["fastest"] > 0
        assert one["blast"][0]["woken"] == one["blast"][0]["frames"] == 200
    assert found["candidates"][client.OURS]["checked"]
    assert client.OURS in wire.table(found)
    assert wire.value(found, "no such", "sleep", "p50") is None


@pytest.mark.skipif(sys.platform != "linux", reason="the measuring venue uses epoll")
def test_tick_to_trade_is_measured_through_real_sockets():
    found = tick_to_trade.measure([trader.OURS], repeats=1, count=40, rate=200)
    assert not found["missing"], found["missing"]
    for loop in ("sleep", "spin"):
        assert found["candidates"][trader.OURS][loop][0]["count"] == 38
        assert found["candidates"][trader.OURS][loop][0]["lost"] == 0
    assert f"| {trader.OURS} | spinning |" in tick_to_trade.table(found)


def test_the_stored_stream_is_the_stream(tmp_path, monkeypatch):
    monkeypatch.setattr(server, "BUILT", tmp_path)
    made = frames.make_stream(30, 20)
    for _ in range(2):
        stored = server.stored_stream(30, 20)
        assert (stored.snapshot, stored.frames) == (made.snapshot, made.frames)


@pytest.mark.parametrize("more", [[], ["--tls"]], ids=["plain", "tls"])
def test_orders_are_answered_before_they_are_timed(more):
    done = subprocess.run([sys.executable, "bench/orders.py", "--requests", "20", "--repeats", "1",
                           *more], cwd=ROOT, capture_output=True, text=True, env=dict(os.environ),
                          timeout=300)
    assert done.returncode == 0, done.stderr
    for row in ("bare protocol, uvloop", "executor, lane", "orders.submit, aiohttp path"):
        assert f"| {row} |" in done.stdout


# -- first live books ----------------------------------------------------------------------------

def test_the_first_book_is_measured_behind_a_delay_and_is_the_exchange_s():
    found = asyncio.run(startup.measure([1, 2], repeats=1, round_trip_ms=20))
    for repeats in found["books"].values():
        (one,) = repeats
        assert 60 <= one["first_ms"] <= one["last_ms"], "three round trips cannot be saved"
    assert found["minimum_ms"] == {"1": 60, "2": 60}
    assert "| 2 |" in startup.table(found)


def test_the_protocol_s_minimum_counts_the_windows_of_the_budget():
    route = find("depth")
    assert startup.minimum_ms(route.count, 20) == 60
    assert startup.minimum_ms(route.count + 1, 20) == 60 + route.window_ms


# -- report, rows, paste -------------------------------------------------------------------------

def some_results():
    wired = {"curve": [1.0] * 201, "series": [1.0, 2.0], "p90": 2.0, "p99": 3.0, "fastest": 1.0}

    def one(sleep, spin, cpu):
        return {"sleep": [wired | {"p50": sleep}], "spin": [wired | {"p50": spin}],
                "blast": [{"cpu_us": cpu, "server_us": 0.1, "woken": 1, "frames": 1,
                           "gc_passes": 0}]}

    return {
        "wire": {"candidates": {
            client.BARE: one(50, 4, 0.1), client.EMPTY: one(55, 8, 0.15),
            client.OURS_COMPILED: one(60, 9, 0.45), client.OURS: one(61, 10, 0.8),
            client.CCXT: one(150, 60, 45.0)}},
        "tick_to_trade": {"candidates": {
            trader.OURS: one(100, 40, 0), trader.REHEARSING: one(100, 30, 0),
            trader.CCXT: one(600, 300, 0), trader.BARE: one(50, 12, 0)}},
        "memory": {"books": 1_100, "levels": 1_500, "megabytes": 210.0, "frames_a_second": 30_000,
                   "gc_passes": 0, "c_bytes_more": 16, "python_bytes_more": 0},
        "orders": {"candidates": {rows.FLOOR: [[40.0, 20.0], [50.0, 18.0]],
                                  rows.OUR_ORDERS: [[44.0, 30.0]]}}}


def test_rows_are_judged():
    judged = {row["what"]: row for row in rows.judged(some_results())}

    def of(start):
        (found,) = [row for what, row in judged.items() if what.startswith(start)]
        return found["value"], found["met"]

    assert of("socket to live book") == (pytest.approx(0.3), "goal")
    assert of("the same, against ccxt.pro") == (pytest.approx(100), "goal")
    assert of("the same, against aiohttp") == (None, "not measured")
    assert of("wire to callback") == (1, "goal")
    assert of("spinning against") == (pytest.approx(60 / 9), "goal")
    assert of("tick to trade, sleeping, p50 against ccxt") == (6, "goal")
    assert of("tick to trade, ours spinning") == (20, "must")
    assert of("tick to trade, spinning") == (18, "must")
    assert of("order submit over a bare uvloop protocol, CPU") == (12, "must")
    assert of("steady state: C memory") == (16, "no")
    assert of("1100 books of 1500 levels a side: resident") == (210, "must")
    assert of("1100 books of 1500 levels a side, one core") == (30_000, "no")
    assert of("parse + check + apply: against msgspec") == (None, "not measured")


def test_the_floor_has_the_same_figure():
    floors = {row["what"]: row["floor"] for row in rows.judged(some_results())}
    assert floors["the same, against ccxt.pro"] == "300.0x"             # 45 over 0.15
    assert floors["spinning against the sleeping loop, same listener, p50"] == "12.5x"
    assert floors["tick to trade, sleeping, p50 against ccxt"] == "12.0x"
    assert floors["tick to trade, ours spinning and rehearsing, p50 against ccxt as shipped"] == (
        "50.0x")
    assert floors["order submit, CPU against ccxt"] == "-"              # ccxt was not measured
    assert floors["1100 books of 1500 levels a side: resident memory"] == "-"


def test_rows_of_fewer_books_are_not_passed_off_as_many():
    found = some_results()
    found["memory"]["books"] = 100
    values = {row["what"]: row["value"] for row in rows.judged(found)}
    assert values["1100 books of 1500 levels a side: resident memory"] is None
    assert values["steady state: garbage collections caused by frames"] == 0


def test_the_budget_is_the_difference_of_candidates():
    found = some_results() | {"micro": {"times": {micro.SCAN: [200.0], micro.OURS: [290.0]}}}
    stages = rows.budget(found)
    assert [one["cpu_us"] for one in stages] == pytest.approx([0.1, 0.05, 0.3, 0.2, 0.09, 0.35])
    assert [one["p50_us"] for one in stages] == [4, 4, 1, None, None, 1]


def test_an_order_s_budget_is_the_difference_of_candidates():
    found = some_results()
    found["orders"]["candidates"][rows.EXECUTOR] = [[42.0, 23.0], [43.0, 22.0]]
    stages = rows.order_budget(found)
    assert [one["p50_us"] for one in stages] == [40, 2, 2]
    assert [one["cpu_us"] for one in stages] == [18, 4, 8]
    assert "-" in rows.order_budget_table(rows.order_budget({}))


def test_what_is_below_its_goal_has_a_reason():
    names = [row.what for row in rows.ROWS]
    assert set(reasons.REASONS) <= set(names), "a reason for a row that does not exist"
    judged = rows.judged(some_results())
    text = reasons.table(judged)
    for row in judged:
        assert (f"| {row['what']} |" in text) == (row["met"] in ("must", "no")), row
    assert "not profiled yet" in reasons.table([{"what": "x", "measured": "1", "goal": "2",
                                                 "met": "no"}])
    assert reasons.table([{"what": "x", "met": "goal"}]) == ""


def test_the_report_is_whole_when_a_part_fails(tmp_path, monkeypatch):
    found = some_results()

    def run_part(name, quick):
        if name == "orders":
            raise RuntimeError("orders ended with exit code 1: its words")
        return f"{name}'s <table>\nMISSING: {name}'s rival", found.get(name, {})

    monkeypatch.setattr(report, "run_part", run_part)
    assert report.main(["--out", str(tmp_path), "--quick"]) == 1
    written = json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))
    assert written["failed"] == ["orders"]
    assert "orders: orders ended with exit code 1: its words" in written["missing"]
    assert "wire's rival" in written["missing"]
    assert len(written["rows"]) == len(rows.ROWS)
    assert len(written["order_budget"]) == 3
    text = (tmp_path / "report.md").read_text(encoding="utf-8")
    assert written["environment"]["python"] in text and "its figures mean nothing" in text
    assert "## Below the goal: why, and what was tried" in text
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "wire&#x27;s &lt;table&gt;" in page and "<table>" in page
    assert not re.search(r"(src|href)=[\"']?http|<script|<link|url\(http", page), "self-contained"
    if find_spec("matplotlib"):
        assert "<svg" in page and (tmp_path / "wire_cdf.png").stat().st_size > 1_000
    else:
        assert any("matplotlib" in reason for reason in written["missing"])


def test_only_a_whole_report_is_kept(capsys):
    for more in (["--quick"], ["--part", "micro"]):
        with pytest.raises(SystemExit):
            report.main(["--keep", *more])
        assert "--keep wants a whole run" in capsys.readouterr().err


def test_the_readme_s_figures_are_the_kept_report_s():
    readme = paste.README.read_text(encoding="utf-8")
    assert paste.pasted(readme) == readme, "run python bench/paste.py"


def test_a_kept_report_is_pasted(tmp_path, monkeypatch):
    monkeypatch.setattr(paste, "LATEST", tmp_path / "latest.json")
    monkeypatch.setattr(paste, "README", tmp_path / "README.md")
    text = f"before\n{paste.BEGIN}\nold\n{paste.END}\nafter\n"
    assert "No report is kept yet" in paste.pasted(text) and "old" not in paste.pasted(text)
    paste.README.write_text(text, encoding="utf-8")
    paste.keep({"environment": harness.environment(), "rows": rows.judged(some_results())})
    written = paste.README.read_text(encoding="utf-8")
    assert written.startswith("before\n") and written.endswith("\nafter\n")
    assert "| +0.90 us | +0.40 us | +0.30 us |" in written and "ccxt" in written
    assert paste.pasted(written) == written
    with pytest.raises(ValueError, match="marks"):
        paste.pasted("no marks")


def test_the_command_says_where_the_benches_are(tmp_path, monkeypatch):
    from mexcfast.cli import bench as command

    monkeypatch.chdir(ROOT)
    assert command.find() == ROOT / "bench"
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(command.mexcfast, "__file__", str(tmp_path / "mexcfast" / "__init__.py"))
    with pytest.raises(ConfigError, match="source tree"):
        command.find()


# -- gate, compare -------------------------------------------------------------------------------

def ratios_of(ours, theirs):
    """Times in which every rival of the gate takes `theirs` and we take `ours`."""
    mine = {micro.OURS, micro.OURS_TOP, micro.OUR_REQUEST, "sign 31 bytes", "sign 250 bytes"}
    assert mine < gate.TIMED
    return {name: [ours if name in mine else theirs] for name in gate.TIMED}


def test_the_gate_is_at_sixty_percent_of_what_must_be():
    assert gate.SHARE == 0.6 and len(gate.rows()) == 8
    lines, wrong = gate.judge(ratios_of(1.0, 15.0))
    assert len(lines) == 8 and not wrong, "25 times 0.6 is 15: just enough"
    _, wrong = gate.judge(ratios_of(1.0, 14.9))
    (reason,) = wrong
    assert "against ccxt.pro" in reason and "14.9x is below 15.0x, 60% of the 25x" in reason


def test_the_gate_fails_for_a_rival_that_is_missing():
    times = ratios_of(1.0, 100.0)
    del times["orjson + order-book"]
    assert gate.judge(times)[1] == ["parse + check + apply: against orjson + order-book: its rival "
                                    "is missing"]


def test_the_gate_measures_again_before_it_fails(monkeypatch, capsys):
    rounds = []

    def measure(stream, repeats, only):
        rounds.append(only)
        return ratios_of(1.0, 1.0 if len(rounds) == 1 else 2.0 if len(rounds) == 2 else 0.5)

    monkeypatch.setattr(gate.micro, "measure", measure)
    monkeypatch.setattr(gate.micro, "check_answers", lambda stream: None)
    monkeypatch.setattr(gate, "pin", lambda core: None)
    monkeypatch.setattr(sys, "argv", ["gate.py", "--frames", "5"])
    assert gate.main() == 1
    assert rounds == [gate.TIMED] * gate.ROUNDS
    assert capsys.readouterr().out.count("FAILED: ") == 8


def test_only_what_is_asked_for_is_timed():
    times = micro.measure(frames.make_stream(5, 20), 2, only={micro.OURS, "sign 31 bytes"})
    assert set(times) == {micro.OURS, "sign 31 bytes"}
    assert all(len(values) == 2 for values in times.values())


def test_a_comparison_names_what_is_slower_and_what_only_one_has():
    base = [100.0, 101.0, 99.0, 100.5, 99.5, 100.2]
    lines, slower = compare.report({
        "worse": {"old": base, "new": [value * 1.2 for value in base]},
        "better": {"old": base, "new": [value * 0.8 for value in base]},
        "same": {"old": base, "new": base[::-1]}, "new one": {"old": [], "new": base}})
    text = "\n".join(lines)
    assert slower
    assert "| worse | 99 | 119 | 1.200 |" in text and "SLOWER" in text
    assert re.search(r"better.*faster", text) and re.search(r"same.*no difference seen", text)
    assert "| new one | | | | | only in one of them |" in text
    assert not compare.report({"same": {"old": base, "new": base}})[1]


def test_a_small_difference_is_nobody_s_business():
    assert compare.verdict(1.005, 1.015, 1.01) == "no difference seen"
    assert compare.verdict(1.03, 1.05, 1.04) == "SLOWER"
    assert compare.verdict(0.9, 1.1, 0.95) == "no difference seen"


def test_what_is_compared_runs():
    home = Path(sys.modules["mexcfast"].__file__).parents[1]
    found = compare.timed(home, "--calls", "100", "--inner", "1")
    assert set(found) == set(workload.WORKLOADS)
    assert all(value > 0 for value in found.values())


def test_instructions_that_have_grown_are_named():
    here, kept = {"python": "3"}, {"instructions": {"a": 1000.0, "b": 10.0}}
    lines, wrong = counts.judge({**kept, "built_with": here}, {"a": 1050.0, "b": 10.6}, here)
    assert len(lines) == 2
    assert wrong == ["b: 11 instructions, 1.060 times the 10 that were kept; allowed: 1.05"]
    lines, wrong = counts.judge({**kept, "built_with": {"python": "2"}}, {"b": 99.0}, here)
    assert not wrong and "not judged" in lines[0] and "99" in lines[1]
    assert "nothing was kept" in counts.judge({**kept, "built_with": here}, {"c": 1.0}, here)[1][0]
    assert set(json.loads(counts.KEPT.read_text())["instructions"]) == set(counts.WATCHED)
    assert set(counts.WATCHED) <= set(workload.WORKLOADS)


def test_a_version_that_does_not_exist_is_named():
    with pytest.raises(SystemExit, match="neither a commit"):
        compare.install("no-such-commit", Path("never"))
    with pytest.raises(SystemExit, match="does not exist"):
        compare.install("no-such.whl", Path("never"))

"""`mexcfast doctor`: what it finds, what it must not do, and the drill of the kill switch."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys

import pytest

from mexcfast.cli import doctor
from mexcfast.cli.drill import DRILLS, Result, table_of
from mexcfast.core.killswitch import Switch, Trigger
from mexcfast.core.rest import Endpoint
from mexcfast.core.sign import Signer
from mexcfast.sim import Exchange


def run(*arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("MEXC_")}
    return subprocess.run(
        [sys.executable, "-P", "-m", "mexcfast.cli", "doctor", *arguments], capture_output=True,
        text=True, timeout=200,
        env={**clean, "PYTHONPATH": os.pathsep.join(sys.path), **env})


def examine(prepare=None, keys: bool = True) -> tuple[dict[str, doctor.Finding], list[str]]:
    async def told():
        async with asyncio.timeout(60), Exchange(seed=3, updates_per_second=5) as venue:
            if prepare is not None:
                prepare(venue)
            found = await doctor.examine(Endpoint.at(venue.rest_url), Signer(
                venue.access_key, venue.secret) if keys else None)
            return found, [request.path for request in venue.requests]

    return asyncio.run(told())


def test_a_healthy_patient():
    found, paths = examine()
    assert list(found) == ["build", "machine", "dns", "routes", "tls", "clock", "rest", "stream",
                           "drift", "keys", "key age", "withdrawals", "budgets"]
    assert {name: finding.verdict for name, finding in found.items()
            if name != "machine"} == dict.fromkeys(
        ("build", "dns", "routes", "tls", "clock", "rest", "stream", "drift", "keys", "budgets"),
        "ok") | dict.fromkeys(("key age", "withdrawals"), "skipped")
    assert abs(found["clock"].data["offset_ms"]) < 1000
    assert found["rest"].data["count"] == found["stream"].data["count"] == doctor.PINGS
    assert found["budgets"].data["groups"]["order_place"] == [4, 2000]
    writes = {path for path in paths if "/order/" in path or "/planorder/" in path}
    assert writes == {"/api/v1/private/order/list/open_orders", "/api/v1/private/order/cancel"}


def test_without_keys_nothing_private_is_asked():
    found, paths = examine(keys=False)
    assert {found[name].verdict for name in ("keys", "key age", "withdrawals")} == {"skipped"}
    assert not [path for path in paths if "/private/" in path]


def test_what_the_key_lacks_is_named():
    found, _ = examine(lambda venue: venue.change_key(venue.access_key, permissions="AO"))
    assert found["keys"].verdict == "failed" and "trading no: 704" in found["keys"].text
    assert found["keys"].data["account"] is True
    found, _ = examine(lambda venue: venue.change_key(venue.access_key, expired=True))
    assert found["keys"].verdict == "failed" and "402" in found["keys"].text
    found, _ = examine(lambda venue: venue.change_key(venue.access_key, addresses=["192.0.2.1"]))
    assert found["keys"].verdict == "failed" and "406" in found["keys"].text
    assert "bound to other addresses" in found["keys"].advice


def test_a_dead_network_fails_each_check_and_no_more():
    async def told():
        return await doctor.examine(Endpoint.at("http://127.0.0.1:9"), None)

    found = asyncio.run(told())
    verdicts = {name: finding.verdict for name, finding in found.items()}
    assert verdicts["clock"] == verdicts["rest"] == verdicts["stream"] == "failed"
    assert verdicts["budgets"] == verdicts["dns"] == "ok"
    assert verdicts["routes"] == "failed" and "cannot be reached" in found["routes"].text
    assert "Nothing was sent" in found["clock"].advice


def test_the_command(tmp_path):
    async def told():
        async with Exchange(seed=3, updates_per_second=5) as venue:
            return await asyncio.to_thread(
                run, "--json", "--endpoint", venue.rest_url, MEXC_API_KEY=venue.access_key,
                MEXC_API_SECRET=venue.secret), venue.secret

    done, secret = asyncio.run(told())
    assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads(done.stdout)["healthy"] is True and secret not in done.stdout
    done = run("--endpoint", "http://127.0.0.1:9")
    assert done.returncode == 1 and "failed" in done.stdout
    done = run("--endpoint", "http://127.0.0.1:9", MEXC_API_KEY="only")
    assert done.returncode == 1 and "MEXC_API_SECRET" in done.stderr


def test_the_kill_switch_is_reset_by_command(tmp_path):
    state, switch = tmp_path / "orders.switch", Switch()
    switch.note(Trigger.LOSS, "too much", 1)
    state.write_bytes(switch.encode())
    done = run("--reset-kill-switch", str(state), "--reason", "M. looked")
    assert done.returncode == 1 and "not proven" in done.stderr
    done = run("--reset-kill-switch", str(state), "--force")
    assert done.returncode == 1 and "reason" in done.stderr
    done = run("--reset-kill-switch", str(state), "--force", "--reason", "M. looked")
    assert done.returncode == 0 and "tripped by loss: too much" in done.stdout
    kept = json.loads(state.read_text())
    assert kept["state"] == "ARMED" and kept["history"][-1]["text"] == "M. looked"


def test_every_trigger_has_a_drill():
    assert {trigger for trigger, _, _ in DRILLS} == set(Trigger) - {Trigger.STATE_FILE,
                                                                    Trigger.WATCHDOG}


@pytest.mark.parametrize("trigger", ["manual", "maintenance", "loss", "watchdog"])
def test_drills_hold(trigger):
    done = run("--drill", "--trigger", trigger, "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    told = json.loads(done.stdout)
    one, = told["drills"]
    assert told["held"] and one["held"] and one["trigger"] == trigger
    assert 0 <= one["tripped_ms"] <= one["proven_ms"] and one["none_ms"] <= one["proven_ms"]
    assert one["refused"] and one["survived"] and one["reset"]


def test_a_drill_that_fails_is_told():
    good = Result("manual", "x", 1.0, 2.0, 3.0, True, True, True)
    assert good.held
    for wrong in ({"none_ms": None}, {"refused": False}, {"survived": False}, {"reset": False},
                  {"fault": "?"}):
        bad = Result("manual", "x", 1.0, 2.0, 3.0, True, True, True)
        for name, value in wrong.items():
            setattr(bad, name, value)
        assert not bad.held
    assert table_of([good]).row_count == 1
    done = run("--drill", "--trigger", "whim")
    assert done.returncode == 2 and "allowed: manual" in done.stderr

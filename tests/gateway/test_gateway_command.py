"""`mexcfast gateway`: one process, several that are kept running, and what it refuses."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from contextlib import suppress

import psutil
import pytest
from typer.testing import CliRunner

from gateway.nats_server import NatsServer, needs_nats
from gateway.stage import exchange, is_current, play, until
from mexcfast.cli.app import app
from mexcfast.core import topics as T
from mexcfast.core.listener import Listener
from mexcfast.gateway import Consumer, Life

COMMAND = [sys.executable, "-P", "-m", "mexcfast.cli", "gateway"]


def environment(**more):
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), **more}


@needs_nats
def test_several_processes_carry_the_market_and_are_kept_running():
    async def scene():
        async with NatsServer() as nats, exchange(6) as venue, Consumer(nats.url) as consumer:
            names = list(venue.venue.markets)
            consumer.subscribe(Listener(), [T.depth(name) for name in names])
            process = await asyncio.create_subprocess_exec(
                *COMMAND, "--processes", "2", "--endpoint", venue.rest_url, "--name", "set",
                "--channels", "depth", stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE, env=environment(MEXCFAST_NATS=nats.url))
            try:
                books = [consumer.books[name] for name in names]
                await until(lambda: all(is_current(venue, book) for book in books))
                assert sorted(each.name for each in consumer.gateways) == ["set-0", "set-1"]
                assert sorted(name for each in consumer.gateways
                              for name in each.beat.seqs) == sorted(names)
                psutil.Process(process.pid).children()[0].kill()
                await until(lambda: len(consumer.gateways) == 3
                            and all(is_current(venue, book) for book in books))
                assert sorted(each.life.name for each in consumer.gateways) == [
                    "ALIVE", "ALIVE", "GONE"], "it was started again"
                process.send_signal(signal.SIGTERM)
                out, _ = await process.communicate()
                assert process.returncode == 0
                assert b"set-0: " in out and nats.url.encode() in out
                await until(lambda: not any(book.is_live for book in books))
                assert {each.life for each in consumer.gateways} == {Life.GONE}, "they said so"
            finally:
                with suppress(ProcessLookupError):
                    process.kill()

    play(scene)


@pytest.mark.parametrize(("options", "says"), [
    (["--nats", "nats://me:hunter2@h/x"], "NATS address is '***@h/x'"),
    (["--nats", "h", "--shard", "4/4"], "shard is '4/4'"),
    (["--nats", "h", "--shard", "0/4", "--processes", "2"], "--shard is 0/4 and --processes 2"),
    (["--nats", "h", "--sim", "--endpoint", "x"], "exclude each other"),
    (["--nats", "h", "--channels", "personal.order"], "channel is 'personal.order'"),
    ([], "NATS address is empty"),
])
def test_what_is_refused(options, says, monkeypatch):
    monkeypatch.setenv("MEXCFAST_NATS", "")
    done = CliRunner().invoke(app, ["gateway", *options])
    assert done.exit_code == 1 and says in done.output, done.output
    assert "hunter2" not in done.output

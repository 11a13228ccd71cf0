"""docs/gateway.md tells the truth: its program runs, its numbers are the defaults."""

from __future__ import annotations

import asyncio
import os
import re
import sys
from pathlib import Path

from gateway.nats_server import NatsServer, needs_nats
from gateway.stage import WAIT, exchange, play
from mexcfast.gateway import Consumer, Gateway, GatewaySettings
from mexcfast.gateway.bus import Bus

PAGE = (Path(__file__).parents[2] / "docs" / "gateway.md").read_text("utf-8")


@needs_nats
def test_the_program_runs_as_printed(tmp_path):
    (program,) = re.findall(r"^```python\n(.*?)^```", PAGE, re.S | re.M)
    path = tmp_path / "program.py"
    path.write_text(program, "utf-8")

    async def scene():
        async with (NatsServer() as nats, exchange(updates_per_second=50) as venue,
                    Gateway(nats.url, endpoint=venue.rest_url)):
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-P", "-W", "error", str(path), stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE, cwd=tmp_path,
                env={**os.environ, "MEXCFAST_NATS": nats.url,
                     "PYTHONPATH": os.pathsep.join(filter(None, sys.path))})
            async with asyncio.timeout(2 * WAIT):
                out, errors = await process.communicate()
            assert process.returncode == 0, errors.decode()
            assert b"LIVE" in out and b"trusted 0" in out, out.decode()

    play(scene)


def test_the_numbers_are_the_defaults():
    settings, consumer = GatewaySettings(), Consumer("h")
    assert (settings.beat_every, settings.snapshot_every, settings.contracts_every,
            settings.buffer_bytes) == (0.5, 60.0, 300.0, 16_000_000)
    assert "Gateways beat every 0.5 s" in PAGE and "Every minute the gateway" in PAGE
    assert "every five minutes" in PAGE and "At most 16 MB wait" in PAGE
    assert consumer.silent_after == 2.0 and abs(consumer.bound - 2.2) < 1e-9
    assert "`silent_after` (2 s by default) and two looks at the clock (0.2 s)" in PAGE
    assert Bus.__init__.__kwdefaults__["pending_bytes"] == 16_000_000

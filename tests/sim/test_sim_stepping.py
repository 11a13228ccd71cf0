"""Step mode: one movement, then the proof that clients have handled it."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from mexcfast.sim import Exchange
from sim.sim_support import Client, Socket, play

SYMBOL = "BTC_USDT"


async def reader(socket: Socket, seen: list[Any], slow: float = 0.0, answer: str = "") -> None:
    """Reads for ever; may be slow, may say so after each frame."""
    while True:
        message = await socket.ws.receive()
        if slow:
            await asyncio.sleep(slow)
        frame = json.loads(message.data)
        if frame["channel"] == "push.depth":
            seen.append(frame["data"]["version"])
            if answer:
                await socket.send(answer)


def test_two_clients_walk_in_lock_step() -> None:
    """A slow and a fast client: after each step both have seen the same, however slow one is."""

    async def scene(venue: Exchange, client: Client) -> None:
        seen: list[list[int]] = [[], []]
        tasks = []
        for number, slow in enumerate((0.0, 0.004)):
            socket = await client.socket()
            await socket.subscribe("depth", symbol=SYMBOL)
            tasks.append(asyncio.create_task(reader(socket, seen[number], slow)))
        for _ in range(10):
            reached = await venue.step_handled(1, SYMBOL)
            assert seen[0] == seen[1] and seen[0][-1] == reached[SYMBOL]
        assert len(seen[0]) == 10
        for task in tasks:
            task.cancel()

    play(scene, merge_ms=0)


def test_the_clients_own_word_counts() -> None:
    async def scene(venue: Exchange, client: Client) -> None:
        seen: list[int] = []
        socket = await client.socket()
        await socket.subscribe("depth", symbol=SYMBOL)
        task = asyncio.create_task(reader(socket, seen, 0.002, "sim.handled"))
        reached = await venue.step_handled(5, SYMBOL, handled="message")
        assert len(seen) == 5 and seen[-1] == reached[SYMBOL]
        task.cancel()
        methods = [one.method for one in venue.requests if one.kind == "ws"]
        assert methods == ["sub.depth"]  # the word itself is no request

    play(scene, merge_ms=0)


def test_control_ends_the_wait() -> None:
    async def scene(venue: Exchange, client: Client) -> None:
        socket = await client.socket()
        await socket.subscribe("depth", symbol=SYMBOL)
        body = json.dumps({"symbol": SYMBOL, "handled": "control", "seconds": 5})
        step = asyncio.create_task(client.raw("POST", "/sim/step", body))
        assert (await socket.channel("push.depth"))["data"]
        assert not step.done()
        assert (await client.raw("POST", "/sim/handled"))[0] == 200
        status, reply = await step
        assert status == 200 and reply["data"]["versions"][SYMBOL] == venue.book(SYMBOL).version

    play(scene, merge_ms=0)


def test_sent_waits_for_the_kernel_only() -> None:
    async def scene(venue: Exchange, client: Client) -> None:
        socket = await client.socket()
        await socket.subscribe("depth", symbol=SYMBOL)
        await venue.step_handled(3, SYMBOL, handled="sent")
        assert await venue.act_handled(lambda: venue.trade(SYMBOL, "buy", 1), handled="sent") == 1
        ends = [(await socket.channel("push.depth"))["data"]["end"] for _ in range(4)]
        assert ends[-1] == venue.book(SYMBOL).version

    play(scene, merge_ms=0)


def test_who_does_not_handle_it_is_waited_for_in_vain() -> None:
    async def scene(venue: Exchange, client: Client) -> None:
        socket = await client.socket()
        await socket.subscribe("depth", symbol=SYMBOL)
        with pytest.raises(TimeoutError):
            await venue.step_handled(1, SYMBOL, seconds=0.05)  # nobody reads this socket
        body = json.dumps({"symbol": SYMBOL, "handled": "message", "seconds": 0.02})
        assert (await client.raw("POST", "/sim/step", body))[0] == 408
        with pytest.raises(ValueError, match="handled 'maybe'"):
            await venue.step_handled(1, SYMBOL, handled="maybe")  # type: ignore[arg-type]
        venue.faults.half_open(SYMBOL)  # a dead socket is not waited for
        await venue.step_handled(1, SYMBOL, seconds=0.5)
        assert await venue.act_handled(lambda: venue.step(1, "ETH_USDT")) == 0

    play(scene, merge_ms=0)


def test_a_cut_ends_the_wait() -> None:
    async def scene(venue: Exchange, client: Client) -> None:
        socket = await client.socket()
        await socket.subscribe("depth", symbol=SYMBOL)
        step = asyncio.create_task(venue.step_handled(1, SYMBOL, handled="message"))
        await asyncio.sleep(0.01)
        venue.faults.cut(SYMBOL)
        await step

    play(scene, merge_ms=0)

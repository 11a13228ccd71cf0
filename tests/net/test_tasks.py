"""Ending a task keeps the caller's own cancel; nothing that closes waits for ever."""

from __future__ import annotations

import asyncio
import logging

import pytest

from mexcfast.net.connection import Connection, StreamSettings
from mexcfast.net.tasks import end


async def for_ever() -> None:
    await asyncio.Event().wait()


def test_a_task_is_over_when_it_returns() -> None:
    async def main() -> None:
        task = asyncio.create_task(for_ever())
        await asyncio.sleep(0)
        await end(task)
        assert task.cancelled()
        await end(task)                                   # over already

    asyncio.run(main())


def test_several_are_cancelled_together_and_none_is_no_task() -> None:
    async def main() -> None:
        first = asyncio.create_task(for_ever())
        second = asyncio.create_task(first_is_cancelled(first))
        await asyncio.sleep(0)
        await end(first, None, second)
        assert first.cancelled() and second.result()
        await end(None)
        await end()

    async def first_is_cancelled(first: asyncio.Task[None]) -> bool:
        try:
            await for_ever()
        finally:
            return bool(first.cancelling())  # noqa: B012 - what the caller asks about

    asyncio.run(main())


def test_a_failure_is_logged_and_not_raised(caplog: pytest.LogCaptureFixture) -> None:
    async def fails() -> None:
        try:
            await for_ever()
        finally:
            raise OSError("no disk")

    async def main() -> None:
        task = asyncio.create_task(fails(), name="writer")
        await asyncio.sleep(0)
        await end(task)

    with caplog.at_level(logging.ERROR):
        asyncio.run(main())
    assert "writer failed" in caplog.text and "no disk" in caplog.text


def test_the_callers_own_cancel_is_not_taken_for_the_tasks() -> None:
    async def main() -> None:
        connection = Connection("public-1", "ws://127.0.0.1:1/edge", keeper=object(),
                                settings=StreamSettings())
        connection.start()
        await asyncio.sleep(0)
        closing = asyncio.create_task(connection.close())
        await asyncio.sleep(0)                            # it waits for the connection's task
        closing.cancel()
        await asyncio.wait([closing], timeout=30)
        assert closing.cancelled()
        await connection.close()
        assert connection.is_closed

    asyncio.run(main())

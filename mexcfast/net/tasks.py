"""Tasks come to an end in one way."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

log = logging.getLogger("mexcfast.net")


async def end(*tasks: asyncio.Task[Any] | None) -> None:
    """Cancel tasks and wait until all are over; None is a task that was never begun.

    A task's failure is logged: who closes goes on closing.

    Not `suppress(CancelledError): await task`: where the caller is cancelled meanwhile, that takes
    the caller's cancel for the task's and goes on, and whoever waits for the caller waits for ever.
    """
    begun = [task for task in tasks if task is not None]
    for task in begun:
        task.cancel()
    if begun:
        await asyncio.wait(begun)
    for task in begun:
        if not task.cancelled() and (fault := task.exception()) is not None:
            log.error("%s failed", task.get_name(), exc_info=fault)

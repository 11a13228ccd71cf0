"""Tasks come to an end in one way."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

log = logging.getLogger("mexcfast.net")


async def end(task: asyncio.Task[Any]) -> None:
    """Cancel a task and wait until it is over. Its failure is logged: who closes goes on closing.

    Not `suppress(CancelledError): await task`: where the caller is cancelled meanwhile, that takes
    the caller's cancel for the task's and goes on, and whoever waits for the caller waits for ever.
    """
    task.cancel()
    await asyncio.wait([task])
    if not task.cancelled() and (fault := task.exception()) is not None:
        log.error("%s failed", task.get_name(), exc_info=fault)

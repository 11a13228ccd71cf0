"""run(): the event loop as a trader wants it. Nothing here happens on import or unasked."""

from __future__ import annotations

import asyncio
import gc
import os
import sys
import weakref
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


def run(main: Coroutine[Any, Any, T], *, spin: bool = False, cpu: int | None = None,
        freeze_gc: bool = False, no_core: bool = False) -> T:
    """Run main to its end on uvloop (asyncio's own loop on Windows), as asyncio.run does.

    spin: never let the loop sleep. Receiving becomes several times faster (bench/), and one core is
    busy all the time. cpu: pin this process to one core. freeze_gc: move what exists now out of
    the garbage collector's sight, so that its pauses stay short. no_core: forbid core files of this
    process, and on Linux debuggers of other processes of this user too; it holds for the rest of
    its life.
    Raises ValueError for a core this process may not use, and for no_core where it cannot be had.
    """
    if no_core:
        _forbid_core()
    if cpu is not None:
        _pin(cpu)
    if freeze_gc:
        gc.collect()
        gc.freeze()
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        if spin:
            _spin(runner.get_loop())
        return runner.run(main)


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    if sys.platform == "win32":
        return None
    import uvloop

    return uvloop.new_event_loop


def _pin(cpu: int) -> None:
    if not hasattr(os, "sched_setaffinity"):
        raise ValueError(f"cpu is {cpu}; pinning works on Linux only")
    allowed = os.sched_getaffinity(0)
    if cpu not in allowed:
        raise ValueError(f"cpu is {cpu!r}; allowed: {sorted(allowed)}")
    os.sched_setaffinity(0, {cpu})


def _forbid_core() -> None:
    try:
        import resource
    except ImportError:
        raise ValueError("no_core is True; core files are forbidden on Unix only") from None

    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux":
        import ctypes

        # The limit does not hold where a program is fed with cores: /proc/sys/kernel/core_pattern.
        set_dumpable = 4            # PR_SET_DUMPABLE, prctl(2)
        if ctypes.CDLL(None, use_errno=True).prctl(set_dumpable, 0, 0, 0, 0) != 0:
            raise ValueError(f"no_core is True; prctl refused: {os.strerror(ctypes.get_errno())}")


#: loops that never sleep, and what each does in every turn
_spinning: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, list[Callable[[], None]]] = (
    weakref.WeakKeyDictionary())


def every_turn(loop: asyncio.AbstractEventLoop) -> list[Callable[[], None]] | None:
    """What a loop that never sleeps calls in each of its turns; None for any other loop.

    Whoever puts something there must be quick about it, and raise nothing.
    """
    return _spinning.get(loop)


def _spin(loop: asyncio.AbstractEventLoop) -> None:
    """A callback that is always due keeps the loop from blocking in its poll."""
    todo = _spinning[loop] = []
    call_soon = loop.call_soon

    def again() -> None:
        call_soon(again)
        for each in todo:
            each()

    call_soon(again)

"""Loads a program of examples/ as a module, and waits for what it does."""

from __future__ import annotations

import asyncio
import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

EXAMPLES = Path(__file__).parents[1] / "examples"


def example(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"example_{name}", EXAMPLES / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module         # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


async def until(condition: Callable[[], object], what: str) -> None:
    """Until it holds; AssertionError that names it after 40 s."""
    try:
        async with asyncio.timeout(40):
            while not condition():  # noqa: ASYNC110 - conditions of the exchange have no event
                await asyncio.sleep(0.01)
    except TimeoutError:
        raise AssertionError(f"never: {what}") from None

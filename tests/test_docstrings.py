"""Everything under `import mexcfast as mx` says what it is: at run time, in its stub, or by name in
its class's own words. A signature alone says nothing.
"""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Iterator
from enum import Enum
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import mexcfast as mx
from mexcfast import errors

PACKAGE = Path(mx.__file__).parent
#: What users hold without naming it: handed out by a Client.
HELD = {"client.orders": "net.orders.Orders",
        "client.conditional": "net.conditional_api.Conditional",
        "client.account": "net.account_api.AccountApi", "client.budget": "net.budget.Budget",
        "client.positions": "net.positions_api.PositionsApi", "client.audit": "net.audit.Audit",
        "client.market_api": "net.market_api.MarketApi", "client.watchdog()": "net.heart.Heart",
        "client.kill_switch": "net.killswitch.KillSwitch", "sim.Exchange": "sim.server.Exchange",
        "client.trader.reconciler": "net.reconcile.Reconciler",
        "client.record()": "tape.recorder.Recorder"}


def public() -> dict[str, Any]:
    found = {name: getattr(mx, name) for name in mx.__all__ if name != "__version__"}
    found |= {name: getattr(errors, name) for name in errors.__all__}
    for name, where in HELD.items():
        module, _, attribute = where.rpartition(".")
        found[name] = getattr(__import__(f"mexcfast.{module}", fromlist=[attribute]), attribute)
    for name, thing in list(found.items()):
        if isinstance(thing, ModuleType):
            found |= {f"{name}.{each}": value for each, value in vars(thing).items()
                      if getattr(value, "__module__", None) == thing.__name__
                      and not each.startswith("_")}
    return found


@cache
def stub(module: str) -> dict[str, str]:
    """Class.member -> docstring, of a compiled room's stub."""
    path = PACKAGE.parent.joinpath(*module.split(".")).with_suffix(".pyi")
    found: dict[str, str] = {}
    if path.exists():
        for cls in ast.parse(path.read_text("utf-8")).body:
            for node in [cls, *(cls.body if isinstance(cls, ast.ClassDef) else ())]:
                if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
                    body = cls.body if isinstance(cls, ast.ClassDef) else []
                    after = body[body.index(node) + 1] if node in body[:-1] else None
                    if isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant):
                        found[f"{cls.name}.{node.target.id}"] = str(after.value.value)
                if isinstance(node, (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
                    name = cls.name if node is cls else f"{cls.name}.{node.name}"
                    found[name] = ast.get_docstring(node) or ""
    return found


def words_of(thing: Any, owner: type | None = None) -> str:
    """Its docstring without the signature that Cython writes into the first line."""
    text = inspect.cleandoc(getattr(thing, "__doc__", None) or "")
    name = getattr(thing, "__name__", "")
    text = re.sub(rf"^(?:\w+\.)*{name}\([^\n]*(?:\n|$)" if name else r"^$", "", text).strip()
    if owner is not None and re.fullmatch(rf"{name}: [\w.\[\], |]+", text):
        return ""
    return text


def members_of(cls: type) -> Iterator[tuple[str, type, Any]]:
    """Own public methods and attributes: name, the class that has it, the thing."""
    for name in dir(cls):
        owner = next((each for each in cls.__mro__ if name in vars(each)), None)
        if name.startswith("_") or owner is None or not owner.__module__.startswith("mexcfast"):
            continue
        thing = vars(owner)[name]
        thing = thing.__func__ if isinstance(thing, (classmethod, staticmethod)) else thing
        if isinstance(thing, property) or callable(thing) or inspect.isgetsetdescriptor(thing):
            yield name, owner, thing


def silent() -> list[str]:
    """What says nothing."""
    found = []
    for name, thing in public().items():
        if not callable(thing) and not isinstance(thing, ModuleType):
            continue                                # a constant, such as LIVE
        if not words_of(thing) and not stub(thing.__module__).get(name.rpartition(".")[2]):
            found.append(name)
        if not isinstance(thing, type) or issubclass(thing, Enum):
            continue
        told = "\n".join(words_of(each) for each in thing.__mro__
                         if each.__module__.startswith("mexcfast"))
        for member, owner, value in members_of(thing):
            if not (words_of(value, owner) or re.search(rf"\b{member}\b", told)
                    or stub(owner.__module__).get(f"{owner.__name__}.{member}")):
                found.append(f"{name}.{member} ({owner.__module__})")
    return found


def test_everything_public_says_what_it_is() -> None:
    assert len(public()) > 100
    found = silent()
    assert not found, f"{len(found)} without words:\n" + "\n".join(found)


@pytest.mark.parametrize("name", ["Client.start", "OrderBook.apply", "RiskLimits.check"])
def test_methods_that_matter_name_their_errors(name: str) -> None:
    cls, method = name.split(".")
    assert re.search(r"Raises? |is untouched|Error", words_of(getattr(getattr(mx, cls), method)) +
                     words_of(getattr(mx, cls))), name


def test_a_signature_is_no_description() -> None:
    class Room:
        def bare(self) -> None: ...
        def told(self) -> None:
            """Room.told(self)
            What it does."""

    Room.bare.__doc__ = "Room.bare(self)"
    assert words_of(Room.bare) == "" and words_of(Room.told) == "What it does."
    assert stub("mexcfast.core.sign")["Signer.sign"] is not None

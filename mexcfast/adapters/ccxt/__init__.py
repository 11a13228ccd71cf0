"""ccxt on mexcfast: the same class, structures and calls, faster and with books that are checked.

    from mexcfast.adapters.ccxt import mexc         # instead of: from ccxt.pro import mexc
    from mexcfast.adapters.ccxt.sync import mexc    # instead of: from ccxt import mexc
    mexcfast.adapters.ccxt.install()                # or: ccxt's own names lead here from now on

When the installed ccxt has changed where we take hold of it, `mexc` is ccxt's own class and a
RuntimeWarning says what differs (`differences`). docs/adapters/ccxt.md has the whole story.
"""

from __future__ import annotations

from typing import Any

from mexcfast.errors import MissingExtra

try:
    import ccxt  # type: ignore[import-untyped]
    import ccxt.async_support  # type: ignore[import-untyped]
    import ccxt.pro  # type: ignore[import-untyped]
except ImportError as error:
    raise MissingExtra("ccxt", str(error)) from error

from mexcfast.adapters.ccxt import compat

__all__ = ["differences", "install", "mexc", "uninstall"]

#: what the installed ccxt lacks of what we rely on; empty when it fits
differences: tuple[str, ...] = compat.differences()

if differences:
    compat.warn(f"ccxt {ccxt.__version__} differs from what mexcfast was written for, its own "
                f"mexc is used: {'; '.join(differences)}")
    mexc: Any = ccxt.pro.mexc
else:
    from mexcfast.adapters.ccxt.exchange import mexc as mexc

_STOCK: dict[str, Any] = {}


def install() -> None:
    """Rebind ccxt.pro.mexc, ccxt.async_support.mexc and ccxt.mexc to ours; again changes nothing.

    Reaches whoever looks the name up afterwards, as getattr(ccxt.pro, "mexc") does; a name
    imported before keeps what it was.
    """
    from mexcfast.adapters.ccxt import sync

    if _STOCK:
        return
    for module, ours in ((ccxt.pro, mexc), (ccxt.async_support, mexc), (ccxt, sync.mexc)):
        _STOCK[module.__name__] = (module, module.mexc)
        module.mexc = ours


def uninstall() -> None:
    """Undo install(); instances already made stay what they are."""
    for module, stock in _STOCK.values():
        module.mexc = stock
    _STOCK.clear()


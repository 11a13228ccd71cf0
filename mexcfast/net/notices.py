"""The one place that tells of stream events: a line of log, the listeners, whoever watches."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from typing import Any

from mexcfast.core.listener import Listener
from mexcfast.core.stream_events import StreamEvent
from mexcfast.errors import MexcfastError

log = logging.getLogger("mexcfast.net")

Watcher = Callable[[StreamEvent], object]


class Notices:
    """Tells each event once to everybody it concerns; nobody's fault stops the others."""

    def __init__(self) -> None:
        self._watchers: list[Watcher] = []
        self.recorder: Any = None            # tape.Recorder while one is running

    def watch(self, callback: Watcher) -> Callable[[], None]:
        """Call back with every StreamEvent from now on; returns a function that ends it."""
        self._watchers = [*self._watchers, callback]

        def unwatch() -> None:
            # one entry a call, in a new list: one is perhaps being walked through
            left = list(self._watchers)
            if callback in left:
                left.remove(callback)
            self._watchers = left

        return unwatch

    def tell(self, event: StreamEvent, listeners: Iterable[Listener] = (), *,
             is_quiet: bool = False) -> None:
        """Log, then call on_stream_event of the listeners, then the watchers.

        is_quiet: one of very many with a reason that has been logged; these are for debugging.
        """
        level = logging.WARNING if event.is_trouble else logging.INFO
        log.log(logging.DEBUG if is_quiet else level, "%s", event)
        if self.recorder is not None:
            self.recorder.told(event)
        for listener in listeners:
            call(listener.on_stream_event, event)
        for watcher in self._watchers:
            call(watcher, event)


def call(hook: Callable[..., object], *args: Any) -> None:
    """Call a hook of the user's; what it raises is logged."""
    try:
        hook(*args)
    except MexcfastError as fault:
        log.warning("listener: %s", fault)
    except Exception:
        log.exception("a listener's %s raised", getattr(hook, "__name__", "hook"))

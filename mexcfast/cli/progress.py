"""A bar on standard error while something takes its time; nothing when nobody looks."""

from __future__ import annotations

from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    TaskProgressColumn,
    TextColumn,
    TimeRemainingColumn,
)


class Bar:
    """How far a piece of work is.

        with Bar("playing monday") as bar:
            bar(done, total)

    Shown only when standard error is a terminal, and gone at the end. total 0: nobody knows yet.
    """

    def __init__(self, title: str) -> None:
        console = Console(stderr=True)
        self._progress = Progress(
            TextColumn("{task.description}"), BarColumn(bar_width=None), TaskProgressColumn(),
            TimeRemainingColumn(compact=True), console=console, transient=True, expand=True,
            disable=not console.is_terminal or console.is_dumb_terminal)
        self._task = self._progress.add_task(title, total=None)

    @property
    def is_shown(self) -> bool:
        """Whether anybody sees it."""
        return not self._progress.disable

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        self._progress.stop()

    def __call__(self, done: float, total: float, title: str | None = None) -> None:
        """done of total. title: what is being done from now on."""
        if title is not None:
            self._progress.update(self._task, description=title)
        self._progress.update(self._task, completed=done, total=total or None)

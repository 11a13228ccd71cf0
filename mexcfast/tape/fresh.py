"""Files that are there whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from mexcfast.errors import TapeError


@contextmanager
def fresh(targets: Sequence[Path], *, force: bool = False) -> Iterator[list[Path]]:
    """Paths to write to, beside the targets; renamed to them when the block ends well.

    However the block ends otherwise, what was written is deleted and the targets stay as they were.
    force: replace targets that exist. TapeError when one exists and force is not set, when a
    directory is missing, and for whatever the system says while the block writes.
    """
    drafts = [target.with_name(f".{target.name}.{os.getpid()}.part") for target in targets]
    for target in targets:
        if target.is_dir():
            raise TapeError(f"{target}: is a directory; allowed: the name of a file")
        if not force:
            _refuse(target)
        if not target.parent.is_dir():
            raise TapeError(f"{target}: cannot be written: there is no directory {target.parent}")
    try:
        yield drafts
        for draft, target in zip(drafts, targets, strict=True):
            if not force:
                _refuse(target)            # somebody else may have been faster
            os.replace(draft, target)
    except OSError as fault:
        where = targets[0] if len(targets) == 1 else targets[0].parent
        raise TapeError(f"{where}: cannot be written: {fault.strerror or fault}") from fault
    finally:
        for draft in drafts:
            draft.unlink(missing_ok=True)


def _refuse(target: Path) -> None:
    if target.exists():
        raise TapeError(f"{target}: exists already; allowed: a new name, or force (--force)")

"""Every exception mexcfast raises.

    MexcfastError
    ├── FrameError              the venue sent bytes we cannot read (also a ValueError)
    └── BookError               a frame or level was given to the wrong book (also a ValueError)
"""

from __future__ import annotations


class MexcfastError(Exception):
    """Root of every error mexcfast raises on purpose."""


class FrameError(MexcfastError, ValueError):
    """The bytes are not a frame of the venue. The message names the field and what was seen."""


class BookError(MexcfastError, ValueError):
    """A book was given what is not its own. The message names what was given and what is allowed."""

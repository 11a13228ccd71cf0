"""Where keys come from: the environment, or a file for the secret, without a copy staying behind.

A secret in the environment, or in a str, lies in the process's memory for as long as it runs. A
file, a pipe or a descriptor is read into one buffer that the Signer wipes.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping

from mexcfast.errors import ConfigError

KEY_VARIABLE = "MEXC_API_KEY"
SECRET_VARIABLE = "MEXC_API_SECRET"  # noqa: S105 - the variable's name, not a secret
FILE_VARIABLE = f"{SECRET_VARIABLE}_FILE"
#: A secret has 64 characters at most; what is longer is another file.
MOST_BYTES = 4096
SPACE = frozenset(b" \t\r\n")

Secret = str | bytearray | memoryview


def check_owner(fd: int, what: str) -> None:
    """ConfigError for a regular file that somebody else may read or write. what: it is called."""
    about = os.fstat(fd)
    mode = stat.S_IMODE(about.st_mode)
    if hasattr(os, "geteuid") and (about.st_uid != os.geteuid() or mode & 0o077):
        raise ConfigError(f"{what} has mode {mode:04o}, owner {about.st_uid}; allowed: a file of "
                          f"user {os.geteuid()} with mode 0600")


def read_secret(path: str | os.PathLike[str]) -> memoryview:
    """A secret from a file, a pipe or /dev/fd/N, in a buffer that nobody else holds.

    White space around it is left out. A regular file must be its owner's alone (mode 0600). Give
    the result to a Signer or Client, which wipes it. Raises ConfigError.
    """
    what = f"the secret's file {os.fspath(path)}"
    room = bytearray(MOST_BYTES + 1)
    size = 0
    try:
        fd = os.open(path, os.O_RDONLY)
        try:
            kind = os.fstat(fd).st_mode
            if stat.S_ISREG(kind):
                check_owner(fd, what)
            # readv writes into our buffer: no bytes object holds the secret in between.
            with os.fdopen(fd, "rb", buffering=0, closefd=False) as file:
                while size < len(room):
                    read = file.readinto(memoryview(room)[size:])
                    if not read:
                        break
                    size += read
        finally:
            os.close(fd)
    except OSError as error:
        wipe(room)
        raise ConfigError(f"{what}: {error.strerror}") from None
    first, last = 0, size
    while first < last and room[first] in SPACE:
        first += 1
    while last > first and room[last - 1] in SPACE:
        last -= 1
    if first == last or size > MOST_BYTES:
        wipe(room)
        raise ConfigError(f"{what} holds {size} bytes{' or more' if size > MOST_BYTES else ''}; "
                          f"allowed: a secret, at most {MOST_BYTES} bytes")
    return memoryview(room)[first:last]


def wipe(buffer: bytearray) -> None:
    """Zeros, in place."""
    buffer[:] = bytes(len(buffer))


def from_environ(environ: Mapping[str, str], prefix: str = "MEXC_API_") -> tuple[str, Secret]:
    """Access key and secret of PREFIX_KEY and PREFIX_SECRET, or PREFIX_SECRET_FILE.

    Raises ConfigError, which names the one that is missing, empty or too many.
    """
    key, secret, file = (f"{prefix}{name}" for name in ("KEY", "SECRET", "SECRET_FILE"))
    if not environ.get(key):
        raise ConfigError(f"environment variable {key} is missing or empty")
    path = environ.get(file)
    if path and environ.get(secret):
        raise ConfigError(f"both {secret} and {file} are set; allowed: one of them")
    if path:
        return environ[key], read_secret(path)
    if not environ.get(secret):
        raise ConfigError(f"environment variable {secret} is missing or empty, and so is {file}")
    return environ[key], environ[secret]

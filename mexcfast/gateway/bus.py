"""One connection to NATS: where it is, who we are there, and a bounded box of what is to leave.

nats-py is imported here only, when first used.
"""

from __future__ import annotations

import asyncio
import importlib
import logging
import os
import re
import ssl
import time
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, NoReturn
from urllib.parse import unquote, urlsplit

from mexcfast.errors import ConfigError, ConnectFailed, MissingExtra

log = logging.getLogger("mexcfast.gateway")

#: where a URL is looked for that is not given: arguments can be read by every user of a machine
VARIABLE = "MEXCFAST_NATS"
REPEAT_AFTER = 10.0          # seconds before the same error is logged again
SCHEMES = ("nats", "tls")
#: What the files hold, as strictly as nats-py reads them: it would look for a creds file's JWT for
#: ever, and end its reconnecting by a seed that it cannot read.
CREDS = re.compile(rb"BEGIN NATS USER JWT[^\n]*\n[\w.-]+\n.*"
                   rb"BEGIN USER NKEY SEED[^\n]*\nSU[A-Z2-7]{56}\n", re.DOTALL)
REFUSED = re.compile("authorization|expired|revoked", re.IGNORECASE)
NKEY = re.compile(rb"\A\s*SU[A-Z2-7]{56}\s*\Z")
Handler = Callable[[Any], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Address:
    """Where NATS is. servers: without credentials, fit for logs; the rest never leaves repr()."""

    servers: tuple[str, ...]
    user: str | None = field(default=None, repr=False)
    password: str | None = field(default=None, repr=False)
    token: str | None = field(default=None, repr=False)
    creds: str | None = field(default=None, repr=False)      # path of a .creds file
    nkey: str | None = field(default=None, repr=False)       # path of a file with an nkey seed
    ca: str | None = None                # path of the certificates to trust; None: the system's

    @classmethod
    def parse(cls, url: str, *, creds: str | os.PathLike[str] | None = None,
              nkey: str | os.PathLike[str] | None = None,
              ca: str | os.PathLike[str] | None = None) -> Address:
        """From nats://[user:password@|token@]host[:port], several separated by commas.

        tls:// insists on TLS. Raises ConfigError, which never repeats what stands before an @ or
        in a file.
        """
        servers: list[str] = []
        found: set[tuple[str | None, str | None]] = set()
        for text in filter(None, (each.strip() for each in url.split(","))):
            try:
                parts = urlsplit(text if "://" in text else f"nats://{text}")
                host, port = parts.hostname, parts.port or 4222
            except ValueError:
                host, port, parts = None, 0, urlsplit("")
            if (parts.scheme not in SCHEMES or not host or parts.path not in ("", "/")
                    or parts.query or parts.fragment):
                raise ConfigError(f"NATS address is {redacted(url)!r}; allowed: "
                                  "nats://host:port or tls://host:port")
            servers.append(f"{parts.scheme}://{f'[{host}]' if ':' in host else host}:{port}")
            if parts.username is not None:
                found.add((unquote(parts.username),
                           None if parts.password is None else unquote(parts.password)))
        if not servers:
            raise ConfigError(f"NATS address is empty; allowed: nats://host:port, given or in "
                              f"{VARIABLE}")
        if len(found) > 1 or ((creds or nkey) and found) or (creds and nkey):
            raise ConfigError("NATS has more than one set of credentials; allowed: one, the same "
                              "for all servers: in the address, a creds file or an nkey file")
        for name, path in (("creds", creds), ("nkey", nkey), ("ca", ca)):
            if path is not None and not os.path.isfile(path):
                raise ConfigError(f"{name} is {os.fspath(path)!r}; allowed: a file that exists")
        user, password = found.pop() if found else (None, None)
        address = cls(tuple(servers), user if password is not None else None, password,
                      user if password is None else None,
                      None if creds is None else os.fspath(creds),
                      None if nkey is None else os.fspath(nkey),
                      None if ca is None else os.fspath(ca))
        if (fault := address.fault_of_files()) is not None:
            raise ConfigError(fault)
        address.tls()
        return address

    def fault_of_files(self) -> str | None:
        """What is wrong with the files of credentials as they are now, without their words."""
        for name, path, shape, allowed in (
                ("creds", self.creds, CREDS, "a file with a NATS user JWT and a user's nkey seed"),
                ("nkey", self.nkey, NKEY, "a file with a user's nkey seed, SU..., and no more")):
            if path is None:
                continue
            try:
                with open(path, "rb") as file:
                    is_fit = shape.search(file.read(100_000)) is not None
            except OSError as error:
                return f"{name} is {path!r}: {error.strerror}; allowed: {allowed}"
            if not is_fit:
                return f"{name} is {path!r}, which is something else; allowed: {allowed}"
        return None

    def tls(self) -> ssl.SSLContext | None:
        """For servers with certificates of `ca`; None: as the system trusts. Raises ConfigError."""
        if self.ca is None:
            return None
        try:
            return ssl.create_default_context(cafile=self.ca)
        except OSError as error:              # an SSLError is one
            raise ConfigError(f"ca is {self.ca!r}, which cannot be read ({error.strerror or error}"
                              "); allowed: a file of PEM certificates") from None

    def __str__(self) -> str:
        return ",".join(self.servers)


def redacted(url: str) -> str:
    """An address without whatever stands before its last @."""
    return f"***@{url.rpartition('@')[2]}" if "@" in url else url


class _Refusal(ConnectionError):
    """We do not go on with this server, and why; nats-py tries again after an OSError."""


class _InVain(Exception):
    """Trying again would end in the same way, and how."""


def _text(error: Exception) -> str:
    """What may be told of it: parsers of credentials quote them, others do not."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"{type(error).__name__}: {error.verify_message}"
    if isinstance(error, ssl.SSLError):
        return f"{type(error).__name__}: {error.reason}"
    if isinstance(error, _Refusal):
        return str(error)
    said = str(error) if type(error).__module__ == "nats.errors" else ""
    return f"{type(error).__name__} {said}".strip()


def _is_refusal(error: Exception) -> bool:
    """Whether the next try will end in the same way. A handshake that was cut off need not."""
    if isinstance(error, ssl.SSLError):
        return not isinstance(error, ssl.SSLEOFError | ssl.SSLZeroReturnError)
    return isinstance(error, _Refusal) or (
        type(error).__module__ == "nats.errors" and REFUSED.search(str(error)) is not None)


def _careful(nats: Any, address: Address) -> Any:
    """A client of nats-py that tells no secret to a server without the TLS that tls:// asks for.

    nats-py itself leaves it to the server, or to whoever answers in its place, whether there is
    TLS. What its readers of files raise ends its reconnecting; here nothing does.
    """
    class Careful(nats.Client):  # type: ignore[misc]
        _transport: Any

        async def _process_info(self, info: dict[str, Any], initial_connection: bool = False
                                ) -> None:
            wants = self._current_server.uri.scheme == "tls"
            if initial_connection and wants and not info.get("tls_required"):
                if not info.get("tls_available"):
                    self._refuse("tls:// asks for TLS and the server offers none")
                info["tls_required"] = True         # what is looked at next
            await super()._process_info(info, initial_connection)

        def _connect_command(self) -> bytes:
            fault = address.fault_of_files()        # they may have been renewed
            if fault is not None:
                self._refuse(fault)
            try:
                return bytes(super()._connect_command())
            except Exception as error:
                self._refuse(f"credentials: {type(error).__name__}")

        async def _process_err(self, err_msg: str) -> None:
            """Most of these end the connection, and nats-py would not try again."""
            if "permissions violation" in err_msg.lower():
                await super()._process_err(err_msg)
            else:
                await self._error_cb(_Refusal(err_msg.strip("'")))
                await self._process_op_err(_Refusal(err_msg))

        def _refuse(self, why: str) -> NoReturn:
            self._transport.close()                 # nats-py would forget it open
            raise _Refusal(why) from None

        async def give_up(self) -> None:
            """Close; nats-py waits without end for a connection whose handshake has failed."""
            transport, self._transport = self._transport, None
            if transport is not None:
                transport.close()
            await self.close()

    return Careful()


class Bus:
    """A connection that comes back by itself. on_up(again), on_down(): what to do then.

    pending_bytes: what a subscription keeps unread; more is dropped and noticed by its numbers.
    """

    def __init__(self, address: Address, name: str, *, on_up: Callable[[bool], None],
                 on_down: Callable[[], None], pending_bytes: int = 16_000_000,
                 connect_within: float = 10.0) -> None:
        self.address = address
        self._name = name
        self._on_up = on_up
        self._on_down = on_down
        self._pending_bytes = pending_bytes
        self._within = connect_within
        self._nats: Any = None
        self._last_error = ""
        self._logged, self._logged_s = "", 0.0
        self._refusals = 0             # while it opens
        self._is_opening = self._is_closing = False
        self.slow = 0                  # messages that a subscription dropped

    async def open(self) -> None:
        """Connect. Raises ConnectFailed, MissingExtra; from then on it reconnects for ever.

        A server that is not there is waited for, one that refuses us is not.
        """
        try:
            client = importlib.import_module("nats.aio.client")
        except ImportError as error:
            raise MissingExtra("gateway", str(error)) from error

        address = self.address
        self._nats = _careful(client, address)
        options: dict[str, Any] = {
            "user": address.user, "password": address.password, "token": address.token,
            "user_credentials": address.creds, "nkeys_seed": address.nkey, "tls": address.tls()}
        self._is_opening, self._refusals = True, 0
        try:
            await asyncio.wait_for(self._nats.connect(
                list(address.servers), name=self._name, allow_reconnect=True,
                max_reconnect_attempts=-1, reconnect_time_wait=0.25, ping_interval=5,
                max_outstanding_pings=2, error_cb=self._error, disconnected_cb=self._down,
                reconnected_cb=self._up,
                **{name: value for name, value in options.items() if value is not None}),
                self._within)
        except _InVain as why:
            with suppress(Exception):
                await self._nats.give_up()
            raise ConnectFailed(f"NATS at {address} cannot be used: {why}") from None
        except TimeoutError:
            with suppress(Exception):
                await self._nats.give_up()
            raise ConnectFailed(f"NATS at {address} did not take us within {self._within:g} s: "
                                f"{self._last_error or 'no answer'}") from None
        except ImportError as error:                   # nkeys
            raise MissingExtra("gateway", str(error)) from error
        except Exception as error:
            with suppress(Exception):
                await self._nats.give_up()
            # a cause is not chained: parsers of credentials quote them
            raise ConnectFailed(f"NATS at {address}: {type(error).__name__}") from None
        finally:
            self._is_opening = False
        log.info("NATS at %s: connected", address)
        self._on_up(False)

    async def close(self) -> None:
        """Disconnect; what was published before is sent if that is possible at once."""
        self._is_closing = True
        if self._nats is not None:
            with suppress(Exception):
                if self._nats.is_connected:
                    await self._nats.flush(5)
            with suppress(Exception):
                await self._nats.close()

    @property
    def is_up(self) -> bool:
        """Whether there is a connection now."""
        return self._nats is not None and bool(self._nats.is_connected)

    @property
    def largest(self) -> int:
        """Bytes that one message may have."""
        return int(self._nats.max_payload)

    async def subscribe(self, subject: str, handler: Handler) -> Any:
        """Call handler(message) with everything on a subject; returns what unsubscribe() takes."""
        return await self._nats.subscribe(subject, cb=handler,
                                          pending_bytes_limit=self._pending_bytes)

    async def unsubscribe(self, subscription: Any) -> None:
        """Undo subscribe."""
        with suppress(Exception):
            await subscription.unsubscribe()

    async def publish(self, subject: str, data: bytes) -> None:
        """Send; waits while the server does not read."""
        await self._nats.publish(subject, data)

    async def ask(self, subject: str, data: bytes, within: float) -> bytes | None:
        """Send a request; None when nobody answered."""
        try:
            return bytes((await self._nats.request(subject, data, timeout=within)).data)
        except asyncio.CancelledError:
            raise
        except Exception as error:
            log.info("NATS: request: %s", type(error).__name__)
            return None

    async def _error(self, error: Exception) -> None:
        self._last_error = type(error).__name__
        if self._last_error == "SlowConsumerError":
            self.slow += 1
            return
        self._last_error = _text(error)
        if self._is_opening and _is_refusal(error):
            self._refusals += 1
            if self._refusals >= len(self.address.servers):
                raise _InVain(self._last_error)
        # while a server is away each try fails in the same way, four times a second
        is_news = (self._last_error != self._logged
                   or time.monotonic() - self._logged_s >= REPEAT_AFTER)
        if is_news:
            self._logged, self._logged_s = self._last_error, time.monotonic()
        log.log(logging.WARNING if is_news else logging.DEBUG, "NATS at %s: %s", self.address,
                self._last_error)

    async def _down(self) -> None:
        if not self._is_closing:
            log.warning("NATS at %s: connection lost", self.address)
            self._on_down()

    async def _up(self) -> None:
        log.info("NATS at %s: connected again", self.address)
        self._on_up(True)


class Outbox:
    """Messages on their way to the bus, at most `bound` bytes of them.

    When the bus takes less than comes, or is gone, all that waits is thrown away: it would be old
    when it came, and what follows tells consumers by its numbers that something is missing.
    """

    def __init__(self, bus: Bus, bound: int) -> None:
        self._bus = bus
        self._bound = bound
        self._waiting: deque[tuple[str, bytes]] = deque()
        self._rung = asyncio.Event()
        self.bytes_waiting = 0
        self.dropped = 0
        self.sent = 0
        self.sent_bytes = 0

    def put(self, subject: str, data: bytes) -> None:
        """Send it soon."""
        self._waiting.append((subject, data))
        self.bytes_waiting += len(data)
        if self.bytes_waiting > self._bound:
            self.clear()
        self._rung.set()

    def clear(self) -> None:
        """Throw away what waits."""
        if self._waiting:
            log.warning("%d messages for the bus dropped", len(self._waiting))
        self.dropped += len(self._waiting)
        self._waiting.clear()
        self.bytes_waiting = 0

    async def run(self) -> None:
        """Send until cancelled."""
        while True:
            await self._rung.wait()
            self._rung.clear()
            await self.flush()

    async def flush(self) -> None:
        """Send what waits, as long as there is a connection."""
        waiting, bus = self._waiting, self._bus
        while waiting and bus.is_up:
            subject, data = waiting.popleft()
            self.bytes_waiting -= len(data)
            try:
                await bus.publish(subject, data)
            except asyncio.CancelledError:
                raise
            except Exception as error:
                self.dropped += 1
                log.warning("message of %d bytes on %s dropped: %s", len(data), subject,
                            type(error).__name__)
            else:
                self.sent += 1
                self.sent_bytes += len(data)

    def ring(self) -> None:
        """There is a connection again."""
        self._rung.set()

"""The wire format of the bus: subjects, a header of 32 bytes, and what stands behind it.

    mexcfast.v1.<channel>.<symbol>     frames, snapshots and states of one topic, in order
    mexcfast.v1.beat.<gateway>         a gateway's heartbeat
    mexcfast.v1.hello                  somebody asks all gateways to beat now
    mexcfast.v1.ask.<gateway>          a request: a contract's book; the reply is a message as below

A channel is a push's name without "push.", its dots are dashes. In a symbol everything other than
letters, digits, "_" and "-" is percent-encoded; a channel without contracts has the symbol "-".

    offset  size  little-endian
         0     2  "mx"
         2     1  version of this format, 1
         3     1  kind
         4     8  gateway: its incarnation; a later start has a larger one
        12     4  epoch: how often the topic's book began anew in this incarnation
        16     8  seq: number of the message on its subject in this incarnation, from 1
        24     8  ns: the gateway's wall clock at receipt (FRAME, SNAPSHOT), else its monotonic
        32     -  payload

    kind      payload
    FRAME     the venue's own frame, as it came
    SNAPSHOT  a whole book as the venue's REST depth reply; seq is that of the topic's last message
    STATE     JSON {"why": text}: the gateway does not trust the topic, and why; "" it does
    BEAT      JSON, see Beat

Every other payload is refused with GatewayError. Nothing private is ever sent: a gateway has no
keys.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from enum import IntEnum
from struct import Struct
from struct import error as StructError
from typing import Any, NamedTuple
from urllib.parse import quote, unquote

import orjson

from mexcfast.errors import GatewayError

VERSION = 1
MAGIC = b"mx"
HEADER = Struct("<2sBBQIQq")
SIZE = HEADER.size
PREFIX = "mexcfast.v1"
HELLO = f"{PREFIX}.hello"
BEATS = f"{PREFIX}.beat.*"
NO_SYMBOL = "-"
MOST_CONTRACTS = 100_000

_PLAIN = re.compile(r"[A-Za-z0-9_-]+")
_CHANNEL = re.compile(r"[a-z]+(?:\.[a-z]+)*")


class Kind(IntEnum):
    """What a message is."""

    FRAME = 1
    SNAPSHOT = 2
    STATE = 3
    BEAT = 4


_KINDS = {int(kind): kind for kind in Kind}


class Message(NamedTuple):
    """One message of the bus; the module's docstring has the fields."""

    kind: Kind
    gateway: int
    epoch: int
    seq: int
    ts_ns: int
    payload: bytes


def encode(kind: Kind, gateway: int, epoch: int, seq: int, ts_ns: int, payload: bytes) -> bytes:
    """One message. Raises GatewayError for a number that does not fit its field."""
    try:
        return HEADER.pack(MAGIC, VERSION, kind, gateway, epoch, seq, ts_ns) + payload
    except StructError as fault:
        raise GatewayError(f"a message of the bus cannot be written: {fault}") from fault


def decode(data: bytes) -> Message:
    """Read one message. Raises GatewayError for whatever is none."""
    if len(data) < SIZE:
        raise GatewayError(f"message of the bus has {len(data)} bytes; allowed: {SIZE} and above")
    magic, version, kind, gateway, epoch, seq, ts_ns = HEADER.unpack_from(data)
    if magic != MAGIC or version != VERSION:
        raise GatewayError(f"message of the bus begins with {data[:3]!r}; allowed: "
                           f"{MAGIC + bytes([VERSION])!r}")
    known = _KINDS.get(kind)
    if known is None:
        raise GatewayError(f"message of the bus is of kind {kind}; allowed: 1 to {len(_KINDS)}")
    return Message(known, gateway, epoch, seq, ts_ns, data[SIZE:])


def token_of(symbol: str) -> str:
    """A contract's name as a token of a subject; "" gives "-"."""
    if not symbol:
        return NO_SYMBOL
    if symbol == NO_SYMBOL:
        return "%2D"
    return symbol if _PLAIN.fullmatch(symbol) else quote(symbol, safe="").replace(".", "%2E")


def symbol_of(token: str) -> str:
    """The inverse of token_of."""
    return "" if token == NO_SYMBOL else unquote(token)


def subject_of(channel: str, symbol: str = "") -> str:
    """Where a topic is published. channel: for example "depth" or "funding.rate".

    Raises GatewayError for a channel that is none: what is private has no subject.
    """
    if not _CHANNEL.fullmatch(channel) or channel.startswith("personal"):
        raise GatewayError(f"channel is {channel!r}; allowed: a public one such as depth")
    return f"{PREFIX}.{channel.replace('.', '-')}.{token_of(symbol)}"


def beat_subject(gateway: int) -> str:
    """Where a gateway beats."""
    return f"{PREFIX}.beat.{gateway:016x}"


def ask_subject(gateway: int) -> str:
    """Where a gateway is asked for books."""
    return f"{PREFIX}.ask.{gateway:016x}"


# -- beats ----------------------------------------------------------------------------------------

class Beat(NamedTuple):
    """A gateway's heartbeat.

    name: what the operator calls it; a later incarnation of a name replaces the earlier.
    every_ms: how often it beats. channels: what it publishes of each of its contracts, without
    "push."; common: what it publishes once, like tickers. seqs: contract -> number of the last
    message on each of these channels, under "" those of the common ones. flagged: contracts whose
    topics it does not trust, and why. leaving: it ends now. mono_ns: its monotonic clock.
    """

    gateway: int
    mono_ns: int
    name: str
    every_ms: int
    channels: tuple[str, ...]
    common: tuple[str, ...]
    seqs: Mapping[str, tuple[int, ...]]
    flagged: Mapping[str, str]
    leaving: bool = False


def encode_beat(beat: Beat) -> bytes:
    """The whole message."""
    body = {"name": beat.name, "every_ms": beat.every_ms, "channels": beat.channels,
            "common": beat.common, "seqs": beat.seqs, "flagged": beat.flagged,
            "leaving": beat.leaving}
    return encode(Kind.BEAT, beat.gateway, 0, 0, beat.mono_ns, orjson.dumps(body))


def decode_beat(message: Message) -> Beat:
    """Read a BEAT. Raises GatewayError for whatever is none."""
    if message.kind is not Kind.BEAT:
        raise GatewayError(f"message is a {message.kind.name}; allowed: BEAT")
    body = _object(message.payload, "beat")
    channels, common = _texts(body, "channels"), _texts(body, "common")
    every_ms = body.get("every_ms")
    if type(every_ms) is not int or not 1 <= every_ms <= 3_600_000:
        raise GatewayError(f"beat: every_ms is {every_ms!r}; allowed: 1 to 3600000")
    seqs: dict[str, tuple[int, ...]] = {}
    for symbol, numbers in _member(body, "seqs", dict).items():
        wanted = len(channels) if symbol else len(common)
        if (type(numbers) is not list or len(numbers) != wanted
                or not all(type(n) is int and n >= 0 for n in numbers)):
            raise GatewayError(f"beat: seqs of {symbol!r} are {str(numbers)[:80]}; allowed: "
                               f"{wanted} integers from 0")
        seqs[symbol] = tuple(numbers)
    flagged = _member(body, "flagged", dict)
    if not all(type(why) is str for why in flagged.values()):
        raise GatewayError("beat: flagged holds something else than texts")
    return Beat(message.gateway, message.ts_ns, _member(body, "name", str), every_ms, channels,
                common, seqs, flagged, _member(body, "leaving", bool))


def encode_state(why: str) -> bytes:
    """The payload of a STATE."""
    return orjson.dumps({"why": why})


def decode_state(payload: bytes) -> str:
    """Why the gateway does not trust a topic; "" when it does. Raises GatewayError."""
    why: str = _member(_object(payload, "state"), "why", str)
    return why


def _object(payload: bytes, what: str) -> dict[str, Any]:
    try:
        body = orjson.loads(payload)
    except ValueError as fault:
        raise GatewayError(f"{what}: {fault}") from None
    if type(body) is not dict:
        raise GatewayError(f"{what} is {str(body)[:40]!r}; allowed: an object")
    return body


def _member(body: dict[str, Any], name: str, kind: type) -> Any:
    value = body.get(name)
    if type(value) is not kind:
        raise GatewayError(f"{name} is {str(value)[:40]!r}; allowed: {kind.__name__}")
    return value


def _texts(body: dict[str, Any], name: str) -> tuple[str, ...]:
    values = _member(body, name, list)
    if not all(type(value) is str for value in values):
        raise GatewayError(f"{name} is {str(values)[:40]!r}; allowed: a list of texts")
    return tuple(values)

"""gateway/wire: any bytes are a message or a GatewayError; what was written is read."""

from __future__ import annotations

import orjson
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mexcfast.errors import GatewayError
from mexcfast.gateway import wire
from mexcfast.gateway.wire import Beat, Kind

NUMBERS = st.integers(0, 2**63 - 1)
HEAD = wire.encode(Kind.BEAT, 1, 0, 0, 5, b"")
BODY = {"name": "g", "every_ms": 500, "channels": ["depth"], "common": [], "seqs": {"A": [1]},
        "flagged": {}, "leaving": False}


def read(data):
    """Everything a consumer reads of a message."""
    message = wire.decode(data)
    if message.kind is Kind.BEAT:
        return wire.decode_beat(message)
    if message.kind is Kind.STATE:
        return wire.decode_state(message.payload)
    return message


@given(st.one_of(
    st.binary(max_size=200),
    st.builds(lambda kind, tail: wire.MAGIC + bytes([1, kind]) + tail, st.integers(0, 5),
              st.binary(max_size=200)),
    st.builds(lambda text: HEAD + text.encode(), st.text()),
    st.builds(lambda name, value: HEAD + orjson.dumps({**BODY, name: value}),
              st.sampled_from(sorted(BODY)),
              st.recursive(st.none() | st.booleans() | st.floats(allow_nan=False)
                           | st.text(max_size=5) | st.integers(-2**53, 2**53),
                           lambda inner: st.lists(inner, max_size=3)
                           | st.dictionaries(st.text(max_size=3), inner, max_size=3),
                           max_leaves=6))))
@example(HEAD)
@example(HEAD + b"[]")
@example(HEAD + b'{"seqs":{"A":[1e400]}}')
@example(HEAD + b"[" * 100_000)
def test_any_bytes_are_read_or_refused_by_name(data):
    try:
        read(data)
    except GatewayError as fault:
        assert str(fault)


@pytest.mark.parametrize("cut", range(wire.SIZE))
def test_a_message_cut_in_its_header(cut):
    with pytest.raises(GatewayError):
        wire.decode(wire.encode(Kind.FRAME, 1, 2, 3, 4, b"")[:cut])


@given(st.sampled_from(list(Kind)), NUMBERS, st.integers(0, 2**32 - 1), NUMBERS,
       st.integers(-2**63, 2**63 - 1), st.binary(max_size=50))
def test_what_is_written_is_read(kind, gateway, epoch, seq, ts_ns, payload):
    assert wire.decode(wire.encode(kind, gateway, epoch, seq, ts_ns, payload)) == (
        kind, gateway, epoch, seq, ts_ns, payload)


@pytest.mark.parametrize("fields", [(1, -1, 0, 0, 0), (1, 0, 2**32, 0, 0), (1, 0, 0, 0, 2**63)])
def test_what_does_not_fit_is_not_written(fields):
    with pytest.raises(GatewayError, match="cannot be written"):
        wire.encode(*fields, b"")


@given(st.integers(0, 2**63), st.integers(0, 2**60), st.text(max_size=10),
       st.integers(1, 3_600_000), st.lists(st.sampled_from(["depth", "deal"]), unique=True),
       st.booleans(), st.data())
def test_beats(number, mono_ns, name, every_ms, channels, leaving, data):
    seqs = data.draw(st.dictionaries(
        st.text(min_size=1, max_size=8),
        st.tuples(*[st.integers(0, 2**53)] * len(channels)), max_size=4))
    flagged = {symbol: "why" for symbol in list(seqs)[:2]}
    beat = Beat(number, mono_ns, name, every_ms, tuple(channels), ("tickers",),
                {**seqs, "": (7,)}, flagged, leaving)
    assert wire.decode_beat(wire.decode(wire.encode_beat(beat))) == beat


def test_a_beat_is_checked():
    for change in ({"every_ms": 0}, {"every_ms": True}, {"seqs": {"A": [1, 2]}},
                   {"seqs": {"A": [-1]}}, {"seqs": {"A": [True]}}, {"seqs": {"": [1]}},
                   {"flagged": {"A": 1}}, {"name": 5}, {"leaving": 0}, {"channels": [1]}):
        with pytest.raises(GatewayError):
            read(HEAD + orjson.dumps({**BODY, **change}))
    assert read(HEAD + orjson.dumps({**BODY, "later": 1})).name == "g", "unknown is not refused"
    with pytest.raises(GatewayError, match="allowed: BEAT"):
        wire.decode_beat(wire.decode(wire.encode(Kind.STATE, 1, 1, 1, 1, b"{}")))


@given(st.text(max_size=20))
@example("-")
@example("")
@example("我踏马来了_USDT")
@example("A.B>*C D")
def test_symbols_are_tokens(symbol):
    try:
        symbol.encode()
    except UnicodeEncodeError:
        return
    token = wire.token_of(symbol)
    assert wire.symbol_of(token) == symbol
    assert token and not set(token) & set(" .*>\t\r\n") and token.isascii()


def test_subjects():
    assert wire.subject_of("depth", "BTC_USDT") == "mexcfast.v1.depth.BTC_USDT"
    assert wire.subject_of("funding.rate", "BTC_USDT") == "mexcfast.v1.funding-rate.BTC_USDT"
    assert wire.subject_of("tickers") == "mexcfast.v1.tickers.-"
    for private in ("personal.order", "personal", "", "Depth", "a..b", ">"):
        with pytest.raises(GatewayError, match="allowed: a public one"):
            wire.subject_of(private, "BTC_USDT")
